/* SPDX-License-Identifier: MIT */
/*
 * shares.c - the table of who had how much memory, over time.
 *
 * 1. Bounded in both ways, whatever runs and however long. When all moments
 *    are in use every second one goes and the least distance between two
 *    doubles. When all rows are in use the owner with the smallest peak goes,
 *    or the new one if that is smaller still; what it had is added to the
 *    rest, so that the sum of all rows and the rest is what there was.
 *
 * 2. Peaks are taken at every moment, of those that are not kept as well.
 *    Only kinds of use are added up; a limit is no part of any sum.
 */
#include "shares.h"

#include <stdlib.h>
#include <string.h>

void shares_init(struct shares *s, u32 kinds)
{
	memset(s, 0, sizeof(*s));
	s->kinds = kinds;
}

/* ---- moments
 * ------------------------------------------------------------------ */

static void thin_row(u64 v[SHARES_SAMPLES], u32 nr)
{
	for (u32 i = 0; 2 * i < nr; i++)
		v[i] = v[2 * i];
}

static void thin(struct shares *s)
{
	u32 nr = s->nr_samples;

	for (u32 k = 0; k < SHARES_KINDS; k++) {
		thin_row(s->rest[k], nr);
		for (u32 o = 0; o < s->nr_owners; o++)
			thin_row(s->owner[o].v[k], nr);
	}
	for (u32 i = 0; 2 * i < nr; i++)
		s->x[i] = s->x[2 * i];
	s->nr_samples = (nr + 1) / 2;
	s->step = 2 * (s->x[s->nr_samples - 1] - s->x[0]) / nr;
}

/* Whoever is not put has nothing. */
void shares_begin(struct shares *s, double x)
{
	u32 at = s->nr_samples;

	s->open = !at || x >= s->x[at - 1] + s->step;
	if (!s->open)
		return;
	if (at == SHARES_SAMPLES) {
		thin(s);
		at = s->nr_samples;
	}
	s->x[at] = x;
	s->nr_samples++;
	for (u32 k = 0; k < SHARES_KINDS; k++) {
		s->rest[k][at] = 0;
		for (u32 o = 0; o < s->nr_owners; o++)
			s->owner[o].v[k][at] = SHARES_NONE;
	}
}

/* ---- owners
 * ------------------------------------------------------------------ */

static u64 use_of(const struct shares *s, const u64 v[SHARES_KINDS])
{
	u64 sum = 0;

	for (u32 k = 0; k < s->kinds; k++)
		if (v[k] != SHARES_NONE)
			sum += v[k];
	return sum;
}

static void add_to_rest(struct shares *s, u32 i, const u64 v[SHARES_KINDS])
{
	for (u32 k = 0; k < s->kinds; k++)
		if (v[k] != SHARES_NONE)
			s->rest[k][i] += v[k];
}

static struct share_owner *find(struct shares *s, u64 key)
{
	for (u32 i = 0; i < s->nr_owners; i++)
		if (s->owner[i].key == key)
			return &s->owner[i];
	return NULL;
}

static struct share_owner *smallest(struct shares *s)
{
	struct share_owner *least = &s->owner[0];

	for (u32 i = 1; i < s->nr_owners; i++)
		if (s->owner[i].peak < least->peak)
			least = &s->owner[i];
	return least;
}

static void fold(struct shares *s, struct share_owner *o)
{
	u64 v[SHARES_KINDS];

	for (u32 i = 0; i < s->nr_samples; i++) {
		for (u32 k = 0; k < SHARES_KINDS; k++)
			v[k] = o->v[k][i];
		add_to_rest(s, i, v);
	}
}

/* A row for KEY, which uses USE; NULL: it belongs to the rest. */
static struct share_owner *row_for(struct shares *s, u64 key, u64 use)
{
	struct share_owner *o;

	if (s->nr_owners < SHARES_OWNERS) {
		o = &s->owner[s->nr_owners++];
	} else {
		o = smallest(s);
		if (o->peak >= use)
			return NULL;
		fold(s, o);
	}
	memset(o, 0, sizeof(*o));
	o->key = key;
	for (u32 k = 0; k < SHARES_KINDS; k++)
		for (u32 i = 0; i < s->nr_samples; i++)
			o->v[k][i] = SHARES_NONE;
	return o;
}

static void note_peaks(const struct shares *s, struct share_owner *o,
		       const u64 v[SHARES_KINDS])
{
	o->peak = max(o->peak, use_of(s, v));
	for (u32 k = 0; k < SHARES_KINDS; k++)
		if (k >= s->kinds)
			o->most[k] = v[k];
		else if (v[k] != SHARES_NONE)
			o->most[k] = max(o->most[k], v[k]);
}

void shares_put(struct shares *s, u64 key, const char *name,
		const u64 v[SHARES_KINDS])
{
	struct share_owner *o = find(s, key);
	u32 at = s->nr_samples - 1;

	if (!o)
		o = row_for(s, key, use_of(s, v));
	if (!o && s->open)
		add_to_rest(s, at, v);
	if (!o)
		return;
	snprintf(o->name, sizeof(o->name), "%s", name);
	note_peaks(s, o, v);
	for (u32 k = 0; s->open && k < SHARES_KINDS; k++)
		o->v[k][at] = v[k];
}

/* ---- looking
 * ------------------------------------------------------------------ */

u32 shares_order(const struct shares *s, u32 order[SHARES_OWNERS])
{
	for (u32 i = 0; i < s->nr_owners; i++) {
		u32 at = i;

		for (; at && s->owner[order[at - 1]].peak < s->owner[i].peak;
		     at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	return s->nr_owners;
}

u64 shares_use(const struct shares *s, u32 who, u32 i, u32 from, u32 to)
{
	u64 sum = 0;

	for (u32 k = from; k < to; k++) {
		u64 v = who < SHARES_OWNERS ? s->owner[who].v[k][i]
					    : s->rest[k][i];

		if (v != SHARES_NONE)
			sum += v;
	}
	return sum;
}
