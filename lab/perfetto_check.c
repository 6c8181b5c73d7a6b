/* SPDX-License-Identifier: MIT */
/*
 * perfetto_check.c - a strict reader of the JSON trace event format.
 *
 * 1. Purpose. A viewer takes nearly anything and shows what it understood. This
 *    one takes what the format's description says and names the first thing
 *    that is not so.
 *
 * 2. Rules. The document is an object with an array "traceEvents", or that
 *    array alone; no key twice. Each event has a phase that exists, and what
 *    its phase asks for: pid, tid and a time that is no less than the last one
 *    of its track; a name; a scope of g, p or t for instants; a duration for
 *    complete events; numbers alone as a counter's values; a name in the
 *    arguments of metadata. Spans of a track (pid and tid) nest: an end has a
 *    begin of its name before it, and all have ended at the end of the file.
 *
 * 3. Size. Events are read one by one, so that a file of millions costs the
 *    time and not the memory. Tracks are in a table by hash.
 *
 * Reference: "Trace Event Format", the Chromium project.
 */
#include "perfetto_check.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_OPEN 64u

/* Where time must not go back: a thread's events, or a counter's values. */
struct track {
	char key[160];
	double last;
	u32 nr_open;
	char *open[MOST_OPEN]; /* names */
};

struct reader {
	const char *at, *end;
	struct perfetto_check *out;
	void *tracks; /* tsearch(3) */
	u64 left_open;
};

static bool wrong(struct reader *r, const char *fmt, ...) MM_PRINTF(2, 3);

static bool wrong(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->out->error, sizeof(r->out->error), fmt, ap);
	va_end(ap);
	return false;
}

/* ---- tracks
 * ----------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct track *)a)->key,
		      ((const struct track *)b)->key);
}

static struct track *track_of(struct reader *r, const char *key)
{
	struct track *t = calloc(1, sizeof(*t)), **found;

	if (!t)
		return NULL;
	snprintf(t->key, sizeof(t->key), "%s", key);
	found = tsearch(t, &r->tracks, by_key);
	if (!found || *found != t) {
		free(t);
		return found ? *found : NULL;
	}
	t->last = -1;
	r->out->tracks++;
	return t;
}

static void drop_track(void *p)
{
	struct track *t = p;

	while (t->nr_open)
		free(t->open[--t->nr_open]);
	free(t);
}

static bool span_begin(struct reader *r, struct track *t, const char *name)
{
	if (t->nr_open == MOST_OPEN)
		return wrong(r, "more than %u spans in each other", MOST_OPEN);
	t->open[t->nr_open++] = strdup(name);
	r->left_open++;
	r->out->spans++;
	return true;
}

static bool span_end(struct reader *r, struct track *t, const char *name)
{
	bool same;

	if (!t->nr_open)
		return wrong(r, "a span ends that has not begun");
	t->nr_open--;
	same = !name || !*name || !strcmp(name, t->open[t->nr_open]);
	if (!same)
		wrong(r, "'%.60s' ends while '%.60s' is open", name,
		      t->open[t->nr_open]);
	free(t->open[t->nr_open]);
	r->left_open--;
	return same;
}

/* ---- one event
 * ----------------------------------------------------------------------- */

struct event {
	char ph;
	const char *name; /* or NULL */
	json_int_t pid, tid;
	double ts;
	json_t *o, *args;
};

static bool take_int(struct reader *r, const struct event *e, const char *key,
		     bool needed, json_int_t *out)
{
	json_t *v = json_object_get(e->o, key);

	if (!v && !needed)
		return true;
	if (!json_is_integer(v))
		return wrong(r, "%s is not a whole number", key);
	*out = json_integer_value(v);
	return true;
}

static bool take_number(struct reader *r, const struct event *e,
			const char *key, double *out)
{
	json_t *v = json_object_get(e->o, key);

	if (!json_is_number(v))
		return wrong(r, "%s is not a number", key);
	*out = json_number_value(v);
	if (!isfinite(*out) || *out < 0)
		return wrong(r, "%s is less than 0", key);
	return true;
}

static bool check_counter(struct reader *r, const struct event *e)
{
	const char *key;
	json_t *v;

	if (!e->args || !json_object_size(e->args))
		return wrong(r, "a counter without values");
	json_object_foreach(e->args, key, v) if (
		!json_is_number(
			v)) return wrong(r, "the counter's %.60s is no number",
					 key);
	r->out->counters++;
	return true;
}

static bool check_metadata(struct reader *r, const struct event *e)
{
	static const struct {
		const char *name, *arg;
		json_type type;
	} kinds[] = {
		{"process_name", "name", JSON_STRING},
		{"process_labels", "labels", JSON_STRING},
		{"process_sort_index", "sort_index", JSON_INTEGER},
		{"thread_name", "name", JSON_STRING},
		{"thread_sort_index", "sort_index", JSON_INTEGER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		json_t *v = json_object_get(e->args, kinds[i].arg);

		if (strcmp(kinds[i].name, e->name))
			continue;
		if (!v || json_typeof(v) != kinds[i].type)
			return wrong(r, "%s without args.%s", e->name,
				     kinds[i].arg);
		return true;
	}
	return wrong(r, "no such metadata: '%.60s'", e->name);
}

static bool check_instant(struct reader *r, const struct event *e)
{
	const char *s = json_string_value(json_object_get(e->o, "s"));

	if (s && (strlen(s) != 1 || !strchr("gpt", *s)))
		return wrong(r, "an instant's scope is '%.20s'", s);
	r->out->instants++;
	return true;
}

/* What its phase wants, on its track. */
static bool check_phase(struct reader *r, const struct event *e,
			struct track *t)
{
	double dur;

	switch (e->ph) {
	case 'B':
		return span_begin(r, t, e->name);
	case 'E':
		return span_end(r, t, e->name);
	case 'X':
		r->out->spans++;
		return take_number(r, e, "dur", &dur);
	case 'i':
	case 'I':
		return check_instant(r, e);
	case 'C':
		return check_counter(r, e);
	default:
		return true;
	}
}

static bool on_track(struct reader *r, const struct event *e)
{
	char key[160];
	struct track *t;

	if (e->ph == 'C')
		snprintf(key, sizeof(key), "C %lld %.100s", (long long)e->pid,
			 e->name);
	else
		snprintf(key, sizeof(key), "%lld %lld", (long long)e->pid,
			 (long long)e->tid);
	t = track_of(r, key);
	if (!t)
		return wrong(r, "no memory for its tracks");
	if (e->ts < t->last)
		return wrong(r, "time goes back on track %.100s: %.3f, %.3f",
			     key, t->last, e->ts);
	t->last = e->ts;
	return check_phase(r, e, t);
}

static bool take_name(struct reader *r, struct event *e)
{
	json_t *name = json_object_get(e->o, "name");
	json_t *cat = json_object_get(e->o, "cat");

	e->name = json_string_value(name);
	if (name ? !e->name : e->ph != 'E')
		return wrong(r, "no name");
	if (e->name && !*e->name && e->ph != 'E')
		return wrong(r, "an empty name");
	if (cat && !json_is_string(cat))
		return wrong(r, "cat is no string");
	e->args = json_object_get(e->o, "args");
	if (e->args && !json_is_object(e->args))
		return wrong(r, "args is no object");
	return true;
}

static bool check_event(struct reader *r, json_t *o)
{
	struct event e = {.o = o};
	const char *ph = json_string_value(json_object_get(o, "ph"));

	if (!json_is_object(o))
		return wrong(r, "an event is no object");
	if (!ph || strlen(ph) != 1 || !strchr("BEXiICbneSTpFstfPNODMVvRc", *ph))
		return wrong(r, "no such phase: '%.20s'", ph ? ph : "");
	e.ph = *ph;
	if (!take_name(r, &e) || !take_int(r, &e, "pid", true, &e.pid) ||
	    !take_int(r, &e, "tid", e.ph != 'M', &e.tid))
		return false;
	if (e.ph == 'M')
		return check_metadata(r, &e);
	return take_number(r, &e, "ts", &e.ts) && on_track(r, &e);
}

/* ---- the document
 * ----------------------------------------------------------------------- */

static void skip_space(struct reader *r)
{
	while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
		r->at++;
}

static bool sign(struct reader *r, char c)
{
	skip_space(r);
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

/* The next value, or NULL with the reason. */
static json_t *value(struct reader *r)
{
	json_error_t err;
	json_t *v;

	skip_space(r);
	v = json_loadb(r->at, (size_t)(r->end - r->at),
		       JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY |
			       JSON_REJECT_DUPLICATES,
		       &err);
	if (!v) {
		wrong(r, "no JSON: %.150s", err.text);
		return NULL;
	}
	r->at += err.position;
	return v;
}

static bool read_events(struct reader *r)
{
	if (!sign(r, '['))
		return wrong(r, "traceEvents is no array");
	if (sign(r, ']'))
		return true;
	do {
		json_t *v;
		bool ok;

		r->out->event++;
		v = value(r);
		ok = v && check_event(r, v);
		json_decref(v);
		if (!ok)
			return false;
		r->out->events++;
	} while (sign(r, ','));
	r->out->event = 0;
	return sign(r, ']') || wrong(r, "the array of events does not end");
}

static bool read_member(struct reader *r, bool *events)
{
	json_t *key = value(r), *v;
	const char *name = json_string_value(key);
	bool ok = true;

	if (!name || !sign(r, ':')) {
		json_decref(key);
		return wrong(r, "a key and a colon are wanted");
	}
	if (!strcmp(name, "traceEvents")) {
		json_decref(key);
		if (*events)
			return wrong(r, "traceEvents twice");
		*events = true;
		return read_events(r);
	}
	v = value(r);
	if (v && !strcmp(name, "displayTimeUnit")) {
		const char *unit = json_string_value(v);

		ok = unit && (!strcmp(unit, "ms") || !strcmp(unit, "ns"));
		if (!ok)
			wrong(r, "displayTimeUnit is neither ms nor ns");
	}
	json_decref(key);
	ok &= v != NULL;
	json_decref(v);
	return ok;
}

static bool read_document(struct reader *r)
{
	bool events = false;

	skip_space(r);
	if (r->at < r->end && *r->at == '[')
		return read_events(r);
	if (!sign(r, '{'))
		return wrong(r, "neither an object nor an array");
	do {
		if (!read_member(r, &events))
			return false;
	} while (sign(r, ','));
	if (!sign(r, '}'))
		return wrong(r, "the object does not end");
	return events || wrong(r, "no traceEvents");
}

bool perfetto_check(const char *text, size_t len, struct perfetto_check *out)
{
	struct reader r = {.at = text, .end = text + len, .out = out};
	bool ok;

	memset(out, 0, sizeof(*out));
	ok = read_document(&r);
	skip_space(&r);
	if (ok && r.at != r.end)
		ok = wrong(&r, "something follows the document");
	if (ok && r.left_open)
		ok = wrong(&r, "%llu spans do not end",
			   (unsigned long long)r.left_open);
	tdestroy(r.tracks, drop_track);
	return ok;
}

bool perfetto_check_file(const char *path, struct perfetto_check *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *text;
	bool ok;

	memset(out, 0, sizeof(*out));
	if (fd < 0 || fstat(fd, &st)) {
		snprintf(out->error, sizeof(out->error), "%s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	text = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ,
				 MAP_PRIVATE, fd, 0)
			  : NULL;
	close(fd);
	if (!text || text == MAP_FAILED) {
		snprintf(out->error, sizeof(out->error), "%s",
			 text ? strerror(errno) : "it is empty");
		return false;
	}
	ok = perfetto_check(text, (size_t)st.st_size, out);
	munmap(text, (size_t)st.st_size);
	return ok;
}
