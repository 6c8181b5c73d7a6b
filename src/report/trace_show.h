/* SPDX-License-Identifier: MIT */
/*
 * trace_show.h - tracepoints as text. Theory: trace_show.c.
 */
#ifndef MM_REPORT_TRACE_SHOW_H
#define MM_REPORT_TRACE_SHOW_H

#include <mmkit/types.h>

#include "base/trace_ring.h"

struct seq_buf;

/* A field of an event; TYPE as trace_events.h has it. */
struct trace_field_info {
	char name[32];
	char type;
	u32 words, word; /* of trace_record.arg: how many, the first */
};

/* trace_next_field: the field at *ARGS; *ARGS is behind it. How many words it
 * has; 0: there is none. WORD is not set. */
u32 trace_next_field(const char **args, struct trace_field_info *f);
/* trace_fields: those of EVENT. How many. */
u32 trace_fields(u32 event, struct trace_field_info f[TRACE_ARGS]);

/*
 * trace_text: the next part of an event's text: how many characters stand
 * before a field, KIND what is said of it, 0 at the end; *FIELD, before the
 * number of the next one, is the number of the one that is meant.
 */
u32 trace_text(const char **text, u32 *field, char *kind);

/* trace_value_name: the I-th name that values of KIND may have, *VALUE what it
 * stands for (mask or number); NULL: there are no more. trace_bits_none: what
 * is said if no bit is set; NULL: values of KIND are not bits. */
const char *trace_value_name(char kind, u32 i, u64 *value);
const char *trace_bits_none(char kind);

/* trace_show_fields: what R tells, as Linux's trace files have it behind the
 * event's name. Any context; R may come from another machine. */
void trace_show_fields(const struct trace_record *r, struct seq_buf *out);

/*
 * trace_show_line: R as a line of Linux's trace files: thread, CPU, seconds
 * with DIGITS digits behind the point (6 or 9), event, fields. WHO: "comm-pid",
 * or NULL: what the record says.
 */
void trace_show_line(const struct trace_record *r, const char *who, u32 digits,
		     struct seq_buf *out);

/* ---- for programs that read the rings (trace_format.c)
 * ------------------------------------------------------- */

/* The number of an event in files "id" and "format", and in what trace_raw()
 * makes: events that the ring itself has stand before. */
#define TRACE_ID(event) ((event) + 32u)
#define TRACE_RAW_MAX	(8 + 8 * TRACE_ARGS)

/* trace_show_format: the file "format" of EVENT: where its fields lie in what
 * trace_raw() makes, and how they are printed. */
void trace_show_format(u32 event, struct seq_buf *out);
/* trace_raw: R as "format" tells, to BUF, 4 bytes aligned. Its size, a multiple
 * of 4. */
u32 trace_raw(const struct trace_record *r, u8 buf[TRACE_RAW_MAX]);

/*
 * trace_named: does WORD, LEN bytes, ask for EVENT: "all", "kmem", "kmem:",
 * "kmem:kfree", "kmem:*" or "kfree"?
 */
bool trace_named(u32 event, const char *word, size_t len);

/* trace_field: the value of R's field called NAME; 0 if it has none. */
u64 trace_field(const struct trace_record *r, const char *name);

#endif
