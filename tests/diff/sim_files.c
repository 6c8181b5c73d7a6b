/* SPDX-License-Identifier: MIT */
/*
 * sim_files.c - open files on mmkit's side.
 *
 * Files with a disk are flat files on two disks in memory, made anew for each
 * sequence and without a name, so that nothing is written when they go. What
 * is checked here is what Linux checks before it asks the memory manager:
 * numbers of descriptors, signs, rights to truncate.
 */
#include <mmkit/flatfile.h>

#include "base/string.h"
#include "filemap_machine.h"
#include "shmem_machine.h"
#include "sim_files.h"

#include "difflib.h"

static struct file *table[DIFF_MAX_PROCS][DIFF_NR_FDS];
static struct port_bdev *disk[2];
static struct super_block sb;
static uint64_t io[DIFF_IO / 8];

void sim_files_start(void)
{
	memset(&sb, 0, sizeof(sb));
	sb.s_dev = 0x801;
	sb.s_id = "mmdiff";
	sb.s_maxbytes = MAX_LFS_FILESIZE;
	sb.s_iflags = linux_host()->noexec ? SB_I_NOEXEC : 0;
	disk[0] = tm_disk(1);
	disk[1] = tm_disk(1);
}

/* An empty file on disk N, without a name. */
static struct inode *new_inode(unsigned n)
{
	struct inode *inode = NULL;

	CHECK_EQ(port_bdev_resize(disk[n], 0), 0);
	CHECK_EQ(flatfile_new(&sb, disk[n], n + 1, S_IFREG | 0600, &inode), 0);
	inode->i_nlink = 0;
	return inode;
}

static struct file *open_as(struct inode *inode, u32 mode, u32 flags,
			    const char *path)
{
	struct file *file = file_open(inode, mode, flags, path);

	CHECK(file);
	return file;
}

static void prepare_disk(struct file **t)
{
	struct inode *a = new_inode(0), *b = new_inode(1);
	u64 pos = 0;

	t[0] = open_as(a, SH_RW, 0, "/mmdiff-A");
	t[1] = open_as(a, FMODE_READ, 0, "/mmdiff-A");
	t[2] = open_as(a, FMODE_WRITE, 0, "/mmdiff-A");
	t[3] = open_as(b, SH_RW, O_APPEND, "/mmdiff-B");
	iput(a);
	iput(b);
	diff_fill(io, DIFF_IO / 8, 0xa);
	CHECK_EQ(kernel_write(t[0], io, DIFF_A_SIZE, &pos), DIFF_A_SIZE);
}

static s64 new_memfd(struct file **t, uint32_t slot, u32 flags)
{
	char name[] = "m0";
	struct file *file;

	name[1] = (char)('0' + slot);
	file = memfd_create_file(name, flags);
	if (IS_ERR(file))
		return PTR_ERR(file);
	if (t[slot])
		fput(t[slot]);
	t[slot] = file;
	return 0;
}

void sim_files_prepare(uint32_t uses)
{
	struct file **t = table[0];

	if (uses & DIFF_USES_DISK)
		prepare_disk(t);
	if (!(uses & DIFF_USES_FILES))
		return;
	CHECK_EQ(new_memfd(t, 4, MFD_ALLOW_SEALING), 0);
	CHECK_EQ(vfs_truncate(t[4]->f_inode, P(4)), 0);
	t[5] = open_as(t[4]->f_inode, FMODE_READ, 0, t[4]->f_path);
}

void sim_files_fork(uint32_t parent, uint32_t child)
{
	for (uint32_t i = 0; i < DIFF_NR_FDS; i++)
		if (table[parent][i])
			table[child][i] = get_file(table[parent][i]);
}

void sim_files_close(uint32_t proc)
{
	for (uint32_t i = 0; i < DIFF_NR_FDS; i++) {
		if (table[proc][i])
			fput(table[proc][i]);
		table[proc][i] = NULL;
	}
}

struct file *sim_file(uint32_t proc, uint64_t fd)
{
	return fd - DIFF_FD0 < DIFF_NR_FDS ? table[proc][fd - DIFF_FD0] : NULL;
}

void sim_file_state(struct file *file, uint64_t *size, uint64_t *hash)
{
	u64 pos = 0;
	s64 n = 1;

	*hash = 0;
	*size = ~0ul;
	if (!file)
		return;
	*size = i_size_read(file->f_inode);
	while (n > 0 && pos < DIFF_HASHED) {
		n = kernel_read(file, io, DIFF_IO, &pos);
		if (n > 0)
			*hash = diff_bytes(*hash, io, (u64)n);
	}
}

s64 sim_mmap_file(struct mm_struct *mm, const struct diff_op *op)
{
	const uint64_t *a = op->arg;
	struct mm_mmap r = {
		.addr = a[0],
		.len = a[1],
		.prot = (int)a[2],
		.flags = (int)a[3],
		.file = sim_file(op->proc, a[4]),
		.pgoff = a[5] >> PAGE_SHIFT,
	};

	if (!IS_ALIGNED(a[5], PAGE_SIZE))
		return -EINVAL;
	if (!r.file && !(r.flags & MAP_ANONYMOUS))
		return -EBADF;
	return do_mmap_file(mm, &r);
}

static s64 sim_ftruncate(struct file *file, s64 size)
{
	if (size < 0)
		return -EINVAL;
	if (!file)
		return -EBADF;
	if (!(file->f_mode & FMODE_WRITE))
		return -EINVAL;
	return vfs_truncate(file->f_inode, (u64)size);
}

static void sim_pread(struct file *file, const uint64_t *a,
		      struct diff_result *r)
{
	u64 pos = a[1];

	r->ret = (s64)pos < 0 ? -EINVAL
		 : !file      ? -EBADF
			      : kernel_read(file, io, a[2], &pos);
	if (r->ret > 0)
		r->addr = diff_bytes(0, io, (u64)r->ret);
}

static s64 sim_pwrite(struct file *file, const uint64_t *a)
{
	u64 pos = a[1];

	if ((s64)pos < 0)
		return -EINVAL;
	diff_fill(io, DIFF_IO / 8, a[3]);
	return file ? kernel_write(file, io, a[2], &pos) : -EBADF;
}

static s64 sim_close(uint32_t proc, uint64_t fd)
{
	struct file *file = sim_file(proc, fd);

	if (!file)
		return -EBADF;
	table[proc][fd - DIFF_FD0] = NULL;
	fput(file);
	return 0;
}

/* The calls that begin with a descriptor that must be open. */
static s64 on_file(struct file *file, const struct diff_op *op)
{
	const uint64_t *a = op->arg;

	if (!file)
		return -EBADF;
	switch (op->call) {
	case OP_FALLOCATE:
		return vfs_fallocate(file, (u32)a[1], (s64)a[2], (s64)a[3]);
	case OP_FSYNC:
	case OP_FDATASYNC:
		return vfs_fsync_range(file, 0, INT64_MAX,
				       op->call == OP_FDATASYNC);
	case OP_FADVISE:
		return vfs_fadvise(file, (s64)a[1], (s64)a[2], (int)a[3]);
	case OP_SEAL:
		return shmem_add_seals(file, (u32)a[1]);
	default:
		return shmem_get_seals(file);
	}
}

/* Has a mapping stored something behind the end of FILE, in memory? */
static bool behind_end(struct file *file)
{
	u64 size = file ? i_size_read(file->f_inode) : 0;
	struct page *page;
	bool any;

	if (!file || !shmem_is_inode(file->f_inode) || !(size & ~PAGE_MASK))
		return false;
	page = find_get_page(file->f_mapping, size >> PAGE_SHIFT);
	if (!page)
		return false;
	any = mm_memchr_inv((char *)page_view(page) + (size & ~PAGE_MASK), 0,
			    PAGE_SIZE - (size & ~PAGE_MASK)) != NULL;
	put_page(page);
	return any;
}

static void perform(struct file *file, const struct diff_op *op,
		    struct diff_result *r)
{
	const uint64_t *a = op->arg;

	switch (op->call) {
	case OP_FTRUNCATE:
		r->ret = sim_ftruncate(file, (s64)a[1]);
		break;
	case OP_PREAD:
		sim_pread(file, a, r);
		break;
	case OP_PWRITE:
		r->ret = sim_pwrite(file, a);
		break;
	case OP_MEMFD:
		r->ret = new_memfd(table[op->proc], (uint32_t)(a[0] - DIFF_FD0),
				   (u32)a[1]);
		break;
	case OP_CLOSE:
		r->ret = sim_close(op->proc, a[0]);
		break;
	default:
		r->ret = on_file(file, op);
	}
}

bool sim_file_call(const struct diff_op *op, struct diff_result *r,
		   bool *parted)
{
	struct file *file;
	bool behind;
	u64 size;

	if (diff_call_args[op->call][0] != 'F')
		return false;
	file = sim_file(op->proc, op->arg[0]);
	behind = behind_end(file);
	size = behind ? i_size_read(file->f_inode) : 0;
	perform(file, op, r);
	/* Normalised: what a mapping stored behind the end of a file in memory
	 * is there on Linux when the file grows. */
	if (behind && sim_file(op->proc, op->arg[0]) == file)
		*parted |= i_size_read(file->f_inode) > size;
	return true;
}
