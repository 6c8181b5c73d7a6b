/* SPDX-License-Identifier: MIT */
/*
 * numa.c - which node each piece of RAM and each CPU belongs to, and how far
 * nodes are from each other.
 *
 * 1. Purpose. From the boot parameters (checked here) to memblock's regions
 *    with their nodes, and phys_sys's distances and CPU homes.
 *
 * 2. Invariants. NU-1: after zones_set_nodes() every region has a node.
 *    NU-2: a node's distance to itself is 10, to others more.
 *
 * 3. Locking. Boot only; constant afterwards.
 *
 * 4. Failure. What contradicts itself is refused with its numbers before
 *    anything is changed. RAM without a node goes to the first one named.
 *
 * References: ACPI specification, SRAT and SLIT; Linux documentation, mm/numa.
 */
#include <mmkit/errno.h>

#include "base/printk.h"
#include "phys/memory_tiers.h"
#include "phys/phys.h"

static int check_node_range(const struct phys_boot_params *p, int i)
{
	const struct phys_node_range *r = &p->nodes[i];

	if (r->nid < 0 || r->nid >= MM_MAX_NODES) {
		pr_err("NUMA: node number %d is not in 0..%d", r->nid,
		       MM_MAX_NODES - 1);
		return -EINVAL;
	}
	if (r->start >= r->end) {
		pr_err("NUMA: range of node %d is empty", r->nid);
		return -EINVAL;
	}
	for (int j = 0; j < i; j++) {
		const struct phys_node_range *o = &p->nodes[j];

		if (o->nid == r->nid || r->end <= o->start ||
		    o->end <= r->start)
			continue;
		pr_err("NUMA: ranges of nodes %d and %d overlap", o->nid,
		       r->nid);
		return -EINVAL;
	}
	return 0;
}

static int check_distances(const struct phys_boot_params *p)
{
	int n = p->nr_distances;

	if (n < 0 || n > MM_MAX_NODES) {
		pr_err("NUMA: a distance table of %d nodes", n);
		return -EINVAL;
	}
	for (int i = 0; p->distances && i < n * n; i++) {
		bool local = i / n == i % n;
		u8 d = p->distances[i];

		if (d < LOCAL_DISTANCE || (d == LOCAL_DISTANCE) != local) {
			pr_err("NUMA: distance %u from node %d to node %d", d,
			       i / n, i % n);
			return -EINVAL;
		}
	}
	return 0;
}

static void set_distances(const struct phys_boot_params *p)
{
	for (int from = 0; from < MM_MAX_NODES; from++) {
		for (int to = 0; to < MM_MAX_NODES; to++) {
			u8 d = from == to ? LOCAL_DISTANCE : REMOTE_DISTANCE;

			if (p->distances && from < p->nr_distances &&
			    to < p->nr_distances)
				d = p->distances[from * p->nr_distances + to];
			phys_sys.distance[from][to] = d;
		}
	}
}

/* RAM that no range names goes to the first node. */
static int give_rest_a_node(const struct phys_boot_params *p)
{
	const struct memblock_type *t = memblock_memory_table();
	int err = 0;

	for (u64 i = 0; !err && i < t->cnt; i++) {
		const struct memblock_region *r = &t->regions[i];
		int nid = p->nodes && p->nr_nodes ? p->nodes[0].nid : 0;

		if (r->nid != NUMA_NO_NODE)
			continue;
		if (p->nodes && p->nr_nodes)
			pr_warn("NUMA: [mem 0x%016llx-0x%016llx] has no node, "
				"taken for node %d",
				(unsigned long long)r->base,
				(unsigned long long)(r->base + r->size - 1),
				nid);
		err = memblock_set_node(r->base, r->size, nid);
		/* Regions may have merged: look from the start again. */
		i = (u64)-1;
	}
	return err;
}

/* Does node NID hold the kernel's image, so that it cannot be taken out? */
static bool node_has_kernel(const struct phys_boot_params *p, int nid)
{
	for (int i = 0; p->kernel_size && p->nodes && i < p->nr_nodes; i++) {
		const struct phys_node_range *k = &p->nodes[i];

		if (k->nid == nid && k->start <= p->kernel_start &&
		    p->kernel_start < k->end)
			return true;
	}
	return false;
}

/* With movable_node: what can be taken out is marked so. */
static int mark_hotplug(const struct phys_boot_params *p)
{
	int err = 0;

	for (int i = 0; !err && p->movable_node && i < p->nr_hotplug; i++) {
		const struct phys_node_range *r = &p->hotplug[i];

		if (r->start >= r->end) {
			pr_err("NUMA: hotplug range of node %d is empty",
			       r->nid);
			return -EINVAL;
		}
		if (node_has_kernel(p, r->nid))
			pr_info("NUMA: node %d holds the kernel: not movable",
				r->nid);
		else
			err = memblock_mark_hotplug(r->start,
						    r->end - r->start);
	}
	return err;
}

int zones_set_nodes(const struct phys_boot_params *p)
{
	int err = check_distances(p);

	for (int i = 0; !err && p->nodes && i < p->nr_nodes; i++)
		err = check_node_range(p, i);
	if (err)
		return err;
	set_distances(p);
	for (int i = 0; !err && p->nodes && i < p->nr_nodes; i++) {
		const struct phys_node_range *r = &p->nodes[i];

		err = memblock_set_node(r->start, r->end - r->start, r->nid);
	}
	if (!err)
		err = give_rest_a_node(p);
	return err ? err : mark_hotplug(p);
}

/* ---- CPUs
 * ------------------------------------------------------------------------ */

/* The node with memory that is nearest to WANT: itself, if it has some. */
static int nearest_with_memory(int want)
{
	int best = -1;
	pg_data_t *pgdat;

	for_each_online_pgdat(pgdat)
	{
		int nid = pgdat->node_id;

		if (!pgdat->node_present_pages)
			continue;
		if (best < 0 ||
		    node_distance(want, nid) < node_distance(want, best))
			best = nid;
	}
	mm_verify(best >= 0);
	return best;
}

void numa_place_cpus(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		int nid = port_cpu_node(cpu);

		/* A number beyond all tables: as if on node 0. */
		if (!node_data(nid))
			nid = nearest_with_memory(0);
		if (phys_sys.cpu_node[cpu] != nid)
			phys_sys.cpu_node[cpu] = (u8)nid;
		WRITE_ONCE(phys_sys.cpu_mem_node[cpu],
			   (u8)nearest_with_memory(nid));
	}
	memory_tiers_update();
}
