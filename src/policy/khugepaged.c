/* SPDX-License-Identifier: MIT */
/*
 * khugepaged.c - the daemon that makes huge pages of small ones.
 *
 * 1. Purpose. Memory that came page by page, or lost its large entry, gets one
 *    while its program runs, without the program's help.
 *
 * 2. Way. Rounds over all spaces: khugepaged looks at pages_to_scan pages,
 *    region by region (space/collapse.c), and sleeps scan_sleep_millisecs. A
 *    space that was seen in this pass carries the pass's number, and where to
 *    go on if the round ended in it; so spaces may come and go. When a block
 *    could not be had it sleeps alloc_sleep_millisecs.
 *
 * 3. Invariants. A space is held (mm_users) while it is looked at, so that it
 *    does not go; the mmap lock is only held for one region.
 *
 * 4. Off (enabled is never) it sleeps until a tunable is written.
 *
 * Reference: Linux documentation, admin-guide/mm/transhuge.
 */
#include <mmkit/port.h>

#include "base/epoch.h"
#include "policy/policy.h"
#include "space/collapse.h"

/* The next region of MM from its thp_at on that may be made huge; 0: none. */
static uva_t next_region(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	uva_t va = 0;

	mmap_read_lock(mm);
	for (vma = find_vma(mm, mm->thp_at); vma && !va; vma = vma_next(vma)) {
		uva_t at =
			ALIGN(max(vma->vm_start, mm->thp_at), HPAGE_PMD_SIZE);

		if (thp_vma_allowed(vma) && READ_ONCE(vma->anon_vma) &&
		    at + HPAGE_PMD_SIZE <= vma->vm_end)
			va = at;
	}
	mmap_read_unlock(mm);
	return va;
}

/* Regions of MM, to the end of it or of *PAGES. False: no block was to be had.
 */
static bool scan_space(struct mm_struct *mm, u64 *pages)
{
	struct thp_state *thp = &space_sys.thp;

	while (*pages && !READ_ONCE(policy_sys.stop)) {
		uva_t va = next_region(mm);
		enum thp_result r;

		if (!va) {
			mm->thp_at = 0;
			mm->thp_pass = thp->pass;
			return true;
		}
		mm->thp_at = va + HPAGE_PMD_SIZE;
		*pages -= min(*pages, (u64)HPAGE_PMD_NR);
		r = thp_collapse(mm, va, false);
		if (r == THP_SUCCEED || r == THP_PROMOTED)
			__atomic_fetch_add(&thp->pages_collapsed, 1,
					   __ATOMIC_RELAXED);
		if (r == THP_ALLOC_FAIL)
			return false;
		port_sched_point();
	}
	return true;
}

/* A round. False: no block was to be had. */
static bool khugepaged_round(void)
{
	u64 pages = READ_ONCE(space_sys.thp.pages_to_scan);
	struct mm_struct *mm;
	bool done = true;

	for (mm = next_space(NULL); mm; mm = next_space(mm)) {
		if (mm->thp_pass == space_sys.thp.pass)
			continue;
		done = scan_space(mm, &pages);
		if (done && pages && !READ_ONCE(policy_sys.stop))
			continue;
		mm_put(mm);
		return done;
	}
	space_sys.thp.pass++;
	__atomic_fetch_add(&space_sys.thp.full_scans, 1, __ATOMIC_RELAXED);
	return done;
}

static bool khugepaged_due(void)
{
	return READ_ONCE(policy_sys.stop) || READ_ONCE(space_sys.thp.ask);
}

static void khugepaged_sleep(bool done)
{
	struct thp_state *thp = &space_sys.thp;
	u64 ms = done ? READ_ONCE(thp->scan_sleep_millisecs)
		      : READ_ONCE(thp->alloc_sleep_millisecs);

	if (READ_ONCE(thp->enabled) == THP_NEVER)
		wait_event(thp->wait, khugepaged_due());
	else
		wait_event_timeout(thp->wait, khugepaged_due(),
				   max(ms, (u64)1) * 1000000);
	WRITE_ONCE(thp->ask, false);
}

static void khugepaged(void *arg)
{
	bool done = true;

	(void)arg;
	while (!READ_ONCE(policy_sys.stop)) {
		khugepaged_sleep(done);
		if (READ_ONCE(policy_sys.stop))
			break;
		if (READ_ONCE(space_sys.thp.enabled) != THP_NEVER)
			done = khugepaged_round();
		epoch_poll();
	}
	port_current()->flags |= PF_EXITING;
}

int khugepaged_run(void)
{
	return port_thread_start(&space_sys.thp.khugepaged, "khugepaged", -1,
				 khugepaged, NULL);
}
