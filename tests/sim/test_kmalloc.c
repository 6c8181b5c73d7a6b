/* SPDX-License-Identifier: MIT */
/*
 * kmalloc's kinds and forms, bulk calls, shared caches, slabs that outlive
 * readers, tracepoints, attribute files; and each allocation made to fail.
 */
#include "sim_machine.h"

#include <mmkit/vmalloc.h>

#include "base/fail.h"
#include "base/trace_ring.h"
#include "phys/alloc.h"

/* ---- kinds and classes -------------------------------------------------- */

static const struct kmem_cache *cache_of(const void *obj)
{
	const struct page *page = compound_head(view_to_page(obj));

	CHECK(PageSlab(page));
	return kmem_sys.caches[page_index(page)];
}

static int kinds_body(void *arg)
{
	static const struct {
		gfp_t gfp;
		const char *name;
		u32 item;
	} kinds[] = {
		{0, "kmalloc-192", NR_SLAB_UNRECLAIMABLE_B},
		{__GFP_RECLAIMABLE, "kmalloc-rcl-192", NR_SLAB_RECLAIMABLE_B},
		{__GFP_ACCOUNT, "kmalloc-cg-192", NR_SLAB_UNRECLAIMABLE_B},
		{__GFP_DMA, "dma-kmalloc-192", NR_SLAB_UNRECLAIMABLE_B},
		{__GFP_DMA | __GFP_ACCOUNT, "dma-kmalloc-192",
		 NR_SLAB_UNRECLAIMABLE_B},
		{__GFP_RECLAIMABLE | __GFP_ACCOUNT, "kmalloc-rcl-192",
		 NR_SLAB_RECLAIMABLE_B},
	};

	(void)arg;
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
		u64 was = node_page_state(NODE_DATA(0), (int)kinds[i].item);
		u64 charged = root_charged_pages();
		void *p = kmalloc(150, GFP_KERNEL | kinds[i].gfp);

		CHECK(p && !strcmp(cache_of(p)->name, kinds[i].name));
		CHECK_EQ(ksize(p), 192);
		if (i < 4 && i)
			CHECK(node_page_state(NODE_DATA(0),
					      (int)kinds[i].item) > was);
		/* Frames are nobody's; objects are, in groups. */
		CHECK_EQ(root_charged_pages(), charged);
		if (kinds[i].gfp & __GFP_DMA)
			CHECK(port_ram_phys(p) < 16UL << 20);
		kfree(p);
	}
	/* A size known when compiled goes the same way. */
	CHECK_EQ(ksize(kmalloc(96, GFP_KERNEL)), 96);
	for (size_t size = 1; size <= KMALLOC_MAX_CACHE; size++) {
		u32 i = kmalloc_index(size);

		CHECK(kmem_sys.kmalloc.cache[0][i]->object_size >= size);
		CHECK(!i ||
		      kmem_sys.kmalloc.cache[0][i - 1]->object_size < size);
		CHECK_EQ(kmem_sys.kmalloc.class_of[size], i);
	}
	CHECK_EQ(kmem_sys.kmalloc.class_of[0], KMALLOC_NR_CLASSES);
	return 0;
}

static void kinds_and_classes(void **state)
{
	(void)state;
	TM_RUN(kinds_body, .mem = 64UL << 20, .no_audit = true);
}

/* ---- forms --------------------------------------------------------------- */

static void check_bytes(const u8 *p, size_t from, size_t to, u8 val)
{
	for (size_t i = from; i < to; i++)
		CHECK_EQ(p[i], val);
}

static void realloc_forms(void)
{
	u8 *p = krealloc(NULL, 10, GFP_KERNEL), *q;

	CHECK(p && ksize(p) == 16);
	memset(p, 0x21, 16);
	CHECK(krealloc(p, 16, GFP_KERNEL) == p);
	q = krealloc(p, 100, GFP_KERNEL | __GFP_ZERO);
	CHECK(q && q != p && ksize(q) == 128);
	check_bytes(q, 0, 16, 0x21);
	check_bytes(q, 16, 100, 0);
	p = krealloc(q, 40000, GFP_KERNEL);
	CHECK(p && ksize(p) == 65536);
	check_bytes(p, 0, 16, 0x21);
	q = krealloc(p, 12, GFP_KERNEL);
	CHECK(q && ksize(q) == 16);
	check_bytes(q, 0, 12, 0x21);
	/* Failure leaves it as it was. */
	fail_arm_nth(FAIL_MASK(FAIL_SLAB) | FAIL_MASK(FAIL_PAGE_ALLOC), 1,
		     true);
	CHECK(!krealloc(q, 1000, GFP_KERNEL));
	CHECK(krealloc(q, 3, GFP_KERNEL) == q);
	fail_disarm();
	check_bytes(q, 0, 12, 0x21);
	CHECK(krealloc(q, 0, GFP_KERNEL) == ZERO_SIZE_PTR);
	CHECK(!krealloc_array(NULL, ~0UL / 2, 3, GFP_KERNEL));
	p = krealloc_array(NULL, 10, 10, GFP_KERNEL);
	CHECK(p);
	memset(p, 0x77, 100);
	kfree_sensitive(p);
	check_bytes(p, 0, 64, 0); /* all but the link, in the middle */
	check_bytes(p, 72, 100, 0);
	kfree_sensitive(NULL);
}

static void copy_forms(void)
{
	char text[] = "a page of one's own";
	char *p = kstrdup(text, GFP_KERNEL);

	CHECK(p && !strcmp(p, text));
	kfree(p);
	p = kstrndup(text, 6, GFP_KERNEL);
	CHECK(p && !strcmp(p, "a page"));
	kfree(p);
	p = kmemdup(text, sizeof(text), GFP_KERNEL);
	CHECK(p && !memcmp(p, text, sizeof(text)));
	kfree(p);
	CHECK(!kstrdup(NULL, GFP_KERNEL) && !kmemdup(NULL, 5, GFP_KERNEL));
	CHECK(!kstrndup(NULL, 5, GFP_KERNEL));
	CHECK(!kmalloc_array(1UL << 32, 1UL << 32, GFP_KERNEL));
	CHECK(!kcalloc(1UL << 33, 1UL << 31, GFP_KERNEL));
	CHECK(!kvcalloc(1UL << 33, 1UL << 31, GFP_KERNEL));
}

static u64 scattered_calls;
static u64 scattered_area[8];

static void *scattered_alloc(size_t size, gfp_t gfp, int node)
{
	CHECK(size > KMALLOC_MAX_SIZE && (gfp & GFP_KERNEL) == GFP_KERNEL);
	CHECK_EQ(node, -1);
	scattered_calls++;
	return scattered_area;
}

static void scattered_free(const void *obj)
{
	CHECK(obj == scattered_area);
	scattered_calls++;
}

static bool scattered_owns(const void *obj)
{
	return obj == scattered_area;
}

static void kv_forms(void)
{
	static const struct kvmalloc_ops ops = {scattered_alloc, scattered_free,
						scattered_owns};
	void *p = kvmalloc(20000, GFP_KERNEL);

	CHECK(p && ksize(p) == 32768);
	kvfree(p);
	CHECK(!kvmalloc(KMALLOC_MAX_SIZE + 1, GFP_KERNEL));
	kvmalloc_set_ops(&ops);
	p = kvmalloc(KMALLOC_MAX_SIZE + 1, GFP_KERNEL);
	CHECK(p == scattered_area);
	kvfree(p);
	CHECK_EQ(scattered_calls, 2);
	p = kvcalloc(100, 30, GFP_KERNEL);
	CHECK(p);
	check_bytes(p, 0, 3000, 0);
	kvfree(p);
	kvfree(NULL);
	kvmalloc_set_ops(NULL);
}

static int forms_body(void *arg)
{
	(void)arg;
	realloc_forms();
	copy_forms();
	kv_forms();
	CHECK_EQ(kmem_sys.nr_bugs, 0);
	return 0;
}

static void forms(void **state)
{
	(void)state;
	TM_RUN(forms_body);
}

/* ---- nodes ----------------------------------------------------------------
 */

static int nodes_body(void *arg)
{
	struct kmem_cache *s =
		kmem_cache_create("nodes", 100, 0, SLAB_NO_MERGE, NULL);
	void *p[64];

	(void)arg;
	for (int i = 0; i < 64; i++) {
		p[i] = i % 3 ? kmem_cache_alloc_node(s, GFP_KERNEL, i & 1)
			     : kmalloc_node(3000, GFP_KERNEL, i & 1);
		CHECK(p[i]);
		CHECK_EQ(page_to_nid(view_to_page(p[i])), i & 1);
	}
	slab_check(s);
	/* Objects of the other node do not stay in this CPU's array. */
	for (int i = 0; i < 64; i++) {
		if (i % 3)
			kmem_cache_free(s, p[i]);
		else
			kfree(p[i]);
	}
	for (int i = 0; i < 64; i++) {
		p[i] = kmem_cache_alloc(s, GFP_KERNEL);
		CHECK_EQ(page_to_nid(view_to_page(p[i])), 0);
	}
	kmem_cache_free_bulk(s, 64, p);
	CHECK_EQ(kmem_cache_active(s), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void nodes(void **state)
{
	(void)state;
	TM_RUN(nodes_body, .mem = 128UL << 20, .nodes = 2, .cpus = 2);
}

/* ---- many at once ----------------------------------------------------------
 */

#define MANY 3000u

static void bulk_round(struct kmem_cache *s, size_t n)
{
	static void *p[MANY];

	CHECK_EQ(kmem_cache_alloc_bulk(s, GFP_KERNEL | __GFP_ZERO, n, p), n);
	for (size_t i = 0; i < n; i++) {
		check_bytes(p[i], 0, 48, 0);
		memset(p[i], 0x5f, 48);
		*(u64 *)p[i] = i;
	}
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(*(u64 *)p[i], i);
	CHECK_EQ(kmem_cache_active(s), n);
	slab_check(s);
	kmem_cache_free_bulk(n & 1 ? NULL : s, n, p);
	CHECK_EQ(kmem_cache_active(s), 0);
	slab_check(s);
}

static int bulk_body(void *arg)
{
	struct kmem_cache *s =
		kmem_cache_create("bulk", 48, 0, SLAB_NO_MERGE, NULL);
	static void *p[MANY];

	(void)arg;
	for (size_t n = 1; n <= MANY; n = n * 3 / 2 + 1)
		bulk_round(s, n);
	/* All or nothing. */
	kmem_cache_shrink(s);
	for (u64 n = 1; n < 12; n++) {
		fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), n, true);
		CHECK_EQ(kmem_cache_alloc_bulk(s, GFP_KERNEL, MANY, p), 0);
		CHECK(fail_disarm().fired > 0);
		CHECK_EQ(kmem_cache_active(s), 0);
	}
	CHECK_EQ(kmem_cache_destroy(s), 0);
	CHECK_EQ(kmem_sys.nr_bugs, 0);
	return 0;
}

static void bulk(void **state)
{
	(void)state;
	TM_RUN(bulk_body, .mem = 80UL << 20);
}

/* ---- sharing ----------------------------------------------------------------
 */

static void nothing(void *obj)
{
	(void)obj;
}

static int sharing_body(void *arg)
{
	struct kmem_cache *a = kmem_cache_create("a", 1000, 0, 0, NULL);
	struct kmem_cache *b = kmem_cache_create("b", 996, 0, 0, NULL);
	struct kmem_cache *c = kmem_cache_create("c", 980, 0, 0, NULL);
	struct kmem_cache *d = kmem_cache_create("d", 1000, 0, 0, nothing);
	struct kmem_cache *e =
		kmem_cache_create("e", 1000, 0, SLAB_RECLAIM_ACCOUNT, NULL);
	struct kmem_cache *f =
		kmem_cache_create("f", 1000, 0, SLAB_NO_MERGE, NULL);
	struct kmem_cache *g = kmem_cache_create("g", 1000, 64, 0, NULL);
	struct kmem_cache *h = kmem_cache_create("h", 64, 0, 0, NULL);
	void *obj;

	(void)arg;
	CHECK(a && a == b && a != c && a != d && a != e && a != f && a != g);
	CHECK(h == kmem_sys.kmalloc.cache[0][3]);
	CHECK_EQ(kmem_cache_size(a), 1000);
	obj = kmem_cache_alloc(b, GFP_KERNEL);
	CHECK_EQ(kmem_cache_destroy(b), 0); /* one name less */
	kmem_cache_free(a, obj);
	CHECK_EQ(kmem_cache_destroy(a), 0);
	CHECK_EQ(kmem_cache_destroy(c), 0);
	CHECK_EQ(kmem_cache_destroy(d), 0);
	CHECK_EQ(kmem_cache_destroy(e), 0);
	CHECK_EQ(kmem_cache_destroy(f), 0);
	CHECK_EQ(kmem_cache_destroy(g), 0);
	CHECK_EQ(kmem_cache_destroy(h), 0);
	CHECK_EQ(kmem_cache_destroy(NULL), 0);
	/* A larger alias makes its room usable for all. */
	a = kmem_cache_create("a", 996, 0, 0, NULL);
	b = kmem_cache_create("b", 1000, 0, 0, NULL);
	CHECK(a == b && kmem_cache_size(a) == 1000);
	CHECK_EQ(kmem_cache_destroy(a), 0);
	CHECK_EQ(kmem_cache_destroy(b), 0);
	return 0;
}

static void sharing(void **state)
{
	(void)state;
	TM_RUN(sharing_body);
}

/* ---- slabs that outlive readers -------------------------------------------
 */

static int rcu_body(void *arg)
{
	struct kmem_cache *s =
		kmem_cache_create("rcu", 500, 0, SLAB_TYPESAFE_BY_RCU, NULL);
	struct page *slab;
	u64 *obj = kmem_cache_alloc(s, GFP_KERNEL);

	(void)arg;
	*obj = 0x1234;
	slab = compound_head(view_to_page(obj));
	epoch_enter();
	kmem_cache_free(s, obj);
	CHECK(kmem_cache_shrink(s) > 0);
	/* Gone from the cache, still its memory, and as it was. */
	epoch_poll();
	CHECK(PageSlab(slab));
	CHECK_EQ(*obj, 0x1234);
	epoch_exit();
	epoch_drain();
	CHECK(!PageSlab(slab));
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void outlive_readers(void **state)
{
	(void)state;
	TM_RUN(rcu_body);
}

/* ---- every allocation fails once -------------------------------------------
 */

static int simple_work(void)
{
	struct kmem_cache *s =
		kmem_cache_create("work", 700, 0, SLAB_NO_MERGE, NULL);
	void *p[40] = {0}, *q = NULL;
	int err = s ? 0 : -ENOMEM;

	for (u32 i = 0; !err && i < 40; i++) {
		p[i] = kmem_cache_alloc(s, GFP_KERNEL);
		err = p[i] ? 0 : -ENOMEM;
	}
	for (size_t n = 10; !err && n < 40000; n = n * 3) {
		void *more = krealloc(q, n, GFP_KERNEL);

		err = more ? 0 : -ENOMEM;
		q = more ? more : q;
	}
	kfree(q);
	for (u32 i = 0; s && i < 40; i++)
		if (p[i])
			kmem_cache_free(s, p[i]);
	if (s) {
		slab_check(s);
		CHECK_EQ(kmem_cache_active(s), 0);
		CHECK_EQ(kmem_cache_destroy(s), 0);
	}
	return err;
}

#define BATCH 70

/* A batch is had whole or not at all. */
static int some_batches(struct kmem_cache *s)
{
	void *p[BATCH] = {0};
	int had = kmem_cache_alloc_bulk(s, GFP_KERNEL, BATCH, p);

	CHECK(!had || had == BATCH);
	for (u32 i = 0; i < BATCH && had; i++)
		CHECK(p[i]);
	kmem_cache_free_bulk(s, (size_t)had, p);
	CHECK_EQ(kmem_cache_active(s), 0);
	return had ? 0 : -ENOMEM;
}

/* Caches of each debug mode, batches, copies, other nodes, large blocks. */
static int other_work(void)
{
	static const u32 flags[] = {SLAB_NO_MERGE, SLAB_STORE_USER,
				    SLAB_RED_ZONE | SLAB_POISON |
					    SLAB_CONSISTENCY_CHECKS,
				    SLAB_TYPESAFE_BY_RCU | SLAB_STORE_USER};
	void *p[3] = {0};
	int err = 0;

	for (u32 i = 0; i < ARRAY_SIZE(flags); i++) {
		struct kmem_cache *s =
			kmem_cache_create("other", 300, 0, flags[i], NULL);

		if (!s || some_batches(s))
			err = -ENOMEM;
		CHECK_EQ(kmem_cache_destroy(s), 0);
	}
	p[0] = kmemdup("some bytes", 11, GFP_KERNEL);
	p[1] = kmalloc_node(5000, GFP_KERNEL, 1);
	p[2] = kvmalloc(100000, GFP_KERNEL | __GFP_NOWARN);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++) {
		err = p[i] ? err : -ENOMEM;
		kvfree(p[i]);
	}
	vm_unmap_aliases();
	epoch_drain();
	return err;
}

static int fail_body(void *arg)
{
	const u32 sites = FAIL_MASK(FAIL_SLAB) | FAIL_MASK(FAIL_PAGE_ALLOC);
	int (*some_work)(void) = *(int (**)(void))arg;
	u64 caches = kmem_cache_active(&kmem_sys.boot_cache);
	u64 nodes = kmem_cache_active(&kmem_sys.boot_node);

	for (int keep = 0; keep < 2; keep++) {
		u64 n = 0, calls;

		do {
			struct fail_result r;
			int err;

			fail_arm_nth(sites, ++n, keep);
			err = some_work();
			r = fail_disarm();
			calls = r.calls;
			/* One slab less need not be the end of it. */
			CHECK(!err || r.fired);
			CHECK(err || !keep || !r.fired);
		} while (n <= calls);
		CHECK(n > 50);
	}
	CHECK_EQ(some_work(), 0);
	CHECK_EQ(kmem_cache_active(&kmem_sys.boot_cache), caches);
	CHECK_EQ(kmem_cache_active(&kmem_sys.boot_node), nodes);
	return 0;
}

static void each_fails(void **state)
{
	static int (*const works[])(void) = {simple_work, other_work};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(works); i++)
		TM_RUN(fail_body, .mem = 80UL << 20, .nodes = 2, .cpus = 2,
		       .shared_ram = true, .arg = (void *)&works[i]);
}

/* ---- what can be seen ------------------------------------------------------
 */

static u64 number_of(const char *path)
{
	char text[128];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show(path, &s), 0);
	return strtoull(seq_buf_str(&s), NULL, 10);
}

static int files_body(void *arg)
{
	struct kmem_cache *s = kmem_cache_create(
		"seen", 120, 0, SLAB_HWCACHE_ALIGN | SLAB_NO_MERGE, NULL);
	struct kmem_cache *t = kmem_cache_create("k", 2048, 0, 0, NULL);
	static char text[8192];
	char *line;
	unsigned long v[6];
	struct seq_buf b;
	void *p[10];

	(void)arg;
	for (u32 i = 0; i < 10; i++)
		p[i] = kmem_cache_alloc(s, GFP_KERNEL);
	CHECK_EQ(number_of("/sys/kernel/slab/seen/object_size"), 120);
	CHECK_EQ(number_of("/sys/kernel/slab/seen/slab_size"), 128);
	CHECK_EQ(number_of("/sys/kernel/slab/seen/objs_per_slab"), 32);
	CHECK_EQ(number_of("/sys/kernel/slab/seen/order"), 0);
	CHECK_EQ(number_of("/sys/kernel/slab/seen/objects"), 10);
	CHECK_EQ(number_of("/sys/kernel/slab/seen/total_objects"), 32);
	CHECK_EQ(number_of("/sys/kernel/slab/seen/slabs"), 1);
	CHECK_EQ(number_of("/sys/kernel/slab/seen/partial"), 1);
	CHECK_EQ(number_of("/sys/kernel/slab/seen/hwcache_align"), 1);
	CHECK_EQ(number_of("/sys/kernel/slab/seen/aliases"), 0);
	CHECK_EQ(number_of("/sys/kernel/slab/kmalloc-2k/aliases"), 1);
	seq_buf_init(&b, text, sizeof(text));
	CHECK_EQ(mm_show("/sys/kernel/slab/seen/colour", &b), -ENOENT);
	CHECK_EQ(mm_show("/sys/kernel/slab/unseen/order", &b), -ENOENT);
	CHECK_EQ(mm_show("/sys/kernel/slab/seen", &b), -ENOENT);
	CHECK_EQ(mm_show("/proc/slabinfo", &b), 0);
	line = strstr(seq_buf_str(&b), "\nseen ");
	CHECK(line && sscanf(line,
			     " seen %lu %lu %lu %lu %lu : tunables 0 0 0 : "
			     "slabdata %lu",
			     v, v + 1, v + 2, v + 3, v + 4, v + 5) == 6);
	CHECK(v[0] == 10 && v[1] == 32 && v[2] == 128 && v[3] == 32 &&
	      v[4] == 1 && v[5] == 1);
	kmem_cache_free_bulk(s, 10, p);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	CHECK_EQ(kmem_cache_destroy(t), 0);
	return 0;
}

static void files(void **state)
{
	(void)state;
	TM_RUN(files_body);
}

static struct trace_record ring[256];

/* The only record of EVENT with OBJ as its pointer. */
static struct trace_record find_record(enum trace_event event, const void *obj)
{
	struct trace_record r, found = {0};
	struct trace_cursor c;
	u32 n = 0;

	trace_cursor_init(&c);
	while (trace_cursor_next(&c, &r)) {
		if (r.event == event && r.arg[1] == (u64)(uintptr_t)obj) {
			found = r;
			n++;
		}
	}
	CHECK_EQ(n, 1);
	CHECK(found.arg[0] != 0);
	return found;
}

static int trace_body(void *arg)
{
	struct kmem_cache *s =
		kmem_cache_create("traced", 72, 0, SLAB_NO_MERGE, NULL);
	struct trace_record r;
	volatile size_t some = 60; /* the compiler does not know it */
	void *a, *b, *c, *d;

	(void)arg;
	/* As often as it takes to get a CPU's array. */
	for (int i = 0; i < 40; i++)
		kfree(kmalloc(some, GFP_KERNEL));
	trace_ring_attach(0, ring, ARRAY_SIZE(ring));
	trace_enable(TRACE_KMALLOC);
	trace_enable(TRACE_KFREE);
	trace_enable(TRACE_KMEM_CACHE_ALLOC);
	trace_enable(TRACE_KMEM_CACHE_FREE);
	a = kmalloc(50, GFP_NOFS);
	b = kmem_cache_alloc_node(s, GFP_KERNEL, 0);
	c = kmalloc(9000, GFP_KERNEL);
	d = kmalloc(some, GFP_KERNEL);
	kfree(a);
	kmem_cache_free(s, b);
	kfree(c);
	kfree(d);
	trace_enable_mask(0);
	r = find_record(TRACE_KMALLOC, a);
	CHECK(r.arg[2] == 50 && r.arg[3] == 64 && r.arg[4] == GFP_NOFS);
	CHECK_EQ(r.arg[5], -1);
	r = find_record(TRACE_KMEM_CACHE_ALLOC, b);
	CHECK(r.arg[2] == 72 && r.arg[3] == 72 && r.arg[5] == 0);
	r = find_record(TRACE_KMALLOC, c);
	CHECK(r.arg[2] == 9000 && r.arg[3] == 16384);
	r = find_record(TRACE_KMALLOC, d);
	CHECK(r.arg[2] == 60 && r.arg[3] == 64 && r.arg[4] == GFP_KERNEL);
	find_record(TRACE_KFREE, a);
	find_record(TRACE_KFREE, c);
	r = find_record(TRACE_KMEM_CACHE_FREE, b);
	CHECK(!memcmp(&r.arg[2], "traced\0\0\0\0\0\0\0\0\0", 16));
	trace_ring_attach(0, NULL, 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void tracepoints(void **state)
{
	(void)state;
	TM_RUN(trace_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_and_classes),
		cmocka_unit_test(forms),
		cmocka_unit_test(nodes),
		cmocka_unit_test(bulk),
		cmocka_unit_test(sharing),
		cmocka_unit_test(outlive_readers),
		cmocka_unit_test(each_fails),
		cmocka_unit_test(files),
		cmocka_unit_test(tracepoints),
	};

	return cmocka_run_group_tests_name("kmalloc", tests, NULL, NULL);
}
