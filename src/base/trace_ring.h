/* SPDX-License-Identifier: MIT */
/*
 * trace_ring.h - tracepoints: fixed records in one ring per CPU.
 *
 *	trace_emit(MM_PAGE_FREE, pfn, order);
 *
 * Disabled (the start state), an event costs one load and a branch and its
 * arguments are not evaluated. Enabled, 128 bytes are written to the running
 * CPU's ring, over the oldest. CPUs without a ring write nothing.
 */
#ifndef MM_BASE_TRACE_RING_H
#define MM_BASE_TRACE_RING_H

#include "base/system.h"
#include "base/trace_events.h"

#define TRACE_ARGS 12

struct trace_record {
	u64 ns;
	u16 event; /* enum trace_event */
	u16 cpu;
	u32 pid;
	char comm[16]; /* of the thread; no end mark if it is full */
	u64 arg[TRACE_ARGS];
};

MM_STATIC_ASSERT(sizeof(struct trace_record) == 128, "two cache lines");
MM_STATIC_ASSERT(NR_TRACE_EVENTS <= 64 * TRACE_WORDS, "a bit for each");

struct trace_event_info {
	const char *system, *name, *args, *print;
};

/* trace_event_info: the entry of the list, or NULL out of range. */
const struct trace_event_info *trace_event_info(unsigned int event);

/*
 * trace_ring_attach: CPU writes to BUF[NR] from now on (NR > 0), from its
 * start; NULL and 0 detach: when it returns nobody writes to what was there.
 * The memory stays the caller's. Events may be enabled; one caller at a time.
 */
void trace_ring_attach(int cpu, struct trace_record *buf, u64 nr);

/* trace_set_filter: records that WANTS (any context) refuses are not written;
 * NULL: all are. trace_sync: who was writing when this was called, and may have
 * asked an older one, is done. */
void trace_set_filter(bool (*wants)(const struct trace_record *r));
void trace_sync(void);

/*
 * trace_set_symbol: text of records names the functions that addresses are in
 * by NAME, which writes "function", with "+0x1c/0x40" if OFFSET, to BUF[SIZE]
 * and returns the length; 0: no function is there. NULL: all are numbers.
 */
void trace_set_symbol(u32 (*name)(u64 addr, bool offset, char *buf, u32 size));

/* Enable and disable one event; trace_enable_mask() sets those of the first
 * word by MASK and the others to its top bit: 0 is none, ~0 all. */
void trace_enable(enum trace_event event);
void trace_disable(enum trace_event event);
void trace_enable_mask(u64 mask);

/* A build whose rings nobody can attach has no code for them (MM_NO_TRACE). */
#ifdef MM_NO_TRACE
#define TRACE_BUILT false
#else
#define TRACE_BUILT true
#endif

static inline bool trace_enabled(enum trace_event event)
{
	return TRACE_BUILT &&
	       unlikely(READ_ONCE(base_sys.trace_enabled[event / 64]) >>
				(event % 64) &
			1);
}

/* trace_ring_write: the slow half of trace_emit(). Any context. */
void trace_ring_write(enum trace_event event, const u64 arg[TRACE_ARGS]);

/* trace_ring_write_at: of CPU, where ME runs, at NS. For a port that plays
 * several CPUs. Context: nobody else writes CPU's ring. */
void trace_ring_write_at(enum trace_event event, const u64 arg[TRACE_ARGS],
			 int cpu, const struct mm_task *me, u64 ns);

/* trace_emit(NAME, up to TRACE_ARGS integers): record TRACE_NAME if it is
 * enabled. */
#define trace_emit(name, ...)                                          \
	do {                                                           \
		if (trace_enabled(TRACE_##name))                       \
			trace_ring_write(                              \
				TRACE_##name,                          \
				(const u64[TRACE_ARGS]){__VA_ARGS__}); \
	} while (0)

/* trace_word: eight bytes of S from AT on as a field, zeroes behind its end. */
u64 trace_word(const char *s, u32 at);
#define TRACE_TEXT(s) trace_word(s, 0), trace_word(s, 8)

/* A walk over all rings by time; on one CPU in the order of writing. */
struct trace_cursor {
	u64 pos[MM_NR_CPUS];
};

/* Context for both: no event is enabled (trace_enable_mask(0) first). */
void trace_cursor_init(struct trace_cursor *c);
/* trace_cursor_next: copy the next record to *OUT; false at the end. */
bool trace_cursor_next(struct trace_cursor *c, struct trace_record *out);

/*
 * trace_read: copy record number *POS of CPU (0 is the first ever) to *OUT and
 * step over it; false: it is not written yet. If it has been overwritten, *POS
 * becomes the oldest that is left first. Context: any; events may be enabled.
 */
bool trace_read(int cpu, u64 *pos, struct trace_record *out);
/* trace_written: how many CPU has written. */
u64 trace_written(int cpu);

/* trace_lost: records that CPU's ring has overwritten. */
u64 trace_lost(int cpu);

#endif
