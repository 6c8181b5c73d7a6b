/* SPDX-License-Identifier: MIT */
/*
 * Mappings at the borders of page tables: made, moved, cut, forked and given
 * up while allocations fail, some of their pages in swap. A table that goes
 * must be empty (PT-3; verify_leaf_empty() panics), one that holds something
 * must stay; contents are compared with a model.
 *
 * SEED and ITERS as elsewhere.
 */
#include "sim_machine.h"

#include "base/fail.h"
#include "base/prng.h"

#define P(n)	 ((u64)(n) << PAGE_SHIFT)
#define NR_PROCS 4
#define BIG	 1544u /* three tables and a bit */

/* Where mappings may be: the ends of tables of each level, and two places of
 * several tables that stand differently to their borders. */
static const struct window {
	uva_t start;
	u32 pages;
} windows[] = {
	{(1UL << 30) - P(16), 32},
	{(1UL << 30) + (2UL << 20) - P(16), 32},
	{(1UL << 39) - P(16), 32},
	{(2UL << 30) - P(4), BIG},
	{(3UL << 30) - P(512 + 8), BIG},
	{(5UL << 30) + P(7), BIG},
};

#define NR_WINDOWS ARRAY_SIZE(windows)

/* What a process sees of one page: nothing mapped, or the word stored there. */
struct model {
	struct mm_struct *mm;
	bool mapped[NR_WINDOWS][BIG];
	u64 word[NR_WINDOWS][BIG];
};

static struct model procs[NR_PROCS];
static struct prng rng;
static u64 stamp;

struct span {
	u32 w, from, n;
};

static uva_t addr_of(u32 w, u32 i)
{
	return windows[w].start + P(i);
}

/* A piece of a window, short ones near its borders, or long. */
static struct span some_span(void)
{
	struct span s = {.w = (u32)prng_below(&rng, NR_WINDOWS)};
	u32 pages = windows[s.w].pages;

	s.n = (u32)prng_range(&rng, 1, prng_one_in(&rng, 3) ? pages : 12);
	s.from = (u32)prng_below(&rng, pages - s.n + 1);
	/* The border itself. */
	if (prng_one_in(&rng, 3) && s.n + 16 <= pages)
		s.from = prng_one_in(&rng, 2) ? 16 : 16 - (s.n < 16 ? s.n : 16);
	return s;
}

static void note(struct model *m, const struct span *s, bool mapped)
{
	for (u32 i = s->from; i < s->from + s->n; i++) {
		m->mapped[s->w][i] = mapped;
		m->word[s->w][i] = 0;
	}
}

/* After a call that failed: what it left is not the model's to know, but each
 * page holds what it held, is empty, or is gone. */
static void learn(struct model *m)
{
	for (u32 w = 0; w < NR_WINDOWS; w++)
		for (u32 i = 0; i < windows[w].pages; i++) {
			u64 v = 0;

			m->mapped[w][i] = !sim_copy_from_user(&v, addr_of(w, i),
							      sizeof(v));
			CHECK(v <= stamp);
			m->word[w][i] = v;
		}
}

static void compare(struct model *m)
{
	for (u32 w = 0; w < NR_WINDOWS; w++)
		for (u32 i = 0; i < windows[w].pages; i++) {
			u64 v = 0;
			int sig;

			/* Most of what is empty is left so. */
			if (!m->word[w][i] && !prng_one_in(&rng, 64))
				continue;
			sig = sim_copy_from_user(&v, addr_of(w, i), sizeof(v));
			CHECK_EQ(sig == 0, m->mapped[w][i]);
			CHECK_EQ(v, m->word[w][i]);
		}
}

/* ---- operations: each tells whether it succeeded --------------------------
 */

static bool op_map(struct model *m)
{
	struct span s = some_span();
	s64 ret = do_mmap(m->mm, addr_of(s.w, s.from), P(s.n), TM_RW,
			  TM_ANON | MAP_FIXED | MAP_NORESERVE);

	if (ret > 0)
		note(m, &s, true);
	return ret > 0;
}

static bool op_unmap(struct model *m)
{
	struct span s = some_span();
	int err = do_munmap(m->mm, addr_of(s.w, s.from), P(s.n));

	if (!err)
		note(m, &s, false);
	return !err;
}

static bool op_dontneed(struct model *m)
{
	struct span s = some_span();

	if (do_madvise(m->mm, addr_of(s.w, s.from), P(s.n), MADV_DONTNEED))
		return false;
	for (u32 i = s.from; i < s.from + s.n; i++)
		m->word[s.w][i] = 0;
	return true;
}

static bool op_store(struct model *m)
{
	struct span s = some_span();

	for (u32 i = s.from; i < s.from + min(s.n, 24u); i++) {
		u64 v = ++stamp;

		if (!m->mapped[s.w][i])
			continue;
		CHECK_EQ(sim_copy_to_user(addr_of(s.w, i), &v, sizeof(v)), 0);
		m->word[s.w][i] = v;
	}
	return true;
}

/* Whole pieces go from window to window, over tables and with holes. */
static bool op_move(struct model *m)
{
	struct span s = some_span(), d = some_span();
	bool keep = prng_one_in(&rng, 4);
	s64 ret;

	s.n = d.n = min(s.n, d.n);
	ret = do_mremap(m->mm, addr_of(s.w, s.from), P(s.n), P(s.n),
			MREMAP_MAYMOVE | MREMAP_FIXED |
				(keep ? MREMAP_DONTUNMAP : 0),
			addr_of(d.w, d.from));
	if (ret < 0)
		return false;
	/* Holes do not move. */
	for (u32 i = 0; i < s.n; i++) {
		if (!m->mapped[s.w][s.from + i])
			continue;
		m->mapped[d.w][d.from + i] = true;
		m->word[d.w][d.from + i] = m->word[s.w][s.from + i];
	}
	for (u32 i = s.from; i < s.from + s.n; i++) {
		m->mapped[s.w][i] &= keep;
		m->word[s.w][i] = 0;
	}
	return true;
}

/* Longer or shorter where it is. */
static bool op_resize(struct model *m)
{
	struct span s = some_span();
	u32 n = (u32)prng_range(&rng, 1, windows[s.w].pages - s.from);
	s64 ret = do_mremap(m->mm, addr_of(s.w, s.from), P(s.n), P(n), 0, 0);

	if (ret < 0)
		return false;
	for (u32 i = s.from + min(n, s.n); i < s.from + max(n, s.n); i++) {
		m->mapped[s.w][i] = n > s.n;
		m->word[s.w][i] = 0;
	}
	return true;
}

/* A page goes to swap, if there is one that can. */
static bool op_reclaim(struct model *m)
{
	struct span s = some_span();
	pte_t e = tm_pte(m->mm, addr_of(s.w, s.from));

	if (!pte_none(e) && !(pte_present(e) && pte_special(e)))
		tm_reclaim_one(m->mm, addr_of(s.w, s.from));
	return true;
}

static bool op_fork(struct model *m)
{
	struct model *child = &procs[prng_below(&rng, NR_PROCS)];
	struct mm_struct *mm;

	if (child == m)
		return true;
	if (mm_fork(m->mm, &mm))
		return false;
	mm_put(child->mm);
	*child = *m;
	child->mm = mm;
	return true;
}

static bool (*const ops[])(struct model *m) = {
	op_map,	   op_map,    op_unmap,	  op_unmap,   op_dontneed, op_store,
	op_store,  op_store,  op_move,	  op_move,    op_move,	   op_move,
	op_resize, op_resize, op_reclaim, op_reclaim, op_fork,	   op_fork,
};

/* One operation, its N-th allocation failing in every third. */
static void step(struct model *m)
{
	bool failing = prng_one_in(&rng, 3), ok;
	u64 which = prng_below(&rng, ARRAY_SIZE(ops));

	/* Stores have their faults repeated until they succeed. */
	failing &= ops[which] != op_store && ops[which] != op_reclaim;
	if (failing) {
		fail_arm_nth(FAIL_ALL & ~FAIL_MASK(FAIL_BIO_WRITE),
			     prng_range(&rng, 1, 12), prng_one_in(&rng, 2));
		fail_only_task(port_current());
	}
	ok = ops[which](m);
	if (failing)
		(void)fail_disarm();
	mm_check(m->mm);
	if (!ok)
		learn(m);
}

static int borders_body(void *arg)
{
	u64 iters = *(u64 *)arg;

	memset(procs, 0, sizeof(procs));
	stamp = 0;
	for (u32 i = 0; i < NR_PROCS; i++)
		procs[i].mm = tm_mm();
	for (u64 i = 0; i < iters; i++) {
		struct model *m = &procs[prng_below(&rng, NR_PROCS)];

		tm_use(m->mm);
		for (int k = 0; k < 6; k++)
			step(m);
		compare(m);
		/* All of it goes at once now and then. */
		if (prng_one_in(&rng, 40)) {
			tm_use(NULL);
			mm_put(m->mm);
			memset(m, 0, sizeof(*m));
			m->mm = tm_mm();
		}
	}
	tm_use(NULL);
	for (u32 i = 0; i < NR_PROCS; i++)
		mm_put(procs[i].mm);
	return 0;
}

static void borders(void **state)
{
	u64 iters = test_share(tm_soak() ? 200000 : 3000);

	(void)state;
	test_seed(&rng, "test_table_borders");
	TM_RUN(borders_body, .arg = &iters, .mem = 64UL << 20,
	       .swap_pages = 32768);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(borders)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
