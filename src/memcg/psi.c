/* SPDX-License-Identifier: MIT */
/*
 * psi.c - how much time is lost for lack of memory.
 *
 * 1. Purpose. That a group is at its limit says nothing of whether it suffers.
 *    What it suffers is time: its tasks reclaim, are slowed down, or read back
 *    what they had before. "some" is the time in which at least one task lost
 *    it so, "full" that in which all did.
 *
 * 2. Way. A task that enters and leaves a stall counts itself in and out of
 *    its group and of all above it. Whenever the number of stalled tasks (or
 *    of tasks) changes, and when somebody reads, the time since the last
 *    change is added to the totals that were running.
 *
 *    Averages over 10, 60 and 300 seconds move every two seconds by
 *    avg += (sample - avg) * (1 - exp(-2 / window)). Nobody's clock ticks for
 *    that: who looks makes up for all periods that have passed, with their
 *    growth spread evenly over them.
 *
 * 3. What is different. Linux knows which tasks are runnable, and does not
 *    count those that sleep; this manager does not see the scheduler, and "all
 *    tasks" are all that belong to the group. So "full" here is at most what it
 *    would be there.
 *
 * 4. Locking. One lock per group; one is held at a time.
 *
 * Reference: Linux documentation, accounting/psi and admin-guide/cgroup-v2.
 */
#include "memcg/psi.h"

#include <mmkit/port.h>

#include "memcg/memcg.h"

#define PSI_PERIOD_NS 2000000000UL
/* Periods that are made up for one by one; more leave nothing of before. */
#define PSI_CATCH_UP 1024u

/* exp(-2 / window) << 16. */
static const u64 psi_keep[NR_PSI_WINDOWS] = {53656, 63387, 65101};

void psi_init(struct memcg_psi *psi)
{
	spin_lock_init(&psi->lock, LOCK_CLASS_CHARGE);
	psi->since_ns = psi->period_ns = port_now_ns();
}

/* The totals up to NOW. Lock held. */
static void psi_account(struct memcg_psi *psi, u64 now)
{
	u64 delta = now > psi->since_ns ? now - psi->since_ns : 0;

	if (psi->stalled)
		psi->total[PSI_SOME] += delta;
	if (psi->stalled && psi->stalled >= psi->tasks)
		psi->total[PSI_FULL] += delta;
	psi->since_ns = max(now, psi->since_ns);
}

static void psi_average(struct memcg_psi *psi, int kind, u64 periods)
{
	u64 grown = psi->total[kind] - psi->at_period[kind];
	u64 span_us = periods * (PSI_PERIOD_NS / 1000);
	u64 sample = (min(grown / 1000, span_us) * 100 << 16) / span_us;

	for (int w = 0; w < NR_PSI_WINDOWS; w++) {
		u64 avg = psi->avg[kind][w];

		for (u64 i = 0; i < min(periods, (u64)PSI_CATCH_UP); i++)
			avg = (avg * psi_keep[w] +
			       sample * ((1u << 16) - psi_keep[w])) >>
			      16;
		psi->avg[kind][w] = avg;
	}
	psi->at_period[kind] = psi->total[kind];
}

/* Averages up to the last whole period before NOW. Lock held. */
static void psi_catch_up(struct memcg_psi *psi, u64 now)
{
	u64 periods = now > psi->period_ns
			      ? (now - psi->period_ns) / PSI_PERIOD_NS
			      : 0;

	if (!periods)
		return;
	psi_average(psi, PSI_SOME, periods);
	psi_average(psi, PSI_FULL, periods);
	psi->period_ns += periods * PSI_PERIOD_NS;
}

static void psi_change(struct memcg_psi *psi, s32 stalled, s32 tasks)
{
	u64 now = port_now_ns();
	bool turn;

	spin_lock(&psi->lock);
	psi_account(psi, now);
	psi_catch_up(psi, now);
	mm_verify((s64)psi->stalled + stalled >= 0);
	mm_verify((s64)psi->tasks + tasks >= 0);
	psi->stalled += (u32)stalled;
	turn = !psi->tasks != !(psi->tasks + (u32)tasks);
	psi->tasks += (u32)tasks;
	psi->turns += turn;
	spin_unlock(&psi->lock);
	if (turn)
		memcg_changed();
}

/* MEMCG, all above it, and the machine. */
static void psi_change_all(struct memcg *memcg, s32 stalled, s32 tasks)
{
	for (; memcg; memcg = memcg->parent)
		psi_change(&memcg->psi, stalled, tasks);
	psi_change(&memcg_sys.root_psi, stalled, tasks);
}

void psi_tasks(struct memcg *memcg, s32 n)
{
	if (!memcg) {
		psi_change(&memcg_sys.root_psi, 0, n);
		return;
	}
	for (; memcg; memcg = memcg->parent)
		psi_change(&memcg->psi, 0, n);
}

void psi_memstall_enter(struct memstall *s)
{
	struct mm_task *task = port_current();

	*s = (struct memstall){NULL, false};
	/* Daemons lose nobody's time; who stalls already is counted. */
	if ((task->flags & (PF_KSWAPD | PF_KTHREAD)) || task->in_memstall ||
	    !task->pid)
		return;
	task->in_memstall = true;
	s->memcg = memcg_task_group(task);
	s->counted = true;
	psi_change_all(s->memcg, 1, 0);
}

void psi_memstall_leave(struct memstall *s)
{
	if (!s->counted)
		return;
	psi_change_all(s->memcg, -1, 0);
	if (s->memcg)
		memcg_put(s->memcg, 1);
	port_current()->in_memstall = false;
}

static struct memcg_psi *psi_of(struct memcg *memcg)
{
	return memcg ? &memcg->psi : &memcg_sys.root_psi;
}

u64 psi_total(struct memcg *memcg, enum psi_kind kind)
{
	struct memcg_psi *psi = psi_of(memcg);
	u64 total;

	spin_lock(&psi->lock);
	psi_account(psi, port_now_ns());
	total = psi->total[kind];
	spin_unlock(&psi->lock);
	return total;
}

u64 psi_turns(struct memcg *memcg)
{
	struct memcg_psi *psi = psi_of(memcg);
	u64 turns;

	spin_lock(&psi->lock);
	turns = psi->turns;
	spin_unlock(&psi->lock);
	return turns;
}

void psi_read(struct memcg *memcg, struct psi_text *out)
{
	struct memcg_psi *psi = psi_of(memcg);
	u64 now = port_now_ns();

	spin_lock(&psi->lock);
	psi_account(psi, now);
	psi_catch_up(psi, now);
	for (int k = 0; k < NR_PSI_KINDS; k++) {
		out->total_us[k] = psi->total[k] / 1000;
		for (int w = 0; w < NR_PSI_WINDOWS; w++)
			out->avg[k][w] = psi->avg[k][w] * 100 >> 16;
	}
	spin_unlock(&psi->lock);
}
