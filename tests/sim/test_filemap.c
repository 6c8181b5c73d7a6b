/* SPDX-License-Identifier: MIT */
/*
 * The page cache function by function: look-up, coming and going, marks,
 * errors, truncation, references of inodes and files, writable mappings.
 */
#include "filemap_machine.h"

/* ---- errors told once ------------------------------------------------------
 */

static void errseq_rules(void **state)
{
	errseq_t e = 0, a, b;

	(void)state;
	a = errseq_sample(&e);
	assert_int_equal(errseq_check(&e, a), 0);
	errseq_set(&e, -EIO);
	/* Both who was there and who comes before anybody looked. */
	b = errseq_sample(&e);
	assert_int_equal(errseq_check(&e, a), -EIO);
	assert_int_equal(errseq_check_and_advance(&e, &a), -EIO);
	assert_int_equal(errseq_check_and_advance(&e, &a), 0);
	assert_int_equal(errseq_check_and_advance(&e, &b), -EIO);
	/* It was seen: not for those who come now. */
	b = errseq_sample(&e);
	assert_int_equal(errseq_check_and_advance(&e, &b), 0);
	/* The same error again is a new one for both. */
	errseq_set(&e, -EIO);
	assert_int_equal(errseq_check_and_advance(&e, &a), -EIO);
	assert_int_equal(errseq_check_and_advance(&e, &b), -EIO);
	/* Two unseen ones count as one, the last. */
	errseq_set(&e, -EIO);
	errseq_set(&e, -ENOSPC);
	assert_int_equal(errseq_check_and_advance(&e, &a), -ENOSPC);
	assert_int_equal(errseq_check_and_advance(&e, &a), 0);
}

/* ---- objects ---------------------------------------------------------------
 */

static int objects_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(0);
	struct address_space *m = fi->inode.i_mapping;
	struct file *f;

	(void)arg;
	CHECK_EQ(cache_sys.fm.nr_inodes, 1);
	f = file_open(&fi->inode, FMODE_READ, 0, "/a");
	CHECK(f);
	CHECK_EQ(fi->inode.i_count, 2);
	get_file(f);
	fput(f);
	iput(&fi->inode);
	CHECK(!fi->released);
	/* Writers and those who forbid them exclude each other. */
	CHECK_EQ(mapping_map_writable(m), 0);
	CHECK_EQ(mapping_map_writable(m), 0);
	CHECK_EQ(mapping_deny_writable(m), -EBUSY);
	CHECK(mapping_writably_mapped(m));
	mapping_unmap_writable(m);
	mapping_unmap_writable(m);
	CHECK_EQ(mapping_deny_writable(m), 0);
	CHECK_EQ(mapping_map_writable(m), -EPERM);
	CHECK(!mapping_writably_mapped(m));
	mapping_allow_writable(m);
	CHECK_EQ(mapping_map_writable(m), 0);
	mapping_unmap_writable(m);
	fput(f);
	CHECK(fi->released);
	CHECK_EQ(cache_sys.fm.nr_inodes, 0);
	free(fi->store);
	free(fi);
	return 0;
}

static void objects(void **state)
{
	(void)state;
	TM_RUN(objects_body);
}

/* ---- in, found, out --------------------------------------------------------
 */

static int lookup_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(0);
	struct address_space *m = fi->inode.i_mapping;
	static const u64 at[] = {0, 1, 63, 64, 4096, 1UL << 20, UINT32_MAX};
	u64 start = global_node_page_state(NR_FILE_PAGES), next;
	struct page *pages[16], *p;

	(void)arg;
	CHECK(find_get_page(m, 5) == NULL && find_lock_page(m, 5) == NULL);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		p = pagecache_get_page(m, at[i], FGP_CREAT, m->gfp_mask);
		CHECK(p && PageLocked(p) && !PageUptodate(p));
		CHECK_EQ(page_count(p), 3); /* cache, LRU batch, us */
		CHECK(page_mapping(p) == m && page_index(p) == at[i]);
		unlock_page(p);
		put_page(p);
	}
	CHECK_EQ(m->nrpages, ARRAY_SIZE(at));
	CHECK_EQ(global_node_page_state(NR_FILE_PAGES), start + ARRAY_SIZE(at));
	/* A second page for a number is refused and stays the caller's. */
	p = alloc_pages(m->gfp_mask, 0);
	CHECK_EQ(add_to_page_cache_lru(p, m, 63, GFP_KERNEL), -EEXIST);
	CHECK(!PageLocked(p) && page_count(p) == 1 && !page_mapping_word(p));
	put_page(p);
	next = 1;
	CHECK_EQ(find_get_pages_range(m, &next, 4095, 16, pages), 3);
	CHECK_EQ(next, 65);
	for (int i = 0; i < 3; i++)
		put_page(pages[i]);
	CHECK_EQ(page_cache_next_miss(m, 0, 10), 2);
	CHECK_EQ(page_cache_next_miss(m, 0, 1), 1);
	CHECK_EQ(page_cache_prev_miss(m, 1, 10), ~0UL);
	CHECK_EQ(page_cache_prev_miss(m, 64, 10), 62);
	CHECK(filemap_range_has_page(m, 65, 4096));
	CHECK(!filemap_range_has_page(m, 65, 4095));
	/* FGP_NOWAIT does not wait for a lock. */
	p = find_lock_page(m, 64);
	CHECK(p && page_index(p) == 64);
	CHECK(!pagecache_get_page(m, 64, FGP_LOCK | FGP_NOWAIT, m->gfp_mask));
	delete_from_page_cache(p);
	CHECK(!page_mapping_word(p));
	unlock_page(p);
	put_page(p);
	CHECK(find_get_page(m, 64) == NULL);
	filemap_check();
	truncate_inode_pages_range(m, 0, ~0UL);
	CHECK_EQ(m->nrpages, 0);
	CHECK_EQ(global_node_page_state(NR_FILE_PAGES), start);
	fm_inode_drop(fi);
	return 0;
}

static void lookup(void **state)
{
	(void)state;
	TM_RUN(lookup_body);
}

/* Reclaim's way out: only who is alone with the page gets it. */
static int evict_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(0);
	struct address_space *m = fi->inode.i_mapping;
	struct page *p = pagecache_get_page(m, 7, FGP_CREAT, m->gfp_mask);
	struct mm_task_io io;

	(void)arg;
	lru_add_drain_all();
	CHECK_EQ(page_count(p), 2);
	get_page(p);
	CHECK(!filemap_evict(p, 2, true)); /* somebody else */
	put_page(p);
	io = port_current()->io;
	CHECK(set_page_dirty(p));
	CHECK(!set_page_dirty(p));
	/* A page that was dirty before is no second one to be written. */
	CHECK_EQ(port_current()->io.write_bytes, io.write_bytes + PAGE_SIZE);
	CHECK(!filemap_evict(p, 2, true)); /* would be lost */
	CHECK_EQ(page_count(p), 2);
	CHECK(page_mapping(p) == m);
	cancel_dirty_page(p);
	cancel_dirty_page(p);
	CHECK_EQ(port_current()->io.cancelled_write_bytes,
		 io.cancelled_write_bytes + PAGE_SIZE);
	CHECK(lru_isolate_page(p));
	put_page(p);
	CHECK(filemap_evict(p, 2, true));
	CHECK_EQ(m->nrpages, 0);
	CHECK_EQ(m->nrshadows, 1);
	mapping_check(m);
	CHECK(find_get_page(m, 7) == NULL);
	page_ref_unfreeze(p, 1);
	unlock_page(p);
	put_page(p);
	/* It comes back: the shadow is used up and says "soon". */
	p = pagecache_get_page(m, 7, FGP_CREAT, m->gfp_mask);
	CHECK_EQ(m->nrshadows, 0);
	CHECK_EQ(global_node_page_state(WORKINGSET_REFAULT_FILE), 1);
	unlock_page(p);
	put_page(p);
	fm_inode_drop(fi);
	return 0;
}

static void evict(void **state)
{
	(void)state;
	TM_RUN(evict_body);
}

/* ---- partial pages ---------------------------------------------------------
 */

static void fill(struct address_space *m, u64 index, int c)
{
	struct page *p =
		pagecache_get_page(m, index, FGP_CREAT | FGP_LOCK, m->gfp_mask);
	char *view;

	CHECK(p);
	view = page_map(p);
	memset(view, c, PAGE_SIZE);
	page_unmap(p, view);
	SetPageUptodate(p);
	(void)set_page_dirty(p);
	unlock_page(p);
	put_page(p);
}

/* Bytes of page INDEX outside [FROM, TO) are C, inside 0. */
static void expect(struct address_space *m, u64 index, int c, u32 from, u32 to)
{
	struct page *p = find_get_page(m, index);
	const unsigned char *view;

	CHECK(p);
	view = page_map(p);
	for (u32 i = 0; i < PAGE_SIZE; i++)
		CHECK_EQ(view[i], i >= from && i < to ? 0 : c);
	page_unmap(p, (void *)(uintptr_t)view);
	put_page(p);
}

static int truncate_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(0);
	struct address_space *m = fi->inode.i_mapping;

	(void)arg;
	for (u64 i = 0; i < 40; i++)
		fill(m, i, 'a' + (int)(i % 20));
	CHECK_EQ(global_node_page_state(NR_FILE_DIRTY), 40);
	CHECK(mapping_tagged(m, PAGECACHE_TAG_DIRTY));
	/* Within one page; over a border; whole pages with both edges. */
	truncate_inode_pages_range(m, 2 * PAGE_SIZE + 10, 2 * PAGE_SIZE + 19);
	expect(m, 2, 'c', 10, 20);
	truncate_inode_pages_range(m, 4 * PAGE_SIZE - 1, 4 * PAGE_SIZE);
	expect(m, 3, 'd', PAGE_SIZE - 1, PAGE_SIZE);
	expect(m, 4, 'e', 0, 1);
	CHECK_EQ(m->nrpages, 40);
	truncate_inode_pages_range(m, 10 * PAGE_SIZE + 5, 13 * PAGE_SIZE + 6);
	expect(m, 10, 'k', 5, PAGE_SIZE);
	expect(m, 13, 'n', 0, 7);
	CHECK(!find_get_page(m, 11) && !find_get_page(m, 12));
	CHECK_EQ(m->nrpages, 38);
	CHECK_EQ(global_node_page_state(NR_FILE_DIRTY), 38);
	truncate_inode_pages_range(m, 20 * PAGE_SIZE, 21 * PAGE_SIZE - 1);
	expect(m, 19, 't', 0, 0);
	expect(m, 21, 'b', 0, 0);
	CHECK_EQ(m->nrpages, 37);
	filemap_check();
	truncate_inode_pages_range(m, 30 * PAGE_SIZE + 1, ~0UL);
	expect(m, 30, 'k', 1, PAGE_SIZE);
	CHECK(!find_get_page(m, 31));
	truncate_inode_pages_range(m, 0, ~0UL);
	CHECK_EQ(m->nrpages, 0);
	CHECK_EQ(global_node_page_state(NR_FILE_DIRTY), 0);
	CHECK_EQ(global_zone_page_state(NR_ZONE_WRITE_PENDING), 0);
	fm_inode_drop(fi);
	return 0;
}

static void truncate_edges(void **state)
{
	(void)state;
	TM_RUN(truncate_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errseq_rules),	  cmocka_unit_test(objects),
		cmocka_unit_test(lookup),	  cmocka_unit_test(evict),
		cmocka_unit_test(truncate_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
