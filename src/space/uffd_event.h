/* SPDX-License-Identifier: MIT */
/*
 * uffd_event.h - telling a monitor that an address space changes. Theory:
 * userfaultfd_event.c.
 */
#ifndef MM_SPACE_UFFD_EVENT_H
#define MM_SPACE_UFFD_EVENT_H

#include "space/space.h"

struct uffd_reader;
struct uffd_msg;
struct userfaultfd_ctx;

/* ---- for the handle; its lock is held in the first ----------------------- */

bool uffd_events_readable(const struct userfaultfd_ctx *ctx);
/* uffd_event_read: the oldest event's message: 0; -EAGAIN: there is none;
 * -ENOMEM, or what R's install says: it stays. May sleep. */
int uffd_event_read(struct userfaultfd_ctx *ctx, const struct uffd_reader *r,
		    struct uffd_msg *msg);
/* uffd_events_end: CTX is closed: who waits for a reader goes on. */
void uffd_events_end(struct userfaultfd_ctx *ctx);

/* ---- for who changes mappings ----------------------------------------------
 *
 * Events are made with the mmap lock held for writing, before the change, and
 * gather in mm->uffd_events; when the lock is given back they are told, one
 * after the other, each until the monitor has read it.
 */

/*
 * mmap_write_unlock_tell: give the mmap lock of MM, held for writing, back
 * and tell what gathered under it. May sleep for as long as the monitor does.
 */
void mmap_write_unlock_tell(struct mm_struct *mm);

/*
 * uffd_unmap_prepare: [START, END) is going to be unmapped. 0, -ENOMEM.
 * uffd_unmap_cancel: it is not.
 */
int uffd_unmap_prepare(struct mm_struct *mm, uva_t start,
		       uva_t end) MM_MUST_CHECK;
void uffd_unmap_cancel(struct mm_struct *mm, uva_t start, uva_t end);

/*
 * uffd_remap_prepare: the pages of VMA at FROM move to TO, where COPY, new and
 * in no tree, keeps VMA's handle if that wants to be told, and else loses it.
 * 0, -ENOMEM. uffd_remap_cancel: it did not.
 */
struct uffd_remap {
	uva_t from, to;
	u64 len;
};
int uffd_remap_prepare(struct vm_area_struct *copy,
		       const struct uffd_remap *r) MM_MUST_CHECK;
void uffd_remap_cancel(struct mm_struct *mm, const struct uffd_remap *r);

/*
 * uffd_fork_vma: NEW, a child's copy of a mapping, in no tree, gets the child's
 * handle if the parent's wants to be told of forks, and else none. 0, -ENOMEM.
 * Events gather in the parent's uffd_events; uffd_fork_cancel: the child will
 * not be: before it goes; both locks are held.
 */
int uffd_fork_vma(struct vm_area_struct *new,
		  const struct vm_area_struct *old) MM_MUST_CHECK;
void uffd_fork_cancel(struct mm_struct *parent, struct mm_struct *child);

/*
 * uffd_remove: the contents of [START, END) of VMA go. True: go on. Else the
 * mmap lock, held for reading, was given back to tell it, and is held again:
 * VMA may be gone.
 */
bool uffd_remove(struct vm_area_struct *vma, uva_t start, uva_t end);

#endif
