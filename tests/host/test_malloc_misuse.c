/* SPDX-License-Identifier: MIT */
/*
 * What the malloc library says of broken programs in its hardened and debug
 * modes. Each breaks in a process of its own, which must end by SIGABRT with
 * a message that names the object and its cache.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void must_die(void (*fn)(void), const char *options, const char *cache)
{
	int status = run(fn, options);

	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("status 0x%x, said: %s", (unsigned)status, said);
	if (!strstr(said, "mmkit-malloc: ") || !strstr(said, cache))
		fail_msg("said: %s", said);
}

static void free_twice(void)
{
	void *p = mt_malloc(60), *q = mt_malloc(60);

	mt_free(p);
	mt_free(q);
	mt_free(p);
}

static void *free_it(void *p)
{
	mt_free(p);
	return NULL;
}

static void free_twice_elsewhere(void)
{
	void *p = mt_malloc(200);
	pthread_t t;

	mt_free(p);
	if (!pthread_create(&t, NULL, free_it, p))
		pthread_join(t, NULL);
}

static void free_inside(void)
{
	char *p = mt_malloc(1000);

	mt_free(p + 16);
}

static void overflow_by_one(void)
{
	unsigned char *p = mt_malloc(96);

	p[96] ^= 0x55;
	mt_free(p);
}

static void underflow_by_one(void)
{
	unsigned char *p = mt_malloc(96);

	p[-1] ^= 0x55;
	mt_free(p);
}

/* Found when the object is handed out again. */
static void use_after_free(void)
{
	unsigned char *p = mt_malloc(512);

	mt_free(p);
	p[100] = 1;
	for (int i = 0; i < 100; i++)
		(void)!mt_malloc(512);
	mt_free(mt_malloc(512));
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

static void test_hardened(void **arg)
{
	(void)arg;
	must_die(free_twice, "hardened", "malloc-64");
	must_die(free_twice_elsewhere, "hardened", "malloc-208");
	must_die(free_inside, "hardened", "malloc-1024");
	assert_int_equal(run(all_is_well, "hardened"), 0);
	assert_string_equal(said, "");
}

static void test_debug(void **arg)
{
	(void)arg;
	must_die(free_twice, "debug", "malloc-64");
	must_die(free_inside, "debug", "malloc-1024");
	must_die(overflow_by_one, "debug", "malloc-96");
	must_die(underflow_by_one, "debug", "malloc-96");
	must_die(use_after_free, "debug", "malloc-512");
	assert_int_equal(run(all_is_well, "debug,hardened"), 0);
	assert_string_equal(said, "");
}

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
	assert_int_equal(run(print_at_exit, ""), 0);
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hardened),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
