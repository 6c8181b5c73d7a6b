/* SPDX-License-Identifier: MIT */
/*
 * usercopy.S - port_user_copy(): the CPU's own accesses to user memory.
 *
 * An access that faults is not repeated: the trap finds its address in the
 * table of fix-ups and goes on there (metal_kernel_trap).
 */
	.text
	.code64
	.globl metal_user_copy
	.type metal_user_copy, @function
	.align 16
/* RDI: to, RSI: from, RDX: bytes; RAX: how many were not copied. */
metal_user_copy:
	cmpb $0, metal_smap(%rip)
	je 1f
	stac
1:	movq %rdx, %rcx
	movl %edx, %eax
	shrq $3, %rcx
	andl $7, %eax
2:	rep movsq
	movl %eax, %ecx
3:	rep movsb
	xorl %eax, %eax
4:	cmpb $0, metal_smap(%rip)
	je 5f
	clac
5:	ret
/* RCX words of eight bytes and RAX bytes are left. */
6:	leaq (%rax, %rcx, 8), %rax
	jmp 4b
7:	movq %rcx, %rax
	jmp 4b
	.size metal_user_copy, . - metal_user_copy

	.section .fixup_table, "a"
	.align 8
	.quad 2b, 6b
	.quad 3b, 7b

	.section .note.GNU-stack, "", @progbits
