/* SPDX-License-Identifier: MIT */
/*
 * highmem.h - reaching frames that are not mapped all the time.
 *
 * With 32 bits only low memory (at most 896 MiB) is in the kernel's direct
 * map. Other frames get an address for as long as somebody needs one. Names
 * and meaning are Linux's (mm/highmem). Frames of low memory, and all frames
 * with 64 bits, have their address anyway: everything here is cheap for them.
 * Theory: src/pgtable/highmem.c.
 */
#ifndef MMKIT_HIGHMEM_H
#define MMKIT_HIGHMEM_H

#include <mmkit/types.h>

struct page;

/*
 * kmap: PAGE gets an address that all CPUs may use, until kunmap(). Each call
 * needs a kunmap() of its own. There are 512 or 1024 such addresses: if all
 * are in use the caller sleeps until one is free. Context: may sleep.
 */
void *kmap(struct page *page);

/* kunmap: one user less of what kmap() returned. Not in interrupts. */
void kunmap(struct page *page);

/*
 * kmap_local_page: PAGE gets an address on this CPU, until kunmap_local(ADDR),
 * where ADDR may lie anywhere in the page. Addresses are given back in reverse
 * order (verified), at most 16 are held at once, and the holder stays pinned:
 * it must not sleep. Cannot fail. Any context, interrupts too.
 */
void *kmap_local_page(struct page *page);
void kunmap_local(const void *addr);

/* kmap_atomic, kunmap_atomic: the same, but always pinned. */
void *kmap_atomic(struct page *page);
void kunmap_atomic(const void *addr);

/*
 * page_address: PAGE's address in the direct map, or what kmap() gave it; NULL
 * if it has none. Any context but interrupts.
 */
void *page_address(struct page *page);

/* kmap_to_page: the frame behind an address of one of the above. */
struct page *kmap_to_page(const void *addr);

/* kmap_flush_unused: forget addresses of kmap() that nobody uses any more. */
void kmap_flush_unused(void);

/* Contents, wherever the frames are. No sleeping needed, any context. */
void clear_highpage(struct page *page);
void copy_highpage(struct page *to, struct page *from);
/* Bytes [OFF, OFF + LEN) within one page. */
void zero_user(struct page *page, u32 off, u32 len);
void memcpy_to_page(struct page *page, u32 off, const void *from, u32 len);
void memcpy_from_page(void *to, struct page *page, u32 off, u32 len);

#endif
