/* SPDX-License-Identifier: MIT */
/*
 * tracefs.c - /sys/kernel/tracing: the manager's tracepoints as files.
 *
 * 1. Purpose. What ftrace's users know: events are listed, turned on by name or
 *    by their folder, and read as text, which is the report's
 *    (src/report/trace_show.h).
 *
 * 2. Rings. Each CPU has one. They are made when the first event is enabled, of
 *    buffer_size_kb each, and stay; another size makes new, empty ones. A
 *    writer asks nobody; readers (trace_pipe.c) keep numbers of records
 *    (trace_read()), so that they may look while it writes.
 *
 * 3. Order. By time among what is there when it is read. An event of another
 *    CPU that is being written meanwhile may come with the next read.
 *
 * 4. Locking. One mutex, inside that of an open file's text. Failure: no memory
 *    for rings is -ENOMEM of the write that enables or resizes; the rings that
 *    were there stay.
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

static u64 kb_records(u64 kb)
{
	return max(kb * 1024 / sizeof(struct trace_record), 2ul);
}

u64 tracefs_ring_records(void)
{
	return kb_records(ring_kb());
}

static void rings_drop(struct trace_record **ring)
{
	for (int i = 0; i < MM_NR_CPUS; i++) {
		kvfree(ring[i]);
		ring[i] = NULL;
	}
}

static void rings_free(void)
{
	struct tracefs_state *t = state();

	for (int i = 0; i < MM_NR_CPUS; i++)
		if (t->ring[i])
			trace_ring_attach(i, NULL, 0);
	rings_drop(t->ring);
	t->made = false;
}

/* Of NR records for each CPU, to RING. */
static int rings_alloc(struct trace_record **ring, u64 nr)
{
	for (int i = 0; i < port_nr_cpus(); i++) {
		ring[i] = kvmalloc(nr * sizeof(*ring[i]),
				   GFP_KERNEL | __GFP_ZERO);
		if (!ring[i]) {
			rings_drop(ring);
			return -ENOMEM;
		}
	}
	return 0;
}

/* Lock held. Rings of KB each, empty, in place of those that there are. */
static int rings_make(u64 kb)
{
	struct trace_record *ring[MM_NR_CPUS] = {NULL};
	struct tracefs_state *t = state();
	int err = rings_alloc(ring, kb_records(kb));

	if (err)
		return err;
	rings_free();
	for (int i = 0; i < port_nr_cpus(); i++) {
		t->ring[i] = ring[i];
		t->taken[i] = t->read[i] = 0;
		trace_ring_attach(i, ring[i], kb_records(kb));
	}
	t->kb = kb;
	t->made = true;
	return 0;
}

int tracefs_rings(void)
{
	return state()->made ? 0 : rings_make(ring_kb());
}

/* Not for users to turn on: tests', and what trace_marker writes. */
static bool hidden(u32 event)
{
	return event == TRACE_TEST_EVENT || event == TRACE_PRINT;
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
	err = on ? tracefs_rings() : 0;
	for (u32 i = 0; i < NR_TRACE_EVENTS && !err; i++) {
		u64 bit = 1UL << i % 64;

		if (hidden(i) || !trace_named(i, word, len))
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

/* ---- which -----------------------------------------------------------------
 */

/* arg: all of them, or those that are wanted. */
static int show_events(const struct pnode *n, struct seq_buf *out)
{
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		const struct trace_event_info *e = trace_event_info(i);

		if (!hidden(i) && (n->e->arg || wanted(i)))
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

void tracefs_switch(bool on)
{
	mutex_lock(&state()->lock);
	state()->off = !on;
	apply();
	mutex_unlock(&state()->lock);
	/* Readers that have had something wait no longer. */
	wake_up_all(&state()->wait);
}

static s64 write_on(const struct pnode *n, const char *text, size_t len)
{
	(void)n;
	if (!len || (text[0] != '0' && text[0] != '1'))
		return -EINVAL;
	tracefs_switch(text[0] == '1');
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
	int err = 0;

	(void)n;
	for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		kb = min(kb * 10 + (u64)(text[i] - '0'), RING_KB_MAX + 1ul);
	if (!kb || kb > RING_KB_MAX)
		return -EINVAL;
	mutex_lock(&state()->lock);
	if (state()->made && kb != ring_kb())
		err = rings_make(kb);
	else
		state()->kb = kb;
	mutex_unlock(&state()->lock);
	return err ? err : (s64)len;
}

/* There is one clock, and one tracer: they may be asked for. */
static s64 write_word(const struct pnode *n, const char *text, size_t len)
{
	const char *word = n->e->source;
	size_t end = len && text[len - 1] == '\n' ? len - 1 : len;
	size_t size = mm_strlen(word);

	if (*word == '[') {
		word++;
		size -= 2;
	}
	return end == size && mm_strncmp(text, word, size) == 0 ? (s64)len
								: -EINVAL;
}

/* trace_marker: a record of the program's own; of a long text as much as fits,
 * which is less than was written. */
static s64 write_marker(const struct pnode *n, const char *text, size_t len)
{
	u64 arg[TRACE_ARGS] = {(u64)(uintptr_t)write_marker};
	size_t take = min(len, (size_t)TRACE_PRINT_TEXT);
	size_t end = take && text[take - 1] == '\n' ? take - 1 : take;
	int err;

	(void)n;
	if (!READ_ONCE(state()->option[TRACE_MARKERS]))
		return -EINVAL;
	mutex_lock(&state()->lock);
	err = state()->off ? -EBADF : tracefs_rings();
	mutex_unlock(&state()->lock);
	if (err)
		return err;
	mm_memcpy(&arg[1], text, end);
	trace_ring_write(TRACE_PRINT, arg);
	return (s64)take;
}

static s64 no_write(const struct pnode *n, const char *text, size_t len)
{
	(void)n;
	(void)text;
	return (s64)len; /* that it was opened emptied it */
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
	seq_printf(out, "%u\n", TRACE_ID(event_of(n)));
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
		if (hidden(i) || !trace_named(i, name, mm_strlen(name)))
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

static int show_filter(const struct pnode *n, struct seq_buf *out)
{
	trace_filter_show(event_of(n), out);
	return 0;
}

static s64 write_filter(const struct pnode *n, const char *text, size_t len)
{
	int err;

	mutex_lock(&state()->lock);
	err = trace_filter_set(event_of(n), text, len, false);
	mutex_unlock(&state()->lock);
	return err ? err : (s64)len;
}

/* Of a system: for those of its events that have the fields. */
static s64 write_filters(const struct pnode *n, const char *text, size_t len)
{
	int err = -EINVAL;

	mutex_lock(&state()->lock);
	for (u32 i = 0; i < NR_TRACE_EVENTS; i++) {
		int one = -EINVAL;

		if (!hidden(i) &&
		    !mm_strcmp(trace_event_info(i)->system, n->key.name))
			one = trace_filter_set(i, text, len, true);
		err = one == -ENOMEM || !one ? one : err;
		if (one == -ENOMEM)
			break;
	}
	mutex_unlock(&state()->lock);
	return err ? err : (s64)len;
}

static const struct pentry event_entries[] = {
	RW("enable", show_enable, write_enable, 0),
	RW("filter", show_filter, write_filter, 0),
	RO("format", show_format, 0),
	RO("id", show_id, 0),
};
/* Of what cannot be turned on. */
static const struct pentry hidden_entries[] = {
	RO("format", show_format, 0),
	RO("id", show_id, 0),
};
static const struct pdir hidden_dir = PDIR(hidden_entries);
static const struct pentry hidden_event = {.mode = S_IFDIR | 0750,
					   .dir = &hidden_dir};
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
		return hidden(i) ? &hidden_event : &one_event;
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
		return hidden((u32)*cursor - 1) ? &hidden_event : &one_event;
	}
	return NULL;
}

#define SYSTEM_FILTER                                             \
	"### global filter ###\n"                                 \
	"# Use this to set filters for multiple events.\n"        \
	"# Only events with the given fields will be affected.\n" \
	"# If no events are modified, an error message will be displayed here"

static const struct pentry system_entries[] = {
	RW("enable", show_enables, write_enable, 1),
	{.name = "filter",
	 .mode = S_IFREG | 0640,
	 .show = show_word,
	 .source = SYSTEM_FILTER,
	 .write = write_filters},
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
	return i != TRACE_TEST_EVENT; /* "ftrace" has a folder */
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

/* What trace_pipe_raw's pages are made of. */
#define HEADER_PAGE                                                 \
	"\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"  \
	"\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n" \
	"\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"  \
	"\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;"
#define HEADER_EVENT                   \
	"# compressed entry header\n"  \
	"\ttype_len    :    5 bits\n"  \
	"\ttime_delta  :   27 bits\n"  \
	"\tarray       :   32 bits\n"  \
	"\n"                           \
	"\tpadding     : type == 29\n" \
	"\ttime_extend : type == 30\n" \
	"\ttime_stamp : type == 31\n"  \
	"\tdata max type_len  == 28"

#define WORD(n, text)                                                 \
	{                                                             \
		.name = n, .mode = S_IFREG | 0440, .show = show_word, \
		.source = text                                        \
	}

static const struct pentry events_entries[] = {
	RW("enable", show_enables, write_enable, 1),
	WORD("header_event", HEADER_EVENT),
	WORD("header_page", HEADER_PAGE),
};
static const struct pdir events_dir =
	PDIR(events_entries, .find = system_find, .next = system_next);

/* ---- per_cpu/ --------------------------------------------------------------
 */

#define FOPS(n, f)                                               \
	{                                                        \
		.name = n, .mode = S_IFREG | 0440, .fops = &(f), \
		.open = trace_open                               \
	}
#define TRACE_FILE                                                           \
	{                                                                    \
		.name = "trace", .mode = S_IFREG | 0640, .show = trace_show, \
		.write = no_write, .truncate = trace_empty                   \
	}

static const struct pentry cpu_entries[] = {
	RO("buffer_size_kb", show_kb, 0),
	RO("stats", trace_show_stats, 0),
	TRACE_FILE,
	FOPS("trace_pipe", trace_pipe_fops),
	FOPS("trace_pipe_raw", trace_raw_fops),
};
static const struct pdir cpu_dir = PDIR(cpu_entries);
static const struct pentry one_cpu = {.mode = S_IFDIR | 0750, .dir = &cpu_dir};

static const struct pentry *cpu_find(const struct pkey *key, const char *name,
				     struct pkey *child)
{
	s64 cpu = mm_strncmp(name, "cpu", 3) == 0
			  ? pseudo_number(name + 3, port_nr_cpus() - 1)
			  : -1;

	(void)key;
	child->num = cpu + 1;
	return cpu < 0 ? NULL : &one_cpu;
}

static const struct pentry *cpu_next(const struct pkey *key, u64 *cursor,
				     char *name)
{
	(void)key;
	if (*cursor >= (u64)port_nr_cpus())
		return NULL;
	(void)mm_scnprintf(name, PNAME_MAX, "cpu%u", (u32)(*cursor)++);
	return &one_cpu;
}

static const struct pdir per_cpu_dir = {.find = cpu_find, .next = cpu_next};

/* ---- the root --------------------------------------------------------------
 */

/* Formats that are known by their address: the manager has none. */
static int show_nothing(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	(void)out;
	return 0;
}

#define PIDS(n, list)                                                      \
	{                                                                  \
		.name = n, .mode = S_IFREG | 0640, .show = trace_pid_show, \
		.write = trace_pid_write, .truncate = trace_pid_empty,     \
		.arg = list                                                \
	}

static const struct pentry tracing_entries[] = {
	RO("available_events", show_events, 1),
	WORD("available_tracers", "nop"),
	RW("buffer_size_kb", show_kb, write_kb, 0),
	RO("buffer_total_size_kb", show_kb, 1),
	{.name = "current_tracer",
	 .mode = S_IFREG | 0640,
	 .show = show_word,
	 .source = "nop",
	 .write = write_word},
	{.name = "events", .mode = S_IFDIR | 0750, .dir = &events_dir},
	{.name = "options", .mode = S_IFDIR | 0750, .dir = &trace_options_dir},
	{.name = "per_cpu", .mode = S_IFDIR | 0750, .dir = &per_cpu_dir},
	RO("printk_formats", show_nothing, 0),
	RO("saved_cmdlines", trace_show_names, 0),
	{.name = "set_event",
	 .mode = S_IFREG | 0640,
	 .show = show_events,
	 .write = write_events,
	 .truncate = empty_events},
	PIDS("set_event_notrace_pid", 1),
	PIDS("set_event_pid", 0),
	TRACE_FILE,
	{.name = "trace_clock",
	 .mode = S_IFREG | 0640,
	 .show = show_word,
	 .source = "[mono]",
	 .write = write_word},
	RO("trace_lost", trace_show_lost, 0),
	{.name = "trace_marker", .mode = S_IFREG | 0220, .write = write_marker},
	RW("trace_options", trace_options_show, trace_options_write, 0),
	FOPS("trace_pipe", trace_pipe_fops),
	{.name = "trace_records",
	 .mode = S_IFREG | 0440,
	 .fops = &trace_records_fops},
	RW("tracing_on", show_on, write_on, 0),
};
const struct pdir tracefs_dir = PDIR(tracing_entries);
const struct pentry tracefs_root_entry = {.mode = S_IFDIR | 0700,
					  .dir = &tracefs_dir};

void tracefs_init(void)
{
	mm_memset(state(), 0, sizeof(*state()));
	mutex_init(&state()->lock, LOCK_CLASS_TRACEFS);
	trace_pipe_init();
	trace_pid_init();
	trace_set_symbol(kernel_symbol_text);
}

void tracefs_exit(void)
{
	trace_set_symbol(NULL);
	none();
	trace_filter_exit();
	trace_pid_exit();
	trace_pipe_exit();
	rings_free();
}
