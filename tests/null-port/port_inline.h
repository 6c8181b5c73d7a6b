/* SPDX-License-Identifier: MIT */
/*
 * port_inline.h of the null port: the smallest bodies that compile and that
 * need no linked symbol, so that the link shows what src/ needs by itself.
 */
#ifndef NULL_PORT_INLINE_H
#define NULL_PORT_INLINE_H

#include <mmkit/task.h>
#include <mmkit/types.h>

static inline int port_cpu(void)
{
	return 0;
}

static inline struct mm_task *port_current(void)
{
	struct mm_task *task;

	/* Any value: the link test never runs; the compiler must not know. */
	__asm__("" : "=r"(task));
	return task;
}

static inline void port_pin(void)
{
}

static inline void port_unpin(void)
{
}

static inline unsigned long port_irq_save(void)
{
	return 0;
}

static inline void port_irq_restore(unsigned long flags)
{
	(void)flags;
}

static inline bool port_in_irq(void)
{
	return false;
}

static inline bool port_spin_trylock(u32 *word)
{
	return __atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void port_spin_lock(u32 *word)
{
	while (!port_spin_trylock(word))
		;
}

static inline void port_spin_unlock(u32 *word)
{
	__atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

static inline void port_relax(void)
{
}

static inline void port_sched_point(void)
{
}

static inline void *port_ram(phys_addr_t pa)
{
	return (void *)(uintptr_t)pa;
}

static inline phys_addr_t port_ram_phys(const void *view)
{
	return (phys_addr_t)(uintptr_t)view;
}

static inline void port_clear_page(void *view)
{
	__builtin_memset(view, 0, PAGE_SIZE);
}

static inline void port_copy_page(void *to, const void *from)
{
	__builtin_memcpy(to, from, PAGE_SIZE);
}

#endif
