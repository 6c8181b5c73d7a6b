/* SPDX-License-Identifier: MIT */
/*
 * lua_file.c - files and swap of a lab.
 *
 * 1. A file made by file() is a disk of the machine by itself, byte for byte
 *    (mmkit/flatfile.h): its pages are read, cached, read ahead, dirtied and
 *    written back. tmpfile() and memfd() make files of shmem, which live in
 *    memory and swap. They have names for /proc/PID/maps, but no folder.
 *
 * 2. A file is there until the machine goes, or remove() takes its name and it
 *    is not mapped any more.
 *
 * 3. swapon() makes a disk in memory of the host, whose first page is mkswap's
 *    header.
 */
#include "lua_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/flatfile.h>
#include <mmkit/fs.h>
#include <mmkit/shmem.h>
#include <mmkit/uaccess.h>

#include "cache/filemap.h"
#include "cache/swap.h"
#include "sim.h"
#include "space/space.h"

#define LAB_DEV	 0x802 /* as /proc/PID/maps shows it */
#define MAX_SWAP (64UL << 30)
#define MAX_COPY (256UL << 20)

struct lab_file {
	struct lab_file *next;
	u32 id;
	char name[64];
	struct file *file; /* NULL: removed */
	struct port_bdev *disk;
};

struct lab_swap {
	struct lab_swap *next;
	u32 id;
	char name[16];
	u64 bytes;
	bool on;
	struct port_bdev *disk;
};

static struct {
	struct lab_file *list;
	u32 nr;
	struct lab_swap *swaps;
	u32 nr_swaps;
	struct super_block sb;
} files = {.sb = {.s_dev = LAB_DEV,
		  .s_id = "lab",
		  .s_maxbytes = MAX_LFS_FILESIZE}};

static int push_none(lua_State *L, struct lab_call *c)
{
	(void)L;
	(void)c;
	return 0;
}

/* ---- records
 * ---------------------------------------------------------------------- */

void lab_files_exit(void)
{
	for (struct lab_file *f = files.list; f; f = f->next) {
		if (!f->file)
			continue;
		/* Nobody will look: what is dirty need not be written. */
		f->file->f_inode->i_nlink = 0;
		fput(f->file);
		f->file = NULL;
	}
}

void lab_files_free(void)
{
	struct lab_swap *next_swap;
	struct lab_file *next;

	for (struct lab_file *f = files.list; f; f = next) {
		next = f->next;
		free(f);
	}
	for (struct lab_swap *s = files.swaps; s; s = next_swap) {
		next_swap = s->next;
		free(s);
	}
	files.list = NULL;
	files.swaps = NULL;
	files.nr = files.nr_swaps = 0;
}

static struct lab_file *file_at(lua_State *L, int arg)
{
	u32 id = lab_handle_id(L, arg, "lab.file");
	struct lab_file *f = files.list;

	while (f->id != id)
		f = f->next;
	if (!f->file)
		lab_throw(L, "ENOENT", ENOENT, f->name, "it was removed");
	return f;
}

struct file *lab_file_of(lua_State *L, int arg, bool opt)
{
	if (opt && lua_isnoneornil(L, arg))
		return NULL;
	return file_at(L, arg)->file;
}

/* ---- making
 * ----------------------------------------------------------------------- */

/* A[0]: the record, A[1]: size, A[2]: mode. */
static s64 make_flat(struct lab_call *c)
{
	struct lab_file *f = (struct lab_file *)c->a[0];
	struct sim_disk_config cfg = {.name = f->name,
				      .size_bytes = PAGE_ALIGN(c->a[1])};
	struct inode *inode;
	int err = sim_disk_open(&f->disk, &cfg, NULL);

	if (err)
		return err;
	err = flatfile_new(&files.sb, f->disk, f->id, S_IFREG | 0755, &inode);
	if (err) {
		sim_disk_close(f->disk);
		return err;
	}
	f->file = file_open(inode, FMODE_READ | FMODE_WRITE | FMODE_EXEC,
			    O_RDWR, f->name);
	iput(inode);
	if (!f->file) {
		sim_disk_close(f->disk);
		return -ENOMEM;
	}
	return 0;
}

static s64 make_shmem(struct lab_call *c)
{
	struct lab_file *f = (struct lab_file *)c->a[0];
	struct file *file = shmem_file_setup(f->name, c->a[1], 0);

	if (IS_ERR(file))
		return PTR_ERR(file);
	f->file = file;
	return 0;
}

static s64 make_memfd(struct lab_call *c)
{
	struct lab_file *f = (struct lab_file *)c->a[0];
	struct file *file = memfd_create_file(f->name, MFD_ALLOW_SEALING);

	if (IS_ERR(file))
		return PTR_ERR(file);
	f->file = file;
	return c->a[1] ? shmem_truncate(file->f_inode, c->a[1]) : 0;
}

static int new_file(lua_State *L, const char *call,
		    s64 (*make)(struct lab_call *c))
{
	struct lab_call c = {.fn = make, .name = call};
	const char *name = luaL_checkstring(L, 1);
	u64 size = lab_opt_size(L, 2, 0);
	struct lab_file *f;

	lab_need_machine(L);
	f = calloc(1, sizeof(*f));
	if (!f)
		return luaL_error(L, "no memory for a file");
	f->id = ++files.nr;
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->next = files.list;
	files.list = f;
	c.a[0] = (u64)(uintptr_t)f;
	c.a[1] = size;
	snprintf(c.what, sizeof(c.what), "%s, %llu bytes", f->name,
		 (unsigned long long)size);
	c.push = push_none;
	lab_do(L, &c);
	lab_handle(L, "lab.file", f->id);
	return 1;
}

static int l_file(lua_State *L)
{
	luaL_argcheck(L, lab_opt_size(L, 2, 0) > 0, 2, "a size");
	return new_file(L, "file", make_flat);
}

static int l_tmpfile(lua_State *L)
{
	return new_file(L, "tmpfile", make_shmem);
}

static int l_memfd(lua_State *L)
{
	return new_file(L, "memfd", make_memfd);
}

/* ---- contents
 * --------------------------------------------------------------------- */

/* A: file, offset, bytes. */
static s64 do_read(struct lab_call *c)
{
	u64 pos = c->a[1];
	s64 n = kernel_read((struct file *)c->a[0], c->buf, c->a[2], &pos);

	c->buf_len = n > 0 ? (u64)n : 0;
	return n;
}

static int push_bytes(lua_State *L, struct lab_call *c)
{
	lua_pushlstring(L, c->buf, c->buf_len);
	return 1;
}

static void file_call(lua_State *L, struct lab_call *c)
{
	struct lab_file *f = file_at(L, 1);

	c->a[0] = (u64)(uintptr_t)f->file;
	snprintf(c->what, sizeof(c->what), "%s", f->name);
}

static int l_read(lua_State *L)
{
	struct lab_call c = {.fn = do_read, .name = "read", .push = push_bytes};

	file_call(L, &c);
	c.a[1] = lab_size(L, 2);
	c.a[2] = lab_size(L, 3);
	luaL_argcheck(L, c.a[2] <= MAX_COPY, 3, "more than 256M at once");
	c.buf = malloc(c.a[2] ? c.a[2] : 1);
	if (!c.buf)
		return luaL_error(L, "no memory to read into");
	return lab_do(L, &c);
}

static s64 do_write(struct lab_call *c)
{
	u64 pos = c->a[1];

	return kernel_write((struct file *)c->a[0], c->buf, c->a[2], &pos);
}

static int l_write(lua_State *L)
{
	struct lab_call c = {.fn = do_write, .name = "write"};
	const char *s;
	size_t n;

	file_call(L, &c);
	c.a[1] = lab_size(L, 2);
	s = luaL_checklstring(L, 3, &n);
	c.a[2] = n;
	c.buf = malloc(n ? n : 1);
	if (!c.buf)
		return luaL_error(L, "no memory to write from");
	memcpy(c.buf, s, n);
	return lab_do(L, &c);
}

/* A: file, address, bytes, offset, write. */
static s64 do_user_io(struct lab_call *c)
{
	struct iov_iter iter;
	u64 pos = c->a[3];

	iov_iter_user(&iter, c->task->mm, c->a[1], c->a[2]);
	if (c->a[4])
		return vfs_iter_write((struct file *)c->a[0], &iter, &pos);
	return vfs_iter_read((struct file *)c->a[0], &iter, &pos);
}

static int user_io(lua_State *L, const char *name, bool write)
{
	struct lab_call c = {
		.fn = do_user_io, .name = name, .task = lab_check_task(L, 1)};
	struct lab_file *f = file_at(L, 2);

	c.a[0] = (u64)(uintptr_t)f->file;
	c.a[1] = lab_size(L, 3);
	c.a[2] = lab_size(L, 4);
	c.a[3] = lab_opt_size(L, 5, 0);
	c.a[4] = write;
	snprintf(c.what, sizeof(c.what), "%s", f->name);
	return lab_do(L, &c);
}

static int l_pread(lua_State *L)
{
	return user_io(L, "pread", false);
}

static int l_pwrite(lua_State *L)
{
	return user_io(L, "pwrite", true);
}

static s64 do_truncate(struct lab_call *c)
{
	struct inode *inode = ((struct file *)c->a[0])->f_inode;

	if (shmem_is_inode(inode))
		return shmem_truncate(inode, c->a[1]);
	return vfs_truncate(inode, c->a[1]);
}

static int l_truncate(lua_State *L)
{
	struct lab_call c = {
		.fn = do_truncate, .name = "truncate", .push = push_none};

	file_call(L, &c);
	c.a[1] = lab_size(L, 2);
	return lab_do(L, &c);
}

static int l_size(lua_State *L)
{
	const struct file *f = file_at(L, 1)->file;

	lua_pushinteger(L, (lua_Integer)i_size_read(f->f_inode));
	return 1;
}

static int l_cached(lua_State *L)
{
	const struct file *f = file_at(L, 1)->file;

	lua_pushinteger(L, (lua_Integer)f->f_mapping->nrpages);
	return 1;
}

static s64 do_fsync(struct lab_call *c)
{
	return vfs_fsync_range((struct file *)c->a[0], 0, UINT64_MAX, false);
}

static int l_fsync(lua_State *L)
{
	struct lab_call c = {
		.fn = do_fsync, .name = "fsync", .push = push_none};

	file_call(L, &c);
	return lab_do(L, &c);
}

static s64 do_fadvise(struct lab_call *c)
{
	return vfs_fadvise((struct file *)c->a[0], (s64)c->a[1], (s64)c->a[2],
			   (int)c->a[3]);
}

static int l_fadvise(lua_State *L)
{
	struct lab_call c = {
		.fn = do_fadvise, .name = "fadvise", .push = push_none};

	file_call(L, &c);
	c.a[1] = lab_size(L, 2);
	c.a[2] = lab_size(L, 3);
	luaL_checkany(L, 4);
	c.a[3] = lab_flags(L, 4, "POSIX_FADV_", 0);
	return lab_do(L, &c);
}

static s64 do_fallocate(struct lab_call *c)
{
	return vfs_fallocate((struct file *)c->a[0], (u32)c->a[3], (s64)c->a[1],
			     (s64)c->a[2]);
}

static int l_fallocate(lua_State *L)
{
	struct lab_call c = {
		.fn = do_fallocate, .name = "fallocate", .push = push_none};

	file_call(L, &c);
	c.a[1] = lab_size(L, 2);
	c.a[2] = lab_size(L, 3);
	c.a[3] = lab_flags(L, 4, "FALLOC_FL_", 0);
	return lab_do(L, &c);
}

static s64 do_seal(struct lab_call *c)
{
	return shmem_add_seals((struct file *)c->a[0], (u32)c->a[1]);
}

static int l_seal(lua_State *L)
{
	struct lab_call c = {.fn = do_seal, .name = "seal", .push = push_none};

	file_call(L, &c);
	luaL_checkany(L, 2);
	c.a[1] = lab_flags(L, 2, "F_SEAL_", 0);
	return lab_do(L, &c);
}

static s64 do_remove(struct lab_call *c)
{
	struct file *f = (struct file *)c->a[0];

	f->f_inode->i_nlink = 0;
	fput(f);
	return 0;
}

static int l_remove(lua_State *L)
{
	struct lab_call c = {
		.fn = do_remove, .name = "remove", .push = push_none};

	file_call(L, &c);
	file_at(L, 1)->file = NULL;
	return lab_do(L, &c);
}

/* ---- swap
 * ------------------------------------------------------------------------ */

/* The disk's callback: page 0 is what mkswap wrote. */
static void fill_swap(void *arg, u64 page, void *view)
{
	const struct lab_swap *s = arg;

	if (!page)
		swap_header_init(view, (u32)(s->bytes >> PAGE_SHIFT));
}

/* A: record, priority. */
static s64 do_swapon(struct lab_call *c)
{
	struct lab_swap *s = (struct lab_swap *)c->a[0];
	struct sim_disk_config cfg = {.name = s->name,
				      .size_bytes = s->bytes,
				      .fill = fill_swap,
				      .fill_arg = s};
	int err = sim_disk_open(&s->disk, &cfg, NULL);

	if (err)
		return err;
	err = swapon(s->disk, (s16)c->a[1]);
	if (err < 0)
		sim_disk_close(s->disk);
	else
		s->on = true;
	return err < 0 ? err : 0;
}

static int l_swapon(lua_State *L)
{
	struct lab_call c = {.fn = do_swapon, .name = "swapon"};
	u64 bytes = lab_size(L, 1) & PAGE_MASK;
	lua_Integer prio = luaL_optinteger(L, 2, -2);
	struct lab_swap *s;

	luaL_argcheck(L, bytes >= 10 * PAGE_SIZE && bytes <= MAX_SWAP, 1,
		      "from 40K to 64G");
	lab_need_machine(L);
	s = calloc(1, sizeof(*s));
	if (!s)
		return luaL_error(L, "no memory for a disk");
	s->id = ++files.nr_swaps;
	s->bytes = bytes;
	snprintf(s->name, sizeof(s->name), "swap%u", s->id);
	s->next = files.swaps;
	files.swaps = s;
	c.a[0] = (u64)(uintptr_t)s;
	c.a[1] = (u64)prio;
	snprintf(c.what, sizeof(c.what), "%llu bytes",
		 (unsigned long long)bytes);
	c.push = push_none;
	lab_do(L, &c);
	lua_pushstring(L, s->name);
	return 1;
}

static s64 do_swapoff(struct lab_call *c)
{
	struct lab_swap *s = (struct lab_swap *)c->a[0];
	int err = swapoff(s->disk);

	if (!err) {
		sim_disk_close(s->disk);
		s->on = false;
	}
	return err;
}

static int l_swapoff(lua_State *L)
{
	struct lab_call c = {
		.fn = do_swapoff, .name = "swapoff", .push = push_none};
	const char *name = luaL_checkstring(L, 1);
	struct lab_swap *s = files.swaps;

	while (s && (!s->on || strcmp(s->name, name) != 0))
		s = s->next;
	if (!s)
		return lab_fail(L, EINVAL, "swapoff", name);
	c.a[0] = (u64)(uintptr_t)s;
	snprintf(c.what, sizeof(c.what), "%s", name);
	return lab_do(L, &c);
}

#define F "f = file(\"data\", \"64K\")\n"

const struct lab_fn lab_file_fns[] = {
	{"file", "file(name, size) -> file",
	 "A file on a disk of its own, full of zeroes: its pages are cached, "
	 "read ahead and written back.",
	 F "print(f:size())", l_file},
	{"tmpfile", "tmpfile(name, [size]) -> file",
	 "A file of tmpfs: its pages live in memory and go to swap.",
	 "f = tmpfile(\"x\", \"64K\")\nf:write(0, \"hello\")", l_tmpfile},
	{"memfd", "memfd(name, [size]) -> file", "memfd_create(2).",
	 "f = memfd(\"x\", \"64K\")\nf:seal(\"shrink\")", l_memfd},
	{"file:read", "file:read(offset, bytes) -> string",
	 "What the file holds, through the page cache.",
	 F "f:write(0, \"hello\")\nassert(f:read(0, 5) == \"hello\")", l_read},
	{"file:write", "file:write(offset, string) -> bytes",
	 "Write into the file, through the page cache.", F "f:write(10, \"x\")",
	 l_write},
	{"task:pread", "task:pread(file, addr, bytes, [offset]) -> bytes",
	 "pread(2) into the task's memory.",
	 F "t = spawn()\na = t:mmap(\"64K\")\nt:pread(f, a, \"64K\")", l_pread},
	{"task:pwrite", "task:pwrite(file, addr, bytes, [offset]) -> bytes",
	 "pwrite(2) from the task's memory.",
	 F "t = spawn()\na = t:mmap(\"64K\")\nt:pwrite(f, a, \"64K\")",
	 l_pwrite},
	{"file:truncate", "file:truncate(size)", "ftruncate(2).",
	 F "f:truncate(\"4K\")", l_truncate},
	{"file:size", "file:size() -> bytes", "Its size.",
	 F "assert(f:size() == 65536)", l_size},
	{"file:cached", "file:cached() -> pages",
	 "How many of its pages are in the page cache.",
	 F "f:read(0, 1)\nprint(f:cached())", l_cached},
	{"file:fsync", "file:fsync()", "fsync(2): what is dirty is written.",
	 F "f:write(0, \"x\")\nf:fsync()", l_fsync},
	{"file:fadvise", "file:fadvise(offset, len, advice)",
	 "posix_fadvise(2): \"willneed\", \"dontneed\", \"random\", ...",
	 F "f:fadvise(0, \"64K\", \"willneed\")", l_fadvise},
	{"file:fallocate", "file:fallocate(offset, len, [mode])",
	 "fallocate(2): mode \"punch_hole,keep_size\".",
	 "f = tmpfile(\"x\", \"64K\")\nf:fallocate(0, \"64K\")\n"
	 "f:fallocate(0, \"32K\", \"punch_hole,keep_size\")",
	 l_fallocate},
	{"file:seal", "file:seal(seals)",
	 "fcntl(F_ADD_SEALS): \"write\", \"grow\", \"shrink\", ...",
	 "f = memfd(\"x\", \"64K\")\nf:seal(\"grow,shrink\")", l_seal},
	{"file:remove", "file:remove()",
	 "unlink(2) and close(2): it is gone when nobody maps it any more.",
	 F "f:remove()", l_remove},
	{"swapon", "swapon(size, [priority]) -> name",
	 "Swap space more, on a disk of its own.",
	 "swapon(\"64M\")\ncat(\"/proc/swaps\")", l_swapon},
	{"swapoff", "swapoff(name)",
	 "Everything in that swap space comes back into memory.",
	 "s = swapon(\"64M\")\nswapoff(s)", l_swapoff},
	{0}};
