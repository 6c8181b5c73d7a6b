/* SPDX-License-Identifier: MIT */
/*
 * vma_lock.c - faults of one process in parallel, mappings that stay put.
 *
 * 1. Purpose. A fault needs its mapping to stay as it is, for as long as it
 *    lasts, which may include waiting for a disk. Whoever changes mappings
 *    holds the mmap lock for writing. If each fault took that lock for
 *    reading, all CPUs would pull one cache line back and forth, and every
 *    mmap() would wait for every fault. So a fault claims just its mapping,
 *    on a line of its own CPU, and a writer waits for just the mappings that
 *    it is about to change.
 *
 * 2. Structures.
 *    Claims. An address space has a few lines (struct mm_line), one per CPU;
 *    a claim is a pointer to the mapping in a free slot of the CPU's line.
 *    No slot free: the fault takes the mmap lock.
 *    Marks. vma->vm_lock_seq == mm->mm_lock_seq says that the holder of the
 *    mmap lock changes this mapping. Giving the lock back raises mm_lock_seq,
 *    which takes all marks away at once.
 *    The tree is walked without a lock: nodes are freed through an epoch, and
 *    tree_seq, odd while links or bounds change, tells a walk to start anew.
 *    A task remembers the mapping of its last fault and the tree_seq at which
 *    it found it: with the same tree_seq it need not walk. Of that mapping it
 *    remembers the leaf table of its last fault, too (VL-6).
 *
 * 3. Invariants.
 *    VL-1  Bounds, pgoff, flags, access bits and anon_vma (once set) of a
 *          mapping, and the entries and tables of its range as far as the mmap
 *          lock protects them, change only while it is marked, no claim on it
 *          is left, and the mmap lock is held for writing.
 *    VL-2  A claim counts when, after it was written (a full barrier),
 *          tree_seq is what it was before the walk, the mapping has no mark,
 *          and tree_seq is still that. Otherwise it is withdrawn, and the
 *          fault takes the lock.
 *    VL-3  A mapping is marked when it enters the tree, so that no fault finds
 *          it half made; the mark goes with the mmap lock.
 *    VL-4  After a mapping has left the tree, its memory is given to the epoch
 *          only when no slot shows it.
 *    VL-5  Who holds a claim never waits for an mmap lock.
 *    VL-6  With the tree_seq of the last fault, the leaf table that it used is
 *          the table still: tables of a mapping's range are freed only after
 *          the mapping has left the tree or given up the range.
 *
 * 4. Why that is enough. Mark, barrier, look at the slots here; slot, barrier,
 *    look at the mark there: one of the two sees the other. A fault that read
 *    an old tree either walked in an epoch (memory not reused) or did not look
 *    into the mapping before tree_seq told it that the mapping is still in
 *    the tree; the unlinker raised tree_seq before it looked at the slots for
 *    VL-4. Giving back the lock is a release of mm_lock_seq, and the claim's
 *    check an acquire: an unmarked mapping is seen as its last writer left it.
 *    A writer who looked at the slots before the claim was there may have
 *    changed the mapping and given the lock back between the two looks, at
 *    tree_seq and at the mark: hence the third, at tree_seq again.
 *
 * 5. No wake-up is lost: the writer flags the slot that it waits for by
 *    exchange; letting go is an exchange too, and sees the flag or is seen.
 *
 * 6. Cost. A fault: two atomic operations on its CPU's line. A writer: one
 *    look at each line that was ever used, for each mapping that it changes.
 *
 * 7. Rejected. A reader count in each mapping: all threads that fault in one
 *    large mapping, which is the common case, would write one line. A copied
 *    tree for each change: every mmap() would pay for faults that are not
 *    there. Waiting out all faults of the space at each change: a fault that
 *    waits for the disk would hold up everybody's mmap().
 *
 * References: M. Michael, "Hazard pointers" (2004); Linux documentation
 * mm/process_addrs, on per-VMA locks.
 */
#include "base/epoch.h"
#include "base/string.h"
#include "base/wait.h"
#include "memcg/memcg.h"
#include "space/fault.h"
#include "space/space.h"

/* In a slot beside the pointer: somebody waits for this claim to go; it counts
 * (VL-2), which only debug builds write, for their checks. */
#define CLAIM_AWAITED ((uintptr_t)1)
#define CLAIM_COUNTS  ((uintptr_t)2)
#define CLAIM_BITS    (CLAIM_AWAITED | CLAIM_COUNTS)

/* Deferred calls that may gather before the end of a call makes them. */
#define EPOCH_BATCH 64u

/* How often a fault walks again because the tree changed. */
#define WALK_TRIES 4

/* ---- the writer
 * ----------------------------------------------------------------- */

MM_NOINLINE void mm_trace_lock(enum trace_event event, struct mm_struct *mm,
			       bool write, bool taken)
{
	const struct mm_task *me = port_current();
	char path[TRACE_PATH_TEXT + 1] = "";
	u64 arg[TRACE_ARGS] = {(u64)(uintptr_t)mm};
	struct memcg *memcg;

	/* Others know the group that a task of its had when it came here. */
	if (me->mm == mm)
		WRITE_ONCE(mm->group, READ_ONCE(me->group));
	memcg = memcg_get(READ_ONCE(mm->group));
	(void)memcg_path(memcg, path, sizeof(path));
	if (memcg)
		memcg_put(memcg, 1);
	mm_memcpy(&arg[1], path, TRACE_PATH_TEXT);
	arg[1 + TRACE_PATH_TEXT / 8] = write;
	arg[2 + TRACE_PATH_TEXT / 8] = taken;
	trace_ring_write(event, arg);
}

void mmap_write_lock(struct mm_struct *mm)
{
	if (trace_enabled(TRACE_MMAP_LOCK_START_LOCKING))
		mm_trace_lock(TRACE_MMAP_LOCK_START_LOCKING, mm, true, false);
	down_write(&mm->mmap_lock);
	if (trace_enabled(TRACE_MMAP_LOCK_ACQUIRE_RETURNED))
		mm_trace_lock(TRACE_MMAP_LOCK_ACQUIRE_RETURNED, mm, true, true);
}

void mmap_write_lock_nested(struct mm_struct *mm)
{
	if (trace_enabled(TRACE_MMAP_LOCK_START_LOCKING))
		mm_trace_lock(TRACE_MMAP_LOCK_START_LOCKING, mm, true, false);
	down_write_nested(&mm->mmap_lock, 1);
	if (trace_enabled(TRACE_MMAP_LOCK_ACQUIRE_RETURNED))
		mm_trace_lock(TRACE_MMAP_LOCK_ACQUIRE_RETURNED, mm, true, true);
}

/* Mappings that went are not many before they are freed. */
static inline void mmap_poll(void)
{
	if (unlikely(epoch_pending() >= EPOCH_BATCH))
		(void)epoch_poll();
}

void mmap_write_unlock(struct mm_struct *mm)
{
	rwsem_assert_held_write(&mm->mmap_lock);
	smp_store_release(&mm->mm_lock_seq, mm->mm_lock_seq + 1);
	if (trace_enabled(TRACE_MMAP_LOCK_RELEASED))
		mm_trace_lock(TRACE_MMAP_LOCK_RELEASED, mm, true, true);
	up_write(&mm->mmap_lock);
	mmap_poll();
}

static bool slot_shows(const uintptr_t *slot, const struct vm_area_struct *vma)
{
	uintptr_t v = __atomic_load_n(slot, __ATOMIC_ACQUIRE) & ~CLAIM_BITS;

	return vma ? v == (uintptr_t)vma : v != 0;
}

/* Ask to be woken. True: the claim is gone already. */
static bool slot_flag(uintptr_t *slot, const struct vm_area_struct *vma)
{
	uintptr_t v = smp_load_acquire(slot);

	while (slot_shows(&v, vma) && !(v & CLAIM_AWAITED))
		if (mm_try_cmpxchg(slot, &v, v | CLAIM_AWAITED))
			return false;
	return !slot_shows(&v, vma);
}

static void slot_wait(struct mm_struct *mm, uintptr_t *slot,
		      const struct vm_area_struct *vma)
{
	lockdep_acquire(LOCK_CLASS_VMA, slot, LOCKDEP_SLEEP);
	wait_event(mm->fault_wait, slot_flag(slot, vma));
	lockdep_release(slot);
}

/* Is no slot of LINE in use? Each is read once, at some time. */
static inline bool line_empty(const struct mm_line *line)
{
	_Static_assert(MM_LINE_CLAIMS == 4, "one look for each");

	return !(smp_load_acquire(&line->claims[0]) |
		 smp_load_acquire(&line->claims[1]) |
		 smp_load_acquire(&line->claims[2]) |
		 smp_load_acquire(&line->claims[3]));
}

/* Until the lines of USED show no claim on VMA. */
static MM_NOINLINE void wait_on_lines(struct mm_struct *mm, u32 used,
				      const struct vm_area_struct *vma)
{
	for (; used; used &= used - 1) {
		struct mm_line *line = &mm->lines[__builtin_ctz(used)];

		for (u32 i = 0; i < MM_LINE_CLAIMS; i++)
			if (unlikely(slot_shows(&line->claims[i], vma)))
				slot_wait(mm, &line->claims[i], vma);
	}
}

/* Until no claim on VMA (NULL: on any mapping of MM) is left. */
static void wait_for_claims(struct mm_struct *mm,
			    const struct vm_area_struct *vma)
{
	for (u32 used = READ_ONCE(mm->lines_used); used; used &= used - 1)
		if (unlikely(!line_empty(&mm->lines[__builtin_ctz(used)]))) {
			wait_on_lines(mm, used, vma);
			return;
		}
}

static bool vma_marked(const struct vm_area_struct *vma)
{
	u64 now = smp_load_acquire(&vma->vm_mm->mm_lock_seq);

	return smp_load_acquire(&vma->vm_lock_seq) == now;
}

void vma_mark(struct vm_area_struct *vma)
{
	rwsem_assert_held_write(&vma->vm_mm->mmap_lock);
	smp_store_release(&vma->vm_lock_seq, vma->vm_mm->mm_lock_seq);
}

/* Does a claim on VMA count? Debug builds know. */
static bool vma_relied_on(const struct vm_area_struct *vma)
{
	const struct mm_struct *mm = vma->vm_mm;
	uintptr_t want = (uintptr_t)vma | CLAIM_COUNTS;

	for (u32 used = READ_ONCE(mm->lines_used); used; used &= used - 1) {
		const struct mm_line *line = &mm->lines[__builtin_ctz(used)];

		for (u32 i = 0; i < MM_LINE_CLAIMS; i++)
			if ((READ_ONCE(line->claims[i]) & ~CLAIM_AWAITED) ==
			    want)
				return true;
	}
	return false;
}

void vma_assert_changing(const struct vm_area_struct *vma)
{
	rwsem_assert_held_write(&vma->vm_mm->mmap_lock);
	mm_assert(vma->vm_lock_seq == vma->vm_mm->mm_lock_seq);
	mm_assert(!vma_relied_on(vma));
}

void vma_start_write(struct vm_area_struct *vma)
{
	if (vma->vm_lock_seq != vma->vm_mm->mm_lock_seq) {
		vma_mark(vma);
		smp_mb();
		wait_for_claims(vma->vm_mm, vma);
	}
	vma_assert_changing(vma);
}

void vma_start_write_range(struct vm_area_struct *first, uva_t end)
{
	struct vm_area_struct *vma, *next = vma_next(first);

	/* One mapping is the common case: wait for its claims alone. */
	if (!next || next->vm_start >= end) {
		vma_start_write(first);
		return;
	}
	for (vma = first; vma && vma->vm_start < end; vma = vma_next(vma))
		vma_mark(vma);
	smp_mb();
	for (vma = first; vma && vma->vm_start < end; vma = vma_next(vma))
		wait_for_claims(vma->vm_mm, vma);
}

void mm_start_write_all(struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	for_each_vma (vma, mm)
		vma_mark(vma);
	smp_mb();
	wait_for_claims(mm, NULL);
}

void vma_wait_unseen(struct vm_area_struct *vma)
{
	smp_mb();
	wait_for_claims(vma->vm_mm, vma);
}

void mm_wait_unseen(struct mm_struct *mm)
{
	smp_mb();
	wait_for_claims(mm, NULL);
}

void vma_set_flags(struct vm_area_struct *vma, u64 flags)
{
	vma_start_write(vma);
	WRITE_ONCE(vma->vm_flags, flags);
}

/* ---- changes of the tree
 * -------------------------------------------------------- */

void tree_change_begin(struct mm_struct *mm)
{
	mm_assert(!(mm->tree_seq & 1));
	WRITE_ONCE(mm->tree_seq, mm->tree_seq + 1);
	smp_wmb();
	port_sched_point();
}

void tree_change_end(struct mm_struct *mm)
{
	port_sched_point();
	mm_assert(mm->tree_seq & 1);
	smp_store_release(&mm->tree_seq, mm->tree_seq + 1);
}

/* ---- the fault
 * ------------------------------------------------------------------ */

/* Write VMA into a free slot of this CPU's line. NULL: none is free. */
static inline uintptr_t *claim_slot(struct mm_struct *mm,
				    struct vm_area_struct *vma)
{
	/* In lines_used before the claim: who looks for claims reads that. */
	struct mm_line *line = mm_line_here(mm);

	for (u32 i = 0; i < MM_LINE_CLAIMS; i++) {
		uintptr_t none = 0;

		if (READ_ONCE(line->claims[i]) == 0 &&
		    mm_try_cmpxchg(&line->claims[i], &none, (uintptr_t)vma))
			return &line->claims[i];
	}
	return NULL;
}

static void claim_drop(struct mm_struct *mm, uintptr_t *slot)
{
	if (mm_xchg(slot, 0) & CLAIM_AWAITED)
		wake_up_all(&mm->fault_wait);
}

/* What guess_vma() looks at has been in the tree, and is not freed (VL-4). */
static bool vma_readable(const struct vm_area_struct *vma)
{
	u16 life = READ_ONCE(vma->vm_life);

	return life == VMA_LINKED || life == VMA_LEFT;
}

/* find_vma() while the tree may change: a guess that tree_seq must confirm. */
static struct vm_area_struct *guess_vma(struct mm_struct *mm, uva_t va)
{
	struct rb_node *node = smp_load_acquire(&mm->mm_rb.rb_node);
	int steps = 0;

	/* Rotations may lead a walk astray, but not for long. */
	while (node && steps++ < 2 * 64) {
		struct vm_area_struct *vma =
			rb_entry(node, struct vm_area_struct, vm_rb);

		race_point();
		mm_assert(vma_readable(vma));
		if (va >= READ_ONCE(vma->vm_end))
			node = smp_load_acquire(&node->right);
		else if (va < READ_ONCE(vma->vm_start))
			node = smp_load_acquire(&node->left);
		else
			return vma;
	}
	return NULL;
}

static void vma_look(const struct vm_area_struct *vma, struct vma_view *v)
{
	v->start = READ_ONCE(vma->vm_start);
	v->end = READ_ONCE(vma->vm_end);
	v->pgoff = vma->vm_pgoff;
	v->flags = READ_ONCE(vma->vm_flags);
	v->prot = vma->vm_page_prot;
	v->anon_vma = READ_ONCE(vma->anon_vma);
	v->uffd = READ_ONCE(vma->vm_uffd);
}

/* The claim on VMA counts: debug builds note what it relies on. SEQ: even, or
 * a walk in the midst of a change was believed. */
static void claim_begin(struct vma_claim *c, struct vm_area_struct *vma,
			u64 seq)
{
	if (MM_DEBUG < 1)
		return;
	lockdep_acquire(LOCK_CLASS_VMA, c->slot,
			LOCKDEP_SLEEP | LOCKDEP_READ | LOCKDEP_TRY);
	(void)mm_fetch_or(c->slot, CLAIM_COUNTS);
	mm_assert(!(seq & 1));
	mm_assert(READ_ONCE(vma->vm_life) == VMA_LINKED);
	mm_assert(vma->vm_mm == c->mm);
	vma_look(vma, &c->seen);
}

/* Nothing has changed under it: VL-1. */
static void claim_check(const struct vma_claim *c)
{
	const struct vm_area_struct *vma;
	const struct vma_view *was = &c->seen;
	struct vma_view now;

	if (MM_DEBUG < 1)
		return;
	vma = (const void *)(READ_ONCE(*c->slot) & ~CLAIM_BITS);
	mm_assert(READ_ONCE(vma->vm_life) == VMA_LINKED);
	vma_look(vma, &now);
	mm_assert(now.start == was->start && now.end == was->end);
	mm_assert(now.pgoff == was->pgoff && now.flags == was->flags);
	mm_assert(now.prot.val == was->prot.val && now.uffd == was->uffd);
	mm_assert(!was->anon_vma || now.anon_vma == was->anon_vma);
}

/* C's slot shows VMA, found when tree_seq was SEQ: VL-2. */
static inline bool claim_counts(const struct vma_claim *c,
				const struct vm_area_struct *vma, u64 seq)
{
	if (unlikely(smp_load_acquire(&c->mm->tree_seq) != seq))
		return false;
	/* It may leave the tree here, and be looked at all the same: who
	 * unlinked it waits for the slot. */
	race_point();
	mm_assert(vma_readable(vma));
	return !vma_marked(vma) && smp_load_acquire(&c->mm->tree_seq) == seq;
}

/* Claim VMA, found when tree_seq was SEQ. */
static inline bool claim(struct vma_claim *c, struct vm_area_struct *vma,
			 u64 seq)
{
	port_sched_point();
	c->slot = claim_slot(c->mm, vma);
	if (!c->slot)
		return false;
	port_sched_point();
	if (likely(claim_counts(c, vma, seq))) {
		claim_begin(c, vma, seq);
		return true;
	}
	claim_drop(c->mm, c->slot);
	return false;
}

/* The mapping of VA, claimed; NULL: not found, being changed, or no slot. */
static struct vm_area_struct *walk_and_claim(struct vma_claim *c, uva_t va,
					     u64 *seq)
{
	struct vm_area_struct *vma = NULL;

	epoch_enter();
	for (int i = 0; i < WALK_TRIES && !vma; i++) {
		*seq = smp_load_acquire(&c->mm->tree_seq);
		if (*seq & 1)
			continue;
		vma = guess_vma(c->mm, va);
		/* A hole: whether it is one, the mmap lock tells. */
		if (!vma && READ_ONCE(c->mm->tree_seq) == *seq)
			break;
		if (vma && !claim(c, vma, *seq)) {
			bool changed = READ_ONCE(c->mm->tree_seq) != *seq;

			vma = NULL;
			if (!changed)
				break;
		}
	}
	epoch_exit();
	return vma;
}

/* vma_claim(), whatever mapping it is that the task remembers. */
static MM_NOINLINE struct vm_area_struct *
claim_by_walk(struct mm_task *task, uva_t va, struct vma_claim *c)
{
	u64 seq = 0;
	struct vm_area_struct *vma = walk_and_claim(c, va, &seq);

	task->fault_vma = vma;
	task->fault_seq = seq;
	task->fault_leaf.region = MM_LEAF_NONE;
	return vma;
}

/* The same; C holds a claim on another mapping, or one that does not count. */
static MM_NOINLINE struct vm_area_struct *
claim_again(struct mm_task *task, uva_t va, struct vma_claim *c)
{
	claim_drop(c->mm, c->slot);
	return claim_by_walk(task, va, c);
}

/*
 * The mapping of the last fault, in the first slot of the line, is claimed
 * here; whatever is not so simple goes on in a function of its own, so that
 * nothing is saved for it on the way that is nearly always taken.
 */
struct vm_area_struct *vma_claim(struct mm_task *task, uva_t va,
				 struct vma_claim *c)
{
	struct vm_area_struct *vma = task->fault_vma;
	u64 seq = task->fault_seq;
	uintptr_t none = 0;

	c->mm = task->mm;
	if (unlikely(!vma || READ_ONCE(c->mm->tree_seq) != seq))
		return claim_by_walk(task, va, c);
	port_sched_point();
	c->slot = &mm_line_here(c->mm)->claims[0];
	if (unlikely(!mm_try_cmpxchg(c->slot, &none, (uintptr_t)vma)))
		return claim_by_walk(task, va, c);
	port_sched_point();
	if (unlikely(!claim_counts(c, vma, seq) || !vma_contains(vma, va)))
		return claim_again(task, va, c);
	claim_begin(c, vma, seq);
	return vma;
}

void vma_claim_end(struct vma_claim *c)
{
	claim_check(c);
	lockdep_release(c->slot);
	claim_drop(c->mm, c->slot);
	port_sched_point();
}
