/* SPDX-License-Identifier: MIT */
/*
 * mt_error.c - saying what is wrong with a program, and ending it.
 *
 * mallopt(M_CHECK_ACTION) decides what follows: bit 0 a message, bit 1 abort(),
 * bit 2 a message of one short line. Whoever reports must be able to go on.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
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

#define FINDER_FRAMES 24u

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

u32 mt_own_frames(const u64 *at, u32 nr)
{
	struct dl_find_object own;
	u32 skip = 0;

	if (_dl_find_object(&mt_sys, &own) || !own.dlfo_link_map->l_name[0])
		return 0;
	while (skip < nr && at[skip] >= (uintptr_t)own.dlfo_map_start &&
	       at[skip] < (uintptr_t)own.dlfo_map_end)
		skip++;
	return skip;
}

void mt_put_finder(struct seq_buf *s)
{
	u64 at[FINDER_FRAMES];
	char text[128];
	u32 nr;

	if ((action() & MT_ACT_SIMPLE) || !(action() & MT_ACT_PRINT))
		return;
	nr = port_stack_trace(at, ARRAY_SIZE(at));
	if (nr)
		seq_printf(s, "  found by thread %d:\n",
			   (int)syscall(SYS_gettid));
	for (u32 i = mt_own_frames(at, nr); i < nr; i++) {
		port_symbol(at[i], text, sizeof(text));
		seq_printf(s, "    %s\n", text);
	}
}

void mt_bad(const char *what, const void *p)
{
	u32 c = mt_in_span(p) ? mt_use(p) : MT_NONE;
	char line[160];
	struct seq_buf s;

	seq_buf_init_sink(&s, line, sizeof(line), mt_sink, NULL);
	seq_printf(&s, "mmkit-malloc: %s: 0x%llx", what,
		   (unsigned long long)(uintptr_t)p);
	if (c >= MT_FIRST)
		seq_printf(&s, " (cache malloc-%u)", mt_sys.size_of[c]);
	seq_puts(&s, "\n");
	mt_put_finder(&s);
	seq_buf_flush(&s);
	mt_bad_end();
}
