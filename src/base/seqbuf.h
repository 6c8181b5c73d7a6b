/* SPDX-License-Identifier: MIT */
/*
 * seqbuf.h - text output without a libc: formatting into a caller's buffer,
 * or through it into a sink.
 *
 * Formats: %[-+ #0][width][.precision][hh h l ll z j t]{d i u x X o c s p %},
 * width and precision also as '*'. As C's, except that there is no floating
 * point and no %n. A conversion that is not known is copied as it stands.
 */
#ifndef MM_BASE_SEQBUF_H
#define MM_BASE_SEQBUF_H

#include <mmkit/types.h>

/*
 * mm_vsnprintf: format into BUF[SIZE], terminated if SIZE > 0 (BUF may be
 * NULL if SIZE is 0). Returns the length that the whole text has, which is
 * >= SIZE when it was cut. Any context.
 */
int mm_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
	MM_PRINTF(3, 0);
int mm_snprintf(char *buf, size_t size, const char *fmt, ...) MM_PRINTF(3, 4);

/* As Linux's scnprintf: returns the length that BUF holds, < SIZE. */
int mm_scnprintf(char *buf, size_t size, const char *fmt, ...) MM_PRINTF(3, 4);

struct seq_buf {
	char *buffer;
	size_t size;	 /* bytes of buffer, > 0 */
	size_t len;	 /* bytes in use, < size */
	bool overflowed; /* text was dropped (never with a sink) */
	void (*flush)(void *arg, const char *text, size_t len);
	void *arg;
};

/* Text collects in BUF[SIZE]; what does not fit is dropped and noted. */
static inline void seq_buf_init(struct seq_buf *s, char *buf, size_t size)
{
	*s = (struct seq_buf){.buffer = buf, .size = size};
}

/* FLUSH(ARG, text, len) takes the text whenever BUF is full, and at the end
 * by seq_buf_flush(). */
static inline void seq_buf_init_sink(struct seq_buf *s, char *buf, size_t size,
				     void (*flush)(void *arg, const char *text,
						   size_t len),
				     void *arg)
{
	*s = (struct seq_buf){
		.buffer = buf, .size = size, .flush = flush, .arg = arg};
}

/* seq_buf_str: the text so far, terminated; valid until the next change. */
const char *seq_buf_str(struct seq_buf *s);

/* seq_buf_flush: give what is in the buffer to the sink; nothing without. */
void seq_buf_flush(struct seq_buf *s);

static inline bool seq_buf_has_overflowed(const struct seq_buf *s)
{
	return s->overflowed;
}

void seq_printf(struct seq_buf *s, const char *fmt, ...) MM_PRINTF(2, 3);
void seq_vprintf(struct seq_buf *s, const char *fmt, va_list ap)
	MM_PRINTF(2, 0);
void seq_puts(struct seq_buf *s, const char *text);
void seq_putc(struct seq_buf *s, char c);
/* seq_write: LEN bytes as they are. */
void seq_write(struct seq_buf *s, const char *text, size_t len);

#endif
