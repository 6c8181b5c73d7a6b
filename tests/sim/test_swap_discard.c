/* SPDX-License-Identifier: MIT */
/*
 * Swap that is discarded. The simulated disk fills what it was told to forget
 * with rubbish: a slot that somebody still has, or gets before the disk has
 * answered, would be noticed by the contents of pages.
 */
#include "sim_machine.h"

#include "base/fail.h"
#include "base/prng.h"
#include "sim_costs.h"

#define P(n)   ((u64)(n) << PAGE_SHIFT)
#define SLOTS  4096u
#define MOST   1024u /* pages that a request may name */
#define BOTH   (SWAP_DISCARD_ONCE | SWAP_DISCARD_PAGES)
#define SPACES 5u

static struct port_bdev *disk;

/* A second disk beside the machine's, with a header and MAX pages in one
 * request to forget; rubbish in its slots. */
static void make_disk(u32 max)
{
	static _Alignas(8) char page[PAGE_SIZE];
	struct sim_disk_config dc = {
		.name = "forgets", .size_bytes = P(SLOTS), .discard_max = max};

	CHECK_EQ(sim_disk_open(&disk, &dc, NULL), 0);
	memset(page, 1, sizeof(page));
	for (u32 i = 1; i < SLOTS; i += 511)
		CHECK_EQ(tm_disk_write(disk, i, page), 0);
	memset(page, 0, sizeof(page));
	swap_header_init(page, SLOTS);
	CHECK_EQ(tm_disk_write(disk, 0, page), 0);
}

static struct sim_disk_stats stats(void)
{
	struct sim_disk_stats s;

	sim_disk_stats(disk, &s);
	return s;
}

static void off(void)
{
	port_current()->caps |= MM_CAP_SYS_ADMIN;
	CHECK_EQ(swapoff(disk), 0);
}

/* ---- all of it ------------------------------------------------------------
 */

static int once_body(void *arg)
{
	struct sim_disk_fault no = {.discards = true, .error = -EIO};
	u64 before;

	(void)arg;
	make_disk(MOST);
	CHECK_EQ(swapon_as(disk, NULL, 1, SWAP_DISCARD_ONCE), 0);
	CHECK(tm_logged("Adding 16380k swap on forgets.  Priority:1 extents:1 "
			"across:16380k Ds\n"));
	CHECK_EQ(stats().discarded, SLOTS - 1);
	CHECK_EQ(stats().discards, DIV_ROUND_UP(SLOTS - 1, MOST));
	/* It is in use: nothing of it may be forgotten now. */
	CHECK_EQ(swapon_as(disk, NULL, 1, SWAP_DISCARD_ONCE), -EBUSY);
	CHECK_EQ(stats().discarded, SLOTS - 1);
	off();
	/* The header is there. */
	CHECK(swapon_as(disk, NULL, 1, SWAP_DISCARD_PAGES) >= 0);
	CHECK(tm_logged("across:16380k Dc\n"));
	CHECK_EQ(stats().discarded, SLOTS - 1);
	off();
	CHECK_EQ(swapon_as(disk, NULL, 1, 0), 0);
	CHECK_EQ(stats().discarded, SLOTS - 1);
	off();
	/* A disk that refuses is told of; it is swap all the same. */
	sim_disk_fail(disk, &no);
	CHECK_EQ(swapon_as(disk, NULL, 1, BOTH), 0);
	CHECK(tm_logged("discard_swap(forgets): -5\n"));
	CHECK(tm_logged("across:16380k Dsc\n"));
	off();
	/* Without memory there is none, and all is as before. */
	before = get_nr_swap_pages();
	for (u64 nth = 1; nth < 30; nth++) {
		int err;

		fail_arm_nth(FAIL_MASK(FAIL_SLAB) | FAIL_MASK(FAIL_PAGE_ALLOC),
			     nth, false);
		err = swapon_as(disk, NULL, 1, BOTH);
		fail_disarm();
		if (!err)
			off();
		CHECK(!err || err == -ENOMEM);
		CHECK_EQ(get_nr_swap_pages(), before);
	}
	return 0;
}

/* A disk that cannot, and one that takes less at once than a cluster has. */
static int cannot_body(void *arg)
{
	(void)arg;
	make_disk(0);
	CHECK_EQ(port_bdev_discard_max(disk), 0);
	CHECK_EQ(swapon_as(disk, NULL, 1, BOTH), 0);
	CHECK(tm_logged("across:16380k\n"));
	CHECK_EQ(stats().discards, 0);
	off();
	make_disk(SWAPFILE_CLUSTER - 1);
	CHECK_EQ(swapon_as(disk, NULL, 1, BOTH), 0);
	CHECK(tm_logged("across:16380k Ds\n"));
	CHECK_EQ(stats().discarded, SLOTS - 1);
	off();
	return 0;
}

static void once(void **state)
{
	(void)state;
	TM_RUN(once_body, .mem = 16UL << 20);
	TM_RUN(cannot_body, .mem = 16UL << 20);
}

/* ---- clusters -------------------------------------------------------------
 */

/* Written through one space after the other, which end in any order: slots are
 * freed and taken all the time. */
struct life {
	struct mm_struct *mm;
	uva_t at;
	u64 pages, salt;
};

static void begin(struct life *l, u64 pages, u64 salt)
{
	*l = (struct life){.mm = tm_mm(), .pages = pages, .salt = salt};
	tm_use(l->mm);
	l->at = (uva_t)do_mmap(l->mm, 0, P(pages), TM_RW,
			       TM_ANON | MAP_NORESERVE);
	for (u64 i = 0; i < pages; i++)
		tm_store(l->at + P(i), salt * 100000 + i);
}

static void look(const struct life *l)
{
	tm_use(l->mm);
	for (u64 i = 0; i < l->pages; i++)
		CHECK_EQ(tm_load(l->at + P(i)), l->salt * 100000 + i);
}

static void end(struct life *l)
{
	if (!l->mm)
		return;
	look(l);
	tm_use(NULL);
	mm_put(l->mm);
	l->mm = NULL;
}

static int clusters_body(void *arg)
{
	struct life l[SPACES] = {{0}};
	struct prng r;
	u64 salt = 1;

	prng_seed(&r, tm.cfg.seed);
	make_disk(MOST);
	if (arg)
		sim_disk_fail(disk, arg);
	CHECK(swapon_as(disk, NULL, 1, SWAP_DISCARD_PAGES) >= 0);
	for (u32 i = 0; i < 24; i++) {
		struct life *one = &l[prng_below(&r, SPACES)];

		end(one);
		begin(one, prng_range(&r, 200, 900), salt++);
		swap_check();
		if (i == 12) {
			off();
			CHECK(swapon_as(disk, NULL, 1, SWAP_DISCARD_PAGES) >=
			      0);
		}
	}
	for (u32 i = 0; i < SPACES; i++)
		end(&l[i]);
	tm_use(NULL);
	port_park(50 * 1000 * 1000);
	swap_check();
	CHECK(stats().writes > SWAPFILE_CLUSTER);
	CHECK(stats().discards > 2);
	CHECK(arg || stats().discarded >= stats().discards * SWAPFILE_CLUSTER);
	CHECK(!arg || !stats().discarded);
	off();
	return 0;
}

static void clusters(void **state)
{
	struct sim_disk_fault no = {.discards = true, .error = -EIO};
	u64 first = test_first(), n = test_share(tm_soak() ? 100 : 6);

	(void)state;
	for (u64 seed = first; seed < first + n; seed++) {
		TM_RUN(clusters_body, .mem = 8UL << 20, .swap_pages = 4096,
		       .seed = seed, .cpus = 1 + (int)(seed % 3),
		       .explore = seed % 2);
		TM_RUN(clusters_body, .arg = &no, .mem = 8UL << 20,
		       .swap_pages = 4096, .seed = seed);
	}
}

/* While the disk is told of a cluster nobody gets a slot of it, and swapoff
 * waits. */
static int away_body(void *arg)
{
	static swp_entry_t got[SLOTS];
	struct swap_info *si;
	struct life l = {0};
	u64 before;
	u32 nr = 0;

	(void)arg;
	make_disk(MOST);
	CHECK(swapon_as(disk, NULL, 1, SWAP_DISCARD_PAGES) >= 0);
	si = cache_sys.swap[1];
	CHECK(si && si->bdev == disk);
	begin(&l, 3000, 7);
	sim_costs.disk_seek_ns = 1000UL * 1000 * 1000;
	end(&l);
	CHECK(si->discard.nr > 0);
	/* All that there is, but for those. */
	while (nr < SLOTS && (got[nr] = get_swap_page()).val) {
		if (swp_type(got[nr]) == 1)
			CHECK(!swap_discard_away(si, (u32)swp_offset(got[nr]) /
							     SWAPFILE_CLUSTER));
		nr++;
	}
	CHECK(nr > SLOTS / 2);
	while (nr)
		swapcache_free(got[--nr]);
	(void)swap_slots_drain();
	CHECK(si->discard.nr > 0);
	before = stats().discarded;
	off();
	CHECK(stats().discarded >= before + SWAPFILE_CLUSTER);
	return 0;
}

static void away(void **state)
{
	(void)state;
	TM_RUN(away_body, .mem = 8UL << 20, .swap_pages = 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once),
		cmocka_unit_test(clusters),
		cmocka_unit_test(away),
	};

	return cmocka_run_group_tests_name("swap_discard", tests, NULL, NULL);
}
