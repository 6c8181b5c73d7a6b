/* SPDX-License-Identifier: MIT */
/*
 * entry.S - the doors between user mode, the kernel and its threads. Theory:
 * trap.c.
 */
#include "offsets.h"

	.text
	.code64

.macro FN name
	.globl \name
	.type \name, @function
	.align 16
\name:
.endm
.macro END name
	.size \name, . - \name
.endm

/* Below what the CPU, or a push, left at orig_rax. */
.macro PUSH_REGS
	pushq %rdi
	pushq %rsi
	pushq %rdx
	pushq %rcx
	pushq %rax
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
.endm
.macro POP_REGS
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rax
	popq %rcx
	popq %rdx
	popq %rsi
	popq %rdi
.endm

/* Into the frame at RSP: what C keeps. */
.macro SAVE_REST
	movq %r15, 0(%rsp)
	movq %r14, 8(%rsp)
	movq %r13, 16(%rsp)
	movq %r12, 24(%rsp)
	movq %rbp, 32(%rsp)
	movq %rbx, 40(%rsp)
.endm

/* ---- system calls ------------------------------------------------------- */

/*
 * RCX: where to return, R11: flags; interrupts are off (SFMASK). Arguments are
 * in RDI RSI RDX R10 R8 R9, the number in RAX.
 */
FN metal_syscall_entry
	swapgs
	movq %rsp, %gs:CPU_USER_SP
	movq %gs:CPU_KERNEL_SP, %rsp
	pushq $SEL_USER_DS
	pushq %gs:CPU_USER_SP
	pushq %r11
	pushq $SEL_USER_CS
	pushq %rcx
	pushq %rax
	PUSH_REGS
	movq %rsp, %rdi
	sti
	call kernel_syscall
	cli
	cmpq $CPU_QUIET, %gs:CPU_PREEMPT
	jne syscall_work
	/*
	 * SYSRET takes RIP from RCX and flags from R11, so both must be what
	 * the frame says; a RIP that is not canonical would fault in ring 0,
	 * with the user's stack; and it would lose TF and RF.
	 */
	movq REGS_RCX(%rsp), %rcx
	movq REGS_R11(%rsp), %r11
	cmpq REGS_RIP(%rsp), %rcx
	jne metal_user_iret
	cmpq REGS_EFLAGS(%rsp), %r11
	jne metal_user_iret
	movq %rcx, %rax
	shrq $47, %rax
	jnz metal_user_iret
	testl $0x10100, %r11d
	jnz metal_user_iret
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	addq $8, %rsp
	popq %r10
	popq %r9
	popq %r8
	popq %rax
	addq $8, %rsp
	popq %rdx
	popq %rsi
	popq %rdi
	movq REGS_RSP - REGS_ORIG_RAX(%rsp), %rsp
	swapgs
	sysretq

syscall_work:
	movq %rsp, %rdi
	call metal_user_work
	jmp metal_user_iret
END metal_syscall_entry

/* The end of each way to user mode; interrupts off, RSP: the frame. */
FN metal_user_return
	cli
	cmpq $CPU_QUIET, %gs:CPU_PREEMPT
	je metal_user_iret
	movq %rsp, %rdi
	call metal_user_work
metal_user_iret:
	POP_REGS
	addq $8, %rsp
	swapgs
	.globl metal_iretq
metal_iretq:
	iretq
END metal_user_return

/* ---- exceptions and interrupts ------------------------------------------ */

/*
 * One stub per vector: an error code (the CPU's, or 0), the vector. Then all
 * meet in one place: the frame at RSP is SS..RIP, error, vector.
 */
	.macro STUB vector, error
	.align 16
metal_stub_\vector:
	.if \error == 0
	pushq $0
	.endif
	pushq $\vector
	.if \vector == 2 || \vector == 8 || \vector == 18
	jmp trap_paranoid
	.elseif \vector == 1
	jmp trap_debug
	.elseif \vector == 14
	jmp trap_fault
	.elseif \vector < 32
	jmp trap_common
	.else
	jmp irq_common
	.endif
	.endm

	.altmacro
	.macro STUBS from, to
	.set n, \from
	.rept \to - \from + 1
	.if n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21 || n == 29 || n == 30
	STUB %n, 1
	.else
	STUB %n, 0
	.endif
	.set n, n + 1
	.endr
	.endm
	STUBS 0, 255

	.section .rodata
	.align 8
	.globl metal_stubs
metal_stubs:
	.macro ADDR vector
	.quad metal_stub_\vector
	.endm
	.set n, 0
	.rept 256
	ADDR %n
	.set n, n + 1
	.endr
	.text

/*
 * The vector's slot becomes RDI's, the error's orig_rax: RSI = vector, RDX =
 * error.
 */
.macro ENTER_REGS
	xchgq %rdi, (%rsp) /* rdi = vector */
	pushq %rsi
	pushq %rdx
	movq 24(%rsp), %rdx /* error */
	movq %rdi, %rsi
	pushq %rcx
	pushq %rax
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	cld
	movq $-1, REGS_ORIG_RAX(%rsp)
	movq %rsp, %rdi
.endm

/*
 * A page fault: most are the user's, and the manager deals with them. Only
 * what C may change is saved for that; the rest, which C gives back as it was,
 * enters the frame if somebody else is to see it.
 */
	.align 16
trap_fault:
	testb $3, 24(%rsp) /* cs */
	jz trap_kernel
	swapgs
	movq %rdi, (%rsp) /* over the vector */
	pushq %rsi
	pushq %rdx
	pushq %rcx
	pushq %rax
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	subq $REGS_R11, %rsp
	movl REGS_ORIG_RAX(%rsp), %edx
	movq %cr2, %rsi
	movq %rsi, (%rsp) /* kept for a signal: CR2 will be another's */
	movq %gs:CPU_CURRENT, %rdi
	movq REGS_RIP(%rsp), %rax
	movq %rax, TASK_FAULT_IP(%rdi)
	cld
	sti
	call *metal_fault_hook(%rip)
	cli
	testl %eax, %eax
	jnz 1f
	cmpq $CPU_QUIET, %gs:CPU_PREEMPT
	jne 2f
	addq $REGS_R11, %rsp
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rax
	popq %rcx
	popq %rdx
	popq %rsi
	popq %rdi
	addq $8, %rsp
	swapgs
	jmp metal_iretq
1:	movq (%rsp), %rdx
	SAVE_REST
	movl REGS_ORIG_RAX(%rsp), %esi
	movq $-1, REGS_ORIG_RAX(%rsp)
	movq %rsp, %rdi
	sti
	call metal_user_fault
	jmp metal_user_return
2:	SAVE_REST
	movq $-1, REGS_ORIG_RAX(%rsp)
	jmp metal_user_return

	.align 16
trap_common:
	testb $3, 24(%rsp)
	jz trap_kernel
	swapgs
	ENTER_REGS
	xorl %ebp, %ebp
	call metal_user_trap
	jmp metal_user_return

/* From the kernel: the stack goes on; there is no SWAPGS, but for IRETQ's. */
trap_kernel:
	ENTER_REGS
	movq %cr2, %rcx
	leaq metal_iretq(%rip), %rax
	cmpq %rax, REGS_RIP(%rsp)
	je trap_iretq
	call metal_kernel_trap
	POP_REGS
	addq $8, %rsp
	iretq

/*
 * IRETQ to user mode faulted: what it was given (a selector, a RIP) is no
 * good. GS is the user's already. The frame that it tried stands above ours,
 * on the same stack: it becomes the trap's, as if it had come from there.
 */
trap_iretq:
	swapgs
	movq %rsp, %rdi
	call metal_bad_iret
	movq %rax, %rsp
	jmp metal_user_return

	.align 16
irq_common:
	testb $3, 24(%rsp)
	jz 1f
	swapgs
	ENTER_REGS
	xorl %ebp, %ebp
	call metal_interrupt
	jmp metal_user_return
1:	ENTER_REGS
	call metal_interrupt
	/* Preempt what was pinned by nobody and had interrupts on. */
	cmpl $0, %gs:CPU_PREEMPT
	jne 2f
	call metal_preempt_irq
2:	POP_REGS
	addq $8, %rsp
	iretq

/*
 * #DB has a stack of its own, since it may come at the first instruction of
 * metal_syscall_entry. From user mode it goes over to the thread's stack.
 */
trap_debug:
	testb $3, 24(%rsp)
	jz trap_paranoid
	swapgs
	ENTER_REGS
	movq %gs:CPU_KERNEL_SP, %rax
	subq $REGS_SIZE, %rax
	movq %rax, %rdi
	movq %rsp, %r8
	movq %rsi, %r9
	movl $(REGS_SIZE / 8), %ecx
	movq %r8, %rsi
	rep movsq
	movq %r9, %rsi
	movq %rax, %rsp
	movq %rax, %rdi
	xorl %ebp, %ebp
	call metal_user_trap
	jmp metal_user_return

/*
 * Those that come at any instruction: GS may be the program's, which may give
 * its base any value (WRGSBASE), also the kernel's. So it is saved in RBX, which
 * C keeps, and put back; the area of this CPU is found by its GDT, whose address
 * no program can change.
 */
trap_paranoid:
	ENTER_REGS
	movq %rsi, %r12
	movq %rdx, %r13
	movl $MSR_GS_BASE, %ecx
	rdmsr
	movq %rdx, %rbx
	shlq $32, %rbx
	orq %rax, %rbx
	subq $16, %rsp
	sgdt (%rsp)
	movq 2(%rsp), %rax
	addq $16, %rsp
	movq GDT_CPU(%rax), %rax
	movq %rax, %rdx
	shrq $32, %rdx
	wrmsr
	movq %r12, %rsi
	movq %r13, %rdx
	movq %rsp, %rdi
	movq %cr2, %rcx
	xorl %ebp, %ebp
	call metal_paranoid_trap
	movl $MSR_GS_BASE, %ecx
	movl %ebx, %eax
	movq %rbx, %rdx
	shrq $32, %rdx
	wrmsr
	POP_REGS
	addq $8, %rsp
	iretq

/* ---- threads ------------------------------------------------------------ */

/*
 * metal_preempt_thunk: called by inline assembly that knows of no clobbers.
 */
FN metal_preempt_thunk
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	call metal_preempt
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rax
	ret
END metal_preempt_thunk

/*
 * struct port_thread *metal_switch_to(prev, next): leave PREV's stack, go on
 * with NEXT's; returns, there, the thread that was left.
 */
FN metal_switch_to
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, THREAD_SP(%rdi)
	movq THREAD_SP(%rsi), %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	movq %rdi, %rax
	ret
END metal_switch_to

/* Where a new thread's first switch returns to: RBX its structure. */
FN metal_thread_begin
	movq %rax, %rdi
	movq %rbx, %rsi
	xorl %ebp, %ebp
	call metal_thread_main
	/* Only threads with a user side come back. */
	movq %gs:CPU_KERNEL_SP, %rsp
	subq $REGS_SIZE, %rsp
	jmp metal_user_return
END metal_thread_begin

/* metal_idle_halt: interrupts on and halt, in one step. */
FN metal_idle_halt
	sti
	hlt
	ret
END metal_idle_halt

	.section .note.GNU-stack, "", @progbits
