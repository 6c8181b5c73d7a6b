/* SPDX-License-Identifier: MIT */
/*
 * ext2.h - the second extended file system: what lies on the disk, and what
 * the files of kernel/ext2 share. Theory: super.c; then buf.c, balloc.c,
 * ialloc.c, map.c, inode.c, data.c, dir.c, namei.c.
 */
#ifndef KERNEL_EXT2_EXT2_H
#define KERNEL_EXT2_EXT2_H

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/mutex.h"
#include "base/rwsem.h"
#include "cache/filemap.h"
#include "vfs.h"

MM_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
		 "the disk's byte order is the machine's");

#ifndef S_ISDIR
#define S_ISDIR(m) (((m)&S_IFMT) == S_IFDIR)
#define S_ISLNK(m) (((m)&S_IFMT) == S_IFLNK)
#endif

/* ---- on the disk ------------------------------------------------------------
 */

#define EXT2_MAGIC		0xef53
#define EXT2_SB_OFFSET		1024u
#define EXT2_ROOT_INO		2u
#define EXT2_GOOD_OLD_FIRST_INO 11u
#define EXT2_LINK_MAX		32000u
#define EXT2_NDIR		12u
#define EXT2_PTRS		15u
#define EXT2_FAST_LINK		60u /* bytes of i_block */
#define EXT2_NAME_LEN		255u

/* s_state */
#define EXT2_VALID_FS 1u
#define EXT2_ERROR_FS 2u
/* s_errors */
#define EXT2_ERRORS_RO 2u

#define EXT2_COMPAT_EXT_ATTR   0x8u
#define EXT2_INCOMPAT_FILETYPE 0x2u
#define EXT2_RO_SPARSE_SUPER   0x1u
#define EXT2_RO_LARGE_FILE     0x2u
#define EXT2_INCOMPAT_KNOWN    EXT2_INCOMPAT_FILETYPE
#define EXT2_RO_KNOWN	       (EXT2_RO_SPARSE_SUPER | EXT2_RO_LARGE_FILE)

/* i_flags */
#define EXT2_IMMUTABLE_FL 0x10u
#define EXT2_APPEND_FL	  0x20u
#define EXT2_INDEX_FL	  0x1000u /* a hashed directory; we keep it as a list */

struct ext2_super {
	u32 inodes_count, blocks_count, r_blocks_count;
	u32 free_blocks_count, free_inodes_count;
	u32 first_data_block;
	u32 log_block_size, log_frag_size;
	u32 blocks_per_group, frags_per_group, inodes_per_group;
	u32 mtime, wtime;
	u16 mnt_count, max_mnt_count;
	u16 magic, state, errors, minor_rev_level;
	u32 lastcheck, checkinterval, creator_os, rev_level;
	u16 def_resuid, def_resgid;
	/* Revision 1 from here on. */
	u32 first_ino;
	u16 inode_size, block_group_nr;
	u32 feature_compat, feature_incompat, feature_ro_compat;
	u8 uuid[16];
	char volume_name[16];
	char last_mounted[64];
	u32 algorithm_usage_bitmap;
	u8 prealloc_blocks, prealloc_dir_blocks;
	u16 reserved_gdt_blocks;
	u8 rest[1024 - 208];
};
MM_STATIC_ASSERT(sizeof(struct ext2_super) == 1024, "superblock");

struct ext2_group_desc {
	u32 block_bitmap, inode_bitmap, inode_table;
	u16 free_blocks_count, free_inodes_count, used_dirs_count, flags;
	u32 rest[3];
};
MM_STATIC_ASSERT(sizeof(struct ext2_group_desc) == 32, "group descriptor");

struct ext2_disk_inode {
	u16 mode, uid;
	u32 size, atime, ctime, mtime, dtime;
	u16 gid, links_count;
	u32 blocks; /* of 512 bytes */
	u32 flags, osd1;
	u32 block[EXT2_PTRS];
	u32 generation, file_acl, size_high, faddr;
	u8 frag, fsize;
	u16 pad;
	u16 uid_high, gid_high;
	u32 reserved2;
	/* Inodes of more than 128 bytes, as far as extra_isize says. */
	u16 extra_isize, checksum_hi;
	u32 ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra;
};
#define EXT2_OLD_INODE_SIZE  128u
#define EXT2_EXTRA_ISIZE     32u /* of inodes that are made */
#define EXT2_EXTRA_TIMES_END 16u /* extra_isize that holds the three times */
MM_STATIC_ASSERT(offsetof(struct ext2_disk_inode, extra_isize) == 128,
		 "old inode");

struct ext2_dirent {
	u32 inode;
	u16 rec_len;
	u8 name_len, file_type; /* without FILETYPE: 16 bits of length */
	char name[];
};
#define EXT2_DIRENT_HEAD   8u
#define EXT2_DIRENT_LEN(n) (((n) + EXT2_DIRENT_HEAD + 3u) & ~3u)

struct ext2_xattr_head {
	u32 magic, refcount, blocks;
};
#define EXT2_XATTR_MAGIC 0xea020000u

/* ---- in memory --------------------------------------------------------------
 */

/* (A) alloc lock, (C) constant. */
struct ext2_group {
	u32 block_bitmap, inode_bitmap, inode_table; /* (C) */
	u32 free_blocks, free_inodes, dirs;	     /* (A) */
	bool dirty;				     /* (A) */
};

#define EXT2_HASH 256u

struct ext2_fs {
	struct vfs_sb vsb;
	struct super_block sb;
	struct port_bdev *bdev; /* (C) */
	struct inode *meta;	/* (C) the disk as a file: all but contents */
	char name[32];		/* (C) of the disk, for messages */
	u32 block_size, block_bits, addr_bits;	/* (C) */
	u32 blocks, first_block, inodes;	/* (C) */
	u32 blocks_per_group, inodes_per_group; /* (C) */
	u32 nr_groups, inode_size, first_ino;	/* (C) */
	u32 desc_blocks;			/* (C) */
	u32 reserved_gdt;			/* (C) blocks behind them */
	bool has_filetype, rev1, sparse;	/* (C) */
	bool large_file;			/* (A) set once */
	bool ro_forced;				/* (C) unknown ro_compat */
	/* (A) bitmaps, groups, counters, superblock. */
	struct mutex alloc;
	struct ext2_group *groups;
	u64 free_blocks, free_inodes, dirs;
	u32 reserved_blocks;
	u16 resuid, resgid, errors;
	bool super_dirty;
	bool had_error; /* set once, any context */
	u16 state_at_mount;
	u32 next_generation;
	/* (icache) inodes in memory. */
	spinlock_t icache;
	struct hlist_head hash[EXT2_HASH];
	wait_queue_head_t icache_wait;
	u64 nr_inodes;
};

/* (M) map_sem for writing, (V) vnode.lock, (C) constant. */
struct ext2_inode {
	struct vnode vnode;
	struct inode inode;
	struct ext2_fs *fs;	      /* (C) */
	struct hlist_node hash_entry; /* (icache) */
	bool loading, failed;	      /* (icache) */
	u32 ino, group;		      /* (C) */
	struct rw_semaphore map_sem;
	u32 block[EXT2_PTRS]; /* (M) pointers, or a link's text */
	u32 blocks512;	      /* (M) */
	u32 flags;
	u32 file_acl;
	u32 generation;
	u32 dtime;
	u32 last_block; /* (M) allocated last: where to go on */
	u64 last_index;
	bool store_due;	 /* (A) not yet in its block */
	bool wide_times; /* nanoseconds fit */
	struct vfs_time btime;
	struct vfs_time stored_atime;
	u32 dir_hint; /* block of a directory where room was last */
	bool dying;   /* contents were given up */
};

static inline struct ext2_fs *ext2_fs_of(const struct vfs_sb *vsb)
{
	return container_of(vsb, struct ext2_fs, vsb);
}

static inline struct ext2_inode *ext2_of(struct vnode *v)
{
	return container_of(v, struct ext2_inode, vnode);
}

static inline struct ext2_inode *ext2_of_inode(struct inode *inode)
{
	return container_of(inode, struct ext2_inode, inode);
}

static inline bool ext2_readonly(const struct ext2_fs *fs)
{
	return READ_ONCE(fs->vsb.flags) & MS_RDONLY;
}

/* ---- super.c ----------------------------------------------------------------
 */

/* ext2_init: register the kind. At boot. 0, -ENOMEM. */
int ext2_init(void) MM_MUST_CHECK;
void ext2_exit(void);

/* ext2_error: FS is damaged: log what and where, remember it in the superblock,
 * and, if that is the file system's wish, stop writing. Returns -EIO. May
 * sleep. */
int ext2_error(struct ext2_fs *fs, const char *fmt, ...) MM_PRINTF(2, 3);

/* ext2_need_large_file: FS has a file beyond 2 GiB from now on. */
void ext2_need_large_file(struct ext2_fs *fs);

/* ext2_sync_meta: all that is not contents, to the disk, and wait. COUNTS: the
 * superblock and group counters as well. 0 or the first error. */
int ext2_sync_meta(struct ext2_fs *fs, bool counts);

/* ---- buf.c: blocks that are not contents ------------------------------------
 */

struct ext2_buf {
	struct page *page;
	void *data; /* block_size bytes */
	u32 block;
};

/* ext2_bread: block BLOCK into B, held until ext2_bput(). 0, -EIO (also: no
 * such block, with a message naming WHAT), -ENOMEM. May sleep.
 * ext2_bread_again: the same, for who cannot give up: memory is waited for,
 * up to a second.
 * ext2_bnew: ext2_bread() of a block whose old contents do not matter: zeroed
 * and dirty. */
int ext2_bread(struct ext2_fs *fs, u32 block, struct ext2_buf *b) MM_MUST_CHECK;
int ext2_bread_again(struct ext2_fs *fs, u32 block,
		     struct ext2_buf *b) MM_MUST_CHECK;
int ext2_bnew(struct ext2_fs *fs, u32 block, struct ext2_buf *b) MM_MUST_CHECK;
void ext2_bput(struct ext2_buf *b);
/* Between these two B may be changed; then it is dirty. One at a time. */
void ext2_block(struct ext2_buf *b);
void ext2_bdirty_unlock(struct ext2_buf *b);
/* The same, changed nothing. */
void ext2_bunlock(struct ext2_buf *b);
/* ext2_bsync: BLOCK to the disk now, with what shares its page, and wait. 0 or
 * -errno. ext2_bsame: A and B share one. */
int ext2_bsync(struct ext2_fs *fs, u32 block);
bool ext2_bsame(const struct ext2_fs *fs, u32 a, u32 b);
/* ext2_bforget: BLOCK was freed, or becomes contents: what is cached of it
 * must not reach the disk any more. */
void ext2_bforget(struct ext2_fs *fs, u32 block);

/* ---- balloc.c ---------------------------------------------------------------
 */

/* ext2_block_ok: BLOCK may belong to a file. */
bool ext2_block_ok(const struct ext2_fs *fs, u32 block);
/* ext2_alloc_block: *OUT near GOAL (0: none). 0, -ENOSPC, -EIO, -ENOMEM. */
int ext2_alloc_block(struct ext2_inode *ei, u32 goal, u32 *out) MM_MUST_CHECK;
/* ext2_free_blocks: NR blocks from BLOCK on, that are a file's. Logs what is
 * wrong. META: they were no contents. */
void ext2_free_blocks(struct ext2_fs *fs, u32 block, u32 nr, bool meta);
/* ext2_group_has_super: GROUP begins with a copy of superblock and descriptors.
 */
bool ext2_group_has_super(const struct ext2_fs *fs, u32 group);
u32 ext2_group_first(const struct ext2_fs *fs, u32 group);

/* ---- ialloc.c ---------------------------------------------------------------
 */

/* ext2_alloc_ino: a free inode number for MODE in DIR. */
int ext2_alloc_ino(struct ext2_inode *dir, u32 mode, u32 *out) MM_MUST_CHECK;
void ext2_free_ino(struct ext2_fs *fs, u32 ino, bool dir);

/* ---- map.c ------------------------------------------------------------------
 */

/*
 * ext2_map: the disk's block of block INDEX of EI; 0 in *OUT: a hole. CREATE:
 * fill holes; *FRESH: this call did. 0, -EIO, -ENOMEM, -ENOSPC, -EFBIG. May
 * sleep; takes map_sem.
 */
int ext2_map(struct ext2_inode *ei, u64 index, bool create, u32 *out,
	     bool *fresh) MM_MUST_CHECK;
/* ext2_shrink: give up blocks of EI from INDEX on. Takes map_sem. 0; -EIO,
 * -ENOMEM: some may be left. */
int ext2_shrink(struct ext2_inode *ei, u64 index);
/* ext2_max_size: bytes that a file of FS can have. */
u64 ext2_max_size(const struct ext2_fs *fs);

/* ---- inode.c ----------------------------------------------------------------
 */

/* ext2_iget: inode INO, with a reference; WHAT leads to it, for messages.
 * -EIO, -ENOMEM. */
int ext2_iget(struct ext2_fs *fs, u32 ino, struct ext2_inode **out);
/* ext2_inew: a new inode of MODE in DIR, nlink 0 on the disk yet. */
int ext2_inew(struct ext2_inode *dir, u32 mode, u32 rdev,
	      struct ext2_inode **out);
/* ext2_istore: what is in memory, to its block in the cache. */
int ext2_istore(struct ext2_inode *ei);
int ext2_istore_locked(struct ext2_inode *ei); /* map_sem is held */
void ext2_evict(struct vnode *v);
void ext2_free_inode(struct ext2_inode *ei);
int ext2_icache_init(void) MM_MUST_CHECK;
void ext2_icache_exit(void);
bool ext2_is_fast_link(const struct ext2_inode *ei);

/* ---- data.c -----------------------------------------------------------------
 */

extern const struct address_space_operations ext2_aops;
extern const struct inode_operations ext2_iops;
extern const struct file_operations ext2_fops, ext2_dir_fops;
int ext2_setsize(struct inode *inode, u64 size);

/* ---- dir.c ------------------------------------------------------------------
 */

/* A name's place. */
struct ext2_slot {
	struct ext2_buf buf;
	u32 off;  /* of the entry in the block */
	u32 prev; /* of the one before it; off: there is none */
	u32 ino;
	u8 type;
};

/* ext2_dir_find: 0 with *SLOT (buf to be put), -ENOENT, -EIO. vnode.lock. */
int ext2_dir_find(struct ext2_inode *dir, const char *name, u32 len,
		  struct ext2_slot *slot);
/* ext2_dir_add: NAME is INO of MODE; no such name is there. *BLOCK: of the
 * disk, that has it now. */
int ext2_dir_add(struct ext2_inode *dir, const char *name, u32 len, u32 ino,
		 u32 mode, u32 *block);
/* ext2_dir_remove, ext2_dir_set: the entry at SLOT goes; is INO from now on.*/
void ext2_dir_remove(struct ext2_inode *dir, struct ext2_slot *slot);
void ext2_dir_set(struct ext2_inode *dir, struct ext2_slot *slot, u32 ino,
		  u32 mode);
int ext2_dir_make(struct ext2_inode *dir, u32 parent);
/* ext2_dir_empty: 1 or 0; -EIO. */
int ext2_dir_empty(struct ext2_inode *dir);
int ext2_readdir(struct vnode *v, struct dir_context *ctx);

/* ---- namei.c ----------------------------------------------------------------
 */

extern const struct vnode_ops ext2_vnode_ops;

#endif
