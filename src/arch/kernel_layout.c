/* SPDX-License-Identifier: MIT */
/*
 * kernel_layout.c - virtual address spaces as tables.
 *
 * 1. Purpose. Where the process ends and where the kernel keeps what: the
 *    direct map of RAM, room for vmalloc, the descriptors of frames, its own
 *    text, fixed and temporary mappings. The mapper takes its places from
 *    here, the command draws them.
 *
 * 2. Structures. With 64 bits a constant table of regions from 0 to the last
 *    address. With 32 bits there is one GiB for all of it, so sizes follow
 *    the machine:
 *
 *      0           0xc0000000                                        4 GiB
 *      | user      | low memory | 8 MiB | vmalloc | pkmap | fixmap | . |
 *                  |<- <= 896 ->|<- at least 128 MiB ------------------>|
 *
 *    Low memory is mapped for ever; frames above it are high memory. pkmap is
 *    one leaf table, so that its entries are found without a walk; fixmap
 *    slots go downwards from the page below the last one.
 *
 * 3. Invariants.
 *    KL-1  Regions are sorted and disjoint and leave no address out.
 *    KL-2  pkmap begins where a leaf table does and fits into it.
 *    KL-3  Low memory, gap and vmalloc meet, whatever the machine's size.
 *
 * 4. Locking, failure, cost. Constant data; lookup goes through some twenty
 *    regions.
 *
 * 5. Rejected. Layouts that move at boot (KASLR): runs would differ. PAGE_
 *    OFFSET as a parameter with 32 bits (2G/2G splits): nobody asked.
 *
 * References: Linux documentation, arch/x86/x86_64/mm, arch/arm64/memory,
 * mm/highmem.
 */
#include "arch/kernel_layout.h"

#define MiB (1UL << 20)

/* ---- 64 bits
 * ------------------------------------------------------------------------ */

/* Above this address both x86-64 layouts are alike. */
#define X86_64_COMMON                                                  \
	{0xfffffe0000000000, 0xfffffe7fffffffff, KL_CPU_ENTRY},        \
		{0xfffffe8000000000, 0xfffffeffffffffff, KL_UNUSED},   \
		{0xffffff0000000000, 0xffffff7fffffffff, KL_ESPFIX},   \
		{0xffffff8000000000, 0xffffffeeffffffff, KL_UNUSED},   \
		{0xffffffef00000000, 0xfffffffeffffffff, KL_EFI},      \
		{0xffffffff00000000, 0xffffffff7fffffff, KL_UNUSED},   \
		{0xffffffff80000000, 0xffffffff9fffffff, KL_TEXT},     \
		{0xffffffffa0000000, 0xfffffffffeffffff, KL_MODULES},  \
		{0xffffffffff000000, 0xffffffffff57ffff, KL_UNUSED},   \
		{0xffffffffff580000, 0xffffffffff5fffff, KL_FIXMAP},   \
		{0xffffffffff600000, 0xffffffffff600fff, KL_VSYSCALL}, \
	{                                                              \
		0xffffffffff601000, 0xffffffffffffffff, KL_UNUSED      \
	}

static const struct kl_region x86_64_4level[] = {
	{0x0000000000000000, 0x00007fffffffffff, KL_USER},
	{0x0000800000000000, 0xffff7fffffffffff, KL_NONCANONICAL},
	{0xffff800000000000, 0xffff87ffffffffff, KL_GUARD},
	{0xffff880000000000, 0xffff887fffffffff, KL_LDT},
	{0xffff888000000000, 0xffffc87fffffffff, KL_DIRECT},
	{0xffffc88000000000, 0xffffc8ffffffffff, KL_UNUSED},
	{0xffffc90000000000, 0xffffe8ffffffffff, KL_VMALLOC},
	{0xffffe90000000000, 0xffffe9ffffffffff, KL_UNUSED},
	{0xffffea0000000000, 0xffffeaffffffffff, KL_VMEMMAP},
	{0xffffeb0000000000, 0xffffebffffffffff, KL_UNUSED},
	{0xffffec0000000000, 0xfffffbffffffffff, KL_KASAN},
	{0xfffffc0000000000, 0xfffffdffffffffff, KL_UNUSED},
	X86_64_COMMON,
};

static const struct kl_region x86_64_5level[] = {
	{0x0000000000000000, 0x00ffffffffffffff, KL_USER},
	{0x0100000000000000, 0xfeffffffffffffff, KL_NONCANONICAL},
	{0xff00000000000000, 0xff0fffffffffffff, KL_GUARD},
	{0xff10000000000000, 0xff10ffffffffffff, KL_LDT},
	{0xff11000000000000, 0xff90ffffffffffff, KL_DIRECT},
	{0xff91000000000000, 0xff9fffffffffffff, KL_UNUSED},
	{0xffa0000000000000, 0xffd1ffffffffffff, KL_VMALLOC},
	{0xffd2000000000000, 0xffd3ffffffffffff, KL_UNUSED},
	{0xffd4000000000000, 0xffd5ffffffffffff, KL_VMEMMAP},
	{0xffd6000000000000, 0xffdeffffffffffff, KL_UNUSED},
	{0xffdf000000000000, 0xfffffbffffffffff, KL_KASAN},
	{0xfffffc0000000000, 0xfffffdffffffffff, KL_UNUSED},
	X86_64_COMMON,
};

static const struct kl_region arm64_48[] = {
	{0x0000000000000000, 0x0000ffffffffffff, KL_USER},
	{0x0001000000000000, 0xfffeffffffffffff, KL_NONCANONICAL},
	{0xffff000000000000, 0xffff7fffffffffff, KL_DIRECT},
	{0xffff800000000000, 0xffff800007ffffff, KL_MODULES},
	{0xffff800008000000, 0xfffffbffefffffff, KL_VMALLOC},
	{0xfffffbfff0000000, 0xfffffbfffdffffff, KL_FIXMAP},
	{0xfffffbfffe000000, 0xfffffbfffe7fffff, KL_GUARD},
	{0xfffffbfffe800000, 0xfffffbffff7fffff, KL_PCI_IO},
	{0xfffffbffff800000, 0xfffffbffffffffff, KL_GUARD},
	{0xfffffc0000000000, 0xfffffdffffffffff, KL_VMEMMAP},
	{0xfffffe0000000000, 0xffffffffffffffff, KL_GUARD},
};

struct layout64 {
	const struct paging_format *fmt;
	const struct kl_region *region;
	u32 nr;
};

static const struct layout64 layouts64[] = {
	{&paging_x86_64_4level, x86_64_4level, ARRAY_SIZE(x86_64_4level)},
	{&paging_x86_64_5level, x86_64_5level, ARRAY_SIZE(x86_64_5level)},
	{&paging_arm64, arm64_48, ARRAY_SIZE(arm64_48)},
};

MM_STATIC_ASSERT(ARRAY_SIZE(x86_64_4level) <= KL_MAX_REGIONS &&
			 ARRAY_SIZE(x86_64_5level) <= KL_MAX_REGIONS,
		 "a layout fits its structure");

static const struct layout64 *find64(const struct paging_format *f)
{
	for (u32 i = 0; i < ARRAY_SIZE(layouts64); i++) {
		if (layouts64[i].fmt == f)
			return &layouts64[i];
	}
	return NULL;
}

static void make64(struct kernel_layout *l, const struct layout64 *d)
{
	const struct kl_region *r;

	mm_assert(d != NULL);
	for (u32 i = 0; i < d->nr; i++)
		l->region[i] = d->region[i];
	l->nr = d->nr;
	r = kernel_layout_region(l, KL_DIRECT);
	l->page_offset = r->start;
	l->low_end = r->last - r->start + 1;
	r = kernel_layout_region(l, KL_VMALLOC);
	l->vmalloc_start = r->start;
	l->vmalloc_end = r->last + 1;
	l->vmemmap = kernel_layout_region(l, KL_VMEMMAP)->start;
	/* On arm64 the image lies where vmalloc's room begins. */
	r = kernel_layout_region(l, KL_TEXT);
	l->text = r ? r->start : l->vmalloc_start;
	r = kernel_layout_region(l, KL_FIXMAP);
	l->fixaddr_top = r->last + 1 - PAGE_SIZE;
	l->nr_fix = FIX_KMAP_BEGIN;
}

/* ---- 32 bits
 * ------------------------------------------------------------------------ */

#define LOW_MAX_32     (896 * MiB)
#define GAP_32	       (8 * MiB)
#define FIXADDR_TOP_32 0xfffff000UL
#define LAST_VA_32     0xffffffffUL

static void add_region(struct kernel_layout *l, kva_t start, kva_t end,
		       enum kl_kind kind)
{
	mm_verify(l->nr < KL_MAX_REGIONS && start < end);
	mm_assert(l->nr == 0 || l->region[l->nr - 1].last + 1 == start);
	l->region[l->nr++] = (struct kl_region){start, end - 1, kind};
}

static void make32(struct kernel_layout *l, phys_addr_t ram_end)
{
	kva_t base = l->fmt->kernel_start;
	kva_t fix, pkmap_end, low;

	l->page_offset = base;
	l->highmem = true;
	/* A machine without RAM still has its first page mapped. */
	l->low_end = min(max(PAGE_ALIGN(ram_end), PAGE_SIZE), LOW_MAX_32);
	l->nr_fix = FIX_KMAP_END + 1;
	l->fixaddr_top = FIXADDR_TOP_32;
	l->nr_pkmap = pt_entries(l->fmt, 0);
	fix = fix_to_virt(l, l->nr_fix - 1);
	l->pkmap_base = ALIGN_DOWN(fix - PAGE_SIZE * (l->nr_pkmap + 1ul),
				   pt_span(l->fmt, 1));
	pkmap_end = l->pkmap_base + PAGE_SIZE * l->nr_pkmap;
	low = base + l->low_end;
	l->vmalloc_start = low + GAP_32;
	l->vmalloc_end = l->pkmap_base - 2 * PAGE_SIZE;
	mm_assert(l->vmalloc_start < l->vmalloc_end);
	add_region(l, 0, base, KL_USER);
	add_region(l, base, low, KL_DIRECT);
	add_region(l, low, l->vmalloc_start, KL_GAP);
	add_region(l, l->vmalloc_start, l->vmalloc_end, KL_VMALLOC);
	add_region(l, l->vmalloc_end, l->pkmap_base, KL_GUARD);
	add_region(l, l->pkmap_base, pkmap_end, KL_PKMAP);
	if (pkmap_end < fix)
		add_region(l, pkmap_end, fix, KL_UNUSED);
	add_region(l, fix, FIXADDR_TOP_32, KL_FIXMAP);
	add_region(l, FIXADDR_TOP_32, LAST_VA_32 + 1, KL_UNUSED);
}

/* ---- questions
 * ---------------------------------------------------------------------- */

void kernel_layout_make(struct kernel_layout *l, const struct paging_format *f,
			phys_addr_t ram_end)
{
	const struct layout64 *d = find64(f);

	*l = (struct kernel_layout){.fmt = f};
	if (d)
		make64(l, d);
	else
		make32(l, ram_end);
	mm_verify(l->nr > 0 && l->fixaddr_top > l->page_offset);
}

const struct kl_region *kernel_layout_find(const struct kernel_layout *l,
					   kva_t va)
{
	for (u32 i = 0; i < l->nr; i++) {
		if (va <= l->region[i].last)
			return &l->region[i];
	}
	mm_verify(l->nr == 0); /* KL-1: only beyond the CPU's addresses */
	return NULL;
}

const struct kl_region *kernel_layout_region(const struct kernel_layout *l,
					     enum kl_kind kind)
{
	for (u32 i = 0; i < l->nr; i++) {
		if (l->region[i].kind == kind)
			return &l->region[i];
	}
	return NULL;
}

static const struct {
	const char *name, *text;
} kinds[] = {
	[KL_USER] = {"user", "process"},
	[KL_NONCANONICAL] = {"noncanonical", "not canonical: faults"},
	[KL_GUARD] = {"guard", "guard, never mapped"},
	[KL_UNUSED] = {"unused", "unused"},
	[KL_LDT] = {"ldt", "LDT remap"},
	[KL_DIRECT] = {"direct", "direct map of physical memory"},
	[KL_GAP] = {"gap", "gap (VMALLOC_OFFSET), never mapped"},
	[KL_VMALLOC] = {"vmalloc", "vmalloc, ioremap"},
	[KL_VMEMMAP] = {"vmemmap", "vmemmap: descriptors of frames"},
	[KL_KASAN] = {"kasan", "shadow of a checker (not used)"},
	[KL_CPU_ENTRY] = {"cpu_entry_area", "cpu_entry_area"},
	[KL_ESPFIX] = {"espfix", "%esp fixup stacks"},
	[KL_EFI] = {"efi", "EFI run-time services"},
	[KL_TEXT] = {"text", "kernel text and data"},
	[KL_MODULES] = {"modules", "modules"},
	[KL_PCI_IO] = {"pci_io", "PCI I/O space"},
	[KL_PKMAP] = {"pkmap", "pkmap: kmap() of high memory"},
	[KL_FIXMAP] = {"fixmap", "fixmap"},
	[KL_VSYSCALL] = {"vsyscall", "vsyscall page"},
};

MM_STATIC_ASSERT(ARRAY_SIZE(kinds) == KL_NR_KINDS, "each kind has a name");

const char *kl_kind_name(enum kl_kind kind)
{
	mm_verify((u32)kind < KL_NR_KINDS);
	return kinds[kind].name;
}

const char *kl_kind_text(enum kl_kind kind)
{
	mm_verify((u32)kind < KL_NR_KINDS);
	return kinds[kind].text;
}

const char *fix_slot_name(u32 slot)
{
	static const char *const names[] = {
		[FIX_HOLE] = "FIX_HOLE",
		[FIX_EARLYCON] = "FIX_EARLYCON",
		[FIX_APIC_BASE] = "FIX_APIC_BASE",
		[FIX_IO_APIC_BASE] = "FIX_IO_APIC_BASE",
		[FIX_TEXT_POKE0] = "FIX_TEXT_POKE0",
		[FIX_TEXT_POKE1] = "FIX_TEXT_POKE1",
	};

	MM_STATIC_ASSERT(ARRAY_SIZE(names) == FIX_KMAP_BEGIN,
			 "each slot has a name");
	mm_verify(slot < ARRAY_SIZE(names));
	return names[slot];
}
