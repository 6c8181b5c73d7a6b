/* SPDX-License-Identifier: MIT */
/*
 * memory_failure.h - RAM that lost its contents, and what becomes of who used
 * it.
 *
 * The machine's part (who finds the error: a machine check, a scrubber, a
 * test) calls memory_failure() with the frame. The frame is taken out of use
 * for good; contents that exist elsewhere, in a file or in swap, come from
 * there at the next use; of other contents the next use ends in SIGBUS with
 * code BUS_MCEERR_AR, in a read(2) in EIO.
 *
 * Source: A. Kleen, "mcelog: memory error handling in user space" (Linux
 * Kongress 2010); Linux documentation, mm/hwpoison, admin-guide/sysctl/vm;
 * madvise(2), prctl(2) PR_MCE_KILL.
 */
#ifndef MMKIT_MEMORY_FAILURE_H
#define MMKIT_MEMORY_FAILURE_H

#include <mmkit/mm.h>
#include <mmkit/types.h>

struct mm_task;

/* The caller's reference to the page becomes the call's, which drops it. */
#define MF_COUNT_INCREASED 0x1

/*
 * memory_failure: frame PFN has lost its contents. Returns 0: nobody will use
 * it again (what its users lost, they learn when they use it); -EHWPOISON: it
 * was known; -EBUSY: it is the kernel's or somebody holds it, so the error may
 * still strike, but the frame is not given out again once it is free; -ENXIO:
 * PFN is no RAM in use by the manager. Panics instead with
 * vm.memory_failure_recovery 0. Context: may sleep; no locks of pages, of
 * address spaces or of files held.
 */
int memory_failure(u64 pfn, int flags);

/*
 * soft_offline_page: frame PFN is suspect; its contents are still good. It is
 * taken out of use if that costs nobody anything: 0 if it is free, or holds a
 * page of a file that can be read again; -EBUSY if contents would have to be
 * moved, -EHWPOISON, -ENXIO as above. Context as above.
 */
int soft_offline_page(u64 pfn, int flags);

/*
 * unpoison_memory: the report of PFN was wrong (a test's). 0; -ENXIO if the
 * frame is not poisoned. A frame that was taken out of use is free again.
 * What users lost stays lost. Context as above.
 */
int unpoison_memory(u64 pfn);

/*
 * What the kernel around the manager does for users who want to know at once.
 * signal: TASK is to get INFO (SIGBUS, code MM_BUS_MCEERR_AO, the address,
 * how much is lost); called with the registry of tasks locked: must not sleep
 * nor call back. With none (NULL), nobody is told early.
 */
struct memory_failure_ops {
	void (*signal)(struct mm_task *task, const struct mm_siginfo *info);
};
void memory_failure_set_ops(const struct memory_failure_ops *ops);

/* prctl(2) PR_MCE_KILL and PR_MCE_KILL_GET: the running task's wish. set:
 * 0, -EINVAL. get: one of the three. */
#define PR_MCE_KILL_LATE    0 /* when I use it */
#define PR_MCE_KILL_EARLY   1 /* at once */
#define PR_MCE_KILL_DEFAULT 2 /* as vm.memory_failure_early_kill says */
int mm_mce_kill_set(int policy);
int mm_mce_kill_get(void);

#endif
