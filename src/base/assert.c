/* SPDX-License-Identifier: MIT */
/* assert.c - what a failed check says, and where it goes. */
#include "base/assert.h"

#include <mmkit/port.h>

#include "base/base_priv.h"
#include "base/printk.h"
#include "base/seqbuf.h"

#define REPORT_MAX 512

/* "src/x.c:12: func: " */
static void report_place(struct seq_buf *s, const struct mm_where *w)
{
	seq_printf(s, "%s:%d: %s: ", w->file, w->line, w->func);
}

_Noreturn void mm_assert_failed(const char *expr, const char *func,
				const char *file, int line)
{
	const struct mm_where w = {file, func, expr, line};
	char text[REPORT_MAX];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	report_place(&s, &w);
	seq_printf(&s, "assertion failed: %s", expr);
	port_panic(seq_buf_str(&s));
}

_Noreturn void mm_assert_failed2(const struct mm_where *w, u64 a, u64 b)
{
	char text[REPORT_MAX];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	report_place(&s, w);
	seq_printf(&s, "assertion failed: %s (%lld = %#llx, %lld = %#llx)",
		   w->expr, (long long)a, (unsigned long long)a, (long long)b,
		   (unsigned long long)b);
	port_panic(seq_buf_str(&s));
}

_Noreturn void mm_bug_at(const struct mm_where *w, const char *fmt, ...)
{
	char text[REPORT_MAX];
	struct seq_buf s;
	va_list ap;

	seq_buf_init(&s, text, sizeof(text));
	report_place(&s, w);
	va_start(ap, fmt);
	seq_vprintf(&s, fmt, ap);
	va_end(ap);
	port_panic(seq_buf_str(&s));
}

/* FNV-1a over the file's name and the line; never 0, which means empty. */
static u32 place_hash(const struct mm_where *w)
{
	u32 h = 2166136261u;

	for (const char *p = w->file; *p; p++)
		h = (h ^ (u8)*p) * 16777619u;
	h = (h ^ (u32)w->line) * 16777619u;
	return h ? h : 1;
}

/*
 * Enter HASH in the table of places; true if it was not there. A full table
 * counts every place as new: too many warnings are better than none.
 */
static bool warn_first(u32 hash)
{
	for (u32 i = 0; i < WARN_ONCE_SLOTS; i++) {
		u32 *slot = &base_sys.warned[(hash + i) % WARN_ONCE_SLOTS];
		u32 was = mm_cmpxchg(slot, 0u, hash);

		if (was == 0)
			return true;
		if (was == hash)
			return false;
	}
	return true;
}

void mm_warn_at(const struct mm_where *w)
{
	if (warn_first(place_hash(w)))
		pr_warn("WARNING: %s:%d: %s: %s", w->file, w->line, w->func,
			w->expr);
}
