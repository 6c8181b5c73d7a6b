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

static u64 path2(const char *text)
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

static void poll_for(long fd, u32 events, long ms)
{
	struct {
		s32 fd;
		s16 events, revents;
	} p = {(s32)fd, (s16)events, 0};
	long ret;

	put(DATA_AT, &p, sizeof(p));
	ret = DO(NR_poll, at(DATA_AT), 1, ms);
	get(DATA_AT, &p, sizeof(p));
	say("poll %ld %x\n", ret, (u16)p.revents);
}

/* Linux brings bytes from end to end of a terminal in its own time. */
static void read_got(long fd, u32 n)
{
	struct {
		s32 fd;
		s16 events, revents;
	} p = {(s32)fd, 1, 0};

	put(DATA_AT, &p, sizeof(p));
	(void)DO(NR_poll, at(DATA_AT), 1, 20000);
	read_say(fd, n);
}

static void poll_say(long fd, u32 events)
{
	poll_for(fd, events, 0);
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
	read_got(m, 100);
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
	read_got(m, 100);
	read_say(m, 100);
	say("some %ld\n", write_text(s, "some bytes"));
	read_got(m, 5);
	read_say(m, 100);
	poll_say(m, 0x3);
	packet_states(m, s);
	/* Output with something that happened: that comes first. */
	say("text %ld\n", write_text(s, "text"));
	say("off %ld\n", DO(NR_ioctl, s, TCXONC, 0));
	poll_say(m, 0x3);
	read_say(m, 100);
	read_got(m, 100);
	/* What a call has stopped, a call lets go on. */
	say("typed %ld\n", write_text(m, "\021"));
	say("held %ld\n", write_text(s, "x"));
	say("on %ld\n", DO(NR_ioctl, s, TCXONC, 1));
	read_say(m, 100);
	/* Linux takes what is typed in its own time. */
	say("typed %ld\n", write_text(m, "\023"));
	poll_for(m, 0x1, 20000);
	read_say(m, 100);
	say("typed %ld\n", write_text(m, "\021"));
	poll_for(m, 0x1, 20000);
	read_say(m, 100);
	on = 0;
	say("flush %ld\n", DO(NR_ioctl, s, TCFLSH, 1));
	say("off %ld\n", ioctl_int(m, TIOCPKT, &on));
	read_say(m, 100);
	say("plain %ld\n", write_text(s, "plain"));
	read_got(m, 100);
	(void)DO(NR_close, s);
	read_say(m, 100);
	(void)DO(NR_close, m);
}

/* ---- watches of files ------------------------------------------------------
 */

#define IN_ALL		0xfffu
#define IN_MODIFY_	0x2u
#define IN_OPEN_	0x20u
#define IN_CREATE_	0x100u
#define IN_ONLYDIR_	0x01000000u
#define IN_DONT_FOLLOW_ 0x02000000u
#define IN_EXCL_UNLINK_ 0x04000000u
#define IN_MASK_CREATE_ 0x10000000u
#define IN_MASK_ADD_	0x20000000u
#define IN_ONESHOT_	0x80000000u

struct in_event {
	s32 wd;
	u32 mask, cookie, len;
};

/* Cookies are told by whether they equal the last one. */
static void say_events(const u8 *bytes, long n)
{
	static u32 last;
	struct in_event e;

	for (long i = 0; i < n; i += (long)sizeof(e) + e.len) {
		memcpy(&e, bytes + i, sizeof(e));
		say("  wd %d mask %x len %u", e.wd, e.mask, e.len);
		say(" cookie %s", !e.cookie	     ? "none"
				  : e.cookie == last ? "same"
						     : "new");
		last = e.cookie;
		if (e.len)
			say(" \"%s\"", bytes + i + sizeof(e));
		say("\n");
	}
}

static void events(long in, const char *what)
{
	u8 bytes[8192];
	long n = DO(NR_read, in, at(DATA_AT), sizeof(bytes));

	say("%s: %ld\n", what, n);
	if (n <= 0)
		return;
	get(DATA_AT, bytes, (size_t)n);
	say_events(bytes, n);
}

static long watch(long in, const char *name, u32 mask)
{
	return DO(NR_inotify_add, in, path(name), mask);
}

static long new_inotify(void)
{
	long in = DO(NR_inotify_init1, O_NONBLOCK | O_CLOEXEC);

	if (in < 0 && !b.ours)
		b.why_not = "inotify_init1 is not there";
	return in;
}

static void touch(const char *name)
{
	long fd = open_file(name, O_RDWR | O_CREAT);

	say("made %s %ld\n", name, fd_or_error(fd));
	(void)DO(NR_close, fd);
}

static void watch_contents(long in)
{
	long fd = open_file("d/f", O_RDWR | O_CREAT);

	events(in, "open, create");
	say("write %ld\n", write_text(fd, "some"));
	say("write %ld\n", write_text(fd, "more"));
	events(in, "two writes");
	say("seek %ld\n", DO(8, fd, 0, 0));
	read_say(fd, 3);
	read_say(fd, 0);
	read_say(fd, 100);
	read_say(fd, 100);
	events(in, "reads");
	say("trunc %ld\n", DO(NR_ftruncate, fd, 2));
	say("grow %ld\n", DO(NR_fallocate, fd, 0, 0, 5000));
	say("mode %ld\n", DO(NR_chmod, path("d/f"), 0640));
	say("times %ld\n", DO(NR_utimensat, AT_CWD, path("d/f"), 0, 0));
	events(in, "size, mode, times");
	(void)DO(NR_close, fd);
	events(in, "close");
	fd = open_file("d/f", O_RDONLY);
	(void)DO(NR_close, fd);
	events(in, "read only");
	fd = open_file("d/f", O_WRONLY | O_TRUNC);
	(void)DO(NR_close, fd);
	events(in, "emptied");
	say("truncate %ld\n", DO(NR_truncate, path("d/f"), 7));
	events(in, "truncate");
}

static void watch_names(long in)
{
	say("mkdir %ld\n", DO(NR_mkdir, path("d/sub"), 0700));
	say("symlink %ld\n", DO(NR_symlink, path("f"), path2("d/l")));
	say("link %ld\n", DO(NR_link, path("d/f"), path2("d/f2")));
	say("fifo %ld\n", DO(NR_mknodat, AT_CWD, path("d/p"), 010600, 0));
	events(in, "made");
	say("rename %ld\n", DO(NR_rename, path("d/f2"), path2("d/f3")));
	say("rename %ld\n", DO(NR_rename, path("d/sub"), path2("d/bus")));
	say("out %ld\n", DO(NR_rename, path("d/f3"), path2("f3")));
	say("in %ld\n", DO(NR_rename, path("f3"), path2("d/f4")));
	say("dir down %ld\n", DO(NR_rename, path("d/p"), path2("d/bus/p")));
	events(in, "moved");
	touch("d/x");
	touch("d/y");
	events(in, "x and y");
	say("over %ld\n", DO(NR_rename, path("d/x"), path2("d/y")));
	say("swap %ld\n",
	    DO(NR_renameat2, AT_CWD, path("d/y"), AT_CWD, path2("d/l"), 2));
	events(in, "over and swapped");
	say("unlink %ld\n", DO(NR_unlink, path("d/y")));
	say("unlink %ld\n", DO(NR_unlink, path("d/l")));
	say("unlink %ld\n", DO(NR_unlink, path("d/bus/p")));
	say("rmdir %ld\n", DO(NR_rmdir, path("d/bus")));
	say("unlink %ld\n", DO(NR_unlink, path("d/none")));
	events(in, "gone");
}

static void watch_itself(long in)
{
	long fd;

	say("file %ld\n", watch(in, "d/f", IN_ALL));
	say("again %ld\n", watch(in, "d/f4", IN_ALL)); /* the same file */
	fd = open_file("d/f4", O_RDWR);
	say("write %ld\n", write_text(fd, "abc"));
	say("unlink %ld\n", DO(NR_unlink, path("d/f4")));
	say("rename %ld\n", DO(NR_rename, path("d/f"), path2("d/g")));
	events(in, "by the other name");
	say("unlink %ld\n", DO(NR_unlink, path("d/g")));
	events(in, "the last name");
	(void)DO(NR_close, fd);
	events(in, "the last file");
	say("rm %ld\n", DO(NR_inotify_rm, in, 2));
	touch("d/h");
	say("file %ld\n", watch(in, "d/h", IN_ALL));
	say("unlink %ld\n", DO(NR_unlink, path("d/h")));
	events(in, "watched and removed");
}

static void script_inotify(void)
{
	long in = new_inotify();
	s32 n = 0;

	if (b.why_not)
		return;
	say("mkdir %ld\n", DO(NR_mkdir, path("d"), 0755));
	say("watch %ld\n", watch(in, "d", IN_ALL));
	poll_say(in, 0x1);
	watch_contents(in);
	watch_names(in);
	watch_itself(in);
	say("chmod %ld\n", DO(NR_chmod, path("d"), 0700));
	n = (s32)DO(NR_open, path("d"), O_RDONLY | O_DIRECTORY);
	(void)DO(NR_close, n);
	say("bytes %ld", ioctl_int(in, 0x541b, &n));
	say(" %d\n", n);
	poll_say(in, 0x1);
	say("moved %ld\n", DO(NR_rename, path("d"), path2("e")));
	events(in, "itself");
	touch("e/z");
	say("unlink %ld\n", DO(NR_unlink, path("e/z")));
	say("rmdir %ld\n", DO(NR_rmdir, path("e")));
	events(in, "and its end");
	(void)DO(NR_close, in);
}

static void script_inotify_calls(void)
{
	long in = new_inotify(), fd;
	s32 wd;

	if (b.why_not)
		return;
	say("init %ld\n", DO(NR_inotify_init1, 4));
	say("mkdir %ld\n", DO(NR_mkdir, path("d"), 0755));
	touch("f");
	say("link %ld\n", DO(NR_symlink, path("d"), path2("l")));
	say("no bits %ld\n", watch(in, "d", 0));
	say("odd bits %ld\n", watch(in, "d", 0x00100000));
	say("no name %ld\n", watch(in, "none", IN_ALL));
	say("no fd %ld\n", watch(-1, "d", IN_ALL));
	fd = open_file("f", O_RDONLY);
	say("other fd %ld\n", watch(fd, "d", IN_ALL));
	say("rm other fd %ld\n", DO(NR_inotify_rm, fd, 1));
	say("only dir %ld\n", watch(in, "f", IN_ALL | IN_ONLYDIR_));
	say("both %ld\n",
	    watch(in, "d", IN_ALL | IN_MASK_ADD_ | IN_MASK_CREATE_));
	say("rm none %ld\n", DO(NR_inotify_rm, in, 1));
	say("link itself %ld\n", watch(in, "l", IN_ALL | IN_DONT_FOLLOW_));
	say("through %ld\n", watch(in, "l", IN_CREATE_));
	say("exists %ld\n", watch(in, "d", IN_ALL | IN_MASK_CREATE_));
	say("added %ld\n", watch(in, "d", IN_OPEN_ | IN_MASK_ADD_));
	touch("d/a");
	touch("d/b");
	events(in, "create, open");
	say("instead %ld\n", watch(in, "d", IN_MODIFY_));
	touch("d/c");
	events(in, "nothing");
	say("once %ld\n", watch(in, "d", IN_CREATE_ | IN_ONESHOT_));
	touch("d/e");
	touch("d/g");
	events(in, "once");
	wd = (s32)watch(in, "d", IN_CREATE_);
	say("new number %d\n", wd);
	touch("d/name-of-more-than-sixteen-bytes");
	say("no room %ld\n", DO(NR_read, in, at(DATA_AT), 40));
	touch("d/h");
	say("room for one %ld\n", DO(NR_read, in, at(DATA_AT), 70));
	events(in, "the rest");
	say("write %ld\n", write_text(in, "x"));
	say("rm %ld\n", DO(NR_inotify_rm, in, wd));
	say("rm %ld\n", DO(NR_inotify_rm, in, wd));
	events(in, "removed");
	/* An open file whose name is gone, by one who does not care. */
	say("excl %ld\n", watch(in, "d", IN_ALL | IN_EXCL_UNLINK_));
	(void)DO(NR_close, fd);
	fd = open_file("d/a", O_RDWR);
	say("unlink %ld\n", DO(NR_unlink, path("d/a")));
	say("write %ld\n", write_text(fd, "x"));
	(void)DO(NR_close, fd);
	events(in, "but for that");
	for (const char *p = "bcegh"; *p; p++) {
		char name[4] = {'d', '/', *p, 0};

		(void)DO(NR_unlink, path(name));
	}
	(void)DO(NR_unlink, path("d/name-of-more-than-sixteen-bytes"));
	(void)DO(NR_unlink, path("l"));
	(void)DO(NR_unlink, path("f"));
	say("rmdir %ld\n", DO(NR_rmdir, path("d")));
	(void)DO(NR_close, in);
}

/* ---- sockets ---------------------------------------------------------------
 */

#define ADDR_AT	     1024u
#define LEN_AT	     2048u
#define SOCK_STREAM_ 1
#define SOCK_DGRAM_  2
#define SOCK_SEQ_    5
#define NOSIGNAL_    0x4000

struct in_name {
	u16 family;
	u8 port[2], addr[4], zero[8];
};

/* 127.0.0.1 (0: any address) and a port, or one that is free. */
static u64 in_name(u32 addr, const u8 *port)
{
	struct in_name n = {.family = 2};

	if (addr)
		memcpy(n.addr, (u8[]){127, 0, 0, 1}, 4);
	if (port)
		memcpy(n.port, port, 2);
	put(ADDR_AT, &n, sizeof(n));
	return at(ADDR_AT);
}

static u64 no_name(void)
{
	struct in_name n = {.family = 0};

	put(ADDR_AT, &n, sizeof(n));
	return at(ADDR_AT);
}

/*
 * A port is written down as one there is, or none; not at all if PORT is NULL:
 * Linux shows the one that a socket had before it was connected to nothing.
 */
static void say_in_name(u32 nr, long fd, u8 *port)
{
	struct in_name n = {0};
	u32 len = sizeof(n);
	long ret;

	put(ADDR_AT, &n, sizeof(n));
	put(LEN_AT, &len, sizeof(len));
	ret = DO(nr, fd, at(ADDR_AT), at(LEN_AT));
	get(ADDR_AT, &n, sizeof(n));
	get(LEN_AT, &len, sizeof(len));
	say("name %ld: len %u family %u %u.%u.%u.%u\n", ret, len, n.family,
	    n.addr[0], n.addr[1], n.addr[2], n.addr[3]);
	if (!port)
		return;
	say("port %s\n", n.port[0] || n.port[1] ? "yes" : "no");
	memcpy(port, n.port, 2);
}

static void say_error(long fd)
{
	s32 v = 0;
	u32 len = 4;
	long ret;

	put(LEN_AT, &len, sizeof(len));
	ret = DO(NR_getsockopt, fd, 1, 4, at(ADDR_AT), at(LEN_AT));
	get(ADDR_AT, &v, 4);
	say("error %ld %d\n", ret, v);
}

static long in_socket(u32 type)
{
	return DO(NR_socket, 2, type | O_NONBLOCK, 0);
}

static long connect_port(long fd, const u8 *port)
{
	long ret = DO(NR_connect, fd, in_name(1, port), 16);

	/* Linux's is always under way, ours done where there is a place. */
	return ret == -115 ? 0 : ret;
}

static long unconnect(long fd)
{
	return DO(NR_connect, fd, no_name(), 16);
}

static void say_traffic(long from, long to)
{
	say("send %ld\n", DO(NR_sendto, from, at(DATA_AT), 5, NOSIGNAL_));
	poll_for(to, 0x1, 20000);
	say("recv %ld\n", DO(NR_recvfrom, to, at(DATA_AT), 100));
}

static void unconnect_stream(long l, u8 *port)
{
	long c = in_socket(SOCK_STREAM_), s;

	say("of nothing %ld\n", unconnect(c));
	say_error(c);
	say("connect %ld\n", connect_port(c, port));
	poll_for(l, 0x1, 20000);
	s = DO(NR_accept, l, 0, 0);
	say("accepted %ld\n", fd_or_error(s));
	say_traffic(c, s);
	say("unread %ld\n", DO(NR_sendto, s, at(DATA_AT), 5, NOSIGNAL_));
	say("unconnect %ld\n", unconnect(c));
	poll_for(s, 0x1, 20000);
	say("reset %ld\n", DO(NR_recvfrom, s, at(DATA_AT), 100));
	say("no more %ld\n", DO(NR_recvfrom, s, at(DATA_AT), 100));
	say_in_name(NR_getsockname, c, NULL);
	say_in_name(NR_getpeername, c, NULL);
	poll_say(c, 0x5);
	say_error(c);
	say_error(c);
	poll_say(c, 0x5);
	say("not connected %ld\n", DO(NR_recvfrom, c, at(DATA_AT), 100));
	say("not connected %ld\n", DO(NR_sendto, c, at(DATA_AT), 5, NOSIGNAL_));
	(void)DO(NR_close, s);
	say("again %ld\n", connect_port(c, port));
	poll_for(l, 0x1, 20000);
	s = DO(NR_accept, l, 0, 0);
	say("accepted %ld\n", fd_or_error(s));
	say_traffic(s, c);
	(void)DO(NR_close, s);
	poll_for(c, 0x1, 20000);
	say("end %ld\n", DO(NR_recvfrom, c, at(DATA_AT), 100));
	say("after the end %ld\n", unconnect(c));
	poll_say(c, 0x5);
	say_error(c);
	(void)DO(NR_close, c);
}

/* What bind has named stays, what connect has added goes: the address of C,
 * which is bound to a port of any, then the port of D, which names none. */
static void unconnect_named(void)
{
	long l = in_socket(SOCK_DGRAM_), c = in_socket(SOCK_DGRAM_);
	long d, e = in_socket(SOCK_DGRAM_);
	u8 port[2], free_port[2];

	say("bind %ld\n", DO(NR_bind, e, in_name(1, NULL), 16));
	say_in_name(NR_getsockname, e, free_port);
	(void)DO(NR_close, e);
	e = in_socket(SOCK_DGRAM_);
	say("bind %ld\n", DO(NR_bind, l, in_name(1, NULL), 16));
	say_in_name(NR_getsockname, l, port);
	say("bind any %ld\n", DO(NR_bind, c, in_name(0, free_port), 16));
	say_in_name(NR_getsockname, c, NULL);
	say("connect %ld\n", connect_port(c, port));
	say_in_name(NR_getsockname, c, NULL);
	say("unconnect %ld\n", unconnect(c));
	say_in_name(NR_getsockname, c, free_port);
	say("its port %ld\n", DO(NR_bind, e, in_name(0, free_port), 16));
	(void)DO(NR_close, c);
	(void)DO(NR_close, e);
	/* Neither a port that connect chose nor one that bind did. */
	for (int bound = 0; bound < 2; bound++) {
		d = in_socket(SOCK_DGRAM_);
		e = in_socket(SOCK_DGRAM_);
		if (bound)
			say("bind %ld\n", DO(NR_bind, d, in_name(1, NULL), 16));
		say("connect %ld\n", connect_port(d, port));
		say_in_name(NR_getsockname, d, free_port);
		say("taken %ld\n", DO(NR_bind, e, in_name(1, free_port), 16));
		say("unconnect %ld\n", unconnect(d));
		say_in_name(NR_getsockname, d, NULL);
		say("free %ld\n", DO(NR_bind, e, in_name(1, free_port), 16));
		(void)DO(NR_close, d);
		(void)DO(NR_close, e);
	}
	(void)DO(NR_close, l);
}

static void script_unconnect(void)
{
	long l = in_socket(SOCK_STREAM_), c = in_socket(SOCK_STREAM_), d;
	u8 port[2];

	if (l < 0) {
		b.why_not = "there is no AF_INET";
		return;
	}
	say("bind %ld\n", DO(NR_bind, l, in_name(1, NULL), 16));
	say("listen %ld\n", DO(NR_listen, l, 5));
	say_in_name(NR_getsockname, l, port);
	unconnect_stream(l, port);
	/* One that listens, with somebody in the line. */
	say("connect %ld\n", connect_port(c, port));
	poll_for(l, 0x1, 20000);
	say("listener %ld\n", unconnect(l));
	poll_for(c, 0x1, 20000);
	say("turned away %ld\n", DO(NR_recvfrom, c, at(DATA_AT), 100));
	say_in_name(NR_getsockname, l, NULL);
	say_error(l);
	say("accept %ld\n", DO(NR_accept, l, 0, 0));
	say("listen %ld\n", DO(NR_listen, l, 5));
	say_in_name(NR_getsockname, l, NULL);
	(void)DO(NR_close, c);
	(void)DO(NR_close, l);
	/* Datagrams. */
	d = in_socket(SOCK_DGRAM_);
	c = in_socket(SOCK_DGRAM_);
	say("bind %ld\n", DO(NR_bind, d, in_name(1, NULL), 16));
	say_in_name(NR_getsockname, d, port);
	say("connect %ld\n", connect_port(c, port));
	say_in_name(NR_getsockname, c, NULL);
	say_in_name(NR_getpeername, c, NULL);
	say_traffic(c, d);
	say("unconnect %ld\n", unconnect(c));
	say_in_name(NR_getsockname, c, NULL);
	say_in_name(NR_getpeername, c, NULL);
	say("to nobody %ld\n", DO(NR_sendto, c, at(DATA_AT), 5, NOSIGNAL_));
	say("bound %ld\n", unconnect(d));
	say_in_name(NR_getsockname, d, NULL);
	(void)DO(NR_close, c);
	(void)DO(NR_close, d);
	unconnect_named();
}

static u64 un_name(const char *name, size_t n)
{
	u8 bytes[110] = {1};

	memcpy(bytes + 2, name, n);
	put(ADDR_AT, bytes, sizeof(bytes));
	return at(ADDR_AT);
}

static void say_un_name(u32 nr, long fd, u32 room)
{
	u8 bytes[128];
	u32 len = room;
	long ret;

	memset(bytes, 0xee, sizeof(bytes));
	put(ADDR_AT, bytes, sizeof(bytes));
	put(LEN_AT, &len, sizeof(len));
	ret = DO(nr, fd, at(ADDR_AT), at(LEN_AT));
	get(LEN_AT, &len, sizeof(len));
	say("un name %ld len %u ", ret, len);
	say_bytes(ADDR_AT, ret ? 0 : (long)min(room, 24u));
}

static void script_names(void)
{
	long a = DO(NR_socket, 1, SOCK_DGRAM_ | O_NONBLOCK, 0), c, s;
	long l = DO(NR_socket, 1, SOCK_STREAM_ | O_NONBLOCK, 0);
	u32 len = 110;

	if (a < 0) {
		b.why_not = "there is no AF_UNIX";
		return;
	}
	say_un_name(NR_getsockname, a, 110);
	say_un_name(NR_getpeername, a, 110);
	say("too long %ld\n", DO(NR_bind, a, un_name("x", 1), 111));
	say("too short %ld\n", DO(NR_bind, a, un_name("x", 1), 1));
	say("path %ld\n", DO(NR_bind, a, un_name("sock", 4), 6));
	say("twice %ld\n", DO(NR_bind, a, un_name("other", 5), 7));
	say_un_name(NR_getsockname, a, 110);
	say_un_name(NR_getsockname, a, 5);
	say_un_name(NR_getsockname, a, 0);
	say("taken %ld\n", DO(NR_bind, l, un_name("sock", 4), 6));
	say("kind %ld\n", DO(NR_connect, l, un_name("sock", 4), 6));
	say("none %ld\n", DO(NR_connect, l, un_name("none", 4), 6));
	say("listen %ld\n", DO(NR_bind, l, un_name("l", 1), 4));
	say("listen %ld\n", DO(NR_listen, l, 2));
	say_un_name(NR_getsockname, l, 110);
	c = DO(NR_socket, 1, SOCK_STREAM_ | O_NONBLOCK, 0);
	say("unspec %ld\n", unconnect(c));
	say("connect %ld\n", DO(NR_connect, c, un_name("l", 1), 4));
	put(LEN_AT, &len, sizeof(len));
	s = DO(NR_accept, l, at(ADDR_AT), at(LEN_AT));
	get(LEN_AT, &len, sizeof(len));
	say("accept %ld len %u\n", fd_or_error(s), len);
	say_un_name(NR_getsockname, s, 110);
	say_un_name(NR_getpeername, c, 110);
	say_un_name(NR_getpeername, s, 110);
	say("unspec %ld\n", unconnect(c));
	/* A name that the kernel chooses: five digits behind a zero. */
	say("autobind %ld\n", DO(NR_bind, c, un_name("", 0), 2));
	put(LEN_AT, &(u32){110}, 4);
	say("name %ld ", DO(NR_getsockname, c, at(ADDR_AT), at(LEN_AT)));
	get(LEN_AT, &len, sizeof(len));
	say("len %u\n", len);
	(void)DO(NR_close, s);
	(void)DO(NR_close, c);
	(void)DO(NR_close, l);
	/* Datagrams say from whom. */
	c = DO(NR_socket, 1, SOCK_DGRAM_ | O_NONBLOCK, 0);
	say("abstract %ld\n", DO(NR_bind, c, un_name("\0mmkit", 6), 8));
	say("send %ld\n",
	    DO(NR_sendto, c, at(DATA_AT), 3, NOSIGNAL_, un_name("sock", 4), 6));
	put(LEN_AT, &(u32){110}, 4);
	say("recv %ld ",
	    DO(NR_recvfrom, a, at(DATA_AT), 100, 0, at(ADDR_AT), at(LEN_AT)));
	get(LEN_AT, &len, sizeof(len));
	say("len %u ", len);
	say_bytes(ADDR_AT, (long)len);
	say("connect %ld\n", DO(NR_connect, c, un_name("sock", 4), 6));
	say_un_name(NR_getpeername, c, 110);
	say("unconnect %ld\n", unconnect(c));
	say_un_name(NR_getpeername, c, 110);
	say("send %ld\n", DO(NR_sendto, c, at(DATA_AT), 3, NOSIGNAL_));
	say("unlink %ld\n", DO(NR_unlink, path("sock")));
	say("unlink %ld\n", DO(NR_unlink, path("l")));
	say("no name %ld\n", DO(NR_connect, c, un_name("sock", 4), 6));
	say_un_name(NR_getsockname, a, 110);
	(void)DO(NR_close, a);
	(void)DO(NR_close, c);
}

/* ---- messages with more than bytes -----------------------------------------
 */

#define MSG_AT	2048u
#define CTRL_AT 3072u

struct msg {
	u64 name, namelen, iov, iovlen, control, controllen, flags;
};

/* One of TEXT's bytes at DATA_AT, and CONTROL bytes at CTRL_AT. */
static u64 msg(u32 bytes, u64 control)
{
	struct msg m = {.iov = at(MSG_AT + 128),
			.iovlen = 1,
			.control = control ? at(CTRL_AT) : 0,
			.controllen = control};
	u64 iov[2] = {at(DATA_AT), bytes};

	put(MSG_AT, &m, sizeof(m));
	put(MSG_AT + 128, iov, sizeof(iov));
	return at(MSG_AT);
}

static void put_cmsg(u64 len, s32 level, s32 type, const void *data, size_t n)
{
	struct {
		u64 len;
		s32 level, type;
	} h = {len, level, type};

	put(CTRL_AT, &h, sizeof(h));
	put(CTRL_AT + 16, data, n);
}

static void send_fds(long s, long fd, u32 n)
{
	s32 fds[300];

	for (u32 i = 0; i < n; i++)
		fds[i] = (s32)fd;
	put_cmsg(16 + 4 * n, 1, 1, fds, 4 * n);
	say("send %u: %ld\n", n,
	    DO(NR_sendmsg, s, msg(1, 16 + ((4 * n + 7) & ~7u)), NOSIGNAL_));
}

static s32 own_pid(void)
{
	return b.ours ? current->proc->tgid : (s32)syscall(39);
}

/* What came along: how many, of what kind; files are closed, credentials told
 * by whether they are this process's. */
static void say_control(u64 controllen)
{
	struct {
		u64 len;
		s32 level, type;
	} h;
	s32 body[300];
	u64 left = controllen, pos = CTRL_AT;

	while (left >= sizeof(h)) {
		get((u32)pos, &h, sizeof(h));
		say("  cmsg len %llu level %d type %d",
		    (unsigned long long)h.len, h.level, h.type);
		get((u32)pos + 16, body, (size_t)h.len - 16);
		for (u64 i = 0; h.type == 1 && i < (h.len - 16) / 4; i++)
			say(" %ld", DO(NR_close, body[i]));
		if (h.type == 2)
			say(" same %d", body[0] == own_pid());
		say("\n");
		h.len = (h.len + 7) & ~7UL;
		if (h.len > left)
			break;
		left -= h.len;
		pos += h.len;
	}
}

static void recv_say(long s, u32 bytes, u32 room, u32 flags)
{
	struct msg m;
	long n = DO(NR_recvmsg, s, msg(bytes, room), flags);

	get(MSG_AT, &m, sizeof(m));
	say("recvmsg %ld control %llu flags %x\n", n,
	    n < 0 ? 0 : (unsigned long long)m.controllen,
	    n < 0 ? 0 : (u32)m.flags & ~0x40000000u);
	if (n >= 0)
		say_control(m.controllen);
}

static void messages_of(u32 type)
{
	s32 fd[2], on = 1;
	long f;

	say("pair %ld\n",
	    DO(NR_socketpair, 1, type | O_NONBLOCK, 0, at(DATA_AT)));
	get(DATA_AT, fd, sizeof(fd));
	f = open_file("file", O_RDWR | O_CREAT);
	send_fds(fd[0], f, 1);
	recv_say(fd[1], 10, 64, 0);
	send_fds(fd[0], f, 3);
	recv_say(fd[1], 10, 24, 0); /* room for two */
	send_fds(fd[0], f, 2);
	recv_say(fd[1], 10, 0, 0);
	send_fds(fd[0], f, 1);
	recv_say(fd[1], 10, 64, 2); /* a look */
	recv_say(fd[1], 10, 64, 0x40000000);
	send_fds(fd[0], f, 253);
	send_fds(fd[0], f, 254);
	recv_say(fd[1], 10, 2000, 0);
	send_fds(fd[0], -1, 1);
	put_cmsg(20, 1, 77, &on, 4);
	say("odd type %ld\n", DO(NR_sendmsg, fd[0], msg(1, 24), NOSIGNAL_));
	put_cmsg(8, 1, 1, &on, 4);
	say("short %ld\n", DO(NR_sendmsg, fd[0], msg(1, 24), NOSIGNAL_));
	put_cmsg(64, 1, 1, &on, 4);
	say("long %ld\n", DO(NR_sendmsg, fd[0], msg(1, 24), NOSIGNAL_));
	recv_say(fd[1], 10, 64, 0);
	/* Who asks gets credentials with each message. */
	put(ADDR_AT, &on, 4);
	say("passcred %ld\n", DO(NR_setsockopt, fd[1], 1, 16, at(ADDR_AT), 4));
	say("plain %ld\n", DO(NR_write, fd[0], at(DATA_AT), 3));
	recv_say(fd[1], 10, 64, 0);
	send_fds(fd[0], f, 1);
	recv_say(fd[1], 10, 128, 0);
	send_fds(fd[0], f, 1);
	recv_say(fd[1], 10, 32, 0);
	(void)DO(NR_close, f);
	on = 0;
	put(ADDR_AT, &on, 4);
	say("no more %ld\n", DO(NR_setsockopt, fd[1], 1, 16, at(ADDR_AT), 4));
	(void)DO(NR_close, fd[0]);
	recv_say(fd[1], 10, 128, 0);
	(void)DO(NR_close, fd[1]);
	say("unlink %ld\n", DO(NR_unlink, path("file")));
}

static void script_messages(void)
{
	messages_of(SOCK_STREAM_);
	messages_of(SOCK_DGRAM_);
	messages_of(SOCK_SEQ_);
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
BOTH(inotify)
BOTH(inotify_calls)
BOTH(unconnect)
BOTH(names)
BOTH(messages)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer),
		cmocka_unit_test(test_packet),
		cmocka_unit_test(test_inotify),
		cmocka_unit_test(test_inotify_calls),
		cmocka_unit_test(test_unconnect),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
