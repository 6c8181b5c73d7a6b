/* SPDX-License-Identifier: MIT */
/*
 * events.c - the rings of the tracepoints, their names, and their text.
 *
 * The text is report's (report/trace_show.h), in the form of Linux's trace
 * files: "comm-pid [cpu] seconds: event: fields".
 */
#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/port.h>

#include "args.h"
#include "base/seqbuf.h"
#include "base/trace_ring.h"
#include "err.h"
#include "phys/lru.h"
#include "phys/vmstat.h"
#include "report/trace_show.h"
#include "sim.h"

/* Records of a ring: more than one turn of a replay writes. */
#define RING_RECORDS (1u << 17)

static struct {
	struct events_opts o;
	struct trace_record *ring[MM_NR_CPUS];
	u32 cpus;
	FILE *text;
	bool chosen[NR_TRACE_EVENTS]; /* for the text */
	u64 lost, written;
} ev;

bool events_wanted(const struct events_opts *o)
{
	return o->list || o->perfetto || o->follow || o->life;
}

/* ---- names
 * -------------------------------------------------------------------- */

/* One word of the list; ends the process if nothing is called so. */
static void choose(const char *word, size_t len, bool *chosen)
{
	const char *names[NR_TRACE_EVENTS], *near;
	char text[64];
	bool any = false;

	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		names[i] = trace_event_info(i)->name;
		if (trace_named(i, word, len))
			chosen[i] = any = true;
	}
	if (any)
		return;
	snprintf(text, sizeof(text), "%.*s", (int)len, word);
	near = err_suggest(text, names, NR_TRACE_EVENTS);
	if (near)
		err_usage("--trace: '%s': no such event; %s?", text, near);
	err_usage("--trace: '%s': no such event or system", text);
}

static void choose_all(const char *list, bool *chosen)
{
	while (list) {
		size_t len = strcspn(list, ",");

		choose(list, len, chosen);
		list = list[len] ? list + len + 1 : NULL;
	}
}

void events_check(const struct events_opts *o)
{
	bool chosen[NR_TRACE_EVENTS] = {false};

	if (o->life && !o->follow)
		err_usage("--life: of which page? give --follow or --pfn");
	choose_all(o->list, chosen);
}

void events_parse_follow(struct events_opts *o, const char *arg)
{
	char *end;

	errno = 0;
	o->task = (u32)strtoul(arg, &end, 10);
	if (end == arg || *end != ':' || errno)
		err_usage("--follow: '%s': TASK:ADDRESS", arg);
	arg = end + 1;
	o->address = strtoull(arg, &end, 0);
	if (end == arg || *end || errno)
		err_usage("--follow: '%s': no address", arg);
	o->address &= ~(u64)(PAGE_SIZE - 1);
	o->follow = true;
}

const char *events_lru(u64 lru)
{
	if (lru >= NR_LRU_LISTS)
		return "no list";
	return vmstat_node_name((int)(NR_LRU_BASE + lru)) + strlen("nr_");
}

static bool ev_foreign;

const char *events_who(const struct trace_record *r, char *buf, size_t size)
{
	const char *name;

	if (ev_foreign) {
		snprintf(buf, size, "%.16s-%u", r->comm[0] ? r->comm : "<...>",
			 r->pid);
		return buf;
	}
	if (!(r->pid & SIM_TRACE_ID)) {
		snprintf(buf, size, "task-%u", r->pid);
		return buf;
	}
	name = sim_thread_name(r->pid);
	snprintf(buf, size, "%s", name ? name : "ended");
	return buf;
}

const char *events_fields(const struct trace_record *r, char *buf, size_t size)
{
	struct seq_buf s;

	seq_buf_init(&s, buf, size);
	trace_show_fields(r, &s);
	return seq_buf_str(&s);
}

static void put_text(const struct trace_record *r)
{
	static char line[1024];
	char who[40];
	struct seq_buf s;

	seq_buf_init(&s, line, sizeof(line));
	trace_show_line(r, events_who(r, who, sizeof(who)), 9, &s);
	fputs(seq_buf_str(&s), ev.text);
}

/* ---- running
 * ------------------------------------------------------------------ */

static FILE *open_out(const char *path)
{
	FILE *f = path ? fopen(path, "w") : stdout;

	if (!f)
		err_die("%s: %s", path, strerror(errno));
	return f;
}

static void attach(void)
{
	for (u32 i = 0; i < ev.cpus; i++)
		trace_ring_attach((int)i, ev.ring[i], RING_RECORDS);
}

static void enable(void)
{
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++)
		if (ev.chosen[i] || (ev.o.perfetto && i != TRACE_TEST_EVENT))
			trace_enable((enum trace_event)i);
	if (ev.o.follow)
		follow_enable();
}

void events_start(const struct events_opts *o, u32 cpus)
{
	ev.o = *o;
	ev.cpus = cpus;
	choose_all(o->list, ev.chosen);
	for (u32 i = 0; i < cpus; i++) {
		ev.ring[i] = calloc(RING_RECORDS, sizeof(*ev.ring[i]));
		if (!ev.ring[i])
			err_die("no memory for the trace");
	}
	if (o->list)
		ev.text = open_out(o->out);
	if (o->perfetto)
		perfetto_open(o->perfetto);
	if (o->follow)
		follow_begin(o, stdout);
	attach();
	enable();
}

static void pass_on(const struct trace_record *r, u64 mm)
{
	if (ev.chosen[r->event])
		put_text(r);
	if (ev.o.perfetto)
		perfetto_record(r);
	if (ev.o.follow)
		follow_record(r, mm);
	ev.written++;
}

void events_poll(u64 mm)
{
	struct trace_cursor c;
	struct trace_record r;

	if (!ev.cpus)
		return;
	trace_enable_mask(0);
	for (u32 i = 0; i < ev.cpus; i++)
		ev.lost += trace_lost((int)i);
	trace_cursor_init(&c);
	while (trace_cursor_next(&c, &r))
		pass_on(&r, mm);
	if (ev.o.perfetto)
		perfetto_counters(port_now_ns());
	attach();
	enable();
}

void events_import(const struct events_opts *o)
{
	ev.o = *o;
	ev_foreign = true;
	choose_all(o->list, ev.chosen);
	if (o->list)
		ev.text = open_out(o->out);
	if (o->perfetto)
		perfetto_open(o->perfetto);
	if (o->follow)
		follow_begin(o, stderr);
}

void events_import_record(const struct trace_record *r, u64 mm)
{
	if (r->event < NR_TRACE_EVENTS && r->cpu < MM_NR_CPUS)
		pass_on(r, mm);
}

static void close_text(void)
{
	bool bad = fflush(ev.text) || ferror(ev.text);

	if (ev.text != stdout)
		bad |= fclose(ev.text) != 0;
	if (bad)
		err_die("%s: %s", ev.o.out ? ev.o.out : "standard output",
			strerror(errno));
}

void events_import_end(u64 ns)
{
	if (ev.o.perfetto)
		perfetto_close(ns);
	if (ev.o.follow)
		follow_end();
	if (ev.text)
		close_text();
	memset(&ev, 0, sizeof(ev));
}

void events_names(const struct events_opts *o, FILE *f)
{
	bool chosen[NR_TRACE_EVENTS] = {false};
	bool any = false;

	choose_all(o->list, chosen);
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		/* What programs write to trace_marker needs no asking. */
		if (i == TRACE_TEST_EVENT || i == TRACE_PRINT ||
		    (!chosen[i] && !o->perfetto &&
		     !(o->follow && follow_needs(i))))
			continue;
		fprintf(f, "%s%s", any ? "," : "", trace_event_info(i)->name);
		any = true;
	}
}

void events_stop(void)
{
	if (!ev.cpus)
		return;
	events_poll(0);
	trace_enable_mask(0);
	if (ev.o.perfetto)
		perfetto_close(port_now_ns());
	if (ev.o.follow)
		follow_end();
	if (ev.text)
		close_text();
	for (u32 i = 0; i < ev.cpus; i++) {
		trace_ring_attach((int)i, NULL, 0);
		free(ev.ring[i]);
	}
	if (ev.lost)
		err_say("--trace: %llu events were overwritten before they "
			"could be told, %llu told",
			(unsigned long long)ev.lost,
			(unsigned long long)ev.written);
	memset(&ev, 0, sizeof(ev));
}
