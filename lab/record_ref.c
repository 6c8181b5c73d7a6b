/* SPDX-License-Identifier: MIT */
/*
 * record_ref.c - references: looked up, filtered, collapsed into runs.
 *
 * Per page the recorder remembers when it was last reported and which kinds
 * of access that covered; within the window more of the same is only counted,
 * and the count is given with the next report of the page. Whatever may
 * change what a touch does (a memory call, a fork) raises mm->gen, which ends
 * the windows of all pages.
 */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int rec_flush(struct recorder *r)
{
	struct trace_rec rec = {.type = TRACE_REF, .ref = r->pending};
	int ret;

	if (!r->has_pending)
		return 0;
	r->has_pending = false;
	ret = trace_write(r->out, &rec);
	if (ret)
		snprintf(r->err.text, sizeof(r->err.text), "%s",
			 trace_writer_error(r->out));
	return ret;
}

/* ---- the table of pages
 * ----------------------------------------------------------- */

static u32 slot_of(const struct rec_mm *mm, u64 vpn)
{
	u32 i = (u32)((vpn * 0x9e3779b97f4a7c15ULL) >> 32);

	for (i &= mm->nr_slots - 1; mm->slots[i];
	     i = (i + 1) & (mm->nr_slots - 1))
		if (mm->pages[mm->slots[i] - 1].vpn == vpn)
			break;
	return i;
}

/* Twice the slots, at most half of them full. */
static bool grow_slots(struct rec_mm *mm)
{
	u32 nr = mm->nr_slots ? mm->nr_slots * 2 : 1024;
	u32 *slots = calloc(nr, sizeof(*slots));

	if (!slots)
		return false;
	free(mm->slots);
	mm->slots = slots;
	mm->nr_slots = nr;
	for (u32 i = 0; mm->pages && i < mm->nr_pages; i++)
		mm->slots[slot_of(mm, mm->pages[i].vpn)] = i + 1;
	return true;
}

static bool grow_pages(struct rec_mm *mm)
{
	u32 room = mm->room_pages ? mm->room_pages * 2 : 512;
	void *p = realloc(mm->pages, room * sizeof(*mm->pages));

	if (!p)
		return false;
	mm->pages = p;
	mm->room_pages = room;
	return true;
}

/* The entry of VPN, made if need be; NULL without memory. */
static struct rec_page *page_get(struct rec_mm *mm, u64 vpn)
{
	struct rec_page *p;
	u32 i;

	if (mm->nr_pages >= mm->nr_slots / 2 && !grow_slots(mm))
		return NULL;
	i = slot_of(mm, vpn);
	if (mm->slots[i])
		return &mm->pages[mm->slots[i] - 1];
	if (mm->nr_pages >= mm->room_pages && !grow_pages(mm))
		return NULL;
	p = &mm->pages[mm->nr_pages++];
	memset(p, 0, sizeof(*p));
	p->vpn = vpn;
	mm->slots[i] = mm->nr_pages;
	return p;
}

/* ---- one reference
 * ------------------------------------------------------------------ */

/* Find out anew which mapping P belongs to; its window is over. */
static int resolve(struct recorder *r, struct rec_mm *mm, struct rec_page *p)
{
	const struct rec_vma *v = rec_vma_find(mm, p->vpn);
	u32 serial;

	if (!v) {
		int ret = rec_touch_map(r, mm, p->vpn);

		if (ret)
			return ret;
		v = rec_vma_find(mm, p->vpn);
	}
	serial = mm->maps[v->map].serial;
	if (serial != p->serial) { /* another page at the same address */
		r->extra.footprint_pages++;
		p->serial = serial;
		p->samples = p->dirty = 0;
	}
	p->map = v->map;
	p->page = v->page + (u32)(p->vpn - v->start);
	p->gen = mm->gen;
	p->covered = 0;
	return 0;
}

/* Does ACCESS to the page after or at the end of run Q belong to it? */
static bool joins(const struct trace_ref *q, const struct rec_page *p,
		  u32 access)
{
	u32 last = q->page + q->nr_pages - 1;

	if (q->map != p->map || q->count > UINT32_MAX / 2)
		return false;
	if (p->page == last)
		return access == q->access ||
		       (q->nr_pages == 1 && (q->access & TRACE_W) &&
			access == TRACE_R);
	return p->page == last + 1 && access == q->access && q->nr_pages < 256;
}

static int report(struct recorder *r, const struct rec_page *p, u32 access,
		  u32 count)
{
	struct trace_ref *q = &r->pending;
	int ret;

	if (r->has_pending && joins(q, p, access)) {
		q->nr_pages = p->page - q->page + 1;
		q->access |= access;
		q->count += count;
		return 0;
	}
	ret = rec_flush(r);
	*q = (struct trace_ref){p->map, p->page, 1, access, count};
	r->has_pending = true;
	return ret;
}

static u8 covers(u32 access)
{
	return (u8)(access & TRACE_W ? access | TRACE_R : access);
}

static int ref_page(struct recorder *r, struct rec_mm *mm, u64 vpn, u32 access)
{
	u32 *recent = &mm->recent[access == TRACE_X];
	struct rec_page *p =
		*recent == TRACE_NO_ID ? NULL : &mm->pages[*recent];
	u32 count;
	int ret;

	if (!p || p->vpn != vpn) {
		p = page_get(mm, vpn);
		if (!p)
			return -ENOMEM;
		*recent = (u32)(p - mm->pages);
	}
	mm->now++;
	if (p->gen == mm->gen && mm->now - p->last < r->window &&
	    !(access & ~p->covered)) {
		p->held++;
		p->dirty |= (u8)access;
		return 0;
	}
	ret = p->gen == mm->gen ? 0 : resolve(r, mm, p);
	if (ret)
		return ret;
	if (!p->covered || mm->now - p->last >= r->window) {
		p->covered = 0;
		p->last = mm->now;
	}
	p->covered |= covers(access);
	p->dirty |= (u8)access;
	count = p->held + 1;
	p->held = 0;
	return report(r, p, access, count);
}

int rec_ref(struct recorder *r, struct rec_mm *mm, u64 addr, u32 size,
	    u32 access)
{
	u64 vpn = addr / PAGE_SIZE;
	u64 last = (addr + max(size, 1u) - 1) / PAGE_SIZE;
	int ret = 0;

	for (; !ret && vpn <= last; vpn++) {
		r->refs++;
		ret = ref_page(r, mm, vpn, access);
	}
	if (ret == -ENOMEM && !r->err.text[0])
		snprintf(r->err.text, sizeof(r->err.text), "out of memory");
	return ret;
}
