/* SPDX-License-Identifier: MIT */
/*
 * lua_main.c - scripts, the prompt, and the end.
 *
 * 1. A script's error that nobody caught is printed with where it was, and the
 *    status is 1. Nothing asks questions: an unattended script ends.
 *
 * 2. The prompt prints the values of an expression, goes on reading where a
 *    statement is not complete, and survives errors.
 */
#include "lua_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lua5.4/lualib.h>

#include "err.h"

#define PROMPT	    "mmkit> "
#define PROMPT_MORE "    .. "

/* ---- running
 * ---------------------------------------------------------------------- */

/* The message handler: text and where it came from. */
static int explain_error(lua_State *L)
{
	const char *text = luaL_tolstring(L, 1, NULL);

	luaL_traceback(L, L, text, 1);
	return 1;
}

/* Run the chunk on the stack with N arguments. False: it failed. */
static bool run_chunk(lua_State *L, int n, bool traceback)
{
	int base = lua_gettop(L) - n, err;

	lua_pushcfunction(L, explain_error);
	lua_insert(L, base);
	err = lua_pcall(L, n, LUA_MULTRET, base);
	lua_remove(L, base);
	if (err == LUA_OK)
		return true;
	if (!traceback) {
		lua_pushliteral(L, "\nstack traceback:");
		const char *all = lua_tostring(L, -2);
		const char *cut = strstr(all, lua_tostring(L, -1));

		err_say("%.*s", cut ? (int)(cut - all) : (int)strlen(all), all);
		lua_pop(L, 1);
	} else {
		err_say("%s", lua_tostring(L, -1));
	}
	lua_pop(L, 1);
	return false;
}

static bool load_failed(lua_State *L)
{
	err_say("%s", lua_tostring(L, -1));
	lua_pop(L, 1);
	return false;
}

static bool run_code(lua_State *L, const char *code)
{
	if (luaL_loadbuffer(L, code, strlen(code), "=-e"))
		return load_failed(L);
	if (!run_chunk(L, 0, true))
		return false;
	lua_settop(L, 0);
	return true;
}

static void push_args(lua_State *L, const struct lab_opts *o)
{
	lua_newtable(L);
	lua_pushstring(L, o->script ? o->script : "-");
	lua_seti(L, -2, 0);
	for (int i = 0; i < o->nr_args; i++) {
		lua_pushstring(L, o->args[i]);
		lua_seti(L, -2, i + 1);
	}
	lua_setglobal(L, "arg");
}

static bool run_script(lua_State *L, const struct lab_opts *o)
{
	const char *path = o->script;

	if (path && !strcmp(path, "-"))
		path = NULL;
	push_args(L, o);
	if (luaL_loadfilex(L, path, "t"))
		return load_failed(L);
	for (int i = 0; i < o->nr_args; i++)
		lua_pushstring(L, o->args[i]);
	if (!run_chunk(L, o->nr_args, true))
		return false;
	lua_settop(L, 0);
	return true;
}

/* ---- the prompt
 * ------------------------------------------------------------------- */

static char *plain_line(const char *prompt)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	fputs(prompt, stdout);
	fflush(stdout);
	n = getline(&line, &size, stdin);
	if (n < 0) {
		free(line);
		return NULL;
	}
	if (n && line[n - 1] == '\n')
		line[n - 1] = '\0';
	return line;
}

/* Push the next line; false: the end. */
static bool push_line(lua_State *L, const char *prompt)
{
	char *line;

	fflush(stdout);
	line = lab_edit_line && isatty(STDIN_FILENO) ? lab_edit_line(prompt)
						     : plain_line(prompt);
	if (!line)
		return false;
	lua_pushstring(L, line);
	free(line);
	return true;
}

static bool incomplete(lua_State *L, int err)
{
	static const char end[] = "<eof>";
	size_t len;
	const char *text;

	if (err != LUA_ERRSYNTAX)
		return false;
	text = lua_tolstring(L, -1, &len);
	return len >= sizeof(end) - 1 &&
	       !strcmp(text + len - (sizeof(end) - 1), end);
}

/* The line at 1 as an expression; false: it is none. */
static bool load_expression(lua_State *L)
{
	const char *line = lua_pushfstring(L, "return %s", lua_tostring(L, 1));
	int err = luaL_loadbuffer(L, line, strlen(line), "=stdin");

	lua_remove(L, 2);
	if (err)
		lua_pop(L, 1);
	return !err;
}

/* What was typed, more lines where they are needed, as a chunk. 0, an error
 * (its message pushed), or -1: the end of input. */
static int load_statement(lua_State *L)
{
	for (;;) {
		const char *text = lua_tostring(L, 1);
		int err = luaL_loadbuffer(L, text, strlen(text), "=stdin");

		if (!incomplete(L, err))
			return err;
		lua_pop(L, 1);
		if (!push_line(L, PROMPT_MORE))
			return -1;
		lua_pushliteral(L, "\n");
		lua_insert(L, -2);
		lua_concat(L, 3);
	}
}

/* Values of an expression: simple ones by print, a table by show. */
static void print_values(lua_State *L)
{
	int n = lua_gettop(L);

	for (int i = 1; i <= n; i++) {
		lua_getglobal(L, "show");
		lua_pushvalue(L, i);
		if (lua_type(L, i) == LUA_TSTRING) {
			lua_pop(L, 2);
			printf("%s\n", lua_tostring(L, i));
		} else if (lua_pcall(L, 1, 0, 0)) {
			err_say("%s", lua_tostring(L, -1));
			lua_pop(L, 1);
		}
	}
}

static void prompt(lua_State *L)
{
	if (lab_edit_begin && isatty(STDIN_FILENO))
		lab_edit_begin(L);
	for (;;) {
		int err = 0;

		lua_settop(L, 0);
		if (!push_line(L, PROMPT))
			break;
		if (!load_expression(L))
			err = load_statement(L);
		if (err == -1)
			break;
		if (err) {
			load_failed(L);
			continue;
		}
		lua_remove(L, 1);
		if (run_chunk(L, 0, false))
			print_values(L);
	}
	putchar('\n');
	if (lab_edit_end)
		lab_edit_end();
}

/* ---- all of it
 * -------------------------------------------------------------------- */

/* Handles print as "task 3 (shell)" would, without an address. */
static int handle_text(lua_State *L)
{
	const struct lab_task *t =
		luaL_testudata(L, 1, "lab.task") ? lab_any_task(L, 1) : NULL;

	if (t)
		lua_pushfstring(L, "task %d (%s)", t->pid, t->name);
	else
		lua_pushstring(L, luaL_testudata(L, 1, "lab.file")
					  ? "file"
					  : "userfaultfd");
	return 1;
}

static void open_lab(lua_State *L, u64 seed)
{
	static const char *const classes[] = {"lab.task", "lab.file",
					      "lab.uffd"};
	size_t len;
	const char *text = lab_prelude(&len);

	luaL_openlibs(L);
	lab_classes_open(L);
	lab_consts_open(L);
	lab_fns_open(L);
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		luaL_getmetatable(L, classes[i]);
		lua_pushcfunction(L, handle_text);
		lua_setfield(L, -2, "__tostring");
		lua_pop(L, 1);
	}
	/* math.random() begins at the host's clock otherwise. */
	lua_getglobal(L, "math");
	lua_getfield(L, -1, "randomseed");
	lua_pushinteger(L, (lua_Integer)seed);
	lua_call(L, 1, 0);
	lua_settop(L, 0);
	if (luaL_loadbuffer(L, text, len, "=prelude"))
		err_die("%s", lua_tostring(L, -1));
	luaL_getmetatable(L, "lab.task");
	lua_getfield(L, -1, "__index");
	lua_remove(L, -2);
	if (lua_pcall(L, 1, 0, 0))
		err_die("%s", lua_tostring(L, -1));
}

int lab_main(const struct lab_opts *o)
{
	return lab_script(o);
}

int lab_script(const struct lab_opts *o)
{
	lua_State *L = luaL_newstate();
	bool terminal = isatty(STDIN_FILENO);
	bool ok = true, talk;

	if (!L)
		err_die("no memory for Lua");
	talk = o->interactive || (!o->code && !o->script && terminal);
	open_lab(L, o->machine.seed);
	lab_begin(&o->machine);
	if (o->code)
		ok = run_code(L, o->code);
	if (ok && (o->script || (!o->code && !talk)))
		ok = run_script(L, o);
	if (talk)
		prompt(L);
	lab_end();
	lua_close(L);
	return ok ? 0 : EXIT_FAILED;
}
