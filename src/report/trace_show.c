/* SPDX-License-Identifier: MIT */
/*
 * trace_show.c - tracepoints as text.
 *
 * 1. Purpose. A record is words; trace_events.h says what they are called, and
 *    how Linux prints them. The same text is wanted by the bare machine's
 *    tracefs, by the replayer, and of records that came out of a machine that
 *    is gone.
 *
 * 2. Way. The event's text is walked: what follows a % takes the next field
 *    and says what it means. Values that have names (flags, zones, lists,
 *    reasons) are named here, in Linux's words; trace_format.c tells programs
 *    the same.
 *
 * 3. Invariants.
 *    TS-1  Nothing is looked up in the machine: two records that are equal
 *          give equal text, wherever they were written. But for functions:
 *          those have names where somebody knows them (trace_set_symbol()).
 *    TS-2  A value beyond its table is shown as a number.
 *
 * 4. Locking, failure. None; text that does not fit is the seq_buf's to tell.
 *
 * References: Linux documentation, trace/events and trace/ftrace; proc(5).
 */
#include "report/trace_show.h"

#include "base/assert.h"
#include "base/bitops.h"
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

/* Tables by value; those of bits by the bit's number. */
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
static const char *const compact_priorities[] = {"COMPACT_PRIO_SYNC_FULL",
						 "COMPACT_PRIO_SYNC_LIGHT",
						 "COMPACT_PRIO_ASYNC"};
static const char *const compact_feedback[] = {NULL, "failed", "withdrawn",
					       "progress"};
static const char *const sync_modes[] = {"async", "sync"};
static const char *const truths[] = {"false", "true"};
static const char *const tlb_reasons[] = {
	"flush on task switch", "remote shootdown", "local shootdown",
	"local mm shootdown", "remote ipi send"};
static const char *const rss_members[] = {"MM_FILEPAGES", "MM_ANONPAGES",
					  "MM_SWAPENTS", "MM_SHMEMPAGES"};
static const char *const writeback_reasons[] = {
	"background",	"vmscan",	 "sync",	  "periodic",
	"laptop_timer", "fs_free_space", "forker_thread", "foreign_flush"};
/* By enum thp_result; the second is the manager's own. */
static const char *const scan_results[] = {
	"succeeded",
	"promoted",
	"pmd_null",
	"page_pmd_mapped",
	"exceed_none_pte",
	"exceed_swap_pte",
	"exceed_shared_pte",
	"pte_non_present",
	"no_writable_page",
	"lack_referenced_page",
	"page_not_anon",
	"page_locked",
	"page_not_in_lru",
	"not_suitable_page_count",
	"failed",
	"alloc_huge_page_failed",
	"vma_check_failed",
};
static const char *const reclaim_flags[] = {
	"RECLAIM_WB_ANON", "RECLAIM_WB_FILE", "RECLAIM_WB_SYNC",
	"RECLAIM_WB_ASYNC", "RECLAIM_WB_MIXED"};
static const char *const throttle_reasons[] = {
	"VMSCAN_THROTTLE_WRITEBACK", "VMSCAN_THROTTLE_ISOLATED",
	"VMSCAN_THROTTLE_NOPROGRESS", "VMSCAN_THROTTLE_CONGESTED"};
static const char *const inode_states[] = {"I_DIRTY_PAGES", "I_SYNC",
					   "I_FREEING"};

static const struct name_table {
	char kind;
	bool bits;
	u8 nr;
	const char *const *names;
	const char *none; /* without any bit */
} name_tables[] = {
#define VALUES(letter, table)                                           \
	{                                                               \
		.kind = letter, .nr = ARRAY_SIZE(table), .names = table \
	}
#define BITS(letter, table, no)                                        \
	{                                                              \
		.kind = letter, .bits = true, .nr = ARRAY_SIZE(table), \
		.names = table, .none = no                             \
	}
	VALUES('R', migrate_reasons),
	VALUES('M', migrate_modes),
	VALUES('C', compact_results),
	VALUES('P', compact_priorities),
	VALUES('K', compact_feedback),
	VALUES('y', sync_modes),
	VALUES('b', truths),
	VALUES('T', tlb_reasons),
	VALUES('r', rss_members),
	VALUES('W', writeback_reasons),
	VALUES('A', scan_results),
	BITS('w', reclaim_flags, "RECLAIM_WB_NONE"),
	BITS('t', throttle_reasons, "VMSCAN_THROTTLE_NONE"),
	BITS('I', inode_states, "0"),
#undef VALUES
#undef BITS
};

static const struct name_table *table_of(char kind)
{
	for (u32 i = 0; i < ARRAY_SIZE(name_tables); i++)
		if (name_tables[i].kind == kind)
			return &name_tables[i];
	return NULL;
}

const char *trace_bits_none(char kind)
{
	const struct name_table *t = table_of(kind);

	return kind == 'g' ? "none" : t && t->bits ? t->none : NULL;
}

const char *trace_value_name(char kind, u32 i, u64 *value)
{
	const struct name_table *t = table_of(kind);
	u32 mask = 0;
	const char *name;

	*value = i;
	switch (kind) {
	case 'g':
		name = gfp_name(i, &mask);
		*value = mask;
		return name;
	case 'l':
		return i < NR_LRU_LISTS
			       ? vmstat_node_name((int)(NR_LRU_BASE + i)) + 3
			       : NULL;
	case 'Z':
		return i < MAX_NR_ZONES ? zone_type_name((enum zone_type)i)
					: NULL;
	default:
		break;
	}
	if (!t || i >= t->nr)
		return NULL;
	*value = t->bits ? BIT(i) : i;
	return t->names[i] ? t->names[i] : "";
}

/* Names of V's bits, joined. */
static void put_bits(struct seq_buf *s, const struct name_table *t, u64 v)
{
	bool any = false;

	for (u32 i = 0; i < t->nr; i++) {
		if (!(v >> i & 1))
			continue;
		seq_printf(s, "%s%s", any ? "|" : "", t->names[i]);
		any = true;
	}
	if (!any)
		seq_puts(s, t->none);
}

static void put_symbol(struct seq_buf *s, char kind, u64 v)
{
	u64 same = v + 1;
	const char *name =
		v < 64 ? trace_value_name(kind, (u32)v, &same) : NULL;

	if (name && same == v)
		seq_printf(s, kind == 'Z' ? "%-8s" : "%s", name);
	else if (kind == 'l')
		seq_puts(s, "none");
	else
		seq_printf(s, kind == 'Z' ? "%-8llu" : "%llu", (ull)v);
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

static void put_string(struct seq_buf *s, const u64 *words, u32 size)
{
	for (u32 i = 0; i < size; i++) {
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
	case 'o':
		seq_printf(s, "%llu", (ull)(v << PAGE_SHIFT));
		break;
	case 'D':
		seq_printf(s, "%llu:%llu", (ull)(v >> 20), (ull)(v & 0xfffff));
		break;
	default:
		mm_assert(false);
		break;
	}
}

static void put_address(struct seq_buf *s, bool offset, u64 v)
{
	u32 (*name)(u64 addr, bool offset, char *buf, u32 size) =
		__atomic_load_n(&base_sys.trace_symbol, __ATOMIC_SEQ_CST);
	char text[96];

	if (name && name(v, offset, text, sizeof(text)))
		seq_puts(s, text);
	else
		seq_printf(s, "0x%llx", (ull)v);
}

static void put_value(struct seq_buf *s, char kind, u64 v)
{
	const struct name_table *t = table_of(kind);

	if (kind == 'f' || kind == 'n')
		put_address(s, kind == 'f', v);
	else if (kind == 'g' && !v)
		seq_puts(s, trace_bits_none(kind));
	else if (kind == 'g')
		name_gfp(s, (gfp_t)v);
	else if (kind == 'F')
		put_page_flags(s, v);
	else if (t && t->bits)
		put_bits(s, t, v);
	else if (t || kind == 'l' || kind == 'Z')
		put_symbol(s, kind, v);
	else
		put_number(s, kind, v);
}

u32 trace_fields(u32 event, struct trace_field_info f[TRACE_ARGS])
{
	const struct trace_event_info *e = trace_event_info(event);
	const char *args = e ? e->args : "";
	u32 n = 0, word = 0;

	while (n < TRACE_ARGS && trace_next_field(&args, &f[n])) {
		f[n].word = word;
		word += f[n].words;
		n++;
	}
	mm_assert(!*args && word <= TRACE_ARGS);
	return n;
}

/* What stands at *TEXT, behind its %: the field's number, and its kind. */
static char text_kind(const char **text, u32 *field)
{
	const char *p = *text;

	if (*p >= '0' && *p <= '9') {
		for (*field = 0; *p >= '0' && *p <= '9'; p++)
			*field = *field * 10 + (u32)(*p - '0');
	}
	*text = p;
	return *p;
}

u32 trace_text(const char **text, u32 *field, char *kind)
{
	const char *p = *text;
	u32 plain = 0;

	while (p[plain] && p[plain] != '%')
		plain++;
	*kind = '\0';
	*text = p + plain;
	if (p[plain]) {
		*text += 1;
		*kind = text_kind(text, field);
		*text += 1;
	}
	return plain;
}

void trace_show_fields(const struct trace_record *r, struct seq_buf *out)
{
	const struct trace_event_info *e = trace_event_info(r->event);
	struct trace_field_info f[TRACE_ARGS];
	u32 nr = trace_fields(r->event, f), at = 0, plain;
	const char *text = e ? e->print : "", *from;
	char kind;

	do {
		from = text;
		plain = trace_text(&text, &at, &kind);
		seq_printf(out, "%.*s", (int)plain, from);
		if (!kind || at >= nr)
			return;
		if (kind == 's' || kind == 'm')
			put_string(out, &r->arg[f[at].word], f[at].words * 8);
		else
			put_value(out, kind, r->arg[f[at].word]);
		at++;
	} while (*text);
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
	/* Programs write to trace_marker what Linux tells like this. */
	seq_printf(out, ": %s: ",
		   r->event == TRACE_PRINT ? "tracing_mark_write"
		   : e			   ? e->name
					   : "?");
	trace_show_fields(r, out);
	seq_putc(out, '\n');
}

/* ---- what the fields are
 * ----------------------------------------------------------------------- */

u32 trace_next_field(const char **args, struct trace_field_info *f)
{
	const char *p = *args;
	u32 n = 0;

	while (*p == ' ')
		p++;
	*f = (struct trace_field_info){.type = 'L', .words = 1};
	if (!*p)
		return 0;
	for (; *p && *p != ' ' && *p != ':'; p++)
		if (n < sizeof(f->name) - 1)
			f->name[n++] = *p;
	if (*p == ':') {
		f->type = p[1];
		p += 2;
	}
	f->words = f->type == 's'   ? 2
		   : f->type == 'q' ? TRACE_PATH_TEXT / 8
		   : f->type == 'm' ? TRACE_PRINT_TEXT / 8
				    : 1;
	*args = p;
	return f->words;
}

u64 trace_field(const struct trace_record *r, const char *want)
{
	struct trace_field_info f[TRACE_ARGS];
	u32 nr = trace_fields(r->event, f);

	for (u32 i = 0; i < nr; i++)
		if (mm_strcmp(f[i].name, want) == 0)
			return r->arg[f[i].word];
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
