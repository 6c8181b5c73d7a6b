/* SPDX-License-Identifier: MIT */
/*
 * epoll.c - epoll(7): which of many files are ready.
 *
 * 1. Purpose. Where poll(2) looks at all files each time, an epoll instance
 *    stays on their queues: a wake-up puts the file's item on a list of those
 *    that may be ready, and only these are looked at.
 *
 * 2. Items. One for each (file, descriptor) that was added. It stands in a tree
 *    of its instance, in a list at the file (file.f_watch), and, by wait
 *    entries, on the file's queues. It holds no reference to the file: closing
 *    the last descriptor takes the item away (file.f_gone) before the file is
 *    released.
 *
 * 3. The ready list is a hint: each item on it is asked (its file's poll) when
 *    events are fetched. Level-triggered ones that were ready go back on the
 *    list; edge-triggered ones wait for the next wake-up; EPOLLONESHOT ones are
 *    silent until they are modified.
 *
 * 4. Nesting. An epoll file can be added to another. Chains are at most
 *    EP_NESTS long and have no loops: links between instances are made under
 *    ep_sys.mutex, which is held while that is checked.
 *
 * 5. Locking. ep_sys.mutex (links of instances, ends of files and instances);
 *    an instance's mutex (tree, items' masks, fetching; inner instances inside
 *    outer ones); a file's f_lock (list at the file); an instance's spinlock
 *    (ready list), interrupts off, taken inside the queues' locks by callbacks.
 *    Queues of ours are woken without the spinlock.
 *
 * 6. Failure. Adding allocates first; -ENOMEM leaves nothing behind.
 *
 * References: epoll(7), epoll_ctl(2), epoll_wait(2).
 */
#include "base/rbtree.h"
#include "event_priv.h"

#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3

#define EPOLLEXCLUSIVE (1u << 28)
#define EPOLLWAKEUP    (1u << 29)
#define EPOLLONESHOT   (1u << 30)
#define EPOLLET	       (1u << 31)
#define EP_PRIVATE     (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)
#define EP_EXCLUSIVE_OK                                                   \
	(POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM | \
	 EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLET)

#define EP_NESTS      5u
#define EP_QUEUES     2u /* of one file */
#define EP_MAX_EVENTS (INT32_MAX / 12)

/* struct epoll_event of x86-64: packed. */
struct user_epoll_event {
	u32 events;
	u64 data;
} __attribute__((packed));

struct eventpoll {
	struct mutex mutex;
	struct rb_root items;	/* (mutex) epitem.node, by file and fd */
	spinlock_t lock;	/* interrupts off */
	struct list_head ready; /* (lock) epitem.ready */
	wait_queue_head_t wq;	/* epoll_wait() */
	wait_queue_head_t poll; /* who polls the instance */
	struct file *file;	/* (C) its own */
};

struct epitem_wait {
	struct wait_queue_entry wait;
	wait_queue_head_t *wq; /* NULL: not used */
	struct epitem *item;
};

struct epitem {
	struct rb_node node;
	struct eventpoll *ep;		    /* (C) */
	struct file *file;		    /* (C) no reference */
	int fd;				    /* (C) */
	u32 events;			    /* (mutex, lock) EPOLL* */
	u64 data;			    /* (mutex) */
	struct list_head ready;		    /* (lock) */
	struct list_head again;		    /* (mutex) of one fetching */
	struct list_head at_file;	    /* (f_lock) */
	struct epitem_wait wait[EP_QUEUES]; /* (mutex) */
	u32 nr_waits;
};

/* file.f_watch */
struct ep_watch {
	struct list_head items; /* (f_lock) epitem.at_file */
};

static struct {
	struct mutex mutex;
} ep_sys;

static const struct file_operations ep_fops;

static bool is_epoll(const struct file *file)
{
	return file->f_op == &ep_fops;
}

/* ---- being woken -----------------------------------------------------------
 */

/* Onto the ready list; false: it was there, or is silent. */
static bool make_ready(struct epitem *item)
{
	struct eventpoll *ep = item->ep;
	unsigned long flags;
	bool fresh;

	spin_lock_irqsave(&ep->lock, flags);
	fresh = (item->events & ~EP_PRIVATE) && list_empty(&item->ready);
	if (fresh)
		list_add_tail(&item->ready, &ep->ready);
	spin_unlock_irqrestore(&ep->lock, flags);
	return fresh;
}

static void unready(struct epitem *item)
{
	unsigned long flags;

	spin_lock_irqsave(&item->ep->lock, flags);
	if (!list_empty(&item->ready))
		list_del_init(&item->ready);
	spin_unlock_irqrestore(&item->ep->lock, flags);
}

static bool something_ready(struct eventpoll *ep)
{
	unsigned long flags;
	bool ready;

	spin_lock_irqsave(&ep->lock, flags);
	ready = !list_empty(&ep->ready);
	spin_unlock_irqrestore(&ep->lock, flags);
	return ready;
}

/* Others of epoll_wait(): what was not taken is theirs. */
static void pass_on(struct eventpoll *ep)
{
	smp_mb();
	if (something_ready(ep) && waitqueue_active(&ep->wq))
		wake_up(&ep->wq);
}

static void wake_waiters(struct eventpoll *ep)
{
	smp_mb();
	if (waitqueue_active(&ep->wq))
		wake_up(&ep->wq);
	if (waitqueue_active(&ep->poll))
		wake_up_all(&ep->poll);
}

static bool ep_woken(struct wait_queue_entry *wait)
{
	struct epitem *item =
		container_of(wait, struct epitem_wait, wait)->item;
	struct eventpoll *ep = item->ep;
	bool waited;

	(void)make_ready(item);
	smp_mb();
	waited = waitqueue_active(&ep->wq) || waitqueue_active(&ep->poll);
	wake_waiters(ep);
	/* Among exclusive ones it counts if somebody was there to act. */
	return waited;
}

/* ---- items and queues ------------------------------------------------------
 */

struct ep_poll {
	struct poll_table pt;
	struct epitem *item;
	int error;
};

static void ep_queue(struct poll_table *pt, wait_queue_head_t *wq)
{
	struct ep_poll *p = container_of(pt, struct ep_poll, pt);
	struct epitem *item = p->item;
	struct epitem_wait *w = &item->wait[item->nr_waits];

	if (item->nr_waits == EP_QUEUES) {
		p->error = -ENOMEM;
		return;
	}
	item->nr_waits++;
	w->wq = wq;
	w->item = item;
	init_wait_func(&w->wait, ep_woken);
	add_wait_queue(wq, &w->wait, (item->events & EPOLLEXCLUSIVE) != 0);
}

static void leave_queues(struct epitem *item)
{
	for (u32 i = 0; i < item->nr_waits; i++)
		finish_wait(item->wait[i].wq, &item->wait[i].wait);
	item->nr_waits = 0;
}

/* What ITEM's file has of what it is asked for. */
static u32 ep_item_poll(struct epitem *item, struct poll_table *pt)
{
	return vfs_poll(item->file, pt) & item->events;
}

/* Onto the queues of the file. 0 with *READY; -ENOMEM: on none. */
static int join_queues(struct epitem *item, u32 *ready)
{
	struct ep_poll p = {.pt = {ep_queue, item->events & ~EP_PRIVATE},
			    .item = item};

	*ready = ep_item_poll(item, &p.pt);
	if (p.error)
		leave_queues(item);
	return p.error;
}

static int item_order(const struct epitem *a, const struct file *file, int fd)
{
	if (a->file != file)
		return (uintptr_t)a->file < (uintptr_t)file ? -1 : 1;
	return a->fd < fd ? -1 : a->fd > fd;
}

static struct epitem *item_find(struct eventpoll *ep, const struct file *file,
				int fd)
{
	struct rb_node *n = ep->items.rb_node;

	while (n) {
		struct epitem *item = rb_entry(n, struct epitem, node);
		int order = item_order(item, file, fd);

		if (!order)
			return item;
		n = order < 0 ? n->right : n->left;
	}
	return NULL;
}

static void item_insert(struct eventpoll *ep, struct epitem *item)
{
	struct rb_node **link = &ep->items.rb_node, *parent = NULL;

	while (*link) {
		struct epitem *at = rb_entry(*link, struct epitem, node);

		parent = *link;
		link = item_order(at, item->file, item->fd) < 0 ? &parent->right
								: &parent->left;
	}
	rb_link_node(&item->node, parent, link);
	rb_insert_color(&item->node, &ep->items);
}

/* The list at FILE, made when it is first watched; NULL: no memory. */
static struct ep_watch *watch_of(struct file *file,
				 void (*gone)(struct file *file))
{
	struct ep_watch *w = READ_ONCE(file->f_watch), *fresh;

	if (w)
		return w;
	fresh = kmalloc(sizeof(*fresh), GFP_KERNEL);
	if (!fresh)
		return NULL;
	INIT_LIST_HEAD(&fresh->items);
	spin_lock(&file->f_lock);
	w = file->f_watch;
	if (!w) {
		w = fresh;
		fresh = NULL;
		WRITE_ONCE(file->f_watch, w);
		WRITE_ONCE(file->f_gone, gone);
	}
	spin_unlock(&file->f_lock);
	kfree(fresh);
	return w;
}

/* Off everything, and freed. Instance locked. */
static void item_remove(struct epitem *item)
{
	struct eventpoll *ep = item->ep;

	leave_queues(item);
	spin_lock(&item->file->f_lock);
	list_del(&item->at_file);
	spin_unlock(&item->file->f_lock);
	unready(item);
	rb_erase(&item->node, &ep->items);
	kfree(item);
}

/* The first item at FILE, which nobody refers to any more. */
static struct epitem *first_at(struct file *file)
{
	struct ep_watch *w = file->f_watch;
	struct epitem *item;

	spin_lock(&file->f_lock);
	item = list_first_entry_or_null(&w->items, struct epitem, at_file);
	spin_unlock(&file->f_lock);
	return item;
}

/* file.f_gone */
static void file_gone(struct file *file)
{
	struct epitem *item;
	struct eventpoll *ep;

	mutex_lock(&ep_sys.mutex);
	while ((item = first_at(file)) != NULL) {
		/* Instances go under ep_sys.mutex only: this one stays. */
		ep = item->ep;
		mutex_lock(&ep->mutex);
		if (first_at(file) == item)
			item_remove(item);
		mutex_unlock(&ep->mutex);
	}
	mutex_unlock(&ep_sys.mutex);
	kfree(file->f_watch);
}

/* ---- nesting ---------------------------------------------------------------
 */

/* How many instances stand below FILE, itself counted; beyond EP_NESTS, or
 * where EP is met, more than EP_NESTS. ep_sys.mutex held. */
static u32 depth_below(const struct file *file, const struct eventpoll *ep,
		       u32 so_far)
{
	struct eventpoll *at = file->private_data;
	u32 deepest = so_far + 1;

	if (at == ep || deepest > EP_NESTS)
		return EP_NESTS + 1;
	mutex_lock_nested(&at->mutex, 1);
	for (struct rb_node *n = rb_first(&at->items); n; n = rb_next(n)) {
		struct epitem *item = rb_entry(n, struct epitem, node);

		if (is_epoll(item->file))
			deepest = max(deepest,
				      depth_below(item->file, ep, so_far + 1));
		if (deepest > EP_NESTS)
			break;
	}
	mutex_unlock(&at->mutex);
	return deepest;
}

/* How many stand above FILE, itself counted. */
static u32 depth_above(struct file *file, u32 so_far)
{
	struct ep_watch *w = file->f_watch;
	struct eventpoll *above[8];
	u32 n = 0, deepest = so_far + 1;
	struct epitem *item;

	if (!w || deepest > EP_NESTS)
		return deepest;
	spin_lock(&file->f_lock);
	list_for_each_entry (item, &w->items, at_file) {
		if (n < ARRAY_SIZE(above))
			above[n] = item->ep;
		n++;
	}
	spin_unlock(&file->f_lock);
	/* So many that they are not followed: as if they were too deep. */
	if (n > ARRAY_SIZE(above))
		return EP_NESTS + 1;
	for (u32 i = 0; i < n; i++)
		deepest = max(deepest, depth_above(above[i]->file, so_far + 1));
	return deepest;
}

/* May FILE, an instance, be added to EP? */
static int check_nesting(struct eventpoll *ep, struct file *file)
{
	u32 below = depth_below(file, ep, 0);

	if (below > EP_NESTS || below + depth_above(ep->file, 0) > EP_NESTS)
		return -ELOOP;
	return 0;
}

/* ---- changing --------------------------------------------------------------
 */

static struct epitem *item_new(struct eventpoll *ep, struct file *file, int fd,
			       const struct user_epoll_event *ev)
{
	struct epitem *item = kzalloc(sizeof(*item), GFP_KERNEL);

	if (!item)
		return NULL;
	item->ep = ep;
	item->file = file;
	item->fd = fd;
	item->events = ev->events | POLLERR | POLLHUP;
	item->data = ev->data;
	INIT_LIST_HEAD(&item->ready);
	INIT_LIST_HEAD(&item->again);
	return item;
}

static int ep_add(struct eventpoll *ep, struct file *file, int fd,
		  const struct user_epoll_event *ev)
{
	struct ep_watch *w = watch_of(file, file_gone);
	struct epitem *item = w ? item_new(ep, file, fd, ev) : NULL;
	u32 ready;
	int err;

	if (!item)
		return -ENOMEM;
	err = join_queues(item, &ready);
	if (err) {
		unready(item);
		kfree(item);
		return err;
	}
	spin_lock(&file->f_lock);
	list_add_tail(&item->at_file, &w->items);
	spin_unlock(&file->f_lock);
	item_insert(ep, item);
	if (ready && make_ready(item))
		wake_waiters(ep);
	return 0;
}

/* What is asked for says on which queues we must be. */
static int ep_modify(struct epitem *item, const struct user_epoll_event *ev)
{
	struct eventpoll *ep = item->ep;
	unsigned long flags;
	u32 ready;
	int err;

	leave_queues(item);
	spin_lock_irqsave(&ep->lock, flags);
	item->events = ev->events | POLLERR | POLLHUP;
	item->data = ev->data;
	spin_unlock_irqrestore(&ep->lock, flags);
	err = join_queues(item, &ready);
	if (!err && ready && make_ready(item))
		wake_waiters(ep);
	return err;
}

static int check_events(const struct user_epoll_event *ev, int op,
			const struct file *file)
{
	if (!(ev->events & EPOLLEXCLUSIVE))
		return 0;
	if (op == EPOLL_CTL_MOD || is_epoll(file) ||
	    (ev->events & ~EP_EXCLUSIVE_OK))
		return -EINVAL;
	return 0;
}

/* Instance locked. */
static int ctl_locked(struct eventpoll *ep, int op, struct file *file, int fd,
		      const struct user_epoll_event *ev)
{
	struct epitem *item = item_find(ep, file, fd);

	if (op == EPOLL_CTL_ADD)
		return item ? -EEXIST : ep_add(ep, file, fd, ev);
	if (!item)
		return -ENOENT;
	if (op == EPOLL_CTL_DEL) {
		item_remove(item);
		return 0;
	}
	return item->events & EPOLLEXCLUSIVE ? -EINVAL : ep_modify(item, ev);
}

static int ctl_files(struct file *epf, int op, struct file *file, int fd,
		     const struct user_epoll_event *ev)
{
	struct eventpoll *ep = epf->private_data;
	bool nests;
	int err = 0;

	if (!file->f_op || !file->f_op->poll)
		return -EPERM;
	if (file == epf || !is_epoll(epf))
		return -EINVAL;
	if (op != EPOLL_CTL_DEL)
		err = check_events(ev, op, file);
	if (err)
		return err;
	nests = op == EPOLL_CTL_ADD && is_epoll(file);
	if (nests) {
		mutex_lock(&ep_sys.mutex);
		err = check_nesting(ep, file);
	}
	if (!err) {
		mutex_lock(&ep->mutex);
		err = ctl_locked(ep, op, file, fd, ev);
		mutex_unlock(&ep->mutex);
	}
	if (nests)
		mutex_unlock(&ep_sys.mutex);
	return err;
}

static s64 sys_epoll_ctl(const struct sys_args *s)
{
	struct user_epoll_event ev = {0, 0};
	int op = (int)s->a[1], fd = (int)s->a[2], err = -EBADF;
	struct file *epf, *file;

	if (op != EPOLL_CTL_DEL && user_read(&ev, s->a[3], sizeof(ev)))
		return -EFAULT;
	epf = fd_get((int)s->a[0]);
	file = fd_get(fd);
	if (epf && file)
		err = op < EPOLL_CTL_ADD || op > EPOLL_CTL_MOD
			      ? -EINVAL
			      : ctl_files(epf, op, file, fd, &ev);
	if (file)
		fput(file);
	if (epf)
		fput(epf);
	return err;
}

/* ---- fetching --------------------------------------------------------------
 */

static struct epitem *pop_ready(struct eventpoll *ep)
{
	struct epitem *item;
	unsigned long flags;

	spin_lock_irqsave(&ep->lock, flags);
	item = list_first_entry_or_null(&ep->ready, struct epitem, ready);
	if (item)
		list_del_init(&item->ready);
	spin_unlock_irqrestore(&ep->lock, flags);
	return item;
}

static u32 count_ready(struct eventpoll *ep)
{
	unsigned long flags;
	u32 n;

	spin_lock_irqsave(&ep->lock, flags);
	n = (u32)list_count_nodes(&ep->ready);
	spin_unlock_irqrestore(&ep->lock, flags);
	return n;
}

/* Those that stay ready, behind what came meanwhile. */
static void put_back(struct list_head *again)
{
	struct epitem *item, *next;

	list_for_each_entry_safe (item, next, again, again) {
		list_del_init(&item->again);
		(void)make_ready(item);
	}
}

/* An item that is ready for EVENTS has been told. */
static void told(struct epitem *item, struct list_head *again)
{
	unsigned long flags;

	if (item->events & EPOLLONESHOT) {
		spin_lock_irqsave(&item->ep->lock, flags);
		item->events &= EP_PRIVATE;
		spin_unlock_irqrestore(&item->ep->lock, flags);
	} else if (!(item->events & EPOLLET)) {
		list_add_tail(&item->again, again);
	}
}

/*
 * Events of the items that are ready now, at most MAX, to user memory at TO.
 * How many; -EFAULT if the first could not be written.
 */
static s64 fetch(struct eventpoll *ep, u64 to, u32 max)
{
	struct user_epoll_event ev;
	struct epitem *item;
	s64 n = 0, err = 0;
	LIST_HEAD(again);
	u32 looks;

	mutex_lock(&ep->mutex);
	looks = count_ready(ep);
	while (!err && n < max && looks-- && (item = pop_ready(ep)) != NULL) {
		ev.events = ep_item_poll(item, NULL);
		ev.data = item->data;
		if (!ev.events)
			continue;
		if (user_write(to + (u64)n * sizeof(ev), &ev, sizeof(ev))) {
			(void)make_ready(item);
			err = -EFAULT;
			break;
		}
		n++;
		told(item, &again);
	}
	put_back(&again);
	mutex_unlock(&ep->mutex);
	pass_on(ep);
	return n ? n : err;
}

static int wait_ready(struct eventpoll *ep, u64 deadline)
{
	struct wait_queue_entry wait;
	u64 left = UINT64_MAX;
	int err = 0;

	init_wait(&wait, NULL);
	for (;;) {
		prepare_to_wait_exclusive(&ep->wq, &wait);
		if (deadline != UINT64_MAX)
			left = wait_left(deadline);
		if (something_ready(ep))
			break;
		if (!left)
			err = -ETIMEDOUT;
		else if (signal_pending(current))
			err = -EINTR;
		if (err)
			break;
		(void)wait_park(&wait, left);
	}
	finish_wait(&ep->wq, &wait);
	/* A wake-up that we do not use is another's. */
	if (err)
		pass_on(ep);
	return err;
}

/* DEADLINE 0: do not wait. */
static s64 do_wait(int epfd, u64 to, s32 max, u64 deadline)
{
	struct file *file;
	s64 ret = 0;

	if (max <= 0 || max > EP_MAX_EVENTS)
		return -EINVAL;
	file = fd_get(epfd);
	if (!file)
		return -EBADF;
	if (!is_epoll(file)) {
		fput(file);
		return -EINVAL;
	}
	do {
		ret = fetch(file->private_data, to, (u32)max);
		if (ret || !deadline)
			break;
		ret = wait_ready(file->private_data, deadline);
	} while (!ret);
	fput(file);
	return ret == -ETIMEDOUT ? 0 : ret;
}

static u64 deadline_ms(s32 ms)
{
	if (ms < 0)
		return UINT64_MAX;
	return ms ? wait_deadline((u64)ms * 1000 * NSEC_PER_USEC) : 0;
}

static s64 sys_epoll_wait(const struct sys_args *s)
{
	return do_wait((int)s->a[0], s->a[1], (s32)s->a[2],
		       deadline_ms((s32)s->a[3]));
}

static s64 sys_epoll_pwait(const struct sys_args *s)
{
	int err = event_sigmask(s->a[4], s->a[5]);

	return err ? err : sys_epoll_wait(s);
}

static s64 sys_epoll_pwait2(const struct sys_args *s)
{
	u64 deadline = UINT64_MAX;
	struct ktimespec t;
	int err = 0;

	if (s->a[3]) {
		err = user_read_timespec(&t, s->a[3]);
		if (err)
			return err;
		deadline = timespec_ns(&t);
		deadline = deadline ? wait_deadline(deadline) : 0;
	}
	err = event_sigmask(s->a[4], s->a[5]);
	return err ? err
		   : do_wait((int)s->a[0], s->a[1], (s32)s->a[2], deadline);
}

/* ---- instances as files ----------------------------------------------------
 */

/* Readable while an item is truly ready; those that are not leave the list. */
static u32 ep_poll_file(struct file *file, struct poll_table *pt)
{
	struct eventpoll *ep = file->private_data;
	struct epitem *item;
	u32 mask = 0, looks;

	poll_wait(pt, &ep->poll);
	mutex_lock_nested(&ep->mutex, 1);
	looks = count_ready(ep);
	while (!mask && looks-- && (item = pop_ready(ep)) != NULL) {
		if (!ep_item_poll(item, NULL))
			continue;
		mask = POLLIN | POLLRDNORM;
		(void)make_ready(item);
	}
	mutex_unlock(&ep->mutex);
	return mask;
}

static void ep_release(struct inode *inode, struct file *file)
{
	struct eventpoll *ep = file->private_data;
	struct rb_node *n;

	(void)inode;
	mutex_lock(&ep_sys.mutex);
	mutex_lock(&ep->mutex);
	while ((n = rb_first(&ep->items)) != NULL)
		item_remove(rb_entry(n, struct epitem, node));
	mutex_unlock(&ep->mutex);
	mutex_unlock(&ep_sys.mutex);
	kfree(ep);
}

static s64 no_io(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)file;
	(void)iter;
	(void)pos;
	return -EINVAL;
}

static const struct file_operations ep_fops = {
	.read_iter = no_io,
	.write_iter = no_io,
	.poll = ep_poll_file,
	.llseek = event_no_seek,
	.release = ep_release,
};

static struct eventpoll *ep_new(void)
{
	struct eventpoll *ep = kzalloc(sizeof(*ep), GFP_KERNEL);

	if (!ep)
		return NULL;
	mutex_init(&ep->mutex, LOCK_CLASS_NONE);
	spin_lock_init(&ep->lock, LOCK_CLASS_NONE);
	INIT_LIST_HEAD(&ep->ready);
	/* They are woken inside the locks of other queues. */
	init_waitqueue_head_class(&ep->wq, LOCK_CLASS_NONE);
	init_waitqueue_head_class(&ep->poll, LOCK_CLASS_NONE);
	return ep;
}

static s64 do_create(u32 flags)
{
	struct eventpoll *ep;
	struct file *file;

	if (flags & ~O_CLOEXEC)
		return -EINVAL;
	ep = ep_new();
	if (!ep)
		return -ENOMEM;
	file = anon_file("anon_inode:[eventpoll]", &ep_fops, ep,
			 FMODE_READ | FMODE_WRITE, O_RDWR, 0);
	if (IS_ERR(file))
		kfree(ep);
	else
		ep->file = file;
	return event_install(file, flags);
}

static s64 sys_epoll_create(const struct sys_args *s)
{
	return (s32)s->a[0] <= 0 ? -EINVAL : do_create(0);
}

static s64 sys_epoll_create1(const struct sys_args *s)
{
	return do_create((u32)s->a[0]);
}

static const struct syscall_def epoll_calls[] = {
	{213, "epoll_create", sys_epoll_create},
	{232, "epoll_wait", sys_epoll_wait},
	{233, "epoll_ctl", sys_epoll_ctl},
	{281, "epoll_pwait", sys_epoll_pwait},
	{291, "epoll_create1", sys_epoll_create1},
	{441, "epoll_pwait2", sys_epoll_pwait2},
};

void epoll_sys_init(void)
{
	mutex_init(&ep_sys.mutex, LOCK_CLASS_NONE);
	syscall_register(epoll_calls, ARRAY_SIZE(epoll_calls));
}
