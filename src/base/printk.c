/* SPDX-License-Identifier: MIT */
/*
 * printk.c - the log ring and the console.
 *
 * The ring is a plain circle of bytes, head counting all ever written. A
 * record is a header and its text, one behind the other; what a new one
 * overwrites is left whole by whole, so tail is always where a record begins.
 * A line is formatted on the caller's stack, entered under the raw lock, and
 * given to the console outside of it, so a slow console delays only its
 * caller. A reader keeps number and place; a place before tail is tail.
 */
#include "base/printk.h"

#include <mmkit/port.h>

#include "base/assert.h"
#include "base/base_priv.h"
#include "base/string.h"

#define NS_PER_S  1000000000ul
#define NS_PER_US 1000ul
#define LEVELS	  8u

/* Before each text in the ring, at any alignment. */
struct record {
	u64 ns;
	u32 prio;
	u32 len;
};

static void ring_put(struct printk_state *k, const void *bytes, size_t len)
{
	size_t at = k->head % PRINTK_RING_BYTES;
	size_t first = min(len, (size_t)PRINTK_RING_BYTES - at);

	mm_memcpy(k->ring + at, bytes, first);
	mm_memcpy(k->ring, (const char *)bytes + first, len - first);
	k->head += len;
}

static void ring_get(const struct printk_state *k, u64 pos, void *to,
		     size_t len)
{
	size_t at = pos % PRINTK_RING_BYTES;
	size_t first = min(len, (size_t)PRINTK_RING_BYTES - at);

	mm_memcpy(to, k->ring + at, first);
	mm_memcpy((char *)to + first, k->ring, len - first);
}

/* Enter a record over the oldest. Locks: the ring's raw lock. */
static void ring_write(struct printk_state *k, const struct record *r,
		       const char *text)
{
	size_t need = sizeof(*r) + r->len;
	struct record old;

	mm_assert_le(need, PRINTK_RING_BYTES);
	while (k->head + need - k->tail > PRINTK_RING_BYTES) {
		ring_get(k, k->tail, &old, sizeof(old));
		k->tail += sizeof(old) + old.len;
		k->tail_seq++;
	}
	ring_put(k, r, sizeof(*r));
	ring_put(k, text, r->len);
	k->head_seq++;
}

static void put_stamp(struct seq_buf *s, u64 ns)
{
	seq_printf(s, "[%5lu.%06lu] ", (unsigned long)(ns / NS_PER_S),
		   (unsigned long)(ns % NS_PER_S / NS_PER_US));
}

/* The line in S, of which STAMP bytes are its time's, into the ring and to the
 * console. S has room for a newline. */
static void emit(struct seq_buf *s, u64 now, u32 prio, size_t stamp)
{
	struct printk_state *k = &base_sys.printk;
	u32 level = prio % LEVELS;
	struct record r = {.ns = now, .prio = prio};
	unsigned long flags;

	if (s->len > stamp && s->buffer[s->len - 1] == '\n')
		s->len--;
	r.len = (u32)(s->len - stamp);
	flags = raw_lock(&k->word);
	ring_write(k, &r, s->buffer + stamp);
	raw_unlock(&k->word, flags);
	s->buffer[s->len++] = '\n';
	s->buffer[s->len] = '\0';
	if (level < LEVELS - READ_ONCE(k->hide))
		port_console((int)level, s->buffer, s->len);
}

void printk(enum printk_level level, const char *fmt, ...)
{
	char line[PRINTK_LINE_MAX];
	u64 now = port_now_ns();
	struct seq_buf s;
	size_t stamp;
	va_list ap;

	if (level == PRINTK_DEBUG && !READ_ONCE(base_sys.printk.show_debug))
		return;
	seq_buf_init(&s, line, PRINTK_LINE_MAX - 1);
	put_stamp(&s, now);
	stamp = s.len;
	va_start(ap, fmt);
	seq_vprintf(&s, fmt, ap);
	va_end(ap);
	emit(&s, now, level, stamp);
}

void printk_user(u32 prio, const char *text)
{
	char line[PRINTK_LINE_MAX];
	u64 now = port_now_ns();
	struct seq_buf s;
	size_t stamp;

	seq_buf_init(&s, line, PRINTK_LINE_MAX - 1);
	put_stamp(&s, now);
	stamp = s.len;
	seq_puts(&s, text);
	emit(&s, now, prio, stamp);
}

void printk_debug(bool on)
{
	WRITE_ONCE(base_sys.printk.show_debug, on);
}

u32 printk_console_level(u32 level)
{
	u32 old = LEVELS - READ_ONCE(base_sys.printk.hide);

	mm_assert_le(level, LEVELS);
	if (level)
		WRITE_ONCE(base_sys.printk.hide, LEVELS - level);
	return old;
}

bool printk_read(struct printk_pos *pos, struct printk_line *line)
{
	struct printk_state *k = &base_sys.printk;
	unsigned long flags = raw_lock(&k->word);
	struct record r;
	bool any;

	if (pos->at < k->tail)
		*pos = (struct printk_pos){k->tail_seq, k->tail};
	any = pos->at < k->head;
	if (any) {
		ring_get(k, pos->at, &r, sizeof(r));
		ring_get(k, pos->at + sizeof(r), line->text, r.len);
		line->seq = pos->seq++;
		pos->at += sizeof(r) + r.len;
	}
	raw_unlock(&k->word, flags);
	if (!any)
		return false;
	line->ns = r.ns;
	line->prio = r.prio;
	line->len = r.len;
	line->text[r.len] = '\0';
	return true;
}

struct printk_pos printk_oldest(void)
{
	struct printk_state *k = &base_sys.printk;
	unsigned long flags = raw_lock(&k->word);
	struct printk_pos first = {k->tail_seq, k->tail};

	raw_unlock(&k->word, flags);
	return first;
}

struct printk_pos printk_end(void)
{
	struct printk_state *k = &base_sys.printk;
	unsigned long flags = raw_lock(&k->word);
	struct printk_pos end = {k->head_seq, k->head};

	raw_unlock(&k->word, flags);
	return end;
}

void printk_text(struct seq_buf *s, const struct printk_line *line, bool prio)
{
	const char *p = line->text, *end = p + line->len;

	do {
		const char *stop = p;

		while (stop < end && *stop != '\n')
			stop++;
		if (prio)
			seq_printf(s, "<%u>", line->prio);
		put_stamp(s, line->ns);
		seq_write(s, p, (size_t)(stop - p));
		seq_putc(s, '\n');
		p = stop + 1;
	} while (p <= end);
}

void printk_dump(struct seq_buf *s)
{
	struct printk_pos pos = {0};
	struct printk_line line;

	while (printk_read(&pos, &line))
		printk_text(s, &line, false);
}
