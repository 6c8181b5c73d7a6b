/* SPDX-License-Identifier: MIT */
/*
 * acpi_boot.c - finding the tables at boot, and what the manager gets to know
 * of them. Reading them: acpi.c.
 */
#include "acpi.h"
#include "base/printk.h"
#include "dev.h"

struct acpi_info acpi;

static struct {
	struct mm_boot_node node[ACPI_MAX_MEMS], hotplug[ACPI_MAX_MEMS];
} boot_nodes;

static const void *map(phys_addr_t pa, u64 size, void *arg)
{
	(void)arg;
	if (size > 1ull << 32 || pa > (1ull << 32) - size)
		return NULL;
	return metal_map_early(pa, size);
}

static void warn(const char *text)
{
	pr_warn("acpi: %s", text);
}

/* A root pointer at a multiple of 16 in [PA, PA + SIZE), or 0. */
static phys_addr_t scan(phys_addr_t pa, u64 size)
{
	const u8 *p = metal_map_early(pa, size);

	for (u64 at = 0; p && at + 20 <= size; at += 16) {
		if (acpi_is_rsdp(&acpi, p + at, size - at))
			return pa + at;
	}
	return 0;
}

/* Where a BIOS leaves it: the first KiB of its data area, or its ROM. */
static phys_addr_t find_rsdp(void)
{
	const u8 *bda = metal_map_early(0, PAGE_SIZE);
	phys_addr_t ebda = 0, at = 0;

	if (bda)
		ebda = (phys_addr_t)(bda[0x40e] | bda[0x40f] << 8) << 4;
	if (ebda >= 0x400 && ebda < 0xa0000)
		at = scan(ebda, 1024);
	return at ? at : scan(0xe0000, 0x20000);
}

static void say_nodes(void)
{
	if (!acpi.has_srat)
		return;
	for (u32 i = 0; i < acpi.nr_mems; i++) {
		const struct acpi_mem *m = &acpi.mem[i];

		pr_info("acpi: node %d, domain %u: memory "
			"0x%012llx-0x%012llx%s",
			m->node, acpi.domain[m->node],
			(unsigned long long)m->start,
			(unsigned long long)(m->start + m->size - 1),
			m->hotplug ? ", can be taken out" : "");
	}
}

void acpi_init(phys_addr_t rsdp)
{
	acpi_reset_info(&acpi);
	if (!rsdp)
		rsdp = find_rsdp();
	if (!rsdp) {
		pr_info("acpi: no tables");
		return;
	}
	if (!acpi_read(&acpi, rsdp, map, NULL, warn)) {
		warn(acpi.error);
		return;
	}
	pr_info("acpi: %u CPUs, %u I/O APICs, %u nodes%s%s", acpi.nr_cpus,
		acpi.nr_ioapics, acpi.nr_nodes,
		acpi.hw_reduced ? ", reduced hardware" : "",
		acpi.has_s5 ? ", can power off" : "");
	say_nodes();
}

void acpi_boot_nodes(struct mm_boot_params *params)
{
	u32 nr = 0, nr_hot = 0;

	if (!acpi.has_srat)
		return;
	for (u32 i = 0; i < acpi.nr_mems; i++) {
		const struct acpi_mem *m = &acpi.mem[i];
		const struct mm_boot_node n = {m->start, m->start + m->size,
					       m->node};

		boot_nodes.node[nr++] = n;
		if (!m->hotplug)
			continue;
		boot_nodes.hotplug[nr_hot++] = n;
		params->max_possible = max(params->max_possible, n.end);
	}
	params->nodes = boot_nodes.node;
	params->nr_nodes_ranges = nr;
	params->hotplug = boot_nodes.hotplug;
	params->nr_hotplug = nr_hot;
	params->distances = acpi.distance;
	params->nr_distances = acpi.nr_nodes;
}
