/* SPDX-License-Identifier: MIT */
/*
 * signalfd.c - signals that are read: signalfd(2).
 *
 * The file has a mask and nothing else: whoever reads or polls it asks for his
 * own pending signals. Whoever is told of wake-ups stands on the queue of a
 * process (process.signal_wait), which may end before the file does; so the
 * file keeps a reference to each process that ever polled it.
 */
#include "event_priv.h"

#define SIGKILL 9
#define SIGSTOP 19

struct user_signalfd_siginfo {
	u32 signo;
	s32 err, code;
	u32 pid, uid;
	s32 fd;
	u32 tid, band, overrun, trapno;
	s32 status, intval;
	u64 ptr, utime, stime, addr;
	u16 addr_lsb, pad2;
	s32 syscall;
	u64 call_addr;
	u32 arch;
	u8 pad[28];
};
MM_STATIC_ASSERT(sizeof(struct user_signalfd_siginfo) == 128, "signalfd(2)");

struct poller_of {
	struct poller_of *next;
	struct process *proc; /* a reference */
};

struct signalfd {
	u64 mask; /* (A) */
	spinlock_t lock;
	struct poller_of *pollers; /* (lock) grows only */
};

/* ---- reading ---------------------------------------------------------------
 */

static void fill(struct user_signalfd_siginfo *o, const struct ksiginfo *i)
{
	*o = (struct user_signalfd_siginfo){
		.signo = (u32)i->signo, .err = i->err, .code = i->code};
	switch (i->code) {
	case -2: /* SI_TIMER */
		o->tid = (u32)i->u.timer.tid;
		o->overrun = (u32)i->u.timer.overrun;
		o->ptr = i->u.timer.value;
		o->intval = (s32)i->u.timer.value;
		return;
	default:
		break;
	}
	if (i->signo == 17) { /* SIGCHLD */
		o->pid = (u32)i->u.chld.pid;
		o->uid = i->u.chld.uid;
		o->status = i->u.chld.status;
		o->utime = (u64)i->u.chld.utime;
		o->stime = (u64)i->u.chld.stime;
	} else if (i->code > 0 && i->code != 0x80 &&
		   (SIGSET(i->signo) & (SIGSET(4) | SIGSET(7) | SIGSET(8) |
					SIGSET(11) | SIGSET(5)))) {
		o->addr = i->u.fault.addr;
		o->addr_lsb = i->u.fault.addr_lsb;
	} else {
		o->pid = (u32)i->u.rt.pid;
		o->uid = i->u.rt.uid;
		o->ptr = i->u.rt.value;
		o->intval = (s32)i->u.rt.value;
	}
}

/* The number of a signal that was taken, or 0. */
static int try_take(const struct signalfd *s, struct ksiginfo *info)
{
	return signal_take(READ_ONCE(s->mask), info);
}

static s64 signalfd_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct signalfd *s = file->private_data;
	struct user_signalfd_siginfo out;
	struct ksiginfo info;
	s64 total = 0;
	int sig, err;

	(void)pos;
	if (iter->count < sizeof(out))
		return -EINVAL;
	while (iter->count >= sizeof(out)) {
		sig = try_take(s, &info);
		if (!sig && (total || file_nonblock(file)))
			return total ? total : -EAGAIN;
		if (!sig) {
			err = wait_event_interruptible(
				current->proc->signal_wait,
				(sig = try_take(s, &info)) != 0);
			if (err)
				return err;
		}
		fill(&out, &info);
		if (iter_put(iter, &out, sizeof(out)) < sizeof(out))
			return total ? total : -EFAULT;
		total += sizeof(out);
	}
	return total;
}

/* ---- polling ---------------------------------------------------------------
 */

/* The current process stays as long as the file. False: no memory. */
static bool keep_process(struct signalfd *s)
{
	struct process *p = current->proc;
	struct poller_of *k, *fresh = kmalloc(sizeof(*fresh), GFP_KERNEL);

	if (!fresh)
		return false;
	spin_lock(&s->lock);
	for (k = s->pollers; k && k->proc != p; k = k->next)
		;
	spin_unlock(&s->lock);
	if (k) {
		kfree(fresh);
		return true;
	}
	fresh->proc = process_find(p->tgid);
	if (!fresh->proc) {
		kfree(fresh);
		return false;
	}
	spin_lock(&s->lock);
	fresh->next = s->pollers;
	s->pollers = fresh;
	spin_unlock(&s->lock);
	return true;
}

static u32 signalfd_poll(struct file *file, struct poll_table *pt)
{
	struct signalfd *s = file->private_data;

	if (pt && keep_process(s))
		poll_wait(pt, &current->proc->signal_wait);
	return signal_pending_set() & READ_ONCE(s->mask) ? POLLIN : 0;
}

static void signalfd_release(struct inode *inode, struct file *file)
{
	struct signalfd *s = file->private_data;
	struct poller_of *k;

	(void)inode;
	while ((k = s->pollers) != NULL) {
		s->pollers = k->next;
		process_put(k->proc);
		kfree(k);
	}
	kfree(s);
}

static const struct file_operations signalfd_fops = {
	.read_iter = signalfd_read,
	.poll = signalfd_poll,
	.llseek = event_no_seek,
	.release = signalfd_release,
};

/* ---- calls -----------------------------------------------------------------
 */

static s64 change_mask(int fd, u64 mask)
{
	struct file *file = fd_get(fd);
	struct signalfd *s;

	if (!file)
		return -EBADF;
	if (file->f_op != &signalfd_fops) {
		fput(file);
		return -EINVAL;
	}
	s = file->private_data;
	WRITE_ONCE(s->mask, mask);
	/* Who waits may be waiting for what is in the mask now. */
	event_wake(&current->proc->signal_wait);
	fput(file);
	return fd;
}

static s64 do_signalfd(int fd, u64 mask_at, u64 size, u32 flags)
{
	struct signalfd *s;
	struct file *file;
	u64 mask;

	if (size != sizeof(mask) || (flags & ~(O_CLOEXEC | O_NONBLOCK)))
		return -EINVAL;
	if (user_read(&mask, mask_at, sizeof(mask)))
		return -EFAULT;
	mask &= ~(SIGSET(SIGKILL) | SIGSET(SIGSTOP));
	if (fd != -1)
		return change_mask(fd, mask);
	s = kzalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return -ENOMEM;
	s->mask = mask;
	spin_lock_init(&s->lock, LOCK_CLASS_NONE);
	file = anon_file("anon_inode:[signalfd]", &signalfd_fops, s, FMODE_READ,
			 O_RDWR | (flags & O_NONBLOCK), 0);
	if (IS_ERR(file))
		kfree(s);
	return event_install(file, flags);
}

static s64 sys_signalfd(const struct sys_args *s)
{
	return do_signalfd((int)s->a[0], s->a[1], s->a[2], 0);
}

static s64 sys_signalfd4(const struct sys_args *s)
{
	return do_signalfd((int)s->a[0], s->a[1], s->a[2], (u32)s->a[3]);
}

static const struct syscall_def signalfd_calls[] = {
	{282, "signalfd", sys_signalfd},
	{289, "signalfd4", sys_signalfd4},
};

void signalfd_sys_init(void)
{
	syscall_register(signalfd_calls, ARRAY_SIZE(signalfd_calls));
}
