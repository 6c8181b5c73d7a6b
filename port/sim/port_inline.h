/* SPDX-License-Identifier: MIT */
/*
 * port_inline.h - the sim world's part of port.h that must be cheap.
 *
 * One host thread plays all CPUs. sim_this points at the CPU being played;
 * changing CPU changes that one pointer, so whatever belongs to a CPU (its
 * clock, pin depth, TLB) hangs off it. A place where something else might
 * have to happen costs one compare of the CPU's clock with its deadline:
 * the scheduler keeps in deadline_ns the earliest moment at which it wants
 * to be asked (end of a time slice, another CPU falling behind, an event).
 */
#ifndef PORT_SIM_INLINE_H
#define PORT_SIM_INLINE_H

#include <mmkit/task.h>
#include <mmkit/types.h>

#include "sim_costs.h"

/* The head of struct sim_cpu: what inline code touches. */
struct sim_hot {
	struct mm_task *current; /* task of the running thread */
	u64 clock_ns;		 /* this CPU's virtual time */
	u64 deadline_ns;	 /* ask the scheduler from then on */
	u32 pin;		 /* depth of port_pin() */
	u32 irq_off;		 /* 1 between irq_save and irq_restore */
	u32 in_irq;		 /* 1 in a completion callback */
	s32 id;			 /* number of the CPU */
};

/* Never NULL: before sim_init() a static boot CPU 0. */
extern struct sim_hot *sim_this;
/* View of physical address 0. */
extern char *sim_ram_base;

void sim_point_slow(void);
void sim_interleave(void);
void sim_relax(void);
void sim_spin_wait(u32 *word);
_Noreturn void sim_bug(const char *what);

static inline int port_cpu(void)
{
	return sim_this->id;
}

static inline struct mm_task *port_current(void)
{
	return sim_this->current;
}

static inline void port_pin(void)
{
	sim_this->pin++;
}

static inline void port_unpin(void)
{
	if (unlikely(sim_this->pin == 0))
		sim_bug("port_unpin: not pinned");
	sim_this->pin--;
}

static inline unsigned long port_irq_save(void)
{
	unsigned long flags = sim_this->irq_off;

	sim_this->irq_off = 1;
	return flags;
}

static inline void port_irq_restore(unsigned long flags)
{
	sim_this->irq_off = (u32)flags;
}

static inline bool port_in_irq(void)
{
	return sim_this->in_irq != 0;
}

/* Every lock operation is a place where other CPUs may get ahead. */
static inline void sim_lock_point(void)
{
	sim_this->clock_ns += sim_costs.lock_ns;
	if (unlikely(sim_this->clock_ns >= sim_this->deadline_ns))
		sim_interleave();
}

static inline bool port_spin_trylock(u32 *word)
{
	sim_lock_point();
	if (READ_ONCE(*word))
		return false;
	WRITE_ONCE(*word, 1);
	return true;
}

static inline void port_spin_lock(u32 *word)
{
	sim_lock_point();
	if (unlikely(READ_ONCE(*word)))
		sim_spin_wait(word);
	WRITE_ONCE(*word, 1);
}

static inline void port_spin_unlock(u32 *word)
{
	WRITE_ONCE(*word, 0);
}

static inline void port_relax(void)
{
	sim_relax();
}

static inline void port_sched_point(void)
{
	if (unlikely(sim_this->clock_ns >= sim_this->deadline_ns))
		sim_point_slow();
}

static inline void *port_ram(phys_addr_t pa)
{
	return sim_ram_base + pa;
}

static inline phys_addr_t port_ram_phys(const void *view)
{
	return (phys_addr_t)((const char *)view - sim_ram_base);
}

static inline void port_clear_page(void *view)
{
	sim_this->clock_ns += sim_costs.clear_page_ns;
	__builtin_memset(view, 0, PAGE_SIZE);
}

static inline void port_copy_page(void *to, const void *from)
{
	sim_this->clock_ns += sim_costs.copy_page_ns;
	__builtin_memcpy(to, from, PAGE_SIZE);
}

#endif
