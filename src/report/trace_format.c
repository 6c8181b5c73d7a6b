/* SPDX-License-Identifier: MIT */
/*
 * trace_format.c - tracepoints for programs that read rings.
 *
 * 1. Purpose. libtraceevent, and what is built on it (trace-cmd, perf), reads
 *    records as bytes. Each event's file "format" says where its fields lie and
 *    how they are printed: a format of printf() and expressions in C over the
 *    fields, REC->name.
 *
 * 2. Bytes. Eight that all events have (number, flags, depth of preemption,
 *    process), then the fields in order, each aligned to its size, as a
 *    compiler for the machine lays a structure out. So the sizes of the types
 *    are here, while a record in memory has a word for each.
 *
 * 3. Invariants.
 *    TF-1  trace_show_format() and trace_raw() walk the same layout.
 *    TF-2  What the expressions print is what trace_show_fields() writes.
 *
 * 4. Locking, failure. None.
 *
 * References: Linux documentation, trace/events (event formats), trace/ftrace;
 * libtraceevent's manual pages.
 */
#include "base/assert.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "report/trace_show.h"

#define COMMON_SIZE 8u

/* A type of fields as programs know it. */
struct raw_type {
	char letter;
	u8 size;
	bool sign;
	const char *name;
};

static const struct raw_type *type_of(char letter)
{
	static const struct raw_type types[] = {
		{'L', 8, false, "unsigned long"},
		{'l', 8, true, "long"},
		{'u', 4, false, "unsigned int"},
		{'d', 4, true, "int"},
		{'h', 2, true, "short"},
		{'c', 1, false, "unsigned char"},
		{'b', 1, false, "bool"},
		{'p', 8, false, "const void *"},
		{'z', 8, false, "size_t"},
		{'D', 4, false, "dev_t"},
		{'s', 16, false, "char"},
		{'q', TRACE_PATH_TEXT, false, "char"},
		{'m', TRACE_PRINT_TEXT, false, "char"},
	};

	for (u32 i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].letter == letter)
			return &types[i];
	mm_assert(false);
	return &types[0];
}

/* Where a field of T lies if what is before it ends at AT. */
static u32 place(const struct raw_type *t, u32 at)
{
	u32 align = t->size > 8 ? 1 : t->size;

	return ALIGN(at, align);
}

/* ---- bytes
 * ----------------------------------------------------------------------- */

u32 trace_raw(const struct trace_record *r, u8 buf[TRACE_RAW_MAX])
{
	struct trace_field_info f[TRACE_ARGS];
	u32 nr = trace_fields(r->event, f), at = COMMON_SIZE;
	u16 id = (u16)TRACE_ID(r->event);

	mm_memset(buf, 0, TRACE_RAW_MAX);
	mm_memcpy(buf, &id, sizeof(id));
	mm_memcpy(buf + 4, &r->pid, sizeof(r->pid));
	for (u32 i = 0; i < nr; i++) {
		const struct raw_type *t = type_of(f[i].type);

		at = place(t, at);
		mm_memcpy(buf + at, &r->arg[f[i].word], t->size);
		at += t->size;
	}
	return ALIGN(at, 4u);
}

/* ---- what lies where
 * ----------------------------------------------------------------------- */

static void put_field(struct seq_buf *out, const struct raw_type *t,
		      const char *name, u32 at)
{
	seq_printf(out, "\tfield:%s %s", t->name, name);
	if (t->size > 8)
		seq_printf(out, "[%u]", t->size);
	seq_printf(out, ";\toffset:%u;\tsize:%u;\tsigned:%d;\n", at, t->size,
		   t->sign);
}

static void put_common(struct seq_buf *out)
{
	seq_puts(out,
		 "\tfield:unsigned short common_type;"
		 "\toffset:0;\tsize:2;\tsigned:0;\n"
		 "\tfield:unsigned char common_flags;"
		 "\toffset:2;\tsize:1;\tsigned:0;\n"
		 "\tfield:unsigned char common_preempt_count;"
		 "\toffset:3;\tsize:1;\tsigned:0;\n"
		 "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n");
}

/* ---- how it is printed
 * ----------------------------------------------------------------------- */

/* The format of a field F of KIND. */
static void put_conversion(struct seq_buf *out, char kind,
			   const struct trace_field_info *f)
{
	const struct raw_type *t = type_of(f->type);
	const char *size = t->size == 8 ? "l" : "";
	u64 value;

	if (kind == 'F')
		seq_puts(out, "%s%s%s%s%s%s");
	else if (kind == 'D')
		seq_puts(out, "%d:%d");
	else if (kind == 'S' || kind == 'o')
		seq_puts(out, "%lu");
	else if (kind == 'f' || kind == 'n')
		seq_puts(out, kind == 'f' ? "%pS" : "%ps");
	else if (kind == 'x' || kind == 'h')
		seq_printf(out, "%s%%%sx", kind == 'x' ? "0x" : "", size);
	else if (t->size > 8 || trace_value_name(kind, 0, &value))
		seq_puts(out, kind == 'Z' ? "%-8s" : "%s");
	else
		seq_printf(out, "%%%s%c", size, kind);
}

/* {1, "one"}, ... for all names of KIND. */
static void put_names(struct seq_buf *out, char kind)
{
	const char *name;
	u64 value;

	for (u32 i = 0; (name = trace_value_name(kind, i, &value)); i++)
		if (*name)
			seq_printf(out, ", {0x%llx, \"%s\"}",
				   (unsigned long long)value, name);
}

static void put_page_flags(struct seq_buf *out, const char *name)
{
	static const char *const letters[] = {"M", "a", "s", "b", "d", "B"};

	for (u32 i = 0; i < ARRAY_SIZE(letters); i++)
		seq_printf(out, "%s(REC->%s & 0x%x) ? \"%s\" : \"%s\"",
			   i ? ", " : "", name, 1u << i, letters[i],
			   i == 1 ? "f" : " ");
}

/* The expression that gives it. */
static void put_expression(struct seq_buf *out, char kind, const char *name)
{
	const char *none = trace_bits_none(kind);
	u64 value;

	if (kind == 'F') {
		put_page_flags(out, name);
	} else if (kind == 'D') {
		seq_printf(out,
			   "((unsigned int)(REC->%s >> 20)), "
			   "((unsigned int)(REC->%s & 0xfffff))",
			   name, name);
	} else if (kind == 'f' || kind == 'n') {
		seq_printf(out, "(void *)REC->%s", name);
	} else if (kind == 'S') {
		seq_printf(out, "1UL << REC->%s", name);
	} else if (kind == 'o') {
		seq_printf(out, "REC->%s << %d", name, PAGE_SHIFT);
	} else if (none) {
		seq_printf(out, "(REC->%s) ? __print_flags(REC->%s, \"|\"",
			   name, name);
		put_names(out, kind);
		seq_printf(out, ") : \"%s\"", none);
	} else if (trace_value_name(kind, 0, &value)) {
		seq_printf(out, "__print_symbolic(REC->%s", name);
		put_names(out, kind);
		seq_putc(out, ')');
	} else {
		seq_printf(out, "REC->%s", name);
	}
}

/* FORMS: the string, else the expressions behind it. */
static void put_print(struct seq_buf *out, u32 event, bool forms)
{
	const char *text = trace_event_info(event)->print, *from = text;
	struct trace_field_info f[TRACE_ARGS];
	u32 nr = trace_fields(event, f), at = 0;

	for (;;) {
		char kind;
		u32 plain = trace_text(&text, &at, &kind);

		if (forms)
			seq_printf(out, "%.*s", (int)plain, from);
		from = text;
		if (!kind || at >= nr)
			return;
		if (forms) {
			put_conversion(out, kind, &f[at]);
		} else {
			seq_puts(out, ", ");
			put_expression(out, kind, f[at].name);
		}
		at++;
	}
}

void trace_show_format(u32 event, struct seq_buf *out)
{
	struct trace_field_info f[TRACE_ARGS];
	u32 nr = trace_fields(event, f), at = COMMON_SIZE;

	seq_printf(out, "name: %s\nID: %u\nformat:\n",
		   trace_event_info(event)->name, TRACE_ID(event));
	put_common(out);
	for (u32 i = 0; i < nr; i++) {
		const struct raw_type *t = type_of(f[i].type);

		at = place(t, at);
		put_field(out, t, f[i].name, at);
		at += t->size;
	}
	seq_puts(out, "\nprint fmt: \"");
	put_print(out, event, true);
	seq_putc(out, '"');
	put_print(out, event, false);
	seq_putc(out, '\n');
}
