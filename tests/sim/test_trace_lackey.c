/* SPDX-License-Identifier: MIT */
/* From lackey's text to records: plain, with calls, with forks, garbage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first. */
#include <cmocka.h>

#include "base_seed.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_RECS 512

struct bench {
	struct recorder r;
	struct lackey *l;
	struct lackey_proc *p;
	char path[64];
};

static void begin(struct bench *b, u64 window)
{
	static char *none[] = {NULL};
	struct trace_header h = {.page_size = PAGE_SIZE,
				 .argv = none,
				 .program = (char *)"test"};
	struct trace_error err;
	int fd;

	memset(b, 0, sizeof(*b));
	strcpy(b->path, "/tmp/mmkit-test-lackey.XXXXXX");
	fd = mkstemp(b->path);
	assert_true(fd >= 0);
	close(fd);
	b->r.window = window;
	b->r.out = trace_writer_open(b->path, &h, &err);
	assert_non_null(b->r.out);
	b->l = lackey_new(&b->r, false, NULL, NULL);
	assert_non_null(b->l);
	b->p = lackey_proc(b->l, 100);
	assert_non_null(b->p);
}

static void say(struct bench *b, const char *text)
{
	assert_int_equal(lackey_text(b->l, b->p, text, strlen(text)), 0);
}

/* End the recording; what became of it, one record per line as a type letter.
 */
static u32 end(struct bench *b, struct trace_rec *recs)
{
	struct trace_error err;
	struct trace_reader *r;
	u32 n = 0;

	assert_int_equal(lackey_end(b->l, b->p, 0), 0);
	assert_int_equal(rec_flush(&b->r), 0);
	lackey_free(b->l);
	assert_int_equal(trace_writer_finish(b->r.out, &b->r.extra, &err), 0);
	for (u32 i = 0; i < b->r.nr_files; i++)
		free(b->r.files[i].name);
	free(b->r.files);
	rec_opens_free(&b->r);
	r = trace_reader_open(b->path, &err);
	assert_non_null(r);
	while (n < MAX_RECS && trace_next(r, &recs[n]) > 0) {
		recs[n].file.name =
			recs[n].type == TRACE_FILE ? NULL : recs[n].file.name;
		n++;
	}
	if (n < MAX_RECS) { /* all of it was sound */
		struct trace_rec rec;

		assert_int_equal(trace_next(r, &rec), 0);
	}
	trace_reader_close(r);
	unlink(b->path);
	return n;
}

static void is_ref(const struct trace_rec *rec, u32 map, u32 page, u32 nr,
		   u32 access, u32 count)
{
	assert_int_equal(rec->type, TRACE_REF);
	assert_int_equal(rec->ref.map, map);
	assert_int_equal(rec->ref.page, page);
	assert_int_equal(rec->ref.nr_pages, nr);
	assert_int_equal(rec->ref.access, access);
	assert_int_equal(rec->ref.count, count);
}

static struct trace_rec recs[MAX_RECS];

static void test_plain(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 0);
	say(&b, "I  00001000,3\nI  00001003,4\n L 00002ff8,8\n S 00002ffc,8\n"
		" M 00004000,4\n L 00004000,4\n");
	assert_int_equal(lackey_garbage(b.l), 0);
	/* one mapping of 2 MiB, three fetch/load/store records, exit */
	assert_int_equal(end(&b, recs), 6);
	assert_int_equal(recs[0].type, TRACE_MAP);
	assert_int_equal(recs[0].map.how, TRACE_HOW_TOUCH);
	assert_int_equal(recs[0].map.pages, 512);
	is_ref(&recs[1], 0, 1, 1, TRACE_X, 2);
	is_ref(&recs[2], 0, 2, 1, TRACE_R, 1);
	/* the store crosses into page 3: a run of two pages */
	is_ref(&recs[3], 0, 2, 2, TRACE_W, 2);
	is_ref(&recs[4], 0, 4, 1, TRACE_R | TRACE_W, 2);
	assert_int_equal(recs[5].type, TRACE_EXIT);
}

static void test_window(void **state)
{
	struct bench b;
	u64 held;

	(void)state;
	begin(&b, 4);
	for (int i = 0; i < 5; i++)
		say(&b, " L 1000,8\n L 2000,8\n");
	say(&b, " S 1000,8\n");
	held = b.r.refs;
	assert_int_equal(held, 11);
	assert_int_equal(end(&b, recs), 6);
	is_ref(&recs[1], 0, 1, 2, TRACE_R, 2);
	is_ref(&recs[2], 0, 1, 2, TRACE_R, 4);
	is_ref(&recs[3], 0, 1, 2, TRACE_R, 4);
	is_ref(&recs[4], 0, 1, 1, TRACE_W, 1);
}

static void test_calls(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 0);
	say(&b,
	    "SYSCALL[100,1](12) sys_brk ( 0x0 ) --> [pre-success] "
	    "Success(0x4035000) \n"
	    "SYSCALL[100,1](12) sys_brk ( 0x4036001 ) --> [pre-success] "
	    "Success(0x4036001) \n S 4036000,1\n"
	    "SYSCALL[100,1](9) sys_mmap ( 0x0, 20480, 3, 34, 4294967295, 0 ) "
	    "--> [pre-success] Success(0x5000000) \n S 5001000,8\n"
	    "SYSCALL[100,1](11) sys_munmap ( 0x5001000, 4096 )[sync] --> "
	    "Success(0x0) \n"
	    "SYSCALL[100,1](10) sys_mprotect ( 0x5000000, 20480, 1 )[sync] --> "
	    "Success(0x0) \n"
	    "SYSCALL[100,1](25) sys_mremap ( 0x5002000, 8192, 16384, 0x1, "
	    "0x0 ) --> [pre-success] Success(0x6000000) \n S 6003000,8\n"
	    "SYSCALL[100,1](9) sys_mmap ( 0x0, 4096, 3, 34, 4294967295, 0 ) "
	    "--> [pre-fail] Failure(0xc) \n");
	assert_int_equal(lackey_garbage(b.l), 0);
	assert_int_equal(end(&b, recs), 13);
	assert_int_equal(recs[0].map.kind, TRACE_KIND_HEAP);
	assert_int_equal(recs[1].call.op, TRACE_OP_BRK);
	assert_int_equal(recs[1].call.arg, 0x1001);
	is_ref(&recs[2], 0, 1, 1, TRACE_W, 1);
	assert_int_equal(recs[3].map.how, TRACE_HOW_MMAP);
	is_ref(&recs[4], 1, 1, 1, TRACE_W, 1);
	assert_int_equal(recs[5].call.op, TRACE_OP_MUNMAP);
	assert_int_equal(recs[5].call.page, 1);
	/* mprotect goes around the hole, in two pieces */
	assert_true(recs[6].call.more && !recs[7].call.more);
	assert_int_equal(recs[6].call.nr_pages, 1);
	assert_int_equal(recs[7].call.page, 2);
	assert_int_equal(recs[7].call.nr_pages, 3);
	assert_int_equal(recs[8].call.op, TRACE_OP_MREMAP);
	assert_int_equal(recs[8].call.new_map, 2);
	assert_int_equal(recs[9].map.how, TRACE_HOW_MOVE);
	assert_int_equal(recs[9].map.pages, 4);
	is_ref(&recs[10], 2, 3, 1, TRACE_W, 1);
	assert_int_equal(recs[11].call.op, TRACE_OP_MMAP);
	assert_int_equal(recs[11].call.err, 12);
	assert_int_equal(recs[12].type, TRACE_EXIT);
}

#define CALL(nr, text, ret)                                                 \
	"SYSCALL[100,1](" #nr ") sys_x ( " text " )[sync] --> Success(" ret \
	")\n"

static void is_fileop(const struct trace_rec *rec, u32 op, u32 file, u32 open,
		      u64 offset, u64 length)
{
	assert_int_equal(rec->type, TRACE_FILEOP);
	assert_int_equal(rec->fileop.op, op);
	assert_int_equal(rec->fileop.file, file);
	assert_int_equal(rec->fileop.open, open);
	assert_int_equal(rec->fileop.offset, offset);
	assert_int_equal(rec->fileop.length, length);
}

/* Positions, duplicates, appending, names: all from the text. */
static void test_files(void **state)
{
	const u32 no = TRACE_NO_ID;
	struct bench b;
	u32 i = 0;

	(void)state;
	begin(&b, 0);
	say(&b, CALL(2, "0x1(/no/such/file), 578, 384",
		     "0x3")			  /* CREAT|TRUNC|RDWR */
	    CALL(20, "3, 0x1000, 2", "0x64")	  /* writev 100 at 0 */
	    CALL(8, "3, 10, 0", "0xa")		  /* lseek */
	    CALL(32, "3", "0x4")		  /* dup */
	    CALL(19, "4, 0x1000, 1", "0x14")	  /* readv 20 at 10 */
	    CALL(295, "3, 0x1000, 1, 200", "0xa") /* preadv: it was longer */
	    CALL(3, "3", "0x0") CALL(77, "4, 8192", "0x0")
		    CALL(221, "4, 0, 0, 2", "0x0")
			    CALL(285, "4, 1, 0, 65536", "0x0") /* KEEP_SIZE */
	    CALL(2, "0x1(/no/such/file), 1089, 0", "0x5") /* CREAT|APPEND */
	    CALL(20, "5, 0x1000, 1",
		 "0x5") CALL(82, "0x1(/no/such/file), 0x2(/no/name)", "0x0")
		    CALL(75, "5", "0x0") CALL(40, "5, 4, 0, 30",
					      "0x1e") /* sendfile 4 to 5 */
	    CALL(40, "5, 4, 0x99, 30", "0x1e")	      /* from who knows where */
	    CALL(87, "0x1(/no/name)", "0x0")
		    CALL(319, "0x1, 1", "0x6") /* memfd */
	    CALL(9, "0x0, 4096, 3, 1, 6, 0", "0x5000000"));
	assert_int_equal(lackey_garbage(b.l), 0);
	assert_int_equal(lackey_unseen(b.l), 1);
	assert_int_equal(end(&b, recs), 24);
	assert_int_equal(recs[i].type, TRACE_FILE);
	assert_int_equal(recs[i++].file.size, 0);
	is_fileop(&recs[i++], TRACE_FOP_OPEN, 0, 0, 0, 0);
	is_fileop(&recs[i++], TRACE_FOP_WRITE, no, 0, 0, 100);
	is_fileop(&recs[i++], TRACE_FOP_READ, no, 0, 10, 20);
	is_fileop(&recs[i++], TRACE_FOP_TRUNCATE, 0, no, 210, 0);
	is_fileop(&recs[i++], TRACE_FOP_READ, no, 0, 200, 10);
	is_fileop(&recs[i++], TRACE_FOP_TRUNCATE, 0, no, 8192, 0);
	is_fileop(&recs[i++], TRACE_FOP_ADVISE, no, 0, 0, 0);
	is_fileop(&recs[i++], TRACE_FOP_ALLOCATE, no, 0, 0, 65536);
	is_fileop(&recs[i], TRACE_FOP_OPEN, 0, 1, 0, 0);
	assert_int_equal(recs[i++].fileop.arg, 6); /* writing, appending */
	is_fileop(&recs[i++], TRACE_FOP_WRITE, no, 1, 8192, 5);
	is_fileop(&recs[i], TRACE_FOP_SYNC, 0, no, 0, 0);
	assert_int_equal(recs[i++].fileop.arg, 1);
	is_fileop(&recs[i++], TRACE_FOP_READ, no, 0, 30, 30);
	is_fileop(&recs[i++], TRACE_FOP_WRITE, no, 1, 8197, 30);
	is_fileop(&recs[i++], TRACE_FOP_WRITE, no, 1, 8227, 30);
	is_fileop(&recs[i++], TRACE_FOP_UNLINK, 0, no, 0, 0);
	assert_int_equal(recs[i].file.flags, TRACE_FILE_MEMORY);
	assert_int_equal(recs[i++].type, TRACE_FILE);
	is_fileop(&recs[i++], TRACE_FOP_OPEN, 1, 2, 0, 0);
	is_fileop(&recs[i++], TRACE_FOP_UNLINK, 1, no, 0, 0);
	assert_int_equal(recs[i].map.file, 1);
	assert_int_equal(recs[i++].map.open, 2);
	/* Who exits closes all. */
	is_fileop(&recs[i++], TRACE_FOP_CLOSE, no, 0, 0, 0);
	is_fileop(&recs[i++], TRACE_FOP_CLOSE, no, 1, 0, 0);
	is_fileop(&recs[i++], TRACE_FOP_CLOSE, no, 2, 0, 0);
	assert_int_equal(recs[i].type, TRACE_EXIT);
}

/* Mappings that the kernel made one move together; the old ones may stay. */
static void test_mremap(void **state)
{
	struct bench b;
	u32 i = 0;

	(void)state;
	begin(&b, 0);
	say(&b, CALL(9, "0x5000000, 8192, 3, 34, 4294967295, 0", "0x5000000")
			CALL(9, "0x5002000, 8192, 3, 34, 4294967295, 0",
			     "0x5002000")
	    /* both, and two pages more, elsewhere */
	    CALL(25, "0x5000000, 16384, 24576, 0x1",
		 "0x6000000") " S 6003000,8\n"
	    /* the last one grows where it is, and keeps its id */
	    CALL(25, "0x6000000, 24576, 28672, 0x1",
		 "0x6000000") " S 6006000,8\n"
	    /* its first page stays behind, empty */
	    CALL(25, "0x6002000, 4096, 4096, 0x5",
		 "0x7000000") " S 6002000,8\n S 7000000,8\n");
	assert_int_equal(lackey_garbage(b.l), 0);
	assert_int_equal(end(&b, recs), 15);
	assert_int_equal(recs[i++].map.map, 0);
	assert_int_equal(recs[i++].map.map, 1);
	assert_int_equal(recs[i].map.how, TRACE_HOW_MMAP); /* room for them */
	assert_int_equal(recs[i].map.prot, 0);
	assert_int_equal(recs[i].map.map, 2);
	assert_int_equal(recs[i++].map.pages, 6);
	assert_int_equal(recs[i].call.op, TRACE_OP_MREMAP);
	assert_int_equal(recs[i].call.map, 0);
	assert_int_equal(recs[i].call.flags, 3);
	assert_int_equal(recs[i].call.nr_pages, 2);
	assert_int_equal(recs[i++].call.arg, 2);
	assert_int_equal(recs[i].map.at_map, 2);
	assert_int_equal(recs[i].map.at_page, 0);
	assert_int_equal(recs[i++].map.how, TRACE_HOW_MOVE);
	assert_int_equal(recs[i].call.map, 1);
	assert_int_equal(recs[i].call.nr_pages, 2);
	assert_int_equal(recs[i++].call.arg, 4);
	assert_int_equal(recs[i].map.at_map, 2);
	assert_int_equal(recs[i].map.at_page, 2);
	assert_int_equal(recs[i].map.pages, 4);
	is_ref(&recs[i + 1], recs[i].map.map, 1, 1, TRACE_W, 1);
	i += 2;
	assert_int_equal(recs[i].call.map, recs[i].call.new_map);
	assert_int_equal(recs[i].call.nr_pages, 4);
	assert_int_equal(recs[i++].call.arg, 5);
	is_ref(&recs[i++], recs[6].map.map, 4, 1, TRACE_W, 1);
	assert_int_equal(recs[i++].call.flags, 5);
	assert_int_equal(recs[i].map.how, TRACE_HOW_MOVE);
	is_ref(&recs[i + 1], recs[6].map.map, 0, 1, TRACE_W, 1);
	is_ref(&recs[i + 2], recs[i].map.map, 0, 1, TRACE_W, 1);
}

/* Results on a later line, other threads in between, text in small pieces. */
static void test_async_and_threads(void **state)
{
	static const char text[] =
		"--100--   SCHED[1]: entering VG_(scheduler)\n"
		"SYSCALL[100,1](0) sys_read ( 3, 0x7000ff0, 100 ) --> [async] "
		"... \n"
		"--100--   SCHED[2]:  acquired lock (thread_wrapper)\n"
		"--100--   SCHED[2]: entering VG_(scheduler)\n S 8000000,8\n"
		"--100--   SCHED[1]:  acquired lock (x)\n"
		"SYSCALL[100,1](0) ... [async] --> Success(0x20) \n"
		"--100--   SCHED[2]:  acquired lock (x)\n"
		"--100--   SCHED[2]: exiting VG_(scheduler)\n"
		"--100--   SCHED[1]:  acquired lock (x)\n L 8000000,8\n";
	struct bench b;

	(void)state;
	begin(&b, 0);
	for (size_t i = 0; text[i]; i++)
		assert_int_equal(lackey_text(b.l, b.p, text + i, 1), 0);
	assert_int_equal(lackey_garbage(b.l), 0);
	assert_int_equal(end(&b, recs), 12);
	assert_int_equal(recs[0].type, TRACE_FORK);
	assert_int_equal(recs[0].fork.flags,
			 TRACE_CLONE_VM | TRACE_CLONE_THREAD);
	assert_int_equal(recs[1].to, 1);
	is_ref(&recs[3], 0, 0, 1, TRACE_W, 1);
	assert_int_equal(recs[4].to, 0);
	/* the kernel wrote 0x20 bytes across a page boundary */
	is_ref(&recs[6], 1, 0, 2, TRACE_W, 2);
}

static void test_fork_exec_wait(void **state)
{
	struct lackey_proc *c;
	struct bench b;
	static const char child[] =
		"==101== Command: ./parent\n S 9000000,8\n"
		"SYSCALL[101,1](59) sys_execve ( 0x1(/bin/x), 0x2, 0x3 )==101== Lackey\n"
		"==101== Command: /bin/x\n S 9000000,8\n"
		"SYSCALL[101,1](231) exit_group( 5 ) --> [pre-success] "
		"Success(0x0) \n";

	(void)state;
	begin(&b, 0);
	say(&b, "==100== Command: ./parent\n S 9000000,8\n"
		"SYSCALL[100,1](56) sys_clone ( 1200011 )   clone(fork): "
		"process 100 created child 101\n --> [pre-success] "
		"Success(0x65) --100--   SCHED[1]: releasing lock\n");
	c = lackey_proc(b.l, 101);
	assert_non_null(c);
	assert_int_equal(lackey_text(b.l, c, child, strlen(child)), 0);
	say(&b, "SYSCALL[100,1](61) sys_wait4 ( 1 ) --> [async] ... \n"
		"SYSCALL[100,1](61) ... [async] --> Success(0x65) \n");
	assert_int_equal(lackey_garbage(b.l), 0);
	assert_int_equal(end(&b, recs), 14);
	is_ref(&recs[1], 0, 0, 1, TRACE_W, 1);
	assert_int_equal(recs[2].type, TRACE_FORK);
	assert_int_equal(recs[3].to, 1);
	is_ref(&recs[4], 0, 0, 1, TRACE_W, 1); /* after fork: reported anew */
	assert_int_equal(recs[5].type, TRACE_EXEC);
	assert_int_equal(recs[6].map.how, TRACE_HOW_TOUCH);
	assert_int_equal(recs[10].type, TRACE_EXIT);
	assert_int_equal(recs[10].exit_status, 5);
	assert_int_equal(recs[12].type, TRACE_WAIT);
	assert_int_equal(recs[12].child, 1);
}

static void test_garbage(void **state)
{
	static const char *const lines[] = {
		"I  xyz,3",
		"I  1000",
		"I  1000,",
		"I  1000,0",
		"I  1000,99999999",
		"I  11112222333344445,3",
		" L ffffffffffffffff,8",
		" S 1000,8 more",
		"hello",
		"SYSCALL[",
		"SYSCALL[1,2](x)",
		"SYSCALL[100,99999](1) x ( )",
		"SCHED[",
		"SCHED[777777]: acquired lock",
		"I",
		" L",
	};
	struct bench b;
	static char longest[20000];

	(void)state;
	begin(&b, 0);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		say(&b, lines[i]);
		say(&b, "\n");
		assert_int_equal(lackey_garbage(b.l), i + 1);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	say(&b, longest);
	say(&b, "\n L 1000,8\n");
	assert_int_equal(lackey_garbage(b.l), ARRAY_SIZE(lines) + 1);
	assert_int_equal(end(&b, recs), 3);
}

/* Words of the language in random order: never a crash, always a sound trace.
 */
static void test_random_text(void **state)
{
	static const char *const words[] = {
		"I  ",
		" L ",
		" S ",
		" M ",
		"1000,8",
		"fffff000,4",
		"\n",
		"\n",
		"\n",
		"SYSCALL[100,1](9) sys_mmap ( ",
		"0x0, 8192, 3, 34, ",
		"0x5000000, 1, ",
		"4294967295, 0 )",
		" --> [pre-success] ",
		"Success(0x5000000) ",
		"Failure(0xc)",
		"SYSCALL[100,2](25) ",
		"sys_mremap ( 0x5000000, 4096, ",
		"99999999, 1 )",
		"--1-- ",
		"SCHED[2]: acquired lock",
		"SCHED[1]: exiting VG_(scheduler)",
		"==1== Command: x",
		"SYSCALL[100,1](59) x ( )",
		"SYSCALL[100,1](12) sys_brk ( 0x6000000 )",
		"SYSCALL[100,1](11)",
		" sys_munmap ( 0x5000000, 18446744073709551615 )",
		" ... [async] ",
		"created child 7",
		"\xff\x01",
		"(",
		")",
		"SYSCALL[100,1](0) sys_read ( 1, 0x5000000, 8 )",
		"SYSCALL[100,1](61) sys_wait4 ( ) --> Success(0x7)",
	};
	u64 iters = test_iters(300);
	struct prng rnd;

	(void)state;
	test_seed(&rnd, "random text");
	for (u64 i = 0; i < iters; i++) {
		struct bench b;
		int ret = 0;

		begin(&b, prng_below(&rnd, 3) * 5);
		for (int k = 0; k < 400 && !ret; k++) {
			const char *w =
				words[prng_below(&rnd, ARRAY_SIZE(words))];

			ret = lackey_text(b.l, b.p, w, strlen(w));
		}
		if (ret)
			fail_msg("%s", b.r.err.text);
		assert_true(end(&b, recs) > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_mremap),
		cmocka_unit_test(test_async_and_threads),
		cmocka_unit_test(test_fork_exec_wait),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_random_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
