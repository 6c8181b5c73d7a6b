/* SPDX-License-Identifier: MIT */
/*
 * mglru.h - the multi-generational policy: what its files share. Theory:
 * mglru.c (generations), mglru_walk.c (aging), mglru_scan.c (eviction and
 * balance), mglru_ctl.c (what users see and set).
 */
#ifndef MM_RECLAIM_MGLRU_H
#define MM_RECLAIM_MGLRU_H

#include "phys/mmzone.h"
#include "reclaim/reclaim.h"

/* At least so many generations are kept; at most so many there can be. */
#define MGLRU_MIN_GENS 2u
#define MGLRU_MAX_GENS 4u
/* Tiers within a generation: 0, 1, 2, 3..4, 5 and more uses of a file. */
#define MGLRU_TIERS 4u

enum mglru_type { MGLRU_ANON, MGLRU_FILE, MGLRU_TYPES };

/*
 * page.policy: the generation on whose list the page stands, the one that it
 * is of, how often it was used through a file (pairs of uses; PG_referenced is
 * the odd one), and whether all that was ever set.
 */
#define MGLRU_ON	 0 /* shift */
#define MGLRU_GEN	 2 /* shift */
#define MGLRU_REFS	 4 /* shift */
#define MGLRU_REFS_MAX	 3u
#define MGLRU_FIELD_MASK 3u
#define MGLRU_KNOWN	 0x80u

/* Of one tier, since the youngest generation began. */
struct mglru_tier {
	u32 refaulted, evicted, protected;
};

/* The same before that, averaged. */
struct mglru_past {
	u32 refaulted, total;
};

/* Two Bloom filters in a frame. */
#define MGLRU_FILTER_BITS  ((u32)PAGE_SIZE * 8 / 2)
#define MGLRU_FILTER_WORDS (MGLRU_FILTER_BITS / 64)
struct mglru_filters {
	u64 bits[2][MGLRU_FILTER_WORDS];
};

/* In lruvec.room. (L) */
struct mglru_room {
	u64 max_seq;		  /* the youngest generation */
	u64 min_seq[MGLRU_TYPES]; /* the oldest ones */
	u64 born[MGLRU_MAX_GENS]; /* port_now_ns() */
	struct page_list lists[MGLRU_MAX_GENS][MGLRU_TYPES][LRU_NR_ZONES];
	/* Pages by the generation that they are of. */
	u32 nr[MGLRU_MAX_GENS][MGLRU_TYPES][LRU_NR_ZONES];
	struct mglru_tier now[MGLRU_TYPES][MGLRU_TIERS];
	struct mglru_past past[MGLRU_TYPES][MGLRU_TIERS];
	u64 walk;	      /* the walk that is under way; 0: none */
	u64 filter_from;      /* from this max_seq on the filters say all */
	struct page *filters; /* NULL: every table is walked */
	u64 dest; /* while a page is put back: its generation; or 0 */
};

MM_STATIC_ASSERT(sizeof(struct mglru_room) <= LRU_POLICY_ROOM, "it fits");

static inline struct mglru_room *mglru_room(struct lruvec *lruvec)
{
	return (struct mglru_room *)lruvec->room;
}

static inline bool mglru_owns(const struct lruvec *lruvec)
{
	return READ_ONCE(lruvec->ops) == &mglru_ops;
}

static inline enum mglru_type mglru_type(const struct page *page)
{
	return PageSwapBacked(page) ? MGLRU_ANON : MGLRU_FILE;
}

static inline u32 mglru_field(const struct page *page, u32 shift)
{
	return page->policy >> shift & MGLRU_FIELD_MASK;
}

static inline void mglru_set_field(struct page *page, u32 shift, u32 v)
{
	page->policy = (u8)((page->policy & ~(MGLRU_FIELD_MASK << shift)) |
			    v << shift);
}

static inline u32 mglru_gen(u64 seq)
{
	return (u32)(seq % MGLRU_MAX_GENS);
}

/* ---- mglru.c: all with the lruvec lock held ---------------------------------
 */

/* mglru_tier: which tier PAGE is in, by its uses. */
u32 mglru_tier(const struct page *page);
/* mglru_forget_uses: PAGE begins in the first tier again. */
void mglru_forget_uses(struct page *page);

/* mglru_nr: pages of generation SEQ and TYPE, of zones up to ZONE. */
u64 mglru_nr(const struct mglru_room *room, u64 seq, enum mglru_type type,
	     int zone);

/* mglru_move: PAGE, on a list, stands on that of generation SEQ from now on,
 * at its head or at its TAIL. */
void mglru_move(struct lruvec *lruvec, struct page *page, u64 seq, bool tail);

/* mglru_promote: those of the NR at PAGES that are on lists of LRUVEC are of
 * the youngest generation; where they stand does not change. Takes the lock. */
void mglru_promote(struct lruvec *lruvec, struct page **pages, u32 nr);

/* mglru_close_empty: oldest generations without pages are none any more. */
void mglru_close_empty(struct lruvec *lruvec);

/* mglru_merge_oldest: up to NR pages of TYPE's oldest generation join the next
 * one. True: it is empty, and closed. */
bool mglru_merge_oldest(struct lruvec *lruvec, enum mglru_type type, u32 nr);

/* mglru_begin_gen: max_seq is one more; there is room for it. */
void mglru_begin_gen(struct lruvec *lruvec);

/* ---- mglru_walk.c
 * -------------------------------------------------------------------- */

/*
 * mglru_age: a new generation of LRUVEC, if its youngest is MAX_SEQ still:
 * page tables are walked first, ALL of them or those that the filter knows.
 * Who comes while another does it waits for the end. False: it is not the
 * policy's any more. May sleep; no locks held.
 */
bool mglru_age(struct lruvec *lruvec, u64 max_seq, bool all);

/* mglru_look: was PAGE, isolated, used through its mappings since the last
 * look? Its neighbours are looked at on the way. May sleep. */
bool mglru_look(struct lruvec *lruvec, struct page *page);

/* mglru_filter_drop: the frame of the filters goes. Lock held. */
void mglru_filter_drop(struct lruvec *lruvec);

/* ---- mglru_scan.c
 * -------------------------------------------------------------------- */

/* Which types a scan may take: bits. */
#define MGLRU_TAKE_ANON BIT(MGLRU_ANON)
#define MGLRU_TAKE_FILE BIT(MGLRU_FILE)

/* mglru_oldest: the lower min_seq of the types ALLOW. Lock held, or a hint. */
u64 mglru_oldest(const struct mglru_room *room, u32 allow);

/* mglru_prefer: the type to take from, of two equally old ones. Lock held. */
enum mglru_type mglru_prefer(const struct mglru_room *room, u32 swappiness);

/* mglru_last_tier: tiers above this of TYPE are worth keeping. Lock held. */
u32 mglru_last_tier(const struct mglru_room *room, enum mglru_type type);

u64 mglru_scan(struct lruvec *lruvec, struct scan_control *sc);

/* mglru_evict_from: reclaim from generations of LRUVEC up to SEQ, NR pages at
 * least if there are, with SWAPPINESS. Pages freed. May sleep, PF_MEMALLOC
 * set. */
u64 mglru_evict_from(struct lruvec *lruvec, u64 seq, u32 swappiness, u64 nr);

/* ---- mglru_ctl.c
 * ------------------------------------------------------------------ */

#define MGLRU_CAP_CORE 0x1u
#define MGLRU_CAP_WALK 0x2u
#define MGLRU_CAPS     0x3u

/* mglru_cap: is this component on? */
static inline bool mglru_cap(u32 cap)
{
	return !(READ_ONCE(reclaim_sys.mglru.off) & cap);
}

/* mglru_too_young: LRUVEC's oldest generation of the types ALLOW is younger
 * than min_ttl_ms: it is left alone. Lock held. */
bool mglru_too_young(const struct mglru_room *room, u32 allow);

#endif
