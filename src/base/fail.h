/* SPDX-License-Identifier: MIT */
/*
 * fail.h - fault injection: every place that can fail asks here first.
 *
 *	if (fail_should(FAIL_SLAB))
 *		return NULL;
 *
 * Off, the question costs one load and a branch. Armed over a mask of sites,
 * the calls to those sites are counted together and the n-th fails (once, or
 * it and all later ones), or each fails with a probability. The count that
 * fail_disarm() returns lets a test fail each call of a run in turn.
 */
#ifndef MM_BASE_FAIL_H
#define MM_BASE_FAIL_H

#include "base/system.h"

enum fail_site {
	FAIL_PAGE_ALLOC,
	FAIL_SLAB,
	FAIL_PGTABLE,
	FAIL_VMA,
	FAIL_SWAP_SLOT,
	FAIL_CHARGE,
	FAIL_BIO_READ,
	FAIL_BIO_WRITE,
	FAIL_VMAP,
	FAIL_PERCPU,
	FAIL_NR
};

#define FAIL_MASK(site) (1u << (site))
#define FAIL_ALL	((1u << FAIL_NR) - 1)

struct fail_result {
	u64 calls; /* calls to the armed sites since they were armed */
	u64 fired; /* how many of them failed */
};

/* fail_check: the slow half of fail_should(). */
bool fail_check(enum fail_site site);

/* fail_should: must this call at SITE fail? Any context. */
static inline bool fail_should(enum fail_site site)
{
	u32 mask = READ_ONCE(base_sys.fail.mask);

	return unlikely(mask & FAIL_MASK(site)) && fail_check(site);
}

/*
 * fail_arm_nth: the N-th call (from 1) over all sites of MASK fails; with
 * KEEP all later ones as well. N beyond the run just counts. Any task counts,
 * until fail_only_task().
 */
void fail_arm_nth(u32 mask, u64 n, bool keep);

/* fail_arm_prob: each call fails with probability 1/ONE_IN, by SEED. */
void fail_arm_prob(u32 mask, u64 one_in, u64 seed);

/* fail_only_task: from now on until re-armed only TASK's calls count. */
void fail_only_task(const struct mm_task *task);

/* fail_disarm: off; returns what happened since it was armed. */
struct fail_result fail_disarm(void);

/* fail_site_name: "page_alloc", ...; "?" out of range. */
const char *fail_site_name(enum fail_site site);

#endif
