/* SPDX-License-Identifier: MIT */
/*
 * mt_api.c - what malloc(3) and posix_memalign(3) say, by names of our own,
 * so that tests can have it beside the C library's.
 */
#include <errno.h>
#include <string.h>

#include "mt.h"

void *mt_malloc(size_t size)
{
	return mt_malloc_inline(size);
}

void mt_free(void *p)
{
	mt_free_inline(p);
}

void *mt_calloc(size_t n, size_t size)
{
	size_t bytes;
	bool zeroed = false;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	if (bytes > MT_CLASS_MAX && mt_up()) {
		p = mt_large(bytes, MM_CACHELINE, &zeroed);
		if (!p)
			errno = ENOMEM;
	} else {
		p = mt_malloc_inline(bytes);
	}
	if (p && !zeroed)
		memset(p, 0, bytes);
	return p;
}

size_t mt_usable_size(const void *p)
{
	u32 c;

	if (!p || mt_boot_owns(p))
		return 0;
	if (!mt_in_span(p))
		return mt_map_size(p);
	c = READ_ONCE(mt_map[mt_frame(p)]);
	if (c == MT_RUN)
		return PFN_PHYS((u64)READ_ONCE(mt_sys.run[mt_frame(p)]));
	if (c < MT_FIRST)
		mt_die("invalid pointer", p);
	return mt_sys.size_of[c];
}

/* Room for a block that grows step by step: part of its size in reserve. */
static size_t grown(size_t old, size_t size)
{
	size_t more = old + old / 8 * 3;

	return size > old && size < more ? more : size;
}

static void *move(void *p, size_t old, size_t size)
{
	void *q = mt_malloc_inline(grown(old, size));

	if (q) {
		memcpy(q, p, old < size ? old : size);
		mt_free_inline(p);
	}
	return q;
}

/* P from the bytes that serve the boot: how long it was is not known. */
static void *move_boot(const void *p, size_t size)
{
	void *q = mt_malloc_inline(size);
	size_t nr = 0;

	while (q && nr < size && mt_boot_owns((const char *)p + nr))
		nr++;
	if (q)
		memcpy(q, p, nr);
	return q;
}

/* P is no object of a class, or SIZE is 0. */
static void *realloc_slow(void *p, size_t size)
{
	size_t old;

	if (!p)
		return mt_malloc_inline(size);
	if (!size) {
		mt_free_inline(p);
		return NULL;
	}
	if (unlikely(mt_boot_owns(p)))
		return move_boot(p, size);
	old = mt_usable_size(p);
	if (size <= old && size >= old / 2)
		return p;
	if (mt_in_span(p) || size <= MT_RUN_MAX)
		return move(p, old, size);
	p = mt_map_resize(p, size);
	if (!p)
		errno = ENOMEM;
	return p;
}

/* What is less than half used moves to where it takes less. */
void *mt_realloc(void *p, size_t size)
{
	size_t old;
	u32 c;

	if (unlikely(!mt_in_span(p) || !size))
		return realloc_slow(p, size);
	c = READ_ONCE(mt_map[mt_frame(p)]);
	if (unlikely(c < MT_FIRST))
		return realloc_slow(p, size);
	old = mt_sys.size_of[c];
	if (size <= old && size >= old / 2)
		return p;
	return move(p, old, size);
}

/* The smallest class for SIZE whose objects are all aligned to ALIGN, which
 * is at most a page: powers of two are. */
static size_t aligned_class(size_t align, size_t size)
{
	u32 c = mt_sys.class_of[(size + 7) >> 3];

	while (mt_sys.size_of[c] & (align - 1))
		c++;
	return mt_sys.size_of[c];
}

void *mt_memalign(size_t align, size_t size)
{
	bool zeroed;
	void *p;

	if (align <= 16)
		return mt_malloc_inline(size > align ? size : align);
	if (!mt_up()) {
		errno = ENOMEM;
		return NULL;
	}
	if (align <= PAGE_SIZE && size <= MT_CLASS_MAX)
		return mt_malloc_inline(
			aligned_class(align, size ? size : align));
	p = mt_large(size ? size : 1, align, &zeroed);
	if (!p)
		errno = ENOMEM;
	return p;
}

int mt_posix_memalign(void **out, size_t align, size_t size)
{
	int saved = errno;
	void *p;

	if (align % sizeof(void *) || !align || (align & (align - 1)))
		return EINVAL;
	p = mt_memalign(align, size);
	errno = saved;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}
