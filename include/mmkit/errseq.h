/* SPDX-License-Identifier: MIT */
/*
 * errseq.h - the last error of something, told to each observer once.
 *
 * Twelve bits of error, a bit that says that somebody has seen it, and a
 * count that moves only when an error comes after a look: so a record costs
 * nothing while nobody looks, and no look misses a new error. 0 means that
 * there never was one. Linux's names; idea: J. Layton, errseq_t (Linux
 * documentation, core-api/errseq).
 */
#ifndef MMKIT_ERRSEQ_H
#define MMKIT_ERRSEQ_H

#include <mmkit/types.h>

typedef u32 errseq_t;

/* errseq_set: ERR (-MAX_ERRNO .. -1) happened. Any context. The new value. */
errseq_t errseq_set(errseq_t *eseq, int err);

/*
 * errseq_sample: where a new observer starts. An error that nobody has seen
 * is for the newcomer too: then 0, else the present value.
 */
errseq_t errseq_sample(const errseq_t *eseq);

/* errseq_check: the error since SINCE was sampled, or 0. Marks nothing. */
int errseq_check(const errseq_t *eseq, errseq_t since);

/*
 * errseq_check_and_advance: the same, marks the error as seen and brings
 * *SINCE, which the caller protects, up to date: told once per observer.
 */
int errseq_check_and_advance(errseq_t *eseq, errseq_t *since);

#endif
