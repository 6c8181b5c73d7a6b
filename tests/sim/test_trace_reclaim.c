/* SPDX-License-Identifier: MIT */
/*
 * What tracepoints tell of reclaim, of allocation and of groups: their sums are
 * the counters that are kept anyway, and each field is what happened.
 */
#include "memcg_groups.h"

#include <mmkit/mman.h>

#include "phys/alloc.h"
#include "trace_ears.h"

/* Counters at some moment. */
struct figures {
	u64 event[NR_VM_EVENT_ITEMS];
	u64 node[NR_VM_NODE_STAT_ITEMS];
};

static void figures_get(struct figures *f)
{
	all_vm_events(f->event);
	for (int i = 0; i < NR_VM_NODE_STAT_ITEMS; i++)
		f->node[i] = global_node_page_state(i);
}

static struct figures was, is;

static u64 more(enum vm_event_item item)
{
	return is.event[item] - was.event[item];
}

static u64 more_node(int item)
{
	return is.node[item] - was.node[item];
}

static u64 stalls(void)
{
	u64 n = 0;

	for (int i = 0; i < MAX_NR_ZONES; i++)
		n += more(zone_event(ALLOCSTALL_DMA, i));
	return n;
}

/* ---- pressure
 * ----------------------------------------------------------------------- */

#define PAGES 2400u

static void lists_told(void)
{
	struct trace_record r = first(TRACE_MM_VMSCAN_LRU_ISOLATE);

	CHECK_EQ(sum_of(TRACE_MM_VMSCAN_LRU_SHRINK_INACTIVE, "nr_scanned"),
		 more(PGSCAN_KSWAPD) + more(PGSCAN_DIRECT));
	CHECK_EQ(sum_of(TRACE_MM_VMSCAN_LRU_SHRINK_INACTIVE, "nr_reclaimed"),
		 more(PGSTEAL_KSWAPD) + more(PGSTEAL_DIRECT));
	CHECK_EQ(sum_of(TRACE_MM_VMSCAN_LRU_SHRINK_ACTIVE, "nr_deactivated"),
		 more(PGDEACTIVATE));
	CHECK_EQ(told(TRACE_PAGE_DEACTIVATE), more(PGDEACTIVATE));
	CHECK(more(PGDEACTIVATE) > 0);
	CHECK_EQ(sum_of(TRACE_MM_VMSCAN_LRU_SHRINK_INACTIVE, "nr_activate0") +
			 told(TRACE_MM_LRU_ACTIVATE),
		 more(PGACTIVATE));
	/* Each list's walk: what was taken is what was looked at but skipped.
	 */
	CHECK_EQ(sum_of(TRACE_MM_VMSCAN_LRU_ISOLATE, "nr_taken") +
			 sum_of(TRACE_MM_VMSCAN_LRU_ISOLATE, "nr_skipped"),
		 sum_of(TRACE_MM_VMSCAN_LRU_ISOLATE, "nr_scanned"));
	CHECK_EQ(count(TRACE_MM_VMSCAN_LRU_ISOLATE, "lru", LRU_ACTIVE_ANON,
		       NULL),
		 told(TRACE_MM_VMSCAN_LRU_SHRINK_ACTIVE));
	CHECK(field(&r, "nr_scanned") <= field(&r, "nr_requested"));
	/* Those that were judged came off the list, and FREED is stolen. */
	CHECK_EQ(count(TRACE_PAGE_VERDICT, "verdict", 5, NULL),
		 more(PGSTEAL_KSWAPD) + more(PGSTEAL_DIRECT));
	CHECK(told(TRACE_PAGE_ISOLATE) >= told(TRACE_PAGE_VERDICT));
	CHECK(told(TRACE_PAGE_VERDICT) > PAGES / 4);
	CHECK(told(TRACE_PAGE_REFERENCED) > 0);
	CHECK_EQ(count(TRACE_MM_LRU_INSERTION, "flags", 0xb, &r) > PAGES, 1);
	CHECK_EQ(field(&r, "lru") & LRU_FILE, 0);
}

static void swap_told(void)
{
	CHECK(more(PSWPOUT) > PAGES / 8);
	CHECK_EQ(count(TRACE_SWAP_OUT, "type", 0, NULL), more(PSWPOUT));
	CHECK_EQ(count(TRACE_SWAP_IN, "type", 0, NULL), more(PSWPIN));
	CHECK_EQ(told(TRACE_MM_VMSCAN_WRITE_FOLIO), more_node(NR_VMSCAN_WRITE));
	/* Anonymous memory, without waiting for it. */
	CHECK_EQ(count(TRACE_MM_VMSCAN_WRITE_FOLIO, "reclaim_flags", 1 | 8,
		       NULL),
		 told(TRACE_MM_VMSCAN_WRITE_FOLIO));
	CHECK_EQ(told(TRACE_MM_REFAULT), more_node(WORKINGSET_REFAULT_ANON));
	CHECK_EQ(count(TRACE_MM_REFAULT, "activate", 1, NULL),
		 more_node(WORKINGSET_ACTIVATE_ANON));
	CHECK(told(TRACE_MM_REFAULT) > 0);
}

static void daemon_told(void)
{
	struct trace_record r;
	u64 wakes = count(TRACE_MM_VMSCAN_KSWAPD_WAKE, "nid", 0, &r);

	CHECK(wakes > 0);
	CHECK_EQ(wakes, told(TRACE_MM_VMSCAN_KSWAPD_WAKE));
	CHECK_EQ(field(&r, "order"), 0);
	CHECK(!strcmp(r.comm, "kswapd0"));
	/* Asked at least as often as it woke, by who wants a page. */
	CHECK(count(TRACE_MM_VMSCAN_WAKEUP_KSWAPD, "nid", 0, &r) >= wakes);
	CHECK(field(&r, "gfp_flags") & __GFP_KSWAPD_RECLAIM);
	CHECK(count(TRACE_MM_VMSCAN_KSWAPD_SLEEP, "nid", 0, NULL) > 0);
	/* Each allocation that had to help itself, from and to. */
	CHECK(stalls() > 0);
	CHECK_EQ(count(TRACE_MM_VMSCAN_DIRECT_RECLAIM_BEGIN, "order", 0, &r),
		 stalls());
	CHECK(field(&r, "gfp_flags") & __GFP_DIRECT_RECLAIM);
	CHECK_EQ(told(TRACE_MM_VMSCAN_DIRECT_RECLAIM_END), stalls());
	CHECK_EQ(sum_of(TRACE_MM_VMSCAN_DIRECT_RECLAIM_END, "nr_reclaimed"),
		 more(PGSTEAL_DIRECT));
}

static int pressure_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct trace_record r;
	uva_t at;

	(void)arg;
	tm_use(mm);
	at = tm_map(mm, PAGES);
	figures_get(&was);
	listen_to("vmscan swap pagemap workingset page_fault_user "
		  "page_deactivate page_referenced page_isolate page_verdict");
	for (u64 i = 0; i < PAGES; i++)
		tm_store(at + P(i), i);
	/* Some are used between all others, then others are. */
	for (u64 i = 0; i < 3 * PAGES; i++) {
		CHECK_EQ(tm_load(at + P(i % PAGES)), i % PAGES);
		CHECK_EQ(tm_load(at + P(i % 500 + i / PAGES * 500)),
			 i % 500 + i / PAGES * 500);
	}
	/* Nobody takes a page: it may be idle. */
	port_park(2UL * 1000 * 1000 * 1000);
	hush();
	figures_get(&is);
	lists_told();
	swap_told();
	daemon_told();
	CHECK_EQ(told(TRACE_PAGE_FAULT_USER), more(PGFAULT));
	CHECK_EQ(count(TRACE_PAGE_FAULT_USER, "address", at + P(7), &r) >= 1,
		 1);
	CHECK_EQ(field(&r, "mm"), mm->serial);
	forget();
	tm_use(NULL);
	listen_to("exit_mmap");
	mm_put(mm);
	hush();
	CHECK_EQ(told(TRACE_EXIT_MMAP), 1);
	r = first(TRACE_EXIT_MMAP);
	CHECK_EQ(field(&r, "total_vm"), PAGES);
	forget();
	return 0;
}

static void pressure(void **state)
{
	(void)state;
	TM_RUN(pressure_body, .mem = 8UL << 20, .swap_pages = 8192);
}

/* ---- a group at its limit
 * ----------------------------------------------------------------------- */

static int group_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct trace_record r;
	u16 id = make(0);
	uva_t at;

	(void)arg;
	tm_use(mm);
	join(id);
	at = tm_map(mm, 300);
	for (u64 i = 0; i < 300; i++)
		tm_store(at + P(i), i);
	figures_get(&was);
	listen_to("vmscan");
	set(id, "memory.reclaim", 40);
	hush();
	figures_get(&is);
	CHECK(told(TRACE_MM_VMSCAN_MEMCG_RECLAIM_BEGIN) > 0);
	CHECK_EQ(count(TRACE_MM_VMSCAN_MEMCG_RECLAIM_BEGIN, "order", 0, &r),
		 told(TRACE_MM_VMSCAN_MEMCG_RECLAIM_END));
	CHECK(field(&r, "gfp_flags") & __GFP_DIRECT_RECLAIM);
	CHECK(sum_of(TRACE_MM_VMSCAN_MEMCG_RECLAIM_END, "nr_reclaimed") >= 40);
	CHECK_EQ(sum_of(TRACE_MM_VMSCAN_MEMCG_RECLAIM_END, "nr_reclaimed"),
		 more(PGSTEAL_DIRECT) + more(PGSTEAL_KSWAPD));
	/* Not for an allocation of the machine's. */
	CHECK_EQ(told(TRACE_MM_VMSCAN_DIRECT_RECLAIM_BEGIN), 0);
	forget();
	join(0);
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(memcg_remove(id), 0);
	return 0;
}

static void groups(void **state)
{
	(void)state;
	TM_RUN(group_body, .swap_pages = 2048);
}

/* ---- objects and frames
 * ----------------------------------------------------------------------- */

static int objects_body(void *arg)
{
	struct kmem_cache *cache =
		kmem_cache_create("a_cache_of_mine", 40, 0, 0, NULL);
	struct trace_record r;
	void *obj[8], *big;

	(void)arg;
	CHECK(cache);
	listen_to("kmalloc kfree kmem_cache_alloc kmem_cache_free");
	for (u32 i = 0; i < 8; i++)
		CHECK((obj[i] = kmalloc(100, GFP_KERNEL)) != NULL);
	CHECK((big = kmalloc(40000, GFP_KERNEL | __GFP_ZERO)) != NULL);
	CHECK_EQ(count(TRACE_KMALLOC, "bytes_req", 100, &r), 8);
	CHECK_EQ(field(&r, "bytes_alloc"), 128);
	CHECK_EQ(field(&r, "ptr"), (u64)(uintptr_t)obj[7]);
	CHECK_EQ(field(&r, "gfp_flags"), GFP_KERNEL);
	CHECK_EQ(field(&r, "accounted"), 0);
	CHECK_EQ(count(TRACE_KMALLOC, "bytes_req", 40000, &r), 1);
	CHECK_EQ(field(&r, "bytes_alloc"), 65536);
	CHECK_EQ(field(&r, "ptr"), (u64)(uintptr_t)big);
	for (u32 i = 0; i < 8; i++)
		kfree(obj[i]);
	kfree(big);
	kfree(NULL);
	CHECK_EQ(told(TRACE_KFREE), 9);
	CHECK_EQ(count(TRACE_KFREE, "ptr", (u64)(uintptr_t)obj[3], &r), 1);
	CHECK(field(&r, "call_site") != 0);
	for (u32 i = 0; i < 8; i++)
		CHECK((obj[i] = kmem_cache_alloc(cache, GFP_KERNEL)) != NULL);
	for (u32 i = 0; i < 8; i++)
		kmem_cache_free(cache, obj[i]);
	hush();
	CHECK_EQ(count(TRACE_KMEM_CACHE_ALLOC, "bytes_req", 40, &r), 8);
	CHECK_EQ(field(&r, "ptr"), (u64)(uintptr_t)obj[7]);
	CHECK(field(&r, "bytes_alloc") >= 40);
	CHECK_EQ(
		count(TRACE_KMEM_CACHE_FREE, "ptr", (u64)(uintptr_t)obj[7], &r),
		1);
	CHECK(!memcmp(&r.arg[2], "a_cache_of_mine", 16));
	forget();
	CHECK_EQ(kmem_cache_destroy(cache), 0);
	return 0;
}

static void objects(void **state)
{
	(void)state;
	TM_RUN(objects_body);
}

/* Frames that cannot be moved, until blocks of movable ones are taken. */
static int fallback_body(void *arg)
{
	static struct page *all[2000];
	struct trace_record r, drain;
	u32 nr = 0;

	(void)arg;
	listen_to("mm_page_alloc_extfrag mm_page_pcpu_drain page_take");
	while (nr < ARRAY_SIZE(all) && !told(TRACE_MM_PAGE_ALLOC_EXTFRAG))
		CHECK((all[nr++] = alloc_page(GFP_KERNEL)) != NULL);
	CHECK_EQ(told(TRACE_PAGE_TAKE), nr);
	CHECK_EQ(count(TRACE_PAGE_TAKE, "pfn", page_to_pfn(all[nr - 1]), &r),
		 1);
	CHECK_EQ(field(&r, "nid"), 0);
	CHECK_EQ(field(&r, "order"), 0);
	while (nr)
		__free_page(all[--nr]);
	drain_all_pages();
	hush();
	r = first(TRACE_MM_PAGE_ALLOC_EXTFRAG);
	CHECK_EQ(field(&r, "alloc_order"), 0);
	CHECK_EQ(field(&r, "alloc_migratetype"), MIGRATE_UNMOVABLE);
	CHECK(field(&r, "fallback_migratetype") == MIGRATE_MOVABLE ||
	      field(&r, "fallback_migratetype") == MIGRATE_RECLAIMABLE);
	CHECK_EQ(field(&r, "pageblock_order"), pageblock_order);
	CHECK_EQ(field(&r, "fragmenting"),
		 field(&r, "fallback_order") < pageblock_order);
	CHECK_EQ(field(&r, "pfn") & (BIT(field(&r, "fallback_order")) - 1), 0);
	/* What the CPU's stacks held went to the zone, a frame each. */
	CHECK(count(TRACE_MM_PAGE_PCPU_DRAIN, "order", 0, &drain) > 0);
	CHECK(pfn_valid(field(&drain, "pfn")));
	CHECK(field(&drain, "migratetype") <= MIGRATE_RECLAIMABLE);
	forget();
	return 0;
}

static void fallback(void **state)
{
	(void)state;
	TM_RUN(fallback_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pressure),
		cmocka_unit_test(groups),
		cmocka_unit_test(objects),
		cmocka_unit_test(fallback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
