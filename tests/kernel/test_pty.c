/* SPDX-License-Identifier: MIT */
/* Pseudoterminals: names, both directions, signals, ends, and two tasks that
 * push bytes through. */
#include "sim_machine.h"

#include "event/tty.h"
#include "event_stub.h"

#define TIOCGPTN   0x80045430u
#define TIOCSPTLCK 0x40045431u
#define TIOCGWINSZ 0x5413u
#define TIOCSWINSZ 0x5414u
#define TCGETS	   0x5401u
#define TCSETS	   0x5402u
#define TIOCSTI	   0x5412u

static struct mm_struct *pm;
static uva_t area;

static s64 on_path(u32 nr, const char *path, u64 a, u64 b)
{
	CHECK_EQ(user_write(area, path, strlen(path) + 1), 0);
	return CALL(nr, area, a, b);
}

#define OPEN(path, flags) on_path(2, path, flags, 0600)

static s64 write_fd(s64 fd, const char *text, u64 n)
{
	CHECK_EQ(user_write(area + 4096, text, n), 0);
	return CALL(1, fd, area + 4096, n);
}

/* What stands ready at FD is TEXT. */
static void expect(s64 fd, const char *text)
{
	char got[256] = "";
	s64 n = CALL(0, fd, area + 4096, 200);

	CHECK_EQ(n, (s64)strlen(text));
	CHECK_EQ(user_read(got, area + 4096, (u64)n), 0);
	CHECK(!memcmp(got, text, (size_t)n));
}

static s64 ioctl_word(s64 fd, u32 cmd, u32 *word)
{
	s64 ret;

	CHECK_EQ(user_write(area + 4096, word, 4), 0);
	ret = CALL(16, fd, cmd, area + 4096);
	CHECK_EQ(user_read(word, area + 4096, 4), 0);
	return ret;
}

static void unlock(s64 master)
{
	u32 off = 0;

	CHECK_EQ(ioctl_word(master, TIOCSPTLCK, &off), 0);
}

static void set_raw(s64 fd)
{
	struct ktermios t;

	CHECK_EQ(CALL(16, fd, TCGETS, area + 4096), 0);
	CHECK_EQ(user_read(&t, area + 4096, sizeof(t)), 0);
	t.iflag = t.oflag = t.lflag = 0;
	CHECK_EQ(user_write(area + 4096, &t, sizeof(t)), 0);
	CHECK_EQ(CALL(16, fd, TCSETS, area + 4096), 0);
}

static int pty_main(void *arg)
{
	int (*body)(void) = (int (*)(void))(uintptr_t)arg;
	int ret;

	pm = tm_mm();
	area = tm_map(pm, 64);
	tm_use(pm);
	es_start_files(pm);
	CHECK_EQ(on_path(83, "/dev/pts", 0755, 0), 0);
	CHECK_EQ(user_write(area + 512, "devpts", 7), 0);
	CHECK_EQ(user_write(area + 600, "gid=5,mode=620", 15), 0);
	CHECK_EQ(user_write(area, "/dev/pts", 9), 0);
	CHECK_EQ(CALL(165, area + 512, area, area + 512, 0, area + 600), 0);
	ret = body();
	es_stop_files();
	mm_put(pm);
	return ret;
}

#define PTY_RUN(fn, ...)                                           \
	tm_run(&(struct tm_config){.body = pty_main,               \
				   .arg = (void *)(uintptr_t)(fn), \
				   __VA_ARGS__})

/* ---- names -----------------------------------------------------------------
 */

static int names_body(void)
{
	s64 m[3], s;
	u32 n = 7;
	struct {
		u64 dev, ino, nlink;
		u32 mode, uid, gid, pad;
		u64 rdev, rest[13];
	} st;

	CHECK_EQ(OPEN("/dev/pts/0", O_RDWR), -ENOENT);
	for (u32 i = 0; i < 3; i++) {
		m[i] = OPEN("/dev/ptmx", O_RDWR | O_NOCTTY);
		CHECK(m[i] >= 0);
		CHECK_EQ(ioctl_word(m[i], TIOCGPTN, &n), 0);
		CHECK_EQ(n, i);
	}
	CHECK_EQ(OPEN("/dev/pts/1", O_RDWR | O_NOCTTY), -EIO); /* locked */
	unlock(m[1]);
	s = OPEN("/dev/pts/1", O_RDWR | O_NOCTTY);
	CHECK(s >= 0);
	CHECK_EQ(on_path(4, "/dev/pts/1", area + 4096, 0), 0);
	CHECK_EQ(user_read(&st, area + 4096, sizeof(st)), 0);
	CHECK_EQ(st.mode, S_IFCHR | 0620);
	CHECK_EQ(st.gid, 5);
	CHECK_EQ(st.rdev, MKDEV(136, 1));
	/* Its number is taken until the slave is closed as well. */
	CHECK_EQ(CALL(3, m[1]), 0);
	CHECK_EQ(OPEN("/dev/pts/1", O_RDWR), -ENOENT);
	m[1] = OPEN("/dev/ptmx", O_RDWR);
	CHECK_EQ(ioctl_word(m[1], TIOCGPTN, &n), 0);
	CHECK_EQ(n, 3);
	CHECK_EQ(CALL(3, s), 0);
	CHECK_EQ(CALL(3, m[1]), 0);
	m[1] = OPEN("/dev/ptmx", O_RDWR);
	CHECK_EQ(ioctl_word(m[1], TIOCGPTN, &n), 0);
	CHECK_EQ(n, 1);
	for (u32 i = 0; i < 3; i++)
		CHECK_EQ(CALL(3, m[i]), 0);
	/* All there are, and one more. */
	es.nofile = 2000;
	for (u32 i = 0; i < 1024; i++)
		CHECK(OPEN("/dev/ptmx", O_RDWR) >= 0);
	CHECK_EQ(OPEN("/dev/ptmx", O_RDWR), -ENOSPC);
	for (u32 i = 0; i < 1024; i++)
		CHECK_EQ(CALL(3, i), 0);
	return 0;
}

/* ---- bytes and signals -----------------------------------------------------
 */

static int bytes_body(void)
{
	s64 m = OPEN("/dev/ptmx", O_RDWR | O_NONBLOCK), s;
	u32 size = 0x00500018, got = 0;

	/* Nobody has the terminal open. */
	CHECK_EQ(write_fd(m, "x", 1), -EIO);
	CHECK_EQ(CALL(0, m, area + 4096, 10), -EAGAIN);
	unlock(m);
	s = OPEN("/dev/pts/0", O_RDWR | O_NOCTTY | O_NONBLOCK);
	CHECK_EQ(CALL(0, s, area + 4096, 10), -EAGAIN);
	CHECK_EQ(write_fd(m, "ab", 2), 2);
	CHECK_EQ(CALL(0, s, area + 4096, 10), -EAGAIN); /* no line yet */
	CHECK_EQ(write_fd(m, "c\r", 2), 2);
	expect(s, "abc\n");
	expect(m, "abc\r\n");
	CHECK_EQ(write_fd(s, "one\ntwo", 7), 7);
	expect(m, "one\r\ntwo");
	/* Size and settings are the terminal's, from either side. */
	CHECK_EQ(user_write(area + 4200, &got, 4), 0);
	CHECK_EQ(ioctl_word(m, TIOCSWINSZ, &size), 0);
	CHECK_EQ(ioctl_word(s, TIOCGWINSZ, &got), 0);
	CHECK_EQ(got, size);
	set_raw(m);
	CHECK_EQ(write_fd(m, "\3\r", 2), 2);
	expect(s, "\3\r");
	CHECK_EQ(CALL(0, m, area + 4096, 10), -EAGAIN); /* no echo */
	/* The ring fills; the rest is not taken. */
	for (got = 0; write_fd(s, "0123456789abcdef", 16) == 16;)
		got += 16;
	CHECK(got >= 4096 && got <= 8192);
	CHECK_EQ(write_fd(s, "x", 1), -EAGAIN);
	for (u32 k = 0; k < got; k += 16) {
		CHECK_EQ(CALL(0, m, area + 4096, 16), 16);
	}
	CHECK_EQ(write_fd(s, "x", 1), 1);
	/* The last slave goes: what there is, then the end. */
	CHECK_EQ(CALL(3, s), 0);
	CHECK_EQ(CALL(0, m, area + 4096, 100) > 0, true);
	CHECK_EQ(CALL(0, m, area + 4096, 100), -EIO);
	CHECK_EQ(write_fd(m, "x", 1), -EIO);
	s = OPEN("/dev/pts/0", O_RDWR | O_NOCTTY | O_NONBLOCK);
	CHECK_EQ(CALL(0, m, area + 4096, 100), -EAGAIN);
	/* The master goes. */
	CHECK_EQ(write_fd(m, "left", 4), 4);
	CHECK_EQ(CALL(3, m), 0);
	CHECK_EQ(CALL(0, s, area + 4096, 10), 0);
	CHECK_EQ(write_fd(s, "x", 1), -EIO);
	CHECK_EQ(CALL(3, s), 0);
	return 0;
}

static int control_body(void)
{
	s64 m = OPEN("/dev/ptmx", O_RDWR | O_NOCTTY), s;

	unlock(m);
	s = OPEN("/dev/pts/0", O_RDWR);
	CHECK(current->proc->tty);
	CHECK_EQ(write_fd(m, "\3", 1), 1);
	CHECK_EQ(es.sent[SIGINT], 1);
	CHECK_EQ(es.last_pgrp, current->proc->pgid);
	es_clear(&es.task[0]);
	/* The line is lost: the leader hears of it and has no terminal. */
	CHECK_EQ(CALL(3, m), 0);
	CHECK_EQ(es.sent[SIGHUP], 1);
	CHECK(!current->proc->tty);
	es_clear(&es.task[0]);
	CHECK_EQ(CALL(3, s), 0);
	return 0;
}

static void alone(void **state)
{
	(void)state;
	PTY_RUN(names_body, .mem = 64UL << 20);
	PTY_RUN(bytes_body);
	PTY_RUN(control_body);
}

/* ---- two tasks -------------------------------------------------------------
 */

#define STREAM_BYTES 40000u

struct side {
	s64 fd;
	u64 seed, at; /* bytes of the area */
};

static u8 stream_byte(u64 seed, u64 i)
{
	return (u8)((i * 2654435761u + seed) >> 7);
}

static void sender(void *arg)
{
	struct side *w = arg;
	u8 part[512];

	for (u64 i = 0; i < STREAM_BYTES;) {
		u64 n = min(1 + (i * 7 + w->seed) % sizeof(part),
			    STREAM_BYTES - i);
		s64 done;

		for (u64 k = 0; k < n; k++)
			part[k] = stream_byte(w->seed, i + k);
		CHECK_EQ(user_write(area + w->at, part, n), 0);
		done = CALL(1, w->fd, area + w->at, n);
		CHECK(done > 0);
		i += (u64)done;
	}
}

static void receiver(void *arg)
{
	struct side *r = arg;
	u8 part[512];

	for (u64 i = 0; i < STREAM_BYTES;) {
		s64 n = CALL(0, r->fd, area + r->at,
			     1 + (i * 3 + r->seed) % sizeof(part));

		CHECK(n > 0);
		CHECK_EQ(user_read(part, area + r->at, (u64)n), 0);
		for (s64 k = 0; k < n; k++)
			CHECK_EQ(part[k], stream_byte(r->seed, i + (u64)k));
		i += (u64)n;
	}
}

static int through_body(void)
{
	s64 m = OPEN("/dev/ptmx", O_RDWR), s;
	struct side w[2], r[2];
	struct es_task *t[4];

	unlock(m);
	s = OPEN("/dev/pts/0", O_RDWR | O_NOCTTY);
	set_raw(s);
	for (u64 i = 0; i < 2; i++) {
		w[i] = (struct side){i ? s : m, 11 * (i + 1), 8192 * (i + 1)};
		r[i] = (struct side){i ? m : s, 11 * (i + 1), 8192 * (i + 3)};
		t[i] = es_spawn_files(&es.task[0], sender, &w[i]);
		t[2 + i] = es_spawn_files(&es.task[0], receiver, &r[i]);
	}
	for (u32 i = 0; i < 4; i++)
		es_join(t[i]);
	CHECK_EQ(CALL(3, m), 0);
	CHECK_EQ(CALL(3, s), 0);
	return 0;
}

static void through(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 5; seed++)
		PTY_RUN(through_body, .cpus = 1 + (int)(seed % 3), .seed = seed,
			.explore = seed % 2 == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone),
		cmocka_unit_test(through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
