/* SPDX-License-Identifier: MIT */
/*
 * percpu.h - the structures of the per-CPU allocator. Theory: percpu.c.
 */
#ifndef MM_KMEM_PERCPU_H
#define MM_KMEM_PERCPU_H

#include <mmkit/percpu.h>

#include "base/bitmap.h"
#include "base/list.h"
#include "base/mutex.h"
#include "base/rbtree.h"
#include "base/spinlock.h"

#define PCPU_BITS	(PCPU_UNIT_SIZE / PCPU_MIN_ALLOC) /* of a unit */
#define PCPU_PAGES	(PCPU_UNIT_SIZE / PAGE_SIZE)
#define PCPU_BLOCK_BITS (PAGE_SIZE / PCPU_MIN_ALLOC) /* of a page */
#define PCPU_SLOTS	(PCPU_UNIT_SHIFT + 2)

/* Empty pages that are kept ready for those who may not sleep. */
#define PCPU_EMPTY_LOW	2u
#define PCPU_EMPTY_HIGH 4u
/* More are given back, down to PCPU_EMPTY_HIGH: a chunk that comes and goes
 * stays below. */
#define PCPU_EMPTY_MOST (2 * (u32)PCPU_PAGES)

/* What the map says about one page of a unit, in bits of the map. */
struct pcpu_hint {
	u16 free;	 /* in all */
	u16 contig;	 /* the longest run within the page */
	u16 left, right; /* runs at the ends */
	u16 first;	 /* the first free one; PCPU_BLOCK_BITS: none */
};

struct vm_struct;
struct page;

/* (L) lock, (M) alloc mutex, (C) constant after it is made. */
struct pcpu_chunk {
	struct rb_node node;   /* (L) by base */
	struct list_head list; /* (L) in slot[] */
	char *base;	       /* (C) CPU 0's unit */
	struct vm_struct *vm;  /* (C) its addresses; NULL: a block of frames */
	struct page *block;    /* (C) which then */
	bool first;	       /* (C) made at boot, stays */
	u32 free_bits;	       /* (L) */
	u32 contig;	       /* (L) longest run of free bits */
	u32 slot;	       /* (L) whose list it is in */
	u32 nr_empty;	       /* (L) pages with frames and no object */
	u64 populated;	       /* (L to write) a bit for each page */
	u64 alloc_map[PCPU_BITS / 64];	   /* (L) */
	u64 bound_map[PCPU_BITS / 64 + 1]; /* (L) where objects begin, free
					      runs too */
	struct pcpu_hint hint[PCPU_PAGES]; /* (L) */
};

struct pcpu_state {
	bool up;
	spinlock_t lock;
	struct mutex alloc_mutex;
	struct rb_root chunks;		   /* (L) */
	struct list_head slot[PCPU_SLOTS]; /* (L) by longest free run */
	u32 slots; /* (L) a bit for each list that may hold a chunk */
	struct pcpu_chunk *reserved;	/* (C) of the first chunk; or NULL */
	u32 static_size, reserved_size; /* (C) */
	u32 nr_chunks, nr_empty;	/* (L) */
	u64 nr_pages;			/* (A) frames */
	u64 nr_objects;			/* (L) */
	struct rb_root paid;		/* (L) accounted ones: percpu_memcg.c */
	struct kmem_cache *cache;	/* (C) of chunks */
};

/*
 * What a kernel's image has: TEMPLATE, SIZE bytes that every CPU gets a copy
 * of; and how much is put by for __alloc_reserved_percpu().
 */
struct pcpu_boot {
	const void *template;
	u32 static_size, reserved_size;
};

/*
 * pcpu_init: the allocator works from here on. With B (may be NULL) the first
 * chunk is made now. Returns 0, -E2BIG (more than a unit) or -ENOMEM. At boot.
 */
int pcpu_init(const struct pcpu_boot *b) MM_MUST_CHECK;

/* pcpu_static: the object of CPU 0 that stands OFF bytes into the template. */
void *pcpu_static(u32 off);

/* pcpu_chunk_fit: the lowest place for BITS aligned to ALIGN bits; PCPU_BITS:
 * none. READY: only in pages with frames. Lock held. */
u32 pcpu_chunk_fit(const struct pcpu_chunk *c, u32 bits, u32 align, bool ready);

/* Take or give back bits; hints are right afterwards. Lock held. */
void pcpu_chunk_take(struct pcpu_chunk *c, u32 at, u32 bits);
/* pcpu_chunk_give: the object that begins at AT; its bits, 0: none does. */
u32 pcpu_chunk_give(struct pcpu_chunk *c, u32 at);
/* pcpu_chunk_init: all free, no frames. */
void pcpu_chunk_init(struct pcpu_chunk *c);
/* pcpu_chunk_populated: page PAGE has frames now, or (ON false) no more. */
void pcpu_chunk_populated(struct pcpu_chunk *c, u32 page, bool on);
/* pcpu_chunk_check: maps and hints agree. Panics. */
void pcpu_chunk_check(const struct pcpu_chunk *c);

/*
 * Backing: addresses for a chunk with no frames yet, or a block with all of
 * them (percpu_frames.c). 0 or -ENOMEM.
 */
int pcpu_back(struct pcpu_chunk *c, gfp_t gfp) MM_MUST_CHECK;
/* pcpu_unback: give up all that C has. Nobody uses it. */
void pcpu_unback(struct pcpu_chunk *c);
/* pcpu_populate: frames for PAGE of every CPU. 0 or -ENOMEM. May sleep. */
int pcpu_populate(struct pcpu_chunk *c, u32 page, gfp_t gfp) MM_MUST_CHECK;

/* pcpu_unpopulate: undo it. No object is there; C has addresses of its own. May
 * sleep. */
void pcpu_unpopulate(struct pcpu_chunk *c, u32 page);

/*
 * Who pays (percpu_memcg.c). pcpu_charge: an object of SIZE bytes on each CPU
 * to the running task's group, if GFP says so: 0 with a record in *OUT (NULL:
 * nobody pays), or -ENOMEM. Context: as GFP says. pcpu_cancel: there is no
 * object after all. pcpu_assign: it is at PTR. pcpu_paid_take: the record of
 * the object at PTR, which goes, or NULL; pcpu_cancel() is next. Lock held.
 */
struct pcpu_paid;
int pcpu_charge(size_t size, gfp_t gfp, struct pcpu_paid **out) MM_MUST_CHECK;
void pcpu_cancel(struct pcpu_paid *paid);
void pcpu_assign(struct pcpu_paid *paid, const char *ptr);
struct pcpu_paid *pcpu_paid_take(const char *ptr);
/* pcpu_count_payers: for the audit: what each payer of an object is charged is
 * added to its audit_bytes. Nobody allocates or frees. */
void pcpu_count_payers(void);

/* pcpu_check: everything. No other thread is inside. */
void pcpu_check(void);

#endif
