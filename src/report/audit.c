/* SPDX-License-Identifier: MIT */
/*
 * audit.c - does everything that was given out have an owner?
 *
 * 1. Purpose. Tests end with it: after a workload each frame must be free or
 *    be explained, every counter must agree with a recount, and page tables,
 *    reverse map and swap maps must tell the same story.
 *
 * 2. Structure. Stores are emptied first (LRU batches, deferred frees, empty
 *    slabs, per-CPU frames). Then two independent recounts: audit_frames.c
 *    goes through the descriptors of all frames, audit_spaces.c through the
 *    page tables of all address spaces and through the swap maps. This file
 *    compares them with each other and with the counters.
 *
 * 3. Sets are compared by number and by fingerprint: the sum, modulo 2^64, of
 *    a mixed value of each member. So "each frame is mapped exactly as often
 *    as its map count says" needs no table of frames; two wrongs that cancel
 *    in the sum would have to hit one in 2^64.
 *
 * 4. Invariants checked. Every present frame has one owner (AU-1). An
 *    anonymous frame on a list has one reference for each mapping and one for
 *    the swap cache (AU-2). Map counts equal page-table entries (AU-3), swap
 *    counts equal swap entries (AU-4), cached slots equal cached frames
 *    (AU-5). Page-state counters equal the recount (AU-6). Objects of spaces
 *    equal those reachable from spaces, KSM's those reachable from spaces
 *    and trees (AU-7).
 *
 * 5. Locking. No lock over the whole: the caller keeps users quiet. Daemons
 *    and I/O may still be busy with a frame; so a run with findings is
 *    repeated after a pause, and only what a late run still sees counts.
 *
 * 6. Cost. O(frames that have descriptors + present entries + slots);
 *    deferred and wholly reserved sections cost O(1) each.
 *
 * 7. Rejected. A table of expected references per frame: memory that is
 *    missing just when an audit is wanted.
 */
#include "report/audit.h"

#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/epoch.h"
#include "base/string.h"
#include "cache/swap.h"
#include "kmem/percpu.h"
#include "kmem/slab.h"
#include "memcg/memcg.h"
#include "merge/ksm.h"
#include "pgtable/kernel.h"
#include "phys/alloc.h"
#include "phys/phys.h"
#include "space/space.h"

#define AUDIT_RUNS     4
#define AUDIT_PAUSE_NS 20000000UL
#define NO_PFN	       (~0UL)

MM_STATIC_ASSERT(sizeof(struct audit) < 1800, "the books fit on a stack");

void audit_note(struct audit *a, const char *what, u64 pfn, u64 want, u64 got)
{
	mm_assert(what != NULL && want != got);
	if (a->nr_findings < AUDIT_FINDINGS)
		a->findings[a->nr_findings] =
			(struct audit_finding){what, pfn, want, got};
	a->nr_findings++;
}

void audit_equal(struct audit *a, const char *what, u64 want, u64 got)
{
	if (want != got)
		audit_note(a, what, NO_PFN, want, got);
}

/* ---- emptying the stores ----------------------------------------------- */

static void drain_cache(struct kmem_cache *s, void *arg)
{
	mm_assert(arg == NULL);
	kmem_cache_shrink(s);
}

static void drain_stores(void)
{
	lru_add_drain_all();
	epoch_drain();
	slab_for_each_sleep(drain_cache, NULL);
	memcg_drain(NULL);
	epoch_drain();
	drain_all_pages();
}

/* ---- comparing --------------------------------------------------------- */

static u64 lru_counted(void)
{
	u64 sum = 0;

	MM_STATIC_ASSERT(NR_LRU_BASE + LRU_UNEVICTABLE == NR_UNEVICTABLE,
			 "node counters follow the lists");
	for (int l = 0; l < NR_LRU_LISTS; l++)
		sum += global_node_page_state(NR_LRU_BASE + l);
	return sum;
}

static u64 lru_listed(void)
{
	pg_data_t *pgdat;
	u64 sum = 0;

	for (pgdat = first_online_pgdat(); pgdat;
	     pgdat = next_online_pgdat(pgdat)) {
		for (int l = 0; l < NR_LRU_LISTS; l++)
			sum += lruvec_size(&pgdat->lruvec, (enum lru_list)l);
	}
	for (int l = 0; l < NR_LRU_LISTS; l++)
		sum += memcg_lru(NULL, (enum lru_list)l, -1);
	return sum;
}

static u64 present_frames(void)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_zone (zone) {
		mm_assert_le(zone->present_pages, zone->spanned_pages);
		sum += zone->present_pages;
	}
	return sum;
}

static u64 stored_frames(void)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_populated_zone (zone)
		for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
			sum += (u64)pcp_count(&zone->pageset[cpu]);
	return sum;
}

static u64 guard_frames(void)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_populated_zone (zone)
		sum += READ_ONCE(zone->nr_guard);
	return sum;
}

static void compare_frames(struct audit *a)
{
	u64 slab = global_node_page_state(NR_SLAB_RECLAIMABLE_B) +
		   global_node_page_state(NR_SLAB_UNRECLAIMABLE_B);

	audit_equal(a, "present frames", present_frames(), a->present);
	audit_equal(a, "nr_free_pages", global_zone_page_state(NR_FREE_PAGES),
		    a->free);
	audit_equal(a, "frames on per-CPU lists", stored_frames(), a->stored);
	audit_equal(a, "guard frames", guard_frames(), a->guard);
	audit_equal(a, "nr_page_table_pages",
		    global_node_page_state(NR_PAGETABLE), a->tables);
	audit_equal(a, "page tables of the kernel",
		    READ_ONCE(pgtable_sys.nr_tables), a->kernel_tables);
	audit_equal(a, "slab frames", slab, a->slab);
	audit_equal(a, "frames of vmalloc", vmalloc_nr_pages(), a->vmalloc);
	audit_equal(a, "frames of large kmalloc",
		    READ_ONCE(kmem_sys.large_pages), a->kmalloc);
	audit_equal(a, "frames of alloc_percpu", pcpu_nr_pages(), a->percpu);
	audit_equal(a, "nr_anon_pages", global_node_page_state(NR_ANON_MAPPED),
		    a->mapped);
	audit_equal(a, "nr_swapcached", global_node_page_state(NR_SWAPCACHE),
		    a->swapcache);
	audit_equal(a, "nr_file_pages", global_node_page_state(NR_FILE_PAGES),
		    a->file + a->swapcache);
	audit_equal(a, "nr_mapped", global_node_page_state(NR_FILE_MAPPED),
		    a->file_mapped);
	audit_equal(a, "nr_dirty", global_node_page_state(NR_FILE_DIRTY),
		    a->dirty);
	audit_equal(a, "nr_shmem", global_node_page_state(NR_SHMEM), a->shmem);
	audit_equal(a, "frames charged", root_charged_pages(), a->charged);
	audit_equal(a, "LRU counters", lru_counted(), a->lru);
	audit_equal(a, "LRU list lengths", lru_listed(), a->lru);
	if (READ_ONCE(phys_sys.nr_bad_pages))
		audit_note(a, "bad frame reports", NO_PFN, 0,
			   phys_sys.nr_bad_pages);
}

/* What each group is charged for, less the groups below it, are the frames that
 * carry its id. */
static void compare_groups(struct audit *a)
{
	struct memcg *m = NULL;
	u64 grouped = 0;

	while ((m = memcg_next(NULL, m))) {
		u64 own = memcg_own_pages(m);

		grouped += m->audit_pages;
		spin_lock(&memcg_sys.lock);
		own -= (u64)objcg_pages(m);
		spin_unlock(&memcg_sys.lock);
		own -= (u64)group_stat(&m->page, NR_KERNEL_STACK_KB) >>
		       (PAGE_SHIFT - 10);
		if (own != m->audit_pages)
			audit_note(a, "frames of a control group", NO_PFN,
				   m->audit_pages, own);
	}
	audit_equal(a, "frames of control groups", grouped, a->grouped);
}

/* OB-1, OB-2: the pages that are charged for objects are the bytes of those
 * that name who pays, and what is over; nobody looks, and no CPU has any. */
static void compare_payers(struct audit *a)
{
	struct obj_cgroup *o = NULL;

	while ((o = objcg_next(o))) {
		s64 items = 0, own = o->memcg && o->memcg->objcg == o;

		for (int i = 0; i < NR_OBJCG_ITEMS; i++)
			items += o->items[i];
		audit_equal(a, "bytes of objects of a control group",
			    (u64)o->audit_bytes, (u64)items);
		audit_equal(a, "bytes of frames for objects",
			    (u64)o->pages << PAGE_SHIFT,
			    (u64)(items + o->loose));
		audit_equal(a, "references of who pays for objects",
			    (u64)(o->pages + own), (u64)o->refs);
	}
}

static void compare_sets(struct audit *a, const char *what,
			 const struct audit_set *x, const struct audit_set *y)
{
	if (x->nr != y->nr)
		audit_note(a, what, NO_PFN, x->nr, y->nr);
	else if (x->print != y->print)
		audit_note(a, what, NO_PFN, x->print, y->print);
}

static void compare_spaces(struct audit *a)
{
	compare_sets(a, "mappings by page tables and by map counts",
		     &a->entries, &a->mapcounts);
	compare_sets(a, "swap entries by their holders and by swap maps",
		     &a->swap_entries, &a->swap_counts);
	audit_equal(a, "cached swap slots", a->swap_cached, a->swapcache);
	audit_equal(a, "resident pages by the spaces' counters", a->entries.nr,
		    a->rss);
	audit_equal(a, "swapped pages by the spaces' counters",
		    a->swap_entries.nr, a->swapents + a->shmem_swapents);
	audit_equal(a, "page tables reachable from spaces",
		    a->space_tables + a->lazy_spaces, a->tables);
}

/* Objects that only spaces have; caches are there once spaces are. */
static void compare_objects(struct audit *a)
{
	const struct space_state *s = &space_sys;

	if (!s->vma_cache || !s->avc_cache || !s->anon_vma_cache)
		return;
	audit_equal(a, "vm_area_struct objects",
		    kmem_cache_active(s->vma_cache), a->vmas);
	audit_equal(a, "anon_vma_chain objects",
		    kmem_cache_active(s->avc_cache), a->links);
	if (a->spaces == 0)
		audit_equal(a, "anon_vma objects without a space", 0,
			    kmem_cache_active(s->anon_vma_cache));
}

/* What merging of equal pages has of its own. */
static void compare_ksm(struct audit *a)
{
	struct ksm_objects n;

	if (!ksm_objects(&n))
		return;
	audit_equal(a, "ksm_mm_slot objects",
		    kmem_cache_active(merge_sys.slot_cache), n.slots);
	audit_equal(a, "ksm_rmap_item objects",
		    kmem_cache_active(merge_sys.item_cache), n.items);
	audit_equal(a, "ksm_stable_node objects",
		    kmem_cache_active(merge_sys.node_cache), n.nodes);
}

/* Every frame was counted for one owner. */
static u64 owned_frames(const struct audit *a)
{
	return a->free + a->guard + a->stored + a->reserved + a->tables +
	       a->slab + a->kernel_tables + a->anon + a->swapcache + a->file +
	       a->zero + a->kernel + a->vmalloc + a->percpu + a->kmalloc +
	       a->unknown;
}

static void audit_run(struct audit *a)
{
	struct memcg *m;

	mm_memset(a, 0, sizeof(*a));
	drain_stores();
	for (m = NULL; (m = memcg_next(NULL, m));)
		m->audit_pages = 0;
	for (struct obj_cgroup *o = NULL; (o = objcg_next(o));)
		o->audit_bytes = 0;
	pcpu_count_payers();
	audit_frames(a);
	mm_assert_eq(owned_frames(a), a->present);
	mm_assert_le(a->deferred, a->free);
	audit_spaces(a);
	mm_assert_le(a->mapped, a->anon + a->swapcache);
	/* Only with all books full can they be compared. */
	compare_frames(a);
	compare_groups(a);
	compare_payers(a);
	compare_spaces(a);
	compare_objects(a);
	compare_ksm(a);
}

/* ---- the report -------------------------------------------------------- */

static void put(struct seq_buf *out, const char *name, u64 value)
{
	seq_printf(out, "%s: %llu\n", name, LLU(value));
}

static void put_frames(struct seq_buf *out, const struct audit *a)
{
	put(out, "present", a->present);
	put(out, "free", a->free);
	put(out, "free_deferred", a->deferred);
	put(out, "percpu", a->stored);
	put(out, "reserved", a->reserved);
	put(out, "pagetables", a->tables);
	put(out, "kernel_pagetables", a->kernel_tables);
	put(out, "slab", a->slab);
	put(out, "vmalloc", a->vmalloc);
	put(out, "percpu_objects", a->percpu);
	put(out, "kmalloc_large", a->kmalloc);
	put(out, "anon", a->anon);
	put(out, "swapcache", a->swapcache);
	put(out, "file", a->file);
	put(out, "zero", a->zero);
	put(out, "kernel", a->kernel);
	put(out, "unknown", a->unknown);
	put(out, "guard", a->guard);
	put(out, "set_aside", READ_ONCE(phys_sys.debug.nr_set_aside));
	put(out, "charged", a->charged);
	put(out, "charged_to_groups", a->grouped);
	put(out, "lru", a->lru);
	put(out, "writeback", a->writeback);
}

static void put_spaces(struct seq_buf *out, const struct audit *a)
{
	put(out, "spaces", a->spaces);
	put(out, "spaces_lazy", a->lazy_spaces);
	put(out, "vmas", a->vmas);
	put(out, "rmap_links", a->links);
	put(out, "entries", a->entries.nr);
	put(out, "entries_zero", a->zero_entries);
	put(out, "entries_swap", a->swap_entries.nr);
	put(out, "mapcounts", a->mapcounts.nr);
	put(out, "swap_counts", a->swap_counts.nr);
	put(out, "swap_slots_cached", a->swap_cached);
	put(out, "bad_reports", READ_ONCE(phys_sys.nr_bad_pages));
}

static void put_finding(struct seq_buf *out, const struct audit_finding *f)
{
	mm_assert(f->what != NULL && f->want != f->got);
	seq_puts(out, "leak: ");
	if (f->pfn != NO_PFN)
		seq_printf(out, "frame 0x%llx: ", LLU(f->pfn));
	seq_printf(out, "%s: expected %llu, found %llu\n", f->what,
		   LLU(f->want), LLU(f->got));
}

static void put_findings(struct seq_buf *out, const struct audit *a)
{
	u64 told = min(a->nr_findings, (u64)AUDIT_FINDINGS);

	for (u64 i = 0; i < told; i++)
		put_finding(out, &a->findings[i]);
	if (a->nr_findings > told)
		seq_printf(out, "leak: and %llu more\n",
			   LLU(a->nr_findings - told));
	seq_printf(out, "verdict: %s\n", a->nr_findings ? "leak" : "clean");
}

int mm_audit(struct seq_buf *out)
{
	struct audit a;

	mm_assert(out != NULL && !port_in_irq());
	audit_run(&a);
	for (int run = 1; run < AUDIT_RUNS && a.nr_findings; run++) {
		(void)port_park(AUDIT_PAUSE_NS);
		audit_run(&a);
	}
	put_frames(out, &a);
	put_spaces(out, &a);
	put_findings(out, &a);
	return (int)min(a.nr_findings, (u64)INT32_MAX);
}
