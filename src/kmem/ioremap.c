/* SPDX-License-Identifier: MIT */
/*
 * ioremap.c - devices' memory in the kernel's address space.
 *
 * The device's range is widened to whole pages and mapped in an area of its
 * own; the result points at the byte that was asked for. What the range must
 * not touch is RAM: the CPU would have it under two memory types at once,
 * which the architectures forbid (Intel SDM vol. 3A, 12.12.4; Arm ARM, B2.7).
 * Large pages are used where both addresses allow it. A hosted world has no
 * device behind it and shows nothing there: touching the result traps.
 *
 * How "uncached" and "write combining" are said depends on the format: x86
 * selects an entry of the PAT by PCD and PWT (Linux's table: PCD UC-, PWT
 * write combining), arm64 an attribute (here PWT device, PCD normal
 * non-cacheable).
 */
#include <mmkit/errno.h>
#include <mmkit/memory_hotplug.h>
#include <mmkit/port.h>

#include "base/bitops.h"
#include "base/printk.h"
#include "kmem/slab.h"
#include "kmem/vmalloc.h"
#include "pgtable/kernel.h"
#include "phys/phys.h"

/* Areas are aligned to their size up to this. */
#define IOREMAP_MAX_SHIFT 24

enum io_mode { IO_UNCACHED, IO_WC, IO_CACHED };

static pgprot_t io_prot(enum io_mode mode)
{
	bool arm = pgtable_sys.layout.fmt->kind == PAGING_ARM64;
	u64 uncached = arm ? X86_PTE_PWT : X86_PTE_PCD;
	u64 wc = arm ? X86_PTE_PCD : X86_PTE_PWT;
	u64 bits = vm_pgprot(VM_PROT_RW).val;

	if (mode != IO_CACHED)
		bits |= mode == IO_WC ? wc : uncached;
	return __pgprot(bits);
}

/* Why [PA, PA + SIZE) cannot be mapped, NULL if it can. */
static const char *io_refuse(phys_addr_t pa, u64 size)
{
	const char *why = NULL;

	if (!size || size - 1 > UINT64_MAX - pa)
		return "empty or wraps";
	if ((pa + size - 1) >> pgtable_sys.layout.fmt->pa_bits)
		return "beyond the physical addresses of this format";
	get_online_mems();
	if (memblock_overlaps_region(&phys_sys.memblock.memory, pa, size))
		why = "RAM";
	put_online_mems();
	return why;
}

static u64 io_align(u64 size)
{
	int shift = fls64(size - 1);

	return 1UL << min(max(shift, PAGE_SHIFT), IOREMAP_MAX_SHIFT);
}

/* Map NR pages of the device at frame PFN; all of it or nothing. */
static int io_map(kva_t va, u64 pfn, u64 nr, pgprot_t prot)
{
	u64 large = pt_span(pgtable_sys.layout.fmt, 1) >> PAGE_SHIFT;
	u64 at, n;
	int err = 0;

	for (at = 0; at < nr && !err; at += n) {
		kva_t here = va + (at << PAGE_SHIFT);

		n = 1;
		err = -EBUSY;
		if (nr - at >= large &&
		    IS_ALIGNED(here >> PAGE_SHIFT | (pfn + at), large)) {
			n = large;
			err = kernel_area_map_large(here, pfn + at, prot);
		}
		if (err != -EBUSY)
			continue;
		n = 1;
		err = kernel_area_map_pfn(here, pfn + at, prot);
	}
	if (err && at > n)
		kernel_area_unmap(va, at - n);
	if (err)
		port_tlb_flush_kernel(va, va + (nr << PAGE_SHIFT));
	return err;
}

static void *io_remap(phys_addr_t pa, u64 size, enum io_mode mode,
		      const char *caller)
{
	phys_addr_t first = pa & PAGE_MASK;
	const char *why = io_refuse(pa, size);
	struct vm_place p = {.flags = VM_IOREMAP, .caller = caller};
	struct vm_struct *vm;

	if (why) {
		pr_warn("ioremap on %s at 0x%016llx - 0x%016llx", why,
			(unsigned long long)pa,
			(unsigned long long)(pa + size - 1));
		return NULL;
	}
	p.size = PAGE_ALIGN(pa + size) - first;
	p.align = io_align(p.size);
	vm = vm_area_get(&p, GFP_KERNEL);
	if (!vm)
		return NULL;
	if (io_map(vm->va.va_start, PFN_DOWN(pa), p.size >> PAGE_SHIFT,
		   io_prot(mode))) {
		vm_area_drop(vm);
		return NULL;
	}
	vm->phys_addr = first;
	vm_area_ready(vm);
	return (char *)port_kva(vm->va.va_start) + (pa - first);
}

void *ioremap(phys_addr_t pa, size_t size)
{
	return io_remap(pa, size, IO_UNCACHED, __func__);
}

void *ioremap_wc(phys_addr_t pa, size_t size)
{
	return io_remap(pa, size, IO_WC, __func__);
}

void *ioremap_cache(phys_addr_t pa, size_t size)
{
	return io_remap(pa, size, IO_CACHED, __func__);
}

void iounmap(const void *addr)
{
	kva_t va = vmalloc_kva(addr) & PAGE_MASK;
	struct vm_struct *vm = va ? vmap_area_take(va, VM_IOREMAP) : NULL;

	if (!vm) {
		pr_err("BUG: iounmap of what is no device's (0x%llx)",
		       (unsigned long long)vmalloc_kva(addr));
		return;
	}
	kernel_area_unmap(va, get_vm_area_size(vm) >> PAGE_SHIFT);
	vmap_area_release(vm);
}
