/* SPDX-License-Identifier: MIT */
/*
 * slab.c - the slab allocator: objects in and out.
 *
 * 1. Purpose. Small objects of one kind from whole frames, with no memory
 *    taken from the objects for bookkeeping.
 *
 * 2. Structures. A slab is a block of frames cut into equal objects
 *    (slab_layout.c). Free objects are linked; the head of the list, how many
 *    are in use and whether the slab is frozen stand in one word of the first
 *    frame's descriptor, changed by compare and exchange. Every frame of a
 *    slab carries the cache's mark (slab_priv.h). In front of the slabs each
 *    CPU has, per cache, an array of free objects ("sheaf"):
 *
 *      array    any objects of the CPU's node; taken and put at the top
 *      frozen   the CPU's slab, whose free objects it has to itself, and a
 *               few more to follow it (the CPU's partial list)
 *      partial  on its node's list: not frozen, some object free
 *      full     on no list; the next free brings it to a list
 *
 *    Allocation and freeing are a pop and a push on the array. An empty array
 *    is filled from the node's barn (slab_barn.c) or, half, from the slabs; a
 *    full one is half emptied, the objects that lie longest first, into the
 *    barn while that has room. Debug caches have no arrays and freeze nothing:
 * every object passes the checks under its node's lock (slab_debug.c).
 *
 * 3. Invariants (slab_check).
 *    SL-1  A slab is on its node's partial list exactly if it is not frozen,
 *          has a free object on its list, and is not set aside.
 *    SL-2  in use + length of the slab's list = its objects. Objects of arrays
 *          and of the CPUs' own lists count as in use.
 *    SL-3  A CPU's own list holds objects of its slab alone, nr_free of them;
 *          the slab's last "fresh" objects were never handed out and have no
 *          links yet (bulk_only); an array holds top objects of slabs with
 *          the CPU's mark.
 *    SL-4  Frames that carry a mark are exactly the frames of slabs.
 *
 * 4. Locking. The array: its word, tried by its CPU, waited for by those who
 *    empty it (slab_priv.h). A CPU's slabs: its lock, interrupts off. The
 *    partial list, and leaving or entering it: the node's list_lock, inside
 *    the CPU's. The slab word: nothing; who changes the list that a slab
 *    belongs to holds list_lock while it does. No lock is held while frames
 *    are allocated or freed.
 *
 * 5. A free past the array is one exchange on the slab's word, without any
 *    lock unless the slab was full or becomes empty. A slab that was full is
 *    frozen by that exchange for the CPU that frees, up to cpu_partial; so a
 *    list lock is taken once for several slabs.
 *
 * 6. Failure. Only a new slab allocates; NULL goes up, nothing changes. A
 *    foreign pointer, an object freed twice in a row or a link that leads
 *    outside is reported; the object or slab is left alone for ever, and the
 *    machine goes on.
 *
 * 7. Cost. O(1); see bench/page_alloc. The array costs an exchange and no
 *    lock; it touches neither the object nor the slab.
 *
 * 8. Rejected. Per-object headers. A pair of list and transaction number
 *    changed by a double-word exchange, as SLUB's fast path: it reads the
 *    object at allocation and serves only objects of one slab; the array
 *    needs neither.
 *
 * References: Bonwick 1994; Bonwick and Adams, "Magazines and Vmem" (2001);
 * Linux documentation, mm/slub.
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/fail.h"
#include "base/printk.h"
#include "base/trace_ring.h"
#include "kmem/slab_priv.h"
#include "phys/phys.h"

struct kmem_state kmem_sys;

/* Objects that are moved at once between an array and slabs. */
#define SHEAF_BATCH_MAX 64u
/* Allocations of a cache past the arrays before a CPU gets one. */
#define DIRECT_BEFORE_ARRAYS 16u

void kmem_reset(void)
{
	mm_memset(&kmem_sys, 0, sizeof(kmem_sys));
}

/* ---- a CPU's slabs
 * ------------------------------------------------------------------- */

/* The slab's own list becomes the CPU's. False: it has none. Lock held. */
static bool cpu_take_list(struct kmem_cache_cpu *c)
{
	mm_assert(c->freelist == NULL && c->nr_free == 0);
	c->freelist = slab_take_list(c->slab, &c->nr_free);
	return c->freelist != NULL;
}

static void cpu_set_slab(struct kmem_cache_cpu *c, struct page *slab)
{
	c->slab = slab;
}

static struct page *cpu_pop_partial(struct kmem_cache_cpu *c)
{
	struct page *slab;

	if (!c->partial)
		return NULL;
	slab = pfn_to_page(c->partial);
	c->partial = slab->next;
	slab->next = PFN_NONE;
	c->nr_partial--;
	return slab;
}

static void cpu_push_partial(struct kmem_cache_cpu *c, struct page *slab)
{
	slab->next = c->partial;
	c->partial = (u32)page_to_pfn(slab);
	c->nr_partial++;
}

/* Slabs of the node to follow the current one, to half of what is allowed. */
static void cpu_stock_partial(struct kmem_cache *s, struct kmem_cache_cpu *c,
			      struct kmem_cache_node *n)
{
	while (c->nr_partial < s->cpu_partial / 2) {
		struct page *slab = node_freeze_slab(n);

		if (!slab)
			return;
		cpu_push_partial(c, slab);
	}
}

/* The CPU's list is empty: fill it. False: no slab has a free object. */
static bool cpu_next_slab(struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	struct kmem_cache_node *n = smp_load_acquire(&s->node[c->nid]);
	struct page *slab;

	if (c->slab && (cpu_take_list(c) || c->fresh))
		return true;
	if (c->slab) {
		slab = c->slab;
		cpu_set_slab(c, NULL);
		slab_unfreeze(s, slab, NULL, 0);
	}
	slab = cpu_pop_partial(c);
	if (slab) {
		cpu_set_slab(c, slab);
		/* It was frozen with a free object. */
		mm_verify(cpu_take_list(c));
		return true;
	}
	if (!n || page_list_empty(&n->partial))
		return false;
	slab = node_take_slab(n, &c->freelist, &c->nr_free);
	if (!slab)
		return false;
	cpu_set_slab(c, slab);
	cpu_stock_partial(s, c, n);
	return true;
}

/* The CPU's list ends at AT, whose link is bad: so does the slab's life. */
static void cpu_list_broken(struct kmem_cache *s, struct kmem_cache_cpu *c,
			    const void *at)
{
	slab_broken_link(s, c->slab, at);
	c->freelist = NULL;
	c->nr_free = 0;
	c->fresh = 0;
	cpu_set_slab(c, NULL);
}

/* The next object of C's slab that was never handed out. */
static char *fresh_at(const struct kmem_cache *s,
		      const struct kmem_cache_cpu *c)
{
	u32 index = slab_word(c->slab).objects - c->fresh;

	return slab_base(c->slab) + (size_t)index * s->layout.size;
}

void cpu_link_fresh(struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	for (; c->fresh; c->fresh--) {
		void *obj = fresh_at(s, c);

		set_link(s, obj, c->freelist);
		c->freelist = obj;
		c->nr_free++;
	}
}

/* The same for objects that were never handed out: nothing is touched. */
static u32 cpu_fresh_take(const struct kmem_cache *s, struct kmem_cache_cpu *c,
			  void **buf, u32 n)
{
	char *at = fresh_at(s, c);

	for (; n && c->fresh; at += s->layout.size, c->fresh--)
		buf[--n] = at;
	return n;
}

/*
 * Take objects off the CPU's list into BUF, downwards from N, until one of the
 * two ends. Returns the places left. A link is believed if it leads into the
 * slab.
 */
static u32 cpu_list_take(struct kmem_cache *s, struct kmem_cache_cpu *c,
			 void **buf, u32 n)
{
	const char *base = slab_base(c->slab);
	u64 span = (u64)slab_word(c->slab).objects * s->layout.size;
	void *obj = c->freelist, *next;
	u32 was = n;

	while (n && obj) {
		next = get_link(s, obj);
		if (next && unlikely((u64)((char *)next - base) >= span)) {
			cpu_list_broken(s, c, obj);
			return n;
		}
		buf[--n] = obj;
		obj = next;
	}
	c->freelist = obj;
	c->nr_free -= was - n;
	mm_assert(!c->freelist == !c->nr_free);
	return n;
}

u32 cpu_take_objects(struct kmem_cache *s, struct kmem_cache_cpu *c, void **buf,
		     u32 want)
{
	unsigned long flags;
	u32 n = want;

	mm_assert(want > 0);
	spin_lock_irqsave(&c->lock, flags);
	while (n) {
		if (!c->freelist && !cpu_next_slab(s, c))
			break;
		if (c->freelist)
			n = cpu_list_take(s, c, buf, n);
		else
			n = cpu_fresh_take(s, c, buf, n);
	}
	spin_unlock_irqrestore(&c->lock, flags);
	/* What was had moves to the front, in the same order. */
	if (n && n < want)
		mm_memmove(buf, buf + n, (want - n) * sizeof(*buf));
	return want - n;
}

/* SLAB with FRESH objects that are not linked is C's. Lock held. */
static void cpu_begin_slab(struct kmem_cache_cpu *c, struct page *slab,
			   u32 fresh)
{
	cpu_set_slab(c, slab);
	c->freelist = NULL;
	c->nr_free = 0;
	c->fresh = fresh;
	if (!fresh)
		mm_verify(cpu_take_list(c));
}

/*
 * SLAB, new and frozen, is the CPU's, FRESH of its objects not linked; the one
 * it had goes back. Up to WANT of its objects to BUF at once: others may empty
 * it as soon as the lock is gone.
 */
static u32 cpu_install(struct kmem_cache *s, struct kmem_cache_cpu *c,
		       struct page *slab, u32 fresh, void **buf, u32 want)
{
	struct page *old;
	unsigned long flags;
	u32 nr, left;
	void *list;

	spin_lock_irqsave(&c->lock, flags);
	cpu_link_fresh(s, c);
	old = c->slab;
	list = c->freelist;
	nr = c->nr_free;
	cpu_begin_slab(c, slab, fresh);
	left = fresh ? cpu_fresh_take(s, c, buf, want)
		     : cpu_list_take(s, c, buf, want);
	spin_unlock_irqrestore(&c->lock, flags);
	if (old)
		slab_unfreeze(s, old, list, nr);
	/* What was had moves to the front, in the same order. */
	if (left)
		mm_memmove(buf, buf + left, (want - left) * sizeof(*buf));
	return want - left;
}

/* Objects from any node's slabs, when no frame can be had. */
static u32 take_from_others(struct kmem_cache *s, void **buf)
{
	struct slab_request rq = {.nid = -1, .no_new = true};

	*buf = alloc_direct(s, &rq);
	return *buf != NULL;
}

u32 cpu_alloc_objects(struct kmem_cache *s, struct kmem_cache_cpu *c,
		      const struct slab_request *rq, void **buf, u32 want)
{
	struct page *slab;
	u32 n = cpu_take_objects(s, c, buf, want), fresh = 0;

	if (n)
		return n;
	slab = slab_new(s, rq, &fresh);
	if (!slab)
		return take_from_others(s, buf);
	if (page_to_nid(slab) != c->nid) {
		/* Of another node: nothing for this CPU's array. */
		if (fresh)
			slab_link_objects(s, slab);
		slab_unfreeze(s, slab, NULL, 0);
		return take_from_others(s, buf);
	}
	n = cpu_install(s, c, slab, fresh, buf, want);
	/* None only if the new slab's list was broken by a stray write. */
	return n ? n : take_from_others(s, buf);
}

/* ---- a CPU's part
 * ----------------------------------------------------------------------------
 */

/* Where CPU's part of S is kept. */
static struct kmem_cache_cpu **part_slot(struct kmem_cache *s, int cpu)
{
	struct kmem_cache_cpu **parts = smp_load_acquire(&s->parts);

	return parts ? &parts[cpu] : &s->cpu[cpu];
}

/* A part of S for a CPU of node NID, zeroed: S's own, if nobody has it. */
static struct kmem_cache_cpu *part_alloc(struct kmem_cache *s, int nid)
{
	gfp_t gfp =
		__GFP_NOWARN | __GFP_SKIP_FAIL | __GFP_ZERO | __GFP_THISNODE;
	struct kmem_cache_whole *whole = slab_whole(s);

	if (whole && !__atomic_test_and_set(&s->own_used, __ATOMIC_ACQUIRE))
		return &whole->part;
	return kmem_cache_alloc_node(kmem_sys.part_cache, gfp, nid);
}

void slab_part_free(struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	struct kmem_cache_whole *whole = slab_whole(s);

	if (!whole || c != &whole->part) {
		kmem_cache_free(kmem_sys.part_cache, c);
		return;
	}
	mm_memset(c, 0, sizeof(*c));
	__atomic_clear(&s->own_used, __ATOMIC_RELEASE);
}

/* The running CPU gets its part of S, if its node has memory for it. */
static void make_cpu_part(struct kmem_cache *s)
{
	struct kmem_cache_cpu *none = &kmem_sys.cpu_none, *c;
	int nid = numa_mem_id();

	if (!kmem_sys.part_cache)
		return;
	c = part_alloc(s, nid);
	if (!c)
		return;
	spin_lock_init(&c->lock, LOCK_CLASS_SLAB_CPU);
	c->cap = s->sheaf_cap;
	c->nid = nid;
	c->mark = SLAB_MARK(nid, s->id);
	if (!mm_try_cmpxchg(part_slot(s, port_cpu()), &none, c))
		slab_part_free(s, c);
}

/* Is it time that the running CPU has a part? */
static bool want_cpu_part(struct kmem_cache *s, const struct kmem_cache_cpu *c)
{
	if (c != &kmem_sys.cpu_none || !s->sheaf_cap || port_in_irq() ||
	    port_cpu_or_none() >= MM_NR_CPUS)
		return false;
	if (kmem_sys.params.bulk_only ||
	    READ_ONCE(s->nr_direct) >= DIRECT_BEFORE_ARRAYS)
		return true;
	__atomic_fetch_add(&s->nr_direct, 1, __ATOMIC_RELAXED);
	return false;
}

struct kmem_cache_cpu *cpu_part(struct kmem_cache *s)
{
	struct kmem_cache_cpu *c = this_cache_part(s);

	if (unlikely(want_cpu_part(s, c))) {
		make_cpu_part(s);
		c = this_cache_part(s);
	}
	return c;
}

/* ---- allocation
 * ---------------------------------------------------------------------- */

/* Put what fits of BUF[N] into the array; the rest goes to its slabs. */
static void sheaf_fill(struct kmem_cache *s, struct kmem_cache_cpu *c,
		       void **buf, u32 n)
{
	u32 fits = 0;
	s32 top;

	port_pin();
	top = sheaf_take(c);
	if (top >= 0) {
		fits = min(n, (u32)(c->cap - top));
		mm_memcpy(sheaf_slots(c) + top, buf, fits * sizeof(*buf));
		sheaf_give(c, top + (s32)fits);
	}
	port_unpin();
	if (fits < n)
		slab_put_objects(s, buf + fits, n - fits);
}

static void *sheaf_pop(struct kmem_cache_cpu *c)
{
	void *obj = NULL;
	s32 top;

	port_pin();
	top = sheaf_take(c);
	if (top > 0)
		obj = sheaf_slots(c)[--top];
	if (top >= 0)
		sheaf_give(c, top);
	port_unpin();
	return obj;
}

/* One object for this CPU, through its part: the array is filled on the way. */
static void *alloc_through(struct kmem_cache *s, struct kmem_cache_cpu *c,
			   const struct slab_request *rq)
{
	void *buf[SHEAF_BATCH_MAX];
	u32 want = clamp((u32)c->cap / 2 + 1, 1u, SHEAF_BATCH_MAX);
	u32 n = barn_take(s, c, buf, min((u32)c->cap, SHEAF_BATCH_MAX));

	if (!n)
		n = cpu_alloc_objects(s, c, rq, buf, want);
	if (!n)
		return NULL;
	if (--n)
		sheaf_fill(s, c, buf, n);
	return buf[n];
}

/* An object by whatever way suits S and RQ. */
static void *alloc_some(struct kmem_cache *s, const struct slab_request *rq)
{
	struct kmem_cache_cpu *c;
	void *obj;

	if (slab_is_debug(s)) {
		if (s->flags & SLAB_STORE_USER)
			slab_feed_depot();
		return alloc_direct(s, rq);
	}
	c = cpu_part(s);
	if (c == &kmem_sys.cpu_none || (rq->nid >= 0 && rq->nid != c->nid) ||
	    (rq->gfp & __GFP_THISNODE))
		return alloc_direct(s, rq);
	obj = sheaf_pop(c);
	return obj ? obj : alloc_through(s, c, rq);
}

static void trace_alloc(const struct kmem_cache *s,
			const struct slab_request *rq, const void *obj)
{
	u64 node = (u64)(s64)rq->nid;

	if (rq->size)
		trace_emit(KMALLOC, rq->caller, (u64)(uintptr_t)obj, rq->size,
			   s->object_size, rq->gfp, node,
			   (rq->gfp & __GFP_ACCOUNT) != 0);
	else
		trace_emit(KMEM_CACHE_ALLOC, rq->caller, (u64)(uintptr_t)obj,
			   s->object_size, s->layout.size, rq->gfp, node,
			   (rq->gfp & __GFP_ACCOUNT) != 0);
}

/* slab_alloc() with a look at who is to pay. */
static MM_NOINLINE void *alloc_paid(struct kmem_cache *s,
				    const struct slab_request *rq)
{
	const struct slab_account_ops *ops = slab_account_ops();
	struct slab_request paid = *rq;
	struct obj_cgroup *payer;
	void *obj;

	if (ops->charge(s, rq->gfp, 1, &payer))
		return NULL;
	paid.paid = true;
	obj = slab_alloc(s, &paid);
	if (payer && obj)
		ops->assign(s, payer, rq->gfp, 1, &obj);
	else if (payer)
		ops->cancel(s, payer, 1);
	return obj;
}

void *slab_alloc(struct kmem_cache *s, const struct slab_request *rq)
{
	void *obj;

	if (unlikely(slab_account_ops()) && !rq->paid)
		return alloc_paid(s, rq);
	if (rq->gfp & __GFP_DIRECT_RECLAIM)
		might_sleep();
	if (!(rq->gfp & (__GFP_NOFAIL | __GFP_SKIP_FAIL)) &&
	    fail_should(FAIL_SLAB))
		return NULL;
	obj = alloc_some(s, rq);
	if (obj && (rq->gfp & __GFP_ZERO)) {
		mm_assert(!s->ctor);
		mm_memset(obj, 0, s->object_size);
	}
	if (obj)
		trace_alloc(s, rq, obj);
	return obj;
}

/*
 * The fast way failed: the array was one above TOP, and is given back if it was
 * taken. Out of line, so that the compiler saves nothing on the way that is
 * always taken.
 */
static MM_NOINLINE void *alloc_miss(struct kmem_cache *s, gfp_t gfp,
				    struct kmem_cache_cpu *c, u64 top,
				    u64 caller)
{
	struct slab_request rq = {.gfp = gfp, .nid = -1, .caller = caller};

	sheaf_untake(c, top + 1);
	port_unpin();
	return slab_alloc(s, &rq);
}

static MM_NOINLINE void *alloc_special(struct kmem_cache *s, gfp_t gfp,
				       u64 caller)
{
	struct slab_request rq = {.gfp = gfp, .nid = -1, .caller = caller};
	void *obj;

	if (!(gfp & __GFP_ZERO) || base_watched() || slab_is_debug(s) ||
	    slab_account_ops())
		return slab_alloc(s, &rq);
	obj = kmem_cache_alloc(s, gfp & ~GFP_SLAB_SLOW);
	if (likely(obj))
		mm_memset(obj, 0, s->object_size);
	return obj;
}

void *kmem_cache_alloc(struct kmem_cache *s, gfp_t gfp)
{
	struct kmem_cache_cpu *c;
	void *obj;
	u64 top;

	if (slow_alloc(gfp))
		return alloc_special(s, gfp, CALLER());
	if (gfp & __GFP_DIRECT_RECLAIM)
		might_sleep();
	port_pin();
	c = this_cache_cpu(s);
	top = sheaf_take_word(c) - 1;
	if (unlikely((s64)top < 0))
		return alloc_miss(s, gfp, c, top, CALLER());
	obj = sheaf_slots(c)[top];
	sheaf_give_word(c, top);
	port_unpin();
	return obj;
}

void *kmem_cache_alloc_node(struct kmem_cache *s, gfp_t gfp, int node)
{
	struct slab_request rq = {.gfp = gfp, .nid = node, .caller = CALLER()};

	mm_verify(node >= -1 && node < MM_MAX_NODES);
	return slab_alloc(s, &rq);
}

/* ---- freeing
 * ------------------------------------------------------------------------- */

/*
 * The array is taken and full: its lower half, which lies longest, goes to
 * the slabs, and OBJ on top of the rest.
 */
static void sheaf_spill(struct kmem_cache *s, struct kmem_cache_cpu *c,
			void *obj)
{
	void *buf[SHEAF_BATCH_MAX], **slots = sheaf_slots(c);
	u32 cap = (u32)c->cap;
	u32 out = min((cap + 1) / 2, SHEAF_BATCH_MAX), kept = cap - out;

	mm_memcpy(buf, slots, out * sizeof(*buf));
	mm_memmove(slots, slots + out, kept * sizeof(*buf));
	slots[kept] = obj;
	sheaf_give(c, (s32)kept + 1);
	if (!barn_put(s, c, buf, out))
		slab_put_objects(s, buf, out);
}

/* OBJ, of this CPU's node, to its array; false: the array is locked. */
static bool sheaf_push(struct kmem_cache *s, struct kmem_cache_cpu *c,
		       void *obj)
{
	s32 top;

	port_pin();
	top = sheaf_take(c);
	if (top < 0) {
		port_unpin();
		return false;
	}
	if (top < c->cap) {
		sheaf_slots(c)[top] = obj;
		sheaf_give(c, top + 1);
	} else {
		sheaf_spill(s, c, obj);
	}
	port_unpin();
	return true;
}

/* Is OBJ on top of C's array already? A hint: the array may change. */
static bool sheaf_has_on_top(struct kmem_cache_cpu *c, const void *obj)
{
	bool same = false;
	s32 top;

	port_pin();
	top = sheaf_take(c);
	if (top >= 0) {
		same = top > 0 && sheaf_slots(c)[top - 1] == obj;
		sheaf_give(c, top);
	}
	port_unpin();
	return same;
}

static inline void slab_uncharge(const struct kmem_cache *s, struct page *slab,
				 const void *obj)
{
	if (slab_payers(slab))
		slab_account_ops()->uncharge(s, slab, obj);
}

void slab_free(struct kmem_cache *s, struct page *page, void *obj, u64 caller)
{
	struct page *slab = compound_head(page);
	struct kmem_cache_cpu *c;

	if (slab_is_debug(s)) {
		if (slab_has_object(s, slab, obj))
			slab_uncharge(s, slab, obj);
		debug_free(s, slab, obj, caller);
		return;
	}
	if (unlikely(!slab_has_object(s, slab, obj))) {
		slab_free_bad(s, obj, "Invalid object pointer");
		return;
	}
	c = this_cache_part(s);
	if (sheaf_has_on_top(c, obj)) {
		slab_free_bad(s, obj, "Object already free");
		return;
	}
	slab_uncharge(s, slab, obj);
	if (c->mark != frame_mark(page) || !sheaf_push(s, c, obj))
		slab_put_objects(s, &obj, 1);
}

/*
 * What the fast ways leave over. Pointers that are no objects are told from
 * those that are by the frame's mark alone.
 */
void slab_free_any(struct kmem_cache *want, const void *obj, u64 caller)
{
	u64 pfn = object_pfn(obj);
	struct kmem_cache *s;
	struct page *page;

	if (pfn >= phys_sys.memmap_frames || !pfn_valid(pfn)) {
		slab_free_bad(want, obj, "Wrong slab cache");
		return;
	}
	page = pfn_to_page(pfn);
	s = mark_cache(frame_mark(page));
	if (frame_mark(page) == QUARANTINE_MARK)
		return; /* its slab was set aside, and reported */
	if (!frame_of_cache(page, s) || (want && s != want)) {
		slab_free_bad(want, obj, "Wrong slab cache");
		return;
	}
	if (want)
		trace_emit(KMEM_CACHE_FREE, caller, (u64)(uintptr_t)obj,
			   TRACE_TEXT(s->name));
	slab_free(s, page, (void *)(uintptr_t)obj, caller);
}

static MM_NOINLINE void free_miss(struct kmem_cache *s, void *obj,
				  struct kmem_cache_cpu *c, u64 top, u64 caller)
{
	sheaf_untake(c, top);
	port_unpin();
	slab_free_any(s, obj, caller);
}

/*
 * A free that looks at the frame's mark first: one comparison tells that OBJ
 * is of S and of this CPU's node.
 */
static MM_NOINLINE void free_checked(struct kmem_cache *s, void *obj,
				     u64 caller)
{
	u64 pfn = object_pfn(obj);
	struct kmem_cache_cpu *c;
	u64 top = SHEAF_LOCKED;

	port_pin();
	c = this_cache_cpu(s);
	if (slow_free(pfn) ||
	    unlikely(frame_mark(pfn_to_page(pfn)) != c->mark)) {
		free_miss(s, obj, c, top, caller);
		return;
	}
	top = sheaf_take_word(c);
	if (unlikely(!sheaf_may_push(c, top, obj))) {
		free_miss(s, obj, c, top, caller);
		return;
	}
	sheaf_push_word(c, top, obj);
	port_unpin();
}

/*
 * Where all memory is one node's, an object is looked at when it leaves the
 * array: its descriptor need not be fetched at each free.
 */
void kmem_cache_free(struct kmem_cache *s, void *obj)
{
	struct kmem_cache_cpu *c;
	u64 top;

	if (unlikely(HOT_READ(kmem_sys.hot.check_frees.all))) {
		free_checked(s, obj, CALLER());
		return;
	}
	port_pin();
	c = this_cache_cpu(s);
	top = sheaf_take_word(c);
	if (unlikely(!sheaf_may_push(c, top, obj))) {
		free_miss(s, obj, c, top, CALLER());
		return;
	}
	sheaf_push_word(c, top, obj);
	port_unpin();
}
