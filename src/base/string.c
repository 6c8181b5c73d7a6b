/* SPDX-License-Identifier: MIT */
/* string.c - strings without a libc. */
#include "base/string.h"

#include <mmkit/errno.h>

#include "base/assert.h"

/*
 * The compiler recognises loops that are strlen() and the like, and would
 * call a libc that is not there; an empty asm per round keeps a loop a loop.
 */
#define KEEP_LOOP() __asm__ volatile("")

size_t mm_strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n]) {
		KEEP_LOOP();
		n++;
	}
	return n;
}

size_t mm_strlen(const char *s)
{
	return mm_strnlen(s, SIZE_MAX);
}

int mm_strncmp(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int d = (u8)a[i] - (u8)b[i];

		KEEP_LOOP();
		if (d != 0 || a[i] == '\0')
			return d;
	}
	return 0;
}

int mm_strcmp(const char *a, const char *b)
{
	return mm_strncmp(a, b, SIZE_MAX);
}

const char *mm_strchr(const char *s, int c)
{
	for (;; s++) {
		KEEP_LOOP();
		if (*s == (char)c)
			return s;
		if (*s == '\0')
			return NULL;
	}
}

s64 mm_strscpy(char *to, const char *from, size_t size)
{
	size_t n;

	mm_verify(size > 0);
	n = mm_strnlen(from, size);
	if (n == size) {
		mm_memcpy(to, from, size - 1);
		to[size - 1] = '\0';
		return -E2BIG;
	}
	mm_memcpy(to, from, n + 1);
	return (s64)n;
}

const void *mm_memchr_inv(const void *p, int c, size_t n)
{
	const u8 *b = p;

	for (size_t i = 0; i < n; i++) {
		KEEP_LOOP();
		if (READ_ONCE(b[i]) != (u8)c)
			return b + i;
	}
	return NULL;
}
