/* SPDX-License-Identifier: MIT */
/*
 * port_inline.h - the host world's part of port.h that must be cheap.
 *
 * CPUs are slots. A thread takes one when it starts (or at its first call
 * into the manager, for a thread that host.h did not start) and keeps it for
 * life, so nothing else ever runs on "its CPU" and pinning needs no action.
 * Interrupt handlers run in the I/O thread, which has a slot of its own.
 */
#ifndef PORT_HOST_INLINE_H
#define PORT_HOST_INLINE_H

#include <mmkit/task.h>
#include <mmkit/types.h>

#include "base/string.h"

/*
 * What a thread knows of itself. Not attached yet: task is NULL, and cpu is
 * MM_NR_CPUS.
 */
struct host_self {
	struct mm_task *task;
	struct port_thread *thread;
	int cpu;
	u32 pin;     /* depth of port_pin(): checked in debug builds only */
	u32 irq_off; /* 1 between irq_save and irq_restore */
	u32 in_irq;  /* 1 in a completion callback */
};

/* In a program its place is known; a library's is read. */
#if defined(__PIC__) && !defined(__PIE__)
#define HOST_SELF_MODEL "initial-exec"
#else
#define HOST_SELF_MODEL "local-exec"
#endif
extern __thread struct host_self host_self
	__attribute__((tls_model(HOST_SELF_MODEL)));
/* View of physical address 0. */
extern char *host_ram_base;

void host_attach(void);
void host_yield(void);
void host_spin_wait(u32 *word);
_Noreturn void host_bug(const char *what);

static inline int port_cpu(void)
{
	if (unlikely(!host_self.task))
		host_attach();
	return host_self.cpu;
}

#define PORT_CPU_OR_NONE 1

static inline int port_cpu_or_none(void)
{
	return host_self.cpu;
}

static inline struct mm_task *port_current(void)
{
	if (unlikely(!host_self.task))
		host_attach();
	return host_self.task;
}

static inline void port_pin(void)
{
	if (MM_DEBUG)
		host_self.pin++;
}

static inline void port_unpin(void)
{
	if (MM_DEBUG && unlikely(host_self.pin-- == 0))
		host_bug("port_unpin: not pinned");
}

static inline unsigned long port_irq_save(void)
{
	unsigned long flags = host_self.irq_off;

	host_self.irq_off = 1;
	return flags;
}

static inline void port_irq_restore(unsigned long flags)
{
	host_self.irq_off = (u32)flags;
}

static inline bool port_in_irq(void)
{
	return host_self.in_irq != 0;
}

static inline bool port_spin_trylock(u32 *word)
{
	return __atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void port_spin_lock(u32 *word)
{
	while (unlikely(__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE)))
		host_spin_wait(word);
}

static inline void port_spin_unlock(u32 *word)
{
	__atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

static inline void port_relax(void)
{
	host_yield();
}

/* The host's own scheduler interleaves; nothing has to be offered to it. */
static inline void port_sched_point(void)
{
}

static inline void *port_ram(phys_addr_t pa)
{
	return host_ram_base + pa;
}

static inline phys_addr_t port_ram_phys(const void *view)
{
	return (phys_addr_t)((const char *)view - host_ram_base);
}

static inline void port_clear_page(void *view)
{
	__builtin_memset(__builtin_assume_aligned(view, PAGE_SIZE), 0,
			 PAGE_SIZE);
}

/* A page of a file may be written meanwhile, through other mappings. */
static inline void port_copy_page(void *to, const void *from)
{
	mm_memcpy_racy(__builtin_assume_aligned(to, PAGE_SIZE),
		       __builtin_assume_aligned(from, PAGE_SIZE), PAGE_SIZE);
}

#endif
