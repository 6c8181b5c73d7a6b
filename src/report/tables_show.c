/* SPDX-License-Identifier: MIT */
/*
 * tables_show.c - files that list things: iomem, swaps, slabinfo.
 */
#include "cache/swap.h"
#include "kmem/slab.h"
#include "phys/phys.h"
#include "report/report.h"

/* ---- /proc/iomem ------------------------------------------------------- */

static const char *iomem_name(u32 type)
{
	switch (type) {
	case E820_TYPE_RAM:
		return "System RAM";
	case E820_TYPE_ACPI:
		return "ACPI Tables";
	case E820_TYPE_NVS:
		return "ACPI Non-volatile Storage";
	case E820_TYPE_UNUSABLE:
		return "Unusable memory";
	case E820_TYPE_PMEM:
		return "Persistent Memory";
	case E820_TYPE_PRAM:
		return "Persistent Memory (legacy)";
	case E820_TYPE_SOFT_RESERVED:
		return "Soft Reserved";
	default:
		return "Reserved";
	}
}

void show_iomem(struct seq_buf *out)
{
	const struct e820_table *t = &phys_sys.e820;

	get_online_mems();
	mm_assert_le(t->nr_entries, E820_MAX_ENTRIES);
	for (u32 i = 0; i < t->nr_entries; i++) {
		const struct e820_entry *e = &t->entries[i];

		mm_assert(e->size > 0);
		seq_printf(out, "%08llx-%08llx : %s\n", LLU(e->addr),
			   LLU(e->addr + e->size - 1), iomem_name(e->type));
	}
	put_online_mems();
}

/* ---- /proc/swaps ------------------------------------------------------- */

/* Blanks and backslashes as octal, so that columns stay columns. */
static size_t put_escaped(struct seq_buf *out, const char *name)
{
	size_t len = 0;

	mm_assert(name != NULL);
	for (; *name; name++) {
		char c = *name;
		bool odd = c == ' ' || c == '\t' || c == '\n' || c == '\\';

		if (odd)
			seq_printf(out, "\\%03o", (unsigned int)(u8)c);
		else
			seq_putc(out, c);
		len += odd ? 4 : 1;
	}
	return len;
}

static void put_swap(struct seq_buf *out, const struct swap_info *si)
{
	u64 kb = (u64)si->pages << (PAGE_SHIFT - 10);
	u64 used = (u64)READ_ONCE(si->inuse_pages) << (PAGE_SHIFT - 10);
	size_t len = put_escaped(out, port_bdev_name(si->bdev));

	mm_assert_le(used, kb);
	seq_printf(out, "%*s%s\t%llu\t%s%llu\t%s%d\n",
		   len < 40 ? (int)(40 - len) : 1, " ", "partition", LLU(kb),
		   kb < 10000000 ? "\t" : "", LLU(used),
		   used < 10000000 ? "\t" : "", si->prio);
}

void show_swaps(struct seq_buf *out)
{
	seq_puts(out, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	mm_assert_le(cache_sys.nr_swap, MAX_SWAPFILES);
	for (u32 t = 0; t < cache_sys.nr_swap; t++)
		put_swap(out, cache_sys.swap[t]);
}

/* ---- /proc/slabinfo ---------------------------------------------------- */

/* One cache, copied so that no lock is held while text goes out. */
struct slab_row {
	const char *name;
	u64 active, slabs;
	struct slab_layout layout;
};

static bool slab_row_get(int id, struct slab_row *row)
{
	const struct kmem_cache *s;

	mm_assert(id >= 0 && id < KMEM_MAX_CACHES);
	spin_lock(&kmem_sys.caches_lock);
	s = kmem_sys.caches[id];
	if (s) {
		row->name = s->name;
		row->layout = s->layout;
		row->active = kmem_cache_active(s);
		row->slabs = 0;
		for (int node = 0; node < MM_MAX_NODES; node++)
			if (s->node[node])
				row->slabs +=
					READ_ONCE(s->node[node]->nr_slabs);
	}
	spin_unlock(&kmem_sys.caches_lock);
	return s != NULL;
}

static void put_slab(struct seq_buf *out, const struct slab_row *row)
{
	u64 objects = row->slabs * row->layout.objects;

	mm_assert(row->layout.objects > 0);
	seq_printf(out, "%-17s %6llu %6llu %6u %4u %4u", row->name,
		   LLU(row->active), LLU(objects), row->layout.size,
		   row->layout.objects, 1u << row->layout.order);
	seq_printf(out, " : tunables %4u %4u %4u", 0u, 0u, 0u);
	seq_printf(out, " : slabdata %6llu %6llu %6u\n", LLU(row->slabs),
		   LLU(row->slabs), 0u);
}

void show_slabinfo(struct seq_buf *out)
{
	struct slab_row row;

	seq_puts(out, "slabinfo - version: 2.1\n");
	seq_puts(out,
		 "# name            <active_objs> <num_objs> <objsize> "
		 "<objperslab> <pagesperslab> : tunables <limit> <batchcount> "
		 "<sharedfactor> : slabdata <active_slabs> <num_slabs> "
		 "<sharedavail>\n");
	for (int id = 0; id < KMEM_MAX_CACHES; id++)
		if (slab_row_get(id, &row))
			put_slab(out, &row);
}
