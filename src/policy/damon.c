/* SPDX-License-Identifier: MIT */
/*
 * damon.c - regions that adapt: what memory is used, for a bounded price.
 *
 * 1. Purpose. To know how each page is used means to look at each page. Memory
 *    is not used at random, though: neighbours are used alike. So addresses are
 *    divided into regions, one page of each stands for all of it, and the price
 *    is that of the regions, between two numbers that the user gives.
 *
 * 2. Way. Every sampling interval each region chooses a page at random, whose
 *    accessed bit is cleared; at the end of the interval it is looked at, and
 *    nr_accesses counts. Every aggregation interval neighbours whose counts
 *    differ by less than a tenth of the greatest become one (as long as none
 *    gets larger than the minimal number of regions allows), schemes are
 *    applied, counts begin anew, and each region is split at random into two or
 *    three, if there are no more than half of the maximum. A split that was in
 *    vain is merged again next time; one that hit a border between used and
 *    unused memory stays. Age says for how many aggregations a region's count
 *    has been about the same.
 *
 * 3. Invariants.
 *    DM-1  Regions are in order, do not overlap, are whole pages, not empty.
 *    DM-2  There are at most max_nr_regions of them, but for those that a
 *          quota's border splits and that the next merge makes one again.
 *
 * 4. Locking. Regions belong to the daemon. The owner changes nothing while it
 *    runs.
 *
 * 5. Failure. Without memory for a region nothing is split. A space that ends
 *    ends the daemon's work; it waits to be stopped.
 *
 * References: S. Park, Y. Lee, H. Yeom, "Profiling dynamic data access patterns
 * with controlled overhead and quality" (Middleware 2019); Linux documentation,
 * mm/damon/design.
 */
#include "policy/damon.h"

#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/epoch.h"
#include "policy/policy.h"
#include "space/space.h"

#define NS_PER_US 1000ull

/* ---- the list of regions ---------------------------------------------------
 */

static u64 region_size(const struct damon_region *r)
{
	return r->end - r->start;
}

/* A region [START, END) behind AFTER. NULL: no memory. */
static struct damon_region *
region_new(struct damon_target *t, struct list_head *after, u64 start, u64 end)
{
	struct damon_region *r = kmalloc(sizeof(*r), GFP_KERNEL | __GFP_NOWARN);

	if (!r)
		return NULL;
	*r = (struct damon_region){.start = start, .end = end};
	list_add(&r->list, after);
	t->nr_regions++;
	return r;
}

static void region_free(struct damon_target *t, struct damon_region *r)
{
	list_del(&r->list);
	kfree(r);
	t->nr_regions--;
}

bool damon_split_at(struct damon_target *t, struct damon_region *r, u64 at)
{
	struct damon_region *n;

	mm_verify(at > r->start && at < r->end && !(at & (PAGE_SIZE - 1)));
	n = region_new(t, &r->list, at, r->end);
	if (!n)
		return false;
	r->end = at;
	n->nr_accesses = r->nr_accesses;
	n->last_nr_accesses = r->last_nr_accesses;
	n->age = r->age;
	return true;
}

static void drop_regions(struct damon_target *t)
{
	while (!list_empty(&t->regions))
		region_free(t, list_first_entry(&t->regions,
						struct damon_region, list));
}

/* [START, END) in equal parts, NR if there are so many pages. */
static int fill_range(struct damon_target *t, u64 start, u64 end, u64 nr)
{
	u64 part = max(ALIGN_DOWN((end - start) / max(nr, (u64)1), PAGE_SIZE),
		       PAGE_SIZE);

	while (start < end) {
		u64 to = end - start < 2 * part ? end : start + part;

		if (!region_new(t, t->regions.prev, start, to))
			return -ENOMEM;
		start = to;
	}
	return 0;
}

/* R lies in one of the NR ranges, cut to it; false: in none. */
static bool cut_to_ranges(struct damon_region *r, const struct damon_range *g,
			  u32 nr)
{
	for (u32 i = 0; i < nr; i++) {
		if (r->end <= g[i].start || r->start >= g[i].end)
			continue;
		r->start = max(r->start, g[i].start);
		r->end = min(r->end, g[i].end);
		return true;
	}
	return false;
}

/* What of G no region covers gets one, at its ends: between regions of it there
 * are no holes. */
static int cover_range(struct damon_target *t, const struct damon_range *g)
{
	struct damon_region *r, *first = NULL, *last = NULL;
	struct list_head *before = &t->regions;

	list_for_each_entry (r, &t->regions, list) {
		if (r->end <= g->start)
			before = &r->list;
		if (r->start < g->start || r->start >= g->end)
			continue;
		first = first ? first : r;
		last = r;
	}
	if (!first)
		return region_new(t, before, g->start, g->end) ? 0 : -ENOMEM;
	first->start = g->start;
	last->end = g->end;
	for (r = first; r != last;) {
		struct damon_region *n =
			list_entry(r->list.next, struct damon_region, list);

		r->end = n->start;
		r = n;
	}
	return 0;
}

int damon_set_regions(struct damon_ctx *ctx, const struct damon_range *g,
		      u32 nr)
{
	struct damon_target *t = &ctx->target;
	struct damon_region *r, *next;
	u64 total = 0;
	int err = 0;

	for (u32 i = 0; i < nr; i++)
		total += g[i].end - g[i].start;
	if (list_empty(&t->regions)) {
		for (u32 i = 0; i < nr && !err; i++)
			err = fill_range(t, g[i].start, g[i].end,
					 (g[i].end - g[i].start) *
						 ctx->min_nr_regions / total);
		return err;
	}
	list_for_each_entry_safe (r, next, &t->regions, list)
		if (!cut_to_ranges(r, g, nr))
			region_free(t, r);
	for (u32 i = 0; i < nr && !err; i++)
		err = cover_range(t, &g[i]);
	return err;
}

void damon_check(const struct damon_ctx *ctx)
{
	const struct damon_target *t = &ctx->target;
	struct damon_region *r;
	u32 n = 0;
	u64 at = 0;

	list_for_each_entry (r, &t->regions, list) {
		mm_verify(r->start >= at && r->start < r->end);
		mm_verify(!((r->start | r->end) & (PAGE_SIZE - 1)));
		at = r->end;
		n++;
	}
	mm_verify(n == t->nr_regions);
}

/* ---- merging and splitting -------------------------------------------------
 */

static u32 differ(u32 a, u32 b)
{
	return a > b ? a - b : b - a;
}

/* B, behind A, becomes part of it; each counts by its size. */
static void merge_two(struct damon_target *t, struct damon_region *a,
		      struct damon_region *b)
{
	u64 sa = region_size(a) >> PAGE_SHIFT,
	    sb = region_size(b) >> PAGE_SHIFT;

	a->nr_accesses =
		(u32)((a->nr_accesses * sa + b->nr_accesses * sb) / (sa + sb));
	a->age = (u32)((a->age * sa + b->age * sb) / (sa + sb));
	a->end = b->end;
	region_free(t, b);
}

static void merge_regions(struct damon_target *t, u32 threshold, u64 largest)
{
	struct damon_region *r, *next, *prev = NULL;

	list_for_each_entry_safe (r, next, &t->regions, list) {
		if (differ(r->nr_accesses, r->last_nr_accesses) > threshold)
			r->age = 0;
		else
			r->age++;
		if (prev && prev->end == r->start &&
		    differ(prev->nr_accesses, r->nr_accesses) <= threshold &&
		    region_size(prev) + region_size(r) <= largest)
			merge_two(t, prev, r);
		else
			prev = r;
	}
}

/* R in up to PARTS parts, at random places. */
static void split_region(struct damon_ctx *ctx, struct damon_region *r,
			 u32 parts)
{
	u64 pages = region_size(r) >> PAGE_SHIFT;

	for (u32 i = 1; i < parts && pages > 1; i++) {
		/* Not too near to its ends: a tenth at least. */
		u64 at = pages * prng_range(&ctx->rng, 1, 9) / 10;

		at = clamp(at, (u64)1, pages - 1);
		if (!damon_split_at(&ctx->target, r,
				    r->start + (at << PAGE_SHIFT)))
			return;
		pages = at;
	}
}

static void split_regions(struct damon_ctx *ctx)
{
	struct damon_target *t = &ctx->target;
	struct damon_region *r, *next;
	u32 parts = t->nr_regions < ctx->max_nr_regions / 3 ? 3 : 2;

	if (t->nr_regions > ctx->max_nr_regions / 2)
		return;
	list_for_each_entry_safe (r, next, &t->regions, list)
		split_region(ctx, r, parts);
}

static u64 largest_region(const struct damon_ctx *ctx)
{
	struct damon_region *r;
	u64 total = 0;

	list_for_each_entry (r, &ctx->target.regions, list)
		total += region_size(r);
	return max(total / ctx->min_nr_regions, PAGE_SIZE);
}

static void aggregate(struct damon_ctx *ctx)
{
	struct damon_region *r;
	u32 most = 0;

	list_for_each_entry (r, &ctx->target.regions, list)
		most = max(most, r->nr_accesses);
	merge_regions(&ctx->target, most / 10, largest_region(ctx));
	ctx->aggregations++;
	if (ctx->after_aggregation)
		ctx->after_aggregation(ctx, ctx->arg);
	if (ctx->scheme)
		damos_apply(ctx);
	list_for_each_entry (r, &ctx->target.regions, list) {
		r->last_nr_accesses = r->nr_accesses;
		r->nr_accesses = 0;
	}
	split_regions(ctx);
	mm_assert((damon_check(ctx), true));
}

/* ---- the daemon ------------------------------------------------------------
 */

static bool nap(struct damon_ctx *ctx, u64 ns)
{
	(void)wait_event_timeout(ctx->wait, READ_ONCE(ctx->stop), ns);
	return !READ_ONCE(ctx->stop);
}

static void choose_samples(struct damon_ctx *ctx)
{
	struct damon_region *r;

	list_for_each_entry (r, &ctx->target.regions, list)
		r->sampling_addr =
			r->start +
			(prng_below(&ctx->rng, region_size(r) >> PAGE_SHIFT)
			 << PAGE_SHIFT);
}

/* One sample. False: it is over. */
static bool sample(struct damon_ctx *ctx)
{
	u64 idle = ctx->scheme ? damos_wait(ctx->scheme) : 0;

	if (idle)
		return nap(ctx, idle);
	choose_samples(ctx);
	if (!ctx->ops->prepare(ctx) || !nap(ctx, ctx->sample_us * NS_PER_US))
		return false;
	ctx->ops->check(ctx);
	return true;
}

static void watch(struct damon_ctx *ctx)
{
	u64 now = port_now_ns(), aggr = now, update = now;

	while (sample(ctx)) {
		now = port_now_ns();
		if (now - aggr >= ctx->aggr_us * NS_PER_US) {
			aggregate(ctx);
			aggr = now;
		}
		if (now - update >= ctx->update_us * NS_PER_US) {
			ctx->ops->update(ctx);
			update = now;
		}
		epoch_poll();
	}
}

static void kdamond(void *arg)
{
	struct damon_ctx *ctx = arg;

	if (!ctx->ops->init(ctx))
		watch(ctx);
	drop_regions(&ctx->target);
	if (ctx->target.mm)
		mm_drop(ctx->target.mm);
	port_current()->flags |= PF_EXITING;
}

int damon_start(struct damon_ctx *ctx)
{
	int err;

	if (!ctx->ops || !ctx->sample_us || ctx->aggr_us < ctx->sample_us ||
	    ctx->min_nr_regions < 3 ||
	    ctx->max_nr_regions < ctx->min_nr_regions)
		return -EINVAL;
	if (ctx->thread)
		return -EBUSY;
	INIT_LIST_HEAD(&ctx->target.regions);
	init_waitqueue_head(&ctx->wait);
	prng_seed(&ctx->rng, 0x64616d6f6e);
	ctx->target.nr_regions = 0;
	ctx->aggregations = 0;
	ctx->stop = false;
	if (ctx->target.mm)
		mm_grab(ctx->target.mm);
	err = port_thread_start(&ctx->thread, "kdamond.0", -1, kdamond, ctx);
	if (err && ctx->target.mm)
		mm_drop(ctx->target.mm);
	return err;
}

void damon_stop(struct damon_ctx *ctx)
{
	if (!ctx->thread)
		return;
	WRITE_ONCE(ctx->stop, true);
	wake_up_all(&ctx->wait);
	port_thread_join(ctx->thread);
	ctx->thread = NULL;
}
