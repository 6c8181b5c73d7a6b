/* SPDX-License-Identifier: MIT */
/*
 * tlb_batch.h - clear entries of many pages, flush once, then go on with them.
 *
 * Reclaim takes pages out of tables one by one, each of which may be mapped by
 * other spaces than the last. CPUs are told of all of them together. Until
 * then a CPU may still read and write a page through what it remembers, so
 * whoever holds a batch keeps the page locked, and neither writes nor frees it
 * (tlb_batch.c).
 */
#ifndef MM_SPACE_TLB_BATCH_H
#define MM_SPACE_TLB_BATCH_H

#include <mmkit/types.h>

struct mm_struct;

/* Spaces in one batch; what is cleared in more of them is flushed at once. */
#define TLB_BATCH_SPACES 8u

struct tlb_batch {
	u32 nr;
	bool prompt; /* CPUs are interrupted for accessed bits alone, too */
	struct tlb_batch_space {
		struct mm_struct *mm; /* a reference to the structure */
		uva_t start, end;     /* what was changed lies in here */
		bool cleared; /* entries went; else accessed bits alone */
	} space[TLB_BATCH_SPACES];
};

/* tlb_batch_init: begin; nothing gathered, and not prompt. */
void tlb_batch_init(struct tlb_batch *b);

/*
 * tlb_batch_add: MM's entry at ADDR was CLEARED, or lost its accessed bit; its
 * table's lock has been held since. B NULL: flush at once. MM is in use, or
 * has mappings yet.
 */
void tlb_batch_add(struct tlb_batch *b, struct mm_struct *mm, uva_t addr,
		   bool cleared);

/* tlb_batch_flush: no CPU remembers what was cleared, and soon none whose
 * accessed bit went (now, if B is prompt); B is empty again. May sleep. No
 * spinlock is held. */
void tlb_batch_flush(struct tlb_batch *b);

#endif
