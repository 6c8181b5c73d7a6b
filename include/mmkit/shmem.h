/* SPDX-License-Identifier: MIT */
/*
 * shmem.h - files that live in memory and in swap: tmpfs, memfd_create(2), and
 * what shared anonymous memory and System V segments stand on.
 *
 * Directories and descriptors are the kernel's: what is here are inodes and
 * open files without names. Offsets and sizes are bytes. Unless noted: may
 * sleep, no lock held; a call that fails has changed nothing. Pointers are
 * ERR_PTR(-errno) on failure.
 */
#ifndef MMKIT_SHMEM_H
#define MMKIT_SHMEM_H

#include <mmkit/fs.h>

#define TMPFS_MAGIC 0x01021994

/* What mount -o size=,nr_inodes= say, in pages and inodes; 0: no limit. */
struct shmem_mount_options {
	u64 max_blocks, max_inodes;
	u32 s_dev;	  /* makedev(3) number */
	const char *s_id; /* kept, not copied */
	/* mpol=: the policy of all pages of new inodes, NULL: none; a reference
	 * more is taken. */
	struct mempolicy *mpol;
};

/* statfs(2) of tmpfs. Blocks are pages. */
struct shmem_statfs {
	u64 f_type, f_bsize, f_blocks, f_bfree, f_files, f_ffree;
};

/* shmem_mount: an empty file system, the caller's until shmem_umount().
 * ERR_PTR(-ENOMEM). */
struct super_block *shmem_mount(const struct shmem_mount_options *o);

/* shmem_remount: new limits: 0; -EINVAL: below what is used, or a limit where
 * there was none (use was not counted), or none where there was one. */
int shmem_remount(struct super_block *sb,
		  const struct shmem_mount_options *o) MM_MUST_CHECK;

/* shmem_umount: 0; -EBUSY while it has inodes. */
int shmem_umount(struct super_block *sb) MM_MUST_CHECK;

/* shmem_get_statfs: *OUT; without limits what statfs(2) of tmpfs says: 0. */
void shmem_get_statfs(struct super_block *sb, struct shmem_statfs *out);

/*
 * shmem_inode_new: an empty regular file of SB with permissions MODE, one link
 * and one reference, both the caller's; iput() after i_nlink 0 frees the
 * contents. ERR_PTR: -ENOSPC (nr_inodes), -ENOMEM.
 */
struct inode *shmem_inode_new(struct super_block *sb, u32 mode);

/* Is INODE one of ours? */
bool shmem_is_inode(const struct inode *inode);

/* shmem_inode_blocks: pages of INODE in memory or swap: st_blocks / 8. */
u64 shmem_inode_blocks(struct inode *inode);

/* shmem_setmode: chmod(2)'s mode bits: 0; -EPERM: F_SEAL_EXEC and the x bits
 * would change. Takes i_rwsem. */
int shmem_setmode(struct inode *inode, u32 mode) MM_MUST_CHECK;

/* ---- files without a name --------------------------------------------------
 */

#define SHMEM_NORESERVE 0x1u /* pages are accounted as they come */

/*
 * shmem_file_setup: a file of SIZE bytes on the internal mount, open for
 * reading and writing, accounted as a whole unless FLAGS say NORESERVE. PATH
 * is kept, as /proc/PID/maps shows it. ERR_PTR: -EINVAL (too large), -ENOMEM.
 */
struct file *shmem_file_setup(const char *path, u64 size, u32 flags);

/* memfd_create(2), its flags. */
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC	  0x1u
#define MFD_ALLOW_SEALING 0x2u
#define MFD_HUGETLB	  0x4u
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8u
#define MFD_EXEC	0x10u
#endif
#define MFD_NAME_MAX_LEN 249u

/*
 * memfd_create: an open file named "/memfd:NAME (deleted)". MFD_CLOEXEC is the
 * caller's business. ERR_PTR: -EINVAL (unknown flags, NOEXEC_SEAL with EXEC,
 * name longer than 249 bytes), -ENOSYS (MFD_HUGETLB: there is no hugetlbfs),
 * -EACCES (vm.memfd_noexec 2 and not NOEXEC_SEAL), -ENOMEM.
 */
struct file *memfd_create_file(const char *name, u32 flags);

/* Seals, fcntl(2). */
#ifndef F_SEAL_SEAL
#define F_SEAL_SEAL   0x1u
#define F_SEAL_SHRINK 0x2u
#define F_SEAL_GROW   0x4u
#define F_SEAL_WRITE  0x8u
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10u
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20u
#endif
#define MM_ALL_SEALS 0x3fu

/*
 * shmem_add_seals: fcntl(F_ADD_SEALS): 0; -EINVAL (not of shmem, unknown
 * seals), -EPERM (not open for writing, or F_SEAL_SEAL is set), -EBUSY
 * (F_SEAL_WRITE: writable shared mappings exist, or pages are held).
 * shmem_get_seals: F_GET_SEALS: the seals, or -EINVAL.
 */
int shmem_add_seals(struct file *file, u32 seals) MM_MUST_CHECK;
int shmem_get_seals(struct file *file);

/*
 * shmem_mmap_seals: may a shared mapping be made with VM_WRITE (WRITABLE)? 0;
 * -EPERM: sealed. *KEEP_READONLY: it may never become writable by mprotect(2).
 */
int shmem_mmap_seals(struct inode *inode, bool writable,
		     bool *keep_readonly) MM_MUST_CHECK;

/* ---- contents --------------------------------------------------------------
 */

/* fallocate(2) modes. */
#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE  0x1u
#define FALLOC_FL_PUNCH_HOLE 0x2u
#endif

/*
 * vfs_fallocate: fallocate(2): 0; -EINVAL (offset below 0, length not above
 * 0), -EOPNOTSUPP (mode; or not this file's business), -EBADF (not open for
 * writing), -EPERM (S_APPEND with a mode that changes contents; seals),
 * -ENODEV (not a regular file), -EFBIG, -ENOSPC, -ENOMEM, -EINTR (the caller
 * is being killed). After a failure what it had allocated is gone again.
 */
int vfs_fallocate(struct file *file, u32 mode, s64 off, s64 len) MM_MUST_CHECK;

/* shmem_truncate: truncate(2): 0, -EFBIG, -EPERM (seals), -ENOMEM, -EIO (the
 * last page's rest could not be read in to be zeroed). Takes i_rwsem and the
 * invalidate lock. */
int shmem_truncate(struct inode *inode, u64 size) MM_MUST_CHECK;

/* shmem_seek: lseek(2) for SEEK_DATA and SEEK_HOLE: the offset, -ENXIO,
 * -EINVAL (another WHENCE). */
#ifndef SEEK_DATA
#define SEEK_DATA 3
#define SEEK_HOLE 4
#endif
s64 shmem_seek(struct file *file, s64 off, int whence);

/* shmem_lock: SHM_LOCK (LOCK) keeps the pages of INODE from being swapped out;
 * SHM_UNLOCK ends that. Does not sleep. */
void shmem_lock(struct inode *inode, bool lock);

/* shmem_usage: pages of INODE in memory and in swap now. */
void shmem_usage(struct inode *inode, u64 *resident, u64 *swapped);

#endif
