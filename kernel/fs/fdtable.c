/* SPDX-License-Identifier: MIT */
/*
 * fdtable.c - descriptors: small numbers for open files.
 *
 * 1. A table is shared by tasks of CLONE_FILES. It has an array of files and
 *    two bitmaps: what is taken, and what execve(2) closes. A number may be
 *    taken without a file: open(2) takes one before it makes anything, so that
 *    EMFILE has changed nothing.
 *
 * 2. The table grows by doubling, up to the limit RLIMIT_NOFILE says; new
 *    arrays are allocated without the lock and put in if still needed.
 *
 * 3. Closing takes the file out under the lock and drops the reference after
 *    it. A read that goes on in another task has a reference of its own.
 *
 * 4. Invariants.
 *    FD-1  fd[n] != NULL implies bit n of open; cloexec bits imply open bits.
 *    FD-2  No number below next is free.
 *
 * References: open(2), dup(2), close(2), close_range(2), fcntl(2), clone(2),
 * getrlimit(2).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "fs.h"

#define FD_FIRST 64u
#define FD_MOST	 (1u << 20) /* fs.nr_open */

struct files_struct *files_current(void)
{
	struct task *t = current;

	return t ? t->files : NULL;
}

static bool bit_get(const u64 *map, u32 n)
{
	return map[n / 64] >> (n % 64) & 1;
}

static void bit_put(u64 *map, u32 n, bool on)
{
	if (on)
		map[n / 64] |= 1UL << (n % 64);
	else
		map[n / 64] &= ~(1UL << (n % 64));
}

/* ---- tables ----------------------------------------------------------------
 */

/* Arrays for SIZE numbers, in one piece: files, then the two bitmaps. */
static struct file **arrays_new(u32 size)
{
	size_t bytes = size * sizeof(struct file *) + 2 * size / 8;

	return kvzalloc(bytes, GFP_KERNEL_ACCOUNT);
}

static void arrays_set(struct files_struct *f, struct file **fd, u32 size)
{
	f->fd = fd;
	f->open = (u64 *)(fd + size);
	f->cloexec = f->open + size / 64;
	f->size = size;
}

struct files_struct *files_new(void)
{
	struct files_struct *f = kmem_cache_alloc(
		fs_sys.files_cache, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	struct file **fd = f ? arrays_new(FD_FIRST) : NULL;

	if (!fd) {
		if (f)
			kmem_cache_free(fs_sys.files_cache, f);
		return NULL;
	}
	f->count = 1;
	spin_lock_init(&f->lock, LOCK_CLASS_FILES);
	arrays_set(f, fd, FD_FIRST);
	return f;
}

struct files_struct *files_get(struct files_struct *f)
{
	__atomic_add_fetch(&f->count, 1, __ATOMIC_ACQ_REL);
	return f;
}

/* F has at least WANT numbers, or -ENOMEM. Takes the lock. */
static int files_grow(struct files_struct *f, u32 want)
{
	u32 size = FD_FIRST, old_size;
	struct file **fd, **old;

	while (size < want)
		size *= 2;
	fd = arrays_new(size);
	if (!fd)
		return -ENOMEM;
	spin_lock(&f->lock);
	old = f->fd;
	old_size = f->size;
	if (old_size < size) {
		const u64 *open = f->open, *cloexec = f->cloexec;

		arrays_set(f, fd, size);
		mm_memcpy(fd, old, old_size * sizeof(*fd));
		mm_memcpy(f->open, open, old_size / 8);
		mm_memcpy(f->cloexec, cloexec, old_size / 8);
		fd = old;
	}
	spin_unlock(&f->lock);
	kvfree(fd);
	return 0;
}

/* One past the highest number in use. Lock held. */
static u32 files_end(const struct files_struct *f)
{
	for (u32 w = f->size / 64; w-- > 0;) {
		if (f->open[w])
			return w * 64 + 64 - (u32)__builtin_clzl(f->open[w]);
	}
	return 0;
}

struct files_struct *files_copy(struct files_struct *from)
{
	struct files_struct *f = files_new();
	u32 end;

	if (!f)
		return NULL;
	spin_lock(&from->lock);
	while ((end = files_end(from)) > f->size) {
		spin_unlock(&from->lock);
		if (files_grow(f, end)) {
			files_put(f);
			return NULL;
		}
		spin_lock(&from->lock);
	}
	for (u32 n = 0; n < end; n++) {
		if (!from->fd[n])
			continue;
		f->fd[n] = get_file(from->fd[n]);
		bit_put(f->open, n, true);
		bit_put(f->cloexec, n, bit_get(from->cloexec, n));
	}
	spin_unlock(&from->lock);
	return f;
}

/* FILE was F's number: it is none any more. */
static int file_close(struct files_struct *f, struct file *file)
{
	locks_close(file, f);
	fput(file);
	return 0;
}

void files_put(struct files_struct *f)
{
	if (__atomic_sub_fetch(&f->count, 1, __ATOMIC_ACQ_REL))
		return;
	for (u32 n = 0; n < f->size; n++) {
		if (f->fd[n])
			(void)file_close(f, f->fd[n]);
	}
	kvfree(f->fd);
	kmem_cache_free(fs_sys.files_cache, f);
}

/* ---- numbers ---------------------------------------------------------------
 */

/* The lowest free number >= MIN, f->size if there is none. Lock held. */
static u32 free_number(const struct files_struct *f, u32 min)
{
	u32 n = max(min, f->next);

	while (n < f->size) {
		u64 word = ~f->open[n / 64] >> (n % 64);

		if (word)
			return n + (u32)__builtin_ctzl(word);
		n = (n / 64 + 1) * 64;
	}
	return max(n, f->size);
}

static u32 fd_limit(void)
{
	u64 limit = rlimit(RLIMIT_NOFILE);

	return limit > FD_MOST ? FD_MOST : (u32)limit;
}

/* Lock held: number N is taken. */
static void number_take(struct files_struct *f, u32 n, bool cloexec)
{
	bit_put(f->open, n, true);
	bit_put(f->cloexec, n, cloexec);
	if (n == f->next)
		f->next = n + 1;
}

/* Lock held: number N is free; what it was. */
static struct file *number_free(struct files_struct *f, u32 n)
{
	struct file *file = f->fd[n];

	f->fd[n] = NULL;
	bit_put(f->open, n, false);
	bit_put(f->cloexec, n, false);
	if (n < f->next)
		f->next = n;
	return file;
}

int fd_reserve(int min, bool cloexec)
{
	struct files_struct *f = files_current();
	u32 limit = fd_limit(), n;
	int err;

	if (!f)
		return -EMFILE;
	if (min < 0 || (u32)min >= limit)
		return -EINVAL;
	for (;;) {
		spin_lock(&f->lock);
		n = free_number(f, (u32)min);
		if (n >= limit) {
			spin_unlock(&f->lock);
			return -EMFILE;
		}
		if (n < f->size)
			break;
		spin_unlock(&f->lock);
		err = files_grow(f, n + 1);
		if (err)
			return err;
	}
	number_take(f, n, cloexec);
	spin_unlock(&f->lock);
	return (int)n;
}

void fd_fill(int fd, struct file *file)
{
	struct files_struct *f = files_current();

	spin_lock(&f->lock);
	mm_verify(!f->fd[fd] && bit_get(f->open, (u32)fd));
	f->fd[fd] = file;
	spin_unlock(&f->lock);
}

void fd_unreserve(int fd)
{
	struct files_struct *f = files_current();

	spin_lock(&f->lock);
	mm_verify(!f->fd[fd]);
	(void)number_free(f, (u32)fd);
	spin_unlock(&f->lock);
}

int fd_install(struct file *file, int min, bool cloexec)
{
	int fd = fd_reserve(min, cloexec);

	if (fd >= 0)
		fd_fill(fd, file);
	return fd;
}

/* ---- finding ---------------------------------------------------------------
 */

struct file *files_file(struct files_struct *f, int fd)
{
	struct file *file = NULL;

	if (!f || fd < 0)
		return NULL;
	spin_lock(&f->lock);
	if ((u32)fd < f->size && f->fd[fd])
		file = get_file(f->fd[fd]);
	spin_unlock(&f->lock);
	return file;
}

struct file *fd_get_raw(int fd)
{
	return files_file(files_current(), fd);
}

struct file *fd_get(int fd)
{
	struct file *file = fd_get_raw(fd);

	if (file && (file->f_mode & FMODE_PATH)) {
		fput(file);
		return NULL;
	}
	return file;
}

void files_for_each(struct files_struct *f,
		    bool (*fn)(int fd, struct file *file, void *arg), void *arg)
{
	spin_lock(&f->lock);
	for (u32 n = 0; n < f->size; n++) {
		if (f->fd[n] && !fn((int)n, f->fd[n], arg))
			break;
	}
	spin_unlock(&f->lock);
}

/* ---- closing, doubling -----------------------------------------------------
 */

int fd_close(int fd)
{
	struct files_struct *f = files_current();
	struct file *file = NULL;

	if (!f || fd < 0)
		return -EBADF;
	spin_lock(&f->lock);
	if ((u32)fd < f->size && f->fd[fd])
		file = number_free(f, (u32)fd);
	spin_unlock(&f->lock);
	return file ? file_close(f, file) : -EBADF;
}

/* The first open number of [FROM, LAST] goes; CLOEXEC: of those to be closed by
 * execve. Where to go on; 0: there was none. */
static u32 close_next(struct files_struct *f, u32 from, u32 last, bool cloexec)
{
	struct file *file = NULL;
	u32 n;

	spin_lock(&f->lock);
	for (n = from; n <= last && n < f->size; n++) {
		if (f->fd[n] && (!cloexec || bit_get(f->cloexec, n))) {
			file = number_free(f, n);
			break;
		}
	}
	spin_unlock(&f->lock);
	if (!file)
		return 0;
	(void)file_close(f, file);
	return n + 1;
}

void files_exec(struct files_struct *f)
{
	u32 n = 0;

	do
		n = close_next(f, n, UINT32_MAX, true);
	while (n);
}

int fd_close_range(u32 first, u32 last, bool only_mark)
{
	struct files_struct *f = files_current();
	u32 n = first;

	if (first > last)
		return -EINVAL;
	if (!only_mark) {
		do
			n = close_next(f, n, last, false);
		while (n);
		return 0;
	}
	spin_lock(&f->lock);
	for (; n <= last && n < f->size; n++) {
		if (f->fd[n])
			bit_put(f->cloexec, n, true);
	}
	spin_unlock(&f->lock);
	return 0;
}

int fd_dup2(struct file *file, int fd, bool cloexec)
{
	struct files_struct *f = files_current();
	struct file *old;

	if (fd < 0 || (u32)fd >= fd_limit())
		return -EBADF;
	if ((u32)fd >= READ_ONCE(f->size)) {
		int err = files_grow(f, (u32)fd + 1);

		if (err)
			return err;
	}
	spin_lock(&f->lock);
	old = f->fd[fd];
	/* Somebody's open(2) is at this number. */
	if (!old && bit_get(f->open, (u32)fd)) {
		spin_unlock(&f->lock);
		return -EBUSY;
	}
	number_take(f, (u32)fd, cloexec);
	f->fd[fd] = get_file(file);
	spin_unlock(&f->lock);
	if (old)
		(void)file_close(f, old);
	return fd;
}

int fd_cloexec_get(int fd)
{
	struct files_struct *f = files_current();
	int on = -EBADF;

	spin_lock(&f->lock);
	if (fd >= 0 && (u32)fd < f->size && f->fd[fd])
		on = bit_get(f->cloexec, (u32)fd);
	spin_unlock(&f->lock);
	return on;
}

int fd_cloexec_set(int fd, bool on)
{
	struct files_struct *f = files_current();
	int err = -EBADF;

	spin_lock(&f->lock);
	if (fd >= 0 && (u32)fd < f->size && f->fd[fd]) {
		bit_put(f->cloexec, (u32)fd, on);
		err = 0;
	}
	spin_unlock(&f->lock);
	return err;
}
