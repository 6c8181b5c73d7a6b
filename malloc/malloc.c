/* SPDX-License-Identifier: MIT */
/*
 * malloc.c - the names under which programs find the library.
 *
 * Nothing else of it is visible. The C++ operators of the standard library
 * call malloc and free and so need nothing here.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "mt.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT void *malloc(size_t size)
{
	return mt_malloc_inline(size);
}

EXPORT void free(void *p)
{
	mt_free_inline(p);
}

EXPORT void *calloc(size_t n, size_t size)
{
	return mt_calloc(n, size);
}

EXPORT void *realloc(void *p, size_t size)
{
	return mt_realloc(p, size);
}

EXPORT void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return mt_realloc(p, bytes);
}

/* The next power of two, as the C library does; 0: there is none. */
static size_t power_of_two(size_t align)
{
	size_t a = 16;

	while (a && a < align)
		a <<= 1;
	return a;
}

EXPORT void *memalign(size_t align, size_t size)
{
	size_t a = power_of_two(align);

	if (!a) {
		errno = EINVAL;
		return NULL;
	}
	return mt_memalign(a, size);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	if (!align || (align & (align - 1))) {
		errno = EINVAL;
		return NULL;
	}
	return mt_memalign(align, size);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	return mt_posix_memalign(out, align, size);
}

EXPORT void *valloc(size_t size)
{
	return mt_memalign(PAGE_SIZE, size);
}

EXPORT void *pvalloc(size_t size)
{
	if (size > PTRDIFF_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	return mt_memalign(PAGE_SIZE, size ? PAGE_ALIGN(size) : PAGE_SIZE);
}

EXPORT size_t malloc_usable_size(void *p)
{
	return mt_usable_size(p);
}

EXPORT int malloc_trim(size_t pad)
{
	(void)pad;
	if (!mt_up())
		return 0;
	mt_cache_flush();
	return mt_trim() > 0;
}

EXPORT struct mallinfo2 mallinfo2(void)
{
	struct mallinfo2 mi = {0};
	struct mt_counts n;

	if (!mt_up())
		return mi;
	mt_count(&n);
	mi.arena = n.ram;
	mi.hblks = n.nr_maps;
	mi.hblkhd = n.mapped;
	mi.uordblks = n.used + n.mapped;
	mi.fordblks = n.ram > n.used ? n.ram - n.used : 0;
	mi.keepcost = mi.fordblks;
	return mi;
}

EXPORT void malloc_stats(void)
{
	if (mt_up())
		mt_print_stats(2);
}

EXPORT int mallopt(int param, int value)
{
	(void)param;
	(void)value;
	return 0;
}

/*
 * What the compiler's start files would bring, whose code at load and exit
 * touches pages for nothing: the library is never unloaded.
 */
extern void *__dso_handle MT_HIDDEN;
void *__dso_handle = &__dso_handle;

static __attribute__((destructor)) void at_exit(void)
{
	mt_at_exit();
}
