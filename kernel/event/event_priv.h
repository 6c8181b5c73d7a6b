/* SPDX-License-Identifier: MIT */
/*
 * event_priv.h - what the files of kernel/event share.
 */
#ifndef KERNEL_EVENT_PRIV_H
#define KERNEL_EVENT_PRIV_H

#include <mmkit/errno.h>
#include <mmkit/fs.h>
#include <mmkit/slab.h>

#include "base/atomic.h"
#include "base/mutex.h"
#include "base/string.h"
#include "event.h"
#include "ktime.h"
#include "syscall.h"
#include "task.h"
#include "vfs.h"

/* open(2), fcntl(2) */
#define O_RDONLY   0u
#define O_WRONLY   1u
#define O_RDWR	   2u
#define O_ACCMODE  3u
#define O_NOCTTY   0400u
#define O_NONBLOCK 04000u
#define O_DIRECT   040000u
#define O_CLOEXEC  02000000u

#define SIGHUP	 1
#define SIGINT	 2
#define SIGQUIT	 3
#define SIGPIPE	 13
#define SIGCONT	 18
#define SIGTSTP	 20
#define SIGTTIN	 21
#define SIGTTOU	 22
#define SIGWINCH 28

#define POLLWRBAND 0x200u

#define RLIMIT_NOFILE 7

#define FIONREAD 0x541bu
#define FIONBIO	 0x5421u

static inline bool file_nonblock(const struct file *file)
{
	return (READ_ONCE(file->f_flags) & O_NONBLOCK) != 0;
}

/* llseek of what has no position. */
s64 event_no_seek(struct file *file, s64 off, int whence);

/*
 * event_install: descriptor for FILE (or the error that it is), whose
 * reference is taken over in any case. FLAGS: O_CLOEXEC counts.
 */
s64 event_install(struct file *file, u32 flags);
/* event_install2: two descriptors, written to user memory at TO. 0 or -errno,
 * then neither is there. */
s64 event_install2(struct file *a, struct file *b, u32 flags, u64 to);

/* wake_readers: who waits at WQ after something was made true. */
static inline void event_wake(wait_queue_head_t *wq)
{
	smp_mb();
	if (waitqueue_active(wq))
		wake_up_all(wq);
}

void pipe_sys_init(void);
void poll_sys_init(void);
void epoll_sys_init(void);
void eventfd_sys_init(void);
void timerfd_sys_init(void);
void signalfd_sys_init(void);
void splice_sys_init(void);
void socket_sys_init(void);

/* poll.c: a user's signal mask for the length of a call; SIZE must be 8.
 * NULL: none. */
int event_sigmask(u64 mask_at, u64 size);
#endif
