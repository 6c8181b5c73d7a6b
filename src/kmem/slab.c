/* SPDX-License-Identifier: MIT */
/*
 * slab.c - the slab allocator.
 *
 * 1. Purpose. Small objects of one kind from whole frames, with no memory
 *    taken from the objects for bookkeeping.
 *
 * 2. Structures. A slab is a block of frames cut into equal objects. Free
 *    objects are linked through their first word. The slab's state stands in
 *    the head page: word = free list head (offset of the object in the slab,
 *    plus one, 32 bits), objects in use (16 bits), frozen (1 bit); index =
 *    cache id. A slab is in one of three places:
 *
 *      frozen   it is some CPU's slab; that CPU owns its free objects
 *      partial  on its node's partial list
 *      full     on no list; the next free brings it to the partial list
 *
 * 3. Invariants.
 *    SL-1  A slab is on the partial list exactly if it is neither frozen nor
 *          full nor being freed.
 *    SL-2  in use + length of the page's free list = objects, for a slab that
 *          is not frozen.
 *    SL-3  Objects on a CPU's free list count as in use in the slab's word.
 *
 * 4. Locking. A CPU's slab: interrupts off on that CPU. The slab word and the
 *    partial list: the node's list_lock. Nothing is held while frames are
 *    allocated.
 *
 * 5. Life of an object. alloc: CPU free list; else take the frozen slab's
 *    page free list; else a partial slab; else a new one. free: to the CPU
 *    list if it is of the CPU's slab; else to the slab's page list.
 *
 * 6. Failure. Only a new slab allocates; NULL goes up, nothing changes.
 *
 * 7. Rejected. Per-object headers; per-CPU queues of objects of mixed slabs
 *    (they scatter, and hold on to memory without bound).
 *
 * References: Bonwick 1994; Bonwick and Adams, "Magazines and Vmem" (2001).
 */
#include "kmem/slab.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/bitops.h"
#include "base/fail.h"
#include "base/printk.h"
#include "base/string.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

struct kmem_state kmem_sys;

void kmem_reset(void)
{
	mm_memset(&kmem_sys, 0, sizeof(kmem_sys));
}

/* ---- layout ---------------------------------------------------------------
 */

struct slab_layout slab_layout_compute(u32 size, u32 align)
{
	struct slab_layout l = {.size = ALIGN(max(size, 8u), max(align, 8u))};

	for (l.order = 0; l.order < 3; l.order++) {
		u32 bytes = (u32)PAGE_SIZE << l.order;
		u32 waste = bytes % l.size;

		if (bytes / l.size >= 8 ||
		    (bytes >= l.size && waste <= bytes / 16))
			break;
	}
	l.objects = ((u32)PAGE_SIZE << l.order) / l.size;
	return l;
}

/* ---- the slab word
 * ----------------------------------------------------------- */

struct slab_word {
	u32 head; /* offset of the first free object, plus one; 0: none */
	u16 inuse;
	bool frozen;
};

static struct slab_word word_get(const struct page *slab)
{
	u64 w = page_mapping_word(slab);

	return (struct slab_word){(u32)w, (u16)(w >> 32 & 0xffff),
				  (w >> 48 & 1) != 0};
}

static void word_set(struct page *slab, struct slab_word w)
{
	set_page_mapping_word(slab, (u64)w.head | (u64)w.inuse << 32 |
					    (u64)w.frozen << 48);
}

static void *slab_obj(const struct page *slab, u32 head)
{
	return head ? (char *)page_view(slab) + head - 1 : NULL;
}

static u32 slab_head_of(const struct page *slab, const void *obj)
{
	if (!obj)
		return 0;
	return (u32)((const char *)obj - (const char *)page_view(slab)) + 1;
}

/* The link of a free object: in it, or behind it where a constructor's work
 * must last. */
static void *next_free(const struct kmem_cache *s, const void *obj)
{
	void *next;

	mm_memcpy(&next, (const char *)obj + s->link_offset, sizeof(next));
	return next;
}

static void set_next_free(const struct kmem_cache *s, void *obj, void *next)
{
	mm_memcpy((char *)obj + s->link_offset, &next, sizeof(next));
}

static struct kmem_cache_node *slab_node(const struct kmem_cache *s,
					 const struct page *slab)
{
	return smp_load_acquire(&s->node[page_to_nid(slab)]);
}

static void slab_account(const struct kmem_cache *s, struct page *slab,
			 int sign)
{
	int item = s->flags & SLAB_RECLAIM_ACCOUNT ? NR_SLAB_RECLAIMABLE_B
						   : NR_SLAB_UNRECLAIMABLE_B;
	long bytes = (long)(PAGE_SIZE << s->layout.order);

	mod_node_page_state(page_zone(slab)->zone_pgdat, item, sign * bytes);
}

/* How long to wait for frames that must come. */
#define SLAB_RETRY_NS 10000000ul

/* ---- making and freeing slabs
 * ------------------------------------------------- */

/*
 * Frames for a slab. Who must have an object waits here: the page allocator
 * complains, with reason, if it is asked for large blocks without fail.
 */
static struct page *slab_frames(const struct kmem_cache *s, gfp_t gfp)
{
	const gfp_t nofail = __GFP_NOFAIL | __GFP_DIRECT_RECLAIM;
	bool wait = s->layout.order > 1 && (gfp & nofail) == nofail;
	struct page *page;

	if (wait)
		gfp = (gfp & ~__GFP_NOFAIL) | __GFP_NOWARN | __GFP_SKIP_FAIL;
	for (;;) {
		page = alloc_pages(gfp | __GFP_COMP, s->layout.order);
		if (page || !wait)
			return page;
		port_park(SLAB_RETRY_NS);
	}
}

/* A new slab, all objects free, frozen for the caller. */
static struct page *slab_new(struct kmem_cache *s, gfp_t gfp)
{
	gfp_t flags = gfp & ~(__GFP_ZERO | __GFP_MOVABLE | __GFP_HIGHMEM);
	struct page *slab;
	char *base;
	void *next = NULL;

	if (s->flags & SLAB_RECLAIM_ACCOUNT)
		flags |= __GFP_RECLAIMABLE;
	slab = slab_frames(s, flags);
	if (!slab)
		return NULL;
	SetPageSlab(slab);
	set_page_index(slab, s->id);
	base = page_view(slab);
	for (u32 i = s->layout.objects; i-- > 0;) {
		void *obj = base + (size_t)i * s->layout.size;

		if (s->ctor)
			s->ctor(obj);
		set_next_free(s, obj, next);
		next = obj;
	}
	word_set(slab, (struct slab_word){1, 0, true});
	slab_account(s, slab, 1);
	__atomic_fetch_add(&slab_node(s, slab)->nr_slabs, 1, __ATOMIC_RELAXED);
	return slab;
}

static void slab_release(struct kmem_cache *s, struct page *slab)
{
	mm_verify(PageSlab(slab));
	mm_verify(word_get(slab).inuse == 0);
	slab_account(s, slab, -1);
	__atomic_fetch_sub(&slab_node(s, slab)->nr_slabs, 1, __ATOMIC_RELAXED);
	ClearPageSlab(slab);
	set_page_mapping_word(slab, 0);
	__free_pages(slab, s->layout.order);
}

/* ---- a CPU's slab
 * ---------------------------------------------------------------- */

/*
 * Give the CPU's slab back to its node: free objects of the CPU list go to
 * the page's list. Interrupts are off. Returns a slab to be freed by the
 * caller with interrupts on, or NULL (always, unless MAY_RELEASE).
 */
static struct page *cpu_slab_deactivate(struct kmem_cache *s,
					struct kmem_cache_cpu *c,
					bool may_release)
{
	struct page *slab = c->page;
	struct kmem_cache_node *n;
	struct slab_word w;
	bool empty = false;

	if (!slab)
		return NULL;
	n = slab_node(s, slab);
	spin_lock(&n->list_lock);
	w = word_get(slab);
	while (c->freelist) {
		void *obj = c->freelist;

		c->freelist = next_free(s, obj);
		set_next_free(s, obj, slab_obj(slab, w.head));
		w.head = slab_head_of(slab, obj);
		mm_verify(w.inuse > 0);
		w.inuse--;
	}
	w.frozen = false;
	word_set(slab, w);
	empty = may_release && w.inuse == 0 &&
		n->partial.count >= s->min_partial;
	if (!empty && w.inuse < s->layout.objects)
		page_list_add_tail(&n->partial, slab);
	spin_unlock(&n->list_lock);
	c->page = NULL;
	return empty ? slab : NULL;
}

/* Move the page's free objects to the CPU. The slab is frozen. */
static void cpu_slab_take_list(struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	struct kmem_cache_node *n = slab_node(s, c->page);
	struct slab_word w;

	mm_assert(c->freelist == NULL);
	spin_lock(&n->list_lock);
	w = word_get(c->page);
	mm_verify(w.frozen);
	if (w.head) {
		c->freelist = slab_obj(c->page, w.head);
		w.head = 0;
		w.inuse = (u16)s->layout.objects;
		word_set(c->page, w);
	}
	spin_unlock(&n->list_lock);
}

/* Freeze a partial slab of NODE for the CPU. */
static bool cpu_slab_from_partial(struct kmem_cache *s,
				  struct kmem_cache_cpu *c, int node)
{
	struct kmem_cache_node *n = smp_load_acquire(&s->node[node]);
	struct slab_word w;
	struct page *slab;

	if (!n || page_list_empty(&n->partial))
		return false;
	spin_lock(&n->list_lock);
	slab = page_list_pop(&n->partial);
	if (slab) {
		w = word_get(slab);
		mm_verify(!w.frozen && w.head);
		w.frozen = true;
		word_set(slab, w);
		c->page = slab;
	}
	spin_unlock(&n->list_lock);
	return slab != NULL;
}

/* Any node's partial slab, the own node's first. Interrupts off. */
static bool cpu_slab_refill(struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	int home = port_cpu_node(port_cpu());

	if (c->page) {
		cpu_slab_take_list(s, c);
		if (c->freelist)
			return true;
		cpu_slab_deactivate(s, c, false);
	}
	if (!cpu_slab_from_partial(s, c, home)) {
		int node = 0;

		while (node < MM_MAX_NODES &&
		       !cpu_slab_from_partial(s, c, node))
			node++;
		if (node == MM_MAX_NODES)
			return false;
	}
	cpu_slab_take_list(s, c);
	return c->freelist != NULL;
}

/* ---- allocation and freeing
 * ---------------------------------------------------------- */

static void *cpu_slab_pop(const struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	void *obj = c->freelist;

	c->freelist = next_free(s, obj);
	return obj;
}

/*
 * No object at hand: make a slab with interrupts on, then install it on
 * whatever CPU this is by then (its slab, if it got one meanwhile, goes back).
 */
static void *slab_alloc_slow(struct kmem_cache *s, gfp_t gfp)
{
	struct page *slab = slab_new(s, gfp), *spare;
	struct kmem_cache_cpu *c;
	unsigned long flags;
	void *obj;

	if (!slab)
		return NULL;
	local_irq_save(flags);
	c = &s->cpu[port_cpu()];
	spare = cpu_slab_deactivate(s, c, true);
	c->page = slab;
	cpu_slab_take_list(s, c);
	obj = cpu_slab_pop(s, c);
	local_irq_restore(flags);
	if (spare)
		slab_release(s, spare);
	return obj;
}

void *kmem_cache_alloc(struct kmem_cache *s, gfp_t gfp)
{
	struct kmem_cache_cpu *c;
	unsigned long flags;
	void *obj = NULL;

	if (!(gfp & (__GFP_NOFAIL | __GFP_SKIP_FAIL)) && fail_should(FAIL_SLAB))
		return NULL;
	local_irq_save(flags);
	c = &s->cpu[port_cpu()];
	if (likely(c->freelist) || cpu_slab_refill(s, c))
		obj = cpu_slab_pop(s, c);
	local_irq_restore(flags);
	if (!obj)
		obj = slab_alloc_slow(s, gfp);
	if (!obj)
		return NULL;
	__atomic_fetch_add(&s->active, 1, __ATOMIC_RELAXED);
	if (gfp & __GFP_ZERO)
		mm_memset(obj, 0, s->object_size);
	return obj;
}

/* OBJ's slab is not this CPU's. Returns a slab that became empty. */
static struct page *slab_free_remote(struct kmem_cache *s, struct page *slab,
				     void *obj)
{
	struct kmem_cache_node *n = slab_node(s, slab);
	struct slab_word w;
	bool was_full, release = false;

	spin_lock(&n->list_lock);
	w = word_get(slab);
	was_full = w.inuse == s->layout.objects && !w.head;
	set_next_free(s, obj, slab_obj(slab, w.head));
	w.head = slab_head_of(slab, obj);
	mm_verify(w.inuse > 0);
	w.inuse--;
	word_set(slab, w);
	if (!w.frozen) {
		if (was_full)
			page_list_add_tail(&n->partial, slab);
		release = w.inuse == 0 && !port_in_irq() &&
			  n->partial.count > s->min_partial;
		if (release)
			page_list_del(&n->partial, slab);
	}
	spin_unlock(&n->list_lock);
	return release ? slab : NULL;
}

static void verify_object(const struct kmem_cache *s, const struct page *slab,
			  const void *obj)
{
	mm_verify(PageSlab(slab));
	mm_verify(page_index(slab) == s->id);
	mm_verify((u32)((const char *)obj - (const char *)page_view(slab)) %
			  s->layout.size ==
		  0);
}

void kmem_cache_free(struct kmem_cache *s, void *obj)
{
	struct page *slab = compound_head(view_to_page(obj));
	struct page *release = NULL;
	struct kmem_cache_cpu *c;
	unsigned long flags;

	verify_object(s, slab, obj);
	__atomic_fetch_sub(&s->active, 1, __ATOMIC_RELAXED);
	local_irq_save(flags);
	c = &s->cpu[port_cpu()];
	if (likely(c->page == slab)) {
		mm_verify(obj != c->freelist);
		set_next_free(s, obj, c->freelist);
		c->freelist = obj;
	} else {
		release = slab_free_remote(s, slab, obj);
	}
	local_irq_restore(flags);
	if (release)
		slab_release(s, release);
}

/* ---- checks
 * ------------------------------------------------------------------------------
 */

static void check_slab(const struct kmem_cache *s, const struct page *slab)
{
	struct slab_word w = word_get(slab);
	u32 free_objects = 0;

	mm_verify(PageSlab(slab) && page_index(slab) == s->id);
	mm_verify(!w.frozen);
	for (void *obj = slab_obj(slab, w.head); obj; obj = next_free(s, obj)) {
		verify_object(s, slab, obj);
		free_objects++;
		mm_verify(free_objects <= s->layout.objects);
	}
	mm_verify(free_objects + w.inuse == s->layout.objects);
}

void slab_check(struct kmem_cache *s)
{
	for (int node = 0; node < MM_MAX_NODES; node++) {
		struct kmem_cache_node *n = s->node[node];
		unsigned long flags;

		if (!n)
			continue;
		spin_lock_irqsave(&n->list_lock, flags);
		for (struct page *p = page_list_first(&n->partial); p;
		     p = page_list_next(p))
			check_slab(s, p);
		spin_unlock_irqrestore(&n->list_lock, flags);
	}
}

void slab_drain(struct kmem_cache *s)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct page *slab;
		unsigned long flags;

		local_irq_save(flags);
		slab = cpu_slab_deactivate(s, &s->cpu[cpu], true);

		local_irq_restore(flags);
		if (slab)
			slab_release(s, slab);
	}
}

/* Empty partial slabs of one node, taken off the list. */
static void node_take_empty(struct kmem_cache_node *n, struct page_list *out)
{
	struct page *p, *next;
	unsigned long flags;

	spin_lock_irqsave(&n->list_lock, flags);
	for (p = page_list_first(&n->partial); p; p = next) {
		next = page_list_next(p);
		if (word_get(p).inuse)
			continue;
		page_list_del(&n->partial, p);
		page_list_add(out, p);
	}
	spin_unlock_irqrestore(&n->list_lock, flags);
}

u64 kmem_cache_shrink(struct kmem_cache *s)
{
	u64 frames = 0;

	for (int node = 0; node < MM_MAX_NODES; node++) {
		struct page_list empty;
		struct page *p;

		if (!s->node[node])
			continue;
		page_list_init(&empty);
		node_take_empty(s->node[node], &empty);
		while ((p = page_list_pop(&empty))) {
			slab_release(s, p);
			frames += 1u << s->layout.order;
		}
	}
	return frames;
}

u64 kmem_cache_active(const struct kmem_cache *s)
{
	return READ_ONCE(s->active);
}

u32 kmem_cache_size(const struct kmem_cache *s)
{
	return s->object_size;
}

void slab_for_each(void (*fn)(struct kmem_cache *s, void *arg), void *arg)
{
	spin_lock(&kmem_sys.caches_lock);
	for (int i = 0; i < KMEM_MAX_CACHES; i++)
		if (kmem_sys.caches[i])
			fn(kmem_sys.caches[i], arg);
	spin_unlock(&kmem_sys.caches_lock);
}
