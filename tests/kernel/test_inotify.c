/* SPDX-License-Identifier: MIT */
/*
 * Watches of files where the running kernel cannot be asked: a queue that runs
 * over, no memory, a file system that goes, readers that wait, many tasks.
 * The rest is in test_event_both.c.
 */
#include "sim_machine.h"

#include "base/fail.h"
#include "event_files.h"

#define IN_CREATE     0x100u
#define IN_DELETE     0x200u
#define IN_ALL	      0xfffu
#define IN_UNMOUNT    0x2000u
#define IN_Q_OVERFLOW 0x4000u
#define IN_IGNORED    0x8000u
#define IN_NONBLOCK   04000u
#define O_CREAT	      0100u
#define O_RDWR	      2u
#define BUF_AT	      8192u
#define BUF_BYTES     32768u

struct in_event {
	s32 wd;
	u32 mask, cookie, len;
};

static s64 on_path(u32 nr, const char *path, u64 a, u64 b)
{
	CHECK_EQ(user_write(area, path, strlen(path) + 1), 0);
	return CALL(nr, area, a, b);
}

static s64 watch(s64 in, const char *path, u32 mask)
{
	CHECK_EQ(user_write(area, path, strlen(path) + 1), 0);
	return CALL(254, in, area, mask);
}

static void touch(const char *path)
{
	s64 fd = on_path(2, path, O_RDWR | O_CREAT, 0600);

	CHECK(fd >= 0);
	CHECK_EQ(CALL(3, fd), 0);
}

static void mount_tmpfs(const char *dir)
{
	CHECK_EQ(on_path(83, dir, 0755, 0), 0);
	CHECK_EQ(user_write(area + 4096, "tmpfs", 6), 0);
	CHECK_EQ(CALL(165, area + 4096, area, area + 4096, 0, 0), 0);
}

/* Read what there is: counts by the bits of MASK and all. */
static u32 drain(s64 in, u32 mask, u32 *matching, struct in_event *last)
{
	static u8 bytes[BUF_BYTES];
	u32 all = 0;
	s64 n;

	*matching = 0;
	while ((n = CALL(0, in, area + BUF_AT, BUF_BYTES)) > 0) {
		CHECK_EQ(user_read(bytes, area + BUF_AT, (u64)n), 0);
		for (s64 i = 0; i < n; i += (s64)(sizeof(*last) + last->len)) {
			memcpy(last, bytes + i, sizeof(*last));
			*matching += (last->mask & mask) != 0;
			all++;
		}
	}
	CHECK_EQ(n, -11);
	return all;
}

/* ---- ends ------------------------------------------------------------------
 */

static int overflow_body(void)
{
	s64 in = CALL(294, IN_NONBLOCK);
	struct in_event last;
	u32 over;

	CHECK_EQ(on_path(83, "/d", 0755, 0), 0);
	CHECK_EQ(watch(in, "/d", IN_CREATE | IN_DELETE), 1);
	/* Two events a round, none like the one before. */
	for (u32 i = 0; i < 8300; i++) {
		touch("/d/f");
		CHECK_EQ(on_path(87, "/d/f", 0, 0), 0);
	}
	CHECK_EQ(drain(in, IN_Q_OVERFLOW, &over, &last), 16384 + 1);
	CHECK_EQ(over, 1);
	CHECK_EQ(last.mask, IN_Q_OVERFLOW);
	CHECK_EQ(last.wd, -1);
	/* And it is heard again. */
	touch("/d/f");
	CHECK_EQ(drain(in, IN_CREATE, &over, &last), 1);
	CHECK_EQ(over, 1);
	CHECK_EQ(CALL(3, in), 0);
	return 0;
}

/* An event for which there is no memory is one too many. */
static int memory_body(void)
{
	s64 in = CALL(294, IN_NONBLOCK);
	struct fail_result r;
	struct in_event last;
	u32 over, lost = 0;

	CHECK_EQ(on_path(83, "/d", 0755, 0), 0);
	CHECK_EQ(watch(in, "/d", IN_ALL), 1);
	for (u64 n = 1; n < 60; n++) {
		s64 fd;

		fail_arm_nth(FAIL_MASK(FAIL_SLAB), n, false);
		fd = on_path(2, "/d/f", O_RDWR | O_CREAT, 0600);
		if (fd >= 0)
			(void)CALL(3, fd);
		r = fail_disarm();
		CHECK(fd >= 0 || fd == -12);
		(void)drain(in, IN_Q_OVERFLOW, &over, &last);
		lost += over;
		if (!r.fired)
			break;
		(void)on_path(87, "/d/f", 0, 0);
		(void)drain(in, IN_Q_OVERFLOW, &over, &last);
	}
	CHECK(lost >= 2);
	/* A watch that cannot be made is not there. */
	fail_arm_nth(FAIL_MASK(FAIL_SLAB), 2, true);
	CHECK_EQ(watch(in, "/", IN_ALL), -12);
	(void)fail_disarm();
	CHECK_EQ(CALL(255, in, 2), -22);
	CHECK_EQ(CALL(3, in), 0);
	return 0;
}

static int unmount_body(void)
{
	s64 in = CALL(294, IN_NONBLOCK);
	struct in_event last;
	u32 n;

	mount_tmpfs("/m");
	touch("/m/f");
	CHECK_EQ(watch(in, "/m", IN_ALL), 1);
	CHECK_EQ(watch(in, "/m/f", IN_ALL), 2);
	CHECK_EQ(watch(in, "/", IN_ALL), 3);
	/* What is watched does not keep it mounted. */
	CHECK_EQ(on_path(166, "/m", 0, 0), 0);
	CHECK_EQ(drain(in, IN_UNMOUNT, &n, &last), 4);
	CHECK_EQ(n, 2);
	CHECK_EQ(last.mask, IN_IGNORED);
	CHECK_EQ(CALL(255, in, 1), -22);
	CHECK_EQ(CALL(255, in, 3), 0);
	/* With events and watches left. */
	CHECK_EQ(watch(in, "/", IN_ALL), 4);
	touch("/f");
	CHECK_EQ(CALL(3, in), 0);
	return 0;
}

static void ends(void **state)
{
	(void)state;
	EF_RUN(overflow_body, .mem = 64UL << 20);
	EF_RUN(memory_body);
	EF_RUN(unmount_body);
}

/* ---- several tasks ---------------------------------------------------------
 */

#define ROUNDS 60u

struct maker {
	u32 nr;
	u64 at; /* its part of the area */
};

static s64 here(const struct maker *m, u32 call, const char *path, u64 a)
{
	CHECK_EQ(user_write(area + m->at, path, strlen(path) + 1), 0);
	return CALL(call, area + m->at, a, 0600);
}

static void make_files(void *arg)
{
	const struct maker *m = arg;
	char name[32];

	for (u32 i = 0; i < ROUNDS; i++) {
		s64 fd;

		snprintf(name, sizeof(name), "/d/%u-%u", m->nr, i);
		fd = here(m, 2, name, O_RDWR | O_CREAT);
		CHECK(fd >= 0);
		CHECK_EQ(CALL(3, fd), 0);
		CHECK_EQ(here(m, 87, name, 0), 0);
	}
}

static s64 waiting;

/* Waits for each of the events that the makers cause. */
static void reader(void *arg)
{
	u64 at = 32768 + 8192, need = 2UL * ROUNDS * 2, got = 0;
	struct in_event e;
	u8 bytes[4096];

	(void)arg;
	while (got < need) {
		s64 n = CALL(0, waiting, area + at, sizeof(bytes));

		CHECK(n > 0);
		CHECK_EQ(user_read(bytes, area + at, (u64)n), 0);
		for (s64 i = 0; i < n; i += (s64)(sizeof(e) + e.len)) {
			memcpy(&e, bytes + i, sizeof(e));
			CHECK(e.mask == IN_CREATE || e.mask == IN_DELETE);
			CHECK_EQ(e.len, 16);
			got++;
		}
	}
	CHECK_EQ(got, need);
}

/* Watches come and go meanwhile. */
static void watcher(void *arg)
{
	const struct maker *m = arg;

	for (u32 i = 0; i < ROUNDS; i++) {
		s64 in = CALL(294, IN_NONBLOCK), wd;

		CHECK(in >= 0);
		CHECK_EQ(user_write(area + m->at, "/d", 3), 0);
		wd = CALL(254, in, area + m->at, i % 2 ? IN_ALL : 0x80000fffu);
		CHECK_EQ(wd, 1);
		machine_yield();
		(void)CALL(0, in, area + m->at, 100);
		if (i % 3)
			(void)CALL(255, in, wd);
		CHECK_EQ(CALL(3, in), 0);
	}
}

static int tasks_body(void)
{
	struct maker m[3] = {{0, 8192}, {1, 12288}, {2, 16384}};
	struct es_task *t[4];

	waiting = CALL(294, 0);
	CHECK_EQ(on_path(83, "/d", 0755, 0), 0);
	CHECK_EQ(watch(waiting, "/d", IN_CREATE | IN_DELETE), 1);
	t[0] = es_spawn_files(&es.task[0], reader, NULL);
	t[1] = es_spawn_files(&es.task[0], make_files, &m[0]);
	t[2] = es_spawn_files(&es.task[0], make_files, &m[1]);
	t[3] = es_spawn_files(&es.task[0], watcher, &m[2]);
	for (u32 i = 0; i < 4; i++)
		es_join(t[i]);
	CHECK_EQ(CALL(3, waiting), 0);
	return 0;
}

static void tasks(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 6; seed++)
		EF_RUN(tasks_body, .cpus = 1 + (int)(seed % 3), .seed = seed,
		       .explore = seed % 2 == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends),
		cmocka_unit_test(tasks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
