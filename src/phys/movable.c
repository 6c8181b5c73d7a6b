/* SPDX-License-Identifier: MIT */
/*
 * movable.c - how much of each node is zone MOVABLE.
 *
 * 1. Purpose. Frames of MOVABLE hold only what can be moved away, so that the
 *    memory can be taken out, or be had in large blocks, at any time. Nobody
 *    gets it who did not ask for it: kernelcore=, movablecore=, movable_node.
 *
 * 2. Way. MOVABLE is cut off the upper end of each node, and only from the
 *    machine's highest zone, since low addresses are for those who need them.
 *    kernelcore=N spreads N evenly: there is one share S, and each node keeps
 *
 *      max(frames below the highest zone, min(frames of the node, S))
 *
 *    for the kernel, S being the least for which the sum reaches N. A small
 *    node is thus wholly the kernel's and the others make up for it.
 *    movablecore=N is kernelcore=(all - N); of both the larger core wins.
 *    movable_node gives each node's hotpluggable ranges, and all that lies
 *    above the lowest of them, to MOVABLE; the amounts are ignored then.
 *
 * 3. Invariants. MV-1: a start is a multiple of the largest block, so no block
 *    is in two zones. MV-2: a start other than 0 has RAM of its node above.
 *
 * 4. Locking. Boot only.
 *
 * 5. Failure. A percentage beyond 100 is refused; amounts that leave nothing
 *    to either side are logged and give no zone.
 *
 * 6. Cost. O(nodes * log(frames) + regions * nodes).
 *
 * References: Linux documentation, admin-guide/kernel-parameters
 * ("kernelcore", "movablecore", "movable_node").
 */
#include <mmkit/errno.h>

#include "base/printk.h"
#include "phys/phys.h"

/* What a node has, in frames. */
struct node_frames {
	u64 size;   /* RAM */
	u64 forced; /* of it below the highest zone */
};

/* The first frame of the highest zone that has RAM anywhere. */
static u64 highest_zone_start(void)
{
	u64 start = 0;

	for (int zt = 0; zt < ZONE_MOVABLE; zt++) {
		u64 lo, hi;

		layout_zone_range(phys_sys.layout, zt, phys_sys.hot.max_pfn,
				  &lo, &hi);
		if (lo < hi)
			start = lo;
	}
	return start;
}

static u64 kernel_frames(const struct node_frames *n, u64 share)
{
	return max(n->forced, min(n->size, share));
}

static u64 sum_kernel_frames(const struct node_frames *nodes, u64 share)
{
	u64 sum = 0;

	for (int nid = 0; nid < MM_MAX_NODES; nid++)
		sum += kernel_frames(&nodes[nid], share);
	return sum;
}

/* The least share with which the nodes together keep WANT frames. */
static u64 find_share(const struct node_frames *nodes, u64 want)
{
	u64 lo = 0, hi = want;

	mm_assert(sum_kernel_frames(nodes, want) >= want);
	while (lo < hi) {
		u64 mid = lo + (hi - lo) / 2;

		if (sum_kernel_frames(nodes, mid) >= want)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* One past the frame with which node NID has NR frames of RAM. */
static u64 end_of_first(int nid, u64 nr)
{
	struct memblock_iter it;
	u64 pos = 0;

	for_each_mem_range (it, nid) {
		u64 s = PFN_UP(it.start), e = PFN_DOWN(it.end);

		if (nr == 0)
			break;
		if (s >= e)
			continue;
		pos = s + min(nr, e - s);
		nr -= pos - s;
	}
	return pos;
}

/* MOVABLE of node NID begins at PFN or a little above, if RAM is left there. */
static void set_start(int nid, u64 pfn)
{
	pfn = ALIGN(pfn, MAX_ORDER_NR_PAGES);
	if (node_present_in(nid, pfn, phys_sys.hot.max_pfn))
		phys_sys.movable_start[nid] = pfn;
}

static void split_nodes(u64 want)
{
	struct node_frames nodes[MM_MAX_NODES];
	u64 usable = highest_zone_start(), share;

	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		nodes[nid].size = node_present_in(nid, 0, phys_sys.hot.max_pfn);
		nodes[nid].forced = node_present_in(nid, 0, usable);
	}
	share = find_share(nodes, want);
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		u64 keep = kernel_frames(&nodes[nid], share);

		if (nodes[nid].size > keep)
			set_start(nid, max(usable, end_of_first(nid, keep)));
	}
}

static u64 amount_frames(const struct phys_amount *a, u64 total)
{
	if (a->percent)
		return total * a->percent / 100;
	/* Rounded up without a sum that could wrap. */
	return min((a->bytes >> PAGE_SHIFT) + ((a->bytes & ~PAGE_MASK) != 0),
		   total);
}

/* The lowest hotpluggable range of each node decides. */
static void split_hotplug(void)
{
	const struct memblock_type *t = memblock_memory_table();
	const struct memblock_region *r;
	u64 i;

	for_each_mem_region (i, r, t) {
		if (!(r->flags & MEMBLOCK_HOTPLUG) || r->nid < 0)
			continue;
		/* By address: the first of a node is the lowest. */
		if (!phys_sys.movable_start[r->nid])
			set_start(r->nid, PFN_UP(r->base));
	}
}

static bool amount_given(const struct phys_amount *a)
{
	return a->bytes || a->percent;
}

/* Whole frames of all nodes. */
static u64 all_frames(void)
{
	u64 sum = 0;

	for (int nid = 0; nid < MM_MAX_NODES; nid++)
		sum += node_present_in(nid, 0, phys_sys.hot.max_pfn);
	return sum;
}

int movable_init(const struct phys_boot_params *p)
{
	u64 total = all_frames();
	u64 core = amount_frames(&p->kernelcore, total);

	if (p->kernelcore.percent > 100 || p->movablecore.percent > 100) {
		pr_err("boot: %s of more than 100%%",
		       p->kernelcore.percent > 100 ? "kernelcore"
						   : "movablecore");
		return -EINVAL;
	}
	if (p->movable_node) {
		split_hotplug();
		return 0;
	}
	if (amount_given(&p->movablecore)) {
		u64 movable = amount_frames(&p->movablecore, total);

		movable = min(ALIGN(movable, MAX_ORDER_NR_PAGES), total);
		core = max(core, total - movable);
	}
	if (core && core < total)
		split_nodes(core);
	else if (amount_given(&p->kernelcore) || amount_given(&p->movablecore))
		pr_warn("boot: kernelcore or movablecore leave nothing to "
			"divide: no zone MOVABLE");
	return 0;
}
