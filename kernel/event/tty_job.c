/* SPDX-License-Identifier: MIT */
/*
 * tty_job.c - sessions, their terminals and the foreground: job control.
 *
 * A terminal controls at most one session, a session has at most one terminal.
 * The terminal knows the session and the process group in its foreground; each
 * process of the session refers to it. A session leader without one gets the
 * first terminal that it opens (not by O_NOCTTY, not by /dev/console). Groups
 * that are not in the foreground are stopped when they read, or change
 * settings, unless nobody of their session could continue them (an orphaned
 * group: EIO) or they do not want the signal.
 *
 * Locking. tty_sys.lock, interrupts off: process.tty, tty.session, tty.pgrp.
 * Signals are sent, and processes looked for, without it.
 *
 * References: credentials(7), setsid(2), tcsetpgrp(3), ioctl_tty(2), POSIX.1
 * General Terminal Interface.
 */
#include "tty.h"

#define TIOCSCTTY 0x540eu
#define TIOCGPGRP 0x540fu
#define TIOCSPGRP 0x5410u
#define TIOCNOTTY 0x5422u
#define TIOCGSID  0x5429u

#define CAP_SYS_ADMIN 21

static struct {
	spinlock_t lock;
} tty_sys = {.lock = SPIN_LOCK_UNLOCKED(LOCK_CLASS_NONE)};

/* ---- who has which ---------------------------------------------------------
 */

struct tty *tty_of_process(struct process *p)
{
	unsigned long flags;
	struct tty *tty;

	spin_lock_irqsave(&tty_sys.lock, flags);
	tty = p->tty ? tty_get(p->tty) : NULL;
	spin_unlock_irqrestore(&tty_sys.lock, flags);
	return tty;
}

/* P's terminal is TTY (a reference goes over) or none. */
static void set_process_tty(struct process *p, struct tty *tty)
{
	unsigned long flags;
	struct tty *old;

	spin_lock_irqsave(&tty_sys.lock, flags);
	old = p->tty;
	p->tty = tty;
	spin_unlock_irqrestore(&tty_sys.lock, flags);
	tty_put(old);
}

void tty_inherit(struct process *child, struct process *parent)
{
	child->tty = tty_of_process(parent);
}

void tty_setsid(struct process *p)
{
	set_process_tty(p, NULL);
}

s32 tty_fg_pgrp(const struct tty *tty)
{
	s32 pgrp = READ_ONCE(tty->pgrp);

	return pgrp ? pgrp : -1;
}

/* Each process of session SID that has TTY loses it. */
static void drop_session(s32 sid, const struct tty *tty)
{
	struct process *p;

	for (s32 after = 0; (p = process_next(after)) != NULL;) {
		after = p->tgid;
		if (READ_ONCE(p->sid) == sid && READ_ONCE(p->tty) == tty)
			set_process_tty(p, NULL);
		process_put(p);
	}
}

/* Session SID has TTY no more; its foreground group, 0: SID had it not. */
static s32 give_up(struct tty *tty, s32 sid)
{
	unsigned long flags;
	s32 pgrp = 0;

	spin_lock_irqsave(&tty_sys.lock, flags);
	if (tty->session == sid) {
		pgrp = tty->pgrp;
		tty->session = 0;
		WRITE_ONCE(tty->pgrp, 0);
	}
	spin_unlock_irqrestore(&tty_sys.lock, flags);
	return pgrp;
}

static void leader_leaves(struct process *leader, struct tty *tty)
{
	s32 pgrp = give_up(tty, leader->sid);

	if (pgrp) {
		(void)send_sig_pgrp(pgrp, SIGHUP, NULL);
		(void)send_sig_pgrp(pgrp, SIGCONT, NULL);
	}
	drop_session(leader->sid, tty);
	set_process_tty(leader, NULL);
	if (!tty->driver->console)
		tty_hangup(tty);
}

void tty_lose_line(struct tty *tty)
{
	s32 sid = READ_ONCE(tty->session);
	struct process *leader = sid ? process_find(sid) : NULL;

	if (leader) {
		(void)send_sig_process(leader, SIGHUP, NULL);
		(void)send_sig_process(leader, SIGCONT, NULL);
		process_put(leader);
	}
	if (sid) {
		(void)give_up(tty, sid);
		drop_session(sid, tty);
	}
	tty_hangup(tty);
}

void tty_process_exit(struct process *p)
{
	struct tty *tty = tty_of_process(p);

	if (!tty)
		return;
	if (p->sid == p->tgid)
		leader_leaves(p, tty);
	else
		set_process_tty(p, NULL);
	tty_put(tty);
}

/* The current process, a session leader without one, gets TTY. STEAL: from
 * another one. 0, -EPERM. */
static int take_control(struct tty *tty, bool steal)
{
	struct process *p = current->proc;
	s32 robbed = 0;
	unsigned long flags;
	int err = 0;

	spin_lock_irqsave(&tty_sys.lock, flags);
	if (p->sid != p->tgid || p->tty ||
	    (tty->session && tty->session != p->sid && !steal)) {
		err = -EPERM;
	} else {
		robbed = tty->session != p->sid ? tty->session : 0;
		tty->session = p->sid;
		WRITE_ONCE(tty->pgrp, p->pgid);
		p->tty = tty_get(tty);
	}
	spin_unlock_irqrestore(&tty_sys.lock, flags);
	if (robbed)
		drop_session(robbed, tty);
	return err;
}

void tty_attach(struct file *file, struct tty *tty, bool may_control)
{
	file->private_data = tty;
	file->f_op = &tty_fops;
	file->f_mode |= FMODE_STREAM;
	file->f_ra.start = READ_ONCE(tty->hangups);
	if (tty->driver->opened)
		tty->driver->opened(tty);
	/* That it cannot be is no error of open(2). */
	if (may_control && !(file->f_flags & O_NOCTTY) &&
	    (file->f_mode & FMODE_READ) && !READ_ONCE(tty->session))
		(void)take_control(tty, false);
}

/* ---- signals ---------------------------------------------------------------
 */

void tty_signal(struct tty *tty, int sig)
{
	s32 pgrp = READ_ONCE(tty->pgrp);

	/* A group that is gone gets nothing. */
	if (pgrp)
		(void)send_sig_pgrp(pgrp, sig, NULL);
}

/* Would P's parent continue its group? */
static bool has_guardian(const struct process *p)
{
	const struct process *parent = READ_ONCE(p->parent);

	return parent && READ_ONCE(parent->pgid) != READ_ONCE(p->pgid) &&
	       READ_ONCE(parent->sid) == READ_ONCE(p->sid);
}

/* Is there nobody in the session who could continue group PGID? */
static bool orphaned(s32 pgid)
{
	struct process *p;
	bool guarded = false;

	for (s32 after = 0; !guarded && (p = process_next(after)) != NULL;) {
		after = p->tgid;
		guarded = READ_ONCE(p->pgid) == pgid && has_guardian(p);
		process_put(p);
	}
	return !guarded;
}

int tty_job_control(struct tty *tty, int sig)
{
	struct task *t = current;
	s32 pgrp = READ_ONCE(tty->pgrp), mine = READ_ONCE(t->proc->pgid);

	if (READ_ONCE(t->proc->tty) != tty || !pgrp || pgrp == mine)
		return 0;
	if (sig_ignored_or_blocked(t, sig))
		return sig == SIGTTIN ? -EIO : 0;
	if (orphaned(mine))
		return -EIO;
	(void)send_sig_pgrp(mine, sig, NULL);
	return -ERESTARTSYS;
}

/* ---- calls -----------------------------------------------------------------
 */

/* The session of group PGRP; 0: there is none such. */
static s32 session_of(s32 pgrp)
{
	struct process *p;
	s32 sid = 0;

	for (s32 after = 0; !sid && (p = process_next(after)) != NULL;) {
		after = p->tgid;
		if (READ_ONCE(p->pgid) == pgrp)
			sid = READ_ONCE(p->sid);
		process_put(p);
	}
	return sid;
}

/* Is TTY the current process's? Its session then. */
static bool controls_me(const struct tty *tty, s32 *sid)
{
	unsigned long flags;
	bool mine;

	spin_lock_irqsave(&tty_sys.lock, flags);
	mine = current->proc->tty == tty && tty->session == current->proc->sid;
	*sid = tty->session;
	spin_unlock_irqrestore(&tty_sys.lock, flags);
	return mine;
}

static s64 set_pgrp(struct tty *tty, u64 from)
{
	unsigned long flags;
	s32 pgrp, sid;
	int err;

	if (!controls_me(tty, &sid))
		return -ENOTTY;
	err = tty_job_control(tty, SIGTTOU);
	if (err)
		return err;
	if (user_read(&pgrp, from, sizeof(pgrp)))
		return -EFAULT;
	if (pgrp <= 0)
		return -EINVAL;
	err = session_of(pgrp);
	if (err != sid)
		return err ? -EPERM : -ESRCH;
	spin_lock_irqsave(&tty_sys.lock, flags);
	if (tty->session == sid)
		WRITE_ONCE(tty->pgrp, pgrp);
	spin_unlock_irqrestore(&tty_sys.lock, flags);
	return 0;
}

/* Of a pseudoterminal's master nobody asks whose it is. */
static s64 get_ids(struct tty *tty, const struct file *file, u32 cmd, u64 to)
{
	s32 sid, value;

	if (file->f_op == &tty_fops && !controls_me(tty, &sid))
		return -ENOTTY;
	sid = READ_ONCE(tty->session);
	value = cmd == TIOCGSID ? sid : READ_ONCE(tty->pgrp);
	if (cmd == TIOCGSID && !sid)
		return -ENOTTY;
	return user_write(to, &value, sizeof(value));
}

static s64 become_controlling(struct tty *tty, const struct file *file,
			      u64 steal)
{
	s32 sid;

	if (controls_me(tty, &sid) && current->proc->sid == current->proc->tgid)
		return 0;
	if (!(file->f_mode & FMODE_READ) && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	return take_control(tty, steal == 1 && capable(CAP_SYS_ADMIN));
}

static s64 give_up_tty(struct tty *tty)
{
	struct process *p = current->proc;

	if (READ_ONCE(p->tty) != tty)
		return -ENOTTY;
	if (p->sid == p->tgid)
		leader_leaves(p, tty);
	else
		set_process_tty(p, NULL);
	return 0;
}

s64 tty_session_ioctl(struct tty *tty, struct file *file, u32 cmd, u64 arg)
{
	switch (cmd) {
	case TIOCSCTTY:
		return become_controlling(tty, file, arg);
	case TIOCNOTTY:
		return give_up_tty(tty);
	case TIOCSPGRP:
		return set_pgrp(tty, arg);
	case TIOCGPGRP:
	case TIOCGSID:
		return get_ids(tty, file, cmd, arg);
	}
	return -ENOTTY;
}
