/* SPDX-License-Identifier: MIT */
/*
 * paging.c - the paging formats' tables. See paging.h for what they mean.
 */
#include "arch/paging.h"

const struct paging_format paging_x86_64_4level = {
	.name = "x86-64",
	.levels = 4,
	.entry_bytes = 8,
	.va_bits = 48,
	.pa_bits = 52,
	.large_levels = BIT(1) | BIT(2),
	.shift = {12, 21, 30, 39},
	.bits = {9, 9, 9, 9},
	.present = X86_PTE_P,
	.write = X86_PTE_RW,
	.user = X86_PTE_US,
	.accessed = X86_PTE_A,
	.dirty = X86_PTE_D,
	.large = X86_PTE_PS,
	.global = X86_PTE_G,
	.no_exec = X86_PTE_NX,
	.sw_special = X86_PTE_SPECIAL,
	.frame_mask = X86_PTE_FRAME,
	.user_end = 0x0000800000000000UL - PAGE_SIZE,
};

bool paging_canonical(const struct paging_format *f, uva_t va)
{
	s64 sign = (s64)(va << (64 - f->va_bits)) >> (64 - f->va_bits);

	if (f->va_bits == 32)
		return va >> 32 == 0;
	return (u64)sign == va;
}
