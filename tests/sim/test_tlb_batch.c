/* SPDX-License-Identifier: MIT */
/*
 * One flush for many pages of reclaim: how many CPUs are told how often; that
 * nothing that a CPU still writes is lost; that an address whose entry went in
 * a batch is forgotten before it becomes something else.
 */
#include "calls.h"

#include <mmkit/shmem.h>

#include "cache/filemap.h"
#include "space/rmap.h"

#define MAX_PAGES 256u

static uva_t base;

/* ---- what CPUs remember ----------------------------------------------------
 */

struct known {
	struct mm_struct *mm;
	uva_t start, end;
	u32 cpus; /* bit: this CPU has an entry there */
};

static void know_one(const struct sim_tlb_entry *e, int cpu, void *arg)
{
	struct known *k = arg;
	uva_t va = e->key & PAGE_MASK;

	if ((e->key & (PAGE_SIZE - 1)) == k->mm->asid && va >= k->start &&
	    va < k->end)
		k->cpus |= 1u << cpu;
}

/* The CPUs that remember any of NR pages from page FROM on. */
static u32 known(struct mm_struct *mm, u64 from, u64 nr)
{
	struct known k = {mm, base + P(from), base + P(from + nr), 0};

	sim_tlb_for_each(know_one, &k);
	return k.cpus;
}

static u64 remote_flushes(void)
{
	struct port_tlb_counts n;

	port_tlb_counts(&n);
	return n.remote;
}

/* ---- somebody who runs the space elsewhere ---------------------------------
 */

struct other {
	struct mm_struct *mm;
	u64 nr;
	bool stop;
	struct completion loaded, done;
	struct port_thread *thread;
};

/* Reads all pages, then keeps its CPU in the space without another access. */
static void other_reads(void *arg)
{
	struct other *o = arg;

	tm_use(o->mm);
	for (u64 i = 0; i < o->nr; i++)
		(void)tm_load(base + P(i));
	complete(&o->loaded);
	wait_for_completion(&o->done);
	tm_use(NULL);
}

static void other_start(struct other *o, struct mm_struct *mm, int cpu, u64 nr)
{
	*o = (struct other){.mm = mm, .nr = nr};
	init_completion(&o->loaded);
	init_completion(&o->done);
	CHECK_EQ(sim_thread_start_on(&o->thread, "other", cpu, other_reads, o),
		 0);
	wait_for_completion(&o->loaded);
}

static void other_end(struct other *o)
{
	complete(&o->done);
	port_thread_join(o->thread);
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

static void pages_end(struct mm_struct *mm)
{
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
}

/* NR pages from FROM on, off their lists. */
static void isolate(struct mm_struct *mm, u64 from, u64 nr,
		    struct page_list *out)
{
	lru_add_drain_all();
	page_list_init(out);
	for (u64 i = from; i < from + nr; i++) {
		struct page *page = page_at(mm, base + P(i));

		CHECK(page && lru_isolate_page(page));
		ClearPageActive(page);
		ClearPageReferenced(page);
		page_list_add(out, page);
	}
}

static u64 push_out(struct mm_struct *mm, u64 from, u64 nr)
{
	struct page_list list;
	u64 freed;

	isolate(mm, from, nr, &list);
	freed = reclaim_pages(&list);
	while (list.count)
		lru_putback_page(page_list_pop(&list));
	return freed;
}

/* ---- how often -------------------------------------------------------------
 */

static int often_body(void *arg)
{
	struct mm_struct *mm = pages_mm(MAX_PAGES);
	struct other o[2];
	u64 before;

	(void)arg;
	other_start(&o[0], mm, 1, MAX_PAGES);
	other_start(&o[1], mm, 2, MAX_PAGES);
	CHECK_EQ(known(mm, 0, 32), 7);
	/* The accessed bits go, of which no other CPU is told; all pages
	 * stay. */
	before = remote_flushes();
	push_out(mm, 0, 32);
	CHECK_EQ(remote_flushes() - before, 0);
	CHECK_EQ(known(mm, 0, 32), 6);
	CHECK_EQ(mm_counter_get(mm, MM_SWAPENTS), 0);
	/* Nobody used them since: they go, by one flush; two for 64. */
	before = remote_flushes();
	push_out(mm, 0, 32);
	CHECK_EQ(remote_flushes() - before, 1);
	CHECK_EQ(known(mm, 0, 32), 0);
	push_out(mm, 64, 64);
	before = remote_flushes();
	push_out(mm, 64, 64);
	CHECK_EQ(remote_flushes() - before, 2);
	CHECK_EQ(mm_counter_get(mm, MM_SWAPENTS), 96);
	CHECK_EQ(mm->unflushed, 0);
	for (u64 i = 0; i < MAX_PAGES; i++)
		CHECK_EQ(tm_load(base + P(i)), i + 1);
	other_end(&o[0]);
	other_end(&o[1]);
	pages_end(mm);
	return 0;
}

static void test_how_often(void **state)
{
	(void)state;
	TM_RUN(often_body, .mem = 16UL << 20, .swap_pages = 1024, .cpus = 3);
}

/* ---- what is used all the time ----------------------------------------------
 */

struct user {
	struct mm_struct *mm;
	u64 nr;
	bool stop;
};

/* Never leaves its CPU, and never misses. */
static void uses(void *arg)
{
	struct user *u = arg;

	tm_use(u->mm);
	while (!READ_ONCE(u->stop)) {
		for (u64 i = 0; i < u->nr; i++)
			(void)tm_load(base + P(i));
		port_sched_point();
	}
	tm_use(NULL);
}

static void pass_time(void)
{
	port_charge_ns(1000);
	port_sched_point();
}

/* How many of the first NR pages have their accessed bit. */
static u64 accessed(struct mm_struct *mm, u64 nr)
{
	u64 n = 0;

	for (u64 i = 0; i < nr; i++) {
		struct pt_slot slot;

		CHECK(pt_lookup(&mm->pt, base + P(i), &slot));
		n += pte_young(pt_get(&slot));
	}
	return n;
}

/* Nobody interrupts a CPU for accessed bits. What it uses all the time shows
 * it nevertheless: it forgets by itself, and soon. */
static int steady_body(void *arg)
{
	struct mm_struct *mm = pages_mm(8);
	struct user u = {.mm = mm, .nr = 8};
	struct sim_tlb_stats stats;
	struct port_thread *t;
	struct tlb_batch b;
	u64 asked, flags, until;

	(void)arg;
	CHECK_EQ(sim_thread_start_on(&t, "user", 1, uses, &u), 0);
	while (known(mm, 0, 8) != 3)
		pass_time();
	sim_tlb_stats(&stats);
	asked = stats.ipis;
	tlb_batch_init(&b);
	for (u64 i = 0; i < 8; i++)
		CHECK_EQ(page_referenced_batch(page_at(mm, base + P(i)), false,
					       &flags, &b),
			 1);
	tlb_batch_flush(&b);
	CHECK_EQ(accessed(mm, 8), 0);
	CHECK_EQ(known(mm, 0, 8), 2);
	until = sim_now_ns() + 3 * sim_default_costs.slice_ns;
	while (sim_now_ns() < until)
		pass_time();
	CHECK_EQ(accessed(mm, 8), 8);
	sim_tlb_stats(&stats);
	CHECK_EQ(stats.ipis, asked);
	WRITE_ONCE(u.stop, true);
	port_thread_join(t);
	pages_end(mm);
	return 0;
}

static void test_steady(void **state)
{
	(void)state;
	TM_RUN(steady_body, .mem = 16UL << 20, .cpus = 2);
}

/* ---- nothing is lost -------------------------------------------------------
 */

struct writer {
	struct mm_struct *mm;
	u64 nr, rounds, value[MAX_PAGES];
};

/* Each page is read before it is written: nobody else wrote it. */
static void writes(void *arg)
{
	struct writer *w = arg;

	tm_use(w->mm);
	for (u64 r = 0; r < w->rounds; r++) {
		for (u64 i = 0; i < w->nr; i++) {
			CHECK_EQ(tm_load(base + P(i)), w->value[i]);
			tm_store(base + P(i), ++w->value[i]);
		}
	}
	tm_use(NULL);
}

/* Pages that are being written go again and again. */
static int lost_body(void *arg)
{
	u64 nr = 48, rounds = *(u64 *)arg;
	struct mm_struct *mm = pages_mm(nr);
	struct writer w = {.mm = mm, .nr = nr, .rounds = rounds};
	struct port_thread *t;

	for (u64 i = 0; i < nr; i++)
		w.value[i] = i + 1;
	CHECK_EQ(sim_thread_start_on(&t, "writer", 1, writes, &w), 0);
	for (u64 r = 0; r < rounds; r++) {
		struct page_list list;

		page_list_init(&list);
		for (u64 i = 0; i < nr; i++) {
			struct page *page = page_at(mm, base + P(i));

			if (!page || !get_page_unless_zero(page))
				continue;
			if (page_at(mm, base + P(i)) == page &&
			    lru_isolate_page(page)) {
				ClearPageActive(page);
				page_list_add(&list, page);
			}
			put_page(page);
		}
		reclaim_pages(&list);
		while (list.count)
			lru_putback_page(page_list_pop(&list));
		port_sched_point();
	}
	port_thread_join(t);
	for (u64 i = 0; i < nr; i++)
		CHECK_EQ(tm_load(base + P(i)), w.value[i]);
	CHECK(sum_vm_event(PSWPOUT) > 0);
	pages_end(mm);
	return 0;
}

static void test_nothing_lost(void **state)
{
	u64 rounds = test_iters(40), seeds = 3;
	struct prng rng;

	(void)state;
	test_seed(&rng, "lost");
	for (u64 i = 0; i < seeds; i++)
		TM_RUN(lost_body, .mem = 8UL << 20, .swap_pages = 512,
		       .cpus = 2, .seed = prng_u64(&rng), .explore = i > 0,
		       .arg = &rounds);
}

/* ---- addresses that become something else ----------------------------------
 */

/* Page I of MM loses its entries, and CPUs are not told yet. */
static struct page *unmap_held(struct mm_struct *mm, u64 i, struct tlb_batch *b)
{
	struct page *page = page_at(mm, base + P(i));

	CHECK(page);
	get_page(page);
	lock_page(page);
	CHECK(add_to_swap(page));
	CHECK(try_to_unmap_batch(page, b));
	return page;
}

static void let_go(struct page *page)
{
	unlock_page(page);
	put_page(page);
}

static int become(struct mm_struct *mm, u64 i)
{
	uva_t at = base + P(i);
	s64 moved;

	switch (i) {
	case 0:
		return do_munmap(mm, at, PAGE_SIZE);
	case 1:
		return do_madvise(mm, at, PAGE_SIZE, MADV_DONTNEED);
	case 2:
		return do_mprotect(mm, at, PAGE_SIZE, PROT_READ);
	case 3:
		moved = do_mremap(mm, at, PAGE_SIZE, PAGE_SIZE,
				  MREMAP_MAYMOVE | MREMAP_FIXED,
				  base + P(MAX_PAGES + 16));
		return moved < 0 ? (int)moved : 0;
	default:
		return do_madvise(mm, at, PAGE_SIZE, MADV_FREE);
	}
}

/* Whatever an address becomes, no CPU remembers what it was. */
static int become_body(void *arg)
{
	struct mm_struct *mm = pages_mm(MAX_PAGES), *child;
	struct tlb_batch b;
	struct other o;

	(void)arg;
	other_start(&o, mm, 1, MAX_PAGES);
	tlb_batch_init(&b);
	for (u64 i = 0; i < 5; i++) {
		struct page *page = unmap_held(mm, i, &b);

		CHECK_EQ(mm->unflushed, 1);
		CHECK_EQ(known(mm, i, 1), 3);
		CHECK_EQ(become(mm, i), 0);
		CHECK_EQ(known(mm, i, 1), 0);
		let_go(page);
	}
	CHECK_EQ(mm->unflushed, 1);
	tlb_batch_flush(&b);
	CHECK_EQ(mm->unflushed, 0);
	/* A child: its parent's CPUs may write what both have. */
	{
		struct page *page = unmap_held(mm, 9, &b);

		CHECK_EQ(mm_fork(mm, &child), 0);
		CHECK_EQ(known(mm, 9, 1), 0);
		let_go(page);
		tlb_batch_flush(&b);
		mm_put(child);
	}
	CHECK_EQ(tm_load(base + P(9)), 10);
	other_end(&o);
	pages_end(mm);
	return 0;
}

static void test_becomes(void **state)
{
	(void)state;
	TM_RUN(become_body, .mem = 16UL << 20, .swap_pages = 512, .cpus = 2);
}

/* More spaces than a batch has room for: all are flushed in the end, and the
 * others at once. A space that ends meanwhile takes no harm. */
static int many_body(void *arg)
{
	struct mm_struct *mm = pages_mm(4), *child[TLB_BATCH_SPACES + 3];
	struct tlb_batch b;
	struct page *page;
	u32 pending = 0;

	(void)arg;
	for (u32 i = 0; i < ARRAY_SIZE(child); i++)
		CHECK_EQ(mm_fork(mm, &child[i]), 0);
	tlb_batch_init(&b);
	page = unmap_held(mm, 1, &b);
	for (u32 i = 0; i < ARRAY_SIZE(child); i++)
		pending += child[i]->unflushed;
	CHECK_EQ(pending + mm->unflushed, TLB_BATCH_SPACES);
	for (u32 i = 0; i < ARRAY_SIZE(child); i++)
		mm_put(child[i]);
	CHECK_EQ(b.nr, TLB_BATCH_SPACES);
	tlb_batch_flush(&b);
	CHECK_EQ(b.nr, 0);
	CHECK_EQ(mm->unflushed, 0);
	CHECK_EQ(known(mm, 1, 1), 0);
	let_go(page);
	CHECK_EQ(tm_load(base + P(1)), 2);
	pages_end(mm);
	return 0;
}

static void test_many_spaces(void **state)
{
	(void)state;
	TM_RUN(many_body, .mem = 16UL << 20, .swap_pages = 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_how_often),
		cmocka_unit_test(test_steady),
		cmocka_unit_test(test_nothing_lost),
		cmocka_unit_test(test_becomes),
		cmocka_unit_test(test_many_spaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
