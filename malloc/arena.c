/* SPDX-License-Identifier: MIT */
/*
 * arena.c - arenas over memory of the caller: theory, and the short ways.
 *
 * 1. Purpose. Hand out pieces of memory that must not be touched for it: a
 *    device's, a file's, a range that is reserved and not there yet. So
 *    nothing of ours lies in it: SLUB's links inside of free objects, and the
 *    descriptors that hot-added memory keeps in its own first frames, are out.
 *
 * 2. Structures. An arena has up to 64 regions. A region has a word of 16 bytes
 *    and a dirty bit for each page; free blocks are buddies by address
 *    (arena_pages.c), runs of any number of pages are cut from them
 *    (arena_run.c). Objects of up to 8 KiB come from slabs: pages with objects
 *    of one class side by side, a control of 128 bytes apart, and in it a bit
 *    for each object that is free (arena_slab.c). Every page of a slab names
 *    its control, so free() goes from address to page to control to bit. An
 *    address that is no object, or one whose bit is set already, is found on
 *    the way and refused, always.
 *
 * 3. Threads are spread over lanes, by number. A lane has a slab of each class
 *    to take from, and a word (lock) for all of its slabs. Who frees takes the
 *    word of the lane that the slab belongs to, whoever he is. So a pair is
 *    two exchanges on a word that few share, and nothing is kept in threads:
 *    nothing to flush when one ends, and a double free is seen at once.
 *
 * 4. Locking: arena_priv.h. Page words are read without the region's word:
 *    while P is live its page keeps its word (AR-7). For a P that is not, the
 *    word is read again with the lane's held, which says whether the control
 *    is still that of P's page.
 *
 * 5. Failure. Only tables are ever asked for: at creation, at growth, and a
 *    chunk for 511 slabs. Whole pages come and go without any.
 *
 * 6. Cost. 16.1 bytes a page of 4096 (0.39 %), touched as the pages are used;
 *    128 bytes a slab. Instructions: docs/ARENA.md.
 *
 * 7. Rejected. A private node of the machine, its memory hot-added: what can
 *    be added is sections of 128 MiB, whole and aligned, at an address that is
 *    RAM's base plus a frame number; their descriptors take 1.25 MiB each; a
 *    machine has 64 nodes; and all of the page allocator's debugging writes
 *    into frames. An arena is like such a node (one zone, no fallback to or
 *    from others), by itself: it needs no machine in the process.
 *    Magazines in threads, as malloc has: a third of the cost of a pair, but a
 * second free is unseen, and each thread keeps part of every arena.
 *
 * References: Bonwick, "The Slab Allocator" (1994), 3.2.3, control apart from
 * large objects; Knuth, The Art of Computer Programming 1, 2.5, buddies;
 * Berger et al., "Hoard" (2000), heaps that threads are spread over.
 */
#include <errno.h>
#include <string.h>

#include "arena_priv.h"

/* Threads get numbers as they come. 0: none yet. */
static u32 last_thread;
static __thread u32 this_thread __attribute__((tls_model("initial-exec")));

static MM_NOINLINE u32 number_thread(void)
{
	u32 n;

	do {
		n = __atomic_add_fetch(&last_thread, 1, __ATOMIC_RELAXED);
	} while (!n);
	this_thread = n;
	return n;
}

/*
 * The short ways call nothing, so that they keep no registers: what they
 * cannot do is somebody else's from there on, at their very end. That is why
 * they come in two pieces, of which the second starts with the word held.
 */
#define ALWAYS static inline __attribute__((always_inline))

ALWAYS bool try_lock(u32 *word)
{
	return likely(!__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE));
}

/* ---- alloc
 * ----------------------------------------------------------------- */

static MM_NOINLINE void *alloc_large(struct mmkit_arena *a, size_t size)
{
	return arena_run(a, PFN_UP(min(size, (size_t)1 << 62)), 0, NULL);
}

ALWAYS void *alloc_locked(struct mmkit_arena *a, struct lane *l, u32 c)
{
	struct slab *s = l->cur[c];
	u32 w, i;

	if (unlikely(!s->avail))
		return arena_small_slow(a, l, c);
	w = (u32)__builtin_ctz(s->avail);
	i = w * 64 + (u32)__builtin_ctzl(s->bits[w]);
	s->bits[w] &= s->bits[w] - 1;
	if (unlikely(!s->bits[w]))
		s->avail &= s->avail - 1;
	s->nfree--;
	arena_unlock(&l->word);
	return (void *)(uintptr_t)(s->base + (u64)i * s->size);
}

/* The thread's first time, or somebody else has the lane. */
static MM_NOINLINE void *alloc_waiting(struct mmkit_arena *a, u32 c)
{
	u32 n = this_thread ?: number_thread();
	struct lane *l = &a->lane[n & a->lane_mask];

	arena_lock(&l->word);
	return alloc_locked(a, l, c);
}

void *mmkit_arena_alloc(struct mmkit_arena *a, size_t size)
{
	u32 c, n = this_thread;
	struct lane *l;

	if (unlikely(size > CLASS_MAX))
		return alloc_large(a, size);
	c = a->class_of[(size + 7) >> 3];
	l = &a->lane[n & a->lane_mask];
	if (unlikely(!n) || unlikely(!try_lock(&l->word)))
		return alloc_waiting(a, c);
	return alloc_locked(a, l, c);
}

/* The smallest class for SIZE whose objects are all at multiples of ALIGN,
 * which is a page at most. */
static size_t aligned_size(const struct mmkit_arena *a, size_t align,
			   size_t size)
{
	u32 c = a->class_of[(max(size, align) + 7) >> 3];

	while (a->size_of[c] & (align - 1))
		c++;
	return a->size_of[c];
}

void *mmkit_arena_alloc_aligned(struct mmkit_arena *a, size_t align,
				size_t size)
{
	if (!align || (align & (align - 1))) {
		errno = EINVAL;
		return NULL;
	}
	if (align <= PAGE_SIZE && size <= CLASS_MAX)
		return mmkit_arena_alloc(a, aligned_size(a, align, size));
	size = min(max(size, (size_t)1), (size_t)1 << 62);
	return arena_run(a, PFN_UP(size), align, NULL);
}

void *mmkit_arena_calloc(struct mmkit_arena *a, size_t n, size_t size)
{
	bool clean = false;
	size_t bytes;
	void *p;

	if (a->opt.flags & MMKIT_ARENA_NO_ACCESS) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	if (__builtin_mul_overflow(n, size, &bytes))
		bytes = SIZE_MAX;
	if (bytes <= CLASS_MAX)
		p = mmkit_arena_alloc(a, bytes);
	else
		p = arena_run(a, PFN_UP(min(bytes, (size_t)1 << 62)), 0,
			      &clean);
	clean = clean && a->opt.flags & MMKIT_ARENA_ZEROED;
	if (p && !clean)
		memset(p, 0, bytes);
	return p;
}

/* ---- free
 * ------------------------------------------------------------------ */

/* Where free() found P to be. */
struct place {
	const struct apage *page;
	u64 w;		   /* its word: a slab's */
	struct lane *lane; /* the slab's, as seen without its word */
};

/* With the lane's word held: is S what it was when it was found? */
ALWAYS bool is_still(const struct slab *s, struct place at)
{
	return __atomic_load_n(&at.page->w, __ATOMIC_ACQUIRE) == at.w &&
	       READ_ONCE(s->lane) == at.lane;
}

/* The short way is the one with no list and no page to change: there were
 * free objects, and there are used ones. */
ALWAYS int free_locked(struct mmkit_arena *a, void *p, struct place at)
{
	struct slab *s = word_slab(at.w);
	u64 off, i, bit;

	/* First whether it still is P's page's: another slab's is not read. */
	if (unlikely(!is_still(s, at)))
		goto refuse;
	off = (u64)(uintptr_t)p - s->base;
	i = off * s->inv >> 32;
	bit = 1ul << (i & 63);
	if (unlikely(i >= s->nr || i * s->size != off || s->bits[i / 64] & bit))
		goto refuse;
	s->bits[i / 64] |= bit;
	s->avail |= 1u << i / 64;
	s->nfree++;
	if (unlikely(s->nfree == 1 || s->nfree == s->nr))
		return arena_slab_left(a, s);
	arena_unlock(&at.lane->word);
	return 0;
refuse:
	arena_unlock(&at.lane->word);
	return arena_misuse(a, p, "free");
}

static MM_NOINLINE int free_waiting(struct mmkit_arena *a, void *p,
				    struct place at)
{
	arena_lock(&at.lane->word);
	return free_locked(a, p, at);
}

/* P is of another region, or a run, or wrong. */
static MM_NOINLINE int free_slow(struct mmkit_arena *a, void *p)
{
	struct region *r = arena_region(a, p);
	struct place at;

	if (!p)
		return 0;
	if (!r)
		return arena_misuse(a, p, "free");
	at.page = &r->page[((u64)(uintptr_t)p - r->base) >> PAGE_SHIFT];
	at.w = __atomic_load_n(&at.page->w, __ATOMIC_ACQUIRE);
	if ((at.w & W_KIND) == W_SLAB) {
		at.lane = READ_ONCE(word_slab(at.w)->lane);
		return free_waiting(a, p, at);
	}
	if (arena_run_free(r, p))
		return arena_misuse(a, p, "free");
	return 0;
}

int mmkit_arena_free(struct mmkit_arena *a, void *p)
{
	u64 off = (u64)(uintptr_t)p - a->base;
	struct place at;

	if (unlikely(off >= a->bytes))
		return free_slow(a, p);
	at.page = &a->page[off >> PAGE_SHIFT];
	at.w = __atomic_load_n(&at.page->w, __ATOMIC_ACQUIRE);
	if (unlikely((at.w & W_KIND) != W_SLAB))
		return free_slow(a, p);
	at.lane = READ_ONCE(word_slab(at.w)->lane);
	if (unlikely(!try_lock(&at.lane->word)))
		return free_waiting(a, p, at);
	return free_locked(a, p, at);
}

/* ---- sizes
 * ----------------------------------------------------------------- */

/* Is P an object of the slab that it was found in, and live? Its size, or 0. */
static size_t live_size(struct place at, const void *p)
{
	const struct slab *s = word_slab(at.w);
	size_t size = 0;
	u64 off, i;

	arena_lock(&at.lane->word);
	if (is_still(s, at)) {
		off = (u64)(uintptr_t)p - s->base;
		i = off * s->inv >> 32;
		if (i < s->nr && i * s->size == off &&
		    !(s->bits[i / 64] >> (i & 63) & 1))
			size = s->size;
	}
	arena_unlock(&at.lane->word);
	return size;
}

size_t mmkit_arena_usable_size(struct mmkit_arena *a, const void *p)
{
	struct region *r = arena_region(a, p);
	struct place at;

	if (!r)
		return 0;
	at.page = &r->page[((u64)(uintptr_t)p - r->base) >> PAGE_SHIFT];
	at.w = __atomic_load_n(&at.page->w, __ATOMIC_ACQUIRE);
	if ((at.w & W_KIND) == W_SLAB) {
		at.lane = READ_ONCE(word_slab(at.w)->lane);
		return live_size(at, p);
	}
	if ((at.w & W_KIND) != W_RUN || (uintptr_t)p % PAGE_SIZE)
		return 0;
	return at.w >> 3 << PAGE_SHIFT;
}

/* P, of OLD bytes, somewhere else with SIZE. */
static void *move(struct mmkit_arena *a, void *p, size_t old, size_t size)
{
	void *q;

	if (a->opt.flags & MMKIT_ARENA_NO_ACCESS) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	q = mmkit_arena_alloc(a, size);
	if (q) {
		memcpy(q, p, min(old, size));
		mmkit_arena_free(a, p);
	}
	return q;
}

/* P, which has OLD bytes, with SIZE where it is? Runs that were asked for as
 * such may have few pages, too. */
static bool resize(struct mmkit_arena *a, void *p, size_t old, size_t size)
{
	struct region *r = arena_region(a, p);
	u64 i = ((u64)(uintptr_t)p - r->base) >> PAGE_SHIFT;

	if ((page_word(r, i) & W_KIND) == W_SLAB)
		return size <= old && size >= old / 2;
	return size > CLASS_MAX && size <= PTRDIFF_MAX &&
	       arena_run_resize(r, p, PFN_UP(size));
}

void *mmkit_arena_realloc(struct mmkit_arena *a, void *p, size_t size)
{
	size_t old;
	void *q;

	if (!p)
		return mmkit_arena_alloc(a, size);
	old = mmkit_arena_usable_size(a, p);
	if (!old) {
		arena_misuse(a, p, "realloc");
		errno = EINVAL;
		return NULL;
	}
	if (!size) {
		mmkit_arena_free(a, p);
		return NULL;
	}
	if (resize(a, p, old, size))
		return p;
	q = move(a, p, old, size);
	/* What gets smaller can always stay. */
	return q || size > old ? q : p;
}
