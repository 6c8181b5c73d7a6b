/* SPDX-License-Identifier: MIT */
/*
 * types.h - the integer types and small helpers that every mmkit file uses.
 *
 * Freestanding: only the compiler's own headers are included.
 */
#ifndef MMKIT_TYPES_H
#define MMKIT_TYPES_H

#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0: release; 1: asserts and the lock checker. The build sets it. */
#ifndef MM_DEBUG
#define MM_DEBUG 0
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

/* A physical address of the machine that is managed, in bytes. */
typedef u64 phys_addr_t;
/* An exact virtual address of that machine's kernel layout, in bytes. */
typedef u64 kva_t;
/* An exact virtual address of a user process of that machine, in bytes. */
typedef u64 uva_t;

/* The base page: 4 KiB on every architecture that mmkit has. */
#define PAGE_SHIFT 12
#define PAGE_SIZE  (1UL << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))

#define PAGE_ALIGN(x)	   (((x) + PAGE_SIZE - 1) & PAGE_MASK)
#define PAGE_ALIGN_DOWN(x) ((x)&PAGE_MASK)
#define PFN_UP(x)	   (((x) + PAGE_SIZE - 1) >> PAGE_SHIFT)
#define PFN_DOWN(x)	   ((x) >> PAGE_SHIFT)
#define PFN_PHYS(pfn)	   ((phys_addr_t)(pfn) << PAGE_SHIFT)

/* Power-of-two rounding; A must be a power of two. */
#define ALIGN(x, a)	 (((x) + (a)-1) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define IS_ALIGNED(x, a) (((x) & ((__typeof__(x))(a)-1)) == 0)

#define ARRAY_SIZE(a)	   (sizeof(a) / sizeof((a)[0]))
#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))
#define BIT(n)		   (1UL << (n))

/* Each evaluates its arguments once; the names are unique so that they nest. */
#define MM_CONCAT_(a, b) a##b
#define MM_CONCAT(a, b)	 MM_CONCAT_(a, b)
#define MM_PICK_(a, b, op, x, y)       \
	({                             \
		__typeof__(a) x = (a); \
		__typeof__(b) y = (b); \
		x op y ? x : y;        \
	})
#define MM_PICK(a, b, op, n) \
	MM_PICK_(a, b, op, MM_CONCAT(pick_a_, n), MM_CONCAT(pick_b_, n))
#define min(a, b)	 MM_PICK(a, b, <, __COUNTER__)
#define max(a, b)	 MM_PICK(a, b, >, __COUNTER__)
#define clamp(v, lo, hi) min(max(v, lo), hi)

#define container_of(ptr, type, member) \
	((type *)((char *)(ptr)-offsetof(type, member)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define MM_MUST_CHECK	__attribute__((warn_unused_result))
#define MM_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MM_NOINLINE	__attribute__((noinline))
#define MM_COLD		__attribute__((cold))
#define MM_ALIGNED(n)	__attribute__((aligned(n)))
#define MM_UNUSED	__attribute__((unused))

#define MM_STATIC_ASSERT(cond, msg) _Static_assert(cond, msg)

/* READ_ONCE/WRITE_ONCE: one plain access, neither torn, fused nor repeated. */
#define READ_ONCE(x)	 __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)

/* Compile-time sizes of the per-CPU and per-node tables. */
#ifndef MM_NR_CPUS /* a build of one's own may be smaller */
#define MM_NR_CPUS 64
#endif
#ifndef MM_MAX_NODES
#define MM_MAX_NODES 64
#endif
#define MM_CACHELINE 64

#endif
