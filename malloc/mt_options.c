/* SPDX-License-Identifier: MIT */
/*
 * mt_options.c - what may be chosen: MMKIT_OPTIONS, mallopt(3) and the
 * environment variables that mallopt(3) names.
 *
 * The short ways of malloc() and free() know no tunable. What must reach the
 * slow way is kept from them by what they read anyway: a size whose class_of[]
 * is 0 has no magazine, and with mt_span 0 no pointer is in the span. Threads
 * may find the old values for a moment more, which does no harm.
 *
 * Reference: mallopt(3), Linux man-pages 6.03.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "mt.h"

#define QUARANTINE_BYTES (32u << 20)
#define MMAP_DEFAULT	 (MT_RUN_MAX + 1)
#define MMAP_MOST	 (4ul * 1024 * 1024 * sizeof(long))
#define MXFAST_MOST	 (80 * (int)sizeof(size_t) / 4)
#define TRIM_KEEP	 1024u /* frames */

static void say_text(const char *text)
{
	mt_say(text, strlen(text));
}

/* ---- MMKIT_OPTIONS
 * ---------------------------------------------------------- */

struct word {
	const char *text;
	size_t len;
};

static void complain(const char *what, const struct word *w)
{
	say_text("mmkit-malloc: MMKIT_OPTIONS: ");
	say_text(what);
	say_text(" \"");
	mt_say(w->text, w->len);
	say_text("\"\n");
}

static bool is_word(const struct word *w, const char *name)
{
	return strlen(name) == w->len && !memcmp(name, w->text, w->len);
}

static bool take_flag(const struct word *w)
{
	const struct {
		const char *name;
		bool *flag;
	} known[] = {
		{"hardened", &mt_sys.opt.hardened},
		{"debug", &mt_sys.opt.debug},
		{"stats", &mt_sys.opt.stats},
		{"slabinfo", &mt_sys.opt.slabinfo},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (is_word(w, known[i].name)) {
			*known[i].flag = true;
			return true;
		}
	}
	return false;
}

/* All of [AT, END) as a number below 2^40. */
static bool number(const char *at, const char *end, u64 *out)
{
	u64 n = 0;

	if (at == end)
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9' || n >> 36)
			return false;
		n = n * 10 + (u64)(*at - '0');
	}
	*out = n;
	return true;
}

/* NAME=NUMBER, and for fail a plus sign behind it. */
static bool take_number(const struct word *w)
{
	const char *eq = memchr(w->text, '=', w->len), *end = w->text + w->len;
	struct word name = {w->text, eq ? (size_t)(eq - w->text) : 0};
	u64 n = 0;

	if (!eq)
		return false;
	if (is_word(&name, "fail")) {
		mt_sys.opt.fail_keep = end[-1] == '+';
		end -= mt_sys.opt.fail_keep;
		if (!number(eq + 1, end, &n) || !n)
			complain("no number from 1 in", w);
		mt_sys.opt.fail_nth = n;
		return true;
	}
	if (!is_word(&name, "quarantine"))
		return false;
	if (number(eq + 1, end, &n))
		mt_sys.opt.quarantine = n << 10;
	else
		complain("no number of KiB in", w);
	return true;
}

static void take_options(const char *text)
{
	while (text) {
		const char *end = strchrnul(text, ',');
		struct word w = {text, (size_t)(end - text)};

		if (w.len && !take_flag(&w) && !take_number(&w))
			complain("unknown option", &w);
		text = *end ? end + 1 : NULL;
	}
}

/* ---- mallopt
 * ---------------------------------------------------------------- */

u32 mt_open_end(void)
{
	if (mt_sys.direct || mt_sys.tune.perturb)
		return 0;
	/* Entry I is for sizes up to 8 * I. */
	return (u32)min((mt_sys.tune.mmap_threshold + 7) / 8,
			(u64)MT_CLASS_TABLE);
}

void mt_tunables_hold(void)
{
	bool shut = mt_sys.direct || mt_sys.tune.perturb;

	__atomic_store_n(&mt_span, shut ? 0 : mt_sys.span, __ATOMIC_RELAXED);
	mt_class_table(0);
}

static int set_mmap_threshold(int value)
{
	if (value < 0 || (size_t)value > MMAP_MOST)
		return 0;
	mt_sys.tune.mmap_threshold = (size_t)value;
	mt_tunables_hold();
	return 1;
}

static int set_trim_threshold(int value)
{
	/* All that is not positive is a size that is never reached. */
	mt_sys.tune.trim_keep =
		value < 0 ? (u64)INT64_MAX >> 1 : PFN_UP((u64)value);
	mt_sys.tune.trim_set = true;
	return 1;
}

static int set_perturb(int value)
{
	mt_sys.tune.perturb = (u8)value;
	mt_tunables_hold();
	return 1;
}

static int set_check_action(int value)
{
	mt_sys.tune.check_action = (u8)(value & 7);
	return 1;
}

int mt_mallopt(int param, int value)
{
	if (!mt_up())
		return 0;
	switch (param) {
	case M_MMAP_THRESHOLD:
		return set_mmap_threshold(value);
	case M_MMAP_MAX:
		mt_sys.tune.mmap_max = value;
		return value >= 0;
	case M_TRIM_THRESHOLD:
		return set_trim_threshold(value);
	case M_PERTURB:
		return set_perturb(value);
	case M_CHECK_ACTION:
		return set_check_action(value);
	case M_MXFAST:
		return value >= 0 && value <= MXFAST_MOST;
	case M_TOP_PAD:
	case M_ARENA_TEST:
	case M_ARENA_MAX:
		return value >= 0;
	default:
		return 0;
	}
}

/* ---- at boot
 * ---------------------------------------------------------------- */

static void take_variable(const char *name, int param)
{
	const char *text = secure_getenv(name);
	u64 n;

	if (!text || !*text)
		return;
	if (param == M_CHECK_ACTION)
		n = (u64)(*text - '0');
	else if (!number(text, text + strlen(text), &n) || n > INT32_MAX)
		return;
	mt_mallopt(param, (int)n);
}

void mt_options_init(void)
{
	mt_sys.tune = (struct mt_tune){
		.mmap_threshold = MMAP_DEFAULT,
		.trim_keep = TRIM_KEEP,
		.mmap_max = INT64_MAX,
		.check_action = MT_ACT_PRINT | MT_ACT_ABORT,
	};
	mt_sys.opt.quarantine = QUARANTINE_BYTES;
	/* Who runs with the rights of others is not told what to do. */
	if (environ)
		take_options(secure_getenv("MMKIT_OPTIONS"));
	mt_sys.direct = mt_sys.opt.hardened || mt_sys.opt.debug;
	if (mt_sys.direct)
		mt_class_part();
}

void mt_options_late(void)
{
	/* Pointers would be words that the loader writes. */
	static const struct {
		char name[24];
		int param;
	} variables[] = {
		{"MALLOC_ARENA_MAX", M_ARENA_MAX},
		{"MALLOC_ARENA_TEST", M_ARENA_TEST},
		{"MALLOC_CHECK_", M_CHECK_ACTION},
		{"MALLOC_MMAP_MAX_", M_MMAP_MAX},
		{"MALLOC_MMAP_THRESHOLD_", M_MMAP_THRESHOLD},
		{"MALLOC_PERTURB_", M_PERTURB},
		{"MALLOC_TRIM_THRESHOLD_", M_TRIM_THRESHOLD},
		{"MALLOC_TOP_PAD_", M_TOP_PAD},
	};

	mt_tunables_hold();
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		if (environ)
			take_variable(variables[i].name, variables[i].param);
	}
	if (mt_sys.opt.fail_nth)
		fail_arm_nth(FAIL_ALL, mt_sys.opt.fail_nth,
			     mt_sys.opt.fail_keep);
}
