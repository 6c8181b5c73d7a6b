/* SPDX-License-Identifier: MIT */
/*
 * textline.c - a cursor over one line of text (contract: textline.h).
 */
#include "phys/textline.h"

#include <mmkit/errno.h>

#include "base/assert.h"
#include "base/seqbuf.h"
#include "base/string.h"

void line_start(struct text_line *l, const char *text, struct e820_error *err)
{
	*l = (struct text_line){.start = text, .next = text, .err = err};
	l->pos = l->end = text;
	mm_assert(err != NULL);
}

bool line_next(struct text_line *l, const char *text_end)
{
	const char *nl = l->next, *last;

	if (nl >= text_end)
		return false;
	l->start = l->pos = nl;
	while (nl < text_end && *nl != '\n')
		nl++;
	last = nl;
	while (last > l->start && (last[-1] == '\r' || last[-1] == ' '))
		last--;
	l->end = last;
	l->next = nl + 1;
	l->number++;
	return true;
}

int line_error(const struct text_line *l, const char *message)
{
	mm_assert(l->pos >= l->start && l->pos <= l->end);
	l->err->line = l->number;
	l->err->column = (u32)(l->pos - l->start) + 1;
	(void)mm_snprintf(l->err->message, sizeof(l->err->message), "%s",
			  message);
	return -EINVAL;
}

void line_skip_blanks(struct text_line *l)
{
	while (l->pos < l->end && (*l->pos == ' ' || *l->pos == '\t'))
		l->pos++;
}

bool line_skip(struct text_line *l, const char *text)
{
	size_t n = mm_strlen(text);

	if ((size_t)(l->end - l->pos) < n || mm_memcmp(l->pos, text, n) != 0)
		return false;
	l->pos += n;
	return true;
}

const char *line_find(const struct text_line *l, const char *text)
{
	size_t n = mm_strlen(text);

	for (const char *p = l->pos; (size_t)(l->end - p) >= n; p++) {
		if (mm_memcmp(p, text, n) == 0)
			return p;
	}
	return NULL;
}

int text_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int line_hex(struct text_line *l, u64 *out)
{
	const char *first = l->pos;
	u64 v = 0;

	while (l->pos < l->end && text_hex_digit(*l->pos) >= 0) {
		if (v >> 60)
			return line_error(l, "address beyond 64 bits");
		v = v << 4 | (u64)text_hex_digit(*l->pos);
		l->pos++;
	}
	if (l->pos == first)
		return line_error(l, "expected a hexadecimal address");
	*out = v;
	return 0;
}

int line_decimal(struct text_line *l, u64 max, u64 *out)
{
	const char *first = l->pos;
	u64 v = 0;

	mm_assert(max < 1UL << 32);
	while (l->pos < l->end && *l->pos >= '0' && *l->pos <= '9') {
		v = v * 10 + (u64)(*l->pos - '0');
		l->pos++;
		if (v <= max)
			continue;
		l->pos = first;
		return line_error(l, "number too large");
	}
	if (l->pos == first)
		return line_error(l, "expected a number");
	*out = v;
	return 0;
}

int line_range(struct text_line *l, const char *prefix, u64 *first, u64 *last)
{
	u64 a, b;
	int err;

	if (!line_skip(l, prefix))
		return line_error(l, "expected an address beginning with 0x");
	err = line_hex(l, &a);
	if (err)
		return err;
	if (!line_skip(l, "-"))
		return line_error(l, "expected '-' between two addresses");
	if (!line_skip(l, prefix))
		return line_error(l, "expected an address beginning with 0x");
	err = line_hex(l, &b);
	if (err)
		return err;
	if (b < a)
		return line_error(l, "range ends before it starts");
	*first = a;
	*last = b;
	return 0;
}
