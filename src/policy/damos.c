/* SPDX-License-Identifier: MIT */
/*
 * damos.c - what is done to regions that are used in a certain way: quotas and
 * watermarks.
 *
 * A quota bounds what a scheme does in each window of reset_ms: bytes, and
 * time, which becomes bytes by what was got done in a millisecond so far. A
 * region that is larger than what is left is split. The next window goes on
 * where the last one ended, so that no address is favoured.
 *
 * Watermarks say when there is anything to do: with more than high free there
 * is no need, with less than low it is for reclaim proper. The scheme begins
 * when less than mid is free, and ends at either of the others.
 *
 * Reference: Linux documentation, mm/damon/design (DAMON-based operation
 * schemes).
 */
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "phys/alloc.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "policy/damon.h"

#define NS_PER_MS 1000000ull

static bool wanted(const struct damos *s, const struct damon_region *r)
{
	u64 size = r->end - r->start;

	return size >= s->min_sz && size <= s->max_sz &&
	       r->nr_accesses >= s->min_nr_accesses &&
	       r->nr_accesses <= s->max_nr_accesses && r->age >= s->min_age &&
	       r->age <= s->max_age;
}

/* Bytes that the window allows in all; ~0: no limit. */
static u64 quota_size(const struct damos_quota *q)
{
	u64 by_time = ~0ull, sz = q->sz ? q->sz : ~0ull;

	if (q->ms && q->total_ns)
		by_time = q->total_sz / (q->total_ns / 1000 + 1) * 1000 * q->ms;
	else if (q->ms)
		by_time = 1024 * PAGE_SIZE;
	return max(min(sz, by_time), PAGE_SIZE);
}

static void quota_window(struct damos_quota *q)
{
	u64 now = port_now_ns();

	if (now - q->window_ns < q->reset_ms * NS_PER_MS)
		return;
	q->window_ns = now;
	q->charged_sz = 0;
	q->exhausted = false;
}

/* R is wanted: do it, as far as the quota goes. */
static void apply_one(struct damon_ctx *ctx, struct damon_region *r)
{
	struct damos *s = ctx->scheme;
	struct damos_quota *q = &s->quota;
	u64 all = quota_size(q), size = r->end - r->start, done, start;
	u64 left = all > q->charged_sz
			   ? ALIGN_DOWN(all - q->charged_sz, PAGE_SIZE)
			   : 0;

	if (!left || (size > left &&
		      !damon_split_at(&ctx->target, r, r->start + left))) {
		if (!q->exhausted)
			s->stat.qt_exceeds++;
		q->exhausted = true;
		q->charge_from = r->start;
		return;
	}
	size = r->end - r->start;
	s->stat.nr_tried++;
	s->stat.sz_tried += size;
	start = port_now_ns();
	done = ctx->ops->apply(ctx, r->start, r->end, s->action);
	q->total_ns += port_now_ns() - start;
	q->total_sz += size;
	q->charged_sz += size;
	s->stat.nr_applied += done != 0;
	s->stat.sz_applied += done;
	if (s->action != DAMOS_STAT)
		r->age = 0;
}

void damos_apply(struct damon_ctx *ctx)
{
	struct damos_quota *q = &ctx->scheme->quota;
	u64 from;
	struct damon_region *r;

	quota_window(q);
	from = q->charge_from;
	q->charge_from = 0;
	list_for_each_entry (r, &ctx->target.regions, list) {
		if (q->exhausted) {
			q->charge_from = q->charge_from ? q->charge_from : from;
			return;
		}
		/* Merged meanwhile with what had its turn. */
		if (r->start < from && r->end > from &&
		    damon_split_at(&ctx->target, r, from))
			continue;
		if (r->start >= from && wanted(ctx->scheme, r))
			apply_one(ctx, r);
	}
}

u64 damos_wait(struct damos *s)
{
	struct damos_wmarks *w = &s->wmarks;
	u64 free;

	if (!w->high)
		return 0;
	free = global_zone_page_state(NR_FREE_PAGES) * 1000 / totalram_pages();
	if (free > w->high || free < w->low)
		w->activated = false;
	else if (free < w->mid)
		w->activated = true;
	return w->activated ? 0 : w->interval_us * 1000;
}
