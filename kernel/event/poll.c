/* SPDX-License-Identifier: MIT */
/*
 * poll.c - poll(2), ppoll(2), select(2), pselect6(2).
 *
 * The first look at the files asks each to name the queues that are woken when
 * its answer changes; an entry of ours goes on each. Then the thread sleeps
 * until one of them was woken, and looks again. TRIGGERED is cleared before a
 * look and set by every wake-up, so one that comes during the look is not
 * lost, whatever parks the looking itself does.
 *
 * Entries hold a reference to their file: a queue stays as long as we are on
 * it. The first ones stand on the stack, others in pages of entries; without
 * memory for those nothing is asked (-ENOMEM).
 *
 * References: poll(2), select(2), select_tut(2).
 */
#include "event_priv.h"

#define POLL_INLINE 8u	/* entries on the stack */
#define POLL_MORE   60u /* in each further piece */
#define FDS_INLINE  16u /* struct pollfd on the stack */
#define SELECT_MAX  (1u << 20)

struct user_pollfd {
	s32 fd;
	s16 events, revents;
};

struct poll_entry {
	struct wait_queue_entry wait;
	wait_queue_head_t *wq;
	struct file *file; /* a reference */
	struct poller *poller;
};

struct poll_piece {
	struct poll_piece *next;
	struct poll_entry entry[POLL_MORE];
};

/* A call under way. */
struct poller {
	struct poll_table pt;
	struct port_thread *thread;
	bool triggered;	   /* (A) */
	bool queued;	   /* the entries are made: further looks make none */
	int error;	   /* -ENOMEM while making them */
	struct file *file; /* that is being looked at */
	u32 nr_inline, nr_last;
	struct poll_piece *pieces;
	struct poll_entry entry[POLL_INLINE];
};

u32 vfs_poll(struct file *file, struct poll_table *pt)
{
	if (!file->f_op || !file->f_op->poll)
		return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
	return file->f_op->poll(file, pt);
}

/* ---- entries ---------------------------------------------------------------
 */

static bool poll_woken(struct wait_queue_entry *wait)
{
	struct poll_entry *e = container_of(wait, struct poll_entry, wait);

	WRITE_ONCE(e->poller->triggered, true);
	port_unpark(e->poller->thread);
	return true;
}

static struct poll_entry *new_entry(struct poller *p)
{
	struct poll_piece *piece = p->pieces;

	if (p->nr_inline < POLL_INLINE)
		return &p->entry[p->nr_inline++];
	if (!piece || p->nr_last == POLL_MORE) {
		piece = kmalloc(sizeof(*piece), GFP_KERNEL);
		if (!piece)
			return NULL;
		piece->next = p->pieces;
		p->pieces = piece;
		p->nr_last = 0;
	}
	return &piece->entry[p->nr_last++];
}

static void poll_queue(struct poll_table *pt, wait_queue_head_t *wq)
{
	struct poller *p = container_of(pt, struct poller, pt);
	struct poll_entry *e = new_entry(p);

	if (!e) {
		p->error = -ENOMEM;
		return;
	}
	e->wq = wq;
	e->file = get_file(p->file);
	e->poller = p;
	init_wait_func(&e->wait, poll_woken);
	add_wait_queue(wq, &e->wait, false);
}

static void poller_init(struct poller *p)
{
	p->pt.queue = poll_queue;
	p->thread = port_self();
	p->triggered = false;
	p->queued = false;
	p->error = 0;
	p->nr_inline = p->nr_last = 0;
	p->pieces = NULL;
}

static void drop_entry(struct poll_entry *e)
{
	finish_wait(e->wq, &e->wait);
	fput(e->file);
}

static void poller_end(struct poller *p)
{
	struct poll_piece *piece;

	for (u32 i = 0; i < p->nr_inline; i++)
		drop_entry(&p->entry[i]);
	while ((piece = p->pieces) != NULL) {
		for (u32 i = 0; i < p->nr_last; i++)
			drop_entry(&piece->entry[i]);
		p->pieces = piece->next;
		p->nr_last = POLL_MORE;
		kfree(piece);
	}
}

/* What FD has of EVENTS; POLLNVAL: it is none. */
static u32 poll_fd(struct poller *p, int fd, u32 events)
{
	struct file *file = fd_get(fd);
	u32 mask;

	if (!file)
		return POLLNVAL;
	p->file = file;
	p->pt.events = events | POLLERR | POLLHUP;
	mask = vfs_poll(file, p->queued ? NULL : &p->pt);
	fput(file);
	return mask & p->pt.events;
}

/* ---- waiting ---------------------------------------------------------------
 */

/* Until triggered. False: DEADLINE came first. */
static bool poller_sleep(struct poller *p, u64 deadline)
{
	u64 left = UINT64_MAX;

	while (!READ_ONCE(p->triggered)) {
		if (deadline != UINT64_MAX)
			left = wait_left(deadline);
		if (!left)
			return false;
		if (signal_pending(current))
			return true;
		(void)port_park(left);
	}
	return true;
}

/*
 * LOOK until it finds something (how many), or fails, DEADLINE comes (0; in
 * the past: one look), or a signal (-ERESTARTNOHAND).
 */
static s64 poller_run(struct poller *p,
		      s64 (*look)(struct poller *p, void *arg), void *arg,
		      u64 deadline)
{
	bool more = true;
	s64 found;

	for (;;) {
		WRITE_ONCE(p->triggered, false);
		smp_mb();
		found = look(p, arg);
		p->queued = true;
		if (found || p->error)
			return found ? found : p->error;
		if (!more)
			return 0;
		if (signal_pending(current))
			return -ERESTARTNOHAND;
		more = poller_sleep(p, deadline);
	}
}

/* ---- timeouts and masks ----------------------------------------------------
 */

/* NS from now, but none of 0: a look and no wait. */
static u64 deadline_of(u64 ns)
{
	return ns ? wait_deadline(ns) : 0;
}

int event_sigmask(u64 at, u64 size)
{
	u64 mask;

	if (!at)
		return 0;
	if (size != sizeof(mask))
		return -EINVAL;
	if (user_read(&mask, at, sizeof(mask)))
		return -EFAULT;
	sigmask_once(mask);
	return 0;
}

/* A timespec at FROM (0: for ever) becomes a deadline. */
static int read_deadline(u64 from, u64 *deadline)
{
	struct ktimespec t;
	int err;

	*deadline = UINT64_MAX;
	if (!from)
		return 0;
	err = user_read_timespec(&t, from);
	if (!err)
		*deadline = deadline_of(timespec_ns(&t));
	return err;
}

static u64 left_ns(u64 deadline)
{
	return deadline ? wait_left(deadline) : 0;
}

/* What is left goes where the time-out came from. That it cannot be written
 * (it may be a constant) is not told. */
static void write_left_timespec(u64 to, u64 deadline)
{
	u64 left = left_ns(deadline);
	struct ktimespec t = {(s64)(left / NSEC_PER_SEC),
			      (s64)(left % NSEC_PER_SEC)};

	if (to && user_write(to, &t, sizeof(t)))
		return;
}

/* ---- poll ------------------------------------------------------------------
 */

struct poll_list {
	struct user_pollfd *fds;
	u32 nr;
};

static s64 poll_look(struct poller *p, void *arg)
{
	struct poll_list *l = arg;
	s64 found = 0;

	for (u32 i = 0; i < l->nr; i++) {
		struct user_pollfd *f = &l->fds[i];

		f->revents = 0;
		if (f->fd >= 0)
			f->revents = (s16)poll_fd(p, f->fd, (u16)f->events);
		if (!f->revents)
			continue;
		/* Nobody will sleep: no more entries. */
		p->queued = true;
		found++;
	}
	return found;
}

/* Only the answers are written: FDS may be shared with somebody. */
static int write_answers(u64 to, const struct poll_list *l)
{
	for (u32 i = 0; i < l->nr; i++) {
		u64 at = to + i * sizeof(struct user_pollfd) +
			 offsetof(struct user_pollfd, revents);

		if (user_write(at, &l->fds[i].revents, sizeof(s16)))
			return -EFAULT;
	}
	return 0;
}

static s64 poll_run(struct poll_list *l, u64 deadline)
{
	struct poller p;
	s64 ret;

	poller_init(&p);
	ret = poller_run(&p, poll_look, l, deadline);
	poller_end(&p);
	return ret;
}

static s64 do_poll(u64 fds, u64 nr, u64 deadline)
{
	struct user_pollfd few[FDS_INLINE];
	struct poll_list l = {.fds = few, .nr = (u32)nr};
	s64 ret;

	if ((u32)nr > rlimit(RLIMIT_NOFILE))
		return -EINVAL;
	if (l.nr > FDS_INLINE)
		l.fds = kvmalloc(l.nr * sizeof(*l.fds), GFP_KERNEL);
	if (!l.fds)
		return -ENOMEM;
	if (user_read(l.fds, fds, l.nr * sizeof(*l.fds)))
		ret = -EFAULT;
	else
		ret = poll_run(&l, deadline);
	if (ret >= 0 && write_answers(fds, &l))
		ret = -EFAULT;
	if (l.fds != few)
		kvfree(l.fds);
	return ret;
}

static s64 poll_restart(struct task *t)
{
	return do_poll(t->restart.arg[0], t->restart.arg[1], t->restart.arg[2]);
}

static s64 sys_poll(const struct sys_args *s)
{
	s32 ms = (s32)s->a[2];
	u64 deadline = UINT64_MAX;
	struct task *t = current;
	s64 ret;

	if (ms >= 0)
		deadline = deadline_of((u64)ms * 1000 * NSEC_PER_USEC);
	ret = do_poll(s->a[0], s->a[1], deadline);
	if (ret != -ERESTARTNOHAND)
		return ret;
	t->restart.fn = poll_restart;
	t->restart.arg[0] = s->a[0];
	t->restart.arg[1] = s->a[1];
	t->restart.arg[2] = deadline;
	return -ERESTART_RESTARTBLOCK;
}

static s64 sys_ppoll(const struct sys_args *s)
{
	u64 deadline;
	s64 ret = read_deadline(s->a[2], &deadline);

	if (!ret)
		ret = event_sigmask(s->a[3], s->a[4]);
	if (ret)
		return ret;
	ret = do_poll(s->a[0], s->a[1], deadline);
	write_left_timespec(s->a[2], deadline);
	return ret;
}

/* ---- select ----------------------------------------------------------------
 */

#define SEL_IN	(POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SEL_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SEL_EX	POLLPRI

static const u32 sel_mask[3] = {SEL_IN, SEL_OUT, SEL_EX};

struct sel_sets {
	u32 nr, words;
	u64 *want[3], *got[3]; /* NULL never; one array */
};

static bool sel_bit(const u64 *set, u32 i)
{
	return set[i / 64] >> (i % 64) & 1;
}

/* What of the sets FD is in; 0: none. */
static u32 sel_events(const struct sel_sets *s, u32 fd)
{
	u32 events = 0;

	for (u32 k = 0; k < 3; k++)
		if (sel_bit(s->want[k], fd))
			events |= sel_mask[k];
	return events;
}

static s64 sel_look(struct poller *p, void *arg)
{
	struct sel_sets *s = arg;
	s64 found = 0;

	mm_memset(s->got[0], 0, 3 * s->words * sizeof(u64));
	for (u32 fd = 0; fd < s->nr; fd++) {
		u32 events = sel_events(s, fd), mask;

		if (!events)
			continue;
		mask = poll_fd(p, (int)fd, events);
		if (mask & POLLNVAL)
			return -EBADF;
		for (u32 k = 0; k < 3; k++) {
			if (!(mask & sel_mask[k]) || !sel_bit(s->want[k], fd))
				continue;
			s->got[k][fd / 64] |= 1UL << fd % 64;
			p->queued = true;
			found++;
		}
	}
	return found;
}

static int sel_read(struct sel_sets *s, const u64 at[3])
{
	for (u32 k = 0; k < 3; k++) {
		u64 bytes = (u64)s->words * sizeof(u64);

		if (!at[k])
			mm_memset(s->want[k], 0, bytes);
		else if (user_read(s->want[k], at[k], bytes))
			return -EFAULT;
	}
	return 0;
}

static int sel_write(const struct sel_sets *s, const u64 at[3])
{
	for (u32 k = 0; k < 3; k++)
		if (at[k] &&
		    user_write(at[k], s->got[k], (u64)s->words * sizeof(u64)))
			return -EFAULT;
	return 0;
}

static s64 sel_run(struct sel_sets *s, const u64 at[3], u64 deadline)
{
	struct poller p;
	s64 ret = sel_read(s, at);

	if (ret)
		return ret;
	poller_init(&p);
	ret = poller_run(&p, sel_look, s, deadline);
	poller_end(&p);
	if (ret >= 0 && sel_write(s, at))
		ret = -EFAULT;
	return ret;
}

static s64 do_select(s32 nr, const u64 at[3], u64 deadline)
{
	u64 few[6 * 4], *all = few;
	struct sel_sets s;
	s64 ret;

	if (nr < 0)
		return -EINVAL;
	s.nr = min((u32)nr, SELECT_MAX);
	s.words = (s.nr + 63) / 64;
	if (6 * s.words > ARRAY_SIZE(few))
		all = kvmalloc(6UL * s.words * sizeof(u64), GFP_KERNEL);
	if (!all)
		return -ENOMEM;
	for (u32 k = 0; k < 3; k++) {
		s.want[k] = all + k * s.words;
		s.got[k] = all + (3 + k) * s.words;
	}
	ret = sel_run(&s, at, deadline);
	if (all != few)
		kvfree(all);
	return ret;
}

static s64 sys_select(const struct sys_args *s)
{
	u64 deadline = UINT64_MAX, left;
	struct ktimeval t;
	s64 ret;

	if (s->a[4]) {
		if (user_read(&t, s->a[4], sizeof(t)))
			return -EFAULT;
		/* More than a second of microseconds is let pass here. */
		if (t.sec < 0 || t.usec < 0)
			return -EINVAL;
		t.sec += t.usec / 1000000;
		deadline = deadline_of(timespec_ns(&(struct ktimespec){
			t.sec, t.usec % 1000000 * (s64)NSEC_PER_USEC}));
	}
	ret = do_select((s32)s->a[0], &s->a[1], deadline);
	if (s->a[4]) {
		left = left_ns(deadline);
		t.sec = (s64)(left / NSEC_PER_SEC);
		t.usec = (s64)(left % NSEC_PER_SEC / NSEC_PER_USEC);
		/* As in write_left_timespec(). */
		if (user_write(s->a[4], &t, sizeof(t)))
			return ret;
	}
	return ret;
}

static s64 sys_pselect6(const struct sys_args *s)
{
	u64 deadline, mask[2] = {0, 0};
	s64 ret = read_deadline(s->a[4], &deadline);

	if (!ret && s->a[5] && user_read(mask, s->a[5], sizeof(mask)))
		ret = -EFAULT;
	if (!ret)
		ret = event_sigmask(mask[0], mask[1]);
	if (ret)
		return ret;
	ret = do_select((s32)s->a[0], &s->a[1], deadline);
	write_left_timespec(s->a[4], deadline);
	return ret;
}

static const struct syscall_def poll_calls[] = {
	{7, "poll", sys_poll},
	{23, "select", sys_select},
	{270, "pselect6", sys_pselect6},
	{271, "ppoll", sys_ppoll},
};

void poll_sys_init(void)
{
	syscall_register(poll_calls, ARRAY_SIZE(poll_calls));
}
