/* SPDX-License-Identifier: MIT */
/* cmd_trace.c - mmkit trace info|cat FILE: look into a trace; check FILE: is it
 * a sound file for Perfetto? events FILE: what tracepoints of a program told.
 */
#include "args.h"
#include "err.h"
#include "events.h"
#include "perfetto_check.h"
#include "trace.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cmd_trace(int argc, char **argv);

struct options {
	const char *what; /* info or cat */
	const char *file;
	bool json;
	struct events_opts events;
};

/* What reading all of a trace tells beyond its end record. */
struct survey {
	u64 of_type[TRACE_NR_TYPES];
	u64 of_op[TRACE_NR_OPS];
	u64 of_fileop[TRACE_NR_FOPS];
	u64 access[8]; /* raw references by access */
	u64 pages;     /* sum of the runs' lengths */
	u64 zero_samples;
};

static struct trace_reader *open_or_die(const char *file)
{
	struct trace_error err;
	struct trace_reader *r = trace_reader_open(file, &err);

	if (!r)
		err_die("%s", err.text);
	return r;
}

/* ---- info
 * -------------------------------------------------------------------- */

static void survey_ref(struct survey *v, const struct trace_ref *ref)
{
	v->of_type[TRACE_REF]++;
	v->access[ref->access & 7] += ref->count;
	v->pages += ref->nr_pages;
}

/* Read all of R; dies of damage. */
static void survey(struct trace_reader *r, struct survey *v)
{
	struct trace_rec rec;
	struct trace_ref ref;
	int ret;

	for (;;) {
		while (trace_next_ref(r, &ref))
			survey_ref(v, &ref);
		ret = trace_next(r, &rec);
		if (ret <= 0)
			break;
		if (rec.type == TRACE_REF) {
			survey_ref(v, &rec.ref);
			continue;
		}
		v->of_type[rec.type]++;
		if (rec.type == TRACE_CALL)
			v->of_op[rec.call.op]++;
		if (rec.type == TRACE_FILEOP)
			v->of_fileop[rec.fileop.op]++;
		if (rec.type == TRACE_CONTENT)
			v->zero_samples += rec.content.zero;
	}
	if (ret < 0)
		err_die("%s", trace_reader_error(r));
}

static void print_header(const struct trace_reader *r, u64 size)
{
	const struct trace_header *h = trace_reader_header(r);

	printf("program       ");
	for (u32 i = 0; i < h->argc; i++)
		printf(" %s", h->argv[i]);
	printf("\nrecorded by    %s\n", h->program);
	printf("format         version %u, machine %u, pages of %u bytes\n",
	       h->version, h->arch, h->page_size);
	if (h->window)
		printf("filter         once per kind of access in %llu references\n",
		       (unsigned long long)h->window);
	else
		printf("filter         none\n");
	printf("file           %llu bytes\n", (unsigned long long)size);
}

static void line(const char *name, u64 v)
{
	printf("%-14s %llu\n", name, (unsigned long long)v);
}

static void print_totals(const struct trace_totals *t, const struct survey *v)
{
	line("references", t->references + t->unreported);
	line("  unreported", t->unreported);
	line("  fetches", v->access[TRACE_X]);
	line("  loads", v->access[TRACE_R]);
	line("  stores", v->access[TRACE_W] + v->access[TRACE_R | TRACE_W]);
	line("footprint", t->footprint_pages);
	line("records", t->records);
	for (u32 i = TRACE_REF; i < TRACE_NR_TYPES; i++)
		if (v->of_type[i])
			printf("  %-12s %llu\n", trace_type_name(i),
			       (unsigned long long)v->of_type[i]);
	for (u32 i = 0; i < TRACE_NR_OPS; i++)
		if (v->of_op[i])
			printf("    %-10s %llu\n", trace_op_name(i),
			       (unsigned long long)v->of_op[i]);
	for (u32 i = 0; i < TRACE_NR_FOPS; i++)
		if (v->of_fileop[i])
			printf("    file %-5s %llu\n", trace_fileop_name(i),
			       (unsigned long long)v->of_fileop[i]);
	line("touch maps", t->touch_maps);
	line("zero samples", v->zero_samples);
	line("tasks", t->tasks);
	line("blocks", t->blocks);
	line("decoded bytes", t->raw_bytes);
	printf("exit status    %lld\n", (long long)t->exit_status);
}

static void set(json_t *o, const char *key, u64 v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

/* A string that is not UTF-8 must not break the output. */
static json_t *string(const char *s)
{
	json_t *j = json_string(s);

	if (j)
		return j;
	return json_pack("s#", s,
			 (int)strspn(s, " !\"#$%&'()*+,-./0123456789"
					":;<=>?@ABCDEFGHIJKLMNOPQRST"
					"UVWXYZ[\\]^_`abcdefghijklmn"
					"opqrstuvwxyz{|}~"));
}

static void json_header(json_t *o, const struct trace_header *h)
{
	json_t *argv = json_array();

	for (u32 i = 0; i < h->argc; i++)
		json_array_append_new(argv, string(h->argv[i]));
	json_object_set_new(o, "schema", json_string("mmkit.trace/1"));
	set(o, "version", h->version);
	set(o, "arch", h->arch);
	set(o, "page_size_bytes", h->page_size);
	set(o, "window", h->window);
	json_object_set_new(o, "from_lackey",
			    json_boolean(h->flags & TRACE_FROM_LACKEY));
	json_object_set_new(o, "recorded_by", string(h->program));
	json_object_set_new(o, "argv", argv);
}

static void json_totals(json_t *o, const struct trace_totals *t,
			const struct survey *v)
{
	json_t *types = json_object(), *ops = json_object();
	json_t *fops = json_object();

	set(o, "references", t->references + t->unreported);
	set(o, "unreported", t->unreported);
	set(o, "fetches", v->access[TRACE_X]);
	set(o, "loads", v->access[TRACE_R]);
	set(o, "stores", v->access[TRACE_W] + v->access[TRACE_R | TRACE_W]);
	set(o, "footprint_pages", t->footprint_pages);
	set(o, "records", t->records);
	set(o, "touch_maps", t->touch_maps);
	set(o, "zero_samples", v->zero_samples);
	set(o, "tasks", t->tasks);
	set(o, "blocks", t->blocks);
	set(o, "decoded_bytes", t->raw_bytes);
	json_object_set_new(o, "exit_status",
			    json_integer((json_int_t)t->exit_status));
	for (u32 i = TRACE_REF; i < TRACE_NR_TYPES; i++)
		set(types, trace_type_name(i), v->of_type[i]);
	for (u32 i = 0; i < TRACE_NR_OPS; i++)
		set(ops, trace_op_name(i), v->of_op[i]);
	json_object_set_new(o, "by_type", types);
	for (u32 i = 0; i < TRACE_NR_FOPS; i++)
		set(fops, trace_fileop_name(i), v->of_fileop[i]);
	json_object_set_new(o, "by_call", ops);
	json_object_set_new(o, "by_file_operation", fops);
}

static int info(const struct options *o)
{
	struct trace_reader *r = open_or_die(o->file);
	struct survey v = {0};
	u64 done, size;

	trace_reader_progress(r, &done, &size);
	survey(r, &v);
	if (o->json) {
		json_t *j = json_object();

		json_header(j, trace_reader_header(r));
		set(j, "file_bytes", size);
		json_totals(j, trace_reader_totals(r), &v);
		json_dumpf(j, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		putchar('\n');
		json_decref(j);
	} else {
		print_header(r, size);
		print_totals(trace_reader_totals(r), &v);
	}
	trace_reader_close(r);
	return EXIT_SUCCESS;
}

/* ---- cat
 * -------------------------------------------------------------------------- */

static const char *access_text(u32 access)
{
	static const char *const text[8] = {"---", "r--", "-w-", "rw-",
					    "--x", "r-x", "-wx", "rwx"};

	return text[access & 7];
}

static void cat_ref(u32 task, const struct trace_ref *f)
{
	printf("%u ref %u:%u+%u %s %u\n", task, f->map, f->page, f->nr_pages,
	       access_text(f->access), f->count);
}

static void cat_map(u32 task, const struct trace_map *m)
{
	printf("%u map %u %s %s pages %u start %#llx prot %s flags %#x", task,
	       m->map, trace_how_name(m->how), trace_kind_name(m->kind),
	       m->pages, (unsigned long long)m->start, access_text(m->prot),
	       m->flags);
	if (m->kind == TRACE_KIND_STACK)
		printf(" grown %u", m->grown_pages);
	if (m->at_map != TRACE_NO_ID)
		printf(" at %u:%u", m->at_map, m->at_page);
	if (m->file != TRACE_NO_ID)
		printf(" file %u page %llu", m->file,
		       (unsigned long long)m->file_page);
	if (m->open != TRACE_NO_ID)
		printf(" open %u", m->open);
	putchar('\n');
}

static void cat_call(u32 task, const struct trace_call *c)
{
	printf("%u call %s", task, trace_op_name(c->op));
	if (c->map != TRACE_NO_ID)
		printf(" %u:%u+%u", c->map, c->page, c->nr_pages);
	else
		printf(" -+%u", c->nr_pages);
	printf(" arg %#llx", (unsigned long long)c->arg);
	if (c->new_map != TRACE_NO_ID)
		printf(" new %u", c->new_map);
	if (c->flags)
		printf(" flags %#x", c->flags);
	if (c->err)
		printf(" errno %u", c->err);
	printf("%s\n", c->more ? " more" : "");
}

static void cat_file(u32 task, const struct trace_file *f)
{
	printf("%u file %u dev %#llx ino %llu size %llu%s%s name %s\n", task,
	       f->file, (unsigned long long)f->dev, (unsigned long long)f->ino,
	       (unsigned long long)f->size,
	       f->flags & TRACE_FILE_MEMORY ? " memory" : "",
	       f->flags & TRACE_FILE_SPECIAL ? " special" : "", f->name);
}

static void cat_fileop(u32 task, const struct trace_fileop *f)
{
	printf("%u fileop %s", task, trace_fileop_name(f->op));
	if (f->file != TRACE_NO_ID)
		printf(" file %u", f->file);
	if (f->open != TRACE_NO_ID)
		printf(" open %u", f->open);
	if (f->offset || f->length)
		printf(" at %llu+%llu", (unsigned long long)f->offset,
		       (unsigned long long)f->length);
	printf(" arg %#llx\n", (unsigned long long)f->arg);
}

static void cat_content(u32 task, const struct trace_content *c)
{
	printf("%u content %u:%u hash %016llx packed %u%s\n", task, c->map,
	       c->page, (unsigned long long)c->hash, c->csize,
	       c->zero ? " zero" : "");
}

static void cat_rec(const struct trace_rec *rec)
{
	switch (rec->type) {
	case TRACE_REF:
		return cat_ref(rec->task, &rec->ref);
	case TRACE_MAP:
		return cat_map(rec->task, &rec->map);
	case TRACE_FILE:
		return cat_file(rec->task, &rec->file);
	case TRACE_CALL:
		return cat_call(rec->task, &rec->call);
	case TRACE_CONTENT:
		return cat_content(rec->task, &rec->content);
	case TRACE_FILEOP:
		return cat_fileop(rec->task, &rec->fileop);
	case TRACE_FORK:
		printf("%u fork child %u flags %#x\n", rec->task,
		       rec->fork.child, rec->fork.flags);
		break;
	case TRACE_EXEC:
		printf("%u exec %s\n", rec->task, rec->exec.name);
		break;
	case TRACE_EXIT:
		printf("%u exit %d\n", rec->task, rec->exit_status);
		break;
	case TRACE_WAIT:
		printf("%u wait %u\n", rec->task, rec->child);
		break;
	case TRACE_SWITCH:
		printf("switch %u\n", rec->to);
		break;
	case TRACE_NR_TYPES:
		break;
	}
}

static int cat(const struct options *o)
{
	struct trace_reader *r = open_or_die(o->file);
	static struct trace_rec rec;
	int ret;

	while ((ret = trace_next(r, &rec)) > 0) {
		cat_rec(&rec);
		if (ferror(stdout))
			break; /* a pipe that was closed: enough was read */
	}
	if (ret < 0)
		err_die("%s", trace_reader_error(r));
	trace_reader_close(r);
	return EXIT_SUCCESS;
}

/* ---- files for Perfetto
 * ------------------------------------------------------------------------ */

static int check(const struct options *o)
{
	static struct perfetto_check c;

	if (!perfetto_check_file(o->file, &c)) {
		if (c.event)
			err_die("%s: event %llu: %s", o->file,
				(unsigned long long)c.event, c.error);
		err_die("%s: %s", o->file, c.error);
	}
	printf("%s: sound: %llu events on %llu tracks: %llu spans, %llu "
	       "instants, %llu values of counters\n",
	       o->file, (unsigned long long)c.events,
	       (unsigned long long)c.tracks, (unsigned long long)c.spans,
	       (unsigned long long)c.instants, (unsigned long long)c.counters);
	return EXIT_SUCCESS;
}

/* ---- events of a program
 * ------------------------------------------------------------------------ */

static int events(struct options *o)
{
	if (!events_wanted(&o->events))
		o->events.list = "all";
	events_check(&o->events);
	events_file(o->file, &o->events);
	return EXIT_SUCCESS;
}

/* ---- options
 * ------------------------------------------------------------------------ */

enum {
	OPT_TRACE = 0x100,
	OPT_OUT,
	OPT_PERFETTO,
	OPT_FOLLOW,
	OPT_PFN,
	OPT_LIFE
};

static const struct argp_option options[] = {
	{"json", 'j', NULL, 0, "print JSON (info only)", 0},
	{0, 0, NULL, 0, "Of events:", 1},
	{"trace", OPT_TRACE, "LIST", 0, "names and systems (all)", 1},
	{"trace-out", OPT_OUT, "FILE", 0, "lines go there", 1},
	{"perfetto", OPT_PERFETTO, "FILE", 0, "for ui.perfetto.dev", 1},
	{"follow", OPT_FOLLOW, "PID:ADDRESS", 0, "the life of that page", 1},
	{"pfn", OPT_PFN, "N", 0, "the life of that frame", 1},
	{"life", OPT_LIFE, "FILE", 0, "the life as JSON", 1},
	{0},
};

static void check_options(const struct options *o)
{
	static const char *const names[] = {"info", "cat", "check", "events"};
	bool known = false;
	const char *near;

	if (!o->what)
		err_usage("what? give info, cat, check or events");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		known |= !strcmp(o->what, names[i]);
	if (!known) {
		near = err_suggest(o->what, names, ARRAY_SIZE(names));
		if (near)
			err_usage("unknown command '%s': did you mean '%s'?",
				  o->what, near);
		err_usage("unknown command '%s': info, cat, check or events",
			  o->what);
	}
	if (!o->file)
		err_usage("which trace? give FILE");
	if (o->json && strcmp(o->what, "info"))
		err_usage("--json goes with info only");
	if (strcmp(o->what, "events") && events_wanted(&o->events))
		err_usage("--trace, --perfetto, --follow and --pfn go with "
			  "events only");
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct options *o = st->input;
	char *end;

	switch (key) {
	case 'j':
		o->json = true;
		break;
	case OPT_TRACE:
		o->events.list = arg;
		break;
	case OPT_OUT:
		o->events.out = arg;
		break;
	case OPT_PERFETTO:
		o->events.perfetto = arg;
		break;
	case OPT_FOLLOW:
		events_parse_follow(&o->events, arg);
		break;
	case OPT_PFN:
		o->events.follow = o->events.by_pfn = true;
		o->events.pfn = strtoull(arg, &end, 0);
		if (end == arg || *end)
			err_usage("--pfn: '%s' is no number", arg);
		break;
	case OPT_LIFE:
		o->events.life = arg;
		break;
	case ARGP_KEY_ARG:
		if (st->arg_num == 0)
			o->what = arg;
		else if (st->arg_num == 1)
			o->file = arg;
		else
			err_usage("one FILE only, not also '%s'", arg);
		break;
	case ARGP_KEY_END:
		check_options(o);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* A reader that has seen enough (head, less) is no failure. */
static void on_pipe(int sig)
{
	(void)sig;
	_Exit(EXIT_SUCCESS);
}

int cmd_trace(int argc, char **argv)
{
	static const struct argp argp = {
		options,
		parse,
		"info FILE\ncat FILE\ncheck FILE.json\nevents FILE",
		"Look into a recorded trace: what it is of, and its records, one per line; check a file that --perfetto wrote; or tell the events that a program with the manager in it wrote (host_trace_start).",
		NULL,
		NULL,
		NULL};
	static struct options o;

	args_run(&argp, argc, argv, 0, &o);
	signal(SIGPIPE, on_pipe);
	if (!strcmp(o.what, "check"))
		return check(&o);
	if (!strcmp(o.what, "events"))
		return events(&o);
	return !strcmp(o.what, "info") ? info(&o) : cat(&o);
}
