/* SPDX-License-Identifier: MIT */
/*
 * protect.c - what a group is promised against others' needs.
 *
 * 1. Purpose. memory.min and memory.low say how much of a group's memory is
 *    not taken for others (min: never; low: as long as there is something else
 *    to take). What a group has beyond is taken in proportion to how far it is
 *    beyond.
 *
 * 2. The effective value. A group cannot be promised more than the group above
 *    it was: what stands in its file is a claim. A claim counts as far as it is
 *    used: min(usage, setting). If those of all children together are more than
 *    the parent's effective value, each gets the part of it that its claim is
 *    of all:
 *
 *      effective = claim                               if they fit
 *                  claim * parent's / sum of claims    if not
 *
 *    Groups right below where reclaim happens have their claim whole: nobody
 *    above them is asked for memory. That group itself is not protected: it is
 *    its own limit that asks.
 *
 * 3. Error. The values are read while tasks charge, and sizes of lists are not
 *    usage (page tables and objects are no pages of lists): the promise holds
 *    within a batch per CPU (MEMCG_BATCH) and what one round of reclaim takes
 *    at once.
 *
 * 4. Cost. Nothing while no group has a min or low. Then, for each group that
 *    has, its siblings are added up, and so on upwards.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2 (memory.min,
 * memory.low, resource distribution models: protections).
 */
#include "memcg/memcg.h"

/* What M claims. */
static u64 claim(const struct memcg *m, bool low)
{
	u64 asked = low ? READ_ONCE(m->low) : READ_ONCE(m->min);

	return min(asked, memcg_usage(&m->memory));
}

/* All claims of the groups right below PARENT. Lock held. */
static u64 claims_below(const struct memcg *parent, bool low)
{
	const struct memcg *c;
	u64 sum = 0;

	list_for_each_entry (c, &parent->children, sibling)
		sum += claim(c, low);
	return sum;
}

/* M's ancestor, or M itself, at DEPTH. */
static const struct memcg *at_depth(const struct memcg *m, u32 depth)
{
	while (m->depth > depth)
		m = m->parent;
	return m;
}

/* From right below ROOT, or the top, down to M. Lock held. */
static u64 effective(const struct memcg *root, const struct memcg *m, bool low)
{
	u32 first = root ? root->depth + 1 : 1;
	u64 value = 0;

	for (u32 depth = first; depth <= m->depth; depth++) {
		const struct memcg *a = at_depth(m, depth);
		u64 mine = claim(a, low), all;

		if (depth == first) {
			value = mine;
			continue;
		}
		all = claims_below(a->parent, low);
		/* Claims are below 2^32 pages (page.h): no overflow. */
		value = all <= value ? mine : mine * value / all;
	}
	return value;
}

void memcg_protection(struct memcg *root, struct memcg *memcg,
		      struct memcg_protection *out)
{
	*out = (struct memcg_protection){0};
	if (!memcg || !READ_ONCE(memcg_sys.nr_protected))
		return;
	out->usage = memcg_usage(&memcg->memory);
	if (!READ_ONCE(memcg->min) && !READ_ONCE(memcg->low))
		return;
	spin_lock(&memcg_sys.lock);
	out->min = effective(root, memcg, false);
	out->low = effective(root, memcg, true);
	spin_unlock(&memcg_sys.lock);
}
