/* SPDX-License-Identifier: MIT */
/*
 * shmem.h - files in memory and swap, from the inside. Theory: shmem.c.
 */
#ifndef MM_CACHE_SHMEM_H
#define MM_CACHE_SHMEM_H

#include <mmkit/mempolicy.h>
#include <mmkit/shmem.h>

#include "arch/paging.h"
#include "base/rbtree.h"
#include "cache/filemap.h"

/* A page that an fallocate() under way has made and nobody has used: it goes
 * again if that fails. Marks of the page cache have no other use here. */
#define SHMEM_TAG_FALLOC PAGECACHE_TAG_TOWRITE

/* One file system. (A) atomic. */
struct shmem_sb_info {
	struct super_block sb;
	u64 max_blocks;	 /* (A) pages; 0: no limit, and use not counted */
	u64 used_blocks; /* (A) */
	u64 max_inodes;	 /* (A) 0: no limit */
	u64 used_inodes; /* (A) counted always */
	u64 last_ino;	 /* (A) */
	struct mempolicy *mpol; /* (C) of new inodes; a reference; NULL */
};

/* An fallocate() under way; one at a time per inode (i_rwsem). */
struct shmem_falloc {
	u64 made;    /* pages so far */
	u64 refused; /* (A) of those, reclaim wanted so many */
};

/* Where pages of a file lie: shmem_policy.c. */
struct shared_policy {
	spinlock_t lock;
	struct rb_root root; /* of struct shared_range, by the first page */
};

struct shmem_inode {
	struct inode inode;
	u32 flags;		     /* (C) SHMEM_* */
	u32 seals;		     /* (W) F_SEAL_*; read locklessly by mmap */
	u64 accounted;		     /* (W) pages, unless NORESERVE */
	struct shmem_falloc *falloc; /* (P) */
	struct shared_policy policy;
	char path[]; /* of memfd and System V: the file's */
};

/* What shmem asks of space/. With none all memory may be promised, and nothing
 * is mapped. */
struct shmem_ops {
	int (*account)(u64 pages); /* 0 or -ENOMEM */
	void (*unaccount)(u64 pages);
	/* f_op->mmap of shmem files. */
	int (*mmap)(struct file *file, struct vm_area_struct *vma);
};

struct shmem_state {
	const struct shmem_ops *ops;  /* set at boot */
	struct shmem_sb_info *kernel; /* the internal mount */
	u32 memfd_noexec;	      /* tunable: vm.memfd_noexec, 0 .. 2 */
};

/* shmem_init: at boot, by cache_init(). 0 or -ENOMEM. */
int shmem_init(void) MM_MUST_CHECK;
void shmem_set_ops(const struct shmem_ops *ops);

static inline struct shmem_inode *shmem_i(struct inode *inode)
{
	return container_of(inode, struct shmem_inode, inode);
}

static inline struct shmem_sb_info *shmem_sbi(struct super_block *sb)
{
	return container_of(sb, struct shmem_sb_info, sb);
}

/* What shmem_getpage() may do where there is no page. */
enum shmem_sgp {
	SGP_READ,   /* within i_size: leave a hole a hole (NULL) */
	SGP_CACHE,  /* within i_size: make a page of zeroes: faults */
	SGP_WRITE,  /* make one, wherever: i_rwsem held */
	SGP_FALLOC, /* the same, marked SHMEM_TAG_FALLOC */
	SGP_UNUSE,  /* what is in swap, wherever; leave a hole a hole */
};

/* One look for a page. */
struct shmem_get {
	struct inode *inode;
	u64 index;
	enum shmem_sgp sgp;
	struct page *page; /* out: locked, up to date, with a reference; NULL */
	bool major;	   /* out: swap was read */
	bool made;	   /* out: there was none, it is zeroes */
	swp_entry_t lost;  /* out: its frame in swap cache is lost: says so */
};

/*
 * shmem_getpage: 0, -EINVAL (beyond i_size, of those that mind), -ENOSPC (the
 * mount's limit, or overcommit refuses), -ENOMEM, -EIO (swap could not be
 * read, or the frame lost it: -EHWPOISON for SGP_CACHE). May sleep; no page
 * lock held. SGP_CACHE: invalidate lock held shared.
 */
int shmem_getpage(struct shmem_get *g) MM_MUST_CHECK;

/*
 * shmem_add_page: G->page, fresh, up to date, the caller's, becomes the page
 * at G, and is locked then. -EEXIST (there is one), -EINVAL (beyond i_size),
 * -ENOMEM (none, or the mount is full): it is as before. Invalidate lock held
 * shared. May sleep.
 */
int shmem_add_page(struct shmem_get *g) MM_MUST_CHECK;

/*
 * shmem_unuse: every page of every file that is in swap area TYPE comes into
 * memory. What cannot be read, or lost its frame, is lost: shmem_getpage() says
 * so from now on. 0, -ENOMEM (nobody is killed for a frame), -EINTR (the caller
 * is being killed). May sleep.
 */
int shmem_unuse(u32 type) MM_MUST_CHECK;

/*
 * shmem_willneed: pages [FIRST, LAST] of INODE will be used: start reading
 * those that are in swap. What is a hole stays one. May sleep, but not for
 * reads.
 */
void shmem_willneed(struct inode *inode, u64 first, u64 last);

/* shmem_value_slot: does VALUE, of an array, name a slot? */
static inline bool shmem_value_slot(void *value)
{
	return is_swap_area_entry((swp_entry_t){xa_to_value(value)});
}

/* shmem_charge: N pages more of SB. 0, -ENOSPC. */
int shmem_charge(struct shmem_inode *si, u64 n) MM_MUST_CHECK;
void shmem_uncharge(struct shmem_inode *si, u64 n);

/*
 * shmem_drop_range: pages and swap entries [FIRST, LAST] go; FALLOC_ONLY: those
 * with SHMEM_TAG_FALLOC. The caller excludes new ones. May sleep.
 */
void shmem_drop_range(struct inode *inode, u64 first, u64 last,
		      bool falloc_only);

/* shmem_drop_page: PAGE, locked, of INODE, is unmapped and leaves it. */
void shmem_drop_page(struct inode *inode, struct page *page);

/* shmem_zero_range: bytes [START, END) within one page become zero, if there
 * is one. 0, -ENOMEM, -EIO. i_rwsem held for writing. */
int shmem_zero_range(struct inode *inode, u64 start, u64 end) MM_MUST_CHECK;

/* shmem_setsize_locked: truncate with i_rwsem held for writing; takes the
 * invalidate lock. Errors as shmem_truncate(). */
int shmem_setsize_locked(struct inode *inode, u64 size) MM_MUST_CHECK;

/* shmem_reaccount: SI's share of the commitment becomes that of SIZE bytes. 0,
 * -ENOMEM. i_rwsem held for writing, or the inode is not known yet. */
int shmem_reaccount(struct shmem_inode *si, u64 size) MM_MUST_CHECK;

/* shmem_inode_make: an inode of SB with LEN bytes of path room. */
struct inode *shmem_inode_make(struct super_block *sb, u32 mode, u32 flags,
			       size_t len);

/*
 * shmem_object: an inode of SIZE bytes on the internal mount, without a name in
 * any directory, accounted as SHMEM_NORESERVE of FLAGS says; PATH is copied and
 * stays with it (shmem_i()->path). One reference. ERR_PTR: -EINVAL (too large),
 * -ENOMEM.
 */
struct inode *shmem_object(const char *path, u64 size, u32 flags);

s64 shmem_read_iter(struct file *file, struct iov_iter *iter, u64 *pos);
s64 shmem_write_iter(struct file *file, struct iov_iter *iter, u64 *pos);
int shmem_fallocate(struct file *file, u32 mode, u64 off, u64 len);

extern const struct address_space_operations shmem_aops;
extern const struct file_operations shmem_fops;

/* ---- where pages lie: shmem_policy.c ---- */

/* Ranges for changes that cannot fail any more. */
struct shared_range;
struct shared_reserve {
	struct shared_range *first;
};

/* Pages [FIRST, END) get POL (NULL: none), with home node HOME or -1. */
struct shared_change {
	u64 first, end;
	struct mempolicy *pol;
	int home;
};

void shmem_policy_init(struct shared_policy *sp);

/* shmem_policy_reserve: what CHANGES changes may need comes to RESERVE. 0, or
 * -ENOMEM: RESERVE is empty. May sleep. _unreserve: what is left is freed. */
int shmem_policy_reserve(struct shared_reserve *reserve,
			 u64 changes) MM_MUST_CHECK;
void shmem_policy_unreserve(struct shared_reserve *reserve);

/* shmem_policy_set: C is true of INODE from now on; pages that are there stay.
 * Takes up to two ranges of RESERVE, and a reference to C->pol of its own. No
 * spinlock held. */
void shmem_policy_set(struct inode *inode, const struct shared_change *c,
		      struct shared_reserve *reserve);

/* shmem_policy_get: the policy of page INDEX, with a reference for the caller,
 * and its home node; NULL and -1: none. Any context but interrupts. */
struct mempolicy *shmem_policy_get(struct inode *inode, u64 index, int *home);

/*
 * shmem_place: where page INDEX is to be allocated: as the file says, else as
 * the running task's policy does. Returns what the caller gives to mpol_put()
 * when *PLACE is not used any more. shmem_alloc_page: a frame from there. As
 * alloc_pages().
 */
struct mempolicy *shmem_place(struct inode *inode, u64 index,
			      struct mpol_place *place) MM_MUST_CHECK;
struct page *shmem_alloc_page(struct inode *inode, u64 index,
			      gfp_t gfp) MM_MUST_CHECK;

/* shmem_policy_drop: nobody uses INODE any more. */
void shmem_policy_drop(struct inode *inode);

/* shmem_policy_check: SHP-1. Panics. */
void shmem_policy_check(struct inode *inode);

/* shmem_check: every shmem inode: values are swap slots in use, blocks add up
 * to used_blocks of each mount. At rest. */
void shmem_check(void);

#endif
