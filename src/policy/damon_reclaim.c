/* SPDX-License-Identifier: MIT */
/*
 * damon_reclaim.c - memory that nobody used for long is given up before it is
 * short.
 *
 * All RAM is watched. Regions in which no sample was used for min_age are paged
 * out, as much as the quota allows, while the watermarks say so. Off at boot.
 * Parameters are read when it is turned on, and when commit_inputs is set.
 *
 * Reference: Linux documentation, admin-guide/mm/damon/reclaim.
 */
#include <mmkit/errno.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "phys/mmzone.h"
#include "phys/phys.h"
#include "policy/policy.h"

static struct damon_reclaim_state *dr(void)
{
	return &policy_sys.damon;
}

void damon_reclaim_init(void)
{
	struct damon_reclaim_state *d = dr();

	mutex_init(&d->lock, LOCK_CLASS_NONE);
	d->min_age = 120000000;
	d->quota_ms = 10;
	d->quota_sz = 128ull << 20;
	d->quota_reset_interval_ms = 1000;
	d->wmarks_interval = 5000000;
	d->wmarks_high = 500;
	d->wmarks_mid = 400;
	d->wmarks_low = 200;
	d->sample_interval = 5000;
	d->aggr_interval = 100000;
	d->min_nr_regions = 10;
	d->max_nr_regions = 1000;
}

/* Scheme and context as the parameters say. */
static void set_up(struct damon_reclaim_state *d)
{
	struct damon_ctx *c = &d->ctx;

	d->scheme = (struct damos){
		.min_sz = PAGE_SIZE,
		.max_sz = ~0ull,
		.min_age = (u32)(d->min_age / max(d->aggr_interval, (u64)1)),
		.max_age = ~0u,
		.action = DAMOS_PAGEOUT,
		.quota = {.ms = d->quota_ms,
			  .sz = d->quota_sz,
			  .reset_ms = d->quota_reset_interval_ms,
			  .weight_age = 1},
		.wmarks = {.interval_us = d->wmarks_interval,
			   .high = (u32)d->wmarks_high,
			   .mid = (u32)d->wmarks_mid,
			   .low = (u32)d->wmarks_low},
	};
	mm_memset(c, 0, sizeof(*c));
	c->sample_us = d->sample_interval;
	c->aggr_us = d->aggr_interval;
	c->update_us = 60000000;
	c->min_nr_regions = (u32)d->min_nr_regions;
	c->max_nr_regions = (u32)d->max_nr_regions;
	c->ops = &damon_paddr_ops;
	c->scheme = &d->scheme;
	c->start = PAGE_ALIGN(d->monitor_region_start);
	c->end = d->monitor_region_end & PAGE_MASK;
	if (!d->monitor_region_end)
		c->end = phys_sys.hot.max_pfn << PAGE_SHIFT;
}

static int turn_on(struct damon_reclaim_state *d)
{
	int err;

	if (d->enabled)
		return 0;
	set_up(d);
	if (d->ctx.start >= d->ctx.end || d->wmarks_high < d->wmarks_mid ||
	    d->wmarks_mid < d->wmarks_low)
		return -EINVAL;
	err = damon_start(&d->ctx);
	d->enabled = !err;
	return err;
}

static void turn_off(struct damon_reclaim_state *d)
{
	damon_stop(&d->ctx);
	d->enabled = 0;
}

void damon_reclaim_stop(void)
{
	struct damon_reclaim_state *d = dr();

	mutex_lock(&d->lock);
	turn_off(d);
	mutex_unlock(&d->lock);
}

/* ---- parameters ------------------------------------------------------------
 */

#define PARAM(n)                              \
	{                                     \
#n, &policy_sys.damon.n, true \
	}
#define COUNT(n, of)                                        \
	{                                                   \
#n, &policy_sys.damon.scheme.stat.of, false \
	}

static const struct damon_param {
	const char *name;
	u64 *value;
	bool writable;
} params[] = {
	PARAM(min_age),
	PARAM(quota_ms),
	PARAM(quota_sz),
	PARAM(quota_reset_interval_ms),
	PARAM(wmarks_interval),
	PARAM(wmarks_high),
	PARAM(wmarks_mid),
	PARAM(wmarks_low),
	PARAM(sample_interval),
	PARAM(aggr_interval),
	PARAM(min_nr_regions),
	PARAM(max_nr_regions),
	PARAM(monitor_region_start),
	PARAM(monitor_region_end),
	COUNT(nr_reclaim_tried_regions, nr_tried),
	COUNT(bytes_reclaim_tried_regions, sz_tried),
	COUNT(nr_reclaimed_regions, nr_applied),
	COUNT(bytes_reclaimed_regions, sz_applied),
	COUNT(nr_quota_exceeds, qt_exceeds),
};

static const struct damon_param *param_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(params); i++)
		if (!mm_strcmp(params[i].name, name))
			return &params[i];
	return NULL;
}

int damon_reclaim_show(const char *name, struct seq_buf *out)
{
	const struct damon_param *p = param_find(name);
	const struct damon_reclaim_state *d = dr();

	if (!mm_strcmp(name, "enabled"))
		seq_puts(out, READ_ONCE(d->enabled) ? "Y\n" : "N\n");
	else if (!mm_strcmp(name, "commit_inputs"))
		seq_puts(out, "N\n");
	else if (p)
		seq_printf(out, "%llu\n",
			   (unsigned long long)READ_ONCE(*p->value));
	else
		return -ENOENT;
	return 0;
}

static int parse_number(const char *text, size_t len, u64 *out)
{
	u64 v = 0;

	if (!len || len > 18)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		v = v * 10 + (u64)(text[i] - '0');
	}
	*out = v;
	return 0;
}

static int parse_yes_no(const char *text, size_t len, bool *out)
{
	if (len != 1)
		return -EINVAL;
	*out = *text == 'Y' || *text == 'y' || *text == '1';
	return *out || *text == 'N' || *text == 'n' || *text == '0' ? 0
								    : -EINVAL;
}

/* enabled (ON: as written), or commit_inputs, which begins anew if it works. */
static int turn(struct damon_reclaim_state *d, bool commit, bool on)
{
	int err = 0;

	mutex_lock(&d->lock);
	if (commit && (!on || !d->enabled)) {
		mutex_unlock(&d->lock);
		return 0;
	}
	if (commit || !on)
		turn_off(d);
	if (on)
		err = turn_on(d);
	mutex_unlock(&d->lock);
	return err;
}

int damon_reclaim_store(const char *name, const char *text, size_t len)
{
	const struct damon_param *p = param_find(name);
	bool commit = !mm_strcmp(name, "commit_inputs"), on;
	int err;
	u64 v;

	if (len && text[len - 1] == '\n')
		len--;
	if (commit || !mm_strcmp(name, "enabled")) {
		err = parse_yes_no(text, len, &on);
		return err ? err : turn(dr(), commit, on);
	}
	if (!p)
		return -ENOENT;
	if (!p->writable)
		return -EACCES;
	err = parse_number(text, len, &v);
	if (!err)
		WRITE_ONCE(*p->value, v);
	return err;
}
