/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd_fill.c - answers that put something where nothing was:
 * UFFDIO_COPY, ZEROPAGE, CONTINUE, POISON.
 *
 * 1. Page by page. With the mmap lock held for reading the mapping is looked
 *    up and a frame allocated, by its policy; without any lock the contents are
 *    copied from the caller's memory, which may fault and even wait for another
 *    monitor; with the lock again the mapping is looked up again, and the entry
 *    set, if it still is none. So a page appears as a whole, and a lock of the
 *    watched space is never held while the caller's own is asked for: it may be
 *    the same.
 *
 * 2. What is set where:
 *      COPY      private: an anonymous page; shared: a page of the file
 *      ZEROPAGE  private: the zero page; shared: a zeroed page of the file
 *      CONTINUE  the page that the file has, perhaps in swap
 *      POISON    a marker
 *    POISON and the zero page take the place of nothing, all others also of a
 *    marker. A page of a file is added, locked, before its entry is set; if
 * that fails it goes again.
 *
 * 3. Failure. What was done before stays, and is told; the entry of the page
 *    that failed is untouched. Invariant UF-5: uffd_filling_begin().
 *
 * Reference: ioctl_userfaultfd(2).
 */
#include <mmkit/errno.h>
#include <mmkit/highmem.h>
#include <mmkit/page_alloc.h>
#include <mmkit/uaccess.h>

#include "cache/shmem.h"
#include "phys/lru.h"
#include "space/mempolicy.h"
#include "space/rmap.h"
#include "space/userfaultfd.h"

enum fill_kind { FILL_COPY, FILL_ZERO, FILL_CONTINUE, FILL_POISON };

struct fill {
	const struct uffd_call *call;
	enum fill_kind kind;
	bool wp;	   /* writes to it are watched */
	uva_t at, src;	   /* now */
	uva_t end;	   /* of the whole range */
	struct page *page; /* ours: contents are complete; NULL: none */
};

int uffd_filling_begin(struct userfaultfd_ctx *ctx)
{
	mmap_read_lock(ctx->mm);
	down_read(&ctx->changing);
	if (!__atomic_load_n(&ctx->mmap_changing, __ATOMIC_ACQUIRE))
		return 0;
	uffd_filling_end(ctx);
	return -EAGAIN;
}

void uffd_filling_end(struct userfaultfd_ctx *ctx)
{
	up_read(&ctx->changing);
	mmap_read_unlock(ctx->mm);
}

static bool is_shmem(const struct vm_area_struct *vma)
{
	return vma->vm_file && shmem_is_inode(vma->vm_file->f_inode);
}

/* The mapping to fill, filling begun; or an ERR_PTR: not begun. */
static struct vm_area_struct *fill_begin(struct fill *f)
{
	struct userfaultfd_ctx *ctx = f->call->ctx;
	struct vm_area_struct *vma;
	int err = uffd_filling_begin(ctx);

	if (err)
		return ERR_PTR(err);
	vma = find_vma(ctx->mm, f->at);
	if (!vma_contains(vma, f->at) || f->end > vma->vm_end || !vma->vm_uffd)
		err = -ENOENT;
	else if (f->wp && !userfaultfd_wp(vma))
		err = -EINVAL;
	else if (!is_shmem(vma) &&
		 (!vma_is_anonymous(vma) || f->kind == FILL_CONTINUE))
		err = -EINVAL;
	else if (!(vma->vm_flags & VM_SHARED) && anon_vma_prepare(vma))
		err = -ENOMEM;
	if (!err)
		return vma;
	uffd_filling_end(ctx);
	return ERR_PTR(err);
}

/* ---- entries ---------------------------------------------------------------
 */

/* F's entry, table locked, which may be set; -errno: not locked. MARKERS: also
 * where one stands. */
static int lock_entry(struct fill *f, struct vm_area_struct *vma, bool markers,
		      struct pt_slot *slot)
{
	u64 pgoff = linear_page_index(vma, f->at);
	int err = 0;
	pte_t e;

	if (pt_alloc(&vma->vm_mm->pt, f->at, slot))
		return -ENOMEM;
	pt_lock(slot);
	e = pt_get(slot);
	if (vma->vm_file &&
	    pgoff >= PAGE_ALIGN(i_size_read(vma->vm_file->f_inode)) >>
		    PAGE_SHIFT)
		err = -EFAULT;
	else if (markers ? !pte_none_mostly(e) : !pte_none(e))
		err = -EEXIST;
	if (err)
		pt_unlock(slot);
	return err;
}

static pte_t fill_pte(const struct fill *f, const struct vm_area_struct *vma,
		      u64 pfn, bool write)
{
	pte_t e = pte_mkdirty(pte_mkyoung(pte_make(pfn, vma->vm_page_prot)));

	e = write ? pte_mkwrite(e) : pte_wrprotect(e);
	return f->wp ? pte_wrprotect(pte_mkuffd_wp(e)) : e;
}

/* F's page, fresh, becomes VMA's own. */
static int map_own_page(struct fill *f, struct vm_area_struct *vma)
{
	struct page *page = f->page;
	struct pt_slot slot;
	int err = lock_entry(f, vma, true, &slot);

	if (err)
		return err;
	mm_counter_add(vma->vm_mm, MM_ANONPAGES, 1);
	page_add_new_anon_rmap(page, vma, f->at);
	if (unlikely(vma->vm_flags & VM_LOCKED))
		mlock_new_page(page);
	lru_cache_add(page);
	pt_set(&slot, fill_pte(f, vma, page_to_pfn(page),
			       (vma->vm_flags & VM_WRITE) != 0));
	pt_unlock(&slot);
	f->page = NULL;
	return 0;
}

static int map_zeroes(struct fill *f, struct vm_area_struct *vma)
{
	struct pt_slot slot;
	int err = lock_entry(f, vma, false, &slot);
	pte_t e = pte_make(space_sys.zero_pfn, vma->vm_page_prot);

	if (err)
		return err;
	pt_set(&slot, pte_mkyoung(pte_wrprotect(pte_mkspecial(e))));
	pt_unlock(&slot);
	return 0;
}

static int set_poison(struct fill *f, struct vm_area_struct *vma)
{
	struct pt_slot slot;
	int err = lock_entry(f, vma, false, &slot);

	if (err)
		return err;
	pt_set(&slot, make_pte_marker(PTE_MARKER_POISONED));
	pt_unlock(&slot);
	return 0;
}

/* PAGE, of VMA's file, locked, gets an entry, with a reference of its own. */
static int map_file_page(struct fill *f, struct vm_area_struct *vma,
			 struct page *page)
{
	u64 both = VM_SHARED | VM_WRITE;
	struct pt_slot slot;
	int err = lock_entry(f, vma, true, &slot);

	if (err)
		return err;
	get_page(page);
	mm_counter_add(vma->vm_mm, mm_counter(page), 1);
	page_add_file_rmap(page);
	trace_emit(PAGE_MAP, page_to_pfn(page), vma->vm_mm->serial, f->at,
		   PAGE_MAP_FILE);
	if (unlikely(vma->vm_flags & VM_LOCKED))
		mlock_page(page);
	pt_set(&slot, fill_pte(f, vma, page_to_pfn(page),
			       (vma->vm_flags & both) == both));
	pt_unlock(&slot);
	return 0;
}

/* ---- pages of files --------------------------------------------------------
 */

/* CONTINUE: the page must be there. */
static int map_known_page(struct fill *f, struct vm_area_struct *vma)
{
	struct inode *inode = vma->vm_file->f_inode;
	struct shmem_get g = {.inode = inode,
			      .index = linear_page_index(vma, f->at),
			      .sgp = SGP_READ};
	int err;

	filemap_invalidate_lock_shared(inode->i_mapping);
	err = shmem_getpage(&g);
	if (err || !g.page) {
		err = err ? err : -EFAULT;
	} else {
		err = map_file_page(f, vma, g.page);
		unlock_page(g.page);
		put_page(g.page);
	}
	filemap_invalidate_unlock_shared(inode->i_mapping);
	return err;
}

/* Contents of F's page, or zeroes, become the file's page, which must not have
 * been there, and are mapped. */
static int map_new_page(struct fill *f, struct vm_area_struct *vma)
{
	struct inode *inode = vma->vm_file->f_inode;
	struct shmem_get g = {.inode = inode,
			      .index = linear_page_index(vma, f->at),
			      .page = f->page};
	int err;

	filemap_invalidate_lock_shared(inode->i_mapping);
	err = shmem_add_page(&g);
	if (!err) {
		err = map_file_page(f, vma, f->page);
		/* Nobody has seen it: it was locked. */
		if (err)
			shmem_drop_page(inode, f->page);
		unlock_page(f->page);
	} else if (err == -EINVAL) {
		err = -EFAULT;
	}
	filemap_invalidate_unlock_shared(inode->i_mapping);
	return err;
}

/* ---- the way of one page ---------------------------------------------------
 */

static int fill_entry(struct fill *f, struct vm_area_struct *vma)
{
	bool shared = (vma->vm_flags & VM_SHARED) != 0;

	switch (f->kind) {
	case FILL_COPY:
		return shared ? map_new_page(f, vma) : map_own_page(f, vma);
	case FILL_ZERO:
		return shared ? map_new_page(f, vma) : map_zeroes(f, vma);
	case FILL_CONTINUE:
		return map_known_page(f, vma);
	default:
		return set_poison(f, vma);
	}
}

/* Does VMA need a frame of ours for F? */
static bool wants_frame(const struct fill *f, const struct vm_area_struct *vma)
{
	return f->kind == FILL_COPY ||
	       (f->kind == FILL_ZERO && (vma->vm_flags & VM_SHARED));
}

/* A frame for F, without contents, if one is needed. */
static int fill_prepare(struct fill *f)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_ACCOUNT;
	struct vm_area_struct *vma = fill_begin(f);
	int err = 0;

	if (IS_ERR(vma))
		return (int)PTR_ERR(vma);
	if (wants_frame(f, vma)) {
		f->page = vma_alloc_page(f->kind == FILL_ZERO ? gfp | __GFP_ZERO
							      : gfp,
					 vma, f->at);
		err = f->page ? 0 : -ENOMEM;
	}
	uffd_filling_end(f->call->ctx);
	return err;
}

/* The caller's bytes into F's frame. */
static int fill_contents(struct fill *f)
{
	void *view;
	u64 left;

	if (f->kind != FILL_COPY)
		return 0;
	view = kmap(f->page);
	left = copy_from_user(f->call->local, view, f->src, PAGE_SIZE);
	kunmap(f->page);
	return left ? -EFAULT : 0;
}

static int fill_page(struct fill *f)
{
	struct vm_area_struct *vma;
	int err = fill_prepare(f);

	if (!err)
		err = fill_contents(f);
	if (!err) {
		if (f->page)
			SetPageUptodate(f->page);
		vma = fill_begin(f);
		err = (int)PTR_ERR(vma);
		if (!IS_ERR(vma)) {
			err = fill_entry(f, vma);
			uffd_filling_end(f->call->ctx);
		}
	}
	if (f->page)
		put_page(f->page);
	f->page = NULL;
	return err;
}

/* Bytes done, or -errno if there are none. */
static s64 fill_range(struct fill *f)
{
	uva_t start = f->at;
	int err = 0;

	if (!mm_get_not_zero(f->call->ctx->mm))
		return -ESRCH;
	while (f->at < f->end && !err) {
		err = fill_page(f);
		if (err)
			break;
		f->at += PAGE_SIZE;
		f->src += PAGE_SIZE;
		if (READ_ONCE(port_current()->fatal_signal))
			err = -EINTR;
	}
	mm_put(f->call->ctx->mm);
	return f->at > start ? (s64)(f->at - start) : err;
}

s64 uffd_answer(const struct uffd_call *c, const struct uffd_done *d)
{
	s64 done = d->done;

	if (done == -ESRCH)
		return done;
	if (copy_to_user(c->local, d->at, &done, sizeof(done)))
		return -EFAULT;
	if (done < 0)
		return done;
	if (d->wake)
		uffd_wake(c->ctx, d->start, (u64)done);
	return (u64)done == d->len ? 0 : -EAGAIN;
}

/* ---- calls -----------------------------------------------------------------
 */

/* An event is under way: nothing is looked at. */
static s64 fill_busy(const struct uffd_call *c, u64 at)
{
	s64 again = -EAGAIN;

	if (!__atomic_load_n(&c->ctx->mmap_changing, __ATOMIC_ACQUIRE))
		return 0;
	return copy_to_user(c->local, c->arg + at, &again, sizeof(again))
		       ? -EFAULT
		       : -EAGAIN;
}

s64 uffd_copy(const struct uffd_call *c)
{
	u64 known = UFFDIO_COPY_MODE_DONTWAKE | UFFDIO_COPY_MODE_WP;
	u64 out = offsetof(struct uffdio_copy, copy);
	struct fill f = {.call = c, .kind = FILL_COPY};
	struct uffd_done d = {.at = c->arg + out};
	s64 err = fill_busy(c, out);
	struct uffdio_copy a;

	if (err)
		return err;
	if (copy_from_user(c->local, &a, c->arg, out))
		return -EFAULT;
	if (uffd_check_range(c->ctx->mm, a.src, a.len, false) ||
	    uffd_check_range(c->ctx->mm, a.dst, a.len, true) ||
	    (a.mode & ~known))
		return -EINVAL;
	f.wp = (a.mode & UFFDIO_COPY_MODE_WP) != 0;
	f.at = d.start = a.dst;
	f.src = a.src;
	f.end = a.dst + a.len;
	d.len = a.len;
	d.wake = !(a.mode & UFFDIO_COPY_MODE_DONTWAKE);
	d.done = fill_range(&f);
	return uffd_answer(c, &d);
}

/* The three that have the same structure: a range, a mode, what was done. */
MM_STATIC_ASSERT(offsetof(struct uffdio_continue, mapped) ==
				 offsetof(struct uffdio_zeropage, zeropage) &&
			 offsetof(struct uffdio_poison, updated) ==
				 offsetof(struct uffdio_zeropage, zeropage),
		 "the same structure");

static s64 fill_call(const struct uffd_call *c, enum fill_kind kind, u64 known)
{
	u64 out = offsetof(struct uffdio_zeropage, zeropage);
	struct fill f = {.call = c, .kind = kind};
	struct uffd_done d = {.at = c->arg + out};
	s64 err = fill_busy(c, out);
	struct uffdio_zeropage a;

	if (err)
		return err;
	if (copy_from_user(c->local, &a, c->arg, out))
		return -EFAULT;
	if (uffd_check_range(c->ctx->mm, a.range.start, a.range.len, true) ||
	    (a.mode & ~known))
		return -EINVAL;
	f.wp = (a.mode & UFFDIO_CONTINUE_MODE_WP) != 0;
	f.at = d.start = a.range.start;
	f.end = a.range.start + a.range.len;
	d.len = a.range.len;
	d.wake = !(a.mode & UFFDIO_ZEROPAGE_MODE_DONTWAKE);
	d.done = fill_range(&f);
	return uffd_answer(c, &d);
}

s64 uffd_zeropage(const struct uffd_call *c)
{
	return fill_call(c, FILL_ZERO, UFFDIO_ZEROPAGE_MODE_DONTWAKE);
}

s64 uffd_continue(const struct uffd_call *c)
{
	return fill_call(c, FILL_CONTINUE,
			 UFFDIO_CONTINUE_MODE_DONTWAKE |
				 UFFDIO_CONTINUE_MODE_WP);
}

s64 uffd_poison(const struct uffd_call *c)
{
	return fill_call(c, FILL_POISON, UFFDIO_POISON_MODE_DONTWAKE);
}
