/* SPDX-License-Identifier: MIT */
/*
 * Swap in files: where their pages lie is asked once; holes, pieces and other
 * disks are refused or left out; the file cannot change while swap is in it;
 * swapoff looks only at spaces that have entries of the area.
 */
#include "sim_machine.h"

#include "base/fail.h"
#include "filemap_machine.h"

#define P(n)  ((u64)(n) << PAGE_SHIFT)
#define PAGES 700u
#define DISK  1500u

/* Where the file's pages lie: page I at WHERE[I] of the disk; NOWHERE: a hole;
 * PIECES: no whole page. */
#define NOWHERE UINT64_MAX
#define PIECES	(UINT64_MAX - 1)
static struct {
	struct port_bdev *disk, *other; /* OTHER: of page OTHER_AT */
	u64 where[PAGES], other_at;
	u64 asked;
} sf;

static int sf_bmap(struct address_space *mapping, u64 index,
		   struct port_bdev **bdev, u64 *disk)
{
	(void)mapping;
	CHECK(index < PAGES);
	sf.asked++;
	if (sf.where[index] == NOWHERE)
		return -ENXIO;
	if (sf.where[index] == PIECES)
		return -EXDEV;
	*bdev = index == sf.other_at ? sf.other : sf.disk;
	*disk = sf.where[index];
	return 0;
}

static const struct address_space_operations sf_aops = {
	.readpage = fm_readpage,
	.writepage = fm_writepage,
	.bmap = sf_bmap,
};

/* Runs of four pages, each somewhere else; the header says PAGES. */
static void sf_layout(void)
{
	static _Alignas(8) char header[PAGE_SIZE];

	sf.other_at = NOWHERE;
	for (u64 i = 0; i < PAGES; i++)
		sf.where[i] = (i / 4 * 89 % 175) * 8 + 40 + i % 4;
	swap_header_init(header, PAGES);
	CHECK_EQ(tm_disk_write(sf.disk, sf.where[0], header), 0);
}

static struct fm_inode *sf_inode(void)
{
	struct fm_inode *fi = fm_inode_new(PAGES);

	memset(&sf, 0, sizeof(sf));
	sf.disk = tm_disk(DISK);
	fi->inode.i_mapping->a_ops = &sf_aops;
	sf_layout();
	return fi;
}

/* Everything goes out to the file's pages, and comes back. */
static int way_body(void *arg)
{
	struct fm_inode *fi = sf_inode();
	struct file *f =
		file_open(&fi->inode, FMODE_READ | FMODE_WRITE, 0, "swapfile");
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, 300);
	static char text[4096];
	struct seq_buf s;
	u64 pos = 0;

	(void)arg;
	sf.where[5] = PIECES;
	sf.where[6] = PIECES;
	sf.where[PAGES - 1] = PIECES;
	CHECK_EQ(swapon_file(f, "/swap file", 3, 0), 0);
	CHECK_EQ(sf.asked, PAGES);
	CHECK_EQ(get_nr_swap_pages(), PAGES - 1 - 3);
	CHECK_EQ(swapon_file(f, "again", 3, 0), -EBUSY);
	CHECK_EQ(kernel_write(f, "x", 1, &pos), -ETXTBSY);
	seq_buf_init(&s, text, sizeof(text));
	CHECK_EQ(mm_show("/proc/swaps", &s), 0);
	CHECK(strstr(text, "/swap\\040file") && strstr(text, "file\t"));
	tm_use(mm);
	for (u64 i = 0; i < 300; i++)
		tm_store(at + P(i), 7000 + i);
	for (u64 i = 0; i < 300; i++) {
		u64 slot;

		tm_swap_out(mm, at + P(i));
		slot = swp_offset(pte_to_swp_entry(tm_pte(mm, at + P(i))));
		CHECK(slot < PAGES && sf.where[slot] < PIECES);
		CHECK_EQ(swap_disk_page(cache_sys.swap[0], (u32)slot),
			 sf.where[slot]);
	}
	for (u64 i = 0; i < 300; i += 2)
		CHECK_EQ(tm_load(at + P(i)), 7000 + i);
	port_current()->caps = MM_CAP_SYS_ADMIN;
	CHECK_EQ(swapoff(sf.disk), -EINVAL);
	CHECK_EQ(swapoff_file(&fi->inode), 0);
	CHECK_EQ(swapoff_file(&fi->inode), -EINVAL);
	for (u64 i = 0; i < 300; i++)
		CHECK_EQ(tm_load(at + P(i)), 7000 + i);
	CHECK(!(fi->inode.i_flags & S_SWAPFILE));
	CHECK_EQ(sf.asked, PAGES);
	mm_put(mm);
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

/* What is refused leaves nothing behind. */
static int refused_body(void *arg)
{
	struct fm_inode *fi = sf_inode();
	struct file *f =
		file_open(&fi->inode, FMODE_READ | FMODE_WRITE, 0, "swapfile");

	(void)arg;
	sf.where[50] = NOWHERE;
	CHECK_EQ(swapon_file(f, "s", 0, 0), -EINVAL);
	CHECK(tm_logged("swapfile has holes"));
	sf_layout();
	sf.where[0] = PIECES;
	CHECK_EQ(swapon_file(f, "s", 0, 0), -EINVAL);
	sf_layout();
	sf.other = tm_disk(DISK);
	sf.other_at = 600;
	CHECK_EQ(swapon_file(f, "s", 0, 0), -EINVAL);
	sf_layout();
	sf.where[0] = 1; /* no header there */
	CHECK_EQ(swapon_file(f, "s", 0, 0), -EINVAL);
	sf_layout();
	i_size_write(&fi->inode, P(PAGES - 1));
	CHECK_EQ(swapon_file(f, "s", 0, 0), -EINVAL);
	i_size_write(&fi->inode, P(PAGES));
	fi->inode.i_mapping->a_ops = &fm_aops;
	CHECK_EQ(swapon_file(f, "s", 0, 0), -EINVAL);
	fi->inode.i_mapping->a_ops = &sf_aops;
	for (u64 n = 1;; n++) {
		int err;

		fail_arm_nth(FAIL_ALL, n, false);
		err = swapon_file(f, "s", 0, 0);
		if (!fail_disarm().fired) {
			CHECK_EQ(err, 0);
			break;
		}
		if (err >= 0) { /* it did without */
			swap_areas_release();
			continue;
		}
		CHECK(err == -ENOMEM || err == -EIO);
		CHECK(!(fi->inode.i_flags & S_SWAPFILE));
		CHECK_EQ(get_nr_swap_pages(), 0);
	}
	swap_areas_release();
	CHECK(!(fi->inode.i_flags & S_SWAPFILE));
	fput(f);
	fm_inode_drop(fi);
	return 0;
}

/* Of many spaces only those that have entries of the area are looked at; a
 * child of one of them is one, too. */
static int walks_body(void *arg)
{
	struct port_bdev *other = tm_swap_disk(200);
	struct mm_struct *mm[6], *child;
	uva_t at[6];

	(void)arg;
	for (int i = 0; i < 6; i++) {
		mm[i] = tm_mm();
		at[i] = tm_map(mm[i], 2);
	}
	for (int i = 0; i < 6; i++) {
		if (i == 4)
			CHECK_EQ(swapon(other, 9), 1);
		tm_use(mm[i]);
		tm_store(at[i], 10 + (u64)i);
		tm_swap_out(mm[i], at[i]);
	}
	CHECK_EQ(mm_fork(mm[5], &child), 0);
	port_current()->caps = MM_CAP_SYS_ADMIN;
	CHECK_EQ(swapoff(other), 0);
	/* Each once, and a second round for what the first may have missed. */
	CHECK(space_sys.swapoff_walks >= 3 && space_sys.swapoff_walks <= 6);
	for (int i = 0; i < 6; i++) {
		CHECK_EQ(mm[i]->swap_areas, i < 4 ? 1 : 0);
		tm_use(mm[i]);
		CHECK_EQ(tm_load(at[i]), 10 + i);
	}
	tm_use(child);
	CHECK_EQ(tm_load(at[5]), 15);
	tm_use(NULL);
	for (int i = 0; i < 6; i++)
		mm_put(mm[i]);
	mm_put(child);
	return 0;
}

static void way(void **state)
{
	(void)state;
	TM_RUN(way_body);
}

static void refused(void **state)
{
	(void)state;
	TM_RUN(refused_body);
}

static void walks(void **state)
{
	(void)state;
	TM_RUN(walks_body, .swap_pages = 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(way),
		cmocka_unit_test(refused),
		cmocka_unit_test(walks),
	};

	return cmocka_run_group_tests_name("swap_file", tests, NULL, NULL);
}
