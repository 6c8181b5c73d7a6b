/* SPDX-License-Identifier: MIT */
/*
 * lua_machine.c - the lab's machine: booting it, time, and calls into it.
 *
 * 1. boot{...} takes the options of "mmkit boot" by their long names, with _
 *    for -. They go through the command line's own parser, so that what they
 *    mean is said once. The command line of "mmkit lab" gives the defaults.
 *
 * 2. A call is played until it is done; then the machine rests with whatever
 *    the daemons were about. A machine in which nothing can ever happen again,
 *    or that panicked, is broken: only boot() and shutdown() remain.
 */
#include "lua_lab.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/boot.h>
#include <mmkit/ksm.h>
#include <mmkit/port.h>
#include <mmkit/report.h>

#include "base/seqbuf.h"
#include "err.h"
#include "sim.h"

#define THP_ENABLED "/sys/kernel/mm/transparent_hugepage/enabled"
#define MAX_STRINGS 128
#define LOG_LINES   20

static struct {
	struct machine_opts defaults, opts;
	u32 nr; /* boots so far */
	bool up, broken;
	const char *thp; /* boot{thp=} */
	bool ksm;
	/* Options keep pointers to their arguments. */
	char *strings[MAX_STRINGS];
	u32 nr_strings;
	struct {
		char *text;
		size_t len, max;
	} log; /* of the machine, since it booted */
} lab;

/* The machine's console. What does not fit any more is lost. */
static void take_log(int level, const char *text, size_t len)
{
	(void)level;
	if (lab.opts.log)
		fwrite(text, 1, len, stdout);
	if (lab.log.len + len > lab.log.max) {
		size_t max = lab.log.max * 2 + len + 4096;
		char *p = realloc(lab.log.text, max);

		if (!p)
			return;
		lab.log.text = p;
		lab.log.max = max;
	}
	memcpy(lab.log.text + lab.log.len, text, len);
	lab.log.len += len;
}

u32 lab_boot_nr(void)
{
	return lab.up ? lab.nr : 0;
}

const struct machine_opts *lab_machine(void)
{
	return &lab.opts;
}

void lab_begin(const struct machine_opts *o)
{
	lab.defaults = *o;
	lab.defaults.catch_panic = true;
	lab.defaults.shared_ram = true;
	lab.defaults.sink = take_log;
}

static int tasks_and_files(void *arg)
{
	(void)arg;
	lab_uffds_exit();
	lab_tasks_exit();
	lab_files_exit();
	lab_kmem_exit();
	return 0;
}

void lab_end(void)
{
	if (!lab.up)
		return;
	if (!lab.broken)
		lab.broken = sim_run(tasks_and_files, NULL) != 0;
	lab_rings_end();
	machine_end();
	mm_reset();
	lab_tasks_free();
	lab_files_free();
	lab_kmem_free();
	lab_groups_free();
	lab_uffds_free();
	lab.up = lab.broken = false;
	while (lab.nr_strings)
		free(lab.strings[--lab.nr_strings]);
}

/* ---- booting
 * ------------------------------------------------------------------ */

static char *keep(const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		err_die("no memory for the options");
	if (lab.nr_strings == MAX_STRINGS)
		err_die("too many options");
	return lab.strings[lab.nr_strings++] = copy;
}

static const struct argp_option *find_option(const char *key)
{
	const struct argp_option *o = machine_argp.options;
	char name[32];

	snprintf(name, sizeof(name), "%s", key);
	for (char *c = name; *c; c++)
		if (*c == '_')
			*c = '-';
	for (; o->name; o++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

_Noreturn static void no_option(const char *key)
{
	const char *names[64] = {"mem", "swap", "thp", "ksm"}, *near;
	u32 nr = 4;

	for (const struct argp_option *o = machine_argp.options;
	     o->name && nr < ARRAY_SIZE(names); o++)
		names[nr++] = o->name;
	near = err_suggest(key, names, nr);
	err_usage("no option '%s'%s%s%s", key, near ? ": did you mean '" : "",
		  near ? near : "", near ? "'?" : "");
}

/* The options that are not machine_argp's. */
static bool own_option(const char *key, const char *value, bool flag)
{
	struct machine_opts *o = &lab.opts;

	if (!strcmp(key, "mem") && value)
		o->mem_bytes = machine_size_arg("mem", value);
	else if (!strcmp(key, "swap") && value)
		o->swap_bytes = machine_size_arg("swap", value);
	else if (!strcmp(key, "thp") && value)
		lab.thp = keep(value);
	else if (!strcmp(key, "ksm"))
		lab.ksm = flag;
	else
		return false;
	return true;
}

/* VALUE NULL: it is the boolean FLAG. */
static void one_option(const char *key, const char *value, bool flag)
{
	const struct argp_option *o;
	struct argp_state state = {.input = &lab.opts};

	if (own_option(key, value, flag))
		return;
	o = find_option(key);
	if (!o || !strcmp(o->name, "show"))
		no_option(key);
	if (o->arg && !value && !(o->flags & OPTION_ARG_OPTIONAL))
		err_usage("%s: a value is wanted (%s)", key, o->arg);
	if (!o->arg && value)
		err_usage("%s: true or false is wanted", key);
	if (value || flag)
		machine_argp.parser(o->key, value ? keep(value) : NULL, &state);
}

/* {a=1} is "a=1", {1, 2} is two options. */
static void table_option(lua_State *L, const char *key)
{
	char pair[400];

	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		const char *value = luaL_tolstring(L, -1, NULL);

		if (lua_type(L, -3) == LUA_TSTRING) {
			snprintf(pair, sizeof(pair), "%s=%s",
				 lua_tostring(L, -3), value);
			value = pair;
		}
		one_option(key, value, false);
		lua_pop(L, 1);
	}
}

static void read_options(lua_State *L, int arg)
{
	for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
		const char *key;

		if (lua_type(L, -2) != LUA_TSTRING)
			err_usage("options have names: boot{mem=\"64M\"}");
		key = lua_tostring(L, -2);
		if (lua_istable(L, -1))
			table_option(L, key);
		else if (lua_isboolean(L, -1))
			one_option(key, NULL, lua_toboolean(L, -1));
		else if (lua_isstring(L, -1))
			one_option(key, lua_tostring(L, -1), false);
		else
			err_usage("%s: what is a %s?", key,
				  luaL_typename(L, -1));
	}
}

/* What boot{} sets through files. 0, or negative errno. */
static int settle(void *arg)
{
	int err = 0;

	(void)arg;
	if (lab.thp) {
		s64 n = mm_write(THP_ENABLED, lab.thp, strlen(lab.thp));

		err = n < 0 ? (int)n : 0;
	}
	if (lab.ksm && !err)
		err = mm_ksm_set("run", "1");
	return err;
}

/* Runs where err_die() is caught. */
static void make_machine(lua_State *L, int arg)
{
	lab.opts = lab.defaults;
	lab.thp = NULL;
	lab.ksm = false;
	if (arg && !lua_isnoneornil(L, arg))
		read_options(L, arg);
	lab.log.len = 0;
	machine_begin(&lab.opts);
	lab.up = true;
	lab.nr++;
	lab_rings_begin(lab.opts.cpus);
}

static void boot(lua_State *L, int arg)
{
	struct err_catch c;
	int err;

	lab_end();
	if (setjmp(c.env)) {
		sim_shutdown();
		lab_throw(L, NULL, 0, "boot", c.text);
	}
	err_catch(&c);
	make_machine(L, arg);
	err_catch(NULL);
	err = sim_run(settle, NULL);
	if (err)
		lab_fail(L, -err, "boot", "thp or ksm");
}

static int l_boot(lua_State *L)
{
	if (!lua_isnoneornil(L, 1))
		luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	boot(L, 1);
	return 0;
}

static int l_shutdown(lua_State *L)
{
	(void)L;
	lab_end();
	return 0;
}

void lab_need_machine(lua_State *L)
{
	if (!lab.up)
		boot(L, 0);
}

/* The last lines of the log, on stderr: how the machine broke. */
static void say_log_end(void)
{
	const char *end = lab.log.text + lab.log.len, *at = end;
	u32 lines = 0;

	/* Back to the start of the line that is LOG_LINES before the end. */
	while (at > lab.log.text) {
		if (at < end && at[-1] == '\n' && ++lines == LOG_LINES)
			break;
		at--;
	}
	if (at < end)
		fwrite(at, 1, (size_t)(end - at), stderr);
}

static int l_dmesg(lua_State *L)
{
	lab_need_machine(L);
	lua_pushlstring(L, lab.log.text ? lab.log.text : "", lab.log.len);
	return 1;
}

/* ---- calls
 * ---------------------------------------------------------------------- */

void lab_run(lua_State *L, int (*fn)(void *arg), void *arg)
{
	int ret;

	lab_need_machine(L);
	if (!lab.broken) {
		fflush(stdout);
		ret = sim_run(fn, arg);
		lab_rings_after();
		if (ret != -EDEADLK && ret != -EIO)
			return;
		lab.broken = true;
		say_log_end();
		if (ret == -EIO)
			lab_throw(L, "PANIC", 0, NULL,
				  "the machine panicked; boot() makes "
				  "another");
		lab_throw(L, "EDEADLK", EDEADLK, NULL,
			  "nothing can ever happen again in the machine; "
			  "boot() makes another");
	}
	lab_throw(L, "ENODEV", ENODEV, NULL,
		  "the machine is broken; boot() makes another");
}

static int give_up(lua_State *L, struct lab_call *c)
{
	free(c->buf);
	c->buf = NULL;
	if (c->sig)
		return lab_fail_signal(L, c->sig, c->name, c->sig_what,
				       c->sig_at);
	return lab_fail(L, (int)-c->ret, c->name, c->what);
}

int lab_result(lua_State *L, struct lab_call *c)
{
	int n = 1;

	if (lab_task_died(c)) {
		c->sig = -c->task->code;
		c->sig_what = NULL;
	}
	if (c->ret < 0 || c->sig)
		return give_up(L, c);
	if (c->push)
		n = c->push(L, c);
	else
		lua_pushinteger(L, c->ret);
	free(c->buf);
	c->buf = NULL;
	return n;
}

int lab_do(lua_State *L, struct lab_call *c)
{
	if (lab_take_call(L, c))
		return 0;
	lab_play_call(L, c);
	return lab_result(L, c);
}

/* ---- time
 * -------------------------------------------------------------------- */

static int sleep_ns(void *arg)
{
	u64 end = port_now_ns() + *(const u64 *)arg;

	for (;;) {
		u64 now = port_now_ns();

		if (now >= end)
			return 0;
		port_park(end - now);
	}
}

static int l_step(lua_State *L)
{
	u64 ns = lua_isnoneornil(L, 1) ? 1000000 : lab_time(L, 1);

	lab_run(L, sleep_ns, &ns);
	lua_pushinteger(L, (lua_Integer)sim_now_ns());
	return 1;
}

static int l_now(lua_State *L)
{
	lab_need_machine(L);
	lua_pushinteger(L, (lua_Integer)sim_now_ns());
	return 1;
}

static int l_machine(lua_State *L)
{
	const struct machine_opts *o = &lab.opts;

	lab_need_machine(L);
	lua_newtable(L);
	lua_pushinteger(L, (lua_Integer)o->mem_bytes);
	lua_setfield(L, -2, "mem");
	lua_pushinteger(L, (lua_Integer)o->swap_bytes);
	lua_setfield(L, -2, "swap");
	lua_pushinteger(L, o->cpus);
	lua_setfield(L, -2, "cpus");
	lua_pushinteger(L, o->nodes);
	lua_setfield(L, -2, "nodes");
	lua_pushinteger(L, (lua_Integer)o->seed);
	lua_setfield(L, -2, "seed");
	lua_pushstring(L, machine_format(o)->name);
	lua_setfield(L, -2, "arch");
	lua_pushstring(L, o->policy ? o->policy : "classic");
	lua_setfield(L, -2, "policy");
	return 1;
}

struct audit {
	char text[16384];
	int found;
};

static int do_audit(void *arg)
{
	struct audit *a = arg;
	struct seq_buf s;

	seq_buf_init(&s, a->text, sizeof(a->text));
	a->found = mm_audit(&s);
	(void)seq_buf_str(&s);
	return 0;
}

static int l_audit(lua_State *L)
{
	static struct audit a;

	lab_run(L, do_audit, &a);
	lua_pushinteger(L, a.found);
	lua_pushstring(L, a.text);
	return 2;
}

static int do_digest(void *arg)
{
	*(u64 *)arg = mm_stats_digest();
	return 0;
}

static int l_digest(lua_State *L)
{
	char text[20];
	u64 d = 0;

	lab_run(L, do_digest, &d);
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)d);
	lua_pushstring(L, text);
	return 1;
}

const struct lab_fn lab_machine_fns[] = {
	{"boot", "boot{mem=, swap=, cpus=, nodes=, arch=, policy=, seed=, ...}",
	 "Boot a machine in place of the one there is. Options are those of "
	 "'mmkit boot' (map, numa, kernelcore, movablecore, cma, debug, "
	 "slub_debug, tlb, explore, sysctl, swappiness, swap_file, log), and "
	 "thp=\"always\" and ksm=true. What is left out is as the command "
	 "line of 'mmkit lab' has it. Who needs a machine and has none gets "
	 "one.",
	 "boot{mem=\"64M\", swap=\"64M\", cpus=2, "
	 "sysctl={[\"vm.swappiness\"]=100}}\n"
	 "print(machine().mem, machine().cpus)",
	 l_boot},
	{"shutdown", "shutdown()", "End all tasks and switch the machine off.",
	 "boot{}\nshutdown()", l_shutdown},
	{"machine", "machine() -> table",
	 "What the machine is: mem, swap, cpus, nodes, seed, arch, policy.",
	 "print(machine().arch)", l_machine},
	{"dmesg", "dmesg() -> string",
	 "The machine's log since it booted: the boot, OOM kills, reports. "
	 "boot{log=true} prints it as it comes, too.",
	 "print(dmesg():match(\"Memory:[^\\n]*\"))", l_dmesg},
	{"step", "step([time]) -> now",
	 "Let virtual time pass, 1 ms unless told: nanoseconds, or \"10us\", "
	 "\"5ms\", \"2s\". Daemons and tasks that were started run.",
	 "step(\"10ms\")", l_step},
	{"now", "now() -> nanoseconds", "Virtual time since boot.",
	 "print(now() > 0)", l_now},
	{"audit", "audit() -> findings, text",
	 "Find an owner for every frame: 0 findings is clean.",
	 "local n, text = audit()\nassert(n == 0, text)", l_audit},
	{"digest", "digest() -> string",
	 "A number over all counters: equal histories have equal ones.",
	 "print(#digest())", l_digest},
	{0}};
