/* SPDX-License-Identifier: MIT */
/*
 * seqbuf.c - formatting without a libc.
 *
 * One core turns a format and its arguments into pieces of text and hands
 * each to a sink; mm_vsnprintf() and struct seq_buf are two sinks. A
 * conversion is decoded into a struct spec first and printed from that.
 */
#include "base/seqbuf.h"

#include "base/assert.h"
#include "base/string.h"

/* Where pieces go. */
struct sink {
	void (*put)(struct sink *to, const char *text, size_t len);
};

/* va_list is an array on some machines; in a struct it can be pointed to. */
struct args {
	va_list ap;
};

enum spec_flags {
	SPEC_LEFT = 1,
	SPEC_PLUS = 2,
	SPEC_SPACE = 4,
	SPEC_ALT = 8,
	SPEC_ZERO = 16,
};

struct spec {
	u32 flags;
	int width; /* 0: none */
	int prec;  /* -1: none */
	int size;  /* bytes of the integer argument */
	char conv;
};

/* Digits of a u64 in octal. */
#define DIGITS_MAX 22
#define PAD_CHUNK  16

static void put_fill(struct sink *to, char c, int n)
{
	char fill[PAD_CHUNK];

	mm_memset(fill, c, sizeof(fill));
	while (n > 0) {
		int part = min(n, PAD_CHUNK);

		to->put(to, fill, (size_t)part);
		n -= part;
	}
}

/* PREFIX, ZEROS zeros and BODY, filled with blanks to the width. */
static void put_field(struct sink *to, const struct spec *sp,
		      const char *prefix, int zeros, const char *body, int len)
{
	int plen = (int)mm_strlen(prefix);
	int fill = sp->width - plen - zeros - len;

	if (!(sp->flags & SPEC_LEFT))
		put_fill(to, ' ', fill);
	to->put(to, prefix, (size_t)plen);
	put_fill(to, '0', zeros);
	to->put(to, body, (size_t)len);
	if (sp->flags & SPEC_LEFT)
		put_fill(to, ' ', fill);
}

/* Digits of V, most significant first, at the end of BUF; none for 0. */
static char *digits(char buf[DIGITS_MAX], u64 v, u32 base, bool upper)
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char *p = buf + DIGITS_MAX;

	mm_assert(base == 8 || base == 10 || base == 16);
	while (v) {
		*--p = set[v % base];
		v /= base;
	}
	return p;
}

/* A number of which sign or base are already in PREFIX. */
static void put_number(struct sink *to, const struct spec *sp,
		       const char *prefix, u64 v, u32 base)
{
	char buf[DIGITS_MAX];
	const char *p = digits(buf, v, base, sp->conv == 'X');
	int len = (int)(buf + DIGITS_MAX - p);
	int zeros = 0;

	if (sp->prec >= 0)
		zeros = max(sp->prec - len, 0);
	else if (len == 0)
		zeros = 1;
	if (base == 8 && (sp->flags & SPEC_ALT) && zeros == 0)
		zeros = 1;
	if (sp->prec < 0 && (sp->flags & (SPEC_ZERO | SPEC_LEFT)) == SPEC_ZERO)
		zeros = max(zeros, sp->width - len - (int)mm_strlen(prefix));
	put_field(to, sp, prefix, zeros, p, len);
}

static u64 arg_unsigned(const struct spec *sp, struct args *a)
{
	u64 v = sp->size == 8 ? va_arg(a->ap, u64) : va_arg(a->ap, u32);

	if (sp->size == 2)
		v = (u16)v;
	return sp->size == 1 ? (u8)v : v;
}

static s64 arg_signed(const struct spec *sp, struct args *a)
{
	s64 v = sp->size == 8 ? va_arg(a->ap, s64) : va_arg(a->ap, int);

	if (sp->size == 2)
		v = (s16)v;
	return sp->size == 1 ? (s8)v : v;
}

static void put_signed(struct sink *to, const struct spec *sp, struct args *a)
{
	s64 v = arg_signed(sp, a);
	const char *sign = "";

	if (v < 0)
		sign = "-";
	else if (sp->flags & SPEC_PLUS)
		sign = "+";
	else if (sp->flags & SPEC_SPACE)
		sign = " ";
	put_number(to, sp, sign, v < 0 ? 0 - (u64)v : (u64)v, 10);
}

static void put_unsigned(struct sink *to, const struct spec *sp, struct args *a)
{
	u64 v = arg_unsigned(sp, a);
	bool alt = (sp->flags & SPEC_ALT) && v;

	if (sp->conv == 'x' || sp->conv == 'X')
		put_number(to, sp,
			   !alt		     ? ""
			   : sp->conv == 'x' ? "0x"
					     : "0X",
			   v, 16);
	else
		put_number(to, sp, "", v, sp->conv == 'o' ? 8 : 10);
}

static void put_pointer(struct sink *to, const struct spec *sp, struct args *a)
{
	u64 v = (u64)va_arg(a->ap, void *);

	if (v)
		put_number(to, sp, "0x", v, 16);
	else
		put_field(to, sp, "", 0, "(nil)", 5);
}

static void put_string(struct sink *to, const struct spec *sp, struct args *a)
{
	const char *s = va_arg(a->ap, const char *);
	size_t max_len = sp->prec < 0 ? INT32_MAX : (size_t)sp->prec;

	if (!s)
		s = max_len >= 6 ? "(null)" : "";
	put_field(to, sp, "", 0, s, (int)mm_strnlen(s, max_len));
}

/* ---- decoding
 * ------------------------------------------------------------------ */

static const char *parse_flags(const char *p, struct spec *sp)
{
	for (;; p++) {
		if (*p == '-')
			sp->flags |= SPEC_LEFT;
		else if (*p == '+')
			sp->flags |= SPEC_PLUS;
		else if (*p == ' ')
			sp->flags |= SPEC_SPACE;
		else if (*p == '#')
			sp->flags |= SPEC_ALT;
		else if (*p == '0')
			sp->flags |= SPEC_ZERO;
		else
			return p;
	}
}

/* A number or '*'; capped, so that sums of widths stay in an int. */
static const char *parse_int(const char *p, struct args *a, int *out)
{
	int v = 0;

	if (*p == '*') {
		*out = va_arg(a->ap, int);
		return p + 1;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		v = min(v * 10 + (*p - '0'), 1000000);
	*out = v;
	return p;
}

static const char *parse_size(const char *p, struct spec *sp)
{
	sp->size = sizeof(int);
	if (*p == 'h') {
		sp->size = p[1] == 'h' ? 1 : 2;
		return p + (p[1] == 'h' ? 2 : 1);
	}
	if (*p == 'l') {
		sp->size = 8;
		return p + (p[1] == 'l' ? 2 : 1);
	}
	if (*p == 'z' || *p == 'j' || *p == 't') {
		sp->size = 8;
		return p + 1;
	}
	return p;
}

/* Decode what follows a '%'; returns the end of the conversion. */
static const char *parse_spec(const char *p, struct spec *sp, struct args *a)
{
	*sp = (struct spec){.prec = -1};
	p = parse_flags(p, sp);
	p = parse_int(p, a, &sp->width);
	if (sp->width < 0) {
		sp->flags |= SPEC_LEFT;
		sp->width = sp->width == INT32_MIN ? 0 : -sp->width;
	}
	if (*p == '.') {
		p = parse_int(p + 1, a, &sp->prec);
		if (sp->prec < 0)
			sp->prec = -1;
	}
	p = parse_size(p, sp);
	sp->conv = *p;
	return *p ? p + 1 : p;
}

/* Print one conversion; false if it is none that we know. */
static bool put_spec(struct sink *to, const struct spec *sp, struct args *a)
{
	char c;

	switch (sp->conv) {
	case 'd':
	case 'i':
		put_signed(to, sp, a);
		return true;
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		put_unsigned(to, sp, a);
		return true;
	case 'p':
		put_pointer(to, sp, a);
		return true;
	case 's':
		put_string(to, sp, a);
		return true;
	case 'c':
		c = (char)va_arg(a->ap, int);
		put_field(to, sp, "", 0, &c, 1);
		return true;
	case '%':
		to->put(to, "%", 1);
		return true;
	default:
		return false;
	}
}

/* The core: literal stretches and conversions, in order. */
static void format(struct sink *to, const char *fmt, struct args *a)
{
	while (*fmt) {
		const char *p = mm_strchr(fmt, '%');
		struct spec sp;

		if (!p) {
			to->put(to, fmt, mm_strlen(fmt));
			return;
		}
		if (p != fmt)
			to->put(to, fmt, (size_t)(p - fmt));
		fmt = parse_spec(p + 1, &sp, a);
		if (!put_spec(to, &sp, a))
			to->put(to, p, (size_t)(fmt - p));
	}
}

/* ---- into a plain buffer
 * ---------------------------------------------------------- */

struct buf_sink {
	struct sink sink;
	char *buf;
	size_t size, len; /* len: of the whole text */
};

static void buf_put(struct sink *to, const char *text, size_t len)
{
	struct buf_sink *b = container_of(to, struct buf_sink, sink);

	if (b->len < b->size)
		mm_memcpy(b->buf + b->len, text, min(len, b->size - b->len));
	b->len += len;
}

int mm_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct buf_sink b = {.sink.put = buf_put, .buf = buf, .size = size};
	struct args a;

	mm_assert(buf || size == 0);
	va_copy(a.ap, ap);
	format(&b.sink, fmt, &a);
	va_end(a.ap);
	if (size > 0)
		buf[min(b.len, size - 1)] = '\0';
	return (int)b.len;
}

int mm_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = mm_vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return len;
}

int mm_scnprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = mm_vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	if (size == 0)
		return 0;
	return min(len, (int)size - 1);
}

/* ---- seq_buf
 * ------------------------------------------------------------------------ */

void seq_buf_flush(struct seq_buf *s)
{
	if (!s->flush || s->len == 0)
		return;
	s->flush(s->arg, s->buffer, s->len);
	s->len = 0;
}

const char *seq_buf_str(struct seq_buf *s)
{
	mm_verify(s->len < s->size);
	s->buffer[s->len] = '\0';
	return s->buffer;
}

void seq_write(struct seq_buf *s, const char *text, size_t len)
{
	mm_verify(s->len < s->size);
	while (len > 0) {
		size_t part = min(len, s->size - 1 - s->len);

		mm_memcpy(s->buffer + s->len, text, part);
		s->len += part;
		text += part;
		len -= part;
		if (len == 0)
			return;
		if (!s->flush || s->size == 1) {
			s->overflowed = true;
			return;
		}
		seq_buf_flush(s);
	}
}

void seq_putc(struct seq_buf *s, char c)
{
	seq_write(s, &c, 1);
}

void seq_puts(struct seq_buf *s, const char *text)
{
	seq_write(s, text, mm_strlen(text));
}

struct seq_sink {
	struct sink sink;
	struct seq_buf *s;
};

static void seq_put(struct sink *to, const char *text, size_t len)
{
	seq_write(container_of(to, struct seq_sink, sink)->s, text, len);
}

void seq_vprintf(struct seq_buf *s, const char *fmt, va_list ap)
{
	struct seq_sink to = {.sink.put = seq_put, .s = s};
	struct args a;

	va_copy(a.ap, ap);
	format(&to.sink, fmt, &a);
	va_end(a.ap);
}

void seq_printf(struct seq_buf *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	seq_vprintf(s, fmt, ap);
	va_end(ap);
}
