/* SPDX-License-Identifier: MIT */
/*
 * Mappings of files call by call: errnos of mmap(2), references, page numbers
 * through splits, merges, moves and forks, what a provider is told.
 */
#include "filemap_machine.h"

#include "space/rmap.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)

#define RW_MODE (FMODE_READ | FMODE_WRITE)

static struct file *fm_open(struct fm_inode *fi, u32 mode)
{
	struct file *file = file_open(&fi->inode, mode, 0, "/test/file");

	CHECK(file);
	return file;
}

static s64 map_at(struct mm_struct *mm, uva_t addr, u64 pages, int prot,
		  int flags, struct file *file, u64 pgoff)
{
	struct mm_mmap r = {addr, P(pages), prot, flags, file, pgoff};

	return do_mmap_file(mm, &r);
}

static uva_t map(struct mm_struct *mm, u64 pages, int prot, int flags,
		 struct file *file, u64 pgoff)
{
	s64 at = map_at(mm, 0, pages, prot, flags, file, pgoff);

	CHECK(at > 0);
	return (uva_t)at;
}

static struct vm_area_struct *vma_at(struct mm_struct *mm, uva_t addr)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, addr);
	mmap_read_unlock(mm);
	CHECK(vma_contains(vma, addr));
	return vma;
}

/* ---- errnos ----------------------------------------------------------------
 */

static int refuse_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_private_data = file;
	return -ENXIO;
}

static const struct file_operations refusing = {.mmap = refuse_mmap};
static const struct address_space_operations no_read = {0};

/* Modes, kinds of file and what they forbid. */
static void errnos_of_modes(struct mm_struct *mm, struct fm_inode *fi)
{
	const int ro = PROT_READ, rw = PROT_READ | PROT_WRITE;
	struct file *r = fm_open(fi, FMODE_READ), *w = fm_open(fi, FMODE_WRITE);
	struct file *f = fm_open(fi, RW_MODE);
	s64 at;

	CHECK_EQ(map_at(mm, 0, 1, ro, MAP_PRIVATE, w, 0), -EACCES);
	CHECK_EQ(map_at(mm, 0, 1, ro, MAP_SHARED, w, 0), -EACCES);
	CHECK_EQ(map_at(mm, 0, 1, rw, MAP_SHARED, r, 0), -EACCES);
	at = map_at(mm, 0, 1, rw, MAP_PRIVATE, r, 0);
	CHECK(at > 0);
	CHECK_EQ(do_munmap(mm, (uva_t)at, P(1)), 0);
	/* Shared and read-only of a read-only file stays so. */
	at = map_at(mm, 0, 1, ro, MAP_SHARED, r, 0);
	CHECK(at > 0);
	CHECK_EQ(vma_at(mm, (uva_t)at)->vm_flags & (VM_SHARED | VM_MAYSHARE),
		 VM_MAYSHARE);
	CHECK_EQ(do_mprotect(mm, (uva_t)at, P(1), rw), -EACCES);
	CHECK(!mapping_writably_mapped(fi->inode.i_mapping));
	CHECK_EQ(do_munmap(mm, (uva_t)at, P(1)), 0);
	/* One that may be made writable. */
	at = map_at(mm, 0, 1, ro, MAP_SHARED, f, 0);
	CHECK(at > 0);
	CHECK(mapping_writably_mapped(fi->inode.i_mapping));
	CHECK_EQ(do_mprotect(mm, (uva_t)at, P(1), rw), 0);
	CHECK_EQ(do_munmap(mm, (uva_t)at, P(1)), 0);
	fi->inode.i_flags = S_SWAPFILE;
	CHECK_EQ(map_at(mm, 0, 1, rw, MAP_SHARED, f, 0), -ETXTBSY);
	fi->inode.i_flags = S_APPEND;
	CHECK_EQ(map_at(mm, 0, 1, ro, MAP_SHARED, f, 0), -EACCES);
	at = map_at(mm, 0, 1, ro, MAP_SHARED, r, 0);
	CHECK(at > 0);
	CHECK_EQ(do_munmap(mm, (uva_t)at, P(1)), 0);
	fi->inode.i_flags = 0;
	fput(r);
	fput(w);
	fput(f);
}

static void errnos_of_arguments(struct mm_struct *mm, struct fm_inode *fi)
{
	struct file *f = fm_open(fi, RW_MODE);
	const int rw = PROT_READ | PROT_WRITE;
	u64 most = MAX_LFS_FILESIZE >> PAGE_SHIFT;
	struct mm_mmap r = {0, 0, rw, MAP_PRIVATE, f, 0};

	CHECK_EQ(map_at(mm, 0, 1, rw, MAP_PRIVATE, NULL, 0), -EBADF);
	CHECK_EQ(map_at(mm, 0, 0, rw, MAP_PRIVATE, NULL, 0), -EBADF);
	CHECK_EQ(do_mmap_file(mm, &r), -EINVAL);
	r.len = ~0UL;
	CHECK_EQ(do_mmap_file(mm, &r), -ENOMEM);
	CHECK_EQ(map_at(mm, 0, 1, rw, 0, f, 0), -EINVAL);
	CHECK_EQ(map_at(mm, 0, 1, rw, 4, f, 0), -EINVAL);
	CHECK_EQ(map_at(mm, 0, 1, rw, MAP_PRIVATE | MAP_GROWSDOWN, f, 0),
		 -EINVAL);
	CHECK_EQ(map_at(mm, 0, 1, rw, MAP_SHARED_VALIDATE | 0x800000, f, 0),
		 -EOPNOTSUPP);
	/* Linux: the flag is younger than the list of those that are known. */
	CHECK_EQ(map_at(mm, P(99), 1, rw,
			MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE, f, 0),
		 -EOPNOTSUPP);
	CHECK_EQ(map_at(mm, 0, 1, rw, MAP_PRIVATE, f, ~0UL), -EOVERFLOW);
	CHECK_EQ(map_at(mm, 0, 1, rw, MAP_PRIVATE, f, most), -EOVERFLOW);
	CHECK_EQ(map_at(mm, 0, 2, rw, MAP_PRIVATE, f, most - 1), -EOVERFLOW);
	CHECK(map_at(mm, 0, 1, rw, MAP_PRIVATE, f, most - 1) > 0);
	CHECK(map_at(mm, 0, 1, rw, MAP_SHARED | 0x800000, f, 0) > 0);
	CHECK_EQ(do_munmap(mm, 0, mm->layout.task_size), 0);
	fm_sb.s_iflags = SB_I_NOEXEC;
	CHECK_EQ(map_at(mm, 0, 1, PROT_EXEC, MAP_PRIVATE, f, 0), -EPERM);
	r = (struct mm_mmap){0, P(1), PROT_READ, MAP_PRIVATE, f, 0};
	CHECK_EQ(do_mprotect(mm, (uva_t)do_mmap_file(mm, &r), P(1), PROT_EXEC),
		 -EACCES);
	fm_sb.s_iflags = 0;
	CHECK_EQ(do_munmap(mm, 0, mm->layout.task_size), 0);
	CHECK_EQ(f->f_count, 1);
	fput(f);
}

static void errnos_of_providers(struct mm_struct *mm, struct fm_inode *fi)
{
	const struct address_space_operations *aops =
		fi->inode.i_mapping->a_ops;
	struct file *f = fm_open(fi, RW_MODE);
	const int rw = PROT_READ | PROT_WRITE;

	f->f_op = &refusing;
	CHECK_EQ(map_at(mm, 0, 1, rw, MAP_SHARED, f, 0), -ENXIO);
	CHECK_EQ(f->f_count, 1);
	CHECK(!mapping_writably_mapped(f->f_mapping));
	f->f_op = NULL;
	f->f_mapping->a_ops = &no_read;
	CHECK_EQ(map_at(mm, 0, 1, rw, MAP_PRIVATE, f, 0), -ENODEV);
	f->f_mapping->a_ops = aops;
	/* A seal. */
	CHECK_EQ(mapping_deny_writable(f->f_mapping), 0);
	CHECK_EQ(map_at(mm, 0, 1, rw, MAP_SHARED, f, 0), -EPERM);
	CHECK(map_at(mm, 0, 1, rw, MAP_PRIVATE, f, 0) > 0);
	mapping_allow_writable(f->f_mapping);
	CHECK(map_at(mm, 0, 1, rw, MAP_SHARED, f, 0) > 0);
	CHECK_EQ(mapping_deny_writable(f->f_mapping), -EBUSY);
	CHECK_EQ(do_munmap(mm, 0, mm->layout.task_size), 0);
	CHECK_EQ(f->f_count, 1);
	CHECK_EQ(mm->total_vm, 0);
	fput(f);
}

static int errnos_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(8);
	struct mm_struct *mm = tm_mm();

	(void)arg;
	errnos_of_modes(mm, fi);
	errnos_of_arguments(mm, fi);
	errnos_of_providers(mm, fi);
	CHECK_EQ(fi->inode.i_count, 1);
	mm_put(mm);
	fm_inode_drop(fi);
	return 0;
}

static void errnos(void **state)
{
	(void)state;
	TM_RUN(errnos_body);
}

/* ---- splits, merges, moves, forks ------------------------------------------
 */

static u32 writers(struct fm_inode *fi)
{
	return (u32)fi->inode.i_mapping->i_mmap_writable;
}

static int shape_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(64), *other = fm_inode_new(64);
	struct file *f = fm_open(fi, RW_MODE), *g = fm_open(other, RW_MODE);
	const int rw = PROT_READ | PROT_WRITE;
	struct mm_struct *mm = tm_mm(), *child;
	uva_t at = map(mm, 10, rw, MAP_SHARED, f, 5);
	s64 moved;

	(void)arg;
	CHECK_EQ(f->f_count, 2);
	CHECK_EQ(writers(fi), 1);
	/* In three: each with its page number. */
	CHECK_EQ(do_mprotect(mm, at + P(3), P(4), PROT_READ), 0);
	CHECK_EQ(mm->map_count, 3);
	CHECK_EQ(f->f_count, 4);
	CHECK_EQ(writers(fi), 3);
	CHECK_EQ(vma_at(mm, at + P(3))->vm_pgoff, 8);
	CHECK_EQ(vma_at(mm, at + P(7))->vm_pgoff, 12);
	mm_check(mm);
	CHECK_EQ(do_mprotect(mm, at + P(3), P(4), rw), 0);
	CHECK_EQ(mm->map_count, 1);
	CHECK_EQ(f->f_count, 2);
	CHECK_EQ(writers(fi), 1);
	/* What follows in the file merges, all else does not. */
	CHECK_EQ(map_at(mm, at + P(10), 2, rw, MAP_SHARED | MAP_FIXED, f, 15),
		 (s64)(at + P(10)));
	CHECK_EQ(mm->map_count, 1);
	CHECK_EQ(map_at(mm, at + P(12), 2, rw, MAP_SHARED | MAP_FIXED, f, 18),
		 (s64)(at + P(12)));
	CHECK_EQ(mm->map_count, 2);
	CHECK_EQ(map_at(mm, at + P(14), 2, rw, MAP_SHARED | MAP_FIXED, g, 20),
		 (s64)(at + P(14)));
	CHECK_EQ(mm->map_count, 3);
	CHECK_EQ(map_at(mm, at + P(16), 2, rw, MAP_PRIVATE | MAP_FIXED, g, 22),
		 (s64)(at + P(16)));
	CHECK_EQ(mm->map_count, 4);
	mm_check(mm);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(f->f_count, 5);
	CHECK_EQ(writers(fi), 4);
	CHECK_EQ(writers(other), 2);
	mm_check(child);
	/* A part moves: the numbers go with it. */
	moved = do_mremap(child, at + P(4), P(2), P(4), MREMAP_MAYMOVE, 0);
	CHECK(moved > 0);
	CHECK_EQ(vma_at(child, (uva_t)moved)->vm_pgoff, 9);
	CHECK_EQ(child->map_count, 6);
	mm_check(child);
	CHECK_EQ(do_munmap(child, at + P(13), P(2)), 0);
	mm_check(child);
	mm_put(child);
	CHECK_EQ(f->f_count, 3);
	CHECK_EQ(g->f_count, 3);
	/* The last reference is the mapping's. */
	fput(g);
	CHECK(!other->released);
	CHECK_EQ(do_munmap(mm, at, P(18)), 0);
	CHECK_EQ(writers(fi), 0);
	CHECK_EQ(f->f_count, 1);
	CHECK(!mapping_mapped(fi->inode.i_mapping));
	fput(f);
	mm_put(mm);
	fm_inode_drop(other);
	fm_inode_drop(fi);
	return 0;
}

static void shape(void **state)
{
	(void)state;
	TM_RUN(shape_body);
}

/* ---- what a provider is told -----------------------------------------------
 */

static struct {
	int open, close, refuse_split;
} told;

static void told_open(struct vm_area_struct *vma)
{
	CHECK_EQ(vma->vm_private_data, &told);
	told.open++;
}

static void told_close(struct vm_area_struct *vma)
{
	CHECK_EQ(vma->vm_private_data, &told);
	CHECK(vma->vm_file);
	told.close++;
}

static int told_may_split(struct vm_area_struct *vma, uva_t addr)
{
	CHECK(addr > vma->vm_start && addr < vma->vm_end);
	return told.refuse_split ? -EINVAL : 0;
}

static const struct vm_operations_struct told_ops = {
	.open = told_open,
	.close = told_close,
	.may_split = told_may_split,
};

static int told_mmap(struct file *file, struct vm_area_struct *vma)
{
	(void)file;
	vma->vm_ops = &told_ops;
	vma->vm_private_data = &told;
	vma->vm_flags |= VM_DONTEXPAND;
	return 0;
}

static const struct file_operations telling = {.mmap = told_mmap};

static int provider_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(8);
	struct file *f = fm_open(fi, RW_MODE);
	const int rw = PROT_READ | PROT_WRITE;
	struct mm_struct *mm = tm_mm(), *child;
	uva_t at;

	(void)arg;
	memset(&told, 0, sizeof(told));
	f->f_op = &telling;
	at = map(mm, 8, rw, MAP_SHARED, f, 0);
	CHECK_EQ(told.open, 0);
	CHECK(vma_at(mm, at)->vm_flags & VM_DONTEXPAND);
	CHECK_EQ(sim_touch(at, SIM_READ), MM_SIGSEGV); /* not attached */
	tm_use(mm);
	CHECK_EQ(sim_touch(at, SIM_READ), MM_SIGBUS); /* it has no fault */
	tm_use(NULL);
	told.refuse_split = 1;
	CHECK_EQ(do_munmap(mm, at, P(1)), -EINVAL);
	CHECK_EQ(do_mprotect(mm, at, P(1), PROT_READ), -EINVAL);
	CHECK_EQ(mm->map_count, 1);
	told.refuse_split = 0;
	CHECK_EQ(do_munmap(mm, at + P(2), P(2)), 0);
	CHECK_EQ(told.open, 2);
	CHECK_EQ(told.close, 1);
	/* What is told of each end stays apart. */
	CHECK_EQ(map_at(mm, at + P(2), 2, rw, MAP_SHARED | MAP_FIXED, f, 2),
		 (s64)(at + P(2)));
	CHECK_EQ(mm->map_count, 3);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(told.open, 5);
	mm_put(child);
	CHECK_EQ(told.close, 4);
	mm_check(mm);
	mm_put(mm);
	CHECK_EQ(told.close, 7);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

static void provider(void **state)
{
	(void)state;
	TM_RUN(provider_body);
}

/* ---- faults ----------------------------------------------------------------
 */

static char read_buf[P(4)];

static u64 *stored(struct fm_inode *fi, u64 page)
{
	return (u64 *)(void *)(fi->store + P(page));
}

static struct page *page_at(struct mm_struct *mm, uva_t va)
{
	pte_t e = tm_pte(mm, va);

	CHECK(pte_present(e) && !pte_special(e));
	return pfn_to_page(pte_pfn(e));
}

static u64 rss_file(struct mm_struct *mm)
{
	struct mm_usage u;

	mm_usage_get(mm, &u);
	return u.rss_file;
}

/* Reading: major, minor, what is around, and what is behind the end. */
static int read_faults_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(64);
	struct file *f = fm_open(fi, RW_MODE);
	u64 mapped = global_node_page_state(NR_FILE_MAPPED);
	struct mm_task *task = port_current();
	struct mm_struct *mm = tm_mm();
	u64 major, minor, at = 0;
	uva_t va;

	(void)arg;
	for (u64 i = 0; i < 64; i++)
		*stored(fi, i) = 1000 + i;
	tm_use(mm);
	f->f_ra.ra_pages = 0;
	va = map(mm, 66, TM_RW, MAP_PRIVATE, f, 0);
	major = task->maj_flt;
	CHECK_EQ(tm_load(va + P(3)), 1003);
	CHECK_EQ(task->maj_flt, major + 1);
	CHECK_EQ(rss_file(mm), 1);
	CHECK_EQ(global_node_page_state(NR_FILE_MAPPED), mapped + 1);
	CHECK(!pte_write(tm_pte(mm, va + P(3))));
	/* All of the file is cached now; a fault maps an aligned window of it,
	 * old but for the page that was touched. */
	for (at = 0; at < P(64);)
		CHECK(kernel_read(f, read_buf, sizeof(read_buf), &at) > 0);
	minor = task->min_flt;
	CHECK_EQ(tm_load(va + P(37)), 1037);
	CHECK_EQ(task->min_flt, minor + 1);
	CHECK_EQ(task->maj_flt, major + 1);
	CHECK(rss_file(mm) >= 15 && rss_file(mm) <= 17);
	CHECK(pte_young(tm_pte(mm, va + P(37))));
	CHECK(!pte_young(tm_pte(mm, va + P(38))));
	CHECK_EQ(tm_load(va + P(38)), 1038);
	CHECK_EQ(task->min_flt, minor + 1);
	/* Behind the end there is nothing. */
	CHECK_EQ(sim_touch(va + P(64), SIM_READ), MM_SIGBUS);
	CHECK_EQ(sim_touch(va + P(64), SIM_WRITE), MM_SIGBUS);
	mm_check(mm);
	/* A page in use by both a mapping and the cache goes by reclaim. */
	CHECK_EQ(page_mapcount(page_at(mm, va + P(37))), 1);
	CHECK_EQ(do_munmap(mm, va, P(66)), 0);
	CHECK_EQ(rss_file(mm), 0);
	CHECK_EQ(global_node_page_state(NR_FILE_MAPPED), mapped);
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

static void read_faults(void **state)
{
	(void)state;
	TM_RUN(read_faults_body);
}

/* Writing: privately, then shared; who sees what; what becomes dirty when. */
static int write_faults_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(8);
	struct file *f = fm_open(fi, RW_MODE);
	struct mm_struct *mm = tm_mm();
	struct mm_usage u;
	uva_t priv, shared;

	(void)arg;
	for (u64 i = 0; i < 8; i++)
		*stored(fi, i) = 2000 + i;
	tm_use(mm);
	priv = map(mm, 8, TM_RW, MAP_PRIVATE, f, 0);
	shared = map(mm, 8, TM_RW, MAP_SHARED, f, 0);
	/* Untouched, and touched by reading before. */
	tm_store(priv, 1);
	CHECK_EQ(tm_load(priv + P(1)), 2001);
	tm_store(priv + P(1), 2);
	CHECK(PageAnon(page_at(mm, priv)) &&
	      PageAnon(page_at(mm, priv + P(1))));
	CHECK_EQ(tm_load(shared), 2000);
	CHECK_EQ(tm_load(shared + P(1)), 2001);
	CHECK_EQ(global_node_page_state(NR_FILE_DIRTY), 0);
	mm_usage_get(mm, &u);
	CHECK_EQ(u.rss_anon, 2);
	/* Read first: the entry is read-only, the page clean. */
	CHECK_EQ(tm_load(shared + P(2)), 2002);
	CHECK(!pte_write(tm_pte(mm, shared + P(2))));
	tm_store(shared + P(2), 3);
	tm_store(shared + P(3), 4);
	CHECK(PageDirty(page_at(mm, shared + P(2))));
	CHECK_EQ(global_node_page_state(NR_FILE_DIRTY), 2);
	CHECK_EQ(tm_load(priv + P(2)), 3); /* not copied yet: sees it */
	CHECK_EQ(*stored(fi, 2), 2002);
	/* Written: the entries are read-only again, the next store is seen. */
	CHECK_EQ(do_msync(mm, shared, P(8), MS_SYNC), 0);
	CHECK_EQ(*stored(fi, 2), 3);
	CHECK_EQ(*stored(fi, 3), 4);
	CHECK_EQ(global_node_page_state(NR_FILE_DIRTY), 0);
	CHECK(!pte_write(tm_pte(mm, shared + P(2))));
	CHECK(!pte_dirty(tm_pte(mm, shared + P(2))));
	tm_store(shared + P(2), 5);
	CHECK_EQ(global_node_page_state(NR_FILE_DIRTY), 1);
	mm_check(mm);
	/* Unmapping does not lose it. */
	CHECK_EQ(do_munmap(mm, shared, P(8)), 0);
	CHECK_EQ(*stored(fi, 2), 3);
	CHECK_EQ(vfs_fsync_range(f, 0, INT64_MAX, false), 0);
	CHECK_EQ(*stored(fi, 2), 5);
	CHECK_EQ(*stored(fi, 0), 2000);
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

static void write_faults(void **state)
{
	(void)state;
	TM_RUN(write_faults_body);
}

/* A read that fails is a SIGBUS, once; a write that fails is told by msync,
 * once. */
static int io_errors_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(8);
	struct file *f = fm_open(fi, RW_MODE);
	struct mm_struct *mm = tm_mm();
	uva_t va;

	(void)arg;
	tm_use(mm);
	f->f_ra.ra_pages = 0;
	va = map(mm, 8, TM_RW, MAP_SHARED, f, 0);
	/* Reading the new page, and once more because it is wanted. */
	fi->fail_read = fi->fail_more = 1;
	CHECK_EQ(sim_touch(va, SIM_READ), MM_SIGBUS);
	CHECK_EQ(sim_touch(va, SIM_READ), 0);
	fi->fail_read = fi->fail_more = 1;
	CHECK_EQ(sim_touch(va + P(1), SIM_WRITE), MM_SIGBUS);
	CHECK_EQ(sim_touch(va + P(1), SIM_WRITE), 0);
	fi->fail_write = 1;
	CHECK_EQ(do_msync(mm, va, P(8), MS_SYNC), -EIO);
	CHECK_EQ(do_msync(mm, va, P(8), MS_SYNC), 0);
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

static void io_errors(void **state)
{
	(void)state;
	TM_RUN(io_errors_body);
}

/* Truncation takes pages and copies, a hole only pages; partial pages keep
 * what stays. */
static int truncate_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(8);
	struct file *f = fm_open(fi, RW_MODE);
	struct mm_struct *mm = tm_mm();
	uva_t priv, shared;

	(void)arg;
	tm_use(mm);
	priv = map(mm, 8, TM_RW, MAP_PRIVATE, f, 0);
	shared = map(mm, 8, TM_RW, MAP_SHARED, f, 0);
	for (u64 i = 0; i < 8; i++) {
		tm_store(shared + P(i), 10 + i);
		tm_store(shared + P(i) + 2048, 20 + i);
		if (i % 2)
			tm_store(priv + P(i), 30 + i);
	}
	CHECK_EQ(vfs_truncate(&fi->inode, P(4) + 2048), 0);
	CHECK_EQ(tm_load(shared + P(4)), 14);
	CHECK_EQ(tm_load(shared + P(4) + 2048), 0);
	CHECK_EQ(sim_touch(shared + P(5), SIM_READ), MM_SIGBUS);
	CHECK_EQ(sim_touch(priv + P(5), SIM_READ), MM_SIGBUS);
	CHECK_EQ(tm_load(priv + P(3)), 33);
	memset(fi->store + P(4) + 2048, 0, P(8) - P(4) - 2048);
	CHECK_EQ(vfs_truncate(&fi->inode, P(8)), 0);
	CHECK_EQ(tm_load(shared + P(5)), 0);
	CHECK_EQ(tm_load(priv + P(5)), 0);
	mm_check(mm);
	truncate_pagecache_range(&fi->inode, P(1), P(4) - 1);
	CHECK_EQ(tm_load(priv + P(1)), 31);
	CHECK(!filemap_range_has_page(fi->inode.i_mapping, 1, 3));
	mm_check(mm);
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

static void truncation(void **state)
{
	(void)state;
	TM_RUN(truncate_body);
}

/* Reclaim: clean pages go at once, dirty ones when written; both come back. */
static int reclaim_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(8);
	struct file *f = fm_open(fi, RW_MODE);
	struct mm_struct *mm = tm_mm(), *other;
	struct page *page;
	u64 vm_flags;
	uva_t va;

	(void)arg;
	tm_use(mm);
	f->f_ra.ra_pages = 0;
	va = map(mm, 8, TM_RW, MAP_SHARED, f, 0);
	tm_store(va, 77);
	CHECK_EQ(mm_fork(mm, &other), 0);
	tm_use(other);
	CHECK_EQ(tm_load(va), 77);
	page = page_at(mm, va);
	CHECK_EQ(page_mapcount(page), 2);
	CHECK_EQ(page_referenced(page, false, &vm_flags), 2);
	CHECK_EQ(page_referenced(page, false, &vm_flags), 0);
	CHECK(vm_flags & VM_SHARED);
	ClearPageReferenced(page);
	get_page(page);
	lock_page(page);
	CHECK(try_to_unmap(page));
	CHECK(PageDirty(page));
	unlock_page(page);
	put_page(page);
	CHECK(pte_none(tm_pte(mm, va)) && pte_none(tm_pte(other, va)));
	CHECK_EQ(rss_file(mm) + rss_file(other), 0);
	CHECK_EQ(vfs_fsync_range(f, 0, INT64_MAX, false), 0);
	CHECK_EQ(tm_load(va), 77);
	/* Locked pages stay. */
	CHECK_EQ(do_mlock(other, va, P(1), 0), 0);
	page = page_at(other, va);
	CHECK(PageMlocked(page) && PageUnevictable(page));
	get_page(page);
	lock_page(page);
	CHECK(!try_to_unmap(page));
	unlock_page(page);
	put_page(page);
	/* And go when the file does. */
	CHECK_EQ(vfs_truncate(&fi->inode, 0), 0);
	CHECK_EQ(sim_touch(va, SIM_READ), MM_SIGBUS);
	CHECK_EQ(global_zone_page_state(NR_MLOCK), 0);
	mm_check(other);
	mm_put(other);
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

/* A page that was read through a mapping was used, when the mapping goes; one
 * that was read once through, or anywhere, was not. */
static int used_body(void *arg)
{
	const int advices[] = {MADV_NORMAL, MADV_SEQUENTIAL, MADV_RANDOM};
	struct fm_inode *fi = fm_inode_new(8);
	struct file *f = fm_open(fi, RW_MODE);
	struct mm_struct *mm = tm_mm();
	struct page *page;
	uva_t va;

	(void)arg;
	tm_use(mm);
	f->f_ra.ra_pages = 0;
	for (u32 i = 0; i < ARRAY_SIZE(advices); i++) {
		va = map(mm, 1, PROT_READ, MAP_SHARED, f, i);
		CHECK_EQ(do_madvise(mm, va, P(1), advices[i]), 0);
		tm_load(va);
		page = page_at(mm, va);
		get_page(page);
		ClearPageReferenced(page);
		CHECK_EQ(do_munmap(mm, va, P(1)), 0);
		CHECK_EQ(PageReferenced(page), i == 0);
		put_page(page);
	}
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

static void reclaim(void **state)
{
	(void)state;
	TM_RUN(reclaim_body);
	TM_RUN(used_body);
}

/* ---- calls on mapped files -------------------------------------------------
 */

static int mremap_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(16);
	struct file *f = fm_open(fi, RW_MODE);
	struct mm_struct *mm = tm_mm();
	uva_t shared, priv;
	s64 twin;

	(void)arg;
	for (u64 i = 0; i < 16; i++)
		*stored(fi, i) = 3000 + i;
	tm_use(mm);
	shared = map(mm, 4, TM_RW, MAP_SHARED, f, 2);
	tm_store(shared, 1);
	/* A second view of the same pages. */
	twin = do_mremap(mm, shared + P(1), 0, P(3), MREMAP_MAYMOVE, 0);
	CHECK(twin > 0);
	CHECK_EQ(tm_load((uva_t)twin), 3003);
	tm_store((uva_t)twin + P(1), 2);
	CHECK_EQ(tm_load(shared + P(2)), 2);
	CHECK_EQ(mm->total_vm, 7);
	mm_check(mm);
	priv = map(mm, 2, TM_RW, MAP_PRIVATE, f, 0);
	CHECK_EQ(do_mremap(mm, priv, 0, P(1), MREMAP_MAYMOVE, 0), -EINVAL);
	/* Growing goes on in the file, here and elsewhere. */
	tm_store(priv, 9);
	twin = do_mremap(mm, priv, P(2), P(9), MREMAP_MAYMOVE, 0);
	CHECK(twin > 0);
	CHECK_EQ(tm_load((uva_t)twin), 9);
	CHECK_EQ(tm_load((uva_t)twin + P(8)), 3008);
	CHECK_EQ(do_munmap(mm, (uva_t)twin + P(4), P(5)), 0);
	CHECK_EQ(do_mremap(mm, (uva_t)twin, P(4), P(9), 0, 0), twin);
	CHECK_EQ(tm_load((uva_t)twin + P(7)), 3007);
	mm_check(mm);
	/* The provider that fixes the size, and is told of each end. */
	memset(&told, 0, sizeof(told));
	f->f_op = &telling;
	priv = map(mm, 2, TM_RW, MAP_SHARED, f, 0);
	CHECK_EQ(do_mremap(mm, priv, P(2), P(3), MREMAP_MAYMOVE, 0), -EFAULT);
	CHECK_EQ(do_mremap(mm, priv, P(2), P(2),
			   MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0),
		 -EINVAL);
	twin = do_mremap(mm, priv, P(2), P(2), MREMAP_MAYMOVE | MREMAP_FIXED,
			 priv - P(64));
	CHECK_EQ(twin, (s64)(priv - P(64)));
	CHECK_EQ(told.open, 1);
	CHECK_EQ(told.close, 1);
	mm_check(mm);
	mm_put(mm);
	tm_use(NULL);
	CHECK_EQ(told.close, 2);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

static void mremaps(void **state)
{
	(void)state;
	TM_RUN(mremap_body);
}

static int last_punch[2];

static int note_fallocate(struct file *file, u32 mode, u64 off, u64 len)
{
	CHECK_EQ(mode, 3);
	last_punch[0] = (int)(off >> PAGE_SHIFT);
	last_punch[1] = (int)(len >> PAGE_SHIFT);
	truncate_pagecache_range(file->f_inode, off, off + len - 1);
	return 0;
}

static const struct file_operations punching = {.fallocate = note_fallocate};

static u8 core_of(struct mm_struct *mm, uva_t va, uva_t vec)
{
	u8 v;

	CHECK_EQ(do_mincore(mm, va, P(1), vec), 0);
	CHECK_EQ(sim_copy_from_user(&v, vec, 1), 0);
	return v;
}

static int advice_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(16);
	struct file *f = fm_open(fi, RW_MODE), *r = fm_open(fi, FMODE_READ);
	struct mm_struct *mm = tm_mm();
	uva_t shared, priv, ro, vec;

	(void)arg;
	tm_use(mm);
	f->f_ra.ra_pages = r->f_ra.ra_pages = 0;
	vec = tm_map(mm, 1);
	shared = map(mm, 16, TM_RW, MAP_SHARED, f, 0);
	priv = map(mm, 16, TM_RW, MAP_PRIVATE, f, 0);
	ro = map(mm, 16, PROT_READ, MAP_SHARED, r, 0);
	/* mincore: what the cache has, to who may write the file. */
	CHECK_EQ(core_of(mm, shared, vec), 0);
	CHECK_EQ(core_of(mm, ro, vec), 1);
	tm_load(priv);
	CHECK_EQ(core_of(mm, shared, vec), 1);
	CHECK_EQ(core_of(mm, shared + P(5), vec), 0);
	CHECK_EQ(do_madvise(mm, shared + P(5), P(2), MADV_WILLNEED), 0);
	CHECK_EQ(core_of(mm, shared + P(6), vec), 1);
	CHECK_EQ(core_of(mm, shared + P(7), vec), 0);
	/* What has no meaning for files. */
	CHECK_EQ(do_madvise(mm, priv, P(1), MADV_FREE), -EINVAL);
	CHECK_EQ(do_madvise(mm, priv, P(1), MADV_WIPEONFORK), -EINVAL);
	CHECK_EQ(do_madvise(mm, shared, P(1), MADV_WIPEONFORK), -EINVAL);
	CHECK_EQ(do_madvise(mm, shared, P(1), MADV_MERGEABLE), 0);
	CHECK(!(vma_at(mm, shared)->vm_flags & VM_MERGEABLE));
	/* A hole asks for a shared writable mapping and a file that can. */
	CHECK_EQ(do_madvise(mm, vec, P(1), MADV_REMOVE), -EINVAL);
	CHECK_EQ(do_madvise(mm, priv, P(1), MADV_REMOVE), -EACCES);
	CHECK_EQ(do_madvise(mm, ro, P(1), MADV_REMOVE), -EACCES);
	CHECK_EQ(do_madvise(mm, shared, P(1), MADV_REMOVE), -EOPNOTSUPP);
	f->f_op = &punching;
	tm_store(shared + P(3), 5);
	CHECK_EQ(do_madvise(mm, shared + P(3), P(2), MADV_REMOVE), 0);
	CHECK_EQ(last_punch[0], 3);
	CHECK_EQ(last_punch[1], 2);
	CHECK_EQ(tm_load(shared + P(3)), 0);
	f->f_op = NULL;
	/* A private copy is given up, the file is seen again. */
	tm_store(priv + P(9), 1);
	CHECK_EQ(tm_load(shared + P(9)), 0);
	tm_store(shared + P(9), 2);
	CHECK_EQ(do_madvise(mm, priv + P(9), P(1), MADV_DONTNEED), 0);
	CHECK_EQ(tm_load(priv + P(9)), 2);
	CHECK_EQ(do_munmap(mm, priv, P(16)), 0);
	/* Out of memory, at once where it is clean and ours to push. */
	CHECK_EQ(do_msync(mm, shared, P(16), MS_SYNC), 0);
	CHECK_EQ(do_munmap(mm, ro, P(16)), 0);
	CHECK_EQ(do_madvise(mm, shared, P(16), MADV_PAGEOUT), 0);
	CHECK_EQ(core_of(mm, shared + P(9), vec), 0);
	CHECK_EQ(tm_load(shared + P(9)), 2);
	/* msync: a locked mapping is not invalidated; a hole comes last. */
	CHECK_EQ(do_mlock(mm, shared, P(1), 0), 0);
	CHECK_EQ(do_msync(mm, shared, P(1), MS_ASYNC | MS_INVALIDATE), -EBUSY);
	CHECK_EQ(do_msync(mm, shared, P(1), MS_ASYNC), 0);
	tm_store(shared + P(15), 6);
	CHECK_EQ(do_munmap(mm, shared + P(8), P(1)), 0);
	CHECK_EQ(do_msync(mm, shared, P(16), MS_SYNC), -ENOMEM);
	CHECK_EQ(*stored(fi, 15), 6);
	mm_check(mm);
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	fput(r);
	fm_inode_drop(fi);
	return 0;
}

static void advice(void **state)
{
	(void)state;
	TM_RUN(advice_body);
}

/* /proc/PID: device, inode, offset and name; kinds of resident pages. */
static int proc_body(void *arg)
{
	static char text[8192], want[128];
	struct fm_inode *fi = fm_inode_new(16);
	struct file *f = fm_open(fi, RW_MODE);
	struct mm_struct *mm = tm_mm();
	struct seq_buf s;
	uva_t shared;
	u64 word;

	(void)arg;
	fi->inode.i_ino = 4711;
	tm_use(mm);
	f->f_ra.ra_pages = 0;
	mm_task_register(port_current(), "maps");
	shared = map(mm, 4, TM_RW, MAP_SHARED, f, 3);
	tm_store(shared, 1);
	tm_load(shared + P(1));
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/proc/self/maps", &s), 0);
	snprintf(want, sizeof(want), "%08llx-%08llx rw-s 00003000 08:01 4711 ",
		 (unsigned long long)shared, (unsigned long long)shared + P(4));
	CHECK(strstr(text, want) && strstr(text, " /test/file\n"));
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/proc/self/status", &s), 0);
	CHECK(strstr(text, "RssFile:\t       8 kB\n"));
	CHECK(strstr(text, "VmRSS:\t       8 kB\n"));
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/proc/self/statm", &s), 0);
	CHECK(strstr(text, "4 2 2 0 0 0 0\n"));
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/proc/self/smaps", &s), 0);
	CHECK(strstr(text, "Rss:                   8 kB\n"));
	CHECK(strstr(text, "Private_Dirty:         4 kB\n"));
	CHECK(strstr(text, "VmFlags: rd wr sh mr mw me ms "));
	/* Written by somebody else, through no entry. */
	CHECK(set_page_dirty(page_at(mm, shared + P(1))));
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/proc/self/smaps", &s), 0);
	CHECK(strstr(text, "Private_Dirty:         8 kB\n"));
	CHECK_EQ(mm_read("/proc/self/pagemap", (shared >> PAGE_SHIFT) * 8,
			 &word, 8),
		 8);
	CHECK(word >> 61 & 1);
	CHECK_EQ(f->f_count, 2);
	mm_task_unregister(port_current());
	mm_put(mm);
	tm_use(NULL);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

static void proc_files(void **state)
{
	(void)state;
	TM_RUN(proc_body);
}

/* Fork bomb in small: shared and private, exits in any order. */
static int family_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(32);
	struct file *f = fm_open(fi, RW_MODE);
	struct mm_struct *mm[40] = {tm_mm()};
	uva_t priv, shared;

	(void)arg;
	tm_use(mm[0]);
	priv = map(mm[0], 32, TM_RW, MAP_PRIVATE, f, 0);
	shared = map(mm[0], 32, TM_RW, MAP_SHARED, f, 0);
	for (u64 i = 1; i < 40; i++) {
		tm_use(mm[(i * 7) % i]);
		tm_store(priv + P(i % 32), i);
		tm_store(shared + P(i % 32), i);
		CHECK_EQ(mm_fork(mm[(i * 7) % i], &mm[i]), 0);
	}
	for (u64 i = 0; i < 40; i++) {
		tm_use(mm[i]);
		for (u64 p = 0; p < 32; p++)
			CHECK_EQ(tm_load(shared + P(p)),
				 p + 32 < 40 ? p + 32 : p);
		mm_check(mm[i]);
	}
	tm_use(NULL);
	for (u64 i = 0; i < 40; i++)
		mm_put(mm[(i * 3) % 40]);
	CHECK_EQ(f->f_count, 1);
	CHECK(!mapping_mapped(fi->inode.i_mapping));
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

static void family(void **state)
{
	(void)state;
	TM_RUN(family_body, .mem = 32UL << 20);
}

/* ---- dirty pages that go together ------------------------------------------
 */

static uva_t together_at;

static void reads_all(void *arg)
{
	tm_use(arg);
	for (u64 i = 0; i < 32; i++)
		(void)tm_load(together_at + P(i));
	tm_use(NULL);
}

/* The 32 pages, isolated, are judged once; how often CPUs were told. */
static u64 judge_all(struct fm_inode *fi)
{
	struct port_tlb_counts before, after;
	struct page_list list;

	lru_add_drain_all();
	page_list_init(&list);
	for (u64 i = 0; i < 32; i++) {
		struct page *page = find_get_page(fi->inode.i_mapping, i);

		CHECK(page && lru_isolate_page(page));
		ClearPageActive(page);
		ClearPageReferenced(page);
		page_list_add(&list, page);
		put_page(page);
	}
	port_tlb_counts(&before);
	CHECK_EQ(reclaim_pages(&list), 0);
	port_tlb_counts(&after);
	CHECK_EQ(list.count, 32);
	while (list.count)
		lru_putback_page(page_list_pop(&list));
	return after.remote - before.remote;
}

/* Pages that programs wrote are left to the flusher without an entry, and all
 * of them cost one flush. What was written through entries is marked. */
static int together_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(32);
	struct file *f = fm_open(fi, RW_MODE);
	struct mm_struct *mm = tm_mm();
	struct port_thread *t;

	(void)arg;
	tm_use(mm);
	together_at = map(mm, 32, TM_RW, MAP_SHARED, f, 0);
	for (u64 i = 0; i < 32; i++)
		tm_store(together_at + P(i), i + 100);
	CHECK_EQ(sim_thread_start_on(&t, "reader", 1, reads_all, mm), 0);
	port_thread_join(t);
	CHECK_EQ(judge_all(fi), 0);
	CHECK_EQ(judge_all(fi), 1);
	for (u64 i = 0; i < 32; i++) {
		struct page *page = find_get_page(fi->inode.i_mapping, i);

		CHECK(PageDirty(page) && PageReclaim(page));
		CHECK(!page_mapped(page) && !PageLocked(page));
		put_page(page);
	}
	for (u64 i = 0; i < 32; i++)
		CHECK_EQ(tm_load(together_at + P(i)), i + 100);
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

static void test_together(void **state)
{
	(void)state;
	TM_RUN(together_body, .cpus = 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_together), cmocka_unit_test(errnos),
		cmocka_unit_test(shape),	 cmocka_unit_test(provider),
		cmocka_unit_test(read_faults),	 cmocka_unit_test(write_faults),
		cmocka_unit_test(io_errors),	 cmocka_unit_test(truncation),
		cmocka_unit_test(reclaim),	 cmocka_unit_test(mremaps),
		cmocka_unit_test(advice),	 cmocka_unit_test(proc_files),
		cmocka_unit_test(family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
