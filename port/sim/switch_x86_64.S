/* SPDX-License-Identifier: MIT */
/*
 * void sim_switch_stack(void **save, void *load)
 *
 * Store the callee-saved registers on this stack, its pointer in *save, and
 * go on with the stack at load. The x87 and SSE control words are the same
 * for all threads, so they stay.
 */
	.text
	.globl	sim_switch_stack
	.type	sim_switch_stack, @function
sim_switch_stack:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
	.size	sim_switch_stack, . - sim_switch_stack
	.section .note.GNU-stack, "", @progbits
