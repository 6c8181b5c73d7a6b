/* SPDX-License-Identifier: MIT */
/*
 * Kernel same-page merging: what is merged, by numbers that a count of contents
 * predicts; that nobody sees another's writes; that it can be taken apart; and
 * what it does beside fork, exit, swap, mremap, locks, pins and failures.
 */
#include "calls.h"

#include <mmkit/ksm.h>
#include <mmkit/memory_failure.h>
#include <mmkit/mempolicy.h>
#include <mmkit/prctl.h>
#include <mmkit/uaccess.h>
#include <mmkit/userfaultfd.h>

#include "base/prng.h"
#include "merge/ksm.h"
#include "move/migrate.h"
#include "space/ksm.h"
#include "trace_ears.h"

/* ---- helpers ---------------------------------------------------------------
 */

static void set(const char *name, u64 value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)value);
	CHECK_EQ(mm_ksm_set(name, text), 0);
}

static u64 get(const char *name)
{
	char text[64];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_ksm_get(name, &s), 0);
	return strtoull(seq_buf_str(&s), NULL, 10);
}

/* Everything has an owner, objects of KSM too. */
static void audit_clean(void)
{
	static char text[4096];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_audit(&s), 0);
}

/* N whole scans in this thread. */
static void scans(u32 n)
{
	u64 until = merge_sys.full_scans + n;

	while (merge_sys.full_scans < until)
		CHECK(mm_ksm_scan(1000) || merge_sys.full_scans == until ||
		      !list_empty(&merge_sys.slots));
	ksm_check();
}

/* Contents number C; 0 is zeroes. */
static void content(u8 *bytes, u64 c)
{
	struct prng r;

	memset(bytes, 0, PAGE_SIZE);
	if (!c)
		return;
	prng_seed(&r, c);
	/* Pages that differ late are the hard ones to put in order. */
	for (size_t i = PAGE_SIZE / 2; i < PAGE_SIZE; i += 8) {
		u64 v = prng_u64(&r);

		memcpy(bytes + i, &v, 8);
	}
}

static void put(uva_t va, u64 c)
{
	static u8 bytes[PAGE_SIZE];

	content(bytes, c);
	CHECK_EQ(sim_copy_to_user(va, bytes, PAGE_SIZE), 0);
}

static void expect(uva_t va, u64 c)
{
	static u8 bytes[PAGE_SIZE], want[PAGE_SIZE];

	content(want, c);
	CHECK_EQ(sim_copy_from_user(bytes, va, PAGE_SIZE), 0);
	CHECK(!memcmp(bytes, want, PAGE_SIZE));
}

/* A mergeable mapping of PAGES in MM. */
static uva_t map_mergeable(struct mm_struct *mm, u64 pages)
{
	uva_t at = tm_map(mm, pages);

	CHECK_EQ(do_madvise(mm, at, P(pages), MADV_MERGEABLE), 0);
	return at;
}

static struct page *page_of(struct mm_struct *mm, uva_t va)
{
	pte_t e = tm_pte(mm, va);

	return pte_present(e) && !pte_special(e) ? pfn_to_page(pte_pfn(e))
						 : NULL;
}

static void numbers(u64 shared, u64 sharing, u64 unshared, u64 vol)
{
	CHECK_EQ(get("pages_shared"), shared);
	CHECK_EQ(get("pages_sharing"), sharing);
	CHECK_EQ(get("pages_unshared"), unshared);
	CHECK_EQ(get("pages_volatile"), vol);
	CHECK_EQ(shared + sharing + unshared + vol, merge_sys.rmap_items);
}

/* Everything apart again, and forgotten. */
static void all_apart(void)
{
	set("run", 2);
	numbers(0, 0, 0, 0);
	CHECK_EQ(get("stable_node_chains") + get("stable_node_dups"), 0);
	ksm_check();
	set("run", 0);
}

/* ---- two pages -------------------------------------------------------------
 */

static int basic_body(void *arg)
{
	struct mm_struct *a = tm_mm(), *b = tm_mm();
	uva_t pa = map_mergeable(a, 4), pb = map_mergeable(b, 4);
	u64 cow = sum_vm_event(COW_KSM), anon;

	(void)arg;
	set("smart_scan", 0);
	tm_use(a);
	put(pa, 1);
	put(pa + P(1), 2);
	tm_use(b);
	put(pb + P(3), 1);
	anon = global_node_page_state(NR_ANON_MAPPED);
	/* The first look knows no earlier contents. */
	scans(1);
	numbers(0, 0, 0, 3);
	scans(1);
	numbers(1, 1, 1, 0);
	CHECK_EQ(global_node_page_state(NR_ANON_MAPPED), anon - 1);
	CHECK(page_of(a, pa) == page_of(b, pb + P(3)));
	CHECK(PageKsm(page_of(a, pa)) && PageAnon(page_of(a, pa)));
	CHECK(!PageKsm(page_of(a, pa + P(1))));
	CHECK_EQ(page_mapcount(page_of(a, pa)), 2);
	CHECK_EQ(a->ksm_merging_pages, 1);
	CHECK_EQ(b->ksm_merging_pages, 1);
	mm_check(a);
	mm_check(b);
	/* More scans change nothing. */
	scans(3);
	numbers(1, 1, 1, 0);
	/* A write is seen by who wrote. */
	put(pb + P(3), 3);
	CHECK_EQ(sum_vm_event(COW_KSM), cow + 1);
	expect(pb + P(3), 3);
	tm_use(a);
	expect(pa, 1);
	expect(pa + P(1), 2);
	CHECK(page_of(a, pa) != page_of(b, pb + P(3)));
	/* One sharer is left, and still may not write in place. */
	CHECK(PageKsm(page_of(a, pa)));
	put(pa, 4);
	CHECK_EQ(sum_vm_event(COW_KSM), cow + 2);
	CHECK(!PageKsm(page_of(a, pa)));
	scans(2);
	numbers(0, 0, 3, 0);
	tm_use(NULL);
	mm_put(a);
	mm_put(b);
	CHECK_EQ(merge_sys.rmap_items, 0);
	CHECK(list_empty(&merge_sys.slots));
	all_apart();
	return 0;
}

static void basic(void **state)
{
	(void)state;
	TM_RUN(basic_body);
	TM_RUN(basic_body, .cpus = 2, .nodes = 2, .mem = 32UL << 20);
	TM_RUN(basic_body, .format = &paging_x86_32_pae);
}

/* ---- smart scan ------------------------------------------------------------
 */

/* A page that never finds its like is looked at ever less often: one scan is
 * left out after the third, then two, four, and eight each time. */
static int smart_body(void *arg)
{
	static const u8 skipped[] = {0,	 0,  0,	 0,  1,	 1,  2,	 3,
				     3,	 4,  5,	 6,  7,	 7,  8,	 9,
				     10, 11, 12, 13, 14, 15, 15, 16};
	struct mm_struct *mm = tm_mm();
	uva_t at = map_mergeable(mm, 2);

	(void)arg;
	set("smart_scan", 1);
	tm_use(mm);
	put(at, 1);
	put(at + P(1), 2);
	for (u32 i = 0; i < ARRAY_SIZE(skipped); i++) {
		scans(1);
		CHECK_EQ(get("pages_skipped"), 2 * skipped[i]);
		CHECK_EQ(page_count(page_of(mm, at)), 1);
		CHECK_EQ(page_count(page_of(mm, at + P(1))), 1);
	}
	/* Not for nothing: with its like it is found when it is looked at. */
	put(at + P(1), 1);
	for (u32 i = 0; i < 30 && !get("pages_shared"); i++)
		scans(1);
	numbers(1, 1, 0, 0);
	tm_use(NULL);
	mm_put(mm);
	all_apart();
	return 0;
}

static void smart(void **state)
{
	(void)state;
	TM_RUN(smart_body);
}

/* ---- numbers ---------------------------------------------------------------
 */

/* 32 MiB of one contents in four processes. */
static int fewest_body(void *arg)
{
	u32 limit = *(u32 *)arg, each = 2048;
	u64 all = 4 * each, nodes = all / limit + (all % limit != 0);
	struct mm_struct *mm[4];
	uva_t at[4];

	set("max_page_sharing", limit);
	for (int i = 0; i < 4; i++) {
		mm[i] = tm_mm();
		at[i] = map_mergeable(mm[i], each);
		tm_use(mm[i]);
		for (u64 p = 0; p < each; p++)
			put(at[i] + P(p), 7);
	}
	scans(3);
	numbers(nodes, all - nodes, 0, 0);
	CHECK_EQ(get("stable_node_chains"), 1);
	CHECK_EQ(get("stable_node_dups"), nodes);
	CHECK_EQ(global_node_page_state(NR_ANON_MAPPED), nodes);
	CHECK_EQ(mm_ksm_profit(),
		 (s64)((all - nodes) * PAGE_SIZE) -
			 (s64)(all * sizeof(struct ksm_rmap_item)));
	for (int i = 0; i < 4; i++) {
		tm_use(mm[i]);
		for (u64 p = 0; p < each; p += 97)
			expect(at[i] + P(p), 7);
	}
	/* One leaves: what it shared with others stays. */
	tm_use(NULL);
	mm_put(mm[0]);
	ksm_check();
	CHECK_EQ(get("pages_shared") + get("pages_sharing"), all - each);
	audit_clean();
	for (int i = 1; i < 4; i++) {
		CHECK_EQ(do_munmap(mm[i], at[i], P(each)), 0);
		mm_put(mm[i]);
	}
	all_apart();
	CHECK_EQ(global_node_page_state(NR_ANON_MAPPED), 0);
	return 0;
}

static void fewest(void **state)
{
	u32 limit[] = {256, 2};

	(void)state;
	TM_RUN(fewest_body, .arg = &limit[0], .mem = 64UL << 20);
	TM_RUN(fewest_body, .arg = &limit[1], .mem = 64UL << 20);
}

/* Mixed contents: what counting them predicts is what comes. */
#define MIX_PROCS 3u
#define MIX_PAGES 160u
#define MIX_KINDS 40u

struct mix {
	struct mm_struct *mm[MIX_PROCS];
	uva_t at[MIX_PROCS];
	u64 what[MIX_PROCS][MIX_PAGES]; /* contents; ~0: changes all the time */
	u64 next;			/* contents that nobody had */
	u32 limit;
	bool zero;
};

static void mix_put(struct mix *m, u32 i, u32 p)
{
	u64 c = m->what[i][p];

	tm_use(m->mm[i]);
	put(m->at[i] + P(p), c == ~0UL ? m->next++ : c);
}

static void mix_fill(struct mix *m, struct prng *r)
{
	for (u32 i = 0; i < MIX_PROCS; i++) {
		m->mm[i] = tm_mm();
		m->at[i] = map_mergeable(m->mm[i], MIX_PAGES);
		for (u32 p = 0; p < MIX_PAGES; p++) {
			u64 kind = prng_below(r, 10);

			m->what[i][p] = kind < 6 ? 1 + prng_below(r, MIX_KINDS)
					: kind < 7 ? 0
					: kind < 8 ? ~0UL
						   : m->next++;
			mix_put(m, i, p);
		}
	}
}

static void mix_change(struct mix *m)
{
	for (u32 i = 0; i < MIX_PROCS; i++)
		for (u32 p = 0; p < MIX_PAGES; p++)
			if (m->what[i][p] == ~0UL)
				mix_put(m, i, p);
}

/* What the numbers must be: of each contents that N pages have, n / limit
 * pages, rounded up so that none is left alone, or one unshared. */
static void mix_expect(const struct mix *m)
{
	static u32 count[1000000];
	u64 shared = 0, sharing = 0, unshared = 0, vol = 0, zero = 0;

	memset(count, 0, sizeof(count));
	for (u32 i = 0; i < MIX_PROCS; i++)
		for (u32 p = 0; p < MIX_PAGES; p++)
			if (m->what[i][p] == ~0UL)
				vol++;
			else
				count[m->what[i][p]]++;
	for (u64 c = 0; c < ARRAY_SIZE(count); c++) {
		u64 n = count[c], full;

		if (!c && m->zero) {
			zero = n;
			continue;
		}
		if (!n)
			continue;
		full = n / m->limit;
		/* A page over finds nobody to share with. */
		shared += full + (n % m->limit >= 2);
		unshared += n % m->limit == 1;
		sharing += n - full - (n % m->limit != 0);
	}
	numbers(shared, sharing, unshared, vol);
	CHECK_EQ(get("ksm_zero_pages"), zero);
}

static int mixed_body(void *arg)
{
	struct mix *m = arg;
	struct prng r;

	prng_seed(&r, tm.cfg.seed);
	m->next = 1000;
	set("smart_scan", 0);
	set("use_zero_pages", m->zero);
	set("max_page_sharing", m->limit);
	mix_fill(m, &r);
	for (int round = 0; round < 5; round++) {
		mix_change(m);
		scans(1);
	}
	mix_expect(m);
	for (u32 i = 0; i < MIX_PROCS; i++) {
		tm_use(m->mm[i]);
		for (u32 p = 0; p < MIX_PAGES; p++)
			if (m->what[i][p] != ~0UL)
				expect(m->at[i] + P(p), m->what[i][p]);
		mm_check(m->mm[i]);
	}
	/* Private again, with the contents that they had. */
	CHECK_EQ(do_madvise(m->mm[0], m->at[0], P(MIX_PAGES), MADV_UNMERGEABLE),
		 0);
	tm_use(m->mm[0]);
	for (u32 p = 0; p < MIX_PAGES; p++) {
		CHECK(page_of(m->mm[0], m->at[0] + P(p)));
		CHECK_EQ(page_mapcount(page_of(m->mm[0], m->at[0] + P(p))), 1);
		if (m->what[0][p] != ~0UL)
			expect(m->at[0] + P(p), m->what[0][p]);
	}
	scans(1);
	CHECK_EQ(m->mm[0]->ksm_rmap_items, 0);
	CHECK_EQ(m->mm[0]->ksm_zero_pages, 0);
	CHECK(!m->mm[0]->ksm_slot);
	all_apart();
	CHECK_EQ(get("ksm_zero_pages"), 0);
	tm_use(NULL);
	for (u32 i = 0; i < MIX_PROCS; i++)
		mm_put(m->mm[i]);
	return 0;
}

static void mixed(void **state)
{
	static struct mix m;
	u64 seed = test_env("SEED", 1), n = test_iters(4);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		memset(&m, 0, sizeof(m));
		m.limit = i & 1 ? 4 : 256;
		m.zero = i & 2;
		TM_RUN(mixed_body, .arg = &m, .seed = seed + i,
		       .mem = 32UL << 20);
	}
}

/* ---- beside everything else ------------------------------------------------
 */

/* Two spaces, N pages of one contents each, merged. */
struct pair {
	struct mm_struct *a, *b;
	uva_t pa, pb;
};

static struct pair pair_open(u64 n)
{
	struct pair p = {.a = tm_mm(), .b = tm_mm()};

	set("smart_scan", 0);
	p.pa = map_mergeable(p.a, n);
	p.pb = map_mergeable(p.b, n);
	for (u64 i = 0; i < n; i++) {
		tm_use(p.a);
		put(p.pa + P(i), 10 + i);
		tm_use(p.b);
		put(p.pb + P(i), 10 + i);
	}
	scans(3);
	numbers(n, n, 0, 0);
	return p;
}

static void pair_close(struct pair *p)
{
	tm_use(NULL);
	mm_check(p->a);
	mm_check(p->b);
	mm_put(p->a);
	mm_put(p->b);
	all_apart();
}

static int swap_body(void *arg)
{
	struct pair p = pair_open(3);
	u64 copied = sum_vm_event(KSM_SWPIN_COPY);

	(void)arg;
	/* All users are found: the frame goes. */
	tm_swap_out(p.a, p.pa);
	CHECK(pte_in_swap(tm_pte(p.a, p.pa)) && pte_in_swap(tm_pte(p.b, p.pb)));
	CHECK_EQ(pte_val(tm_pte(p.a, p.pa)), pte_val(tm_pte(p.b, p.pb)));
	scans(1);
	numbers(2, 2, 0, 0);
	tm_use(p.a);
	expect(p.pa, 10);
	/* The frame is A's now, who is no relative. */
	tm_use(p.b);
	expect(p.pb, 10);
	CHECK_EQ(sum_vm_event(KSM_SWPIN_COPY), copied + 1);
	CHECK(page_of(p.a, p.pa) != page_of(p.b, p.pb));
	put(p.pb, 99);
	tm_use(p.a);
	expect(p.pa, 10);
	mm_check(p.a);
	mm_check(p.b);
	/* Equal again: one again. */
	put(p.pa, 99);
	scans(3);
	numbers(3, 3, 0, 0);
	pair_close(&p);
	return 0;
}

static int family_body(void *arg)
{
	struct pair p = pair_open(4);
	struct mm_struct *child;
	uva_t to;

	(void)arg;
	CHECK_EQ(mm_fork(p.a, &child), 0);
	CHECK(child->ksm_slot);
	CHECK_EQ(page_mapcount(page_of(child, p.pa)), 3);
	scans(1);
	numbers(4, 8, 0, 0);
	CHECK_EQ(child->ksm_merging_pages, 4);
	/* The parent goes; what is left is found by itself. */
	tm_use(NULL);
	mm_put(p.a);
	numbers(4, 4, 0, 0);
	ksm_check();
	tm_use(child);
	expect(p.pa + P(1), 11);
	tm_swap_out(child, p.pa + P(1));
	expect(p.pa + P(1), 11);
	/* What moves is taken apart first, and joins again. */
	to = tm_map(child, 8);
	CHECK_EQ(do_mremap(child, p.pa + P(2), P(2), P(2),
			   MREMAP_MAYMOVE | MREMAP_FIXED, to),
		 (s64)to);
	CHECK(!PageKsm(page_of(child, to)));
	expect(to, 12);
	scans(3);
	CHECK(page_of(child, to) == page_of(p.b, p.pb + P(2)));
	expect(to + P(1), 13);
	p.a = child;
	pair_close(&p);
	return 0;
}

static int guards_body(void *arg)
{
	struct pair p = pair_open(4);
	struct page *pinned, *page;
	u64 v = 77, mlocked = global_zone_page_state(NR_MLOCK);

	(void)arg;
	/* A pin to write gets a page of its own, which is not shared again. */
	CHECK_EQ(pin_user_pages(p.a, p.pa, 1, FOLL_WRITE, &pinned), 1);
	CHECK(!PageKsm(pinned) && pinned == page_of(p.a, p.pa));
	scans(3);
	CHECK(page_of(p.a, p.pa) == pinned);
	unpin_user_page(pinned);
	scans(3);
	CHECK(page_of(p.a, p.pa) != pinned || PageKsm(pinned));
	numbers(4, 4, 0, 0);
	/* The kernel's write on behalf of the program. */
	tm_use(p.a);
	CHECK_EQ(copy_to_user(p.a, p.pa + P(1), &v, sizeof(v)), 0);
	tm_use(p.b);
	expect(p.pb + P(1), 11);
	/* Locks go over to the shared page and leave it with the last. */
	CHECK_EQ(do_mlock(p.a, p.pa + P(2), P(1), 0), 0);
	/* Locking has made it private; the lock goes along when it is merged.
	 */
	CHECK(!PageKsm(page_of(p.a, p.pa + P(2))));
	scans(3);
	page = page_of(p.a, p.pa + P(2));
	CHECK(PageKsm(page) && PageMlocked(page));
	CHECK_EQ(global_zone_page_state(NR_MLOCK), mlocked + 1);
	CHECK_EQ(do_munlock(p.a, p.pa + P(2), P(1)), 0);
	CHECK(!PageMlocked(page));
	CHECK_EQ(global_zone_page_state(NR_MLOCK), mlocked);
	/* Read-only memory can be taken apart, too. */
	CHECK_EQ(do_mprotect(p.b, p.pb, P(4), PROT_READ), 0);
	CHECK_EQ(do_madvise(p.b, p.pb, P(4), MADV_UNMERGEABLE), 0);
	for (u64 i = 0; i < 4; i++) {
		CHECK(!PageKsm(page_of(p.b, p.pb + P(i))));
		CHECK(!pte_write(tm_pte(p.b, p.pb + P(i))));
		expect(p.pb + P(i), 10 + i);
	}
	pair_close(&p);
	return 0;
}

static int any_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	uva_t at = tm_map(mm, 2), more;

	(void)arg;
	set("smart_scan", 0);
	CHECK_EQ(mm_prctl_set_memory_merge(mm, true), 0);
	CHECK(mm_prctl_get_memory_merge(mm));
	CHECK(vma_flags_at(mm, at) & VM_MERGEABLE);
	more = tm_map(mm, 2);
	CHECK(vma_flags_at(mm, more) & VM_MERGEABLE);
	tm_use(mm);
	put(at, 5);
	put(more, 5);
	scans(3);
	numbers(1, 1, 0, 0);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK(mm_prctl_get_memory_merge(child));
	mm_put(child);
	/* A program that is executed keeps it. */
	child = tm_mm();
	CHECK(mm_prctl_get_memory_merge(child) && child->ksm_slot);
	mm_put(child);
	CHECK_EQ(mm_prctl_set_memory_merge(mm, false), 0);
	CHECK(!(vma_flags_at(mm, at) & VM_MERGEABLE));
	CHECK(page_of(mm, at) != page_of(mm, more));
	expect(at, 5);
	scans(1);
	numbers(0, 0, 0, 0);
	tm_use(NULL);
	mm_put(mm);
	all_apart();
	return 0;
}

static int files_body(void *arg)
{
	static const struct {
		const char *file, *text;
		int err;
	} bad[] = {
		{"run", "3", -EINVAL},
		{"run", "", -EINVAL},
		{"run", "1 1", -EINVAL},
		{"run", "-1", -EINVAL},
		{"nosuch", "1", -ENOENT},
		{"pages_shared", "1", -EACCES},
		{"max_page_sharing", "1", -EINVAL},
		{"max_page_sharing", "8", -EBUSY},
		{"merge_across_nodes", "2", -EINVAL},
		{"merge_across_nodes", "0", -EBUSY},
		{"use_zero_pages", "maybe", -EINVAL},
		{"advisor_mode", "fast", -EINVAL},
		{"advisor_max_cpu", "101", -EINVAL},
		{"advisor_target_scan_time", "0", -EINVAL},
		{"pages_to_scan", "99999999999", -EINVAL},
	};
	struct pair p = pair_open(1);

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(mm_ksm_set(bad[i].file, bad[i].text), bad[i].err);
	CHECK_EQ(get("max_page_sharing"), 256);
	CHECK_EQ(mm_ksm_set("advisor_mode", "scan-time\n"), 0);
	CHECK_EQ(get("pages_to_scan"), 500);
	CHECK_EQ(mm_ksm_set("pages_to_scan", "10"), -EINVAL);
	/* A scan that is far too fast needs fewer pages, down to the least. */
	set("advisor_min_pages_to_scan", 20);
	scans(5);
	CHECK(get("pages_to_scan") < 500 && get("pages_to_scan") >= 20);
	CHECK_EQ(mm_ksm_set("advisor_mode", "none"), 0);
	CHECK_EQ(get("pages_to_scan"), 100);
	pair_close(&p);
	set("max_page_sharing", 8);
	set("merge_across_nodes", 0);
	return 0;
}

/* Every allocation of a scan, and of taking apart, fails in turn. */
static int failing_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = map_mergeable(mm, 6);
	struct fail_result r = {0};
	u64 n = 0;

	(void)arg;
	set("smart_scan", 0);
	set("max_page_sharing", 2);
	tm_use(mm);
	for (u64 i = 0; i < 6; i++)
		put(at + P(i), 3);
	do {
		fail_arm_nth(FAIL_ALL, ++n, false);
		for (int i = 0; i < 3; i++)
			(void)mm_ksm_scan(100);
		r = fail_disarm();
		ksm_check();
		mm_check(mm);
		for (u64 i = 0; i < 6; i++)
			expect(at + P(i), 3);
	} while (r.fired);
	scans(3);
	numbers(3, 3, 0, 0);
	n = 0;
	do {
		int err;

		fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), ++n, true);
		fail_only_task(port_current());
		err = do_madvise(mm, at, P(6), MADV_UNMERGEABLE);
		r = fail_disarm();
		CHECK(err == 0 || err == -EAGAIN);
		CHECK(err == 0 || (vma_flags_at(mm, at) & VM_MERGEABLE));
		for (u64 i = 0; i < 6; i++)
			expect(at + P(i), 3);
		ksm_check();
		mm_check(mm);
	} while (r.fired);
	CHECK(n > 3);
	tm_use(NULL);
	mm_put(mm);
	all_apart();
	return 0;
}

/* ---- frames ----------------------------------------------------------------
 */

/* PAGE goes to another frame, of node NID. */
static void move_to(struct page *page, int nid)
{
	struct migrate_target where = {
		.nid = nid, .nodes = nid < 0 ? NODE_MASK_ALL : 1UL << nid};
	struct migrate_control mc = {.get_new = migrate_new_page,
				     .arg = &where,
				     .mode = MIGRATE_SYNC,
				     .reason = MR_SYSCALL};
	struct page_list list;

	page_list_init(&list);
	lru_add_drain_all();
	get_page(page);
	CHECK_EQ(isolate_movable_page(page, MIGRATE_SYNC), 0);
	put_page(page);
	page_list_add(&list, page);
	CHECK_EQ(migrate_pages(&list, &mc), 0);
	CHECK(page_list_empty(&list));
	lru_add_drain_all();
}

/* A shared page goes to another frame: all who share it follow, and it is found
 * there by those who join, who leave, and by reclaim. */
static int moved_body(void *arg)
{
	struct pair p = pair_open(3);
	struct page *old = page_of(p.a, p.pa), *now;
	struct ksm_stable_node *node = page_stable_node(old);

	(void)arg;
	move_to(old, NUMA_NO_NODE);
	now = page_of(p.a, p.pa);
	CHECK(now != old && now == page_of(p.b, p.pb));
	CHECK(PageKsm(now) && page_stable_node(now) == node);
	CHECK_EQ(node->kpfn, page_to_pfn(now));
	CHECK_EQ(page_mapcount(now), 2);
	ksm_check();
	scans(2);
	numbers(3, 3, 0, 0);
	CHECK(page_of(p.a, p.pa) == now);
	/* One more joins, one writes. */
	tm_use(p.a);
	put(p.pa + P(1), 10);
	scans(3);
	CHECK(page_of(p.a, p.pa + P(1)) == now);
	put(p.pa, 77);
	expect(p.pa + P(1), 10);
	tm_use(p.b);
	expect(p.pb, 10);
	tm_swap_out(p.b, p.pb);
	CHECK(pte_in_swap(tm_pte(p.a, p.pa + P(1))));
	expect(p.pb, 10);
	pair_close(&p);
	return 0;
}

/* A frame that is lost takes its contents from all who share it, nobody else's,
 * and no page is merged with it any more. */
static int lost_body(void *arg)
{
	struct pair p = pair_open(3);
	struct page *page = page_of(p.a, p.pa);
	u64 pfn = page_to_pfn(page);
	struct mm_siginfo info = {0};

	(void)arg;
	CHECK_EQ(memory_failure(pfn, 0), 0);
	CHECK(!page_of(p.a, p.pa) && !page_of(p.b, p.pb));
	tm_use(p.b);
	CHECK_EQ(mm_user_fault_info(port_current(), p.pb, PF_ERR_USER, &info),
		 7 /* SIGBUS */);
	CHECK_EQ(info.code, MM_BUS_MCEERR_AR);
	for (u64 i = 1; i < 3; i++)
		expect(p.pb + P(i), 10 + i);
	/* What a scan finds of it is forgotten. */
	scans(2);
	numbers(2, 2, 0, 0);
	tm_use(p.a);
	put(p.pa + P(1), 10);
	put(p.pa + P(2), 10);
	scans(3);
	/* Two of B alone, and one of A's. */
	numbers(3, 1, 0, 0);
	CHECK(page_to_pfn(page_of(p.a, p.pa + P(1))) != pfn);
	pair_close(&p);
	CHECK_EQ(unpoison_memory(pfn), 0);
	return 0;
}

/* Without merge_across_nodes pages of one node alone become one, and a shared
 * page that moves to another node changes trees. */
static int nodes_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = map_mergeable(mm, 8);
	struct page *page;

	(void)arg;
	set("smart_scan", 0);
	set("merge_across_nodes", 0);
	tm_use(mm);
	for (u64 i = 0; i < 8; i++) {
		nodemask_t on = 1UL << i / 4;

		CHECK_EQ(do_mbind(mm, at + P(i), P(1), MPOL_BIND, on, 0), 0);
		put(at + P(i), 5);
		CHECK_EQ(page_to_nid(page_of(mm, at + P(i))), i / 4);
	}
	scans(3);
	numbers(2, 6, 0, 0);
	CHECK(page_of(mm, at) == page_of(mm, at + P(3)));
	CHECK(page_of(mm, at) != page_of(mm, at + P(4)));
	/* To where another of the same contents stands: they hang together. */
	page = page_of(mm, at);
	move_to(page, 1);
	page = page_of(mm, at);
	CHECK_EQ(page_to_nid(page), 1);
	scans(2);
	numbers(2, 6, 0, 0);
	CHECK_EQ(page_stable_node(page)->nid, 1);
	CHECK_EQ(get("stable_node_chains"), 1);
	CHECK_EQ(get("stable_node_dups"), 2);
	for (u64 i = 0; i < 8; i++)
		expect(at + P(i), 5);
	CHECK_EQ(mm_ksm_set("merge_across_nodes", "1"), -EBUSY);
	all_apart();
	set("merge_across_nodes", 1);
	scans(3);
	numbers(1, 7, 0, 0);
	tm_use(NULL);
	mm_put(mm);
	all_apart();
	return 0;
}

/* A page whose writes somebody watches is left alone until he does not. */
static int watched_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = map_mergeable(mm, 3), words = tm_map(mm, 1);
	struct uffdio_api api = {.api = UFFD_API,
				 .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
	struct uffdio_register reg = {.range = {at, P(1)},
				      .mode = UFFDIO_REGISTER_MODE_WP};
	struct uffdio_writeprotect wp = {.range = {at, P(1)},
					 .mode = UFFDIO_WRITEPROTECT_MODE_WP};
	struct file *file;

	(void)arg;
	set("smart_scan", 0);
	tm_use(mm);
	port_current()->caps = MM_CAP_SYS_PTRACE;
	for (u64 i = 0; i < 3; i++)
		put(at + P(i), 6);
	file = userfaultfd_create(mm, 0);
	CHECK(!IS_ERR(file));
#define UFFD(cmd, what)                                                      \
	do {                                                                 \
		CHECK_EQ(sim_copy_to_user(words, &(what), sizeof(what)), 0); \
		CHECK_EQ(userfaultfd_ioctl(file, mm, cmd, words), 0);        \
	} while (0)
	UFFD(UFFDIO_API, api);
	UFFD(UFFDIO_REGISTER, reg);
	UFFD(UFFDIO_WRITEPROTECT, wp);
	CHECK(pte_uffd_wp(tm_pte(mm, at)));
	scans(3);
	numbers(1, 1, 0, 0);
	CHECK(!PageKsm(page_of(mm, at)) && pte_uffd_wp(tm_pte(mm, at)));
	CHECK(page_of(mm, at + P(1)) == page_of(mm, at + P(2)));
	/* And one that is shared already is watched by all who share it alone.
	 */
	wp.mode = 0;
	UFFD(UFFDIO_WRITEPROTECT, wp);
	scans(3);
	numbers(1, 2, 0, 0);
	wp.mode = UFFDIO_WRITEPROTECT_MODE_WP;
	UFFD(UFFDIO_WRITEPROTECT, wp);
	CHECK(pte_uffd_wp(tm_pte(mm, at)) && PageKsm(page_of(mm, at)));
	CHECK(!pte_uffd_wp(tm_pte(mm, at + P(1))));
	scans(2);
	CHECK(pte_uffd_wp(tm_pte(mm, at)));
	fput(file);
	put(at, 8);
	expect(at + P(1), 6);
	expect(at + P(2), 6);
	tm_use(NULL);
	mm_put(mm);
	all_apart();
	return 0;
}

/* The checksum is XXH64 of the whole page, folded: three pages that an
 * independent implementation has computed; and it notices each byte. */
static int hash_body(void *arg)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	u32 zero;
	u8 *view;

	(void)arg;
	CHECK(page);
	zero = ksm_checksum(page);
	CHECK_EQ(zero, merge_sys.zero_checksum);
	CHECK_EQ(zero, 0x9e5e20b4u);
	CHECK(ksm_page_is_zero(page));
	view = page_view(page);
	for (u32 i = 0; i < PAGE_SIZE; i++)
		view[i] = (u8)(i * 7 + (i >> 8));
	CHECK_EQ(ksm_checksum(page), 0x9b971d8du);
	memset(view, 0xff, PAGE_SIZE);
	CHECK_EQ(ksm_checksum(page), 0x522d1ea6u);
	memset(view, 0, PAGE_SIZE);
	/* Each byte counts. */
	for (u32 i = 0; i < PAGE_SIZE; i++) {
		view[i] = 1;
		CHECK(ksm_checksum(page) != zero && !ksm_page_is_zero(page));
		view[i] = 0;
	}
	__free_page(page);
	return 0;
}

#define CASE(name, ...)                             \
	static void name(void **state)              \
	{                                           \
		(void)state;                        \
		TM_RUN(name##_body, ##__VA_ARGS__); \
	}
CASE(swap, .swap_pages = 256)
CASE(family, .swap_pages = 256)
CASE(guards)
CASE(any)
CASE(files)
CASE(failing)
CASE(hash)
CASE(moved, .swap_pages = 256)
CASE(lost)
CASE(nodes, .nodes = 2, .cpus = 2, .mem = 32UL << 20)
CASE(watched)

/* ---- what is told
 * ----------------------------------------------------------------------- */

static void scan_told(const struct mm_struct *a, const struct mm_struct *b,
		      u64 kpfn)
{
	struct trace_record r;

	CHECK_EQ(told(TRACE_KSM_START_SCAN), 2);
	CHECK_EQ(told(TRACE_KSM_STOP_SCAN), 2);
	r = first(TRACE_KSM_START_SCAN);
	CHECK_EQ(field(&r, "rmap_entries"), 0);
	CHECK_EQ(count(TRACE_KSM_STOP_SCAN, "seq", field(&r, "seq") + 1, &r),
		 1);
	CHECK_EQ(field(&r, "rmap_entries"), merge_sys.rmap_items);
	/* One becomes the page of both, the other joins it. */
	CHECK_EQ(count(TRACE_KSM_MERGE_ONE_PAGE, "err", 0, &r), 1);
	CHECK_EQ(field(&r, "pfn"), kpfn);
	CHECK(field(&r, "mm") == (u64)(uintptr_t)a ||
	      field(&r, "mm") == (u64)(uintptr_t)b);
	CHECK(count(TRACE_KSM_MERGE_WITH_KSM_PAGE, "err", 0, &r) >= 1);
	CHECK_EQ(field(&r, "ksm_page"), kpfn);
	CHECK(field(&r, "pfn") != kpfn);
	CHECK(field(&r, "rmap_item") != 0);
	CHECK_EQ(count(TRACE_PAGE_MERGE, "ksm_pfn", kpfn, &r), 2);
}

static int told_body(void *arg)
{
	struct mm_struct *a = tm_mm(), *b = tm_mm();
	struct trace_record r;
	uva_t pa, pb;
	u64 kpfn;

	(void)arg;
	set("smart_scan", 0);
	listen_to("ksm page_merge");
	pa = map_mergeable(a, 1);
	pb = map_mergeable(b, 1);
	CHECK_EQ(told(TRACE_KSM_ENTER), 2);
	CHECK_EQ(count(TRACE_KSM_ENTER, "mm", (u64)(uintptr_t)b, NULL), 1);
	tm_use(a);
	put(pa, 1);
	tm_use(b);
	put(pb, 1);
	scans(2);
	numbers(1, 1, 0, 0);
	kpfn = page_to_pfn(page_of(a, pa));
	scan_told(a, b, kpfn);
	CHECK_EQ(told(TRACE_KSM_ADVISOR), 0);
	/* With somebody who says how fast. */
	CHECK_EQ(mm_ksm_set("advisor_mode", "scan-time\n"), 0);
	scans(2);
	CHECK(count(TRACE_KSM_ADVISOR, "pages_to_scan", merge_sys.pages_to_scan,
		    &r) > 0);
	CHECK(field(&r, "cpu_percent") <= 100);
	CHECK_EQ(mm_ksm_set("advisor_mode", "none"), 0);
	/* Nobody has it any more. */
	put(pb, 2);
	tm_use(a);
	put(pa, 3);
	scans(2);
	CHECK_EQ(count(TRACE_KSM_REMOVE_KSM_PAGE, "pfn", kpfn, NULL), 1);
	tm_use(NULL);
	mm_put(a);
	mm_put(b);
	all_apart();
	hush();
	CHECK_EQ(told(TRACE_KSM_EXIT), 2);
	CHECK_EQ(count(TRACE_KSM_EXIT, "mm", (u64)(uintptr_t)a, NULL), 1);
	forget();
	return 0;
}

static void tells(void **state)
{
	(void)state;
	TM_RUN(told_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(basic),  cmocka_unit_test(fewest),
		cmocka_unit_test(smart),  cmocka_unit_test(mixed),
		cmocka_unit_test(swap),	  cmocka_unit_test(family),
		cmocka_unit_test(guards), cmocka_unit_test(any),
		cmocka_unit_test(files),  cmocka_unit_test(failing),
		cmocka_unit_test(hash),	  cmocka_unit_test(moved),
		cmocka_unit_test(lost),	  cmocka_unit_test(nodes),
		cmocka_unit_test(tells),  cmocka_unit_test(watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
