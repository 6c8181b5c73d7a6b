/* SPDX-License-Identifier: MIT */
/*
 * calls.h - for tests of system calls: what an address space looks like, so
 * that "nothing changed" can be said; and the loop that makes every allocation
 * of a call fail in turn.
 */
#ifndef TESTS_CALLS_H
#define TESTS_CALLS_H

#include "sim_machine.h"

#include "base/fail.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)

/* What a call that failed must have left as it was. */
struct call_state {
	u32 nr;
	struct {
		uva_t start, end;
		u64 flags;
		const void *policy;
	} vma[256];
	u64 total, data, stack, locked, def, committed, mlocked, rss, swap;
	uva_t brk, start_brk;
};

static inline void cs_get(struct mm_struct *mm, struct call_state *s)
{
	struct vm_area_struct *vma;

	memset(s, 0, sizeof(*s));
	mmap_read_lock(mm);
	for_each_vma (vma, mm) {
		CHECK(s->nr < ARRAY_SIZE(s->vma));
		s->vma[s->nr].start = vma->vm_start;
		s->vma[s->nr].end = vma->vm_end;
		s->vma[s->nr].flags = vma->vm_flags;
		s->vma[s->nr].policy = vma->vm_policy;
		s->nr++;
	}
	s->total = mm->total_vm;
	s->data = mm->data_vm;
	s->stack = mm->stack_vm;
	s->locked = mm->locked_vm;
	s->def = mm->def_flags;
	s->committed = space_sys.committed;
	s->mlocked = global_zone_page_state(NR_MLOCK);
	s->rss = mm_counter_get(mm, MM_ANONPAGES);
	s->swap = mm_counter_get(mm, MM_SWAPENTS);
	s->brk = mm->brk;
	s->start_brk = mm->start_brk;
	mmap_read_unlock(mm);
}

static inline bool cs_same(struct mm_struct *mm,
			   const struct call_state *before)
{
	struct call_state now;

	cs_get(mm, &now);
	return memcmp(&now, before, sizeof(now)) == 0;
}

/* CALL fails with ERR and leaves MM as it is. */
#define REFUSED(mm, call, err)                                        \
	do {                                                          \
		struct call_state before_;                            \
		cs_get(mm, &before_);                                 \
		CHECK_EQ(call, err);                                  \
		if (!cs_same(mm, &before_))                           \
			tm_fail(#call " changed the space", __FILE__, \
				__LINE__);                            \
	} while (0)

static inline u64 vma_flags_at(struct mm_struct *mm, uva_t at)
{
	struct vm_area_struct *vma;
	u64 flags = 0;

	mmap_read_lock(mm);
	vma = find_vma(mm, at);
	if (vma_contains(vma, at))
		flags = vma->vm_flags;
	mmap_read_unlock(mm);
	return flags;
}

static inline struct page *page_at(struct mm_struct *mm, uva_t at)
{
	pte_t e = tm_pte(mm, at);

	return pte_present(e) ? pfn_to_page(pte_pfn(e)) : NULL;
}

/*
 * Make the n-th allocation of OP fail, for each n, once and for good, until
 * OP runs through. SETUP makes a fresh space for each try, OP returns 0 or a
 * negative errno; after each try the space is checked. At least MIN failures
 * must have been met.
 */
struct fail_case {
	struct mm_struct *(*setup)(void);
	int (*op)(struct mm_struct *mm);
	bool changes_on_failure; /* the call may stop half way */
	u64 min;
};

static inline void fail_each(const struct fail_case *fc)
{
	u64 fired = 0;

	for (int keep = 0; keep < 2; keep++) {
		for (u64 n = 1;; n++) {
			struct mm_struct *mm = fc->setup();
			struct call_state before;
			struct fail_result r;
			int err;

			snprintf(tm_context, sizeof(tm_context),
				 "allocation %llu fails, keep %d",
				 (unsigned long long)n, keep);
			tm_use(mm);
			cs_get(mm, &before);
			fail_arm_nth(FAIL_ALL & ~FAIL_MASK(FAIL_BIO_WRITE), n,
				     keep != 0);
			fail_only_task(port_current());
			err = fc->op(mm);
			r = fail_disarm();
			fired += r.fired;
			if (err && !fc->changes_on_failure)
				CHECK(cs_same(mm, &before));
			mm_check(mm);
			if (err)
				CHECK_EQ(fc->op(mm), 0);
			mm_check(mm);
			tm_use(NULL);
			mm_put(mm);
			if (!r.fired)
				break;
		}
	}
	tm_context[0] = 0;
	CHECK(fired >= fc->min);
}

#endif
