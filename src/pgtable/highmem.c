/* SPDX-License-Identifier: MIT */
/*
 * highmem.c - addresses on loan for frames without a place in the direct map.
 *
 * 1. Purpose. With 32 bits most of a large machine's RAM has no address in the
 *    kernel. It is good for processes, whose tables reach all of it; whenever
 *    the manager itself must look inside (zero, copy, compare), it borrows
 *    an address here.
 *
 * 2. Structures. Two kinds of loan.
 *
 *    pkmap (kmap): one leaf table of addresses, for as long as one likes, seen
 *    by all CPUs. A slot's count says:
 *
 *          0          1                   n > 1
 *        free ---> mapped, no user <---> n - 1 users
 *          ^          |
 *          +--flush---+      one TLB flush of all CPUs for all slots at 1
 *
 *    Slots are tried in a circle from the one tried last. When the circle
 *    begins again the unused ones are flushed, so that flushes are rare: once
 *    in a table's worth of mappings. A hash by frame finds a frame's slot.
 *
 *    kmap_local: KM_SLOTS fixmap slots for each CPU, used as a stack. The
 *    holder is pinned, so only its own CPU can know the translation and only
 *    it is flushed, when the loan ends.
 *
 * 3. Invariants.
 *    HM-1  A slot of pkmap has a present entry exactly if its count is not 0,
 *          and stands in the hash exactly then; one slot for a frame.
 *    HM-2  A slot goes from 1 to 0 only together with a flush of all CPUs,
 *          before it can map something else.
 *    HM-3  Slots [0, depth) of a CPU's stack are mapped, the others not.
 *    HM-4  nr_free is the number of slots with a count below 2.
 *
 * 4. Locking. KMAP for pkmap; it is held over the flush, so that no slot is
 *    reused in between. The stacks need none: an interrupt that borrows has
 *    given back when it ends, so depth and entries are as they were.
 *
 * 5. Failure. No memory is needed: tables are made at boot. kmap() sleeps
 *    when all slots have users. Nesting deeper than KM_SLOTS, or given back in
 *    another order, is a bug (verified).
 *
 * 6. Cost. Low memory: a comparison. kmap_local: two entries written, one page
 *    flushed on one CPU; in a hosted world two system calls.
 *
 * 7. Rejected. Loans that move with a thread from CPU to CPU (Linux since
 *    5.11): the switch hook would have to map on every switch. A global list
 *    of unused slots: the circle does without.
 *
 * References: Linux documentation, mm/highmem.
 */
#include "pgtable/highmem.h"

#include <mmkit/errno.h>
#include <mmkit/port.h>

#include "base/string.h"
#include "pgtable/highmem_priv.h"
#include "pgtable/pgtable_priv.h"
#include "phys/phys.h"

MM_STATIC_ASSERT(PKMAP_MAX < UINT16_MAX, "a slot's number fits a link");

/* ---- one entry
 * ------------------------------------------------------------------------- */

/* Slot VA, whose table exists and which is empty, shows PFN. */
static void entry_set(kva_t va, u64 pfn)
{
	struct pt_slot slot;

	mm_verify(kernel_slot(va, &slot) && pte_none(pt_get(&slot)));
	pt_set(&slot, pte_make(pfn, PAGE_KERNEL));
	mm_verify(port_kmap_view(va, pfn, 1) == 0);
}

/* The reverse; the flush is the caller's. */
static void entry_clear(kva_t va)
{
	struct pt_slot slot;

	mm_verify(kernel_slot(va, &slot));
	mm_verify(pte_present(pt_xchg(&slot, __pte(0))));
	port_kunmap_view(va, 1);
}

/* ---- kmap_local
 * -------------------------------------------------------------------------
 */

static kva_t local_va(int cpu, u32 depth)
{
	return fix_to_virt(&pgtable_sys.layout,
			   FIX_KMAP_BEGIN + (u32)cpu * KM_SLOTS + depth);
}

static void *local_map(struct page *page)
{
	struct kmap_cpu *stack;
	u32 depth;
	kva_t va;

	mm_assert(PageHighMem(page));
	port_pin();
	stack = &pgtable_sys.high.cpu[port_cpu()];
	mm_verify(stack->depth < KM_SLOTS);
	depth = stack->depth++;
	stack->pfn[depth] = page_to_pfn(page);
	va = local_va(port_cpu(), depth);
	entry_set(va, page_to_pfn(page));
	return port_kva(va);
}

static void local_unmap(kva_t va)
{
	struct kmap_cpu *stack = &pgtable_sys.high.cpu[port_cpu()];

	va &= PAGE_MASK;
	/* The one lent last, and by this CPU. */
	mm_verify(stack->depth > 0 &&
		  va == local_va(port_cpu(), stack->depth - 1));
	entry_clear(va);
	port_tlb_flush_kernel_self(va, va + PAGE_SIZE);
	stack->depth--;
	port_unpin();
}

void *kmap_local_page(struct page *page)
{
	return page_map(page);
}

void kunmap_local(const void *addr)
{
	kva_t va = port_kva_of(addr);

	if (va)
		local_unmap(va);
}

void *kmap_atomic(struct page *page)
{
	port_pin();
	return kmap_local_page(page);
}

void kunmap_atomic(const void *addr)
{
	kunmap_local(addr);
	port_unpin();
}

/* ---- pkmap
 * -------------------------------------------------------------------------------
 */

static kva_t pkmap_va(u32 slot)
{
	mm_assert(slot < pgtable_sys.layout.nr_pkmap);
	return pgtable_sys.layout.pkmap_base + ((kva_t)slot << PAGE_SHIFT);
}

static u16 *bucket_of(u64 pfn)
{
	u64 mixed = pfn * 0x9e3779b97f4a7c15UL;

	return &pgtable_sys.high.bucket[mixed >> 32 & (PKMAP_BUCKETS - 1)];
}

/* PFN's slot + 1, or 0. Lock held. */
static u32 pkmap_find(u64 pfn)
{
	const struct highmem_state *h = &pgtable_sys.high;
	u32 i = *bucket_of(pfn);

	while (i && h->pfn[i - 1] != pfn)
		i = h->next[i - 1];
	return i;
}

static void hash_remove(u32 slot)
{
	struct highmem_state *h = &pgtable_sys.high;
	u16 *link = bucket_of(h->pfn[slot]);

	while (*link != slot + 1) {
		mm_verify(*link != 0);
		link = &h->next[*link - 1];
	}
	*link = h->next[slot];
}

/* Slots without users become free, with one flush. Lock held. */
static void pkmap_flush(void)
{
	struct highmem_state *h = &pgtable_sys.high;
	u32 nr = pgtable_sys.layout.nr_pkmap;
	bool any = false;

	for (u32 i = 0; i < nr; i++) {
		if (h->count[i] != 1)
			continue;
		h->count[i] = 0;
		entry_clear(pkmap_va(i));
		hash_remove(i);
		any = true;
	}
	if (any)
		port_tlb_flush_kernel(pkmap_va(0),
				      pkmap_va(nr - 1) + PAGE_SIZE);
}

/*
 * A free slot + 1; 0: none. The flush, at the circle's begin, frees slots that
 * were passed before it: hence up to two rounds. Lock held.
 */
static u32 pkmap_free_slot(void)
{
	struct highmem_state *h = &pgtable_sys.high;
	u32 nr = pgtable_sys.layout.nr_pkmap;

	for (u32 i = 0; i < 2 * nr && h->nr_free; i++) {
		h->last = (u16)((h->last + 1u) % nr);
		if (h->last == 0) {
			h->wraps++;
			pkmap_flush();
		}
		if (h->count[h->last] == 0)
			return h->last + 1u;
	}
	return 0;
}

/* Give SLOT, free, to PFN, without a user yet. Lock held. */
static void pkmap_take(u32 slot, u64 pfn)
{
	struct highmem_state *h = &pgtable_sys.high;
	u16 *bucket = bucket_of(pfn);

	entry_set(pkmap_va(slot), pfn);
	h->pfn[slot] = pfn;
	h->count[slot] = 1;
	h->next[slot] = *bucket;
	*bucket = (u16)(slot + 1);
}

/* PFN's slot with one user more. Lock held on return, dropped to sleep. */
static u32 pkmap_get(u64 pfn)
{
	struct highmem_state *h = &pgtable_sys.high;
	u32 slot;

	spin_lock(&h->lock);
	for (;;) {
		slot = pkmap_find(pfn);
		if (slot)
			break;
		slot = pkmap_free_slot();
		if (slot) {
			pkmap_take(slot - 1, pfn);
			break;
		}
		h->waits++;
		spin_unlock(&h->lock);
		/* Others map this frame, or take the slot: look again. */
		wait_event(h->wait, READ_ONCE(h->nr_free) > 0);
		spin_lock(&h->lock);
	}
	slot--;
	mm_verify(h->count[slot] < UINT16_MAX);
	if (h->count[slot]++ == 1)
		WRITE_ONCE(h->nr_free, h->nr_free - 1);
	return slot;
}

void *kmap(struct page *page)
{
	u32 slot;

	might_sleep();
	if (!PageHighMem(page))
		return page_view(page);
	slot = pkmap_get(page_to_pfn(page));
	spin_unlock(&pgtable_sys.high.lock);
	return port_kva(pkmap_va(slot));
}

void kunmap(struct page *page)
{
	struct highmem_state *h = &pgtable_sys.high;
	bool wake = false;
	u32 slot;

	mm_verify(!port_in_irq());
	if (!PageHighMem(page))
		return;
	spin_lock(&h->lock);
	slot = pkmap_find(page_to_pfn(page));
	mm_verify(slot && h->count[slot - 1] > 1);
	if (--h->count[slot - 1] == 1) {
		WRITE_ONCE(h->nr_free, h->nr_free + 1);
		wake = true;
	}
	spin_unlock(&h->lock);
	if (wake)
		wake_up_all(&h->wait);
}

void kmap_flush_unused(void)
{
	if (!pgtable_sys.high.on)
		return;
	spin_lock(&pgtable_sys.high.lock);
	pkmap_flush();
	spin_unlock(&pgtable_sys.high.lock);
}

void *page_address(struct page *page)
{
	u32 slot;

	if (!PageHighMem(page))
		return page_view(page);
	spin_lock(&pgtable_sys.high.lock);
	slot = pkmap_find(page_to_pfn(page));
	spin_unlock(&pgtable_sys.high.lock);
	return slot ? port_kva(pkmap_va(slot - 1)) : NULL;
}

struct page *kmap_to_page(const void *addr)
{
	kva_t va = port_kva_of(addr);
	struct kernel_entry e;

	if (!va)
		return view_to_page(addr);
	mm_verify(kernel_lookup(va, &e));
	return pfn_to_page(e.pfn);
}

/* ---- contents
 * ----------------------------------------------------------------------------
 */

void clear_highpage(struct page *page)
{
	page_clear(page);
}

void copy_highpage(struct page *to, struct page *from)
{
	void *src, *dst;

	if (likely(!PageHighMem(from) && !PageHighMem(to))) {
		port_copy_page(page_view(to), page_view(from));
		return;
	}
	src = page_map(from);
	dst = page_map(to);
	port_copy_page(dst, src);
	page_unmap(to, dst);
	page_unmap(from, src);
}

void zero_user(struct page *page, u32 off, u32 len)
{
	char *view = page_map(page);

	mm_verify(off <= PAGE_SIZE && len <= PAGE_SIZE - off);
	mm_memset(view + off, 0, len);
	page_unmap(page, view);
}

void memcpy_to_page(struct page *page, u32 off, const void *from, u32 len)
{
	char *view = page_map(page);

	mm_verify(off <= PAGE_SIZE && len <= PAGE_SIZE - off);
	mm_memcpy(view + off, from, len);
	page_unmap(page, view);
}

void memcpy_from_page(void *to, struct page *page, u32 off, u32 len)
{
	const char *view = page_map(page);

	mm_verify(off <= PAGE_SIZE && len <= PAGE_SIZE - off);
	mm_memcpy(to, view + off, len);
	page_unmap(page, (void *)(uintptr_t)view);
}

/* ---- fixmap
 * -------------------------------------------------------------------------------
 */

void clear_fixmap(u32 slot)
{
	kva_t va = fix_to_virt(&pgtable_sys.layout, slot);
	struct pt_slot s;

	mm_verify(slot > FIX_HOLE && slot < FIX_KMAP_BEGIN);
	mm_verify(kernel_slot(va, &s));
	if (!pte_present(pt_xchg(&s, __pte(0))))
		return;
	if (highmem_window(va))
		port_kunmap_view(va, 1);
	port_tlb_flush_kernel(va, va + PAGE_SIZE);
}

void set_fixmap(u32 slot, phys_addr_t pa, pgprot_t prot)
{
	kva_t va = fix_to_virt(&pgtable_sys.layout, slot);
	struct pt_slot s;

	mm_verify(IS_ALIGNED(pa, PAGE_SIZE));
	clear_fixmap(slot);
	mm_verify(kernel_slot(va, &s));
	pt_set(&s, pte_make(PFN_DOWN(pa), prot));
	/* A device has no view. */
	if (highmem_window(va) && pfn_present(PFN_DOWN(pa)))
		mm_verify(port_kmap_view(va, PFN_DOWN(pa), 1) == 0);
}

/* ---- boot, check
 * -------------------------------------------------------------------------- */

/* highmem_ops: the view tells which slot it is. */
static void ops_unmap(void *view)
{
	kva_t va = port_kva_of(view);

	mm_verify(va != 0);
	local_unmap(va);
}

static const struct highmem_ops highmem_ops = {local_map, ops_unmap};

int highmem_init(void)
{
	const struct kernel_layout *l = &pgtable_sys.layout;
	struct highmem_state *h = &pgtable_sys.high;
	u32 slots = (u32)port_nr_cpus() * KM_SLOTS;
	int err;

	if (!l->highmem)
		return 0;
	spin_lock_init(&h->lock, LOCK_CLASS_KMAP);
	init_waitqueue_head(&h->wait);
	h->nr_free = l->nr_pkmap;
	mm_assert(l->nr_pkmap <= PKMAP_MAX);
	err = kernel_reserve_tables(pkmap_va(0),
				    pkmap_va(l->nr_pkmap - 1) + PAGE_SIZE);
	if (!err)
		err = kernel_reserve_tables(
			fix_to_virt(l, FIX_KMAP_BEGIN + slots - 1),
			fix_to_virt(l, FIX_KMAP_BEGIN) + PAGE_SIZE);
	if (!err)
		err = port_kva_reserve(l->vmalloc_start,
				       l->fixaddr_top + PAGE_SIZE -
					       l->vmalloc_start);
	if (!err)
		err = port_ram_limit(l->low_end);
	if (err)
		return err;
	phys_set_highmem(&highmem_ops, PFN_DOWN(l->low_end));
	h->on = true;
	return 0;
}

/* What slot I's entry says against its count and the hash. Lock held. */
static void check_slot(u32 i)
{
	const struct highmem_state *h = &pgtable_sys.high;
	struct kernel_entry e;
	bool mapped = kernel_lookup(pkmap_va(i), &e);

	mm_verify(mapped == (h->count[i] != 0));
	mm_verify(!mapped || e.pfn == h->pfn[i]);
	mm_verify(!mapped || pkmap_find(h->pfn[i]) == i + 1);
}

void highmem_check(void)
{
	struct highmem_state *h = &pgtable_sys.high;
	u32 free = 0;

	if (!h->on)
		return;
	spin_lock(&h->lock);
	for (u32 i = 0; i < pgtable_sys.layout.nr_pkmap; i++) {
		check_slot(i);
		free += h->count[i] < 2;
	}
	mm_verify(free == h->nr_free);
	spin_unlock(&h->lock);
}
