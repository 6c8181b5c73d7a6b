/* SPDX-License-Identifier: MIT */
/*
 * slab_stat.c - counting and checking what a cache has.
 *
 * Nothing is counted at allocation or free: that would cost more than they
 * do. Objects in use are all objects less those found free. Theory: slab.c.
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "kmem/slab_priv.h"
#include "phys/phys.h"

/* ---- counting
 * ------------------------------------------------------------------------------
 */

static u64 free_in(const struct page *slab)
{
	union slab_word w = slab_word(slab);

	return (u64)(w.objects - w.inuse);
}

static void count_cpu(struct kmem_cache_cpu *c, struct slab_count *n,
		      u64 *nr_free)
{
	s32 top = sheaf_top(READ_ONCE(c->top));
	unsigned long flags;

	if (c == &kmem_sys.cpu_none)
		return;
	n->in_arrays += top > 0 ? (u64)top : 0;
	spin_lock_irqsave(&c->lock, flags);
	*nr_free += c->nr_free + c->fresh;
	if (c->slab) {
		*nr_free += free_in(c->slab);
		n->cpu_slabs++;
	}
	for (u32 at = c->partial; at; at = pfn_to_page(at)->next) {
		*nr_free += free_in(pfn_to_page(at));
		n->cpu_slabs++;
	}
	spin_unlock_irqrestore(&c->lock, flags);
}

static void count_node(struct kmem_cache_node *n, struct slab_count *count,
		       u64 *nr_free)
{
	unsigned long flags;

	count->slabs += READ_ONCE(n->nr_slabs);
	count->objects += READ_ONCE(n->nr_objects);
	count->in_arrays += barn_count(n);
	spin_lock_irqsave(&n->list_lock, flags);
	count->partial += n->partial.count;
	for (struct page *p = page_list_first(&n->partial); p;
	     p = page_list_next(p))
		*nr_free += free_in(p);
	spin_unlock_irqrestore(&n->list_lock, flags);
}

void slab_counts(struct kmem_cache *s, struct slab_count *out)
{
	struct slab_count n = {0};
	u64 nr_free = 0;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		count_cpu(cache_part(s, (u32)cpu), &n, &nr_free);
	for (int node = 0; node < MM_MAX_NODES; node++) {
		struct kmem_cache_node *kn = smp_load_acquire(&s->node[node]);

		if (kn)
			count_node(kn, &n, &nr_free);
	}
	nr_free += n.in_arrays;
	n.active = n.objects - min(nr_free, n.objects);
	*out = n;
}

u64 kmem_cache_active(struct kmem_cache *s)
{
	struct slab_count n;

	slab_counts(s, &n);
	return n.active;
}

u32 kmem_cache_size(const struct kmem_cache *s)
{
	return READ_ONCE(s->object_size);
}

/* ---- checking
 * ------------------------------------------------------------------------------
 */

/* SL-5: nobody pays for OBJ of SLAB, which is free. */
static void check_unpaid(const struct kmem_cache *s, const struct page *slab,
			 const void *obj)
{
	struct obj_cgroup **payers = slab_payers(slab);

	mm_verify(!payers || !payers[slab_object_index(s, slab, obj)]);
}

/* SL-2 and the marks of one slab. */
static void check_slab(const struct kmem_cache *s, const struct page *slab,
		       bool frozen)
{
	union slab_word w = slab_word(slab);
	u32 nr_free = 0;
	void *obj;

	mm_verify(PageSlab(slab) && slab_cache_id(slab) == s->id);
	mm_verify(!!(w.flags & SLAB_FROZEN) == frozen);
	mm_verify(!(w.flags & SLAB_QUARANTINED));
	for (u64 i = 0; i < compound_nr(slab); i++)
		mm_verify(frame_of_cache(slab + i, s));
	for (obj = slab_at(slab, w.head); obj; nr_free++) {
		mm_verify(slab_has_object(s, slab, obj));
		mm_verify(nr_free < w.objects);
		check_unpaid(s, slab, obj);
		mm_verify(follow_link(s, slab, obj, &obj));
	}
	mm_verify(nr_free + w.inuse == w.objects);
	mm_verify(!slab_payers(slab) || s->parts || !s->sheaf_cap);
}

static void check_list(const struct kmem_cache *s, const struct page_list *list,
		       bool full)
{
	u64 n = 0;

	for (struct page *p = page_list_first(list); p;
	     p = page_list_next(p), n++) {
		mm_verify((slab_word(p).head == 0) == full);
		check_slab(s, p, false);
	}
	mm_verify(n == list->count);
}

/* SL-3: an array's objects are whole and of this cache and node. */
static void check_array(const struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	s32 top;

	port_pin();
	top = sheaf_take(c);
	if (top >= 0) {
		mm_verify(top <= c->cap);
		for (s32 i = 0; i < top; i++) {
			void *obj = sheaf_slots(c)[i];
			struct page *page = view_to_page(obj);

			mm_verify(frame_mark(page) == c->mark);
			mm_verify(slab_has_object(s, compound_head(page), obj));
			check_unpaid(s, compound_head(page), obj);
		}
		sheaf_give(c, top);
	}
	port_unpin();
}

static void check_cpu(const struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	u32 nr_free = 0, nr_partial = 0;
	unsigned long flags;
	void *obj;

	check_array(s, c);
	spin_lock_irqsave(&c->lock, flags);
	mm_verify(c->slab || !c->freelist);
	for (obj = c->freelist; obj; nr_free++) {
		mm_verify(slab_has_object(s, c->slab, obj));
		mm_verify(nr_free < slab_word(c->slab).objects);
		mm_verify(follow_link(s, c->slab, obj, &obj));
	}
	mm_verify(nr_free == c->nr_free);
	mm_verify(!c->fresh ||
		  (c->slab && c->fresh + nr_free <= slab_word(c->slab).inuse));
	if (c->slab)
		check_slab(s, c->slab, true);
	for (u32 at = c->partial; at; at = pfn_to_page(at)->next) {
		mm_verify(slab_word(pfn_to_page(at)).head);
		check_slab(s, pfn_to_page(at), true);
		nr_partial++;
	}
	mm_verify(nr_partial == c->nr_partial);
	spin_unlock_irqrestore(&c->lock, flags);
}

void slab_check(struct kmem_cache *s)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct kmem_cache_cpu *c = cache_part(s, (u32)cpu);

		if (c != &kmem_sys.cpu_none)
			check_cpu(s, c);
	}
	for (int node = 0; node < MM_MAX_NODES; node++) {
		struct kmem_cache_node *n = smp_load_acquire(&s->node[node]);
		unsigned long flags;

		if (!n)
			continue;
		barn_check(s, n, node);
		spin_lock_irqsave(&n->list_lock, flags);
		check_list(s, &n->partial, false);
		check_list(s, &n->full, true);
		mm_verify(n->partial.count + n->full.count <=
			  READ_ONCE(n->nr_slabs));
		spin_unlock_irqrestore(&n->list_lock, flags);
	}
}

/* ---- searching
 * -----------------------------------------------------------------------------
 */

void slab_for_each_of(struct kmem_cache *s,
		      void (*fn)(struct kmem_cache *s, struct page *slab,
				 void *arg),
		      void *arg)
{
	u64 end = phys_sys.memmap_frames;

	for (u64 pfn = 0; pfn < end; pfn++) {
		struct page *page = pfn_to_page(pfn);

		if (!pfn_valid(pfn) || !PageSlab(page) ||
		    !frame_of_cache(page, s))
			continue;
		fn(s, page, arg);
		pfn += compound_nr(page) - 1;
	}
}
