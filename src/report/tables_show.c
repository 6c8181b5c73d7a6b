/* SPDX-License-Identifier: MIT */
/*
 * tables_show.c - files that list things: iomem, swaps; reverse mapping.
 */
#include "base/epoch.h"
#include "cache/swap.h"
#include "kmem/slab.h"
#include "phys/phys.h"
#include "report/report.h"
#include "space/space.h"

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
	u32 cached = READ_ONCE(si->slots_cached);
	u64 used = (u64)(READ_ONCE(si->inuse_pages) - cached)
		   << (PAGE_SHIFT - 10);
	size_t len = put_escaped(out, swap_area_name(si));

	mm_assert_le(used, kb);
	seq_printf(out, "%*s%s\t%llu\t%s%llu\t%s%d\n",
		   len < 40 ? (int)(40 - len) : 1, " ",
		   si->file ? "file\t" : "partition", LLU(kb),
		   kb < 10000000 ? "\t" : "", LLU(used),
		   used < 10000000 ? "\t" : "", si->prio);
}

void show_swaps(struct seq_buf *out)
{
	seq_puts(out, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	mm_assert_le(nr_swap_areas(), MAX_SWAPFILES);
	for (u32 t = 0; t < nr_swap_areas(); t++) {
		epoch_enter();
		if (swap_area(t))
			put_swap(out, swap_area(t));
		epoch_exit();
	}
}

/* ---- /sys/kernel/debug/rmap -------------------------------------------- */

static void put_count(struct seq_buf *out, const char *name, u64 value)
{
	seq_printf(out, "%s %llu\n", name, LLU(value));
}

/* /sys/kernel/debug/tlb: by the names of Linux's counters in vmstat, which it
 * has where flushes are debugged only. */
void show_tlb(struct seq_buf *out)
{
	struct port_tlb_counts n;

	port_tlb_counts(&n);
	put_count(out, "nr_tlb_remote_flush", n.remote);
	put_count(out, "nr_tlb_remote_flush_received", n.received);
	put_count(out, "nr_tlb_local_flush_all", n.all);
	put_count(out, "nr_tlb_local_flush_one", n.one);
}

/*
 * What reverse mapping costs: walks, the VMAs that they looked at, and those
 * of them that mapped the frame; and the objects that find them.
 */
void show_rmap(struct seq_buf *out)
{
	const struct space_state *s = &space_sys;

	if (!s->anon_vma_cache)
		return;
	put_count(out, "walks", sum_vm_event(RMAP_WALKS));
	put_count(out, "vmas", sum_vm_event(RMAP_WALK_VMAS));
	put_count(out, "hits", sum_vm_event(RMAP_WALK_HITS));
	put_count(out, "anon_vmas", kmem_cache_active(s->anon_vma_cache));
	put_count(out, "links", kmem_cache_active(s->avc_cache));
}
