/* SPDX-License-Identifier: MIT */
/*
 * mt_error.c - saying what is wrong with a program, and ending it.
 *
 * mallopt(M_CHECK_ACTION) decides what follows: bit 0 a message, bit 1 abort(),
 * bit 2 a message of one short line. Whoever reports must be able to go on.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/seqbuf.h"
#include "mt.h"

void mt_say(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDERR_FILENO, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

/* Before boot there is no choice. */
static u8 action(void)
{
	return READ_ONCE(mt_sys.state) == 2 ? mt_sys.tune.check_action
					    : MT_ACT_PRINT | MT_ACT_ABORT;
}

void mt_sink(void *arg, const char *text, size_t len)
{
	(void)arg;
	if (action() & MT_ACT_PRINT)
		mt_say(text, len);
}

void mt_bad_end(void)
{
	if (!(action() & MT_ACT_ABORT))
		return;
	/* A handler of the signal may allocate; we may hold our own word. */
	mt_self.life = MT_DEAD;
	abort();
}

void mt_bad(const char *what, const void *p)
{
	u32 c = mt_in_span(p) ? READ_ONCE(mt_map[mt_frame(p)]) : MT_NONE;
	char line[160];
	struct seq_buf s;

	seq_buf_init_sink(&s, line, sizeof(line), mt_sink, NULL);
	seq_printf(&s, "mmkit-malloc: %s: 0x%llx", what,
		   (unsigned long long)(uintptr_t)p);
	if (c >= MT_FIRST)
		seq_printf(&s, " (cache malloc-%u)", mt_sys.size_of[c]);
	seq_puts(&s, "\n");
	seq_buf_flush(&s);
	mt_bad_end();
}
