/* SPDX-License-Identifier: MIT */
/*
 * The kernel's log for programs: records of /dev/kmsg, syslog(2) with buffers
 * of all sizes held against the log as a whole, readers that wait, a log that
 * runs over while it is read.
 */
#include "sim_machine.h"

#include "base/fail.h"
#include "base/prng.h"
#include "event_files.h"
#include "fs/fs.h"

#define BUF_AT	  8192u
#define BUF_BYTES 40960u
#define EPERM_	  (-1)
#define EINTR_	  (-4) /* or a restart */
#define EAGAIN_	  (-11)
#define EFAULT_	  (-14)
#define EINVAL_	  (-22)
#define ESPIPE_	  (-29)
#define EPIPE_	  (-32)

static s64 open_log(u32 flags)
{
	CHECK_EQ(user_write(area, "/dev/kmsg", 10), 0);
	return CALL(2, area, flags, 0);
}

static s64 read_at(s64 fd, char *to, u64 size)
{
	s64 n = CALL(0, fd, area + BUF_AT, size);

	if (n > 0) {
		CHECK_EQ(user_read(to, area + BUF_AT, (u64)n), 0);
		to[n] = '\0';
	}
	return n;
}

static s64 write_at(s64 fd, const char *text)
{
	CHECK_EQ(user_write(area + BUF_AT, text, strlen(text)), 0);
	return CALL(1, fd, area + BUF_AT, strlen(text));
}

static s64 syslog_at(int type, char *to, s64 len)
{
	s64 n = CALL(103, type, area + BUF_AT, len);

	if (n > 0 && to) {
		CHECK_EQ(user_read(to, area + BUF_AT, (u64)n), 0);
		to[n] = '\0';
	}
	return n;
}

/* The parts of a record; what is behind the semicolon is the result. */
static char *record(char *text, u32 *prio, u64 *seq)
{
	char *semi = strchr(text, ';');
	unsigned long long s, us;
	int used = 0;

	CHECK(semi);
	CHECK_EQ(sscanf(text, "%u,%llu,%llu,-;%n", prio, &s, &us, &used), 3);
	CHECK_EQ(used, semi + 1 - text);
	CHECK_EQ(text[strlen(text) - 1], '\n');
	text[strlen(text) - 1] = '\0';
	*seq = s;
	return semi + 1;
}

/* ---- /dev/kmsg -------------------------------------------------------------
 */

static const struct {
	const char *put, *got;
	u32 prio;
} lines[] = {
	{"<4>said so\n", "said so", 12},
	{"<14>twice", "twice", 14},
	{"<191>local7", "local7", 191},
	{"plain", "plain", 12},
	{"<x>none", "<x>none", 12},
	{"<", "<", 12},
	{"<>", "<>", 12},
	{"<7", "<7", 12},
	{"a\tb\\c\xff", "a\\x09b\\x5cc\\xff", 12},
	{"<6>two\nlines", "two\\x0alines", 14},
	{"", "", 12},
};

static int records_body(void)
{
	static char text[BUF_BYTES + 1];
	s64 fd = open_log(2 | O_NONBLOCK), n;
	u64 seq, last = 0;
	u32 prio;

	CHECK(fd >= 0);
	CHECK_EQ(CALL(8, fd, 0, 2), 0);
	CHECK_EQ(read_at(fd, text, 1000), EAGAIN_);
	for (u32 i = 0; i < ARRAY_SIZE(lines); i++) {
		CHECK_EQ(write_at(fd, lines[i].put), strlen(lines[i].put));
		CHECK_EQ(read_at(fd, text, 5), EINVAL_);
		n = read_at(fd, text, 1000);
		CHECK(n > 0);
		CHECK(!strcmp(record(text, &prio, &seq), lines[i].got));
		CHECK_EQ(prio, lines[i].prio);
		if (i)
			CHECK_EQ(seq, last + 1);
		last = seq;
		CHECK_EQ(read_at(fd, text, 1000), EAGAIN_);
	}
	/* The kernel's own. */
	pr_err("of the kernel\n");
	CHECK(read_at(fd, text, 1000) > 0);
	CHECK(!strcmp(record(text, &prio, &seq), "of the kernel"));
	CHECK_EQ(prio, 3);
	/* Memory that is not there: the record stays. */
	pr_info("kept");
	CHECK_EQ(CALL(0, fd, 4096, 1000), EFAULT_);
	CHECK_EQ(CALL(1, fd, 4096, 10), EFAULT_);
	CHECK(read_at(fd, text, 1000) > 0);
	CHECK(!strcmp(record(text, &prio, &seq), "kept"));
	CHECK_EQ(CALL(3, fd), 0);
	return 0;
}

static int seek_body(void)
{
	static char text[BUF_BYTES + 1];
	s64 fd = open_log(O_NONBLOCK), out = open_log(1);
	u64 first, seq;
	u32 prio;

	CHECK(read_at(fd, text, 1000) > 0);
	(void)record(text, &prio, &first);
	CHECK_EQ(first, 0);
	CHECK_EQ(CALL(8, fd, 1, 0), ESPIPE_);
	CHECK_EQ(CALL(8, fd, 0, 1), EINVAL_);
	CHECK_EQ(CALL(8, fd, 0, 4), EINVAL_);
	CHECK_EQ(CALL(8, fd, 0, 0), 0);
	CHECK(read_at(fd, text, 1000) > 0);
	(void)record(text, &prio, &seq);
	CHECK_EQ(seq, first);
	/* Behind dmesg -C. */
	CHECK_EQ(syslog_at(5, NULL, 0), 0);
	CHECK_EQ(write_at(out, "after"), 5);
	CHECK_EQ(CALL(8, fd, 0, 3), 0);
	CHECK(read_at(fd, text, 1000) > 0);
	CHECK(!strcmp(record(text, &prio, &seq), "after"));
	/* What was overwritten is told once. */
	CHECK_EQ(CALL(8, fd, 0, 0), 0);
	for (u32 i = 0; i < 1000; i++)
		pr_info("line %u of many", i);
	CHECK_EQ(read_at(fd, text, 1000), EPIPE_);
	CHECK(read_at(fd, text, 1000) > 0);
	(void)record(text, &prio, &first);
	CHECK(first > 200);
	CHECK(read_at(fd, text, 1000) > 0);
	(void)record(text, &prio, &seq);
	CHECK_EQ(seq, first + 1);
	/* SEEK_SET is the oldest that is there: nothing is lost from it on. */
	CHECK_EQ(CALL(8, fd, 0, 0), 0);
	CHECK(read_at(fd, text, 1000) > 0);
	(void)record(text, &prio, &seq);
	CHECK_EQ(seq, first);
	CHECK_EQ(CALL(3, fd), 0);
	CHECK_EQ(CALL(3, out), 0);
	return 0;
}

/* A wait is for something to read: a log can be written at any time. */
static s64 poll_one(s64 fd, s64 ms)
{
	struct {
		s32 fd;
		s16 events, revents;
	} p = {(s32)fd, ms ? 0x43 : 0x47, 0};
	s64 n;

	CHECK_EQ(user_write(area + 4096, &p, sizeof(p)), 0);
	n = CALL(7, area + 4096, 1, ms);
	CHECK(n >= 0);
	CHECK_EQ(user_read(&p, area + 4096, sizeof(p)), 0);
	return p.revents;
}

static int rights_body(void)
{
	static char text[BUF_BYTES + 1];
	s64 fd = open_log(1);

	/* Of who only writes there is nothing to read. */
	CHECK_EQ(poll_one(fd, 0), 4);
	CHECK_EQ(CALL(8, fd, 0, 0), -9);
	CHECK_EQ(CALL(3, fd), 0);
	fd = open_log(O_NONBLOCK);
	CHECK_EQ(poll_one(fd, 0) & 1, 1);
	CHECK_EQ(CALL(8, fd, 0, 2), 0);
	CHECK_EQ(poll_one(fd, 0) & 1, 0);
	CHECK_EQ(CALL(8, fd, 0, 0), 0);
	for (u32 i = 0; i < 1000; i++)
		pr_info("line %u of many", i);
	CHECK_EQ(poll_one(fd, 0) & 0xb, 0xb);
	CHECK_EQ(CALL(3, fd), 0);
	es.may = false;
	fd = open_log(0);
	CHECK(fd >= 0);
	CHECK_EQ(CALL(3, fd), 0);
	CHECK(syslog_at(3, text, 1000) > 0);
	CHECK_EQ(syslog_at(10, NULL, 0), PRINTK_RING_BYTES);
	CHECK_EQ(syslog_at(2, text, 1000), EPERM_);
	CHECK_EQ(syslog_at(5, NULL, 0), EPERM_);
	CHECK_EQ(syslog_at(8, NULL, 1), EPERM_);
	fs_sys.log.restricted = 1;
	CHECK_EQ(open_log(0), EPERM_);
	CHECK_EQ(syslog_at(3, text, 1000), EPERM_);
	CHECK_EQ(syslog_at(10, NULL, 0), EPERM_);
	fd = open_log(1);
	CHECK(fd >= 0);
	CHECK_EQ(CALL(3, fd), 0);
	es.may = true;
	CHECK_EQ(syslog_at(3, text, -1), EINVAL_);
	CHECK_EQ(CALL(103, 3, 0, 100), EINVAL_);
	CHECK_EQ(syslog_at(3, text, 0), 0);
	CHECK_EQ(syslog_at(11, text, 10), EINVAL_);
	CHECK_EQ(syslog_at(-1, text, 10), EINVAL_);
	CHECK_EQ(syslog_at(0, NULL, 0), 0);
	CHECK_EQ(syslog_at(1, NULL, 0), 0);
	return 0;
}

static int failing_body(void)
{
	static char text[BUF_BYTES + 1];

	/* The task's pages are there. */
	CHECK_EQ(CALL(3, open_log(0)), 0);
	CHECK(syslog_at(3, text, 100) > 0);
	for (u32 i = 0; i < 5; i++) {
		struct fail_result r;
		s64 ret;

		fail_arm_nth(FAIL_MASK(FAIL_SLAB), 1, true);
		ret = i == 0 ? open_log(0)
			     : syslog_at(i == 4 ? 9 : (int)i + 1, text, 100);
		r = fail_disarm();
		CHECK(r.fired);
		CHECK_EQ(ret, -12);
	}
	CHECK(syslog_at(3, text, 100) > 0);
	return 0;
}

static void kmsg(void **state)
{
	(void)state;
	EF_RUN(records_body);
	EF_RUN(seek_body);
	EF_RUN(rights_body);
	EF_RUN(failing_body);
}

/* ---- syslog(2) -------------------------------------------------------------
 */

/* The whole log as syslog(2) has it. */
static u64 whole(char *to, u64 size)
{
	struct printk_pos pos = {0};
	struct printk_line line;
	struct seq_buf s;

	seq_buf_init(&s, to, size);
	while (printk_read(&pos, &line))
		printk_text(&s, &line, true);
	return s.len;
}

static void some_lines(struct prng *r, u32 nr)
{
	char text[300];

	for (u32 i = 0; i < nr; i++) {
		u64 len = prng_below(r, sizeof(text) - 1);

		for (u64 c = 0; c < len; c++)
			text[c] =
				prng_below(r, 40) ? (char)('a' + c % 26) : '\n';
		text[len] = '\0';
		printk_user((u32)prng_below(r, 192), text);
	}
}

/* Pieces of random sizes are the whole, and the counts agree. */
static int pieces_body(void)
{
	static char all[4 * BUF_BYTES], got[4 * BUF_BYTES],
		piece[BUF_BYTES + 1];
	u64 size, done = 0;
	struct prng r;

	prng_seed(&r, tm.cfg.seed);
	some_lines(&r, 60);
	size = whole(all, sizeof(all));
	CHECK_EQ(syslog_at(9, NULL, 0), size);
	while (done < size) {
		s64 n = syslog_at(2, piece, 1 + (s64)prng_below(&r, 400));

		CHECK(n > 0);
		memcpy(got + done, piece, (u64)n);
		done += (u64)n;
		CHECK_EQ(syslog_at(9, NULL, 0), size - done);
	}
	CHECK_EQ(done, size);
	CHECK(!memcmp(all, got, size));
	return 0;
}

/* The last records that fit, and none of them in part. */
static int last_body(void)
{
	static char all[4 * BUF_BYTES], piece[BUF_BYTES + 1];
	struct prng r;
	u64 size;

	prng_seed(&r, tm.cfg.seed);
	some_lines(&r, 60);
	size = whole(all, sizeof(all));
	for (u32 i = 0; i < 200; i++) {
		s64 want = 1 + (s64)prng_below(&r, 8000);
		s64 n = syslog_at(3, piece, want);

		CHECK(n >= 0 && n <= want);
		CHECK(!memcmp(all + size - n, piece, (u64)n));
		CHECK(n == 0 ||
		      (piece[0] == '<' && all[size - (u64)n - 1] == '\n'));
	}
	CHECK_EQ(syslog_at(3, piece, BUF_BYTES), size);
	CHECK_EQ(CALL(103, 3, 4096, 1000), EFAULT_);
	/* Cleared: dmesg's view alone. */
	CHECK_EQ(syslog_at(4, piece, BUF_BYTES), size);
	CHECK_EQ(syslog_at(3, piece, BUF_BYTES), 0);
	pr_warn("new");
	CHECK(syslog_at(3, piece, BUF_BYTES) > 0);
	CHECK_EQ(strncmp(piece, "<4>[", 4), 0);
	CHECK(strstr(piece, "] new\n"));
	CHECK(syslog_at(9, NULL, 0) > (s64)size);
	return 0;
}

static int console_body(void)
{
	CHECK_EQ(syslog_at(8, NULL, 0), EINVAL_);
	CHECK_EQ(syslog_at(8, NULL, 9), EINVAL_);
	CHECK_EQ(syslog_at(8, NULL, 5), 0);
	pr_warn("a warning");
	pr_notice("a notice");
	CHECK(tm_logged("a warning"));
	CHECK(!tm_logged("a notice"));
	CHECK_EQ(syslog_at(6, NULL, 0), 0);
	CHECK_EQ(syslog_at(6, NULL, 0), 0);
	pr_warn("another");
	pr_emerg("the end");
	CHECK(!tm_logged("another"));
	CHECK(tm_logged("the end"));
	CHECK_EQ(syslog_at(7, NULL, 0), 0);
	CHECK_EQ(printk_console_level(0), 5);
	CHECK_EQ(syslog_at(7, NULL, 0), 0);
	CHECK_EQ(printk_console_level(0), 5);
	CHECK_EQ(syslog_at(8, NULL, 8), 0);
	return 0;
}

static void calls(void **state)
{
	(void)state;
	for (u64 i = 0; i < 5; i++) {
		u64 seed = test_env("SEED", 1) + i;

		EF_RUN(pieces_body, .seed = seed);
		EF_RUN(last_body, .seed = seed);
	}
	EF_RUN(console_body);
}

/* ---- waiting ---------------------------------------------------------------
 */

#define SAID 400u

static s64 shared_fd;
static u32 woken;

/* Every line that is still there, in order; ends with the last. */
static void follower(void *arg)
{
	u64 at = 16384 + 8192 * (u64)(uintptr_t)arg, last = 0, seq;
	s64 fd = open_log(0), n;
	char text[2049], *said;
	u32 prio, nr;

	do {
		n = CALL(0, fd, area + at, 2048);
		if (n == EPIPE_)
			continue;
		CHECK(n > 0);
		CHECK_EQ(user_read(text, area + at, (u64)n), 0);
		text[n] = '\0';
		said = record(text, &prio, &seq);
		CHECK(!last || seq > last);
		last = seq;
		if (sscanf(said, "said %u", &nr) != 1)
			nr = 0;
	} while (nr < SAID);
	CHECK_EQ(CALL(3, fd), 0);
	(void)mm_fetch_add(&woken, 1u);
}

static void speaker(void *arg)
{
	(void)arg;
	for (u32 i = 1; i <= SAID; i++) {
		pr_info("said %u%*s", i, (int)(i % 90), "");
		if (i % 7 == 0)
			CHECK_EQ(CALL(7, 0, 0, 3), 0);
	}
}

static int follow_body(void)
{
	struct es_task *t[3];

	woken = 0;
	t[0] = es_spawn_files(&es.task[0], follower, (void *)0UL);
	t[1] = es_spawn_files(&es.task[0], follower, (void *)1UL);
	t[2] = es_spawn_files(&es.task[0], speaker, NULL);
	for (u32 i = 0; i < 3; i++)
		es_join(t[i]);
	CHECK_EQ(woken, 2);
	return 0;
}

static void interrupted(void *arg)
{
	(void)arg;
	CHECK(CALL(0, shared_fd, area + BUF_AT, 1000) < 0);
	CHECK(CALL(103, 2, area + BUF_AT, 1000) < 0);
	(void)mm_fetch_add(&woken, 1u);
}

static int signal_body(void)
{
	static char text[BUF_BYTES + 1];
	struct es_task *t;

	woken = 0;
	shared_fd = open_log(0);
	CHECK_EQ(CALL(8, shared_fd, 0, 2), 0);
	while (syslog_at(9, NULL, 0) > 0)
		CHECK(syslog_at(2, text, 4096) > 0);
	t = es_spawn_files(&es.task[0], interrupted, NULL);
	CHECK_EQ(CALL(7, 0, 0, 100), 0);
	CHECK_EQ(woken, 0);
	CHECK_EQ(send_sig_task(&t->t, 10, NULL), 0);
	es_join(t);
	CHECK_EQ(woken, 1);
	/* poll(2): a time that passes, then a line. */
	CHECK_EQ(poll_one(shared_fd, 50) & 1, 0);
	t = es_spawn_files(&es.task[0], speaker, NULL);
	CHECK_EQ(poll_one(shared_fd, 10000) & 1, 1);
	es_join(t);
	CHECK_EQ(CALL(3, shared_fd), 0);
	return 0;
}

static void waiting(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 6; seed++)
		EF_RUN(follow_body, .cpus = 1 + (int)(seed % 3), .seed = seed,
		       .explore = seed % 2 == 0);
	EF_RUN(signal_body);
	EF_RUN(signal_body, .cpus = 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kmsg),
		cmocka_unit_test(calls),
		cmocka_unit_test(waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
