/* SPDX-License-Identifier: MIT */
/*
 * shm.h - System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2).
 *
 * Who calls is said by struct shm_caller; what capabilities(7) allow by the
 * running task's caps. Calls return a value or a negative errno; user memory is
 * in Linux's x86-64 layout. Unless noted: context may sleep, no lock held; a
 * call that fails has changed nothing. Theory: src/space/shm.c.
 */
#ifndef MMKIT_SHM_H
#define MMKIT_SHM_H

#include <mmkit/types.h>

struct mm_struct;
struct mm_task;
struct seq_buf;
struct shm_ns;

/* <sys/ipc.h>, <sys/shm.h>; a program's own headers say the same. */
#ifndef IPC_CREAT
#define IPC_CREAT   01000
#define IPC_EXCL    02000
#define IPC_NOWAIT  04000
#define IPC_PRIVATE 0
#define IPC_RMID    0
#define IPC_SET	    1
#define IPC_STAT    2
#define IPC_INFO    3
#endif
#ifndef SHM_R
#define SHM_R	      0400
#define SHM_W	      0200
#define SHM_LOCK      11
#define SHM_UNLOCK    12
#define SHM_STAT      13
#define SHM_INFO      14
#define SHM_RDONLY    010000
#define SHM_RND	      020000
#define SHM_REMAP     040000
#define SHM_EXEC      0100000
#define SHM_DEST      01000
#define SHM_LOCKED    02000
#define SHM_HUGETLB   04000
#define SHM_NORESERVE 010000
#endif
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

#define SHMMIN	       1UL
#define SHMMNI_DEFAULT 4096u
#define SHMMNI_MAX     32768u

struct shm_caller {
	struct shm_ns *ns; /* NULL: the first one, which is always there */
	struct mm_struct *mm;
	u32 uid, gid; /* effective */
	const u32 *groups;
	u32 nr_groups;
};

/* What IPC_STAT writes and IPC_SET reads: struct shmid_ds. */
struct mm_shmid_ds {
	struct {
		s32 key;
		u32 uid, gid, cuid, cgid, mode;
		u16 seq, pad;
		u32 pad2;
		u64 unused[2];
	} shm_perm;
	u64 shm_segsz;			     /* bytes */
	s64 shm_atime, shm_dtime, shm_ctime; /* seconds since boot */
	s32 shm_cpid, shm_lpid;
	u64 shm_nattch;
	u64 unused[2];
};
/* IPC_INFO's struct shminfo. */
struct mm_shminfo {
	u64 shmmax, shmmin, shmmni, shmseg, shmall, unused[4];
};
/* SHM_INFO's struct shm_info: pages, but used_ids. */
struct mm_shm_info {
	s32 used_ids, pad;
	u64 shm_tot, shm_rss, shm_swp, swap_attempts, swap_successes;
};

/*
 * do_shmget: the identifier of the segment of KEY, or of a new one of SIZE
 * bytes: -EINVAL (SIZE below SHMMIN or above shmmax; the segment is smaller),
 * -EEXIST (IPC_CREAT with IPC_EXCL), -ENOENT, -EACCES (mode bits of FLAGS that
 * are not granted, without MM_CAP_IPC_OWNER), -ENOSPC (shmmni, shmall), -ENOMEM
 * (nothing left, or not to be promised; SHM_HUGETLB: the pool of huge pages is
 * empty), -EPERM (SHM_HUGETLB without MM_CAP_IPC_LOCK).
 */
s64 do_shmget(const struct shm_caller *c, s32 key, u64 size, int flags);

/*
 * do_shmat: map segment ID into C's mm at ADDR, or where there is room (0):
 * the address, or -EINVAL (no such id; ADDR not aligned without SHM_RND, taken
 * without SHM_REMAP, 0 with it), -EIDRM (removed), -EACCES, -ENOMEM (no room;
 * limits), or do_mmap_file()'s others.
 */
s64 do_shmat(const struct shm_caller *c, int id, uva_t addr, int flags);

/* do_shmdt: unmap what was attached at ADDR: all that is left of it; 0, -EINVAL
 * (nothing), -ENOMEM. */
s64 do_shmdt(const struct shm_caller *c, uva_t addr);

/*
 * do_shmctl: IPC_STAT, IPC_SET, IPC_RMID, IPC_INFO, SHM_INFO, SHM_STAT,
 * SHM_STAT_ANY, SHM_LOCK, SHM_UNLOCK; BUF in C's mm. 0, for *_INFO the highest
 * index in use, for SHM_STAT* the identifier; -EINVAL, -EIDRM, -EACCES (no
 * right to read), -EPERM (neither owner nor creator nor the capability;
 * SHM_LOCK with RLIMIT_MEMLOCK 0), -ENOMEM (SHM_LOCK beyond RLIMIT_MEMLOCK, by
 * user), -EFAULT (BUF; SHM_STAT has changed nothing then either).
 */
s64 do_shmctl(const struct shm_caller *c, int id, int cmd, uva_t buf);

/* shm_ns_create: an empty namespace with Linux's limits, or NULL. shm_ns_put:
 * its processes are gone: segments go, attached ones with their last mapping.
 */
struct shm_ns *shm_ns_create(void);
void shm_ns_put(struct shm_ns *ns);

/* Limits of NS (NULL: the first): SHMMAX bytes, SHMALL pages, SHMMNI segments
 * (at most SHMMNI_MAX), and whether a segment goes with its last mapping or its
 * creator. 0, -EINVAL. Existing segments stay, but orphans go when RMID_FORCED
 * becomes true. */
struct shm_limits {
	u64 shmmax, shmall;
	u32 shmmni;
	u32 rmid_forced;
};
int shm_set_limits(struct shm_ns *ns, const struct shm_limits *l) MM_MUST_CHECK;
void shm_get_limits(struct shm_ns *ns, struct shm_limits *out);

/* shm_task_exit: TASK, which may have created segments of NS, is going. */
void shm_task_exit(struct shm_ns *ns, const struct mm_task *task);

/* shm_show: the text of /proc/sysvipc/shm of NS (NULL: the first). */
void shm_show(struct shm_ns *ns, struct seq_buf *out);

/* shm_check: keys, slots, counts of NS agree. Panics. */
void shm_check(struct shm_ns *ns);

#endif
