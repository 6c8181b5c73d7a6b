/* SPDX-License-Identifier: MIT */
/*
 * numa_hint.c - who uses which page: entries that fault on purpose, and what
 * such a fault tells.
 *
 * 1. Purpose. On a machine with several nodes a page should lie where it is
 *    used. Nobody says who uses it: a CPU only marks that somebody did. So from
 *    time to time entries are made unusable (hints); the next access faults,
 *    tells on which node it runs, and the entry is as it was.
 *
 * 2. Way. numa_scan_space() goes over a space in pieces (src/policy/
 *    numa_balance.c says how often). A hint is the entry with "present" taken
 *    and PROT_NONE given; all its other bits stay, so that everybody but the
 *    CPU deals with it as with any present entry, and mprotect, fork, a move or
 *    swap need not know of it. do_numa_page() is the fault.
 *
 * 3. Two stages. One access from elsewhere says little: moving costs more than
 *    a few far accesses, and a page that two nodes use would go to and fro. A
 *    page moves when two hint faults in a row came from the same other node: if
 *    a share p of accesses comes from there, that happens with p * p. The CPU
 *    of the last one stands in the history.
 *
 * 4. Slow memory (mode 2). A page of a node without CPUs is worth bringing up
 *    if it is used often: if the access follows the hint within
 *    hot_threshold_ms. The history keeps when the hint was put.
 *
 * 5. The history: a word for each frame, by its number; on machines beyond 2^20
 *    frames some share one, and a tag tells whose it is. A word that is of
 *    somebody else, or of a page that was there before, costs a move that comes
 *    late or too early, nothing else; so it is read and written without locks.
 *
 * 6. What gets no hints: mappings with a policy (they have said where; but for
 *    MPOL_F_NUMA_BALANCING, which says: where it is used, among these nodes),
 *    those
 *    nobody may use, files mapped for reading (each node has libraries in its
 *    caches);
 *    pages that several private mappings share, dirty pages of files (they
 *    could not move without waiting), pinned ones.
 *
 * 7. Invariants.
 *    NH-1  A hint stands only in a mapping that may be used; there a PROT_NONE
 *          entry is nothing else.
 *    NH-2  No CPU knows the entry when the hint's table is unlocked.
 *    NH-3  A large entry becomes 512 hints at once, which are one: the first of
 *          them that is met makes all of it large again, and moves all of it.
 *          Until then it counts as small pages (AnonHugePages).
 *
 * 8. Locking. The scan: mmap lock for reading; table locks. The fault: as all
 *    cases; nothing is held while the page moves but what a fault holds.
 *
 * References: Linux documentation, admin-guide/sysctl/kernel (numa_balancing);
 * M. Gorman, "Foundation for automatic NUMA balancing" (2012).
 */
#include "space/numa_hint.h"

#include <mmkit/slab.h>

#include "cache/filemap.h"
#include "phys/memory_tiers.h"
#include "phys/mempolicy.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "space/huge.h"
#include "space/mempolicy.h"
#include "space/rmap.h"

static struct numa_balancing *nb(void)
{
	return &space_sys.numa;
}

void numa_hint_init(void)
{
	*nb() = (struct numa_balancing){
		.scan_delay_ms = 1000,
		.scan_period_min_ms = 1000,
		.scan_period_max_ms = 60000,
		.scan_size_mb = 256,
		.hot_threshold_ms = 1000,
		.rate_limit_mbps = 65536,
	};
	init_waitqueue_head(&nb()->wait);
}

/* ---- the history -----------------------------------------------------------
 */

#define HISTORY_MAX   (1UL << 20)
#define HISTORY_VALUE 0xffffffu
#define HISTORY_SET   0x800000u /* the value is one */

void numa_hint_start(void)
{
	u64 want = 1024;
	u32 *h = NULL;

	if (nb()->history)
		return;
	while (want < phys_sys.hot.max_pfn && want < HISTORY_MAX)
		want *= 2;
	for (; !h && want >= 1024; want /= 2) {
		nb()->history_size = want;
		h = kmalloc(want * sizeof(u32),
			    GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);
	}
	__atomic_store_n(&nb()->history, h, __ATOMIC_RELEASE);
}

void numa_hint_stop(void)
{
	kfree(nb()->history);
	WRITE_ONCE(nb()->history, NULL);
}

static u32 *history_of(const struct page *page)
{
	u32 *h = __atomic_load_n(&nb()->history, __ATOMIC_ACQUIRE);

	return h ? &h[page_to_pfn(page) & (nb()->history_size - 1)] : NULL;
}

static u32 history_tag(const struct page *page)
{
	return (u32)(page_to_pfn(page) / nb()->history_size) << 24;
}

/* What was noted of PAGE, and is V from now on; 0: nothing. */
static u32 history_xchg(const struct page *page, u32 v)
{
	u32 *at = history_of(page), tag = history_tag(page), old;

	if (!at)
		return 0;
	old = __atomic_exchange_n(at, tag | HISTORY_SET | v, __ATOMIC_RELAXED);
	return (old & ~HISTORY_VALUE) == tag && (old & HISTORY_SET)
		       ? old & HISTORY_VALUE
		       : 0;
}

void numa_history_move(struct page *new, const struct page *old)
{
	u32 *from = history_of(old), *to = history_of(new);

	if (from && to)
		WRITE_ONCE(*to, history_tag(new) |
					(READ_ONCE(*from) & HISTORY_VALUE));
}

static u32 now_ms(void)
{
	return (u32)(port_now_ns() / 1000000) & (HISTORY_SET - 1);
}

/* ---- the scan --------------------------------------------------------------
 */

static bool mode_tiering(u32 mode)
{
	return (mode & NUMA_BALANCING_MEMORY_TIERING) != 0;
}

/* Does VMA say by itself where its pages are to stay at ADDR? */
static bool has_policy(const struct vm_area_struct *vma, uva_t addr)
{
	struct mempolicy *pol;
	bool stay;
	int home;

	pol = vma_policy_at(vma, addr, &home);
	stay = pol && !(mpol_flags(pol) & MPOL_F_NUMA_BALANCING);
	mpol_put(pol);
	return stay;
}

static bool vma_scanned(const struct vm_area_struct *vma)
{
	if (vma->vm_file && (vma->vm_flags & (VM_READ | VM_WRITE)) == VM_READ)
		return false;
	return (vma->vm_flags & VM_ACCESS_FLAGS) &&
	       !has_policy(vma, vma->vm_start);
}

/* Is PAGE, which an entry of VMA maps, worth a hint? */
static bool page_scanned(const struct vm_area_struct *vma, struct page *page)
{
	u32 mode = READ_ONCE(nb()->mode);

	if (PageKsm(page) || page_maybe_dma_pinned(page))
		return false;
	if (!(vma->vm_flags & VM_SHARED) && page_mapcount(page) != 1)
		return false;
	if (PageFile(page) && !PageSwapBacked(page) && PageDirty(page))
		return false;
	if (node_tier(page_to_nid(page)) == 0)
		return (mode & NUMA_BALANCING_NORMAL) != 0;
	if (mode_tiering(mode))
		(void)history_xchg(page, now_ms());
	return true;
}

/* E as no CPU uses it; and back. */
static pte_t pte_mkhint(pte_t e)
{
	return __pte((e.val & ~X86_PTE_P) | X86_PTE_PROTNONE);
}

static pte_t pte_clear_hint(pte_t e)
{
	return __pte((e.val & ~X86_PTE_PROTNONE) | X86_PTE_P);
}

/* Entries of one table, from ADDR to END. */
static void hint_table(struct vm_area_struct *vma, struct pt_slot slot,
		       uva_t addr, uva_t end)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot lock = slot;
	uva_t first = addr;
	u64 n = 0;

	pt_lock(&lock);
	for (; addr < end; addr += PAGE_SIZE, pt_next(&slot)) {
		pte_t e = pt_get(&slot);

		if (!pte_valid(e) || pte_special(e) ||
		    !page_scanned(vma, pfn_to_page(pte_pfn(e))))
			continue;
		/* Taken out whole, so that no A or D bit is lost. */
		e = pt_xchg(&slot, (pte_t){0});
		pt_set(&slot, pte_mkhint(e));
		n++;
	}
	if (n)
		port_tlb_flush(&mm->cpus, mm->asid, first, end);
	pt_unlock(&lock);
	count_vm_events(NUMA_PTE_UPDATES, n);
}

/* Is any page of the huge page FIRST, which an entry of VMA maps, not worth a
 * hint? Then none is. */
static bool huge_scanned(const struct vm_area_struct *vma, struct page *first)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		if (!page_scanned(vma, first + i))
			return false;
	return true;
}

/* The table from SLOT on, at ADDR of VMA, has a large entry: hints in all of it
 * (NH-3). False: it has none. */
static bool hint_huge(struct vm_area_struct *vma, struct pt_slot slot,
		      uva_t addr)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot at = slot;
	bool huge;
	pte_t e;

	if (thp_region(vma, addr) != addr || !pt_promoted(slot.table))
		return false;
	pt_lock_read(&slot);
	e = pt_get(&slot);
	huge = pt_promoted(slot.table);
	if (huge && !pte_special(e) &&
	    huge_scanned(vma, pfn_to_page(pte_pfn(e)))) {
		pt_demote_whole(&slot);
		for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&at)) {
			e = pt_xchg(&at, (pte_t){0});
			pt_set(&at, pte_mkhint(e));
		}
		port_tlb_flush(&mm->cpus, mm->asid, addr,
			       addr + HPAGE_PMD_SIZE);
		count_vm_events(NUMA_PTE_UPDATES, HPAGE_PMD_NR);
		count_vm_event(NUMA_HUGE_PTE_UPDATES);
	}
	pt_unlock(&slot);
	return huge;
}

/* From AT on in VMA, as far as *PAGES reach. Where that is. */
static uva_t hint_vma(struct vm_area_struct *vma, uva_t at, u64 *pages)
{
	struct pgtable *pt = &vma->vm_mm->pt;

	while (at < vma->vm_end && *pages) {
		uva_t end = pt_table_end(pt, at, vma->vm_end);
		struct pt_slot slot;

		if (!pt_lookup(pt, at, &slot)) {
			at = pt_skip(pt, at, vma->vm_end);
			continue;
		}
		if (hint_huge(vma, slot, at)) {
			*pages -= min(*pages, (u64)HPAGE_PMD_NR);
			at = end;
			continue;
		}
		end = min(end, at + (*pages << PAGE_SHIFT));
		*pages -= (end - at) >> PAGE_SHIFT;
		hint_table(vma, slot, at, end);
		at = end;
	}
	return at;
}

bool numa_scan_space(struct mm_struct *mm, u64 pages)
{
	struct vm_area_struct *vma;
	uva_t at = mm->numa.at;

	mmap_read_lock(mm);
	for (vma = find_vma(mm, at); vma && pages; vma = vma_next(vma)) {
		at = max(at, vma->vm_start);
		if (vma_scanned(vma))
			at = hint_vma(vma, at, &pages);
		else
			at = vma->vm_end;
		if (at < vma->vm_end)
			break;
	}
	mmap_read_unlock(mm);
	mm->numa.at = vma ? at : 0;
	return !vma;
}

/* ---- the fault -------------------------------------------------------------
 */

/* PAGE, of a slow node, was used. Often enough to bring it up? */
static bool page_hot(const struct page *page)
{
	u32 put = history_xchg(page, now_ms());
	u32 waited = (now_ms() - put) & (HISTORY_SET - 1);

	return put && waited < READ_ONCE(nb()->hot_threshold_ms);
}

/* PAGE was used by the running CPU, whose memory is on node HERE, not for the
 * first time in a row? */
static bool second_stage(const struct page *page, int here)
{
	u32 last = history_xchg(page, (u32)port_cpu());

	return last &&
	       READ_ONCE(phys_sys.cpu_mem_node[last & (HISTORY_SET - 1)]) ==
		       here;
}

/* May the memory of VMF go to node HERE, where it is used? As its mapping says,
 * or else the running task. */
static bool policy_lets(const struct vm_fault *vmf, int here)
{
	struct mempolicy *pol;
	bool lets;
	int home;

	pol = vma_policy_at(vmf->vma, vmf->address, &home);
	lets = mpol_balances(pol ? pol : port_current()->mempolicy, here);
	mpol_put(pol);
	return lets;
}

/* The hint VMF, of PAGE, the first of N, was met: counted; where it should go,
 * or NUMA_NO_NODE. */
static int hint_fault(const struct vm_fault *vmf, const struct page *page,
		      u64 n)
{
	struct mm_struct *mm = vmf->vma->vm_mm;
	int here = numa_mem_id(), nid = page_to_nid(page);
	bool slow = node_tier(nid) > 0, go;
	u32 mode = READ_ONCE(nb()->mode);

	count_vm_event(NUMA_HINT_FAULTS);
	if (nid == here)
		count_vm_event(NUMA_HINT_FAULTS_LOCAL);
	__atomic_fetch_add(nid == here ? &mm->numa.local : &mm->numa.remote, n,
			   __ATOMIC_RELAXED);
	if (slow && mode_tiering(mode))
		go = page_hot(page);
	else
		go = second_stage(page, here) && (mode & NUMA_BALANCING_NORMAL);
	return go && nid != here && space_sys.move_ops && policy_lets(vmf, here)
		       ? here
		       : NUMA_NO_NODE;
}

/* Do the entries around VMF's, which is locked, come of one large entry? Then
 * *FIRST is the first of them. */
static bool was_huge(const struct vm_fault *vmf, uva_t va,
		     struct pt_slot *first)
{
	u64 past = PAGE_ALIGN_DOWN(vmf->address) - va;
	u64 want = (vmf->orig.val - past) & ~(u64)X86_PTE_A;
	struct pt_slot at;

	if (!IS_ALIGNED(pte_pfn(__pte(want)), (u64)HPAGE_PMD_NR) ||
	    !thp_vma_possible(vmf->vma) ||
	    !pt_lookup(&vmf->vma->vm_mm->pt, va, first))
		return false;
	at = *first;
	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&at), want += PAGE_SIZE)
		if ((pt_get(&at).val & ~(u64)X86_PTE_A) != want)
			return false;
	return true;
}

/* All entries from FIRST's on, of VA, are hints of a huge page, of which VMF's
 * was met. The table is locked, and unlocked here. */
static vm_fault_t do_numa_huge(struct vm_fault *vmf, struct pt_slot first,
			       uva_t va)
{
	struct mm_struct *mm = vmf->vma->vm_mm;
	struct page *page = pfn_to_page(pte_pfn(pt_get(&first)));
	int nid = hint_fault(vmf, page, HPAGE_PMD_NR);
	struct pt_slot at = first;

	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&at))
		pt_set(&at, pte_mkyoung(pte_clear_hint(pt_get(&at))));
	(void)pt_promote(&mm->pt, &first, va);
	if (nid != NUMA_NO_NODE)
		get_page(page);
	pt_unlock(&first);
	if (nid != NUMA_NO_NODE)
		(void)space_sys.move_ops->misplaced_huge(page, nid);
	return 0;
}

vm_fault_t do_numa_page(struct vm_fault *vmf)
{
	struct page *page = pfn_to_page(pte_pfn(vmf->orig));
	uva_t va = thp_region(vmf->vma, vmf->address);
	int nid = NUMA_NO_NODE;
	struct pt_slot first;

	if (!fault_lock_same(vmf))
		return 0;
	if (va && !pte_special(vmf->orig) && was_huge(vmf, va, &first))
		return do_numa_huge(vmf, first, va);
	if (!pte_special(vmf->orig))
		nid = hint_fault(vmf, page, 1);
	if (nid != NUMA_NO_NODE) {
		get_page(page);
		pt_unlock(&vmf->slot);
		/* A page that moves comes back without the hint. */
		if (space_sys.move_ops->misplaced(page, nid) ||
		    !fault_lock_same(vmf))
			return 0;
	}
	pt_set(&vmf->slot, pte_mkyoung(pte_clear_hint(vmf->orig)));
	pt_unlock(&vmf->slot);
	return 0;
}
