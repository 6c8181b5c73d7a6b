/* SPDX-License-Identifier: MIT */
/*
 * The whole manager: random processes under memory pressure, each against a
 * byte-exact model, on 1 to 4 CPUs, with and without explored schedules.
 */
#include "sim_machine.h"

#define WL_CHECK(c)		CHECK(c)
#define WL_WRITE(va, from, len) sim_copy_to_user(va, from, len)
#define WL_READ(to, va, len)	sim_copy_from_user(to, va, len)
#define WL_LOCK()		((void)0)
#define WL_UNLOCK()		((void)0)

#include "model_whole.h"
#include "reclaim/reclaim.h"
/* It needs the groups. */
#include "stir.h"

struct whole {
	u32 procs, ops, fill, live;
	u64 seed;
	bool groups;   /* in control groups */
	u64 limited;   /* out: how often they were at a limit */
	bool exchange; /* the policy, all the time */
	bool ksm;      /* equal pages are merged all the time */
	u32 stir;      /* STIR_* */
	volatile bool done;
};

static void whole_thread(void *arg)
{
	struct wl_proc *p = arg;

	wl_life(p);
}

static int wl_start(struct wl_proc *p)
{
	int cpu = (int)(p->id % (u32)tm.cfg.cpus), err;

	p->next = wl.started;
	wl.started = p;
	err = sim_thread_start_on(&p->thread, "whole", cpu, whole_thread, p);
	CHECK_EQ(err, 0);
	return 0;
}

static u64 swapped_out, swapped_in;

static u32 nr_policies(void)
{
	u32 n = 0;

	while (reclaim_policy(n))
		n++;
	return n;
}

/* Pages move from policy to policy while all goes on. */
static void exchange_thread(void *arg)
{
	const struct whole *w = arg;
	struct prng r;
	int nid = 0;

	prng_seed(&r, w->seed);
	while (!w->done) {
		u32 i = (u32)prng_below(&r, nr_policies());

		CHECK_EQ(reclaim_select(reclaim_policy(i)->name), 0);
		lru_check(&NODE_DATA(nid)->lruvec);
		port_park(prng_range(&r, 1000, 3000000));
	}
}

static u64 ksm_swapped, ksm_copied;

/* The daemon hardly rests. */
static void ksm_open(u64 seed)
{
	/* Without a pause it and a write may go in step on one CPU: the copy is
	 * merged again before the write is tried again. */
	stir_ksm("sleep_millisecs", seed & 1);
	stir_ksm("pages_to_scan", 50);
	stir_ksm("smart_scan", seed & 1);
	stir_ksm("use_zero_pages", seed >> 1 & 1);
	stir_ksm("max_page_sharing", seed >> 2 & 1 ? 256 : 3);
	stir_ksm("run", 1);
}

static void ksm_close(void)
{
	ksm_swapped = sum_vm_event(KSM_SWPIN_COPY);
	ksm_copied = sum_vm_event(COW_KSM);
	ksm_check();
	CHECK_EQ(merge_sys.rmap_items, 0);
	stir_ksm("run", 2);
	ksm_check();
	CHECK_EQ(space_sys.ksm_zero_pages, 0);
	wl_ksm = false;
}

static int whole_body(void *arg)
{
	struct whole *w = arg;
	struct port_thread *t = NULL;

	if (w->exchange)
		CHECK_EQ(sim_thread_start_on(&t, "exchange", 0, exchange_thread,
					     w),
			 0);
	if (w->groups)
		wg_open((u32)(tm.cfg.mem >> PAGE_SHIFT));
	if (w->stir)
		stir_open(w->stir, w->seed);
	else if (w->ksm)
		ksm_open(w->seed);
	wl_run(w->procs, w->ops, w->fill, w->live, w->seed);
	w->done = true;
	if (t)
		port_thread_join(t);
	stir_close();
	w->limited = wg_close();
	if (w->ksm && !w->stir)
		ksm_close();
	lru_check(&NODE_DATA(0)->lruvec);
	swapped_out = sum_vm_event(PSWPOUT);
	swapped_in = sum_vm_event(PSWPIN);
	return 0;
}

/* One seed chooses everything about a run but the POLICY and what *W says. */
static void run_wishes(struct whole *w, const char *policy)
{
	struct tm_config cfg = {.body = whole_body, .arg = w, .nodes = 1};
	u64 seed = w->seed;
	struct prng r;

	prng_seed(&r, seed);
	w->procs = (u32)prng_range(&r, 2, 5);
	w->live = w->procs + (u32)prng_below(&r, 4);
	cfg.mem = prng_range(&r, 5, 12) << 20;
	/* Together about twice the RAM, before anything else happens. */
	w->fill = (u32)min((cfg.mem >> PAGE_SHIFT) * 2 / w->procs, 1500UL);
	cfg.swap_pages = 32768;
	cfg.cpus = (int)prng_range(&r, 1, 4);
	cfg.explore = prng_one_in(&r, 2);
	cfg.seed = seed;
	cfg.policy = policy;
	if (w->stir) {
		cfg.nodes = (int)prng_range(&r, 1, 2);
		/* Blocks of 2 MiB want room. */
		cfg.mem += prng_one_in(&r, 2) ? 10UL << 20 : 0;
	}
	snprintf(tm_context, sizeof(tm_context),
		 "(replay: SEED=%llu ITERS=1, policy %s%s, stirred %x)",
		 (unsigned long long)seed, policy ? policy : "classic",
		 w->exchange ? ", exchanged" : "", w->stir);
	tm_run(&cfg);
}

static u64 run_whole(u64 seed, u32 ops, const char *policy, bool exchange,
		     bool groups)
{
	struct whole w = {.ops = ops,
			  .seed = seed,
			  .exchange = exchange,
			  .ksm = wl_ksm,
			  .groups = groups};

	run_wishes(&w, policy);
	return w.limited;
}

/* What the program WL does about its memory besides. */
static void stir_proc(struct wl_proc *p, struct mm_struct *mm)
{
	stir_op(&p->rng, mm, WL_BASE, WL_PAGES);
}

/* With all that moves, merges, makes huge, or some of it. */
static void run_stirred(u64 seed)
{
	struct whole w = {.ops = 120, .seed = seed};
	struct prng r;

	prng_seed(&r, seed * 3 + 1);
	w.stir = prng_one_in(&r, 2) ? STIR_ALL : 1 + prng_u32(&r) % STIR_ALL;
	w.groups = prng_one_in(&r, 2);
	wl_ksm = (w.stir & STIR_KSM) != 0;
	wl_stir = stir_proc;
	run_wishes(&w, NULL);
	wl_ksm = false;
	wl_stir = NULL;
}

static void run_policy(u64 seed, u32 ops, const char *policy, bool exchange)
{
	(void)run_whole(seed, ops, policy, exchange, false);
}

/* In control groups; the policy by the seed. How often a limit was met. */
static u64 run_groups(u64 seed, u32 ops)
{
	u32 k = (u32)(seed % (2 * nr_policies()));
	const char *policy = k < nr_policies() ? reclaim_policy(k)->name : NULL;

	return run_whole(seed, ops, policy, seed % 5 == 0, true);
}

static void run_seed(u64 seed, u32 ops)
{
	run_policy(seed, ops, NULL, false);
}

static void random_processes(void **state)
{
	u64 seed = test_first(), n = test_share(tm_soak() ? 100 : 12);
	u64 bytes = 0, out = 0, in = 0;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		run_seed(seed + i, 150);
		bytes += wl.checked_bytes;
		out += swapped_out;
		in += swapped_in;
		if (getenv("VERBOSE"))
			fprintf(stderr,
				"seed %llu: %u processes, %llu out, %llu in, %llu forks, %llu execs, %llu signals\n",
				(unsigned long long)(seed + i),
				wl.started_total,
				(unsigned long long)swapped_out,
				(unsigned long long)swapped_in,
				(unsigned long long)wl.forks,
				(unsigned long long)wl.execs,
				(unsigned long long)wl.segvs);
	}
	fprintf(stderr,
		"whole: seeds %llu..%llu, %llu bytes compared, %llu pages out, %llu in\n",
		(unsigned long long)seed, (unsigned long long)(seed + n - 1),
		(unsigned long long)bytes, (unsigned long long)out,
		(unsigned long long)in);
	assert_true(bytes > 0 && out > 1000 * n && in > 100 * n);
}

/* The same under each of the other policies, and while they change. */
static void every_policy(void **state)
{
	u64 seed = test_first(), n = test_share(tm_soak() ? 50 : 3);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		for (u32 k = 1; k < nr_policies(); k++) {
			run_policy(seed + i, 100, reclaim_policy(k)->name,
				   false);
			assert_true(swapped_out > 500 && swapped_in > 50);
		}
		run_policy(seed + i, 100, NULL, true);
		assert_true(swapped_out > 500 && swapped_in > 50);
	}
}

/* The same in control groups with limits, and moving between them: no byte is
 * lost, nobody is killed, nothing is left of a group. */
static void in_groups(void **state)
{
	u64 seed = test_first(), n = test_share(tm_soak() ? 100 : 8);
	u64 limited = 0;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		limited += run_groups(seed + i, 150);
		assert_true(wl.checked_bytes > 0);
	}
	assert_true(limited > 10 * n);
}

/* The same while equal pages are merged: much is equal, all is written. */
static void merging(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 200 : 6);
	u64 copied = 0, back = 0;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		wl_ksm = true;
		(void)run_whole(seed + i, 150, NULL, false, i % 3 == 2);
		copied += ksm_copied;
		back += ksm_swapped;
	}
	fprintf(stderr, "merging: %llu copied when written, %llu after swap\n",
		(unsigned long long)copied, (unsigned long long)back);
	assert_true(copied > 100 * n && back > 0);
}

/* The same while pages move, become huge and are merged, while policies, swap
 * areas and limits change: no byte is another, nobody is killed. */
static void stirred(void **state)
{
	u64 seed = test_first(), n = test_share(tm_soak() ? 100 : 12);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		run_stirred(seed + i);
		assert_true(wl.checked_bytes > 0);
	}
	fprintf(stderr, "whole: seeds %llu..%llu\n", (unsigned long long)seed,
		(unsigned long long)(seed + n - 1));
	stir_tell(stderr);
	assert_true(!stir_total(STIR_OOM_KILL));
	assert_true(n < 3 ||
		    (stir_total(STIR_PGMIGRATE_SUCCESS) > 100 * n &&
		     stir_total(STIR_THP_FAULT_ALLOC) &&
		     stir_total(STIR_THP_SPLIT_PMD) &&
		     stir_total(STIR_MERGED) > n && stir_total(STIR_COW_KSM)));
}

/* Equal seeds: equal counters and equal virtual time; others differ. */
static void determinism(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	for (u64 s = seed; s < seed + 2; s++) {
		u64 digest, end;

		run_seed(s, 60);
		digest = tm.digest;
		end = tm.end_ns;
		run_seed(s, 60);
		assert_true(digest == tm.digest && end == tm.end_ns);
		run_seed(s + 1000, 60);
		assert_true(digest != tm.digest);
	}
}

/* ---- threads of one space
 * ---------------------------------------------------- */

static int sharers_body(void *arg)
{
	struct sharer s[SHARERS];
	struct mm_struct *mm = sharers_mm();

	stir_open(*(u32 *)arg, tm.cfg.seed);
	stir_begin(mm);
	for (u32 i = 0; i < SHARERS; i++) {
		s[i] = (struct sharer){.mm = mm, .id = i, .seed = tm.cfg.seed};
		CHECK_EQ(sim_thread_start_on(&s[i].thread, "sharer",
					     (int)i % tm.cfg.cpus,
					     sharer_thread, &s[i]),
			 0);
	}
	for (u32 i = 0; i < SHARERS; i++)
		port_thread_join(s[i].thread);
	mm_check(mm);
	mm_put(mm);
	stir_close();
	CHECK(tm.cfg.mem > 4UL << 20 || sum_vm_event(PSWPOUT) > 0);
	return 0;
}

static void run_sharers(u32 what)
{
	u64 seed = test_first(), n = test_share(tm_soak() ? 100 : 12);

	for (u64 i = 0; i < n; i++) {
		snprintf(tm_context, sizeof(tm_context),
			 "(threads of one space, SEED=%llu ITERS=1)",
			 (unsigned long long)(seed + i));
		TM_RUN(sharers_body, .arg = &what,
		       .mem = (i % 2 ? 8UL : 3UL) << 20, .swap_pages = 8192,
		       .seed = seed + i, .cpus = 1 + (int)(i % 4),
		       .explore = i % 3 != 0);
	}
}

static void sharers(void **state)
{
	(void)state;
	run_sharers(0);
}

static void sharers_stirred(void **state)
{
	(void)state;
	run_sharers(STIR_ALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_processes),
		cmocka_unit_test(merging),
		cmocka_unit_test(every_policy),
		cmocka_unit_test(in_groups),
		cmocka_unit_test(stirred),
		cmocka_unit_test(sharers),
		cmocka_unit_test(sharers_stirred),
		cmocka_unit_test(determinism),
	};

	return cmocka_run_group_tests_name("whole", tests, NULL, NULL);
}
