/* SPDX-License-Identifier: MIT */
/*
 * vmalloc.h - memory that is contiguous for the CPU, from frames that need not
 * be; and places in the same part of the address space for frames of others
 * and for devices. Names and meaning are Linux's (core-api/mm-api,
 * mm/vmalloced-kernel-stacks). Theory: src/kmem/vmalloc.c.
 *
 * Sizes are bytes unless said otherwise. An address here is what the manager
 * touches; vmalloc_kva() tells where it is in the machine's own layout.
 */
#ifndef MMKIT_VMALLOC_H
#define MMKIT_VMALLOC_H

#include <mmkit/gfp.h>
#include <mmkit/types.h>

struct page;
struct vm_struct;

/* What an area is for. */
#define VM_IOREMAP	     0x00000001u /* ioremap() */
#define VM_ALLOC	     0x00000002u /* vmalloc() */
#define VM_MAP		     0x00000004u /* vmap()ed frames */
#define VM_USERMAP	     0x00000008u /* may be shown to user space */
#define VM_MAP_RAM	     0x00000010u /* vm_map_ram() */
#define VM_UNINITIALIZED     0x00000020u /* not mapped yet */
#define VM_NO_GUARD	     0x00000040u /* no guard page behind it */
#define VM_FLUSH_RESET_PERMS 0x00000100u /* flush before frames are freed */
#define VM_MAP_PUT_PAGES     0x00000200u /* vfree() frees the vmap()ed frames */
#define VM_ALLOW_HUGE_VMAP   0x00000400u /* large pages where they fit */
#define VM_PERCPU	     0x00000800u /* a chunk of alloc_percpu() */

/*
 * vmalloc: SIZE bytes, page aligned, with a guard page behind. Contents are
 * undefined; vzalloc: zero. Context: may sleep (GFP_KERNEL). NULL: no memory,
 * no address space, SIZE 0 or more than all RAM (logged), or a world whose RAM
 * cannot be mapped twice. Owner: the caller, until vfree(). CALLER is for
 * /proc/vmallocinfo and must last; the forms without name the function.
 */
void *vmalloc_caller(size_t size, gfp_t gfp, int node,
		     const char *caller) MM_MUST_CHECK;

#define vmalloc(size) vmalloc_caller(size, GFP_KERNEL, -1, __func__)
#define vzalloc(size) \
	vmalloc_caller(size, GFP_KERNEL | __GFP_ZERO, -1, __func__)
/* With frames of NODE where that has some; -1: anywhere. */
#define vmalloc_node(size, node) \
	vmalloc_caller(size, GFP_KERNEL, node, __func__)
#define vzalloc_node(size, node) \
	vmalloc_caller(size, GFP_KERNEL | __GFP_ZERO, node, __func__)
/* With flags; these must allow sleeping. */
#define __vmalloc(size, gfp) vmalloc_caller(size, gfp, -1, __func__)

/* vmalloc_user: zeroed, and marked as fit to be mapped by programs. */
void *vmalloc_user(size_t size) MM_MUST_CHECK;
/* vmalloc_32: frames below 4 GiB. */
void *vmalloc_32(size_t size) MM_MUST_CHECK;
/*
 * vmalloc_huge: as vmalloc; by large pages where SIZE is at least one and
 * aligned blocks of memory are there without effort.
 */
void *vmalloc_huge(size_t size, gfp_t gfp) MM_MUST_CHECK;

/*
 * vfree: what one of the above gave, or a vmap() with VM_MAP_PUT_PAGES; NULL
 * is ignored. Frames are free at once, the addresses after the next flush of
 * all TLBs. An address that is none is reported, nothing happens. Context: may
 * sleep, or an interrupt: then it is done later.
 */
void vfree(const void *addr);
/* vfree_atomic: the same where the caller may not sleep: always later. */
void vfree_atomic(const void *addr);

/* Rights and attributes of a mapping. */
enum vm_prot { VM_PROT_RW, VM_PROT_RO, VM_PROT_RX };

/*
 * vmap: the NR frames PAGES appear one behind the other. FLAGS: VM_MAP, with
 * VM_MAP_PUT_PAGES the frames and the array (from kmalloc) belong to vfree()
 * from success on. vunmap: the mapping goes, the frames stay the caller's.
 * Context: may sleep. NULL: as vmalloc, or NR 0 or more than all RAM.
 */
void *vmap(struct page **pages, u32 nr, u32 flags,
	   enum vm_prot prot) MM_MUST_CHECK;
void vunmap(const void *addr);

/*
 * vm_map_ram: the same for short-lived mappings: up to 64 pages from blocks
 * that each CPU keeps, without a search. vm_unmap_ram: NR as before. A stale
 * translation may live until vm_unmap_aliases(). Context: may sleep.
 */
void *vm_map_ram(struct page **pages, u32 nr, int node) MM_MUST_CHECK;
void vm_unmap_ram(const void *addr, u32 nr);

/*
 * vm_unmap_aliases: flush all that was unmapped lazily: afterwards no CPU can
 * reach a frame through an address that was given back, and the addresses can
 * be used again. Context: may sleep.
 */
void vm_unmap_aliases(void);

/*
 * ioremap: the SIZE bytes of a device at physical address PA, uncached;
 * ioremap_wc: writes may be combined; ioremap_cache: as memory. Any alignment.
 * Refused, logged: RAM in the range, a wrap, addresses that the page tables
 * cannot hold. In a hosted world there is no device: the result can be looked
 * up, touching it traps. iounmap: any address in the first page.
 */
void *ioremap(phys_addr_t pa, size_t size) MM_MUST_CHECK;
void *ioremap_wc(phys_addr_t pa, size_t size) MM_MUST_CHECK;
void *ioremap_cache(phys_addr_t pa, size_t size) MM_MUST_CHECK;
void iounmap(const void *addr);

/* is_vmalloc_addr: does ADDR lie in this part of the address space? */
bool is_vmalloc_addr(const void *addr);
/* vmalloc_to_page: the frame mapped there, NULL if none. _to_pfn: ~0. */
struct page *vmalloc_to_page(const void *addr);
u64 vmalloc_to_pfn(const void *addr);
/* vmalloc_kva: ADDR in the machine's layout; 0: not a vmalloc address. */
kva_t vmalloc_kva(const void *addr);

/*
 * find_vm_area: the area that begins at ADDR, NULL if there is none; the
 * caller keeps it. get_vm_area_size: its bytes without the guard page.
 */
struct vm_struct *find_vm_area(const void *addr);
size_t get_vm_area_size(const struct vm_struct *vm);

/*
 * vread: copy COUNT bytes at ADDR to BUF, zeros where nothing is mapped or a
 * device. Returns COUNT, or 0 when no area is touched. Safe against areas that
 * go meanwhile.
 */
u64 vread(void *buf, const void *addr, u64 count);

/* vmalloc_nr_pages: frames in vmalloc() areas. */
u64 vmalloc_nr_pages(void);

#endif
