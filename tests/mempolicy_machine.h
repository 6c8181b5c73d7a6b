/* SPDX-License-Identifier: MIT */
/*
 * mempolicy_machine.h - for tests of memory policies: what one says, the nodes
 * that it chooses, and that none is left. After sim_machine.h.
 */
#ifndef TESTS_MEMPOLICY_MACHINE_H
#define TESTS_MEMPOLICY_MACHINE_H

#include <mmkit/mempolicy.h>

#include "phys/mempolicy.h"

struct mp {
	int mode;
	nodemask_t nodes;
	int home;
};

static inline void no_policies_left(void)
{
	CHECK_EQ(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	CHECK_EQ(phys_sys.mpol.nr_policies, 0);
	CHECK_EQ(phys_sys.mpol.nr_frames, 0);
}

/* The node of NODES that is nearest to FROM, as the zone lists have it. */
static inline int nearest(nodemask_t nodes, int from)
{
	struct zoneref *z = node_zonelist(from, GFP_KERNEL)->_zonerefs;

	while (!(nodes & NODE_MASK(zone_to_nid(z->zone))))
		z++;
	return zone_to_nid(z->zone);
}

/* The N-th of NODES, around. */
static inline int nth(nodemask_t nodes, u64 n)
{
	for (n %= (u64)__builtin_popcountll(nodes); n; n--)
		nodes &= nodes - 1;
	return __builtin_ctzll(nodes);
}

#endif
