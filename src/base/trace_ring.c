/* SPDX-License-Identifier: MIT */
/*
 * trace_ring.c - per-CPU rings of trace records.
 *
 * A ring is written by its own CPU only, with interrupts off, so a record is
 * never torn and needs no lock. head counts all records ever written; the
 * ring holds the last nr of them.
 */
#include "base/trace_ring.h"

#include <mmkit/port.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/string.h"

static const struct trace_event_info event_table[NR_TRACE_EVENTS] = {
#define TRACE_EVENT_INFO(id, sys, text, arguments) \
	[TRACE_##id] = {.system = (sys), .name = (text), .args = (arguments)},
	TRACE_EVENT_LIST(TRACE_EVENT_INFO)
#undef TRACE_EVENT_INFO
};

const struct trace_event_info *trace_event_info(unsigned int event)
{
	return event < NR_TRACE_EVENTS ? &event_table[event] : NULL;
}

void trace_ring_attach(int cpu, struct trace_record *buf, u64 nr)
{
	mm_verify(cpu >= 0 && cpu < MM_NR_CPUS);
	mm_assert((buf != NULL) == (nr > 0));
	base_sys.trace[cpu] = (struct trace_cpu){.buf = buf, .nr = nr};
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

void trace_ring_write(enum trace_event event, const u64 arg[TRACE_ARGS])
{
	unsigned long flags = port_irq_save();
	int cpu = port_cpu();
	struct trace_cpu *t = &base_sys.trace[cpu];
	const struct mm_task *me = port_current();
	struct trace_record *r;

	mm_assert(event < NR_TRACE_EVENTS);
	if (t->buf) {
		r = &t->buf[t->head % t->nr];
		r->ns = port_now_ns();
		r->event = (u16)event;
		r->cpu = (u16)cpu;
		r->pid = (u32)me->pid ? (u32)me->pid : me->trace_id;
		mm_memcpy(r->arg, arg, sizeof(r->arg));
		t->head++;
	}
	port_irq_restore(flags);
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
