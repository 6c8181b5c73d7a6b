/* SPDX-License-Identifier: MIT */
/*
 * pipe.h - what splicing knows of pipes. Theory: pipe.c.
 */
#ifndef KERNEL_EVENT_PIPE_H
#define KERNEL_EVENT_PIPE_H

#include "event_priv.h"

struct page;

/* A piece of what was written: bytes of one page, which others may have too
 * (tee, splice of a file's page): then they are only read. */
struct pipe_buf {
	struct page *page; /* a reference */
	u32 off, len;
	u32 flags;
};
#define PIPE_BUF_MERGE	0x1u /* bytes may be added behind */
#define PIPE_BUF_PACKET 0x2u /* read(2) takes it whole, alone */

#define PIPE_BUFS_DEFAULT 16u
#define PIPE_MAX_SIZE	  (1u << 20) /* without CAP_SYS_RESOURCE */

/* (M) mutex; (A) atomic */
struct pipe {
	struct mutex mutex;
	struct pipe_buf *bufs;	  /* (M) ring */
	u32 ring, head, used;	  /* (M) a power of two; first; how many */
	u32 readers, writers;	  /* (M) open files */
	u32 r_opens, w_opens;	  /* (M) how often a side was opened */
	u32 files;		  /* (fifo_sys.lock) who holds it */
	struct vnode *vnode;	  /* (C) a FIFO's; NULL */
	bool anon;		  /* (C) of pipe(2): opens wait for nobody */
	u32 uid, gid;		  /* (C) who made it by pipe(2) */
	struct page *spare;	  /* (M) a page that was read empty */
	wait_queue_head_t rd, wr; /* something to read; room */
	wait_queue_head_t opens;  /* fifo_open() of the other side */
};

static inline struct pipe_buf *pipe_at(const struct pipe *p, u32 i)
{
	return &p->bufs[(p->head + i) & (p->ring - 1)];
}
static inline bool pipe_full(const struct pipe *p)
{
	return p->used >= p->ring;
}

/* file_pipe: FILE's pipe, NULL: it is something else. */
struct pipe *file_pipe(const struct file *file);
/* pipe_push: B, with its reference, behind the others; there is room. */
void pipe_push(struct pipe *p, const struct pipe_buf *b);
/* pipe_pop: the first buffer goes, its page too. */
void pipe_pop(struct pipe *p);
/*
 * pipe_wait_data / pipe_wait_room: with P locked, until there is something to
 * read, or room for a buffer; P is unlocked meanwhile. 1: there is; 0 (data):
 * nobody can write any more; -EPIPE (room; SIGPIPE is sent), -EAGAIN
 * (NONBLOCK), -ERESTARTSYS.
 */
int pipe_wait_data(struct pipe *p, bool nonblock);
int pipe_wait_room(struct pipe *p, bool nonblock);
/* pipe_lock2: two different pipes, in order of addresses. */
void pipe_lock2(struct pipe *a, struct pipe *b);
void pipe_check(struct pipe *p);

#endif
