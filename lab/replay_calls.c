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
 * Two ways. With files as files (rp->exact) every call is made as it was: with
 * its file, sharing, protection and flags; a mapping that cannot be made ends
 * the replay, since what follows would mean nothing. Traces of version 1 are
 * replayed as when they were made: file mappings are anonymous (and counted)
 * and shared ones private.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/fs.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>

#include "err.h"
#include "replay_priv.h"

#define HUGE_ALIGN (2UL << 20)

/* ---- address spaces
 * ---------------------------------------------------------- */

struct replay_mm *rmm_new(struct replay *rp, u32 task)
{
	struct replay_mm *rmm = calloc(1, sizeof(*rmm));
	int err;

	if (!rmm)
		err_die("no memory for an address space");
	rmm->users = 1;
	rmm->task = task;
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
	whatif_space(&rp->o->whatif, rmm->mm);
	return rmm;
}

struct replay_mm *rmm_fork(struct replay *rp, struct replay_mm *old, u32 task)
{
	struct replay_mm *rmm = calloc(1, sizeof(*rmm));

	if (!rmm)
		err_die("no memory for an address space");
	rmm->users = 1;
	rmm->task = task;
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
	region_fork(rp, rmm, old);
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
	region_drop(rmm, 0, UINT64_MAX & PAGE_MASK);
	shadow_free(&rmm->shadow);
	free(rmm->regions);
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

static int map_prot(const struct replay *rp, const struct trace_map *m)
{
	/* A range that nobody accounted for may be used in any way. */
	if (m->how == TRACE_HOW_TOUCH)
		return PROT_READ | PROT_WRITE | PROT_EXEC;
	/* Its pages are read in by writing them, see first_access(). */
	if (m->kind == TRACE_KIND_FILE && !rp->exact)
		return (int)m->prot | PROT_WRITE;
	return (int)m->prot; /* the trace's numbers are PROT_'s */
}

/* REQ at ADDR with further FLAGS. */
static s64 map_at(struct mm_struct *mm, const struct mm_mmap *req, uva_t addr,
		  int flags)
{
	struct mm_mmap r = *req;

	r.addr = addr;
	r.flags |= flags;
	return do_mmap_file(mm, &r);
}

/* REQ anywhere, at an address equal to its own modulo 2 MiB if possible. */
static s64 place_aligned(struct mm_struct *mm, const struct mm_mmap *req)
{
	s64 at = do_mmap(mm, 0, req->len + HUGE_ALIGN, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	uva_t base;
	int err;

	/* No room to align in: anywhere, then. */
	if (at < 0)
		return map_at(mm, req, 0, 0);
	err = do_munmap(mm, (uva_t)at, req->len + HUGE_ALIGN);
	if (err)
		return err;
	base = ((uva_t)at & ~(HUGE_ALIGN - 1)) + (req->addr & (HUGE_ALIGN - 1));
	if (base < (uva_t)at)
		base += HUGE_ALIGN;
	return map_at(mm, req, base, MAP_FIXED_NOREPLACE);
}

/* Where a record says that M must be, or 0: anywhere. */
static uva_t fixed_place(struct replay_mm *rmm, const struct trace_map *m)
{
	const struct replay_map *in;

	if (m->at_map == TRACE_NO_ID)
		return 0;
	in = map_slot(rmm, m->at_map);
	return in->base ? in->base + ((u64)m->at_page << PAGE_SHIFT) : 0;
}

static s64 place_req(struct replay_mm *rmm, const struct trace_map *m,
		     const struct mm_mmap *req)
{
	uva_t fixed = fixed_place(rmm, m);
	s64 at;

	if (fixed)
		return map_at(rmm->mm, req, fixed, MAP_FIXED);
	at = map_at(rmm->mm, req, m->start, MAP_FIXED_NOREPLACE);
	return at >= 0 ? at : place_aligned(rmm->mm, req);
}

/* Is M backed by a file here? */
static bool is_file(const struct replay *rp, const struct trace_map *m)
{
	return rp->exact && m->kind == TRACE_KIND_FILE &&
	       rp->files[m->file]->kind != OBJ_SPECIAL;
}

static int map_flags(const struct replay *rp, const struct trace_map *m)
{
	int flags = m->flags & TRACE_MF_NORESERVE ? MAP_NORESERVE : 0;

	if (!rp->exact)
		return flags | MAP_PRIVATE | MAP_ANONYMOUS;
	if (!is_file(rp, m))
		flags |= MAP_ANONYMOUS;
	if (m->flags & TRACE_MF_LOCKED)
		flags |= MAP_LOCKED;
	if (m->flags & TRACE_MF_POPULATE)
		flags |= MAP_POPULATE;
	if (m->flags & TRACE_MF_SHARED)
		return flags | MAP_SHARED;
	if (m->flags & TRACE_MF_GROWSDOWN && !is_file(rp, m))
		flags |= MAP_GROWSDOWN;
	return flags | MAP_PRIVATE;
}

static s64 place_map(struct replay *rp, struct replay_mm *rmm,
		     const struct trace_map *m)
{
	struct mm_mmap req = {.addr = m->start,
			      .len = (u64)m->pages << PAGE_SHIFT,
			      .prot = map_prot(rp, m),
			      .flags = map_flags(rp, m)};
	s64 at;

	if (is_file(rp, m)) {
		req.file = replay_file_for_map(rp, m);
		req.pgoff = m->file_page;
	}
	at = place_req(rmm, m, &req);
	if (req.file)
		fput(req.file);
	return at;
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
static s64 place_stack(struct replay *rp, struct replay_mm *rmm,
		       const struct trace_map *m)
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
	at = do_mmap(rmm->mm, start + len - grown, grown, map_prot(rp, m),
		     flags);
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

static s64 map_real(struct replay *rp, struct replay_mm *rmm,
		    const struct trace_map *m)
{
	struct fault_mark faults = {0};
	s64 at;

	if (m->kind == TRACE_KIND_STACK)
		return place_stack(rp, rmm, m);
	if (m->kind == TRACE_KIND_HEAP)
		return place_heap(rmm, m);
	if (!rp->exact)
		return place_map(rp, rmm, m);
	faults = replay_faults_now();
	at = place_map(rp, rmm, m);
	if (at >= 0 && is_file(rp, m))
		replay_faults_are(rp, rp->files[m->file]->kind, &faults);
	else if (at >= 0 && m->flags & TRACE_MF_SHARED)
		replay_faults_are(rp, OBJ_ANON, &faults);
	return at;
}

static void count_map(struct replay *rp, const struct trace_map *m)
{
	if (rp->dry)
		return;
	rp->res->touch_maps += m->how == TRACE_HOW_TOUCH;
	if (!rp->exact)
		rp->res->shared_as_private += (m->flags & TRACE_MF_SHARED) != 0;
	else if (m->kind == TRACE_KIND_FILE && m->how != TRACE_HOW_MOVE)
		rp->res->special_maps += !is_file(rp, m);
}

/* Contents come from a file, at the start and after MADV_DONTNEED. */
static void mark_file(struct replay_mm *rmm, uva_t at, u32 pages)
{
	for (u32 i = 0; i < pages; i++)
		shadow_get(&rmm->shadow, at + ((u64)i << PAGE_SHIFT))->file = 1;
}

/* With files as files the end of a mapping that cannot be made is the end. */
static void must_map(struct replay *rp, const struct replay_task *t, s64 at,
		     const struct trace_map *m)
{
	static const char *const hint[] = {
		"", " (vm.overcommit_memory=1 promises everything)"};
	bool file = m->file != TRACE_NO_ID && rp->exact;

	if (at >= 0 || rp->dry || !rp->exact || t->task->fatal_signal)
		return;
	replay_die(rp, "mapping %u (%s, %u pages%s%.100s) cannot be made: %s%s",
		   m->map, trace_kind_name(m->kind), m->pages,
		   file ? " of " : "", file ? rp->files[m->file]->name : "",
		   strerror((int)-at), hint[at == -ENOMEM]);
}

/* What the new mapping at AT shows. */
static void map_region(struct replay *rp, struct replay_mm *rmm, uva_t at,
		       const struct trace_map *m)
{
	u64 len = (u64)m->pages << PAGE_SHIFT;
	struct replay_region r = {.start = at, .end = at + len};

	if (!rp->exact || !len || m->kind == TRACE_KIND_STACK)
		return;
	region_drop(rmm, at, len);
	r.shared = (m->flags & TRACE_MF_SHARED) != 0;
	if (is_file(rp, m)) {
		r.obj = obj_of_file(rp, m->file);
		r.obj->refs++;
		r.index = m->file_page;
	} else if (r.shared) {
		r.obj = obj_new_anon(rp);
	}
	if (!r.obj)
		return;
	region_add(rmm, &r);
	rmm->locked |= (m->flags & TRACE_MF_LOCKED) != 0;
	if (m->flags & (TRACE_MF_LOCKED | TRACE_MF_POPULATE) ||
	    rmm->lock_future)
		region_early(rmm, at, len);
}

static void map_moved(struct replay *rp, struct replay_task *t,
		      const struct trace_map *m);

void replay_map_record(struct replay *rp, struct replay_task *t,
		       const struct trace_map *m)
{
	struct replay_mm *rmm = t->rmm;
	struct replay_map *slot;
	s64 at;

	if (rp->exact && m->kind == TRACE_KIND_FILE)
		(void)obj_of_file(rp, m->file);
	count_map(rp, m);
	if (rp->exact && m->how == TRACE_HOW_MOVE) {
		map_moved(rp, t, m);
		return;
	}
	/* mremap's MAP record only names what the call has made already. */
	if (m->how == TRACE_HOW_MOVE && map_slot(rmm, m->map)->base) {
		slot = map_slot(rmm, m->map);
		slot->pages = m->pages;
		slot->kind = m->kind;
		return;
	}
	at = rp->dry ? place_next(rp) : place_note(rp, map_real(rp, rmm, m));
	must_map(rp, t, at, m);
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
	map_region(rp, rmm, slot->base, m);
	if (m->kind == TRACE_KIND_FILE && !rp->exact)
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
	region_drop(rmm, at, len);
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
	if (pages < heap->pages) {
		replay_forget(rp, rmm, heap->base + ((u64)pages << PAGE_SHIFT),
			      (u64)(heap->pages - pages) << PAGE_SHIFT);
		region_drop(rmm, heap->base + ((u64)pages << PAGE_SHIFT),
			    (u64)(heap->pages - pages) << PAGE_SHIFT);
	}
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

/* ---- calls with files as files
 * ------------------------------------------------------------ */

/* The page that a store at VA would change. */
static struct shadow_page *page_at(struct replay_mm *rmm, uva_t va)
{
	struct replay_region *r = rmm->nr_regions ? region_find(rmm, va) : NULL;

	if (r && r->obj && r->shared)
		return obj_page(r->obj,
				r->index + ((va - r->start) >> PAGE_SHIFT));
	return shadow_get(&rmm->shadow, va);
}

/* MADV_FREE: pages of [AT, AT + LEN) may be taken. */
static void mark_free(struct replay_mm *rmm, uva_t at, u64 len)
{
	for (u64 off = 0; off < len; off += PAGE_SIZE) {
		struct shadow_page *p = shadow_find(&rmm->shadow, at + off);

		if (p && p->stamp)
			p->alt = ALT_ZERO;
	}
}

/* MADV_REMOVE: the files' pages behind [AT, AT + LEN) are cleared. */
static void mark_removed(struct replay_mm *rmm, uva_t at, u64 len)
{
	while (len) {
		struct replay_region *r = region_find(rmm, at);
		u64 n = r ? min(len, r->end - at) : PAGE_SIZE;

		if (r && r->obj && r->shared)
			obj_hole(r->obj,
				 (r->index << PAGE_SHIFT) + (at - r->start), n);
		at += n;
		len -= n;
	}
}

/* What ADVICE has done to the contents, or will do. */
static void advised(struct replay *rp, struct replay_mm *rmm, uva_t at, u64 len,
		    int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
		region_forget(rp, rmm, at, len);
		break;
	case MADV_FREE:
		mark_free(rmm, at, len);
		break;
	case MADV_REMOVE:
		mark_removed(rmm, at, len);
		break;
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
	case MADV_DONTFORK:
	case MADV_DOFORK:
		region_flag(rmm, at, len, advice);
		break;
	case MADV_POPULATE_WRITE:
		region_early(rmm, at, len);
		break;
	default:
		break;
	}
}

/* It failed, after a part of the range may have been given up. */
static void advised_in_part(struct replay *rp, struct replay_mm *rmm, uva_t at,
			    u64 len, int advice)
{
	if (advice == MADV_POPULATE_WRITE)
		region_early(rmm, at, len);
	if (advice != MADV_DONTNEED && advice != MADV_DONTNEED_LOCKED &&
	    advice != MADV_FREE && advice != MADV_REMOVE)
		return;
	if (rp->dry) {
		/* An identity less asks less of the optimum. */
		region_forget(rp, rmm, at, len);
		return;
	}
	for (u64 off = 0; off < len; off += PAGE_SIZE) {
		struct replay_region *r = region_find(rmm, at + off);
		bool shared = r && r->obj && r->shared;

		if (!shared || advice == MADV_REMOVE)
			page_at(rmm, at + off)->alt = ALT_ANY;
	}
}

static void call_advice(struct replay *rp, struct replay_mm *rmm,
			const struct trace_call *c, uva_t at, u64 len)
{
	struct fault_mark faults;
	int advice = c->arg > INT32_MAX ? -1 : (int)c->arg;
	int err;

	if (rp->dry) {
		/* What the first pass was told. */
		if (place_next(rp) >= 0)
			advised(rp, rmm, at, len, advice);
		else
			advised_in_part(rp, rmm, at, len, advice);
		return;
	}
	faults = replay_faults_now();
	err = do_madvise(rmm->mm, at, len, advice);
	replay_faults_at(rp, rmm, at, &faults);
	/* With a hole in the range all the rest was done. */
	place_note(rp, err == -ENOMEM ? 0 : err);
	if (err == -EINVAL)
		rp->res->unsupported_calls++;
	else
		mismatch(rp, err);
	if (!err || err == -ENOMEM)
		advised(rp, rmm, at, len, advice);
	else
		advised_in_part(rp, rmm, at, len, advice);
}

static void call_lock(struct replay *rp, struct replay_mm *rmm,
		      const struct trace_call *c, uva_t at, u64 len)
{
	struct fault_mark faults;

	rmm->locked = true;
	if (!(c->arg & MLOCK_ONFAULT))
		region_early(rmm, at, len);
	if (rp->dry)
		return;
	faults = replay_faults_now();
	mismatch(rp, do_mlock(rmm->mm, at, len, (u32)c->arg));
	replay_faults_at(rp, rmm, at, &faults);
}

/* Calls without a range. */
static void call_all(struct replay *rp, struct replay_mm *rmm,
		     const struct trace_call *c)
{
	u32 flags = (u32)c->arg;

	if (c->op == TRACE_OP_MUNLOCKALL) {
		rmm->lock_future = false;
		if (!rp->dry)
			mismatch(rp, do_munlockall(rmm->mm));
	} else if (c->op == TRACE_OP_MLOCKALL) {
		bool now = !(flags & MCL_ONFAULT);

		rmm->locked = true;
		rmm->lock_future = now && flags & MCL_FUTURE;
		if (now && flags & MCL_CURRENT)
			region_early(rmm, 0, UINT64_MAX & PAGE_MASK);
		if (!rp->dry)
			mismatch(rp, do_mlockall(rmm->mm, flags));
	}
}

static void call_other(struct replay *rp, struct replay_mm *rmm,
		       const struct trace_call *c, uva_t at, u64 len)
{
	if (c->op == TRACE_OP_MADVISE)
		call_advice(rp, rmm, c, at, len);
	else if (c->op == TRACE_OP_MLOCK)
		call_lock(rp, rmm, c, at, len);
	else if (c->op == TRACE_OP_MUNLOCK && !rp->dry)
		mismatch(rp, do_munlock(rmm->mm, at, len));
	else if (c->op == TRACE_OP_MSYNC && !rp->dry)
		mismatch(rp, do_msync(rmm->mm, at, len, (int)c->arg));
}

/* The shadows after an mremap that M describes. */
static void moved(struct replay *rp, struct replay_mm *rmm,
		  const struct region_move *m)
{
	region_move(rmm, m);
	if (rmm->locked && m->to == m->from)
		region_early(rmm, m->to, m->new);
	if (m->to == m->from) {
		if (m->new < m->old)
			replay_forget(rp, rmm, m->from + m->new,
				      m->old - m->new);
		return;
	}
	replay_forget(rp, rmm, m->to, m->new);
	shadow_move(&rmm->shadow, m->from, m->to, min(m->old, m->new));
	if (rmm->locked)
		region_early(rmm, m->to, m->new);
	if (m->new < m->old)
		replay_forget(rp, rmm, m->from + m->new, m->old - m->new);
}

/* mremap, as the program asked for it; TO: where it must go, or 0. */
static s64 remap(struct replay *rp, struct replay_mm *rmm,
		 const struct region_move *m, u32 flags)
{
	int how = MREMAP_MAYMOVE;

	if (rp->dry)
		return place_next(rp);
	if (flags & TRACE_MREMAP_DONTUNMAP)
		how |= MREMAP_DONTUNMAP;
	if (m->to)
		how |= MREMAP_FIXED;
	return place_note(
		rp, do_mremap(rmm->mm, m->from, m->old, m->new, how, m->to));
}

/* The MAP record behind an mremap that made a mapping. */
static void map_moved(struct replay *rp, struct replay_task *t,
		      const struct trace_map *m)
{
	struct replay_mm *rmm = t->rmm;
	const struct trace_call *c = &rp->move;
	const struct replay_map *from = map_slot(rmm, c->map);
	struct region_move mv = {.from = from->base +
					 ((u64)c->page << PAGE_SHIFT),
				 .old = (u64)c->nr_pages << PAGE_SHIFT,
				 .new = c->arg << PAGE_SHIFT,
				 .keep = c->flags &TRACE_MREMAP_DONTUNMAP};
	struct replay_map *slot = map_slot(rmm, m->map);
	s64 got = -EFAULT;

	if (from->base) {
		mv.to = fixed_place(rmm, m);
		/* Growing where it was: it may move, here. */
		if (mv.to == mv.from)
			mv.to = 0;
		got = remap(rp, rmm, &mv, c->flags);
	}
	must_map(rp, t, got, m);
	*slot = (struct replay_map){.base = got < 0 ? 0 : (uva_t)got,
				    .pages = m->pages,
				    .kind = m->kind};
	if (got < 0) {
		rp->res->call_mismatches += !rp->dry;
		return;
	}
	mv.to = (uva_t)got;
	moved(rp, rmm, &mv);
}

/* mremap that leaves the mapping where it is: at its end, so it may move as a
 * whole if all of it is meant. */
static void call_resize(struct replay *rp, struct replay_task *t,
			const struct trace_call *c)
{
	struct replay_mm *rmm = t->rmm;
	struct replay_map *m = map_slot(rmm, c->map);
	struct region_move mv = {.from = m->base + ((u64)c->page << PAGE_SHIFT),
				 .old = (u64)c->nr_pages << PAGE_SHIFT,
				 .new = c->arg << PAGE_SHIFT};
	s64 got;

	if (rp->dry)
		got = place_next(rp);
	else
		got = place_note(rp,
				 do_mremap(rmm->mm, mv.from, mv.old, mv.new,
					   c->page ? 0 : MREMAP_MAYMOVE, 0));
	if (got < 0 && !rp->dry && !t->task->fatal_signal)
		replay_die(rp,
			   "mapping %u cannot grow from %u to %llu pages: "
			   "%s",
			   c->map, c->nr_pages, (unsigned long long)c->arg,
			   strerror((int)-got));
	if (got < 0)
		return;
	mv.to = (uva_t)got;
	moved(rp, rmm, &mv);
	m->base = mv.to - ((u64)c->page << PAGE_SHIFT);
	m->pages = c->page + (u32)c->arg;
}

/* Pages of files stay writable if they are anonymous: see map_prot(). */
static int call_prot(const struct replay *rp, struct replay_mm *rmm,
		     const struct trace_call *c)
{
	int prot = (int)c->arg;

	return !rp->exact && map_slot(rmm, c->map)->kind == TRACE_KIND_FILE
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
		/* Locked memory that becomes writable is copied at once. */
		if (rmm->locked && c->arg & TRACE_PROT_WRITE)
			region_early(rmm, at, len);
		if (!rp->dry)
			mismatch(rp, do_mprotect(rmm->mm, at, len,
						 call_prot(rp, rmm, c)));
		break;
	default:
		if (rp->exact)
			call_other(rp, rmm, c, at, len);
		else if (c->op == TRACE_OP_MADVISE)
			call_madvise(rp, rmm, c, at, len);
		else
			rp->res->unsupported_calls += !rp->dry;
		break;
	}
}

void replay_call_record(struct replay *rp, struct replay_task *t,
			const struct trace_call *c)
{
	struct replay_map *m;

	/* What failed then had no effect; nor had a range of no mapping. */
	if (c->err)
		return;
	if (rp->exact)
		call_all(rp, t->rmm, c);
	/* The mapping that it makes says where: map_moved(). */
	rp->move = *c;
	if (c->map == TRACE_NO_ID ||
	    (rp->exact && c->op == TRACE_OP_MREMAP && c->new_map != c->map))
		return;
	m = map_slot(t->rmm, c->map);
	if (!m->base)
		return;
	if (c->op == TRACE_OP_BRK)
		call_brk(rp, t->rmm, m, c->arg);
	else if (c->op == TRACE_OP_MREMAP && rp->exact)
		call_resize(rp, t, c);
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
	p = page_at(t->rmm, m->base + ((u64)c->page << PAGE_SHIFT));
	p->next_stamp = c->hash | 1;
}
