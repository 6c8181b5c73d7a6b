/* SPDX-License-Identifier: MIT */
/* Files in memory and swap: contents, limits, errors, counters, a model. */
#include "shmem_machine.h"

#include "base/fail.h"

static u64 counted(enum node_stat_item item)
{
	return global_node_page_state(item);
}

/* ---- contents, holes, swap -------------------------------------------------
 */

static int contents_body(void *arg)
{
	struct super_block *sb = sh_mount(0, 0);
	struct file *f = sh_file(sb, SH_RW);
	struct inode *inode = f->f_inode;
	u64 file0 = counted(NR_FILE_PAGES), shmem0 = counted(NR_SHMEM);
	char buf[3 * PAGE_SIZE];

	(void)arg;
	memset(buf, 'x', sizeof(buf));
	CHECK_EQ(sh_read(f, buf, 10, 0), 0);
	CHECK_EQ(sh_write(f, "hello", 5, P(2) - 2), 5);
	CHECK_EQ(inode->i_size, P(2) + 3);
	CHECK_EQ(shmem_inode_blocks(inode), 2);
	CHECK_EQ(counted(NR_FILE_PAGES), file0 + 2);
	CHECK_EQ(counted(NR_SHMEM), shmem0 + 2);
	CHECK_EQ(counted(NR_FILE_DIRTY), 0);
	/* The hole reads as zeroes and stays one. */
	CHECK_EQ(sh_read(f, buf, sizeof(buf), 0), P(2) + 3);
	for (u64 i = 0; i < P(2) - 2; i++)
		CHECK_EQ(buf[i], 0);
	CHECK(!memcmp(buf + P(2) - 2, "hello", 5) && buf[P(2) + 3] == 'x');
	CHECK_EQ(shmem_inode_blocks(inode), 2);
	CHECK_EQ(space_sys.committed, 2);
	/* To swap and back. */
	sh_swap_out(inode, 1);
	CHECK(sh_swapped(inode, 1) && !sh_swapped(inode, 2));
	CHECK_EQ(get_nr_swap_pages(), tm.swap_start - 1);
	CHECK_EQ(counted(NR_FILE_PAGES), file0 + 1);
	CHECK_EQ(counted(NR_SHMEM), shmem0 + 1);
	CHECK_EQ(shmem_inode_blocks(inode), 2);
	shmem_check();
	filemap_check();
	CHECK_EQ(sh_byte(f, P(2) - 2), 'h');
	CHECK(!sh_swapped(inode, 1));
	CHECK_EQ(get_nr_swap_pages(), tm.swap_start);
	CHECK_EQ(counted(NR_SHMEM), shmem0 + 2);
	/* Written while it is out. */
	sh_swap_out(inode, 1);
	CHECK_EQ(sh_write(f, "H", 1, P(2) - 2), 1);
	sh_swap_out(inode, 1);
	CHECK_EQ(sh_byte(f, P(2) - 2), 'H');
	CHECK_EQ(sh_byte(f, P(2) - 1), 'e');
	/* The last reference takes page and entry. */
	sh_swap_out(inode, 1);
	fput(f);
	CHECK_EQ(get_nr_swap_pages(), tm.swap_start);
	CHECK_EQ(counted(NR_FILE_PAGES), file0);
	CHECK_EQ(counted(NR_SHMEM), shmem0);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static void contents(void **state)
{
	(void)state;
	TM_RUN(contents_body, .swap_pages = 64);
}

/* Pressure takes shmem as it takes anonymous memory; nothing is lost. */
static int pressure_body(void *arg)
{
	struct super_block *sb = sh_mount(0, 0);
	struct file *f = sh_file(sb, SH_RW);
	u64 pages = 6UL << 20 >> PAGE_SHIFT, v, resident, swapped;

	(void)arg;
	for (u64 i = 0; i < pages; i++) {
		v = i * 0x9e3779b97f4a7c15UL;
		CHECK_EQ(sh_write(f, &v, sizeof(v), P(i) + 8), sizeof(v));
	}
	shmem_usage(f->f_inode, &resident, &swapped);
	CHECK_EQ(resident + swapped, pages);
	CHECK(swapped > pages / 4);
	shmem_check();
	filemap_check();
	/* Entries that the file holds are accounted for. */
	port_park(50UL * 1000 * 1000);
	lru_add_drain_all();
	tm_audit();
	for (u64 i = 0; i < pages; i++) {
		CHECK_EQ(sh_read(f, &v, sizeof(v), P(i) + 8), sizeof(v));
		CHECK_EQ(v, i * 0x9e3779b97f4a7c15UL);
	}
	/* Pages that came back too soon were refaults. */
	CHECK(counted(WORKINGSET_REFAULT_BASE) > 0);
	fput(f);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static void pressure(void **state)
{
	(void)state;
	TM_RUN(pressure_body, .mem = 6UL << 20, .swap_pages = 4096);
}

/* ---- disk errors -----------------------------------------------------------
 */

static int errors_body(void *arg)
{
	struct sim_disk_fault reads = {
		.reads = true, .times = 1, .error = -EIO};
	struct sim_disk_fault writes = {
		.writes = true, .times = 1, .error = -EIO};
	struct super_block *sb = sh_mount(0, 0);
	struct file *f = sh_file(sb, SH_RW);
	char c = 0;

	(void)arg;
	CHECK_EQ(sh_write(f, "ab", 2, 0), 2);
	/* A write that fails loses nothing. */
	sim_disk_fail(tm.disk, &writes);
	sh_swap_out(f->f_inode, 0);
	sim_disk_fail(tm.disk, NULL);
	CHECK(tm_logged("write error"));
	CHECK(sh_swapped(f->f_inode, 0));
	/* A read that fails is told, and tried anew. */
	sim_disk_fail(tm.disk, &reads);
	CHECK_EQ(sh_read(f, &c, 1, 0), -EIO);
	CHECK(sh_swapped(f->f_inode, 0));
	CHECK_EQ(sh_byte(f, 1), 'b');
	/* To be zeroed the page must be read; else nothing happens. */
	sh_swap_out(f->f_inode, 0);
	sim_disk_fail(tm.disk, &reads);
	CHECK_EQ(shmem_truncate(f->f_inode, 1), -EIO);
	CHECK_EQ(f->f_inode->i_size, 2);
	sim_disk_fail(tm.disk, &reads);
	CHECK_EQ(vfs_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1,
			       P(1)),
		 -EIO);
	sim_disk_fail(tm.disk, NULL);
	CHECK_EQ(sh_byte(f, 1), 'b');
	/* Whole pages need no reading. */
	sh_swap_out(f->f_inode, 0);
	sim_disk_fail(tm.disk, &reads);
	CHECK_EQ(shmem_truncate(f->f_inode, 0), 0);
	sim_disk_fail(tm.disk, NULL);
	CHECK_EQ(get_nr_swap_pages(), tm.swap_start);
	fput(f);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static void disk_errors(void **state)
{
	(void)state;
	TM_RUN(errors_body, .swap_pages = 64);
}

/* ---- limits ----------------------------------------------------------------
 */

static int limits_body(void *arg)
{
	struct shmem_mount_options o = {.max_blocks = 4, .max_inodes = 2};
	struct super_block *sb = sh_mount(4, 2);
	struct file *f = sh_file(sb, SH_RW), *g = sh_file(sb, SH_RW);
	struct shmem_statfs s;
	static char buf[6 * PAGE_SIZE];

	(void)arg;
	CHECK_EQ(PTR_ERR(shmem_inode_new(sb, 0600)), -ENOSPC);
	CHECK_EQ(shmem_umount(sb), -EBUSY);
	CHECK_EQ(sh_write(f, buf, P(3), 0), P(3));
	CHECK_EQ(sh_write(g, buf, P(3), 0), P(1));
	CHECK_EQ(sh_write(g, buf, 1, P(1)), -ENOSPC);
	CHECK_EQ(g->f_inode->i_size, P(1));
	shmem_get_statfs(sb, &s);
	CHECK_EQ(s.f_type, TMPFS_MAGIC);
	CHECK_EQ(s.f_bsize, PAGE_SIZE);
	CHECK(s.f_blocks == 4 && s.f_bfree == 0);
	CHECK(s.f_files == 2 && s.f_ffree == 0);
	/* Swapped pages are blocks too. */
	sh_swap_out(f->f_inode, 0);
	CHECK_EQ(sh_write(g, buf, 1, P(1)), -ENOSPC);
	/* New limits: not below use, not from none or to none. */
	o.max_blocks = 3;
	CHECK_EQ(shmem_remount(sb, &o), -EINVAL);
	o.max_blocks = 0;
	CHECK_EQ(shmem_remount(sb, &o), -EINVAL);
	o.max_blocks = 5;
	o.max_inodes = 1;
	CHECK_EQ(shmem_remount(sb, &o), -EINVAL);
	CHECK_EQ(sh_write(g, buf, 1, P(1)), -ENOSPC);
	o.max_inodes = 3;
	CHECK_EQ(shmem_remount(sb, &o), 0);
	CHECK_EQ(sh_write(g, buf, 1, P(1)), 1);
	CHECK_EQ(shmem_truncate(f->f_inode, 0), 0);
	shmem_get_statfs(sb, &s);
	CHECK(s.f_blocks == 5 && s.f_bfree == 3 && s.f_ffree == 1);
	fput(f);
	fput(g);
	shmem_get_statfs(sb, &s);
	CHECK(s.f_bfree == 5 && s.f_ffree == 3);
	CHECK_EQ(shmem_umount(sb), 0);
	sb = sh_mount(0, 0);
	o.max_blocks = 10;
	CHECK_EQ(shmem_remount(sb, &o), -EINVAL);
	shmem_get_statfs(sb, &s);
	CHECK(!s.f_blocks && !s.f_bfree && !s.f_files && !s.f_ffree);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static void limits(void **state)
{
	(void)state;
	TM_RUN(limits_body, .swap_pages = 64);
}

/* The commitment: as a whole, or page by page; refused in mode 2. */
static int account_body(void *arg)
{
	struct file *f = shmem_file_setup("/dev/zero (deleted)", P(100) + 1, 0);
	struct file *g;
	u64 limit;

	(void)arg;
	CHECK(!IS_ERR(f));
	CHECK_EQ(space_sys.committed, 101);
	CHECK_EQ(sh_write(f, "x", 1, P(5)), 1);
	CHECK_EQ(space_sys.committed, 101);
	CHECK_EQ(shmem_truncate(f->f_inode, P(7)), 0);
	CHECK_EQ(space_sys.committed, 7);
	CHECK_EQ(sh_write(f, "x", 1, P(7)), 1);
	CHECK_EQ(space_sys.committed, 8);
	g = shmem_file_setup("/g", P(1UL << 31), SHMEM_NORESERVE);
	CHECK(!IS_ERR(g));
	CHECK_EQ(space_sys.committed, 8);
	CHECK_EQ(sh_write(g, "x", 1, P(1UL << 30)), 1);
	CHECK_EQ(space_sys.committed, 9);
	sh_swap_out(g->f_inode, 1UL << 30);
	CHECK_EQ(space_sys.committed, 9);
	CHECK_EQ(PTR_ERR(shmem_file_setup("", P(1UL << 31), 0)), -ENOMEM);
	CHECK_EQ(PTR_ERR(shmem_file_setup("", MAX_LFS_FILESIZE + 1, 0)),
		 -EINVAL);
	CHECK_EQ(space_sys.committed, 9);
	space_sys.overcommit_memory = 2;
	limit = vm_commit_limit();
	CHECK_EQ(PTR_ERR(shmem_file_setup("", P(limit), 0)), -ENOMEM);
	CHECK_EQ(shmem_truncate(f->f_inode, P(limit)), -ENOMEM);
	CHECK_EQ(f->f_inode->i_size, P(7) + 1);
	CHECK_EQ(sh_write(f, "x", 1, P(limit)), -ENOMEM);
	CHECK_EQ(f->f_inode->i_size, P(7) + 1);
	CHECK_EQ(space_sys.committed, 9);
	space_sys.overcommit_kbytes = 4;
	CHECK_EQ(sh_write(g, "x", 1, 0), -ENOSPC);
	CHECK_EQ(shmem_inode_blocks(g->f_inode), 1);
	space_sys.overcommit_memory = 0;
	fput(f);
	CHECK_EQ(space_sys.committed, 1);
	fput(g);
	CHECK_EQ(space_sys.committed, 0);
	shmem_check();
	return 0;
}

static void accounting(void **state)
{
	(void)state;
	TM_RUN(account_body, .swap_pages = 64);
}

/* ---- truncate --------------------------------------------------------------
 */

static int truncate_body(void *arg)
{
	struct super_block *sb = sh_mount(0, 0);
	struct file *f = sh_file(sb, SH_RW);
	struct inode *inode = f->f_inode;
	static char buf[8 * PAGE_SIZE];

	(void)arg;
	memset(buf, 'a', sizeof(buf));
	CHECK_EQ(sh_write(f, buf, sizeof(buf), 0), sizeof(buf));
	for (u64 i = 0; i < 8; i += 2)
		sh_swap_out(inode, i);
	/* Cut in a swapped page: the rest is zero when it grows again. */
	CHECK_EQ(shmem_truncate(inode, P(4) + 10), 0);
	CHECK_EQ(shmem_inode_blocks(inode), 5);
	CHECK_EQ(get_nr_swap_pages(), tm.swap_start - 2);
	CHECK_EQ(shmem_truncate(inode, P(8)), 0);
	CHECK_EQ(sh_byte(f, P(4) + 9), 'a');
	CHECK_EQ(sh_byte(f, P(4) + 10), 0);
	CHECK_EQ(sh_byte(f, P(5)), 0);
	CHECK_EQ(shmem_inode_blocks(inode), 5);
	/* On a border nothing is read in. */
	CHECK_EQ(shmem_truncate(inode, P(2)), 0);
	CHECK(sh_swapped(inode, 0));
	CHECK_EQ(shmem_inode_blocks(inode), 2);
	/* To the largest, and not beyond. */
	CHECK_EQ(shmem_truncate(inode, MAX_LFS_FILESIZE), 0);
	CHECK_EQ(shmem_truncate(inode, MAX_LFS_FILESIZE + 1), -EFBIG);
	CHECK_EQ(sh_write(f, "ab", 2, MAX_LFS_FILESIZE - 1), 1);
	CHECK_EQ(sh_write(f, "ab", 2, MAX_LFS_FILESIZE), -EFBIG);
	CHECK_EQ(sh_byte(f, MAX_LFS_FILESIZE - 1), 'a');
	CHECK_EQ(shmem_truncate(inode, 0), 0);
	CHECK_EQ(shmem_inode_blocks(inode), 0);
	CHECK_EQ(get_nr_swap_pages(), tm.swap_start);
	fput(f);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static void truncation(void **state)
{
	(void)state;
	TM_RUN(truncate_body, .swap_pages = 64);
}

/* ---- fallocate, lseek ------------------------------------------------------
 */

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static int fallocate_errno_body(void *arg)
{
	struct super_block *sb = sh_mount(0, 0);
	struct file *f = sh_file(sb, SH_RW), *ro, *app;

	(void)arg;
	ro = file_open(f->f_inode, FMODE_READ, 0, "ro");
	app = file_open(f->f_inode, SH_RW, O_APPEND, "app");
	CHECK_EQ(vfs_fallocate(f, 0, -1, 10), -EINVAL);
	CHECK_EQ(vfs_fallocate(f, 0, 0, 0), -EINVAL);
	CHECK_EQ(vfs_fallocate(f, 0, 0, -1), -EINVAL);
	CHECK_EQ(vfs_fallocate(f, 0x80, 0, 1), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(f, 0x04, 0, 1), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(f, FALLOC_FL_PUNCH_HOLE, 0, 1), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(f, PUNCH | 0x10, 0, 1), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(f, 0x08 | 0x01, 0, 1), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(f, 0x20 | 0x01, 0, 1), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(f, 0x40 | 0x10, 0, 1), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(f, 0x08, 0, P(1)), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(f, 0x10, 0, P(1)), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(f, 0x20, 0, P(1)), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(f, 0x40, 0, P(1)), -EOPNOTSUPP);
	CHECK_EQ(vfs_fallocate(ro, 0, 0, 1), -EBADF);
	/* O_APPEND is about where writes go; the attribute about contents. */
	CHECK_EQ(vfs_fallocate(app, PUNCH, 0, 1), 0);
	f->f_inode->i_flags |= S_APPEND;
	CHECK_EQ(vfs_fallocate(f, PUNCH, 0, 1), -EPERM);
	f->f_inode->i_flags = 0;
	CHECK_EQ(vfs_fallocate(f, 0, (s64)MAX_LFS_FILESIZE, 1), -EFBIG);
	CHECK_EQ(vfs_fallocate(f, 0, 1, INT64_MAX), -EFBIG);
	CHECK_EQ(shmem_inode_blocks(f->f_inode), 0);
	CHECK_EQ(f->f_inode->i_size, 0);
	CHECK_EQ(vfs_fallocate(app, 0, 0, 1), 0);
	CHECK_EQ(f->f_inode->i_size, 1);
	fput(ro);
	fput(app);
	fput(f);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static int fallocate_body(void *arg)
{
	struct super_block *sb = sh_mount(12, 0);
	struct file *f = sh_file(sb, SH_RW);
	struct inode *inode = f->f_inode;
	static char buf[8 * PAGE_SIZE];

	(void)arg;
	CHECK_EQ(vfs_fallocate(f, FALLOC_FL_KEEP_SIZE, 10, (s64)P(2)), 0);
	CHECK_EQ(inode->i_size, 0);
	CHECK_EQ(shmem_inode_blocks(inode), 3);
	CHECK(!xa_marked(&inode->i_mapping->i_pages, SHMEM_TAG_FALLOC));
	CHECK_EQ(vfs_fallocate(f, 0, 0, (s64)P(3) + 1), 0);
	CHECK_EQ(inode->i_size, P(3) + 1);
	CHECK_EQ(shmem_inode_blocks(inode), 4);
	memset(buf, 'q', sizeof(buf));
	CHECK_EQ(sh_write(f, buf, P(3) + 1, 0), P(3) + 1);
	sh_swap_out(inode, 1);
	/* More than the mount has: undone; what was there stays. */
	CHECK_EQ(vfs_fallocate(f, 0, 0, (s64)P(13)), -ENOSPC);
	CHECK_EQ(vfs_fallocate(f, 0, (s64)P(2), (s64)P(12)), -ENOSPC);
	CHECK_EQ(shmem_inode_blocks(inode), 4);
	CHECK_EQ(inode->i_size, P(3) + 1);
	CHECK(!xa_marked(&inode->i_mapping->i_pages, SHMEM_TAG_FALLOC));
	CHECK_EQ(sh_byte(f, P(3)), 'q');
	/* Holes: edges are zeroed, pages and entries go, the size stays. */
	CHECK_EQ(vfs_fallocate(f, PUNCH, 100, (s64)P(2)), 0);
	CHECK_EQ(inode->i_size, P(3) + 1);
	CHECK_EQ(shmem_inode_blocks(inode), 3);
	CHECK_EQ(get_nr_swap_pages(), tm.swap_start);
	CHECK(sh_byte(f, 99) == 'q' && sh_byte(f, 100) == 0);
	CHECK(sh_byte(f, P(1)) == 0 && sh_byte(f, P(2) + 99) == 0);
	CHECK(sh_byte(f, P(2) + 100) == 'q');
	CHECK_EQ(vfs_fallocate(f, PUNCH, 5, 10), 0);
	CHECK(sh_byte(f, 4) == 'q' && sh_byte(f, 5) == 0);
	CHECK(sh_byte(f, 14) == 0 && sh_byte(f, 15) == 'q');
	CHECK_EQ(vfs_fallocate(f, PUNCH, (s64)P(50), (s64)P(50)), 0);
	/* Data: 0, 2, 3; hole: 1. */
	CHECK_EQ(shmem_seek(f, 7, SEEK_DATA), 7);
	CHECK_EQ(shmem_seek(f, 7, SEEK_HOLE), P(1));
	CHECK_EQ(shmem_seek(f, (s64)P(1) + 7, SEEK_DATA), P(2));
	CHECK_EQ(shmem_seek(f, (s64)P(1) + 7, SEEK_HOLE), P(1) + 7);
	CHECK_EQ(shmem_seek(f, (s64)P(2), SEEK_HOLE), P(3) + 1);
	CHECK_EQ(shmem_seek(f, (s64)P(3) + 1, SEEK_DATA), -ENXIO);
	CHECK_EQ(shmem_seek(f, (s64)P(3) + 1, SEEK_HOLE), -ENXIO);
	CHECK_EQ(shmem_seek(f, -1, SEEK_DATA), -ENXIO);
	CHECK_EQ(shmem_seek(f, 0, 2), -EINVAL);
	sh_swap_out(inode, 2);
	CHECK_EQ(shmem_seek(f, (s64)P(1), SEEK_DATA), P(2));
	CHECK_EQ(shmem_truncate(inode, P(9)), 0);
	CHECK_EQ(shmem_seek(f, (s64)P(4), SEEK_DATA), -ENXIO);
	CHECK_EQ(shmem_seek(f, (s64)P(4) + 1, SEEK_HOLE), P(4) + 1);
	CHECK_EQ(shmem_seek(f, (s64)P(3) + 1, SEEK_HOLE), P(4));
	fput(f);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

/* More than all memory: it says so, nobody is killed, all is undone. */
static int fallocate_huge_body(void *arg)
{
	struct super_block *sb = sh_mount(0, 0);
	struct file *f = sh_file(sb, SH_RW);
	struct mm_struct *mm = tm_mm();

	/* Somebody whom the killer could choose. */
	tm_use(mm);
	mm_task_register(port_current(), "main");
	tm_store(tm_map(mm, 1), 1);
	CHECK_EQ(sh_write(f, "keep", 4, P(3)), 4);
	CHECK_EQ(vfs_fallocate(f, 0, 0, (s64)P(arg ? 2040 : 8192)), -ENOMEM);
	CHECK_EQ(shmem_inode_blocks(f->f_inode), 1);
	CHECK_EQ(f->f_inode->i_size, P(3) + 4);
	CHECK_EQ(sh_byte(f, P(3) + 3), 'p');
	CHECK_EQ(sum_vm_event(OOM_KILL), 0);
	CHECK_EQ(port_current()->fatal_signal, 0);
	fput(f);
	tm_use(NULL);
	mm_task_unregister(port_current());
	mm_put(mm);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static void fallocate(void **state)
{
	(void)state;
	TM_RUN(fallocate_errno_body);
	TM_RUN(fallocate_body, .swap_pages = 64);
	TM_RUN(fallocate_huge_body, .mem = 8UL << 20, .swap_pages = 512);
	/* Nothing that is made can be reclaimed, and so says that it is. */
	TM_RUN(fallocate_huge_body, .arg = "", .mem = 8UL << 20);
}

/* ---- memfd, seals ----------------------------------------------------------
 */

static int memfd_errno(const char *name, u32 flags)
{
	struct file *f = memfd_create_file(name, flags);

	if (IS_ERR(f))
		return (int)PTR_ERR(f);
	fput(f);
	return 0;
}

static int memfd_body(void *arg)
{
	char name[256];
	struct file *f;

	(void)arg;
	memset(name, 'n', sizeof(name));
	name[250] = 0;
	CHECK_EQ(memfd_errno(name, 0), -EINVAL);
	name[249] = 0;
	CHECK_EQ(memfd_errno(name, MFD_CLOEXEC), 0);
	CHECK_EQ(memfd_errno("", 0x20), -EINVAL);
	CHECK_EQ(memfd_errno("", 21u << 26), -EINVAL);
	CHECK_EQ(memfd_errno("", MFD_HUGETLB), -ENOSYS);
	CHECK_EQ(memfd_errno("", MFD_HUGETLB | 21u << 26), -ENOSYS);
	CHECK_EQ(memfd_errno("", MFD_EXEC | MFD_NOEXEC_SEAL), -EINVAL);
	f = memfd_create_file("a b", 0);
	CHECK(!strcmp(f->f_path, "/memfd:a b (deleted)"));
	CHECK_EQ(shmem_get_seals(f), F_SEAL_SEAL);
	CHECK_EQ(f->f_inode->i_mode, S_IFREG | 0777);
	CHECK_EQ(f->f_inode->i_nlink, 0);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_GROW), -EPERM);
	CHECK_EQ(shmem_setmode(f->f_inode, 0600), 0);
	fput(f);
	f = memfd_create_file("", MFD_NOEXEC_SEAL);
	CHECK_EQ(shmem_get_seals(f), F_SEAL_EXEC);
	CHECK_EQ(f->f_inode->i_mode, S_IFREG | 0666);
	CHECK_EQ(shmem_setmode(f->f_inode, 0777), -EPERM);
	CHECK_EQ(shmem_setmode(f->f_inode, 0600), 0);
	CHECK_EQ(f->f_inode->i_mode, S_IFREG | 0600);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_SEAL), 0);
	fput(f);
	cache_sys.shmem.memfd_noexec = 1;
	f = memfd_create_file("", MFD_ALLOW_SEALING);
	CHECK_EQ(f->f_inode->i_mode, S_IFREG | 0666);
	fput(f);
	CHECK_EQ(memfd_errno("", MFD_EXEC), 0);
	cache_sys.shmem.memfd_noexec = 2;
	CHECK_EQ(memfd_errno("", MFD_EXEC), -EACCES);
	CHECK_EQ(memfd_errno("", 0), 0);
	cache_sys.shmem.memfd_noexec = 0;
	shmem_check();
	return 0;
}

static int seals_body(void *arg)
{
	struct file *f = memfd_create_file("s", MFD_ALLOW_SEALING), *ro;
	struct inode *inode = f->f_inode;
	struct page *page;
	bool keep;
	char buf[PAGE_SIZE] = {1};

	(void)arg;
	ro = file_open(inode, FMODE_READ, 0, "");
	CHECK_EQ(shmem_get_seals(f), 0);
	CHECK_EQ(sh_write(f, buf, 100, 0), 100);
	CHECK_EQ(shmem_add_seals(ro, F_SEAL_GROW), -EPERM);
	CHECK_EQ(shmem_add_seals(f, 0x40), -EINVAL);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_SHRINK), 0);
	CHECK_EQ(shmem_truncate(inode, 99), -EPERM);
	CHECK_EQ(shmem_truncate(inode, 100), 0);
	CHECK_EQ(shmem_truncate(inode, 200), 0);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_GROW), 0);
	CHECK_EQ(shmem_get_seals(f), F_SEAL_SHRINK | F_SEAL_GROW);
	CHECK_EQ(shmem_truncate(inode, 201), -EPERM);
	CHECK_EQ(sh_write(f, buf, 1, 200), -EPERM);
	CHECK_EQ(sh_write(f, buf, 2, 199), -EPERM);
	CHECK_EQ(sh_write(f, buf, 1, 199), 1);
	/* A write that is refused clears nothing behind the end. */
	page = find_get_page(inode->i_mapping, 0);
	((char *)page_view(page))[300] = 7;
	CHECK_EQ(sh_write(f, buf, 1, 400), -EPERM);
	CHECK_EQ(((char *)page_view(page))[300], 7);
	put_page(page);
	CHECK_EQ(vfs_fallocate(f, FALLOC_FL_KEEP_SIZE, 0, (s64)P(2)), -EPERM);
	CHECK_EQ(vfs_fallocate(f, 0, 0, 200), 0);
	CHECK_EQ(vfs_fallocate(f, PUNCH, 0, 10), 0);
	/* Writable mappings and held pages are in the way of WRITE. */
	CHECK_EQ(mapping_map_writable(inode->i_mapping), 0);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_WRITE), -EBUSY);
	mapping_unmap_writable(inode->i_mapping);
	page = find_get_page(inode->i_mapping, 0);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_WRITE), -EBUSY);
	CHECK_EQ(mapping_map_writable(inode->i_mapping), 0);
	mapping_unmap_writable(inode->i_mapping);
	CHECK_EQ(shmem_mmap_seals(inode, true, &keep), 0);
	put_page(page);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_WRITE), 0);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_WRITE), 0);
	CHECK_EQ(mapping_map_writable(inode->i_mapping), -EPERM);
	CHECK_EQ(shmem_mmap_seals(inode, true, &keep), -EPERM);
	CHECK_EQ(shmem_mmap_seals(inode, false, &keep), 0);
	CHECK(keep);
	CHECK_EQ(sh_write(f, buf, 1, 0), -EPERM);
	CHECK_EQ(vfs_fallocate(f, PUNCH, 0, 10), -EPERM);
	CHECK_EQ(sh_byte(f, 199), 1);
	shmem_check();
	CHECK_EQ(shmem_add_seals(f, F_SEAL_SEAL), 0);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_SEAL), -EPERM);
	fput(ro);
	fput(f);
	/* FUTURE_WRITE does not mind what is mapped already. */
	f = memfd_create_file("", MFD_ALLOW_SEALING);
	CHECK_EQ(mapping_map_writable(f->f_mapping), 0);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_FUTURE_WRITE), 0);
	CHECK_EQ(sh_write(f, buf, 1, 0), -EPERM);
	CHECK_EQ(vfs_fallocate(f, PUNCH, 0, 10), -EPERM);
	CHECK_EQ(shmem_mmap_seals(f->f_inode, true, &keep), -EPERM);
	mapping_unmap_writable(f->f_mapping);
	/* An executable file that keeps its x bits keeps its contents. */
	fput(f);
	f = memfd_create_file("", MFD_ALLOW_SEALING | MFD_EXEC);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_EXEC), 0);
	CHECK_EQ(shmem_get_seals(f), MM_ALL_SEALS & ~F_SEAL_SEAL);
	CHECK_EQ(shmem_setmode(f->f_inode, 0666), -EPERM);
	fput(f);
	return 0;
}

/* Part of a write fits into a file that may not grow: page by page. */
static int grow_seal_body(void *arg)
{
	struct file *f = memfd_create_file("", MFD_ALLOW_SEALING);
	static char buf[2 * PAGE_SIZE];

	(void)arg;
	CHECK_EQ(sh_write(f, buf, P(1) + 1, 0), P(1) + 1);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_GROW), 0);
	CHECK_EQ(sh_write(f, buf, P(2), 0), P(1));
	fput(f);
	/* Files of a mount have no seals; others do not know them. */
	struct super_block *sb = sh_mount(0, 0);

	f = sh_file(sb, SH_RW);
	CHECK_EQ(shmem_get_seals(f), F_SEAL_SEAL);
	CHECK_EQ(shmem_add_seals(f, F_SEAL_SHRINK), -EPERM);
	fput(f);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static void memfd(void **state)
{
	(void)state;
	TM_RUN(memfd_body);
	TM_RUN(seals_body);
	TM_RUN(grow_seal_body);
}

/* SHM_LOCK: reclaim passes by. */
static int lock_body(void *arg)
{
	struct file *f = shmem_file_setup("/l", P(4), 0);
	struct inode *inode = f->f_inode;
	struct page *page;

	(void)arg;
	CHECK_EQ(sh_write(f, "x", 1, 0), 1);
	shmem_lock(inode, true);
	page = find_get_page(inode->i_mapping, 0);
	CHECK_EQ(sh_shrink(page), 0);
	CHECK(PageActive(page) && !sh_swapped(inode, 0));
	shmem_lock(inode, false);
	sh_swap_out(inode, 0);
	CHECK(sh_swapped(inode, 0));
	fput(f);
	return 0;
}

static void locked(void **state)
{
	(void)state;
	TM_RUN(lock_body, .swap_pages = 64);
}

/* ---- the model -------------------------------------------------------------
 */

#define M_PAGES 24u
#define M_FILES 3u

struct model {
	struct file *file;
	u64 size;
	bool block[M_PAGES + 1];
	unsigned char bytes[P(M_PAGES)];
};

static u64 m_limit;

static u64 m_used(const struct model *m)
{
	u64 n = 0;

	for (u32 i = 0; i < M_FILES; i++)
		for (u32 p = 0; p < M_PAGES; p++)
			n += m[i].block[p];
	return n;
}

static void m_write(struct model *all, struct model *m, struct prng *r)
{
	static unsigned char buf[P(4)];
	u64 pos = prng_below(r, P(M_PAGES) - 1);
	u64 n = 1 + prng_below(r, min(P(M_PAGES) - pos, sizeof(buf))), done = 0;
	u64 used = m_used(all);
	s64 got;

	for (u64 i = 0; i < n; i++)
		buf[i] = (unsigned char)prng_u64(r);
	while (done < n) {
		u64 page = (pos + done) >> PAGE_SHIFT;

		if (!m->block[page] && used++ >= m_limit)
			break;
		m->block[page] = true;
		done = min(n, P(page + 1) - pos);
	}
	got = sh_write(m->file, buf, n, pos);
	CHECK_EQ(got, done ? (s64)done : -ENOSPC);
	memcpy(m->bytes + pos, buf, done);
	if (done)
		m->size = max(m->size, pos + done);
}

static void m_read(struct model *m, struct prng *r)
{
	static unsigned char buf[P(5)];
	u64 pos = prng_below(r, P(M_PAGES) - 1);
	u64 n = 1 + prng_below(r, sizeof(buf));
	u64 want = pos < m->size ? min(n, m->size - pos) : 0;

	CHECK_EQ(sh_read(m->file, buf, n, pos), want);
	CHECK(!memcmp(buf, m->bytes + pos, want));
}

static void m_truncate(struct model *m, struct prng *r)
{
	u64 size = prng_below(r, P(M_PAGES));

	if (prng_below(r, 3) == 0)
		size &= PAGE_MASK;
	CHECK_EQ(shmem_truncate(m->file->f_inode, size), 0);
	memset(m->bytes + size, 0, P(M_PAGES) - size);
	if (size < m->size)
		for (u64 p = (size + PAGE_SIZE - 1) >> PAGE_SHIFT; p < M_PAGES;
		     p++)
			m->block[p] = false;
	m->size = size;
}

static void m_punch(struct model *m, struct prng *r)
{
	u64 pos = prng_below(r, P(M_PAGES) - 1);
	u64 n = 1 + prng_below(r, P(M_PAGES) - pos);

	CHECK_EQ(vfs_fallocate(m->file, PUNCH, (s64)pos, (s64)n), 0);
	memset(m->bytes + pos, 0, n);
	for (u64 p = (pos + PAGE_SIZE - 1) >> PAGE_SHIFT;
	     p < (pos + n) >> PAGE_SHIFT; p++)
		m->block[p] = false;
}

static void m_allocate(struct model *all, struct model *m, struct prng *r)
{
	u64 pos = prng_below(r, P(M_PAGES) - 1);
	u64 n = 1 + prng_below(r, P(M_PAGES) - pos);
	u32 mode = prng_below(r, 2) ? FALLOC_FL_KEEP_SIZE : 0;
	u64 first = pos >> PAGE_SHIFT, last = (pos + n - 1) >> PAGE_SHIFT;
	u64 need = 0;
	int err;

	for (u64 p = first; p <= last; p++)
		need += !m->block[p];
	err = vfs_fallocate(m->file, mode, (s64)pos, (s64)n);
	if (m_used(all) + need > m_limit || last - first + 1 > m_limit) {
		CHECK_EQ(err, -ENOSPC);
		return;
	}
	CHECK_EQ(err, 0);
	for (u64 p = first; p <= last; p++)
		m->block[p] = true;
	if (!mode)
		m->size = max(m->size, pos + n);
}

static void m_seek(struct model *m, struct prng *r)
{
	u64 pos = prng_below(r, P(M_PAGES)), at = pos;
	bool data = prng_below(r, 2);
	s64 want;

	while (at < m->size && m->block[at >> PAGE_SHIFT] != data)
		at = (at & PAGE_MASK) + PAGE_SIZE;
	want = (s64)at;
	if (pos >= m->size)
		want = -ENXIO;
	else if (at >= m->size)
		want = data ? -ENXIO : (s64)m->size;
	CHECK_EQ(shmem_seek(m->file, (s64)pos, data ? SEEK_DATA : SEEK_HOLE),
		 want);
}

static void m_check(struct model *all)
{
	static unsigned char buf[P(M_PAGES)];
	struct shmem_statfs s;

	for (u32 i = 0; i < M_FILES; i++) {
		struct model *m = &all[i];
		u64 n = 0;

		for (u32 p = 0; p < M_PAGES; p++)
			n += m->block[p];
		CHECK_EQ(shmem_inode_blocks(m->file->f_inode), n);
		CHECK_EQ(m->file->f_inode->i_size, m->size);
		CHECK_EQ(sh_read(m->file, buf, sizeof(buf), 0), m->size);
		CHECK(!memcmp(buf, m->bytes, m->size));
	}
	shmem_get_statfs(all->file->f_inode->i_sb, &s);
	CHECK_EQ(s.f_blocks - s.f_bfree, m_used(all));
	shmem_check();
	filemap_check();
	swap_check();
}

static void m_step(struct model *all, struct prng *r)
{
	struct model *m = &all[prng_below(r, M_FILES)];
	u64 page = prng_below(r, M_PAGES);

	switch (prng_below(r, 8)) {
	case 0:
	case 1:
		m_write(all, m, r);
		break;
	case 2:
		m_read(m, r);
		break;
	case 3:
		m_truncate(m, r);
		break;
	case 4:
		m_punch(m, r);
		break;
	case 5:
		m_allocate(all, m, r);
		break;
	case 6:
		m_seek(m, r);
		break;
	default:
		for (u64 i = 0; i < 1 + page / 4; i++)
			sh_swap_out(m->file->f_inode, (page + i) % M_PAGES);
	}
}

static int model_body(void *arg)
{
	static struct model all[M_FILES];
	struct prng *r = arg;
	u64 steps = 400;
	struct super_block *sb;

	m_limit = 20 + prng_below(r, 3 * M_PAGES - 20);
	sb = sh_mount(m_limit, 0);
	memset(all, 0, sizeof(all));
	for (u32 i = 0; i < M_FILES; i++)
		all[i].file = sh_file(sb, SH_RW);
	for (u64 i = 0; i < steps; i++) {
		snprintf(tm_context, sizeof(tm_context), "step %llu",
			 (unsigned long long)i);
		m_step(all, r);
		if (i % 16 == 0)
			m_check(all);
	}
	m_check(all);
	for (u32 i = 0; i < M_FILES; i++)
		fput(all[i].file);
	CHECK_EQ(shmem_umount(sb), 0);
	return 0;
}

static void model(void **state)
{
	struct prng r;

	(void)state;
	test_seed(&r, "shmem model");
	for (u64 i = 0; i < test_iters(6); i++)
		TM_RUN(model_body, .arg = &r, .swap_pages = 128,
		       .seed = test_env("SEED", 1) + i);
	tm_context[0] = 0;
}

/* ---- every allocation fails ------------------------------------------------
 */

struct fail_files {
	struct super_block *sb;
	struct file *f;
};

static int ff_write(struct fail_files *ff)
{
	s64 n = sh_write(ff->f, "new", 3, P(70) - 1);

	if (n < 0)
		return (int)n;
	CHECK(n == 1 || n == 3);
	CHECK_EQ(shmem_truncate(ff->f->f_inode, P(3)), 0);
	return n == 3 ? 0 : -ENOMEM;
}

static int ff_swapin(struct fail_files *ff)
{
	char c;
	s64 n = sh_read(ff->f, &c, 1, P(1));

	if (n < 0)
		return (int)n;
	CHECK(n == 1 && c == 'b');
	return 0;
}

static int ff_fallocate(struct fail_files *ff)
{
	int err = vfs_fallocate(ff->f, FALLOC_FL_KEEP_SIZE, 0, (s64)P(9));

	if (!err)
		CHECK_EQ(vfs_fallocate(ff->f, PUNCH, (s64)P(3), (s64)P(6)), 0);
	return err;
}

static int ff_memfd(struct fail_files *ff)
{
	(void)ff;
	return memfd_errno("fail", MFD_ALLOW_SEALING);
}

static int ff_setup(struct fail_files *ff)
{
	struct file *f = shmem_file_setup("/f", P(9), 0);

	(void)ff;
	if (IS_ERR(f))
		return (int)PTR_ERR(f);
	fput(f);
	return 0;
}

static int ff_inode(struct fail_files *ff)
{
	struct inode *inode = shmem_inode_new(ff->sb, 0600);

	if (IS_ERR(inode))
		return (int)PTR_ERR(inode);
	inode->i_nlink = 0;
	iput(inode);
	return 0;
}

static int ff_mount(struct fail_files *ff)
{
	struct shmem_mount_options o = {0};
	struct super_block *sb = shmem_mount(&o);

	(void)ff;
	return IS_ERR(sb) ? (int)PTR_ERR(sb) : shmem_umount(sb);
}

/* Reclaim's way: the page stays, or is in swap with its contents. */
static int ff_reclaim(struct fail_files *ff)
{
	struct page *page = find_get_page(ff->f->f_mapping, 2);

	if (page)
		(void)sh_shrink(page);
	return sh_swapped(ff->f->f_inode, 2) ? 0 : -ENOMEM;
}

static int fail_body(void *arg)
{
	static int (*const ops[])(struct fail_files *) = {
		ff_write, ff_swapin, ff_fallocate, ff_memfd,
		ff_setup, ff_inode,  ff_mount,	   ff_reclaim,
	};
	struct fail_files ff = {.sb = sh_mount(100, 0)};
	u64 fired = 0;

	(void)arg;
	ff.f = sh_file(ff.sb, SH_RW);
	CHECK_EQ(sh_write(ff.f, "a", 1, P(0)), 1);
	CHECK_EQ(sh_write(ff.f, "b", 1, P(1)), 1);
	CHECK_EQ(sh_write(ff.f, "c", 1, P(3) - 1), 1);
	for (u32 op = 0; op < ARRAY_SIZE(ops); op++) {
		for (u64 n = 1; n < 200; n++) {
			struct fail_result res;
			int err;

			snprintf(tm_context, sizeof(tm_context),
				 "op %u failure %llu", op,
				 (unsigned long long)n);
			sh_swap_out(ff.f->f_inode, 1);
			CHECK_EQ(sh_byte(ff.f, P(3) - 1), 'c');
			fail_arm_nth(FAIL_ALL, n / 2 + 1, n & 1);
			fail_only_task(port_current());
			err = ops[op](&ff);
			res = fail_disarm();
			fired += res.fired;
			CHECK(err == 0 || err == -ENOMEM);
			CHECK(err == 0 || res.fired);
			CHECK_EQ(sh_byte(ff.f, 0), 'a');
			CHECK_EQ(sh_byte(ff.f, P(1)), 'b');
			CHECK_EQ(sh_byte(ff.f, P(3) - 1), 'c');
			CHECK_EQ(ff.f->f_inode->i_size, P(3));
			CHECK_EQ(shmem_inode_blocks(ff.f->f_inode), 3);
			CHECK_EQ(shmem_sbi(ff.sb)->used_blocks, 3);
			if (!res.fired)
				break;
		}
	}
	tm_context[0] = 0;
	CHECK(fired > 30);
	fput(ff.f);
	CHECK_EQ(shmem_umount(ff.sb), 0);
	return 0;
}

static void failing(void **state)
{
	(void)state;
	TM_RUN(fail_body, .swap_pages = 64);
}

/* ---- races -----------------------------------------------------------------
 */

#define R_PAGES 6u

struct race {
	struct super_block *sb;
	struct file *f;
	u64 seed;
	bool done;
	u64 reads;
};

/* Words of page I are I + 1 plus the round, or 0 (a hole). */
static void race_reader(void *arg)
{
	struct race *r = arg;
	struct prng p;

	prng_seed(&p, r->seed + 1);
	for (int i = 0; i < 60; i++) {
		u64 page = prng_below(&p, R_PAGES), v[2] = {0, 0};
		s64 n = sh_read(r->f, v, sizeof(v), P(page));

		CHECK(n == 0 || n == sizeof(v));
		CHECK(v[0] == 0 || (v[0] & 0xff) == page + 1);
		r->reads++;
	}
}

static void race_reclaim(void *arg)
{
	struct race *r = arg;
	struct prng p;

	prng_seed(&p, r->seed + 2);
	for (int i = 0; i < 80; i++) {
		if (!sh_try_swap_out(r->f->f_inode, prng_below(&p, R_PAGES)))
			port_park(20 * 1000);
		port_sched_point();
	}
}

static void race_change(void *arg)
{
	struct race *r = arg;
	struct prng p;

	prng_seed(&p, r->seed + 3);
	for (u64 i = 0; i < 60; i++) {
		u64 page = prng_below(&p, R_PAGES), v[2];

		switch (prng_below(&p, 5)) {
		case 0:
			CHECK_EQ(shmem_truncate(r->f->f_inode, P(page)), 0);
			CHECK_EQ(shmem_truncate(r->f->f_inode, P(R_PAGES)), 0);
			CHECK(sh_byte(r->f, P(page)) == 0);
			break;
		case 1:
			CHECK_EQ(vfs_fallocate(r->f, PUNCH, (s64)P(page),
					       (s64)P(1)),
				 0);
			CHECK(sh_byte(r->f, P(page)) == 0);
			break;
		case 2:
			CHECK_EQ(
				vfs_fallocate(r->f, 0, (s64)P(page), (s64)P(1)),
				0);
			break;
		default:
			v[0] = v[1] = (i << 8) + page + 1;
			CHECK_EQ(sh_write(r->f, v, sizeof(v), P(page)),
				 sizeof(v));
			CHECK_EQ(sh_read(r->f, v, sizeof(v), P(page)),
				 sizeof(v));
			CHECK_EQ(v[0], (i << 8) + page + 1);
		}
	}
}

static int race_body(void *arg)
{
	static void (*const fn[])(void *) = {race_reader, race_reclaim,
					     race_change};
	struct race r = {.sb = sh_mount(0, 0), .seed = tm.cfg.seed};
	struct port_thread *t[ARRAY_SIZE(fn)];

	(void)arg;
	r.f = sh_file(r.sb, SH_RW);
	CHECK_EQ(shmem_truncate(r.f->f_inode, P(R_PAGES)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fn); i++)
		CHECK_EQ(sim_thread_start_on(&t[i], "race",
					     (int)i % tm.cfg.cpus, fn[i], &r),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(fn); i++)
		port_thread_join(t[i]);
	shmem_check();
	filemap_check();
	fput(r.f);
	CHECK_EQ(shmem_umount(r.sb), 0);
	return 0;
}

static void races(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(60);

	(void)state;
	fprintf(stderr, "shmem races: SEED=%llu\n", (unsigned long long)seed);
	for (u64 i = 0; i < n; i++)
		TM_RUN(race_body, .swap_pages = 64, .cpus = 3, .seed = seed + i,
		       .explore = true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents),    cmocka_unit_test(pressure),
		cmocka_unit_test(disk_errors), cmocka_unit_test(limits),
		cmocka_unit_test(accounting),  cmocka_unit_test(truncation),
		cmocka_unit_test(fallocate),   cmocka_unit_test(memfd),
		cmocka_unit_test(locked),      cmocka_unit_test(model),
		cmocka_unit_test(failing),     cmocka_unit_test(races),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
