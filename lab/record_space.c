/* SPDX-License-Identifier: MIT */
/*
 * record_space.c - follows the address spaces of a recorded program.
 *
 * 1. Purpose. Tracers speak of addresses, traces of mappings. So the recorder
 *    keeps, per address space, which page belongs to which mapping.
 * 2. Structures. A sorted array of vmas (a piece of a mapping that is still
 *    there) and a table of mappings by id. A mapping is only a system of
 *    coordinates; pieces of it may be unmapped or replaced one by one.
 * 3. Invariants. vmas are sorted, disjoint, not empty. maps[id].live is the
 *    sum of the pages of the vmas with that id (plus one for the heap, whose
 *    id must survive an empty heap); ids with live 0 are given out again.
 * 4. Locking: none. 5. Life of a mapping: rec_map() gives it an id and a
 *    serial; munmap, replacement and mremap take its pages away.
 * 6. Failure: memory, or the writer; a recording ends then.
 * 7. Complexity: O(log n) to look up, O(n) to change; programs have some
 *    hundred mappings.
 * 8. Rejected: one id for each kernel vma (mprotect would split ids).
 */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory
 * -------------------------------------------------------------------- */

static int no_memory(struct recorder *r)
{
	snprintf(r->err.text, sizeof(r->err.text), "out of memory");
	return -ENOMEM;
}

struct rec_mm *rec_mm_new(void)
{
	struct rec_mm *mm = calloc(1, sizeof(*mm));

	if (mm) {
		mm->users = 1;
		mm->gen = 1;
		mm->heap = TRACE_NO_ID;
		mm->recent[0] = mm->recent[1] = TRACE_NO_ID;
	}
	return mm;
}

static void mm_free(struct rec_mm *mm)
{
	free(mm->vmas);
	free(mm->maps);
	free(mm->pages);
	free(mm->slots);
	free(mm);
}

void rec_mm_put(struct recorder *r, struct rec_mm *mm)
{
	if (!mm || --mm->users)
		return;
	for (u32 i = 0; i < mm->nr_pages; i++)
		r->extra.unreported += mm->pages[i].held;
	mm_free(mm);
}

static void *copy_of(const void *p, size_t n)
{
	void *to = malloc(n + 1);

	return to && n ? memcpy(to, p, n) : to;
}

struct rec_mm *rec_mm_copy(const struct rec_mm *from)
{
	struct rec_mm *mm = copy_of(from, sizeof(*from));

	if (!mm)
		return NULL;
	mm->users = 1;
	mm->gen++;
	mm->room_vmas = from->nr_vmas;
	mm->room_pages = from->nr_pages;
	mm->vmas = copy_of(from->vmas, from->nr_vmas * sizeof(*mm->vmas));
	mm->maps = copy_of(from->maps, from->nr_maps * sizeof(*mm->maps));
	mm->pages = copy_of(from->pages, from->nr_pages * sizeof(*mm->pages));
	mm->slots = copy_of(from->slots, from->nr_slots * sizeof(u32));
	if (!mm->vmas || !mm->maps || !mm->pages || !mm->slots) {
		mm_free(mm);
		return NULL;
	}
	for (u32 i = 0; i < mm->nr_pages; i++)
		mm->pages[i].held = 0;
	return mm;
}

/* ---- vmas
 * ------------------------------------------------------------------------ */

/* Index of the first vma that ends after VPN. */
static u32 vma_index(const struct rec_mm *mm, u64 vpn)
{
	u32 lo = 0, hi = mm->nr_vmas;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (mm->vmas[mid].end <= vpn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct rec_vma *rec_vma_find(const struct rec_mm *mm, u64 vpn)
{
	u32 i = vma_index(mm, vpn);

	return i < mm->nr_vmas && mm->vmas[i].start <= vpn ? &mm->vmas[i]
							   : NULL;
}

static int vma_insert(struct recorder *r, struct rec_mm *mm,
		      const struct rec_vma *v)
{
	u32 i = vma_index(mm, v->start);

	if (v->start == v->end)
		return 0;
	if (mm->nr_vmas == mm->room_vmas) {
		u32 room = mm->room_vmas ? mm->room_vmas * 2 : 64;
		void *p = realloc(mm->vmas, room * sizeof(*mm->vmas));

		if (!p)
			return no_memory(r);
		mm->vmas = p;
		mm->room_vmas = room;
	}
	memmove(mm->vmas + i + 1, mm->vmas + i,
		(mm->nr_vmas - i) * sizeof(*mm->vmas));
	mm->vmas[i] = *v;
	mm->nr_vmas++;
	mm->maps[v->map].live += (u32)(v->end - v->start);
	mm->gen++;
	return 0;
}

/* Take [START, END) out of vma I, which overlaps it; may leave two pieces. */
static int vma_cut(struct recorder *r, struct rec_mm *mm, u32 i, u64 start,
		   u64 end)
{
	struct rec_vma v = mm->vmas[i], high = v;

	memmove(mm->vmas + i, mm->vmas + i + 1,
		(mm->nr_vmas - i - 1) * sizeof(*mm->vmas));
	mm->nr_vmas--;
	mm->maps[v.map].live -= (u32)(v.end - v.start);
	mm->gen++;
	if (v.end > end) {
		int ret;

		high.page += (u32)(end - v.start);
		high.start = end;
		ret = vma_insert(r, mm, &high);
		if (ret)
			return ret;
	}
	if (v.start >= start)
		return 0;
	v.end = start;
	return vma_insert(r, mm, &v);
}

static int vma_remove(struct recorder *r, struct rec_mm *mm, u64 start, u64 end)
{
	u32 i;
	int ret = 0;

	while (!ret && (i = vma_index(mm, start)) < mm->nr_vmas &&
	       mm->vmas[i].start < end)
		ret = vma_cut(r, mm, i, start, end);
	return ret;
}

/* ---- records
 * ----------------------------------------------------------------------- */

int rec_write(struct recorder *r, const struct trace_rec *rec)
{
	int ret = rec_flush(r);

	if (!ret)
		ret = trace_write(r->out, rec);
	if (ret && !r->err.text[0])
		snprintf(r->err.text, sizeof(r->err.text), "%s",
			 trace_writer_error(r->out));
	return ret;
}

int rec_switch(struct recorder *r, u32 task)
{
	struct trace_rec rec = {.type = TRACE_SWITCH, .to = task};
	int ret;

	if (r->cur == task)
		return 0;
	ret = rec_write(r, &rec);
	if (!ret)
		r->cur = task;
	return ret;
}

/* The lowest free id, its table entry made. */
static int id_alloc(struct recorder *r, struct rec_mm *mm, u32 *id)
{
	u32 i = 0;

	while (i < mm->nr_maps && mm->maps[i].live)
		i++;
	if (i >= TRACE_MAX_MAPS) {
		snprintf(r->err.text, sizeof(r->err.text),
			 "more than %u mappings in one address space",
			 TRACE_MAX_MAPS);
		return -EOVERFLOW;
	}
	if (i == mm->nr_maps) {
		u32 nr = i ? i * 2 : 32;
		void *p = realloc(mm->maps, nr * sizeof(*mm->maps));

		if (!p)
			return no_memory(r);
		mm->maps = p;
		memset(mm->maps + i, 0, (nr - i) * sizeof(*mm->maps));
		mm->nr_maps = nr;
	}
	*id = i;
	return 0;
}

/* Where a mapping at page VPN stands relative to one that is known. */
static void place(const struct rec_mm *mm, struct trace_map *m, u64 vpn)
{
	u32 i = vma_index(mm, vpn);
	const struct rec_vma *v = NULL;

	m->at_map = TRACE_NO_ID;
	m->at_page = 0;
	if (!(m->flags & TRACE_MF_FIXED))
		return;
	if (i < mm->nr_vmas && mm->vmas[i].start <= vpn)
		v = &mm->vmas[i];
	else if (i && mm->vmas[i - 1].end == vpn)
		v = &mm->vmas[i - 1];
	if (!v)
		return;
	m->at_map = v->map;
	m->at_page = v->page + (u32)(vpn - v->start);
}

/* Give M's id its meaning and write it; the addresses are free already. */
static int map_commit(struct recorder *r, struct rec_mm *mm,
		      const struct trace_map *m)
{
	struct trace_rec rec = {.type = TRACE_MAP, .map = *m};
	struct rec_mapping *e = &mm->maps[m->map];
	u64 vpn = m->start / PAGE_SIZE;
	struct rec_vma v = {vpn, vpn + m->pages, m->map, 0};
	int ret = rec_write(r, &rec);

	if (ret)
		return ret;
	e->def = *m;
	e->live = 0;
	e->serial = ++mm->serial;
	return vma_insert(r, mm, &v);
}

int rec_map(struct recorder *r, struct rec_mm *mm, struct trace_map *m)
{
	u64 vpn = m->start / PAGE_SIZE;
	int ret = id_alloc(r, mm, &m->map);

	if (ret)
		return ret;
	if (m->how != TRACE_HOW_MOVE)
		place(mm, m, vpn);
	ret = vma_remove(r, mm, vpn, vpn + m->pages);
	return ret ? ret : map_commit(r, mm, m);
}

int rec_touch_map(struct recorder *r, struct rec_mm *mm, u64 vpn)
{
	u32 i = vma_index(mm, vpn);
	u64 start = vpn & ~511ULL, end = start + 512;
	struct trace_map m = {
		.kind = TRACE_KIND_ANON,
		.how = TRACE_HOW_TOUCH,
		.prot = 7,
		.file = TRACE_NO_ID,
		.open = TRACE_NO_ID,
	};

	if (i && mm->vmas[i - 1].end > start)
		start = mm->vmas[i - 1].end;
	if (i < mm->nr_vmas && mm->vmas[i].start < end)
		end = mm->vmas[i].start;
	m.start = start * PAGE_SIZE;
	m.pages = (u32)(end - start);
	return rec_map(r, mm, &m);
}

/* ---- calls
 * ---------------------------------------------------------------------------
 */

/* The pieces of [START, END), one record each; none at all: one without map. */
static int call_pieces(struct recorder *r, struct rec_mm *mm,
		       struct trace_call *c, u64 start, u64 end)
{
	struct trace_rec rec = {.type = TRACE_CALL, .call = *c};
	u32 i = vma_index(mm, start);
	bool any = false;
	int ret = 0;

	while (!ret && i < mm->nr_vmas && mm->vmas[i].start < end) {
		const struct rec_vma *v = &mm->vmas[i++];
		u64 from = max(v->start, start), to = min(v->end, end);

		rec.call.map = v->map;
		rec.call.page = v->page + (u32)(from - v->start);
		rec.call.nr_pages = (u32)(to - from);
		rec.call.more = i < mm->nr_vmas && mm->vmas[i].start < end;
		any = true;
		ret = rec_write(r, &rec);
	}
	if (any || ret)
		return ret;
	rec.call.map = TRACE_NO_ID;
	rec.call.nr_pages = (u32)min(end - start, (u64)TRACE_MAX_MAP_PAGES);
	return rec_write(r, &rec);
}

int rec_call(struct recorder *r, struct rec_mm *mm, struct trace_call *c,
	     u64 addr, u64 len)
{
	u64 start = addr / PAGE_SIZE;
	u64 end = start +
		  min(PFN_UP((addr & (PAGE_SIZE - 1)) + len), RECORD_MAX_PAGES);
	int ret;

	c->new_map = TRACE_NO_ID;
	ret = call_pieces(r, mm, c, start, end);
	mm->gen++;
	if (!ret && c->op == TRACE_OP_MUNMAP && !c->err)
		ret = vma_remove(r, mm, start, end);
	return ret;
}

/* A successful mremap, in pages. */
struct move {
	u64 from, was, to, is;
	u32 flags;
};

/* At the end of its mapping a piece grows in place. False: it must be given
 * another id. */
static bool grows_in_place(const struct rec_mm *mm, const struct rec_vma *v,
			   const struct move *mv)
{
	return v && mv->from == mv->to && mv->was &&
	       v->end == mv->from + mv->was &&
	       v->page + (v->end - v->start) == mm->maps[v->map].def.pages;
}

static int grow_in_place(struct recorder *r, struct rec_mm *mm,
			 const struct move *mv)
{
	const struct rec_vma *v = rec_vma_find(mm, mv->from);
	struct trace_rec rec = {.type = TRACE_CALL};
	struct rec_vma more = {v->end, mv->from + mv->is, v->map,
			       mm->maps[v->map].def.pages};
	int ret;

	rec.call = (struct trace_call){.op = TRACE_OP_MREMAP,
				       .map = v->map,
				       .new_map = v->map,
				       .nr_pages = (u32)mv->was,
				       .flags = mv->flags,
				       .arg = mv->is};
	rec.call.page = v->page + (u32)(mv->from - v->start);
	ret = vma_remove(r, mm, more.start, more.end);
	if (!ret)
		ret = rec_write(r, &rec);
	if (ret)
		return ret;
	mm->maps[more.map].def.pages += (u32)(mv->is - mv->was);
	return vma_insert(r, mm, &more);
}

/* The WAS pages of one mapping at FROM become IS pages at TO, with a new id. */
static int move_piece(struct recorder *r, struct rec_mm *mm,
		      const struct move *mv)
{
	const struct rec_vma *v = rec_vma_find(mm, mv->from);
	const struct trace_map *def = &mm->maps[v->map].def;
	struct trace_map m = *def;
	struct trace_rec rec = {.type = TRACE_CALL};
	int ret;

	rec.call = (struct trace_call){.op = TRACE_OP_MREMAP,
				       .map = v->map,
				       .nr_pages = (u32)mv->was,
				       .flags = mv->flags,
				       .arg = mv->is};
	rec.call.page = v->page + (u32)(mv->from - v->start);
	m.how = TRACE_HOW_MOVE;
	if (m.kind == TRACE_KIND_HEAP || m.kind == TRACE_KIND_STACK)
		m.kind = TRACE_KIND_ANON;
	m.flags &= TRACE_MF_SHARED | TRACE_MF_NORESERVE;
	if (mv->flags & TRACE_MREMAP_FIXED)
		m.flags |= TRACE_MF_FIXED;
	m.grown_pages = 0;
	m.pages = (u32)mv->is;
	m.start = mv->to * PAGE_SIZE;
	m.open = TRACE_NO_ID;
	m.file_page = m.file == TRACE_NO_ID ? 0 : m.file_page + rec.call.page;
	place(mm, &m, mv->to);
	ret = id_alloc(r, mm, &rec.call.new_map);
	if (!ret)
		ret = rec_write(r, &rec);
	if (!ret)
		ret = rec_map(r, mm, &m);
	if (ret || mv->from == mv->to || mv->flags & TRACE_MREMAP_DONTUNMAP)
		return ret;
	return vma_remove(r, mm, mv->from, mv->from + mv->was);
}

/*
 * Mappings that the kernel made one: a place for all of them, into which they
 * go one by one.
 */
static int move_pieces(struct recorder *r, struct rec_mm *mm,
		       const struct move *mv)
{
	struct trace_map room = {.kind = TRACE_KIND_ANON,
				 .how = TRACE_HOW_MMAP,
				 .flags = TRACE_MF_NORESERVE,
				 .start = mv->to * PAGE_SIZE,
				 .pages = (u32)mv->is,
				 .file = TRACE_NO_ID,
				 .open = TRACE_NO_ID};
	u64 done = 0;
	int ret;

	if (mv->flags & TRACE_MREMAP_FIXED)
		room.flags |= TRACE_MF_FIXED;
	ret = rec_map(r, mm, &room);
	while (!ret && done < mv->was && done < mv->is) {
		const struct rec_vma *v = rec_vma_find(mm, mv->from + done);
		struct move one = {mv->from + done, 0, mv->to + done, 0,
				   mv->flags | TRACE_MREMAP_MAYMOVE |
					   TRACE_MREMAP_FIXED};

		one.was = min(v->end - one.from, mv->was - done);
		one.is = done + one.was == mv->was
				 ? mv->is - done
				 : min(one.was, mv->is - done);
		done += one.was;
		ret = move_piece(r, mm, &one);
	}
	if (ret || done >= mv->was || mv->flags & TRACE_MREMAP_DONTUNMAP)
		return ret;
	return rec_call(r, mm, &(struct trace_call){.op = TRACE_OP_MUNMAP},
			(mv->from + done) * PAGE_SIZE,
			(mv->was - done) * PAGE_SIZE);
}

/* Is every page of [FROM, FROM + NR) of a mapping that is known? */
static bool all_known(const struct rec_mm *mm, u64 from, u64 nr)
{
	const struct rec_vma *v;

	for (u64 at = from; at < from + nr; at = v->end) {
		v = rec_vma_find(mm, at);
		if (!v)
			return false;
	}
	return true;
}

/* Of what moved nothing is known: as if it were new. */
static int move_unknown(struct recorder *r, struct rec_mm *mm,
			const struct move *mv)
{
	struct trace_map m = {.kind = TRACE_KIND_ANON,
			      .how = TRACE_HOW_MMAP,
			      .prot = 3,
			      .flags = TRACE_MF_FIXED,
			      .start = mv->to * PAGE_SIZE,
			      .pages = (u32)mv->is,
			      .file = TRACE_NO_ID,
			      .open = TRACE_NO_ID};
	int ret = rec_call(r, mm, &(struct trace_call){.op = TRACE_OP_MUNMAP},
			   mv->from * PAGE_SIZE, mv->was * PAGE_SIZE);

	return ret ? ret : rec_map(r, mm, &m);
}

/* mremap that stays, and grows at its last piece. */
static int move_grow(struct recorder *r, struct rec_mm *mm,
		     const struct move *mv)
{
	const struct rec_vma *v = rec_vma_find(mm, mv->from + mv->was - 1);
	struct move last = *mv;

	last.from = last.to = max(v->start, mv->from);
	last.was -= last.from - mv->from;
	last.is -= last.from - mv->from;
	return grows_in_place(mm, v, &last) ? grow_in_place(r, mm, &last)
					    : move_piece(r, mm, &last);
}

int rec_mremap(struct recorder *r, struct rec_mm *mm, const u64 args[5],
	       u64 result)
{
	struct move mv = {args[0] / PAGE_SIZE, PFN_UP(args[1]),
			  result / PAGE_SIZE, PFN_UP(args[2]),
			  (u32)args[3] & TRACE_MREMAP_ALL};
	const struct rec_vma *v = rec_vma_find(mm, mv.from);

	mm->gen++;
	if (!mv.is || mv.is > TRACE_MAX_MAP_PAGES ||
	    mv.was > TRACE_MAX_MAP_PAGES)
		return 0; /* the kernel would not have done it */
	if (mv.from == mv.to && mv.is <= mv.was)
		return mv.is == mv.was
			       ? 0
			       : rec_call(r, mm,
					  &(struct trace_call){
						  .op = TRACE_OP_MUNMAP},
					  (mv.from + mv.is) * PAGE_SIZE,
					  (mv.was - mv.is) * PAGE_SIZE);
	if (!v || !all_known(mm, mv.from, mv.was))
		return move_unknown(r, mm, &mv);
	if (mv.from == mv.to)
		return move_grow(r, mm, &mv);
	return v->end >= mv.from + mv.was ? move_piece(r, mm, &mv)
					  : move_pieces(r, mm, &mv);
}

/* The first brk tells where the heap begins. */
static int heap_begin(struct recorder *r, struct rec_mm *mm, u64 at)
{
	struct trace_map m = {.kind = TRACE_KIND_HEAP,
			      .how = TRACE_HOW_START,
			      .prot = 3,
			      .file = TRACE_NO_ID,
			      .open = TRACE_NO_ID,
			      .start = at & PAGE_MASK};
	int ret = rec_map(r, mm, &m);

	if (ret)
		return ret;
	mm->maps[m.map].live++; /* an empty heap keeps its id */
	mm->heap = m.map;
	mm->brk_start = m.start;
	return 0;
}

int rec_brk(struct recorder *r, struct rec_mm *mm, u64 want, u64 result)
{
	struct trace_rec rec = {.type = TRACE_CALL};
	struct rec_vma v;
	int ret;

	if (mm->heap == TRACE_NO_ID) {
		ret = heap_begin(r, mm, result);
		if (ret)
			return ret;
	}
	if (!want || result < mm->brk_start)
		return 0;
	rec.call = (struct trace_call){.op = TRACE_OP_BRK,
				       .map = mm->heap,
				       .new_map = TRACE_NO_ID,
				       .arg = want - mm->brk_start,
				       .err = want == result ? 0 : ENOMEM};
	ret = rec_write(r, &rec);
	if (ret || want != result)
		return ret;
	v.start = mm->brk_start / PAGE_SIZE;
	v.end = PFN_UP(result);
	v.map = mm->heap;
	v.page = 0;
	ret = vma_remove(r, mm, v.start,
			 max(v.end, v.start + mm->maps[mm->heap].def.pages));
	mm->maps[mm->heap].def.pages = (u32)(v.end - v.start);
	return ret ? ret : vma_insert(r, mm, &v);
}
