/* SPDX-License-Identifier: MIT */
/*
 * kernel.h - the kernel's own page tables, and the state of this floor. Theory:
 * kernel.c; high memory: highmem.h, highmem.c.
 */
#ifndef MM_PGTABLE_KERNEL_H
#define MM_PGTABLE_KERNEL_H

#include <mmkit/memory_hotplug.h>

#include "arch/kernel_layout.h"
#include "base/list.h"
#include "base/wait.h"
#include "pgtable/pgtable.h"

/* Access to the kernel's pages; all are global. */
#define PAGE_KERNEL_BITS                                              \
	(X86_PTE_P | X86_PTE_RW | X86_PTE_A | X86_PTE_D | X86_PTE_G | \
	 X86_PTE_NX)
#define PAGE_KERNEL	 ((pgprot_t){PAGE_KERNEL_BITS})
#define PAGE_KERNEL_RO	 ((pgprot_t){PAGE_KERNEL_BITS & ~X86_PTE_RW})
#define PAGE_KERNEL_EXEC ((pgprot_t){PAGE_KERNEL_BITS & ~X86_PTE_NX})
#define PAGE_KERNEL_ROX \
	((pgprot_t){PAGE_KERNEL_BITS & ~(X86_PTE_RW | X86_PTE_NX)})

#define PKMAP_MAX     1024u /* slots of a leaf table, at most */
#define PKMAP_BUCKETS 64u

/* One CPU's stack of temporary mappings. */
struct kmap_cpu {
	u32 depth;
	u64 pfn[KM_SLOTS]; /* what each slot maps */
} MM_ALIGNED(MM_CACHELINE);

/* (K) kmap lock, (C) constant after boot, (A) atomic. */
struct highmem_state {
	bool on;	  /* (C) there can be high memory */
	spinlock_t lock;  /* pkmap */
	u16 last;	  /* (K) slot that was looked at last */
	u32 nr_free;	  /* (K) slots that can be given out now or by flush */
	u32 waits, wraps; /* (K) how often: no slot; all were flushed */
	wait_queue_head_t wait;
	u16 count[PKMAP_MAX];	   /* (K) 0 free, 1 not flushed, n: n-1 users */
	u64 pfn[PKMAP_MAX];	   /* (K) of slots with a count */
	u16 next[PKMAP_MAX];	   /* (K) in the bucket, slot + 1 */
	u16 bucket[PKMAP_BUCKETS]; /* (K) page_address() by frame, slot + 1 */
	struct kmap_cpu cpu[MM_NR_CPUS];
};

/* Leaf tables of the vmalloc space that are remembered. */
#define KERNEL_LEAVES 64u

struct pgtable_state {
	bool up;		     /* kernel_tables_init() is through */
	struct kernel_layout layout; /* (C) */
	struct pgtable master;	     /* the table that others share */
	u64 idle_root;		   /* (C) for CPUs without a process; a frame */
	spinlock_t lock;	   /* installing in the master, the list */
	struct list_head roots;	   /* tables of processes that share it */
	u64 nr_tables;		   /* (A) frames of kernel tables */
	u64 direct[PT_MAX_LEVELS]; /* (A) entries of the direct map by level */
	u64 leaf[KERNEL_LEAVES];   /* (A) see leaf_recall() */
	struct memory_notifier notifier;
	struct highmem_state high;
};

extern struct pgtable_state pgtable_sys;

/* pgtable_reset: forget all; for a fresh machine. */
void pgtable_reset(void);

struct kernel_image {
	phys_addr_t start;
	u64 size;      /* 0: there is none (sim, host) */
	u64 text_size; /* bytes from START that are code; the rest is data */
};

/*
 * kernel_tables_init: the master table for format F with the direct map of all
 * low RAM, vmemmap, the image, and tables for fixmap and pkmap; loaded. At
 * boot, once frames can be had, before the first process. Returns 0, -ENOMEM,
 * or -EOPNOTSUPP (high memory in a world that cannot show it): logged; only
 * good for pgtable_reset() then.
 */
int kernel_tables_init(const struct paging_format *f,
		       const struct kernel_image *image) MM_MUST_CHECK;

/*
 * kernel_map: the NR frames from PFN on appear at VA, which is page aligned
 * and free, with pages of 4 KiB and rights PROT. The range is the caller's.
 * Every process sees it at once. Context: may sleep. Returns 0 or -ENOMEM:
 * nothing is mapped then. Fault injection: FAIL_PGTABLE.
 */
int kernel_map(kva_t va, u64 pfn, u64 nr, pgprot_t prot) MM_MUST_CHECK;

/*
 * kernel_map_large: the same with the largest pages that fit, for places that
 * have no views.
 */
int kernel_map_large(kva_t va, u64 pfn, u64 nr, pgprot_t prot) MM_MUST_CHECK;

/*
 * kernel_unmap: nothing is mapped in the NR pages from VA on any more, and no
 * CPU remembers what was. Pages that are not mapped are passed over; a large
 * page must go as a whole (verified). Tables stay. Context: interrupts on.
 */
void kernel_unmap(kva_t va, u64 nr);

/*
 * A range of addresses that its owner (vmalloc) maps and unmaps without a
 * flush each time: an address must not be mapped again before
 * port_tlb_flush_kernel() covered it. No views are made.
 */
struct kernel_area {
	kva_t va;
	struct page *const *pages; /* one behind the other from VA on */
	u64 nr;
	pgprot_t prot;
	bool large; /* large pages where PAGES allow it */
};

/*
 * kernel_area_map: map all, in places where nothing is mapped. May sleep.
 * Returns 0 or -ENOMEM: nothing is mapped then. Fault injection: FAIL_PGTABLE.
 */
int kernel_area_map(const struct kernel_area *a) MM_MUST_CHECK;

/*
 * kernel_area_map_large: one large page at VA, both aligned to it. 0, -ENOMEM,
 * or -EBUSY: the format has none or small pages stand there. May sleep.
 */
int kernel_area_map_large(kva_t va, u64 pfn, pgprot_t prot) MM_MUST_CHECK;

/* kernel_area_map_pfn: one page; PFN need not be RAM. 0 or -ENOMEM. */
int kernel_area_map_pfn(kva_t va, u64 pfn, pgprot_t prot) MM_MUST_CHECK;

/* kernel_area_unmap: nothing is mapped in the NR pages from VA; no flush. */
void kernel_area_unmap(kva_t va, u64 nr);

/*
 * kernel_direct_present: the NR frames from PFN on are (PRESENT) or are not in
 * the direct map any more, which debug_pagealloc makes of pages of 4 KiB;
 * frames whose page has no entry of that size are passed over. Nothing is
 * flushed. The frames are the caller's. Any context.
 */
void kernel_direct_present(u64 pfn, u64 nr, bool present);

/*
 * kernel_split_at: after this no large page crosses VA. 0 or -ENOMEM; what was
 * split until then stays so. May sleep.
 */
int kernel_split_at(kva_t va) MM_MUST_CHECK;

/*
 * kernel_lookup: the frame that VA is mapped to and its entry, with the entry's
 * level; false if there is none. Any context; the caller keeps the mapping.
 */
struct kernel_entry {
	pte_t pte;
	int level;
	u64 pfn; /* of VA's own page of 4 KiB */
};
bool kernel_lookup(kva_t va, struct kernel_entry *out);

/* kernel_slot: the leaf-table slot of VA, if its table exists. */
bool kernel_slot(kva_t va, struct pt_slot *slot);

/* kernel_join: the new ROOT of PT shares the master's part from now on. */
void kernel_join(struct pgtable *pt);
/* kernel_leave: before ROOT is freed. */
void kernel_leave(struct pgtable *pt);
/* kernel_shared: does entry INDEX of PT's root belong to the kernel? */
bool kernel_shared(const struct pgtable *pt, u32 index);

/*
 * kernel_tables_check: the tree of the master: tables marked, frames in RAM,
 * as many as counted; all that share it hold what it holds. Panics.
 */
void kernel_tables_check(void);

/* direct_map_va: where low frame PFN is in the direct map. */
static inline kva_t direct_map_va(u64 pfn)
{
	mm_assert(PFN_PHYS(pfn) < pgtable_sys.layout.low_end);
	return pgtable_sys.layout.page_offset + PFN_PHYS(pfn);
}

#endif
