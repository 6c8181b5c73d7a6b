/* SPDX-License-Identifier: MIT */
/*
 * The parts of mmkit sweep: how points are numbered and called, that a point is
 * run by one at a time and its result is whole or not there, what tables say.
 * Runs are stand-ins: shell scripts that print what they are told to.
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sweep.h"

#define WHOLE                                                             \
	"{\"runs\":[{\"mem_bytes\":1048576,\"pageins\":6,"                \
	"\"major_faults\":4,\"min_pageins\":2,\"vmstat\":{\"pswpin\":5}," \
	"\"digest\":\"d1\"}]}"

static char dir[64], fake[96], calls[96];

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* A run that notes its arguments and then does TEXT. */
static void fake_run(const char *text)
{
	char script[512];

	snprintf(script, sizeof(script), "#!/bin/sh\necho \"$*\" >>%s\n%s\n",
		 calls, text);
	write_file(fake, script, 0755);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/mmkit-sweep-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(fake, sizeof(fake), "%s/run", dir);
	snprintf(calls, sizeof(calls), "%s/calls", dir);
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) ? -1 : 0;
}

static void make_plan(struct sweep_plan *p)
{
	*p = (struct sweep_plan){0};
	sweep_list_parse(p, SWEEP_MEM, "1M,2048K,25%");
	sweep_list_parse(p, SWEEP_POLICY, "classic,arc");
	sweep_list_parse(p, SWEEP_SWAP, "0,64M");
	sweep_set_seeds(p, 2);
	sweep_add_trace(p, "traces/loop.trace");
	sweep_add_trace(p, "traces/sort.trace");
	sweep_plan_finish(p);
}

static void open_sweep(struct sweep *s, const struct sweep_plan *p)
{
	sweep_open(s, p, dir);
	free(s->self);
	s->self = sweep_printf("%s", fake);
}

static void numbers(void **state)
{
	struct sweep_plan p;
	char *label;

	(void)state;
	make_plan(&p);
	assert_int_equal(p.nr_points, 2 * 2 * 3 * 2 * 2);
	for (u32 i = 0; i < p.nr_points; i++) {
		struct sweep_at at = sweep_at(&p, i);

		assert_int_equal(sweep_point_of(&p, &at), i);
	}
	label = sweep_label(&p, p.nr_points - 1);
	assert_string_equal(label, "sort.trace --swap 64M --policy arc "
				   "--mem 25% --seed 2");
	free(label);
	label = sweep_label(&p, 2);
	assert_string_equal(label, "loop.trace --swap 0 --policy classic "
				   "--mem 2M --seed 1");
	free(label);
	/* One look for a size for each trace; it is not a point. */
	assert_int_equal(sweep_nr_fits(&p), 2);
	sweep_plan_free(&p);
}

static bool finish(struct sweep *s, struct sweep_child *c)
{
	int status;

	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	return sweep_end(s, c, status);
}

static u32 nr_calls(void)
{
	FILE *f = fopen(calls, "r");
	u32 n = 0;
	int c;

	while (f && (c = fgetc(f)) != EOF)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

static void one_at_a_time(void **state)
{
	struct sweep_child a = {0}, b = {0};
	struct sweep_plan p;
	struct sweep s;

	(void)state;
	make_plan(&p);
	open_sweep(&s, &p);
	fake_run("sleep 0.2; echo '" WHOLE "'");
	assert_int_equal(sweep_start(&s, 0, &a), SWEEP_STARTED);
	assert_int_equal(sweep_start(&s, 0, &b), SWEEP_TAKEN);
	assert_int_equal(sweep_start(&s, 1, &b), SWEEP_STARTED);
	assert_true(finish(&s, &a));
	assert_int_equal(sweep_start(&s, 0, &a), SWEEP_THERE);
	assert_true(finish(&s, &b));
	assert_int_equal(nr_calls(), 2);
	/* Whoever held it is gone without a result: it is free again. */
	assert_int_equal(sweep_start(&s, 3, &a), SWEEP_STARTED);
	assert_int_equal(kill(a.pid, SIGKILL), 0);
	assert_false(finish(&s, &a));
	assert_int_equal(sweep_start(&s, 3, &a), SWEEP_STARTED);
	assert_true(finish(&s, &a));
	sweep_close(&s);
	sweep_plan_free(&p);
}

static void try_run(struct sweep *s, u32 task, const char *text, bool good)
{
	struct sweep_child c = {0};

	fake_run(text);
	assert_int_equal(sweep_start(s, task, &c), SWEEP_STARTED);
	assert_int_equal(finish(s, &c), good);
	assert_int_equal(sweep_is_done(s, task), good);
	assert_int_equal(sweep_has_failed(s, task), !good);
}

static void whole_or_not(void **state)
{
	struct sweep_plan p;
	struct sweep s;
	char *path, line[64];
	FILE *f;

	(void)state;
	make_plan(&p);
	open_sweep(&s, &p);
	try_run(&s, 3, "echo '{\"runs\":[{\"mem_bytes\"'", false);
	try_run(&s, 3, "echo '{\"runs\":[]}'", false);
	try_run(&s, 3, "echo '" WHOLE "'; kill -9 $$", false);
	try_run(&s, 3, "echo '" WHOLE "'; echo why >&2; exit 3", false);
	path = sweep_task_path(&s, 3, ".failed");
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_string_equal(line, "why\n");
	assert_non_null(fgets(line, sizeof(line), f));
	assert_string_equal(line, "exit status 3\n");
	fclose(f);
	free(path);
	try_run(&s, 3, "echo '" WHOLE "'", true);
	sweep_close(&s);
	sweep_plan_free(&p);
}

/* A percentage becomes the bytes that its own task has found. */
static void percent(void **state)
{
	struct sweep_child c = {0};
	struct sweep_plan p;
	struct sweep s;
	char line[512] = "";
	FILE *f;

	(void)state;
	make_plan(&p);
	open_sweep(&s, &p);
	try_run(&s, p.nr_points + 1, "echo '" WHOLE "'", true);
	fake_run("echo '" WHOLE "'");
	assert_int_equal(unlink(calls), 0);
	/* The second trace's first point of 25%. */
	assert_int_equal(sweep_start(&s, p.nr_points / 2 + 4, &c),
			 SWEEP_STARTED);
	assert_true(finish(&s, &c));
	f = fopen(calls, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	assert_non_null(strstr(line, "sort.trace --json --quiet --mem 1M "
				     "--policy classic --seed 1 --cpus 1\n"));
	sweep_close(&s);
	sweep_plan_free(&p);
}

static void tables(void **state)
{
	struct sweep_plan p;
	struct sweep_row *rows;
	struct sweep_stat st;
	char *text = NULL;
	size_t len;
	struct sweep s;
	FILE *f;

	(void)state;
	make_plan(&p);
	open_sweep(&s, &p);
	try_run(&s, 0, "echo '" WHOLE "'", true);
	rows = sweep_collect(&s);
	assert_true(rows[0].there && !rows[1].there);
	st = sweep_stat(&p, rows, 0, SWEEP_PAGEINS);
	assert_int_equal(st.nr, 1);
	assert_true(st.mean > 2.999 && st.mean < 3.001);
	/* Another seed of the same point. */
	rows[1] = rows[0];
	rows[1].min_pageins = 1;
	st = sweep_stat(&p, rows, 1, SWEEP_PAGEINS);
	assert_int_equal(st.nr, 2);
	assert_true(st.mean > 4.499 && st.mean < 4.501);
	assert_true(st.min < 3.001 && st.max > 5.999);
	/* No optimum, or none but zero: no ratio. */
	rows[1].min_pageins = rows[0].min_pageins = 0;
	assert_int_equal(sweep_stat(&p, rows, 0, SWEEP_MAJOR).nr, 0);
	f = open_memstream(&text, &len);
	sweep_put_csv(f, &p, rows);
	assert_int_equal(fclose(f), 0);
	assert_non_null(strstr(text, "\nloop.trace,0,1,never,off,classic,1M,1,"
				     "1048576,0,4,6,5,"));
	free(text);
	free(rows);
	sweep_close(&s);
	sweep_plan_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(whole_or_not, setup, teardown),
		cmocka_unit_test_setup_teardown(percent, setup, teardown),
		cmocka_unit_test_setup_teardown(tables, setup, teardown),
	};

	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
