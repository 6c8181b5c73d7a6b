/* SPDX-License-Identifier: MIT */
/*
 * memory_failure.c - a frame lost its contents: take it away from everybody.
 *
 * 1. Purpose. RAM breaks. The contents of one frame are gone; the machine need
 *    not be. Who loses nothing shall notice nothing, who loses something shall
 *    learn it at the moment of use, and nobody shall get the frame again.
 *
 * 2. Cases.
 *
 *      the frame is                  entries become   the page
 *      ---------------------------------------------------------------------
 *      free                          -                set aside at once
 *      of a file, clean              none             leaves the file, which
 *                                                     is read again
 *      of a file, dirty              poisoned         leaves the file, which
 *                                                     has an error to tell
 *      of shmem                      poisoned         stays in the file: who
 *                                                     asks for it gets EIO
 *      in the swap cache, clean      swap entries     leaves the cache
 *      in the swap cache, dirty      poisoned         stays there for those
 *                                                     who have swap entries
 *      anonymous                     poisoned         has no users left
 *      the kernel's, a large block   -                nothing can be done
 *
 *    A poisoned entry holds no reference and no count; fork copies it, zap
 *    forgets it. A use of it ends in SIGBUS (fault_swap.c).
 *
 * 3. Is it clean? A page of a file with a writable entry is dirty (FF-2), and
 *    one in the swap cache that may be written has left it or is dirty. Should
 *    an entry know of a write all the same, it becomes poisoned.
 *
 * 4. Invariants.
 *    MF-1  A frame with PG_hwpoison is never given out (free_pages_prepare()).
 *    MF-2  What stays in a file or in the swap cache with PG_hwpoison is on no
 *          list: reclaim would write it, or drop it as clean.
 *    MF-3  Nobody reads a page with PG_hwpoison: look-ups by number that give
 *          out contents look at the flag with the page locked.
 *
 * 5. Locking. One report at a time (mf_lock); below it the page lock, and what
 *    the walk over entries takes.
 *
 * 6. Failure. Somebody else holds the page (a pin, a read under way): -EBUSY;
 *    the last reference sets it aside. No memory to remember whom to tell
 *    early: they learn it when they use it.
 *
 * References: A. Kleen, Linux Kongress 2010; Linux documentation mm/hwpoison.
 */
#include <mmkit/errno.h>
#include <mmkit/memory_failure.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/printk.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/hwpoison.h"
#include "phys/lru.h"
#include "phys/phys.h"
#include "space/gup.h"
#include "space/huge.h"
#include "space/rmap.h"
#include "space/space.h"
#include "space/userfaultfd.h"

#define LLU(x) ((unsigned long long)(x))

/* What became of it; the words are Linux's. */
enum mf_result { MF_IGNORED, MF_FAILED, MF_RECOVERED };

static int mf_told(u64 pfn, const char *what, enum mf_result result)
{
	static const char *const name[] = {"Ignored", "Failed", "Recovered"};

	pr_err("Memory failure: 0x%llx: recovery action for %s: %s\n", LLU(pfn),
	       what, name[result]);
	return result == MF_RECOVERED ? 0 : -EBUSY;
}

/* The descriptor of PFN, RAM in use by the manager, or NULL. */
static struct page *mf_page(u64 pfn)
{
	if (!pfn_valid(pfn) || pfn_offline(pfn) ||
	    PagePoisoned(pfn_to_page(pfn)))
		return NULL;
	return pfn_to_page(pfn);
}

/* ---- who is to be told at once ---------------------------------------------
 */

void memory_failure_set_ops(const struct memory_failure_ops *ops)
{
	space_sys.mf_ops = ops;
}

int mm_mce_kill_set(int policy)
{
	struct mm_task *task = port_current();

	if (policy < PR_MCE_KILL_LATE || policy > PR_MCE_KILL_DEFAULT)
		return -EINVAL;
	task->flags &= ~(PF_MCE_PROCESS | PF_MCE_EARLY);
	if (policy != PR_MCE_KILL_DEFAULT)
		task->flags |= PF_MCE_PROCESS;
	if (policy == PR_MCE_KILL_EARLY)
		task->flags |= PF_MCE_EARLY;
	return 0;
}

static bool wants_early(const struct mm_task *task)
{
	u32 flags = READ_ONCE(task->flags);

	return flags & PF_MCE_PROCESS
		       ? (flags & PF_MCE_EARLY) != 0
		       : READ_ONCE(space_sys.memory_failure_early_kill) != 0;
}

int mm_mce_kill_get(void)
{
	u32 flags = port_current()->flags;

	if (!(flags & PF_MCE_PROCESS))
		return PR_MCE_KILL_DEFAULT;
	return flags & PF_MCE_EARLY ? PR_MCE_KILL_EARLY : PR_MCE_KILL_LATE;
}

/* One mapping of the lost page. */
struct mf_user {
	struct mf_user *next;
	struct mm_struct *mm; /* a reference to the structure */
	uva_t addr;
};

struct mf_unmap {
	struct mf_user *users;
	bool poison; /* entries become poisoned, not what they would be */
};

static void remember_user(struct mf_unmap *u, struct mm_struct *mm, uva_t addr)
{
	struct mf_user *user;

	if (!space_sys.mf_ops)
		return;
	user = kmalloc(sizeof(*user), GFP_NOWAIT);
	if (!user)
		return;
	mm_grab(mm);
	*user = (struct mf_user){u->users, mm, addr};
	u->users = user;
}

static bool tell_task(struct mm_task *task, void *arg)
{
	const struct mf_user *user = arg;
	struct mm_siginfo info = {
		.signo = MM_SIGBUS,
		.code = MM_BUS_MCEERR_AO,
		.addr = user->addr,
		.addr_lsb = PAGE_SHIFT,
	};

	if (READ_ONCE(task->mm) == user->mm && wants_early(task))
		space_sys.mf_ops->signal(task, &info);
	return false;
}

/* No page locked. */
static void tell_users(struct mf_user *user)
{
	while (user) {
		struct mf_user *next = user->next;

		task_for_each(tell_task, user);
		mm_drop(user->mm);
		kfree(user);
		user = next;
	}
}

/* ---- taking it from its users ----------------------------------------------
 */

/* What the entry that was OLD becomes. Table locked. */
static pte_t lost_entry(struct page *page, struct mm_struct *mm, pte_t old,
			bool poison)
{
	swp_entry_t entry = make_hwpoison_entry(page_to_pfn(page));

	poison = poison || pte_dirty(old);
	if (!poison && !PageSwapCache(page))
		return (pte_t){0};
	if (!poison && !swap_duplicate(page_swap_entry(page))) {
		entry = page_swap_entry(page);
		mm_note_swap(mm, swp_type(entry));
		mm_counter_add(mm, MM_SWAPENTS, 1);
	}
	return pte_swp_keep(swp_entry_to_pte(entry), old);
}

/* Entries of locked mappings go, too, which reclaim would spare. */
static bool lose_one(struct page *page, struct vm_area_struct *vma, uva_t addr,
		     void *arg)
{
	struct mm_struct *mm = vma->vm_mm;
	struct mf_unmap *u = arg;
	struct pt_slot slot;
	pte_t old;

	if (!page_vma_slot(page, vma, addr, &slot))
		return true;
	old = pt_xchg(&slot, (pte_t){0});
	port_tlb_flush(&mm->cpus, mm->asid, addr, addr + PAGE_SIZE);
	pt_set(&slot, lost_entry(page, mm, old, u->poison));
	mm_hiwater_update(mm);
	mm_counter_add(mm, mm_counter(page), -1);
	trace_unmap(page, mm, addr, PAGE_UNMAP_POISON);
	page_remove_rmap(page);
	pt_unlock(&slot);
	put_page(page);
	if (u->poison)
		remember_user(u, mm, addr);
	return true;
}

/* Every entry of PAGE, locked, goes. */
static void mf_unmap(struct page *page, struct mf_unmap *u)
{
	struct rmap_walk_control rwc = {.rmap_one = lose_one, .arg = u};

	mm_assert(PageLocked(page));
	if (page_mapped(page))
		rmap_walk(page, &rwc);
	if (PageMlocked(page)) {
		munlock_unmapped_page(page);
		lru_add_drain();
	}
}

/* ---- each kind of page, locked, not under write-back -----------------------
 */

/* PAGE leaves its list, even if it stays where it is (MF-2). */
static void off_the_lists(struct page *page)
{
	if (!lru_isolate_page(page))
		return;
	/* What says to which list it would go back. */
	ClearPageActive(page);
	ClearPageUnevictable(page);
	put_page(page);
}

static const char *lose_file_page(struct page *page, struct mf_unmap *u)
{
	struct address_space *mapping = page_mapping(page);

	u->poison = PageDirty(page);
	mf_unmap(page, u);
	if (u->poison)
		mapping_set_error(mapping, -EIO);
	generic_error_remove_page(mapping, page);
	return u->poison ? "dirty LRU page" : "clean LRU page";
}

static const char *lose_shmem_page(struct page *page, struct mf_unmap *u)
{
	u->poison = true;
	mf_unmap(page, u);
	return "dirty LRU page";
}

static const char *lose_swapcache_page(struct page *page, struct mf_unmap *u)
{
	u->poison = PageDirty(page);
	mf_unmap(page, u);
	if (!u->poison) {
		delete_from_swap_cache(page);
		return "clean swapcache page";
	}
	ClearPageDirty(page);
	return "dirty swapcache page";
}

static const char *lose_anon_page(struct page *page, struct mf_unmap *u)
{
	u->poison = true;
	mf_unmap(page, u);
	ClearPageDirty(page);
	return "dirty LRU page";
}

/* *HELD: references that stay with who keeps the page to warn others. */
static const char *lose_page(struct page *page, struct mf_unmap *u, int *held)
{
	const char *what;

	if (PageFile(page) && PageSwapBacked(page))
		what = lose_shmem_page(page, u);
	else if (PageFile(page))
		what = lose_file_page(page, u);
	else if (PageSwapCache(page))
		what = lose_swapcache_page(page, u);
	else if (PageAnon(page))
		what = lose_anon_page(page, u);
	else
		what = "already truncated LRU page";
	*held = PageFile(page) || PageSwapCache(page);
	off_the_lists(page);
	return what;
}

/* A page that users or files have, and one frame large. */
static bool is_user_page(const struct page *page)
{
	return !PageHead(page) && !PageTail(page) && !PageBlock(page) &&
	       !PageTable(page) && !PageSlab(page) && !PageReserved(page) &&
	       (PageLRU(page) || PageAnon(page) || PageSwapCache(page) ||
		PageFile(page));
}

static const char *kernel_name(const struct page *page)
{
	if (PageReserved(page))
		return "reserved kernel page";
	if (PageSlab(page))
		return "kernel slab page";
	return PageHead(page) || PageTail(page) ? "unsplit large page"
						: "kernel page";
}

/* PAGE, with a reference, which is dropped. */
static int lose_user_page(struct page *page)
{
	struct mf_unmap u = {NULL, false};
	enum mf_result result = MF_RECOVERED;
	u64 pfn = page_to_pfn(page);
	const char *what;
	int held, err;

	/* Batches of CPUs have references that would look like users. */
	lru_add_drain_all();
	lock_page(page);
	wait_on_page_writeback(page);
	/* Under the lock: who gets it next finds the work done (MF-3). */
	hwpoison_mark(page);
	what = lose_page(page, &u, &held);
	if (page_count(page) != 1 + held) {
		pr_err("Memory failure: 0x%llx: %s still referenced by %d "
		       "users\n",
		       LLU(pfn), what, page_count(page) - 1 - held);
		result = MF_FAILED;
	}
	err = mf_told(pfn, what, result);
	unlock_page(page);
	put_page(page);
	tell_users(u.users);
	return err;
}

/* ---- the report ------------------------------------------------------------
 */

/*
 * A reference to the block of PAGE; false: it is free, or nobody's business.
 * *TAKEN: it was free and is set aside.
 */
static bool mf_get(struct page *page, bool *taken)
{
	*taken = hwpoison_take_free(page);
	if (*taken)
		return false;
	if (get_page_unless_zero(compound_head(page)))
		return true;
	/* Between a CPU's set and the zone, or just given out. */
	*taken = hwpoison_take_free(page);
	return !*taken && get_page_unless_zero(compound_head(page));
}

static int failure_locked(struct page *page, int flags)
{
	u64 pfn = page_to_pfn(page);
	bool taken, have = (flags & MF_COUNT_INCREASED) != 0;

	if (PageHWPoison(page)) {
		if (have)
			put_page(page);
		return -EHWPOISON;
	}
	if (!have && !mf_get(page, &taken))
		return mf_told(pfn, taken ? "free buddy page" : "kernel page",
			       taken ? MF_RECOVERED : MF_IGNORED);
	if (is_user_page(page))
		return lose_user_page(page);
	/* What is never freed has no use for a mark. */
	if (!PageReserved(page) && pfn != space_sys.zero_pfn &&
	    !huge_zero_frame(pfn))
		hwpoison_mark(page);
	(void)mf_told(pfn, kernel_name(page), MF_IGNORED);
	put_page(compound_head(page));
	return -EBUSY;
}

int memory_failure(u64 pfn, int flags)
{
	struct page *page = mf_page(pfn);
	int ret;

	if (!READ_ONCE(space_sys.memory_failure_recovery))
		mm_bug("memory failure on frame 0x%llx", LLU(pfn));
	if (!page)
		return -ENXIO;
	mutex_lock(&space_sys.mf_lock);
	ret = failure_locked(page, flags);
	mutex_unlock(&space_sys.mf_lock);
	return ret;
}

int unpoison_memory(u64 pfn)
{
	struct page *page = mf_page(pfn);
	int ret = -ENXIO;

	mutex_lock(&space_sys.mf_lock);
	if (page && PageHWPoison(page)) {
		hwpoison_give_back(page);
		ret = 0;
	}
	mutex_unlock(&space_sys.mf_lock);
	return ret;
}

/* ---- a frame that is only suspect ------------------------------------------
 */

/* PAGE, with a reference, of a file: out of it, if it can be read again. */
static bool drop_file_page(struct page *page)
{
	struct address_space *mapping;
	bool gone;

	lock_page(page);
	mapping = page_mapping(page);
	if (mapping && PageFile(page) && !PageSwapBacked(page))
		(void)invalidate_inode_page2(mapping, page);
	gone = !page_mapping(page) && page_count(page) == 1;
	/* From here on nobody can find it; the mark does nobody any harm. */
	if (gone)
		hwpoison_mark(page);
	unlock_page(page);
	return gone;
}

static int soft_offline_locked(struct page *page, int flags)
{
	bool taken, have = (flags & MF_COUNT_INCREASED) != 0;
	int ret = -EBUSY;

	if (PageHWPoison(page))
		ret = -EHWPOISON;
	else if (!have && !mf_get(page, &taken))
		return taken ? 0 : -EBUSY;
	else
		have = true;
	if (ret == -EBUSY && is_user_page(page)) {
		lru_add_drain_all();
		ret = drop_file_page(page) ? 0 : -EBUSY;
		if (ret && space_sys.move_ops) {
			/* Its reference goes. */
			ret = space_sys.move_ops->soft_offline(page);
			have = false;
		}
	}
	if (have)
		put_page(compound_head(page));
	return ret;
}

int soft_offline_page(u64 pfn, int flags)
{
	struct page *page = mf_page(pfn);
	int ret;

	if (!page)
		return -ENXIO;
	mutex_lock(&space_sys.mf_lock);
	ret = soft_offline_locked(page, flags);
	mutex_unlock(&space_sys.mf_lock);
	return ret;
}

/* ---- madvise(2) ------------------------------------------------------------
 */

/* The page at ADDR, read if need be, with a reference. USER_PAGE_WAIT: after
 * the wait for UF once more. */
static int get_user_page_once(struct mm_struct *mm, uva_t addr,
			      struct page **out, struct uffd_fault *uf)
{
	struct vm_area_struct *vma;
	struct pt_slot slot;
	int err = -EFAULT;

	mmap_read_lock(mm);
	vma = find_vma(mm, addr);
	if (vma_contains(vma, addr) && (vma->vm_flags & VM_READ))
		err = user_page_lock(vma, addr, false, &slot, uf);
	if (!err) {
		*out = pfn_to_page(pte_pfn(pt_get(&slot)));
		get_page(*out);
		pt_unlock(&slot);
	}
	mmap_read_unlock(mm);
	return err;
}

static int get_user_page_at(struct mm_struct *mm, uva_t addr, struct page **out)
{
	for (;;) {
		struct uffd_fault uf;
		int err = get_user_page_once(mm, addr, out, &uf);

		if (err == USER_PAGE_WAIT && userfault_wait(&uf))
			continue;
		/* Taken away before: as any access by the kernel (LIN-6.1). */
		return err && err != -ENOMEM && err != -EINTR ? -EFAULT : err;
	}
}

int madvise_inject_error(struct mm_struct *mm, uva_t start, uva_t end,
			 bool soft)
{
	int err = 0;

	if (!mm_capable(MM_CAP_SYS_ADMIN))
		return -EPERM;
	for (uva_t at = start; at < end && !err; at += PAGE_SIZE) {
		struct page *page = NULL;

		err = get_user_page_at(mm, at, &page);
		if (err)
			return err;
		err = soft ? soft_offline_page(page_to_pfn(page),
					       MF_COUNT_INCREASED)
			   : memory_failure(page_to_pfn(page),
					    MF_COUNT_INCREASED);
	}
	return err;
}
