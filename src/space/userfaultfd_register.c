/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd_register.c - which memory a handle is asked about.
 *
 * Mappings are split at the bounds of the range and melt where they are equal
 * again: the handle is part of what makes two mappings equal. All checks come
 * before the first change; what changes is narrowed to the mappings that are
 * not so already.
 *
 * Memory that nobody is to be asked about any more: entries first lose what
 * says that writes are watched, then the mapping its flags (UF-3), then those
 * who wait there go on, and meet a mapping like any other.
 *
 * Reference: ioctl_userfaultfd(2).
 */
#include <mmkit/errno.h>
#include <mmkit/uaccess.h>

#include "cache/shmem.h"
#include "space/userfaultfd.h"

int uffd_check_range(const struct mm_struct *mm, u64 start, u64 len,
		     bool aligned)
{
	u64 task_size = mm->layout.task_size;

	if ((aligned && !IS_ALIGNED(start, PAGE_SIZE)) ||
	    !IS_ALIGNED(len, PAGE_SIZE) || !len ||
	    start < READ_ONCE(space_sys.mmap_min_addr) || start >= task_size ||
	    len > task_size - start)
		return -EINVAL;
	return 0;
}

static bool vma_is_shmem(const struct vm_area_struct *vma)
{
	return vma->vm_file && shmem_is_inode(vma->vm_file->f_inode);
}

/* Can CTX be asked about VMA in the ways of FLAGS (VM_UFFD_*)? */
static bool can_userfault(const struct userfaultfd_ctx *ctx,
			  const struct vm_area_struct *vma, u64 flags)
{
	flags &= VM_UFFD_FLAGS;
	if ((flags & VM_UFFD_MINOR) && !vma_is_shmem(vma))
		return false;
	/* Nobody waits: any memory's writes can be noted. */
	if ((uffd_features(ctx) & UFFD_FEATURE_WP_ASYNC) && flags == VM_UFFD_WP)
		return true;
	return vma_is_anonymous(vma) || vma_is_shmem(vma);
}

void uffd_reset_vma(struct vm_area_struct *vma)
{
	WRITE_ONCE(vma->vm_uffd, NULL);
	vma->vm_flags &= ~VM_UFFD_FLAGS;
}

/* VMA, all of it, has CTX and FLAGS from now on; where it melts to. */
static struct vm_area_struct *set_uffd(struct vm_area_struct *vma,
				       struct userfaultfd_ctx *ctx, u64 flags)
{
	vma_start_write(vma);
	if (userfaultfd_wp(vma) && !(flags & VM_UFFD_WP) &&
	    uffd_wp_range(vma, vma->vm_start, vma->vm_end, false))
		mm_bug("uffd: marks do not go");
	vma_set_flags(vma, (vma->vm_flags & ~VM_UFFD_FLAGS) | flags);
	WRITE_ONCE(vma->vm_uffd, ctx);
	return vma_join(vma->vm_mm, vma);
}

void uffd_release_all(struct mm_struct *mm, struct userfaultfd_ctx *ctx)
{
	struct vm_area_struct *vma;

	mmap_write_lock(mm);
	for (vma = vma_first(mm); vma; vma = vma_next(vma))
		if (vma->vm_uffd == ctx)
			vma = set_uffd(vma, NULL, 0);
	mmap_write_unlock(mm);
}

/* ---- UFFDIO_REGISTER -------------------------------------------------------
 */

static u64 mode_flags(u64 mode)
{
	u64 flags = 0;

	if (mode & UFFDIO_REGISTER_MODE_MISSING)
		flags |= VM_UFFD_MISSING;
	if (mode & UFFDIO_REGISTER_MODE_WP)
		flags |= VM_UFFD_WP;
	if (mode & UFFDIO_REGISTER_MODE_MINOR)
		flags |= VM_UFFD_MINOR;
	return flags;
}

struct uffd_want {
	struct userfaultfd_ctx *ctx;
	u64 flags;
};

/* VMA's flags when registered as ARG says; more than that is left alone. */
static u64 registered_flags(const struct vm_area_struct *vma, u64 arg)
{
	const struct uffd_want *w = (const void *)(uintptr_t)arg;

	if (vma->vm_uffd == w->ctx && (vma->vm_flags & w->flags) == w->flags)
		return vma->vm_flags;
	return (vma->vm_flags & ~VM_UFFD_FLAGS) | w->flags;
}

static int register_check(struct mm_struct *mm, uva_t start, uva_t end,
			  const struct uffd_want *w)
{
	struct vm_area_struct *vma = find_vma(mm, start);

	if (!vma || vma->vm_start >= end)
		return -EINVAL;
	for (; vma && vma->vm_start < end; vma = vma_next(vma)) {
		if (!can_userfault(w->ctx, vma, w->flags))
			return -EINVAL;
		/* Filling must not write what the program never could. */
		if (!(vma->vm_flags & VM_MAYWRITE))
			return -EPERM;
		if (vma->vm_uffd && vma->vm_uffd != w->ctx)
			return -EBUSY;
	}
	return 0;
}

/* (M) for writing. 0, or an errno with nothing changed. */
static int register_locked(struct mm_struct *mm, uva_t start, uva_t end,
			   struct uffd_want *w)
{
	u64 arg = (u64)(uintptr_t)w;
	struct vm_area_struct *vma;
	int err = register_check(mm, start, end, w);

	if (err)
		return err;
	if (!vma_changing_range(mm, &start, &end, registered_flags, arg))
		return 0;
	err = vma_isolate_range(mm, start, end);
	if (err)
		return err;
	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma))
		if (registered_flags(vma, arg) != vma->vm_flags)
			vma = set_uffd(vma, w->ctx, w->flags);
	return 0;
}

static u64 range_ioctls(u64 flags)
{
	u64 bits = UFFD_API_RANGE_IOCTLS;

	if (!(flags & VM_UFFD_WP))
		bits &= ~UFFDIO_BIT(UFFDIO_WRITEPROTECT);
	if (!(flags & VM_UFFD_MINOR))
		bits &= ~UFFDIO_BIT(UFFDIO_CONTINUE);
	return bits;
}

s64 uffd_register(const struct uffd_call *c)
{
	u64 known = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP |
		    UFFDIO_REGISTER_MODE_MINOR;
	struct mm_struct *mm = c->ctx->mm;
	struct uffdio_register r;
	struct uffd_want w;
	u64 ioctls;
	int err;

	if (copy_from_user(c->local, &r, c->arg, sizeof(r) - sizeof(r.ioctls)))
		return -EFAULT;
	if (!r.mode || (r.mode & ~known) ||
	    uffd_check_range(mm, r.range.start, r.range.len, true))
		return -EINVAL;
	w = (struct uffd_want){c->ctx, mode_flags(r.mode)};
	if (!mm_get_not_zero(mm))
		return -ENOMEM;
	mmap_write_lock(mm);
	err = register_locked(mm, r.range.start, r.range.start + r.range.len,
			      &w);
	mmap_write_unlock(mm);
	mm_put(mm);
	if (err)
		return err;
	ioctls = range_ioctls(w.flags);
	return copy_to_user(c->local,
			    c->arg + offsetof(struct uffdio_register, ioctls),
			    &ioctls, sizeof(ioctls))
		       ? -EFAULT
		       : 0;
}

/* ---- UFFDIO_UNREGISTER -----------------------------------------------------
 */

static u64 unregistered_flags(const struct vm_area_struct *vma, u64 arg)
{
	(void)arg;
	return vma->vm_flags & ~VM_UFFD_FLAGS;
}

static int unregister_check(struct mm_struct *mm, uva_t start, uva_t end,
			    const struct userfaultfd_ctx *ctx)
{
	struct vm_area_struct *vma = find_vma(mm, start);

	if (!vma || vma->vm_start >= end)
		return -EINVAL;
	for (; vma && vma->vm_start < end; vma = vma_next(vma)) {
		if (vma->vm_uffd && vma->vm_uffd != ctx)
			return -EINVAL;
		if (!can_userfault(ctx, vma, vma->vm_flags))
			return -EINVAL;
	}
	return 0;
}

/* (M) for writing. 0, or an errno with nothing changed. */
static int unregister_locked(struct mm_struct *mm, uva_t start, uva_t end,
			     struct userfaultfd_ctx *ctx)
{
	struct vm_area_struct *vma;
	int err = unregister_check(mm, start, end, ctx);

	if (err)
		return err;
	if (!vma_changing_range(mm, &start, &end, unregistered_flags, 0))
		return 0;
	err = vma_isolate_range(mm, start, end);
	if (err)
		return err;
	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma))
		if (vma->vm_uffd)
			vma = set_uffd(vma, NULL, 0);
	return 0;
}

s64 uffd_unregister(const struct uffd_call *c)
{
	struct mm_struct *mm = c->ctx->mm;
	struct uffdio_range r;
	int err;

	if (copy_from_user(c->local, &r, c->arg, sizeof(r)))
		return -EFAULT;
	if (uffd_check_range(mm, r.start, r.len, true))
		return -EINVAL;
	if (!mm_get_not_zero(mm))
		return -ENOMEM;
	mmap_write_lock(mm);
	err = unregister_locked(mm, r.start, r.start + r.len, c->ctx);
	mmap_write_unlock(mm);
	/* Otherwise they would wait for an answer that nobody owes them. */
	if (!err)
		uffd_wake(c->ctx, r.start, r.len);
	mm_put(mm);
	return err;
}
