/* SPDX-License-Identifier: MIT */
/*
 * zs_pool.c - a pool of compressed pages.
 *
 * 1. Purpose. Compressed pages have any size from a few bytes to most of a
 *    page. kmalloc's sizes would waste a quarter of the memory that compressing
 *    gained, and its objects cannot be moved when most of their neighbours are
 *    gone.
 *
 * 2. Way (as documented of Linux's zsmalloc). Sizes go in classes of 32 bytes.
 *    Objects of a class lie one behind the other in a zspage of one to four
 *    single frames, as many as waste least; an object may begin in one frame
 *    and end in the next, which costs a copy in two parts and no large blocks.
 *    New objects go to the fullest zspages first.
 *
 * 3. Moving. Each object begins with the address of its owner's reference. To
 *    give frames back the emptiest zspage of a class is moved into the others
 *    and each owner's reference follows.
 *
 *    The frames themselves may be given others (compaction, memory that goes
 *    offline): they are movable by the pool's table (phys/movable_ops.h).
 *    References name zspage and number, no address, so only zspage.frame
 *    changes. A frame's index and private words are its zspage's address.
 *
 * 4. Invariants.
 *    ZS-1  used has inuse bits set; a zspage with inuse 0 does not exist; it is
 *          on the list full exactly if inuse is max.
 *    ZS-2  The header of a used object names a reference that names the object.
 *    ZS-4  While a frame has the pool's table its words name a zspage that has
 *          it. Both change with the pool's lock held: who holds the frame alone
 *          looks again when he has the lock.
 *    ZS-3  frames, objects and room are the sums over all zspages.
 *
 * 5. Locking. The caller's lock over the pool; the mover comes with the frame's
 *    page lock and takes it inside. Here no page is locked.
 *
 * 6. Failure. No frame: no object, and nothing changed.
 *
 * Reference: Linux documentation, mm/zsmalloc.
 */
#include "cache/zs_pool.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/assert.h"
#include "base/string.h"
#include "kmem/vmalloc.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

static u32 class_size(u32 class)
{
	return (class + 1) * ZS_STEP;
}

/* How many frames waste the smallest share at the end. */
static u32 class_frames(u32 class)
{
	u32 size = class_size(class), best = 1;

	for (u32 n = 2; n <= ZS_MAX_FRAMES; n++) {
		u64 waste = n * PAGE_SIZE % size;

		if (waste * best < (best * PAGE_SIZE % size) * n)
			best = n;
	}
	return best;
}

/* ---- frames ----------------------------------------------------------------
 */

static void frame_join(struct zs_pool *pool, struct zspage *z, u32 i,
		       struct page *page)
{
	z->frame[i] = page;
	set_page_index(page, (u32)(uintptr_t)z);
	set_page_private(page, (u32)((u64)(uintptr_t)z >> 32));
	set_page_movable(page, &pool->ops);
	mod_zone_page_state(page_zone(page), NR_ZSPAGES, 1);
}

/* PAGE is the pool's no more, but for its reference. */
static void frame_leave(struct page *page)
{
	clear_page_movable(page);
	set_page_index(page, 0);
	set_page_private(page, 0);
	mod_zone_page_state(page_zone(page), NR_ZSPAGES, -1);
}

/* The pool whose PAGE is, locked; NULL: none's (any more). */
static struct zs_pool *frame_lock(const struct page *page)
{
	const struct movable_operations *ops = page_movable_ops(page);
	struct zs_pool *pool = container_of(ops, struct zs_pool, ops);

	if (!ops)
		return NULL;
	spin_lock(pool->lock);
	if (page_movable_ops(page) == ops)
		return pool;
	spin_unlock(pool->lock);
	return NULL;
}

static struct zspage *frame_zspage(const struct page *page)
{
	return (struct zspage *)(uintptr_t)((u64)page_private(page) << 32 |
					    page_index(page));
}

static void copy_frame(struct page *to, struct page *from)
{
	void *src = page_map(from), *dst = page_map(to);

	mm_memcpy(dst, src, PAGE_SIZE);
	page_unmap(to, dst);
	page_unmap(from, src);
}

/* The pool may use the frame meanwhile, and drop it. */
static bool zs_isolate_page(struct page *page, int mode)
{
	struct zs_pool *pool = frame_lock(page);

	(void)mode;
	if (pool)
		spin_unlock(pool->lock);
	return pool != NULL;
}

static int zs_migrate_page(struct page *new, struct page *page, int mode)
{
	struct zs_pool *pool = frame_lock(page);
	struct zspage *z;
	u32 i = 0;

	(void)mode;
	if (!pool)
		return -EBUSY;
	z = frame_zspage(page);
	while (z->frame[i] != page)
		mm_verify(++i < z->frames);
	copy_frame(new, page);
	get_page(new);
	frame_leave(page);
	frame_join(pool, z, i, new);
	pool->migrated++;
	spin_unlock(pool->lock);
	put_page(page);
	return 0;
}

static void zs_putback_page(struct page *page)
{
	(void)page;
}

int zs_pool_init(struct zs_pool *pool, spinlock_t *lock)
{
	mm_memset(pool, 0, sizeof(*pool));
	pool->lock = lock;
	pool->ops = (struct movable_operations){
		.isolate_page = zs_isolate_page,
		.migrate_page = zs_migrate_page,
		.putback_page = zs_putback_page,
	};
	for (u32 i = 0; i < ZS_CLASSES; i++) {
		INIT_LIST_HEAD(&pool->class[i].partial);
		INIT_LIST_HEAD(&pool->class[i].full);
	}
	pool->zspage_cache =
		kmem_cache_create("zspage", sizeof(struct zspage), 0, 0, NULL);
	return pool->zspage_cache ? 0 : -ENOMEM;
}

void zs_pool_exit(struct zs_pool *pool)
{
	mm_verify(pool->frames == 0);
	kmem_cache_destroy(pool->zspage_cache);
	mm_memset(pool, 0, sizeof(*pool));
}

/* ---- zspages ---------------------------------------------------------------
 */

static void zspage_free(struct zs_pool *pool, struct zspage *z)
{
	for (u32 i = 0; i < z->frames; i++) {
		frame_leave(z->frame[i]);
		put_page(z->frame[i]);
	}
	pool->frames -= z->frames;
	kmem_cache_free(pool->zspage_cache, z);
}

static struct zspage *zspage_new(struct zs_pool *pool, u32 class, gfp_t gfp)
{
	struct zspage *z =
		kmem_cache_alloc(pool->zspage_cache, gfp | __GFP_ZERO);
	u32 want = class_frames(class);

	if (!z)
		return NULL;
	for (; z->frames < want; z->frames++) {
		struct page *page =
			alloc_page(gfp | __GFP_HIGHMEM | __GFP_MOVABLE);

		if (!page) {
			pool->frames += z->frames;
			zspage_free(pool, z);
			return NULL;
		}
		frame_join(pool, z, z->frames, page);
	}
	pool->frames += want;
	z->class = (u16) class;
	z->max = (u16)(want * PAGE_SIZE / class_size(class));
	pool->class[class].room += z->max;
	list_add(&z->list, &pool->class[class].partial);
	return z;
}

/* BYTES at byte OFF of object INDEX. */
static void object_copy(const struct zspage *z, u32 index, u32 off, void *buf,
			u32 bytes, bool store)
{
	u64 at = (u64)index * class_size(z->class) + off;
	u8 *b = buf;

	mm_assert(index < z->max && off + bytes <= class_size(z->class));
	while (bytes) {
		u32 in = (u32)(at % PAGE_SIZE);
		u32 n = min(bytes, (u32)PAGE_SIZE - in);
		struct page *page = z->frame[at / PAGE_SIZE];
		u8 *view = page_map(page);

		if (store)
			mm_memcpy(view + in, b, n);
		else
			mm_memcpy(b, view + in, n);
		page_unmap(page, view);
		b += n;
		at += n;
		bytes -= n;
	}
}

static u32 first_unset(const struct zspage *z)
{
	u32 i = 0;

	while (z->used[i / 64] >> i % 64 & 1)
		i++;
	mm_verify(i < z->max);
	return i;
}

/* A place in Z, which is not full, is REF's. */
static void take_place(struct zs_pool *pool, struct zspage *z,
		       struct zs_ref *ref)
{
	struct zs_class *c = &pool->class[z->class];
	u32 i = first_unset(z);

	z->used[i / 64] |= 1UL << i % 64;
	if (++z->inuse == z->max)
		list_move(&z->list, &c->full);
	c->objects++;
	ref->zspage = z;
	ref->index = i;
	object_copy(z, i, 0, &ref, sizeof(ref), true);
}

/* REF's place is free; a zspage that is empty goes. */
static void drop_place(struct zs_pool *pool, const struct zs_ref *ref)
{
	struct zspage *z = ref->zspage;
	struct zs_class *c = &pool->class[z->class];

	mm_verify(z->used[ref->index / 64] >> ref->index % 64 & 1);
	z->used[ref->index / 64] &= ~(1UL << ref->index % 64);
	c->objects--;
	if (z->inuse-- == z->max)
		list_move(&z->list, &c->partial);
	if (z->inuse)
		return;
	list_del(&z->list);
	c->room -= z->max;
	zspage_free(pool, z);
}

/* The zspage of C with a place that has fewest (FULLEST) or most; NULL. Not
 * EXCEPT. */
static struct zspage *find_partial(const struct zs_class *c, bool fullest,
				   const struct zspage *except)
{
	struct zspage *z, *best = NULL;

	list_for_each_entry (z, &c->partial, list) {
		if (z == except)
			continue;
		if (!best ||
		    (fullest ? z->inuse > best->inuse : z->inuse < best->inuse))
			best = z;
	}
	return best;
}

/* ---- objects ---------------------------------------------------------------
 */

bool zs_alloc(struct zs_pool *pool, u32 bytes, gfp_t gfp, struct zs_ref *ref)
{
	u32 class = (bytes + ZS_HEADER - 1) / ZS_STEP;
	struct zspage *z;

	mm_verify(bytes && bytes <= ZS_MAX_OBJECT);
	/* The first will do: those that just lost an object come first. */
	z = list_first_entry_or_null(&pool->class[class].partial, struct zspage,
				     list);
	if (!z)
		z = zspage_new(pool, class, gfp);
	if (z)
		take_place(pool, z, ref);
	return z != NULL;
}

void zs_free(struct zs_pool *pool, struct zs_ref *ref)
{
	drop_place(pool, ref);
	ref->zspage = NULL;
}

void zs_store(const struct zs_ref *ref, const void *from, u32 bytes)
{
	object_copy(ref->zspage, ref->index, ZS_HEADER, (void *)(uintptr_t)from,
		    bytes, true);
}

void zs_load(const struct zs_ref *ref, void *to, u32 bytes)
{
	object_copy(ref->zspage, ref->index, ZS_HEADER, to, bytes, false);
}

/* ---- moving ----------------------------------------------------------------
 */

/* The object at INDEX of Z goes to TO. */
static void move_object(struct zs_pool *pool, struct zspage *z, u32 index,
			struct zspage *to)
{
	u8 bytes[ZS_STEP];
	struct zs_ref *ref, old = {z, index};
	u32 size = class_size(z->class);

	object_copy(z, index, 0, &ref, sizeof(ref), false);
	mm_verify(ref->zspage == z && ref->index == index);
	take_place(pool, to, ref);
	for (u32 off = ZS_HEADER; off < size; off += sizeof(bytes)) {
		u32 n = min((u32)sizeof(bytes), size - off);

		object_copy(z, index, off, bytes, n, false);
		object_copy(to, ref->index, off, bytes, n, true);
	}
	drop_place(pool, &old);
}

/* Empty one zspage of C into the others. The frames that gives; 0: there is
 * no room. */
static u32 compact_one(struct zs_pool *pool, struct zs_class *c)
{
	struct zspage *from = find_partial(c, false, NULL), *to;
	u32 frames, left;

	if (!from || c->room - c->objects < (u64)from->max)
		return 0;
	frames = from->frames;
	left = from->inuse;
	for (u32 i = 0; left; i++) {
		if (!(from->used[i / 64] >> i % 64 & 1))
			continue;
		to = find_partial(c, true, from);
		mm_verify(to != NULL);
		left--;
		move_object(pool, from, i, to);
	}
	pool->compacted += frames;
	return frames;
}

u64 zs_compact(struct zs_pool *pool, u64 nr)
{
	u64 freed = 0;
	u32 got;

	for (u32 i = 0; i < ZS_CLASSES; i++)
		while (freed < nr && (got = compact_one(pool, &pool->class[i])))
			freed += got;
	return freed;
}

u64 zs_compactable(const struct zs_pool *pool)
{
	u64 n = 0;

	for (u32 i = 0; i < ZS_CLASSES; i++) {
		const struct zs_class *c = &pool->class[i];
		u32 frames = class_frames(i);
		u64 max = frames * PAGE_SIZE / class_size(i);

		n += (c->room - c->objects) / max * frames;
	}
	return n;
}

/* ---- check -----------------------------------------------------------------
 */

static void check_zspage(const struct zspage *z, u32 class, bool full)
{
	u32 n = 0;

	mm_verify(z->class == class && z->inuse > 0);
	for (u32 i = 0; i < z->frames; i++)
		mm_verify(page_movable_ops(z->frame[i]) &&
			  frame_zspage(z->frame[i]) == z);
	mm_verify(full == (z->inuse == z->max));
	for (u32 i = 0; i < z->max; i++) {
		struct zs_ref *ref;

		if (!(z->used[i / 64] >> i % 64 & 1))
			continue;
		object_copy(z, i, 0, &ref, sizeof(ref), false);
		mm_verify(ref->zspage == z && ref->index == i);
		n++;
	}
	mm_verify(n == z->inuse);
}

void zs_check(const struct zs_pool *pool)
{
	u64 frames = 0;

	for (u32 i = 0; i < ZS_CLASSES && pool->zspage_cache; i++) {
		const struct zs_class *c = &pool->class[i];
		u64 objects = 0, room = 0;
		struct zspage *z;

		for (int full = 0; full < 2; full++)
			list_for_each_entry (z, full ? &c->full : &c->partial,
					     list) {
				check_zspage(z, i, full);
				objects += z->inuse;
				room += z->max;
				frames += z->frames;
			}
		mm_verify(objects == c->objects && room == c->room);
	}
	mm_verify(frames == pool->frames);
}
