/* SPDX-License-Identifier: MIT */
/*
 * slab_show.c - /proc/slabinfo and /sys/kernel/slab/CACHE/ATTRIBUTE;
 * debugfs's slab/CACHE/alloc_traces and free_traces.
 *
 * All caches in the order of their making. The tunables' and the shared
 * columns are SLAB's, which there is not: 0, as SLUB says. All slabs count as
 * active, again as there.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/string.h"
#include "kmem/slab.h"
#include "phys/phys.h"
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

/* ---- attributes --------------------------------------------------------
 */

/* A cache looked at, and where its attribute goes. */
struct slab_view {
	struct kmem_cache *s;
	struct slab_count n;
	struct seq_buf *out;
};

static void put_number(const struct slab_view *v, u64 n)
{
	seq_printf(v->out, "%llu\n", LLU(n));
}

static bool flagged(const struct slab_view *v, u32 flag)
{
	return (v->s->flags & flag) != 0;
}

/* One function for each attribute that takes more than a field. */
static void show_align(const struct slab_view *v)
{
	put_number(v, v->s->layout.align);
}

static void show_aliases(const struct slab_view *v)
{
	s32 others = READ_ONCE(v->s->refcount) - 1;

	put_number(v, others > 0 ? (u64)others : 0);
}

static void show_cpu_partial(const struct slab_view *v)
{
	put_number(v, (u64)v->s->cpu_partial * v->s->layout.objects / 2);
}

static void show_cpu_slabs(const struct slab_view *v)
{
	put_number(v, v->n.cpu_slabs);
}

static void show_ctor(const struct slab_view *v)
{
	if (v->s->ctor)
		seq_printf(v->out, "0x%llx\n", LLU((uintptr_t)v->s->ctor));
}

static void show_cache_dma(const struct slab_view *v)
{
	put_number(v, flagged(v, SLAB_CACHE_DMA));
}

static void show_destroy_by_rcu(const struct slab_view *v)
{
	put_number(v, flagged(v, SLAB_TYPESAFE_BY_RCU));
}

static void show_hwcache_align(const struct slab_view *v)
{
	put_number(v, flagged(v, SLAB_HWCACHE_ALIGN));
}

static void show_min_partial(const struct slab_view *v)
{
	put_number(v, v->s->min_partial);
}

static void show_object_size(const struct slab_view *v)
{
	put_number(v, kmem_cache_size(v->s));
}

static void show_objects(const struct slab_view *v)
{
	put_number(v, v->n.active);
}

static void show_objs_per_slab(const struct slab_view *v)
{
	put_number(v, v->s->layout.objects);
}

static void show_order(const struct slab_view *v)
{
	put_number(v, v->s->layout.order);
}

static void show_partial(const struct slab_view *v)
{
	put_number(v, v->n.partial);
}

static void show_poison(const struct slab_view *v)
{
	put_number(v, flagged(v, SLAB_POISON));
}

static void show_reclaim_account(const struct slab_view *v)
{
	put_number(v, flagged(v, SLAB_RECLAIM_ACCOUNT));
}

static void show_red_zone(const struct slab_view *v)
{
	put_number(v, flagged(v, SLAB_RED_ZONE));
}

static void show_sanity_checks(const struct slab_view *v)
{
	put_number(v, flagged(v, SLAB_CONSISTENCY_CHECKS));
}

static void show_slab_size(const struct slab_view *v)
{
	put_number(v, v->s->layout.size);
}

static void show_slabs(const struct slab_view *v)
{
	put_number(v, v->n.slabs);
}

static void show_store_user(const struct slab_view *v)
{
	put_number(v, flagged(v, SLAB_STORE_USER));
}

static void show_total_objects(const struct slab_view *v)
{
	put_number(v, v->n.objects);
}

static void show_trace(const struct slab_view *v)
{
	put_number(v, flagged(v, SLAB_TRACE));
}

static const struct slab_attr {
	const char *name;
	void (*show)(const struct slab_view *v);
} slab_attrs[] = {
	{"align", show_align},
	{"aliases", show_aliases},
	{"cache_dma", show_cache_dma},
	{"cpu_partial", show_cpu_partial},
	{"cpu_slabs", show_cpu_slabs},
	{"ctor", show_ctor},
	{"destroy_by_rcu", show_destroy_by_rcu},
	{"hwcache_align", show_hwcache_align},
	{"min_partial", show_min_partial},
	{"object_size", show_object_size},
	{"objects", show_objects},
	{"objs_per_slab", show_objs_per_slab},
	{"order", show_order},
	{"partial", show_partial},
	{"poison", show_poison},
	{"reclaim_account", show_reclaim_account},
	{"red_zone", show_red_zone},
	{"sanity_checks", show_sanity_checks},
	{"slab_size", show_slab_size},
	{"slabs", show_slabs},
	{"store_user", show_store_user},
	{"total_objects", show_total_objects},
	{"trace", show_trace},
};

struct slab_search {
	const char *name;
	size_t len;
	struct kmem_cache *found;
};

static void match_name(struct kmem_cache *s, void *arg)
{
	struct slab_search *q = arg;

	if (!q->found && mm_strlen(s->name) == q->len &&
	    mm_strncmp(s->name, q->name, q->len) == 0)
		q->found = s;
}

/* The cache of "CACHE/FILE", and *FILE; NULL: there is none. */
static struct kmem_cache *cache_of_path(const char *name, const char **file)
{
	struct slab_search q = {.name = name};

	*file = mm_strchr(name, '/');
	if (!*file)
		return NULL;
	q.len = (size_t)(*file - name);
	++*file;
	slab_for_each_sleep(match_name, &q);
	return q.found;
}

int show_slab_attr(const char *name, struct seq_buf *out)
{
	struct slab_view v = {.out = out};
	const char *attr;

	v.s = cache_of_path(name, &attr);
	for (size_t i = 0; v.s && i < ARRAY_SIZE(slab_attrs); i++) {
		if (mm_strcmp(slab_attrs[i].name, attr) != 0)
			continue;
		slab_counts(v.s, &v.n);
		slab_attrs[i].show(&v);
		return 0;
	}
	return -ENOENT;
}

/* ---- traces
 * ----------------------------------------------------------------------------
 */

/* "0-2,5" for the CPUs or nodes of BITS[NR]. */
static void put_ranges(struct seq_buf *out, const u64 *bits, int nr)
{
	const char *sep = "";

	for (int i = 0; i < nr; i++) {
		int from = i;

		if (!(bits[i / 64] >> i % 64 & 1))
			continue;
		while (i + 1 < nr && (bits[(i + 1) / 64] >> (i + 1) % 64 & 1))
			i++;
		seq_printf(out, i > from ? "%s%d-%d" : "%s%d", sep, from, i);
		sep = ",";
	}
}

static void put_location(struct seq_buf *out, const struct slab_location *l)
{
	char text[128] = "<not-available>";

	mm_assert(l->count > 0);
	if (l->addr)
		port_symbol(l->addr, text, sizeof(text));
	seq_printf(out, "%7llu %s", LLU(l->count), text);
	if (l->min_age == l->max_age)
		seq_printf(out, " age=%llu", LLU(l->min_age));
	else
		seq_printf(out, " age=%llu/%llu/%llu", LLU(l->min_age),
			   LLU(l->sum_age / l->count), LLU(l->max_age));
	if (l->min_pid == l->max_pid)
		seq_printf(out, " pid=%d", l->min_pid);
	else
		seq_printf(out, " pid=%d-%d", l->min_pid, l->max_pid);
	if (port_nr_cpus() > 1 && l->addr) {
		seq_puts(out, " cpus=");
		put_ranges(out, l->cpus.bits, MM_NR_CPUS);
	}
	if (nr_memory_nodes() > 1) {
		seq_puts(out, " nodes=");
		put_ranges(out, &l->nodes, MM_MAX_NODES);
	}
	seq_putc(out, '\n');
	stack_depot_print(out, l->stack, "        ");
	seq_putc(out, '\n');
}

/* All places of S, in a table of 2^ORDER frames. False: it is too small. */
static bool put_traces(struct kmem_cache *s, enum track_item item,
		       unsigned int order, struct seq_buf *out)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_NOWARN, order);
	struct slab_location *table;
	bool fits;
	u32 nr;

	if (!page) {
		seq_puts(out, "Out of memory\n");
		return true;
	}
	table = page_view(page);
	fits = slab_locations(s, item, table,
			      (u32)((PAGE_SIZE << order) / sizeof(*table)),
			      &nr);
	for (u32 i = 0; fits && i < nr; i++)
		put_location(out, &table[i]);
	if (fits && !nr)
		seq_puts(out, "No data\n");
	__free_pages(page, order);
	return fits;
}

int show_slab_traces(const char *name, struct seq_buf *out)
{
	const char *file;
	struct kmem_cache *s = cache_of_path(name, &file);
	enum track_item item = TRACK_ALLOC;

	if (!s || !(s->flags & SLAB_STORE_USER))
		return -ENOENT;
	if (mm_strcmp(file, "free_traces") == 0)
		item = TRACK_FREE;
	else if (mm_strcmp(file, "alloc_traces") != 0)
		return -ENOENT;
	for (unsigned int order = 0; order < MAX_ORDER; order++)
		if (put_traces(s, item, order, out))
			return 0;
	seq_puts(out, "Too many places\n");
	return 0;
}
