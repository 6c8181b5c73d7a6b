/* SPDX-License-Identifier: MIT */
/*
 * tlb_batch.c - one flush for many pages of reclaim.
 *
 * 1. Purpose. To take a page away costs an interrupt of each CPU that runs the
 *    space, which is more than all else that is done to the page. Thirty-two
 *    pages that go together need no more interrupts than one.
 *
 * 2. Way. The entry goes, and its space and address are noted. When the batch
 *    is over, each space is flushed once, by page if what was noted lies close
 *    together. An accessed bit that was cleared is noted likewise: a CPU that
 *    remembers the entry would not set it again. But nobody is interrupted for
 *    that alone (port_tlb_flush_aged()), unless who asks looks again before
 *    a tick is over (DAMON).
 *
 * 3. Invariants.
 *    TLB-2  A page whose entries were cleared in a batch is locked until the
 *           batch is flushed. So nobody writes it to disk, frees it, or brings
 *           it back as another page: all of that needs the lock.
 *    TLB-3  mm->unflushed counts the batches that cleared entries of MM. It is
 *           raised under the lock of the entry's table, and falls after the
 *           flush. Who gives an address away without asking for the page
 *           (zap.c) looks at it under the same lock, and flushes himself.
 *           Everybody else who changes entries flushes the range in any case.
 *    A page of which MADV_FREE gave up the contents is the exception: the next
 *    use of its address needs no page lock, so it is never left in a batch.
 *
 * 4. Locking. A batch belongs to one task. A space is held by a reference to
 *    its structure, which keeps its tag from being given to another one.
 *
 * References: Linux documentation, x86/tlb; M. Gorman, "TLB flush multiple
 * pages per IPI v7" (2015), the description of the series.
 */
#include "space/tlb_batch.h"

#include "space/space.h"

void tlb_batch_init(struct tlb_batch *b)
{
	b->nr = 0;
	b->prompt = false;
}

/* The place of MM in B; NULL: there is no room. */
static struct tlb_batch_space *batch_space(struct tlb_batch *b,
					   struct mm_struct *mm)
{
	struct tlb_batch_space *s;

	for (u32 i = 0; i < b->nr; i++)
		if (b->space[i].mm == mm)
			return &b->space[i];
	if (b->nr == TLB_BATCH_SPACES)
		return NULL;
	s = &b->space[b->nr++];
	*s = (struct tlb_batch_space){.mm = mm, .start = ~0UL};
	mm_grab(mm);
	return s;
}

static void flush(const struct mm_struct *mm, uva_t start, uva_t end, bool now)
{
	if (now)
		port_tlb_flush(&mm->cpus, mm->asid, start, end);
	else
		port_tlb_flush_aged(&mm->cpus, mm->asid, start, end);
}

void tlb_batch_add(struct tlb_batch *b, struct mm_struct *mm, uva_t addr,
		   bool cleared)
{
	struct tlb_batch_space *s = b ? batch_space(b, mm) : NULL;

	if (!s) {
		flush(mm, addr, addr + PAGE_SIZE, cleared || (b && b->prompt));
		return;
	}
	s->start = min(s->start, addr);
	s->end = max(s->end, addr + PAGE_SIZE);
	if (!cleared || s->cleared)
		return;
	s->cleared = true;
	/* The table's lock, when it is given up, lets others see it. */
	__atomic_fetch_add(&mm->unflushed, 1, __ATOMIC_RELAXED);
}

void tlb_batch_flush(struct tlb_batch *b)
{
	for (u32 i = 0; i < b->nr; i++) {
		struct tlb_batch_space *s = &b->space[i];
		struct mm_struct *mm = s->mm;

		flush(mm, s->start, s->end, s->cleared || b->prompt);
		if (s->cleared)
			__atomic_fetch_sub(&mm->unflushed, 1, __ATOMIC_RELEASE);
		mm_drop(mm);
	}
	b->nr = 0;
}
