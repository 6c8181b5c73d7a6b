/* SPDX-License-Identifier: MIT */
/*
 * malloc.c - the names under which programs find the library.
 *
 * Nothing else of it is visible. The C++ operators of the standard library call
 * malloc and free and so need nothing here. Why fork is here: see mt_fork.c.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

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
	return mt_reallocarray(p, n, size);
}

EXPORT void *memalign(size_t align, size_t size)
{
	return mt_memalign_any(align, size);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	return mt_aligned_alloc(align, size);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	return mt_posix_memalign(out, align, size);
}

EXPORT void *valloc(size_t size)
{
	return mt_valloc(size);
}

EXPORT void *pvalloc(size_t size)
{
	return mt_pvalloc(size);
}

EXPORT size_t malloc_usable_size(void *p)
{
	return mt_usable_size(p);
}

EXPORT int malloc_trim(size_t pad)
{
	return mt_malloc_trim(pad);
}

EXPORT struct mallinfo2 mallinfo2(void)
{
	return mt_mallinfo2();
}

EXPORT struct mallinfo mallinfo(void)
{
	return mt_mallinfo();
}

EXPORT int malloc_info(int options, FILE *out)
{
	return mt_malloc_info(options, out);
}

EXPORT void malloc_stats(void)
{
	mt_malloc_stats();
}

EXPORT int mallopt(int param, int value)
{
	return mt_mallopt(param, value);
}

EXPORT pid_t fork(void)
{
	return mt_fork();
}

/* Ours alone: look at everything that hardened and debug mode know. */
EXPORT unsigned long mmkit_malloc_check(void);
EXPORT unsigned long mmkit_malloc_check(void)
{
	mt_cache_check();
	return mt_guard_check();
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
