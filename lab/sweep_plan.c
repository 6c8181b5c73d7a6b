/* SPDX-License-Identifier: MIT */
/*
 * sweep_plan.c - the lists of a sweep, and the file that they are kept in.
 *
 * Every word is brought into one form when it is read (64m and 65536K are 64M),
 * so that two plans are the same sweep if their texts are the same. A trace is
 * known by its place, its size and a sum over its bytes: figures of another
 * file must not stand in one table with those of the first.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "args.h"
#include "err.h"
#include "machine.h"
#include "page.h"
#include "policy.h"
#include "sweep.h"
#include "trace.h"

#define SCHEMA "mmkit.sweep/1"

static const char *const dim_names[] = {
	[SWEEP_TRACE] = "trace", [SWEEP_SWAP] = "swap",
	[SWEEP_CPUS] = "cpus",	 [SWEEP_THP] = "thp",
	[SWEEP_KSM] = "ksm",	 [SWEEP_POLICY] = "policy",
	[SWEEP_MEM] = "mem",	 [SWEEP_SEED] = "seed",
};

const char *sweep_dim_name(enum sweep_dim d)
{
	return dim_names[d];
}

char *sweep_printf(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		err_die("no memory");
	va_end(ap);
	return text;
}

/* ---- lists
 * ---------------------------------------------------------------------- */

static void words_add(struct sweep_list *l, char *word)
{
	l->v = realloc(l->v, (l->nr + 1) * sizeof(*l->v));
	if (!l->v)
		err_die("no memory");
	l->v[l->nr++] = word;
}

static void words_free(struct sweep_list *l)
{
	for (u32 i = 0; i < l->nr; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct sweep_list){0};
}

static char *size_word(const char *name, const char *word)
{
	struct args_error e;
	char text[24];
	u64 v;

	if (!args_size(word, &v, &e))
		err_usage("--%s: %s", name, e.text);
	args_size_text(text, v);
	return sweep_printf("%s", text);
}

static char *count_word(const char *name, const char *word, u64 lo, u64 hi)
{
	struct args_error e;
	u64 v;

	if (!args_count(word, lo, hi, &v, &e))
		err_usage("--%s: %s", name, e.text);
	return sweep_printf("%llu", (unsigned long long)v);
}

static char *mem_word(const char *word)
{
	size_t len = strlen(word);
	char number[64], *text;

	if (!len || word[len - 1] != '%')
		return size_word("mem", word);
	snprintf(number, sizeof(number), "%.*s", (int)(len - 1), word);
	text = count_word("mem: percent", number, 1, 200);
	snprintf(number, sizeof(number), "%s%%", text);
	free(text);
	return sweep_printf("%s", number);
}

/* A policy in a file must be found from other folders too. */
static char *policy_word(const char *word)
{
	char *path;

	(void)policy_find(word);
	if (!strchr(word, '/'))
		return sweep_printf("%s", word);
	path = realpath(word, NULL);
	if (!path)
		err_die("--policy: %s: %s", word, strerror(errno));
	return path;
}

static char *choice_word(const char *name, const char *word,
			 const char *const *choices, size_t nr)
{
	const char *near;

	for (size_t i = 0; i < nr; i++)
		if (!strcmp(word, choices[i]))
			return sweep_printf("%s", word);
	near = err_suggest(word, choices, nr);
	if (near)
		err_usage("--%s: '%s': did you mean '%s'?", name, word, near);
	err_usage("--%s: '%s' is none of its words", name, word);
}

static char *one_word(enum sweep_dim d, const char *word)
{
	static const char *const thp[] = {"never", "madvise", "always"};
	static const char *const ksm[] = {"off", "on"};

	switch (d) {
	case SWEEP_MEM:
		return mem_word(word);
	case SWEEP_SWAP:
		return size_word("swap", word);
	case SWEEP_POLICY:
		return policy_word(word);
	case SWEEP_CPUS:
		return count_word("cpus", word, 1, 64);
	case SWEEP_THP:
		return choice_word("thp", word, thp, ARRAY_SIZE(thp));
	default:
		return choice_word("ksm", word, ksm, ARRAY_SIZE(ksm));
	}
}

static void words_add_once(struct sweep_list *l, const char *name, char *word)
{
	for (u32 i = 0; i < l->nr; i++)
		if (!strcmp(l->v[i], word))
			err_usage("--%s: '%s' twice", name, word);
	if (l->nr == SWEEP_LIST_MAX)
		err_usage("--%s: at most %d of them", name, SWEEP_LIST_MAX);
	words_add(l, word);
}

void sweep_list_parse(struct sweep_plan *p, enum sweep_dim d, const char *arg)
{
	words_free(&p->dim[d]);
	while (arg) {
		size_t len = strcspn(arg, ",");
		char *word = strndup(arg, len);

		if (!word)
			err_die("no memory");
		words_add_once(&p->dim[d], dim_names[d], one_word(d, word));
		free(word);
		arg = arg[len] ? arg + len + 1 : NULL;
	}
}

void sweep_set_seeds(struct sweep_plan *p, u32 n)
{
	words_free(&p->dim[SWEEP_SEED]);
	for (u32 i = 1; i <= n; i++)
		words_add(&p->dim[SWEEP_SEED], sweep_printf("%u", i));
}

void sweep_add_with(struct sweep_plan *p, const char *arg)
{
	static const char *const ours[] = {
		"mem",	"policy",    "swap", "cpus",	 "thp",	     "ksm",
		"seed", "json",	     "show", "report",	 "trace",    "follow",
		"pfn",	"trace-out", "log",  "perfetto", "swap-file"};
	size_t len = strcspn(arg, "=");

	if (arg[0] != '-' || arg[1] != '-' || len < 3)
		err_usage("--with: '%s' is no long option of mmkit replay",
			  arg);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (!strncmp(arg + 2, ours[i], len - 2))
			err_usage("--with: '%s' is not for a sweep, or has an "
				  "option of its own",
				  arg);
	words_add(&p->with, sweep_printf("%s", arg));
}

/* ---- traces
 * --------------------------------------------------------------------- */

/* FNV-1a, eight bytes at a time. */
static u64 sum_of(const char *path, u64 *bytes)
{
	static u64 buf[8192];
	u64 sum = 0xcbf29ce484222325;
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		err_die("%s: %s", path, strerror(errno));
	*bytes = 0;
	do {
		memset(buf, 0, sizeof(buf));
		n = fread(buf, 1, sizeof(buf), f);
		for (size_t i = 0; i < DIV_ROUND_UP(n, sizeof(u64)); i++)
			sum = (sum ^ buf[i]) * 0x100000001b3;
		*bytes += n;
	} while (n == sizeof(buf));
	if (ferror(f))
		err_die("%s: cannot read", path);
	fclose(f);
	return sum;
}

static void add_trace(struct sweep_plan *p, char *path)
{
	struct sweep_list *l = &p->dim[SWEEP_TRACE];
	const char *base = strrchr(path, '/');
	struct sweep_trace *t;

	words_add_once(l, "trace", path);
	p->traces = realloc(p->traces, l->nr * sizeof(*p->traces));
	if (!p->traces)
		err_die("no memory");
	t = &p->traces[l->nr - 1];
	*t = (struct sweep_trace){.name = sweep_printf("%s", base + 1)};
}

void sweep_add_trace(struct sweep_plan *p, const char *path)
{
	char *full = realpath(path, NULL);
	struct trace_reader *r;
	struct trace_error err;
	struct sweep_trace *t;

	if (!full)
		err_die("%s: %s", path, strerror(errno));
	r = trace_reader_open(path, &err);
	if (!r)
		err_die("%s", err.text);
	trace_reader_close(r);
	add_trace(p, full);
	t = &p->traces[p->dim[SWEEP_TRACE].nr - 1];
	t->sum = sum_of(full, &t->bytes);
}

/* Two traces of one name are told apart by their folders. */
static void name_traces(struct sweep_plan *p)
{
	u32 nr = p->dim[SWEEP_TRACE].nr;

	for (u32 i = 0; i < nr; i++)
		for (u32 k = i + 1; k < nr; k++) {
			if (strcmp(p->traces[i].name, p->traces[k].name))
				continue;
			free(p->traces[i].name);
			free(p->traces[k].name);
			p->traces[i].name =
				sweep_printf("%s", p->dim[SWEEP_TRACE].v[i]);
			p->traces[k].name =
				sweep_printf("%s", p->dim[SWEEP_TRACE].v[k]);
		}
}

/* ---- the whole
 * ------------------------------------------------------------------ */

static void count_points(struct sweep_plan *p)
{
	u64 n = 1;

	for (u32 d = 0; d < SWEEP_NR_DIMS; d++) {
		n *= p->dim[d].nr;
		if (n > SWEEP_POINTS_MAX)
			err_usage("more than %u points", SWEEP_POINTS_MAX);
	}
	p->nr_points = (u32)n;
}

static void check_machines(const struct sweep_plan *p)
{
	static struct machine_opts m;
	struct args_error e;

	machine_defaults(&m);
	for (u32 i = 0; i < p->dim[SWEEP_MEM].nr; i++)
		for (u32 k = 0; k < p->dim[SWEEP_SWAP].nr; k++) {
			const char *mem = p->dim[SWEEP_MEM].v[i];

			m.mem_bytes = 1UL << 30;
			if (!strchr(mem, '%') &&
			    !args_size(mem, &m.mem_bytes, &e))
				err_usage("--mem: %s", e.text);
			if (!args_size(p->dim[SWEEP_SWAP].v[k], &m.swap_bytes,
				       &e))
				err_usage("--swap: %s", e.text);
			machine_check(&m);
		}
}

void sweep_plan_finish(struct sweep_plan *p)
{
	static const char *const usual[] = {
		[SWEEP_SWAP] = "0",    [SWEEP_CPUS] = "1",
		[SWEEP_THP] = "never", [SWEEP_KSM] = "off",
		[SWEEP_MEM] = "1G",    [SWEEP_POLICY] = "classic",
		[SWEEP_SEED] = "1",
	};

	for (u32 d = 0; d < SWEEP_NR_DIMS; d++)
		if (!p->dim[d].nr)
			words_add(&p->dim[d], sweep_printf("%s", usual[d]));
	check_machines(p);
	name_traces(p);
	count_points(p);
}

void sweep_plan_free(struct sweep_plan *p)
{
	for (u32 i = 0; i < p->dim[SWEEP_TRACE].nr && p->traces; i++)
		free(p->traces[i].name);
	for (u32 d = 0; d < SWEEP_NR_DIMS; d++)
		words_free(&p->dim[d]);
	words_free(&p->with);
	free(p->traces);
	*p = (struct sweep_plan){0};
}

struct sweep_at sweep_at(const struct sweep_plan *p, u32 point)
{
	struct sweep_at at;

	for (u32 d = SWEEP_NR_DIMS; d-- > 0;) {
		at.i[d] = point % p->dim[d].nr;
		point /= p->dim[d].nr;
	}
	return at;
}

u32 sweep_point_of(const struct sweep_plan *p, const struct sweep_at *at)
{
	u32 point = 0;

	for (u32 d = 0; d < SWEEP_NR_DIMS; d++)
		point = point * p->dim[d].nr + at->i[d];
	return point;
}

const char *sweep_value(const struct sweep_plan *p, const struct sweep_at *at,
			enum sweep_dim d)
{
	return d == SWEEP_TRACE ? p->traces[at->i[d]].name
				: p->dim[d].v[at->i[d]];
}

/* The values of dimensions FROM to TO, those of one value left out unless ALL.
 */
static char *options_text(const struct sweep_plan *p, const struct sweep_at *at,
			  u32 from, u32 to, bool all)
{
	char *text = sweep_printf("%s", "");

	for (u32 d = from; d <= to; d++) {
		char *longer;

		if (!all && p->dim[d].nr < 2)
			continue;
		longer = sweep_printf("%s --%s %s", text, dim_names[d],
				      sweep_value(p, at, d));
		free(text);
		text = longer;
	}
	return text;
}

char *sweep_label(const struct sweep_plan *p, u32 point)
{
	struct sweep_at at = sweep_at(p, point);
	char *family = sweep_family(p, &at);
	char *rest = options_text(p, &at, SWEEP_POLICY, SWEEP_SEED, true);
	char *label = sweep_printf("%s%s%s", sweep_value(p, &at, SWEEP_TRACE),
				   family, rest);

	free(family);
	free(rest);
	return label;
}

char *sweep_family(const struct sweep_plan *p, const struct sweep_at *at)
{
	return options_text(p, at, SWEEP_SWAP, SWEEP_KSM, false);
}

/* ---- the file
 * ------------------------------------------------------------------- */

static json_t *list_json(const struct sweep_list *l)
{
	json_t *a = json_array();

	for (u32 i = 0; i < l->nr; i++)
		json_array_append_new(a, json_string(l->v[i]));
	return a;
}

static json_t *traces_json(const struct sweep_plan *p)
{
	json_t *a = json_array();
	char sum[24];

	for (u32 i = 0; i < p->dim[SWEEP_TRACE].nr; i++) {
		snprintf(sum, sizeof(sum), "%016llx",
			 (unsigned long long)p->traces[i].sum);
		json_array_append_new(
			a,
			json_pack("{s:s, s:I, s:s}", "path",
				  p->dim[SWEEP_TRACE].v[i], "bytes",
				  (json_int_t)p->traces[i].bytes, "sum", sum));
	}
	return a;
}

static json_t *plan_json(const struct sweep_plan *p)
{
	json_t *o = json_pack("{s:s}", "schema", SCHEMA);

	json_object_set_new(o, "trace", traces_json(p));
	for (u32 d = SWEEP_TRACE + 1; d < SWEEP_NR_DIMS; d++)
		json_object_set_new(o, dim_names[d], list_json(&p->dim[d]));
	json_object_set_new(o, "with", list_json(&p->with));
	return o;
}

static char *plan_path(const char *dir)
{
	return sweep_printf("%s/sweep.json", dir);
}

bool sweep_plan_there(const char *dir)
{
	char *path = plan_path(dir);
	bool there = access(path, F_OK) == 0;

	free(path);
	return there;
}

static json_t *load_json(const char *dir)
{
	char *path = plan_path(dir);
	const char *schema;
	json_error_t e;
	json_t *o;

	if (access(path, F_OK))
		err_die("%s: there is no sweep in it: name traces and lists",
			dir);
	o = json_load_file(path, 0, &e);
	if (!o)
		err_die("%s:%d: %s", path, e.line, e.text);
	schema = json_string_value(json_object_get(o, "schema"));
	if (!schema || strcmp(schema, SCHEMA))
		err_die("%s: its schema is not " SCHEMA, path);
	free(path);
	return o;
}

_Noreturn static void bad_plan(const char *dir, const char *name)
{
	err_die("%s/sweep.json: '%s' is not as it was written", dir, name);
}

static void load_list(struct sweep_list *l, const json_t *o, const char *name,
		      const char *dir, bool may_be_empty)
{
	json_t *a = json_object_get(o, name);

	if (!json_is_array(a) || (!json_array_size(a) && !may_be_empty))
		bad_plan(dir, name);
	for (size_t i = 0; i < json_array_size(a); i++) {
		const char *s = json_string_value(json_array_get(a, i));

		if (!s)
			bad_plan(dir, name);
		words_add(l, sweep_printf("%s", s));
	}
}

static void load_traces(struct sweep_plan *p, const json_t *o, const char *dir)
{
	json_t *a = json_object_get(o, "trace");

	if (!json_array_size(a))
		bad_plan(dir, "trace");
	for (size_t i = 0; i < json_array_size(a); i++) {
		const char *path, *sum;
		struct sweep_trace *t;
		json_int_t bytes;

		if (json_unpack(json_array_get(a, i), "{s:s, s:I, s:s}", "path",
				&path, "bytes", &bytes, "sum", &sum) ||
		    *path != '/')
			bad_plan(dir, "trace");
		add_trace(p, sweep_printf("%s", path));
		t = &p->traces[i];
		t->bytes = (u64)bytes;
		t->sum = strtoull(sum, NULL, 16);
	}
}

void sweep_plan_load(struct sweep_plan *p, const char *dir)
{
	json_t *o = load_json(dir);

	*p = (struct sweep_plan){0};
	load_traces(p, o, dir);
	for (u32 d = SWEEP_TRACE + 1; d < SWEEP_NR_DIMS; d++)
		load_list(&p->dim[d], o, dim_names[d], dir, false);
	load_list(&p->with, o, "with", dir, true);
	json_decref(o);
	name_traces(p);
	count_points(p);
}

void sweep_plan_check(const struct sweep_plan *p)
{
	for (u32 i = 0; i < p->dim[SWEEP_TRACE].nr; i++) {
		u64 bytes, sum = sum_of(p->dim[SWEEP_TRACE].v[i], &bytes);

		if (bytes != p->traces[i].bytes || sum != p->traces[i].sum)
			err_die("%s is not the trace any more that the sweep "
				"began with",
				p->dim[SWEEP_TRACE].v[i]);
	}
}

/* A list on one line: words, or the paths of traces. */
static char *list_text(const json_t *a)
{
	char *text = sweep_printf("%s", "");

	for (size_t i = 0; i < json_array_size(a); i++) {
		const json_t *e = json_array_get(a, i);
		const char *s =
			json_is_object(e)
				? json_string_value(json_object_get(e, "path"))
				: json_string_value(e);
		char *longer =
			sweep_printf("%s%s%s", text, i ? "," : "", s ? s : "?");

		free(text);
		text = longer;
	}
	if (!*text) {
		free(text);
		return sweep_printf("nothing");
	}
	return text;
}

/* One word on what differs in NAME. */
static char *difference(const json_t *there, const json_t *here,
			const char *name)
{
	char *a = list_text(json_object_get(there, name));
	char *b = list_text(json_object_get(here, name));
	char *text;

	if (!strcmp(a, b))
		text = sweep_printf("a %s has changed since", name);
	else if (!strcmp(name, "trace"))
		text = sweep_printf("traces: %s there, %s here", a, b);
	else
		text = sweep_printf("--%s%s: %s there, %s here", name,
				    strcmp(name, "seed") ? "" : "s", a, b);
	free(a);
	free(b);
	return text;
}

static void refuse_other(const char *dir, const json_t *there,
			 const json_t *here)
{
	char *all = sweep_printf("%s", "");
	json_t *value;
	const char *name;

	json_object_foreach((json_t *)here, name, value)
	{
		char *one, *longer;

		if (json_equal(value, json_object_get(there, name)))
			continue;
		one = difference(there, here, name);
		longer = sweep_printf("%s%s%s", all, *all ? "; " : "", one);
		free(all);
		free(one);
		all = longer;
	}
	if (*all)
		err_die("--out: %s has another sweep: %s", dir, all);
	free(all);
}

static void store(const char *dir, json_t *o)
{
	char *path = plan_path(dir);
	char *text = json_dumps(o, JSON_INDENT(2));

	if (!text)
		err_die("no memory");
	if (page_write(path, text, strlen(text)))
		err_die("%s: %s", path, strerror(errno));
	free(text);
	free(path);
}

void sweep_plan_settle(const struct sweep_plan *p, const char *dir)
{
	json_t *here = plan_json(p), *there;

	if (sweep_plan_there(dir)) {
		there = load_json(dir);
		refuse_other(dir, there, here);
		json_decref(there);
	} else {
		store(dir, here);
	}
	json_decref(here);
}
