/* SPDX-License-Identifier: MIT */
/*
 * ksm.h - kernel same-page merging: equal pages of programs that allow it
 * (MADV_MERGEABLE, PR_SET_MEMORY_MERGE) become one that is copied when written.
 *
 * Names, units and meanings are those of Linux's /sys/kernel/mm/ksm (Linux
 * documentation, admin-guide/mm/ksm). Nothing is merged until run is 1.
 */
#ifndef MMKIT_KSM_H
#define MMKIT_KSM_H

#include <mmkit/types.h>

struct mm_struct;
struct seq_buf;

/*
 * mm_ksm_set: write TEXT, a number or a word, blanks around it ignored, to the
 * file NAME ("run", "pages_to_scan", ...). run: 0 stops the daemon, 1 starts
 * it, 2 stops it and makes all shared pages private. After mm_boot(). May
 * sleep. 0; -ENOENT: no such file; -EACCES: it can only be read; -EINVAL: not a
 * number or word of this file, out of its range, or pages_to_scan while an
 * advisor sets it; -EBUSY: merge_across_nodes or max_page_sharing while pages
 * are shared; -ENOMEM: there was no memory to make all pages private: the
 * daemon stands still, what is private by now stays so, the rest stays shared
 * and 2 may be written again; or no thread for the daemon; -EINTR: the caller
 * is being killed. But for run 2 nothing has changed after a failure.
 */
int mm_ksm_set(const char *name, const char *text) MM_MUST_CHECK;

/* mm_ksm_get: append what reading the file NAME gives, newline included. 0 or
 * -ENOENT. Any context that may take a spinlock. */
int mm_ksm_get(const char *name, struct seq_buf *out);

/* mm_ksm_list: FN for each file, in the order of names; WRITABLE: it can be
 * written. */
void mm_ksm_list(void (*fn)(const char *name, bool writable, void *arg),
		 void *arg);

/* mm_ksm_scan: do the daemon's work for up to PAGES pages or to the end of the
 * full scan, in the caller's context; how many were looked at. For tests and
 * what-if runs, with or without the daemon. May sleep. */
u32 mm_ksm_scan(u32 pages);

/* What /proc/PID/ksm_stat says of MM; counts of pages. profit: bytes saved,
 * less what it costs to know. */
struct mm_ksm_usage {
	u64 rmap_items, zero_pages, merging_pages;
	s64 profit;
	bool merge_any, mergeable;
};
void mm_ksm_usage(struct mm_struct *mm, struct mm_ksm_usage *out);

/* mm_ksm_profit: the same of all spaces: general_profit. */
s64 mm_ksm_profit(void);

#endif
