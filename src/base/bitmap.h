/* SPDX-License-Identifier: MIT */
/*
 * bitmap.h - arrays of bits: search, ranges, counts.
 *
 * Searches look from START and below SIZE; they return SIZE if there is no
 * such bit. Ranges are [start, start + nr). Nothing here is atomic except
 * that each word is read once. Locks: the caller's.
 */
#ifndef MM_BASE_BITMAP_H
#define MM_BASE_BITMAP_H

#include "base/bitops.h"

#define DECLARE_BITMAP(name, bits) u64 name[BITS_TO_LONGS(bits)]

u64 find_next_bit(const u64 *map, u64 size, u64 start);
u64 find_next_zero_bit(const u64 *map, u64 size, u64 start);
/* The last set bit below SIZE. */
u64 find_last_bit(const u64 *map, u64 size);

static inline u64 find_first_bit(const u64 *map, u64 size)
{
	return find_next_bit(map, size, 0);
}

static inline u64 find_first_zero_bit(const u64 *map, u64 size)
{
	return find_next_zero_bit(map, size, 0);
}

void bitmap_set(u64 *map, u64 start, u64 nr);
void bitmap_clear(u64 *map, u64 start, u64 nr);
void bitmap_zero(u64 *map, u64 nbits);
void bitmap_fill(u64 *map, u64 nbits);

/* Set bits below NBITS. */
u64 bitmap_weight(const u64 *map, u64 nbits);
bool bitmap_empty(const u64 *map, u64 nbits);
bool bitmap_full(const u64 *map, u64 nbits);

/*
 * bitmap_find_next_zero_area: start of the first run of NR clear bits at or
 * above START whose start is a multiple of ALIGN_MASK + 1 (ALIGN_MASK is a
 * power of two minus 1). Returns a number that is > SIZE - NR if none.
 */
u64 bitmap_find_next_zero_area(const u64 *map, u64 size, u64 start, u64 nr,
			       u64 align_mask);

#define for_each_set_bit(bit, map, size)                        \
	for ((bit) = find_first_bit(map, size); (bit) < (size); \
	     (bit) = find_next_bit(map, size, (bit) + 1))
#define for_each_clear_bit(bit, map, size)                           \
	for ((bit) = find_first_zero_bit(map, size); (bit) < (size); \
	     (bit) = find_next_zero_bit(map, size, (bit) + 1))

#endif
