/* SPDX-License-Identifier: MIT */
/*
 * page_ext.h - memory beside a descriptor, for those who need it.
 *
 * Some debugging aids want to remember more of each frame than struct page
 * has room for. A client says at boot whether it is wanted; the sizes of those
 * that are add up to an entry per frame. With no client there is no memory,
 * and lookup_page_ext() is one load. Theory: page_ext.c.
 */
#ifndef MM_PHYS_PAGE_EXT_H
#define MM_PHYS_PAGE_EXT_H

#include "phys/mmzone.h"

/* Bits of page_ext.flags; clients' data follows the word. */
enum page_ext_flags {
	PAGE_EXT_OWNER,		 /* the owner's record was ever written */
	PAGE_EXT_OWNER_ALLOCATED /* and the frame is in use */
};

struct page_ext {
	u64 flags; /* (A) */
};

enum page_ext_client { PAGE_EXT_PAGE_OWNER, NR_PAGE_EXT_CLIENTS };

/* What a client brings; the idea and the names are Linux's. */
struct page_ext_operations {
	u64 size;	    /* bytes for each frame, a multiple of 8 */
	bool (*need)(void); /* asked once, at boot, by parameters */
	void (*init)(void); /* all memory is there; allocator not yet */
};

struct page_ext_state {
	u64 entry_size; /* (B) 0: no client */
	u64 offset[NR_PAGE_EXT_CLIENTS];
	u64 reserved_bytes; /* (B) taken from memblock */
};

/*
 * page_ext_setup: ask the clients, lay out entries, set memory aside for each
 * section with RAM (its node's, if that has some). After memmap_reserve().
 * Returns 0 or -ENOMEM.
 */
int page_ext_setup(void) MM_MUST_CHECK;

/* page_ext_init_clients: call init() of those that are needed. Boot. */
void page_ext_init_clients(void);

/*
 * page_ext_made: the entries of section NR are about to be used: all zero.
 * Called where descriptors are made; the section's memory was set aside.
 */
void page_ext_made(u64 nr);

/*
 * page_ext_online: section NR was hot-added: it gets entries, from the page
 * allocator, before its frames become free. Returns 0 (also with no client)
 * or -ENOMEM. page_ext_offline: its frames are gone; what page_ext_online()
 * took is given back, what boot set aside stays set aside. May sleep.
 */
int page_ext_online(u64 nr) MM_MUST_CHECK;
void page_ext_offline(u64 nr);

/* lookup_page_ext: PAGE's entry; NULL with no client or no descriptor. */
struct page_ext *lookup_page_ext(const struct page *page);

/* page_ext_data: CLIENT's part of EXT; the client is needed. */
void *page_ext_data(struct page_ext *ext, enum page_ext_client client);

#endif
