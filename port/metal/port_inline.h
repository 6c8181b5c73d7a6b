/* SPDX-License-Identifier: MIT */
/*
 * port_inline.h - the metal world's part of port.h that must be cheap.
 *
 * GS points to the running CPU's struct metal_cpu (cpu.h) while the kernel
 * runs; what is asked most stands at fixed offsets there and costs one
 * instruction. The word `preempt` holds
 *
 *   bits 0..15   depth of port_pin()
 *   bits 16..30  depth of interrupts
 *   bit 31       set: nobody waits for this CPU; clear: another thread should
 *                run as soon as it may
 *
 * so that a word of 0 means "give way now", and the decrement of port_unpin()
 * tests for it.
 */
#ifndef PORT_METAL_INLINE_H
#define PORT_METAL_INLINE_H

#include <mmkit/task.h>
#include <mmkit/types.h>

#define METAL_PIN	 1u
#define METAL_IRQ	 0x10000u
#define METAL_IRQ_MASK	 0x7fff0000u
#define METAL_DEPTH_MASK 0x7fffffffu
#define METAL_NO_RESCHED 0x80000000u

#define METAL_EFLAGS_IF 0x200ul

/* The direct map of the four-level layout (arch/kernel_layout.c). */
#define METAL_DIRECT 0xffff888000000000ul

/*
 * Loads from the running CPU's area. They are assembly, not accesses through
 * __seg_gs: of a pointer that was loaded from a constant address gcc 12
 * believes that it points nowhere, and drops stores through it.
 *
 * metal_gs_token is never touched. As an operand it lets the compiler keep a
 * value until something says that memory may have changed, as pinning does.
 */
extern u64 metal_gs_token;

#define METAL_GS_LOAD(suffix, off, out)           \
	__asm__("mov" suffix " %%gs:" #off ", %0" \
		: "=r"(out)                       \
		: "m"(metal_gs_token))

/* metal_preempt: the running thread gives way, if it may. */
void metal_preempt_thunk(void);
void metal_spin_wait(const u32 *word);
void metal_relax(void);

static inline int port_cpu(void)
{
	int cpu;

	METAL_GS_LOAD("l", 40, cpu);
	return cpu;
}

/* The same at every call in a thread, wherever that runs. */
static inline struct mm_task *port_current(void)
{
	return *(struct mm_task * __seg_gs *)(8ul);
}

/* machine_owner(port_self()), as kernel/machine.h may ask. */
#define PORT_OWNER 1

static inline void *port_owner(void)
{
	void *owner;

	__asm__("movq %%gs:56, %0" : "=r"(owner));
	return owner;
}

static inline void port_pin(void)
{
	__asm__ volatile("incl %%gs:48" ::: "memory", "cc");
}

/* The thunk keeps all registers. */
static inline void port_unpin(void)
{
	__asm__ volatile("decl %%gs:48\n\t"
			 "jnz 1f\n\t"
			 "call metal_preempt_thunk\n"
			 "1:" ::
				 : "memory", "cc");
}

static inline unsigned long port_irq_save(void)
{
	unsigned long flags;

	__asm__ volatile("pushfq\n\tpopq %0\n\tcli" : "=r"(flags)::"memory");
	return flags;
}

static inline void port_irq_restore(unsigned long flags)
{
	if (!(flags & METAL_EFLAGS_IF)) {
		__asm__ volatile("" ::: "memory");
		return;
	}
	__asm__ volatile("sti\n\t"
			 "cmpl $0, %%gs:48\n\t"
			 "jne 1f\n\t"
			 "call metal_preempt_thunk\n"
			 "1:" ::
				 : "memory", "cc");
}

static inline u32 metal_preempt_word(void)
{
	u32 word;

	__asm__ volatile("movl %%gs:48, %0" : "=r"(word)::"memory");
	return word;
}

static inline void metal_preempt_set(u32 word)
{
	__asm__ volatile("movl %0, %%gs:48" ::"r"(word) : "memory");
}

/* One instruction: what interrupts do in between is kept. */
static inline void metal_preempt_add(u32 n)
{
	__asm__ volatile("addl %0, %%gs:48" ::"ri"(n) : "memory", "cc");
}

static inline bool port_in_irq(void)
{
	return (metal_preempt_word() & METAL_IRQ_MASK) != 0;
}

static inline bool port_spin_trylock(u32 *word)
{
	return __atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void port_spin_lock(u32 *word)
{
	while (unlikely(__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE)))
		metal_spin_wait(word);
}

static inline void port_spin_unlock(u32 *word)
{
	__atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

static inline void port_relax(void)
{
	metal_relax();
}

/* Threads are preempted: nothing has to be offered. */
static inline void port_sched_point(void)
{
}

static inline void *port_ram(phys_addr_t pa)
{
	return (void *)(METAL_DIRECT + pa);
}

static inline phys_addr_t port_ram_phys(const void *view)
{
	return (phys_addr_t)view - METAL_DIRECT;
}

#define PORT_USER_COPY 1

u64 metal_user_copy(void *to, const void *from, u64 n);

static inline u64 port_user_copy(void *to, const void *from, u64 n)
{
	return metal_user_copy(to, from, n);
}

static inline void port_clear_page(void *view)
{
	unsigned long words = PAGE_SIZE / 8;

	__asm__ volatile("rep stosq"
			 : "+D"(view), "+c"(words)
			 : "a"(0ul)
			 : "memory");
}

static inline void port_copy_page(void *to, const void *from)
{
	unsigned long words = PAGE_SIZE / 8;

	__asm__ volatile("rep movsq"
			 : "+D"(to), "+S"(from), "+c"(words)::"memory");
}

#endif
