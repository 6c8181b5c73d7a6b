/* SPDX-License-Identifier: MIT */
/*
 * probe.S - one access under one mode of paging. The image runs without
 * paging and switches it on for each probe alone, so that no translation
 * of an earlier one is left. See image.c.
 */
#define KCODE	0x08
#define KDATA	0x10
#define KCODE64 0x18
#define UCODE	0x23
#define UDATA	0x2b
#define UCODE64 0x33
#define TSS	0x38

#define USER_STACK_TOP 0x182000
#define EFLAGS_AC      0x40000
#define MSR_EFER       0xc0000080
#define EFER_LME       0x100
#define CR0_PG	       0x80000000

#define MULTIBOOT_MAGIC 0x1badb002

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

	.text
	.code32
	.globl start
start:
	cli
	mov $stack_top, %esp
	lgdt gdt_pointer
	ljmp $KCODE, $1f
1:	mov $KDATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	call image_main
2:	hlt
	jmp 2b

/* void probe(void): with the registers in probe_*, results there too. */
	.globl probe
probe:
	pusha
	mov %esp, saved_stack
	mov probe_cr4, %eax
	mov %eax, %cr4
	mov probe_cr3, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	mov probe_efer, %eax
	wrmsr
	lidt idt_pointer
	mov probe_cr0, %eax
	mov %eax, %cr0
	testl $EFER_LME, probe_efer
	jz 1f
	ljmp $KCODE64, $probe64
1:	mov $TSS, %eax
	ltr %ax
	mov probe_va, %eax
	mov probe_op, %ebx
	mov probe_number, %ecx
	xor %edx, %edx
	cmpl $0, probe_user
	jne 2f
	pushl probe_eflags
	popf
	jmp access
2:	pushl $UDATA
	pushl $USER_STACK_TOP
	pushl probe_eflags
	pushl $UCODE
	pushl $user_access
	mov $UDATA, %esi
	mov %esi, %ds
	mov %esi, %es
	iret

/* The access: EAX where, EBX what, ECX written; EDX becomes the number. */
.macro do_access
	cmp $1, %ebx
	ja 3f
	jb 2f
	mov %ecx, 12(%eax)
2:	mov 8(%eax), %edx
	int $0x80
3:	call *%eax
	int $0x80
.endm

access:	do_access

	.section .user, "awx"
user_access:
	do_access
	.balign 64
	.code64
user_access64:
	cmp $1, %ebx
	ja 3f
	jb 2f
	mov %ecx, 12(%rax)
2:	mov 8(%rax), %edx
	int $0x80
3:	call *%rax
	int $0x80
	.balign 4096
	.fill 4096, 1, 0

	.text
access64:
	cmp $1, %ebx
	ja 3f
	jb 2f
	mov %ecx, 12(%rax)
2:	mov 8(%rax), %edx
	int $0x80
3:	call *%rax
	int $0x80

probe64:
	mov $TSS, %eax
	ltr %ax
	mov $KDATA, %eax
	mov %eax, %ss
	mov $stack_top64, %esp
	mov $probe_va, %esi
	mov (%rsi), %rax
	mov $probe_op, %esi
	mov (%rsi), %ebx
	mov $probe_number, %esi
	mov (%rsi), %ecx
	mov $probe_eflags, %esi
	mov (%rsi), %edi
	xor %edx, %edx
	mov $probe_user, %esi
	cmpl $0, (%rsi)
	jne 1f
	push %rdi
	popfq
	jmp access64
1:	pushq $UDATA
	pushq $USER_STACK_TOP
	push %rdi
	pushq $UCODE64
	mov $user_access64, %esi
	push %rsi
	iretq

/*
 * 16 bytes for each vector, 0x80 after 31: the error code, or 0 in its place,
 * and the vector go onto the stack. The mask has vectors 8, 10 to 14 and 17.
 */
	.balign 16
	.globl vectors64
vectors64:
	.set n, 0
	.rept 32
	.balign 16
	.if (0x27d00 >> n & 1) == 0
	pushq $0
	.endif
	pushq $n
	jmp common64
	.set n, n + 1
	.endr
	.balign 16
	pushq $0
	pushq $0x80
	jmp common64

common64:
	mov %rdx, %rbp
	mov $probe_vector, %esi
	pop %rax
	mov %eax, (%rsi)
	mov $probe_error, %esi
	pop %rax
	mov %eax, (%rsi)
	mov $probe_number, %esi
	mov %ebp, (%rsi)
	mov $probe_cr2, %esi
	mov %cr2, %rax
	mov %rax, (%rsi)
	pushq $KCODE
	mov $leave64, %esi
	push %rsi
	lretq

	.code32
leave64:
	mov $KDATA, %eax
	mov %eax, %ss
	mov %cr0, %eax
	and $~CR0_PG, %eax
	mov %eax, %cr0
	jmp leave

	.balign 16
	.globl vectors32
vectors32:
	.set n, 0
	.rept 32
	.balign 16
	.if (0x27d00 >> n & 1) == 0
	pushl $0
	.endif
	pushl $n
	jmp common32
	.set n, n + 1
	.endr
	.balign 16
	pushl $0
	pushl $0x80
	jmp common32

common32:
	mov $KDATA, %eax
	mov %eax, %ds
	mov %eax, %es
	popl probe_vector
	popl probe_error
	mov %edx, probe_number
	mov %cr2, %eax
	mov %eax, probe_cr2
	movl $0, probe_cr2 + 4
	mov %cr0, %eax
	and $~CR0_PG, %eax
	mov %eax, %cr0
leave:
	mov $KDATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	xor %eax, %eax
	wrmsr
	xor %eax, %eax
	mov %eax, %cr4
	mov saved_stack, %esp
	popa
	ret

	.data
	.balign 4
gdt_pointer:
	.word 9 * 8 - 1
	.long gdt

	.bss
	.balign 16
	.fill 8192
stack_top:
	.fill 4096
	.globl stack_top64
stack_top64:
	.balign 4
saved_stack:
	.long 0

	.section .note.GNU-stack, "", @progbits
