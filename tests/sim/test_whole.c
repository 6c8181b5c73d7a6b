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

#include <mmkit/ksm.h>

#include "merge/ksm.h"
#include "model_whole.h"
#include "reclaim/reclaim.h"

struct whole {
	u32 procs, ops, fill, live;
	u64 seed;
	bool groups;   /* in control groups */
	u64 limited;   /* out: how often they were at a limit */
	bool exchange; /* the policy, all the time */
	bool ksm;      /* equal pages are merged all the time */
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

static void ksm_set(const char *name, u64 value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	CHECK_EQ(mm_ksm_set(name, text), 0);
}

/* The daemon never rests. */
static void ksm_open(u64 seed)
{
	ksm_set("sleep_millisecs", 0);
	ksm_set("pages_to_scan", 50);
	ksm_set("smart_scan", seed & 1);
	ksm_set("use_zero_pages", seed >> 1 & 1);
	ksm_set("max_page_sharing", seed >> 2 & 1 ? 256 : 3);
	ksm_set("run", 1);
}

static void ksm_close(void)
{
	ksm_swapped = sum_vm_event(KSM_SWPIN_COPY);
	ksm_copied = sum_vm_event(COW_KSM);
	ksm_check();
	CHECK_EQ(merge_sys.rmap_items, 0);
	ksm_set("run", 2);
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
	if (w->ksm)
		ksm_open(w->seed);
	wl_run(w->procs, w->ops, w->fill, w->live, w->seed);
	w->limited = wg_close();
	w->done = true;
	if (t)
		port_thread_join(t);
	if (w->ksm)
		ksm_close();
	lru_check(&NODE_DATA(0)->lruvec);
	swapped_out = sum_vm_event(PSWPOUT);
	swapped_in = sum_vm_event(PSWPIN);
	return 0;
}

/* One seed chooses everything about a run but the POLICY. */
static u64 run_whole(u64 seed, u32 ops, const char *policy, bool exchange,
		     bool groups)
{
	struct whole w = {.ops = ops,
			  .seed = seed,
			  .exchange = exchange,
			  .ksm = wl_ksm,
			  .groups = groups};
	struct tm_config cfg = {.body = whole_body, .arg = &w};
	struct prng r;

	prng_seed(&r, seed);
	w.procs = (u32)prng_range(&r, 2, 5);
	w.live = w.procs + (u32)prng_below(&r, 4);
	cfg.mem = prng_range(&r, 5, 12) << 20;
	/* Together about twice the RAM, before anything else happens. */
	w.fill = (u32)min((cfg.mem >> PAGE_SHIFT) * 2 / w.procs, 1500UL);
	cfg.swap_pages = 32768;
	cfg.cpus = (int)prng_range(&r, 1, 4);
	cfg.explore = prng_one_in(&r, 2);
	cfg.seed = seed;
	cfg.policy = policy;
	snprintf(tm_context, sizeof(tm_context),
		 "(replay: SEED=%llu ITERS=1, policy %s%s)",
		 (unsigned long long)seed, policy ? policy : "classic",
		 exchange ? ", exchanged" : "");
	tm_run(&cfg);
	return w.limited;
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

	(void)arg;
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
	CHECK(tm.cfg.mem > 4UL << 20 || sum_vm_event(PSWPOUT) > 0);
	return 0;
}

static void sharers(void **state)
{
	u64 seed = test_first(), n = test_share(tm_soak() ? 100 : 12);

	(void)state;
	snprintf(tm_context, sizeof(tm_context), "(threads of one space)");
	for (u64 i = 0; i < n; i++)
		TM_RUN(sharers_body, .mem = (i % 2 ? 8UL : 3UL) << 20,
		       .swap_pages = 8192, .seed = seed + i,
		       .cpus = 1 + (int)(i % 4), .explore = i % 3 != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_processes),
		cmocka_unit_test(merging),
		cmocka_unit_test(every_policy),
		cmocka_unit_test(in_groups),
		cmocka_unit_test(sharers),
		cmocka_unit_test(determinism),
	};

	return cmocka_run_group_tests_name("whole", tests, NULL, NULL);
}
