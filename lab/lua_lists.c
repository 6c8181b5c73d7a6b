/* SPDX-License-Identifier: MIT */
/*
 * lua_lists.c - the lists that frames stand on: the buddy's free blocks, and
 * those that reclaim looks at.
 *
 * A list is walked under its lock, into numbers of C's; nothing is moved.
 */
#include "lua_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/spinlock.h"
#include "events.h"
#include "phys/group.h"
#include "phys/lru.h"
#include "phys/page_debug.h"
#include "phys/phys.h"

/* Numbers in BUF, as many as A[7] says; false: no memory. */
static bool note(struct lab_call *c, u64 v)
{
	u64 n = c->a[7];

	if ((n + 1) * sizeof(u64) > c->buf_len) {
		u64 len = c->buf_len ? c->buf_len * 2 : 4096;
		void *p = realloc(c->buf, len);

		if (!p)
			return false;
		c->buf = p;
		c->buf_len = len;
	}
	((u64 *)c->buf)[n] = v;
	c->a[7] = n + 1;
	return true;
}

/* A free list as: order, type, count, pfns. Zone lock held. */
static bool note_list(struct lab_call *c, const struct page_list *l, u32 order,
		      int type)
{
	bool ok = note(c, order) && note(c, (u64)type) && note(c, l->count);

	for (const struct page *p = page_list_first(l); ok && p;
	     p = page_list_next(p))
		ok = note(c, page_to_pfn(p));
	return ok;
}

/* A: node; BUF: the zone's name. */
static struct zone *zone_of(const struct lab_call *c, const char *name)
{
	struct zone *zone;

	for_each_populated_zone (zone)
		if (zone_to_nid(zone) == (int)c->a[0] &&
		    !strcmp(zone->name, name))
			return zone;
	return NULL;
}

static s64 do_free_blocks(struct lab_call *c)
{
	char *name = c->buf;
	struct zone *zone = zone_of(c, name);
	unsigned long flags;
	bool ok = true;

	free(name);
	c->buf = NULL;
	c->buf_len = 0;
	if (!zone)
		return -ENOENT;
	spin_lock_irqsave(&zone->lock, flags);
	for (u32 o = 0; o < MAX_ORDER; o++)
		for (int t = 0; ok && t < MIGRATE_TYPES; t++)
			if (zone->free_area[o].free_list[t].count)
				ok = note_list(c,
					       &zone->free_area[o].free_list[t],
					       o, t);
	spin_unlock_irqrestore(&zone->lock, flags);
	return ok ? 0 : -ENOMEM;
}

static int push_blocks(lua_State *L, struct lab_call *c)
{
	const u64 *v = c->buf, *end = v + c->a[7];
	lua_Integer n = 0;

	lua_newtable(L);
	while (v && v < end) {
		u64 order = v[0], type = v[1], count = v[2];

		for (v += 3; count; count--) {
			lua_newtable(L);
			lab_set_num(L, "pfn", *v++);
			lab_set_num(L, "order", order);
			lua_pushstring(L, migratetype_names[type]);
			lua_setfield(L, -2, "type");
			lua_seti(L, -2, ++n);
		}
	}
	return 1;
}

static int l_free_blocks(lua_State *L)
{
	struct lab_call c = {.fn = do_free_blocks,
			     .name = "free_blocks",
			     .push = push_blocks};
	const char *zone = luaL_checkstring(L, 1);

	c.a[0] = (u64)luaL_optinteger(L, 2, 0);
	lab_need_machine(L);
	snprintf(c.what, sizeof(c.what), "%s", zone);
	c.buf = strdup(zone);
	if (!c.buf)
		return luaL_error(L, "no memory");
	return lab_do(L, &c);
}

/* A: node, group. Each list as: count, pfns, the most recent first. */
static s64 do_lru(struct lab_call *c)
{
	struct page_group *g = group_of_id((u16)c->a[1]);
	struct lruvec *vec;
	unsigned long flags;
	bool ok = true;

	if ((c->a[1] && !g) || c->a[0] >= MM_MAX_NODES ||
	    !node_data((int)c->a[0]))
		return -ENOENT;
	lru_add_drain_all();
	vec = group_lruvec(g, NODE_DATA((int)c->a[0]));
	spin_lock_irqsave(&vec->lock, flags);
	for (u32 l = 0; ok && l < NR_LRU_LISTS; l++) {
		ok = note(c, vec->lists[l].count);
		for (const struct page *p = page_list_first(&vec->lists[l]);
		     ok && p; p = page_list_next(p))
			ok = note(c, page_to_pfn(p));
	}
	spin_unlock_irqrestore(&vec->lock, flags);
	return ok ? 0 : -ENOMEM;
}

static int push_lru(lua_State *L, struct lab_call *c)
{
	const u64 *v = c->buf;

	lua_newtable(L);
	for (u32 l = 0; l < NR_LRU_LISTS; l++) {
		u64 count = *v++;

		lua_createtable(L, (int)count, 0);
		for (u64 i = 1; i <= count; i++) {
			lua_pushinteger(L, (lua_Integer)*v++);
			lua_seti(L, -2, (lua_Integer)i);
		}
		lua_setfield(L, -2, events_lru(l));
	}
	return 1;
}

static int l_lru(lua_State *L)
{
	struct lab_call c = {.fn = do_lru, .name = "lru", .push = push_lru};
	const char *path = luaL_optstring(L, 2, NULL);

	c.a[0] = (u64)luaL_optinteger(L, 1, 0);
	lab_need_machine(L);
	if (path)
		c.a[1] = lab_group_at(L, path);
	return lab_do(L, &c);
}

const struct lab_fn lab_list_fns[] = {
	{"free_blocks", "free_blocks(zone, [node]) -> list",
	 "The buddy's free blocks of a zone, by order and list: {pfn, order, "
	 "type}. What CPUs keep for themselves is not among them.",
	 "show(free_blocks(\"DMA\")[1])", l_free_blocks},
	{"lru", "lru([node], [group]) -> table",
	 "The lists that reclaim looks at, frames with the most recent first: "
	 "inactive_anon, active_anon, inactive_file, active_file, "
	 "unevictable. Policies other than classic have lists of their own, "
	 "which are not here.",
	 "t = spawn()\na = t:mmap(\"16K\")\nt:touch(a, \"16K\", \"w\")\n"
	 "print(#lru().inactive_anon + #lru().active_anon)",
	 l_lru},
	{0}};
