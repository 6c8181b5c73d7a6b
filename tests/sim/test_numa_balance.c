/* SPDX-License-Identifier: MIT */
/*
 * Balancing of nodes: what a hint fault counts, two stages, what gets no hints,
 * hints that calls and huge pages meet, slow memory that is used comes up, the
 * daemon and its period, limits; threads under explored schedules.
 */
#include <mmkit/mempolicy.h>
#include <mmkit/sysctl.h>
#include <mmkit/uaccess.h>

#include "calls.h"

#define MGR_LOAD(to, va, len)	 sim_copy_from_user(to, va, len)
#define MGR_STORE(va, from, len) sim_copy_to_user(va, from, len)
#include "migrate_race.h"
#include "phys/memory_tiers.h"
#include "space/huge.h"
#include "space/numa_hint.h"

/* CPU 0 and node 0, CPU 1 and node 1. */
#define TWO_NODES .cpus = 2, .nodes = 2, .mem = 24UL << 20

#define N 64u

/* ---- helpers ---------------------------------------------------------------
 */

/* The mode is MODE; the daemon leaves the scan to us. */
static void begin(const char *mode)
{
	space_sys.numa.scan_delay_ms = 1000000;
	CHECK_EQ(mm_sysctl_set("kernel.numa_balancing", mode), 0);
	CHECK(space_sys.numa.history != NULL);
}

static void fill(uva_t at, u64 n, u64 seed)
{
	for (u64 i = 0; i < n; i++)
		tm_store(at + P(i) + 8 * (i % 512), seed + i);
}

static void expect(uva_t at, u64 n, u64 seed)
{
	for (u64 i = 0; i < n; i++)
		CHECK_EQ(tm_load(at + P(i) + 8 * (i % 512)), seed + i);
}

static u64 on_node(struct mm_struct *mm, uva_t at, u64 n, int nid)
{
	u64 nr = 0;

	for (u64 i = 0; i < n; i++) {
		struct page *page = page_at(mm, at + P(i));

		nr += page && page_to_nid(page) == nid;
	}
	return nr;
}

static u64 hints(struct mm_struct *mm, uva_t at, u64 n)
{
	u64 nr = 0;

	for (u64 i = 0; i < n; i++)
		nr += pte_protnone(tm_pte(mm, at + P(i)));
	return nr;
}

/* What a thread on some CPU does with memory of MM. */
struct visit {
	struct mm_struct *mm;
	uva_t at;
	u64 n, seed;
	bool store;
};

static void visit_thread(void *arg)
{
	struct visit *v = arg;

	mm_task_attach(port_current(), v->mm);
	if (v->store)
		fill(v->at, v->n, v->seed);
	else
		expect(v->at, v->n, v->seed);
	lru_add_drain();
	mm_task_exit(port_current());
	port_current()->flags |= PF_KTHREAD;
}

static void visit(int cpu, struct visit v)
{
	struct port_thread *t;

	CHECK_EQ(sim_thread_start_on(&t, "visit", cpu, visit_thread, &v), 0);
	port_thread_join(t);
	lru_add_drain_all();
}

/* Hints for all of MM. How many entries. */
static u64 scan(struct mm_struct *mm)
{
	u64 before = sum_vm_event(NUMA_PTE_UPDATES);

	mm->numa.at = 0;
	CHECK(numa_scan_space(mm, 1UL << 30));
	return sum_vm_event(NUMA_PTE_UPDATES) - before;
}

struct counts {
	u64 faults, local, moved;
};

static struct counts counts(void)
{
	return (struct counts){sum_vm_event(NUMA_HINT_FAULTS),
			       sum_vm_event(NUMA_HINT_FAULTS_LOCAL),
			       sum_vm_event(NUMA_PAGE_MIGRATE)};
}

/* Since C so many more. */
static void counted(struct counts c, u64 faults, u64 local, u64 moved)
{
	struct counts now = counts();

	CHECK_EQ(now.faults - c.faults, faults);
	CHECK_EQ(now.local - c.local, local);
	CHECK_EQ(now.moved - c.moved, moved);
}

/* N pages that CPU 1 wrote, on its node. */
static uva_t far_pages(struct mm_struct *mm, u64 n)
{
	uva_t at = tm_map(mm, n);

	visit(1, (struct visit){mm, at, n, 77, true});
	CHECK_EQ(on_node(mm, at, n, 1), n);
	return at;
}

/* ---- stages ----------------------------------------------------------------
 */

/* The history says of all frames of node 0 that CPU was the last. */
static void free_frames_used_by(u32 cpu)
{
	struct numa_balancing *nb = &space_sys.numa;

	for (u64 pfn = 1; pfn < phys_sys.hot.max_pfn; pfn++)
		if (page_to_nid(pfn_to_page(pfn)) == 0)
			nb->history[pfn & (nb->history_size - 1)] =
				(u32)(pfn / nb->history_size) << 24 |
				0x800000u | cpu;
}

static int stages_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct counts c;
	uva_t at;

	(void)arg;
	begin("1");
	at = far_pages(mm, N);
	CHECK_EQ(scan(mm), N);
	CHECK_EQ(hints(mm, at, N), N);
	mm_check(mm);
	/* A second scan finds nothing to do. */
	CHECK_EQ(scan(mm), 0);
	c = counts();
	visit(0, (struct visit){mm, at, N, 77, false});
	counted(c, N, 0, 0);
	CHECK_EQ(hints(mm, at, N), 0);
	CHECK_EQ(on_node(mm, at, N, 1), N);
	/* The second in a row. What was known of the frames that they go to
	 * counts for nothing. */
	CHECK_EQ(scan(mm), N);
	free_frames_used_by(1);
	c = counts();
	visit(0, (struct visit){mm, at, N, 77, false});
	counted(c, N, 0, N);
	CHECK_EQ(on_node(mm, at, N, 0), N);
	CHECK_EQ(hints(mm, at, N), 0);
	CHECK_EQ(scan(mm), N);
	c = counts();
	visit(1, (struct visit){mm, at, N, 77, false});
	counted(c, N, 0, 0);
	/* There they are at home. */
	CHECK_EQ(scan(mm), N);
	c = counts();
	visit(0, (struct visit){mm, at, N, 77, true});
	counted(c, N, N, 0);
	/* What both use in turn goes nowhere. */
	for (int i = 1; i < 7; i++) {
		CHECK_EQ(scan(mm), N);
		c = counts();
		visit(i % 2, (struct visit){mm, at, N, 77, false});
		counted(c, N, i % 2 ? 0 : N, 0);
	}
	CHECK_EQ(on_node(mm, at, N, 0), N);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void stages(void **state)
{
	(void)state;
	TM_RUN(stages_body, TWO_NODES);
	TM_RUN(stages_body, TWO_NODES, .format = &paging_arm64);
	TM_RUN(stages_body, TWO_NODES, .format = &paging_x86_32);
}

/* ---- what gets none, and what keeps pages ----------------------------------
 */

static int spared_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	struct page *pinned;
	uva_t at, bound;

	(void)arg;
	begin("1");
	at = far_pages(mm, N);
	bound = far_pages(mm, N);
	CHECK_EQ(do_mbind(mm, bound, P(N), MPOL_PREFERRED, NODE_MASK(1), 0), 0);
	CHECK_EQ(scan(mm), N);
	CHECK_EQ(hints(mm, bound, N), 0);
	visit(1, (struct visit){mm, at, N, 77, false});
	/* A mapping that nobody may use. */
	CHECK_EQ(do_mprotect(mm, at, P(8), PROT_NONE), 0);
	CHECK_EQ(scan(mm), N - 8);
	CHECK_EQ(do_mprotect(mm, at, P(8), TM_RW), 0);
	visit(1, (struct visit){mm, at, N, 77, false});
	/* Shared copy-on-write. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(scan(mm), 0);
	mm_put(child);
	/* Pinned. */
	CHECK_EQ(pin_user_pages(mm, at, 1, FOLL_WRITE, &pinned), 1);
	CHECK_EQ(scan(mm), N - 1);
	unpin_user_page(pinned);
	/* Off: hints that are left are no more than a fault. */
	CHECK_EQ(mm_sysctl_set("kernel.numa_balancing", "0"), 0);
	visit(1, (struct visit){mm, at, N, 77, false});
	CHECK_EQ(hints(mm, at, N), 0);
	CHECK_EQ(scan(mm), 0);
	CHECK_EQ(sum_vm_event(NUMA_PAGE_MIGRATE), 0);
	/* A task with a policy does not fetch what others have placed. */
	begin("1");
	for (int i = 0; i < 3; i++) {
		CHECK(scan(mm) >= N);
		tm_use(mm);
		CHECK_EQ(do_set_mempolicy(MPOL_BIND, NODE_MASK(0)), 0);
		expect(at, N, 77);
		CHECK_EQ(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
		tm_use(NULL);
	}
	CHECK_EQ(on_node(mm, at, N, 1), N);
	mm_put(mm);
	return 0;
}

/* MPOL_F_NUMA_BALANCING: among its nodes memory goes where it is used. */
static void two_visits(struct mm_struct *mm, uva_t at, int mode,
		       nodemask_t nodes)
{
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(scan(mm), N);
		tm_use(mm);
		CHECK_EQ(do_set_mempolicy(mode, nodes), 0);
		expect(at, N, 77);
		tm_use(NULL);
	}
}

static int follows_body(void *arg)
{
	const int bind = MPOL_BIND | MPOL_F_NUMA_BALANCING;
	const nodemask_t both = NODE_MASK(0) | NODE_MASK(1);
	struct mm_struct *mm = tm_mm();
	uva_t at;

	(void)arg;
	begin("1");
	at = far_pages(mm, N);
	/* The task's: not beyond its nodes. */
	two_visits(mm, at, bind, NODE_MASK(1));
	CHECK_EQ(on_node(mm, at, N, 1), N);
	two_visits(mm, at, bind, both);
	CHECK_EQ(on_node(mm, at, N, 0), N);
	CHECK_EQ(do_munmap(mm, at, P(N)), 0);
	/* The mapping's comes first. */
	at = far_pages(mm, N);
	CHECK_EQ(do_mbind(mm, at, P(N), bind, both, 0), 0);
	two_visits(mm, at, MPOL_BIND, NODE_MASK(1));
	CHECK_EQ(on_node(mm, at, N, 0), N);
	CHECK_EQ(do_munmap(mm, at, P(N)), 0);
	at = far_pages(mm, N);
	CHECK_EQ(do_mbind(mm, at, P(N),
			  MPOL_PREFERRED_MANY | MPOL_F_NUMA_BALANCING,
			  NODE_MASK(1), 0),
		 0);
	two_visits(mm, at, MPOL_DEFAULT, 0);
	CHECK_EQ(on_node(mm, at, N, 1), N);
	mm_put(mm);
	return 0;
}

/* No more than the limit goes in a second. */
static int limit_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at;

	(void)arg;
	begin("1");
	CHECK_EQ(mm_sysctl_set("kernel.numa_balancing_promote_rate_limit_MBps",
			       "1"),
		 0);
	at = far_pages(mm, 600);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(scan(mm), 600);
		visit(0, (struct visit){mm, at, 600, 77, false});
	}
	/* All within one second, or two. */
	CHECK(on_node(mm, at, 600, 0) == 256 || on_node(mm, at, 600, 0) == 512);
	CHECK_EQ(sum_vm_event(NUMA_PAGE_MIGRATE), on_node(mm, at, 600, 0));
	port_park(2000000000UL);
	CHECK(scan(mm) == 600);
	visit(0, (struct visit){mm, at, 600, 77, false});
	CHECK(on_node(mm, at, 600, 0) >= 512);
	mm_put(mm);
	return 0;
}

/* A page that is held stays, and its entry is as before. */
static int held_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct page *page;
	uva_t at;

	(void)arg;
	begin("1");
	at = far_pages(mm, 4);
	page = page_at(mm, at);
	get_page(page);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(scan(mm), 4);
		visit(0, (struct visit){mm, at, 4, 77, false});
	}
	CHECK_EQ(page_at(mm, at) == page, 1);
	CHECK_EQ(on_node(mm, at, 4, 0), 3);
	CHECK(pte_write(tm_pte(mm, at)) && pte_valid(tm_pte(mm, at)));
	put_page(page);
	CHECK_EQ(scan(mm), 4);
	visit(0, (struct visit){mm, at, 4, 77, true});
	CHECK_EQ(on_node(mm, at, 4, 0), 4);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void limits(void **state)
{
	(void)state;
	TM_RUN(spared_body, TWO_NODES);
	TM_RUN(follows_body, TWO_NODES);
	TM_RUN(limit_body, TWO_NODES);
	TM_RUN(held_body, TWO_NODES);
}

/* ---- what meets hints ------------------------------------------------------
 */

static int calls_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	struct page *pinned;
	uva_t at, to;
	u64 v = 0;

	(void)arg;
	begin("1");
	tm_use(mm);
	at = tm_map(mm, N);
	fill(at, N, 5);
	/* fork: the copy has the contents, and neither sees the other's. */
	CHECK_EQ(scan(mm), N);
	CHECK_EQ(mm_fork(mm, &child), 0);
	mm_check(child);
	fill(at, N, 900);
	mm_get(mm);
	tm_use(child);
	expect(at, N, 5);
	fill(at, N, 300);
	tm_use(mm);
	mm_put(mm);
	expect(at, N, 900);
	mm_put(child);
	/* mprotect. */
	CHECK_EQ(scan(mm), N);
	CHECK_EQ(do_mprotect(mm, at, P(N), PROT_READ), 0);
	CHECK_EQ(sim_copy_to_user(at, &v, sizeof(v)), MM_SIGSEGV);
	expect(at, N, 900);
	CHECK_EQ(do_mprotect(mm, at, P(N), TM_RW), 0);
	/* A kernel's copy and a pin, through the hint. */
	CHECK_EQ(scan(mm), N);
	CHECK_EQ(copy_from_user(mm, &v, at, sizeof(v)), 0);
	CHECK_EQ(v, 900);
	CHECK_EQ(pin_user_pages(mm, at, 1, FOLL_WRITE, &pinned), 1);
	CHECK_EQ(pinned == page_at(mm, at), 1);
	unpin_user_page(pinned);
	/* It is there for mincore, and counted. */
	CHECK_EQ(do_mincore(mm, at + P(8), PAGE_SIZE, at), 0);
	CHECK_EQ(tm_load(at) & 0xff, 1);
	tm_store(at, 900);
	CHECK_EQ(mm_counter_get(mm, MM_ANONPAGES), N);
	/* mremap, DONTNEED, munmap. */
	CHECK(scan(mm) > 0);
	to = tm_map(mm, N);
	CHECK_EQ(do_mremap(mm, at, P(N), P(N), MREMAP_MAYMOVE | MREMAP_FIXED,
			   to),
		 (s64)to);
	expect(to, N, 900);
	CHECK_EQ(scan(mm), N);
	CHECK_EQ(do_madvise(mm, to, P(4), MADV_DONTNEED), 0);
	CHECK_EQ(tm_load(to), 0);
	CHECK_EQ(do_madvise(mm, to + P(4), P(4), MADV_PAGEOUT), 0);
	for (u64 i = 4; i < N; i++)
		CHECK_EQ(tm_load(to + P(i) + 8 * i), 900 + i);
	CHECK(scan(mm) > 0);
	mm_check(mm);
	CHECK_EQ(do_munmap(mm, to, P(N)), 0);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static int huge_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	struct counts c;
	uva_t at;
	u64 n = HPAGE_PMD_NR;

	(void)arg;
	space_sys.thp.enabled = THP_ALWAYS;
	begin("1");
	at = ALIGN(tm_map(mm, 2 * n), HPAGE_PMD_SIZE);
	visit(1, (struct visit){mm, at, n, 77, true});
	CHECK_EQ(global_node_page_state(NR_ANON_THPS), 1);
	/* All of it, and one hint of it is the hint. */
	CHECK_EQ(scan(mm), n);
	CHECK_EQ(sum_vm_event(NUMA_HUGE_PTE_UPDATES), 1);
	CHECK_EQ(hints(mm, at, n), n);
	CHECK_EQ(global_node_page_state(NR_ANON_THPS), 0);
	mm_check(mm);
	c = counts();
	visit(0, (struct visit){mm, at, 3, 77, false});
	counted(c, 1, 0, 0);
	CHECK_EQ(hints(mm, at, n), 0);
	CHECK_EQ(global_node_page_state(NR_ANON_THPS), 1);
	/* The second time it goes, as a whole. */
	CHECK_EQ(scan(mm), n);
	c = counts();
	visit(0, (struct visit){mm, at, n, 77, true});
	counted(c, 1, 0, n);
	CHECK_EQ(on_node(mm, at, n, 0), n);
	CHECK_EQ(global_node_page_state(NR_ANON_THPS), 1);
	CHECK_EQ(sum_vm_event(THP_MIGRATION_SUCCESS), 1);
	CHECK_EQ(sum_vm_event(THP_SPLIT_PMD), 0);
	visit(1, (struct visit){mm, at, n, 77, false});
	/* A part that was made small is hinted page by page, and the hints of
	 * what is left of it are no whole. */
	tm_use(mm);
	CHECK_EQ(do_madvise(mm, at + P(5), PAGE_SIZE, MADV_DONTNEED), 0);
	CHECK_EQ(scan(mm), n - 1);
	c = counts();
	expect(at, 4, 77);
	tm_use(NULL);
	counted(c, 4, 4, 0);
	/* One that several have gets none, and stays huge. */
	at = ALIGN(tm_map(mm, 2 * n), HPAGE_PMD_SIZE);
	visit(1, (struct visit){mm, at, n, 77, true});
	tm_use(mm);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(scan(mm), 0);
	CHECK_EQ(global_node_page_state(NR_ANON_THPS), 1);
	/* A page of it that is held: it stays, huge. */
	mm_put(child);
	tm_use(NULL);
	for (u32 i = 0; i < 3; i++) {
		struct page *held = page_at(mm, at + P(9));

		get_page(held);
		CHECK(scan(mm) >= n);
		visit(0, (struct visit){mm, at, n, 77, false});
		put_page(held);
	}
	CHECK_EQ(on_node(mm, at, n, 1), n);
	CHECK_EQ(global_node_page_state(NR_ANON_THPS), 1);
	CHECK(sum_vm_event(THP_MIGRATION_FAIL) > 0);
	CHECK_EQ(sum_vm_event(THP_MIGRATION_SPLIT), 0);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void meetings(void **state)
{
	(void)state;
	TM_RUN(calls_body, TWO_NODES, .swap_pages = 256);
	TM_RUN(huge_body, TWO_NODES);
}

/* ---- slow memory -----------------------------------------------------------
 */

static int tiering_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at, near;

	(void)arg;
	begin("2");
	tm_use(mm);
	at = tm_map(mm, N);
	near = tm_map(mm, N);
	CHECK_EQ(do_mbind(mm, at, P(N), MPOL_BIND, NODE_MASK(1), 0), 0);
	fill(at, N, 1);
	fill(near, N, 1);
	CHECK_EQ(do_mbind(mm, at, P(N), MPOL_DEFAULT, 0, 0), 0);
	lru_add_drain_all();
	CHECK_EQ(on_node(mm, at, N, 1), N);
	/* Used long after: it stays. And what is near is left alone. */
	CHECK_EQ(scan(mm), N);
	CHECK_EQ(hints(mm, near, N), 0);
	port_park(3000000000UL);
	expect(at, N, 1);
	CHECK_EQ(on_node(mm, at, N, 1), N);
	CHECK_EQ(global_node_page_state(PGPROMOTE_CANDIDATE), 0);
	/* Used at once: it comes, at the first time. */
	CHECK_EQ(scan(mm), N);
	expect(at, N, 1);
	CHECK_EQ(on_node(mm, at, N, 0), N);
	CHECK_EQ(node_page_state(NODE_DATA(0), PGPROMOTE_SUCCESS), N);
	CHECK_EQ(node_page_state(NODE_DATA(0), PGPROMOTE_CANDIDATE), N);
	CHECK_EQ(sum_vm_event(NUMA_PAGE_MIGRATE), N);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void tiering(void **state)
{
	(void)state;
	TM_RUN(tiering_body, .cpus = 1, .nodes = 2, .mem = 16UL << 20);
}

/* ---- the daemon ------------------------------------------------------------
 */

static void knob(const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path),
		 "/sys/kernel/debug/sched/numa_balancing/%s", name);
	CHECK_EQ(mm_write(path, value, strlen(value)), (s64)strlen(value));
}

static void user_thread(void *arg)
{
	struct visit *v = arg;

	mm_task_attach(port_current(), v->mm);
	for (int i = 0; i < 400 && on_node(v->mm, v->at, v->n, 0) < v->n; i++) {
		expect(v->at, v->n, v->seed);
		port_park(10000000);
	}
	/* At home now: the period grows. */
	for (int i = 0; i < 600; i++) {
		expect(v->at, v->n, v->seed);
		port_park(10000000);
	}
	mm_task_exit(port_current());
	port_current()->flags |= PF_KTHREAD;
}

static int daemon_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct visit v = {.mm = mm, .n = N, .seed = 77};
	struct port_thread *t;
	u32 passes;

	(void)arg;
	knob("scan_delay_ms", "100\n");
	knob("scan_period_min_ms", "50");
	knob("scan_period_max_ms", "1600");
	CHECK_EQ(mm_write("/sys/kernel/debug/sched/numa_balancing/scan_size_mb",
			  "0", 1),
		 -EINVAL);
	CHECK_EQ(mm_sysctl_set("kernel.numa_balancing", "1"), 0);
	v.at = far_pages(mm, N);
	CHECK_EQ(sim_thread_start_on(&t, "user", 0, user_thread, &v), 0);
	port_thread_join(t);
	CHECK_EQ(on_node(mm, v.at, N, 0), N);
	CHECK_EQ(sum_vm_event(NUMA_PAGE_MIGRATE), N);
	CHECK_EQ(mm->numa.period_ms, 1600);
	/* Off: it sleeps. */
	CHECK_EQ(mm_sysctl_set("kernel.numa_balancing", "0"), 0);
	port_park(5000000000UL);
	passes = mm->numa.passes;
	port_park(20000000000UL);
	CHECK_EQ(mm->numa.passes, passes);
	CHECK_EQ(mm_sysctl_set("kernel.numa_balancing", "1"), 0);
	port_park(5000000000UL);
	CHECK(mm->numa.passes > passes);
	mm_put(mm);
	return 0;
}

static void by_daemon(void **state)
{
	(void)state;
	TM_RUN(daemon_body, TWO_NODES);
}

/* ---- threads ---------------------------------------------------------------
 */

static int race_body(void *arg)
{
	struct port_thread *t[MGR_THREADS + 2];
	struct mgr *r = arg;

	begin("1");
	mgr_begin(r);
	for (u32 i = 0; i < MGR_THREADS; i++)
		CHECK_EQ(port_thread_start(&t[i], "user", -1, mgr_thread, r),
			 0);
	CHECK_EQ(port_thread_start(&t[MGR_THREADS], "mover", -1, mgr_mover, r),
		 0);
	CHECK_EQ(port_thread_start(&t[MGR_THREADS + 1], "scanner", -1,
				   mgr_scanner, r),
		 0);
	for (u32 i = 0; i < MGR_THREADS + 2; i++)
		port_thread_join(t[i]);
	r->refuse = (u32)sum_vm_event(NUMA_HINT_FAULTS);
	mgr_end(r);
	return 0;
}

static void schedules(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 3000 : 16);
	u64 checks = 0, faults = 0;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct mgr r = {.seed = seed + i, .iters = 40};

		snprintf(tm_context, sizeof(tm_context), "schedule %llu",
			 (unsigned long long)i);
		TM_RUN(race_body, .arg = &r, .seed = seed + i, .cpus = 3,
		       .nodes = 2, .explore = true, .stall = i / 2 % 2 * 32,
		       .swap_pages = 2048, .mem = 12UL << 20);
		checks += r.checks;
		faults += r.refuse;
	}
	fprintf(stderr,
		"balance: SEED=%llu, %llu schedules, %llu checks, "
		"%llu hint faults\n",
		(unsigned long long)seed, (unsigned long long)n,
		(unsigned long long)checks, (unsigned long long)faults);
	assert_true(n < 10 || faults > n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stages),    cmocka_unit_test(limits),
		cmocka_unit_test(meetings),  cmocka_unit_test(tiering),
		cmocka_unit_test(by_daemon), cmocka_unit_test(schedules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
