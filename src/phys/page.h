/* SPDX-License-Identifier: MIT */
/*
 * page.h - struct page, one for every frame, and all accessors to it.
 *
 * The structure is opaque in spirit: outside phys/ only the accessors below
 * may be used. Links between pages are 32-bit frame numbers, not pointers
 * (0 = none: frame 0 is never given out), which caps RAM at 16 TiB and keeps
 * the descriptor at 40 bytes where pointers would need 64.
 *
 * Who may write a field:
 *   flags      atomic bit operations, any holder of a reference
 *   zone_id    constant after memmap initialisation
 *   policy     lruvec lock (generation and tier bits of the policy in use)
 *   group      whoever allocates it; constant until it is freed
 *   refcount   atomic
 *   mapcount   atomic; page-table lock of the entry that is set or cleared
 *   next, prev the lock of the list that the page is on
 *   word       by use: mapping (page lock), slab word (its owner), page-table
 *              lock word (page-table pages)
 *   index      page lock / owner
 *   private    by use: buddy order and list (zone lock), swap offset and type
 *              (page lock), head of a compound page's tail, owner's data
 *
 * A build without page tables, files and groups (MM_PAGE_SMALL) has 32 bytes:
 * its word lies over index and private. Slabs and lists of free frames use the
 * one, buddies, blocks and their tails the other, never both at a time; what
 * checks that a free frame's word is zero does without.
 *
 * Page index. Anonymous pages and files count pages in 32 bits here: an index
 * is taken modulo 2^32 (16 TiB). Reverse mapping adds the VMA's start back and
 * always checks the page-table entry, so an alias costs a look, never a fault.
 */
#ifndef MM_PHYS_PAGE_H
#define MM_PHYS_PAGE_H

#include <mmkit/port.h>
#include <mmkit/types.h>

#include "base/assert.h"

#ifndef MM_PAGE_SMALL
#define MM_PAGE_SMALL 0
#endif

enum pageflags {
	PG_locked,
	PG_referenced,
	PG_uptodate,
	PG_dirty,
	PG_lru,
	PG_active,
	PG_workingset,
	PG_waiters,
	PG_error,
	PG_slab,
	PG_reserved,
	PG_private,
	PG_writeback,
	PG_head,
	PG_tail,
	PG_swapcache,
	PG_mappedtodisk,
	PG_reclaim,
	PG_swapbacked,
	PG_unevictable,
	PG_mlocked,
	PG_readahead,
	PG_young,
	PG_idle,
	PG_hwpoison,
	/* What the frame is, when it is no ordinary page. */
	PG_buddy,
	PG_guard,
	PG_table,
	PG_offline,
	PG_isolated,
	PG_charged, /* counted against its group */
	PG_block,   /* first of 2^n frames allocated as one, not compound */
	NR_PAGEFLAGS
};

MM_STATIC_ASSERT(NR_PAGEFLAGS <= 32, "page flags fit the flags word");

struct page {
	union {
		struct {
			u32 flags;
			u8 zone_id; /* index into the machine's zones */
			u8 policy;
			u16 group;
		};
		u64 head; /* the four at once: PAGE_HEAD_* */
	};
	union {
		struct {
			s32 refcount;
			s32 mapcount; /* number of page-table entries, minus one
				       */
		};
		u64 counts; /* both at once: page_counts_first() */
	};
	u32 next, prev;
#if MM_PAGE_SMALL
	union {
		u64 word;
#else
	u64 word;
	union {
#endif
		struct {
			u32 index;
			u32 private;
		};
		u64 tail; /* both at once: of a slab (kmem/slab_priv.h) */
	};
};

/* All of the head that a free frame has: its zone. */
#define PAGE_HEAD_ZONE 0xff00000000UL
/* Its group. */
#define PAGE_HEAD_GROUP 0xffff000000000000UL
MM_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
		 "flags are the low half of the head");

MM_STATIC_ASSERT(sizeof(struct page) == (MM_PAGE_SMALL ? 32 : 40),
		 "a descriptor is 40 bytes, a small one 32");

#define PFN_NONE 0u

/* A kernel's own frame, of alloc_page(), that the audit is to know: who marks
 * it takes the mark off before the last reference goes. */
#define PAGE_INDEX_KERNEL 0x6b65726eu

struct page_group;
struct zone;

/* Zones of one machine that hold frames, over all nodes. */
#define PHYS_MAX_ZONES (MM_MAX_NODES * 4)

#ifndef PHYS_GROUP_LEAFS /* a build of one's own may have few groups */
#define PHYS_GROUP_LEAFS 128
#endif

/*
 * The first member of struct phys_state: what inline code reads. Written at
 * boot only.
 */
struct phys_hot {
	struct page *memmap;	  /* all descriptors, indexed by frame number */
	u64 max_pfn;		  /* one past the last frame of RAM */
	u8 *pageblock_mt;	  /* mobility type of each pageblock */
	u16 *large_maps;	  /* (A) large entries of each 512 frames' */
	unsigned int block_order; /* pageblock_order */
	u64 block_magic; /* 2^64 / bytes of a pageblock's descriptors, up */
	struct zone *zone_of[PHYS_MAX_ZONES]; /* by page.zone_id */
	u8 zone_idx_of[PHYS_MAX_ZONES];
	u8 nid_of[PHYS_MAX_ZONES];
	u8 gfp_zone[16]; /* by the four zone bits of a request */
	u64 high_pfn;	 /* frames from here on have no direct map */
	/* Control groups by id (group.h): leaves of 512. */
	struct page_group **groups[PHYS_GROUP_LEAFS];
};

struct phys_state;
extern struct phys_state phys_sys;

static inline const struct phys_hot *phys_hot(void)
{
	return (const struct phys_hot *)&phys_sys;
}

/* phys_memmap: the array of all descriptors. */
static inline struct page *phys_memmap(void)
{
	return phys_hot()->memmap;
}

/* ---- flags ------------------------------------------------------------------
 *
 * For each flag: PageX tests, SetPageX and ClearPageX change it atomically,
 * TestSetPageX and TestClearPageX change it and return the old value.
 */
#define MM_PAGEFLAG(Name, name)                                           \
	static inline bool Page##Name(const struct page *p)               \
	{                                                                 \
		return (__atomic_load_n(&p->flags, __ATOMIC_ACQUIRE) >>   \
			PG_##name) &                                      \
		       1;                                                 \
	}                                                                 \
	static inline void SetPage##Name(struct page *p)                  \
	{                                                                 \
		__atomic_fetch_or(&p->flags, 1u << PG_##name,             \
				  __ATOMIC_ACQ_REL);                      \
	}                                                                 \
	static inline void ClearPage##Name(struct page *p)                \
	{                                                                 \
		__atomic_fetch_and(&p->flags, ~(1u << PG_##name),         \
				   __ATOMIC_ACQ_REL);                     \
	}                                                                 \
	static inline bool TestSetPage##Name(struct page *p)              \
	{                                                                 \
		return (__atomic_fetch_or(&p->flags, 1u << PG_##name,     \
					  __ATOMIC_ACQ_REL) >>            \
			PG_##name) &                                      \
		       1;                                                 \
	}                                                                 \
	static inline bool TestClearPage##Name(struct page *p)            \
	{                                                                 \
		return (__atomic_fetch_and(&p->flags, ~(1u << PG_##name), \
					   __ATOMIC_ACQ_REL) >>           \
			PG_##name) &                                      \
		       1;                                                 \
	}

/* page_flags_set / _clear: all FLAGS (1u << PG_x) at once, atomically; the
 * flags before. page_has_flags: is any of FLAGS set? */
static inline u32 page_flags_set(struct page *p, u32 flags)
{
	return __atomic_fetch_or(&p->flags, flags, __ATOMIC_ACQ_REL);
}

static inline u32 page_flags_clear(struct page *p, u32 flags)
{
	return __atomic_fetch_and(&p->flags, ~flags, __ATOMIC_ACQ_REL);
}

static inline bool page_has_flags(const struct page *p, u32 flags)
{
	return (__atomic_load_n(&p->flags, __ATOMIC_ACQUIRE) & flags) != 0;
}

MM_PAGEFLAG(Locked, locked)
MM_PAGEFLAG(Referenced, referenced)
MM_PAGEFLAG(Uptodate, uptodate)
MM_PAGEFLAG(Dirty, dirty)
MM_PAGEFLAG(LRU, lru)
MM_PAGEFLAG(Active, active)
MM_PAGEFLAG(Workingset, workingset)
MM_PAGEFLAG(Waiters, waiters)
MM_PAGEFLAG(Error, error)
MM_PAGEFLAG(Slab, slab)
MM_PAGEFLAG(Reserved, reserved)
MM_PAGEFLAG(Private, private)
MM_PAGEFLAG(Writeback, writeback)
MM_PAGEFLAG(Head, head)
MM_PAGEFLAG(Tail, tail)
MM_PAGEFLAG(SwapCache, swapcache)
MM_PAGEFLAG(MappedToDisk, mappedtodisk)
MM_PAGEFLAG(Reclaim, reclaim)
MM_PAGEFLAG(SwapBacked, swapbacked)
MM_PAGEFLAG(Unevictable, unevictable)
MM_PAGEFLAG(Mlocked, mlocked)
MM_PAGEFLAG(Readahead, readahead)
MM_PAGEFLAG(Young, young)
MM_PAGEFLAG(Idle, idle)
MM_PAGEFLAG(HWPoison, hwpoison)
MM_PAGEFLAG(Buddy, buddy)
MM_PAGEFLAG(Guard, guard)
MM_PAGEFLAG(Table, table)
MM_PAGEFLAG(Offline, offline)
MM_PAGEFLAG(Isolated, isolated)
MM_PAGEFLAG(Charged, charged)
MM_PAGEFLAG(Block, block)

/*
 * PagePoisoned: P was never made, or its section was removed. Frames that
 * exist have a zone; page_init_poison() leaves all ones.
 */
static inline bool PagePoisoned(const struct page *p)
{
	return READ_ONCE(p->zone_id) == 0 || READ_ONCE(p->flags) == ~0u;
}

/* page_init_poison: the NR descriptors at P describe nothing any more. */
void page_init_poison(struct page *p, u64 nr);

/* ---- frame numbers and places -----------------------------------------------
 */

static inline struct page *pfn_to_page(u64 pfn)
{
	return phys_memmap() + pfn;
}

static inline u64 page_to_pfn(const struct page *p)
{
	return (u64)(p - phys_memmap());
}

/*
 * page_large_maps: how many large entries map the 512 frames that P is one of;
 * for a look, unless who could change it is kept out. Zeroes that are shared
 * count for nothing (pgtable/huge.c).
 */
static inline u16 *page_large_count(u64 pfn)
{
	return phys_hot()->large_maps + (pfn >> 9);
}

static inline u32 page_large_maps(const struct page *p)
{
	return __atomic_load_n(page_large_count(page_to_pfn(p)),
			       __ATOMIC_RELAXED);
}

/*
 * page_block: the number of P's pageblock. One multiplication, where a frame
 * number would cost a division first: exact while the quotient's error, less
 * than the divisor for each byte of memmap, stays below 2^64: for memmaps
 * below 2^48 bytes and pageblocks below 2^16 bytes of descriptors.
 */
static inline u64 page_block(const struct page *p)
{
	u64 bytes = (u64)((const char *)p - (const char *)phys_memmap());

	return (u64)((unsigned __int128)bytes * phys_hot()->block_magic >> 64);
}

/* PageHighMem: P is reached only by mapping it for a while. */
static inline bool PageHighMem(const struct page *p)
{
	return unlikely(page_to_pfn(p) >= READ_ONCE(phys_hot()->high_pfn));
}

/* page_view: the frame's bytes through the direct map; not for high memory. */
static inline void *page_view(const struct page *p)
{
	mm_assert(!PageHighMem(p));
	return port_ram(PFN_PHYS(page_to_pfn(p)));
}

/* view_to_page: the inverse, for any byte of the frame. */
static inline struct page *view_to_page(const void *view)
{
	return pfn_to_page(PFN_DOWN(port_ram_phys(view)));
}

/*
 * page_map: the frame's bytes, wherever they are; of high memory for a short
 * while, on this CPU. page_unmap gives the view back; views are given back in
 * reverse order. Any context; no sleeping in between.
 */
void *page_map_high(struct page *p);
void page_unmap_high(void *view);

static inline void *page_map(struct page *p)
{
	return PageHighMem(p) ? page_map_high(p) : page_view(p);
}

static inline void page_unmap(struct page *p, void *view)
{
	if (PageHighMem(p))
		page_unmap_high(view);
}

/* page_clear: the frame is zero afterwards. Any context. */
static inline void page_clear(struct page *p)
{
	void *view;

	if (likely(!PageHighMem(p))) {
		port_clear_page(page_view(p));
		return;
	}
	view = page_map_high(p);
	port_clear_page(view);
	page_unmap_high(view);
}

/* Read with others writing the rest of the head: one access of its own. */
static inline u8 page_zone_id(const struct page *p)
{
	return READ_ONCE(p->zone_id);
}

static inline int page_zone_idx(const struct page *p)
{
	return phys_hot()->zone_idx_of[page_zone_id(p)];
}

static inline struct zone *page_zone(const struct page *p)
{
	return phys_hot()->zone_of[page_zone_id(p)];
}

static inline int page_to_nid(const struct page *p)
{
	return phys_hot()->nid_of[page_zone_id(p)];
}

/* ---- compound pages ---------------------------------------------------------
 *
 * 2^n frames allocated with __GFP_COMP act as one page: the first carries all
 * state (PG_head), the others (PG_tail) name it in private; the order stands
 * in the first tail's index. A block without __GFP_COMP is marked PG_block
 * and keeps its order in the same place, so that a free of the wrong order is
 * noticed.
 */
static inline bool PageCompound(const struct page *p)
{
	return (__atomic_load_n(&p->flags, __ATOMIC_ACQUIRE) &
		(1u << PG_head | 1u << PG_tail)) != 0;
}

static inline struct page *compound_head(struct page *p)
{
	return PageTail(p) ? pfn_to_page(READ_ONCE(p->private)) : p;
}

static inline unsigned int compound_order(const struct page *p)
{
	return PageHead(p) ? READ_ONCE(p[1].index) : 0;
}

static inline u64 compound_nr(const struct page *p)
{
	return 1UL << compound_order(p);
}

/* ---- references
 * --------------------------------------------------------------- */

static inline int page_count(const struct page *p)
{
	return __atomic_load_n(&p->refcount, __ATOMIC_ACQUIRE);
}

static inline void set_page_count(struct page *p, int n)
{
	__atomic_store_n(&p->refcount, n, __ATOMIC_RELEASE);
}

/* One more reference; the caller holds one already. */
static inline void get_page(struct page *p)
{
	int old = __atomic_fetch_add(&p->refcount, 1, __ATOMIC_ACQ_REL);

	mm_verify(old > 0);
}

/* One reference less unless it is the last; then false. */
static inline bool put_page_unless_last(struct page *p)
{
	s32 old = __atomic_load_n(&p->refcount, __ATOMIC_RELAXED);

	do {
		if (old <= 1)
			return false;
	} while (!__atomic_compare_exchange_n(&p->refcount, &old, old - 1, true,
					      __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

/* One more reference unless the frame is free (count 0). */
static inline bool get_page_unless_zero(struct page *p)
{
	s32 old = __atomic_load_n(&p->refcount, __ATOMIC_RELAXED);

	do {
		if (old <= 0)
			return false;
	} while (!__atomic_compare_exchange_n(&p->refcount, &old, old + 1,
					      false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

/* True if this was the last reference: the caller must free the page. */
static inline bool put_page_testzero(struct page *p)
{
	int left = __atomic_sub_fetch(&p->refcount, 1, __ATOMIC_ACQ_REL);

	mm_verify(left >= 0);
	return left == 0;
}

/*
 * put_page: drop a reference; the last one takes the page off its LRU list,
 * uncharges it and frees it (a compound page or a block as a whole). P may be
 * a tail of a compound page. Any context that may take the lruvec and zone
 * locks. Defined in page_alloc.c.
 */
void put_page(struct page *p);

/*
 * release_pages: put_page() for each of the NR at PAGES, which is scribbled
 * over: locks of lists and free frames are taken once for many. Context as
 * put_page().
 */
void release_pages(struct page **pages, u32 nr);
/* release_pages_after: those that have any of FLAGS are given to FIRST before
 * their reference is dropped. No more than FIRST may do. */
void release_pages_after(struct page **pages, u32 nr, u32 flags,
			 void (*first)(struct page *page));

/* page_ref_add: N references more (fewer); not the last. */
static inline void page_ref_add(struct page *p, int n)
{
	int now = __atomic_add_fetch(&p->refcount, n, __ATOMIC_ACQ_REL);

	mm_assert(now > 0);
	(void)now;
}

/* A pin by pin_user_pages() weighs that many references. */
#define PIN_BIAS 1024

/* page_maybe_dma_pinned: is P pinned? True as well for one that very many
 * processes map. */
static inline bool page_maybe_dma_pinned(const struct page *p)
{
	return page_count(p) >= PIN_BIAS;
}

/* Take all N references away at once if there are exactly N. */
static inline bool page_ref_freeze(struct page *p, int n)
{
	s32 expect = n;

	return __atomic_compare_exchange_n(&p->refcount, &expect, 0, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static inline void page_ref_unfreeze(struct page *p, int n)
{
	__atomic_store_n(&p->refcount, n, __ATOMIC_RELEASE);
}

/* ---- mappings in page tables
 * --------------------------------------------------- */

static inline int page_mapcount(const struct page *p)
{
	return __atomic_load_n(&p->mapcount, __ATOMIC_ACQUIRE) + 1;
}

static inline bool page_mapped(const struct page *p)
{
	return page_mapcount(p) > 0;
}

static inline void page_mapcount_reset(struct page *p)
{
	__atomic_store_n(&p->mapcount, -1, __ATOMIC_RELEASE);
}

/* The first mapping of a page that nobody else knows. */
static inline void page_mapcount_first(struct page *p)
{
	__atomic_store_n(&p->mapcount, 0, __ATOMIC_RELEASE);
}

/* A free frame's: neither referenced nor mapped. Who looks at frames one by one
 * tries for a reference of any, so that this is read in one go. */
static inline bool page_counts_free(const struct page *p)
{
	return READ_ONCE(p->counts) == 0xffffffff00000000UL;
}

/* The first reference and the first mapping at once, of a page that had neither
 * and is complete otherwise. */
static inline void page_counts_first(struct page *p)
{
	__atomic_store_n(&p->counts, 1, __ATOMIC_RELEASE);
}

/* Returns the number of mappings afterwards. */
static inline int page_mapcount_add(struct page *p, int n)
{
	return __atomic_add_fetch(&p->mapcount, n, __ATOMIC_ACQ_REL) + 1;
}

/* ---- identity
 * -------------------------------------------------------------------
 *
 * The mapping word is a pointer whose low bits tell the kind of owner. Who
 * finds it changed, without a lock of the page's, knows that the one who had it
 * is done with what hung from it (a node of KSM's is freed by that): so each
 * store is a release, those of free frames' lists included, and each look an
 * acquire.
 */
#define PAGE_MAPPING_ANON    0x1UL
#define PAGE_MAPPING_MOVABLE 0x2UL
#define PAGE_MAPPING_KSM     (PAGE_MAPPING_ANON | PAGE_MAPPING_MOVABLE)
#define PAGE_MAPPING_FLAGS   0x3UL

static inline u64 page_mapping_word(const struct page *p)
{
	return __atomic_load_n(&p->word, __ATOMIC_ACQUIRE);
}

static inline void set_page_mapping_word(struct page *p, u64 word)
{
	__atomic_store_n(&p->word, word, __ATOMIC_RELEASE);
}

/* Has P, which is or becomes free, a word that somebody left? */
static inline bool page_word_left(const struct page *p)
{
	return !MM_PAGE_SMALL && READ_ONCE(p->word) != 0;
}

static inline bool PageAnon(const struct page *p)
{
	return (page_mapping_word(p) & PAGE_MAPPING_ANON) != 0;
}

/* __PageMovable: P is in use and its owner moves it (movable_ops.h). The word
 * of slabs, tables and blocks is no mapping: they set their flag before they
 * set the word, and clear it after the word. */
static inline bool __PageMovable(const struct page *p)
{
	u32 other = 1u << PG_slab | 1u << PG_table | 1u << PG_reserved |
		    1u << PG_head | 1u << PG_tail | 1u << PG_block;

	return (page_mapping_word(p) & PAGE_MAPPING_FLAGS) ==
		       PAGE_MAPPING_MOVABLE &&
	       !page_has_flags(p, other);
}

/* PageKsm: P is shared by content, and never written: space/ksm.h. */
static inline bool PageKsm(const struct page *p)
{
	return (page_mapping_word(p) & PAGE_MAPPING_FLAGS) == PAGE_MAPPING_KSM;
}

static inline u32 page_index(const struct page *p)
{
	return __atomic_load_n(&p->index, __ATOMIC_RELAXED);
}

static inline void set_page_index(struct page *p, u64 index)
{
	__atomic_store_n(&p->index, (u32)index, __ATOMIC_RELAXED);
}

static inline u32 page_private(const struct page *p)
{
	return __atomic_load_n(&p->private, __ATOMIC_RELAXED);
}

static inline void set_page_private(struct page *p, u32 v)
{
	__atomic_store_n(&p->private, v, __ATOMIC_RELAXED);
}

static inline void page_private_add(struct page *p, u32 n)
{
	__atomic_fetch_add(&p->private, n, __ATOMIC_RELAXED);
}

static inline u16 page_group(const struct page *p)
{
	return __atomic_load_n(&p->group, __ATOMIC_RELAXED);
}

static inline void set_page_group(struct page *p, u16 group)
{
	__atomic_store_n(&p->group, group, __ATOMIC_RELAXED);
}

/* ---- the page lock, and waiting for a page (phys/page_wait.c)
 * ------------------ */

/* trylock_page: true if the lock was free and is now ours. Any context. */
static inline bool trylock_page(struct page *p)
{
	return !TestSetPageLocked(p);
}

/* lock_page: sleeps until the page is ours. The caller holds a reference. */
void lock_page(struct page *p);
/* unlock_page: wakes one waiter. Also from a completion callback. */
void unlock_page(struct page *p);
/* wait_on_page_unlock: sleep until PAGE, to which the caller has no reference,
 * is unlocked once. It is locked, and stays so until HELD, the caller's, is
 * given up, which is done here. May return early. */
struct spinlock;
void wait_on_page_unlock(struct page *page, struct spinlock *held);
/* wait_on_page_locked / _writeback: sleep until the bit is clear. */
void wait_on_page_locked(struct page *p);
void wait_on_page_writeback(struct page *p);
/* end_page_writeback: clears PG_writeback and wakes all. Any context. */
void end_page_writeback(struct page *p);

/* ---- lists of pages
 * ---------------------------------------------------------------
 *
 * Doubly linked through next and prev, head and tail as frame numbers; the
 * list's lock is the caller's. Head and count may be peeked at without it.
 */
struct page_list {
	u32 head, tail;
	u64 count;
};

static inline void page_list_init(struct page_list *l)
{
	l->head = l->tail = PFN_NONE;
	l->count = 0;
}

static inline bool page_list_empty(const struct page_list *l)
{
	return READ_ONCE(l->head) == PFN_NONE;
}

static inline struct page *page_list_first(const struct page_list *l)
{
	return l->head ? pfn_to_page(l->head) : NULL;
}

static inline struct page *page_list_last(const struct page_list *l)
{
	return l->tail ? pfn_to_page(l->tail) : NULL;
}

static inline struct page *page_list_next(const struct page *p)
{
	return p->next ? pfn_to_page(p->next) : NULL;
}

static inline struct page *page_list_prev(const struct page *p)
{
	return p->prev ? pfn_to_page(p->prev) : NULL;
}

/* To the front (most recent end). */
static inline void page_list_add(struct page_list *l, struct page *p)
{
	u32 pfn = (u32)page_to_pfn(p);

	p->prev = PFN_NONE;
	p->next = l->head;
	if (l->head)
		pfn_to_page(l->head)->prev = pfn;
	else
		l->tail = pfn;
	WRITE_ONCE(l->head, pfn);
	WRITE_ONCE(l->count, l->count + 1);
}

/* To the back (oldest end). */
static inline void page_list_add_tail(struct page_list *l, struct page *p)
{
	u32 pfn = (u32)page_to_pfn(p);

	p->next = PFN_NONE;
	p->prev = l->tail;
	if (l->tail)
		pfn_to_page(l->tail)->next = pfn;
	else
		WRITE_ONCE(l->head, pfn);
	l->tail = pfn;
	WRITE_ONCE(l->count, l->count + 1);
}

/* P must be on L; the neighbours' links are verified. */
static inline void page_list_del(struct page_list *l, struct page *p)
{
	u32 pfn = (u32)page_to_pfn(p);

	if (p->prev) {
		mm_verify(pfn_to_page(p->prev)->next == pfn);
		pfn_to_page(p->prev)->next = p->next;
	} else {
		mm_verify(l->head == pfn);
		WRITE_ONCE(l->head, p->next);
	}
	if (p->next) {
		mm_verify(pfn_to_page(p->next)->prev == pfn);
		pfn_to_page(p->next)->prev = p->prev;
	} else {
		mm_verify(l->tail == pfn);
		l->tail = p->prev;
	}
	p->next = p->prev = PFN_NONE;
	WRITE_ONCE(l->count, l->count - 1);
}

/* Take the first / last page off, or NULL. */
static inline struct page *page_list_pop(struct page_list *l)
{
	struct page *p = page_list_first(l);

	if (p)
		page_list_del(l, p);
	return p;
}

static inline struct page *page_list_pop_tail(struct page_list *l)
{
	struct page *p = page_list_last(l);

	if (p)
		page_list_del(l, p);
	return p;
}

#endif
