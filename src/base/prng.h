/* SPDX-License-Identifier: MIT */
/*
 * prng.h - a small pseudo-random generator (splitmix64): fast, repeatable,
 * any seed is good, not for secrets. Locks: the owner's.
 *
 * Reference: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
 * Generators", OOPSLA 2014.
 */
#ifndef MM_BASE_PRNG_H
#define MM_BASE_PRNG_H

#include <mmkit/types.h>

struct prng {
	u64 state;
};

#define PRNG_GAMMA 0x9e3779b97f4a7c15UL

/* prng_mix: a bijection that scatters every bit of X over all others. */
static inline u64 prng_mix(u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9UL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebUL;
	return x ^ (x >> 31);
}

static inline void prng_seed(struct prng *p, u64 seed)
{
	p->state = seed;
}

static inline u64 prng_u64(struct prng *p)
{
	p->state += PRNG_GAMMA;
	return prng_mix(p->state);
}

static inline u32 prng_u32(struct prng *p)
{
	return (u32)(prng_u64(p) >> 32);
}

/* prng_below: 0 .. n-1, as even as 64 bits allow; n > 0. */
static inline u64 prng_below(struct prng *p, u64 n)
{
	return (u64)(((unsigned __int128)prng_u64(p) * n) >> 64);
}

/* prng_range: LO .. HI, both inclusive. */
static inline u64 prng_range(struct prng *p, u64 lo, u64 hi)
{
	return lo + prng_below(p, hi - lo + 1);
}

/* prng_one_in: true once in N on average; n > 0. */
static inline bool prng_one_in(struct prng *p, u64 n)
{
	return prng_below(p, n) == 0;
}

#endif
