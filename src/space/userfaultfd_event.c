/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd_event.c - telling a monitor that the watched space changes.
 *
 * 1. Purpose. A monitor that does not cooperate with the program (a migration,
 *    a checkpoint) must know when memory is moved, dropped, unmapped or
 *    inherited, or it would answer for places that mean something else now.
 *
 * 2. Way of an event. It is made before the change, which fails if that fails;
 *    mmap_changing is raised, so from here on nothing is filled. The change is
 *    made; the lock is given back; the caller then sleeps until the monitor has
 *    read the message. Only then filling is allowed again: so an answer that
 *    was under way for the old layout cannot land in the new one.
 *
 * 3. A child of fork gets a handle of its own (uffd_fork_vma): its structure is
 *    made here, its file when the message is read. If nobody reads it, because
 *    the parent's file is closed or the forking task is killed, the child's
 *    mappings lose it again.
 *
 * 4. Invariants.
 *    UE-1  mmap_changing = events made and neither read, nor cancelled.
 *    UE-2  mm->uffd_events is empty whenever the mmap lock is not held for
 *          writing.
 *
 * 5. Life. An event holds its handle, and the child's. Whoever made it frees
 *    it, after he has taken it out of the handle's list.
 *
 * Reference: Linux documentation, admin-guide/mm/userfaultfd
 * (non-cooperative mode).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "space/uffd_event.h"
#include "space/userfaultfd.h"

struct uffd_event {
	struct list_head link; /* mm->uffd_events, then ctx->events */
	struct userfaultfd_ctx *ctx;
	struct userfaultfd_ctx *child; /* FORK; a reference */
	struct uffd_msg msg;
	bool reading; /* (ctx L) somebody is at it: the file of a child */
	u32 done;     /* (ctx L) read */
	wait_queue_head_t wait;
};

/* EV, zeroed, is in no list yet. Nothing is filled from here on. */
static void event_init(struct uffd_event *ev, struct userfaultfd_ctx *ctx,
		       u8 kind)
{
	INIT_LIST_HEAD(&ev->link);
	ev->ctx = ctx;
	ev->msg.event = kind;
	init_waitqueue_head(&ev->wait);
	uffd_ctx_get(ctx);
	down_write(&ctx->changing);
	__atomic_fetch_add(&ctx->mmap_changing, 1, __ATOMIC_ACQ_REL);
	up_write(&ctx->changing);
}

/* An event of MM to be told when its mmap lock is given back; NULL: no memory.
 */
static struct uffd_event *event_new(struct mm_struct *mm,
				    struct userfaultfd_ctx *ctx, u8 kind)
{
	struct uffd_event *ev = kzalloc(sizeof(*ev), GFP_KERNEL);

	rwsem_assert_held_write(&mm->mmap_lock);
	if (!ev)
		return NULL;
	event_init(ev, ctx, kind);
	list_add_tail(&ev->link, &mm->uffd_events);
	return ev;
}

static void changing_done(struct userfaultfd_ctx *ctx)
{
	u32 left = __atomic_sub_fetch(&ctx->mmap_changing, 1, __ATOMIC_ACQ_REL);

	mm_verify(left != ~0u);
}

/* EV is in no list. */
static void event_put(struct uffd_event *ev)
{
	if (ev->child)
		uffd_ctx_put(ev->child);
	uffd_ctx_put(ev->ctx);
}

static void event_cancel(struct uffd_event *ev)
{
	list_del_init(&ev->link);
	changing_done(ev->ctx);
	event_put(ev);
	kfree(ev);
}

/* ---- the teller ------------------------------------------------------------
 */

static bool event_over(const struct uffd_event *ev)
{
	return READ_ONCE(ev->done) || uffd_released(ev->ctx) ||
	       READ_ONCE(port_current()->fatal_signal);
}

/* Out of the handle's list, where nobody is reading it. True: it was read. */
static bool event_unqueue(struct uffd_event *ev)
{
	struct userfaultfd_ctx *ctx = ev->ctx;
	bool done;

	for (;;) {
		spin_lock(&ctx->lock);
		done = ev->done != 0;
		if (!ev->reading)
			break;
		spin_unlock(&ctx->lock);
		wait_event(ev->wait, !READ_ONCE(ev->reading));
	}
	list_del_init(&ev->link);
	spin_unlock(&ctx->lock);
	return done;
}

/* Nobody heard of the child: its memory is watched by nobody. */
static void drop_child(struct userfaultfd_ctx *child)
{
	__atomic_store_n(&child->released, 1, __ATOMIC_RELEASE);
	if (mm_get_not_zero(child->mm)) {
		uffd_release_all(child->mm, child);
		mm_put(child->mm);
	}
	uffd_wake(child, 0, 0);
}

/* No lock held. EV is in no list, then as before. */
static void event_tell(struct uffd_event *ev)
{
	struct userfaultfd_ctx *ctx = ev->ctx;

	spin_lock(&ctx->lock);
	list_add_tail(&ev->link, &ctx->events);
	spin_unlock(&ctx->lock);
	wake_up_all(&ctx->fd_wait);
	wait_event(ev->wait, event_over(ev));
	if (!event_unqueue(ev)) {
		changing_done(ctx);
		if (ev->child)
			drop_child(ev->child);
	}
	event_put(ev);
}

void mmap_write_unlock_tell(struct mm_struct *mm)
{
	LIST_HEAD(events);

	list_splice_tail_init(&mm->uffd_events, &events);
	mmap_write_unlock(mm);
	while (!list_empty(&events)) {
		struct uffd_event *ev =
			list_first_entry(&events, struct uffd_event, link);

		list_del_init(&ev->link);
		event_tell(ev);
		kfree(ev);
	}
}

/* ---- what is told ----------------------------------------------------------
 */

/* CTX, if it wants to hear of EVENT_*'s FEATURE. */
static struct userfaultfd_ctx *listener(const struct vm_area_struct *vma,
					u32 feature)
{
	struct userfaultfd_ctx *ctx = vma->vm_uffd;

	return ctx && (uffd_features(ctx) & feature) ? ctx : NULL;
}

/* Is EV of unmapping [START, END)? */
static bool is_unmap(const struct uffd_event *ev, uva_t start, uva_t end)
{
	return ev->msg.event == UFFD_EVENT_UNMAP &&
	       ev->msg.arg.remove.start == start &&
	       ev->msg.arg.remove.end == end;
}

/* Does MM's list have CTX's event of unmapping [START, END)? */
static bool has_unmap(const struct mm_struct *mm,
		      const struct userfaultfd_ctx *ctx, uva_t start, uva_t end)
{
	const struct uffd_event *ev;

	list_for_each_entry (ev, &mm->uffd_events, link)
		if (ev->ctx == ctx && is_unmap(ev, start, end))
			return true;
	return false;
}

void uffd_unmap_cancel(struct mm_struct *mm, uva_t start, uva_t end)
{
	struct uffd_event *ev, *next;

	list_for_each_entry_safe (ev, next, &mm->uffd_events, link)
		if (is_unmap(ev, start, end))
			event_cancel(ev);
}

int uffd_unmap_prepare(struct mm_struct *mm, uva_t start, uva_t end)
{
	struct vm_area_struct *vma;

	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma)) {
		struct userfaultfd_ctx *ctx =
			listener(vma, UFFD_FEATURE_EVENT_UNMAP);
		struct uffd_event *ev;

		if (!ctx || has_unmap(mm, ctx, start, end))
			continue;
		ev = event_new(mm, ctx, UFFD_EVENT_UNMAP);
		if (!ev) {
			uffd_unmap_cancel(mm, start, end);
			return -ENOMEM;
		}
		ev->msg.arg.remove.start = start;
		ev->msg.arg.remove.end = end;
	}
	return 0;
}

int uffd_remap_prepare(struct vm_area_struct *copy, const struct uffd_remap *r)
{
	struct userfaultfd_ctx *ctx = listener(copy, UFFD_FEATURE_EVENT_REMAP);
	struct uffd_event *ev;

	if (!ctx) {
		uffd_reset_vma(copy);
		return 0;
	}
	ev = event_new(copy->vm_mm, ctx, UFFD_EVENT_REMAP);
	if (!ev)
		return -ENOMEM;
	ev->msg.arg.remap.from = r->from;
	ev->msg.arg.remap.to = r->to;
	ev->msg.arg.remap.len = r->len;
	return 0;
}

void uffd_remap_cancel(struct mm_struct *mm, const struct uffd_remap *r)
{
	struct uffd_event *ev;

	list_for_each_entry (ev, &mm->uffd_events, link)
		if (ev->msg.event == UFFD_EVENT_REMAP &&
		    ev->msg.arg.remap.from == r->from &&
		    ev->msg.arg.remap.to == r->to) {
			event_cancel(ev);
			return;
		}
}

/* The child's handle that answers to CTX of the parent, if it was made. */
static struct userfaultfd_ctx *forked_ctx(struct mm_struct *parent,
					  const struct userfaultfd_ctx *ctx)
{
	struct uffd_event *ev;

	list_for_each_entry (ev, &parent->uffd_events, link)
		if (ev->msg.event == UFFD_EVENT_FORK && ev->ctx == ctx)
			return ev->child;
	return NULL;
}

int uffd_fork_vma(struct vm_area_struct *new, const struct vm_area_struct *old)
{
	struct userfaultfd_ctx *ctx = listener(old, UFFD_FEATURE_EVENT_FORK);
	struct userfaultfd_ctx *child;
	struct uffd_event *ev;

	if (!ctx) {
		uffd_reset_vma(new);
		return 0;
	}
	child = forked_ctx(old->vm_mm, ctx);
	if (!child) {
		child = uffd_ctx_new(new->vm_mm, ctx->flags,
				     uffd_features(ctx));
		if (!child)
			return -ENOMEM;
		ev = event_new(old->vm_mm, ctx, UFFD_EVENT_FORK);
		if (!ev) {
			uffd_ctx_put(child);
			return -ENOMEM;
		}
		ev->child = child;
	}
	new->vm_uffd = child;
	return 0;
}

void uffd_fork_cancel(struct mm_struct *parent, struct mm_struct *child)
{
	struct vm_area_struct *vma;

	for_each_vma (vma, child)
		uffd_reset_vma(vma);
	while (!list_empty(&parent->uffd_events))
		event_cancel(list_first_entry(&parent->uffd_events,
					      struct uffd_event, link));
}

bool uffd_remove(struct vm_area_struct *vma, uva_t start, uva_t end)
{
	struct userfaultfd_ctx *ctx = listener(vma, UFFD_FEATURE_EVENT_REMOVE);
	struct mm_struct *mm = vma->vm_mm;
	struct uffd_event ev = {.done = 0};

	if (!ctx)
		return true;
	event_init(&ev, ctx, UFFD_EVENT_REMOVE);
	ev.msg.arg.remove.start = start;
	ev.msg.arg.remove.end = end;
	mmap_read_unlock(mm);
	event_tell(&ev);
	mmap_read_lock(mm);
	return false;
}

/* ---- the reader ------------------------------------------------------------
 */

bool uffd_events_readable(const struct userfaultfd_ctx *ctx)
{
	const struct uffd_event *ev;

	list_for_each_entry (ev, &ctx->events, link)
		if (!ev->reading && !ev->done)
			return true;
	return false;
}

static struct uffd_event *first_unread(struct userfaultfd_ctx *ctx)
{
	struct uffd_event *ev;

	list_for_each_entry (ev, &ctx->events, link)
		if (!ev->reading && !ev->done)
			return ev;
	return NULL;
}

/* Locks: the handle's. */
static void event_done(struct uffd_event *ev)
{
	changing_done(ev->ctx);
	WRITE_ONCE(ev->done, 1);
	wake_up_all(&ev->wait);
}

/* The child's file gets a descriptor. 0, -errno. EV stays: it is "reading". */
static int install_child(struct uffd_event *ev, const struct uffd_reader *r,
			 struct uffd_msg *msg)
{
	struct file *file;
	int fd;

	if (!r->install)
		return -EINVAL;
	file = uffd_ctx_file(ev->child);
	if (!file)
		return -ENOMEM;
	fd = r->install(file, r->arg);
	if (fd < 0) {
		/* Nobody else knows it; its end is not the handle's. */
		file->private_data = NULL;
		fput(file);
		return fd;
	}
	msg->arg.fork.ufd = (u32)fd;
	return 0;
}

int uffd_event_read(struct userfaultfd_ctx *ctx, const struct uffd_reader *r,
		    struct uffd_msg *msg)
{
	struct uffd_event *ev;
	int err = 0;

	spin_lock(&ctx->lock);
	ev = first_unread(ctx);
	if (!ev) {
		spin_unlock(&ctx->lock);
		return -EAGAIN;
	}
	*msg = ev->msg;
	if (!ev->child) {
		event_done(ev);
		spin_unlock(&ctx->lock);
		return 0;
	}
	WRITE_ONCE(ev->reading, true);
	spin_unlock(&ctx->lock);
	err = install_child(ev, r, msg);
	spin_lock(&ctx->lock);
	WRITE_ONCE(ev->reading, false);
	if (err)
		wake_up_all(&ev->wait);
	else
		event_done(ev);
	spin_unlock(&ctx->lock);
	if (err)
		wake_up_all(&ctx->fd_wait);
	return err;
}

void uffd_events_end(struct userfaultfd_ctx *ctx)
{
	struct uffd_event *ev;

	spin_lock(&ctx->lock);
	list_for_each_entry (ev, &ctx->events, link)
		wake_up_all(&ev->wait);
	spin_unlock(&ctx->lock);
}
