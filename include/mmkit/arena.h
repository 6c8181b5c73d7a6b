/* SPDX-License-Identifier: MIT */
/*
 * arena.h - an allocator over memory that the caller brings: huge pages, a
 * mapped file, memory of a device, a range nobody can read.
 *
 * All that an arena knows lies apart from that memory: free lists, bitmaps,
 * counts. No byte of a region is read or written but by the caller, and by
 * mmkit_arena_calloc() and mmkit_arena_realloc(), which say so.
 *
 * Context of all functions, unless one says otherwise: any thread, and many at
 * once; they take short locks and may wait for them; not in a signal handler;
 * not in a callback of the same arena. One process uses an arena: after fork()
 * in the parent or in the child, not in both, and in the child only if no
 * other thread was inside.
 *
 * Results are pointers (NULL and errno on failure) or 0 and a negative errno.
 * A call that fails has changed nothing. Purpose, costs, limits: docs/ARENA.md;
 * theory: malloc/arena.c. Source of ideas: Bonwick, "The Slab Allocator"
 * (slabs with their control apart), Knuth 2.5 (buddies).
 */
#ifndef MMKIT_ARENA_H
#define MMKIT_ARENA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The unit of a region: a page of 4096 bytes, whatever the system's is. */
#define MMKIT_ARENA_PAGE 4096u
/* Larger requests are whole pages. */
#define MMKIT_ARENA_SMALL 8192u
/* Blocks have 2^0 to 2^(this - 1) pages; runs have any number. */
#define MMKIT_ARENA_ORDERS 32u
/* Regions that one arena may have. */
#define MMKIT_ARENA_REGIONS 64u

struct mmkit_arena;

/* ---- making and ending ----------------------------------------------------
 */

enum mmkit_arena_flags {
	/*
	 * Every region is zero when it comes, and so is what a trim gave back
	 * when it is used again: calloc leaves whole pages that nobody had
	 * since then as they are.
	 */
	MMKIT_ARENA_ZEROED = 1,
	/*
	 * The processor must not touch the memory at all: calloc, and a
	 * realloc that would have to copy, fail with EOPNOTSUPP.
	 */
	MMKIT_ARENA_NO_ACCESS = 2,
	/* mmkit_arena_destroy() reports each object that was not freed. */
	MMKIT_ARENA_REPORT_LEAKS = 4,
};

enum mmkit_arena_event {
	MMKIT_ARENA_FOREIGN = 1, /* a pointer that the arena does not manage */
	MMKIT_ARENA_INTERIOR, /* a pointer into an object, not to its start */
	MMKIT_ARENA_DOUBLE_FREE, /* a pointer to what is free */
	MMKIT_ARENA_LEAK,	 /* live when the arena ended */
	MMKIT_ARENA_CORRUPT,	 /* mmkit_arena_check() found it */
};

/* All zero, or NULL for all of it: the defaults. */
struct mmkit_arena_options {
	unsigned flags; /* enum mmkit_arena_flags */
	/*
	 * Threads are spread over so many lanes, each with slabs and a lock of
	 * its own: up to 64, rounded up to a power of two. 0: one for each
	 * CPU that the process may use, at most 16.
	 */
	unsigned lanes;
	/* A trim gives back multiples of this at multiples of it: a power of
	 * two from 4096 on, as 2 MiB for huge pages. 0: 4096. */
	size_t trim_align;
	/*
	 * Where the arena's own tables come from: zeroed bytes at a multiple
	 * of 64, or NULL. Both or neither; NULL: mmap and munmap.
	 */
	void *(*meta_alloc)(void *ctx, size_t bytes);
	void (*meta_free)(void *ctx, void *p, size_t bytes);
	void *meta_ctx;
	/* Told of misuse, leaks and damage, with one line of text without a
	 * newline. No lock is held, except for leaks, which come when the arena
	 * ends. NULL: the line goes to stderr. */
	void (*report)(void *ctx, enum mmkit_arena_event event, const void *p,
		       const char *text);
	void *report_ctx;
};

/*
 * mmkit_arena_create: an arena over [BASE, BASE + SIZE), of which it manages
 * the whole pages: what sticks out at either end is left alone and told in
 * the statistics. The memory stays the caller's and must stay mapped (or
 * reserved, with MMKIT_ARENA_NO_ACCESS) until the end.
 *
 * Returns the arena; or NULL with *ERR (which may be NULL) set to
 *   -EINVAL     BASE is NULL, SIZE is 0, an unknown flag or a bad option
 *   -EOVERFLOW  BASE + SIZE wraps around
 *   -ENOSPC     not one whole page
 *   -E2BIG      more than 2^32 - 2 pages
 *   -EEXIST     it overlaps a region of an arena of this process
 *   -EBUSY      it overlaps the RAM of the machine in this program
 *   -ENOMEM     no memory for the tables
 * and the same in errno (positive).
 */
struct mmkit_arena *mmkit_arena_create(void *base, size_t size, unsigned flags,
				       int *err);
struct mmkit_arena *
mmkit_arena_create_with(void *base, size_t size,
			const struct mmkit_arena_options *options, int *err);

/*
 * mmkit_arena_grow: one more region, anywhere, of any size. Blocks do not
 * cross from one region to another, not even if they touch. Returns 0; the
 * errors of create, or -ENFILE: it has MMKIT_ARENA_REGIONS of them.
 */
int mmkit_arena_grow(struct mmkit_arena *a, void *base, size_t size);

/*
 * mmkit_arena_destroy: forget it all; the memory is as its users left it.
 * Nobody else may be inside. Returns the number of objects that were live.
 * NULL is nothing.
 */
size_t mmkit_arena_destroy(struct mmkit_arena *a);

/* ---- objects ---------------------------------------------------------------
 */

/*
 * mmkit_arena_alloc: SIZE bytes (0 is 1) at a multiple of 16, or of 8 for up
 * to 8 bytes; NULL with ENOMEM. An object of more than MMKIT_ARENA_SMALL bytes
 * has whole pages. Small ones of one size lie together in slabs of up to eight
 * pages.
 */
void *mmkit_arena_alloc(struct mmkit_arena *a, size_t size);

/* The same at a multiple of ALIGN, a power of two, or NULL with EINVAL. */
void *mmkit_arena_alloc_aligned(struct mmkit_arena *a, size_t align,
				size_t size);

/* N * SIZE bytes that are zero. ENOMEM also if the product is too large. */
void *mmkit_arena_calloc(struct mmkit_arena *a, size_t n, size_t size);

/*
 * mmkit_arena_realloc: the object P with SIZE bytes. Runs of pages grow and
 * shrink where they are if they can; otherwise the contents are copied and P
 * is freed. P NULL is alloc; SIZE 0 is free, and returns NULL. On failure NULL
 * with ENOMEM, EOPNOTSUPP, or EINVAL after a report (P is no object); P is as
 * it was.
 */
void *mmkit_arena_realloc(struct mmkit_arena *a, void *p, size_t size);

/*
 * mmkit_arena_free: P is free. Returns 0, also for NULL; or -EINVAL after a
 * report: P is not the start of a live object, and nothing has changed.
 */
int mmkit_arena_free(struct mmkit_arena *a, void *p);

/* Bytes that the object P may use; 0: P is not the start of a live object. */
size_t mmkit_arena_usable_size(struct mmkit_arena *a, const void *p);

/* Is P in a page that A manages? Takes no lock. */
int mmkit_arena_owns(const struct mmkit_arena *a, const void *p);

/* ---- runs of pages ----------------------------------------------------------
 */

/*
 * mmkit_arena_alloc_pages: 2^ORDER pages, the first at a multiple of their
 * size. NULL with ENOMEM, or EINVAL: ORDER is not below MMKIT_ARENA_ORDERS.
 */
void *mmkit_arena_alloc_pages(struct mmkit_arena *a, unsigned order);

/*
 * mmkit_arena_alloc_exact: N pages, no more, the first at a multiple of ALIGN
 * bytes (a power of two; 0: of a page). Without a block of fitting order all
 * free pages are looked through for neighbours. NULL with ENOMEM, or EINVAL.
 */
void *mmkit_arena_alloc_exact(struct mmkit_arena *a, size_t n, size_t align);

/*
 * mmkit_arena_claim: exactly the N pages at P, in one region: how the owner of
 * a file gets back what an earlier run left there. Returns 0; -EINVAL (P is no
 * page of A, or the range leaves its region), -EBUSY (one of them is in use).
 */
int mmkit_arena_claim(struct mmkit_arena *a, void *p, size_t n);

/*
 * mmkit_arena_free_pages: N pages from P on, a run or any part of one; what is
 * left of it are one or two runs. Objects of more than MMKIT_ARENA_SMALL bytes
 * are runs. Returns 0; -EINVAL after a report: they are not all of one run.
 * Costs a walk over the region's blocks if P is not the run's first page.
 */
int mmkit_arena_free_pages(struct mmkit_arena *a, void *p, size_t n);

/* ---- giving memory back
 * -------------------------------------------------------- */

/*
 * How the caller gives [P, P + BYTES) back, for example by madvise() or by
 * fallocate() with FALLOC_FL_PUNCH_HOLE. Returns 0; something else: it did
 * not, and the trim ends. Holds no lock, but must not call functions of this
 * arena.
 */
typedef int mmkit_arena_give_fn(void *ctx, void *p, size_t bytes);

/*
 * mmkit_arena_trim: pass all free memory that was in use since it was last
 * given back to GIVE, in units of trim_align, at most 32 MiB a call. Others may
 * allocate meanwhile: what is with GIVE is not handed out, and a request that
 * would fail for lack of it waits. Returns the bytes given back.
 */
size_t mmkit_arena_trim(struct mmkit_arena *a, mmkit_arena_give_fn *give,
			void *ctx);

/* ---- looking at it
 * --------------------------------------------------------------- */

struct mmkit_arena_stats {
	size_t regions, lanes;
	size_t managed;	     /* bytes of pages that the arena hands out */
	size_t cut_off;	     /* bytes at the regions' ends that it does not */
	size_t free_pages;   /* in no run and no slab */
	size_t dirty_pages;  /* of these: used since given back */
	size_t least_free;   /* sum of the least there were in each region */
	size_t largest_free; /* pages of the longest free range */
	size_t runs, run_pages;
	size_t slabs, slab_pages;
	size_t objects;	     /* live, in slabs */
	size_t object_bytes; /* of their classes */
	size_t slots;	     /* objects that the slabs could hold */
	size_t metadata;     /* bytes that the tables take, if touched */
	size_t misuses;	     /* calls refused with a report */
	size_t failures;     /* requests that found no memory */
	size_t given_back;   /* bytes, by all trims */
	size_t free_blocks[MMKIT_ARENA_ORDERS]; /* as in /proc/buddyinfo */
};

/* Figures of one moment: everybody waits. O(blocks). */
void mmkit_arena_stats(struct mmkit_arena *a, struct mmkit_arena_stats *out);

/*
 * mmkit_arena_check: hold all tables against each other; everybody waits.
 * Returns 0, or -EUCLEAN after a report of the first contradiction. O(pages).
 */
int mmkit_arena_check(struct mmkit_arena *a);

/*
 * mmkit_arena_each_object: FN for each live object and run, in the order of
 * addresses within a region, until it returns something else than 0, which is
 * the result; otherwise 0. Everybody waits; FN must not call functions of this
 * arena.
 */
int mmkit_arena_each_object(struct mmkit_arena *a,
			    int (*fn)(void *ctx, void *p, size_t size),
			    void *ctx);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
