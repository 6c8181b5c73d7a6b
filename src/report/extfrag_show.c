/* SPDX-License-Identifier: MIT */
/*
 * extfrag_show.c - how badly free memory is cut up, zone by zone and order by
 * order: the files of /sys/kernel/debug/extfrag.
 *
 * 1. Purpose. Both numbers answer "could a block of 2^order frames be had, and
 *    if not, why?" from nothing but the counts of free blocks.
 *
 * 2. Formulas, in thousandths, for an order and the free lists of a zone:
 *
 *      F  free frames          B  free blocks of any size
 *      S  blocks of ORDER that could be cut from what is free
 *      R  2^ORDER
 *
 *      unusable_index = (F - S * R) / F        0: every free frame serves
 *                                              1: none does (or F is 0)
 *      extfrag_index  = -1                     S > 0: the request succeeds
 *                     = 0                      B = 0: memory is used up
 *                     = 1 - (1 + F / R) / B    else, but at least 0; near 0:
 *                                              too little is free; near 1:
 *                                              fragmentation
 *
 * 3. Invariants. 0 <= unusable_index <= 1; it never falls with the order.
 *    Divisions round as integers do, as readers of these files expect.
 *
 * 4. Locking, failure. None: counts are read as they are, a line may mix two
 *    moments, so a difference below 0 is taken as 0.
 *
 * References: Linux documentation, admin-guide/sysctl/vm
 * ("extfrag_threshold"); Gorman and Healy, "Measuring the impact of the Linux
 * memory manager" (unusable free space index).
 */
#include "phys/alloc.h"
#include "report/report.h"

#define THOUSAND 1000

/* What the free lists of a zone hold, seen by a request of one order. */
struct contig_info {
	u64 pages;    /* free frames */
	u64 blocks;   /* free blocks of any size */
	u64 suitable; /* blocks of the order that can be cut from them */
};

static void read_contig_info(const struct zone *zone, unsigned int order,
			     struct contig_info *info)
{
	mm_assert(order < MAX_ORDER);
	*info = (struct contig_info){0};
	for (unsigned int o = 0; o < MAX_ORDER; o++) {
		u64 nr = zone_nr_free_blocks(zone, o, -1);

		info->blocks += nr;
		info->pages += nr << o;
		if (o >= order)
			info->suitable += nr << (o - order);
	}
	mm_assert_le(info->suitable << order, info->pages);
	mm_assert_le(info->blocks, info->pages);
}

/* The part of free memory that a request of ORDER cannot use. */
static int unusable_index(const struct contig_info *info, unsigned int order)
{
	u64 usable = info->suitable << order;

	if (info->pages == 0)
		return THOUSAND;
	mm_assert_le(usable, info->pages);
	return (int)((info->pages - usable) * THOUSAND / info->pages);
}

/* Why a request of ORDER fails: 0 too little memory .. 1 fragmentation. */
static int fragmentation_index(const struct contig_info *info,
			       unsigned int order)
{
	u64 requested = 1UL << order;
	u64 lack;

	if (info->blocks == 0)
		return 0;
	if (info->suitable > 0)
		return -THOUSAND;
	lack = (THOUSAND + info->pages * THOUSAND / requested) / info->blocks;
	mm_assert_le(lack, 2 * THOUSAND);
	/* Few and small blocks take the formula below 0: memory is lacking. */
	return lack < THOUSAND ? THOUSAND - (int)lack : 0;
}

static void put_zone_line(struct seq_buf *out, const struct zone *zone,
			  int (*index)(const struct contig_info *info,
				       unsigned int order),
			  int width)
{
	struct contig_info info;

	mm_assert(populated_zone(zone) && index != NULL);
	seq_printf(out, "Node %d, zone %8s ", zone_to_nid(zone), zone->name);
	for (unsigned int order = 0; order < MAX_ORDER; order++) {
		int n;

		read_contig_info(zone, order, &info);
		n = index(&info, order);
		mm_assert(n >= -THOUSAND && n <= THOUSAND);
		seq_printf(out, "%*d.%03d ", width, n / THOUSAND, n % THOUSAND);
	}
	seq_putc(out, '\n');
}

void show_unusable_index(struct seq_buf *out)
{
	struct zone *zone;

	for_each_populated_zone (zone)
		put_zone_line(out, zone, unusable_index, 1);
}

void show_extfrag_index(struct seq_buf *out)
{
	struct zone *zone;

	for_each_populated_zone (zone)
		put_zone_line(out, zone, fragmentation_index, 2);
}
