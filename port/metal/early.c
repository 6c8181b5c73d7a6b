/* SPDX-License-Identifier: MIT */
/*
 * early.c - memory before there is a manager, and the parts of port.h about
 * RAM that a machine answers by its page tables.
 *
 * 1. Purpose. mm_boot() wants to see all RAM through the direct map and the
 *    descriptors of frames through theirs, before it has frames to make
 *    tables of. So the boot tables (boot.S) are filled in here, from a pool.
 *
 * 2. Structures. The pool is what follows the image in RAM:
 *
 *      1 MiB                                          metal_end
 *      | text, constants | data | bss | areas | tables |  RAM ...
 *      |<------ the kernel's, in the manager's books ->|
 *
 *    Areas of CPUs are for ever. Tables serve until the manager's own table is
 *    loaded (port_load_kernel_root()); then their frames go to the buddy.
 *
 *    Registers of devices are mapped in a window of their own, by one table
 *    (boot_io_pt) that boot tables and the manager's table point to alike:
 *    a mapping made at any time is there whatever is loaded.
 *
 *    Stacks from before there is vmalloc() (the boot's, which becomes CPU 0's
 *    idle thread; the first thread's; other CPUs' idle threads) are used in a
 *    window beside it, each above a page that is never mapped:
 *
 *      EARLY_STACKS | none | boot stack | none | next stack | none | ...
 *
 *    The same frames are in the direct map, where nobody goes from one stack
 *    to what is below.
 *
 * 3. Invariants. The boot tables map RAM only, and what metal_map_early() was
 *    asked for; frames behind the pool are never touched before mm_boot().
 *
 * 4. Locking. One CPU, interrupts off; the window's slots by an atomic count.
 *
 * 5. Failure. A pool that reaches the end of its RAM ends the boot in clear.
 *
 * 6. Cost. One table for each GiB of RAM where pages of 1 GiB are missing, and
 *    one for each 2 MiB of descriptors (204 MiB of RAM).
 *
 * References: Intel SDM vol. 3A, 4.5; hvm_start_info of the PVH boot protocol.
 */
#include "metal.h"

#include <mmkit/errno.h>
#include <mmkit/memblock.h>

#include "base/printk.h"
#include "base/string.h"
#include "pgtable/kernel.h"
#include "phys/page.h"

#define LARGE	  (2ul << 20)
#define GIB	  (1ul << 30)
#define PTE_TABLE 0x63ul
#define PTE_SMALL (PAGE_KERNEL_BITS)
#define PTE_LARGE (PAGE_KERNEL_BITS | X86_PTE_PS)
#define PTE_FRAME 0x000ffffffffff000ul

#define VMEMMAP 0xffffea0000000000ul

/* The window of device registers: the last GiB but for the image's. */
#define IO_BASE	 0xffffffffc0000000ul
#define IO_SLOTS 512u
#define PT_SLOTS 512u
#define PTE_IO	 (PAGE_KERNEL_BITS | X86_PTE_PCD | X86_PTE_PWT)

static struct {
	phys_addr_t next, end; /* of the pool */
	phys_addr_t tables;    /* where sealed tables begin; 0: not sealed */
	phys_addr_t sealed_end;
	u64 memmap_bytes;
	u32 io_used;
	u32 stacks;  /* besides the boot's */
	bool master; /* the manager's table is loaded */
} early;

struct early_costs early_costs;

/* ---- the pool
 * ------------------------------------------------------------------------ */

/* The end of the RAM that the image is in, or of what is free of it. */
static phys_addr_t pool_end(phys_addr_t from)
{
	const struct metal_boot *b = &metal_boot;
	phys_addr_t end = 0;

	for (u32 i = 0; i < b->map.nr_entries; i++) {
		const struct e820_entry *e = &b->map.entries[i];

		if (e->type == E820_TYPE_RAM && from >= e->addr &&
		    from - e->addr < e->size)
			end = e->addr + e->size;
	}
	/* The boot tables show the first GiB. */
	end = min(end, GIB);
	if (b->initrd_size && b->initrd + b->initrd_size > from)
		end = min(end, b->initrd);
	return end;
}

void early_init(void)
{
	phys_addr_t from = image_phys(__image_end);

	early.next = from;
	early.end = pool_end(from);
	if (early.end < from)
		metal_fatal("too little memory: the kernel's image takes "
			    "%llu KiB from 1 MiB on, and the RAM there ends "
			    "before it does",
			    (unsigned long long)(from - 0x100000) >> 10);
	boot_pml4[0] = 0;
	x86_write_cr3(x86_read_cr3());
}

void *early_alloc(u64 bytes)
{
	phys_addr_t at = early.next;

	bytes = PAGE_ALIGN(bytes);
	if (bytes > early.end - at)
		return NULL;
	early.next += bytes;
	mm_memset(port_ram(at), 0, bytes);
	if (!early.tables)
		early_costs.areas += bytes;
	return port_ram(at);
}

static u64 *table_alloc(void)
{
	u64 *table = early_alloc(PAGE_SIZE);

	if (!table)
		metal_fatal("too little memory for the first page tables: "
			    "the pool behind the kernel ends at %llu KiB",
			    (unsigned long long)early.end >> 10);
	return table;
}

/* ---- stacks
 * --------------------------------------------------------------------------
 */

#define STACK_SLOTS (EARLY_STACK_PAGES + 1u)

/* Of stack N, 0 the boot's: above the page that stays free. */
static void *stack_at(u32 n)
{
	return (void *)(EARLY_STACKS + (n * STACK_SLOTS + 1) * PAGE_SIZE);
}

void *early_boot_stack(void)
{
	return stack_at(0);
}

void *early_stack(phys_addr_t pa)
{
	u32 slot = (early.stacks + 1) * STACK_SLOTS + 1;

	if (slot + EARLY_STACK_PAGES > PT_SLOTS)
		return NULL;
	early.stacks++;
	for (u32 i = 0; i < EARLY_STACK_PAGES; i++)
		boot_stack_pt[slot + i] = (pa + i * PAGE_SIZE) | PTE_SMALL;
	return stack_at(early.stacks);
}

/* ---- boot tables
 * --------------------------------------------------------------------- */

static u64 *table_below(u64 *entry)
{
	if (!*entry)
		*entry = port_ram_phys(table_alloc()) | PTE_TABLE;
	if (*entry >= KERNEL_BASE)
		metal_fatal("a boot table is damaged");
	return port_ram(*entry & PTE_FRAME);
}

/* Map [PA, PA + SIZE) at VA: multiples of 4 KiB; large pages where they fit. */
static void boot_map(kva_t va, phys_addr_t pa, u64 size)
{
	while (size) {
		u64 *pdpt = table_below(&boot_pml4[va >> 39 & 511]);
		u64 *e = &pdpt[va >> 30 & 511], step = PAGE_SIZE;
		u64 leaf = PTE_SMALL;

		if (!*e && metal_features.gbpages && size >= GIB &&
		    IS_ALIGNED(va | pa, GIB)) {
			step = GIB;
			leaf = PTE_LARGE;
		} else if (!(*e & X86_PTE_PS)) {
			e = &table_below(e)[va >> 21 & 511];
			if (!*e && size >= LARGE &&
			    IS_ALIGNED(va | pa, LARGE)) {
				step = LARGE;
				leaf = PTE_LARGE;
			} else if (!(*e & X86_PTE_PS)) {
				e = &table_below(e)[va >> 12 & 511];
			}
		}
		if (!*e)
			*e = pa | leaf;
		size -= min(step, size);
		va += step;
		pa += step;
	}
}

void *metal_map_early(phys_addr_t pa, u64 size)
{
	phys_addr_t start = ALIGN_DOWN(pa, LARGE);

	if (early.master)
		mm_bug("metal_map_early: too late");
	boot_map(METAL_DIRECT + start, start, ALIGN(pa + size, LARGE) - start);
	return port_ram(pa);
}

/*
 * Tables that mm_boot() will ask for: the direct map of all RAM (one for each
 * GiB and one for each 512) and the descriptors of all frames.
 */
static u64 tables_needed(void)
{
	const struct e820_table *t = &metal_boot.map;
	u64 n = 8;

	for (u32 i = 0; i < t->nr_entries; i++) {
		const struct e820_entry *e = &t->entries[i];
		u64 gib, map;

		if (e->type != E820_TYPE_RAM)
			continue;
		gib = (e->size >> 30) + 2;
		map = (e->size >> PAGE_SHIFT) * sizeof(struct page);
		n += 2 + (metal_features.gbpages ? 2 : gib) + (gib >> 9);
		/* Ends at which small pages are needed. */
		n += 2 + (map >> 21) + 3 + (map >> 30) + 2;
	}
	return n;
}

phys_addr_t early_seal(const struct mm_debug_params *debug)
{
	u64 bits = metal_debug_bytes(debug);
	u64 bytes = tables_needed() * PAGE_SIZE + bits;

	if (bytes > early.end - early.next)
		metal_fatal("too little memory for the first page tables: "
			    "%llu KiB are needed behind the kernel, there are "
			    "%llu",
			    (unsigned long long)bytes >> 10,
			    (unsigned long long)(early.end - early.next) >> 10);
	early.tables = early.next;
	early.end = early.sealed_end = early.next + bytes;
	early_costs.tables = bytes;
	if (bits)
		metal_debug_start(early_alloc(bits));
	return early.end;
}

/* What boot table PT maps at VA with rights PROT, in the master as well. */
static void master_copy(kva_t va, const u64 *pt, u64 prot)
{
	int err = 0;

	for (u32 i = 0; i < PT_SLOTS && !err; i++)
		if (pt[i])
			err = kernel_map(va + i * PAGE_SIZE,
					 PFN_DOWN(pt[i] & PTE_FRAME), 1,
					 __pgprot(prot));
	if (err)
		metal_fatal("too little memory for the kernel's page tables");
}

void metal_master_ready(u64 root_pfn)
{
	mm_verify(root_pfn == pgtable_sys.master.root_pfn);
	master_copy(IO_BASE, boot_io_pt, PTE_IO);
	master_copy(EARLY_STACKS, boot_stack_pt, PTE_SMALL);
	metal_debug_master();
	early.master = true;
}

void early_release(void)
{
	memblock_free_late(early.tables, early.sealed_end - early.tables);
	early_costs.tables = 0;
}

/* ---- registers of devices
 * ------------------------------------------------------------ */

void *metal_map_io(phys_addr_t pa, u64 size)
{
	u64 first = PFN_DOWN(pa), nr = PFN_UP(pa + size) - first;
	u32 at = __atomic_fetch_add(&early.io_used, (u32)nr, __ATOMIC_RELAXED);
	kva_t va = IO_BASE + at * PAGE_SIZE;

	if (nr > IO_SLOTS || at > IO_SLOTS - nr) {
		pr_err("metal: no room for device registers at 0x%llx",
		       (unsigned long long)pa);
		return NULL;
	}
	boot_io_pd[0] = image_phys(boot_io_pt) | PTE_TABLE;
	for (u64 i = 0; i < nr; i++)
		boot_io_pt[at + i] = PFN_PHYS(first + i) | PTE_IO;
	if (early.master && kernel_map(va, first, nr, __pgprot(PTE_IO))) {
		pr_err("metal: no memory to map device registers");
		return NULL;
	}
	return (void *)(va + (pa & (PAGE_SIZE - 1)));
}

/* ---- port.h: RAM
 * --------------------------------------------------------------------- */

int port_ram_online(phys_addr_t start, u64 size)
{
	if (!IS_ALIGNED(start | size, PAGE_SIZE))
		return -ERANGE;
	if (start >= 1ul << metal_features.phys_bits ||
	    size > (1ul << metal_features.phys_bits) - start)
		return -ERANGE;
	/* Later the manager maps what is added. */
	if (!early.master)
		boot_map(METAL_DIRECT + start, start, size);
	return 0;
}

/* The manager takes it out of the direct map itself. */
void port_ram_offline(phys_addr_t start, u64 size)
{
	(void)start;
	(void)size;
}

int port_ram_limit(phys_addr_t end)
{
	(void)end;
	return -EOPNOTSUPP;
}

/* A view is the address itself: page tables do the rest. */
int port_kva_reserve(kva_t start, u64 bytes)
{
	(void)start;
	(void)bytes;
	return 0;
}

int port_kmap_view(kva_t va, u64 pfn, u64 nr)
{
	(void)va;
	(void)pfn;
	(void)nr;
	return 0;
}

void port_kunmap_view(kva_t va, u64 nr)
{
	(void)va;
	(void)nr;
}

void *port_kva(kva_t va)
{
	return (void *)va;
}

kva_t port_kva_of(const void *view)
{
	kva_t va = (kva_t)view;

	return va >= pgtable_sys.layout.vmalloc_start &&
			       va < pgtable_sys.layout.vmalloc_end
		       ? va
		       : 0;
}

void *port_memmap_reserve(u64 bytes)
{
	if (early.memmap_bytes)
		return NULL;
	early.memmap_bytes = bytes;
	return (void *)VMEMMAP;
}

int port_memmap_back(u64 off, u64 len, phys_addr_t phys)
{
	if (off > early.memmap_bytes || len > early.memmap_bytes - off)
		return -ENOMEM;
	mm_memset(port_ram(phys), 0, len);
	if (!early.master)
		boot_map(VMEMMAP + off, phys, len);
	return 0;
}

void port_memmap_unback(u64 off, u64 len)
{
	(void)off;
	(void)len;
}
