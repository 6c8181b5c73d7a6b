/* SPDX-License-Identifier: MIT */
/*
 * hotplug.h - inside of memory hotplug: state, and what its three files and
 * memmap.c share. Interface: mmkit/memory_hotplug.h; theory: hotplug.c.
 */
#ifndef MM_PHYS_HOTPLUG_H
#define MM_PHYS_HOTPLUG_H

#include <mmkit/memory_hotplug.h>

#include "base/mutex.h"
#include "phys/mmzone.h"

/* Zone lists of one node that were built at run time. */
struct zonelist_pair {
	struct zonelist_pair *next;
	u64 bytes;
	struct zonelist *list[MAX_ZONELISTS];
};

/* Per-CPU parts of a zone that gets its first frame. */
struct zone_parts {
	struct zone *zone; /* NULL: it has them already */
	struct per_cpu_pages *pageset;
	struct per_cpu_zonestat *stats;
	struct zonelist_pair *pairs; /* one for each node */
};

struct hotplug_state {
	struct mutex lock;
	struct memory_notifier *chain;
	struct zonelist_pair *pairs; /* in use, or replaced and never freed */
	u64 nr_frames;		     /* (A) frames that hotplug's tables take */
	u64 min_free_kbytes;	     /* the value that the system computed */
};

/* ---- whole machine (hotplug.c) ------------------------------------------ */

/* hotplug_init: at boot, before anything can be registered. */
void hotplug_init(void);

/*
 * hotplug_alloc: SIZE zeroed bytes in whole frames, near NID; the frames are
 * marked reserved. NULL: none. hotplug_free gives them back.
 */
void *hotplug_alloc(u64 size, int nid);
void hotplug_free(void *view, u64 size);

/* hotplug_check: spans and sizes of all zones against the sections; panics.
 * O(sections), for phys_check(). */
void hotplug_check(void);

/* ---- sections (memmap.c) ------------------------------------------------- */

/*
 * section_nr: section number NR, or NULL. section_set_state: publish. The
 * others, for whole sections, all under the hotplug lock:
 */
struct mem_section *section_nr(u64 nr);
void section_set_state(struct mem_section *sec, enum section_state state);

/* section_state: now; without the zone lock DEFERRED may become ONLINE. */
static inline u8 section_state(const struct mem_section *sec)
{
	return smp_load_acquire(&sec->state);
}

/* section_add: NR is RAM of node NID, offline. section_remove: no RAM. */
void section_add(u64 nr, int nid);
void section_remove(u64 nr);

/*
 * section_online: the frames of offline section NR become ZONE's, free and
 * counted. section_defer / section_undefer: the same for a section without
 * frames of its own descriptors, and back; undefer is false if the section
 * was made meanwhile. section_offline: all its frames are ISOLATED free
 * blocks; they leave. Zone's present and span are the caller's.
 */
void section_online(struct zone *zone, u64 nr);
bool section_undefer(struct zone *zone, u64 nr);
void section_offline(struct zone *zone, u64 nr);

/* section_self_frames: frames that a MAP_SELF section needs for itself. */
u64 section_self_frames(void);

/* ---- zones and nodes (hotplug_zone.c) ------------------------------------ */

/*
 * zone_for_online: the zone of NID that frames [PFN, END) go to by TYPE. NULL
 * after logging why not.
 */
struct zone *zone_for_online(int nid, u64 pfn, u64 end, enum mmop type);

/*
 * zone_parts_alloc: what ZONE needs for its first frames. Returns 0 or
 * -ENOMEM. Then zone_parts_free, or zone_parts_use (before a frame comes) and
 * zone_lists_publish (afterwards).
 */
int zone_parts_alloc(struct zone_parts *parts, struct zone *zone);
void zone_parts_free(struct zone_parts *parts);
void zone_parts_use(struct zone_parts *parts);
void zone_lists_publish(struct zone_parts *parts);

/* zone_grow / zone_shrink: frames [PFN, END) came or went; node too. */
void zone_grow(struct zone *zone, u64 pfn, u64 end);
void zone_shrink(struct zone *zone, u64 pfn, u64 end);

/* zone_count: frames of ZONE by sections, and their first and end. */
u64 zone_count(const struct zone *zone, u64 *first, u64 *end);

/* node_alloc: node NID, not published, or NULL. node_publish, node_free. */
pg_data_t *node_alloc(int nid);
void node_publish(pg_data_t *pgdat);
void node_free(pg_data_t *pgdat);

/* sizes_changed: watermarks, reserves, per-CPU sizes, min_free_kbytes anew. */
void sizes_changed(void);

/* ---- up and down (hotplug_block.c) --------------------------------------- */

/* memory_notify: tell all; the first veto if ACTION may be vetoed. */
int memory_notify(enum memory_action action, const struct memory_notify *arg);

#endif
