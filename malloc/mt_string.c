/* SPDX-License-Identifier: MIT */
/*
 * mt_string.c - memset, memcpy, memmove and memcmp for the library itself.
 *
 * 1. Purpose. The C library has several of each, one for each kind of CPU, on
 *    pages by themselves: a small process that calls one of them for a few
 * words pays 64 KiB of residence, for a fault brings what is around it. What a
 *    malloc library does itself is small. So the library that is preloaded has
 *    its own (mt_string.h); from LARGE bytes on (LARGE_MOVE, if they are
 *    copied) the C library's do it, which know the CPU, and which a program
 *    that has such blocks uses anyway.
 *
 * 2. How. Pieces of 16 bytes, the last of which may overlap the one before;
 * less than 16 bytes by two pieces of 8 or 4, that overlap, or byte by byte.
 *
 * 3. Rejected. rep movsb: dozens of cycles before its first byte.
 */
#include <mmkit/types.h>

#define LARGE	   1024u
#define LARGE_MOVE 4096u /* a block that grows is moved by realloc() */

/* The names are ours where mt_string.h says so, and nobody's elsewhere. */
#ifdef MT_PRELOAD

void *c_memset(void *to, int c, size_t n) __asm__("__real_memset");
void *c_memcpy(void *to, const void *from, size_t n) __asm__("__real_memcpy");
void *c_memmove(void *to, const void *from, size_t n) __asm__("__real_memmove");
int c_memcmp(const void *a, const void *b, size_t n) __asm__("__real_memcmp");

typedef u64 two_words __attribute__((vector_size(16)));
typedef two_words piece16 __attribute__((aligned(1), may_alias));
typedef u64 __attribute__((aligned(1), may_alias)) piece8;
typedef u32 __attribute__((aligned(1), may_alias)) piece4;

#define PIECE(type, p, at) (*(type *)(void *)((char *)(p) + (at)))
#define FROM(type, p, at) \
	(*(const type *)(const void *)((const char *)(p) + (at)))

/* Loops stay loops: the compiler would call what they are. */
#if defined(__GNUC__) && !defined(__clang__)
#define AS_WRITTEN __attribute__((optimize("no-tree-loop-distribute-patterns")))
#else
#define AS_WRITTEN __attribute__((no_builtin))
#endif

AS_WRITTEN void *memset(void *to, int c, size_t n)
{
	u64 w = (u8)c * 0x0101010101010101ul;
	const piece16 v = {w, w};

	if (unlikely(n >= LARGE))
		return c_memset(to, c, n);
	if (likely(n >= 16)) {
		for (size_t i = 0; i < n - 16; i += 16)
			PIECE(piece16, to, i) = v;
		PIECE(piece16, to, n - 16) = v;
	} else if (n >= 8) {
		PIECE(piece8, to, 0) = PIECE(piece8, to, n - 8) = w;
	} else {
		for (size_t i = 0; i < n; i++)
			((volatile u8 *)to)[i] = (u8)c;
	}
	return to;
}

/* Less than 16 bytes, read before they are written. */
static inline void move_few(void *to, const void *from, size_t n)
{
	if (n >= 8) {
		u64 a = FROM(piece8, from, 0), b = FROM(piece8, from, n - 8);

		PIECE(piece8, to, 0) = a;
		PIECE(piece8, to, n - 8) = b;
	} else if (n >= 4) {
		u32 a = FROM(piece4, from, 0), b = FROM(piece4, from, n - 4);

		PIECE(piece4, to, 0) = a;
		PIECE(piece4, to, n - 4) = b;
	} else if (n) {
		u8 a = FROM(u8, from, 0), b = FROM(u8, from, n / 2);
		u8 c = FROM(u8, from, n - 1);

		PIECE(u8, to, 0) = a;
		PIECE(u8, to, n / 2) = b;
		PIECE(u8, to, n - 1) = c;
	}
}

AS_WRITTEN void *memcpy(void *to, const void *from, size_t n)
{
	size_t i = 0;

	if (unlikely(n >= LARGE_MOVE))
		return c_memcpy(to, from, n);
	if (n < 16) {
		move_few(to, from, n);
		return to;
	}
	for (; i + 64 < n; i += 64) {
		PIECE(piece16, to, i) = FROM(piece16, from, i);
		PIECE(piece16, to, i + 16) = FROM(piece16, from, i + 16);
		PIECE(piece16, to, i + 32) = FROM(piece16, from, i + 32);
		PIECE(piece16, to, i + 48) = FROM(piece16, from, i + 48);
	}
	for (; i < n - 16; i += 16)
		PIECE(piece16, to, i) = FROM(piece16, from, i);
	PIECE(piece16, to, n - 16) = FROM(piece16, from, n - 16);
	return to;
}

/* The piece that overlaps is read first: others may be written on it. */
AS_WRITTEN void *memmove(void *to, const void *from, size_t n)
{
	piece16 end;

	if (unlikely(n >= LARGE))
		return c_memmove(to, from, n);
	if (n < 16) {
		move_few(to, from, n);
		return to;
	}
	if ((uintptr_t)to - (uintptr_t)from >= n) {
		end = FROM(piece16, from, n - 16);
		for (size_t i = 0; i < n - 16; i += 16)
			PIECE(piece16, to, i) = FROM(piece16, from, i);
		PIECE(piece16, to, n - 16) = end;
	} else {
		end = FROM(piece16, from, 0);
		for (size_t i = n; i > 16; i -= 16)
			PIECE(piece16, to, i - 16) =
				FROM(piece16, from, i - 16);
		PIECE(piece16, to, 0) = end;
	}
	return to;
}

AS_WRITTEN int memcmp(const void *a, const void *b, size_t n)
{
	if (unlikely(n >= LARGE))
		return c_memcmp(a, b, n);
	for (size_t i = 0; i < n; i++) {
		int d = FROM(u8, a, i) - FROM(u8, b, i);

		if (d)
			return d;
	}
	return 0;
}

#endif /* MT_PRELOAD */
