/* SPDX-License-Identifier: MIT */
/* Huge pages that go to another node as a whole, and who pays for what
 * khugepaged makes of several groups' pages. */
#include "sim_machine.h"
#include "thp_machine.h"

#include <mmkit/memcg.h>
#include <mmkit/mempolicy.h>
#include <mmkit/uaccess.h>

#include "base/fail.h"
#include "memcg/limits.h"
#include "space/collapse.h"

#define MiB (1UL << 20)

static int nid_at(struct mm_struct *mm, uva_t va)
{
	return page_to_nid(pfn_to_page(pte_pfn(tm_pte(mm, va))));
}

/* All N regions from AT are huge, on node NID, and as SALT says. */
static void are_on(struct mm_struct *mm, uva_t at, u64 n, int nid, u64 salt)
{
	for (u64 i = 0; i < n; i++) {
		CHECK(huge_at(mm, at + i * HP));
		CHECK_EQ(nid_at(mm, at + i * HP), nid);
		CHECK_EQ(nid_at(mm, at + i * HP + P(511)), nid);
	}
	verify(at, n * 512, salt);
	mm_check(mm);
}

/* migrate_pages(2), by arrays in user memory at AREA. */
static s64 migrate(struct mm_struct *mm, uva_t area, u64 from, u64 to)
{
	tm_store(area, from);
	tm_store(area + 8, to);
	return kernel_migrate_pages(mm, mm, 64, area, area + 8);
}

static int whole_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 3), area = tm_map(mm, 1);

	(void)arg;
	tm_store(area, 0);
	CHECK_EQ(do_mbind(mm, at, 3 * HP, MPOL_BIND, 1, 0), 0);
	fill(at, 1536, 5);
	are_on(mm, at, 3, 0, 5);
	CHECK_EQ(do_mbind(mm, at, 3 * HP, MPOL_BIND, 2,
			  MPOL_MF_MOVE | MPOL_MF_STRICT),
		 0);
	are_on(mm, at, 3, 1, 5);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 3);
	CHECK_EQ(event(THP_MIGRATION_SPLIT), 0);
	CHECK_EQ(event(THP_SPLIT_PMD), 0);
	CHECK_EQ(event(THP_SPLIT_PAGE), 0);
	CHECK_EQ(event(PGMIGRATE_SUCCESS), 1536);
	CHECK_EQ(huge_count(), 3);
	CHECK_EQ(rss_of(mm), 1537);
	/* What is there already stays as it is. */
	CHECK_EQ(do_mbind(mm, at, 3 * HP, MPOL_BIND, 2, MPOL_MF_MOVE), 0);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 3);
	CHECK_EQ(do_mbind(mm, at, 3 * HP, MPOL_DEFAULT, 0, 0), 0);
	CHECK_EQ(migrate(mm, area, 2, 1), 0);
	are_on(mm, at, 3, 0, 5);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 6);
	/* Written as before: one's own, and writable. */
	tm_store(at + P(7), 12);
	CHECK_EQ(tm_load(at + P(7)), 12);
	CHECK(huge_at(mm, at));
	/* A part of one goes by itself. */
	CHECK_EQ(do_mbind(mm, at + HP, P(100), MPOL_BIND, 2, MPOL_MF_MOVE), 0);
	CHECK(!huge_at(mm, at + HP));
	CHECK_EQ(nid_at(mm, at + HP + P(99)), 1);
	CHECK_EQ(nid_at(mm, at + HP + P(100)), 0);
	verify(at + HP, 512, 5 + 512);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 6);
	CHECK_EQ(do_munmap(mm, at, 3 * HP), 0);
	end_mm(mm);
	return 0;
}

static void as_a_whole(void **state)
{
	(void)state;
	TM_RUN(whole_body, .mem = 64 * MiB, .nodes = 2, .cpus = 2);
	TM_RUN(whole_body, .mem = 64 * MiB, .nodes = 2,
	       .format = &paging_arm64);
}

/* What others map, or hold, or has no room as a whole, goes page by page. */
static int apart_body(void *arg)
{
	struct mm_struct *mm = use_mm(), *child = NULL;
	uva_t at = map_huge(mm, 1);
	struct page *held[32], *pins[1];
	u32 nr = 0;

	(void)arg;
	port_current()->caps = MM_CAP_SYS_NICE;
	fill(at, 512, 3);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(do_mbind(mm, at, HP, MPOL_BIND, 2, MPOL_MF_MOVE_ALL), 0);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 0);
	CHECK_EQ(event(THP_MIGRATION_SPLIT), 1);
	CHECK_EQ(nid_at(mm, at + P(9)), 1);
	CHECK_EQ(nid_at(child, at + P(9)), 1);
	verify(at, 512, 3);
	tm_use(child);
	verify(at, 512, 3);
	tm_use(mm);
	mm_put(child);
	CHECK_EQ(do_madvise(mm, at, HP, MADV_COLLAPSE), 0);
	CHECK(huge_at(mm, at));
	/* A pin: that page stays, the others go. */
	CHECK_EQ(pin_user_pages(mm, at + P(4), 1, 0, pins), 1);
	CHECK_EQ(do_mbind(mm, at, HP, MPOL_BIND, 1, MPOL_MF_MOVE), 0);
	CHECK_EQ(event(THP_MIGRATION_SPLIT), 2);
	CHECK_EQ(nid_at(mm, at + P(4)), 1);
	CHECK_EQ(nid_at(mm, at + P(5)), 0);
	unpin_user_pages_dirty(pins, 1, false);
	verify(at, 512, 3);
	CHECK_EQ(do_mbind(mm, at, HP, MPOL_BIND, 1, MPOL_MF_MOVE), 0);
	CHECK_EQ(do_madvise(mm, at, HP, MADV_COLLAPSE), 0);
	CHECK(huge_at(mm, at) && nid_at(mm, at) == 0);
	/* No block there, but single frames. */
	while (nr < ARRAY_SIZE(held) &&
	       (held[nr] = __alloc_pages(GFP_KERNEL | __GFP_THISNODE |
						 __GFP_NOWARN | __GFP_NORETRY,
					 9, 1)))
		nr++;
	/* Of three blocks all frames but one each. */
	CHECK(nr > 3);
	for (u32 k = 1; k <= 3; k++) {
		split_page(held[nr - k], 9);
		for (u32 i = 1; i < 512; i++)
			__free_pages(held[nr - k] + i, 0);
	}
	CHECK_EQ(do_mbind(mm, at, HP, MPOL_BIND, 2, MPOL_MF_MOVE), 0);
	CHECK_EQ(event(THP_MIGRATION_SPLIT), 3);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 0);
	CHECK_EQ(nid_at(mm, at + P(511)), 1);
	verify(at, 512, 3);
	for (u32 k = 1; k <= 3; k++)
		__free_pages(held[nr - k], 0);
	nr -= 3;
	while (nr)
		__free_pages(held[--nr], 9);
	port_current()->caps = 0;
	CHECK_EQ(do_munmap(mm, at, HP), 0);
	end_mm(mm);
	return 0;
}

static void page_by_page(void **state)
{
	(void)state;
	TM_RUN(apart_body, .mem = 64 * MiB, .nodes = 2);
}

/* Whatever fails on the way, contents are there, and pages somewhere. */
static int failing_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 1);

	(void)arg;
	fill(at, 512, 8);
	for (u64 n = 1; n < 8; n++) {
		fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC) | FAIL_MASK(FAIL_SLAB),
			     n, n % 2);
		fail_only_task(port_current());
		(void)!do_mbind(mm, at, HP, MPOL_BIND, n % 2 ? 2 : 1,
				MPOL_MF_MOVE);
		fail_disarm();
		verify(at, 512, 8);
		mm_check(mm);
		CHECK_EQ(rss_of(mm), 512);
		(void)!do_madvise(mm, at, HP, MADV_COLLAPSE);
	}
	CHECK_EQ(do_munmap(mm, at, HP), 0);
	end_mm(mm);
	return 0;
}

static void failing(void **state)
{
	(void)state;
	TM_RUN(failing_body, .mem = 64 * MiB, .nodes = 2);
}

/* ---- who pays --------------------------------------------------------------
 */

static u64 usage(u16 id)
{
	struct memcg *m = memcg_get(id);
	u64 n;

	CHECK(m != NULL);
	memcg_drain(NULL);
	n = memcg_usage(&m->memory);
	memcg_put(m, 1);
	return n;
}

static int groups_body(void *arg)
{
	struct mm_struct *mm = use_mm(), *child = NULL;
	uva_t at = map_huge(mm, 1);
	u64 was_a, was_b;
	u16 a, b;

	(void)arg;
	CHECK_EQ(memcg_create(0, &a), 0);
	CHECK_EQ(memcg_create(0, &b), 0);
	tm_store(at, 1); /* tables and the rest are nobody's matter */
	CHECK_EQ(do_madvise(mm, at, HP, MADV_DONTNEED), 0);
	CHECK_EQ(do_madvise(mm, at, HP, MADV_NOHUGEPAGE), 0);
	was_a = usage(a);
	was_b = usage(b);
	CHECK_EQ(memcg_attach(port_current(), a), 0);
	fill(at, 100, 1);
	CHECK_EQ(memcg_attach(port_current(), b), 0);
	fill(at + P(100), 200, 101);
	CHECK_EQ(memcg_attach(port_current(), 0), 0);
	CHECK_EQ(usage(a) - was_a, 100);
	CHECK_EQ(usage(b) - was_b, 200);
	CHECK_EQ(do_madvise(mm, at, HP, MADV_HUGEPAGE), 0);
	CHECK_EQ(thp_collapse(mm, at, true), THP_SUCCEED);
	/* Each its own, and the first one what nobody had. */
	CHECK_EQ(usage(a) - was_a, 100 + 212);
	CHECK_EQ(usage(b) - was_b, 200);
	verify(at, 300, 1);
	/* What a child goes on using is paid for as before; the copies by the
	 * group of the first page, which was written by a task of the root's.
	 */
	CHECK_EQ(do_madvise(mm, at + P(3), P(1), MADV_DONTNEED), 0);
	CHECK_EQ(mm_fork(mm, &child), 0);
	set_file("khugepaged/max_ptes_shared", "511");
	tm_store(at, 7);
	CHECK_EQ(thp_collapse(mm, at, true), THP_SUCCEED);
	CHECK_EQ(usage(b) - was_b, 200);
	CHECK_EQ(usage(a) - was_a, 311);
	mm_put(child);
	CHECK_EQ(do_munmap(mm, at, HP), 0);
	end_mm(mm);
	lru_add_drain_all();
	CHECK_EQ(usage(a), was_a);
	CHECK_EQ(usage(b), was_b);
	CHECK_EQ(memcg_remove(a), 0);
	CHECK_EQ(memcg_remove(b), 0);
	memcg_drain(NULL);
	epoch_drain();
	epoch_drain();
	memcg_check();
	return 0;
}

static void who_pays(void **state)
{
	(void)state;
	TM_RUN(groups_body, .mem = 32 * MiB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_a_whole),
		cmocka_unit_test(page_by_page),
		cmocka_unit_test(failing),
		cmocka_unit_test(who_pays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
