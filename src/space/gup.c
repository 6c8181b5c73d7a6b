/* SPDX-License-Identifier: MIT */
/*
 * gup.c - user memory reached by the kernel: fault in, pin, copy.
 *
 * 1. Purpose. A system call reads and writes memory of a process that may not
 *    be there yet. What the CPU's trap does for the process's own accesses is
 *    done here by asking: find the mapping, check the right, fault until the
 *    entry allows the access.
 *
 * 2. Uses of one step, user_page_lock():
 *      populate  fault in and go on: MAP_POPULATE, mlock(), MADV_POPULATE_*
 *      pin       take references, so that the frames stay: pin_user_pages()
 *      copy      copy to or from the frame: copy_to_user() and its kin
 *    Files are read and written (iov_iter_user()) with pages locked, of which
 *    a fault may want one. So what is there is copied without sleeping, and the
 *    rest faulted in between two pages of the file.
 *
 * 3. Invariants.
 *    GUP-1  A frame is written only with its table locked and a writable entry
 *           in it, which is marked dirty: so no fork, no reclaim and no
 *           mprotect comes between the look and the write. A debugger's write
 *           (USER_FORCE) wants instead that nobody else has the page.
 *           A CPU's own access on behalf of its task (port_user_copy()) obeys
 *           the entry as the task's does, and needs no lock.
 *    GUP-2  A pin weighs PIN_BIAS references. Reclaim leaves pages of that
 *           weight where they are: a page that came back from swap beside a
 *           foreign reference would be copied at the next write.
 *    ZAP-1  What a process finds after the kernel has copied for it is not
 *           older than what was copied (zap.c).
 *
 * 4. Locking. mmap lock for reading; the table lock around a look or a copy of
 *    at most one page. The caller holds neither. Where a userfaultfd's monitor
 *    is to be asked the mmap lock is given back before the wait, and what was
 *    looked up under it is looked up again (USER_PAGE_WAIT).
 *
 * 5. Failure. -EFAULT: no mapping or no right; -ENOMEM: no frame. What was
 *    faulted in before stays.
 *
 * References: process_vm_readv(2), madvise(2), mlock(2); Linux documentation,
 * core-api/pin_user_pages.
 */
#include <mmkit/errno.h>
#include <mmkit/fs.h>
#include <mmkit/page_alloc.h>
#include <mmkit/uaccess.h>

#include "base/string.h"
#include "phys/mmzone.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "space/fault.h"
#include "space/gup.h"
#include "space/huge.h"
#include "space/userfaultfd.h"

/* ---- one page ------------------------------------------------------------ */

/* x86 cannot withhold reading from what may be written or run: the process's
 * own accesses and those for it can read that, others ask for VM_READ. */
static bool vma_access_own(const struct vm_area_struct *vma, bool write)
{
	return (vma->vm_flags & (write ? VM_WRITE : VM_ACCESS_FLAGS)) != 0;
}

static bool vma_access_foreign(const struct vm_area_struct *vma, bool write)
{
	return (vma->vm_flags & (write ? VM_WRITE : VM_READ)) != 0;
}

/* Who debugs reads all that there is, and writes what is the process's alone:
 * a file's own pages stay what they are. */
static bool vma_access_forced(const struct vm_area_struct *vma, bool write)
{
	return !write || (vma->vm_flags & VM_WRITE) ||
	       !(vma->vm_flags & VM_SHARED);
}

static int fault_errno(vm_fault_t result)
{
	if (result & VM_FAULT_HWPOISON)
		return -EHWPOISON;
	if (result & (VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV))
		return -EFAULT;
	if (result & VM_FAULT_RETRY)
		return USER_PAGE_WAIT;
	return result & VM_FAULT_OOM ? -ENOMEM : 0;
}

/* Error codes as x86's: the page was there, but not so; a write. */
#define ERROR_PRESENT 1u
#define ERROR_WRITE   2u

/* A copy of the kernel's had to fault: where it was when its access trapped, if
 * it has one that did. */
static void trace_kernel_fault(const struct mm_struct *mm, uva_t addr, u32 code,
			       vm_fault_t result)
{
	struct mm_task *task = port_current();
	u64 ip = task->fault_ip;

	/* Of this fault alone; the program's own last one is not meant. */
	task->fault_ip = 0;
	trace_emit(PAGE_FAULT_KERNEL, addr, ip < mm->layout.task_size ? 0 : ip,
		   code, mm->serial, result);
}

/* What page_lock() is for. */
struct page_want {
	bool write;
	bool copy;  /* by a copy, whose faults are told */
	bool force; /* though the mapping does not allow it */
	struct uffd_fault *uf;
};

/* A write that only W->force allows. */
static bool forced_write(const struct vm_area_struct *vma,
			 const struct page_want *w)
{
	return w->force && w->write && !(vma->vm_flags & VM_WRITE);
}

/* May what E, present, leads to be used as W says? A write that is forced needs
 * a page that nobody else has. Table locked. */
static bool entry_allows(const struct vm_area_struct *vma, pte_t e,
			 const struct page_want *w)
{
	struct page *page;
	bool ours;

	if (!w->write || pte_write(e))
		return true;
	if (likely(!forced_write(vma, w)) || pte_special(e))
		return false;
	page = pfn_to_page(pte_pfn(e));
	if (!PageAnon(page) || page_mapcount(page) != 1 || !trylock_page(page))
		return false;
	ours = page_make_exclusive(page);
	unlock_page(page);
	return ours;
}

/* One fault, CODE says why. 0: look again; USER_PAGE_WAIT; -errno. */
static int user_fault(struct vm_area_struct *vma, uva_t addr,
		      const struct page_want *w, u32 code)
{
	u32 flags = w->write ? FAULT_FLAG_WRITE : 0;
	struct mm_task *task = port_current();
	vm_fault_t ret;
	int err;

	if (unlikely(forced_write(vma, w)))
		flags |= FAULT_FLAG_FORCE;
	ret = handle_mm_fault(vma, addr, flags);

	if (ret & VM_FAULT_UFFD)
		ret = w->uf ? userfault_begin(w->uf, vma, addr, flags, ret)
			    : VM_FAULT_SIGBUS;
	if (w->copy)
		trace_kernel_fault(vma->vm_mm, addr, code, ret);
	fault_account(task, ret);
	err = fault_errno(ret);
	return !err && READ_ONCE(task->fatal_signal) ? -EINTR : err;
}

static int page_lock(struct vm_area_struct *vma, uva_t addr,
		     struct pt_slot *slot, const struct page_want *w)
{
	struct mm_struct *mm = vma->vm_mm;

	mm_assert(vma_contains(vma, addr) &&
		  (w->force || vma_access_own(vma, w->write)));
	for (;;) {
		u32 code = w->write ? ERROR_WRITE : 0;
		int err;

		if (pt_lookup(&mm->pt, addr, slot)) {
			pte_t e;

			pt_lock_read(slot);
			e = pt_get(slot);
			if (pte_present(e) && entry_allows(vma, e, w))
				return 0;
			code |= pte_present(e) ? ERROR_PRESENT : 0;
			pt_unlock(slot);
		}
		err = user_fault(vma, addr, w, code);
		if (err)
			return err;
	}
}

int user_page_lock(struct vm_area_struct *vma, uva_t addr, bool write,
		   struct pt_slot *slot, struct uffd_fault *uf)
{
	return page_lock(vma, addr, slot,
			 &(struct page_want){.write = write, .uf = uf});
}

/* ---- populate ------------------------------------------------------------ */

/* Where one hold of the mmap lock ends: others want it too. */
#define POPULATE_STEP (512UL << PAGE_SHIFT)

/* In batches of new pages where there is nothing yet. Returns how far it came:
 * what is there is the next to be looked at. */
static uva_t populate_new(struct vm_area_struct *vma, uva_t at, uva_t end)
{
	struct mm_task *task = port_current();

	while (at < end && !READ_ONCE(task->fatal_signal)) {
		u32 n = thp_populate(vma, at, end);

		if (n) {
			vm_event_add(PGFAULT, 1);
			WRITE_ONCE(task->min_flt, task->min_flt + 1);
			at += n * PAGE_SIZE;
			continue;
		}
		n = populate_anonymous(vma, at, end);
		if (!n)
			break;
		vm_event_add(PGFAULT, n);
		WRITE_ONCE(task->min_flt, task->min_flt + n);
		at += n * PAGE_SIZE;
	}
	return at;
}

/* *AT is where it ended. */
static int populate_vma(struct vm_area_struct *vma, uva_t *at, uva_t end,
			bool write, struct uffd_fault *uf)
{
	/* Where a monitor wants to be asked nothing is made. */
	bool batches =
		write && vma_is_anonymous(vma) && !userfaultfd_missing(vma);

	while (*at < end) {
		struct pt_slot slot;
		int err;

		if (batches)
			*at = populate_new(vma, *at, end);
		if (*at == end)
			break;
		err = user_page_lock(vma, *at, write, &slot, uf);
		if (err)
			return err;
		pt_unlock(&slot);
		*at += PAGE_SIZE;
	}
	return 0;
}

/*
 * The part of [*AT, END) in one mapping, a step at most. Lock held. *AT is
 * where to go on, with USER_PAGE_WAIT after the wait for UF; with UF NULL
 * nobody is waited for.
 */
static int populate_step(struct mm_struct *mm, uva_t *at, uva_t end,
			 enum populate_how how, struct uffd_fault *uf)
{
	struct vm_area_struct *vma = find_vma(mm, *at);
	uva_t to, from = *at;
	bool write, allowed;
	int err;

	if (!vma_contains(vma, *at))
		return -ENOMEM;
	to = min(min(vma->vm_end, end), *at + POPULATE_STEP);
	write = how == POPULATE_WRITE;
	/* What would be copied at the first write is copied now. */
	if (how == POPULATE_LIKELY)
		write = (vma->vm_flags & (VM_WRITE | VM_SHARED)) == VM_WRITE;
	allowed = how == POPULATE_LIKELY ? vma_access_own(vma, write)
					 : vma_access_foreign(vma, write);
	*at = to;
	if (how == POPULATE_LIKELY && (vma->vm_flags & VM_LOCKONFAULT))
		return 0;
	if (!allowed)
		return how == POPULATE_LIKELY ? -EFAULT : -EINVAL;
	err = populate_vma(vma, &from, to, write, uf);
	if (err == USER_PAGE_WAIT)
		*at = from;
	return err == -EHWPOISON && how == POPULATE_LIKELY ? -EFAULT : err;
}

/* The same without the lock; waits where it must. */
static int populate_step_wait(struct mm_struct *mm, uva_t *at, uva_t end,
			      enum populate_how how)
{
	struct uffd_fault uf;
	int err;

	mmap_read_lock(mm);
	err = populate_step(mm, at, end, how, &uf);
	mmap_read_unlock(mm);
	if (err != USER_PAGE_WAIT)
		return err;
	return userfault_wait(&uf) ? 0 : -EINTR;
}

int mm_populate(struct mm_struct *mm, uva_t start, u64 len,
		enum populate_how how)
{
	uva_t at = start, end = start + len;
	int err = 0;

	while (at < end && !err)
		err = populate_step_wait(mm, &at, end, how);
	return err;
}

void mm_populate_vma(struct vm_area_struct *vma, uva_t at, uva_t end)
{
	while (at < end &&
	       !populate_step(vma->vm_mm, &at, end, POPULATE_LIKELY, NULL))
		;
}

/* The first address from AT on that is mapped; task_size: none. */
static uva_t next_mapped(struct mm_struct *mm, uva_t at)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, at);
	at = vma ? max(at, vma->vm_start) : mm->layout.task_size;
	mmap_read_unlock(mm);
	return at;
}

void mm_populate_all(struct mm_struct *mm)
{
	uva_t at = next_mapped(mm, 0), end = mm->layout.task_size;

	/* One mapping without access must not spare the rest. */
	while (at < end &&
	       populate_step_wait(mm, &at, end, POPULATE_LIKELY) != -EINTR)
		at = next_mapped(mm, at);
}

/* ---- pin ------------------------------------------------------------------
 */

static void pin_page(struct page *page)
{
	page_ref_add(page, PIN_BIAS);
	inc_node_page_state(page_zone(page)->zone_pgdat, NR_FOLL_PIN_ACQUIRED);
}

void unpin_user_page(struct page *page)
{
	mm_verify(page_count(page) >= PIN_BIAS);
	inc_node_page_state(page_zone(page)->zone_pgdat, NR_FOLL_PIN_RELEASED);
	page_ref_add(page, 1 - PIN_BIAS);
	put_page(page);
}

void unpin_user_pages_dirty(struct page **pages, u64 nr, bool dirty)
{
	for (u64 i = 0; i < nr; i++) {
		if (dirty)
			SetPageDirty(pages[i]);
		unpin_user_page(pages[i]);
	}
}

/* Lock held for reading. */
static int pin_one(struct mm_struct *mm, uva_t addr, bool write,
		   struct page **out, struct uffd_fault *uf)
{
	struct vm_area_struct *vma = find_vma(mm, addr);
	struct pt_slot slot;
	int err;

	if (!vma_contains(vma, addr) || !vma_access_foreign(vma, write))
		return -EFAULT;
	err = user_page_lock(vma, addr, write, &slot, uf);
	if (err)
		return err == -EHWPOISON ? -EFAULT : err;
	*out = pfn_to_page(pte_pfn(pt_get(&slot)));
	pin_page(*out);
	pt_unlock(&slot);
	return 0;
}

/* The same; gives the lock back for as long as a monitor is waited for. */
static int pin_one_wait(struct mm_struct *mm, uva_t addr, bool write,
			struct page **out)
{
	for (;;) {
		struct uffd_fault uf;
		int err = pin_one(mm, addr, write, out, &uf);
		bool woken;

		if (err != USER_PAGE_WAIT)
			return err;
		mmap_read_unlock(mm);
		woken = userfault_wait(&uf);
		mmap_read_lock(mm);
		if (!woken)
			return -EINTR;
	}
}

s64 pin_user_pages(struct mm_struct *mm, uva_t start, u64 nr, u32 gup_flags,
		   struct page **pages)
{
	u64 done = 0;
	int err = 0;

	if (gup_flags & ~FOLL_WRITE)
		return -EINVAL;
	start = PAGE_ALIGN_DOWN(start);
	mmap_read_lock(mm);
	for (; done < nr && !err; done += !err)
		err = start + (done << PAGE_SHIFT) < start
			      ? -EFAULT
			      : pin_one_wait(mm, start + (done << PAGE_SHIFT),
					     (gup_flags & FOLL_WRITE) != 0,
					     &pages[done]);
	mmap_read_unlock(mm);
	return done ? (s64)done : err;
}

/* ---- copy ------------------------------------------------------------------
 */

struct copy_step {
	uva_t user;
	void *kernel;
	u64 n;	 /* within one page */
	u32 how; /* USER_* */
};

/* Of E, the entry at SLOT, N is what it is after use: bits are added, as in a
 * spurious fault. A large entry is not to say something else (HG-1). */
static void entry_used(const struct pt_slot *slot, pte_t e, pte_t n)
{
	u64 more = n.val & ~e.val;

	if (!more)
		return;
	if (unlikely(pt_promoted(slot->table)) && (more & ~X86_PTE_A))
		pt_demote(slot);
	(void)pt_set_bits(slot, more);
}

/* Table locked: GUP-1. */
static void copy_locked(const struct pt_slot *slot, const struct copy_step *c)
{
	pte_t e = pt_get(slot), n = pte_mkyoung(e);
	struct page *page = pfn_to_page(pte_pfn(e));
	char *view = page_map(page);
	u64 off = c->user & (PAGE_SIZE - 1);

	mm_assert(off + c->n <= PAGE_SIZE);
	/* Other threads may be using the same bytes. */
	if (c->how & USER_WRITE) {
		mm_memcpy_racy(view + off, c->kernel, c->n);
		n = pte_mkdirty(n);
	} else {
		mm_memcpy_racy(c->kernel, view + off, c->n);
	}
	page_unmap(page, view);
	entry_used(slot, e, n);
}

/* ZAP-1: the CPU on which the process runs sees ADDR as the tables are. Table
 * locked. */
static void forget_here(struct mm_struct *mm, uva_t addr)
{
	struct port_cpumask here = {{0}};
	int cpu = port_cpu();

	here.bits[cpu / 64] = 1UL << cpu % 64;
	port_tlb_flush(&here, mm->asid, addr, addr + PAGE_SIZE);
}

/* Table locked: the bytes, and what the CPU knows of the page. */
static void copy_here(struct mm_struct *mm, const struct pt_slot *slot,
		      const struct copy_step *c)
{
	copy_locked(slot, c);
	if ((c->how & USER_OWN) &&
	    unlikely(__atomic_load_n(&mm->zaps, __ATOMIC_ACQUIRE)))
		forget_here(mm, PAGE_ALIGN_DOWN(c->user));
}

/* 0; -EAGAIN: a stack must grow; USER_PAGE_WAIT: for UF; -errno. */
static int copy_one(struct mm_struct *mm, const struct copy_step *c,
		    struct uffd_fault *uf)
{
	/* Others ask for whole pages. */
	uva_t at = c->how & USER_OWN ? c->user : PAGE_ALIGN_DOWN(c->user);
	bool write = (c->how & USER_WRITE) != 0, allowed = false;
	struct vm_area_struct *vma;
	struct pt_slot slot;
	int err = -EFAULT;

	mmap_read_lock(mm);
	vma = find_vma(mm, c->user);
	if (vma_contains(vma, c->user) && (c->how & USER_FORCE))
		allowed = vma_access_forced(vma, write);
	else if (vma_contains(vma, c->user))
		allowed = c->how & USER_OWN ? vma_access_own(vma, write)
					    : vma_access_foreign(vma, write);
	if (vma && c->user < vma->vm_start && (vma->vm_flags & VM_GROWSDOWN))
		err = -EAGAIN;
	else if (allowed)
		err = page_lock(
			vma, at, &slot,
			&(struct page_want){.write = write,
					    .copy = c->how & USER_OWN,
					    .force = c->how & USER_FORCE,
					    .uf = uf});
	if (!err) {
		copy_here(mm, &slot, c);
		pt_unlock(&slot);
	}
	mmap_read_unlock(mm);
	return err;
}

/* One step, however long that takes. 0 or -errno: nothing was copied. */
static int copy_wait(struct mm_struct *mm, const struct copy_step *c)
{
	for (;;) {
		struct uffd_fault uf;
		int err = c->user >= mm->layout.task_size
				  ? -EFAULT
				  : copy_one(mm, c, &uf);

		if (err == USER_PAGE_WAIT && userfault_wait(&uf))
			continue;
		if (err == -EAGAIN && (c->how & USER_OWN) &&
		    !expand_stack(mm, c->user))
			continue;
		return err;
	}
}

/* Bytes of N at USER that lie in its page. */
static u64 within_page(uva_t user, u64 n)
{
	return min(n, PAGE_SIZE - (user & (PAGE_SIZE - 1)));
}

/*
 * The running task's own memory, as far as it is there, by the CPU's own
 * accesses where the world has a CPU for it: what those may do needs no lock.
 * Returns how many of N bytes were copied.
 */
static u64 copy_direct(struct mm_struct *mm, uva_t user, void *kernel, u64 n,
		       u32 how)
{
	struct mm_task *task = port_current();
	void *view = (void *)user;

	if (!(how & USER_OWN) || task->mm != mm || task->active_mm != mm ||
	    user >= mm->layout.task_size || n > mm->layout.task_size - user)
		return 0;
	return n - (how & USER_WRITE ? port_user_copy(view, kernel, n)
				     : port_user_copy(kernel, view, n));
}

/* Returns how many of N bytes were not copied. HOW: USER_*. */
static u64 copy_user(struct mm_struct *mm, uva_t user, void *kernel, u64 n,
		     u32 how)
{
	while (n) {
		u64 done = copy_direct(mm, user, kernel, n, how);
		struct copy_step c;

		user += done;
		kernel = (char *)kernel + done;
		n -= done;
		if (!n)
			break;
		c = (struct copy_step){user, kernel, within_page(user, n), how};
		if (copy_wait(mm, &c))
			break;
		user += c.n;
		kernel = (char *)kernel + c.n;
		n -= c.n;
	}
	return n;
}

u64 copy_to_user(struct mm_struct *mm, uva_t to, const void *from, u64 n)
{
	return copy_user(mm, to, (void *)(uintptr_t)from, n,
			 USER_WRITE | USER_OWN);
}

u64 copy_from_user(struct mm_struct *mm, void *to, uva_t from, u64 n)
{
	return copy_user(mm, from, to, n, USER_OWN);
}

u64 access_process_vm(struct mm_struct *mm, uva_t addr, void *buf, u64 n,
		      bool write)
{
	return n - copy_user(mm, addr, buf, n, write ? USER_WRITE : 0);
}

u64 ptrace_access_vm(struct mm_struct *mm, uva_t addr, void *buf, u64 n,
		     bool write)
{
	return n - copy_user(mm, addr, buf, n,
			     USER_FORCE | (write ? USER_WRITE : 0));
}

/* ---- reading and writing files
 * ------------------------------------------------------------------------ */

/*
 * As copy_one() where the page is there and may be used so; without sleeping,
 * and without the mmap lock if somebody changes the space: page locks may be
 * held, for which he might be waiting.
 */
static bool present_lock(struct mm_struct *mm, uva_t addr, bool write,
			 struct pt_slot *slot)
{
	struct vm_area_struct *vma;
	pte_t e;

	if (!mmap_read_trylock(mm))
		return false;
	vma = find_vma(mm, addr);
	if (vma_contains(vma, addr) && vma_access_own(vma, write) &&
	    pt_lookup(&mm->pt, addr, slot)) {
		pt_lock_read(slot);
		e = pt_get(slot);
		if (pte_present(e) && (!write || pte_write(e)))
			return true;
		pt_unlock(slot);
	}
	mmap_read_unlock(mm);
	return false;
}

static void present_unlock(struct mm_struct *mm, const struct pt_slot *slot)
{
	pt_unlock(slot);
	mmap_read_unlock(mm);
}

static bool copy_present(struct mm_struct *mm, const struct copy_step *c)
{
	struct pt_slot slot;

	if (!present_lock(mm, c->user, (c->how & USER_WRITE) != 0, &slot))
		return false;
	copy_here(mm, &slot, c);
	present_unlock(mm, &slot);
	return true;
}

static u32 iter_how(const struct iov_iter *iter)
{
	return USER_OWN | (iter->write ? 0 : USER_WRITE);
}

static u64 iter_copy(struct iov_iter *iter, void *view, u64 n)
{
	u64 done = copy_direct(iter->private, iter->uaddr, view, n,
			       iter_how(iter));

	iter->uaddr += done;
	iter->count -= done;
	while (done < n) {
		struct copy_step c = {iter->uaddr, (char *)view + done,
				      within_page(iter->uaddr, n - done),
				      iter_how(iter)};

		if (!copy_present(iter->private, &c))
			break;
		iter->uaddr += c.n;
		iter->count -= c.n;
		done += c.n;
	}
	return done;
}

static u64 iter_fault_in(struct iov_iter *iter, u64 n)
{
	char none;
	struct copy_step nothing = {iter->uaddr, &none, 0, iter_how(iter)};

	return copy_wait(iter->private, &nothing) ? 0
						  : within_page(iter->uaddr, n);
}

void iov_iter_user(struct iov_iter *iter, struct mm_struct *mm, uva_t addr,
		   u64 n)
{
	*iter = (struct iov_iter){.count = n,
				  .copy = iter_copy,
				  .fault_in = iter_fault_in,
				  .uaddr = addr,
				  .private = mm};
}

/* ---- words
 * ------------------------------------------------------------------------ */

/* The view of the word at ADDR, as others see it; table locked. */
static u32 *word_map(const struct pt_slot *slot, uva_t addr, struct page **page)
{
	*page = pfn_to_page(pte_pfn(pt_get(slot)));
	return (u32 *)((char *)page_map(*page) + (addr & (PAGE_SIZE - 1)));
}

static int word_check(struct mm_struct *mm, uva_t addr)
{
	if (addr % sizeof(u32) || addr >= mm->layout.task_size)
		return -EFAULT;
	return 0;
}

int user_load32_try(struct mm_struct *mm, uva_t addr, u32 *val)
{
	struct pt_slot slot;
	struct page *page;
	u32 *word;
	int err = word_check(mm, addr);

	if (err)
		return err;
	if (!present_lock(mm, addr, false, &slot))
		return -EAGAIN;
	word = word_map(&slot, addr, &page);
	*val = __atomic_load_n(word, __ATOMIC_SEQ_CST);
	page_unmap(page, word);
	present_unlock(mm, &slot);
	return 0;
}

int user_cmpxchg32_try(struct mm_struct *mm, uva_t addr, u32 *old, u32 val)
{
	struct pt_slot slot;
	struct page *page;
	u32 *word;
	pte_t e;
	int err = word_check(mm, addr);

	if (err)
		return err;
	if (!present_lock(mm, addr, true, &slot))
		return -EAGAIN;
	word = word_map(&slot, addr, &page);
	*old = mm_cmpxchg(word, *old, val);
	page_unmap(page, word);
	e = pt_get(&slot);
	entry_used(&slot, e, pte_mkdirty(pte_mkyoung(e)));
	if (unlikely(__atomic_load_n(&mm->zaps, __ATOMIC_ACQUIRE)))
		forget_here(mm, PAGE_ALIGN_DOWN(addr));
	present_unlock(mm, &slot);
	return 0;
}

int user_word_fault_in(struct mm_struct *mm, uva_t addr, bool write)
{
	char none;
	struct copy_step nothing = {addr, &none, 0,
				    USER_OWN | (write ? USER_WRITE : 0)};
	int err = word_check(mm, addr);

	if (!err && copy_wait(mm, &nothing))
		err = -EFAULT;
	return err;
}

/* ---- zeroes and strings
 * ------------------------------------------------------------------------ */

u64 clear_user(struct mm_struct *mm, uva_t to, u64 n)
{
	static const char zeroes[256];

	while (n) {
		u64 part = min(n, (u64)sizeof(zeroes));
		u64 left = copy_to_user(mm, to, zeroes, part);

		n -= part - left;
		to += part - left;
		if (left)
			break;
	}
	return n;
}

/* Divides a page. */
#define STRING_STEP 128u

s64 strncpy_from_user(struct mm_struct *mm, char *to, uva_t from, u64 n)
{
	for (u64 done = 0; done < n;) {
		u64 part = min(n - done, STRING_STEP - ((from + done) &
							(STRING_STEP - 1)));

		/* What is behind the end may be no memory, and long. */
		if (copy_from_user(mm, to + done, from + done, part))
			return -EFAULT;
		for (u64 i = 0; i < part; i++)
			if (!to[done + i])
				return (s64)(done + i);
		done += part;
	}
	return (s64)n;
}
