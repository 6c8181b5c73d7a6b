/* SPDX-License-Identifier: MIT */
/*
 * entropy.c - random bits: what the CPU has to give (RDSEED, RDRAND), always
 * mixed with the time stamp counter and what was given out before, so that a
 * machine without such instructions has at least different bits each time.
 *
 * The mixing is splitmix64's. Reference: Steele, Lea, Flood, "Fast splittable
 * pseudorandom number generators", 2014; Intel SDM vol. 1, 7.3.17.
 */
#include "base/atomic.h"
#include "dev.h"
#include "io.h"

#define GOLDEN 0x9e3779b97f4a7c15ull
#define TRIES  10u

static struct {
	bool probed, rdrand, rdseed;
	u64 state;
} entropy;

static void probe(void)
{
	u32 leaf[4];

	x86_cpuid(1, 0, leaf);
	entropy.rdrand = leaf[2] >> 30 & 1;
	x86_cpuid(0, 0, leaf);
	if (leaf[0] >= 7) {
		x86_cpuid(7, 0, leaf);
		entropy.rdseed = leaf[1] >> 18 & 1;
	}
	smp_store_release(&entropy.probed, true);
}

/* 64 bits of the CPU's, or 0: it has none just now. */
static u64 from_cpu(void)
{
	u64 v = 0;
	u8 good = 0;

	for (u32 i = 0; i < TRIES && entropy.rdseed && !good; i++)
		__asm__ volatile("rdseed %0\n\tsetc %1"
				 : "=r"(v), "=qm"(good)::"cc");
	for (u32 i = 0; i < TRIES && entropy.rdrand && !good; i++)
		__asm__ volatile("rdrand %0\n\tsetc %1"
				 : "=r"(v), "=qm"(good)::"cc");
	return good ? v : 0;
}

static u64 mix(u64 z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

u64 port_entropy(void)
{
	u64 add, old;

	if (!smp_load_acquire(&entropy.probed))
		probe();
	add = (x86_rdtsc() << 1) + GOLDEN;
	old = mm_fetch_add(&entropy.state, add | 1);
	return mix(old + add) ^ from_cpu();
}
