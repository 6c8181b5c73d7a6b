/* SPDX-License-Identifier: MIT */
/* Memory control groups: charges, limits, protection, kills, lives. */
#include "base/fail.h"
#include "memcg_groups.h"

/* ---- the tree
 * ----------------------------------------------------------------------- */

static int tree_body(void *arg)
{
	u16 a = make(0), b = make(a), c = make(b), id;

	(void)arg;
	CHECK_EQ(memcg_parent(c), b);
	CHECK_EQ(memcg_parent(a), 0);
	CHECK_EQ(memcg_parent(0), 0);
	CHECK_EQ(memcg_create(999, &id), -ENOENT);
	CHECK_EQ(memcg_remove(a), -EBUSY);
	CHECK_EQ(memcg_remove(c), 0);
	CHECK_EQ(memcg_remove(c), -ENOENT);
	CHECK_EQ(memcg_attach(port_current(), b), 0);
	CHECK_EQ(memcg_remove(b), -EBUSY);
	CHECK_EQ(memcg_attach(port_current(), c), -ENOENT);
	CHECK_EQ(memcg_attach(port_current(), 0), 0);
	memcg_check();
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_create(b, &id), -ENOENT);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	/* No allocation, no group, nothing left behind. */
	for (u32 n = 1; n < 100; n++) {
		int err;

		fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), n, false);
		err = memcg_create(0, &id);
		(void)fail_disarm();
		CHECK(err == 0 || err == -ENOMEM);
		if (!err) {
			CHECK(n > 1);
			CHECK_EQ(memcg_remove(id), 0);
			break;
		}
		CHECK_EQ(memcg_sys.nr_groups, 0);
	}
	end_all();
	return 0;
}

static void tree(void **state)
{
	(void)state;
	TM_RUN(tree_body, .mem = 32UL << 20, .seed = 1, .cpus = 1);
}

/* What is written to files, and what is not an amount. */
static int files_body(void *arg)
{
	u16 a = make(0);
	char buf[64];

	(void)arg;
	CHECK_EQ(memcg_write(a, "memory.max", "1M\n"), 0);
	CHECK_EQ(get(a, "memory.max", NULL), 1 << 20);
	CHECK_EQ(memcg_write(a, "memory.max", "max"), 0);
	CHECK_EQ(memcg_read(a, "memory.max", buf, sizeof(buf)), 4);
	CHECK(!strcmp(buf, "max\n"));
	CHECK_EQ(memcg_write(a, "memory.max", "12345"), 0);
	CHECK_EQ(get(a, "memory.max", NULL), 12288);
	CHECK_EQ(memcg_write(a, "memory.max", ""), -EINVAL);
	CHECK_EQ(memcg_write(a, "memory.max", "-1"), -EINVAL);
	CHECK_EQ(memcg_write(a, "memory.max", "1Q"), -EINVAL);
	CHECK_EQ(memcg_write(a, "memory.max", "1 2"), -EINVAL);
	CHECK_EQ(memcg_write(a, "memory.max", "99999999999999999999"), -EINVAL);
	CHECK_EQ(memcg_write(a, "memory.current", "1"), -EINVAL);
	CHECK_EQ(memcg_write(a, "memory.nothing", "1"), -ENOENT);
	CHECK_EQ(memcg_write(0, "memory.max", "1"), -ENOENT);
	CHECK_EQ(memcg_read(0, "memory.max", buf, sizeof(buf)), -ENOENT);
	CHECK(memcg_read(0, "memory.pressure", buf, sizeof(buf)) > 0);
	CHECK_EQ(memcg_write(a, "memory.oom.group", "2"), -EINVAL);
	CHECK_EQ(memcg_write(a, "memory.oom.group", "1\n"), 0);
	CHECK_EQ(get(a, "memory.oom.group", NULL), 1);
	CHECK_EQ(memcg_write(a, "memory.reclaim", "max"), -EINVAL);
	CHECK_EQ(memcg_write(a, "memory.reclaim", "4096"), -EAGAIN);
	CHECK_EQ(memcg_remove(a), 0);
	CHECK_EQ(memcg_write(a, "memory.max", "1M"), -ENOENT);
	end_all();
	return 0;
}

static void files(void **state)
{
	(void)state;
	TM_RUN(files_body, .mem = 32UL << 20, .seed = 1, .cpus = 1);
}

/* ---- charges
 * ------------------------------------------------------------------------ */

/* What a task uses is in its group and above; when it ends, it is gone. */
static int charges_body(void *arg)
{
	u16 a = make(0), b = make(a), c = make(a);
	struct user u = {.id = b, .pages = 300, .stay = true};
	struct user v = {.id = c, .pages = 100, .stay = true};

	(void)arg;
	start(&u, 0);
	start(&v, tm.cfg.cpus - 1);
	wait_for(&u);
	wait_for(&v);
	CHECK(usage(b) >= 300 && usage(b) < 320);
	CHECK(usage(c) >= 100 && usage(c) < 120);
	CHECK_EQ(usage(a), usage(b) + usage(c));
	CHECK_EQ(get(b, "memory.stat", "anon"), P(300));
	CHECK_EQ(get(a, "memory.stat", "anon"), P(400));
	CHECK(get(b, "memory.stat", "pagetables") > 0);
	CHECK(get(b, "memory.stat", "pgfault") >= 300);
	CHECK_EQ(get(a, "memory.stat", "pgfault"),
		 get(b, "memory.stat", "pgfault") +
			 get(c, "memory.stat", "pgfault"));
	lru_add_drain_all();
	CHECK_EQ(get(a, "memory.stat", "inactive_anon") +
			 get(a, "memory.stat", "active_anon"),
		 P(400));
	memcg_check();
	finish(&u);
	finish(&v);
	end_all();
	CHECK_EQ(usage(a), 0);
	CHECK(get(a, "memory.peak", NULL) >= P(400));
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(c), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 1);
	/* What they did still counts above them. */
	CHECK(get(a, "memory.stat", "pgfault") >= 400);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	return 0;
}

static void charges(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 6; seed++)
		TM_RUN(charges_body, .mem = 32UL << 20, .seed = seed,
		       .cpus = 1 + (int)(seed % 3), .explore = seed % 2 == 0);
}

/* A task that moves leaves behind what it used; its old group dies with it. */
static int move_body(void *arg)
{
	struct mm_task *task = port_current();
	u16 a = make(0), b = make(0);
	struct mm_struct *mm = tm_mm();
	uva_t at;

	(void)arg;
	CHECK_EQ(memcg_attach(task, a), 0);
	tm_use(mm);
	at = tm_map(mm, 64);
	for (u64 i = 0; i < 32; i++)
		tm_store(at + P(i), i);
	CHECK_EQ(memcg_attach(task, b), 0);
	for (u64 i = 32; i < 64; i++)
		tm_store(at + P(i), i);
	CHECK_EQ(get(a, "memory.stat", "anon"), P(32));
	CHECK_EQ(get(b, "memory.stat", "anon"), P(32));
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	/* Dying: its pages are there, and on its lists. */
	CHECK_EQ(memcg_sys.nr_groups, 2);
	CHECK_EQ(memcg_sys.nr_online, 1);
	lru_add_drain_all();
	CHECK_EQ(memcg_lru(NULL, LRU_INACTIVE_ANON, -1) +
			 memcg_lru(NULL, LRU_ACTIVE_ANON, -1),
		 64);
	tm_audit();
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(memcg_attach(task, 0), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 1);
	CHECK_EQ(memcg_remove(b), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	return 0;
}

static void move(void **state)
{
	(void)state;
	TM_RUN(move_body, .mem = 32UL << 20, .seed = 3, .cpus = 1);
}

/* ---- limits
 * ------------------------------------------------------------------------- */

/* A group at its limit swaps its own pages, and nobody else's. */
static int max_body(void *arg)
{
	u16 a = make(0), b = make(0);
	struct user u = {.id = a, .pages = 600, .rounds = 2};
	struct user v = {.id = b, .pages = 300, .stay = true};
	u64 others;

	(void)arg;
	set(a, "memory.max", 256);
	start(&v, 0);
	wait_for(&v);
	others = usage(b);
	start(&u, tm.cfg.cpus - 1);
	port_thread_join(u.thread);
	CHECK_EQ(u.signal, 0);
	CHECK_EQ(u.done, 1200);
	CHECK(get(a, "memory.peak", NULL) <= P(256));
	CHECK(event(a, "max") > 0);
	CHECK_EQ(event(a, "oom"), 0);
	CHECK(get(a, "memory.stat", "pgsteal_direct") > 0);
	CHECK(get(a, "memory.stat", "workingset_refault_anon") > 0);
	/* Not one page of the other's. */
	CHECK_EQ(usage(b), others);
	CHECK_EQ(get(b, "memory.stat", "pgscan"), 0);
	CHECK_EQ(get(b, "memory.swap.current", NULL), 0);
	finish(&v);
	CHECK_EQ(memcg_remove(a), 0);
	CHECK_EQ(memcg_remove(b), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	return 0;
}

static void max_reclaims_itself(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < (tm_soak() ? 100 : 8); seed++)
		TM_RUN(max_body, .mem = 32UL << 20, .swap_pages = 2000,
		       .seed = seed, .cpus = 1 + (int)(seed % 3),
		       .explore = seed % 3 == 0);
}

/* What is swapped out is charged to memory.swap, and comes back to whose it
 * was, whoever reads it. */
static int swap_body(void *arg)
{
	struct mm_task *task = port_current();
	u16 a = make(0), b = make(a), c = make(0);
	struct mm_struct *mm = tm_mm();
	u64 v;
	uva_t at;

	(void)arg;
	CHECK_EQ(memcg_attach(task, b), 0);
	tm_use(mm);
	at = tm_map(mm, 64);
	for (u64 i = 0; i < 64; i++)
		tm_store(at + P(i), i);
	CHECK_EQ(memcg_attach(task, 0), 0);
	CHECK_EQ(memcg_write(b, "memory.reclaim", "256K"), 0);
	CHECK_EQ(get(b, "memory.stat", "anon"), 0);
	CHECK(get(b, "memory.swap.current", NULL) >= P(63));
	CHECK_EQ(get(a, "memory.swap.current", NULL),
		 get(b, "memory.swap.current", NULL));
	memcg_check();
	CHECK_EQ(memcg_attach(task, c), 0);
	for (u64 i = 0; i < 64; i++)
		CHECK_EQ(tm_load(at + P(i)), i);
	CHECK_EQ(get(b, "memory.stat", "anon"), P(64));
	CHECK_EQ(get(c, "memory.stat", "anon"), 0);
	CHECK(get(b, "memory.stat", "workingset_refault_anon") >= 60);
	/* Written pages give their slots up: nothing is left. */
	for (u64 i = 0; i < 64; i++)
		tm_store(at + P(i), i + 1);
	/* No swap for it: nothing can be taken. */
	set(b, "memory.swap.max", 0);
	CHECK_EQ(get(b, "memory.swap.current", NULL), 0);
	CHECK_EQ(memcg_write(b, "memory.reclaim", "256K"), -EAGAIN);
	CHECK_EQ(get(b, "memory.stat", "anon"), P(64));
	/* Some: that many. */
	set(a, "memory.swap.max", 10);
	CHECK_EQ(memcg_write(b, "memory.swap.max", "max"), 0);
	CHECK_EQ(memcg_write(b, "memory.reclaim", "256K"), -EAGAIN);
	CHECK_EQ(get(a, "memory.swap.current", NULL), P(10));
	CHECK_EQ(get(a, "memory.swap.peak", NULL) >= P(63), 1);
	CHECK(get(b, "memory.swap.events", "fail") > 0);
	CHECK_EQ(memcg_write(a, "memory.swap.max", "max"), 0);
	CHECK_EQ(memcg_write(b, "memory.reclaim", "256K"), 0);
	CHECK_EQ(get(b, "memory.stat", "anon"), 0);
	/* A removed group keeps its slots; pages come to who reads them. */
	CHECK_EQ(memcg_remove(b), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 3);
	for (u64 i = 0; i < 64; i++) {
		v = tm_load(at + P(i));
		CHECK_EQ(v, i + 1);
	}
	CHECK_EQ(get(c, "memory.stat", "anon"), P(64));
	tm_audit();
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(memcg_attach(task, 0), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 2);
	CHECK_EQ(memcg_remove(a), 0);
	CHECK_EQ(memcg_remove(c), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	return 0;
}

static void swap_charges(void **state)
{
	(void)state;
	TM_RUN(swap_body, .mem = 32UL << 20, .swap_pages = 2000, .seed = 1,
	       .cpus = 1);
}

/* The limit above is the one that binds: both below it are reclaimed. */
static int nested_body(void *arg)
{
	u16 a = make(0), b = make(a), c = make(a);
	struct user u = {.id = b, .pages = 300, .rounds = 2, .stay = true};
	struct user v = {.id = c, .pages = 300, .rounds = 2, .stay = true};

	(void)arg;
	set(a, "memory.max", 300);
	set(b, "memory.max", 250);
	start(&u, 0);
	start(&v, tm.cfg.cpus - 1);
	wait_for(&u);
	wait_for(&v);
	CHECK_EQ(u.signal, 0);
	CHECK_EQ(v.signal, 0);
	CHECK(usage(b) <= 250);
	CHECK(usage(a) <= 300);
	CHECK_EQ(usage(a), usage(b) + usage(c));
	CHECK(get(b, "memory.stat", "pgsteal") > 0);
	CHECK(get(c, "memory.stat", "pgsteal") > 0);
	CHECK(event(a, "max") >= event(b, "max"));
	CHECK_EQ(event(c, "max"), 0);
	finish(&u);
	finish(&v);
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(c), 0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	return 0;
}

static void nested_limits(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 6; seed++)
		TM_RUN(nested_body, .mem = 32UL << 20, .swap_pages = 2000,
		       .seed = seed, .cpus = 1 + (int)(seed % 2),
		       .explore = seed % 3 == 0);
}

/* Without swap it is killed, in the group, and nobody else is. */
static int kill_body(void *arg)
{
	u16 a = make(0), b = make(a);
	struct user hog = {.id = b, .pages = 600};
	struct user small = {.id = b, .pages = 40, .stay = true};
	struct user other = {.id = 0, .pages = 1500, .stay = true};
	char want[96];

	(void)arg;
	set(a, "memory.max", 256);
	start(&other, 0);
	start(&small, 0);
	wait_for(&other);
	wait_for(&small);
	start(&hog, tm.cfg.cpus - 1);
	port_thread_join(hog.thread);
	CHECK_EQ(hog.signal, MM_SIGKILL);
	CHECK(hog.done < 256);
	CHECK_EQ(event(a, "oom_kill"), 1);
	CHECK_EQ(event(b, "oom_kill"), 1);
	CHECK_EQ(get(a, "memory.events.local", "oom_kill"), 0);
	CHECK(get(a, "memory.events.local", "oom") >= 1);
	CHECK_EQ(event(b, "oom"), 0);
	CHECK(tm_logged("Memory cgroup out of memory: Killed process"));
	snprintf(want, sizeof(want),
		 ",mems_allowed=0,oom_memcg=/%u,task_memcg=/%u/%u,task=", a, a,
		 b);
	CHECK(tm_logged("oom-kill:constraint=CONSTRAINT_MEMCG,"));
	CHECK(tm_logged(want));
	finish(&small);
	finish(&other);
	CHECK_EQ(small.signal, 0);
	CHECK_EQ(other.signal, 0);
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(a), 0);
	port_park(200 * 1000 * 1000); /* the reaper has its say */
	end_all();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	return 0;
}

static void kill_inside(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < (tm_soak() ? 100 : 8); seed++)
		TM_RUN(kill_body, .mem = 32UL << 20, .seed = seed,
		       .cpus = 1 + (int)(seed % 3), .explore = seed % 3 == 0);
}

/* memory.oom.group: all of them, but who is exempt. */
static int together_body(void *arg)
{
	u16 a = make(0), b = make(a);
	struct user hog = {.id = b, .pages = 600};
	struct user small = {.id = b, .pages = 40, .stay = true};
	struct user safe = {.id = b, .pages = 20, .adj = -1000, .stay = true};
	struct user above = {.id = a, .pages = 20, .stay = true};

	(void)arg;
	set(a, "memory.max", 256);
	CHECK_EQ(memcg_write(b, "memory.oom.group", "1"), 0);
	start(&small, 0);
	start(&safe, 0);
	start(&above, 0);
	wait_for(&small);
	wait_for(&safe);
	wait_for(&above);
	start(&hog, 0);
	port_thread_join(hog.thread);
	port_thread_join(small.thread);
	CHECK_EQ(hog.signal, MM_SIGKILL);
	CHECK_EQ(small.signal, MM_SIGKILL);
	CHECK_EQ(event(a, "oom_group_kill"), 1);
	CHECK_EQ(get(b, "memory.events.local", "oom_group_kill"), 1);
	CHECK_EQ(event(a, "oom_kill"), 2);
	finish(&safe);
	finish(&above);
	CHECK_EQ(safe.signal, 0);
	CHECK_EQ(above.signal, 0);
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(a), 0);
	port_park(200 * 1000 * 1000);
	end_all();
	return 0;
}

static void killed_together(void **state)
{
	(void)state;
	TM_RUN(together_body, .mem = 32UL << 20, .seed = 2, .cpus = 1);
}

/* memory.high: nobody is killed, it is near high, and it costs time. */
static int high_body(void *arg)
{
	u16 a = make(0);
	struct user u = {.id = a, .pages = 600, .rounds = 2, .stay = true};

	(void)arg;
	set(a, "memory.high", 256);
	start(&u, 0);
	wait_for(&u);
	CHECK_EQ(u.signal, 0);
	CHECK(usage(a) <= 256 + 4 * MEMCG_BATCH);
	CHECK(event(a, "high") > 0);
	CHECK_EQ(event(a, "max"), 0);
	CHECK_EQ(event(a, "oom_kill"), 0);
	finish(&u);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	return 0;
}

static void high_slows(void **state)
{
	(void)state;
	TM_RUN(high_body, .mem = 32UL << 20, .swap_pages = 2000, .seed = 2,
	       .cpus = 1);
}

/* With nowhere to put pages high only slows: pressure shows it. */
static int high_no_swap_body(void *arg)
{
	u16 a = make(0);
	struct user u = {.id = a, .pages = 400, .stay = true};
	u64 before = port_now_ns(), took;
	char buf[256];

	(void)arg;
	set(a, "memory.high", 200);
	start(&u, 0);
	wait_for(&u);
	took = port_now_ns() - before;
	CHECK_EQ(u.signal, 0);
	CHECK_EQ(u.done, 400);
	CHECK(took > 1000UL * 1000 * 1000);
	CHECK(memcg_read(a, "memory.pressure", buf, sizeof(buf)) > 0);
	CHECK(!strncmp(buf, "some avg10=", 11));
	CHECK(strtoull(strstr(buf, "total=") + 6, NULL, 10) > 500 * 1000);
	CHECK(strtoull(strstr(buf, "total=") + 6, NULL, 10) <= took / 1000);
	/* It was alone: all lost time was everybody's. */
	CHECK_EQ(strtoull(strstr(strstr(buf, "full"), "total=") + 6, NULL, 10),
		 strtoull(strstr(buf, "total=") + 6, NULL, 10));
	finish(&u);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	return 0;
}

static void high_without_swap(void **state)
{
	(void)state;
	TM_RUN(high_no_swap_body, .mem = 32UL << 20, .seed = 2, .cpus = 1);
}

/* A new limit below what is in use, and memory.reclaim. */
static int lower_body(void *arg)
{
	u16 a = make(0);
	struct user u = {.id = a, .pages = 500, .stay = true};
	u64 was;

	(void)arg;
	start(&u, 0);
	wait_for(&u);
	was = usage(a);
	CHECK(was >= 500);
	CHECK_EQ(memcg_write(a, "memory.reclaim", "400K"), 0);
	CHECK(usage(a) <= was - 100);
	set(a, "memory.max", 200);
	CHECK(usage(a) <= 200);
	set(a, "memory.high", 100);
	CHECK(usage(a) <= 100);
	CHECK_EQ(event(a, "oom_kill"), 0);
	CHECK_EQ(memcg_write(a, "memory.reclaim", "1G"), -EAGAIN);
	finish(&u);
	CHECK_EQ(u.signal, 0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	return 0;
}

static void lower_limits(void **state)
{
	(void)state;
	TM_RUN(lower_body, .mem = 32UL << 20, .swap_pages = 2000, .seed = 5,
	       .cpus = 2);
}

/* ---- protection
 * --------------------------------------------------------------------- */

/*
 * Two groups below one that is at its limit: the one that is protected keeps
 * what it is promised, within a batch per CPU and a round of reclaim.
 */
static int protect_body(void *arg)
{
	const char *file = *(const char **)arg;
	u16 a = make(0), b = make(a), c = make(a);
	struct user quiet = {.id = b, .pages = 200, .stay = true};
	struct user loud = {.id = c, .pages = 600, .rounds = 3, .stay = true};
	u64 kept;

	set(a, "memory.max", 400);
	set(b, file, 150);
	set(a, file, 400);
	start(&quiet, 0);
	wait_for(&quiet);
	start(&loud, tm.cfg.cpus - 1);
	wait_for(&loud);
	CHECK_EQ(loud.signal, 0);
	kept = usage(b);
	CHECK(kept + (u64)tm.cfg.cpus * MEMCG_BATCH + SWAP_CLUSTER_MAX >= 150);
	CHECK(usage(c) >= 100);
	CHECK_EQ(event(b, "low"), 0);
	finish(&quiet);
	finish(&loud);
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(c), 0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	return 0;
}

static void protection(void **state)
{
	static const char *const names[] = {"memory.min", "memory.low"};

	(void)state;
	for (u64 seed = 1; seed < 5; seed++)
		TM_RUN(protect_body, .arg = (void *)(uintptr_t)&names[seed % 2],
		       .mem = 32UL << 20, .swap_pages = 2000, .seed = seed,
		       .cpus = 1 + (int)(seed % 2));
}

/* The effective values, by the documented rule. */
static int effective_body(void *arg)
{
	struct memcg_protection p;
	u16 a = make(0), b = make(a), c = make(a);
	struct user u = {.id = b, .pages = 200, .stay = true};
	struct user v = {.id = c, .pages = 100, .stay = true};

	(void)arg;
	start(&u, 0);
	start(&v, 0);
	wait_for(&u);
	wait_for(&v);
	memcg_drain(NULL);
	set(a, "memory.min", 150);
	set(b, "memory.min", 400);
	set(c, "memory.min", 50);
	memcg_protection(NULL, group(a), &p);
	CHECK_EQ(p.min, 150);
	CHECK_EQ(p.low, 0);
	/* b claims all it has, c 50 of it: 150 is shared in proportion. */
	memcg_protection(NULL, group(b), &p);
	CHECK_EQ(p.min, p.usage * 150 / (p.usage + 50));
	memcg_protection(NULL, group(c), &p);
	CHECK_EQ(p.min, 50UL * 150 / (usage(b) + 50));
	/* Reclaim for a itself: claims of those below count whole. */
	memcg_protection(group(a), group(b), &p);
	CHECK_EQ(p.min, p.usage);
	memcg_protection(group(a), group(a), &p);
	CHECK_EQ(p.min, 0);
	/* They fit: nobody is cut. */
	set(a, "memory.min", 4000);
	memcg_protection(NULL, group(c), &p);
	CHECK_EQ(p.min, 50);
	/* Above nothing is promised: so it is not below. */
	set(a, "memory.min", 0);
	memcg_protection(NULL, group(c), &p);
	CHECK_EQ(p.min, 0);
	finish(&u);
	finish(&v);
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(c), 0);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	CHECK_EQ(memcg_sys.nr_protected, 0);
	return 0;
}

static void effective(void **state)
{
	(void)state;
	TM_RUN(effective_body, .mem = 32UL << 20, .seed = 5, .cpus = 1);
}

/* memory.reclaim of the root: of all groups and of nobody's pages. */
static int root_body(void *arg)
{
	u16 a = make(0);
	struct user u = {.id = a, .pages = 300, .stay = true};
	struct user v = {.pages = 300, .stay = true};

	(void)arg;
	start(&u, 0);
	start(&v, 0);
	wait_for(&u);
	wait_for(&v);
	CHECK_EQ(memcg_write(0, "memory.reclaim", "max"), -EINVAL);
	CHECK_EQ(memcg_write(0, "memory.current", "4096"), -ENOENT);
	CHECK_EQ(memcg_write(0, "memory.stat", "4096"), -EINVAL);
	CHECK_EQ(memcg_write(0, "memory.reclaim", "1M"), 0);
	CHECK_EQ(memcg_write(0, "memory.reclaim", "1G"), -EAGAIN);
	CHECK(get(a, "memory.swap.current", NULL) > P(250));
	CHECK(get_nr_swap_pages() < 2000 - 500);
	finish(&u);
	finish(&v);
	CHECK_EQ(memcg_remove(a), 0);
	end_all();
	return 0;
}

static void root_reclaims(void **state)
{
	(void)state;
	TM_RUN(root_body, .mem = 32UL << 20, .swap_pages = 2000, .seed = 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree),
		cmocka_unit_test(files),
		cmocka_unit_test(charges),
		cmocka_unit_test(move),
		cmocka_unit_test(max_reclaims_itself),
		cmocka_unit_test(swap_charges),
		cmocka_unit_test(nested_limits),
		cmocka_unit_test(kill_inside),
		cmocka_unit_test(killed_together),
		cmocka_unit_test(high_slows),
		cmocka_unit_test(high_without_swap),
		cmocka_unit_test(lower_limits),
		cmocka_unit_test(root_reclaims),
		cmocka_unit_test(protection),
		cmocka_unit_test(effective),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
