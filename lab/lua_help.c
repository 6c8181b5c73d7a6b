/* SPDX-License-Identifier: MIT */
/*
 * lua_help.c - the list of all functions: help(), completion, registration.
 */
#include "lua_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

static const struct lab_fn *const parts[] = {
	lab_machine_fns, lab_task_fns, lab_mm_fns,   lab_ipc_fns,
	lab_mem_fns,	 lab_file_fns, lab_proc_fns, lab_look_fns,
	lab_kmem_fns,	 lab_list_fns, lab_uffd_fns, lab_event_fns,
	lab_json_fns,	 lab_help_fns};

const struct lab_fn *lab_each_fn(u32 i)
{
	for (size_t p = 0; p < ARRAY_SIZE(parts); p++)
		for (const struct lab_fn *f = parts[p]; f->name; f++)
			if (!i--)
				return f;
	return NULL;
}

/* ---- registration
 * ----------------------------------------------------------------- */

/* Push the table that F belongs to; its name there. */
static const char *home(lua_State *L, const struct lab_fn *f)
{
	const char *colon = strchr(f->name, ':');

	if (!colon) {
		lua_pushglobaltable(L);
		return f->name;
	}
	lua_pushliteral(L, "lab.");
	lua_pushlstring(L, f->name, (size_t)(colon - f->name));
	lua_concat(L, 2);
	luaL_getmetatable(L, lua_tostring(L, -1));
	lua_remove(L, -2);
	lua_getfield(L, -1, "__index");
	lua_remove(L, -2);
	return colon + 1;
}

void lab_fns_open(lua_State *L)
{
	const struct lab_fn *f;

	for (u32 i = 0; (f = lab_each_fn(i)); i++) {
		const char *name;

		if (!f->fn)
			continue;
		name = home(L, f);
		lua_pushcfunction(L, f->fn);
		lua_setfield(L, -2, name);
		lua_pop(L, 1);
	}
}

/* ---- help
 * ------------------------------------------------------------------------ */

static void help_one(const struct lab_fn *f)
{
	const char *at = f->example;

	printf("%s\n", f->usage);
	for (const char *t = f->text; *t;) {
		size_t n = strlen(t);

		/* Lines of 76 columns, broken at spaces. */
		if (n > 76) {
			n = 76;
			while (n && t[n] != ' ')
				n--;
		}
		printf("    %.*s\n", (int)n, t);
		t += n;
		t += *t == ' ';
	}
	printf("Example:\n");
	while (*at) {
		size_t n = strcspn(at, "\n");

		printf("    %.*s\n", (int)n, at);
		at += n + (at[n] == '\n');
	}
}

static void help_all(void)
{
	const struct lab_fn *f;

	printf("help(\"name\") tells more, with an example.\n");
	for (size_t p = 0; p < ARRAY_SIZE(parts); p++) {
		putchar('\n');
		for (f = parts[p]; f->name; f++)
			printf("  %s\n", f->usage);
	}
	printf("\nConstants have Linux's names: PROT_READ, MADV_COLD, ENOMEM. "
	       "Sizes may be \"64K\",\ntimes \"10ms\". An error has fields "
	       "name (\"ENOMEM\"), errno and call.\n");
}

/* "mmap" finds "task:mmap". */
static const struct lab_fn *find(const char *name, u32 *nth)
{
	const struct lab_fn *f;

	for (; (f = lab_each_fn(*nth)); ++*nth) {
		const char *colon = strchr(f->name, ':');

		if (!strcmp(f->name, name) ||
		    (colon && !strcmp(colon + 1, name)))
			return f;
	}
	return NULL;
}

static int not_found(lua_State *L, const char *name)
{
	static const char *names[256];
	const char *near, *colon;
	const struct lab_fn *f;
	u32 nr = 0;

	for (; (f = lab_each_fn(nr)) && nr < ARRAY_SIZE(names); nr++) {
		colon = strchr(f->name, ':');
		names[nr] = colon ? colon + 1 : f->name;
	}
	near = err_suggest(name, names, nr);
	if (near)
		return luaL_error(L, "no function '%s': did you mean '%s'?",
				  name, near);
	return luaL_error(L, "no function '%s'", name);
}

static int l_help(lua_State *L)
{
	const struct lab_fn *f;
	const char *name;
	u32 i = 0, found = 0;

	if (lua_isnoneornil(L, 1)) {
		help_all();
		return 0;
	}
	name = luaL_checkstring(L, 1);
	for (; (f = find(name, &i)); i++) {
		if (found++)
			putchar('\n');
		help_one(f);
	}
	return found ? 0 : not_found(L, name);
}

static int l_functions(lua_State *L)
{
	const struct lab_fn *f;

	lua_newtable(L);
	for (u32 i = 0; (f = lab_each_fn(i)); i++) {
		lua_pushstring(L, f->name);
		lua_seti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int l_example(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	u32 i = 0;
	const struct lab_fn *f = find(name, &i);

	if (!f)
		return not_found(L, name);
	lua_pushstring(L, f->example);
	return 1;
}

/* ---- completion
 * ------------------------------------------------------------------- */

/* A global variable of the script's, or a constant. */
static char *complete_global(lua_State *L, const char *text, u32 i)
{
	size_t n = strlen(text);
	char *found = NULL;

	lua_getglobal(L, "_complete");
	lua_pushlstring(L, text, n);
	lua_pushinteger(L, (lua_Integer)i + 1);
	if (lua_pcall(L, 2, 1, 0) == LUA_OK && lua_isstring(L, -1))
		found = strdup(lua_tostring(L, -1));
	lua_pop(L, 1);
	return found;
}

/* TEXT ends in ":begin": methods. PREFIX: up to the colon. */
static char *complete_method(const char *text, size_t prefix, u32 i)
{
	const struct lab_fn *f;
	char *found = NULL;

	for (u32 k = 0; (f = lab_each_fn(k)); k++) {
		const char *colon = strchr(f->name, ':');

		if (!colon || strncmp(colon + 1, text + prefix,
				      strlen(text + prefix)) != 0)
			continue;
		if (i--)
			continue;
		if (asprintf(&found, "%.*s%s", (int)prefix, text, colon + 1) <
		    0)
			return NULL;
		return found;
	}
	return NULL;
}

char *lab_complete(lua_State *L, const char *text, u32 i)
{
	const char *colon = strrchr(text, ':');

	if (colon)
		return complete_method(text, (size_t)(colon + 1 - text), i);
	return complete_global(L, text, i);
}

const struct lab_fn lab_help_fns[] = {
	{"help", "help([name])",
	 "All functions, or one of them with an example.", "help(\"mmap\")",
	 l_help},
	{"functions", "functions() -> list", "The names of all functions.",
	 "assert(#functions() > 50)", l_functions},
	{"example", "example(name) -> string",
	 "The example that help() shows: load(example(\"mmap\"))() runs it.",
	 "print(example(\"spawn\"))", l_example},
	{"show", "show(value)",
	 "Print a value, tables with all they hold, in the order of keys.",
	 "show(machine())", NULL},
	{"diff", "diff(old, new) -> list",
	 "What is different between two tables: a line for each, "
	 "\"zones.0.Normal.nr_free_pages: 100 -> 90 (-10)\".",
	 "s = state()\nt = spawn()\nt:touch(t:mmap(\"1M\"), \"1M\", \"w\")\n"
	 "for _, line in ipairs(diff(s, state())) do print(line) end",
	 NULL},
	{"state", "state() -> table",
	 "All that the machine counts: vmstat, meminfo, zones, slabs, and of "
	 "each task its mappings. For diff().",
	 "show(state().meminfo)", NULL},
	{"vmstat", "vmstat() -> table", "/proc/vmstat by name.",
	 "print(vmstat().pgfault)", NULL},
	{"meminfo", "meminfo() -> table", "/proc/meminfo by name, in KiB.",
	 "print(meminfo().MemFree)", NULL},
	{"zones", "zones() -> table",
	 "/proc/zoneinfo: zones()[node][\"Normal\"].nr_free_pages, min, low, "
	 "high, and of the node its own counters.",
	 "print(zones()[0].DMA.managed)", NULL},
	{"slabs", "slabs() -> table",
	 "/proc/slabinfo by the caches' names: active, objects, size, "
	 "perslab, pages.",
	 "spawn()\nprint(slabs().vm_area_struct.active)", NULL},
	{"task:vmas", "task:vmas() -> list",
	 "Its mappings as /proc/PID/smaps tells them: start, end, perms, name, "
	 "and Rss, Pss, Swap ... in KiB.",
	 "t = spawn()\na = t:mmap(\"16K\")\nt:touch(a, \"16K\", \"w\")\n"
	 "print(t:vmas()[1].Rss)",
	 NULL},
	{"task:rmap", "task:rmap(addr) -> list",
	 "Who maps the page at the address: {{task, pid, addr}}.",
	 "t = spawn()\na = t:mmap(\"4K\")\nt:touch(a, 1, \"w\")\n"
	 "t:fork()\nassert(#t:rmap(a) == 2)",
	 NULL},
	{"hog", "hog(size, [name]) -> task",
	 "A task that holds so much memory, written once: pressure. Take it "
	 "off with :exit() or :kill().",
	 "boot{mem=\"64M\", swap=\"64M\"}\nh = hog(\"70M\")\nh:exit()", NULL},
	{0}};
