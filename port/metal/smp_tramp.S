/* SPDX-License-Identifier: MIT */
/*
 * smp_tramp.S - where a CPU that was started begins: real mode, at the start
 * of a page below 1 MiB that smp.c copied this to. Position independent; what
 * depends on the machine stands at the end of the page (smp.h).
 *
 * Three steps: protected mode with flat segments; paging and long mode by the
 * values of the first CPU; then the kernel's own addresses and a stack.
 */
#include "smp.h"

	.section .text, "ax"
	.globl smp_tramp_start, smp_tramp_32, smp_tramp_64, smp_tramp_end
	.balign 16
	.code16
smp_tramp_start:
	cli
	cld
	xorl %ebx, %ebx
	movw %cs, %bx
	movw %bx, %ds
	shll $4, %ebx
	lgdtl TRAMP_GDTR
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl *TRAMP_JUMP32

	.code32
smp_tramp_32:
	movl $TRAMP_SEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movl TRAMP_CR4(%ebx), %eax
	movl %eax, %cr4
	movl TRAMP_CR3(%ebx), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	movl TRAMP_EFER(%ebx), %eax
	xorl %edx, %edx
	wrmsr
	movl TRAMP_CR0(%ebx), %eax
	movl %eax, %cr0
	ljmpl *TRAMP_JUMP64(%ebx)

	.code64
smp_tramp_64:
	movl %ebx, %ebx
	movq TRAMP_STACK(%rbx), %rsp
	movq TRAMP_CPU(%rbx), %rdi
	xorl %ebp, %ebp
	movq TRAMP_ENTRY(%rbx), %rax
	pushq $0
	jmp *%rax
smp_tramp_end:

	.section .note.GNU-stack, "", @progbits
