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
 * Fields: "name", or "name:T" for what is no unsigned long: d int, u unsigned
 * int, l long, h short, c unsigned char, b bool, p a pointer, z size_t, D
 * dev_t, s a string of at most 16 bytes, in two words (trace_word()), q one of
 * at most 64, m one of at most 80. Those of
 * Linux's events stand in its order. Text: a field after the other by what it
 * is, or with its number, the first is 0: %3d. %x with 0x, %h hexadecimal, %d,
 * %u, %g GFP flags, %l an LRU list, %R why pages move, %M how hard, %Z a zone's
 * name, %D a device's numbers, %o of a page's index the bytes before it, %C
 * what became of compaction, %P how hard it tried, %K what that means, %y sync
 * or async, %w which pages reclaim wants, %F flags of a page put on a list, %t
 * why someone waited, %T why a TLB forgets, %r what a page counts as, %A what
 * became of a huge page, %W why pages are written, %I an inode's state, %S two
 * to the power of it, %b true or false, %s and
 * %m a string, %f an address in a function of the kernel, %n the function's
 * name alone. Formatting is report's.
 *
 * New events are appended; the number of an event is its bit in the mask.
 */
#ifndef MM_BASE_TRACE_EVENTS_H
#define MM_BASE_TRACE_EVENTS_H

#define TRACE_EVENT_LIST(X)                                                    \
	X(MM_PAGE_ALLOC, "kmem", "mm_page_alloc",                              \
	  "pfn order:u gfp_flags migratetype:d",                               \
	  "pfn=%x order=%d migratetype=%3d gfp_flags=%2g")                     \
	X(MM_PAGE_FREE, "kmem", "mm_page_free", "pfn order:u",                 \
	  "pfn=%x order=%d")                                                   \
	X(MM_PAGE_ALLOC_EXTFRAG, "kmem", "mm_page_alloc_extfrag",              \
	  "pfn alloc_order:d fallback_order:d alloc_migratetype:d "            \
	  "fallback_migratetype:d change_ownership:d "                         \
	  "pageblock_order:d fragmenting:d",                                   \
	  "pfn=%x alloc_order=%d fallback_order=%d "                           \
	  "pageblock_order=%6d alloc_migratetype=%3d "                         \
	  "fallback_migratetype=%d fragmenting=%7d "                           \
	  "change_ownership=%5d")                                              \
	X(MM_PAGE_PCPU_DRAIN, "kmem", "mm_page_pcpu_drain",                    \
	  "pfn order:u migratetype:d", "pfn=%x order=%d migratetype=%d")       \
	X(MM_VMSCAN_KSWAPD_WAKE, "vmscan", "mm_vmscan_kswapd_wake",            \
	  "nid:d zid:d order:d", "nid=%d order=%2d")                           \
	X(MM_VMSCAN_KSWAPD_SLEEP, "vmscan", "mm_vmscan_kswapd_sleep", "nid:d", \
	  "nid=%d")                                                            \
	X(MM_VMSCAN_WAKEUP_KSWAPD, "vmscan", "mm_vmscan_wakeup_kswapd",        \
	  "nid:d zid:d order:d gfp_flags", "nid=%d order=%2d gfp_flags=%g")    \
	X(MM_VMSCAN_DIRECT_RECLAIM_BEGIN, "vmscan",                            \
	  "mm_vmscan_direct_reclaim_begin", "order:d gfp_flags",               \
	  "order=%d gfp_flags=%g")                                             \
	X(MM_VMSCAN_DIRECT_RECLAIM_END, "vmscan",                              \
	  "mm_vmscan_direct_reclaim_end", "nr_reclaimed", "nr_reclaimed=%u")   \
	X(MM_VMSCAN_LRU_ISOLATE, "vmscan", "mm_vmscan_lru_isolate",            \
	  "highest_zoneidx:d order:d nr_requested nr_scanned "                 \
	  "nr_skipped nr_taken isolate_mode:u lru:d",                          \
	  "isolate_mode=%6d classzone=%0d order=%d nr_requested=%u "           \
	  "nr_scanned=%u nr_skipped=%u nr_taken=%u lru=%7l")                   \
	X(MM_VMSCAN_LRU_SHRINK_INACTIVE, "vmscan",                             \
	  "mm_vmscan_lru_shrink_inactive",                                     \
	  "nid:d nr_scanned nr_reclaimed nr_dirty nr_writeback "               \
	  "nr_immediate nr_activate0:u nr_activate1:u nr_ref_keep "            \
	  "nr_unmap_fail priority:d reclaim_flags:d",                          \
	  "nid=%d nr_scanned=%d nr_reclaimed=%d nr_dirty=%d "                  \
	  "nr_writeback=%d nr_congested=0 nr_immediate=%d "                    \
	  "nr_activate_anon=%d nr_activate_file=%d nr_ref_keep=%d "            \
	  "nr_unmap_fail=%d priority=%d flags=%w")                             \
	X(MM_VMSCAN_LRU_SHRINK_ACTIVE, "vmscan",                               \
	  "mm_vmscan_lru_shrink_active",                                       \
	  "nid:d nr_taken nr_active nr_deactivated nr_referenced "             \
	  "priority:d reclaim_flags:d",                                        \
	  "nid=%d nr_taken=%d nr_active=%d nr_deactivated=%d "                 \
	  "nr_referenced=%d priority=%d flags=%w")                             \
	X(MM_LRU_INSERTION, "pagemap", "mm_lru_insertion", "pfn lru:d flags",  \
	  "pfn=%x lru=%d flags=%F")                                            \
	X(MM_LRU_ACTIVATE, "pagemap", "mm_lru_activate", "pfn", "pfn=%x")      \
	X(PAGE_FAULT_USER, "exceptions", "page_fault_user",                    \
	  "address ip error_code mm result",                                   \
	  "address=%n ip=%n error_code=%x mm=%u result=%x")                    \
	X(SWAP_OUT, "swap", "swap_out", "pfn type offset",                     \
	  "pfn=%x type=%u offset=%u")                                          \
	X(SWAP_IN, "swap", "swap_in", "pfn type offset readahead",             \
	  "pfn=%x type=%u offset=%u readahead=%u")                             \
	X(OOM_KILL, "oom", "oom_kill",                                         \
	  "pid:d points total_vm_pages rss_pages",                             \
	  "pid=%d points=%d total_vm_pages=%u rss_pages=%u")                   \
	X(MM_REFAULT, "workingset", "mm_refault", "pfn distance activate",     \
	  "pfn=%x distance=%u activate=%u")                                    \
	X(TEST_EVENT, "test", "test_event", "a b c d e f",                     \
	  "a=%d b=%d c=%d d=%d e=%d f=%d")                                     \
	X(KMALLOC, "kmem", "kmalloc",                                          \
	  "call_site ptr:p bytes_req:z bytes_alloc:z gfp_flags "               \
	  "node:d accounted:b",                                                \
	  "call_site=%f ptr=%x bytes_req=%u bytes_alloc=%u "                   \
	  "gfp_flags=%g node=%d accounted=%b")                                 \
	X(KFREE, "kmem", "kfree", "call_site ptr:p", "call_site=%f ptr=%x")    \
	X(KMEM_CACHE_ALLOC, "kmem", "kmem_cache_alloc",                        \
	  "call_site ptr:p bytes_req:z bytes_alloc:z gfp_flags "               \
	  "node:d accounted:b",                                                \
	  "call_site=%f ptr=%x bytes_req=%u bytes_alloc=%u "                   \
	  "gfp_flags=%g node=%d accounted=%b")                                 \
	X(KMEM_CACHE_FREE, "kmem", "kmem_cache_free",                          \
	  "call_site ptr:p name:s", "call_site=%f ptr=%x name=%s")             \
	X(MM_FILEMAP_ADD_TO_PAGE_CACHE, "filemap",                             \
	  "mm_filemap_add_to_page_cache", "pfn i_ino index s_dev:D order:c",   \
	  "dev %3D ino %1h pfn=%0x ofs=%2o order=%4u")                         \
	X(MM_FILEMAP_DELETE_FROM_PAGE_CACHE, "filemap",                        \
	  "mm_filemap_delete_from_page_cache",                                 \
	  "pfn i_ino index s_dev:D order:c",                                   \
	  "dev %3D ino %1h pfn=%0x ofs=%2o order=%4u")                         \
	X(FILEMAP_SET_WB_ERR, "filemap", "filemap_set_wb_err",                 \
	  "i_ino s_dev:D errseq:u", "dev=%1D ino=%0x errseq=%2x")              \
	X(FILE_CHECK_AND_ADVANCE_WB_ERR, "filemap",                            \
	  "file_check_and_advance_wb_err", "file:p i_ino s_dev:D old:u new:u", \
	  "file=%x dev=%2D ino=%1x old=%3x new=%x")                            \
	X(MM_MIGRATE_PAGES, "migrate", "mm_migrate_pages",                     \
	  "succeeded failed thp_succeeded thp_failed thp_split "               \
	  "mode:d reason:d",                                                   \
	  "nr_succeeded=%u nr_failed=%u nr_thp_succeeded=%u "                  \
	  "nr_thp_failed=%u nr_thp_split=%u mode=%M reason=%R")                \
	X(SET_MIGRATION_PTE, "migrate", "set_migration_pte",                   \
	  "addr pte order:d", "addr=%h, pte=%h order=%d")                      \
	X(REMOVE_MIGRATION_PTE, "migrate", "remove_migration_pte",             \
	  "addr pte order:d", "addr=%h, pte=%h order=%d")                      \
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
	  "zone_start migrate_pfn free_pfn zone_end sync:b",                   \
	  "zone_start=%x migrate_pfn=%x free_pfn=%x zone_end=%x, "             \
	  "mode=%y")                                                           \
	X(MM_COMPACTION_END, "compaction", "mm_compaction_end",                \
	  "zone_start migrate_pfn free_pfn zone_end sync:b status:d",          \
	  "zone_start=%x migrate_pfn=%x free_pfn=%x zone_end=%x, "             \
	  "mode=%y status=%C")                                                 \
	X(MM_COMPACTION_TRY_TO_COMPACT_PAGES, "compaction",                    \
	  "mm_compaction_try_to_compact_pages", "order:d gfp_mask prio:d",     \
	  "order=%d gfp_mask=%g priority=%d")                                  \
	X(MM_COMPACTION_FINISHED, "compaction", "mm_compaction_finished",      \
	  "nid:d idx:d order:d ret:d", "node=%d zone=%Z order=%d ret=%C")      \
	X(MM_COMPACTION_SUITABLE, "compaction", "mm_compaction_suitable",      \
	  "nid:d idx:d order:d ret:d", "node=%d zone=%Z order=%d ret=%C")      \
	X(MM_COMPACTION_DEFERRED, "compaction", "mm_compaction_deferred",      \
	  "nid:d idx:d order:d considered:u defer_shift:u "                    \
	  "order_failed:d",                                                    \
	  "node=%d zone=%Z order=%d order_failed=%5d consider=%3u "            \
	  "limit=%4S")                                                         \
	X(MM_COMPACTION_DEFER_COMPACTION, "compaction",                        \
	  "mm_compaction_defer_compaction",                                    \
	  "nid:d idx:d order:d considered:u defer_shift:u "                    \
	  "order_failed:d",                                                    \
	  "node=%d zone=%Z order=%d order_failed=%5d consider=%3u "            \
	  "limit=%4S")                                                         \
	X(MM_COMPACTION_DEFER_RESET, "compaction",                             \
	  "mm_compaction_defer_reset",                                         \
	  "nid:d idx:d order:d considered:u defer_shift:u "                    \
	  "order_failed:d",                                                    \
	  "node=%d zone=%Z order=%d order_failed=%5d consider=%3u "            \
	  "limit=%4S")                                                         \
	X(MM_COMPACTION_KCOMPACTD_SLEEP, "compaction",                         \
	  "mm_compaction_kcompactd_sleep", "nid:d", "nid=%d")                  \
	X(MM_COMPACTION_WAKEUP_KCOMPACTD, "compaction",                        \
	  "mm_compaction_wakeup_kcompactd", "nid:d order:d highest_zoneidx:d", \
	  "nid=%d order=%d classzone_idx=%Z")                                  \
	X(MM_COMPACTION_KCOMPACTD_WAKE, "compaction",                          \
	  "mm_compaction_kcompactd_wake", "nid:d order:d highest_zoneidx:d",   \
	  "nid=%d order=%d classzone_idx=%Z")                                  \
	X(KSM_START_SCAN, "ksm", "ksm_start_scan", "seq:d rmap_entries:u",     \
	  "seq %d rmap size %d")                                               \
	X(KSM_STOP_SCAN, "ksm", "ksm_stop_scan", "seq:d rmap_entries:u",       \
	  "seq %d rmap size %d")                                               \
	X(KSM_ENTER, "ksm", "ksm_enter", "mm:p", "mm %x")                      \
	X(KSM_EXIT, "ksm", "ksm_exit", "mm:p", "mm %x")                        \
	X(KSM_MERGE_ONE_PAGE, "ksm", "ksm_merge_one_page",                     \
	  "pfn rmap_item:p mm:p err:d",                                        \
	  "ksm pfn %u rmap_item %x mm %x error %d")                            \
	X(KSM_MERGE_WITH_KSM_PAGE, "ksm", "ksm_merge_with_ksm_page",           \
	  "ksm_page:p pfn rmap_item:p mm:p err:d",                             \
	  "ksm_page %x pfn %u rmap_item %x mm %x error %d")                    \
	X(KSM_REMOVE_KSM_PAGE, "ksm", "ksm_remove_ksm_page", "pfn", "pfn %u")  \
	X(KSM_ADVISOR, "ksm", "ksm_advisor",                                   \
	  "scan_time:l pages_to_scan cpu_percent:u",                           \
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
	X(PAGE_ISOLATE, "page", "page_isolate", "pfn priority:d",              \
	  "pfn=%x priority=%d")                                                \
	X(PAGE_VERDICT, "page", "page_verdict", "pfn verdict",                 \
	  "pfn=%x verdict=%u")                                                 \
	X(PAGE_MIGRATE, "page", "page_migrate", "pfn new_pfn reason:d",        \
	  "pfn=%x new_pfn=%x reason=%R")                                       \
	X(PAGE_MERGE, "page", "page_merge", "pfn ksm_pfn mm address",          \
	  "pfn=%x ksm_pfn=%x mm=%u address=%x")                                \
	X(PAGE_FAULT_KERNEL, "exceptions", "page_fault_kernel",                \
	  "address ip error_code mm result",                                   \
	  "address=%n ip=%n error_code=%x mm=%u result=%x")                    \
	X(MM_VMSCAN_WRITE_FOLIO, "vmscan", "mm_vmscan_write_folio",            \
	  "pfn reclaim_flags:d", "pfn=%x flags=%w")                            \
	X(MM_SHRINK_SLAB_START, "vmscan", "mm_shrink_slab_start",              \
	  "shr:p shrink:p nid:d nr_objects_to_shrink:l gfp_flags "             \
	  "cache_items delta total_scan priority:d",                           \
	  "%1f %0x: nid: %2d objects to shrink %d gfp_flags %g "               \
	  "cache items %d delta %d total_scan %d priority %d")                 \
	X(MM_SHRINK_SLAB_END, "vmscan", "mm_shrink_slab_end",                  \
	  "shr:p nid:d shrink:p unused_scan:l new_scan:l retval:d "            \
	  "total_scan:l",                                                      \
	  "%2f %0x: nid: %1d unused scan count %3d new scan count "            \
	  "%4d total_scan %6d last shrinker return val %5d")                   \
	X(MM_VMSCAN_MEMCG_RECLAIM_BEGIN, "vmscan",                             \
	  "mm_vmscan_memcg_reclaim_begin", "order:d gfp_flags",                \
	  "order=%d gfp_flags=%g")                                             \
	X(MM_VMSCAN_MEMCG_RECLAIM_END, "vmscan",                               \
	  "mm_vmscan_memcg_reclaim_end", "nr_reclaimed", "nr_reclaimed=%u")    \
	X(MM_VMSCAN_THROTTLED, "vmscan", "mm_vmscan_throttled",                \
	  "nid:d usec_timeout:d usec_delayed:d reason:d",                      \
	  "nid=%d usec_timeout=%d usect_delayed=%d reason=%t")                 \
	X(MM_MIGRATE_PAGES_START, "migrate", "mm_migrate_pages_start",         \
	  "mode:d reason:d", "mode=%M reason=%R")                              \
	X(MARK_VICTIM, "oom", "mark_victim", "pid:d", "pid=%d")                \
	X(WRITEBACK_DIRTY_FOLIO, "writeback", "writeback_dirty_folio",         \
	  "name:D ino index", "bdi %D: ino=%u index=%u")                       \
	X(FOLIO_WAIT_WRITEBACK, "writeback", "folio_wait_writeback",           \
	  "name:D ino index", "bdi %D: ino=%u index=%u")                       \
	X(MM_KHUGEPAGED_SCAN_PMD, "huge_memory", "mm_khugepaged_scan_pmd",     \
	  "mm:p pfn writable:b referenced:d none_or_zero:d "                   \
	  "status:d unmapped:d",                                               \
	  "mm=%x, scan_pfn=%x, writable=%d, referenced=%d, "                   \
	  "none_or_zero=%d, status=%A, unmapped=%d")                           \
	X(MM_COLLAPSE_HUGE_PAGE, "huge_memory", "mm_collapse_huge_page",       \
	  "mm:p isolated:d status:d", "mm=%x, isolated=%d, status=%A")         \
	X(EXIT_MMAP, "mmap", "exit_mmap", "mm total_vm", "mm=%u total_vm=%u")  \
	X(CMA_ALLOC_START, "cma", "cma_alloc_start", "name:s count align:u",   \
	  "name=%s count=%u align=%u")                                         \
	X(CMA_ALLOC_FINISH, "cma", "cma_alloc_finish",                         \
	  "name:s pfn count align:u", "name=%s pfn=%x count=%u align=%u")      \
	X(CMA_RELEASE, "cma", "cma_release", "name:s pfn count",               \
	  "name=%s pfn=%x count=%u")                                           \
	X(TASK_NEWTASK, "task", "task_newtask",                                \
	  "pid:d comm:s clone_flags oom_score_adj:h",                          \
	  "pid=%d comm=%s clone_flags=%h oom_score_adj=%d")                    \
	X(TASK_RENAME, "task", "task_rename",                                  \
	  "pid:d oldcomm:s newcomm:s oom_score_adj:h",                         \
	  "pid=%d oldcomm=%s newcomm=%s oom_score_adj=%d")                     \
	X(PAGE_TAKE, "page", "page_take", "pfn order:u nid:d zone:d list:u",   \
	  "pfn=%x order=%d nid=%d zone=%Z list=%u")                            \
	X(PAGE_HUGE, "page", "page_huge", "pfn mm address what",               \
	  "pfn=%x mm=%u address=%x what=%u")                                   \
	X(PAGE_PROTECT, "page", "page_protect", "pfn mm address access",       \
	  "pfn=%x mm=%u address=%x access=%u")                                 \
	X(PAGE_REMAP, "page", "page_remap", "pfn mm address new_address",      \
	  "pfn=%x mm=%u address=%x new_address=%x")                            \
	X(VM_UNMAPPED_AREA, "mmap", "vm_unmapped_area",                        \
	  "addr err:l total_vm flags length low_limit high_limit "             \
	  "align_mask align_offset",                                           \
	  "addr=%x err=%d total_vm=%x flags=%x len=%x lo=%x hi=%x "            \
	  "mask=%x ofs=%x")                                                    \
	X(OOM_SCORE_ADJ_UPDATE, "oom", "oom_score_adj_update",                 \
	  "pid:d comm:s oom_score_adj:h", "pid=%d comm=%s oom_score_adj=%d")   \
	X(WAKE_REAPER, "oom", "wake_reaper", "pid:d", "pid=%d")                \
	X(START_TASK_REAPING, "oom", "start_task_reaping", "pid:d", "pid=%d")  \
	X(FINISH_TASK_REAPING, "oom", "finish_task_reaping", "pid:d",          \
	  "pid=%d")                                                            \
	X(SKIP_TASK_REAPING, "oom", "skip_task_reaping", "pid:d", "pid=%d")    \
	X(GLOBAL_DIRTY_STATE, "writeback", "global_dirty_state",               \
	  "nr_dirty nr_writeback background_thresh dirty_thresh "              \
	  "dirty_limit nr_dirtied nr_written",                                 \
	  "dirty=%u writeback=%u bg_thresh=%u thresh=%u limit=%u "             \
	  "dirtied=%u written=%u")                                             \
	X(RSS_STAT, "kmem", "rss_stat", "mm_id:u curr:u member:d size:l",      \
	  "mm_id=%u curr=%d type=%r size=%dB")                                 \
	X(MM_PAGE_FREE_BATCHED, "kmem", "mm_page_free_batched", "pfn",         \
	  "pfn=%x order=0")                                                    \
	X(MM_PAGE_ALLOC_ZONE_LOCKED, "kmem", "mm_page_alloc_zone_locked",      \
	  "pfn order:u migratetype:d percpu_refill:d",                         \
	  "pfn=%x order=%u migratetype=%d percpu_refill=%d")                   \
	X(TLB_FLUSH, "tlb", "tlb_flush", "reason:d pages",                     \
	  "pages:%1d reason:%0T (%0d)")                                        \
	X(RECLAIM_RETRY_ZONE, "oom", "reclaim_retry_zone",                     \
	  "node:d zone_idx:d order:d reclaimable available "                   \
	  "min_wmark no_progress_loops:d wmark_check:b",                       \
	  "node=%d zone=%Z order=%d reclaimable=%u available=%u "              \
	  "min_wmark=%u no_progress_loops=%d wmark_check=%d")                  \
	X(COMPACT_RETRY, "oom", "compact_retry",                               \
	  "order:d priority:d result:d retries:d max_retries:d "               \
	  "ret:b",                                                             \
	  "order=%d priority=%P compaction_result=%K retries=%d "              \
	  "max_retries=%d should_retry=%d")                                    \
	X(MM_VMSCAN_NODE_RECLAIM_BEGIN, "vmscan",                              \
	  "mm_vmscan_node_reclaim_begin", "nid:d order:d gfp_flags",           \
	  "nid=%d order=%d gfp_flags=%g")                                      \
	X(MM_VMSCAN_NODE_RECLAIM_END, "vmscan", "mm_vmscan_node_reclaim_end",  \
	  "nr_reclaimed", "nr_reclaimed=%u")                                   \
	X(CMA_ALLOC_BUSY_RETRY, "cma", "cma_alloc_busy_retry",                 \
	  "name:s pfn count align:u", "name=%s pfn=%x count=%u align=%u")      \
	X(MM_COLLAPSE_HUGE_PAGE_ISOLATE, "huge_memory",                        \
	  "mm_collapse_huge_page_isolate",                                     \
	  "pfn none_or_zero:d referenced:d writable:b status:d",               \
	  "scan_pfn=%x, none_or_zero=%d, referenced=%d, "                      \
	  "writable=%d, status=%A")                                            \
	X(MM_COLLAPSE_HUGE_PAGE_SWAPIN, "huge_memory",                         \
	  "mm_collapse_huge_page_swapin",                                      \
	  "mm:p swapped_in:d referenced:d ret:d",                              \
	  "mm=%x, swapped_in=%d, referenced=%d, ret=%d")                       \
	X(PERCPU_ALLOC_PERCPU, "percpu", "percpu_alloc_percpu",                \
	  "call_site reserved:b is_atomic:b size:z align:z "                   \
	  "base_addr:p off:d ptr:p bytes_alloc:z gfp_flags",                   \
	  "call_site=%f reserved=%d is_atomic=%d size=%u align=%u "            \
	  "base_addr=%x off=%d ptr=%x bytes_alloc=%u gfp_flags=%g")            \
	X(PERCPU_FREE_PERCPU, "percpu", "percpu_free_percpu",                  \
	  "base_addr:p off:d ptr:p", "base_addr=%x off=%d ptr=%x")             \
	X(PERCPU_ALLOC_PERCPU_FAIL, "percpu", "percpu_alloc_percpu_fail",      \
	  "reserved:b is_atomic:b size:z align:z",                             \
	  "reserved=%d is_atomic=%d size=%u align=%u")                         \
	X(PERCPU_CREATE_CHUNK, "percpu", "percpu_create_chunk", "base_addr:p", \
	  "base_addr=%x")                                                      \
	X(PERCPU_DESTROY_CHUNK, "percpu", "percpu_destroy_chunk",              \
	  "base_addr:p", "base_addr=%x")                                       \
	X(MMAP_LOCK_START_LOCKING, "mmap_lock", "mmap_lock_start_locking",     \
	  "mm:p memcg_path:q write:b", "mm=%x memcg_path=%s write=%b")         \
	X(MMAP_LOCK_ACQUIRE_RETURNED, "mmap_lock",                             \
	  "mmap_lock_acquire_returned", "mm:p memcg_path:q write:b success:b", \
	  "mm=%x memcg_path=%s write=%b success=%b")                           \
	X(MMAP_LOCK_RELEASED, "mmap_lock", "mmap_lock_released",               \
	  "mm:p memcg_path:q write:b", "mm=%x memcg_path=%s write=%b")         \
	X(WRITEBACK_START, "writeback", "writeback_start",                     \
	  "name:D nr_pages:l sync_mode:d for_kupdate:d "                       \
	  "range_cyclic:d for_background:d reason:d",                          \
	  "bdi %D: nr_pages=%d sync_mode=%d kupdate=%d "                       \
	  "range_cyclic=%d background=%d reason=%W")                           \
	X(WRITEBACK_WRITTEN, "writeback", "writeback_written",                 \
	  "name:D nr_pages:l sync_mode:d for_kupdate:d "                       \
	  "range_cyclic:d for_background:d reason:d",                          \
	  "bdi %D: nr_pages=%d sync_mode=%d kupdate=%d "                       \
	  "range_cyclic=%d background=%d reason=%W")                           \
	X(WRITEBACK_PAGES_WRITTEN, "writeback", "writeback_pages_written",     \
	  "pages:l", "%d")                                                     \
	X(WRITEBACK_WAKE_BACKGROUND, "writeback", "writeback_wake_background", \
	  "name:D", "bdi %D:")                                                 \
	X(WRITEBACK_SINGLE_INODE_START, "writeback",                           \
	  "writeback_single_inode_start",                                      \
	  "name:D ino state dirtied_when writeback_index "                     \
	  "nr_to_write:l wrote",                                               \
	  "bdi %D: ino=%u state=%I dirtied_when=%u index=%u "                  \
	  "to_write=%d wrote=%u")                                              \
	X(WRITEBACK_SINGLE_INODE, "writeback", "writeback_single_inode",       \
	  "name:D ino state dirtied_when writeback_index "                     \
	  "nr_to_write:l wrote",                                               \
	  "bdi %D: ino=%u state=%I dirtied_when=%u index=%u "                  \
	  "to_write=%d wrote=%u")                                              \
	X(BALANCE_DIRTY_PAGES, "writeback", "balance_dirty_pages",             \
	  "bdi:D limit setpoint dirty dirty_ratelimit "                        \
	  "task_ratelimit dirtied:u pause:l",                                  \
	  "bdi %D: limit=%u setpoint=%u dirty=%u "                             \
	  "dirty_ratelimit=%u task_ratelimit=%u dirtied=%u pause=%d")          \
	X(PRINT, "ftrace", "print", "ip buf:m", "%1m")                         \
	X(PAGE_WRITEBACK, "page", "page_writeback",                            \
	  "pfn i_ino index s_dev:D what error:d",                              \
	  "pfn=%x ino=%u index=%u dev=%D what=%u error=%d")

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

/* print's text, and that of a path; multiples of 8. */
#define TRACE_PRINT_TEXT 80u
#define TRACE_PATH_TEXT	 64u

/* page_writeback's WHAT. */
enum page_writeback_what { PAGE_WRITEBACK_BEGIN, PAGE_WRITEBACK_END };

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
