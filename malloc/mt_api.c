/* SPDX-License-Identifier: MIT */
/*
 * mt_api.c - what malloc(3) and posix_memalign(3) say, by names of our own,
 * so that tests can have it beside the C library's.
 */
#include <errno.h>
#include <string.h>

#include "base/bitops.h"
#include "mt.h"

#define GROW_TWICE 512u	 /* bytes */
#define GROW_FEW   4096u /* ... while the class has few objects */

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
	if (unlikely(mt_sys.direct)) {
		p = mt_guard_alloc(bytes, 16, true);
		zeroed = true;
	} else if (bytes > MT_CLASS_MAX && mt_up()) {
		p = mt_large(bytes, MM_CACHELINE, &zeroed);
	} else {
		p = mt_malloc_inline(bytes);
	}
	if (!p)
		errno = ENOMEM;
	else if (!zeroed)
		memset(p, 0, bytes);
	return p;
}

size_t mt_usable_size(const void *p)
{
	if (!p || mt_boot_owns(p))
		return 0;
	return mt_sys.direct ? mt_guard_size(p) : mt_block_size(p);
}

/* OLD bytes doubled, or the power of two below that if it has SIZE. */
static size_t doubled(size_t old, size_t size)
{
	size_t power = 1ul << ilog2(2 * old);

	return power >= size ? power : 2 * old;
}

/*
 * Room for a block that grows step by step: part of its size in reserve. Of
 * small ones as much again, for each class on the way costs a page; so of
 * larger ones while class C, which it leaves, has little. These go by powers
 * of two, for what is lent is of any class.
 */
static size_t grown(u32 c, size_t old, size_t size)
{
	size_t more = old + old / 8 * 3;

	if (size <= old)
		return size;
	if (old < GROW_TWICE || (old < GROW_FEW && !mt_class_much(c)))
		more = doubled(old, size);
	return max(size, more);
}

static void *move(void *p, u32 c, size_t old, size_t size)
{
	void *q = mt_malloc_inline(grown(c, old, size));

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
	if (!mt_up()) {
		errno = ENOMEM;
		return NULL;
	}
	if (mt_sys.direct) {
		p = mt_guard_realloc(p, size);
		if (!p)
			errno = ENOMEM;
		return p;
	}
	old = mt_usable_size(p);
	if (!old) { /* reported */
		errno = EINVAL;
		return NULL;
	}
	if (size <= old && size >= old / 2)
		return p;
	if (mt_in_span(p) || size <= MT_RUN_MAX)
		return move(p, MT_RUN, old, size);
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

	if (unlikely((u64)((char *)p - mt_base) >= mt_span || !size))
		return realloc_slow(p, size);
	c = mt_use(p);
	if (unlikely(c < MT_FIRST))
		return realloc_slow(p, size);
	old = mt_sys.size_of[c];
	if (size <= old && size >= old / 2)
		return p;
	return move(p, c, old, size);
}

/* One of a class. What is lent may be of another that is aligned to less. */
static void *aligned_object(size_t align, size_t size)
{
	u32 c = mt_class_aligned(size, align);
	void *p = mt_malloc_inline(mt_sys.size_of[c]);
	bool zeroed;

	if (likely(!((uintptr_t)p & (align - 1))))
		return p;
	mt_free_inline(p);
	p = mt_block_get(size, align, &zeroed);
	if (p && mt_sys.tune.perturb)
		memset(p, (u8)~mt_sys.tune.perturb, size);
	return p;
}

static void *aligned(size_t align, size_t size)
{
	bool zeroed;
	void *p;

	if (!mt_up())
		return NULL;
	if (mt_sys.direct)
		return mt_guard_alloc(size, align, false);
	if (align <= PAGE_SIZE && size <= MT_CLASS_MAX &&
	    size < mt_sys.tune.mmap_threshold)
		return aligned_object(align, size);
	p = mt_large(size ? size : 1, align, &zeroed);
	if (p && mt_sys.tune.perturb)
		memset(p, (u8)~mt_sys.tune.perturb, size);
	return p;
}

void *mt_memalign(size_t align, size_t size)
{
	void *p;

	if (align <= 16)
		return mt_malloc_inline(size > 8 || mt_sys.direct ? size
								  : align);
	p = aligned(align, size);
	if (!p)
		errno = ENOMEM;
	return p;
}

/* The next power of two, as the C library does; 0: there is none. */
static size_t power_of_two(size_t align)
{
	size_t a = 16;

	while (a && a < align)
		a <<= 1;
	return a;
}

void *mt_memalign_any(size_t align, size_t size)
{
	size_t a = power_of_two(align);

	if (!a) {
		errno = EINVAL;
		return NULL;
	}
	return mt_memalign(a, size);
}

void *mt_aligned_alloc(size_t align, size_t size)
{
	if (!align || (align & (align - 1))) {
		errno = EINVAL;
		return NULL;
	}
	return mt_memalign(align, size);
}

void *mt_reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return mt_realloc(p, bytes);
}

void *mt_valloc(size_t size)
{
	return mt_memalign(PAGE_SIZE, size);
}

void *mt_pvalloc(size_t size)
{
	if (size > PTRDIFF_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	return mt_memalign(PAGE_SIZE, size ? PAGE_ALIGN(size) : PAGE_SIZE);
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
