/* SPDX-License-Identifier: MIT */
/*
 * page_ext.c - entries beside the descriptors, section by section.
 *
 * 1. Purpose. Memory per frame that exists only if somebody asked for it at
 *    boot, found from a descriptor without a search.
 *
 * 2. Structures. mem_section.page_ext points to an array with an entry for
 *    each frame of the section that has a descriptor:
 *
 *      entry = flags word | client 0 | client 1 | ...
 *
 *    phys_sys.page_ext has the size of an entry and each client's offset.
 *
 * 3. Invariants.
 *    PX-1  entry_size is 0 exactly if no client is needed, and then no
 *          section has an array.
 *    PX-2  With a client, each section whose descriptors are made has an
 *          array, zeroed before its first frame became free: by hotplug if
 *          it took it, else when the section was made.
 *
 * 4. Locking. Pointers change at boot and at hot-plugging only. Entries are
 *    their clients' to lock; the flags word is atomic.
 *
 * 5. Life. Set aside at boot like descriptors are, untouched until the
 *    section is made; so growing a zone cannot fail here. Hot-added sections
 *    take theirs from the page allocator; those frames are hotplug's own
 *    (HP-3), so that an audit knows whose they are.
 *
 * 6. Failure. Boot without room fails; hot-adding returns -ENOMEM.
 *
 * 7. Cost. Nothing without clients but a word per section of 128 MiB.
 *
 * References: Linux documentation, mm/page_owner.
 */
#include "phys/page_ext.h"

#include <mmkit/errno.h>

#include "base/string.h"
#include "phys/page_owner.h"
#include "phys/phys.h"

static const struct page_ext_operations
	*const page_ext_clients[NR_PAGE_EXT_CLIENTS] = {
		[PAGE_EXT_PAGE_OWNER] = &page_owner_ops,
};

static u64 section_bytes(const struct mem_section *sec)
{
	return ((u64)sec->end - sec->first) * phys_sys.page_ext.entry_size;
}

/* PX-1: who is needed, and where in an entry each has its place. */
static void lay_out(struct page_ext_state *st)
{
	u64 at = sizeof(struct page_ext);

	for (int c = 0; c < NR_PAGE_EXT_CLIENTS; c++) {
		const struct page_ext_operations *ops = page_ext_clients[c];

		mm_verify(ops->size && IS_ALIGNED(ops->size, 8UL));
		if (!ops->need())
			continue;
		st->offset[c] = at;
		at += ops->size;
	}
	st->entry_size = at > sizeof(struct page_ext) ? at : 0;
}

int page_ext_setup(void)
{
	struct page_ext_state *st = &phys_sys.page_ext;

	mm_assert(st->entry_size == 0 && !phys_sys.booted);
	lay_out(st);
	if (!st->entry_size)
		return 0;
	for (u64 nr = 0; nr < phys_sys.nr_sections; nr++) {
		struct mem_section *sec = &phys_sys.sections[nr];
		u64 bytes = PAGE_ALIGN(section_bytes(sec));
		phys_addr_t at;

		if (sec->state == SECTION_ABSENT)
			continue;
		at = memblock_phys_alloc_try_nid(bytes, PAGE_SIZE, sec->nid);
		if (!at)
			return -ENOMEM;
		sec->page_ext = port_ram(at);
		st->reserved_bytes += bytes;
	}
	page_owner_reserve();
	return 0;
}

void page_ext_init_clients(void)
{
	for (int c = 0; c < NR_PAGE_EXT_CLIENTS; c++) {
		if (phys_sys.page_ext.offset[c])
			page_ext_clients[c]->init();
	}
}

void page_ext_made(u64 nr)
{
	struct mem_section *sec = &phys_sys.sections[nr];

	if (likely(!phys_sys.page_ext.entry_size))
		return;
	mm_verify(sec->page_ext != NULL);
	mm_memset(sec->page_ext, 0, section_bytes(sec));
}

/* The section's own node may have no memory yet. */
static int near(const struct mem_section *sec)
{
	const pg_data_t *pgdat = node_data(sec->nid);

	return pgdat && pgdat->node_present_pages
		       ? sec->nid
		       : first_online_pgdat()->node_id;
}

int page_ext_online(u64 nr)
{
	struct mem_section *sec = &phys_sys.sections[nr];

	mm_verify(nr < phys_sys.nr_sections && sec->first < sec->end);
	if (!phys_sys.page_ext.entry_size)
		return 0;
	if (!sec->page_ext) {
		sec->page_ext = hotplug_alloc(section_bytes(sec), near(sec));
		if (!sec->page_ext)
			return -ENOMEM;
		WRITE_ONCE(sec->flags, (u8)(sec->flags | SECTION_EXT_OWN));
	}
	return 0;
}

void page_ext_offline(u64 nr)
{
	struct mem_section *sec = &phys_sys.sections[nr];
	void *own = sec->page_ext;

	mm_verify(nr < phys_sys.nr_sections);
	/* Boot's stays: the section may come back. */
	if (!(sec->flags & SECTION_EXT_OWN))
		return;
	mm_verify(own != NULL);
	sec->page_ext = NULL;
	WRITE_ONCE(sec->flags, (u8)(sec->flags & ~SECTION_EXT_OWN));
	hotplug_free(own, section_bytes(sec));
}

struct page_ext *lookup_page_ext(const struct page *page)
{
	u64 size = phys_sys.page_ext.entry_size;
	const struct mem_section *sec;
	u64 pfn, off;

	if (!size)
		return NULL;
	pfn = page_to_pfn(page);
	if (!pfn_valid(pfn))
		return NULL;
	sec = &phys_sys.sections[pfn >> PFN_SECTION_SHIFT];
	off = (pfn & (PAGES_PER_SECTION - 1)) - sec->first;
	return sec->page_ext
		       ? (struct page_ext *)((char *)sec->page_ext + off * size)
		       : NULL;
}

void *page_ext_data(struct page_ext *ext, enum page_ext_client client)
{
	u64 offset = phys_sys.page_ext.offset[client];

	mm_assert(ext != NULL && client < NR_PAGE_EXT_CLIENTS);
	mm_verify(offset >= sizeof(struct page_ext));
	return (char *)ext + offset;
}
