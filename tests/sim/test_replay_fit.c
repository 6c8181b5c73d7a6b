/* SPDX-License-Identifier: MIT */
/* How much of a trace is mapped at once, and what is refused for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first. */
#include <cmocka.h>

#include "base_seed.h"
#include "replay_fit.h"
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB_PAGES 0x40000u

int cmd_replay(int argc, char **argv);

static char dir[64], path[96], out_path[96], err_path[96];

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%.40s/mmkit-XXXXXX",
		 tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/trace", dir);
	snprintf(out_path, sizeof(out_path), "%s/out", dir);
	snprintf(err_path, sizeof(err_path), "%s/err", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(out_path);
	unlink(err_path);
	return rmdir(dir);
}

/* ---- writing traces
 * --------------------------------------------------------------- */

static struct trace_writer *writer(void)
{
	static char *argv[] = {(char *)"prog"};
	struct trace_header h = {.arch = TRACE_ARCH_X86_64,
				 .page_size = PAGE_SIZE,
				 .argc = 1,
				 .argv = argv,
				 .program = (char *)"test"};
	struct trace_error err;
	struct trace_writer *w = trace_writer_open(path, &h, &err);

	assert_non_null(w);
	return w;
}

static void put(struct trace_writer *w, struct trace_rec rec)
{
	assert_int_equal(trace_write(w, &rec), 0);
}

static void finish(struct trace_writer *w)
{
	struct trace_totals extra = {.footprint_pages = 1};
	struct trace_error err;

	assert_int_equal(trace_writer_finish(w, &extra, &err), 0);
}

static struct trace_rec map_at(u32 id, u64 start_page, u32 pages)
{
	return (struct trace_rec){.type = TRACE_MAP,
				  .map = {.map = id,
					  .how = TRACE_HOW_MMAP,
					  .prot = 3,
					  .flags = TRACE_MF_NORESERVE,
					  .pages = pages,
					  .at_map = TRACE_NO_ID,
					  .start = start_page << PAGE_SHIFT,
					  .file = TRACE_NO_ID,
					  .open = TRACE_NO_ID}};
}

static struct trace_rec map_in(u32 id, u32 in, u32 page, u32 pages)
{
	struct trace_rec rec = map_at(id, 1, pages);

	rec.map.at_map = in;
	rec.map.at_page = page;
	return rec;
}

static struct trace_rec stack_at(u32 id, u64 start, u32 pages, u32 grown)
{
	struct trace_rec rec = map_at(id, start, pages);

	rec.map.kind = TRACE_KIND_STACK;
	rec.map.how = TRACE_HOW_START;
	rec.map.grown_pages = grown;
	return rec;
}

static struct trace_rec heap_at(u32 id, u64 start, u32 pages)
{
	struct trace_rec rec = map_at(id, start, pages);

	rec.map.kind = TRACE_KIND_HEAP;
	return rec;
}

static struct trace_rec call(u32 op, u32 map, u32 page, u32 nr, u64 arg)
{
	return (struct trace_rec){
		.type = TRACE_CALL,
		.call = {.op = op,
			 .map = map,
			 .page = page,
			 .nr_pages = nr,
			 .new_map = op == TRACE_OP_MREMAP ? map : TRACE_NO_ID,
			 .arg = arg}};
}

static struct trace_rec ref(u32 map, u32 page)
{
	return (struct trace_rec){.type = TRACE_REF,
				  .ref = {map, page, 1, TRACE_W, 1}};
}

static struct trace_rec to_task(u32 id)
{
	return (struct trace_rec){.type = TRACE_SWITCH, .to = id};
}

static struct trace_rec fork_of(u32 child, u32 flags)
{
	return (struct trace_rec){.type = TRACE_FORK, .fork = {child, flags}};
}

static const struct trace_rec exit_rec = {.type = TRACE_EXIT};
static const struct trace_rec exec_rec = {.type = TRACE_EXEC,
					  .exec = {(char *)"prog"}};

/* The peak, in pages, of a trace of these records. */
static u64 peak_of(const struct trace_rec *recs, size_t nr, u32 *task)
{
	struct trace_writer *w = writer();
	struct replay_fit fit;

	for (size_t i = 0; i < nr; i++)
		put(w, recs[i]);
	finish(w);
	replay_fit_scan(path, &fit);
	assert_int_equal(fit.peak_bytes % PAGE_SIZE, 0);
	if (task)
		*task = fit.task;
	return fit.peak_bytes >> PAGE_SHIFT;
}

#define PEAK(...)                                                 \
	peak_of((const struct trace_rec[]){__VA_ARGS__},          \
		sizeof((const struct trace_rec[]){__VA_ARGS__}) / \
			sizeof(struct trace_rec),                 \
		NULL)

/* ---- each kind of record
 * ------------------------------------------------------------ */

static void test_mappings(void **state)
{
	(void)state;
	assert_int_equal(PEAK(exit_rec), 0);
	assert_int_equal(PEAK(map_at(0, 16, 10), map_at(1, 100, 5)), 15);
	/* Side by side, before and behind: one span, the same sum. */
	assert_int_equal(PEAK(map_at(0, 50, 10), map_at(1, 60, 5),
			      map_at(2, 40, 10), map_at(3, 70, 1)),
			 26);
	/* The place is taken: both are there all the same. */
	assert_int_equal(
		PEAK(map_at(0, 16, 10), map_at(1, 16, 10), map_at(2, 20, 3)),
		23);
	/* Laid over another one: in it, and past its end. */
	assert_int_equal(PEAK(map_at(0, 16, 10), map_in(1, 0, 2, 8)), 10);
	assert_int_equal(PEAK(map_at(0, 16, 10), map_in(1, 0, 8, 8)), 16);
	assert_int_equal(
		PEAK(map_at(0, 16, 10), map_at(1, 16, 10), map_in(2, 1, 0, 10)),
		20);
	assert_int_equal(PEAK(map_at(0, 1UL << 35, 7)), 7);
}

static void test_calls(void **state)
{
	struct trace_rec failed = call(TRACE_OP_MUNMAP, 0, 0, 10, 0);

	(void)state;
	/* The hole is filled again, and the end goes. */
	assert_int_equal(PEAK(map_at(0, 16, 10),
			      call(TRACE_OP_MUNMAP, 0, 3, 4, 0),
			      map_at(1, 100, 9)),
			 15);
	assert_int_equal(PEAK(map_at(0, 16, 10),
			      call(TRACE_OP_MUNMAP, 0, 0, 10, 0),
			      map_at(1, 100, 9)),
			 10);
	assert_int_equal(
		PEAK(map_at(0, 16, 10), call(TRACE_OP_MUNMAP, 0, 0, 10, 0),
		     call(TRACE_OP_MUNMAP, 0, 0, 10, 0), map_at(1, 100, 19)),
		19);
	failed.call.err = EINVAL;
	assert_int_equal(PEAK(map_at(0, 16, 10), failed, map_at(1, 100, 9)),
			 19);
	assert_int_equal(PEAK(map_at(0, 16, 10),
			      call(TRACE_OP_MPROTECT, 0, 0, 10, 1),
			      map_at(1, 100, 9)),
			 19);
}

static void test_mremap(void **state)
{
	struct trace_rec away = call(TRACE_OP_MREMAP, 0, 0, 10, 40);
	struct trace_rec moved = map_at(5, 500, 40);

	(void)state;
	/* In place, over a neighbour's pages, and to another place. */
	assert_int_equal(
		PEAK(map_at(0, 16, 10), call(TRACE_OP_MREMAP, 0, 4, 6, 30)),
		34);
	assert_int_equal(PEAK(map_at(0, 16, 10), map_at(1, 30, 10),
			      call(TRACE_OP_MREMAP, 0, 0, 10, 30),
			      call(TRACE_OP_MREMAP, 0, 0, 30, 2),
			      map_at(2, 100, 29)),
			 41);
	away.call.new_map = 5;
	moved.map.how = TRACE_HOW_MOVE;
	assert_int_equal(PEAK(map_at(0, 16, 10), away, moved), 40);
}

static void test_heap_and_stack(void **state)
{
	(void)state;
	assert_int_equal(PEAK(heap_at(0, 16, 2),
			      call(TRACE_OP_BRK, 0, 0, 0, 9 * PAGE_SIZE - 1),
			      call(TRACE_OP_BRK, 0, 0, 0, 3 * PAGE_SIZE),
			      map_at(1, 100, 5)),
			 9);
	assert_int_equal(PEAK(heap_at(0, 16, 0),
			      call(TRACE_OP_BRK, 0, 0, 0, 7 * PAGE_SIZE)),
			 7);
	assert_int_equal(PEAK(heap_at(0, 16, 7), call(TRACE_OP_BRK, 0, 0, 0, 0),
			      map_at(1, 100, 8)),
			 8);
	/* As far as it has grown; nothing for what is above the end. */
	assert_int_equal(PEAK(stack_at(0, 16, 2048, 3), ref(0, 2046)), 3);
	assert_int_equal(PEAK(stack_at(0, 16, 2048, 0)), 1);
	assert_int_equal(PEAK(stack_at(0, 16, 2048, 3), ref(0, 2000),
			      ref(0, 2040), ref(0, 1999)),
			 49);
}

static void test_tasks(void **state)
{
	const struct trace_rec two[] = {
		map_at(0, 16, 10), fork_of(1, 0),
		to_task(1),	   map_at(1, 100, 7),
		ref(1, 3),	   to_task(0),
		map_at(1, 100, 3), call(TRACE_OP_MUNMAP, 0, 0, 10, 0),
		map_at(2, 200, 9),
	};
	u32 task;

	(void)state;
	assert_int_equal(peak_of(two, ARRAY_SIZE(two), &task), 17);
	assert_int_equal(task, 1);
	/* A shared space has what both map; it lives as long as one of them. */
	assert_int_equal(PEAK(map_at(0, 16, 10), fork_of(1, TRACE_CLONE_VM),
			      to_task(1), map_at(1, 100, 7), exit_rec,
			      to_task(0), map_at(2, 200, 5)),
			 22);
	assert_int_equal(PEAK(map_at(0, 16, 10), fork_of(1, TRACE_CLONE_VM),
			      exit_rec, to_task(1), map_at(1, 100, 7)),
			 17);
	assert_int_equal(PEAK(map_at(0, 16, 10), exec_rec, map_at(0, 16, 4),
			      map_at(1, 100, 5)),
			 10);
}

/* ---- against a plain model
 * ----------------------------------------------------------- */

/* Pages of one space, one byte each: recorded places below NEAR, and one
 * stretch of STEP pages for each mapping whose place was taken. */
#define NEAR	    2048u
#define STEP	    1024u
#define MODEL_PAGES (NEAR + 400 * STEP)
#define MODEL_MAPS  12u

struct model {
	u8 page[MODEL_PAGES];
	struct {
		u32 base, pages;
		bool there;
	} map[MODEL_MAPS];
	u32 next;
	u64 peak;
};

static struct model model;

static u32 model_count(void)
{
	u32 n = 0;

	for (u32 i = 0; i < model.next; i++)
		n += model.page[i];
	return n;
}

static bool model_free(u32 at, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		if (model.page[at + i])
			return false;
	return true;
}

static u32 model_elsewhere(void)
{
	u32 at = model.next;

	model.next += STEP;
	assert_true(model.next <= MODEL_PAGES);
	return at;
}

static void model_map(const struct trace_map *m)
{
	u32 at = (u32)(m->start >> PAGE_SHIFT);

	if (m->at_map != TRACE_NO_ID)
		at = model.map[m->at_map].base + m->at_page;
	else if (!model_free(at, m->pages))
		at = model_elsewhere();
	model.map[m->map].base = at;
	model.map[m->map].pages = m->pages;
	model.map[m->map].there = true;
	memset(model.page + at, 1, m->pages);
}

static void model_call(const struct trace_call *c)
{
	u32 at = model.map[c->map].base + c->page;

	memset(model.page + at, 0, c->nr_pages);
	if (c->op != TRACE_OP_MREMAP)
		return;
	if (!model_free(at, (u32)c->arg))
		model.map[c->map].base = model_elsewhere();
	model.map[c->map].pages = c->page + (u32)c->arg;
	memset(model.page + model.map[c->map].base + c->page, 1, c->arg);
}

static struct trace_rec random_rec(struct prng *r)
{
	u32 id = (u32)prng_below(r, MODEL_MAPS);
	u32 in = (u32)prng_below(r, MODEL_MAPS);
	u32 pages = model.map[id].pages, page, nr;

	if (!model.map[id].there || prng_below(r, 3) == 0) {
		nr = 1 + (u32)prng_below(r, 60);
		if (in != id && model.map[in].there && prng_below(r, 2))
			return map_in(
				id, in,
				(u32)prng_below(r, model.map[in].pages + 5),
				nr);
		return map_at(id, 1 + prng_below(r, 400), nr);
	}
	page = (u32)prng_below(r, pages);
	nr = 1 + (u32)prng_below(r, pages - page);
	if (prng_below(r, 4) == 0)
		return call(TRACE_OP_MREMAP, id, page, pages - page,
			    1 + prng_below(r, 60));
	return call(TRACE_OP_MUNMAP, id, page, nr, 0);
}

static void random_trace(u64 seed)
{
	struct trace_writer *w = writer();
	struct replay_fit fit;
	struct prng r;

	prng_seed(&r, seed);
	memset(&model, 0, sizeof(model));
	model.next = NEAR;
	for (int i = 0; i < 300; i++) {
		struct trace_rec rec = random_rec(&r);

		/* Chains of mappings in mappings stay in their stretch. */
		if (rec.type == TRACE_MAP && rec.map.at_map != TRACE_NO_ID &&
		    (model.map[rec.map.at_map].base + rec.map.at_page) % STEP >
			    800)
			continue;
		put(w, rec);
		if (rec.type == TRACE_MAP)
			model_map(&rec.map);
		else
			model_call(&rec.call);
		model.peak = max(model.peak, (u64)model_count());
	}
	finish(w);
	replay_fit_scan(path, &fit);
	if (fit.peak_bytes != model.peak << PAGE_SHIFT)
		fail_msg("seed %llu: peak %llu pages, not %llu",
			 (unsigned long long)seed,
			 (unsigned long long)(fit.peak_bytes >> PAGE_SHIFT),
			 (unsigned long long)model.peak);
}

static void test_model(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	fprintf(stderr, "replay_fit: SEED=%llu\n", (unsigned long long)seed);
	for (u64 i = 0; i < test_iters(60); i++)
		random_trace(seed + i);
}

/* ---- what is refused
 * ------------------------------------------------------------------ */

static char text[8192];

static const char *slurp(const char *file)
{
	FILE *f = fopen(file, "re");
	size_t len;

	assert_non_null(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	fclose(f);
	return text;
}

_Noreturn static void child(const char *arch, const char *mem)
{
	char *argv[] = {(char *)"replay",
			path,
			(char *)"--arch",
			(char *)arch,
			(char *)"--mem",
			(char *)mem,
			(char *)"--log",
			(char *)"--no-min",
			NULL};

	if (!freopen(out_path, "we", stdout) ||
	    !freopen(err_path, "we", stderr))
		_exit(99);
	exit(cmd_replay(8, argv));
}

/* The command in a process of its own: its exit status. */
static int replayed(const char *arch, const char *mem)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(arch, mem);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Each GiB touched at both ends; LAST pages more at the end. */
static void big_trace(u32 gibs, u32 last)
{
	struct trace_writer *w = writer();
	u32 pages = gibs * GIB_PAGES + last;

	put(w, stack_at(0, 0x7fffff000UL, 2048, 33));
	put(w, map_at(1, 0x7f0000000UL, pages));
	for (u32 at = 0; at < pages; at += GIB_PAGES) {
		put(w, ref(1, at));
		put(w, ref(1, min(at + GIB_PAGES, pages) - 1));
	}
	put(w, ref(0, 2000));
	put(w, exit_rec);
	finish(w);
}

static void test_refused(void **state)
{
	static const char *const small[] = {"x86-32", "x86-32-pae"};
	static const char *const large[] = {"x86-64", "x86-64-la57", "arm64"};

	(void)state;
	/* 3 GiB and the 48 pages of the stack that were used. */
	big_trace(3, 0);
	for (u32 i = 0; i < ARRAY_SIZE(small); i++) {
		assert_int_equal(replayed(small[i], "2G"), 1);
		assert_non_null(strstr(slurp(err_path), "3221422080 bytes"));
		assert_non_null(strstr(text, "3220111360 (3.00 GiB)"));
		assert_non_null(strstr(text, small[i]));
		assert_non_null(strstr(text, path));
		/* No machine has said anything. */
		assert_string_equal(slurp(out_path), "");
	}
	for (u32 i = 0; i < ARRAY_SIZE(large); i++) {
		assert_int_equal(replayed(large[i], "2G"), 0);
		assert_non_null(strstr(slurp(out_path), "replay of "));
	}
}

static void assert_sound(const char *faults)
{
	char line[64];

	slurp(out_path);
	snprintf(line, sizeof(line), "\nminor faults           %16s\n", faults);
	assert_non_null(strstr(text, line));
	assert_non_null(
		strstr(text, "\ndata errors                           0\n"));
	assert_non_null(
		strstr(text, "\naccess errors                         0\n"));
	assert_non_null(
		strstr(text, "\ncall mismatches                       0\n"));
}

/* What fits is replayed, wherever it was recorded. */
static void test_fits(void **state)
{
	static const char *const archs[] = {"x86-32", "x86-32-pae"};

	(void)state;
	big_trace(2, GIB_PAGES / 2);
	for (u32 i = 0; i < ARRAY_SIZE(archs); i++) {
		assert_int_equal(replayed(archs[i], "2G"), 0);
		assert_sound("7");
	}
}

/* A heap at a place that is not here, before and after an exec and a fork. */
static void test_heap_elsewhere(void **state)
{
	struct trace_writer *w = writer();
	const struct trace_rec heap = heap_at(3, 0x555555756UL, 1);
	const struct trace_rec grow =
		call(TRACE_OP_BRK, 3, 0, 0, 40 * PAGE_SIZE);

	(void)state;
	put(w, heap);
	put(w, grow);
	put(w, ref(3, 39));
	put(w, exec_rec);
	put(w, heap);
	put(w, grow);
	put(w, ref(3, 0));
	put(w, ref(3, 38));
	put(w, call(TRACE_OP_BRK, 3, 0, 0, 2 * PAGE_SIZE));
	put(w, grow);
	put(w, ref(3, 38));
	put(w, fork_of(1, 0));
	put(w, to_task(1));
	put(w, call(TRACE_OP_BRK, 3, 0, 0, 90 * PAGE_SIZE));
	put(w, ref(3, 89));
	put(w, exit_rec);
	finish(w);
	assert_int_equal(replayed("x86-32", "64M"), 0);
	assert_sound("5");
	assert_int_equal(replayed("x86-64", "64M"), 0);
	assert_sound("5");
}

/* To the page. */
static void test_border(void **state)
{
	u64 room = replay_fit_room(&paging_x86_32) >> PAGE_SHIFT;

	(void)state;
	assert_int_equal(room, 3 * GIB_PAGES - 16 - 256);
	assert_int_equal(PEAK(map_at(0, 1UL << 30, (u32)room)), room);
	replay_fit_check(path, &paging_x86_32);
	/* The only place for it is no multiple of 2 MiB away. */
	assert_int_equal(PEAK(map_at(0, 1UL << 30, (u32)room), ref(0, 0),
			      ref(0, (u32)room - 1)),
			 room);
	assert_int_equal(replayed("x86-32", "1G"), 0);
	assert_sound("2");
	assert_int_equal(PEAK(map_at(0, 1UL << 30, (u32)room + 1)), room + 1);
	replay_fit_check(path, &paging_x86_64_4level);
	assert_int_equal(replayed("x86-32", "1G"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mappings),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_mremap),
		cmocka_unit_test(test_heap_and_stack),
		cmocka_unit_test(test_tasks),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_heap_elsewhere),
		cmocka_unit_test(test_border),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
