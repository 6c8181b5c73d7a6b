/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - the CPU's own: its area, control registers, MSRs, instructions that
 * C has no words for. Theory of the area: cpu.c. Private to port/metal.
 */
#ifndef METAL_CPU_H
#define METAL_CPU_H

#include <mmkit/port.h>

#include "arch/segment_linux.h"
#include "base/rbtree.h"
#include "machine.h"
#include "offsets.h"

#define CR0_MP (1ul << 1)
#define CR0_EM (1ul << 2)
#define CR0_TS (1ul << 3)
#define CR0_NE (1ul << 5)
#define CR0_WP (1ul << 16)
#define CR0_AM (1ul << 18)

#define CR4_DE	       (1ul << 3)
#define CR4_PGE	       (1ul << 7)
#define CR4_OSFXSR     (1ul << 9)
#define CR4_OSXMMEXCPT (1ul << 10)
#define CR4_UMIP       (1ul << 11)
#define CR4_FSGSBASE   (1ul << 16)
#define CR4_PCIDE      (1ul << 17)
#define CR4_OSXSAVE    (1ul << 18)
#define CR4_SMEP       (1ul << 20)
#define CR4_SMAP       (1ul << 21)

#define MSR_EFER	   0xc0000080u
#define MSR_STAR	   0xc0000081u
#define MSR_LSTAR	   0xc0000082u
#define MSR_CSTAR	   0xc0000083u
#define MSR_SFMASK	   0xc0000084u
#define MSR_FS_BASE	   0xc0000100u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define EFER_SCE	   (1ul << 0)
#define EFER_NXE	   (1ul << 11)

#define EFLAGS_CF   0x1ul
#define EFLAGS_TF   0x100ul
#define EFLAGS_IF   0x200ul
#define EFLAGS_DF   0x400ul
#define EFLAGS_IOPL 0x3000ul
#define EFLAGS_NT   0x4000ul
#define EFLAGS_RF   0x10000ul
#define EFLAGS_AC   0x40000ul

#define IST_STACK_SIZE 4096u
#define IST_STACKS     4u /* #DF, NMI, #DB, #MC: vector_ist() */

struct port_thread;

#define METAL_CALM 0xffffffffu

/* One CPU's threads that wait for it (sched.c). */
struct metal_rq {
	u32 word;  /* its lock; interrupts off */
	u32 nr;	   /* threads in the tree */
	u64 floor; /* virtual time that the queue has reached */
	struct rb_root tree;
	struct port_thread *first; /* the tree's leftmost */
	struct port_thread *curr;  /* runs, or is about to */
	bool ticking;		   /* clock_tick() is on */
	u64 stamp; /* port_now_ns() up to which curr was charged */
};

/* At GS's base; the first fields are known to assembly (offsets.h). */
struct metal_cpu {
	struct metal_cpu *self;
	struct mm_task *current;
	struct port_thread *thread;
	u64 kernel_sp; /* top of the running thread's stack */
	u64 user_sp;   /* scratch of the entry code */
	s32 id;
	u32 unused;
	u32 preempt; /* see port_inline.h */
	u32 calm;    /* METAL_CALM, or the running thread has work */
	void *owner; /* the running thread's: machine_owner() */
	/* ---- from here on C alone */
	struct metal_rq rq;
	struct port_thread *idle;
	struct port_thread *fpu; /* whose state is in the registers */
	struct machine_cpu_times times;
	bool irq_user; /* the running interrupt came from user mode */
	struct x86_tss64 tss MM_ALIGNED(16);
	/* Whoever does not know whose GS is loaded comes here by SGDT. */
	struct metal_cpu *gdt_cpu[2] MM_ALIGNED(16);
	u64 gdt[LINUX64_GDT_ENTRIES];
} MM_ALIGNED(MM_CACHELINE);

MM_STATIC_ASSERT(offsetof(struct mm_task, fault_ip) == TASK_FAULT_IP, "asm");
MM_STATIC_ASSERT(offsetof(struct metal_cpu, self) == CPU_SELF, "asm");
MM_STATIC_ASSERT(offsetof(struct metal_cpu, current) == CPU_CURRENT, "asm");
MM_STATIC_ASSERT(offsetof(struct metal_cpu, thread) == CPU_THREAD, "asm");
MM_STATIC_ASSERT(offsetof(struct metal_cpu, kernel_sp) == CPU_KERNEL_SP, "asm");
MM_STATIC_ASSERT(offsetof(struct metal_cpu, user_sp) == CPU_USER_SP, "asm");
MM_STATIC_ASSERT(offsetof(struct metal_cpu, id) == CPU_ID, "asm");
MM_STATIC_ASSERT(offsetof(struct metal_cpu, preempt) == CPU_PREEMPT, "asm");
MM_STATIC_ASSERT(offsetof(struct metal_cpu, calm) == CPU_CALM, "asm");
MM_STATIC_ASSERT(offsetof(struct metal_cpu, owner) == CPU_OWNER, "asm");
MM_STATIC_ASSERT(offsetof(struct metal_cpu, gdt) + GDT_CPU ==
			 offsetof(struct metal_cpu, gdt_cpu[1]),
		 "asm");
MM_STATIC_ASSERT(CPU_CURRENT == 8 && CPU_ID == 40 && CPU_PREEMPT == 48 &&
			 CPU_OWNER == 56,
		 "the numbers in port_inline.h");
MM_STATIC_ASSERT(offsetof(struct pt_regs, r11) == REGS_R11, "asm");
MM_STATIC_ASSERT(offsetof(struct pt_regs, rax) == REGS_RAX, "asm");
MM_STATIC_ASSERT(offsetof(struct pt_regs, rcx) == REGS_RCX, "asm");
MM_STATIC_ASSERT(offsetof(struct pt_regs, rdi) == REGS_RDI, "asm");
MM_STATIC_ASSERT(offsetof(struct pt_regs, orig_rax) == REGS_ORIG_RAX, "asm");
MM_STATIC_ASSERT(offsetof(struct pt_regs, rip) == REGS_RIP, "asm");
MM_STATIC_ASSERT(offsetof(struct pt_regs, cs) == REGS_CS, "asm");
MM_STATIC_ASSERT(offsetof(struct pt_regs, eflags) == REGS_EFLAGS, "asm");
MM_STATIC_ASSERT(offsetof(struct pt_regs, rsp) == REGS_RSP, "asm");
MM_STATIC_ASSERT(offsetof(struct pt_regs, ss) == REGS_SS, "asm");
MM_STATIC_ASSERT(sizeof(struct pt_regs) == REGS_SIZE, "asm");
MM_STATIC_ASSERT(USER_CS == SEL_USER_CS && USER_DS == SEL_USER_DS, "asm");
MM_STATIC_ASSERT(LINUX64_KERNEL_CS * 8 == SEL_KERNEL_CS &&
			 LINUX64_KERNEL_DS * 8 == SEL_KERNEL_DS &&
			 LINUX64_USER_DS * 8 + 3 == SEL_USER_DS &&
			 LINUX64_USER_CS * 8 + 3 == SEL_USER_CS &&
			 LINUX64_TSS * 8 == SEL_TSS,
		 "asm");

/* CPU number CPU's area; NULL: there is none. */
extern struct metal_cpu *metal_cpus[MM_NR_CPUS];

/* The running CPU's area: pinned, or interrupts off. */
static inline struct metal_cpu *metal_this(void)
{
	struct metal_cpu *c;

	METAL_GS_LOAD("q", 0, c);
	return c;
}

/* Features that change what we do; filled in by cpu_probe(). */
struct metal_features {
	bool pge, smep, smap, umip, xsave, xsaveopt, gbpages, pcid, invpcid;
	bool fsgsbase; /* programs change their bases by themselves */
	u64 xcr0;      /* state components in use; 0: FXSAVE */
	u32 fpu_size;  /* bytes of an image */
	u32 mxcsr_mask;
	char vendor[13], model[49];
	u32 family, model_nr, stepping;
	u32 phys_bits, virt_bits;
	u32 leaf1_ecx, leaf1_edx, leaf7_ebx, leaf7_ecx, ext_ecx, ext_edx;
};
extern struct metal_features metal_features;
extern bool metal_smap;

static inline void x86_cpuid(u32 leaf, u32 sub, u32 out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]),
			   "=d"(out[3])
			 : "a"(leaf), "c"(sub));
}

static inline u64 x86_rdmsr(u32 msr)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (u64)hi << 32 | lo;
}

static inline void x86_wrmsr(u32 msr, u64 val)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)val),
			 "d"((u32)(val >> 32))
			 : "memory");
}

#define X86_CR(n)                                                            \
	static inline u64 x86_read_cr##n(void)                               \
	{                                                                    \
		u64 v;                                                       \
                                                                             \
		__asm__ volatile("movq %%cr" #n ", %0" : "=r"(v)::"memory"); \
		return v;                                                    \
	}                                                                    \
	static inline void x86_write_cr##n(u64 v)                            \
	{                                                                    \
		__asm__ volatile("movq %0, %%cr" #n ::"r"(v) : "memory");    \
	}
X86_CR(0)
X86_CR(2)
X86_CR(3)
X86_CR(4)

static inline u64 x86_rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (u64)hi << 32 | lo;
}

static inline u8 x86_inb(u16 port)
{
	u8 v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline void x86_outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static inline void x86_cli(void)
{
	__asm__ volatile("cli" ::: "memory");
}

static inline void x86_sti(void)
{
	__asm__ volatile("sti" ::: "memory");
}

static inline bool x86_irqs_on(void)
{
	unsigned long flags;

	__asm__ volatile("pushfq\n\tpopq %0" : "=r"(flags)::"memory");
	return (flags & EFLAGS_IF) != 0;
}

static inline void x86_pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

/* cpu_probe: what the CPU can do; panics in clear if it cannot run us. */
void cpu_probe(void);
/* cpu_area_init: fill in C as CPU number ID, with interrupt stacks from IST on
 * (IST_STACKS of IST_STACK_SIZE bytes). */
void cpu_area_init(struct metal_cpu *c, int id, void *ist);
/* cpu_load: the running CPU takes C as its own: GS, tables, control bits,
 * the entry of system calls. Interrupts off. */
void cpu_load(struct metal_cpu *c);
/* cpu_idt_init: the table of all CPUs. */
void cpu_idt_init(void);

#endif
