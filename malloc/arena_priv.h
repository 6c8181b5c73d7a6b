/* SPDX-License-Identifier: MIT */
/*
 * arena_priv.h - what the files of the arenas share. Theory: arena.c.
 */
#ifndef MALLOC_ARENA_PRIV_H
#define MALLOC_ARENA_PRIV_H

#include <pthread.h>

#include <mmkit/arena.h>
#include <mmkit/types.h>

/* ---- pages of a region
 * -------------------------------------------------------
 *
 * A word for each page says what begins there; its low bits are the kind, the
 * rest depends on it. Pages inside of a block have 0, but those of a slab,
 * which all have its word: an object may begin in any of them.
 */
#define W_KIND 7ul
#define W_NONE 0ul /* inside of a block */
#define W_FREE 1ul /* | order << 3: a free block, on the list of its order */
#define W_RUN  2ul /* | pages << 3: somebody's run */
#define W_SLAB 3ul /* | address of struct slab */
#define W_BUSY 4ul /* | pages << 3: on the way from one to another */

#define NO_PAGE	   (~0u)
#define PAGES_MOST ((u64)NO_PAGE - 1)

struct apage {
	u64 w;		/* (A) changed under the region's word, read without */
	u32 next, prev; /* of free blocks */
};

/*
 * What lies together in the caller's address space. (R) under word; the rest
 * is constant. Numbers of pages count from the region's first.
 */
struct region {
	struct apage *page;
	u64 *dirty; /* (R) a bit for each page: used since given back */
	u64 base;   /* address of the first page */
	u64 first;  /* the same in pages: what blocks are aligned by */
	u64 nr;	    /* pages */
	u64 cut;    /* bytes left out at the ends */
	struct region *next; /* arena_sys.word: of all in the process */
	u64 meta_bytes;
	u32 word;
	u32 head[MMKIT_ARENA_ORDERS];	 /* (R) */
	u32 nr_free[MMKIT_ARENA_ORDERS]; /* (R) blocks */
	u32 orders;	/* (R) a bit for each list that is not empty */
	u64 free;	/* (R) pages */
	u64 out;	/* (R) pages that a trim has */
	u64 least_free; /* (R) of free + out */
} MM_ALIGNED(64);

/* ---- slabs
 * -----------------------------------------------------------------------
 *
 * All that there is about a slab: 128 bytes apart from it. (L) under the word
 * of the slab's lane.
 */
#define CLASS_MAX   MMKIT_ARENA_SMALL
#define NR_CLASSES  57u /* 8; 16 .. 128 by 16; eight for each doubling */
#define CLASS_TABLE (CLASS_MAX / 8 + 1)
#define SLAB_WORDS  8u
#define SLAB_MOST   (SLAB_WORDS * 64)
#define SLAB_PAGES  8u
#define MAX_LANES   64u

struct slab {
	u32 avail;     /* (L) a bit for each word of bits[] that is not 0 */
	u16 nr, nfree; /* objects; (L) of them free */
	u32 size;
	u32 inv; /* 2^32 / size, up: index = offset * inv >> 32 */
	u64 base;
	struct slab *next, *prev; /* (L) of the partial list */
	struct region *region;
	struct lane *lane;
	u32 page;
	u16 pages, class;
	u64 bits[SLAB_WORDS] MM_ALIGNED(64); /* (L) a bit for each: free */
} MM_ALIGNED(64);

MM_STATIC_ASSERT(sizeof(struct slab) == 128, "two cache lines");
/* inv is exact: an offset times its error stays below 2^32. */
MM_STATIC_ASSERT(SLAB_PAGES *PAGE_SIZE *CLASS_MAX < 1ul << 32, "inverse");

/*
 * A slab with some objects used and some free is on the partial list, unless
 * it is the one that the lane takes from; a full one is on none; an empty one
 * goes, unless the lane takes from it.
 */
struct lane {
	u32 word;
	struct slab *cur[NR_CLASSES] MM_ALIGNED(64); /* (L) never NULL */
	struct slab *partial[NR_CLASSES];	     /* (L) */
} MM_ALIGNED(64);

/* (M) under meta_word, (T) under trim, (A) atomic; the rest is constant. */
struct mmkit_arena {
	/* What free() looks at: the first region. */
	u64 base, bytes;
	struct apage *page;
	u32 lane_mask;
	u32 nr_regions; /* (A) grows */
	struct lane *lane;
	u8 class_of[CLASS_TABLE]; /* by (size + 7) / 8 */
	u32 size_of[NR_CLASSES];
	u32 pages_of[NR_CLASSES];
	struct slab none; /* with nothing to take */
	struct mmkit_arena_options opt;
	u64 meta_bytes; /* of this struct with the lanes */
	struct region *region[MMKIT_ARENA_REGIONS];
	u32 grow_word, meta_word;
	struct slab *spare;			 /* (M) */
	struct meta_chunk *chunks;		 /* (M) */
	u64 nr_metadata;			 /* (A) bytes */
	u64 nr_misuses, nr_failures, given_back; /* (A) */
	u32 trims; /* (A) begins and ends: odd is under way */
	pthread_mutex_t trim;
} MM_ALIGNED(64);

/* ---- words: held for short, with nothing waited for
 * ----------------------------
 *
 * Order: trim, lanes by number, a region or grow or meta. A lane waits for no
 * other lane but where all are stopped (arena_stop), in the order of numbers.
 */
void arena_lock_slow(u32 *word);

static inline void arena_lock(u32 *word)
{
	if (unlikely(__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE)))
		arena_lock_slow(word);
}

static inline void arena_unlock(u32 *word)
{
	__atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

static inline u32 arena_nr_regions(const struct mmkit_arena *a)
{
	return __atomic_load_n(&a->nr_regions, __ATOMIC_ACQUIRE);
}

static inline u64 page_word(const struct region *r, u64 i)
{
	return __atomic_load_n(&r->page[i].w, __ATOMIC_ACQUIRE);
}

static inline void set_page_word(struct region *r, u64 i, u64 w)
{
	__atomic_store_n(&r->page[i].w, w, __ATOMIC_RELEASE);
}

static inline struct slab *word_slab(u64 w)
{
	return (struct slab *)(uintptr_t)(w & ~W_KIND);
}

/* Pages of the block that begins with word W, which is not W_NONE. */
static inline u64 word_pages(u64 w)
{
	switch (w & W_KIND) {
	case W_FREE:
		return 1ul << (w >> 3);
	case W_SLAB:
		return word_slab(w)->pages;
	default:
		return w >> 3;
	}
}

static inline void *page_at(const struct region *r, u64 i)
{
	return (void *)(uintptr_t)(r->base + (i << PAGE_SHIFT));
}

/* ---- arena_make.c
 * ------------------------------------------------------------------
 */

/* The region of A that manages P, or NULL. */
struct region *arena_region(const struct mmkit_arena *a, const void *p);

/* arena_slab_new, arena_slab_drop: a slab's control, no contents. NULL. */
struct slab *arena_slab_new(struct mmkit_arena *a);
void arena_slab_drop(struct mmkit_arena *a, struct slab *s);

/* ---- arena_pages.c: a region's pages
 * -------------------------------------------- */

/* region_init: all NR pages are free. */
void region_init(struct region *r);

/*
 * With the region's word held:
 * region_take: exactly [I, I + N) if all of it is free.
 * region_give: [I, I + N), which has no words but W_NONE, is free.
 * region_head: first page of the block that page I lies in. O(blocks).
 * region_mark: [I, I + N) is taken and in use: its first page has word W.
 * Returns whether none of it was dirty.
 */
bool region_take(struct region *r, u64 i, u64 n);
void region_give(struct region *r, u64 i, u64 n);
u64 region_head(const struct region *r, u64 i);
bool region_mark(struct region *r, u64 i, u64 n, u64 w);

/* What is asked for, and what was found. */
struct pages_ask {
	u64 n, align; /* pages; align is a power of two */
	u64 kind;     /* W_RUN or W_BUSY */
	bool quick;   /* a block or nothing */
	struct region *region;
	u64 page;
	bool clean; /* none was used since given back */
};

/* region_get: from R, whose word is not held. */
bool region_get(struct region *r, struct pages_ask *ask);

/* ---- arena_run.c --------------------------------------------------------- */

/*
 * arena_pages_get: N pages. No lock held. False: there are none, not with
 * empty slabs gone and trims at their end either.
 */
bool arena_pages_get(struct mmkit_arena *a, struct pages_ask *ask);
/* arena_run: a run of N pages, or NULL with errno. */
void *arena_run(struct mmkit_arena *a, u64 n, u64 align, bool *clean);
/* arena_run_free: the run that begins at P. 0, or -EINVAL without a report. */
int arena_run_free(struct region *r, const void *p);
/* arena_run_resize: it has N pages from now on, where it is. */
bool arena_run_resize(struct region *r, const void *p, u64 n);

/* ---- arena_slab.c
 * -------------------------------------------------------------------- */

void arena_classes_init(struct mmkit_arena *a);
/* arena_small_slow: an object of class C for lane L, whose word is held. */
void *arena_small_slow(struct mmkit_arena *a, struct lane *l, u32 c);
/* arena_slab_left: S, whose lane's word is held, got its first free object
 * back, or its last, or both. Drops the word.
 * Returns 0. */
int arena_slab_left(struct mmkit_arena *a, struct slab *s);
/* arena_flush: slabs without objects go. No lock held. Pages freed. */
u64 arena_flush(struct mmkit_arena *a);

/* ---- arena_report.c
 * --------------------------------------------------------------------- */

/* arena_misuse: report that P may not be passed to WHAT. No lock held.
 * Returns -EINVAL. */
int arena_misuse(struct mmkit_arena *a, const void *p, const char *what);
/* arena_say: one event. */
MM_PRINTF(4, 5)
void arena_say(struct mmkit_arena *a, enum mmkit_arena_event event,
	       const void *p, const char *format, ...);
/* arena_stop: nobody else is in A; arena_go: go on. */
void arena_stop(struct mmkit_arena *a);
void arena_go(struct mmkit_arena *a);

#endif
