/* SPDX-License-Identifier: MIT */
/*
 * slab_common.c - making and unmaking caches, and kmalloc.
 *
 * Creating a cache is three steps: compute the layout (pure), allocate what
 * it needs, publish it under the caches lock. The first two caches, of caches
 * and of their nodes, live in kmem_sys, so that the allocator can describe
 * itself before it works.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/bitops.h"
#include "base/printk.h"
#include "base/string.h"
#include "kmem/slab.h"
#include "phys/mmzone.h"

/* An id for S in the table of caches; -ENOSPC when the table is full. */
static int cache_publish(struct kmem_cache *s)
{
	int err = -ENOSPC;

	spin_lock(&kmem_sys.caches_lock);
	for (u16 i = 0; i < KMEM_MAX_CACHES && err; i++) {
		if (kmem_sys.caches[i])
			continue;
		s->id = i;
		kmem_sys.caches[i] = s;
		err = 0;
	}
	spin_unlock(&kmem_sys.caches_lock);
	return err;
}

static void cache_withdraw(struct kmem_cache *s)
{
	spin_lock(&kmem_sys.caches_lock);
	mm_verify(kmem_sys.caches[s->id] == s);
	kmem_sys.caches[s->id] = NULL;
	spin_unlock(&kmem_sys.caches_lock);
}

static void cache_setup(struct kmem_cache *s, const char *name, u32 size,
			u32 align, void (*ctor)(void *))
{
	s->name = name;
	s->object_size = size;
	s->align = max(align, 8u);
	s->ctor = ctor;
	/* Constructed objects stay constructed while they are free. */
	s->link_offset = ctor ? ALIGN(size, 8u) : 0;
	s->layout =
		slab_layout_compute(ctor ? s->link_offset + 8 : size, s->align);
	s->min_partial = 5;
	mm_verify(s->layout.objects > 0);
}

static void node_setup(struct kmem_cache_node *n)
{
	spin_lock_init(&n->list_lock, LOCK_CLASS_SLAB_NODE);
	page_list_init(&n->partial);
	n->nr_slabs = 0;
}

static void cache_free_nodes(struct kmem_cache *s)
{
	for (int node = 0; node < MM_MAX_NODES; node++) {
		if (s->node[node])
			kmem_cache_free(&kmem_sys.boot_node, s->node[node]);
		s->node[node] = NULL;
	}
}

static int cache_alloc_nodes(struct kmem_cache *s)
{
	for (int node = 0; node < MM_MAX_NODES; node++) {
		struct kmem_cache_node *n;

		if (!NODE_DATA(node))
			continue;
		n = kmem_cache_alloc(&kmem_sys.boot_node, GFP_KERNEL);
		if (!n) {
			cache_free_nodes(s);
			return -ENOMEM;
		}
		node_setup(n);
		s->node[node] = n;
	}
	return 0;
}

static bool cache_args_ok(u32 size, u32 align)
{
	return size >= 8 && size <= KMALLOC_MAX_CACHE && align <= PAGE_SIZE &&
	       (align & (align - 1)) == 0;
}

struct kmem_cache *kmem_cache_create(const char *name, u32 size, u32 align,
				     u32 flags, void (*ctor)(void *))
{
	struct kmem_cache *s = NULL;

	if (flags & SLAB_HWCACHE_ALIGN)
		align = max(align, (u32)MM_CACHELINE);
	if (cache_args_ok(size, align))
		s = kmem_cache_alloc(&kmem_sys.boot_cache,
				     GFP_KERNEL | __GFP_ZERO);
	if (!s)
		goto fail;
	cache_setup(s, name, size, align, ctor);
	s->flags = flags;
	/* No node may come between the two. */
	get_online_mems();
	if (cache_alloc_nodes(s))
		goto free_cache;
	if (cache_publish(s))
		goto free_nodes;
	put_online_mems();
	return s;
free_nodes:
	cache_free_nodes(s);
free_cache:
	put_online_mems();
	kmem_cache_free(&kmem_sys.boot_cache, s);
fail:
	if (flags & SLAB_PANIC)
		port_panic("kmem_cache_create failed");
	return NULL;
}

int kmem_cache_destroy(struct kmem_cache *s)
{
	u64 active = kmem_cache_active(s);

	if (active) {
		pr_err("slab: cache %s has %llu objects at destroy\n", s->name,
		       (unsigned long long)active);
		return -EBUSY;
	}
	slab_drain(s);
	kmem_cache_shrink(s);
	get_online_mems();
	cache_withdraw(s);
	cache_free_nodes(s);
	put_online_mems();
	kmem_cache_free(&kmem_sys.boot_cache, s);
	return 0;
}

/* ---- kmalloc
 * --------------------------------------------------------------------- */

static const struct {
	u32 size;
	const char *name;
} kmalloc_info[KMALLOC_NR_CLASSES] = {
	{8, "kmalloc-8"},     {16, "kmalloc-16"},   {32, "kmalloc-32"},
	{64, "kmalloc-64"},   {96, "kmalloc-96"},   {128, "kmalloc-128"},
	{192, "kmalloc-192"}, {256, "kmalloc-256"}, {512, "kmalloc-512"},
	{1024, "kmalloc-1k"}, {2048, "kmalloc-2k"}, {4096, "kmalloc-4k"},
	{8192, "kmalloc-8k"},
};

/* Class of SIZE, 1 .. 8192: one table step for the odd sizes, else fls. */
static u32 kmalloc_class(size_t size)
{
	u32 log;

	if (size <= 8)
		return 0;
	if (size > 64 && size <= 96)
		return 4;
	if (size > 128 && size <= 192)
		return 6;
	log = (u32)fls64(size - 1); /* smallest power of two that holds it */
	if (log <= 6)
		return log - 3;
	return log == 7 ? 5 : log - 1;
}

static int kmalloc_init(void)
{
	for (u32 i = 0; i < KMALLOC_NR_CLASSES; i++) {
		u32 size = kmalloc_info[i].size;
		u32 align = size & (size - 1) ? 8 : min(size, (u32)PAGE_SIZE);

		mm_verify(kmalloc_class(size) == i);
		kmem_sys.kmalloc_caches[i] = kmem_cache_create(
			kmalloc_info[i].name, size, align, 0, NULL);
		if (!kmem_sys.kmalloc_caches[i])
			return -ENOMEM;
	}
	return 0;
}

static struct page *kmalloc_large(size_t size, gfp_t gfp)
{
	return alloc_pages(gfp | __GFP_COMP, (unsigned int)get_order(size));
}

void *kmalloc(size_t size, gfp_t gfp)
{
	struct page *page;

	if (size == 0)
		return ZERO_SIZE_PTR;
	if (size <= KMALLOC_MAX_CACHE) {
		u32 class = kmalloc_class(size);

		return kmem_cache_alloc(kmem_sys.kmalloc_caches[class], gfp);
	}
	if (size > PAGE_SIZE << 10)
		return NULL;
	page = kmalloc_large(size, gfp);
	return page ? page_view(page) : NULL;
}

void *kcalloc(size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return kmalloc(bytes, gfp | __GFP_ZERO);
}

void kfree(const void *obj)
{
	struct page *page;

	if (!obj || obj == ZERO_SIZE_PTR)
		return;
	page = compound_head(view_to_page(obj));
	if (PageSlab(page)) {
		struct kmem_cache *s = kmem_sys.caches[page_index(page)];

		mm_verify(s != NULL);
		kmem_cache_free(s, (void *)(uintptr_t)obj);
		return;
	}
	__free_pages(page, compound_order(page));
}

size_t ksize(const void *obj)
{
	const struct page *page;

	if (!obj || obj == ZERO_SIZE_PTR)
		return 0;
	page = compound_head(view_to_page(obj));
	if (PageSlab(page))
		return kmem_sys.caches[page_index(page)]->object_size;
	return PAGE_SIZE << compound_order(page);
}

/* ---- boot
 * -------------------------------------------------------------------------- */

/* A cache that describes caches gets its part of NODE, if it has none. */
static int boot_cache_node(struct kmem_cache *s, int node)
{
	struct kmem_cache_node *n;
	struct page *page;

	if (s->node[node])
		return 0;
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 0);
	if (!page)
		return -ENOMEM;
	n = page_view(page);
	node_setup(n);
	smp_store_release(&s->node[node], n);
	return 0;
}

/*
 * All caches get their part of NODE. What they got stays if a later one fails:
 * it serves the next attempt. Under the hotplug lock caches neither come nor
 * go.
 */
static int caches_add_node(int node)
{
	int err = boot_cache_node(&kmem_sys.boot_node, node);

	if (!err)
		err = boot_cache_node(&kmem_sys.boot_cache, node);
	for (u32 i = 0; !err && i < KMEM_MAX_CACHES; i++) {
		struct kmem_cache *s = kmem_sys.caches[i];
		struct kmem_cache_node *n;

		if (!s || s->node[node])
			continue;
		n = kmem_cache_alloc(&kmem_sys.boot_node, GFP_KERNEL);
		if (!n)
			return -ENOMEM;
		node_setup(n);
		smp_store_release(&s->node[node], n);
	}
	return err;
}

static int memory_changes(struct memory_notifier *nb, enum memory_action action,
			  const struct memory_notify *arg)
{
	mm_assert(nb == &kmem_sys.hotplug);
	if (action != MEM_GOING_ONLINE || arg->status_change_nid < 0)
		return 0;
	return caches_add_node(arg->status_change_nid);
}

/*
 * The two caches that describe caches need nodes before there is a cache of
 * nodes: their nodes come from whole frames, one per machine node.
 */
static int boot_cache_init(struct kmem_cache *s, const char *name, u32 size)
{
	cache_setup(s, name, size, MM_CACHELINE, NULL);
	for (int node = 0; node < MM_MAX_NODES; node++) {
		if (NODE_DATA(node) && boot_cache_node(s, node))
			return -ENOMEM;
	}
	return cache_publish(s);
}

int kmem_init(void)
{
	int err;

	MM_STATIC_ASSERT(sizeof(struct kmem_cache) <= KMALLOC_MAX_CACHE,
			 "a cache's descriptor fits a slab object");
	spin_lock_init(&kmem_sys.caches_lock, LOCK_CLASS_SLAB_CACHES);
	err = boot_cache_init(&kmem_sys.boot_node, "kmem_cache_node",
			      sizeof(struct kmem_cache_node));
	if (!err)
		err = boot_cache_init(&kmem_sys.boot_cache, "kmem_cache",
				      sizeof(struct kmem_cache));
	if (!err)
		err = kmalloc_init();
	if (err)
		return err;
	kmem_sys.hotplug.call = memory_changes;
	register_memory_notifier(&kmem_sys.hotplug);
	return 0;
}
