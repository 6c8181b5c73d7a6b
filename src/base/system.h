/* SPDX-License-Identifier: MIT */
/*
 * system.h - the one mutable object of floor 0.
 *
 * Everything in base/ that outlives a call lives in base_sys, so that a test
 * gets a fresh machine by base_reset(). All-zero is the valid start state:
 * nothing in base/ needs to be initialised before its first use.
 *
 * The structures are defined here, not in the headers of their subsystems,
 * because inline fast paths of those headers look into base_sys.
 */
#ifndef MM_BASE_SYSTEM_H
#define MM_BASE_SYSTEM_H

#include <mmkit/types.h>

struct mm_task;
struct epoch_head;
struct trace_record;

/* Lock classes known to the checker; twice as many nodes with subclass 1. */
#define LOCKDEP_CLASSES 96
#define LOCKDEP_NODES	(2 * LOCKDEP_CLASSES)

struct lockdep_state {
	u32 word;     /* raw lock of edge insertion and reports */
	u32 disabled; /* set by the first report: one report is enough */
	u64 irq_used[LOCKDEP_NODES / 64]; /* taken inside an interrupt */
	u64 irqs_on[LOCKDEP_NODES / 64];  /* taken with interrupts on */
	/* Row a, bit b: b was acquired while a was held. Bits only appear. */
	u64 after[LOCKDEP_NODES][LOCKDEP_NODES / 64];
	u8 next[LOCKDEP_NODES], queue[LOCKDEP_NODES]; /* the search's */
};

struct fail_state {
	u32 mask; /* sites that count; 0: off */
	u32 keep; /* nth mode: later calls fail as well */
	u64 nth;  /* nth mode: 1-based call that fails; 0: probability mode */
	u64 one_in;
	u64 seed;
	u64 calls;		    /* calls seen since armed */
	u64 fired;		    /* calls failed since armed */
	const struct mm_task *only; /* NULL: every task */
};

#define PRINTK_RING_BYTES 16384u

struct printk_state {
	u32 word;	/* raw lock of the ring */
	u32 show_debug; /* pr_debug() is kept and printed */
	u32 hide;	/* 8 - hide levels go to the console */
	/* (word) Bytes ever written, and before the oldest whole record; their
	 * records' numbers. */
	u64 head, tail, head_seq, tail_seq;
	char ring[PRINTK_RING_BYTES];
};

#define WARN_ONCE_SLOTS 128u

#define TRACE_WORDS 2u /* of bits that enable tracepoints */

struct trace_cpu {
	struct trace_record *buf; /* NULL: no ring */
	u64 nr;			  /* records that fit */
	u64 head;		  /* records ever written */
	u64 writing;		  /* its CPU is at it now */
} MM_ALIGNED(MM_CACHELINE);

struct epoch_cpu {
	u64 local;  /* epoch of the running read section; 0: none */
	u32 nested; /* depth of read sections on this CPU */
	struct epoch_head *pending;
} MM_ALIGNED(MM_CACHELINE);

#define DEPOT_CHUNKS  256u
#define DEPOT_BUCKETS 1024u /* a power of two */

/* (L) under word; all but nr_refused may be read without. */
struct depot_state {
	u32 word;		   /* raw lock of writers */
	u32 nr_chunks;		   /* (L) */
	u32 used;		   /* (L) words of the last chunk in use */
	u32 nr_stacks;		   /* (L) */
	u64 nr_refused;		   /* (A) for want of memory */
	u64 *chunk[DEPOT_CHUNKS];  /* only appear */
	u32 bucket[DEPOT_BUCKETS]; /* handle of the youngest; 0: none */
};

/* Nesting of spin_lock_irq() on one CPU; the outermost word is restored. */
struct irq_cpu {
	unsigned long flags;
	u32 depth;
} MM_ALIGNED(MM_CACHELINE);

/*
 * Reasons why fast paths must leave to the slow ones, which ask in detail.
 * One word, so that a fast path looks at one thing. Who is only traced does
 * the same as who is not, and says so: a run that is watched is the run.
 */
enum watch_bit {
	WATCH_FAIL,   /* fault injection is armed */
	WATCH_TRACE,  /* some event is enabled */
	WATCH_POLICY, /* some task has a memory policy */
	WATCH_DEBUG   /* frames are poisoned, cleared, guarded or recorded */
};

/*
 * A word of a fast path that says both what it needs for itself and whether
 * it is watched: OPEN while no bit of MASK is set, else CLOSED.
 */
struct base_gate {
	u64 *word;
	u64 open, closed;
	u32 mask;
};

#define BASE_GATES 4

struct base_state {
	u32 watch; /* bit per enum watch_bit */
	u32 nr_gates;
	struct base_gate gates[BASE_GATES];
	struct fail_state fail;
	u64 trace_enabled[TRACE_WORDS]; /* bit per enum trace_event */
	bool (*trace_filter)(const struct trace_record *r); /* or NULL */
	u32 (*trace_symbol)(u64 addr, bool offset, char *buf, u32 size);
	u64 epoch;	   /* advances; readers use epoch + 1 (0 is idle) */
	u64 epoch_pending; /* deferred calls not yet made */
	/* A page is resident when one word of it was written: what every
	 * machine writes stands before what few do. */
	struct irq_cpu irq[MM_NR_CPUS];
	struct epoch_cpu epochs[MM_NR_CPUS];
	struct trace_cpu trace[MM_NR_CPUS];
	struct lockdep_state lockdep;
	u32 warned[WARN_ONCE_SLOTS]; /* hashes of file:line */
	struct printk_state printk;
	struct depot_state depot;
};

extern struct base_state base_sys;

/* base_gates_set: all gates as the reasons are now. Any context. */
void base_gates_set(void);

/*
 * base_gate_add: *GATE's word follows the reasons from now on, until
 * base_reset(); a gate of the same word is replaced. At most BASE_GATES; one
 * caller at a time.
 */
void base_gate_add(const struct base_gate *gate);

/* base_gate_open: the gate of WORD is OPEN from now on when it is. Any
 * context. */
void base_gate_open(const u64 *word, u64 open);

/* base_watch: set or clear one reason. Any context. */
static inline void base_watch(enum watch_bit bit, bool on)
{
	u32 mask = 1u << bit;

	if (on)
		__atomic_fetch_or(&base_sys.watch, mask, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&base_sys.watch, ~mask, __ATOMIC_SEQ_CST);
	base_gates_set();
}

/* base_watched: is there a reason to leave the fast path? */
static inline bool base_watched(void)
{
	return unlikely(READ_ONCE(base_sys.watch));
}

/* base_steered: is there one that changes what is done, and not only tells? */
static inline bool base_steered(void)
{
	return unlikely(READ_ONCE(base_sys.watch) & ~(1u << WATCH_TRACE));
}

/*
 * base_reset: forget everything: log, fault injection, lock orders, rings
 * (their memory stays the caller's), warnings. Deferred calls that are still
 * pending are dropped, not made. Context: no other thread is inside mmkit.
 */
void base_reset(void);

#endif
