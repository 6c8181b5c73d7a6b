/* SPDX-License-Identifier: MIT */
/*
 * printk.c - the log ring and the console.
 *
 * The ring is a plain circle of bytes, head counting all ever written. A line
 * is formatted on the caller's stack, entered under the raw lock, and given
 * to the console outside of it, so a slow console delays only its caller.
 */
#include "base/printk.h"

#include <mmkit/port.h>

#include "base/assert.h"
#include "base/base_priv.h"
#include "base/string.h"

#define NS_PER_S  1000000000ul
#define NS_PER_US 1000ul

/* Enter LEN bytes over the oldest. Locks: the ring's raw lock. */
static void ring_write(struct printk_state *k, const char *text, size_t len)
{
	size_t at = k->head % PRINTK_RING_BYTES;
	size_t first = min(len, (size_t)PRINTK_RING_BYTES - at);

	mm_assert_le(len, PRINTK_RING_BYTES);
	mm_memcpy(k->ring + at, text, first);
	mm_memcpy(k->ring, text + first, len - first);
	k->head += len;
}

/* Stamp, text, one newline; cut to the line's size. Returns the length. */
static size_t make_line(char line[PRINTK_LINE_MAX], const char *fmt, va_list ap)
	MM_PRINTF(2, 0);
static size_t make_line(char line[PRINTK_LINE_MAX], const char *fmt, va_list ap)
{
	u64 now = port_now_ns();
	struct seq_buf s;

	seq_buf_init(&s, line, PRINTK_LINE_MAX - 1);
	seq_printf(&s, "[%5lu.%06lu] ", (unsigned long)(now / NS_PER_S),
		   (unsigned long)(now % NS_PER_S / NS_PER_US));
	seq_vprintf(&s, fmt, ap);
	if (s.len > 0 && line[s.len - 1] == '\n')
		s.len--;
	line[s.len++] = '\n';
	line[s.len] = '\0';
	return s.len;
}

void printk(enum printk_level level, const char *fmt, ...)
{
	struct printk_state *k = &base_sys.printk;
	char line[PRINTK_LINE_MAX];
	unsigned long flags;
	size_t len;
	va_list ap;

	if (level == PRINTK_DEBUG && !READ_ONCE(k->show_debug))
		return;
	va_start(ap, fmt);
	len = make_line(line, fmt, ap);
	va_end(ap);
	flags = raw_lock(&k->word);
	ring_write(k, line, len);
	raw_unlock(&k->word, flags);
	port_console((int)level, line, len);
}

void printk_debug(bool on)
{
	WRITE_ONCE(base_sys.printk.show_debug, on);
}

/* Copy up to LEN bytes from *POS on; *POS moves to what is left to read. */
static size_t ring_read(struct printk_state *k, u64 *pos, char *to, size_t len)
{
	unsigned long flags = raw_lock(&k->word);
	size_t n;

	if (k->head - *pos > PRINTK_RING_BYTES)
		*pos = k->head - PRINTK_RING_BYTES;
	n = (size_t)min((u64)len, k->head - *pos);
	for (size_t i = 0; i < n; i++)
		to[i] = k->ring[(*pos + i) % PRINTK_RING_BYTES];
	raw_unlock(&k->word, flags);
	*pos += n;
	return n;
}

void printk_dump(struct seq_buf *s)
{
	struct printk_state *k = &base_sys.printk;
	char part[256];
	u64 pos = 0, before;
	bool whole = true;
	size_t n;

	while (before = pos, (n = ring_read(k, &pos, part, sizeof(part)))) {
		const char *p = part, *end = part + n;

		if (pos - n != before)
			whole = false; /* lost the beginning of a line */
		while (!whole && p < end)
			whole = *p++ == '\n';
		seq_write(s, p, (size_t)(end - p));
	}
}
