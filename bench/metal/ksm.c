/* SPDX-License-Identifier: MIT */
/*
 * ksm.c - what the files of /sys/kernel/mm/ksm say when all is at rest.
 *
 * The same static program on every kernel of Linux's interface. It makes
 * processes that hold known contents in mergeable memory, waits until whole
 * scans change nothing any more, and prints the counters. What they have to be
 * follows from counting contents; where it does, the program says so itself and
 * fails if they are not.
 *
 *	KSM scene name value	what Linux 6.1 has a file for
 *	MORE scene name value	what is different there, or only later ones have
 *	BAD what value wanted	a page or a figure is wrong: exit status 1
 *
 * Scenes: 32 MiB of one contents in four processes; one of them writes, one
 * takes its share apart, one forks; contents at random (zeroes, copies, none
 * like it, changing) by three of them, with two settings; all taken apart by an
 * operator; all gone.
 *
 * The processes do what the parent says, one after the other and in order, so
 * that scans meet their pages in the same order everywhere.
 */
#include "sys.h"

#define PAGE	   4096UL
#define NPROC	   4u
#define SAME_PAGES 2048u
#define MIX_PROCS  3u
#define MIX_PAGES  400u
#define MIX_KINDS  40u
#define WRITTEN	   5u
#define DIR	   "/sys/kernel/mm/ksm/"

enum { MERGEABLE = 12, UNMERGEABLE = 13 };

/* Contents by number: 0 is zeroes; from OWN on nobody else has it. */
#define ONE	 7u
#define OWN	 1000u
#define CHANGING (~0u)

enum order { FILL_SAME, FILL_MIX, WRITE, APART, FORK, CHECK, REPORT, QUIT };

/* What parent and children tell each other. */
struct talk {
	volatile u32 turn; /* who is to do what was ordered; NPROC: nobody */
	volatile u32 what; /* enum order */
	volatile u32 bad;
	volatile u64 merging, items;
};

static struct talk *talk;
static u32 me, pages, failed;
static u8 *mem;
static u32 contents[SAME_PAGES];

/* ---- output ----------------------------------------------------------------
 */

static void print(const char *kind, const char *scene, const char *name, s64 v)
{
	char line[160];
	size_t at = put_text(line, sizeof(line), 0, kind);

	at = put_text(line, sizeof(line), at, " ");
	at = put_text(line, sizeof(line), at, scene);
	at = put_text(line, sizeof(line), at, " ");
	at = put_text(line, sizeof(line), at, name);
	at = put_text(line, sizeof(line), at, " ");
	at = put_number(line, sizeof(line), at, v);
	at = put_text(line, sizeof(line), at, "\n");
	write_all(1, line, at);
}

static void bad(const char *what, const char *more, s64 v)
{
	print("BAD", what, more, v);
	failed = 1;
}

/* ---- the files -------------------------------------------------------------
 */

static const char *path_of(const char *name)
{
	static char path[80];
	size_t at = put_text(path, sizeof(path), 0, DIR);

	put_text(path, sizeof(path), at, name);
	return path;
}

/* -1: there is no such file. */
static s64 get(const char *name)
{
	char text[40];
	const char *p = text;
	long n = read_file(path_of(name), text, sizeof(text) - 1);

	if (n <= 0)
		return -1;
	text[n] = 0;
	return (s64)take_number(&p);
}

/* False: there is no such file, or it does not take that. */
static int set(const char *name, s64 v)
{
	char text[24];
	size_t len = put_number(text, sizeof(text), 0, v);
	long fd = SYS(openat, -100ULL, U64(path_of(name)), O_WR | O_CLO), err;

	if (fd < 0)
		return 0;
	err = write_all((int)fd, text, len);
	SYS(close, (u64)fd);
	return !err;
}

static void must_set(const char *name, s64 v)
{
	if (!set(name, v))
		bad("cannot set", name, v);
}

/* The number behind NAME in TEXT, 0 if it is not there. */
static u64 value_of(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = text; *p; p++)
		if (!memcmp(p, name, len) && p[len] == ' ') {
			p += len + 1;
			return take_number(&p);
		}
	return 0;
}

/* ---- contents --------------------------------------------------------------
 */

static u64 mixed(u64 x)
{
	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15UL;
	x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9UL;
	return x ^ x >> 32;
}

/* Word W of contents C: pages that differ late are the hard ones to order. */
static u64 word_of(u32 c, u32 w)
{
	if (!c || w < 256)
		return 0;
	return mixed((u64)c << 20 | w);
}

static void put_page(u32 p)
{
	u64 *at = (u64 *)(mem + p * PAGE);

	for (u32 w = 0; w < 512; w++)
		at[w] = contents[p] == CHANGING ? p + 1
						: word_of(contents[p], w);
}

static void touch_changing(void)
{
	for (u32 p = 0; p < pages; p++)
		if (contents[p] == CHANGING)
			++*(volatile u64 *)(mem + p * PAGE);
}

static void check_pages(void)
{
	for (u32 p = 0; p < pages; p++) {
		const volatile u64 *at = (u64 *)(mem + p * PAGE);

		for (u32 w = 0; w < 512; w++) {
			u64 want = contents[p] == CHANGING
					   ? (w ? p + 1 : at[0])
					   : word_of(contents[p], w);

			talk->bad += at[w] != want;
		}
	}
}

/* What page P of process I has in the mixed scenes. */
static u32 mix_of(u32 i, u32 p)
{
	u64 r = mixed((u64)(i + 1) << 32 | p), kind = r % 10;

	if (kind < 6)
		return 1 + (u32)(r / 10 % MIX_KINDS);
	if (kind < 7)
		return 0;
	return kind < 8 && p % 4 == 0 ? CHANGING : OWN + i * MIX_PAGES + p;
}

/* ---- a child ---------------------------------------------------------------
 */

static void fill(int mix)
{
	long p;

	if (mem)
		SYS(munmap, U64(mem), pages * PAGE);
	pages = mix ? MIX_PAGES : SAME_PAGES;
	p = SYS(mmap, 0, pages * PAGE, P_READ | P_WRITE, M_PRIVATE | M_ANON,
		(u64)-1, 0);
	mem = (u8 *)p;
	if (p < 0 || SYS(madvise, U64(mem), pages * PAGE, MERGEABLE))
		talk->bad += 1000000;
	for (u32 i = 0; i < pages; i++) {
		contents[i] = mix ? mix_of(me, i) : ONE;
		put_page(i);
	}
}

static void report(void)
{
	static char text[512];
	const char *p = text;
	long n = read_file("/proc/self/ksm_merging_pages", text,
			   sizeof(text) - 1);

	text[n > 0 ? n : 0] = 0;
	talk->merging = take_number(&p);
	n = read_file("/proc/self/ksm_stat", text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	talk->items = value_of(text, "ksm_rmap_items");
}

static void obey(u32 what)
{
	switch (what) {
	case FILL_SAME:
	case FILL_MIX:
		fill(what == FILL_MIX);
		break;
	case WRITE:
		for (u32 p = 0; p < WRITTEN; p++) {
			contents[p * 300] = OWN + me * 100 + p;
			put_page(p * 300);
		}
		break;
	case APART:
		if (SYS(madvise, U64(mem), pages * PAGE, UNMERGEABLE))
			talk->bad += 1000000;
		break;
	case CHECK:
		check_pages();
		break;
	case REPORT:
		report();
		break;
	default:
		break;
	}
}

/* A fork becomes process NPROC - 1 in the place of the one that quit. */
static void child(u32 id)
{
	me = id;
	for (;;) {
		u32 what = talk->what;

		if (talk->turn != me) {
			touch_changing();
			sleep_ms(1);
			continue;
		}
		if (what == FORK && !SYS(fork, 0)) {
			me = NPROC - 1;
			talk->turn = NPROC;
			continue;
		}
		if (what == FORK)
			while (talk->turn != NPROC)
				sleep_ms(1);
		obey(what);
		talk->turn = NPROC;
		if (what == QUIT)
			SYS(exit_group, 0);
	}
}

/* ---- the parent ------------------------------------------------------------
 */

static void order_one(u32 who, u32 what)
{
	u64 until = now_ns() + 120000000000UL;

	talk->what = what;
	talk->turn = who;
	while (talk->turn != NPROC && now_ns() < until)
		sleep_ms(1);
	if (talk->turn != NPROC) {
		bad("no answer from", "process", who);
		SYS(exit_group, 1);
	}
}

static void order_all(u32 nr, u32 what)
{
	for (u32 i = 0; i < nr; i++)
		order_one(i, what);
}

static const char *const watched[] = {
	"pages_shared",	  "pages_sharing",	"pages_unshared",
	"pages_volatile", "stable_node_chains", "stable_node_dups",
};

static int look(s64 *v)
{
	int same = 1;

	for (u32 i = 0; i < ARRAY_LEN(watched); i++) {
		s64 now = get(watched[i]);

		same &= now == v[i];
		v[i] = now;
	}
	return same;
}

/* True: whole scans have changed nothing, or there is nothing to scan. */
static int at_rest(void)
{
	s64 v[ARRAY_LEN(watched)], since = get("full_scans");
	u64 moved = now_ns(), until = moved + 240000000000UL;

	look(v);
	for (u64 now = moved; now < until; now = now_ns()) {
		s64 scans = get("full_scans");

		if (!look(v)) {
			since = scans;
			moved = now;
		}
		if (scans - since >= 5 ||
		    (scans == since && now - moved > 3000000000UL))
			return 1;
		sleep_ms(20);
	}
	return 0;
}

/* The scanner runs until nothing changes. It stands still when this returns:
 * while it looks at a page again, that is counted as volatile. */
static void rest(const char *scene)
{
	must_set("run", 1);
	if (!at_rest())
		bad(scene, "does not come to rest", get("full_scans"));
	must_set("run", 0);
}

static void show(const char *scene)
{
	for (u32 i = 0; i < ARRAY_LEN(watched); i++)
		print("KSM", scene, watched[i], get(watched[i]));
	if (get("ksm_zero_pages") >= 0)
		print("MORE", scene, "ksm_zero_pages", get("ksm_zero_pages"));
}

static void show_process(const char *kind, const char *scene, u32 who)
{
	order_one(who, REPORT);
	print(kind, scene, "self/ksm_merging_pages", (s64)talk->merging);
	print(kind, scene, "self/ksm_rmap_items", (s64)talk->items);
}

static void want(const char *scene, u32 which, s64 value)
{
	if (get(watched[which]) != value)
		bad(scene, watched[which], get(watched[which]));
}

/* Each process has what it had. */
static void contents_right(const char *scene, u32 nr)
{
	talk->bad = 0;
	order_all(nr, CHECK);
	if (talk->bad)
		bad(scene, "wrong words", talk->bad);
}

static void start(u32 limit, u32 zero)
{
	must_set("run", 2);
	must_set("max_page_sharing", limit);
	must_set("use_zero_pages", zero);
}

/* ---- scenes ----------------------------------------------------------------
 */

static void same_scenes(void)
{
	u32 all = NPROC * SAME_PAGES;

	start(256, 0);
	order_all(NPROC, FILL_SAME);
	rest("same");
	show("same");
	show_process("KSM", "same", 0);
	want("same", 0, all / 256);
	want("same", 1, all - all / 256);
	contents_right("same", NPROC);

	order_one(0, WRITE);
	rest("written");
	show("written");
	show_process("KSM", "written", 0);
	want("written", 2, WRITTEN);
	contents_right("written", NPROC);

	order_one(1, APART);
	rest("apart");
	show("apart");
	show_process("KSM", "apart", 1);
	contents_right("apart", NPROC);

	/* Another takes the place of the last, whose memory is gone. */
	order_one(3, QUIT);
	/* (Linux 6.1 counts what its parent had for it as well.) */
	order_one(2, FORK);
	rest("forked");
	show("forked");
	show_process("MORE", "forked", 3);
	contents_right("forked", NPROC);

	must_set("run", 2);
	show("run2");
	contents_right("run2", NPROC);
}

/* What counting contents predicts: of N pages alike N / limit are needed,
 * rounded up, but one that is left over shares with nobody. */
static void predict(const char *scene, u32 limit, u32 zero)
{
	static u32 count[OWN + MIX_PROCS * MIX_PAGES];
	s64 v[4] = {0, 0, 0, 0};

	memset(count, 0, sizeof(count));
	for (u32 i = 0; i < MIX_PROCS; i++)
		for (u32 p = 0; p < MIX_PAGES; p++) {
			u32 c = mix_of(i, p);

			if (c == CHANGING)
				v[3]++;
			else
				count[c]++;
		}
	for (u32 c = zero ? 1 : 0; c < ARRAY_LEN(count); c++) {
		u32 n = count[c], full = n / limit, left = n % limit;

		v[0] += full + (left >= 2);
		v[1] += n - full - (left != 0);
		v[2] += left == 1;
	}
	for (u32 i = 0; i < 4; i++)
		want(scene, i, v[i]);
	if (zero && get("ksm_zero_pages") >= 0 &&
	    get("ksm_zero_pages") != count[0])
		bad(scene, "ksm_zero_pages", get("ksm_zero_pages"));
}

static void mix_scene(const char *scene, u32 limit, u32 zero)
{
	start(limit, zero);
	order_all(MIX_PROCS, FILL_MIX);
	rest(scene);
	show(scene);
	show_process("KSM", scene, 1);
	predict(scene, limit, zero);
	contents_right(scene, MIX_PROCS);
}

int guest_main(int argc, char **argv, char **envp)
{
	long p = SYS(mmap, 0, PAGE, P_READ | P_WRITE, M_SHARED | M_ANON,
		     (u64)-1, 0);

	(void)argc, (void)argv, (void)envp;
	talk = (struct talk *)p;
	talk->turn = NPROC;
	if (get("run") < 0) {
		print("SKIP", "no", DIR, 0);
		return 77;
	}
	must_set("sleep_millisecs", 20);
	must_set("pages_to_scan", 2000);
	must_set("stable_node_chains_prune_millisecs", 0);
	(void)set("smart_scan", 0);
	for (u32 i = 0; i < NPROC; i++)
		if (!SYS(fork, 0))
			child(i);
	same_scenes();
	/* The one that was forked shares its parent's mapping: it goes. */
	order_one(3, QUIT);
	mix_scene("mixed", 256, 0);
	mix_scene("mixed-zero-8", 8, 1);
	order_all(MIX_PROCS, QUIT);
	rest("gone");
	for (u32 i = 0; i < 4; i++)
		want("gone", i, 0);
	must_set("run", 2);
	show("gone");
	return (int)failed;
}
