/* SPDX-License-Identifier: MIT */
/* The huge zero page: who is shown it, who writes over it, fork, parts, its
 * users and its end; what /proc says of it and of huge pages. */
#include "sim_machine.h"
#include "thp_machine.h"

#include <mmkit/report.h>
#include <mmkit/shrinker.h>
#include <mmkit/uaccess.h>

#include "base/fail.h"
#include "space/gup.h"

#define KPF(n) (1UL << (n))
enum { KPF_HEAD = 15, KPF_TAIL = 16, KPF_THP = 22, KPF_ZERO = 24 };

static u64 kpageflags(u64 pfn)
{
	u64 w = 0;

	CHECK_EQ(mm_read("/proc/kpageflags", pfn * 8, &w, 8), 8);
	return w;
}

static u64 figure(const char *name)
{
	char path[160], text[32];
	struct seq_buf out;

	snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s",
		 name);
	seq_buf_init(&out, text, sizeof(text));
	CHECK_EQ(mm_show(path, &out), 0);
	return strtoull(seq_buf_str(&out), NULL, 10);
}

static u64 stat_of(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "hugepages-2048kB/stats/%s", name);
	return figure(path);
}

/* Kilobytes that smaps says of the mapping at AT, in the line NAME. */
static u64 smaps_kb(uva_t at, const char *name)
{
	static char text[1 << 16];
	struct seq_buf out;
	char begin[32], *line;

	seq_buf_init(&out, text, sizeof(text));
	mm_task_register(port_current(), "prog");
	CHECK_EQ(mm_show("/proc/self/smaps", &out), 0);
	mm_task_unregister(port_current());
	port_current()->pid = 0;
	(void)seq_buf_str(&out);
	snprintf(begin, sizeof(begin), "%08llx-", (unsigned long long)at);
	line = strstr(text, begin);
	CHECK(line != NULL);
	line = strstr(line, name);
	CHECK(line != NULL);
	return strtoull(line + strlen(name), NULL, 10);
}

static u64 users(void)
{
	return (u32)space_sys.thp.zero;
}

static u64 zero_frame(void)
{
	return space_sys.thp.zero >> 32;
}

static bool shows_zeroes(struct mm_struct *mm, uva_t va)
{
	return huge_at(mm, va) && pte_special(tm_pte(mm, va));
}

/* ---- reading and writing ---------------------------------------------------
 */

static int read_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 3);
	u64 faults = port_current()->min_flt, pfn;

	(void)arg;
	CHECK_EQ(tm_load(at + P(9)), 0);
	CHECK(shows_zeroes(mm, at));
	pfn = pte_pfn(tm_pte(mm, at));
	for (u64 i = 0; i < 512; i++)
		CHECK_EQ(tm_load(at + P(i)), 0);
	CHECK_EQ(tm_load(at + HP), 0);
	CHECK_EQ(port_current()->min_flt - faults, 2);
	/* The same frames; nobody's pages. */
	CHECK_EQ(pte_pfn(tm_pte(mm, at + HP + P(5))), pfn + 5);
	CHECK_EQ(event(THP_ZERO_PAGE_ALLOC), 1);
	CHECK_EQ(event(THP_FAULT_ALLOC), 0);
	CHECK_EQ(rss_of(mm), 0);
	CHECK_EQ(huge_count(), 0);
	CHECK_EQ(users(), 1);
	CHECK_EQ(kpageflags(pfn) & (KPF(KPF_THP) | KPF(KPF_ZERO) |
				    KPF(KPF_HEAD) | KPF(KPF_TAIL)),
		 KPF(KPF_THP) | KPF(KPF_ZERO) | KPF(KPF_HEAD));
	CHECK_EQ(kpageflags(pfn + 511) & (KPF(KPF_THP) | KPF(KPF_ZERO) |
					  KPF(KPF_HEAD) | KPF(KPF_TAIL)),
		 KPF(KPF_THP) | KPF(KPF_ZERO) | KPF(KPF_TAIL));
	CHECK_EQ(smaps_kb(at, "Rss:"), 0);
	CHECK_EQ(smaps_kb(at, "AnonHugePages:"), 0);
	mm_check(mm);
	/* A write gets all of it, and leaves the other region alone. */
	tm_store(at + P(300), 5);
	CHECK(huge_at(mm, at) && !shows_zeroes(mm, at));
	CHECK(shows_zeroes(mm, at + HP));
	CHECK_EQ(event(THP_FAULT_ALLOC), 1);
	CHECK_EQ(event(THP_SPLIT_PMD), 0);
	CHECK_EQ(port_current()->min_flt - faults, 3);
	for (u64 i = 0; i < 1024; i++)
		CHECK_EQ(tm_load(at + P(i)), i == 300 ? 5 : 0);
	CHECK_EQ(rss_of(mm), 512);
	pfn = pte_pfn(tm_pte(mm, at));
	CHECK(kpageflags(pfn) & KPF(KPF_THP));
	CHECK(!(kpageflags(pfn) & KPF(KPF_ZERO)));
	CHECK_EQ(smaps_kb(at, "AnonHugePages:"), 2048);
	CHECK_EQ(stat_of("anon_fault_alloc"), 1);
	CHECK_EQ(stat_of("nr_anon"), 1);
	end_mm(mm);
	CHECK_EQ(users(), 0);
	return 0;
}

static void reading(void **state)
{
	(void)state;
	EACH_FORMAT(read_body);
}

/* Who may not have a huge page is not shown huge zeroes. */
static int who_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 3);

	(void)arg;
	set_file("use_zero_page", "0");
	CHECK_EQ(tm_load(at), 0);
	CHECK(!huge_at(mm, at));
	set_file("use_zero_page", "1\n");
	CHECK_EQ(do_madvise(mm, at + HP, HP, MADV_NOHUGEPAGE), 0);
	CHECK_EQ(tm_load(at + HP), 0);
	CHECK(!huge_at(mm, at + HP));
	CHECK_EQ(mm_write("/sys/kernel/mm/transparent_hugepage/use_zero_page",
			  "2", 1),
		 -EINVAL);
	/* Read-only memory, too; no anon_vma comes of it. */
	CHECK_EQ(do_mprotect(mm, at + 2 * HP, HP, PROT_READ), 0);
	CHECK_EQ(tm_load(at + 2 * HP), 0);
	CHECK(shows_zeroes(mm, at + 2 * HP));
	CHECK_EQ(sim_touch(at + 2 * HP, SIM_WRITE), MM_SIGSEGV);
	CHECK_EQ(do_mprotect(mm, at + 2 * HP, HP, TM_RW), 0);
	CHECK(shows_zeroes(mm, at + 2 * HP));
	tm_store(at + 2 * HP + P(1), 3);
	CHECK(huge_at(mm, at + 2 * HP) && !shows_zeroes(mm, at + 2 * HP));
	CHECK_EQ(event(THP_SPLIT_PMD), 0);
	end_mm(mm);
	return 0;
}

static void who_is_shown(void **state)
{
	(void)state;
	TM_RUN(who_body, .mem = 32UL << 20);
}

/* The size's own word stands above the word for all sizes, unless it is
 * "inherit". */
static int size_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 3);

	(void)arg;
	set_file("hugepages-2048kB/enabled", "never");
	tm_store(at, 1);
	CHECK(!huge_at(mm, at));
	set_file("enabled", "always");
	tm_store(at + HP, 1);
	CHECK(!huge_at(mm, at + HP));
	set_file("hugepages-2048kB/enabled", "inherit");
	tm_store(at + 2 * HP, 1);
	CHECK(huge_at(mm, at + 2 * HP));
	CHECK_EQ(mm_write("/sys/kernel/mm/transparent_hugepage/enabled",
			  "inherit", 7),
		 -EINVAL);
	end_mm(mm);
	return 0;
}

static void its_own_word(void **state)
{
	(void)state;
	TM_RUN(size_body, .mem = 32UL << 20);
}

/* ---- parts -----------------------------------------------------------------
 */

static int part_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 3), to = map_huge(mm, 1);
	struct page *pins[1];

	(void)arg;
	CHECK_EQ(tm_load(at), 0);
	CHECK_EQ(tm_load(at + HP), 0);
	CHECK_EQ(tm_load(at + 2 * HP), 0);
	/* A hole: small entries of the same zeroes, and a write copies one. */
	CHECK_EQ(do_munmap(mm, at + P(100), P(1)), 0);
	CHECK(!huge_at(mm, at));
	CHECK_EQ(event(THP_SPLIT_PMD), 1);
	CHECK_EQ(event(THP_SPLIT_PAGE), 0);
	tm_store(at + P(7), 7);
	CHECK_EQ(rss_of(mm), 1);
	for (u64 i = 0; i < 100; i++)
		CHECK_EQ(tm_load(at + P(i)), i == 7 ? 7 : 0);
	CHECK_EQ(sim_touch(at + P(100), SIM_READ), MM_SIGSEGV);
	/* Moved as a whole, then to where the borders are elsewhere. */
	CHECK_EQ(do_mremap(mm, at + HP, HP, HP, MREMAP_MAYMOVE | MREMAP_FIXED,
			   to),
		 (s64)to);
	CHECK(shows_zeroes(mm, to));
	mm_check(mm);
	/* A pin of one of the frames is a pin of that frame. */
	CHECK_EQ(pin_user_pages(mm, to + P(3), 1, 0, pins), 1);
	CHECK_EQ(page_to_pfn(pins[0]), zero_frame() + 3);
	unpin_user_page(pins[0]);
	tm_store(to, 1);
	CHECK(!shows_zeroes(mm, to) && huge_at(mm, to));
	/* All of it goes. */
	CHECK_EQ(do_madvise(mm, at + 2 * HP, HP, MADV_DONTNEED), 0);
	CHECK(!huge_at(mm, at + 2 * HP));
	tm_store(at + 2 * HP, 1);
	CHECK(huge_at(mm, at + 2 * HP));
	CHECK_EQ(rss_of(mm), 1 + 2 * 512);
	end_mm(mm);
	return 0;
}

static void parts(void **state)
{
	(void)state;
	TM_RUN(part_body, .mem = 32UL << 20);
	TM_RUN(part_body, .mem = 32UL << 20, .format = &paging_arm64);
}

/* ---- fork ------------------------------------------------------------------
 */

static int fork_body(void *arg)
{
	struct mm_struct *mm = use_mm(), *child = NULL;
	uva_t at = map_huge(mm, 2);

	(void)arg;
	/* A page of its own makes the child copy entries. */
	tm_store(at + HP, 9);
	CHECK_EQ(tm_load(at), 0);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK(shows_zeroes(child, at) && shows_zeroes(mm, at));
	CHECK_EQ(users(), 2);
	tm_use(child);
	tm_store(at + P(1), 4);
	CHECK(huge_at(child, at));
	tm_use(mm);
	CHECK_EQ(tm_load(at + P(1)), 0);
	CHECK(shows_zeroes(mm, at));
	/* The child outlives its parent, with nothing but its own flag. */
	tm_use(child);
	CHECK_EQ(do_madvise(child, at, HP, MADV_DONTNEED), 0);
	mm_put(mm);
	CHECK_EQ(users(), 1);
	CHECK_EQ(tm_load(at + P(44)), 0);
	CHECK_EQ(tm_load(at + HP), 9);
	end_mm(child);
	CHECK_EQ(users(), 0);
	return 0;
}

static void forking(void **state)
{
	(void)state;
	TM_RUN(fork_body, .mem = 32UL << 20, .cpus = 2);
	TM_RUN(fork_body, .mem = 32UL << 20, .format = &paging_x86_32_pae);
}

/* ---- its life --------------------------------------------------------------
 */

static int life_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	uva_t at = map_huge(mm, 1);
	u64 first, free;

	(void)arg;
	CHECK_EQ(tm_load(at), 0);
	first = zero_frame();
	/* Whoever has a user is left alone, whatever that one maps. */
	CHECK_EQ(do_munmap(mm, at, HP), 0);
	drop_slab();
	CHECK_EQ(zero_frame(), first);
	end_mm(mm);
	/* Nobody: it waits for the next one. */
	mm = use_mm();
	at = map_huge(mm, 1);
	CHECK_EQ(tm_load(at), 0);
	CHECK_EQ(event(THP_ZERO_PAGE_ALLOC), 1);
	end_mm(mm);
	drain_all_pages();
	free = nr_free_pages();
	drop_slab();
	CHECK_EQ(space_sys.thp.zero, 0);
	drain_all_pages();
	CHECK(nr_free_pages() >= free + 512);
	mm = use_mm();
	at = map_huge(mm, 1);
	CHECK_EQ(tm_load(at), 0);
	CHECK_EQ(event(THP_ZERO_PAGE_ALLOC), 2);
	end_mm(mm);
	return 0;
}

static void its_life(void **state)
{
	(void)state;
	TM_RUN(life_body, .mem = 32UL << 20);
}

/* Any allocation on the way may fail: the read is answered all the same. */
static int failing_body(void *arg)
{
	struct mm_struct *mm = use_mm();
	u64 failed = 0;

	(void)arg;
	for (u32 n = 1; n < 12; n++) {
		uva_t at = map_huge(mm, 2), there = at + HP;

		drop_slab();
		fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC) |
				     FAIL_MASK(FAIL_PGTABLE),
			     n, false);
		fail_only_task(port_current());
		CHECK_EQ(tm_load(at), 0);
		fail_disarm();
		failed += !huge_at(mm, at);
		/* The same for who writes over them. */
		CHECK_EQ(tm_load(there), 0);
		CHECK(shows_zeroes(mm, there));
		fail_arm_nth(n % 2 ? FAIL_MASK(FAIL_CHARGE)
				   : FAIL_MASK(FAIL_PAGE_ALLOC),
			     (n + 1) / 2, false);
		fail_only_task(port_current());
		tm_store(there + P(2), n);
		fail_disarm();
		CHECK_EQ(tm_load(there + P(2)), n);
		CHECK_EQ(tm_load(there + P(3)), 0);
		mm_check(mm);
		CHECK_EQ(do_munmap(mm, at, 2 * HP), 0);
		end_mm(mm);
		mm = use_mm();
	}
	CHECK(failed > 0);
	CHECK(event(THP_ZERO_PAGE_ALLOC_FAILED) > 0);
	CHECK(event(THP_FAULT_FALLBACK) >= event(THP_ZERO_PAGE_ALLOC_FAILED));
	CHECK(stat_of("anon_fault_fallback") > 0);
	CHECK(stat_of("anon_fault_fallback_charge") > 0);
	end_mm(mm);
	return 0;
}

static void failing(void **state)
{
	(void)state;
	TM_RUN(failing_body, .mem = 32UL << 20);
}

/* ---- what a huge page is to who looks from outside -------------------------
 */

static int flags_body(void *arg)
{
	struct mm_struct *mm = use_mm(), *child = NULL;
	uva_t at = map_huge(mm, 2);
	u64 pfn;

	(void)arg;
	fill(at, 1024, 1);
	pfn = pte_pfn(tm_pte(mm, at));
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(page_large_maps(pfn_to_page(pfn)), 2);
	CHECK_EQ(huge_count(), 2);
	/* One of the two goes: still one. Both: 512 pages. */
	CHECK_EQ(do_munmap(mm, at + P(3), P(1)), 0);
	CHECK_EQ(page_large_maps(pfn_to_page(pfn)), 1);
	CHECK(kpageflags(pfn + 3) & KPF(KPF_THP));
	CHECK_EQ(event(THP_SPLIT_PAGE), 0);
	CHECK_EQ(huge_count(), 2);
	CHECK_EQ(do_munmap(child, at + P(4), P(1)), 0);
	CHECK(!(kpageflags(pfn + 3) &
		(KPF(KPF_THP) | KPF(KPF_HEAD) | KPF(KPF_TAIL))));
	CHECK_EQ(event(THP_SPLIT_PAGE), 1);
	CHECK_EQ(event(THP_SPLIT_PMD), 2);
	CHECK_EQ(stat_of("split"), 1);
	CHECK_EQ(stat_of("split_failed"), 0);
	CHECK_EQ(huge_count(), 1);
	mm_put(child);
	/* What goes whole is not split. */
	CHECK_EQ(do_munmap(mm, at + HP, HP), 0);
	CHECK_EQ(event(THP_SPLIT_PAGE), 1);
	end_mm(mm);
	return 0;
}

static void from_outside(void **state)
{
	(void)state;
	TM_RUN(flags_body, .mem = 32UL << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading),	cmocka_unit_test(who_is_shown),
		cmocka_unit_test(its_own_word), cmocka_unit_test(parts),
		cmocka_unit_test(forking),	cmocka_unit_test(its_life),
		cmocka_unit_test(failing),	cmocka_unit_test(from_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
