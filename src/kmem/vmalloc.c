/* SPDX-License-Identifier: MIT */
/*
 * vmalloc.c - memory that is contiguous only for the CPU.
 *
 * 1. Purpose. Large tables of the kernel without large blocks of frames; other
 *    people's frames seen as one range; devices. Each in an area of addresses
 *    with a guard page behind, so that running over the end traps.
 *
 * 2. Structures. vmap_area.c keeps the addresses, pgtable/kernel.c the tables.
 *    An area (struct vm_struct) knows its frames: an array, or for one frame a
 *    field. In a hosted world the manager touches a view: the port maps the
 *    frames a second time at the same distance from the window's start as the
 *    addresses have from the area's, and nothing else there can be touched.
 *
 *      vmalloc space  | frames | guard | frames | guard | free ...
 *      page tables      v  v            v  v
 *      view           | mapped |  trap | mapped | trap  | trap ...
 *
 * 3. Invariants.
 *    VM-1  The frames of a busy VM_ALLOC area that is ready are mapped, in
 *          order, and nothing else is mapped in an area.
 *    VM-2  Behind the frames of an area without VM_NO_GUARD one page is never
 *          mapped.
 *    VM-3  nr_pages counts the frames of VM_ALLOC areas.
 *    VM-4  No address is mapped to another frame before all CPUs flushed it.
 *
 * 4. Locking. The area lock says who owns an area; what it holds is its
 *    owner's. An area is VM_UNINITIALIZED while it is filled: it is busy, and
 *    readers (vread, vmallocinfo) leave its contents alone.
 *
 * 5. Life. vmalloc(): area, frames, tables, view. vfree(): out of the tree of
 *    busy areas, entries cleared, view gone, frames freed at once, addresses
 *    put on the purge list: between this and the flush a CPU may still reach
 *    the frames through a stale translation, but only by an address that its
 *    user gave back. VM_FLUSH_RESET_PERMS flushes before frames are freed.
 *
 * 6. Failure. What was allocated is freed, addresses that were never mapped
 *    are free at once, others go the way of vfree(). NULL, logged.
 *
 * 7. Cost. One object, one array (none for a single frame), frames by blocks
 *    that are split, and back by blocks where they follow each other; a walk
 *    for each leaf table, none for one that is remembered. A flush for 32 MiB
 * times the bits of the number of CPUs.
 *
 * 8. Rejected. Freeing frames only after the flush: would hold up to 32 MiB
 *    and more, for the sake of callers that are wrong anyway. A work queue for
 *    vfree_atomic(): the manager has none; the next caller that may sleep does
 *    the work.
 *
 * References: Linux documentation, core-api/mm-api, core-api/cachetlb,
 * filesystems/proc (vmallocinfo).
 */
#include "kmem/vmalloc.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>
#include <mmkit/slab.h>

#include "base/bitops.h"
#include "base/fail.h"
#include "base/printk.h"
#include "base/string.h"
#include "kmem/slab.h"
#include "pgtable/kernel.h"
#include "phys/group.h"
#include "phys/phys.h"

/* What concerns the frames alone: where from, and who pays. */
#define FRAME_BITS (__GFP_DMA | __GFP_DMA32 | __GFP_HIGHMEM | __GFP_ACCOUNT)

/* Without these nobody pays for a frame. */
#define FRAMES_PAID (__GFP_ACCOUNT | __GFP_HARDWALL)

static inline struct vmalloc_state *state(void)
{
	return &kmem_sys.vm;
}

static kva_t addr_kva(const void *addr)
{
	return state()->up ? port_kva_of(addr) : 0;
}

/* Pages of VM that can be mapped. */
static u64 usable_pages(const struct vm_struct *vm)
{
	u64 pages = (vm->va.va_end - vm->va.va_start) >> PAGE_SHIFT;

	return vm->flags & VM_NO_GUARD ? pages : pages - 1;
}

/* ---- areas
 * ----------------------------------------------------------------------------
 */

static void warn(gfp_t gfp, u64 size, const char *what)
{
	if (!(gfp & __GFP_NOWARN))
		pr_warn("vmalloc error: size %llu, %s",
			(unsigned long long)size, what);
}

static inline __attribute__((always_inline)) struct vm_struct *
area_get(const struct vm_place *p, gfp_t gfp)
{
	struct vmap_areas *a = &state()->areas;
	struct vmap_want want = {
		.size = p->size + (p->flags & VM_NO_GUARD ? 0 : PAGE_SIZE),
		.align = p->align,
		.start = p->end ? p->start : a->start,
		.end = p->end ? p->end : a->end,
	};
	struct vm_struct *vm;

	if (unlikely(!state()->up)) {
		warn(gfp, p->size, "RAM cannot be mapped twice in this world");
		return NULL;
	}
	if (unlikely(READ_ONCE(state()->deferred)) && !port_in_irq())
		vfree_deferred();
	vm = kmem_cache_alloc(a->cache, gfp & ~(__GFP_ZERO | FRAME_BITS));
	if (!vm) {
		warn(gfp, p->size, "vm_struct allocation failed");
		return NULL;
	}
	vm->flags = p->flags | VM_UNINITIALIZED;
	vm->nr_pages = 0;
	vm->pages = NULL;
	vm->phys_addr = 0;
	vm->caller = p->caller;
	vm->block = NULL;
	if (vmap_area_alloc(vm, &want, gfp)) {
		kmem_cache_free(a->cache, vm);
		return NULL;
	}
	return vm;
}

struct vm_struct *vm_area_get(const struct vm_place *p, gfp_t gfp)
{
	return area_get(p, gfp);
}

void vm_area_drop(struct vm_struct *vm)
{
	mm_assert(vm->flags & VM_UNINITIALIZED);
	vmap_area_cancel(vm);
}

void vm_area_ready(struct vm_struct *vm)
{
	/* What it holds before that it may be looked at. */
	smp_store_release(&vm->flags, vm->flags & ~VM_UNINITIALIZED);
}

/* Frames from PAGES[AT] on that follow each other. */
static u64 run_length(struct page *const *pages, u64 at, u64 nr)
{
	const struct page *next = pages[at];
	u64 i = at;

	for (; i + 4 <= nr; i += 4, next += 4) {
		if (pages[i] != next || pages[i + 1] != next + 1 ||
		    pages[i + 2] != next + 2 || pages[i + 3] != next + 3)
			break;
	}
	while (i < nr && pages[i] == next) {
		i++;
		next++;
	}
	return i - at;
}

/* ---- tables and views
 * -------------------------------------------------------------------- */

/* All of it or nothing. */
static int show_views(kva_t va, struct page *const *pages, u64 nr)
{
	u64 at, n;

	for (at = 0; at < nr; at += n) {
		kva_t here = va + (at << PAGE_SHIFT);
		int err = fail_should(FAIL_VMAP) ? -ENOMEM : 0;

		n = run_length(pages, at, nr);
		if (!err)
			err = port_kmap_view(here, page_to_pfn(pages[at]), n);
		if (!err)
			continue;
		if (at)
			port_kunmap_view(va, at);
		return err;
	}
	return 0;
}

/* vm_show() of one frame. */
static int show_one(kva_t va, const struct page *page, pgprot_t prot)
{
	u64 pfn = page_to_pfn(page);
	int err = kernel_area_map_pfn(va, pfn, prot);

	if (unlikely(err))
		return err;
	err = fail_should(FAIL_VMAP) ? -ENOMEM : port_kmap_view(va, pfn, 1);
	if (unlikely(err)) {
		kernel_area_unmap(va, 1);
		port_tlb_flush_kernel(va, va + PAGE_SIZE);
	}
	return err;
}

int vm_show(kva_t va, struct page *const *pages, u64 nr, pgprot_t prot,
	    bool large)
{
	const struct kernel_area a = {va, pages, nr, prot, large};
	int err;

	if (nr == 1)
		return show_one(va, pages[0], prot);
	err = kernel_area_map(&a);
	if (!err) {
		err = show_views(va, pages, nr);
		if (err)
			kernel_area_unmap(va, nr);
	}
	/* Some of it was there for a moment; the addresses are used again. */
	if (err)
		port_tlb_flush_kernel(va, va + (nr << PAGE_SHIFT));
	return err;
}

void vm_hide(kva_t va, u64 nr)
{
	kernel_area_unmap(va, nr);
	port_kunmap_view(va, nr);
}

/* ---- frames
 * ---------------------------------------------------------------------------
 */

static MM_NOINLINE void free_runs(struct page *const *pages, u64 nr)
{
	u64 at, n;

	for (at = 0; at < nr; at += n) {
		n = run_length(pages, at, nr);
		free_page_run(pages[at], n);
	}
}

static inline void free_frames(struct page *const *pages, u64 nr)
{
	if (nr == 1)
		__free_page(pages[0]);
	else
		free_runs(pages, nr);
}

/* Frames of one block need few steps each; single ones come in bulk. */
#define BLOCK_ORDER_MIN 3u
#define BLOCK_ORDER_MAX 8u

static struct page *get_block(gfp_t gfp, unsigned int order, int node)
{
	return node < 0 ? alloc_pages(gfp, order)
			: __alloc_pages(gfp, order, node);
}

/*
 * Blocks as single frames, the largest that are free without any effort;
 * returns how many frames, from PAGES[0] on.
 */
static u64 get_blocks(struct page **pages, u64 nr, gfp_t gfp, int node)
{
	unsigned int order = BLOCK_ORDER_MAX;
	u64 at = 0;

	gfp &= ~(__GFP_NOFAIL | __GFP_RECLAIM);
	gfp |= __GFP_NORETRY | __GFP_NOWARN;
	while (nr - at >= 1UL << BLOCK_ORDER_MIN && order >= BLOCK_ORDER_MIN) {
		struct page *block;

		order = min(order, (unsigned int)ilog2(nr - at));
		block = get_block(gfp, order, node);
		if (!block) {
			order--;
			continue;
		}
		split_page(block, order);
		for (u64 i = 0; i < 1UL << order; i++) {
			pages[at + i] = block + i;
			set_page_index(block + i, PAGE_INDEX_VMALLOC);
		}
		at += 1UL << order;
	}
	return at;
}

/* Large pages as single frames, from PAGES[0] on, while they are easy to get;
 * returns how many frames. */
static u64 get_large(struct page **pages, u64 nr, gfp_t gfp, int node)
{
	u64 large = pt_span(pgtable_sys.master.fmt, 1) >> PAGE_SHIFT;
	unsigned int order = (unsigned int)ilog2(large);
	u64 at;

	gfp = (gfp & ~__GFP_NOFAIL) | __GFP_NORETRY | __GFP_NOWARN;
	for (at = 0; nr - at >= large; at += large) {
		struct page *block = __alloc_pages(gfp, order, node);

		if (!block)
			break;
		split_page(block, order);
		for (u64 i = 0; i < large; i++)
			pages[at + i] = block + i;
	}
	return at;
}

/* Room for the addresses of NR frames, more than one. */
static struct page **array_get(struct vm_struct *vm, u64 nr, gfp_t gfp,
			       int node)
{
	size_t bytes = nr * sizeof(struct page *);

	gfp &= ~FRAME_BITS;
	gfp |= __GFP_ZERO;
	/* At most a few levels: each is 512 times smaller. */
	if (bytes > PAGE_SIZE)
		return vmalloc_caller(bytes, gfp, node, vm->caller);
	return kmalloc(bytes, gfp);
}

static void array_put(struct vm_struct *vm)
{
	if (vm->pages == &vm->one)
		return;
	if (is_vmalloc_addr(vm->pages))
		vfree(vm->pages);
	else
		kfree(vm->pages);
}

/* The NR frames PAGES say that they are an area's. */
static void name_frames(struct page *const *pages, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		set_page_index(pages[i], PAGE_INDEX_VMALLOC);
}

/*
 * VM has NR frames from now on, or (SIGN -1) not any more: those who pay for
 * them are told. Who pays for none when they come pays for none when they go.
 */
static MM_NOINLINE void tell_payers(struct vm_struct *vm, u64 nr, s64 sign)
{
	for (u64 i = 0; i < nr; i++) {
		u16 group = page_group(vm->pages[i]);

		if (!group)
			continue;
		vm->flags |= VM_PAID;
		group_stat_add(group, GROUP_VMALLOC, sign);
	}
}

/* VM's array is filled with NR frames; 0 or -ENOMEM with none. */
static int frames_get(struct vm_struct *vm, u64 nr, gfp_t gfp, int node)
{
	u64 got = 0, single;

	gfp |= __GFP_NOWARN;
	if (vm->flags & VM_ALLOW_HUGE_VMAP)
		got = get_large(vm->pages, nr, gfp, node);
	name_frames(vm->pages, got);
	got += get_blocks(vm->pages + got, nr - got, gfp, node);
	single = alloc_pages_bulk(gfp, node, nr - got, vm->pages + got);
	name_frames(vm->pages + got, single);
	got += single;
	if (got < nr) {
		free_frames(vm->pages, got);
		return -ENOMEM;
	}
	if (unlikely(gfp & FRAMES_PAID))
		tell_payers(vm, nr, 1);
	return 0;
}

/* ---- vmalloc
 * -------------------------------------------------------------------------- */

static gfp_t frame_gfp(gfp_t gfp)
{
	return gfp & (__GFP_DMA | __GFP_DMA32) ? gfp : gfp | __GFP_HIGHMEM;
}

/* fill() for one frame, which needs no array. */
static inline int fill_one(struct vm_struct *vm, gfp_t gfp, int node)
{
	gfp_t how = frame_gfp(gfp) | __GFP_NOWARN;
	struct page *page =
		node < 0 ? alloc_pages(how, 0) : __alloc_pages(how, 0, node);

	if (unlikely(!page)) {
		warn(gfp, PAGE_SIZE, "page order 0, failed to allocate pages");
		return -ENOMEM;
	}
	if (unlikely(show_one(vm->va.va_start, page, PAGE_KERNEL))) {
		warn(gfp, PAGE_SIZE, "failed to map pages");
		__free_page(page);
		return -ENOMEM;
	}
	set_page_index(page, PAGE_INDEX_VMALLOC);
	vm->one = page;
	vm->pages = &vm->one;
	vm->nr_pages = 1;
	if (unlikely(gfp & FRAMES_PAID))
		tell_payers(vm, 1, 1);
	return 0;
}

/* The area VM gets its frames and shows them; 0, or -ENOMEM with the area as
 * it was. */
static MM_NOINLINE int fill(struct vm_struct *vm, gfp_t gfp, int node)
{
	u64 nr = usable_pages(vm), size = nr << PAGE_SHIFT;
	bool large = vm->flags & VM_ALLOW_HUGE_VMAP;
	int err;

	vm->pages = array_get(vm, nr, gfp, node);
	if (!vm->pages) {
		warn(gfp, size, "failed to allocate page array");
		return -ENOMEM;
	}
	err = frames_get(vm, nr, frame_gfp(gfp), node);
	if (err) {
		warn(gfp, size, "page order 0, failed to allocate pages");
		goto free_array;
	}
	err = vm_show(vm->va.va_start, vm->pages, nr, PAGE_KERNEL, large);
	if (err) {
		warn(gfp, size, "failed to map pages");
		goto free_frames;
	}
	vm->nr_pages = (u32)nr;
	return 0;
free_frames:
	if (unlikely(vm->flags & VM_PAID))
		tell_payers(vm, nr, -1);
	free_frames(vm->pages, nr);
free_array:
	array_put(vm);
	vm->pages = NULL;
	return err;
}

static void *alloc_area(const struct vm_place *p, gfp_t gfp, int node)
{
	struct vm_struct *vm;
	int err;

	if (unlikely(!p->size || p->size >> PAGE_SHIFT >
					 READ_ONCE(phys_sys.totalram_pages))) {
		warn(gfp, p->size, "exceeds total pages");
		return NULL;
	}
	vm = area_get(p, gfp);
	if (!vm)
		return NULL;
	err = usable_pages(vm) == 1 ? fill_one(vm, gfp, node)
				    : fill(vm, gfp, node);
	if (unlikely(err)) {
		vm_area_drop(vm);
		return NULL;
	}
	__atomic_fetch_add(&state()->nr_pages, vm->nr_pages, __ATOMIC_RELAXED);
	vm_area_ready(vm);
	return port_kva(vm->va.va_start);
}

void *vmalloc_caller(size_t size, gfp_t gfp, int node, const char *caller)
{
	const struct vm_place p = {.size = PAGE_ALIGN(size),
				   .align = PAGE_SIZE,
				   .flags = VM_ALLOC,
				   .caller = caller};

	return alloc_area(&p, gfp, node);
}

void *vmalloc_user(size_t size)
{
	const struct vm_place p = {.size = PAGE_ALIGN(size),
				   .align = PAGE_SIZE,
				   .flags = VM_ALLOC | VM_USERMAP,
				   .caller = __func__};

	return alloc_area(&p, GFP_KERNEL | __GFP_ZERO, -1);
}

void *vmalloc_32(size_t size)
{
	/* With 32 bits zone NORMAL lies below 4 GiB. */
	bool wide = pgtable_sys.layout.fmt->va_bits > 32;

	if (!wide) {
		const struct vm_place p = {.size = PAGE_ALIGN(size),
					   .align = PAGE_SIZE,
					   .flags = VM_ALLOC,
					   .caller = __func__};
		return alloc_area(&p, GFP_KERNEL | __GFP_DMA, -1);
	}
	return vmalloc_caller(size, GFP_KERNEL | __GFP_DMA32, -1, __func__);
}

void *vmalloc_huge(size_t size, gfp_t gfp)
{
	u64 span = pt_span(pgtable_sys.layout.fmt, 1);
	bool large = size >= span && pt_leaf_allowed(pgtable_sys.layout.fmt, 1);
	const struct vm_place p = {.size = PAGE_ALIGN(size),
				   .align = large ? span : PAGE_SIZE,
				   .flags = VM_ALLOC |
					    (large ? VM_ALLOW_HUGE_VMAP : 0),
				   .caller = __func__};

	return alloc_area(&p, gfp, -1);
}

/* VM, which nobody finds any more, is unmapped; frames of its own are freed. */
static void undo_area(struct vm_struct *vm)
{
	kva_t va = vm->va.va_start;
	u64 nr = vm->nr_pages;

	if (nr)
		vm_hide(va, nr);
	if (unlikely(vm->flags & VM_FLUSH_RESET_PERMS))
		vmap_purge(va, vm->va.va_end);
	if (unlikely(vm->flags & VM_PAID))
		tell_payers(vm, nr, -1);
	if (vm->flags & (VM_ALLOC | VM_MAP_PUT_PAGES)) {
		free_frames(vm->pages, nr);
		array_put(vm);
	}
	if (vm->flags & VM_ALLOC)
		__atomic_fetch_sub(&state()->nr_pages, nr, __ATOMIC_RELAXED);
	vmap_area_release(vm);
}

static struct vm_struct *take(const void *addr, u32 any, const char *who)
{
	kva_t va = addr_kva(addr);
	struct vm_struct *vm = va ? vmap_area_take(va, any) : NULL;

	if (!vm)
		pr_err("BUG: trying to %s() nonexistent vm area (0x%llx)", who,
		       (unsigned long long)va);
	return vm;
}

void vfree(const void *addr)
{
	struct vm_struct *vm;

	if (!addr)
		return;
	if (unlikely(port_in_irq())) {
		vfree_atomic(addr);
		return;
	}
	if (unlikely(READ_ONCE(state()->deferred)))
		vfree_deferred();
	vm = take(addr, VM_ALLOC | VM_MAP_PUT_PAGES, "vfree");
	if (vm)
		undo_area(vm);
}

void vfree_atomic(const void *addr)
{
	struct vfree_later *l = (void *)(uintptr_t)addr, *old;

	if (!addr)
		return;
	old = __atomic_load_n(&state()->deferred, __ATOMIC_RELAXED);
	do
		l->next = old;
	while (!mm_try_cmpxchg(&state()->deferred, &old, l));
}

void vfree_deferred(void)
{
	struct vfree_later *l = mm_xchg(&state()->deferred, NULL);

	mm_assert(!port_in_irq());
	while (l) {
		struct vfree_later *next = l->next;
		struct vm_struct *vm =
			take(l, VM_ALLOC | VM_MAP_PUT_PAGES, "vfree_atomic");

		if (vm)
			undo_area(vm);
		l = next;
	}
}

/* ---- frames of others
 * ----------------------------------------------------------------- */

void *vmap(struct page **pages, u32 nr, u32 flags, enum vm_prot prot)
{
	const struct vm_place p = {
		.size = (u64)nr << PAGE_SHIFT,
		.align = PAGE_SIZE,
		.flags = (flags & (VM_MAP_PUT_PAGES | VM_FLUSH_RESET_PERMS)) |
			 VM_MAP,
		.caller = __func__};
	struct vm_struct *vm;

	if (!nr || nr > totalram_pages())
		return NULL;
	vm = vm_area_get(&p, GFP_KERNEL);
	if (!vm)
		return NULL;
	if (vm_show(vm->va.va_start, pages, nr, vm_pgprot(prot), false)) {
		vm_area_drop(vm);
		return NULL;
	}
	vm->nr_pages = nr;
	/* The array of others may be gone before the mapping. */
	vm->pages = vm->flags & VM_MAP_PUT_PAGES ? pages : NULL;
	vm_area_ready(vm);
	return port_kva(vm->va.va_start);
}

void vunmap(const void *addr)
{
	struct vm_struct *vm;

	if (!addr)
		return;
	mm_assert(!port_in_irq());
	vm = take(addr, VM_MAP, "vunmap");
	if (!vm)
		return;
	mm_assert(!(vm->flags & VM_ALLOC));
	/* The frames stay, whoever was to free them. */
	if (vm->flags & VM_MAP_PUT_PAGES) {
		kfree(vm->pages);
		vm->pages = NULL;
	}
	vm->flags &= ~VM_MAP_PUT_PAGES;
	undo_area(vm);
}

void vm_unmap_aliases(void)
{
	kva_t start = UINT64_MAX, end = 0;

	if (!state()->up)
		return;
	vfree_deferred();
	vmap_blocks_purge(&start, &end);
	if (start < end)
		vmap_purge(start, end);
	else
		vmap_purge(0, 0);
}

/* ---- questions
 * ------------------------------------------------------------------------ */

bool is_vmalloc_addr(const void *addr)
{
	kva_t va = addr_kva(addr);

	return va && va >= state()->areas.start && va < state()->areas.end;
}

kva_t vmalloc_kva(const void *addr)
{
	return is_vmalloc_addr(addr) ? addr_kva(addr) : 0;
}

u64 vmalloc_to_pfn(const void *addr)
{
	struct kernel_entry e;

	if (!is_vmalloc_addr(addr) || !kernel_lookup(addr_kva(addr), &e))
		return UINT64_MAX;
	return e.pfn;
}

struct page *vmalloc_to_page(const void *addr)
{
	u64 pfn = vmalloc_to_pfn(addr);

	return pfn != UINT64_MAX && pfn_valid(pfn) ? pfn_to_page(pfn) : NULL;
}

struct vm_struct *find_vm_area(const void *addr)
{
	struct vm_struct *vm = NULL;
	kva_t va = vmalloc_kva(addr);

	if (!va)
		return NULL;
	spin_lock(&state()->areas.lock);
	vm = vmap_area_find(va);
	if (vm && (vm->va.va_start != va || vm->block))
		vm = NULL;
	spin_unlock(&state()->areas.lock);
	return vm;
}

size_t get_vm_area_size(const struct vm_struct *vm)
{
	return usable_pages(vm) << PAGE_SHIFT;
}

u64 vmalloc_nr_pages(void)
{
	return READ_ONCE(state()->nr_pages);
}

/* ---- reading while others free
 * ---------------------------------------------------------- */

/* Can the page VA of VM be read? Lock held. */
static bool readable(const struct vm_struct *vm, kva_t va)
{
	u32 flags = smp_load_acquire(&vm->flags);

	if (flags & (VM_UNINITIALIZED | VM_IOREMAP))
		return false;
	if (vm->block)
		return vmap_block_used(vm, va);
	return va - vm->va.va_start < (u64)vm->nr_pages << PAGE_SHIFT;
}

/*
 * Up to the end of VA's page, at most LEFT bytes, to BUF. Under the lock an
 * area that is busy stays so, and with it its frames.
 */
static u64 read_some(char *buf, kva_t va, u64 left, bool *any)
{
	u64 n = min(left, PAGE_SIZE - (va & (PAGE_SIZE - 1)));
	const struct vm_struct *vm;
	bool ok = false;

	spin_lock(&state()->areas.lock);
	vm = vmap_area_find(va);
	if (vm) {
		ok = readable(vm, va);
		*any |= ok;
	}
	if (ok)
		mm_memcpy(buf, port_kva(va), n);
	spin_unlock(&state()->areas.lock);
	if (!ok)
		mm_memset(buf, 0, n);
	return n;
}

u64 vread(void *buf, const void *addr, u64 count)
{
	kva_t va = vmalloc_kva(addr);
	bool any = false;
	u64 done = 0;

	if (!va)
		return 0;
	count = min(count, state()->areas.end - va);
	while (done < count)
		done += read_some((char *)buf + done, va + done, count - done,
				  &any);
	return any ? count : 0;
}

static void row_fill(const struct vm_struct *vm, struct vm_row *row)
{
	*row = (struct vm_row){
		.start = vm->va.va_start,
		.end = vm->va.va_end,
		.flags = smp_load_acquire(&vm->flags),
		.caller = vm->caller,
	};
	if (row->flags & VM_UNINITIALIZED)
		return;
	row->nr_pages = vm->nr_pages;
	row->phys_addr = vm->phys_addr;
	row->vpages = vm->pages && vm->pages != &vm->one &&
		      is_vmalloc_addr(vm->pages);
	for (u32 i = 0; vm->pages && i < vm->nr_pages; i++)
		row->node_pages[page_to_nid(vm->pages[i])]++;
}

bool vm_row_next(kva_t *at, struct vm_row *row)
{
	const struct vm_struct *vm;

	if (!state()->up)
		return false;
	spin_lock(&state()->areas.lock);
	vm = vmap_area_next(*at);
	if (vm) {
		row_fill(vm, row);
		*at = vm->va.va_end;
	}
	spin_unlock(&state()->areas.lock);
	return vm != NULL;
}

bool vm_row_unpurged(u64 n, struct vm_row *row)
{
	struct vmap_area *va;
	bool found = false;

	if (!state()->up)
		return false;
	spin_lock(&state()->areas.lock);
	list_for_each_entry (va, &state()->areas.purge_list, list) {
		if (n--)
			continue;
		*row = (struct vm_row){.start = va->va_start,
				       .end = va->va_end};
		found = true;
		break;
	}
	spin_unlock(&state()->areas.lock);
	return found;
}

/* ---- boot, check
 * ------------------------------------------------------------------------ */

/*
 * The world's window for [START, *END): where it has fewer addresses than the
 * machine, the lower part, which is what gets used.
 */
static int reserve_window(kva_t start, kva_t *end)
{
	u64 bytes = min(*end - start, VMAP_WINDOW_BYTES);
	int err;

	/* With high memory the whole window is there since boot. */
	if (pgtable_sys.high.on)
		return 0;
	do {
		err = port_kva_reserve(start, bytes);
		*end = start + bytes;
		bytes >>= 1;
	} while (err == -ENOMEM && bytes >= 1UL << 30);
	return err;
}

/* kvmalloc_ops */
static void *scattered_alloc(size_t size, gfp_t gfp, int node)
{
	return vmalloc_caller(size, gfp, node, "kvmalloc_node");
}

static const struct kvmalloc_ops vmalloc_ops = {scattered_alloc, vfree,
						is_vmalloc_addr};

int vmalloc_init(u64 taken)
{
	const struct kernel_layout *l = &pgtable_sys.layout;
	kva_t start = l->vmalloc_start + ALIGN(taken, PAGE_SIZE);
	kva_t end = l->vmalloc_end;
	int err = reserve_window(start, &end);

	if (err == -EOPNOTSUPP) {
		pr_info("vmalloc: RAM of this world cannot be mapped twice");
		return 0;
	}
	if (err)
		return err;
	err = vmap_areas_init(start, end);
	if (!err)
		err = vmap_blocks_init();
	state()->up = !err;
	if (!err)
		kvmalloc_set_ops(&vmalloc_ops);
	return err;
}

/* Is page I of VM mapped? */
static bool should_be_mapped(const struct vm_struct *vm, u64 i)
{
	kva_t va = vm->va.va_start + (i << PAGE_SHIFT);

	if (vm->block)
		return vmap_block_used(vm, va);
	return i < (vm->flags & VM_IOREMAP ? usable_pages(vm) : vm->nr_pages);
}

/* One area: what is mapped is what it says. */
static void check_area(const struct vm_struct *vm)
{
	u64 pages = (vm->va.va_end - vm->va.va_start) >> PAGE_SHIFT;

	/* Which pages of these are there is percpu.c's. */
	if (vm->flags & VM_PERCPU)
		return;

	for (u64 i = 0; i < pages; i++) {
		kva_t va = vm->va.va_start + (i << PAGE_SHIFT);
		struct kernel_entry e;
		bool mapped = kernel_lookup(va, &e);

		mm_verify(mapped == should_be_mapped(vm, i));
		if (mapped && vm->pages)
			mm_verify(e.pfn == page_to_pfn(vm->pages[i]));
	}
}

void vmalloc_check(void)
{
	struct vmap_area *va;
	u64 nr = 0;

	if (!state()->up)
		return;
	vmap_areas_check();
	vmap_blocks_check();
	spin_lock(&state()->areas.lock);
	list_for_each_entry (va, &state()->areas.busy_list, list) {
		const struct vm_struct *vm =
			container_of(va, struct vm_struct, va);

		mm_verify(!(vm->flags & VM_UNINITIALIZED));
		check_area(vm);
		if (vm->flags & VM_ALLOC)
			nr += vm->nr_pages;
	}
	mm_verify(nr == vmalloc_nr_pages());
	spin_unlock(&state()->areas.lock);
}
