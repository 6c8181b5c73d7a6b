/* SPDX-License-Identifier: MIT */
/*
 * locks.c - locks that programs put on files: fcntl(2)'s record locks, of
 * processes and of open files, and flock(2)'s.
 *
 * 1. Structures. A lock is a range of bytes of an inode, shared or exclusive,
 *    with an owner: the table of descriptors (POSIX locks), or the open file
 *    (OFD locks and flock). flock's are of another kind: they do not meet the
 *    others. All stand on one list, those that wait on a second one.
 *
 * 2. Setting a range of an owner first takes that range out of what the owner
 *    has (locks are cut, at most one becomes two), then enters the new one and
 *    joins it with its neighbours. What that may need is allocated before the
 *    lock is taken, so the change itself cannot fail.
 *
 * 3. Waiting. A waiter says what it wants and sleeps; every change wakes all
 *    who wait for the same inode, and they look again. Before a POSIX lock
 *    waits, the owners that it would wait for are followed: an owner that is
 *    itself waiting leads to whom it waits for. Ending at the asker is EDEADLK.
 *    OFD locks and flock are not searched (fcntl(2)).
 *
 * 4. Invariants.
 *    LK-1  Of one inode, kind and owner, ranges do not overlap.
 *    LK-2  Of one inode and family, overlapping ranges of different owners are
 *          all shared.
 *
 * References: fcntl(2) (advisory record locking, OFD locks), flock(2), proc(5)
 * (locks).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/wait.h"
#include "cache/filemap.h"
#include "fs.h"

#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2

#define F_GETLK	     5u
#define F_SETLK	     6u
#define F_SETLKW     7u
#define F_OFD_GETLK  36u
#define F_OFD_SETLK  37u
#define F_OFD_SETLKW 38u

#define LOCK_SH 1u
#define LOCK_EX 2u
#define LOCK_NB 4u
#define LOCK_UN 8u

#define OFFSET_MAX     INT64_MAX
#define DEADLOCK_DEPTH 64

enum lock_kind { LK_POSIX, LK_OFD, LK_FLOCK };

struct file_lock {
	struct list_head entry; /* fs_sys.locks or .blocked */
	const struct inode *inode;
	const void *owner;
	enum lock_kind kind;
	int type;	/* F_RDLCK, F_WRLCK, F_UNLCK */
	s64 start, end; /* both inclusive */
	s32 pid;
	wait_queue_head_t *wait; /* of one that waits */
};

static bool same_family(const struct file_lock *a, const struct file_lock *b)
{
	return (a->kind == LK_FLOCK) == (b->kind == LK_FLOCK);
}

static bool same_owner(const struct file_lock *a, const struct file_lock *b)
{
	return a->owner == b->owner && a->kind == b->kind;
}

static bool overlap(const struct file_lock *a, const struct file_lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

/* ---- the list; lock_lock held ----------------------------------------------
 */

/* A lock that L cannot be beside; NULL. */
static struct file_lock *conflict(const struct file_lock *l)
{
	struct file_lock *o;

	list_for_each_entry (o, &fs_sys.locks, entry) {
		if (o->inode == l->inode && same_family(o, l) &&
		    !same_owner(o, l) && overlap(o, l) &&
		    (o->type == F_WRLCK || l->type == F_WRLCK))
			return o;
	}
	return NULL;
}

/* Whom does OWNER, a table of descriptors, wait for? */
static const void *waits_for(const void *owner)
{
	const struct file_lock *w, *o;

	list_for_each_entry (w, &fs_sys.blocked, entry) {
		if (w->kind != LK_POSIX || w->owner != owner)
			continue;
		o = conflict(w);
		if (o && o->kind == LK_POSIX)
			return o->owner;
	}
	return NULL;
}

/* Would L, that has to wait for O, wait for itself? */
static bool deadlock(const struct file_lock *l, const struct file_lock *o)
{
	const void *owner = o->owner;

	if (l->kind != LK_POSIX || o->kind != LK_POSIX)
		return false;
	for (int i = 0; owner && i < DEADLOCK_DEPTH; i++) {
		if (owner == l->owner)
			return true;
		owner = waits_for(owner);
	}
	return false;
}

/* What is free after the change, for the caller to free; and two spares. */
struct lock_spares {
	struct file_lock *fresh[2];
	struct list_head dead;
};

/* The range of L goes from what its owner has. */
static void cut_out(const struct file_lock *l, struct lock_spares *sp)
{
	struct file_lock *o, *n, *tail;

	list_for_each_entry_safe (o, n, &fs_sys.locks, entry) {
		if (o->inode != l->inode || !same_owner(o, l) || !overlap(o, l))
			continue;
		if (o->start < l->start && o->end > l->end) {
			tail = sp->fresh[1];
			sp->fresh[1] = NULL;
			*tail = *o;
			tail->start = l->end + 1;
			o->end = l->start - 1;
			list_add(&tail->entry, &o->entry);
		} else if (o->start < l->start) {
			o->end = l->start - 1;
		} else if (o->end > l->end) {
			o->start = l->end + 1;
		} else {
			list_move(&o->entry, &sp->dead);
		}
	}
}

/* L, entered, takes in its equals next to it. */
static void join(struct file_lock *l, struct lock_spares *sp)
{
	struct file_lock *o, *n;

	list_for_each_entry_safe (o, n, &fs_sys.locks, entry) {
		if (o == l || o->inode != l->inode || !same_owner(o, l) ||
		    o->type != l->type)
			continue;
		if (o->end < OFFSET_MAX && o->end + 1 == l->start)
			l->start = o->start;
		else if (l->end < OFFSET_MAX && l->end + 1 == o->start)
			l->end = o->end;
		else
			continue;
		list_move(&o->entry, &sp->dead);
	}
}

static void wake_waiters(const struct inode *inode)
{
	struct file_lock *w;

	list_for_each_entry (w, &fs_sys.blocked, entry) {
		if (w->inode == inode)
			wake_up_all(w->wait);
	}
}

static void apply(const struct file_lock *l, struct lock_spares *sp)
{
	struct file_lock *new;

	cut_out(l, sp);
	if (l->type != F_UNLCK) {
		new = sp->fresh[0];
		sp->fresh[0] = NULL;
		*new = *l;
		list_add_tail(&new->entry, &fs_sys.locks);
		join(new, sp);
	}
	wake_waiters(l->inode);
}

/* ---- setting ---------------------------------------------------------------
 */

static int spares_get(struct lock_spares *sp)
{
	INIT_LIST_HEAD(&sp->dead);
	for (int i = 0; i < 2; i++)
		sp->fresh[i] =
			kmem_cache_alloc(fs_sys.lock_cache, GFP_KERNEL_ACCOUNT);
	return sp->fresh[0] && sp->fresh[1] ? 0 : -ENOLCK;
}

static void spares_put(struct lock_spares *sp)
{
	struct file_lock *l, *n;

	for (int i = 0; i < 2; i++) {
		if (sp->fresh[i])
			kmem_cache_free(fs_sys.lock_cache, sp->fresh[i]);
	}
	list_for_each_entry_safe (l, n, &sp->dead, entry)
		kmem_cache_free(fs_sys.lock_cache, l);
}

/* Set L if nothing stands against it: 0; -EAGAIN, with L on the list of who
 * waits if WAIT; -EDEADLK. */
static int try_lock(struct file_lock *l, struct lock_spares *sp, bool wait)
{
	struct file_lock *o;
	int err = 0;

	spin_lock(&fs_sys.lock_lock);
	o = l->type == F_UNLCK ? NULL : conflict(l);
	if (!o)
		apply(l, sp);
	else if (wait && deadlock(l, o))
		err = -EDEADLK;
	else
		err = -EAGAIN;
	if (err == -EAGAIN && wait && list_empty(&l->entry))
		list_add_tail(&l->entry, &fs_sys.blocked);
	else if (err != -EAGAIN && !list_empty(&l->entry))
		list_del_init(&l->entry);
	spin_unlock(&fs_sys.lock_lock);
	return err;
}

static int set_lock(struct file_lock *l, bool wait)
{
	wait_queue_head_t wq;
	struct lock_spares sp;
	int err = spares_get(&sp), sig = 0;

	INIT_LIST_HEAD(&l->entry);
	init_waitqueue_head(&wq);
	l->wait = &wq;
	if (!err) {
		err = try_lock(l, &sp, wait);
		if (err == -EAGAIN && wait)
			sig = wait_event_interruptible(
				wq, (err = try_lock(l, &sp, true)) != -EAGAIN);
	}
	if (sig && err == -EAGAIN) {
		spin_lock(&fs_sys.lock_lock);
		if (!list_empty(&l->entry))
			list_del_init(&l->entry);
		spin_unlock(&fs_sys.lock_lock);
		err = sig;
	}
	spares_put(&sp);
	return err;
}

/* ---- fcntl(2) --------------------------------------------------------------
 */

/* FL's range: 0, -EINVAL, -EOVERFLOW. */
static int range_of(struct file *file, const struct flock64 *fl,
		    struct file_lock *l)
{
	s64 base, start, end;

	switch (fl->l_whence) {
	case 0:
		base = 0;
		break;
	case 1:
		base = (s64)file->f_pos;
		break;
	case 2:
		base = (s64)i_size_read(file->f_inode);
		break;
	default:
		return -EINVAL;
	}
	if (fl->l_start > 0 && base > OFFSET_MAX - fl->l_start)
		return -EOVERFLOW;
	start = base + fl->l_start;
	end = OFFSET_MAX;
	if (start < 0)
		return -EINVAL;
	if (fl->l_len > 0) {
		if (fl->l_len - 1 > OFFSET_MAX - start)
			return -EOVERFLOW;
		end = start + fl->l_len - 1;
	} else if (fl->l_len < 0) {
		if (start + fl->l_len < 0)
			return -EINVAL;
		end = start - 1;
		start += fl->l_len;
	}
	l->start = start;
	l->end = end;
	return 0;
}

static s64 get_lock(struct file_lock *l, struct flock64 *fl)
{
	const struct file_lock *o;

	if (l->type == F_UNLCK)
		return -EINVAL;
	spin_lock(&fs_sys.lock_lock);
	o = conflict(l);
	if (o) {
		fl->l_type = (s16)o->type;
		fl->l_whence = 0;
		fl->l_start = o->start;
		fl->l_len = o->end == OFFSET_MAX ? 0 : o->end - o->start + 1;
		fl->l_pid = o->kind == LK_OFD ? -1 : o->pid;
	} else {
		fl->l_type = F_UNLCK;
	}
	spin_unlock(&fs_sys.lock_lock);
	return 0;
}

/* May FILE, by the way it is open, have a lock of TYPE? */
static int mode_for(const struct file *file, int type)
{
	if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK)
		return -EINVAL;
	if (type == F_RDLCK && !(file->f_mode & FMODE_READ))
		return -EBADF;
	if (type == F_WRLCK && !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	return 0;
}

s64 file_fcntl_lock(struct file *file, u32 cmd, struct flock64 *fl)
{
	bool ofd = cmd >= F_OFD_GETLK;
	bool get = cmd == F_GETLK || cmd == F_OFD_GETLK;
	struct file_lock l = {
		.inode = file->f_inode,
		.owner = ofd ? (const void *)file
			     : (const void *)files_current(),
		.kind = ofd ? LK_OFD : LK_POSIX,
		.type = fl->l_type,
		.pid = current->proc->tgid,
	};
	int err;

	if (ofd && fl->l_pid)
		return -EINVAL;
	if (get && l.type != F_RDLCK && l.type != F_WRLCK)
		return -EINVAL;
	err = get ? 0 : mode_for(file, l.type);
	if (!err)
		err = range_of(file, fl, &l);
	if (err)
		return err;
	if (get)
		return get_lock(&l, fl);
	return set_lock(&l, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
}

int file_flock(struct file *file, u32 op)
{
	struct file_lock l = {.inode = file->f_inode,
			      .owner = file,
			      .kind = LK_FLOCK,
			      .end = OFFSET_MAX,
			      .pid = current->proc->tgid};

	switch (op & ~LOCK_NB) {
	case LOCK_SH:
		l.type = F_RDLCK;
		break;
	case LOCK_EX:
		l.type = F_WRLCK;
		break;
	case LOCK_UN:
		l.type = F_UNLCK;
		break;
	default:
		return -EINVAL;
	}
	return set_lock(&l, !(op & LOCK_NB));
}

/* ---- the end ---------------------------------------------------------------
 */

/* All locks of INODE that OWNER, a table (POSIX) or an open file, has. */
static void drop_all(const struct inode *inode, const void *owner, bool posix)
{
	struct file_lock *l, *n;
	LIST_HEAD(dead);

	/* What the caller could have set is there to be seen. */
	if (list_empty(&fs_sys.locks))
		return;
	spin_lock(&fs_sys.lock_lock);
	list_for_each_entry_safe (l, n, &fs_sys.locks, entry) {
		if (l->inode == inode && l->owner == owner &&
		    (l->kind == LK_POSIX) == posix)
			list_move(&l->entry, &dead);
	}
	if (!list_empty(&dead))
		wake_waiters(inode);
	spin_unlock(&fs_sys.lock_lock);
	list_for_each_entry_safe (l, n, &dead, entry)
		kmem_cache_free(fs_sys.lock_cache, l);
}

void locks_close(struct file *file, const struct files_struct *owner)
{
	drop_all(file->f_inode, owner, true);
}

void locks_release(struct file *file)
{
	drop_all(file->f_inode, file, false);
}

int locks_init(void)
{
	spin_lock_init(&fs_sys.lock_lock, LOCK_CLASS_FLOCK);
	INIT_LIST_HEAD(&fs_sys.locks);
	INIT_LIST_HEAD(&fs_sys.blocked);
	fs_sys.lock_cache =
		kmem_cache_create("file_lock_cache", sizeof(struct file_lock),
				  0, SLAB_ACCOUNT, NULL);
	return fs_sys.lock_cache ? 0 : -ENOMEM;
}

bool locks_none(void)
{
	return list_empty(&fs_sys.locks) && list_empty(&fs_sys.blocked);
}

void locks_show(struct seq_buf *out)
{
	static const char *const kinds[] = {"POSIX ", "OFDLCK", "FLOCK "};
	const struct file_lock *l;
	u32 n = 0;

	spin_lock(&fs_sys.lock_lock);
	list_for_each_entry (l, &fs_sys.locks, entry) {
		u32 dev = l->inode->i_sb->s_dev;

		seq_printf(out, "%u: %s ADVISORY  %s %d %02x:%02x:%llu %lld ",
			   ++n, kinds[l->kind],
			   l->type == F_WRLCK ? "WRITE" : "READ ",
			   l->kind == LK_OFD ? -1 : l->pid, dev >> 8 & 0xfff,
			   dev & 0xff, (unsigned long long)l->inode->i_ino,
			   (long long)l->start);
		if (l->end == OFFSET_MAX)
			seq_puts(out, "EOF\n");
		else
			seq_printf(out, "%lld\n", (long long)l->end);
	}
	spin_unlock(&fs_sys.lock_lock);
}
