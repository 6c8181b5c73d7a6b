/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd.c - page faults that another task answers: the handle, and those
 * who wait.
 *
 * 1. Purpose. A program takes over paging for parts of an address space: a
 *    monitor reads what is touched, brings the contents from wherever they
 *    are, and lets the toucher go on. Post-copy migration, snapshots, garbage
 *    collectors and memory over a network are built on it.
 *
 * 2. Structures. A handle (userfaultfd_ctx) belongs to one address space. A
 *    mapping that is registered points to it (vm_uffd) and has at least one of
 *      VM_UFFD_MISSING  no page: ask, instead of making one
 *      VM_UFFD_WP       a page whose entry has the uffd-wp bit: ask before the
 *                       first write
 *      VM_UFFD_MINOR    the file has the page, the entry is none: ask
 *    A fault that asks stands in two lists in turn: pending until its message
 *    is read, then faults until it is woken. Events (userfaultfd_event.c) tell
 *    of changes of the address space itself.
 *
 * 3. Way of a fault. A case (fault_anon.c, shmem_map.c, fault_cow.c) finds that
 *    it must ask and returns VM_FAULT_UFFD_*. Whoever called handle_mm_fault()
 *    still holds the mmap lock or a claim, so mapping and handle stay; he
 *    enters the fault into the list (userfault_begin), gives his hold up,
 *    sleeps (userfault_wait), and begins anew: the mapping may be gone.
 *    No wake-up is lost: the fault is in the list before the entry is looked
 *    at a last time, and who answers changes the entry before he looks at the
 *    list; the list's lock orders the two.
 *
 * 4. Invariants.
 *    UF-1  vm_uffd is set exactly if one of VM_UFFD_* is; then the handle's mm
 *          is the mapping's.
 *    UF-2  No mapping points to a handle whose file is closed, but in a space
 *          that has no users any more and is never faulted in again.
 *    UF-3  Entries (present, swap, markers) with the uffd-wp bit stand in
 *          mappings with VM_UFFD_WP; a present one is not writable.
 *    UF-4  A fault in a list has not been woken; who is woken is in none.
 *    UF-5  While mmap_changing is not 0 nothing is filled.
 *
 * 5. Life. The handle is an inode without pages, so files, forks and sleepers
 *    hold it by i_count. It holds the structure of the address space, not its
 *    contents: mm_get_not_zero() comes before each use. Closing takes the mmap
 *    lock for writing, which waits for faults on the way into the lists; after
 *    that nobody comes, and all who wait are woken.
 *
 * 6. Locking. ctx->lock is a spinlock near the end of the order; wait queues
 *    alone are taken inside. ctx->changing comes after the mmap lock: filling
 *    holds it shared, the begin of an event takes it for writing. Nobody waits
 *    for a monitor with any lock held.
 *
 * 7. Failure. A fault needs no memory to wait. Events are allocated before
 *    what they tell of happens, so a call fails with nothing changed.
 *
 * 8. Rejected. Waiting inside handle_mm_fault() with a flag that says whether
 *    the lock is still held on return: every caller would have to know two
 *    states of its own lock.
 *
 * References: userfaultfd(2), ioctl_userfaultfd(2); Linux documentation,
 * admin-guide/mm/userfaultfd.
 */
#include "space/userfaultfd.h"

#include <mmkit/errno.h>
#include <mmkit/slab.h>
#include <mmkit/uaccess.h>

#include "base/string.h"
#include "space/uffd_event.h"

/* ---- handles ---------------------------------------------------------------
 */

static struct userfaultfd_ctx *inode_ctx(struct inode *inode)
{
	return container_of(inode, struct userfaultfd_ctx, inode);
}

static void ctx_free(struct inode *inode)
{
	struct userfaultfd_ctx *ctx = inode_ctx(inode);

	mm_verify(list_empty(&ctx->pending) && list_empty(&ctx->faults));
	mm_verify(list_empty(&ctx->events));
	spin_lock(&space_sys.lock);
	list_del(&ctx->list);
	spin_unlock(&space_sys.lock);
	mm_drop(ctx->mm);
	kfree(ctx);
}

/* The file is closed: nobody can answer any more. */
static void ctx_release(struct inode *inode, struct file *file)
{
	struct userfaultfd_ctx *ctx = inode_ctx(inode);

	if (!file->private_data)
		return;
	__atomic_store_n(&ctx->released, 1, __ATOMIC_RELEASE);
	if (mm_get_not_zero(ctx->mm)) {
		uffd_release_all(ctx->mm, ctx);
		mm_put(ctx->mm);
	}
	uffd_wake(ctx, 0, 0);
	uffd_events_end(ctx);
	wake_up_all(&ctx->fd_wait);
}

static s64 ctx_read_iter(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct uffd_msg msg;
	struct uffd_reader r = {.buf = &msg, .len = sizeof(msg)};
	s64 ret;

	(void)pos;
	if (iter->count < sizeof(msg))
		return -EINVAL;
	ret = userfaultfd_read(file, &r);
	if (ret <= 0 || !iter->copy) {
		if (ret > 0) {
			mm_memcpy(iter->buf, &msg, sizeof(msg));
			iter->buf = (char *)iter->buf + sizeof(msg);
			iter->count -= sizeof(msg);
		}
		return ret;
	}
	if (iter->fault_in && !iter->fault_in(iter, sizeof(msg)))
		return -EFAULT;
	return iter->copy(iter, &msg, sizeof(msg)) == sizeof(msg) ? ret
								  : -EFAULT;
}

static s64 ctx_write_iter(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)file;
	(void)iter;
	(void)pos;
	return -EINVAL;
}

static const struct inode_operations uffd_iops = {.release = ctx_free};
static const struct address_space_operations uffd_aops = {.readpage = NULL};
static const struct file_operations uffd_fops = {
	.read_iter = ctx_read_iter,
	.write_iter = ctx_write_iter,
	.release = ctx_release,
};

struct userfaultfd_ctx *uffd_ctx_new(struct mm_struct *mm, u32 flags,
				     u32 features)
{
	struct userfaultfd_ctx *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);

	if (!ctx)
		return NULL;
	/* Of no kind that has contents: it cannot be mapped. */
	inode_init(&ctx->inode, &space_sys.uffd_sb, 0600, &uffd_aops,
		   &uffd_fops);
	ctx->inode.i_op = &uffd_iops;
	ctx->inode.i_nlink = 0;
	ctx->flags = flags;
	ctx->features = features;
	init_rwsem(&ctx->changing, LOCK_CLASS_UFFD_CHANGING);
	spin_lock_init(&ctx->lock, LOCK_CLASS_UFFD);
	INIT_LIST_HEAD(&ctx->pending);
	INIT_LIST_HEAD(&ctx->faults);
	INIT_LIST_HEAD(&ctx->events);
	init_waitqueue_head(&ctx->fd_wait);
	mm_grab(mm);
	ctx->mm = mm;
	spin_lock(&space_sys.lock);
	list_add_tail(&ctx->list, &space_sys.uffds);
	spin_unlock(&space_sys.lock);
	return ctx;
}

void uffd_ctx_get(struct userfaultfd_ctx *ctx)
{
	ihold(&ctx->inode);
}

void uffd_ctx_put(struct userfaultfd_ctx *ctx)
{
	iput(&ctx->inode);
}

struct file *uffd_ctx_file(struct userfaultfd_ctx *ctx)
{
	struct file *file =
		file_open(&ctx->inode, FMODE_READ | FMODE_WRITE,
			  ctx->flags & O_NONBLOCK, "anon_inode:[userfaultfd]");

	if (file)
		file->private_data = ctx;
	return file;
}

struct userfaultfd_ctx *uffd_file_ctx(const struct file *file)
{
	return file->f_op == &uffd_fops ? inode_ctx(file->f_inode) : NULL;
}

bool is_userfaultfd(const struct file *file)
{
	return uffd_file_ctx(file) != NULL;
}

struct file *userfaultfd_create(struct mm_struct *mm, u32 flags)
{
	struct userfaultfd_ctx *ctx;
	struct file *file;

	if (!(flags & UFFD_USER_MODE_ONLY) &&
	    !READ_ONCE(space_sys.unprivileged_userfaultfd) &&
	    !mm_capable(MM_CAP_SYS_PTRACE))
		return ERR_PTR(-EPERM);
	if (flags & ~(u32)(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY))
		return ERR_PTR(-EINVAL);
	ctx = uffd_ctx_new(mm, flags & ~(u32)O_CLOEXEC, 0);
	if (!ctx)
		return ERR_PTR(-ENOMEM);
	file = uffd_ctx_file(ctx);
	uffd_ctx_put(ctx);
	return file ? file : ERR_PTR(-ENOMEM);
}

/* ---- those who wait --------------------------------------------------------
 */

/* Is the entry still as it was when the fault had to ask? */
static bool must_wait(const struct mm_struct *mm, uva_t address, vm_fault_t why)
{
	struct pt_slot slot;
	pte_t e = {0};

	if (pt_lookup(&mm->pt, address, &slot)) {
		pt_lock_read(&slot);
		e = pt_get(&slot);
		pt_unlock(&slot);
	}
	if (why & VM_FAULT_UFFD_WP)
		return pte_present(e) && pte_uffd_wp(e);
	return pte_none_mostly(e);
}

static void fault_message(struct uffd_fault *uf, uva_t address, u32 flags,
			  vm_fault_t why)
{
	u32 features = uffd_features(uf->ctx);
	struct uffd_msg *msg = &uf->msg;

	mm_memset(msg, 0, sizeof(*msg));
	msg->event = UFFD_EVENT_PAGEFAULT;
	msg->arg.pagefault.address = features & UFFD_FEATURE_EXACT_ADDRESS
					     ? address
					     : PAGE_ALIGN_DOWN(address);
	if (flags & FAULT_FLAG_WRITE)
		msg->arg.pagefault.flags |= UFFD_PAGEFAULT_FLAG_WRITE;
	if (why & VM_FAULT_UFFD_WP)
		msg->arg.pagefault.flags |= UFFD_PAGEFAULT_FLAG_WP;
	if (why & VM_FAULT_UFFD_MINOR)
		msg->arg.pagefault.flags |= UFFD_PAGEFAULT_FLAG_MINOR;
	if (features & UFFD_FEATURE_THREAD_ID)
		msg->arg.pagefault.feat.ptid = (u32)port_current()->pid;
}

/* May this access wait for a monitor? 0; or how it ends instead. */
static bool refuses_to_wait(const struct userfaultfd_ctx *ctx, u32 flags)
{
	if (uffd_features(ctx) & UFFD_FEATURE_SIGBUS)
		return true;
	if ((ctx->flags & UFFD_USER_MODE_ONLY) && !(flags & FAULT_FLAG_USER))
		return true;
	return (port_current()->flags & PF_EXITING) != 0;
}

/* Out of the lists, if it is in one. */
static void fault_unlink(struct uffd_fault *uf)
{
	spin_lock(&uf->ctx->lock);
	list_del_init(&uf->link);
	spin_unlock(&uf->ctx->lock);
}

vm_fault_t userfault_begin(struct uffd_fault *uf,
			   const struct vm_area_struct *vma, uva_t address,
			   u32 flags, vm_fault_t why)
{
	struct userfaultfd_ctx *ctx = vma->vm_uffd;

	mm_verify(ctx && ctx->mm == vma->vm_mm);
	if (refuses_to_wait(ctx, flags))
		return VM_FAULT_SIGBUS;
	/* Soon nobody is to be asked: who closes it waits for our lock. */
	uf->ctx = NULL;
	if (uffd_released(ctx))
		return VM_FAULT_RETRY;
	uffd_ctx_get(ctx);
	uf->ctx = ctx;
	uf->woken = 0;
	init_waitqueue_head(&uf->wait);
	fault_message(uf, address, flags, why);
	spin_lock(&ctx->lock);
	list_add_tail(&uf->link, &ctx->pending);
	spin_unlock(&ctx->lock);
	port_sched_point();
	if (must_wait(vma->vm_mm, address, why))
		return VM_FAULT_RETRY;
	/* Answered meanwhile. The mapping and its mmap lock keep the handle:
	 * this is not the last reference. */
	fault_unlink(uf);
	uffd_ctx_put(ctx);
	return 0;
}

static bool fault_over(const struct uffd_fault *uf)
{
	return READ_ONCE(uf->woken) || READ_ONCE(port_current()->fatal_signal);
}

bool userfault_wait(struct uffd_fault *uf)
{
	if (!uf->ctx)
		return !READ_ONCE(port_current()->fatal_signal);
	wake_up_all(&uf->ctx->fd_wait);
	wait_event(uf->wait, fault_over(uf));
	/* Also for who woke us: he is done with UF when the lock is free. */
	fault_unlink(uf);
	uffd_ctx_put(uf->ctx);
	return !READ_ONCE(port_current()->fatal_signal);
}

static bool address_in(const struct uffd_fault *uf, uva_t start, u64 len)
{
	u64 at = uf->msg.arg.pagefault.address;

	return !len || (at >= start && at - start < len);
}

/* Locks: the handle's. */
static void wake_list(struct list_head *list, uva_t start, u64 len)
{
	struct uffd_fault *uf, *next;

	list_for_each_entry_safe (uf, next, list, link) {
		if (!address_in(uf, start, len))
			continue;
		list_del_init(&uf->link);
		WRITE_ONCE(uf->woken, 1);
		wake_up_all(&uf->wait);
	}
}

void uffd_wake(struct userfaultfd_ctx *ctx, uva_t start, u64 len)
{
	spin_lock(&ctx->lock);
	wake_list(&ctx->pending, start, len);
	wake_list(&ctx->faults, start, len);
	spin_unlock(&ctx->lock);
}

/* ---- reading ---------------------------------------------------------------
 */

/* The oldest fault's message; from now on it was read. */
static bool take_fault(struct userfaultfd_ctx *ctx, struct uffd_msg *msg)
{
	struct uffd_fault *uf = NULL;

	spin_lock(&ctx->lock);
	if (!list_empty(&ctx->pending)) {
		uf = list_first_entry(&ctx->pending, struct uffd_fault, link);
		list_move_tail(&uf->link, &ctx->faults);
		*msg = uf->msg;
	}
	spin_unlock(&ctx->lock);
	return uf != NULL;
}

static bool readable(struct userfaultfd_ctx *ctx)
{
	bool some;

	spin_lock(&ctx->lock);
	some = !list_empty(&ctx->pending) || uffd_events_readable(ctx);
	spin_unlock(&ctx->lock);
	return some;
}

/* One message: 0, or -errno. */
static int read_one(struct userfaultfd_ctx *ctx, const struct uffd_reader *r,
		    bool wait, struct uffd_msg *msg)
{
	for (;;) {
		int ret;

		if (take_fault(ctx, msg))
			return 0;
		ret = uffd_event_read(ctx, r, msg);
		if (ret != -EAGAIN || !wait)
			return ret;
		wait_event(ctx->fd_wait,
			   readable(ctx) ||
				   READ_ONCE(port_current()->fatal_signal));
		if (READ_ONCE(port_current()->fatal_signal))
			return -EINTR;
	}
}

s64 userfaultfd_read(struct file *file, const struct uffd_reader *r)
{
	struct userfaultfd_ctx *ctx = uffd_file_ctx(file);
	bool wait;
	u64 done = 0;

	if (!ctx || !uffd_features(ctx))
		return -EINVAL;
	wait = !(ctx->flags & O_NONBLOCK);
	for (;;) {
		struct uffd_msg msg;
		int err;

		if (r->len - done < sizeof(msg))
			return done ? (s64)done : -EINVAL;
		err = read_one(ctx, r, wait && !done, &msg);
		if (err)
			return done ? (s64)done : err;
		mm_memcpy((char *)r->buf + done, &msg, sizeof(msg));
		done += sizeof(msg);
	}
}

u32 userfaultfd_poll(struct file *file, u64 timeout_ns)
{
	struct userfaultfd_ctx *ctx = uffd_file_ctx(file);

	/* That there is something now does not keep a read from waiting. */
	if (!ctx || !uffd_features(ctx) || !(ctx->flags & O_NONBLOCK))
		return MM_POLLERR;
	if (timeout_ns && !readable(ctx))
		(void)wait_event_timeout(
			ctx->fd_wait,
			readable(ctx) ||
				READ_ONCE(port_current()->fatal_signal),
			timeout_ns);
	return readable(ctx) ? MM_POLLIN : 0;
}

/* ---- calls -----------------------------------------------------------------
 */

/* UFFDIO_API: once. */
static s64 uffd_api(const struct uffd_call *c)
{
	struct uffdio_api api;
	u32 none = 0, features;
	s64 err = 0;

	if (copy_from_user(c->local, &api, c->arg, sizeof(api)))
		return -EFAULT;
	if (api.api != UFFD_API || (api.features & ~(u64)UFFD_API_FEATURES))
		err = -EINVAL;
	else if ((api.features & UFFD_FEATURE_EVENT_FORK) &&
		 !mm_capable(MM_CAP_SYS_PTRACE))
		err = -EPERM;
	features = (u32)api.features | UFFD_INITIALIZED;
	/* What is only noted must be noted of pages to come as well. */
	if (features & UFFD_FEATURE_WP_ASYNC)
		features |= UFFD_FEATURE_WP_UNPOPULATED;
	api.features = UFFD_API_FEATURES;
	api.ioctls = UFFD_API_IOCTLS;
	if (!err && copy_to_user(c->local, c->arg, &api, sizeof(api)))
		return -EFAULT;
	if (!err && !mm_try_cmpxchg(&c->ctx->features, &none, features))
		err = -EINVAL;
	if (!err)
		return 0;
	mm_memset(&api, 0, sizeof(api));
	return copy_to_user(c->local, c->arg, &api, sizeof(api)) ? -EFAULT
								 : err;
}

static s64 uffd_wake_call(const struct uffd_call *c)
{
	struct uffdio_range range;

	if (copy_from_user(c->local, &range, c->arg, sizeof(range)))
		return -EFAULT;
	if (uffd_check_range(c->ctx->mm, range.start, range.len, true))
		return -EINVAL;
	uffd_wake(c->ctx, range.start, range.len);
	return 0;
}

s64 userfaultfd_ioctl(struct file *file, struct mm_struct *local, u32 cmd,
		      uva_t arg)
{
	struct uffd_call c = {uffd_file_ctx(file), local, arg};

	if (!c.ctx)
		return -EINVAL;
	if (cmd == UFFDIO_API)
		return uffd_api(&c);
	if (!uffd_features(c.ctx))
		return -EINVAL;
	switch (cmd) {
	case UFFDIO_REGISTER:
		return uffd_register(&c);
	case UFFDIO_UNREGISTER:
		return uffd_unregister(&c);
	case UFFDIO_WAKE:
		return uffd_wake_call(&c);
	case UFFDIO_COPY:
		return uffd_copy(&c);
	case UFFDIO_ZEROPAGE:
		return uffd_zeropage(&c);
	case UFFDIO_CONTINUE:
		return uffd_continue(&c);
	case UFFDIO_POISON:
		return uffd_poison(&c);
	case UFFDIO_WRITEPROTECT:
		return uffd_writeprotect(&c);
	case UFFDIO_MOVE:
		return uffd_move(&c);
	default:
		return -EINVAL;
	}
}

/* ---- the checker -----------------------------------------------------------
 */

static void check_list(struct userfaultfd_ctx *ctx, struct list_head *list)
{
	struct uffd_fault *uf;

	list_for_each_entry (uf, list, link) {
		mm_verify(uf->ctx == ctx && !uf->woken);
		mm_verify(uf->msg.event == UFFD_EVENT_PAGEFAULT);
	}
}

static bool ctx_known(const struct userfaultfd_ctx *ctx)
{
	struct userfaultfd_ctx *c;

	list_for_each_entry (c, &space_sys.uffds, list)
		if (c == ctx)
			return true;
	return false;
}

static void check_space(struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	for_each_vma (vma, mm) {
		mm_verify(!vma->vm_uffd == !(vma->vm_flags & VM_UFFD_FLAGS));
		if (!vma->vm_uffd)
			continue;
		mm_verify(ctx_known(vma->vm_uffd));
		mm_verify(vma->vm_uffd->mm == mm);
		mm_verify(!uffd_released(vma->vm_uffd));
	}
	mmap_read_unlock(mm);
}

void userfaultfd_check(void)
{
	struct userfaultfd_ctx *ctx;
	struct mm_struct *mm;

	list_for_each_entry (mm, &space_sys.mms, mmlist)
		check_space(mm);
	list_for_each_entry (ctx, &space_sys.uffds, list) {
		spin_lock(&ctx->lock);
		check_list(ctx, &ctx->pending);
		check_list(ctx, &ctx->faults);
		spin_unlock(&ctx->lock);
	}
}
