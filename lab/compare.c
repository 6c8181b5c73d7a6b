/* SPDX-License-Identifier: MIT */
/*
 * compare.c - two files of results, read and put into pairs.
 *
 * 1. What can be read: JSON of the schema mmkit.replay/1, which replay and run
 *    write; each holds a list of runs. Anything else is refused with the file,
 *    and where it is no JSON at all, the line.
 *
 * 2. Pairs. With as many runs in both files the first belongs to the first,
 *    and so on: whoever repeats a command with one option changed compares
 *    what that option did, and it may be any. Otherwise runs belong together
 *    that have the same policy and the same memory (the percentage where one
 *    was asked for); the rest is counted as alone.
 *
 * 3. Rows are the figures that people look at, in the order in which replay
 *    prints them; a figure that neither run has (a guest knows of no optimum)
 *    is no row. What the largest tasks and control groups had at most comes
 *    behind them, by name. With all of them, the counters of vmstat follow.
 */
#include "compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "err.h"

static const struct {
	const char *name, *key;
	enum compare_kind kind;
} figures[] = {
	{"memory", "mem_bytes", COMPARE_SIZE},
	{"swap", "swap_bytes", COMPARE_SIZE},
	{"references", "references", COMPARE_COUNT},
	{"footprint, pages", "footprint_pages", COMPARE_COUNT},
	{"peak use, pages", "peak_user_pages", COMPARE_COUNT},
	{"largest process", "maxrss_bytes", COMPARE_SIZE},
	{"minor faults", "minor_faults", COMPARE_COUNT},
	{"major faults", "major_faults", COMPARE_COUNT},
	{"page-ins", "pageins", COMPARE_COUNT},
	{"optimum's page-ins", "min_pageins", COMPARE_COUNT},
	{"page-ins / optimum", "pageins_over_min", COMPARE_REAL},
	{"swapped out", "vmstat.pswpout", COMPARE_COUNT},
	{"swapped in", "vmstat.pswpin", COMPARE_COUNT},
	{"scanned by kswapd", "vmstat.pgscan_kswapd", COMPARE_COUNT},
	{"scanned directly", "vmstat.pgscan_direct", COMPARE_COUNT},
	{"reclaimed by kswapd", "vmstat.pgsteal_kswapd", COMPARE_COUNT},
	{"reclaimed directly", "vmstat.pgsteal_direct", COMPARE_COUNT},
	{"looked at / reclaimed", "scanned_per_reclaimed", COMPARE_REAL},
	{"activated", "vmstat.pgactivate", COMPARE_COUNT},
	{"deactivated", "vmstat.pgdeactivate", COMPARE_COUNT},
	{"refaults, anonymous", "vmstat.workingset_refault_anon",
	 COMPARE_COUNT},
	{"refaults, file", "vmstat.workingset_refault_file", COMPARE_COUNT},
	{"OOM kills", "vmstat.oom_kill", COMPARE_COUNT},
	{"TLB hits", "tlb_hits", COMPARE_COUNT},
	{"TLB misses", "tlb_misses", COMPARE_COUNT},
	{"stalled for memory, ms", "stall_ns", COMPARE_MS},
	{"virtual time, ms", "virtual_ns", COMPARE_MS},
	{"guest's time, ms", "guest_ns", COMPARE_MS},
	{"user time, ms", "user_ns", COMPARE_MS},
	{"system time, ms", "sys_ns", COMPARE_MS},
	{"wall time, ms", "wall_ns", COMPARE_MS},
};

/* ---- files
 * ------------------------------------------------------------------ */

static void load(struct compare_file *f, const char *path)
{
	json_error_t e;
	const char *schema;

	f->path = path;
	f->root = json_load_file(path, 0, &e);
	if (!f->root && e.line < 0)
		err_die("%s", e.text); /* it names the file */
	if (!f->root)
		err_die("%s: line %d: no JSON: %s", path, e.line, e.text);
	schema = json_string_value(json_object_get(f->root, "schema"));
	if (!schema)
		err_die("%s: no results of mmkit: it names no schema", path);
	if (strcmp(schema, "mmkit.replay/1"))
		err_die("%s: its schema is %.64s, not mmkit.replay/1", path,
			schema);
	f->runs = json_object_get(f->root, "runs");
	if (!json_is_array(f->runs) || !json_array_size(f->runs))
		err_die("%s: there is no run in it", path);
	for (size_t i = 0; i < json_array_size(f->runs); i++)
		if (!json_is_object(json_array_get(f->runs, i)))
			err_die("%s: run %zu is no object", path, i + 1);
}

static u64 number(const json_t *run, const char *key)
{
	const json_t *v = json_object_get(run, key);

	return json_is_integer(v) ? (u64)json_integer_value(v) : 0;
}

static const char *text(const json_t *run, const char *key)
{
	const char *s = json_string_value(json_object_get(run, key));

	return s ? s : "";
}

/* ---- one pair
 * ------------------------------------------------------------------ */

/* "classic, 16M, x86-64, 2 CPUs, seed 7", and of a guest its program. */
static void put_label(char label[COMPARE_LABEL], const json_t *run)
{
	const char *program = json_string_value(
		json_array_get(json_object_get(run, "program"), 0));
	u64 cpus = number(run, "cpus");
	char size[24];
	size_t at;

	args_size_text(size, number(run, "mem_bytes"));
	at = (size_t)snprintf(label, COMPARE_LABEL,
			      "%.16s, %s, %.16s, %llu CPU%s",
			      text(run, "policy"), size, text(run, "arch"),
			      (unsigned long long)cpus, cpus == 1 ? "" : "s");
	if (json_is_integer(json_object_get(run, "seed")))
		snprintf(label + at, COMPARE_LABEL - at, ", seed %llu",
			 (unsigned long long)number(run, "seed"));
	else if (program)
		snprintf(label + at, COMPARE_LABEL - at, ", %.100s", program);
}

static bool value(const json_t *run, const char *key, double *v)
{
	const json_t *j;

	if (!strncmp(key, "vmstat.", 7))
		j = json_object_get(json_object_get(run, "vmstat"), key + 7);
	else
		j = json_object_get(run, key);
	if (!json_is_number(j))
		return false;
	*v = json_number_value(j);
	return true;
}

static void add_row(struct compare_pair *p, json_t *const run[2],
		    const char *name, const char *key, enum compare_kind kind)
{
	struct compare_row *r = &p->rows[p->nr];

	if (p->nr == COMPARE_MAX_ROWS)
		return;
	*r = (struct compare_row){.name = name, .key = key, .kind = kind};
	for (int k = 0; k < 2; k++)
		r->has[k] = value(run[k], key, &r->v[k]);
	if (r->has[0] || r->has[1])
		p->nr++;
}

static bool has_row(const struct compare_pair *p, const char *counter)
{
	for (u32 i = 0; i < p->nr; i++)
		if (!strncmp(p->rows[i].key, "vmstat.", 7) &&
		    !strcmp(p->rows[i].key + 7, counter))
			return true;
	return false;
}

/* Counters of either that are not 0 in both and have no row yet. */
static void add_counters(struct compare_pair *p, json_t *const run[2])
{
	for (int k = 0; k < 2; k++) {
		json_t *v = json_object_get(run[k], "vmstat"), *one;
		const char *name;

		json_object_foreach(v, name, one)
		{
			u32 nr = p->nr;
			char *key;

			if (has_row(p, name))
				continue;
			if (asprintf(&key, "vmstat.%s", name) < 0)
				err_die("no memory");
			add_row(p, run, name, key, COMPARE_COUNT);
			if (p->nr > nr && !p->rows[nr].v[0] &&
			    !p->rows[nr].v[1])
				p->nr--;
			if (p->nr == nr)
				free(key);
		}
	}
}

/* ---- tasks and groups
 * ------------------------------------------------------------------ */

#define OWNERS_SHOWN 8u /* of each kind */

/* "NAME (PID)" without the number, which is another in each run. */
static size_t base_length(const char *name)
{
	const char *paren = strstr(name, " (");

	return paren && strspn(paren + 2, "0123456789)") == strlen(paren + 2)
		       ? (size_t)(paren - name)
		       : strlen(name);
}

/* The most that any owner of the NAME had of FIGURE; false: there is none. */
static bool owner_value(const json_t *list, const char *name, size_t len,
			const char *figure, double *v)
{
	bool any = false;
	size_t i;
	json_t *o;

	*v = 0;
	json_array_foreach(list, i, o)
	{
		const char *its = text(o, "name");
		json_t *j = json_object_get(o, figure);

		if (base_length(its) != len || strncmp(its, name, len) ||
		    !json_is_number(j))
			continue;
		*v = max(*v, json_number_value(j));
		any = true;
	}
	return any;
}

/* KIND is tasks or groups; the row's key is "KIND.NAME.FIGURE". */
static void add_owner(struct compare_pair *p, json_t *const run[2],
		      const char *kind, const char *name, const char *figure)
{
	struct compare_row *r = &p->rows[p->nr];
	int len = (int)base_length(name);
	char *key, *label;

	if (p->nr == COMPARE_MAX_ROWS)
		return;
	if (asprintf(&key, "%s.%.*s.%s", kind, len, name, figure) < 0 ||
	    asprintf(&label, "%.*s, %.*s", len, name, (int)strcspn(figure, "_"),
		     figure) < 0)
		err_die("no memory");
	*r = (struct compare_row){
		.name = label, .key = key, .kind = COMPARE_SIZE};
	for (int k = 0; k < 2; k++)
		r->has[k] = owner_value(json_object_get(run[k], kind), name,
					(size_t)len, figure, &r->v[k]);
	p->nr++;
}

static bool has_owner(const struct compare_pair *p, const char *kind,
		      const char *name)
{
	char key[256];
	int n = snprintf(key, sizeof(key), "%s.%.*s.", kind,
			 (int)base_length(name), name);

	for (u32 i = 0; i < p->nr; i++)
		if (!strncmp(p->rows[i].key, key, (size_t)n))
			return true;
	return false;
}

/* The largest of both, and of several of one name the largest. */
static void add_owners(struct compare_pair *p, json_t *const run[2],
		       const char *kind, const char *const figure[2])
{
	u32 shown = 0;

	for (int k = 0; k < 2; k++) {
		json_t *list = json_object_get(run[k], kind), *o;
		size_t i;

		json_array_foreach(list, i, o)
		{
			const char *name = text(o, "name");

			if (shown == OWNERS_SHOWN || has_owner(p, kind, name))
				continue;
			for (int f = 0; f < 2; f++)
				add_owner(p, run, kind, name, figure[f]);
			shown++;
		}
	}
}

static void add_all_owners(struct compare_pair *p, json_t *const run[2])
{
	static const char *const of_task[] = {"peak_bytes", "swap_bytes"};
	static const char *const of_group[] = {"current_bytes", "swap_bytes"};

	add_owners(p, run, "tasks", of_task);
	add_owners(p, run, "groups", of_group);
}

static void add_pair(struct compare *c, json_t *a, json_t *b)
{
	struct compare_pair *p = &c->pairs[c->nr];
	json_t *const run[2] = {a, b};

	if (c->nr == COMPARE_MAX_PAIRS)
		err_die("more than %d runs", COMPARE_MAX_PAIRS);
	p->rows = calloc(COMPARE_MAX_ROWS, sizeof(*p->rows));
	if (!p->rows)
		err_die("no memory");
	c->nr++;
	for (int k = 0; k < 2; k++)
		put_label(p->label[k], run[k]);
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		add_row(p, run, figures[i].name, figures[i].key,
			figures[i].kind);
	add_all_owners(p, run);
	if (c->all)
		add_counters(p, run);
	if (number(a, "references") != number(b, "references"))
		snprintf(c->note, sizeof(c->note),
			 "the runs made different numbers of references: they "
			 "are not of one program, or not of one recording");
}

/* ---- which with which
 * ------------------------------------------------------------------ */

static bool belongs(const json_t *a, const json_t *b)
{
	u64 pa = number(a, "mem_percent"), pb = number(b, "mem_percent");

	if (strcmp(text(a, "policy"), text(b, "policy")) || pa != pb)
		return false;
	return pa || number(a, "mem_bytes") == number(b, "mem_bytes");
}

static void pair_by_kind(struct compare *c)
{
	json_t *as = c->file[0].runs, *bs = c->file[1].runs;
	size_t nr = json_array_size(bs);
	bool *taken = calloc(nr, sizeof(*taken));

	if (!taken)
		err_die("no memory");
	for (size_t i = 0; i < json_array_size(as); i++) {
		size_t k = 0;

		while (k < nr && (taken[k] || !belongs(json_array_get(as, i),
						       json_array_get(bs, k))))
			k++;
		if (k == nr) {
			c->alone[0]++;
			continue;
		}
		taken[k] = true;
		add_pair(c, json_array_get(as, i), json_array_get(bs, k));
	}
	c->alone[1] = (u32)nr - c->nr;
	free(taken);
}

void compare_load(struct compare *c, const char *a, const char *b)
{
	size_t nr;

	load(&c->file[0], a);
	load(&c->file[1], b);
	nr = json_array_size(c->file[0].runs);
	c->pairs = calloc(COMPARE_MAX_PAIRS, sizeof(*c->pairs));
	if (!c->pairs)
		err_die("no memory");
	if (nr != json_array_size(c->file[1].runs)) {
		pair_by_kind(c);
		if (!c->nr)
			err_die("%s has %zu runs, %s %zu, and none of equal "
				"policy and memory",
				a, nr, b, json_array_size(c->file[1].runs));
		return;
	}
	for (size_t i = 0; i < nr; i++)
		add_pair(c, json_array_get(c->file[0].runs, i),
			 json_array_get(c->file[1].runs, i));
}

/* Keys of all counters are ours, those of the figures are not. */
static bool is_figure(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (figures[i].key == key)
			return true;
	return false;
}

/* A counter's name is in the file, an owner's row has one of its own. */
static void free_row(struct compare_row *r)
{
	if (is_figure(r->key))
		return;
	if (strncmp(r->key, "vmstat.", 7))
		free((void *)r->name);
	free((void *)r->key);
}

void compare_free(struct compare *c)
{
	for (u32 i = 0; i < c->nr; i++) {
		for (u32 k = 0; k < c->pairs[i].nr; k++)
			free_row(&c->pairs[i].rows[k]);
		free(c->pairs[i].rows);
	}
	free(c->pairs);
	json_decref(c->file[0].root);
	json_decref(c->file[1].root);
}
