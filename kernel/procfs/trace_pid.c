/* SPDX-License-Identifier: MIT */
/*
 * trace_pid.c - whose events are told: set_event_pid, set_event_notrace_pid;
 * trace_options.
 *
 * 1. Purpose. Of a busy machine one program's events. With numbers in the first
 *    file only those threads' events are kept, with numbers in the second
 *    theirs are not. What programs write to trace_marker is no event.
 *
 * 2. Structure. A bit for each number that a thread can have, made by the first
 *    write and kept: so a writer of records needs no lock to look. A list that
 *    was given is in force until it is emptied, also when its last thread has
 *    ended (event-fork).
 *
 * 3. Options. event-fork: children of listed threads are listed from their
 *    first step on, and who ends is not any more. markers: trace_marker may be
 *    written. Each is a file of options/ and a line of trace_options, where
 *    "no" before it turns it off.
 *
 * 4. Locking. tracefs' mutex for the files; bits change by atomic steps.
 *
 * 5. Failure. -EINVAL: no number, or none that a thread can have; -ENOMEM. The
 *    list is as before then.
 *
 * References: Linux documentation, trace/ftrace (set_event_pid, trace_options).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/atomic.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"

static struct tracefs_state *state(void)
{
	return &proc_sys.trace;
}

/* ---- lists
 * ----------------------------------------------------------------------- */

static bool listed(const struct trace_pids *p, u32 pid)
{
	return pid < TRACE_PIDS &&
	       (READ_ONCE(p->bits[pid / 64]) >> pid % 64 & 1);
}

bool trace_pid_wanted(const struct trace_record *r)
{
	const struct trace_pids *p = state()->pids;

	if (r->event == TRACE_PRINT)
		return true;
	if (smp_load_acquire(&p[0].on) && !listed(&p[0], r->pid))
		return false;
	return !smp_load_acquire(&p[1].on) || !listed(&p[1], r->pid);
}

bool trace_pid_any(void)
{
	return state()->pids[0].on || state()->pids[1].on;
}

static struct trace_pids *list_of(const struct pnode *n)
{
	return &state()->pids[n->e->arg];
}

int trace_pid_show(const struct pnode *n, struct seq_buf *out)
{
	struct trace_pids *p = list_of(n);

	mutex_lock(&state()->lock);
	for (u32 pid = 0; p->on && pid < TRACE_PIDS; pid++)
		if (listed(p, pid))
			seq_printf(out, "%u\n", pid);
	mutex_unlock(&state()->lock);
	return 0;
}

static bool blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t';
}

/* The next number of TEXT[LEN] behind *AT; -ENOENT: there is none. */
static s64 next_pid(const char *text, size_t len, size_t *at)
{
	char word[12];
	size_t n = 0;
	s64 pid;

	while (*at < len && blank(text[*at]))
		++*at;
	if (*at == len)
		return -ENOENT;
	while (*at < len && !blank(text[*at]) && n < sizeof(word) - 1)
		word[n++] = text[(*at)++];
	word[n] = '\0';
	pid = pseudo_number(word, TRACE_PIDS - 1);
	return pid < 0 ? -EINVAL : pid;
}

/* Lock held. */
static int list_add_pids(struct trace_pids *p, const char *text, size_t len)
{
	size_t at = 0;
	s64 pid;

	/* All of them, or none. */
	while ((pid = next_pid(text, len, &at)) >= 0)
		;
	if (pid != -ENOENT)
		return (int)pid;
	if (!p->bits)
		p->bits = kvmalloc(TRACE_PIDS / 8, GFP_KERNEL | __GFP_ZERO);
	if (!p->bits)
		return -ENOMEM;
	at = 0;
	while ((pid = next_pid(text, len, &at)) >= 0) {
		__atomic_fetch_or(&p->bits[pid / 64], 1UL << pid % 64,
				  __ATOMIC_RELAXED);
		smp_store_release(&p->on, true);
	}
	trace_filter_update();
	return 0;
}

s64 trace_pid_write(const struct pnode *n, const char *text, size_t len)
{
	int err;

	mutex_lock(&state()->lock);
	err = list_add_pids(list_of(n), text, len);
	mutex_unlock(&state()->lock);
	return err ? err : (s64)len;
}

void trace_pid_empty(const struct pnode *n)
{
	struct trace_pids *p = list_of(n);

	mutex_lock(&state()->lock);
	smp_store_release(&p->on, false);
	for (u32 i = 0; p->bits && i < TRACE_PIDS / 64; i++)
		WRITE_ONCE(p->bits[i], 0);
	trace_filter_update();
	mutex_unlock(&state()->lock);
}

/* PARENT made CHILD; CHILD 0: it ends. */
static void life(s32 parent, s32 child)
{
	struct tracefs_state *t = state();

	if (!READ_ONCE(t->option[TRACE_EVENT_FORK]))
		return;
	for (u32 i = 0; i < ARRAY_SIZE(t->pids); i++) {
		struct trace_pids *p = &t->pids[i];
		u32 from = (u32)parent, to = (u32)child;

		if (!smp_load_acquire(&p->on) || !listed(p, from))
			continue;
		if (to && to < TRACE_PIDS)
			__atomic_fetch_or(&p->bits[to / 64], 1UL << to % 64,
					  __ATOMIC_RELAXED);
		else
			__atomic_fetch_and(&p->bits[from / 64],
					   ~(1UL << from % 64),
					   __ATOMIC_RELAXED);
	}
}

/* ---- options
 * ----------------------------------------------------------------------- */

static const char *const option_names[NR_TRACE_OPTIONS] = {
	[TRACE_EVENT_FORK] = "event-fork",
	[TRACE_MARKERS] = "markers",
};

int trace_options_show(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	for (u32 i = 0; i < NR_TRACE_OPTIONS; i++)
		seq_printf(out, "%s%s\n", state()->option[i] ? "" : "no",
			   option_names[i]);
	return 0;
}

s64 trace_options_write(const struct pnode *n, const char *text, size_t len)
{
	size_t end = len && text[len - 1] == '\n' ? len - 1 : len;
	bool off = end > 2 && mm_strncmp(text, "no", 2) == 0;

	(void)n;
	text += off ? 2 : 0;
	end -= off ? 2 : 0;
	for (u32 i = 0; i < NR_TRACE_OPTIONS; i++) {
		if (mm_strlen(option_names[i]) != end ||
		    mm_strncmp(text, option_names[i], end))
			continue;
		WRITE_ONCE(state()->option[i], !off);
		return (s64)len;
	}
	return -EINVAL;
}

static int show_option(const struct pnode *n, struct seq_buf *out)
{
	seq_printf(out, "%d\n", state()->option[n->e->arg]);
	return 0;
}

static s64 write_option(const struct pnode *n, const char *text, size_t len)
{
	if (!len || (text[0] != '0' && text[0] != '1'))
		return -EINVAL;
	WRITE_ONCE(state()->option[n->e->arg], text[0] == '1');
	return (s64)len;
}

#define OPTION(n, number)                                               \
	{                                                               \
		.name = n, .mode = S_IFREG | 0640, .show = show_option, \
		.write = write_option, .arg = number                    \
	}
static const struct pentry option_entries[] = {
	OPTION("event-fork", TRACE_EVENT_FORK),
	OPTION("markers", TRACE_MARKERS),
};
const struct pdir trace_options_dir = PDIR(option_entries);

void trace_pid_init(void)
{
	state()->option[TRACE_MARKERS] = true;
	task_on_life(life);
}

void trace_pid_exit(void)
{
	struct tracefs_state *t = state();

	task_on_life(NULL);
	for (u32 i = 0; i < ARRAY_SIZE(t->pids); i++) {
		smp_store_release(&t->pids[i].on, false);
		trace_filter_update();
		trace_sync();
		kvfree(t->pids[i].bits);
		t->pids[i].bits = NULL;
	}
}
