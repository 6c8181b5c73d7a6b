/* SPDX-License-Identifier: MIT */
/*
 * percpu.h - one object per CPU, in arrays inside the state structures.
 *
 *	struct phys_state {
 *		DEFINE_PER_CPU(struct pagevec, lru_add);
 *	};
 *	struct pagevec *pv;
 *
 *	get_cpu();                        // pinned: the CPU stays the same
 *	pv = this_slot_ptr(phys_sys.lru_add);
 *	...
 *	put_cpu();
 *
 * What is allocated at run time is mmkit/percpu.h's.
 *
 * Each element has cache lines of its own. Another CPU's element may be read
 * with READ_ONCE for statistics; changing it needs a rule of the owner's.
 */
#ifndef MM_BASE_PERCPU_H
#define MM_BASE_PERCPU_H

#include "base/spinlock.h"

#define DEFINE_PER_CPU(type, name) \
	struct {                   \
		type v;            \
	} MM_ALIGNED(MM_CACHELINE) name[MM_NR_CPUS]

/* The element of CPU. */
#define cpu_slot_ptr(name, cpu) (&(name)[cpu].v)
#define cpu_slot(name, cpu)	((name)[cpu].v)

/* The running CPU's element; the caller is pinned for as long as it uses it. */
#define this_slot_ptr(name) cpu_slot_ptr(name, port_cpu())

/* Statistics of an integer element: relaxed, exact, from any context. */
#define this_slot_add(name, n) \
	((void)__atomic_fetch_add(this_slot_ptr(name), n, __ATOMIC_RELAXED))
#define this_slot_inc(name) this_slot_add(name, 1)
#define this_slot_dec(name) this_slot_add(name, -1)

/* CPU is an int variable. */
#define for_each_cpu(cpu) for ((cpu) = 0; (cpu) < port_nr_cpus(); (cpu)++)

#endif
