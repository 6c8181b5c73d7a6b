/* SPDX-License-Identifier: MIT */
/* Shrinkers: how much they are asked for, when, and what becomes of it. */
#include "sim_machine.h"

#include <mmkit/shrinker.h>
#include <mmkit/sysctl.h>

#include "base/fail.h"
#include "trace_ears.h"

/* A cache of objects of 2000 bytes on a list, newest first. */
struct hoard {
	struct shrinker shrinker;
	struct kmem_cache *cache;
	spinlock_t lock;
	void **first;
	u64 nr, counted, asked, freed;
	u64 hidden; /* count_objects says so many less */
	bool stuck; /* scan_objects cannot */
	gfp_t gfp;
	int nid;
};

static u64 hoard_count(struct shrinker *s, struct shrink_control *sc)
{
	struct hoard *h = s->private;

	h->counted++;
	h->gfp = sc->gfp_mask;
	h->nid = sc->nid;
	CHECK_EQ(sc->nr_to_scan, 0);
	return h->nr ? h->nr - h->hidden : SHRINK_EMPTY;
}

static u64 hoard_scan(struct shrinker *s, struct shrink_control *sc)
{
	struct hoard *h = s->private;
	u64 freed = 0;

	if (h->stuck)
		return SHRINK_STOP;
	h->asked += sc->nr_to_scan;
	while (h->first && freed < sc->nr_to_scan) {
		void **obj = h->first;

		h->first = *obj;
		h->nr--;
		kmem_cache_free(h->cache, obj);
		freed++;
	}
	h->freed += freed;
	return freed;
}

static void hoard_fill(struct hoard *h, u64 n)
{
	while (n--) {
		void **obj = kmem_cache_alloc(h->cache, GFP_NOWAIT);

		CHECK(obj);
		*obj = h->first;
		h->first = obj;
		h->nr++;
	}
}

static void hoard_begin(struct hoard *h, u32 seeks, u32 flags)
{
	memset(h, 0, sizeof(*h));
	h->cache = kmem_cache_create(
		"hoard", 2000, 0, SLAB_RECLAIM_ACCOUNT | SLAB_NO_MERGE, NULL);
	CHECK(h->cache);
	h->shrinker = (struct shrinker){.count_objects = hoard_count,
					.scan_objects = hoard_scan,
					.seeks = seeks,
					.flags = flags,
					.batch = 8,
					.private = h};
	CHECK_EQ(register_shrinker(&h->shrinker, "hoard"), 0);
}

static void hoard_end(struct hoard *h)
{
	unregister_shrinker(&h->shrinker);
	while (h->first) {
		void **obj = h->first;

		h->first = *obj;
		kmem_cache_free(h->cache, obj);
	}
	CHECK_EQ(kmem_cache_destroy(h->cache), 0);
}

/* ---- how much ---------------------------------------------------------- */

static int share_body(void *arg)
{
	static struct hoard h;

	(void)arg;
	hoard_begin(&h, DEFAULT_SEEKS, 0);
	CHECK_EQ(shrink_slab(GFP_NOIO, 0, 0), 0); /* SHRINK_EMPTY */
	hoard_fill(&h, 1024);
	/* 1024 >> 4 = 64, times 4 / 2. */
	CHECK_EQ(shrink_slab(GFP_NOIO, 0, 4), 128);
	CHECK_EQ(h.asked, 128);
	CHECK_EQ(h.gfp, GFP_NOIO);
	CHECK_EQ(sum_vm_event(SLABS_SCANNED), 128);
	/* Too little for a batch is due later: (896 >> 9) * 2 = 2 a time. */
	for (int i = 0; i < 3; i++)
		CHECK_EQ(shrink_slab(GFP_KERNEL, 0, 9), 0);
	CHECK_EQ(h.shrinker.nr_deferred[0], 6);
	/* Deferred work is shifted by the priority as well. */
	CHECK_EQ(shrink_slab(GFP_KERNEL, 0, 0), 896);
	CHECK_EQ(h.nr, 0);
	/* What cannot be done is due for others, up to twice of all. */
	hoard_fill(&h, 100);
	h.stuck = true;
	for (int i = 0; i < 5; i++)
		CHECK_EQ(shrink_slab(GFP_KERNEL, 0, 2), 0);
	CHECK_EQ(h.shrinker.nr_deferred[0], 200);
	h.stuck = false;
	/* 200 >> 1 + 100 of 100. */
	CHECK_EQ(shrink_slab(GFP_KERNEL, 0, 1), 100);
	hoard_end(&h);
	return 0;
}

static void shares(void **state)
{
	(void)state;
	TM_RUN(share_body);
}

static int seeks_body(void *arg)
{
	static struct hoard cheap, dear;

	(void)arg;
	hoard_begin(&cheap, 0, 0);
	hoard_begin(&dear, 8, 0);
	hoard_fill(&cheap, 400);
	hoard_fill(&dear, 400);
	shrink_slab(GFP_KERNEL, 0, 1);
	/* Half of what costs nothing; 400 / 2 * 4 / 8, in batches, of other. */
	CHECK_EQ(cheap.freed, 200);
	CHECK_EQ(dear.freed, 96);
	CHECK_EQ(dear.shrinker.nr_deferred[0], 4);
	hoard_end(&cheap);
	hoard_end(&dear);
	CHECK_EQ(register_shrinker(&(struct shrinker){0}, "none"), -EINVAL);
	fail_arm_nth(FAIL_MASK(FAIL_SLAB), 1, false);
	CHECK_EQ(register_shrinker(&dear.shrinker, "dear"), -ENOMEM);
	CHECK_EQ(fail_disarm().fired, 1);
	CHECK_EQ(shrink_slab(GFP_KERNEL, 0, 0), 0);
	return 0;
}

static void seeks(void **state)
{
	(void)state;
	TM_RUN(seeks_body);
}

static int nodes_body(void *arg)
{
	static struct hoard all, each;
	char text[512];
	struct seq_buf s;

	(void)arg;
	hoard_begin(&all, DEFAULT_SEEKS, 0);
	hoard_begin(&each, DEFAULT_SEEKS, SHRINKER_NUMA_AWARE);
	hoard_fill(&each, 16);
	all.nid = each.nid = -1;
	shrink_slab(GFP_KERNEL, 1, 0);
	CHECK_EQ(all.nid, 0);
	CHECK_EQ(each.nid, 1);
	CHECK_EQ(each.nr, 0);
	hoard_fill(&all, 5);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/sys/kernel/debug/shrinker", &s), 0);
	CHECK(strstr(seq_buf_str(&s), "\nhoard-3 5\nhoard-4 0 0\n"));
	hoard_end(&each);
	hoard_end(&all);
	return 0;
}

static void nodes(void **state)
{
	(void)state;
	TM_RUN(nodes_body, .mem = 64UL << 20, .nodes = 2, .cpus = 2);
}

/* ---- when --------------------------------------------------------------- */

/* Nothing but objects to give up: requests are met by the shrinker. */
static int pressure_body(void *arg)
{
	static struct hoard h;
	static struct page *page[4096];
	u64 n = 0, had;

	(void)arg;
	hoard_begin(&h, DEFAULT_SEEKS, 0);
	hoard_fill(&h, 3000);
	had = node_page_state(NODE_DATA(0), NR_SLAB_RECLAIMABLE_B);
	CHECK(had >= 3000 / 2);
	while (n < ARRAY_SIZE(page) &&
	       (page[n] =
			alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN)))
		n++;
	CHECK(h.counted > 0 && h.freed > 2000);
	CHECK(sum_vm_event(SLABS_SCANNED) >= h.freed);
	CHECK(node_page_state(NODE_DATA(0), NR_SLAB_RECLAIMABLE_B) < had / 2);
	CHECK(sum_vm_event(OOM_KILL) == 0);
	while (n)
		__free_page(page[--n]);
	hoard_end(&h);
	return 0;
}

static void pressure(void **state)
{
	(void)state;
	TM_RUN(pressure_body, .mem = 12UL << 20);
}

static int drop_body(void *arg)
{
	static struct hoard h;

	(void)arg;
	hoard_begin(&h, DEFAULT_SEEKS, 0);
	hoard_fill(&h, 1000);
	CHECK_EQ(mm_sysctl_set("vm.drop_caches", "1"), 0);
	CHECK_EQ(h.nr, 1000);
	CHECK_EQ(mm_sysctl_set("vm.drop_caches", "0"), 0); /* nothing */
	CHECK_EQ(h.nr, 1000);
	CHECK_EQ(mm_sysctl_set("vm.drop_caches", "5"), -ERANGE);
	CHECK_EQ(mm_sysctl_set("vm.drop_caches", "2"), 0);
	CHECK_EQ(h.nr, 0);
	CHECK_EQ(sum_vm_event(DROP_SLAB), 1);
	hoard_end(&h);
	return 0;
}

static void drop_caches(void **state)
{
	(void)state;
	TM_RUN(drop_body);
}

/* ---- what is told
 * ----------------------------------------------------------------------- */

static int told_body(void *arg)
{
	static struct hoard h;
	struct trace_record r;

	(void)arg;
	hoard_begin(&h, DEFAULT_SEEKS, 0);
	hoard_fill(&h, 1024);
	listen_to("mm_shrink_slab_start mm_shrink_slab_end");
	CHECK_EQ(shrink_slab(GFP_NOIO, 0, 4), 128);
	hush();
	CHECK_EQ(count(TRACE_MM_SHRINK_SLAB_START, "shr",
		       (u64)(uintptr_t)&h.shrinker, &r),
		 1);
	CHECK_EQ(field(&r, "shrink"), (u64)(uintptr_t)h.shrinker.scan_objects);
	CHECK_EQ(field(&r, "nid"), 0);
	CHECK_EQ(field(&r, "nr_objects_to_shrink"), 0);
	CHECK_EQ(field(&r, "gfp_flags"), GFP_NOIO);
	CHECK_EQ(field(&r, "cache_items"), 1024);
	CHECK_EQ(field(&r, "delta"), 128);
	CHECK_EQ(field(&r, "total_scan"), 128);
	CHECK_EQ(field(&r, "priority"), 4);
	CHECK_EQ(count(TRACE_MM_SHRINK_SLAB_END, "shr",
		       (u64)(uintptr_t)&h.shrinker, &r),
		 1);
	CHECK_EQ(field(&r, "shrink"), (u64)(uintptr_t)h.shrinker.scan_objects);
	CHECK_EQ(field(&r, "retval"), 128);
	CHECK_EQ(field(&r, "unused_scan"), 0);
	CHECK_EQ(field(&r, "new_scan"), 0);
	CHECK_EQ(field(&r, "total_scan"), 128);
	forget();
	hoard_end(&h);
	return 0;
}

static void tells(void **state)
{
	(void)state;
	TM_RUN(told_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares), cmocka_unit_test(seeks),
		cmocka_unit_test(nodes),  cmocka_unit_test(pressure),
		cmocka_unit_test(tells),  cmocka_unit_test(drop_caches),
	};

	return cmocka_run_group_tests_name("shrinker", tests, NULL, NULL);
}
