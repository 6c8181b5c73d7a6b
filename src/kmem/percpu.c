/* SPDX-License-Identifier: MIT */
/*
 * percpu.c - objects of which every CPU has its own.
 *
 * 1. Purpose. Counters, caches and queues that a CPU changes without asking
 *    others; made and unmade at run time, found without a table.
 *
 * 2. Structures. A chunk is one unit of 32 KiB for each CPU, one behind the
 *    other. All units of a chunk are divided alike, so one map serves all
 *    (percpu_chunk.c), and an object's address for CPU i is that for CPU 0
 *    plus i units:
 *
 *      chunk  | unit of CPU 0     | unit of CPU 1     | ...
 *             | a | b |   free    | a | b |   free    |
 *
 *    Chunks stand in a tree by address and in lists by their longest free
 *    run; the frames come from percpu_frames.c. The first chunk may begin
 *    with a copy of the image's static per-CPU data for each CPU, and a part
 *    that is reserved, which has a map of its own.
 *
 * 3. Invariants.
 *    PCP-1 Objects do not overlap, in any CPU's unit.
 *    PCP-2 Every page of an object that is out has frames for all CPUs.
 *    PCP-3 A chunk stands in the list of its longest free run.
 *    PCP-4 nr_pages counts the frames.
 *
 * 4. Locking. The lock, interrupts off, for maps and lists: freeing works
 *    anywhere. The alloc mutex for whoever may sleep: it makes chunks and
 *    gives pages their frames, outside the lock. Mutex before lock.
 *
 * 5. Life. The fullest chunk with a place gets the object. Who may sleep gives
 *    the object's pages frames; who may not gets only pages that have them,
 *    for which a few empty ones are kept ready. Empty chunks but one, and the
 *    frames of pages without objects when there are many, are given back by the
 *    next caller that may sleep; all of them by percpu_reclaim().
 *
 * 6. Failure. NULL, logged; a place that was taken is given back. Frames that
 *    were had until then stay with the chunk.
 *
 * 7. Cost. A search of some hints and 16 words; O(log n) for n chunks to free.
 *    Access: a shift and an addition, no memory read.
 *
 * 8. Rejected. A table of units by chunk: memory nearer to each CPU even
 *    without vmalloc, but two loads at every access. Units as large as the
 *    static data wants: the distance would not be a constant.
 *
 * References: Linux documentation, core-api/this_cpu_ops; C. Lameter's and
 * T. Heo's description in the kernel's documentation of mm/percpu.
 */
#include "kmem/percpu.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/bitops.h"
#include "base/fail.h"
#include "base/printk.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "kmem/slab.h"

static inline struct pcpu_state *state(void)
{
	return &kmem_sys.pcpu;
}

/* ---- lists and tree; lock held
 * ---------------------------------------------------------- */

/* Slot 0: nothing is free; else by the bits of the longest run's bytes. */
static u32 slot_of(u32 bits)
{
	u32 slot = (u32)fls(bits * PCPU_MIN_ALLOC);

	mm_assert(slot < PCPU_SLOTS);
	return slot;
}

static bool chunk_empty(const struct pcpu_chunk *c)
{
	return c->free_bits == PCPU_BITS;
}

/* C goes to the list of its longest run. */
static void chunk_list(struct pcpu_chunk *c)
{
	struct pcpu_state *s = state();

	c->slot = slot_of(c->contig);
	s->slots |= 1U << c->slot;
	list_add(&c->list, &s->slot[c->slot]);
}

/* C's map was changed; EMPTY is what nr_empty was before. */
static void chunk_changed(struct pcpu_chunk *c, u32 empty)
{
	struct pcpu_state *s = state();

	assert_spin_locked(&s->lock);
	if (c == s->reserved)
		return;
	WRITE_ONCE(s->nr_empty, s->nr_empty + c->nr_empty - empty);
	if (slot_of(c->contig) == c->slot)
		return;
	list_del(&c->list);
	chunk_list(c);
}

static void chunk_insert(struct pcpu_chunk *c)
{
	struct pcpu_state *s = state();
	struct rb_node **link = &s->chunks.rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = c->base < rb_entry(parent, struct pcpu_chunk, node)->base
			       ? &parent->left
			       : &parent->right;
	}
	rb_link_node(&c->node, parent, link);
	rb_insert_color(&c->node, &s->chunks);
	chunk_list(c);
	s->nr_chunks++;
	WRITE_ONCE(s->nr_empty, s->nr_empty + c->nr_empty);
}

static void chunk_remove(struct pcpu_chunk *c)
{
	struct pcpu_state *s = state();

	mm_verify(chunk_empty(c) && !c->first);
	rb_erase(&c->node, &s->chunks);
	list_del(&c->list);
	s->nr_chunks--;
	WRITE_ONCE(s->nr_empty, s->nr_empty - c->nr_empty);
}

/* The chunk whose first unit holds PTR, NULL; *OFF: how far into it. */
static struct pcpu_chunk *chunk_find(const char *ptr, u32 *off)
{
	struct rb_node *node = state()->chunks.rb_node;

	while (node) {
		struct pcpu_chunk *c = rb_entry(node, struct pcpu_chunk, node);

		if (ptr < c->base) {
			node = node->left;
		} else if (ptr >= c->base + PCPU_UNIT_SIZE) {
			node = node->right;
		} else {
			*off = (u32)(ptr - c->base);
			if (state()->reserved &&
			    c->base == state()->reserved->base &&
			    *off >= state()->static_size &&
			    *off < state()->static_size +
					    state()->reserved_size)
				return state()->reserved;
			return c;
		}
	}
	return NULL;
}

/* ---- chunks
 * ---------------------------------------------------------------------------
 */

static gfp_t own_gfp(gfp_t gfp)
{
	return gfp & ~(__GFP_ACCOUNT | __GFP_ZERO | __GFP_HIGHMEM | __GFP_DMA |
		       __GFP_DMA32);
}

/* A chunk that nobody knows yet, or NULL. */
static struct pcpu_chunk *chunk_make(gfp_t gfp)
{
	struct pcpu_chunk *c =
		kmem_cache_alloc(state()->cache, gfp | __GFP_ZERO);
	u64 populated;

	if (!c)
		return NULL;
	if (pcpu_back(c, gfp)) {
		kmem_cache_free(state()->cache, c);
		return NULL;
	}
	populated = c->populated;
	pcpu_chunk_init(c);
	for (u32 i = 0; i < PCPU_PAGES; i++) {
		if (populated >> i & 1)
			pcpu_chunk_populated(c, i, true);
	}
	trace_emit(PERCPU_CREATE_CHUNK, (u64)(uintptr_t)c->base);
	return c;
}

static void chunk_unmake(struct pcpu_chunk *c)
{
	trace_emit(PERCPU_DESTROY_CHUNK, (u64)(uintptr_t)c->base);
	pcpu_unback(c);
	kmem_cache_free(state()->cache, c);
}

/* Frames for PAGE of C unless it has them; 0 or -ENOMEM. Alloc mutex held. */
static int page_ready(struct pcpu_chunk *c, u32 page, gfp_t gfp)
{
	unsigned long flags;
	u32 empty;
	int err;

	mutex_assert_held(&state()->alloc_mutex);
	if (c->populated >> page & 1)
		return 0;
	err = pcpu_populate(c, page, gfp);
	if (err)
		return err;
	spin_lock_irqsave(&state()->lock, flags);
	empty = c->nr_empty;
	pcpu_chunk_populated(c, page, true);
	chunk_changed(c, empty);
	spin_unlock_irqrestore(&state()->lock, flags);
	return 0;
}

/* Take empty chunks out of the lists, but for KEEP of them. */
static u32 empties_remove(struct list_head *list, u32 keep)
{
	struct list_head *slot = &state()->slot[slot_of(PCPU_BITS)];
	struct pcpu_chunk *c, *next;
	unsigned long flags;
	u32 n = 0;

	spin_lock_irqsave(&state()->lock, flags);
	list_for_each_entry_safe (c, next, slot, list) {
		if (!chunk_empty(c) || c->first || (keep && keep--))
			continue;
		chunk_remove(c);
		list_add(&c->list, list);
		n++;
	}
	spin_unlock_irqrestore(&state()->lock, flags);
	return n;
}

/* Give up empty chunks, but for KEEP. Alloc mutex held. */
static void reclaim_chunks(u32 keep)
{
	struct pcpu_chunk *c, *next;
	LIST_HEAD(list);

	mutex_assert_held(&state()->alloc_mutex);
	if (!empties_remove(&list, keep))
		return;
	list_for_each_entry_safe (c, next, &list, list)
		chunk_unmake(c);
}

/* The last page of C with frames and no object; PCPU_PAGES: none. */
static u32 empty_page(const struct pcpu_chunk *c)
{
	for (u32 i = PCPU_PAGES; c->nr_empty && i--;) {
		if (c->populated >> i & 1 && c->hint[i].free == PCPU_BLOCK_BITS)
			return i;
	}
	return PCPU_PAGES;
}

/*
 * A page of those that are ready for who may not sleep, if there are more than
 * KEEP: it is ready no more. The emptiest chunk's; not of the first chunk, nor
 * of a block of frames. NULL: there is none.
 */
static struct pcpu_chunk *surplus_page(u32 keep, u32 *page)
{
	struct pcpu_chunk *c, *found = NULL;
	struct pcpu_state *s = state();
	unsigned long flags;
	u32 slot = READ_ONCE(s->nr_empty) > keep ? PCPU_SLOTS : 0;

	spin_lock_irqsave(&s->lock, flags);
	while (slot-- > 1 && !found && s->nr_empty > keep) {
		list_for_each_entry (c, &s->slot[slot], list) {
			u32 empty = c->nr_empty;

			*page = empty_page(c);
			if (c->first || !c->vm || *page == PCPU_PAGES)
				continue;
			pcpu_chunk_populated(c, *page, false);
			chunk_changed(c, empty);
			found = c;
			break;
		}
	}
	spin_unlock_irqrestore(&s->lock, flags);
	return found;
}

/* Give up pages without objects, but for KEEP. Alloc mutex held: so no chunk
 * goes, and none of its pages gets frames. */
static void reclaim_pages(u32 keep)
{
	struct pcpu_chunk *c;
	u32 page;

	mutex_assert_held(&state()->alloc_mutex);
	while ((c = surplus_page(keep, &page)))
		pcpu_unpopulate(c, page);
}

/* A page without frames in a chunk that has free places; NULL if none. */
static struct pcpu_chunk *want_frames(u32 *page)
{
	struct pcpu_chunk *c, *found = NULL;
	unsigned long flags;

	spin_lock_irqsave(&state()->lock, flags);
	for (u32 slot = PCPU_SLOTS; slot-- > 1 && !found;) {
		list_for_each_entry (c, &state()->slot[slot], list) {
			u64 none = ~c->populated & GENMASK(PCPU_PAGES - 1, 0);

			if (!none)
				continue;
			*page = __ffs(none);
			found = c;
			break;
		}
	}
	spin_unlock_irqrestore(&state()->lock, flags);
	return found;
}

/* Keep some pages ready for who may not sleep; without, nothing is lost. */
static void balance(gfp_t gfp)
{
	struct pcpu_chunk *c;
	u32 page;

	reclaim_chunks(1);
	if (READ_ONCE(state()->nr_empty) > PCPU_EMPTY_MOST)
		reclaim_pages(PCPU_EMPTY_HIGH);
	if (!kmem_sys.vm.up || READ_ONCE(state()->nr_empty) >= PCPU_EMPTY_LOW)
		return;
	while (READ_ONCE(state()->nr_empty) < PCPU_EMPTY_HIGH) {
		c = want_frames(&page);
		if (!c ||
		    page_ready(c, page, gfp | __GFP_NORETRY | __GFP_NOWARN))
			return;
	}
}

/* ---- allocating
 * ------------------------------------------------------------------------ */

struct pcpu_want {
	u32 bits, align; /* in bits of the map */
	bool reserved, atomic;
	gfp_t gfp;
};

/* W's place in C, taken; PCPU_BITS: there is none. Lock held. */
static u32 take_in(struct pcpu_chunk *c, const struct pcpu_want *w)
{
	u32 at = pcpu_chunk_fit(c, w->bits, w->align, w->atomic);
	u32 empty = c->nr_empty;

	if (at >= PCPU_BITS)
		return PCPU_BITS;
	pcpu_chunk_take(c, at, w->bits);
	chunk_changed(c, empty);
	state()->nr_objects++;
	return at;
}

/* A place in a chunk of the lists. A list that is empty loses its bit. */
static struct pcpu_chunk *take_from_lists(const struct pcpu_want *w, u32 *at)
{
	struct pcpu_state *s = state();
	u32 left = s->slots & ~0U << slot_of(w->bits);

	for (; left; left &= left - 1) {
		u32 slot = (u32)__ffs(left);
		struct pcpu_chunk *c;

		if (list_empty(&s->slot[slot]))
			s->slots &= ~(1U << slot);
		list_for_each_entry (c, &s->slot[slot], list) {
			*at = take_in(c, w);
			if (*at < PCPU_BITS)
				return c;
		}
	}
	return NULL;
}

/* A place in some chunk, the fullest first; NULL if there is none. */
static struct pcpu_chunk *take_any(const struct pcpu_want *w, u32 *at)
{
	struct pcpu_chunk *found = NULL;
	unsigned long flags;

	*at = PCPU_BITS;
	spin_lock_irqsave(&state()->lock, flags);
	if (w->reserved) {
		if (state()->reserved)
			*at = take_in(state()->reserved, w);
		found = *at < PCPU_BITS ? state()->reserved : NULL;
	}
	if (!w->reserved)
		found = take_from_lists(w, at);
	spin_unlock_irqrestore(&state()->lock, flags);
	return found;
}

/* The object at AT of C goes. Returns its bits; 0: there is none. Lock held. */
static u32 give_back(struct pcpu_chunk *c, u32 at)
{
	u32 empty = c->nr_empty, bits = pcpu_chunk_give(c, at);

	if (bits) {
		state()->nr_objects--;
		chunk_changed(c, empty);
	}
	return bits;
}

/* Frames under all of the place; on failure it is given back. */
static int place_ready(struct pcpu_chunk *c, u32 at, const struct pcpu_want *w)
{
	u32 last = (at + w->bits - 1) / (u32)PCPU_BLOCK_BITS;
	unsigned long flags;
	int err = 0;

	for (u32 i = at / (u32)PCPU_BLOCK_BITS; i <= last && !err; i++)
		err = page_ready(c, i, w->gfp);
	if (!err)
		return 0;
	spin_lock_irqsave(&state()->lock, flags);
	mm_verify(give_back(c, at) == w->bits);
	spin_unlock_irqrestore(&state()->lock, flags);
	return err;
}

/* By a caller that may sleep. *WHY on failure. */
static struct pcpu_chunk *alloc_sleeping(const struct pcpu_want *w, u32 *at,
					 const char **why)
{
	struct pcpu_chunk *c = take_any(w, at);
	unsigned long flags;

	*why = w->reserved ? "no room in the reserved part"
			   : "failed to allocate new chunk";
	while (!c && !w->reserved) {
		struct pcpu_chunk *fresh = chunk_make(w->gfp);

		if (!fresh)
			return NULL;
		spin_lock_irqsave(&state()->lock, flags);
		chunk_insert(fresh);
		spin_unlock_irqrestore(&state()->lock, flags);
		c = take_any(w, at);
	}
	if (c && place_ready(c, *at, w)) {
		*why = "failed to populate";
		return NULL;
	}
	return c;
}

static struct pcpu_chunk *alloc_place(const struct pcpu_want *w, u32 *at,
				      const char **why)
{
	struct pcpu_chunk *c;

	if (w->atomic) {
		*why = "atomic alloc failed, no space left";
		return take_any(w, at);
	}
	mutex_lock(&state()->alloc_mutex);
	c = alloc_sleeping(w, at, why);
	if (c)
		balance(w->gfp);
	mutex_unlock(&state()->alloc_mutex);
	return c;
}

/* CALLER asked. */
static void *alloc_object(size_t size, size_t align, bool reserved, gfp_t gfp,
			  const void *caller)
{
	struct pcpu_want w = {
		.bits = (u32)(ALIGN(size, PCPU_MIN_ALLOC) / PCPU_MIN_ALLOC),
		.align = max((u32)align, PCPU_MIN_ALLOC) / PCPU_MIN_ALLOC,
		.reserved = reserved,
		.atomic = !(gfp & __GFP_DIRECT_RECLAIM),
		.gfp = own_gfp(gfp),
	};
	const char *why = "injected";
	struct pcpu_chunk *c = NULL;
	struct pcpu_paid *paid;
	char *ptr;
	u32 at;

	if (pcpu_charge((size_t)w.bits * PCPU_MIN_ALLOC, gfp, &paid))
		return NULL;
	if (!fail_should(FAIL_PERCPU))
		c = alloc_place(&w, &at, &why);
	if (!c) {
		pcpu_cancel(paid);
		trace_emit(PERCPU_ALLOC_PERCPU_FAIL, reserved, w.atomic, size,
			   align);
		if (!(gfp & __GFP_NOWARN))
			pr_warn("percpu: allocation failed, size=%llu align=%llu "
				"atomic=%d, %s",
				(unsigned long long)size,
				(unsigned long long)align, w.atomic, why);
		return NULL;
	}
	ptr = c->base + (u64)at * PCPU_MIN_ALLOC;
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		mm_memset(per_cpu_ptr(ptr, cpu), 0, w.bits * PCPU_MIN_ALLOC);
	pcpu_assign(paid, ptr);
	trace_emit(PERCPU_ALLOC_PERCPU, (u64)(uintptr_t)caller, reserved,
		   w.atomic, size, align, (u64)(uintptr_t)c->base,
		   (u64)at * PCPU_MIN_ALLOC, (u64)(uintptr_t)ptr,
		   (u64)w.bits * PCPU_MIN_ALLOC * (u64)port_nr_cpus(), gfp);
	return ptr;
}

static bool args_ok(size_t size, size_t align)
{
	if (size && size <= PCPU_UNIT_SIZE && is_power_of_2(align) &&
	    align <= PAGE_SIZE)
		return true;
	pr_warn("percpu: illegal size (%llu) or align (%llu) for percpu "
		"allocation",
		(unsigned long long)size, (unsigned long long)align);
	return false;
}

void *__alloc_percpu_gfp(size_t size, size_t align, gfp_t gfp)
{
	return args_ok(size, align) ? alloc_object(size, align, false, gfp,
						   __builtin_return_address(0))
				    : NULL;
}

void *__alloc_reserved_percpu(size_t size, size_t align)
{
	return args_ok(size, align)
		       ? alloc_object(size, align, true, GFP_KERNEL,
				      __builtin_return_address(0))
		       : NULL;
}

void free_percpu(void *ptr)
{
	struct pcpu_paid *paid = NULL;
	struct pcpu_chunk *c;
	unsigned long flags;
	u32 off = 0, bits = 0;

	if (!ptr)
		return;
	spin_lock_irqsave(&state()->lock, flags);
	c = chunk_find(ptr, &off);
	/* The image's own objects are never freed. */
	if (c && off % PCPU_MIN_ALLOC == 0 &&
	    !(c->first && off < state()->static_size))
		bits = give_back(c, off / PCPU_MIN_ALLOC);
	if (bits) {
		paid = pcpu_paid_take(ptr);
		trace_emit(PERCPU_FREE_PERCPU, (u64)(uintptr_t)c->base, off,
			   (u64)(uintptr_t)ptr);
	}
	spin_unlock_irqrestore(&state()->lock, flags);
	pcpu_cancel(paid);
	if (!bits)
		pr_err("BUG: free_percpu() of what is no object (%s)",
		       c ? "in a chunk" : "not in a chunk");
}

u64 percpu_reclaim(void)
{
	u64 before = pcpu_nr_pages();

	if (!state()->up)
		return 0;
	mutex_lock(&state()->alloc_mutex);
	reclaim_chunks(0);
	reclaim_pages(0);
	mutex_unlock(&state()->alloc_mutex);
	return before > pcpu_nr_pages() ? before - pcpu_nr_pages() : 0;
}

u64 pcpu_nr_pages(void)
{
	return READ_ONCE(state()->nr_pages);
}

/* ---- boot, check
 * ------------------------------------------------------------------------ */

void *pcpu_static(u32 off)
{
	struct rb_node *node;

	mm_verify(off < state()->static_size);
	for (node = rb_first(&state()->chunks); node; node = rb_next(node)) {
		struct pcpu_chunk *c = rb_entry(node, struct pcpu_chunk, node);

		if (c->first)
			return c->base + off;
	}
	mm_bug("no first chunk");
}

/* All pages of C get frames: it must work before anything can wait. */
static int fill_first(struct pcpu_chunk *c)
{
	int err = 0;

	for (u32 i = 0; i < PCPU_PAGES && !err; i++) {
		if (c->populated >> i & 1)
			continue;
		err = pcpu_populate(c, i, GFP_KERNEL);
		if (!err)
			pcpu_chunk_populated(c, i, true);
	}
	return err;
}

/* The reserved part is a chunk of its own over the same memory: what is not
 * reserved counts as used there. */
static int make_reserved(const struct pcpu_chunk *first)
{
	struct pcpu_state *s = state();
	u32 from = s->static_size / PCPU_MIN_ALLOC;
	u32 end = from + s->reserved_size / PCPU_MIN_ALLOC;
	struct pcpu_chunk *c;

	if (!s->reserved_size)
		return 0;
	c = kmem_cache_alloc(s->cache, GFP_KERNEL | __GFP_ZERO);
	if (!c)
		return -ENOMEM;
	c->base = first->base;
	c->first = true;
	pcpu_chunk_init(c);
	for (u32 i = 0; i < PCPU_PAGES; i++)
		pcpu_chunk_populated(c, i, true);
	if (from)
		pcpu_chunk_take(c, 0, from);
	if (end < PCPU_BITS)
		pcpu_chunk_take(c, end, (u32)PCPU_BITS - end);
	s->reserved = c;
	return 0;
}

static int first_chunk(const struct pcpu_boot *b)
{
	struct pcpu_state *s = state();
	u32 taken = s->static_size + s->reserved_size;
	struct pcpu_chunk *c = chunk_make(GFP_KERNEL);
	int err = -ENOMEM;

	if (!c)
		return -ENOMEM;
	err = fill_first(c);
	if (!err)
		err = make_reserved(c);
	if (err) {
		chunk_unmake(c);
		return err;
	}
	c->first = true;
	if (taken)
		pcpu_chunk_take(c, 0, taken / PCPU_MIN_ALLOC);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		mm_memset(per_cpu_ptr(c->base, cpu), 0, PCPU_UNIT_SIZE);
		if (b->static_size)
			mm_memcpy(per_cpu_ptr(c->base, cpu), b->template,
				  b->static_size);
	}
	chunk_insert(c);
	pr_info("percpu: Embedded %llu pages/cpu s%u r%u d%llu u%llu",
		(unsigned long long)PCPU_PAGES, s->static_size,
		s->reserved_size, (unsigned long long)PCPU_UNIT_SIZE - taken,
		(unsigned long long)PCPU_UNIT_SIZE);
	return 0;
}

int pcpu_init(const struct pcpu_boot *b)
{
	struct pcpu_state *s = state();

	spin_lock_init(&s->lock, LOCK_CLASS_PERCPU);
	mutex_init(&s->alloc_mutex, LOCK_CLASS_PERCPU_ALLOC);
	for (u32 i = 0; i < PCPU_SLOTS; i++)
		INIT_LIST_HEAD(&s->slot[i]);
	s->cache = kmem_cache_create("percpu_chunk", sizeof(struct pcpu_chunk),
				     0, 0, NULL);
	if (!s->cache)
		return -ENOMEM;
	s->up = true;
	if (!b)
		return 0;
	s->static_size = (u32)ALIGN(b->static_size, (u32)MM_CACHELINE);
	s->reserved_size = (u32)ALIGN(b->reserved_size, (u32)MM_CACHELINE);
	if ((u64)s->static_size + s->reserved_size > PCPU_UNIT_SIZE)
		return -E2BIG;
	return first_chunk(b);
}

static void check_slot(u32 slot, u32 *chunks, u32 *empty)
{
	struct pcpu_chunk *c;
	u32 off;

	list_for_each_entry (c, &state()->slot[slot], list) {
		pcpu_chunk_check(c);
		mm_verify(slot_of(c->contig) == slot && c->slot == slot);
		mm_verify(state()->slots >> slot & 1);
		mm_verify(chunk_find(c->base, &off) != NULL && off == 0);
		(*chunks)++;
		*empty += c->nr_empty;
	}
}

void pcpu_check(void)
{
	u32 chunks = 0, empty = 0;
	unsigned long flags;

	if (!state()->up)
		return;
	spin_lock_irqsave(&state()->lock, flags);
	for (u32 i = 0; i < PCPU_SLOTS; i++)
		check_slot(i, &chunks, &empty);
	mm_verify(chunks == state()->nr_chunks);
	mm_verify(empty == state()->nr_empty);
	if (state()->reserved)
		pcpu_chunk_check(state()->reserved);
	spin_unlock_irqrestore(&state()->lock, flags);
}
