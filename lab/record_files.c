/* SPDX-License-Identifier: MIT */
/*
 * record_files.c - what a recorded program does to files.
 *
 * 1. Purpose. From descriptors and paths to files and open files, which is
 *    what a trace speaks of.
 * 2. Structures. Files by id, each with its device and inode; open files,
 *    shared by descriptors (dup, fork), with the position that read and write
 *    move; of each process a table of descriptors.
 * 3. What can be trusted. The text says what was done in which order; what a
 *    file is (regular, its size, its inode) is looked up while the program is
 *    already further. So a file that the program made itself begins empty, by
 *    the flags of its open; one that is found too short when it is read has
 *    been longer, and is made so.
 * 4. Locking: none. 5. Life: a file for ever; an open file until its last
 *    descriptor is closed, which is a CLOSE record.
 * 6. Failure: memory, or the writer; a recording ends then.
 * 7. Complexity: linear in the number of files for each open; programs have
 *    some hundred.
 * 8. Rejected: looking at /proc/PID/fdinfo for positions (the program is
 *    further; only what it inherited begins with that).
 */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994
#endif

static int no_memory(struct recorder *r)
{
	snprintf(r->err.text, sizeof(r->err.text), "out of memory");
	return -ENOMEM;
}

/* ---- files
 * -------------------------------------------------------------------------- */

static bool same_file(const struct rec_file *f, const struct trace_file *want)
{
	if (f->gone)
		return false;
	if (want->ino || f->ino)
		return f->ino == want->ino && f->dev == want->dev;
	return !strcmp(f->name, want->name);
}

static int file_new(struct recorder *r, const struct trace_file *f, u32 *id)
{
	struct trace_rec rec = {.type = TRACE_FILE, .file = *f};
	struct rec_file *p;

	if (r->nr_files == TRACE_MAX_FILES) {
		snprintf(r->err.text, sizeof(r->err.text), "more than %u files",
			 TRACE_MAX_FILES);
		return -EOVERFLOW;
	}
	p = realloc(r->files, (r->nr_files + 1) * sizeof(*p));
	if (!p)
		return no_memory(r);
	r->files = p;
	p += r->nr_files;
	*p = (struct rec_file){.dev = f->dev,
			       .ino = f->ino,
			       .size = f->size,
			       .special = f->flags & TRACE_FILE_SPECIAL,
			       .links = 1,
			       .name = strdup(f->name)};
	if (!p->name)
		return no_memory(r);
	rec.file.file = *id = r->nr_files++;
	return rec_write(r, &rec);
}

static int file_id(struct recorder *r, const struct trace_file *f, u32 *id)
{
	for (u32 i = 0; i < r->nr_files; i++)
		if (same_file(&r->files[i], f)) {
			*id = i;
			return 0;
		}
	return file_new(r, f, id);
}

/* What ST, of the file that can be reached by PATH, says. */
static void file_from_stat(struct trace_file *f, const struct stat *st,
			   const char *path)
{
	struct statfs fs;

	f->dev = st->st_dev;
	f->ino = st->st_ino;
	if (!S_ISREG(st->st_mode)) {
		f->flags = TRACE_FILE_SPECIAL;
		return;
	}
	f->size = min((u64)st->st_size, TRACE_MAX_BYTES);
	if (!statfs(path, &fs) && fs.f_type == TMPFS_MAGIC)
		f->flags = TRACE_FILE_MEMORY;
}

int rec_file_id(struct recorder *r, const char *name, u64 size, u32 *id)
{
	struct trace_file f = {.name = (char *)name, .size = size};
	struct stat st;

	if (!stat(name, &st))
		file_from_stat(&f, &st, name);
	return file_id(r, &f, id);
}

/* The file NAME, a name that the program gave it, is known and has it still. */
static struct rec_file *file_named(struct recorder *r, const char *name)
{
	for (u32 i = 0; i < r->nr_files; i++)
		if (!r->files[i].gone && !strcmp(r->files[i].name, name))
			return &r->files[i];
	return NULL;
}

static int fileop(struct recorder *r, const struct trace_fileop *f)
{
	struct trace_rec rec = {.type = TRACE_FILEOP, .fileop = *f};

	return rec_write(r, &rec);
}

/* A literal operation: op, file, open file, offset, length, arg. */
#define FILEOP(...) (&(struct trace_fileop){__VA_ARGS__})

static int file_resized(struct recorder *r, struct rec_file *f, u64 size)
{
	f->size = size;
	return f->special ? 0
			  : fileop(r, FILEOP(TRACE_FOP_TRUNCATE,
					     (u32)(f - r->files), TRACE_NO_ID,
					     size, 0, 0));
}

int rec_truncate(struct recorder *r, const char *name, u64 size)
{
	struct rec_file *f = file_named(r, name);

	return f && size <= TRACE_MAX_BYTES ? file_resized(r, f, size) : 0;
}

static int file_gone(struct recorder *r, struct rec_file *f)
{
	f->gone = true;
	return fileop(r, FILEOP(TRACE_FOP_UNLINK, (u32)(f - r->files),
				TRACE_NO_ID, 0, 0, 0));
}

int rec_unlink(struct recorder *r, const char *name)
{
	struct rec_file *f = file_named(r, name);

	if (!f || f->special || f->links > 1)
		return 0;
	return file_gone(r, f);
}

int rec_rename(struct recorder *r, const char *from, const char *to)
{
	struct rec_file *f = file_named(r, from);
	int ret = rec_unlink(r, to);
	char *name;

	if (ret || !f)
		return ret;
	name = strdup(to);
	if (!name)
		return no_memory(r);
	free(f->name);
	f->name = name;
	return 0;
}

int rec_sync_all(struct recorder *r)
{
	int ret = 0;

	for (u32 i = 0; i < r->nr_files && !ret; i++)
		if (!r->files[i].gone && !r->files[i].special)
			ret = fileop(r, FILEOP(TRACE_FOP_SYNC, i, TRACE_NO_ID,
					       0, 0, 0));
	return ret;
}

/* ---- open files
 * ------------------------------------------------------------------------- */

static int open_new(struct recorder *r, u32 file, u32 mode,
		    struct rec_open **out)
{
	struct rec_open *o;
	u32 id = 0;

	while (id < r->nr_opens && r->opens[id])
		id++;
	if (id == TRACE_MAX_OPENS) {
		snprintf(r->err.text, sizeof(r->err.text),
			 "more than %u open files", TRACE_MAX_OPENS);
		return -EOVERFLOW;
	}
	if (id == r->nr_opens) {
		void *p = realloc(r->opens, (id + 1) * sizeof(*r->opens));

		if (!p)
			return no_memory(r);
		r->opens = p;
		r->opens[r->nr_opens++] = NULL;
	}
	o = calloc(1, sizeof(*o));
	if (!o)
		return no_memory(r);
	*o = (struct rec_open){.refs = 1,
			       .id = id,
			       .file = file,
			       .append = mode & TRACE_OPEN_APPEND};
	*out = r->opens[id] = o;
	return fileop(r, FILEOP(TRACE_FOP_OPEN, file, id, 0, 0, mode));
}

static int open_put(struct recorder *r, struct rec_open *o)
{
	u32 id;

	if (!o || --o->refs)
		return 0;
	id = o->id;
	r->opens[id] = NULL;
	free(o);
	return fileop(r, FILEOP(TRACE_FOP_CLOSE, TRACE_NO_ID, id, 0, 0, 0));
}

void rec_opens_free(struct recorder *r)
{
	for (u32 i = 0; i < r->nr_opens; i++)
		free(r->opens[i]);
	free(r->opens);
	r->opens = NULL;
	r->nr_opens = 0;
}

/* ---- descriptors
 * ------------------------------------------------------------------------ */

static struct rec_fd *fd_get(struct rec_fd *fds, u64 fd)
{
	return fd < REC_FDS_MAX ? &fds[fd] : NULL;
}

int rec_fd_close(struct recorder *r, struct rec_fd *fds, u64 fd)
{
	struct rec_fd *d = fd_get(fds, fd);
	struct rec_open *o;

	if (!d)
		return 0;
	o = d->open;
	free(d->name);
	*d = (struct rec_fd){0};
	return open_put(r, o);
}

int rec_fds_close(struct recorder *r, struct rec_fd *fds, bool cloexec_only)
{
	int ret = 0;

	for (u64 i = 0; i < REC_FDS_MAX && !ret; i++)
		if (fds[i].name && (!cloexec_only || fds[i].cloexec))
			ret = rec_fd_close(r, fds, i);
	return ret;
}

int rec_fds_copy(struct recorder *r, struct rec_fd *to,
		 const struct rec_fd *from)
{
	for (u64 i = 0; i < REC_FDS_MAX; i++) {
		if (!from[i].name)
			continue;
		to[i] = from[i];
		to[i].name = strdup(from[i].name);
		if (!to[i].name)
			return no_memory(r);
		if (to[i].open)
			to[i].open->refs++;
	}
	return 0;
}

void rec_fds_free(struct rec_fd *fds)
{
	for (u64 i = 0; i < REC_FDS_MAX; i++)
		free(fds[i].name);
}

int rec_fd_dup(struct recorder *r, struct rec_fd *fds, u64 fd, u64 to,
	       bool cloexec)
{
	struct rec_fd *d = fd_get(fds, fd), *e = fd_get(fds, to);
	int ret;

	if (fd == to || !e)
		return 0;
	ret = rec_fd_close(r, fds, to);
	if (ret || !d || !d->name)
		return ret;
	*e = *d;
	e->cloexec = cloexec;
	if (e->open)
		e->open->refs++;
	e->name = strdup(d->name);
	return e->name ? 0 : no_memory(r);
}

void rec_fd_cloexec(struct rec_fd *fds, u64 fd, bool on)
{
	struct rec_fd *d = fd_get(fds, fd);

	if (d)
		d->cloexec = on;
}

/* A descriptor that is named PATH and nothing more yet. */
static int fd_name(struct recorder *r, struct rec_fd *fds, u64 fd,
		   const char *path, u32 flags)
{
	struct rec_fd *d = fd_get(fds, fd);
	int ret = rec_fd_close(r, fds, fd);

	if (ret)
		return ret;
	d->name = strdup(path);
	d->cloexec = flags & O_CLOEXEC;
	return d->name ? 0 : no_memory(r);
}

static u32 open_mode(u32 flags)
{
	static const u32 modes[4] = {TRACE_OPEN_READ, TRACE_OPEN_WRITE,
				     TRACE_OPEN_READ | TRACE_OPEN_WRITE,
				     TRACE_OPEN_READ | TRACE_OPEN_WRITE};

	return modes[flags & O_ACCMODE] |
	       (flags & O_APPEND ? TRACE_OPEN_APPEND : 0);
}

int rec_fd_open(struct recorder *r, struct rec_fd *fds, u64 fd,
		const struct rec_opened *how)
{
	bool fresh = how->flags & O_CREAT && how->flags & (O_TRUNC | O_EXCL);
	struct trace_file f = {.name = (char *)how->name};
	u32 id, before = r->nr_files;
	int ret;

	if (fd >= REC_FDS_MAX)
		return 0;
	ret = fd_name(r, fds, fd, how->name, how->flags);
	if (how->st)
		file_from_stat(&f, how->st, how->via);
	/* Gone before it could be looked at: it was a file if it was made. */
	if (ret || f.flags & TRACE_FILE_SPECIAL ||
	    (!how->st && !(how->flags & O_CREAT)))
		return ret;
	if (fresh)
		f.size = 0;
	ret = file_id(r, &f, &id);
	if (ret)
		return ret;
	if (how->st && r->nr_files > before)
		r->files[id].links = (u32)max(how->st->st_nlink, (nlink_t)1);
	if (how->flags & O_TRUNC && r->nr_files == before)
		ret = file_resized(r, &r->files[id], 0);
	if (!ret)
		ret = open_new(r, id, open_mode(how->flags), &fds[fd].open);
	if (!ret)
		fds[fd].open->pos = how->pos;
	return ret;
}

int rec_fd_memfd(struct recorder *r, struct rec_fd *fds, u64 fd, u32 flags)
{
	struct trace_file f = {.name = (char *)"memfd",
			       .flags = TRACE_FILE_MEMORY};
	int ret = fd < REC_FDS_MAX ? fd_name(r, fds, fd, "memfd",
					     flags & 1 ? O_CLOEXEC : 0)
				   : 0;
	u32 id;

	if (ret || fd >= REC_FDS_MAX)
		return ret;
	ret = file_new(r, &f, &id);
	if (!ret)
		ret = open_new(r, id, TRACE_OPEN_READ | TRACE_OPEN_WRITE,
			       &fds[fd].open);
	return ret ? ret : file_gone(r, &r->files[id]);
}

int rec_fd_map(struct recorder *r, const struct rec_fd *fds, u64 fd,
	       struct trace_map *m)
{
	const struct rec_fd *d = fd < REC_FDS_MAX ? &fds[fd] : NULL;
	const char *name = d && d->name ? d->name : "(unknown)";
	struct trace_file f = {.name = (char *)name,
			       .flags = TRACE_FILE_SPECIAL};

	/* Mapping it is the old way to ask for anonymous memory. */
	if (!strcmp(name, "/dev/zero"))
		return 0;
	m->kind = TRACE_KIND_FILE;
	if (d && d->open) {
		m->file = d->open->file;
		m->open = d->open->id;
		return 0;
	}
	return file_id(r, &f, &m->file);
}

/* ---- what is done to an open file
 * ------------------------------------------------------------------------ */

static struct rec_open *open_of(struct rec_fd *fds, u64 fd)
{
	struct rec_fd *d = fd_get(fds, fd);

	return d ? d->open : NULL;
}

int rec_fd_rw(struct recorder *r, struct rec_fd *fds, u64 fd, bool write,
	      u64 offset, u64 length)
{
	struct rec_open *o = open_of(fds, fd);
	struct rec_file *f = o ? &r->files[o->file] : NULL;
	u64 at;
	int ret = 0;

	if (!o || !length)
		return 0;
	at = write && o->append ? f->size : offset == REC_POS ? o->pos : offset;
	if (at > TRACE_MAX_BYTES || length > TRACE_MAX_BYTES - at)
		return 0;
	if (offset == REC_POS)
		o->pos = at + length;
	if (at + length > f->size) {
		if (write)
			f->size = at + length;
		else
			ret = file_resized(r, f, at + length);
	}
	return ret ? ret
		   : fileop(r, FILEOP(write ? TRACE_FOP_WRITE : TRACE_FOP_READ,
				      TRACE_NO_ID, o->id, at, length, 0));
}

void rec_fd_seek(struct rec_fd *fds, u64 fd, u64 pos)
{
	struct rec_open *o = open_of(fds, fd);

	if (o)
		o->pos = pos;
}

int rec_fd_truncate(struct recorder *r, struct rec_fd *fds, u64 fd, u64 size)
{
	struct rec_open *o = open_of(fds, fd);

	return o && size <= TRACE_MAX_BYTES
		       ? file_resized(r, &r->files[o->file], size)
		       : 0;
}

int rec_fd_sync(struct recorder *r, struct rec_fd *fds, u64 fd, bool data)
{
	struct rec_open *o = open_of(fds, fd);

	return o ? fileop(r, FILEOP(TRACE_FOP_SYNC, o->file, TRACE_NO_ID, 0, 0,
				    data))
		 : 0;
}

int rec_fd_advise(struct recorder *r, struct rec_fd *fds, u64 fd,
		  const u64 args[3])
{
	struct rec_open *o = open_of(fds, fd);

	if (!o || args[0] > TRACE_MAX_BYTES ||
	    args[1] > TRACE_MAX_BYTES - args[0] || args[2] > 5)
		return 0;
	return fileop(r, FILEOP(TRACE_FOP_ADVISE, TRACE_NO_ID, o->id, args[0],
				args[1], args[2]));
}

int rec_fd_allocate(struct recorder *r, struct rec_fd *fds, u64 fd,
		    const u64 args[3])
{
	struct rec_open *o = open_of(fds, fd);
	u64 mode = args[0], off = args[1], len = args[2];
	struct rec_file *f;

	if (!o || off > TRACE_MAX_BYTES || len > TRACE_MAX_BYTES - off ||
	    mode > UINT32_MAX)
		return 0;
	f = &r->files[o->file];
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		f->size = max(f->size, off + len);
	return fileop(r, FILEOP(TRACE_FOP_ALLOCATE, TRACE_NO_ID, o->id, off,
				len, mode));
}
