/* SPDX-License-Identifier: MIT */
/*
 * numa_text.h - a machine's nodes from a text. Forms and rules: numa_text.c.
 */
#ifndef MM_PHYS_NUMA_TEXT_H
#define MM_PHYS_NUMA_TEXT_H

#include "phys/phys.h"

#define NUMA_MAX_RANGES 256

struct numa_desc {
	u32 nr_ranges, nr_hotplug;
	struct phys_node_range ranges[NUMA_MAX_RANGES];
	u32 range_line[NUMA_MAX_RANGES]; /* where each one stood */
	struct phys_node_range hotplug[NUMA_MAX_RANGES];
	u64 cpus_given; /* a bit per CPU with an entry in cpu_node */
	u32 nr_apics;	/* CPUs told in the order of the firmware's table */
	u8 cpu_node[MM_NR_CPUS];
	u32 nr_distances;    /* rows and columns; 0: none given */
	u64 distances_given; /* a bit per row */
	u8 distances[MM_MAX_NODES * MM_MAX_NODES]; /* [from * nr + to] */
};

/*
 * numa_parse: fill D from TEXT[LEN]. Returns 0; -EINVAL for what cannot be
 * read or contradicts itself, -ENOSPC for more than NUMA_MAX_RANGES ranges:
 * ERR says what and where, D holds nothing of use. What D says can be given to
 * phys_boot_memory() as it is.
 */
int numa_parse(struct numa_desc *d, const char *text, size_t len,
	       struct e820_error *err) MM_MUST_CHECK;

#endif
