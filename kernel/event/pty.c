/* SPDX-License-Identifier: MIT */
/*
 * pty.c - pseudoterminals: a terminal whose wire is a file.
 *
 * 1. Purpose. Opening /dev/ptmx makes a master and a terminal /dev/pts/N. What
 *    is written to the master is typed at the terminal; what programs write to
 *    the terminal, and what it echoes, is read from the master.
 *
 * 2. Structures. struct pty embeds the terminal and has its output in a ring of
 *    PTY_BUF bytes. The terminal's discipline does all processing; the master
 *    is raw.
 *
 * 3. Life. The terminal's count: the master, each open slave, each process that
 *    it controls. Only while the master is open can a slave be opened, found by
 *    its number under pty_sys.lock. When the master goes, the name goes, the
 *    session's leader gets SIGHUP and the open slaves are at their end (EIO for
 *    writers). When the last slave goes, the master reads what there is, then
 *    gets EIO until another is opened. Numbers are used again when nobody
 *    refers to the terminal.
 *
 * 4. Locking. pty_sys.lock, then tty.lock, interrupts off. The names' part
 *    (fs/devpts.c) sleeps and is called with no lock held. Who waits for output
 *    is woken after tty.lock: tty_driver.kick.
 *
 * 5. Failure. Everything is made before anything can be seen: -ENOMEM, -ENOSPC.
 *
 * 6. Packet mode (TIOCPKT). Each read of the master begins with a byte: 0 and
 *    output follows, or what happened to the terminal since the last read
 *    (TTY_PKT_*, gathered in `status`), alone. EXTPROC is not there, so
 *    TIOCPKT_IOCTL never comes.
 *
 * 7. TIOCGPTPEER opens the terminal through its master: by the name that
 *    devpts gave it, wherever that is mounted, or not at all.
 *
 * References: pty(7), pts(4), ioctl_tty(2), ptmx(4).
 */
#include "base/bitmap.h"
#include "tty.h"

#define PTY_BUF 8192u
#define PTY_MAX 1024u

#define PTY_MAJOR 136u

#define TIOCGPTN   0x80045430u
#define TIOCSPTLCK 0x40045431u
#define TIOCGPTLCK 0x80045439u
#define TIOCSIG	   0x40045436u
#define TIOCPKT	   0x5420u
#define TIOCGPKT   0x80045438u

/* (K) tty.lock; (C) constant; (P) pty_sys.lock */
struct pty {
	struct tty tty;
	struct list_head entry; /* (P) while the master is open */
	u32 index;		/* (C) */
	bool locked;		/* (K) no slave may be opened: unlockpt(3) */
	u32 slaves;		/* (K) open files of the terminal */
	bool had_slaves;	/* (K) the last of them is closed, or not */
	bool packet;		/* (K) packet mode */
	u8 status;		/* (K) in it: TTY_PKT_*, not read yet */
	u32 head, tail;		/* (K) of out, free-running */
	wait_queue_head_t rd;	/* the master's reader */
	u8 out[PTY_BUF];	/* (K) */
};

static struct {
	spinlock_t lock;
	struct list_head masters; /* (lock) */
	u64 used[PTY_MAX / 64];	  /* (lock) numbers */
} pty_sys;

static struct pty *pty_of(struct tty *tty)
{
	return container_of(tty, struct pty, tty);
}

/* ---- the terminal's side ---------------------------------------------------
 */

static u32 pty_room(struct tty *tty)
{
	struct pty *p = pty_of(tty);

	/* Nobody will read it: it is as good as taken. */
	return tty->other_gone ? PTY_BUF : PTY_BUF - (p->head - p->tail);
}

static void pty_put(struct tty *tty, const char *text, u32 n)
{
	struct pty *p = pty_of(tty);

	if (tty->other_gone)
		return;
	/* An echo does not ask for room. */
	for (u32 i = 0; i < n && p->head - p->tail < PTY_BUF; i++)
		p->out[p->head++ % PTY_BUF] = (u8)text[i];
}

static void pty_flush(struct tty *tty)
{
	pty_of(tty)->tail = pty_of(tty)->head;
}

/* Of two that exclude each other the later one is told. */
static void pty_note(struct tty *tty, u8 what)
{
	static const u8 pairs[] = {TTY_PKT_STOP | TTY_PKT_START,
				   TTY_PKT_DOSTOP | TTY_PKT_NOSTOP};
	struct pty *p = pty_of(tty);

	if (!p->packet)
		return;
	for (u32 i = 0; i < ARRAY_SIZE(pairs); i++)
		if (what & pairs[i])
			p->status &= (u8)~pairs[i];
	p->status |= what;
}

static void pty_kick(struct tty *tty)
{
	struct pty *p = pty_of(tty);

	if (READ_ONCE(p->head) != READ_ONCE(p->tail) || READ_ONCE(p->status))
		event_wake(&p->rd);
}

static void pty_opened(struct tty *tty)
{
	struct pty *p = pty_of(tty);
	unsigned long flags;

	spin_lock_irqsave(&tty->lock, flags);
	p->slaves++;
	p->had_slaves = true;
	spin_unlock_irqrestore(&tty->lock, flags);
	event_wake(&tty->wr);
}

static void pty_closed(struct tty *tty)
{
	struct pty *p = pty_of(tty);
	unsigned long flags;
	bool last;

	spin_lock_irqsave(&tty->lock, flags);
	mm_assert(p->slaves > 0);
	last = --p->slaves == 0;
	spin_unlock_irqrestore(&tty->lock, flags);
	if (last) {
		event_wake(&p->rd);
		event_wake(&tty->wr);
	}
}

static void pty_free(struct tty *tty)
{
	struct pty *p = pty_of(tty);
	unsigned long flags;

	spin_lock_irqsave(&pty_sys.lock, flags);
	pty_sys.used[p->index / 64] &= ~(1UL << (p->index % 64));
	spin_unlock_irqrestore(&pty_sys.lock, flags);
	kfree(p);
}

static const struct tty_driver pty_driver = {
	.put = pty_put,
	.room = pty_room,
	.flush = pty_flush,
	.note = pty_note,
	.kick = pty_kick,
	.opened = pty_opened,
	.closed = pty_closed,
	.free = pty_free,
};

/* /dev/pts/N is opened. */
static int slave_open(struct vnode *v, struct file *file)
{
	u32 index = (v->rdev & 0xffu) | (v->rdev >> 12 & ~0xffu);
	struct pty *p, *found = NULL;
	unsigned long flags;
	int err = -EIO;

	spin_lock_irqsave(&pty_sys.lock, flags);
	list_for_each_entry (p, &pty_sys.masters, entry) {
		if (p->index == index) {
			(void)tty_get(&p->tty);
			found = p;
			break;
		}
	}
	spin_unlock_irqrestore(&pty_sys.lock, flags);
	if (!found)
		return err;
	if (READ_ONCE(found->locked))
		err = -EIO;
	else if (READ_ONCE(found->tty.exclusive) && !capable(21))
		err = -EBUSY;
	else
		err = 0;
	if (err)
		tty_put(&found->tty);
	else
		tty_attach(file, &found->tty, true);
	return err;
}

/* ---- the master: making, ending --------------------------------------------
 */

static const struct file_operations ptm_fops;

static int index_take(struct pty *p)
{
	unsigned long flags;
	u64 n;

	spin_lock_irqsave(&pty_sys.lock, flags);
	n = find_first_zero_bit(pty_sys.used, PTY_MAX);
	if (n < PTY_MAX)
		pty_sys.used[n / 64] |= 1UL << (n % 64);
	spin_unlock_irqrestore(&pty_sys.lock, flags);
	p->index = (u32)n;
	return n < PTY_MAX ? 0 : -ENOSPC;
}

static int ptmx_open(struct vnode *v, struct file *file)
{
	struct pty *p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	unsigned long flags;
	int err;

	(void)v;
	if (!p)
		return -ENOMEM;
	err = index_take(p);
	if (err) {
		kfree(p);
		return err;
	}
	tty_init(&p->tty, MKDEV(PTY_MAJOR, p->index), &pty_driver);
	init_waitqueue_head(&p->rd);
	p->locked = true;
	err = devpts_add(p->index, MKDEV(PTY_MAJOR, p->index));
	if (err) {
		tty_put(&p->tty);
		return err;
	}
	file->private_data = p;
	file->f_op = &ptm_fops;
	file->f_mode |= FMODE_STREAM;
	spin_lock_irqsave(&pty_sys.lock, flags);
	list_add(&p->entry, &pty_sys.masters);
	spin_unlock_irqrestore(&pty_sys.lock, flags);
	return 0;
}

static void ptm_release(struct inode *inode, struct file *file)
{
	struct pty *p = file->private_data;
	unsigned long flags;

	(void)inode;
	spin_lock_irqsave(&pty_sys.lock, flags);
	list_del(&p->entry);
	spin_unlock_irqrestore(&pty_sys.lock, flags);
	devpts_remove(p->index);
	spin_lock_irqsave(&p->tty.lock, flags);
	p->tty.other_gone = true;
	spin_unlock_irqrestore(&p->tty.lock, flags);
	tty_lose_line(&p->tty);
	tty_put(&p->tty);
}

/* ---- the master: reading and writing ---------------------------------------
 */

/* In packet mode what happened comes first, and alone; else a 0 and output. */
static u32 take_header(struct pty *p, u8 *part)
{
	if (!p->status && p->tail == p->head)
		return 0;
	part[0] = p->status;
	p->status = 0;
	return 1;
}

/*
 * Up to N bytes of output; 0: none yet; -EIO: and none will come. HEAD: the
 * read begins here. *END: it ends here.
 */
static s64 take_output(struct pty *p, u8 *part, u32 n, bool head, bool *end)
{
	unsigned long flags;
	s64 ret = 0;

	spin_lock_irqsave(&p->tty.lock, flags);
	if (p->packet && head)
		ret = take_header(p, part);
	*end = ret && part[0];
	if (*end)
		n = 1;
	for (; ret < (s64)n && p->tail != p->head; ret++)
		part[ret] = p->out[p->tail++ % PTY_BUF];
	if (!ret && p->had_slaves && !p->slaves)
		ret = -EIO;
	spin_unlock_irqrestore(&p->tty.lock, flags);
	return ret;
}

static s64 ptm_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct pty *p = file->private_data;
	s64 total = 0, n = 0;
	bool end = false;
	u8 part[256];
	int err;

	(void)pos;
	while (iter->count && !end) {
		u32 want = (u32)min(iter->count, (u64)sizeof(part));

		n = take_output(p, part, want, !total, &end);
		if (!n && !total && file_nonblock(file))
			return -EAGAIN;
		if (!n && !total) {
			err = wait_event_interruptible(
				p->rd, (n = take_output(p, part, want, true,
							&end)) != 0);
			if (err)
				return err;
		}
		if (n <= 0)
			break;
		if (iter_put(iter, part, (u64)n) < (u64)n) {
			n = -EFAULT;
			break;
		}
		total += n;
	}
	/* Writers wait for room. */
	event_wake(&p->tty.wr);
	return total ? total : n;
}

/* Can a write go on? -EIO: nobody has the terminal open. */
static int input_state(struct pty *p)
{
	if (!READ_ONCE(p->slaves))
		return -EIO;
	return tty_input_room(&p->tty) ? 1 : 0;
}

static s64 ptm_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct pty *p = file->private_data;
	s64 total = 0;
	u8 part[256];
	int state, err;
	u32 n;

	(void)pos;
	while (iter->count) {
		state = input_state(p);
		if (!state && file_nonblock(file))
			state = -EAGAIN;
		if (!state) {
			err = wait_event_interruptible(
				p->tty.wr, (state = input_state(p)) != 0);
			if (err)
				state = err;
		}
		if (state < 0)
			return total ? total : state;
		n = min(tty_input_room(&p->tty), (u32)sizeof(part));
		n = (u32)iter_get(iter, part, min((u64)n, iter->count));
		if (!n)
			return total ? total : -EFAULT;
		tty_input(&p->tty, part, n);
		total += n;
	}
	return total;
}

static u32 ptm_poll(struct file *file, struct poll_table *pt)
{
	struct pty *p = file->private_data;
	unsigned long flags;
	u32 mask = 0;

	poll_wait_rw(pt, &p->rd, &p->tty.wr);
	spin_lock_irqsave(&p->tty.lock, flags);
	if (p->head != p->tail || p->status)
		mask |= POLLIN | POLLRDNORM;
	if (p->status)
		mask |= POLLPRI;
	if (p->had_slaves && !p->slaves)
		mask |= POLLHUP;
	spin_unlock_irqrestore(&p->tty.lock, flags);
	if (tty_input_room(&p->tty))
		mask |= POLLOUT | POLLWRNORM;
	return mask;
}

/* ---- the master: ioctls ----------------------------------------------------
 */

static s64 set_locked(struct pty *p, u64 from)
{
	s32 on;

	if (user_read(&on, from, sizeof(on)))
		return -EFAULT;
	WRITE_ONCE(p->locked, on != 0);
	return 0;
}

static s64 set_packet(struct pty *p, u64 from)
{
	unsigned long flags;
	s32 on;

	if (user_read(&on, from, sizeof(on)))
		return -EFAULT;
	spin_lock_irqsave(&p->tty.lock, flags);
	if (on && !p->packet)
		p->status = 0;
	p->packet = on != 0;
	if (!on)
		p->status = 0;
	spin_unlock_irqrestore(&p->tty.lock, flags);
	return 0;
}

/* A descriptor of the terminal, whatever its names mean to the caller. */
static s64 open_peer(struct pty *p, struct file *master, u64 how)
{
	u32 flags = (u32)how;
	struct file *file =
		devpts_open(master, p->index, flags & ~(u32)O_CLOEXEC);
	int fd;

	if (IS_ERR(file))
		return PTR_ERR(file);
	fd = fd_install(file, 0, (flags & O_CLOEXEC) != 0);
	if (fd < 0)
		fput(file);
	return fd;
}

static s64 send_signal(struct pty *p, u64 sig)
{
	if (sig < 1 || sig > NSIG)
		return -EINVAL;
	tty_signal(&p->tty, (int)sig);
	return 0;
}

static s64 ptm_ioctl(struct file *file, u32 cmd, u64 arg)
{
	struct pty *p = file->private_data;
	unsigned long flags;
	s64 ret;
	s32 n;

	switch (cmd) {
	case TIOCGPTN:
		return user_write(arg, &p->index, sizeof(p->index));
	case TIOCSPTLCK:
		return set_locked(p, arg);
	case TIOCGPTLCK:
		n = READ_ONCE(p->locked);
		return user_write(arg, &n, sizeof(n));
	case TIOCSIG:
		return send_signal(p, arg);
	case TIOCGPTPEER:
		return open_peer(p, file, arg);
	case TIOCPKT:
		return set_packet(p, arg);
	case TIOCGPKT:
		n = READ_ONCE(p->packet);
		return user_write(arg, &n, sizeof(n));
	case FIONREAD:
		spin_lock_irqsave(&p->tty.lock, flags);
		n = (s32)(p->head - p->tail);
		spin_unlock_irqrestore(&p->tty.lock, flags);
		return user_write(arg, &n, sizeof(n));
	}
	/* All else is the terminal's. */
	ret = tty_session_ioctl(&p->tty, file, cmd, arg);
	return ret == -ENOTTY ? tty_settings_ioctl(&p->tty, file, cmd, arg)
			      : ret;
}

static const struct file_operations ptm_fops = {
	.read_iter = ptm_read,
	.write_iter = ptm_write,
	.poll = ptm_poll,
	.ioctl = ptm_ioctl,
	.llseek = event_no_seek,
	.release = ptm_release,
};

int pty_init(void)
{
	int err;

	spin_lock_init(&pty_sys.lock, LOCK_CLASS_NONE);
	INIT_LIST_HEAD(&pty_sys.masters);
	mm_memset(pty_sys.used, 0, sizeof(pty_sys.used));
	err = chrdev_register(MKDEV(5, 2), 1, "ptmx", 0666, &ptm_fops,
			      ptmx_open);
	if (err)
		return err;
	/* A number of more than 8 bits is not next to the one before. */
	for (u32 n = 0; n < PTY_MAX && !err; n += 256)
		err = chrdev_register(MKDEV(PTY_MAJOR, n), 256, NULL, 0,
				      &tty_fops, slave_open);
	return err;
}
