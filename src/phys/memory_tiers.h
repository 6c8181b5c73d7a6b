/* SPDX-License-Identifier: MIT */
/*
 * memory_tiers.h - which nodes are slower than others. Theory: memory_tiers.c.
 */
#ifndef MM_PHYS_MEMORY_TIERS_H
#define MM_PHYS_MEMORY_TIERS_H

#include <mmkit/mempolicy.h>

/* memory_tiers_update: nodes or CPUs have changed. At boot, or hotplug's lock
 * held. */
void memory_tiers_update(void);

/* node_tier: 0: NID has CPUs; else the higher the slower. nodes_of_tier: the
 * nodes, with memory or not, of TIER. */
int node_tier(int nid);
nodemask_t nodes_of_tier(int tier);

/* next_demotion_node: where cold pages of NID go; NUMA_NO_NODE: nowhere.
 * demotion_nodes: all slower nodes with memory. numa_can_demote: is there one,
 * and is it wanted (/sys/kernel/mm/numa/demotion_enabled)? */
int next_demotion_node(int nid);
nodemask_t demotion_nodes(int nid);
bool numa_can_demote(int nid);

#endif
