/* SPDX-License-Identifier: MIT */
/*
 * oom.c - the out-of-memory killer and its reaper.
 *
 * 1. Purpose. When nothing can be reclaimed, one task must go so that the
 *    others live: the one whose death frees most, shifted by the operator's
 *    oom_score_adj (1000 points are all of RAM and swap).
 *
 * 2. Way. Memory may have come while the asker found none: it looks once more
 *    before anybody dies. The victim, and all tasks that share its address
 *    space, get a pending SIGKILL and may use part of the reserves to get out.
 *    A victim may be blocked for long, so the reaper empties its private
 *    memory at once, locked or not; from then on its faults fail
 *    (MMF_UNSTABLE), so that it never sees zeroes where its data was. One
 *    victim at a time. Who empties a swap area or undoes merges goes first.
 *    Process 1 is none, nor is who shares its memory (a
 *    child of its vfork()).
 *
 *    A group at its limit that cannot be reclaimed has the same done to it
 *    alone: only tasks in it and below may be victims. If a group between the
 *    victim's and the one at its limit has memory.oom.group set, all in the
 *    highest such go with the victim.
 *
 *    An allocation that is limited to some nodes (MPOL_BIND) takes nobody who
 *    is bound to others.
 *
 * 3. Failure. A group that has nobody to kill is told so: the charge fails. If
 *    there are user tasks but none may be killed, and no victim's space is on
 *    its way out (it has ten seconds for that), the machine is
 *    deadlocked on memory and stops, as Linux does. If there are none, the
 *    allocation fails.
 *
 * The report of it is oom_report.c.
 *
 * References: Linux documentation admin-guide/sysctl/vm, proc(5)
 * (oom_score_adj).
 */
#include <mmkit/errno.h>

#include "base/epoch.h"
#include "base/printk.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "memcg/memcg.h"
#include "phys/mempolicy.h"
#include "phys/vmstat.h"
#include "policy/oom_priv.h"
#include "policy/policy.h"
#include "space/space.h"

/* What a victim has to get out of its space before others stop waiting. */
#define VICTIM_NS (10ULL * 1000 * 1000 * 1000)

/* What can be had at all, in ROOT or (NULL) in the machine. */
static u64 total_pages(const struct memcg *root)
{
	u64 ram = totalram_pages();
	u64 swap = READ_ONCE(cache_sys.total_swap_pages);

	if (root) {
		ram = min(ram, READ_ONCE(root->memory.max));
		swap = min(swap, READ_ONCE(root->swap.max));
	}
	return ram + swap;
}

static u64 mm_pages(const struct mm_struct *mm)
{
	return mm_rss(mm) + mm_counter_get(mm, MM_SWAPENTS) +
	       READ_ONCE(mm->pt.table_bytes) / PAGE_SIZE;
}

static u64 badness(const struct mm_task *task, const struct memcg *root)
{
	s64 points;

	if (!task->mm || (task->flags & (PF_KTHREAD | PF_EXITING | PF_INIT)) ||
	    task->oom_score_adj == -1000 ||
	    (READ_ONCE(task->mm->flags) & MMF_OOM_SKIP))
		return 0;
	points = (s64)mm_pages(task->mm) +
		 task->oom_score_adj * (s64)(total_pages(root) / 1000);
	return points > 0 ? (u64)points : 1;
}

u64 oom_badness(const struct mm_task *task)
{
	return badness(task, NULL);
}

static bool find_init(struct mm_task *task, void *arg)
{
	struct oom_choice *c = arg;

	if (!task->mm || !(task->flags & PF_INIT))
		return false;
	c->init_mm = task->mm;
	return true;
}

/* Is TASK in ROOT or below? */
bool oom_task_below(const struct mm_task *task, const struct memcg *root)
{
	bool below;

	if (!root)
		return true;
	epoch_enter();
	below = memcg_below(memcg_of(group_of_id(READ_ONCE(task->group))),
			    root);
	epoch_exit();
	return below;
}

/* Can TASK have pages on the nodes that memory is wanted from? Its policy is
 * another's: a slot that is never freed, read as it is. */
static bool task_on_nodes(const struct mm_task *task, nodemask_t nodes)
{
	const struct mempolicy *pol = READ_ONCE(task->mempolicy);

	return !pol || READ_ONCE(pol->mode) != MPOL_BIND ||
	       (READ_ONCE(pol->nodes) & nodes) != 0;
}

/* Is TASK, a victim, about to stop what takes memory from all? What is its own
 * may be gone already. */
static bool origin_stops(const struct mm_task *task)
{
	return (READ_ONCE(task->flags) & PF_OOM_ORIGIN) &&
	       READ_ONCE(task->fatal_signal) &&
	       port_now_ns() - policy_sys.last_kill_ns < VICTIM_NS;
}

static bool choose_one(struct mm_task *task, void *arg)
{
	struct oom_choice *c = arg;
	u64 points;

	if (!oom_task_below(task, c->root))
		return false;
	points = badness(task, c->root);
	/* Who takes from all what nobody asked for is it, whatever it has. */
	if (points && (READ_ONCE(task->flags) & PF_OOM_ORIGIN))
		points = ~0UL;
	/* A child that vfork() made: killing it would take the parent along,
	 * whose memory it runs on. */
	if (task->mm && task->mm == c->init_mm)
		points = 0;
	if (task->mm)
		c->user_tasks++;
	if (task->mm && (READ_ONCE(task->mm->flags) & MMF_OOM_VICTIM) &&
	    (!(READ_ONCE(task->mm->flags) & MMF_OOM_SKIP) ||
	     origin_stops(task))) {
		c->victim_pending = true;
		return true;
	}
	if (!task_on_nodes(task, c->nodes))
		points = 0;
	/* Threads of a process are worth the same: its main one stands for
	 * all. */
	if (points > c->points ||
	    (points && points == c->points && task->pid == task->tgid &&
	     task->tgid == c->victim->tgid)) {
		c->points = points;
		c->victim = task;
	}
	return false;
}

static bool kill_sharing(struct mm_task *task, void *arg)
{
	/* Its flags are its own to write: the signal is what it goes by. It may
	 * wait for a monitor that never answers. */
	if (task->mm == arg) {
		WRITE_ONCE(task->fatal_signal, MM_SIGKILL);
		if (space_sys.kill_hook)
			space_sys.kill_hook(task);
		else if (task->thread)
			port_unpark(task->thread);
	}
	return false;
}

/* vm.panic_on_oom: 1: unless only some nodes or a group lack; 2: always. */
static void panic_if_wanted(const struct oom_choice *c, gfp_t gfp,
			    unsigned int order)
{
	u32 mode = READ_ONCE(policy_sys.panic_on_oom);

	if (!mode || (mode != 2 && oom_constrained(c) != CONSTRAINT_NONE))
		return;
	oom_dump_header(c, gfp, order);
	port_panic(mode == 2 ? "Out of memory: compulsory panic_on_oom is "
			       "enabled"
			     : "Out of memory: system-wide panic_on_oom is "
			       "enabled");
}

/* One that belongs to the group which is killed as a whole. */
static bool kill_together(struct mm_task *task, void *arg)
{
	const struct oom_choice *c = arg;

	if (!task->mm || task->mm == c->mm || task->mm == c->init_mm ||
	    task->oom_score_adj == -1000 ||
	    (task->flags & (PF_KTHREAD | PF_EXITING | PF_INIT)) ||
	    READ_ONCE(task->fatal_signal) || !oom_task_below(task, c->together))
		return false;
	/* Not the reaper's: if one cannot leave, it is the next victim. */
	if (task->tgid == task->pid) {
		oom_report_kill(c, task);
		trace_emit(MARK_VICTIM, (u64)task->pid);
		count_vm_event(OOM_KILL);
		memcg_event(memcg_of(group_of_id(READ_ONCE(task->group))),
			    MEMCG_OOM_KILL);
	}
	(void)kill_sharing(task, task->mm);
	return false;
}

/* The highest group, from the victim's up to the one at its limit, that is to
 * be killed as a whole, with a reference. */
static struct memcg *oom_group_of(struct memcg *memcg, const struct memcg *root)
{
	struct memcg *found = NULL;

	for (; memcg; memcg = memcg->parent) {
		if (READ_ONCE(memcg->oom_group))
			found = memcg;
		if (memcg == root)
			break;
	}
	if (found)
		memcg_hold(found, 1);
	return found;
}

/* oom_lock held. Our reference to the victim's space becomes the reaper's. */
static void oom_kill(const struct oom_choice *c)
{
	struct mm_struct *mm = c->mm;

	mm_oom_victim(mm);
	policy_sys.last_kill_ns = port_now_ns();
	oom_report_kill(c, NULL);
	trace_emit(MARK_VICTIM, (u64)c->pid);
	trace_emit(OOM_KILL, (u64)c->pid, c->points, mm->total_vm,
		   mm_counter_get(mm, MM_ANONPAGES));
	count_vm_event(OOM_KILL);
	policy_sys.oom_kills++;
	task_for_each(kill_sharing, mm);
	if (c->together) {
		oom_report_together(c->together);
		memcg_event(c->together, MEMCG_OOM_GROUP_KILL);
		task_for_each(kill_together, (void *)(uintptr_t)c);
	}
	if (policy_sys.reap_mm)
		mm_drop(policy_sys.reap_mm);
	policy_sys.reap_name.pid = c->pid;
	mm_memcpy(policy_sys.reap_name.comm, c->comm, sizeof(c->comm));
	WRITE_ONCE(policy_sys.reap_mm, mm);
	trace_emit(WAKE_REAPER, (u64)c->pid);
	wake_up(&policy_sys.reaper_wait);
}

/* Under the registry's lock: take what is needed of the victim, if it is
 * still there. */
static bool grab_victim(struct mm_task *task, void *arg)
{
	struct oom_choice *c = arg;
	struct memcg *memcg;

	if (task != c->victim)
		return false;
	if (!task->mm)
		return true;
	memcg = memcg_task_group(task);
	(void)memcg_path(memcg, c->group, sizeof(c->group));
	c->together = oom_group_of(memcg, c->root);
	memcg_event(memcg, MEMCG_OOM_KILL);
	if (memcg)
		memcg_put(memcg, 1);
	mm_grab(task->mm);
	c->mm = task->mm;
	c->pid = task->pid;
	c->uid = READ_ONCE(task->uid);
	c->oom_score_adj = task->oom_score_adj;
	mm_memcpy(c->comm, task->comm, sizeof(c->comm));
	return true;
}

/* Somebody gave back what is enough even for the high mark; or (AC NULL) for
 * the group ROOT. */
static bool memory_came(const struct memcg *root,
			const struct alloc_context *ac, unsigned int order)
{
	struct zoneref *z;
	struct zone *zone;

	if (root)
		return memcg_margin(root) >= MEMCG_BATCH + (1UL << order);
	for_each_zone_context(zone, z, ac)
	{
		if (zone_watermark_ok(zone, order, high_wmark_pages(zone),
				      (int)ac->highest_zoneidx, 0))
			return true;
	}
	return false;
}

/* Spaces of victims are being given back: that may take the lock of a file, or
 * a CPU that others have. */
static bool victims_leaving(void)
{
	return READ_ONCE(space_sys.oom_victims) > 0 &&
	       port_now_ns() - policy_sys.last_kill_ns < VICTIM_NS;
}

/* vm.oom_kill_allocating_task: who asks goes, if it may be killed at all. */
static bool may_take_me(const struct oom_choice *c)
{
	const struct mm_task *me = port_current();

	return me->mm && me->mm != c->init_mm && badness(me, c->root) &&
	       oom_task_below(me, c->root) && task_on_nodes(me, c->nodes);
}

static bool oom_locked(struct memcg *root, gfp_t gfp, unsigned int order,
		       const struct alloc_context *ac)
{
	struct oom_choice c = {.root = root,
			       .nodes = ac ? ac->nodemask : NODE_MASK_ALL};

	/* The last victim's task may have left its space already, while its
	 * pages are still being given back: wait for them. */
	if (policy_sys.reap_mm &&
	    !(READ_ONCE(policy_sys.reap_mm->flags) & MMF_OOM_SKIP))
		return true;
	if (memory_came(root, ac, order))
		return true;
	task_for_each(find_init, &c);
	panic_if_wanted(&c, gfp, order);
	task_for_each(choose_one, &c);
	if (READ_ONCE(policy_sys.oom_kill_allocating_task) &&
	    !c.victim_pending && may_take_me(&c))
		c.victim = port_current();
	if (c.victim_pending || (!c.victim && victims_leaving()))
		return true;
	if (!c.victim) {
		if (c.user_tasks && !root) {
			oom_dump_header(&c, gfp, order);
			port_panic("Out of memory and no killable processes");
		}
		return false;
	}
	task_for_each(grab_victim, &c);
	if (!c.mm)
		return true; /* it went by itself */
	if (oom_report_allowed()) {
		oom_dump_header(&c, gfp, order);
		oom_report_constraint(&c);
	}
	oom_kill(&c);
	if (c.together)
		memcg_put(c.together, 1);
	return true;
}

static bool oom_for(struct memcg *root, gfp_t gfp, unsigned int order,
		    const struct alloc_context *ac)
{
	bool again = true;

	/* A task that is being killed needs no other victim. */
	if (READ_ONCE(port_current()->fatal_signal)) {
		port_current()->flags |= PF_OOM_VICTIM;
		return true;
	}
	if (mutex_trylock(&policy_sys.oom_lock)) {
		again = oom_locked(root, gfp, order, ac);
		mutex_unlock(&policy_sys.oom_lock);
	}
	if (again)
		port_park(1000 * 1000);
	return again;
}

bool out_of_memory(gfp_t gfp, unsigned int order,
		   const struct alloc_context *ac)
{
	return oom_for(NULL, gfp, order, ac);
}

bool memcg_out_of_memory(struct memcg *memcg, gfp_t gfp, unsigned int order)
{
	return oom_for(memcg, gfp, order, NULL);
}

/* ---- the reaper
 * ----------------------------------------------------------------- */

static void reap_vmas(struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	for_each_vma (vma, mm) {
		struct mmu_gather tlb;

		if (vma->vm_flags & VM_SHARED)
			continue;
		mm_gather_init(&tlb, mm);
		zap_range(&tlb, vma, vma->vm_start, vma->vm_end);
		tlb_finish(&tlb);
	}
}

/* The victim may hold its lock for long while it waits for memory itself. */
static MM_NOINLINE void oom_reap(struct mm_struct *mm,
				 const struct oom_name *who)
{
	bool reaped = false;

	__atomic_fetch_or(&mm->flags, MMF_UNSTABLE, __ATOMIC_ACQ_REL);
	for (int tries = 0; tries < 10 && !reaped; tries++) {
		reaped = mmap_read_trylock(mm);
		if (reaped) {
			trace_emit(START_TASK_REAPING, (u64)who->pid);
			reap_vmas(mm);
			trace_emit(FINISH_TASK_REAPING, (u64)who->pid);
			mmap_read_unlock(mm);
		} else {
			port_park(10 * 1000 * 1000);
		}
	}
	if (!reaped)
		trace_emit(SKIP_TASK_REAPING, (u64)who->pid);
	/* Done, or given up: the next victim may be chosen. */
	__atomic_fetch_or(&mm->flags, MMF_OOM_SKIP, __ATOMIC_ACQ_REL);
	oom_report_reaped(who, mm, reaped);
}

/* The next victim's space with a reference; it stays in reap_mm, so that
 * everybody sees that memory is coming. */
static struct mm_struct *reaper_take(struct oom_name *who)
{
	struct mm_struct *mm;

	mutex_lock(&policy_sys.oom_lock);
	mm = policy_sys.reap_mm;
	*who = policy_sys.reap_name;
	if (mm)
		mm_grab(mm);
	mutex_unlock(&policy_sys.oom_lock);
	return mm;
}

static void reaper_done(struct mm_struct *mm)
{
	mutex_lock(&policy_sys.oom_lock);
	if (policy_sys.reap_mm == mm) {
		WRITE_ONCE(policy_sys.reap_mm, NULL);
		mm_drop(mm);
	}
	mutex_unlock(&policy_sys.oom_lock);
	mm_drop(mm);
}

static void oom_reaper(void *arg)
{
	struct oom_name who;
	struct mm_struct *mm;

	(void)arg;
	while (!READ_ONCE(policy_sys.stop)) {
		wait_event(policy_sys.reaper_wait,
			   READ_ONCE(policy_sys.reap_mm) ||
				   READ_ONCE(policy_sys.stop));
		mm = reaper_take(&who);
		if (!mm)
			continue;
		oom_reap(mm, &who);
		reaper_done(mm);
	}
	mm = reaper_take(&who);
	if (mm)
		reaper_done(mm);
	port_current()->flags |= PF_EXITING;
}

int oom_reaper_run(void)
{
	return port_thread_start(&policy_sys.reaper, "oom_reaper", -1,
				 oom_reaper, NULL);
}
