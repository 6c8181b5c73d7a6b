/* SPDX-License-Identifier: MIT */
/*
 * fs.h - files as memory sees them: inodes, their page cache, open files.
 *
 * What a file system embeds and implements, what space/ maps and what the
 * page cache (src/cache/filemap.h) works on. Names as in Linux; pages, not
 * folios, are the unit. Unlike other public headers it needs src/ on the
 * include path: locks and trees are embedded by value.
 *
 * Letters at fields: (C) constant after inode_init / file_open; (A) atomic;
 * (W) i_rwsem for writing to change; (P) i_pages_lock; (M) i_mmap_rwsem for
 * writing to change, for reading to walk; (I) the list's lock (fm.inode_lock);
 * (F) the file position's user.
 *
 * Order of locks: i_rwsem, mmap lock, invalidate_lock, page lock,
 * i_mmap_rwsem, page tables, i_pages_lock (docs/LOCKING.md).
 */
#ifndef MMKIT_FS_H
#define MMKIT_FS_H

#include <mmkit/errseq.h>
#include <mmkit/gfp.h>
#include <mmkit/types.h>

#include "base/list.h"
#include "base/mutex.h"
#include "base/rbtree.h"
#include "base/rwsem.h"
#include "base/spinlock.h"
#include "base/xarray.h"

struct address_space;
struct file;
struct iov_iter;
struct page;
struct readahead_control;
struct vm_area_struct;
struct vm_fault;

/* inode.i_mode, as stat(2) has it; an ordinary program's headers say the same.
 */
#ifndef S_IFMT
#define S_IFMT	   0170000u
#define S_IFREG	   0100000u
#define S_IFBLK	   0060000u
#define S_IFDIR	   0040000u
#define S_IFCHR	   0020000u
#define S_IFIFO	   0010000u
#define S_IFLNK	   0120000u
#define S_IFSOCK   0140000u
#define S_ISREG(m) (((m)&S_IFMT) == S_IFREG)
#define S_ISBLK(m) (((m)&S_IFMT) == S_IFBLK)
#endif

/* The largest file: struct page counts pages of a file in 32 bits. */
#define MAX_LFS_FILESIZE (1UL << (32 + PAGE_SHIFT))

/* A file system: what its inodes share. The owner keeps it alive. */
struct super_block {
	u32 s_dev; /* (C) makedev(3) number, as /proc/PID/maps shows it */
	const char *s_id;  /* (C) for messages */
	u64 s_maxbytes;	   /* (C) <= MAX_LFS_FILESIZE */
	errseq_t s_wb_err; /* (A) write errors of any of its files */
	u32 s_iflags;	   /* (C) SB_I_* */
};

/* super_block.s_iflags */
#define SB_I_NOEXEC 0x1u /* nothing of it may be run: mount -o noexec */

/* inode.i_flags */
#define S_APPEND   0x1u /* only appending: no shared writable mapping */
#define S_SWAPFILE 0x2u /* swap lies in it */

/* inode.i_state */
#define I_DIRTY_PAGES 0x1u /* on the list of dirty inodes */
#define I_SYNC	      0x2u /* a flusher is at it */
#define I_FREEING     0x4u /* the last reference is gone */

struct inode;
struct inode_operations {
	/* The last reference is gone, pages may be left: give up what only the
	 * file system can. May sleep. NULL: nothing. */
	void (*evict)(struct inode *inode);
	/* The inode is off all lists, has no page and no reference: free it.
	 * May sleep. NULL: the owner knows. */
	void (*release)(struct inode *inode);
	/* truncate(2): (W) and invalidate_lock held; sets i_size by
	 * truncate_setsize(). 0 or -errno. NULL: i_size and cache alone. */
	int (*setsize)(struct inode *inode, u64 size);
};

/* address_space.flags, bit numbers */
enum mapping_flags {
	AS_EIO,		 /* reported to who asks without a file: */
	AS_ENOSPC,	 /* filemap_check_errors() */
	AS_UNEVICTABLE,	 /* pages go to the unevictable list */
	AS_EXITING,	 /* final truncate: leave no shadows */
	AS_NO_WRITEBACK, /* no backing: dirty is never written (shmem) */
};

/*
 * The cached pages of one object. page->mapping points here with the low two
 * bits clear; page_index() is the place in i_pages.
 */
struct address_space {
	struct inode *host;	 /* (C) */
	spinlock_t i_pages_lock; /* interrupts off: ends of writes clear tags */
	struct xarray i_pages; /* (P) page, or a shadow value, by page number */
	u64 nrpages;	       /* (P) pages in it */
	u64 nrshadows;	       /* (P) values in it */
	/* Exclusive: pages go for good and none may be filled (truncate, punch
	 * hole); shared: filling pages. */
	struct rw_semaphore invalidate_lock;
	struct rw_semaphore i_mmap_rwsem;
	struct rb_root i_mmap; /* (M) interval tree of VMAs, kept by space/ */
	/* (A) VMAs that are shared and may be written; below 0: so many
	 * forbid it (file seals, a running program's text). */
	s32 i_mmap_writable;
	gfp_t gfp_mask;	     /* (C) of new pages */
	u32 flags;	     /* (A) 1 << AS_* */
	errseq_t wb_err;     /* (A) */
	u64 writeback_index; /* where cyclic write-back goes on; a hint */
	const struct address_space_operations *a_ops; /* (C) */
	void *private_data;			      /* the file system's */
};

struct inode {
	struct super_block *i_sb;    /* (C) */
	u64 i_ino;		     /* (C) */
	u32 i_mode;		     /* (C) S_IF* | permissions */
	u32 i_flags;		     /* (W) S_APPEND, S_SWAPFILE */
	u32 i_nlink;		     /* (W) names; 0: contents die with it */
	u64 i_size;		     /* (W) bytes; read by i_size_read() */
	u32 i_count;		     /* (A) references: ihold(), iput() */
	u32 i_state;		     /* (I) I_* */
	u64 dirtied_when;	     /* (I) ns: since when on the dirty list */
	struct list_head i_io_list;  /* (I) dirty inodes by dirtied_when */
	struct list_head i_sb_list;  /* (I) all inodes */
	struct rw_semaphore i_rwsem; /* writing, truncating; reading sizes */
	const struct inode_operations *i_op; /* (C) may be NULL */
	const struct file_operations *i_fop; /* (C) of its files */
	struct address_space *i_mapping;     /* (C) i_data, or another's */
	struct address_space i_data;
	void *i_private; /* the file system's */
	void *i_vnode;	 /* (C) the kernel's: names, owner, times; or NULL */
};

struct port_bdev;

/* One task's, or one daemon's, wish about write-back. */
enum writeback_sync_modes {
	WB_SYNC_NONE, /* start what can be started without waiting */
	WB_SYNC_ALL   /* every dirty page of the range; for integrity */
};

struct writeback_control {
	s64 nr_to_write;	    /* in, out: pages still to start */
	s64 pages_skipped;	    /* out */
	u64 range_start, range_end; /* bytes, both inclusive */
	enum writeback_sync_modes sync_mode;
	bool for_kupdate, for_background, for_reclaim;
	bool range_cyclic;	/* from writeback_index on, not the range */
	bool tagged_writepages; /* only what was dirty at the start */
};

/*
 * What a file system does for its cache. "Locked": the page lock is held and
 * page->mapping is this one. All may sleep unless said otherwise; NULL where a
 * default is named.
 */
struct address_space_operations {
	/* Start reading PAGE, locked, not uptodate; at the end it is uptodate
	 * or PG_error, and unlocked. -errno: it is unlocked as well. */
	int (*readpage)(struct file *file, struct page *page);
	/* Start reading many: take them by readahead_page(), each locked, with
	 * a reference to drop; unlocked at their ends. NULL: one by one. */
	void (*readahead)(struct readahead_control *rac);
	/* Write PAGE, locked, its dirty bit cleared: set_page_writeback(),
	 * unlock, and page_end_writeback() at the end (any context). Returns 0,
	 * -errno, or AOP_WRITEPAGE_ACTIVATE: not now, page still locked. */
	int (*writepage)(struct page *page, struct writeback_control *wbc);
	/* Write the range's dirty pages. NULL: generic_writepages(). */
	int (*writepages)(struct address_space *mapping,
			  struct writeback_control *wbc);
	/* PAGE becomes dirty: true if it was not. Does not sleep; the page
	 * lock or a table lock keeps the page in the cache.
	 * NULL: filemap_set_page_dirty(). */
	bool (*set_page_dirty)(struct page *page);
	/* Before / after LEN bytes at POS of one page are copied in. begin
	 * returns *PAGE locked, with a reference, and uptodate where it will
	 * not be written; end says how many of COPIED count, sets i_size, and
	 * unlocks and drops. NULL: generic_write_begin(), generic_write_end().
	 */
	int (*write_begin)(struct file *file, struct address_space *mapping,
			   u64 pos, u32 len, struct page **page);
	s64 (*write_end)(struct file *file, struct page *page, u64 pos, u32 len,
			 u32 copied);
	/* Bytes [OFF, OFF + LEN) of PAGE, locked, are given up. May be NULL. */
	void (*invalidatepage)(struct page *page, u32 off, u32 len);
	/* May PAGE, locked, with PG_private, go? False keeps it. */
	bool (*releasepage)(struct page *page, gfp_t gfp);
	/* PAGE has left the cache; its mapping is gone. May be NULL. */
	void (*freepage)(struct page *page);
	/* Page INDEX of the file is page *DISK of *BDEV, and nowhere else until
	 * somebody writes the file or cuts it (i_rwsem held). 0; -ENXIO: a
	 * hole; -EXDEV: not a whole page there; -EIO. NULL: no such place. */
	int (*bmap)(struct address_space *mapping, u64 index,
		    struct port_bdev **bdev, u64 *disk);
	/* Contents and state of PAGE go to NEWPAGE, both locked (move/). */
	int (*migratepage)(struct address_space *mapping, struct page *newpage,
			   struct page *page, int mode);
	/* Make PAGE, locked and dirty, clean by writing it now. */
	int (*launder_page)(struct page *page);
};

#define AOP_WRITEPAGE_ACTIVATE 0x80000

/* migrate_page: a_ops->migratepage without data of one's own: NEW, locked,
 * fresh, becomes what OLD is; OLD, locked, unmapped, not under write-back,
 * keeps the caller's reference alone. MODE: enum migrate_mode. 0; -EAGAIN: it
 * is held; -EBUSY: PG_private; nothing has changed then. May sleep. */
int migrate_page(struct address_space *mapping, struct page *new,
		 struct page *old, int mode);

/* file.f_mode */
#define FMODE_READ   0x01u
#define FMODE_WRITE  0x02u
#define FMODE_EXEC   0x20u
#define FMODE_RANDOM 0x1000u /* fadvise: no read-ahead */
/* file.f_flags, as open(2) has them */
#ifndef O_APPEND
#define O_APPEND 02000
#endif
#ifndef O_DSYNC
#define O_DSYNC 010000
#endif
#ifndef O_SYNC
#define O_SYNC 04010000
#endif

/* Read-ahead of one open file. Unlocked: a lost update costs a guess. */
/* Without a lock: threads that share an open file write over each other. */
struct file_ra_state {
	u64 start;	/* first page of the window */
	u32 size;	/* pages of the window */
	u32 async_size; /* start the next when so many are left */
	u32 ra_pages;	/* largest window; 0: none */
	u32 mmap_miss;	/* cache misses of faults */
	s64 prev_pos;	/* byte read last; -1: none */
};

struct file {
	struct inode *f_inode;		    /* (C) holds a reference */
	struct address_space *f_mapping;    /* (C) inode->i_mapping */
	const struct file_operations *f_op; /* (C) */
	u32 f_mode;			    /* FMODE_* */
	u32 f_flags;			    /* (C) O_* */
	u32 f_count;			    /* (A) get_file(), fput() */
	errseq_t f_wb_err; /* (f_lock) write errors told so far */
	errseq_t f_sb_err; /* (f_lock) the same for syncfs(2) */
	spinlock_t f_lock;
	struct mutex f_pos_lock; /* a kernel's: of read(2) and its kin */
	u64 f_pos;		 /* (F) */
	struct file_ra_state f_ra;
	const char *f_path; /* as /proc/PID/maps shows it; the opener's */
	void *private_data;
	void *f_dentry; /* (C) the kernel's: the name it was opened by */
	/* (f_lock) who watches the file (epoll), and what is called before its
	 * release, with no reference left; NULL: nobody ever did. */
	void *f_watch;
	void (*f_gone)(struct file *file);
};

struct poll_table;
struct file_operations {
	/* read(2), write(2) at *POS: bytes done, or -errno; *POS moves.
	 * NULL: generic_file_read_iter(), generic_file_write_iter(). */
	s64 (*read_iter)(struct file *file, struct iov_iter *iter, u64 *pos);
	s64 (*write_iter)(struct file *file, struct iov_iter *iter, u64 *pos);
	/* mmap(2): set vm_ops and flags of VMA. Mmap lock for writing held.
	 * NULL: generic_file_mmap(). */
	int (*mmap)(struct file *file, struct vm_area_struct *vma);
	/* Where LEN bytes go; NULL: as for anonymous memory. */
	s64 (*get_unmapped_area)(struct file *file, uva_t addr, u64 len,
				 u64 pgoff, u32 flags);
	/* fsync(2) of bytes [START, END]. NULL: generic_file_fsync(). */
	int (*fsync)(struct file *file, u64 start, u64 end, bool datasync);
	/* fallocate(2). NULL: -EOPNOTSUPP. */
	int (*fallocate)(struct file *file, u32 mode, u64 off, u64 len);
	/* The last reference is gone. May be NULL. */
	void (*release)(struct inode *inode, struct file *file);
	/* Called by a kernel only (kernel/vfs.h); nothing here does. */
	s64 (*llseek)(struct file *file, s64 off, int whence);
	s64 (*ioctl)(struct file *file, u32 cmd, u64 arg);
	u32 (*poll)(struct file *file, struct poll_table *pt);
};

/* How a fault ended: VM_FAULT_*, see src/space/fault.h. */
typedef u32 vm_fault_t;

/* What space/ asks of the provider of a mapping's contents. */
struct vm_operations_struct {
	void (*open)(struct vm_area_struct *vma);  /* copied: fork, split */
	void (*close)(struct vm_area_struct *vma); /* goes away */
	int (*may_split)(struct vm_area_struct *vma, uva_t addr);
	int (*mremap)(struct vm_area_struct *vma);
	/* The page of VMF, with a reference, locked or not as it says. */
	vm_fault_t (*fault)(struct vm_fault *vmf);
	/* Map what is cached around; no sleeping. Pages [START, END]. */
	vm_fault_t (*map_pages)(struct vm_fault *vmf, u64 start, u64 end);
	/* A read-only shared page becomes writable: may say no. */
	vm_fault_t (*page_mkwrite)(struct vm_fault *vmf);
	vm_fault_t (*pfn_mkwrite)(struct vm_fault *vmf);
	const char *(*name)(struct vm_area_struct *vma);
};

/* Where the bytes of a read go or a write's come from. Kernel memory if COPY
 * is NULL; user memory by space/'s functions. */
struct iov_iter {
	u64 count;  /* bytes left */
	void *buf;  /* kernel buffer: the next byte */
	bool write; /* the bytes go into the file */
	/* Copy N <= count bytes between VIEW and here, advance. Does not
	 * sleep; fewer than N where memory is not there. */
	u64 (*copy)(struct iov_iter *i, void *view, u64 n);
	/* Make up to N bytes present; how many are. May sleep, takes the mmap
	 * lock; 0: -EFAULT. */
	u64 (*fault_in)(struct iov_iter *i, u64 n);
	uva_t uaddr;   /* the two functions' */
	void *private; /* the two functions' */
};

/* ---- inodes and files (src/cache/inode.c) -------------------------------- */

/*
 * inode_init: INODE, memory of the caller's, zeroed, becomes a cached inode
 * with one reference and an empty mapping. A_OPS and FOP must last.
 * Context: any; nothing can fail.
 */
void inode_init(struct inode *inode, struct super_block *sb, u32 mode,
		const struct address_space_operations *a_ops,
		const struct file_operations *fop);

/* ihold: a reference more; the caller has one. iput: one less; the last one
 * writes what is dirty (unless i_nlink is 0), drops all pages, calls release.
 * May sleep. */
void ihold(struct inode *inode);
void iput(struct inode *inode);

/* i_size_read / i_size_write: bytes; write with i_rwsem held for writing. */
u64 i_size_read(const struct inode *inode);
void i_size_write(struct inode *inode, u64 size);

/*
 * file_open: a struct file for INODE (a reference more) with mode FMODE_* and
 * flags O_*; PATH is kept, not copied. NULL: no memory. May sleep.
 */
struct file *file_open(struct inode *inode, u32 mode, u32 flags,
		       const char *path) MM_MUST_CHECK;
struct file *get_file(struct file *file);
/* fput: a reference less; the last one calls release and iput(). May sleep. */
void fput(struct file *file);
/* file_set_put_hook: HOOK(file) is called for each file whose last reference
 * is gone, after release and while it still holds its inode; if it gives that
 * reference up, it makes f_inode NULL. At boot; NULL: none. */
void file_set_put_hook(void (*hook)(struct file *file));

/* generic_file_mmap: f_op->mmap of files whose pages are in the cache. 0 or
 * -ENODEV: they cannot be read. Mmap lock held (space/). */
int generic_file_mmap(struct file *file, struct vm_area_struct *vma);

/* The mapping may be written through shared VMAs: 0 or -EPERM (denied); and
 * the opposite: deny it, 0 or -EBUSY (there are such VMAs). Any context. */
int mapping_map_writable(struct address_space *mapping) MM_MUST_CHECK;
void mapping_unmap_writable(struct address_space *mapping);
int mapping_deny_writable(struct address_space *mapping) MM_MUST_CHECK;
void mapping_allow_writable(struct address_space *mapping);

/* Does MAPPING have VMAs; shared ones that may write? Advisory, no lock. */
static inline bool mapping_mapped(const struct address_space *mapping)
{
	return READ_ONCE(mapping->i_mmap.rb_node) != NULL;
}

static inline bool mapping_writably_mapped(const struct address_space *mapping)
{
	return READ_ONCE(mapping->i_mmap_writable) > 0;
}

static inline bool mapping_flag(const struct address_space *mapping,
				enum mapping_flags flag)
{
	return (READ_ONCE(mapping->flags) >> flag & 1) != 0;
}

void mapping_set_flag(struct address_space *mapping, enum mapping_flags flag,
		      bool on);

#endif
