/* SPDX-License-Identifier: MIT */
/* Out of memory: an orderly end for one, nothing worse for the others. */
#include "base/trace_ring.h"
#include "policy/policy.h"
#include "report/trace_show.h"
#include "sim_machine.h"

#include <mmkit/mempolicy.h>
#include <mmkit/sysctl.h>

#define P(n) ((u64)(n) << PAGE_SHIFT)

struct user {
	const char *name;
	u64 pages, rounds;
	s16 adj;
	const struct user *until; /* process 1, which lives on until it ended */
	int signal;		  /* what it ended with */
	u64 done;		  /* pages written */
	u64 bind;		  /* nodes that it is bound to; 0: none */
	bool origin;		  /* it is why others lack memory */
	const struct user *beside; /* goes on until that one is killed */
	s32 pid;
	struct mm_struct
		*shared; /* runs in this space, not in one of its own */
	struct port_thread *thread;
};

/* Write all pages, then check them, ROUNDS times. */
static int use_memory(struct user *u, uva_t at)
{
	for (u64 round = 0; round < u->rounds; round++) {
		for (u64 i = 0; i < u->pages; i++) {
			u64 v = i * 7 + round, got;
			int sig = sim_copy_to_user(at + P(i), &v, sizeof(v));

			if (sig)
				return sig;
			u->done++;
			sig = sim_copy_from_user(&got, at + P(i / 2),
						 sizeof(got));
			if (sig)
				return sig;
			CHECK_EQ(got, i / 2 * 7 + round);
			sim_yield();
		}
	}
	return 0;
}

static void user_thread(void *arg)
{
	struct user *u = arg;
	struct mm_task *task = port_current();
	struct mm_struct *mm = u->shared;
	s64 at;

	if (!mm)
		mm = tm_mm();
	mm_task_register(task, u->name);
	task->oom_score_adj = u->adj;
	task->flags |= u->until ? PF_INIT : 0;
	task->flags |= u->origin ? PF_OOM_ORIGIN : 0;
	u->pid = task->pid;
	if (u->bind)
		CHECK_EQ(do_set_mempolicy(MPOL_BIND, u->bind), 0);
	mm_task_attach(task, mm);
	if (!u->shared)
		mm_put(mm);
	at = do_mmap(mm, 0, P(u->pages), TM_RW, TM_ANON | MAP_NORESERVE);
	CHECK(at > 0);
	do
		u->signal = use_memory(u, (uva_t)at);
	while (!u->signal && ((u->until && !READ_ONCE(u->until->signal)) ||
			      (u->beside && !READ_ONCE(u->beside->signal))));
	CHECK_EQ(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	task->flags &= ~PF_OOM_ORIGIN;
	mm_task_exit(task);
	mm_task_unregister(task);
}

static void start(struct user *u, int cpu)
{
	CHECK_EQ(sim_thread_start_on(&u->thread, u->name, cpu, user_thread, u),
		 0);
}

static u64 ram_pages(void)
{
	return tm.cfg.mem >> PAGE_SHIFT;
}

/* ---- one hog among the small
 * ------------------------------------------------- */

/* The victim's story in tracepoints: chosen, handed over, emptied. */
static const enum trace_event reaper_events[] = {
	TRACE_MARK_VICTIM, TRACE_OOM_KILL, TRACE_WAKE_REAPER,
	TRACE_START_TASK_REAPING, TRACE_FINISH_TASK_REAPING};
static struct trace_record reaper_ring[MM_NR_CPUS][64];

static void reaper_listen(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		trace_ring_attach(cpu, reaper_ring[cpu], 64);
	for (u32 i = 0; i < ARRAY_SIZE(reaper_events); i++)
		trace_enable(reaper_events[i]);
	trace_enable(TRACE_SKIP_TASK_REAPING);
}

static void reaper_said(s32 pid)
{
	struct trace_cursor c;
	struct trace_record r;
	u32 next[2] = {0, 3}; /* the killer's three, and the reaper's */

	trace_enable_mask(0);
	trace_cursor_init(&c);
	/* Each in its order; the CPUs' clocks are not the same. */
	while (trace_cursor_next(&c, &r)) {
		u32 *n = &next[r.event >= TRACE_START_TASK_REAPING];

		CHECK(*n < ARRAY_SIZE(reaper_events));
		CHECK_EQ(r.event, reaper_events[*n]);
		CHECK_EQ(r.arg[0], pid);
		if (r.event == TRACE_OOM_KILL) {
			CHECK(trace_field(&r, "points") > ram_pages() / 4);
			CHECK(trace_field(&r, "rss_pages") > 0);
			CHECK(trace_field(&r, "rss_pages") <=
			      trace_field(&r, "total_vm_pages"));
		}
		++*n;
	}
	CHECK(next[0] == 3 && next[1] == 5);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		trace_ring_attach(cpu, NULL, 0);
}

static int hog_body(void *arg)
{
	struct user users[4] = {
		{.name = "small1", .pages = ram_pages() / 8, .rounds = 12},
		{.name = "small2", .pages = ram_pages() / 10, .rounds = 12},
		{.name = "hog", .pages = 4 * ram_pages(), .rounds = 1},
		{.name = "small3", .pages = ram_pages() / 9, .rounds = 12},
	};
	char want[64];

	(void)arg;
	reaper_listen();
	for (int i = 0; i < 4; i++)
		start(&users[i], i % tm.cfg.cpus);
	for (int i = 0; i < 4; i++)
		port_thread_join(users[i].thread);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(users[i].signal, i == 2 ? MM_SIGKILL : 0);
	port_park(200 * 1000 * 1000); /* the reaper has its say */
	reaper_said(users[2].pid);
	CHECK(users[2].done > ram_pages() / 3);
	CHECK(users[2].done < ram_pages());
	CHECK_EQ(sum_vm_event(OOM_KILL), 1);
	snprintf(want, sizeof(want),
		 "Killed process %d (hog) total-vm:", users[2].pid);
	CHECK(strstr(mm_last_oom(), want));
	CHECK(tm_logged(" invoked oom-killer: gfp_mask=0x"));
	/* A first fault, or one that reads from swap. */
	CHECK(tm_logged("(GFP_HIGHUSER_MOVABLE") ||
	      tm_logged("(GFP_KERNEL|__GFP_HIGHMEM|__GFP_MOVABLE)"));
	CHECK(tm_logged("), order=0, oom_score_adj=0\n"));
	CHECK(tm_logged("Out of memory: Killed process"));
	CHECK(tm_logged("Tasks state (memory values in pages):"));
	snprintf(want, sizeof(want), "oom_reaper: reaped process %d (hog), now",
		 users[2].pid);
	CHECK(tm_logged(want));
	CHECK(tm_logged("kB, file-rss:0kB, shmem-rss:0kB\n"));
	return 0;
}

static void hog_is_killed(void **state)
{
	(void)state;
	/* Regression, seed 10: the victim had left its space, whose pages were
	 * not free yet, and a second one was killed. */
	for (u64 seed = 1; seed < (tm_soak() ? 200 : 12); seed++)
		TM_RUN(hog_body, .mem = (4 + seed % 5) << 20, .seed = seed,
		       .cpus = 1 + (int)(seed % 4), .explore = seed % 3 == 0);
}

/* With little swap: it fills first. */
static void swap_then_killed(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < (tm_soak() ? 100 : 4); seed++)
		TM_RUN(hog_body, .mem = 6UL << 20, .swap_pages = 200,
		       .seed = seed, .cpus = 2);
}

/* ---- whom it takes
 * ---------------------------------------------------------------- */

/* The largest is protected: the other one goes. */
static int adj_body(void *arg)
{
	struct user users[2] = {
		{.name = "precious",
		 .pages = ram_pages() / 2,
		 .rounds = 6,
		 .adj = -1000},
		{.name = "second", .pages = 2 * ram_pages(), .rounds = 1},
	};

	(void)arg;
	start(&users[0], 0);
	port_park(20 * 1000 * 1000);
	start(&users[1], 0);
	port_thread_join(users[0].thread);
	port_thread_join(users[1].thread);
	CHECK_EQ(users[0].signal, 0);
	CHECK_EQ(users[1].signal, MM_SIGKILL);
	CHECK(strstr(mm_last_oom(), "(second)"));
	return 0;
}

static void score_adj(void **state)
{
	(void)state;
	TM_RUN(adj_body, .mem = 6UL << 20, .seed = 1);
	TM_RUN(adj_body, .mem = 6UL << 20, .seed = 2, .explore = true);
}

/* A child that vfork() made runs on process 1's memory, the largest: whoever
 * else it is that goes, these two do not. */
/* Who takes from all (swapoff, the end of merging) goes before who has more. */
static int origin_body(void *arg)
{
	struct user users[2] = {
		{.name = "origin",
		 .pages = ram_pages() / 3,
		 .rounds = 1000,
		 .origin = true},
		{.name = "larger", .pages = ram_pages() * 3 / 4, .rounds = 2},
	};

	(void)arg;
	start(&users[0], 0);
	start(&users[1], 0);
	port_thread_join(users[0].thread);
	port_thread_join(users[1].thread);
	CHECK_EQ(users[0].signal, MM_SIGKILL);
	CHECK_EQ(users[1].signal, 0);
	CHECK(strstr(mm_last_oom(), "(origin)"));
	return 0;
}

static void origin_first(void **state)
{
	(void)state;
	TM_RUN(origin_body, .mem = 6UL << 20, .seed = 1);
}

static int vfork_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct user users[3] = {
		{.name = "init",
		 .pages = ram_pages() / 3,
		 .rounds = 1,
		 .shared = mm,
		 .until = &users[2]},
		{.name = "vforked", .pages = 60, .rounds = 100, .shared = mm},
		{.name = "hog", .pages = ram_pages() * 2, .rounds = 1},
	};

	(void)arg;
	start(&users[0], 0);
	port_park(20 * 1000 * 1000);
	users[1].adj = 1000; /* it would be the first */
	start(&users[1], 0);
	start(&users[2], 1);
	for (int i = 0; i < 3; i++)
		port_thread_join(users[i].thread);
	mm_put(mm);
	CHECK_EQ(users[0].signal, 0);
	CHECK_EQ(users[1].signal, 0);
	CHECK_EQ(users[2].signal, MM_SIGKILL);
	CHECK_EQ(sum_vm_event(OOM_KILL), 1);
	return 0;
}

static void init_is_spared(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 6; seed++)
		TM_RUN(vfork_body, .mem = 6UL << 20, .seed = seed, .cpus = 2,
		       .explore = seed % 2 == 0);
}

/* Threads of one space die together. */
static int threads_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct user users[3] = {
		{.name = "thread", .pages = 1500, .rounds = 1, .shared = mm},
		{.name = "thread", .pages = 1500, .rounds = 1, .shared = mm},
		{.name = "other", .pages = 100, .rounds = 40},
	};

	(void)arg;
	for (int i = 0; i < 3; i++)
		start(&users[i], i % tm.cfg.cpus);
	for (int i = 0; i < 3; i++)
		port_thread_join(users[i].thread);
	mm_put(mm);
	CHECK_EQ(users[0].signal, MM_SIGKILL);
	CHECK_EQ(users[1].signal, MM_SIGKILL);
	CHECK_EQ(users[2].signal, 0);
	CHECK_EQ(sum_vm_event(OOM_KILL), 1);
	return 0;
}

static void threads_die_together(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 4; seed++)
		TM_RUN(threads_body, .mem = 6UL << 20, .seed = seed,
		       .cpus = (int)seed, .explore = seed == 2);
}

/* One after the other: each kill makes room for those that are left. */
static int several_body(void *arg)
{
	static struct user users[6];
	u64 killed = 0;

	(void)arg;
	for (int i = 0; i < 6; i++) {
		users[i] = (struct user){.name = "grower",
					 .pages = ram_pages() / 3,
					 .rounds = 3};
		start(&users[i], i % tm.cfg.cpus);
	}
	for (int i = 0; i < 6; i++) {
		port_thread_join(users[i].thread);
		CHECK(users[i].signal == 0 || users[i].signal == MM_SIGKILL);
		killed += users[i].signal == MM_SIGKILL;
	}
	CHECK(killed >= 1 && killed < 6);
	CHECK_EQ(sum_vm_event(OOM_KILL), killed);
	return 0;
}

static void several(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < (tm_soak() ? 200 : 7); seed++)
		TM_RUN(several_body, .mem = 6UL << 20, .seed = seed,
		       .cpus = 1 + (int)(seed % 3), .explore = seed % 2);
}

/* ---- a victim that does not go by itself
 * ---------------------------------------------------------------------------
 */

struct sleeper {
	u64 pages, ns;
	bool holds_lock;
	int filled;
	struct port_thread *thread;
};

/* It fills and locks most of RAM, and then waits for something for NS. */
static void sleeper_thread(void *arg)
{
	struct sleeper *s = arg;
	struct mm_task *task = port_current();
	struct mm_struct *mm = tm_mm();
	s64 at;

	mm_task_register(task, "sleeper");
	mm_task_attach(task, mm);
	mm->rlimit_memlock = ~0ULL;
	at = do_mmap(mm, 0, P(s->pages), TM_RW, TM_ANON);
	CHECK(at > 0);
	CHECK_EQ(do_mlock(mm, (uva_t)at, P(s->pages), 0), 0);
	CHECK_EQ(mm_counter_get(mm, MM_ANONPAGES), s->pages);
	if (s->holds_lock)
		mmap_write_lock(mm);
	WRITE_ONCE(s->filled, 1);
	for (u64 end = port_now_ns() + s->ns; port_now_ns() < end;)
		port_park(10 * 1000 * 1000);
	if (s->holds_lock)
		mmap_write_unlock(mm);
	CHECK(task->fatal_signal == MM_SIGKILL);
	if (!s->holds_lock)
		CHECK_EQ(mm_counter_get(mm, MM_ANONPAGES), 0);
	mm_task_exit(task);
	mm_put(mm);
	mm_task_unregister(task);
}

/* The only one that may be killed sleeps: who must live gets its memory. */
static void sleeper_body(struct sleeper *s)
{
	struct user precious = {.name = "precious",
				.pages = ram_pages() / 3,
				.rounds = 4,
				.adj = -1000};

	s->pages = ram_pages() * 6 / 10;
	CHECK_EQ(sim_thread_start_on(&s->thread, "sleeper", 0, sleeper_thread,
				     s),
		 0);
	while (!READ_ONCE(s->filled))
		port_park(1000 * 1000);
	start(&precious, tm.cfg.cpus - 1);
	port_thread_join(precious.thread);
	port_thread_join(s->thread);
	CHECK_EQ(precious.signal, 0);
	CHECK_EQ(sum_vm_event(OOM_KILL), 1);
	CHECK(strstr(mm_last_oom(), "(sleeper)"));
	CHECK_EQ(space_sys.oom_victims, 0);
}

static int locked_body(void *arg)
{
	struct sleeper s = {.ns = 60ULL * 1000 * 1000 * 1000};

	(void)arg;
	sleeper_body(&s);
	return 0;
}

/* Regression: the reaper left locked memory, and with nobody else to kill the
 * machine stopped. */
static void locked_memory_is_reaped(void **state)
{
	(void)state;
	TM_RUN(locked_body, .mem = 6UL << 20, .seed = 1);
	TM_RUN(locked_body, .mem = 6UL << 20, .seed = 2, .cpus = 2,
	       .explore = true);
}

/* Regression: the reaper gave up, and while the victim was on its way the next
 * one who asked found nobody. */
static int busy_body(void *arg)
{
	struct sleeper s = {.ns = 2ULL * 1000 * 1000 * 1000,
			    .holds_lock = true};

	(void)arg;
	sleeper_body(&s);
	CHECK(tm_logged("oom_reaper: unable to reap"));
	return 0;
}

static void a_victim_has_time(void **state)
{
	(void)state;
	TM_RUN(busy_body, .mem = 6UL << 20, .seed = 1);
	TM_RUN(busy_body, .mem = 6UL << 20, .seed = 2, .cpus = 2);
}

/* ---- what the operator wants -----------------------------------------------
 */

/* U has all its pages, and goes on using them. */
static void settled(const struct user *u)
{
	while (READ_ONCE(u->done) < u->pages)
		sim_yield();
}

/* Who asks is taken, not the largest; without the table of tasks. */
static int asker_body(void *arg)
{
	struct user users[2] = {
		{.name = "large",
		 .pages = ram_pages() / 2,
		 .rounds = 1,
		 .beside = &users[1]},
		{.name = "asker", .pages = 2 * ram_pages(), .rounds = 1},
	};

	(void)arg;
	CHECK_EQ(mm_sysctl_set("vm.oom_kill_allocating_task", "1"), 0);
	CHECK_EQ(mm_sysctl_set("vm.oom_dump_tasks", "0"), 0);
	start(&users[0], 0);
	settled(&users[0]);
	users[1].adj = -900; /* far less bad than the other */
	start(&users[1], 0);
	port_thread_join(users[0].thread);
	port_thread_join(users[1].thread);
	CHECK_EQ(users[0].signal, 0);
	CHECK_EQ(users[1].signal, MM_SIGKILL);
	CHECK(!tm_logged("Tasks state"));
	CHECK(tm_logged("oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),"
			"cpuset=/,mems_allowed=0,global_oom,task_memcg=/,"
			"task="));
	return 0;
}

/* Memory of node 1 alone is wanted: who is bound to node 0 is no help. */
static int bound_body(void *arg)
{
	struct user users[2] = {
		{.name = "on0",
		 .pages = ram_pages() * 2 / 5,
		 .rounds = 1,
		 .beside = &users[1],
		 .bind = 1},
		{.name = "on1", .pages = ram_pages(), .rounds = 1, .bind = 2},
	};

	(void)arg;
	start(&users[0], 0);
	settled(&users[0]);
	users[1].adj = -300;
	start(&users[1], 1);
	port_thread_join(users[0].thread);
	port_thread_join(users[1].thread);
	CHECK_EQ(users[0].signal, 0);
	CHECK_EQ(users[1].signal, MM_SIGKILL);
	CHECK(tm_logged("oom-kill:constraint=CONSTRAINT_MEMORY_POLICY,"
			"nodemask=1,cpuset=/,mems_allowed=0-1,global_oom,"
			"task_memcg=/,task=on1"));
	return 0;
}

static void operator_says(void **state)
{
	(void)state;
	TM_RUN(asker_body, .mem = 6UL << 20);
	TM_RUN(bound_body, .mem = 12UL << 20, .cpus = 2, .nodes = 2);
}

/* Who asks late, when there is memory again, kills nobody. */
static int late_body(void *arg)
{
	struct mm_task *task = port_current();
	struct mm_struct *mm = tm_mm();
	struct alloc_context ac;

	(void)arg;
	mm_task_attach(task, mm);
	mm_put(mm);
	prepare_alloc_context(&ac, GFP_KERNEL, 0);
	CHECK(out_of_memory(GFP_KERNEL, 0, &ac));
	CHECK_EQ(sum_vm_event(OOM_KILL), 0);
	CHECK_EQ(task->fatal_signal, 0);
	mm_task_exit(task);
	return 0;
}

static void memory_came_back(void **state)
{
	(void)state;
	TM_RUN(late_body, .mem = 6UL << 20);
}

/* ---- nobody to kill
 * ------------------------------------------------------------------ */

/* Only the kernel asks: the allocation fails, no panic, memory is whole. */
static int kernel_body(void *arg)
{
	static struct page *pages[4096];
	u32 n = 0;

	(void)arg;
	while (n < ARRAY_SIZE(pages) && (pages[n] = alloc_page(GFP_KERNEL)))
		n++;
	CHECK(n > ram_pages() / 2 && n < ram_pages());
	CHECK(!alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN));
	while (n)
		__free_page(pages[--n]);
	CHECK_EQ(sum_vm_event(OOM_KILL), 0);
	return 0;
}

static void kernel_only(void **state)
{
	(void)state;
	TM_RUN(kernel_body, .mem = 4UL << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hog_is_killed),
		cmocka_unit_test(swap_then_killed),
		cmocka_unit_test(score_adj),
		cmocka_unit_test(origin_first),
		cmocka_unit_test(init_is_spared),
		cmocka_unit_test(threads_die_together),
		cmocka_unit_test(several),
		cmocka_unit_test(locked_memory_is_reaped),
		cmocka_unit_test(a_victim_has_time),
		cmocka_unit_test(operator_says),
		cmocka_unit_test(memory_came_back),
		cmocka_unit_test(kernel_only),
	};

	return cmocka_run_group_tests_name("oom", tests, NULL, NULL);
}
