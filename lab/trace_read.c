/* SPDX-License-Identifier: MIT */
/* trace_read.c - reading traces; see trace.c for the theory. */
#include "trace_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

MM_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
		 "the file's words are little-endian and read in place");

struct trace_reader_priv {
	FILE *file;
	char *path;
	u64 size, done;	 /* bytes of the file: all, read */
	u64 block_start; /* where the current block begins */
	u64 sum;	 /* of the file so far, chained */
	u64 blocks, raw_bytes;
	u64 end_sum; /* the file's sum as the end record has it */
	int status;  /* 1 going on, else what trace_next() returns */
	struct trace_header header;
	char *strings; /* behind header.argv and .program */
	struct trace_totals totals;
	struct trace_state *state;
	ZSTD_DCtx *zstd;
	u8 *comp;
	u64 *raw;	/* the decoded block and one word more */
	const u64 *end; /* of the decoded block */
	char name[TRACE_MAX_NAME + 1];
	struct trace_error err;
};

/* ---- errors
 * ---------------------------------------------------------------------- */

static int bad(struct trace_reader_priv *p, int ret, const char *fmt, ...)
	MM_PRINTF(3, 4);

/* Remember what is wrong, and that reading is over. */
static int bad(struct trace_reader_priv *p, int ret, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	trace_errorf(&p->err, "%.150s: block %llu, byte %llu: %s", p->path,
		     (unsigned long long)p->blocks,
		     (unsigned long long)p->block_start, what);
	p->status = ret;
	return ret;
}

/* The same for the record that begins at word WORD of the decoded block. */
static int bad_record(struct trace_reader_priv *p, const u64 *word, int ret,
		      const char *what)
{
	trace_errorf(&p->err,
		     "%.150s: block %llu, byte %llu, decoded byte %llu: %s",
		     p->path, (unsigned long long)(p->blocks - 1),
		     (unsigned long long)p->block_start,
		     (unsigned long long)(word - p->raw) * 8, what);
	p->status = ret;
	return ret;
}

/* ---- bytes
 * ------------------------------------------------------------------------ */

/* Exactly N bytes, or an error that says the file is too short. */
static int in(struct trace_reader_priv *p, void *to, size_t n)
{
	size_t got;

	errno = 0;
	got = fread(to, 1, n, p->file);
	p->done += got;
	if (got == n)
		return 0;
	if (ferror(p->file))
		return bad(p, errno ? -errno : -EIO, "cannot read: %s",
			   strerror(errno));
	return bad(p, -EBADMSG, "truncated: %zu bytes wanted, %zu there", n,
		   got);
}

static void add_sum(struct trace_reader_priv *p, const void *bytes, size_t n)
{
	p->sum = trace_sum64(bytes, n, p->sum);
}

/* ---- header
 * ------------------------------------------------------------------------ */

/* The strings behind the numbers: program, then argc arguments. */
static int split_strings(struct trace_reader_priv *p, size_t len)
{
	struct trace_header *h = &p->header;
	char *s = p->strings, *end = s + len;

	if (!len || end[-1] || h->argc > len)
		return bad(p, -EBADMSG, "header: strings are damaged");
	h->argv = calloc((size_t)h->argc + 1, sizeof(*h->argv));
	if (!h->argv)
		return bad(p, -ENOMEM, "out of memory");
	h->program = s;
	s += strlen(s) + 1;
	for (u32 i = 0; i < h->argc; i++, s += strlen(s) + 1) {
		if (s >= end)
			return bad(p, -EBADMSG, "header: %u arguments missing",
				   h->argc - i);
		h->argv[i] = s;
	}
	if (s != end)
		return bad(p, -EBADMSG, "header: bytes after the arguments");
	return 0;
}

static int check_numbers(struct trace_reader_priv *p)
{
	struct trace_header *h = &p->header;

	if (h->page_size != PAGE_SIZE)
		return bad(p, -EBADMSG,
			   "header: pages of %u bytes, only %lu are known",
			   h->page_size, PAGE_SIZE);
	if (h->flags & ~(TRACE_HAS_CONTENT | TRACE_FROM_LACKEY))
		return bad(p, -EBADMSG, "header: unknown flags %#x", h->flags);
	return 0;
}

/* The body of LEN bytes and the sum behind it. */
static int read_body(struct trace_reader_priv *p, size_t len)
{
	struct trace_header *h = &p->header;
	u32 fixed[4];
	u64 sum;
	int ret;

	p->strings = malloc(len);
	if (!p->strings)
		return bad(p, -ENOMEM, "out of memory");
	ret = in(p, p->strings, len);
	add_sum(p, p->strings, len);
	if (!ret)
		ret = in(p, &sum, sizeof(sum));
	if (ret)
		return ret;
	if (sum != p->sum)
		return bad(p, -EBADMSG, "header: checksum does not match");
	add_sum(p, &sum, sizeof(sum));
	memcpy(fixed, p->strings, sizeof(fixed));
	h->flags = fixed[0];
	h->arch = fixed[1];
	h->page_size = fixed[2];
	h->argc = fixed[3];
	memcpy(&h->window, p->strings + sizeof(fixed), sizeof(h->window));
	len -= TRACE_HEAD_BODY;
	memmove(p->strings, p->strings + TRACE_HEAD_BODY, len);
	ret = check_numbers(p);
	return ret ? ret : split_strings(p, len);
}

static int read_header(struct trace_reader_priv *p)
{
	u8 head[TRACE_HEAD_FIXED];
	u32 nums[2];
	int ret = in(p, head, sizeof(head));

	if (ret)
		return ret;
	memcpy(nums, head + TRACE_MAGIC_LEN, sizeof(nums));
	if (memcmp(head, TRACE_MAGIC, TRACE_MAGIC_LEN))
		return bad(p, -EBADMSG, "not a trace: the magic is missing");
	if (nums[0] < TRACE_OLDEST || nums[0] > TRACE_VERSION)
		return bad(p, -EBADMSG,
			   "format version %u; this program reads versions %u "
			   "to %u",
			   nums[0], TRACE_OLDEST, TRACE_VERSION);
	p->header.version = p->state->version = nums[0];
	if (nums[1] <= TRACE_HEAD_BODY || nums[1] > TRACE_HEAD_MAX)
		return bad(p, -EBADMSG, "header: body of %u bytes", nums[1]);
	add_sum(p, head, TRACE_MAGIC_LEN);
	add_sum(p, nums, sizeof(nums));
	return read_body(p, nums[1]);
}

/* ---- end record
 * ---------------------------------------------------------------------- */

/* The end record's 8-byte head is read; take and check the rest of it. */
static int parse_end(struct trace_reader_priv *p, const u32 head[2],
		     const u64 v[TRACE_NR_TOTALS + 2])
{
	u64 sum = trace_sum64(v, 8 * (TRACE_NR_TOTALS + 1),
			      trace_sum64(head, 8, 0));

	if (head[0] != TRACE_END_MAGIC || head[1] != TRACE_END_SIZE)
		return bad(p, -EBADMSG, "truncated: no end record");
	if (sum != v[TRACE_NR_TOTALS + 1])
		return bad(p, -EBADMSG, "end record: checksum does not match");
	trace_totals_unpack(&p->totals, v);
	p->end_sum = v[TRACE_NR_TOTALS];
	return 0;
}

/* Look at the file's end, then go back to behind the header. */
static int peek_end(struct trace_reader_priv *p)
{
	u64 here = p->done;
	u32 head[2];
	u64 v[TRACE_NR_TOTALS + 2];
	struct stat st;
	int ret;

	if (fstat(fileno(p->file), &st) || !S_ISREG(st.st_mode))
		return bad(p, -EINVAL, "not a regular file");
	p->size = (u64)st.st_size;
	if (p->size < here + TRACE_END_SIZE)
		return bad(p, -EBADMSG, "truncated: no end record");
	if (fseeko(p->file, -(off_t)TRACE_END_SIZE, SEEK_END))
		return bad(p, -errno, "cannot seek: %s", strerror(errno));
	p->block_start = p->size - TRACE_END_SIZE;
	ret = in(p, head, sizeof(head));
	if (!ret)
		ret = in(p, v, sizeof(v));
	if (!ret)
		ret = parse_end(p, head, v);
	if (!ret && fseeko(p->file, (off_t)here, SEEK_SET))
		ret = bad(p, -errno, "cannot seek: %s", strerror(errno));
	p->block_start = p->done = here;
	return ret;
}

/* The magic of the end record was met where a block might begin. */
static int read_end(struct trace_reader_priv *p, u32 magic)
{
	u32 head[2] = {magic, 0};
	u64 v[TRACE_NR_TOTALS + 2];
	int ret = in(p, &head[1], sizeof(head[1]));

	if (!ret)
		ret = in(p, v, sizeof(v));
	if (!ret)
		ret = parse_end(p, head, v);
	if (ret)
		return ret;
	if (p->end_sum != p->sum)
		return bad(p, -EBADMSG, "the file's checksum does not match");
	if (p->totals.blocks != p->blocks ||
	    p->totals.raw_bytes != p->raw_bytes)
		return bad(p, -EBADMSG, "end record: %llu blocks, %llu there",
			   (unsigned long long)p->totals.blocks,
			   (unsigned long long)p->blocks);
	if (p->done != p->size)
		return bad(p, -EBADMSG, "bytes after the end record");
	if (p->state->expect_move != TRACE_NO_ID)
		return bad(p, -EBADMSG, "mremap without its new mapping");
	p->status = 0;
	return 0;
}

/* ---- blocks
 * ---------------------------------------------------------------------------
 */

/* HEAD's four words are sound; read, compare and decode what they announce. */
static int read_data(struct trace_reader_priv *p, const u32 head[4])
{
	u32 raw = head[2], comp = head[3];
	u64 sum, expect;
	size_t n;
	int ret = in(p, &sum, sizeof(sum));

	if (!ret)
		ret = in(p, p->comp, comp);
	if (ret)
		return ret;
	expect = trace_sum64(p->comp, comp, trace_sum64(head, 16, p->sum));
	if (sum != expect)
		return bad(p, -EBADMSG, "checksum does not match");
	add_sum(p, head, 16);
	add_sum(p, &sum, sizeof(sum));
	add_sum(p, p->comp, comp);
	n = ZSTD_decompressDCtx(p->zstd, p->raw, raw, p->comp, comp);
	if (ZSTD_isError(n))
		return bad(p, -EBADMSG, "cannot decompress: %s",
			   ZSTD_getErrorName(n));
	if (n != raw)
		return bad(p, -EBADMSG, "%zu bytes decoded, %u announced", n,
			   raw);
	return 0;
}

/* The next block, or the end: 1, 0, or an error. */
static int read_block(struct trace_reader *r)
{
	struct trace_reader_priv *p = r->priv;
	u32 head[4];
	int ret;

	p->block_start = p->done;
	ret = in(p, head, sizeof(head[0]));
	if (ret)
		return ret;
	if (head[0] == TRACE_END_MAGIC)
		return read_end(p, head[0]);
	if (head[0] != TRACE_BLOCK_MAGIC)
		return bad(p, -EBADMSG, "no block begins here");
	ret = in(p, head + 1, 12);
	if (ret)
		return ret;
	if (head[1] != (u32)p->blocks)
		return bad(p, -EBADMSG, "this is block %u", head[1]);
	if (!head[2] || head[2] % 8 || head[2] > TRACE_RAW_MAX || !head[3] ||
	    head[3] > TRACE_COMP_MAX)
		return bad(p, -EBADMSG, "impossible sizes: %u bytes in %u",
			   head[2], head[3]);
	ret = read_data(p, head);
	if (ret)
		return ret;
	p->blocks++;
	p->raw_bytes += head[2];
	p->end = p->raw + head[2] / 8;
	p->raw[head[2] / 8] = ~0ULL; /* stops trace_next_ref() */
	r->p = p->raw;
	return 1;
}

/* ---- decoding
 * ---------------------------------------------------------------------------
 */

/* The payload of a record; ERR is sticky. */
struct payload {
	const u8 *p, *end;
	const char *err;
	bool v1; /* fields that came with version 2 are not there */
};

static u64 get(struct payload *b)
{
	u64 v = 0;

	for (int shift = 0; shift < 64 && b->p < b->end; shift += 7) {
		u8 c = *b->p++;

		if (shift == 63 && c > 1)
			break;
		v |= (u64)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return v;
	}
	b->err = "a number is cut off or too large";
	return 0;
}

static u32 get32(struct payload *b)
{
	u64 v = get(b);

	if (v > UINT32_MAX)
		b->err = "a number is too large";
	return (u32)v;
}

static u32 get_id(struct payload *b)
{
	return get32(b) - 1;
}

/* A name into the reader's buffer. */
static char *get_name(struct payload *b, char *to)
{
	u64 n = get(b);

	if (n > TRACE_MAX_NAME || n > (u64)(b->end - b->p)) {
		b->err = "a name is too long";
		n = 0;
	}
	memcpy(to, b->p, n);
	to[n] = 0;
	if (strlen(to) != n)
		b->err = "a name with a zero byte";
	b->p += n;
	return to;
}

static void get_map(struct payload *b, struct trace_map *m)
{
	u64 start;

	m->map = get32(b);
	m->kind = get32(b);
	m->how = get32(b);
	m->prot = get32(b);
	m->flags = get32(b);
	m->pages = get32(b);
	m->grown_pages = get32(b);
	m->at_map = get_id(b);
	m->at_page = get32(b);
	start = get(b);
	m->start = start * PAGE_SIZE;
	if (start >= TRACE_MAX_ADDR / PAGE_SIZE)
		b->err = "an address is too large";
	m->file = get_id(b);
	m->file_page = get(b);
	m->open = b->v1 ? TRACE_NO_ID : get_id(b);
}

static void get_file(struct payload *b, struct trace_file *f, char *name)
{
	f->file = get32(b);
	f->dev = get(b);
	f->ino = get(b);
	f->size = get(b);
	f->name = get_name(b, name);
	f->flags = b->v1 ? 0 : get32(b);
}

static void get_call(struct payload *b, struct trace_call *c)
{
	u32 more;

	c->op = get32(b);
	c->map = get_id(b);
	c->page = get32(b);
	c->nr_pages = get32(b);
	c->err = get32(b);
	c->new_map = get_id(b);
	c->arg = get(b);
	more = get32(b);
	c->more = more;
	if (more > 1)
		b->err = "a flag is neither 0 nor 1";
	c->flags = b->v1 ? 0 : get32(b);
}

static void get_fileop(struct payload *b, struct trace_fileop *f)
{
	f->op = get32(b);
	f->file = get_id(b);
	f->open = get_id(b);
	f->offset = get(b);
	f->length = get(b);
	f->arg = get(b);
}

static void get_content(struct payload *b, struct trace_content *c)
{
	u32 zero;

	c->map = get32(b);
	c->page = get32(b);
	zero = get32(b);
	c->zero = zero;
	c->csize = get32(b);
	c->hash = 0;
	if (zero > 1)
		b->err = "a flag is neither 0 nor 1";
	if (zero)
		return;
	if (b->end - b->p < 8) {
		b->err = "a hash is cut off";
		return;
	}
	memcpy(&c->hash, b->p, 8);
	b->p += 8;
}

static void get_ref(struct payload *b, struct trace_ref *ref)
{
	ref->map = get32(b);
	ref->page = get32(b);
	ref->nr_pages = get32(b);
	ref->access = get32(b);
	ref->count = get32(b);
}

static void get_payload(struct payload *b, struct trace_rec *rec, char *name)
{
	switch (rec->type) {
	case TRACE_REF:
		return get_ref(b, &rec->ref);
	case TRACE_MAP:
		return get_map(b, &rec->map);
	case TRACE_FILE:
		return get_file(b, &rec->file, name);
	case TRACE_CALL:
		return get_call(b, &rec->call);
	case TRACE_FORK:
		rec->fork.child = get32(b);
		rec->fork.flags = get32(b);
		return;
	case TRACE_EXEC:
		rec->exec.name = get_name(b, name);
		return;
	case TRACE_EXIT:
		rec->exit_status = (s32)get32(b);
		return;
	case TRACE_WAIT:
		rec->child = get32(b);
		return;
	case TRACE_SWITCH:
		rec->to = get32(b);
		return;
	case TRACE_CONTENT:
		return get_content(b, &rec->content);
	case TRACE_FILEOP:
		return get_fileop(b, &rec->fileop);
	case TRACE_NR_TYPES:
		break;
	}
}

static void unpack_ref(u64 w, struct trace_ref *ref)
{
	ref->access = (u32)(w >> TRACE_REF_ACCESS_SHIFT) & 7;
	ref->nr_pages = ((u32)(w >> TRACE_REF_RUN_SHIFT) & 0xff) + 1;
	ref->map = (u32)(w >> TRACE_REF_MAP_SHIFT) & 0x3fff;
	ref->page = (u32)(w >> TRACE_REF_PAGE_SHIFT) & 0x3fffff;
	ref->count = (u32)(w >> TRACE_REF_COUNT_SHIFT) + 1;
}

/* Decode the record at *AT and move *AT behind it; a text if it is damaged. */
static const char *decode(struct trace_reader_priv *p, const u64 **at,
			  struct trace_rec *rec)
{
	u64 w = *(*at)++;
	size_t len = (w >> 8) & 0xffff, words = DIV_ROUND_UP(len, 8);
	const u8 *body = (const u8 *)*at;
	struct payload b = {body, body + len, NULL, p->state->version == 1};

	rec->type = w & 1 ? (enum trace_type)((w >> 1) & 0x7f) : TRACE_REF;
	if (!(w & 1)) {
		unpack_ref(w, &rec->ref);
		return NULL;
	}
	if (w >> 24)
		return "reserved bits are set";
	if (rec->type < TRACE_REF ||
	    rec->type >= (b.v1 ? TRACE_FILEOP : TRACE_NR_TYPES))
		return "a record of unknown type";
	if (words > (size_t)(p->end - *at))
		return "a record reaches over the end of its block";
	get_payload(&b, rec, p->name);
	if (!b.err && b.p != b.end)
		b.err = "bytes left over in a record";
	for (; !b.err && b.p < body + words * 8; b.p++)
		if (*b.p)
			b.err = "padding is not zero";
	*at += words;
	return b.err;
}

/* Tell the fast path; nothing is fast while a MAP record must follow. */
static void publish(struct trace_reader *r)
{
	const struct trace_state *st = r->priv->state;
	const struct trace_mm *mm = trace_state_mm(st);

	if (st->expect_move != TRACE_NO_ID)
		mm = NULL;
	r->task = st->cur;
	r->limits = mm ? mm->pages : NULL;
	r->nr_limits = mm ? mm->nr : 0;
}

int trace_next(struct trace_reader *r, struct trace_rec *out)
{
	struct trace_reader_priv *p = r->priv;
	const u64 *at;
	const char *why;
	int ret;

	if (p->status != 1)
		return p->status;
	if (r->p == p->end) {
		ret = read_block(r);
		if (ret != 1)
			return ret;
	}
	at = r->p;
	why = decode(p, &at, out);
	if (why)
		return bad_record(p, r->p, -EBADMSG, why);
	ret = trace_state_apply(p->state, out);
	if (ret)
		return bad_record(p, r->p, ret == -ENOMEM ? ret : -EBADMSG,
				  p->state->why);
	r->p = at;
	publish(r);
	out->task = r->task;
	return 1;
}

/* ---- opening and closing
 * ------------------------------------------------------------------- */

void trace_reader_close(struct trace_reader *r)
{
	struct trace_reader_priv *p;

	if (!r)
		return;
	p = r->priv;
	if (p->file)
		fclose(p->file);
	ZSTD_freeDCtx(p->zstd);
	trace_state_free(p->state);
	free(p->header.argv);
	free(p->strings);
	free(p->path);
	free(p->comp);
	free(p->raw);
	free(p);
	free(r);
}

static struct trace_reader *reader_alloc(const char *path)
{
	struct trace_reader *r = calloc(1, sizeof(*r));
	struct trace_reader_priv *p = calloc(1, sizeof(*p));

	if (!r || !p) {
		free(r);
		free(p);
		return NULL;
	}
	r->priv = p;
	p->path = strdup(path);
	p->state = trace_state_new(TRACE_VERSION);
	p->zstd = ZSTD_createDCtx();
	p->comp = malloc(TRACE_COMP_MAX);
	p->raw = malloc(TRACE_RAW_MAX + 8);
	if (p->path && p->state && p->zstd && p->comp && p->raw)
		return r;
	trace_reader_close(r);
	return NULL;
}

struct trace_reader *trace_reader_open(const char *path,
				       struct trace_error *err)
{
	struct trace_reader *r = reader_alloc(path);
	struct trace_reader_priv *p;
	int ret;

	if (!r) {
		trace_errorf(err, "%s: out of memory", path);
		return NULL;
	}
	p = r->priv;
	p->status = 1;
	p->raw[0] = ~0ULL;
	r->p = p->end = p->raw;
	p->file = fopen(path, "rbe");
	if (!p->file) {
		trace_errorf(err, "%s: cannot open: %s", path, strerror(errno));
		trace_reader_close(r);
		return NULL;
	}
	ret = read_header(p);
	if (!ret)
		ret = peek_end(p);
	if (ret) {
		*err = p->err;
		trace_reader_close(r);
		return NULL;
	}
	publish(r);
	return r;
}

const struct trace_header *trace_reader_header(const struct trace_reader *r)
{
	return &r->priv->header;
}

const struct trace_totals *trace_reader_totals(const struct trace_reader *r)
{
	return &r->priv->totals;
}

void trace_reader_progress(const struct trace_reader *r, u64 *done, u64 *size)
{
	*done = r->priv->done;
	*size = r->priv->size;
}

void trace_reader_where(const struct trace_reader *r, char *text, size_t size)
{
	const struct trace_reader_priv *p = r->priv;

	snprintf(text, size, "%.150s: block %llu, decoded byte %llu", p->path,
		 (unsigned long long)(p->blocks ? p->blocks - 1 : 0),
		 (unsigned long long)(r->p - p->raw) * 8);
}

const char *trace_reader_error(const struct trace_reader *r)
{
	return r->priv->err.text;
}
