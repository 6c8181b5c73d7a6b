/* SPDX-License-Identifier: MIT */
/*
 * replay_fit.c - how much a recorded program had mapped at once.
 *
 * 1. Purpose. A trace says where its mappings were; a machine with 32-bit
 *    addresses has room for 3 GiB of them. What cannot fit is refused before
 *    the machine runs, with both sizes, instead of failing in the middle.
 *
 * 2. Structures. For each address space of the trace the set of its mapped
 *    pages, as a sorted array of disjoint spans that do not touch, with the sum
 *    of their lengths; and for each mapping the place of its page 0. Places
 *    are page numbers of the recorded addresses. A mapping whose place is
 *    taken (the replayer would find another one for it) gets one beyond all
 *    addresses, at a distance that no other reaches.
 *
 * 3. What is counted. MAP adds its range, or lies over that of another one
 *    (at_map); MUNMAP removes, BRK and MREMAP change; FORK copies, EXEC begins
 *    anew. A stack is as large as it was mapped and used: references below
 *    its lower end let it grow. The peak is the greatest sum of any space.
 *
 * 4. Limits. The sum is necessary, not sufficient: a large mapping may find no
 *    hole of its size between others. The replay counts that as a mismatch.
 *
 * 5. Cost. A reference costs one compare; any other record O(log n) and the
 *    move of what stands behind in the array. Programs have some hundred
 *    spans.
 */
#include "replay_fit.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "err.h"
#include "space/space.h"
#include "trace.h"

/* Places for mappings whose own is taken: page numbers beyond addresses. */
#define ELSEWHERE      (1UL << 50)
#define ELSEWHERE_STEP (1UL << 33)
#define ELSEWHERE_END  (1UL << 62)

/* Pages START up to END. */
struct span {
	u64 start, end;
};

struct fit_map {
	u64 base; /* page number of page 0 */
	u32 pages;
	u32 low; /* of a stack: its lowest page in use; else 0 */
	bool there;
};

struct fit_mm {
	u32 users;
	u64 pages; /* sum of all spans */
	struct span *spans;
	u32 nr, max;
	struct fit_map *maps;
	u32 nr_maps;
};

struct fit {
	struct trace_reader *r;
	struct fit_mm *of_task[TRACE_MAX_TASKS];
	u32 task; /* whose records come now */
	u64 elsewhere;
	u64 peak; /* pages */
	u32 peak_task;
};

/* ---- sets of pages
 * ---------------------------------------------------------------- */

static void *must_grow(void *p, u64 nr, size_t size)
{
	p = realloc(p, nr * size);
	if (!p)
		err_die("no memory to measure the trace");
	return p;
}

/* The first span that ends behind PAGE. */
static u32 span_after(const struct fit_mm *mm, u64 page)
{
	u32 lo = 0, hi = mm->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (mm->spans[mid].end > page)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* NEW of them take the place of the spans AT up to END. */
static void spans_replace(struct fit_mm *mm, u32 at, u32 end,
			  const struct span *new, u32 nr)
{
	u32 total = mm->nr - (end - at) + nr;

	mm_assert(at <= end && end <= mm->nr && nr <= 2);
	if (total > mm->max) {
		mm->max = total * 2;
		mm->spans = must_grow(mm->spans, mm->max, sizeof(*mm->spans));
	}
	if (mm->nr > end)
		memmove(mm->spans + at + nr, mm->spans + end,
			(mm->nr - end) * sizeof(*mm->spans));
	for (u32 i = 0; i < nr; i++)
		mm->spans[at + i] = new[i];
	mm->nr = total;
}

static bool pages_free(const struct fit_mm *mm, u64 start, u64 nr)
{
	u32 i = span_after(mm, start);

	return i == mm->nr || mm->spans[i].start >= start + nr;
}

static void pages_remove(struct fit_mm *mm, u64 start, u64 nr)
{
	u64 end = start + nr;
	struct span left[2];
	u32 at = span_after(mm, start), i, n = 0;

	for (i = at; i < mm->nr && mm->spans[i].start < end; i++) {
		const struct span *s = &mm->spans[i];

		mm->pages -= s->end - s->start;
		if (s->start < start)
			left[n++] = (struct span){s->start, start};
		if (s->end > end)
			left[n++] = (struct span){end, s->end};
	}
	for (u32 k = 0; k < n; k++)
		mm->pages += left[k].end - left[k].start;
	if (i > at)
		spans_replace(mm, at, i, left, n);
}

static void pages_add(struct fit *f, struct fit_mm *mm, u64 start, u64 nr)
{
	struct span new = {start, start + nr};
	u32 at, i;

	if (!nr)
		return;
	/* From the one that ends where this begins. */
	at = span_after(mm, start ? start - 1 : 0);
	for (i = at; i < mm->nr && mm->spans[i].start <= new.end; i++) {
		mm->pages -= mm->spans[i].end - mm->spans[i].start;
		new.start = min(new.start, mm->spans[i].start);
		new.end = max(new.end, mm->spans[i].end);
	}
	spans_replace(mm, at, i, &new, 1);
	mm->pages += new.end - new.start;
	if (mm->pages <= f->peak)
		return;
	f->peak = mm->pages;
	f->peak_task = f->task;
}

/* ---- address spaces
 * ---------------------------------------------------------------- */

static struct fit_mm *fit_mm_new(void)
{
	struct fit_mm *mm = must_grow(NULL, 1, sizeof(*mm));

	*mm = (struct fit_mm){.users = 1};
	return mm;
}

static struct fit_mm *fit_mm_fork(const struct fit_mm *old)
{
	struct fit_mm *mm = fit_mm_new();

	mm->pages = old->pages;
	mm->nr = mm->max = old->nr;
	mm->nr_maps = old->nr_maps;
	if (old->nr) {
		mm->spans = must_grow(NULL, old->nr, sizeof(*mm->spans));
		memcpy(mm->spans, old->spans, old->nr * sizeof(*mm->spans));
	}
	if (old->nr_maps) {
		mm->maps = must_grow(NULL, old->nr_maps, sizeof(*mm->maps));
		memcpy(mm->maps, old->maps, old->nr_maps * sizeof(*mm->maps));
	}
	return mm;
}

static void fit_mm_put(struct fit_mm *mm)
{
	if (!mm || --mm->users)
		return;
	free(mm->spans);
	free(mm->maps);
	free(mm);
}

/* Ids are below TRACE_MAX_MAPS: the reader has seen to that. */
static struct fit_map *fit_map(struct fit_mm *mm, u32 id)
{
	u32 nr = mm->nr_maps ? mm->nr_maps : 64;

	mm_assert(id < TRACE_MAX_MAPS);
	while (nr <= id)
		nr *= 2;
	if (nr > mm->nr_maps) {
		mm->maps = must_grow(mm->maps, nr, sizeof(*mm->maps));
		memset(mm->maps + mm->nr_maps, 0,
		       (nr - mm->nr_maps) * sizeof(*mm->maps));
		mm->nr_maps = nr;
	}
	return &mm->maps[id];
}

/* ---- records
 * ------------------------------------------------------------------------ */

static u64 place_elsewhere(struct fit *f)
{
	f->elsewhere += ELSEWHERE_STEP;
	if (f->elsewhere >= ELSEWHERE_END)
		f->elsewhere = ELSEWHERE;
	return f->elsewhere;
}

static u64 place_of(struct fit *f, struct fit_mm *mm, const struct trace_map *m)
{
	u64 start = m->start >> PAGE_SHIFT;

	if (m->at_map != TRACE_NO_ID) {
		const struct fit_map *in = fit_map(mm, m->at_map);

		if (in->there && in->base + m->at_page < ELSEWHERE_END)
			return in->base + m->at_page;
	}
	return pages_free(mm, start, m->pages) ? start : place_elsewhere(f);
}

static void fit_map_record(struct fit *f, struct fit_mm *mm,
			   const struct trace_map *m)
{
	u64 base = place_of(f, mm, m);
	u32 low = 0;

	if (m->kind == TRACE_KIND_STACK)
		low = m->pages - max(m->grown_pages, 1u);
	*fit_map(mm, m->map) = (struct fit_map){
		.base = base, .pages = m->pages, .low = low, .there = true};
	pages_add(f, mm, base + low, m->pages - low);
}

/* What a moved mapping left is free; its MAP record follows. */
static void fit_mremap(struct fit *f, struct fit_mm *mm,
		       const struct trace_call *c)
{
	struct fit_map *m = fit_map(mm, c->map);

	if (!(c->flags & TRACE_MREMAP_DONTUNMAP))
		pages_remove(mm, m->base + c->page, c->nr_pages);
	if (c->new_map != c->map && c->new_map != TRACE_NO_ID)
		return;
	if (!pages_free(mm, m->base + c->page, c->arg))
		m->base = place_elsewhere(f);
	m->pages = c->page + (u32)c->arg;
	pages_add(f, mm, m->base + c->page, c->arg);
}

static void fit_brk(struct fit *f, struct fit_mm *mm,
		    const struct trace_call *c)
{
	struct fit_map *m = fit_map(mm, c->map);
	u32 pages = (u32)PFN_UP(c->arg);

	if (pages < m->pages)
		pages_remove(mm, m->base + pages, m->pages - pages);
	else
		pages_add(f, mm, m->base + m->pages, pages - m->pages);
	m->pages = pages;
}

static void fit_call(struct fit *f, struct fit_mm *mm,
		     const struct trace_call *c)
{
	if (c->err || c->map == TRACE_NO_ID || !fit_map(mm, c->map)->there)
		return;
	if (c->op == TRACE_OP_MUNMAP)
		pages_remove(mm, fit_map(mm, c->map)->base + c->page,
			     c->nr_pages);
	else if (c->op == TRACE_OP_MREMAP)
		fit_mremap(f, mm, c);
	else if (c->op == TRACE_OP_BRK)
		fit_brk(f, mm, c);
}

static void fit_ref(struct fit *f, struct fit_mm *mm, const struct trace_ref *r)
{
	struct fit_map *m = fit_map(mm, r->map);

	if (likely(r->page >= m->low))
		return;
	pages_add(f, mm, m->base + r->page, m->low - r->page);
	m->low = r->page;
}

static void fit_fork(struct fit *f, struct fit_mm *mm,
		     const struct trace_fork *fork)
{
	struct fit_mm **child = &f->of_task[fork->child];

	fit_mm_put(*child);
	if (fork->flags & TRACE_CLONE_VM) {
		mm->users++;
		*child = mm;
	} else {
		*child = fit_mm_fork(mm);
	}
}

static void fit_record(struct fit *f, const struct trace_rec *rec)
{
	struct fit_mm **mm = &f->of_task[f->task];

	/* Who has ended has no records: the reader has seen to that. */
	mm_verify(*mm || rec->type == TRACE_SWITCH);
	switch (rec->type) {
	case TRACE_REF:
		fit_ref(f, *mm, &rec->ref);
		break;
	case TRACE_MAP:
		fit_map_record(f, *mm, &rec->map);
		break;
	case TRACE_CALL:
		fit_call(f, *mm, &rec->call);
		break;
	case TRACE_FORK:
		fit_fork(f, *mm, &rec->fork);
		break;
	case TRACE_EXEC:
		fit_mm_put(*mm);
		*mm = fit_mm_new();
		break;
	case TRACE_EXIT:
		fit_mm_put(*mm);
		*mm = NULL;
		break;
	case TRACE_SWITCH:
		f->task = rec->to;
		break;
	default:
		break;
	}
}

/* All records of the open trace. 0, or what trace_next() said. */
static int fit_read(struct fit *f)
{
	struct trace_rec rec;
	struct trace_ref ref;
	int ret;

	do {
		while (f->of_task[f->task] && trace_next_ref(f->r, &ref))
			fit_ref(f, f->of_task[f->task], &ref);
		ret = trace_next(f->r, &rec);
		if (ret > 0)
			fit_record(f, &rec);
	} while (ret > 0);
	return ret;
}

void replay_fit_scan(const char *path, struct replay_fit *out)
{
	struct fit *f = must_grow(NULL, 1, sizeof(*f));
	struct trace_error e;

	memset(f, 0, sizeof(*f));
	f->elsewhere = ELSEWHERE;
	f->r = trace_reader_open(path, &e);
	if (!f->r)
		err_die("%s", e.text);
	f->of_task[0] = fit_mm_new();
	if (fit_read(f))
		err_die("%s", trace_reader_error(f->r));
	*out = (struct replay_fit){.peak_bytes = f->peak << PAGE_SHIFT,
				   .task = f->peak_task};
	for (u32 i = 0; i < TRACE_MAX_TASKS; i++)
		fit_mm_put(f->of_task[i]);
	trace_reader_close(f->r);
	free(f);
}

u64 replay_fit_room(const struct paging_format *f)
{
	return f->user_end - SPACE_MMAP_MIN_ADDR -
	       ((u64)SPACE_STACK_GUARD_GAP << PAGE_SHIFT);
}

static double gib(u64 bytes)
{
	return (double)bytes / (double)(1UL << 30);
}

void replay_fit_check(const char *path, const struct paging_format *f)
{
	u64 room = replay_fit_room(f);
	struct replay_fit fit;

	if (f->va_bits > 32)
		return;
	replay_fit_scan(path, &fit);
	if (fit.peak_bytes <= room)
		return;
	err_die("%s: task %u has %llu bytes mapped at once (%.2f GiB); a "
		"process on %s has room for %llu (%.2f GiB)",
		path, fit.task, (unsigned long long)fit.peak_bytes,
		gib(fit.peak_bytes), f->name, (unsigned long long)room,
		gib(room));
}
