/* SPDX-License-Identifier: MIT */
/*
 * timerfd.c - timers that are read: timerfd_create(2).
 *
 * A read gives how often the timer has expired since the last one, or since it
 * was set, and waits while that is 0. A timer on the wall clock that was set
 * with TFD_TIMER_CANCEL_ON_SET is told once when that clock is set: -ECANCELED.
 */
#include "event_priv.h"
#include "ktimer.h"

#define CLOCK_REALTIME	     0
#define CLOCK_MONOTONIC	     1
#define CLOCK_BOOTTIME	     7
#define CLOCK_REALTIME_ALARM 8
#define CLOCK_BOOTTIME_ALARM 9

#define TFD_TIMER_ABSTIME	1u
#define TFD_TIMER_CANCEL_ON_SET 2u
#define CAP_WAKE_ALARM		35
#define ECANCELED		125

struct timerfd {
	struct ktimer timer;
	spinlock_t lock; /* interrupts off */
	u64 ticks;	 /* (lock) */
	bool cancel;	 /* (lock) TFD_TIMER_CANCEL_ON_SET, and ABSTIME */
	bool cancelled;	 /* (lock) the clock was set, nobody told yet */
	wait_queue_head_t wq;
};

static void timerfd_fired(struct ktimer *k, u64 times)
{
	struct timerfd *t = container_of(k, struct timerfd, timer);
	unsigned long flags;

	spin_lock_irqsave(&t->lock, flags);
	t->ticks += times;
	if (!times && t->cancel)
		t->cancelled = true;
	spin_unlock_irqrestore(&t->lock, flags);
	event_wake(&t->wq);
}

/* 1 with *TICKS; 0: none; -ECANCELED. */
static int take_ticks(struct timerfd *t, u64 *ticks)
{
	unsigned long flags;
	int ret = 0;

	spin_lock_irqsave(&t->lock, flags);
	if (t->cancelled) {
		t->cancelled = false;
		t->ticks = 0;
		ret = -ECANCELED;
	} else if (t->ticks) {
		*ticks = t->ticks;
		t->ticks = 0;
		ret = 1;
	}
	spin_unlock_irqrestore(&t->lock, flags);
	return ret;
}

static s64 timerfd_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct timerfd *t = file->private_data;
	u64 ticks = 0;
	int ret, err;

	(void)pos;
	if (iter->count < sizeof(ticks))
		return -EINVAL;
	ret = take_ticks(t, &ticks);
	if (!ret) {
		if (file_nonblock(file))
			return -EAGAIN;
		err = wait_event_interruptible(
			t->wq, (ret = take_ticks(t, &ticks)) != 0);
		if (err)
			return err;
	}
	if (ret < 0)
		return ret;
	return iter_put(iter, &ticks, sizeof(ticks)) < sizeof(ticks)
		       ? -EFAULT
		       : (s64)sizeof(ticks);
}

static u32 timerfd_poll(struct file *file, struct poll_table *pt)
{
	struct timerfd *t = file->private_data;
	unsigned long flags;
	bool ready;

	poll_wait(pt, &t->wq);
	spin_lock_irqsave(&t->lock, flags);
	ready = t->ticks || t->cancelled;
	spin_unlock_irqrestore(&t->lock, flags);
	return ready ? POLLIN : 0;
}

static void timerfd_release(struct inode *inode, struct file *file)
{
	struct timerfd *t = file->private_data;

	(void)inode;
	ktimer_stop(&t->timer);
	kfree(t);
}

static const struct file_operations timerfd_fops = {
	.read_iter = timerfd_read,
	.poll = timerfd_poll,
	.llseek = event_no_seek,
	.release = timerfd_release,
};

/* ---- calls -----------------------------------------------------------------
 */

static int check_clock(s32 clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
		return 0;
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		return capable(CAP_WAKE_ALARM) ? 0 : -EPERM;
	}
	return -EINVAL;
}

static s64 sys_timerfd_create(const struct sys_args *s)
{
	s32 clock = (s32)s->a[0];
	u32 flags = (u32)s->a[1];
	int err = flags & ~(O_CLOEXEC | O_NONBLOCK) ? -EINVAL
						    : check_clock(clock);
	struct timerfd *t;
	struct file *file;

	if (err)
		return err;
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;
	ktimer_init(&t->timer,
		    clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM
			    ? KT_REAL
			    : KT_MONO,
		    timerfd_fired);
	spin_lock_init(&t->lock, LOCK_CLASS_NONE);
	init_waitqueue_head(&t->wq);
	file = anon_file("anon_inode:[timerfd]", &timerfd_fops, t, FMODE_READ,
			 O_RDWR | (flags & O_NONBLOCK), 0);
	if (IS_ERR(file))
		kfree(t);
	return event_install(file, flags);
}

/* FD's timer; *FILE is the caller's to put. -EBADF, -EINVAL: none. */
static int find_timer(int fd, struct file **file, struct timerfd **t)
{
	*file = fd_get(fd);
	if (!*file)
		return -EBADF;
	if ((*file)->f_op != &timerfd_fops) {
		fput(*file);
		return -EINVAL;
	}
	*t = (*file)->private_data;
	return 0;
}

static int read_value(struct ktimer_value *v, u64 from)
{
	struct ktimespec interval, value;
	int err = user_read_timespec(&interval, from);

	if (!err)
		err = user_read_timespec(&value, from + sizeof(interval));
	if (err)
		return err;
	v->interval = timespec_ns(&interval);
	v->value = timespec_ns(&value);
	return 0;
}

static int write_value(u64 to, const struct ktimer_value *v)
{
	struct ktimespec t[2] = {{(s64)(v->interval / NSEC_PER_SEC),
				  (s64)(v->interval % NSEC_PER_SEC)},
				 {(s64)(v->value / NSEC_PER_SEC),
				  (s64)(v->value % NSEC_PER_SEC)}};

	return user_write(to, t, sizeof(t));
}

static void set_timer(struct timerfd *t, u32 flags,
		      const struct ktimer_value *v, struct ktimer_value *old)
{
	static const struct ktimer_value none;
	unsigned long irq;

	/* What expires from here on is the new setting's. */
	ktimer_set(&t->timer, false, &none, old);
	ktimer_stop(&t->timer);
	spin_lock_irqsave(&t->lock, irq);
	t->ticks = 0;
	t->cancelled = false;
	t->cancel = t->timer.clock == KT_REAL && (flags & TFD_TIMER_ABSTIME) &&
		    (flags & TFD_TIMER_CANCEL_ON_SET);
	spin_unlock_irqrestore(&t->lock, irq);
	ktimer_set(&t->timer, flags & TFD_TIMER_ABSTIME, v, NULL);
}

static s64 sys_timerfd_settime(const struct sys_args *s)
{
	u32 flags = (u32)s->a[1];
	struct ktimer_value v, old;
	struct timerfd *t;
	struct file *file;
	int err;

	if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
		return -EINVAL;
	err = read_value(&v, s->a[2]);
	if (!err)
		err = find_timer((int)s->a[0], &file, &t);
	if (err)
		return err;
	set_timer(t, flags, &v, &old);
	fput(file);
	return s->a[3] ? write_value(s->a[3], &old) : 0;
}

static s64 sys_timerfd_gettime(const struct sys_args *s)
{
	struct ktimer_value v;
	struct timerfd *t;
	struct file *file;
	int err = find_timer((int)s->a[0], &file, &t);

	if (err)
		return err;
	ktimer_get(&t->timer, &v);
	fput(file);
	return write_value(s->a[1], &v);
}

static const struct syscall_def timerfd_calls[] = {
	{283, "timerfd_create", sys_timerfd_create},
	{286, "timerfd_settime", sys_timerfd_settime},
	{287, "timerfd_gettime", sys_timerfd_gettime},
};

void timerfd_sys_init(void)
{
	syscall_register(timerfd_calls, ARRAY_SIZE(timerfd_calls));
}
