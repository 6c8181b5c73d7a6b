/* SPDX-License-Identifier: MIT */
/*
 * damos.c - what is done to regions that are used in a certain way: quotas and
 * watermarks.
 *
 * A quota bounds what a scheme does in each window of reset_ms: bytes, and
 * time, which becomes bytes by what was got done in a millisecond so far. A
 * region that is larger than what is left is split.
 *
 * What is done first. Each wanted region has a score from 0 to 99, which the
 * action suits the better the higher it is: a mean, by the user's weights, of
 * its size, of how seldom it is used, and of its age. Size and age are taken
 * against the greatest among those that are wanted. A region that is not used
 * is the colder the older it is; one that is used has been for the longer. A
 * histogram of bytes by score says down to which score the rest of the window
 * reaches: all above it are done, and of those that have just that score what
 * still fits. Among these, and with no weights among all, the next window goes
 * on where the last one ended, so that no address is favoured.
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

/* What is left of the window, whole pages. */
static u64 quota_left(const struct damos_quota *q)
{
	u64 all = quota_size(q);

	return all > q->charged_sz ? ALIGN_DOWN(all - q->charged_sz, PAGE_SIZE)
				   : 0;
}

/* ---- what is done first
 * ----------------------------------------------------- */

static bool has_weights(const struct damos_quota *q)
{
	return q->weight_sz || q->weight_nr_accesses || q->weight_age;
}

/* PART of WHOLE in 0 .. MOST. */
static u32 share(u64 part, u64 whole, u32 most)
{
	return whole ? (u32)(min(part, whole) * most / whole) : most;
}

/* How cold R is: of all actions that there are the cold come first. */
static u32 score_of(const struct damon_ctx *ctx, const struct damon_region *r)
{
	const struct damos_quota *q = &ctx->scheme->quota;
	const u32 half = DAMOS_MAX_SCORE / 2;
	u64 samples = max(ctx->aggr_us / max(ctx->sample_us, (u64)1), (u64)1);
	u64 all = (u64)q->weight_sz + q->weight_nr_accesses + q->weight_age;
	u32 sz = share(r->end - r->start, q->most.sz, DAMOS_MAX_SCORE);
	u32 seldom = DAMOS_MAX_SCORE -
		     share(r->nr_accesses, samples, DAMOS_MAX_SCORE);
	u32 old = share(r->age, q->most.age, half);
	u32 age = r->nr_accesses ? half - old : DAMOS_MAX_SCORE - half + old;

	return (u32)(((u64)sz * q->weight_sz +
		      (u64)seldom * q->weight_nr_accesses +
		      (u64)age * q->weight_age) /
		     all);
}

/* Down to which score does the rest of the window reach? */
static void find_min_score(struct damon_ctx *ctx)
{
	u64 bytes[DAMOS_MAX_SCORE + 1] = {0}, sum = 0;
	struct damos *s = ctx->scheme;
	struct damos_quota *q = &s->quota;
	u64 left = quota_left(q);
	struct damon_region *r;
	u32 score = DAMOS_MAX_SCORE;

	q->most.sz = q->most.age = 0;
	list_for_each_entry (r, &ctx->target.regions, list) {
		if (!wanted(s, r))
			continue;
		q->most.sz = max(q->most.sz, r->end - r->start);
		q->most.age = max(q->most.age, r->age);
	}
	list_for_each_entry (r, &ctx->target.regions, list)
		if (wanted(s, r))
			bytes[score_of(ctx, r)] += r->end - r->start;
	while (score && (sum += bytes[score]) < left)
		score--;
	q->min_score = score;
}

/* ---- doing it
 * --------------------------------------------------------------- */

/* R is wanted: do it, as far as the quota goes. */
static void apply_one(struct damon_ctx *ctx, struct damon_region *r)
{
	struct damos *s = ctx->scheme;
	struct damos_quota *q = &s->quota;
	u64 size = r->end - r->start, left = quota_left(q), done, start;

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

/* Those that come before any turn: their score is higher than the least. */
static void apply_best(struct damon_ctx *ctx)
{
	struct damos_quota *q = &ctx->scheme->quota;
	struct damon_region *r;

	list_for_each_entry (r, &ctx->target.regions, list)
		if (!q->exhausted && wanted(ctx->scheme, r) &&
		    score_of(ctx, r) > q->min_score)
			apply_one(ctx, r);
}

/* The others by address, from where the last window ended. */
static void apply_in_turn(struct damon_ctx *ctx, bool weighed)
{
	struct damos_quota *q = &ctx->scheme->quota;
	u64 from = q->charge_from;
	struct damon_region *r;

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
		if (r->start >= from && wanted(ctx->scheme, r) &&
		    (!weighed || score_of(ctx, r) == q->min_score))
			apply_one(ctx, r);
	}
}

void damos_apply(struct damon_ctx *ctx)
{
	struct damos_quota *q = &ctx->scheme->quota;
	bool weighed = has_weights(q);

	quota_window(q);
	if (weighed) {
		find_min_score(ctx);
		apply_best(ctx);
	}
	apply_in_turn(ctx, weighed);
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
