/* SPDX-License-Identifier: MIT */
/*
 * slab_show.c - /proc/slabinfo and /sys/kernel/slab/CACHE/ATTRIBUTE.
 *
 * All caches in the order of their making. The tunables' and the shared
 * columns are SLAB's, which there is not: 0, as SLUB says. All slabs count as
 * active, again as there.
 */
#include <mmkit/errno.h>

#include "base/string.h"
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

int show_slab_attr(const char *name, struct seq_buf *out)
{
	const char *attr = mm_strchr(name, '/');
	struct slab_search q = {.name = name};
	struct slab_view v = {.out = out};

	if (!attr)
		return -ENOENT;
	q.len = (size_t)(attr - name);
	slab_for_each_sleep(match_name, &q);
	for (size_t i = 0; q.found && i < ARRAY_SIZE(slab_attrs); i++) {
		if (mm_strcmp(slab_attrs[i].name, attr + 1) != 0)
			continue;
		v.s = q.found;
		slab_counts(v.s, &v.n);
		slab_attrs[i].show(&v);
		return 0;
	}
	return -ENOENT;
}
