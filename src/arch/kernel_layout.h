/* SPDX-License-Identifier: MIT */
/*
 * kernel_layout.h - what lies where in the virtual address space, by format.
 * Constant data and a few rules; theory: kernel_layout.c.
 */
#ifndef MM_ARCH_KERNEL_LAYOUT_H
#define MM_ARCH_KERNEL_LAYOUT_H

#include "arch/paging.h"

enum kl_kind {
	KL_USER,
	KL_NONCANONICAL, /* no CPU takes such an address */
	KL_GUARD,	 /* kept free on purpose */
	KL_UNUSED,
	KL_LDT,
	KL_DIRECT,
	KL_GAP, /* between low memory and vmalloc: catches overruns */
	KL_VMALLOC,
	KL_VMEMMAP,
	KL_KASAN,
	KL_CPU_ENTRY,
	KL_ESPFIX,
	KL_EFI,
	KL_TEXT,
	KL_MODULES,
	KL_PCI_IO,
	KL_PKMAP,
	KL_FIXMAP,
	KL_VSYSCALL,
	KL_NR_KINDS
};

/* [START, LAST]: inclusive, since the last one ends with the address space. */
struct kl_region {
	kva_t start, last;
	enum kl_kind kind;
};

#define KL_MAX_REGIONS 32

/* Temporary mappings that one CPU can have at once (pgtable/highmem.c). */
#define KM_SLOTS 16u

/* Slots of the fixmap: addresses that are known when the kernel is built. */
enum fixed_addresses {
	FIX_HOLE, /* the top page stays free */
	FIX_EARLYCON,
	FIX_APIC_BASE,
	FIX_IO_APIC_BASE,
	FIX_TEXT_POKE0,
	FIX_TEXT_POKE1,
	FIX_KMAP_BEGIN, /* KM_SLOTS for each CPU, with high memory only */
	FIX_KMAP_END = FIX_KMAP_BEGIN + KM_SLOTS * MM_NR_CPUS - 1
};

struct kernel_layout {
	const struct paging_format *fmt;
	u32 nr;
	struct kl_region region[KL_MAX_REGIONS]; /* by address, no gaps */
	kva_t page_offset;			 /* where frame 0 is mapped */
	phys_addr_t low_end; /* RAM below is in the direct map */
	bool highmem;	     /* RAM above low_end can exist */
	kva_t vmalloc_start, vmalloc_end;
	kva_t vmemmap; /* 0: descriptors lie in the direct map */
	kva_t text;    /* of the image's frames; 0: in the direct map */
	kva_t pkmap_base;
	u32 nr_pkmap; /* 0: none needed */
	kva_t fixaddr_top;
	u32 nr_fix;
};

/*
 * kernel_layout_make: the layout of format F on a machine whose RAM ends at
 * RAM_END. Only with 32 bits does it depend on that. Any context.
 */
void kernel_layout_make(struct kernel_layout *l, const struct paging_format *f,
			phys_addr_t ram_end);

/* kernel_layout_find: the region that VA lies in; with 32 bits VA < 4 GiB. */
const struct kl_region *kernel_layout_find(const struct kernel_layout *l,
					   kva_t va);

/* kernel_layout_region: the first region of KIND, NULL if there is none. */
const struct kl_region *kernel_layout_region(const struct kernel_layout *l,
					     enum kl_kind kind);

/* kl_kind_name: a word for programs; kl_kind_text: a phrase for people. */
const char *kl_kind_name(enum kl_kind kind);
const char *kl_kind_text(enum kl_kind kind);

/* fix_slot_name: of a named slot below FIX_KMAP_BEGIN. */
const char *fix_slot_name(u32 slot);

/* fix_to_virt, virt_to_fix: slots go downwards from the top. */
static inline kva_t fix_to_virt(const struct kernel_layout *l, u32 slot)
{
	mm_assert(slot < l->nr_fix);
	return l->fixaddr_top - ((kva_t)slot << PAGE_SHIFT);
}

static inline u32 virt_to_fix(const struct kernel_layout *l, kva_t va)
{
	mm_assert(va < l->fixaddr_top + PAGE_SIZE);
	return (u32)((l->fixaddr_top - (va & PAGE_MASK)) >> PAGE_SHIFT);
}

/* Has the format a table of its own for the kernel's half? */
static inline bool kernel_root_apart(const struct paging_format *f)
{
	return f->kind == PAGING_ARM64;
}

/* Is VA an address of the kernel's part? */
static inline bool is_kernel_va(const struct paging_format *f, kva_t va)
{
	return va >= f->kernel_start;
}

#endif
