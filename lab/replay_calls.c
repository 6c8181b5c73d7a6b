/* SPDX-License-Identifier: MIT */
/*
 * replay_calls.c - mappings and memory calls of a recorded program.
 *
 * A mapping is placed where it was recorded if that place is free here, else
 * wherever the manager finds room, its address kept modulo 2 MiB if there is
 * room for that. So places that do not exist on a 32-bit machine are no
 * obstacle; whether there is room in all, replay_fit.c asks beforehand. The
 * second pass makes no calls: it takes the addresses that the first one logged.
 *
 * Until there is a page cache, file mappings are anonymous here (and counted)
 * and shared ones private.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/mm.h>
#include <mmkit/mman.h>

#include "err.h"
#include "replay_priv.h"

#define HUGE_ALIGN (2UL << 20)

/* ---- address spaces
 * ---------------------------------------------------------- */

struct replay_mm *rmm_new(struct replay *rp)
{
	struct replay_mm *rmm = calloc(1, sizeof(*rmm));
	int err;

	if (!rmm)
		err_die("no memory for an address space");
	rmm->users = 1;
	rmm->maps = calloc(TRACE_MAX_MAPS, sizeof(*rmm->maps));
	if (!rmm->maps)
		err_die("no memory for an address space");
	shadow_init(&rmm->shadow);
	if (rp->dry)
		return rmm;
	mm_default_layout(&rmm->layout);
	err = mm_create(&rmm->layout, &rmm->mm);
	if (err)
		err_die("the machine has no memory for a new address space");
	return rmm;
}

struct replay_mm *rmm_fork(struct replay *rp, struct replay_mm *old)
{
	struct replay_mm *rmm = calloc(1, sizeof(*rmm));

	if (!rmm)
		err_die("no memory for an address space");
	rmm->users = 1;
	if (!rp->dry && mm_fork(old->mm, &rmm->mm)) {
		free(rmm);
		return NULL;
	}
	rmm->layout = old->layout;
	rmm->nr_maps = old->nr_maps;
	rmm->maps = calloc(TRACE_MAX_MAPS, sizeof(*rmm->maps));
	if (!rmm->maps)
		err_die("no memory for an address space");
	if (old->nr_maps)
		memcpy(rmm->maps, old->maps, old->nr_maps * sizeof(*old->maps));
	shadow_init(&rmm->shadow);
	shadow_copy(&rmm->shadow, &old->shadow,
		    rp->dry ? replay_id_share : NULL, rp);
	return rmm;
}

static void drop_all_ids(struct replay *rp, struct shadow *s)
{
	for (u32 i = 0; i < s->nr_buckets; i++)
		for (struct shadow_leaf *l = s->buckets[i]; l; l = l->next)
			for (u32 p = 0; p < ARRAY_SIZE(l->page); p++)
				replay_id_drop(&l->page[p], rp);
}

void rmm_put(struct replay *rp, struct replay_mm *rmm)
{
	if (--rmm->users)
		return;
	if (rp->dry)
		drop_all_ids(rp, &rmm->shadow);
	else
		mm_put(rmm->mm);
	shadow_free(&rmm->shadow);
	free(rmm->maps);
	free(rmm);
}

/* Ids are below TRACE_MAX_MAPS: the reader has seen to that. */
static struct replay_map *map_slot(struct replay_mm *rmm, u32 id)
{
	if (id >= rmm->nr_maps)
		rmm->nr_maps = id + 1;
	return &rmm->maps[id];
}

/* ---- the log of places
 * ------------------------------------------------------------ */

static s64 place_next(struct replay *rp)
{
	if (rp->places.next >= rp->places.nr)
		err_die("internal: the second pass sees more mappings than the "
			"first");
	return rp->places.v[rp->places.next++];
}

static s64 place_note(struct replay *rp, s64 at)
{
	struct place_log *l = &rp->places;

	if (l->nr == l->max) {
		l->max = l->max ? l->max * 2 : 1024;
		l->v = realloc(l->v, l->max * sizeof(*l->v));
		if (!l->v)
			err_die("no memory for the log of mappings");
	}
	l->v[l->nr++] = at;
	return at;
}

/* ---- mappings
 * ---------------------------------------------------------------------- */

static int map_prot(const struct trace_map *m)
{
	/* A range that nobody accounted for may be used in any way. */
	if (m->how == TRACE_HOW_TOUCH)
		return PROT_READ | PROT_WRITE | PROT_EXEC;
	/* Its pages are read in by writing them, see first_access(). */
	if (m->kind == TRACE_KIND_FILE)
		return (int)m->prot | PROT_WRITE;
	return (int)m->prot; /* the trace's numbers are PROT_'s */
}

/* LEN bytes anywhere, at an address equal to WANT modulo 2 MiB if possible. */
static s64 place_aligned(struct mm_struct *mm, uva_t want, u64 len, int prot,
			 int flags)
{
	s64 at = do_mmap(mm, 0, len + HUGE_ALIGN, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	uva_t base;
	int err;

	/* No room to align in: anywhere, then. */
	if (at < 0)
		return do_mmap(mm, 0, len, prot, flags);
	err = do_munmap(mm, (uva_t)at, len + HUGE_ALIGN);
	if (err)
		return err;
	base = ((uva_t)at & ~(HUGE_ALIGN - 1)) + (want & (HUGE_ALIGN - 1));
	if (base < (uva_t)at)
		base += HUGE_ALIGN;
	return do_mmap(mm, base, len, prot, flags | MAP_FIXED_NOREPLACE);
}

static s64 place_map(struct replay_mm *rmm, const struct trace_map *m)
{
	u64 len = (u64)m->pages << PAGE_SHIFT;
	int prot = map_prot(m), flags = MAP_PRIVATE | MAP_ANONYMOUS;
	s64 at;

	if (m->flags & TRACE_MF_NORESERVE)
		flags |= MAP_NORESERVE;
	if (m->at_map != TRACE_NO_ID) {
		const struct replay_map *in = map_slot(rmm, m->at_map);
		uva_t base = in->base + ((u64)m->at_page << PAGE_SHIFT);

		if (in->base)
			return do_mmap(rmm->mm, base, len, prot,
				       flags | MAP_FIXED);
	}
	at = do_mmap(rmm->mm, m->start, len, prot, flags | MAP_FIXED_NOREPLACE);
	if (at >= 0)
		return at;
	return place_aligned(rmm->mm, m->start, len, prot, flags);
}

/* Does [START, START + LEN) lie beyond what a process has here? */
static bool beyond_space(const struct replay_mm *rmm, uva_t start, u64 len)
{
	u64 size = rmm->layout.task_size;

	return len > size || start > size - len;
}

/*
 * Only the upper end of a stack is mapped; the rest grows. Where the recorded
 * place does not exist, the stack is where this machine has one.
 */
static s64 place_stack(struct replay_mm *rmm, const struct trace_map *m)
{
	u64 grown = (u64)max(m->grown_pages, 1u) << PAGE_SHIFT;
	u64 len = (u64)m->pages << PAGE_SHIFT;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN |
		    MAP_FIXED_NOREPLACE;
	uva_t start = m->start;
	s64 at;

	if (beyond_space(rmm, start, len)) {
		start = rmm->layout.stack_top - len;
		if (beyond_space(rmm, start, len))
			return -ENOMEM;
	}
	at = do_mmap(rmm->mm, start + len - grown, grown, map_prot(m), flags);
	return at < 0 ? at : (s64)start;
}

static s64 place_heap(struct replay_mm *rmm, const struct trace_map *m)
{
	u64 len = (u64)m->pages << PAGE_SHIFT;
	uva_t start = m->start;
	int err;

	if (beyond_space(rmm, start, len))
		start = rmm->layout.start_brk;
	err = mm_set_start_brk(rmm->mm, start);
	if (err)
		return err;
	if (do_brk(rmm->mm, start + len) != start + len)
		return -ENOMEM;
	return (s64)start;
}

static s64 map_real(struct replay_mm *rmm, const struct trace_map *m)
{
	if (m->kind == TRACE_KIND_STACK)
		return place_stack(rmm, m);
	if (m->kind == TRACE_KIND_HEAP)
		return place_heap(rmm, m);
	return place_map(rmm, m);
}

static void count_map(struct replay *rp, const struct trace_map *m)
{
	if (rp->dry)
		return;
	rp->res->touch_maps += m->how == TRACE_HOW_TOUCH;
	rp->res->shared_as_private += (m->flags & TRACE_MF_SHARED) != 0;
}

/* Contents come from a file, at the start and after MADV_DONTNEED. */
static void mark_file(struct replay_mm *rmm, uva_t at, u32 pages)
{
	for (u32 i = 0; i < pages; i++)
		shadow_get(&rmm->shadow, at + ((u64)i << PAGE_SHIFT))->file = 1;
}

void replay_map_record(struct replay *rp, struct replay_task *t,
		       const struct trace_map *m)
{
	struct replay_mm *rmm = t->rmm;
	struct replay_map *slot;
	s64 at;

	count_map(rp, m);
	/* mremap's MAP record only names what the call has made already. */
	if (m->how == TRACE_HOW_MOVE && map_slot(rmm, m->map)->base) {
		slot = map_slot(rmm, m->map);
		slot->pages = m->pages;
		slot->kind = m->kind;
		return;
	}
	at = rp->dry ? place_next(rp) : place_note(rp, map_real(rmm, m));
	slot = map_slot(rmm, m->map);
	slot->kind = m->kind;
	slot->pages = m->pages;
	slot->base = at < 0 ? 0 : (uva_t)at;
	if (at < 0) {
		rp->res->call_mismatches += !rp->dry;
		return;
	}
	if (m->kind != TRACE_KIND_STACK && m->pages)
		replay_forget(rp, rmm, slot->base, (u64)m->pages << PAGE_SHIFT);
	if (m->kind == TRACE_KIND_FILE)
		mark_file(rmm, slot->base, m->pages);
}

/* ---- calls
 * ----------------------------------------------------------------------------
 */

/* A call came out otherwise than recorded (here: failed). */
static void mismatch(struct replay *rp, s64 got)
{
	if (!rp->dry && got < 0)
		rp->res->call_mismatches++;
}

static void call_munmap(struct replay *rp, struct replay_mm *rmm, uva_t at,
			u64 len)
{
	if (!rp->dry)
		mismatch(rp, do_munmap(rmm->mm, at, len));
	replay_forget(rp, rmm, at, len);
}

static void call_madvise(struct replay *rp, struct replay_mm *rmm,
			 const struct trace_call *c, uva_t at, u64 len)
{
	int advice = (int)c->arg;
	/* MADV_FREE (8) may free at once; others are hints here. */
	int what = advice == 8 ? MADV_DONTNEED : advice;
	int err = 0;

	if (!rp->dry)
		err = do_madvise(rmm->mm, at, len, what);
	if (err == -EINVAL) {
		rp->res->unsupported_calls++;
		return;
	}
	mismatch(rp, err);
	if (what != MADV_DONTNEED)
		return;
	replay_forget(rp, rmm, at, len);
	if (map_slot(rmm, c->map)->kind == TRACE_KIND_FILE)
		mark_file(rmm, at, c->nr_pages);
}

static void call_brk(struct replay *rp, struct replay_mm *rmm,
		     struct replay_map *heap, u64 end)
{
	u32 pages = (u32)(PAGE_ALIGN(end) >> PAGE_SHIFT);

	if (!rp->dry && do_brk(rmm->mm, heap->base + end) != heap->base + end)
		rp->res->call_mismatches++;
	if (pages < heap->pages)
		replay_forget(rp, rmm, heap->base + ((u64)pages << PAGE_SHIFT),
			      (u64)(heap->pages - pages) << PAGE_SHIFT);
	heap->pages = pages;
}

/* The mapping moves, or changes its size where it is. */
static void call_mremap(struct replay *rp, struct replay_mm *rmm,
			const struct trace_call *c)
{
	struct replay_map *m = map_slot(rmm, c->map), *to;
	uva_t at = m->base + ((u64)c->page << PAGE_SHIFT), new;
	u64 old_len = (u64)c->nr_pages << PAGE_SHIFT;
	u64 new_len = c->arg << PAGE_SHIFT;
	s64 got;

	if (rp->dry)
		got = place_next(rp);
	else
		got = place_note(rp, do_mremap(rmm->mm, at, old_len, new_len,
					       MREMAP_MAYMOVE, 0));
	mismatch(rp, got);
	if (got < 0)
		return;
	new = (uva_t)got;
	if (new_len < old_len)
		replay_forget(rp, rmm, at + new_len, old_len - new_len);
	if (new != at)
		shadow_move(&rmm->shadow, at, new, min(old_len, new_len));
	to = map_slot(rmm, c->new_map == TRACE_NO_ID ? c->map : c->new_map);
	m = map_slot(rmm, c->map);
	if (to == m) {
		/* Page 0 of the coordinates moves along. */
		m->base = new - ((u64)c->page << PAGE_SHIFT);
		m->pages = c->page + (u32)c->arg;
		return;
	}
	to->base = new;
	to->pages = (u32)c->arg;
	to->kind = m->kind;
}

/* Pages of files stay writable: see map_prot(). */
static int call_prot(struct replay_mm *rmm, const struct trace_call *c)
{
	int prot = (int)c->arg;

	return map_slot(rmm, c->map)->kind == TRACE_KIND_FILE
		       ? prot | PROT_WRITE
		       : prot;
}

static void call_range(struct replay *rp, struct replay_mm *rmm,
		       const struct trace_call *c, uva_t at, u64 len)
{
	switch (c->op) {
	case TRACE_OP_MUNMAP:
		call_munmap(rp, rmm, at, len);
		break;
	case TRACE_OP_MPROTECT:
		if (!rp->dry)
			mismatch(rp, do_mprotect(rmm->mm, at, len,
						 call_prot(rmm, c)));
		break;
	case TRACE_OP_MADVISE:
		call_madvise(rp, rmm, c, at, len);
		break;
	default:
		rp->res->unsupported_calls += !rp->dry;
		break;
	}
}

void replay_call_record(struct replay *rp, struct replay_task *t,
			const struct trace_call *c)
{
	struct replay_map *m;

	/* What failed then had no effect; nor had a range of no mapping. */
	if (c->err || c->map == TRACE_NO_ID)
		return;
	m = map_slot(t->rmm, c->map);
	if (!m->base)
		return;
	if (c->op == TRACE_OP_BRK)
		call_brk(rp, t->rmm, m, c->arg);
	else if (c->op == TRACE_OP_MREMAP)
		call_mremap(rp, t->rmm, c);
	else
		call_range(rp, t->rmm, c,
			   m->base + ((u64)c->page << PAGE_SHIFT),
			   (u64)c->nr_pages << PAGE_SHIFT);
}

void replay_content_record(struct replay *rp, struct replay_task *t,
			   const struct trace_content *c)
{
	struct replay_map *m = map_slot(t->rmm, c->map);
	struct shadow_page *p;

	if (rp->dry || !m->base || c->zero)
		return;
	p = shadow_get(&t->rmm->shadow, m->base + ((u64)c->page << PAGE_SHIFT));
	p->next_stamp = c->hash | 1;
}
