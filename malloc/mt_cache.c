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
 *      slabs      floor kmem; over 4 KiB packs (mt_pack.c), over 8 KiB frames
 *
 *    Magazines begin with a few places and get more, up to the class's most,
 *    while they are half to a seventh of what the class has: a process pays for
 *    speed in proportion to what it holds. One that is still smaller than the
 *    most is filled by half and emptied by half, and never leaves its thread.
 *
 *    A free object is only named in a magazine; nothing is written into it
 *    until it goes back to its slab.
 *
 * 3. Invariants.
 *    MT-1  A top of a thread is MT_NIL, or points into its own magazine.
 *    MT-2  The word below the lowest object of a magazine is NULL; on a shelf
 *          the first word is the link, and becomes NULL again when taken.
 *    MT-3  A shelf holds at most SHELF_BYTES of objects, a depot DEPOT_BYTES,
 *          and either not more than a part of the class's objects; a shelf also
 *          no more than the thread showed that it takes: a magazine, and each
 *          time it had to go to the depot twice as many and one more.
 *    MT-4  An object is named in at most one magazine, and then belongs to
 *          nobody else.
 *    MT-5  What a magazine of a class names is of that class; of one in slabs,
 *          also of larger ones in slabs that lend to it (mt_lends()).
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
 *    child does the same for the threads it has not (mt_fork.c).
 *
 * 7. Objects freed twice. A magazine that is about to leave its thread, to the
 *    depot or to the slabs, and every SHELF_CHECK-th that goes to a shelf, is
 *    searched for an object that it names twice: six instructions for each
 *    object, at times when it costs dozens anyway. At exit and by
 *    malloc_trim() all that thread and depot have is looked at together.
 *
 * 8. Loans. What a small process wastes is half used slabs, and each class has
 *    as many as it ever needed at once. So while a class has few slabs and all
 *    of them are used up, or it was never used, it is served by what the thread
 *    has at hand of larger classes, up to half as large again. Nothing notes a
 *    loan: the map says what the object is when it is freed. It costs several
 *    times what a magazine does, so after LEND_MOST of them the class fills a
 *    magazine: from its slabs, from larger classes' slabs that have free
 *    objects, with a full one of such a class's depot, and only then from a new
 *    slab. So what a magazine names may be of larger classes than its own, in
 *    slabs like it, and is sorted when it goes there (mt_class.c).
 *
 *    Large objects have many classes with few objects each, whose numbers go up
 *    and down by themselves: what one lacks others have too much of, and the
 *    packs would be asked to give here and to take there. So each time a
 *    magazine of them has to give some up, the thread may take LOANS from
 *    larger ones. Who only allocates has none to spare and gets none: what is
 *    left over in each would stay.
 *
 * 9. Hardened and debug mode. No thread gets a magazine, so every call comes
 *    here and goes on to mt_guard.c.
 *
 * References: J. Bonwick, J. Adams, "Magazines and Vmem", USENIX 2001.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bitops.h"
#include "mt.h"

#define FIRST_BYTES 4096u /* of objects in a thread's first magazine */
#define FIRST_MOST  16u
#define SMALL_MOST  512u
/* A magazine may have this part of its class's objects: of small ones, of those
 * if it has most places, and so may leave for the shelf whole, half of either
 * with more than two threads; and of large ones; and a shelf of large ones. */
#define SMALL_PART  2u
#define MOST_PART   4u
#define LARGE_PART  2u /* and one more for each thread, ... */
#define LARGE_LEAST 7u /* ... so many at most */
#define SHELF_PART  16u
#define LOOK_EACH   4u
#define LEND_MOST   32u
#define LOANS	    64u
#define SPARES	    16u
#define SHELF_BYTES (256u << 10)
#define DEPOT_BYTES (512u << 10)
#define SHELF_CHECK 16u
#define SEEN_PLACES 256u
#define SEEN_STEP   37u
#define FEW_OBJECTS 8u
#define FEW_PLACES  32u
#define SEEN_FEW    128u

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

static void **mag_empty_top(void **mag, u32 cap)
{
	u32 at = floor_of(cap);

	mag[at] = NULL;
	return mag + at + 1;
}

/*
 * May a magazine of class C have CAP places? What is in one is not lost for the
 * class: a slab is made when magazine and slabs have nothing, and seldom is one
 * of small objects free all at once. Large ones share their pages.
 */
static bool may_have(u32 c, u32 cap)
{
	u32 part = cap < mt_sys.cap_of[c] ? SMALL_PART : MOST_PART;

	/* Two threads that work; a third mostly waits for them. */
	if (READ_ONCE(mt_sys.nr_live) > 2)
		part *= 2;
	if (mt_sys.size_of[c] > SMALL_MOST)
		part = min(LARGE_PART + READ_ONCE(mt_sys.nr_live), LARGE_LEAST);
	return (u64)cap * part <= mt_class_objects(c);
}

/*
 * More places for the thread's next magazine of class C, if what the class has
 * justifies it. False: no.
 */
static bool more_places(u32 c)
{
	u32 most = mt_sys.cap_of[c], cap = mt_self.cap[c];
	u32 next = cap + min(cap, FIRST_MOST);

	if (cap == most)
		return false;
	/* Looking at a large one each time would be for nothing mostly. */
	if (cap && mt_sys.size_of[c] > SMALL_MOST &&
	    ++mt_self.nr_missed % LOOK_EACH)
		return false;
	if (!cap)
		next = clamp(FIRST_BYTES / mt_sys.size_of[c], 2u, FIRST_MOST);
	else if (!may_have(c, next))
		return false;
	mt_self.cap[c] = (u8)min(next, most);
	return true;
}

static void shelf_push(struct mt_shelf *s, void **mag)
{
	*mag = s->first;
	/* A depot's are peeked at without its word. */
	WRITE_ONCE(s->first, mag);
	WRITE_ONCE(s->nr, s->nr + 1);
}

/* A magazine of the shelf, or NULL. */
static void **shelf_pop(struct mt_shelf *s)
{
	void **mag = s->first;

	if (mag) {
		WRITE_ONCE(s->first, *mag);
		*mag = NULL;
		WRITE_ONCE(s->nr, s->nr - 1);
	}
	return mag;
}

/* Is class C one of those that lend each other as long as some have too much?
 */
static inline bool lends_large(u32 c)
{
	u32 size = mt_sys.size_of[c];

	return size > SMALL_MOST && size <= MT_PACK_END;
}

/* Bytes of the objects of a full magazine. */
static u32 mag_bytes(u32 c)
{
	return mt_sys.cap_of[c] * mt_sys.size_of[c];
}

/*
 * May S, a shelf or a depot, have one more of at MOST bytes? Of large objects a
 * part of the class only: there are many classes, and each has few.
 */
static inline bool shelf_room(const struct mt_shelf *s, u32 c, u32 most)
{
	u64 bytes = (READ_ONCE(s->nr) + 1) * (u64)mag_bytes(c);

	return bytes <= most &&
	       (mt_sys.size_of[c] <= SMALL_MOST ||
		bytes <= mt_class_objects(c) * mt_sys.size_of[c] / SHELF_PART);
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

static bool named_before(void *const *objs, u32 i)
{
	for (u32 k = 0; k < i; k++) {
		if (objs[k] == objs[i])
			return true;
	}
	return false;
}

/* OBJS, NR free objects, name one twice, which is named once from now on.
 * Returns how many are left. */
static MM_NOINLINE u32 tell_twice(void **objs, u32 nr)
{
	for (u32 i = 1; i < nr; i++) {
		if (named_before(objs, i)) {
			mt_bad("double free", objs[i]);
			objs[i--] = objs[--nr];
		}
	}
	return nr;
}

/*
 * Report what OBJS, NR objects of class C that are free, names twice, and name
 * it once. Returns how many are left.
 */
static u32 check_twice(u32 c, void **objs, u32 nr)
{
	/* By address, the place in OBJS and one more: objects that lie side by
	 * side are in different ones. */
	u8 seen[SEEN_PLACES];
	u32 shift = (u32)ilog2(mt_sys.size_of[c]), mask = SEEN_PLACES - 1;

	if (nr < 2 || (nr == 2 && objs[0] != objs[1]) ||
	    (nr == 3 && objs[0] != objs[1] && objs[0] != objs[2] &&
	     objs[1] != objs[2]))
		return nr;
	if (nr <= FEW_OBJECTS)
		mask = FEW_PLACES - 1;
	memset(seen, 0, mask + 1);
	for (u32 i = 0; i < nr;) {
		u32 at = (u32)((uintptr_t)objs[i] >> shift);

		for (at ^= at / SEEN_PLACES; seen[at & mask]; at += SEEN_STEP) {
			if (unlikely(objs[seen[at & mask] - 1] == objs[i]))
				return tell_twice(objs, nr);
		}
		seen[at & mask] = (u8)++i;
	}
	return nr;
}

/* A full magazine of class C, before it leaves the thread. False: it is not
 * full any more, and its objects went to the slabs. */
static bool check_full(u32 c, void **mag)
{
	void **objs = mag + floor_of(mt_sys.cap_of[c]) + 1;
	u32 nr = check_twice(c, objs, mt_sys.cap_of[c]);

	if (likely(nr == mt_sys.cap_of[c]))
		return true;
	mt_objects_put(c, objs, nr);
	return false;
}

static bool depot_push(u32 c, void **mag)
{
	struct mt_shelf *d = &mt_sys.depot[c];
	bool ok;

	mt_lock(&d->word);
	ok = shelf_room(d, c, DEPOT_BYTES);
	if (ok)
		shelf_push(d, mag);
	mt_unlock(&d->word);
	if (ok)
		count_depot((s64)mag_bytes(c));
	return ok;
}

static MM_NOINLINE void **depot_pop(u32 c)
{
	struct mt_shelf *d = &mt_sys.depot[c];
	void **mag;

	if (!READ_ONCE(d->first))
		return NULL;
	mt_lock(&d->word);
	mag = shelf_pop(d);
	mt_unlock(&d->word);
	if (mag)
		count_depot(-(s64)mag_bytes(c));
	return mag;
}

/* A full magazine's objects go to the slabs. */
static void mag_to_slabs(u32 c, void **mag)
{
	if (check_full(c, mag))
		mt_objects_put(c, mag + floor_of(mt_sys.cap_of[c]) + 1,
			       mt_sys.cap_of[c]);
}

/* A full magazine's objects go to the depot or the slabs. True: the depot has
 * the magazine itself. */
static bool mag_leaves(u32 c, void **mag)
{
	if (!check_full(c, mag))
		return false;
	if (depot_push(c, mag))
		return true;
	mt_objects_put(c, mag + floor_of(mt_sys.cap_of[c]) + 1,
		       mt_sys.cap_of[c]);
	return false;
}

/* ---- a thread's life
 * ----------------------------------------------------------- */

/* May the calling thread keep magazines? */
static MM_NOINLINE bool comes_alive(void)
{
	if (mt_self.life == MT_DEAD || mt_sys.direct)
		return false;
	/* The hooks allocate, without magazines; and so does
	 * pthread_setspecific(), with. */
	mt_self.life = MT_DEAD;
	mt_hooks();
	mt_self.life = MT_LIVE;
	mt_thread_add();
	if (unlikely(pthread_setspecific(mt_sys.key, &mt_self))) {
		/* Nobody would empty its magazines. */
		mt_cache_exit(&mt_self);
		return false;
	}
	return true;
}

static inline bool live(void)
{
	return likely(mt_self.life == MT_LIVE) || comes_alive();
}

/* What the magazine of SELF, the thread or one that is gone, has of class C. */
static void top_flush(struct mt_self *self, u32 c)
{
	void **top = self->top[c], **mag, **objs;
	u32 nr;

	if (top != MT_NIL) {
		mag = mag_of(top);
		objs = mag_empty_top(mag, self->cap[c]);
		self->top[c] = objs;
		nr = check_twice(c, objs, (u32)(top - objs));
		if (nr)
			mt_objects_put(c, objs, nr);
	}
}

static void class_flush(u32 c)
{
	void **mag;

	top_flush(&mt_self, c);
	while ((mag = shelf_pop(&mt_self.shelf[c]))) {
		mag_to_slabs(c, mag);
		spare_put(mag);
	}
}

void mt_cache_flush(void)
{
	if (mt_self.life != MT_LIVE)
		return;
	mt_lock(&mt_self.word);
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++)
		class_flush(c);
	mt_unlock(&mt_self.word);
}

/* Objects that were seen: a set by their addresses, never full. */
struct seen {
	void **slot;
	u64 mask; /* places, a power of two, less one */
};

static void see(struct seen *seen, void *const *objs, u32 nr)
{
	for (u32 i = 0; i < nr; i++) {
		u64 at = (uintptr_t)objs[i] >> 3;

		at ^= at >> 9;
		while (seen->slot[at & seen->mask] &&
		       seen->slot[at & seen->mask] != objs[i])
			at++;
		if (seen->slot[at & seen->mask])
			mt_bad("double free", objs[i]);
		seen->slot[at & seen->mask] = objs[i];
	}
}

static void see_shelf(struct seen *seen, u32 c, void **mag)
{
	for (; mag; mag = *mag)
		see(seen, mag + floor_of(mt_sys.cap_of[c]) + 1,
		    mt_sys.cap_of[c]);
}

/* All of class C that thread and depot have. The depot's word is held. */
static void check_class(u32 c, struct seen *seen)
{
	void **top = mt_self.top[c];
	void **low = mag_of(top) + floor_of(mt_self.cap[c]) + 1;

	if (top != MT_NIL)
		see(seen, low, (u32)(top - low));
	see_shelf(seen, c, mt_self.shelf[c].first);
	see_shelf(seen, c, mt_sys.depot[c].first);
}

/* The most that thread and depot can have of class C. */
static u64 kept_most(u32 c)
{
	u64 full = (u64)mt_self.shelf[c].nr + mt_sys.depot[c].nr;

	return mt_self.cap[c] + full * mt_sys.cap_of[c];
}

/* Most threads have little: then a few words of the stack do. */
static void check_kept(u32 c)
{
	void *few[SEEN_FEW] = {NULL};
	struct seen seen = {few, SEEN_FEW - 1};
	u64 most = kept_most(c);

	if (most < 2)
		return;
	if (most > SEEN_FEW / 2) {
		while (seen.mask <= 2 * most)
			seen.mask = 2 * seen.mask + 1;
		seen.slot = mt_map_meta((seen.mask + 1) * sizeof(void *));
		if (!seen.slot)
			return;
	}
	check_class(c, &seen);
	if (seen.slot != few)
		munmap(seen.slot, (seen.mask + 1) * sizeof(void *));
}

void mt_cache_check(void)
{
	if (mt_self.life != MT_LIVE)
		return;
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		mt_lock(&mt_sys.depot[c].word);
		check_kept(c);
		mt_unlock(&mt_sys.depot[c].word);
	}
}

void mt_depot_count(u32 nr[MT_NR_CLASSES])
{
	memset(nr, 0, MT_NR_CLASSES * sizeof(*nr));
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		u32 low = floor_of(mt_sys.cap_of[c]) + 1;

		mt_lock(&mt_sys.depot[c].word);
		for (void **m = mt_sys.depot[c].first; m; m = *m) {
			for (u32 i = low; i < MT_MAG_WORDS; i++)
				nr[mt_use(m[i])]++;
		}
		mt_unlock(&mt_sys.depot[c].word);
	}
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

/* All that SELF keeps goes to depots and slabs. */
static void release_all(struct mt_self *self)
{
	void **mag;

	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		while ((mag = shelf_pop(&self->shelf[c]))) {
			if (!mag_leaves(c, mag))
				mt_meta_drop(mag);
		}
		top_flush(self, c);
		if (self->top[c] != MT_NIL)
			mt_meta_drop(mag_of(self->top[c]));
		self->top[c] = MT_NIL;
	}
	while ((mag = shelf_pop(&self->spare)))
		mt_meta_drop(mag);
	self->life = MT_DEAD;
}

void mt_cache_exit(void *self)
{
	mm_verify(self == &mt_self);
	mt_lock(&mt_self.word);
	release_all(self);
	mt_unlock(&mt_self.word);
	mt_thread_del();
}

void mt_cache_adopt(struct mt_self *self)
{
	release_all(self);
}

/* ---- allocating
 * ---------------------------------------------------------------- */

/*
 * A magazine of class C from the depot. Had it been kept on the shelf it would
 * not have travelled: there is room for twice as many from now on. Who only
 * frees what others allocate does not come here.
 */
static MM_NOINLINE void **take_from_depot(u32 c)
{
	void **mag = depot_pop(c);

	if (mag && mt_self.shelf[c].most * mag_bytes(c) < SHELF_BYTES)
		mt_self.shelf[c].most += mt_self.shelf[c].most + 1;
	return mag;
}

/* A full magazine of objects of class C, or of larger ones, takes the place of
 * C's empty one. */
static inline void take_mag(u32 c, void **mag)
{
	if (mt_self.top[c] != MT_NIL)
		spare_put(mag_of(mt_self.top[c]));
	mt_self.top[c] = mag + MT_MAG_WORDS;
	mt_self.cap[c] = (u8)mt_sys.cap_of[c];
}

/* The magazine of class C is empty: a full one takes its place. */
static inline bool take_full(u32 c)
{
	void **mag = shelf_pop(&mt_self.shelf[c]);

	if (!mag && READ_ONCE(mt_sys.depot[c].first))
		mag = take_from_depot(c);
	if (mag)
		take_mag(c, mag);
	return mag != NULL;
}

/* The same of the depot of a class that lends, if it has as many places. Out of
 * the way of who has no depots: that is a matter of pages (malloc.ld). */
static MM_NOINLINE bool take_lent(u32 c)
{
	for (u32 k = c + 1; mt_lends(k, c) && mt_in_slabs(k) &&
			    mt_sys.cap_of[k] == mt_sys.cap_of[c];
	     k++) {
		void **mag = depot_pop(k);

		if (mag) {
			take_mag(c, mag);
			return true;
		}
	}
	return false;
}

/* Fill the empty magazine of class C: from slabs that have free objects, its
 * own or one's that lends, or from a depot of such; or else from new ones. */
static bool fill(u32 c)
{
	void **top = mt_self.top[c], **mag;
	bool spare = mt_in_slabs(c), dry;
	u32 nr, got;

	mag = top == MT_NIL ? spare_get() : mag_of(top);
	if (!mag)
		return false;
	more_places(c);
	top = mag_empty_top(mag, mt_self.cap[c]);
	mt_self.top[c] = top;
	nr = mt_self.cap[c];
	if (nr < mt_sys.cap_of[c] || mt_sys.size_of[c] > SMALL_MOST)
		nr /= 2;
	got = mt_objects_get(c, top, nr, spare, &dry);
	if (!got && spare) {
		if (READ_ONCE(mt_sys.depot_bytes) && take_lent(c))
			return true;
		got = mt_objects_get(c, top, nr, false, &dry);
	}
	mt_self.lent[c] = dry ? 0 : LEND_MOST;
	mt_self.top[c] = top + got;
	return got != 0;
}

/*
 * Class C has no object at hand, and its slabs had none left when it was filled
 * last, or it was never used: one of the next classes that the thread has at
 * hand, rather than a new slab for it; NULL. A loan costs several times what a
 * magazine does, so who always lacks objects gets a slab in the end.
 */
static void *borrow(u32 c)
{
	if (mt_self.lent[c] >= LEND_MOST || !mt_class_small(c) ||
	    (!mt_self.cap[c] && mt_class_used(c)))
		return NULL;
	for (u32 k = c + 1; mt_lends(k, c); k++) {
		if (mt_self.top[k][-1]) {
			mt_self.lent[c]++;
			return *--mt_self.top[k];
		}
	}
	return NULL;
}

/* One object with no magazine in between. */
static void *direct_get(u32 c)
{
	void *p;

	return mt_objects_get(c, &p, 1, false, NULL) ? p : NULL;
}

/* What a magazine's shelf and depot do not have: the class is filled, if nobody
 * lends. The thread's word is held. */
static MM_NOINLINE void *refill(u32 c)
{
	void *p = borrow(c);

	if (!p && fill(c))
		p = *--mt_self.top[c];
	return p;
}

/* An object of class C for a thread that has magazines. */
static MM_NOINLINE void *live_alloc(u32 c)
{
	void *p;

	mt_lock(&mt_self.word);
	/* Not empty: the short way is shut for this size. */
	if (*(mt_self.top[c] - 1) || take_full(c))
		p = *--mt_self.top[c];
	else
		p = refill(c);
	mt_unlock(&mt_self.word);
	return p;
}

/*
 * An object for class C, of large ones, of which the thread has none at hand:
 * of one of the next classes, while loans are left, or NULL. It is the short
 * way for that class, so the thread's word is not needed.
 */
static inline void *borrow_large(u32 c)
{
	if (!mt_self.loans || !lends_large(c) || mt_self.shelf[c].first)
		return NULL;
	for (u32 k = c + 1; mt_lends(k, c); k++) {
		if (mt_self.top[k][-1]) {
			mt_self.loans--;
			return *--mt_self.top[k];
		}
	}
	return NULL;
}

void *mt_malloc_empty(size_t size, u32 c)
{
	void *p;

	if (unlikely(c < MT_FIRST || mt_self.life != MT_LIVE))
		return mt_malloc_slow(size);
	p = borrow_large(c);
	if (p)
		return p;
	mt_self.asked = (u32)size;
	p = live_alloc(c);
	if (unlikely(!p))
		errno = ENOMEM;
	return p;
}

static void *class_alloc(u32 c)
{
	return live() ? live_alloc(c) : direct_get(c);
}

static void *up_alloc(size_t size)
{
	bool zeroed;
	void *p;

	if (mt_sys.direct)
		return mt_guard_alloc(size, 16, false);
	mt_self.asked = (u32)min(size, (size_t)MT_RUN_MAX);
	if (size > MT_CLASS_MAX || size >= mt_sys.tune.mmap_threshold)
		p = mt_large(size, MM_CACHELINE, &zeroed);
	else
		p = class_alloc(mt_class_for(size));
	if (unlikely(mt_sys.tune.perturb) && p)
		memset(p, (u8)~mt_sys.tune.perturb, size);
	return p;
}

void *mt_malloc_slow(size_t size)
{
	void *p = NULL;

	if (likely(mt_up()))
		p = up_alloc(size);
	else if (mt_self.booting)
		p = mt_boot_alloc(size);
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
		to = mag_empty_top(mag_of(from), mt_self.cap[c]);
		out = 0;
	} else {
		mt_self.lent[c] = LEND_MOST;
		mt_objects_put(c, from, check_twice(c, from, out));
		if (lends_large(c))
			mt_self.loans = LOANS;
		to = from;
	}
	memmove(to, from + out, (cap - out) * sizeof(*to));
	mt_self.top[c] = to + (cap - out);
}

static bool own_room(u32 c)
{
	const struct mt_shelf *s = &mt_self.shelf[c];

	return s->nr <= s->most && shelf_room(s, c, SHELF_BYTES);
}

/* Does the full magazine of class C stay, and lose half? */
static bool loses_half(u32 c)
{
	if (mt_self.cap[c] < mt_sys.cap_of[c])
		return true;
	return mt_sys.size_of[c] > SMALL_MOST && !own_room(c) &&
	       !shelf_room(&mt_sys.depot[c], c, DEPOT_BYTES);
}

/*
 * The magazine of class C is full: it goes to the shelf or the depot, or is
 * emptied into the slabs.
 */
static void make_room(u32 c)
{
	void **mag = mag_of(mt_self.top[c]), **empty;
	bool kept = false;

	if (loses_half(c)) {
		make_room_small(c);
		return;
	}
	empty = spare_get();
	if (!empty) {
		mag_to_slabs(c, mag);
	} else if (own_room(c)) {
		kept = ++mt_self.nr_shelved % SHELF_CHECK || check_full(c, mag);
		if (kept)
			shelf_push(&mt_self.shelf[c], mag);
	} else {
		kept = mag_leaves(c, mag);
	}
	if (empty && !kept)
		spare_put(empty);
	mt_self.top[c] = mag_empty_top(kept ? empty : mag, mt_self.cap[c]);
}

static void magazine_free(u32 c, void *p)
{
	void **top;

	if (mt_self.top[c] == MT_NIL) {
		void **mag = spare_get();

		if (!mag) {
			mt_objects_put(c, &p, 1);
			return;
		}
		more_places(c);
		mt_self.top[c] = mag_empty_top(mag, mt_self.cap[c]);
	}
	top = mt_self.top[c];
	if ((uintptr_t)top % MT_MAG_BYTES == 0) {
		if (*(top - 1) == p) {
			mt_bad("double free", p);
			return;
		}
		make_room(c);
		top = mt_self.top[c];
	}
	*top = p;
	mt_self.top[c] = top + 1;
}

/*
 * The same where the full magazine of class C goes to the shelf unseen and the
 * thread has an empty one. False: it is not so simple.
 */
static inline bool free_to_shelf(u32 c, void *p)
{
	struct mt_shelf *s = &mt_self.shelf[c];
	void **top = mt_self.top[c], **mag = mt_self.spare.first;

	if (!mag || s->nr > s->most || top == MT_NIL ||
	    mt_self.cap[c] < mt_sys.cap_of[c] || *(top - 1) == p ||
	    !((mt_self.nr_shelved + 1) % SHELF_CHECK) ||
	    !shelf_room(s, c, SHELF_BYTES))
		return false;
	mt_self.nr_shelved++;
	shelf_pop(&mt_self.spare);
	shelf_push(s, mag_of(top));
	top = mag_empty_top(mag, mt_self.cap[c]);
	*top = p;
	mt_self.top[c] = top + 1;
	return true;
}

static MM_NOINLINE void free_with_errno(u32 c, void *p)
{
	int saved = errno;

	magazine_free(c, p);
	errno = saved;
}

void mt_free_full(void *p)
{
	u32 c = mt_use(p);

	if (unlikely(c < MT_FIRST || mt_self.life != MT_LIVE)) {
		mt_free_slow(p);
		return;
	}
	mt_lock(&mt_self.word);
	if (!free_to_shelf(c, p))
		free_with_errno(c, p);
	mt_unlock(&mt_self.word);
}

static void class_free(u32 c, void *p)
{
	if (!live()) {
		mt_objects_put(c, &p, 1);
		return;
	}
	mt_lock(&mt_self.word);
	magazine_free(c, p);
	mt_unlock(&mt_self.word);
}

static void span_free(void *p)
{
	u32 c = mt_use(p);

	if (c == MT_RUN)
		mt_run_free(p);
	else if (c < MT_FIRST)
		mt_bad("double free or invalid pointer", p);
	else
		class_free(c, p);
}

static void up_free(void *p)
{
	u8 perturb = mt_sys.tune.perturb;

	if (mt_sys.direct) {
		mt_guard_free(p);
		return;
	}
	if (unlikely(perturb))
		memset(p, perturb, mt_usable_size(p));
	if (mt_in_span(p))
		span_free(p);
	else
		mt_map_free(p);
}

void mt_free_slow(void *p)
{
	int saved = errno;

	if (!p || mt_boot_owns(p))
		return;
	if (likely(mt_up()))
		up_free(p);
	else
		mt_bad("invalid pointer", p);
	errno = saved;
}

/* ---- blocks of the modes
 * ----------------------------------------------------------- */

void *mt_block_get(size_t size, size_t align, bool *zeroed)
{
	*zeroed = false;
	if (size <= MT_CLASS_MAX && align <= PAGE_SIZE)
		return direct_get(mt_class_aligned(size, align));
	return mt_large(size, max(align, (size_t)MM_CACHELINE), zeroed);
}

size_t mt_block_size(const void *p)
{
	u32 c;

	if (!mt_in_span(p))
		return mt_map_size(p);
	c = mt_use(p);
	if (c >= MT_FIRST)
		return mt_sys.size_of[c];
	if (c == MT_RUN)
		return PFN_PHYS((u64)READ_ONCE(mt_sys.run[mt_frame(p)]));
	mt_bad("invalid pointer", p);
	return 0;
}

void mt_block_put(void *p)
{
	u32 c = mt_in_span(p) ? mt_use(p) : MT_NONE;

	if (c >= MT_FIRST)
		mt_objects_put(c, &p, 1);
	else if (c == MT_RUN)
		mt_run_free(p);
	else
		mt_map_free(p);
}
