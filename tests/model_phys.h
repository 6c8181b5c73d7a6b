/* SPDX-License-Identifier: MIT */
/*
 * model_phys.h - what the page allocator must be doing, kept by the simplest
 * means: a byte per frame that says who has it, and a list of the blocks that
 * are out. Nothing here looks into free lists to decide what is right; the
 * census walks them only to compare.
 *
 * A difference ends the run with the seed, the step and the operation, and
 * the command that repeats it. Include after phys_machine.h.
 */
#ifndef TESTS_MODEL_PHYS_H
#define TESTS_MODEL_PHYS_H

#include "base/fail.h"
#include "base/trace_ring.h"
#include "phys/buddy_priv.h"
#include "phys_machine.h"

#define MODEL_PFNS     ((4 * GiB + 512 * MiB) >> PAGE_SHIFT)
#define MODEL_MAX_LIVE (1u << 17)
#define MODEL_BLOCKS   (MODEL_PFNS >> 9)
#define MODEL_PLUGS    (MODEL_PFNS >> PFN_SECTION_SHIFT)

enum frame_state {
	FRAME_NONE, /* no RAM, or not the allocator's */
	FRAME_FREE,
	FRAME_USED,
	FRAME_OFFLINE, /* RAM that is not in use */
	FRAME_OWN      /* hotplug's: descriptors, tables */
};

enum plug_state { PLUG_ABSENT, PLUG_OFFLINE, PLUG_KERNEL, PLUG_MOVABLE };

/* A block of memory that comes and goes. */
struct model_plug {
	enum plug_state state;
	bool self; /* its descriptors lie in its first frames */
};

struct model_block {
	u32 pfn;
	u32 stamp;
	u8 order;
	bool comp, charged;
	bool cma; /* given out by a CMA area */
};

static struct model {
	u64 seed, step;
	const char *op;
	u64 used, charged, managed;
	u64 cma;      /* frames given out by areas */
	bool low_dma; /* there is a zone for the first 16 MiB */
	bool highmem; /* what lies above 896 MiB is mapped by nobody */
	u64 nr_live;
	u64 given, refused, frames; /* over all machines of the run */
	u64 census; /* number of this one: what mark[] is compared with */
	u32 serial;
	struct model_block live[MODEL_MAX_LIVE];
	u8 frame[MODEL_PFNS];	   /* enum frame_state */
	u32 mark[MODEL_PFNS];	   /* census that saw the frame on a list */
	u8 isolated[MODEL_BLOCKS]; /* 1 + the type that it had */
	u64 own;		   /* frames that are hotplug's */
	struct model_plug plug[MODEL_PLUGS];
} model;

static inline _Noreturn void model_die(const char *what, const char *file,
				       int line)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
	port_panic("the model and the allocator differ");
}

#define must(c)                                            \
	do {                                               \
		if (unlikely(!(c)))                        \
			model_die(#c, __FILE__, __LINE__); \
	} while (0)
#define must_eq(a, b)                                                \
	do {                                                         \
		u64 a_ = (u64)(a), b_ = (u64)(b);                    \
		if (unlikely(a_ != b_)) {                            \
			fprintf(stderr, "%lu != %lu: ", a_, b_);     \
			model_die(#a " == " #b, __FILE__, __LINE__); \
		}                                                    \
	} while (0)

/* All frames that the machine, just booted, manages: free. */
static inline void model_begin(u64 seed)
{
	struct zone *zone;
	u64 nr = 0;

	model.seed = seed;
	model.step = 0;
	model.op = "boot";
	model.used = model.charged = model.cma = model.nr_live = 0;
	model.own = 0;
	memset(model.plug, 0, sizeof(model.plug));
	memset(model.frame, FRAME_NONE, sizeof(model.frame));
	memset(model.mark, 0, sizeof(model.mark));
	memset(model.isolated, 0, sizeof(model.isolated));
	model.census = 0;
	for_each_populated_zone (zone) {
		must(zone_end_pfn(zone) <= MODEL_PFNS);
		for (u64 i = zone->zone_start_pfn; i < zone_end_pfn(zone);
		     i++) {
			if (zone_at(zone_to_nid(zone), i) != zone ||
			    !memblock_is_memory(PFN_PHYS(i)) ||
			    (memblock_is_region_reserved(PFN_PHYS(i),
							 PAGE_SIZE) &&
			     !cma_overlaps(i, i + 1)))
				continue;
			nr += model.frame[i] == FRAME_NONE;
			model.frame[i] = FRAME_FREE;
		}
	}
	model.managed = nr;
	must_eq(nr, totalram_pages());
}

/* ---- blocks that are out
 * ------------------------------------------------------------- */

/* Every frame of small blocks is marked, every 16th part of large ones. */
static inline u64 model_stride(unsigned int order)
{
	return order <= 4 ? 1 : 1UL << (order - 4);
}

static inline u64 *model_word(u64 pfn)
{
	return page_view(pfn_to_page(pfn));
}

static inline void model_stamp(const struct model_block *b)
{
	for (u64 i = 0; i < 1UL << b->order; i += model_stride(b->order))
		*model_word(b->pfn + i) = (u64)b->stamp << 32 | (b->pfn + i);
}

static inline void model_check_stamp(const struct model_block *b)
{
	for (u64 i = 0; i < 1UL << b->order; i += model_stride(b->order))
		must_eq(*model_word(b->pfn + i),
			(u64)b->stamp << 32 | (b->pfn + i));
}

static inline void model_put(u64 pfn, unsigned int order, bool comp,
			     bool charged)
{
	struct model_block *b = &model.live[model.nr_live++];

	must(model.nr_live <= MODEL_MAX_LIVE);
	*b = (struct model_block){
		.pfn = (u32)pfn,
		.stamp = ++model.serial,
		.order = (u8)order,
		.comp = comp,
		.charged = charged,
	};
	model_stamp(b);
}

/* The allocator gave this block out: it was free, whole, and no one's. */
static inline void model_add(struct page *page, unsigned int order, gfp_t gfp)
{
	bool comp = order && (gfp & __GFP_COMP);
	bool charged = gfp & (__GFP_ACCOUNT | __GFP_HARDWALL);
	u64 pfn = page_to_pfn(page), nr = 1UL << order;

	must(IS_ALIGNED(pfn, nr) && pfn + nr <= MODEL_PFNS);
	for (u64 i = pfn; i < pfn + nr; i++) {
		must_eq(model.frame[i], FRAME_FREE);
		model.frame[i] = FRAME_USED;
		must(!model.isolated[i >> 9]);
	}
	must_eq(page_count(page), 1);
	must_eq(page_mapcount(page), 0);
	must_eq(PageHead(page), comp);
	must_eq(compound_order(page), comp ? order : 0);
	must_eq(PageCharged(page), charged);
	for (u64 i = 1; comp && i < nr; i++)
		must(compound_head(page + i) == page);
	model.used += nr;
	model.given++;
	model.frames += nr;
	model.charged += charged ? nr : 0;
	model_put(pfn, order, comp, charged);
}

/* The K-th block goes back: what was written is still there. */
static inline struct model_block model_take(u64 k)
{
	struct model_block b = model.live[k];
	u64 nr = 1UL << b.order;

	model_check_stamp(&b);
	for (u64 i = b.pfn; i < b.pfn + nr; i++) {
		must_eq(model.frame[i], FRAME_USED);
		model.frame[i] = FRAME_FREE;
	}
	model.used -= nr;
	model.charged -= b.charged ? nr : 0;
	model.cma -= b.cma;
	model.live[k] = model.live[--model.nr_live];
	return b;
}

/* The K-th block, not compound, becomes single frames. */
static inline void model_split(u64 k)
{
	struct model_block b = model.live[k];

	model_check_stamp(&b);
	model.live[k] = model.live[--model.nr_live];
	for (u64 i = 0; i < 1UL << b.order; i++)
		model_put(b.pfn + i, 0, false, b.charged);
}

static inline bool model_room(u64 nr)
{
	return model.nr_live + nr <= MODEL_MAX_LIVE;
}

/* ---- comparing
 * ----------------------------------------------------------------------- */

static inline u64 model_pcp_frames(const struct zone *zone)
{
	u64 sum = 0;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		sum += (u64)pcp_count(&zone->pageset[cpu]);
	return sum;
}

/* Frames of guards in [PFN, END) of ZONE: free, but on no list. */
static inline u64 model_guards(const struct zone *zone, u64 pfn, u64 end)
{
	u64 sum = 0;

	while (phys_sys.debug.p.guard_minorder && pfn < end) {
		const struct page *page = pfn_to_page(pfn);
		u64 nr = 1;

		if (model.frame[pfn] == FRAME_FREE && pfn_valid(pfn) &&
		    PageGuard(page) && page_zone(page) == zone) {
			nr = 1UL << buddy_order(page);
			for (u64 i = pfn; i < pfn + nr; i++)
				must_eq(model.frame[i], FRAME_FREE);
			sum += nr;
		}
		pfn += nr;
	}
	return sum;
}

/* Is frame PFN, which nobody has, kept away from everybody by a guard? */
static inline bool model_guarded(u64 pfn)
{
	unsigned int least = phys_sys.debug.p.guard_minorder;

	for (unsigned int o = 0; o < least && pfn_valid(pfn); o++) {
		const struct page *p = pfn_to_page(ALIGN_DOWN(pfn, 1UL << o));

		if (PageGuard(p) && buddy_order(p) >= o)
			return true;
	}
	return false;
}

/* Free frames of ZONE's isolated pageblocks. */
static inline u64 model_isolated_frames(const struct zone *zone)
{
	u64 sum = 0;

	for (u64 b = zone->zone_start_pfn >> 9; b <= zone_end_pfn(zone) >> 9;
	     b++) {
		if (!model.isolated[b])
			continue;
		for (u64 i = b << 9; i < (b + 1) << 9; i++)
			sum += model.frame[i] == FRAME_FREE &&
			       page_zone(pfn_to_page(i)) == zone;
		sum -= model_guards(zone, b << 9, (b + 1) << 9);
	}
	return sum;
}

/* The sums: cheap enough for every step. */
static inline void model_compare(void)
{
	struct zone *zone;
	u64 pcp = 0, isolated = 0, guards = 0;

	for_each_populated_zone (zone) {
		pcp += model_pcp_frames(zone);
		isolated += model_isolated_frames(zone);
		guards += zone->nr_guard;
	}
	must_eq(totalram_pages(), model.managed);
	must_eq(nr_free_pages() + pcp + model.used + isolated + guards +
			model.own,
		model.managed);
	must_eq(model.own, phys_sys.hotplug.nr_frames);
	must_eq(root_charged_pages(), model.charged);
	must_eq(phys_sys.nr_bad_pages, 0);
}

/* A frame on some list: it is free, and on no other list. */
static inline void census_frame(u64 pfn, const struct zone *zone)
{
	must(pfn < MODEL_PFNS);
	must_eq(model.frame[pfn], FRAME_FREE);
	must(model.mark[pfn] != (u32)model.census);
	must(page_zone(pfn_to_page(pfn)) == zone);
	model.mark[pfn] = (u32)model.census;
}

/* Types whose pageblocks share no list with others. */
static inline bool model_type_apart(int mt)
{
	return mt >= MIGRATE_PCPTYPES;
}

static inline u64 census_list(struct zone *zone, unsigned int order, int mt)
{
	const struct page *p =
		page_list_first(&zone->free_area[order].free_list[mt]);
	u64 nr = 0;

	for (; p; p = page_list_next(p)) {
		u64 pfn = page_to_pfn(p);

		for (u64 i = pfn; i < pfn + (1UL << order); i++) {
			int of = get_pfnblock_migratetype(i);

			census_frame(i, zone);
			must_eq(model.isolated[i >> 9] != 0,
				mt == MIGRATE_ISOLATE);
			if (model_type_apart(mt) || model_type_apart(of))
				must_eq(mt, of);
		}
		nr += 1UL << order;
	}
	return nr;
}

static inline u64 census_pcp(const struct zone *zone, int cpu)
{
	const struct per_cpu_pages *pcp = &zone->pageset[cpu];
	u64 sum = 0;

	for (unsigned int index = 0; index < NR_PCP_LISTS; index++) {
		u64 nr = index < NR_LOWORDER_PCP_LISTS
				 ? 1UL << index / MIGRATE_PCPTYPES
			 : index == PCP_ZEROED ? 1
					       : pageblock_nr_pages;
		const struct page *p = pcp->lists[index];

		for (; p; p = (const struct page *)(uintptr_t)p->word) {
			u64 pfn = page_to_pfn(p);

			for (u64 i = pfn; i < pfn + nr; i++) {
				census_frame(i, zone);
				must(!model.isolated[i >> 9]);
			}
			sum += nr;
		}
	}
	return sum;
}

/* Reserved pageblocks are what the zone says. */
static inline void census_highatomic(const struct zone *zone)
{
	u64 nr = 0;

	for (u64 b = zone->zone_start_pfn >> 9;
	     b < DIV_ROUND_UP(zone_end_pfn(zone), 512); b++)
		nr += get_pfnblock_migratetype(b << 9) == MIGRATE_HIGHATOMIC;
	must_eq(nr << 9, zone->nr_reserved_highatomic);
}

/* Every list of every zone against the bytes: each free frame is on one. */
static inline void model_census(void)
{
	u64 listed = 0;
	struct zone *zone;

	model.census++;
	for_each_populated_zone (zone) {
		u64 isolated = 0, free = zone->nr_deferred * PAGES_PER_SECTION;

		for (unsigned int order = 0; order < MAX_ORDER; order++) {
			for (int mt = 0; mt < MIGRATE_TYPES; mt++) {
				u64 nr = census_list(zone, order, mt);

				if (mt == MIGRATE_ISOLATE)
					isolated += nr;
				else
					free += nr;
			}
		}
		must_eq(free, zone_page_state(zone, NR_FREE_PAGES));
		must_eq(isolated, model_isolated_frames(zone));
		must_eq(model_guards(zone, zone->zone_start_pfn,
				     zone_end_pfn(zone)),
			zone->nr_guard);
		listed += free + isolated + zone->nr_guard;
		for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
			listed += census_pcp(zone, cpu);
		census_highatomic(zone);
	}
	must_eq(listed + model.used + model.own, model.managed);
	/* What was counted out and in is what is out. */
	must_eq(vm_event_all_zones(PGALLOC_DMA) - sum_vm_event(PGFREE),
		model.used + model.own);
}

/* ---- memory that comes and goes
 * ---------------------------------------------------------------------- */

static inline bool plug_online(const struct model_plug *p)
{
	return p->state == PLUG_KERNEL || p->state == PLUG_MOVABLE;
}

/* The first frame of block NR that is not its own descriptors'. */
static inline u64 plug_first(u64 nr)
{
	return (nr << PFN_SECTION_SHIFT) +
	       (model.plug[nr].self ? section_self_frames() : 0);
}

/* All frames of block NR that may be given out were FROM and are TO now. */
static inline void plug_frames(u64 nr, u8 from, u8 to)
{
	for (u64 i = plug_first(nr); i < (nr + 1) << PFN_SECTION_SHIFT; i++) {
		must_eq(model.frame[i], from);
		model.frame[i] = to;
	}
}

/* Is every frame of online block NR free, and none isolated or of an area? */
static inline bool plug_idle(u64 nr)
{
	for (u64 i = plug_first(nr); i < (nr + 1) << PFN_SECTION_SHIFT; i++) {
		if (model.frame[i] != FRAME_FREE || model.isolated[i >> 9])
			return false;
	}
	return true;
}

/*
 * Hotplug took frames for itself, or gave some back: as many as it counts,
 * each of them marked, and from what was free.
 */
static inline void model_sync_own(void)
{
	for (u64 i = 0; i < MODEL_PFNS; i++) {
		u8 *f = &model.frame[i];

		if (*f != FRAME_FREE && *f != FRAME_OWN) {
			if (*f != FRAME_USED && IS_ALIGNED(i, 512))
				i += 511 * (u64)(model.frame[i + 511] == *f);
			continue;
		}
		if (!pfn_valid(i)) {
			must_eq(*f, FRAME_FREE);
			continue;
		}
		if (PageReserved(pfn_to_page(i)) == (*f == FRAME_OWN))
			continue;
		must(*f == FRAME_OWN || !model.isolated[i >> 9]);
		model.own += *f == FRAME_FREE ? 1 : -1UL;
		*f = *f == FRAME_FREE ? FRAME_OWN : FRAME_FREE;
	}
	must_eq(model.own, phys_sys.hotplug.nr_frames);
}

/* ---- what a request may get, and when it may be refused
 * ------------------------------------ */

/* One past the last frame that GFP's zones have. */
static inline u64 model_limit(gfp_t gfp)
{
	/* Where there is no zone DMA, its requests get DMA32. */
	if (gfp & __GFP_DMA)
		return (model.low_dma ? 16 * MiB : 4 * GiB) >> PAGE_SHIFT;
	if (model.highmem && !(gfp & __GFP_HIGHMEM))
		return 896 * MiB >> PAGE_SHIFT;
	/* There is no zone that ends at 4 GiB where HIGHMEM begins below. */
	if (gfp & __GFP_DMA32)
		return (model.highmem ? 896 * MiB : 4 * GiB) >> PAGE_SHIFT;
	return MODEL_PFNS;
}

/* Index of the highest zone, for its reserves. */
static inline int model_highest(gfp_t gfp)
{
	if (gfp & __GFP_DMA)
		return model.low_dma ? ZONE_DMA : ZONE_DMA32;
	if (gfp & __GFP_DMA32)
		return model.highmem ? ZONE_NORMAL : ZONE_DMA32;
	if ((gfp & __GFP_HIGHMEM) && (gfp & __GFP_MOVABLE))
		return ZONE_MOVABLE;
	return (gfp & __GFP_HIGHMEM) && model.highmem ? ZONE_HIGHMEM
						      : ZONE_NORMAL;
}

/* Do CMA areas lend frames to a request with GFP? */
static inline bool model_lends(gfp_t gfp)
{
	return (gfp & __GFP_MOVABLE) && !phys_sys.group_by_mobility_off;
}

/* Is ZONE one that a request with GFP for NID may use? */
static inline bool model_allows(const struct zone *zone, gfp_t gfp, int nid)
{
	if ((gfp & __GFP_THISNODE) &&
	    zone_to_nid(zone) != (nid < 0 ? numa_node_id() : nid))
		return false;
	if (zone->idx == ZONE_MOVABLE && model_highest(gfp) != ZONE_MOVABLE)
		return false;
	return zone->zone_start_pfn < model_limit(gfp);
}

/* Are frames given to a request with GFP empty? */
static inline bool model_clears(gfp_t gfp)
{
	return (gfp & __GFP_ZERO) || phys_sys.debug.p.init_on_alloc ||
	       phys_sys.debug.p.init_on_free;
}

static inline void model_check_place(struct page *page, unsigned int order,
				     gfp_t gfp, int nid)
{
	must(page_to_pfn(page) + (1UL << order) <= model_limit(gfp));
	/* Areas lend to those who can go away again. */
	for (u64 i = 0; i < 1UL << order; i += 512)
		must(get_pfnblock_migratetype(page_to_pfn(page) + i) !=
			     MIGRATE_CMA ||
		     model_lends(gfp));
	must(page_zone_idx(page) != ZONE_MOVABLE ||
	     model_highest(gfp) == ZONE_MOVABLE);
	if (gfp & __GFP_THISNODE)
		must_eq(page_to_nid(page), nid < 0 ? numa_node_id() : nid);
	for (u64 i = 0; model_clears(gfp) && i < 1UL << order; i++) {
		const u64 *w = model_word(page_to_pfn(page + i));

		must(w[0] == 0 && w[PAGE_SIZE / 16] == 0 &&
		     w[PAGE_SIZE / 8 - 1] == 0);
	}
}

/* A single frame was refused: no zone had one above its low mark. */
static inline void model_refused_single(gfp_t gfp, int nid)
{
	struct zone *zone;

	model.refused++;
	for_each_populated_zone (zone) {
		u64 keep = zone->_watermark[WMARK_LOW] + zone->watermark_boost +
			   zone->lowmem_reserve[model_highest(gfp)] +
			   zone->nr_reserved_highatomic +
			   (model_lends(gfp) ? 0 : (u64)zone->nr_free_cma);

		if (model_allows(zone, gfp, nid))
			must((u64)zone->nr_free_pages <= keep);
	}
}

/* What a zone had before a request. */
struct model_level {
	s64 free, cma;
	u64 boost, highatomic;
};

static inline struct model_level model_level(const struct zone *zone)
{
	return (struct model_level){zone->nr_free_pages, zone->nr_free_cma,
				    zone->watermark_boost,
				    zone->nr_reserved_highatomic};
}

/*
 * The frames of ZONE that a request with GFP and FLAGS must leave there: the
 * mark that the flags lower, and what is kept from this request.
 */
static inline s64 model_keep(const struct zone *zone, struct model_level l,
			     gfp_t gfp, u32 flags)
{
	u64 mark = zone->_watermark[flags & ALLOC_WMARK_MASK] + l.boost;

	if (flags & ALLOC_HIGH)
		mark -= mark / 2;
	if (flags & ALLOC_OOM)
		mark -= mark / 2;
	else if (flags & ALLOC_HARDER)
		mark -= mark / 4;
	mark += zone->lowmem_reserve[model_highest(gfp)];
	if (!(flags & (ALLOC_HARDER | ALLOC_OOM)))
		mark += l.highatomic;
	return (s64)mark + (flags & ALLOC_CMA ? 0 : l.cma);
}

/* A single frame was refused under FLAGS: no zone had one to give. */
static inline void model_refused_flags(gfp_t gfp, u32 flags)
{
	struct zone *zone;

	model.refused++;
	for_each_populated_zone (zone) {
		struct model_level l = model_level(zone);

		if (model_allows(zone, gfp, -1))
			must(l.free <= model_keep(zone, l, gfp, flags));
	}
}

/* A block was given under FLAGS by ZONE, which had L before: it had enough. */
static inline void model_given_flags(const struct zone *zone,
				     struct model_level l, unsigned int order,
				     gfp_t gfp, u32 flags)
{
	if (flags & ALLOC_NO_WATERMARKS)
		return;
	/* A boost is there to wake kswapd, not to stop those in a hurry. */
	if (order == 0 && (gfp & __GFP_HIGH) &&
	    (flags & ALLOC_WMARK_MASK) == ALLOC_WMARK_MIN)
		l.boost = 0;
	must(l.free - (s64)((1UL << order) - 1) >
	     model_keep(zone, l, gfp, flags));
}

/* The NR single frames from PFN on were given out as they are: all free. */
static inline void model_add_range(u64 pfn, u64 nr, bool cma)
{
	for (u64 i = pfn; i < pfn + nr; i++) {
		model_add(pfn_to_page(i), 0, 0);
		model.live[model.nr_live - 1].cma = cma;
	}
	model.cma += cma ? nr : 0;
}

/* Are all frames of [PFN, END) free, in one zone, in pageblocks for all? */
static inline bool model_can_take(u64 pfn, u64 end, bool cma)
{
	const struct zone *zone = NULL;

	for (u64 i = pfn; i < end; i++) {
		int mt;

		if (i >= MODEL_PFNS || model.frame[i] != FRAME_FREE ||
		    model.isolated[i >> 9] || model_guarded(i))
			return false;
		if (zone && page_zone(pfn_to_online_page(i)) != zone)
			return false;
		zone = page_zone(pfn_to_online_page(i));
		mt = get_pfnblock_migratetype(i);
		if ((mt == MIGRATE_CMA) != cma)
			return false;
	}
	return true;
}

/* Refused although no mark counted: there is no such block. */
static inline void model_refused_all(unsigned int order, gfp_t gfp, int nid)
{
	struct zone *zone;

	model.refused++;
	for_each_populated_zone (zone) {
		if (!model_allows(zone, gfp, nid))
			continue;
		must_eq(zone->nr_deferred, 0);
		for (unsigned int o = order; o < MAX_ORDER; o++) {
			for (int mt = 0; mt < MIGRATE_PCPTYPES; mt++)
				must_eq(zone_nr_free_blocks(zone, o, mt), 0);
		}
	}
}

/* The block at PFN was just freed: if it lies on a stack, then on its type's.
 */
static inline void model_check_stack(u64 pfn, unsigned int order)
{
	struct page *page = pfn_to_page(pfn);
	const struct per_cpu_pages *pcp = &page_zone(page)->pageset[port_cpu()];

	for (unsigned int index = 0; index < NR_PCP_LISTS; index++) {
		if (pcp->lists[index] == page)
			must_eq(index,
				pcp_index(order,
					  get_pfnblock_migratetype(pfn)));
	}
}

/*
 * PFN was just freed to its zone: the block that holds it is on the list of
 * its pageblock's type, as long as it is no larger than that.
 */
static inline void model_check_list(u64 pfn)
{
	for (unsigned int o = 0; o < pageblock_order; o++) {
		const struct page *p = pfn_to_page(ALIGN_DOWN(pfn, 1UL << o));

		if (!PageBuddy(p) || buddy_order(p) < o)
			continue;
		if (buddy_order(p) < pageblock_order)
			must_eq(buddy_list_type(p),
				get_pfnblock_migratetype(pfn));
		return;
	}
	for (unsigned int o = pageblock_order; o < MAX_ORDER; o++) {
		const struct page *p = pfn_to_page(ALIGN_DOWN(pfn, 1UL << o));

		if (PageBuddy(p) && buddy_order(p) >= o)
			return;
	}
	model_die("a freed frame is in no free block", __FILE__, __LINE__);
}

#endif
