/* SPDX-License-Identifier: MIT */
/*
 * lua_value.c - what goes between Lua and the lab: sizes, times, flags, handles
 * and errors.
 *
 * An error is a table with fields name, errno, call and message, whose text is
 * "NAME: call of something: why". Names are errno's, or a signal's.
 */
#include "lua_lab.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "args.h"

/* ---- errors
 * --------------------------------------------------------------------- */

int lab_throw(lua_State *L, const char *name, int nr, const char *call,
	      const char *text)
{
	lua_newtable(L);
	luaL_setmetatable(L, "lab.error");
	if (name) {
		lua_pushstring(L, name);
		lua_setfield(L, -2, "name");
	}
	if (nr) {
		lua_pushinteger(L, nr);
		lua_setfield(L, -2, "errno");
	}
	if (call) {
		lua_pushstring(L, call);
		lua_setfield(L, -2, "call");
	}
	luaL_where(L, 1);
	lua_pushfstring(L, "%s%s%s%s%s", name ? name : "", name ? ": " : "",
			call ? call : "", call ? ": " : "", text);
	lua_pushvalue(L, -1);
	lua_setfield(L, -4, "message");
	lua_concat(L, 2);
	lua_setfield(L, -2, "text");
	return lua_error(L);
}

int lab_fail(lua_State *L, int err, const char *call, const char *what)
{
	const char *name = lab_const_name("E", err);
	char text[256];

	snprintf(text, sizeof(text), "%s%s%s", what && *what ? what : "",
		 what && *what ? ": " : "", strerror(err));
	return lab_throw(L, name ? name : "E?", err, call, text);
}

int lab_fail_signal(lua_State *L, int sig, const char *call, const char *what,
		    u64 at)
{
	const char *abbrev = sigabbrev_np(sig);
	char name[16], text[160];

	snprintf(name, sizeof(name), "SIG%s", abbrev ? abbrev : "?");
	if (what)
		snprintf(text, sizeof(text), "%s at 0x%llx", what,
			 (unsigned long long)at);
	else
		snprintf(text, sizeof(text), "the task was killed");
	return lab_throw(L, name, sig, call, text);
}

static int error_text(lua_State *L)
{
	lua_getfield(L, 1, "text");
	return 1;
}

/* ---- arguments
 * ---------------------------------------------------------------------- */

u64 lab_size(lua_State *L, int arg)
{
	struct args_error e;
	u64 v = 0;

	if (lua_type(L, arg) == LUA_TNUMBER)
		return (u64)luaL_checkinteger(L, arg);
	if (!args_size(luaL_checkstring(L, arg), &v, &e))
		luaL_argerror(L, arg, e.text);
	return v;
}

u64 lab_opt_size(lua_State *L, int arg, u64 def)
{
	return lua_isnoneornil(L, arg) ? def : lab_size(L, arg);
}

u64 lab_time(lua_State *L, int arg)
{
	static const struct {
		const char *unit;
		u64 ns;
	} units[] = {
		{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};
	unsigned long long n;
	char unit[4];

	if (lua_type(L, arg) == LUA_TNUMBER) {
		lua_Integer v = luaL_checkinteger(L, arg);

		luaL_argcheck(L, v >= 0, arg, "time does not go back");
		return (u64)v;
	}
	if (sscanf(luaL_checkstring(L, arg), "%llu%3s", &n, unit) == 2)
		for (size_t i = 0; i < ARRAY_SIZE(units); i++)
			if (!strcmp(unit, units[i].unit) &&
			    n <= 1000000000000000000u / units[i].ns)
				return n * units[i].ns;
	return (u64)luaL_argerror(L, arg,
				  "a time is nanoseconds, or \"10us\", "
				  "\"5ms\", \"2s\"");
}

u64 lab_nodes(lua_State *L, int arg, u64 def)
{
	u64 set = 0;

	if (lua_isnoneornil(L, arg))
		return def;
	if (lua_isinteger(L, arg)) {
		lua_Integer n = lua_tointeger(L, arg);

		luaL_argcheck(L, n >= 0 && n < 64, arg, "a node is 0 .. 63");
		return 1UL << n;
	}
	luaL_checktype(L, arg, LUA_TTABLE);
	for (lua_Integer i = 1; lua_geti(L, arg, i) != LUA_TNIL; i++) {
		lua_Integer n = luaL_checkinteger(L, -1);

		luaL_argcheck(L, n >= 0 && n < 64, arg, "a node is 0 .. 63");
		set |= 1UL << n;
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return set;
}

/* ---- fields
 * ----------------------------------------------------------------------- */

void lab_set_num(lua_State *L, const char *key, u64 v)
{
	lua_pushinteger(L, (lua_Integer)v);
	lua_setfield(L, -2, key);
}

void lab_set_str(lua_State *L, const char *key, const char *v)
{
	lua_pushstring(L, v);
	lua_setfield(L, -2, key);
}

/* ---- handles
 * ---------------------------------------------------------------------- */

struct handle {
	u32 boot, id;
};

void lab_handle(lua_State *L, const char *class, u32 id)
{
	struct handle *h = lua_newuserdatauv(L, sizeof(*h), 0);

	*h = (struct handle){lab_boot_nr(), id};
	luaL_setmetatable(L, class);
}

u32 lab_handle_id(lua_State *L, int arg, const char *class)
{
	const struct handle *h = luaL_checkudata(L, arg, class);

	if (h->boot != lab_boot_nr())
		lab_throw(L, "ENODEV", ENODEV, NULL,
			  "this was on another machine");
	return h->id;
}

/* Two handles of one thing are equal. */
static int handle_eq(lua_State *L)
{
	const struct handle *a = lua_touserdata(L, 1);
	const struct handle *b = lua_touserdata(L, 2);

	lua_pushboolean(L, a->boot == b->boot && a->id == b->id);
	return 1;
}

void lab_classes_open(lua_State *L)
{
	static const char *const classes[] = {"lab.task", "lab.file",
					      "lab.cache", "lab.uffd"};

	luaL_newmetatable(L, "lab.error");
	lua_pushcfunction(L, error_text);
	lua_setfield(L, -2, "__tostring");
	lua_pop(L, 1);
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		luaL_newmetatable(L, classes[i]);
		lua_newtable(L);
		lua_setfield(L, -2, "__index");
		lua_pushcfunction(L, handle_eq);
		lua_setfield(L, -2, "__eq");
		lua_pop(L, 1);
	}
}
