/* SPDX-License-Identifier: MIT */
/*
 * filemap.h - the page cache from the inside: for this floor and those above.
 * Theory: filemap.c. What file systems see: include/mmkit/fs.h.
 *
 * Page numbers are those of the file; ranges of pages are inclusive
 * [first, last], ranges of bytes half-open unless said otherwise.
 */
#ifndef MM_CACHE_FILEMAP_H
#define MM_CACHE_FILEMAP_H

#include <mmkit/fs.h>
#include <mmkit/port.h>

#include "base/wait.h"
#include "phys/page.h"

/* Marks of i_pages. TOWRITE: dirty when a sync began. */
#define PAGECACHE_TAG_DIRTY	XA_MARK_0
#define PAGECACHE_TAG_WRITEBACK XA_MARK_1
#define PAGECACHE_TAG_TOWRITE	XA_MARK_2

#define PAGEVEC_SIZE 15

/*
 * mapping_ops: what the cache asks of whoever maps its pages. Registered by
 * space/ at boot; with none, no page is ever mapped.
 */
struct mapping_ops {
	/*
	 * Take pages [FIRST, FIRST + NR) of MAPPING out of all page tables, NR
	 * 0: to the end. EVEN_COWS: private copies too (truncation; else the
	 * cache's own pages only). May sleep; takes i_mmap_rwsem. Entries that
	 * were dirty make their pages dirty. No page lock need be held: who
	 * faults meanwhile is the caller's to exclude (page lock, i_size).
	 */
	void (*unmap_mapping_range)(struct address_space *mapping, u64 first,
				    u64 nr, bool even_cows);
	/*
	 * Write-protect and clean all shared mappings of PAGE, locked. How many
	 * there were that could write: then the page was dirty.
	 */
	int (*page_mkclean)(struct page *page);
};

/* Write-back of all files: flush.c. (B) bw_lock. */
struct flush_state {
	wait_queue_head_t wait;	    /* the flusher's */
	bool requested;		    /* (A) somebody wants it to write now */
	bool running;		    /* the flusher is there */
	u32 dirty_background_ratio; /* tunable, percent */
	u32 dirty_ratio; /* tunable, percent; phys/ has a copy by node */
	u64 dirty_background_bytes; /* tunable; 0: by ratio */
	u64 dirty_bytes;	    /* tunable; 0: by ratio */
	u64 dirty_expire_centisecs; /* tunable: old enough to be written */
	spinlock_t bw_lock;
	u64 bandwidth;		  /* (B) pages a second */
	u64 bw_stamp, bw_written; /* (B) at the last measurement */
	u64 pauses;		  /* (A) of writers */
};

/* flatfile.c, file_bio.c: what stands ready so that a write never needs memory.
 */
struct flatfile_state {
	struct kmem_cache *inode_cache, *bio_cache;
	bool reserve_busy; /* (A) */
	wait_queue_head_t reserve_wait;
	struct port_bio reserve;
};

struct filemap_state {
	const struct mapping_ops *mapping_ops; /* set at boot */
	spinlock_t inode_lock;
	struct list_head inodes; /* (inode_lock) all */
	struct list_head dirty;	 /* (inode_lock) by dirtied_when */
	u64 nr_inodes;		 /* (inode_lock) */
	u64 nr_blockdev_pages;	 /* (A) pages of S_ISBLK inodes: Buffers */
	struct kmem_cache *file_cache;
	void (*file_put_hook)(struct file *file); /* set at boot */
	struct flush_state flush;
	struct flatfile_state flat;
};

/* mapping_init: an empty mapping of HOST, memory of the caller's, zeroed. */
void mapping_init(struct address_space *mapping, struct inode *host,
		  const struct address_space_operations *a_ops);

/* filemap_init: caches and lists. 0 or -ENOMEM. At boot, by cache_init(). */
int filemap_init(void) MM_MUST_CHECK;

/* inode_next_get: the inode after PREV (NULL: the first), held, while PREV's
 * hold is given up: walks all that last the walk. May sleep. */
struct inode *inode_next_get(struct inode *prev);

/* inode_tryget: hold INODE, found on a list; inode_lock held. False: it is
 * going. */
bool inode_tryget(struct inode *inode);

/* mapping_set_ops: register OPS, which must last. At boot. */
void mapping_set_ops(const struct mapping_ops *ops);

/* ---- a page and its file ---------------------------------------------------
 */

/*
 * page_mapping: the mapping of PAGE, a page of the cache or of a user; NULL if
 * it is anonymous or has left its file. Stable under the page lock.
 */
static inline struct address_space *page_mapping(const struct page *page)
{
	u64 word = page_mapping_word(page);

	if (word & PAGE_MAPPING_FLAGS)
		return NULL;
	return (struct address_space *)(uintptr_t)word;
}

/* PageFile: PAGE, of a user or the cache, belongs to a file now. */
static inline bool PageFile(const struct page *page)
{
	return page_mapping(page) != NULL;
}

static inline u64 page_offset(const struct page *page)
{
	return (u64)page_index(page) << PAGE_SHIFT;
}

static inline void mapping_lock(struct address_space *mapping,
				unsigned long *flags)
{
	spin_lock_irqsave(&mapping->i_pages_lock, *flags);
}

static inline void mapping_unlock(struct address_space *mapping,
				  unsigned long flags)
{
	spin_unlock_irqrestore(&mapping->i_pages_lock, flags);
}

/* The invalidate lock, by Linux's names. Order: before page locks. */
static inline void filemap_invalidate_lock(struct address_space *mapping)
{
	down_write(&mapping->invalidate_lock);
}

static inline void filemap_invalidate_unlock(struct address_space *mapping)
{
	up_write(&mapping->invalidate_lock);
}

static inline void filemap_invalidate_lock_shared(struct address_space *mapping)
{
	down_read(&mapping->invalidate_lock);
}

static inline void
filemap_invalidate_unlock_shared(struct address_space *mapping)
{
	up_read(&mapping->invalidate_lock);
}

/* ---- look-up (filemap.c) ---------------------------------------------------
 */

/* find_get_page: page INDEX with a reference, not locked; or NULL. */
struct page *find_get_page(struct address_space *mapping, u64 index);

/* find_lock_page: the same, locked, and still the file's. May sleep. */
struct page *find_lock_page(struct address_space *mapping, u64 index);

#define FGP_ACCESSED 0x01u /* mark_page_accessed() */
#define FGP_LOCK     0x02u /* locked, and still the file's */
#define FGP_CREAT    0x04u /* make one that is missing; it is locked */
#define FGP_WRITE    0x08u /* it will be written: spread over nodes */
#define FGP_NOFS     0x10u /* allocate without calling file systems */
#define FGP_NOWAIT   0x20u /* give up where one would wait */

/*
 * pagecache_get_page: page INDEX with a reference, or NULL: not there, no
 * memory, or FGP_NOWAIT. A page that was made is not uptodate, and locked.
 * GFP as the mapping's mask. May sleep unless FGP_NOWAIT.
 */
struct page *pagecache_get_page(struct address_space *mapping, u64 index,
				u32 fgp, gfp_t gfp);

/*
 * find_get_pages_range: up to NR pages of [*FIRST, LAST] into PAGES, each with
 * a reference, by number; *FIRST moves behind the last. How many. _tag: only
 * those with MARK.
 */
u32 find_get_pages_range(struct address_space *mapping, u64 *first, u64 last,
			 u32 nr, struct page **pages);
u32 find_get_pages_range_tag(struct address_space *mapping, u64 *first,
			     u64 last, enum xa_mark mark, u32 nr,
			     struct page **pages);

/* page_cache_next_miss: first number from INDEX on without a page, or INDEX +
 * MAX. page_cache_prev_miss: the same downwards; INDEX - MAX (wraps). */
u64 page_cache_next_miss(struct address_space *mapping, u64 index, u64 max);
u64 page_cache_prev_miss(struct address_space *mapping, u64 index, u64 max);

/* filemap_range_has_page: any page of [FIRST, LAST]. */
bool filemap_range_has_page(struct address_space *mapping, u64 first, u64 last);

/* ---- in and out (filemap.c) ------------------------------------------------
 */

/*
 * add_to_page_cache_lru: PAGE, new, not locked, becomes page INDEX, locked, on
 * the lists. The cache takes a reference. Returns 0, -EEXIST, -ENOMEM; PAGE is
 * as before then. May sleep as GFP allows. Fault injection: FAIL_SLAB.
 */
int add_to_page_cache_lru(struct page *page, struct address_space *mapping,
			  u64 index, gfp_t gfp) MM_MUST_CHECK;
/* The same without the lists, PAGE locked (shmem, migration). */
int add_to_page_cache_locked(struct page *page, struct address_space *mapping,
			     u64 index, gfp_t gfp) MM_MUST_CHECK;

/* The same for shmem, PAGE swap-backed: only in place of EXPECT (NULL: of
 * nothing), -EEXIST otherwise. In place of a value no memory is needed. */
int add_to_page_cache_expect(struct page *page, struct address_space *mapping,
			     u64 index, void *expect) MM_MUST_CHECK;

/*
 * delete_from_page_cache: PAGE, locked, clean, unmapped, not under write-back,
 * leaves its file; the cache's reference is dropped.
 */
void delete_from_page_cache(struct page *page);
/* The same; VALUE takes its place (where shmem's page has gone: swap). */
void delete_from_page_cache_value(struct page *page, void *value);

/*
 * replace_page_cache_page: NEW, locked, off all lists, takes OLD's place,
 * marks and the dirty bit included; OLD, locked, unmapped, not under
 * write-back, leaves, clean, and loses the cache's reference. Cannot fail. For
 * migration; both are the caller's.
 */
void replace_page_cache_page(struct page *old, struct page *new);

/*
 * filemap_evict: reclaim's end: PAGE, locked and unmapped, has exactly EXPECT
 * references (the cache's and the callers'): take them all, leave a shadow if
 * SHADOW, and the page is the caller's alone, count 0. False: it is in use or
 * dirty; nothing has changed. Does not sleep.
 */
bool filemap_evict(struct page *page, int expect, bool shadow) MM_MUST_CHECK;

/* ---- read-ahead (readahead.c) ----------------------------------------------
 */

/* Largest window of a file at first: 128 KiB, as Linux's. */
#define VM_READAHEAD_PAGES (128u * 1024 / (u32)PAGE_SIZE)

/* A batch of new pages on its way to a_ops->readahead(), consecutive. */
#define RA_BATCH PORT_BIO_MAX_PAGES
struct readahead_control {
	struct file *file; /* may be NULL */
	struct address_space *mapping;
	u64 index; /* of the page taken last */
	u32 nr, next;
	struct page *pages[RA_BATCH];
};

/* readahead_page: the next of RAC: locked, with a reference to drop once its
 * read has been started. NULL: that was all. */
struct page *readahead_page(struct readahead_control *rac);

/*
 * page_cache_sync_readahead: page INDEX is missing and REQ pages from there
 * are wanted; the pages may be there when it returns, under way, or not.
 * _async: PAGE carries the marker. RA is FILE's state. May sleep; the
 * invalidate lock is not held. force_: NR pages whatever the state says.
 */
void page_cache_sync_readahead(struct address_space *mapping,
			       struct file_ra_state *ra, struct file *file,
			       u64 index, u64 req);
void page_cache_async_readahead(struct address_space *mapping,
				struct file_ra_state *ra, struct file *file,
				struct page *page, u64 req);
void force_page_cache_readahead(struct address_space *mapping,
				struct file *file, u64 index, u64 nr);

#ifndef POSIX_FADV_NORMAL
#define POSIX_FADV_NORMAL     0
#define POSIX_FADV_RANDOM     1
#define POSIX_FADV_SEQUENTIAL 2
#define POSIX_FADV_WILLNEED   3
#define POSIX_FADV_DONTNEED   4
#define POSIX_FADV_NOREUSE    5
#endif
/* vfs_fadvise: posix_fadvise(2): 0 or -EINVAL (LEN below 0, another ADVICE).
 * LEN 0: to the end; OFF below 0: nothing, as Linux. */
int vfs_fadvise(struct file *file, s64 off, s64 len, int advice);

/* ---- read, write, faults (file_io.c) ---------------------------------------
 */

/*
 * filemap_get_page: page INDEX, up to date, with a reference; somebody wants
 * pages up to LAST, for read-ahead. ERR_PTR: -EIO, -ENOMEM. May sleep.
 * read_mapping_page: the same without read-ahead; FILE may be NULL.
 */
struct page *filemap_get_page(struct file *file, u64 index, u64 last);
struct page *read_mapping_page(struct address_space *mapping, u64 index,
			       struct file *file);

/* What struct file_operations and address_space_operations default to. */
s64 generic_file_read_iter(struct file *file, struct iov_iter *iter, u64 *pos);
s64 generic_file_write_iter(struct file *file, struct iov_iter *iter, u64 *pos);
/* generic_perform_write: the copying alone; i_rwsem held for writing. */
s64 generic_perform_write(struct file *file, struct iov_iter *iter, u64 *pos);
int generic_write_begin(struct file *file, struct address_space *mapping,
			u64 pos, u32 len, struct page **page);
s64 generic_write_end(struct file *file, struct page *page, u64 pos, u32 len,
		      u32 copied);

/* pagecache_zero_tail: cached bytes from SIZE to the end of its page become
 * zero: the file is about to grow over them (IO-2). i_rwsem held. */
void pagecache_zero_tail(struct address_space *mapping, u64 size);

/*
 * read(2) and write(2) at *POS, which moves: bytes, 0 at the end, or -EBADF,
 * -EINVAL, -EFBIG, -EIO, -ENOMEM, -ENOSPC, -EFAULT. kernel_: from and to
 * BUF. May sleep; no page lock and no i_rwsem held.
 */
s64 vfs_iter_read(struct file *file, struct iov_iter *iter, u64 *pos);
s64 vfs_iter_write(struct file *file, struct iov_iter *iter, u64 *pos);
s64 kernel_read(struct file *file, void *buf, u64 count, u64 *pos);
s64 kernel_write(struct file *file, const void *buf, u64 count, u64 *pos);

/* A fault on a mapped file asks for a page. */
struct filemap_fault {
	struct file *file;
	u64 pgoff;		 /* page of the file */
	bool random, sequential; /* VM_RAND_READ, VM_SEQ_READ */
	struct page *page;	 /* out: locked, up to date, with a reference */
	bool major;		 /* out: the disk was waited for */
};

/*
 * filemap_fault_page: 0, or -EFAULT (beyond the end: SIGBUS), -EIO (SIGBUS),
 * -ENOMEM. The page stays in its file and inside it while it is locked. May
 * sleep; mmap lock held, the invalidate lock not.
 */
int filemap_fault_page(struct filemap_fault *ff);

/* The fault's read-ahead (readahead.c). */
void filemap_ra_fault_miss(struct filemap_fault *ff);
void filemap_ra_fault_hit(struct filemap_fault *ff, struct page *page);

/* ---- dirty pages (page_writeback.c) ----------------------------------------
 */

/*
 * set_page_dirty: PAGE's contents differ from the disk's. True if it was not
 * dirty. Of a file: counted, marked, its inode put on the dirty list. The page
 * lock, a table lock over an entry, or the caller otherwise keeps it in its
 * file. Does not sleep. __ form: what a_ops->set_page_dirty does by default.
 */
bool set_page_dirty(struct page *page);
bool filemap_set_page_dirty(struct page *page);

/* cancel_dirty_page: PAGE, locked, will not be written: clean, uncounted. */
void cancel_dirty_page(struct page *page);

/* filemap_move_dirty: NEW, which takes OLD's place in MAPPING, is dirty if OLD
 * was, and OLD is not. Both locked, i_pages_lock held. */
void filemap_move_dirty(const struct address_space *mapping, struct page *old,
			struct page *new);

/* clear_page_dirty_for_io: PAGE, locked, is about to be written: its entries
 * are made clean, then PG_dirty. False: it was not dirty. May sleep. */
bool clear_page_dirty_for_io(struct page *page);

/* redirty_page_for_writepage: it could not be written now: dirty again. */
void redirty_page_for_writepage(struct writeback_control *wbc,
				struct page *page);

/*
 * set_page_writeback: the write of PAGE, locked, of a file, begins.
 * page_end_writeback: it has ended with ERR (0, -errno); any context; the page
 * may be gone afterwards.
 */
void set_page_writeback(struct page *page);
void page_end_writeback(struct page *page, int err);

/* mapping_set_error: a write failed with ERR; all who ask will know. */
void mapping_set_error(struct address_space *mapping, int err);

/* mapping_tagged: does any page have MARK? */
bool mapping_tagged(struct address_space *mapping, enum xa_mark mark);

/* tag_pages_for_writeback: what is dirty of [FIRST, LAST] gets TOWRITE. */
void tag_pages_for_writeback(struct address_space *mapping, u64 first,
			     u64 last);

/* How write_cache_pages() writes one page: as a_ops->writepage, with DATA. */
struct writepages_how {
	int (*writepage)(struct page *page, struct writeback_control *wbc,
			 void *data);
	void *data;
};

/* write_cache_pages: dirty pages as WBC wishes, each by HOW. The first error.
 * generic_writepages: by a_ops->writepage. do_writepages: as the file system
 * wants it. May sleep. */
int write_cache_pages(struct address_space *mapping,
		      struct writeback_control *wbc,
		      const struct writepages_how *how);
int generic_writepages(struct address_space *mapping,
		       struct writeback_control *wbc);
int do_writepages(struct address_space *mapping, struct writeback_control *wbc);

/*
 * Bytes [START, END] of a mapping, END inclusive. fdatawrite starts writes
 * (WB_SYNC_ALL: of all that is dirty now); fdatawait waits for those under
 * way; _keep_errors leaves AS_EIO and AS_ENOSPC for who comes after. 0 or the
 * error. May sleep.
 */
int filemap_fdatawrite_range(struct address_space *mapping, u64 start, u64 end,
			     enum writeback_sync_modes mode);
void filemap_fdatawait_range_keep_errors(struct address_space *mapping,
					 u64 start, u64 end);
int filemap_fdatawait_range(struct address_space *mapping, u64 start, u64 end);
int filemap_write_and_wait_range(struct address_space *mapping, u64 start,
				 u64 end);
/* filemap_check_errors: a failed write since somebody last asked this way. */
int filemap_check_errors(struct address_space *mapping);

/* The same for an open file: each file learns of each error once. */
int file_check_and_advance_wb_err(struct file *file);
int file_write_and_wait_range(struct file *file, u64 start, u64 end);
int generic_file_fsync(struct file *file, u64 start, u64 end, bool datasync);
/* vfs_fsync_range: fsync(2), fdatasync(2), msync(2) of a range. */
int vfs_fsync_range(struct file *file, u64 start, u64 end, bool datasync);

/* sync_file_range(2); NBYTES 0: to the end. 0, -EINVAL, or a write's error. */
#ifndef SYNC_FILE_RANGE_WRITE
#define SYNC_FILE_RANGE_WAIT_BEFORE 1u
#define SYNC_FILE_RANGE_WRITE	    2u
#define SYNC_FILE_RANGE_WAIT_AFTER  4u
#endif
int vfs_sync_file_range(struct file *file, s64 off, s64 nbytes, u32 flags);

/* ---- the flusher's work (flush.c) ------------------------------------------
 */

void flush_init(void);

/* global_dirty_limits: pages; above *BACKGROUND the flusher writes, at *DIRTY
 * writers wait. */
void global_dirty_limits(u64 *background, u64 *dirty);

/* dirty_pos_ratio: how fast writers may go, 1024 at the set point: see the
 * theory. Pages; FREERUN < LIMIT. */
u64 dirty_pos_ratio(u64 dirty, u64 freerun, u64 limit);

/*
 * writeback_inodes: write inodes that became dirty before time OLDER, as WBC
 * says; its nr_to_write goes down. Pages started. May sleep.
 */
u64 writeback_inodes(struct writeback_control *wbc, u64 older);

/* wb_do_writeback: the flusher's round: what was asked for, what is too much,
 * and if PERIODIC what is too old. Pages started. May sleep. */
u64 wb_do_writeback(bool periodic);

/* wakeup_flusher_threads: write all that is dirty now. Any context. */
void wakeup_flusher_threads(void);

/* sync_inodes: sync(2) (SB NULL), or of one file system: write and wait.
 * vfs_syncfs: syncfs(2): and its errors, once per file. May sleep. */
void sync_inodes(const struct super_block *sb);
int vfs_syncfs(struct file *file);

/* balance_dirty_pages_ratelimited: the caller made a page of MAPPING dirty: if
 * there are too many it waits. No locks held but i_rwsem. */
void balance_dirty_pages_ratelimited(struct address_space *mapping);

/* mark_inode_dirty_pages: INODE has dirty pages: onto the dirty list. */
void mark_inode_dirty_pages(struct inode *inode);

/* ---- giving up pages (truncate.c) ------------------------------------------
 */

/*
 * truncate_inode_pages_range: give up what is cached of bytes [START, END],
 * END inclusive, ~0: to the end; dirty or not. Pages partly inside keep the
 * rest: the part is zeroed in the cache. Waits for write-back and for page
 * locks. Shadows go too. The caller excludes new pages (invalidate_lock) and
 * new mappings (i_size). May sleep.
 */
void truncate_inode_pages_range(struct address_space *mapping, u64 start,
				u64 end);
/*
 * truncate_setsize: i_size becomes SIZE, and what is cached and mapped behind
 * it goes; bytes that appear read as zero. i_rwsem and invalidate_lock held
 * for writing. truncate_pagecache: the second half. _range: bytes
 * [START, END], END inclusive, for holes.
 */
void truncate_setsize(struct inode *inode, u64 size);
void truncate_pagecache(struct inode *inode, u64 size);
void truncate_pagecache_range(struct inode *inode, u64 start, u64 end);

/* vfs_truncate: truncate(2): 0, -EFBIG, or what the file system says. Takes
 * i_rwsem and the invalidate lock. */
int vfs_truncate(struct inode *inode, u64 size);

/*
 * invalidate_mapping_pages: pages of [FIRST, LAST] that nobody uses, clean,
 * unlocked, unmapped, go. How many. May sleep, waits for nobody.
 */
u64 invalidate_mapping_pages(struct address_space *mapping, u64 first,
			     u64 last);

/*
 * invalidate_inode_pages2_range: all pages of [FIRST, LAST] go, mapped ones
 * too, dirty ones are laundered; for contents that have changed on the disk.
 * 0, -EBUSY (somebody holds one), or launder_page's error; the rest is gone.
 */
int invalidate_inode_pages2_range(struct address_space *mapping, u64 first,
				  u64 last);

/*
 * invalidate_inode_page2: the same of one PAGE of MAPPING, locked and held by
 * the caller: 0, it is the file's no longer; -EBUSY, launder_page's error.
 * generic_error_remove_page: its contents are lost: it leaves the file,
 * whatever its state.
 */
int invalidate_inode_page2(struct address_space *mapping, struct page *page);
void generic_error_remove_page(struct address_space *mapping,
			       struct page *page);

/* drop_pagecache: vm.drop_caches bit 0: what nobody uses of all files goes.
 * Pages. May sleep. */
u64 drop_pagecache(void);

/* mapping_drop_shadows: forget evictions of pages [FIRST, LAST]; how many. */
u64 mapping_drop_shadows(struct address_space *mapping, u64 first, u64 last);

/* truncate_inode_pages_final: all, for good: the inode goes. */
void truncate_inode_pages_final(struct address_space *mapping);

/* ---- requests of file systems (file_bio.c) ---------------------------------
 */

int file_bio_init(void) MM_MUST_CHECK;

/*
 * file_bio_get: an empty request of BDEV. NULL: a read, no memory; a write
 * waits for the one that stands ready, which must be submitted as soon as it
 * holds a page (file_bio_is_reserve()). May sleep for a write. put: give back
 * one that is not submitted.
 */
struct port_bio *file_bio_get(struct port_bdev *bdev, enum port_bio_op op,
			      gfp_t gfp);
void file_bio_put(struct port_bio *bio);

/*
 * bdev_flush: what BDEV has ended writing survives the loss of power from now
 * on. 0, or the device's error: then nobody knows. May sleep; needs no memory.
 */
int bdev_flush(struct port_bdev *bdev) MM_MUST_CHECK;
bool file_bio_is_reserve(const struct port_bio *bio);
/* file_bio_fits: a page at SECTOR may be added to BIO, which has some. */
bool file_bio_fits(const struct port_bio *bio, u64 sector);
void file_bio_add(struct port_bio *bio, const struct page *page, u64 sector);
/* file_bio_submit: its end settles the pages (uptodate or error, and unlocked;
 * page_end_writeback()) and frees it. Any thread context. */
void file_bio_submit(struct port_bio *bio);

/* file_page_within: bytes of PAGE, locked, behind ISIZE become zero; they never
 * reach the disk. False: all of PAGE is there. */
bool file_page_within(struct page *page, u64 isize);

/* ---- files that are devices (flatfile.c) -----------------------------------
 */

/* flatfile_init: at boot. 0 or -ENOMEM. */
int flatfile_init(void) MM_MUST_CHECK;

/* ---- check (filemap_check.c) -----------------------------------------------
 */

/*
 * mapping_check: walk MAPPING: tree, counts, each page's place, flags against
 * marks. Panics with the finding. Takes i_pages_lock; call at rest.
 */
void mapping_check(struct address_space *mapping);

/* filemap_owns: MAPPING is that of an inode of the list and PAGE is in it at
 * its index. For the audit; MAPPING may be no pointer at all. */
bool filemap_owns(const struct address_space *mapping, const struct page *page);

/* filemap_check: every inode, lists and global counters. Call at rest. */
void filemap_check(void);

#endif
