/* SPDX-License-Identifier: MIT */
/*
 * compact.c - large blocks on a machine whose memory is in pieces.
 *
 * The same static program on every kernel of Linux's interface. It takes nearly
 * all free memory in single pages, gives some of them back here and there until
 * 10 % are free, and asks for blocks of 2 MiB (transparent huge pages), as many
 * as the free memory is worth:
 *
 *	pieces		with defrag "never": what is there
 *	compacted	the same, after a 1 to /proc/sys/vm/compact_memory
 *	direct		in pieces again, with defrag "always": each request
 *			may make its block
 *
 *	FRAG stage name value	figures; counters are what the stage added
 *	BAD what value		a page is not what it was: exit status 1
 *
 * Ticks are instructions under QEMU's -icount shift=0. With a number as its
 * argument it takes so many MiB instead of nearly all.
 */
#include "sys.h"

#define PAGE  4096UL
#define BLOCK 512UL

enum { DONTNEED = 4, HUGEPAGE = 14, NOHUGEPAGE = 15 };

static u64 *mem; /* the pages, one word each of which is looked at */
static u64 pages, holes, failed, random_state = 1;
static char text[65536];

/* ---- output ----------------------------------------------------------------
 */

static void print(const char *kind, const char *stage, const char *name, u64 v)
{
	char line[160];
	size_t at = put_text(line, sizeof(line), 0, kind);

	at = put_text(line, sizeof(line), at, " ");
	at = put_text(line, sizeof(line), at, stage);
	at = put_text(line, sizeof(line), at, " ");
	at = put_text(line, sizeof(line), at, name);
	at = put_text(line, sizeof(line), at, " ");
	at = put_number(line, sizeof(line), at, (s64)v);
	at = put_text(line, sizeof(line), at, "\n");
	write_all(1, line, at);
}

static void bad(const char *what, const char *more, u64 v)
{
	print("BAD", what, more, v);
	failed = 1;
}

/* ---- files -----------------------------------------------------------------
 */

static void load(const char *path)
{
	long n = read_file(path, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = 0;
	if (n <= 0)
		bad("cannot read", path, (u64)-n);
}

static void store(const char *path, const char *value)
{
	long fd = SYS(openat, -100ULL, U64(path), O_WR | O_CLO);

	if (fd < 0 || write_all((int)fd, value, strlen(value)))
		bad("cannot write", path, (u64)fd);
	SYS(close, (u64)fd);
}

static int starts(const char *p, const char *word)
{
	return !memcmp(p, word, strlen(word));
}

/* The number behind NAME, at the beginning of a line of text. */
static u64 value_of(const char *name)
{
	size_t len = strlen(name);

	for (const char *p = text; *p; p++) {
		if ((p != text && p[-1] != '\n') || !starts(p, name) ||
		    (p[len] != ' ' && p[len] != ':'))
			continue;
		p += len + 1;
		while (*p == ' ')
			p++;
		return take_number(&p);
	}
	return 0;
}

static u64 free_pages(void)
{
	load("/proc/meminfo");
	return value_of("MemFree") / 4;
}

/* Free blocks of 2 MiB, all zones, of /proc/buddyinfo. */
static u64 free_blocks(void)
{
	u64 sum = 0, column = 0;
	const char *p = text;

	load("/proc/buddyinfo");
	while (*p) {
		if (*p == '\n')
			column = 0;
		if (*p < '0' || *p > '9' || p[-1] != ' ' ||
		    starts(p - 5, "Node ")) {
			p++;
			continue;
		}
		/* Column 0 is of order 0. */
		for (u64 v = take_number(&p); column++ >= 9;) {
			sum += v << (column - 10);
			break;
		}
	}
	return sum;
}

/* ---- counters --------------------------------------------------------------
 */

static const char *const counters[] = {
	"thp_fault_alloc",  "thp_fault_fallback",   "compact_stall",
	"compact_success",  "compact_fail",	    "compact_migrate_scanned",
	"compact_isolated", "compact_free_scanned", "pgmigrate_success",
	"pgmigrate_fail",
};
static u64 before[ARRAY_LEN(counters)], begun;

static void stage_begin(void)
{
	load("/proc/vmstat");
	for (u32 i = 0; i < ARRAY_LEN(counters); i++)
		before[i] = value_of(counters[i]);
	begun = ticks();
}

static void stage_end(const char *stage)
{
	u64 spent = ticks() - begun;

	load("/proc/vmstat");
	for (u32 i = 0; i < ARRAY_LEN(counters); i++)
		print("FRAG", stage, counters[i],
		      value_of(counters[i]) - before[i]);
	print("FRAG", stage, "ticks", spent);
}

/* ---- memory in pieces ------------------------------------------------------
 */

static u64 random_below(u64 n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static u64 *word_of(u64 p)
{
	return mem + p * (PAGE / sizeof(u64)) + p % (PAGE / sizeof(u64));
}

/* Each page has its number; those of holes read as 0. */
static void fill(void)
{
	for (u64 p = 0; p < pages; p++)
		*(volatile u64 *)word_of(p) = p + 1;
}

static void punch(void)
{
	for (u64 n = 0; n < holes;) {
		u64 p = random_below(pages);

		if (!*(volatile u64 *)word_of(p))
			continue;
		*(volatile u64 *)word_of(p) = 0;
		SYS(madvise, U64(mem + p * (PAGE / sizeof(u64))), PAGE,
		    DONTNEED);
		n++;
	}
}

/* A hole is read as zero, and may have the zero page from then on: no frame. */
static void check(const char *stage)
{
	u64 zero = 0;

	for (u64 p = 0; p < pages; p++) {
		u64 v = *(volatile u64 *)word_of(p);

		if (v && v != p + 1)
			bad(stage, "page", p);
		zero += !v;
	}
	if (zero != holes)
		bad(stage, "pages lost", zero);
}

static u64 *map(u64 nr)
{
	long p = SYS(mmap, 0, nr * PAGE, P_READ | P_WRITE,
		     M_PRIVATE | M_ANON | M_NORESERVE, (u64)-1, 0);

	if (p < 0 && p > -4096) {
		bad("cannot map", "pages", nr);
		SYS(exit_group, 1);
	}
	return (u64 *)p;
}

/* ---- stages ----------------------------------------------------------------
 */

/* As many blocks as free memory is worth, each asked for by one touch. */
static void ask(const char *stage, const char *defrag)
{
	u64 nr = free_pages() / BLOCK, at;
	u64 *area = map((nr + 1) * BLOCK);

	store("/sys/kernel/mm/transparent_hugepage/defrag", defrag);
	print("FRAG", stage, "free_pages", free_pages());
	print("FRAG", stage, "free_blocks", free_blocks());
	print("FRAG", stage, "asked", nr);
	SYS(madvise, U64(area), (nr + 1) * BLOCK * PAGE, HUGEPAGE);
	at = (U64(area) + BLOCK * PAGE - 1) & ~(BLOCK * PAGE - 1);
	stage_begin();
	for (u64 i = 0; i < nr; i++)
		*(volatile u64 *)(at + i * BLOCK * PAGE) = i;
	stage_end(stage);
	SYS(munmap, U64(area), (nr + 1) * BLOCK * PAGE);
	check(stage);
}

/* What is available above the reserves, but for 2 %; then pages come back here
 * and there until a tenth of what was free is. */
static void take_memory(u64 mib)
{
	u64 all = free_pages(), available = value_of("MemAvailable") / 4;
	u64 take = (available < all ? available : all) * 98 / 100, now;

	pages = mib ? mib << 8 : take;
	mem = map(pages);
	SYS(madvise, U64(mem), pages * PAGE, NOHUGEPAGE);
	print("FRAG", "start", "free_pages", all);
	print("FRAG", "start", "taken", pages);
	fill();
	now = free_pages();
	holes = now < all / 10 ? all / 10 - now : 0;
	if (mib || holes < pages / 50)
		holes = pages / 50;
	print("FRAG", "start", "given_back", holes);
	punch();
}

int guest_main(int argc, char **argv, char **envp)
{
	const char *arg = argc > 1 ? argv[1] : "0";

	(void)envp;
	store("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	/* Linux reserves more for huge pages; here both have the same. */
	store("/proc/sys/vm/min_free_kbytes", "2700");
	store("/proc/sys/vm/compaction_proactiveness", "0");
	if (failed)
		return 77;
	take_memory(take_number(&arg));
	ask("pieces", "never");
	stage_begin();
	store("/proc/sys/vm/compact_memory", "1");
	stage_end("compaction");
	ask("compacted", "never");

	fill();
	punch();
	ask("direct", "always");
	return (int)failed;
}
