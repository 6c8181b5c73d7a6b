/* SPDX-License-Identifier: MIT */
/*
 * shm.h - System V segments from the inside. Theory: shm.c.
 */
#ifndef MM_SPACE_SHM_H
#define MM_SPACE_SHM_H

#include <mmkit/fs.h>
#include <mmkit/shm.h>

#include "base/list.h"
#include "base/mutex.h"
#include "space/space.h"

#define SHM_HASH	64u
#define SHM_CIRCLE	64u
#define SHM_PER_CHUNK	64u
#define SHM_CHUNKS	(SHMMNI_MAX / SHM_PER_CHUNK)
#define SHM_MODE_BITS	0777u
#define SHM_LIMIT_BYTES (~0UL - (1UL << 24))

/* One segment. (C) constant; the rest (N): the namespace's lock. */
struct shm_segment {
	struct shm_ns *ns;     /* (C) */
	struct inode *inode;   /* (C) a reference */
	u64 size;	       /* (C) bytes */
	s32 id;		       /* (C) */
	s32 key;	       /* IPC_PRIVATE once it is to be destroyed */
	struct list_head hash; /* in ns->hash, unless the key is private */
	u32 uid, gid, cuid, cgid;
	u32 mode;   /* permissions, SHM_DEST, SHM_LOCKED */
	u64 nattch; /* mappings, and calls under way */
	s64 atime, dtime, ctime;
	s32 cpid, lpid;
	u32 mlock_uid;		       /* whose limit SHM_LOCKED counts in */
	const struct mm_task *creator; /* NULL: gone */
};

struct shm_ns {
	struct mutex lock;
	u32 refs; /* (N) its owner and its segments */
	/* One word each, read without the lock; the first namespace's are
	 * tunables (space_sys.shm_limit). */
	struct shm_limits *limit, own;
	u32 in_use;   /* segments */
	s32 max_used; /* highest index in use; -1: none */
	s32 last_idx; /* given out last; -1: none yet */
	u16 seq;      /* rounds of the indexes */
	u64 tot;      /* pages of all segments */
	struct list_head hash[SHM_HASH];
	struct shm_segment **chunk[SHM_CHUNKS];
};

/* shm_forced: does a segment of NS go with its last mapping, and with its
 * creator? */
static inline bool shm_forced(const struct shm_ns *ns)
{
	return READ_ONCE(ns->limit->rmid_forced);
}

/* shm_ns_enter: C's namespace, locked. */
struct shm_ns *shm_ns_enter(struct shm_ns *ns);

/* shm_obtain: the segment of ID, *OUT: 0, -EINVAL, -EIDRM. shm_at: that of
 * index IDX, or NULL. Locked. */
int shm_obtain(struct shm_ns *ns, int id, struct shm_segment **out);
struct shm_segment *shm_at(struct shm_ns *ns, u32 idx);

/* shm_permits: does SEG grant C the mode bits WANT, of any class? */
bool shm_permits(const struct shm_segment *seg, const struct shm_caller *c,
		 u32 want);

/* shm_make_private: SEG is not found by its key any more. Locked. */
void shm_make_private(struct shm_segment *seg);

/* shm_unlist: SEG, without attaches, leaves its namespace, locked; then, not
 * locked, shm_release(). */
void shm_unlist(struct shm_segment *seg);
void shm_release(struct shm_segment *seg);

static inline s64 shm_now(void)
{
	return (s64)(port_now_ns() / 1000000000UL);
}

static inline u64 shm_pages(const struct shm_segment *seg)
{
	return (seg->size + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

#endif
