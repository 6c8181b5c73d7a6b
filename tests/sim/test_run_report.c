/* SPDX-License-Identifier: MIT */
/* What a guest reports of itself over time: kept whole, bounded, and read with
 * care, for a guest may say anything. One thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first. */
#include <cmocka.h>

#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
	struct run_result r;
	struct run_parser p;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->p.res = &x->r;
	*state = x;
	run_parse(&x->p, "hello 1\n", 8);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	run_result_free(&x->r);
	free(x);
	return 0;
}

static void say(struct fixture *x, const char *text)
{
	run_parse(&x->p, text, strlen(text));
}

/* A file as part of a sample; a byte at a time, as it may arrive. */
static void send_file(struct fixture *x, const char *path, const char *text)
{
	char head[128];

	snprintf(head, sizeof(head), "data %s sample %zu\n", path,
		 strlen(text));
	say(x, head);
	for (const char *s = text; *s; s++)
		run_parse(&x->p, s, 1);
}

static void send_sample(struct fixture *x, u32 ms, const char *counters)
{
	char line[64];

	snprintf(line, sizeof(line), "time %llu\n",
		 (unsigned long long)ms * 1000000);
	say(x, line);
	send_file(x, "/proc/vmstat", counters);
}

static void test_one_sample_of_several_files(void **state)
{
	struct fixture *x = *state;
	const struct run_sample *s = &x->r.samples[0];

	say(x, "time 5000000\nmarks 10 20 30\n");
	send_file(x, "/proc/buddyinfo",
		  "Node 0, zone      DMA      1      0      2      0      0"
		  "      0      0      0      0      0      0 \n"
		  "Node 0, zone    DMA32      4      3      0      0      0"
		  "      0      0      0      0      0      7 \n");
	assert_int_equal(x->r.nr_samples, 0); /* the counters are missing */
	send_file(x, "/proc/vmstat", "nr_free_pages 123\npgfault 9\n");
	assert_int_equal(x->r.nr_samples, 1);
	assert_int_equal(s->ns, 5000000);
	assert_int_equal(s->min, 10);
	assert_int_equal(s->low, 20);
	assert_int_equal(s->high, 30);
	assert_int_equal(s->in_order[10], 7 << 10);
	assert_int_equal(s->in_order[3], 7 << 10);
	assert_int_equal(s->in_order[2], (7 << 10) + 2 * 4);
	assert_int_equal(s->in_order[1], (7 << 10) + 2 * 4 + 3 * 2);
	assert_int_equal(s->in_order[0], (7 << 10) + 2 * 4 + 3 * 2 + 5);
	assert_int_equal(run_vmstat_in(s->vmstat, "nr_free_pages"), 123);
	/* What was said once holds until it is said anew. */
	send_sample(x, 6, "nr_free_pages 124\n");
	assert_int_equal(x->r.samples[1].low, 20);
}

static void test_samples_are_bounded(void **state)
{
	struct fixture *x = *state;
	char text[64];
	u32 nr = 5 * RUN_MAX_SAMPLES;

	for (u32 i = 0; i < nr; i++) {
		snprintf(text, sizeof(text), "pgfault %u\n", i);
		send_sample(x, i, text);
		assert_true(x->r.nr_samples <= RUN_MAX_SAMPLES);
	}
	/* From the beginning on, evenly. */
	assert_true(x->r.nr_samples > RUN_MAX_SAMPLES / 2);
	for (u32 i = 0; i < x->r.nr_samples; i++) {
		const struct run_sample *s = &x->r.samples[i];

		assert_int_equal(s->ns, i * x->r.every * 1000000);
		assert_int_equal(run_vmstat_in(s->vmstat, "pgfault"),
				 i * x->r.every);
	}
	/* The last that came is the end, kept or not. */
	assert_int_equal(x->r.guest_ns, (nr - 1) * 1000000UL);
	assert_int_equal(run_counter(&x->r, "pgfault"), nr - 1);
}

/* Who had how much: numbers, and a name that may be anything. */
static void test_tasks_and_groups(void **state)
{
	struct fixture *x = *state;
	const struct shares *t = &x->r.tasks, *g = &x->r.groups;

	say(x, "time 5000000\n");
	send_file(x, "tasks",
		  "5 100 20 3 7 sh\n12 4 0 0 0 a b) (c\n\nnonsense\n");
	send_file(x, "groups", "4096 0 max 8192 /a\n8192 4096 max max /b c\n");
	say(x, "time 6000000\n");
	send_file(x, "tasks", "12 8 0 0 0 a b) (c\n");
	send_file(x, "groups", "12288 0 16384 max /a\n");
	assert_int_equal(t->nr_samples, 2);
	assert_int_equal(t->owner[0].key, 5);
	assert_string_equal(t->owner[0].name, "sh (5)");
	assert_int_equal(t->owner[0].peak, 130 * 1024);
	assert_int_equal(t->owner[0].v[SHARE_SWAP][0], 7 * 1024);
	assert_int_equal(t->owner[0].v[SHARE_SWAP][1], SHARES_NONE);
	assert_string_equal(t->owner[1].name, "a b) (c (12)");
	assert_int_equal(t->owner[1].v[SHARE_ANON][1], 8 * 1024);
	assert_string_equal(g->owner[0].name, "/a");
	assert_int_equal(g->owner[0].v[SHARE_MAX][0], 8192);
	assert_int_equal(g->owner[0].v[SHARE_HIGH][0], SHARES_NONE);
	assert_int_equal(g->owner[0].v[SHARE_HIGH][1], 16384);
	assert_int_equal(g->owner[0].v[SHARE_MAX][1], SHARES_NONE);
	assert_string_equal(g->owner[1].name, "/b c");
	assert_int_equal(g->owner[1].v[SHARE_SWAPPED][0], 4096);
}

/* Only what was asked for becomes a file, whatever a guest says. */
static void test_names_of_dumps_are_ours(void **state)
{
	struct fixture *x = *state;

	assert_true(run_dump_knows("/proc/buddyinfo"));
	assert_true(run_dump_knows("/sys/devices/system/node/node12/meminfo"));
	assert_false(run_dump_knows("/proc/buddyinf"));
	assert_false(run_dump_knows("/proc/../../etc/passwd"));
	assert_false(run_dump_knows("/sys/devices/system/node/node/meminfo"));
	assert_false(run_dump_knows("/sys/devices/system/node/node1/../x"));
	assert_false(
		run_dump_knows("/sys/devices/system/node/node0/node1/meminfo"));
	/* Without a directory nothing is written. */
	say(x, "data /proc/buddyinfo dump 3\nabc");
	assert_int_equal(x->r.nr_dumped, 0);
}

static void test_frames_are_bounded(void **state)
{
	struct fixture *x = *state;
	char text[128];

	for (u32 i = 0; i < 7 * RUN_MAX_SHOTS; i++) {
		snprintf(text, sizeof(text), "time %llu\n",
			 (unsigned long long)i);
		say(x, text);
		snprintf(text, sizeof(text), "frames in a cell: 8\nab.%c\n",
			 'a' + i % 26);
		send_file(x, "/proc/mmkit/frames", text);
		assert_true(x->r.nr_shots <= RUN_MAX_SHOTS);
	}
	assert_int_equal(x->r.cells, 4);
	assert_int_equal(x->r.cell_order, 3);
	assert_true(x->r.nr_shots > RUN_MAX_SHOTS / 2);
	for (u32 i = 0; i < x->r.nr_shots; i++) {
		u64 nth = i * x->r.shots_every;

		assert_int_equal(x->r.shots[i].ns, nth);
		assert_int_equal(x->r.shots[i].cells[3], 'a' + nth % 26);
	}
}

/* More memory, other cells: what was seen before cannot stand beside it. */
static void test_frames_of_one_size(void **state)
{
	struct fixture *x = *state;

	send_file(x, "/proc/mmkit/frames", "frames in a cell: 1\nabc\n");
	send_file(x, "/proc/mmkit/frames", "frames in a cell: 1\nabd\n");
	assert_int_equal(x->r.nr_shots, 2);
	send_file(x, "/proc/mmkit/frames", "frames in a cell: 2\nab\n");
	assert_int_equal(x->r.nr_shots, 1);
	assert_string_equal(x->r.shots[0].cells, "ab");
}

static void test_nonsense(void **state)
{
	struct fixture *x = *state;

	send_file(x, "/proc/mmkit/frames", "");
	send_file(x, "/proc/mmkit/frames", "frames in a cell: x\nabc\n");
	send_file(x, "/proc/mmkit/frames", "frames in a cell: 1");
	assert_true(x->r.nr_shots <= 1);
	send_file(x, "/proc/buddyinfo", "Node 0, zone");
	send_file(x, "/proc/buddyinfo", "Node 0, zone DMA 1 2\nx\n\n, zone");
	send_file(x, "/proc/buddyinfo", "\n\n");
	say(x, "marks\nmarks x y z\nmarks 1\n");
	send_sample(x, 1, "");
	send_sample(x, 2, "pgfault\nfault 3x\n 4\n");
	assert_int_equal(x->r.samples[0].min, 1);
	assert_int_equal(x->r.samples[0].in_order[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_one_sample_of_several_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_samples_are_bounded, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_tasks_and_groups, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_names_of_dumps_are_ours,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames_are_bounded, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_frames_of_one_size, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
