/* SPDX-License-Identifier: MIT */
/*
 * slab_memcg.c - objects charged to control groups, one by one.
 *
 * 1. Purpose. Objects of caches with SLAB_ACCOUNT, and those asked for with
 *    __GFP_ACCOUNT, count against the limit of whose task asked, for as long as
 *    they live (memcg/objcg.c): their place in the slab, and a pointer.
 *
 * 2. Structures. A slab with such objects has a vector: who pays for each of
 *    its objects. It is made with the first of them; its address stands in the
 *    first frame's descriptor (slab_priv.h), and it goes with the slab.
 *
 * 3. The fast ways know nothing of it. They find a CPU's part by a pointer in
 *    the cache; where objects are charged that pointer leads to a gate instead,
 *    whose array is locked for ever, and the part itself is found by the slow
 *    ways (cache_part()). So a cache whose objects nobody is charged for costs
 *    what it did. Caches with SLAB_ACCOUNT get their gates before the first
 *    group is made, others with their first object that is charged.
 *
 *    A CPU that is on a fast way while the gate closes holds an object that was
 *    allocated before, or allocates one for nobody: neither has a payer.
 *
 * 4. Invariants.
 *    SL-5  The vector of a slab names nobody for an object that is free; a
 *          slab has a vector only if its cache has gates, or no arrays.
 *    Bytes that an obj_cgroup has in items are those of the objects that name
 *    it (OB-1; audit).
 *
 * 5. Locking. None. A vector appears by compare and exchange; an entry is its
 *    object's owner's.
 *
 * 6. Failure. Over the limit: no object. No memory for a vector, or for the
 *    gates: the object is had, and nobody is charged for it, as on Linux.
 *
 * Reference: R. Gushchin, "The new cgroup slab memory controller" (2020);
 * Linux documentation, admin-guide/cgroup-v2.
 */
#include <mmkit/errno.h>

#include "kmem/slab_priv.h"
#include "memcg/memcg.h"
#include "phys/phys.h"

/* What an object costs: its place, and the pointer to who pays. */
static u64 full_size(const struct kmem_cache *s)
{
	return s->layout.size + sizeof(struct obj_cgroup *);
}

static u32 item_of(const struct kmem_cache *s)
{
	return s->flags & SLAB_RECLAIM_ACCOUNT ? OBJCG_SLAB_RECLAIMABLE
					       : OBJCG_SLAB_UNRECLAIMABLE;
}

/* ---- gates
 * ------------------------------------------------------------------------- */

/* PARTS, for all CPUs, are S's from now on. False: it has some. */
static bool gate_close(struct kmem_cache *s, struct kmem_cache_cpu **parts)
{
	u32 open = 0;

	if (!mm_try_cmpxchg(&s->gated, &open, 1u))
		return false;
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		parts[cpu] = __atomic_exchange_n(&s->cpu[cpu],
						 &kmem_sys.cpu_gate[cpu],
						 __ATOMIC_ACQ_REL);
	smp_store_release(&s->parts, parts);
	return true;
}

/* A place for each CPU; room for that is what a part has. */
static struct kmem_cache_cpu **parts_alloc(gfp_t gfp)
{
	return kmem_cache_alloc(kmem_sys.part_cache, gfp);
}

static bool needs_gate(const struct kmem_cache *s)
{
	return s->sheaf_cap && !READ_ONCE(s->gated);
}

static int gate_cache(struct kmem_cache *s, gfp_t gfp)
{
	struct kmem_cache_cpu **parts;

	if (!needs_gate(s))
		return 0;
	parts = parts_alloc(gfp);
	if (!parts)
		return -ENOMEM;
	if (!gate_close(s, parts))
		kmem_cache_free(kmem_sys.part_cache, parts);
	return 0;
}

static int account_gate(struct kmem_cache *s)
{
	return gate_cache(s, GFP_KERNEL);
}

/* ---- charging
 * ---------------------------------------------------------------------- */

static int account_charge(const struct kmem_cache *s, gfp_t gfp, size_t nr,
			  struct obj_cgroup **payer)
{
	*payer = NULL;
	if ((!(s->flags & SLAB_ACCOUNT) && !(gfp & __GFP_ACCOUNT)) ||
	    port_in_irq())
		return 0;
	return objcg_charge(nr * full_size(s), item_of(s), gfp, payer);
}

static void account_cancel(const struct kmem_cache *s, struct obj_cgroup *payer,
			   size_t nr)
{
	objcg_uncharge(payer, nr * full_size(s), item_of(s));
}

/* SLAB's vector, made if there is none; NULL: no memory. */
static struct obj_cgroup **vector_of(struct page *slab, gfp_t gfp)
{
	struct obj_cgroup **payers = slab_payers(slab), **new;
	u64 id = slab_cache_id(slab);

	if (payers)
		return payers;
	gfp &= __GFP_DIRECT_RECLAIM | __GFP_KSWAPD_RECLAIM | __GFP_IO |
	       __GFP_FS | __GFP_HIGH;
	new = kcalloc(slab_word(slab).objects, sizeof(struct obj_cgroup *),
		      gfp | __GFP_NOWARN | __GFP_NORETRY);
	if (!new)
		return NULL;
	if (__atomic_compare_exchange_n(
		    &slab->tail, &id, port_ram_phys(new) << SLAB_ID_BITS | id,
		    false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return new;
	kfree(new);
	return slab_payers(slab);
}

static void account_assign(struct kmem_cache *s, struct obj_cgroup *payer,
			   gfp_t gfp, size_t nr, void **p)
{
	bool may = !gate_cache(s, GFP_NOWAIT | __GFP_NOWARN);

	for (size_t i = 0; i < nr; i++) {
		struct page *slab = compound_head(view_to_page(p[i]));
		struct obj_cgroup **payers = may ? vector_of(slab, gfp) : NULL;

		if (payers)
			WRITE_ONCE(payers[slab_object_index(s, slab, p[i])],
				   payer);
		else
			account_cancel(s, payer, 1);
	}
}

static void account_uncharge(const struct kmem_cache *s, struct page *slab,
			     const void *obj)
{
	struct obj_cgroup **payers = slab_payers(slab);
	u32 i = slab_object_index(s, slab, obj);
	struct obj_cgroup *payer =
		__atomic_exchange_n(&payers[i], NULL, __ATOMIC_ACQ_REL);

	if (payer)
		objcg_uncharge(payer, full_size(s), item_of(s));
}

static const struct slab_account_ops account = {
	.charge = account_charge,
	.assign = account_assign,
	.cancel = account_cancel,
	.uncharge = account_uncharge,
	.gate = account_gate,
};

/* ---- start
 * ------------------------------------------------------------------------- */

static void gates_init(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct kmem_cache_cpu *c = &kmem_sys.cpu_gate[cpu];

		WRITE_ONCE(c->top, SHEAF_LOCKED);
		c->mark = SLAB_MARK_NONE;
		c->nid = -1;
	}
}

/* One cache with SLAB_ACCOUNT that has no gates gets PARTS. False: all have. */
static bool gate_some(struct kmem_cache_cpu **parts)
{
	bool done = false;

	spin_lock(&kmem_sys.caches_lock);
	for (u32 i = 0; i < KMEM_MAX_CACHES && !done; i++) {
		struct kmem_cache *s = kmem_sys.caches[i];

		if (s && (s->flags & SLAB_ACCOUNT) && needs_gate(s))
			done = gate_close(s, parts);
	}
	spin_unlock(&kmem_sys.caches_lock);
	return done;
}

/* Before the first group. What was done stays if the rest fails. */
static int account_start(void)
{
	struct kmem_cache_cpu **parts;

	if (READ_ONCE(kmem_sys.account_done))
		return 0;
	if (!READ_ONCE(kmem_sys.account)) {
		gates_init();
		/* Caches that are made from here on see to themselves. */
		smp_store_release(&kmem_sys.account, &account);
	}
	do {
		parts = parts_alloc(GFP_KERNEL);
		if (!parts)
			return -ENOMEM;
	} while (gate_some(parts));
	kmem_cache_free(kmem_sys.part_cache, parts);
	WRITE_ONCE(kmem_sys.account_done, true);
	return 0;
}

void kmem_account_init(void)
{
	objcg_on_start(account_start);
}

/* ---- the audit
 * --------------------------------------------------------------------- */

void slab_count_payers(struct page *slab)
{
	struct obj_cgroup **payers = slab_payers(slab);
	const struct kmem_cache *s;

	if (!payers)
		return;
	s = kmem_sys.caches[slab_cache_id(slab)];
	for (u32 i = 0; i < slab_word(slab).objects; i++)
		if (payers[i])
			payers[i]->audit_bytes += (s64)full_size(s);
}
