/* SPDX-License-Identifier: MIT */
/*
 * textline.h - reading descriptions of machines line by line, with errors that
 * say where. For the parsers of this floor (e820.c, numa_text.c).
 *
 * The line_* parsers return 0 and step over what they read, or -EINVAL with
 * the place and a message in the line's error record; results are untouched
 * then. Any bytes may be in the text.
 */
#ifndef MM_PHYS_TEXTLINE_H
#define MM_PHYS_TEXTLINE_H

#include "phys/e820.h"

/* A line being read, and the complaint if there is one. */
struct text_line {
	const char *start, *pos, *end; /* end: without blanks at the end */
	const char *next;	       /* where the next line begins */
	u32 number;		       /* from 1 */
	struct e820_error *err;
};

/* line_start: before the first line of TEXT; complaints go to ERR. */
void line_start(struct text_line *l, const char *text, struct e820_error *err);

/* line_next: go to the next line of a text that ends at TEXT_END, if any. */
bool line_next(struct text_line *l, const char *text_end);

/* line_error: MESSAGE about the place where L stands. Returns -EINVAL. */
int line_error(const struct text_line *l, const char *message);

void line_skip_blanks(struct text_line *l);

/* line_skip: step over TEXT if the line goes on with it. */
bool line_skip(struct text_line *l, const char *text);

/* line_find: the place of TEXT in the rest of the line, or NULL. */
const char *line_find(const struct text_line *l, const char *text);

/* text_hex_digit: the value of C, or -1. */
int text_hex_digit(char c);

/* line_hex: hexadecimal digits, at most 64 bits of them. */
int line_hex(struct text_line *l, u64 *out) MM_MUST_CHECK;

/* line_decimal: decimal digits, at most MAX. */
int line_decimal(struct text_line *l, u64 max, u64 *out) MM_MUST_CHECK;

/* line_range: "A-B" with PREFIX before each number; LAST >= FIRST. */
int line_range(struct text_line *l, const char *prefix, u64 *first,
	       u64 *last) MM_MUST_CHECK;

#endif
