/* SPDX-License-Identifier: MIT */
/*
 * vmallocinfo.c - /proc/vmallocinfo: who has which addresses of the vmalloc
 * space, one line an area, and at the end those that wait for a flush.
 */
#include "kmem/slab.h"
#include "kmem/vmalloc.h"
#include "pgtable/kernel.h"
#include "report/report.h"

static void put_range(struct seq_buf *out, const struct vm_row *row)
{
	int width = pgtable_sys.layout.fmt->va_bits > 32 ? 16 : 8;

	mm_assert(row->start < row->end);
	seq_printf(out, "0x%0*llx-0x%0*llx %7llu", width, LLU(row->start),
		   width, LLU(row->end), LLU(row->end - row->start));
}

static void put_nodes(struct seq_buf *out, const struct vm_row *row)
{
	for (int node = 0; node < MM_MAX_NODES; node++) {
		if (row->node_pages[node])
			seq_printf(out, " N%d=%llu", node,
				   LLU(row->node_pages[node]));
	}
}

static void put_row(struct seq_buf *out, const struct vm_row *row)
{
	static const struct {
		u32 flag;
		const char *text;
	} kinds[] = {
		{VM_IOREMAP, " ioremap"},
		{VM_ALLOC | VM_PERCPU, " vmalloc"},
		{VM_MAP, " vmap"},
		{VM_USERMAP, " user"},
	};

	put_range(out, row);
	if (row->caller)
		seq_printf(out, " %s", row->caller);
	if (row->nr_pages)
		seq_printf(out, " pages=%u", row->nr_pages);
	if (row->phys_addr)
		seq_printf(out, " phys=0x%016llx", LLU(row->phys_addr));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (row->flags & kinds[i].flag)
			seq_puts(out, kinds[i].text);
	}
	if (row->vpages)
		seq_puts(out, " vpages");
	put_nodes(out, row);
	seq_putc(out, '\n');
}

void show_vmallocinfo(struct seq_buf *out)
{
	struct vm_row row;
	kva_t at = 0;

	mm_assert(out != NULL);
	while (vm_row_next(&at, &row))
		put_row(out, &row);
	for (u64 n = 0; vm_row_unpurged(n, &row); n++) {
		put_range(out, &row);
		seq_puts(out, " unpurged vm_area\n");
	}
}
