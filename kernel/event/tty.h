/* SPDX-License-Identifier: MIT */
/*
 * tty.h - terminals inside kernel/event. Theory: tty.c, n_tty.c.
 */
#ifndef KERNEL_EVENT_TTY_H
#define KERNEL_EVENT_TTY_H

#include "event_priv.h"

/* struct termios of the kernel's interface, termios(3). */
#define NCCS 19
struct ktermios {
	u32 iflag, oflag, cflag, lflag;
	u8 line;
	u8 cc[NCCS];
};
struct kwinsize {
	u16 row, col, xpixel, ypixel;
};

enum {
	VINTR,
	VQUIT,
	VERASE,
	VKILL,
	VEOF,
	VTIME,
	VMIN,
	VSWTC,
	VSTART,
	VSTOP,
	VSUSP,
	VEOL,
	VREPRINT,
	VDISCARD,
	VWERASE,
	VLNEXT,
	VEOL2
};

/* iflag */
#define ISTRIP	0000040u
#define INLCR	0000100u
#define IGNCR	0000200u
#define ICRNL	0000400u
#define IUCLC	0001000u
#define IXON	0002000u
#define IXANY	0004000u
#define IMAXBEL 0020000u
#define IUTF8	0040000u
/* oflag */
#define OPOST  0000001u
#define OLCUC  0000002u
#define ONLCR  0000004u
#define OCRNL  0000010u
#define ONOCR  0000020u
#define ONLRET 0000040u
#define XTABS  0014000u
/* cflag */
#define CREAD  0000200u
#define CS8    0000060u
#define HUPCL  0002000u
#define CLOCAL 0004000u
#define B38400 0000017u
/* lflag */
#define ISIG	0000001u
#define ICANON	0000002u
#define ECHO	0000010u
#define ECHOE	0000020u
#define ECHOK	0000040u
#define ECHONL	0000100u
#define NOFLSH	0000200u
#define TOSTOP	0000400u
#define ECHOCTL 0001000u
#define ECHOPRT 0002000u
#define ECHOKE	0004000u
#define IEXTEN	0100000u

#define TTY_BUF 4096u /* input that waits to be read */

#define TIOCGPTPEER 0x5441u

/* ioctl_tty(2), TIOCPKT: the first byte of what the master reads. */
#define TTY_PKT_FLUSHREAD  0x01u
#define TTY_PKT_FLUSHWRITE 0x02u
#define TTY_PKT_STOP	   0x04u
#define TTY_PKT_START	   0x08u
#define TTY_PKT_NOSTOP	   0x10u
#define TTY_PKT_DOSTOP	   0x20u

struct tty;

/* What a terminal's characters go to; all with tty.lock held. */
struct tty_driver {
	/* N <= room() bytes, as they are. */
	void (*put)(struct tty *tty, const char *text, u32 n);
	u32 (*room)(struct tty *tty);
	/* Output that has not reached anybody; may be NULL: 0. */
	u32 (*pending)(struct tty *tty);
	void (*flush)(struct tty *tty); /* drop it; NULL: nothing to drop */
	/* What a master in packet mode hears of: TTY_PKT_*; may be NULL. */
	void (*note)(struct tty *tty, u8 what);
	/* No lock held; each may be NULL. kick: put() may have been called.
	 * opened, closed: an open file more, less. */
	void (*kick)(struct tty *tty);
	void (*opened)(struct tty *tty);
	void (*closed)(struct tty *tty);
	/* The last reference went; no lock. NULL: it stays for ever. */
	void (*free)(struct tty *tty);
	bool console; /* open(2) never makes it a controlling terminal by
		       * this name, hang-ups leave it open */
};

/* (K) lock; (C) constant; (A) atomic; (S) tty_sys.lock */
struct tty {
	u32 count;			 /* (A) */
	u32 rdev;			 /* (C) */
	const struct tty_driver *driver; /* (C) */
	void *private;			 /* (C) the driver's */
	spinlock_t lock;		 /* interrupts off */
	struct ktermios termios;	 /* (K) */
	struct kwinsize winsize;	 /* (K) */
	s32 session, pgrp;		 /* (S) 0: none */
	u32 hangups;	 /* (K) files that were opened before are dead */
	bool other_gone; /* (K) nobody is at the other end: EOF, EIO */
	bool stopped;	 /* (K) by IXON or TCOOFF */
	bool held;	 /* (K) by TCOOFF, which only TCOON ends */
	bool exclusive;	 /* (K) TIOCEXCL */
	bool writing;	 /* (K) somebody writes: one at a time */
	wait_queue_head_t rd, wr; /* input; room */
	/* The line discipline: n_tty.c. (K) all. */
	u8 buf[TTY_BUF];
	u64 ends[TTY_BUF / 64];	  /* bytes that end a line */
	u32 head, canon, tail;	  /* free-running: in, whole lines, out */
	u32 lines;		  /* ends in [tail, canon) */
	u32 column, canon_column; /* of output; where the line began */
	bool literal;		  /* the next byte is taken as it is */
	u64 signals;		  /* to the foreground, by tty_input() */
	bool input_came, went_on; /* wake readers, writers */
};

/* tty_init: a terminal with the usual settings and one reference. */
void tty_init(struct tty *tty, u32 rdev, const struct tty_driver *driver);
/* tty_input: N bytes have come in. Any context. */
void tty_input(struct tty *tty, const u8 *bytes, u32 n);
/* tty_input_room: bytes that tty_input() will surely keep. */
u32 tty_input_room(struct tty *tty);
/* tty_hangup: files that are open get end of file. May sleep. */
void tty_hangup(struct tty *tty);
/* tty_lose_line: nobody is at the other end any more: the session that it
 * controls loses it, its leader gets SIGHUP. tty_job.c. May sleep. */
void tty_lose_line(struct tty *tty);
/* tty_attach: FILE is a new open file of TTY, whose reference it takes over;
 * the current process's controlling terminal if all else is so. */
void tty_attach(struct file *file, struct tty *tty, bool may_control);
extern const struct file_operations tty_fops;

/* Signals to the foreground group. No lock held. */
void tty_signal(struct tty *tty, int sig);
/* tty_job_control: the current process reads (SIGTTIN) or changes (SIGTTOU)
 * TTY: 0; -EIO, -ERESTARTSYS (the group got SIG). */
int tty_job_control(struct tty *tty, int sig);
/* Is TTY dead for FILE? */
bool tty_file_dead(const struct tty *tty, const struct file *file);
s64 tty_ioctl(struct file *file, u32 cmd, u64 arg);
/* tty_settings_ioctl: those of termios and sizes; -ENOTTY: another. */
s64 tty_settings_ioctl(struct tty *tty, struct file *file, u32 cmd, u64 arg);
/* tty_session_ioctl: TIOCSCTTY and kin; -ENOTTY: another. tty_job.c. */
s64 tty_session_ioctl(struct tty *tty, struct file *file, u32 cmd, u64 arg);

/* n_tty.c; tty.lock held unless said. */
void n_tty_receive(struct tty *tty, u8 c);
/* Output processing of N bytes; how many were taken (fewer: no room). */
u32 n_tty_output(struct tty *tty, const u8 *bytes, u32 n);
u32 n_tty_readable(const struct tty *tty); /* bytes; lines where ICANON */
/* Up to N bytes to OUT, of one line at most where ICANON. *END: a read ends
 * here. */
u32 n_tty_take(struct tty *tty, u8 *out, u32 n, bool *end);
void n_tty_flush_input(struct tty *tty);
void n_tty_flush_output(struct tty *tty);
/* The output, by STOP and START; it wakes nobody. n_tty_hold: by a call. */
void n_tty_stop(struct tty *tty, bool stop);
void n_tty_hold(struct tty *tty, bool hold);
void n_tty_set_termios(struct tty *tty, const struct ktermios *t);
void n_tty_check(const struct tty *tty);

int tty_devices_init(void) MM_MUST_CHECK;
int pty_init(void) MM_MUST_CHECK; /* /dev/ptmx */
struct tty *console_tty(void);

#endif
