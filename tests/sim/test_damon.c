/* SPDX-License-Identifier: MIT */
/*
 * Watching by regions, against programs whose use of memory is known: hot
 * addresses are found with as many regions as are allowed, cold ones are paged
 * out within quota and watermarks, and every page holds what was stored.
 */
#include "calls.h"

#include "policy/policy.h"
#include "space/rmap.h"

#define PAGES	1024u
#define HOT_LEN 64u

static const u64 hot_from[2] = {100, 700};
static uva_t base;

static bool is_hot(u64 page)
{
	return (page >= hot_from[0] && page < hot_from[0] + HOT_LEN) ||
	       (page >= hot_from[1] && page < hot_from[1] + HOT_LEN);
}

/* ---- a program -------------------------------------------------------------
 */

struct program {
	struct mm_struct *mm;
	bool stop;
	u64 sweeps, faults;
	struct port_thread *thread;
};

/* Reads and writes the hot pages, again and again. */
static void program_main(void *arg)
{
	struct program *p = arg;

	tm_use(p->mm);
	while (!READ_ONCE(p->stop)) {
		for (u64 i = 0; i < PAGES; i++) {
			if (!is_hot(i))
				continue;
			CHECK_EQ(tm_load(base + P(i)), i + 1);
			tm_store(base + P(i), i + 1);
		}
		p->sweeps++;
		port_park(300 * 1000);
	}
	p->faults = port_current()->maj_flt + port_current()->min_flt;
	tm_use(NULL);
}

static void program_start(struct program *p, struct mm_struct *mm)
{
	*p = (struct program){.mm = mm};
	CHECK_EQ(sim_thread_start_on(&p->thread, "program", 1, program_main, p),
		 0);
}

static void program_end(struct program *p)
{
	WRITE_ONCE(p->stop, true);
	port_thread_join(p->thread);
	CHECK(p->sweeps > 10);
}

static struct mm_struct *filled_mm(void)
{
	struct mm_struct *mm = tm_mm();

	tm_use(mm);
	base = tm_map(mm, PAGES);
	for (u64 i = 0; i < PAGES; i++)
		tm_store(base + P(i), i + 1);
	lru_add_drain_all();
	return mm;
}

static void filled_end(struct mm_struct *mm)
{
	for (u64 i = 0; i < PAGES; i++)
		CHECK_EQ(tm_load(base + P(i)), i + 1);
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
}

/* Until CTX has aggregated N times more. */
static void aggregations(struct damon_ctx *ctx, u64 n)
{
	u64 until = READ_ONCE(ctx->aggregations) + n;

	while (READ_ONCE(ctx->aggregations) < until)
		port_park(1000 * 1000);
}

/* ---- what is found ---------------------------------------------------------
 */

struct found {
	u64 skip, seen, most_regions;
	u64 regions;	/* the sum of their numbers after merging */
	u64 sum[PAGES]; /* samples that were used, of the region of each page */
};

static void note(struct damon_ctx *ctx, void *arg)
{
	struct found *f = arg;
	struct damon_region *r;

	damon_check(ctx);
	f->most_regions = max(f->most_regions, (u64)ctx->target.nr_regions);
	if (ctx->aggregations <= f->skip)
		return;
	f->seen++;
	f->regions += ctx->target.nr_regions;
	list_for_each_entry (r, &ctx->target.regions, list)
		for (u64 i = 0; i < PAGES; i++)
			if (base + P(i) >= r->start && base + P(i) < r->end)
				f->sum[i] += r->nr_accesses;
}

static const struct damon_ctx small = {
	.sample_us = 1000,
	.aggr_us = 20000,
	.update_us = 200000,
	.min_nr_regions = 10,
	.max_nr_regions = 80,
	.ops = &damon_vaddr_ops,
};

/* Twenty samples an aggregation: of hot pages most are used, of cold few. */
static int found_body(void *arg)
{
	struct mm_struct *mm = filled_mm();
	struct found *f = calloc(1, sizeof(*f));
	struct damon_ctx ctx = small;
	u64 hot = 0, cold = 0, full;
	struct program p;

	(void)arg;
	f->skip = 20;
	ctx.target.mm = mm;
	ctx.after_aggregation = note;
	ctx.arg = f;
	program_start(&p, mm);
	CHECK_EQ(damon_start(&ctx), 0);
	CHECK_EQ(damon_start(&ctx), -EBUSY);
	aggregations(&ctx, 60);
	damon_stop(&ctx);
	program_end(&p);
	for (u64 i = 0; i < PAGES; i++)
		*(is_hot(i) ? &hot : &cold) += f->sum[i];
	full = f->seen * ctx.aggr_us / ctx.sample_us;
	hot = hot * 100 / (2 * HOT_LEN * full);
	cold = cold * 100 / ((PAGES - 2 * HOT_LEN) * full);
	snprintf(tm_context, sizeof(tm_context),
		 "hot %llu %%, cold %llu %%, regions %llu, mean %llu",
		 (unsigned long long)hot, (unsigned long long)cold,
		 (unsigned long long)f->most_regions,
		 (unsigned long long)(f->regions / f->seen));
	CHECK(f->seen >= 30);
	CHECK(hot > 80 && cold < 10);
	CHECK(f->most_regions <= ctx.max_nr_regions);
	CHECK(f->most_regions > ctx.min_nr_regions);
	/* Neighbours that are used alike do not stay apart. */
	CHECK(f->regions / f->seen < ctx.max_nr_regions / 2);
	free(f);
	filled_end(mm);
	return 0;
}

static void test_found(void **state)
{
	(void)state;
	TM_RUN(found_body, .mem = 32UL << 20, .swap_pages = 4096, .cpus = 2);
}

/* ---- what is done ----------------------------------------------------------
 */

static const struct damos cold_scheme = {
	.min_sz = PAGE_SIZE,
	.max_sz = ~0ull,
	.min_age = 5,
	.max_age = ~0u,
	.action = DAMOS_PAGEOUT,
};

/* Cold pages go, hot ones stay where they are. */
static int pageout_body(void *arg)
{
	struct mm_struct *mm = filled_mm();
	struct damos s = cold_scheme;
	struct damon_ctx ctx = small;
	struct program p;
	u64 rss;

	(void)arg;
	ctx.target.mm = mm;
	ctx.scheme = &s;
	program_start(&p, mm);
	CHECK_EQ(damon_start(&ctx), 0);
	aggregations(&ctx, 120);
	damon_stop(&ctx);
	rss = mm_rss(mm);
	program_end(&p);
	snprintf(tm_context, sizeof(tm_context), "rss %llu faults %llu",
		 (unsigned long long)rss, (unsigned long long)p.faults);
	CHECK(rss < PAGES / 2);
	CHECK(rss >= 2 * HOT_LEN);
	CHECK(s.stat.nr_applied > 0 && s.stat.sz_applied <= s.stat.sz_tried);
	/* Mistakes cost something, but far less than all came back. */
	CHECK(p.faults < HOT_LEN);
	filled_end(mm);
	return 0;
}

static u64 quota_most;

static void note_quota(struct damon_ctx *ctx, void *arg)
{
	u64 *last = arg, now = ctx->scheme->stat.sz_tried;

	quota_most = max(quota_most, now - *last);
	*last = now;
}

/* One window for each aggregation: it never does more than the quota, and in
 * the end has been everywhere. */
static int quota_body(void *arg)
{
	struct mm_struct *mm = filled_mm();
	struct damos s = cold_scheme;
	struct damon_ctx ctx = small;
	u64 last = 0;

	(void)arg;
	s.quota = (struct damos_quota){.sz = 32 * PAGE_SIZE, .reset_ms = 20};
	ctx.target.mm = mm;
	ctx.scheme = &s;
	ctx.after_aggregation = note_quota;
	ctx.arg = &last;
	quota_most = 0;
	CHECK_EQ(damon_start(&ctx), 0);
	aggregations(&ctx, 25);
	CHECK(mm_rss(mm) > PAGES / 4);
	aggregations(&ctx, 100);
	damon_stop(&ctx);
	CHECK(quota_most > 0 && quota_most <= 32 * PAGE_SIZE);
	CHECK(s.stat.qt_exceeds > 10);
	CHECK(mm_rss(mm) < PAGES / 4);
	filled_end(mm);
	return 0;
}

/* ---- what goes first -------------------------------------------------------
 */

#define HALF (PAGES / 2)

static struct {
	u64 low, high; /* pages of each half that were acted upon */
	bool touch;    /* the low half is in use */
} order;

static u64 note_apply(struct damon_ctx *ctx, u64 start, u64 end,
		      enum damos_action action)
{
	for (u64 at = start; at < end; at += PAGE_SIZE)
		*(at < base + P(HALF) ? &order.low : &order.high) += 1;
	return damon_vaddr_ops.apply(ctx, start, end, action);
}

/* It uses the low half until it is told not to. */
static void low_main(void *arg)
{
	struct program *p = arg;

	tm_use(p->mm);
	while (!READ_ONCE(p->stop)) {
		for (u64 i = 0; READ_ONCE(order.touch) && i < HALF; i++)
			CHECK_EQ(tm_load(base + P(i)), i + 1);
		p->sweeps++;
		port_park(300 * 1000);
	}
	tm_use(NULL);
}

/* The high half was never used, the low one until a while ago: both are cold
 * enough when the scheme may begin. */
static void note_age(struct damon_ctx *ctx, void *arg)
{
	(void)arg;
	damon_check(ctx);
	if (ctx->aggregations == 40)
		WRITE_ONCE(order.touch, false);
	if (ctx->aggregations == 60)
		ctx->scheme->min_age = 5;
}

/* 8 windows of 32 pages: with the weight ARG of age the high half's. */
static int order_body(void *arg)
{
	struct damon_operations ops = damon_vaddr_ops;
	struct mm_struct *mm = filled_mm();
	struct program p = {.mm = mm};
	struct damos s = cold_scheme;
	struct damon_ctx ctx = small;

	ops.apply = note_apply;
	order.low = order.high = 0;
	order.touch = true;
	s.min_age = ~0u;
	s.quota = (struct damos_quota){.sz = 32 * PAGE_SIZE,
				       .reset_ms = 20,
				       .weight_age = *(const u32 *)arg};
	ctx.ops = &ops;
	ctx.target.mm = mm;
	ctx.scheme = &s;
	ctx.after_aggregation = note_age;
	CHECK_EQ(sim_thread_start_on(&p.thread, "program", 1, low_main, &p), 0);
	CHECK_EQ(damon_start(&ctx), 0);
	aggregations(&ctx, 68);
	damon_stop(&ctx);
	program_end(&p);
	snprintf(tm_context, sizeof(tm_context), "low %llu high %llu",
		 (unsigned long long)order.low, (unsigned long long)order.high);
	CHECK(order.low + order.high >= 128);
	filled_end(mm);
	return 0;
}

static void test_order(void **state)
{
	u32 weight = 0;

	(void)state;
	for (u64 seed = 1; seed < 5; seed++) {
		weight = 0;
		TM_RUN(order_body, .arg = &weight, .mem = 32UL << 20,
		       .swap_pages = 4096, .cpus = 2, .seed = seed);
		assert_true(order.low > 9 * order.high);
		weight = 1;
		TM_RUN(order_body, .arg = &weight, .mem = 32UL << 20,
		       .swap_pages = 4096, .cpus = 2, .seed = seed);
		assert_true(order.high > 9 * order.low);
	}
}

/* The space ends while it is watched. */
static int ends_body(void *arg)
{
	struct mm_struct *mm = filled_mm();
	struct damos s = cold_scheme;
	struct damon_ctx ctx = small;

	(void)arg;
	ctx.target.mm = mm;
	ctx.scheme = &s;
	CHECK_EQ(damon_start(&ctx), 0);
	aggregations(&ctx, 10);
	tm_use(NULL);
	mm_put(mm);
	port_park(50 * 1000 * 1000);
	damon_stop(&ctx);
	CHECK(list_empty(&ctx.target.regions));
	/* What makes no sense. */
	ctx.min_nr_regions = 2;
	CHECK_EQ(damon_start(&ctx), -EINVAL);
	ctx = small;
	ctx.aggr_us = ctx.sample_us - 1;
	CHECK_EQ(damon_start(&ctx), -EINVAL);
	return 0;
}

static int marks_body(void *arg)
{
	u64 free =
		global_zone_page_state(NR_FREE_PAGES) * 1000 / totalram_pages();
	struct damos s = cold_scheme;

	(void)arg;
	CHECK_EQ(damos_wait(&s), 0);
	s.wmarks = (struct damos_wmarks){.interval_us = 7,
					 .high = (u32)free - 1,
					 .mid = (u32)free - 2,
					 .low = 0};
	CHECK_EQ(damos_wait(&s), 7000); /* plenty */
	s.wmarks.high = (u32)free + 50;
	CHECK_EQ(damos_wait(&s), 7000); /* not below mid yet */
	s.wmarks.mid = (u32)free + 20;
	CHECK_EQ(damos_wait(&s), 0);
	s.wmarks.mid = (u32)free - 2;
	CHECK_EQ(damos_wait(&s), 0); /* it goes on up to high */
	s.wmarks.low = (u32)free + 1;
	CHECK_EQ(damos_wait(&s), 7000); /* too little */
	s.wmarks.low = 0;
	CHECK_EQ(damos_wait(&s), 7000);
	return 0;
}

static void test_done(void **state)
{
	(void)state;
	TM_RUN(pageout_body, .mem = 32UL << 20, .swap_pages = 4096, .cpus = 2);
	TM_RUN(quota_body, .mem = 32UL << 20, .swap_pages = 4096);
	TM_RUN(ends_body, .mem = 32UL << 20, .swap_pages = 4096);
	TM_RUN(marks_body);
}

/* ---- proactive reclaim -----------------------------------------------------
 */

#define PARAMS "/sys/module/damon_reclaim/parameters/"

static s64 set(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), PARAMS "%s", name);
	return mm_write(path, value, strlen(value));
}

static u64 get(const char *name)
{
	char path[128], text[64] = "";
	struct seq_buf s;

	snprintf(path, sizeof(path), PARAMS "%s", name);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show(path, &s), 0);
	return *text == 'Y' ? 1 : *text == 'N' ? 0 : strtoull(text, NULL, 10);
}

static int reclaim_body(void *arg)
{
	struct mm_struct *mm = filled_mm();
	struct program p;
	u64 free, rss = 0, now = 0;

	(void)arg;
	CHECK_EQ(get("enabled"), 0);
	CHECK_EQ(get("min_age"), 120000000);
	CHECK_EQ(get("quota_sz"), 128 << 20);
	CHECK_EQ(get("wmarks_mid"), 400);
	CHECK_EQ(set("min_age", "100000\n"), 7);
	CHECK_EQ(set("min_age", "x"), -EINVAL);
	CHECK_EQ(set("nr_quota_exceeds", "1"), -EACCES);
	CHECK_EQ(set("nothing", "1"), -ENOENT);
	set("sample_interval", "1000");
	set("aggr_interval", "20000");
	set("wmarks_interval", "1000");
	set("wmarks_high", "1000");
	set("wmarks_mid", "999");
	set("wmarks_low", "0");
	set("quota_ms", "0");
	set("max_nr_regions", "5");
	CHECK_EQ(set("enabled", "Y"), -EINVAL);
	CHECK_EQ(get("enabled"), 0);
	set("max_nr_regions", "300");
	free = global_zone_page_state(NR_FREE_PAGES);
	program_start(&p, mm);
	CHECK_EQ(set("enabled", "Y\n"), 2);
	CHECK_EQ(get("enabled"), 1);
	/* What was written only is freed when its turn comes again. */
	for (int i = 0; i < 3000; i++) {
		rss = mm_rss(mm);
		now = global_zone_page_state(NR_FREE_PAGES);
		if (rss <= PAGES / 2 && now > free + PAGES / 4)
			break;
		port_park(1000 * 1000);
	}
	CHECK(get("bytes_reclaimed_regions") >= P(PAGES / 4));
	CHECK(get("nr_reclaim_tried_regions") >= get("nr_reclaimed_regions"));
	CHECK_EQ(set("commit_inputs", "Y"), 1);
	CHECK_EQ(set("enabled", "N"), 1);
	CHECK_EQ(get("enabled"), 0);
	program_end(&p);
	snprintf(tm_context, sizeof(tm_context), "rss %llu faults %llu",
		 (unsigned long long)rss, (unsigned long long)p.faults);
	CHECK(rss <= PAGES / 2);
	CHECK(now > free + PAGES / 4);
	filled_end(mm);
	return 0;
}

static void test_reclaim(void **state)
{
	(void)state;
	TM_RUN(reclaim_body, .mem = 32UL << 20, .swap_pages = 4096, .cpus = 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_done),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_reclaim),
	};

	return cmocka_run_group_tests_name("damon", tests, NULL, NULL);
}
