/* SPDX-License-Identifier: MIT */
/*
 * inotify.c - who wants to know what happens to files: inotify(7).
 *
 * 1. Purpose. The calls on files say here what they have done (notify_*());
 *    who watches the file, or the directory that the name is in, gets an event
 *    in the queue of an open file of inotify's.
 *
 * 2. Structures. A watch joins a vnode and an instance: on the vnode's list,
 *    in the instance's table by number, on the list of all. It refers to the
 *    vnode, so a file that is watched stays in memory. An event is a copy of
 *    everything that will be read.
 *
 * 3. Whose event. What is done through an open file or a name goes to the
 *    directory's watchers with the name, then to the file's without. What is
 *    done to names (made, removed, moved) goes to the directory alone.
 *
 * 4. Ends. A watch goes by inotify_rm_watch, with its instance, with the first
 *    event (IN_ONESHOT), with the file (its last name gone, its dentry's last
 *    reference too: notify_gone()), with the file system. All but the second
 *    are told: IN_IGNORED.
 *
 * 5. Invariants.
 *    INO-1  nr_watches is the number of watches; with none no event costs more
 *           than a look at it.
 *    INO-2  An event that equals the last one in the queue is not queued again.
 *    INO-3  A queue that is full, or a lack of memory, is told once: the event
 *           for that is part of the instance.
 *
 * 6. Locking. notify_sys.lock over everything here, innermost but for wait
 *    queues and the slab's; events are made under it (GFP_ATOMIC), instances
 *    are woken under it, so none goes away meanwhile. References to vnodes are
 *    given back after it.
 *
 * 7. Failure. No memory for an event: INO-3. No memory for a watch: -ENOMEM.
 *
 * 8. Limits are of the system, not of each user: INSTANCES_MAX (-EMFILE),
 *    WATCHES_MAX (-ENOSPC), EVENTS_MAX in a queue.
 *
 * References: inotify(7), inotify_init(2), inotify_add_watch(2),
 * inotify_rm_watch(2).
 */
#include <mmkit/errno.h>

#include "base/string.h"
#include "event/event_priv.h"
#include "sys.h"

#define INSTANCES_MAX 1024u
#define WATCHES_MAX   65536u
#define EVENTS_MAX    16384u
#define WD_BUCKETS    64u

/* What only inotify_add_watch(2) takes. */
#define IN_ONLYDIR     0x01000000u
#define IN_DONT_FOLLOW 0x02000000u
#define IN_EXCL_UNLINK 0x04000000u
#define IN_MASK_CREATE 0x10000000u
#define IN_MASK_ADD    0x20000000u
#define IN_ONESHOT     0x80000000u
#define IN_KEPT	       (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT)
#define IN_KNOWN                                                  \
	(IN_KEPT | IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_CREATE | \
	 IN_MASK_ADD | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ISDIR)

/* What a file's parent hears of it. */
#define IN_OF_CHILD                                           \
	(IN_ACCESS | IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | \
	 IN_CLOSE_NOWRITE | IN_OPEN)

/* struct inotify_event as it is read; the name follows, padded with zeroes. */
struct inotify_event {
	s32 wd;
	u32 mask, cookie, len;
};

struct event {
	struct list_head entry;
	u32 name_len;
	struct inotify_event head;
	char name[];
};

/* All under notify_sys.lock. */
struct inotify {
	struct list_head events;
	struct hlist_head watches[WD_BUCKETS];
	wait_queue_head_t rd;
	u32 nr_events;
	u32 bytes; /* that a read would give */
	s32 last_wd;
	struct event overflow; /* in the queue, or alone */
};

struct watch {
	struct hlist_node on_vnode, by_wd;
	struct list_head all;
	struct inotify *in;
	struct vnode *v; /* a reference */
	u32 mask;
	s32 wd;
};

static struct {
	spinlock_t lock;
	struct list_head all;
	u32 nr_watches, nr_instances;
	u32 cookie;
} notify_sys;

static const struct file_operations inotify_fops;

void notify_init(void)
{
	spin_lock_init(&notify_sys.lock, LOCK_CLASS_NONE);
	INIT_LIST_HEAD(&notify_sys.all);
	notify_sys.nr_watches = notify_sys.nr_instances = 0;
	notify_sys.cookie = 0;
}

/* ---- queues ----------------------------------------------------------------
 */

/* What can be said of names: their length with the end mark, in whole heads. */
static u32 padded(u32 name_len)
{
	u32 unit = sizeof(struct inotify_event);

	return name_len ? DIV_ROUND_UP(name_len + 1, unit) * unit : 0;
}

static u32 event_bytes(const struct event *e)
{
	return (u32)sizeof(e->head) + e->head.len;
}

static void queue_add(struct inotify *in, struct event *e)
{
	list_add_tail(&e->entry, &in->events);
	in->nr_events++;
	in->bytes += event_bytes(e);
	event_wake(&in->rd);
}

static bool repeats_last(const struct inotify *in, const struct event *e)
{
	const struct event *last;

	if (list_empty(&in->events))
		return false;
	last = list_entry(in->events.prev, struct event, entry);
	return last->head.wd == e->head.wd && last->head.mask == e->head.mask &&
	       !(last->head.mask & IN_IGNORED) &&
	       last->name_len == e->name_len &&
	       !mm_memcmp(last->name, e->name, e->name_len);
}

static void queue_overflow(struct inotify *in)
{
	if (list_empty(&in->overflow.entry))
		queue_add(in, &in->overflow);
}

static void queue_event(struct inotify *in, const struct inotify_event *head,
			const struct qstr *name)
{
	u32 len = name ? name->len : 0;
	struct event *e;

	if (in->nr_events >= EVENTS_MAX) {
		queue_overflow(in);
		return;
	}
	e = kmalloc(sizeof(*e) + len + 1, GFP_ATOMIC | __GFP_NOWARN);
	if (!e) {
		queue_overflow(in);
		return;
	}
	e->head = *head;
	e->head.len = padded(len);
	e->name_len = len;
	if (len)
		mm_memcpy(e->name, name->name, len);
	e->name[len] = 0;
	if (repeats_last(in, e))
		kfree(e);
	else
		queue_add(in, e);
}

/* The first event if it fits into ROOM; NULL and *SMALL: it does not. */
static struct event *queue_take(struct inotify *in, u64 room, bool *small)
{
	struct event *e = NULL;

	*small = false;
	spin_lock(&notify_sys.lock);
	if (!list_empty(&in->events)) {
		e = list_first_entry(&in->events, struct event, entry);
		*small = event_bytes(e) > room;
		if (*small) {
			e = NULL;
		} else {
			list_del_init(&e->entry);
			in->nr_events--;
			in->bytes -= event_bytes(e);
		}
	}
	spin_unlock(&notify_sys.lock);
	return e;
}

static void event_free(struct inotify *in, struct event *e)
{
	if (e != &in->overflow)
		kfree(e);
}

/* ---- watches ---------------------------------------------------------------
 */

static struct hlist_head *wd_bucket(struct inotify *in, s32 wd)
{
	return &in->watches[(u32)wd % WD_BUCKETS];
}

static struct watch *watch_by_wd(struct inotify *in, s32 wd)
{
	struct watch *w;

	hlist_for_each_entry(w, wd_bucket(in, wd), by_wd)
	{
		if (w->wd == wd)
			return w;
	}
	return NULL;
}

static struct watch *watch_of(struct inotify *in, struct vnode *v)
{
	struct watch *w;

	hlist_for_each_entry(w, &v->watches, on_vnode)
	{
		if (w->in == in)
			return w;
	}
	return NULL;
}

/* W goes; it is put on GONE, which watches_free() ends. */
static void watch_remove(struct watch *w, struct list_head *gone, bool tell)
{
	struct inotify_event head = {.wd = w->wd, .mask = IN_IGNORED};

	hlist_del_init(&w->on_vnode);
	hlist_del_init(&w->by_wd);
	list_move(&w->all, gone);
	WRITE_ONCE(notify_sys.nr_watches, notify_sys.nr_watches - 1);
	if (tell)
		queue_event(w->in, &head, NULL);
}

/* No lock held. */
static void watches_free(struct list_head *gone)
{
	while (!list_empty(gone)) {
		struct watch *w = list_first_entry(gone, struct watch, all);

		list_del(&w->all);
		vnode_put(w->v);
		kfree(w);
	}
}

/* The next number that is not taken. */
static s32 new_wd(struct inotify *in)
{
	do {
		in->last_wd = in->last_wd == INT32_MAX ? 1 : in->last_wd + 1;
	} while (watch_by_wd(in, in->last_wd));
	return in->last_wd;
}

static s32 watch_change(struct watch *w, u32 mask)
{
	if (mask & IN_MASK_CREATE)
		return -EEXIST;
	w->mask = (mask & IN_KEPT) | (mask & IN_MASK_ADD ? w->mask : 0);
	return w->wd;
}

/* SPARE becomes the watch of V if there is none yet. */
static s32 watch_add(struct inotify *in, struct vnode *v, u32 mask,
		     struct watch **spare)
{
	struct watch *w = watch_of(in, v);

	if (w)
		return watch_change(w, mask);
	if (notify_sys.nr_watches >= WATCHES_MAX)
		return -ENOSPC;
	w = *spare;
	*spare = NULL;
	w->in = in;
	w->v = vnode_get(v);
	w->mask = mask & IN_KEPT;
	w->wd = new_wd(in);
	hlist_add_head(&w->on_vnode, &v->watches);
	hlist_add_head(&w->by_wd, wd_bucket(in, w->wd));
	list_add(&w->all, &notify_sys.all);
	WRITE_ONCE(notify_sys.nr_watches, notify_sys.nr_watches + 1);
	return w->wd;
}

/* ---- what happened ---------------------------------------------------------
 */

struct happening {
	u32 mask, cookie;
	const struct qstr *name; /* NULL: of the file itself */
	bool unlinked;		 /* by an open file whose name is gone */
};

/* To all who watch V; notify_sys.lock held. */
static void tell(struct vnode *v, const struct happening *h,
		 struct list_head *gone)
{
	struct inotify_event head = {.mask = h->mask, .cookie = h->cookie};
	struct hlist_node *next;
	struct watch *w;

	if (h->mask & (IN_MOVE_SELF | IN_DELETE_SELF))
		head.mask &= ~IN_ISDIR;
	hlist_for_each_entry_safe(w, next, &v->watches, on_vnode)
	{
		if (!(w->mask & h->mask & IN_ALL_EVENTS) ||
		    ((w->mask & IN_EXCL_UNLINK) && h->unlinked))
			continue;
		head.wd = w->wd;
		queue_event(w->in, &head, h->name);
		if (w->mask & IN_ONESHOT)
			watch_remove(w, gone, true);
	}
}

static u32 with_kind(const struct vnode *v, u32 mask)
{
	return S_ISDIR(v->mode) ? mask | IN_ISDIR : mask;
}

static bool nobody_watches(void)
{
	return likely(!READ_ONCE(notify_sys.nr_watches));
}

u32 notify_cookie(void)
{
	return mm_fetch_add(&notify_sys.cookie, 1u) + 1;
}

void notify_name(struct vnode *dir, u32 mask, const struct qstr *name,
		 u32 cookie)
{
	struct happening h = {mask, cookie, name, false};
	LIST_HEAD(gone);

	if (nobody_watches())
		return;
	spin_lock(&notify_sys.lock);
	tell(dir, &h, &gone);
	spin_unlock(&notify_sys.lock);
	watches_free(&gone);
}

void notify_self(struct vnode *v, u32 mask)
{
	notify_name(v, with_kind(v, mask), NULL, 0);
}

/* To the watchers of D's directory, then to those of what it stands for. */
static void tell_both(struct dentry *d, u32 mask, bool unlinked)
{
	struct happening h = {.unlinked = unlinked};
	char text[NAME_MAX + 1];
	struct qstr name = {text, 0};
	struct dentry *parent = dentry_parent_name(d, text, &name.len);
	LIST_HEAD(gone);

	h.mask = with_kind(d->vnode, mask);
	spin_lock(&notify_sys.lock);
	if (parent != d && parent->vnode && (mask & IN_OF_CHILD)) {
		h.name = &name;
		tell(parent->vnode, &h, &gone);
	}
	h.name = NULL;
	tell(d->vnode, &h, &gone);
	spin_unlock(&notify_sys.lock);
	watches_free(&gone);
	dput(parent);
}

void notify_dentry(struct dentry *d, u32 mask)
{
	if (!nobody_watches() && d->vnode)
		tell_both(d, mask, false);
}

void notify_file(struct file *file, u32 mask)
{
	struct dentry *d;

	if (nobody_watches() || (file->f_mode & FMODE_PATH))
		return;
	d = file_dentry(file);
	if (d && d->vnode)
		tell_both(d, mask, dentry_deleted(d));
}

/* V's watches end with MASK; notify_sys.lock held. */
static void end_watches(struct vnode *v, u32 mask, struct list_head *gone)
{
	struct happening h = {.mask = mask};
	struct hlist_node *next;
	struct watch *w;

	tell(v, &h, gone);
	hlist_for_each_entry_safe(w, next, &v->watches, on_vnode)
		watch_remove(w, gone, true);
}

void notify_gone(struct vnode *v)
{
	LIST_HEAD(gone);

	if (nobody_watches())
		return;
	spin_lock(&notify_sys.lock);
	end_watches(v, IN_DELETE_SELF, &gone);
	spin_unlock(&notify_sys.lock);
	watches_free(&gone);
}

void notify_unmount(const struct vfs_sb *sb)
{
	struct inotify_event head = {.mask = IN_UNMOUNT};
	struct watch *w, *next;
	LIST_HEAD(gone);

	spin_lock(&notify_sys.lock);
	list_for_each_entry_safe (w, next, &notify_sys.all, all) {
		if (w->v->sb != sb)
			continue;
		head.wd = w->wd;
		queue_event(w->in, &head, NULL);
		watch_remove(w, &gone, true);
	}
	spin_unlock(&notify_sys.lock);
	watches_free(&gone);
}

/* ---- the file --------------------------------------------------------------
 */

static bool has_events(const struct inotify *in)
{
	return READ_ONCE(in->nr_events) != 0;
}

/* E to ITER: its head, its name, zeroes. */
static bool event_put(struct iov_iter *iter, const struct event *e)
{
	static const u8 zero[sizeof(struct inotify_event)];
	u32 fill = e->head.len - e->name_len;

	return iter_put(iter, &e->head, sizeof(e->head)) == sizeof(e->head) &&
	       iter_put(iter, e->name, e->name_len) == e->name_len &&
	       iter_put(iter, zero, fill) == fill;
}

/* What there is, as far as it fits: bytes; 0: nothing; -EINVAL: no room. */
static s64 read_events(struct inotify *in, struct iov_iter *iter)
{
	s64 total = 0;
	bool small;

	for (;;) {
		struct event *e = queue_take(in, iter->count, &small);
		bool good;

		if (!e)
			return !total && small ? -EINVAL : total;
		good = event_put(iter, e);
		total += event_bytes(e);
		event_free(in, e);
		if (!good)
			return -EFAULT;
	}
}

static s64 inotify_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct inotify *in = file->private_data;
	s64 n;
	int err;

	(void)pos;
	for (;;) {
		n = read_events(in, iter);
		if (n)
			return n;
		if (file_nonblock(file))
			return -EAGAIN;
		err = wait_event_interruptible(in->rd, has_events(in));
		if (err)
			return err;
	}
}

static u32 inotify_poll(struct file *file, struct poll_table *pt)
{
	struct inotify *in = file->private_data;

	poll_wait(pt, &in->rd);
	return has_events(in) ? POLLIN | POLLRDNORM : 0;
}

static s64 inotify_ioctl(struct file *file, u32 cmd, u64 arg)
{
	struct inotify *in = file->private_data;
	s32 n = (s32)READ_ONCE(in->bytes);

	return cmd == FIONREAD ? user_write(arg, &n, sizeof(n)) : -ENOTTY;
}

static void inotify_release(struct inode *inode, struct file *file)
{
	struct inotify *in = file->private_data;
	struct watch *w, *next;
	bool small;
	LIST_HEAD(gone);

	(void)inode;
	spin_lock(&notify_sys.lock);
	list_for_each_entry_safe (w, next, &notify_sys.all, all) {
		if (w->in == in)
			watch_remove(w, &gone, false);
	}
	notify_sys.nr_instances--;
	spin_unlock(&notify_sys.lock);
	watches_free(&gone);
	for (;;) {
		struct event *e = queue_take(in, UINT64_MAX, &small);

		if (!e)
			break;
		event_free(in, e);
	}
	kfree(in);
}

static const struct file_operations inotify_fops = {
	.read_iter = inotify_read,
	.poll = inotify_poll,
	.ioctl = inotify_ioctl,
	.llseek = event_no_seek,
	.release = inotify_release,
};

/* ---- calls -----------------------------------------------------------------
 */

static bool instance_count(s32 by)
{
	bool fits;

	spin_lock(&notify_sys.lock);
	fits = by < 0 || notify_sys.nr_instances < INSTANCES_MAX;
	if (fits)
		notify_sys.nr_instances += (u32)by;
	spin_unlock(&notify_sys.lock);
	return fits;
}

static struct inotify *inotify_new(void)
{
	struct inotify *in = kzalloc(sizeof(*in), GFP_KERNEL_ACCOUNT);

	if (!in)
		return NULL;
	INIT_LIST_HEAD(&in->events);
	init_waitqueue_head(&in->rd);
	INIT_LIST_HEAD(&in->overflow.entry);
	in->overflow.head.wd = -1;
	in->overflow.head.mask = IN_Q_OVERFLOW;
	return in;
}

static s64 do_inotify_init(u32 flags)
{
	struct inotify *in;
	struct file *file;

	if (flags & ~(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (!instance_count(1))
		return -EMFILE;
	in = inotify_new();
	file = in ? anon_file("anon_inode:inotify", &inotify_fops, in,
			      FMODE_READ, O_RDONLY | (flags & O_NONBLOCK), 0)
		  : ERR_PTR(-ENOMEM);
	if (IS_ERR(file)) {
		kfree(in);
		(void)instance_count(-1);
	}
	return event_install(file, flags);
}

static s64 sys_inotify_init(const struct sys_args *s)
{
	(void)s;
	return do_inotify_init(0);
}

static s64 sys_inotify_init1(const struct sys_args *s)
{
	return do_inotify_init(SYS_U(0));
}

static s64 watch_dentry(struct inotify *in, struct dentry *d, u32 mask)
{
	struct watch *spare;
	s64 wd = dentry_permission(d, MAY_READ);

	if (wd)
		return wd;
	spare = kzalloc(sizeof(*spare), GFP_KERNEL_ACCOUNT);
	if (!spare)
		return -ENOMEM;
	spin_lock(&notify_sys.lock);
	wd = watch_add(in, d->vnode, mask, &spare);
	spin_unlock(&notify_sys.lock);
	kfree(spare);
	return wd;
}

static s64 watch_path(struct inotify *in, uva_t upath, u32 mask)
{
	u32 lookup = mask & IN_DONT_FOLLOW ? 0 : LOOKUP_FOLLOW;
	char *path = path_get(upath);
	struct dentry *d;
	s64 ret;

	if (IS_ERR(path))
		return PTR_ERR(path);
	if (mask & IN_ONLYDIR)
		lookup |= LOOKUP_DIRECTORY;
	ret = vfs_lookup(AT_FDCWD, path, lookup, &d);
	path_put(path);
	if (ret)
		return ret;
	ret = watch_dentry(in, d, mask);
	dput(d);
	return ret;
}

static s64 sys_inotify_add_watch(const struct sys_args *s)
{
	u32 mask = SYS_U(2);
	struct file *file;
	s64 ret = -EINVAL;

	if (!(mask & IN_KNOWN))
		return -EINVAL;
	file = fd_get(SYS_I(0));
	if (!file)
		return -EBADF;
	if (file->f_op == &inotify_fops &&
	    (mask & (IN_MASK_ADD | IN_MASK_CREATE)) !=
		    (IN_MASK_ADD | IN_MASK_CREATE))
		ret = watch_path(file->private_data, s->a[1], mask);
	fput(file);
	return ret;
}

static s64 remove_wd(struct inotify *in, s32 wd)
{
	struct watch *w;
	LIST_HEAD(gone);

	spin_lock(&notify_sys.lock);
	w = watch_by_wd(in, wd);
	if (w)
		watch_remove(w, &gone, true);
	spin_unlock(&notify_sys.lock);
	watches_free(&gone);
	return w ? 0 : -EINVAL;
}

static s64 sys_inotify_rm_watch(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	s64 ret = -EINVAL;

	if (!file)
		return -EBADF;
	if (file->f_op == &inotify_fops)
		ret = remove_wd(file->private_data, SYS_I(1));
	fput(file);
	return ret;
}

const struct syscall_def fs_notify_calls[] = {
	{253, "inotify_init", sys_inotify_init},
	{254, "inotify_add_watch", sys_inotify_add_watch},
	{255, "inotify_rm_watch", sys_inotify_rm_watch},
	{294, "inotify_init1", sys_inotify_init1},
};
const u32 fs_notify_nr = ARRAY_SIZE(fs_notify_calls);
