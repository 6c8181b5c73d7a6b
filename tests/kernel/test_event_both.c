/* SPDX-License-Identifier: MIT */
/*
 * test_event_both.c - the same scripts of calls here and on the kernel that
 * runs the test: pseudoterminals in packet mode, watches of files, sockets
 * that are taken apart, names of sockets, messages with files. Every result
 * and every byte is written down on both sides, and the two accounts must be
 * equal line by line.
 *
 * A script that the running kernel cannot begin (no /dev/ptmx, no inotify) is
 * skipped, with the reason. Descriptors' numbers differ and are not written
 * down.
 */
#include <errno.h>

extern long syscall(long nr, ...);
extern char *mkdtemp(char *name);

#include "sim_machine.h"

#include "event_stub.h"

#define MEM_PAGES 16
#define LOG_BYTES (256u << 10)

#define O_RDONLY    0u
#define O_WRONLY    1u
#define O_RDWR	    2u
#define O_CREAT	    0100u
#define O_EXCL	    0200u
#define O_NOCTTY    0400u
#define O_TRUNC	    01000u
#define O_NONBLOCK  04000u
#define O_DIRECTORY 0200000u
#define O_CLOEXEC   02000000u
#define AT_CWD	    (-100L)

enum {
	NR_read,
	NR_write,
	NR_open,
	NR_close,
	NR_fstat = 5,
	NR_poll = 7,
	NR_ioctl = 16,
	NR_dup = 32,
	NR_socket = 41,
	NR_connect,
	NR_accept,
	NR_sendto,
	NR_recvfrom,
	NR_sendmsg,
	NR_recvmsg,
	NR_shutdown,
	NR_bind,
	NR_listen,
	NR_getsockname,
	NR_getpeername,
	NR_socketpair,
	NR_setsockopt,
	NR_getsockopt,
	NR_fcntl = 72,
	NR_truncate = 76,
	NR_ftruncate,
	NR_chdir = 80,
	NR_rename = 82,
	NR_mkdir,
	NR_rmdir,
	NR_link = 86,
	NR_unlink,
	NR_symlink,
	NR_chmod = 90,
	NR_inotify_add = 254,
	NR_inotify_rm,
	NR_mknodat = 259,
	NR_utimensat = 280,
	NR_fallocate = 285,
	NR_inotify_init1 = 294,
	NR_renameat2 = 316,
};

/* ---- the two sides ---------------------------------------------------------
 */

static struct {
	bool ours;
	struct mm_struct *mm;
	uva_t area; /* ours */
	u8 mem[MEM_PAGES * 4096];
	char *log; /* of the side that runs */
	size_t len;
	const char *why_not;
} b;

static char our_log[LOG_BYTES], their_log[LOG_BYTES];

static long both_call(u32 nr, u64 x, u64 y, u64 z, u64 u, u64 v, u64 w)
{
	long ret;

	if (b.ours)
		return CALL(nr, x, y, z, u, v, w);
	ret = syscall(nr, x, y, z, u, v, w);
	return ret < 0 ? -errno : ret;
}
#define DO_(nr, x, y, z, u, v, w, ...)                                  \
	both_call(nr, (u64)(x), (u64)(y), (u64)(z), (u64)(u), (u64)(v), \
		  (u64)(w))
#define DO(...) DO_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* Where byte OFF of the script's memory is, for calls. */
static u64 at(u32 off)
{
	return b.ours ? b.area + off : (u64)(uintptr_t)(b.mem + off);
}

static void put(u32 off, const void *from, size_t n)
{
	if (b.ours)
		CHECK_EQ(user_write(at(off), from, n), 0);
	else
		memcpy(b.mem + off, from, n);
}

static void get(u32 off, void *to, size_t n)
{
	if (b.ours)
		CHECK_EQ(user_read(to, at(off), n), 0);
	else
		memcpy(to, b.mem + off, n);
}

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	b.len += (size_t)vsnprintf(b.log + b.len, LOG_BYTES - b.len, fmt, ap);
	va_end(ap);
	CHECK(b.len < LOG_BYTES - 512);
}

/* A descriptor's number is its side's own. */
static long fd_or_error(long ret)
{
	return ret < 0 ? ret : 0;
}

static void say_bytes(u32 off, long n)
{
	u8 bytes[512];

	say("%ld:", n);
	if (n > 0)
		get(off, bytes, (size_t)n);
	for (long i = 0; i < n; i++)
		say(bytes[i] >= ' ' && bytes[i] < 127 ? "%c" : "\\%02x",
		    bytes[i]);
	say("\n");
}

#define PATH_AT 0u
#define DATA_AT 8192u

static u64 path(const char *text)
{
	put(PATH_AT, text, strlen(text) + 1);
	return at(PATH_AT);
}

MM_UNUSED static u64 path2(const char *text)
{
	put(PATH_AT + 4096, text, strlen(text) + 1);
	return at(PATH_AT + 4096);
}

static long open_file(const char *name, u32 flags)
{
	return DO(NR_open, path(name), flags, 0600);
}

static long write_text(long fd, const char *text)
{
	put(DATA_AT, text, strlen(text));
	return DO(NR_write, fd, at(DATA_AT), strlen(text));
}

static void read_say(long fd, u32 n)
{
	long got = DO(NR_read, fd, at(DATA_AT), n);

	say("read ");
	say_bytes(DATA_AT, got);
}

static long ioctl_int(long fd, u32 cmd, s32 *v)
{
	long ret;

	put(DATA_AT, v, sizeof(*v));
	ret = DO(NR_ioctl, fd, cmd, at(DATA_AT));
	get(DATA_AT, v, sizeof(*v));
	return ret;
}

static void poll_say(long fd, u32 events)
{
	struct {
		s32 fd;
		s16 events, revents;
	} p = {(s32)fd, (s16)events, 0};
	long ret;

	put(DATA_AT, &p, sizeof(p));
	ret = DO(NR_poll, at(DATA_AT), 1, 0);
	get(DATA_AT, &p, sizeof(p));
	say("poll %ld %x\n", ret, (u16)p.revents);
}

/* ---- pseudoterminals -------------------------------------------------------
 */

#define TIOCGPTN    0x80045430u
#define TIOCSPTLCK  0x40045431u
#define TIOCGPTPEER 0x5441u
#define TIOCPKT	    0x5420u
#define TIOCGPKT    0x80045438u
#define TCGETS	    0x5401u
#define TCSETS	    0x5402u
#define TCXONC	    0x540au
#define TCFLSH	    0x540bu

struct termios_words {
	u32 iflag, oflag, cflag, lflag;
	u8 rest[20];
};

static void set_iflag(long fd, u32 clear, u32 set)
{
	struct termios_words t;

	say("tcgets %ld\n", DO(NR_ioctl, fd, TCGETS, at(DATA_AT)));
	get(DATA_AT, &t, sizeof(t));
	t.iflag = (t.iflag & ~clear) | set;
	put(DATA_AT, &t, sizeof(t));
	say("tcsets %ld\n", DO(NR_ioctl, fd, TCSETS, at(DATA_AT)));
}

static void pty_open(long *m, long *s)
{
	s32 off = 0;

	*m = open_file("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
	if (*m < 0) {
		b.why_not = "/dev/ptmx cannot be opened";
		return;
	}
	say("peer while locked %ld\n",
	    fd_or_error(DO(NR_ioctl, *m, TIOCGPTPEER, O_RDWR | O_NOCTTY)));
	say("unlock %ld\n", ioctl_int(*m, TIOCSPTLCK, &off));
	*s = DO(NR_ioctl, *m, TIOCGPTPEER,
		O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (*s < 0 && !b.ours)
		b.why_not = "TIOCGPTPEER is not there";
	say("peer %ld\n", fd_or_error(*s));
}

static void script_peer(void)
{
	long m, s, t;

	pty_open(&m, &s);
	if (b.why_not)
		return;
	say("cloexec %ld\n", DO(NR_fcntl, s, 1));
	/* O_LARGEFILE and O_CLOEXEC are shown by one side each. */
	say("flags %lx\n", DO(NR_fcntl, s, 3) & ~0x88000);
	say("write %ld\n", write_text(s, "a\n"));
	read_say(m, 100);
	t = DO(NR_ioctl, m, TIOCGPTPEER, O_RDONLY | O_NOCTTY);
	say("read only %ld: %ld\n", fd_or_error(t), write_text(t, "x"));
	say("slave has none %ld\n", DO(NR_ioctl, s, TIOCGPTPEER, O_RDWR));
	(void)DO(NR_close, t);
	(void)DO(NR_close, s);
	(void)DO(NR_close, m);
}

static void packet_states(long m, long s)
{
	/* Stop, go, both between two reads. */
	say("off %ld\n", DO(NR_ioctl, s, TCXONC, 0));
	poll_say(m, 0x3);
	read_say(m, 100);
	say("off again %ld\n", DO(NR_ioctl, s, TCXONC, 0));
	read_say(m, 100);
	say("on %ld\n", DO(NR_ioctl, s, TCXONC, 1));
	say("off %ld\n", DO(NR_ioctl, s, TCXONC, 0));
	say("on %ld\n", DO(NR_ioctl, s, TCXONC, 1));
	read_say(m, 100);
	/* What is dropped. */
	for (u32 what = 0; what < 3; what++) {
		say("flush %ld\n", DO(NR_ioctl, s, TCFLSH, what));
		read_say(m, 100);
		read_say(m, 100);
	}
	/* ^S and ^Q are the terminal's, or not. */
	set_iflag(s, 02000, 0);
	read_say(m, 100);
	set_iflag(s, 0, 02000);
	read_say(m, 100);
	set_iflag(s, 0, 02000);
	read_say(m, 100);
}

static void script_packet(void)
{
	long m, s;
	s32 on = 1;

	pty_open(&m, &s);
	if (b.why_not)
		return;
	say("before %ld\n", write_text(s, "before"));
	say("slave's %ld\n", ioctl_int(s, TIOCPKT, &on));
	say("on %ld\n", ioctl_int(m, TIOCPKT, &on));
	on = 7;
	say("is %ld", ioctl_int(m, TIOCGPKT, &on));
	say(" %d\n", on);
	read_say(m, 100);
	read_say(m, 100);
	say("some %ld\n", write_text(s, "some bytes"));
	read_say(m, 5);
	read_say(m, 100);
	poll_say(m, 0x3);
	packet_states(m, s);
	/* Output with something that happened: that comes first. */
	say("text %ld\n", write_text(s, "text"));
	say("off %ld\n", DO(NR_ioctl, s, TCXONC, 0));
	poll_say(m, 0x3);
	read_say(m, 100);
	read_say(m, 100);
	/* What a call has stopped, a call lets go on. */
	say("typed %ld\n", write_text(m, "\021\023\021"));
	read_say(m, 100);
	say("held %ld\n", write_text(s, "x"));
	say("on %ld\n", DO(NR_ioctl, s, TCXONC, 1));
	read_say(m, 100);
	say("typed %ld\n", write_text(m, "\023"));
	read_say(m, 100);
	say("typed %ld\n", write_text(m, "\021"));
	read_say(m, 100);
	on = 0;
	say("flush %ld\n", DO(NR_ioctl, s, TCFLSH, 1));
	say("off %ld\n", ioctl_int(m, TIOCPKT, &on));
	read_say(m, 100);
	say("plain %ld\n", write_text(s, "plain"));
	read_say(m, 100);
	(void)DO(NR_close, s);
	read_say(m, 100);
	(void)DO(NR_close, m);
}

/* ---- running a script on both ----------------------------------------------
 */

static void our_devpts(void)
{
	(void)DO(NR_mkdir, path("/dev/pts"), 0755);
	put(512, "devpts", 7);
	CHECK_EQ(CALL(165, at(512), path("/dev/pts"), at(512), 0, 0), 0);
}

static int our_body(void *arg)
{
	void (*script)(void) = (void (*)(void))(uintptr_t)arg;

	b.ours = true;
	b.log = our_log;
	b.len = 0;
	b.mm = tm_mm();
	b.area = tm_map(b.mm, MEM_PAGES);
	tm_use(b.mm);
	es_start_files(b.mm);
	our_devpts();
	CHECK_EQ(DO(NR_mkdir, path("/w"), 0755), 0);
	CHECK_EQ(DO(NR_chdir, path("/w")), 0);
	script();
	es_stop_files();
	mm_put(b.mm);
	return 0;
}

static void their_side(void (*script)(void))
{
	char dir[] = "/tmp/mmkit-both-XXXXXX";

	b.ours = false;
	b.log = their_log;
	b.len = 0;
	b.why_not = NULL;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(DO(NR_chdir, path(dir)), 0);
	script();
	assert_int_equal(DO(NR_chdir, path("/")), 0);
	/* Empty, if the script has cleaned up. */
	assert_int_equal(DO(NR_rmdir, path(dir)), 0);
}

static void compare(void)
{
	char *o = our_log, *t = their_log;
	u32 line = 1;

	while (*o || *t) {
		size_t n = strcspn(o, "\n"), k = strcspn(t, "\n");

		if (n != k || memcmp(o, t, n)) {
			fprintf(stderr,
				"line %u: here  \"%.*s\"\n"
				"%*sthere \"%.*s\"\n",
				line, (int)n, o, 8 + (line > 9) + (line > 99),
				"", (int)k, t);
			fprintf(stderr, "---- there:\n%s", their_log);
			fprintf(stderr, "---- here:\n%s", our_log);
			fail();
		}
		o += n + (o[n] != 0);
		t += k + (t[k] != 0);
		line++;
	}
	assert_true(line > 3);
}

static void both(void (*script)(void))
{
	their_side(script);
	if (b.why_not) {
		print_message("skip: %s\n", b.why_not);
		skip();
	}
	TM_RUN(our_body, .arg = (void *)(uintptr_t)script, .cpus = 1);
	compare();
}

#define BOTH(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		both(script_##name);          \
	}
BOTH(peer)
BOTH(packet)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer),
		cmocka_unit_test(test_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
