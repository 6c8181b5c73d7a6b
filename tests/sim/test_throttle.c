/* SPDX-License-Identifier: MIT */
/*
 * Reclaim that waits for the disk: until as much was written as those who wait
 * are after, not by time; what ends it besides; who waits when. Reclaimers that
 * wait for each other: for isolated pages, for the reserves.
 */
#include "calls.h"

#include "policy/policy.h"
#include "space/rmap.h"
#include "trace_ears.h"

#define MAX_PAGES 400u

static struct page *held[MAX_PAGES];
static uva_t base;

/* N pages from page FROM on begin to be written; they are on the lists. */
static void begin_writes(struct mm_struct *mm, u64 from, u64 n)
{
	for (u64 i = from; i < from + n; i++) {
		struct page *page =
			pfn_to_page(pte_pfn(tm_pte(mm, base + P(i))));

		get_page(page);
		held[i] = page;
		lock_page(page);
		CHECK(add_to_swap(page));
		CHECK(try_to_unmap(page));
		ClearPageDirty(page);
		CHECK_EQ(swap_writepage(page), 0);
	}
	CHECK(node_page_state(NODE_DATA(0), NR_WRITEBACK) > 0);
}

static void let_go(u64 from, u64 n)
{
	for (u64 i = from; i < from + n; i++) {
		wait_on_page_writeback(held[i]);
		put_page(held[i]);
	}
}

static struct mm_struct *pages_mm(u64 n)
{
	struct mm_struct *mm = tm_mm();

	tm_use(mm);
	base = tm_map(mm, n);
	for (u64 i = 0; i < n; i++)
		tm_store(base + P(i), i + 1);
	lru_add_drain_all();
	return mm;
}

static void pages_end(struct mm_struct *mm, u64 n)
{
	for (u64 i = 0; i < n; i++)
		CHECK_EQ(tm_load(base + P(i)), i + 1);
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
}

struct waiter {
	u64 written, left; /* while it waited; still under way at its end */
	bool ok;
};

static void wait_one(void *arg)
{
	struct waiter *w = arg;
	u64 start = node_page_state(NODE_DATA(0), NR_WRITTEN);

	w->ok = reclaim_wait_written(NODE_DATA(0));
	w->written = node_page_state(NODE_DATA(0), NR_WRITTEN) - start;
	w->left = node_page_state(NODE_DATA(0), NR_WRITEBACK);
}

static void run_waiters(struct waiter *w, u32 n)
{
	struct port_thread *t[4];

	for (u32 i = 0; i < n; i++)
		CHECK_EQ(sim_thread_start_on(&t[i], "waiter", 0, wait_one,
					     &w[i]),
			 0);
	for (u32 i = 0; i < n; i++)
		port_thread_join(t[i]);
}

/* ---- how long --------------------------------------------------------------
 */

static int amount_body(void *arg)
{
	struct mm_struct *mm = pages_mm(MAX_PAGES);
	struct pglist_data *node = NODE_DATA(0);
	u64 throttled, n = RECLAIM_WAIT_PAGES;
	struct waiter w[3];

	(void)arg;
	/* Nothing to wait for. */
	wait_one(&w[0]);
	CHECK(w[0].ok && w[0].written == 0);
	CHECK_EQ(node_page_state(node, NR_THROTTLED_WRITTEN), 0);
	/* One gets a cluster, and goes while the rest is under way. */
	begin_writes(mm, 0, 3 * n);
	run_waiters(w, 1);
	CHECK(w[0].ok && w[0].written >= n && w[0].left > 0);
	throttled = node_page_state(node, NR_THROTTLED_WRITTEN);
	CHECK(throttled >= n && throttled < 3 * n);
	let_go(0, 3 * n);
	/* Nobody waits: it is not counted. */
	CHECK_EQ(node_page_state(node, NR_THROTTLED_WRITTEN), throttled);
	/* Three wait for three; the first to leave saw all of that. */
	begin_writes(mm, 3 * n, 5 * n);
	run_waiters(w, 3);
	for (u32 i = 0; i < 3; i++)
		CHECK(w[i].ok && w[i].written >= n);
	CHECK(max(max(w[0].written, w[1].written), w[2].written) >= 3 * n);
	CHECK(min(min(w[0].written, w[1].written), w[2].written) >= 3 * n);
	let_go(3 * n, 5 * n);
	/* Less than a cluster is under way: all of it. */
	begin_writes(mm, 8 * n, 5);
	run_waiters(w, 1);
	CHECK(w[0].ok && w[0].written == 5 && w[0].left == 0);
	let_go(8 * n, 5);
	/* A disk that stands still holds nobody for ever. */
	mod_node_page_state(node, NR_WRITEBACK, 1);
	wait_one(&w[0]);
	CHECK(!w[0].ok && w[0].written == 0);
	mod_node_page_state(node, NR_WRITEBACK, -1);
	CHECK_EQ(node->nr_reclaim_waiters, 0);
	pages_end(mm, MAX_PAGES);
	return 0;
}

static void amount(void **state)
{
	(void)state;
	TM_RUN(amount_body, .swap_pages = 1024);
}

/* ---- who waits -------------------------------------------------------------
 */

/* Under pressure reclaimers wait by amount, not on each page's account. */
static int pressure_body(void *arg)
{
	u64 pages = 2 * tm.cfg.mem >> PAGE_SHIFT;
	struct mm_struct *mm = pages_mm(pages);

	(void)arg;
	CHECK(node_page_state(NODE_DATA(0), NR_THROTTLED_WRITTEN) >=
	      RECLAIM_WAIT_PAGES);
	CHECK(node_page_state(NODE_DATA(0), NR_THROTTLED_WRITTEN) <=
	      node_page_state(NODE_DATA(0), NR_WRITTEN));
	pages_end(mm, pages);
	CHECK_EQ(NODE_DATA(0)->nr_reclaim_waiters, 0);
	return 0;
}

/* A direct reclaimer without the right to wait for I/O does not. */
static int no_io_body(void *arg)
{
	struct mm_struct *mm = pages_mm(200);
	struct scan_control sc = {.gfp = GFP_NOIO};
	u64 before;

	(void)arg;
	begin_writes(mm, 0, 100);
	before = node_page_state(NODE_DATA(0), NR_THROTTLED_WRITTEN);
	reclaim_throttle(NODE_DATA(0), &sc);
	CHECK_EQ(node_page_state(NODE_DATA(0), NR_THROTTLED_WRITTEN), before);
	sc.gfp = GFP_KERNEL;
	reclaim_throttle(NODE_DATA(0), &sc);
	CHECK(node_page_state(NODE_DATA(0), NR_THROTTLED_WRITTEN) > before);
	let_go(0, 100);
	/* What has to be written first is no reason to wait long. */
	before = node_page_state(NODE_DATA(0), NR_THROTTLED_WRITTEN);
	reclaim_throttle(NODE_DATA(0), &sc);
	CHECK_EQ(node_page_state(NODE_DATA(0), NR_THROTTLED_WRITTEN), before);
	pages_end(mm, 200);
	return 0;
}

/* When a pass was in vain: for everybody, and for kswapd besides. */
static int vain_body(void *arg)
{
	struct scan_control sc = {.nr_reclaimed = 7};
	struct pglist_data *node = NODE_DATA(0);
	struct mm_task *task = port_current();

	(void)arg;
	CHECK(!reclaim_in_vain(node, &sc, 7));
	sc.nr.writeback = 1;
	CHECK(reclaim_in_vain(node, &sc, 7));
	CHECK(!reclaim_in_vain(node, &sc, 6));
	sc.nr.writeback = 0;
	sc.nr.dirty = 1;
	CHECK(reclaim_in_vain(node, &sc, 7));
	/* Progress, but the same pages are met again. */
	sc.nr.writeback = sc.nr.immediate = 5;
	task->flags |= PF_KSWAPD;
	CHECK(!reclaim_in_vain(node, &sc, 6));
	reclaim_sys.node_flags[0] = PGDAT_DIRTY;
	CHECK(!reclaim_in_vain(node, &sc, 6));
	reclaim_sys.node_flags[0] = PGDAT_WRITEBACK;
	CHECK(reclaim_in_vain(node, &sc, 6));
	sc.nr.immediate = 0;
	CHECK(!reclaim_in_vain(node, &sc, 6));
	sc.nr.immediate = 5;
	task->flags &= ~PF_KSWAPD;
	CHECK(!reclaim_in_vain(node, &sc, 6));
	reclaim_sys.node_flags[0] = 0;
	return 0;
}

/* A pass of kswapd notes a tail that is all in flight. */
static int noted_body(void *arg)
{
	struct mm_struct *mm = pages_mm(64);
	struct mm_task *task = port_current();
	struct scan_control sc = {
		.nr_to_reclaim = 1000,
		.gfp = GFP_KERNEL,
		.reclaim_idx = MAX_NR_ZONES - 1,
		.may_unmap = true,
		.may_swap = true,
		.may_writepage = true,
	};
	u64 under_way = 0;
	bool done[64];

	(void)arg;
	begin_writes(mm, 0, 64);
	/* Some are written already: off the list with them. */
	for (u64 i = 0; i < 64; i++) {
		done[i] = !PageWriteback(held[i]);
		CHECK(!done[i] || lru_isolate_page(held[i]));
		under_way += !done[i];
	}
	CHECK(under_way > 30);
	task->flags |= PF_MEMALLOC | PF_KSWAPD;
	for (int i = 0; i < 3 && !reclaim_sys.node_flags[0]; i++) {
		memset(&sc.nr, 0, sizeof(sc.nr));
		shrink_node(NODE_DATA(0), &sc);
	}
	task->flags &= ~(u32)(PF_MEMALLOC | PF_KSWAPD);
	CHECK_EQ(reclaim_sys.node_flags[0], PGDAT_WRITEBACK);
	reclaim_sys.node_flags[0] = 0;
	for (u64 i = 0; i < 64; i++)
		if (done[i])
			lru_putback_page(held[i]);
	let_go(0, 64);
	pages_end(mm, 64);
	return 0;
}

static void who(void **state)
{
	(void)state;
	TM_RUN(pressure_body, .mem = 8UL << 20, .swap_pages = 8192);
	TM_RUN(pressure_body, .mem = 8UL << 20, .swap_pages = 8192, .cpus = 3,
	       .explore = true, .seed = 5);
	TM_RUN(no_io_body, .swap_pages = 1024);
	TM_RUN(vain_body);
	TM_RUN(noted_body, .swap_pages = 1024);
}

/* ---- for each other --------------------------------------------------------
 */

struct hand {
	gfp_t gfp;
	bool ok, kill;
	u64 ns, throttled;
	struct mm_task *task;
};

static void isolated_one(void *arg)
{
	struct scan_control sc = {.gfp = GFP_KERNEL};
	struct hand *h = arg;
	u64 start = sim_now_ns();

	h->ok = reclaim_wait_isolated(NODE_DATA(0), false, &sc);
	h->ns = sim_now_ns() - start;
}

static void hold_isolated(s64 n)
{
	mod_node_page_state(NODE_DATA(0), NR_ISOLATED_ANON, n);
	reclaim_isolated_less(NODE_DATA(0));
}

static int isolated_body(void *arg)
{
	struct mm_struct *mm = pages_mm(MAX_PAGES);
	struct pglist_data *node = NODE_DATA(0);
	struct scan_control sc = {.gfp = GFP_KERNEL,
				  .nr_to_reclaim = 32,
				  .reclaim_idx = MAX_NR_ZONES - 1,
				  .may_unmap = true,
				  .may_swap = true,
				  .may_writepage = true};
	s64 inactive = (s64)node_page_state(node, NR_INACTIVE_ANON);
	struct mm_task *task = port_current();
	struct trace_record r;
	struct port_thread *t;
	struct hand h = {0};

	(void)arg;
	CHECK(inactive >= (s64)MAX_PAGES);
	hold_isolated(inactive / 8);
	CHECK(!too_many_isolated(node, false, GFP_KERNEL));
	isolated_one(&h);
	CHECK(h.ok && h.ns == 0);
	/* Who may wait for others leaves the rest to those who may not. */
	hold_isolated(1);
	CHECK(too_many_isolated(node, false, GFP_KERNEL));
	CHECK(!too_many_isolated(node, true, GFP_KERNEL));
	CHECK(!too_many_isolated(node, false, GFP_NOFS));
	CHECK(!too_many_isolated(node, false, GFP_NOIO));
	/* It stays so: the wait ends, and nothing is taken. */
	listen_to("mm_vmscan_throttled");
	isolated_one(&h);
	hush();
	CHECK(!h.ok && h.ns > 0);
	CHECK_EQ(told(TRACE_MM_VMSCAN_THROTTLED), 1);
	r = first(TRACE_MM_VMSCAN_THROTTLED);
	CHECK_EQ(field(&r, "nid"), 0);
	CHECK_EQ(field(&r, "usec_delayed"), h.ns / 1000);
	CHECK(field(&r, "usec_timeout") <= field(&r, "usec_delayed"));
	CHECK_EQ(field(&r, "reason"), 1 << 1); /* _ISOLATED */
	forget();
	task->flags |= PF_MEMALLOC;
	shrink_node(node, &sc);
	CHECK_EQ(sc.nr_scanned, 0);
	/* Kswapd goes on in any case; so does who is being killed. */
	task->flags |= PF_KSWAPD;
	isolated_one(&h);
	CHECK(h.ok && h.ns == 0);
	task->flags &= ~(u32)(PF_MEMALLOC | PF_KSWAPD);
	task->fatal_signal = 9;
	isolated_one(&h);
	task->fatal_signal = 0;
	CHECK(h.ok);
	/* They come back: it ends then. */
	CHECK_EQ(sim_thread_start_on(&t, "waiter", 0, isolated_one, &h), 0);
	port_park(1000);
	hold_isolated(-1);
	port_thread_join(t);
	CHECK(h.ok && h.ns < 10 * 1000 * 1000);
	hold_isolated(inactive);
	CHECK(too_many_isolated(node, false, GFP_NOFS));
	hold_isolated(-inactive - inactive / 8);
	CHECK_EQ(node_page_state(node, NR_ISOLATED_ANON), 0);
	pages_end(mm, MAX_PAGES);
	return 0;
}

static void reserve_one(void *arg)
{
	struct alloc_context ac = {
		.zonelist = node_zonelist(0, GFP_KERNEL),
		.nodemask = NODE_MASK_ALL,
		.highest_zoneidx = ZONE_NORMAL,
	};
	struct hand *h = arg;
	u64 start = sim_now_ns(), before = sum_vm_event(PGSCAN_DIRECT_THROTTLE);

	WRITE_ONCE(h->task, port_current());
	h->kill = throttle_direct_reclaim(&ac);
	h->ns = sim_now_ns() - start;
	h->throttled = sum_vm_event(PGSCAN_DIRECT_THROTTLE) - before;
}

/* All of the node's min marks together: N times what is free (0: as FIRST). */
static void set_reserves(const u64 first[MAX_NR_ZONES], u64 n)
{
	for (int i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *z = &NODE_DATA(0)->node_zones[i];

		z->_watermark[WMARK_MIN] =
			n ? zone_page_state(z, NR_FREE_PAGES) * n : first[i];
	}
}

static int reserve_body(void *arg)
{
	struct mm_struct *mm = pages_mm(100);
	struct pglist_data *node = NODE_DATA(0);
	struct mm_task *task = port_current();
	u64 first[MAX_NR_ZONES];
	struct port_thread *t;
	struct hand h = {0};

	(void)arg;
	for (int i = 0; i < MAX_NR_ZONES; i++)
		first[i] = node->node_zones[i]._watermark[WMARK_MIN];
	reserve_one(&h);
	CHECK(!h.kill && !h.throttled && h.ns == 0);
	/* Less than half is left; kswapd, for which all is well, does nothing:
	 * the wait has an end of its own. */
	set_reserves(first, 4);
	CHECK(!allow_direct_reclaim(node));
	reserve_one(&h);
	CHECK(!h.kill && h.throttled == 1 && h.ns > 0);
	/* No kswapd, one that gave up, threads of the kernel, the dying. */
	node->kswapd_failures = MAX_RECLAIM_RETRIES;
	CHECK(allow_direct_reclaim(node));
	node->kswapd_failures = 0;
	task->flags |= PF_KTHREAD;
	reserve_one(&h);
	task->flags &= ~(u32)PF_KTHREAD;
	CHECK(!h.kill && !h.throttled);
	task->fatal_signal = 9;
	reserve_one(&h);
	task->fatal_signal = 0;
	CHECK(!h.kill && !h.throttled);
	/* Killed while it waits. */
	h.task = NULL;
	CHECK_EQ(sim_thread_start_on(&t, "waiter", 0, reserve_one, &h), 0);
	port_park(1000);
	CHECK(h.task);
	h.task->fatal_signal = 9;
	port_unpark(h.task->thread);
	port_thread_join(t);
	CHECK(h.kill && h.throttled == 1);
	/* There is enough again: kswapd, woken, wakes who waits. */
	CHECK_EQ(sim_thread_start_on(&t, "waiter", 0, reserve_one, &h), 0);
	port_park(1000);
	set_reserves(first, 0);
	node->kswapd_highest_zoneidx = ZONE_NORMAL;
	wake_up_all(&node->kswapd_wait);
	port_thread_join(t);
	CHECK(!h.kill && h.throttled == 1 && h.ns < 50 * 1000 * 1000);
	pages_end(mm, 100);
	return 0;
}

static void each_other(void **state)
{
	(void)state;
	TM_RUN(isolated_body, .swap_pages = 1024);
	TM_RUN(reserve_body, .swap_pages = 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(amount),
		cmocka_unit_test(who),
		cmocka_unit_test(each_other),
	};

	return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
