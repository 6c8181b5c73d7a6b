/* SPDX-License-Identifier: MIT */
/*
 * perfetto_check.h - is a file of the trace event format as its documentation
 * says? Theory: perfetto_check.c.
 */
#ifndef LAB_PERFETTO_CHECK_H
#define LAB_PERFETTO_CHECK_H

#include <stddef.h>

#include <mmkit/types.h>

struct perfetto_check {
	u64 events, spans, instants, counters, tracks;
	u64 event; /* the event that is wrong, from 1; 0: none of them */
	char error[200];
};

/* perfetto_check: look at TEXT[LEN]. False: OUT->error says what is wrong. */
bool perfetto_check(const char *text, size_t len, struct perfetto_check *out);

/* perfetto_check_file: the same of the file PATH. */
bool perfetto_check_file(const char *path, struct perfetto_check *out);

#endif
