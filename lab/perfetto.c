/* SPDX-License-Identifier: MIT */
/*
 * perfetto.c - tracepoints in the JSON trace event format, which Perfetto's UI
 * and chrome://tracing open.
 *
 * Three processes: the threads, with each event at its time and spans for what
 * has a beginning and an end; the CPUs, with who ran on them as far as events
 * tell; the machine, with counters. Times are microseconds and go up in the
 * file, so on each track too.
 *
 * Reference: "Trace Event Format", the Chromium project.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/trace_ring.h"
#include "err.h"
#include "events.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "sim.h"

enum { PID_MACHINE = 1, PID_CPUS, PID_THREADS };

#define MOST_THREADS 4096u
#define MOST_OPEN    8u

/* A thread that wrote something: its spans that have begun. */
struct track {
	u32 id; /* trace_record.pid */
	u32 nr_open;
	u16 open[MOST_OPEN]; /* the events that end them */
};

static struct {
	FILE *f;
	const char *path;
	bool any;
	u64 last_ns, counted_ns;
	struct track tracks[MOST_THREADS];
	u32 nr_tracks;
	u64 runs[MM_NR_CPUS]; /* who runs there, plus 1; 0: nobody known */
	u64 counters[16];
} pf;

/* What begins by one event and ends by another. */
static const struct {
	u16 begin, end;
	const char *name;
} spans[] = {
	{TRACE_MM_VMSCAN_DIRECT_RECLAIM_BEGIN,
	 TRACE_MM_VMSCAN_DIRECT_RECLAIM_END, "direct reclaim"},
	{TRACE_MM_VMSCAN_KSWAPD_WAKE, TRACE_MM_VMSCAN_KSWAPD_SLEEP,
	 "kswapd awake"},
	{TRACE_MM_COMPACTION_BEGIN, TRACE_MM_COMPACTION_END, "compaction"},
	{TRACE_MM_COMPACTION_KCOMPACTD_WAKE,
	 TRACE_MM_COMPACTION_KCOMPACTD_SLEEP, "kcompactd awake"},
	{TRACE_KSM_START_SCAN, TRACE_KSM_STOP_SCAN, "ksm scan"},
};

/* ---- the file
 * ----------------------------------------------------------------- */

/* TEXT as a JSON string. */
static void put_string(const char *text)
{
	fputc('"', pf.f);
	for (; *text; text++) {
		u8 c = (u8)*text;

		if (c == '"' || c == '\\')
			fprintf(pf.f, "\\%c", c);
		else if (c < ' ' || c >= 0x7f) /* not said to be UTF-8 */
			fprintf(pf.f, "\\u%04x", c);
		else
			fputc(c, pf.f);
	}
	fputc('"', pf.f);
}

/* PH, NAME and where, up to the brace that is left open. */
static void begin_event(char ph, const char *name, u32 pid, u32 tid, u64 ns)
{
	fprintf(pf.f,
		"%s\n{\"ph\":\"%c\",\"pid\":%u,\"tid\":%u,\"ts\":%llu.%03llu,"
		"\"name\":",
		pf.any ? "," : "", ph, pid, tid,
		(unsigned long long)(ns / 1000),
		(unsigned long long)(ns % 1000));
	put_string(name);
	pf.any = true;
}

static void end_event(void)
{
	fputc('}', pf.f);
}

static void metadata(const char *what, u32 pid, u32 tid, const char *name)
{
	begin_event('M', what, pid, tid, 0);
	fputs(",\"args\":{\"name\":", pf.f);
	put_string(name);
	fputc('}', pf.f);
	end_event();
}

void perfetto_open(const char *path)
{
	memset(&pf, 0, sizeof(pf));
	pf.path = path;
	pf.f = fopen(path, "w");
	if (!pf.f)
		err_die("%s: %s", path, strerror(errno));
	fprintf(pf.f, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
	metadata("process_name", PID_MACHINE, 0, "memory");
	metadata("process_name", PID_CPUS, 0, "CPUs");
	metadata("process_name", PID_THREADS, 0, "tasks and daemons");
}

/* ---- tracks
 * ------------------------------------------------------------------- */

static u32 tid_of(u32 id)
{
	return id & ~SIM_TRACE_ID;
}

/* Threads with and without a pid are numbered apart. */
static u32 thread_tid(u32 id)
{
	return id & SIM_TRACE_ID ? 1000000 + tid_of(id) : id;
}

static struct track *track_of(const struct trace_record *r)
{
	struct track *t;
	char who[40];

	for (u32 i = pf.nr_tracks; i-- > 0;)
		if (pf.tracks[i].id == r->pid)
			return &pf.tracks[i];
	if (pf.nr_tracks == MOST_THREADS)
		return NULL;
	t = &pf.tracks[pf.nr_tracks++];
	t->id = r->pid;
	metadata("thread_name", PID_THREADS, thread_tid(r->pid),
		 events_who(r, who, sizeof(who)));
	return t;
}

/* CPU's span of who ran there ends, and R's begins. */
static void cpu_runs(const struct trace_record *r)
{
	u64 *who = &pf.runs[r->cpu];
	char name[40];

	if (*who == r->pid + 1ul)
		return;
	if (*who) {
		begin_event('E', "", PID_CPUS, r->cpu, r->ns);
		end_event();
	} else {
		snprintf(name, sizeof(name), "CPU %u", r->cpu);
		metadata("thread_name", PID_CPUS, r->cpu, name);
	}
	*who = r->pid + 1ul;
	begin_event('B', events_who(r, name, sizeof(name)), PID_CPUS, r->cpu,
		    r->ns);
	end_event();
}

static void span_begin(struct track *t, u32 i, const struct trace_record *r)
{
	if (t->nr_open == MOST_OPEN)
		return;
	t->open[t->nr_open++] = spans[i].end;
	begin_event('B', spans[i].name, PID_THREADS, thread_tid(r->pid), r->ns);
	end_event();
}

/* Spans nest: what began after this one ends with it. */
static void span_end(struct track *t, u32 i, const struct trace_record *r)
{
	u32 n = t->nr_open;

	while (n && t->open[n - 1] != spans[i].end)
		n--;
	while (n && t->nr_open >= n) {
		t->nr_open--;
		begin_event('E', "", PID_THREADS, thread_tid(r->pid), r->ns);
		end_event();
	}
}

void perfetto_record(const struct trace_record *r)
{
	const struct trace_event_info *e = trace_event_info(r->event);
	struct track *t = track_of(r);
	char fields[512];

	if (!t)
		return;
	cpu_runs(r);
	for (u32 i = 0; i < ARRAY_SIZE(spans); i++)
		if (spans[i].begin == r->event)
			span_begin(t, i, r);
	begin_event('i', e->name, PID_THREADS, thread_tid(r->pid), r->ns);
	fprintf(pf.f,
		",\"cat\":\"%s\",\"s\":\"t\",\"args\":{\"cpu\":%u,"
		"\"fields\":",
		e->system, r->cpu);
	put_string(events_fields(r, fields, sizeof(fields)));
	fputc('}', pf.f);
	end_event();
	for (u32 i = 0; i < ARRAY_SIZE(spans); i++)
		if (spans[i].end == r->event)
			span_end(t, i, r);
	pf.last_ns = r->ns;
}

/* ---- counters
 * ----------------------------------------------------------------- */

static void counter(u32 at, const char *name, u64 ns, u64 v)
{
	if (pf.counted_ns && pf.counters[at] == v)
		return;
	pf.counters[at] = v;
	perfetto_counter(name, ns, v);
}

void perfetto_counter(const char *name, u64 ns, u64 v)
{
	begin_event('C', name, PID_MACHINE, 0, ns);
	fprintf(pf.f, ",\"args\":{\"pages\":%llu}", (unsigned long long)v);
	end_event();
}

static u64 sum_marks(enum zone_watermarks w)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_populated_zone (zone)
		sum += wmark_pages(zone, w);
	return sum;
}

void perfetto_counters(u64 ns)
{
	static const struct {
		const char *name;
		enum node_stat_item item;
	} lists[] = {
		{"inactive anon", NR_INACTIVE_ANON},
		{"active anon", NR_ACTIVE_ANON},
		{"inactive file", NR_INACTIVE_FILE},
		{"active file", NR_ACTIVE_FILE},
		{"dirty", NR_FILE_DIRTY},
		{"writeback", NR_WRITEBACK},
	};

	if (ns < pf.last_ns)
		ns = pf.last_ns;
	counter(0, "free", ns, global_zone_page_state(NR_FREE_PAGES));
	counter(1, "watermark min", ns, sum_marks(WMARK_MIN));
	counter(2, "watermark low", ns, sum_marks(WMARK_LOW));
	counter(3, "watermark high", ns, sum_marks(WMARK_HIGH));
	for (u32 i = 0; i < ARRAY_SIZE(lists); i++)
		counter(4 + i, lists[i].name, ns,
			global_node_page_state(lists[i].item));
	pf.last_ns = ns;
	pf.counted_ns = max(ns, 1ul);
}

void perfetto_close(u64 ns)
{
	bool bad;

	ns = max(ns, pf.last_ns);
	for (u32 i = 0; i < pf.nr_tracks; i++) {
		for (; pf.tracks[i].nr_open; pf.tracks[i].nr_open--) {
			begin_event('E', "", PID_THREADS,
				    thread_tid(pf.tracks[i].id), ns);
			end_event();
		}
	}
	for (u32 cpu = 0; cpu < MM_NR_CPUS; cpu++) {
		if (!pf.runs[cpu])
			continue;
		begin_event('E', "", PID_CPUS, cpu, ns);
		end_event();
	}
	fprintf(pf.f, "\n]}\n");
	bad = ferror(pf.f) != 0;
	if (fclose(pf.f) || bad)
		err_die("%s: %s", pf.path, strerror(errno));
}
