/* SPDX-License-Identifier: MIT */
/*
 * slab_show.c - /proc/slabinfo.
 *
 * All caches in the order of their making. The tunables' and the shared
 * columns are SLAB's, which there is not: 0, as SLUB says. All slabs count as
 * active, again as there.
 */
#include "kmem/slab.h"
#include "report/report.h"

static void put_slab(struct kmem_cache *s, void *arg)
{
	struct seq_buf *out = arg;
	struct slab_count n;

	mm_assert(s->layout.objects > 0);
	slab_counts(s, &n);
	seq_printf(out, "%-17s %6llu %6llu %6u %4u %4u", s->name, LLU(n.active),
		   LLU(n.objects), s->layout.size, s->layout.objects,
		   1u << s->layout.order);
	seq_printf(out, " : tunables %4u %4u %4u", 0u, 0u, 0u);
	seq_printf(out, " : slabdata %6llu %6llu %6u\n", LLU(n.slabs),
		   LLU(n.slabs), 0u);
}

void show_slabinfo(struct seq_buf *out)
{
	seq_puts(out, "slabinfo - version: 2.1\n");
	seq_puts(out,
		 "# name            <active_objs> <num_objs> <objsize> "
		 "<objperslab> <pagesperslab> : tunables <limit> <batchcount> "
		 "<sharedfactor> : slabdata <active_slabs> <num_slabs> "
		 "<sharedavail>\n");
	slab_for_each_sleep(put_slab, out);
}
