/* SPDX-License-Identifier: MIT */
/*
 * mmkit against the kernel that this runs on: every recorded sequence of
 * tests/diff/cases, then random ones. docs/DIFFERENTIAL.md.
 *
 * SEED and ITERS as elsewhere; in a soak run SOAK_CALLS operations (ten
 * million) for each round.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base_seed.h"
#include "difflib.h"

#define OPS_OF_A_SEQUENCE 200

static struct seq current;
static uint64_t seed, seqs, calls;
static char why[1 << 18];

/* What a host must offer is missing: the reason is in the log. */
static void need_host(void)
{
	static const char *reason;
	static bool asked;

	if (!asked)
		reason = linux_start();
	asked = true;
	if (reason && *reason) {
		fprintf(stderr, "no comparison: %s\n", reason);
		skip();
	}
	assert_null(reason);
}

/* The manager found something wrong with itself: say what did it. */
static void on_abort(int sig)
{
	(void)sig;
	seq_print(stderr, &current);
	linux_stop();
}

static void must_agree(const char *what)
{
	uint32_t compared;

	if (seq_try(&current, &compared, why, sizeof(why)) != SAME) {
		seq_print(stderr, &current);
		fprintf(stderr, "%s: %s", what, why);
		linux_stop();
		abort();
	}
	calls += compared;
}

/* ---- recorded sequences ----------------------------------------------------
 */

static int all_cases(void *arg)
{
	const glob_t *g = arg;
	char text[128];

	for (size_t i = 0; i < g->gl_pathc; i++) {
		if (!seq_load(g->gl_pathv[i], &current, text)) {
			fprintf(stderr, "%s: %s\n", g->gl_pathv[i], text);
			abort();
		}
		must_agree(g->gl_pathv[i]);
	}
	return 0;
}

static void recorded(void **state)
{
	glob_t g;

	(void)state;
	need_host();
	assert_int_equal(glob("tests/diff/cases/*.txt", 0, NULL, &g), 0);
	assert_true(g.gl_pathc > 20);
	calls = 0;
	sim_session(1, all_cases, &g);
	fprintf(stderr, "%zu cases, %llu operations\n", g.gl_pathc,
		(unsigned long long)calls);
	globfree(&g);
}

/* ---- random ones
 * ------------------------------------------------------------- */

static int some_sequences(void *arg)
{
	char text[64];

	(void)arg;
	for (int i = 0; i < 500 && seqs > 0; i++, seqs--, seed++) {
		seq_generate(&current, seed, OPS_OF_A_SEQUENCE);
		snprintf(text, sizeof(text), "SEED=%llu ITERS=1",
			 (unsigned long long)seed);
		must_agree(text);
	}
	return 0;
}

/* Ten seconds in each variant, half a minute of `make test`; no variant
 * repeats another's sequences. */
#if defined(__SANITIZE_ADDRESS__)
#define FIRST_SEED 2000001
#define SHARE	   1800
#elif MM_DEBUG
#define FIRST_SEED 1000001
#define SHARE	   3600
#else
#define FIRST_SEED 1
#define SHARE	   3000
#endif

static void random_sequences(void **state)
{
	uint64_t want = test_env("SOAK_CALLS", 10000000);

	(void)state;
	need_host();
	seed = test_env("SEED", FIRST_SEED);
	seqs = test_iters(getenv("SOAK") ? want / OPS_OF_A_SEQUENCE : SHARE);
	calls = 0;
	fprintf(stderr, "test_diff: SEED=%llu\n", (unsigned long long)seed);
	while (seqs > 0)
		sim_session(seed, some_sequences, NULL);
	fprintf(stderr, "%llu operations agree\n", (unsigned long long)calls);
}

/* ---- the test itself
 * --------------------------------------------------------- */

/* What is written is read again as the same. */
static void text_form(void **state)
{
	static struct seq back;
	char reason[128];
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	for (uint64_t s = 1; s <= 50; s++) {
		seq_generate(&current, s, OPS_OF_A_SEQUENCE);
		rewind(f);
		seq_print(f, &current);
		fflush(f);
		assert_int_equal(ftruncate(fileno(f), ftell(f)), 0);
		rewind(f);
		assert_true(seq_read(f, &back, reason));
		assert_int_equal(back.nr, current.nr);
		assert_memory_equal(back.op, current.op,
				    current.nr * sizeof(current.op[0]));
	}
	fclose(f);
}

/* The comparison sees a difference in each thing that it looks at. */
static void sees_differences(void **state)
{
	static struct diff_result a[1], b[1];
	static uint64_t words[8] = {1, DIFF_WINDOW,
				    (DIFF_WINDOW + DIFF_PAGE) | DIFF_R};
	uint64_t other[8];
	struct outcome host = {a, 1, words, 1}, sim = {b, 1, other, 1};

	(void)state;
	memset(&current, 0, sizeof(current));
	current.nr = 1;
	current.op[0].call = OP_MAPS;
	for (int i = 0; i < 11; i++) {
		memset(b, 0, sizeof(b));
		memcpy(other, words, sizeof(words));
		a[0].words = b[0].words = 6;
		b[0].ret = i == 1;
		b[0].sig = i == 2;
		b[0].code = i == 3;
		b[0].addr = i == 4;
		b[0].words -= i == 5;
		other[1] += i == 6 ? DIFF_PAGE : 0;
		other[2] ^= i == 7 ? DIFF_W : 0;
		other[3] ^= i == 8;
		other[4] ^= i == 9;
		other[5] ^= i == 10;
		assert_int_equal(
			compare(&current, &host, &sim, why, sizeof(why)),
			i ? 0 : -1);
	}
}

/* The executor must not be reached. */
static void refuses_unsafe(void **state)
{
	static const char *const unsafe[] = {
		"0 munmap 0x400000 0x1000",
		"0 munmap 0x1000 0x7ffff0000000",
		"0 write 0x20000000 0x1",
		"0 brk 0x500000",
		"0 mmap 0x0 0x40000000 rw private|anon|fixed",
		"0 mremap w 0x1000 0x1000 maymove|fixed 0x400000",
		"0 mmap w 0x40000000 r|w private|anon|populate",
		"0 fork 0x0",
		"0 madvise 0x0 0x8000000000000000 dontneed",
		"0 madvise 0x0 0xfffffffffffff000 dontneed_locked",
		"0 madvise w 0x40000000 populate_write",
		"0 madvise w 0x8000000000000000 populate_read",
		"0 mlock 0x1000 0x1000",
		"0 mincore w 0x1000 0x20000000",
		"0 process_vm_readv w 0x10 0x400000 0x10 0x0",
		"0 process_vm_writev w 0x40000000 h 0x40000000 0x0",
		"0 process_madvise w 0x1000 0x400000 0x1000 dontneed",
		"0 set_heap h 0x20000000 0",
		"0 mmap_file w 0x1000 r private|fixed 0x3 0x0",
		"0 mmap_file 0x400000 0x1000 r private|fixed f0 0x0",
		"0 mmap_file w 0x40000000 r private|populate f0 0x0",
		"0 close 0x3",
		"0 close 0x6c",
		"0 ftruncate f0 0x40000000",
		"0 ftruncate f4 0x4000000000000000",
		"0 fallocate f4 0x0 0x0 0x40000000",
		"0 pwrite f0 0x0 0x9000 0x1",
		"0 pwrite f4 0x4000000000000000 0x8 0x1",
		"0 pread f0 0x0 0x9000",
		"9 maps",
		"0 nothing",
		"0 munmap w",
		"0 munmap w 0x1000 0x1000",
		"0 munmap w 0x1000x",
	};
	char reason[128];

	(void)state;
	for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++) {
		FILE *f = fmemopen((void *)(uintptr_t)unsafe[i],
				   strlen(unsafe[i]), "r");

		assert_non_null(f);
		assert_false(seq_read(f, &current, reason));
		fclose(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_form),
		cmocka_unit_test(sees_differences),
		cmocka_unit_test(refuses_unsafe),
		cmocka_unit_test(recorded),
		cmocka_unit_test(random_sequences),
	};
	int ret;

	signal(SIGABRT, on_abort);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	linux_stop();
	return ret;
}
