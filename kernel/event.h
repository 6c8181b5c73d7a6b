/* SPDX-License-Identifier: MIT */
/*
 * event.h - pipes, sockets, terminals and what waits for them, as other parts
 * of the kernel see them. The system calls are entered by event_sys_init().
 *
 * Results are 0 or a value, or a negative errno. All may sleep unless said.
 */
#ifndef KERNEL_EVENT_H
#define KERNEL_EVENT_H

#include <mmkit/types.h>

struct file;
struct process;
struct tty;
struct vnode;

/*
 * event_init: at boot, after vfs_init(): the terminals' devices (/dev/console,
 * /dev/ttyS0, /dev/tty), caches. 0 or -ENOMEM.
 */
int event_init(void) MM_MUST_CHECK;

/*
 * fifo_ops: open: FILE is being opened on V, a FIFO (fifo(7)): waits for the
 * other end, sets f_op and private_data. For vnode open paths: whoever opens a
 * vnode of S_IFIFO calls this in place of vnode_ops.open. 0; -ENXIO (O_WRONLY
 * and O_NONBLOCK, nobody reads), -ERESTARTSYS, -ENOMEM. The last close frees
 * what vnode.fifo points to and makes it NULL.
 */
extern const struct vfs_fifo_ops fifo_ops;

/* pipe_fcntl: F_GETPIPE_SZ and F_SETPIPE_SZ; -EBADF: FILE is no pipe. */
s64 pipe_fcntl(struct file *file, u32 cmd, u64 arg);

/*
 * splice_direct: up to LEN bytes from IN at *IN_POS to OUT at *OUT_POS, through
 * a buffer of the kernel's: sendfile(2). POS moves by what was done. Bytes
 * done; -errno if none. OUT gets what was read from IN, or IN is not moved.
 */
s64 splice_direct(struct file *in, u64 *in_pos, struct file *out, u64 *out_pos,
		  u64 len);

/* ---- /proc/net
 *
 * Each appends one file's text: of AF_UNIX sockets, of tcp, udp, raw (of which
 * there are none) and their kin of IPv6, of how many there are, of protocols,
 * of (no) devices.
 */

struct seq_buf;
void sock_show_unix(struct seq_buf *out);
void sock_show_inet(struct seq_buf *out, bool v6, u32 type); /* SOCK_* */
void sock_show_sums(struct seq_buf *out, bool v6);
void sock_show_protocols(struct seq_buf *out);
void sock_show_devices(struct seq_buf *out);

/* ---- terminals and sessions ------------------------------------------------
 *
 * process.tty is a reference, changed under a lock of the terminals' own.
 */

struct tty *tty_get(struct tty *tty);
void tty_put(struct tty *tty); /* NULL is ignored */
/* tty_of_process: P's controlling terminal, with a reference, or NULL. */
struct tty *tty_of_process(struct process *p);
/* What /proc/PID/stat shows: device number, foreground group (-1: none). */
u32 tty_rdev(const struct tty *tty);
s32 tty_fg_pgrp(const struct tty *tty);
/* tty_inherit: fork: CHILD, which nobody knows yet, has PARENT's. */
void tty_inherit(struct process *child, struct process *parent);
/* tty_setsid: P has become the leader of a session: no terminal. */
void tty_setsid(struct process *p);
/*
 * tty_process_exit: P's last thread exits; pgid and sid still say what P was.
 * A session leader gives its terminal up: the foreground group gets SIGHUP and
 * SIGCONT, nobody of the session has it any more.
 */
void tty_process_exit(struct process *p);
/* tty_console_input: BYTE came in on the console. Any context. */
void tty_console_input(u8 byte);

#endif
