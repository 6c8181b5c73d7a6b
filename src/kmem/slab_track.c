/* SPDX-License-Identifier: MIT */
/*
 * slab_track.c - who allocated an object and who freed it last.
 *
 * With SLAB_STORE_USER each object has two tracks: address, time, CPU, task
 * and the stack, which is kept once for all objects (stack_depot.h). The depot
 * is fed with whole frames by allocations that find it hungry; it is bounded,
 * and a track without a stack still has the caller's address. Frames that it
 * was fed with stay its own (audit).
 *
 * Writers hold the node's list lock, and so does who collects.
 *
 * References: Linux documentation, mm/slub (alloc_traces, free_traces).
 */
#include "base/bitops.h"
#include "base/printk.h"
#include "base/stack_depot.h"
#include "kmem/slab_priv.h"

typedef unsigned long long ull;

static struct slab_track *track_of(const struct kmem_cache *s, const void *obj,
				   enum track_item item)
{
	char *at = (char *)(uintptr_t)obj + s->layout.track;

	mm_assert(s->flags & SLAB_STORE_USER);
	return (struct slab_track *)(void *)at + item;
}

void slab_feed_depot(void)
{
	struct page *page;

	MM_STATIC_ASSERT(STACK_DEPOT_CHUNK == PAGE_SIZE, "a frame at a time");
	if (likely(!stack_depot_hungry()))
		return;
	page = alloc_page(GFP_NOWAIT | __GFP_NOWARN | __GFP_SKIP_FAIL);
	if (!page)
		return;
	if (stack_depot_feed(page_view(page)))
		__atomic_fetch_add(&kmem_sys.nr_depot, 1, __ATOMIC_RELAXED);
	else
		__free_page(page);
}

void slab_clear_tracks(const struct kmem_cache *s, void *obj)
{
	if (s->flags & SLAB_STORE_USER)
		mm_memset(track_of(s, obj, TRACK_ALLOC), 0,
			  2 * sizeof(struct slab_track));
}

void slab_set_track(struct kmem_cache *s, void *obj, enum track_item item,
		    u64 caller)
{
	if (!(s->flags & SLAB_STORE_USER))
		return;
	*track_of(s, obj, item) = (struct slab_track){
		.addr = caller,
		.when = port_now_ns(),
		.pid = port_in_irq() ? 0 : port_current()->pid,
		.cpu = (u16)port_cpu(),
		.used = true,
		.stack = stack_depot_here(caller),
	};
}

static u64 age_ms(u64 when)
{
	return (port_now_ns() - when) / 1000000;
}

static void print_track(const char *what, const struct slab_track *t)
{
	const u64 *entry;
	char text[128];
	u32 nr;

	if (!t->used)
		return;
	port_symbol(t->addr, text, sizeof(text));
	pr_err("%s in %s age=%llu cpu=%u pid=%d", what, text,
	       (ull)age_ms(t->when), t->cpu, t->pid);
	nr = stack_depot_fetch(t->stack, &entry);
	for (u32 i = 0; i < nr; i++) {
		port_symbol(entry[i], text, sizeof(text));
		pr_err("\t%s", text);
	}
}

void slab_print_tracks(const struct kmem_cache *s, const void *obj)
{
	if (!(s->flags & SLAB_STORE_USER))
		return;
	print_track("Allocated", track_of(s, obj, TRACK_ALLOC));
	print_track("Freed", track_of(s, obj, TRACK_FREE));
}

/* ---- collecting
 * ------------------------------------------------------------------------ */

/* Where tracks of one cache are summed up. */
struct collect {
	struct slab_location *out;
	u32 nr, max;
	enum track_item item;
	bool full; /* a place found no room */
};

static struct slab_location *find_location(struct collect *c,
					   const struct slab_track *t)
{
	struct slab_location *l;

	for (u32 i = 0; i < c->nr; i++)
		if (c->out[i].addr == t->addr && c->out[i].stack == t->stack)
			return &c->out[i];
	if (c->nr == c->max) {
		c->full = true;
		return NULL;
	}
	l = &c->out[c->nr++];
	*l = (struct slab_location){
		.addr = t->addr,
		.stack = t->stack,
		.min_age = UINT64_MAX,
		.min_pid = INT32_MAX,
		.max_pid = INT32_MIN,
	};
	return l;
}

static void add_track(struct collect *c, const struct slab_track *t, int nid)
{
	struct slab_location *l = find_location(c, t);
	u64 age = t->used ? age_ms(t->when) : 0;

	if (!l)
		return;
	l->count++;
	l->nodes |= 1UL << nid;
	l->sum_age += age;
	l->min_age = min(l->min_age, age);
	l->max_age = max(l->max_age, age);
	l->min_pid = min(l->min_pid, t->pid);
	l->max_pid = max(l->max_pid, t->pid);
	if (t->used)
		l->cpus.bits[t->cpu / 64] |= BIT(t->cpu % 64);
}

static void collect_list(struct kmem_cache *s, struct collect *c,
			 struct page_list *list)
{
	struct page *slab;

	for (slab = page_list_first(list); slab; slab = page_list_next(slab)) {
		u64 bits[SLAB_OBJECT_BITS] = {0};
		u32 objects = slab_word(slab).objects;
		char *obj = slab_base(slab) + s->layout.red_left;

		slab_mark_free(s, slab, bits);
		for (u32 i = 0; i < objects; i++, obj += s->layout.size)
			if (!(bits[i / 64] >> i % 64 & 1))
				add_track(c, track_of(s, obj, c->item),
					  page_to_nid(slab));
	}
}

/* Most objects first; places of equal number by age. */
static bool before(const struct slab_location *a, const struct slab_location *b)
{
	if (a->count != b->count)
		return a->count > b->count;
	return a->max_age > b->max_age;
}

static void sort_locations(struct slab_location *l, u32 nr)
{
	for (u32 i = 1; i < nr; i++) {
		struct slab_location at = l[i];
		u32 k = i;

		for (; k && before(&at, &l[k - 1]); k--)
			l[k] = l[k - 1];
		l[k] = at;
	}
}

bool slab_locations(struct kmem_cache *s, enum track_item item,
		    struct slab_location *out, u32 max, u32 *nr)
{
	struct collect c = {.out = out, .max = max, .item = item};

	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		struct kmem_cache_node *n = smp_load_acquire(&s->node[nid]);
		unsigned long flags;

		if (!n || !(s->flags & SLAB_STORE_USER))
			continue;
		spin_lock_irqsave(&n->list_lock, flags);
		collect_list(s, &c, &n->partial);
		collect_list(s, &c, &n->full);
		spin_unlock_irqrestore(&n->list_lock, flags);
	}
	sort_locations(out, c.nr);
	*nr = c.nr;
	return !c.full;
}
