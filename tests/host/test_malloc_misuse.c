/* SPDX-License-Identifier: MIT */
/*
 * What the malloc library says of broken programs, in each of its modes. Each
 * breaks in a process of its own, which must end by SIGABRT with a message that
 * names the object and its cache.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mmkit/port.h>

#include "mt.h"

static char said[65536];

/* Run FN with OPTIONS; what it says is in said[]. Returns its status. */
static int run(void (*fn)(void), const char *options)
{
	size_t len = 0;
	int fd[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		close(fd[1]);
		setenv("MMKIT_OPTIONS", options, 1);
		signal(SIGABRT, SIG_DFL);
		fn();
		_exit(0);
	}
	close(fd[1]);
	while ((n = read(fd[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The byte behind what was asked for; 100 is no class's size. */
static size_t asked = 100;

/* FN's name, from the symbol table. */
static const char *name(void (*fn)(void))
{
	static char text[128];

	port_symbol((u64)(uintptr_t)fn + 1, text, sizeof(text));
	return text;
}

/* FN must be stopped, with a message that has each of SAYS. */
static void must_die(void (*fn)(void), const char *options,
		     const char *const *says)
{
	int status = run(fn, options);

	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("%s of %zu: %s: status 0x%x, said: %s", name(fn),
			 asked, options, (unsigned)status, said);
	if (!strstr(said, "mmkit-malloc: "))
		fail_msg("%s: said: %s", options, said);
	for (; *says; says++) {
		if (!strstr(said, *says))
			fail_msg("%s: no \"%s\" in: %s", options, *says, said);
	}
}

#define SAYS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Names that stand in stacks: not static, not inlined. */
__attribute__((noinline)) void *who_allocates(size_t size);
__attribute__((noinline)) void *who_allocates(size_t size)
{
	void *p = mt_malloc(size);

	__asm__ volatile("" : "+r"(p));
	return p;
}

__attribute__((noinline)) void who_frees(void *p);
__attribute__((noinline)) void who_frees(void *p)
{
	mt_free(p);
	__asm__ volatile("" ::: "memory");
}

static void free_twice(void)
{
	void *p = who_allocates(60), *q = mt_malloc(60);

	who_frees(p);
	mt_free(q);
	mt_free(p);
}

static void who_frees_twice(void)
{
	void *p = mt_malloc(60);

	who_frees(p);
	who_frees(p);
}

static void who_frees_foreign(void)
{
	char bytes[256] MM_ALIGNED(64) = {0};

	who_frees(bytes + 128);
}

static void *free_it(void *p)
{
	mt_free(p);
	return NULL;
}

static void free_elsewhere(void *p)
{
	pthread_t t;

	if (!pthread_create(&t, NULL, free_it, p))
		pthread_join(t, NULL);
}

static void free_twice_elsewhere(void)
{
	void *p = who_allocates(200);

	who_frees(p);
	free_elsewhere(p);
}

static void free_elsewhere_twice(void)
{
	void *p = mt_malloc(200);

	free_elsewhere(p);
	free_elsewhere(p);
}

static void free_large_twice(void)
{
	void *p = who_allocates(300000);

	who_frees(p);
	mt_free(p);
}

static void free_inside(void)
{
	char *p = who_allocates(1000);

	mt_free(p + 16);
}

static void free_inside_odd(void)
{
	char *p = mt_malloc(1000);

	mt_free(p + 3);
}

static void free_inside_large(void)
{
	char *p = mt_malloc(9u << 20);

	mt_free(p + 8192);
}

static void free_stack(void)
{
	char bytes[256] MM_ALIGNED(64) = {0};

	mt_free(bytes + 128);
}

static void free_static(void)
{
	static char bytes[256] MM_ALIGNED(64);

	mt_free(bytes + 64);
}

/* Nothing may be read in front of it. */
static void free_mapping(void)
{
	char *p = mmap(NULL, 3 * PAGE_SIZE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mt_free(p + PAGE_SIZE);
}

static void realloc_freed(void)
{
	void *volatile p = mt_malloc(64);

	mt_free(p);
	(void)!mt_realloc(p, 100);
}

static void realloc_inside(void)
{
	char *p = mt_malloc(640);

	(void)!mt_realloc(p + 64, 100);
}

static void realloc_static(void)
{
	static char bytes[256] MM_ALIGNED(64);

	(void)!mt_realloc(bytes + 64, 100);
}

static void size_of_freed(void)
{
	void *volatile p = mt_malloc(64);

	mt_free(p);
	(void)!mt_usable_size(p);
}

static void overflow_by_one(void)
{
	unsigned char *p = who_allocates(asked);

	p[asked] = 0;
	mt_free(p);
}

static void overflow_seen_by_realloc(void)
{
	unsigned char *p = who_allocates(asked);

	p[asked] = 1;
	(void)!mt_realloc(p, 2 * asked);
}

static void overflow_seen_by_check(void)
{
	unsigned char *p = who_allocates(asked);

	p[asked] = 1;
	mt_malloc_trim(0);
}

static void overflow_seen_at_exit(void)
{
	unsigned char *p = who_allocates(asked);

	p[asked] = 1;
	mt_at_exit();
}

static void overflow_aligned(void)
{
	unsigned char *p = mt_memalign(512, asked);

	if ((uintptr_t)p % 512)
		_exit(3);
	p[asked] = 1;
	mt_free(p);
}

static void underflow_by_one(void)
{
	unsigned char *p = who_allocates(asked);

	p[-1] ^= 0x55;
	mt_free(p);
}

/* In hardened mode that is the end of the object before. */
static void underflow_into_another(void)
{
	unsigned char *p[64];

	for (int i = 0; i < 64; i++)
		p[i] = mt_malloc(96 - 8);
	for (int i = 0; i < 64; i++)
		p[i][-1] ^= 0x55;
	for (int i = 0; i < 64; i++)
		mt_free(p[i]);
}

static void write_after_free(void)
{
	unsigned char *p = who_allocates(512);

	who_frees(p);
	p[100] = 1;
	mt_at_exit();
}

/* Enough frees follow to push it out of quarantine. */
static void write_found_at_reuse(void)
{
	unsigned char *p = who_allocates(512);

	who_frees(p);
	p[100] = 1;
	for (int i = 0; i < 200000; i++)
		mt_free(mt_malloc(512));
}

/* The first word of what is free links it to the next. */
static void write_all_free(void)
{
	static void *p[300];

	for (int i = 0; i < 300; i++)
		p[i] = mt_malloc(64);
	for (int i = 0; i < 300; i++)
		mt_free(p[i]);
	for (int i = 0; i < 300; i++)
		memset(p[i], 0x41, 64);
	for (int i = 0; i < 300; i++)
		p[i] = mt_malloc(64);
	for (int i = 0; i < 300; i++)
		mt_free(p[i]);
	mt_at_exit();
}

static void all_is_well(void)
{
	static void *p[500];

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 500; i++) {
			p[i] = mt_malloc(i * 37);
			if (!p[i])
				abort();
			memset(p[i], 1, i * 37);
		}
		for (size_t i = 0; i < 500; i++) {
			p[i] = mt_realloc(p[i], i * 23 + 1);
			if ((uintptr_t)p[i] % 16 && mt_usable_size(p[i]) > 8)
				abort();
			mt_free(p[i]);
		}
	}
}

/* What is handed out again is not what was freed last. */
static void not_at_once(void)
{
	void *p = mt_malloc(72);

	mt_free(p);
	for (int i = 0; i < 20; i++) {
		if (mt_malloc(72) == p)
			abort();
	}
}

/* Exactly what was asked for, whatever way. */
static void exact_sizes(void)
{
	static const size_t sizes[] = {0,    1,	    7,	   8,	  15,	   100,
				       4096, 32760, 32768, 70001, 5u << 20};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = mt_malloc(sizes[i]), *q = mt_calloc(1, sizes[i]);
		void *r = mt_memalign(256, sizes[i]);

		if (mt_usable_size(p) != sizes[i] ||
		    mt_usable_size(q) != sizes[i] ||
		    mt_usable_size(r) != sizes[i] || (uintptr_t)r % 256)
			abort();
		p = mt_realloc(p, sizes[i] + 3);
		if (mt_usable_size(p) != sizes[i] + 3)
			abort();
		mt_free(p);
		mt_free(q);
		mt_free(r);
	}
}

/* What both modes stop; WHO is what only debug mode knows. */
static void stopped_by(const char *mode, const char *const *who)
{
	static void (*const frees[])(void) = {
		free_twice_elsewhere, free_elsewhere_twice, free_large_twice,
		free_inside_odd,      free_inside_large,
	};
	static void (*const foreign[])(void) = {free_stack, free_static,
						free_mapping};
	static void (*const overflows[])(void) = {
		overflow_by_one, overflow_seen_by_realloc,
		overflow_seen_by_check, overflow_seen_at_exit};
	static const size_t sizes[] = {1, 100, 104, 5000, 40000, 5u << 20};

	must_die(free_twice, mode, who);
	must_die(free_inside, mode,
		 SAYS("free(): pointer into an object", "malloc-1"));
	for (size_t i = 0; i < ARRAY_SIZE(frees); i++)
		must_die(frees[i], mode, SAYS("free(): "));
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		must_die(foreign[i], mode, SAYS("not a pointer of malloc"));
	must_die(realloc_freed, mode, SAYS("realloc(): "));
	must_die(realloc_inside, mode, SAYS("realloc(): "));
	must_die(realloc_static, mode, SAYS("realloc(): not a pointer"));
	must_die(size_of_freed, mode, SAYS("malloc_usable_size(): "));
	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		char of[64];

		asked = sizes[k];
		snprintf(of, sizeof(of), "of %zu bytes", asked);
		for (size_t i = 0; i < ARRAY_SIZE(overflows); i++)
			must_die(overflows[i], mode, SAYS("overflow"));
		must_die(overflow_aligned, mode, SAYS("overflow"));
	}
	asked = 100;
	must_die(write_found_at_reuse, mode,
		 SAYS("use after free: written", "100 bytes inside it: 0x01"));
	must_die(write_after_free, mode, SAYS("use after free: written"));
	assert_int_equal(run(all_is_well, mode), 0);
	assert_string_equal(said, "");
	assert_int_equal(run(exact_sizes, mode), 0);
	assert_string_equal(said, "");
	assert_int_equal(run(not_at_once, mode), 0);
}

static void test_hardened(void **arg)
{
	(void)arg;
	stopped_by("hardened", SAYS("double free", "malloc-80"));
	must_die(underflow_into_another, "hardened", SAYS("overflow"));
	must_die(write_all_free, "hardened",
		 SAYS("Freepointer corrupt", "corrupted free object"));
	must_die(who_frees_twice, "hardened",
		 SAYS("double free", "found by thread", "    who_frees+0x"));
	must_die(overflow_by_one, "hardened",
		 SAYS("of 100 bytes", "0 bytes behind its end: 0x00"));
}

static void test_debug(void **arg)
{
	static const char *const both[] = {
		"double free",	 "malloc-96", "of 60 bytes", "allocated by",
		"who_allocates", "freed by",  "who_frees",   NULL};

	(void)arg;
	stopped_by("debug", both);
	must_die(overflow_by_one, "debug",
		 SAYS("overflow", "of 100 bytes", "who_allocates", "malloc-144",
		      "0 bytes behind its end: 0x00 instead of 0xcc"));
	must_die(overflow_seen_at_exit, "debug",
		 SAYS("of 100 bytes", "who_allocates"));
	must_die(underflow_by_one, "debug",
		 SAYS("underflow", "1 bytes before its begin"));
	must_die(underflow_into_another, "debug", SAYS("underflow"));
	must_die(write_all_free, "debug", SAYS("use after free: written"));
	must_die(write_after_free, "debug",
		 SAYS("100 bytes inside it: 0x01", "who_allocates",
		      "who_frees"));
	must_die(free_large_twice, "debug",
		 SAYS("double free", "of 300000 bytes", "who_allocates",
		      "who_frees"));
	must_die(free_twice_elsewhere, "debug", SAYS("who_frees"));
	assert_int_equal(run(all_is_well, "debug,hardened"), 0);
	assert_string_equal(said, "");
}

/* ---- plain
 * ---------------------------------------------------------------------- */

static void free_twice_and_exit(void)
{
	void *p = mt_malloc(60), *q = mt_malloc(60);

	mt_free(p);
	mt_free(q);
	mt_free(p);
	mt_at_exit();
}

/* A whole frame: no slab says that nothing begins there. */
static void free_inside_frame(void)
{
	char *p = mt_malloc(PAGE_SIZE);

	mt_free(p + 64);
	mt_malloc_trim(0);
}

static void free_twice_and_trim(void)
{
	void *p = mt_malloc(60);

	mt_free(p);
	mt_free(mt_malloc(61));
	mt_free(p);
	mt_malloc_trim(0);
}

static void *free_twice_in(void *p)
{
	mt_free(p);
	mt_free(p);
	return NULL;
}

/* The thread's end empties its magazines. */
static void free_twice_in_thread(void)
{
	pthread_t t;

	if (!pthread_create(&t, NULL, free_twice_in, mt_malloc(60)))
		pthread_join(t, NULL);
}

/* More than shelf and depot hold: a magazine goes to the slabs. */
static void free_twice_of_many(void)
{
	static void *p[40000];

	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = mt_malloc(64);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		mt_free(p[i]);
		if (i % 63 == 30)
			mt_free(p[i - 3]);
	}
}

/* In different magazines: neither is looked at before the end. */
static void free_twice_among(size_t nr)
{
	static void *p[2000];

	for (size_t i = 0; i < nr; i++)
		p[i] = mt_malloc(64);
	for (size_t i = 0; i < nr; i++)
		mt_free(p[i]);
	mt_free(p[nr / 3]);
	mt_at_exit();
}

static void free_twice_among_few(void)
{
	free_twice_among(10);
}

static void free_twice_among_many(void)
{
	free_twice_among(2000);
}

static void test_plain(void **arg)
{
	(void)arg;
	must_die(free_twice_and_exit, "", SAYS("double free", "malloc-64"));
	must_die(free_twice_and_trim, "", SAYS("double free", "malloc-64"));
	must_die(free_twice_in_thread, "", SAYS("double free", "malloc-64"));
	must_die(free_inside_frame, "", SAYS("invalid pointer", "malloc-4096"));
	must_die(free_twice_of_many, "", SAYS("double free", "malloc-64"));
	must_die(free_twice_among_few, "", SAYS("double free", "malloc-64"));
	must_die(free_twice_among_many, "", SAYS("double free", "malloc-64"));
	must_die(free_stack, "", SAYS("invalid pointer"));
	must_die(who_frees_foreign, "",
		 SAYS("found by thread", "    who_frees+0x"));
	assert_int_equal(run(all_is_well, ""), 0);
	assert_string_equal(said, "");
}

/* ---- mallopt(M_CHECK_ACTION)
 * ----------------------------------------------------- */

static int action;

static void act(void)
{
	char *p;

	if (!mt_mallopt(M_CHECK_ACTION, action))
		_exit(9);
	p = mt_malloc(100);
	mt_free(p + 16);
	mt_free(p);
	mt_free(p);
	_exit(5);
}

static void test_check_action(void **arg)
{
	(void)arg;
	for (int i = 0; i < 2; i++) {
		const char *mode = i ? "debug" : "hardened";

		action = 0;
		assert_int_equal(WEXITSTATUS(run(act, mode)), 5);
		assert_string_equal(said, "");
		action = 1;
		assert_int_equal(WEXITSTATUS(run(act, mode)), 5);
		assert_non_null(strstr(said, "pointer into an object: 0x"));
		assert_non_null(strstr(said, "double free"));
		action = 2;
		assert_int_equal(WTERMSIG(run(act, mode)), SIGABRT);
		assert_string_equal(said, "");
		action = 5;
		assert_int_equal(WEXITSTATUS(run(act, mode)), 5);
		assert_non_null(strstr(said, "pointer into an object\n"));
		action = 7;
		assert_int_equal(WTERMSIG(run(act, mode)), SIGABRT);
		assert_string_equal(
			said, "mmkit-malloc: free(): pointer into an object\n");
	}
}

/* ---- options
 * ---------------------------------------------------------------------- */

static void print_at_exit(void)
{
	void *volatile p = mt_malloc(300);

	(void)p;
	mt_at_exit();
}

static void test_options(void **arg)
{
	(void)arg;
	if (run(print_at_exit, "slabinfo"))
		fail_msg("said: %s", said);
	assert_non_null(strstr(said, "slabinfo - version: 2.1\n"));
	assert_non_null(strstr(said, "\nmalloc-320 "));
	assert_int_equal(run(print_at_exit, "stats"), 0);
	assert_non_null(strstr(said, "mmkit-malloc: RAM touched"));
	assert_int_equal(run(print_at_exit, "nonsense"), 0);
	assert_non_null(strstr(said, "unknown option \"nonsense\""));
	assert_int_equal(run(print_at_exit, "debug,,x=3,quarantine=12"), 0);
	assert_string_equal(
		said, "mmkit-malloc: MMKIT_OPTIONS: unknown option \"x=3\"\n");
	assert_int_equal(run(print_at_exit, "quarantine=1x"), 0);
	assert_non_null(strstr(said, "no number of KiB in \"quarantine=1x\""));
	assert_int_equal(run(print_at_exit, "fail=0"), 0);
	assert_non_null(strstr(said, "no number from 1 in \"fail=0\""));
	assert_int_equal(run(print_at_exit, ""), 0);
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hardened),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_check_action),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
