/* SPDX-License-Identifier: MIT */
/*
 * limits.c - settings of a group, and what a new one, or one that is passed,
 * leads to.
 *
 * 1. memory.max is kept by who charges (charge.c). A new one below what is in
 *    use: whoever sets it reclaims, then kills, until it fits or there is
 *    nobody left.
 *
 * 2. memory.high is no limit but a brake. A task that used more reclaims what
 *    it added (in each group that is beyond), at the latest when it goes back
 *    to its program, and then waits: by the square of how far the group is
 *    beyond, relative to high, so that a little costs nothing that is noticed,
 *    and a group that cannot be reclaimed nearly stands still. Nobody is
 *    killed for it. While it is inside the manager a task reclaims when it is
 *    two batches beyond, but does not wait: it may hold locks.
 *
 * 3. min and low: protect.c.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2 (memory.high,
 * memory.max, memory.reclaim).
 */
#include <mmkit/errno.h>
#include <mmkit/port.h>

#include "memcg/limits.h"

#define LIMIT_RETRIES 16
/* A wait for being twice memory.high with one batch; the longest one. */
#define HIGH_DELAY_NS	  1000000000UL
#define HIGH_DELAY_MAX_NS 2000000000UL
/* Shorter ones are not worth the way. */
#define HIGH_DELAY_MIN_NS 10000000UL

static bool dying(void)
{
	return READ_ONCE(port_current()->fatal_signal) != 0;
}

static u64 reclaim(struct memcg *memcg, u64 nr, gfp_t gfp)
{
	const struct memcg_ops *ops = READ_ONCE(memcg_sys.ops);

	return ops ? ops->reclaim(memcg, nr, gfp, true) : 0;
}

static bool out_of_memory(struct memcg *memcg)
{
	const struct memcg_ops *ops = READ_ONCE(memcg_sys.ops);

	memcg_event(memcg, MEMCG_OOM);
	return ops && ops->oom(memcg, GFP_KERNEL, 0);
}

/* Reclaim until MEMCG uses LIMIT at most. KILL: at any price. */
static void shrink_to(struct memcg *memcg, u64 limit, bool kill)
{
	int retries = LIMIT_RETRIES;
	bool drained = false;

	for (;;) {
		u64 usage = memcg_usage(&memcg->memory);

		if (usage <= limit || dying())
			return;
		if (!drained) {
			memcg_drain(memcg);
			drained = true;
		} else if (retries) {
			retries -= !reclaim(memcg, usage - limit, GFP_KERNEL);
		} else if (!kill || !out_of_memory(memcg)) {
			return;
		}
	}
}

void memcg_set_max(struct memcg *memcg, u64 pages)
{
	WRITE_ONCE(memcg->memory.max, pages);
	shrink_to(memcg, pages, true);
}

void memcg_set_high(struct memcg *memcg, u64 pages)
{
	WRITE_ONCE(memcg->memory.high, pages);
	shrink_to(memcg, pages, false);
}

void memcg_set_protection(struct memcg *memcg, u64 pages, bool low)
{
	bool was, is;

	spin_lock(&memcg_sys.lock);
	was = memcg->min || memcg->low;
	WRITE_ONCE(*(low ? &memcg->low : &memcg->min),
		   memcg->online ? pages : 0);
	is = memcg->min || memcg->low;
	WRITE_ONCE(memcg_sys.nr_protected,
		   memcg_sys.nr_protected + (u32)is - (u32)was);
	spin_unlock(&memcg_sys.lock);
}

int memcg_reclaim(struct memcg *memcg, u64 pages)
{
	int retries = LIMIT_RETRIES;
	u64 done = 0;

	while (done < pages) {
		u64 freed;

		if (dying())
			return -EINTR;
		/* The last try must not miss what waits in batches. */
		freed = reclaim(memcg, pages - done, GFP_KERNEL);
		if (!freed && !retries--)
			return -EAGAIN;
		done += freed;
	}
	return 0;
}

/* Each group from MEMCG up that is beyond its high gives NR pages back. */
static void reclaim_high(struct memcg *memcg, u64 nr)
{
	for (; memcg; memcg = memcg->parent) {
		if (memcg_usage(&memcg->memory) <=
		    READ_ONCE(memcg->memory.high))
			continue;
		memcg_event(memcg, MEMCG_HIGH);
		(void)reclaim(memcg, nr, GFP_KERNEL);
	}
}

/* How far C is beyond its high, in 1024ths of it. */
static u64 overage(const struct memcg_counter *c)
{
	u64 usage = memcg_usage(c), high = READ_ONCE(c->high);

	if (usage <= high)
		return 0;
	return ((usage - high) << 10) / max(high, (u64)1);
}

/* How long who added NR pages waits. */
static u64 high_delay(const struct memcg *memcg, u64 nr)
{
	u64 most = 0, delay;

	for (; memcg; memcg = memcg->parent) {
		most = max(most, overage(&memcg->memory));
		most = max(most, overage(&memcg->swap));
	}
	most = min(most, (u64)64 << 10);
	delay = (most * most * (HIGH_DELAY_NS >> 10) >> 10) *
		min(nr, (u64)16 * MEMCG_BATCH) / MEMCG_BATCH;
	return min(delay, HIGH_DELAY_MAX_NS);
}

void memcg_high_now(struct memcg *memcg)
{
	struct mm_task *task = port_current();

	if (task->flags & PF_MEMALLOC)
		return;
	task->over_high -= MEMCG_BATCH;
	reclaim_high(memcg, MEMCG_BATCH);
}

void memcg_handle_over_high(void)
{
	struct mm_task *task = port_current();
	u64 nr = task->over_high, delay;
	struct memcg *memcg;
	struct memstall stall;

	if (task->flags & PF_MEMALLOC)
		return;
	task->over_high = 0;
	memcg = memcg_task_group(task);
	if (!memcg || !nr)
		return;
	psi_memstall_enter(&stall);
	reclaim_high(memcg, max(nr, (u64)MEMCG_BATCH));
	delay = high_delay(memcg, nr);
	if (delay >= HIGH_DELAY_MIN_NS && !dying())
		port_park(delay);
	psi_memstall_leave(&stall);
	memcg_put(memcg, 1);
}
