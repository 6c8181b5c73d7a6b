/* SPDX-License-Identifier: MIT */
/*
 * Memory hotplug in a whole machine: slab caches and kswapd follow a new
 * node, /proc/iomem and the audit stay true.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <mmkit/boot.h>
#include <mmkit/memory_hotplug.h>
#include <mmkit/report.h>
#include <mmkit/slab.h>

#include "base/fail.h"
#include "base/seqbuf.h"
#include "kmem/slab.h"
#include "phys_machine.h"

#define BLOCK (128 * MiB)
#define PER   PAGES_PER_SECTION
#define BASE  PFN_DOWN(8 * GiB)

static char text[1 << 16];

static const char *show(const char *path)
{
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	assert_int_equal(mm_show(path, &s), 0);
	return seq_buf_str(&s);
}

static void assert_clean(void)
{
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	if (mm_audit(&s))
		fprintf(stderr, "%s", seq_buf_str(&s));
	assert_non_null(strstr(seq_buf_str(&s), "verdict: clean"));
	phys_check();
}

/* Objects from node 3 alone: nothing else is left of node 0. */
static void use_slabs_of_node(void)
{
	struct kmem_cache *late =
		kmem_cache_create("late", 200, 8, SLAB_PANIC, NULL);
	static struct page *hog[1 << 15];
	static void *objs[2048];
	u64 nr = 0, near = 0;

	while (nr < ARRAY_SIZE(hog) &&
	       (hog[nr] = __alloc_pages(
			GFP_NOWAIT | __GFP_THISNODE | __GFP_NOWARN, 3, 0)))
		nr++;
	for (int i = 0; i < 2048; i++) {
		objs[i] = i & 1 ? kmalloc(512, GFP_KERNEL)
				: kmem_cache_alloc(late, GFP_KERNEL);
		assert_non_null(objs[i]);
		near += page_to_nid(view_to_page(objs[i])) == 3;
	}
	assert_true(near > 100);
	for (int i = 0; i < 2048; i++) {
		if (i & 1)
			kfree(objs[i]);
		else
			kmem_cache_free(late, objs[i]);
	}
	while (nr)
		__free_pages(hog[--nr], 3);
	assert_int_equal(kmem_cache_destroy(late), 0);
}

static int node_body(void *arg)
{
	struct kmem_cache *early = kmem_sys.kmalloc.cache[0][4];
	pg_data_t *pgdat;

	(void)arg;
	assert_clean();
	assert_int_equal(add_memory(3, 8 * GiB, 2 * BLOCK, MHP_NONE), 0);
	pgdat = NODE_DATA(3);
	assert_clean();
	assert_non_null(strstr(show("/proc/iomem"),
			       "200000000-20fffffff : System RAM\n"));
	assert_null(strstr(show("/proc/zoneinfo"), "present  65536\n"));
	/* A cache that gets no memory for its part of the node is a veto. */
	assert_null(early->node[3]);
	fail_arm_nth(FAIL_MASK(FAIL_SLAB), 1, false);
	assert_int_equal(online_pages(BASE, 2 * PER, MMOP_ONLINE), -ENOMEM);
	assert_int_equal(fail_disarm().fired, 1);
	assert_null(pgdat->kswapd);
	assert_clean();
	assert_int_equal(online_pages(BASE, 2 * PER, MMOP_ONLINE), 0);
	assert_non_null(early->node[3]);
	assert_non_null(kmem_sys.boot_node.node[3]);
	assert_non_null(pgdat->kswapd);
	assert_non_null(strstr(show("/proc/zoneinfo"), "present  65536\n"));
	assert_clean();
	use_slabs_of_node();
	assert_clean();
	for (u32 i = 0; i < KMEM_MAX_CACHES; i++) {
		if (!kmem_sys.caches[i])
			continue;
		slab_drain(kmem_sys.caches[i]);
		kmem_cache_shrink(kmem_sys.caches[i]);
	}
	assert_int_equal(offline_pages(BASE, 2 * PER), 0);
	assert_null(pgdat->kswapd);
	assert_clean();
	assert_int_equal(remove_memory(8 * GiB, BLOCK), 0);
	assert_non_null(strstr(show("/proc/iomem"),
			       "208000000-20fffffff : System RAM\n"));
	assert_int_equal(online_pages(BASE + PER, PER, MMOP_ONLINE_MOVABLE), 0);
	assert_non_null(pgdat->kswapd);
	assert_clean();
	return 0;
}

/* Each frame remembers who asked for it: descriptors have entries beside. */
static bool with_owners;

static int machine_main(void *arg)
{
	struct mm_boot_params bp = {.map = arg,
				    .max_possible = 16 * GiB,
				    .debug.page_owner = with_owners};

	assert_int_equal(mm_boot(&bp), 0);
	node_body(NULL);
	mm_shutdown();
	assert_null(NODE_DATA(3)->kswapd);
	return 0;
}

static void run_machine(bool owners)
{
	static struct e820_table map;

	with_owners = owners;
	mm_reset();
	pm_hardware(2, NULL, 1);
	pm_map(&map, 256 * MiB);
	assert_int_equal(sim_run(machine_main, &map), 0);
	sim_shutdown();
	mm_reset();
}

static void test_new_node(void **state)
{
	(void)state;
	run_machine(false);
}

static void test_new_node_owned(void **state)
{
	(void)state;
	run_machine(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_node),
		cmocka_unit_test(test_new_node_owned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
