/* SPDX-License-Identifier: MIT */
/*
 * ksmd.c - the daemon: a piece of the scan, a sleep, and again.
 *
 * It is started when run becomes 1 for the first time, so a machine on which
 * nothing is merged has no such thread. While run is 1 and a space wants to be
 * scanned it looks at pages_to_scan pages and sleeps sleep_millisecs; else it
 * sleeps until one of that changes. Deferred frees that fell due meanwhile are
 * made between two pieces.
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/epoch.h"
#include "base/string.h"
#include "merge/ksm.h"
#include "space/ksm.h"

static bool should_run(void)
{
	return (READ_ONCE(merge_sys.run) & KSM_RUN_MERGE) &&
	       !list_empty(&merge_sys.slots);
}

/* With sleep_millisecs 0, so that time goes on. */
#define KSMD_BREATH_NS 1000UL

static void ksmd_sleep(void)
{
	u64 ms = READ_ONCE(merge_sys.sleep_millisecs);

	wait_event_timeout(merge_sys.wait,
			   READ_ONCE(merge_sys.stop) ||
				   READ_ONCE(merge_sys.sleep_millisecs) != ms ||
				   !should_run(),
			   ms ? ms * 1000000UL : KSMD_BREATH_NS);
}

static void ksmd(void *arg)
{
	(void)arg;
	while (!READ_ONCE(merge_sys.stop)) {
		wait_event(merge_sys.wait,
			   READ_ONCE(merge_sys.stop) || should_run());
		if (READ_ONCE(merge_sys.stop))
			break;
		(void)ksm_scan_pages(READ_ONCE(merge_sys.pages_to_scan));
		epoch_poll();
		ksmd_sleep();
	}
	port_current()->flags |= PF_EXITING;
}

void ksmd_wake(void)
{
	smp_mb();
	if (waitqueue_active(&merge_sys.wait))
		wake_up_all(&merge_sys.wait);
}

int ksmd_run(void)
{
	struct port_thread *t;
	int err;

	mutex_assert_held(&merge_sys.mutex);
	if (merge_sys.ksmd)
		return 0;
	err = port_thread_start(&t, "ksmd", -1, ksmd, NULL);
	if (!err)
		merge_sys.ksmd = t;
	return err;
}

/* At the end of the machine; nobody writes tunables any more. */
void ksmd_stop(void)
{
	if (!merge_sys.ksmd)
		return;
	WRITE_ONCE(merge_sys.stop, true);
	wake_up_all(&merge_sys.wait);
	port_thread_join(merge_sys.ksmd);
	merge_sys.ksmd = NULL;
	WRITE_ONCE(merge_sys.stop, false);
}

/* ---- boot ------------------------------------------------------------------
 */

static const struct ksm_ops ksm_space_ops = {
	.enter = ksm_mm_enter,
	.exit = ksm_mm_exit,
	.rmap_walk = ksm_rmap_walk,
	.moving = ksm_moving,
	.moved = ksm_moved,
};

void merge_reset(void)
{
	mm_memset(&merge_sys, 0, sizeof(merge_sys));
}

static void default_tunables(struct merge_state *m)
{
	m->sleep_millisecs = 20;
	m->pages_to_scan = 100;
	m->max_page_sharing = 256;
	m->prune_millisecs = 2000;
	m->merge_across_nodes = true;
	m->smart_scan = true;
	m->advisor = (struct ksm_advisor_state){
		.max_cpu = 70,
		.min_pages_to_scan = 500,
		.max_pages_to_scan = 30000,
		.target_scan_time = 200,
	};
}

int merge_init(void)
{
	struct merge_state *m = &merge_sys;

	mutex_init(&m->mutex, LOCK_CLASS_KSM);
	spin_lock_init(&m->slots_lock, LOCK_CLASS_KSM_SLOTS);
	INIT_LIST_HEAD(&m->slots);
	INIT_LIST_HEAD(&m->dead);
	init_waitqueue_head(&m->wait);
	default_tunables(m);
	m->item_cache =
		kmem_cache_create("ksm_rmap_item", sizeof(struct ksm_rmap_item),
				  0, SLAB_NO_MERGE, NULL);
	m->node_cache = kmem_cache_create("ksm_stable_node",
					  sizeof(struct ksm_stable_node), 0,
					  SLAB_NO_MERGE, NULL);
	m->slot_cache =
		kmem_cache_create("ksm_mm_slot", sizeof(struct ksm_mm_slot), 0,
				  SLAB_NO_MERGE, NULL);
	if (!m->item_cache || !m->node_cache || !m->slot_cache)
		return -ENOMEM;
	m->zero_checksum = ksm_checksum(pfn_to_page(space_sys.zero_pfn));
	ksm_set_ops(&ksm_space_ops);
	return 0;
}
