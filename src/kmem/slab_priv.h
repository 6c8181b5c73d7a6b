/* SPDX-License-Identifier: MIT */
/*
 * slab_priv.h - what the files of the slab allocator share. Theory: slab.c.
 */
#ifndef MM_KMEM_SLAB_PRIV_H
#define MM_KMEM_SLAB_PRIV_H

#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/atomic.h"
#include "base/string.h"
#include "kmem/slab.h"
#include "phys/mmzone.h"

/* Return address of the function that says so: who asked. */
#define CALLER() ((u64)(uintptr_t)__builtin_return_address(0))

/* ---- marks of frames ----------------------------------------------------
 *
 * Each frame of a slab says whose it is in its map count, which no slab needs:
 * a negative number, made of the node and the cache's id. So one comparison
 * tells that an object is of the right cache and of this CPU's node.
 */
#define SLAB_MARK_ID	   (KMEM_MAX_CACHES - 1)
#define QUARANTINE_MARK	   SLAB_MARK(MM_MAX_NODES, 0) /* of no node: nobody's */
#define SLAB_MARK(nid, id) ((s32)(0x80000000u | (u32)(nid) << 16 | (u32)(id)))
#define SLAB_MARK_NONE	   0 /* no slab has it */

MM_STATIC_ASSERT((KMEM_MAX_CACHES & SLAB_MARK_ID) == 0, "ids are a bit mask");
MM_STATIC_ASSERT(KMEM_MAX_CACHES <= 1 << 16, "an id fits below the node");

/*
 * One access, which the compiler may join with what it computes; only the
 * race detector wants it said.
 */
#ifdef MM_TSAN
#define HOT_READ(x) READ_ONCE(x)
#else
#define HOT_READ(x) (x)
#endif

static inline s32 frame_mark(const struct page *page)
{
	return HOT_READ(page->mapcount);
}

/* The cache that MARK names, kmem_sys.none if it is no mark. */
static inline struct kmem_cache *mark_cache(s32 mark)
{
	return HOT_READ(kmem_sys.hot.cache_of[(u32)mark & SLAB_MARK_ID]);
}

/* The same for frame PFN. Its number is scaled in words before the compiler
 * sees a pointer, of which it would make a step of its own. */
static inline s32 frame_mark_at(u64 pfn)
{
	u64 words = pfn * (sizeof(struct page) / sizeof(u64));

	__asm__("" : "+r"(words));
	return frame_mark(
		(const struct page *)((const u64 *)phys_memmap() + words));
}

/*
 * The cache that MARK names if it is one of the first, which kmalloc's are;
 * else any: its CPUs' marks are others than MARK. The low byte takes no mask.
 */
static inline struct kmem_cache *mark_cache_fast(s32 mark)
{
	return HOT_READ(
		kmem_sys.hot.cache_of[(u32)mark & SLAB_MARK_ID & 0xffu]);
}

/* Is PAGE of a slab of S, on whatever node? */
static inline bool frame_of_cache(const struct page *page,
				  const struct kmem_cache *s)
{
	return frame_mark(page) == SLAB_MARK(page_to_nid(page), s->id);
}

/* The same for a MARK, whichever node's. */
static inline bool mark_is_of(s32 mark, const struct kmem_cache *s)
{
	return ((u32)mark & (0x80000000u | SLAB_MARK_ID)) ==
	       (0x80000000u | s->id);
}

/* Frame of OBJ, or beyond max_pfn for what is not in RAM. */
static inline u64 object_pfn(const void *obj)
{
	return PFN_DOWN(port_ram_phys(obj));
}

/* ---- the word of a slab -------------------------------------------------
 */

#define SLAB_FROZEN	 1u /* some CPU's; on no node's list */
#define SLAB_QUARANTINED 2u /* corrupt: never used again */

union slab_word {
	u64 all;
	struct {
		u16 head;    /* first free object: offset / 8 + 1; 0: none */
		u16 inuse;   /* objects that are not on the slab's list */
		u16 objects; /* in the slab */
		u16 flags;
	};
};

MM_STATIC_ASSERT(sizeof(union slab_word) == 8, "one exchange changes it");
MM_STATIC_ASSERT((PAGE_SIZE << SLUB_LIMIT_ORDER) / 8 < 1u << 16,
		 "offsets fit the head");

static inline union slab_word slab_word(const struct page *slab)
{
	return (union slab_word){.all = page_mapping_word(slab)};
}

static inline bool slab_word_cmpxchg(struct page *slab, union slab_word *old,
				     union slab_word new)
{
	return __atomic_compare_exchange_n(&slab->word, &old->all, new.all,
					   false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static inline char *slab_base(const struct page *slab)
{
	return page_view(slab);
}

static inline void *slab_at(const struct page *slab, u16 head)
{
	return head ? slab_base(slab) + ((size_t)(head - 1u) << 3) : NULL;
}

static inline u16 slab_head(const struct page *slab, const void *obj)
{
	if (!obj)
		return 0;
	return (u16)((u64)((const char *)obj - slab_base(slab)) / 8 + 1);
}

/* ---- who pays for objects (slab_memcg.c) ---------------------------------
 *
 * A slab's index is its cache's id, in 16 bits; the other 48 of index and
 * private are the address in RAM of its vector: who pays for each object.
 */
#define SLAB_ID_BITS 16

MM_STATIC_ASSERT(KMEM_MAX_CACHES <= 1 << SLAB_ID_BITS, "an id fits");
MM_STATIC_ASSERT(!MM_PAGE_SMALL || !KMEM_ACCOUNT, "no room for who pays");

/* NULL: no object is charged to anybody yet. */
static inline const struct slab_account_ops *slab_account_ops(void)
{
	return KMEM_ACCOUNT ? READ_ONCE(kmem_sys.account) : NULL;
}

static inline u32 slab_cache_id(const struct page *slab)
{
	if (MM_PAGE_SMALL) /* the word is where the index would be */
		return (u32)frame_mark(slab) & SLAB_MARK_ID;
	return page_index(slab) & ((1u << SLAB_ID_BITS) - 1);
}

/* NULL: nobody pays for any. */
static inline struct obj_cgroup **slab_payers(const struct page *slab)
{
	u64 tail = KMEM_ACCOUNT ? __atomic_load_n(&slab->tail, __ATOMIC_ACQUIRE)
				: 0;

	return unlikely(tail >> SLAB_ID_BITS) ? port_ram(tail >> SLAB_ID_BITS)
					      : NULL;
}

/* Number of OBJ, an object of SLAB. */
static inline u32 slab_object_index(const struct kmem_cache *s,
				    const struct page *slab, const void *obj)
{
	u64 off =
		(u64)((const char *)obj - slab_base(slab)) - s->layout.red_left;

	return slab_index(&s->layout, (u32)off);
}

static inline struct kmem_cache_node *slab_node(const struct kmem_cache *s,
						const struct page *slab)
{
	return smp_load_acquire(&s->node[page_to_nid(slab)]);
}

/* Where user pointers of a slab may point: is OBJ one of them? */
static inline bool slab_has_object(const struct kmem_cache *s,
				   const struct page *slab, const void *obj)
{
	u64 off =
		(u64)((const char *)obj - slab_base(slab)) - s->layout.red_left;
	u32 index;

	if (off >= (u64)slab_word(slab).objects * s->layout.size)
		return false;
	index = slab_index(&s->layout, (u32)off);
	return index * s->layout.size == off;
}

/* ---- links of free objects ----------------------------------------------
 */

static inline u64 link_code(const struct kmem_cache *s, const char *at)
{
	if (likely(!s->secret))
		return 0;
	return s->secret ^ __builtin_bswap64((u64)(uintptr_t)at);
}

static inline void *get_link(const struct kmem_cache *s, const void *obj)
{
	const char *at = (const char *)obj + s->layout.link;
	u64 v;

	mm_memcpy(&v, at, sizeof(v));
	return (void *)(uintptr_t)(v ^ link_code(s, at));
}

static inline void set_link(const struct kmem_cache *s, void *obj, void *next)
{
	char *at = (char *)obj + s->layout.link;
	u64 v = (u64)(uintptr_t)next ^ link_code(s, at);

	mm_memcpy(at, &v, sizeof(v));
}

/*
 * The link of a free object, believed only if it leads to an object of the
 * same slab. False: it was overwritten; *NEXT is untouched.
 */
static inline bool follow_link(const struct kmem_cache *s,
			       const struct page *slab, const void *obj,
			       void **next)
{
	void *p = get_link(s, obj);

	if (p && unlikely(!slab_has_object(s, slab, p)))
		return false;
	*next = p;
	return true;
}

/* ---- a CPU's array ------------------------------------------------------
 *
 * The word is taken by exchange and given back by store, so that the array is
 * whole whoever looks: an interrupt, or another CPU that empties it. Nobody
 * waits for it but those who empty.
 */
static inline void **sheaf_slots(struct kmem_cache_cpu *c)
{
	return (void **)(c + 1);
}

/* Must an allocation with GFP, a free of frame PFN, take the long way? */
static inline bool slow_alloc(gfp_t gfp)
{
	return unlikely((u64)gfp & HOT_READ(kmem_sys.hot.gfp_slow.all));
}

/* An allocation of SIZE bytes: larger than any cache's, or watched? */
static inline bool slow_size(size_t size)
{
	return unlikely(size >= HOT_READ(kmem_sys.hot.kmalloc_end.all));
}

static inline bool slow_free(u64 pfn)
{
	return unlikely(pfn >= HOT_READ(kmem_sys.hot.pfn_end.all));
}

/* As wide as an address: the fast ways use it as an index as it comes. */
static inline u64 sheaf_take_word(struct kmem_cache_cpu *c)
{
	return __atomic_exchange_n(&c->top, SHEAF_LOCKED, __ATOMIC_ACQUIRE);
}

/* Objects in the array, or SHEAF_LOCKED. */
static inline s32 sheaf_top(u64 word)
{
	return (s32)(u32)word;
}

static inline s32 sheaf_take(struct kmem_cache_cpu *c)
{
	return sheaf_top(sheaf_take_word(c));
}

static inline void sheaf_give_word(struct kmem_cache_cpu *c, u64 word)
{
	__atomic_store_n(&c->top, word, __ATOMIC_RELEASE);
}

/* TOP was taken, and is given back unless it was locked. */
static inline void sheaf_untake(struct kmem_cache_cpu *c, u64 top)
{
	if (sheaf_top(top) >= 0)
		sheaf_give_word(c, top);
}

/* May OBJ be put on the array of C, which was taken at TOP? Not if it is full,
 * locked, or has OBJ on top already; what is below an empty one is no object.
 */
static inline bool sheaf_may_push(struct kmem_cache_cpu *c, u64 top,
				  const void *obj)
{
	return likely((u32)top < (u32)c->cap) &&
	       likely(sheaf_slots(c)[(s64)top - 1] != obj);
}

static inline void sheaf_push_word(struct kmem_cache_cpu *c, u64 top,
				   const void *obj)
{
	/* Each access has its own address: none is computed beforehand. */
	__asm__("" : "+r"(top));
	sheaf_slots(c)[top] = (void *)(uintptr_t)obj;
	sheaf_give_word(c, top + 1);
}

static inline void sheaf_give(struct kmem_cache_cpu *c, s32 top)
{
	sheaf_give_word(c, (u32)top);
}

/* This CPU's part of S as the fast ways see it, never NULL: a gate may stand in
 * for it. Pinned, or it is a hint. */
static inline struct kmem_cache_cpu *this_cache_cpu(const struct kmem_cache *s)
{
	return __atomic_load_n(&s->cpu[port_cpu_or_none()], __ATOMIC_ACQUIRE);
}

/* The part of S that CPU has, never NULL; behind the gate, if there is one. */
static inline struct kmem_cache_cpu *cache_part(const struct kmem_cache *s,
						u32 cpu)
{
	struct kmem_cache_cpu *c =
		__atomic_load_n(&s->cpu[cpu], __ATOMIC_ACQUIRE);
	struct kmem_cache_cpu **parts;

	if (!KMEM_ACCOUNT || likely(c < kmem_sys.cpu_gate ||
				    c >= kmem_sys.cpu_gate + MM_NR_CPUS))
		return c;
	parts = smp_load_acquire(&s->parts);
	return parts ? smp_load_acquire(&parts[cpu]) : &kmem_sys.cpu_none;
}

/* This CPU's. Pinned, or it is a hint. */
static inline struct kmem_cache_cpu *this_cache_part(const struct kmem_cache *s)
{
	return cache_part(s, port_cpu_or_none());
}

/* ---- slab.c -------------------------------------------------------------
 */

/* An allocation in full. */
struct slab_request {
	gfp_t gfp;
	int nid;     /* -1: anywhere */
	size_t size; /* bytes that were asked for */
	u64 caller;
	bool no_new; /* only what there is: no new slab */
	bool paid;   /* who pays is seen to */
};

/* slab_alloc: the long way. */
void *slab_alloc(struct kmem_cache *s, const struct slab_request *rq);

/* slab_free: the long way; PAGE is OBJ's frame. S is as the mark says. */
void slab_free(struct kmem_cache *s, struct page *page, void *obj, u64 caller);

/* slab_free_any: OBJ may be anything; S is who it should be of, or NULL. */
void slab_free_any(struct kmem_cache *s, const void *obj, u64 caller);

/* Up to WANT objects for CPU part C into BUF, lowest address last; from its
 * slab, frozen slabs, and the node's. */
u32 cpu_take_objects(struct kmem_cache *s, struct kmem_cache_cpu *c, void **buf,
		     u32 want);

/* cpu_link_fresh: C's objects that were never linked join its list. Lock held.
 */
void cpu_link_fresh(struct kmem_cache *s, struct kmem_cache_cpu *c);

/* cpu_part: the running CPU's part of S, made if it is time; or cpu_none. */
struct kmem_cache_cpu *cpu_part(struct kmem_cache *s);

/* alloc_objects: up to WANT objects, a new slab if need be. 0: no memory. */
u32 cpu_alloc_objects(struct kmem_cache *s, struct kmem_cache_cpu *c,
		      const struct slab_request *rq, void **buf, u32 want);

/* ---- slab_partial.c -----------------------------------------------------
 */

/* slab_new: a slab with all objects free, on no list. NULL: no memory. *FRESH,
 * unless FRESH is NULL: so many of them, all or none, are not linked: the slab
 * is frozen, and they count as in use. */
struct page *slab_new(struct kmem_cache *s, const struct slab_request *rq,
		      u32 *fresh);

/* slab_link_objects: make SLAB, nobody's and new, as if never used lazily:
 * all objects are on its list, and it is not frozen. */
void slab_link_objects(struct kmem_cache *s, struct page *slab);

/* slab_release: give up SLAB, no object of which is in use, on no list. */
void slab_release(struct kmem_cache *s, struct page *slab);

/* slab_free_bad: report OBJ, which was freed to S (NULL: kfree()). */
void slab_free_bad(struct kmem_cache *s, const void *obj, const char *text);

/* slab_put_objects: N objects of S go back to their slabs, in runs of one
 * slab. What is no object of S is reported and dropped. BUF is not kept. */
void slab_put_objects(struct kmem_cache *s, void **buf, u32 n);

/* slab_take_list: all of a frozen SLAB's own list is the caller's; *N: how
 * many. NULL: there is none. */
void *slab_take_list(struct page *slab, u32 *n);

/* node_take_slab: freeze a partial slab of N with its list, or NULL. */
struct page *node_take_slab(struct kmem_cache_node *n, void **list, u32 *nr);

/* node_freeze_slab: freeze a partial slab, its list stays; or NULL. */
struct page *node_freeze_slab(struct kmem_cache_node *n);

/* alloc_direct: one object past all CPU parts. */
void *alloc_direct(struct kmem_cache *s, const struct slab_request *rq);

/* slab_unfreeze: SLAB is no CPU's any more; FREELIST (NR objects) joins its
 * list. Released if it is empty and its node has enough. */
void slab_unfreeze(struct kmem_cache *s, struct page *slab, void *freelist,
		   u32 nr);

/* Lock held: SLAB goes to the list that its word W, not frozen, says. */
void node_list_slab(struct kmem_cache *s, struct kmem_cache_node *n,
		    struct page *slab, union slab_word w);

/* cpu_unfreeze_partial: C's frozen slabs but the current one. */
void cpu_unfreeze_partial(struct kmem_cache *s, struct kmem_cache_cpu *c);

/* slab_for_each_of: FN for each slab of S, by a search of all frames. */
void slab_for_each_of(struct kmem_cache *s,
		      void (*fn)(struct kmem_cache *s, struct page *slab,
				 void *arg),
		      void *arg);

/* ---- slab_barn.c --------------------------------------------------------
 */

/* From this much memory on caches have barns. */
#define BARN_MIN_RAM (64UL << 20)

/* slab_barn_cap: places of a barn for objects of SIZE; 0: none. */
u32 slab_barn_cap(u32 size, s32 sheaf_cap);
/* barn_put: BUF[N], of C, go to its node's barn. False: none did: no room, or
 * one of them is no object of S. */
bool barn_put(struct kmem_cache *s, struct kmem_cache_cpu *c, void **buf,
	      u32 n);
/* barn_take: up to WANT objects for C into BUF; how many. */
u32 barn_take(struct kmem_cache *s, struct kmem_cache_cpu *c, void **buf,
	      u32 want);
/* barn_drain: the barns of S give their objects back to slabs. */
void barn_drain(struct kmem_cache *s);
/* barn_free: N's barn, empty, goes. barn_count: objects it has. */
void barn_free(struct kmem_cache_node *n);
u32 barn_count(const struct kmem_cache_node *n);
/* barn_check: BN-1. */
void barn_check(const struct kmem_cache *s, struct kmem_cache_node *n, int nid);
/* barn_init: the cache of barns and their shrinker. 0 or -ENOMEM. */
int barn_init(void) MM_MUST_CHECK;

/* ---- slab_common.c and kmalloc.c ----------------------------------------
 */

/* slab_check_frees: each free looks at its object's frame from now on: there
 * is another node, or a slab that must not be used. Any context. */
void slab_check_frees(void);
/* slab_node_setup: empty lists. */
void slab_node_setup(struct kmem_cache_node *n);

/* slab_whole: S with what stands behind its descriptor; NULL: nothing does. */
static inline struct kmem_cache_whole *slab_whole(struct kmem_cache *s)
{
	if (!kmem_sys.params.few_slabs || s == &kmem_sys.boot_cache ||
	    s == &kmem_sys.boot_node)
		return NULL;
	return container_of(s, struct kmem_cache_whole, cache);
}

/* slab_part_free: C, a part of S that no CPU has any more, is given back. */
void slab_part_free(struct kmem_cache *s, struct kmem_cache_cpu *c);
/* kmalloc_init: the caches of kmalloc. 0 or -ENOMEM. */
int kmalloc_init(void) MM_MUST_CHECK;

/* shrinker_init: the registry, empty. At boot. */
void shrinker_init(void);

/* ---- slab_debug.c -------------------------------------------------------
 */

/* What a report names. */
struct slab_spot {
	struct kmem_cache *s;
	struct page *slab;
	const void *obj; /* NULL: the slab as a whole */
};

/* slab_bug: the report. TEXT is what is wrong. */
void slab_bug(const struct slab_spot *at, const char *text);

/* slab_quarantine: SLAB, on no list or locked out by the caller, is never
 * used again; what is free in it stays so. */
void slab_quarantine(struct kmem_cache *s, struct page *slab);

/* The slab's list was found broken after OBJ: report and set aside. */
void slab_broken_link(struct kmem_cache *s, struct page *slab, const void *obj);

/* Debug caches; list lock held. False: the slab is to be set aside. */
bool debug_alloc_check(struct kmem_cache *s, struct page *slab, void *obj);
void debug_alloc_done(struct kmem_cache *s, void *obj, u64 caller);

/* debug_free: OBJ of debug cache S, in SLAB, with all checks. */
void debug_free(struct kmem_cache *s, struct page *slab, void *obj, u64 caller);

/* debug_setup_slab: fill all objects of a new slab. */
void debug_setup_slab(struct kmem_cache *s, struct page *slab);

/* Larger objects leave a page free by themselves now and then. */
#define SLAB_DENSE 256u
/* Up to here larger slabs are made if smaller ones waste more than this part of
 * them at the end. */
#define SLAB_TIGHT	1024u
#define SLAB_TIGHT_PART 24u

/* slab_mark_free: set in BITS[SLAB_OBJECT_BITS] the objects of SLAB that are
 * on its list. */
#define SLAB_OBJECT_BITS (SLAB_MOST_OBJECTS / 64)
void slab_mark_free(struct kmem_cache *s, const struct page *slab, u64 *bits);

/* slab_report_leaks: list the objects of S that are in use. */
void slab_report_leaks(struct kmem_cache *s);

/* ---- slab_track.c -------------------------------------------------------
 */

/* slab_feed_depot: before a lock is taken to allocate from a cache with
 * SLAB_STORE_USER: there is room for its stack, if memory allows. */
void slab_feed_depot(void);
/* slab_set_track: the running task did ITEM with OBJ, asked from CALLER;
 * slab_clear_tracks: nobody did; slab_print_tracks: to the log. Nothing for
 * caches without SLAB_STORE_USER. List lock held, or OBJ is nobody's. */
void slab_set_track(struct kmem_cache *s, void *obj, enum track_item item,
		    u64 caller);
void slab_clear_tracks(const struct kmem_cache *s, void *obj);
void slab_print_tracks(const struct kmem_cache *s, const void *obj);

/* ---- slab_options.c -----------------------------------------------------
 */

/* slub_debug_parse: TEXT of slub_debug= into kmem_sys. 0 or -EINVAL. */
int slub_debug_parse(const char *text) MM_MUST_CHECK;
/* slub_debug_flags: what the options make of FLAGS for cache NAME. */
u32 slub_debug_flags(const char *name, u32 flags);

#endif
