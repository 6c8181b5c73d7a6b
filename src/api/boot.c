/* SPDX-License-Identifier: MIT */
/*
 * boot.c - the order in which the floors come up, in one function.
 *
 * Each step needs only the steps before it: memory map, frames, objects,
 * caches, address spaces, replacement, slow path, hooks of the port, daemons.
 * Until the slow path is registered an allocation that finds no free frame
 * fails at once, which is what boot wants.
 */
#include <mmkit/boot.h>

#include <mmkit/errno.h>
#include <mmkit/port.h>
#include <mmkit/slab.h>

#include "api/api.h"
#include "base/epoch.h"
#include "base/printk.h"
#include "base/system.h"
#include "cache/swap.h"
#include "compact/compact.h"
#include "kmem/slab.h"
#include "memcg/memcg.h"
#include "merge/ksm.h"
#include "move/move.h"
#include "pgtable/kernel.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "policy/policy.h"
#include "reclaim/reclaim.h"
#include "report/report.h"
#include "space/space.h"

void mm_reset(void)
{
	policy_reset();
	merge_reset();
	compact_reset();
	reclaim_reset();
	space_reset();
	cache_reset();
	kmem_reset();
	pgtable_reset();
	memcg_reset();
	phys_reset();
	base_reset();
}

static int boot_frames(const struct mm_boot_params *p)
{
	struct cma_request cma = {
		.base = p->cma_base,
		.size = p->cma_size,
		.fixed = p->cma_fixed,
		.any_node = true,
		.name = "reserved",
	};
	struct phys_boot_params pp = {
		.map = p->map,
		.nodes = (const struct phys_node_range *)p->nodes,
		.nr_nodes = p->nr_nodes_ranges,
		.kernel_start = p->kernel_start,
		.kernel_size = p->kernel_size,
		.initrd_start = p->initrd_start,
		.initrd_size = p->initrd_size,
		.max_possible = p->max_possible,
		.arch = p->arch,
		.distances = p->distances,
		.nr_distances = (int)p->nr_distances,
		.kernelcore = {p->kernelcore.bytes, p->kernelcore.percent},
		.movablecore = {p->movablecore.bytes, p->movablecore.percent},
		.movable_node = p->movable_node,
		.hotplug = (const struct phys_node_range *)p->hotplug,
		.nr_hotplug = (int)p->nr_hotplug,
		.cma = &cma,
		.nr_cma = p->cma_size ? 1 : 0,
		.debug = &p->debug,
	};

	MM_STATIC_ASSERT(sizeof(struct mm_boot_node) ==
				 sizeof(struct phys_node_range),
			 "one description of a node's memory");
	mm_assert(p->nr_distances <= MM_MAX_NODES);
	return phys_boot_memory(&pp);
}

/* vmalloc, and the per-CPU objects that may lie in it. */
static int boot_scattered(const struct mm_boot_params *p)
{
	const struct kernel_layout *l = &pgtable_sys.layout;
	const struct pcpu_boot percpu = {p->percpu_template,
					 p->percpu_static_size,
					 p->percpu_reserved_size};
	bool first = p->percpu_static_size || p->percpu_reserved_size;
	u64 taken = 0;
	int err;

	/* On arm64 the image lies where vmalloc's space begins. */
	if (l->text == l->vmalloc_start)
		taken = (p->kernel_start & (pt_span(l->fmt, 1) - 1)) +
			p->kernel_size;
	err = vmalloc_init(taken);
	return err ? err : pcpu_init(first ? &percpu : NULL);
}

static int boot_objects(const struct mm_boot_params *p)
{
	const struct paging_format *f = paging_format_by_name(
		p->arch ? p->arch : paging_x86_64_4level.name);
	const struct kernel_image image = {p->kernel_start, p->kernel_size,
					   p->kernel_text_size};
	int err;

	mm_verify(f != NULL);
	memcg_init();
	err = kernel_tables_init(f, &image);
	if (err)
		return err;
	err = kmem_init(&p->slab);
	if (!err)
		kmem_account_init();
	if (!err)
		err = boot_scattered(p);
	if (!err)
		err = cache_init(f);
	if (!err)
		err = space_init(f);
	if (!err)
		err = merge_init();
	if (err == -ENOMEM)
		pr_err("boot: no memory for the manager's own objects\n");
	return err;
}

static int boot_policy(const struct mm_boot_params *p)
{
	move_init();
	compact_init();
	reclaim_init();
	if (p->policy && reclaim_select(p->policy)) {
		pr_err("boot: no replacement policy is called \"%s\"\n",
		       p->policy);
		return -EINVAL;
	}
	policy_init();
	policy_sys.group_report = memcg_report_stat;
	port_set_switch_hook(mm_switch);
	port_set_fault_hook(mm_user_fault);
	return policy_start_daemons();
}

int mm_boot(const struct mm_boot_params *p)
{
	int err;

	mm_verify(!phys_sys.booted);
	pr_info("mmkit: %d CPUs\n", port_nr_cpus());
	err = boot_frames(p);
	if (!err)
		err = boot_objects(p);
	if (!err)
		err = boot_policy(p);
	if (err)
		return err;
	pr_info("SLUB: HWalign=%d, Order=0-3, CPUs=%d, Nodes=%d\n",
		MM_CACHELINE, port_nr_cpus(), nr_online_nodes());
	pr_info("mm: replacement policy %s, kswapd running on %d node%s\n",
		lru_policy()->name, nr_memory_nodes(),
		nr_memory_nodes() == 1 ? "" : "s");
	return 0;
}

void mm_shutdown(void)
{
	policy_stop_daemons();
	lru_add_drain_all();
	epoch_drain();
	mm_verify(space_sys.nr_mms == 0);
}

bool mm_booted(void)
{
	return phys_sys.booted;
}

const char *mm_last_oom(void)
{
	return policy_sys.last_oom;
}
