/* SPDX-License-Identifier: MIT */
/*
 * replay_whatif.c - "mmkit replay --thp, --ksm": what an operator would gain.
 *
 * 1. Purpose. Before huge pages or merging are switched on for a program: how
 *    much of its memory would be huge, how many TLB misses that spares, how
 *    many pages merging saves, and what either costs.
 *
 * 2. Way. Settings are written to the machine's own files in /sys before the
 *    program starts; with --ksm each address space has PR_SET_MEMORY_MERGE. The
 *    results are the machine's own counters. The other side is a second run of
 *    the same trace on the same machine with huge pages off and nothing merged
 *    (cmd_replay.c), so the difference is all of the effect, faults and memory
 *    included.
 *
 * 3. What it can tell. A trace holds references, and samples of contents where
 *    they were recorded: pages without a sample are all different, so pages
 *    saved are a lower bound.
 */
#include "replay_whatif.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/ksm.h>
#include <mmkit/prctl.h>
#include <mmkit/report.h>

#include "args.h"
#include "base/seqbuf.h"
#include "err.h"
#include "replay.h"
#include "sim.h"

#define THP_DIR	   "/sys/kernel/mm/transparent_hugepage/"
#define HUGE_PAGES 512u /* base pages of a huge one, in each format */

/* ---- options
 * ----------------------------------------------------------------- */

static bool is_mode(const char *word, size_t len)
{
	static const char *const modes[] = {"always", "madvise", "never"};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (strlen(modes[i]) == len && !strncmp(modes[i], word, len))
			return true;
	return false;
}

/* The next "FILE=VALUE" of *LIST; false: no more. */
static bool next_setting(const char *opt, const char **list,
			 struct args_pair *pair)
{
	size_t len = *list ? strcspn(*list, ",") : 0;
	struct args_error e;
	char word[256];

	if (!*list)
		return false;
	snprintf(word, sizeof(word), "%.*s", (int)len, *list);
	if (!args_pair(word, pair, &e))
		err_usage("--%s: %s", opt, e.text);
	*list = (*list)[len] ? *list + len + 1 : NULL;
	return true;
}

static const char *check_settings(const char *opt, const char *list)
{
	const char *at = list;
	struct args_pair pair;

	while (next_setting(opt, &at, &pair))
		;
	return list;
}

void whatif_parse_thp(struct whatif_opts *o, const char *arg)
{
	size_t len = strcspn(arg, ",");
	char *mode = strndup(arg, len);

	if (!mode)
		err_die("no memory");
	if (!is_mode(arg, len))
		err_usage("--thp: '%s': always, madvise or never", mode);
	o->thp = mode;
	o->thp_settings =
		check_settings("thp", arg[len] ? arg + len + 1 : NULL);
}

void whatif_parse_ksm(struct whatif_opts *o, const char *arg)
{
	o->ksm = true;
	o->ksm_settings = check_settings("ksm", arg);
}

bool whatif_compares(const struct whatif_opts *o)
{
	return o->ksm || (o->thp && strcmp(o->thp, "never") != 0);
}

struct whatif_opts whatif_without(const struct whatif_opts *o)
{
	return (struct whatif_opts){.thp = o->thp ? "never" : NULL};
}

void whatif_compare(struct replay_result *with,
		    const struct replay_result *without)
{
	struct whatif_result *w = &with->whatif;

	w->compared = true;
	w->base_tlb_hits = without->tlb_hits;
	w->base_tlb_misses = without->tlb_misses;
	w->base_min_flt = without->min_flt;
	w->base_maj_flt = without->maj_flt;
	w->base_pageins = without->pageins;
	w->base_peak = without->peak_user_pages;
	w->base_virtual_ns = without->virtual_ns;
}

/* ---- in the machine
 * ----------------------------------------------------------- */

static void set_thp(const char *name, const char *value)
{
	char path[256];
	s64 err;

	snprintf(path, sizeof(path), THP_DIR "%s", name);
	err = mm_write(path, value, strlen(value));
	if (err < 0)
		err_die("--thp: %s=%s: %s", name, value,
			err == -ENOENT ? "no such file" : strerror((int)-err));
}

static void set_ksm(const char *name, const char *value)
{
	int err = mm_ksm_set(name, value);

	if (err)
		err_die("--ksm: %s=%s: %s", name, value,
			err == -ENOENT ? "no such file" : strerror(-err));
}

void whatif_begin(const struct whatif_opts *o, struct replay_result *res)
{
	const char *thp = o->thp_settings, *ksm = o->ksm_settings;
	struct args_pair pair;

	res->whatif.thp = o->thp != NULL;
	res->whatif.ksm = o->ksm;
	while (next_setting("thp", &thp, &pair))
		set_thp(pair.key, pair.value);
	if (o->thp) {
		set_thp("enabled", o->thp);
		snprintf(res->whatif.mode, sizeof(res->whatif.mode), "%s",
			 o->thp);
	}
	while (next_setting("ksm", &ksm, &pair))
		set_ksm(pair.key, pair.value);
	if (o->ksm)
		set_ksm("run", "1");
}

void whatif_space(const struct whatif_opts *o, struct mm_struct *mm)
{
	if (o->ksm && mm_prctl_set_memory_merge(mm, true))
		err_die("--ksm: the machine has no memory to begin");
}

/* The number that reading the file NAME of KSM's gives. */
static u64 ksm_number(const char *name)
{
	char text[64];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	if (mm_ksm_get(name, &s))
		err_die("the machine has no file %s of KSM's", name);
	text[min((size_t)s.len, sizeof(text) - 1)] = '\0';
	return strtoull(text, NULL, 10);
}

static u64 thp_number(const char *name)
{
	char path[256], text[64];
	struct seq_buf s;

	snprintf(path, sizeof(path), THP_DIR "%s", name);
	seq_buf_init(&s, text, sizeof(text));
	if (mm_show(path, &s))
		err_die("the machine has no %s", path);
	text[min((size_t)s.len, sizeof(text) - 1)] = '\0';
	return strtoull(text, NULL, 10);
}

u64 whatif_saved(void)
{
	return ksm_number("pages_sharing") + ksm_number("ksm_zero_pages");
}

static double part(u64 n, u64 all)
{
	return all ? (double)n / (double)all : 0;
}

static double coverage(const struct replay_sample *s)
{
	return part(min(s->huge * HUGE_PAGES, s->anon), s->anon);
}

static void collect_thp(struct replay_result *res)
{
	struct whatif_result *w = &res->whatif;
	struct sim_tlb_stats tlb;
	double sum = 0;

	for (u32 i = 0; i < res->series.nr_samples; i++) {
		const struct replay_sample *s = &res->series.samples[i];

		w->huge_peak = max(w->huge_peak, s->huge);
		w->huge_end = s->huge;
		w->coverage_end = coverage(s);
		sum += w->coverage_end;
	}
	if (res->series.nr_samples)
		w->coverage_mean = sum / res->series.nr_samples;
	w->collapsed = thp_number("khugepaged/pages_collapsed");
	sim_tlb_stats(&tlb);
	w->large_fills = tlb.large_fills;
}

static void collect_ksm(struct replay_result *res)
{
	struct whatif_result *w = &res->whatif;

	for (u32 i = 0; i < res->series.nr_samples; i++)
		w->saved_peak =
			max(w->saved_peak, res->series.samples[i].saved);
	w->saved_end = whatif_saved();
	w->saved_peak = max(w->saved_peak, w->saved_end);
	w->shared = ksm_number("pages_shared");
	w->sharing = ksm_number("pages_sharing");
	w->zero = ksm_number("ksm_zero_pages");
	w->unshared = ksm_number("pages_unshared");
	w->scanned = ksm_number("pages_scanned");
	w->full_scans = ksm_number("full_scans");
}

void whatif_collect(struct replay_result *res)
{
	if (res->whatif.thp)
		collect_thp(res);
	if (res->whatif.ksm)
		collect_ksm(res);
}

/* ---- text
 * --------------------------------------------------------------------- */

typedef void put_fn(char buf[24], const struct replay_result *r);

static void put_u64(char buf[24], u64 v)
{
	snprintf(buf, 24, "%llu", (unsigned long long)v);
}

static void put_percent(char buf[24], double part)
{
	snprintf(buf, 24, "%.1f%%", 100 * part);
}

#define COUNT(name, expression)                                             \
	static void put_##name(char buf[24], const struct replay_result *r) \
	{                                                                   \
		put_u64(buf, expression);                                   \
	}
COUNT(huge_peak, r->whatif.huge_peak)
COUNT(fault_alloc, r->events[THP_FAULT_ALLOC])
COUNT(fallback, r->events[THP_FAULT_FALLBACK])
COUNT(collapsed, r->whatif.collapsed)
COUNT(split, r->events[THP_SPLIT_PMD])
COUNT(large_fills, r->whatif.large_fills)
COUNT(saved_peak, r->whatif.saved_peak)
COUNT(shared, r->whatif.shared)
COUNT(cow, r->events[COW_KSM])
COUNT(scanned, r->whatif.scanned)
COUNT(full_scans, r->whatif.full_scans)
COUNT(base_misses, r->whatif.base_tlb_misses)
COUNT(base_faults, r->whatif.base_min_flt + r->whatif.base_maj_flt)
COUNT(base_pageins, r->whatif.base_pageins)
COUNT(base_peak, r->whatif.base_peak)
#undef COUNT

static void put_mode(char buf[24], const struct replay_result *r)
{
	snprintf(buf, 24, "%s", r->whatif.mode);
}

static void put_mean(char buf[24], const struct replay_result *r)
{
	put_percent(buf, r->whatif.coverage_mean);
}

static void put_missed_less(char buf[24], const struct replay_result *r)
{
	double was = (double)r->whatif.base_tlb_misses;

	if (was > 0)
		put_percent(buf, (was - (double)r->tlb_misses) / was);
	else
		snprintf(buf, 24, "-");
}

static void put_per_saved(char buf[24], const struct replay_result *r)
{
	const struct whatif_result *w = &r->whatif;

	if (w->saved_peak)
		snprintf(buf, 24, "%.1f", part(w->scanned, w->saved_peak));
	else
		snprintf(buf, 24, "-");
}

static void put_base_ms(char buf[24], const struct replay_result *r)
{
	snprintf(buf, 24, "%.1f", (double)r->whatif.base_virtual_ns / 1e6);
}

enum whatif_when { FOR_THP, FOR_KSM, FOR_BOTH };

static const struct {
	const char *name;
	put_fn *put;
	enum whatif_when when;
} rows[] = {
	{"huge pages are for", put_mode, FOR_THP},
	{"huge pages, most", put_huge_peak, FOR_THP},
	{"coverage, mean", put_mean, FOR_THP},
	{"huge at first touch", put_fault_alloc, FOR_THP},
	{"  no block for it", put_fallback, FOR_THP},
	{"made huge later", put_collapsed, FOR_THP},
	{"made small again", put_split, FOR_THP},
	{"TLB loads of huge", put_large_fills, FOR_THP},
	{"pages saved, most", put_saved_peak, FOR_KSM},
	{"  shared by them", put_shared, FOR_KSM},
	{"copied when written", put_cow, FOR_KSM},
	{"pages scanned", put_scanned, FOR_KSM},
	{"  for each saved", put_per_saved, FOR_KSM},
	{"full scans", put_full_scans, FOR_KSM},
	{"without: TLB misses", put_base_misses, FOR_BOTH},
	{"  fewer now", put_missed_less, FOR_BOTH},
	{"without: faults", put_base_faults, FOR_BOTH},
	{"without: page-ins", put_base_pageins, FOR_BOTH},
	{"without: peak use", put_base_peak, FOR_BOTH},
	{"without: virtual ms", put_base_ms, FOR_BOTH},
};

static bool row_shown(enum whatif_when when, const struct whatif_result *w)
{
	return when == FOR_THP	 ? w->thp
	       : when == FOR_KSM ? w->ksm
				 : w->compared;
}

void whatif_print(const struct replay_result *runs, u32 nr)
{
	char buf[24];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!row_shown(rows[i].when, &runs[0].whatif))
			continue;
		printf("%-22s", rows[i].name);
		for (u32 k = 0; k < nr; k++) {
			rows[i].put(buf, &runs[k]);
			printf(" %16s", buf);
		}
		putchar('\n');
	}
}

/* ---- JSON
 * ---------------------------------------------------------------------- */

static void set(json_t *o, const char *name, u64 v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

static json_t *thp_json(const struct replay_result *r)
{
	const struct whatif_result *w = &r->whatif;
	json_t *o = json_object();

	json_object_set_new(o, "mode", json_string(w->mode));
	set(o, "huge_pages_peak", w->huge_peak);
	set(o, "huge_pages_end", w->huge_end);
	json_object_set_new(o, "coverage_mean", json_real(w->coverage_mean));
	json_object_set_new(o, "coverage_end", json_real(w->coverage_end));
	set(o, "fault_alloc", r->events[THP_FAULT_ALLOC]);
	set(o, "fault_fallback", r->events[THP_FAULT_FALLBACK]);
	set(o, "collapsed", w->collapsed);
	set(o, "demoted", r->events[THP_SPLIT_PMD]);
	set(o, "tlb_large_fills", w->large_fills);
	return o;
}

static json_t *ksm_json(const struct replay_result *r)
{
	const struct whatif_result *w = &r->whatif;
	json_t *o = json_object();

	set(o, "pages_saved_peak", w->saved_peak);
	set(o, "pages_saved_end", w->saved_end);
	set(o, "pages_shared", w->shared);
	set(o, "pages_sharing", w->sharing);
	set(o, "zero_pages", w->zero);
	set(o, "pages_unshared", w->unshared);
	set(o, "cow_breaks", r->events[COW_KSM]);
	set(o, "pages_scanned", w->scanned);
	set(o, "full_scans", w->full_scans);
	return o;
}

static json_t *without_json(const struct whatif_result *w)
{
	json_t *o = json_object();

	set(o, "tlb_hits", w->base_tlb_hits);
	set(o, "tlb_misses", w->base_tlb_misses);
	set(o, "minor_faults", w->base_min_flt);
	set(o, "major_faults", w->base_maj_flt);
	set(o, "pageins", w->base_pageins);
	set(o, "peak_user_pages", w->base_peak);
	set(o, "virtual_ns", w->base_virtual_ns);
	return o;
}

json_t *whatif_json(const struct replay_result *r)
{
	const struct whatif_result *w = &r->whatif;
	json_t *o;

	if (!w->thp && !w->ksm)
		return NULL;
	o = json_object();
	if (w->thp)
		json_object_set_new(o, "thp", thp_json(r));
	if (w->ksm)
		json_object_set_new(o, "ksm", ksm_json(r));
	if (w->compared)
		json_object_set_new(o, "without", without_json(w));
	return o;
}
