/* SPDX-License-Identifier: MIT */
/* Transparent huge pages: promotion and demotion, first touch, fork, partial
 * changes, collapse, khugepaged, reclaim; contents under a random program. */
#include "sim_machine.h"
#include "thp_machine.h"

#include <mmkit/uaccess.h>

#include "base/fail.h"
#include "space/collapse.h"
#include "space/gup.h"
#include "space/rmap.h"
#include "trace_ears.h"

/* ---- the first touch -------------------------------------------------------
 */

static int fault_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 4);
	u64 faults = port_current()->min_flt;

	(void)arg;
	tm_store(at + P(700), 7);
	CHECK_EQ(event(THP_FAULT_ALLOC), 1);
	CHECK_EQ(port_current()->min_flt - faults, 1);
	CHECK(huge_at(mm, at + HP) && !huge_at(mm, at));
	CHECK_EQ(rss_of(mm), 512);
	CHECK_EQ(huge_count(), 1);
	for (u64 i = 512; i < 1024; i++)
		CHECK_EQ(tm_load(at + P(i)), i == 700 ? 7 : 0);
	CHECK_EQ(port_current()->min_flt - faults, 1);
	/* The frames lie in a row, from a multiple of their number on. */
	CHECK_EQ(pte_pfn(tm_pte(mm, at + HP)) % 512, 0);
	CHECK_EQ(pte_pfn(tm_pte(mm, at + HP + P(511))),
		 pte_pfn(tm_pte(mm, at + HP)) + 511);
	/* Each is a page of its own, and paid for. */
	for (u64 i = 512; i < 1024; i++)
		CHECK(PageCharged(pfn_to_page(pte_pfn(tm_pte(mm, at + P(i))))));
	/* Without zeroes of that size a read gets the small zero page; a write
	 * then a small one. */
	set_file("use_zero_page", "0");
	CHECK_EQ(tm_load(at), 0);
	set_file("use_zero_page", "1");
	tm_store(at, 5);
	CHECK(!huge_at(mm, at));
	CHECK_EQ(rss_of(mm), 513);
	/* The user's copies leave it whole. */
	tm_store(at + HP + P(3), 9);
	CHECK(huge_at(mm, at + HP));
	CHECK_EQ(event(THP_SPLIT_PMD), 0);
	end_mm(mm);
	return 0;
}

static void first_touch(void **state)
{
	(void)state;
	EACH_FORMAT(fault_body);
}

static int who_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 2), small = tm_map(mm, 600);

	(void)arg;
	/* Enabled is madvise: who did not ask gets none. */
	tm_store(ALIGN(small, HP), 1);
	CHECK(!huge_at(mm, ALIGN(small, HP)));
	CHECK_EQ(do_madvise(mm, at, HP, MADV_NOHUGEPAGE), 0);
	tm_store(at, 1);
	CHECK(!huge_at(mm, at));
	set_file("enabled", "never\n");
	tm_store(at + HP, 1);
	CHECK(!huge_at(mm, at + HP));
	CHECK_EQ(do_munmap(mm, at, 2 * HP), 0);
	set_file("enabled", "always");
	at = map_huge(mm, 2);
	/* Not where the region is only partly the mapping's. */
	CHECK_EQ(do_munmap(mm, at, P(1)), 0);
	tm_store(at + P(1), 1);
	CHECK(!huge_at(mm, at + P(1)));
	tm_store(at + HP, 1);
	CHECK(huge_at(mm, at + HP));
	/* Shared memory is files': small. */
	at = (uva_t)do_mmap(mm, 0, 2 * HP, TM_RW, MAP_SHARED | MAP_ANONYMOUS);
	tm_store(ALIGN(at, HP), 1);
	CHECK(!huge_at(mm, ALIGN(at, HP)));
	end_mm(mm);
	return 0;
}

static void who_gets_one(void **state)
{
	(void)state;
	TM_RUN(who_body, .mem = 32UL << 20);
}

static int fallback_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 3);
	struct page *held[16];
	u32 nr = 0;

	(void)arg;
	/* All blocks but one are taken: the rest is small, and all is there. */
	while ((held[nr] = alloc_pages(GFP_KERNEL | __GFP_NOWARN, 9)))
		CHECK(++nr < ARRAY_SIZE(held));
	__free_pages(held[--nr], 9);
	__free_pages(held[nr - 1] + 0, 9);
	nr--;
	for (u64 i = 0; i < 3; i++)
		tm_store(at + i * HP, i + 1);
	CHECK(huge_at(mm, at) && huge_at(mm, at + HP));
	CHECK(!huge_at(mm, at + 2 * HP));
	CHECK_EQ(event(THP_FAULT_ALLOC), 2);
	CHECK_EQ(event(THP_FAULT_FALLBACK), 1);
	for (u64 i = 0; i < 3; i++)
		CHECK_EQ(tm_load(at + i * HP), i + 1);
	while (nr)
		__free_pages(held[--nr], 9);
	end_mm(mm);
	return 0;
}

static void no_block(void **state)
{
	(void)state;
	TM_RUN(fallback_body, .mem = 16UL << 20);
}

/* ---- parts -----------------------------------------------------------------
 */

static int part_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 4);
	u64 free;

	(void)arg;
	fill(at, 4 * 512, 100);
	CHECK_EQ(huge_count(), 4);
	/* What is unmapped is free at once, and the rest is as it was. */
	drain_all_pages();
	free = nr_free_pages();
	CHECK_EQ(do_munmap(mm, at + P(10), P(100)), 0);
	drain_all_pages();
	CHECK_EQ(nr_free_pages(), free + 100);
	CHECK_EQ(huge_count(), 3);
	CHECK_EQ(event(THP_SPLIT_PMD), 1);
	verify(at, 10, 100);
	verify(at + P(110), 4 * 512 - 110, 210);
	/* A part gets another access: small. All of it: huge still. */
	CHECK_EQ(do_mprotect(mm, at + HP + P(5), P(1), PROT_READ), 0);
	CHECK(!huge_at(mm, at + HP));
	CHECK_EQ(event(THP_SPLIT_PMD), 2);
	CHECK_EQ(sim_touch(at + HP + P(5), SIM_WRITE), MM_SIGSEGV);
	tm_store(at + HP + P(6), 1);
	CHECK_EQ(do_mprotect(mm, at + 2 * HP, 2 * HP, PROT_READ), 0);
	CHECK(huge_at(mm, at + 2 * HP) && huge_at(mm, at + 3 * HP));
	CHECK_EQ(event(THP_SPLIT_PMD), 2);
	CHECK_EQ(sim_touch(at + 2 * HP + P(77), SIM_WRITE), MM_SIGSEGV);
	verify(at + 2 * HP, 1024, 100 + 1024);
	CHECK_EQ(do_mprotect(mm, at + 2 * HP, 2 * HP, TM_RW), 0);
	tm_store(at + 2 * HP, 4);
	CHECK_EQ(tm_load(at + 2 * HP), 4);
	/* MADV_DONTNEED of a part. */
	CHECK_EQ(do_madvise(mm, at + 3 * HP, P(3), MADV_DONTNEED), 0);
	CHECK_EQ(tm_load(at + 3 * HP), 0);
	verify(at + 3 * HP + P(3), 509, 100 + 1536 + 3);
	end_mm(mm);
	return 0;
}

static void parts(void **state)
{
	(void)state;
	TM_RUN(part_body, .mem = 32UL << 20);
	TM_RUN(part_body, .mem = 32UL << 20, .format = &paging_arm64);
}

static int move_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 2), to = map_huge(mm, 2);
	s64 moved;

	(void)arg;
	fill(at, 1024, 9);
	moved = do_mremap(mm, at, 2 * HP, 2 * HP, MREMAP_MAYMOVE | MREMAP_FIXED,
			  to);
	CHECK_EQ(moved, (s64)to);
	CHECK(huge_at(mm, to) && huge_at(mm, to + HP));
	verify(to, 1024, 9);
	/* To where the borders are elsewhere. */
	CHECK_EQ(do_mremap(mm, to, 2 * HP, 2 * HP,
			   MREMAP_MAYMOVE | MREMAP_FIXED, at + P(3)),
		 (s64)(at + P(3)));
	CHECK_EQ(huge_count(), 0);
	verify(at + P(3), 1024, 9);
	end_mm(mm);
	return 0;
}

static void moving(void **state)
{
	(void)state;
	TM_RUN(move_body, .mem = 32UL << 20);
}

/* ---- fork ------------------------------------------------------------------
 */

static int fork_body(void *arg)
{
	struct mm_struct *mm = use_mm(), *child = NULL;
	uva_t at = map_huge(mm, 4);

	(void)arg;
	fill(at, 3 * 512, 1000);
	CHECK_EQ(mm_fork(mm, &child), 0);
	/* Two map each of them. */
	CHECK_EQ(huge_count(), 3);
	CHECK(huge_at(child, at) && huge_at(mm, at));
	mm_check(child);
	/* A write copies one small page, on the side that writes. */
	tm_store(at + P(20), 1);
	CHECK(!huge_at(mm, at) && huge_at(child, at));
	tm_use(child);
	verify(at, 3 * 512, 1000);
	tm_store(at + HP + P(1), 2);
	tm_use(mm);
	verify(at + HP, 512, 1000 + 512);
	CHECK_EQ(tm_load(at + P(20)), 1);
	/* A part of the mapping is not the child's. */
	mm_put(child);
	CHECK_EQ(do_madvise(mm, at + 2 * HP + P(8), P(8), MADV_DONTFORK), 0);
	fill(at + 3 * HP, 512, 7);
	CHECK_EQ(do_madvise(mm, at + 3 * HP + P(8), P(8), MADV_DONTFORK), 0);
	CHECK(huge_at(mm, at + 3 * HP));
	CHECK_EQ(mm_fork(mm, &child), 0);
	mm_check(mm);
	mm_check(child);
	tm_use(child);
	CHECK_EQ(sim_touch(at + 2 * HP + P(8), SIM_READ), MM_SIGSEGV);
	verify(at + 2 * HP, 8, 1000 + 1024);
	tm_use(mm);
	tm_store(at + 2 * HP, 66);
	tm_use(child);
	CHECK_EQ(tm_load(at + 2 * HP), 1000 + 1024);
	tm_use(mm);
	mm_put(child);
	end_mm(mm);
	return 0;
}

/* What was shared and is one's own again is written whole, by one fault. */
static int alone_body(void *arg)
{
	struct mm_struct *mm = use_mm(), *child = NULL;
	uva_t at = map_huge(mm, 2);
	struct page *pins[1];
	u64 faults;

	(void)arg;
	fill(at, 1024, 70);
	CHECK_EQ(mm_fork(mm, &child), 0);
	mm_put(child);
	faults = port_current()->min_flt;
	fill(at, 512, 71);
	CHECK_EQ(port_current()->min_flt - faults, 1);
	CHECK(huge_at(mm, at));
	verify(at, 512, 71);
	mm_check(mm);
	/* The child has it alone when the parent's is gone. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(do_madvise(mm, at, HP, MADV_DONTNEED), 0);
	tm_use(child);
	fill(at, 512, 72);
	CHECK(huge_at(child, at));
	verify(at, 512, 72);
	tm_store(at + HP + P(9), 1);
	CHECK(!huge_at(child, at + HP));
	tm_use(mm);
	CHECK_EQ(tm_load(at), 0);
	verify(at + HP, 512, 70 + 512);
	mm_check(child);
	mm_put(child);
	/* Not while anybody holds one of the pages, and not across mappings. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	mm_put(child);
	CHECK(huge_at(mm, at + HP));
	CHECK_EQ(pin_user_pages(mm, at + HP + P(4), 1, 0, pins), 1);
	tm_store(at + HP, 70 + 512);
	CHECK(!huge_at(mm, at + HP));
	unpin_user_page(pins[0]);
	verify(at + HP, 512, 70 + 512);
	end_mm(mm);
	return 0;
}

static void forking(void **state)
{
	(void)state;
	TM_RUN(alone_body, .mem = 32UL << 20, .cpus = 2);
	TM_RUN(alone_body, .mem = 32UL << 20, .format = &paging_arm64);
	TM_RUN(fork_body, .mem = 32UL << 20, .cpus = 2);
	TM_RUN(fork_body, .mem = 32UL << 20, .format = &paging_x86_32_pae);
}

/* ---- what the CPU marks ----------------------------------------------------
 */

static int marks_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 1);
	struct page *page;
	u64 flags;

	(void)arg;
	fill(at, 512, 3);
	lru_add_drain_all();
	/* One use of one page: all of them are young, each once. */
	for (u64 i = 0; i < 512; i++) {
		page = pfn_to_page(pte_pfn(tm_pte(mm, at + P(i))));
		CHECK_EQ(page_referenced(page, false, &flags), 1);
		CHECK_EQ(page_referenced(page, false, &flags), 0);
	}
	CHECK(huge_at(mm, at));
	tm_load(at + P(300));
	page = pfn_to_page(pte_pfn(tm_pte(mm, at + P(5))));
	CHECK_EQ(page_referenced(page, false, &flags), 1);
	CHECK(huge_at(mm, at));
	/* Demotion hands on what was marked. */
	tm_load(at + P(300));
	CHECK_EQ(do_madvise(mm, at + P(9), P(1), MADV_DONTNEED), 0);
	CHECK(!huge_at(mm, at));
	CHECK(pte_young(tm_pte(mm, at + P(8))));
	verify(at, 9, 3);
	end_mm(mm);
	return 0;
}

static void marks(void **state)
{
	(void)state;
	TM_RUN(marks_body, .mem = 32UL << 20);
}

static void count_large(const struct sim_tlb_entry *e, int cpu, void *arg)
{
	(void)cpu;
	*(u64 *)arg += e->level != 0;
}

/* Entries of large pages that CPUs hold. */
static u64 large_held(void)
{
	u64 n = 0;

	sim_tlb_for_each(count_large, &n);
	return n;
}

/* The table at VA is looked at by who might change it. */
static void put_back(struct mm_struct *mm, uva_t va)
{
	struct pt_slot slot;

	CHECK(pt_lookup(&mm->pt, va, &slot));
	pt_lock(&slot);
	pt_unlock(&slot);
	CHECK(!huge_at(mm, va));
}

/* Is VA's page in use, by its own entry? */
static bool used_at(struct mm_struct *mm, uva_t va)
{
	struct page *page = pfn_to_page(pte_pfn(tm_pte(mm, va)));
	u64 flags;

	return page_referenced(page, false, &flags) != 0;
}

static int demoted_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 1);

	(void)arg;
	fill(at, 512, 3);
	CHECK(large_held() > 0);
	for (u64 i = 0; i < 512; i++)
		CHECK(used_at(mm, at + P(i)));
	/* Used, and put back before anybody asked: each was used. */
	tm_load(at + P(300));
	put_back(mm, at);
	CHECK_EQ(large_held(), 0);
	for (u64 i = 0; i < 512; i++)
		CHECK(used_at(mm, at + P(i)));
	/* From now on each for itself. */
	tm_load(at + P(7));
	CHECK(used_at(mm, at + P(7)) && !used_at(mm, at + P(8)));
	end_mm(mm);
	return 0;
}

static void demoted(void **state)
{
	(void)state;
	TM_RUN(demoted_body, .mem = 32UL << 20);
	TM_RUN(demoted_body, .mem = 32UL << 20, .format = &paging_arm64);
}

/* A page that was given up, is huge again and is written through the large
 * entry: its contents count, and those of the others do not. */
static int given_up_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 1);

	(void)arg;
	fill(at, 512, 60);
	CHECK_EQ(do_madvise(mm, at, HP, MADV_FREE), 0);
	CHECK(!huge_at(mm, at));
	CHECK_EQ(tm_load(at + P(1)), 61);
	CHECK_EQ(thp_collapse(mm, at, true), THP_PROMOTED);
	tm_store(at + P(20), 99);
	CHECK(huge_at(mm, at));
	for (u64 i = 0; i < 512; i++)
		while (!tm_reclaim_one(mm, at + P(i)))
			port_park(1000 * 1000);
	CHECK_EQ(tm_load(at + P(20)), 99);
	end_mm(mm);
	return 0;
}

static void given_up(void **state)
{
	(void)state;
	TM_RUN(given_up_body, .mem = 32UL << 20, .swap_pages = 2048);
}

/* Of N regions at AT, huge, one whose frames lie before those of the next. */
static uva_t neighbours(struct mm_struct *mm, uva_t at, u64 n)
{
	while (--n) {
		if (pte_pfn(tm_pte(mm, at)) + 512 ==
		    pte_pfn(tm_pte(mm, at + HP)))
			return at;
		at += HP;
	}
	CHECK(!"no two blocks lie side by side");
	return 0;
}

/* Frames in a row that do not begin where a large page may. */
static int unaligned_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 6), to = map_huge(mm, 3) + P(3);

	(void)arg;
	fill(at, 6 * 512, 9);
	at = neighbours(mm, at, 6);
	CHECK_EQ(do_mremap(mm, at, 2 * HP, 2 * HP,
			   MREMAP_MAYMOVE | MREMAP_FIXED, to),
		 (s64)to);
	CHECK_EQ(pte_pfn(tm_pte(mm, ALIGN(to, HP))) % 512, 509);
	CHECK_EQ(thp_collapse(mm, ALIGN(to, HP), true), THP_SUCCEED);
	CHECK(huge_at(mm, ALIGN(to, HP)));
	verify(to, 1024, tm_load(to));
	end_mm(mm);
	return 0;
}

static void unaligned(void **state)
{
	(void)state;
	TM_RUN(unaligned_body, .mem = 32UL << 20);
}

/* A page written by the CPU through a large entry only, found dirty later. */
static int dirty_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 1);

	(void)arg;
	fill(at, 512, 50);
	for (u64 i = 0; i < 512; i++)
		while (!tm_reclaim_one(mm, at + P(i)))
			port_park(1000 * 1000);
	CHECK(!huge_at(mm, at));
	verify(at, 512, 50);
	end_mm(mm);
	return 0;
}

static void through_swap(void **state)
{
	(void)state;
	TM_RUN(dirty_body, .mem = 32UL << 20, .swap_pages = 2048);
}

/* ---- collapse --------------------------------------------------------------
 */

/* A region that is filled page by page. */
static uva_t map_small(struct mm_struct *mm, u64 n, u64 salt)
{
	uva_t at = map_huge(mm, n);

	CHECK_EQ(do_madvise(mm, at, n * HP, MADV_NOHUGEPAGE), 0);
	/* Backwards: the frames do not lie in a row. */
	for (u64 i = n * 512; i-- > 0;)
		tm_store(at + P(i), salt + i);
	CHECK_EQ(do_madvise(mm, at, n * HP, MADV_HUGEPAGE), 0);
	CHECK(!huge_at(mm, at));
	return at;
}

static int collapse_body(void *arg)
{
	struct mm_struct *mm = use_mm(), *child = NULL;
	uva_t at = map_small(mm, 2, 40);
	struct page *pins[1];

	(void)arg;
	CHECK_EQ(thp_collapse(mm, at, false), THP_SUCCEED);
	CHECK(huge_at(mm, at) && !huge_at(mm, at + HP));
	CHECK_EQ(thp_collapse(mm, at, false), THP_PMD_MAPPED);
	verify(at, 1024, 40);
	CHECK_EQ(rss_of(mm), 1024);
	mm_check(mm);
	/* Demoted, and as it was: promoted without a copy. */
	CHECK_EQ(do_mprotect(mm, at + P(1), P(1), PROT_READ), 0);
	CHECK_EQ(do_mprotect(mm, at + P(1), P(1), TM_RW), 0);
	tm_store(at + P(1), 41);
	CHECK_EQ(thp_collapse(mm, at, false), THP_PROMOTED);
	verify(at, 1024, 40);
	/* A pinned page stays where it is. */
	CHECK_EQ(pin_user_pages(mm, at + HP + P(9), 1, FOLL_WRITE, pins), 1);
	CHECK_EQ(thp_collapse(mm, at + HP, false), THP_PAGE_COUNT);
	CHECK_EQ(do_madvise(mm, at + HP, HP, MADV_COLLAPSE), -EAGAIN);
	verify(at + HP, 512, 40 + 512);
	unpin_user_page(pins[0]);
	/* Shared ones are copied; the other side keeps its own. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(thp_collapse(mm, at + HP, false), THP_EXCEED_SHARED);
	CHECK_EQ(do_madvise(mm, at + HP, HP, MADV_COLLAPSE), 0);
	CHECK(huge_at(mm, at + HP) && !huge_at(child, at + HP));
	tm_store(at + HP, 1);
	tm_use(child);
	CHECK_EQ(tm_load(at + HP), 40 + 512);
	verify(at, 1024, 40);
	tm_use(mm);
	mm_check(child);
	mm_put(child);
	end_mm(mm);
	return 0;
}

static void collapsing(void **state)
{
	(void)state;
	TM_RUN(collapse_body, .mem = 32UL << 20);
	TM_RUN(collapse_body, .mem = 32UL << 20, .format = &paging_arm64);
}

static int limits_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 3);

	(void)arg;
	CHECK_EQ(thp_collapse(mm, at, true), THP_VMA_CHECK);
	/* 12 pages, of which some are the zero page. */
	CHECK_EQ(do_madvise(mm, at, 3 * HP, MADV_NOHUGEPAGE), 0);
	fill(at + P(30), 12, 6);
	tm_load(at);
	CHECK_EQ(do_madvise(mm, at, 3 * HP, MADV_HUGEPAGE), 0);
	set_file("khugepaged/max_ptes_none", "499");
	CHECK_EQ(thp_collapse(mm, at, false), THP_EXCEED_NONE);
	CHECK_EQ(event(THP_SCAN_EXCEED_NONE_PTE), 1);
	set_file("khugepaged/max_ptes_none", "500");
	CHECK_EQ(thp_collapse(mm, at, false), THP_SUCCEED);
	CHECK_EQ(rss_of(mm), 512);
	verify(at + P(30), 12, 6);
	CHECK_EQ(tm_load(at), 0);
	CHECK_EQ(tm_load(at + P(511)), 0);
	CHECK_EQ(thp_collapse(mm, at + HP, true), THP_PMD_NULL);
	/* What is in swap comes in, if it is not too much. */
	fill(at + HP, 512, 8);
	set_file("khugepaged/max_ptes_swap", "2");
	/* No large entry: they would all go. */
	CHECK_EQ(do_madvise(mm, at + HP, PAGE_SIZE, MADV_COLD), 0);
	for (u64 i = 0; i < 3; i++)
		while (!tm_reclaim_one(mm, at + HP + P(i)))
			port_park(1000 * 1000);
	CHECK_EQ(thp_collapse(mm, at + HP, false), THP_EXCEED_SWAP);
	set_file("khugepaged/max_ptes_swap", "3");
	CHECK_EQ(thp_collapse(mm, at + HP, false), THP_SUCCEED);
	verify(at + HP, 512, 8);
	CHECK_EQ(mm_counter_get(mm, MM_SWAPENTS), 0);
	/* MADV_COLLAPSE: holes and mappings of other kinds. */
	CHECK_EQ(do_madvise(mm, at, 2 * HP, MADV_COLLAPSE), 0);
	CHECK_EQ(do_madvise(mm, at, 9 * HP, MADV_COLLAPSE), -ENOMEM);
	CHECK_EQ(do_madvise(mm, at, HP, MADV_NOHUGEPAGE), 0);
	CHECK_EQ(do_madvise(mm, at, HP, MADV_COLLAPSE), -EINVAL);
	end_mm(mm);
	return 0;
}

static void collapse_limits(void **state)
{
	(void)state;
	TM_RUN(limits_body, .mem = 32UL << 20, .swap_pages = 2048);
}

static int daemon_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_small(mm, 3, 70);
	struct seq_buf s;
	char text[64];

	(void)arg;
	set_file("khugepaged/scan_sleep_millisecs", "1");
	for (int i = 0; i < 100 && huge_count() < 3; i++)
		port_park(2 * 1000 * 1000);
	CHECK_EQ(huge_count(), 3);
	CHECK(huge_at(mm, at) && huge_at(mm, at + 2 * HP));
	verify(at, 3 * 512, 70);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/sys/kernel/mm/transparent_hugepage/khugepaged/"
			 "pages_collapsed",
			 &s),
		 0);
	CHECK_EQ(atoi(text), 3);
	CHECK(space_sys.thp.full_scans > 0);
	set_file("enabled", "never");
	end_mm(mm);
	return 0;
}

static void daemon_collapses(void **state)
{
	(void)state;
	TM_RUN(daemon_body, .mem = 32UL << 20, .cpus = 2);
}

static void file_says(const char *name, const char *want)
{
	struct seq_buf s;
	char path[96], text[128];

	snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s",
		 name);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show(path, &s), 0);
	text[s.len] = 0;
	CHECK_EQ(strcmp(text, want), 0);
}

static int files_body(void *arg)
{
	static const char *const bad[][2] = {
		{"enabled", "sometimes"},
		{"enabled", ""},
		{"defrag", "defer+"},
		{"khugepaged/max_ptes_none", "512"},
		{"khugepaged/defrag", "2"},
		{"khugepaged/pages_to_scan", "0"},
		{"khugepaged/pages_to_scan", "-1"},
	};
	char path[96];

	(void)arg;
	file_says("enabled", "always [madvise] never\n");
	file_says("defrag", "always defer defer+madvise [madvise] never\n");
	set_file("defrag", "defer+madvise\n");
	file_says("defrag", "always defer [defer+madvise] madvise never\n");
	file_says("hpage_pmd_size", "2097152\n");
	file_says("khugepaged/max_ptes_none", "511\n");
	file_says("khugepaged/pages_to_scan", "4096\n");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(path, sizeof(path),
			 "/sys/kernel/mm/transparent_hugepage/%s", bad[i][0]);
		CHECK_EQ(mm_write(path, bad[i][1], strlen(bad[i][1])), -EINVAL);
	}
	CHECK_EQ(mm_write("/sys/kernel/mm/transparent_hugepage/none", "1", 1),
		 -ENOENT);
	return 0;
}

static void files(void **state)
{
	(void)state;
	TM_RUN(files_body);
}

/* ---- allocations that fail -------------------------------------------------
 */

static int failing_body(void *arg)
{
	struct mm_struct *mm = use_mm();

	(void)arg;
	for (u64 n = 1; n < 40; n++) {
		uva_t at = map_huge(mm, 1);

		fail_arm_nth(FAIL_ALL, n, false);
		fail_only_task(port_current());
		mmap_read_lock(mm);
		(void)!thp_map_new(find_vma(mm, at), at);
		mmap_read_unlock(mm);
		fail_disarm();
		mm_check(mm);
		fill(at, 512, n);
		verify(at, 512, n);
		CHECK_EQ(do_munmap(mm, at, HP), 0);
		at = map_small(mm, 1, n);
		fail_arm_nth(FAIL_ALL, n, true);
		fail_only_task(port_current());
		(void)thp_collapse(mm, at, true);
		fail_disarm();
		mm_check(mm);
		verify(at, 512, n);
		CHECK_EQ(do_munmap(mm, at, HP), 0);
	}
	end_mm(mm);
	return 0;
}

static void failing(void **state)
{
	(void)state;
	TM_RUN(failing_body, .mem = 32UL << 20);
}

/* ---- a random program ------------------------------------------------------
 */

#define REGIONS 3
#define PAGES	(REGIONS * 512)

/* What one process has: a word for each page; 0: never written, or gone. */
struct side {
	struct mm_struct *mm;
	u64 word[PAGES];
	bool ro[PAGES];
};

struct program {
	struct prng r;
	uva_t at;
	struct side side[2];
	u64 stamp;
};

static void side_check(struct program *p, int s)
{
	struct side *d = &p->side[s];

	if (!d->mm)
		return;
	tm_use(d->mm);
	for (u64 i = 0; i < 40; i++) {
		u64 page = prng_below(&p->r, PAGES);

		CHECK_EQ(tm_load(p->at + P(page)), d->word[page]);
	}
}

static void op_write(struct program *p, struct side *d)
{
	u64 first = prng_below(&p->r, PAGES), n = prng_range(&p->r, 1, 60);

	for (u64 i = first; i < min(first + n, (u64)PAGES); i++) {
		if (d->ro[i])
			continue;
		d->word[i] = ++p->stamp;
		tm_store(p->at + P(i), d->word[i]);
	}
}

static void op_protect(struct program *p, struct side *d)
{
	bool whole = prng_below(&p->r, 2), ro = prng_below(&p->r, 2);
	u64 first = whole ? 512 * prng_below(&p->r, REGIONS)
			  : prng_below(&p->r, PAGES);
	u64 n = whole ? 512 : prng_range(&p->r, 1, 30);

	n = min(n, PAGES - first);
	CHECK_EQ(do_mprotect(d->mm, p->at + P(first), P(n),
			     ro ? PROT_READ : TM_RW),
		 0);
	for (u64 i = first; i < first + n; i++)
		d->ro[i] = ro;
}

static void op_drop(struct program *p, struct side *d)
{
	bool whole = prng_below(&p->r, 3) == 0;
	u64 first = whole ? 512 * prng_below(&p->r, REGIONS)
			  : prng_below(&p->r, PAGES);
	u64 n = min(whole ? 512 : prng_range(&p->r, 1, 30), PAGES - first);

	CHECK_EQ(do_madvise(d->mm, p->at + P(first), P(n), MADV_DONTNEED), 0);
	memset(d->word + first, 0, n * sizeof(d->word[0]));
}

static void op_swap(struct program *p, struct side *d)
{
	u64 first = prng_below(&p->r, PAGES);

	(void)do_madvise(d->mm, p->at + P(first),
			 P(min((u64)50, PAGES - first)), MADV_PAGEOUT);
}

static void op_fork(struct program *p, int s)
{
	struct side *other = &p->side[!s];
	struct mm_struct *mm;

	if (other->mm) {
		tm_use(p->side[s].mm);
		mm_check(other->mm);
		mm_put(other->mm);
		other->mm = NULL;
		return;
	}
	mm = p->side[s].mm;
	*other = p->side[s];
	other->mm = NULL;
	CHECK_EQ(mm_fork(mm, &other->mm), 0);
}

static void program_step(struct program *p)
{
	int s = p->side[0].mm ? (p->side[1].mm ? (int)prng_below(&p->r, 2) : 0)
			      : 1;
	struct side *d = &p->side[s];
	u64 op = prng_below(&p->r, 100);

	tm_use(d->mm);
	if (op < 40)
		op_write(p, d);
	else if (op < 50)
		op_protect(p, d);
	else if (op < 58)
		op_drop(p, d);
	else if (op < 68)
		op_swap(p, d);
	else if (op < 85)
		(void)thp_collapse(d->mm,
				   p->at + HP * prng_below(&p->r, REGIONS),
				   prng_below(&p->r, 2));
	else if (op < 92)
		op_fork(p, s);
	else
		mm_check(d->mm);
	side_check(p, 0);
	side_check(p, 1);
}

static struct program prog;

static int random_body(void *arg)
{
	memset(&prog, 0, sizeof(prog));
	prng_seed(&prog.r, (u64)(uintptr_t)arg);
	prog.side[0].mm = tm_mm();
	tm_use(prog.side[0].mm);
	if (prng_below(&prog.r, 2))
		set_file("khugepaged/scan_sleep_millisecs", "1");
	prog.at = map_huge(prog.side[0].mm, REGIONS);
	for (int i = 0; i < 120; i++)
		program_step(&prog);
	tm_use(NULL);
	for (int s = 0; s < 2; s++)
		if (prog.side[s].mm)
			mm_put(prog.side[s].mm);
	return 0;
}

static void random_program(void **state)
{
	u64 seed = test_env("SEED", 1), iters = test_iters(6);

	(void)state;
	for (u64 i = 0; i < iters; i++) {
		snprintf(tm_context, sizeof(tm_context), "SEED=%llu ITERS=1",
			 (unsigned long long)(seed + i));
		TM_RUN(random_body, .mem = 12UL << 20, .swap_pages = 4096,
		       .cpus = 1 + (int)((seed + i) % 3), .seed = seed + i,
		       .explore = (seed + i) % 2,
		       .arg = (void *)(uintptr_t)(seed + i));
	}
}

/* ---- what is told
 * ----------------------------------------------------------------------- */

/* One collapse with two pages in swap; then some that are refused. */
static int told_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	u64 self = (u64)(uintptr_t)mm, last_pfn;
	uva_t at = map_huge(mm, 2);
	struct trace_record r;

	(void)arg;
	CHECK_EQ(do_madvise(mm, at, 2 * HP, MADV_NOHUGEPAGE), 0);
	fill(at, 500, 6);
	for (u64 i = 0; i < 2; i++)
		while (!tm_reclaim_one(mm, at + P(i)))
			port_park(1000 * 1000);
	CHECK_EQ(do_madvise(mm, at, 2 * HP, MADV_HUGEPAGE), 0);
	last_pfn = pte_pfn(tm_pte(mm, at + P(499)));
	listen_to("huge_memory page_huge");
	CHECK_EQ(thp_collapse(mm, at, false), THP_SUCCEED);
	CHECK_EQ(told(TRACE_MM_KHUGEPAGED_SCAN_PMD), 1);
	r = first(TRACE_MM_KHUGEPAGED_SCAN_PMD);
	CHECK_EQ(field(&r, "mm"), self);
	CHECK_EQ(field(&r, "pfn"), last_pfn);
	CHECK_EQ(field(&r, "writable"), 1);
	CHECK_EQ(field(&r, "none_or_zero"), 12);
	CHECK_EQ(field(&r, "status"), THP_SUCCEED);
	CHECK_EQ(field(&r, "unmapped"), 2);
	CHECK_EQ(told(TRACE_MM_COLLAPSE_HUGE_PAGE_SWAPIN), 1);
	r = first(TRACE_MM_COLLAPSE_HUGE_PAGE_SWAPIN);
	CHECK_EQ(field(&r, "mm"), self);
	CHECK_EQ(field(&r, "swapped_in"), 2);
	CHECK_EQ(field(&r, "ret"), 1);
	CHECK_EQ(told(TRACE_MM_COLLAPSE_HUGE_PAGE_ISOLATE), 1);
	r = first(TRACE_MM_COLLAPSE_HUGE_PAGE_ISOLATE);
	CHECK_EQ(field(&r, "none_or_zero"), 12);
	CHECK_EQ(field(&r, "writable"), 1);
	CHECK_EQ(field(&r, "status"), THP_SUCCEED);
	CHECK_EQ(told(TRACE_MM_COLLAPSE_HUGE_PAGE), 1);
	r = first(TRACE_MM_COLLAPSE_HUGE_PAGE);
	CHECK_EQ(field(&r, "mm"), self);
	CHECK_EQ(field(&r, "isolated"), 1);
	CHECK_EQ(field(&r, "status"), THP_SUCCEED);
	CHECK_EQ(count(TRACE_PAGE_HUGE, "what", PAGE_HUGE_COLLAPSE, &r), 1);
	CHECK_EQ(field(&r, "pfn"), pte_pfn(tm_pte(mm, at)));
	CHECK_EQ(field(&r, "address"), at);
	/* It is huge already; there is nothing; too little. */
	CHECK_EQ(thp_collapse(mm, at, false), THP_PMD_MAPPED);
	CHECK_EQ(thp_collapse(mm, at + HP, true), THP_PMD_NULL);
	tm_load(at + HP + P(3));
	hush();
	CHECK_EQ(count(TRACE_MM_KHUGEPAGED_SCAN_PMD, "status", THP_PMD_MAPPED,
		       NULL),
		 1);
	CHECK_EQ(
		count(TRACE_MM_KHUGEPAGED_SCAN_PMD, "status", THP_PMD_NULL, &r),
		1);
	CHECK_EQ(field(&r, "pfn"), ~0ul);
	CHECK_EQ(told(TRACE_MM_COLLAPSE_HUGE_PAGE), 1);
	forget();
	verify(at, 500, 6);
	end_mm(mm);
	return 0;
}

/* Whose page somebody holds is not taken: told where it was noticed. */
static int held_told_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 1);
	struct trace_record r;
	struct page *page;

	(void)arg;
	CHECK_EQ(do_madvise(mm, at, HP, MADV_NOHUGEPAGE), 0);
	fill(at, 512, 6);
	CHECK_EQ(do_madvise(mm, at, HP, MADV_HUGEPAGE), 0);
	page = pfn_to_page(pte_pfn(tm_pte(mm, at + P(9))));
	listen_to("huge_memory");
	get_page(page);
	CHECK_EQ(thp_collapse(mm, at, false), THP_PAGE_COUNT);
	put_page(page);
	hush();
	/* It looked good from afar. */
	r = first(TRACE_MM_KHUGEPAGED_SCAN_PMD);
	CHECK_EQ(field(&r, "status"), THP_SUCCEED);
	CHECK_EQ(field(&r, "none_or_zero"), 0);
	CHECK_EQ(told(TRACE_MM_COLLAPSE_HUGE_PAGE_ISOLATE), 1);
	r = first(TRACE_MM_COLLAPSE_HUGE_PAGE_ISOLATE);
	CHECK_EQ(field(&r, "pfn"), page_to_pfn(page));
	CHECK_EQ(field(&r, "status"), THP_PAGE_COUNT);
	CHECK_EQ(told(TRACE_MM_COLLAPSE_HUGE_PAGE), 1);
	r = first(TRACE_MM_COLLAPSE_HUGE_PAGE);
	CHECK_EQ(field(&r, "isolated"), 0);
	CHECK_EQ(field(&r, "status"), THP_PAGE_COUNT);
	forget();
	end_mm(mm);
	return 0;
}

static void tells(void **state)
{
	(void)state;
	TM_RUN(told_body, .mem = 32UL << 20, .swap_pages = 2048);
	TM_RUN(held_told_body, .mem = 32UL << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_touch),
		cmocka_unit_test(who_gets_one),
		cmocka_unit_test(no_block),
		cmocka_unit_test(parts),
		cmocka_unit_test(moving),
		cmocka_unit_test(forking),
		cmocka_unit_test(marks),
		cmocka_unit_test(demoted),
		cmocka_unit_test(given_up),
		cmocka_unit_test(unaligned),
		cmocka_unit_test(through_swap),
		cmocka_unit_test(collapsing),
		cmocka_unit_test(collapse_limits),
		cmocka_unit_test(daemon_collapses),
		cmocka_unit_test(files),
		cmocka_unit_test(failing),
		cmocka_unit_test(tells),
		cmocka_unit_test(random_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
