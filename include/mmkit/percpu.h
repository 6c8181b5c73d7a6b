/* SPDX-License-Identifier: MIT */
/*
 * percpu.h - objects of which every CPU has its own, allocated at run time.
 *
 *	u64 *ticks = alloc_percpu(u64);
 *
 *	this_cpu_inc(ticks);
 *	for (cpu = 0; cpu < port_nr_cpus(); cpu++)
 *		sum += *per_cpu_ptr(ticks, cpu);
 *	free_percpu(ticks);
 *
 * Names and meaning are Linux's (core-api/this_cpu_ops). What alloc_percpu()
 * returns is CPU 0's object; the others lie at multiples of a constant
 * distance, so finding one's own is a shift and an addition. Theory:
 * src/kmem/percpu.c.
 */
#ifndef MMKIT_PERCPU_H
#define MMKIT_PERCPU_H

#include <mmkit/gfp.h>
#include <mmkit/port.h>
#include <mmkit/types.h>

/* Distance between two CPUs' objects; no object is larger. */
#define PCPU_UNIT_SHIFT 15
#define PCPU_UNIT_SIZE	(1UL << PCPU_UNIT_SHIFT)
/* Objects are multiples of this. */
#define PCPU_MIN_ALLOC 4u

/*
 * __alloc_percpu_gfp: zeroed objects of SIZE bytes (1 .. PCPU_UNIT_SIZE),
 * aligned to ALIGN (a power of two up to PAGE_SIZE). Without
 * __GFP_DIRECT_RECLAIM only what is ready is given out, in any context; else
 * the caller may sleep. With __GFP_ACCOUNT all CPUs' bytes count against the
 * limit of the running task's group. NULL: no memory, or bad arguments (logged
 * unless
 * __GFP_NOWARN). Owner: the caller, until free_percpu(). Fault injection:
 * FAIL_PERCPU.
 */
void *__alloc_percpu_gfp(size_t size, size_t align, gfp_t gfp) MM_MUST_CHECK;

static inline MM_MUST_CHECK void *__alloc_percpu(size_t size, size_t align)
{
	return __alloc_percpu_gfp(size, align, GFP_KERNEL);
}

/* __alloc_reserved_percpu: from the part that boot reserved. */
void *__alloc_reserved_percpu(size_t size, size_t align) MM_MUST_CHECK;

#define alloc_percpu(type) ((type *)__alloc_percpu(sizeof(type), alignof(type)))
#define alloc_percpu_gfp(type, gfp) \
	((type *)__alloc_percpu_gfp(sizeof(type), alignof(type), gfp))

/*
 * free_percpu: what one of the above gave; NULL is ignored. What is no object
 * is reported, nothing happens. Any context.
 */
void free_percpu(void *ptr);

/*
 * percpu_reclaim: give back empty chunks and the frames of pages without
 * objects, but those of the first chunk; returns frames freed. Who may not
 * sleep finds nothing then until somebody who may has allocated. May sleep.
 */
u64 percpu_reclaim(void);

/* pcpu_nr_pages: frames behind all objects, of all CPUs. */
u64 pcpu_nr_pages(void);

/* CPU's object; the running CPU's, while the caller is pinned. */
#define per_cpu_ptr(ptr, cpu) \
	((__typeof__(ptr))((char *)(ptr) + ((size_t)(cpu) << PCPU_UNIT_SHIFT)))
#define this_cpu_ptr(ptr) per_cpu_ptr(ptr, port_cpu())

/* Pin, and the running CPU's object; put_cpu_ptr() unpins. */
#define get_cpu_ptr(ptr) (port_pin(), this_cpu_ptr(ptr))
#define put_cpu_ptr(ptr) ((void)(ptr), port_unpin())

/*
 * On the running CPU's object, an integer or a pointer: one step for this CPU
 * (threads and interrupts), whatever the context. Another CPU that reads sees
 * the value before or after.
 */
#define PCPU_PINNED(ptr, expr)               \
	({                                   \
		__typeof__(ptr) pcpu_p_;     \
		__typeof__(expr) pcpu_r_;    \
		port_pin();                  \
		pcpu_p_ = this_cpu_ptr(ptr); \
		pcpu_r_ = (expr);            \
		port_unpin();                \
		pcpu_r_;                     \
	})

#define this_cpu_read(ptr) \
	PCPU_PINNED(ptr, __atomic_load_n(pcpu_p_, __ATOMIC_RELAXED))
#define this_cpu_add_return(ptr, n) \
	PCPU_PINNED(ptr, __atomic_add_fetch(pcpu_p_, n, __ATOMIC_RELAXED))
#define this_cpu_xchg(ptr, v) \
	PCPU_PINNED(ptr, __atomic_exchange_n(pcpu_p_, v, __ATOMIC_RELAXED))
#define this_cpu_write(ptr, v)	 ((void)this_cpu_xchg(ptr, v))
#define this_cpu_add(ptr, n)	 ((void)this_cpu_add_return(ptr, n))
#define this_cpu_sub(ptr, n)	 this_cpu_add(ptr, -(n))
#define this_cpu_inc(ptr)	 this_cpu_add(ptr, 1)
#define this_cpu_dec(ptr)	 this_cpu_add(ptr, -1)
#define this_cpu_inc_return(ptr) this_cpu_add_return(ptr, 1)
/* Returns what was there; equal to OLD means that V is there now. */
#define this_cpu_cmpxchg(ptr, old, v)                                          \
	({                                                                     \
		__typeof__(*(ptr)) pcpu_o_ = (old);                            \
		port_pin();                                                    \
		(void)__atomic_compare_exchange_n(this_cpu_ptr(ptr), &pcpu_o_, \
						  v, false, __ATOMIC_RELAXED,  \
						  __ATOMIC_RELAXED);           \
		port_unpin();                                                  \
		pcpu_o_;                                                       \
	})

#endif
