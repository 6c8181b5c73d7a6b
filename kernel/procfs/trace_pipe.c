/* SPDX-License-Identifier: MIT */
/*
 * trace_pipe.c - what the rings of tracepoints have, read.
 *
 * 1. Readers. "trace" tells what is there and takes nothing. The others take:
 *    what one of them has given out the rest do not see again.
 *
 *      trace_pipe      lines of text
 *      trace_pipe_raw  of one CPU, pages as programs know them (4)
 *      trace_records   records as they lie in memory, for who copies many; it
 *                      does not wait: at the end is an end of file
 *
 * 2. Lines. A line belongs to the open file that has begun to read it.
 *
 * 3. Waiting. A reader that finds nothing waits; O_NONBLOCK: -EAGAIN; a signal:
 *    -EINTR; tracing was turned off since it has read something: the end of
 *    file. Writers wake nobody, for they are anywhere: under locks, in
 *    interrupts. A timer looks ten times in a tenth of a second, while somebody
 *    waits.
 *
 * 4. Pages. A header (time of the first event, bytes of events), then events:
 *    a word with its size in words (5 bits) and the time since the one before
 *    (27 bits), then what trace_raw() makes. More time takes two words. Their
 *    description is events/header_page and events/header_event.
 *
 * 5. Invariants.
 *    TP-1  taken counts up, never beyond what was written.
 *    TP-2  Text and pages of one CPU are in the order of writing.
 *
 * 6. Locking. An open file's mutex, outside of tracefs' own; copying to user
 *    memory under the first may fault. The end of the wait is tested without.
 *
 * References: Linux documentation, trace/ftrace, trace/ring-buffer-design;
 * libtraceevent's manual pages.
 */
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/atomic.h"
#include "base/string.h"
#include "fs/fs.h"
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"
#include "report/trace_show.h"
#include "task.h"

#define TICK_NS	      (10UL * 1000 * 1000)
#define RAW_HEAD      16u
#define RAW_TIME_BITS 27
#define RAW_TIME_MORE 30u	  /* type: a time of two words */
#define RAW_MISSED    (1UL << 31) /* events are missing before this page */
#define RAW_MISSED_NR (1UL << 30) /* how many stands behind the last */
#define LINE_ROOM     1024u
#define ALL_CPUS      (-1)

/* Of an open file. */
struct trace_reader {
	struct mutex lock;
	int cpu;   /* (C) or ALL_CPUS */
	bool seen; /* (lock) it has given out something */
	/* (lock) In BUF: text or a page, of which AT of LEN bytes are given
	 * out. */
	u32 at, len;
	u8 buf[];
};

static struct tracefs_state *state(void)
{
	return &proc_sys.trace;
}

static int cpu_of(const struct pnode *n)
{
	return (int)n->key.num - 1;
}

/* ---- records ---------------------------------------------------------------
 */

/* The next record of CPU at *POS; *POS is its number, *BEHIND what is behind
 * it, *MISSED grows by what was overwritten. */
static bool peek(int cpu, u64 *pos, struct trace_record *out, u64 *behind,
		 u64 *missed)
{
	u64 at = *pos;

	if (!trace_read(cpu, &at, out))
		return false;
	*missed += at - 1 - *pos;
	*pos = at - 1;
	*behind = at;
	return true;
}

/* The oldest record of CPU, or of all, at POS[]; POS[] is behind it. Its CPU;
 * below 0: there is none. */
static int next_record(int cpu, u64 *pos, struct trace_record *out, u64 *missed)
{
	int from = cpu < 0 ? 0 : cpu, to = cpu < 0 ? port_nr_cpus() - 1 : cpu;
	struct trace_record r;
	u64 behind = 0, next;
	int best = -1;

	for (int i = from; i <= to; i++) {
		if (!peek(i, &pos[i], &r, &next, &missed[i]))
			continue;
		if (best >= 0 && r.ns >= out->ns)
			continue;
		*out = r;
		best = i;
		behind = next;
	}
	if (best >= 0)
		pos[best] = behind;
	return best;
}

static void name_note(struct trace_name *names, const struct trace_record *r)
{
	struct trace_name *n = &names[r->pid % TRACE_NAMES];

	if (!r->comm[0])
		return;
	n->pid = r->pid;
	mm_memcpy(n->comm, r->comm, sizeof(n->comm));
}

/* The next one for good. Lock held. */
static bool take_record(int cpu, struct trace_record *out)
{
	struct tracefs_state *t = state();
	int from;

	mutex_assert_held(&t->lock);
	from = next_record(cpu, t->taken, out, t->lost);
	if (from < 0)
		return false;
	t->read[from]++;
	name_note(t->names, out);
	return true;
}

/* Is there a record that nobody has taken? Any context. */
static bool pending(int cpu)
{
	const struct tracefs_state *t = state();

	for (int i = cpu < 0 ? 0 : cpu;
	     i < (cpu < 0 ? port_nr_cpus() : cpu + 1); i++)
		if (trace_written(i) > READ_ONCE(t->taken[i]))
			return true;
	return false;
}

/* ---- waiting ---------------------------------------------------------------
 */

static void tick(struct machine_timer *timer)
{
	struct tracefs_state *t = state();

	if (pending(ALL_CPUS))
		wake_up_all(&t->wait);
	/* Who is woken and finds another CPU's arms it again. */
	if (!waitqueue_active(&t->wait))
		return;
	timer->expires = port_now_ns() + TICK_NS;
	machine_timer_arm(timer);
}

static void tick_start(void)
{
	struct tracefs_state *t = state();

	t->tick.expires = port_now_ns() + TICK_NS;
	machine_timer_arm(&t->tick);
}

static bool over(const struct trace_reader *p)
{
	return READ_ONCE(state()->off) && READ_ONCE(p->seen);
}

/* True: look again. False: *RET is what read(2) is to say. */
static bool reader_wait(const struct file *file, const struct trace_reader *p,
			s64 *ret)
{
	struct tracefs_state *t = state();
	int err;

	if (READ_ONCE(file->f_flags) & O_NONBLOCK) {
		*ret = -EAGAIN;
		return false;
	}
	if (over(p)) {
		*ret = 0;
		return false;
	}
	/* In the queue before the timer looks whether somebody is. */
	err = wait_event_interruptible(t->wait, pending(p->cpu) || over(p) ||
							(tick_start(), false));
	*ret = -EINTR;
	return !err;
}

static u32 reader_poll(struct file *file, struct poll_table *table)
{
	const struct trace_reader *p = file->private_data;

	poll_wait(table, &state()->wait);
	if (READ_ONCE(p->at) < READ_ONCE(p->len) || pending(p->cpu))
		return POLLIN | POLLRDNORM;
	tick_start();
	return 0;
}

static int reader_open(const struct pnode *n, struct file *file)
{
	u64 room = n->e->fops == &trace_raw_fops ? PAGE_SIZE : LINE_ROOM;
	struct trace_reader *p = kzalloc(sizeof(*p) + room, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	mutex_init(&p->lock, LOCK_CLASS_PROC_TEXT);
	p->cpu = cpu_of(n);
	file->private_data = p;
	file->f_mode |= FMODE_STREAM;
	return 0;
}

int trace_open(const struct pnode *n, struct file *file)
{
	return reader_open(n, file);
}

static void reader_release(struct inode *inode, struct file *file)
{
	(void)inode;
	kfree(file->private_data);
	file->private_data = NULL;
}

/* What is left of P's text or page, as far as ITER has room. -EFAULT: none of
 * it could be put there. P locked. */
static s64 give(struct trace_reader *p, struct iov_iter *iter)
{
	u64 want = min(iter->count, (u64)(p->len - p->at));
	u64 n = iter_put(iter, p->buf + p->at, want);

	p->at += (u32)n;
	return n || !want ? (s64)n : -EFAULT;
}

/* FILL makes P's next piece: false: there is nothing. Returns as read(2). */
static s64 reader_read(struct file *file, struct iov_iter *iter, bool many,
		       bool (*fill)(struct trace_reader *p))
{
	struct trace_reader *p = file->private_data;
	s64 total = 0, n;

	if (!iter->count)
		return 0;
	do {
		n = 0;
		mutex_lock(&p->lock);
		do {
			if (p->at == p->len && !fill(p))
				break;
			n = give(p, iter);
			total += max(n, 0L);
		} while (many && n > 0 && iter->count);
		if (total)
			WRITE_ONCE(p->seen, true);
		mutex_unlock(&p->lock);
		if (total || n < 0)
			return total ? total : n;
	} while (reader_wait(file, p, &n));
	return n;
}

/* ---- text ------------------------------------------------------------------
 */

static bool fill_line(struct trace_reader *p)
{
	struct trace_record r;
	struct seq_buf s;
	bool any;

	mutex_lock(&state()->lock);
	any = take_record(p->cpu, &r);
	mutex_unlock(&state()->lock);
	if (!any)
		return false;
	seq_buf_init(&s, (char *)p->buf, LINE_ROOM);
	trace_show_line(&r, NULL, 6, &s);
	p->at = 0;
	p->len = (u32)mm_strlen(seq_buf_str(&s));
	return true;
}

static s64 pipe_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)pos;
	return reader_read(file, iter, true, fill_line);
}

const struct file_operations trace_pipe_fops = {
	.read_iter = pipe_read,
	.poll = reader_poll,
	.release = reader_release,
};

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

int trace_show(const struct pnode *n, struct seq_buf *out)
{
	u64 pos[MM_NR_CPUS], missed[MM_NR_CPUS] = {0}, here = 0, written = 0;
	struct tracefs_state *t = state();
	struct trace_record r;
	int cpu = cpu_of(n);

	mutex_lock(&t->lock);
	for (int i = 0; i < port_nr_cpus(); i++) {
		u64 all = trace_written(i) - t->taken[i];

		pos[i] = t->taken[i];
		if (cpu >= 0 && cpu != i)
			continue;
		written += all;
		here += min(all, tracefs_ring_records());
	}
	show_head(out, here, written);
	while (here-- && next_record(cpu, pos, &r, missed) >= 0)
		trace_show_line(&r, NULL, 6, out);
	mutex_unlock(&t->lock);
	return 0;
}

void trace_empty(const struct pnode *n)
{
	struct tracefs_state *t = state();
	int cpu = cpu_of(n);

	mutex_lock(&t->lock);
	for (int i = 0; i < port_nr_cpus(); i++)
		if (cpu < 0 || cpu == i)
			t->taken[i] = trace_written(i);
	mutex_unlock(&t->lock);
}

/* ---- records as they are ---------------------------------------------------
 */

/* Whole ones: less room than for one is an error. */
static s64 records_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct trace_record *page, r;
	s64 total = 0;
	u64 n = 0, put;

	(void)file;
	(void)pos;
	if (iter->count < sizeof(r))
		return -EINVAL;
	page = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	do {
		mutex_lock(&state()->lock);
		for (n = 0; n < PAGE_SIZE / sizeof(r) &&
			    (n + 1) * sizeof(r) <= iter->count &&
			    take_record(ALL_CPUS, &page[n]);
		     n++)
			;
		mutex_unlock(&state()->lock);
		put = iter_put(iter, page, n * sizeof(r));
		total += (s64)put;
		if (put < n * sizeof(r) && !total)
			total = -EFAULT;
	} while (n && put == n * sizeof(r));
	kfree(page);
	return total;
}

const struct file_operations trace_records_fops = {
	.read_iter = records_read,
};

/* ---- pages -----------------------------------------------------------------
 */

/* R behind the LEN bytes of events in PAGE, the one before at *NS. False: there
 * is no room. */
static bool page_add(u8 *page, u32 *len, u64 *ns, const struct trace_record *r)
{
	u8 raw[TRACE_RAW_MAX];
	u32 size = trace_raw(r, raw), word[2];
	u64 delta = r->ns > *ns ? r->ns - *ns : 0;
	bool more = delta >> RAW_TIME_BITS;

	if (RAW_HEAD + *len + size + (more ? 12u : 4u) > PAGE_SIZE)
		return false;
	if (more) {
		word[0] = (u32)(delta << 5) | RAW_TIME_MORE;
		word[1] = (u32)(delta >> RAW_TIME_BITS);
		mm_memcpy(page + RAW_HEAD + *len, word, 8);
		*len += 8;
		delta = 0;
	}
	word[0] = (u32)delta << 5 | size / 4;
	mm_memcpy(page + RAW_HEAD + *len, word, 4);
	mm_memcpy(page + RAW_HEAD + *len + 4, raw, size);
	*len += size + 4;
	*ns = max(*ns, r->ns);
	return true;
}

/* What CPU has that nobody has taken, as much as fits PAGE, up to a place where
 * some are missing. False: nothing. Lock held. */
static bool page_fill(int cpu, u8 *page)
{
	u64 ns = 0, commit, missed = 0, next;
	struct tracefs_state *t = state();
	struct trace_record r;
	u32 len = 0;

	for (;;) {
		u64 at = t->taken[cpu], here = 0;

		if (!peek(cpu, &at, &r, &next, &here) || (len && here))
			break;
		if (!len) {
			ns = r.ns;
			missed = here;
			mm_memcpy(page, &ns, 8);
		}
		if (!page_add(page, &len, &ns, &r))
			break;
		t->lost[cpu] += here;
		t->taken[cpu] = next;
		t->read[cpu]++;
		name_note(t->names, &r);
	}
	commit = len;
	if (missed) {
		commit |= RAW_MISSED;
		if (RAW_HEAD + len + 8 <= PAGE_SIZE) {
			mm_memcpy(page + RAW_HEAD + len, &missed, 8);
			commit |= RAW_MISSED_NR;
		}
	}
	mm_memcpy(page + 8, &commit, 8);
	return len > 0;
}

static bool fill_page(struct trace_reader *p)
{
	bool any;

	mm_memset(p->buf, 0, PAGE_SIZE);
	mutex_lock(&state()->lock);
	any = page_fill(p->cpu, p->buf);
	mutex_unlock(&state()->lock);
	p->at = any ? 0 : p->len;
	if (any)
		p->len = PAGE_SIZE;
	return any;
}

static s64 raw_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)pos;
	return reader_read(file, iter, false, fill_page);
}

const struct file_operations trace_raw_fops = {
	.read_iter = raw_read,
	.poll = reader_poll,
	.release = reader_release,
};

/* ---- what is known of them -------------------------------------------------
 */

int trace_show_lost(const struct pnode *n, struct seq_buf *out)
{
	struct tracefs_state *t = state();
	u64 sum = 0;

	(void)n;
	mutex_lock(&t->lock);
	for (int i = 0; i < port_nr_cpus(); i++)
		sum += t->lost[i];
	mutex_unlock(&t->lock);
	seq_printf(out, "%llu\n", LLU(sum));
	return 0;
}

static void put_seconds(struct seq_buf *out, const char *name, u64 ns)
{
	seq_printf(out, "%s: %5llu.%06llu\n", name, LLU(ns / 1000000000u),
		   LLU(ns % 1000000000u / 1000));
}

int trace_show_stats(const struct pnode *n, struct seq_buf *out)
{
	struct tracefs_state *t = state();
	struct trace_record r = {.ns = 0};
	u64 pos, missed = 0, next;
	int cpu = cpu_of(n);

	mutex_lock(&t->lock);
	pos = t->taken[cpu];
	(void)peek(cpu, &pos, &r, &next, &missed);
	seq_printf(out,
		   "entries: %llu\noverrun: %llu\ncommit overrun: 0\n"
		   "bytes: %llu\n",
		   LLU(trace_written(cpu) - pos), LLU(t->lost[cpu] + missed),
		   LLU((trace_written(cpu) - pos) * sizeof(r)));
	put_seconds(out, "oldest event ts", r.ns);
	put_seconds(out, "now ts", port_now_ns());
	seq_printf(out, "dropped events: 0\nread events: %llu\n",
		   LLU(t->read[cpu]));
	mutex_unlock(&t->lock);
	return 0;
}

int trace_show_names(const struct pnode *n, struct seq_buf *out)
{
	u64 pos[MM_NR_CPUS], missed[MM_NR_CPUS] = {0};
	struct tracefs_state *t = state();
	struct trace_name *names = kmalloc(sizeof(t->names), GFP_KERNEL);
	struct trace_record r;

	(void)n;
	if (!names)
		return -ENOMEM;
	mutex_lock(&t->lock);
	mm_memcpy(names, t->names, sizeof(t->names));
	mm_memcpy(pos, t->taken, sizeof(pos));
	for (u64 left = tracefs_ring_records() * (u64)port_nr_cpus();
	     left && next_record(ALL_CPUS, pos, &r, missed) >= 0; left--)
		name_note(names, &r);
	mutex_unlock(&t->lock);
	for (u32 i = 0; i < TRACE_NAMES; i++)
		if (names[i].pid)
			seq_printf(out, "%u %.16s\n", names[i].pid,
				   names[i].comm);
	kfree(names);
	return 0;
}

/* ---- life ------------------------------------------------------------------
 */

void trace_pipe_init(void)
{
	init_waitqueue_head(&state()->wait);
	state()->tick.fn = tick;
}

void trace_pipe_exit(void)
{
	(void)machine_timer_cancel(&state()->tick);
}
