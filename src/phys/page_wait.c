/* SPDX-License-Identifier: MIT */
/*
 * page_wait.c - sleeping until a page is unlocked or written.
 *
 * 1. A page has no room for a wait queue, so 256 queues are shared by all
 *    pages: the frame number's hash picks one, and entries carry the page as
 *    their key, so that only its waiters wake.
 *
 * 2. PG_waiters says that somebody may be waiting; without it unlocking is one
 *    atomic operation. A waiter sets it before it looks at the bit a last
 *    time; the unlocker clears it together with the bit. So:
 *    PW-1  Whoever sleeps set PG_waiters after the last time that somebody
 *          cleared it, or is being woken.
 *    PW-2  One locker is woken at a time; when it has the lock it sets
 *          PG_waiters again, since others may stand behind it.
 *
 * 3. Who waits for the contents of a page that was here before, and was in use
 *    (PG_workingset), loses time for lack of memory; it is told so to whom time
 *    is counted by (charge_ops). Other reads would have been waited for
 *    anyway.
 *
 * 4. Locking. Queue locks are innermost, interrupts off: completions of block
 *    I/O unlock pages.
 *
 * 5. After the bit is clear the page may be freed by others: wakers use the
 *    page as a key only.
 */
#include "base/wait.h"
#include "phys/alloc.h"
#include "phys/phys.h"

/* The first who waits or wakes makes the queues: there may never be one. */
static MM_NOINLINE void make_queues(void)
{
	unsigned long flags;

	spin_lock_irqsave(&phys_sys.page_wait_lock, flags);
	for (int i = 0; !phys_sys.page_wait_made && i < PAGE_WAIT_TABLE_SIZE;
	     i++)
		init_waitqueue_head_class(&phys_sys.page_wait[i],
					  LOCK_CLASS_PAGE_HASH_WAITQ);
	smp_store_release(&phys_sys.page_wait_made, true);
	spin_unlock_irqrestore(&phys_sys.page_wait_lock, flags);
}

static wait_queue_head_t *page_waitqueue(const struct page *page)
{
	u64 h = page_to_pfn(page) * 0x9e3779b97f4a7c15UL;

	if (unlikely(!smp_load_acquire(&phys_sys.page_wait_made)))
		make_queues();
	return &phys_sys.page_wait[h >> (64 - PAGE_WAIT_TABLE_BITS)];
}

void page_wait_init(void)
{
	spin_lock_init(&phys_sys.page_wait_lock, LOCK_CLASS_NONE);
	phys_sys.page_wait_made = false;
}

/* Clear the bits of MASK and PG_waiters at once; were there waiters? */
static bool clear_and_test_waiters(struct page *page, u32 mask)
{
	u32 old = __atomic_fetch_and(&page->flags, ~(mask | 1u << PG_waiters),
				     __ATOMIC_SEQ_CST);

	mm_verify((old & mask) == mask);
	return (old & 1u << PG_waiters) != 0;
}

/* PAGE is locked: by a read that lack of memory is to blame for? Then that
 * begins to count. Returns what stall_end() wants. */
static void *stall_begin(const struct page *page)
{
	const struct charge_ops *ops = READ_ONCE(phys_sys.charge);

	if (likely(PageUptodate(page) || !PageWorkingset(page)) || !ops ||
	    !ops->stall_begin)
		return NULL;
	return ops->stall_begin();
}

static void stall_end(void *of)
{
	if (of)
		phys_sys.charge->stall_end(of);
}

static MM_NOINLINE void lock_page_slow(struct page *page)
{
	wait_queue_head_t *wq = page_waitqueue(page);
	void *stall = stall_begin(page);
	struct wait_queue_entry wait;

	init_wait(&wait, page);
	for (;;) {
		prepare_to_wait_exclusive(wq, &wait);
		SetPageWaiters(page);
		if (trylock_page(page))
			break;
		(void)wait_park(&wait, UINT64_MAX);
	}
	/* Others may have been passed over: the next unlock must look. */
	SetPageWaiters(page);
	finish_wait(wq, &wait);
	stall_end(stall);
}

void lock_page(struct page *page)
{
	might_sleep();
	mm_assert(page_count(page) > 0);
	if (!trylock_page(page))
		lock_page_slow(page);
}

void unlock_page(struct page *page)
{
	wait_queue_head_t *wq = page_waitqueue(page);

	if (unlikely(clear_and_test_waiters(page, 1u << PG_locked)))
		(void)wake_up_key(wq, 1, page);
}

/* Sleep until FLAG is clear. */
static void wait_on_page_flag(struct page *page, u32 flag)
{
	wait_queue_head_t *wq = page_waitqueue(page);
	struct wait_queue_entry wait;
	void *stall;

	might_sleep();
	if (!(__atomic_load_n(&page->flags, __ATOMIC_ACQUIRE) & 1u << flag))
		return;
	stall = flag == PG_locked ? stall_begin(page) : NULL;
	init_wait(&wait, page);
	for (;;) {
		prepare_to_wait(wq, &wait);
		SetPageWaiters(page);
		if (!(__atomic_load_n(&page->flags, __ATOMIC_SEQ_CST) &
		      1u << flag))
			break;
		(void)wait_park(&wait, UINT64_MAX);
	}
	finish_wait(wq, &wait);
	stall_end(stall);
}

/*
 * The page may be free, and somebody else's, when this wakes: so it is not
 * looked at again. PG_waiters is set while the page cannot be unlocked, and
 * who unlocks it wakes all that are not exclusive.
 */
void wait_on_page_unlock(struct page *page, struct spinlock *held)
{
	wait_queue_head_t *wq = page_waitqueue(page);
	struct wait_queue_entry wait;

	init_wait(&wait, page);
	prepare_to_wait(wq, &wait);
	mm_assert(PageLocked(page));
	SetPageWaiters(page);
	spin_unlock(held);
	(void)wait_park(&wait, UINT64_MAX);
	finish_wait(wq, &wait);
}

void wait_on_page_locked(struct page *page)
{
	wait_on_page_flag(page, PG_locked);
}

void wait_on_page_writeback(struct page *page)
{
	wait_on_page_flag(page, PG_writeback);
}

void end_page_writeback(struct page *page)
{
	wait_queue_head_t *wq = page_waitqueue(page);

	if (clear_and_test_waiters(page, 1u << PG_writeback))
		(void)wake_up_key(wq, 0, page);
}
