/* SPDX-License-Identifier: MIT */
/*
 * trace_events.h - every tracepoint of the manager, with its arguments.
 *
 * X(NAME, "system", "name", "arguments in order"): at most six u64 each.
 * Names follow Linux's events where those exist; those of the system "page" are
 * of one page each, which mm (struct mm_struct's serial) may have at address.
 * Formatting is report's.
 * New events are appended; the number of an event is its bit in the mask.
 */
#ifndef MM_BASE_TRACE_EVENTS_H
#define MM_BASE_TRACE_EVENTS_H

#define TRACE_EVENT_LIST(X)                                                    \
	X(MM_PAGE_ALLOC, "kmem", "mm_page_alloc",                              \
	  "pfn order gfp_flags migratetype")                                   \
	X(MM_PAGE_FREE, "kmem", "mm_page_free", "pfn order")                   \
	X(MM_PAGE_ALLOC_EXTFRAG, "kmem", "mm_page_alloc_extfrag",              \
	  "pfn alloc_order fallback_order alloc_mt fallback_mt")               \
	X(MM_PAGE_PCPU_DRAIN, "kmem", "mm_page_pcpu_drain",                    \
	  "pfn order migratetype")                                             \
	X(MM_VMSCAN_KSWAPD_WAKE, "vmscan", "mm_vmscan_kswapd_wake",            \
	  "nid zid order")                                                     \
	X(MM_VMSCAN_KSWAPD_SLEEP, "vmscan", "mm_vmscan_kswapd_sleep", "nid")   \
	X(MM_VMSCAN_WAKEUP_KSWAPD, "vmscan", "mm_vmscan_wakeup_kswapd",        \
	  "nid zid order gfp_flags")                                           \
	X(MM_VMSCAN_DIRECT_RECLAIM_BEGIN, "vmscan",                            \
	  "mm_vmscan_direct_reclaim_begin", "order gfp_flags")                 \
	X(MM_VMSCAN_DIRECT_RECLAIM_END, "vmscan",                              \
	  "mm_vmscan_direct_reclaim_end", "nr_reclaimed")                      \
	X(MM_VMSCAN_LRU_ISOLATE, "vmscan", "mm_vmscan_lru_isolate",            \
	  "nid lru nr_requested nr_scanned nr_taken priority")                 \
	X(MM_VMSCAN_LRU_SHRINK_INACTIVE, "vmscan",                             \
	  "mm_vmscan_lru_shrink_inactive",                                     \
	  "nid lru nr_scanned nr_reclaimed nr_activate priority")              \
	X(MM_VMSCAN_LRU_SHRINK_ACTIVE, "vmscan",                               \
	  "mm_vmscan_lru_shrink_active",                                       \
	  "nid lru nr_taken nr_active nr_deactivated priority")                \
	X(MM_LRU_INSERTION, "pagemap", "mm_lru_insertion", "pfn lru")          \
	X(MM_LRU_ACTIVATE, "pagemap", "mm_lru_activate", "pfn")                \
	X(PAGE_FAULT_USER, "exceptions", "page_fault_user",                    \
	  "address mm error_code result")                                      \
	X(SWAP_OUT, "swap", "swap_out", "pfn type offset")                     \
	X(SWAP_IN, "swap", "swap_in", "pfn type offset readahead")             \
	X(OOM_KILL, "oom", "oom_kill", "pid points total_vm_pages rss_pages")  \
	X(MM_REFAULT, "workingset", "mm_refault", "pfn distance activate")     \
	X(TEST_EVENT, "test", "test_event", "a b c d e f")                     \
	X(KMALLOC, "kmem", "kmalloc",                                          \
	  "call_site ptr bytes_req bytes_alloc gfp_flags node")                \
	X(KFREE, "kmem", "kfree", "call_site ptr")                             \
	X(KMEM_CACHE_ALLOC, "kmem", "kmem_cache_alloc",                        \
	  "call_site ptr bytes_req bytes_alloc gfp_flags node")                \
	X(KMEM_CACHE_FREE, "kmem", "kmem_cache_free", "call_site ptr name")    \
	X(MM_FILEMAP_ADD_TO_PAGE_CACHE, "filemap",                             \
	  "mm_filemap_add_to_page_cache", "pfn i_ino index s_dev")             \
	X(MM_FILEMAP_DELETE_FROM_PAGE_CACHE, "filemap",                        \
	  "mm_filemap_delete_from_page_cache", "pfn i_ino index s_dev")        \
	X(FILEMAP_SET_WB_ERR, "filemap", "filemap_set_wb_err",                 \
	  "i_ino s_dev errseq")                                                \
	X(FILE_CHECK_AND_ADVANCE_WB_ERR, "filemap",                            \
	  "file_check_and_advance_wb_err", "i_ino s_dev old new")              \
	X(MM_MIGRATE_PAGES, "migrate", "mm_migrate_pages",                     \
	  "succeeded failed mode reason")                                      \
	X(SET_MIGRATION_PTE, "migrate", "set_migration_pte", "addr pte order") \
	X(REMOVE_MIGRATION_PTE, "migrate", "remove_migration_pte",             \
	  "addr pte order")                                                    \
	X(MM_COMPACTION_ISOLATE_MIGRATEPAGES, "compaction",                    \
	  "mm_compaction_isolate_migratepages",                                \
	  "start_pfn end_pfn nr_scanned nr_taken")                             \
	X(MM_COMPACTION_ISOLATE_FREEPAGES, "compaction",                       \
	  "mm_compaction_isolate_freepages",                                   \
	  "start_pfn end_pfn nr_scanned nr_taken")                             \
	X(MM_COMPACTION_MIGRATEPAGES, "compaction",                            \
	  "mm_compaction_migratepages", "nr_migrated nr_failed")               \
	X(MM_COMPACTION_BEGIN, "compaction", "mm_compaction_begin",            \
	  "zone_start migrate_pfn free_pfn zone_end sync")                     \
	X(MM_COMPACTION_END, "compaction", "mm_compaction_end",                \
	  "zone_start migrate_pfn free_pfn zone_end sync status")              \
	X(MM_COMPACTION_TRY_TO_COMPACT_PAGES, "compaction",                    \
	  "mm_compaction_try_to_compact_pages", "order gfp_mask prio")         \
	X(MM_COMPACTION_FINISHED, "compaction", "mm_compaction_finished",      \
	  "nid idx order ret")                                                 \
	X(MM_COMPACTION_SUITABLE, "compaction", "mm_compaction_suitable",      \
	  "nid idx order ret")                                                 \
	X(MM_COMPACTION_DEFERRED, "compaction", "mm_compaction_deferred",      \
	  "nid idx order considered defer_shift order_failed")                 \
	X(MM_COMPACTION_DEFER_COMPACTION, "compaction",                        \
	  "mm_compaction_defer_compaction",                                    \
	  "nid idx order considered defer_shift order_failed")                 \
	X(MM_COMPACTION_DEFER_RESET, "compaction",                             \
	  "mm_compaction_defer_reset",                                         \
	  "nid idx order considered defer_shift order_failed")                 \
	X(MM_COMPACTION_KCOMPACTD_SLEEP, "compaction",                         \
	  "mm_compaction_kcompactd_sleep", "nid")                              \
	X(MM_COMPACTION_WAKEUP_KCOMPACTD, "compaction",                        \
	  "mm_compaction_wakeup_kcompactd", "nid order highest_zoneidx")       \
	X(MM_COMPACTION_KCOMPACTD_WAKE, "compaction",                          \
	  "mm_compaction_kcompactd_wake", "nid order highest_zoneidx")         \
	X(KSM_START_SCAN, "ksm", "ksm_start_scan", "seq rmap_entries")         \
	X(KSM_STOP_SCAN, "ksm", "ksm_stop_scan", "seq rmap_entries")           \
	X(KSM_ENTER, "ksm", "ksm_enter", "mm")                                 \
	X(KSM_EXIT, "ksm", "ksm_exit", "mm")                                   \
	X(KSM_MERGE_ONE_PAGE, "ksm", "ksm_merge_one_page",                     \
	  "pfn rmap_item mm err")                                              \
	X(KSM_MERGE_WITH_KSM_PAGE, "ksm", "ksm_merge_with_ksm_page",           \
	  "ksm_page pfn rmap_item mm err")                                     \
	X(KSM_REMOVE_KSM_PAGE, "ksm", "ksm_remove_ksm_page", "pfn")            \
	X(KSM_ADVISOR, "ksm", "ksm_advisor",                                   \
	  "scan_time pages_to_scan cpu_percent")                               \
	X(PAGE_MAP, "page", "page_map", "pfn mm address how")                  \
	X(PAGE_UNMAP, "page", "page_unmap", "pfn mm address why")              \
	X(PAGE_COW, "page", "page_cow", "pfn copy mm address")                 \
	X(PAGE_REFERENCED, "page", "page_referenced", "pfn mappings vm_flags") \
	X(PAGE_DEACTIVATE, "page", "page_deactivate", "pfn")                   \
	X(PAGE_ISOLATE, "page", "page_isolate", "pfn priority")                \
	X(PAGE_VERDICT, "page", "page_verdict", "pfn verdict")                 \
	X(PAGE_MIGRATE, "page", "page_migrate", "pfn new_pfn reason")          \
	X(PAGE_MERGE, "page", "page_merge", "pfn ksm_pfn mm address")

/* page_map's HOW and page_unmap's WHY. */
enum page_map_how {
	PAGE_MAP_NEW,	/* anonymous, nobody had it */
	PAGE_MAP_SWAP,	/* of the swap cache */
	PAGE_MAP_FILE,	/* of the page cache */
	PAGE_MAP_FORK,	/* as the parent's */
	PAGE_MAP_MOVED, /* in place of the frame it was in */
	PAGE_MAP_KSM	/* of equal contents */
};

enum page_unmap_why {
	PAGE_UNMAP_ZAP,	    /* munmap(), exit, MADV_DONTNEED ... */
	PAGE_UNMAP_RECLAIM, /* the entry names its slot or file now */
	PAGE_UNMAP_LAZY,    /* MADV_FREE */
	PAGE_UNMAP_MOVE,    /* a migration entry stands for it */
	PAGE_UNMAP_COW,	    /* a copy has its place */
	PAGE_UNMAP_KSM,	    /* a page of KSM has its place */
	PAGE_UNMAP_HUGE,    /* a large page has its place */
	PAGE_UNMAP_POISON   /* its frame is bad */
};

enum trace_event {
#define TRACE_EVENT_ENUM(name, sys, text, args) TRACE_##name,
	TRACE_EVENT_LIST(TRACE_EVENT_ENUM)
#undef TRACE_EVENT_ENUM
		NR_TRACE_EVENTS
};

#endif
