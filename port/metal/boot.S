/* SPDX-License-Identifier: MIT */
/*
 * boot.S - from the loader's 32 bits to start.c.
 *
 * PVH (the Xen ABI "x86/HVM direct boot"): the loader finds the entry point in
 * an ELF note and jumps there in protected mode, flat segments, paging and
 * interrupts off, EBX = physical address of struct hvm_start_info.
 *
 * The first tables map the first GiB three times with pages of 2 MiB: one to
 * one (which start.c takes away), in the direct map, and as the image. start.c
 * adds RAM to the direct map as it is found. From 64 bits on the boot stack is
 * used where a page below it is not mapped.
 */
#include "offsets.h"

#define PHYS(sym) ((sym)-KERNEL_BASE)
#define PTE_TABLE 0x63 /* present, writable, accessed, dirty */
#define PTE_LARGE 0x1e3 /* the same, large, global */
#define PTE_STACK 0x163 /* small, global */
#define PTE_NX_HIGH 0x80000000

	.section .note.pvh, "a", @note
	.align 4
	.long 4
	.long 8
	.long 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad PHYS(pvh_entry)

	.section .boot.text, "ax"
	.code32
	.globl pvh_entry
	.type pvh_entry, @function
pvh_entry:
	cld
	cli
	movl %ebx, %ebp
	/* Nothing of ours is zero unless we say so: bss begins and ends at
	 * multiples of 8. */
	movl $PHYS(__bss_start), %edi
	movl $PHYS(__bss_end), %ecx
	subl %edi, %ecx
	shrl $2, %ecx
	xorl %eax, %eax
	rep stosl
	movl $PHYS(boot_stack_top), %esp

	/* Long mode and no-execute must be there. */
	movl $0x80000000, %eax
	cpuid
	movl $PHYS(text_no_long_mode), %esi
	cmpl $0x80000001, %eax
	jb boot_die
	movl $0x80000001, %eax
	cpuid
	testl $(1 << 29), %edx
	jz boot_die
	movl $PHYS(text_no_nx), %esi
	testl $(1 << 20), %edx
	jz boot_die

	/* 512 pages of 2 MiB. */
	movl $PHYS(boot_pd), %edi
	movl $PTE_LARGE, %eax
	movl $512, %ecx
1:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b
	movl $(PHYS(boot_pd) + PTE_TABLE), %eax
	movl %eax, PHYS(boot_pdpt_low)
	movl %eax, PHYS(boot_pdpt_direct)
	movl %eax, PHYS(boot_pdpt_image) + 510 * 8
	movl $(PHYS(boot_io_pd) + PTE_TABLE), PHYS(boot_pdpt_image) + 511 * 8
	movl $(PHYS(boot_pdpt_low) + PTE_TABLE), PHYS(boot_pml4)
	movl $(PHYS(boot_pdpt_direct) + PTE_TABLE), PHYS(boot_pml4) + 273 * 8
	movl $(PHYS(boot_pdpt_image) + PTE_TABLE), PHYS(boot_pml4) + 511 * 8

	/* The boot stack, above a page that is not mapped (early.c). */
	movl $(PHYS(boot_stack_pt) + PTE_TABLE), PHYS(boot_io_pd) + 8
	movl $(PHYS(boot_stack) + PTE_STACK), %eax
	movl $(PHYS(boot_stack_pt) + 8), %edi
	movl $EARLY_STACK_PAGES, %ecx
1:	movl %eax, (%edi)
	movl $PTE_NX_HIGH, 4(%edi)
	addl $4096, %eax
	addl $8, %edi
	loop 1b

	movl $0x20, %eax /* PAE */
	movl %eax, %cr4
	movl $PHYS(boot_pml4), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx /* EFER: SCE, LME, NXE */
	rdmsr
	orl $0x901, %eax
	wrmsr
	movl $0x80010033, %eax /* PG, WP, NE, ET, MP, PE */
	movl %eax, %cr0
	lgdt PHYS(boot_gdt_ptr)
	ljmp $SEL_KERNEL_CS, $PHYS(boot64)

/* ESI: text for the serial line and the debug console; status 1. */
boot_die:
	movl $0x3f8, %edx
	lodsb
	testb %al, %al
	jz 1f
	outb %al, $0xe9
	outb %al, %dx
	jmp boot_die
1:	movb $1, %al
	outb %al, $0xf4
2:	cli
	hlt
	jmp 2b

text_no_long_mode:
	.asciz "mmkit: this CPU has no 64-bit mode\n"
text_no_nx:
	.asciz "mmkit: this CPU has no no-execute bit in page tables\n"

	.align 8
boot_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
boot_gdt_ptr:
	.word . - boot_gdt - 1
	.long PHYS(boot_gdt)

	.code64
boot64:
	movl $SEL_KERNEL_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movabsq $boot_high, %rax
	jmp *%rax

	.text
	.code64
boot_high:
	movq $(EARLY_STACKS + 4096 * (EARLY_STACK_PAGES + 1)), %rsp
	movl %ebp, %edi
	xorl %ebp, %ebp
	pushq $0
	call metal_start
	ud2

	.section .bss.boot, "aw", @nobits
	.align 4096
	.globl boot_pml4, boot_pdpt_low, boot_pdpt_direct, boot_pdpt_image
	.globl boot_pd, boot_io_pd, boot_io_pt, boot_stack_pt, boot_stack
boot_pml4:
	.skip 4096
boot_pdpt_low:
	.skip 4096
boot_pdpt_direct:
	.skip 4096
boot_pdpt_image:
	.skip 4096
boot_pd:
	.skip 4096
boot_io_pd:
	.skip 4096
boot_io_pt:
	.skip 4096
boot_stack_pt:
	.skip 4096
boot_stack:
	.skip 4096 * EARLY_STACK_PAGES
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
