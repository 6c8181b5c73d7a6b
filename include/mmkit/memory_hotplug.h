/* SPDX-License-Identifier: MIT */
/*
 * memory_hotplug.h - memory that comes and goes while the machine runs.
 *
 *	add_memory -> OFFLINE -> online_pages -> ONLINE
 *	           ONLINE -> offline_pages -> OFFLINE -> remove_memory
 *
 * The unit is the memory block: a section of 128 MiB. Names and meaning are
 * Linux's (admin-guide/mm/memory-hotplug). Theory: src/phys/hotplug.c.
 *
 * Context of all functions: may sleep; one caller at a time works, others
 * wait. A notifier must not call them.
 */
#ifndef MMKIT_MEMORY_HOTPLUG_H
#define MMKIT_MEMORY_HOTPLUG_H

#include <mmkit/types.h>

#define MEMORY_BLOCK_BYTES (1UL << 27)

typedef u32 mhp_t;
#define MHP_NONE 0u
/*
 * The descriptors of an added block lie in its own first frames (rounded up
 * to a pageblock), not in memory of the running machine: adding needs no
 * free memory then, and the block can be as full as it likes when it goes.
 */
#define MHP_MEMMAP_ON_MEMORY 2u

/* What onlined memory may be used for. */
enum mmop {
	MMOP_OFFLINE,
	MMOP_ONLINE,	     /* as the zone around it; outside all: kernel */
	MMOP_ONLINE_KERNEL,  /* the kernel's zone for these addresses */
	MMOP_ONLINE_MOVABLE, /* zone MOVABLE */
};

/* State of a block, and what notifiers are told. */
enum memory_action {
	MEM_ONLINE = 1,
	MEM_GOING_OFFLINE = 2,
	MEM_OFFLINE = 4,
	MEM_GOING_ONLINE = 8,
	MEM_CANCEL_ONLINE = 16,
	MEM_CANCEL_OFFLINE = 32,
};

/*
 * add_memory: RAM [START, START + SIZE) of node NID now exists; it is offline.
 * A node that the machine does not have is made. Returns 0; -EINVAL (range
 * not whole blocks, no such node number, unknown flag), -EEXIST (overlaps RAM
 * or something that the firmware's map names), -ERANGE (beyond what boot left
 * room for, phys_boot_params.max_possible, or beyond the world), -ENOMEM
 * (descriptors, tables, or the world): nothing has changed then, and the
 * reason is in the log.
 */
int add_memory(int nid, phys_addr_t start, u64 size, mhp_t flags) MM_MUST_CHECK;

/*
 * remove_memory: the offline range is no RAM any more; its contents are lost.
 * Returns 0; -EINVAL (not whole blocks, not RAM), -EBUSY (not offline),
 * -ENOMEM (tables): nothing has changed then.
 */
int remove_memory(phys_addr_t start, u64 size) MM_MUST_CHECK;

/*
 * online_pages: the offline frames [PFN, PFN + NR), whole blocks of one node
 * and one zone, are given to the page allocator. Returns 0; -EINVAL (not
 * offline, not whole blocks, zones of the node would overlap), -ENOMEM, or
 * what a notifier said: nothing has changed then.
 */
int online_pages(u64 pfn, u64 nr, enum mmop type) MM_MUST_CHECK;

/*
 * offline_pages: take the online frames [PFN, PFN + NR), whole blocks of one
 * zone, from the page allocator. Returns 0; -EINVAL (not online, holes, two
 * zones), -EBUSY (a frame is in use; the log names it), or what a notifier
 * said: nothing has changed then.
 */
int offline_pages(u64 pfn, u64 nr) MM_MUST_CHECK;

/*
 * memory_block_state: MEM_ONLINE, MEM_OFFLINE, MEM_GOING_* of the block that
 * has PFN; -ENOENT if there is no RAM. Any context; a hint.
 */
int memory_block_state(u64 pfn);

struct memory_notify {
	u64 start_pfn;
	u64 nr_pages;
	/* The node that gets its first, or loses its last, memory; else -1. */
	int status_change_nid;
};

/*
 * A notifier: CALL is told of each step, may sleep and allocate. It returns 0;
 * a negative errno to MEM_GOING_* is a veto: the step fails with it and all
 * notifiers are told MEM_CANCEL_*, those too that were not asked. Other
 * results are ignored. Higher PRIORITY first.
 */
struct memory_notifier {
	int (*call)(struct memory_notifier *nb, enum memory_action action,
		    const struct memory_notify *arg);
	int priority;
	struct memory_notifier *next; /* hotplug's while registered */
};

/* register / unregister: NB stays the caller's and must outlive it. */
void register_memory_notifier(struct memory_notifier *nb);
void unregister_memory_notifier(struct memory_notifier *nb);

/*
 * get_online_mems / put_online_mems: no memory comes or goes in between.
 * For who must see the same nodes twice. Not in a notifier. May sleep.
 */
void get_online_mems(void);
void put_online_mems(void);

#endif
