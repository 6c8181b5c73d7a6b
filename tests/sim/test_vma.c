/* SPDX-License-Identifier: MIT */
/*
 * The VMA tree against a word per page: random calls on small spaces, and all
 * sequences of calls on very small ones.
 */
#include "sim_machine.h"

#include "base/epoch.h"
#include "model_vma.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)

static struct mm_struct *space_of(const struct vmodel *m)
{
	struct mm_struct *mm = NULL;
	struct mm_layout l = {
		.task_size = vm_va(m->n),
		.mmap_base = vm_va(m->mmap_top),
		.start_brk = vm_va(m->brk_start),
		.stack_top = vm_va(m->n),
	};

	space_sys.mmap_min_addr = VM_LOW;
	space_sys.stack_guard_gap = m->guard;
	CHECK_EQ(mm_create(&l, &mm), 0);
	return mm;
}

/* ---- comparing -------------------------------------------------------------
 */

struct compare {
	const struct vmodel *m;
	u32 at, maps, split;
};

static void compare_map(const struct mm_map_info *i, void *arg)
{
	struct compare *c = arg;
	u32 start = (u32)((i->start - VM_LOW) >> PAGE_SHIFT);
	u32 end = (u32)((i->end - VM_LOW) >> PAGE_SHIFT);

	CHECK(start >= c->at && end <= c->m->n && start < end);
	for (; c->at < start; c->at++)
		CHECK_EQ(c->m->w[c->at], 0);
	for (; c->at < end; c->at++) {
		CHECK(c->m->w[c->at] == c->m->w[start]);
		CHECK(c->m->w[c->at] & VW_MAPPED);
		CHECK_EQ(VW_PROT(c->m->w[c->at]), i->prot);
		CHECK_EQ((c->m->w[c->at] & VW_GROWS) != 0, i->grows_down);
	}
	c->maps++;
	/* The heap begins a mapping of its own, until something melts it. */
	if (start && start == c->m->brk_start)
		c->split += c->m->w[start] == c->m->w[start - 1];
}

static void compare(const struct vmodel *m, struct mm_struct *mm)
{
	struct compare c = {.m = m};

	mm_for_each_map(mm, compare_map, &c);
	for (; c.at < m->n; c.at++)
		CHECK_EQ(m->w[c.at], 0);
	CHECK_EQ(c.maps, vm_count(m) + c.split);
	CHECK_EQ(mm->map_count, c.maps);
	mmap_write_lock(mm);
	vma_tree_check(mm);
	mmap_write_unlock(mm);
}

/* ---- random
 * ------------------------------------------------------------------ */

static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
			    PROT_READ | PROT_EXEC};
static const int advices[] = {MADV_NORMAL,     MADV_RANDOM,   MADV_SEQUENTIAL,
			      MADV_DONTFORK,   MADV_DOFORK,   MADV_WIPEONFORK,
			      MADV_KEEPONFORK, MADV_DONTNEED, MADV_WILLNEED};

static int random_mmap_flags(struct prng *r)
{
	static const int kinds[] = {0, MAP_FIXED, MAP_FIXED,
				    MAP_FIXED_NOREPLACE};
	int flags = kinds[prng_below(r, 4)];

	return prng_one_in(r, 6) ? flags | MAP_GROWSDOWN : flags;
}

/* One call, on the model and on the space. */
static void random_call(struct prng *r, struct vmodel *m, struct mm_struct *mm)
{
	u32 at = (u32)prng_below(r, m->n);
	u32 len = (u32)prng_range(r, 1, prng_one_in(r, 4) ? m->n : 4);
	u32 new = (u32)prng_range(r, 1, 5), to = (u32)prng_below(r, m->n);
	int prot = prots[prng_below(r, ARRAY_SIZE(prots))];
	int kind = (int)prng_below(r, 11), flags;

	snprintf(tm_context, sizeof(tm_context),
		 "call %d at %u len %u new %u to %u prot %d", kind, at, len,
		 new, to, prot);
	switch (kind) {
	case 0:
	case 1:
	case 2:
		flags = random_mmap_flags(r);
		CHECK_EQ(do_mmap(mm, vm_va(at), P(len), prot, TM_ANON | flags),
			 vm_mmap(m, at, len, prot, flags));
		break;
	case 3:
	case 4:
		CHECK_EQ(do_munmap(mm, vm_va(at), P(len)),
			 vm_munmap(m, at, len));
		break;
	case 5:
	case 6:
		CHECK_EQ(do_mprotect(mm, vm_va(at), P(len), prot),
			 vm_mprotect(m, at, len, prot));
		break;
	case 7:
		flags = advices[prng_below(r, ARRAY_SIZE(advices))];
		CHECK_EQ(do_madvise(mm, vm_va(at), P(len), flags),
			 vm_madvise(m, at, len, flags));
		break;
	case 8:
		CHECK_EQ(do_brk(mm, vm_va(at)), vm_brk(m, at));
		break;
	default:
		flags = (int)prng_below(r, 3);
		flags = flags == 2 ? MREMAP_MAYMOVE | MREMAP_FIXED : flags;
		CHECK_EQ(do_mremap(mm, vm_va(at), P(len), P(new), flags,
				   vm_va(to)),
			 vm_mremap(m, at, len, new, flags, to));
	}
	compare(m, mm);
}

static int random_body(void *arg)
{
	struct prng *r = arg;
	struct vmodel m = {0};
	struct mm_struct *mm;

	m.n = (u32)prng_range(r, 4, VM_MAX);
	m.mmap_top = (u32)prng_range(r, m.n / 2, m.n);
	m.guard = (u32)prng_below(r, 4);
	m.brk_start = m.brk = (u32)prng_below(r, m.n);
	mm = space_of(&m);
	for (int i = 0; i < 400; i++)
		random_call(r, &m, mm);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static int random_many_body(void *arg)
{
	u64 seed = *(u64 *)arg, n = test_iters(tm_soak() ? 20000 : 150);
	struct prng r;

	for (u64 i = 0; i < n; i++) {
		tm.cfg.seed = seed + i;
		prng_seed(&r, seed + i);
		random_body(&r);
	}
	return 0;
}

static void random_calls(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	TM_RUN(random_many_body, .arg = &seed, .seed = seed);
}

/* ---- all sequences
 * ------------------------------------------------------------- */

struct call {
	u8 kind, at, len;
};

static u32 alphabet(struct call *out, u32 n, u32 kinds)
{
	u32 nr = 0;

	for (u8 k = 0; k < kinds; k++)
		for (u8 at = 0; at < n; at++)
			for (u8 len = 1; len + at <= n; len++)
				out[nr++] = (struct call){k, at, len};
	return nr;
}

static void do_call(struct vmodel *m, struct mm_struct *mm,
		    const struct call *c)
{
	uva_t va = vm_va(c->at);

	switch (c->kind) {
	case 0:
		CHECK_EQ(do_mmap(mm, va, P(c->len), TM_RW, TM_ANON | MAP_FIXED),
			 vm_mmap(m, c->at, c->len, TM_RW, MAP_FIXED));
		break;
	case 1:
		CHECK_EQ(do_munmap(mm, va, P(c->len)),
			 vm_munmap(m, c->at, c->len));
		break;
	case 2:
		CHECK_EQ(do_mprotect(mm, va, P(c->len), PROT_READ),
			 vm_mprotect(m, c->at, c->len, PROT_READ));
		break;
	case 3:
		CHECK_EQ(do_mmap(mm, va, P(c->len), PROT_READ,
				 TM_ANON | MAP_FIXED),
			 vm_mmap(m, c->at, c->len, PROT_READ, MAP_FIXED));
		break;
	default:
		CHECK_EQ(do_madvise(mm, va, P(c->len), MADV_RANDOM),
			 vm_madvise(m, c->at, c->len, MADV_RANDOM));
	}
}

/* Every sequence of LEN calls, each from an empty space. */
static void all_sequences(u32 pages, u32 kinds, u32 len)
{
	static struct call calls[256];
	u32 nr = alphabet(calls, pages, kinds), seq[8] = {0};
	struct vmodel empty = {.n = pages, .mmap_top = pages};
	struct mm_struct *mm = space_of(&empty);
	u32 i;

	for (;;) {
		struct vmodel m = empty;

		snprintf(tm_context, sizeof(tm_context),
			 "%u pages, calls %u %u %u %u %u", pages, seq[0],
			 seq[1], seq[2], seq[3], seq[4]);
		for (i = 0; i < len; i++)
			do_call(&m, mm, &calls[seq[i]]);
		compare(&m, mm);
		CHECK_EQ(do_munmap(mm, VM_LOW, P(pages)), 0);
		/* The first call must map, else the sequence is a shorter one.
		 */
		for (i = len; i-- > 0;) {
			if (++seq[i] < (i ? nr : nr / kinds))
				break;
			seq[i] = 0;
		}
		if (i == (u32)-1)
			break;
	}
	mm_put(mm);
}

static int exhaustive_body(void *arg)
{
	(void)arg;
	all_sequences(6, 3, 3);
	all_sequences(4, 3, 4);
	all_sequences(3, 5, 3);
	all_sequences(2, 5, 5);
	if (tm_soak()) {
		all_sequences(6, 3, 4);
		all_sequences(3, 5, 5);
	}
	return 0;
}

static void exhaustive(void **state)
{
	(void)state;
	TM_RUN(exhaustive_body);
}

/*
 * From each of the 4^6 states of six pages (hole, read, read-write, stack):
 * every call. All longer histories are these, as far as pages go.
 */
static void make_state(struct vmodel *m, struct mm_struct *mm, u32 code)
{
	static const int kind[][2] = {
		{PROT_READ, 0}, {TM_RW, 0}, {TM_RW, MAP_GROWSDOWN}};

	for (u32 i = 0; i < m->n; i++, code /= 4) {
		u32 k = code % 4;

		if (!k)
			continue;
		CHECK_EQ(do_mmap(mm, vm_va(i), P(1), kind[k - 1][0],
				 TM_ANON | MAP_FIXED | kind[k - 1][1]),
			 vm_mmap(m, i, 1, kind[k - 1][0],
				 MAP_FIXED | kind[k - 1][1]));
	}
}

/* Calls that search or grow: number NR of them, on a state. False: no more. */
static bool search_call(struct vmodel *m, struct mm_struct *mm, u32 nr)
{
	u32 at = nr % 6, len = nr / 6 % 6 + 1, kind = nr / 36;

	snprintf(tm_context, sizeof(tm_context), "call %u", nr);
	switch (kind) {
	case 0:
		CHECK_EQ(do_mmap(mm, vm_va(at), P(len), TM_RW, TM_ANON),
			 vm_mmap(m, at, len, TM_RW, 0));
		return true;
	case 1:
		CHECK_EQ(do_mmap(mm, vm_va(at), P(len), TM_RW,
				 TM_ANON | MAP_FIXED_NOREPLACE),
			 vm_mmap(m, at, len, TM_RW, MAP_FIXED_NOREPLACE));
		return true;
	case 2:
		CHECK_EQ(do_mremap(mm, vm_va(at), P(1), P(len), MREMAP_MAYMOVE,
				   0),
			 vm_mremap(m, at, 1, len, MREMAP_MAYMOVE, 0));
		return true;
	case 3:
		CHECK_EQ(do_mremap(mm, vm_va(at), P(2), P(1),
				   MREMAP_MAYMOVE | MREMAP_FIXED,
				   vm_va(len - 1)),
			 vm_mremap(m, at, 2, 1, MREMAP_MAYMOVE | MREMAP_FIXED,
				   len - 1));
		return true;
	case 4:
		CHECK_EQ(do_brk(mm, vm_va(len)), vm_brk(m, len));
		return true;
	default:
		return false;
	}
}

static int states_body(void *arg)
{
	struct vmodel empty = {.n = 6, .mmap_top = 5, .guard = 1};
	bool more = true;

	(void)arg;
	empty.brk_start = empty.brk = 1;
	for (u32 nr = 0; more; nr++) {
		struct mm_struct *mm = space_of(&empty);

		for (u32 code = 0; code < 4096 && more;
		     code += tm_soak() ? 1 : 3) {
			struct vmodel m = empty;

			make_state(&m, mm, code);
			more = search_call(&m, mm, nr);
			compare(&m, mm);
			CHECK_EQ(do_munmap(mm, VM_LOW, P(6)), 0);
			mm->brk = mm->start_brk;
		}
		mm_put(mm);
	}
	return 0;
}

static void all_states(void **state)
{
	(void)state;
	TM_RUN(states_body);
}

/*
 * Regression: linking a mapping left a stale gap in a subtree when the tree
 * was rebalanced, and a search went astray. Mapped in an order that rotates.
 */
static int gap_body(void *arg)
{
	struct vmodel m = {.n = VM_MAX, .mmap_top = VM_MAX};
	struct prng r;

	(void)arg;
	for (u64 seed = 0; seed < 50; seed++) {
		struct mm_struct *mm = space_of(&m);
		struct vmodel now = m;

		prng_seed(&r, seed);
		for (int i = 0; i < 60; i++) {
			u32 at = 2 * (u32)prng_below(&r, VM_MAX / 2);

			CHECK_EQ(do_mmap(mm, vm_va(at), P(1), TM_RW,
					 TM_ANON | MAP_FIXED),
				 vm_mmap(&now, at, 1, TM_RW, MAP_FIXED));
			compare(&now, mm);
		}
		mm_put(mm);
	}
	return 0;
}

static void link_keeps_gaps(void **state)
{
	(void)state;
	TM_RUN(gap_body);
}

/*
 * Regression: protecting the end of a mapping that becomes equal to what is
 * behind it, of which the range held only a part, left two halves.
 */
static int halves_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, 6);

	(void)arg;
	CHECK_EQ(do_mprotect(mm, at, P(2), PROT_READ), 0);
	CHECK_EQ(mm->map_count, 2);
	CHECK_EQ(do_mprotect(mm, at, P(3), TM_RW), 0);
	CHECK_EQ(mm->map_count, 1);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void join_both_halves(void **state)
{
	(void)state;
	TM_RUN(halves_body);
}

/*
 * Regression: mappings that melt into their neighbours were freed by munmap
 * and the flusher only: a program that went on protecting had ever more.
 */
static int melted_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, 3);
	u64 most = 0;

	(void)arg;
	for (int i = 0; i < 1000; i++) {
		CHECK_EQ(do_mprotect(mm, at + P(1), P(1), PROT_READ), 0);
		CHECK_EQ(mm->map_count, 3);
		CHECK_EQ(do_mprotect(mm, at + P(1), P(1), TM_RW), 0);
		CHECK_EQ(mm->map_count, 1);
		most = max(most, epoch_pending());
	}
	CHECK(most > 0 && most < 200);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void melted_are_freed(void **state)
{
	(void)state;
	TM_RUN(melted_body);
}

/* Very many mappings, then the limit. */
static int many_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t base = 0x10000000;

	(void)arg;
	space_sys.max_map_count = 500;
	for (u64 i = 0; i < 499; i++)
		CHECK(do_mmap(mm, base + P(i), P(1), i % 2 ? PROT_READ : TM_RW,
			      TM_ANON | MAP_FIXED) > 0);
	CHECK_EQ(do_mmap(mm, base + P(499), P(5), PROT_EXEC,
			 TM_ANON | MAP_FIXED),
		 (s64)(base + P(499)));
	CHECK_EQ(do_mmap(mm, base - P(2), P(1), PROT_EXEC, TM_ANON | MAP_FIXED),
		 -ENOMEM);
	CHECK_EQ(do_munmap(mm, base + P(500), P(1)), -ENOMEM);
	CHECK_EQ(do_mprotect(mm, base + P(500), P(1), PROT_READ), -ENOMEM);
	CHECK_EQ(mm->map_count, 500);
	CHECK_EQ(do_mprotect(mm, base, P(499), TM_RW), 0);
	CHECK_EQ(mm->map_count, 2);
	CHECK_EQ(do_munmap(mm, base + P(500), P(1)), 0);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void many_mappings(void **state)
{
	(void)state;
	TM_RUN(many_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(link_keeps_gaps),
		cmocka_unit_test(join_both_halves),
		cmocka_unit_test(melted_are_freed),
		cmocka_unit_test(random_calls),
		cmocka_unit_test(exhaustive),
		cmocka_unit_test(all_states),
		cmocka_unit_test(many_mappings),
	};

	return cmocka_run_group_tests_name("vma", tests, NULL, NULL);
}
