/* SPDX-License-Identifier: MIT */
/*
 * lua_json.c - values of Lua as JSON, for programs that read what a lab found.
 *
 * A table whose keys are 1, 2, 3 ... is an array, any other an object with its
 * keys as text. Whole numbers stay exact.
 */
#include "lua_lab.h"

#include <stdlib.h>

#include <jansson.h>

#define MAX_DEPTH 64

static json_t *value_of(lua_State *L, int at, int depth);

static json_t *array_of(lua_State *L, int at, int depth)
{
	json_t *a = json_array();

	for (lua_Integer i = 1; lua_geti(L, at, i) != LUA_TNIL; i++) {
		json_array_append_new(a, value_of(L, lua_gettop(L), depth));
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return a;
}

static json_t *object_of(lua_State *L, int at, int depth)
{
	json_t *o = json_object();

	for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
		const char *key;

		/* Not the key itself: making text of it would change it. */
		lua_pushvalue(L, -2);
		key = lua_tostring(L, -1);
		if (key)
			json_object_set_new_nocheck(
				o, key, value_of(L, lua_gettop(L) - 1, depth));
		lua_pop(L, 1);
	}
	return o;
}

static json_t *value_of(lua_State *L, int at, int depth)
{
	const char *s;
	size_t len;

	if (!depth || !lua_checkstack(L, 8))
		return json_null();
	switch (lua_type(L, at)) {
	case LUA_TBOOLEAN:
		return json_boolean(lua_toboolean(L, at));
	case LUA_TNUMBER:
		return lua_isinteger(L, at) ? json_integer(lua_tointeger(L, at))
					    : json_real(lua_tonumber(L, at));
	case LUA_TSTRING:
		s = lua_tolstring(L, at, &len);
		return json_stringn_nocheck(s, len);
	case LUA_TTABLE:
		return lua_rawlen(L, at) ? array_of(L, at, depth - 1)
					 : object_of(L, at, depth - 1);
	default:
		return json_null();
	}
}

static int l_json(lua_State *L)
{
	json_t *v;
	char *text;

	luaL_checkany(L, 1);
	v = value_of(L, 1, MAX_DEPTH);
	text = json_dumps(v, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	json_decref(v);
	if (!text)
		return luaL_error(L, "no memory, or no text, for JSON");
	lua_pushstring(L, text);
	free(text);
	return 1;
}

const struct lab_fn lab_json_fns[] = {
	{"json", "json(value) -> string",
	 "The value as JSON: lists as arrays, other tables as objects.",
	 "print(json(machine()))", l_json},
	{0}};
