/* SPDX-License-Identifier: MIT */
/*
 * errseq.c - an error, a "seen" bit and a count in one word.
 *
 * 1. Layout. Bits 0..11 the error as a positive number, bit 12 SEEN, the rest
 *    a count.
 *
 * 2. Why the count needs to move only after a look: an observer compares the
 *    whole word with the one that it saw, in which SEEN was set by its look.
 *    A new error either changes number or count, or finds SEEN clear: then
 *    nobody has looked since, and one observation covers both.
 *
 * 3. Invariants.
 *    ES-1  An observer that looks after an error was set sees an error, once.
 *    ES-2  An error that nobody saw is seen by who samples later.
 *
 * 4. Locking: compare-and-swap on the word; SINCE is the observer's.
 *
 * Reference: Linux documentation, core-api/errseq.
 */
#include <mmkit/errseq.h>

#include <mmkit/errno.h>

#include "base/assert.h"

#define ERRSEQ_ERR  0xfffu
#define ERRSEQ_SEEN 0x1000u
#define ERRSEQ_INC  0x2000u

static bool swap_word(errseq_t *eseq, errseq_t *old, errseq_t new)
{
	return __atomic_compare_exchange_n(eseq, old, new, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

errseq_t errseq_set(errseq_t *eseq, int err)
{
	errseq_t old = __atomic_load_n(eseq, __ATOMIC_ACQUIRE), new;

	mm_verify(err < 0 && err >= -(int)MAX_ERRNO);
	do {
		new = (old & ~(ERRSEQ_ERR | ERRSEQ_SEEN)) | (u32)-err;
		if (old & ERRSEQ_SEEN)
			new += ERRSEQ_INC;
	} while (new != old && !swap_word(eseq, &old, new));
	return new;
}

errseq_t errseq_sample(const errseq_t *eseq)
{
	errseq_t v = __atomic_load_n(eseq, __ATOMIC_ACQUIRE);

	return v & ERRSEQ_SEEN ? v : 0;
}

int errseq_check(const errseq_t *eseq, errseq_t since)
{
	errseq_t v = __atomic_load_n(eseq, __ATOMIC_ACQUIRE);

	return v == since ? 0 : -(int)(v & ERRSEQ_ERR);
}

int errseq_check_and_advance(errseq_t *eseq, errseq_t *since)
{
	errseq_t old = __atomic_load_n(eseq, __ATOMIC_ACQUIRE), new;

	if (old == *since)
		return 0;
	/* If this loses against an error, that one is told next time. */
	new = old | ERRSEQ_SEEN;
	if (new != old)
		(void)swap_word(eseq, &old, new);
	*since = new;
	return -(int)(new &ERRSEQ_ERR);
}
