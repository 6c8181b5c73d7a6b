/* SPDX-License-Identifier: MIT */
/*
 * boot.h - bringing a machine up and down.
 */
#ifndef MMKIT_BOOT_H
#define MMKIT_BOOT_H

#include <mmkit/slab.h>
#include <mmkit/types.h>

struct e820_table;

/* One piece of a node's memory, bytes; nodes are numbered from 0. */
struct mm_boot_node {
	phys_addr_t start, end;
	int nid;
};

/* An amount of memory: bytes, or parts of all RAM. Both 0: not given. */
struct mm_boot_amount {
	u64 bytes;
	u32 percent; /* 1 .. 100; then bytes does not count */
};

/* Debugging aids, by the names of Linux's boot parameters. */
struct mm_debug_params {
	bool poison;	      /* page_poison: fill free frames with 0xaa */
	bool init_on_alloc;   /* clear frames when they are given out */
	bool init_on_free;    /* clear frames when they are freed */
	bool debug_pagealloc; /* unmap free frames, where the world can */
	bool page_owner;      /* remember who allocated each frame */
	bool check_pages;     /* look at every frame of a block, every time */
	/*
	 * debug_guardpage_minorder: halves of fewer than 2^N frames that are
	 * split off stay unused; 0 .. 5; more than 0 implies debug_pagealloc.
	 */
	u8 guard_minorder;
};

struct mm_boot_params {
	/* Firmware's map; parsed, not yet sanitised. */
	const struct e820_table *map;
	/* Memory of each node; none: all of it is node 0's. */
	const struct mm_boot_node *nodes;
	u32 nr_nodes_ranges;
	/* Memory that the kernel image takes; size 0: none (sim, host). */
	phys_addr_t kernel_start;
	u64 kernel_size;
	u64 kernel_text_size; /* of it, from its start: code */
	/* What the loader put into RAM, not given out either; 0: nothing. */
	phys_addr_t initrd_start;
	u64 initrd_size;
	/*
	 * Per-CPU data of the image: each CPU gets a copy (at most 32 KiB with
	 * what is reserved for __alloc_reserved_percpu()).
	 */
	const void *percpu_template;
	u32 percpu_static_size, percpu_reserved_size;
	/*
	 * Page tables and the layout of physical and user memory: "x86-64"
	 * (NULL), "x86-64-la57", "x86-32", "x86-32-pae", "arm64". The port's
	 * MMU must be of the same kind.
	 */
	const char *arch;
	/* NR_DISTANCES rows of as many bytes, row = from; NULL: 10 and 20. */
	const u8 *distances;
	u32 nr_distances;
	/* Zone MOVABLE, as Linux's parameters of these names say. */
	struct mm_boot_amount kernelcore, movablecore;
	bool movable_node;
	/* Memory that can be taken out; counts with movable_node. */
	const struct mm_boot_node *hotplug;
	u32 nr_hotplug;
	/* Bytes of the area "reserved" for contiguous memory; 0: none. */
	u64 cma_size;
	phys_addr_t cma_base; /* where, if cma_fixed; else not below */
	bool cma_fixed;
	/* RAM may be added below it (memory_hotplug.h); 0: only where it was.
	 */
	phys_addr_t max_possible;
	/* Replacement policy; NULL: "classic". */
	const char *policy;
	struct mm_debug_params debug;
	struct slab_boot_params slab;
};

/*
 * mm_reset: forget the machine: everything is as at program start. No thread
 * is inside mmkit. The port must be fresh as well.
 */
void mm_reset(void);

/*
 * mm_boot: bring the manager up, in the order of docs/ARCHITECTURE.md, and
 * log it. Called once, by the world's first thread; may sleep. Returns 0,
 * -EINVAL (no usable memory, unknown policy or layout, nodes that contradict
 * themselves, more than 100 %), -ENOMEM (too little). After a
 * failure the reason is on the console and the machine is only good for
 * mm_reset().
 */
int mm_boot(const struct mm_boot_params *params) MM_MUST_CHECK;

/*
 * mm_shutdown: stop the daemons and make all deferred frees. Address spaces
 * must be gone. Afterwards the counters can still be read.
 */
void mm_shutdown(void);

/* mm_booted: has mm_boot() succeeded? */
bool mm_booted(void);

/* mm_last_oom: the last OOM kill in one line, "" if there was none. */
const char *mm_last_oom(void);

#endif
