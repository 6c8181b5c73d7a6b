/* SPDX-License-Identifier: MIT */
/*
 * Slower nodes: which they are; cold pages go there instead of to the disk, by
 * kswapd and by direct reclaim, under each policy; when there is no room below
 * they go to swap; what a group's limit, MADV_PAGEOUT and the switch ask for.
 */
#include <mmkit/flatfile.h>
#include <mmkit/memcg.h>
#include <mmkit/mempolicy.h>

#include "calls.h"
#include "phys/memory_tiers.h"

/* Node 0 has the only CPU: node 1 is slow. */
#define TWO_NODES .cpus = 1, .nodes = 2, .mem = 16UL << 20

static void show_is(const char *path, const char *want)
{
	char text[64];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show(path, &s), 0);
	CHECK_EQ(strcmp(seq_buf_str(&s), want), 0);
}

#define SWITCH	  "/sys/kernel/mm/numa/demotion_enabled"
#define TIER(n)	  "/sys/devices/virtual/memory_tiering/memory_tier" n "/nodelist"
#define SET(text) mm_write(SWITCH, text, strlen(text))

static u64 demoted(void)
{
	return sum_vm_event(PGDEMOTE_KSWAPD) + sum_vm_event(PGDEMOTE_DIRECT);
}

/* Memory that is allocated on node 0 alone. */
static uva_t map_fast(struct mm_struct *mm, u64 n)
{
	uva_t at = tm_map(mm, n);

	CHECK_EQ(do_mbind(mm, at, P(n), MPOL_BIND, NODE_MASK(0), 0), 0);
	return at;
}

static void fill(uva_t at, u64 from, u64 n)
{
	for (u64 i = from; i < from + n; i++)
		tm_store(at + P(i) + 8 * (i % 512), i * 0x9e3779b97f4a7c15UL);
}

static void expect(uva_t at, u64 from, u64 n)
{
	for (u64 i = from; i < from + n; i++)
		CHECK_EQ(tm_load(at + P(i) + 8 * (i % 512)),
			 i * 0x9e3779b97f4a7c15UL);
}

static u64 on_node(struct mm_struct *mm, uva_t at, u64 n, int nid)
{
	u64 nr = 0;

	for (u64 i = 0; i < n; i++) {
		struct page *page = page_at(mm, at + P(i));

		nr += page && page_to_nid(page) == nid;
	}
	return nr;
}

/* ---- tiers -----------------------------------------------------------------
 */

static int tiers_body(void *arg)
{
	(void)arg;
	CHECK_EQ(node_tier(0), 0);
	CHECK_EQ(node_tier(1), 0);
	CHECK_EQ(node_tier(2), 1);
	CHECK_EQ(node_tier(3), 1);
	CHECK_EQ(demotion_nodes(0), NODE_MASK(2) | NODE_MASK(3));
	CHECK_EQ(demotion_nodes(2), 0);
	CHECK_EQ(next_demotion_node(2), NUMA_NO_NODE);
	CHECK_EQ(next_demotion_node(1), 2);
	show_is(TIER("4"), "0-1\n");
	show_is(TIER("5"), "2-3\n");
	CHECK_EQ(mm_show(TIER("6"), &(struct seq_buf){0}), -ENOENT);
	/* By how far they are from the nearest CPU. */
	phys_sys.distance[1][3] = 15;
	memory_tiers_update();
	CHECK_EQ(node_tier(3), 1);
	CHECK_EQ(node_tier(2), 2);
	CHECK_EQ(next_demotion_node(0), 3);
	CHECK_EQ(next_demotion_node(3), 2);
	CHECK_EQ(demotion_nodes(3), NODE_MASK(2));
	show_is(TIER("5"), "3\n");
	show_is(TIER("6"), "2\n");
	show_is(SWITCH, "false\n");
	CHECK(!numa_can_demote(0));
	CHECK_EQ(SET("maybe"), -EINVAL);
	CHECK_EQ(SET("1\n"), 2);
	show_is(SWITCH, "true\n");
	CHECK(numa_can_demote(0) && !numa_can_demote(2));
	CHECK_EQ(SET("false"), 5);
	show_is(SWITCH, "false\n");
	return 0;
}

static void tiers(void **state)
{
	(void)state;
	TM_RUN(tiers_body, .cpus = 2, .nodes = 4, .mem = 16UL << 20);
}

/* ---- instead of a disk -----------------------------------------------------
 */

/* 9.4 MiB of memory of a node of 8, and no swap. */
static int no_swap_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u64 n = 2400;
	uva_t at;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(SET("true"), 4);
	at = map_fast(mm, n);
	fill(at, 0, n);
	CHECK(demoted() > 300);
	CHECK_EQ(on_node(mm, at, n, 0) + on_node(mm, at, n, 1), n);
	CHECK(on_node(mm, at, n, 1) >= 300);
	CHECK_EQ(sum_vm_event(PSWPOUT), 0);
	CHECK_EQ(sum_vm_event(OOM_KILL), 0);
	CHECK(sum_vm_event(PGMIGRATE_SUCCESS) >= demoted());
	expect(at, 0, n);
	mm_check(mm);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_FILE), 0);
	lru_check(&NODE_DATA(0)->lruvec);
	lru_check(&NODE_DATA(1)->lruvec);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void instead_of_swap(void **state)
{
	static const char *const policy[] = {"classic", "mglru", "sieve",
					     "s3fifo"};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(policy); i++)
		TM_RUN(no_swap_body, TWO_NODES, .policy = policy[i]);
}

/* Both nodes are full: the rest is swapped. */
static int full_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u64 n = 4600;
	uva_t at;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(SET("true"), 4);
	at = map_fast(mm, n);
	fill(at, 0, n);
	CHECK(demoted() > 1000);
	CHECK(sum_vm_event(PSWPOUT) > 300);
	expect(at, 0, n);
	mm_check(mm);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

/* Without the switch, for MADV_PAGEOUT, and where nothing is slower: swap. */
static int not_wanted_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at;

	(void)arg;
	tm_use(mm);
	at = map_fast(mm, 2400);
	fill(at, 0, 2400);
	CHECK_EQ(demoted(), 0);
	CHECK(sum_vm_event(PSWPOUT) > 300);
	CHECK_EQ(do_munmap(mm, at, P(2400)), 0);
	CHECK_EQ(SET("true"), 4);
	at = map_fast(mm, 100);
	fill(at, 0, 100);
	CHECK_EQ(do_madvise(mm, at, P(100), MADV_PAGEOUT), 0);
	CHECK_EQ(demoted(), 0);
	CHECK_EQ(on_node(mm, at, 100, 1), 0);
	CHECK(on_node(mm, at, 100, 0) < 100);
	expect(at, 0, 100);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

/* A group's page counts wherever it lies: its limit asks for swap. */
static int group_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at;
	u16 id;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(SET("true"), 4);
	CHECK_EQ(memcg_create(0, &id), 0);
	CHECK_EQ(memcg_write(id, "memory.max", "2M\n"), 0);
	CHECK_EQ(memcg_attach(port_current(), id), 0);
	at = map_fast(mm, 800);
	fill(at, 0, 800);
	CHECK_EQ(demoted(), 0);
	CHECK(sum_vm_event(PSWPOUT) > 200);
	expect(at, 0, 800);
	tm_use(NULL);
	CHECK_EQ(memcg_attach(port_current(), 0), 0);
	mm_put(mm);
	CHECK_EQ(memcg_remove(id), 0);
	return 0;
}

/* Pages of files and of shared memory go as well, and are found there. */
static int file_body(void *arg)
{
	struct port_bdev *disk = tm_disk(2100);
	struct super_block sb = {
		.s_dev = 5, .s_id = "t", .s_maxbytes = MAX_LFS_FILESIZE};
	struct mm_struct *mm = tm_mm();
	static u8 buf[PAGE_SIZE];
	struct inode *inode;
	struct file *file;
	u64 pos = 0, reads;
	uva_t at, shared;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(SET("true"), 4);
	CHECK_EQ(do_set_mempolicy(MPOL_BIND, NODE_MASK(0)), 0);
	CHECK_EQ(flatfile_new(&sb, disk, 2000, S_IFREG | 0600, &inode), 0);
	file = file_open(inode, FMODE_READ | FMODE_WRITE, 0, "/f");
	CHECK(file);
	for (u64 i = 0; i < 1000; i++) {
		memset(buf, (int)i, sizeof(buf));
		CHECK_EQ(kernel_write(file, buf, sizeof(buf), &pos),
			 sizeof(buf));
	}
	CHECK_EQ(vfs_fsync_range(file, 0, INT64_MAX, false), 0);
	shared = (uva_t)do_mmap(mm, 0, P(600), TM_RW,
				MAP_SHARED | MAP_ANONYMOUS);
	fill(shared, 0, 600);
	at = map_fast(mm, 1200);
	fill(at, 0, 1200);
	CHECK(demoted() > 300);
	CHECK(node_page_state(NODE_DATA(1), NR_FILE_PAGES) > 100);
	expect(shared, 0, 600);
	expect(at, 0, 1200);
	reads = sum_vm_event(PGPGIN);
	pos = 0;
	for (u64 i = 0; i < 1000; i++) {
		CHECK_EQ(kernel_read(file, buf, sizeof(buf), &pos),
			 sizeof(buf));
		CHECK(buf[0] == (u8)i && buf[PAGE_SIZE - 1] == (u8)i);
	}
	CHECK_EQ(sum_vm_event(PGPGIN), reads);
	fput(file);
	iput(inode);
	CHECK_EQ(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void kinds(void **state)
{
	(void)state;
	TM_RUN(file_body, TWO_NODES);
}

static void with_swap(void **state)
{
	(void)state;
	TM_RUN(full_body, TWO_NODES, .swap_pages = 4096);
	TM_RUN(group_body, TWO_NODES, .swap_pages = 4096);
	TM_RUN(not_wanted_body, TWO_NODES, .swap_pages = 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tiers),
		cmocka_unit_test(instead_of_swap),
		cmocka_unit_test(kinds),
		cmocka_unit_test(with_swap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
