/* SPDX-License-Identifier: MIT */
/*
 * zswap.h - compressed pages in memory, before the swap area. Theory: zswap.c.
 */
#ifndef MM_CACHE_ZSWAP_H
#define MM_CACHE_ZSWAP_H

#include <mmkit/shrinker.h>

#include "arch/paging.h"
#include "base/rbtree.h"
#include "base/seqbuf.h"
#include "base/spinlock.h"
#include "cache/zs_pool.h"

/* One CPU's room to compress in. */
struct zswap_cpu {
	spinlock_t lock;
	u8 *buf;    /* a page */
	u16 *table; /* LZ4_TABLE_SIZE */
};

/* (Z) lock. Parameters may be read and written at any time. */
struct zswap_state {
	bool ready; /* (A) buffers and pool are there */
	u32 enabled, same_filled_pages_enabled, non_same_filled_pages_enabled;
	u32 shrinker_enabled, max_pool_percent, accept_threshold_percent;
	spinlock_t lock;
	struct rb_root tree;	 /* (Z) entries by slot */
	struct list_head lru;	 /* (Z) oldest first */
	struct zs_pool pool;	 /* (Z) */
	u64 stored, same_filled; /* (Z) pages in it; of which are one word */
	bool reached_full;	 /* (Z) no more until below the threshold */
	/* (Z) what happened */
	u64 pool_limit_hit, reject_compress_poor, reject_alloc_fail,
		reject_kmemcache_fail, reject_reclaim_fail, written_back_pages,
		duplicate_entry;
	struct kmem_cache *entry_cache;
	struct zswap_cpu *cpu; /* [port_nr_cpus()] */
	struct shrinker shrinker;
};

struct page;

/* zswap_init: at boot: off, with Linux's parameters. */
void zswap_init(void);
/* zswap_exit: nothing is stored (else a panic): give back what it has. May
 * sleep; nobody swaps meanwhile. */
void zswap_exit(void);

/*
 * zswap_store: keep PAGE, locked, of the swap cache, instead of writing it.
 * False: it must be written; what was stored of its slot is gone. Does not
 * sleep, unless the pool is full: then it starts writes.
 */
bool zswap_store(struct page *page);

/* zswap_load: fill PAGE, locked, of the swap cache. False: it is not here.
 * PG_uptodate is set, or PG_error if what is stored is broken. */
bool zswap_load(struct page *page);

/* zswap_invalidate: ENTRY's slot is free, or about to be written. Any context
 * that may take a lock. */
void zswap_invalidate(swp_entry_t entry);

/* zswap_writeback: write NR of the oldest pages to their areas; how many were
 * started. May sleep for memory, not for I/O. */
u32 zswap_writeback(u32 nr);

/* zswap_pool_pages: frames that it has. zswap_check: recount. Panics. */
u64 zswap_pool_pages(void);
void zswap_check(void);

/*
 * zswap_param_show: /sys/module/zswap/parameters/NAME; zswap_param_store: set
 * it. 0; -ENOENT; -EINVAL; -ENOMEM (enabling). zswap_debug_show: a number of
 * /sys/kernel/debug/zswap. May sleep.
 */
int zswap_param_show(const char *name, struct seq_buf *out);
int zswap_param_store(const char *name, const char *text, size_t len);
int zswap_debug_show(const char *name, struct seq_buf *out);

#endif
