/* SPDX-License-Identifier: MIT */
/* bitmap.c - searches and ranges over arrays of bits, a word at a time. */
#include "base/bitmap.h"

#include "base/assert.h"

/* First bit >= START that is set in MAP ^ FLIP (FLIP is 0 or all ones). */
static u64 find_next(const u64 *map, u64 size, u64 start, u64 flip)
{
	u64 word, i;

	if (start >= size)
		return size;
	i = BIT_WORD(start);
	word = (READ_ONCE(map[i]) ^ flip) & (~0UL << (start & 63));
	while (!word) {
		i++;
		if (i * 64 >= size)
			return size;
		word = READ_ONCE(map[i]) ^ flip;
	}
	start = i * 64 + __ffs(word);
	return start < size ? start : size;
}

u64 find_next_bit(const u64 *map, u64 size, u64 start)
{
	return find_next(map, size, start, 0);
}

u64 find_next_zero_bit(const u64 *map, u64 size, u64 start)
{
	return find_next(map, size, start, ~0UL);
}

u64 find_last_bit(const u64 *map, u64 size)
{
	u64 i = BITS_TO_LONGS(size);

	while (i-- > 0) {
		u64 word = READ_ONCE(map[i]);

		if (size - i * 64 < 64)
			word &= BIT(size - i * 64) - 1;
		if (word)
			return i * 64 + __fls(word);
	}
	return size;
}

/* Mask of the bits of word I that lie in [START, END). */
static u64 range_mask(u64 i, u64 start, u64 end)
{
	u64 mask = ~0UL;

	mm_assert(i * 64 < end && (i + 1) * 64 > start);
	if (start > i * 64)
		mask &= ~0UL << (start - i * 64);
	if (end - i * 64 < 64)
		mask &= BIT(end - i * 64) - 1;
	return mask;
}

void bitmap_set(u64 *map, u64 start, u64 nr)
{
	mm_assert(start + nr >= start);
	for (u64 i = BIT_WORD(start); i * 64 < start + nr; i++)
		map[i] |= range_mask(i, start, start + nr);
}

void bitmap_clear(u64 *map, u64 start, u64 nr)
{
	mm_assert(start + nr >= start);
	for (u64 i = BIT_WORD(start); i * 64 < start + nr; i++)
		map[i] &= ~range_mask(i, start, start + nr);
}

void bitmap_zero(u64 *map, u64 nbits)
{
	for (u64 i = 0; i < BITS_TO_LONGS(nbits); i++)
		map[i] = 0;
}

void bitmap_fill(u64 *map, u64 nbits)
{
	bitmap_zero(map, nbits);
	bitmap_set(map, 0, nbits);
}

u64 bitmap_weight(const u64 *map, u64 nbits)
{
	u64 n = 0;

	for (u64 i = 0; i * 64 < nbits; i++)
		n += hweight64(READ_ONCE(map[i]) & range_mask(i, 0, nbits));
	mm_assert_le(n, nbits);
	return n;
}

bool bitmap_empty(const u64 *map, u64 nbits)
{
	return find_first_bit(map, nbits) == nbits;
}

bool bitmap_full(const u64 *map, u64 nbits)
{
	return find_first_zero_bit(map, nbits) == nbits;
}

/* Jumps behind the last set bit of a candidate, so it is linear in SIZE. */
u64 bitmap_find_next_zero_area(const u64 *map, u64 size, u64 start, u64 nr,
			       u64 align_mask)
{
	mm_assert((align_mask & (align_mask + 1)) == 0);
	for (;;) {
		u64 at, end, hit;

		at = find_next_zero_bit(map, size, start);
		at = (at + align_mask) & ~align_mask;
		end = at + nr;
		if (end > size)
			return end;
		hit = find_next_bit(map, end, at);
		if (hit == end)
			return at;
		start = hit + 1;
	}
}
