/* SPDX-License-Identifier: MIT */
/*
 * memory_tiers.c - which nodes are slower than others.
 *
 * 1. Purpose. Memory that no CPU has beside it (persistent memory, memory
 *    behind a link) is slower and mostly larger. Reclaim may move cold pages
 *    there instead of writing them to a disk (src/reclaim/shrink_page.c), and
 *    pages that are used there come back (src/policy/numa_balance.c).
 *
 * 2. Tiers. Nodes with CPUs are the top one, 0. The others follow by their
 *    distance from the nearest CPU: those of one distance are a tier. Each
 *    node's pages go to the nearest nodes with memory of the next tier that
 *    has any; if there is no room, to any below.
 *
 * 3. Invariants. MT-1: a way down leads to a higher number: it ends.
 *
 * 4. Locking. Numbers are written at boot and when a node comes (hotplug's
 *    lock); readers may see old ones, which costs a page a detour.
 *
 * 5. Cost. O(nodes^2) at changes, O(zones) for each list of pages that goes.
 *
 * References: Linux documentation, admin-guide/mm/numaperf and
 * ABI/testing/sysfs-kernel-mm-memory-tiers, -numa.
 */
#include "phys/memory_tiers.h"

#include "base/bitops.h"
#include "phys/mempolicy.h"
#include "phys/phys.h"

/* Nodes that have a CPU. */
static nodemask_t nodes_with_cpus(void)
{
	nodemask_t mask = NODE_MASK_NONE;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		if (!phys_cpu_gone(cpu))
			mask |= NODE_MASK(phys_sys.cpu_node[cpu]);
	return mask;
}

/* How far NID is from the nearest of FROM. */
static u32 distance_from(int nid, nodemask_t from)
{
	u32 best = UINT32_MAX;

	for (; from; from &= from - 1)
		best = min(best, (u32)node_distance((int)__ffs(from), nid));
	return best;
}

void memory_tiers_update(void)
{
	nodemask_t cpus = nodes_with_cpus();
	u32 far[MM_MAX_NODES];

	for (int nid = 0; nid < MM_MAX_NODES; nid++)
		far[nid] = NODE_DATA(nid) && !(cpus & NODE_MASK(nid))
				   ? distance_from(nid, cpus)
				   : 0;
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		u64 nearer = 0;

		/* Distances seen among those below FAR, each once. */
		for (int i = 0; i < MM_MAX_NODES; i++) {
			bool first = far[i] && far[i] < far[nid];

			for (int j = 0; j < i; j++)
				first &= far[j] != far[i];
			nearer += first;
		}
		WRITE_ONCE(phys_sys.node_tier[nid],
			   (u8)(far[nid] ? nearer + 1 : 0));
	}
}

int node_tier(int nid)
{
	mm_assert(nid >= 0 && nid < MM_MAX_NODES);
	return READ_ONCE(phys_sys.node_tier[nid]);
}

nodemask_t nodes_of_tier(int tier)
{
	nodemask_t mask = NODE_MASK_NONE;

	for (int nid = 0; nid < MM_MAX_NODES; nid++)
		if (NODE_DATA(nid) && node_tier(nid) == tier)
			mask |= NODE_MASK(nid);
	return mask;
}

nodemask_t demotion_nodes(int nid)
{
	nodemask_t mask = nodes_with_memory(), below = NODE_MASK_NONE;

	for (; mask; mask &= mask - 1)
		if (node_tier((int)__ffs(mask)) > node_tier(nid))
			below |= mask & -mask;
	return below;
}

int next_demotion_node(int nid)
{
	nodemask_t below = demotion_nodes(nid);
	int best = NUMA_NO_NODE;

	for (; below; below &= below - 1) {
		int n = (int)__ffs(below);

		if (best == NUMA_NO_NODE || node_tier(n) < node_tier(best) ||
		    (node_tier(n) == node_tier(best) &&
		     node_distance(nid, n) < node_distance(nid, best)))
			best = n;
	}
	return best;
}

bool numa_can_demote(int nid)
{
	return unlikely(READ_ONCE(phys_sys.tunables.numa_demotion)) &&
	       next_demotion_node(nid) != NUMA_NO_NODE;
}
