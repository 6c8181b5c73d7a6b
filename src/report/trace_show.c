/* SPDX-License-Identifier: MIT */
/*
 * trace_show.c - tracepoints as text.
 *
 * 1. Purpose. A record is words; trace_events.h says what they are called, and
 *    how Linux prints them. The same text is wanted by the bare machine's
 *    tracefs, by the replayer, and of records that came out of a machine that
 *    is gone.
 *
 * 2. Way. The event's text is walked: what follows a % takes the next word (a
 *    string takes two) and says what it means. Values that have names (flags,
 *    zones, lists, reasons) are named here, in Linux's words.
 *
 * 3. Invariants.
 *    TS-1  Nothing is looked up in the machine: two records that are equal
 *          give equal text, wherever they were written.
 *    TS-2  A value beyond its table is shown as a number.
 *
 * 4. Locking, failure. None; text that does not fit is the seq_buf's to tell.
 *
 * References: Linux documentation, trace/events and trace/ftrace; proc(5).
 */
#include "report/trace_show.h"

#include "base/seqbuf.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/page_debug.h"
#include "phys/vmstat.h"

typedef unsigned long long ull;

/* ---- values with names
 * ----------------------------------------------------------------------- */

static const char *const migrate_reasons[] = {
	"compaction",	     "memory_failure",	"memory_hotplug",
	"syscall_or_cpuset", "mempolicy_mbind", "numa_misplaced",
	"contig_range",	     "longterm_pin",	"demotion",
};
static const char *const migrate_modes[] = {
	"MIGRATE_ASYNC", "MIGRATE_SYNC_LIGHT", "MIGRATE_SYNC",
	"MIGRATE_SYNC_NO_COPY"};
static const char *const compact_results[] = {
	"not_suitable_zone", "skipped",	  "deferred",
	"no_suitable_page",  "continue",  "complete",
	"partial_skipped",   "contended", "success",
};
static const char *const sync_modes[] = {"async", "sync"};
static const char *const truths[] = {"false", "true"};

static void put_name(struct seq_buf *s, const char *const *names, u32 nr, u64 v)
{
	if (v < nr)
		seq_puts(s, names[v]);
	else
		seq_printf(s, "%llu", (ull)v);
}
#define PUT_NAME(s, table, v) put_name(s, table, ARRAY_SIZE(table), v)

/* Names of V's bits, joined; NONE if it has none. */
static void put_bits(struct seq_buf *s, const char *const *names, u32 nr, u64 v,
		     const char *none)
{
	bool any = false;

	for (u32 i = 0; i < nr; i++) {
		if (!(v >> i & 1) || !names[i])
			continue;
		seq_printf(s, "%s%s", any ? "|" : "", names[i]);
		any = true;
	}
	if (!any)
		seq_puts(s, none);
}

static void put_lru(struct seq_buf *s, u64 lru)
{
	if (lru < NR_LRU_LISTS)
		seq_puts(s, vmstat_node_name((int)(NR_LRU_BASE + lru)) + 3);
	else
		seq_puts(s, "none");
}

static void put_zone(struct seq_buf *s, u64 idx)
{
	if (idx < MAX_NR_ZONES)
		seq_printf(s, "%-8s", zone_type_name((enum zone_type)idx));
	else
		seq_printf(s, "%-8llu", (ull)idx);
}

static void put_reclaim_flags(struct seq_buf *s, u64 v)
{
	static const char *const names[] = {
		"RECLAIM_WB_ANON", "RECLAIM_WB_FILE", "RECLAIM_WB_SYNC",
		"RECLAIM_WB_ASYNC", "RECLAIM_WB_MIXED"};

	put_bits(s, names, ARRAY_SIZE(names), v, "RECLAIM_WB_NONE");
}

static void put_throttle(struct seq_buf *s, u64 v)
{
	static const char *const names[] = {
		"VMSCAN_THROTTLE_WRITEBACK", "VMSCAN_THROTTLE_ISOLATED",
		"VMSCAN_THROTTLE_NOPROGRESS", "VMSCAN_THROTTLE_CONGESTED"};

	put_bits(s, names, ARRAY_SIZE(names), v, "VMSCAN_THROTTLE_NONE");
}

/* A letter for each thing that is so. */
static void put_page_flags(struct seq_buf *s, u64 v)
{
	seq_putc(s, v & 1 ? 'M' : ' ');
	seq_putc(s, v & 2 ? 'a' : 'f');
	seq_putc(s, v & 4 ? 's' : ' ');
	seq_putc(s, v & 8 ? 'b' : ' ');
	seq_putc(s, v & 16 ? 'd' : ' ');
	seq_putc(s, v & 32 ? 'B' : ' ');
}

static void put_string(struct seq_buf *s, const u64 *words)
{
	for (u32 i = 0; i < 16; i++) {
		char c = (char)(words[i / 8] >> i % 8 * 8);

		if (!c)
			return;
		seq_putc(s, c >= ' ' && c < 0x7f && c != '"' && c != '\\'
				    ? c
				    : '?');
	}
}

/* ---- lines
 * ----------------------------------------------------------------------- */

static void put_number(struct seq_buf *s, char kind, u64 v)
{
	switch (kind) {
	case 'x':
		seq_printf(s, "0x%llx", (ull)v);
		break;
	case 'h':
		seq_printf(s, "%llx", (ull)v);
		break;
	case 'u':
		seq_printf(s, "%llu", (ull)v);
		break;
	case 'd':
		seq_printf(s, "%lld", (long long)v);
		break;
	case 'S':
		seq_printf(s, "%llu", (ull)(1UL << (v & 63)));
		break;
	case 'D':
		seq_printf(s, "%llu:%llu", (ull)(v >> 20), (ull)(v & 0xfffff));
		break;
	default:
		break; /* '-': not told */
	}
}

static void put_value(struct seq_buf *s, char kind, u64 v)
{
	switch (kind) {
	case 'g':
		name_gfp(s, (gfp_t)v);
		break;
	case 'l':
		put_lru(s, v);
		break;
	case 'R':
		PUT_NAME(s, migrate_reasons, v);
		break;
	case 'M':
		PUT_NAME(s, migrate_modes, v);
		break;
	case 'C':
		PUT_NAME(s, compact_results, v);
		break;
	case 'y':
		PUT_NAME(s, sync_modes, v);
		break;
	case 'b':
		PUT_NAME(s, truths, v);
		break;
	case 'Z':
		put_zone(s, v);
		break;
	case 'w':
		put_reclaim_flags(s, v);
		break;
	case 't':
		put_throttle(s, v);
		break;
	case 'F':
		put_page_flags(s, v);
		break;
	default:
		put_number(s, kind, v);
	}
}

void trace_show_fields(const struct trace_record *r, struct seq_buf *out)
{
	const struct trace_event_info *e = trace_event_info(r->event);
	u32 at = 0;

	if (!e)
		return;
	for (const char *p = e->print; *p; p++) {
		if (*p != '%') {
			seq_putc(out, *p);
			continue;
		}
		p++;
		if (at + (*p == 's') >= TRACE_ARGS)
			return;
		if (*p == 's')
			put_string(out, &r->arg[at++]);
		else
			put_value(out, *p, r->arg[at]);
		at++;
	}
}

void trace_show_line(const struct trace_record *r, const char *who, u32 digits,
		     struct seq_buf *out)
{
	const struct trace_event_info *e = trace_event_info(r->event);
	ull part = r->ns % 1000000000u;
	char name[40];

	if (!who) {
		(void)mm_scnprintf(name, sizeof(name), "%.16s-%u",
				   r->comm[0] ? r->comm : "<...>", r->pid);
		who = name;
	}
	seq_printf(out, "%16s [%03u] ", who, r->cpu);
	if (digits == 6)
		seq_printf(out, "..... %5llu.%06llu",
			   (ull)(r->ns / 1000000000u), part / 1000);
	else
		seq_printf(out, "%5llu.%09llu", (ull)(r->ns / 1000000000u),
			   part);
	seq_printf(out, ": %s: ", e ? e->name : "?");
	trace_show_fields(r, out);
	seq_putc(out, '\n');
}

/* ---- what the fields are
 * ----------------------------------------------------------------------- */

/* The field at *ARGS: its name to NAME, its words; *ARGS is behind it. 0: there
 * is none. */
static u32 next_field(const char **args, char name[32])
{
	const char *p = *args;
	u32 words = 1;
	u32 n = 0;

	while (*p == ' ')
		p++;
	if (!*p)
		return 0;
	for (; *p && *p != ' ' && *p != ':'; p++)
		if (n < 31)
			name[n++] = *p;
	name[n] = '\0';
	if (*p == ':') {
		words = 2; /* ":16" */
		p += 3;
	}
	*args = p;
	return words;
}

static void put_field(struct seq_buf *out, const char *type, const char *name,
		      size_t offset, size_t size, int is_signed)
{
	seq_printf(
		out, "\tfield:%s %s%s;\toffset:%zu;\tsize:%zu;\tsigned:%d;\n",
		type, name, size == 16 ? "[16]" : "", offset, size, is_signed);
}

void trace_show_format(u32 event, struct seq_buf *out)
{
	const struct trace_event_info *e = trace_event_info(event);
	size_t at = offsetof(struct trace_record, arg);
	const char *args = e->args;
	char name[32];
	u32 words;

	seq_printf(out, "name: %s\nID: %u\nformat:\n", e->name, event);
	put_field(out, "u64", "common_ns", offsetof(struct trace_record, ns), 8,
		  0);
	put_field(out, "unsigned short", "common_type",
		  offsetof(struct trace_record, event), 2, 0);
	put_field(out, "unsigned short", "common_cpu",
		  offsetof(struct trace_record, cpu), 2, 0);
	put_field(out, "int", "common_pid", offsetof(struct trace_record, pid),
		  4, 1);
	put_field(out, "char", "common_comm",
		  offsetof(struct trace_record, comm), 16, 0);
	seq_putc(out, '\n');
	while ((words = next_field(&args, name))) {
		put_field(out, words == 2 ? "char" : "u64", name, at, words * 8,
			  0);
		at += words * 8;
	}
	seq_printf(out, "\nprint fmt: \"%s\"\n", e->print);
}

u64 trace_field(const struct trace_record *r, const char *want)
{
	const struct trace_event_info *e = trace_event_info(r->event);
	const char *args = e ? e->args : "";
	char name[32];
	u32 at = 0, words;

	while ((words = next_field(&args, name)) && at < TRACE_ARGS) {
		if (mm_strcmp(name, want) == 0)
			return r->arg[at];
		at += words;
	}
	return 0;
}

/* ---- names
 * ----------------------------------------------------------------------- */

static bool word_is(const char *word, size_t len, const char *name)
{
	return mm_strlen(name) == len && mm_strncmp(word, name, len) == 0;
}

bool trace_named(u32 event, const char *word, size_t len)
{
	const struct trace_event_info *e = trace_event_info(event);
	size_t sys = mm_strlen(e->system);

	if (word_is(word, len, "all") || word_is(word, len, "*:*") ||
	    word_is(word, len, e->system) || word_is(word, len, e->name))
		return true;
	if (len <= sys || mm_strncmp(word, e->system, sys) != 0 ||
	    word[sys] != ':')
		return false;
	word += sys + 1;
	len -= sys + 1;
	return !len || word_is(word, len, "*") || word_is(word, len, e->name);
}
