/* SPDX-License-Identifier: MIT */
/*
 * replay_file.c - the files of a recorded program.
 *
 * 1. Purpose. What the program read, wrote and mapped goes through the
 *    manager's page cache: read-ahead, dirty pages, write-back, truncation.
 *
 * 2. Where they are. All files of a trace lie on one simulated disk, whose
 *    channels they share; each is a part of it with the size from its FILE
 *    record. A file of the host is never opened: the first contents follow
 *    from the file's id and the page's number, so that a page that turns up
 *    at the wrong place is noticed. Files of tmpfs and memfd are shmem's, and
 *    begin with zeroes.
 *
 * 3. What a page must hold is a stamp, as for anonymous memory, and how many
 *    bytes at the end are zero. A write of a whole page, or from its start to
 *    the end of the file or beyond, brings a new stamp, so that a write that
 *    is lost is noticed; one that leaves a part of the page writes the bytes
 *    that should be there already, and is noticed only if it destroys
 *    something. Reads compare every byte.
 *
 * 4. Life. An object lives while it has a name, is open or mapped; its inode
 *    in the machine has one reference for all of that. Files that keep their
 *    names stay cached until the end.
 *
 * 5. Second pass: no machine; the same model, for the identities.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/flatfile.h>
#include <mmkit/shmem.h>

#include "cache/filemap.h"
#include "err.h"
#include "phys/vmstat.h"
#include "replay_priv.h"
#include "sim.h"

#define FILE_DEV 0x801 /* of all of them, as /proc/PID/maps shows it */

static struct super_block replay_sb = {
	.s_dev = FILE_DEV, .s_id = "replay", .s_maxbytes = MAX_LFS_FILESIZE};

static unsigned long long ull(u64 v)
{
	return v;
}

/* ---- contents
 * ---------------------------------------------------------------------- */

/* Of page PAGE of file ID before anybody wrote to it; never 0. */
static u64 first_stamp(u32 id, u64 page)
{
	u64 h = (page + 1) * 0x9e3779b97f4a7c15UL ^ ((u64)id + 1) << 40;

	h = (h ^ h >> 31) * 0xbf58476d1ce4e5b9UL;
	return (h ^ h >> 29) | 1;
}

/* The disk's fill callback. */
static void fill_file(void *arg, u64 page, void *view)
{
	const struct replay_obj *obj = arg;

	stamp_write(view, first_stamp(obj->id, page));
}

/* Bytes of page INDEX that lie below SIZE. */
static u32 bytes_below(u64 size, u64 index)
{
	u64 start = index << PAGE_SHIFT;

	return start >= size ? 0 : (u32)min(size - start, PAGE_SIZE);
}

/* Pages that nobody looked at before they were cleared. */
static bool in_hole(const struct replay_obj *obj, u64 index)
{
	for (u32 i = 0; i < obj->nr_holes; i++)
		if (index >= obj->holes[i].first && index < obj->holes[i].stop)
			return true;
	return false;
}

static void add_hole(struct replay_obj *obj, u64 first, u64 stop)
{
	struct obj_hole *h =
		realloc(obj->holes, (obj->nr_holes + 1) * sizeof(*h));

	if (!h)
		err_die("no memory for the trace's files");
	h[obj->nr_holes++] = (struct obj_hole){first, stop};
	obj->holes = h;
}

struct shadow_page *obj_page(struct replay_obj *obj, u64 index)
{
	struct shadow_page *p = shadow_get(&obj->pages, index << PAGE_SHIFT);
	u32 there;

	if (p->init || obj->kind != OBJ_FILE)
		return p;
	p->init = 1;
	there = in_hole(obj, index) ? 0 : bytes_below(obj->first_size, index);
	if (there) {
		p->stamp = first_stamp(obj->id, index);
		p->cut = (u16)(PAGE_SIZE - there);
	}
	return p;
}

static u64 fresh_stamp(struct replay *rp)
{
	return ++rp->stamp_seq << 1 | 1;
}

void obj_store(struct replay_obj *obj, struct shadow_page *p, u64 index,
	       void *view)
{
	p->stamp = p->next_stamp ? p->next_stamp : fresh_stamp(obj->rp);
	p->next_stamp = 0;
	p->alt = ALT_NONE;
	p->cut = (u16)(PAGE_SIZE - bytes_below(obj->size, index));
	if (p->cut == PAGE_SIZE) /* a page without a byte of the file */
		p->stamp = p->cut = 0;
	stamp_write_cut(view, p->stamp, p->cut);
}

/* Drop identities and contents of pages FROM .. of OBJ. */
static void forget_pages(struct replay_obj *obj, u64 from, u64 to)
{
	struct replay *rp = obj->rp;
	struct shadow *s = &obj->pages;

	for (u32 i = 0; i < s->nr_buckets; i++)
		for (struct shadow_leaf *l = s->buckets[i]; l; l = l->next)
			for (u32 k = 0; k < ARRAY_SIZE(l->page); k++) {
				u64 n = ((l->key - 1) << SHADOW_LEAF_BITS) + k;

				if (n < from || n >= to)
					continue;
				if (rp->dry)
					replay_id_drop(&l->page[k], rp);
				memset(&l->page[k], 0, sizeof(l->page[k]));
				l->page[k].init = 1;
			}
}

static void part_cleared(struct replay_obj *obj, u64 index)
{
	struct shadow_page *p = obj_page(obj, index);

	if (p->stamp)
		p->alt = ALT_ANY;
}

void obj_hole(struct replay_obj *obj, u64 off, u64 len)
{
	u64 end = min(off + len, obj->size), first, stop;

	if (off >= end)
		return;
	/* Of the last page all goes with its last byte. */
	first = PFN_UP(off);
	stop = end == obj->size ? PFN_UP(end) : end >> PAGE_SHIFT;
	if (off & ~PAGE_MASK)
		part_cleared(obj, off >> PAGE_SHIFT);
	if (end & ~PAGE_MASK && end != obj->size && stop >= first)
		part_cleared(obj, stop);
	if (first < stop && first << PAGE_SHIFT < obj->first_size)
		add_hole(obj, first, stop);
	forget_pages(obj, first, stop);
}

/* OBJ has SIZE bytes now. */
static void obj_resize(struct replay_obj *obj, u64 size)
{
	struct replay *rp = obj->rp;
	struct shadow_page *p;

	if (size < obj->size) {
		if (size & ~PAGE_MASK) {
			p = obj_page(obj, size >> PAGE_SHIFT);
			p->cut = max(p->cut,
				     (u16)(PAGE_SIZE - (size & ~PAGE_MASK)));
		}
		obj->first_size = min(obj->first_size, size);
		forget_pages(obj, PFN_UP(size), UINT64_MAX);
		region_truncated(rp, obj, PFN_UP(size));
	}
	obj->size = size;
}

/* ---- objects
 * ------------------------------------------------------------------------ */

static struct replay_obj *obj_new(struct replay *rp, u32 id, u8 kind)
{
	struct replay_obj *obj = calloc(1, sizeof(*obj));

	if (!obj)
		err_die("no memory for the trace's files");
	obj->rp = rp;
	obj->refs = 1;
	obj->id = id;
	obj->kind = kind;
	shadow_init(&obj->pages);
	return obj;
}

struct replay_obj *obj_new_anon(struct replay *rp)
{
	struct replay_obj *obj = obj_new(rp, TRACE_NO_ID, OBJ_ANON);

	obj->size = TRACE_MAX_BYTES; /* as far as it is mapped */
	return obj;
}

static void obj_free(struct replay_obj *obj)
{
	shadow_free(&obj->pages);
	free(obj->holes);
	free(obj->name);
	free(obj);
}

/* In the machine: one reference to the inode goes. */
static void obj_unmake(struct replay_obj *obj)
{
	if (obj->inode) {
		if (obj->gone)
			obj->inode->i_nlink = 0;
		iput(obj->inode);
	}
	if (obj->file)
		fput(obj->file);
}

void obj_put(struct replay_obj *obj)
{
	struct replay *rp = obj->rp;

	if (--obj->refs)
		return;
	if (rp->dry)
		forget_pages(obj, 0, UINT64_MAX);
	else
		obj_unmake(obj);
	/* Ids of files, and the disk's callback, lead to it until the end. */
	if (obj->kind == OBJ_ANON)
		obj_free(obj);
}

static void make_on_disk(struct replay *rp, struct replay_obj *obj)
{
	struct sim_disk_config cfg = {
		.name = obj->name,
		.size_bytes = max(PAGE_ALIGN(obj->first_size), PAGE_SIZE),
		.on = rp->disk,
		.fill = fill_file,
		.fill_arg = obj};
	char why[SIM_DISK_ERR_MAX];
	int err = obj->first_size > MAX_LFS_FILESIZE ? -EFBIG : 0;

	if (err)
		snprintf(why, sizeof(why), "more than %llu bytes",
			 ull(MAX_LFS_FILESIZE));
	else
		err = sim_disk_open(&obj->bdev, &cfg, why);
	if (!err && port_bdev_resize(obj->bdev, obj->first_size)) {
		snprintf(why, sizeof(why), "no room for it");
		err = -ENOMEM;
	}
	if (err)
		replay_die(rp,
			   "file %u (%.100s, %llu bytes) cannot be made: "
			   "%.200s",
			   obj->id, obj->name, ull(obj->first_size), why);
	err = flatfile_new(&replay_sb, obj->bdev, obj->id + 1, S_IFREG | 0644,
			   &obj->inode);
	if (err)
		replay_die(rp, "file %u (%.100s) cannot be made: %s", obj->id,
			   obj->name, strerror(-err));
	obj->inode->i_nlink = 1;
}

static void make_in_memory(struct replay *rp, struct replay_obj *obj)
{
	struct file *file =
		shmem_file_setup(obj->name, obj->first_size, SHMEM_NORESERVE);

	if (IS_ERR(file))
		replay_die(rp,
			   "file %u (%.100s, %llu bytes) cannot be made in "
			   "memory: %s",
			   obj->id, obj->name, ull(obj->first_size),
			   strerror((int)-PTR_ERR(file)));
	obj->file = file;
	obj->inode = NULL;
}

static struct inode *obj_inode(const struct replay_obj *obj)
{
	return obj->file ? obj->file->f_inode : obj->inode;
}

struct replay_obj *obj_of_file(struct replay *rp, u32 file)
{
	struct replay_obj *obj = rp->files[file];

	if (!obj || !obj->refs)
		replay_die(rp, "file %u is %s", file,
			   obj ? "gone" : "unknown here");
	if (obj->made || rp->dry)
		return obj;
	obj->made = true;
	if (obj->kind == OBJ_FILE)
		make_on_disk(rp, obj);
	else if (obj->kind == OBJ_MEMORY)
		make_in_memory(rp, obj);
	return obj;
}

void replay_file_record(struct replay *rp, const struct trace_file *f)
{
	struct replay_obj *obj;

	obj = obj_new(rp, f->file,
		      f->flags & TRACE_FILE_SPECIAL  ? OBJ_SPECIAL
		      : f->flags & TRACE_FILE_MEMORY ? OBJ_MEMORY
						     : OBJ_FILE);
	obj->name = strdup(f->name);
	if (!obj->name)
		err_die("no memory for the trace's files");
	obj->size = obj->first_size = f->size;
	rp->files[f->file] = obj;
}

/* ---- open files
 * ----------------------------------------------------------------- */

static struct file *open_obj(struct replay *rp, struct replay_obj *obj,
			     u32 mode, u32 flags)
{
	struct file *file;

	if (obj->kind == OBJ_SPECIAL)
		return NULL;
	file = file_open(obj_inode(obj), mode, flags, obj->name);
	if (!file)
		replay_die(rp,
			   "file %u (%.100s) cannot be opened: no memory in "
			   "the machine",
			   obj->id, obj->name);
	return file;
}

struct file *replay_file_for_map(struct replay *rp, const struct trace_map *m)
{
	struct file *file = NULL;
	u32 mode = FMODE_READ;

	if (m->open != TRACE_NO_ID)
		file = rp->opens[m->open].file;
	if (file)
		return get_file(file);
	if (m->flags & TRACE_MF_SHARED)
		mode |= FMODE_WRITE;
	return open_obj(rp, obj_of_file(rp, m->file), mode, 0);
}

static void do_open(struct replay *rp, const struct trace_fileop *f)
{
	struct replay_obj *obj = obj_of_file(rp, f->file);
	struct replay_open *o = &rp->opens[f->open];
	u32 mode = 0;

	if (f->arg & TRACE_OPEN_READ)
		mode |= FMODE_READ;
	if (f->arg & TRACE_OPEN_WRITE)
		mode |= FMODE_WRITE;
	obj->refs++;
	o->obj = obj;
	/* Where an appending write went is in its record. */
	if (!rp->dry)
		o->file = open_obj(rp, obj, mode, 0);
}

static void do_close(struct replay_open *o)
{
	struct replay_obj *obj = o->obj;

	if (!obj)
		return;
	if (o->file)
		fput(o->file);
	o->file = NULL;
	o->obj = NULL;
	obj_put(obj);
}

static void do_unlink(struct replay *rp, u32 id)
{
	struct replay_obj *obj = rp->files[id];

	if (!obj || obj->gone)
		return;
	obj->gone = true;
	obj_put(obj);
}

/* ---- read and write
 * ------------------------------------------------------------------------ */

/* One call under way. */
struct rw {
	struct replay *rp;
	struct replay_obj *obj;
	u64 pos;
};

static void note_bad_byte(struct rw *w, const u8 *view, const u8 *want, u64 n)
{
	u64 i = 0;

	while (i < n && view[i] == want[i])
		i++;
	if (w->rp->res->data_errors++ < 10)
		err_say("data error: file %u (%s), byte %llu: read %02x, "
			"expected %02x",
			w->obj->id, w->obj->name, ull(w->pos + i), view[i],
			want[i]);
}

/* The model's part of a write of N bytes at W->pos, within a page. */
static struct shadow_page *write_model(struct rw *w, u64 n)
{
	u64 index = w->pos >> PAGE_SHIFT;
	u32 from = (u32)(w->pos & ~PAGE_MASK), to = from + (u32)n, valid;
	struct replay_obj *obj = w->obj;
	struct shadow_page *p = obj_page(obj, index);

	valid = min((u32)PAGE_SIZE - p->cut, bytes_below(obj->size, index));
	if (!p->stamp && p->alt == ALT_NONE)
		valid = 0;
	if (!from && to >= valid) {
		if (w->rp->dry)
			replay_id_drop(p, w->rp); /* nothing of it is needed */
		p->stamp = fresh_stamp(w->rp);
		p->alt = ALT_NONE;
		p->cut = (u16)(PAGE_SIZE - to);
	} else if (p->stamp && from <= valid) {
		p->cut = (u16)(PAGE_SIZE - max(valid, to));
	}
	obj->size = max(obj->size, w->pos + n);
	return p;
}

static struct rw *rw_of(const struct iov_iter *iter)
{
	return iter->private;
}

static void advance(struct iov_iter *iter, u64 n)
{
	rw_of(iter)->pos += n;
	iter->count -= n;
	port_charge_ns((n * sim_costs.copy_user_kib_ns + 1023) / 1024);
}

static u64 copy_in(struct iov_iter *iter, void *view, u64 n)
{
	struct rw *w = rw_of(iter);
	struct shadow_page *p = write_model(w, n);

	stamp_bytes(view, p->stamp, p->cut, (u32)(w->pos & ~PAGE_MASK), (u32)n);
	advance(iter, n);
	return n;
}

static u64 copy_out(struct iov_iter *iter, void *view, u64 n)
{
	static u8 want[PAGE_SIZE];
	struct rw *w = rw_of(iter);
	const struct shadow_page *p = obj_page(w->obj, w->pos >> PAGE_SHIFT);

	w->rp->res->data_checks++;
	replay_note_peak(w->rp);
	if (p->alt != ALT_ANY) {
		stamp_bytes(want, p->stamp, p->cut, (u32)(w->pos & ~PAGE_MASK),
			    (u32)n);
		if (memcmp(view, want, n))
			note_bad_byte(w, view, want, n);
	}
	advance(iter, n);
	return n;
}

/* Second pass: each page of the range is used. */
static void dry_rw(struct replay *rp, struct replay_obj *obj,
		   const struct trace_fileop *f)
{
	struct rw w = {rp, obj, f->offset};
	u64 left = f->length;

	if (f->op == TRACE_FOP_READ)
		left = f->offset < obj->size ? min(left, obj->size - f->offset)
					     : 0;
	while (left) {
		u64 n = min(left, PAGE_SIZE - (w.pos & ~PAGE_MASK));
		struct shadow_page *p =
			f->op == TRACE_FOP_WRITE
				? write_model(&w, n)
				: obj_page(obj, w.pos >> PAGE_SHIFT);

		/* A hole in memory is read without a page. */
		if (obj->kind == OBJ_FILE || f->op == TRACE_FOP_WRITE || p->id)
			replay_dry_file_page(rp, p);
		w.pos += n;
		left -= n;
	}
}

static void do_rw(struct replay *rp, const struct trace_fileop *f)
{
	struct replay_open *o = &rp->opens[f->open];
	bool write = f->op == TRACE_FOP_WRITE;
	u64 left = f->length, pos = f->offset;
	struct rw w = {rp, o->obj, pos};

	if (o->obj->kind == OBJ_SPECIAL)
		return;
	if (rp->dry) {
		dry_rw(rp, o->obj, f);
		return;
	}
	while (left) { /* one call moves 2 GiB at most */
		struct iov_iter iter = {.count = min(left, (u64)1 << 30),
					.write = write,
					.copy = write ? copy_in : copy_out,
					.private = &w};
		s64 n = write ? vfs_iter_write(o->file, &iter, &pos)
			      : vfs_iter_read(o->file, &iter, &pos);

		if (n <= 0)
			break;
		left -= (u64)n;
	}
	rp->res->call_mismatches += left != 0;
	replay_note_peak(rp);
}

/* ---- the rest
 * ---------------------------------------------------------------- */

static void mismatch(struct replay *rp, int err)
{
	if (err == -EOPNOTSUPP)
		rp->res->unsupported_calls++;
	else
		rp->res->call_mismatches += err != 0;
}

static void do_truncate(struct replay *rp, const struct trace_fileop *f)
{
	struct replay_obj *obj = obj_of_file(rp, f->file);
	struct inode *inode;
	int err = 0;

	if (obj->kind == OBJ_SPECIAL)
		return;
	inode = obj_inode(obj);
	if (!rp->dry)
		err = obj->file ? shmem_truncate(inode, f->offset)
				: vfs_truncate(inode, f->offset);
	if (err)
		replay_die(rp, "file %u (%.100s) cannot have %llu bytes: %s",
			   obj->id, obj->name, ull(f->offset), strerror(-err));
	obj_resize(obj, f->offset);
}

static void do_allocate(struct replay *rp, const struct trace_fileop *f)
{
	struct replay_open *o = &rp->opens[f->open];
	u32 mode = (u32)f->arg;
	int err = 0;

	if (o->obj->kind == OBJ_SPECIAL)
		return;
	if (mode && mode != (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE) &&
	    o->obj->kind != OBJ_MEMORY)
		err = -EOPNOTSUPP; /* as the file system here says; see dry */
	else if (!rp->dry)
		err = vfs_fallocate(o->file, mode, (s64)f->offset,
				    (s64)f->length);
	if (!rp->dry)
		mismatch(rp, err);
	if (err)
		return;
	if (mode & FALLOC_FL_PUNCH_HOLE)
		obj_hole(o->obj, f->offset, f->length);
	else if (!(mode & FALLOC_FL_KEEP_SIZE) &&
		 f->offset + f->length > o->obj->size)
		obj_resize(o->obj, f->offset + f->length);
}

static void do_sync(struct replay *rp, const struct trace_fileop *f)
{
	struct replay_obj *obj = obj_of_file(rp, f->file);
	struct file *file;

	if (rp->dry || obj->kind != OBJ_FILE)
		return;
	file = open_obj(rp, obj, FMODE_READ | FMODE_WRITE, 0);
	mismatch(rp, vfs_fsync_range(file, 0, INT64_MAX, f->arg != 0));
	fput(file);
}

static void do_advise(struct replay *rp, const struct trace_fileop *f)
{
	struct replay_open *o = &rp->opens[f->open];

	if (rp->dry || !o->file)
		return;
	mismatch(rp, vfs_fadvise(o->file, (s64)f->offset, (s64)f->length,
				 (int)f->arg));
}

static void do_live_fileop(struct replay *rp, const struct trace_fileop *f)
{
	/* A task that was killed before its time may have owed the open. */
	if (f->open != TRACE_NO_ID && f->op != TRACE_FOP_OPEN &&
	    !rp->opens[f->open].obj)
		return;
	switch (f->op) {
	case TRACE_FOP_OPEN:
		return do_open(rp, f);
	case TRACE_FOP_READ:
	case TRACE_FOP_WRITE:
		return do_rw(rp, f);
	case TRACE_FOP_TRUNCATE:
		return do_truncate(rp, f);
	case TRACE_FOP_SYNC:
		return do_sync(rp, f);
	case TRACE_FOP_ADVISE:
		return do_advise(rp, f);
	case TRACE_FOP_ALLOCATE:
		return do_allocate(rp, f);
	case TRACE_FOP_UNLINK:
		return do_unlink(rp, f->file);
	default:
		return;
	}
}

void replay_fileop_record(struct replay *rp, bool live,
			  const struct trace_fileop *f)
{
	if (f->op == TRACE_FOP_CLOSE)
		do_close(&rp->opens[f->open]);
	else if (live)
		do_live_fileop(rp, f);
}

/* ---- all of them
 * ------------------------------------------------------------------ */

void replay_files_init(struct replay *rp)
{
	struct sim_disk_config cfg = {.name = "disk", .size_bytes = PAGE_SIZE};
	char why[SIM_DISK_ERR_MAX];

	rp->files = calloc(TRACE_MAX_FILES, sizeof(struct replay_obj *));
	rp->opens = calloc(TRACE_MAX_OPENS, sizeof(*rp->opens));
	if (!rp->files || !rp->opens)
		err_die("no memory for the trace's files");
	if (!rp->dry && sim_disk_open(&rp->disk, &cfg, why))
		err_die("no disk for the trace's files: %s", why);
}

void replay_files_count(struct replay *rp)
{
	struct replay_result *res = rp->res;

	res->file_reads = res->file_rereads = 0;
	res->disk_reads = res->disk_writes = 0;
	for (u32 i = 0; i < TRACE_MAX_FILES; i++) {
		const struct replay_obj *obj = rp->files[i];
		struct sim_disk_stats s;

		if (!obj || !obj->bdev)
			continue;
		sim_disk_stats(obj->bdev, &s);
		res->disk_reads += s.reads;
		res->disk_writes += s.writes;
		res->file_reads +=
			s.read_sectors / (PAGE_SIZE / PORT_SECTOR_SIZE);
		res->file_rereads += s.pages_again;
	}
}

void replay_files_exit(struct replay *rp)
{
	for (u32 i = 0; i < TRACE_MAX_OPENS; i++)
		do_close(&rp->opens[i]);
	for (u32 i = 0; i < TRACE_MAX_FILES; i++) {
		struct replay_obj *obj = rp->files[i];

		if (obj && !obj->gone)
			obj_put(obj);
		if (obj)
			obj_free(obj);
	}
	free(rp->opens);
	free(rp->files);
	rp->opens = NULL;
	rp->files = NULL;
}
