/* SPDX-License-Identifier: MIT */
/*
 * /sys/kernel/tracing as programs use it: what is on, what is told, to whom,
 * who waits, what is filtered, and what each does when there is no memory.
 */
#include "few_tasks.h"

#include "base/fail.h"
#include "procfs/procfs_state.h"
#include "report/trace_show.h"

#define T    "/t/"
#define O_NB 04000

static char text[1 << 20];

static void tracefs_mount(void)
{
	CHECK_EQ(procfs_init(), 0);
	CHECK_EQ(MKDIR("/t", 0755), 0);
	CHECK_EQ(MOUNT("tracefs", "/t", "tracefs", 0, ""), 0);
	ended = false;
	mm_task_register_as(port_current(), "tester", 77);
}

static void tracefs_umount(void)
{
	s64 err = -EBUSY;

	mm_task_unregister(port_current());
	for (int i = 0; i < 100 && err == -EBUSY; i++) {
		err = UMOUNT("/t", 0);
		if (err)
			port_park(1000000);
	}
	CHECK_EQ(err, 0);
	procfs_exit();
}

/* All of PATH, without waiting; its length or -errno, if nothing was read. */
static s64 slurp(const char *path)
{
	s64 fd = OPEN(path, O_NB, 0), n, total = 0;

	if (fd < 0)
		return fd;
	while ((n = ft_read((int)fd, text + total, 30000)) > 0)
		total += n;
	CHECK_EQ(CLOSE(fd), 0);
	text[total] = '\0';
	return total ? total : n;
}

static void is(const char *path, const char *want)
{
	snprintf(tm_context, sizeof(tm_context), "%s is \"%s\"?", path, want);
	text[0] = '\0';
	CHECK(slurp(path) >= 0);
	if (strcmp(text, want))
		fprintf(stderr, "%s: %s", path, text);
	CHECK(!strcmp(text, want));
}

static s64 put_how(const char *path, const char *what, u32 flags)
{
	s64 fd, n;

	snprintf(tm_context, sizeof(tm_context), "%s > %s", what, path);
	fd = OPEN(path, 1 | flags, 0);
	if (fd < 0)
		return fd;
	n = ft_write((int)fd, what, strlen(what));
	CHECK_EQ(CLOSE(fd), 0);
	return n;
}

#define PUT(path, what)	    put_how(T path, what, 0)
#define PUT_NEW(path, what) put_how(T path, what, O_TRUNC)

/* How often WHAT stands in PATH. */
static u32 times(const char *path, const char *what)
{
	u32 n = 0;

	text[0] = '\0';
	(void)slurp(path);
	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void emit(u64 pfn, u64 order)
{
	trace_emit(MM_PAGE_FREE, pfn, order);
}

/* ---- what is on
 * ----------------------------------------------------------------------- */

static int switches_body(void *arg)
{
	(void)arg;
	tracefs_mount();
	is(T "set_event", "");
	is(T "tracing_on", "1\n");
	is(T "events/enable", "0\n");
	is(T "current_tracer", "nop\n");
	CHECK_EQ(PUT_NEW("set_event", "kmem:mm_page_free oom:"), 22);
	is(T "events/kmem/mm_page_free/enable", "1\n");
	is(T "events/kmem/mm_page_alloc/enable", "0\n");
	is(T "events/kmem/enable", "X\n");
	is(T "events/oom/enable", "1\n");
	is(T "events/enable", "X\n");
	CHECK(trace_enabled(TRACE_MM_PAGE_FREE));
	CHECK(trace_enabled(TRACE_COMPACT_RETRY));
	CHECK(!trace_enabled(TRACE_MM_PAGE_ALLOC));
	/* More; one less; what there is not. */
	CHECK_EQ(PUT("set_event", "rss_stat\n"), 9);
	CHECK_EQ(PUT("set_event", "!oom"), 4);
	is(T "set_event", "kmem:mm_page_free\nkmem:rss_stat\n");
	CHECK_EQ(PUT("set_event", "kmem:nothing"), -EINVAL);
	CHECK_EQ(PUT("set_event", "ftrace:print"), -EINVAL);
	CHECK_EQ(PUT("set_event", "test_event"), -EINVAL);
	is(T "set_event", "kmem:mm_page_free\nkmem:rss_stat\n");
	/* By folders. */
	CHECK_EQ(PUT("events/tlb/tlb_flush/enable", "1"), 1);
	is(T "events/tlb/enable", "1\n");
	CHECK_EQ(PUT("events/tlb/enable", "0\n"), 2);
	CHECK(!trace_enabled(TRACE_TLB_FLUSH));
	CHECK_EQ(PUT("events/tlb/enable", "2"), -EINVAL);
	CHECK_EQ(PUT("events/tlb/enable", ""), -EINVAL);
	/* The switch over all: nothing is forgotten. */
	CHECK_EQ(PUT("tracing_on", "0"), 1);
	CHECK(!trace_enabled(TRACE_MM_PAGE_FREE));
	is(T "events/kmem/mm_page_free/enable", "1\n");
	CHECK_EQ(PUT("tracing_on", "x"), -EINVAL);
	CHECK_EQ(PUT("tracing_on", "1"), 1);
	CHECK(trace_enabled(TRACE_MM_PAGE_FREE));
	CHECK_EQ(PUT("events/enable", "1"), 1);
	is(T "events/enable", "1\n");
	CHECK_EQ(slurp(T "available_events"), slurp(T "set_event"));
	CHECK_EQ(PUT_NEW("set_event", "\n"), 1);
	is(T "set_event", "");
	CHECK(!trace_enabled(TRACE_MM_PAGE_FREE));
	CHECK_EQ(PUT("available_events", "x"), -EINVAL);
	CHECK_EQ(PUT("trace_clock", "mono\n"), 5);
	CHECK_EQ(PUT("trace_clock", "local"), -EINVAL);
	CHECK_EQ(PUT("current_tracer", "nop"), 3);
	CHECK_EQ(PUT("current_tracer", "function"), -EINVAL);
	tracefs_umount();
	return 0;
}

static void switches(void **state)
{
	(void)state;
	FS_RUN(switches_body, .cpus = 2);
}

static int sizes_body(void *arg)
{
	struct trace_record r;
	s64 n = -ENOMEM;
	u64 pos = 0;

	(void)arg;
	tracefs_mount();
	is(T "buffer_size_kb", "1408\n");
	CHECK_EQ(PUT("buffer_size_kb", "4\n"), 2);
	is(T "buffer_total_size_kb", "8\n");
	CHECK_EQ(PUT("buffer_size_kb", "0"), -EINVAL);
	CHECK_EQ(PUT("buffer_size_kb", "much"), -EINVAL);
	CHECK_EQ(PUT("buffer_size_kb", "99999999999999999999"), -EINVAL);
	CHECK_EQ(PUT("set_event", "mm_page_free"), 12);
	for (u64 i = 0; i < 100; i++)
		emit(4711, 0);
	/* 4 KiB are 32 records. */
	CHECK_EQ(trace_lost(port_cpu()), trace_written(port_cpu()) - 32);
	/* Larger while events are on: an empty one. */
	CHECK_EQ(PUT("buffer_size_kb", "64"), 2);
	is(T "per_cpu/cpu1/buffer_size_kb", "64\n");
	CHECK_EQ(PUT("tracing_on", "0"), 1);
	CHECK_EQ(PUT_NEW("trace", ""), 0);
	CHECK_EQ(PUT("tracing_on", "1"), 1);
	for (u64 i = 0; i < 300; i++)
		emit(4711, 0);
	CHECK_EQ(PUT("tracing_on", "0"), 1);
	CHECK(times(T "trace", "mm_page_free: pfn=0x1267 order=0\n") >= 300);
	/* No memory: those that are there stay. */
	pos = trace_written(port_cpu());
	for (u64 i = 1; n == -ENOMEM; i++) {
		fail_arm_nth(FAIL_ALL, i, true);
		fail_only_task(port_current());
		n = PUT("buffer_size_kb", "128");
		(void)fail_disarm();
		if (n != -ENOMEM)
			break;
		is(T "buffer_size_kb", "64\n");
		CHECK(trace_written(port_cpu()) >= pos);
		CHECK_EQ(trace_lost(port_cpu()), 0);
		CHECK(i < 200);
	}
	CHECK_EQ(n, 3);
	is(T "buffer_size_kb", "128\n");
	CHECK_EQ(trace_written(port_cpu()), 0);
	CHECK_EQ(PUT("tracing_on", "1"), 1);
	emit(1, 0);
	pos = 0;
	CHECK(trace_read(port_cpu(), &pos, &r));
	tracefs_umount();
	return 0;
}

static void sizes(void **state)
{
	(void)state;
	FS_RUN(sizes_body, .cpus = 2);
}

/* ---- formats
 * ----------------------------------------------------------------------- */

/* One line "field:": NAME's bytes in RAW are the value that R has. */
static void field_check(const char *line, const u8 *raw,
			const struct trace_record *r)
{
	struct trace_field_info f[TRACE_ARGS];
	u32 nr = trace_fields(r->event, f), at, size, sign;
	char decl[128], *name, *end;
	u64 got = 0, want;

	CHECK_EQ(sscanf(line,
			"\tfield:%127[^;];\toffset:%u;\tsize:%u;\tsigned:%u;",
			decl, &at, &size, &sign),
		 4);
	name = strrchr(decl, ' ') + 1;
	end = strchr(name, '[');
	if (end)
		*end = '\0';
	CHECK(at + size <= TRACE_RAW_MAX && (size > 8 || at % size == 0));
	memcpy(&got, raw + at, min(size, 8u));
	if (!strncmp(name, "common_", 7)) {
		want = !strcmp(name, "common_type")  ? TRACE_ID(r->event)
		       : !strcmp(name, "common_pid") ? r->pid
						     : 0;
		CHECK_EQ(got, want);
		return;
	}
	for (u32 i = 0; i < nr; i++) {
		if (strcmp(f[i].name, name))
			continue;
		CHECK(size > 8 ? size == f[i].words * 8 : size <= 8);
		CHECK(!memcmp(raw + at, &r->arg[f[i].word], size));
		return;
	}
	CHECK(!"a field that the event does not have");
}

/* Every event's format says where its fields are, and names each once. */
static int formats_body(void *arg)
{
	u8 raw[TRACE_RAW_MAX];
	u32 seen = 0;

	(void)arg;
	tracefs_mount();
	for (u32 e = 0; e < NR_TRACE_EVENTS; e++) {
		const struct trace_event_info *info = trace_event_info(e);
		struct trace_record r = {.event = (u16)e, .pid = 4711};
		struct trace_field_info f[TRACE_ARGS];
		char path[128], id[40];
		u32 fields = 0;

		if (e == TRACE_TEST_EVENT)
			continue;
		for (u32 i = 0; i < TRACE_ARGS; i++)
			r.arg[i] = 0x0102030405060708UL * (i + 3);
		snprintf(path, sizeof(path), T "events/%s/%s/format",
			 info->system, info->name);
		snprintf(tm_context, sizeof(tm_context), "%.100s", path);
		CHECK(slurp(path) > 0);
		snprintf(id, sizeof(id), "\nID: %u\n", TRACE_ID(e));
		CHECK(strstr(text, id));
		CHECK_EQ(trace_raw(&r, raw) % 4, 0);
		for (char *l = text; (l = strstr(l, "\tfield:")); l++) {
			field_check(l, raw, &r);
			fields++;
		}
		CHECK_EQ(fields, 4 + trace_fields(e, f));
		CHECK(strstr(text, "\nprint fmt: \""));
		seen++;
	}
	CHECK(seen > 100);
	/* As Linux has it. */
	CHECK(slurp(T "events/kmem/mm_page_alloc/format") > 0);
	CHECK(strstr(text, "\tfield:unsigned long gfp_flags;\toffset:24;"
			   "\tsize:8;\tsigned:0;\n"
			   "\tfield:int migratetype;\toffset:32;"
			   "\tsize:4;\tsigned:1;\n"));
	CHECK(strstr(text, "{0x10000, \"__GFP_RETRY_MAYFAIL\"}"));
	CHECK(slurp(T "events/tlb/tlb_flush/format") > 0);
	CHECK(strstr(text, "print fmt: \"pages:%ld reason:%s (%d)\", "
			   "REC->pages, __print_symbolic(REC->reason, "
			   "{0x0, \"flush on task switch\"}"));
	CHECK(slurp(T "events/header_page") > 0);
	CHECK(strstr(text, "field: local_t commit;\toffset:8;\tsize:8;"));
	CHECK_EQ(slurp(T "events/ftrace/print/enable"), -ENOENT);
	tracefs_umount();
	return 0;
}

static void formats(void **state)
{
	(void)state;
	FS_RUN(formats_body);
}

/* ---- readers
 * ----------------------------------------------------------------------- */

static int pipes_body(void *arg)
{
	s64 fd, one, n;

	(void)arg;
	tracefs_mount();
	CHECK_EQ(slurp(T "trace_pipe"), -EAGAIN);
	CHECK_EQ(PUT("set_event", "mm_page_free"), 12);
	CHECK_EQ(PUT("tracing_on", "0"), 1);
	CHECK_EQ(PUT_NEW("trace", ""), 0);
	trace_enable(TRACE_MM_PAGE_FREE);
	for (u64 i = 1; i <= 6; i++)
		emit(i, i);
	trace_disable(TRACE_MM_PAGE_FREE);
	CHECK_EQ(times(T "trace", ": mm_page_free: "), 6);
	CHECK_EQ(times(T "trace", "       tester-77 ["), 6);
	CHECK(strstr(text, "# entries-in-buffer/entries-written: 6/6   #P:2"));
	CHECK_EQ(times(T "per_cpu/cpu1/trace", ": mm_page_free: ") +
			 times(T "per_cpu/cpu0/trace", ": mm_page_free: "),
		 6);
	CHECK_EQ(times(T "saved_cmdlines", "77 tester\n"), 1);
	/* In pieces: a line goes on where it was left. */
	fd = OPEN(T "trace_pipe", O_NB, 0);
	CHECK(fd >= 0);
	CHECK_EQ(SYS(8, fd, 0, 0), -ESPIPE);
	n = 0;
	while ((one = ft_read((int)fd, text + n, 7)) > 0) {
		CHECK(one <= 7);
		n += one;
	}
	text[n] = '\0';
	CHECK_EQ(one, -EAGAIN);
	CHECK(strstr(text, "pfn=0x1 order=1\n") && strstr(text, "pfn=0x6"));
	CHECK_EQ(text[n - 1], '\n');
	CHECK_EQ(ft_read((int)fd, text, 0), 0);
	/* What was taken is nobody's any more. */
	CHECK_EQ(times(T "trace", ": mm_page_free: "), 0);
	CHECK_EQ(slurp(T "trace_records"), 0);
	is(T "trace_lost", "0\n");
	n = port_cpu() ? slurp(T "per_cpu/cpu1/stats")
		       : slurp(T "per_cpu/cpu0/stats");
	CHECK(n > 0 && strstr(text, "entries: 0\noverrun: 0\n"));
	CHECK(strstr(text, "read events: 6\n"));
	/* Tracing is off, and it has had something: the end. */
	CHECK_EQ(SYS(72, fd, 4, 0), 0); /* F_SETFL: it may wait */
	CHECK_EQ(ft_read((int)fd, text, 100), 0);
	CHECK_EQ(CLOSE(fd), 0);
	/* Whole records. */
	trace_enable(TRACE_MM_PAGE_FREE);
	emit(7, 0);
	emit(8, 0);
	trace_disable(TRACE_MM_PAGE_FREE);
	fd = OPEN(T "trace_records", 0, 0);
	CHECK_EQ(ft_read((int)fd, text, sizeof(struct trace_record) - 1),
		 -EINVAL);
	CHECK_EQ(ft_read((int)fd, text, 200), sizeof(struct trace_record));
	CHECK_EQ(((struct trace_record *)(void *)text)->arg[0], 7);
	CHECK_EQ(CLOSE(fd), 0);
	CHECK(slurp(T "trace_pipe") > 0);
	CHECK(strstr(text, "pfn=0x8") && !strstr(text, "pfn=0x7"));
	CHECK_EQ(slurp(T "per_cpu/cpu2/stats"), -ENOENT);
	CHECK_EQ(slurp(T "per_cpu/cpux/stats"), -ENOENT);
	/* No memory to open, or to read. */
	fail_arm_nth(FAIL_MASK(FAIL_SLAB), 3, true);
	fail_only_task(port_current());
	for (int i = 0; i < 3; i++) {
		n = OPEN(T "trace_pipe", 0, 0);
		CHECK(n == -ENOMEM || n >= 0);
		if (n >= 0)
			CHECK_EQ(CLOSE(n), 0);
	}
	CHECK_EQ(n, -ENOMEM);
	(void)fail_disarm();
	tracefs_umount();
	return 0;
}

static void pipes(void **state)
{
	(void)state;
	FS_RUN(pipes_body, .cpus = 2);
}

/* Who waits: what happens after a while. */
static struct {
	struct port_thread *reader;
	int what;
} later;

static void later_main(void *arg)
{
	(void)arg;
	port_park(50 * 1000 * 1000);
	if (later.what == 0)
		trace_emit(MARK_VICTIM, 4711);
	else if (later.what == 1)
		kt_stub.signal = true;
	else
		tracefs_switch(false);
	if (later.what == 1)
		port_unpark(later.reader);
}

/* read(2) of FD while WHAT happens after a while. */
static s64 read_while(s64 fd, int what)
{
	struct port_thread *t;
	s64 n;

	later.reader = port_self();
	later.what = what;
	CHECK_EQ(sim_thread_start_on(&t, "later", 1, later_main, NULL), 0);
	n = ft_read((int)fd, text, 4000);
	port_thread_join(t);
	kt_stub.signal = false;
	text[max(n, 0L)] = '\0';
	return n;
}

static int waits_body(void *arg)
{
	struct file *file;
	s64 fd;

	(void)arg;
	tracefs_mount();
	CHECK_EQ(PUT("set_event", "mark_victim"), 11);
	fd = OPEN(T "per_cpu/cpu1/trace_pipe", 0, 0);
	CHECK(fd >= 0);
	file = fd_get((int)fd);
	CHECK_EQ(file->f_op->poll(file, NULL) & POLLIN, 0);
	CHECK_EQ(read_while(fd, 1), -EINTR);
	CHECK(read_while(fd, 0) > 0);
	CHECK(strstr(text, "mark_victim: pid=4711\n"));
	CHECK(strstr(text, "[001]"));
	/* It has had something: it ends with tracing. */
	CHECK_EQ(read_while(fd, 2), 0);
	CHECK_EQ(PUT("tracing_on", "1"), 1);
	fput(file);
	CHECK_EQ(CLOSE(fd), 0);
	tracefs_umount();
	return 0;
}

static void waits(void **state)
{
	(void)state;
	FS_RUN(waits_body, .cpus = 2);
}

/* ---- pages
 * ----------------------------------------------------------------------- */

/* The events of a page of trace_pipe_raw: how many; the first's field pfn, and
 * the time of the last one, in ns. */
static u32 page_events(const u8 *page, u64 *first, u64 *last)
{
	u64 ts, commit;
	u32 at = 16, n = 0, word;

	memcpy(&ts, page, 8);
	memcpy(&commit, page + 8, 8);
	while (at < 16 + (commit & 0xfffff)) {
		memcpy(&word, page + at, 4);
		ts += word >> 5;
		at += 4;
		if ((word & 31) == 30) {
			memcpy(&word, page + at, 4);
			ts += (u64)word << 27;
			at += 4;
			continue;
		}
		CHECK((word & 31) > 0 && (word & 31) <= 28);
		if (!n++)
			memcpy(first, page + at + 8, 8);
		at += 4 * (word & 31);
	}
	CHECK_EQ(at, 16 + (commit & 0xfffff));
	*last = ts;
	return n;
}

static int raw_body(void *arg)
{
	u64 first = 0, last, missed, commit, then = 0, then_first;
	const u8 *page = (const u8 *)text;
	u32 n, total = 0;
	s64 fd;

	(void)arg;
	tracefs_mount();
	CHECK_EQ(PUT("buffer_size_kb", "32"), 2); /* 256 records */
	CHECK_EQ(PUT("set_event", "mm_page_free"), 12);
	CHECK_EQ(PUT("tracing_on", "0"), 1);
	CHECK_EQ(PUT_NEW("trace", ""), 0);
	trace_enable(TRACE_MM_PAGE_FREE);
	for (u64 i = 1; i <= 200; i++) {
		if (i == 100)
			port_park(3 * 1000000000UL);
		emit(i, 0);
		then = i == 200 ? port_now_ns() : 0;
	}
	trace_disable(TRACE_MM_PAGE_FREE);
	fd = OPEN(T "per_cpu/cpu0/trace_pipe_raw", O_NB, 0);
	CHECK_EQ(ft_read((int)fd, text, 1000), 1000);
	CHECK_EQ(ft_read((int)fd, text + 1000, 30000), 3096);
	n = page_events(page, &first, &last);
	CHECK(n > 100 && first >= 1);
	/* The pause is within it: more than 27 bits of ns. */
	memcpy(&then_first, page, 8);
	CHECK(last - then_first >= 3000000000UL);
	total += n;
	while (ft_read((int)fd, text, 4096) == 4096) {
		n = page_events(page, &first, &last);
		memcpy(&commit, page + 8, 8);
		CHECK_EQ(commit >> 30, 0);
		total += n;
	}
	CHECK(total >= 200);
	CHECK(last <= then && then - last < 1000000000UL);
	/* More than it holds: the next page says how many are missing. */
	trace_enable(TRACE_MM_PAGE_FREE);
	for (u64 i = 1; i <= 300; i++)
		emit(i, 0);
	trace_disable(TRACE_MM_PAGE_FREE);
	CHECK_EQ(ft_read((int)fd, text, 4096), 4096);
	(void)page_events(page, &first, &last);
	memcpy(&commit, page + 8, 8);
	CHECK_EQ(commit >> 31 & 1, 1);
	CHECK_EQ(CLOSE(fd), 0);
	CHECK(slurp(T "trace_lost") > 0);
	missed = strtoull(text, NULL, 10);
	CHECK(missed >= 44 && missed < 100);
	/* A page with room says how many. */
	CHECK_EQ(PUT_NEW("trace", ""), 0);
	CHECK_EQ(PUT("buffer_size_kb", "2"), 1); /* 16 records */
	trace_enable(TRACE_MM_PAGE_FREE);
	for (u64 i = 1; i <= 30; i++)
		emit(i, 0);
	trace_disable(TRACE_MM_PAGE_FREE);
	fd = OPEN(T "per_cpu/cpu0/trace_pipe_raw", O_NB, 0);
	CHECK_EQ(ft_read((int)fd, text, 4096), 4096);
	CHECK_EQ(page_events(page, &first, &last), 15);
	memcpy(&commit, page + 8, 8);
	CHECK_EQ(commit >> 30 & 3, 3);
	memcpy(&missed, page + 16 + (commit & 0xfffff), 8);
	CHECK(missed >= 15);
	CHECK_EQ(CLOSE(fd), 0);
	tracefs_umount();
	return 0;
}

static void raws(void **state)
{
	(void)state;
	FS_RUN(raw_body);
}

/* ---- marks and filters
 * ----------------------------------------------------------------------- */

static int marker_body(void *arg)
{
	struct trace_record r;
	char words[200];
	u64 pos = 0;

	(void)arg;
	tracefs_mount();
	memset(words, 'x', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	CHECK_EQ(PUT("trace_marker", "hello, world\n"), 13);
	CHECK_EQ(PUT("trace_marker", "no end"), 6);
	CHECK_EQ(PUT("trace_marker", words), 80);
	CHECK_EQ(times(T "trace", ": tracing_mark_write: hello, world\n"), 1);
	CHECK_EQ(times(T "trace", ": tracing_mark_write: no end\n"), 1);
	words[80] = '\0';
	CHECK_EQ(times(T "trace", words), 1);
	/* One record each, by whom it is. */
	CHECK_EQ(trace_written(0), 3);
	CHECK(trace_read(0, &pos, &r));
	CHECK_EQ(r.event, TRACE_PRINT);
	CHECK_EQ(r.pid, 77);
	CHECK(trace_field(&r, "ip") != 0);
	CHECK_EQ(trace_field(&r, "buf"), trace_word("hello, w", 0));
	CHECK_EQ(PUT("tracing_on", "0"), 1);
	CHECK_EQ(PUT("trace_marker", "off"), -EBADF);
	CHECK_EQ(slurp(T "trace_marker"), -EINVAL);
	tracefs_umount();
	return 0;
}

static int marker_memory_body(void *arg)
{
	(void)arg;
	tracefs_mount();
	for (u64 i = 1; i < 40; i++) {
		struct fail_result r;
		s64 n;

		fail_arm_nth(FAIL_MASK(FAIL_SLAB) | FAIL_MASK(FAIL_VMAP), i,
			     false);
		fail_only_task(port_current());
		n = PUT("set_event", "mm_page_free");
		r = fail_disarm();
		CHECK(n == 12 || n == -ENOMEM);
		CHECK_EQ(n == 12, trace_enabled(TRACE_MM_PAGE_FREE));
		if (n == 12) {
			CHECK(!r.fired || i > 1);
			break;
		}
	}
	CHECK(trace_enabled(TRACE_MM_PAGE_FREE));
	tracefs_umount();
	return 0;
}

static void marker(void **state)
{
	(void)state;
	FS_RUN(marker_body);
	FS_RUN(marker_memory_body);
}

/* Of orders 0 to 9 and pfn 100 + order, those that FILTER lets pass, as bits.
 */
static u32 passes(const char *filter)
{
	u32 bits = 0;

	if (filter)
		CHECK_EQ(PUT("events/kmem/mm_page_free/filter", filter),
			 (s64)strlen(filter));
	CHECK_EQ(PUT_NEW("trace", ""), 0);
	trace_enable(TRACE_MM_PAGE_FREE);
	for (u64 i = 0; i < 10; i++)
		emit(0xfff100 + i, i);
	trace_disable(TRACE_MM_PAGE_FREE);
	(void)slurp(T "trace");
	for (const char *p = text; (p = strstr(p, "pfn=0xfff1")); p++)
		bits |= 1u << strtoul(p + 10, NULL, 16);
	return bits;
}

static void refused_filter(const char *filter, const char *why)
{
	CHECK_EQ(PUT("events/kmem/mm_page_free/filter", filter), -EINVAL);
	CHECK(slurp(T "events/kmem/mm_page_free/filter") > 0);
	if (!strstr(text, why))
		fprintf(stderr, "%s", text);
	CHECK(!strncmp(text, filter, strlen(filter)) && strstr(text, why));
	CHECK_EQ(passes(NULL), 0x3ff);
}

static int filter_body(void *arg)
{
	char longest[300];

	(void)arg;
	tracefs_mount();
	CHECK_EQ(PUT("set_event", "mm_page_free"), 12);
	CHECK_EQ(PUT("set_event", "!mm_page_free"), 13);
	is(T "events/kmem/mm_page_free/filter", "none\n");
	CHECK_EQ(passes(NULL), 0x3ff);
	CHECK_EQ(passes("order > 6\n"), 0x380);
	is(T "events/kmem/mm_page_free/filter", "order > 6\n");
	CHECK_EQ(passes("order >= 6"), 0x3c0);
	CHECK_EQ(passes("order<2"), 0x003);
	CHECK_EQ(passes("order <= 2 || order == 9"), 0x207);
	CHECK_EQ(passes("order != 3 && pfn < 0xfff105"), 0x017);
	CHECK_EQ(passes("order & 1"), 0x2aa);
	CHECK_EQ(passes("!(order & 1) && !(order > 4 || order == 0)"), 0x014);
	CHECK_EQ(passes("order == 1 || order == 2 && pfn == 0"), 0x002);
	CHECK_EQ(passes("order == 1 && pfn == 0 || order == 2"), 0x004);
	CHECK_EQ(passes("common_pid == 77"), 0x3ff);
	CHECK_EQ(passes("comm ~ \"te*r\" && cpu == 0"), 0x3ff);
	CHECK_EQ(passes("comm == test"), 0);
	CHECK_EQ(passes("comm ~ 'test?r'"), 0x3ff);
	CHECK_EQ(passes("0"), 0x3ff);
	is(T "events/kmem/mm_page_free/filter", "none\n");
	refused_filter("nothing == 3", "parse_error: Field not found");
	refused_filter("order", "parse_error: Invalid operator");
	refused_filter("order ==", "Illegal integer value");
	refused_filter("order == 3x", "Illegal integer value");
	refused_filter("order == 99999999999999999999999", "Illegal integer");
	refused_filter("order ~ 3", "Illegal operation for field type");
	refused_filter("comm < abc", "Illegal operation for field type");
	refused_filter("(order == 3", "Missing )");
	refused_filter("order == 3)", "Meaningless");
	refused_filter("((((((((((order == 3))))))))))", "Too deep");
	refused_filter("comm == \"x", "Missing quote");
	refused_filter("&& order == 1", "No field");
	memset(longest, ' ', sizeof(longest));
	longest[298] = 'x', longest[299] = '\0';
	CHECK_EQ(PUT("events/kmem/mm_page_free/filter", longest), -EINVAL);
	/* A system's: whoever has the field. Negative numbers are in order. */
	CHECK_EQ(PUT("events/kmem/filter", "migratetype < -1"), 16);
	is(T "events/kmem/mm_page_alloc/filter", "migratetype < -1\n");
	CHECK_EQ(PUT("events/kmem/filter", "quux == 1"), -EINVAL);
	is(T "events/kmem/mm_page_alloc/filter", "migratetype < -1\n");
	CHECK_EQ(PUT_NEW("trace", ""), 0);
	trace_enable(TRACE_MM_PAGE_ALLOC);
	trace_emit(MM_PAGE_ALLOC, 0x123, 0, 0, (u64)-2);
	trace_emit(MM_PAGE_ALLOC, 0x124, 0, 0, (u64)-1);
	trace_emit(MM_PAGE_ALLOC, 0x125, 0, 0, 3);
	trace_disable(TRACE_MM_PAGE_ALLOC);
	CHECK_EQ(times(T "trace", "mm_page_alloc: pfn=0x12"), 1);
	CHECK(strstr(text, "pfn=0x123 order=0 migratetype=-2"));
	fail_arm_nth(FAIL_MASK(FAIL_SLAB), 1, true);
	fail_only_task(port_current());
	mutex_lock(&proc_sys.trace.lock);
	CHECK_EQ(trace_filter_set(TRACE_MM_PAGE_FREE, "order == 1", 10, false),
		 -ENOMEM);
	mutex_unlock(&proc_sys.trace.lock);
	(void)fail_disarm();
	CHECK_EQ(PUT("events/kmem/filter", "0"), 1);
	is(T "events/kmem/mm_page_alloc/filter", "none\n");
	CHECK(!base_sys.trace_filter);
	CHECK_EQ(PUT("events/kmem/mm_page_free/filter", "order == 1"), 10);
	tracefs_umount();
	CHECK(!base_sys.trace_filter);
	return 0;
}

static void filters(void **state)
{
	(void)state;
	FS_RUN(filter_body);
}

/* ---- functions by name
 * ----------------------------------------------------------------------- */

static int named_body(void *arg)
{
	static const struct machine_symbol symbols[] = {
		{0xffffffff80100000, 'T', "_stext"},
		{0xffffffff80100000, 'T', "first"},
		{0xffffffff80100040, 't', "second"},
	};

	(void)arg;
	tracefs_mount();
	kt_set_symbols(symbols, ARRAY_SIZE(symbols), 0x40);
	CHECK_EQ(PUT_NEW("set_event", "mark_victim"), 11);
	trace_ring_write(TRACE_KFREE,
			 (const u64[TRACE_ARGS]){0xffffffff80100013, 0x10});
	trace_ring_write(TRACE_KFREE, (const u64[TRACE_ARGS]){0x1234, 0x10});
	trace_ring_write(
		TRACE_PAGE_FAULT_KERNEL,
		(const u64[TRACE_ARGS]){0x7000, 0xffffffff80100041, 2, 5, 0});
	CHECK_EQ(PUT("tracing_on", "0"), 1);
	CHECK_EQ(times(T "trace", " kfree: call_site=first+0x13/0x40 "
				  "ptr=0x10\n"),
		 1);
	CHECK_EQ(times(T "trace", " kfree: call_site=0x1234 ptr=0x10\n"), 1);
	CHECK_EQ(times(T "trace", "page_fault_kernel: address=0x7000 ip=second "
				  "error_code=0x2 "),
		 1);
	/* Programs are told how; they have /proc/kallsyms. */
	CHECK_EQ(times(T "events/kmem/kfree/format",
		       "\"call_site=%pS ptr=0x%lx\", (void *)REC->call_site, "
		       "REC->ptr\n"),
		 1);
	CHECK_EQ(times(T "events/exceptions/page_fault_kernel/format",
		       "address=%ps ip=%ps "),
		 1);
	kt_set_symbols(NULL, 0, 0);
	tracefs_umount();
	return 0;
}

static void named(void **state)
{
	(void)state;
	FS_RUN(named_body);
}

/* ---- whose
 * ----------------------------------------------------------------------- */

/* An event of thread PID. */
static void emit_of(u32 pid)
{
	struct mm_task *me = port_current();
	s32 was = me->pid;

	me->pid = (s32)pid;
	emit(pid, 0);
	me->pid = was;
}

/* Which of threads 1 to 9 are told of, as bits. */
static u32 told_of(void)
{
	u64 pos = trace_written(0);
	struct trace_record r;
	u32 bits = 0;

	for (u32 pid = 1; pid < 10; pid++)
		emit_of(pid);
	while (trace_read(0, &pos, &r))
		bits |= 1u << r.pid;
	return bits;
}

static int whose_body(void *arg)
{
	(void)arg;
	tracefs_mount();
	CHECK_EQ(PUT_NEW("set_event", "mm_page_free"), 12);
	is(T "set_event_pid", "");
	CHECK_EQ(told_of(), 0x3fe);
	/* Without memory: as before. */
	fail_arm_nth(FAIL_MASK(FAIL_SLAB) | FAIL_MASK(FAIL_VMAP), 1, true);
	CHECK_EQ(PUT("set_event_pid", "3"), -ENOMEM);
	CHECK(fail_disarm().fired > 0);
	is(T "set_event_pid", "");
	CHECK_EQ(told_of(), 0x3fe);
	CHECK_EQ(PUT_NEW("set_event_pid", "3 7\n"), 4);
	is(T "set_event_pid", "3\n7\n");
	CHECK_EQ(told_of(), 1 << 3 | 1 << 7);
	/* One more; what is no number changes nothing. */
	CHECK_EQ(PUT("set_event_pid", "5"), 1);
	CHECK_EQ(PUT("set_event_pid", "6 x"), -EINVAL);
	CHECK_EQ(PUT("set_event_pid", "6 32768"), -EINVAL);
	CHECK_EQ(told_of(), 1 << 3 | 1 << 5 | 1 << 7);
	/* Not these; a filter besides. */
	CHECK_EQ(PUT_NEW("set_event_notrace_pid", "5 9"), 3);
	CHECK_EQ(told_of(), 1 << 3 | 1 << 7);
	CHECK_EQ(PUT("events/kmem/mm_page_free/filter", "pfn != 7"), 8);
	CHECK_EQ(told_of(), 1 << 3);
	CHECK_EQ(PUT("events/kmem/mm_page_free/filter", "0"), 1);
	CHECK_EQ(PUT_NEW("set_event_pid", "\n"), 1);
	CHECK_EQ(told_of(), 0x3fe & ~(1u << 5 | 1u << 9));
	CHECK_EQ(PUT_NEW("set_event_notrace_pid", "\n"), 1);
	CHECK_EQ(told_of(), 0x3fe);
	CHECK(!base_sys.trace_filter);
	/* What a program says is no event of its thread. */
	CHECK_EQ(PUT_NEW("set_event_pid", "3"), 1);
	CHECK_EQ(PUT("trace_marker", "heard\n"), 6);
	CHECK_EQ(times(T "trace", "tracing_mark_write: heard"), 1);
	/* Children, if it is asked for. */
	born_or_gone(3, 4);
	CHECK_EQ(told_of(), 1 << 3);
	CHECK_EQ(PUT("options/event-fork", "1"), 1);
	born_or_gone(3, 4);
	born_or_gone(4, 8);
	born_or_gone(2, 9);
	CHECK_EQ(told_of(), 1 << 3 | 1 << 4 | 1 << 8);
	born_or_gone(3, 0);
	born_or_gone(4, 0);
	is(T "set_event_pid", "8\n");
	/* It has ended as well: nobody is told of, not all. */
	born_or_gone(8, 0);
	CHECK_EQ(told_of(), 0);
	CHECK_EQ(PUT_NEW("set_event_pid", ""), 0);
	CHECK_EQ(told_of(), 0x3fe);
	/* Left on: the end of it all frees it. */
	CHECK_EQ(PUT("set_event_pid", "1"), 1);
	tracefs_umount();
	CHECK(!base_sys.trace_filter);
	return 0;
}

static int options_body(void *arg)
{
	(void)arg;
	tracefs_mount();
	is(T "trace_options", "noevent-fork\nmarkers\n");
	is(T "options/markers", "1\n");
	CHECK_EQ(PUT("trace_options", "nomarkers\n"), 10);
	is(T "options/markers", "0\n");
	CHECK_EQ(PUT("trace_marker", "x"), -EINVAL);
	CHECK_EQ(PUT("trace_options", "event-fork"), 10);
	is(T "trace_options", "event-fork\nnomarkers\n");
	CHECK_EQ(PUT("options/markers", "1\n"), 2);
	CHECK_EQ(PUT("trace_marker", "x"), 1);
	CHECK_EQ(PUT("options/markers", "2"), -EINVAL);
	CHECK_EQ(PUT("trace_options", "nonsense"), -EINVAL);
	CHECK_EQ(PUT("trace_options", "no"), -EINVAL);
	CHECK_EQ(PUT("trace_options", ""), -EINVAL);
	tracefs_umount();
	return 0;
}

static void whose(void **state)
{
	(void)state;
	FS_RUN(whose_body);
	FS_RUN(options_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(switches), cmocka_unit_test(sizes),
		cmocka_unit_test(formats),  cmocka_unit_test(pipes),
		cmocka_unit_test(waits),    cmocka_unit_test(raws),
		cmocka_unit_test(marker),   cmocka_unit_test(filters),
		cmocka_unit_test(named),    cmocka_unit_test(whose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
