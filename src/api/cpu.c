/* SPDX-License-Identifier: MIT */
/*
 * cpu.c - CPUs that go out of use and come back.
 *
 * 1. Purpose. Each CPU keeps things for itself so that it need not ask: free
 *    frames, pages on their way to the LRU lists, objects and slabs, charges,
 *    slots of swap. One that runs nothing any more must not keep them.
 *
 * 2. Structures. A bit for each CPU, phys_sys.cpus_gone. Sizes that are shares
 *    of the CPUs there are (free frames a CPU may keep) and what nodes are
 *    (tiers, node_reclaim) follow it.
 *
 * 3. Invariants.
 *    CPU-1  At least one CPU is online.
 *    CPU-2  After remove_cpu() the CPU has no free frame, no page in a batch,
 *           no object, no slab, no charge and no slot, but what interrupts
 *           on it freed since, and what a thread that had chosen its store,
 *           not pinned, when it was moved away put there: an object, a page,
 *           a batch of them. Whoever drains all CPUs (reclaim, shrinking a
 *           cache) finds these.
 *    CPU-3  Counters stay: what a CPU counted is part of every sum, and CPUs
 *           that are gone are still added up.
 *
 * 4. Locking. The hotplug lock: one change of memory or CPUs at a time, caches
 *    of objects neither come nor go. The bit is set before the drains: sizes
 *    are the others' by then. That nobody runs there is the caller's word.
 *
 * 5. Failure. None but wrong numbers: a drain allocates nothing.
 *
 * 6. Cost. A walk over zones and caches for one CPU; charges and slots are
 *    drained for all CPUs, which refill them at their next request.
 *
 * 7. Rejected. Callbacks by subsystem with states between, as Linux has: a
 *    dozen lines in the order of the floors say the same here.
 *
 * Reference: Linux documentation, core-api/cpu_hotplug.
 */
#include <mmkit/cpu_hotplug.h>
#include <mmkit/errno.h>
#include <mmkit/memory_hotplug.h>
#include <mmkit/page_alloc.h>

#include "base/bitops.h"
#include "base/printk.h"
#include "cache/swap.h"
#include "kmem/slab.h"
#include "memcg/memcg.h"
#include "phys/alloc.h"
#include "phys/hotplug.h"
#include "phys/lru.h"
#include "phys/memory_tiers.h"
#include "phys/phys.h"

MM_STATIC_ASSERT(MM_NR_CPUS <= 64, "cpus_gone is one word");

static bool exists(int cpu)
{
	return cpu >= 0 && cpu < port_nr_cpus();
}

bool cpu_online(int cpu)
{
	return exists(cpu) && !phys_cpu_gone(cpu);
}

int num_online_cpus(void)
{
	return port_nr_cpus() - (int)hweight64(READ_ONCE(phys_sys.cpus_gone));
}

/* What CPU keeps goes back. The upper floors first: what they give up are
 * objects and frames, which the lower ones keep in turn. */
static void drain(int cpu)
{
	lru_add_drain_cpu(cpu);
	(void)swap_slots_drain();
	memcg_drain(NULL);
	slab_drain_cpu(cpu);
	drain_pages(cpu);
}

/* Hotplug lock held. */
static void sizes_follow(void)
{
	setup_per_zone_wmarks();
	memory_tiers_update();
}

int remove_cpu(int cpu)
{
	int err = 0;

	if (!exists(cpu))
		return -EINVAL;
	get_online_mems();
	if (phys_cpu_gone(cpu))
		err = -EINVAL;
	else if (num_online_cpus() == 1)
		err = -EBUSY;
	if (!err) {
		WRITE_ONCE(phys_sys.cpus_gone, phys_sys.cpus_gone | 1UL << cpu);
		sizes_follow();
		drain(cpu);
		pr_info("CPU %d is now offline\n", cpu);
	}
	put_online_mems();
	return err;
}

int add_cpu(int cpu)
{
	int err = 0;

	if (!exists(cpu))
		return -EINVAL;
	get_online_mems();
	if (!phys_cpu_gone(cpu))
		err = -EINVAL;
	if (!err) {
		WRITE_ONCE(phys_sys.cpus_gone,
			   phys_sys.cpus_gone & ~(1UL << cpu));
		sizes_follow();
		pr_info("CPU %d is now online\n", cpu);
	}
	put_online_mems();
	return err;
}
