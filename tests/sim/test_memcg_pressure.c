/* SPDX-License-Identifier: MIT */
/*
 * What groups do to those who use too much: slots of swap given up early, the
 * brakes of memory.high and memory.swap.high, time lost as it is told, and
 * triggers that wait for it.
 */
#include "memcg/psi_trigger.h"
#include "memcg_groups.h"

/* ---- slots
 * -------------------------------------------------------------------------- */

/* A page that comes back keeps its slot, until the group has used half of what
 * it may: then slots are given up as pages come back. */
static int eager_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	const char *file = arg;
	u16 a = make(0), b = make(a);
	uva_t at;

	join(b);
	tm_use(mm);
	at = tm_map(mm, 64);
	for (u32 round = 0; round < 3; round++) {
		for (u64 i = 0; i < 64; i++)
			tm_store(at + P(i), i);
		CHECK_EQ(memcg_write(b, "memory.reclaim", "256K"), 0);
		CHECK(get(b, "memory.swap.current", NULL) >= P(60));
		/* Far from it, near it, and near it above. */
		if (round)
			set(round == 1 ? b : a, file, 70);
		for (u64 i = 0; i < 64; i++)
			CHECK_EQ(tm_load(at + P(i)), i);
		if (!round)
			CHECK(get(b, "memory.swap.current", NULL) >= P(60));
		else
			CHECK(get(b, "memory.swap.current", NULL) < P(40));
		CHECK_EQ(memcg_write(b, file, "max"), 0);
		CHECK_EQ(memcg_write(a, file, "max"), 0);
	}
	join(0);
	tm_use(NULL);
	mm_put(mm);
	end_all();
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	return 0;
}

static void eager_slots(void **state)
{
	(void)state;
	TM_RUN(eager_body, .arg = (void *)(uintptr_t) "memory.swap.max",
	       .mem = 32UL << 20, .swap_pages = 2000, .seed = 1);
	TM_RUN(eager_body, .arg = (void *)(uintptr_t) "memory.swap.high",
	       .mem = 32UL << 20, .swap_pages = 2000, .seed = 1);
}

/* ---- brakes
 * ------------------------------------------------------------------------- */

/* What a task that wants 500 pages in 200 loses in A; virtual time. */
static u64 lost_in(u16 a)
{
	struct user u = {.id = a, .pages = 500, .rounds = 2};
	const char *text;

	start(&u, 0);
	port_thread_join(u.thread);
	CHECK_EQ(u.signal, 0);
	CHECK_EQ(u.done, 1000);
	text = strstr(text_of(a, "memory.pressure"), "total=");
	return strtoull(text + 6, NULL, 10);
}

/* More slots than swap.high: no kill, no refusal, but time; the more the
 * farther beyond. */
static int swap_high_body(void *arg)
{
	u16 none = make(0), little = make(0), far = make(0);
	u64 lost[3];

	(void)arg;
	set(none, "memory.max", 200);
	set(little, "memory.max", 200);
	set(far, "memory.max", 200);
	set(little, "memory.swap.high", 250);
	set(far, "memory.swap.high", 60);
	lost[0] = lost_in(none);
	lost[1] = lost_in(little);
	lost[2] = lost_in(far);
	CHECK(lost[2] > lost[0] + 1000 * 1000);
	CHECK(lost[2] > lost[1]);
	CHECK_EQ(get(none, "memory.swap.events", "high"), 0);
	CHECK(get(far, "memory.swap.events", "high") > 0);
	CHECK_EQ(get(far, "memory.swap.events", "fail"), 0);
	CHECK_EQ(event(far, "oom_kill"), 0);
	CHECK(get(far, "memory.swap.peak", NULL) > P(60));
	end_all();
	CHECK_EQ(memcg_remove(none), 0);
	CHECK_EQ(memcg_remove(little), 0);
	CHECK_EQ(memcg_remove(far), 0);
	end_all();
	return 0;
}

static void swap_high(void **state)
{
	(void)state;
	TM_RUN(swap_high_body, .mem = 32UL << 20, .swap_pages = 2000,
	       .seed = 1);
}

/* memory.high without a place for pages: the wait grows with how far the group
 * is beyond, and who is in no such group does not wait. */
static int high_body(void *arg)
{
	u16 a = make(0);
	struct user u = {.id = a, .stay = true}, v = {.pages = 300};
	u64 before, took[3];

	(void)arg;
	for (u32 i = 0; i < 3; i++) {
		set(a, "memory.high", 400 - i * 150);
		u = (struct user){.id = a, .pages = 400};
		before = port_now_ns();
		start(&u, 0);
		port_thread_join(u.thread);
		CHECK_EQ(u.signal, 0);
		took[i] = port_now_ns() - before;
	}
	CHECK(took[1] > 2 * took[0]);
	CHECK(took[2] > 2 * took[1]);
	/* 300 pages beyond 100, ten batches: at most two seconds for each. */
	CHECK(took[2] < 2 * 13 * 1000000000UL);
	before = port_now_ns();
	start(&v, 0);
	port_thread_join(v.thread);
	CHECK(port_now_ns() - before < took[1]);
	CHECK(event(a, "high") > 0);
	CHECK_EQ(event(a, "max") + event(a, "oom_kill"), 0);
	end_all();
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	return 0;
}

static void high_brakes(void **state)
{
	(void)state;
	TM_RUN(high_body, .mem = 32UL << 20, .seed = 3);
}

/* ---- waits for pages that come back
 * ------------------------------------------------ */

/* All pages are used; what of the time that took is lost to A? */
static u64 lost_by_use(u16 a, uva_t at, u64 nr, u64 *restored)
{
	u64 lost = psi_total(group(a), PSI_SOME);
	u64 before = get(a, "memory.stat", "workingset_restore_anon");

	for (u64 i = 0; i < nr; i++)
		CHECK_EQ(tm_load(at + P(i)), i);
	*restored = get(a, "memory.stat", "workingset_restore_anon") - before;
	return psi_total(group(a), PSI_SOME) - lost;
}

/* Nobody reclaims while pages are used. What comes back for the first time is
 * read as it would be anyway; what was in use when it went, and comes back, is
 * waited for because memory was short. */
static int thrash_body(void *arg)
{
	u16 a = make(0), b = make(a);
	u64 restored, lost, got = 0;
	struct mm_struct *mm = tm_mm();
	uva_t at;

	(void)arg;
	/* A program's thread: nobody else's time counts. */
	port_current()->pid = 1;
	join(b);
	tm_use(mm);
	at = tm_map(mm, 256);
	for (u64 i = 0; i < 256; i++)
		tm_store(at + P(i), i);
	for (u32 round = 0; round < 8; round++) {
		CHECK_EQ(memcg_write(b, "memory.reclaim", "128K"), 0);
		lost = lost_by_use(a, at, 256, &restored);
		CHECK_EQ(lost > 0, restored > 0);
		CHECK(psi_total(NULL, PSI_SOME) >= lost);
		got += restored > 0;
	}
	CHECK(got > 0 && got < 8);
	join(0);
	port_current()->pid = 0;
	tm_use(NULL);
	mm_put(mm);
	end_all();
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	return 0;
}

static void thrashing(void **state)
{
	(void)state;
	TM_RUN(thrash_body, .mem = 32UL << 20, .swap_pages = 2000, .seed = 1);
}

/* ---- triggers
 * ----------------------------------------------------------------------- */

#define MS (1000UL * 1000)

/* The running task stalls for NS, once, however many of its callers say so. */
static void stall(u64 ns)
{
	struct memstall s, inner;

	psi_memstall_enter(&s);
	psi_memstall_enter(&inner);
	port_park(ns / 2);
	psi_memstall_leave(&inner);
	port_park(ns - ns / 2);
	psi_memstall_leave(&s);
}

static void watch(struct psi_trigger *t, u16 id, const char *text)
{
	memset(t, 0, sizeof(*t));
	CHECK_EQ(psi_trigger_parse(text, t), 0);
	CHECK_EQ(psi_trigger_start(t, id), 0);
}

static u64 total(u16 id, const char *kind)
{
	const char *text = strstr(text_of(id, "memory.pressure"), kind);

	return strtoull(strstr(text, "total=") + 6, NULL, 10);
}

struct waiter {
	struct psi_trigger *t;
	struct port_thread *thread;
	u64 woken_ns;
};

static void waiter_thread(void *arg)
{
	struct waiter *w = arg;

	wait_event(w->t->wait, psi_trigger_take(w->t));
	w->woken_ns = port_now_ns();
}

static int trigger_body(void *arg)
{
	static struct psi_trigger group, above, machine, full;
	struct waiter w = {.t = &group};
	u16 a = make(0), b = make(a);
	struct user idle = {.id = b, .pages = 1, .stay = true};
	u64 begin;

	(void)arg;
	start(&idle, 0);
	wait_for(&idle);
	join(b);
	mm_task_register(port_current(), "main");
	port_current()->flags &= ~(u32)PF_KTHREAD; /* whose time counts */
	CHECK(memcg_sys.monitor == NULL);
	watch(&group, b, "some 100000 1000000\n");
	watch(&above, a, "some 400000 1000000");
	watch(&machine, 0, "some 100000 500000");
	watch(&full, b, "full 100000 1000000");
	CHECK(memcg_sys.monitor != NULL);
	CHECK_EQ(sim_thread_start_on(&w.thread, "waiter", 0, waiter_thread, &w),
		 0);
	/* Not enough in any window, though it is in all together. */
	for (u32 i = 0; i < 10; i++) {
		stall(80 * MS);
		port_park(1100 * MS);
	}
	CHECK_EQ(w.woken_ns, 0);
	CHECK(total(b, "some") >= 800 * 1000);
	/* Another CPU's clock may be between one group and the next. */
	CHECK(total(b, "some") - total(a, "some") + 1000 < 2000);
	CHECK(total(b, "some") - total(0, "some") + 1000 < 2000);
	CHECK(!psi_trigger_take(&machine));
	begin = port_now_ns();
	/* While it goes on: who waits need not wait for its end. */
	stall(350 * MS);
	port_thread_join(w.thread);
	CHECK(w.woken_ns >= begin + 90 * MS);
	CHECK(w.woken_ns <= begin + 350 * MS);
	CHECK(psi_trigger_take(&machine));
	CHECK(!psi_trigger_take(&above));
	/* Another task of the group did not lose it. */
	CHECK(!psi_trigger_take(&full));
	CHECK_EQ(total(b, "full"), 0);
	/* Once in a window, however much it is. */
	stall(300 * MS);
	CHECK(!psi_trigger_take(&group));
	CHECK(psi_trigger_take(&above));
	stall(1100 * MS);
	CHECK(psi_trigger_take(&group) && !psi_trigger_take(&group));
	/* A group that is removed says so, and goes when nobody watches. */
	mm_task_unregister(port_current());
	port_current()->flags |= PF_KTHREAD;
	join(0);
	finish(&idle);
	CHECK(!psi_trigger_dead(&group));
	CHECK_EQ(memcg_remove(b), 0);
	CHECK(psi_trigger_dead(&group) && psi_trigger_dead(&full));
	CHECK(!psi_trigger_dead(&machine));
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 2);
	psi_trigger_end(&group);
	psi_trigger_end(&full);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 1);
	psi_trigger_end(&above);
	CHECK(memcg_sys.monitor != NULL);
	psi_trigger_end(&machine);
	CHECK(memcg_sys.monitor == NULL);
	CHECK_EQ(psi_trigger_start(&group, 77), -ENOENT);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	return 0;
}

static void triggers(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 4; seed++)
		TM_RUN(trigger_body, .mem = 32UL << 20, .cpus = (int)seed,
		       .seed = seed, .explore = seed == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eager_slots), cmocka_unit_test(swap_high),
		cmocka_unit_test(high_brakes), cmocka_unit_test(thrashing),
		cmocka_unit_test(triggers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
