/* SPDX-License-Identifier: MIT */
/*
 * init.c - process 1 of a machine that `mmkit run` has started.
 *
 * The same static program on every kernel of Linux's interface. It mounts what
 * programs expect, turns swap on, runs one program, and tells the host how it
 * ended and what the kernel counted. /mmkit/config in the initramfs says what
 * is wanted, /mmkit/argv and /mmkit/env hold strings, each ended by a NUL.
 *
 * How the host is told: bytes written through /dev/port. Port 0x402 is the
 * report (lines, see lab/run_report.c), 0x403 the program's standard error,
 * 0xf4 ends the machine. What is a terminal on the host is the serial console
 * here. What is none is a pipe, which a thread of this process copies: a
 * thread, so that kill(-1) at the end reaches every process but us and what
 * was in the pipes still arrives. On the console a marker (a random word)
 * stands before the program's first byte and behind its last, for a kernel may
 * write there too.
 *
 * Standard input through the console needs an end of file and a limit to what
 * is under way: byte 0x10 announces 0x10 or 'e' (the end), and each byte that
 * was taken is acknowledged in the report.
 */
#include "owners.h"
#include "sys.h"

#define PORT_REPORT  0x402
#define PORT_STDERR  0x403
#define PORT_EXIT    0xf4
#define ESCAPE	     0x10
#define MAX_STRINGS  4096
#define MAX_DUMP     96
#define STACK_SIZE   16384
#define DISKS	     6
#define FRAMES_EVERY 4 /* samples for one picture of all frames */
#define TRACE_CHUNK  65536
#define TRACE_FIRST  4096 /* of the disk: a page that names it */

#define NCCS 19
struct termios {
	u32 iflag, oflag, cflag, lflag;
	u8 line, cc[NCCS];
};
#define TCGETS	   0x5401
#define TCSETS	   0x5402
#define TCSBRK	   0x5409
#define TIOCSCTTY  0x540e
#define TIOCSWINSZ 0x5414

enum how { HOW_TTY, HOW_PIPE, HOW_NULL };

static struct {
	int port; /* /dev/port */
	int tty;
	volatile u32 report_lock;
	int in, out, err;    /* enum how */
	int audit, sampling; /* milliseconds between samples; 0: none */
	char marker[64], dir[256];
	const char *root_type; /* "": stay in the initramfs */
	int want_swap, rows, columns;
	int keep_tmp, keep_run; /* files were packed there */
	int pipe_in[2], pipe_out[2], pipe_err[2];
	const char *trace; /* events, or NULL */
	const char *trace_kb;
	int records, traced; /* where they come from and go to */
	volatile u32 out_done, err_done, in_done, sampler_done, trace_done;
	volatile u32 stop, trace_stop;
	u64 begin_ns;
} g;

static char config[8192], argv_text[131072], env_text[65536];
static char *dump[MAX_DUMP]; /* in config: files to send at the end */
static int nr_dump;
static char *child_argv[MAX_STRINGS], *child_env[MAX_STRINGS];
static char snapshot[1 << 18];
static char sample[1 << 15] __attribute__((aligned(8)));
static char trace_buf[TRACE_CHUNK] __attribute__((aligned(8)));
static char stacks[5][STACK_SIZE] __attribute__((aligned(16)));

/* ---- the report ------------------------------------------------------------
 */

static void port_write(u32 port, const char *p, size_t n)
{
	for (; n; n--, p++)
		SYS(pwrite64, (u64)g.port, U64(p), 1, port);
}

static void report_lock(void)
{
	while (__atomic_exchange_n(&g.report_lock, 1, __ATOMIC_ACQUIRE))
		SYS(sched_yield, 0);
}

static void report_unlock(void)
{
	__atomic_store_n(&g.report_lock, 0, __ATOMIC_RELEASE);
}

/* One line: WORD, TEXT unless NULL, and NR numbers. */
static void report(const char *word, const char *text, const s64 *v, u32 nr)
{
	char line[600];
	size_t at = put_text(line, sizeof(line), 0, word);

	if (text) {
		at = put_text(line, sizeof(line), at, " ");
		at = put_text(line, sizeof(line), at, text);
	}
	for (u32 i = 0; i < nr; i++) {
		at = put_text(line, sizeof(line), at, " ");
		at = put_number(line, sizeof(line), at, v[i]);
	}
	at = put_text(line, sizeof(line), at, "\n");
	report_lock();
	port_write(PORT_REPORT, line, at);
	report_unlock();
}
#define REPORT(word, text, ...)                        \
	report(word, text, (const s64[]){__VA_ARGS__}, \
	       ARRAY_LEN(((const s64[]){__VA_ARGS__})))

static void say(const char *word, const char *text)
{
	report(word, text, NULL, 0);
}

/* N bytes as the contents of the file PATH. */
static void report_bytes(const char *path, const char *when, const char *buf,
			 long n)
{
	char line[300];
	size_t at;

	at = put_text(line, sizeof(line), 0, "data ");
	at = put_text(line, sizeof(line), at, path);
	at = put_text(line, sizeof(line), at, " ");
	at = put_text(line, sizeof(line), at, when);
	at = put_text(line, sizeof(line), at, " ");
	at = put_number(line, sizeof(line), at, n);
	at = put_text(line, sizeof(line), at, "\n");
	report_lock();
	port_write(PORT_REPORT, line, at);
	port_write(PORT_REPORT, buf, (size_t)n);
	report_unlock();
}

/* A file's contents, in BUF[SIZE]; one that cannot be read is left out. 0, or
 * why not. */
static long report_file(const char *path, const char *when, char *buf,
			size_t size)
{
	long n = read_file(path, buf, size);

	if (n < 0)
		return n;
	report_bytes(path, when, buf, n);
	return 0;
}

static void report_counters(const char *when)
{
	static const char *const files[] = {"/proc/vmstat", "/proc/meminfo",
					    "/proc/zoneinfo", "/proc/swaps"};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		report_file(files[i], when, snapshot, sizeof(snapshot));
}

_Noreturn static void power_off(void)
{
	char zero = 0;

	say("end", NULL);
	SYS(sync, 0);
	SYS(pwrite64, (u64)g.port, U64(&zero), 1, PORT_EXIT);
	SYS(reboot, 0xfee1dead, 672274793, 0x4321fedc, 0);
	for (;;)
		SYS(pause, 0);
}

/* What keeps us from running the program at all. */
_Noreturn static void give_up(const char *what, s64 err)
{
	REPORT("failed", what, -err);
	power_off();
}

static void note(const char *what, s64 err)
{
	if (g.port)
		REPORT("note", what, -err);
}

/* ---- what the host wants ---------------------------------------------------
 */

static int how_of(const char *word)
{
	return same_text(word, "tty")	 ? HOW_TTY
	       : same_text(word, "pipe") ? HOW_PIPE
					 : HOW_NULL;
}

static void copy_word(char *to, size_t size, const char *from)
{
	to[put_text(to, size, 0, from)] = 0;
}

static void setting(const char *key, char *value)
{
	const char *v = value;

	if (same_text(key, "stdin"))
		g.in = how_of(value);
	else if (same_text(key, "stdout"))
		g.out = how_of(value);
	else if (same_text(key, "stderr"))
		g.err = how_of(value);
	else if (same_text(key, "marker"))
		copy_word(g.marker, sizeof(g.marker), value);
	else if (same_text(key, "dir"))
		copy_word(g.dir, sizeof(g.dir), value);
	else if (same_text(key, "root"))
		g.root_type = value;
	else if (same_text(key, "swap"))
		g.want_swap = 1;
	else if (same_text(key, "keep"))
		*(same_text(value, "/tmp") ? &g.keep_tmp : &g.keep_run) = 1;
	else if (same_text(key, "audit"))
		g.audit = 1;
	else if (same_text(key, "trace"))
		g.trace = value;
	else if (same_text(key, "trace_kb"))
		g.trace_kb = value;
	else if (same_text(key, "dump") && nr_dump < MAX_DUMP)
		dump[nr_dump++] = value;
	else if (same_text(key, "sample"))
		g.sampling = (int)take_number(&v);
	else if (same_text(key, "size")) {
		g.rows = (int)take_number(&v);
		g.columns = (int)take_number(&v);
	}
}

/* Call FN with each line's first word and what follows it. */
static void each_line(char *text, void (*fn)(const char *key, char *value))
{
	while (*text) {
		char *end = text, *value;

		while (*end && *end != '\n')
			end++;
		if (*end)
			*end++ = 0;
		for (value = text; *value && *value != ' '; value++)
			;
		if (*value)
			*value++ = 0;
		fn(text, value);
		text = end;
	}
}

/* The strings of PATH as an array. */
static void read_strings(const char *path, char *text, size_t size, char **out)
{
	long n = read_file(path, text, size - 1);
	size_t nr = 0, at = 0;

	if (n < 0)
		give_up(path, n);
	while (at < (size_t)n && nr < MAX_STRINGS - 1) {
		out[nr++] = text + at;
		at += strlen(text + at) + 1;
	}
	out[nr] = NULL;
}

static void load_module(const char *path)
{
	long fd = SYS(openat, -100ULL, U64(path), O_RD | O_CLO), ret;

	if (fd < 0)
		give_up(path, fd);
	ret = SYS(finit_module, (u64)fd, U64(""), 0);
	if (ret && ret != -E_EXIST)
		note(path, ret);
	SYS(close, (u64)fd);
}

static void module_line(const char *key, char *value)
{
	if (same_text(key, "module"))
		load_module(value);
}

/* ---- files and disks -------------------------------------------------------
 */

static void mount_one(const char *type, const char *dir)
{
	long ret;

	SYS(mkdir, U64(dir), 0755);
	ret = SYS(mount, U64(type), U64(dir), U64(type), 0, 0);
	if (ret && ret != -16 /* EBUSY: the kernel did */)
		note(dir, ret);
}

static void mount_all(void)
{
	mount_one("proc", "/proc");
	mount_one("sysfs", "/sys");
	if (!g.keep_tmp)
		mount_one("tmpfs", "/tmp");
	SYS(chmod, U64("/tmp"), 01777);
	if (!g.keep_run)
		mount_one("tmpfs", "/run");
	/* Not every kernel has terminals of this kind; few programs want one.
	 */
	SYS(mkdir, U64("/dev/pts"), 0755);
	SYS(mount, U64("devpts"), U64("/dev/pts"), U64("devpts"), 0, 0);
	mount_one("tmpfs", "/dev/shm");
	SYS(chmod, U64("/dev/shm"), 01777);
	SYS(symlink, U64("/proc/self/fd"), U64("/dev/fd"));
	SYS(symlink, U64("/proc/self/fd/0"), U64("/dev/stdin"));
	SYS(symlink, U64("/proc/self/fd/1"), U64("/dev/stdout"));
	SYS(symlink, U64("/proc/self/fd/2"), U64("/dev/stderr"));
	SYS(symlink, U64("/proc/mounts"), U64("/etc/mtab"));
}

enum disk_kind { DISK_NONE, DISK_SWAP, DISK_ROOT, DISK_TRACE, DISK_OTHER };

/* What stands on /dev/vd?; which letter a disk has is the kernel's affair. */
static enum disk_kind disk_kind(const char *path)
{
	static char page[4096];
	long n = read_file(path, page, sizeof(page));

	if (n < 0)
		return DISK_NONE;
	if (n == sizeof(page) && !memcmp(page + 4086, "SWAPSPACE2", 10))
		return DISK_SWAP;
	if (n == sizeof(page) && !memcmp(page, "MMKITTRC", 8))
		return DISK_TRACE;
	if (n == sizeof(page) && (u8)page[1080] == 0x53 &&
	    (u8)page[1081] == 0xef)
		return DISK_ROOT;
	return DISK_OTHER;
}

/* PATH becomes the disk of KIND, for which a driver may need a moment. */
static int find_disk(enum disk_kind kind, char *path)
{
	for (int tries = 0; tries < 100; tries++) {
		for (int i = 0; i < DISKS; i++) {
			memcpy(path, "/dev/vda", 9);
			path[7] = (char)('a' + i);
			if (disk_kind(path) == kind)
				return 0;
		}
		sleep_ms(20);
	}
	return -E_NODEV;
}

static void swap_on(void)
{
	char path[16];
	long ret;

	if (!g.want_swap)
		return;
	ret = find_disk(DISK_SWAP, path);
	if (ret)
		give_up("no disk with a swap signature", ret);
	ret = SYS(swapon, U64(path), 0);
	if (ret)
		give_up("swapon", ret);
}

/* The image's file system becomes the root, with /dev and kin of its own. */
static void enter_root(void)
{
	char path[16];
	long ret;

	if (!g.root_type || !*g.root_type)
		return;
	ret = find_disk(DISK_ROOT, path);
	if (ret)
		give_up("no disk with an ext2 file system", ret);
	SYS(mkdir, U64("/image"), 0755);
	ret = SYS(mount, U64(path), U64("/image"), U64(g.root_type), 0, 0);
	if (ret)
		give_up("mount the root image", ret);
	ret = SYS(chdir, U64("/image"));
	if (!ret)
		ret = SYS(chroot, U64("."));
	if (ret)
		give_up("chroot to the root image", ret);
	SYS(chdir, U64("/"));
	mount_one("devtmpfs", "/dev");
	mount_all();
}

/* 127.0.0.1, where there is a network at all. */
static void loopback_up(void)
{
	struct {
		char name[16];
		u16 flags;
		char rest[22];
	} req = {.name = "lo", .flags = 0x1 | 0x40};
	long fd = SYS(socket, 2 /* INET */, 2 | O_CLO /* DGRAM */, 0);

	if (fd < 0)
		return;
	SYS(ioctl, (u64)fd, 0x8914 /* SIOCSIFFLAGS */, U64(&req));
	SYS(close, (u64)fd);
}

/* ---- the console and the pipes ---------------------------------------------
 */

static void open_console(void)
{
	long fd = SYS(openat, -100ULL, U64("/dev/ttyS0"),
		      O_RW | O_NO_TTY | O_CLO);

	if (fd < 0)
		fd = SYS(openat, -100ULL, U64("/dev/console"),
			 O_RW | O_NO_TTY | O_CLO);
	if (fd < 0)
		give_up("/dev/ttyS0", fd);
	g.tty = (int)fd;
}

/* Every byte as it is, both ways: what cfmakeraw(3) does. */
static void raw_console(struct termios *old)
{
	struct termios t = {0};

	if (SYS(ioctl, (u64)g.tty, TCGETS, U64(&t)))
		return;
	*old = t;
	t.iflag &= ~(u32)02773;	  /* IGNBRK .. ICRNL, IXON */
	t.oflag &= ~1u;		  /* OPOST */
	t.lflag &= ~(u32)0100113; /* ECHO, ECHONL, ICANON, ISIG, IEXTEN */
	t.cflag = (t.cflag & ~(u32)0460) | 060; /* CS8, no parity */
	t.cc[6] = 1;				/* VMIN */
	t.cc[5] = 0;				/* VTIME */
	SYS(ioctl, (u64)g.tty, TCSETS, U64(&t));
}

static void console_marker(void)
{
	write_all(g.tty, g.marker, strlen(g.marker));
	SYS(ioctl, (u64)g.tty, TCSBRK, 1); /* until it is sent */
}

/* stdin: console to pipe. */
static void copy_in(void *arg)
{
	static char in[1024], out[1024];
	int escaped = 0, closed = 0;

	(void)arg;
	for (;;) {
		long n = SYS(read, (u64)g.tty, U64(in), sizeof(in));
		size_t len = 0;

		if (n == -E_INTR)
			continue;
		if (n <= 0)
			return;
		for (long i = 0; i < n; i++) {
			if (!escaped && in[i] == ESCAPE) {
				escaped = 1;
			} else if (escaped && in[i] == 'e') {
				if (!closed && len)
					write_all(g.pipe_in[1], out, len);
				SYS(close, (u64)g.pipe_in[1]);
				return;
			} else {
				out[len++] = in[i];
				escaped = 0;
			}
		}
		if (!closed && write_all(g.pipe_in[1], out, len))
			closed = 1; /* nobody reads: it is thrown away */
		REPORT("ack", NULL, n);
	}
}

static void copy_out(void *arg)
{
	static char buf[4096];

	(void)arg;
	for (;;) {
		long n = SYS(read, (u64)g.pipe_out[0], U64(buf), sizeof(buf));

		if (n == -E_INTR)
			continue;
		if (n <= 0 || write_all(g.tty, buf, (size_t)n))
			return;
	}
}

static void copy_err(void *arg)
{
	static char buf[1024];

	(void)arg;
	for (;;) {
		long n = SYS(read, (u64)g.pipe_err[0], U64(buf), sizeof(buf));

		if (n == -E_INTR)
			continue;
		if (n <= 0)
			return;
		port_write(PORT_STDERR, buf, (size_t)n);
	}
}

/* The sum of all numbers behind NAME at the beginning of a line of TEXT. */
static s64 sum_of(const char *text, const char *name)
{
	size_t len = strlen(name);
	s64 sum = 0;

	while (*text) {
		while (*text == ' ')
			text++;
		if (!memcmp(text, name, len) && text[len] == ' ') {
			text += len;
			while (*text == ' ')
				text++;
			sum += (s64)take_number(&text);
		}
		while (*text && *text++ != '\n')
			;
	}
	return sum;
}

/* The watermarks of all zones; they move with what is asked for at once. */
static void report_marks(void)
{
	long n = read_file("/proc/zoneinfo", sample, sizeof(sample) - 1);

	if (n < 0)
		return;
	sample[n] = 0;
	REPORT("marks", NULL, sum_of(sample, "min"), sum_of(sample, "low"),
	       sum_of(sample, "high"));
}

/* ---- the frames of a kernel that has no map of them -------------------------
 *
 * /proc/kpageflags has a word for each (Linux documentation,
 * admin-guide/mm/pagemap), from which the same letters follow as
 * /proc/mmkit/frames has; but a frame on a CPU's list looks like the kernel's.
 */
#define FRAMES_CELLS 2048
#define BIT(n)	     (1ULL << (n))

static const char frame_letters[] = ".amhwfsbtkrx-";

static char frame_letter(u64 w)
{
	static const struct {
		u64 bits;
		char letter;
	} marks[] = {
		{BIT(20), '-'}, /* NOPAGE */
		{BIT(10), '.'}, /* BUDDY */
		{BIT(19) | BIT(23), 'x'}, {BIT(7), 'b'},  {BIT(26), 't'},
		{BIT(32), 'r'},		  {BIT(13), 'w'}, {BIT(21), 'm'},
	};

	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (w & marks[i].bits)
			return marks[i].letter;
	if (w & BIT(12)) /* ANON; of a compound page */
		return w & (BIT(15) | BIT(16) | BIT(22)) ? 'h' : 'a';
	if (w & BIT(14)) /* SWAPBACKED */
		return 's';
	return w & BIT(5) /* LRU */ ? 'f' : 'k';
}

/* What most of the N frames at W are. */
static char cell_letter(const u64 *w, size_t n)
{
	u32 count[128] = {0}, best = 0;
	char most = '-';

	for (size_t i = 0; i < n; i++)
		count[(u8)frame_letter(w[i])]++;
	for (const char *ch = frame_letters; *ch; ch++) {
		if (*ch == '-' || count[(u8)*ch] <= best)
			continue;
		best = count[(u8)*ch];
		most = *ch;
	}
	return most;
}

/* So many words has the file; it is read once to know. */
static u64 count_frames(int fd)
{
	static u64 frames;
	long n = 1;

	while (!frames && n > 0) {
		u64 at = 0;

		while ((n = SYS(pread64, (u64)fd, U64(sample), sizeof(sample),
				at)) > 0)
			at += (u64)n;
		frames = at / 8;
	}
	return frames;
}

static void report_kpageflags(void)
{
	long fd = SYS(openat, -100ULL, U64("/proc/kpageflags"), O_RD | O_CLO);
	static char text[FRAMES_CELLS + 64];
	u64 frames, per = 1;
	size_t at;

	if (fd < 0)
		return;
	frames = count_frames((int)fd);
	while ((frames + per - 1) / per > FRAMES_CELLS)
		per *= 2;
	at = put_text(text, sizeof(text), 0, "frames in a cell: ");
	at = put_number(text, sizeof(text), at, (s64)per);
	at = put_text(text, sizeof(text), at, "\n");
	for (u64 pfn = 0; pfn < frames && per * 8 <= sizeof(sample);
	     pfn += per) {
		long n = SYS(pread64, (u64)fd, U64(sample), per * 8, pfn * 8);

		if (n <= 0)
			break;
		text[at++] = cell_letter((const u64 *)(const void *)sample,
					 (size_t)n / 8);
	}
	SYS(close, (u64)fd);
	text[at++] = '\n';
	report_bytes("/proc/mmkit/frames", "sample", text, (long)at);
}

static void report_owners(void)
{
	long n = owners_tasks();

	report_bytes("tasks", "sample", owners.text, n);
	n = owners_groups();
	if (n)
		report_bytes("groups", "sample", owners.text, n);
}

/* The counters come last: with them the host takes all as one sample. */
static void take_samples(void *arg)
{
	(void)arg;
	for (u32 i = 0; !g.stop; i++) {
		REPORT("time", NULL, (s64)(now_ns() - g.begin_ns));
		report_marks();
		report_file("/proc/buddyinfo", "sample", sample,
			    sizeof(sample));
		if (i % FRAMES_EVERY == 0 &&
		    report_file("/proc/mmkit/frames", "sample", sample,
				sizeof(sample)))
			report_kpageflags();
		report_owners();
		report_file("/proc/vmstat", "sample", sample, sizeof(sample));
		for (int ms = 0; ms < g.sampling && !g.stop; ms += 10)
			sleep_ms(10);
	}
}

/* ---- tracepoints -----------------------------------------------------------
 */

#define TRACING "/sys/kernel/tracing/"

static long put_file(const char *path, const char *text)
{
	long fd = SYS(openat, -100ULL, U64(path), 0x201 | O_CLO), ret;

	if (fd < 0)
		return fd;
	ret = SYS(write, (u64)fd, U64(text), strlen(text));
	SYS(close, (u64)fd);
	return ret < 0 ? ret : 0;
}

/* What is written is not kept in memory, which is the program's. */
static void let_go(u64 from, u64 to)
{
	SYS(fdatasync, (u64)g.traced);
	SYS(fadvise64, (u64)g.traced, from, to - from, 4 /* DONTNEED */);
}

/* Records as they are, to the disk. What is there when trace_stop is set is
 * taken as well. */
static void copy_trace(void *arg)
{
	u64 at = TRACE_FIRST, done = at;
	char text[32];
	s64 lost = 0;
	const char *p = text;

	(void)arg;
	for (;;) {
		u32 last = g.trace_stop;
		long n = SYS(read, (u64)g.records, U64(trace_buf),
			     sizeof(trace_buf));

		if (n > 0 && SYS(pwrite64, (u64)g.traced, U64(trace_buf),
				 (u64)n, at) != n)
			break;
		at += n > 0 ? (u64)n : 0;
		if (at - done >= 1 << 20) {
			let_go(done, at);
			done = at;
		}
		if (n <= 0 && last)
			break;
		if (n <= 0)
			sleep_ms(2);
	}
	let_go(done, at);
	if (read_file(TRACING "trace_lost", text, sizeof(text)) > 0)
		lost = (s64)take_number(&p);
	REPORT("traced", NULL, (s64)(at - TRACE_FIRST), lost);
}

/* Events that are wanted are on, and have a place to go to. */
static void start_trace(void)
{
	char path[16];
	long ret;

	if (!g.trace)
		return;
	ret = find_disk(DISK_TRACE, path);
	if (ret)
		give_up("no disk for the trace", ret);
	g.traced = (int)SYS(openat, -100ULL, U64(path), O_RW | O_CLO);
	ret = SYS(openat, -100ULL, U64(TRACING "trace_records"), O_RD | O_CLO);
	if (ret < 0)
		give_up("this kernel has no " TRACING "trace_records", ret);
	g.records = (int)ret;
	ret = put_file(TRACING "buffer_size_kb", g.trace_kb);
	if (!ret)
		ret = put_file(TRACING "set_event", g.trace);
	if (ret)
		give_up("the events that are to be traced", ret);
}

static void stop_trace(void)
{
	if (!g.trace)
		return;
	put_file(TRACING "tracing_on", "0");
	g.trace_stop = 1;
	while (!g.trace_done)
		sleep_ms(1);
	SYS(close, (u64)g.records);
	SYS(close, (u64)g.traced);
}

static void start_thread(int nr, void (*fn)(void *), volatile u32 *done)
{
	long ret = sys_thread(stacks[nr] + STACK_SIZE, fn, NULL, done);

	if (ret < 0)
		give_up("clone a thread that copies", ret);
}

static void make_pipe(int how, int *ends)
{
	long ret;

	if (how != HOW_PIPE)
		return;
	ret = SYS(pipe2, U64(ends), O_CLO);
	if (ret)
		give_up("pipe", ret);
}

static void start_copying(void)
{
	if (g.in == HOW_PIPE)
		start_thread(0, copy_in, &g.in_done);
	if (g.out == HOW_PIPE)
		start_thread(1, copy_out, &g.out_done);
	if (g.err == HOW_PIPE)
		start_thread(2, copy_err, &g.err_done);
	if (g.sampling)
		start_thread(3, take_samples, &g.sampler_done);
	if (g.trace)
		start_thread(4, copy_trace, &g.trace_done);
}

/* ---- the program -----------------------------------------------------------
 */

static void child_fd(int how, int end, int fd)
{
	long from = how == HOW_TTY ? g.tty : end;

	if (how == HOW_NULL)
		from = SYS(openat, -100ULL, U64("/dev/null"), O_RW);
	SYS(dup2, (u64)from, (u64)fd);
}

_Noreturn static void child(int fail_fd)
{
	const char *path = child_argv[0];
	s64 err;

	SYS(setsid, 0);
	if (g.in == HOW_TTY)
		SYS(ioctl, (u64)g.tty, TIOCSCTTY, 0);
	child_fd(g.in, g.pipe_in[0], 0);
	child_fd(g.out, g.pipe_out[1], 1);
	child_fd(g.err, g.pipe_err[1], 2);
	if (g.dir[0])
		SYS(chdir, U64(g.dir));
	/* argv: path, then the program's own argv[0] and so on. */
	err = SYS(execve, U64(path), U64(child_argv + 1), U64(child_env));
	SYS(write, (u64)fail_fd, U64(&err), sizeof(err));
	SYS(exit_group, 127);
	for (;;)
		;
}

static long start_program(void)
{
	int ends[2];
	s64 err = 0;
	long pid, n;

	n = SYS(pipe2, U64(ends), O_CLO);
	if (n)
		give_up("pipe", n);
	pid = SYS(fork, 0);
	if (pid < 0)
		give_up("fork", pid);
	if (!pid)
		child(ends[1]);
	SYS(close, (u64)ends[1]);
	do
		n = SYS(read, (u64)ends[0], U64(&err), sizeof(err));
	while (n == -E_INTR);
	SYS(close, (u64)ends[0]);
	if (n == sizeof(err))
		REPORT("cannot-exec", child_argv[0], -err);
	/* Ours of the program's ends: else nobody sees them closed. */
	if (g.in == HOW_PIPE)
		SYS(close, (u64)g.pipe_in[0]);
	if (g.out == HOW_PIPE)
		SYS(close, (u64)g.pipe_out[1]);
	if (g.err == HOW_PIPE)
		SYS(close, (u64)g.pipe_err[1]);
	return pid;
}

struct usage {
	struct {
		s64 sec, usec;
	} user, sys;
	s64 maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock,
		oublock, msgsnd, msgrcv, nsignals, nvcsw, nivcsw;
};

/* Wait for PID, and for whatever else becomes our child. */
static int wait_for(long pid, struct usage *ru)
{
	for (;;) {
		int status = 0;
		long got = SYS(wait4, -1ULL, U64(&status), 0, U64(ru));

		if (got == pid)
			return status;
		if (got < 0 && got != -E_INTR)
			give_up("wait4", got);
	}
}

/* All others end; what they had written is passed on. */
static void end_others(void)
{
	long got;

	SYS(kill, -1ULL, SIG_KILL);
	do
		got = SYS(wait4, -1ULL, 0, 0, 0);
	while (got > 0 || got == -E_INTR);
	g.stop = 1;
	while ((g.out == HOW_PIPE && !g.out_done) ||
	       (g.err == HOW_PIPE && !g.err_done) ||
	       (g.sampling && !g.sampler_done))
		sleep_ms(1);
	/* The audit is to find nothing of the program's. */
	if (g.out == HOW_PIPE)
		SYS(close, (u64)g.pipe_out[0]);
	if (g.err == HOW_PIPE)
		SYS(close, (u64)g.pipe_err[0]);
	if (g.in == HOW_PIPE)
		SYS(close, (u64)g.pipe_in[1]);
}

static void report_end(int status, const struct usage *ru, u64 end_ns)
{
	REPORT("usage", NULL, ru->user.sec * 1000000 + ru->user.usec,
	       ru->sys.sec * 1000000 + ru->sys.usec, ru->maxrss, ru->minflt,
	       ru->majflt, ru->inblock, ru->oublock, ru->nvcsw, ru->nivcsw);
	REPORT("ended", NULL, (s64)(end_ns - g.begin_ns));
	if (status & 0x7f)
		REPORT("signal", NULL, status & 0x7f, status >> 7 & 1);
	else
		REPORT("exit", NULL, status >> 8 & 0xff);
}

static void run_program(void)
{
	struct usage ru = {0};
	struct termios old = {0};
	u16 size[4] = {(u16)g.rows, (u16)g.columns, 0, 0};
	long pid;
	int status;
	u64 end;

	raw_console(&old);
	console_marker();
	if (g.in == HOW_TTY) {
		SYS(ioctl, (u64)g.tty, TCSETS, U64(&old));
		if (g.rows)
			SYS(ioctl, (u64)g.tty, TIOCSWINSZ, U64(size));
	}
	make_pipe(g.in, g.pipe_in);
	make_pipe(g.out, g.pipe_out);
	make_pipe(g.err, g.pipe_err);
	start_trace();
	g.begin_ns = now_ns();
	REPORT("begin", NULL, (s64)g.begin_ns);
	start_copying();
	pid = start_program();
	REPORT("pid", NULL, pid);
	status = wait_for(pid, &ru);
	end = now_ns();
	for (int i = 0; i < nr_dump; i++)
		report_file(dump[i], "dump", snapshot, sizeof(snapshot));
	end_others();
	stop_trace();
	report_counters("after");
	report_end(status, &ru, end);
	raw_console(&old);
	console_marker();
}

int guest_main(int argc, char **argv, char **envp)
{
	u64 begin = ticks();
	long n;

	(void)argc;
	(void)argv;
	(void)envp;
	/* Some kernels have mounted it. */
	n = SYS(openat, -100ULL, U64("/dev/port"), O_RW | O_CLO);
	if (n < 0) {
		mount_one("devtmpfs", "/dev");
		n = SYS(openat, -100ULL, U64("/dev/port"), O_RW | O_CLO);
	}
	if (n < 0) {
		static const char text[] = "init: no /dev/port\n";

		SYS(write, 1, U64(text), sizeof(text) - 1);
		SYS(reboot, 0xfee1dead, 672274793, 0x4321fedc, 0);
		return 1;
	}
	g.port = (int)n;
	say("hello", "1");
	REPORT("ticks", NULL, (s64)begin);
	n = read_file("/mmkit/config", config, sizeof(config) - 1);
	if (n < 0)
		give_up("/mmkit/config", n);
	memcpy(snapshot, config, sizeof(config));
	each_line(snapshot, module_line);
	each_line(config, setting);
	mount_all();
	read_strings("/mmkit/argv", argv_text, sizeof(argv_text), child_argv);
	read_strings("/mmkit/env", env_text, sizeof(env_text), child_env);
	report_file("/proc/version", "before", snapshot, sizeof(snapshot));
	swap_on();
	enter_root();
	open_console();
	loopback_up();
	SYS(sethostname, U64("mmkit"), 5);
	report_counters("before");
	run_program();
	if (g.audit)
		report_file("/proc/mmkit/audit", "after", snapshot,
			    sizeof(snapshot));
	report_file("/proc/mmkit/syscalls", "after", snapshot,
		    sizeof(snapshot));
	power_off();
}
