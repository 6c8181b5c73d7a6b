/* SPDX-License-Identifier: MIT */
/*
 * hotplug_block.c - memory blocks go online and offline.
 *
 * 1. Way up. Check the blocks, choose the zone, take what the zone needs for
 *    a first frame, ask the notifiers; then nothing can fail: zone and node
 *    grow, the frames are free, zone lists and watermarks follow.
 *
 * 2. Way down. Check, ask the notifiers, then take the frames out of
 *    circulation: a deferred section leaves at once, others are isolated
 *    (page_isolation.c) and all CPUs' stacks drained. If each frame is free
 *    then, they leave the free lists; if not, the first that is not is
 *    reported, and everything is put back as it was, pageblock types included.
 *
 * 3. What can never go: a section that boot keeps frames in for itself (image,
 *    tables, its descriptors if they were put there), with holes, or of two
 *    zones. The first is found by its reserved frames, like any other frame in
 *    use; the others when the blocks are checked.
 *
 * 4. Locking. Hotplug lock. SECTION_GOING_* and ISOLATED say how far a section
 *    is on its way, for the way back and for memory_block_state().
 *
 * 5. Notifiers are told in order of priority. A veto ends the asking; then all
 *    are told that it is cancelled, as in Linux.
 *
 * References: Linux documentation, core-api/memory-hotplug.
 */
#include <mmkit/errno.h>

#include "base/epoch.h"
#include "base/printk.h"
#include "phys/page_debug.h"
#include "phys/page_ext.h"
#include "phys/page_isolation.h"
#include "phys/phys.h"

#define LLU(x) ((unsigned long long)(x))

/* Frames on their way between a CPU's hand and its stack get so many looks. */
#define DRAIN_ROUNDS 3

/* Whole blocks on their way up or down. */
struct blocks {
	u64 nr, end; /* sections */
	struct zone *zone;
	struct memory_notify arg;
};

static u64 blocks_pfn(const struct blocks *b)
{
	return b->nr << PFN_SECTION_SHIFT;
}

static u64 blocks_end_pfn(const struct blocks *b)
{
	return b->end << PFN_SECTION_SHIFT;
}

/* ---- notifiers
 * -------------------------------------------------------------------------- */

void register_memory_notifier(struct memory_notifier *nb)
{
	struct memory_notifier **at = &phys_sys.hotplug.chain;

	mm_verify(nb->call != NULL);
	mutex_lock(&phys_sys.hotplug.lock);
	while (*at && (*at)->priority >= nb->priority) {
		mm_verify(*at != nb);
		at = &(*at)->next;
	}
	nb->next = *at;
	*at = nb;
	mutex_unlock(&phys_sys.hotplug.lock);
}

void unregister_memory_notifier(struct memory_notifier *nb)
{
	struct memory_notifier **at = &phys_sys.hotplug.chain;

	mutex_lock(&phys_sys.hotplug.lock);
	while (*at != nb) {
		mm_verify(*at != NULL);
		at = &(*at)->next;
	}
	*at = nb->next;
	nb->next = NULL;
	mutex_unlock(&phys_sys.hotplug.lock);
}

int memory_notify(enum memory_action action, const struct memory_notify *arg)
{
	bool ask = action == MEM_GOING_ONLINE || action == MEM_GOING_OFFLINE;

	mutex_assert_held(&phys_sys.hotplug.lock);
	for (struct memory_notifier *nb = phys_sys.hotplug.chain; nb;
	     nb = nb->next) {
		int err = nb->call(nb, action, arg);

		if (ask && err < 0)
			return err;
	}
	return 0;
}

/* ---- checks
 * -----------------------------------------------------------------------------
 */

static int blocks_init(struct blocks *b, const char *what, u64 pfn, u64 nr)
{
	*b = (struct blocks){
		.nr = pfn >> PFN_SECTION_SHIFT,
		.end = (pfn + nr) >> PFN_SECTION_SHIFT,
		.arg = {.start_pfn = pfn,
			.nr_pages = nr,
			.status_change_nid = NUMA_NO_NODE},
	};
	if (nr && IS_ALIGNED(pfn | nr, PAGES_PER_SECTION) && pfn + nr > pfn &&
	    b->end <= phys_sys.nr_sections)
		return 0;
	pr_err("hotplug: %s pfn 0x%llx, 0x%llx frames: not whole blocks of "
	       "0x%lx frames, or beyond the machine",
	       what, LLU(pfn), LLU(nr), PAGES_PER_SECTION);
	return -EINVAL;
}

static void blocks_flag(const struct blocks *b, u8 set, u8 clear)
{
	for (u64 nr = b->nr; nr < b->end; nr++) {
		struct mem_section *sec = section_nr(nr);

		WRITE_ONCE(sec->flags, (u8)((sec->flags & ~clear) | set));
	}
}

static int check_online(const struct blocks *b)
{
	int nid = section_nr(b->nr)->nid;

	for (u64 nr = b->nr; nr < b->end; nr++) {
		const struct mem_section *sec = section_nr(nr);

		if (section_state(sec) != SECTION_OFFLINE) {
			pr_err("hotplug: block %llu is not offline", LLU(nr));
			return -EINVAL;
		}
		if (sec->nid != nid) {
			pr_err("hotplug: block %llu is on node %d, block %llu "
			       "on node %d",
			       LLU(b->nr), nid, LLU(nr), sec->nid);
			return -EINVAL;
		}
	}
	return 0;
}

/* The number of the one zone that has all of online section NR, or 0. */
static u8 whole_zone_id(u64 nr)
{
	const struct mem_section *sec = section_nr(nr);
	u64 pfn = nr << PFN_SECTION_SHIFT;
	u8 id;

	if (!memblock_is_region_memory(PFN_PHYS(pfn), MEMORY_BLOCK_BYTES))
		return 0;
	if (sec->zone_id)
		return sec->zone_id;
	/* Zones do not interleave inside a section: its ends are enough. */
	id = pfn_to_page(pfn)->zone_id;
	return pfn_to_page(pfn + PAGES_PER_SECTION - 1)->zone_id == id ? id : 0;
}

static int refuse(u64 nr, const char *why, int err)
{
	pr_err("hotplug: block %llu cannot go offline: %s", LLU(nr), why);
	return err;
}

static u64 section_end(u64 nr)
{
	return (nr + 1) << PFN_SECTION_SHIFT;
}

/* Can the blocks go as far as their kind is concerned? Sets the zone. */
static int check_offline(struct blocks *b)
{
	for (u64 nr = b->nr; nr < b->end; nr++) {
		const struct mem_section *sec = section_nr(nr);
		u8 id;

		if (section_state(sec) == SECTION_RESERVED)
			return refuse(nr, "boot reserved all of it", -EBUSY);
		/* What grows is made to the end. */
		if (section_state(sec) == SECTION_GROWING)
			(void)pfn_to_online_page(section_end(nr) - 1);
		if (section_state(sec) != SECTION_ONLINE &&
		    section_state(sec) != SECTION_DEFERRED)
			return refuse(nr, "it is not online", -EINVAL);
		id = whole_zone_id(nr);
		if (!id)
			return refuse(nr, "it has holes, or two zones",
				      -EINVAL);
		if (b->zone && b->zone->zone_id != id)
			return refuse(nr,
				      "it is in another zone than the "
				      "first",
				      -EINVAL);
		b->zone = phys_sys.hot.zone_of[id];
	}
	mm_verify(b->zone != NULL);
	return 0;
}

/* ---- online
 * ------------------------------------------------------------------------------
 */

/* What is kept beside descriptors, for all sections or none. */
static int exts_online(const struct blocks *b)
{
	for (u64 nr = b->nr; nr < b->end; nr++) {
		int err = page_ext_online(nr);

		if (!err)
			continue;
		while (nr-- > b->nr)
			page_ext_offline(nr);
		return err;
	}
	return 0;
}

static void exts_offline(const struct blocks *b)
{
	for (u64 nr = b->nr; nr < b->end; nr++)
		page_ext_offline(nr);
}

/* Nothing fails from here on. */
static void commit_online(struct blocks *b, struct zone_parts *parts)
{
	zone_parts_use(parts);
	zone_grow(b->zone, blocks_pfn(b), blocks_end_pfn(b));
	for (u64 nr = b->nr; nr < b->end; nr++)
		section_online(b->zone, nr);
	zone_lists_publish(parts);
	sizes_changed();
}

static int online_locked(struct blocks *b, enum mmop type)
{
	int nid = section_nr(b->nr)->nid;
	struct zone_parts parts;
	int err;

	b->zone = zone_for_online(nid, blocks_pfn(b), blocks_end_pfn(b), type);
	if (!b->zone)
		return -EINVAL;
	err = exts_online(b);
	if (err)
		return err;
	err = zone_parts_alloc(&parts, b->zone);
	if (err) {
		exts_offline(b);
		return err;
	}
	if (!node_data(nid)->node_present_pages)
		b->arg.status_change_nid = nid;
	blocks_flag(b, SECTION_GOING_ONLINE, 0);
	err = memory_notify(MEM_GOING_ONLINE, &b->arg);
	if (err) {
		zone_parts_free(&parts);
		exts_offline(b);
	} else {
		commit_online(b, &parts);
	}
	blocks_flag(b, 0, SECTION_GOING_ONLINE);
	memory_notify(err ? MEM_CANCEL_ONLINE : MEM_ONLINE, &b->arg);
	return err;
}

int online_pages(u64 pfn, u64 nr, enum mmop type)
{
	struct blocks b;
	int err;

	mm_verify(phys_sys.booted);
	mutex_lock(&phys_sys.hotplug.lock);
	err = blocks_init(&b, "online", pfn, nr);
	if (!err && (type < MMOP_ONLINE || type > MMOP_ONLINE_MOVABLE))
		err = -EINVAL;
	if (!err)
		err = check_online(&b);
	if (!err)
		err = online_locked(&b, type);
	if (!err)
		pr_info("hotplug: [mem 0x%016llx-0x%016llx] online in zone %s "
			"of node %d",
			LLU(PFN_PHYS(pfn)), LLU(PFN_PHYS(pfn + nr)) - 1,
			b.zone->name, zone_to_nid(b.zone));
	mutex_unlock(&phys_sys.hotplug.lock);
	return err;
}

/* ---- offline
 * -----------------------------------------------------------------------------
 */

/* Frames of section NR that isolation has to do with. */
static u64 section_first(u64 nr)
{
	u64 self = section_nr(nr)->flags & SECTION_MAP_SELF
			   ? section_self_frames()
			   : 0;

	return (nr << PFN_SECTION_SHIFT) + self;
}

/*
 * Section NR out of circulation. Isolation reads a whole section's frames;
 * nobody else takes sections from deferred to made on its behalf.
 */
static int take_section(struct zone *zone, u64 nr)
{
	struct mem_section *sec = section_nr(nr);
	int err;

	if (section_undefer(zone, nr))
		return 0;
	err = start_isolate_page_range(section_first(nr), section_end(nr),
				       MIGRATE_MOVABLE, 0);
	if (!err)
		WRITE_ONCE(sec->flags, (u8)(sec->flags | SECTION_ISOLATED));
	return err;
}

/* Everything back as it was. */
static void put_sections_back(const struct blocks *b)
{
	for (u64 nr = b->nr; nr < b->end; nr++) {
		struct mem_section *sec = section_nr(nr);

		if (sec->flags & SECTION_ISOLATED)
			undo_isolate_page_range(section_first(nr),
						section_end(nr),
						MIGRATE_PREVIOUS);
		else if (section_state(sec) == SECTION_OFFLINE)
			section_online(b->zone, nr);
	}
	blocks_flag(b, 0, SECTION_ISOLATED);
}

/* 0 if all frames of isolated section NR are free. */
static int section_isolated(u64 nr)
{
	if (!(section_nr(nr)->flags & SECTION_ISOLATED))
		return 0;
	return test_pages_isolated(section_first(nr), section_end(nr), 0);
}

/* What is in use in the isolated sections goes elsewhere, as far as it can:
 * wait_isolated() says whether that was enough. */
static void empty_sections(const struct blocks *b)
{
	const struct migrate_ops *ops = READ_ONCE(phys_sys.migrate);

	for (u64 nr = b->nr; ops && nr < b->end; nr++)
		if (section_nr(nr)->flags & SECTION_ISOLATED)
			(void)ops->migrate_range(section_first(nr),
						 section_end(nr));
}

/* Frames on CPUs' stacks come home; then all are free, or somebody has one. */
static int wait_isolated(const struct blocks *b)
{
	int err = 0;

	for (int round = 0; round < DRAIN_ROUNDS; round++) {
		lru_add_drain_all();
		drain_all_pages();
		err = 0;
		for (u64 nr = b->nr; !err && nr < b->end; nr++)
			err = section_isolated(nr);
		if (!err)
			break;
	}
	return err;
}

/* The first frame of section NR that is neither free nor its own, or NULL. */
static struct page *first_in_use(struct zone *zone, u64 nr)
{
	u64 pfn = section_first(nr), end = section_end(nr);
	struct page *found = NULL;
	unsigned long flags;

	if (section_state(section_nr(nr)) != SECTION_ONLINE)
		return NULL;
	spin_lock_irqsave(&zone->lock, flags);
	while (pfn < end && !found) {
		struct page *page = pfn_to_page(pfn);
		unsigned int order = PageBuddy(page) ? buddy_order(page) : 0;

		if (page_count(page) > 0 || PageReserved(page))
			found = page;
		pfn += 1UL << min(order, (unsigned int)MAX_ORDER - 1);
	}
	spin_unlock_irqrestore(&zone->lock, flags);
	return found;
}

/* Has a contiguous area pageblocks in section NR? */
static bool has_cma(u64 nr)
{
	for (u64 pfn = section_first(nr); pfn < section_end(nr);
	     pfn += pageblock_nr_pages) {
		if (get_pfnblock_migratetype(pfn) == MIGRATE_CMA)
			return true;
	}
	return false;
}

static void report_in_use(const struct blocks *b)
{
	for (u64 nr = b->nr; nr < b->end; nr++) {
		struct page *page = first_in_use(b->zone, nr);

		if (has_cma(nr)) {
			(void)refuse(nr, "a CMA area lies there", -EBUSY);
			return;
		}
		if (!page)
			continue;
		pr_err("hotplug: block %llu cannot go offline: frame 0x%llx is "
		       "%s",
		       LLU(nr), LLU(page_to_pfn(page)),
		       PageReserved(page) ? "reserved" : "in use");
		/* Others use the frame: the race detector would be right. */
#ifndef MM_TSAN
		dump_page(page, "unmovable page");
#endif
		return;
	}
	pr_err("hotplug: [pfn %llx-%llx) cannot go offline: frames of it were "
	       "in use, or another has isolated them",
	       LLU(blocks_pfn(b)), LLU(blocks_end_pfn(b)));
}

static int take_sections(const struct blocks *b)
{
	int err = 0;

	for (u64 nr = b->nr; !err && nr < b->end; nr++)
		err = take_section(b->zone, nr);
	if (!err)
		empty_sections(b);
	if (!err)
		err = wait_isolated(b);
	if (err) {
		report_in_use(b);
		put_sections_back(b);
	}
	return err;
}

/* All frames are free and isolated, or gone already. */
static void commit_offline(struct blocks *b)
{
	for (u64 nr = b->nr; nr < b->end; nr++) {
		if (section_nr(nr)->flags & SECTION_ISOLATED)
			section_offline(b->zone, nr);
	}
	zone_shrink(b->zone, blocks_pfn(b), blocks_end_pfn(b));
	sizes_changed();
	/* Who still walks over these descriptors shall be done with them. */
	epoch_synchronize();
	for (u64 nr = b->nr; nr < b->end; nr++) {
		if (section_nr(nr)->flags & SECTION_ISOLATED)
			page_init_poison(pfn_to_page(nr << PFN_SECTION_SHIFT),
					 PAGES_PER_SECTION);
	}
	exts_offline(b);
	blocks_flag(b, 0, SECTION_ISOLATED);
}

static int offline_locked(struct blocks *b)
{
	const pg_data_t *pgdat = b->zone->zone_pgdat;
	int err;

	if (pgdat->node_present_pages == b->arg.nr_pages)
		b->arg.status_change_nid = pgdat->node_id;
	blocks_flag(b, SECTION_GOING_OFFLINE, 0);
	err = memory_notify(MEM_GOING_OFFLINE, &b->arg);
	if (!err)
		err = take_sections(b);
	if (!err)
		commit_offline(b);
	blocks_flag(b, 0, SECTION_GOING_OFFLINE);
	memory_notify(err ? MEM_CANCEL_OFFLINE : MEM_OFFLINE, &b->arg);
	return err;
}

int offline_pages(u64 pfn, u64 nr)
{
	struct blocks b;
	int err;

	mm_verify(phys_sys.booted);
	mutex_lock(&phys_sys.hotplug.lock);
	err = blocks_init(&b, "offline", pfn, nr);
	if (!err)
		err = check_offline(&b);
	if (!err)
		err = offline_locked(&b);
	if (!err)
		pr_info("hotplug: [mem 0x%016llx-0x%016llx] offline",
			LLU(PFN_PHYS(pfn)), LLU(PFN_PHYS(pfn + nr)) - 1);
	mutex_unlock(&phys_sys.hotplug.lock);
	return err;
}
