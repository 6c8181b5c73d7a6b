/* SPDX-License-Identifier: MIT */
/*
 * vmap_block.c - short-lived mappings of a few frames, by CPU.
 *
 * 1. Purpose. vm_map_ram() is called often and for little: neither a search
 *    for addresses nor a flush each time.
 *
 * 2. Structures. Each CPU has blocks of up to 1024 pages of addresses. Pages
 *    are given out from front to back, a power of two each time, and never
 *    twice; those that come back are dirty. A block all of which is dirty goes
 *    the way of other areas.
 *
 *      block  | used | dirty | used | dirty ....... | free ............ |
 *                                                   ^ next
 *
 * 3. Invariants.
 *    VB-1  free + dirty + pages given out and not back = pages of the block.
 *    VB-2  A page whose bit in used is set is mapped; its bit is set
 *          last and cleared first.
 *    VB-3  Pages given back since the last flush lie in [dirty_min,
 *          dirty_max).
 *
 * 4. Locking. A queue's lock for its blocks, whoever frees. It may be taken
 *    inside the area lock, never the other way.
 *
 * 5. Life. Made when no block of the CPU has room; its area is found by
 *    address when a mapping comes back. Blocks with no mapping, begun or not,
 *    are given up when addresses are short.
 *
 * 6. Failure. NULL; what was taken from the block is dirty then.
 *
 * References: Linux documentation, core-api/mm-api.
 */
#include "kmem/vmalloc.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>
#include <mmkit/slab.h>

#include "base/bitmap.h"
#include "base/printk.h"
#include "kmem/slab.h"
#include "pgtable/kernel.h"

static inline struct vmalloc_state *state(void)
{
	return &kmem_sys.vm;
}

static kva_t block_start(const struct vmap_block *vb)
{
	return vb->vm->va.va_start;
}

/* ---- blocks
 * ---------------------------------------------------------------------------
 */

/* A fresh block in the running CPU's queue; 0 or -ENOMEM. */
static int block_new(void)
{
	const struct vm_place p = {
		.size = (u64)state()->block_pages << PAGE_SHIFT,
		.align = (u64)state()->block_pages << PAGE_SHIFT,
		.flags = VM_MAP_RAM | VM_NO_GUARD,
		.caller = "vm_map_ram"};
	struct vmap_block *vb =
		kmem_cache_alloc(state()->block_cache, GFP_KERNEL | __GFP_ZERO);
	struct vmap_block_queue *q;

	if (!vb)
		return -ENOMEM;
	vb->vm = vm_area_get(&p, GFP_KERNEL);
	if (!vb->vm) {
		kmem_cache_free(state()->block_cache, vb);
		return -ENOMEM;
	}
	vb->pages = vb->free = state()->block_pages;
	vb->dirty_min = vb->pages;
	vb->vm->block = vb;
	vm_area_ready(vb->vm);
	vb->cpu = get_cpu();
	q = &state()->queue[vb->cpu];
	spin_lock(&q->lock);
	list_add_tail(&vb->list, &q->all);
	spin_unlock(&q->lock);
	put_cpu();
	return 0;
}

/* The block VB is off its queue: nobody finds it any more. */
static void block_end(struct vmap_block *vb)
{
	struct vm_struct *vm = vmap_area_take(block_start(vb), VM_MAP_RAM);

	mm_verify(vm == vb->vm && bitmap_empty(vb->used, vb->pages));
	vm->block = NULL;
	kmem_cache_free(state()->block_cache, vb);
	vmap_area_release(vm);
}

/* ROOM pages (a power of two) from a block of this CPU: the address; 0: none.
 */
static kva_t block_alloc(u32 room)
{
	struct vmap_block_queue *q = &state()->queue[get_cpu()];
	struct vmap_block *vb;
	kva_t va = 0;

	spin_lock(&q->lock);
	list_for_each_entry (vb, &q->all, list) {
		u32 at = vb->pages - vb->free;

		if (vb->free < room)
			continue;
		vb->free -= room;
		va = block_start(vb) + ((kva_t)at << PAGE_SHIFT);
		break;
	}
	spin_unlock(&q->lock);
	put_cpu();
	return va;
}

/* ROOM pages from VA on are dirty; NR of them were mapped. */
static void block_free(struct vmap_block *vb, kva_t va, u32 room)
{
	struct vmap_block_queue *q = &state()->queue[vb->cpu];
	u32 at = (u32)((va - block_start(vb)) >> PAGE_SHIFT);
	bool end;

	spin_lock(&q->lock);
	vb->dirty_min = min(vb->dirty_min, at);
	vb->dirty_max = max(vb->dirty_max, at + room);
	vb->dirty += room;
	mm_verify(vb->dirty + vb->free <= vb->pages);
	end = vb->dirty == vb->pages;
	if (end)
		list_del(&vb->list);
	spin_unlock(&q->lock);
	if (end)
		block_end(vb);
}

/* [VA, VA + NR pages) is mapped: others may look at it. */
static void block_use(struct vmap_block *vb, kva_t va, u32 nr)
{
	struct vmap_block_queue *q = &state()->queue[vb->cpu];
	u32 at = (u32)((va - block_start(vb)) >> PAGE_SHIFT);

	spin_lock(&q->lock);
	mm_verify(find_next_bit(vb->used, at + nr, at) == at + nr);
	bitmap_set(vb->used, at, nr);
	spin_unlock(&q->lock);
}

/* The bits of [VA, VA + NR pages) go before the mapping does. */
static void block_unuse(struct vmap_block *vb, kva_t va, u32 nr)
{
	struct vmap_block_queue *q = &state()->queue[vb->cpu];
	u32 at = (u32)((va - block_start(vb)) >> PAGE_SHIFT);

	spin_lock(&q->lock);
	mm_verify(at + nr <= vb->pages);
	for (u32 i = 0; i < nr; i++)
		mm_verify(__test_and_clear_bit(at + i, vb->used));
	spin_unlock(&q->lock);
}

static struct vmap_block *block_of(kva_t va)
{
	struct vm_struct *vm;
	struct vmap_block *vb;

	spin_lock(&state()->areas.lock);
	vm = vmap_area_find(va);
	vb = vm ? vm->block : NULL;
	spin_unlock(&state()->areas.lock);
	return vb;
}

/* ---- the interface
 * -------------------------------------------------------------------- */

static u32 room_for(u32 nr)
{
	return (u32)roundup_pow_of_two(nr);
}

/* More than a block serves, or a world without: an area of its own. */
static void *map_alone(struct page **pages, u32 nr)
{
	const struct vm_place p = {.size = (u64)nr << PAGE_SHIFT,
				   .align = PAGE_SIZE,
				   .flags = VM_MAP_RAM,
				   .caller = "vm_map_ram"};
	struct vm_struct *vm = vm_area_get(&p, GFP_KERNEL);

	if (!vm)
		return NULL;
	if (vm_show(vm->va.va_start, pages, nr, PAGE_KERNEL, false)) {
		vm_area_drop(vm);
		return NULL;
	}
	vm->nr_pages = nr;
	vm_area_ready(vm);
	return port_kva(vm->va.va_start);
}

void *vm_map_ram(struct page **pages, u32 nr, int node)
{
	struct vmap_block *vb;
	kva_t va;

	/* Addresses have no node; the argument is there for callers' sake. */
	(void)node;
	if (!nr || nr > totalram_pages() || !state()->up)
		return NULL;
	if (nr > VMAP_MAX_ALLOC)
		return map_alone(pages, nr);
	while (!(va = block_alloc(room_for(nr)))) {
		if (block_new())
			return NULL;
	}
	vb = block_of(va);
	if (vm_show(va, pages, nr, PAGE_KERNEL, false)) {
		block_free(vb, va, room_for(nr));
		return NULL;
	}
	block_use(vb, va, nr);
	return port_kva(va);
}

void vm_unmap_ram(const void *addr, u32 nr)
{
	kva_t va = vmalloc_kva(addr);
	struct vmap_block *vb = va ? block_of(va) : NULL;
	struct vm_struct *vm;

	mm_verify(va && nr && IS_ALIGNED(va, PAGE_SIZE));
	if (vb) {
		mm_verify(nr <= VMAP_MAX_ALLOC);
		block_unuse(vb, va, nr);
		vm_hide(va, nr);
		block_free(vb, va, room_for(nr));
		return;
	}
	vm = vmap_area_take(va, VM_MAP_RAM);
	mm_verify(vm && vm->nr_pages == nr);
	vm_hide(va, nr);
	vmap_area_release(vm);
}

/* ---- giving up, questions, boot
 * --------------------------------------------------------- */

/* The blocks of Q: ends go to LIST, what is dirty widens the range. */
static void purge_queue(struct vmap_block_queue *q, struct list_head *list,
			kva_t *start, kva_t *end)
{
	struct vmap_block *vb, *next;

	spin_lock(&q->lock);
	list_for_each_entry_safe (vb, next, &q->all, list) {
		kva_t base = block_start(vb);

		if (vb->dirty_min < vb->dirty_max) {
			*start = min(*start, base + ((kva_t)vb->dirty_min
						     << PAGE_SHIFT));
			*end = max(*end,
				   base + ((kva_t)vb->dirty_max << PAGE_SHIFT));
		}
		vb->dirty_min = vb->pages;
		vb->dirty_max = 0;
		if (vb->free + vb->dirty == vb->pages) {
			vb->dirty = vb->pages;
			vb->free = 0;
			list_move_tail(&vb->list, list);
		}
	}
	spin_unlock(&q->lock);
}

void vmap_blocks_purge(kva_t *start, kva_t *end)
{
	struct vmap_block *vb, *next;
	LIST_HEAD(list);

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		purge_queue(&state()->queue[cpu], &list, start, end);
	list_for_each_entry_safe (vb, next, &list, list)
		block_end(vb);
}

bool vmap_block_used(const struct vm_struct *vm, kva_t va)
{
	struct vmap_block *vb = vm->block;
	struct vmap_block_queue *q = &state()->queue[vb->cpu];
	bool used;

	assert_spin_locked(&state()->areas.lock);
	spin_lock(&q->lock);
	used = test_bit((va - vm->va.va_start) >> PAGE_SHIFT, vb->used);
	spin_unlock(&q->lock);
	return used;
}

int vmap_blocks_init(void)
{
	u64 pages = (state()->areas.end - state()->areas.start) >> PAGE_SHIFT;

	/* A sixteenth of the space at most, whatever each CPU begins. */
	pages /= roundup_pow_of_two((u64)port_nr_cpus()) * 16;
	pages = rounddown_pow_of_two(pages);
	state()->block_pages = (u32)min(max(pages, (u64)2 * VMAP_MAX_ALLOC),
					(u64)VMAP_BLOCK_PAGES);
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++) {
		spin_lock_init(&state()->queue[cpu].lock,
			       LOCK_CLASS_VMAP_BLOCK);
		INIT_LIST_HEAD(&state()->queue[cpu].all);
	}
	state()->block_cache = kmem_cache_create(
		"vmap_block", sizeof(struct vmap_block), 0, 0, NULL);
	return state()->block_cache ? 0 : -ENOMEM;
}

void vmap_blocks_check(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct vmap_block_queue *q = &state()->queue[cpu];
		struct vmap_block *vb;

		spin_lock(&q->lock);
		list_for_each_entry (vb, &q->all, list) {
			u64 used = bitmap_weight(vb->used, vb->pages);

			mm_verify(vb->cpu == cpu && vb->vm->block == vb);
			mm_verify(vb->dirty < vb->pages);
			mm_verify(vb->free + vb->dirty + used <= vb->pages);
			mm_verify(find_next_bit(vb->used, vb->pages,
						vb->pages - vb->free) ==
				  vb->pages);
		}
		spin_unlock(&q->lock);
	}
}
