/* SPDX-License-Identifier: MIT */
/*
 * bitops.h - single bits in arrays of u64 words, and powers of two.
 *
 * Linux's names; arrays are u64 (unsigned long works too, it is as wide).
 * set_bit, clear_bit, change_bit are atomic and relaxed, test_and_*_bit atomic
 * and fully ordered; the forms with two underscores are plain accesses.
 */
#ifndef MM_BASE_BITOPS_H
#define MM_BASE_BITOPS_H

#include <mmkit/types.h>

#define BITS_PER_LONG	 64
#define BITS_TO_LONGS(n) (((n) + 63) / 64)
#define BIT_MASK(nr)	 (1UL << ((nr)&63))
#define BIT_WORD(nr)	 ((nr) >> 6)
#define BIT_ULL(nr)	 (1ULL << (nr))
/* Bits LOW..HIGH, both inclusive. */
#define GENMASK(high, low) ((~0UL >> (63 - (high))) & (~0UL << (low)))

MM_STATIC_ASSERT(sizeof(unsigned long) == 8, "64-bit hosts only");

/* The word of NR as the builtins want it: u64 or unsigned long arrays. */
#define MM_BIT_WORDP(addr, nr) \
	((unsigned long __attribute__((may_alias)) *)(addr) + BIT_WORD(nr))

static inline void set_bit(u64 nr, volatile void *addr)
{
	(void)__atomic_fetch_or(MM_BIT_WORDP(addr, nr), BIT_MASK(nr),
				__ATOMIC_RELAXED);
}

static inline void clear_bit(u64 nr, volatile void *addr)
{
	(void)__atomic_fetch_and(MM_BIT_WORDP(addr, nr), ~BIT_MASK(nr),
				 __ATOMIC_RELAXED);
}

static inline void change_bit(u64 nr, volatile void *addr)
{
	(void)__atomic_fetch_xor(MM_BIT_WORDP(addr, nr), BIT_MASK(nr),
				 __ATOMIC_RELAXED);
}

/* clear_bit with release order: what a lock bit needs. */
static inline void clear_bit_unlock(u64 nr, volatile void *addr)
{
	(void)__atomic_fetch_and(MM_BIT_WORDP(addr, nr), ~BIT_MASK(nr),
				 __ATOMIC_RELEASE);
}

static inline bool test_bit(u64 nr, const volatile void *addr)
{
	return (__atomic_load_n(MM_BIT_WORDP(addr, nr), __ATOMIC_RELAXED) &
		BIT_MASK(nr)) != 0;
}

static inline bool test_and_set_bit(u64 nr, volatile void *addr)
{
	return (__atomic_fetch_or(MM_BIT_WORDP(addr, nr), BIT_MASK(nr),
				  __ATOMIC_SEQ_CST) &
		BIT_MASK(nr)) != 0;
}

static inline bool test_and_clear_bit(u64 nr, volatile void *addr)
{
	return (__atomic_fetch_and(MM_BIT_WORDP(addr, nr), ~BIT_MASK(nr),
				   __ATOMIC_SEQ_CST) &
		BIT_MASK(nr)) != 0;
}

static inline bool test_and_change_bit(u64 nr, volatile void *addr)
{
	return (__atomic_fetch_xor(MM_BIT_WORDP(addr, nr), BIT_MASK(nr),
				   __ATOMIC_SEQ_CST) &
		BIT_MASK(nr)) != 0;
}

/* True if the bit was clear and is ours now; acquire order. */
static inline bool test_and_set_bit_lock(u64 nr, volatile void *addr)
{
	return (__atomic_fetch_or(MM_BIT_WORDP(addr, nr), BIT_MASK(nr),
				  __ATOMIC_ACQUIRE) &
		BIT_MASK(nr)) != 0;
}

static inline void __set_bit(u64 nr, void *addr)
{
	*MM_BIT_WORDP(addr, nr) |= BIT_MASK(nr);
}

static inline void __clear_bit(u64 nr, void *addr)
{
	*MM_BIT_WORDP(addr, nr) &= ~BIT_MASK(nr);
}

static inline bool __test_and_set_bit(u64 nr, void *addr)
{
	bool was = (*MM_BIT_WORDP(addr, nr) & BIT_MASK(nr)) != 0;

	__set_bit(nr, addr);
	return was;
}

static inline bool __test_and_clear_bit(u64 nr, void *addr)
{
	bool was = (*MM_BIT_WORDP(addr, nr) & BIT_MASK(nr)) != 0;

	__clear_bit(nr, addr);
	return was;
}

/* Number (from 0) of the lowest, highest set bit; X must not be 0. */
static inline unsigned int __ffs(u64 x)
{
	return (unsigned int)__builtin_ctzl(x);
}

static inline unsigned int __fls(u64 x)
{
	return 63u - (unsigned int)__builtin_clzl(x);
}

/* Number (from 0) of the lowest clear bit; X must not be all ones. */
static inline unsigned int ffz(u64 x)
{
	return __ffs(~x);
}

/* Number (from 1) of the highest set bit; 0 for 0. */
static inline int fls(unsigned int x)
{
	return x ? 32 - __builtin_clz(x) : 0;
}

static inline int fls64(u64 x)
{
	return x ? 64 - __builtin_clzl(x) : 0;
}

/* Number (from 1) of the lowest set bit; 0 for 0. */
static inline int ffs64(u64 x)
{
	return x ? __builtin_ctzl(x) + 1 : 0;
}

/* The same for int. Hosted programs may know ffs() from <strings.h>. */
int ffs(int x);
extern inline __attribute__((gnu_inline, always_inline)) int ffs(int x)
{
	return x ? __builtin_ctz((unsigned int)x) + 1 : 0;
}

static inline unsigned int hweight64(u64 x)
{
	x -= (x >> 1) & 0x5555555555555555UL;
	x = (x & 0x3333333333333333UL) + ((x >> 2) & 0x3333333333333333UL);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fUL;
	return (unsigned int)((x * 0x0101010101010101UL) >> 56);
}

static inline bool is_power_of_2(u64 n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

/* Floor of log2; -1 for 0. */
static inline int ilog2(u64 n)
{
	return fls64(n) - 1;
}

/* Ceiling of log2; 0 for 0 and 1. */
static inline int order_base_2(u64 n)
{
	return n > 1 ? ilog2(n - 1) + 1 : 0;
}

/* N must be 1 .. 2^63. */
static inline u64 roundup_pow_of_two(u64 n)
{
	return 1UL << order_base_2(n);
}

/* 0 for 0. */
static inline u64 rounddown_pow_of_two(u64 n)
{
	return n ? 1UL << ilog2(n) : 0;
}

/* Smallest order whose block of 2^order pages holds SIZE bytes (SIZE > 0). */
static inline int get_order(u64 size)
{
	return order_base_2(((size - 1) >> PAGE_SHIFT) + 1);
}

#endif
