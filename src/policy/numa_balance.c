/* SPDX-License-Identifier: MIT */
/*
 * numa_balance.c - how often which space gets hint entries.
 *
 * 1. Purpose. Hints cost a fault each (space/numa_hint.c). A program whose
 *    pages lie well should meet few, one that has just moved many.
 *
 * 2. Way. Each space has a period, in which all of it is looked at once, in
 *    pieces of scan_size_mb. A new one is left alone for scan_delay_ms; most
 *    programs have ended by then. At the end of a pass the period follows what
 *    its faults said: seven of ten from the page's own node, or none at all,
 *    and it doubles, to scan_period_max_ms; else it is halved, to
 *    scan_period_min_ms.
 *
 * 3. The daemon sleeps until the first space is due, and looks for new ones
 *    every scan_delay_ms. It is started when kernel.numa_balancing is first
 * set.
 *
 * 4. Invariants. Who looks at a space holds a user of it. A space's numbers are
 *    the daemon's, but for the counts of faults.
 *
 * Reference: Linux documentation, admin-guide/sysctl/kernel.
 */
#include <mmkit/port.h>

#include "base/epoch.h"
#include "policy/policy.h"
#include "space/numa_hint.h"

#define NS_PER_MS 1000000UL
/* A space is not looked at more often than this. */
#define LEAST_MS 10u

static struct numa_balancing *nb(void)
{
	return &space_sys.numa;
}

static u64 scan_pages(void)
{
	return (u64)max(READ_ONCE(nb()->scan_size_mb), 1u) << (20 - PAGE_SHIFT);
}

/* A pass over MM has ended: the next period. */
static void adapt_period(struct mm_struct *mm)
{
	struct mm_numa *n = &mm->numa;
	u32 lo = READ_ONCE(nb()->scan_period_min_ms);
	u32 hi = max(READ_ONCE(nb()->scan_period_max_ms), lo);
	u64 local = __atomic_exchange_n(&n->local, 0, __ATOMIC_RELAXED);
	u64 remote = __atomic_exchange_n(&n->remote, 0, __ATOMIC_RELAXED);

	if (local * 10 >= (local + remote) * 7)
		n->period_ms = n->period_ms > hi / 2 ? hi : n->period_ms * 2;
	else
		n->period_ms /= 2;
	n->period_ms = max(min(n->period_ms, hi), lo);
	n->passes++;
}

/* How long until MM's next piece. */
static u64 piece_ns(const struct mm_struct *mm)
{
	u64 pieces = READ_ONCE(mm->total_vm) / scan_pages() + 1;

	return max(mm->numa.period_ms / pieces, (u64)LEAST_MS) * NS_PER_MS;
}

/* MM's turn, if it has come; when the next is. */
static u64 look_at(struct mm_struct *mm, u64 now)
{
	struct mm_numa *n = &mm->numa;

	if (!n->next_ns) {
		n->period_ms = max(READ_ONCE(nb()->scan_period_min_ms), 1u);
		n->next_ns = now + READ_ONCE(nb()->scan_delay_ms) * NS_PER_MS;
	}
	if (now >= n->next_ns) {
		if (numa_scan_space(mm, scan_pages()))
			adapt_period(mm);
		n->next_ns = now + piece_ns(mm);
	}
	return n->next_ns;
}

/* All spaces; how long until there is something to do again. */
static u64 balance_round(void)
{
	u64 delay = READ_ONCE(nb()->scan_delay_ms) * NS_PER_MS;
	u64 now = port_now_ns(), next = now + max(delay, LEAST_MS * NS_PER_MS);
	struct mm_struct *mm;

	for (mm = next_space(NULL); mm; mm = next_space(mm)) {
		if (READ_ONCE(policy_sys.stop)) {
			mm_put(mm);
			break;
		}
		next = min(next, look_at(mm, now));
		port_sched_point();
	}
	now = port_now_ns();
	return max(next, now + NS_PER_MS) - now;
}

static bool must_look(void)
{
	return READ_ONCE(policy_sys.stop) || READ_ONCE(nb()->ask);
}

static void numa_balanced(void *arg)
{
	(void)arg;
	while (!READ_ONCE(policy_sys.stop)) {
		WRITE_ONCE(nb()->ask, false);
		if (READ_ONCE(nb()->mode))
			wait_event_timeout(nb()->wait, must_look(),
					   balance_round());
		else
			wait_event(nb()->wait, must_look());
		epoch_poll();
	}
	port_current()->flags |= PF_EXITING;
}

void numa_balancing_changed(void)
{
	struct numa_balancing *n = nb();

	if (READ_ONCE(n->mode)) {
		numa_hint_start();
		if (!n->daemon && port_thread_start(&n->daemon, "numa_balanced",
						    -1, numa_balanced, NULL))
			n->daemon = NULL;
	}
	WRITE_ONCE(n->ask, true);
	wake_up_all(&n->wait);
}

void numa_balancing_stop(void)
{
	struct numa_balancing *n = nb();

	if (n->daemon) {
		wake_up_all(&n->wait);
		port_thread_join(n->daemon);
		n->daemon = NULL;
	}
	numa_hint_stop();
}
