/* SPDX-License-Identifier: MIT */
/*
 * Pages that move to other frames: each kind with contents, state and counters
 * before and after; who holds a page; frames that are not to be had; entries
 * that fork, mprotect, mremap and munmap meet on the way; threads under
 * explored schedules.
 */
#include <mmkit/flatfile.h>
#include <mmkit/uaccess.h>

#include "calls.h"
#include "filemap_machine.h"
#include "shmem_machine.h"

#define MGR_LOAD(to, va, len)	 sim_copy_from_user(to, va, len)
#define MGR_STORE(va, from, len) sim_copy_to_user(va, from, len)
#include "migrate_race.h"
#include "phys/movable_ops.h"
#include "space/rmap.h"
#include "trace_ears.h"

/* ---- helpers ---------------------------------------------------------------
 */

static struct migrate_target anywhere = {
	.nid = NUMA_NO_NODE,
	.nodes = NODE_MASK_ALL,
	.gfp = __GFP_NOWARN,
};

/* Move PAGE; what migrate_pages() says. *WHY, if asked: of this page. */
static int last_err;

static void note_err(struct page *page, int err, void *arg)
{
	(void)page;
	(void)arg;
	last_err = err;
}

static int move_mode(struct page *page, enum migrate_mode mode)
{
	struct migrate_control mc = {
		.get_new = migrate_new_page,
		.done = note_err,
		.arg = &anywhere,
		.mode = mode,
		.reason = MR_SYSCALL,
	};
	struct page_list list;
	int left;

	page_list_init(&list);
	lru_add_drain_all();
	last_err = 1;
	get_page(page);
	left = isolate_movable_page(page, mode);
	put_page(page);
	if (left)
		return left;
	page_list_add(&list, page);
	left = migrate_pages(&list, &mc);
	CHECK_EQ(left ? left == -ENOMEM || left == (int)list.count
		      : page_list_empty(&list),
		 1);
	putback_movable_pages(&list);
	lru_add_drain_all();
	return left ? last_err : 0;
}

static int move(struct page *page)
{
	return move_mode(page, MIGRATE_SYNC);
}

static void fill(uva_t at, u64 pages, u64 seed)
{
	for (u64 i = 0; i < pages * 8; i++)
		tm_store(at + i * (PAGE_SIZE / 8), seed + i);
}

static void expect(uva_t at, u64 pages, u64 seed)
{
	for (u64 i = 0; i < pages * 8; i++)
		CHECK_EQ(tm_load(at + i * (PAGE_SIZE / 8)), seed + i);
}

/* What does not change when pages move. */
struct figures {
	u64 anon, file, mlock, nr_file, shmem, swapcache, dirty, lru[5];
	u64 charged, free;
};

static struct figures figures(void)
{
	struct figures f = {
		.anon = global_node_page_state(NR_ANON_MAPPED),
		.file = global_node_page_state(NR_FILE_MAPPED),
		.mlock = global_zone_page_state(NR_MLOCK),
		.nr_file = global_node_page_state(NR_FILE_PAGES),
		.shmem = global_node_page_state(NR_SHMEM),
		.swapcache = global_node_page_state(NR_SWAPCACHE),
		.dirty = global_node_page_state(NR_FILE_DIRTY),
	};

	lru_add_drain_all();
	for (int l = 0; l < 5; l++)
		f.lru[l] = node_lru_pages(NODE_DATA(0), (enum lru_list)l);
	f.charged = root_charged_pages();
	drain_all_pages();
	f.free = nr_free_pages();
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_FILE), 0);
	return f;
}

static void same_figures(struct figures a)
{
	struct figures b = figures();

	CHECK_EQ(memcmp(&a, &b, sizeof(a)), 0);
}

/* The page at AT moves, and everything but its frame is as before. */
static struct page *move_at(struct mm_struct *mm, uva_t at)
{
	struct page *old = page_at(mm, at), *new;
	u32 keep = ~(1u << PG_waiters), flags = old->flags & keep;
	u64 ok = sum_vm_event(PGMIGRATE_SUCCESS);
	int mapped = page_mapcount(old);
	struct figures f = figures();
	pte_t e = tm_pte(mm, at);

	flags = old->flags & keep;
	CHECK_EQ(move(old), 0);
	new = page_at(mm, at);
	CHECK(new &&new != old);
	CHECK_EQ(page_count(old), 0);
	CHECK_EQ(page_mapcount(new), mapped);
	/* What the entry knew of writes is the page's now, too. */
	if (pte_dirty(e))
		flags |= 1u << PG_dirty;
	CHECK_EQ(new->flags &keep, flags);
	CHECK_EQ(pte_write(tm_pte(mm, at)), pte_write(e));
	CHECK_EQ(pte_soft_dirty(tm_pte(mm, at)), pte_soft_dirty(e));
	CHECK_EQ(pte_young(tm_pte(mm, at)), pte_young(e));
	CHECK_EQ(pte_dirty(tm_pte(mm, at)), pte_dirty(e));
	CHECK_EQ(sum_vm_event(PGMIGRATE_SUCCESS), ok + 1);
	same_figures(f);
	mm_check(mm);
	return new;
}

/* ---- each kind -------------------------------------------------------------
 */

static int anon_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	uva_t at;

	(void)arg;
	tm_use(mm);
	at = tm_map(mm, 8);
	fill(at, 8, 100);
	move_at(mm, at);
	expect(at, 8, 100);
	/* It may be written without a fault, as before. */
	CHECK(pte_write(tm_pte(mm, at)));
	fill(at, 1, 100);
	/* Two spaces, one page. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	move_at(mm, at + PAGE_SIZE);
	CHECK_EQ(page_at(mm, at + PAGE_SIZE) == page_at(child, at + PAGE_SIZE),
		 1);
	fill(at, 8, 500);
	mm_get(mm);
	tm_use(child);
	expect(at, 8, 100);
	move_at(child, at);
	expect(at, 8, 100);
	tm_use(mm);
	expect(at, 8, 500);
	mm_put(mm);
	mm_put(child);
	/* Locked memory moves, and stays locked. */
	CHECK_EQ(do_mlock(mm, at, 2 * PAGE_SIZE, 0), 0);
	CHECK(PageMlocked(move_at(mm, at)));
	expect(at, 8, 500);
	/* No access at all. */
	CHECK_EQ(do_mprotect(mm, at + P(3), PAGE_SIZE, PROT_NONE), 0);
	move_at(mm, at + P(3));
	CHECK_EQ(do_mprotect(mm, at + P(3), PAGE_SIZE, TM_RW), 0);
	expect(at, 8, 500);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

/* A page of a file of either kind, mapped and not. */
static void file_moves(struct mm_struct *mm, struct file *file, bool memory)
{
	const struct mm_mmap r = {
		.len = P(4), .prot = TM_RW, .flags = MAP_SHARED, .file = file};
	struct address_space *mapping = file->f_mapping;
	uva_t at = (uva_t)do_mmap_file(mm, &r);
	struct page *page;
	u64 v, pos = P(1);

	fill(at, 4, 7);
	move_at(mm, at);
	expect(at, 4, 7);
	/* What is written through the entry reaches who reads the file. */
	tm_store(at + P(1), 4711);
	page = move_at(mm, at + P(1));
	CHECK_EQ(kernel_read(file, &v, sizeof(v), &pos), sizeof(v));
	CHECK_EQ(v, 4711);
	CHECK(PageDirty(page));
	CHECK_EQ(page_mapping(page) == mapping, 1);
	CHECK_EQ(do_munmap(mm, at, P(4)), 0);
	/* Mapped by nobody. */
	page = find_get_page(mapping, 1);
	put_page(page);
	CHECK_EQ(move(page), 0);
	CHECK_EQ(page_count(page), 0);
	page = find_get_page(mapping, 1);
	CHECK(PageUptodate(page));
	/* Ours is one too many. */
	CHECK_EQ(move(page), -EAGAIN);
	put_page(page);
	pos = P(1);
	CHECK_EQ(kernel_read(file, &v, sizeof(v), &pos), sizeof(v));
	CHECK_EQ(v, 4711);
	if (!memory)
		CHECK_EQ(vfs_fsync_range(file, 0, INT64_MAX, false), 0);
	mapping_check(mapping);
}

static int file_body(void *arg)
{
	struct port_bdev *disk = tm_disk(8);
	struct super_block sb = {
		.s_dev = 5, .s_id = "t", .s_maxbytes = MAX_LFS_FILESIZE};
	struct mm_struct *mm = tm_mm();
	struct inode *inode;
	struct file *file;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(flatfile_new(&sb, disk, 1, S_IFREG | 0600, &inode), 0);
	file = file_open(inode, FMODE_READ | FMODE_WRITE, 0, "/f");
	CHECK(file);
	file_moves(mm, file, false);
	fput(file);
	iput(inode);
	file = memfd_create_file("m", 0);
	CHECK(!IS_ERR(file));
	CHECK_EQ(shmem_truncate(file->f_inode, P(4)), 0);
	file_moves(mm, file, true);
	fput(file);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

/* A file that does not say how its pages move: dirty ones are written first. */
static int fallback_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(4);
	struct file *file =
		file_open(&fi->inode, FMODE_READ | FMODE_WRITE, 0, "/fm");
	u64 v = 77, pos = 0, writes;
	struct page *page;

	(void)arg;
	CHECK_EQ(kernel_write(file, &v, sizeof(v), &pos), sizeof(v));
	page = find_get_page(&fi->inode.i_data, 0);
	put_page(page);
	CHECK(PageDirty(page));
	CHECK_EQ(move_mode(page, MIGRATE_ASYNC), -EBUSY);
	CHECK_EQ(move_mode(page, MIGRATE_SYNC_LIGHT), -EBUSY);
	CHECK(PageDirty(page));
	writes = fi->writes;
	CHECK_EQ(move_mode(page, MIGRATE_SYNC), 0);
	CHECK_EQ(fi->writes, writes + 1);
	CHECK_EQ(page_count(page), 0);
	/* One that cannot be written stays, and is not lost. */
	pos = P(1);
	CHECK_EQ(kernel_write(file, &v, sizeof(v), &pos), sizeof(v));
	page = find_get_page(&fi->inode.i_data, 1);
	put_page(page);
	/* Under write-back: only SYNC waits. */
	fi->delay_ns = 1000000;
	lock_page(page);
	set_page_writeback(page);
	unlock_page(page);
	CHECK_EQ(move_mode(page, MIGRATE_SYNC_LIGHT), -EBUSY);
	page_end_writeback(page, 0);
	CHECK_EQ(vfs_fsync_range(file, 0, INT64_MAX, false), 0);
	pos = 0;
	v = 0;
	CHECK_EQ(kernel_read(file, &v, sizeof(v), &pos), sizeof(v));
	CHECK_EQ(v, 77);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

/* In the swap cache, mapped and not. */
static int swap_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	struct page *page;
	uva_t at;

	(void)arg;
	tm_use(mm);
	at = tm_map(mm, 4);
	fill(at, 4, 9);
	CHECK_EQ(mm_fork(mm, &child), 0);
	page = page_at(mm, at);
	lock_page(page);
	CHECK(add_to_swap(page));
	CHECK(try_to_unmap(page));
	unlock_page(page);
	CHECK(PageSwapCache(page));
	CHECK_EQ(move(page), 0);
	CHECK_EQ(page_count(page), 0);
	expect(at, 4, 9);
	/* Mapped here, swapped there. */
	CHECK(PageSwapCache(page_at(mm, at)));
	move_at(mm, at);
	mm_get(mm);
	tm_use(child);
	expect(at, 4, 9);
	tm_use(mm);
	mm_put(mm);
	mm_put(child);
	expect(at, 4, 9);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

/* Who holds a page keeps it where it is, and it is as before. */
static int held_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct page *pinned, *page;
	struct figures f;
	uva_t at;
	pte_t e;
	u64 bad;

	(void)arg;
	tm_use(mm);
	at = tm_map(mm, 2);
	fill(at, 2, 3);
	page = page_at(mm, at);
	f = figures();
	e = tm_pte(mm, at);
	bad = sum_vm_event(PGMIGRATE_FAIL);
	get_page(page);
	CHECK_EQ(move(page), -EAGAIN);
	put_page(page);
	CHECK_EQ(sum_vm_event(PGMIGRATE_FAIL), bad + 1);
	CHECK_EQ(pin_user_pages(mm, at, 1, FOLL_WRITE, &pinned), 1);
	CHECK_EQ(move(page), -EBUSY);
	unpin_user_page(pinned);
	CHECK_EQ(page_at(mm, at) == page, 1);
	CHECK_EQ(pte_write(tm_pte(mm, at)), pte_write(e));
	same_figures(f);
	/* Locked by another: ASYNC does not wait. */
	lock_page(page);
	CHECK_EQ(move_mode(page, MIGRATE_ASYNC), -EAGAIN);
	unlock_page(page);
	/* A kernel's page, and a page table. */
	page = alloc_page(GFP_KERNEL);
	CHECK_EQ(move(page), -EBUSY);
	__free_page(page);
	expect(at, 2, 3);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

/* ---- frames of an owner ----------------------------------------------------
 */

static struct {
	struct page *page;
	u32 isolated, moved, back;
	int answer;
} owner;

static bool own_isolate(struct page *page, int mode)
{
	(void)mode;
	CHECK_EQ(page == owner.page, 1);
	owner.isolated++;
	return owner.answer != 1;
}

static const struct movable_operations own_ops;

static int own_migrate(struct page *new, struct page *page, int mode)
{
	(void)mode;
	CHECK(PageLocked(new) && PageLocked(page) && PageIsolated(page));
	if (owner.answer)
		return owner.answer;
	memcpy(page_view(new), page_view(page), PAGE_SIZE);
	set_page_movable(new, &own_ops);
	get_page(new);
	clear_page_movable(page);
	put_page(page);
	owner.page = new;
	owner.moved++;
	return 0;
}

static void own_back(struct page *page)
{
	CHECK_EQ(page == owner.page, 1);
	owner.back++;
}

static const struct movable_operations own_ops = {
	.isolate_page = own_isolate,
	.migrate_page = own_migrate,
	.putback_page = own_back,
};

static int owner_body(void *arg)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_MOVABLE);

	(void)arg;
	memset(&owner, 0, sizeof(owner));
	memset(page_view(page), 'o', PAGE_SIZE);
	owner.page = page;
	set_page_movable(page, &own_ops);
	owner.answer = 1;
	CHECK_EQ(move(page), -EBUSY);
	CHECK(!PageIsolated(page));
	owner.answer = -EAGAIN;
	CHECK_EQ(move(page), -EAGAIN);
	CHECK_EQ(owner.back, 1);
	CHECK(!PageIsolated(page));
	CHECK_EQ(page_count(page), 1);
	owner.answer = 0;
	CHECK_EQ(move(page), 0);
	CHECK_EQ(owner.moved, 1);
	CHECK_EQ(page_count(page), 0);
	CHECK_EQ(page_count(owner.page), 1);
	CHECK(!PageIsolated(owner.page));
	CHECK_EQ(((char *)page_view(owner.page))[PAGE_SIZE - 1], 'o');
	clear_page_movable(owner.page);
	__free_page(owner.page);
	return 0;
}

/* ---- what meets a migration entry ------------------------------------------
 *
 * A page is left on the move, all entries being migration entries, and calls
 * are made; then it arrives.
 */

struct transit {
	struct page *page;
	struct anon_vma *av;
};

static struct transit set_off(struct mm_struct *mm, uva_t at)
{
	struct transit t = {.page = page_at(mm, at)};

	get_page(t.page);
	lock_page(t.page);
	t.av = page_get_anon_vma(t.page);
	CHECK(try_to_migrate(t.page));
	CHECK(pte_migrating(tm_pte(mm, at)));
	return t;
}

static void arrive(struct transit *t)
{
	remove_migration_ptes(t->page, t->page, t->av);
	if (t->av)
		anon_vma_put(t->av);
	unlock_page(t->page);
	put_page(t->page);
}

static int transit_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	struct transit t;
	uva_t at, to;

	(void)arg;
	tm_use(mm);
	at = tm_map(mm, 4);
	to = tm_map(mm, 4);
	CHECK_EQ(do_munmap(mm, to, P(4)), 0);
	fill(at, 4, 21);
	/* RSS counts it, and the check finds it. */
	t = set_off(mm, at);
	CHECK_EQ(mm_counter_get(mm, MM_ANONPAGES), 4);
	mm_check(mm);
	CHECK_EQ(do_mincore(mm, at, PAGE_SIZE, at + P(1)), 0);
	CHECK_EQ(tm_load(at + P(1)) & 0xff, 1);
	tm_store(at + P(1), 21 + 8);
	/* fork: both are read-only afterwards. */
	CHECK_EQ(mm_fork(mm, &child), 0);
	mm_check(child);
	CHECK(pte_migrating(tm_pte(child, at)));
	arrive(&t);
	CHECK_EQ(page_mapcount(t.page), 2);
	CHECK(!pte_write(tm_pte(mm, at)) && !pte_write(tm_pte(child, at)));
	mm_check(mm);
	mm_check(child);
	fill(at, 1, 50);
	/* The child's is given up on the way. */
	t = set_off(child, at);
	CHECK_EQ(do_munmap(child, at, PAGE_SIZE), 0);
	mm_check(child);
	arrive(&t);
	mm_put(child);
	expect(at, 1, 50);
	/* mprotect: it comes back without the right. */
	t = set_off(mm, at);
	CHECK_EQ(do_mprotect(mm, at, PAGE_SIZE, PROT_READ), 0);
	arrive(&t);
	CHECK(!pte_write(tm_pte(mm, at)));
	CHECK_EQ(do_mprotect(mm, at, PAGE_SIZE, TM_RW), 0);
	expect(at, 1, 50);
	fill(at, 1, 50);
	/* mremap: it is found at its new place. */
	t = set_off(mm, at);
	CHECK_EQ(do_mremap(mm, at, P(4), P(4), MREMAP_MAYMOVE | MREMAP_FIXED,
			   to),
		 (s64)to);
	CHECK(pte_migrating(tm_pte(mm, to)));
	arrive(&t);
	expect(to, 1, 50);
	/* mlock: it comes back locked; munlock on the way: not. */
	t = set_off(mm, to + P(1));
	CHECK_EQ(do_mlock(mm, to, PAGE_SIZE, MLOCK_ONFAULT), 0);
	arrive(&t);
	t = set_off(mm, to);
	CHECK_EQ(do_munlock(mm, to, PAGE_SIZE), 0);
	arrive(&t);
	CHECK(!PageMlocked(t.page));
	CHECK_EQ(global_zone_page_state(NR_MLOCK), 0);
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

/* ---- frames that are not to be had -----------------------------------------
 */

static int fail_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct fail_result r;
	struct figures f;
	uva_t at;
	u64 n;

	(void)arg;
	tm_use(mm);
	at = tm_map(mm, 4);
	fill(at, 4, 11);
	for (n = 1;; n++) {
		struct page *page = page_at(mm, at);
		int err;

		f = figures();
		fail_arm_nth(FAIL_ALL, n, true);
		fail_only_task(port_current());
		err = move(page);
		r = fail_disarm();
		if (!r.fired) {
			CHECK_EQ(err, 0);
			break;
		}
		CHECK_EQ(err, -ENOMEM);
		CHECK_EQ(page_at(mm, at) == page, 1);
		same_figures(f);
		mm_check(mm);
		expect(at, 4, 11);
	}
	CHECK(n > 1);
	expect(at, 4, 11);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void kinds(void **state)
{
	(void)state;
	TM_RUN(anon_body);
	TM_RUN(file_body);
	TM_RUN(fallback_body);
	TM_RUN(swap_body, .swap_pages = 256);
	TM_RUN(held_body);
	TM_RUN(owner_body);
}

static void on_the_way(void **state)
{
	(void)state;
	TM_RUN(transit_body);
}

static void no_frames(void **state)
{
	(void)state;
	TM_RUN(fail_body);
}

/* ---- threads ---------------------------------------------------------------
 */

static int race_body(void *arg)
{
	struct port_thread *t[MGR_THREADS + 2];
	struct mgr *r = arg;

	mgr_begin(r);
	for (u32 i = 0; i < MGR_THREADS; i++)
		CHECK_EQ(port_thread_start(&t[i], "user", -1, mgr_thread, r),
			 0);
	CHECK_EQ(port_thread_start(&t[MGR_THREADS], "mover", -1, mgr_mover, r),
		 0);
	CHECK_EQ(port_thread_start(&t[MGR_THREADS + 1], "holder", -1,
				   mgr_holder, r),
		 0);
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		port_thread_join(t[i]);
	mgr_end(r);
	CHECK_EQ(phys_sys.debug.nr_set_aside, 0);
	return 0;
}

static void schedules(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 5000 : 30);
	u64 checks = 0, moved = 0;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct mgr r = {
			.seed = seed + i, .iters = 40, .refuse = i % 3 ? 0 : 4};

		snprintf(tm_context, sizeof(tm_context), "schedule %llu",
			 (unsigned long long)i);
		TM_RUN(race_body, .arg = &r, .seed = seed + i, .cpus = 3,
		       .explore = true, .stall = i / 2 % 2 * 32,
		       .swap_pages = 2048, .mem = (i % 2 ? 6UL : 8UL) << 20);
		checks += r.checks;
		moved += r.moved;
	}
	fprintf(stderr,
		"migrate: SEED=%llu, %llu schedules, %llu checks, %llu moved\n",
		(unsigned long long)seed, (unsigned long long)n,
		(unsigned long long)checks, (unsigned long long)moved);
	assert_true(n < 10 || moved > n);
}

/* ---- what is told
 * ----------------------------------------------------------------------- */

static int told_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct page *old, *new;
	struct trace_record r;
	uva_t at;

	(void)arg;
	tm_use(mm);
	at = tm_map(mm, 1);
	fill(at, 1, 5);
	old = page_at(mm, at);
	listen_to("migrate page");
	CHECK_EQ(move(old), 0);
	hush();
	new = page_at(mm, at);
	CHECK(new != old);
	CHECK_EQ(told(TRACE_MM_MIGRATE_PAGES_START), 1);
	r = first(TRACE_MM_MIGRATE_PAGES_START);
	CHECK_EQ(field(&r, "mode"), MIGRATE_SYNC);
	CHECK_EQ(field(&r, "reason"), MR_SYSCALL);
	CHECK_EQ(told(TRACE_MM_MIGRATE_PAGES), 1);
	r = first(TRACE_MM_MIGRATE_PAGES);
	CHECK_EQ(field(&r, "succeeded"), 1);
	CHECK_EQ(field(&r, "failed"), 0);
	CHECK_EQ(field(&r, "mode"), MIGRATE_SYNC);
	CHECK_EQ(field(&r, "reason"), MR_SYSCALL);
	CHECK_EQ(told(TRACE_SET_MIGRATION_PTE), 1);
	r = first(TRACE_SET_MIGRATION_PTE);
	CHECK_EQ(field(&r, "addr"), at);
	CHECK(field(&r, "pte") != 0);
	CHECK_EQ(told(TRACE_REMOVE_MIGRATION_PTE), 1);
	r = first(TRACE_REMOVE_MIGRATION_PTE);
	CHECK_EQ(field(&r, "addr"), at);
	CHECK_EQ(field(&r, "pte"), pte_val(tm_pte(mm, at)));
	CHECK_EQ(field(&r, "order"), 0);
	CHECK_EQ(told(TRACE_PAGE_MIGRATE), 1);
	r = first(TRACE_PAGE_MIGRATE);
	CHECK_EQ(field(&r, "pfn"), page_to_pfn(old));
	CHECK_EQ(field(&r, "new_pfn"), page_to_pfn(new));
	CHECK_EQ(field(&r, "reason"), MR_SYSCALL);
	CHECK_EQ(count(TRACE_PAGE_UNMAP, "why", PAGE_UNMAP_MOVE, &r), 1);
	CHECK_EQ(field(&r, "pfn"), page_to_pfn(old));
	CHECK_EQ(field(&r, "address"), at);
	CHECK_EQ(count(TRACE_PAGE_MAP, "how", PAGE_MAP_MOVED, &r), 1);
	CHECK_EQ(field(&r, "pfn"), page_to_pfn(new));
	CHECK_EQ(field(&r, "mm"), mm->serial);
	forget();
	/* Held by somebody: it stays, and that is told. */
	get_page(new);
	listen_to("migrate page");
	CHECK(move(new) != 0);
	hush();
	put_page(new);
	r = first(TRACE_MM_MIGRATE_PAGES);
	CHECK_EQ(field(&r, "succeeded"), 0);
	CHECK_EQ(field(&r, "failed"), 1);
	CHECK_EQ(told(TRACE_PAGE_MIGRATE), 0);
	CHECK_EQ(told(TRACE_SET_MIGRATION_PTE),
		 told(TRACE_REMOVE_MIGRATION_PTE));
	forget();
	expect(at, 1, 5);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void tells(void **state)
{
	(void)state;
	TM_RUN(told_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),     cmocka_unit_test(on_the_way),
		cmocka_unit_test(no_frames), cmocka_unit_test(tells),
		cmocka_unit_test(schedules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
