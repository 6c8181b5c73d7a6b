/* SPDX-License-Identifier: MIT */
/*
 * smp.h - the trampoline's page: code from its start, these from TRAMP_DATA
 * on. Shared by assembly and C. Private to port/metal.
 */
#ifndef METAL_SMP_H
#define METAL_SMP_H

#define TRAMP_DATA   0xf00
#define TRAMP_GDT    0xf00 /* 4 descriptors */
#define TRAMP_GDTR   0xf20 /* 16 bits limit, 32 bits address */
#define TRAMP_JUMP32 0xf28 /* 32 bits address, 16 bits selector */
#define TRAMP_JUMP64 0xf30
#define TRAMP_CR0    0xf38
#define TRAMP_CR3    0xf3c
#define TRAMP_CR4    0xf40
#define TRAMP_EFER   0xf44
#define TRAMP_STACK  0xf48 /* 64 bits from here */
#define TRAMP_CPU    0xf50
#define TRAMP_ENTRY  0xf58
#define TRAMP_SIZE   0xf60

#define TRAMP_SEL_CODE32 0x08
#define TRAMP_SEL_DATA	 0x10
#define TRAMP_SEL_CODE64 0x18

#ifndef __ASSEMBLER__
#include <mmkit/types.h>

/* The code, and the places in it that are jumped to. */
extern const u8 smp_tramp_start[], smp_tramp_32[], smp_tramp_64[],
	smp_tramp_end[];
#endif

#endif
