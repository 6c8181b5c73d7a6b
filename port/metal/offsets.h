/* SPDX-License-Identifier: MIT */
/*
 * offsets.h - numbers that assembly and C share; cpu.h holds them against the
 * structures.
 */
#ifndef METAL_OFFSETS_H
#define METAL_OFFSETS_H

/* struct metal_cpu, at GS's base. */
#define CPU_SELF      0
#define CPU_CURRENT   8
#define CPU_THREAD    16
#define CPU_KERNEL_SP 24
#define CPU_USER_SP   32
#define CPU_ID	      40
#define CPU_PREEMPT   48
#define CPU_CALM      52
#define TASK_FAULT_IP 16 /* of struct mm_task */
#define CPU_OWNER     56
#define GDT_CPU	      -8 /* of the GDT: the area that it lies in */
/* Both words at once: nobody waits for the CPU, no work for the thread. */
#define CPU_QUIET -0x80000000

/* struct pt_regs. */
#define REGS_R15      0
#define REGS_R11      48
#define REGS_RAX      80
#define REGS_RCX      88
#define REGS_RDI      112
#define REGS_ORIG_RAX 120
#define REGS_RIP      128
#define REGS_CS	      136
#define REGS_EFLAGS   144
#define REGS_RSP      152
#define REGS_SS	      160
#define REGS_SIZE     168

/* struct port_thread. */
#define THREAD_WORK 0
#define THREAD_SP   8

/* Selectors (LINUX64_* of arch/segment_linux.h). */
#define SEL_KERNEL_CS 0x10
#define SEL_KERNEL_DS 0x18
#define SEL_USER_DS   0x2b
#define SEL_USER_CS   0x33
#define SEL_TSS	      0x40

#define MSR_GS_BASE 0xc0000101

#define KERNEL_BASE 0xffffffff80000000

/* Stacks from before there is vmalloc(): early.c. */
#define EARLY_STACKS	  0xffffffffc0200000
#define EARLY_STACK_PAGES 4

#endif
