/* SPDX-License-Identifier: MIT */
/*
 * string.h - memory and strings without a libc. As the C functions of the
 * same name less "mm_", except where a contract is given. Any context.
 *
 * The compiler is allowed to make memcpy, memmove, memset and memcmp calls of
 * its own; those four symbols are the world's.
 */
#ifndef MM_BASE_STRING_H
#define MM_BASE_STRING_H

#include <mmkit/types.h>

static inline void *mm_memset(void *to, int c, size_t n)
{
	return __builtin_memset(to, c, n);
}

static inline void *mm_memcpy(void *to, const void *from, size_t n)
{
	return __builtin_memcpy(to, from, n);
}

static inline void *mm_memmove(void *to, const void *from, size_t n)
{
	return __builtin_memmove(to, from, n);
}

static inline int mm_memcmp(const void *a, const void *b, size_t n)
{
	return __builtin_memcmp(a, b, n);
}

/*
 * mm_zero: N bytes at P, a multiple of 8, become zero. What is zero already is
 * only read: pages that were never touched stay so.
 */
static inline void mm_zero(void *p, size_t n)
{
	u64 *w = (u64 *)p;

	for (size_t i = 0; i < n / sizeof(*w); i++) {
		if (w[i])
			w[i] = 0;
	}
	__builtin_memset(w + n / sizeof(*w), 0, n % sizeof(*w));
}

/*
 * The same for bytes that others may read or write meanwhile: each byte is the
 * old or the new one, nothing more is promised. ThreadSanitizer is told so.
 */
#ifdef __SANITIZE_THREAD__
static inline void mm_memcpy_racy(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		WRITE_ONCE(((u8 *)to)[i], READ_ONCE(((const u8 *)from)[i]));
}

static inline void mm_memset_racy(void *to, int c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		WRITE_ONCE(((u8 *)to)[i], (u8)c);
}
#else
static inline void mm_memcpy_racy(void *to, const void *from, size_t n)
{
	mm_memcpy(to, from, n);
}

static inline void mm_memset_racy(void *to, int c, size_t n)
{
	mm_memset(to, c, n);
}
#endif

size_t mm_strlen(const char *s);
size_t mm_strnlen(const char *s, size_t max);
int mm_strcmp(const char *a, const char *b);
int mm_strncmp(const char *a, const char *b, size_t n);
const char *mm_strchr(const char *s, int c);

/*
 * mm_strscpy: copy FROM into TO[SIZE], always terminated (SIZE > 0). Returns
 * the length copied, or -E2BIG when FROM was cut.
 */
s64 mm_strscpy(char *to, const char *from, size_t size);

/* mm_memchr_inv: first byte of [P, P + N) that is not C, or NULL. Others may
 * write them meanwhile: what they were or are counts. */
const void *mm_memchr_inv(const void *p, int c, size_t n);

#endif
