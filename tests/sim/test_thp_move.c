/* SPDX-License-Identifier: MIT */
/*
 * Huge pages that go elsewhere as a whole: by mbind, migrate_pages, move_pages,
 * out of exact ranges and memory that goes offline; what compaction leaves
 * alone; threads that use them meanwhile under explored schedules; and who pays
 * for what khugepaged makes of several groups' pages.
 */
#include "sim_machine.h"
#include "thp_machine.h"

#include <mmkit/errno.h>
#include <mmkit/memcg.h>
#include <mmkit/memory_hotplug.h>
#include <mmkit/mempolicy.h>
#include <mmkit/sysctl.h>
#include <mmkit/uaccess.h>

#include "base/fail.h"
#include "base/prng.h"
#include "memcg/limits.h"
#include "phys/alloc.h"
#include "space/collapse.h"
#include "space/numa_hint.h"
#include "task_use.h"

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

static struct page *far_block(void)
{
	return __alloc_pages(GFP_KERNEL | __GFP_THISNODE | __GFP_NOWARN |
				     __GFP_NORETRY,
			     9, 1);
}

/* What others map by a large entry goes as a whole for all; what is held, or
 * has no room as a whole, goes page by page. */
static int apart_body(void *arg)
{
	struct mm_struct *mm = use_mm(), *child = NULL;
	uva_t at = map_huge(mm, 1);
	struct page *held[32], *kept[4], *pins[1];
	u32 nr = 0, more = 0;

	(void)arg;
	port_current()->caps = MM_CAP_SYS_NICE;
	fill(at, 512, 3);
	/* A child that has a page of its own, and not that of its parent. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	tm_use(child);
	tm_store(at + P(7), 99);
	tm_use(mm);
	CHECK_EQ(do_mbind(mm, at, HP, MPOL_BIND, 2, MPOL_MF_MOVE_ALL), 0);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 1);
	CHECK(huge_at(mm, at));
	CHECK(!huge_at(child, at));
	CHECK_EQ(nid_at(mm, at + P(9)), 1);
	CHECK_EQ(nid_at(child, at + P(9)), 1);
	CHECK_EQ(nid_at(child, at + P(7)), 0);
	verify(at, 512, 3);
	tm_use(child);
	verify(at, 7, 3);
	CHECK_EQ(tm_load(at + P(7)), 99);
	verify(at + P(8), 504, 3 + 8);
	mm_check(child);
	tm_use(mm);
	mm_put(child);
	CHECK_EQ(event(THP_MIGRATION_SPLIT), 0);
	count_vm_event(THP_MIGRATION_SPLIT);
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
	while (nr < ARRAY_SIZE(held) && (held[nr] = far_block()))
		nr++;
	/* Of three blocks all frames but one each. */
	CHECK(nr > 3);
	for (u32 k = 1; k <= 3; k++) {
		split_page(held[nr - k], 9);
		for (u32 i = 1; i < 512; i++)
			__free_pages(held[nr - k] + i, 0);
	}
	/* What the watermarks kept back until then. */
	while (more < ARRAY_SIZE(kept) && (kept[more] = far_block()))
		more++;
	CHECK_EQ(do_mbind(mm, at, HP, MPOL_BIND, 2, MPOL_MF_MOVE), 0);
	CHECK_EQ(event(THP_MIGRATION_SPLIT), 3);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 1);
	CHECK_EQ(nid_at(mm, at + P(511)), 1);
	verify(at, 512, 3);
	for (u32 k = 1; k <= 3; k++)
		__free_pages(held[nr - k], 0);
	nr -= 3;
	while (nr)
		__free_pages(held[--nr], 9);
	while (more)
		__free_pages(kept[--more], 9);
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

/* ---- move_pages ------------------------------------------------------------
 */

/* The N pages at AT, STEP bytes apart, to node NID: what each answers. */
static s64 move(struct mm_struct *mm, uva_t area, u64 n, uva_t at, u64 step,
		int nid, u32 flags, s32 *status)
{
	struct mm_move_pages m = {mm,	       mm,	    n,	  area,
				  area + P(4), area + P(6), flags};
	s64 ret;

	for (u64 i = 0; i < n; i++) {
		uva_t va = at + i * step;
		s32 node = nid;

		CHECK_EQ(copy_to_user(mm, area + 8 * i, &va, 8), 0);
		CHECK_EQ(copy_to_user(mm, area + P(4) + 4 * i, &node, 4), 0);
	}
	ret = kernel_move_pages(&m);
	CHECK_EQ(copy_from_user(mm, status, area + P(6), 4 * n), 0);
	return ret;
}

static int call_body(void *arg)
{
	struct mm_struct *mm = use_mm(), *child = NULL;
	uva_t at = map_huge(mm, 2), area = tm_map(mm, 8);
	struct page *pin;
	s32 st[600];

	(void)arg;
	fill(at, 1024, 5);
	/* One address of a huge page: all of it goes. */
	CHECK_EQ(move(mm, area, 1, at + P(300) + 17, 0, 1, MPOL_MF_MOVE, st),
		 0);
	CHECK_EQ(st[0], 1);
	are_on(mm, at, 1, 1, 5);
	are_on(mm, at + HP, 1, 0, 5 + 512);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 1);
	/* All of them: the first moves it, the others are there. */
	CHECK_EQ(move(mm, area, 512, at + HP, PAGE_SIZE, 1, MPOL_MF_MOVE, st),
		 0);
	for (u64 i = 0; i < 512; i++)
		CHECK_EQ(st[i], 1);
	are_on(mm, at, 2, 1, 5);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 2);
	CHECK_EQ(event(THP_SPLIT_PMD), 0);
	/* Others' too. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(move(mm, area, 2, at, HP, 0, MPOL_MF_MOVE, st), 0);
	CHECK_EQ(st[0], -EACCES);
	CHECK_EQ(st[1], -EACCES);
	are_on(mm, at, 2, 1, 5);
	port_current()->caps = MM_CAP_SYS_NICE;
	CHECK_EQ(move(mm, area, 2, at, HP, 0, MPOL_MF_MOVE_ALL, st), 0);
	port_current()->caps = 0;
	CHECK_EQ(st[0], 0);
	CHECK_EQ(st[1], 0);
	are_on(mm, at, 2, 0, 5);
	CHECK(huge_at(child, at) && huge_at(child, at + HP));
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 4);
	CHECK_EQ(huge_count(), 2);
	tm_use(child);
	are_on(child, at, 2, 0, 5);
	tm_use(mm);
	mm_put(child);
	/* A page that is held keeps itself alone. */
	CHECK_EQ(pin_user_pages(mm, at + P(3), 1, 0, &pin), 1);
	CHECK_EQ(move(mm, area, 8, at, PAGE_SIZE, 1, MPOL_MF_MOVE, st), 1);
	for (s32 i = 0; i < 8; i++)
		CHECK_EQ(st[i], i == 3 ? -EBUSY : 1);
	CHECK(event(THP_MIGRATION_SPLIT) > 0);
	unpin_user_page(pin);
	verify(at, 1024, 5);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	CHECK_EQ(do_munmap(mm, at, 2 * HP), 0);
	end_mm(mm);
	return 0;
}

static void by_address(void **state)
{
	(void)state;
	TM_RUN(call_body, .mem = 64 * MiB, .nodes = 2, .cpus = 2);
	TM_RUN(call_body, .mem = 64 * MiB, .nodes = 2, .format = &paging_arm64);
}

/* ---- frames that somebody wants --------------------------------------------
 */

static u64 frame_of(struct mm_struct *mm, uva_t va)
{
	return pte_pfn(tm_pte(mm, va));
}

static int range_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 3);
	u64 pfn;

	(void)arg;
	fill(at, 1536, 5);
	pfn = frame_of(mm, at + HP);
	CHECK_EQ(
		alloc_contig_range(pfn, pfn + 512, MIGRATE_MOVABLE, GFP_KERNEL),
		0);
	CHECK(frame_of(mm, at + HP) != pfn);
	are_on(mm, at, 3, 0, 5);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 1);
	CHECK_EQ(event(THP_SPLIT_PMD), 0);
	free_contig_range(pfn, 512);
	/* A part of its frames: those pages go, one by one. */
	pfn = frame_of(mm, at);
	CHECK_EQ(alloc_contig_range(pfn + 100, pfn + 110, MIGRATE_MOVABLE,
				    GFP_KERNEL),
		 0);
	CHECK(!huge_at(mm, at));
	verify(at, 1536, 5);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 1);
	free_contig_range(pfn + 100, 10);
	/* Compaction leaves whole ones where they are. */
	pfn = frame_of(mm, at + HP);
	CHECK_EQ(mm_sysctl_set("vm.compact_memory", "1"), 0);
	CHECK_EQ(frame_of(mm, at + HP), pfn);
	CHECK(huge_at(mm, at + HP) && huge_at(mm, at + 2 * HP));
	verify(at, 1536, 5);
	CHECK_EQ(do_munmap(mm, at, 3 * HP), 0);
	end_mm(mm);
	return 0;
}

#define HOT_PA (8UL << 30)
#define BLOCK  (128 * MiB)

/* All of MM's huge pages leave memory that goes offline. */
static int offline_body(void *arg)
{
	const u64 from = HOT_PA >> PAGE_SHIFT, per = BLOCK >> PAGE_SHIFT;
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 10);

	(void)arg;
	CHECK_EQ(add_memory(1, HOT_PA, BLOCK, MHP_NONE), 0);
	CHECK_EQ(online_pages(from, per, MMOP_ONLINE_MOVABLE), 0);
	CHECK_EQ(do_mbind(mm, at, 10 * HP, MPOL_PREFERRED, 2, 0), 0);
	fill(at, 10 * 512, 7);
	for (u64 i = 0; i < 10; i++)
		CHECK(huge_at(mm, at + i * HP) &&
		      frame_of(mm, at + i * HP) >= from);
	CHECK_EQ(offline_pages(from, per), 0);
	CHECK_EQ(event(THP_MIGRATION_SUCCESS), 10);
	CHECK_EQ(event(THP_SPLIT_PMD), 0);
	for (u64 i = 0; i < 10; i++)
		CHECK(huge_at(mm, at + i * HP) &&
		      frame_of(mm, at + i * HP) < from);
	verify(at, 10 * 512, 7);
	CHECK_EQ(remove_memory(HOT_PA, BLOCK), 0);
	CHECK_EQ(do_munmap(mm, at, 10 * HP), 0);
	end_mm(mm);
	return 0;
}

static void wanted_frames(void **state)
{
	(void)state;
	TM_RUN(range_body, .mem = 64 * MiB);
	TM_RUN(offline_body, .mem = 160 * MiB, .max_possible = 16UL << 30,
	       .no_audit = true);
}

/* ---- threads ---------------------------------------------------------------
 */

#define RACE_THREADS 3u
#define RACE_HUGE    2u
#define RACE_PAGES   (RACE_HUGE * 512u)

struct race {
	struct mm_struct *mm;
	uva_t at;
	u64 seed, iters;
	u32 next, left;	   /* (A) */
	u64 checks, whole; /* (A) */
};

/* A thread owns a word of each page. */
struct race_user {
	struct race *r;
	u64 id;
	struct prng rnd;
	u64 last[RACE_PAGES];
};

static uva_t user_word(const struct race_user *u, u64 page)
{
	return u->r->at + P(page) + 64 * (1 + u->id);
}

static void user_store(struct race_user *u, u64 page)
{
	tm_store(user_word(u, page), ++u->last[page]);
}

static void user_expect(struct race_user *u, u64 page)
{
	CHECK_EQ(tm_load(user_word(u, page)), u->last[page]);
	__atomic_fetch_add(&u->r->checks, 1, __ATOMIC_RELAXED);
}

static void user_fork(struct race_user *u, u64 page)
{
	struct mm_struct *mm = u->r->mm, *child;

	if (mm_fork(mm, &child))
		return;
	user_store(u, page);
	mm_get(mm);
	task_use(child);
	CHECK_EQ(tm_load(user_word(u, page)), u->last[page] - 1);
	tm_store(user_word(u, page), ~0UL);
	task_use(mm);
	mm_put(mm);
	mm_put(child);
	user_expect(u, page);
}

static void user_call(struct race_user *u)
{
	u64 page = prng_below(&u->rnd, RACE_PAGES), n;
	struct mm_struct *mm = u->r->mm;

	n = 1 + prng_below(&u->rnd, RACE_PAGES - page);
	switch (prng_below(&u->rnd, 7)) {
	case 6:
		(void)!do_madvise(mm, u->r->at + page / 512 * HP, HP,
				  MADV_PAGEOUT);
		break;
	case 0:
		(void)!do_madvise(mm, u->r->at + P(page), P(n), MADV_COLD);
		break;
	case 1:
		(void)!do_madvise(mm, u->r->at + P(page), P(min(n, 3UL)),
				  MADV_PAGEOUT);
		break;
	case 2:
		(void)!do_mlock(mm, u->r->at + P(page), P(n), 0);
		CHECK_EQ(do_munlock(mm, u->r->at + P(page), P(n)), 0);
		break;
	case 3:
		user_fork(u, page);
		break;
	default:
		(void)!do_madvise(mm, u->r->at, RACE_HUGE * HP, MADV_COLLAPSE);
	}
}

static void race_user(void *arg)
{
	struct race_user *u = calloc(1, sizeof(*u));

	u->r = arg;
	u->id = __atomic_fetch_add(&u->r->next, 1, __ATOMIC_RELAXED);
	task_use(u->r->mm);
	prng_seed(&u->rnd, u->r->seed * 1000 + u->id);
	for (u64 i = 0; i < u->r->iters; i++) {
		u64 page = prng_below(&u->rnd, RACE_PAGES);

		if (prng_below(&u->rnd, 20) == 0)
			user_call(u);
		else if (prng_below(&u->rnd, 2))
			user_store(u, page);
		else
			user_expect(u, page);
	}
	for (u64 page = 0; page < RACE_PAGES; page += 7)
		user_expect(u, page);
	task_use(NULL);
	port_current()->flags |= PF_KTHREAD;
	__atomic_fetch_sub(&u->r->left, 1, __ATOMIC_RELEASE);
	free(u);
}

static void race_mover(void *arg)
{
	struct race *r = arg;
	struct prng rnd;
	u64 step = 0;

	prng_seed(&rnd, r->seed);
	while (__atomic_load_n(&r->left, __ATOMIC_ACQUIRE)) {
		uva_t va = r->at + prng_below(&rnd, RACE_HUGE) * HP;
		u64 pfn;

		(void)!do_madvise(r->mm, va, HP, MADV_COLLAPSE);
		switch (step++ % 3) {
		case 0:
			(void)!do_mbind(r->mm, va, HP, MPOL_BIND,
					1 + prng_below(&rnd, 2), MPOL_MF_MOVE);
			CHECK_EQ(do_mbind(r->mm, va, HP, MPOL_DEFAULT, 0, 0),
				 0);
			break;
		case 1:
			pfn = ALIGN_DOWN(frame_of(r->mm, va), 512UL);
			if (pfn &&
			    !alloc_contig_range(pfn, pfn + 512, MIGRATE_MOVABLE,
						GFP_KERNEL))
				free_contig_range(pfn, 512);
			break;
		default:
			(void)numa_scan_space(r->mm, 512);
		}
		port_park(1000);
	}
}

static int race_body(void *arg)
{
	struct port_thread *t[RACE_THREADS + 1];
	struct race *r = arg;

	space_sys.numa.scan_delay_ms = 1000000;
	CHECK_EQ(mm_sysctl_set("kernel.numa_balancing", "1"), 0);
	r->mm = use_mm();
	r->at = map_huge(r->mm, RACE_HUGE);
	r->left = RACE_THREADS;
	CHECK_EQ(do_madvise(r->mm, r->at, RACE_HUGE * HP, MADV_POPULATE_WRITE),
		 0);
	for (u32 i = 0; i < RACE_THREADS; i++)
		CHECK_EQ(port_thread_start(&t[i], "user", -1, race_user, r), 0);
	CHECK_EQ(
		port_thread_start(&t[RACE_THREADS], "mover", -1, race_mover, r),
		0);
	for (u32 i = 0; i <= RACE_THREADS; i++)
		port_thread_join(t[i]);
	lru_add_drain_all();
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	r->whole = event(THP_MIGRATION_SUCCESS);
	end_mm(r->mm);
	return 0;
}

static void schedules(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 400 : 8);
	u64 checks = 0, whole = 0;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct race r = {.seed = seed + i, .iters = 400};

		snprintf(tm_context, sizeof(tm_context), "schedule %llu",
			 (unsigned long long)i);
		TM_RUN(race_body, .arg = &r, .seed = seed + i, .cpus = 3,
		       .nodes = 2, .explore = true, .stall = i / 2 % 2 * 32,
		       .swap_pages = 4096, .mem = 24 * MiB);
		checks += r.checks;
		whole += r.whole;
	}
	tm_context[0] = 0;
	fprintf(stderr,
		"whole: SEED=%llu, %llu schedules, %llu checks, %llu whole "
		"moves\n",
		(unsigned long long)seed, (unsigned long long)n,
		(unsigned long long)checks, (unsigned long long)whole);
	assert_true(n < 6 || whole > 0);
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
	u64 was_a, was_b, pfn;
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
	/* Elsewhere as a whole: the same. */
	pfn = frame_of(mm, at);
	CHECK_EQ(
		alloc_contig_range(pfn, pfn + 512, MIGRATE_MOVABLE, GFP_KERNEL),
		0);
	free_contig_range(pfn, 512);
	CHECK(huge_at(mm, at) && frame_of(mm, at) != pfn);
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
		cmocka_unit_test(as_a_whole), cmocka_unit_test(page_by_page),
		cmocka_unit_test(by_address), cmocka_unit_test(wanted_frames),
		cmocka_unit_test(schedules),  cmocka_unit_test(failing),
		cmocka_unit_test(who_pays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
