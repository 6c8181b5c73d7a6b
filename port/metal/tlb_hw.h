/* SPDX-License-Identifier: MIT */
/*
 * tlb_hw.h - the instructions that tlb.c is made of, apart, so that a test can
 * play the CPU (tests/host/test_metal_tlb.c). Private to port/metal.
 */
#ifndef METAL_TLB_HW_H
#define METAL_TLB_HW_H

#include "io.h"
#include "metal.h"

/* The page at VA: global entries, and those of the loaded tag. */
static inline void invlpg(u64 va)
{
	__asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}

/* All entries of all tags, global ones too. */
static inline void invpcid_all(void)
{
	struct {
		u64 pcid, va;
	} all = {0, 0};

	__asm__ volatile("invpcid %0, %1" ::"m"(all), "r"(2ul) : "memory");
}

#endif
