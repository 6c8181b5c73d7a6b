/* SPDX-License-Identifier: MIT */
/*
 * slab_barn.c - a node's store of free objects between arrays and slabs.
 *
 * 1. Purpose. Who allocates a thousand objects and frees them overflows the
 *    CPU's array again and again. Through the slabs that is a link to follow
 *    or to write and an exchange for each object; through the barn it is a
 *    copy of pointers, a whole array's at a time. The idea is that of the
 *    magazines' depot (Bonwick and Adams 2001) and of newer Linux's sheaves.
 *
 * 2. Structure. Per cache and node at most one stack of pointers, made when
 *    arrays overflowed often enough. Linux exchanges full arrays for empty
 *    ones; here pointers are copied, 64 bytes at a time, which costs a few
 *    instructions an array and spares the fast path the pointer to its array.
 *
 * 3. Invariants (slab_check).
 *    BN-1  A barn holds nr <= cap objects, each the beginning of an object of
 *          a slab with the mark of its cache and node.
 *    BN-2  Slabs count its objects as in use.
 *
 * 4. Every object is looked at on the way in: pointers that are foreign or
 *    point inside an object are turned away here, and reported where they go
 *    next. Once a slab was set aside, on the way out too.
 *
 * 5. Bounds. By number and by a 2048th of memory for each cache and node; none
 *    on small machines. Given back by kmem_cache_shrink() (so by an audit and
 *    before a cache goes) and by a shrinker, which reclaim asks like any: what
 *    it holds costs nothing to make again, so it is due first.
 *
 * 6. Locking. A barn's lock, interrupts off, over copying alone; inside no
 *    other but the caches lock. The shrinker holds the caches lock while it has
 *    objects in hand, and leaves caches alone that are being destroyed.
 *
 * 7. Failure. Without memory for a barn there is none.
 */
#include <mmkit/errno.h>
#include <mmkit/shrinker.h>

#include "base/bitops.h"
#include "kmem/slab_priv.h"
#include "phys/phys.h"

#define BARN_BYTES 8192u
#define BARN_MAX   ((BARN_BYTES - (u32)sizeof(struct slab_barn)) / 8)
/* Arrays that overflow before a node gets its barn. */
#define SPILLS_BEFORE_BARN 16u
/* Objects that the shrinker has in hand at a time. */
#define BARN_BATCH 32u

/* (L) lock. Pointers stand behind it. */
struct slab_barn {
	spinlock_t lock;
	u32 nr;	 /* (L) */
	u32 cap; /* constant */
};

static void **barn_slots(struct slab_barn *b)
{
	return (void **)(b + 1);
}

u32 slab_barn_cap(u32 size, s32 sheaf_cap)
{
	u64 ram = phys_sys.totalram_pages << PAGE_SHIFT;
	u64 fits = (ram >> 11) / size;

	if (ram < BARN_MIN_RAM || fits < 2 * (u64)sheaf_cap)
		return 0;
	return (u32)min((u64)BARN_MAX, fits);
}

/* NID's barn of S, if it is time and there is memory. Pinned or not. */
static MM_NOINLINE void make_barn(struct kmem_cache *s,
				  struct kmem_cache_node *n, int nid)
{
	struct slab_barn *b, *none = NULL;

	if (!kmem_sys.barn_cache || !s->barn_cap || port_in_irq())
		return;
	if (__atomic_add_fetch(&s->nr_spills, 1, __ATOMIC_RELAXED) <
	    SPILLS_BEFORE_BARN)
		return;
	b = kmem_cache_alloc_node(
		kmem_sys.barn_cache,
		__GFP_NOWARN | __GFP_SKIP_FAIL | __GFP_THISNODE, nid);
	if (!b)
		return;
	spin_lock_init(&b->lock, LOCK_CLASS_SLAB_BARN);
	b->nr = 0;
	b->cap = s->barn_cap;
	if (!mm_try_cmpxchg(&n->barn, &none, b))
		kmem_cache_free(kmem_sys.barn_cache, b);
}

/* Has the frame of OBJ, at PA, this MARK? *PAGE is it. */
static inline bool frame_good(s32 mark, u64 pa, struct page **page)
{
	if (unlikely(PFN_DOWN(pa) >= phys_sys.memmap_frames))
		return false;
	*page = pfn_to_page(PFN_DOWN(pa));
	return likely(frame_mark(*page) == mark);
}

/* Begins each of BUF[N] an object of a slab with MARK? */
static bool all_good(const struct kmem_cache *s, s32 mark, void **buf, u32 n)
{
	u32 whole = s->layout.whole;
	struct page *page;
	u32 i = 0;

	/* Slabs are aligned to what they have: the address says it all. */
	for (; whole && i < n; i++) {
		u64 pa = port_ram_phys(buf[i]);

		if (unlikely(pa & whole) || !frame_good(mark, pa, &page))
			return false;
	}
	for (; i < n; i++) {
		if (!frame_good(mark, port_ram_phys(buf[i]), &page) ||
		    unlikely(!slab_has_object(s, compound_head(page), buf[i])))
			return false;
	}
	return true;
}

bool barn_put(struct kmem_cache *s, struct kmem_cache_cpu *c, void **buf, u32 n)
{
	struct kmem_cache_node *kn = smp_load_acquire(&s->node[c->nid]);
	struct slab_barn *b = smp_load_acquire(&kn->barn);
	unsigned long flags;
	bool fits;

	if (unlikely(!b)) {
		make_barn(s, kn, (int)c->nid);
		return false;
	}
	if (READ_ONCE(b->nr) + n > b->cap || !all_good(s, c->mark, buf, n))
		return false;
	spin_lock_irqsave(&b->lock, flags);
	fits = b->nr + n <= b->cap;
	if (fits) {
		mm_memcpy(barn_slots(b) + b->nr, buf, n * sizeof(*buf));
		WRITE_ONCE(b->nr, b->nr + n);
	}
	spin_unlock_irqrestore(&b->lock, flags);
	return fits;
}

/* Up to WANT objects of B into BUF, those that lie shortest. */
static u32 barn_pop(struct slab_barn *b, void **buf, u32 want)
{
	unsigned long flags;
	u32 n;

	if (!READ_ONCE(b->nr))
		return 0;
	spin_lock_irqsave(&b->lock, flags);
	n = min(want, b->nr);
	WRITE_ONCE(b->nr, b->nr - n);
	mm_memcpy(buf, barn_slots(b) + b->nr, n * sizeof(*buf));
	spin_unlock_irqrestore(&b->lock, flags);
	return n;
}

/* Of BUF[N] what is of slabs that were set aside is dropped. */
static u32 drop_set_aside(s32 mark, void **buf, u32 n)
{
	u32 kept = 0;

	for (u32 i = 0; i < n; i++)
		if (frame_mark(view_to_page(buf[i])) == mark)
			buf[kept++] = buf[i];
	return kept;
}

u32 barn_take(struct kmem_cache *s, struct kmem_cache_cpu *c, void **buf,
	      u32 want)
{
	struct kmem_cache_node *kn = smp_load_acquire(&s->node[c->nid]);
	struct slab_barn *b = smp_load_acquire(&kn->barn);
	u32 n;

	if (!b)
		return 0;
	do {
		n = barn_pop(b, buf, want);
		if (likely(!READ_ONCE(kmem_sys.nr_quarantined)))
			return n;
		want = n;
		n = drop_set_aside(c->mark, buf, n);
	} while (want && !n);
	return n;
}

/* ---- giving back
 * ------------------------------------------------------------------------ */

/* Up to MOST objects of N's barn go to their slabs; returns how many. */
static u64 barn_empty(struct kmem_cache *s, struct kmem_cache_node *n, u64 most)
{
	struct slab_barn *b = smp_load_acquire(&n->barn);
	void *buf[BARN_BATCH];
	u64 done = 0;
	u32 nr;

	while (b && done < most) {
		nr = barn_pop(b, buf, (u32)min(most - done, (u64)BARN_BATCH));
		if (!nr)
			break;
		slab_put_objects(s, buf, nr);
		done += nr;
	}
	return done;
}

void barn_drain(struct kmem_cache *s)
{
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		struct kmem_cache_node *n = smp_load_acquire(&s->node[nid]);

		if (n)
			barn_empty(s, n, UINT64_MAX);
	}
}

void barn_free(struct kmem_cache_node *n)
{
	if (!n->barn)
		return;
	mm_verify(n->barn->nr == 0);
	kmem_cache_free(kmem_sys.barn_cache, n->barn);
	n->barn = NULL;
}

u32 barn_count(const struct kmem_cache_node *n)
{
	const struct slab_barn *b = smp_load_acquire(&n->barn);

	return b ? READ_ONCE(b->nr) : 0;
}

void barn_check(const struct kmem_cache *s, struct kmem_cache_node *n, int nid)
{
	struct slab_barn *b = smp_load_acquire(&n->barn);
	unsigned long flags;

	if (!b)
		return;
	spin_lock_irqsave(&b->lock, flags);
	mm_verify(b->cap == s->barn_cap && b->nr <= b->cap);
	mm_verify(READ_ONCE(kmem_sys.nr_quarantined) ||
		  all_good(s, SLAB_MARK(nid, s->id), barn_slots(b), b->nr));
	spin_unlock_irqrestore(&b->lock, flags);
}

/* ---- the shrinker
 * ----------------------------------------------------------------------- */

static struct kmem_cache_node *node_of(struct kmem_cache *s, int nid)
{
	return s->dying ? NULL : smp_load_acquire(&s->node[nid]);
}

static u64 barns_count(struct shrinker *sh, struct shrink_control *sc)
{
	u64 n = 0;

	mm_assert(sh == &kmem_sys.barn_shrinker);
	spin_lock(&kmem_sys.caches_lock);
	for (u32 i = 0; i < KMEM_MAX_CACHES; i++) {
		struct kmem_cache *s = kmem_sys.caches[i];
		struct kmem_cache_node *kn = s ? node_of(s, sc->nid) : NULL;

		n += kn ? barn_count(kn) : 0;
	}
	spin_unlock(&kmem_sys.caches_lock);
	return n ? n : SHRINK_EMPTY;
}

/* One batch of cache I; the lock is free between batches. */
static u64 barns_batch(u32 i, int nid, u64 most)
{
	struct kmem_cache_node *n;
	struct kmem_cache *s;
	u64 done = 0;

	spin_lock(&kmem_sys.caches_lock);
	s = kmem_sys.caches[i];
	n = s ? node_of(s, nid) : NULL;
	if (n)
		done = barn_empty(s, n, min(most, (u64)BARN_BATCH));
	spin_unlock(&kmem_sys.caches_lock);
	return done;
}

static u64 barns_scan(struct shrinker *sh, struct shrink_control *sc)
{
	u64 freed = 0, n;

	mm_assert(sh == &kmem_sys.barn_shrinker);
	for (u32 i = 0; i < KMEM_MAX_CACHES && freed < sc->nr_to_scan; i++) {
		if (!READ_ONCE(kmem_sys.caches[i]))
			continue;
		do {
			n = barns_batch(i, sc->nid, sc->nr_to_scan - freed);
			freed += n;
		} while (n && freed < sc->nr_to_scan);
	}
	sc->nr_scanned = freed;
	return freed ? freed : SHRINK_STOP;
}

int barn_init(void)
{
	struct kmem_cache *s = kmem_cache_create(
		"slab_barn", BARN_BYTES, MM_CACHELINE, SLAB_NO_MERGE, NULL);

	if (!s)
		return -ENOMEM;
	/* Neither arrays nor barns for barns. */
	s->sheaf_cap = 0;
	s->barn_cap = 0;
	kmem_sys.barn_cache = s;
	kmem_sys.barn_shrinker = (struct shrinker){
		.count_objects = barns_count,
		.scan_objects = barns_scan,
		.flags = SHRINKER_NUMA_AWARE,
	};
	return register_shrinker(&kmem_sys.barn_shrinker, "slab-barns");
}
