/* SPDX-License-Identifier: MIT */
/*
 * frames.c - memory as a map of pageblocks.
 *
 * 1. Purpose. Where the free memory is, of which mobility, and what lies in
 *    between, seen at a glance.
 *
 * 2. What a character says. A cell is 2^n pageblocks of 512 frames, n the same
 *    for the whole picture and as small as CELLS_MAX cells allow. Its frames
 *    are counted by state; the character is
 *
 *        (blank)  no frame of this zone (a hole, or another zone)
 *        x        more than half of what there is is reserved
 *        d        all free, descriptors not made yet (deferred)
 *        letter   else: the mobility type of most of its pageblocks, a small
 *                 letter where at least half is free, a capital where less is
 *        .        all free and movable, as most of a fresh machine is
 *
 *    Frames on per-CPU lists count as in use: nobody else can have them.
 *
 * 3. Colours say the same again (the type: foreground; free: dim), so that
 *    the picture reads the same without. It is ASCII.
 *
 * 4. Cost. Deferred sections are counted without their frames; so a machine of
 *    1 TiB is drawn from its sections.
 */
#include "frames.h"

#include <stdio.h>
#include <string.h>

#include "phys/alloc.h"
#include "phys/phys.h"

/* Cells of the largest zone: beyond it, more pageblocks to a cell. */
#define CELLS_MAX     4096
#define WIDTH_DEFAULT 64

struct cell {
	u64 free, deferred, reserved, used; /* frames */
	u64 blocks[MIGRATE_TYPES];	    /* pageblocks with such frames */
};

static const struct {
	char free, used;
	const char *color;
} looks[MIGRATE_TYPES] = {
	[MIGRATE_UNMOVABLE] = {'u', 'U', "31"},
	[MIGRATE_MOVABLE] = {'m', 'M', "32"},
	[MIGRATE_RECLAIMABLE] = {'r', 'R', "33"},
	[MIGRATE_HIGHATOMIC] = {'h', 'H', "35"},
	[MIGRATE_CMA] = {'c', 'C', "36"},
	[MIGRATE_ISOLATE] = {'i', 'I', "34"},
};

/* ---- counting
 * ----------------------------------------------------------------- */

/* Frame PFN with a descriptor, of this zone; the frames it stands for. */
static u64 count_frame(const struct page *page, u64 pfn, u64 end,
		       struct cell *c)
{
	u64 n = 1;

	if (PageBuddy(page)) {
		n = min(1UL << buddy_order(page), end - pfn);
		c->free += n;
	} else if (PageReserved(page)) {
		c->reserved++;
	} else {
		c->used++;
	}
	return n;
}

/* The frames [PFN, END) of one pageblock that belong to ZONE. */
static u64 count_block(const struct zone *zone, u64 pfn, u64 end,
		       struct cell *c)
{
	u64 before = c->free + c->reserved + c->used;

	while (pfn < end) {
		const struct page *page = pfn_to_page(pfn);
		u64 n = 1;

		if (page->zone_id == zone->zone_id &&
		    memblock_is_memory(PFN_PHYS(pfn)))
			n = count_frame(page, pfn, end, c);
		pfn += n;
	}
	return c->free + c->reserved + c->used - before;
}

/* The free block that begins before PFN and covers it, or PFN itself. */
static bool inside_large_block(const struct zone *zone, u64 pfn)
{
	u64 head = ALIGN_DOWN(pfn, MAX_ORDER_NR_PAGES);

	return head != pfn && pfn_valid(head) &&
	       pfn_to_page(head)->zone_id == zone->zone_id &&
	       PageBuddy(pfn_to_page(head)) &&
	       buddy_order(pfn_to_page(head)) == MAX_ORDER - 1;
}

/* One pageblock, cut to [PFN, END), into cell C. */
static void add_block(const struct zone *zone, u64 pfn, u64 end, struct cell *c)
{
	const struct mem_section *sec =
		&phys_sys.sections[pfn >> PFN_SECTION_SHIFT];
	u64 n = end - pfn;

	if (sec->state == SECTION_DEFERRED && sec->zone_id == zone->zone_id) {
		c->free += n;
		c->deferred += n;
	} else if (sec->state == SECTION_RESERVED &&
		   zone_at(zone_to_nid(zone), pfn) == zone) {
		c->reserved += n;
	} else if (!pfn_valid(pfn)) {
		return;
	} else if (inside_large_block(zone, pfn)) {
		c->free += n;
	} else {
		n = count_block(zone, pfn, end, c);
	}
	if (n > 0)
		c->blocks[get_pfnblock_migratetype(pfn)]++;
}

static void count_cell(const struct zone *zone, u64 start, u64 end,
		       struct cell *c)
{
	u64 next;

	*c = (struct cell){0};
	for (u64 pfn = max(start, zone->zone_start_pfn);
	     pfn < min(end, zone_end_pfn(zone)); pfn = next) {
		next = ALIGN_DOWN(pfn, pageblock_nr_pages) + pageblock_nr_pages;
		next = min(next, zone_end_pfn(zone));
		add_block(zone, pfn, next, c);
	}
}

/* ---- drawing
 * ------------------------------------------------------------------ */

static int main_type(const struct cell *c)
{
	int type = 0;

	for (int mt = 1; mt < MIGRATE_TYPES; mt++)
		if (c->blocks[mt] > c->blocks[type])
			type = mt;
	return type;
}

static void put_char(char ch, const char *color, bool dim,
		     const struct frames_opts *o)
{
	if (o->color && color)
		printf("\033[%s%sm%c\033[0m", dim ? "2;" : "", color, ch);
	else
		putchar(ch);
}

static void put_cell(const struct cell *c, const struct frames_opts *o)
{
	u64 there = c->free + c->reserved + c->used;
	int mt = main_type(c);

	if (there == 0)
		put_char(' ', NULL, false, o);
	else if (c->reserved * 2 > there)
		put_char('x', "90", false, o);
	else if (c->deferred == there)
		put_char('d', "32", true, o);
	else if (c->free == there && mt == MIGRATE_MOVABLE)
		put_char('.', looks[mt].color, true, o);
	else if (c->free * 2 >= there)
		put_char(looks[mt].free, looks[mt].color, false, o);
	else
		put_char(looks[mt].used, looks[mt].color, false, o);
}

static void draw_head(const struct zone *zone)
{
	unsigned long long start = PFN_PHYS(zone->zone_start_pfn);
	unsigned long long end = PFN_PHYS(zone_end_pfn(zone)) - 1;

	printf("Node %d, zone %8s [mem 0x%012llx-0x%012llx] present %llu, "
	       "managed %llu, free %llu frames\n",
	       zone_to_nid(zone), zone->name, start, end,
	       (unsigned long long)zone->present_pages,
	       (unsigned long long)zone_managed_pages(zone),
	       (unsigned long long)zone_page_state(zone, NR_FREE_PAGES));
}

static void draw_line(const struct zone *zone, u64 pfn, u64 step,
		      const struct frames_opts *o)
{
	printf("  0x%012llx |", (unsigned long long)PFN_PHYS(pfn));
	for (u32 i = 0; i < o->width; i++, pfn += step) {
		struct cell c;

		if (pfn >= zone_end_pfn(zone))
			break;
		count_cell(zone, pfn, pfn + step, &c);
		put_cell(&c, o);
	}
	puts("|");
}

/* A stretch of lines without a frame of ZONE: its end, or PFN if none. */
static u64 skip_hole(const struct zone *zone, u64 pfn, u64 line)
{
	for (; pfn < zone_end_pfn(zone); pfn += line) {
		struct cell c;

		count_cell(zone, pfn, pfn + line, &c);
		if (c.free + c.reserved + c.used > 0)
			break;
	}
	return pfn;
}

static void draw_zone(const struct zone *zone, u64 step,
		      const struct frames_opts *o)
{
	u64 line = o->width * step;
	u64 pfn = ALIGN_DOWN(zone->zone_start_pfn, step);

	draw_head(zone);
	while (pfn < zone_end_pfn(zone)) {
		u64 next = skip_hole(zone, pfn, line);

		if (next > pfn)
			printf("  %14s (hole of %llu MiB)\n", "",
			       (unsigned long long)PFN_PHYS(next - pfn) >> 20);
		if (next < zone_end_pfn(zone))
			draw_line(zone, next, step, o);
		pfn = next + line;
	}
}

/* Frames of a cell: the picture of the largest zone fits CELLS_MAX. */
static u64 choose_step(void)
{
	u64 step = pageblock_nr_pages;
	struct zone *zone;

	for_each_populated_zone (zone)
		while (zone->spanned_pages / step > CELLS_MAX)
			step *= 2;
	return step;
}

static void draw_legend(u64 step, const struct frames_opts *o)
{
	printf("Scale: a character is %llu MiB (%llu pageblock%s of %lu "
	       "frames)\n",
	       (unsigned long long)PFN_PHYS(step) >> 20,
	       (unsigned long long)(step / pageblock_nr_pages),
	       step > pageblock_nr_pages ? "s" : "", pageblock_nr_pages);
	puts("Legend: at least half free / less than half free");
	for (int mt = 0; mt < MIGRATE_TYPES; mt++) {
		fputs("  ", stdout);
		put_char(looks[mt].free, looks[mt].color, false, o);
		putchar('/');
		put_char(looks[mt].used, looks[mt].color, false, o);
		printf(" %s%s", migratetype_names[mt], mt % 3 == 2 ? "\n" : "");
	}
	puts("  . free, Movable  d free, deferred  x reserved  (blank) hole");
}

void frames_draw(const struct frames_opts *o)
{
	struct frames_opts opts = *o;
	u64 step = choose_step();
	struct zone *zone;

	if (!opts.width)
		opts.width = WIDTH_DEFAULT;
	for_each_populated_zone (zone)
		draw_zone(zone, step, &opts);
	draw_legend(step, &opts);
	mm_assert(IS_ALIGNED(step, pageblock_nr_pages));
}
