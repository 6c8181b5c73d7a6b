/* SPDX-License-Identifier: MIT */
/*
 * whole_groups.h - control groups for the processes of model_whole.h: a small
 * tree with limits that bind, between which they move. For both worlds;
 * included by model_whole.h.
 */
#ifndef TESTS_WHOLE_GROUPS_H
#define TESTS_WHOLE_GROUPS_H

#include <mmkit/memcg.h>

#include "memcg/memcg.h"

#define WG_GROUPS 6u

static struct {
	u32 nr; /* 0: no groups in this run */
	u16 id[WG_GROUPS];
} wg;

static void wg_set(u16 id, const char *file, u32 pages)
{
	char text[16];

	snprintf(text, sizeof(text), "%uK", pages * 4);
	WL_CHECK(memcg_write(id, file, text) == 0);
}

static u16 wg_make(u16 parent)
{
	u16 id;

	WL_CHECK(memcg_create(parent, &id) == 0);
	wg.id[wg.nr++] = id;
	return id;
}

/* All together want more than half of the RAM; each has room for what it cannot
 * do without. */
MM_UNUSED static void wg_open(u32 ram)
{
	u16 top, below;

	wg.nr = 0;
	top = wg_make(0);
	wg_set(top, "memory.max", ram / 2);
	below = wg_make(top);
	wg_set(below, "memory.max", ram / 3);
	wg_set(below, "memory.low", ram / 8);
	below = wg_make(below);
	wg_set(below, "memory.max", ram / 4);
	below = wg_make(top);
	wg_set(below, "memory.min", ram / 10);
	wg_set(top, "memory.min", ram / 10);
	top = wg_make(0);
	wg_set(top, "memory.high", ram / 4);
	top = wg_make(0);
	/* Who may not swap what it has makes others die; nobody shall. */
	wg_set(top, "memory.swap.max", 16 * ram);
}

/* The running process goes to one of the groups, or to the root. */
static void wg_move(struct prng *rng)
{
	u64 to;

	if (!wg.nr)
		return;
	to = prng_below(rng, wg.nr + 1);
	WL_CHECK(memcg_attach(port_current(), to ? wg.id[to - 1] : 0) == 0);
}

/* Nobody is in them. What was killed, reclaimed, swapped for them. */
MM_UNUSED static u64 wg_close(void)
{
	struct memcg *m;
	u64 limited = 0;

	for (u32 i = wg.nr; i-- > 0;) {
		m = memcg_get(wg.id[i]);
		WL_CHECK(m && memcg_usage(&m->memory) <= m->memory.peak);
		limited += m->events_local[MEMCG_MAX] +
			   m->events_local[MEMCG_HIGH];
		WL_CHECK(m->events[MEMCG_OOM_KILL] == 0);
		memcg_put(m, 1);
		WL_CHECK(memcg_remove(wg.id[i]) == 0);
	}
	wg.nr = 0;
	return limited;
}

#endif
