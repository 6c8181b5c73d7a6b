/* SPDX-License-Identifier: MIT */
/*
 * events.h - what the manager's tracepoints say while a machine runs: as text,
 * as a trace that Perfetto opens, and as the life of one page.
 *
 * Rings are emptied whenever events_poll() is called, in the order of time;
 * each of the outputs sees every record. What a ring overwrote before is
 * counted and told at the end.
 */
#ifndef LAB_EVENTS_H
#define LAB_EVENTS_H

#include <stdio.h>

#include <mmkit/types.h>

struct trace_record;

struct events_opts {
	const char *list;     /* names and systems, or NULL */
	const char *out;      /* file of the text; NULL: standard output */
	const char *perfetto; /* file, or NULL */
	const char *life;     /* file of the page's life as JSON, or NULL */
	bool follow, by_pfn;
	u32 task; /* whose page at ADDRESS is followed */
	u64 address, pfn;
};

/* events_wanted: does O ask for anything? */
bool events_wanted(const struct events_opts *o);

/* events_check: a wrong name ends the process (err_usage). */
void events_check(const struct events_opts *o);
/* events_parse_follow: "TASK:ADDRESS" into O; as events_check(). */
void events_parse_follow(struct events_opts *o, const char *arg);

/*
 * events_start: rings for CPUS CPUs, and the outputs' files; what is asked for
 * is on from now. _poll: what the rings have goes to the outputs; the page
 * followed is of the address space with serial MM (0: not known yet). _stop:
 * the last of it, files closed; a write that failed ends the process (err_die).
 * Context: inside the machine.
 */
void events_start(const struct events_opts *o, u32 cpus);
void events_poll(u64 mm);
void events_stop(void);

/*
 * Records of another machine, which name their threads themselves: _import: the
 * outputs that O asks for begin (a page's life goes to standard error);
 * _record: R, in the order of time, MM as in events_poll(); _end: files are
 * closed, spans end at NS.
 * events_names: what O needs, to F, for that machine.
 */
void events_import(const struct events_opts *o);
void events_import_record(const struct trace_record *r, u64 mm);
void events_import_end(u64 ns);
void events_names(const struct events_opts *o, FILE *f);
/* events_file: the same of PATH, which host_trace_start() wrote (run_trace.c).
 * A file that is none ends the process (err_die). */
void events_file(const char *path, const struct events_opts *o);
/* events_who: the name of the thread that wrote R, into BUF. */
const char *events_who(const struct trace_record *r, char *buf, size_t size);
/* events_fields: R's arguments as "name=value ...", into BUF. */
const char *events_fields(const struct trace_record *r, char *buf, size_t size);
/* events_lru: the name of LRU list LRU. */
const char *events_lru(u64 lru);

/* ---- Perfetto (perfetto.c): the trace event format in JSON ------------------
 *
 * perfetto_open: the file is begun, or the process ends (err_die). _record: R,
 * in the order of time. _counters: free memory, watermarks and LRU sizes of
 * now, NS. _close: what is open ends at NS.
 */

void perfetto_open(const char *path);
void perfetto_record(const struct trace_record *r);
void perfetto_counters(u64 ns);
/* _counter: NAME is V pages at NS, in the order of time for each name. */
void perfetto_counter(const char *name, u64 ns, u64 v);
void perfetto_close(u64 ns);

/* ---- one page (follow.c) ----------------------------------------------------
 */

/*
 * follow_enable: the tracepoints that it needs are on. _begin: follow what O
 * asks for, and tell it to F. _record: R, in the order of time; MM as in
 * events_poll(). _end: no more.
 */
void follow_enable(void);
/* follow_needs: does it look at EVENT? */
bool follow_needs(u32 event);
void follow_begin(const struct events_opts *o, FILE *f);
void follow_record(const struct trace_record *r, u64 mm);
void follow_end(void);

#endif
