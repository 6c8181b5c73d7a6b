/* SPDX-License-Identifier: MIT */
/*
 * Frames that lose their contents: each kind of owner, what its users learn,
 * and that the frame is never given out again; random programs against a model
 * of what is lost; reports against faults and reclaim.
 */
#include <mmkit/memory_failure.h>

#include "base_seed.h"
#include "calls.h"
#include "filemap_machine.h"
#include "phys/hwpoison.h"
#include "shmem_machine.h"
#include "space/gup.h"
#include "space/rmap.h"

#define SIGNAL_BUS 7

/* ---- helpers ---------------------------------------------------------------
 */

/* Frames that were poisoned: given back at the end, for the audit. */
static u64 hurt[4096];
static u32 nr_hurt;

static void note(u64 pfn)
{
	for (u32 i = 0; i < nr_hurt; i++)
		if (hurt[i] == pfn)
			return;
	CHECK(nr_hurt < ARRAY_SIZE(hurt));
	hurt[nr_hurt++] = pfn;
}

static int lose(u64 pfn)
{
	note(pfn);
	return memory_failure(pfn, 0);
}

/* All that was poisoned is free and set aside; give it back. */
static void heal(void)
{
	u64 aside = phys_sys.debug.nr_set_aside;
	u32 nr = 0;

	lru_add_drain_all();
	for (u32 i = 0; i < nr_hurt; i++) {
		struct page *page = pfn_to_page(hurt[i]);

		if (!PageHWPoison(page))
			continue;
		CHECK(PageReserved(page));
		CHECK_EQ(page_count(page), 0);
		CHECK_EQ(unpoison_memory(hurt[i]), 0);
		nr++;
	}
	CHECK_EQ(num_poisoned_pages(), 0);
	CHECK_EQ(phys_sys.nr_bad_pages, 0);
	CHECK_EQ(phys_sys.debug.nr_set_aside, aside - nr);
	nr_hurt = 0;
}

static u64 pfn_at(struct mm_struct *mm, uva_t at)
{
	struct page *page = page_at(mm, at);

	CHECK(page);
	return page_to_pfn(page);
}

/* An access at AT ends in the signal that tells of lost memory. */
static bool lost_at(uva_t at, bool write)
{
	struct mm_siginfo info = {0};
	u32 code = PF_ERR_USER | (write ? PF_ERR_WRITE : 0);
	int sig = mm_user_fault_info(port_current(), at, code, &info);

	if (!sig)
		return false;
	CHECK_EQ(sig, SIGNAL_BUS);
	CHECK_EQ(info.code, MM_BUS_MCEERR_AR);
	CHECK_EQ(info.addr, at);
	CHECK_EQ(info.addr_lsb, PAGE_SHIFT);
	return true;
}

/* All free memory is taken, and frame PFN is not among it. */
static void never_given_out(u64 pfn)
{
	struct page *page, *all = NULL;
	u64 seen = 0;

	drain_all_pages();
	while ((page = alloc_pages(GFP_NOWAIT | __GFP_NOWARN, 0))) {
		seen += page_to_pfn(page) == pfn;
		set_page_mapping_word(page, (u64)(uintptr_t)all);
		all = page;
	}
	while (all) {
		page = all;
		all = (struct page *)(uintptr_t)page_mapping_word(page);
		set_page_mapping_word(page, 0);
		__free_pages(page, 0);
	}
	CHECK_EQ(seen, 0);
}

/* ---- free frames, the kernel's, and none -----------------------------------
 */

static int frames_body(void *arg)
{
	struct page *page;
	u64 pfn, free;
	void *object;

	(void)arg;
	CHECK_EQ(memory_failure(phys_sys.hot.max_pfn, 0), -ENXIO);
	CHECK_EQ(soft_offline_page(~0UL, 0), -ENXIO);
	CHECK_EQ(unpoison_memory(~0UL), -ENXIO);
	/* Free, in the zone and on a CPU's stack. */
	page = alloc_pages(GFP_KERNEL, 0);
	CHECK(page);
	pfn = page_to_pfn(page);
	CHECK_EQ(unpoison_memory(pfn), -ENXIO);
	__free_pages(page, 0);
	CHECK_EQ(lose(pfn), 0);
	CHECK(PageHWPoison(page) && PageReserved(page));
	CHECK_EQ(lose(pfn), -EHWPOISON);
	CHECK_EQ(soft_offline_page(pfn, 0), -EHWPOISON);
	CHECK_EQ(num_poisoned_pages(), 1);
	never_given_out(pfn);
	heal();
	page = alloc_pages(GFP_KERNEL, 4);
	CHECK(page);
	pfn = page_to_pfn(page);
	__free_pages(page, 4);
	drain_all_pages();
	free = nr_free_pages();
	CHECK_EQ(lose(pfn), 0);
	CHECK_EQ(lose(pfn + 9), 0);
	CHECK_EQ(num_poisoned_pages(), 2);
	CHECK_EQ(nr_free_pages(), free - 2);
	never_given_out(pfn);
	never_given_out(pfn + 9);
	phys_check();
	heal();
	/* In use by the kernel: nothing can be done until it is free. */
	page = alloc_pages(GFP_KERNEL, 0);
	pfn = page_to_pfn(page);
	CHECK_EQ(lose(pfn), -EBUSY);
	CHECK(!PageReserved(page));
	CHECK_EQ(page_count(page), 1);
	CHECK_EQ(soft_offline_page(pfn, 0), -EHWPOISON);
	__free_pages(page, 0);
	never_given_out(pfn);
	CHECK_EQ(unpoison_memory(pfn), 0);
	page = alloc_pages(GFP_KERNEL, 0);
	CHECK_EQ(memory_failure(page_to_pfn(page), 0), -EBUSY);
	CHECK_EQ(unpoison_memory(page_to_pfn(page)), 0);
	__free_pages(page, 0);
	/* Blocks: the other frames become free. */
	drain_all_pages();
	free = nr_free_pages();
	page = alloc_pages(GFP_KERNEL | __GFP_COMP, 3);
	CHECK(page);
	pfn = page_to_pfn(page) + 5;
	CHECK_EQ(lose(pfn), -EBUSY);
	CHECK_EQ(lose(pfn - 5), -EBUSY);
	__free_pages(page, 3);
	drain_all_pages();
	CHECK_EQ(phys_sys.debug.nr_set_aside, 2);
	CHECK_EQ(nr_free_pages() + 2, free);
	never_given_out(pfn);
	heal();
	page = alloc_pages(GFP_KERNEL, 2);
	CHECK_EQ(lose(page_to_pfn(page)), -EBUSY);
	/* A frame in a block that is not compound has no owner to be found. */
	CHECK_EQ(memory_failure(page_to_pfn(page) + 1, 0), -EBUSY);
	CHECK(!PageHWPoison(page + 1));
	__free_pages(page, 2);
	never_given_out(page_to_pfn(page));
	heal();
	/* Slabs, and what is never freed. */
	object = kmalloc(100, GFP_KERNEL);
	CHECK(object);
	pfn = page_to_pfn(compound_head(view_to_page(object)));
	CHECK_EQ(memory_failure(pfn, 0), -EBUSY);
	CHECK_EQ(unpoison_memory(pfn), 0);
	kfree(object);
	CHECK_EQ(memory_failure(space_sys.zero_pfn, 0), -EBUSY);
	CHECK(!PageHWPoison(pfn_to_page(space_sys.zero_pfn)));
	CHECK_EQ(nr_hurt, 0);
	CHECK_EQ(phys_sys.nr_bad_pages, 0);
	return 0;
}

static void frames(void **state)
{
	(void)state;
	TM_RUN(frames_body);
}

/* ---- anonymous memory ------------------------------------------------------
 */

static int anon_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child, *late;
	uva_t p = tm_map(mm, 8);
	u64 pfn, rss;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(do_mlock(mm, p + P(6), P(1), 0), 0);
	for (u64 i = 0; i < 8; i++)
		tm_store(p + P(i), 100 + i);
	CHECK_EQ(mm_fork(mm, &child), 0);
	pfn = pfn_at(mm, p + P(2));
	rss = mm_counter_get(mm, MM_ANONPAGES);
	CHECK_EQ(lose(pfn), 0);
	CHECK_EQ(mm_counter_get(mm, MM_ANONPAGES), rss - 1);
	CHECK(is_hwpoison_entry(pte_to_swp_entry(tm_pte(mm, p + P(2)))));
	CHECK(lost_at(p + P(2), false) && lost_at(p + P(2), true));
	/* A copy of the loss, and the loss alone. */
	tm_use(child);
	CHECK(lost_at(p + P(2), true));
	CHECK_EQ(tm_load(p + P(3)), 103);
	mm_check(child);
	/* Of a child that is born after it, too. */
	CHECK_EQ(mm_fork(child, &late), 0);
	tm_use(late);
	CHECK(lost_at(p + P(2), false));
	CHECK_EQ(tm_load(p + P(1)), 101);
	mm_check(late);
	tm_use(child);
	mm_put(late);
	/* The kernel's own look, populating, and mincore(2). */
	tm_use(mm);
	CHECK_EQ(do_madvise(mm, p, P(8), MADV_POPULATE_READ), -EHWPOISON);
	CHECK_EQ(sim_copy_from_user(&rss, p + P(2), 8), SIGNAL_BUS);
	CHECK_EQ(do_mprotect(mm, p, P(8), PROT_READ), 0);
	CHECK_EQ(do_mprotect(mm, p, P(8), TM_RW), 0);
	CHECK_EQ(do_mremap(mm, p + P(2), P(1), P(1),
			   MREMAP_MAYMOVE | MREMAP_FIXED, p + P(20)),
		 (s64)(p + P(20)));
	CHECK(lost_at(p + P(20), false));
	/* Forgotten with the contents. */
	CHECK_EQ(do_madvise(mm, p + P(20), P(1), MADV_DONTNEED), 0);
	CHECK_EQ(tm_load(p + P(20)), 0);
	tm_use(child);
	CHECK_EQ(do_madvise(child, p + P(2), P(1), MADV_FREE), 0);
	CHECK_EQ(tm_load(p + P(2)), 0);
	tm_use(mm);
	/* Locked memory is not spared. */
	CHECK_EQ(lose(pfn_at(mm, p + P(6))), 0);
	CHECK(lost_at(p + P(6), false));
	CHECK_EQ(global_zone_page_state(NR_MLOCK), 0);
	mm_check(mm);
	mm_put(child);
	mm_put(mm);
	tm_use(NULL);
	heal();
	return 0;
}

static void anon(void **state)
{
	(void)state;
	TM_RUN(anon_body, .swap_pages = 256);
}

/* A page that somebody holds is not gone until that one lets go. */
static int held_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 2);
	struct page *page;

	(void)arg;
	tm_use(mm);
	tm_store(p, 1);
	page = page_at(mm, p);
	get_page(page);
	CHECK_EQ(lose(page_to_pfn(page)), -EBUSY);
	CHECK(lost_at(p, true));
	CHECK(!PageReserved(page));
	put_page(page);
	CHECK(PageReserved(page) && PageHWPoison(page));
	never_given_out(page_to_pfn(page));
	mm_put(mm);
	tm_use(NULL);
	heal();
	return 0;
}

static void held(void **state)
{
	(void)state;
	TM_RUN(held_body);
}

/* ---- the swap cache --------------------------------------------------------
 */

static int swapcache_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	uva_t p = tm_map(mm, 4);
	struct page *page;
	u64 swaps;

	(void)arg;
	tm_use(mm);
	for (u64 i = 0; i < 4; i++)
		tm_store(p + P(i), 7 + i);
	/* Clean: swap has it. Two sharers keep it in the cache. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	tm_swap_out(mm, p);
	CHECK_EQ(tm_load(p), 7);
	page = page_at(mm, p);
	CHECK(PageSwapCache(page) && !PageDirty(page));
	swaps = mm_counter_get(mm, MM_SWAPENTS);
	CHECK_EQ(lose(page_to_pfn(page)), 0);
	CHECK(PageReserved(page));
	CHECK_EQ(mm_counter_get(mm, MM_SWAPENTS), swaps + 1);
	CHECK_EQ(tm_load(p), 7);
	tm_use(child);
	CHECK_EQ(tm_load(p), 7);
	tm_use(mm);
	/* Dirty, one entry to the frame, one to the slot. */
	page = page_at(mm, p + P(1));
	get_page(page);
	lru_add_drain_all();
	lock_page(page);
	CHECK(add_to_swap(page));
	CHECK(try_to_unmap(page));
	unlock_page(page);
	CHECK_EQ(tm_load(p + P(1)), 8);
	CHECK(pte_swap(tm_pte(child, p + P(1))));
	put_page(page);
	CHECK_EQ(lose(page_to_pfn(page)), 0);
	CHECK(!PageReserved(page));
	CHECK(lost_at(p + P(1), false));
	tm_use(child);
	CHECK(lost_at(p + P(1), false) && lost_at(p + P(1), true));
	CHECK(pte_in_swap(tm_pte(child, p + P(1))));
	/* Reclaim does not take it for clean. */
	CHECK(!tm_reclaim_one(child, p + P(1)));
	CHECK(lost_at(p + P(1), false));
	tm_check_all();
	CHECK_EQ(do_munmap(child, p + P(1), P(1)), 0);
	CHECK(PageReserved(page));
	mm_put(child);
	mm_put(mm);
	tm_use(NULL);
	heal();
	return 0;
}

static void swapcache(void **state)
{
	(void)state;
	TM_RUN(swapcache_body, .swap_pages = 256);
}

/* ---- files -----------------------------------------------------------------
 */

static uva_t map_file(struct mm_struct *mm, struct file *f, u64 pages,
		      int flags)
{
	struct mm_mmap r = {0, P(pages), TM_RW, flags, f, 0};
	s64 at = do_mmap_file(mm, &r);

	CHECK(at > 0);
	return (uva_t)at;
}

static int file_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(4);
	struct file *f = file_open(&fi->inode, SH_RW, 0, "/test/f");
	struct mm_struct *mm = tm_mm();
	uva_t s, p;
	u64 pfn, reads;

	(void)arg;
	CHECK(f);
	for (u64 i = 0; i < 4; i++)
		memset(fi->store + P(i), (int)(i + 1), PAGE_SIZE);
	tm_use(mm);
	s = map_file(mm, f, 4, MAP_SHARED);
	p = map_file(mm, f, 4, MAP_PRIVATE);
	/* Clean: read again, and nobody notices; locked or not. */
	CHECK_EQ(tm_load(s), 0x0101010101010101UL);
	CHECK_EQ(do_mlock(mm, p, P(1), 0), 0);
	pfn = pfn_at(mm, s);
	reads = fi->reads;
	CHECK_EQ(lose(pfn), 0);
	CHECK(PageReserved(pfn_to_page(pfn)));
	CHECK(pte_none(tm_pte(mm, s)));
	CHECK_EQ(tm_load(s), 0x0101010101010101UL);
	CHECK(fi->reads > reads);
	CHECK(pfn_at(mm, s) != pfn);
	CHECK_EQ(file_check_and_advance_wb_err(f), 0);
	/* Dirty through a mapping: lost to it; the file has what was written
	 * last, and an error to tell once. */
	tm_store(s + P(1), 99);
	CHECK_EQ(tm_load(p + P(1)), 99);
	CHECK_EQ(lose(pfn_at(mm, s + P(1))), 0);
	CHECK(lost_at(s + P(1), true) && lost_at(p + P(1), false));
	CHECK_EQ(file_check_and_advance_wb_err(f), -EIO);
	CHECK_EQ(file_check_and_advance_wb_err(f), 0);
	CHECK_EQ(do_munmap(mm, s + P(1), P(1)), 0);
	CHECK_EQ(do_madvise(mm, p + P(1), P(1), MADV_DONTNEED), 0);
	CHECK_EQ(tm_load(p + P(1)), 0x0202020202020202UL);
	CHECK_EQ(global_node_page_state(NR_FILE_DIRTY), 0);
	/* Suspect only. */
	CHECK_EQ(tm_load(s + P(2)), 0x0303030303030303UL);
	note(pfn_at(mm, s + P(2)));
	CHECK_EQ(soft_offline_page(pfn_at(mm, s + P(2)), 0), 0);
	CHECK_EQ(tm_load(s + P(2)), 0x0303030303030303UL);
	tm_store(s + P(3), 5);
	/* Not to be read again: it moves. */
	pfn = pfn_at(mm, s + P(3));
	note(pfn);
	CHECK_EQ(soft_offline_page(pfn, 0), 0);
	CHECK(PageReserved(pfn_to_page(pfn)));
	CHECK_EQ(tm_load(s + P(3)), 5);
	CHECK(pfn_at(mm, s + P(3)) != pfn);
	mm_check(mm);
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	fm_inode_drop(fi);
	heal();
	return 0;
}

static void file(void **state)
{
	(void)state;
	TM_RUN(file_body);
}

static int shmem_body(void *arg)
{
	struct super_block *sb = sh_mount(0, 0);
	struct file *f = sh_file(sb, SH_RW);
	struct mm_struct *mm = tm_mm();
	char c = 1;
	uva_t s, t;

	(void)arg;
	tm_use(mm);
	for (u64 i = 0; i < 4; i++)
		CHECK_EQ(sh_write(f, &c, 1, P(i)), 1);
	s = map_file(mm, f, 4, MAP_SHARED);
	t = map_file(mm, f, 4, MAP_PRIVATE);
	CHECK_EQ(tm_load(s + P(1)), 1);
	CHECK_EQ(lose(pfn_at(mm, s + P(1))), 0);
	/* Mapped, to be mapped, read, written, filled: all learn it. */
	CHECK(lost_at(s + P(1), true) && lost_at(t + P(1), true));
	CHECK_EQ(sh_read(f, &c, 1, P(1)), -EIO);
	CHECK_EQ(sh_write(f, &c, 1, P(1)), -EIO);
	CHECK_EQ(vfs_fallocate(f, 0, 0, P(4)), -EIO);
	note(pfn_at(mm, s));
	CHECK_EQ(soft_offline_page(pfn_at(mm, s), 0), 0);
	CHECK_EQ(sh_byte(f, 0), 1);
	shmem_check();
	/* A hole, and there is memory again. */
	CHECK_EQ(vfs_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       P(1), P(1)),
		 0);
	CHECK(PageReserved(pfn_to_page(hurt[0])));
	CHECK_EQ(sh_byte(f, P(1)), 0);
	/* On its way to swap. */
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	CHECK_EQ(shmem_umount(sb), 0);
	heal();
	return 0;
}

static void shmem(void **state)
{
	(void)state;
	TM_RUN(shmem_body, .swap_pages = 256);
}

/* ---- madvise(2), prctl(2) --------------------------------------------------
 */

static struct {
	struct mm_task *task;
	struct mm_siginfo info;
	int nr;
} told;

static void tell(struct mm_task *task, const struct mm_siginfo *info)
{
	told.task = task;
	told.info = *info;
	told.nr++;
}

static const struct memory_failure_ops telling = {.signal = tell};

static int calls_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 8);

	(void)arg;
	tm_use(mm);
	REFUSED(mm, do_madvise(mm, p, P(1), MADV_HWPOISON), -EPERM);
	port_current()->caps = MM_CAP_SYS_ADMIN;
	REFUSED(mm, do_madvise(mm, p + 1, P(1), MADV_HWPOISON), -EINVAL);
	REFUSED(mm, do_madvise(mm, p + P(9), P(1), MADV_HWPOISON), -EFAULT);
	REFUSED(mm, do_madvise(mm, p + P(9), P(1), MADV_SOFT_OFFLINE), -EFAULT);
	for (u64 i = 0; i < 8; i++) {
		tm_store(p + P(i), i);
		if (i < 6)
			note(pfn_at(mm, p + P(i)));
	}
	CHECK_EQ(do_madvise(mm, p, P(2), MADV_HWPOISON), 0);
	CHECK(lost_at(p, false) && lost_at(p + P(1), false));
	CHECK_EQ(tm_load(p + P(2)), 2);
	CHECK_EQ(do_madvise(mm, p + P(2), P(1), MADV_SOFT_OFFLINE), 0);
	CHECK_EQ(tm_load(p + P(2)), 2);
	note(pfn_at(mm, p + P(2)));
	/* At once, for who wants it. */
	CHECK_EQ(mm_mce_kill_get(), PR_MCE_KILL_DEFAULT);
	CHECK_EQ(mm_mce_kill_set(3), -EINVAL);
	CHECK_EQ(mm_mce_kill_set(-1), -EINVAL);
	memory_failure_set_ops(&telling);
	mm_task_register(port_current(), "main");
	told.nr = 0;
	CHECK_EQ(do_madvise(mm, p + P(2), P(1), MADV_HWPOISON), 0);
	CHECK_EQ(told.nr, 0);
	CHECK_EQ(mm_mce_kill_set(PR_MCE_KILL_EARLY), 0);
	CHECK_EQ(mm_mce_kill_get(), PR_MCE_KILL_EARLY);
	CHECK_EQ(do_madvise(mm, p + P(3), P(1), MADV_HWPOISON), 0);
	CHECK_EQ(told.nr, 1);
	CHECK(told.task == port_current());
	CHECK_EQ(told.info.signo, SIGNAL_BUS);
	CHECK_EQ(told.info.code, MM_BUS_MCEERR_AO);
	CHECK_EQ(told.info.addr, p + P(3));
	CHECK_EQ(told.info.addr_lsb, PAGE_SHIFT);
	space_sys.memory_failure_early_kill = 1;
	CHECK_EQ(mm_mce_kill_set(PR_MCE_KILL_LATE), 0);
	CHECK_EQ(mm_mce_kill_get(), PR_MCE_KILL_LATE);
	CHECK_EQ(do_madvise(mm, p + P(4), P(1), MADV_HWPOISON), 0);
	CHECK_EQ(told.nr, 1);
	CHECK_EQ(mm_mce_kill_set(PR_MCE_KILL_DEFAULT), 0);
	CHECK_EQ(do_madvise(mm, p + P(5), P(1), MADV_HWPOISON), 0);
	CHECK_EQ(told.nr, 2);
	memory_failure_set_ops(NULL);
	mm_task_unregister(port_current());
	port_current()->caps = 0;
	mm_check(mm);
	mm_put(mm);
	tm_use(NULL);
	heal();
	return 0;
}

static void calls(void **state)
{
	(void)state;
	TM_RUN(calls_body);
}

/* ---- random programs -------------------------------------------------------
 */

#define PAGES 24u

enum area { ANON, SHARED, DISK, NR_AREAS };

struct model {
	struct mm_struct *mm;
	struct prng rng;
	struct fm_inode *fi;
	struct file *disk, *shm;
	uva_t at[NR_AREAS];
	u64 value[NR_AREAS][PAGES];
	bool lost[NR_AREAS][PAGES];
	u64 nr_lost, nr_kept;
};

/* An access; the model says whether it may end in the signal. */
static void use_page(struct model *m, u32 a, u32 i)
{
	uva_t va = m->at[a] + P(i);
	bool write = prng_below(&m->rng, 2) != 0;
	u64 v = prng_u64(&m->rng) | 1;
	int sig;

	if (write)
		sig = sim_copy_to_user(va, &v, 8);
	else
		sig = sim_copy_from_user(&v, va, 8);
	CHECK_EQ(sig, m->lost[a][i] ? SIGNAL_BUS : 0);
	if (sig)
		return;
	if (write)
		m->value[a][i] = v;
	else
		CHECK_EQ(v, m->value[a][i]);
}

/* Its frame loses the contents. Are they elsewhere? */
static void hurt_page(struct model *m, u32 a, u32 i)
{
	uva_t va = m->at[a] + P(i);
	struct page *page;
	bool kept;

	if (m->lost[a][i] || !page_at(m->mm, va))
		return;
	page = page_at(m->mm, va);
	if (page_to_pfn(page) == space_sys.zero_pfn)
		return;
	lru_add_drain_all();
	wait_on_page_writeback(page);
	if (!page_at(m->mm, va))
		return;
	kept = (a == DISK || PageSwapCache(page)) && a != SHARED &&
	       !PageDirty(page) && !pte_dirty(tm_pte(m->mm, va));
	CHECK_EQ(lose(page_to_pfn(page)), 0);
	if (kept)
		m->nr_kept++;
	else
		m->nr_lost++;
	m->lost[a][i] = !kept;
}

/* What is lost is let go: zeroes, or what the disk has. */
static void renew_page(struct model *m, u32 a, u32 i)
{
	uva_t va = m->at[a] + P(i);

	if (!m->lost[a][i])
		return;
	if (a == SHARED)
		CHECK_EQ(vfs_fallocate(m->shm,
				       FALLOC_FL_PUNCH_HOLE |
					       FALLOC_FL_KEEP_SIZE,
				       (s64)P(i), PAGE_SIZE),
			 0);
	CHECK_EQ(do_madvise(m->mm, va, PAGE_SIZE, MADV_DONTNEED), 0);
	m->lost[a][i] = false;
	m->value[a][i] = 0;
	if (a == DISK)
		memcpy(&m->value[a][i], m->fi->store + P(i), 8);
}

static void push_page(struct model *m, u32 a, u32 i)
{
	int err = 0;

	if (a == DISK)
		err = filemap_write_and_wait_range(m->disk->f_mapping, P(i),
						   P(i + 1) - 1);
	/* What was lost dirty is an error to tell. */
	CHECK(!err || (err == -EIO && m->nr_lost > 0));
	(void)do_madvise(m->mm, m->at[a] + P(i), PAGE_SIZE, MADV_PAGEOUT);
	if (prng_below(&m->rng, 2))
		port_park(1000 * 1000);
}

static void step(struct model *m)
{
	u32 a = (u32)prng_below(&m->rng, NR_AREAS);
	u32 i = (u32)prng_below(&m->rng, PAGES);

	switch (prng_below(&m->rng, 12)) {
	case 0:
		hurt_page(m, a, i);
		break;
	case 1:
		renew_page(m, a, i);
		break;
	case 2:
	case 3:
		push_page(m, a, i);
		break;
	default:
		use_page(m, a, i);
	}
}

static void model_files(struct model *m, struct super_block *sb)
{
	m->fi = fm_inode_new(PAGES);
	m->disk = file_open(&m->fi->inode, SH_RW, 0, "/test/disk");
	CHECK(m->disk);
	m->shm = sh_file(sb, SH_RW);
	CHECK_EQ(vfs_fallocate(m->shm, 0, 0, P(PAGES)), 0);
	m->at[ANON] = tm_map(m->mm, PAGES);
	m->at[SHARED] = map_file(m->mm, m->shm, PAGES, MAP_SHARED);
	m->at[DISK] = map_file(m->mm, m->disk, PAGES, MAP_SHARED);
}

static int model_body(void *arg)
{
	static struct model m;
	struct super_block *sb = sh_mount(0, 0);
	u64 n = test_iters(tm_soak() ? 20000 : 1500);

	m = (struct model){.mm = tm_mm()};
	prng_seed(&m.rng, *(u64 *)arg);
	tm_use(m.mm);
	model_files(&m, sb);
	for (u64 k = 0; k < n; k++) {
		step(&m);
		if (nr_hurt < 3000 && k % 256)
			continue;
		mm_check(m.mm);
		tm_check_all();
		shmem_check();
		for (u32 a = 0; a < NR_AREAS; a++)
			for (u32 i = 0; i < PAGES; i++)
				renew_page(&m, a, i);
		heal();
	}
	CHECK(m.nr_lost > 5 && m.nr_kept > 0);
	mm_put(m.mm);
	tm_use(NULL);
	fput(m.disk);
	fput(m.shm);
	fm_inode_drop(m.fi);
	CHECK_EQ(shmem_umount(sb), 0);
	heal();
	return 0;
}

static void model(void **state)
{
	u64 seed = test_env("SEED", 1), n = tm_soak() ? 50 : 4;

	(void)state;
	for (u64 k = 0; k < n; k++, seed++) {
		fprintf(stderr, "model: SEED=%llu\n", (unsigned long long)seed);
		TM_RUN(model_body, .arg = &seed, .seed = seed,
		       .swap_pages = 512);
	}
}

/* ---- reports against faults and reclaim ------------------------------------
 */

#define RACE_PAGES 6u

static struct {
	struct mm_struct *mm;
	uva_t at;
	struct port_thread *threads[3];
	int running;
} race;

static void race_user(void *arg)
{
	u64 n = (u64)(uintptr_t)arg;

	mm_task_attach(port_current(), race.mm);
	for (u64 k = 0; k < 60; k++) {
		uva_t va = race.at + P((k * (n + 1)) % RACE_PAGES);
		u64 v = 0;
		int sig = k % 3 ? sim_copy_from_user(&v, va + n * 8, 8) : 0;

		CHECK(sig == 0 || sig == SIGNAL_BUS);
		/* One's own word, or the zeroes of a page let go. */
		CHECK(!v || v == n + 1);
		v = n + 1;
		sig = sim_copy_to_user(va + n * 8, &v, 8);
		if (sig)
			(void)do_madvise(race.mm, va, PAGE_SIZE, MADV_DONTNEED);
		if (k % 7 == n)
			(void)do_madvise(race.mm, va, PAGE_SIZE, MADV_PAGEOUT);
	}
	mm_task_exit(port_current());
	__atomic_fetch_sub(&race.running, 1, __ATOMIC_RELEASE);
}

static int race_body(void *arg)
{
	(void)arg;
	race.mm = tm_mm();
	race.at = tm_map(race.mm, RACE_PAGES);
	race.running = 2;
	for (u64 n = 0; n < 2; n++)
		CHECK_EQ(sim_thread_start_on(&race.threads[n], "user",
					     (int)n + 1, race_user,
					     (void *)(uintptr_t)n),
			 0);
	for (u64 k = 0; __atomic_load_n(&race.running, __ATOMIC_ACQUIRE); k++) {
		pte_t e = tm_pte(race.mm, race.at + P(k % RACE_PAGES));

		if (pte_present(e) && !pte_special(e) && nr_hurt < 40)
			(void)lose(pte_pfn(e));
		port_park(20 * 1000);
	}
	for (u64 n = 0; n < 2; n++)
		port_thread_join(race.threads[n]);
	mm_check(race.mm);
	mm_put(race.mm);
	for (int i = 0; i < 4; i++) {
		port_park(5 * 1000 * 1000);
		tm_visit_cpus();
		epoch_drain();
	}
	books_drop_orphans();
	heal();
	return 0;
}

static void races(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 10000 : 60);

	(void)state;
	for (u64 k = 0; k < n; k++, seed++) {
		snprintf(tm_context, sizeof(tm_context), "SEED=%llu",
			 (unsigned long long)seed);
		TM_RUN(race_body, .cpus = 3, .seed = seed, .explore = true,
		       .swap_pages = 256);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames), cmocka_unit_test(anon),
		cmocka_unit_test(held),	  cmocka_unit_test(swapcache),
		cmocka_unit_test(file),	  cmocka_unit_test(shmem),
		cmocka_unit_test(calls),  cmocka_unit_test(model),
		cmocka_unit_test(races),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
