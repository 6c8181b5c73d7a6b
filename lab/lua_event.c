/* SPDX-License-Identifier: MIT */
/*
 * lua_event.c - tracepoints in the lab: choosing them, reading what they wrote,
 * and letting the machine run until one comes.
 *
 * The rings are emptied into a log between calls and while the machine runs on
 * towards an event; a script takes the log by events(). Records that a ring
 * overwrote before, and those that the log had no room for, are counted.
 */
#include "lua_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/port.h>

#include "base/trace_ring.h"
#include "err.h"
#include "events.h"
#include "report/trace_show.h"
#include "sim.h"
#include "space/space.h"

#define RING_RECORDS (1u << 18)
#define LOG_RECORDS  (1u << 20)
#define POLL_NS	     2000u
#define WITHIN_NS    1000000000u

static struct {
	struct trace_record *ring[MM_NR_CPUS], *log;
	u32 cpus, nr, max;
	u64 lost;
	bool on[NR_TRACE_EVENTS]; /* by trace() */
	int wanted;		  /* by run_until(), or -1 */
	bool follow;		  /* a page's life is told */
	u64 follow_mm;		  /* the serial of its space, or 0 */
	bool came;
	struct trace_record which;
} ev = {.wanted = -1};

/* ---- rings
 * ------------------------------------------------------------------------ */

static void attach(void)
{
	for (u32 i = 0; i < ev.cpus; i++)
		trace_ring_attach((int)i, ev.ring[i], RING_RECORDS);
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++)
		if (ev.on[i] || (int)i == ev.wanted)
			trace_enable((enum trace_event)i);
	if (ev.follow)
		follow_enable();
}

void lab_rings_begin(u32 cpus)
{
	ev.cpus = cpus;
	for (u32 i = 0; i < cpus; i++) {
		ev.ring[i] = calloc(RING_RECORDS, sizeof(*ev.ring[i]));
		if (!ev.ring[i])
			err_die("no memory for the tracepoints' rings");
	}
	attach();
}

void lab_rings_end(void)
{
	if (ev.follow)
		follow_end();
	trace_enable_mask(0);
	for (u32 i = 0; i < ev.cpus; i++) {
		trace_ring_attach((int)i, NULL, 0);
		free(ev.ring[i]);
	}
	free(ev.log);
	memset(&ev, 0, sizeof(ev));
	ev.wanted = -1;
}

/* True: there is room for one more in the log. */
static bool grow(void)
{
	u32 max = ev.max ? ev.max * 2 : 1024;
	void *p;

	if (ev.nr < ev.max)
		return true;
	p = max > LOG_RECORDS ? NULL : realloc(ev.log, max * sizeof(*ev.log));
	if (!p)
		return false;
	ev.log = p;
	ev.max = max;
	return true;
}

static void take(const struct trace_record *r)
{
	if (ev.follow)
		follow_record(r, ev.follow_mm);
	if (r->event == ev.wanted && !ev.came) {
		ev.came = true;
		ev.which = *r;
	}
	if (!ev.on[r->event])
		return;
	if (grow())
		ev.log[ev.nr++] = *r;
	else
		ev.lost++;
}

/* What the rings hold goes to the log. Nothing is being traced meanwhile. */
static void drain(void)
{
	struct trace_cursor c;
	struct trace_record r;

	trace_enable_mask(0);
	for (u32 i = 0; i < ev.cpus; i++)
		ev.lost += trace_lost((int)i);
	trace_cursor_init(&c);
	while (trace_cursor_next(&c, &r))
		take(&r);
	attach();
}

void lab_rings_after(void)
{
	if (ev.follow)
		drain();
}

/* ---- names
 * ------------------------------------------------------------------------ */

static bool word_is(const char *word, size_t len, const char *name)
{
	return strlen(name) == len && !memcmp(word, name, len);
}

/* WORD is "kmem", "kmem:mm_page_alloc", "mm_page_alloc", the end of a name
 * from a _ on ("kswapd_wake"), or "all". */
static bool named(u32 event, const char *word, size_t len)
{
	const struct trace_event_info *e = trace_event_info(event);
	size_t sys = strlen(e->system), n = strlen(e->name);

	if (event == TRACE_TEST_EVENT)
		return false;
	if (word_is(word, len, "all") || word_is(word, len, e->system) ||
	    word_is(word, len, e->name))
		return true;
	if (len > sys && !memcmp(word, e->system, sys) && word[sys] == ':')
		return word_is(word + sys + 1, len - sys - 1, e->name);
	return n > len && e->name[n - len - 1] == '_' &&
	       word_is(word, len, e->name + n - len);
}

static int unknown_event(lua_State *L, const char *word, size_t len)
{
	const char *names[NR_TRACE_EVENTS], *near;
	char text[64], why[160];

	snprintf(text, sizeof(text), "%.*s", (int)len, word);
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++)
		names[i] = trace_event_info(i)->name;
	near = err_suggest(text, names, NR_TRACE_EVENTS);
	snprintf(why, sizeof(why), "no event '%s'%s%s%s", text,
		 near ? ": did you mean '" : "", near ? near : "",
		 near ? "'?" : "");
	return lab_throw(L, "ENOENT", ENOENT, NULL, why);
}

static void choose(lua_State *L, const char *list)
{
	for (list += strspn(list, ", "); *list; list += strspn(list, ", ")) {
		size_t len = strcspn(list, ", ");
		bool any = false;

		for (u32 i = 0; i < NR_TRACE_EVENTS; i++)
			if (named(i, list, len))
				ev.on[i] = any = true;
		if (!any)
			unknown_event(L, list, len);
		list += len;
	}
}

/* ---- the log
 * ---------------------------------------------------------------------- */

static int l_trace(lua_State *L)
{
	lab_need_machine(L);
	drain();
	if (lua_isnoneornil(L, 1) || !lua_toboolean(L, 1))
		memset(ev.on, 0, sizeof(ev.on));
	else
		choose(L, luaL_checkstring(L, 1));
	trace_enable_mask(0);
	attach();
	return 0;
}

static void push_fields(lua_State *L, const struct trace_record *r)
{
	struct trace_field_info f[TRACE_ARGS];
	u32 nr = trace_fields(r->event, f);

	for (u32 i = 0; i < nr; i++) {
		const u64 *word = &r->arg[f[i].word];
		const char *text = (const char *)word;

		lua_pushstring(L, f[i].name);
		if (f[i].words > 1)
			lua_pushlstring(L, text, strnlen(text, f[i].words * 8));
		else
			lua_pushinteger(L, (lua_Integer)*word);
		lua_rawset(L, -3);
	}
}

static void push_record(lua_State *L, const struct trace_record *r)
{
	const struct lab_task *t = lab_next_task(NULL);
	char who[40], text[512];

	while (t && (u32)t->pid != r->pid)
		t = lab_next_task(t);
	lua_newtable(L);
	push_fields(L, r);
	lua_pushinteger(L, (lua_Integer)r->ns);
	lua_setfield(L, -2, "ns");
	lua_pushinteger(L, r->cpu);
	lua_setfield(L, -2, "cpu");
	lab_set_str(L, "event", trace_event_info(r->event)->name);
	lab_set_str(L, "who", t ? t->name : events_who(r, who, sizeof(who)));
	lab_set_str(L, "text", events_fields(r, text, sizeof(text)));
}

static int l_events(lua_State *L)
{
	lab_need_machine(L);
	drain();
	lua_createtable(L, (int)ev.nr, 0);
	for (u32 i = 0; i < ev.nr; i++) {
		push_record(L, &ev.log[i]);
		lua_seti(L, -2, (lua_Integer)i + 1);
	}
	lua_pushinteger(L, (lua_Integer)ev.lost);
	ev.nr = 0;
	ev.lost = 0;
	return 2;
}

static int l_event_names(lua_State *L)
{
	lua_Integer n = 0;

	lua_newtable(L);
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		if (i == TRACE_TEST_EVENT)
			continue;
		lua_pushfstring(L, "%s:%s", trace_event_info(i)->system,
				trace_event_info(i)->name);
		lua_seti(L, -2, ++n);
	}
	return 1;
}

/* ---- the life of a page
 * --------------------------------------------------------------- */

static int l_unfollow(lua_State *L)
{
	(void)L;
	if (!ev.follow)
		return 0;
	drain();
	follow_end();
	ev.follow = false;
	return 0;
}

static int follow(lua_State *L, const struct events_opts *o, u64 mm)
{
	l_unfollow(L);
	drain();
	follow_begin(o, stdout);
	ev.follow = true;
	ev.follow_mm = mm;
	attach();
	return 0;
}

static int l_follow(lua_State *L)
{
	const struct lab_task *t = lab_check_task(L, 1);
	struct events_opts o = {.follow = true, .task = (u32)t->pid};

	o.address = lab_size(L, 2) & PAGE_MASK;
	return follow(L, &o, t->mm->serial);
}

static int l_follow_frame(lua_State *L)
{
	struct events_opts o = {.follow = true, .by_pfn = true};

	o.pfn = (u64)luaL_checkinteger(L, 1);
	lab_need_machine(L);
	return follow(L, &o, 0);
}

/* ---- running until
 * -------------------------------------------------------------------- */

/* The only event that WORD names; the first, of several. */
static int one_event(lua_State *L, const char *word)
{
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++)
		if (named(i, word, strlen(word)))
			return (int)i;
	return unknown_event(L, word, strlen(word));
}

static int play_until(void *arg)
{
	u64 end = port_now_ns() + *(const u64 *)arg;

	while (!ev.came && port_now_ns() < end) {
		port_park(POLL_NS);
		drain();
	}
	return 0;
}

/* The function at 3 is called until the event came, or it says false. */
static void call_until(lua_State *L)
{
	for (drain(); !ev.came; drain()) {
		lua_pushvalue(L, 3);
		lua_call(L, 0, 1);
		if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) {
			drain();
			return;
		}
		lua_pop(L, 1);
	}
}

static int until(lua_State *L)
{
	u64 within = WITHIN_NS;

	if (lua_isfunction(L, 3)) {
		call_until(L);
		return 0;
	}
	if (!lua_isnoneornil(L, 2))
		within = lab_time(L, 2);
	lab_run(L, play_until, &within);
	return 0;
}

/* run_until(event, [time]) or run_until(event, function). */
static int l_run_until(lua_State *L)
{
	const char *word = luaL_checkstring(L, 1);
	int err;

	lab_need_machine(L);
	if (lua_isfunction(L, 2)) {
		lua_pushnil(L);
		lua_insert(L, 2);
	}
	lua_settop(L, 3);
	drain();
	ev.wanted = one_event(L, word);
	ev.came = false;
	attach();
	lua_pushcfunction(L, until);
	lua_insert(L, 1);
	err = lua_pcall(L, 3, 0, 0);
	ev.wanted = -1;
	if (lab_boot_nr())
		drain();
	if (err)
		return lua_error(L);
	if (!ev.came)
		return 0;
	push_record(L, &ev.which);
	return 1;
}

const struct lab_fn lab_event_fns[] = {
	{"trace", "trace([\"kmem,vmscan,swap_out\"])",
	 "Write down these events from now on, systems or single ones, \"all\"; "
	 "without argument none any more.",
	 "trace(\"exceptions\")", l_trace},
	{"events", "events() -> list, lost",
	 "The events since the last time, in the order of time: ns, cpu, who, "
	 "event, text, and their fields by name.",
	 "t = spawn()\na = t:mmap(\"4K\")\ntrace(\"page_fault_user\")\n"
	 "t:touch(a)\nprint(events()[1].text)",
	 l_events},
	{"event_names", "event_names() -> list", "All events, \"system:name\".",
	 "print(#event_names())", l_event_names},
	{"task:follow", "task:follow(addr)",
	 "Tell the life of the page that the task will have at the address, "
	 "event by event with time and cause: begin before it is touched. One "
	 "at a time, until unfollow().",
	 "t = spawn()\na = t:mmap(\"4K\")\nt:follow(a)\n"
	 "t:poke(a, 1)\nt:munmap(a, \"4K\")\nunfollow()",
	 l_follow},
	{"follow_frame", "follow_frame(pfn)",
	 "The same of a frame, whoever has it.",
	 "pfn = alloc_pages(0)\nfollow_frame(pfn)\nfree_pages(pfn, 0)\n"
	 "unfollow()",
	 l_follow_frame},
	{"unfollow", "unfollow()", "No page is followed any more.",
	 "unfollow()", l_unfollow},
	{"run_until", "run_until(event, [time] or [function]) -> event or nil",
	 "Let the machine run until the event comes, for up to 1 s or TIME of "
	 "virtual time; or call the function again and again until it came or "
	 "the function says false. The end of a name will do: "
	 "\"kswapd_wake\".",
	 "boot{mem=\"32M\", swap=\"64M\"}\nt = spawn()\n"
	 "a = t:mmap(\"64M\")\np = a\n"
	 "e = run_until(\"kswapd_wake\", function() "
	 "t:touch(p, 1, \"w\") p = p + 4096 end)\n"
	 "print(e.event, e.nid)",
	 l_run_until},
	{0}};
