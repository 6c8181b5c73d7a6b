/* SPDX-License-Identifier: MIT */
/*
 * tty.c - terminals as files: reading, writing, settings, hanging up.
 *
 * 1. Purpose. A terminal is a line discipline (n_tty.c) between programs and a
 *    driver (console.c, pty.c); which session it controls is tty_job.c's.
 *
 * 2. The wire never waits: bytes that come in are processed in the interrupt
 *    that brings them, under tty.lock, so a signal character works while no
 *    program reads. What may not be done under the lock (signals, wake-ups) is
 *    noted there and done after.
 *
 * 3. Writers wait while the output is stopped or the driver has no room; one
 *    writes at a time, so writes do not mix.
 *
 * 4. Hanging up. Open files remember how often the terminal had been hung up
 *    when they were opened (f_ra.start, which only the page cache uses): older
 * ones are at end of file for ever.
 *
 * 5. Locking. tty_sys.lock (tty_job.c); tty.lock,
 *    interrupts off, inside it what drivers take.
 *
 * References: termios(3), ioctl_tty(2), POSIX.1 General Terminal Interface.
 */
#include "tty.h"

#define TCGETS	   0x5401u
#define TCSETS	   0x5402u
#define TCSETSW	   0x5403u
#define TCSETSF	   0x5404u
#define TCSBRK	   0x5409u
#define TCXONC	   0x540au
#define TCFLSH	   0x540bu
#define TIOCEXCL   0x540cu
#define TIOCNXCL   0x540du
#define TIOCOUTQ   0x5411u
#define TIOCSTI	   0x5412u
#define TIOCGWINSZ 0x5413u
#define TIOCSWINSZ 0x5414u
#define TIOCSETD   0x5423u
#define TIOCGETD   0x5424u
#define TCSBRKP	   0x5425u

#define CAP_SYS_ADMIN 21

/* ---- life ------------------------------------------------------------------
 */

static const struct ktermios usual = {
	.iflag = ICRNL | IXON,
	.oflag = OPOST | ONLCR,
	.cflag = B38400 | CS8 | CREAD | HUPCL,
	.lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE |
		 IEXTEN,
	.cc = {[VINTR] = 3,
	       [VQUIT] = 28,
	       [VERASE] = 127,
	       [VKILL] = 21,
	       [VEOF] = 4,
	       [VMIN] = 1,
	       [VSTART] = 17,
	       [VSTOP] = 19,
	       [VSUSP] = 26,
	       [VREPRINT] = 18,
	       [VDISCARD] = 15,
	       [VWERASE] = 23,
	       [VLNEXT] = 22},
};

void tty_init(struct tty *tty, u32 rdev, const struct tty_driver *driver)
{
	mm_memset(tty, 0, sizeof(*tty));
	tty->count = 1;
	tty->rdev = rdev;
	tty->driver = driver;
	tty->termios = usual;
	spin_lock_init(&tty->lock, LOCK_CLASS_NONE);
	init_waitqueue_head(&tty->rd);
	init_waitqueue_head(&tty->wr);
}

struct tty *tty_get(struct tty *tty)
{
	(void)mm_fetch_add(&tty->count, 1u);
	return tty;
}

void tty_put(struct tty *tty)
{
	if (tty && mm_fetch_add(&tty->count, -1u) == 1 && tty->driver->free)
		tty->driver->free(tty);
}

u32 tty_rdev(const struct tty *tty)
{
	return tty->rdev;
}

bool tty_file_dead(const struct tty *tty, const struct file *file)
{
	return READ_ONCE(tty->hangups) != (u32)file->f_ra.start;
}

void tty_hangup(struct tty *tty)
{
	unsigned long flags;

	spin_lock_irqsave(&tty->lock, flags);
	WRITE_ONCE(tty->hangups, tty->hangups + 1);
	n_tty_flush_input(tty);
	tty->stopped = tty->held = false;
	tty->exclusive = false;
	spin_unlock_irqrestore(&tty->lock, flags);
	event_wake(&tty->rd);
	event_wake(&tty->wr);
}

/* ---- input -----------------------------------------------------------------
 */

/* What n_tty.c noted under the lock. */
struct tty_notes {
	u64 signals;
	bool input, went_on;
};

static struct tty_notes take_notes(struct tty *tty)
{
	struct tty_notes n = {tty->signals, tty->input_came, tty->went_on};

	tty->signals = 0;
	tty->input_came = tty->went_on = false;
	return n;
}

static void kick(struct tty *tty)
{
	if (tty->driver->kick)
		tty->driver->kick(tty);
}

static void act_on(struct tty *tty, const struct tty_notes *n)
{
	for (int sig = 1; n->signals >> (sig - 1); sig++)
		if (n->signals & SIGSET(sig))
			tty_signal(tty, sig);
	if (n->input)
		event_wake(&tty->rd);
	if (n->went_on)
		event_wake(&tty->wr);
	kick(tty);
}

void tty_input(struct tty *tty, const u8 *bytes, u32 n)
{
	struct tty_notes notes;
	unsigned long flags;

	spin_lock_irqsave(&tty->lock, flags);
	for (u32 i = 0; i < n; i++)
		n_tty_receive(tty, bytes[i]);
	notes = take_notes(tty);
	spin_unlock_irqrestore(&tty->lock, flags);
	act_on(tty, &notes);
}

u32 tty_input_room(struct tty *tty)
{
	unsigned long flags;
	u32 room;

	spin_lock_irqsave(&tty->lock, flags);
	room = TTY_BUF - 1 - (tty->head - tty->tail);
	/* Of a line that is longer than the buffer the rest is dropped. */
	if ((tty->termios.lflag & ICANON) && !tty->lines)
		room = TTY_BUF;
	spin_unlock_irqrestore(&tty->lock, flags);
	return min(room, TTY_BUF - 1);
}

/* ---- reading ---------------------------------------------------------------
 */

/* How a read waits, by VMIN and VTIME; in canonical mode for a line. */
struct read_plan {
	u32 least;   /* so many bytes end it */
	u64 first;   /* ns to wait for the first; UINT64_MAX */
	u64 between; /* and for each further one */
};

static struct read_plan plan_read(struct tty *tty, u64 count)
{
	struct read_plan p = {1, UINT64_MAX, UINT64_MAX};
	u64 time = tty->termios.cc[VTIME] * (NSEC_PER_SEC / 10);

	if (tty->termios.lflag & ICANON)
		return p;
	p.least = (u32)min((u64)max(tty->termios.cc[VMIN], (u8)1), count);
	if (!tty->termios.cc[VMIN])
		p.first = time;
	else if (time)
		p.between = time;
	return p;
}

enum read_state { READ_NONE, READ_READY, READ_END };

/* Can something be read, or will nothing ever? */
static enum read_state read_state(struct tty *tty, const struct file *file)
{
	enum read_state state = READ_NONE;
	unsigned long flags;

	spin_lock_irqsave(&tty->lock, flags);
	if (tty_file_dead(tty, file))
		state = READ_END;
	else if (n_tty_readable(tty))
		state = READ_READY;
	else if (tty->other_gone)
		state = READ_END;
	spin_unlock_irqrestore(&tty->lock, flags);
	return state;
}

/* 0: something can be read; 1: nothing will; -EAGAIN, -ERESTARTSYS,
 * -ETIMEDOUT. */
static int wait_input(struct tty *tty, struct file *file, u64 ns)
{
	enum read_state state = read_state(tty, file);
	int err;

	if (state == READ_NONE) {
		if (!ns)
			return -ETIMEDOUT;
		if (file_nonblock(file))
			return -EAGAIN;
		err = wait_event_deadline(
			tty->rd, (state = read_state(tty, file)) != READ_NONE,
			ns == UINT64_MAX ? ns : wait_deadline(ns));
		if (err)
			return err;
	}
	return state == READ_END;
}

/* What stands ready, to ITER. *END: the read ends with it. */
static s64 read_ready(struct tty *tty, struct iov_iter *iter, bool *end)
{
	unsigned long flags;
	s64 total = 0;
	u8 part[128];
	u32 n;

	do {
		spin_lock_irqsave(&tty->lock, flags);
		n = n_tty_take(tty, part,
			       (u32)min(iter->count, (u64)sizeof(part)), end);
		spin_unlock_irqrestore(&tty->lock, flags);
		if (iter_put(iter, part, n) < n)
			return total ? total : -EFAULT;
		total += n;
	} while (n && iter->count && !*end);
	return total;
}

static s64 read_locked(struct tty *tty, struct file *file,
		       struct iov_iter *iter)
{
	struct read_plan plan = plan_read(tty, iter->count);
	u64 wait = plan.first;
	s64 total = 0, n;
	bool end = false;
	int err;

	while (!end && iter->count && total < (s64)plan.least) {
		err = tty_job_control(tty, SIGTTIN);
		if (!err)
			err = wait_input(tty, file, wait);
		if (err > 0 || err == -ETIMEDOUT)
			break;
		if (err)
			return total ? total : err;
		n = read_ready(tty, iter, &end);
		if (n < 0)
			return total ? total : n;
		total += n;
		wait = plan.between;
	}
	return total;
}

static s64 tty_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct tty *tty = file->private_data;
	s64 ret;

	(void)pos;
	if (!iter->count)
		return 0;
	ret = read_locked(tty, file, iter);
	/* A pseudoterminal's master may wait for room. */
	event_wake(&tty->wr);
	return ret;
}

/* ---- writing ---------------------------------------------------------------
 */

/* Bytes taken; -EIO: nobody takes any. */
static s64 output(struct tty *tty, const struct file *file, const u8 *bytes,
		  u32 n)
{
	unsigned long flags;
	s64 ret;

	spin_lock_irqsave(&tty->lock, flags);
	if (tty_file_dead(tty, file) || tty->other_gone)
		ret = -EIO;
	else
		ret = n_tty_output(tty, bytes, n);
	spin_unlock_irqrestore(&tty->lock, flags);
	kick(tty);
	return ret;
}

static bool can_write(struct tty *tty, const struct file *file)
{
	unsigned long flags;
	bool can;

	spin_lock_irqsave(&tty->lock, flags);
	can = tty_file_dead(tty, file) || tty->other_gone ||
	      (!tty->stopped && tty->driver->room(tty) >= 8);
	spin_unlock_irqrestore(&tty->lock, flags);
	return can;
}

/* All N, or until it fails: bytes, or -errno if none. */
static s64 write_part(struct tty *tty, struct file *file, const u8 *bytes,
		      u32 n)
{
	s64 done = 0, k;

	while (done < (s64)n) {
		k = output(tty, file, bytes + done, n - (u32)done);
		if (!k && file_nonblock(file))
			k = -EAGAIN;
		else if (!k)
			k = wait_event_interruptible(tty->wr,
						     can_write(tty, file));
		if (k < 0)
			return done ? done : k;
		done += k;
	}
	return done;
}

static s64 write_locked(struct tty *tty, struct file *file,
			struct iov_iter *iter)
{
	s64 total = 0, k;
	u8 part[256];
	u32 n;

	while (iter->count) {
		n = (u32)min(iter->count, (u64)sizeof(part));
		n = (u32)iter_get(iter, part, n);
		k = n ? write_part(tty, file, part, n) : -EFAULT;
		if (k > 0)
			total += k;
		if (k < (s64)n || !n)
			return total ? total : k;
	}
	return total;
}

/* A writer may wait for ever: who waits for him can be interrupted too. */
static bool take_turn(struct tty *tty)
{
	unsigned long flags;
	bool mine;

	spin_lock_irqsave(&tty->lock, flags);
	mine = !tty->writing;
	tty->writing = true;
	spin_unlock_irqrestore(&tty->lock, flags);
	return mine;
}

static void end_turn(struct tty *tty)
{
	unsigned long flags;

	spin_lock_irqsave(&tty->lock, flags);
	tty->writing = false;
	spin_unlock_irqrestore(&tty->lock, flags);
	event_wake(&tty->wr);
}

static s64 tty_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct tty *tty = file->private_data;
	s64 ret = 0;

	(void)pos;
	if (READ_ONCE(tty->termios.lflag) & TOSTOP)
		ret = tty_job_control(tty, SIGTTOU);
	if (!ret && !take_turn(tty))
		ret = file_nonblock(file) ? -EAGAIN
					  : wait_event_interruptible(
						    tty->wr, take_turn(tty));
	if (ret)
		return ret;
	ret = write_locked(tty, file, iter);
	end_turn(tty);
	return ret;
}

static u32 tty_poll(struct file *file, struct poll_table *pt)
{
	struct tty *tty = file->private_data;
	unsigned long flags;
	u32 mask = 0, least = 1;

	poll_wait_rw(pt, &tty->rd, &tty->wr);
	spin_lock_irqsave(&tty->lock, flags);
	if (!(tty->termios.lflag & ICANON) && !tty->termios.cc[VTIME])
		least = max(tty->termios.cc[VMIN], (u8)1);
	if (n_tty_readable(tty) >= least)
		mask |= POLLIN | POLLRDNORM;
	if (tty_file_dead(tty, file) || tty->other_gone)
		mask |= POLLHUP | POLLIN | POLLRDNORM;
	if (!tty->stopped && tty->driver->room(tty) >= 8)
		mask |= POLLOUT | POLLWRNORM;
	spin_unlock_irqrestore(&tty->lock, flags);
	return mask;
}

/* ---- settings --------------------------------------------------------------
 */

static s64 get_termios(struct tty *tty, u64 to)
{
	struct ktermios t;
	unsigned long flags;

	spin_lock_irqsave(&tty->lock, flags);
	t = tty->termios;
	spin_unlock_irqrestore(&tty->lock, flags);
	return user_write(to, &t, sizeof(t));
}

static u32 out_pending(struct tty *tty)
{
	unsigned long flags;
	u32 n;

	spin_lock_irqsave(&tty->lock, flags);
	n = tty->driver->pending ? tty->driver->pending(tty) : 0;
	spin_unlock_irqrestore(&tty->lock, flags);
	return n;
}

/* Until all output has been taken: 0, -ERESTARTSYS. */
static int drain(struct tty *tty, const struct file *file)
{
	return wait_event_interruptible(
		tty->wr, !out_pending(tty) || tty_file_dead(tty, file));
}

static void flush(struct tty *tty, bool in, bool out)
{
	unsigned long flags;

	spin_lock_irqsave(&tty->lock, flags);
	if (in)
		n_tty_flush_input(tty);
	if (out)
		n_tty_flush_output(tty);
	spin_unlock_irqrestore(&tty->lock, flags);
	kick(tty);
	event_wake(&tty->wr);
}

static s64 set_termios(struct tty *tty, struct file *file, u32 cmd, u64 from)
{
	struct tty_notes notes;
	struct ktermios t;
	unsigned long flags;
	int err = tty_job_control(tty, SIGTTOU);

	if (err)
		return err;
	if (user_read(&t, from, sizeof(t)))
		return -EFAULT;
	if (cmd != TCSETS)
		err = drain(tty, file);
	if (err)
		return err;
	spin_lock_irqsave(&tty->lock, flags);
	if (cmd == TCSETSF)
		n_tty_flush_input(tty);
	n_tty_set_termios(tty, &t);
	notes = take_notes(tty);
	spin_unlock_irqrestore(&tty->lock, flags);
	act_on(tty, &notes);
	return 0;
}

/* TCOOFF, TCOON; TCIOFF, TCION: what is sent to the other end. */
static s64 flow(struct tty *tty, u64 arg)
{
	unsigned long flags;
	char c = 0;

	if (arg > 3)
		return -EINVAL;
	spin_lock_irqsave(&tty->lock, flags);
	if (arg < 2)
		n_tty_hold(tty, arg == 0);
	else
		c = (char)tty->termios.cc[arg == 2 ? VSTOP : VSTART];
	if (c && tty->driver->room(tty))
		tty->driver->put(tty, &c, 1);
	spin_unlock_irqrestore(&tty->lock, flags);
	kick(tty);
	event_wake(&tty->wr);
	return 0;
}

static s64 set_winsize(struct tty *tty, u64 from)
{
	struct kwinsize w;
	unsigned long flags;
	bool same;

	if (user_read(&w, from, sizeof(w)))
		return -EFAULT;
	spin_lock_irqsave(&tty->lock, flags);
	same = !mm_memcmp(&w, &tty->winsize, sizeof(w));
	tty->winsize = w;
	spin_unlock_irqrestore(&tty->lock, flags);
	if (!same)
		tty_signal(tty, SIGWINCH);
	return 0;
}

static s64 get_winsize(struct tty *tty, u64 to)
{
	struct kwinsize w;
	unsigned long flags;

	spin_lock_irqsave(&tty->lock, flags);
	w = tty->winsize;
	spin_unlock_irqrestore(&tty->lock, flags);
	return user_write(to, &w, sizeof(w));
}

/* As if the byte had been typed. */
static s64 simulate(struct tty *tty, u64 from)
{
	u8 c;

	if (!capable(CAP_SYS_ADMIN) && current->proc->tty != tty)
		return -EPERM;
	if (user_read(&c, from, 1))
		return -EFAULT;
	tty_input(tty, &c, 1);
	return 0;
}

/* Bytes that a read would give now. */
static s64 input_pending(struct tty *tty, u64 to)
{
	unsigned long flags;
	s32 n;

	spin_lock_irqsave(&tty->lock, flags);
	n = (s32)((tty->termios.lflag & ICANON ? tty->canon : tty->head) -
		  tty->tail);
	spin_unlock_irqrestore(&tty->lock, flags);
	return user_write(to, &n, sizeof(n));
}

static s64 flush_ioctl(struct tty *tty, u64 arg)
{
	int err = tty_job_control(tty, SIGTTOU);

	if (err)
		return err;
	if (arg > 2)
		return -EINVAL;
	flush(tty, arg != 1, arg != 0);
	return 0;
}

static s64 set_exclusive(struct tty *tty, bool on)
{
	WRITE_ONCE(tty->exclusive, on);
	return 0;
}

/* Which discipline: there is one, N_TTY. */
static s64 discipline(u32 cmd, u64 arg)
{
	s32 n = 0;

	if (cmd == TIOCGETD)
		return user_write(arg, &n, sizeof(n));
	if (user_read(&n, arg, sizeof(n)))
		return -EFAULT;
	return n ? -EINVAL : 0;
}

s64 tty_settings_ioctl(struct tty *tty, struct file *file, u32 cmd, u64 arg)
{
	s32 n;

	switch (cmd) {
	case TCGETS:
		return get_termios(tty, arg);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return set_termios(tty, file, cmd, arg);
	case TCSBRK: /* there is no line that could be broken: a drain */
	case TCSBRKP:
		n = tty_job_control(tty, SIGTTOU);
		return n ? n : drain(tty, file);
	case TCXONC:
		n = tty_job_control(tty, SIGTTOU);
		return n ? n : flow(tty, arg);
	case TCFLSH:
		return flush_ioctl(tty, arg);
	case TIOCGWINSZ:
		return get_winsize(tty, arg);
	case TIOCSWINSZ:
		return set_winsize(tty, arg);
	case FIONREAD:
		return input_pending(tty, arg);
	case TIOCOUTQ:
		n = (s32)out_pending(tty);
		return user_write(arg, &n, sizeof(n));
	case TIOCEXCL:
	case TIOCNXCL:
		return set_exclusive(tty, cmd == TIOCEXCL);
	case TIOCSTI:
		return simulate(tty, arg);
	case TIOCGETD:
	case TIOCSETD:
		return discipline(cmd, arg);
	case TIOCGPTPEER: /* a master's */
		return -EIO;
	}
	return -ENOTTY;
}

s64 tty_ioctl(struct file *file, u32 cmd, u64 arg)
{
	struct tty *tty = file->private_data;
	s64 ret;

	if (tty_file_dead(tty, file))
		return -EIO;
	ret = tty_session_ioctl(tty, file, cmd, arg);
	return ret == -ENOTTY ? tty_settings_ioctl(tty, file, cmd, arg) : ret;
}

static void tty_release(struct inode *inode, struct file *file)
{
	struct tty *tty = file->private_data;

	(void)inode;
	if (tty->driver->closed)
		tty->driver->closed(tty);
	tty_put(tty);
}

const struct file_operations tty_fops = {
	.read_iter = tty_read,
	.write_iter = tty_write,
	.poll = tty_poll,
	.ioctl = tty_ioctl,
	.llseek = event_no_seek,
	.release = tty_release,
};
