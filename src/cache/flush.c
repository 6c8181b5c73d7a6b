/* SPDX-License-Identifier: MIT */
/*
 * flush.c - which dirty files are written when, and who has to wait.
 *
 * 1. Purpose. Dirty pages are memory that cannot be taken back before the disk
 *    has worked. So they are written when they get old, when there are many,
 *    and when somebody asks; and who makes them faster than the disk takes
 *    them is slowed down to its speed.
 *
 * 2. Thresholds, of the memory that could hold dirty pages (free frames and
 *    file pages, less reserves): above dirty_background the flusher writes;
 *    above the middle between that and dirty writers pause; above dirty they
 *    wait until it is below. Tunables in percent, or bytes that replace them.
 *
 * 3. Order. Dirty inodes stand in the order in which they became dirty. A
 *    round takes the oldest, writes up to a slice of its pages, and if more
 *    are left puts it behind the others: no file starves another.
 *
 * 4. Pauses. The speed of the disk is measured: pages written in each 200 ms,
 *    smoothed. A writer that is over the middle may dirty at that speed times
 *    a factor that is 1 at the set point (between middle and limit), falls to
 *    0 at the limit by a cubic curve and rises below; the pause is its pages
 *    divided by that, at most 200 ms. Pages are counted per task in small
 *    batches, so most writes look at nothing.
 *
 * 5. Invariants.
 *    FL-1  An inode with dirty pages is on the dirty list, or I_SYNC and looked
 *          at again by who is at it.
 *    FL-2  Nobody waits here for a page that only he could write: the caller
 *          holds no page lock.
 *
 * 6. Locking. inode_lock for the lists; an inode that is written is held.
 *
 * 7. Rejected. A flusher for each device: there is one list, so a slow disk
 *    delays another's files at most by a slice.
 *
 * References: Linux documentation, admin-guide/sysctl/vm (dirty_*);
 * W. Fengguang, "IO-less dirty throttling" (LWN, 2011).
 */
#include <mmkit/errno.h>

#include "base/atomic.h"
#include "base/trace_ring.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

#define MAX_PAUSE_NS	(200UL * 1000 * 1000)
#define BANDWIDTH_NS	(200UL * 1000 * 1000)
#define WRITEBACK_SLICE 1024	/* pages of a file in one turn */
#define DIRTY_BATCH	32u	/* pages a task dirties between looks */
#define RATE_SHIFT	10	/* fixed point of the factor */
#define INIT_BANDWIDTH	25600UL /* pages a second: 100 MiB */

void flush_init(void)
{
	struct flush_state *fl = &cache_sys.fm.flush;

	init_waitqueue_head(&fl->wait);
	spin_lock_init(&fl->bw_lock, LOCK_CLASS_SEQ_STATS);
	fl->bandwidth = INIT_BANDWIDTH;
	fl->dirty_background_ratio = 10;
	fl->dirty_ratio = 20;
	fl->dirty_expire_centisecs = 3000;
}

/* ---- thresholds ------------------------------------------------------------
 */

static u64 dirtyable_memory(void)
{
	u64 n = global_zone_page_state(NR_FREE_PAGES), reserve = 0;
	pg_data_t *pgdat;

	for (pgdat = first_online_pgdat(); pgdat;
	     pgdat = next_online_pgdat(pgdat))
		reserve += READ_ONCE(pgdat->totalreserve_pages);
	n -= min(n, reserve);
	n += global_node_page_state(NR_INACTIVE_FILE) +
	     global_node_page_state(NR_ACTIVE_FILE);
	return n + 1;
}

void global_dirty_limits(u64 *background, u64 *dirty)
{
	const struct flush_state *fl = &cache_sys.fm.flush;
	u64 bg_bytes = READ_ONCE(fl->dirty_background_bytes);
	u64 bytes = READ_ONCE(fl->dirty_bytes), memory = dirtyable_memory();

	*dirty = bytes ? DIV_ROUND_UP(bytes, PAGE_SIZE)
		       : memory * READ_ONCE(fl->dirty_ratio) / 100;
	*background =
		bg_bytes ? DIV_ROUND_UP(bg_bytes, PAGE_SIZE)
			 : memory * READ_ONCE(fl->dirty_background_ratio) / 100;
	if (*background >= *dirty)
		*background = *dirty / 2;
}

/* Pages that are dirty or not yet on the disk. */
static u64 dirty_now(void)
{
	return global_node_page_state(NR_FILE_DIRTY) +
	       global_node_page_state(NR_WRITEBACK);
}

static bool over_background(void)
{
	u64 background, dirty;

	global_dirty_limits(&background, &dirty);
	return global_node_page_state(NR_FILE_DIRTY) > background;
}

/* ---- writing inodes --------------------------------------------------------
 */

/*
 * INODE was written: stays it on the dirty list? Behind the others, if it
 * does. inode_lock held.
 */
static void requeue_inode(struct inode *inode)
{
	struct filemap_state *fm = &cache_sys.fm;

	WRITE_ONCE(inode->i_state, inode->i_state & ~(I_SYNC | I_DIRTY_PAGES));
	list_del_init(&inode->i_io_list);
	/* Against mark_inode_dirty_pages(): flag, then marks. */
	smp_mb();
	if (!mapping_tagged(inode->i_mapping, PAGECACHE_TAG_DIRTY))
		return;
	WRITE_ONCE(inode->i_state, inode->i_state | I_DIRTY_PAGES);
	list_add_tail(&inode->i_io_list, &fm->dirty);
}

/* The longest dirty inode, dirty since before OLDER, held and I_SYNC. */
static struct inode *next_dirty_inode(u64 older)
{
	struct filemap_state *fm = &cache_sys.fm;
	struct inode *inode, *found = NULL;

	spin_lock(&fm->inode_lock);
	list_for_each_entry (inode, &fm->dirty, i_io_list) {
		if (inode->dirtied_when > older || (inode->i_state & I_SYNC) ||
		    !inode_tryget(inode))
			continue;
		WRITE_ONCE(inode->i_state, inode->i_state | I_SYNC);
		found = inode;
		break;
	}
	spin_unlock(&fm->inode_lock);
	return found;
}

/* Of INODE, as WBC asks: WROTE pages so far. Times in hundredths of a second.
 */
static MM_NOINLINE void trace_inode(enum trace_event event,
				    const struct inode *inode,
				    const struct writeback_control *wbc,
				    u64 wrote)
{
	const u64 arg[TRACE_ARGS] = {
		inode->i_sb->s_dev,
		inode->i_ino,
		READ_ONCE(inode->i_state),
		inode->dirtied_when / 10000000u,
		READ_ONCE(inode->i_mapping->writeback_index),
		(u64)wbc->nr_to_write,
		wrote,
	};

	trace_ring_write(event, arg);
}

/* Write a slice of INODE. Pages started. */
static s64 writeback_inode(struct inode *inode, struct writeback_control *wbc)
{
	struct filemap_state *fm = &cache_sys.fm;
	s64 slice = min(wbc->nr_to_write, (s64)WRITEBACK_SLICE);
	struct writeback_control own = *wbc;

	own.nr_to_write = slice;
	if (trace_enabled(TRACE_WRITEBACK_SINGLE_INODE_START))
		trace_inode(TRACE_WRITEBACK_SINGLE_INODE_START, inode, &own, 0);
	(void)do_writepages(inode->i_mapping, &own);
	if (trace_enabled(TRACE_WRITEBACK_SINGLE_INODE))
		trace_inode(TRACE_WRITEBACK_SINGLE_INODE, inode, &own,
			    (u64)(slice - own.nr_to_write));
	spin_lock(&fm->inode_lock);
	requeue_inode(inode);
	/* What could not be started now has to wait for another round. */
	if ((inode->i_state & I_DIRTY_PAGES) && own.nr_to_write > 0)
		inode->dirtied_when = port_now_ns() + 1;
	spin_unlock(&fm->inode_lock);
	iput(inode);
	return slice - own.nr_to_write;
}

u64 writeback_inodes(struct writeback_control *wbc, u64 older)
{
	struct inode *inode;
	u64 total = 0;

	older = min(older, port_now_ns());
	while (wbc->nr_to_write > 0 && (inode = next_dirty_inode(older))) {
		s64 n = writeback_inode(inode, wbc);

		wbc->nr_to_write -= n;
		total += (u64)n;
		if (wbc->for_background && !over_background())
			break;
	}
	return total;
}

void wakeup_flusher_threads(void)
{
	struct flush_state *fl = &cache_sys.fm.flush;

	WRITE_ONCE(fl->requested, true);
	wake_up_all(&fl->wait);
}

/* As Linux numbers them. */
enum wb_reason { WB_BACKGROUND, WB_VMSCAN, WB_SYNC, WB_PERIODIC };

static MM_NOINLINE void trace_work(enum trace_event event,
				   const struct writeback_control *wbc,
				   enum wb_reason reason)
{
	const u64 arg[TRACE_ARGS] = {
		0, /* all devices */
		(u64)wbc->nr_to_write,
		wbc->sync_mode,
		wbc->for_kupdate,
		wbc->range_cyclic,
		wbc->for_background,
		reason,
	};

	trace_ring_write(event, arg);
}

/* Up to NR pages that are dirty since before OLDER. */
static u64 writeback_work(struct writeback_control *wbc, s64 nr, u64 older,
			  enum wb_reason reason)
{
	u64 n;

	wbc->nr_to_write = nr;
	if (trace_enabled(TRACE_WRITEBACK_START))
		trace_work(TRACE_WRITEBACK_START, wbc, reason);
	n = writeback_inodes(wbc, older);
	if (trace_enabled(TRACE_WRITEBACK_WRITTEN))
		trace_work(TRACE_WRITEBACK_WRITTEN, wbc, reason);
	return n;
}

u64 wb_do_writeback(bool periodic)
{
	struct flush_state *fl = &cache_sys.fm.flush;
	struct writeback_control wbc = {.sync_mode = WB_SYNC_NONE,
					.range_cyclic = true};
	u64 expire = READ_ONCE(fl->dirty_expire_centisecs) * 10000000UL;
	u64 now = port_now_ns(), n = 0;

	if (__atomic_exchange_n(&fl->requested, false, __ATOMIC_ACQ_REL)) {
		/* Reclaim is stuck behind dirty pages, or writers wait. */
		n += writeback_work(&wbc,
				    (s64)global_node_page_state(NR_FILE_DIRTY),
				    now, WB_VMSCAN);
	}
	if (periodic) {
		wbc.for_kupdate = true;
		n += writeback_work(&wbc, INT64_MAX,
				    now > expire ? now - expire : 0,
				    WB_PERIODIC);
		wbc.for_kupdate = false;
	}
	if (over_background()) {
		wbc.for_background = true;
		n += writeback_work(&wbc, INT64_MAX, now, WB_BACKGROUND);
	}
	trace_emit(WRITEBACK_PAGES_WRITTEN, n);
	return n;
}

/* ---- sync ------------------------------------------------------------------
 */

void sync_inodes(const struct super_block *sb)
{
	struct inode *inode = NULL;

	/* Start everything, then wait for everything. */
	while ((inode = inode_next_get(inode)))
		if (!sb || inode->i_sb == sb)
			(void)filemap_fdatawrite_range(inode->i_mapping, 0,
						       INT64_MAX, WB_SYNC_ALL);
	while ((inode = inode_next_get(inode)))
		if (!sb || inode->i_sb == sb)
			filemap_fdatawait_range_keep_errors(inode->i_mapping, 0,
							    INT64_MAX);
}

int vfs_syncfs(struct file *file)
{
	struct super_block *sb = file->f_inode->i_sb;
	int err;

	sync_inodes(sb);
	spin_lock(&file->f_lock);
	err = errseq_check_and_advance(&sb->s_wb_err, &file->f_sb_err);
	spin_unlock(&file->f_lock);
	return err;
}

/* ---- slowing writers down --------------------------------------------------
 */

/* Pages a second that the disk takes, smoothed; measured now and then. */
static u64 write_bandwidth(void)
{
	struct flush_state *fl = &cache_sys.fm.flush;
	u64 now = port_now_ns(), written, elapsed, bw;

	if (!spin_trylock(&fl->bw_lock))
		return READ_ONCE(fl->bandwidth);
	elapsed = now - fl->bw_stamp;
	if (elapsed >= BANDWIDTH_NS) {
		written = global_node_page_state(NR_WRITTEN);
		/* A pause without writers says nothing about the disk. */
		if (fl->bw_stamp && elapsed < 8 * BANDWIDTH_NS) {
			bw = (written - fl->bw_written) * 1000000UL /
			     (elapsed / 1000);
			WRITE_ONCE(fl->bandwidth,
				   max((fl->bandwidth * 7 + bw) / 8, 1UL));
		}
		fl->bw_stamp = now;
		fl->bw_written = written;
	}
	bw = fl->bandwidth;
	spin_unlock(&fl->bw_lock);
	return bw;
}

u64 dirty_pos_ratio(u64 dirty, u64 freerun, u64 limit)
{
	u64 setpoint = (freerun + limit) / 2;
	s64 x, one = 1 << RATE_SHIFT, ratio;

	if (dirty >= limit || limit <= setpoint)
		return 0;
	x = ((s64)setpoint - (s64)dirty) * one / (s64)(limit - setpoint);
	x = clamp(x, -one, one);
	ratio = one + (x * x >> RATE_SHIFT) * x / one;
	return (u64)max(ratio, 0L);
}

/* Pages a second as KiB. */
static u64 rate_kib(u64 rate)
{
	return rate << (PAGE_SHIFT - 10);
}

/* What a task that has dirtied PAGES of files of DEV since its last look has to
 * pause, ns; 0: go on. */
static u64 dirty_pause(u64 dev, u64 pages)
{
	u64 background, limit, dirty = dirty_now(), freerun, ratio, rate, speed;
	u64 pause;

	global_dirty_limits(&background, &limit);
	freerun = (background + limit) / 2;
	if (dirty <= freerun)
		return 0;
	ratio = dirty_pos_ratio(dirty, freerun, limit);
	speed = write_bandwidth();
	rate = speed * ratio >> RATE_SHIFT;
	pause = rate ? min(pages * 1000000000UL / rate, MAX_PAUSE_NS)
		     : MAX_PAUSE_NS;
	trace_emit(BALANCE_DIRTY_PAGES, dev, limit, (freerun + limit) / 2,
		   dirty, rate_kib(speed), rate_kib(rate), pages,
		   pause / 1000000u);
	return pause;
}

static void tell_dirty_state(void)
{
	u64 background, limit;

	global_dirty_limits(&background, &limit);
	trace_emit(GLOBAL_DIRTY_STATE, global_node_page_state(NR_FILE_DIRTY),
		   global_node_page_state(NR_WRITEBACK), background, limit,
		   limit, global_node_page_state(NR_DIRTIED),
		   global_node_page_state(NR_WRITTEN));
}

static void balance_dirty_pages(u64 dev, u64 pages)
{
	struct flush_state *fl = &cache_sys.fm.flush;
	u64 background, limit;

	for (;;) {
		u64 pause = dirty_pause(dev, pages);

		if (unlikely(trace_enabled(TRACE_GLOBAL_DIRTY_STATE)))
			tell_dirty_state();
		if (over_background() && !READ_ONCE(fl->requested)) {
			trace_emit(WRITEBACK_WAKE_BACKGROUND, dev);
			wakeup_flusher_threads();
		}
		if (!pause)
			return;
		__atomic_fetch_add(&fl->pauses, 1, __ATOMIC_RELAXED);
		(void)port_park(max(pause, 1000UL));
		global_dirty_limits(&background, &limit);
		/* Below the limit one pause is the price; above it, wait. */
		if (dirty_now() < limit)
			return;
		/* Nobody flushes (boot, shutdown, a test): do it here. */
		if (!READ_ONCE(fl->running)) {
			struct writeback_control wbc = {.nr_to_write =
								(s64)pages * 2,
							.range_cyclic = true};

			(void)writeback_inodes(&wbc, ~0UL);
		}
	}
}

void balance_dirty_pages_ratelimited(struct address_space *mapping)
{
	struct mm_task *task = port_current();

	if (mapping_flag(mapping, AS_NO_WRITEBACK))
		return;
	if (++task->nr_dirtied < DIRTY_BATCH)
		return;
	balance_dirty_pages(mapping->host->i_sb->s_dev, task->nr_dirtied);
	task->nr_dirtied = 0;
}
