/* SPDX-License-Identifier: MIT */
/*
 * shares_out.c - who had how much memory: charts, a table, JSON.
 *
 * Colours and dashes are eight. The owners with the greatest peaks have a
 * curve each, in that order, and all others one together. Then come pictures
 * of single owners, in which a task's use is told by kind and a group's stands
 * beside its limits. At which owner a limit is far above all use the picture
 * is cut, or use would be a line along the axis.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "shares.h"

#define TOP	   (CHART_MAX_SERIES - 1)
#define TABLE_ROWS 16u
#define OTHERS	   SHARES_OWNERS

/* A picture of several owners: kinds FROM .. TO - 1. */
struct sum_def {
	const char *title, *about;
	u32 from, to;
};

static const struct sum_def task_sums[] = {
	{"Tasks in memory",
	 "Resident sets, one on the other: anonymous memory, pages of files "
	 "and shared memory. A page that several have mapped is counted at "
	 "each.",
	 SHARE_ANON, SHARE_SWAP},
	{"Tasks in swap", "What of each was in swap.", SHARE_SWAP,
	 SHARE_SWAP + 1},
};

static const struct sum_def group_sums[] = {
	{"Groups in memory",
	 "memory.current of the control groups; what is charged to a group is "
	 "in its parent's figure, too.",
	 SHARE_CURRENT, SHARE_CURRENT + 1},
	{"Groups in swap", "memory.swap.current of the control groups.",
	 SHARE_SWAPPED, SHARE_SWAPPED + 1},
};

/* One owner's picture. */
struct kind_def {
	const char *what, *about;
	const char *names[SHARES_KINDS];
	const char *keys[SHARES_KINDS]; /* of the JSON */
	bool stacked;
};

static const struct kind_def task_kinds = {
	"task",
	"Its memory by kind; what is in swap stands on top of what is "
	"resident.",
	{"anonymous", "files", "shared memory", "in swap"},
	{"anon_bytes", "file_bytes", "shmem_bytes", "swap_bytes"},
	true};

static const struct kind_def group_kinds = {
	"group",
	"What is charged to it, and its limits. Above high its tasks are "
	"slowed down and made to reclaim; at max they reclaim or are killed.",
	{"memory.current", "memory.swap.current", "memory.high", "memory.max"},
	{"current_bytes", "swap_bytes", "high_bytes", "max_bytes"},
	false};

struct drawing {
	FILE *f;
	struct shares copy;
	const struct shares *s; /* the copy */
	const struct shares_look *l;
	u32 order[SHARES_OWNERS], nr_owners;
	u32 at[SHARES_SAMPLES], nr; /* samples that are drawn */
	double x[SHARES_SAMPLES];
	double y[CHART_MAX_SERIES][SHARES_SAMPLES];
};

static void start_drawing(struct drawing *d)
{
	u32 all = d->s->nr_samples, room = max(d->l->points, 2u);
	u32 stride = max((all + room - 1) / room, 1u);

	d->nr_owners = shares_order(d->s, d->order);
	d->nr = 0;
	for (u32 i = 0; i < all; i += stride)
		d->at[d->nr++] = i;
	if (all)
		d->at[d->nr - 1] = all - 1;
	for (u32 i = 0; i < d->nr; i++)
		d->x[i] = d->s->x[d->at[i]] / d->l->x_unit;
}

static struct chart new_chart(const struct drawing *d, const char *title,
			      const char *about)
{
	return (struct chart){.title = title,
			      .about = about,
			      .x_name = d->l->x_name,
			      .y_name = "memory",
			      .y_unit = CHART_BYTES,
			      .nr_points = d->nr,
			      .x = d->x};
}

static void add_series(struct drawing *d, struct chart *c, const char *name)
{
	c->series[c->nr_series] =
		(struct chart_series){name, d->y[c->nr_series]};
	c->nr_series++;
}

/* ---- several owners
 * ------------------------------------------------------------------ */

/* The use of owner WHO (OTHERS: of all that have no curve) at sample I. */
static u64 drawn_use(const struct drawing *d, const struct sum_def *p, u32 who,
		     u32 i)
{
	u64 v = shares_use(d->s, who, i, p->from, p->to);

	for (u32 k = TOP; who == OTHERS && k < d->nr_owners; k++)
		v += shares_use(d->s, d->order[k], i, p->from, p->to);
	return v;
}

/* False: there is nothing of it at any time. */
static bool put_use(struct drawing *d, const struct sum_def *p, u32 who,
		    double y[SHARES_SAMPLES])
{
	bool any = false;

	for (u32 i = 0; i < d->nr; i++) {
		u64 v = drawn_use(d, p, who, d->at[i]);

		any |= v != 0;
		y[i] = (double)v;
	}
	return any;
}

static void put_sum(struct drawing *d, const struct sum_def *p, bool stacked)
{
	struct chart c = new_chart(d, p->title, p->about);
	bool any = false;

	c.stacked = stacked;
	for (u32 k = 0; k < min(d->nr_owners, (u32)TOP); k++) {
		any |= put_use(d, p, d->order[k], d->y[c.nr_series]);
		add_series(d, &c, d->s->owner[d->order[k]].name);
	}
	if (put_use(d, p, OTHERS, d->y[c.nr_series])) {
		add_series(d, &c, "all others, added up");
		any = true;
	}
	if (any)
		chart_write(d->f, &c);
}

/* ---- one owner
 * ------------------------------------------------------------------ */

static bool is_limit(const struct drawing *d, u32 kind)
{
	return kind >= d->s->kinds;
}

/* Has any owner this kind, ever? What one has, all pictures show, so that a
 * kind has one colour. */
static bool has_kind(const struct drawing *d, u32 kind)
{
	for (u32 o = 0; o < d->nr_owners; o++) {
		u64 most = d->s->owner[o].most[kind];

		if (is_limit(d, kind) ? most != SHARES_NONE : most != 0)
			return true;
	}
	return false;
}

static void put_kind(struct drawing *d, const struct share_owner *o, u32 kind,
		     double y[SHARES_SAMPLES])
{
	double none = is_limit(d, kind) ? NAN : 0;

	for (u32 i = 0; i < d->nr; i++) {
		u64 v = o->v[kind][d->at[i]];

		y[i] = v == SHARES_NONE ? none : (double)v;
	}
}

/* Where the picture ends if a limit is far above what is used; 0: nowhere. */
static double limit_cut(const struct drawing *d, const struct share_owner *o)
{
	double most = 0;

	for (u32 k = 0; k < d->s->kinds; k++)
		most = fmax(most, (double)o->most[k]);
	for (u32 k = d->s->kinds; k < SHARES_KINDS; k++)
		for (u32 i = 0; i < d->nr; i++)
			if (o->v[k][d->at[i]] != SHARES_NONE &&
			    (double)o->v[k][d->at[i]] > 4 * most)
				return 1.5 * most;
	return 0;
}

static void put_owner(struct drawing *d, const struct kind_def *p,
		      const struct share_owner *o)
{
	char title[SHARES_NAME + 16];
	struct chart c = new_chart(d, title, p->about);

	if (!strncmp(o->name, p->what, strlen(p->what)))
		snprintf(title, sizeof(title), "%c%s", o->name[0] - 'a' + 'A',
			 o->name + 1);
	else
		snprintf(title, sizeof(title), "%c%s %s", *p->what - 'a' + 'A',
			 p->what + 1, o->name);
	c.stacked = p->stacked;
	for (u32 k = 0; k < SHARES_KINDS; k++) {
		if (!has_kind(d, k))
			continue;
		put_kind(d, o, k, d->y[c.nr_series]);
		add_series(d, &c, p->names[k]);
	}
	if (!p->stacked)
		c.y_cut = limit_cut(d, o);
	if (c.nr_series)
		chart_write(d->f, &c);
}

/* ---- what each had at most
 * ------------------------------------------------------------------ */

static void put_bytes(FILE *f, u64 v)
{
	char t[CHART_TEXT];

	fputs("<td>", f);
	if (v == SHARES_NONE)
		fputs("-", f);
	else
		fputs(chart_number(t, (double)v, CHART_BYTES), f);
	fputs("</td>", f);
}

static void put_row(const struct drawing *d, const struct share_owner *o)
{
	u64 most = d->s->owner[d->order[0]].peak;

	fputs("<tr><th scope=\"row\">", d->f);
	html_text(d->f, o->name);
	fputs("</th>", d->f);
	put_bytes(d->f, o->peak);
	for (u32 k = 0; k < SHARES_KINDS; k++)
		put_bytes(d->f, o->most[k]);
	fprintf(d->f, "<td><i style=\"width:%.1f%%\"></i></td></tr>\n",
		100.0 * (double)o->peak / (double)max(most, 1UL));
}

static void put_table(const struct drawing *d, const struct kind_def *p)
{
	u32 nr = min(d->nr_owners, TABLE_ROWS);

	fprintf(d->f,
		"<details open><summary>What each %s had at most (its kinds "
		"not at one time)</summary>"
		"<div class=\"wide\"><table class=\"bars\"><thead><tr>"
		"<th scope=\"col\">%s</th><th scope=\"col\">all at once</th>",
		p->what, p->what);
	for (u32 k = 0; k < SHARES_KINDS; k++)
		fprintf(d->f, "<th scope=\"col\">%s</th>", p->names[k]);
	fputs("<th scope=\"col\" aria-label=\"as a bar\"></th></tr></thead>"
	      "<tbody>\n",
	      d->f);
	for (u32 i = 0; i < nr; i++)
		put_row(d, &d->s->owner[d->order[i]]);
	fputs("</tbody></table></div></details>\n", d->f);
}

/* ---- all of it
 * ------------------------------------------------------------------ */

static void put_all(struct drawing *d, const struct sum_def sums[2],
		    const struct kind_def *p)
{
	start_drawing(d);
	if (!d->nr_owners) {
		fprintf(d->f, "<p class=\"none\">No %s was seen.</p>\n",
			p->what);
		return;
	}
	/* Of a single one there is nothing to stack. */
	for (u32 i = 0; d->nr_owners > 1 && i < 2; i++)
		put_sum(d, &sums[i], p->stacked);
	for (u32 k = 0; k < min(d->nr_owners, d->l->details); k++)
		put_owner(d, p, &d->s->owner[d->order[k]]);
	put_table(d, p);
}

/* Whatever a result holds, a page comes of it. */
static void clamp_all(struct shares *s)
{
	s->kinds = min(s->kinds, (u32)SHARES_KINDS);
	s->nr_samples = min(s->nr_samples, (u32)SHARES_SAMPLES);
	s->nr_owners = min(s->nr_owners, (u32)SHARES_OWNERS);
	for (u32 i = 0; i < SHARES_OWNERS; i++)
		s->owner[i].name[SHARES_NAME - 1] = '\0';
}

static void draw(FILE *f, const struct shares *s, const struct shares_look *l,
		 const struct sum_def sums[2], const struct kind_def *p)
{
	struct drawing *d = calloc(1, sizeof(*d));

	if (!d) {
		fputs("<p class=\"none\">There was no memory for this "
		      "part.</p>\n",
		      f);
		return;
	}
	d->f = f;
	d->copy = *s;
	d->s = &d->copy;
	d->l = l;
	clamp_all(&d->copy);
	put_all(d, sums, p);
	free(d);
}

void shares_put_tasks(FILE *f, const struct shares *s,
		      const struct shares_look *l)
{
	draw(f, s, l, task_sums, &task_kinds);
}

void shares_put_groups(FILE *f, const struct shares *s,
		       const struct shares_look *l)
{
	draw(f, s, l, group_sums, &group_kinds);
}

/* ---- JSON
 * ------------------------------------------------------------------ */

/* A guest may call its programs what it likes; JSON is UTF-8. */
static json_t *name_json(const char *name)
{
	json_t *j = json_string(name);
	char plain[SHARES_NAME];
	u32 i;

	if (j)
		return j;
	for (i = 0; name[i]; i++)
		plain[i] = (u8)name[i] < 0x80 ? name[i] : '?';
	plain[i] = '\0';
	return json_string(plain);
}

static json_t *owner_json(const struct share_owner *o, const struct kind_def *p)
{
	json_t *j = json_object();

	json_object_set_new(j, "name", name_json(o->name));
	json_object_set_new(j, "peak_bytes", json_integer((json_int_t)o->peak));
	for (u32 k = 0; k < SHARES_KINDS; k++)
		json_object_set_new(
			j, p->keys[k],
			o->most[k] == SHARES_NONE
				? json_null()
				: json_integer((json_int_t)o->most[k]));
	return j;
}

static json_t *list_json(const struct shares *s, const struct kind_def *p)
{
	json_t *list = json_array();
	u32 order[SHARES_OWNERS], nr = shares_order(s, order);

	for (u32 i = 0; i < nr; i++)
		json_array_append_new(list, owner_json(&s->owner[order[i]], p));
	return list;
}

json_t *shares_tasks_json(const struct shares *s)
{
	return list_json(s, &task_kinds);
}

json_t *shares_groups_json(const struct shares *s)
{
	return list_json(s, &group_kinds);
}
