/* SPDX-License-Identifier: MIT */
/*
 * slab_common.c - making and unmaking caches, and the allocator's start.
 *
 * Creating a cache is three steps: compute the layout (pure), allocate what
 * it needs, publish it under the caches lock. Or none of them, when a cache
 * of the same kind and nearly the same size can serve: then it only gets one
 * more user. The first two caches, of caches and of their nodes, live in
 * kmem_sys, so that the allocator can describe itself before it works.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/bitops.h"
#include "base/epoch.h"
#include "base/printk.h"
#include "base/string.h"
#include "kmem/slab_priv.h"
#include "phys/phys.h"

/* ---- the table of caches
 * ------------------------------------------------------------------ */

/* An id for S in the table of caches; -ENOSPC when the table is full. */
static int cache_publish(struct kmem_cache *s)
{
	int err = -ENOSPC;

	spin_lock(&kmem_sys.caches_lock);
	/* Id 0 stays free: it is what no mark names. */
	for (u16 i = 1; i < KMEM_MAX_CACHES && err; i++) {
		if (kmem_sys.caches[i])
			continue;
		s->id = i;
		kmem_sys.caches[i] = s;
		WRITE_ONCE(kmem_sys.hot.cache_of[i], s);
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
	WRITE_ONCE(kmem_sys.hot.cache_of[s->id], &kmem_sys.none);
	spin_unlock(&kmem_sys.caches_lock);
}

void slab_for_each(void (*fn)(struct kmem_cache *s, void *arg), void *arg)
{
	spin_lock(&kmem_sys.caches_lock);
	for (int i = 0; i < KMEM_MAX_CACHES; i++)
		if (kmem_sys.caches[i])
			fn(kmem_sys.caches[i], arg);
	spin_unlock(&kmem_sys.caches_lock);
}

void slab_for_each_sleep(void (*fn)(struct kmem_cache *s, void *arg), void *arg)
{
	for (int i = 0; i < KMEM_MAX_CACHES; i++) {
		struct kmem_cache *s = READ_ONCE(kmem_sys.caches[i]);

		if (s)
			fn(s, arg);
	}
}

/* ---- what a cache is made of
 * -------------------------------------------------------------- */

#define SHEAF_CAP_MAX	 56 /* with its header, 512 bytes */
#define SHEAF_CAP_MEDIUM 24
#define SHEAF_CAP_LARGE	 8
/* From this much memory on, arrays are as long as they are useful. */
#define SHEAF_FULL_RAM (64UL << 20)

/* Places of a CPU's array; on a small machine a small part of its memory. */
static s32 choose_sheaf_cap(u32 size)
{
	u64 ram = phys_sys.totalram_pages << PAGE_SHIFT;
	s32 cap = SHEAF_CAP_LARGE;
	u64 fits;

	if (size <= 512)
		cap = SHEAF_CAP_MAX;
	else if (size <= 2048)
		cap = SHEAF_CAP_MEDIUM;
	if (kmem_sys.params.array_most)
		return min(cap, (s32)kmem_sys.params.array_most);
	if (ram >= SHEAF_FULL_RAM)
		return cap;
	fits = (ram >> 12) / size;
	return fits < 4 ? 0 : (s32)min((u64)cap, fits);
}

static u32 choose_min_objects(void)
{
	u32 nr = kmem_sys.params.slub_min_objects;

	return nr ? nr : 4u * ((u32)fls((unsigned int)port_nr_cpus()) + 1);
}

/* What is asked of a new cache. */
struct cache_args {
	const char *name;
	u32 size, align, flags;
	void (*ctor)(void *);
};

static int cache_layout(const struct cache_args *a, u32 flags,
			struct slab_layout *out)
{
	const struct slab_boot_params *p = &kmem_sys.params;
	struct slab_shape shape = {
		.size = a->size,
		.align = a->align,
		.flags = flags,
		.ctor = a->ctor != NULL,
		.link_first = p->link_first,
		.min_objects = choose_min_objects(),
		.max_order =
			p->slub_max_order ? p->slub_max_order : SLUB_MAX_ORDER,
		.min_order = p->slub_min_order,
	};

	return slab_layout_compute(&shape, out);
}

/* slub_debug=O: rather no debugging than larger slabs. */
static u32 without_larger_order(const struct cache_args *a, u32 flags)
{
	const u32 larger = SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER;
	struct slab_layout with, without;

	if (!kmem_sys.debug_keep_order || !(flags & larger) ||
	    cache_layout(a, flags, &with) ||
	    cache_layout(a, flags & ~larger, &without))
		return flags;
	return with.min_order > without.min_order ? flags & ~larger : flags;
}

/* The lowest order from L's on that wastes little; L's: there is none. */
static u8 tight_order(const struct slab_layout *l)
{
	for (u32 order = l->order; order <= SLUB_MAX_ORDER; order++) {
		u32 bytes = (u32)PAGE_SIZE << order;

		if ((bytes - l->reserved) % l->size * SLAB_TIGHT_PART <= bytes)
			return (u8)order;
	}
	return l->order;
}

/*
 * With few_slabs each slab's order is chosen when it is made (slab_partial.c).
 * Of objects up to SLAB_DENSE a page is rarely free alone, and what is left
 * over at its end is most of what a large cache wastes: theirs may have any
 * order. Of larger ones those that waste most may have larger slabs, too.
 */
static void allow_orders(struct slab_layout *l)
{
	if (l->size > SLAB_TIGHT || l->order >= SLUB_MAX_ORDER)
		return;
	l->order = l->size <= SLAB_DENSE ? SLUB_DENSE_ORDER : tight_order(l);
	l->objects = slab_order_objects(l->order, l->size, l->reserved);
}

static int cache_setup(struct kmem_cache *s, const struct cache_args *a)
{
	u32 flags =
		without_larger_order(a, slub_debug_flags(a->name, a->flags));
	int err = cache_layout(a, flags, &s->layout);

	if (err)
		return err;
	for (int cpu = 0; cpu <= MM_NR_CPUS; cpu++)
		s->cpu[cpu] = &kmem_sys.cpu_none;
	s->name = a->name;
	s->flags = flags;
	s->object_size = a->size;
	s->align_asked = a->align;
	s->ctor = a->ctor;
	s->refcount = 1;
	s->min_partial = (u16)clamp(ilog2(s->layout.size) / 2, 5, 10);
	if (!slab_is_debug(s)) {
		s->sheaf_cap = choose_sheaf_cap(a->size);
		s->barn_cap =
			kmem_sys.params.no_kmalloc
				? 0
				: slab_barn_cap(s->layout.size, s->sheaf_cap);
		s->cpu_partial = s->sheaf_cap
					 ? slab_cpu_partial(s->layout.size,
							    s->layout.objects)
					 : 0;
	}
	if (kmem_sys.params.few_slabs) {
		s->min_partial = s->layout.order == 0;
		s->cpu_partial = min(s->cpu_partial, 1u);
		allow_orders(&s->layout);
	}
	if (kmem_sys.params.freelist_hardened)
		s->secret = port_entropy() | 1;
	mm_verify(s->layout.objects > 0);
	return 0;
}

void slab_node_setup(struct kmem_cache_node *n)
{
	spin_lock_init(&n->list_lock, LOCK_CLASS_SLAB_NODE);
	page_list_init(&n->partial);
	page_list_init(&n->full);
	n->barn = NULL;
	n->nr_slabs = 0;
	n->nr_objects = 0;
}

static struct kmem_cache_node *own_node(struct kmem_cache *s)
{
	struct kmem_cache_whole *whole = slab_whole(s);

	return whole ? &whole->node : NULL;
}

static void cache_free_nodes(struct kmem_cache *s)
{
	for (int node = 0; node < MM_MAX_NODES; node++) {
		if (s->node[node]) {
			barn_free(s->node[node]);
			if (s->node[node] != own_node(s))
				kmem_cache_free(&kmem_sys.boot_node,
						s->node[node]);
		}
		s->node[node] = NULL;
	}
}

static int cache_alloc_nodes(struct kmem_cache *s)
{
	struct kmem_cache_node *own = own_node(s);

	for (int node = 0; node < MM_MAX_NODES; node++) {
		struct kmem_cache_node *n;

		if (!NODE_DATA(node))
			continue;
		n = own;
		own = NULL;
		if (!n)
			n = kmem_cache_alloc(&kmem_sys.boot_node, GFP_KERNEL);
		if (!n) {
			cache_free_nodes(s);
			return -ENOMEM;
		}
		slab_node_setup(n);
		s->node[node] = n;
	}
	return 0;
}

static void cache_free_cpus(struct kmem_cache *s)
{
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++) {
		struct kmem_cache_cpu *c = s->parts && cpu >= port_nr_cpus()
						   ? &kmem_sys.cpu_none
						   : cache_part(s, (u32)cpu);

		s->cpu[cpu] = &kmem_sys.cpu_none;
		if (c != &kmem_sys.cpu_none)
			slab_part_free(s, c);
	}
	if (s->parts)
		kmem_cache_free(kmem_sys.part_cache, s->parts);
	s->parts = NULL;
}

/* ---- sharing
 * ------------------------------------------------------------------------------
 */

/* Caches that differ in one of these are different. */
#define SLAB_MERGE_SAME (SLAB_RECLAIM_ACCOUNT | SLAB_CACHE_DMA | SLAB_ACCOUNT)
/* Caches with one of these share with nobody. */
#define SLAB_MERGE_NEVER \
	(SLAB_DEBUG_FLAGS | SLAB_TYPESAFE_BY_RCU | SLAB_NO_MERGE)

static bool can_share(const struct kmem_cache *s, const struct cache_args *a)
{
	u32 align = slab_align(a->flags, a->align, a->size);
	u32 size = ALIGN(a->size, align);

	if (s->refcount < 1 || s->ctor || (s->flags & SLAB_MERGE_NEVER) ||
	    ((s->flags ^ a->flags) & SLAB_MERGE_SAME))
		return false;
	return s->layout.size >= size && s->layout.size % align == 0 &&
	       s->layout.size - size < 8;
}

/* One more user for a cache that can serve A, or NULL. */
static struct kmem_cache *cache_share(const struct cache_args *a)
{
	u32 flags = slub_debug_flags(a->name, a->flags);
	struct kmem_cache *found = NULL;

	if (kmem_sys.params.slab_nomerge || a->ctor ||
	    (flags & SLAB_MERGE_NEVER))
		return NULL;
	spin_lock(&kmem_sys.caches_lock);
	for (u32 i = 0; i < KMEM_MAX_CACHES && !found; i++) {
		struct kmem_cache *s = kmem_sys.caches[i];

		if (!s || !can_share(s, a))
			continue;
		s->refcount++;
		WRITE_ONCE(s->object_size, max(s->object_size, a->size));
		found = s;
	}
	spin_unlock(&kmem_sys.caches_lock);
	return found;
}

/* True: S has other users yet. Else the shrinker leaves it alone. */
static bool cache_unshare(struct kmem_cache *s)
{
	bool shared;

	spin_lock(&kmem_sys.caches_lock);
	mm_verify(s->refcount > 0);
	shared = s->refcount > 1;
	if (shared)
		s->refcount--;
	s->dying = !shared;
	spin_unlock(&kmem_sys.caches_lock);
	return shared;
}

/* ---- creating and destroying
 * -------------------------------------------------------------- */

static bool cache_args_ok(const struct cache_args *a)
{
	return a->name && a->size >= 8 && a->size <= KMEM_MAX_OBJECT &&
	       a->align <= PAGE_SIZE && (a->align & (a->align - 1)) == 0;
}

/* A cache of its own, with all its parts but not yet known to others. */
static struct kmem_cache *cache_make(const struct cache_args *a)
{
	struct kmem_cache *s =
		kmem_cache_alloc(&kmem_sys.boot_cache, GFP_KERNEL | __GFP_ZERO);

	if (!s)
		return NULL;
	if (!cache_setup(s, a) && !cache_alloc_nodes(s))
		return s;
	kmem_cache_free(&kmem_sys.boot_cache, s);
	return NULL;
}

/* S, new, if its objects are charged, goes the slow ways. NULL: no memory. */
static struct kmem_cache *cache_gate(struct kmem_cache *s)
{
	const struct slab_account_ops *ops = slab_account_ops();

	if (!s || !ops || !(s->flags & SLAB_ACCOUNT) || !ops->gate(s))
		return s;
	(void)kmem_cache_destroy(s);
	return NULL;
}

struct kmem_cache *kmem_cache_create(const char *name, u32 size, u32 align,
				     u32 flags, void (*ctor)(void *))
{
	struct cache_args a = {name, size, align, flags, ctor};
	struct kmem_cache *s = NULL;

	might_sleep();
	if (cache_args_ok(&a)) {
		s = cache_share(&a);
		if (s)
			return s;
		/* No node may come before it is published. */
		get_online_mems();
		s = cache_make(&a);
		if (s && cache_publish(s)) {
			cache_free_nodes(s);
			kmem_cache_free(&kmem_sys.boot_cache, s);
			s = NULL;
		}
		put_online_mems();
		s = cache_gate(s);
	}
	if (!s && (flags & SLAB_PANIC))
		port_panic("kmem_cache_create failed");
	return s;
}

static u64 cache_slabs(const struct kmem_cache *s)
{
	u64 sum = 0;

	for (int node = 0; node < MM_MAX_NODES; node++)
		if (s->node[node])
			sum += READ_ONCE(s->node[node]->nr_slabs);
	return sum;
}

int kmem_cache_destroy(struct kmem_cache *s)
{
	if (!s || cache_unshare(s))
		return 0;
	kmem_cache_shrink(s);
	if (cache_slabs(s)) {
		WRITE_ONCE(s->dying, false);
		slab_report_leaks(s);
		pr_err("kmem_cache_destroy %s: Slab cache still has objects",
		       s->name);
		return -EBUSY;
	}
	if (s->flags & SLAB_TYPESAFE_BY_RCU)
		epoch_drain();
	get_online_mems();
	cache_withdraw(s);
	cache_free_cpus(s);
	cache_free_nodes(s);
	put_online_mems();
	kmem_cache_free(&kmem_sys.boot_cache, s);
	return 0;
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
	if (kmem_sys.nr_boot_parts < ARRAY_SIZE(kmem_sys.boot_parts)) {
		n = &kmem_sys.boot_parts[kmem_sys.nr_boot_parts++];
	} else {
		page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 0);
		if (!page)
			return -ENOMEM;
		n = page_view(page);
	}
	slab_node_setup(n);
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
		slab_node_setup(n);
		smp_store_release(&s->node[node], n);
	}
	return err;
}

void slab_check_frees(void)
{
	base_gate_open(&kmem_sys.hot.check_frees.all, 1);
}

static int memory_changes(struct memory_notifier *nb, enum memory_action action,
			  const struct memory_notify *arg)
{
	mm_assert(nb == &kmem_sys.hotplug);
	if (action != MEM_GOING_ONLINE || arg->status_change_nid < 0)
		return 0;
	slab_check_frees();
	return caches_add_node(arg->status_change_nid);
}

/*
 * The two caches that describe caches need nodes before there is a cache of
 * nodes: the first node's are in kmem_sys, others come from whole frames.
 */
static int boot_cache_init(struct kmem_cache *s, const char *name, u32 size)
{
	struct cache_args a = {name, size, MM_CACHELINE, 0, NULL};
	int err = cache_setup(s, &a);

	mm_verify(!err);
	s->refcount = -1; /* shared with nobody */
	if (kmem_sys.params.few_slabs)
		s->sheaf_cap = 0; /* few are made */
	for (int node = 0; node < MM_MAX_NODES; node++) {
		if (NODE_DATA(node) && boot_cache_node(s, node))
			return -ENOMEM;
	}
	return cache_publish(s);
}

/* What stands in for CPU parts and caches that there are not. */
static void none_init(void)
{
	struct kmem_cache_cpu *c = &kmem_sys.cpu_none;
	struct kmem_cache *s = &kmem_sys.none;

	c->top = SHEAF_LOCKED;
	c->mark = SLAB_MARK_NONE;
	c->nid = -1;
	s->name = "none";
	s->refcount = -1;
	for (int cpu = 0; cpu <= MM_NR_CPUS; cpu++)
		s->cpu[cpu] = c;
	for (u32 i = 0; i < KMEM_MAX_CACHES; i++)
		kmem_sys.hot.cache_of[i] = s;
}

/* The fast paths look at nothing else to know that they may not. */
static void gates_init(void)
{
	const u32 why = 1u << WATCH_FAIL | 1u << WATCH_TRACE;
	const struct base_gate gates[] = {
		{&kmem_sys.hot.gfp_slow.all, GFP_SLAB_SLOW, UINT32_MAX, why},
		{&kmem_sys.hot.pfn_end.all, phys_sys.memmap_frames, 0, why},
		{&kmem_sys.hot.kmalloc_end.all, KMALLOC_MAX_CACHE + 1, 0, why},
		{&kmem_sys.hot.check_frees.all,
		 kmem_sys.params.freelist_hardened || nr_memory_nodes() > 1, 1,
		 why},
	};

	MM_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
			 "a request is tested against the low half");
	for (size_t i = 0; i < ARRAY_SIZE(gates); i++)
		base_gate_add(&gates[i]);
}

/* Bytes of a CPU's part with its array. */
static u32 part_bytes(void)
{
	u32 most = kmem_sys.params.array_most;

	return (u32)(sizeof(struct kmem_cache_cpu) +
		     (most ? most : SHEAF_CAP_MAX) * sizeof(void *));
}

/* Bytes of a cache's descriptor, with what stands behind it. */
static u32 descriptor_bytes(void)
{
	return kmem_sys.params.few_slabs
		       ? (u32)offsetof(struct kmem_cache_whole, part) +
				 part_bytes()
		       : (u32)sizeof(struct kmem_cache);
}

static int part_cache_init(void)
{
	u32 part = part_bytes();
	/* Behind gates it also holds a cache's parts by CPU (slab_memcg.c). */
	u32 places = (u32)(port_nr_cpus() * (int)sizeof(void *));
	struct kmem_cache *s =
		kmem_cache_create("kmem_cache_cpu", max(part, places),
				  MM_CACHELINE, SLAB_NO_MERGE, NULL);

	if (!s)
		return -ENOMEM;
	/* No CPU has a part of the cache of parts. */
	s->sheaf_cap = 0;
	kmem_sys.part_cache = s;
	return 0;
}

/* Frames of S's slabs, where each has one of its two orders: those made when
 * memory was short are known by their fewer objects. */
static u64 cache_frames(const struct kmem_cache *s)
{
	const struct slab_layout *l = &s->layout;
	u64 slabs = cache_slabs(s), objects = 0, small = 0;

	for (int node = 0; node < MM_MAX_NODES; node++)
		if (s->node[node])
			objects += READ_ONCE(s->node[node]->nr_objects);
	if (l->objects > l->min_objects)
		small = (slabs * l->objects - objects) /
			(l->objects - l->min_objects);
	return ((slabs - small) << l->order) + (small << l->min_order);
}

u64 kmem_part_frames(void)
{
	const struct kmem_cache *s = kmem_sys.part_cache;
	const struct kmem_cache *b = kmem_sys.barn_cache;

	return READ_ONCE(kmem_sys.nr_depot) + (s ? cache_frames(s) : 0) +
	       (b ? cache_frames(b) : 0);
}

static int params_init(const struct slab_boot_params *p)
{
	if (!p)
		return 0;
	kmem_sys.params = *p;
	if (p->slub_max_order > SLUB_LIMIT_ORDER ||
	    p->slub_min_order > SLUB_LIMIT_ORDER) {
		pr_err("slab: slub_max_order and slub_min_order are at most %u",
		       SLUB_LIMIT_ORDER);
		return -EINVAL;
	}
	if (p->array_most > SHEAF_CAP_MAX) {
		pr_err("slab: an array has at most %u places", SHEAF_CAP_MAX);
		return -EINVAL;
	}
	return p->slub_debug ? slub_debug_parse(p->slub_debug) : 0;
}

int kmem_init(const struct slab_boot_params *params)
{
	int err;

	MM_STATIC_ASSERT(sizeof(struct kmem_cache) <= KMALLOC_MAX_CACHE,
			 "a cache's descriptor fits a slab object");
	spin_lock_init(&kmem_sys.caches_lock, LOCK_CLASS_SLAB_CACHES);
	none_init();
	shrinker_init();
	err = params_init(params);
	gates_init();
	if (!err)
		err = boot_cache_init(&kmem_sys.boot_node, "kmem_cache_node",
				      sizeof(struct kmem_cache_node));
	if (!err)
		err = boot_cache_init(&kmem_sys.boot_cache, "kmem_cache",
				      descriptor_bytes());
	if (!err && !kmem_sys.params.no_kmalloc)
		err = kmalloc_init();
	if (!err)
		err = part_cache_init();
	/* Its shrinker is kmalloc's user. */
	if (!err && !kmem_sys.params.no_kmalloc)
		err = barn_init();
	if (err)
		return err;
	kmem_sys.hotplug.call = memory_changes;
	register_memory_notifier(&kmem_sys.hotplug);
	return 0;
}
