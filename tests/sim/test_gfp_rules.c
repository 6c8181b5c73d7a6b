/* SPDX-License-Identifier: MIT */
/*
 * What each GFP flag and each scope promises, one test a rule, on a whole
 * machine whose free memory is set to the frame. Where reclaim itself is not
 * the matter, it is replaced by one that frees what the test says.
 */
#include "sim_machine.h"

#include <mmkit/memalloc.h>
#include <mmkit/sysctl.h>

#include "base/fail.h"
#include "phys/alloc.h"
#include "policy/policy.h"
#include "trace_ears.h"

#define MIB (1UL << 20)

/* ---- free memory to the frame
 * --------------------------------------------- */

#define MAX_EATEN 32768

static struct page *eaten[MAX_EATEN];
static u32 nr_eaten;

static gfp_t zone_gfp(const struct zone *zone)
{
	static const gfp_t gfp[MAX_NR_ZONES] = {
		[ZONE_DMA] = GFP_DMA, [ZONE_DMA32] = GFP_DMA32};

	return gfp[zone->idx];
}

/* Take one frame of ZONE, below all marks, without waking anybody. */
static bool eat_one(struct zone *zone)
{
	struct alloc_context ac;
	struct page *page;

	prepare_alloc_context(&ac, zone_gfp(zone) | __GFP_THISNODE,
			      zone_to_nid(zone));
	page = get_page_from_freelist(zone_gfp(zone), 0, ALLOC_NO_WATERMARKS,
				      &ac);
	if (!page)
		return false;
	if (page_zone(page) != zone) {
		__free_page(page);
		return false;
	}
	CHECK(nr_eaten < MAX_EATEN);
	eaten[nr_eaten++] = page;
	return true;
}

static void give_one(struct zone *zone)
{
	u32 i = nr_eaten;

	while (i && page_zone(eaten[i - 1]) != zone)
		i--;
	CHECK(i);
	__free_page(eaten[i - 1]);
	eaten[i - 1] = eaten[--nr_eaten];
}

/* ZONE has exactly FREE frames in its lists, no CPU has any. */
static void set_free(struct zone *zone, u64 want)
{
	for (int i = 0; i < 64; i++) {
		u64 have;

		drain_all_pages();
		have = zone_page_state(zone, NR_FREE_PAGES);
		if (have == want)
			return;
		for (; have > want; have--)
			CHECK(eat_one(zone));
		for (; have < want; have++)
			give_one(zone);
	}
	CHECK_EQ(zone_page_state(zone, NR_FREE_PAGES), want);
}

static void give_all(void)
{
	while (nr_eaten)
		__free_page(eaten[--nr_eaten]);
	drain_all_pages();
}

static struct zone *zone_of(int zt)
{
	return &NODE_DATA(0)->node_zones[zt];
}

/* ---- reclaim that does what the test says
 * --------------------------------- */

static struct {
	u64 give;   /* pages that each of the first ROUNDS calls claims */
	u32 rounds; /* how many claim */
	u32 calls;  /* passes by direct reclaim */
	u32 depth, deepest;
	gfp_t gfp;    /* of the last pass */
	gfp_t inside; /* ask for a frame with these flags inside; 0: no */
	bool inside_got;
	u64 nodes; /* whose lists were looked at, as bits */
} fake;

static u64 fake_scan(struct lruvec *lruvec, struct scan_control *sc)
{
	if (port_current()->flags & PF_KSWAPD)
		return 0;
	fake.nodes |= NODE_MASK(lruvec->pgdat->node_id);
	fake.calls++;
	fake.gfp = sc->gfp;
	fake.depth++;
	if (fake.depth > fake.deepest)
		fake.deepest = fake.depth;
	if (fake.inside) {
		struct page *page = alloc_page(fake.inside);

		fake.inside_got = page != NULL;
		if (page)
			__free_page(page);
	}
	fake.depth--;
	if (fake.rounds) {
		fake.rounds--;
		sc->nr_reclaimed += fake.give;
		return fake.give;
	}
	return 0;
}

static void fake_reclaim(u32 rounds)
{
	static struct lru_ops ops;

	memset(&fake, 0, sizeof(fake));
	fake.rounds = rounds;
	fake.give = SWAP_CLUSTER_MAX;
	ops = classic_ops;
	ops.scan = fake_scan;
	lru_register(&ops);
}

static u64 stalls(void)
{
	return vm_event_all_zones(ALLOCSTALL_DMA);
}

/* ---- a task that can be killed
 * -------------------------------------------- */

static struct {
	struct port_thread *thread;
	bool ready, stop;
	u64 pages;
	s32 pid;
} prey;

static void prey_thread(void *arg)
{
	struct mm_task *task = port_current();
	struct mm_struct *mm = tm_mm();
	uva_t at;

	(void)arg;
	mm_task_register(task, "prey");
	mm_task_attach(task, mm);
	mm_put(mm);
	at = tm_map(mm, prey.pages);
	for (u64 i = 0; i < prey.pages; i++)
		tm_store(at + (i << PAGE_SHIFT), i);
	prey.pid = task->pid;
	WRITE_ONCE(prey.ready, true);
	while (!READ_ONCE(prey.stop))
		port_park(1000 * 1000);
	mm_task_exit(task);
	mm_task_unregister(task);
}

static void prey_start(u64 pages)
{
	memset(&prey, 0, sizeof(prey));
	prey.pages = pages;
	CHECK_EQ(
		sim_thread_start_on(&prey.thread, "prey", 0, prey_thread, NULL),
		0);
	while (!READ_ONCE(prey.ready))
		port_park(1000 * 1000);
}

static void prey_stop(void)
{
	WRITE_ONCE(prey.stop, true);
	port_thread_join(prey.thread);
}

/* Nothing is free, in no zone. The prey is all that there is to gain. */
static void starve(void)
{
	struct zone *zone;

	for_each_populated_zone (zone)
		set_free(zone, 0);
}

/* Reclaim frees nothing, nothing is free; GFP's request fails and kills
 * nobody. */
static void check_fails_without_kill(gfp_t gfp, unsigned int order)
{
	struct page *page = __alloc_pages(gfp | __GFP_NOWARN, order, -1);

	snprintf(tm_context, sizeof(tm_context), "gfp %#x order %u", gfp,
		 order);
	CHECK(page == NULL);
	CHECK_EQ(sum_vm_event(OOM_KILL), 0);
}

/* ---- where from
 * ----------------------------------------------------------- */

static int idx_of(gfp_t gfp)
{
	struct page *page = alloc_page(gfp | __GFP_NOWARN);
	int idx = page ? (int)page_zone_idx(page) : -1;

	if (page)
		__free_page(page);
	return idx;
}

static int rule_zones_body(void *arg)
{
	struct page *page;

	(void)arg;
	CHECK_EQ(idx_of(GFP_KERNEL), ZONE_NORMAL);
	CHECK_EQ(idx_of(GFP_KERNEL | GFP_DMA32), ZONE_DMA32);
	CHECK_EQ(idx_of(GFP_KERNEL | GFP_DMA), ZONE_DMA);
	/* The lower one wins. */
	CHECK_EQ(idx_of(GFP_DMA | GFP_DMA32), ZONE_DMA);
	CHECK_EQ(idx_of(GFP_DMA | __GFP_HIGHMEM), ZONE_DMA);
	/* No high and no movable zone here: the next one down. */
	CHECK_EQ(idx_of(GFP_HIGHUSER), ZONE_NORMAL);
	CHECK_EQ(idx_of(GFP_HIGHUSER_MOVABLE), ZONE_NORMAL);
	CHECK_EQ(gfp_zone(GFP_HIGHUSER_MOVABLE), ZONE_MOVABLE);
	CHECK_EQ(gfp_zone(GFP_KERNEL | __GFP_MOVABLE), ZONE_NORMAL);
	page = alloc_page(GFP_KERNEL | GFP_DMA);
	CHECK(page_to_pfn(page) < 16 * MIB >> PAGE_SHIFT);
	__free_page(page);
	page = alloc_page(GFP_KERNEL | GFP_DMA32);
	CHECK(page_to_pfn(page) < 1UL << (32 - PAGE_SHIFT));
	__free_page(page);
	return 0;
}

static void rule_zone_modifiers(void **state)
{
	(void)state;
	TM_RUN(rule_zones_body, .mem = 6UL << 30);
}

/* Limits hold under shortage: DMA never takes from above, others go down. */
static int rule_dma_limit_body(void *arg)
{
	struct zone *dma = zone_of(ZONE_DMA), *dma32 = zone_of(ZONE_DMA32);

	(void)arg;
	fake_reclaim(0);
	set_free(dma, 0);
	CHECK_EQ(idx_of(GFP_KERNEL | GFP_DMA), -1);
	CHECK_EQ(idx_of(GFP_ATOMIC | GFP_DMA), -1);
	CHECK_EQ(idx_of(GFP_KERNEL | GFP_DMA32), ZONE_DMA32);
	set_free(dma, high_wmark_pages(dma) + 200);
	set_free(dma32, 0);
	CHECK_EQ(idx_of(GFP_KERNEL), ZONE_DMA);
	CHECK_EQ(idx_of(GFP_KERNEL | GFP_DMA32), ZONE_DMA);
	give_all();
	lru_register(&classic_ops);
	return 0;
}

static void rule_dma_limit(void **state)
{
	(void)state;
	TM_RUN(rule_dma_limit_body, .mem = 48 * MIB);
}

static int type_of(gfp_t gfp)
{
	struct page *page = alloc_page(gfp);
	int mt = get_pageblock_migratetype(page);

	__free_page(page);
	return mt;
}

static int rule_mobility_body(void *arg)
{
	unsigned int pin;

	(void)arg;
	CHECK_EQ(type_of(GFP_KERNEL), MIGRATE_UNMOVABLE);
	CHECK_EQ(type_of(GFP_HIGHUSER_MOVABLE), MIGRATE_MOVABLE);
	CHECK_EQ(type_of(GFP_KERNEL | __GFP_RECLAIMABLE), MIGRATE_RECLAIMABLE);
	/* What will be pinned must not sit among what can move. */
	pin = memalloc_pin_save();
	CHECK_EQ(type_of(GFP_HIGHUSER_MOVABLE), MIGRATE_UNMOVABLE);
	memalloc_pin_restore(pin);
	CHECK_EQ(type_of(GFP_HIGHUSER_MOVABLE), MIGRATE_MOVABLE);
	return 0;
}

static void rule_mobility_and_pin_scope(void **state)
{
	(void)state;
	TM_RUN(rule_mobility_body, .mem = 64 * MIB);
}

static int rule_thisnode_body(void *arg)
{
	struct zone *zone = &NODE_DATA(1)->node_zones[ZONE_DMA32];
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;
	struct page *page;

	(void)arg;
	prey_start(50);
	fake_reclaim(0);
	set_free(zone, 0);
	page = __alloc_pages(gfp, 0, 1);
	CHECK_EQ(zone_to_nid(page_zone(page)), 0);
	__free_page(page);
	CHECK(!__alloc_pages(gfp | __GFP_THISNODE, 0, 1));
	CHECK(!__alloc_pages(GFP_ATOMIC | __GFP_NOWARN | __GFP_THISNODE, 0, 1));
	CHECK(stalls() > 0);
	CHECK_EQ(sum_vm_event(OOM_KILL), 0);
	page = __alloc_pages(gfp | __GFP_THISNODE, 0, 0);
	CHECK_EQ(zone_to_nid(page_zone(page)), 0);
	__free_page(page);
	give_all();
	lru_register(&classic_ops);
	prey_stop();
	return 0;
}

static void rule_thisnode(void **state)
{
	(void)state;
	TM_RUN(rule_thisnode_body, .mem = 96 * MIB, .nodes = 2);
}

/* A frame that was not lying ready on this CPU's lists. */
static int fresh_nid(gfp_t gfp)
{
	struct page *page;
	int nid;

	drain_all_pages();
	page = alloc_page(gfp);
	nid = zone_to_nid(page_zone(page));
	__free_page(page);
	return nid;
}

/* A node with too many dirty pages is passed over by who will write. */
static int rule_write_body(void *arg)
{
	s64 many = (s64)totalram_pages();

	(void)arg;
	mod_node_page_state(NODE_DATA(0), NR_FILE_DIRTY, many);
	CHECK_EQ(fresh_nid(GFP_KERNEL), 0);
	CHECK_EQ(fresh_nid(GFP_KERNEL | __GFP_WRITE), 1);
	/* Everywhere: then it does not matter where. */
	mod_node_page_state(NODE_DATA(1), NR_WRITEBACK, many);
	CHECK_EQ(fresh_nid(GFP_KERNEL | __GFP_WRITE), 0);
	mod_node_page_state(NODE_DATA(0), NR_FILE_DIRTY, -many);
	mod_node_page_state(NODE_DATA(1), NR_WRITEBACK, -many);
	return 0;
}

static void rule_write_spreads_dirty_pages(void **state)
{
	(void)state;
	TM_RUN(rule_write_body, .mem = 96 * MIB, .nodes = 2);
}

/* ---- what is done with it
 * ------------------------------------------------- */

static int rule_zero_body(void *arg)
{
	(void)arg;
	for (unsigned int order = 0; order < 6; order++) {
		struct page *page = alloc_pages(GFP_KERNEL, order);
		const u64 *words;

		memset(page_view(page), 0x5a, PAGE_SIZE << order);
		__free_pages(page, order);
		page = alloc_pages(GFP_KERNEL | __GFP_ZERO, order);
		words = page_view(page);
		for (u64 i = 0; i < (PAGE_SIZE << order) / 8; i++)
			CHECK_EQ(words[i], 0);
		__free_pages(page, order);
	}
	return 0;
}

static void rule_zero(void **state)
{
	(void)state;
	TM_RUN(rule_zero_body, .mem = 32 * MIB);
}

static int rule_comp_body(void *arg)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_COMP, 3);

	(void)arg;
	CHECK(PageHead(page) && compound_order(page) == 3);
	for (int i = 1; i < 8; i++)
		CHECK(compound_head(page + i) == page);
	put_page(page + 5);
	page = alloc_pages(GFP_KERNEL, 3);
	CHECK(!PageHead(page) && compound_order(page) == 0);
	for (int i = 0; i < 8; i++)
		CHECK(compound_head(page + i) == page + i);
	__free_pages(page, 3);
	return 0;
}

static void rule_comp(void **state)
{
	(void)state;
	TM_RUN(rule_comp_body, .mem = 32 * MIB);
}

static u64 charged_by(gfp_t gfp, unsigned int order)
{
	u64 before = root_charged_pages(), n;
	struct page *page = alloc_pages(gfp, order);

	n = root_charged_pages() - before;
	__free_pages(page, order);
	CHECK_EQ(root_charged_pages(), before);
	return n;
}

static int over_limit(struct page *page, unsigned int order, u16 group,
		      gfp_t gfp)
{
	(void)page;
	(void)order;
	CHECK(gfp & __GFP_ACCOUNT);
	CHECK_EQ(group, 7);
	return -ENOMEM;
}

static void no_uncharge(u16 group, u64 nr)
{
	(void)nr;
	CHECK(group != 7);
}

/* A group over its limit: the request fails, unless it may not. */
static int rule_account_body(void *arg)
{
	static const struct charge_ops ops = {.charge = over_limit,
					      .uncharge = no_uncharge};
	struct mm_task *task = port_current();
	struct page *page;

	(void)arg;
	CHECK_EQ(charged_by(GFP_KERNEL, 0), 0);
	CHECK_EQ(charged_by(GFP_KERNEL_ACCOUNT, 0), 1);
	CHECK_EQ(charged_by(GFP_KERNEL_ACCOUNT, 3), 8);
	CHECK_EQ(charged_by(GFP_USER, 0), 1);
	CHECK_EQ(charged_by(GFP_HIGHUSER_MOVABLE, 0), 1);
	page_alloc_set_charge_ops(&ops);
	task->group = 7;
	CHECK(!alloc_page(GFP_KERNEL_ACCOUNT));
	page = alloc_page(GFP_KERNEL);
	__free_page(page);
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	CHECK(page && PageCharged(page) && page->group == 0);
	__free_page(page);
	task->group = 0;
	page_alloc_set_charge_ops(NULL);
	return 0;
}

static void rule_account_and_hardwall(void **state)
{
	(void)state;
	TM_RUN(rule_account_body, .mem = 32 * MIB);
}

/* ---- how deep
 * ------------------------------------------------------------- */

/* The fewest free frames of ZONE with which GFP gets one. */
static u64 threshold(struct zone *zone, gfp_t gfp)
{
	u64 lo = 0, hi = high_wmark_pages(zone) * 2 + 2000;

	while (lo < hi) {
		u64 mid = (lo + hi) / 2;
		struct page *page;

		set_free(zone, mid);
		page = alloc_page(gfp | zone_gfp(zone) | __GFP_NOWARN);
		if (page)
			__free_page(page);
		if (page)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static int rule_reserves_body(void *arg)
{
	struct zone *zone = zone_of(ZONE_DMA32);
	struct mm_task *task = port_current();
	u64 least = min_wmark_pages(zone);
	u64 half = least - least / 2;
	unsigned int flags;

	(void)arg;
	fake_reclaim(0);
	phys_sys.tunables.watermark_boost_factor = 0;
	set_free(zone_of(ZONE_DMA), 0);
	CHECK(least > 100);
	CHECK_EQ(threshold(zone, GFP_NOWAIT), least + 1);
	CHECK_EQ(threshold(zone, 0), least + 1);
	CHECK_EQ(threshold(zone, GFP_KERNEL | __GFP_NORETRY), least + 1);
	CHECK_EQ(threshold(zone, GFP_KERNEL | __GFP_NORETRY | __GFP_HIGH),
		 half + 1);
	CHECK_EQ(threshold(zone, GFP_ATOMIC), half - half / 4 + 1);
	CHECK_EQ(threshold(zone, GFP_ATOMIC | __GFP_NOMEMALLOC), half + 1);
	CHECK_EQ(threshold(zone, __GFP_MEMALLOC), 1);
	CHECK_EQ(threshold(zone, __GFP_MEMALLOC | __GFP_NOMEMALLOC), least + 1);
	flags = memalloc_noreclaim_save();
	CHECK_EQ(threshold(zone, GFP_NOWAIT), 1);
	CHECK_EQ(threshold(zone, GFP_KERNEL), 1);
	CHECK_EQ(threshold(zone, GFP_KERNEL | __GFP_NOMEMALLOC), least + 1);
	memalloc_noreclaim_restore(flags);
	CHECK_EQ(threshold(zone, GFP_NOWAIT), least + 1);
	task->fatal_signal = MM_SIGKILL;
	CHECK_EQ(threshold(zone, GFP_NOWAIT), half + 1);
	CHECK_EQ(threshold(zone, GFP_NOWAIT | __GFP_NOMEMALLOC), least + 1);
	task->fatal_signal = 0;
	CHECK_EQ(sum_vm_event(OOM_KILL), 0);
	give_all();
	lru_register(&classic_ops);
	return 0;
}

static void rule_reserves(void **state)
{
	(void)state;
	TM_RUN(rule_reserves_body, .mem = 48 * MIB);
}

/* Who could do with a higher zone leaves more in a lower one. */
static int rule_lowmem_body(void *arg)
{
	struct zone *dma = zone_of(ZONE_DMA), *dma32 = zone_of(ZONE_DMA32);
	u64 least = min_wmark_pages(dma), lo, reserve;

	(void)arg;
	phys_sys.tunables.watermark_boost_factor = 0;
	CHECK_EQ(mm_sysctl_set("vm.lowmem_reserve_ratio", "64"), 0);
	reserve = dma->lowmem_reserve[ZONE_NORMAL];
	CHECK(reserve > 80);
	CHECK_EQ(threshold(dma, GFP_NOWAIT), least + 1);
	set_free(dma32, 0);
	/* The same request without the right to insist on the zone. */
	for (lo = least; lo <= least + reserve + 1; lo += reserve) {
		set_free(dma, lo);
		CHECK_EQ(idx_of(GFP_NOWAIT), -1);
	}
	set_free(dma, least + reserve + 1);
	CHECK_EQ(idx_of(GFP_NOWAIT), ZONE_DMA);
	set_free(dma, least + reserve);
	CHECK_EQ(idx_of(GFP_NOWAIT), -1);
	CHECK_EQ(idx_of(GFP_NOWAIT | GFP_DMA), ZONE_DMA);
	give_all();
	return 0;
}

static void rule_lowmem_reserve(void **state)
{
	(void)state;
	TM_RUN(rule_lowmem_body, .mem = 48 * MIB);
}

/* Rounds of kswapd that a request by GFP causes with FREE frames in ZONE. */
static u64 kswapd_rounds(struct zone *zone, u64 free, gfp_t gfp)
{
	u64 before = sum_vm_event(PAGEOUTRUN);
	struct page *page;

	set_free(zone, free);
	page = alloc_page(gfp | GFP_DMA32 | __GFP_NOWARN);
	CHECK(page);
	port_park(5 * 1000 * 1000);
	__free_page(page);
	return sum_vm_event(PAGEOUTRUN) - before;
}

/* The low mark wakes kswapd, but only for who asks for it. */
static int rule_kswapd_body(void *arg)
{
	struct zone *zone = zone_of(ZONE_DMA32);
	u64 low = low_wmark_pages(zone);

	(void)arg;
	phys_sys.tunables.watermark_boost_factor = 0;
	set_free(zone_of(ZONE_DMA), 0);
	CHECK_EQ(kswapd_rounds(zone, low + 1, __GFP_KSWAPD_RECLAIM), 0);
	CHECK_EQ(kswapd_rounds(zone, low, 0), 0);
	CHECK_EQ(kswapd_rounds(zone, low, __GFP_DIRECT_RECLAIM), 0);
	/* There is nothing that it could free: it gives up. */
	CHECK_EQ(kswapd_rounds(zone, low, __GFP_KSWAPD_RECLAIM),
		 MAX_RECLAIM_RETRIES);
	CHECK_EQ(stalls(), 0);
	give_all();
	return 0;
}

static void rule_kswapd_reclaim(void **state)
{
	(void)state;
	TM_RUN(rule_kswapd_body, .mem = 48 * MIB);
}

/* A request under ZONE's low mark wakes kswapd, which finds more than enough
 * frames when it runs. How many rounds of it there were by then. */
static u64 false_alarm(struct zone *zone)
{
	u64 before = sum_vm_event(PAGEOUTRUN);
	struct page *page;

	set_free(zone, low_wmark_pages(zone));
	port_pin(); /* it runs when we let it */
	page = alloc_page(__GFP_KSWAPD_RECLAIM | GFP_DMA32);
	CHECK(page);
	__free_page(page);
	while (zone_page_state(zone, NR_FREE_PAGES) <=
	       high_wmark_pages(zone) + 64)
		give_one(zone);
	port_unpin();
	port_park(1000 * 1000);
	return sum_vm_event(PAGEOUTRUN) - before;
}

/* What happens within a tenth of a second after kswapd was done is counted. */
static int rule_nap_body(void *arg)
{
	struct zone *zone = zone_of(ZONE_DMA32);
	const u64 asleep = 300UL * 1000 * 1000;

	(void)arg;
	phys_sys.tunables.watermark_boost_factor = 0;
	set_free(zone_of(ZONE_DMA), 0);
	port_park(asleep);
	CHECK_EQ(false_alarm(zone), 1);
	CHECK_EQ(sum_vm_event(KSWAPD_LOW_WMARK_HIT_QUICKLY), 0);
	CHECK_EQ(false_alarm(zone), 1);
	CHECK_EQ(sum_vm_event(KSWAPD_LOW_WMARK_HIT_QUICKLY), 1);
	port_park(asleep);
	CHECK_EQ(false_alarm(zone), 1);
	CHECK_EQ(sum_vm_event(KSWAPD_LOW_WMARK_HIT_QUICKLY), 1);
	CHECK_EQ(sum_vm_event(KSWAPD_HIGH_WMARK_HIT_QUICKLY), 0);
	/* Nobody asks, but the high mark did not last: until it gives up. */
	set_free(zone, high_wmark_pages(zone) - 1);
	port_park(asleep);
	CHECK_EQ(sum_vm_event(KSWAPD_HIGH_WMARK_HIT_QUICKLY),
		 MAX_RECLAIM_RETRIES);
	/* From a long sleep only a request wakes it. */
	NODE_DATA(0)->kswapd_failures = 0;
	port_park(asleep);
	CHECK_EQ(sum_vm_event(KSWAPD_HIGH_WMARK_HIT_QUICKLY),
		 MAX_RECLAIM_RETRIES);
	CHECK_EQ(sum_vm_event(KSWAPD_LOW_WMARK_HIT_QUICKLY), 1);
	give_all();
	return 0;
}

static void rule_kswapd_nap(void **state)
{
	(void)state;
	TM_RUN(rule_nap_body, .mem = 48 * MIB);
}

/* The atomic reserve is for atomic requests, and for all before failure. */
static int rule_highatomic_body(void *arg)
{
	struct zone *zone = zone_of(ZONE_DMA32);
	struct page *page;
	u64 held;

	(void)arg;
	fake_reclaim(0);
	phys_sys.tunables.watermark_boost_factor = 0;
	set_free(zone_of(ZONE_DMA), 0);
	/* One that is short, and gets a large one nevertheless. */
	set_free(zone, low_wmark_pages(zone));
	page = __alloc_pages(GFP_ATOMIC | GFP_DMA32, 2, 0);
	CHECK(page);
	__free_pages(page, 2);
	held = zone->nr_reserved_highatomic;
	CHECK(held >= pageblock_nr_pages);
	while (eat_one(zone))
		;
	drain_all_pages();
	CHECK(zone_page_state(zone, NR_FREE_PAGES) > 64);
	CHECK_EQ(idx_of(GFP_NOWAIT), -1);
	CHECK_EQ(idx_of(GFP_ATOMIC | __GFP_NOMEMALLOC), -1);
	CHECK_EQ(idx_of(GFP_ATOMIC), ZONE_DMA32);
	CHECK_EQ(zone->nr_reserved_highatomic, held);
	/* Rather than to fail, it is given back. */
	CHECK_EQ(idx_of(GFP_KERNEL | __GFP_RETRY_MAYFAIL), ZONE_DMA32);
	CHECK_EQ(zone->nr_reserved_highatomic, held - pageblock_nr_pages);
	give_all();
	lru_register(&classic_ops);
	return 0;
}

static void rule_highatomic_reserve(void **state)
{
	(void)state;
	TM_RUN(rule_highatomic_body, .mem = 64 * MIB);
}

/* ---- how far
 * -------------------------------------------------------------- */

static int rule_direct_reclaim_body(void *arg)
{
	(void)arg;
	fake_reclaim(0);
	starve();
	CHECK_EQ(idx_of(GFP_NOWAIT), -1);
	CHECK_EQ(idx_of(GFP_ATOMIC), -1);
	CHECK_EQ(idx_of(GFP_KERNEL & ~__GFP_DIRECT_RECLAIM), -1);
	CHECK_EQ(stalls(), 0);
	CHECK_EQ(fake.calls, 0);
	CHECK_EQ(idx_of(GFP_KERNEL | __GFP_NORETRY), -1);
	CHECK_EQ(stalls(), 1);
	give_all();
	lru_register(&classic_ops);
	return 0;
}

static void rule_direct_reclaim(void **state)
{
	(void)state;
	TM_RUN(rule_direct_reclaim_body, .mem = 32 * MIB);
}

/* One round, whether it brought something or not. */
static int rule_noretry_body(void *arg)
{
	(void)arg;
	/* There is much to gain, so that more rounds would make sense. */
	prey_start(2000);
	fake_reclaim(1000);
	starve();
	check_fails_without_kill(GFP_KERNEL | __GFP_NORETRY, 0);
	CHECK_EQ(stalls(), 1);
	check_fails_without_kill(GFP_KERNEL | __GFP_NORETRY, 3);
	CHECK_EQ(stalls(), 2);
	fake_reclaim(0);
	check_fails_without_kill(GFP_KERNEL | __GFP_NORETRY, 0);
	CHECK_EQ(stalls(), 3);
	give_all();
	lru_register(&classic_ops);
	prey_stop();
	return 0;
}

static void rule_noretry(void **state)
{
	(void)state;
	TM_RUN(rule_noretry_body, .mem = 32 * MIB, .swap_pages = 4000);
}

/* As long as there is progress, but nobody dies for it. */
static int rule_retry_mayfail_body(void *arg)
{
	u64 rounds;

	(void)arg;
	prey_start(2000);
	fake_reclaim(40);
	starve();
	check_fails_without_kill(GFP_KERNEL | __GFP_RETRY_MAYFAIL, 0);
	rounds = stalls();
	CHECK(rounds > 40 && rounds < 80);
	/* A large block: also more than one round, not without an end. */
	fake_reclaim(8);
	check_fails_without_kill(GFP_KERNEL | __GFP_RETRY_MAYFAIL, 5);
	CHECK(stalls() - rounds > 8 && stalls() - rounds < 40);
	give_all();
	lru_register(&classic_ops);
	prey_stop();
	return 0;
}

static void rule_retry_mayfail(void **state)
{
	(void)state;
	TM_RUN(rule_retry_mayfail_body, .mem = 32 * MIB, .swap_pages = 4000);
}

/* Without a flag a large block is tried for once, a small one for long. */
static int rule_costly_body(void *arg)
{
	struct page *block = alloc_pages(GFP_KERNEL, PAGE_ALLOC_COSTLY_ORDER);
	u64 rounds;

	(void)arg;
	prey_start(2000);
	fake_reclaim(40);
	starve();
	check_fails_without_kill(GFP_KERNEL, PAGE_ALLOC_COSTLY_ORDER + 1);
	CHECK_EQ(stalls(), 1);
	/* A block of that size is there, but only for emergencies. */
	__free_pages(block, PAGE_ALLOC_COSTLY_ORDER);
	drain_all_pages();
	fake_reclaim(5);
	check_fails_without_kill(GFP_NOFS, PAGE_ALLOC_COSTLY_ORDER);
	rounds = stalls() - 1;
	CHECK(rounds > 5 && rounds < 40);
	give_all();
	lru_register(&classic_ops);
	prey_stop();
	return 0;
}

static void rule_costly_order(void **state)
{
	(void)state;
	TM_RUN(rule_costly_body, .mem = 32 * MIB, .swap_pages = 4000);
}

/* Who may kill: small, anywhere, with all rights. Nobody else. */
static int rule_oom_body(void *arg)
{
	struct page *page;

	(void)arg;
	prey_start(1500);
	fake_reclaim(0);
	starve();
	check_fails_without_kill(GFP_KERNEL | GFP_DMA, 0);
	check_fails_without_kill(GFP_KERNEL | GFP_DMA32, 0);
	check_fails_without_kill(GFP_KERNEL | __GFP_THISNODE, 0);
	check_fails_without_kill(GFP_KERNEL | __GFP_NORETRY, 0);
	check_fails_without_kill(GFP_KERNEL | __GFP_RETRY_MAYFAIL, 0);
	check_fails_without_kill(GFP_NOFS, 0);
	check_fails_without_kill(GFP_NOIO, 0);
	check_fails_without_kill(GFP_KERNEL, PAGE_ALLOC_COSTLY_ORDER + 1);
	check_fails_without_kill(GFP_NOWAIT, 0);
	check_fails_without_kill(GFP_ATOMIC, 0);
	page = alloc_page(GFP_KERNEL);
	CHECK(page);
	CHECK_EQ(sum_vm_event(OOM_KILL), 1);
	CHECK(strstr(mm_last_oom(), "(prey)"));
	__free_page(page);
	give_all();
	lru_register(&classic_ops);
	prey_stop();
	return 0;
}

static void rule_oom(void **state)
{
	(void)state;
	TM_RUN(rule_oom_body, .mem = 48 * MIB);
}

/* A task that is being killed gets no other one killed, and does not wait. */
static int rule_victim_body(void *arg)
{
	struct mm_task *task = port_current();

	(void)arg;
	prey_start(300);
	fake_reclaim(0);
	starve();
	task->fatal_signal = MM_SIGKILL;
	check_fails_without_kill(GFP_KERNEL, 0);
	CHECK_EQ(stalls(), 1);
	task->fatal_signal = 0;
	task->flags &= ~(u32)PF_OOM_VICTIM;
	give_all();
	lru_register(&classic_ops);
	prey_stop();
	return 0;
}

static void rule_victim_gives_up(void **state)
{
	(void)state;
	TM_RUN(rule_victim_body, .mem = 32 * MIB);
}

/* Reclaim inside reclaim would not end. */
static int rule_memalloc_body(void *arg)
{
	unsigned int flags;

	(void)arg;
	fake_reclaim(0);
	starve();
	fake.inside = GFP_KERNEL | __GFP_NOWARN;
	CHECK_EQ(idx_of(GFP_KERNEL | __GFP_NORETRY), -1);
	CHECK_EQ(fake.deepest, 1);
	CHECK_EQ(stalls(), 1);
	CHECK(!fake.inside_got);
	/* What is left under all marks is for the one inside. */
	set_free(zone_of(ZONE_DMA), 1);
	CHECK_EQ(idx_of(GFP_KERNEL | __GFP_NORETRY), -1);
	CHECK(fake.inside_got);
	fake.inside |= __GFP_NOMEMALLOC;
	set_free(zone_of(ZONE_DMA), 1);
	CHECK_EQ(idx_of(GFP_KERNEL | __GFP_NORETRY), -1);
	CHECK(!fake.inside_got);
	fake.inside = 0;
	set_free(zone_of(ZONE_DMA), 0);
	flags = memalloc_noreclaim_save();
	CHECK_EQ(idx_of(GFP_KERNEL), -1);
	memalloc_noreclaim_restore(flags);
	CHECK_EQ(stalls(), 3);
	give_all();
	lru_register(&classic_ops);
	return 0;
}

static void rule_memalloc_no_recursion(void **state)
{
	(void)state;
	TM_RUN(rule_memalloc_body, .mem = 12 * MIB);
}

/* ---- scopes
 * --------------------------------------------------------------- */

/* The flags with which reclaim is asked to work for GFP. */
static gfp_t seen_by_reclaim(gfp_t gfp)
{
	fake.gfp = 0;
	CHECK_EQ(idx_of(gfp | __GFP_NORETRY), -1);
	return fake.gfp & (__GFP_IO | __GFP_FS);
}

static int rule_scopes_body(void *arg)
{
	unsigned int outer, inner;

	(void)arg;
	fake_reclaim(0);
	starve();
	CHECK_EQ(seen_by_reclaim(GFP_KERNEL), __GFP_IO | __GFP_FS);
	CHECK_EQ(seen_by_reclaim(GFP_NOFS), __GFP_IO);
	CHECK_EQ(seen_by_reclaim(GFP_NOIO), 0);
	outer = memalloc_nofs_save();
	CHECK_EQ(seen_by_reclaim(GFP_KERNEL), __GFP_IO);
	inner = memalloc_noio_save();
	CHECK_EQ(seen_by_reclaim(GFP_KERNEL), 0);
	memalloc_noio_restore(inner);
	CHECK_EQ(seen_by_reclaim(GFP_KERNEL), __GFP_IO);
	/* The same scope again: the inner end is not the outer one. */
	inner = memalloc_nofs_save();
	memalloc_nofs_restore(inner);
	CHECK_EQ(seen_by_reclaim(GFP_KERNEL), __GFP_IO);
	memalloc_nofs_restore(outer);
	CHECK_EQ(seen_by_reclaim(GFP_KERNEL), __GFP_IO | __GFP_FS);
	outer = memalloc_noio_save();
	inner = memalloc_noio_save();
	memalloc_noio_restore(inner);
	CHECK_EQ(seen_by_reclaim(GFP_KERNEL), 0);
	memalloc_noio_restore(outer);
	CHECK_EQ(seen_by_reclaim(GFP_KERNEL), __GFP_IO | __GFP_FS);
	give_all();
	lru_register(&classic_ops);
	return 0;
}

static void rule_io_and_fs_scopes(void **state)
{
	(void)state;
	TM_RUN(rule_scopes_body, .mem = 32 * MIB);
}

/* Without __GFP_IO nothing goes to the swap device. */
static int rule_noio_body(void *arg)
{
	struct zone *zone = zone_of(ZONE_DMA);
	u64 out;

	(void)arg;
	kswapd_stop(NODE_DATA(0));
	phys_sys.tunables.watermark_boost_factor = 0;
	prey_start(800);
	/* Writing to swap needs some of the reserve. */
	set_free(zone, min_wmark_pages(zone));
	out = sum_vm_event(PSWPOUT);
	CHECK_EQ(idx_of(GFP_NOIO | __GFP_NORETRY), -1);
	CHECK(stalls() > 0);
	CHECK_EQ(sum_vm_event(PSWPOUT), out);
	CHECK_EQ(idx_of(GFP_KERNEL), ZONE_DMA);
	CHECK(sum_vm_event(PSWPOUT) > out);
	CHECK_EQ(sum_vm_event(OOM_KILL), 0);
	give_all();
	prey_stop();
	return 0;
}

static void rule_noio_writes_nothing(void **state)
{
	(void)state;
	TM_RUN(rule_noio_body, .mem = 12 * MIB, .swap_pages = 4000);
}

/* ---- never
 * ---------------------------------------------------------------- */

static void giver_thread(void *arg)
{
	struct zone *zone = arg;

	port_park(300 * 1000 * 1000);
	for (u64 i = 0; i < min_wmark_pages(zone) + 60; i++)
		give_one(zone);
	drain_all_pages();
}

/* GFP waits for somebody to free something. */
static void check_waits(gfp_t gfp)
{
	struct port_thread *giver;
	u64 begin = port_now_ns();
	struct page *page;

	starve();
	CHECK_EQ(port_thread_start(&giver, "giver", -1, giver_thread,
				   zone_of(ZONE_DMA)),
		 0);
	page = alloc_page(gfp);
	CHECK(page);
	CHECK(port_now_ns() - begin >= 300UL * 1000 * 1000);
	__free_page(page);
	port_thread_join(giver);
}

static int rule_nofail_body(void *arg)
{
	struct mm_task *task = port_current();
	struct page *page;
	u64 least = min_wmark_pages(zone_of(ZONE_DMA));

	(void)arg;
	fake_reclaim(0);
	/* Not even when failure is asked for. */
	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), 1, true);
	page = alloc_page(GFP_KERNEL | __GFP_NOFAIL);
	CHECK(page);
	__free_page(page);
	CHECK(!alloc_page(GFP_KERNEL | __GFP_NOWARN));
	CHECK_EQ(fail_disarm().fired, 1);
	check_waits(GFP_KERNEL | __GFP_NOFAIL);
	check_waits(GFP_NOFS | __GFP_NOFAIL);
	check_waits(GFP_KERNEL | GFP_DMA | __GFP_NOFAIL);
	check_waits(GFP_KERNEL | __GFP_NOFAIL | __GFP_NORETRY);
	task->fatal_signal = MM_SIGKILL;
	check_waits(GFP_KERNEL | __GFP_NOFAIL | __GFP_NOMEMALLOC);
	task->fatal_signal = 0;
	task->flags &= ~(u32)PF_OOM_VICTIM;
	CHECK(!tm_logged("WARNING: "));
	/* A part of the reserve is there for it. */
	set_free(zone_of(ZONE_DMA), least - least / 4 + 1);
	CHECK_EQ(idx_of(GFP_KERNEL | __GFP_NORETRY), -1);
	CHECK_EQ(idx_of(GFP_KERNEL | __GFP_NOFAIL), ZONE_DMA);
	give_all();
	lru_register(&classic_ops);
	return 0;
}

static void rule_nofail(void **state)
{
	(void)state;
	TM_RUN(rule_nofail_body, .mem = 12 * MIB);
}

/* What NOFAIL must not be asked for is told, once. */
static int rule_nofail_warns_body(void *arg)
{
	struct page *page;
	unsigned int flags;
	u64 lines = 0;

	(void)arg;
	fake_reclaim(0);
	page = alloc_pages(GFP_KERNEL | __GFP_NOFAIL, 1);
	CHECK(!tm_logged("WARNING: "));
	__free_pages(page, 1);
	for (int i = 0; i < 2; i++) {
		page = alloc_pages(GFP_KERNEL | __GFP_NOFAIL, 2);
		__free_pages(page, 2);
	}
	CHECK(tm_logged("(gfp & __GFP_NOFAIL) && order > 1"));
	for (const char *p = tm.log; (p = strstr(p, "WARNING: ")); p++)
		lines++;
	CHECK_EQ(lines, 1);
	starve();
	CHECK_EQ(idx_of(GFP_NOWAIT | __GFP_NOFAIL), -1);
	CHECK(tm_logged("nofail && !(gfp & __GFP_DIRECT_RECLAIM)"));
	flags = memalloc_noreclaim_save();
	check_waits(GFP_KERNEL | __GFP_NOFAIL);
	memalloc_noreclaim_restore(flags);
	CHECK(tm_logged("port_current()->flags & PF_MEMALLOC"));
	give_all();
	lru_register(&classic_ops);
	return 0;
}

static void rule_nofail_warns(void **state)
{
	(void)state;
	TM_RUN(rule_nofail_warns_body, .mem = 12 * MIB);
}

/* ---- memory policies in the slow path
 * ------------------------------------- */

/* A new task has its maker's policy until it ends. */
static void check_inherited(void)
{
	static struct mm_task child;

	memset(&child, 0, sizeof(child));
	mm_task_register(&child, "child");
	CHECK(child.mempolicy && child.mempolicy == port_current()->mempolicy);
	mm_task_unregister(&child);
	mm_task_exit(&child);
	CHECK(!child.mempolicy && port_current()->mempolicy);
}

static int rule_bind_body(void *arg)
{
	struct zone *zone = &NODE_DATA(1)->node_zones[ZONE_DMA32];
	gfp_t gfp = __GFP_NOWARN | __GFP_NORETRY;

	(void)arg;
	fake_reclaim(0);
	set_free(zone, 0);
	CHECK_EQ(do_set_mempolicy(MPOL_BIND, NODE_MASK(1)), 0);
	check_inherited();
	/* Bound: node 0 has room, and is not taken. */
	CHECK_EQ(idx_of(GFP_KERNEL | gfp), -1);
	CHECK_EQ(stalls(), 1);
	CHECK_EQ(fake.nodes, NODE_MASK(1));
	CHECK_EQ(idx_of(GFP_NOWAIT), -1);
	/* The system's own needs come before a task's wishes. */
	CHECK(idx_of(GFP_ATOMIC) >= 0);
	CHECK(idx_of(__GFP_MEMALLOC) >= 0);
	CHECK_EQ(do_set_mempolicy(MPOL_PREFERRED, NODE_MASK(1)), 0);
	CHECK(idx_of(GFP_KERNEL | gfp) >= 0);
	CHECK_EQ(stalls(), 1);
	/* Preferred by many: no effort for those, then the others. */
	CHECK_EQ(do_set_mempolicy(MPOL_PREFERRED_MANY, NODE_MASK(1)), 0);
	CHECK(idx_of(GFP_KERNEL | gfp) >= 0);
	CHECK_EQ(stalls(), 1);
	/* The policy's own frame has an owner. */
	give_all();
	tm_audit();
	CHECK_EQ(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	lru_register(&classic_ops);
	return 0;
}

static void rule_bind_in_slow_path(void **state)
{
	(void)state;
	TM_RUN(rule_bind_body, .mem = 96 * MIB, .nodes = 2);
}

/* ---- node_reclaim
 * --------------------------------------------------------- */

#define CACHED 1500

/* Pages of the main thread in the swap cache, clean, of node 0. */
static uva_t fill_swap_cache(struct mm_struct *mm)
{
	struct alloc_context ac;
	uva_t at = tm_map(mm, CACHED);

	for (u64 i = 0; i < CACHED; i++)
		tm_store(at + (i << PAGE_SHIFT), i);
	lru_add_drain_all();
	prepare_alloc_context(&ac, GFP_KERNEL, 0);
	while (sum_vm_event(PSWPOUT) < CACHED ||
	       node_page_state(NODE_DATA(0), NR_FILE_PAGES)) {
		try_to_free_pages(&ac, 0, GFP_KERNEL);
		port_park(5 * 1000 * 1000);
	}
	for (u64 i = 0; i < CACHED; i++)
		CHECK_EQ(tm_load(at + (i << PAGE_SHIFT)), i);
	lru_add_drain_all();
	CHECK(node_page_state(NODE_DATA(0), NR_FILE_PAGES) > CACHED * 9 / 10);
	CHECK_EQ(node_page_state(NODE_DATA(1), NR_FILE_PAGES), 0);
	return at;
}

/* Of N frames from here, how many are of node 0? The node is at its low mark
 * when it begins. */
static u32 local_frames(gfp_t gfp, u32 n)
{
	static struct page *page[1000];
	pg_data_t *pgdat = NODE_DATA(0);
	u32 local = 0;

	set_free(&pgdat->node_zones[ZONE_DMA], 0);
	set_free(&pgdat->node_zones[ZONE_DMA32],
		 low_wmark_pages(&pgdat->node_zones[ZONE_DMA32]));
	for (u32 i = 0; i < n; i++) {
		page[i] = alloc_page(gfp);
		CHECK(page[i]);
		local += zone_to_nid(page_zone(page[i])) == 0;
	}
	while (n)
		__free_page(page[--n]);
	return local;
}

static u64 tried(void)
{
	return sum_vm_event(PGSCAN_ZONE_RECLAIM_SUCCESS) +
	       sum_vm_event(PGSCAN_ZONE_RECLAIM_FAILED);
}

/* Each try has its two ends, and their sum is what was taken. */
static void node_reclaim_told(void)
{
	struct trace_record r;

	CHECK_EQ(count(TRACE_MM_VMSCAN_NODE_RECLAIM_BEGIN, "nid", 0, &r),
		 tried());
	CHECK_EQ(field(&r, "order"), 0);
	CHECK_EQ(field(&r, "gfp_flags"), GFP_KERNEL);
	CHECK_EQ(told(TRACE_MM_VMSCAN_NODE_RECLAIM_END), tried());
	CHECK_EQ(sum_of(TRACE_MM_VMSCAN_NODE_RECLAIM_END, "nr_reclaimed"),
		 sum_of(TRACE_MM_VMSCAN_LRU_SHRINK_INACTIVE, "nr_reclaimed"));
	CHECK(sum_of(TRACE_MM_VMSCAN_NODE_RECLAIM_END, "nr_reclaimed") >= 200);
}

static int rule_zone_reclaim_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	unsigned int flags;
	u64 least = NODE_DATA(0)->node_present_pages / 100;
	u64 out, cached;
	uva_t at;

	(void)arg;
	tm_use(mm);
	mm_put(mm);
	kswapd_stop(NODE_DATA(0));
	phys_sys.tunables.watermark_boost_factor = 0;
	at = fill_swap_cache(mm);
	out = sum_vm_event(PSWPOUT);
	/* Off, and on without the right to unmap: the far node is used. */
	CHECK_EQ(local_frames(GFP_KERNEL, 200), 0);
	CHECK_EQ(mm_sysctl_set("vm.zone_reclaim_mode", "1"), 0);
	CHECK_EQ(local_frames(GFP_KERNEL, 200), 0);
	CHECK_EQ(tried(), 0);
	/* Not worth it by the ratio; may not sleep; is reclaiming itself. */
	CHECK_EQ(mm_sysctl_set("vm.zone_reclaim_mode", "5"), 0);
	CHECK_EQ(mm_sysctl_set("vm.min_unmapped_ratio", "90"), 0);
	CHECK_EQ(local_frames(GFP_KERNEL, 200), 0);
	CHECK_EQ(mm_sysctl_set("vm.min_unmapped_ratio", "1"), 0);
	CHECK_EQ(local_frames(GFP_NOWAIT, 200), 0);
	flags = memalloc_noreclaim_save();
	CHECK_EQ(local_frames(GFP_KERNEL, 200), 0);
	memalloc_noreclaim_restore(flags);
	CHECK_EQ(tried(), 0);
	/* Now local pages go, nothing is written for it. */
	cached = node_page_state(NODE_DATA(0), NR_FILE_PAGES);
	listen_to("vmscan");
	CHECK_EQ(local_frames(GFP_KERNEL, 300), 300);
	hush();
	node_reclaim_told();
	forget();
	CHECK_EQ(sum_vm_event(PGSCAN_ZONE_RECLAIM_FAILED), 0);
	CHECK(sum_vm_event(PGSCAN_ZONE_RECLAIM_SUCCESS) >= 1);
	CHECK(node_page_state(NODE_DATA(0), NR_FILE_PAGES) <= cached - 300);
	CHECK_EQ(sum_vm_event(PSWPOUT), out);
	/* Down to the ratio, not further. */
	CHECK_EQ(local_frames(GFP_KERNEL, 900), 900);
	CHECK(local_frames(GFP_KERNEL, 900) < 300);
	CHECK(node_page_state(NODE_DATA(0), NR_FILE_PAGES) <= least);
	CHECK(node_page_state(NODE_DATA(0), NR_FILE_PAGES) > least / 2);
	give_all();
	for (u64 i = 0; i < CACHED; i++)
		CHECK_EQ(tm_load(at + (i << PAGE_SHIFT)), i);
	return 0;
}

static void rule_zone_reclaim_mode(void **state)
{
	(void)state;
	TM_RUN(rule_zone_reclaim_body, .mem = 96 * MIB, .nodes = 2,
	       .swap_pages = 8000);
}

static struct {
	u32 calls[2];
	enum node_reclaim_result result;
	bool give;
} near;

static enum node_reclaim_result fake_node_reclaim(pg_data_t *pgdat, gfp_t gfp,
						  unsigned int order)
{
	(void)gfp;
	CHECK_EQ(order, 0);
	near.calls[pgdat->node_id]++;
	for (int i = 0; near.give && i < 50; i++)
		give_one(&pgdat->node_zones[ZONE_DMA32]);
	return near.result;
}

/* Asked only of near nodes; the answer is checked, not believed. */
static int rule_reclaim_distance_body(void *arg)
{
	const struct pressure_ops *old = phys_sys.pressure;
	static struct pressure_ops ops;
	struct zone *far = &NODE_DATA(1)->node_zones[ZONE_DMA32];
	gfp_t gfp = GFP_KERNEL;

	(void)arg;
	phys_sys.tunables.watermark_boost_factor = 0;
	ops = *old;
	ops.node_reclaim = fake_node_reclaim;
	page_alloc_set_pressure_ops(&ops);
	near.result = NODE_RECLAIM_SUCCESS;
	set_free(zone_of(ZONE_DMA), 0);
	set_free(zone_of(ZONE_DMA32), low_wmark_pages(zone_of(ZONE_DMA32)));
	CHECK(idx_of(gfp) >= 0);
	CHECK_EQ(near.calls[0], 0);
	phys_sys.tunables.zone_reclaim_mode = ZONE_RECLAIM_ON;
	CHECK(idx_of(gfp) >= 0);
	CHECK_EQ(near.calls[0], 2); /* each of its two zones */
	CHECK_EQ(near.calls[1], 0);
	/* The other node is short as well: near enough to ask, or not. */
	set_free(far, low_wmark_pages(far));
	phys_sys.distance[0][1] = RECLAIM_DISTANCE;
	CHECK(idx_of(gfp) >= 0);
	CHECK_EQ(near.calls[1], 1);
	phys_sys.distance[0][1] = RECLAIM_DISTANCE + 1;
	set_free(far, low_wmark_pages(far));
	CHECK(idx_of(gfp) >= 0);
	CHECK_EQ(near.calls[1], 1);
	/* There was room after all. */
	near.give = true;
	set_free(zone_of(ZONE_DMA32), low_wmark_pages(zone_of(ZONE_DMA32)));
	near.calls[0] = 0;
	CHECK_EQ(idx_of(gfp), ZONE_DMA32);
	CHECK_EQ(near.calls[0], 1);
	phys_sys.tunables.zone_reclaim_mode = 0;
	give_all();
	page_alloc_set_pressure_ops(old);
	return 0;
}

static void rule_reclaim_distance(void **state)
{
	(void)state;
	memset(&near, 0, sizeof(near));
	TM_RUN(rule_reclaim_distance_body, .mem = 96 * MIB, .nodes = 2);
}

/* ---- the report
 * ----------------------------------------------------------- */

/* The lines of Linux 6.1's report, by how they begin, in order. */
static const char *const report_lines[] = {
	"CPU: 0 PID: ",
	"Mem-Info:",
	"active_anon:",
	" active_file:",
	" unevictable:",
	" slab_reclaimable:",
	" mapped:",
	" sec_pagetables:",
	" kernel_misc_reclaimable:",
	" free:",
	"Node 0 active_anon:",
	"Node 0 DMA free:",
	"lowmem_reserve[]:",
	"Node 0 DMA32 free:",
	"lowmem_reserve[]:",
	"Node 0 DMA: ",
	"Node 0 DMA32: ",
	"", /* total pagecache pages */
	"", /* pages in swap cache */
	"Free swap  = ",
	"Total swap = ",
	"", /* pages RAM */
	"", /* pages HighMem/MovableOnly */
	"", /* pages reserved */
	"", /* pages cma reserved */
	"", /* pages hwpoisoned */
};

/* The text after the stamp of the line at P. */
static const char *line_text(const char *p)
{
	const char *end = strchr(p, ']');

	CHECK(*p == '[' && end && end[1] == ' ');
	return end + 2;
}

static u64 figure(const char *text, const char *before)
{
	const char *p = strstr(text, before);

	CHECK(p);
	return strtoull(p + strlen(before), NULL, 10);
}

static int rule_report_body(void *arg)
{
	struct zone *zone = zone_of(ZONE_DMA32);
	const char *p, *head;

	(void)arg;
	fake_reclaim(0);
	starve();
	set_free(zone, 17);
	port_park(6UL * 1000 * 1000 * 1000);
	tm.log_len = 0;
	CHECK_EQ(idx_of(GFP_NOWAIT), -1);
	CHECK_EQ(tm.log_len, 0); /* __GFP_NOWARN */
	CHECK(!alloc_page(GFP_NOWAIT));
	tm.log[tm.log_len] = 0;
	head = line_text(tm.log);
	CHECK(strstr(head, ": page allocation failure: order:0, mode:0x"));
	CHECK(strstr(head, "(GFP_NOWAIT), nodemask=(null),cpuset=/,"
			   "mems_allowed=0\n"));
	p = strchr(tm.log, '\n') + 1;
	for (size_t i = 0; i < ARRAY_SIZE(report_lines); i++) {
		const char *text = line_text(p);

		snprintf(tm_context, sizeof(tm_context), "line %zu", i);
		CHECK(!strncmp(text, report_lines[i], strlen(report_lines[i])));
		p = strchr(p, '\n') + 1;
	}
	CHECK_EQ(*p, 0);
	CHECK_EQ(figure(tm.log, " free:"), 17);
	CHECK_EQ(figure(tm.log, "Node 0 DMA32 free:"), 17 * 4);
	CHECK_EQ(figure(tm.log, " min:") * 256 / 1024,
		 min_wmark_pages(zone_of(ZONE_DMA)));
	CHECK_EQ(figure(tm.log, "Total swap = "), 999 * 4);
	CHECK_EQ(figure(tm.log, "Free swap  = "), 999 * 4);
	CHECK(strstr(tm.log, "kB = 68kB\n") || strstr(tm.log, "= 68kB\n"));
	CHECK(tm_logged("] 0 total pagecache pages\n"));
	CHECK(tm_logged("] 0 pages in swap cache\n"));
	CHECK(tm_logged("] 0 pages HighMem/MovableOnly\n"));
	CHECK(tm_logged("] 0 pages cma reserved\n"));
	CHECK(tm_logged("] 0 pages hwpoisoned\n"));
	give_all();
	lru_register(&classic_ops);
	return 0;
}

static void rule_nowarn_and_report(void **state)
{
	(void)state;
	TM_RUN(rule_report_body, .mem = 48 * MIB, .swap_pages = 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_zone_modifiers),
		cmocka_unit_test(rule_dma_limit),
		cmocka_unit_test(rule_mobility_and_pin_scope),
		cmocka_unit_test(rule_thisnode),
		cmocka_unit_test(rule_write_spreads_dirty_pages),
		cmocka_unit_test(rule_zero),
		cmocka_unit_test(rule_comp),
		cmocka_unit_test(rule_account_and_hardwall),
		cmocka_unit_test(rule_reserves),
		cmocka_unit_test(rule_lowmem_reserve),
		cmocka_unit_test(rule_kswapd_reclaim),
		cmocka_unit_test(rule_kswapd_nap),
		cmocka_unit_test(rule_highatomic_reserve),
		cmocka_unit_test(rule_direct_reclaim),
		cmocka_unit_test(rule_noretry),
		cmocka_unit_test(rule_retry_mayfail),
		cmocka_unit_test(rule_costly_order),
		cmocka_unit_test(rule_oom),
		cmocka_unit_test(rule_victim_gives_up),
		cmocka_unit_test(rule_memalloc_no_recursion),
		cmocka_unit_test(rule_io_and_fs_scopes),
		cmocka_unit_test(rule_noio_writes_nothing),
		cmocka_unit_test(rule_nofail),
		cmocka_unit_test(rule_nofail_warns),
		cmocka_unit_test(rule_bind_in_slow_path),
		cmocka_unit_test(rule_zone_reclaim_mode),
		cmocka_unit_test(rule_reclaim_distance),
		cmocka_unit_test(rule_nowarn_and_report),
	};

	return cmocka_run_group_tests_name("gfp_rules", tests, NULL, NULL);
}
