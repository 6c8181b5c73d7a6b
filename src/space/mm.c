/* SPDX-License-Identifier: MIT */
/*
 * mm.c - address spaces as objects: birth, use by tasks, end.
 *
 * 1. Two counts. mm_users are tasks (and others who look inside); at zero the
 *    mappings go. mm_count are references to the structure and its root
 *    table; all users together hold one. A CPU that runs a kernel thread keeps
 *    the last user space loaded (active_mm) and holds one of those.
 *
 * 2. Locking. space_sys.lock for the registries of spaces and tasks.
 *
 * 3. The last mm_count may fall in a context switch, where freeing is not
 *    possible: the structure is freed through an epoch, which is polled where
 *    sleeping is allowed.
 *
 * Reference: Linux documentation mm/active_mm.
 */
#include <mmkit/errno.h>
#include <mmkit/mempolicy.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/epoch.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "base/wait.h"
#include "cache/filemap.h"
#include "cache/shmem.h"
#include "memcg/memcg.h"
#include "pgtable/kernel.h"
#include "phys/vmstat.h"
#include "space/huge.h"
#include "space/ksm.h"
#include "space/numa_hint.h"
#include "space/rmap.h"
#include "space/space.h"

struct space_state space_sys;

void space_reset(void)
{
	mm_memset(&space_sys, 0, sizeof(space_sys));
}

/* What the page cache asks of mappings. */
static const struct mapping_ops space_mapping_ops = {
	.unmap_mapping_range = unmap_mapping_range,
	.page_mkclean = page_mkclean,
};

static int zero_page_init(void)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 0);

	if (!page)
		return -ENOMEM;
	space_sys.zero_pfn = page_to_pfn(page);
	return 0;
}

int space_init(const struct paging_format *format)
{
	struct space_state *s = &space_sys;

	s->format = format;
	spin_lock_init(&s->lock, LOCK_CLASS_TASKS);
	mutex_init(&s->mf_lock, LOCK_CLASS_MEMORY_FAILURE);
	s->memory_failure_recovery = 1;
	INIT_LIST_HEAD(&s->mms);
	INIT_LIST_HEAD(&s->uffds);
	s->uffd_sb.s_id = "anon_inode";
	s->uffd_sb.s_iflags = SB_I_NOEXEC;
	s->max_map_count = 65530;
	limits_init();
	numa_hint_init();
	s->mmap_min_addr = SPACE_MMAP_MIN_ADDR;
	s->stack_guard_gap = SPACE_STACK_GUARD_GAP;
	s->mm_cache = kmem_cache_create(
		"mm_struct",
		ALIGN(sizeof(struct mm_struct), MM_CACHELINE) +
			MM_LINES * sizeof(struct mm_line),
		MM_CACHELINE, SLAB_NO_MERGE | SLAB_ACCOUNT, NULL);
	s->vma_cache = kmem_cache_create("vm_area_struct",
					 sizeof(struct vm_area_struct), 0,
					 SLAB_NO_MERGE | SLAB_ACCOUNT, NULL);
	if (!s->mm_cache || !s->vma_cache || anon_vma_init_caches())
		return -ENOMEM;
	shmem_set_ops(&space_shmem_ops);
	mapping_set_ops(&space_mapping_ops);
	return shm_init() || thp_init() ? -ENOMEM : zero_page_init();
}

/* Where a program's own image ends, as programs are linked today. */
#define START_BRK_64 0x555555756000UL
#define START_BRK_32 0x56558000UL

void mm_default_layout(struct mm_layout *l)
{
	const struct paging_format *f = space_sys.format;
	/* Five levels are for who asks: addresses stay where four have them. */
	uva_t end = f->va_bits > paging_x86_64_4level.va_bits
			    ? paging_x86_64_4level.user_end
			    : f->user_end;

	l->task_size = f->user_end;
	l->stack_top = end - PAGE_SIZE;
	/* The stack's limit, and a gap for its neighbours. */
	l->mmap_base = ALIGN_DOWN(end - (128UL << 20), 2UL << 20);
	l->start_brk = f->va_bits == 32 ? START_BRK_32 : START_BRK_64;
}

/* ---- birth and end
 * --------------------------------------------------------------- */

/* A free tag for the TLBs, from where the last search ended; 0: none left.
 * Registry lock held. */
static u32 asid_get(void)
{
	for (u32 i = 0; i < SPACE_NR_ASIDS; i++) {
		u32 id = (space_sys.next_asid + i) % SPACE_NR_ASIDS;

		if (id == 0 || (space_sys.asids[id / 64] >> id % 64 & 1))
			continue;
		space_sys.asids[id / 64] |= BIT(id % 64);
		space_sys.next_asid = id + 1;
		return id;
	}
	return 0;
}

static void asid_put(u32 id)
{
	spin_lock(&space_sys.lock);
	mm_verify(space_sys.asids[id / 64] >> id % 64 & 1);
	space_sys.asids[id / 64] &= ~BIT(id % 64);
	spin_unlock(&space_sys.lock);
}

static bool mm_enlist(struct mm_struct *mm)
{
	spin_lock(&space_sys.lock);
	mm->asid = asid_get();
	if (mm->asid) {
		mm->serial = ++space_sys.last_serial;
		mm->group = READ_ONCE(port_current()->group);
		list_add_tail(&mm->mmlist, &space_sys.mms);
		WRITE_ONCE(space_sys.nr_mms, space_sys.nr_mms + 1);
	}
	spin_unlock(&space_sys.lock);
	return mm->asid != 0;
}

static void mm_delist(struct mm_struct *mm)
{
	spin_lock(&space_sys.lock);
	list_del_init(&mm->mmlist);
	WRITE_ONCE(space_sys.nr_mms, space_sys.nr_mms - 1);
	spin_unlock(&space_sys.lock);
}

int mm_create(const struct mm_layout *layout, struct mm_struct **out)
{
	struct mm_struct *mm;

	epoch_poll();
	mm = kmem_cache_alloc(space_sys.mm_cache, GFP_KERNEL | __GFP_ZERO);
	if (!mm)
		return -ENOMEM;
	if (pgtable_init(&mm->pt, space_sys.format)) {
		kmem_cache_free(space_sys.mm_cache, mm);
		return -ENOMEM;
	}
	init_rwsem(&mm->mmap_lock, LOCK_CLASS_MMAP_LOCK);
	spin_lock_init(&mm->anon_lock, LOCK_CLASS_MM_ANON);
	init_waitqueue_head(&mm->fault_wait);
	mm->lines = (struct mm_line *)((char *)mm +
				       ALIGN(sizeof(*mm), MM_CACHELINE));
	INIT_LIST_HEAD(&mm->mmap);
	INIT_LIST_HEAD(&mm->uffd_events);
	mm->mm_lock_seq = 1;
	mm->layout = *layout;
	mm->start_brk = mm->brk = layout->start_brk;
	mm->mm_users = mm->mm_count = 1;
	mm_limits_init(mm);
	if (!mm_enlist(mm)) {
		pgtable_destroy(&mm->pt);
		kmem_cache_free(space_sys.mm_cache, mm);
		return -EAGAIN;
	}
	/* execve() keeps what PR_SET_MEMORY_MERGE said. */
	if (ksm_inherit(mm, port_current()->mm)) {
		mm_put(mm);
		return -ENOMEM;
	}
	pgtable_owner(&mm->pt, &mm->cpus, mm->asid);
	*out = mm;
	return 0;
}

/* Of all lines; below zero for a moment while others count. */
static s64 counter_sum(const struct mm_struct *mm, enum mm_counter c)
{
	u32 used = READ_ONCE(mm->lines_used);
	s64 sum = 0;

	for (; used; used &= used - 1)
		sum += READ_ONCE(mm->lines[__builtin_ctz(used)].counters[c]);
	return sum;
}

u64 mm_counter_get(const struct mm_struct *mm, enum mm_counter c)
{
	s64 sum = counter_sum(mm, c);

	return sum > 0 ? (u64)sum : 0;
}

MM_NOINLINE void mm_trace_rss(const struct mm_struct *mm, enum mm_counter c)
{
	/* As Linux numbers them. */
	static const u8 member[NR_MM_COUNTERS] = {[MM_FILEPAGES] = 0,
						  [MM_ANONPAGES] = 1,
						  [MM_SWAPENTS] = 2,
						  [MM_SHMEMPAGES] = 3};

	trace_emit(RSS_STAT, mm->serial, port_current()->mm == mm, member[c],
		   mm_counter_get(mm, c) << PAGE_SHIFT);
}

u64 mm_rss(const struct mm_struct *mm)
{
	return mm_counter_get(mm, MM_ANONPAGES) +
	       mm_counter_get(mm, MM_FILEPAGES) +
	       mm_counter_get(mm, MM_SHMEMPAGES);
}

void mm_hiwater_update(struct mm_struct *mm)
{
	u64 now = mm_rss(mm);

	if (now > READ_ONCE(mm->hiwater_rss))
		WRITE_ONCE(mm->hiwater_rss, now);
}

/* Mappings with less between them than this are looked for tables together. */
#define CLUSTER_GAP (1UL << 30)

/*
 * The tables of MM, whose mappings have nothing in them any more. Where there
 * is no mapping there is no table: upper ones need not be searched there.
 */
static void exit_tables(struct mm_struct *mm, struct mmu_gather *tlb)
{
	struct pt_free_range r = {.free = tlb_remove_table, .arg = tlb};
	struct vm_area_struct *vma;

	for_each_vma (vma, mm) {
		if (r.end && vma->vm_start - r.end >= CLUSTER_GAP) {
			r.ceiling = vma->vm_start;
			pgtable_free_range(&mm->pt, &r);
			r.end = 0;
		}
		if (!r.end)
			r.start = vma->vm_start;
		r.end = vma->vm_end;
	}
	r.ceiling = 0;
	if (r.end)
		pgtable_free_range(&mm->pt, &r);
}

/* Everything that is mapped goes, in one gather with one flush at the end. */
static void exit_mmap(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	struct mmu_gather tlb;

	trace_emit(EXIT_MMAP, mm->serial, mm->total_vm);
	mmap_write_lock(mm);
	mm_gather_init(&tlb, mm);
	tlb.full = true;
	for_each_vma (vma, mm)
		zap_range(&tlb, vma, vma->vm_start, vma->vm_end);
	for_each_vma (vma, mm) {
		unlink_anon_vmas(vma);
		vma_file_unlink(vma);
		vma_close(vma);
		if (vma_accountable(vma->vm_flags))
			vm_unaccount(vma_pages(vma));
		vm_stat_account(mm, vma->vm_flags, -(s64)vma_pages(vma));
	}
	exit_tables(mm, &tlb);
	vma_retire_all(mm);
	tlb_finish(&tlb);
	mmap_write_unlock(mm);
	mm_verify(mm->total_vm == 0 && mm->map_count == 0);
	mm_verify(list_empty(&mm->uffd_events));
	for (int c = 0; c < NR_MM_COUNTERS; c++)
		mm_verify(counter_sum(mm, (enum mm_counter)c) == 0);
}

void mm_get(struct mm_struct *mm)
{
	u32 old = __atomic_fetch_add(&mm->mm_users, 1, __ATOMIC_ACQ_REL);

	mm_verify(old > 0);
}

bool mm_get_not_zero(struct mm_struct *mm)
{
	u32 old = READ_ONCE(mm->mm_users);

	do {
		if (old == 0)
			return false;
	} while (!__atomic_compare_exchange_n(&mm->mm_users, &old, old + 1,
					      false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

void mm_oom_victim(struct mm_struct *mm)
{
	u64 old =
		__atomic_fetch_or(&mm->flags, MMF_OOM_VICTIM, __ATOMIC_ACQ_REL);

	if (!(old & (MMF_OOM_VICTIM | MMF_GONE)))
		__atomic_fetch_add(&space_sys.oom_victims, 1, __ATOMIC_RELAXED);
}

/* Whoever of the killer and us comes second sees the other's flag. */
static void mm_gone(struct mm_struct *mm)
{
	u64 old = __atomic_fetch_or(&mm->flags, MMF_GONE, __ATOMIC_ACQ_REL);

	if (old & MMF_OOM_VICTIM)
		__atomic_fetch_sub(&space_sys.oom_victims, 1, __ATOMIC_RELAXED);
}

void mm_put(struct mm_struct *mm)
{
	u32 left = __atomic_sub_fetch(&mm->mm_users, 1, __ATOMIC_ACQ_REL);

	mm_verify(left != ~0u);
	if (left)
		return;
	exit_mmap(mm);
	huge_zero_exit(mm);
	ksm_exit(mm);
	mm_gone(mm);
	mm_exec_free(mm);
	mm_delist(mm);
	mm_drop(mm);
	epoch_poll();
}

static void mm_free_epoch(struct epoch_head *head)
{
	struct mm_struct *mm = container_of(head, struct mm_struct, epoch);

	/* The tag goes to another space: nothing of this one may be left. */
	port_tlb_flush(&mm->cpus, mm->asid, 0, 0);
	asid_put(mm->asid);
	pgtable_destroy(&mm->pt);
	kmem_cache_free(space_sys.mm_cache, mm);
}

void mm_grab(struct mm_struct *mm)
{
	u32 old = __atomic_fetch_add(&mm->mm_count, 1, __ATOMIC_ACQ_REL);

	mm_verify(old > 0);
}

void mm_drop(struct mm_struct *mm)
{
	u32 left = __atomic_sub_fetch(&mm->mm_count, 1, __ATOMIC_ACQ_REL);

	mm_verify(left != ~0u);
	if (left == 0)
		epoch_defer(&mm->epoch, mm_free_epoch);
}

struct mm_struct *next_space(struct mm_struct *prev)
{
	struct list_head *at = prev ? &prev->mmlist : &space_sys.mms;
	struct mm_struct *found = NULL;

	/* Before boot the list is not even empty. */
	if (!READ_ONCE(space_sys.mms.next))
		return NULL;
	spin_lock(&space_sys.lock);
	for (at = at->next; at != &space_sys.mms && !found; at = at->next) {
		struct mm_struct *mm =
			container_of(at, struct mm_struct, mmlist);

		if (mm_get_not_zero(mm))
			found = mm;
	}
	spin_unlock(&space_sys.lock);
	mm_assert(!found || found != prev);
	if (prev)
		mm_put(prev);
	return found;
}

/* The first space made after PREV. Those that left the list have their number
 * still. Registry locked. */
static struct mm_struct *space_after(const struct mm_struct *prev)
{
	struct mm_struct *mm;

	if (prev && !list_empty(&prev->mmlist)) {
		struct list_head *at = prev->mmlist.next;

		return at == &space_sys.mms
			       ? NULL
			       : container_of(at, struct mm_struct, mmlist);
	}
	list_for_each_entry (mm, &space_sys.mms, mmlist)
		if (!prev || mm->serial > prev->serial)
			return mm;
	return NULL;
}

struct mm_struct *next_space_held(struct mm_struct *prev)
{
	struct mm_struct *found = NULL;

	if (!READ_ONCE(space_sys.mms.next))
		return NULL;
	spin_lock(&space_sys.lock);
	found = space_after(prev);
	if (found)
		mm_grab(found);
	spin_unlock(&space_sys.lock);
	if (prev)
		mm_drop(prev);
	return found;
}

/* ---- tasks
 * -----------------------------------------------------------------------------
 */

static void mm_load(struct mm_struct *mm)
{
	int cpu = port_cpu();

	__atomic_fetch_or(&mm->cpus.bits[cpu / 64], BIT(cpu % 64),
			  __ATOMIC_SEQ_CST);
	port_load_root(mm->pt.root_pfn, mm->asid);
}

/* TASK's active_mm becomes MM (or none), with its reference. */
static void mm_borrow(struct mm_task *task, struct mm_struct *mm)
{
	struct mm_struct *old = task->active_mm;

	if (old == mm)
		return;
	if (mm)
		mm_grab(mm);
	task->active_mm = mm;
	if (old)
		mm_drop(old);
}

/*
 * PREV leaves this CPU, NEXT comes. A kernel thread borrows what is loaded;
 * whoever comes after it loads only if it needs another space.
 */
void mm_switch(struct mm_task *prev, struct mm_task *next)
{
	if (next->mm) {
		mm_borrow(next, next->mm);
		mm_load(next->mm);
	} else if (next->flags & PF_IDLE) {
		/* Flushes need not wake it, nor does it keep the dead. */
		if (prev->active_mm)
			port_load_root(pgtable_sys.idle_root, 0);
	} else {
		mm_borrow(next, prev->active_mm);
	}
	/* Nobody holds a borrowed space while off the CPU: a daemon that
	 * sleeps must not keep the tables of the dead. */
	if (!prev->mm)
		mm_borrow(prev, NULL);
}

/* Others look at task->mm under the registry's lock and may then take a
 * reference: it must not go while they are at it. */
static void task_set_mm(struct mm_task *task, struct mm_struct *mm)
{
	spin_lock(&space_sys.lock);
	WRITE_ONCE(task->mm, mm);
	spin_unlock(&space_sys.lock);
}

void mm_task_attach(struct mm_task *task, struct mm_struct *mm)
{
	mm_verify(task->mm == NULL);
	mm_get(mm);
	mm_grab(mm);
	preempt_disable();
	if (task->active_mm)
		mm_drop(task->active_mm);
	task->active_mm = mm;
	task_set_mm(task, mm);
	task->fault_vma = NULL;
	task->flags &= ~PF_KTHREAD;
	if (task == port_current())
		mm_load(mm);
	preempt_enable();
}

void mm_task_vfork(struct mm_task *task, struct mm_struct *mm,
		   struct completion *done)
{
	mm_verify(task->vfork_done == NULL);
	task->vfork_done = done;
	mm_task_attach(task, mm);
}

/* TASK does not touch its space any more: the parent may, if it waits. */
static void vfork_end(struct mm_task *task)
{
	struct completion *done = task->vfork_done;

	task->vfork_done = NULL;
	if (done)
		complete(done);
}

void mm_task_exit(struct mm_task *task)
{
	struct mm_struct *mm = task->mm;

	task->flags |= PF_EXITING;
	mpol_task_exit(task);
	if (!mm)
		return;
	preempt_disable();
	task_set_mm(task, NULL);
	task->fault_vma = NULL;
	task->active_mm = NULL;
	if (task == port_current())
		port_load_root(pgtable_sys.idle_root, 0);
	preempt_enable();
	vfork_end(task);
	mm_drop(mm);
	mm_put(mm);
}

void mm_task_exec(struct mm_struct *mm)
{
	struct mm_task *task = port_current();
	struct mm_struct *old = task->mm, *active;

	mm_verify(mm != old);
	/* Limits are a process's, and execve(2) keeps them. */
	if (old) {
		mmap_read_lock(old);
		mm_limits_inherit(mm, old);
		mmap_read_unlock(old);
	}
	mm_grab(mm);
	preempt_disable();
	active = task->active_mm;
	task->active_mm = mm;
	task_set_mm(task, mm);
	task->fault_vma = NULL;
	task->flags &= ~PF_KTHREAD;
	mm_load(mm);
	preempt_enable();
	vfork_end(task);
	if (active)
		mm_drop(active);
	if (old)
		mm_put(old);
}

void mm_task_register_as(struct mm_task *task, const char *comm, s32 pid)
{
	struct mm_task *parent = port_current();
	size_t i;

	if (task != parent && parent->mempolicy)
		mpol_task_fork(task, parent);
	if (task != parent)
		memcg_fork(task, parent);
	psi_tasks(NULL, 1);
	for (i = 0; i + 1 < sizeof(task->comm) && comm[i]; i++)
		task->comm[i] = comm[i];
	task->comm[i] = 0;
	spin_lock(&space_sys.lock);
	mm_verify(task->pprev == NULL);
	task->pid = pid ? pid : ++space_sys.next_pid;
	if (!task->tgid)
		task->tgid = task->pid;
	task->next = space_sys.tasks;
	task->pprev = &space_sys.tasks;
	if (task->next)
		task->next->pprev = &task->next;
	space_sys.tasks = task;
	spin_unlock(&space_sys.lock);
}

void mm_task_register(struct mm_task *task, const char *comm)
{
	mm_task_register_as(task, comm, 0);
}

void mm_set_kill_hook(void (*hook)(struct mm_task *task))
{
	space_sys.kill_hook = hook;
}

void mm_task_unregister(struct mm_task *task)
{
	spin_lock(&space_sys.lock);
	mm_verify(task->pprev != NULL);
	*task->pprev = task->next;
	if (task->next)
		task->next->pprev = task->pprev;
	task->next = NULL;
	task->pprev = NULL;
	task->tgid = 0;
	spin_unlock(&space_sys.lock);
	psi_tasks(NULL, -1);
	memcg_task_leave(task);
}

void task_for_each(bool (*fn)(struct mm_task *task, void *arg), void *arg)
{
	spin_lock(&space_sys.lock);
	for (struct mm_task *t = space_sys.tasks; t; t = t->next)
		if (fn(t, arg))
			break;
	spin_unlock(&space_sys.lock);
}

/* Who was registered before T. Registry's lock held. */
static struct mm_task *task_older(const struct mm_task *t)
{
	return t->next;
}

/* Who was registered after T. Registry's lock held. */
static struct mm_task *task_younger(const struct mm_task *t)
{
	return t->pprev == &space_sys.tasks
		       ? NULL
		       : container_of(t->pprev, struct mm_task, next);
}

/* The main thread, or, when that has left, the oldest that is there. */
static bool task_speaks(const struct mm_task *task)
{
	if (!task->mm)
		return false;
	if (task->pid == task->tgid)
		return true;
	for (const struct mm_task *t = task_older(task); t; t = task_older(t))
		if (t->tgid == task->tgid && t->mm)
			return false;
	return true;
}

void process_for_each(bool (*fn)(struct mm_task *task, void *arg), void *arg)
{
	struct mm_task *t;

	spin_lock(&space_sys.lock);
	t = space_sys.tasks;
	while (t && task_older(t))
		t = task_older(t);
	for (; t; t = task_younger(t))
		if (task_speaks(t) && fn(t, arg))
			break;
	spin_unlock(&space_sys.lock);
}

/* ---- looking
 * --------------------------------------------------------------------------------
 */

void mm_usage_get(const struct mm_struct *mm, struct mm_usage *out)
{
	out->total_vm = READ_ONCE(mm->total_vm);
	out->hiwater_vm = READ_ONCE(mm->hiwater_vm);
	out->data_vm = READ_ONCE(mm->data_vm);
	out->stack_vm = READ_ONCE(mm->stack_vm);
	out->exec_vm = READ_ONCE(mm->exec_vm);
	out->locked_vm = READ_ONCE(mm->locked_vm);
	out->rss_anon = mm_counter_get(mm, MM_ANONPAGES);
	out->rss_file = mm_counter_get(mm, MM_FILEPAGES);
	out->rss_shmem = mm_counter_get(mm, MM_SHMEMPAGES);
	out->swap = mm_counter_get(mm, MM_SWAPENTS);
	out->hiwater_rss = max(READ_ONCE(mm->hiwater_rss), mm_rss(mm));
	out->table_bytes = READ_ONCE(mm->pt.table_bytes);
	out->map_count = READ_ONCE(mm->map_count);
	out->brk = READ_ONCE(mm->brk);
	out->start_brk = mm->start_brk;
	out->text = mm_text_pages(mm);
}

void mm_for_each_map(struct mm_struct *mm,
		     void (*fn)(const struct mm_map_info *m, void *arg),
		     void *arg)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	for_each_vma (vma, mm) {
		/* VM_READ, VM_WRITE, VM_EXEC are PROT_'s numbers. */
		struct mm_map_info m = {
			vma->vm_start,
			vma->vm_end,
			(int)(vma->vm_flags & VM_ACCESS_FLAGS),
			(vma->vm_flags & VM_GROWSDOWN) != 0,
		};

		fn(&m, arg);
	}
	mmap_read_unlock(mm);
}

/* One entry of VMA, its table locked. */
static void check_entry(const struct vm_area_struct *vma, uva_t addr, pte_t e,
			u64 *counts)
{
	struct page *page;

	mm_verify(!pte_any_uffd_wp(e) || (vma->vm_flags & VM_UFFD_WP));
	if (pte_in_swap(e))
		counts[MM_SWAPENTS]++;
	if (pte_migrating(e)) {
		mm_verify(PageLocked(migrating_page(e)));
		counts[mm_counter(migrating_page(e))]++;
	}
	mm_verify(!pte_present(e) || !pte_uffd_wp(e) || !pte_write(e));
	if (!pte_present(e) || pte_special(e))
		return;
	page = pfn_to_page(pte_pfn(e));
	counts[mm_counter(page)]++;
	mm_verify(page_mapped(page));
	mm_verify(!pte_write(e) || (vma->vm_flags & VM_WRITE));
	/* KSM finds mappings that fork made when it comes by. */
	if (PageKsm(page)) {
		mm_verify(!pte_write(e) && !(vma->vm_flags & VM_SHARED));
		return;
	}
	mm_verify(!(vma->vm_flags & VM_LOCKED) || PageMlocked(page));
	if (PageAnon(page)) {
		mm_verify(!(vma->vm_flags & VM_SHARED));
		mm_verify(page_index(page) ==
			  (u32)linear_page_index(vma, addr));
		mm_verify(page_linked(page, vma));
		return;
	}
	mm_verify(vma->vm_file &&
		  page_mapping(page) == vma->vm_file->f_mapping);
	mm_verify(page_index(page) == (u32)linear_page_index(vma, addr));
	mm_verify(!pte_write(e) || (vma->vm_flags & VM_SHARED));
}

/* Recount one VMA's entries. */
static void check_vma(struct vm_area_struct *vma, u64 *counts)
{
	struct mm_struct *mm = vma->vm_mm;
	uva_t addr = vma->vm_start;

	while (addr < vma->vm_end) {
		uva_t end = pt_table_end(&mm->pt, addr, vma->vm_end);
		struct pt_slot slot;

		if (!pt_lookup(&mm->pt, addr, &slot)) {
			addr = pt_skip(&mm->pt, addr, vma->vm_end);
			continue;
		}
		pt_lock_read(&slot);
		for (; addr < end; addr += PAGE_SIZE, pt_next(&slot))
			check_entry(vma, addr, pt_get(&slot), counts);
		pt_unlock(&slot);
	}
}

/* Do counters and entries agree? */
static bool check_counters(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	u64 counts[NR_MM_COUNTERS] = {0};

	for_each_vma (vma, mm)
		check_vma(vma, counts);
	for (int c = 0; c < NR_MM_COUNTERS; c++)
		if (counts[c] != mm_counter_get(mm, (enum mm_counter)c))
			return false;
	return true;
}

void mm_check(struct mm_struct *mm)
{
	bool agree = false;

	mmap_write_lock(mm);
	mm_start_write_all(mm);
	vma_tree_check(mm);
	mm_verify(list_empty(&mm->uffd_events));
	pgtable_check(&mm->pt);
	/* Reclaim works under the table locks only and moves entries from one
	 * counter to the other meanwhile: a lasting difference counts. */
	for (int tries = 0; tries < 20 && !agree; tries++) {
		agree = check_counters(mm);
		if (!agree)
			port_park(100 * 1000);
	}
	mm_verify(agree);
	mmap_write_unlock(mm);
}
