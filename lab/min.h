/* SPDX-License-Identifier: MIT */
/*
 * min.h - the offline optimum of page replacement (Belady's MIN).
 *
 * Feed the order in which pages were referenced, and the deaths of pages;
 * then ask, for any number of frames, how many page-ins of pages that had
 * been evicted before no replacement policy can avoid. First touches are not
 * page-ins, nor is the first touch after a death. A dead page frees its
 * frame. Memory: 4 bytes per reference and 4 per page id; a question needs
 * one bit more per reference. Not for use by several threads at once.
 */
#ifndef LAB_MIN_H
#define LAB_MIN_H

#include <mmkit/types.h>

#define MIN_MAX_REFS 0x7ffffffeu
#define MIN_FAILED   UINT64_MAX

struct min;

/* min_create: NULL without memory. min_destroy: also of NULL. */
struct min *min_create(void) MM_MUST_CHECK;
void min_destroy(struct min *m);

/*
 * min_ref: PAGE is referenced. Ids should be dense, since a table is indexed
 * by them. A reference to the same page as the one before costs nothing.
 * Returns 0, -ENOMEM, or -EOVERFLOW after MIN_MAX_REFS references; M is
 * unchanged then.
 */
int min_ref(struct min *m, u32 page) MM_MUST_CHECK;

/*
 * min_kill: PAGE's contents are gone (unmapped, discarded, exited); if the id
 * is referenced again, that is a first touch. No effect on unknown pages.
 */
void min_kill(struct min *m, u32 page);

/* min_refs, min_first: references stored; how many were first touches. */
u64 min_refs(const struct min *m);
u64 min_first(const struct min *m);

/*
 * min_pageins: the least number of page-ins with FRAMES frames (at least 1 is
 * assumed), or MIN_FAILED without memory. May be called for several numbers;
 * time is linear in the references.
 */
u64 min_pageins(const struct min *m, u64 frames);

#endif
