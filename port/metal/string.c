/* SPDX-License-Identifier: MIT */
/*
 * string.c - the four functions that a compiler calls by itself.
 *
 * The CPU's string instructions move eight bytes a step; what is left over is
 * moved byte by byte. Long moves are what matters here, short ones the
 * compiler makes itself.
 */
#include <mmkit/types.h>

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
	void *d = to;
	size_t words = n / 8, rest = n % 8;

	__asm__ volatile("rep movsq\n\t"
			 "movq %3, %%rcx\n\t"
			 "rep movsb"
			 : "+D"(d), "+S"(from), "+c"(words)
			 : "r"(rest)
			 : "memory");
	return to;
}

void *memset(void *to, int c, size_t n)
{
	void *d = to;
	size_t words = n / 8, rest = n % 8;

	__asm__ volatile("rep stosq\n\t"
			 "movq %2, %%rcx\n\t"
			 "rep stosb"
			 : "+D"(d), "+c"(words)
			 : "r"(rest), "a"((u8)c * 0x0101010101010101ul)
			 : "memory");
	return to;
}

/* Backwards: the last bytes first, then words. */
static void move_up(u8 *to, const u8 *from, size_t n)
{
	size_t words = n / 8, rest = n % 8;
	u8 *d = to + n - 1;
	const u8 *s = from + n - 1;

	__asm__ volatile("std\n\t"
			 "rep movsb\n\t"
			 "subq $7, %0\n\t"
			 "subq $7, %1\n\t"
			 "movq %3, %%rcx\n\t"
			 "rep movsq\n\t"
			 "cld"
			 : "+D"(d), "+S"(s), "+c"(rest)
			 : "r"(words)
			 : "memory");
}

void *memmove(void *to, const void *from, size_t n)
{
	if ((u64)to - (u64)from >= n)
		return memcpy(to, from, n);
	move_up(to, from, n);
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n >= 8; n -= 8, x += 8, y += 8) {
		u64 v, w;

		__builtin_memcpy(&v, x, 8);
		__builtin_memcpy(&w, y, 8);
		if (v != w)
			break;
	}
	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
