/* SPDX-License-Identifier: MIT */
/*
 * vmalloc.h - what the files of vmalloc share, and what reports and tests may
 * ask. Theory: vmalloc.c, vmap_area.c, vmap_block.c.
 */
#ifndef MM_KMEM_VMALLOC_H
#define MM_KMEM_VMALLOC_H

#include "arch/paging.h"
#include "kmem/vmap_area.h"

/* Pages of one vm_map_ram() that a block serves; larger ones go by themselves.
 */
#define VMAP_MAX_ALLOC	  64u
#define VMAP_BLOCK_PAGES  1024u /* at most */
#define VMAP_WINDOW_BYTES (256UL << 30)

/*
 * A run of addresses that one CPU cuts small mappings from, front to back.
 * (Q) the queue's lock.
 */
struct vmap_block {
	struct vm_struct *vm;
	struct list_head list;	  /* (Q) in queue.all */
	int cpu;		  /* whose queue */
	u32 pages;		  /* of the block */
	u32 free;		  /* (Q) pages never given out, at the end */
	u32 dirty;		  /* (Q) pages given back */
	u32 dirty_min, dirty_max; /* (Q) where, since the last flush */
	u64 used[VMAP_BLOCK_PAGES / 64]; /* (Q) pages that are mapped */
};

struct vmap_block_queue {
	spinlock_t lock;
	struct list_head all; /* blocks of this CPU */
} MM_ALIGNED(MM_CACHELINE);

/* Stands in the memory that is to be freed. */
struct vfree_later {
	struct vfree_later *next;
};

/* (A) atomic, (C) constant after boot. */
struct vmalloc_state {
	bool up; /* (C) this world can show frames a second time */
	struct vmap_areas areas;
	u64 nr_pages;		      /* (A) frames in vmalloc() areas */
	struct vfree_later *deferred; /* (A) what vfree_atomic() left */
	u32 block_pages;	      /* (C) */
	struct kmem_cache *block_cache;
	struct vmap_block_queue queue[MM_NR_CPUS];
};

/* Frames of vmalloc() have this index, so that the audit knows them. */
#define PAGE_INDEX_VMALLOC 0x766d616cu
/* And those of the per-CPU allocator this. */
#define PAGE_INDEX_PERCPU 0x70637075u
/* And the first of a block that kmalloc() gave as it is. */
#define PAGE_INDEX_KMALLOC 0x6b6d616cu

/*
 * vmalloc_init: from here on vmalloc() works. Needs slab and the kernel's page
 * tables; TAKEN bytes at the start of the space belong to the kernel's image.
 * A world that cannot map RAM twice is no failure: allocations fail then. 0 or
 * -ENOMEM. At boot.
 */
int vmalloc_init(u64 taken) MM_MUST_CHECK;

/* Somebody pays for frames of the area: who is told when they go. */
#define VM_PAID 0x80000000u

/*
 * vm_area_get: an area of SIZE bytes, with a guard page behind it unless FLAGS
 * has VM_NO_GUARD, anywhere or (END > 0) in [START, END). ALIGN as vmap_want.
 * Nothing is mapped. NULL: logged. May sleep.
 */
struct vm_place {
	u64 size, align;
	kva_t start, end;
	u32 flags;
	const char *caller;
};
struct vm_struct *vm_area_get(const struct vm_place *p,
			      gfp_t gfp) MM_MUST_CHECK;
/* vm_area_drop: VM was never mapped. */
void vm_area_drop(struct vm_struct *vm);
/* vm_area_ready: what VM holds may be read by others from now on. */
void vm_area_ready(struct vm_struct *vm);

/*
 * vm_show: map the NR frames PAGES at VA, in tables and in the world's view;
 * vm_hide: undo it, without a flush. vm_show returns 0 or -ENOMEM: nothing is
 * mapped then. May sleep.
 */
int vm_show(kva_t va, struct page *const *pages, u64 nr, pgprot_t prot,
	    bool large) MM_MUST_CHECK;
void vm_hide(kva_t va, u64 nr);

static inline pgprot_t vm_pgprot(enum vm_prot prot)
{
	u64 bits = X86_PTE_P | X86_PTE_RW | X86_PTE_A | X86_PTE_D | X86_PTE_G |
		   X86_PTE_NX;

	if (prot != VM_PROT_RW)
		bits &= ~X86_PTE_RW;
	if (prot == VM_PROT_RX)
		bits &= ~X86_PTE_NX;
	return __pgprot(bits);
}

/* vfree_deferred: do what vfree_atomic() left. May sleep. */
void vfree_deferred(void);

/*
 * vmap_blocks_purge: give up blocks that have nothing mapped and little left;
 * widen [*START, *END) by what others have unmapped since the last flush.
 */
void vmap_blocks_purge(kva_t *start, kva_t *end);
/* vmap_block_used: is page VA of the block VM mapped? Area lock held. */
bool vmap_block_used(const struct vm_struct *vm, kva_t va);
int vmap_blocks_init(void) MM_MUST_CHECK;
/* vmap_blocks_check: counts and bitmaps agree. Panics. */
void vmap_blocks_check(void);

/* vmalloc_check: all of it. No other thread is inside. */
void vmalloc_check(void);

/* A row of /proc/vmallocinfo, copied. */
struct vm_row {
	kva_t start, end;
	u32 flags, nr_pages;
	phys_addr_t phys_addr;
	const char *caller;
	bool vpages; /* the array of frames is vmalloc memory itself */
	u64 node_pages[MM_MAX_NODES];
};
/* vm_row_next: the first busy area at or above *AT, which moves; false: none.
 */
bool vm_row_next(kva_t *at, struct vm_row *row);
/* vm_row_unpurged: the N-th area that waits for a flush. */
bool vm_row_unpurged(u64 n, struct vm_row *row);

#endif
