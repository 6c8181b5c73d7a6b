/* SPDX-License-Identifier: MIT */
/*
 * replay_memcg.c - "mmkit replay --memcg": what would a program's processes
 * cost each other, and themselves, in groups with limits?
 *
 * Each task of the trace that a rule names, or all of them, runs in a group of
 * its own with memory.max as said. What it is the first to use is charged to
 * it: of memory that a fork shares, or threads, the first one pays. The figures
 * of each group are those of its files when the trace is over: what it had at
 * most, pages that came back after they had been taken (memory.stat's
 * workingset_refault_*), major faults, how often it was at its limit, kills in
 * it, and the time that its tasks lost (memory.pressure).
 */
#include "replay_memcg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/memcg.h>

#include "err.h"
#include "replay.h"

typedef unsigned long long ull;

/* ---- options
 * ------------------------------------------------------------------------ */

static u64 parse_limit(const char *word)
{
	struct args_error e;
	u64 v;

	if (!strcmp(word, "max"))
		return 0;
	if (!args_size(word, &v, &e))
		err_usage("--memcg: %s", e.text);
	if (v < PAGE_SIZE)
		err_usage("--memcg: '%s': less than a page", word);
	return v;
}

static void parse_rule(struct memcg_opts *o, char *word)
{
	char *equal = strchr(word, '=');
	struct args_error e;
	u64 task;

	if (!equal) {
		if (o->all)
			err_usage("--memcg: two limits for all tasks");
		o->all = true;
		o->all_bytes = parse_limit(word);
		return;
	}
	*equal = '\0';
	if (!args_count(word, 0, TRACE_MAX_TASKS - 1, &task, &e))
		err_usage("--memcg: task: %s", e.text);
	for (u32 i = 0; i < o->nr; i++)
		if (o->rule[i].task == task)
			err_usage("--memcg: task %s twice", word);
	if (o->nr == MEMCG_RULES)
		err_usage("--memcg: at most %d tasks", MEMCG_RULES);
	o->rule[o->nr].task = (u32)task;
	o->rule[o->nr++].bytes = parse_limit(equal + 1);
}

void memcg_parse(struct memcg_opts *o, const char *arg)
{
	char *list = strdup(arg), *rest = list, *word;

	if (!list)
		err_die("no memory");
	while ((word = strsep(&rest, ",")))
		parse_rule(o, word);
	free(list);
}

/* Has task ID a group? *BYTES: its limit, 0: none. */
static bool rule_for(const struct memcg_opts *o, u32 id, u64 *bytes)
{
	for (u32 i = 0; i < o->nr; i++) {
		if (o->rule[i].task != id)
			continue;
		*bytes = o->rule[i].bytes;
		return true;
	}
	*bytes = o->all_bytes;
	return o->all;
}

/* ---- groups
 * ------------------------------------------------------------------------- */

void memcg_task(const struct memcg_opts *o, struct replay_result *res,
		struct mm_task *task, u32 id)
{
	struct memcg_result *m = &res->memcg;
	char text[24];
	u64 bytes;
	u16 group;
	int err;

	m->asked = o->all || o->nr;
	if (!rule_for(o, id, &bytes))
		return;
	/* Only what is shown has to be known at the end. */
	if (m->nr >= MEMCG_SHOWN)
		err_die("--memcg: more than %d tasks have a group; name those "
			"that matter",
			MEMCG_SHOWN);
	err = memcg_create(0, &group);
	if (!err && bytes) {
		snprintf(text, sizeof(text), "%llu", (ull)bytes);
		err = memcg_write(group, "memory.max", text);
	}
	if (!err)
		err = memcg_attach(task, group);
	if (err)
		err_die("--memcg: no group for task %u: %s", id,
			strerror(-err));
	m->row[m->nr++] = (struct memcg_row){
		.task = id, .id = group, .limited = bytes != 0, .max = bytes};
}

/* The figure behind KEY (NULL: the only one) in the group's FILE. */
static u64 figure(u16 id, const char *file, const char *key)
{
	static char text[8192];
	const char *at = text;
	size_t len = key ? strlen(key) : 0;

	if (memcg_read(id, file, text, sizeof(text)) <= 0)
		err_die("--memcg: %s cannot be read", file);
	while (key && at && (strncmp(at, key, len) || at[len] != ' ')) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		err_die("--memcg: %s has no %s", file, key);
	return strtoull(at + len, NULL, 10);
}

static u64 limit(u16 id, const char *file)
{
	char text[32];

	if (memcg_read(id, file, text, sizeof(text)) <= 0)
		err_die("--memcg: %s cannot be read", file);
	return strncmp(text, "max", 3) ? strtoull(text, NULL, 10) : SHARES_NONE;
}

void memcg_look(const struct memcg_row *row, u64 v[SHARES_KINDS])
{
	v[SHARE_CURRENT] = figure(row->id, "memory.current", NULL);
	v[SHARE_SWAPPED] = figure(row->id, "memory.swap.current", NULL);
	v[SHARE_HIGH] = limit(row->id, "memory.high");
	v[SHARE_MAX] = limit(row->id, "memory.max");
}

static u64 time_lost(u16 id, const char *kind)
{
	char text[256];
	const char *at;

	if (memcg_read(id, "memory.pressure", text, sizeof(text)) <= 0 ||
	    !(at = strstr(text, kind)) || !(at = strstr(at, "total=")))
		err_die("--memcg: memory.pressure cannot be read");
	return strtoull(at + 6, NULL, 10);
}

void memcg_collect(struct replay_result *res)
{
	for (u32 i = 0; i < res->memcg.nr; i++) {
		struct memcg_row *r = &res->memcg.row[i];

		r->peak = figure(r->id, "memory.peak", NULL);
		r->swap_peak = figure(r->id, "memory.swap.peak", NULL);
		r->refaults =
			figure(r->id, "memory.stat",
			       "workingset_refault_anon") +
			figure(r->id, "memory.stat", "workingset_refault_file");
		r->major = figure(r->id, "memory.stat", "pgmajfault");
		r->scanned = figure(r->id, "memory.stat", "pgscan");
		r->reclaimed = figure(r->id, "memory.stat", "pgsteal");
		r->at_max = figure(r->id, "memory.events", "max");
		r->kills = figure(r->id, "memory.events", "oom_kill");
		r->some_us = time_lost(r->id, "some");
		r->full_us = time_lost(r->id, "full");
	}
}

void memcg_end(struct replay_result *res)
{
	for (u32 i = 0; i < res->memcg.nr; i++)
		if (memcg_remove(res->memcg.row[i].id))
			err_die("--memcg: a group is not empty at the end");
}

/* ---- output
 * ------------------------------------------------------------------------- */

static void print_row(const struct memcg_row *r)
{
	char max[24] = "max";

	if (r->limited)
		args_size_text(max, r->max);
	printf("%6u %10s %9lluK %9lluK %10llu %8llu %10llu %8llu %6llu %10.1f\n",
	       r->task, max, (ull)r->peak >> 10, (ull)r->swap_peak >> 10,
	       (ull)r->refaults, (ull)r->major, (ull)r->reclaimed,
	       (ull)r->at_max, (ull)r->kills, (double)r->some_us / 1000);
}

void memcg_print(const struct replay_result *runs, u32 nr)
{
	char mem[24];

	for (u32 i = 0; i < nr; i++) {
		const struct memcg_result *m = &runs[i].memcg;

		if (!m->asked)
			continue;
		args_size_text(mem, runs[i].mem_bytes);
		printf("groups with %s of memory:\n"
		       "  task memory.max       peak  swap peak   refaults    "
		       "major  reclaimed   at max  kills    lost ms\n",
		       mem);
		for (u32 g = 0; g < m->nr; g++)
			print_row(&m->row[g]);
	}
}

json_t *memcg_json(const struct replay_result *r)
{
	json_t *list = json_array();

	for (u32 i = 0; i < r->memcg.nr; i++) {
		const struct memcg_row *g = &r->memcg.row[i];
		json_t *o = json_pack(
			"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			"s:I}",
			"task", (json_int_t)g->task, "peak",
			(json_int_t)g->peak, "swap_peak",
			(json_int_t)g->swap_peak, "refaults",
			(json_int_t)g->refaults, "pgmajfault",
			(json_int_t)g->major, "pgscan", (json_int_t)g->scanned,
			"pgsteal", (json_int_t)g->reclaimed, "max_events",
			(json_int_t)g->at_max, "oom_kills",
			(json_int_t)g->kills, "some_us", (json_int_t)g->some_us,
			"full_us", (json_int_t)g->full_us);

		json_object_set_new(o, "max",
				    g->limited
					    ? json_integer((json_int_t)g->max)
					    : json_null());
		json_array_append_new(list, o);
	}
	return list;
}
