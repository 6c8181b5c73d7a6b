/* SPDX-License-Identifier: MIT */
/*
 * port_inline.h of the example: one CPU, one thread, no interrupts. RAM is a
 * region that the caller gives. Its first byte has the physical address
 * REGION_PHYS, aligned as the largest block is: in a region of that alignment
 * blocks are aligned in the program's addresses, too.
 */
#ifndef EXAMPLE_PORT_INLINE_H
#define EXAMPLE_PORT_INLINE_H

#include <mmkit/task.h>
#include <mmkit/types.h>

#define REGION_PHYS (4UL << 20)

extern char *region_base;
extern u64 region_size;
extern void *region_descriptors; /* from malloc, for free() at the end */
extern struct mm_task region_task;

#define NOTHING_TO_DO(name)           \
	static inline void name(void) \
	{                             \
	}
NOTHING_TO_DO(port_pin)
NOTHING_TO_DO(port_unpin)
NOTHING_TO_DO(port_relax)
NOTHING_TO_DO(port_sched_point)

#define port_cpu()		0
#define port_in_irq()		false
#define port_current()		(&region_task)
#define port_irq_save()		0UL
#define port_irq_restore(flags) ((void)(flags))

static inline bool port_spin_trylock(u32 *word)
{
	bool was_free = *word == 0;

	*word = 1;
	return was_free;
}

/* Nobody else could ever give the lock back: the caller never waits. */
static inline void port_spin_lock(u32 *word)
{
	if (!port_spin_trylock(word))
		__builtin_trap();
}

static inline void port_spin_unlock(u32 *word)
{
	*word = 0;
}

#define port_ram(pa) ((void *)(region_base + ((pa)-REGION_PHYS)))
#define port_ram_phys(view) \
	((phys_addr_t)((const char *)(view)-region_base) + REGION_PHYS)
/* No traps for frames that are touched while they are free. */
#define port_ram_protect(start, size, protect) \
	((void)(start), (void)(size), (void)(protect))
#define port_clear_page(view)	 __builtin_memset(view, 0, PAGE_SIZE)
#define port_copy_page(to, from) __builtin_memcpy(to, from, PAGE_SIZE)

#endif
