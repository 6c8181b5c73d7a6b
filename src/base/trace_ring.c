/* SPDX-License-Identifier: MIT */
/*
 * trace_ring.c - per-CPU rings of trace records.
 *
 * A ring is written by its own CPU only, with interrupts off, so a record is
 * never torn and needs no lock. head counts all records ever written; the
 * ring holds the last nr of them. Who reads while it is written looks at head
 * again behind the copy: the writer is at record head, which stands where
 * number head - nr stood, so what is younger than that was whole.
 */
#include "base/trace_ring.h"

#include <mmkit/port.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/string.h"

static const struct trace_event_info event_table[NR_TRACE_EVENTS] = {
#define TRACE_EVENT_INFO(id, sys, text, arguments, form) \
	[TRACE_##id] = {.system = (sys),                 \
			.name = (text),                  \
			.args = (arguments),             \
			.print = (form)},
	TRACE_EVENT_LIST(TRACE_EVENT_INFO)
#undef TRACE_EVENT_INFO
};

const struct trace_event_info *trace_event_info(unsigned int event)
{
	return event < NR_TRACE_EVENTS ? &event_table[event] : NULL;
}

u64 trace_word(const char *s, u32 at)
{
	u64 word = 0;

	for (u32 i = 0; i < at + 8 && s[i]; i++)
		if (i >= at)
			word |= (u64)(u8)s[i] << (i - at) * 8;
	return word;
}

static void writer_wait(const struct trace_cpu *t)
{
	while (__atomic_load_n(&t->writing, __ATOMIC_SEQ_CST))
		port_relax();
}

void trace_set_filter(bool (*wants)(const struct trace_record *r))
{
	__atomic_store_n(&base_sys.trace_filter, wants, __ATOMIC_SEQ_CST);
}

void trace_set_symbol(u32 (*name)(u64 addr, bool offset, char *buf, u32 size))
{
	__atomic_store_n(&base_sys.trace_symbol, name, __ATOMIC_SEQ_CST);
}

void trace_sync(void)
{
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++)
		writer_wait(&base_sys.trace[cpu]);
}

void trace_ring_attach(int cpu, struct trace_record *buf, u64 nr)
{
	struct trace_cpu *t = &base_sys.trace[cpu];

	mm_verify(cpu >= 0 && cpu < MM_NR_CPUS);
	mm_assert((buf != NULL) == (nr > 0));
	__atomic_store_n(&t->buf, NULL, __ATOMIC_SEQ_CST);
	/* Against trace_ring_write_at(): who saw the old one is waited for. */
	writer_wait(t);
	WRITE_ONCE(t->nr, nr);
	WRITE_ONCE(t->head, 0);
	smp_store_release(&t->buf, buf);
}

void trace_enable(enum trace_event event)
{
	mm_assert(event < NR_TRACE_EVENTS);
	(void)mm_fetch_or(&base_sys.trace_enabled[event / 64], BIT(event % 64));
	base_watch(WATCH_TRACE, true);
}

void trace_disable(enum trace_event event)
{
	mm_assert(event < NR_TRACE_EVENTS);
	(void)mm_fetch_and(&base_sys.trace_enabled[event / 64],
			   ~BIT(event % 64));
	for (u32 i = 0; i < TRACE_WORDS; i++) {
		if (READ_ONCE(base_sys.trace_enabled[i]))
			return;
	}
	base_watch(WATCH_TRACE, false);
}

void trace_enable_mask(u64 mask)
{
	bool any = mask != 0;

	for (u32 i = 0; i < TRACE_WORDS; i++) {
		__atomic_store_n(&base_sys.trace_enabled[i], mask,
				 __ATOMIC_SEQ_CST);
		mask = mask >> 63 ? ~0ul : 0;
	}
	base_watch(WATCH_TRACE, any);
}

/* Word by word, as one side may run on another CPU. */
static void words_copy(struct trace_record *to, const struct trace_record *from)
{
	const u64 *f = (const u64 *)(const void *)from;
	u64 *t = (u64 *)(void *)to;

	for (size_t i = 0; i < sizeof(*to) / sizeof(u64); i++)
		__atomic_store_n(&t[i],
				 __atomic_load_n(&f[i], __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
}

void trace_ring_write_at(enum trace_event event, const u64 arg[TRACE_ARGS],
			 int cpu, const struct mm_task *me, u64 ns)
{
	struct trace_cpu *t = &base_sys.trace[cpu];
	bool (*wants)(const struct trace_record *r);
	struct trace_record *buf, r;

	mm_assert(event < NR_TRACE_EVENTS);
	__atomic_store_n(&t->writing, 1, __ATOMIC_SEQ_CST);
	buf = __atomic_load_n(&t->buf, __ATOMIC_SEQ_CST);
	if (!buf) {
		smp_store_release(&t->writing, 0);
		return;
	}
	r = (struct trace_record){.ns = ns,
				  .event = (u16)event,
				  .cpu = (u16)cpu,
				  .pid = (u32)me->pid ? (u32)me->pid
						      : me->trace_id};
	mm_memcpy(r.comm, me->comm, sizeof(r.comm));
	mm_memcpy(r.arg, arg, sizeof(r.arg));
	wants = __atomic_load_n(&base_sys.trace_filter, __ATOMIC_SEQ_CST);
	if (!wants || wants(&r)) {
		words_copy(&buf[t->head % t->nr], &r);
		__atomic_store_n(&t->head, t->head + 1, __ATOMIC_RELEASE);
	}
	smp_store_release(&t->writing, 0);
}

void trace_ring_write(enum trace_event event, const u64 arg[TRACE_ARGS])
{
	unsigned long flags = port_irq_save();

	trace_ring_write_at(event, arg, port_cpu(), port_current(),
			    port_now_ns());
	port_irq_restore(flags);
}

bool trace_read(int cpu, u64 *pos, struct trace_record *out)
{
	const struct trace_cpu *t = &base_sys.trace[cpu];
	u64 head = __atomic_load_n(&t->head, __ATOMIC_ACQUIRE);

	mm_verify(cpu >= 0 && cpu < MM_NR_CPUS);
	if (!t->buf)
		return false;
	while (*pos < head) {
		if (head - *pos >= t->nr)
			*pos = head - t->nr + 1;
		words_copy(out, &t->buf[*pos % t->nr]);
		/* Pairs with the release of the writer's head. */
		smp_rmb();
		head = READ_ONCE(t->head);
		if (head - *pos < t->nr) {
			++*pos;
			return true;
		}
	}
	return false;
}

u64 trace_written(int cpu)
{
	mm_verify(cpu >= 0 && cpu < MM_NR_CPUS);
	return READ_ONCE(base_sys.trace[cpu].head);
}

u64 trace_lost(int cpu)
{
	const struct trace_cpu *t = &base_sys.trace[cpu];

	mm_verify(cpu >= 0 && cpu < MM_NR_CPUS);
	return t->head > t->nr ? t->head - t->nr : 0;
}

void trace_cursor_init(struct trace_cursor *c)
{
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++)
		c->pos[cpu] = trace_lost(cpu);
}

/* CPU's next record at the cursor, or NULL. */
static const struct trace_record *peek(const struct trace_cursor *c, int cpu)
{
	const struct trace_cpu *t = &base_sys.trace[cpu];

	if (!t->buf || c->pos[cpu] >= t->head)
		return NULL;
	return &t->buf[c->pos[cpu] % t->nr];
}

bool trace_cursor_next(struct trace_cursor *c, struct trace_record *out)
{
	const struct trace_record *best = NULL;
	int best_cpu = 0;

	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++) {
		const struct trace_record *r = peek(c, cpu);

		if (r && (!best || r->ns < best->ns)) {
			best = r;
			best_cpu = cpu;
		}
	}
	if (!best)
		return false;
	mm_assert_eq(best->cpu, best_cpu);
	*out = *best;
	c->pos[best_cpu]++;
	return true;
}
