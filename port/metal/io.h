/* SPDX-License-Identifier: MIT */
/*
 * io.h - what devices are reached by: I/O ports, registers in memory, and the
 * time stamp counter in order. Private to port/metal. Any context.
 */
#ifndef METAL_IO_H
#define METAL_IO_H

#include <mmkit/types.h>

#include "cpu.h"

static inline u16 io_in16(u16 port)
{
	u16 v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline u32 io_in32(u16 port)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline void io_out16(u16 port, u16 v)
{
	__asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static inline void io_out32(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

/* Not before what stands before it, nor after what stands behind it. */
static inline u64 tsc_ordered(void)
{
	u32 lo, hi;

	__asm__ volatile("lfence\n\trdtsc\n\tlfence"
			 : "=a"(lo), "=d"(hi)::"memory");
	return (u64)hi << 32 | lo;
}

/* A * B / C without rounding on the way; it must fit into 64 bits. */
static inline u64 mul_div(u64 a, u64 b, u64 c)
{
	u64 lo, hi;

	__asm__("mulq %3" : "=a"(lo), "=d"(hi) : "a"(a), "rm"(b) : "cc");
	__asm__("divq %2" : "+a"(lo), "+d"(hi) : "rm"(c) : "cc");
	return lo;
}

/* Registers in memory: one access of just that width. */
#define MMIO(bits)                                                     \
	static inline u##bits mmio_get##bits(const volatile void *r)   \
	{                                                              \
		return *(const volatile u##bits *)r;                   \
	}                                                              \
	static inline void mmio_set##bits(volatile void *r, u##bits v) \
	{                                                              \
		*(volatile u##bits *)r = v;                            \
	}
MMIO(8)
MMIO(16)
MMIO(32)
#undef MMIO

#endif
