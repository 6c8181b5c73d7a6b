/* SPDX-License-Identifier: MIT */
/*
 * slab_partial.c - slabs: making them, giving them up, and the lists between.
 *
 * Who may change the slab word's list head: anybody adds (put_chain); a
 * frozen slab's CPU takes all of it; one object at a time is taken under the
 * node's list_lock from slabs that are not frozen. So the first object of a
 * list stays the first while somebody reads its link and exchanges the word.
 * Theory: slab.c.
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/epoch.h"
#include "base/printk.h"
#include "kmem/slab_priv.h"
#include "phys/phys.h"
#include "phys/vmstat.h"

/* ---- making and giving up
 * ---------------------------------------------------------- */

static void slab_account(struct kmem_cache *s, struct page *slab, int sign)
{
	int item = s->flags & SLAB_RECLAIM_ACCOUNT ? NR_SLAB_RECLAIMABLE_B
						   : NR_SLAB_UNRECLAIMABLE_B;
	struct kmem_cache_node *n = slab_node(s, slab);
	s64 objects = slab_word(slab).objects;

	mod_node_page_state(page_zone(slab)->zone_pgdat, item,
			    sign * (s64)(PAGE_SIZE << compound_order(slab)));
	__atomic_fetch_add(&n->nr_slabs, (u64)(s64)sign, __ATOMIC_RELAXED);
	__atomic_fetch_add(&n->nr_objects, (u64)(sign * objects),
			   __ATOMIC_RELAXED);
}

static void mark_frames(struct page *slab, s32 mark)
{
	for (u64 i = 0; i < compound_nr(slab); i++)
		WRITE_ONCE(slab[i].mapcount, mark);
}

static gfp_t slab_gfp(const struct kmem_cache *s, gfp_t gfp)
{
	gfp &= ~(__GFP_ZERO | __GFP_MOVABLE | __GFP_HIGHMEM | __GFP_DMA |
		 __GFP_RECLAIMABLE | __GFP_ACCOUNT | __GFP_WRITE);
	if (s->flags & SLAB_RECLAIM_ACCOUNT)
		gfp |= __GFP_RECLAIMABLE;
	if (s->flags & SLAB_CACHE_DMA)
		gfp |= __GFP_DMA;
	return gfp | __GFP_COMP;
}

static struct page *frames_from(gfp_t gfp, unsigned int order, int nid)
{
	return nid < 0 ? alloc_pages(gfp, order)
		       : __alloc_pages(gfp, order, nid);
}

/* How long to wait for frames that must come. */
#define SLAB_RETRY_NS 10000000ul

/*
 * As few frames as will do. Who must have an object waits here: the page
 * allocator complains, with reason, if it is asked for large blocks without
 * fail.
 */
static struct page *fewest_frames(const struct kmem_cache *s, gfp_t gfp,
				  int nid)
{
	const gfp_t nofail = __GFP_NOFAIL | __GFP_DIRECT_RECLAIM;
	unsigned int order = s->layout.min_order;
	bool wait = order > 1 && (gfp & nofail) == nofail;
	struct page *page;

	if (wait)
		gfp = (gfp & ~__GFP_NOFAIL) | __GFP_NOWARN | __GFP_SKIP_FAIL;
	for (;;) {
		page = frames_from(gfp, order, nid);
		if (page || !wait)
			return page;
		port_park(SLAB_RETRY_NS);
	}
}

/* Where memory is short a slab may have this part of its cache's objects. */
#define SLAB_PART 6u
/* Where slabs are only larger to waste less at the end. */
#define SLAB_PART_DENSE 32u

/* Pages that NR objects of a slab touch. */
static u64 slab_pages(const struct slab_layout *l, u32 nr)
{
	return PFN_UP((u64)nr * l->size);
}

/*
 * The order of the next slab. What small caches waste is half used slabs: with
 * few_slabs none is larger than what its cache has justifies. Of the orders
 * left, the one whose objects touch fewest pages each; a block's end that no
 * object reaches is not touched at all.
 */
static u32 next_order(const struct kmem_cache *s, const struct slab_request *rq)
{
	const struct slab_layout *l = &s->layout;
	const struct kmem_cache_node *n;
	u32 best = l->min_order, objects = l->min_objects;
	u64 have;

	if (!kmem_sys.params.few_slabs)
		return l->order;
	n = smp_load_acquire(&s->node[rq->nid < 0 ? numa_mem_id() : rq->nid]);
	have = n ? READ_ONCE(n->nr_objects) : 0;
	for (u32 order = best + 1; order <= l->order; order++) {
		u32 nr = slab_order_objects(order, l->size, l->reserved);
		bool tight = l->size <= (order > 1 ? SLAB_TIGHT : SLAB_DENSE);

		if (nr * (tight ? SLAB_PART_DENSE : SLAB_PART) > have)
			break;
		/* Fewer pages for each? What an end leaves over is not used. */
		if (slab_pages(l, nr) * objects < slab_pages(l, objects) * nr) {
			best = order;
			objects = nr;
		}
	}
	return best;
}

/* Frames for a slab: as many as are best, else as few as will do. */
static struct page *slab_frames(const struct kmem_cache *s,
				const struct slab_request *rq)
{
	const struct slab_layout *l = &s->layout;
	gfp_t gfp = slab_gfp(s, rq->gfp), easy = gfp;
	u32 order = next_order(s, rq);
	struct page *slab = NULL;

	easy &= ~(__GFP_DIRECT_RECLAIM | __GFP_NOFAIL);
	/* Nor is it injected: nobody would see that it failed. */
	easy |= __GFP_NOWARN | __GFP_NORETRY | __GFP_SKIP_FAIL;
	if (order > l->min_order)
		slab = frames_from(easy, order, rq->nid);
	return slab ? slab : fewest_frames(s, gfp, rq->nid);
}

/* The I-th object of the list that a new slab begins with. */
static u32 next_index(const struct kmem_cache *s, u32 i, u32 objects, u64 start,
		      u64 step)
{
	(void)s;
	return step ? (u32)((start + (u64)i * step) % objects) : i;
}

static u64 gcd(u64 a, u64 b)
{
	while (b) {
		u64 r = a % b;

		a = b;
		b = r;
	}
	return a;
}

/* A random step that visits all of OBJECTS; 0: in order. */
static u64 random_step(u32 objects)
{
	u64 step;

	if (!kmem_sys.params.freelist_random || objects < 3)
		return 0;
	do {
		step = port_entropy() % (objects - 1) + 1;
	} while (gcd(step, objects) != 1);
	return step;
}

void slab_link_objects(struct kmem_cache *s, struct page *slab)
{
	u32 objects = slab_word(slab).objects;
	char *base = slab_base(slab) + s->layout.red_left;
	u64 step = random_step(objects), start = step ? port_entropy() : 0;
	union slab_word w = {.objects = (u16)objects};
	void *next = NULL;

	start %= objects;
	for (u32 i = objects; i-- > 0;) {
		u32 index = next_index(s, i, objects, start, step);
		char *obj = base + (size_t)index * s->layout.size;

		if (s->ctor)
			s->ctor(obj);
		set_link(s, obj, next);
		next = obj;
	}
	w.head = slab_head(slab, next);
	set_page_mapping_word(slab, w.all);
}

/* May S's new slabs be used from the front, object by object? */
static bool may_be_lazy(const struct kmem_cache *s)
{
	return kmem_sys.params.bulk_only && !kmem_sys.params.freelist_random &&
	       !s->ctor && !slab_is_debug(s);
}

struct page *slab_new(struct kmem_cache *s, const struct slab_request *rq,
		      u32 *fresh)
{
	const struct slab_layout *l = &s->layout;
	struct page *slab = slab_frames(s, rq);
	union slab_word w;
	u32 objects;

	if (!slab)
		return NULL;
	SetPageSlab(slab);
	set_page_index(slab, s->id);
	objects =
		slab_order_objects(compound_order(slab), l->size, l->reserved);
	mm_assert(objects >= l->min_objects && objects <= l->objects);
	if (slab_is_debug(s))
		debug_setup_slab(s, slab);
	w = (union slab_word){.objects = (u16)objects,
			      .inuse = (u16)objects,
			      .flags = SLAB_FROZEN};
	set_page_mapping_word(slab, w.all);
	if (fresh && may_be_lazy(s)) {
		*fresh = objects;
	} else {
		slab_link_objects(s, slab);
	}
	slab_account(s, slab, 1);
	mark_frames(slab, SLAB_MARK(page_to_nid(slab), s->id));
	return slab;
}

static void frames_free(struct page *slab)
{
	unsigned int order = compound_order(slab);

	/* Reclaim wants to know what its shrinkers brought. */
	if (!port_in_irq() && (port_current()->flags & PF_MEMALLOC))
		port_current()->reclaimed_slab += 1UL << order;
	mark_frames(slab, -1);
	/* In this order: see __PageMovable(). */
	set_page_mapping_word(slab, 0);
	ClearPageSlab(slab);
	__free_pages(slab, order);
}

static void frames_free_deferred(struct epoch_head *head)
{
	frames_free(compound_head(view_to_page(head)));
}

/* Nobody pays for anything in SLAB any more: its vector goes. */
static MM_NOINLINE void slab_drop_payers(const struct kmem_cache *s,
					 struct page *slab)
{
	struct obj_cgroup **payers = slab_payers(slab);

	for (u32 i = 0; i < slab_word(slab).objects; i++)
		mm_verify(!payers[i]);
	__atomic_store_n(&slab->tail, s->id, __ATOMIC_RELEASE);
	kfree(payers);
}

void slab_release(struct kmem_cache *s, struct page *slab)
{
	size_t bytes = PAGE_SIZE << compound_order(slab);

	mm_verify(PageSlab(slab) && frame_of_cache(slab, s));
	mm_verify(slab_word(slab).inuse == 0);
	slab_account(s, slab, -1);
	if (slab_payers(slab))
		slab_drop_payers(s, slab);
	if (s->flags & SLAB_TYPESAFE_BY_RCU) {
		char *end = slab_base(slab) + bytes - SLAB_RCU_RESERVED;

		MM_STATIC_ASSERT(sizeof(struct epoch_head) <= SLAB_RCU_RESERVED,
				 "a deferred free's node fits its place");
		epoch_defer((struct epoch_head *)(void *)end,
			    frames_free_deferred);
		return;
	}
	frames_free(slab);
}

/* ---- the node's list
 * ----------------------------------------------------------------- */

void node_list_slab(struct kmem_cache *s, struct kmem_cache_node *n,
		    struct page *slab, union slab_word w)
{
	mm_assert(!(w.flags & SLAB_FROZEN));
	if (w.head)
		page_list_add_tail(&n->partial, slab);
	else if (slab_is_debug(s))
		page_list_add(&n->full, slab);
}

/* May an empty slab on N's list be given up here? */
static bool may_release(const struct kmem_cache *s,
			const struct kmem_cache_node *n)
{
	return n->partial.count > s->min_partial && !port_in_irq();
}

static struct page *node_freeze(struct kmem_cache_node *n, bool take,
				union slab_word *was)
{
	struct page *slab;
	union slab_word old, new;
	unsigned long flags;

	spin_lock_irqsave(&n->list_lock, flags);
	slab = page_list_pop(&n->partial);
	if (slab) {
		old = slab_word(slab);
		do {
			mm_verify(!(old.flags & SLAB_FROZEN) && old.head);
			new = old;
			new.flags |= SLAB_FROZEN;
			if (take) {
				new.head = 0;
				new.inuse = old.objects;
			}
		} while (!slab_word_cmpxchg(slab, &old, new));
		*was = old;
	}
	spin_unlock_irqrestore(&n->list_lock, flags);
	return slab;
}

struct page *node_take_slab(struct kmem_cache_node *n, void **list, u32 *nr)
{
	union slab_word was;
	struct page *slab = node_freeze(n, true, &was);

	if (!slab)
		return NULL;
	*list = slab_at(slab, was.head);
	*nr = (u32)(was.objects - was.inuse);
	return slab;
}

struct page *node_freeze_slab(struct kmem_cache_node *n)
{
	union slab_word was;

	if (page_list_empty(&n->partial))
		return NULL;
	return node_freeze(n, false, &was);
}

void *slab_take_list(struct page *slab, u32 *n)
{
	union slab_word old = slab_word(slab), new;

	do {
		mm_assert(!(old.flags & SLAB_QUARANTINED));
		if (!old.head)
			return NULL;
		new = old;
		new.head = 0;
		new.inuse = old.objects;
		new.flags |= SLAB_FROZEN;
	} while (!slab_word_cmpxchg(slab, &old, new));
	*n = (u32)(old.objects - old.inuse);
	return slab_at(slab, old.head);
}

/* Linked objects of one slab, on their way back to it. */
struct chain {
	struct page *slab;
	char *base; /* of the slab's first frame */
	void *head, *tail;
	u32 cnt;
};

/* CH in front of its slab's list, which is as OLD says: what becomes of it. */
static inline union slab_word word_with(const struct kmem_cache *s,
					const struct chain *ch,
					union slab_word old)
{
	union slab_word new = old;
	char *next = ch->base + ((size_t)old.head << 3) - 8;

	mm_assert(old.inuse >= ch->cnt);
	set_link(s, ch->tail, old.head ? next : NULL);
	new.head = (u16)((u64)((char *)ch->head - ch->base) / 8 + 1);
	new.inuse = (u16)(old.inuse - ch->cnt);
	return new;
}

void slab_unfreeze(struct kmem_cache *s, struct page *slab, void *freelist,
		   u32 nr)
{
	struct chain ch = {slab, slab_base(slab), freelist, freelist, nr};
	struct kmem_cache_node *n = slab_node(s, slab);
	union slab_word old, new;
	unsigned long flags;
	bool release;

	for (u32 i = 1; i < nr; i++) {
		void *next;

		if (!follow_link(s, slab, ch.tail, &next) || !next) {
			slab_broken_link(s, slab, ch.tail);
			return;
		}
		ch.tail = next;
	}
	spin_lock_irqsave(&n->list_lock, flags);
	old = slab_word(slab);
	do {
		new = old;
		if (nr)
			new = word_with(s, &ch, old);
		new.flags &= (u16)~SLAB_FROZEN;
	} while (!slab_word_cmpxchg(slab, &old, new));
	release = !new.inuse && n->partial.count >= s->min_partial &&
		  !port_in_irq();
	/* By the word as it became: if it is full, others may freeze it. */
	if (!release)
		node_list_slab(s, n, slab, new);
	spin_unlock_irqrestore(&n->list_lock, flags);
	if (release)
		slab_release(s, slab);
}

/* ---- freeing to a slab
 * --------------------------------------------------------------- */

/* A slab that a free froze joins C's; if C has too many, those go back. */
static void cpu_keep_partial(struct kmem_cache *s, struct kmem_cache_cpu *c,
			     struct page *slab)
{
	unsigned long flags;
	bool many;

	spin_lock_irqsave(&c->lock, flags);
	slab->next = c->partial;
	c->partial = (u32)page_to_pfn(slab);
	c->nr_partial++;
	many = c->nr_partial > s->cpu_partial;
	spin_unlock_irqrestore(&c->lock, flags);
	if (many)
		cpu_unfreeze_partial(s, c);
}

/* May a slab not get CNT objects back: more than were given out, or it was
 * set aside? */
static bool put_refused(union slab_word w, u32 cnt)
{
	return (w.flags & SLAB_QUARANTINED) || w.inuse < cnt;
}

/* The same as put_chain() where the slab changes its list. */
static MM_NOINLINE void put_chain_locked(struct kmem_cache *s,
					 const struct chain *ch)
{
	struct kmem_cache_node *n = slab_node(s, ch->slab);
	union slab_word old, new = {0};
	bool release = false;
	unsigned long flags;

	spin_lock_irqsave(&n->list_lock, flags);
	old = slab_word(ch->slab);
	do {
		if (unlikely(put_refused(old, ch->cnt)))
			break;
		new = word_with(s, ch, old);
	} while (!slab_word_cmpxchg(ch->slab, &old, new));
	if (!(old.flags & SLAB_FROZEN) && !put_refused(old, ch->cnt)) {
		if (!old.head)
			page_list_add_tail(&n->partial, ch->slab);
		release = !new.inuse &&may_release(s, n);
		if (release)
			page_list_del(&n->partial, ch->slab);
	}
	spin_unlock_irqrestore(&n->list_lock, flags);
	if (release)
		slab_release(s, ch->slab);
}

/* A free that cannot be: it is only told. */
static MM_NOINLINE void put_refuses(struct kmem_cache *s,
				    const struct chain *ch, union slab_word w)
{
	struct slab_spot at = {s, ch->slab, ch->head};

	if (!(w.flags & SLAB_QUARANTINED))
		slab_bug(&at, "Object already free");
}

/*
 * The slab changes its list. One that was full becomes rather this CPU's than
 * the node's: true, if it may be frozen.
 */
static bool may_freeze(const struct kmem_cache *s, const struct chain *ch,
		       union slab_word old, union slab_word new)
{
	const struct kmem_cache_cpu *c = this_cache_part(s);

	/* Frozen by somebody by now: nothing to change. */
	if (old.flags & SLAB_FROZEN)
		return true;
	return !old.head && new.inuse && s->cpu_partial &&
	       c->nid == page_to_nid(ch->slab);
}

/* The rest of put_chain(): the slab changes its list, or refuses. */
static MM_NOINLINE void put_chain_slow(struct kmem_cache *s,
				       const struct chain *ch)
{
	union slab_word old = slab_word(ch->slab), new;

	do {
		if (put_refused(old, ch->cnt)) {
			put_refuses(s, ch, old);
			return;
		}
		new = word_with(s, ch, old);
		if (!may_freeze(s, ch, old, new)) {
			put_chain_locked(s, ch);
			return;
		}
		new.flags |= SLAB_FROZEN;
	} while (!slab_word_cmpxchg(ch->slab, &old, new));
	if (old.flags & SLAB_FROZEN)
		return;
	cpu_keep_partial(s, this_cache_part(s), ch->slab);
}

#define WORD_HEAD   0xffffUL
#define WORD_INUSE1 0x10000UL /* one object in use */
#define WORD_FLAGS  48

/*
 * CH goes back to its slab. The word is computed as a number here: most frees
 * past the arrays come this way.
 */
static inline void put_chain(struct kmem_cache *s, const struct chain *ch)
{
	u64 head = (u64)((char *)ch->head - ch->base) / 8 + 1;
	u64 old = page_mapping_word(ch->slab), new;

	do {
		u64 inuse = old >> 16 & 0xffff, flags = old >> WORD_FLAGS;

		if (unlikely(inuse < ch->cnt) ||
		    unlikely(flags != SLAB_FROZEN &&
			     (flags || !(old & WORD_HEAD) ||
			      inuse == ch->cnt))) {
			put_chain_slow(s, ch);
			return;
		}
		set_link(s, ch->tail,
			 old & WORD_HEAD
				 ? ch->base + ((old & WORD_HEAD) << 3) - 8
				 : NULL);
		new = ((old & ~WORD_HEAD) | head) - ch->cnt *WORD_INUSE1;
	} while (!__atomic_compare_exchange_n(&ch->slab->word, &old, new, false,
					      __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
}

void slab_free_bad(struct kmem_cache *s, const void *obj, const char *text)
{
	u64 pfn = object_pfn(obj);

	if (pfn < phys_sys.memmap_frames && pfn_valid(pfn)) {
		struct slab_spot at = {s, compound_head(pfn_to_page(pfn)), obj};

		slab_bug(&at, text);
		return;
	}
	pr_err("slab: free of 0x%llx, which is not in RAM, to %s",
	       (unsigned long long)(uintptr_t)obj, s ? s->name : "kfree");
	__atomic_fetch_add(&kmem_sys.nr_bugs, 1, __ATOMIC_RELAXED);
}

/* The slab of S that OBJ is an object of; NULL, and reported, if none. */
static inline struct page *slab_of(struct kmem_cache *s, const void *obj)
{
	u64 pfn = object_pfn(obj);
	struct page *page;

	if (likely(pfn < phys_sys.memmap_frames)) {
		page = pfn_to_page(pfn);
		if (likely(mark_is_of(frame_mark(page), s)))
			return compound_head(page);
		if (frame_mark(page) == QUARANTINE_MARK)
			return NULL; /* reported when it was set aside */
	}
	slab_free_bad(s, obj, "Wrong slab cache");
	return NULL;
}

/* Does an object begin at OBJ, SPAN bytes from BASE at most? */
static inline bool begins_object(const struct kmem_cache *s, const char *base,
				 u64 span, const void *obj)
{
	u64 off = (u64)((const char *)obj - base);

	return off < span &&
	       slab_index(&s->layout, (u32)off) * s->layout.size == off;
}

/*
 * Chain from BUF[N] the last objects, as far as they are of one slab, and put
 * them back. Returns how many are left. What is no object is dropped.
 */
static u32 put_run(struct kmem_cache *s, void **buf, u32 n)
{
	struct page *slab = slab_of(s, buf[n - 1]);
	struct chain ch = {slab, NULL, buf[n - 1], buf[n - 1], 1};
	u64 span;

	if (unlikely(!slab))
		return n - 1;
	ch.base = slab_base(slab);
	span = (u64)slab_word(slab).objects * s->layout.size;
	if (unlikely(!begins_object(s, ch.base, span, ch.head))) {
		slab_free_bad(s, ch.head, "Invalid object pointer");
		return n - 1;
	}
	while (--n && begins_object(s, ch.base, span, buf[n - 1])) {
		set_link(s, buf[n - 1], ch.head);
		ch.head = buf[n - 1];
		ch.cnt++;
	}
	put_chain(s, &ch);
	return n;
}

void slab_put_objects(struct kmem_cache *s, void **buf, u32 n)
{
	mm_assert(!slab_is_debug(s));
	port_pin();
	while (n)
		n = put_run(s, buf, n);
	port_unpin();
}

/* ---- objects past the CPUs' parts
 * ---------------------------------------------------- */

/*
 * Under N's lock: SLAB, on its partial list, cannot be trusted any more. AT:
 * the object with a bad link; NULL: what is wrong was reported.
 */
static void *drop_listed(struct kmem_cache *s, struct kmem_cache_node *n,
			 struct page *slab, const void *at)
{
	page_list_del(&n->partial, slab);
	if (at)
		slab_broken_link(s, slab, at);
	else
		slab_quarantine(s, slab);
	return NULL;
}

/*
 * An object of a slab that is not frozen, under N's lock. NULL: SLAB failed a
 * check and is on no list any more. A slab that is going to be full leaves
 * the list first: once it is, others may freeze it.
 */
static void *pop_from_slab(struct kmem_cache *s, struct kmem_cache_node *n,
			   struct page *slab)
{
	union slab_word old = slab_word(slab), new;
	bool listed = true;
	void *obj, *next;

	do {
		if (!listed)
			page_list_add(&n->partial, slab);
		listed = true;
		obj = slab_at(slab, old.head);
		if (slab_is_debug(s) && !debug_alloc_check(s, slab, obj))
			return drop_listed(s, n, slab, NULL);
		if (!follow_link(s, slab, obj, &next))
			return drop_listed(s, n, slab, obj);
		new = old;
		new.head = slab_head(slab, next);
		new.inuse++;
		if (!next) {
			page_list_del(&n->partial, slab);
			listed = false;
		}
	} while (!slab_word_cmpxchg(slab, &old, new));
	if (!listed)
		node_list_slab(s, n, slab, new);
	return obj;
}

static void *node_pop(struct kmem_cache *s, struct kmem_cache_node *n,
		      u64 caller)
{
	unsigned long flags;
	struct page *slab;
	void *obj = NULL;

	if (!n || page_list_empty(&n->partial))
		return NULL;
	spin_lock_irqsave(&n->list_lock, flags);
	while (!obj && (slab = page_list_first(&n->partial)))
		obj = pop_from_slab(s, n, slab);
	if (obj && slab_is_debug(s))
		debug_alloc_done(s, obj, caller);
	spin_unlock_irqrestore(&n->list_lock, flags);
	return obj;
}

/* One object of any node but NOT. */
static void *pop_elsewhere(struct kmem_cache *s, int not, u64 caller)
{
	void *obj = NULL;

	for (int node = 0; node < MM_MAX_NODES && !obj; node++) {
		if (node != not )
			obj = node_pop(s, smp_load_acquire(&s->node[node]),
				       caller);
	}
	return obj;
}

void *alloc_direct(struct kmem_cache *s, const struct slab_request *rq)
{
	int home = rq->nid < 0 ? numa_mem_id() : rq->nid;
	void *obj = node_pop(s, smp_load_acquire(&s->node[home]), rq->caller);
	struct kmem_cache_node *n;
	struct page *slab;
	unsigned long flags;

	while (!obj && !rq->no_new) {
		slab = slab_new(s, rq, NULL);
		if (!slab)
			break;
		n = slab_node(s, slab);
		spin_lock_irqsave(&n->list_lock, flags);
		page_list_add(&n->partial, slab);
		spin_unlock_irqrestore(&n->list_lock, flags);
		/* Others may have been quicker; then again. */
		obj = node_pop(s, n, rq->caller);
	}
	if (!obj && !(rq->gfp & __GFP_THISNODE))
		obj = pop_elsewhere(s, home, rq->caller);
	return obj;
}

/* ---- emptying CPUs and nodes
 * --------------------------------------------------------- */

void cpu_unfreeze_partial(struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	unsigned long flags;
	u32 at;

	spin_lock_irqsave(&c->lock, flags);
	at = c->partial;
	c->partial = PFN_NONE;
	c->nr_partial = 0;
	spin_unlock_irqrestore(&c->lock, flags);
	while (at) {
		struct page *slab = pfn_to_page(at);

		at = slab->next;
		slab->next = PFN_NONE;
		slab_unfreeze(s, slab, NULL, 0);
	}
}

/* All objects of C's array, and who put them there meanwhile waits. */
static void cpu_flush_array(struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	void *buf[32];
	s32 top;

	do {
		u32 n;

		port_pin();
		while ((top = sheaf_take(c)) < 0)
			port_relax();
		n = min((u32)top, (u32)ARRAY_SIZE(buf));
		top -= (s32)n;
		mm_memcpy(buf, sheaf_slots(c) + top, n * sizeof(*buf));
		sheaf_give(c, top);
		port_unpin();
		slab_put_objects(s, buf, n);
	} while (top > 0);
}

/* The slabs that C has to itself go to their nodes. */
static void cpu_flush_slabs(struct kmem_cache *s, struct kmem_cache_cpu *c)
{
	struct page *slab;
	unsigned long flags;
	void *list;
	u32 nr;

	spin_lock_irqsave(&c->lock, flags);
	cpu_link_fresh(s, c);
	slab = c->slab;
	list = c->freelist;
	nr = c->nr_free;
	c->slab = NULL;
	c->freelist = NULL;
	c->nr_free = 0;
	spin_unlock_irqrestore(&c->lock, flags);
	if (slab)
		slab_unfreeze(s, slab, list, nr);
	cpu_unfreeze_partial(s, c);
}

/*
 * Slabs that objects go back to may be frozen, for the CPU that runs this,
 * whichever that is by then. So all objects go first, of all CPUs, and then
 * the slabs, which freezes nothing.
 */
void slab_drain(struct kmem_cache *s)
{
	struct kmem_cache_cpu *c;

	barn_drain(s);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		c = cache_part(s, (u32)cpu);
		if (c != &kmem_sys.cpu_none)
			cpu_flush_array(s, c);
	}
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		c = cache_part(s, (u32)cpu);
		if (c != &kmem_sys.cpu_none)
			cpu_flush_slabs(s, c);
	}
}

/* In two passes for the same reason: who runs this may be on any CPU but C's,
 * so that nothing comes back to it. */
static void drain_part(struct kmem_cache *s, void *arg)
{
	struct kmem_cache_cpu *c = cache_part(s, *(const u32 *)arg);

	if (c == &kmem_sys.cpu_none)
		return;
	cpu_flush_array(s, c);
	cpu_flush_slabs(s, c);
}

void slab_drain_cpu(int cpu)
{
	u32 nr = (u32)cpu;

	slab_for_each_sleep(drain_part, &nr);
}

/* Empty slabs of N go to OUT, the others into an order: fullest first. */
#define SHRINK_BUCKETS 32u

static void node_sort(struct kmem_cache_node *n, struct page_list *out)
{
	struct page_list bucket[SHRINK_BUCKETS];
	unsigned long flags;
	struct page *p;

	for (u32 i = 0; i < SHRINK_BUCKETS; i++)
		page_list_init(&bucket[i]);
	spin_lock_irqsave(&n->list_lock, flags);
	while ((p = page_list_pop(&n->partial))) {
		union slab_word w = slab_word(p);
		u32 nr_free = (u32)(w.objects - w.inuse);

		if (!w.inuse)
			page_list_add(out, p);
		else
			page_list_add_tail(
				&bucket[min(nr_free, SHRINK_BUCKETS) - 1], p);
	}
	for (u32 i = 0; i < SHRINK_BUCKETS; i++)
		while ((p = page_list_pop(&bucket[i])))
			page_list_add_tail(&n->partial, p);
	spin_unlock_irqrestore(&n->list_lock, flags);
}

u64 kmem_cache_shrink(struct kmem_cache *s)
{
	u64 frames = 0;

	slab_drain(s);
	for (int node = 0; node < MM_MAX_NODES; node++) {
		struct kmem_cache_node *n = smp_load_acquire(&s->node[node]);
		struct page_list empty;
		struct page *p;

		if (!n)
			continue;
		page_list_init(&empty);
		node_sort(n, &empty);
		while ((p = page_list_pop(&empty))) {
			frames += compound_nr(p);
			slab_release(s, p);
		}
	}
	return frames;
}
