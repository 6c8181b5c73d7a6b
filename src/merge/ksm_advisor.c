/* SPDX-License-Identifier: MIT */
/*
 * ksm_advisor.c - how many pages to look at before each sleep.
 *
 * The scan-time advisor wants a full scan to take advisor_target_scan_time
 * seconds. At the end of each it compares: with twice the time, twice the
 * pages. One odd scan should not swing it: what is missing is averaged, a scan
 * weighs 30 per cent. Beyond advisor_max_cpu per cent of a CPU it does not go,
 * nor out of [advisor_min_pages_to_scan, advisor_max_pages_to_scan].
 *
 * Reference: Linux documentation, admin-guide/mm/ksm (advisor).
 */
#include <mmkit/errno.h>

#include "base/assert.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "merge/ksm.h"

#define EWMA_WEIGHT 30u

void ksm_advisor_start(void)
{
	struct ksm_advisor_state *a = &merge_sys.advisor;

	a->start_ns = port_now_ns();
	a->busy_ns = 0;
}

void ksm_advisor_busy(u64 ns)
{
	merge_sys.advisor.busy_ns += ns;
}

static u64 clamp_u64(u64 v, u64 lo, u64 hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* Pages for the next scan, after one of NS with CPU per cent. */
static u64 advise(struct ksm_advisor_state *a, u64 ns, u64 cpu)
{
	u64 target = max(a->target_scan_time, 1UL) * 1000000000UL;
	u64 factor = clamp_u64(ns / (target / 100), 1, 10000);
	u64 pages;

	a->change =
		(a->change * (100 - EWMA_WEIGHT) + factor * EWMA_WEIGHT) / 100;
	pages = merge_sys.pages_to_scan * max(a->change, 1UL) / 100;
	if (cpu > a->max_cpu)
		pages = min(pages,
			    (u64)merge_sys.pages_to_scan * a->max_cpu / cpu);
	return clamp_u64(pages, a->min_pages_to_scan, a->max_pages_to_scan);
}

void ksm_advisor_stop(void)
{
	struct ksm_advisor_state *a = &merge_sys.advisor;
	u64 ns = port_now_ns() - a->start_ns, cpu;

	if (a->mode == KSM_ADVISOR_NONE)
		return;
	cpu = ns ? min(a->busy_ns, ns) * 100 / ns : 0;
	WRITE_ONCE(merge_sys.pages_to_scan, (u32)advise(a, ns, cpu));
	trace_emit(KSM_ADVISOR, ns / 1000000, merge_sys.pages_to_scan, cpu);
}

int ksm_advisor_select(const char *name)
{
	struct ksm_advisor_state *a = &merge_sys.advisor;

	mutex_assert_held(&merge_sys.mutex);
	if (!mm_strcmp(name, "none")) {
		a->mode = KSM_ADVISOR_NONE;
		WRITE_ONCE(merge_sys.pages_to_scan, 100);
		return 0;
	}
	if (mm_strcmp(name, "scan-time"))
		return -EINVAL;
	if (a->mode != KSM_ADVISOR_SCAN_TIME) {
		a->mode = KSM_ADVISOR_SCAN_TIME;
		a->change = 100;
		a->start_ns = port_now_ns();
		WRITE_ONCE(merge_sys.pages_to_scan, (u32)a->min_pages_to_scan);
	}
	return 0;
}
