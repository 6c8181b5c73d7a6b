/* SPDX-License-Identifier: MIT */
/*
 * replay_region.c - which addresses of a replayed program show which file.
 *
 * The replayer checks what every page holds; of a page that several mappings
 * share it must know which one it is. The manager knows that too, but asking
 * the manager would let its mistakes pass. So each address space has a sorted
 * list of regions, kept by what the trace says the calls did. Programs have
 * some hundred; a TLB miss costs a binary search.
 *
 * Invariants: regions are not empty, disjoint, in order of addresses; each
 * with an object holds a reference to it.
 */
#include <stdlib.h>
#include <string.h>

#include <mmkit/mman.h>

#include "err.h"
#include "replay_priv.h"

/* Index of the first region that ends after VA. */
static u32 region_index(const struct replay_mm *rmm, uva_t va)
{
	u32 lo = 0, hi = rmm->nr_regions;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (rmm->regions[mid].end <= va)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct replay_region *region_find(struct replay_mm *rmm, uva_t va)
{
	u32 i = region_index(rmm, va);

	return i < rmm->nr_regions && rmm->regions[i].start <= va
		       ? &rmm->regions[i]
		       : NULL;
}

void region_add(struct replay_mm *rmm, const struct replay_region *r)
{
	u32 i = region_index(rmm, r->start);

	if (rmm->nr_regions == rmm->max_regions) {
		u32 max = rmm->max_regions ? rmm->max_regions * 2 : 32;
		void *p = realloc(rmm->regions, max * sizeof(*rmm->regions));

		if (!p)
			err_die("no memory for the list of mappings");
		rmm->regions = p;
		rmm->max_regions = max;
	}
	memmove(rmm->regions + i + 1, rmm->regions + i,
		(rmm->nr_regions - i) * sizeof(*rmm->regions));
	rmm->regions[i] = *r;
	rmm->nr_regions++;
}

void region_split(struct replay_mm *rmm, uva_t at)
{
	struct replay_region *r = region_find(rmm, at), tail;

	if (!r || r->start == at)
		return;
	tail = *r;
	tail.start = at;
	tail.index += (at - r->start) >> PAGE_SHIFT;
	r->end = at;
	if (tail.obj)
		tail.obj->refs++;
	region_add(rmm, &tail);
}

void region_drop(struct replay_mm *rmm, uva_t start, u64 len)
{
	u32 first, last;

	if (!rmm->nr_regions)
		return;
	region_split(rmm, start);
	region_split(rmm, start + len);
	first = region_index(rmm, start);
	last = first;
	while (last < rmm->nr_regions &&
	       rmm->regions[last].start < start + len) {
		if (rmm->regions[last].obj)
			obj_put(rmm->regions[last].obj);
		last++;
	}
	memmove(rmm->regions + first, rmm->regions + last,
		(rmm->nr_regions - last) * sizeof(*rmm->regions));
	rmm->nr_regions -= last - first;
}

/* A copy of R, which begins at or after M->from, where M takes it. */
static void move_one(struct replay_mm *rmm, const struct region_move *m,
		     struct replay_region r)
{
	bool last = r.end == m->from + m->old || !m->old;
	u64 off = r.start - m->from;

	if (off >= m->new)
		return;
	r.end = m->to + (last ? m->new : min(r.end - m->from, m->new));
	r.start = m->to + off;
	if (r.obj)
		r.obj->refs++;
	region_add(rmm, &r);
}

void region_move(struct replay_mm *rmm, const struct region_move *m)
{
	struct replay_region *old = NULL;
	u64 span = m->old ? m->old : PAGE_SIZE;
	u32 n, nr = 0;

	if (!rmm->nr_regions)
		return;
	region_split(rmm, m->from);
	region_split(rmm, m->from + span);
	n = region_index(rmm, m->from);
	while (n + nr < rmm->nr_regions &&
	       rmm->regions[n + nr].start < m->from + span)
		nr++;
	if (nr) {
		old = malloc(nr * sizeof(*old));
		if (!old)
			err_die("no memory for the list of mappings");
		memcpy(old, rmm->regions + n, nr * sizeof(*old));
	}
	/* A reference more, that dropping the old ones frees nothing. */
	for (u32 i = 0; i < nr; i++)
		if (old[i].obj)
			old[i].obj->refs++;
	if (!m->keep)
		region_drop(rmm, m->from, m->old);
	region_drop(rmm, m->to, m->new);
	for (u32 i = 0; i < nr; i++)
		move_one(rmm, m, old[i]);
	for (u32 i = 0; i < nr; i++)
		if (old[i].obj)
			obj_put(old[i].obj);
	free(old);
}

void region_fork(struct replay *rp, struct replay_mm *to,
		 const struct replay_mm *from)
{
	for (u32 i = 0; i < from->nr_regions; i++) {
		struct replay_region r = from->regions[i];

		if (r.wipe || r.dontfork)
			replay_forget(rp, to, r.start, r.end - r.start);
		if (r.dontfork)
			continue;
		if (r.obj)
			r.obj->refs++;
		region_add(to, &r);
	}
}

/* Private memory in [START, END) that has no region gets one without object. */
static void cover(struct replay_mm *rmm, uva_t start, uva_t end)
{
	while (start < end) {
		u32 i = region_index(rmm, start);
		uva_t next = i < rmm->nr_regions ? rmm->regions[i].start : end;

		if (next <= start) {
			start = rmm->regions[i].end;
			continue;
		}
		next = min(next, end);
		region_add(rmm, &(struct replay_region){.start = start,
							.end = next});
		start = next;
	}
}

void region_flag(struct replay_mm *rmm, uva_t start, u64 len, int advice)
{
	region_split(rmm, start);
	region_split(rmm, start + len);
	if (advice == MADV_WIPEONFORK || advice == MADV_DONTFORK)
		cover(rmm, start, start + len);
	for (u32 i = region_index(rmm, start);
	     i < rmm->nr_regions && rmm->regions[i].start < start + len; i++) {
		struct replay_region *r = &rmm->regions[i];

		if (advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK)
			r->wipe = advice == MADV_WIPEONFORK;
		else
			r->dontfork = advice == MADV_DONTFORK;
	}
}

void region_early(struct replay_mm *rmm, uva_t start, u64 len)
{
	for (u32 i = region_index(rmm, start);
	     i < rmm->nr_regions && rmm->regions[i].start < start + len; i++) {
		const struct replay_region *r = &rmm->regions[i];
		uva_t end = min(r->end, start + len);

		for (uva_t va = max(r->start, start);
		     r->obj && !r->shared && va < end; va += PAGE_SIZE) {
			u64 index = r->index + ((va - r->start) >> PAGE_SHIFT);
			struct shadow_page *p = shadow_get(&rmm->shadow, va);
			struct shadow_page *q;

			if (index << PAGE_SHIFT >= r->obj->size)
				break;
			if (p->own || p->alt)
				continue;
			q = obj_page(r->obj, index);
			p->stamp = q->stamp;
			p->cut = q->cut;
			p->alt = q->alt == ALT_ANY ? ALT_ANY : ALT_FILE;
		}
	}
}

void region_forget(struct replay *rp, struct replay_mm *rmm, uva_t start,
		   u64 len)
{
	uva_t end = start + len;

	while (start < end) {
		u32 i = region_index(rmm, start);
		const struct replay_region *r =
			i < rmm->nr_regions ? &rmm->regions[i] : NULL;
		uva_t next = r ? min(r->start > start ? r->start : r->end, end)
			       : end;

		if (!r || r->start > start || !r->shared)
			replay_forget(rp, rmm, start, next - start);
		start = next;
	}
}

static void truncated_in(struct replay *rp, struct replay_mm *rmm,
			 const struct replay_obj *obj, u64 index)
{
	for (u32 i = 0; i < rmm->nr_regions; i++) {
		const struct replay_region *r = &rmm->regions[i];
		u64 pages = (r->end - r->start) >> PAGE_SHIFT, skip;

		if (r->obj != obj || r->shared || r->index + pages <= index)
			continue;
		skip = index > r->index ? index - r->index : 0;
		replay_forget(rp, rmm, r->start + (skip << PAGE_SHIFT),
			      (pages - skip) << PAGE_SHIFT);
	}
}

void region_truncated(struct replay *rp, struct replay_obj *obj, u64 index)
{
	for (u32 i = 0; i < TRACE_MAX_TASKS; i++)
		if (rp->tasks[i].rmm)
			truncated_in(rp, rp->tasks[i].rmm, obj, index);
}
