/* SPDX-License-Identifier: MIT */
/*
 * mmbench.c - what memory calls and faults cost, seen from user mode.
 *
 * The same static program on every kernel of Linux's interface. It reads the
 * time stamp counter, which under QEMU's -icount shift=0 goes up by one for
 * each instruction that was executed, in the kernel or here; exceptions, TLB
 * and cache misses are free there. So figures are lengths of paths, and repeat.
 *
 *   mmbench             every row: "ROW name median minimum"
 *   mmbench swap MIB    touch MIB more often than fits: "SWAP pass ..."
 *   mmbench nop         nothing (what vfork and exec start)
 *
 * tools/bench-linux runs it on our kernel and on Debian's.
 */
#include "sys.h"

#define PAGE	 4096UL
#define MIB	 (1UL << 20)
#define BIG	 (64 * MIB)
#define FORKED	 (16 * MIB)
#define FILE_LEN (16 * MIB)
#define MAX_REPS 32
#define VMAS	 10000UL

enum {
	DONTNEED = 4,
	POPULATE_WRITE = 23,
	MAYMOVE = 1,
	MOVE_FIXED = 2,
	ANY_FD = -1
};

static char self[] = "/proc/self/exe";
static u64 overhead;

/* ---- output ----------------------------------------------------------------
 */

static void print_row(const char *kind, const char *name, const u64 *v, u32 nr)
{
	char line[300];
	size_t at = put_text(line, sizeof(line), 0, kind);

	at = put_text(line, sizeof(line), at, " ");
	at = put_text(line, sizeof(line), at, name);
	for (u32 i = 0; i < nr; i++) {
		at = put_text(line, sizeof(line), at, " ");
		at = put_number(line, sizeof(line), at, (s64)v[i]);
	}
	at = put_text(line, sizeof(line), at, "\n");
	write_all(1, line, at);
}

_Noreturn static void fail(const char *what, long err)
{
	const u64 v[] = {(u64)err};

	print_row("FAILED", what, v, 1);
	SYS(exit_group, 1);
	for (;;)
		;
}

static u64 since(u64 begin)
{
	u64 t = ticks() - begin;

	return t > overhead ? t - overhead : 0;
}

/* Sort V, and print its median and minimum over DIV operations, in tenths of
 * an instruction where they are few. */
static void row(const char *name, u64 *v, u32 nr, u64 div)
{
	u64 out[2];

	for (u32 i = 1; i < nr; i++)
		for (u32 k = i; k && v[k - 1] > v[k]; k--) {
			u64 t = v[k];

			v[k] = v[k - 1];
			v[k - 1] = t;
		}
	out[0] = (v[nr / 2] * 10 + div / 2) / div;
	out[1] = (v[0] * 10 + div / 2) / div;
	print_row("ROW", name, out, 2);
}

/* ---- memory ----------------------------------------------------------------
 */

static char *map(void *at, u64 len, u64 flags, int fd)
{
	long p = SYS(mmap, U64(at), len, P_READ | P_WRITE,
		     flags | (at ? M_FIXED : 0), (u64)(s64)fd, 0);

	if (p < 0 && p > -4096)
		fail("mmap", p);
	return (char *)p;
}

static char *map_anon(u64 len)
{
	return map(NULL, len, M_PRIVATE | M_ANON, ANY_FD);
}

static void unmap(void *p, u64 len)
{
	long ret = SYS(munmap, U64(p), len);

	if (ret)
		fail("munmap", ret);
}

static void write_pages(char *p, u64 len)
{
	for (u64 i = 0; i < len; i += PAGE)
		*(volatile char *)(p + i) = 1;
}

static void read_pages(char *p, u64 len)
{
	for (u64 i = 0; i < len; i += PAGE)
		(void)*(volatile char *)(p + i);
}

/* ---- rows ------------------------------------------------------------------
 */

static u64 v[8][MAX_REPS];

static void calibrate(void)
{
	u64 least = ~0UL;

	for (u32 i = 0; i < 16; i++) {
		u64 t = ticks();

		t = ticks() - t;
		least = t < least ? t : least;
	}
	overhead = least;
	for (u32 r = 0; r < 7; r++) {
		u64 t = ticks(), n = 100000;

		__asm__ volatile("1: dec %0; jnz 1b" : "+r"(n));
		v[0][r] = since(t);
	}
	row("calibration, 200000 instructions", v[0], 7, 1);
}

static void bench_syscall(void)
{
	for (u32 r = 0; r < 7; r++) {
		u64 t = ticks();

		for (u32 i = 0; i < 1000; i++)
			SYS(getppid, 0);
		v[0][r] = since(t);
	}
	row("syscall", v[0], 7, 1000);
}

static void bench_anon(void)
{
	u64 pages = BIG / PAGE, t;

	for (u32 r = 0; r < 7; r++) {
		char *p = map_anon(BIG);

		t = ticks();
		write_pages(p, BIG);
		v[0][r] = since(t);
		t = ticks();
		unmap(p, BIG);
		v[1][r] = since(t);
		p = map_anon(BIG);
		t = ticks();
		read_pages(p, BIG);
		v[2][r] = since(t);
		t = ticks();
		write_pages(p, BIG);
		v[3][r] = since(t);
		t = ticks();
		SYS(madvise, U64(p), BIG, DONTNEED);
		v[4][r] = since(t);
		t = ticks();
		SYS(madvise, U64(p), BIG, POPULATE_WRITE);
		v[5][r] = since(t);
		unmap(p, BIG);
	}
	row("anonymous write fault, a page", v[0], 7, pages);
	row("munmap of touched memory, a page", v[1], 7, pages);
	row("zero-page read fault, a page", v[2], 7, pages);
	row("write after zero page, a page", v[3], 7, pages);
	row("MADV_DONTNEED, a page", v[4], 7, pages);
	row("populate, a page", v[5], 7, pages);
}

/* Contents that are read, shared, and copied; /tmp is a tmpfs. */
static void bench_file(void)
{
	static char buf[65536];
	long fd = SYS(openat, -100ULL, U64("/tmp/mmbench"),
		      O_RW | O_NEW | O_EMPTY, 0600);
	u64 pages = FILE_LEN / PAGE, t;

	if (fd < 0)
		fail("open /tmp/mmbench", fd);
	for (u64 at = 0; at < FILE_LEN; at += sizeof(buf))
		if (write_all((int)fd, buf, sizeof(buf)))
			fail("write /tmp/mmbench", 0);
	for (u32 r = 0; r < 7; r++) {
		char *p = map(NULL, FILE_LEN, M_SHARED, (int)fd);

		t = ticks();
		read_pages(p, FILE_LEN);
		v[0][r] = since(t);
		t = ticks();
		unmap(p, FILE_LEN);
		v[1][r] = since(t);
		p = map(NULL, FILE_LEN, M_SHARED, (int)fd);
		t = ticks();
		write_pages(p, FILE_LEN);
		v[2][r] = since(t);
		unmap(p, FILE_LEN);
		p = map(NULL, FILE_LEN, M_PRIVATE, (int)fd);
		t = ticks();
		write_pages(p, FILE_LEN);
		v[3][r] = since(t);
		unmap(p, FILE_LEN);
		SYS(lseek, (u64)fd, 0, 0);
		t = ticks();
		for (u64 at = 0; at < FILE_LEN; at += sizeof(buf))
			SYS(read, (u64)fd, U64(buf), sizeof(buf));
		v[4][r] = since(t);
	}
	SYS(close, (u64)fd);
	SYS(unlink, U64("/tmp/mmbench"));
	row("file read fault, a mapped page", v[0], 7, pages);
	row("munmap of a file, a page", v[1], 7, pages);
	row("shared file write fault, a page", v[2], 7, pages);
	row("private file write fault, a page", v[3], 7, pages);
	row("read of 64K from the cache, a page", v[4], 7, pages);
}

/* ---- processes -------------------------------------------------------------
 */

static void wait_child(long pid)
{
	int status = -1;
	long got;

	do
		got = SYS(wait4, (u64)pid, U64(&status), 0, 0);
	while (got == -E_INTR);
	if (got != pid)
		fail("wait4", got);
	if (status)
		fail("child", status);
}

static long fork_or_fail(void)
{
	long pid = SYS(fork, 0);

	if (pid < 0)
		fail("fork", pid);
	return pid;
}

static void fork_rows(const char *all, const char *alone)
{
	for (u32 r = 0; r < 21; r++) {
		u64 t = ticks();
		long pid = fork_or_fail();

		if (!pid)
			SYS(exit_group, 0);
		v[1][r] = since(t);
		wait_child(pid);
		v[0][r] = since(t);
	}
	row(all, v[0], 21, 1);
	row(alone, v[1], 21, 1);
}

static void bench_cow(char *p)
{
	volatile u64 *told = (void *)map(NULL, PAGE, M_SHARED | M_ANON, ANY_FD);
	u64 t;

	for (u32 r = 0; r < 7; r++) {
		long pid = fork_or_fail();

		if (!pid) {
			t = ticks();
			write_pages(p, FORKED);
			*told = since(t);
			SYS(exit_group, 0);
		}
		wait_child(pid);
		v[0][r] = *told;
		t = ticks();
		write_pages(p, FORKED);
		v[1][r] = since(t);
	}
	row("COW break in the child, a page", v[0], 7, FORKED / PAGE);
	row("COW reuse in the parent, a page", v[1], 7, FORKED / PAGE);
	unmap((void *)told, PAGE);
}

/* vfork(2) shares the stack: parent and child may not both return from a
 * function that made it. So it stands here, in one piece. */
static inline __attribute__((always_inline)) long raw_vfork(void)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"((long)__NR_vfork)
			 : "rcx", "r11", "memory");
	return ret;
}

static void exec_self(void)
{
	char *const argv[] = {self, (char *)"nop", NULL};
	char *const envp[] = {NULL};

	SYS(execve, U64(self), U64(argv), U64(envp));
	SYS(exit_group, 1);
}

static void bench_exec(void)
{
	for (u32 r = 0; r < 7; r++) {
		u64 t = ticks();
		long pid = fork_or_fail();

		if (!pid)
			exec_self();
		wait_child(pid);
		v[0][r] = since(t);
	}
	row("fork, exec, exit, wait", v[0], 7, 1);
	for (u32 r = 0; r < 7; r++) {
		u64 t = ticks();
		long pid = raw_vfork();

		if (!pid)
			exec_self();
		wait_child(pid);
		v[0][r] = since(t);
	}
	row("vfork, exec, exit, wait", v[0], 7, 1);
}

static void bench_fork(void)
{
	char *p;

	fork_rows("fork, exit, wait, small", "fork alone, small");
	p = map_anon(FORKED);
	write_pages(p, FORKED);
	fork_rows("fork, exit, wait, 16M touched", "fork alone, 16M touched");
	bench_cow(p);
	unmap(p, FORKED);
	bench_exec();
}

/* ---- mappings --------------------------------------------------------------
 */

static void bench_mmap(void)
{
	for (u32 r = 0; r < 7; r++) {
		u64 t = ticks();

		for (u32 i = 0; i < 500; i++)
			unmap(map_anon(PAGE), PAGE);
		v[0][r] = since(t);
		t = ticks();
		for (u32 i = 0; i < 500; i++) {
			char *p = map_anon(PAGE);

			*(volatile char *)p = 1;
			unmap(p, PAGE);
		}
		v[1][r] = since(t);
	}
	row("mmap and munmap, 1 page", v[0], 7, 500);
	row("mmap, touch, munmap, 1 page", v[1], 7, 500);
}

static void bench_mprotect(void)
{
	char *p = map_anon(16 * PAGE), *mid = p + 4 * PAGE;

	write_pages(p, 16 * PAGE);
	for (u32 r = 0; r < 7; r++) {
		v[0][r] = v[1][r] = v[2][r] = 0;
		for (u32 i = 0; i < 300; i++) {
			u64 t = ticks();

			SYS(mprotect, U64(mid), PAGE, P_READ);
			v[0][r] += since(t);
			t = ticks();
			SYS(mprotect, U64(mid), PAGE, P_READ | P_WRITE);
			v[1][r] += since(t);
		}
		for (u32 i = 0; i < 300; i++) {
			u64 t = ticks();

			SYS(mprotect, U64(p), 16 * PAGE,
			    i & 1 ? P_READ | P_WRITE : P_READ);
			v[2][r] += since(t);
		}
	}
	unmap(p, 16 * PAGE);
	row("mprotect, a mapping becomes three", v[0], 7, 300);
	row("mprotect, three become one", v[1], 7, 300);
	row("mprotect of 16 pages", v[2], 7, 300);
}

static void bench_brk(void)
{
	u64 base = ((u64)SYS(brk, 0) + PAGE - 1) & ~(PAGE - 1), t;

	for (u32 r = 0; r < 7; r++) {
		for (u32 k = 0; k < 5; k++)
			v[k][r] = 0;
		for (u32 i = 0; i < 300; i++) {
			t = ticks();
			SYS(brk, base + 8 * PAGE);
			v[0][r] += since(t);
			t = ticks();
			SYS(brk, base);
			v[1][r] += since(t);
			SYS(brk, base + 8 * PAGE);
			t = ticks();
			write_pages((char *)base, 8 * PAGE);
			v[2][r] += since(t);
			t = ticks();
			SYS(brk, base);
			v[3][r] += since(t);
		}
	}
	row("brk grows by 8 pages", v[0], 7, 300);
	row("brk shrinks by 8 untouched", v[1], 7, 300);
	row("touch behind brk, a page", v[2], 7, 2400);
	row("brk shrinks by 8 touched", v[3], 7, 300);
}

static u64 remap_move(char *area, u64 len, u64 to)
{
	char *p = map(area, len, M_PRIVATE | M_ANON, ANY_FD);
	u64 t;
	long q;

	write_pages(p, len);
	t = ticks();
	q = SYS(mremap, U64(p), len, len, MAYMOVE | MOVE_FIXED, U64(area) + to);
	t = since(t);
	if (q != (long)(U64(area) + to))
		fail("mremap", q);
	unmap((char *)q, len);
	return t;
}

static void bench_mremap(void)
{
	char *area = map_anon(8 * MIB), *p;
	u64 t;

	unmap(area, 8 * MIB);
	for (u32 r = 0; r < 7; r++) {
		for (u32 k = 0; k < 4; k++)
			v[k][r] = 0;
		for (u32 i = 0; i < 200; i++) {
			p = map(area, 4 * PAGE, M_PRIVATE | M_ANON, ANY_FD);
			t = ticks();
			SYS(mremap, U64(p), 4 * PAGE, 8 * PAGE, 0);
			v[0][r] += since(t);
			t = ticks();
			SYS(mremap, U64(p), 8 * PAGE, 4 * PAGE, 0);
			v[1][r] += since(t);
			unmap(p, 4 * PAGE);
			v[3][r] += remap_move(area, PAGE, 4 * MIB);
		}
		for (u32 i = 0; i < 20; i++)
			v[2][r] += remap_move(area, MIB, 4 * MIB + 64 * PAGE);
	}
	row("mremap grows 4 to 8 pages", v[0], 7, 200);
	row("mremap shrinks 8 to 4 pages", v[1], 7, 200);
	row("mremap moves 256 touched pages", v[2], 7, 20);
	row("mremap moves 1 touched page", v[3], 7, 200);
}

static void bench_many(void)
{
	u64 len = VMAS * 2 * PAGE, t;

	for (u32 r = 0; r < 3; r++) {
		char *area = (char *)SYS(mmap, 0, len, P_NONE,
					 M_PRIVATE | M_ANON | M_NORESERVE,
					 (u64)-1, 0);

		t = ticks();
		for (u64 i = 0; i < VMAS; i++)
			map(area + i * 2 * PAGE, PAGE, M_PRIVATE | M_ANON,
			    ANY_FD);
		v[0][r] = since(t);
		t = ticks();
		for (u64 i = 0; i < VMAS; i++)
			*(volatile char *)(area + i * 7919 % VMAS * 2 * PAGE) =
				1;
		v[1][r] = since(t);
		t = ticks();
		for (u64 i = 0; i < VMAS; i++)
			SYS(mprotect, U64(area + i * 2 * PAGE), PAGE, P_NONE);
		v[2][r] = since(t);
		unmap(area, len);
	}
	row("one of 10000 mappings made", v[0], 3, VMAS);
	row("random fault among 10000", v[1], 3, VMAS);
	row("one of 10000 merged by mprotect", v[2], 3, VMAS);
}

static void bench_pipe(void)
{
	int ends[2];
	char c = 1;

	if (SYS(pipe2, U64(ends), 0))
		return;
	for (u32 r = 0; r < 7; r++) {
		u64 t = ticks();

		for (u32 i = 0; i < 300; i++) {
			SYS(write, (u64)ends[1], U64(&c), 1);
			SYS(read, (u64)ends[0], U64(&c), 1);
		}
		v[0][r] = since(t);
	}
	row("a byte through a pipe", v[0], 7, 300);
}

/* ---- more than fits --------------------------------------------------------
 */

static u64 vmstat(const char *name)
{
	static char text[16384];
	long n = read_file("/proc/vmstat", text, sizeof(text) - 1);
	size_t len = strlen(name);
	const char *s = text;

	text[n > 0 ? n : 0] = 0;
	while (*s) {
		if (!memcmp(s, name, len) && s[len] == ' ') {
			s += len + 1;
			return take_number(&s);
		}
		while (*s && *s++ != '\n')
			;
	}
	return 0;
}

/* Time that CPUs worked, for whomever, in hundredths of a second: that much of
 * /proc/stat is not idle. With an instruction for a nanosecond, 10^7 of them.
 */
static u64 busy(void)
{
	static char text[16384];
	long n = read_file("/proc/stat", text, sizeof(text) - 1);
	const char *s = text + 3;
	u64 sum = 0;

	text[n > 0 ? n : 0] = 0;
	while (n > 3 && *s == ' ')
		s++;
	/* user nice system idle iowait irq softirq */
	for (u32 i = 0; n > 3 && i < 7; i++) {
		u64 part = take_number(&s);

		sum += i == 3 || i == 4 ? 0 : part;
	}
	return sum;
}

static void swap_row(const char *name, u64 pages)
{
	static const char *const counters[] = {
		"pswpin",	 "pswpout",	   "pgscan_kswapd",
		"pgscan_direct", "pgsteal_kswapd", "pgsteal_direct"};
	static u64 last[ARRAY_LEN(counters)], worked;
	u64 out[2 + ARRAY_LEN(counters)] = {pages, (busy() - worked) *
							   10000000 / pages};

	for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
		u64 now = vmstat(counters[i]);

		out[2 + i] = now - last[i];
		last[i] = now;
	}
	worked = busy();
	print_row("SWAP", name, out, ARRAY_LEN(out));
}

/* Three rounds over everything, then 7 of 8 accesses to its first quarter. */
static void bench_swap(u64 mib)
{
	static const char *const names[] = {"first-touch", "cycle-1",
					    "cycle-2"};
	u64 pages = mib * MIB / PAGE, bad = 0;
	char *p = map_anon(mib * MIB);
	u32 s = 1;

	swap_row("start", 1);
	for (u32 k = 0; k < 3; k++) {
		for (u64 i = 0; i < pages; i++)
			*(volatile u64 *)(p + i * PAGE) =
				k ? *(volatile u64 *)(p + i * PAGE) + 1 : i;
		swap_row(names[k], pages);
	}
	for (u64 i = 0; i < pages; i++) {
		u64 page;

		s = s * 1664525u + 1013904223u;
		page = (s >> 8) % pages;
		if (((s >> 4) & 15) < 14)
			page %= pages / 4;
		*(volatile u64 *)(p + page * PAGE + 8) += 1;
	}
	swap_row("skewed", pages);
	for (u64 i = 0; i < pages; i++)
		bad += *(volatile u64 *)(p + i * PAGE) != i + 2;
	swap_row("verify", pages);
	print_row("BAD", "pages", &bad, 1);
	if (bad)
		SYS(exit_group, 1);
}

int guest_main(int argc, char **argv, char **envp)
{
	(void)envp;
	if (argc > 1 && same_text(argv[1], "nop"))
		return 0;
	if (argc > 2 && same_text(argv[1], "swap")) {
		const char *n = argv[2];

		bench_swap(take_number(&n));
		return 0;
	}
	calibrate();
	bench_syscall();
	bench_anon();
	bench_file();
	bench_fork();
	bench_mmap();
	bench_mprotect();
	bench_brk();
	bench_mremap();
	bench_many();
	bench_pipe();
	return 0;
}
