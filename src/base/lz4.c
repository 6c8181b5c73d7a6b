/* SPDX-License-Identifier: MIT */
/*
 * lz4.c - compression of pages, simple and fast.
 *
 * 1. Format. A block is a row of sequences: a token (4 bits number of literals,
 *    4 bits length of the match less 4), more bytes of the first number if it
 *    was 15 (each 255 says that another follows), the literals, the match's
 *    distance in 2 bytes, little-endian, more bytes of the second number. The
 *    last sequence ends after its literals. The last 5 bytes are literals, and
 *    no match begins in the last 12: who decompresses may copy in strides.
 *
 * 2. Way. A table has for each hash of four bytes where they were last seen.
 *    What is found there is compared, and grown in both directions. After
 *    misses the steps become longer, so that what cannot be compressed costs
 *    little.
 *
 * 3. Reading. Every length is compared with what is left of input and output
 *    before it is used; a distance never reaches before the output's begin.
 *    Lengths are 64 bits and inputs 32: they cannot overflow.
 *
 * Reference: LZ4 block format description (Y. Collet).
 */
#include "base/lz4.h"

#include "base/assert.h"
#include "base/string.h"

#define MIN_MATCH   4u
#define LAST_LITS   5u	/* of a block are literals */
#define MATCH_LIMIT 12u /* no match begins in so many last bytes */
#define SKIP_SHIFT  6	/* misses until the step grows */

static u32 load4(const u8 *p)
{
	u32 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static u32 hash4(u32 v)
{
	return (v * 2654435761u) >> (32 - LZ4_HASH_BITS);
}

/* ---- writing ---------------------------------------------------------------
 */

struct out {
	u8 *at, *end;
};

/* The part of LEN that did not fit into the token. */
static u8 *put_more(u8 *at, u32 len)
{
	for (; len >= 255; len -= 255)
		*at++ = 255;
	*at++ = (u8)len;
	return at;
}

/* LITS literals from SRC and, unless DISTANCE is 0, a match. False: no room. */
static bool put_sequence(struct out *o, const u8 *src, u32 lits, u32 distance,
			 u32 match)
{
	u32 m = distance ? match - MIN_MATCH : 0;
	u64 need = 1 + (u64)lits + lits / 255 + 1 +
		   (distance ? 2 + m / 255 + 1 : 0);
	u8 *token = o->at;

	if (need > (u64)(o->end - o->at))
		return false;
	*o->at++ = (u8)(min(lits, 15u) << 4 | min(m, 15u));
	if (lits >= 15)
		o->at = put_more(o->at, lits - 15);
	mm_memcpy(o->at, src, lits);
	o->at += lits;
	if (!distance)
		return true;
	*o->at++ = (u8)distance;
	*o->at++ = (u8)(distance >> 8);
	if (m >= 15)
		o->at = put_more(o->at, m - 15);
	mm_assert(*token >> 4 == min(lits, 15u));
	return true;
}

/* How far A and B, A behind B, are equal; A ends before END. */
static u32 match_len(const u8 *a, const u8 *b, const u8 *end)
{
	const u8 *start = a;

	while (a < end && *a == *b) {
		a++;
		b++;
	}
	return (u32)(a - start);
}

/* The next match at or behind *AT; *FROM: with what. False: none. */
static bool find_match(const u8 *src, u32 n, u16 *table, u32 *at, u32 *from)
{
	u32 misses = 1u << SKIP_SHIFT;

	while (*at + MATCH_LIMIT <= n) {
		u32 v = load4(src + *at), h = hash4(v);

		*from = table[h];
		table[h] = (u16)*at;
		if (*from < *at && load4(src + *from) == v)
			return true;
		*at += misses++ >> SKIP_SHIFT;
	}
	return false;
}

u32 lz4_compress(const u8 *src, u32 n, u8 *dst, u32 room, u16 *table)
{
	struct out o = {dst, dst + room};
	u32 done = 0, at = 1, from;

	mm_assert(n <= LZ4_MAX_INPUT);
	mm_memset(table, 0, LZ4_TABLE_SIZE);
	while (n > MATCH_LIMIT && find_match(src, n, table, &at, &from)) {
		u32 len;

		/* What is equal before it belongs to it. */
		while (at > done && from && src[at - 1] == src[from - 1]) {
			at--;
			from--;
		}
		len = match_len(src + at, src + from, src + n - LAST_LITS);
		if (!put_sequence(&o, src + done, at - done, at - from, len))
			return 0;
		at += len;
		done = at;
	}
	if (!put_sequence(&o, src + done, n - done, 0, 0))
		return 0;
	return (u32)(o.at - dst);
}

/* ---- reading ---------------------------------------------------------------
 */

/* NIBBLE, and what follows it in [*SRC, END); UINT64_MAX: the end. */
static u64 get_len(const u8 **src, const u8 *end, u32 nibble)
{
	u64 len = nibble;
	u8 b = 255;

	if (nibble != 15)
		return len;
	while (b == 255) {
		if (*src == end)
			return UINT64_MAX;
		b = *(*src)++;
		len += b;
	}
	return len;
}

/* LEN bytes from DISTANCE before AT; they may overlap. */
static void copy_match(u8 *at, u32 distance, u64 len)
{
	const u8 *from = at - distance;

	if (distance >= len) {
		mm_memcpy(at, from, len);
		return;
	}
	while (len--)
		*at++ = *from++;
}

s64 lz4_decompress(const u8 *src, u32 n, u8 *dst, u32 room)
{
	const u8 *end = src + n;
	u8 *at = dst, *limit = dst + room;

	while (src < end) {
		u32 token = *src++, distance;
		u64 len = get_len(&src, end, token >> 4);

		if (len > (u64)(end - src) || len > (u64)(limit - at))
			return -1;
		mm_memcpy(at, src, len);
		src += len;
		at += len;
		if (src == end)
			return at - dst; /* ends after literals */
		if (end - src < 2)
			return -1;
		distance = src[0] | (u32)src[1] << 8;
		src += 2;
		len = get_len(&src, end, token & 15);
		if (len == UINT64_MAX || !distance ||
		    distance > (u64)(at - dst) ||
		    len + MIN_MATCH > (u64)(limit - at))
			return -1;
		copy_match(at, distance, len + MIN_MATCH);
		at += len + MIN_MATCH;
	}
	/* No sequence at all, or a match at the end. */
	return -1;
}
