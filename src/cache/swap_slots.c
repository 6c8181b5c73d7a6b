/* SPDX-License-Identifier: MIT */
/*
 * swap_slots.c - which slot does a page get?
 *
 * 1. Purpose. Pages that are written together shall lie together, since they
 *    will be wanted together; CPUs shall not meet at an area's lock for each
 *    page; areas of equal priority shall share the work.
 *
 * 2. Way. Within an area each CPU fills a cluster of 256 slots of its own. It
 *    fetches SWAP_BATCH slots at a time into its own cache and hands them out
 *    from there. Areas go by falling priority; among equals the one whose turn
 *    is longest ago comes first, and a turn is one batch, so that areas of
 *    equal priority are striped by 64 slots.
 *    Few slots left: what one CPU keeps another one lacks. Then slots are
 *    fetched one by one, a turn being a run of SWAP_BATCH slots likewise, and
 *    when none is found all CPUs' caches are given back before the answer is
 *    no.
 *
 *    A huge page that goes as a whole gets as many slots in a row, aligned, if
 *    an area has them: what was written as one is read ahead as one.
 *
 * 3. Invariants.
 *    SS-1  A slot in a CPU's cache has the word SWAP_HAS_CACHE and nothing
 *          else; slots_cached of its area counts it.
 *    SS-2  nr_swap_pages = free slots of areas in use + slots in caches: they
 *          are nobody's yet.
 *    SS-3  No cache has a slot of an area that is being emptied: swapoff sets
 *          in_use false under the area's lock, then drains; a cache is filled
 *          under its own lock, which the drain takes.
 *
 * 4. Locking. One lock for each CPU's cache; swap_info.lock nests inside.
 *
 * 5. Failure. No slot: the entry 0, and the page stays where it is.
 *
 * 6. Rejected. A cache for slots on their way back: a slot that is freed is
 *    rarely the next one to be wanted, and its neighbours matter more.
 *
 * References: swapon(2) on priorities; Linux documentation, admin-guide/mm.
 */
#include <mmkit/port.h>

#include "base/epoch.h"
#include "base/fail.h"
#include "cache/swap.h"

/* ---- within an area --------------------------------------------------------
 */

/* A free slot in CLUSTER at or after FROM, or 0. */
static u32 cluster_scan(const struct swap_info *si, u32 cluster, u32 from)
{
	u32 end = min((cluster + 1) * SWAPFILE_CLUSTER, si->max);

	if (swap_discard_away(si, cluster))
		return 0;
	for (u32 off = max(from, max(cluster * SWAPFILE_CLUSTER, 1u));
	     off < end; off++)
		if (*swap_slot_word(si, off) == 0)
			return off;
	return 0;
}

/* A cluster with at most LIMIT slots taken, from the rotor on; else none. */
static bool cluster_find(struct swap_info *si, u32 limit, u32 *out)
{
	for (u32 i = 0; i < si->nr_clusters; i++) {
		u32 c = (si->cluster_rotor + i) % si->nr_clusters;

		if (si->cluster_count[c] > limit || swap_discard_away(si, c))
			continue;
		si->cluster_rotor = (c + 1) % si->nr_clusters;
		*out = c;
		return true;
	}
	return false;
}

/* A slot for CPU: its own cluster, an empty one, any with room. Locked. */
static u32 area_scan(struct swap_info *si, int cpu)
{
	u32 next = si->cpu_next[cpu], c, off = 0;

	if (next)
		off = cluster_scan(si, next / SWAPFILE_CLUSTER, next);
	if (!off && cluster_find(si, 0, &c))
		off = cluster_scan(si, c, 0);
	if (!off && cluster_find(si, SWAPFILE_CLUSTER - 1, &c))
		off = cluster_scan(si, c, 0);
	if (!off)
		return 0;
	next = off + 1;
	si->cpu_next[cpu] =
		next % SWAPFILE_CLUSTER && next < si->max ? next : 0;
	return off;
}

/* Up to N slots of SI for CPU, in the order in which they are to be used; how
 * many. *RAN: the run is over, it is another area's turn. */
static u32 area_take(struct swap_info *si, int cpu, u32 *slots, u32 n,
		     bool *ran)
{
	struct port_bio *forget;
	u32 got = 0, next;

	spin_lock(&si->lock);
	while (got < n && si->in_use && si->inuse_pages < si->pages) {
		u32 off = area_scan(si, cpu);

		if (!off)
			break;
		swap_slot_take(si, off, SWAP_HAS_CACHE);
		slots[got++] = off;
	}
	next = si->cpu_next[cpu];
	*ran = got == SWAP_BATCH || next % SWAP_BATCH == 0;
	forget = swap_discard_next(si);
	spin_unlock(&si->lock);
	if (unlikely(forget))
		port_bio_submit(forget);
	return got;
}

/* ---- whose turn? -----------------------------------------------------------
 */

MM_STATIC_ASSERT(MAX_SWAPFILES <= 32, "a bit for each area");

/* The area to try next, not one of TRIED; NULL. In an epoch section. */
static struct swap_info *next_area(u32 tried)
{
	struct swap_info *best = NULL;

	for (u32 t = 0; t < nr_swap_areas(); t++) {
		struct swap_info *si = swap_area(t);

		if (!si || tried >> t & 1)
			continue;
		if (!best || si->prio > best->prio ||
		    (si->prio == best->prio &&
		     READ_ONCE(si->turn) < READ_ONCE(best->turn)))
			best = si;
	}
	return best;
}

/* Up to N slots of the first area that has some; *TYPE is its number. */
static u32 areas_take(u32 *slots, u32 n, u32 *type)
{
	struct swap_info *si;
	u32 tried = 0, got = 0;
	bool ran;

	epoch_enter();
	while (!got && (si = next_area(tried))) {
		tried |= 1u << si->type;
		got = area_take(si, port_cpu(), slots, n, &ran);
		*type = si->type;
		if (got && ran)
			WRITE_ONCE(si->turn,
				   __atomic_add_fetch(&cache_sys.swap_turns, 1,
						      __ATOMIC_RELAXED));
	}
	epoch_exit();
	return got;
}

/* ---- the caches ------------------------------------------------------------
 */

void swap_slots_init(void)
{
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++)
		spin_lock_init(&cache_sys.slots[cpu].lock,
			       LOCK_CLASS_SWAP_SLOTS);
}

/* A slot leaves a cache: nobody can have it any more, or it is handed out. */
static void uncount(swp_entry_t entry)
{
	struct swap_info *si = cache_sys.swap[swp_type(entry)];

	mm_verify(si && READ_ONCE(si->slots_cached) > 0);
	__atomic_fetch_sub(&si->slots_cached, 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&cache_sys.nr_swap_pages, 1, __ATOMIC_RELAXED);
}

/* C's cache is empty. Locked. */
static void slots_fill(struct swap_slots *c)
{
	u32 type, got = areas_take(c->slot, SWAP_BATCH, &type);

	c->nr = got;
	c->next = 0;
	if (!got)
		return;
	c->type = type;
	__atomic_fetch_add(&cache_sys.swap[type]->slots_cached, got,
			   __ATOMIC_RELAXED);
	__atomic_fetch_add(&cache_sys.nr_swap_pages, got, __ATOMIC_RELAXED);
}

/* A slot from the CPU's cache; FILL: which is filled if it is empty. */
static swp_entry_t slots_take(bool fill)
{
	struct swap_slots *c = &cache_sys.slots[port_cpu()];
	swp_entry_t entry = {0};

	spin_lock(&c->lock);
	if (fill && c->next == c->nr)
		slots_fill(c);
	if (c->next < c->nr) {
		entry = swp_entry(c->type, c->slot[c->next++]);
		uncount(entry);
	}
	spin_unlock(&c->lock);
	return entry;
}

u32 swap_slots_drain(void)
{
	u32 given = 0;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct swap_slots *c = &cache_sys.slots[cpu];

		spin_lock(&c->lock);
		for (; c->next < c->nr; given++) {
			swp_entry_t e = swp_entry(c->type, c->slot[c->next++]);

			uncount(e);
			swapcache_free(e);
		}
		spin_unlock(&c->lock);
	}
	return given;
}

/* Are there so many that some may wait in caches? */
static bool plenty(void)
{
	return get_nr_swap_pages() > 4ul * SWAP_BATCH * (u64)port_nr_cpus();
}

static swp_entry_t take_one(void)
{
	swp_entry_t entry = {0};
	u32 off, type;

	if (areas_take(&off, 1, &type))
		entry = swp_entry(type, off);
	return entry;
}

swp_entry_t get_swap_page(void)
{
	swp_entry_t entry = {0};

	if (fail_should(FAIL_SWAP_SLOT) || !get_nr_swap_pages())
		return entry;
	entry = slots_take(plenty());
	if (!entry.val)
		entry = take_one();
	if (!entry.val && swap_slots_drain())
		entry = take_one();
	return entry;
}

/* ---- slots in a row --------------------------------------------------------
 */

#define BLOCK_CLUSTERS (SWAP_BLOCK / SWAPFILE_CLUSTER)
MM_STATIC_ASSERT(SWAP_BLOCK % SWAPFILE_CLUSTER == 0,
		 "a block of slots is some clusters");

/* Are all slots of the clusters from C on free? Locked. */
static bool clusters_free(const struct swap_info *si, u32 c)
{
	for (u32 i = c; i < c + BLOCK_CLUSTERS; i++)
		if (si->cluster_count[i] || swap_discard_away(si, i))
			return false;
	return (c + BLOCK_CLUSTERS) * SWAPFILE_CLUSTER <= si->max;
}

/* The first of SWAP_BLOCK slots of SI, taken; 0: there are none in a row. */
static u32 area_take_block(struct swap_info *si)
{
	u32 n = si->nr_clusters / BLOCK_CLUSTERS, off = 0;
	struct port_bio *forget;

	spin_lock(&si->lock);
	/* Slot 0 is the header's: 0 is none of them. */
	for (u32 i = 1; i < n && !off && si->in_use; i++) {
		u32 c = (si->cluster_rotor / BLOCK_CLUSTERS + i) % n *
			BLOCK_CLUSTERS;

		if (c && clusters_free(si, c))
			off = c * SWAPFILE_CLUSTER;
	}
	for (u32 i = 0; off && i < SWAP_BLOCK; i++)
		swap_slot_take(si, off + i, SWAP_HAS_CACHE);
	if (off)
		si->cluster_rotor = (off / SWAPFILE_CLUSTER + BLOCK_CLUSTERS) %
				    si->nr_clusters;
	forget = swap_discard_next(si);
	spin_unlock(&si->lock);
	if (unlikely(forget))
		port_bio_submit(forget);
	return off;
}

swp_entry_t get_swap_block(void)
{
	swp_entry_t entry = {0};
	struct swap_info *si;
	u32 tried = 0, off = 0;

	if (fail_should(FAIL_SWAP_SLOT) || get_nr_swap_pages() < SWAP_BLOCK)
		return entry;
	epoch_enter();
	while (!off && (si = next_area(tried))) {
		tried |= 1u << si->type;
		off = area_take_block(si);
		if (!off)
			continue;
		entry = swp_entry(si->type, off);
		WRITE_ONCE(si->turn, __atomic_add_fetch(&cache_sys.swap_turns,
							1, __ATOMIC_RELAXED));
	}
	epoch_exit();
	return entry;
}
