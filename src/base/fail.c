/* SPDX-License-Identifier: MIT */
/*
 * fail.c - which call fails.
 *
 * Counting is one atomic add, so under threads exactly one call is the n-th.
 * The random mode draws from a splitmix64 sequence numbered by that count:
 * no lock, and the k-th call's fate depends on seed and k alone.
 */
#include "base/fail.h"

#include <mmkit/port.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/prng.h"

static void arm(u32 mask, u64 nth, bool keep, u64 one_in, u64 seed)
{
	struct fail_state *f = &base_sys.fail;

	mm_assert((mask & ~FAIL_ALL) == 0);
	WRITE_ONCE(f->mask, 0);
	f->keep = keep;
	f->nth = nth;
	f->one_in = one_in;
	f->seed = seed;
	f->calls = 0;
	f->fired = 0;
	f->only = NULL;
	smp_store_release(&f->mask, mask);
	base_watch(WATCH_FAIL, mask != 0);
}

void fail_arm_nth(u32 mask, u64 n, bool keep)
{
	mm_assert(n > 0);
	arm(mask, n, keep, 0, 0);
}

void fail_arm_prob(u32 mask, u64 one_in, u64 seed)
{
	mm_assert(one_in > 0);
	arm(mask, 0, false, one_in, seed);
}

void fail_only_task(const struct mm_task *task)
{
	WRITE_ONCE(base_sys.fail.only, task);
}

struct fail_result fail_disarm(void)
{
	struct fail_state *f = &base_sys.fail;
	struct fail_result r;

	WRITE_ONCE(f->mask, 0);
	base_watch(WATCH_FAIL, false);
	r.calls = READ_ONCE(f->calls);
	r.fired = READ_ONCE(f->fired);
	f->only = NULL;
	mm_assert_le(r.fired, r.calls);
	return r;
}

/* Is the CALL-th call (from 1) one that fails? */
static bool is_hit(const struct fail_state *f, u64 call)
{
	struct prng p = {f->seed + call * PRNG_GAMMA};

	if (f->nth)
		return call == f->nth || (f->keep && call > f->nth);
	return prng_one_in(&p, f->one_in);
}

bool fail_check(enum fail_site site)
{
	struct fail_state *f = &base_sys.fail;
	const struct mm_task *only = READ_ONCE(f->only);

	mm_assert(site < FAIL_NR);
	if (only && only != port_current())
		return false;
	if (!(smp_load_acquire(&f->mask) & FAIL_MASK(site)))
		return false;
	if (!is_hit(f, mm_fetch_add(&f->calls, 1) + 1))
		return false;
	mm_fetch_add(&f->fired, 1);
	return true;
}

const char *fail_site_name(enum fail_site site)
{
	static const char *const name[FAIL_NR] = {
		[FAIL_PAGE_ALLOC] = "page_alloc",
		[FAIL_SLAB] = "slab",
		[FAIL_PGTABLE] = "pgtable",
		[FAIL_VMA] = "vma",
		[FAIL_SWAP_SLOT] = "swap_slot",
		[FAIL_CHARGE] = "charge",
		[FAIL_BIO_READ] = "bio_read",
		[FAIL_BIO_WRITE] = "bio_write",
		[FAIL_VMAP] = "vmap",
		[FAIL_PERCPU] = "percpu",
	};

	return site < FAIL_NR && name[site] ? name[site] : "?";
}
