/* SPDX-License-Identifier: MIT */
/*
 * faults.c - page faults, counted by a system call that only this kernel has.
 *
 *	faults [PAGES]		32 pages if nothing is said
 *
 * Touches memory in several ways and asks fault_counts (kernel/uapi.h) before
 * and after each: how many faults did this process have, and did the machine
 * have as many at least? Then it asks those that everybody knows, getrusage(2),
 * /proc/self/stat and /proc/vmstat, whether they say the same. Exit status: 0;
 * 1 if they do not; 2 on a kernel without the call.
 */
#include "sys.h"

#include "../kernel/uapi.h"

#define PAGE 4096UL
#define MAX  1024UL

static char text[16384];
static u64 usage[18]; /* struct rusage */
static struct fault_counts was, is;
static int wrong;

static long fault_counts(struct fault_counts *out)
{
	return sys6(NR_FAULT_COUNTS, (const u64[6]){0, U64(out), sizeof(*out)});
}

/* ---- output ----------------------------------------------------------------
 */

static void print(const char *s)
{
	write_all(1, s, strlen(s));
}

/* V at the right of so many columns. */
static void print_right(u64 v, size_t columns)
{
	char digits[24], line[48];
	size_t n = put_number(digits, sizeof(digits), 0, (s64)v), at = 0;

	while (at + n < columns)
		at = put_text(line, sizeof(line), at, " ");
	put_text(line, sizeof(line), at, digits);
	print(line);
}

/* NAME, padded. */
static void print_left(const char *name)
{
	char line[64];
	size_t at = put_text(line, sizeof(line), 0, name);

	while (at < 42)
		at = put_text(line, sizeof(line), at, " ");
	print(line);
}

static void agrees(const char *name, int yes)
{
	print_left(name);
	print(yes ? "  agrees\n" : "  DIFFERS\n");
	wrong |= !yes;
}

/* ---- steps -----------------------------------------------------------------
 */

/* What was done since WAS, named NAME. */
static void step(const char *name)
{
	u64 minor, major;
	int fewer;

	fault_counts(&is);
	minor = is.process_minor - was.process_minor;
	major = is.process_major - was.process_major;
	fewer = is.system - was.system < minor + major ||
		is.system_major - was.system_major < major;
	print_left(name);
	print_right(minor, 8);
	print_right(major, 8);
	print(fewer ? "  FEWER\n" : "  as many or more\n");
	wrong |= fewer;
	fault_counts(&was);
}

static u8 *map(u64 pages)
{
	return (u8 *)SYS(mmap, 0, pages * PAGE, P_READ | P_WRITE,
			 M_PRIVATE | M_ANON, ~0ULL, 0);
}

static void read_all(const u8 *p, u64 pages)
{
	for (u64 i = 0; i < pages; i++)
		(void)*(const volatile u8 *)(p + i * PAGE);
}

static void write_each(u8 *p, u64 pages)
{
	for (u64 i = 0; i < pages; i++)
		*(volatile u8 *)(p + i * PAGE) = (u8)i;
}

/* A file of the pages at A, out of the page cache, on a disk or in memory. */
static void file_steps(const u8 *a, u64 pages)
{
	long fd = SYS(openat, -100ULL, U64("faults.file"), O_RW | O_NEW, 0600);
	u8 *f;

	if (fd < 0 || write_all((int)fd, a, pages * PAGE) ||
	    SYS(fsync, (u64)fd)) {
		agrees("a file can be written", 0);
		return;
	}
	SYS(fadvise64, (u64)fd, 0, 0, 4 /* DONTNEED */);
	f = (u8 *)SYS(mmap, 0, pages * PAGE, P_READ, M_SHARED, (u64)fd, 0);
	/* Without read-ahead each page costs a read of its own. */
	SYS(madvise, U64(f), pages * PAGE, 1 /* RANDOM */);
	fault_counts(&was);
	read_all(f, pages);
	step("each page of a file read");
	SYS(munmap, U64(f), pages * PAGE);
	f = (u8 *)SYS(mmap, 0, pages * PAGE, P_READ, M_SHARED, (u64)fd, 0);
	fault_counts(&was);
	read_all(f, pages);
	step("mapped and read again");
	SYS(unlinkat, -100ULL, U64("faults.file"), 0);
}

static void steps(u64 pages)
{
	u8 *a = map(pages), *b = map(pages);
	int status;
	long pid;

	fault_counts(&was);
	step("nothing at all");
	write_each(a, pages);
	step("each page written");
	write_each(a, pages);
	step("the same once more");
	read_all(b, pages);
	step("each of others read (the zero page)");
	write_each(b, pages);
	step("and written");
	pid = SYS(fork);
	if (pid == 0) {
		/* Its counts begin at zero. */
		SYS(exit, 0);
	}
	SYS(wait4, (u64)pid, U64(&status), 0, 0);
	/* fork took the right to write from our other pages as well; those that
	 * we count with get it back before we count. */
	fault_counts(&is);
	fault_counts(&was);
	write_each(a, pages);
	step("each page written after fork");
	SYS(madvise, U64(a), pages * PAGE, 4 /* DONTNEED */);
	step("given back (MADV_DONTNEED)");
	write_each(a, pages);
	step("each page written");
	file_steps(a, pages);
}

/* ---- what others say -------------------------------------------------------
 */

/* The number behind NAME and a blank at the beginning of a line of TEXT. */
static u64 number_of(const char *name)
{
	size_t n = strlen(name);

	for (const char *s = text; *s; s++) {
		if ((s == text || s[-1] == '\n') && !memcmp(s, name, n) &&
		    s[n] == ' ') {
			s += n + 1;
			return take_number(&s);
		}
	}
	return ~0ULL;
}

/* Field N (from 1) of /proc/self/stat in TEXT, from behind the name on. */
static u64 stat_field(int n)
{
	const char *s = text;

	while (*s && *s != ')')
		s++;
	for (int i = 2; *s && i < n; s++)
		i += *s == ' ';
	return take_number(&s);
}

static void others(void)
{
	struct fault_counts first;
	long n;

	/* Twice: the first time touches all that the second will. */
	for (int i = 0; i < 2; i++) {
		fault_counts(&first);
		SYS(getrusage, 0, U64(usage));
		fault_counts(&is);
	}
	agrees("getrusage(2): ru_minflt, ru_majflt",
	       usage[8] == first.process_minor &&
		       usage[9] == first.process_major);
	n = read_file("/proc/self/stat", text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	fault_counts(&is);
	agrees("/proc/self/stat: fields 10 and 12",
	       stat_field(10) == is.process_minor &&
		       stat_field(12) == is.process_major);
	fault_counts(&was);
	n = read_file("/proc/vmstat", text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	fault_counts(&is);
	agrees("/proc/vmstat: pgfault, between two calls",
	       number_of("pgfault") >= was.system &&
		       number_of("pgfault") <= is.system);
	agrees("/proc/vmstat: pgmajfault, likewise",
	       number_of("pgmajfault") >= was.system_major &&
		       number_of("pgmajfault") <= is.system_major);
}

int guest_main(int argc, char **argv, char **envp)
{
	const char *s = argc > 1 ? argv[1] : "32";
	u64 pages = take_number(&s);
	long err = fault_counts(&is);

	(void)envp;
	/* Pages that are written by the way are there before we count. */
	memset(text, 1, sizeof(text));
	memset(usage, 1, sizeof(usage));
	memset(&was, 1, sizeof(was));
	if (err == -E_NOSYS) {
		print("this kernel has no call fault_counts\n");
		return 2;
	}
	if (pages < 2 || pages > MAX) {
		print("faults: 2 to 1024 pages\n");
		return 2;
	}
	print("pages: ");
	print_right(pages, 0);
	print("\n                                        "
	      "     minor   major  the machine\n");
	steps(pages);
	others();
	return wrong;
}
