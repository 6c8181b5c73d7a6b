/* SPDX-License-Identifier: MIT */
/*
 * replay_curves.c - the parts of replay's report that are of one run: curves
 * over the references, the close-up of the watermarks, fragmentation, frames,
 * events.
 *
 * A page of many runs stays of a size that one can send around: the more runs,
 * the fewer points each curve has, and beyond MAX_DETAILED runs there are no
 * curves.
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "page.h"
#include "phys/layout.h"
#include "replay_page.h"

#define MAX_DETAILED 16u
#define MAX_POINTS   768u /* of all runs, in one kind of curve */
#define MANY_RUNS    6u	  /* more have fewer points in all */
#define MANY_POINTS  400u
#define LEAST_POINTS 24u

enum curve_kind {
	CURVE_PAGES, /* a level, shown in bytes */
	CURVE_TOTAL, /* a count since the beginning */
	CURVE_RATE,  /* growth of a count, per million references */
};

struct curve_def {
	const char *title, *about, *y_name;
	enum curve_kind kind;
	bool stacked;
	u32 band, nr;
	struct {
		const char *name;
		size_t offset;
	} s[CHART_MAX_SERIES];
};

#define OF(what) offsetof(struct replay_sample, what)

static const struct curve_def free_curve = {
	"Free memory and the watermarks",
	"kswapd begins to reclaim when free memory falls under low and rests "
	"above high; under min only reclaim itself may allocate. Between two "
	"samples free memory moved from the least to the most.",
	"memory",
	CURVE_PAGES,
	false,
	2,
	6,
	{{"free", OF(free)},
	 {"least since the last sample", OF(free_least)},
	 {"most", OF(free_most)},
	 {"high watermark", OF(high)},
	 {"low watermark", OF(low)},
	 {"min watermark", OF(min)}}};

static const struct curve_def memory_curves[] = {
	{"Where memory is",
	 "All memory that the page allocator has, by what it is used for.",
	 "memory",
	 CURVE_PAGES,
	 true,
	 0,
	 6,
	 {{"anonymous", OF(lru_anon)},
	  {"files", OF(lru_file)},
	  {"slab", OF(slab)},
	  {"page tables", OF(tables)},
	  {"kernel, CPUs' lists, other", OF(kernel)},
	  {"free", OF(free)}}},
	{"Lists of pages",
	 "Reclaim takes from the inactive lists; pages used again are "
	 "promoted to the active ones. The swap cache holds pages that also "
	 "have a place in swap.",
	 "memory",
	 CURVE_PAGES,
	 false,
	 0,
	 6,
	 {{"active anonymous", OF(active_anon)},
	  {"inactive anonymous", OF(inactive_anon)},
	  {"active file", OF(active_file)},
	  {"inactive file", OF(inactive_file)},
	  {"unevictable", OF(unevictable)},
	  {"swap cache", OF(swapcache)}}},
};

static const struct curve_def reclaim_curves[] = {
	{"Faults",
	 "A minor fault is served from memory, a major one waits for the "
	 "disk.",
	 "per million references",
	 CURVE_RATE,
	 false,
	 0,
	 2,
	 {{"minor", OF(pgfault)}, {"major", OF(pgmajfault)}}},
	{"Scanned and reclaimed",
	 "Pages that reclaim looked at, and those it could free (stolen, in "
	 "Linux's words). The nearer the curves, the better it chose.",
	 "pages per million references",
	 CURVE_RATE,
	 false,
	 0,
	 4,
	 {{"scanned by kswapd", OF(scan_kswapd)},
	  {"reclaimed by kswapd", OF(steal_kswapd)},
	  {"scanned directly", OF(scan_direct)},
	  {"reclaimed directly", OF(steal_direct)}}},
	{"Refaults",
	 "Pages that came back after an eviction that reclaim remembers, "
	 "since the beginning.",
	 "pages",
	 CURVE_TOTAL,
	 false,
	 0,
	 2,
	 {{"anonymous", OF(refault_anon)}, {"file", OF(refault_file)}}},
};

static const struct curve_def swap_curves[] = {
	{"Swap",
	 "Pages read from and written to swap.",
	 "pages per million references",
	 CURVE_RATE,
	 false,
	 0,
	 2,
	 {{"swapped in", OF(pswpin)}, {"swapped out", OF(pswpout)}}},
	{"Swap, summed up",
	 "The same since the beginning.",
	 "pages",
	 CURVE_TOTAL,
	 false,
	 0,
	 2,
	 {{"swapped in", OF(pswpin)}, {"swapped out", OF(pswpout)}}},
};

static const struct curve_def huge_curve = {
	"Huge and merged pages",
	"Mapped anonymous memory, what of it is in huge pages, and what "
	"merging saves.",
	"memory",
	CURVE_PAGES,
	false,
	0,
	3,
	{{"anonymous, mapped", OF(anon)},
	 {"in huge pages", OF(huge)},
	 {"saved by merging", OF(saved)}}};

static const struct curve_def fragment_curve = {
	"Free memory by size of its blocks",
	"A request can be served from blocks of its size or larger: what lies "
	"under the curve of a size is of use to it.",
	"memory",
	CURVE_PAGES,
	false,
	0,
	7,
	{{"all", OF(in_order[0])},
	 {"8 KiB and more", OF(in_order[1])},
	 {"32 KiB and more", OF(in_order[3])},
	 {"128 KiB and more", OF(in_order[5])},
	 {"512 KiB and more", OF(in_order[7])},
	 {"2 MiB and more", OF(in_order[9])},
	 {"4 MiB", OF(in_order[10])}}};

/* ---- from samples to points
 * -------------------------------------------------------------------------- */

/* Points of a curve. */
static u32 room_of(const struct page_out *o)
{
	u32 all = o->nr > MANY_RUNS ? MANY_POINTS : MAX_POINTS;

	return max(all / max(o->nr, 1u), LEAST_POINTS);
}

/* Which samples are drawn: all, or so many as the page has room for. */
static void choose_samples(struct page_out *o, const struct replay_series *all)
{
	u32 room = room_of(o);
	u32 nr = min(all->nr_samples, (u32)REPLAY_MAX_SAMPLES), stride;

	stride = max((nr + room - 1) / room, 1u);
	o->nr_at = 0;
	for (u32 i = 0; i < nr; i += stride)
		o->at[o->nr_at++] = i;
	if (nr && o->at[o->nr_at - 1] != nr - 1)
		o->at[o->nr_at - 1] = nr - 1;
}

static u64 sample_value(const struct replay_sample *s, size_t offset)
{
	return *(const u64 *)((const char *)s + offset);
}

/*
 * Growth since the point before. The interval at the very end may be so short
 * that its rate would be noise: it is left out.
 */
static double rate_at(const struct page_out *o, const struct replay_series *all,
		      u32 i, size_t offset)
{
	const struct replay_sample *s = &all->samples[o->at[i]], *before;
	u64 refs, usual = s->references / (i + 1);

	if (i == 0)
		return NAN;
	before = &all->samples[o->at[i - 1]];
	refs = s->references - before->references;
	if (refs == 0 || refs < usual / 4)
		return NAN;
	return (double)(sample_value(s, offset) -
			sample_value(before, offset)) *
	       1e6 / (double)refs;
}

/* PGFAULT counts all faults; the chart shows the minor ones apart. */
static double minor_rate_at(const struct page_out *o,
			    const struct replay_series *all, u32 i)
{
	return rate_at(o, all, i, OF(pgfault)) -
	       rate_at(o, all, i, OF(pgmajfault));
}

/* The extremes also of the samples that are not drawn. */
static u64 extreme_at(const struct page_out *o, const struct replay_series *all,
		      u32 i, size_t offset)
{
	u32 from = i ? o->at[i - 1] + 1 : 0;
	u64 v = sample_value(&all->samples[o->at[i]], offset);

	for (u32 k = from; k < o->at[i]; k++) {
		u64 one = sample_value(&all->samples[k], offset);

		v = offset == OF(free_least) ? min(v, one) : max(v, one);
	}
	return v;
}

static double curve_value(const struct page_out *o, const struct curve_def *d,
			  const struct replay_series *all, u32 i, u32 s)
{
	const struct replay_sample *sample = &all->samples[o->at[i]];
	size_t offset = d->s[s].offset;

	if (d->kind == CURVE_TOTAL)
		return (double)sample_value(sample, offset);
	if (offset == OF(free_least) || offset == OF(free_most))
		return (double)extreme_at(o, all, i, offset) * PAGE_SIZE;
	if (d->kind == CURVE_PAGES)
		return (double)sample_value(sample, offset) * PAGE_SIZE;
	if (offset == OF(pgfault))
		return minor_rate_at(o, all, i);
	return rate_at(o, all, i, offset);
}

static void put_curve(struct page_out *o, const struct replay_series *all,
		      const struct curve_def *d, double y_cut)
{
	struct chart c = {
		.title = d->title,
		.about = d->about,
		.x_name = "references",
		.y_name = d->y_name,
		.y_unit = d->kind == CURVE_PAGES ? CHART_BYTES : CHART_COUNT,
		.y_cut = y_cut,
		.stacked = d->stacked,
		.band = d->band,
		.nr_points = o->nr_at,
		.x = o->x,
		.nr_series = d->nr,
	};

	for (u32 i = 0; i < o->nr_at; i++)
		o->x[i] = (double)all->samples[o->at[i]].references;
	for (u32 s = 0; s < d->nr; s++) {
		for (u32 i = 0; i < o->nr_at; i++)
			o->y[s][i] = curve_value(o, d, all, i, s);
		c.series[s].name = d->s[s].name;
		c.series[s].y = o->y[s];
	}
	chart_write(o->f, &c);
}

/* False: there are too many runs to draw each. */
static bool draws(struct page_out *o, u32 run)
{
	choose_samples(o, &o->runs[run].series);
	if (o->nr <= MAX_DETAILED)
		return true;
	fprintf(o->f,
		"<p class=\"none\">With more than %u runs on a page their "
		"curves are left out.</p>\n",
		MAX_DETAILED);
	return false;
}

/* ---- memory
 * -------------------------------------------------------------------------- */

/*
 * Where free memory comes near the watermarks, the picture is of the
 * neighbourhood of the watermarks: bytes at which to cut it, or 0.
 */
static double free_cut(const struct replay_series *all)
{
	u64 high, least = UINT64_MAX;

	if (!all->nr_samples)
		return 0;
	/* Later ones may be raised against fragmentation for a while. */
	high = all->samples[0].high;
	for (u32 i = 0; i < all->nr_samples; i++)
		least = min(least, all->samples[i].free);
	return least < 2 * high ? 3.0 * (double)high * PAGE_SIZE : 0;
}

static void put_closeup(struct page_out *o, const struct replay_closeup *c)
{
	u32 nr = min(min(c->nr, (u32)REPLAY_MAX_MOMENTS), room_of(o));
	struct chart chart = {
		.title = "kswapd at work",
		.x_name = "milliseconds of virtual time",
		.y_name = "memory",
		.y_unit = CHART_BYTES,
		.nr_points = nr,
		.x = o->x,
		.nr_series = 4,
		.series = {{"free", o->y[0]},
			   {"high watermark", o->y[1]},
			   {"low watermark", o->y[2]},
			   {"min watermark", o->y[3]}},
	};
	char about[400];

	if (!nr)
		return;
	for (u32 i = 0; i < nr; i++) {
		o->x[i] =
			(double)(c->m[i].virtual_ns - c->m[0].virtual_ns) / 1e6;
		o->y[0][i] = (double)c->m[i].free * PAGE_SIZE;
		o->y[1][i] = (double)c->high * PAGE_SIZE;
		o->y[2][i] = (double)c->low * PAGE_SIZE;
		o->y[3][i] = (double)c->min * PAGE_SIZE;
	}
	snprintf(
		about, sizeof(about),
		"Fault by fault from the moment %.1f ms into the run when the "
		"zone (%.31s) first came down to its low watermark. In this time "
		"kswapd reclaimed %llu pages, programs themselves %llu.",
		(double)c->m[0].virtual_ns / 1e6, c->zone,
		(unsigned long long)(c->m[nr - 1].steal_kswapd -
				     c->m[0].steal_kswapd),
		(unsigned long long)(c->m[nr - 1].steal_direct -
				     c->m[0].steal_direct));
	chart.about = about;
	chart_write(o->f, &chart);
}

static void put_zones(struct page_out *o, const struct replay_series *all)
{
	struct curve_def d = {
		.title = "Free memory by zone",
		.about = "Zones hold memory of one kind of address; a request "
			 "goes down the list until one of them is above its "
			 "watermark.",
		.y_name = "memory",
		.kind = CURVE_PAGES,
		.nr = min(all->nr_zones, (u32)REPLAY_MAX_ZONES),
	};

	if (d.nr < 2)
		return;
	for (u32 i = 0; i < d.nr; i++) {
		d.s[i].name = all->zones[i];
		d.s[i].offset = OF(zone) + i * sizeof(u64);
	}
	put_curve(o, all, &d, 0);
}

static void put_curves(struct page_out *o, u32 run, const struct curve_def *d,
		       size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		put_curve(o, &o->runs[run].series, &d[i], 0);
}

void replay_put_memory(struct page_out *o, u32 run)
{
	const struct replay_result *r = &o->runs[run];

	if (!draws(o, run))
		return;
	put_curve(o, &r->series, &free_curve, free_cut(&r->series));
	put_closeup(o, &r->series.closeup);
	put_curves(o, run, memory_curves, ARRAY_SIZE(memory_curves));
	put_zones(o, &r->series);
	if (r->whatif.thp || r->whatif.ksm)
		put_curve(o, &r->series, &huge_curve, 0);
}

/* ---- tasks and groups
 * -------------------------------------------------------------------------- */

void replay_put_tasks(struct page_out *o, u32 run)
{
	const struct replay_series *all = &o->runs[run].series;
	struct shares_look look = {.x_name = "references",
				   .x_unit = 1,
				   .points = room_of(o),
				   .details = o->nr == 1   ? 6
					      : o->nr <= 3 ? 2
							   : 0};

	if (!draws(o, run))
		return;
	shares_put_tasks(o->f, &all->tasks, &look);
	if (o->runs[run].memcg.asked)
		shares_put_groups(o->f, &all->groups, &look);
}

void replay_put_reclaim(struct page_out *o, u32 run)
{
	if (draws(o, run))
		put_curves(o, run, reclaim_curves, ARRAY_SIZE(reclaim_curves));
}

void replay_put_swap(struct page_out *o, u32 run)
{
	if (draws(o, run))
		put_curves(o, run, swap_curves, ARRAY_SIZE(swap_curves));
}

/* ---- fragmentation
 * -------------------------------------------------------------------------- */

static void put_size(FILE *f, double bytes)
{
	char t[CHART_TEXT];

	fputs(chart_number(t, bytes, CHART_BYTES), f);
}

/* All orders, which the curves leave out in part. */
static void put_orders(FILE *f, const struct replay_sample *s)
{
	fputs("<h3>At the end</h3>\n<div class=\"wide\"><table class=\"bars\">"
	      "<thead><tr><th scope=\"col\">order</th>"
	      "<th scope=\"col\">block</th><th scope=\"col\">free in such "
	      "and larger</th><th scope=\"col\">of what is free</th>"
	      "<th scope=\"col\" aria-label=\"as a bar\"></th></tr></thead>"
	      "<tbody>\n",
	      f);
	for (u32 k = 0; k < MAX_ORDER; k++) {
		double share = s->in_order[0] ? 100.0 * (double)s->in_order[k] /
							(double)s->in_order[0]
					      : 0;

		fprintf(f, "<tr><th scope=\"row\">%u</th><td>", k);
		put_size(f, (double)(PAGE_SIZE << k));
		fputs("</td><td>", f);
		put_size(f, (double)s->in_order[k] * PAGE_SIZE);
		fprintf(f,
			"</td><td>%.1f %%</td><td><i style=\"width:%.1f%%\">"
			"</i></td></tr>\n",
			share, fmin(share, 100));
	}
	fputs("</tbody></table></div>\n", f);
}

void replay_put_fragments(struct page_out *o, u32 run)
{
	const struct replay_series *all = &o->runs[run].series;

	if (!draws(o, run))
		return;
	put_curve(o, all, &fragment_curve, 0);
	if (o->nr_at)
		put_orders(o->f, &all->samples[o->at[o->nr_at - 1]]);
}

/* ---- frames, events
 * -------------------------------------------------------------------------- */

void replay_put_frames(struct page_out *o, u32 run)
{
	const struct replay_series *all = &o->runs[run].series;
	struct page_shot shots[REPLAY_MAX_SHOTS];
	u32 nr = min(all->nr_shots, (u32)REPLAY_MAX_SHOTS);
	u32 room = max(2 * REPLAY_MAX_SHOTS / max(o->nr, 1u), 6u);
	u32 stride = max((nr + room - 1) / room, 1u), n = 0;
	struct page_frames p = {
		.x_name = "references",
		.order = min(all->cell_order, 40u),
		.cells = min(all->cells, MM_FRAME_MAP_CELLS),
		.stills = o->nr > 2 ? 1 : 3,
		.shots = shots,
	};

	if (!draws(o, run))
		return;
	for (u32 i = 0; i < nr; i++) {
		const struct replay_shot *s = &all->shots[i];

		if (i % stride == 0 || i == nr - 1)
			shots[n++] = (struct page_shot){
				s->references, (double)s->virtual_ns / 1e6,
				s->cells};
	}
	p.nr = n;
	page_frames_write(o->f, &p);
}

/* Of the zones of the run's machine, which this process may not have had. */
void replay_put_events(struct page_out *o, u32 run)
{
	const struct replay_result *r = &o->runs[run];
	const struct phys_layout *l = phys_layout_find(r->arch);
	struct page_event *e = calloc(NR_VM_EVENT_ITEMS + 2, sizeof(*e));
	u32 n = 0;

	for (int i = 0; e && l && i < NR_VM_EVENT_ITEMS; i++) {
		const char *name = vmstat_event_name_of(l, i);

		if (name)
			e[n++] = (struct page_event){name, r->events[i]};
	}
	if (!e)
		return;
	e[n++] =
		(struct page_event){"workingset_refault_anon", r->refault_anon};
	e[n++] =
		(struct page_event){"workingset_refault_file", r->refault_file};
	page_events(o->f, e, n);
	free(e);
}
