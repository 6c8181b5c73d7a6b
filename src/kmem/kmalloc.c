/* SPDX-License-Identifier: MIT */
/*
 * kmalloc.c - memory by size.
 *
 * 1. Purpose. Memory for whoever has no cache of his own: the size chooses
 *    one of thirteen caches, the flags one of four kinds of them.
 *
 * 2. Structures. A table of one byte for each size up to 8192 names the class;
 *    sizes known when compiled need no table. Larger requests are compound
 *    blocks of frames, which know their own size.
 *
 * 3. Invariants.
 *    KM-1  The class of SIZE is the smallest cache that holds SIZE.
 *    KM-2  A power of two is aligned to itself, up to a frame.
 *
 * 4. Freeing needs no size: the frame's mark leads to the cache, and one
 *    comparison of it with what the CPU takes proves that it is one.
 *
 * 5. Failure. NULL for no memory, too much, or a product that overflows. A
 *    pointer that is nobody's is reported, and nothing freed.
 *
 * References: Linux documentation, core-api/memory-allocation.
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/printk.h"
#include "base/trace_ring.h"
#include "kmem/slab_priv.h"
#include "phys/group.h"
#include "phys/phys.h"

/* ---- the caches
 * ------------------------------------------------------------------------- */

#define KMALLOC_NAMES(prefix)                                                  \
	{                                                                      \
		prefix "8", prefix "16", prefix "32", prefix "64",             \
			prefix "96", prefix "128", prefix "192", prefix "256", \
			prefix "512", prefix "1k", prefix "2k", prefix "4k",   \
			prefix "8k"                                            \
	}

static const char kmalloc_names[NR_KMALLOC_KINDS][KMALLOC_NR_CLASSES][20] = {
	[KMALLOC_NORMAL] = KMALLOC_NAMES("kmalloc-"),
	[KMALLOC_DMA] = KMALLOC_NAMES("dma-kmalloc-"),
	[KMALLOC_RECLAIM] = KMALLOC_NAMES("kmalloc-rcl-"),
	[KMALLOC_CGROUP] = KMALLOC_NAMES("kmalloc-cg-"),
};

static const u16 kmalloc_sizes[KMALLOC_NR_CLASSES] = {
	8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192,
};

static const u32 kmalloc_flags[NR_KMALLOC_KINDS] = {
	[KMALLOC_DMA] = SLAB_CACHE_DMA,
	[KMALLOC_RECLAIM] = SLAB_RECLAIM_ACCOUNT,
	[KMALLOC_CGROUP] = SLAB_ACCOUNT | SLAB_NO_MERGE,
};

static int kmalloc_cache_init(u32 kind, u32 i)
{
	u32 size = kmalloc_sizes[i];
	u32 align = size & (size - 1) ? 8 : min(size, (u32)PAGE_SIZE);

	mm_verify(kmalloc_index(size) == i);
	kmem_sys.kmalloc.cache[kind][i] = kmem_cache_create(
		kmalloc_names[kind][i], size, align, kmalloc_flags[kind], NULL);
	return kmem_sys.kmalloc.cache[kind][i] ? 0 : -ENOMEM;
}

/* KM-1, and nothing but kmalloc_slow() for no bytes. */
static void classes_init(void)
{
	struct kmalloc_table *table = &kmem_sys.kmalloc;
	u32 size = 1;

	table->class_of[0] = KMALLOC_NR_CLASSES;
	for (u32 i = 0; i < KMALLOC_NR_CLASSES; i++) {
		mm_memset(&table->class_of[size], (int)i,
			  kmalloc_sizes[i] + 1u - size);
		size = kmalloc_sizes[i] + 1u;
	}
	for (u32 kind = 0; kind < NR_KMALLOC_KINDS; kind++)
		table->cache[kind][KMALLOC_NR_CLASSES] = &kmem_sys.none;
}

int kmalloc_init(void)
{
	classes_init();
	for (u32 kind = 0; kind < NR_KMALLOC_KINDS; kind++) {
		for (u32 i = 0; i < KMALLOC_NR_CLASSES; i++) {
			int err = kmalloc_cache_init(kind, i);

			if (err)
				return err;
		}
	}
	return 0;
}

/* Of several flags the one that restricts most decides. */
static enum kmalloc_kind kmalloc_kind(gfp_t gfp)
{
	if (likely(!(gfp & (__GFP_DMA | __GFP_RECLAIMABLE | __GFP_ACCOUNT))))
		return KMALLOC_NORMAL;
	if (gfp & __GFP_DMA)
		return KMALLOC_DMA;
	return gfp & __GFP_RECLAIMABLE ? KMALLOC_RECLAIM : KMALLOC_CGROUP;
}

/* ---- allocation
 * ------------------------------------------------------------------------- */

/* A large block at PAGE comes, or (SIGN -1) goes. */
static void count_large(const struct page *page, s64 sign)
{
	u16 group = page_group(page);
	s64 frames = sign * (s64)compound_nr(page);

	__atomic_fetch_add(&kmem_sys.large_pages, (u64)frames,
			   __ATOMIC_RELAXED);
	if (unlikely(group))
		group_node_stat_add(group, page_to_nid(page),
				    NR_SLAB_UNRECLAIMABLE_B,
				    frames * (s64)PAGE_SIZE);
}

static void *kmalloc_large(const struct slab_request *rq)
{
	gfp_t gfp = (rq->gfp & ~__GFP_MOVABLE) | __GFP_COMP;
	struct page *page;
	void *obj;

	if (rq->size > KMALLOC_MAX_SIZE)
		return NULL;
	page = rq->nid < 0
		       ? alloc_pages(gfp, (unsigned int)get_order(rq->size))
		       : __alloc_pages(gfp, (unsigned int)get_order(rq->size),
				       rq->nid);
	if (!page)
		return NULL;
	set_page_index(page, PAGE_INDEX_KMALLOC);
	count_large(page, 1);
	obj = page_view(page);
	trace_emit(KMALLOC, rq->caller, (u64)(uintptr_t)obj, rq->size,
		   PAGE_SIZE << compound_order(page), rq->gfp,
		   (u64)(s64)rq->nid, (rq->gfp & __GFP_ACCOUNT) != 0);
	return obj;
}

/* Any request, the long way. */
static void *kmalloc_any(const struct slab_request *rq)
{
	u32 class;

	mm_verify(KMEM_KMALLOC);
	if (unlikely(!rq->size))
		return ZERO_SIZE_PTR;
	if (rq->size > KMALLOC_MAX_CACHE)
		return kmalloc_large(rq);
	class = kmem_sys.kmalloc.class_of[rq->size];
	return slab_alloc(kmem_sys.kmalloc.cache[kmalloc_kind(rq->gfp)][class],
			  rq);
}

/* The fast way is not for this one. */
static MM_NOINLINE void *kmalloc_slow(size_t size, gfp_t gfp, u64 caller)
{
	struct slab_request rq = {
		.gfp = gfp, .nid = -1, .size = size, .caller = caller};

	return kmalloc_any(&rq);
}

/* The array of C, one above TOP, had nothing: given back if it was taken. */
static MM_NOINLINE void *kmalloc_miss(size_t size, gfp_t gfp,
				      struct kmem_cache_cpu *c, u64 top,
				      u64 caller)
{
	sheaf_untake(c, top + 1);
	port_unpin();
	return kmalloc_slow(size, gfp, caller);
}

/* As kmem_cache_alloc(), for S, the cache of SIZE. */
static inline __attribute__((always_inline)) void *
kmalloc_fast(struct kmem_cache *s, size_t size, gfp_t gfp)
{
	struct kmem_cache_cpu *c;
	void *obj;
	u64 top;

	if (gfp & __GFP_DIRECT_RECLAIM)
		might_sleep();
	port_pin();
	c = this_cache_cpu(s);
	top = sheaf_take_word(c) - 1;
	if (unlikely((s64)top < 0))
		return kmalloc_miss(size, gfp, c, top, CALLER());
	obj = sheaf_slots(c)[top];
	sheaf_give_word(c, top);
	port_unpin();
	return obj;
}

void *__kmalloc_cache(size_t size, gfp_t gfp, struct kmem_cache *s)
{
	mm_assert(s ==
		  kmem_sys.kmalloc.cache[KMALLOC_NORMAL][kmalloc_index(size)]);
	if (!KMEM_KMALLOC || slow_alloc(gfp))
		return kmalloc_slow(size, gfp, CALLER());
	return kmalloc_fast(s, size, gfp);
}

/* The cache of SIZE, which is in the table. */
static inline struct kmem_cache *size_cache(size_t size)
{
	u32 class = kmem_sys.kmalloc.class_of[size];

	return kmem_sys.kmalloc.cache[KMALLOC_NORMAL][class];
}

void *__kmalloc_plain(size_t size, gfp_t gfp)
{
	mm_assert(!(gfp & GFP_SLAB_SLOW));
	if (slow_size(size))
		return kmalloc_slow(size, gfp, CALLER());
	return kmalloc_fast(size_cache(size), size, gfp);
}

void *__kmalloc(size_t size, gfp_t gfp)
{
	if (slow_size(size) || slow_alloc(gfp))
		return kmalloc_slow(size, gfp, CALLER());
	return kmalloc_fast(size_cache(size), size, gfp);
}

void *kmalloc_node(size_t size, gfp_t gfp, int node)
{
	struct slab_request rq = {
		.gfp = gfp, .nid = node, .size = size, .caller = CALLER()};

	mm_verify(node >= -1 && node < MM_MAX_NODES);
	return kmalloc_any(&rq);
}

/* ---- freeing
 * ----------------------------------------------------------------------------
 */

/* Is PAGE the first frame of what kmalloc_large() gave, at OBJ? */
static bool is_large(const struct page *page, const void *obj)
{
	return !PageSlab(page) && !PageTail(page) && page_count(page) == 1 &&
	       !PageReserved(page) && !PageBuddy(page) &&
	       page_view(page) == obj &&
	       page_index(page) == PAGE_INDEX_KMALLOC &&
	       frame_mark(page) == -1 && !PageTable(page) && !PageLRU(page) &&
	       !PageBlock(page);
}

static void kfree_any(const void *obj, u64 caller)
{
	u64 pfn = object_pfn(obj);
	struct page *page;

	if (!obj || obj == ZERO_SIZE_PTR)
		return;
	trace_emit(KFREE, caller, (u64)(uintptr_t)obj);
	if (pfn < phys_sys.memmap_frames && pfn_valid(pfn)) {
		page = pfn_to_page(pfn);
		if (is_large(page, obj)) {
			count_large(page, -1);
			__free_pages(page, compound_order(page));
			return;
		}
	}
	slab_free_any(NULL, obj, caller);
}

static MM_NOINLINE void kfree_miss(const void *obj, struct kmem_cache_cpu *c,
				   u64 top, u64 caller)
{
	sheaf_untake(c, top);
	port_unpin();
	kfree_any(obj, caller);
}

static MM_NOINLINE void kfree_slow(const void *obj, u64 caller)
{
	kfree_any(obj, caller);
}

void kfree(const void *obj)
{
	u64 pfn = object_pfn(obj);
	struct kmem_cache_cpu *c;
	s32 mark;
	u64 top;

	/* Beyond all frames are NULL and its like, too. */
	if (slow_free(pfn)) {
		kfree_slow(obj, CALLER());
		return;
	}
	mark = frame_mark_at(pfn);
	port_pin();
	c = this_cache_cpu(mark_cache_fast(mark));
	if (unlikely(mark != c->mark)) {
		kfree_miss(obj, c, SHEAF_LOCKED, CALLER());
		return;
	}
	top = sheaf_take_word(c);
	if (unlikely(!sheaf_may_push(c, top, obj))) {
		kfree_miss(obj, c, top, CALLER());
		return;
	}
	sheaf_push_word(c, top, obj);
	port_unpin();
}

void kfree_sensitive(const void *obj)
{
	size_t bytes = ksize(obj);

	if (bytes) {
		mm_memset((void *)(uintptr_t)obj, 0, bytes);
		barrier(); /* it is not dead yet, whatever the compiler knows */
	}
	kfree(obj);
}

/* ---- sizes
 * --------------------------------------------------------------------------------
 */

size_t ksize(const void *obj)
{
	struct page *page;

	if (!obj || obj == ZERO_SIZE_PTR)
		return 0;
	page = compound_head(view_to_page(obj));
	if (PageSlab(page))
		return kmem_sys.caches[slab_cache_id(page)]->object_size;
	return PAGE_SIZE << compound_order(page);
}

void *krealloc(const void *obj, size_t size, gfp_t gfp)
{
	size_t had = ksize(obj);
	void *new;

	if (!size) {
		kfree(obj);
		return ZERO_SIZE_PTR;
	}
	/* It fits, and gives back less than half. */
	if (size <= had && (size > had / 2 || had <= 64))
		return (void *)(uintptr_t)obj;
	new = kmalloc(size, gfp & ~__GFP_ZERO);
	if (!new)
		return size <= had ? (void *)(uintptr_t)obj : NULL;
	if (had)
		mm_memcpy(new, obj, min(had, size));
	if ((gfp & __GFP_ZERO) && size > had)
		mm_memset((char *)new + had, 0, size - had);
	kfree(obj);
	return new;
}

void *kmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return kmalloc(bytes, gfp);
}

void *kcalloc(size_t n, size_t size, gfp_t gfp)
{
	return kmalloc_array(n, size, gfp | __GFP_ZERO);
}

void *krealloc_array(const void *obj, size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return krealloc(obj, bytes, gfp);
}

/* ---- copies
 * -------------------------------------------------------------------------------
 */

void *kmemdup(const void *src, size_t len, gfp_t gfp)
{
	void *copy;

	if (!src)
		return NULL;
	copy = kmalloc(len, gfp);
	if (copy && len)
		mm_memcpy(copy, src, len);
	return copy;
}

char *kstrndup(const char *s, size_t max, gfp_t gfp)
{
	size_t len = s ? mm_strnlen(s, max) : 0;
	char *copy;

	if (!s)
		return NULL;
	copy = kmalloc(len + 1, gfp);
	if (!copy)
		return NULL;
	mm_memcpy(copy, s, len);
	copy[len] = 0;
	return copy;
}

char *kstrdup(const char *s, gfp_t gfp)
{
	return kstrndup(s, SIZE_MAX, gfp);
}

/* ---- frames that need not be contiguous
 * --------------------------------------------------- */

void kvmalloc_set_ops(const struct kvmalloc_ops *ops)
{
	WRITE_ONCE(kmem_sys.kvmalloc, ops);
}

void *kvmalloc_node(size_t size, gfp_t gfp, int node)
{
	const struct kvmalloc_ops *ops = READ_ONCE(kmem_sys.kvmalloc);
	gfp_t easy = gfp;
	void *obj;

	might_sleep();
	/* Where there is another way, do not try hard for many frames. */
	if (ops && size > PAGE_SIZE)
		easy |= __GFP_NOWARN | __GFP_NORETRY;
	obj = kmalloc_node(size, easy, node);
	if (obj || !ops || size <= PAGE_SIZE)
		return obj;
	return ops->alloc(size, gfp, node);
}

void *kvmalloc(size_t size, gfp_t gfp)
{
	return kvmalloc_node(size, gfp, -1);
}

void *kvcalloc(size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return kvmalloc(bytes, gfp | __GFP_ZERO);
}

void kvfree(const void *obj)
{
	const struct kvmalloc_ops *ops = READ_ONCE(kmem_sys.kvmalloc);

	if (ops && ops->owns(obj))
		ops->free(obj);
	else
		kfree(obj);
}
