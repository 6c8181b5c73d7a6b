/* SPDX-License-Identifier: MIT */
/*
 * trace_show.h - tracepoints as text. Theory: trace_show.c.
 */
#ifndef MM_REPORT_TRACE_SHOW_H
#define MM_REPORT_TRACE_SHOW_H

#include <mmkit/types.h>

struct seq_buf;
struct trace_record;

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

/* trace_show_format: the file "format" of EVENT: where its fields lie in struct
 * trace_record. */
void trace_show_format(u32 event, struct seq_buf *out);

/*
 * trace_named: does WORD, LEN bytes, ask for EVENT: "all", "kmem", "kmem:",
 * "kmem:kfree", "kmem:*" or "kfree"?
 */
bool trace_named(u32 event, const char *word, size_t len);

/* trace_field: the value of R's field called NAME; 0 if it has none. */
u64 trace_field(const struct trace_record *r, const char *name);

#endif
