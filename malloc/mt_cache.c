/* SPDX-License-Identifier: MIT */
/*
 * mt_cache.c - magazines: what stands between malloc and the slabs.
 *
 * 1. Purpose. malloc() and free() in a dozen instructions each, without a
 *    lock; whatever is more is done for many objects at once.
 *
 * 2. Structures. Four layers, each asked when the one before has nothing:
 *
 *      magazine   the thread's, one per class: up to 63 objects (mt_sys.h)
 *      shelf      the thread's full magazines of the class
 *      depot      everybody's full magazines of the class
 *      slabs      floor kmem; for classes over 8 KiB frames of floor phys
 *
 *    Magazines begin with a few places and get more, up to the class's most,
 *    while they are an eighth of what the class has: a process pays for speed
 *    in proportion to what it holds. One that is still smaller than the most
 *    is filled by half and emptied by half, and never leaves its thread.
 *
 *    A free object is only named in a magazine; nothing is written into it
 *    until it goes back to its slab.
 *
 * 3. Invariants.
 *    MT-1  A top of a thread is MT_NIL, or points into its own magazine.
 *    MT-2  The word below the lowest object of a magazine is NULL; on a shelf
 *          the first word is the link, and becomes NULL again when taken.
 *    MT-3  A shelf holds at most SHELF_BYTES of objects, a depot DEPOT_BYTES,
 *          and either not more than a part of the class's objects.
 *    MT-4  An object is named in at most one magazine, and then belongs to
 *          nobody else.
 *
 * 4. Locking. A thread's part: none. A depot: its word. Slabs: the thread is
 *    a CPU (mt_boot.c). No two at once.
 *
 * 5. Life of an object. slab -> magazine -> user -> magazine of whoever frees
 *    it -> shelf -> depot -> another thread, or the slab. What one thread
 *    allocates and another frees travels by the magazine.
 *
 * 6. Ends. A thread's end empties its magazines and shelves into depots and
 *    slabs; what it frees later goes straight to the slabs. After fork the
 *    child keeps the forking thread's magazines and the depots; what lay in
 *    other threads' magazines is lost to it.
 *
 * 7. Hardened and debug mode. No thread gets a magazine, so every call comes
 * here; a bit for each 8 bytes of RAM says where objects begin that are in use.
 *
 * References: J. Bonwick, J. Adams, "Magazines and Vmem", USENIX 2001.
 */
#include <errno.h>
#include <string.h>

#include "mt.h"

#define FIRST_BYTES 4096u /* of objects in a thread's first magazine */
#define FIRST_MOST  16u
#define SMALL_MOST  512u
#define SMALL_PART  4u
#define LARGE_PART  16u
#define SPARES	    16u
#define SHELF_BYTES (64u << 10)
#define DEPOT_BYTES (512u << 10)

void *mt_nil[MT_MAG_WORDS] MM_ALIGNED(MT_MAG_BYTES);

__thread struct mt_self mt_self = {
	.top = {[0 ... MT_NR_CLASSES - 1] = MT_NIL},
};

/* ---- magazines
 * ----------------------------------------------------------------- */

/* Place of the NULL below the objects of a magazine with CAP places. */
static u32 floor_of(u32 cap)
{
	return MT_MAG_WORDS - 1 - cap;
}

static void **mag_of(void **top)
{
	return (void **)((uintptr_t)(top - 1) & ~(MT_MAG_BYTES - 1));
}

/* The thread's of class C. */
static void **mag_empty_top(void **mag, u32 c)
{
	u32 at = floor_of(mt_self.cap[c]);

	mag[at] = NULL;
	return mag + at + 1;
}

/* A magazine may have this part of its class's objects. */
static u32 part_of(u32 c)
{
	return mt_sys.size_of[c] > SMALL_MOST ? LARGE_PART : SMALL_PART;
}

/*
 * More places for the thread's next magazine of class C, if what the class has
 * justifies it. False: no.
 */
static bool more_places(u32 c)
{
	u32 most = mt_sys.cap_of[c], cap = mt_self.cap[c];

	if (cap == most)
		return false;
	if (!cap)
		cap = clamp(FIRST_BYTES / mt_sys.size_of[c], 2u, FIRST_MOST);
	else if (cap * 2 * part_of(c) <= mt_class_objects(c))
		cap *= 2;
	else
		return false;
	mt_self.cap[c] = (u8)min(cap, most);
	return true;
}

static void shelf_push(struct mt_shelf *s, void **mag)
{
	*mag = s->first;
	/* A depot's are peeked at without its word. */
	WRITE_ONCE(s->first, mag);
	s->nr++;
}

/* A magazine of the shelf, or NULL. */
static void **shelf_pop(struct mt_shelf *s)
{
	void **mag = s->first;

	if (mag) {
		WRITE_ONCE(s->first, *mag);
		*mag = NULL;
		s->nr--;
	}
	return mag;
}

/* Bytes of the objects of a full magazine. */
static u32 mag_bytes(u32 c)
{
	return mt_sys.cap_of[c] * mt_sys.size_of[c];
}

/*
 * May S have one more of at MOST bytes? Of large objects a part of the class
 * only: there are many classes, and each has few.
 */
static bool shelf_room(const struct mt_shelf *s, u32 c, u32 most)
{
	u64 bytes = (s->nr + 1) * (u64)mag_bytes(c);

	return bytes <= most &&
	       (mt_sys.size_of[c] <= SMALL_MOST ||
		bytes <= mt_class_objects(c) * mt_sys.size_of[c] / LARGE_PART);
}

/* Who only takes full magazines from the depot must not hoard empty ones. */
static void spare_put(void **mag)
{
	if (mt_self.spare.nr >= SPARES)
		mt_meta_drop(mag);
	else
		shelf_push(&mt_self.spare, mag);
}

static void **spare_get(void)
{
	void **mag = shelf_pop(&mt_self.spare);

	return mag ? mag : mt_meta_mag();
}

static void count_depot(s64 bytes)
{
	__atomic_fetch_add(&mt_sys.depot_bytes, bytes, __ATOMIC_RELAXED);
}

static bool depot_push(u32 c, void **mag)
{
	struct mt_depot *d = &mt_sys.depot[c];
	bool ok;

	mt_lock(&d->word);
	ok = shelf_room(&d->shelf, c, DEPOT_BYTES);
	if (ok)
		shelf_push(&d->shelf, mag);
	mt_unlock(&d->word);
	if (ok)
		count_depot((s64)mag_bytes(c));
	return ok;
}

static void **depot_pop(u32 c)
{
	struct mt_depot *d = &mt_sys.depot[c];
	void **mag;

	if (!READ_ONCE(d->shelf.first))
		return NULL;
	mt_lock(&d->word);
	mag = shelf_pop(&d->shelf);
	mt_unlock(&d->word);
	if (mag)
		count_depot(-(s64)mag_bytes(c));
	return mag;
}

/* A full magazine's objects go to the slabs. */
static void mag_to_slabs(u32 c, void **mag)
{
	mt_objects_put(c, mag + floor_of(mt_sys.cap_of[c]) + 1,
		       mt_sys.cap_of[c]);
}

/* ---- a thread's life
 * ----------------------------------------------------------- */

/* May the calling thread keep magazines? */
static bool live(void)
{
	if (likely(mt_self.life == MT_LIVE))
		return true;
	if (mt_self.life == MT_DEAD || mt_sys.direct)
		return false;
	/* First, for this may allocate. */
	mt_self.life = MT_LIVE;
	pthread_setspecific(mt_sys.key, &mt_self);
	mt_hooks();
	return true;
}

static void class_flush(u32 c)
{
	void **top = mt_self.top[c], **mag;
	u32 nr;

	if (top != MT_NIL) {
		mag = mag_of(top);
		mt_self.top[c] = mag_empty_top(mag, c);
		nr = (u32)(top - mt_self.top[c]);
		if (nr)
			mt_objects_put(c, mt_self.top[c], nr);
	}
	while ((mag = shelf_pop(&mt_self.shelf[c]))) {
		mag_to_slabs(c, mag);
		spare_put(mag);
	}
}

void mt_cache_flush(void)
{
	if (mt_self.life != MT_LIVE)
		return;
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++)
		class_flush(c);
}

void mt_depot_flush(void)
{
	void **mag;

	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		while ((mag = depot_pop(c))) {
			mag_to_slabs(c, mag);
			mt_meta_drop(mag);
		}
	}
}

void mt_cache_exit(void *self)
{
	void **mag;

	mm_verify(self == &mt_self);
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		while ((mag = shelf_pop(&mt_self.shelf[c]))) {
			if (depot_push(c, mag))
				continue;
			mag_to_slabs(c, mag);
			spare_put(mag);
		}
		class_flush(c);
		if (mt_self.top[c] != MT_NIL)
			mt_meta_drop(mag_of(mt_self.top[c]));
		mt_self.top[c] = MT_NIL;
	}
	while ((mag = shelf_pop(&mt_self.spare)))
		mt_meta_drop(mag);
	mt_self.life = MT_DEAD;
}

/* ---- allocating
 * ---------------------------------------------------------------- */

/* The magazine of class C is empty: a full one takes its place. */
static bool take_full(u32 c)
{
	void **mag = shelf_pop(&mt_self.shelf[c]);

	if (!mag)
		mag = depot_pop(c);
	if (!mag)
		return false;
	if (mt_self.top[c] != MT_NIL)
		spare_put(mag_of(mt_self.top[c]));
	mt_self.top[c] = mag + MT_MAG_WORDS;
	mt_self.cap[c] = (u8)mt_sys.cap_of[c];
	return true;
}

/* Fill the empty magazine of class C from the slabs. */
static bool fill(u32 c)
{
	void **top = mt_self.top[c], **mag;
	u32 nr;

	mag = top == MT_NIL ? spare_get() : mag_of(top);
	if (!mag)
		return false;
	more_places(c);
	top = mag_empty_top(mag, c);
	nr = mt_self.cap[c];
	if (nr < mt_sys.cap_of[c])
		nr /= 2;
	mt_self.top[c] = top + mt_objects_get(c, top, nr);
	return mt_self.top[c] != top;
}

/* One object with no magazine in between. */
static void *direct_get(u32 c)
{
	void *p;

	return mt_objects_get(c, &p, 1) ? p : NULL;
}

static u64 live_bit(const void *p, u64 **word)
{
	u64 n = (u64)((const char *)p - mt_base) / 8;

	*word = &mt_sys.live[n / 64];
	return 1ul << n % 64;
}

static void *checked_get(u32 c)
{
	void *p = direct_get(c);
	u64 *word, bit;

	if (p) {
		bit = live_bit(p, &word);
		if (__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit)
			mt_die("corrupted free list gave an object in use", p);
	}
	return p;
}

static void *class_alloc(u32 c)
{
	if (live()) {
		if (likely(take_full(c) || fill(c)))
			return *--mt_self.top[c];
		return NULL;
	}
	return mt_sys.direct ? checked_get(c) : direct_get(c);
}

void *mt_malloc_slow(size_t size)
{
	void *p = NULL;
	bool zeroed;

	if (unlikely(!mt_up())) {
		if (mt_self.booting)
			p = mt_boot_alloc(size);
	} else if (size > MT_CLASS_MAX) {
		p = mt_large(size, MM_CACHELINE, &zeroed);
	} else {
		p = class_alloc(mt_sys.class_of[(size + 7) >> 3]);
	}
	if (unlikely(!p))
		errno = ENOMEM;
	return p;
}

/* ---- freeing
 * ------------------------------------------------------------------- */

/*
 * The magazine of class C, smaller than the most, is full: it gets more places,
 * or the lower half of its objects, which lie longest, go to the slabs.
 */
static void make_room_small(u32 c)
{
	u32 cap = mt_self.cap[c], out = (cap + 1) / 2;
	void **from = mt_self.top[c] - cap, **to;

	if (more_places(c)) {
		to = mag_empty_top(mag_of(from), c);
		out = 0;
	} else {
		mt_objects_put(c, from, out);
		to = from;
	}
	memmove(to, from + out, (cap - out) * sizeof(*to));
	mt_self.top[c] = to + (cap - out);
}

/*
 * The magazine of class C is full: it goes to the shelf or the depot, or is
 * emptied into the slabs.
 */
static void make_room(u32 c)
{
	void **mag = mag_of(mt_self.top[c]), **empty;

	if (mt_self.cap[c] < mt_sys.cap_of[c]) {
		make_room_small(c);
		return;
	}
	empty = spare_get();
	if (empty) {
		if (shelf_room(&mt_self.shelf[c], c, SHELF_BYTES)) {
			shelf_push(&mt_self.shelf[c], mag);
			mt_self.top[c] = mag_empty_top(empty, c);
			return;
		}
		if (depot_push(c, mag)) {
			mt_self.top[c] = mag_empty_top(empty, c);
			return;
		}
		spare_put(empty);
	}
	mag_to_slabs(c, mag);
	mt_self.top[c] = mag_empty_top(mag, c);
}

static void class_free(u32 c, void *p)
{
	void **top;

	if (mt_self.top[c] == MT_NIL) {
		void **mag = spare_get();

		if (!mag) {
			mt_objects_put(c, &p, 1);
			return;
		}
		more_places(c);
		mt_self.top[c] = mag_empty_top(mag, c);
	}
	top = mt_self.top[c];
	if ((uintptr_t)top % MT_MAG_BYTES == 0) {
		if (*(top - 1) == p)
			mt_die("double free", p);
		make_room(c);
		top = mt_self.top[c];
	}
	*top = p;
	mt_self.top[c] = top + 1;
}

/* P must be the begin of an object in use. */
static void checked_free(void *p)
{
	u64 *word, bit = live_bit(p, &word);

	if ((uintptr_t)p % 8 ||
	    !(__atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED) & bit))
		mt_die("double free or invalid pointer", p);
}

static void span_free(void *p)
{
	u32 c = READ_ONCE(mt_map[mt_frame(p)]);

	if (c == MT_RUN) {
		mt_run_free(p);
		return;
	}
	if (c < MT_FIRST)
		mt_die("double free or invalid pointer", p);
	if (mt_sys.direct)
		checked_free(p);
	if (live())
		class_free(c, p);
	else
		mt_objects_put(c, &p, 1);
}

void mt_free_slow(void *p)
{
	int saved = errno;

	if (!p || mt_boot_owns(p))
		return;
	if (unlikely(!mt_up()))
		mt_die("invalid pointer", p);
	if (mt_in_span(p))
		span_free(p);
	else
		mt_map_free(p);
	errno = saved;
}
