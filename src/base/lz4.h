/* SPDX-License-Identifier: MIT */
/*
 * lz4.h - blocks in the LZ4 format, as its block format description has it:
 * what we compress other decompressors read, and the reverse.
 */
#ifndef MM_BASE_LZ4_H
#define MM_BASE_LZ4_H

#include <mmkit/types.h>

#define LZ4_MAX_INPUT  65536u /* positions are 16 bits */
#define LZ4_HASH_BITS  11
#define LZ4_TABLE_SIZE (sizeof(u16) << LZ4_HASH_BITS)

/*
 * lz4_compress: a block of the N bytes at SRC, N <= LZ4_MAX_INPUT, into
 * DST[ROOM]. TABLE: LZ4_TABLE_SIZE bytes of scratch, 2-byte aligned. Returns
 * the block's length, 0: it does not fit (DST may be written). Equal input
 * gives equal output. Any context; O(N).
 */
u32 lz4_compress(const u8 *src, u32 n, u8 *dst, u32 room, u16 *table);

/*
 * lz4_decompress: the bytes of the block SRC[N] into DST[ROOM]. Returns how
 * many, or -1: SRC is no block, or holds more than ROOM bytes. Whatever SRC is,
 * nothing outside SRC[N] is read nor outside DST[ROOM] written. Any context.
 */
s64 lz4_decompress(const u8 *src, u32 n, u8 *dst, u32 room);

#endif
