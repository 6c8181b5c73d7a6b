/* SPDX-License-Identifier: MIT */
/*
 * hotplug_model.h - which blocks of memory a machine should have, kept beside
 * the machine, and a comparison of both. For tests of memory hotplug, in any
 * world.
 */
#ifndef TESTS_HOTPLUG_MODEL_H
#define TESTS_HOTPLUG_MODEL_H

#include <mmkit/memory_hotplug.h>

#include "phys/phys.h"

#define HM_BLOCKS   128 /* 16 GiB */
#define HM_PER	    PAGES_PER_SECTION
#define HM_PFN(nr)  ((u64)(nr) << PFN_SECTION_SHIFT)
#define HM_ADDR(nr) ((u64)(nr) << SECTION_SHIFT)

enum hm_state { HM_ABSENT, HM_OFFLINE, HM_KERNEL, HM_MOVABLE };

struct hm_block {
	enum hm_state state;
	int nid;
	bool self; /* holds its own descriptors */
	bool boot; /* its descriptors were boot's */
};

struct hotplug_model {
	struct hm_block block[HM_BLOCKS];
	u64 boot_present, boot_managed; /* of blocks that never change */
};

static inline bool hm_online(const struct hm_block *b)
{
	return b->state == HM_KERNEL || b->state == HM_MOVABLE;
}

static inline u64 hm_managed(const struct hm_block *b)
{
	return HM_PER - (b->self ? section_self_frames() : 0);
}

/* Frames that the descriptors of added blocks take from the machine. */
static inline u64 hm_map_frames(const struct hotplug_model *m)
{
	u64 sum = 0;

	for (int i = 0; i < HM_BLOCKS; i++)
		if (m->block[i].state != HM_ABSENT && !m->block[i].self &&
		    !m->block[i].boot)
			sum += HM_PER * sizeof(struct page) / PAGE_SIZE;
	return sum;
}

/* All of the machine's sums and every block against the model. Panics. */
static inline void hm_compare(const struct hotplug_model *m)
{
	u64 present = m->boot_present, managed = m->boot_managed;
	u64 has_present = 0, has_managed = 0;
	struct zone *zone;

	for (int i = 0; i < HM_BLOCKS; i++) {
		const struct hm_block *b = &m->block[i];
		bool online = hm_online(b);

		if (i && b->state == HM_ABSENT)
			mm_verify(memory_block_state(HM_PFN(i)) < 0 ||
				  section_nr((u64)i)->flags & SECTION_MAP_BOOT);
		if (b->state == HM_OFFLINE) {
			mm_verify(memory_block_state(HM_PFN(i)) == MEM_OFFLINE);
			mm_verify(pfn_offline(HM_PFN(i)));
			mm_verify(!pfn_to_online_page(HM_PFN(i)));
		}
		if (!online)
			continue;
		mm_verify(memory_block_state(HM_PFN(i)) == MEM_ONLINE);
		zone = phys_sys.hot.zone_of[section_nr((u64)i)->zone_id];
		mm_verify(zone_to_nid(zone) == b->nid);
		mm_verify((zone->idx == ZONE_MOVABLE) ==
			  (b->state == HM_MOVABLE));
		mm_verify(zone_spans_pfn(zone, HM_PFN(i)));
		mm_verify(zone_spans_pfn(zone, HM_PFN(i + 1) - 1));
		present += HM_PER;
		managed += hm_managed(b);
	}
	for_each_zone (zone) {
		has_present += zone->present_pages;
		has_managed += zone_managed_pages(zone);
	}
	mm_verify(has_present == present);
	mm_verify(has_managed == managed);
	mm_verify(totalram_pages() == managed);
}

#endif
