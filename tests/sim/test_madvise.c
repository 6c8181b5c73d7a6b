/* SPDX-License-Identifier: MIT */
/* madvise(2), mincore(2), msync(2) on anonymous memory. Where a comment says
 * so, results are those that Linux 6.18 gave for the same calls. */
#include "calls.h"

static uva_t top = (uva_t)-4096L;

/* As Linux. */
static int errors_body(void *arg)
{
	static const int unlocked[] = {MADV_DONTNEED, MADV_FREE, MADV_COLD,
				       MADV_PAGEOUT};
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 8);

	(void)arg;
	tm_use(mm);
	REFUSED(mm, do_madvise(mm, p, (u64)-1, MADV_DONTNEED), -EINVAL);
	REFUSED(mm, do_madvise(mm, p, (u64)-4096L, MADV_DONTNEED), -EINVAL);
	REFUSED(mm, do_madvise(mm, p + 1, 0, MADV_DONTNEED), -EINVAL);
	REFUSED(mm, do_madvise(mm, p, 0, MADV_DONTNEED), 0);
	REFUSED(mm, do_madvise(mm, p, 0, 77), -EINVAL);
	REFUSED(mm, do_madvise(mm, top, 4096, MADV_DONTNEED), -EINVAL);
	REFUSED(mm, do_madvise(mm, 1UL << 48, 4096, MADV_DONTNEED), -ENOMEM);
	REFUSED(mm, do_madvise(mm, p, 4096, MADV_REMOVE), -EINVAL);
	REFUSED(mm, do_madvise(mm, p, 4096, MADV_HWPOISON), -EPERM);
	REFUSED(mm, do_madvise(mm, p, 4096, MADV_SOFT_OFFLINE), -EPERM);
	CHECK_EQ(do_mlock(mm, p, P(1), 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(unlocked); i++)
		REFUSED(mm, do_madvise(mm, p, P(1), unlocked[i]), -EINVAL);
	CHECK_EQ(do_madvise(mm, p, P(1), MADV_DONTNEED_LOCKED), 0);
	CHECK(!page_at(mm, p));
	CHECK_EQ(do_munlock(mm, p, P(1)), 0);
	/* POPULATE asks for the right that it is named after. */
	CHECK_EQ(do_mprotect(mm, p, P(1), PROT_NONE), 0);
	REFUSED(mm, do_madvise(mm, p, P(1), MADV_POPULATE_READ), -EINVAL);
	REFUSED(mm, do_madvise(mm, p, P(1), MADV_POPULATE_WRITE), -EINVAL);
	CHECK_EQ(do_mprotect(mm, p, P(1), PROT_READ), 0);
	CHECK_EQ(do_madvise(mm, p, P(1), MADV_POPULATE_READ), 0);
	REFUSED(mm, do_madvise(mm, p, P(1), MADV_POPULATE_WRITE), -EINVAL);
	CHECK_EQ(do_mprotect(mm, p, P(1), PROT_WRITE), 0);
	REFUSED(mm, do_madvise(mm, p, P(1), MADV_POPULATE_READ), -EINVAL);
	CHECK_EQ(do_mprotect(mm, p, P(1), TM_RW), 0);
	/* Holes: the rest is treated, then told. */
	CHECK_EQ(do_munmap(mm, p + P(2), P(1)), 0);
	tm_store(p + P(5), 1);
	CHECK_EQ(do_madvise(mm, p, P(8), MADV_COLD), -ENOMEM);
	CHECK_EQ(do_madvise(mm, p, P(8), MADV_WILLNEED), -ENOMEM);
	CHECK_EQ(do_madvise(mm, p, P(8), MADV_DONTDUMP), -ENOMEM);
	CHECK(vma_flags_at(mm, p + P(7)) & VM_DONTDUMP);
	CHECK_EQ(do_madvise(mm, p, P(8), MADV_DONTNEED), -ENOMEM);
	CHECK(!page_at(mm, p + P(5)));
	/* Populating stops at the hole. */
	CHECK_EQ(do_madvise(mm, p, P(8), MADV_POPULATE_WRITE), -ENOMEM);
	CHECK(page_at(mm, p + P(1)) && !page_at(mm, p + P(3)));
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void errors(void **state)
{
	(void)state;
	TM_RUN(errors_body);
}

static int flags_body(void *arg)
{
	static const struct {
		int on, off;
		u64 flag;
	} pairs[] = {
		{MADV_DONTFORK, MADV_DOFORK, VM_DONTCOPY},
		{MADV_DONTDUMP, MADV_DODUMP, VM_DONTDUMP},
		{MADV_MERGEABLE, MADV_UNMERGEABLE, VM_MERGEABLE},
		{MADV_WIPEONFORK, MADV_KEEPONFORK, VM_WIPEONFORK},
		{MADV_HUGEPAGE, MADV_NOHUGEPAGE, VM_HUGEPAGE},
	};
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 9);

	(void)arg;
	tm_use(mm);
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		CHECK_EQ(do_madvise(mm, p + P(3), P(3), pairs[i].on), 0);
		CHECK(vma_flags_at(mm, p + P(4)) & pairs[i].flag);
		CHECK(!(vma_flags_at(mm, p) & pairs[i].flag));
		CHECK(!(vma_flags_at(mm, p + P(6)) & pairs[i].flag));
		CHECK_EQ(mm->map_count, 3);
		CHECK_EQ(do_madvise(mm, p, P(9), pairs[i].off), 0);
		CHECK(!(vma_flags_at(mm, p + P(4)) & pairs[i].flag));
		CHECK_EQ(mm->map_count, 1);
	}
	CHECK(vma_flags_at(mm, p) & VM_NOHUGEPAGE);
	/* No room for a split: EAGAIN; none needed: done. */
	space_sys.max_map_count = 1;
	REFUSED(mm, do_madvise(mm, p, P(1), MADV_DONTDUMP), -EAGAIN);
	REFUSED(mm, do_madvise(mm, p, P(1), MADV_DODUMP), 0);
	CHECK_EQ(do_madvise(mm, p, P(9), MADV_DONTDUMP), 0);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void flags(void **state)
{
	(void)state;
	TM_RUN(flags_body);
}

/* ---- MADV_FREE
 * --------------------------------------------------------------- */

static bool reclaim_page(struct mm_struct *mm, uva_t at)
{
	for (int i = 0; i < 10; i++) {
		pte_t e = tm_pte(mm, at);

		if (pte_none(e))
			return true;
		if (pte_swap(e))
			return false;
		tm_reclaim_one(mm, at);
	}
	return false;
}

static int free_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child = NULL;
	uva_t p = tm_map(mm, 6);
	u64 lazy = sum_vm_event(PGLAZYFREE), freed = sum_vm_event(PGLAZYFREED);

	(void)arg;
	tm_use(mm);
	for (u64 i = 0; i < 6; i++)
		tm_store(p + P(i), 10 + i);
	tm_swap_out(mm, p + P(4));
	CHECK_EQ(do_madvise(mm, p, P(5), MADV_FREE), 0);
	CHECK_EQ(sum_vm_event(PGLAZYFREE), lazy + 4);
	CHECK(!PageSwapBacked(page_at(mm, p)));
	CHECK(PageSwapBacked(page_at(mm, p + P(5))));
	/* What stood in swap is gone at once. */
	CHECK(pte_none(tm_pte(mm, p + P(4))));
	CHECK_EQ(mm_counter_get(mm, MM_SWAPENTS), 0);
	lru_add_drain_all();
	CHECK_EQ(global_node_page_state(NR_INACTIVE_FILE), 4);
	/* Not reclaimed yet: the contents are there. */
	CHECK_EQ(tm_load(p), 10);
	/* Written again: an ordinary page. */
	tm_store(p + P(1), 77);
	CHECK(!reclaim_page(mm, p + P(1)));
	CHECK_EQ(tm_load(p + P(1)), 77);
	/* Not written: gone, and zeroes come. */
	CHECK(reclaim_page(mm, p));
	CHECK(reclaim_page(mm, p + P(2)));
	CHECK_EQ(sum_vm_event(PGLAZYFREED), freed + 2);
	CHECK_EQ(tm_load(p), 0);
	CHECK_EQ(tm_load(p + P(2)), 0);
	mm_check(mm);
	/* Shared with a child: not this process's alone, so it stays. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(do_madvise(mm, p + P(5), P(1), MADV_FREE), 0);
	CHECK(PageSwapBacked(page_at(mm, p + P(5))));
	tm_use(child);
	CHECK_EQ(tm_load(p + P(5)), 15);
	/* Lazily freed and then forked: dropped from both. */
	CHECK(!PageSwapBacked(page_at(mm, p + P(3))));
	CHECK(reclaim_page(mm, p + P(3)));
	CHECK(pte_none(tm_pte(child, p + P(3))));
	mm_check(mm);
	mm_check(child);
	tm_use(NULL);
	mm_put(child);
	mm_put(mm);
	return 0;
}

static void lazy_free(void **state)
{
	(void)state;
	TM_RUN(free_body, .swap_pages = 256);
}

/* ---- COLD, PAGEOUT, WILLNEED, mincore
 * --------------------------------------- */

static u32 in_core(struct mm_struct *mm, uva_t at, u64 n, uva_t vec)
{
	u8 v[64];
	u32 sum = 0;

	CHECK(n <= sizeof(v));
	CHECK_EQ(do_mincore(mm, at, P(n), vec), 0);
	CHECK_EQ(sim_copy_from_user(v, vec, n), 0);
	for (u64 i = 0; i < n; i++)
		sum += v[i];
	return sum;
}

static int pageout_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 40), vec = tm_map(mm, 1);
	u64 reads, guesses, faults;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(in_core(mm, p, 40, vec), 0);
	for (u64 i = 0; i < 40; i++)
		tm_store(p + P(i), i);
	CHECK_EQ(in_core(mm, p, 40, vec), 40);
	lru_add_drain_all();
	activate_page(page_at(mm, p));
	CHECK(PageActive(page_at(mm, p)));
	CHECK_EQ(do_madvise(mm, p, P(40), MADV_COLD), 0);
	CHECK(!PageActive(page_at(mm, p)));
	CHECK(!pte_young(tm_pte(mm, p)));
	for (int i = 0; i < 20 && in_core(mm, p, 40, vec); i++) {
		CHECK_EQ(do_madvise(mm, p, P(40), MADV_PAGEOUT), 0);
		for (u64 k = 0; k < 40; k++)
			if (pte_swap(tm_pte(mm, p + P(k))))
				tm_reclaim_one(mm, p + P(k));
		port_park(10 * 1000 * 1000);
	}
	CHECK_EQ(in_core(mm, p, 40, vec), 0);
	CHECK_EQ(mm_counter_get(mm, MM_SWAPENTS), 40);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	reads = sum_vm_event(PSWPIN);
	guesses = sum_vm_event(SWAP_RA);
	CHECK_EQ(do_madvise(mm, p, P(40), MADV_WILLNEED), 0);
	CHECK_EQ(sum_vm_event(PSWPIN) - reads, 40);
	port_park(100 * 1000 * 1000);
	CHECK_EQ(do_madvise(mm, p, P(40), MADV_WILLNEED), 0);
	/* In the swap cache: in core, not mapped. */
	CHECK_EQ(in_core(mm, p, 40, vec), 40);
	CHECK_EQ(mm_counter_get(mm, MM_SWAPENTS), 40);
	faults = port_current()->maj_flt;
	for (u64 i = 0; i < 40; i++)
		CHECK_EQ(tm_load(p + P(i)), i);
	/* Each page was read once, because it was named, and is there. */
	CHECK_EQ(port_current()->maj_flt, faults);
	CHECK_EQ(sum_vm_event(PSWPIN) - reads, 40);
	CHECK_EQ(sum_vm_event(SWAP_RA), guesses);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void pageout(void **state)
{
	(void)state;
	TM_RUN(pageout_body, .swap_pages = 256);
}

/* As Linux. */
static int mincore_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 8), v = tm_map(mm, 1);
	uva_t end = mm->layout.task_size;

	(void)arg;
	tm_use(mm);
	tm_store(v, 0);
	REFUSED(mm, do_mincore(mm, p, (u64)-1, v), -ENOMEM);
	REFUSED(mm, do_mincore(mm, p + 1, 1, v), -EINVAL);
	REFUSED(mm, do_mincore(mm, p, 0, v), 0);
	REFUSED(mm, do_mincore(mm, p, 0, 0), 0);
	REFUSED(mm, do_mincore(mm, p, 4096, 0), -EFAULT);
	REFUSED(mm, do_mincore(mm, p, 4096, top), -EFAULT);
	REFUSED(mm, do_mincore(mm, top, 4096, v), -ENOMEM);
	REFUSED(mm, do_mincore(mm, end - P(1), 4096, v), -ENOMEM);
	/* The zero page is in core; a hole ends it. */
	tm_load(p);
	CHECK_EQ(in_core(mm, p, 2, v), 1);
	CHECK_EQ(do_munmap(mm, p + P(4), P(1)), 0);
	tm_store(v, ~0UL);
	CHECK_EQ(do_mincore(mm, p, P(8), v), -ENOMEM);
	CHECK_EQ(tm_load(v), ~0UL << 32 | 1);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void mincore_errors(void **state)
{
	(void)state;
	TM_RUN(mincore_body);
}

/* As Linux. */
static int msync_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 3);

	(void)arg;
	tm_use(mm);
	REFUSED(mm, do_msync(mm, p, 4096, 0), 0);
	REFUSED(mm, do_msync(mm, p, 4096, MS_ASYNC | MS_SYNC), -EINVAL);
	REFUSED(mm, do_msync(mm, p, 4096, 8), -EINVAL);
	REFUSED(mm, do_msync(mm, p, (u64)-1, 0), 0);
	REFUSED(mm, do_msync(mm, p, (u64)-4096L, 0), -ENOMEM);
	REFUSED(mm, do_msync(mm, p + 1, 1, 0), -EINVAL);
	REFUSED(mm, do_msync(mm, top, 4096, 0), -ENOMEM);
	REFUSED(mm, do_msync(mm, 0, 4096, MS_SYNC), -ENOMEM);
	CHECK_EQ(do_mlock(mm, p + P(2), P(1), 0), 0);
	CHECK_EQ(do_munmap(mm, p + P(1), P(1)), 0);
	REFUSED(mm, do_msync(mm, p, P(2), MS_INVALIDATE), -ENOMEM);
	REFUSED(mm, do_msync(mm, p, P(3), MS_INVALIDATE), -EBUSY);
	REFUSED(mm, do_msync(mm, p, P(3), MS_SYNC), -ENOMEM);
	mm_put(mm);
	return 0;
}

static void msync_errors(void **state)
{
	(void)state;
	TM_RUN(msync_body);
}

/* ---- failures
 * ---------------------------------------------------------------- */

static uva_t fail_at;

static struct mm_struct *fail_setup(void)
{
	struct mm_struct *mm = tm_mm();

	fail_at = tm_map(mm, 6);
	return mm;
}

static int op_flags(struct mm_struct *mm)
{
	int err = do_madvise(mm, fail_at + P(1), P(3), MADV_DONTDUMP);

	CHECK(err == 0 || err == -EAGAIN);
	return err;
}

static int op_populate(struct mm_struct *mm)
{
	int err = do_madvise(mm, fail_at, P(3), MADV_POPULATE_WRITE);

	CHECK(err == 0 || err == -ENOMEM);
	return err;
}

static int failures_body(void *arg)
{
	(void)arg;
	fail_each(&(struct fail_case){fail_setup, op_flags, false, 2});
	fail_each(&(struct fail_case){fail_setup, op_populate, true, 4});
	return 0;
}

static void failures(void **state)
{
	(void)state;
	TM_RUN(failures_body);
}

/* ---- populating what is partly there
 * -------------------------------------------------------------- */

#define MIXED 1300u /* across leaf tables */

/* MADV_POPULATE_WRITE among pages that are there, zero pages and swapped ones:
 * contents stay, each page that was not writable counts as a fault. */
static int populate_mixed_body(void *arg)
{
	struct prng *r = arg;
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, MIXED);
	u64 want[MIXED] = {0}, absent = 0, swapped = 0, before, faults;
	struct mm_usage u;

	tm_use(mm);
	if (prng_one_in(r, 3))
		CHECK_EQ(do_mlock(mm, p, P(MIXED), MLOCK_ONFAULT), 0);
	for (u64 i = 0; i < MIXED; i++) {
		u64 how = prng_below(r, 8);

		if (how == 0)
			tm_store(p + P(i), want[i] = i + 1);
		else if (how == 1)
			CHECK_EQ(tm_load(p + P(i)), 0);
		else if (prng_one_in(r, 100))
			i += 100; /* long runs too */
	}
	for (u64 i = 0; i < MIXED; i++)
		absent += !want[i];
	if (!(vma_flags_at(mm, p) & VM_LOCKED))
		CHECK_EQ(do_madvise(mm, p, P(MIXED / 2), MADV_PAGEOUT), 0);
	for (u64 i = 0; i < MIXED; i++)
		swapped += want[i] && !page_at(mm, p + P(i));
	before = port_current()->min_flt + port_current()->maj_flt;
	CHECK_EQ(do_madvise(mm, p, P(MIXED), MADV_POPULATE_WRITE), 0);
	faults = port_current()->min_flt + port_current()->maj_flt - before;
	/* A swapped page may come back read-only first. */
	CHECK(faults >= absent + swapped && faults <= absent + 2 * swapped);
	mm_usage_get(mm, &u);
	CHECK_EQ(u.rss_anon, MIXED);
	mm_check(mm);
	for (u64 i = 0; i < MIXED; i++) {
		struct page *page = page_at(mm, p + P(i));

		CHECK(page && PageAnon(page) && PageUptodate(page));
		CHECK_EQ(page_mapcount(page), 1);
		CHECK_EQ(PageMlocked(page),
			 (vma_flags_at(mm, p) & VM_LOCKED) != 0);
		CHECK_EQ(tm_load(p + P(i)), want[i]);
	}
	mm_put(mm);
	return 0;
}

static void populate_mixed(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 300 : 6);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct prng r;

		prng_seed(&r, seed + i);
		TM_RUN(populate_mixed_body, .arg = &r, .seed = seed + i,
		       .swap_pages = 4096);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors),
		cmocka_unit_test(flags),
		cmocka_unit_test(lazy_free),
		cmocka_unit_test(pageout),
		cmocka_unit_test(mincore_errors),
		cmocka_unit_test(msync_errors),
		cmocka_unit_test(failures),
		cmocka_unit_test(populate_mixed),
	};

	return cmocka_run_group_tests_name("madvise", tests, NULL, NULL);
}
