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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_cache),
		cmocka_unit_test(test_write_back),
		cmocka_unit_test(test_read_write),
		cmocka_unit_test(test_truncate),
		cmocka_unit_test(test_unlink),
		cmocka_unit_test(test_shared_memory),
		cmocka_unit_test(test_mremap),
		cmocka_unit_test(test_advice),
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_bad_ends),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
