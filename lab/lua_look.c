/* SPDX-License-Identifier: MIT */
/*
 * lua_look.c - looking: the picture of all frames, the way of an address
 * through the page tables, one frame and who maps it.
 *
 * Everything is read in a thread of the machine, with the locks that the
 * manager wants, into C's memory; tables of Lua are made afterwards. Nothing
 * that is looked at is changed: no accessed bit, no reference that stays.
 */
#include "lua_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/fs.h>
#include <mmkit/mm.h>
#include <mmkit/port.h>

#include "arch/walk.h"
#include "base/seqbuf.h"
#include "cache/filemap.h"
#include "events.h"
#include "explain.h"
#include "frames.h"
#include "pgtable/kernel.h"
#include "pgtable/pgtable.h"
#include "phys/lru.h"
#include "phys/page_debug.h"
#include "phys/phys.h"
#include "sim.h"
#include "space/rmap.h"
#include "space/space.h"

static int push_none(lua_State *L, struct lab_call *c)
{
	(void)L;
	(void)c;
	return 0;
}

/* ---- the picture
 * ------------------------------------------------------------------ */

static s64 do_frames(struct lab_call *c)
{
	struct frames_opts o = {.width = (u32)c->a[0]};

	frames_draw(&o);
	return 0;
}

static int l_frames(lua_State *L)
{
	struct lab_call c = {
		.fn = do_frames, .name = "frames", .push = push_none};
	lua_Integer w = luaL_optinteger(L, 1, 64);

	luaL_argcheck(L, w >= FRAMES_WIDTH_MIN && w <= FRAMES_WIDTH_MAX, 1,
		      "16 to 512 characters");
	c.a[0] = (u64)w;
	return lab_do(L, &c);
}

/* ---- the way of an address
 * --------------------------------------------------------------- */

static const char *who(const struct mm_struct *mm)
{
	const struct lab_task *t = lab_mm_owner(mm);
	static char text[40];

	if (!t)
		return "a process";
	snprintf(text, sizeof(text), "%s (%d)", t->name, t->pid);
	return text;
}

/* A: address, access. */
static s64 do_explain(struct lab_call *c)
{
	struct explain_query q = {.addr = c->a[0],
				  .has_access = true,
				  .access = (enum seg_access)c->a[1],
				  .who = EXPLAIN_USER};
	struct doc *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	explain_process(d, c->task->mm, &q, who);
	doc_text(d, stdout);
	doc_free(d);
	free(d);
	return 0;
}

static int l_explain(lua_State *L)
{
	static const char *const words[] = {"r", "w", "x", NULL};
	struct lab_call c = {.fn = do_explain,
			     .name = "explain",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	c.a[0] = lab_size(L, 2);
	c.a[1] = (u64)luaL_checkoption(L, 3, "r", words);
	return lab_do(L, &c);
}

/* ---- a frame
 * ------------------------------------------------------------------------ */

#define MAX_MAPPERS 64

struct frame_info {
	u64 pfn, index, inode;
	int node, order; /* order: of a free block, or -1 */
	u32 refs, maps, nr_mappers;
	bool anon, ksm, file, on_lru, dirty, writeback;
	enum lru_list lru;
	const char *zone, *use, *block;
	char flags[256];
	struct {
		s32 pid;
		char name[16];
		u64 addr;
	} mapper[MAX_MAPPERS];
};

static bool note_mapper(struct page *page, struct vm_area_struct *vma,
			uva_t addr, void *arg)
{
	struct frame_info *f = arg;
	const struct lab_task *t;
	struct pt_slot slot;

	if (f->nr_mappers == MAX_MAPPERS ||
	    !page_vma_slot(page, vma, addr, &slot))
		return true;
	pt_unlock(&slot);
	t = lab_mm_owner(vma->vm_mm);
	f->mapper[f->nr_mappers].pid = t ? t->pid : 0;
	f->mapper[f->nr_mappers].addr = addr;
	snprintf(f->mapper[f->nr_mappers].name, 16, "%s", t ? t->name : "");
	f->nr_mappers++;
	return true;
}

/* Who maps PAGE, by the reverse map. */
static void find_mappers(struct frame_info *f, struct page *page)
{
	struct rmap_walk_control rwc = {.arg = f, .rmap_one = note_mapper};

	if (!page_mapped(page) || (!f->anon && !f->file))
		return;
	get_page(page);
	lock_page(page);
	if (page_mapped(page))
		rmap_walk(page, &rwc);
	unlock_page(page);
	put_page(page);
}

static void of_what(struct frame_info *f, struct page *page)
{
	struct address_space *m;

	f->anon = PageAnon(page);
	f->ksm = PageKsm(page);
	f->on_lru = PageLRU(page);
	f->dirty = PageDirty(page);
	f->writeback = PageWriteback(page);
	if (f->on_lru)
		f->lru = page_lru(page);
	m = f->anon || PageSlab(page) || PageTable(page) || PageBuddy(page)
		    ? NULL
		    : page_mapping(page);
	f->file = m && (f->on_lru || page_mapped(page));
	if (f->file && m->host)
		f->inode = m->host->i_ino;
	if (f->anon || f->file)
		f->index = page_index(page);
}

/* A: frame number. BUF: a struct frame_info. */
static s64 do_frame(struct lab_call *c)
{
	struct frame_info *f = calloc(1, sizeof(*f));
	struct seq_buf flags;
	struct page *p;

	c->buf = f;
	if (!f)
		return -ENOMEM;
	if (!pfn_valid(c->a[0]))
		return -ENXIO;
	p = compound_head(pfn_to_page(c->a[0]));
	f->pfn = c->a[0];
	f->node = page_to_nid(p);
	f->zone = page_zone(p)->name;
	f->block = migratetype_names[get_pageblock_migratetype(p)];
	f->use = explain_frame_use(p);
	f->refs = (u32)page_count(p);
	f->maps = (u32)page_mapcount(p);
	f->order = PageBuddy(p) ? (int)buddy_order(p) : -1;
	seq_buf_init(&flags, f->flags, sizeof(f->flags));
	name_page_flags(&flags, p->flags);
	(void)seq_buf_str(&flags);
	of_what(f, p);
	find_mappers(f, p);
	return 0;
}

static void push_mappers(lua_State *L, const struct frame_info *f)
{
	lua_newtable(L);
	for (u32 i = 0; i < f->nr_mappers; i++) {
		lua_newtable(L);
		lab_set_num(L, "pid", (u64)f->mapper[i].pid);
		lab_set_str(L, "task", f->mapper[i].name);
		lab_set_num(L, "addr", f->mapper[i].addr);
		lua_seti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "mappers");
}

static int push_frame(lua_State *L, struct lab_call *c)
{
	const struct frame_info *f = c->buf;
	const char *kind = f->anon ? "anon" : NULL;

	lua_newtable(L);
	lab_set_num(L, "pfn", f->pfn);
	lab_set_num(L, "node", (u64)f->node);
	lab_set_str(L, "zone", f->zone);
	lab_set_str(L, "block", f->block);
	lab_set_str(L, "use", f->use);
	lab_set_str(L, "flags", f->flags);
	lab_set_num(L, "refcount", f->refs);
	lab_set_num(L, "mapcount", f->maps);
	if (f->order >= 0)
		lab_set_num(L, "order", (u64)f->order);
	if (f->on_lru)
		lab_set_str(L, "lru", events_lru(f->lru));
	if (f->ksm)
		kind = "ksm";
	else if (f->file)
		kind = "file";
	if (kind) {
		lab_set_str(L, "kind", kind);
		lab_set_num(L, "index", f->index);
	}
	if (f->file)
		lab_set_num(L, "inode", f->inode);
	push_mappers(L, f);
	return 1;
}

static int l_frame(lua_State *L)
{
	struct lab_call c = {
		.fn = do_frame, .name = "frame", .push = push_frame};

	c.a[0] = (u64)luaL_checkinteger(L, 1);
	snprintf(c.what, sizeof(c.what), "0x%llx", (unsigned long long)c.a[0]);
	return lab_do(L, &c);
}

/* ---- an entry
 * ----------------------------------------------------------------------- */

/* A[0]: address; BUF: the walk. */
static s64 do_walk(struct lab_call *c)
{
	const struct paging_format *f = space_sys.format;
	const struct paging_mem mem = {machine_ram_read, NULL, NULL};
	struct paging_walk *w = calloc(1, sizeof(*w));
	struct paging_cpu cpu;

	c->buf = w;
	if (!w)
		return -ENOMEM;
	paging_cpu_init(&cpu, f, PFN_PHYS(c->task->mm->pt.root_pfn),
			f->kind == PAGING_X86_64);
	cpu.root_high = PFN_PHYS(pgtable_sys.master.root_pfn);
	(void)paging_walk_with(&cpu, c->a[0], PAGING_READ | PAGING_USER, w,
			       &mem);
	return 0;
}

static void set_flag(lua_State *L, const char *key, bool v)
{
	lua_pushboolean(L, v);
	lua_setfield(L, -2, key);
}

static const char *swap_kind(swp_entry_t e)
{
	if (is_migration_entry(e))
		return "migration";
	return is_pte_marker_entry(e) ? "marker" : "swap";
}

static void push_leaf(lua_State *L, pte_t e, const struct paging_walk *w)
{
	swp_entry_t swp;

	if (pte_none(e)) {
		lab_set_str(L, "state", "none");
	} else if (pte_swap(e)) {
		swp = pte_to_swp_entry(e);
		lab_set_str(L, "state", swap_kind(swp));
		lab_set_num(L, "type", swp_type(swp));
		lab_set_num(L, "offset", swp_offset(swp));
	} else {
		lab_set_str(L, "state",
			    pte_protnone(e) ? "protnone" : "present");
		lab_set_num(L, "pfn", pte_pfn(e));
		if (w->pa)
			lab_set_num(L, "pfn", w->pa >> PAGE_SHIFT);
		set_flag(L, "writable", pte_write(e));
		set_flag(L, "dirty", pte_dirty(e));
		set_flag(L, "accessed", pte_young(e));
		set_flag(L, "huge", w->level > 0);
	}
}

static int push_walk(lua_State *L, struct lab_call *c)
{
	const struct paging_walk *w = c->buf;
	char raw[24];

	lua_newtable(L);
	lua_newtable(L);
	for (int i = 0; i < w->depth; i++) {
		lua_newtable(L);
		lab_set_num(L, "at", w->at[i]);
		snprintf(raw, sizeof(raw), "0x%llx",
			 (unsigned long long)w->raw[i]);
		lab_set_str(L, "raw", raw);
		lua_seti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "entries");
	lab_set_num(L, "level", (u64)w->level);
	if (w->depth)
		push_leaf(L, w->entry[w->depth - 1], w);
	return 1;
}

static int l_walk(lua_State *L)
{
	struct lab_call c = {.fn = do_walk,
			     .name = "walk",
			     .push = push_walk,
			     .task = lab_check_task(L, 1)};

	c.a[0] = lab_size(L, 2);
	return lab_do(L, &c);
}

#define T4 "t = spawn()\na = t:mmap(\"16K\")\nt:touch(a, \"16K\", \"w\")\n"

const struct lab_fn lab_look_fns[] = {
	{"frames", "frames([width])",
	 "Draw all memory, a character for each pageblock or several.",
	 "boot{mem=\"64M\"}\nframes()", l_frames},
	{"frame", "frame(pfn) -> table",
	 "What a frame is: use, kind, flags, zone, node, refcount, mapcount, "
	 "lru, order, and mappers: {{task, pid, addr}}.",
	 T4 "f = frame(t:walk(a).pfn)\nassert(f.mappers[1].addr == a)",
	 l_frame},
	{"task:explain", "task:explain(addr, [\"r\"|\"w\"|\"x\"])",
	 "The way of an address through the page tables to its frame, or to "
	 "the fault, step by step, entries drawn.",
	 T4 "t:explain(a + 0x123)", l_explain},
	{"task:walk", "task:walk(addr) -> table",
	 "The entries on the way, and what the last says: state is \"none\", "
	 "\"present\", \"protnone\", \"swap\", \"migration\" or \"marker\"; "
	 "pfn, writable, dirty, accessed, huge, or type and offset.",
	 T4 "assert(t:walk(a).state == \"present\")", l_walk},
	{"task:page", "task:page(addr) -> table or nil",
	 "The frame behind an address, as frame() tells it; nil if there is "
	 "none.",
	 T4 "assert(t:page(a).kind == \"anon\")", NULL},
	{0}};
