/* SPDX-License-Identifier: MIT */
/*
 * Files in memory and swap under real threads: readers, writers, truncation,
 * holes, fallocate and reclaim on one file. Words of page I hold I + 1 in their
 * low byte, both words of a page alike, or are zero.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include <mmkit/boot.h>
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/prng.h"
#include "host.h"
#include "host_swap.h"
#include "phys/e820.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"

#define PAGES	   8u
#define THREADS	   6
#define SWAP_PAGES 256u
#define P(n)	   ((u64)(n) << PAGE_SHIFT)

static struct e820_table map;

struct race {
	u64 seed, iters;
	struct file *f;
	u64 next;			   /* threads started */
	u64 reads, writes, cuts, reclaims; /* done */
};

static s64 io(struct file *f, void *buf, u64 n, u64 pos, bool write)
{
	struct iov_iter it = {.count = n, .buf = buf, .write = write};

	return write ? f->f_op->write_iter(f, &it, &pos)
		     : f->f_op->read_iter(f, &it, &pos);
}

static void step_read(struct race *r, u64 page)
{
	u64 v = 0;
	s64 n = io(r->f, &v, sizeof(v), P(page), false);

	mm_verify(n == 0 || n == sizeof(v));
	__atomic_fetch_add(&r->reads, 1, __ATOMIC_RELAXED);
}

static void step_write(struct race *r, u64 page, u64 what)
{
	u64 v = what << 8 | (page + 1);

	mm_verify(io(r->f, &v, sizeof(v), P(page), true) == sizeof(v));
	__atomic_fetch_add(&r->writes, 1, __ATOMIC_RELAXED);
}

static void step_cut(struct race *r, u64 page, u64 kind)
{
	struct inode *inode = r->f->f_inode;
	int err;

	if (kind == 0)
		err = shmem_truncate(inode, P(page));
	else if (kind == 1)
		err = vfs_fallocate(r->f,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    (s64)P(page), (s64)P(2));
	else
		err = vfs_fallocate(r->f, 0, (s64)P(page), (s64)P(2));
	mm_verify(err == 0);
	__atomic_fetch_add(&r->cuts, 1, __ATOMIC_RELAXED);
}

static void step_reclaim(struct race *r, u64 index)
{
	struct scan_control sc = {.gfp = GFP_KERNEL,
				  .may_writepage = true,
				  .may_unmap = true,
				  .may_swap = true};
	struct page *page = find_get_page(r->f->f_mapping, index);
	struct reclaim_stat stat = {0};
	struct page_list list;

	if (!page)
		return;
	lru_add_drain_all();
	page_list_init(&list);
	if (lru_isolate_page(page)) {
		put_page(page);
		ClearPageActive(page);
		page_list_add(&list, page);
		shrink_page_list(&list, NODE_DATA(0), &sc, &stat);
		page = page_list_pop(&list);
		if (page)
			lru_putback_page(page);
	} else {
		put_page(page);
	}
	__atomic_fetch_add(&r->reclaims, 1, __ATOMIC_RELAXED);
}

static void race_thread(void *arg)
{
	struct race *r = arg;
	struct prng p;

	prng_seed(&p, r->seed * 100 + __atomic_fetch_add(&r->next, 1,
							 __ATOMIC_RELAXED));
	for (u64 i = 0; i < r->iters; i++) {
		u64 page = prng_below(&p, PAGES);

		switch (prng_below(&p, 8)) {
		case 0:
			step_cut(r, page, prng_below(&p, 3));
			break;
		case 1:
		case 2:
			step_write(r, page, i);
			break;
		case 3:
		case 4:
			step_reclaim(r, page);
			break;
		default:
			step_read(r, page);
		}
	}
}

/* At rest: every page's word is its own or zero. */
static void contents(struct race *r)
{
	for (u64 page = 0; page < PAGES; page++) {
		u64 v = 0;

		(void)io(r->f, &v, sizeof(v), P(page), false);
		mm_verify(v == 0 || (v & 0xff) == page + 1);
	}
}

static int machine_main(void *arg)
{
	struct mm_boot_params params = {.map = &map};
	struct port_thread *t[THREADS];
	struct race *r = arg;
	struct port_bdev *disk;

	if (mm_boot(&params))
		return 1;
	disk = host_swap(SWAP_PAGES, 0);
	r->f = memfd_create_file("race", 0);
	mm_verify(!IS_ERR(r->f));
	for (int i = 0; i < THREADS; i++)
		mm_verify(
			!port_thread_start(&t[i], "race", -1, race_thread, r));
	for (int i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
	mm_verify(r->reads && r->writes && r->cuts && r->reclaims);
	contents(r);
	shmem_check();
	filemap_check();
	fput(r->f);
	shmem_check();
	mm_verify(global_node_page_state(NR_SHMEM) == 0);
	mm_shutdown();
	host_disk_close(disk);
	return 0;
}

static void one_file(void **state)
{
	struct host_config cfg = {
		.cpus = 16, .ram_max = 1UL << 30, .console_level = 4};
	const char *seed = getenv("SEED"), *iters = getenv("ITERS");
	struct race r = {
		.seed = seed ? strtoull(seed, NULL, 0) : 1,
		.iters = iters ? strtoull(iters, NULL, 0) : 1500,
	};

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", r.seed, r.iters);
	e820_init(&map);
	assert_int_equal(e820_add(&map, 0, 8UL << 20, E820_TYPE_RAM), 0);
	mm_reset();
	assert_int_equal(host_init(&cfg), 0);
	assert_int_equal(host_run(machine_main, &r), 0);
	assert_int_equal(host_shutdown(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(one_file)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
