/* SPDX-License-Identifier: MIT */
/*
 * tracefs.c - /sys/kernel/tracing: the manager's tracepoints as files.
 *
 * 1. Purpose. What ftrace's users know: events are listed, turned on by name or
 *    by their folder, and read as text, which is the report's
 *    (src/report/trace_show.h).
 *
 * 2. Rings. Each CPU has one. They are made when the first event is enabled, of
 *    buffer_size_kb each, and stay. A writer asks nobody; readers keep numbers
 *    of records (trace_read()), so that they may look while it writes.
 *
 * 3. Readers. "trace" tells what the rings have since it was emptied, and takes
 *    nothing. "trace_pipe" and "trace_records" take: what one of them has given
 *    out the other does not see again. trace_records has the records as they
 *    are (struct trace_record, common_* of each event's "format"), for who
 *    copies many. Neither waits: at the end is an end of file.
 *
 * 4. Order. By time among what is there when it is read. An event of another
 *    CPU that is being written meanwhile may come with the next read.
 *
 * 5. Locking. One mutex, inside that of an open file's text. Failure: no memory
 *    for rings is -ENOMEM of the write that enables.
 *
 * References: Linux documentation, trace/ftrace, trace/events.
 */
#include "procfs/tracefs.h"

#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"
#include "report/trace_show.h"

#define RING_KB_DEFAULT 1408u /* Linux's, once tracing has begun */
#define RING_KB_MAX	(1u << 20)

static struct tracefs_state *state(void)
{
	return &proc_sys.trace;
}

/* ---- rings and switches ----------------------------------------------------
 */

static u64 ring_kb(void)
{
	return state()->kb ? state()->kb : RING_KB_DEFAULT;
}

static u64 ring_records(void)
{
	return max(ring_kb() * 1024 / sizeof(struct trace_record), 2ul);
}

static void rings_free(void)
{
	struct tracefs_state *t = state();

	for (int i = 0; i < MM_NR_CPUS; i++) {
		if (!t->ring[i])
			continue;
		trace_ring_attach(i, NULL, 0);
		kvfree(t->ring[i]);
		t->ring[i] = NULL;
	}
	t->made = false;
}

/* Lock held; no event has been enabled. */
static int rings_make(void)
{
	struct tracefs_state *t = state();

	if (t->made)
		return 0;
	for (int i = 0; i < port_nr_cpus(); i++) {
		t->ring[i] = kvmalloc(ring_records() * sizeof(*t->ring[i]),
				      GFP_KERNEL | __GFP_ZERO);
		if (!t->ring[i]) {
			rings_free();
			return -ENOMEM;
		}
		trace_ring_attach(i, t->ring[i], ring_records());
	}
	t->made = true;
	return 0;
}

static bool wanted(u32 event)
{
	return state()->wanted[event / 64] >> event % 64 & 1;
}

/* What is wanted is on, if tracing is. Lock held. */
static void apply(void)
{
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		bool on = wanted(i) && !state()->off;

		if (on && !trace_enabled((enum trace_event)i))
			trace_enable((enum trace_event)i);
		else if (!on && trace_enabled((enum trace_event)i))
			trace_disable((enum trace_event)i);
	}
}

/* Events that WORD[LEN] asks for go on or off. -EINVAL: there is none. */
static int choose(const char *word, size_t len, bool on)
{
	struct tracefs_state *t = state();
	bool any = false;
	int err;

	mutex_lock(&t->lock);
	err = on ? rings_make() : 0;
	for (u32 i = 0; i < NR_TRACE_EVENTS && !err; i++) {
		u64 bit = 1UL << i % 64;

		if (i == TRACE_TEST_EVENT || !trace_named(i, word, len))
			continue;
		any = true;
		t->wanted[i / 64] =
			on ? t->wanted[i / 64] | bit : t->wanted[i / 64] & ~bit;
	}
	if (!err)
		apply();
	mutex_unlock(&t->lock);
	return err ? err : any ? 0 : -EINVAL;
}

static void none(void)
{
	mutex_lock(&state()->lock);
	mm_memset(state()->wanted, 0, sizeof(state()->wanted));
	apply();
	mutex_unlock(&state()->lock);
}

/* ---- reading ---------------------------------------------------------------
 */

/* The oldest record of all CPUs at POS[], and POS[] behind it; false: no more.
 * *LOST grows by what was overwritten. */
static bool next_record(u64 *pos, struct trace_record *out, u64 *lost)
{
	struct trace_record r;
	int best = -1;
	u64 behind = 0;

	for (int i = 0; i < port_nr_cpus(); i++) {
		u64 at = pos[i], was = pos[i];

		if (!trace_read(i, &at, &r))
			continue;
		pos[i] = at - 1;
		*lost += pos[i] - was;
		if (best >= 0 && r.ns >= out->ns)
			continue;
		*out = r;
		best = i;
		behind = at;
	}
	if (best >= 0)
		pos[best] = behind;
	return best >= 0;
}

static void show_head(struct seq_buf *out, u64 here, u64 written)
{
	seq_printf(out,
		   "# tracer: nop\n#\n"
		   "# entries-in-buffer/entries-written: %llu/%llu   #P:%d\n#\n"
		   "#                                _-----=> irqs-off\n"
		   "#                               / _----=> need-resched\n"
		   "#                              | / _---=> hardirq/softirq\n"
		   "#                              || / _--=> preempt-depth\n"
		   "#                              ||| / _-=> migrate-disable\n"
		   "#                              |||| /     delay\n"
		   "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
		   "#              | |         |   |||||     |         |\n",
		   LLU(here), LLU(written), port_nr_cpus());
}

static int show_trace(const struct pnode *n, struct seq_buf *out)
{
	struct tracefs_state *t = state();
	u64 pos[MM_NR_CPUS], here = 0, written = 0, lost = 0;
	struct trace_record r;

	(void)n;
	mutex_lock(&t->lock);
	for (int i = 0; i < port_nr_cpus(); i++) {
		u64 all = trace_written(i) - t->first[i];

		pos[i] = t->first[i];
		written += all;
		here += min(all, ring_records());
	}
	show_head(out, here, written);
	while (here-- && next_record(pos, &r, &lost))
		trace_show_line(&r, NULL, 6, out);
	mutex_unlock(&t->lock);
	return 0;
}

static void empty_trace(const struct pnode *n)
{
	struct tracefs_state *t = state();

	(void)n;
	mutex_lock(&t->lock);
	for (int i = 0; i < port_nr_cpus(); i++)
		t->first[i] = t->piped[i] = trace_written(i);
	t->len = t->at = 0;
	mutex_unlock(&t->lock);
}

/* The next line of the pipe, if the last one is used up. False: no more. */
static bool pipe_line(struct tracefs_state *t)
{
	struct trace_record r;
	struct seq_buf s;

	if (t->at < t->len)
		return true;
	if (!next_record(t->piped, &r, &t->lost))
		return false;
	seq_buf_init(&s, t->line, sizeof(t->line));
	trace_show_line(&r, NULL, 6, &s);
	t->at = 0;
	t->len = mm_strlen(seq_buf_str(&s));
	return true;
}

static s64 read_pipe(const struct pnode *n, u64 off, void *buf, size_t len)
{
	struct tracefs_state *t = state();
	size_t got = 0;

	(void)n;
	(void)off;
	mutex_lock(&t->lock);
	while (got < len && pipe_line(t)) {
		size_t part = min(len - got, t->len - t->at);

		mm_memcpy((char *)buf + got, t->line + t->at, part);
		t->at += part;
		got += part;
	}
	mutex_unlock(&t->lock);
	return (s64)got;
}

/* Whole ones: less room than for one is an error. */
static s64 read_records(const struct pnode *n, u64 off, void *buf, size_t len)
{
	struct tracefs_state *t = state();
	struct trace_record r;
	size_t got = 0;

	(void)n;
	(void)off;
	if (len < sizeof(r))
		return -EINVAL;
	mutex_lock(&t->lock);
	while (len - got >= sizeof(r) && next_record(t->piped, &r, &t->lost)) {
		mm_memcpy((char *)buf + got, &r, sizeof(r));
		got += sizeof(r);
	}
	mutex_unlock(&t->lock);
	return (s64)got;
}

static s64 no_write(const struct pnode *n, const char *text, size_t len)
{
	(void)n;
	(void)text;
	return (s64)len; /* that it was opened emptied it */
}

/* ---- which -----------------------------------------------------------------
 */

/* arg: all of them, or those that are wanted. */
static int show_events(const struct pnode *n, struct seq_buf *out)
{
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		const struct trace_event_info *e = trace_event_info(i);

		if (i != TRACE_TEST_EVENT && (n->e->arg || wanted(i)))
			seq_printf(out, "%s:%s\n", e->system, e->name);
	}
	return 0;
}

static bool blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == ',' || !c;
}

static s64 write_events(const struct pnode *n, const char *text, size_t len)
{
	size_t at = 0, end;
	int err = 0;

	(void)n;
	while (at < len && !err) {
		bool off = text[at] == '!';

		if (blank(text[at])) {
			at++;
			continue;
		}
		at += off;
		for (end = at; end < len && !blank(text[end]); end++)
			;
		err = choose(text + at, end - at, !off);
		at = end;
	}
	return err ? err : (s64)len;
}

static void empty_events(const struct pnode *n)
{
	(void)n;
	none();
}

static int show_on(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%d\n", !state()->off);
	return 0;
}

static s64 write_on(const struct pnode *n, const char *text, size_t len)
{
	(void)n;
	if (!len || (text[0] != '0' && text[0] != '1'))
		return -EINVAL;
	mutex_lock(&state()->lock);
	state()->off = text[0] == '0';
	apply();
	mutex_unlock(&state()->lock);
	return (s64)len;
}

static int show_kb(const struct pnode *n, struct seq_buf *out)
{
	u64 kb = ring_kb();

	seq_printf(out, "%llu\n",
		   LLU(n->e->arg ? kb * (u64)port_nr_cpus() : kb));
	return 0;
}

static s64 write_kb(const struct pnode *n, const char *text, size_t len)
{
	u64 kb = 0;
	s64 ret = (s64)len;

	(void)n;
	for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		kb = min(kb * 10 + (u64)(text[i] - '0'), RING_KB_MAX + 1ul);
	if (!kb || kb > RING_KB_MAX)
		return -EINVAL;
	mutex_lock(&state()->lock);
	if (state()->made)
		ret = -EBUSY;
	else
		state()->kb = kb;
	mutex_unlock(&state()->lock);
	return ret;
}

/* Records that were overwritten before trace_pipe or trace_records came. */
static int show_lost(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%llu\n", LLU(READ_ONCE(state()->lost)));
	return 0;
}

static int show_word(const struct pnode *n, struct seq_buf *out)
{
	seq_printf(out, "%s\n", n->e->source);
	return 0;
}

/* ---- events/ ---------------------------------------------------------------
 */

/* The event of a folder; num is its number. */
static u32 event_of(const struct pnode *n)
{
	return (u32)n->key.num;
}

static int show_format(const struct pnode *n, struct seq_buf *out)
{
	trace_show_format(event_of(n), out);
	return 0;
}

static int show_id(const struct pnode *n, struct seq_buf *out)
{
	seq_printf(out, "%u\n", event_of(n));
	return 0;
}

static int show_enable(const struct pnode *n, struct seq_buf *out)
{
	seq_puts(out, wanted(event_of(n)) ? "1\n" : "0\n");
	return 0;
}

/* The name that turns on what N's folder holds. */
static void folder_name(const struct pnode *n, char *name, size_t size)
{
	const struct trace_event_info *e;

	if (n->e->arg) {
		(void)mm_strscpy(name, n->key.name[0] ? n->key.name : "all",
				 size);
		return;
	}
	e = trace_event_info(event_of(n));
	(void)mm_scnprintf(name, size, "%s:%s", e->system, e->name);
}

static s64 write_enable(const struct pnode *n, const char *text, size_t len)
{
	char name[PNAME_MAX];
	int err;

	if (!len || (text[0] != '0' && text[0] != '1'))
		return -EINVAL;
	folder_name(n, name, sizeof(name));
	err = choose(name, mm_strlen(name), text[0] == '1');
	return err ? err : (s64)len;
}

/* Of several: 1, 0, or X for some. */
static int show_enables(const struct pnode *n, struct seq_buf *out)
{
	bool on = false, off = false;
	char name[PNAME_MAX];

	folder_name(n, name, sizeof(name));
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		if (i == TRACE_TEST_EVENT ||
		    !trace_named(i, name, mm_strlen(name)))
			continue;
		on |= wanted(i);
		off |= !wanted(i);
	}
	seq_printf(out, "%c\n", on && off ? 'X' : on ? '1' : '0');
	return 0;
}

#define RO(n, f, a)                                                    \
	{                                                              \
		.name = n, .mode = S_IFREG | 0440, .show = f, .arg = a \
	}
#define RW(n, f, w, a)                                                  \
	{                                                               \
		.name = n, .mode = S_IFREG | 0640, .show = f, .arg = a, \
		.write = w                                              \
	}

static const struct pentry event_entries[] = {
	RW("enable", show_enable, write_enable, 0),
	RO("format", show_format, 0),
	RO("id", show_id, 0),
};
static const struct pdir event_dir = PDIR(event_entries);
static const struct pentry one_event = {.mode = S_IFDIR | 0750,
					.dir = &event_dir};

static const struct pentry *event_find(const struct pkey *key, const char *name,
				       struct pkey *child)
{
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		const struct trace_event_info *e = trace_event_info(i);

		if (i == TRACE_TEST_EVENT || mm_strcmp(e->system, key->name) ||
		    mm_strcmp(e->name, name))
			continue;
		child->num = i;
		return &one_event;
	}
	return NULL;
}

static const struct pentry *event_next(const struct pkey *key, u64 *cursor,
				       char *name)
{
	while (*cursor < NR_TRACE_EVENTS) {
		const struct trace_event_info *e =
			trace_event_info((u32)*cursor);

		++*cursor;
		if (*cursor - 1 == TRACE_TEST_EVENT ||
		    mm_strcmp(e->system, key->name))
			continue;
		(void)mm_strscpy(name, e->name, PNAME_MAX);
		return &one_event;
	}
	return NULL;
}

static const struct pentry system_entries[] = {
	RW("enable", show_enables, write_enable, 1),
};
static const struct pdir system_dir =
	PDIR(system_entries, .find = event_find, .next = event_next);
static const struct pentry one_system = {.mode = S_IFDIR | 0750,
					 .dir = &system_dir};

/* Is event I the first of its system? */
static bool first_of_system(u32 i)
{
	const char *system = trace_event_info(i)->system;

	for (u32 j = 0; j < i; j++)
		if (mm_strcmp(trace_event_info(j)->system, system) == 0)
			return false;
	return i != TRACE_TEST_EVENT;
}

static const struct pentry *system_find(const struct pkey *key,
					const char *name, struct pkey *child)
{
	(void)key;
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		if (i == TRACE_TEST_EVENT ||
		    mm_strcmp(trace_event_info(i)->system, name))
			continue;
		(void)mm_strscpy(child->name, name, sizeof(child->name));
		return &one_system;
	}
	return NULL;
}

static const struct pentry *system_next(const struct pkey *key, u64 *cursor,
					char *name)
{
	(void)key;
	while (*cursor < NR_TRACE_EVENTS) {
		u32 i = (u32)(*cursor)++;

		if (!first_of_system(i))
			continue;
		(void)mm_strscpy(name, trace_event_info(i)->system, PNAME_MAX);
		return &one_system;
	}
	return NULL;
}

static const struct pentry events_entries[] = {
	RW("enable", show_enables, write_enable, 1),
};
static const struct pdir events_dir =
	PDIR(events_entries, .find = system_find, .next = system_next);

/* ---- the root --------------------------------------------------------------
 */

static const struct pentry tracing_entries[] = {
	RO("available_events", show_events, 1),
	{.name = "available_tracers",
	 .mode = S_IFREG | 0440,
	 .show = show_word,
	 .source = "nop"},
	RW("buffer_size_kb", show_kb, write_kb, 0),
	RO("buffer_total_size_kb", show_kb, 1),
	{.name = "current_tracer",
	 .mode = S_IFREG | 0440,
	 .show = show_word,
	 .source = "nop"},
	{.name = "events", .mode = S_IFDIR | 0750, .dir = &events_dir},
	{.name = "set_event",
	 .mode = S_IFREG | 0640,
	 .show = show_events,
	 .write = write_events,
	 .truncate = empty_events},
	{.name = "trace",
	 .mode = S_IFREG | 0640,
	 .show = show_trace,
	 .write = no_write,
	 .truncate = empty_trace},
	{.name = "trace_clock",
	 .mode = S_IFREG | 0440,
	 .show = show_word,
	 .source = "[mono]"},
	RO("trace_lost", show_lost, 0),
	{.name = "trace_pipe", .mode = S_IFREG | 0440, .read = read_pipe},
	{.name = "trace_records", .mode = S_IFREG | 0440, .read = read_records},
	RW("tracing_on", show_on, write_on, 0),
};
const struct pdir tracefs_dir = PDIR(tracing_entries);
const struct pentry tracefs_root_entry = {.mode = S_IFDIR | 0700,
					  .dir = &tracefs_dir};

void tracefs_init(void)
{
	mm_memset(state(), 0, sizeof(*state()));
	mutex_init(&state()->lock, LOCK_CLASS_TRACEFS);
}

void tracefs_exit(void)
{
	none();
	rings_free();
}
