/* SPDX-License-Identifier: MIT */
/*
 * Traces with files, sharing, threads, mremap and advice, replayed exactly:
 * counts that can be told beforehand, contents under pressure, bad ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first. */
#include <cmocka.h>

#include "base_seed.h"
#include "replay.h"
#include "trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], path[96];

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%.40s/mmkit-XXXXXX",
		 tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/trace", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

/* ---- writing traces
 * --------------------------------------------------------------- */

static struct trace_writer *w;

static void begin(u32 version)
{
	struct trace_header h = {.version = version,
				 .arch = TRACE_ARCH_X86_64,
				 .page_size = PAGE_SIZE,
				 .program = (char *)"test"};
	struct trace_error err;

	w = trace_writer_open(path, &h, &err);
	assert_non_null(w);
}

static void put(struct trace_rec rec)
{
	if (trace_write(w, &rec))
		fail_msg("%s", trace_writer_error(w));
}

static void end(void)
{
	struct trace_totals extra = {0};
	struct trace_error err;

	assert_int_equal(trace_writer_finish(w, &extra, &err), 0);
}

static void file(u32 id, u64 size, u32 flags)
{
	char name[32];

	snprintf(name, sizeof(name), "/file-%u", id);
	put((struct trace_rec){.type = TRACE_FILE,
			       .file = {.file = id,
					.size = size,
					.flags = flags,
					.name = name}});
}

static void fop(u32 op, u32 file_id, u32 open, u64 off, u64 len, u64 arg)
{
	put((struct trace_rec){.type = TRACE_FILEOP,
			       .fileop = {op, file_id, open, off, len, arg}});
}

#define NONE TRACE_NO_ID
#define KIB  1024ULL

static void open_file(u32 open, u32 id)
{
	fop(TRACE_FOP_OPEN, id, open, 0, 0, TRACE_OPEN_READ | TRACE_OPEN_WRITE);
}

/* A mapping; of FILE unless that is NONE. */
struct m {
	u32 id, pages, flags, file, open, prot;
	u64 file_page;
};

static struct trace_rec map_rec(const struct m *m)
{
	return (struct trace_rec){
		.type = TRACE_MAP,
		.map = {.map = m->id,
			.kind = m->file == NONE ? TRACE_KIND_ANON
						: TRACE_KIND_FILE,
			.how = TRACE_HOW_MMAP,
			.prot = m->prot ? m->prot : 3,
			.flags = m->flags,
			.pages = m->pages,
			.at_map = NONE,
			.start = 0x10000000 + (u64)m->id * 0x1000000,
			.file = m->file,
			.file_page = m->file_page,
			.open = m->file == NONE ? NONE : m->open}};
}

static void map(struct m m)
{
	put(map_rec(&m));
}

static void ref(u32 map_id, u32 page, u32 nr, u32 access)
{
	put((struct trace_rec){.type = TRACE_REF,
			       .ref = {map_id, page, nr, access, nr}});
}

static void call(u32 op, u32 map_id, u32 page, u32 nr, u64 arg)
{
	put((struct trace_rec){.type = TRACE_CALL,
			       .call = {.op = op,
					.map = map_id,
					.page = page,
					.nr_pages = nr,
					.new_map = NONE,
					.arg = arg}});
}

static void mremap_to(u32 from, u32 page, u32 nr, struct m to, u32 flags,
		      u32 at_map)
{
	struct trace_rec rec = map_rec(&to);

	put((struct trace_rec){.type = TRACE_CALL,
			       .call = {.op = TRACE_OP_MREMAP,
					.map = from,
					.page = page,
					.nr_pages = nr,
					.new_map = to.id,
					.flags = flags,
					.arg = to.pages}});
	rec.map.how = TRACE_HOW_MOVE;
	rec.map.at_map = at_map;
	put(rec);
}

static void switch_to(u32 task)
{
	put((struct trace_rec){.type = TRACE_SWITCH, .to = task});
}

static void fork_task(u32 child, u32 flags)
{
	put((struct trace_rec){.type = TRACE_FORK, .fork = {child, flags}});
}

static void exit_task(void)
{
	put((struct trace_rec){.type = TRACE_EXIT});
}

/* ---- replaying them
 * ----------------------------------------------------------- */

static struct replay_result res;

static void replay_with(u64 mem, u64 swap, u32 cpus, u64 seed)
{
	struct replay_opts o = {.trace = path};

	machine_defaults(&o.machine);
	o.machine.mem_bytes = mem;
	o.machine.swap_bytes = swap;
	o.machine.cpus = cpus;
	o.machine.seed = seed;
	o.machine.explore = seed % 3 == 2;
	replay_run(&o, &res);
	assert_true(res.exact);
	assert_int_equal(res.data_errors, 0);
	assert_int_equal(res.leaks, 0);
	/* What came from swap or a disk more than once. */
	assert_int_equal(res.pageins, res.events[PSWPIN] + res.file_rereads);
}

/* With memory for all of it; nothing unexpected. */
static void replay(void)
{
	replay_with(64 << 20, 0, 1, 1);
	assert_int_equal(res.access_errors, 0);
	assert_int_equal(res.call_mismatches, 0);
	assert_int_equal(res.unsupported_calls, 0);
	assert_int_equal(res.killed_tasks, 0);
}

#define EXPECT(field, n) assert_int_equal(res.field, n)

/* ---- counts
 * ------------------------------------------------------------------ */

/* Shared and private mappings of one file: who reads it from the disk. */
static void test_shared_cache(void **state)
{
	(void)state;
	begin(0);
	file(0, 64 * PAGE_SIZE, 0);
	open_file(0, 0);
	/* No read-ahead: each page is read by who touches it first. */
	fop(TRACE_FOP_ADVISE, NONE, 0, 0, 0, 1);
	map((struct m){.id = 0, .pages = 64, .flags = TRACE_MF_SHARED});
	map((struct m){.id = 1, .pages = 64});
	call(TRACE_OP_MADVISE, 0, 0, 64, MADV_RANDOM);
	call(TRACE_OP_MADVISE, 1, 0, 64, MADV_RANDOM);
	ref(0, 0, 16, TRACE_W); /* 16 major; dirty */
	ref(1, 0, 16, TRACE_R); /* one minor: around */
	ref(1, 0, 16, TRACE_W); /* 16 minor: copies */
	ref(1, 32, 4, TRACE_W); /* 4 major: read, then copied */
	ref(0, 32, 4, TRACE_R); /* one minor: around */
	ref(0, 32, 4, TRACE_W); /* 4 minor: becomes dirty */
	end();
	replay();
	EXPECT(file_maj_flt, 20);
	EXPECT(file_min_flt, 1 + 16 + 1 + 4);
	EXPECT(min_flt, 22);
	EXPECT(maj_flt, 20);
	EXPECT(file_reads, 20);
	EXPECT(file_rereads, 0);
	EXPECT(disk_reads, 20);
	EXPECT(cache_pages, 20);
	EXPECT(dirtied, 20);
	EXPECT(dirty_pages, 20);
	EXPECT(written, 0);
	/* 20 of the file, 20 copies. */
	EXPECT(footprint_pages, 40);
}

/* Dirty pages go to the disk once, by msync or fsync, and are clean then. */
static void test_write_back(void **state)
{
	(void)state;
	begin(0);
	file(0, 32 * PAGE_SIZE, 0);
	open_file(0, 0);
	map((struct m){.id = 0, .pages = 32, .flags = TRACE_MF_SHARED});
	ref(0, 0, 32, TRACE_W);
	call(TRACE_OP_MSYNC, 0, 0, 32, MS_SYNC);
	ref(0, 0, 32, TRACE_R); /* still mapped: no fault */
	ref(0, 5, 1, TRACE_W);	/* cleaned: a fault each */
	ref(0, 9, 1, TRACE_W);
	fop(TRACE_FOP_WRITE, NONE, 0, 20 * PAGE_SIZE, PAGE_SIZE, 0);
	fop(TRACE_FOP_SYNC, 0, NONE, 0, 0, 0);
	fop(TRACE_FOP_SYNC, 0, NONE, 0, 0, 1); /* nothing left */
	end();
	replay();
	EXPECT(dirtied, 35);
	EXPECT(written, 35);
	EXPECT(dirty_pages, 0);
	EXPECT(file_reads, 32);
	/* A write into a page that is mapped changes no entry. */
	EXPECT(min_flt + res.maj_flt, 32 + 2);
	assert_true(res.disk_writes >= 3 && res.disk_writes < 6);
}

/* read(2) and write(2): a stream is read ahead; whole pages are not read. */
static void test_read_write(void **state)
{
	(void)state;
	begin(0);
	file(0, 256 * KIB, 0);
	file(1, 0, 0);
	open_file(0, 0);
	open_file(1, 1);
	for (u64 off = 0; off < 256 * KIB; off += 8 * KIB) {
		fop(TRACE_FOP_READ, NONE, 0, off, 8 * KIB, 0);
		fop(TRACE_FOP_WRITE, NONE, 1, off, 8 * KIB, 0);
	}
	fop(TRACE_FOP_CLOSE, NONE, 0, 0, 0, 0);
	fop(TRACE_FOP_READ, NONE, 1, 0, 256 * KIB, 0);
	fop(TRACE_FOP_WRITE, NONE, 1, 256 * KIB, 100, 0); /* appending */
	fop(TRACE_FOP_WRITE, NONE, 1, 256 * KIB + 100, 5000, 0);
	fop(TRACE_FOP_READ, NONE, 1, 256 * KIB + 50, 5050, 0);
	fop(TRACE_FOP_WRITE, NONE, 1, 10, 20, 0); /* within a page */
	fop(TRACE_FOP_READ, NONE, 1, 0, 4096, 0);
	end();
	replay();
	EXPECT(file_reads, 64);
	EXPECT(min_flt + res.maj_flt, 0);
	EXPECT(cache_pages, 64 + 66);
	EXPECT(dirty_pages, 66);
	/* 64 pages in requests of up to 32: read ahead, not page by page. */
	assert_in_range(res.disk_reads, 2, 8);
}

/* A file that is truncated under its mappings, and grows again. */
static void test_truncate(void **state)
{
	(void)state;
	begin(0);
	file(0, 8 * PAGE_SIZE, 0);
	open_file(0, 0);
	fop(TRACE_FOP_ADVISE, NONE, 0, 0, 0, 1);
	map((struct m){.id = 0, .pages = 8, .flags = TRACE_MF_SHARED});
	map((struct m){.id = 1, .pages = 8});
	ref(0, 0, 8, TRACE_W);
	ref(1, 0, 8, TRACE_W);
	fop(TRACE_FOP_TRUNCATE, 0, NONE, 3 * PAGE_SIZE + 100, 0, 0);
	ref(0, 0, 4, TRACE_R);
	ref(1, 0, 4, TRACE_R);
	fop(TRACE_FOP_TRUNCATE, 0, NONE, 8 * PAGE_SIZE, 0, 0);
	ref(0, 3, 5, TRACE_R); /* zeroes behind byte 100 of page 3 */
	ref(1, 4, 4, TRACE_R); /* the copies are gone, too */
	fop(TRACE_FOP_READ, NONE, 0, 0, 8 * PAGE_SIZE, 0);
	end();
	replay();
	/* Beyond the end is SIGBUS. */
	begin(0);
	file(0, PAGE_SIZE + 1, 0);
	map((struct m){.id = 0, .pages = 3, .open = NONE});
	ref(0, 1, 1, TRACE_R);
	ref(0, 2, 1, TRACE_R);
	end();
	replay_with(64 << 20, 0, 1, 1);
	EXPECT(access_errors, 1);
}

/* Names and handles: what is unlinked dies with its last user, unwritten. */
static void test_unlink(void **state)
{
	(void)state;
	begin(0);
	file(0, 0, 0);
	file(1, 0, 0);
	for (u32 i = 0; i < 2; i++) {
		open_file(i, i);
		fop(TRACE_FOP_WRITE, NONE, i, 0, 40 * PAGE_SIZE, 0);
	}
	map((struct m){.id = 0, .pages = 40});
	fop(TRACE_FOP_UNLINK, 0, NONE, 0, 0, 0);
	fop(TRACE_FOP_CLOSE, NONE, 0, 0, 0, 0);
	ref(0, 0, 40, TRACE_R); /* mapped: lives */
	call(TRACE_OP_MUNMAP, 0, 0, 40, 0);
	end();
	replay();
	EXPECT(cache_pages, 40);
	EXPECT(dirty_pages, 40);
	EXPECT(written, 0);
}

/* A mapping that moved holds its file in its new place alone. */
static void test_unlink_moved(void **state)
{
	(void)state;
	begin(0);
	file(0, 16 * PAGE_SIZE, 0);
	file(1, 16 * PAGE_SIZE, 0);
	open_file(0, 0);
	open_file(1, 1);
	map((struct m){.id = 2, .pages = 16, .file = NONE, .flags = 0});
	map((struct m){.id = 0, .pages = 16});
	ref(0, 0, 16, TRACE_R);
	fop(TRACE_FOP_UNLINK, 0, NONE, 0, 0, 0);
	mremap_to(0, 0, 16, (struct m){.id = 1, .pages = 16},
		  TRACE_MREMAP_MAYMOVE | TRACE_MREMAP_FIXED, 2);
	fop(TRACE_FOP_CLOSE, NONE, 0, 0, 0, 0);
	call(TRACE_OP_MUNMAP, 1, 0, 16, 0);
	/* The first file's pages are free by now. */
	fop(TRACE_FOP_READ, NONE, 1, 0, 16 * PAGE_SIZE, 0);
	end();
	replay();
	EXPECT(file_reads, 32);
	EXPECT(cache_peak, 16);
	EXPECT(cache_pages, 16);
}

/* What is to be populated is read without a reference to it. */
static void test_populate(void **state)
{
	(void)state;
	begin(0);
	file(0, 16 * PAGE_SIZE, 0);
	open_file(0, 0);
	map((struct m){.id = 0, .pages = 8, .flags = TRACE_MF_POPULATE});
	end();
	replay();
	assert_true(res.file_reads >= 8);
	assert_int_equal(res.maj_flt + res.min_flt, 8);
}

/* Shared memory over fork, and threads of one address space. */
static void test_shared_memory(void **state)
{
	(void)state;
	begin(0);
	file(0, 8 * PAGE_SIZE, TRACE_FILE_MEMORY);
	map((struct m){
		.id = 0, .pages = 8, .flags = TRACE_MF_SHARED, .file = NONE});
	map((struct m){
		.id = 1, .pages = 8, .flags = TRACE_MF_SHARED, .open = NONE});
	map((struct m){.id = 2, .pages = 8, .file = NONE});
	ref(0, 0, 8, TRACE_W); /* 8 */
	ref(1, 0, 8, TRACE_W); /* 8 */
	ref(2, 0, 8, TRACE_W); /* 8 anonymous */
	fork_task(1, 0);
	fork_task(2, TRACE_CLONE_VM | TRACE_CLONE_THREAD);
	switch_to(1);
	ref(0, 0, 8, TRACE_R); /* one: around, for reading only */
	ref(0, 0, 8, TRACE_W); /* 8 */
	ref(1, 0, 8, TRACE_W); /* 8 */
	ref(2, 0, 8, TRACE_W); /* 8 anonymous: copies */
	switch_to(2);
	ref(0, 0, 8, TRACE_R); /* the parent's entries: no fault, */
	ref(1, 0, 8, TRACE_R); /* but what the child wrote */
	ref(2, 0, 8, TRACE_W); /* 8 anonymous: its own again */
	exit_task();
	switch_to(1);
	exit_task();
	switch_to(0);
	ref(2, 0, 8, TRACE_R);
	end();
	replay();
	EXPECT(shm_min_flt, 8 + 8 + 1 + 8 + 8);
	EXPECT(min_flt, 33 + 24);
	EXPECT(maj_flt, 0);
	EXPECT(file_min_flt, 0);
}

/* mremap of every kind, over a file and over anonymous memory. */
static void test_mremap(void **state)
{
	(void)state;
	begin(0);
	file(0, 64 * PAGE_SIZE, 0);
	open_file(0, 0);
	map((struct m){.id = 0, .pages = 16, .file_page = 8});
	ref(0, 0, 16, TRACE_W);
	/* Grows elsewhere: pages 24.. of the file show up. */
	mremap_to(0, 0, 16, (struct m){.id = 1, .pages = 24, .file_page = 8},
		  TRACE_MREMAP_MAYMOVE, NONE);
	ref(1, 0, 24, TRACE_R);
	/* The middle goes into another mapping's place. */
	map((struct m){.id = 2, .pages = 16, .file = NONE});
	ref(2, 0, 16, TRACE_W);
	mremap_to(1, 4, 8, (struct m){.id = 3, .pages = 8, .file_page = 12},
		  TRACE_MREMAP_MAYMOVE | TRACE_MREMAP_FIXED, 2);
	ref(3, 0, 8, TRACE_R);
	ref(2, 8, 8, TRACE_R);
	ref(1, 0, 4, TRACE_R);
	ref(1, 12, 12, TRACE_R);
	/* The old place stays, and shows the file. */
	mremap_to(3, 0, 8, (struct m){.id = 4, .pages = 8, .file_page = 12},
		  TRACE_MREMAP_MAYMOVE | TRACE_MREMAP_DONTUNMAP, NONE);
	ref(4, 0, 8, TRACE_R);
	ref(3, 0, 8, TRACE_R);
	/* Anonymous memory: the old place is zero. */
	map((struct m){.id = 5, .pages = 8, .file = NONE});
	ref(5, 0, 8, TRACE_W);
	mremap_to(5, 0, 8, (struct m){.id = 6, .pages = 4, .file = NONE},
		  TRACE_MREMAP_MAYMOVE, NONE);
	ref(6, 0, 4, TRACE_R);
	mremap_to(6, 0, 4, (struct m){.id = 7, .pages = 4, .file = NONE},
		  TRACE_MREMAP_MAYMOVE | TRACE_MREMAP_DONTUNMAP, NONE);
	ref(6, 0, 4, TRACE_R);
	ref(7, 0, 4, TRACE_R);
	/* A shared mapping a second time. */
	map((struct m){
		.id = 8, .pages = 4, .flags = TRACE_MF_SHARED, .file = NONE});
	ref(8, 0, 4, TRACE_W);
	mremap_to(8, 0, 0,
		  (struct m){.id = 9,
			     .pages = 4,
			     .flags = TRACE_MF_SHARED,
			     .file = NONE},
		  TRACE_MREMAP_MAYMOVE, NONE);
	ref(9, 0, 4, TRACE_W);
	ref(8, 0, 4, TRACE_R);
	/* In place, at the end. */
	put((struct trace_rec){.type = TRACE_CALL,
			       .call = {.op = TRACE_OP_MREMAP,
					.map = 9,
					.nr_pages = 4,
					.new_map = 9,
					.arg = 2}});
	ref(9, 0, 2, TRACE_R);
	end();
	replay();
	/* Moved pages are not read again: 16 + 8 of 64, with read-around. */
	EXPECT(file_rereads, 0);
	assert_true(res.maj_flt >= 1);
}

/* Advice: what is given up, wiped, removed, populated; locks. */
static void test_advice(void **state)
{
	(void)state;
	begin(0);
	file(0, 16 * PAGE_SIZE, 0);
	file(1, 16 * PAGE_SIZE, TRACE_FILE_MEMORY);
	open_file(0, 0);
	open_file(1, 1);
	map((struct m){.id = 0, .pages = 16}); /* private, of the file */
	map((struct m){.id = 1,
		       .pages = 16,
		       .flags = TRACE_MF_SHARED,
		       .file = 1,
		       .open = 1});
	map((struct m){.id = 2, .pages = 16, .file = NONE});
	ref(0, 0, 16, TRACE_W);
	ref(1, 0, 16, TRACE_W);
	ref(2, 0, 16, TRACE_W);
	call(TRACE_OP_MADVISE, 0, 0, 8, MADV_DONTNEED); /* the file's again */
	call(TRACE_OP_MADVISE, 1, 0, 8, MADV_DONTNEED); /* stays */
	call(TRACE_OP_MADVISE, 1, 8, 8, MADV_REMOVE);	/* zeroes */
	call(TRACE_OP_MADVISE, 2, 0, 4, MADV_DONTNEED);
	call(TRACE_OP_MADVISE, 2, 4, 4, MADV_FREE);
	call(TRACE_OP_MADVISE, 2, 8, 4, MADV_WIPEONFORK);
	call(TRACE_OP_MADVISE, 2, 12, 2, MADV_DONTFORK);
	call(TRACE_OP_MADVISE, 2, 14, 2, MADV_PAGEOUT);
	for (u32 i = 0; i < 3; i++)
		ref(i, 0, 16, TRACE_R);
	fork_task(1, 0);
	switch_to(1);
	ref(2, 0, 12, TRACE_R);
	ref(2, 14, 2, TRACE_W);
	exit_task();
	switch_to(0);
	call(TRACE_OP_MADVISE, 0, 0, 4, MADV_POPULATE_WRITE);
	call(TRACE_OP_MLOCK, 0, 4, 4, 0);
	/* The file changes behind the copies. */
	fop(TRACE_FOP_WRITE, NONE, 0, 0, 16 * PAGE_SIZE, 0);
	ref(0, 0, 16, TRACE_R);
	call(TRACE_OP_MUNLOCK, 0, 4, 4, 0);
	call(TRACE_OP_MPROTECT, 0, 0, 16, 1);
	put((struct trace_rec){.type = TRACE_CALL,
			       .call = {.op = TRACE_OP_MLOCKALL,
					.map = NONE,
					.new_map = NONE,
					.arg = 3}});
	map((struct m){.id = 3, .pages = 4, .file = NONE}); /* 4 at once */
	ref(3, 0, 4, TRACE_W);
	put((struct trace_rec){.type = TRACE_CALL,
			       .call = {.op = TRACE_OP_MUNLOCKALL,
					.map = NONE,
					.new_map = NONE}});
	end();
	replay_with(64 << 20, 16 << 20, 1, 1);
	EXPECT(access_errors, 0);
	EXPECT(call_mismatches, 0);
	EXPECT(unsupported_calls, 0);
}

/* ---- version 1: the way of the record, and files for who asks
 * ---------------------------------------------------- */

static void test_version_1(void **state)
{
	struct replay_opts o = {.trace = path};

	(void)state;
	begin(1);
	file(0, 16 * PAGE_SIZE, 0);
	map((struct m){.id = 0, .pages = 16, .open = NONE});
	map((struct m){
		.id = 1, .pages = 16, .open = NONE, .flags = TRACE_MF_SHARED});
	ref(0, 0, 16, TRACE_R);
	ref(1, 0, 16, TRACE_W);
	end();
	machine_defaults(&o.machine);
	replay_run(&o, &res);
	assert_false(res.exact);
	EXPECT(file_as_anon, 32);
	EXPECT(shared_as_private, 1);
	EXPECT(maj_flt, 0);
	EXPECT(min_flt, 32);
	o.files = REPLAY_FILES_REAL;
	replay_run(&o, &res);
	assert_true(res.exact);
	EXPECT(file_as_anon, 0);
	EXPECT(shared_as_private, 0);
	EXPECT(file_reads, 16);
	EXPECT(file_maj_flt, 1);
	EXPECT(data_errors, 0);
	/* And back: what came later is left out. */
	begin(2);
	file(0, 16 * PAGE_SIZE, 0);
	open_file(0, 0);
	map((struct m){.id = 0, .pages = 16});
	fop(TRACE_FOP_READ, NONE, 0, 0, 16 * PAGE_SIZE, 0);
	ref(0, 0, 16, TRACE_R);
	end();
	o.files = REPLAY_FILES_ANON;
	replay_run(&o, &res);
	EXPECT(file_as_anon, 16);
	EXPECT(min_flt, 16);
}

/* ---- bad ends
 * --------------------------------------------------------------- */

/* The replay ends with status 1, and says all of WANT. */
static void dies(const char *want, const char *more)
{
	char text[1024] = "";
	int fd[2], status;
	size_t got = 0;
	ssize_t n;

	end();
	assert_int_equal(pipe(fd), 0);
	if (!fork()) {
		struct replay_opts o = {.trace = path};

		dup2(fd[1], 2);
		machine_defaults(&o.machine);
		replay_run(&o, &res);
		_exit(0);
	}
	close(fd[1]);
	while ((n = read(fd[0], text + got, sizeof(text) - 1 - got)) > 0)
		got += (size_t)n;
	close(fd[0]);
	wait(&status);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 ||
	    !strstr(text, want) || !strstr(text, more))
		fail_msg("wanted %s; status %#x: %s", want, status, text);
}

static void test_bad_ends(void **state)
{
	(void)state;
	begin(0);
	map((struct m){.id = 3, .pages = 1u << 30, .file = NONE});
	dies("block 0, decoded byte 32: record 1, task 0: mapping 3 (anon, "
	     "1073741824 pages) cannot be made",
	     "Cannot allocate memory (vm.overcommit_memory=1");
	begin(0);
	file(0, 1ULL << 60, 0);
	map((struct m){.id = 0, .pages = 1, .open = NONE});
	dies("record 2, task 0: file 0 (/file-0, 1152921504606846976 bytes)",
	     "more than 17592186044416 bytes");
	begin(0);
	file(0, 10, 0);
	map((struct m){
		.id = 0, .pages = 1, .open = NONE, .file_page = 1ULL << 40});
	dies("of /file-0) cannot be made", "Value too large");
	begin(0);
	file(0, 10, 0);
	fop(TRACE_FOP_OPEN, 0, 0, 0, 0, TRACE_OPEN_READ);
	map((struct m){.id = 0, .pages = 1, .flags = TRACE_MF_SHARED});
	dies("record 3, task 0: mapping 0 (file, 1 pages of /file-0)",
	     "Permission denied");
	begin(0);
	file(0, 10, 0);
	fop(TRACE_FOP_TRUNCATE, 0, NONE, 1ULL << 61, 0, 0);
	dies("file 0 (/file-0) cannot have 2305843009213693952 bytes",
	     "File too large");
	begin(0);
	file(0, 10, 0);
	fop(TRACE_FOP_UNLINK, 0, NONE, 0, 0, 0);
	fop(TRACE_FOP_SYNC, 0, NONE, 0, 0, 0);
	dies("record 3, task 0: file 0 is gone", "");
	begin(0);
	map((struct m){.id = 0, .pages = 4, .file = NONE});
	call(TRACE_OP_MUNMAP, 0, 1, 1, 0);
	mremap_to(0, 0, 4, (struct m){.id = 1, .pages = 5, .file = NONE}, 1,
		  NONE);
	dies("record 4, task 0: mapping 1 (anon, 5 pages) cannot be made",
	     "Bad address");
}

/* ---- counts, by a model
 * ---------------------------------------------------------------
 *
 * With memory for everything and no read-ahead the faults of a program follow
 * from a few rules; this is another implementation of them.
 */

#define F_PAGES	 64u
#define F_MMS	 4u
#define F_AROUND 16u

enum { F_ANON, F_MEMORY, F_PRIVATE, F_SHARED, F_MAPS };
enum { P_NONE, P_READ, P_WRITE };

struct fmodel {
	u8 pte[F_MMS][F_MAPS][F_PAGES];
	bool written[F_MMS][F_MAPS]; /* a private page was made there once */
	bool file_cached[F_PAGES], memory_there[F_PAGES];
	u64 anon, file_minor, file_major, memory;
};

/* Is page PAGE of what map M shows in memory? */
static bool *there(struct fmodel *f, u32 m, u32 page)
{
	return m == F_MEMORY ? &f->memory_there[page] : &f->file_cached[page];
}

static void model_fault(struct fmodel *f, u32 m, bool minor)
{
	if (m == F_ANON)
		f->anon++;
	else if (m == F_MEMORY)
		f->memory++;
	else if (minor)
		f->file_minor++;
	else
		f->file_major++;
}

static void model_ref(struct fmodel *f, u32 mm, u32 m, u32 page, bool write)
{
	u8 *pte = f->pte[mm][m];
	u32 from = page / F_AROUND * F_AROUND;

	if (pte[page] == P_WRITE || (pte[page] == P_READ && !write))
		return;
	model_fault(f, m,
		    pte[page] == P_READ || m == F_ANON || m == F_MEMORY ||
			    *there(f, m, page));
	for (u32 i = from; m != F_ANON && !write && i < from + F_AROUND; i++)
		if (pte[i] == P_NONE && *there(f, m, i))
			pte[i] = P_READ;
	if (m != F_ANON)
		*there(f, m, page) = true;
	pte[page] = write ? P_WRITE : P_READ;
	if (write && (m == F_ANON || m == F_PRIVATE))
		f->written[mm][m] = true;
}

/* Only what may hold private pages is copied, and is shared then. */
static void model_fork(struct fmodel *f, u32 from, u32 to)
{
	for (u32 m = 0; m < F_MAPS; m++) {
		bool copy = f->written[from][m];

		for (u32 i = 0; i < F_PAGES; i++) {
			if (copy && f->pte[from][m][i] == P_WRITE)
				f->pte[from][m][i] = P_READ;
			f->pte[to][m][i] = copy ? f->pte[from][m][i] : P_NONE;
		}
		f->written[to][m] = copy;
	}
}

static void model_begin(void)
{
	static const struct m maps[F_MAPS] = {
		[F_ANON] = {.file = NONE},
		[F_MEMORY] = {.file = NONE, .flags = TRACE_MF_SHARED},
		[F_PRIVATE] = {.file = 0},
		[F_SHARED] = {.file = 0, .flags = TRACE_MF_SHARED},
	};

	begin(0);
	file(0, F_PAGES * PAGE_SIZE, 0);
	open_file(0, 0);
	fop(TRACE_FOP_ADVISE, NONE, 0, 0, 0, 1);
	for (u32 i = 0; i < F_MAPS; i++) {
		struct m m = maps[i];

		m.id = i;
		m.pages = F_PAGES;
		map(m);
		call(TRACE_OP_MADVISE, i, 0, F_PAGES, MADV_RANDOM);
	}
}

static void model_run(struct fmodel *f, struct prng *rnd, u32 steps)
{
	u32 mms = 1, cur = 0;

	model_begin();
	for (u32 i = 0; i < steps; i++) {
		u32 what = (u32)prng_below(rnd, 100), m, page;

		m = (u32)prng_below(rnd, F_MAPS);
		page = (u32)prng_below(rnd, F_PAGES);
		if (what == 0 && mms < F_MMS) {
			fork_task(mms, 0);
			model_fork(f, cur, mms++);
		} else if (what < 5) {
			cur = (u32)prng_below(rnd, mms);
			switch_to(cur);
		} else if (what < 7) {
			call(TRACE_OP_MADVISE, m, 0, F_PAGES, MADV_DONTNEED);
			memset(f->pte[cur][m], P_NONE, F_PAGES);
		} else {
			ref(m, page, 1, what & 1 ? TRACE_R : TRACE_W);
			model_ref(f, cur, m, page, !(what & 1));
		}
	}
	end();
}

static void test_model(void **state)
{
	u64 iters = test_iters(8);
	static struct fmodel f;
	struct prng rnd;

	(void)state;
	test_seed(&rnd, "faults by the model");
	for (u64 i = 0; i < iters; i++) {
		memset(&f, 0, sizeof(f));
		model_run(&f, &rnd, 2000);
		replay();
		EXPECT(file_maj_flt, f.file_major);
		EXPECT(file_min_flt, f.file_minor);
		EXPECT(shm_min_flt, f.memory);
		EXPECT(shm_maj_flt, 0);
		EXPECT(min_flt, f.anon + f.memory + f.file_minor);
		EXPECT(maj_flt, f.file_major);
		EXPECT(file_reads, f.file_major);
	}
}

/* ---- random programs
 * --------------------------------------------------------------- */

#define G_TASKS 6u
#define G_MAPS	12u
#define G_FILES 8u
#define G_OPENS 8u
#define G_PAGES 96u /* of a file, at most */

/* A mapping as the generator knows it; WHOLE: one VMA, which may be moved. */
struct gmap {
	bool live, whole, shared, locked;
	u32 pages;
};

struct gmm {
	struct gmap map[G_MAPS];
};

struct gen {
	struct prng rnd;
	struct gmm mm[G_TASKS];
	int mm_of[G_TASKS];   /* -1: no such task */
	bool thread[G_TASKS]; /* not the first of its mm */
	u32 id[G_TASKS];      /* of the task in the trace */
	u32 next_id, cur;
	u32 file[G_FILES], next_file;
	int open[G_OPENS]; /* index into file, or -1 */
};

static u32 below(struct gen *g, u32 n)
{
	return (u32)prng_below(&g->rnd, n);
}

static struct gmm *cur_mm(struct gen *g)
{
	return &g->mm[g->mm_of[g->cur]];
}

/* A mapping that lives, or -1. */
static int some_map(struct gen *g)
{
	u32 at = below(g, G_MAPS);

	for (u32 i = 0; i < G_MAPS; i++)
		if (cur_mm(g)->map[(at + i) % G_MAPS].live)
			return (int)((at + i) % G_MAPS);
	return -1;
}

static void gen_file(struct gen *g, u32 slot)
{
	g->file[slot] = g->next_file++;
	file(g->file[slot],
	     below(g, 3) ? below(g, G_PAGES * (u32)PAGE_SIZE) : 0,
	     below(g, 4) ? 0 : TRACE_FILE_MEMORY);
	for (u32 i = 0; i < G_OPENS; i++)
		if (g->open[i] < 0) {
			g->open[i] = (int)slot;
			open_file(i, g->file[slot]);
			return;
		}
}

static int some_open(struct gen *g)
{
	u32 at = below(g, G_OPENS);

	for (u32 i = 0; i < G_OPENS; i++)
		if (g->open[(at + i) % G_OPENS] >= 0)
			return (int)((at + i) % G_OPENS);
	return -1;
}

static void gen_map(struct gen *g)
{
	u32 id = below(g, G_MAPS), kind = below(g, 4);
	struct gmap *m = &cur_mm(g)->map[id];
	int open = some_open(g);
	struct m rec = {.id = id, .pages = 1 + below(g, 40), .file = NONE};

	if (m->live)
		return;
	if (kind & 1)
		rec.flags |= TRACE_MF_SHARED;
	if (kind & 2 && open >= 0) {
		rec.file = g->file[g->open[open]];
		rec.open = (u32)open;
		rec.file_page = below(g, G_PAGES / 2);
	}
	if (!below(g, 8))
		rec.flags |= TRACE_MF_POPULATE;
	map(rec);
	*m = (struct gmap){true, true, kind & 1, false, rec.pages};
}

static void gen_refs(struct gen *g)
{
	int id = some_map(g);
	u32 pages, page, nr;

	if (id < 0)
		return;
	pages = cur_mm(g)->map[id].pages;
	page = below(g, pages);
	nr = 1 + below(g, pages - page);
	ref((u32)id, page, nr, below(g, 2) ? TRACE_R : TRACE_W);
}

static void gen_range_call(struct gen *g)
{
	static const int advice[] = {0,	 1,  2,	 3,  4,	 8,  9,
				     18, 19, 20, 21, 22, 23, 24};
	int id = some_map(g);
	struct gmap *m;
	u32 page, nr;

	if (id < 0)
		return;
	m = &cur_mm(g)->map[id];
	page = below(g, m->pages);
	nr = 1 + below(g, m->pages - page);
	if (nr < m->pages)
		m->whole = false;
	switch (below(g, 8)) {
	case 0:
		call(TRACE_OP_MUNMAP, (u32)id, 0, m->pages, 0);
		m->live = false;
		break;
	case 1:
		call(TRACE_OP_MPROTECT, (u32)id, page, nr, below(g, 2) ? 1 : 3);
		break;
	case 2:
		nr = min(nr, 4u);
		m->whole = false;
		call(TRACE_OP_MLOCK, (u32)id, page, nr, below(g, 2));
		break;
	case 3:
		call(TRACE_OP_MUNLOCK, (u32)id, page, nr, 0);
		break;
	case 4:
		call(TRACE_OP_MSYNC, (u32)id, page, nr,
		     below(g, 2) ? MS_SYNC : MS_ASYNC);
		break;
	default:
		call(TRACE_OP_MADVISE, (u32)id, page, nr,
		     (u64)advice[below(g, ARRAY_SIZE(advice))]);
		break;
	}
}

static void gen_mremap(struct gen *g)
{
	u32 to = below(g, G_MAPS), flags = TRACE_MREMAP_MAYMOVE;
	int id = some_map(g);
	struct gmap *m, *n = &cur_mm(g)->map[to];
	struct m rec = {.id = to, .file = NONE};
	u32 old;

	if (id < 0 || n->live)
		return;
	m = &cur_mm(g)->map[id];
	if (!m->whole)
		return;
	old = m->pages;
	rec.pages = 1 + below(g, 40);
	if (m->shared && !below(g, 4)) {
		old = 0;
	} else if (!below(g, 4)) {
		flags |= TRACE_MREMAP_DONTUNMAP;
		rec.pages = old; /* as mremap(2) wants it */
	}
	/* Equal sizes move by DONTUNMAP only; what moves is whole. */
	mremap_to((u32)id, 0, old, rec, flags, NONE);
	*n = *m;
	n->pages = rec.pages;
	if (old && !(flags & TRACE_MREMAP_DONTUNMAP))
		m->live = false;
}

static void gen_fileop(struct gen *g)
{
	int open = some_open(g);
	u32 slot, id, size = G_PAGES * (u32)PAGE_SIZE;
	u64 off = below(g, 2) ? below(g, size)
			      : (u64)below(g, G_PAGES) * PAGE_SIZE;
	u64 len = below(g, 2) ? 1 + below(g, 3000)
			      : (1 + (u64)below(g, 20)) * PAGE_SIZE;

	if (open < 0)
		return;
	slot = (u32)g->open[open];
	id = g->file[slot];
	switch (below(g, 12)) {
	case 0:
		fop(TRACE_FOP_TRUNCATE, id, NONE, off, 0, 0);
		break;
	case 1:
		fop(TRACE_FOP_SYNC, id, NONE, 0, 0, below(g, 2));
		break;
	case 2:
		fop(TRACE_FOP_ADVISE, NONE, (u32)open, off, len, below(g, 6));
		break;
	case 3:
		fop(TRACE_FOP_ALLOCATE, NONE, (u32)open, off, len,
		    below(g, 2) ? 3 : 0);
		break;
	case 4:
		if (below(g, 3))
			break;
		/* All of it goes: the name, and this way to it. */
		fop(TRACE_FOP_UNLINK, id, NONE, 0, 0, 0);
		for (u32 i = 0; i < G_OPENS; i++)
			if (g->open[i] == (int)slot) {
				fop(TRACE_FOP_CLOSE, NONE, i, 0, 0, 0);
				g->open[i] = -1;
			}
		gen_file(g, slot);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		fop(TRACE_FOP_WRITE, NONE, (u32)open, off, len, 0);
		break;
	default:
		fop(TRACE_FOP_READ, NONE, (u32)open, off, len, 0);
		break;
	}
}

static void gen_switch(struct gen *g, u32 to)
{
	g->cur = to;
	switch_to(g->id[to]);
}

static void gen_task(struct gen *g)
{
	u32 slot = below(g, G_TASKS);
	bool vm = below(g, 2);
	int mm = 0;

	if (g->mm_of[slot] >= 0) {
		if (below(g, 3) || !g->cur) {
			gen_switch(g, slot);
			return;
		}
		g->mm_of[g->cur] = -1;
		exit_task();
		gen_switch(g, 0);
		return;
	}
	if (vm) {
		mm = g->mm_of[g->cur];
	} else {
		for (bool used = true; used; mm += used) {
			used = false;
			for (u32 i = 0; i < G_TASKS; i++)
				used |= g->mm_of[i] == mm;
		}
		g->mm[mm] = *cur_mm(g);
	}
	g->id[slot] = g->next_id++;
	fork_task(g->id[slot], vm ? 3 : 0);
	g->mm_of[slot] = mm;
}

static void gen_trace(struct gen *g, u64 seed, u32 steps)
{
	memset(g, 0, sizeof(*g));
	prng_seed(&g->rnd, seed);
	for (u32 i = 0; i < G_TASKS; i++)
		g->mm_of[i] = i ? -1 : 0;
	for (u32 i = 0; i < G_OPENS; i++)
		g->open[i] = -1;
	g->next_id = 1;
	begin(0);
	for (u32 i = 0; i < G_FILES; i++)
		gen_file(g, i);
	for (u32 i = 0; i < steps; i++) {
		u32 what = below(g, 20);

		if (what < 3)
			gen_map(g);
		else if (what < 11)
			gen_refs(g);
		else if (what < 13)
			gen_range_call(g);
		else if (what < 14)
			gen_mremap(g);
		else if (what < 19)
			gen_fileop(g);
		else
			gen_task(g);
	}
	end();
}

/*
 * Whatever such a program does and however little memory there is: every page
 * and every byte read holds what it must, nothing leaks, the optimum is not
 * beaten, and the same seed gives the same.
 */
static void test_random_programs(void **state)
{
	u64 iters = test_iters(10), major = 0, written = 0, again = 0;
	static struct gen g;
	struct prng rnd;

	(void)state;
	test_seed(&rnd, "random programs");
	for (u64 i = 0; i < iters; i++) {
		u64 seed = prng_u64(&rnd) >> 32, digest;
		u64 mem = (2 + prng_below(&rnd, 5)) << 20;
		u32 cpus = 1 + (u32)prng_below(&rnd, 3);

		fprintf(stderr, "program %llu: seed %llu, %llu MiB, %u CPUs\n",
			(unsigned long long)i, (unsigned long long)seed,
			(unsigned long long)mem >> 20, cpus);
		gen_trace(&g, seed, 3000);
		replay_with(mem, 64 << 20, cpus, seed);
		assert_true(res.min_known);
		assert_true(res.pageins >= res.min_pageins);
		digest = res.digest;
		major += res.file_maj_flt + res.shm_maj_flt;
		written += res.written;
		again += res.file_rereads;
		if (i % 8)
			continue;
		replay_with(mem, 64 << 20, cpus, seed);
		assert_true(res.digest == digest);
		replay_with(128 << 20, 64 << 20, cpus, seed + 1);
	}
	assert_true(major > 0 && written > 0 && again > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_cache),
		cmocka_unit_test(test_write_back),
		cmocka_unit_test(test_read_write),
		cmocka_unit_test(test_truncate),
		cmocka_unit_test(test_unlink),
		cmocka_unit_test(test_unlink_moved),
		cmocka_unit_test(test_populate),
		cmocka_unit_test(test_shared_memory),
		cmocka_unit_test(test_mremap),
		cmocka_unit_test(test_advice),
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_bad_ends),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_random_programs),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
