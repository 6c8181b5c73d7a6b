/* SPDX-License-Identifier: MIT */
/*
 * shrinker.c - asking caches for objects when memory is short.
 *
 * 1. Purpose. Pages are found by reclaim itself; objects only their owners
 *    can find. So that neither goes before the other, a shrinker is asked for
 *    the same part of its objects as is scanned of the pages.
 *
 * 2. Way. One round: objects that could go, shifted by the priority, times
 *    4 / seeks. What is due is done in batches; what is too little for a
 *    batch, or could not be done now, is deferred: it is due in a later
 *    round, on whichever CPU, but never more than twice all objects.
 *
 * 3. Structures. A list of shrinkers; per shrinker and node the deferred
 *    count.
 *
 * 4. Locking. The registry's lock, shared during a round and only tried: an
 *    allocation under an exclusive holder must not wait for him. Deferred
 *    counts are atomic, taken whole by a round.
 *
 * 5. Failure. Registration may want memory; a round cannot fail.
 *
 * References: Linux documentation, filesystems/vfs (shrinkers of super
 * blocks), admin-guide/mm/shrinker_debugfs; M. Gorman, "Understanding the
 * Linux Virtual Memory Manager", chapter 10.
 */
#include <mmkit/errno.h>
#include <mmkit/shrinker.h>

#include "base/trace_ring.h"
#include "kmem/slab_priv.h"
#include "phys/vmstat.h"

void shrinker_init(void)
{
	init_rwsem(&kmem_sys.shrink.lock, LOCK_CLASS_SHRINKER);
}

int register_shrinker(struct shrinker *s, const char *name)
{
	struct shrinker_state *st = &kmem_sys.shrink;
	struct shrinker **at = &st->first;

	if (!s->count_objects || !s->scan_objects || !name)
		return -EINVAL;
	s->nr_deferred = kcalloc(MM_MAX_NODES, sizeof(u64), GFP_KERNEL);
	if (!s->nr_deferred)
		return -ENOMEM;
	s->name = name;
	s->next = NULL;
	down_write(&st->lock);
	s->id = st->next_id++;
	while (*at)
		at = &(*at)->next;
	*at = s;
	up_write(&st->lock);
	return 0;
}

void unregister_shrinker(struct shrinker *s)
{
	struct shrinker_state *st = &kmem_sys.shrink;
	struct shrinker **at = &st->first;

	down_write(&st->lock);
	while (*at != s) {
		mm_verify(*at != NULL); /* it is registered */
		at = &(*at)->next;
	}
	*at = s->next;
	up_write(&st->lock);
	kfree(s->nr_deferred);
	s->nr_deferred = NULL;
}

/* Objects of S that could go on SC's node. */
static u64 count_freeable(struct shrinker *s, struct shrink_control *sc)
{
	u64 n = s->count_objects(s, sc);

	return n == SHRINK_EMPTY ? 0 : n;
}

/* How many of FREEABLE a round of PRIORITY should look at by itself. */
static u64 round_share(const struct shrinker *s, u64 freeable, int priority)
{
	mm_assert(priority >= 0 && priority < 64);
	/* What costs nothing to make again goes first. */
	if (!s->seeks)
		return freeable / 2;
	return (freeable >> priority) * 4 / s->seeks;
}

/* Do TOTAL of FREEABLE in batches. *DONE: scanned. Returns objects freed. */
static u64 scan_batches(struct shrinker *s, struct shrink_control *sc,
			u64 freeable, u64 total, u64 *done)
{
	u64 batch = s->batch ? s->batch : SHRINKER_BATCH;
	u64 freed = 0;

	*done = 0;
	while (total >= batch || (total && total >= freeable)) {
		u64 ret;

		sc->nr_to_scan = min(batch, total);
		sc->nr_scanned = sc->nr_to_scan;
		ret = s->scan_objects(s, sc);
		if (ret == SHRINK_STOP)
			break;
		freed += ret;
		count_vm_events(SLABS_SCANNED, sc->nr_scanned);
		total -= min(total, sc->nr_scanned);
		*done += sc->nr_scanned;
		/* A shrinker that looks at nothing would keep us for ever. */
		if (!sc->nr_scanned)
			break;
		port_sched_point();
	}
	return freed;
}

static u64 shrink_one(struct shrinker *s, struct shrink_control *sc,
		      int priority)
{
	u64 freeable = count_freeable(s, sc), *deferred;
	u64 before, total, done, freed, left;

	if (!freeable)
		return 0;
	deferred = &s->nr_deferred[sc->nid];
	before = __atomic_exchange_n(deferred, 0, __ATOMIC_RELAXED);
	total = (before >> priority) + round_share(s, freeable, priority);
	total = min(total, 2 * freeable);
	trace_emit(MM_SHRINK_SLAB_START, (u64)(uintptr_t)s,
		   (u64)(uintptr_t)s->scan_objects, (u64)sc->nid, before,
		   sc->gfp_mask, freeable, round_share(s, freeable, priority),
		   total, (u64)priority);
	freed = scan_batches(s, sc, freeable, total, &done);
	/* What was due and is not done, now or before. */
	left = before + round_share(s, freeable, priority);
	left = min(left - min(left, done), 2 * freeable);
	left = __atomic_add_fetch(deferred, left, __ATOMIC_RELAXED);
	trace_emit(MM_SHRINK_SLAB_END, (u64)(uintptr_t)s, (u64)sc->nid,
		   (u64)(uintptr_t)s->scan_objects, before, left, freed, total);
	return freed;
}

u64 shrink_slab(gfp_t gfp, int nid, int priority)
{
	struct shrinker_state *st = &kmem_sys.shrink;
	u64 freed = 0;

	mm_assert(nid >= 0 && nid < MM_MAX_NODES);
	if (!READ_ONCE(st->first) || !down_read_trylock(&st->lock))
		return 0;
	for (struct shrinker *s = st->first; s; s = s->next) {
		struct shrink_control sc = {.gfp_mask = gfp, .nid = nid};

		/* Others count all nodes as one. */
		if (!(s->flags & SHRINKER_NUMA_AWARE))
			sc.nid = 0;
		freed += shrink_one(s, &sc, priority);
	}
	up_read(&st->lock);
	return freed;
}

void drop_slab(void)
{
	u64 freed;
	int rounds = 0;

	do {
		pg_data_t *pgdat;

		freed = 0;
		for (pgdat = first_online_pgdat(); pgdat;
		     pgdat = next_online_pgdat(pgdat))
			freed += shrink_slab(GFP_KERNEL, pgdat->node_id, 0);
	} while (freed >> rounds++ > 1 && rounds < 64);
	count_vm_event(DROP_SLAB);
}

static void show_one(struct seq_buf *out, struct shrinker *s)
{
	struct shrink_control sc = {.gfp_mask = GFP_KERNEL};
	pg_data_t *pgdat;

	seq_printf(out, "%s-%u", s->name, s->id);
	for (pgdat = first_online_pgdat(); pgdat;
	     pgdat = next_online_pgdat(pgdat)) {
		if (s->flags & SHRINKER_NUMA_AWARE)
			sc.nid = pgdat->node_id;
		seq_printf(out, " %llu",
			   (unsigned long long)count_freeable(s, &sc));
		if (!(s->flags & SHRINKER_NUMA_AWARE))
			break;
	}
	seq_putc(out, '\n');
}

void show_shrinkers(struct seq_buf *out)
{
	struct shrinker_state *st = &kmem_sys.shrink;

	seq_puts(out, "# shrinker  objects that could go, by node\n");
	if (!READ_ONCE(st->first))
		return;
	down_read(&st->lock);
	for (struct shrinker *s = st->first; s; s = s->next)
		show_one(out, s);
	up_read(&st->lock);
}
