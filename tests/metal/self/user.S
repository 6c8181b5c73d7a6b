/* SPDX-License-Identifier: MIT */
/*
 * user.S - programs for the metal world's own tests. RDI: a number of one's
 * own; R15: the page that is theirs to write. They end by call 0 with 0 in RDI
 * when all is as it should be, else with the number of the step.
 */
	.section .rodata
	.code64

.macro PROG name
	.globl \name, \name\()_end
	.align 16
\name:
.endm
.macro FAIL step
	movl $\step, %edi
	xorl %eax, %eax
	syscall
.endm
/* Call NR; all registers but RAX RCX R11 stay. */
.macro CALL nr
	movl $\nr, %eax
	syscall
.endm
.macro EXPECT reg, value, step
	movabsq $\value, %rax
	cmpq %rax, %\reg
	je 9f
	FAIL \step
9:
.endm

PROG prog_regs
	movabsq $0x1111111111111111, %rbx
	movabsq $0x2222222222222222, %rbp
	movabsq $0x3333333333333333, %r12
	movabsq $0x4444444444444444, %r13
	movabsq $0x5555555555555555, %r14
	movabsq $0x7777777777777777, %r8
	movabsq $0x8888888888888888, %r9
	movabsq $0x9999999999999999, %r10
	movabsq $0xaaaaaaaaaaaaaaaa, %rdx
	movabsq $0xbbbbbbbbbbbbbbbb, %rsi
	movl $2, %eax
	syscall
	cmpq $42, %rax
	je 1f
	FAIL 1
1:	EXPECT rbx, 0x1111111111111111, 2
	EXPECT rbp, 0x2222222222222222, 3
	EXPECT r12, 0x3333333333333333, 4
	EXPECT r13, 0x4444444444444444, 5
	EXPECT r14, 0x5555555555555555, 6
	EXPECT r8, 0x7777777777777777, 7
	EXPECT r9, 0x8888888888888888, 8
	EXPECT r10, 0x9999999999999999, 9
	EXPECT rdx, 0xaaaaaaaaaaaaaaaa, 10
	EXPECT rsi, 0xbbbbbbbbbbbbbbbb, 11
	/* Another RCX and R11 than SYSRET would leave. */
	movl $4, %eax
	syscall
	EXPECT rcx, 0x1234, 12
	EXPECT r11, 0x5678, 13
	movl $5, %eax
	syscall
	movq %fs:0, %rax
	cmpq %r15, %rax
	je 2f
	FAIL 14
2:	xorl %edi, %edi
	xorl %eax, %eax
	syscall
prog_regs_end:

/* XMM0..15, MXCSR and the x87 keep what this thread put there. */
PROG prog_fpu
	movq %rdi, %rbx
	movl $200, %ebp
	movd %ebx, %xmm0
	pshufd $0, %xmm0, %xmm0
	movdqa %xmm0, %xmm7
	movdqa %xmm0, %xmm15
	paddd %xmm0, %xmm7
	movl $0x1f80, (%r15)
	testl $1, %ebx
	jz 1f
	movl $0x3f80, (%r15)
1:	ldmxcsr (%r15)
	fldz
	testl $1, %ebx
	jz 2f
	fldpi
2:	movl $1, %eax
	syscall
	movd %xmm0, %eax
	cmpl %ebx, %eax
	je 3f
	FAIL 1
3:	movd %xmm15, %eax
	cmpl %ebx, %eax
	je 4f
	FAIL 2
4:	movd %xmm7, %eax
	leal (%rbx, %rbx), %ecx
	cmpl %ecx, %eax
	je 5f
	FAIL 3
5:	stmxcsr 8(%r15)
	movl 8(%r15), %eax
	cmpl (%r15), %eax
	je 6f
	FAIL 4
6:	fnstsw %ax
	shrl $11, %eax
	andl $7, %eax
	movl %ebx, %ecx
	andl $1, %ecx
	negl %ecx
	leal 7(%rcx), %ecx
	cmpl %ecx, %eax
	je 7f
	FAIL 5
7:	decl %ebp
	jnz 2b
	xorl %edi, %edi
	xorl %eax, %eax
	syscall
prog_fpu_end:

/* 64 pages, each faulted in, each with its own number; the stack grows. */
PROG prog_memory
	movl $64, %ecx
	movq %r15, %rdx
1:	movq %rcx, (%rdx)
	addq $4096, %rdx
	loop 1b
	movl $64, %ecx
	movq %r15, %rdx
2:	cmpq %rcx, (%rdx)
	je 3f
	FAIL 1
3:	addq $4096, %rdx
	loop 2b
	pushq %rdi
	popq %rax
	cmpq %rax, %rdi
	je 4f
	FAIL 2
4:	xorl %edi, %edi
	xorl %eax, %eax
	syscall
prog_memory_end:

/* Each trap is counted, and goes on behind the instruction. */
PROG prog_traps
	int3
	ud2
	xorl %eax, %eax
	xorl %edx, %edx
	xorl %ecx, %ecx
	divl %ecx
	movabsq $0x8000000000000000, %rbx
	movb (%rbx), %al
	movq $-1, %rbx
	movb (%rbx), %al
	hlt
	cli
	pushfq
	orl $0x100, (%rsp)
	popfq
	nop
	movw $0x10, %ax
	movw %ax, %ds
	xorl %edi, %edi
	xorl %eax, %eax
	syscall
prog_traps_end:

PROG prog_loop
1:	incq (%r15)
	jmp 1b
prog_loop_end:

PROG prog_bad_rip
	movl $3, %eax
	syscall
	FAIL 1
prog_bad_rip_end:

/* Selectors that a program loads are its own, and still there later. */
PROG prog_selectors
	movl $200, %ebp
	movl $0x2b, %eax
	movl %eax, %ds
	movl %eax, %gs
	movl %eax, %fs
1:	movl $1, %eax
	syscall
	movl %fs, %eax
	cmpl $0x2b, %eax
	je 2f
	FAIL 1
2:	movl %gs, %eax
	cmpl $0x2b, %eax
	je 3f
	FAIL 2
3:	decl %ebp
	jnz 1b
	xorl %edi, %edi
	xorl %eax, %eax
	syscall
prog_selectors_end:

/*
 * Ticks of 1000 empty calls into word 0, of 1000 that a trap makes (int3) into
 * word 1, of writing to 63 fresh pages into word 2.
 */
PROG prog_cost
	movl $1000, %ebx
	rdtsc
	movl %eax, %r12d
1:	movl $6, %eax
	syscall
	decl %ebx
	jnz 1b
	rdtsc
	subl %r12d, %eax
	movq %rax, (%r15)
	movl $1000, %ebx
	rdtsc
	movl %eax, %r12d
2:	int3
	decl %ebx
	jnz 2b
	rdtsc
	subl %r12d, %eax
	movq %rax, 8(%r15)
	movl $63, %ebx
	movq %r15, %rdx
	rdtsc
	movl %eax, %r12d
	movq %r15, %rdx
3:	addq $4096, %rdx
	movb $1, (%rdx)
	decl %ebx
	jnz 3b
	rdtsc
	subl %r12d, %eax
	movq %rax, 16(%r15)
	movl $7, %eax
	syscall
	xorl %edi, %edi
	xorl %eax, %eax
	syscall
prog_cost_end:

	.section .note.GNU-stack, "", @progbits
