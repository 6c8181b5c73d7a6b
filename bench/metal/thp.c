/* SPDX-License-Identifier: MIT */
/*
 * thp.c - huge pages as a program of Linux's interface sees them.
 *
 * The same static program on every kernel. It asks for huge pages by madvise(2)
 * and looks in /proc/self/smaps (AnonHugePages) and in /proc/vmstat whether it
 * has them; takes a part away, forks, writes on both sides, and has khugepaged
 * (MADV_COLLAPSE) make one again; each page's contents are compared at each
 * step.
 *
 *	THP step value		what it found; KiB or counts
 *	BAD step value wanted	not as it must be: exit status 1
 *
 * Steps after the first partial change are not compared with Linux's, where a
 * page table entry is split and stays so until khugepaged comes.
 */
#include "sys.h"

#define PAGE	4096UL
#define HUGE	(2UL << 20)
#define REGIONS 4u
#define NR	(REGIONS * (HUGE / PAGE))

enum { ADV_DONTNEED = 4, ADV_HUGE = 14, ADV_NOHUGE = 15, ADV_COLLAPSE = 25 };

static u8 *mem;
static u32 failed;
static char text[65536];

static void say(const char *kind, const char *step, s64 v, s64 wanted)
{
	char line[160];
	size_t at = put_text(line, sizeof(line), 0, kind);

	at = put_text(line, sizeof(line), at, step);
	at = put_text(line, sizeof(line), at, " ");
	at = put_number(line, sizeof(line), at, v);
	if (kind[0] == 'B') {
		at = put_text(line, sizeof(line), at, " ");
		at = put_number(line, sizeof(line), at, wanted);
		failed = 1;
	}
	at = put_text(line, sizeof(line), at, "\n");
	write_all(1, line, at);
}

static void is(const char *step, s64 v, s64 wanted)
{
	say("THP ", step, v, wanted);
	if (v != wanted)
		say("BAD ", step, v, wanted);
}

/* Sum of the numbers behind NAME, a line's first word, in the file at PATH. */
static s64 sum_of(const char *path, const char *name)
{
	size_t len = strlen(name);
	long n = read_file(path, text, sizeof(text) - 1);
	s64 sum = 0;

	text[n > 0 ? n : 0] = 0;
	for (const char *p = text; *p; p++) {
		if ((p != text && p[-1] != '\n') || memcmp(p, name, len))
			continue;
		p += len;
		while (*p == ' ')
			p++;
		sum += (s64)take_number(&p);
		p--;
	}
	return sum;
}

static s64 huge_kib(void)
{
	return sum_of("/proc/self/smaps", "AnonHugePages:");
}

static u64 *word(u64 page)
{
	return (u64 *)(void *)(mem + page * PAGE);
}

static void fill(u64 salt)
{
	for (u64 i = 0; i < NR; i++)
		*word(i) = salt + i;
}

/* Pages of [FIRST, FIRST + N) that do not hold what fill(SALT) wrote. */
static s64 wrong(u64 first, u64 n, u64 salt)
{
	s64 bad = 0;

	for (u64 i = first; i < first + n; i++)
		bad += *word(i) != salt + i;
	return bad;
}

static void make(void)
{
	u64 at = (u64)SYS(mmap, 0, (REGIONS + 1) * HUGE, 3, 0x22, ~0ULL, 0);

	mem = (u8 *)(uintptr_t)((at + HUGE - 1) & ~(HUGE - 1));
	is("advised", SYS(madvise, U64(mem), REGIONS * HUGE, ADV_HUGE), 0);
}

static void touched(void)
{
	s64 faults = sum_of("/proc/vmstat", "thp_fault_alloc");

	mem[HUGE + 5] = 1;
	is("one-write", huge_kib(), 2048);
	fill(1000);
	is("all-written", huge_kib(), 2048 * REGIONS);
	is("blocks", sum_of("/proc/vmstat", "thp_fault_alloc") - faults,
	   REGIONS);
	is("contents", wrong(0, NR, 1000), 0);
}

/* The child sees what was there when it was born, both write. */
static void forked(void)
{
	long child = SYS(fork, 0);
	u32 status = 1;

	if (child == 0) {
		s64 bad = wrong(0, NR, 1000);

		*word(3) = 5;
		SYS(exit_group, (u64)(bad != 0 || *word(3) != 5));
	}
	*word(700) = 6;
	SYS(wait4, (u64)child, U64(&status), 0, 0);
	is("child", status, 0);
	is("parent", *word(700) == 6 ? wrong(0, 700, 1000) : -1, 0);
	*word(700) = 1700;
}

static void parts(void)
{
	s64 rss = sum_of("/proc/self/status", "VmRSS:\t");

	is("part-dropped", SYS(madvise, U64(mem), PAGE * 100, ADV_DONTNEED), 0);
	is("part-zero", (s64)*word(50), 0);
	is("part-rest", wrong(100, NR - 100, 1000), 0);
	say("THP ", "freed-kib", rss - sum_of("/proc/self/status", "VmRSS:\t"),
	    0);
}

static void collapsed(void)
{
	for (u32 i = 0; i < REGIONS; i++) {
		long err = -1;

		for (u32 tries = 0; err && tries < 50; tries++) {
			err = SYS(madvise, U64(mem + i * HUGE), HUGE,
				  ADV_COLLAPSE);
			if (err)
				sleep_ms(20);
		}
		is("collapsed", err, 0);
	}
	is("huge-again", huge_kib(), 2048 * REGIONS);
	is("contents-again", wrong(100, NR - 100, 1000), 0);
	is("zero-again", (s64)*word(99), 0);
	is("unmapped", SYS(munmap, U64(mem), REGIONS * HUGE), 0);
	is("none-left", huge_kib(), 0);
}

int guest_main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	make();
	touched();
	forked();
	parts();
	collapsed();
	return (int)failed;
}
