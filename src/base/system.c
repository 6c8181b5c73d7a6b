/* SPDX-License-Identifier: MIT */
/*
 * system.c - the state of floor 0, and its reset.
 *
 * 1. Purpose. base/ is what every higher floor is written with: containers
 *    whose links live in the objects, locks built on the port, the checkers
 *    that watch them, text, log, tracing, fault injection. It knows nothing
 *    of memory management, and nothing of the world but port.h.
 * 2. Structures. One struct base_state, a few tens of KiB, mostly log ring
 *    and order matrix. Each subsystem owns one member and no other.
 * 3. Invariants. Zero is a valid state of every member. No container
 *    allocates; the caller brings memory (nodes, buffers, rings).
 * 4. Locking. Containers have none. The log and the order checker have raw
 *    locks of their own that nest inside everything and never each other
 *    (a report is formatted after the checker's lock is given back).
 *    Fault injection, warnings and epochs use atomics; trace rings belong to
 *    their CPU with interrupts off.
 * 5. Life. The state exists before the first instruction of the manager and
 *    is never freed; base_reset() makes it new.
 * 6. Failure. Nothing here needs memory, so nothing here fails, except
 *    xa_store() for want of preloaded nodes, before it changes anything.
 * 7. Cost. Everything disabled (tracing, injection, debug checks) is one load
 *    and a branch, or nothing.
 * 8. Rejected: allocation inside containers (their users are what allocation
 *    is made of); per-subsystem globals (a test could not reset the machine).
 */
#include "base/system.h"

#include "base/assert.h"
#include "base/atomic.h"
#include "base/string.h"

struct base_state base_sys;

MM_STATIC_ASSERT(sizeof(struct base_state) <= 64 * 1024, "state stays small");

/* Who writes last has looked at the reasons after all others wrote. */
void base_gates_set(void)
{
	u32 seen;

	do {
		seen = __atomic_load_n(&base_sys.watch, __ATOMIC_SEQ_CST);
		for (u32 i = 0; i < READ_ONCE(base_sys.nr_gates); i++) {
			const struct base_gate *g = &base_sys.gates[i];

			__atomic_store_n(g->word,
					 seen & READ_ONCE(g->mask)
						 ? READ_ONCE(g->closed)
						 : READ_ONCE(g->open),
					 __ATOMIC_SEQ_CST);
		}
	} while (__atomic_load_n(&base_sys.watch, __ATOMIC_SEQ_CST) != seen);
}

void base_gate_open(const u64 *word, u64 open)
{
	for (u32 i = 0; i < READ_ONCE(base_sys.nr_gates); i++)
		if (base_sys.gates[i].word == word)
			WRITE_ONCE(base_sys.gates[i].open, open);
	base_gates_set();
}

void base_gate_add(const struct base_gate *gate)
{
	u32 i = 0;

	while (i < READ_ONCE(base_sys.nr_gates) &&
	       base_sys.gates[i].word != gate->word)
		i++;
	mm_verify(i < BASE_GATES);
	base_sys.gates[i].word = gate->word;
	WRITE_ONCE(base_sys.gates[i].open, gate->open);
	WRITE_ONCE(base_sys.gates[i].closed, gate->closed);
	WRITE_ONCE(base_sys.gates[i].mask, gate->mask);
	WRITE_ONCE(base_sys.nr_gates, max(base_sys.nr_gates, i + 1));
	base_gates_set();
}

void base_reset(void)
{
	mm_memset(&base_sys, 0, sizeof(base_sys));
}
