/* SPDX-License-Identifier: MIT */
/*
 * Pressure: programs that want 60 to 110 % of RAM and swap together, beside
 * users that may not wait and users that may not fail, a shrinker that wants
 * memory itself, swap that is full, slow, failing, removed, or to be switched
 * off. A watchdog in virtual time sees that somebody gets on; if one must go,
 * the OOM report names it, and what the others have is right. Whether somebody
 * looks on or not, all is the same.
 */
#include "sim_machine.h"

#include <mmkit/shrinker.h>

#include "base/prng.h"
#include "base/trace_ring.h"
#include "sim_costs.h"

#define P(n)  ((u64)(n) << PAGE_SHIFT)
#define USERS 4u
/* Nobody got on for so long, in virtual time: it hangs. */
#define PATIENCE_NS 20000000000UL

static struct pr {
	u64 progress; /* pages touched, by anybody */
	u64 killed, bus_errors, done;
	u32 left; /* users that run */
	bool stop;
	s32 pid[USERS];
	int signal[USERS];
	u64 pages, rounds;
	u64 atomic_got, atomic_none, nofail_got;
	u64 deepest; /* frames below min that an atomic request left */
	u64 shrinks, shrink_got;
	u64 out_of_slots; /* looks that found no free slot */
	char last[192];	  /* what the last report said */
	bool may_lose;	  /* reads of swap fail: SIGBUS is no surprise */
	struct sim_disk_stats before, after; /* of the disturbance */
	int off;			     /* what swapoff said */
	u64 others;			     /* that were killed, no users */
} pr;

static u64 all_min(void)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_populated_zone (zone)
		sum += min_wmark_pages(zone);
	return sum;
}

static void watchdog(void *arg)
{
	u64 seen = 0;

	(void)arg;
	while (!READ_ONCE(pr.stop)) {
		port_park(PATIENCE_NS);
		CHECK(READ_ONCE(pr.stop) || pr.progress != seen);
		seen = pr.progress;
	}
}

/* ---- who wants memory ------------------------------------------------------
 */

/* Write all, then read it back and write again. */
static int use(uva_t at, u64 salt)
{
	for (u64 round = 0; round < pr.rounds; round++)
		for (u64 i = 0; i < pr.pages; i++) {
			u64 v = salt * 1000003 + i * 16 + round, got = 0;
			int sig = 0;

			if (round)
				sig = sim_copy_from_user(&got, at + P(i), 8);
			if (!sig && round)
				CHECK_EQ(got, v - 1);
			if (!sig)
				sig = sim_copy_to_user(at + P(i), &v, 8);
			if (sig)
				return sig;
			pr.progress++;
			if (i % 16 == 0)
				sim_yield();
		}
	return 0;
}

static void user(void *arg)
{
	u32 id = (u32)(u64)arg;
	struct mm_task *task = port_current();
	struct mm_struct *mm = tm_mm();
	s64 at;

	mm_task_register(task, "user");
	pr.pid[id] = task->pid;
	mm_task_attach(task, mm);
	mm_put(mm);
	at = do_mmap(mm, 0, P(pr.pages), TM_RW, TM_ANON | MAP_NORESERVE);
	CHECK(at > 0);
	pr.signal[id] = use((uva_t)at, id + 1);
	pr.killed += pr.signal[id] == MM_SIGKILL;
	pr.bus_errors += pr.signal[id] == MM_SIGBUS;
	pr.done += pr.signal[id] == 0;
	mm_task_exit(task);
	mm_task_unregister(task);
	pr.left--;
}

/* A driver: bursts that may fail, at once or never; single frames that may
 * not fail, given back soon. */
static void driver(void *arg)
{
	struct page *page[24];
	struct prng r;

	(void)arg;
	prng_seed(&r, tm.cfg.seed);
	while (!READ_ONCE(pr.stop)) {
		u32 n = (u32)prng_range(&r, 1, ARRAY_SIZE(page)), got = 0;
		struct page *sure;

		for (u32 i = 0; i < n; i++) {
			page[got] = alloc_page(GFP_ATOMIC | __GFP_NOWARN);
			pr.atomic_none += !page[got];
			got += page[got] != NULL;
		}
		pr.atomic_got += got;
		if (got && nr_free_pages() < all_min())
			pr.deepest =
				max(pr.deepest, all_min() - nr_free_pages());
		pr.out_of_slots += get_nr_swap_pages() == 0;
		while (got)
			__free_page(page[--got]);
		sure = alloc_page(GFP_KERNEL | __GFP_NOFAIL);
		CHECK(sure);
		pr.nofail_got++;
		port_park(prng_range(&r, 1, 3000) * 1000);
		__free_page(sure);
	}
}

/* ---- a cache that wants memory to give memory back -------------------------
 */

static u64 greedy_count(struct shrinker *s, struct shrink_control *sc)
{
	(void)s;
	(void)sc;
	return 500;
}

static u64 greedy_scan(struct shrinker *s, struct shrink_control *sc)
{
	struct page *page;

	(void)s;
	(void)sc;
	CHECK(port_current()->flags & PF_MEMALLOC);
	/* Another thread may be here, too, but not this one again. */
	pr.shrinks++;
	CHECK(!(port_current()->flags & (1u << 31)));
	port_current()->flags |= 1u << 31;
	page = alloc_page(GFP_KERNEL | __GFP_NOWARN);
	port_current()->flags &= ~(1u << 31);
	if (page) {
		pr.shrink_got++;
		__free_page(page);
	}
	return SHRINK_STOP;
}

static struct shrinker greedy = {
	.count_objects = greedy_count,
	.scan_objects = greedy_scan,
	.seeks = 1,
};

/* ---- one run ---------------------------------------------------------------
 */

struct run {
	u32 percent;
	u64 rounds;
	void (*disturb)(void); /* once half is written */
	bool traced;
};

static int run_body(void *arg)
{
	const struct run *run = arg;
	u64 all = nr_free_pages() + get_nr_swap_pages();
	struct port_thread *t[USERS], *dog, *drv;

	memset(&pr, 0, sizeof(pr));
	pr.pages = all * run->percent / 100 / USERS;
	pr.rounds = run->rounds;
	pr.left = USERS;
	pr.may_lose = run->disturb != NULL;
	if (run->traced)
		trace_enable_mask(~0UL);
	CHECK_EQ(register_shrinker(&greedy, "greedy"), 0);
	CHECK_EQ(sim_thread_start_on(&dog, "dog", 0, watchdog, NULL), 0);
	CHECK_EQ(sim_thread_start_on(&drv, "driver", tm.cfg.cpus - 1, driver,
				     NULL),
		 0);
	for (u64 i = 0; i < USERS; i++)
		CHECK_EQ(sim_thread_start_on(&t[i], "user",
					     (int)i % tm.cfg.cpus, user,
					     (void *)i),
			 0);
	while (run->disturb && pr.left && pr.progress < pr.pages * USERS / 2)
		port_park(1000 * 1000);
	sim_disk_stats(tm.disk, &pr.before);
	if (run->disturb)
		run->disturb();
	for (u32 i = 0; i < USERS; i++)
		port_thread_join(t[i]);
	WRITE_ONCE(pr.stop, true);
	port_unpark(dog);
	port_thread_join(dog);
	port_thread_join(drv);
	unregister_shrinker(&greedy);
	trace_enable_mask(0);
	sim_disk_stats(tm.disk, &pr.after);
	sim_disk_fail(tm.disk, NULL);
	snprintf(pr.last, sizeof(pr.last), "%s", mm_last_oom());
	CHECK_EQ(pr.done + pr.killed + pr.bus_errors, USERS);
	CHECK_EQ(sum_vm_event(OOM_KILL), pr.killed + pr.others);
	CHECK(pr.may_lose || !pr.bus_errors);
	CHECK(pr.nofail_got > 0 && pr.atomic_got > 0);
	CHECK(pr.shrinks > 0 || run->percent < 75);
	CHECK(pr.shrink_got > 0 || !pr.shrinks);
	return 0;
}

/* Who was killed last is named, with its number. */
static void check_named(void)
{
	bool named = false;

	for (u32 i = 0; i < USERS; i++) {
		char want[64];

		snprintf(want, sizeof(want), "Killed process %d (user)",
			 pr.pid[i]);
		named |= pr.signal[i] == MM_SIGKILL &&
			 strstr(pr.last, want) != NULL;
	}
	CHECK(named);
}

static void run_one(struct run *run, u64 seed)
{
	TM_RUN(run_body, .arg = run, .mem = 6UL << 20, .swap_pages = 1200,
	       .seed = seed, .cpus = 1 + (int)(seed % 3), .explore = seed % 2);
	if (pr.killed)
		check_named();
}

/* Up to what fits all get on to the end; beyond, one goes. */
static void percentages(void **state)
{
	static const u32 percent[] = {60, 75, 90, 100, 110};
	u64 seed = test_first(), n = test_share(tm_soak() ? 60 : 3);

	(void)state;
	for (u64 i = 0; i < n; i++)
		for (u32 k = 0; k < ARRAY_SIZE(percent); k++) {
			struct run run = {.percent = percent[k], .rounds = 3};

			run_one(&run, seed + i);
			if (percent[k] <= 75)
				assert_int_equal(pr.killed, 0);
			if (percent[k] >= 110)
				assert_true(pr.killed >= 1 && pr.done >= 1);
		}
}

/* ---- trouble with swap ----------------------------------------------------
 */

static u64 errors(void)
{
	return pr.after.errors - pr.before.errors;
}

static void writes_fail(void)
{
	static const struct sim_disk_fault rule = {.writes = true,
						   .error = -EIO};

	sim_disk_fail(tm.disk, &rule);
}

/* A page that could not be written is where it was. */
static void after_writes_failed(void)
{
	CHECK(errors() > 0);
	CHECK_EQ(pr.bus_errors, 0);
}

static void fails_at_times(void)
{
	static const struct sim_disk_fault rule = {
		.writes = true, .skip = 20, .times = 400, .error = -EIO};

	sim_disk_fail(tm.disk, &rule);
}

static void after_some_failed(void)
{
	after_writes_failed();
	CHECK_EQ(pr.killed, 0);
}

static void removed(void)
{
	static const struct sim_disk_fault rule = {
		.writes = true, .reads = true, .flushes = true, .error = -EIO};

	sim_disk_fail(tm.disk, &rule);
}

/* What was on the disk is lost for its owners; more does not fit. */
static void after_removal(void)
{
	CHECK(errors() > 0);
	CHECK(pr.bus_errors + pr.killed > 0);
}

#define FLOPPY_NS (60UL * 1000 * 1000)

static void slow(void)
{
	sim_costs.disk_seek_ns = FLOPPY_NS;
}

static void after_slow(void)
{
	u64 n = pr.after.reads + pr.after.writes - pr.before.reads -
		pr.before.writes;

	CHECK(n > 16);
	CHECK(pr.after.busy_ns - pr.before.busy_ns > (n - 16) * FLOPPY_NS);
	CHECK_EQ(pr.bus_errors + pr.killed, 0);
}

static void full(void)
{
	while (pr.left && get_nr_swap_pages())
		port_park(1000 * 1000);
}

/* It was, for drivers too; who is left got on. */
static void after_full(void)
{
	CHECK(pr.out_of_slots > 0 || pr.killed > 0);
	CHECK(pr.done > 0);
	CHECK_EQ(pr.bus_errors, 0);
}

/* A small program that switches swap off. */
static void operator_thread(void *arg)
{
	struct mm_task *task = port_current();
	struct mm_struct *mm = tm_mm();

	(void)arg;
	mm_task_register(task, "swapoff");
	mm_task_attach(task, mm);
	mm_put(mm);
	task->caps |= MM_CAP_SYS_ADMIN;
	pr.off = swapoff(tm.disk);
	CHECK(!(task->flags & PF_OOM_ORIGIN));
	if (!pr.off)
		CHECK_EQ(swapon(tm.disk, -2), 0);
	mm_task_exit(task);
	mm_task_unregister(task);
}

static void switched_off(void)
{
	struct port_thread *t;

	CHECK_EQ(sim_thread_start_on(&t, "swapoff", 0, operator_thread, NULL),
		 0);
	port_thread_join(t);
	pr.others = pr.off == -EINTR;
}

/* What does not fit elsewhere stays where it is; who wanted it away goes rather
 * than those whose it is. */
static void after_swapoff(void)
{
	CHECK(pr.off == 0 || pr.off == -ENOMEM || pr.off == -EINTR);
	/* Gone for a moment, it may be missed. */
	CHECK(pr.off == 0 || !pr.killed);
	CHECK_EQ(pr.bus_errors, 0);
	if (pr.others)
		CHECK(strstr(pr.last, "(swapoff)"));
}

static const struct trouble {
	const char *name;
	u32 percent;
	void (*disturb)(void);
	void (*holds)(void);
} troubles[] = {
	{"writes fail", 80, writes_fail, after_writes_failed},
	{"some writes fail", 80, fails_at_times, after_some_failed},
	{"the disk is removed", 80, removed, after_removal},
	{"a slow disk", 80, slow, after_slow},
	{"no slot left", 104, full, after_full},
	{"swapoff", 85, switched_off, after_swapoff},
};

static void disturbed(void **state)
{
	u64 seed = test_first(), n = test_share(tm_soak() ? 60 : 3);

	(void)state;
	for (u64 i = 0; i < n; i++)
		for (u32 k = 0; k < ARRAY_SIZE(troubles); k++) {
			const struct trouble *t = &troubles[k];
			struct run run = {.percent = t->percent,
					  .rounds = 3,
					  .disturb = t->disturb};

			snprintf(tm_context, sizeof(tm_context), "%s", t->name);
			run_one(&run, seed + i);
			t->holds();
		}
}

/* ---- who must not wait, who must not fail ---------------------------------
 */

/* Atomic users go deeper than others, and get what is there; those that must
 * have it always do. */
static void drivers(void **state)
{
	u64 seed = test_first(), got = 0, none = 0, deepest = 0;

	(void)state;
	for (u64 i = 0; i < 3; i++) {
		struct run run = {.percent = 105, .rounds = 2};

		run_one(&run, seed + i);
		got += pr.atomic_got;
		none += pr.atomic_none;
		deepest = max(deepest, pr.deepest);
	}
	assert_true(got > none);
	assert_true(deepest > 0);
}

/* ---- looking on -----------------------------------------------------------
 */

/* With all tracepoints on each counter and each moment is the same. */
static void traced(void **state)
{
	static const u32 percent[] = {75, 104};
	u64 seed = test_first();

	(void)state;
	for (u64 i = 0; i < 3; i++)
		for (u32 k = 0; k < ARRAY_SIZE(percent); k++) {
			struct run run = {.percent = percent[k], .rounds = 2};
			u64 digest, ns;

			run_one(&run, seed + i);
			digest = tm.digest;
			ns = tm.end_ns;
			run.traced = true;
			run_one(&run, seed + i);
			assert_true(digest == tm.digest);
			assert_true(ns == tm.end_ns);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentages),
		cmocka_unit_test(disturbed),
		cmocka_unit_test(drivers),
		cmocka_unit_test(traced),
	};

	return cmocka_run_group_tests_name("pressure", tests, NULL, NULL);
}
