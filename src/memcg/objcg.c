/* SPDX-License-Identifier: MIT */
/*
 * objcg.c - who pays for an object that is smaller than a frame.
 *
 * 1. Purpose. Slabs are shared: the objects of one frame are of several groups.
 *    So each accounted object is charged by itself, in bytes, and knows who
 *    pays for it; frames of slabs are charged to nobody.
 *
 * 2. Way. A group's limits count pages. Between the two stands the group's
 *    obj_cgroup: it charges whole pages to its group and hands out their bytes.
 *    A CPU keeps bytes (and the change of the figures for memory.stat) of one
 *    of them beside its stock of pages; what it has no room for goes to
 *    "loose", which is uncharged as soon as it is a page.
 *
 *      object -> CPU's bytes -----------------------------------> done
 *             -> whole pages of the group, rest to the CPU ------> done
 *      free   -> CPU's bytes; beyond a page, and of others: loose
 *             -> loose has whole pages: they are uncharged
 *
 * 3. Lives. An object may outlive its group by far. It must not keep it: a
 *    group that is removed hands its obj_cgroups, and the pages they charged,
 *    to the group above, whose usage has these pages already. So what an object
 *    points to is never the group but this in between, one more step.
 *
 * 4. Invariants.
 *    OB-1  pages * PAGE_SIZE = bytes of objects + of stocks + loose.
 *    OB-2  refs = (own of an online group) + pages + stocks that have it
 *          + those who look at it.
 *    OB-3  It is on the list of the group that pays, which is online or the
 *          root.
 *
 * 5. Locking. obj_cgroup.lock (interrupts off) joins "who pays" and "pages": a
 *    charge is made to the group first and becomes the obj_cgroup's if that
 *    still is who pays, else it is taken back. Inside the tree's lock; nothing
 *    is taken inside. A stock's bytes are under the stock's lock, which is only
 *    tried by its CPU. An end is deferred: who brings loose bytes may lose the
 *    last page to another one meanwhile.
 *
 * 6. Failure. Over a limit: nothing was charged.
 *
 * 7. Rejected. Charging slabs whole to who needed the first object: whoever is
 *    first pays for the others, and a removed group lives as long as the last
 *    object of its slabs.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2 (memory ownership);
 * R. Gushchin, "The new cgroup slab memory controller" (2020).
 */
#include "memcg/objcg.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/bitops.h"
#include "base/fail.h"
#include "base/string.h"
#include "memcg/memcg.h"
#include "phys/alloc.h"

/* ---- cells
 * ------------------------------------------------------------------------- */

#define OBJCG_CELL  192u
#define OBJCG_CELLS ((PAGE_SIZE - sizeof(struct objcg_page)) / OBJCG_CELL)

MM_STATIC_ASSERT(sizeof(struct obj_cgroup) <= OBJCG_CELL, "it fits its cell");

/* A frame of cells. */
struct objcg_page {
	struct list_head list; /* (T) */
	u64 used;	       /* (T) bit per cell */
};

static struct obj_cgroup *cell_at(struct objcg_page *p, u32 i)
{
	return (void *)((char *)(p + 1) + (size_t)i * OBJCG_CELL);
}

/* A cell of the frames that there are, zeroed. Tree lock held. */
static struct obj_cgroup *cell_take(void)
{
	struct objcg_page *p;

	list_for_each_entry (p, &memcg_sys.objcg_pages, list) {
		for (u32 i = 0; i < OBJCG_CELLS; i++) {
			struct obj_cgroup *o = cell_at(p, i);

			if (p->used & BIT(i))
				continue;
			p->used |= BIT(i);
			mm_memset(o, 0, sizeof(*o));
			return o;
		}
	}
	return NULL;
}

static void cell_free(struct obj_cgroup *o)
{
	struct page *page = view_to_page(o);
	struct objcg_page *p = page_view(page);
	u64 off = (u64)((char *)o - (char *)(p + 1));
	bool empty;

	spin_lock(&memcg_sys.lock);
	mm_verify(off % OBJCG_CELL == 0 && p->used & BIT(off / OBJCG_CELL));
	p->used &= ~BIT(off / OBJCG_CELL);
	empty = !p->used;
	if (empty)
		list_del(&p->list);
	spin_unlock(&memcg_sys.lock);
	if (!empty)
		return;
	set_page_index(page, 0);
	put_page(page);
}

static struct obj_cgroup *cell_alloc(void)
{
	struct obj_cgroup *o;
	struct objcg_page *p;
	struct page *page;

	spin_lock(&memcg_sys.lock);
	o = cell_take();
	spin_unlock(&memcg_sys.lock);
	if (o)
		return o;
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 0);
	if (!page)
		return NULL;
	set_page_index(page, PAGE_INDEX_KERNEL);
	p = page_view(page);
	p->used = 1;
	spin_lock(&memcg_sys.lock);
	list_add(&p->list, &memcg_sys.objcg_pages);
	spin_unlock(&memcg_sys.lock);
	return cell_at(p, 0);
}

/* ---- lives
 * ------------------------------------------------------------------------- */

static void objcg_end(struct epoch_head *head)
{
	struct obj_cgroup *o = container_of(head, struct obj_cgroup, epoch);

	mm_verify(!o->pages && !o->loose);
	for (int i = 0; i < NR_OBJCG_ITEMS; i++)
		mm_verify(!o->items[i]);
	spin_lock(&memcg_sys.lock);
	list_del(&o->list);
	spin_unlock(&memcg_sys.lock);
	cell_free(o);
}

static void objcg_put(struct obj_cgroup *o, s64 n)
{
	s64 left = __atomic_sub_fetch(&o->refs, n, __ATOMIC_ACQ_REL);

	mm_verify(left >= 0);
	if (!left)
		epoch_defer(&o->epoch, objcg_end);
}

static bool objcg_tryget(struct obj_cgroup *o)
{
	s64 old = __atomic_load_n(&o->refs, __ATOMIC_RELAXED);

	do {
		if (old <= 0)
			return false;
	} while (!__atomic_compare_exchange_n(&o->refs, &old, old + 1, true,
					      __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

void objcg_on_start(int (*start)(void))
{
	memcg_sys.objects_start = start;
}

int objcg_start(void)
{
	return memcg_sys.objects_start ? memcg_sys.objects_start() : 0;
}

int objcg_make(struct memcg *memcg)
{
	struct obj_cgroup *o = cell_alloc();

	INIT_LIST_HEAD(&memcg->objcgs);
	if (!o)
		return -ENOMEM;
	spin_lock_init(&o->lock, LOCK_CLASS_OBJCG);
	o->memcg = memcg;
	o->refs = 1;
	spin_lock(&memcg_sys.lock);
	list_add(&o->list, &memcg->objcgs);
	spin_unlock(&memcg_sys.lock);
	memcg->objcg = o;
	return 0;
}

void objcg_unmake(struct memcg *memcg)
{
	struct obj_cgroup *o = memcg->objcg;

	spin_lock(&memcg_sys.lock);
	list_del(&o->list);
	spin_unlock(&memcg_sys.lock);
	cell_free(o);
}

void objcg_reparent(struct memcg *memcg)
{
	struct obj_cgroup *own = memcg->objcg, *o, *next;
	struct memcg *to = memcg->parent;
	unsigned long flags;
	s64 moved = 0;

	list_for_each_entry_safe (o, next, &memcg->objcgs, list) {
		spin_lock_irqsave(&o->lock, flags);
		/* Before the first of them can be uncharged there. */
		if (to)
			memcg_move_in(to, o->pages);
		moved += o->pages;
		o->memcg = to;
		spin_unlock_irqrestore(&o->lock, flags);
		list_move(&o->list, to ? &to->objcgs : &memcg_sys.root_objcgs);
	}
	WRITE_ONCE(memcg->objcg, NULL);
	memcg_move_out(memcg, moved);
	objcg_put(own, 1);
}

/* ---- pages
 * ------------------------------------------------------------------------- */

/* Who pays for O's pages, with a reference; NULL: the root. */
static struct memcg *payer_get(struct obj_cgroup *o)
{
	struct memcg *memcg;
	unsigned long flags;

	spin_lock_irqsave(&o->lock, flags);
	memcg = o->memcg;
	if (memcg)
		memcg_hold(memcg, 1);
	spin_unlock_irqrestore(&o->lock, flags);
	return memcg;
}

/* NR pages that MEMCG was charged for are O's, if MEMCG still is who pays. */
static bool pages_join(struct obj_cgroup *o, const struct memcg *memcg, u64 nr)
{
	unsigned long flags;
	bool same;

	spin_lock_irqsave(&o->lock, flags);
	same = o->memcg == memcg;
	if (same) {
		o->pages += (s64)nr;
		__atomic_fetch_add(&o->refs, (s64)nr, __ATOMIC_RELAXED);
	}
	spin_unlock_irqrestore(&o->lock, flags);
	return same;
}

static int charge_pages(struct obj_cgroup *o, u64 nr, gfp_t gfp)
{
	bool done;
	int err;

	do {
		struct memcg *memcg = payer_get(o);

		err = memcg ? memcg_charge(memcg, nr, gfp) : 0;
		done = err || pages_join(o, memcg, nr);
		/* It was removed meanwhile: the group above pays. */
		if (!done && memcg)
			memcg_uncharge(memcg, nr);
		if (memcg)
			memcg_put(memcg, 1);
	} while (!done);
	return err;
}

static void uncharge_pages(struct obj_cgroup *o, u64 nr)
{
	struct memcg *memcg;
	unsigned long flags;

	spin_lock_irqsave(&o->lock, flags);
	memcg = o->memcg;
	o->pages -= (s64)nr;
	mm_verify(o->pages >= 0);
	spin_unlock_irqrestore(&o->lock, flags);
	/* Their references keep it, also if it is removed now. */
	if (memcg)
		memcg_uncharge(memcg, nr);
	objcg_put(o, (s64)nr);
}

/* ---- bytes
 * ------------------------------------------------------------------------- */

/* BYTES of O are nobody's: whole pages of them go back. */
static void loose_add(struct obj_cgroup *o, u64 bytes)
{
	const s64 page = PAGE_SIZE;
	s64 had;

	/* Somebody else may uncharge the last page in between. */
	epoch_enter();
	had = __atomic_add_fetch(&o->loose, (s64)bytes, __ATOMIC_ACQ_REL);
	while (had >= page) {
		if (!__atomic_compare_exchange_n(&o->loose, &had, had % page,
						 false, __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE))
			continue;
		uncharge_pages(o, (u64)(had / page));
		break;
	}
	epoch_exit();
}

static void item_add(struct obj_cgroup *o, u32 item, s64 n)
{
	__atomic_fetch_add(&o->items[item], n, __ATOMIC_RELAXED);
}

/* What a CPU had of an obj_cgroup. */
struct byte_stock {
	struct obj_cgroup *objcg; /* NULL: nothing */
	u64 bytes;
	s64 items[NR_OBJCG_ITEMS];
};

/* Stock lock held. */
static void bytes_out(struct memcg_stock *s, struct byte_stock *out)
{
	out->objcg = s->objcg;
	out->bytes = s->bytes;
	mm_memcpy(out->items, s->items, sizeof(out->items));
	mm_memset(s->items, 0, sizeof(s->items));
	WRITE_ONCE(s->objcg, NULL);
	s->bytes = 0;
}

/* What bytes_out() gave goes back, with its reference. No lock held. */
static void bytes_back(const struct byte_stock *had)
{
	struct obj_cgroup *o = had->objcg;

	if (!o)
		return;
	for (u32 i = 0; i < NR_OBJCG_ITEMS; i++)
		if (had->items[i])
			item_add(o, i, had->items[i]);
	if (had->bytes)
		loose_add(o, had->bytes);
	objcg_put(o, 1);
}

void objcg_drain(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct memcg_stock *s = &memcg_sys.stock[cpu];
		struct byte_stock had;

		if (!READ_ONCE(s->objcg))
			continue;
		spin_lock(&s->lock);
		bytes_out(s, &had);
		spin_unlock(&s->lock);
		bytes_back(&had);
	}
}

/* BYTES of ITEM out of this CPU's. False: it has not so many of O. */
static bool bytes_use(const struct obj_cgroup *o, u64 bytes, u32 item)
{
	struct memcg_stock *s = memcg_stock_take();
	bool ok;

	if (!s)
		return false;
	ok = s->objcg == o && s->bytes >= bytes;
	if (ok) {
		s->bytes -= (u32)bytes;
		s->items[item] += (s64)bytes;
	}
	memcg_stock_give(s);
	return ok;
}

/*
 * BYTES of O, which the caller keeps alive, come to this CPU's, and N to ITEM.
 * KEEP: what it had of another one goes. False: it has another one's, or whom
 * we interrupted is at it.
 */
static bool bytes_fill(struct obj_cgroup *o, u64 bytes, u32 item, s64 n,
		       bool keep)
{
	struct memcg_stock *s = memcg_stock_take();
	struct byte_stock had = {.objcg = NULL};
	u64 back = 0;

	if (!s)
		return false;
	if (s->objcg != o && s->objcg && !keep) {
		memcg_stock_give(s);
		return false;
	}
	if (s->objcg != o) {
		bytes_out(s, &had);
		__atomic_fetch_add(&o->refs, 1, __ATOMIC_RELAXED);
		WRITE_ONCE(s->objcg, o);
	}
	s->items[item] += n;
	bytes += s->bytes;
	if (bytes > PAGE_SIZE)
		back = bytes & PAGE_MASK;
	s->bytes = (u32)(bytes - back);
	memcg_stock_give(s);
	bytes_back(&had);
	if (back)
		loose_add(o, back);
	return true;
}

/* ---- charging
 * ---------------------------------------------------------------------- */

/* Pages for BYTES, O held. */
static int charge_slow(struct obj_cgroup *o, u64 bytes, u32 item, gfp_t gfp)
{
	u64 nr = PFN_UP(bytes), rest = (nr << PAGE_SHIFT) - bytes;
	int err = charge_pages(o, nr, gfp);

	if (err)
		return err;
	if (!bytes_fill(o, rest, item, (s64)bytes, true)) {
		item_add(o, item, (s64)bytes);
		loose_add(o, rest);
	}
	return 0;
}

int objcg_charge(u64 bytes, u32 item, gfp_t gfp, struct obj_cgroup **out)
{
	u16 id = READ_ONCE(port_current()->group);
	struct obj_cgroup *o = NULL;
	struct memcg *memcg;
	bool done = false;
	int err;

	mm_assert(item < NR_OBJCG_ITEMS && bytes);
	*out = NULL;
	if (!id)
		return 0;
	if (!(gfp & (__GFP_NOFAIL | __GFP_SKIP_FAIL)) &&
	    fail_should(FAIL_CHARGE))
		return -ENOMEM;
	epoch_enter();
	memcg = memcg_of(group_of_id(id));
	o = memcg ? READ_ONCE(memcg->objcg) : NULL;
	if (o)
		done = bytes_use(o, bytes, item);
	if (o && !done && !objcg_tryget(o))
		o = NULL;
	epoch_exit();
	*out = o;
	if (done || !o)
		return 0;
	err = charge_slow(o, bytes, item, current_gfp_context(gfp));
	objcg_put(o, 1);
	if (err)
		*out = NULL;
	return err;
}

void objcg_uncharge(struct obj_cgroup *o, u64 bytes, u32 item)
{
	mm_assert(item < NR_OBJCG_ITEMS && bytes);
	if (bytes_fill(o, bytes, item, -(s64)bytes, false))
		return;
	item_add(o, item, -(s64)bytes);
	loose_add(o, bytes);
}

/* ---- figures
 * ----------------------------------------------------------------------- */

u64 objcg_bytes(struct memcg *memcg, u32 item)
{
	struct memcg *m = NULL;
	struct obj_cgroup *o;
	s64 sum = 0;

	spin_lock(&memcg_sys.lock);
	while ((m = memcg_step(memcg, m)))
		list_for_each_entry (o, &m->objcgs, list)
			sum += READ_ONCE(o->items[item]);
	spin_unlock(&memcg_sys.lock);
	return sum > 0 ? (u64)sum : 0;
}

s64 objcg_pages(const struct memcg *memcg)
{
	const struct obj_cgroup *o;
	s64 sum = 0;

	list_for_each_entry (o, &memcg->objcgs, list)
		sum += READ_ONCE(o->pages);
	return sum;
}

/* The first one of the groups after M, then of the root. Lock held. */
static struct obj_cgroup *first_after(struct memcg *m)
{
	while ((m = memcg_step(NULL, m)))
		if (!list_empty(&m->objcgs))
			return list_first_entry(&m->objcgs, struct obj_cgroup,
						list);
	return list_first_entry_or_null(&memcg_sys.root_objcgs,
					struct obj_cgroup, list);
}

struct obj_cgroup *objcg_next(struct obj_cgroup *prev)
{
	const struct list_head *row;
	struct obj_cgroup *next;

	spin_lock(&memcg_sys.lock);
	if (!prev) {
		next = first_after(NULL);
	} else {
		row = prev->memcg ? &prev->memcg->objcgs
				  : &memcg_sys.root_objcgs;
		if (!list_is_last(&prev->list, row))
			next = list_next_entry(prev, list);
		else
			next = prev->memcg ? first_after(prev->memcg) : NULL;
	}
	spin_unlock(&memcg_sys.lock);
	return next;
}

void objcg_check(const struct list_head *row, const struct memcg *memcg)
{
	const struct obj_cgroup *o;
	bool own = false;

	list_for_each_entry (o, row, list) {
		bool mine = memcg && memcg->objcg == o;

		mm_verify(o->memcg == memcg && o->pages >= 0);
		mm_verify(READ_ONCE(o->loose) >= 0 &&
			  READ_ONCE(o->loose) < (s64)PAGE_SIZE);
		mm_verify(READ_ONCE(o->refs) >= o->pages + mine);
		own |= mine;
	}
	mm_verify(!memcg || own == memcg->online);
	mm_verify(!memcg || memcg->online || list_empty(row));
}
