/* SPDX-License-Identifier: MIT */
/* trace_write.c - writing traces; see trace.c for the theory. */
#include "trace_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

/* zstd's level: a trace is written once and read often. */
#define WRITE_LEVEL 17
/* The largest record: a name, and varints of ten bytes. */
#define WRITE_SLACK (TRACE_MAX_NAME + 256u)

struct trace_writer {
	FILE *file;
	char *path, *tmp;
	struct trace_state *state;
	ZSTD_CCtx *zstd;
	u8 *raw, *comp;
	size_t fill; /* bytes in raw */
	u64 sum;     /* of the file so far, chained */
	struct trace_totals totals;
	struct trace_error err;
};

/* ---- encoding
 * ------------------------------------------------------------------ */

static void put_bytes(struct trace_writer *w, const void *p, size_t n)
{
	memcpy(w->raw + w->fill, p, n);
	w->fill += n;
}

static void put(struct trace_writer *w, u64 v)
{
	for (; v >= 0x80; v >>= 7)
		w->raw[w->fill++] = (u8)(v | 0x80);
	w->raw[w->fill++] = (u8)v;
}

/* An id of which TRACE_NO_ID is short. */
static void put_id(struct trace_writer *w, u32 id)
{
	put(w, (u32)(id + 1));
}

static void put_name(struct trace_writer *w, const char *name)
{
	size_t n = strlen(name);

	put(w, n);
	put_bytes(w, name, n);
}

static void put_map(struct trace_writer *w, const struct trace_map *m)
{
	put(w, m->map);
	put(w, m->kind);
	put(w, m->how);
	put(w, m->prot);
	put(w, m->flags);
	put(w, m->pages);
	put(w, m->grown_pages);
	put_id(w, m->at_map);
	put(w, m->at_page);
	put(w, m->start / PAGE_SIZE);
	put_id(w, m->file);
	put(w, m->file_page);
	if (w->state->version > 1)
		put_id(w, m->open);
}

static void put_file(struct trace_writer *w, const struct trace_file *f)
{
	put(w, f->file);
	put(w, f->dev);
	put(w, f->ino);
	put(w, f->size);
	put_name(w, f->name);
	if (w->state->version > 1)
		put(w, f->flags);
}

static void put_call(struct trace_writer *w, const struct trace_call *c)
{
	put(w, c->op);
	put_id(w, c->map);
	put(w, c->page);
	put(w, c->nr_pages);
	put(w, c->err);
	put_id(w, c->new_map);
	put(w, c->arg);
	put(w, c->more);
	if (w->state->version > 1)
		put(w, c->flags);
}

static void put_fileop(struct trace_writer *w, const struct trace_fileop *f)
{
	put(w, f->op);
	put_id(w, f->file);
	put_id(w, f->open);
	put(w, f->offset);
	put(w, f->length);
	put(w, f->arg);
}

static void put_content(struct trace_writer *w, const struct trace_content *c)
{
	put(w, c->map);
	put(w, c->page);
	put(w, c->zero);
	put(w, c->csize);
	if (!c->zero)
		put_bytes(w, &c->hash, sizeof(c->hash));
}

static void put_ref(struct trace_writer *w, const struct trace_ref *r)
{
	put(w, r->map);
	put(w, r->page);
	put(w, r->nr_pages);
	put(w, r->access);
	put(w, r->count);
}

static void put_payload(struct trace_writer *w, const struct trace_rec *rec)
{
	switch (rec->type) {
	case TRACE_REF:
		return put_ref(w, &rec->ref);
	case TRACE_MAP:
		return put_map(w, &rec->map);
	case TRACE_FILE:
		return put_file(w, &rec->file);
	case TRACE_CALL:
		return put_call(w, &rec->call);
	case TRACE_FORK:
		put(w, rec->fork.child);
		return put(w, rec->fork.flags);
	case TRACE_EXEC:
		return put_name(w, rec->exec.name);
	case TRACE_EXIT:
		return put(w, (u32)rec->exit_status);
	case TRACE_WAIT:
		return put(w, rec->child);
	case TRACE_SWITCH:
		return put(w, rec->to);
	case TRACE_CONTENT:
		return put_content(w, &rec->content);
	case TRACE_FILEOP:
		return put_fileop(w, &rec->fileop);
	case TRACE_NR_TYPES:
		break;
	}
}

/* A REF as one word, or 0 if its numbers are too large for that. */
static u64 short_ref(const struct trace_ref *r)
{
	if (r->page >= TRACE_SHORT_PAGES || r->count > TRACE_SHORT_COUNT)
		return 0;
	return (u64)r->access << TRACE_REF_ACCESS_SHIFT |
	       (u64)(r->nr_pages - 1) << TRACE_REF_RUN_SHIFT |
	       (u64)r->map << TRACE_REF_MAP_SHIFT |
	       (u64)r->page << TRACE_REF_PAGE_SHIFT |
	       (u64)(r->count - 1) << TRACE_REF_COUNT_SHIFT;
}

static void encode(struct trace_writer *w, const struct trace_rec *rec)
{
	size_t start = w->fill;
	u64 word = rec->type == TRACE_REF ? short_ref(&rec->ref) : 0;

	w->fill += 8;
	if (!word) {
		put_payload(w, rec);
		word = 1 | (u64)rec->type << 1 | (w->fill - start - 8) << 8;
	}
	memcpy(w->raw + start, &word, sizeof(word));
	while (w->fill % 8)
		w->raw[w->fill++] = 0;
}

/* ---- output
 * -------------------------------------------------------------------- */

static int fail(struct trace_writer *w, int error, const char *what)
{
	trace_errorf(&w->err, "%s: %s: %s", w->tmp, what, strerror(error));
	return error ? -error : -EIO;
}

/* N bytes to the file, and into its sum. */
static int out(struct trace_writer *w, const void *p, size_t n)
{
	errno = 0;
	if (fwrite(p, 1, n, w->file) != n)
		return fail(w, errno, "cannot write");
	w->sum = trace_sum64(p, n, w->sum);
	return 0;
}

static int flush_block(struct trace_writer *w)
{
	size_t n;
	u32 head[4];
	u64 sum;
	int ret;

	if (!w->fill)
		return 0;
	n = ZSTD_compressCCtx(w->zstd, w->comp, TRACE_COMP_MAX, w->raw, w->fill,
			      WRITE_LEVEL);
	if (ZSTD_isError(n)) {
		trace_errorf(&w->err, "%s: cannot compress: %s", w->tmp,
			     ZSTD_getErrorName(n));
		return -EIO;
	}
	head[0] = TRACE_BLOCK_MAGIC;
	head[1] = (u32)w->totals.blocks;
	head[2] = (u32)w->fill;
	head[3] = (u32)n;
	sum = trace_sum64(w->comp, n, trace_sum64(head, sizeof(head), w->sum));
	ret = out(w, head, sizeof(head));
	if (!ret)
		ret = out(w, &sum, sizeof(sum));
	if (!ret)
		ret = out(w, w->comp, n);
	w->totals.blocks++;
	w->totals.raw_bytes += w->fill;
	w->fill = 0;
	return ret;
}

static void count(struct trace_totals *t, const struct trace_rec *rec)
{
	t->records++;
	if (rec->type == TRACE_REF) {
		t->ref_records++;
		t->references += rec->ref.count;
	} else if (rec->type == TRACE_MAP) {
		t->maps++;
		t->touch_maps += rec->map.how == TRACE_HOW_TOUCH;
	}
	t->calls += rec->type == TRACE_CALL;
	t->contents += rec->type == TRACE_CONTENT;
	t->tasks += rec->type == TRACE_FORK;
}

int trace_write(struct trace_writer *w, const struct trace_rec *rec)
{
	int ret = trace_state_apply(w->state, rec);

	if (ret) {
		trace_errorf(&w->err, "%s: record %llu: %s", w->tmp,
			     (unsigned long long)w->totals.records,
			     w->state->why);
		return ret;
	}
	encode(w, rec);
	count(&w->totals, rec);
	return w->fill >= TRACE_RAW_FILL ? flush_block(w) : 0;
}

/* ---- beginning and end
 * ------------------------------------------------------------ */

/* The header's body in a fresh buffer, *LEN bytes; NULL: none or too long. */
static u8 *build_header(const struct trace_header *h, size_t *len)
{
	size_t n = TRACE_HEAD_BODY + strlen(h->program) + 1;
	u32 fixed[4] = {h->flags, h->arch, h->page_size, h->argc};
	u8 *body, *p;

	for (u32 i = 0; i < h->argc; i++)
		n += strlen(h->argv[i]) + 1;
	body = n <= TRACE_HEAD_MAX ? malloc(n) : NULL;
	if (!body)
		return NULL;
	memcpy(body, fixed, sizeof(fixed));
	memcpy(body + sizeof(fixed), &h->window, sizeof(h->window));
	p = (u8 *)stpcpy((char *)body + TRACE_HEAD_BODY, h->program) + 1;
	for (u32 i = 0; i < h->argc; i++)
		p = (u8 *)stpcpy((char *)p, h->argv[i]) + 1;
	*len = n;
	return body;
}

static int write_header(struct trace_writer *w, const struct trace_header *hdr)
{
	u32 nums[2] = {w->state->version, 0};
	size_t len = 0;
	u8 *body = build_header(hdr, &len);
	int ret;

	if (!body)
		return fail(w, E2BIG, "the program's arguments");
	nums[1] = (u32)len;
	ret = out(w, TRACE_MAGIC, TRACE_MAGIC_LEN);
	if (!ret)
		ret = out(w, nums, sizeof(nums));
	if (!ret)
		ret = out(w, body, len);
	free(body);
	if (!ret) {
		u64 sum = w->sum;

		ret = out(w, &sum, sizeof(sum));
	}
	return ret;
}

static void writer_free(struct trace_writer *w)
{
	if (w->file)
		fclose(w->file);
	if (w->tmp && w->file)
		unlink(w->tmp);
	ZSTD_freeCCtx(w->zstd);
	trace_state_free(w->state);
	free(w->raw);
	free(w->comp);
	free(w->path);
	free(w->tmp);
	free(w);
}

/* Everything that needs memory. */
static bool writer_alloc(struct trace_writer *w, const char *path, u32 version)
{
	w->path = strdup(path);
	if (asprintf(&w->tmp, "%s.tmp.%d", path, (int)getpid()) < 0)
		w->tmp = NULL;
	w->state = trace_state_new(version);
	w->zstd = ZSTD_createCCtx();
	w->raw = malloc(TRACE_RAW_FILL + WRITE_SLACK);
	w->comp = malloc(TRACE_COMP_MAX);
	return w->path && w->tmp && w->state && w->zstd && w->raw && w->comp;
}

struct trace_writer *trace_writer_open(const char *path,
				       const struct trace_header *hdr,
				       struct trace_error *err)
{
	struct trace_writer *w = calloc(1, sizeof(*w));
	u32 version = hdr->version ? hdr->version : TRACE_VERSION;

	if (version < TRACE_OLDEST || version > TRACE_VERSION) {
		trace_errorf(err, "%s: format version %u cannot be written",
			     path, version);
		free(w);
		return NULL;
	}
	if (!w || !writer_alloc(w, path, version)) {
		trace_errorf(err, "%s: out of memory", path);
		if (w)
			writer_free(w);
		return NULL;
	}
	w->file = fopen(w->tmp, "wbe");
	if (!w->file) {
		trace_errorf(err, "%s: cannot create: %s", w->tmp,
			     strerror(errno));
		writer_free(w);
		return NULL;
	}
	w->totals.tasks = 1;
	if (write_header(w, hdr)) {
		*err = w->err;
		writer_free(w);
		return NULL;
	}
	return w;
}

static int write_end(struct trace_writer *w)
{
	u32 head[2] = {TRACE_END_MAGIC, TRACE_END_SIZE};
	u64 v[TRACE_NR_TOTALS + 2];
	u64 before = w->sum;
	int ret;

	trace_totals_pack(&w->totals, v);
	v[TRACE_NR_TOTALS] = before;
	v[TRACE_NR_TOTALS + 1] =
		trace_sum64(v, 8 * (TRACE_NR_TOTALS + 1),
			    trace_sum64(head, sizeof(head), 0));
	ret = out(w, head, sizeof(head));
	return ret ? ret : out(w, v, sizeof(v));
}

/* Bytes to the disk, then the name to its place. */
static int commit(struct trace_writer *w)
{
	errno = 0;
	if (fflush(w->file) || ferror(w->file))
		return fail(w, errno, "cannot write");
	if (rename(w->tmp, w->path))
		return fail(w, errno, "cannot rename");
	fclose(w->file);
	w->file = NULL;
	return 0;
}

int trace_writer_finish(struct trace_writer *w,
			const struct trace_totals *extra,
			struct trace_error *err)
{
	int ret = flush_block(w);

	w->totals.footprint_pages = extra->footprint_pages;
	w->totals.unreported = extra->unreported;
	w->totals.exit_status = extra->exit_status;
	if (!ret)
		ret = write_end(w);
	if (!ret)
		ret = commit(w);
	if (ret)
		*err = w->err;
	writer_free(w);
	return ret;
}

void trace_writer_abort(struct trace_writer *w)
{
	if (w)
		writer_free(w);
}

const struct trace_totals *trace_writer_totals(const struct trace_writer *w)
{
	return &w->totals;
}

const char *trace_writer_error(const struct trace_writer *w)
{
	return w->err.text;
}
