/* SPDX-License-Identifier: MIT */
/*
 * books.h - the counter audit at the exit of the last process, for every world:
 * what was counted before a workload is counted after it, number by number.
 * Needs CHECK-like handling by the includer: books_close() returns how many
 * counters differ and has told them on stderr.
 *
 *	books_open(&b);		at rest, before the first address space
 *	...
 *	settle				stores emptied, daemons quiet
 *	differ = books_close(&b);	after the last one
 */
#ifndef TESTS_BOOKS_H
#define TESTS_BOOKS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/report.h>
#include <mmkit/slab.h>

#include "base/seqbuf.h"
#include "cache/swap.h"
#include "kmem/slab.h"
#include "phys/page.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "space/space.h"

#define BOOKS_MAX 128

struct books {
	u32 nr;
	struct {
		const char *name;
		u64 value;
	} line[BOOKS_MAX];
};

static inline void books_put(struct books *b, const char *name, u64 value)
{
	if (b->nr == BOOKS_MAX)
		abort();
	b->line[b->nr].name = name;
	b->line[b->nr++].value = value;
}

/* Caches whose objects belong to spaces, their files and their swap. */
static inline void books_caches(struct books *b)
{
	const struct space_state *s = &space_sys;

	books_put(b, "mm_struct objects", kmem_cache_active(s->mm_cache));
	books_put(b, "vm_area_struct objects", kmem_cache_active(s->vma_cache));
	books_put(b, "anon_vma objects", kmem_cache_active(s->anon_vma_cache));
	books_put(b, "anon_vma_chain objects", kmem_cache_active(s->avc_cache));
	books_put(b, "radix_tree_node objects",
		  kmem_cache_active(cache_sys.node_cache));
	books_put(b, "swap_bio objects",
		  kmem_cache_active(cache_sys.bio_cache));
	books_put(b, "file objects",
		  kmem_cache_active(cache_sys.fm.file_cache));
}

/*
 * Pages whose last user went while they were on their way to the device stay
 * in the swap cache until reclaim meets them: do what it would do.
 */
static inline void books_drop_orphan(swp_entry_t entry)
{
	struct page *page = lookup_swap_cache(entry);

	if (!page)
		return;
	lock_page(page);
	wait_on_page_writeback(page);
	if (PageSwapCache(page) && page_swap_entry(page).val == entry.val &&
	    !page_mapped(page))
		try_to_free_swap(page);
	unlock_page(page);
	put_page(page);
}

static inline void books_drop_orphans(void)
{
	for (u32 t = 0; t < cache_sys.nr_swap; t++) {
		if (!swap_area(t))
			continue;
		for (u32 off = 1; off < swap_area(t)->max; off++) {
			swp_entry_t entry = swp_entry(t, off);

			if (swap_slot_cached(entry) && !swap_count(entry))
				books_drop_orphan(entry);
		}
	}
}

/* Items that count what there is; others count what happened. */
static inline bool books_node_item(int item)
{
	return (item >= NR_LRU_BASE && item <= NR_UNEVICTABLE) ||
	       item == NR_ISOLATED_ANON || item == NR_ISOLATED_FILE ||
	       (item >= NR_ANON_MAPPED && item <= NR_SHMEM) ||
	       item == NR_PAGETABLE || item == NR_SWAPCACHE;
}

static inline void books_zone_items(struct books *b)
{
	static const int items[] = {NR_ZONE_INACTIVE_ANON,
				    NR_ZONE_ACTIVE_ANON,
				    NR_ZONE_INACTIVE_FILE,
				    NR_ZONE_ACTIVE_FILE,
				    NR_ZONE_UNEVICTABLE,
				    NR_ZONE_WRITE_PENDING,
				    NR_MLOCK};

	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		books_put(b, vmstat_zone_name(items[i]),
			  global_zone_page_state(items[i]));
}

static inline void books_open(struct books *b)
{
	const struct shmem_sb_info *sbi = cache_sys.shmem.kernel;

	b->nr = 0;
	books_caches(b);
	books_zone_items(b);
	for (int i = 0; i < NR_VM_NODE_STAT_ITEMS; i++)
		if (books_node_item(i))
			books_put(b, vmstat_node_name(i),
				  global_node_page_state(i));
	books_put(b, "spaces", space_sys.nr_mms);
	books_put(b, "Committed_AS", space_sys.committed);
	books_put(b, "free swap", get_nr_swap_pages());
	books_put(b, "all swap", cache_sys.total_swap_pages);
	books_put(b, "inodes", cache_sys.fm.nr_inodes);
	books_put(b, "shmem blocks", sbi ? sbi->used_blocks : 0);
	books_put(b, "shmem inodes", sbi ? sbi->used_inodes : 0);
	books_put(b, "bad frames", phys_sys.nr_bad_pages);
}

/* How many counters are not what they were; the audit's findings too. */
static inline int books_close(const struct books *before)
{
	static char text[16384];
	struct books now;
	struct seq_buf s;
	int differ;

	seq_buf_init(&s, text, sizeof(text));
	differ = mm_audit(&s);
	if (differ)
		fprintf(stderr, "%s", text);
	books_open(&now);
	for (u32 i = 0; i < now.nr; i++) {
		if (now.line[i].value == before->line[i].value)
			continue;
		fprintf(stderr, "books: %s: %llu before, %llu after\n",
			now.line[i].name,
			(unsigned long long)before->line[i].value,
			(unsigned long long)now.line[i].value);
		differ++;
	}
	return differ;
}

#endif
