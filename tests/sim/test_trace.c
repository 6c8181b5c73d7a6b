/* SPDX-License-Identifier: MIT */
/* Traces: round trips, damage at every byte, and files made to do harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first. */
#include <cmocka.h>

#include "base_seed.h"
#include "trace.h"
#include "trace_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zstd.h>

static char path[64]; /* the trace under test */

static int setup(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/mmkit-test-trace.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

static struct trace_writer *writer_of(u32 version)
{
	static char *argv[] = {(char *)"prog", (char *)"", (char *)"a b"};
	struct trace_header h = {.version = version,
				 .flags = TRACE_HAS_CONTENT,
				 .arch = TRACE_ARCH_X86_64,
				 .page_size = PAGE_SIZE,
				 .window = 77,
				 .argc = 3,
				 .argv = argv,
				 .program = (char *)"test"};
	struct trace_error err;
	struct trace_writer *w = trace_writer_open(path, &h, &err);

	assert_non_null(w);
	return w;
}

static struct trace_writer *writer(void)
{
	return writer_of(0);
}

static void put(struct trace_writer *w, struct trace_rec rec)
{
	assert_int_equal(trace_write(w, &rec), 0);
}

static void finish(struct trace_writer *w)
{
	struct trace_totals extra = {
		.footprint_pages = 5, .unreported = 6, .exit_status = 256 + 9};
	struct trace_error err;

	assert_int_equal(trace_writer_finish(w, &extra, &err), 0);
}

#define MAP(id, nr)                                        \
	((struct trace_rec){.type = TRACE_MAP,             \
			    .map = {.map = (id),           \
				    .pages = (nr),         \
				    .prot = 3,             \
				    .at_map = TRACE_NO_ID, \
				    .file = TRACE_NO_ID,   \
				    .open = TRACE_NO_ID,   \
				    .start = 0x10000}})
#define REF(id, p, n)                          \
	((struct trace_rec){.type = TRACE_REF, \
			    .ref = {(id), (p), (n), TRACE_W, 3}})

/* ---- the checksum
 * --------------------------------------------------------------- */

static void test_sum(void **state)
{
	static const char text[] = "Nobody inspects the spammish repetition";

	(void)state;
	assert_true(trace_sum64("", 0, 0) == 0xef46db3751d8e999ULL);
	assert_true(trace_sum64("a", 1, 0) == 0xd24ec4f1a98c6e5bULL);
	assert_true(trace_sum64("abc", 3, 0) == 0x44bc2cf5ad770999ULL);
	assert_true(trace_sum64(text, 39, 0) == 0xfbcea83c8a378bf1ULL);
}

/* ---- round trip
 * ------------------------------------------------------------------ */

static u32 below(struct prng *r, u32 n)
{
	return (u32)prng_below(r, n);
}

/* Mostly small, sometimes up to N. */
static u32 skewed(struct prng *r, u32 n)
{
	return below(r, 8) ? below(r, min(n, 20u)) : below(r, n);
}

static void random_map(struct prng *r, struct trace_map *m)
{
	m->map = below(r, 500) ? below(r, 60) : below(r, TRACE_MAX_MAPS);
	m->kind = below(r, TRACE_NR_KINDS);
	m->how = below(r, TRACE_NR_HOWS);
	m->prot = below(r, 8);
	m->flags = below(r, TRACE_MF_ALL + 1);
	m->pages = 1 + skewed(r, TRACE_MAX_MAP_PAGES);
	m->grown_pages = m->kind == TRACE_KIND_STACK ? below(r, m->pages) : 0;
	m->at_map = below(r, 4) ? TRACE_NO_ID : skewed(r, 100);
	m->at_page = skewed(r, 1 << 20);
	m->start = (u64)prng_u32(r) * PAGE_SIZE;
	m->file = below(r, 2) ? TRACE_NO_ID : skewed(r, 30);
	m->file_page = skewed(r, UINT32_MAX);
	m->open = below(r, 4) ? TRACE_NO_ID : skewed(r, 30);
}

static void random_call(struct prng *r, struct trace_call *c)
{
	c->op = below(r, TRACE_NR_OPS);
	c->map = below(r, 5) ? skewed(r, 100) : TRACE_NO_ID;
	c->page = skewed(r, 1 << 30);
	c->nr_pages = skewed(r, 1 << 30);
	c->err = below(r, 2) ? 0 : below(r, 200);
	c->new_map = below(r, 2) ? TRACE_NO_ID : skewed(r, 100);
	c->arg = prng_u64(r) >> below(r, 64);
	c->more = below(r, 2);
	c->flags = below(r, 3) ? 0 : below(r, TRACE_MREMAP_ALL + 2);
}

static void random_fileop(struct prng *r, struct trace_fileop *f)
{
	f->op = below(r, TRACE_NR_FOPS + 1);
	f->file = below(r, 3) ? skewed(r, 40) : TRACE_NO_ID;
	f->open = below(r, 3) ? skewed(r, TRACE_MAX_OPENS + 9) : TRACE_NO_ID;
	f->offset = below(r, 2) ? 0 : prng_u64(r) >> below(r, 64);
	f->length = below(r, 2) ? 0 : prng_u64(r) >> below(r, 64);
	f->arg = below(r, 3);
}

static void random_rest(struct prng *r, struct trace_rec *rec, char *name)
{
	snprintf(name, 64, "/some/file-%u", prng_u32(r));
	switch (rec->type) {
	case TRACE_FILE:
		rec->file.file = skewed(r, TRACE_MAX_FILES);
		rec->file.dev = prng_u64(r);
		rec->file.ino = prng_u32(r);
		rec->file.size = prng_u64(r) >> below(r, 60);
		rec->file.name = name;
		rec->file.flags = below(r, 2) ? 0 : below(r, 5);
		break;
	case TRACE_FORK:
		rec->fork.child = skewed(r, TRACE_MAX_TASKS);
		rec->fork.flags = below(r, 8);
		break;
	case TRACE_EXEC:
		rec->exec.name = name;
		break;
	case TRACE_EXIT:
		rec->exit_status = (s32)below(r, 300);
		break;
	case TRACE_WAIT:
	case TRACE_SWITCH:
		rec->to = skewed(r, TRACE_MAX_TASKS);
		break;
	default:
		break;
	}
}

static void random_rec(struct prng *r, struct trace_rec *rec, char *name)
{
	memset(rec, 0, sizeof(*rec));
	/* Exec and exit seldom, or there would be nothing to refer to. */
	do
		rec->type = (enum trace_type)(1 + below(r, TRACE_NR_TYPES - 1));
	while ((rec->type == TRACE_EXIT || rec->type == TRACE_EXEC) &&
	       below(r, 40));
	if (rec->type == TRACE_REF) {
		rec->ref.map = skewed(r, TRACE_MAX_MAPS);
		rec->ref.page = skewed(r, 1u << 31);
		rec->ref.nr_pages = 1 + skewed(r, 256);
		rec->ref.access = 1 + below(r, 7);
		rec->ref.count = 1 + skewed(r, UINT32_MAX);
	} else if (rec->type == TRACE_MAP) {
		random_map(r, &rec->map);
	} else if (rec->type == TRACE_CALL) {
		random_call(r, &rec->call);
	} else if (rec->type == TRACE_FILEOP) {
		random_fileop(r, &rec->fileop);
	} else if (rec->type == TRACE_CONTENT) {
		rec->content.map = skewed(r, 100);
		rec->content.page = skewed(r, 1 << 30);
		rec->content.zero = below(r, 2);
		rec->content.csize = below(r, 4097);
		rec->content.hash = rec->content.zero ? 0 : prng_u64(r);
	} else {
		random_rest(r, rec, name);
	}
}

static void same_name(struct trace_rec *a, struct trace_rec *b)
{
	if (a->type == TRACE_FILE) {
		assert_string_equal(a->file.name, b->file.name);
		a->file.name = b->file.name = NULL;
	}
	if (a->type == TRACE_EXEC) {
		assert_string_equal(a->exec.name, b->exec.name);
		a->exec.name = b->exec.name = NULL;
	}
}

#define KEEP 20000

struct kept {
	struct trace_rec rec;
	char name[64];
};

/*
 * Offer random records until KEEP were taken; the kinds that were. A thousand
 * refusals in a row (all tasks dead, the tables full) end it early.
 */
static u32 write_random(struct prng *r, struct kept *kept, u32 *nr, u32 version)
{
	struct trace_writer *w = writer_of(version);
	u32 n = 0, kinds = 0, refusals = 0;
	struct trace_call *c = NULL;

	while (n < KEEP && refusals < 1000) {
		int ret;

		random_rec(r, &kept[n].rec, kept[n].name);
		if (c && c->new_map != c->map && below(r, 2)) {
			kept[n].rec = MAP(c->new_map, 1 + below(r, 99));
			kept[n].rec.map.how = TRACE_HOW_MOVE;
		}
		ret = trace_write(w, &kept[n].rec);
		if (ret) {
			assert_int_equal(ret, -EINVAL);
			assert_true(strlen(trace_writer_error(w)) > 20);
			refusals++;
			continue;
		}
		kinds |= 1u << kept[n].rec.type;
		c = &kept[n].rec.call;
		if (kept[n].rec.type != TRACE_CALL || c->new_map == TRACE_NO_ID)
			c = NULL;
		refusals = 0;
		n++;
	}
	finish(w);
	*nr = n;
	return kinds;
}

/* The next record, through the fast path if that takes it. */
static int next(struct trace_reader *r, struct trace_rec *rec, u32 *fast)
{
	struct trace_ref ref;

	if (!trace_next_ref(r, &ref))
		return trace_next(r, rec);
	rec->type = TRACE_REF;
	rec->task = r->task;
	rec->ref = ref;
	++*fast;
	return 1;
}

static void compare_all(struct kept *kept, u32 nr, bool use_fast)
{
	struct trace_error err;
	struct trace_reader *r = trace_reader_open(path, &err);
	u32 fast = 0, refs = 0;

	assert_non_null(r);
	for (u32 i = 0; i < nr; i++) {
		struct trace_rec got;
		struct trace_rec want = kept[i].rec;

		memset(&got, 0, sizeof(got));
		assert_int_equal(use_fast ? next(r, &got, &fast)
					  : trace_next(r, &got),
				 1);
		refs += got.type == TRACE_REF;
		if (want.type == TRACE_FILE)
			want.file.name = kept[i].name;
		if (want.type == TRACE_EXEC)
			want.exec.name = kept[i].name;
		same_name(&want, &got);
		want.task = got.task;
		assert_memory_equal(&want, &got, sizeof(got));
	}
	assert_int_equal(trace_next(r, &(struct trace_rec){0}), 0);
	assert_int_equal(trace_next(r, &(struct trace_rec){0}), 0);
	assert_int_equal(trace_reader_totals(r)->records, nr);
	assert_int_equal(trace_reader_totals(r)->ref_records, refs);
	if (use_fast)
		assert_true(fast <= refs);
	trace_reader_close(r);
}

static void test_round_trip(void **state)
{
	struct kept *kept = calloc(KEEP + 1, sizeof(*kept));
	u64 iters = test_iters(8), total = 0;
	u32 kinds = 0;
	struct prng rnd;

	(void)state;
	assert_non_null(kept);
	test_seed(&rnd, "round trip");
	for (u64 i = 0; i < iters; i++) {
		u32 nr = 0;

		kinds |= write_random(&rnd, kept, &nr, TRACE_VERSION);
		total += nr;
		compare_all(kept, nr, false);
		compare_all(kept, nr, true);
	}
	assert_true(total >= 1000 * iters);
	assert_int_equal(kinds | 1, (1u << TRACE_NR_TYPES) - 1);
	free(kept);
}

/* Version 1 holds what it held, and refuses what came later. */
static void test_round_trip_v1(void **state)
{
	struct kept *kept = calloc(KEEP + 1, sizeof(*kept));
	u64 iters = test_iters(4);
	struct prng rnd;
	u32 kinds = 0;

	(void)state;
	assert_non_null(kept);
	test_seed(&rnd, "round trip of version 1");
	for (u64 i = 0; i < iters; i++) {
		u32 nr = 0;

		kinds |= write_random(&rnd, kept, &nr, 1);
		compare_all(kept, nr, i % 2);
		for (u32 k = 0; k < nr; k++) {
			const struct trace_rec *rec = &kept[k].rec;

			assert_true(rec->type != TRACE_FILEOP);
			if (rec->type == TRACE_MAP)
				assert_true(rec->map.open == TRACE_NO_ID);
			if (rec->type == TRACE_CALL)
				assert_int_equal(rec->call.flags, 0);
			if (rec->type == TRACE_FILE)
				assert_int_equal(rec->file.flags, 0);
		}
	}
	assert_int_equal(kinds & 1u << TRACE_FILEOP, 0);
	assert_int_equal(kinds | 1, (1u << TRACE_FILEOP) - 1);
	free(kept);
}

static void test_no_such_version(void **state)
{
	struct trace_header h = {.version = TRACE_VERSION + 1,
				 .program = (char *)"test"};
	struct trace_error err = {""};

	(void)state;
	assert_null(trace_writer_open(path, &h, &err));
	assert_non_null(strstr(err.text, "version 3 cannot be written"));
}

/* Files, open files and their ends, and where the reader says it is. */
static void test_fileops(void **state)
{
	struct trace_rec f = {.type = TRACE_FILE,
			      .file = {.name = (char *)"n"}};
	struct trace_rec other = {.type = TRACE_FILE,
				  .file = {.file = 1, .name = (char *)"o"}};
	struct trace_rec op = {.type = TRACE_FILEOP};
	struct trace_writer *w = writer();
	struct trace_rec m = MAP(0, 1), got;
	struct trace_error err;
	struct trace_reader *r;
	char where[256];

	(void)state;
	put(w, f);
	op.fileop = (struct trace_fileop){TRACE_FOP_OPEN, 0, 7, 0, 0, 3};
	put(w, op);
	m.map.kind = TRACE_KIND_FILE;
	m.map.file = 0;
	m.map.open = 7;
	put(w, m);
	put(w, other);
	m.map.file = 1;
	assert_int_equal(trace_write(w, &m), -EINVAL);
	assert_non_null(strstr(trace_writer_error(w),
			       "open file 7 is of file 0, not 1"));
	m.map.file = 0;
	op.fileop = (struct trace_fileop){
		TRACE_FOP_UNLINK, 0, TRACE_NO_ID, 0, 0, 0};
	put(w, op);
	put(w, m); /* what is open may still be mapped */
	op.fileop =
		(struct trace_fileop){TRACE_FOP_CLOSE, TRACE_NO_ID, 7, 0, 0, 0};
	put(w, op);
	assert_int_equal(trace_write(w, &m), -EINVAL);
	assert_non_null(strstr(trace_writer_error(w), "open file 7 does not"));
	m.map.open = TRACE_NO_ID;
	assert_int_equal(trace_write(w, &m), -EINVAL);
	assert_non_null(strstr(trace_writer_error(w), "file 0 is gone"));
	finish(w);
	r = trace_reader_open(path, &err);
	assert_non_null(r);
	assert_int_equal(trace_next(r, &got), 1);
	assert_int_equal(trace_next(r, &got), 1);
	assert_int_equal(got.fileop.op, TRACE_FOP_OPEN);
	trace_reader_where(r, where, sizeof(where));
	assert_non_null(strstr(where, "block 0, decoded byte 32"));
	trace_reader_close(r);
}

static void test_header(void **state)
{
	struct trace_error err;
	struct trace_reader *r;
	const struct trace_header *h;
	u64 done, size;

	(void)state;
	finish(writer());
	r = trace_reader_open(path, &err);
	assert_non_null(r);
	h = trace_reader_header(r);
	assert_int_equal(h->window, 77);
	assert_int_equal(h->argc, 3);
	assert_string_equal(h->argv[1], "");
	assert_string_equal(h->argv[2], "a b");
	assert_string_equal(h->program, "test");
	assert_int_equal(trace_reader_totals(r)->exit_status, 265);
	assert_int_equal(trace_reader_totals(r)->footprint_pages, 5);
	assert_int_equal(trace_next(r, &(struct trace_rec){0}), 0);
	trace_reader_progress(r, &done, &size);
	assert_true(done == size && size > 100);
	trace_reader_close(r);
}

/* A trace of several blocks, so that blocks could be swapped or dropped. */
static void test_blocks(void **state)
{
	struct trace_writer *w = writer();
	u32 n = TRACE_RAW_FILL / 8 * 2 + 100, got = 0;
	struct trace_error err;
	struct trace_reader *r;
	struct trace_ref ref;
	struct trace_rec rec;

	(void)state;
	put(w, MAP(3, 1000));
	for (u32 i = 0; i < n; i++)
		put(w, REF(3, i % 1000, 1));
	finish(w);
	r = trace_reader_open(path, &err);
	assert_non_null(r);
	assert_int_equal(trace_reader_totals(r)->blocks, 3);
	do
		while (trace_next_ref(r, &ref))
			assert_int_equal(ref.page, got++ % 1000);
	while (trace_next(r, &rec) > 0 &&
	       (rec.type != TRACE_REF || rec.ref.page == got++ % 1000));
	assert_int_equal(got, n);
	trace_reader_close(r);
}

static void test_no_half_file(void **state)
{
	struct trace_writer *w = writer();
	char tmp[128];

	(void)state;
	put(w, MAP(0, 1));
	unlink(path);
	snprintf(tmp, sizeof(tmp), "%s.tmp.%d", path, (int)getpid());
	assert_int_equal(access(tmp, F_OK), 0);
	trace_writer_abort(w);
	assert_int_equal(access(tmp, F_OK), -1);
	assert_int_equal(access(path, F_OK), -1);
	finish(writer());
	assert_int_equal(access(tmp, F_OK), -1);
	assert_int_equal(access(path, F_OK), 0);
}

static void test_cannot_write(void **state)
{
	static char *none[] = {NULL};
	struct trace_header h = {
		.page_size = PAGE_SIZE, .argv = none, .program = (char *)"x"};
	struct trace_error err;

	(void)state;
	assert_null(trace_writer_open("/nonexistent/dir/x", &h, &err));
	assert_non_null(strstr(err.text, "/nonexistent/dir/x"));
	assert_non_null(strstr(err.text, "No such file"));
	assert_null(trace_reader_open("/nonexistent/dir/x", &err));
	assert_non_null(strstr(err.text, "/nonexistent/dir/x"));
	assert_null(trace_reader_open("/", &err));
	assert_non_null(strstr(err.text, "/: "));
}

/* ---- damage
 * ---------------------------------------------------------------------- */

static u8 *load(size_t *len)
{
	FILE *f = fopen(path, "rb");
	u8 *p = malloc(1 << 16);

	assert_non_null(f);
	assert_non_null(p);
	*len = fread(p, 1, 1 << 16, f);
	fclose(f);
	return p;
}

static void store(const u8 *p, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* Read it all; the error's text must name the file. Returns 0 if it is sound.
 */
static int read_all(struct trace_error *err)
{
	struct trace_reader *r = trace_reader_open(path, err);
	struct trace_rec rec;
	u32 fast = 0;
	int ret;

	if (!r) {
		assert_non_null(strstr(err->text, path));
		return -EBADMSG;
	}
	do
		ret = next(r, &rec, &fast);
	while (ret > 0);
	if (ret < 0) {
		snprintf(err->text, sizeof(err->text), "%s",
			 trace_reader_error(r));
		assert_non_null(strstr(err->text, path));
		assert_non_null(strstr(err->text, "block"));
		assert_non_null(strstr(err->text, "byte"));
		assert_int_equal(trace_next(r, &rec), ret);
	}
	trace_reader_close(r);
	return ret;
}

static void write_small(void)
{
	struct trace_writer *w = writer();

	put(w, (struct trace_rec){.type = TRACE_FILE,
				  .file = {0, 1, 2, 3, 0, (char *)"/f"}});
	put(w, MAP(0, 100));
	for (u32 i = 0; i < 40; i++)
		put(w, REF(0, i * 7 % 90, 1 + i % 9));
	put(w, (struct trace_rec){.type = TRACE_FORK, .fork = {1, 0}});
	put(w, (struct trace_rec){.type = TRACE_SWITCH, .to = 1});
	put(w, REF(0, 3, 1));
	put(w, (struct trace_rec){.type = TRACE_EXIT});
	finish(w);
}

static void test_truncated(void **state)
{
	struct trace_error err;
	size_t len;
	u8 *p;

	(void)state;
	write_small();
	p = load(&len);
	assert_int_equal(read_all(&err), 0);
	for (size_t n = 0; n < len; n++) {
		store(p, n);
		assert_int_equal(read_all(&err), -EBADMSG);
	}
	free(p);
}

static void test_flipped(void **state)
{
	struct trace_error err;
	size_t len;
	u8 *p;

	(void)state;
	write_small();
	p = load(&len);
	for (size_t i = 0; i < len; i++) {
		u8 was = p[i];

		for (int bit = 0; bit < 8; bit += 1 + (i > 64)) {
			p[i] = (u8)(was ^ 1 << bit);
			store(p, len);
			assert_int_equal(read_all(&err), -EBADMSG);
		}
		p[i] = was;
	}
	p[len] = 0;
	store(p, len + 1);
	assert_int_equal(read_all(&err), -EBADMSG);
	free(p);
}

static void test_future(void **state)
{
	struct trace_error err;
	size_t len;
	u8 *p;

	(void)state;
	write_small();
	p = load(&len);
	p[TRACE_MAGIC_LEN] = 3;
	store(p, len);
	assert_int_equal(read_all(&err), -EBADMSG);
	assert_non_null(strstr(err.text, "version 3; this program reads "
					 "versions 1 to 2"));
	store((const u8 *)"#!/bin/sh\necho this is no trace at all\n", 39);
	assert_int_equal(read_all(&err), -EBADMSG);
	assert_non_null(strstr(err.text, "not a trace"));
	free(p);
}

/* ---- malice: everything is well summed, but means harm
 * ------------------------------ */

struct forge {
	u8 bytes[1 << 15];
	size_t len;
	u64 sum;
};

static void forge_out(struct forge *f, const void *p, size_t n)
{
	assert_true(f->len + n <= sizeof(f->bytes));
	memcpy(f->bytes + f->len, p, n);
	f->len += n;
	f->sum = trace_sum64(p, n, f->sum);
}

static u32 forge_version = 1;

/* A header with ARGC arguments announced and the strings S behind it. */
static void forge_header(struct forge *f, u32 page_size, u32 argc,
			 const char *s, size_t n)
{
	u32 nums[2] = {forge_version, (u32)(TRACE_HEAD_BODY + n)};
	u32 fixed[6] = {0, 62, page_size, argc, 0, 0};
	u8 body[256];
	u64 sum;

	memcpy(body, fixed, sizeof(fixed));
	memcpy(body + sizeof(fixed), s, n);
	memset(f, 0, sizeof(*f));
	forge_out(f, TRACE_MAGIC, TRACE_MAGIC_LEN);
	forge_out(f, nums, sizeof(nums));
	forge_out(f, body, sizeof(fixed) + n);
	sum = f->sum;
	forge_out(f, &sum, sizeof(sum));
}

/* A block that announces RAW and COMP bytes and has N bytes at P. */
static void forge_block(struct forge *f, u32 raw, u32 comp, const void *p,
			size_t n)
{
	u32 head[4] = {TRACE_BLOCK_MAGIC, 0, raw, comp};
	u64 sum = trace_sum64(p, n, trace_sum64(head, 16, f->sum));

	forge_out(f, head, sizeof(head));
	forge_out(f, &sum, sizeof(sum));
	forge_out(f, p, n);
}

static void forge_end(struct forge *f, u64 blocks, u64 raw)
{
	u32 head[2] = {TRACE_END_MAGIC, TRACE_END_SIZE};
	struct trace_totals t = {.blocks = blocks, .raw_bytes = raw};
	u64 v[TRACE_NR_TOTALS + 2];

	trace_totals_pack(&t, v);
	v[TRACE_NR_TOTALS] = f->sum;
	v[TRACE_NR_TOTALS + 1] = trace_sum64(v, 8 * (TRACE_NR_TOTALS + 1),
					     trace_sum64(head, 8, 0));
	forge_out(f, head, sizeof(head));
	forge_out(f, v, sizeof(v));
}

/* The file must be refused with WANT in the text. */
static void refused(const struct forge *f, const char *want)
{
	struct trace_error err = {""};

	store(f->bytes, f->len);
	if (read_all(&err) != -EBADMSG)
		fail_msg("accepted, '%s' was expected", want);
	if (!strstr(err.text, want))
		fail_msg("wanted '%s' in '%s'", want, err.text);
}

/* A file whose one block holds the N words at W. */
static void forge_words(struct forge *f, const u64 *w, size_t n)
{
	static u8 comp[4096];
	size_t len = ZSTD_compress(comp, sizeof(comp), w, n * 8, 1);

	assert_false(ZSTD_isError(len));
	forge_header(f, PAGE_SIZE, 0, "x", 2);
	forge_block(f, (u32)(n * 8), (u32)len, comp, len);
	forge_end(f, 1, n * 8);
}

/* The header word of a record of TYPE with LEN bytes behind it. */
#define WORD(type, len) (1ULL | (u64)(type) << 1 | (u64)(len) << 8)
/* Up to eight payload bytes, the first one first. */
#define B8(a, b, c, d, e, f, g, h)                                    \
	((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | \
	 (u64)(e) << 32 | (u64)(f) << 40 | (u64)(g) << 48 | (u64)(h) << 56)
/* MAP of id 0: anon, start, rw, 5 pages at 0x1000. */
#define MAP0                                             \
	WORD(TRACE_MAP, 12), B8(0, 0, 0, 3, 0, 5, 0, 0), \
		B8(0, 1, 0, 0, 0, 0, 0, 0)
#define SHORT_REF(access, run, map, page)                              \
	((u64)(access) << 1 | (u64)((run)-1) << 4 | (u64)(map) << 12 | \
	 (u64)(page) << 26)

struct bad_words {
	const char *want;
	u64 w[8];
	size_t n;
};

static const struct bad_words bad_words[] = {
	{"unknown type", {WORD(0, 0)}, 1},
	{"unknown type", {WORD(11, 0)}, 1},
	{"unknown type", {~0ULL >> 40}, 1},
	{"reserved bits", {~0ULL}, 1},
	{"over the end", {WORD(TRACE_EXIT, 9), 0}, 2},
	{"over the end", {WORD(TRACE_FILE, 0xffff), 0}, 2},
	{"cut off", {WORD(TRACE_EXIT, 0)}, 1},
	{"cut off", {WORD(TRACE_EXIT, 1), 0x80}, 2},
	{"too large", {WORD(TRACE_EXIT, 8), ~0ULL, 0}, 2},
	{"too large",
	 {WORD(TRACE_EXIT, 6), B8(0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0, 0)},
	 2},
	{"left over", {WORD(TRACE_EXIT, 2), 0}, 2},
	{"padding", {WORD(TRACE_EXIT, 1), 0x100}, 2},
	{"name is too long",
	 {WORD(TRACE_EXEC, 2), B8(50, 'a', 0, 0, 0, 0, 0, 0)},
	 2},
	{"zero byte", {WORD(TRACE_EXEC, 3), B8(2, 0, 'a', 0, 0, 0, 0, 0)}, 2},
	{"does not exist", {SHORT_REF(1, 1, 0, 0)}, 1},
	{"does not exist", {MAP0, SHORT_REF(1, 1, 1, 0)}, 4},
	{"does not exist", {MAP0, SHORT_REF(1, 1, 16383, 0)}, 4},
	{"access 0", {MAP0, SHORT_REF(0, 1, 0, 0)}, 4},
	{"outside mapping", {MAP0, SHORT_REF(1, 2, 0, 4)}, 4},
	{"outside mapping", {MAP0, SHORT_REF(1, 1, 0, 0x3fffff)}, 4},
	{"run of 0", {MAP0, WORD(TRACE_REF, 5), B8(0, 0, 0, 1, 1, 0, 0, 0)}, 5},
	{"count 0", {MAP0, WORD(TRACE_REF, 5), B8(0, 0, 1, 1, 0, 0, 0, 0)}, 5},
	{"access 8", {MAP0, WORD(TRACE_REF, 5), B8(0, 0, 1, 8, 1, 0, 0, 0)}, 5},
	{"unknown kind",
	 {WORD(TRACE_MAP, 12), B8(0, 9, 0, 3, 0, 5, 0, 0),
	  B8(0, 1, 0, 0, 0, 0, 0, 0)},
	 3},
	{"protection",
	 {WORD(TRACE_MAP, 12), B8(0, 0, 0, 8, 0, 5, 0, 0),
	  B8(0, 1, 0, 0, 0, 0, 0, 0)},
	 3},
	{"of 0 pages",
	 {WORD(TRACE_MAP, 12), B8(0, 0, 0, 3, 0, 0, 0, 0),
	  B8(0, 1, 0, 0, 0, 0, 0, 0)},
	 3},
	{"grown by",
	 {WORD(TRACE_MAP, 12), B8(0, 0, 0, 3, 0, 5, 1, 0),
	  B8(0, 1, 0, 0, 0, 0, 0, 0)},
	 3},
	{"placed in",
	 {WORD(TRACE_MAP, 12), B8(0, 0, 0, 3, 0, 5, 0, 9),
	  B8(0, 1, 0, 0, 0, 0, 0, 0)},
	 3},
	{"without a file",
	 {WORD(TRACE_MAP, 12), B8(0, 3, 0, 3, 0, 5, 0, 0),
	  B8(0, 1, 0, 0, 0, 0, 0, 0)},
	 3},
	{"file 6",
	 {WORD(TRACE_MAP, 12), B8(0, 3, 0, 3, 0, 5, 0, 0),
	  B8(0, 1, 7, 0, 0, 0, 0, 0)},
	 3},
	{"mapping id",
	 {WORD(TRACE_MAP, 14), B8(0xff, 0xff, 3, 0, 0, 3, 0, 5),
	  B8(0, 0, 0, 1, 0, 0, 0, 0)},
	 3},
	{"without its mremap",
	 {WORD(TRACE_MAP, 12), B8(0, 0, 2, 3, 0, 5, 0, 0),
	  B8(0, 1, 0, 0, 0, 0, 0, 0)},
	 3},
	{"without its new",
	 {MAP0, WORD(TRACE_CALL, 8), B8(3, 1, 0, 1, 0, 5, 1, 0),
	  SHORT_REF(1, 1, 0, 0)},
	 6},
	{"away from the end",
	 {MAP0, WORD(TRACE_CALL, 8), B8(3, 1, 0, 1, 0, 1, 9, 0)},
	 5},
	{"no heap", {MAP0, WORD(TRACE_CALL, 8), B8(4, 1, 0, 1, 0, 0, 9, 0)}, 5},
	{"unknown call",
	 {MAP0, WORD(TRACE_CALL, 8), B8(77, 1, 0, 1, 0, 0, 9, 0)},
	 5},
	{"outside mapping",
	 {MAP0, WORD(TRACE_CALL, 8), B8(1, 1, 4, 2, 0, 0, 9, 0)},
	 5},
	{"successful mmap",
	 {MAP0, WORD(TRACE_CALL, 8), B8(0, 0, 4, 2, 0, 0, 9, 0)},
	 5},
	{"new mapping",
	 {MAP0, WORD(TRACE_CALL, 8), B8(1, 1, 0, 2, 0, 3, 9, 0)},
	 5},
	{"neither 0 nor 1",
	 {MAP0, WORD(TRACE_CALL, 8), B8(1, 1, 0, 2, 0, 0, 9, 2)},
	 5},
	{"is born but exists", {WORD(TRACE_FORK, 2), 0}, 2},
	{"above 4095",
	 {WORD(TRACE_FORK, 3), B8(0x80, 0x20, 0, 0, 0, 0, 0, 0)},
	 2},
	{"fork with flags",
	 {WORD(TRACE_FORK, 2), B8(1, 2, 0, 0, 0, 0, 0, 0)},
	 2},
	{"does not live", {WORD(TRACE_SWITCH, 1), 5}, 2},
	{"does not live",
	 {WORD(TRACE_SWITCH, 5), B8(0xff, 0xff, 0xff, 0xff, 15, 0, 0, 0)},
	 2},
	{"has not ended", {WORD(TRACE_WAIT, 1), 0}, 2},
	{"that has ended", {WORD(TRACE_EXIT, 1), 0, SHORT_REF(1, 1, 0, 0)}, 3},
	{"that has ended", {WORD(TRACE_EXIT, 1), 0, WORD(TRACE_EXIT, 1), 0}, 4},
	{"does not exist",
	 {WORD(TRACE_CONTENT, 4), B8(0, 0, 1, 1, 0, 0, 0, 0)},
	 2},
	{"compressed to",
	 {MAP0, WORD(TRACE_CONTENT, 5), B8(0, 0, 1, 0x81, 0x20, 0, 0, 0)},
	 5},
	{"hash is cut off",
	 {MAP0, WORD(TRACE_CONTENT, 4), B8(0, 0, 0, 1, 0, 0, 0, 0)},
	 5},
	{"defined twice", {WORD(TRACE_FILE, 5), 0, WORD(TRACE_FILE, 5), 0}, 4},
};

/* File 0, no dev, no name, flags 0; handle 0 of it, for reading. */
#define FILE0	 WORD(TRACE_FILE, 6), 0
#define OPEN0	 WORD(TRACE_FILEOP, 6), B8(0, 1, 1, 0, 0, 1, 0, 0)
#define FOP(...) WORD(TRACE_FILEOP, 6), B8(__VA_ARGS__, 0, 0)

/* Fields of version 2, and FILEOP: op, file, open, offset, length, arg. */
static const struct bad_words bad_words_2[] = {
	{"unknown type", {WORD(12, 0)}, 1},
	{"flags 0x4", {WORD(TRACE_FILE, 6), B8(0, 0, 0, 0, 0, 4, 0, 0)}, 2},
	{"cut off", {WORD(TRACE_FILE, 5), 0}, 2},
	{"open file 0, but no file",
	 {WORD(TRACE_MAP, 13), B8(0, 0, 0, 3, 0, 5, 0, 0),
	  B8(0, 1, 0, 0, 1, 0, 0, 0)},
	 3},
	{"open file 4 does not exist",
	 {FILE0, WORD(TRACE_MAP, 13), B8(0, 3, 0, 3, 0, 5, 0, 0),
	  B8(0, 1, 1, 0, 5, 0, 0, 0)},
	 5},
	{"munmap with flags",
	 {WORD(TRACE_CALL, 9), B8(1, 0, 0, 2, 0, 0, 9, 0), 1},
	 3},
	{"mremap with flags",
	 {WORD(TRACE_CALL, 9), B8(3, 0, 0, 2, 12, 0, 9, 0), 8},
	 3},
	{"unknown file operation 9", {FILE0, FOP(9, 1, 1, 0, 0, 0)}, 4},
	{"file 2 does not exist", {FILE0, FOP(0, 3, 1, 0, 0, 1)}, 4},
	{"is opened twice", {FILE0, OPEN0, OPEN0}, 6},
	{"open of file 0, open file 0, arg 0x8",
	 {FILE0, FOP(0, 1, 1, 0, 0, 8)},
	 4},
	{"open of file -1", {FILE0, FOP(0, 0, 1, 0, 0, 1)}, 4},
	{"open of file 0, open file -1", {FILE0, FOP(0, 1, 0, 0, 0, 1)}, 4},
	{"open of 0 bytes at 5", {FILE0, FOP(0, 1, 1, 5, 0, 1)}, 4},
	{"open file 0 does not exist", {FILE0, FOP(1, 0, 1, 0, 0, 0)}, 4},
	{"open file 1 does not exist",
	 {FILE0, OPEN0, FOP(2, 0, 2, 0, 1, 0)},
	 6},
	{"read of file 0", {FILE0, OPEN0, FOP(2, 1, 1, 0, 1, 0)}, 6},
	{"write of file -1, open file 0, arg 0x1",
	 {FILE0, OPEN0, FOP(3, 0, 1, 0, 1, 1)},
	 6},
	{"truncate of file -1", {FILE0, OPEN0, FOP(4, 0, 1, 0, 0, 0)}, 6},
	{"truncate of 7 bytes", {FILE0, FOP(4, 1, 0, 0, 7, 0)}, 4},
	{"sync of file 0, open file -1, arg 0x2",
	 {FILE0, FOP(5, 1, 0, 0, 0, 2)},
	 4},
	{"advise of file -1, open file 0, arg 0x6",
	 {FILE0, OPEN0, FOP(6, 0, 1, 0, 0, 6)},
	 6},
	{"allocate of file 0", {FILE0, OPEN0, FOP(7, 1, 1, 0, 1, 0)}, 6},
	{"file 0 is gone", {FILE0, FOP(8, 1, 0, 0, 0, 0), OPEN0}, 6},
	{"file 0 is gone",
	 {FILE0, FOP(8, 1, 0, 0, 0, 0), FOP(8, 1, 0, 0, 0, 0)},
	 6},
	{"read of 1 bytes at",
	 {FILE0, OPEN0, WORD(TRACE_FILEOP, 14),
	  B8(2, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x80),
	  B8(0x80, 0x80, 0x80, 0x40, 1, 0, 0, 0)},
	 7},
};

static void test_bad_words(void **state)
{
	static struct forge f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_words); i++) {
		forge_words(&f, bad_words[i].w, bad_words[i].n);
		refused(&f, bad_words[i].want);
	}
	forge_version = 2;
	for (size_t i = 0; i < ARRAY_SIZE(bad_words_2); i++) {
		forge_words(&f, bad_words_2[i].w, bad_words_2[i].n);
		refused(&f, bad_words_2[i].want);
	}
	forge_version = 1;
}

static void test_bad_blocks(void **state)
{
	static struct forge f;
	static u64 zeros[1 << 16];
	static u8 comp[4096];
	size_t n = ZSTD_compress(comp, sizeof(comp), zeros, sizeof(zeros), 1);
	static const struct {
		u32 raw, comp;
	} sizes[] = {{0, 8},	       {7, 8},		 {8, 0},
		     {0xfffffff8u, 8}, {8, 0xffffffffu}, {1u << 23, 8},
		     {8, 1u << 23}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		forge_header(&f, PAGE_SIZE, 0, "x", 2);
		forge_block(&f, sizes[i].raw, sizes[i].comp, comp, 8);
		forge_end(&f, 1, 8);
		refused(&f, "impossible sizes");
	}
	/* Half a MiB of zeros where 64 bytes, or more, are announced. */
	forge_header(&f, PAGE_SIZE, 0, "x", 2);
	forge_block(&f, 64, (u32)n, comp, n);
	forge_end(&f, 1, 64);
	refused(&f, "cannot decompress");
	forge_header(&f, PAGE_SIZE, 0, "x", 2);
	forge_block(&f, TRACE_RAW_MAX, (u32)n, comp, n);
	forge_end(&f, 1, TRACE_RAW_MAX);
	refused(&f, "announced");
	forge_header(&f, PAGE_SIZE, 0, "x", 2);
	memset(comp, 0x55, 64); /* no zstd frame */
	forge_block(&f, 64, 64, comp, 64);
	forge_end(&f, 1, 64);
	refused(&f, "cannot decompress");
}

static void test_bad_ends(void **state)
{
	static struct forge f;
	u64 word = WORD(TRACE_SWITCH, 1);
	u64 words[2] = {word, 0};

	(void)state;
	forge_header(&f, PAGE_SIZE, 0, "x", 2);
	forge_end(&f, 7, 0);
	refused(&f, "7 blocks");
	forge_header(&f, 8192, 0, "x", 2);
	forge_end(&f, 0, 0);
	refused(&f, "pages of 8192");
	forge_header(&f, PAGE_SIZE, 0xffffffffu, "x", 2);
	forge_end(&f, 0, 0);
	refused(&f, "strings are damaged");
	forge_header(&f, PAGE_SIZE, 2, "x\0y", 4);
	forge_end(&f, 0, 0);
	refused(&f, "1 arguments missing");
	forge_header(&f, PAGE_SIZE, 0, "x\0y", 4);
	forge_end(&f, 0, 0);
	refused(&f, "bytes after the arguments");
	forge_header(&f, PAGE_SIZE, 0, "xyz", 3);
	forge_end(&f, 0, 0);
	refused(&f, "strings are damaged");
	forge_words(&f, words, 2);
	forge_out(&f, "more", 4);
	refused(&f, "end record");
}

/* Tasks that each have a large table: the model must stop, not the machine. */
static void test_memory_bound(void **state)
{
	struct trace_writer *w = writer();
	struct trace_rec rec = {.type = TRACE_FORK};
	u32 child = 1;

	(void)state;
	put(w, MAP(TRACE_MAX_MAPS - 1, 1));
	for (;; child++) {
		rec.fork.child = child;
		if (trace_write(w, &rec))
			break;
		assert_true(child < TRACE_MAX_TASKS);
	}
	assert_int_equal(child, TRACE_MAX_MM_ENTRIES / TRACE_MAX_MAPS);
	assert_non_null(strstr(trace_writer_error(w), "mappings in all"));
	trace_writer_abort(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sum),
		cmocka_unit_test_setup_teardown(test_round_trip, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_round_trip_v1, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_no_such_version, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_fileops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_half_file, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_cannot_write, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_truncated, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_flipped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_future, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_words, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_bad_blocks, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_bad_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_bound, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
