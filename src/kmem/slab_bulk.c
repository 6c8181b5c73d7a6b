/* SPDX-License-Identifier: MIT */
/*
 * slab_bulk.c - many objects at once: what the array has, then whole lists of
 * slabs; and back, slab by slab, with one exchange for each. Theory: slab.c.
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/system.h"
#include "base/trace_ring.h"
#include "kmem/slab_priv.h"
#include "phys/phys.h"

#define BULK_CHUNK 32u
#define BARN_ASK   ((size_t)UINT16_MAX)

/* Up to NR objects of this CPU's array into P. */
static size_t take_from_array(struct kmem_cache_cpu *c, size_t nr, void **p)
{
	size_t n = 0;
	s32 top;

	port_pin();
	top = sheaf_take(c);
	if (top >= 0) {
		n = min(nr, (size_t)top);
		top -= (s32)n;
		mm_memcpy(p, sheaf_slots(c) + top, n * sizeof(*p));
		sheaf_give(c, top);
	}
	port_unpin();
	return n;
}

/* Fast ways apply: as many of NR as can be had without trying again. */
static size_t bulk_some(struct kmem_cache *s, const struct slab_request *rq,
			size_t nr, void **p)
{
	bool past = kmem_sys.params.bulk_only;
	struct kmem_cache_cpu *c = past ? cpu_part(s) : this_cache_part(s);
	size_t n = 0;

	if (c == &kmem_sys.cpu_none || base_steered() || slab_is_debug(s))
		return 0;
	if (!past || sheaf_top(READ_ONCE(c->top)) > 0)
		n = take_from_array(c, nr, p);
	if (n < nr)
		n += barn_take(s, c, p + n, (u32)min(nr - n, BARN_ASK));
	while (n < nr) {
		u32 want = (u32)min(nr - n, (size_t)UINT32_MAX / 2);
		u32 got = cpu_alloc_objects(s, c, rq, p + n, want);

		if (!got)
			break;
		n += got;
	}
	return n;
}

/* NR objects into P, or none. */
static size_t bulk_all(struct kmem_cache *s, const struct slab_request *rq,
		       size_t nr, void **p)
{
	size_t n = bulk_some(s, rq, nr, p);
	gfp_t gfp = rq->gfp;

	if (gfp & __GFP_ZERO) {
		mm_assert(!s->ctor);
		for (size_t i = 0; i < n; i++)
			mm_memset(p[i], 0, s->object_size);
	}
	for (size_t i = 0; i < n; i++)
		trace_emit(KMEM_CACHE_ALLOC, rq->caller, (u64)(uintptr_t)p[i],
			   s->object_size, s->layout.size, gfp, ~0UL,
			   (gfp & __GFP_ACCOUNT) != 0);
	for (; n < nr; n++) {
		p[n] = slab_alloc(s, rq);
		if (!p[n]) {
			kmem_cache_free_bulk(s, n, p);
			return 0;
		}
	}
	return nr;
}

/* The same where somebody may have to pay. */
static MM_NOINLINE size_t bulk_paid(struct kmem_cache *s,
				    struct slab_request *rq, size_t nr,
				    void **p)
{
	const struct slab_account_ops *ops = slab_account_ops();
	struct obj_cgroup *payer;
	size_t got;

	if (!nr || ops->charge(s, rq->gfp, nr, &payer))
		return 0;
	rq->paid = true;
	got = bulk_all(s, rq, nr, p);
	if (payer && got)
		ops->assign(s, payer, rq->gfp, nr, p);
	else if (payer)
		ops->cancel(s, payer, nr);
	return got;
}

size_t kmem_cache_alloc_bulk(struct kmem_cache *s, gfp_t gfp, size_t nr,
			     void **p)
{
	struct slab_request rq = {.gfp = gfp, .nid = -1, .caller = CALLER()};

	if (unlikely(slab_account_ops()))
		return bulk_paid(s, &rq, nr, p);
	return bulk_all(s, &rq, nr, p);
}

u32 slab_alloc_some(struct kmem_cache *s, gfp_t gfp, u32 nr, void **p)
{
	struct slab_request rq = {.gfp = gfp, .nid = -1, .caller = CALLER()};
	struct kmem_cache_cpu *c = cpu_part(s);

	if (c != &kmem_sys.cpu_none && !base_steered() && !slab_is_debug(s))
		return cpu_alloc_objects(s, c, &rq, p, nr);
	*p = slab_alloc(s, &rq);
	return *p != NULL;
}

u32 slab_take_some(struct kmem_cache *s, u32 nr, void **p)
{
	struct kmem_cache_cpu *c = cpu_part(s);

	if (c == &kmem_sys.cpu_none || base_steered() || slab_is_debug(s))
		return 0;
	return cpu_take_objects(s, c, p, nr);
}

bool slab_has_free(struct kmem_cache *s)
{
	struct kmem_cache_cpu *c = this_cache_part(s);
	const struct kmem_cache_node *n = smp_load_acquire(&s->node[c->nid]);
	unsigned long flags;
	bool has;

	if (n && !page_list_empty(&n->partial))
		return true;
	if (c == &kmem_sys.cpu_none)
		return false;
	spin_lock_irqsave(&c->lock, flags);
	has = c->freelist || c->fresh || c->partial ||
	      (c->slab && slab_word(c->slab).head);
	spin_unlock_irqrestore(&c->lock, flags);
	return has;
}

/* May objects of S go to their slabs unseen: all of P[0 .. N) are of S? */
static bool all_of(struct kmem_cache *s, u32 n, void **p)
{
	for (u32 i = 0; i < n; i++) {
		u64 pfn = object_pfn(p[i]);
		struct page *page;

		if (pfn >= phys_sys.memmap_frames)
			return false;
		page = pfn_to_page(pfn);
		if (!frame_of_cache(page, s) ||
		    !slab_has_object(s, compound_head(page), p[i]))
			return false;
	}
	return true;
}

static void free_one(struct kmem_cache *s, void *obj)
{
	if (s)
		kmem_cache_free(s, obj);
	else
		kfree(obj);
}

static void tell_freed(const struct kmem_cache *s, u32 n, void *const *p,
		       u64 caller)
{
	for (u32 i = 0; i < n; i++)
		trace_emit(KMEM_CACHE_FREE, caller, (u64)(uintptr_t)p[i],
			   TRACE_TEXT(s->name));
}

/* Some of a bulk: to the barn, else to their slabs, else one by one. */
static void free_chunk(struct kmem_cache *s, u32 n, void **p, u64 caller)
{
	struct kmem_cache_cpu *c = this_cache_part(s);
	void *buf[BULK_CHUNK];

	if (!kmem_sys.params.bulk_only && c != &kmem_sys.cpu_none &&
	    barn_put(s, c, p, n)) {
		tell_freed(s, n, p, caller);
		return;
	}
	if (!kmem_sys.params.bulk_only && !all_of(s, n, p)) {
		for (u32 i = 0; i < n; i++)
			free_one(s, p[i]);
		return;
	}
	tell_freed(s, n, p, caller);
	mm_memcpy(buf, p, n * sizeof(*buf));
	slab_put_objects(s, buf, n);
}

void kmem_cache_free_bulk(struct kmem_cache *s, size_t nr, void **p)
{
	/* A few are better kept at hand, unless callers do that. */
	size_t few = kmem_sys.params.bulk_only ? 1 : BULK_CHUNK;

	if (!s || nr < few || slab_is_debug(s) || base_steered() ||
	    (KMEM_ACCOUNT && READ_ONCE(s->parts))) {
		for (size_t i = 0; i < nr; i++)
			free_one(s, p[i]);
		return;
	}
	for (size_t at = 0; at < nr; at += BULK_CHUNK)
		free_chunk(s, (u32)min(nr - at, (size_t)BULK_CHUNK), p + at,
			   CALLER());
}
