/* SPDX-License-Identifier: MIT */
/*
 * hotplug.c - memory that comes and goes while the machine runs.
 *
 * 1. Purpose. RAM is added to a running machine, put to use, taken out of use
 *    and removed. This file: adding, removing, descriptors of added memory.
 *    hotplug_block.c: online and offline. hotplug_zone.c: zones and nodes.
 *
 * 2. Structures. The unit is the section (memory block), with the state of
 *    its struct mem_section (memmap.c). In the words of notifiers:
 *
 *                 add_memory             online_pages
 *      (no RAM) -------------> OFFLINE --(GOING_ONLINE)---> ONLINE
 *               <-------------         <--(GOING_OFFLINE)--
 *                remove_memory           offline_pages
 *
 *    Descriptors of a section are 320 frames. They come from the running
 *    allocator, in as large pieces as it has, chained by their private words
 *    from section.map; or they are the section's own first frames (MAP_SELF);
 *    or boot set them aside (MAP_BOOT), and then they stay for ever.
 *
 * 3. Invariants.
 *    HP-1  A failed call has changed nothing: all that can fail is done first,
 *          and undone in reverse.
 *    HP-2  memblock, the firmware's map (/proc/iomem) and the sections agree
 *          on what is RAM.
 *    HP-3  hotplug.nr_frames frames, all PG_reserved, are hotplug's own; a
 *          section that is removed gives its part back.
 *
 * 4. Locking. One mutex (HOTPLUG, outside of everything that allocates) for
 *    all of it; notifiers run under it. Descriptors of a section are left
 *    alone between two read sections: whoever walks frame numbers without
 *    holding a frame does it inside one (base/epoch.h), and offline_pages()
 *    and remove_memory() wait for those before descriptors lose their meaning
 *    or their memory.
 *
 * 5. A section that comes online is DEFERRED: counted free, its descriptors
 *    written when the first frame is needed. So a tebibyte is online at once.
 *    One with MAP_SELF is made at once.
 *
 * 6. Failure. No memory for descriptors or tables, the world has no room, a
 *    notifier's veto, frames in use: see the header. memblock's tables do not
 *    grow after boot, so a map with hundreds of holes may be refused.
 *
 * 7. Cost. Adding and removing: the descriptors' frames. Online: O(sections).
 *    Offline: O(frames) of what is taken, and two grace periods.
 *
 * 8. Rejected. Smaller units: a section is what the memory map works with.
 *    Moving what is in use out of the way: that is migration's, a floor up,
 *    and is not there yet; frames in use are a refusal that names the first.
 *
 * References: Linux documentation, admin-guide/mm/memory-hotplug and
 * core-api/memory-hotplug.
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/epoch.h"
#include "base/printk.h"
#include "phys/phys.h"

#define LLU(x) ((unsigned long long)(x))

/* Order of the pieces that descriptors are first asked for. */
#define MAP_PIECE_ORDER 6u

#define MHP_KNOWN MHP_MEMMAP_ON_MEMORY

MM_STATIC_ASSERT(MEMORY_BLOCK_BYTES == 1UL << SECTION_SHIFT,
		 "a memory block is a section");
MM_STATIC_ASSERT(PAGES_PER_SECTION * sizeof(struct page) % PAGE_SIZE == 0,
		 "descriptors of a section fill whole frames");

void hotplug_init(void)
{
	mutex_init(&phys_sys.hotplug.lock, LOCK_CLASS_HOTPLUG);
}

void get_online_mems(void)
{
	mutex_lock(&phys_sys.hotplug.lock);
}

void put_online_mems(void)
{
	mutex_unlock(&phys_sys.hotplug.lock);
}

/* ---- memory of hotplug's own
 * ------------------------------------------------------------ */

static void own_frame(struct page *page)
{
	SetPageReserved(page);
	__atomic_fetch_add(&phys_sys.hotplug.nr_frames, 1, __ATOMIC_RELAXED);
}

static void disown_frame(struct page *page)
{
	mm_verify(PageReserved(page) && page_count(page) == 1);
	ClearPageReserved(page);
	set_page_private(page, 0);
	__atomic_fetch_sub(&phys_sys.hotplug.nr_frames, 1, __ATOMIC_RELAXED);
	__free_page(page);
}

void *hotplug_alloc(u64 size, int nid)
{
	unsigned int order = (unsigned int)get_order(size);
	struct page *page;

	mm_assert(size > 0 && node_data(nid));
	if (order >= MAX_ORDER)
		return NULL;
	page = __alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN, order,
			     nid);
	if (!page)
		return NULL;
	split_page(page, order);
	for (u64 i = 0; i < 1UL << order; i++) {
		if (i < PFN_UP(size))
			own_frame(page + i);
		else
			__free_page(page + i);
	}
	return page_view(page);
}

void hotplug_free(void *view, u64 size)
{
	struct page *page = view_to_page(view);

	for (u64 i = 0; i < PFN_UP(size); i++)
		disown_frame(page + i);
}

/* ---- descriptors
 * ------------------------------------------------------------------------- */

/* The descriptors of section NR from byte DONE on are LEN bytes at PAGE. */
static int map_back(u64 nr, u64 done, u64 len, u64 pfn)
{
	u64 off = (nr << PFN_SECTION_SHIFT) * sizeof(struct page) + done;

	return port_memmap_back(off, len, PFN_PHYS(pfn));
}

/* Give back the first DONE bytes of NR's descriptors and all its frames. */
static void map_free(u64 nr, u64 done)
{
	struct mem_section *sec = section_nr(nr);

	port_memmap_unback((nr << PFN_SECTION_SHIFT) * sizeof(struct page),
			   done);
	while (sec->map) {
		struct page *page = pfn_to_page(sec->map);

		sec->map = page_private(page);
		disown_frame(page);
	}
}

/* A piece of at most WANT frames, chained to SEC; its frames, 0: none. */
static u64 map_piece(struct mem_section *sec, int nid, u64 want, u64 *pfn)
{
	unsigned int order = min(MAP_PIECE_ORDER, (unsigned int)ilog2(want));
	struct page *page;

	for (;;) {
		page = __alloc_pages(GFP_KERNEL | __GFP_NOWARN |
					     (order ? __GFP_NORETRY : 0),
				     order, nid);
		if (page)
			break;
		if (!order)
			return 0;
		order--;
	}
	split_page(page, order);
	*pfn = page_to_pfn(page);
	for (u64 i = 0; i < 1UL << order; i++) {
		own_frame(page + i);
		set_page_private(page + i, sec->map);
		sec->map = (u32)(*pfn + i);
	}
	return 1UL << order;
}

/* Memory for the descriptors of section NR from the running allocator. */
static int map_alloc(u64 nr, int nid)
{
	const u64 bytes = PAGES_PER_SECTION * sizeof(struct page);
	struct mem_section *sec = section_nr(nr);
	u64 done = 0;

	mm_assert(!sec->map);
	while (done < bytes) {
		u64 pfn = 0;
		u64 n = map_piece(sec, nid, PFN_DOWN(bytes - done), &pfn);

		if (!n || map_back(nr, done, n << PAGE_SHIFT, pfn)) {
			map_free(nr, done);
			return -ENOMEM;
		}
		done += n << PAGE_SHIFT;
	}
	return 0;
}

/* A place for the descriptors of section NR of node NID. */
static int section_back(u64 nr, int nid, mhp_t flags)
{
	struct mem_section *sec = section_nr(nr);
	int err;

	if (sec->flags & SECTION_MAP_BOOT)
		return 0;
	if (!(flags & MHP_MEMMAP_ON_MEMORY))
		return map_alloc(nr, node_data(nid)
					     ? nid
					     : first_online_pgdat()->node_id);
	err = map_back(nr, 0, PAGES_PER_SECTION * sizeof(struct page),
		       nr << PFN_SECTION_SHIFT);
	if (!err)
		WRITE_ONCE(sec->flags, (u8)SECTION_MAP_SELF);
	return err;
}

static void section_unback(u64 nr)
{
	struct mem_section *sec = section_nr(nr);

	if (sec->flags & SECTION_MAP_BOOT)
		return;
	map_free(nr, PAGES_PER_SECTION * sizeof(struct page));
	WRITE_ONCE(sec->flags, (u8)0);
}

/* All of [NR, END), or none. */
static int sections_back(u64 nr, u64 end, int nid, mhp_t flags)
{
	for (u64 i = nr; i < end; i++) {
		int err = section_back(i, nid, flags);

		if (!err)
			continue;
		while (i-- > nr)
			section_unback(i);
		return err;
	}
	return 0;
}

/* ---- what is RAM
 * ------------------------------------------------------------------------- */

/* Whole blocks that do not wrap? */
static int check_blocks(const char *what, phys_addr_t start, u64 size)
{
	if (!size || !IS_ALIGNED(start | size, MEMORY_BLOCK_BYTES) ||
	    start + size < start) {
		pr_err("hotplug: %s [mem 0x%llx, size 0x%llx]: not whole "
		       "blocks of 0x%lx",
		       what, LLU(start), LLU(size), MEMORY_BLOCK_BYTES);
		return -EINVAL;
	}
	return 0;
}

/* What stands in the way of new RAM [START, END), or 0. */
static int check_room(phys_addr_t start, phys_addr_t end)
{
	const struct e820_table *t = &phys_sys.e820;

	if (PFN_DOWN(end) > phys_sys.memmap_frames) {
		pr_err("hotplug: [mem 0x%llx-0x%llx] is beyond 0x%llx, up to "
		       "where boot left room",
		       LLU(start), LLU(end - 1),
		       LLU(PFN_PHYS(phys_sys.memmap_frames)));
		return -ERANGE;
	}
	for (u64 nr = start >> SECTION_SHIFT; nr < end >> SECTION_SHIFT; nr++) {
		if (section_state(section_nr(nr)) == SECTION_ABSENT)
			continue;
		pr_err("hotplug: [mem 0x%llx-0x%llx] has RAM in block %llu",
		       LLU(start), LLU(end - 1), LLU(nr));
		return -EEXIST;
	}
	for (u32 i = 0; i < t->nr_entries; i++) {
		const struct e820_entry *e = &t->entries[i];

		if (e->addr >= end || e->addr + e->size - 1 < start)
			continue;
		pr_err("hotplug: [mem 0x%llx-0x%llx] overlaps %s memory",
		       LLU(start), LLU(end - 1), e820_type_name(e->type));
		return -EEXIST;
	}
	return 0;
}

static int check_add(int nid, phys_addr_t start, u64 size, mhp_t flags)
{
	int err = check_blocks("add", start, size);

	if (!err && (nid < 0 || nid >= MM_MAX_NODES)) {
		pr_err("hotplug: node number %d is not in 0..%d", nid,
		       MM_MAX_NODES - 1);
		err = -EINVAL;
	}
	if (!err && (flags & ~MHP_KNOWN)) {
		pr_err("hotplug: unknown flags %#x", flags & ~MHP_KNOWN);
		err = -EINVAL;
	}
	return err ? err : check_room(start, start + size);
}

/* memblock and the firmware's map learn of [START, START + SIZE). */
static int tables_add(int nid, phys_addr_t start, u64 size)
{
	struct e820_table *t = &phys_sys.e820;
	u32 before = t->nr_entries;
	int err = memblock_add_node(start, size, nid, MEMBLOCK_HOTPLUG);

	if (err)
		return err;
	err = e820_add(t, start, size, E820_TYPE_RAM);
	if (!err)
		err = e820_sanitize(t);
	if (!err)
		return 0;
	t->nr_entries = before;
	/* What was just added goes without a table growing. */
	err = memblock_remove(start, size);
	mm_verify(!err);
	return -ENOMEM;
}

/* The reverse. Fails only as a whole. */
static int tables_remove(phys_addr_t start, u64 size)
{
	int err;

	if (phys_sys.e820.nr_entries == E820_MAX_ENTRIES)
		return -ENOMEM;
	err = memblock_remove(start, size);
	if (err)
		return -ENOMEM;
	err = e820_remove_ram(&phys_sys.e820, start, size);
	mm_verify(!err);
	return 0;
}

static void update_max_pfn(void)
{
	WRITE_ONCE(phys_sys.hot.max_pfn, PFN_DOWN(memblock_end_of_DRAM()));
}

/* ---- adding
 * ---------------------------------------------------------------------------
 */

/* The world, the tables, the descriptors: in this order, or nothing. */
static int take_range(int nid, phys_addr_t start, u64 size, mhp_t flags)
{
	u64 nr = start >> SECTION_SHIFT, end = (start + size) >> SECTION_SHIFT;
	int err = port_ram_online(start, size);

	if (err)
		return err;
	err = tables_add(nid, start, size);
	if (err)
		goto ram;
	err = sections_back(nr, end, nid, flags);
	if (!err)
		return 0;
	mm_verify(tables_remove(start, size) == 0);
ram:
	port_ram_offline(start, size);
	return err;
}

static int node_groups_add(pg_data_t *pgdat)
{
	const struct charge_ops *ops = READ_ONCE(phys_sys.charge);

	return ops && ops->node_add ? ops->node_add(pgdat) : 0;
}

static void node_groups_drop(pg_data_t *pgdat)
{
	const struct charge_ops *ops = READ_ONCE(phys_sys.charge);

	if (ops && ops->node_drop)
		ops->node_drop(pgdat);
}

/* A node with lists for all groups, that nobody knows yet; NULL: no memory. */
static pg_data_t *node_make(int nid)
{
	pg_data_t *pgdat = node_alloc(nid);

	if (pgdat && node_groups_add(pgdat)) {
		node_free(pgdat);
		pgdat = NULL;
	}
	return pgdat;
}

static int add_locked(int nid, phys_addr_t start, u64 size, mhp_t flags)
{
	u64 end = (start + size) >> SECTION_SHIFT;
	pg_data_t *pgdat = NULL;
	int err;

	if (!node_data(nid)) {
		pgdat = node_make(nid);
		if (!pgdat)
			return -ENOMEM;
	}
	err = take_range(nid, start, size, flags);
	if (err) {
		if (pgdat) {
			node_groups_drop(pgdat);
			node_free(pgdat);
		}
		return err;
	}
	for (u64 nr = start >> SECTION_SHIFT; nr < end; nr++)
		section_add(nr, nid);
	update_max_pfn();
	if (pgdat)
		node_publish(pgdat);
	return 0;
}

int add_memory(int nid, phys_addr_t start, u64 size, mhp_t flags)
{
	int err;

	mm_verify(phys_sys.booted);
	mutex_lock(&phys_sys.hotplug.lock);
	err = check_add(nid, start, size, flags);
	if (!err) {
		err = add_locked(nid, start, size, flags);
		if (err)
			pr_err("hotplug: cannot add [mem 0x%llx-0x%llx]: %s",
			       LLU(start), LLU(start + size - 1),
			       err == -ERANGE ? "beyond what this world can "
						"address"
					      : "out of memory");
		else
			pr_info("hotplug: node %d: added [mem "
				"0x%016llx-0x%016llx]",
				nid, LLU(start), LLU(start + size - 1));
	}
	mutex_unlock(&phys_sys.hotplug.lock);
	return err;
}

/* ---- removing
 * ------------------------------------------------------------------------- */

static int check_remove(phys_addr_t start, u64 size)
{
	u64 nr = start >> SECTION_SHIFT;
	int err = check_blocks("remove", start, size);

	for (; !err && nr < (start + size) >> SECTION_SHIFT; nr++) {
		const struct mem_section *sec = section_nr(nr);

		if (!sec || section_state(sec) == SECTION_ABSENT) {
			pr_err("hotplug: block %llu is no RAM", LLU(nr));
			err = -EINVAL;
		} else if (section_state(sec) != SECTION_OFFLINE) {
			pr_err("hotplug: block %llu is not offline", LLU(nr));
			err = -EBUSY;
		}
	}
	return err;
}

/* Offline already, so that nothing but descriptors is left of it. */
static int remove_locked(phys_addr_t start, u64 size)
{
	u64 first = start >> SECTION_SHIFT;
	u64 end = (start + size) >> SECTION_SHIFT;
	int err = tables_remove(start, size);

	if (err)
		return err;
	update_max_pfn();
	for (u64 nr = first; nr < end; nr++)
		section_remove(nr);
	epoch_synchronize();
	for (u64 nr = first; nr < end; nr++)
		section_unback(nr);
	port_ram_offline(start, size);
	return 0;
}

int remove_memory(phys_addr_t start, u64 size)
{
	int err;

	mm_verify(phys_sys.booted);
	mutex_lock(&phys_sys.hotplug.lock);
	err = check_remove(start, size);
	if (!err) {
		err = remove_locked(start, size);
		if (err)
			pr_err("hotplug: no table entry for the hole left by "
			       "[mem 0x%llx-0x%llx]",
			       LLU(start), LLU(start + size - 1));
		else
			pr_info("hotplug: removed [mem 0x%016llx-0x%016llx]",
				LLU(start), LLU(start + size - 1));
	}
	mutex_unlock(&phys_sys.hotplug.lock);
	return err;
}
