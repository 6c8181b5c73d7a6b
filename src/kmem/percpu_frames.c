/* SPDX-License-Identifier: MIT */
/*
 * percpu_frames.c - where the memory of per-CPU chunks comes from.
 *
 * CPU i's unit lies i * PCPU_UNIT_SIZE behind the first, so a chunk is one
 * range of addresses. Where frames can be shown at addresses of our choice, it
 * is an area of the vmalloc space: every CPU's pages come from its own node,
 * and only pages that hold objects have frames. Where they cannot, it is one
 * block of frames, all of it there from the start and on one node.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/bitops.h"
#include "kmem/slab.h"
#include "kmem/vmalloc.h"
#include "pgtable/kernel.h"
#include "phys/phys.h"

#define HIDE_BATCH 16 /* frames that wait for one flush */

static u64 chunk_bytes(void)
{
	return (u64)port_nr_cpus() << PCPU_UNIT_SHIFT;
}

static kva_t page_kva(const struct pcpu_chunk *c, int cpu, u32 page)
{
	return c->vm->va.va_start + ((kva_t)cpu << PCPU_UNIT_SHIFT) +
	       ((kva_t)page << PAGE_SHIFT);
}

static void count(s64 frames)
{
	__atomic_fetch_add(&kmem_sys.pcpu.nr_pages, (u64)frames,
			   __ATOMIC_RELAXED);
}

static void mark(struct page *page, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		set_page_index(page + i, PAGE_INDEX_PERCPU);
}

/* ---- a block of frames
 * ----------------------------------------------------------------- */

static int block_get(struct pcpu_chunk *c, gfp_t gfp)
{
	struct page *block = alloc_pages_exact(chunk_bytes(), gfp);
	u64 nr = chunk_bytes() >> PAGE_SHIFT;

	if (!block)
		return -ENOMEM;
	mark(block, nr);
	count((s64)nr);
	c->block = block;
	c->base = page_view(block);
	c->populated = GENMASK(PCPU_PAGES - 1, 0);
	return 0;
}

static void block_put(struct pcpu_chunk *c)
{
	free_pages_exact(c->block, chunk_bytes());
	count(-(s64)(chunk_bytes() >> PAGE_SHIFT));
}

/* ---- an area of addresses
 * ---------------------------------------------------------------- */

static int area_get(struct pcpu_chunk *c, gfp_t gfp)
{
	const struct vm_place p = {.size = chunk_bytes(),
				   .align = PCPU_UNIT_SIZE,
				   .flags = VM_PERCPU,
				   .caller = "pcpu_create_chunk"};

	c->vm = vm_area_get(&p, gfp);
	if (!c->vm)
		return -ENOMEM;
	vm_area_ready(c->vm);
	c->base = port_kva(c->vm->va.va_start);
	c->populated = 0;
	return 0;
}

/* CPU's frame for PAGE; 0 or -ENOMEM. */
static int cpu_page_get(struct pcpu_chunk *c, int cpu, u32 page, gfp_t gfp)
{
	struct page *frame =
		__alloc_pages(gfp | __GFP_HIGHMEM, 0, port_cpu_node(cpu));

	if (!frame)
		return -ENOMEM;
	if (vm_show(page_kva(c, cpu, page), &frame, 1, PAGE_KERNEL, false)) {
		__free_page(frame);
		return -ENOMEM;
	}
	mark(frame, 1);
	count(1);
	return 0;
}

/* CPU's frame for PAGE, which is its no more. */
static struct page *cpu_page_hide(struct pcpu_chunk *c, int cpu, u32 page)
{
	kva_t va = page_kva(c, cpu, page);
	struct kernel_entry e;

	mm_verify(kernel_lookup(va, &e));
	vm_hide(va, 1);
	count(-1);
	return pfn_to_page(e.pfn);
}

static void cpu_page_put(struct pcpu_chunk *c, int cpu, u32 page)
{
	__free_page(cpu_page_hide(c, cpu, page));
}

static void area_put(struct pcpu_chunk *c)
{
	struct vm_struct *vm = vmap_area_take(c->vm->va.va_start, VM_PERCPU);

	mm_verify(vm == c->vm);
	for (u32 page = 0; page < PCPU_PAGES; page++) {
		for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
			if (c->populated >> page & 1)
				cpu_page_put(c, cpu, page);
		}
	}
	vmap_area_release(vm);
}

/* ---- the interface
 * -------------------------------------------------------------------- */

int pcpu_back(struct pcpu_chunk *c, gfp_t gfp)
{
	return kmem_sys.vm.up ? area_get(c, gfp) : block_get(c, gfp);
}

void pcpu_unback(struct pcpu_chunk *c)
{
	if (c->vm)
		area_put(c);
	else
		block_put(c);
}

/*
 * Frames go once no TLB knows them: a page may have others at the same address
 * long before the area is flushed as a whole.
 */
void pcpu_unpopulate(struct pcpu_chunk *c, u32 page)
{
	struct page *frame[HIDE_BATCH];
	int cpu = 0, end = port_nr_cpus();

	mm_assert(c->vm != NULL && !(c->populated >> page & 1));
	while (cpu < end) {
		kva_t va = page_kva(c, cpu, page);
		int n = 0;

		for (; cpu < end && n < HIDE_BATCH; cpu++)
			frame[n++] = cpu_page_hide(c, cpu, page);
		port_tlb_flush_kernel(va,
				      page_kva(c, cpu - 1, page) + PAGE_SIZE);
		while (n)
			__free_page(frame[--n]);
	}
}

int pcpu_populate(struct pcpu_chunk *c, u32 page, gfp_t gfp)
{
	int cpu, err = 0;
	kva_t va;

	mm_assert(c->vm != NULL && !(c->populated >> page & 1));
	for (cpu = 0; cpu < port_nr_cpus() && !err; cpu++)
		err = cpu_page_get(c, cpu, page, gfp);
	if (!err)
		return 0;
	/* The one that failed has none. */
	for (cpu -= 2; cpu >= 0; cpu--) {
		cpu_page_put(c, cpu, page);
		va = page_kva(c, cpu, page);
		port_tlb_flush_kernel(va, va + PAGE_SIZE);
	}
	return err;
}
