/* SPDX-License-Identifier: MIT */
/*
 * trace_events.h - every tracepoint of the manager, with its fields.
 *
 * X(NAME, "system", "name", "fields in order", "text"): at most TRACE_ARGS
 * words. Names, fields and text are Linux's where the event is; those of the
 * systems "page", "swap", "workingset" and "exceptions"' last two fields are
 * the manager's own: "page" tells of one page each, which mm (struct
 * mm_struct's serial) may have at address.
 *
 * Fields: "name"; "name:16" is a string of at most 16 bytes in two words
 * (trace_word()). Text: a field after the other by what it is: %x with 0x, %h
 * hexadecimal, %d, %u, %g GFP flags, %l an LRU list, %R why pages move, %M how
 * hard, %Z a zone's name, %D a device's numbers, %C what became of compaction,
 * %y sync or async, %w which pages reclaim wants, %F flags of a page put on a
 * list, %t why someone waited,
 * %S two to the power of it, %b true or false, %s a string, %- nothing.
 * Formatting is report's.
 *
 * New events are appended; the number of an event is its bit in the mask.
 */
#ifndef MM_BASE_TRACE_EVENTS_H
#define MM_BASE_TRACE_EVENTS_H

#define TRACE_EVENT_LIST(X)                                                    \
	X(MM_PAGE_ALLOC, "kmem", "mm_page_alloc",                              \
	  "pfn order migratetype gfp_flags",                                   \
	  "pfn=%x order=%d migratetype=%d gfp_flags=%g")                       \
	X(MM_PAGE_FREE, "kmem", "mm_page_free", "pfn order",                   \
	  "pfn=%x order=%d")                                                   \
	X(MM_PAGE_ALLOC_EXTFRAG, "kmem", "mm_page_alloc_extfrag",              \
	  "pfn alloc_order fallback_order pageblock_order "                    \
	  "alloc_migratetype fallback_migratetype fragmenting "                \
	  "change_ownership",                                                  \
	  "pfn=%x alloc_order=%d fallback_order=%d "                           \
	  "pageblock_order=%d alloc_migratetype=%d "                           \
	  "fallback_migratetype=%d fragmenting=%d "                            \
	  "change_ownership=%d")                                               \
	X(MM_PAGE_PCPU_DRAIN, "kmem", "mm_page_pcpu_drain",                    \
	  "pfn order migratetype", "pfn=%x order=%d migratetype=%d")           \
	X(MM_VMSCAN_KSWAPD_WAKE, "vmscan", "mm_vmscan_kswapd_wake",            \
	  "nid zid order", "nid=%d%- order=%d")                                \
	X(MM_VMSCAN_KSWAPD_SLEEP, "vmscan", "mm_vmscan_kswapd_sleep", "nid",   \
	  "nid=%d")                                                            \
	X(MM_VMSCAN_WAKEUP_KSWAPD, "vmscan", "mm_vmscan_wakeup_kswapd",        \
	  "nid zid order gfp_flags", "nid=%d%- order=%d gfp_flags=%g")         \
	X(MM_VMSCAN_DIRECT_RECLAIM_BEGIN, "vmscan",                            \
	  "mm_vmscan_direct_reclaim_begin", "order gfp_flags",                 \
	  "order=%d gfp_flags=%g")                                             \
	X(MM_VMSCAN_DIRECT_RECLAIM_END, "vmscan",                              \
	  "mm_vmscan_direct_reclaim_end", "nr_reclaimed", "nr_reclaimed=%u")   \
	X(MM_VMSCAN_LRU_ISOLATE, "vmscan", "mm_vmscan_lru_isolate",            \
	  "isolate_mode highest_zoneidx order nr_requested "                   \
	  "nr_scanned nr_skipped nr_taken lru",                                \
	  "isolate_mode=%d classzone=%d order=%d nr_requested=%u "             \
	  "nr_scanned=%u nr_skipped=%u nr_taken=%u lru=%l")                    \
	X(MM_VMSCAN_LRU_SHRINK_INACTIVE, "vmscan",                             \
	  "mm_vmscan_lru_shrink_inactive",                                     \
	  "nid nr_scanned nr_reclaimed nr_dirty nr_writeback "                 \
	  "nr_immediate nr_activate_anon nr_activate_file "                    \
	  "nr_ref_keep nr_unmap_fail priority reclaim_flags",                  \
	  "nid=%d nr_scanned=%d nr_reclaimed=%d nr_dirty=%d "                  \
	  "nr_writeback=%d nr_congested=0 nr_immediate=%d "                    \
	  "nr_activate_anon=%d nr_activate_file=%d nr_ref_keep=%d "            \
	  "nr_unmap_fail=%d priority=%d flags=%w")                             \
	X(MM_VMSCAN_LRU_SHRINK_ACTIVE, "vmscan",                               \
	  "mm_vmscan_lru_shrink_active",                                       \
	  "nid nr_taken nr_active nr_deactivated nr_referenced "               \
	  "priority reclaim_flags",                                            \
	  "nid=%d nr_taken=%d nr_active=%d nr_deactivated=%d "                 \
	  "nr_referenced=%d priority=%d flags=%w")                             \
	X(MM_LRU_INSERTION, "pagemap", "mm_lru_insertion", "pfn lru flags",    \
	  "pfn=%x lru=%l flags=%F")                                            \
	X(MM_LRU_ACTIVATE, "pagemap", "mm_lru_activate", "pfn", "pfn=%x")      \
	X(PAGE_FAULT_USER, "exceptions", "page_fault_user",                    \
	  "address ip error_code mm result",                                   \
	  "address=%x ip=%x error_code=%x mm=%u result=%x")                    \
	X(SWAP_OUT, "swap", "swap_out", "pfn type offset",                     \
	  "pfn=%x type=%u offset=%u")                                          \
	X(SWAP_IN, "swap", "swap_in", "pfn type offset readahead",             \
	  "pfn=%x type=%u offset=%u readahead=%u")                             \
	X(OOM_KILL, "oom", "oom_kill", "pid points total_vm_pages rss_pages",  \
	  "pid=%d points=%d total_vm_pages=%u rss_pages=%u")                   \
	X(MM_REFAULT, "workingset", "mm_refault", "pfn distance activate",     \
	  "pfn=%x distance=%u activate=%u")                                    \
	X(TEST_EVENT, "test", "test_event", "a b c d e f",                     \
	  "a=%d b=%d c=%d d=%d e=%d f=%d")                                     \
	X(KMALLOC, "kmem", "kmalloc",                                          \
	  "call_site ptr bytes_req bytes_alloc gfp_flags node "                \
	  "accounted",                                                         \
	  "call_site=%x ptr=%x bytes_req=%u bytes_alloc=%u "                   \
	  "gfp_flags=%g node=%d accounted=%b")                                 \
	X(KFREE, "kmem", "kfree", "call_site ptr", "call_site=%x ptr=%x")      \
	X(KMEM_CACHE_ALLOC, "kmem", "kmem_cache_alloc",                        \
	  "call_site ptr bytes_req bytes_alloc gfp_flags node "                \
	  "accounted",                                                         \
	  "call_site=%x ptr=%x bytes_req=%u bytes_alloc=%u "                   \
	  "gfp_flags=%g node=%d accounted=%b")                                 \
	X(KMEM_CACHE_FREE, "kmem", "kmem_cache_free", "call_site ptr name:16", \
	  "call_site=%x ptr=%x name=%s")                                       \
	X(MM_FILEMAP_ADD_TO_PAGE_CACHE, "filemap",                             \
	  "mm_filemap_add_to_page_cache", "s_dev i_ino pfn index order",       \
	  "dev %D ino %h pfn=%x ofs=%u order=%u")                              \
	X(MM_FILEMAP_DELETE_FROM_PAGE_CACHE, "filemap",                        \
	  "mm_filemap_delete_from_page_cache", "s_dev i_ino pfn index order",  \
	  "dev %D ino %h pfn=%x ofs=%u order=%u")                              \
	X(FILEMAP_SET_WB_ERR, "filemap", "filemap_set_wb_err",                 \
	  "s_dev i_ino errseq", "dev=%D ino=%x errseq=%x")                     \
	X(FILE_CHECK_AND_ADVANCE_WB_ERR, "filemap",                            \
	  "file_check_and_advance_wb_err", "s_dev i_ino old new",              \
	  "dev=%D ino=%x old=%x new=%x")                                       \
	X(MM_MIGRATE_PAGES, "migrate", "mm_migrate_pages",                     \
	  "succeeded failed thp_succeeded thp_failed thp_split "               \
	  "mode reason",                                                       \
	  "nr_succeeded=%u nr_failed=%u nr_thp_succeeded=%u "                  \
	  "nr_thp_failed=%u nr_thp_split=%u mode=%M reason=%R")                \
	X(SET_MIGRATION_PTE, "migrate", "set_migration_pte", "addr pte order", \
	  "addr=%h, pte=%h order=%d")                                          \
	X(REMOVE_MIGRATION_PTE, "migrate", "remove_migration_pte",             \
	  "addr pte order", "addr=%h, pte=%h order=%d")                        \
	X(MM_COMPACTION_ISOLATE_MIGRATEPAGES, "compaction",                    \
	  "mm_compaction_isolate_migratepages",                                \
	  "start_pfn end_pfn nr_scanned nr_taken",                             \
	  "range=(%x ~ %x) nr_scanned=%u nr_taken=%u")                         \
	X(MM_COMPACTION_ISOLATE_FREEPAGES, "compaction",                       \
	  "mm_compaction_isolate_freepages",                                   \
	  "start_pfn end_pfn nr_scanned nr_taken",                             \
	  "range=(%x ~ %x) nr_scanned=%u nr_taken=%u")                         \
	X(MM_COMPACTION_MIGRATEPAGES, "compaction",                            \
	  "mm_compaction_migratepages", "nr_migrated nr_failed",               \
	  "nr_migrated=%u nr_failed=%u")                                       \
	X(MM_COMPACTION_BEGIN, "compaction", "mm_compaction_begin",            \
	  "zone_start migrate_pfn free_pfn zone_end sync",                     \
	  "zone_start=%x migrate_pfn=%x free_pfn=%x zone_end=%x, "             \
	  "mode=%y")                                                           \
	X(MM_COMPACTION_END, "compaction", "mm_compaction_end",                \
	  "zone_start migrate_pfn free_pfn zone_end sync status",              \
	  "zone_start=%x migrate_pfn=%x free_pfn=%x zone_end=%x, "             \
	  "mode=%y status=%C")                                                 \
	X(MM_COMPACTION_TRY_TO_COMPACT_PAGES, "compaction",                    \
	  "mm_compaction_try_to_compact_pages", "order gfp_mask prio",         \
	  "order=%d gfp_mask=%g priority=%d")                                  \
	X(MM_COMPACTION_FINISHED, "compaction", "mm_compaction_finished",      \
	  "nid idx order ret", "node=%d zone=%Z order=%d ret=%C")              \
	X(MM_COMPACTION_SUITABLE, "compaction", "mm_compaction_suitable",      \
	  "nid idx order ret", "node=%d zone=%Z order=%d ret=%C")              \
	X(MM_COMPACTION_DEFERRED, "compaction", "mm_compaction_deferred",      \
	  "nid idx order order_failed considered defer_shift",                 \
	  "node=%d zone=%Z order=%d order_failed=%d consider=%u "              \
	  "limit=%S")                                                          \
	X(MM_COMPACTION_DEFER_COMPACTION, "compaction",                        \
	  "mm_compaction_defer_compaction",                                    \
	  "nid idx order order_failed considered defer_shift",                 \
	  "node=%d zone=%Z order=%d order_failed=%d consider=%u "              \
	  "limit=%S")                                                          \
	X(MM_COMPACTION_DEFER_RESET, "compaction",                             \
	  "mm_compaction_defer_reset",                                         \
	  "nid idx order order_failed considered defer_shift",                 \
	  "node=%d zone=%Z order=%d order_failed=%d consider=%u "              \
	  "limit=%S")                                                          \
	X(MM_COMPACTION_KCOMPACTD_SLEEP, "compaction",                         \
	  "mm_compaction_kcompactd_sleep", "nid", "nid=%d")                    \
	X(MM_COMPACTION_WAKEUP_KCOMPACTD, "compaction",                        \
	  "mm_compaction_wakeup_kcompactd", "nid order highest_zoneidx",       \
	  "nid=%d order=%d classzone_idx=%Z")                                  \
	X(MM_COMPACTION_KCOMPACTD_WAKE, "compaction",                          \
	  "mm_compaction_kcompactd_wake", "nid order highest_zoneidx",         \
	  "nid=%d order=%d classzone_idx=%Z")                                  \
	X(KSM_START_SCAN, "ksm", "ksm_start_scan", "seq rmap_entries",         \
	  "seq %d rmap size %d")                                               \
	X(KSM_STOP_SCAN, "ksm", "ksm_stop_scan", "seq rmap_entries",           \
	  "seq %d rmap size %d")                                               \
	X(KSM_ENTER, "ksm", "ksm_enter", "mm", "mm %x")                        \
	X(KSM_EXIT, "ksm", "ksm_exit", "mm", "mm %x")                          \
	X(KSM_MERGE_ONE_PAGE, "ksm", "ksm_merge_one_page",                     \
	  "pfn rmap_item mm err", "ksm pfn %u rmap_item %x mm %x error %d")    \
	X(KSM_MERGE_WITH_KSM_PAGE, "ksm", "ksm_merge_with_ksm_page",           \
	  "ksm_page pfn rmap_item mm err",                                     \
	  "ksm_page %x pfn %u rmap_item %x mm %x error %d")                    \
	X(KSM_REMOVE_KSM_PAGE, "ksm", "ksm_remove_ksm_page", "pfn", "pfn %u")  \
	X(KSM_ADVISOR, "ksm", "ksm_advisor",                                   \
	  "scan_time pages_to_scan cpu_percent",                               \
	  "ksm scan time %d pages_to_scan %u cpu percent %u")                  \
	X(PAGE_MAP, "page", "page_map", "pfn mm address how",                  \
	  "pfn=%x mm=%u address=%x how=%u")                                    \
	X(PAGE_UNMAP, "page", "page_unmap", "pfn mm address why",              \
	  "pfn=%x mm=%u address=%x why=%u")                                    \
	X(PAGE_COW, "page", "page_cow", "pfn copy mm address",                 \
	  "pfn=%x copy=%x mm=%u address=%x")                                   \
	X(PAGE_REFERENCED, "page", "page_referenced", "pfn mappings vm_flags", \
	  "pfn=%x mappings=%u vm_flags=%x")                                    \
	X(PAGE_DEACTIVATE, "page", "page_deactivate", "pfn", "pfn=%x")         \
	X(PAGE_ISOLATE, "page", "page_isolate", "pfn priority",                \
	  "pfn=%x priority=%d")                                                \
	X(PAGE_VERDICT, "page", "page_verdict", "pfn verdict",                 \
	  "pfn=%x verdict=%u")                                                 \
	X(PAGE_MIGRATE, "page", "page_migrate", "pfn new_pfn reason",          \
	  "pfn=%x new_pfn=%x reason=%R")                                       \
	X(PAGE_MERGE, "page", "page_merge", "pfn ksm_pfn mm address",          \
	  "pfn=%x ksm_pfn=%x mm=%u address=%x")                                \
	X(PAGE_FAULT_KERNEL, "exceptions", "page_fault_kernel",                \
	  "address ip error_code mm result",                                   \
	  "address=%x ip=%x error_code=%x mm=%u result=%x")                    \
	X(MM_VMSCAN_WRITE_FOLIO, "vmscan", "mm_vmscan_write_folio",            \
	  "pfn reclaim_flags", "pfn=%x flags=%w")                              \
	X(MM_SHRINK_SLAB_START, "vmscan", "mm_shrink_slab_start",              \
	  "shr nid nr_objects_to_shrink gfp_flags cache_items "                \
	  "delta total_scan priority",                                         \
	  "%x: nid: %d objects to shrink %d gfp_flags %g cache "               \
	  "items %d delta %d total_scan %d priority %d")                       \
	X(MM_SHRINK_SLAB_END, "vmscan", "mm_shrink_slab_end",                  \
	  "shr nid unused_scan new_scan total_scan retval",                    \
	  "%x: nid: %d unused scan count %d new scan count %d "                \
	  "total_scan %d last shrinker return val %d")                         \
	X(MM_VMSCAN_MEMCG_RECLAIM_BEGIN, "vmscan",                             \
	  "mm_vmscan_memcg_reclaim_begin", "order gfp_flags",                  \
	  "order=%d gfp_flags=%g")                                             \
	X(MM_VMSCAN_MEMCG_RECLAIM_END, "vmscan",                               \
	  "mm_vmscan_memcg_reclaim_end", "nr_reclaimed", "nr_reclaimed=%u")    \
	X(MM_VMSCAN_THROTTLED, "vmscan", "mm_vmscan_throttled",                \
	  "nid usec_timeout usec_delayed reason",                              \
	  "nid=%d usec_timeout=%d usect_delayed=%d reason=%t")                 \
	X(MM_MIGRATE_PAGES_START, "migrate", "mm_migrate_pages_start",         \
	  "mode reason", "mode=%M reason=%R")                                  \
	X(MARK_VICTIM, "oom", "mark_victim", "pid", "pid=%d")                  \
	X(WRITEBACK_DIRTY_FOLIO, "writeback", "writeback_dirty_folio",         \
	  "s_dev ino index", "bdi %D: ino=%u index=%u")                        \
	X(FOLIO_WAIT_WRITEBACK, "writeback", "folio_wait_writeback",           \
	  "s_dev ino index", "bdi %D: ino=%u index=%u")                        \
	X(MM_KHUGEPAGED_SCAN_PMD, "huge_memory", "mm_khugepaged_scan_pmd",     \
	  "mm address status", "mm=%u, address=%x, status=%u")                 \
	X(MM_COLLAPSE_HUGE_PAGE, "huge_memory", "mm_collapse_huge_page",       \
	  "mm address status", "mm=%u, address=%x, status=%u")                 \
	X(EXIT_MMAP, "mmap", "exit_mmap", "mm total_vm", "mm=%u total_vm=%u")  \
	X(CMA_ALLOC_START, "cma", "cma_alloc_start", "name:16 count align",    \
	  "name=%s count=%u align=%u")                                         \
	X(CMA_ALLOC_FINISH, "cma", "cma_alloc_finish",                         \
	  "name:16 pfn count align", "name=%s pfn=%x count=%u align=%u")       \
	X(CMA_RELEASE, "cma", "cma_release", "name:16 pfn count",              \
	  "name=%s pfn=%x count=%u")                                           \
	X(TASK_NEWTASK, "task", "task_newtask",                                \
	  "pid comm:16 clone_flags oom_score_adj",                             \
	  "pid=%d comm=%s clone_flags=%h oom_score_adj=%d")                    \
	X(TASK_RENAME, "task", "task_rename",                                  \
	  "pid oldcomm:16 newcomm:16 oom_score_adj",                           \
	  "pid=%d oldcomm=%s newcomm=%s oom_score_adj=%d")                     \
	X(PAGE_TAKE, "page", "page_take", "pfn order nid zone list",           \
	  "pfn=%x order=%d nid=%d zone=%Z list=%u")                            \
	X(PAGE_HUGE, "page", "page_huge", "pfn mm address what",               \
	  "pfn=%x mm=%u address=%x what=%u")                                   \
	X(PAGE_PROTECT, "page", "page_protect", "pfn mm address access",       \
	  "pfn=%x mm=%u address=%x access=%u")                                 \
	X(PAGE_REMAP, "page", "page_remap", "pfn mm address new_address",      \
	  "pfn=%x mm=%u address=%x new_address=%x")                            \
	X(VM_UNMAPPED_AREA, "mmap", "vm_unmapped_area",                        \
	  "addr err total_vm flags length low_limit high_limit "               \
	  "align_mask align_offset",                                           \
	  "addr=%x err=%d total_vm=%x flags=%x len=%x lo=%x hi=%x "            \
	  "mask=%x ofs=%x")                                                    \
	X(OOM_SCORE_ADJ_UPDATE, "oom", "oom_score_adj_update",                 \
	  "pid comm:16 oom_score_adj", "pid=%d comm=%s oom_score_adj=%d")      \
	X(WAKE_REAPER, "oom", "wake_reaper", "pid", "pid=%d")                  \
	X(START_TASK_REAPING, "oom", "start_task_reaping", "pid", "pid=%d")    \
	X(FINISH_TASK_REAPING, "oom", "finish_task_reaping", "pid", "pid=%d")  \
	X(SKIP_TASK_REAPING, "oom", "skip_task_reaping", "pid", "pid=%d")      \
	X(GLOBAL_DIRTY_STATE, "writeback", "global_dirty_state",               \
	  "nr_dirty nr_writeback background_thresh dirty_thresh "              \
	  "dirty_limit nr_dirtied nr_written",                                 \
	  "dirty=%u writeback=%u bg_thresh=%u thresh=%u limit=%u "             \
	  "dirtied=%u written=%u")

/* page_protect's ACCESS: 1 read, 2 write, 4 execute, as mprotect(2) has it.
 * page_remap's PFN of what is in no frame. */
#define PAGE_REMAP_NO_FRAME (~0ul)

/* page_take's LIST: where the frame stood. */
enum page_take_list {
	PAGE_TAKE_CPU,	   /* the CPU's own store */
	PAGE_TAKE_BUDDY,   /* the zone's lists */
	PAGE_TAKE_STOLEN,  /* the same, of another mobility type */
	PAGE_TAKE_RESERVE, /* HIGHATOMIC */
	PAGE_TAKE_CMA	   /* lent by a contiguous area */
};

/* page_huge's WHAT. */
enum page_huge_what {
	PAGE_HUGE_MAP,	    /* memory of a fault, mapped as a whole */
	PAGE_HUGE_COLLAPSE, /* made of what was there in pages */
	PAGE_HUGE_MOVED,    /* as a whole to other frames */
};

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
#define TRACE_EVENT_ENUM(name, sys, text, args, print) TRACE_##name,
	TRACE_EVENT_LIST(TRACE_EVENT_ENUM)
#undef TRACE_EVENT_ENUM
		NR_TRACE_EVENTS
};

#endif
