/* SPDX-License-Identifier: MIT */
/*
 * digest.c - all counters in 64 bits: FNV-1a over their little-endian bytes,
 * each group preceded by its length so that groups cannot run together.
 *
 * Reference: G. Fowler, L. C. Noll, K.-P. Vo, D. Eastlake, "The FNV
 * Non-Cryptographic Hash Algorithm".
 */
#include "phys/alloc.h"
#include "phys/phys.h"
#include "report/report.h"
#include "space/space.h"

#define FNV64_OFFSET 0xcbf29ce484222325UL
#define FNV64_PRIME  0x100000001b3UL

MM_STATIC_ASSERT(FNV64_PRIME == (1UL << 40) + (1UL << 8) + 0xb3, "FNV's prime");

static void digest_add(u64 *h, u64 value)
{
	for (int i = 0; i < 8; i++) {
		*h = (*h ^ (value & 0xff)) * FNV64_PRIME;
		value >>= 8;
	}
}

static void digest_events(u64 *h)
{
	mm_assert(*h != 0);
	digest_add(h, NR_VM_EVENT_ITEMS);
	for (int i = 0; i < NR_VM_EVENT_ITEMS; i++)
		digest_add(h, sum_vm_event((enum vm_event_item)i));
}

static void digest_zone(u64 *h, struct zone *zone)
{
	mm_assert(populated_zone(zone));
	digest_add(h, zone->zone_start_pfn);
	digest_add(h, zone_managed_pages(zone));
	for (int i = 0; i < NR_VM_ZONE_STAT_ITEMS; i++)
		digest_add(h, zone_page_state(zone, i));
	for (unsigned int order = 0; order < MAX_ORDER; order++)
		digest_add(h, zone_nr_free_blocks(zone, order, -1));
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		digest_add(h, (u64)pcp_count(&zone->pageset[cpu]));
}

static void digest_node(u64 *h, const pg_data_t *pgdat)
{
	digest_add(h, (u64)pgdat->node_id);
	for (int i = 0; i < NR_VM_NODE_STAT_ITEMS; i++)
		digest_add(h, node_page_state(pgdat, i));
	for (int l = 0; l < NR_LRU_LISTS; l++)
		digest_add(h, node_lru_pages(pgdat, (enum lru_list)l));
}

static void digest_space(u64 *h, const struct mm_struct *mm)
{
	struct mm_usage u;

	mm_usage_get(mm, &u);
	mm_assert(u.table_bytes > 0);
	digest_add(h, u.total_vm);
	digest_add(h, u.rss_anon);
	digest_add(h, u.rss_file);
	digest_add(h, u.rss_shmem);
	digest_add(h, u.swap);
	digest_add(h, u.hiwater_rss);
	digest_add(h, u.table_bytes);
	digest_add(h, u.map_count);
	digest_add(h, u.brk);
}

static void digest_spaces(u64 *h)
{
	struct mm_struct *mm;

	digest_add(h, space_sys.nr_mms);
	if (!space_sys.mms.next)
		return;
	spin_lock(&space_sys.lock);
	list_for_each_entry (mm, &space_sys.mms, mmlist)
		digest_space(h, mm);
	spin_unlock(&space_sys.lock);
}

u64 mm_stats_digest(void)
{
	u64 h = FNV64_OFFSET;
	struct zone *zone;
	pg_data_t *pgdat;

	digest_events(&h);
	for_each_populated_zone (zone)
		digest_zone(&h, zone);
	for (pgdat = first_online_pgdat(); pgdat;
	     pgdat = next_online_pgdat(pgdat))
		digest_node(&h, pgdat);
	digest_spaces(&h);
	return h;
}
