/* SPDX-License-Identifier: MIT */
/*
 * Huge pages that leave as a whole: 512 slots in a row by advice and by
 * pressure, under each policy; in pieces where there are not as many; what
 * fails on the way; forks; groups; slower nodes. Contents every time.
 */
#include "sim_machine.h"
#include "thp_machine.h"

#include <mmkit/memcg.h>
#include <mmkit/mempolicy.h>

#include "base/fail.h"
#include "memcg/limits.h"

#define MiB (1UL << 20)

static u64 slot_of(struct mm_struct *mm, uva_t va)
{
	pte_t e = tm_pte(mm, va);

	CHECK(pte_in_swap(e));
	return swp_offset(pte_to_swp_entry(e));
}

/* The region at AT has slots in a row. */
static void in_a_row(struct mm_struct *mm, uva_t at)
{
	u64 first = slot_of(mm, at);

	CHECK_EQ(first % 512, 0);
	for (u64 i = 1; i < 512; i++)
		CHECK_EQ(slot_of(mm, at + P(i)), first + i);
}

/* What is under write-back still is gone the second time. */
static void pageout(struct mm_struct *mm, uva_t at, u64 pages)
{
	for (u32 i = 0; i < 3; i++) {
		CHECK_EQ(do_madvise(mm, at, P(pages), MADV_PAGEOUT), 0);
		port_park(100 * 1000 * 1000);
	}
}

static void figure_is(const char *name, u64 want)
{
	char path[96], text[32], got[32];
	struct seq_buf s;

	snprintf(
		path, sizeof(path),
		"/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/stats/%s",
		name);
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)want);
	seq_buf_init(&s, got, sizeof(got));
	CHECK_EQ(mm_show(path, &s), 0);
	CHECK_EQ(strcmp(seq_buf_str(&s), text), 0);
}

/* ---- by advice -------------------------------------------------------------
 */

static int advice_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 3);

	(void)arg;
	fill(at, 1536, 9);
	/* Some were in use. */
	lru_add_drain_all();
	for (u64 i = 100; i < 200; i++)
		activate_page(pfn_to_page(pte_pfn(tm_pte(mm, at + HP + P(i)))));
	pageout(mm, at + HP, 512);
	CHECK_EQ(event(THP_SWPOUT), 1);
	figure_is("swpout", 1);
	CHECK(huge_at(mm, at) && !huge_at(mm, at + HP));
	in_a_row(mm, at + HP);
	CHECK_EQ(mm_counter_get(mm, MM_SWAPENTS), 512);
	CHECK_EQ(event(PSWPOUT), 512);
	mm_check(mm);
	verify(at, 1536, 9);
	/* Part of one: that part, and it is huge no more. */
	pageout(mm, at, 10);
	CHECK_EQ(event(THP_SWPOUT), 1);
	CHECK(!huge_at(mm, at));
	CHECK_EQ(mm_counter_get(mm, MM_SWAPENTS) > 0, 1);
	/* The rest of it and a whole one, in one call. */
	pageout(mm, at + P(10), 502 + 1024);
	CHECK_EQ(event(THP_SWPOUT), 2);
	in_a_row(mm, at + 2 * HP);
	verify(at, 1536, 9);
	/* Nobody writes what others have, too. */
	CHECK_EQ(event(THP_SWPOUT_FALLBACK), 0);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	CHECK_EQ(do_munmap(mm, at, 3 * HP), 0);
	end_mm(mm);
	return 0;
}

static void by_advice(void **state)
{
	(void)state;
	TM_RUN(advice_body, .mem = 32 * MiB, .swap_pages = 8192);
	TM_RUN(advice_body, .mem = 32 * MiB, .swap_pages = 8192,
	       .format = &paging_arm64);
}

/* ---- slots -----------------------------------------------------------------
 */

/* There is room, but not in a row: in pieces. */
static int pieces_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 2);

	(void)arg;
	fill(at, 1024, 4);
	/* The header's cluster is none; of the second some are taken. */
	pageout(mm, at + HP + P(3), 509);
	CHECK_EQ(event(THP_SWPOUT), 0);
	pageout(mm, at, 512);
	CHECK_EQ(event(THP_SWPOUT), 0);
	CHECK(event(THP_SWPOUT_FALLBACK) > 0);
	figure_is("swpout_fallback", event(THP_SWPOUT_FALLBACK));
	CHECK(!huge_at(mm, at));
	CHECK(event(PSWPOUT) >= 512);
	verify(at, 1024, 4);
	swap_check();
	CHECK_EQ(do_munmap(mm, at, 2 * HP), 0);
	end_mm(mm);
	return 0;
}

/* As many slots, half of them in a row. */
static int half_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 1), small = tm_map(mm, 800);

	(void)arg;
	fill(small, 800, 1);
	pageout(mm, small, 800);
	for (u64 i = 0; i < 800; i++) {
		u64 cluster = slot_of(mm, small + P(i)) / SWAPFILE_CLUSTER;

		if (cluster < 3)
			CHECK_EQ(do_madvise(mm, small + P(i), PAGE_SIZE,
					    MADV_DONTNEED),
				 0);
	}
	CHECK(get_nr_swap_pages() >= SWAP_BLOCK);
	fill(at, 512, 4);
	pageout(mm, at, 512);
	CHECK_EQ(event(THP_SWPOUT), 0);
	CHECK(event(THP_SWPOUT_FALLBACK) > 0);
	verify(at, 512, 4);
	CHECK_EQ(do_munmap(mm, at, HP), 0);
	CHECK_EQ(do_munmap(mm, small, P(800)), 0);
	end_mm(mm);
	return 0;
}

/* All blocks of an area, and then there is none. */
static int full_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 6);

	(void)arg;
	fill(at, 6 * 512, 4);
	pageout(mm, at, 6 * 512);
	CHECK_EQ(event(THP_SWPOUT), 3);
	CHECK(event(THP_SWPOUT_FALLBACK) > 0);
	swap_check();
	verify(at, 6 * 512, 4);
	CHECK_EQ(do_munmap(mm, at, 6 * HP), 0);
	swap_check();
	end_mm(mm);
	return 0;
}

static void slots(void **state)
{
	(void)state;
	TM_RUN(pieces_body, .mem = 32 * MiB, .swap_pages = 1500);
	TM_RUN(half_body, .mem = 32 * MiB, .swap_pages = 1024);
	TM_RUN(full_body, .mem = 32 * MiB, .swap_pages = 2500);
}

/* ---- by pressure -----------------------------------------------------------
 */

static int pressure_body(void *arg)
{
	const u64 n = 14;
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, n);

	(void)arg;
	fill(at, n * 512, 6);
	lru_add_drain_all();
	verify(at, n * 512, 6);
	fill(at, n * 512, 16);
	verify(at, n * 512, 16);
	mm_check(mm);
	CHECK(event(THP_SWPOUT) > 0);
	CHECK(event(PSWPOUT) > 512);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	lru_check(&NODE_DATA(0)->lruvec);
	swap_check();
	CHECK_EQ(do_munmap(mm, at, n * HP), 0);
	end_mm(mm);
	return 0;
}

static void by_pressure(void **state)
{
	(void)state;
	for (u32 k = 0; reclaim_policy(k); k++) {
		snprintf(tm_context, sizeof(tm_context), "policy %s",
			 reclaim_policy(k)->name);
		TM_RUN(pressure_body, .mem = 16 * MiB, .swap_pages = 16384,
		       .policy = reclaim_policy(k)->name);
	}
	tm_context[0] = 0;
}

/* Two spaces have it: both find it in swap. */
static int fork_body(void *arg)
{
	struct mm_struct *mm = use_mm(), *child = NULL;
	uva_t at = map_huge(mm, 2), more;

	(void)arg;
	fill(at, 1024, 8);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK(huge_at(child, at));
	more = tm_map(mm, 3000);
	for (u64 i = 0; i < 6000 && !event(THP_SWPOUT); i++)
		tm_store(more + P(i % 3000), i);
	CHECK(event(THP_SWPOUT) > 0);
	verify(at, 1024, 8);
	tm_use(child);
	verify(at, 1024, 8);
	fill(at, 1024, 80);
	tm_use(mm);
	verify(at, 1024, 8);
	mm_check(child);
	mm_put(child);
	CHECK_EQ(do_munmap(mm, at, 2 * HP), 0);
	CHECK_EQ(do_munmap(mm, more, P(3000)), 0);
	end_mm(mm);
	return 0;
}

static void forked(void **state)
{
	(void)state;
	TM_RUN(fork_body, .mem = 12 * MiB, .swap_pages = 16384);
}

/* ---- what fails ------------------------------------------------------------
 */

static int failing_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 1);
	const u32 points = FAIL_MASK(FAIL_PAGE_ALLOC) | FAIL_MASK(FAIL_SLAB) |
			   FAIL_MASK(FAIL_SWAP_SLOT) | FAIL_MASK(FAIL_CHARGE) |
			   FAIL_MASK(FAIL_BIO_WRITE);

	(void)arg;
	for (u64 n = 1; n < 40; n++) {
		fill(at, 512, n);
		(void)!do_madvise(mm, at, HP, MADV_COLLAPSE);
		fail_arm_nth(points, n < 20 ? n : (n - 19) * 37, n % 2);
		(void)!do_madvise(mm, at, HP, MADV_PAGEOUT);
		port_park(50 * 1000 * 1000);
		fail_disarm();
		mm_check(mm);
		swap_check();
		CHECK_EQ(rss_of(mm) + mm_counter_get(mm, MM_SWAPENTS), 512);
		verify(at, 512, n);
	}
	CHECK(event(THP_SWPOUT) > 0);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	CHECK_EQ(do_munmap(mm, at, HP), 0);
	end_mm(mm);
	return 0;
}

/* The disk takes nothing for a while. */
static int disk_body(void *arg)
{
	const struct sim_disk_fault some = {
		.writes = true, .skip = 100, .times = 300, .error = -EIO};
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 2);

	(void)arg;
	fill(at, 1024, 2);
	sim_disk_fail(tm.disk, &some);
	pageout(mm, at, 1024);
	CHECK(event(THP_SWPOUT) > 0);
	sim_disk_fail(tm.disk, NULL);
	verify(at, 1024, 2);
	pageout(mm, at, 1024);
	verify(at, 1024, 2);
	CHECK_EQ(do_munmap(mm, at, 2 * HP), 0);
	end_mm(mm);
	return 0;
}

static void failing(void **state)
{
	(void)state;
	TM_RUN(failing_body, .mem = 32 * MiB, .swap_pages = 8192);
	TM_RUN(disk_body, .mem = 32 * MiB, .swap_pages = 8192);
}

/* ---- groups and nodes ------------------------------------------------------
 */

static u64 usage(const struct memcg_counter *c)
{
	memcg_drain(NULL);
	return memcg_usage(c);
}

/* A group that may not have as many slots; one that may. */
static int groups_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 1);
	struct memcg *m;
	u16 id;

	(void)arg;
	CHECK_EQ(memcg_create(0, &id), 0);
	CHECK_EQ(memcg_write(id, "memory.swap.max", "409600"), 0);
	CHECK_EQ(memcg_attach(port_current(), id), 0);
	fill(at, 512, 8);
	pageout(mm, at, 512);
	CHECK_EQ(event(THP_SWPOUT), 0);
	CHECK(event(THP_SWPOUT_FALLBACK) > 0);
	m = memcg_get(id);
	CHECK_EQ(usage(&m->swap), 100);
	verify(at, 512, 8);
	CHECK_EQ(do_madvise(mm, at, HP, MADV_COLLAPSE), 0);
	CHECK_EQ(memcg_write(id, "memory.swap.max", "max"), 0);
	pageout(mm, at, 512);
	CHECK_EQ(event(THP_SWPOUT), 1);
	CHECK_EQ(usage(&m->swap), 512);
	verify(at, 512, 8);
	memcg_put(m, 1);
	CHECK_EQ(memcg_attach(port_current(), 0), 0);
	CHECK_EQ(do_munmap(mm, at, HP), 0);
	end_mm(mm);
	lru_add_drain_all();
	CHECK_EQ(memcg_remove(id), 0);
	memcg_drain(NULL);
	epoch_drain();
	epoch_drain();
	memcg_check();
	return 0;
}

static void groups(void **state)
{
	(void)state;
	TM_RUN(groups_body, .mem = 32 * MiB, .swap_pages = 8192);
}

/* Cold ones go to the slower node, huge. */
static int demote_body(void *arg)
{
	const u64 n = 9;
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, n);
	u64 far = 0;

	(void)arg;
	CHECK_EQ(mm_write("/sys/kernel/mm/numa/demotion_enabled", "true", 4),
		 4);
	CHECK_EQ(do_mbind(mm, at, n * HP, MPOL_BIND, NODE_MASK(0), 0), 0);
	fill(at, n * 512, 7);
	for (u64 i = 0; i < n; i++) {
		pte_t e = tm_pte(mm, at + i * HP);

		far += huge_at(mm, at + i * HP) &&
		       page_to_nid(pfn_to_page(pte_pfn(e))) == 1;
	}
	CHECK(far > 0);
	CHECK(event(THP_MIGRATION_SUCCESS) >= far);
	CHECK(event(PGDEMOTE_KSWAPD) + event(PGDEMOTE_DIRECT) >= far * 512);
	CHECK_EQ(event(PSWPOUT), 0);
	verify(at, n * 512, 7);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	lru_check(&NODE_DATA(0)->lruvec);
	lru_check(&NODE_DATA(1)->lruvec);
	CHECK_EQ(do_munmap(mm, at, n * HP), 0);
	end_mm(mm);
	return 0;
}

static void demoted(void **state)
{
	(void)state;
	for (u32 k = 0; reclaim_policy(k); k++) {
		snprintf(tm_context, sizeof(tm_context), "policy %s",
			 reclaim_policy(k)->name);
		TM_RUN(demote_body, .mem = 32 * MiB, .cpus = 1, .nodes = 2,
		       .policy = reclaim_policy(k)->name);
	}
	tm_context[0] = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_advice),   cmocka_unit_test(slots),
		cmocka_unit_test(by_pressure), cmocka_unit_test(forked),
		cmocka_unit_test(failing),     cmocka_unit_test(groups),
		cmocka_unit_test(demoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
