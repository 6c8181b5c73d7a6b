/* SPDX-License-Identifier: MIT */
/* LZ4 blocks: ours against liblz4 both ways, and hostile blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/lz4.h"
#include "base/prng.h"
#include "base_seed.h"

#define MAX_BYTES 65536u

static u8 src[MAX_BYTES], back[MAX_BYTES], block[2 * MAX_BYTES];
static u16 table[LZ4_TABLE_SIZE / sizeof(u16)];

/* N bytes of one of several kinds. */
static void make_bytes(struct prng *r, u32 n)
{
	u32 kind = (u32)prng_below(r, 6), period = (u32)prng_range(r, 1, 300);

	for (u32 i = 0; i < n; i++) {
		if (kind == 0)
			src[i] = (u8)prng_u32(r);
		else if (kind == 1)
			src[i] = (u8)prng_below(r, 3);
		else if (kind == 2)
			src[i] = i < period ? (u8)prng_u32(r) : src[i - period];
		else if (kind == 3)
			src[i] = i % 8 < 5 ? 0 : (u8)prng_below(r, 40);
		else if (kind == 4)
			src[i] = (u8) "the quick brown fox "[prng_below(r, 20)];
		else
			src[i] = (u8)(i / period);
	}
}

static void check_pair(u32 n, u64 seed)
{
	u32 len = lz4_compress(src, n, block, sizeof(block), table), their;

	assert_true(len > 0 && len <= (u32)LZ4_compressBound((int)n));
	if (LZ4_decompress_safe((char *)block, (char *)back, (int)len,
				(int)n) != (int)n ||
	    memcmp(src, back, n))
		fail_msg("liblz4 reads other bytes: SEED=%llu n %u",
			 (unsigned long long)seed, n);
	memset(back, 0x5a, n);
	assert_int_equal(lz4_decompress(block, len, back, n), n);
	assert_memory_equal(src, back, n);
	/* One byte less of room: no, on both sides. */
	assert_int_equal(lz4_compress(src, n, block, len - 1, table), 0);
	their = (u32)LZ4_compress_default((char *)src, (char *)block, (int)n,
					  sizeof(block));
	memset(back, 0x5a, n);
	assert_int_equal(lz4_decompress(block, their, back, n), n);
	assert_memory_equal(src, back, n);
	if (n)
		assert_int_equal(lz4_decompress(block, their, back, n - 1), -1);
}

static void against_liblz4(void **state)
{
	u64 seed = test_env("SEED", 1), iters = test_iters(6000);

	(void)state;
	for (u64 i = 0; i < iters; i++) {
		struct prng r;
		u32 n;

		prng_seed(&r, seed + i);
		n = i < 300 ? (u32)i
			    : (u32)prng_range(&r, 1, i % 50 ? 4096 : MAX_BYTES);
		make_bytes(&r, n);
		check_pair(n, seed + i);
	}
}

/* It has to be worth something: a page of words to less than a third. */
static void ratio(void **state)
{
	u32 ours, theirs;

	(void)state;
	for (u32 i = 0; i < 4096; i++)
		src[i] = (u8)(i % 8 < 4 ? (i / 8) : 0);
	ours = lz4_compress(src, 4096, block, sizeof(block), table);
	theirs = (u32)LZ4_compress_default((char *)src, (char *)block, 4096,
					   sizeof(block));
	assert_true(ours < 4096 / 3 * 2 && ours < theirs + theirs / 8 + 16);
	memset(src, 7, 4096);
	ours = lz4_compress(src, 4096, block, sizeof(block), table);
	assert_true(ours < 40);
}

/* The last byte of readable (or writable) memory; what follows faults. */
static u8 *at_edge(u32 n)
{
	static u8 *area;

	if (!area) {
		area = mmap(NULL, 3 * MAX_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(area != MAP_FAILED);
		assert_int_equal(
			mprotect(area + MAX_BYTES, MAX_BYTES, PROT_NONE), 0);
	}
	return area + MAX_BYTES - n;
}

/* Does a sequence of IN[LEN] have the distance 0, which the format forbids and
 * liblz4 takes? */
static bool distance_zero(const u8 *in, u32 len)
{
	for (u32 at = 0; at < len;) {
		u32 token = in[at++], lits = token >> 4, more = token & 15;

		for (u8 b = 255; lits >= 15 && b == 255 && at < len; lits += b)
			b = in[at++];
		at += lits;
		if (at + 2 <= len && !in[at] && !in[at + 1])
			return true;
		at += 2;
		for (u8 b = 255; more == 15 && b == 255 && at < len;)
			b = in[at++];
	}
	return false;
}

/*
 * Blocks that are none, or lie: random bytes, and good blocks with bytes
 * changed or cut. What liblz4 refuses we refuse; what it takes gives equal
 * bytes. Input and output end at the edge of what may be touched.
 */
static void hostile(void **state)
{
	u64 seed = test_env("SEED", 1), iters = test_iters(60000), good = 0;

	(void)state;
	for (u64 i = 0; i < iters; i++) {
		u32 n, len, room;
		struct prng r;
		s64 ours;
		int theirs;
		u8 *in;

		prng_seed(&r, seed + i);
		n = (u32)prng_range(&r, 1, 600);
		make_bytes(&r, n);
		len = lz4_compress(src, n, block, sizeof(block), table);
		if (prng_one_in(&r, 4))
			for (u32 k = 0; k < len; k++)
				block[k] = (u8)prng_u32(&r);
		for (u32 k = (u32)prng_below(&r, 4); k; k--)
			block[prng_below(&r, len)] =
				prng_one_in(&r, 3) ? 255 : (u8)prng_u32(&r);
		if (prng_one_in(&r, 3))
			len = (u32)prng_range(&r, 1, len);
		room = prng_one_in(&r, 3) ? (u32)prng_below(&r, n + 1) : n;
		in = at_edge(len);
		memcpy(in, block, len);
		memset(back, 0, 1100);
		ours = lz4_decompress(in, len, back + 1024 - room, room);
		theirs = LZ4_decompress_safe((char *)in, (char *)src + 1024,
					     (int)len, (int)room);
		/* liblz4 asks more of a block's end than the bytes need. */
		if (ours < 0 && !distance_zero(in, len))
			assert_true(theirs < 0);
		if (ours >= 0 && theirs >= 0) {
			good++;
			assert_int_equal(ours, theirs);
			assert_memory_equal(back + 1024 - room, src + 1024,
					    (size_t)ours);
		}
		for (u32 k = 1024; k < 1100; k++)
			assert_int_equal(back[k], 0);
	}
	assert_true(good > iters / 50);
	assert_int_equal(lz4_decompress(src, 0, back, 10), -1);
}

/* The output's edge, too: a block that gives more than there is room for. */
static void output_edge(void **state)
{
	u64 seed = test_env("SEED", 1), iters = test_iters(5000);

	(void)state;
	for (u64 i = 0; i < iters; i++) {
		struct prng r;
		u32 n, len;

		prng_seed(&r, seed + i);
		n = (u32)prng_range(&r, 1, 3000);
		make_bytes(&r, n);
		len = lz4_compress(src, n, block, sizeof(block), table);
		for (u32 k = (u32)prng_below(&r, 3); k; k--)
			block[prng_below(&r, len)] = (u8)prng_u32(&r);
		(void)lz4_decompress(block, len, at_edge(n), n);
		n = (u32)prng_below(&r, n);
		(void)lz4_decompress(block, len, at_edge(n), n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_liblz4),
		cmocka_unit_test(ratio),
		cmocka_unit_test(hostile),
		cmocka_unit_test(output_edge),
	};

	return cmocka_run_group_tests_name("lz4", tests, NULL, NULL);
}
