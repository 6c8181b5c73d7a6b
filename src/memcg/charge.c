/* SPDX-License-Identifier: MIT */
/*
 * charge.c - who pays for a frame.
 *
 * 1. Purpose. Every frame that a user's page, a page table or an accounted
 *    object takes counts against the running task's group and all groups
 *    above it; none of them may exceed its memory.max.
 *
 * 2. Way. A charge adds to the counter of the group and of each group above it
 *    and steps back if one of them is beyond its limit then. Two that come at
 *    once may so both be refused where one would have fitted; they try again.
 *    That is an atomic addition per level, so a CPU takes MEMCG_BATCH frames at
 *    once and keeps the rest in its stock for the same group; what is freed
 *    goes back to the stock first. The root has no counter: nothing is refused
 *    there.
 *
 *      charge -> stock has them -------------------------------------> done
 *             -> counters, a batch; then just what is needed --------> done
 *             -> over a limit: event max, stocks are given back,
 *                reclaim in the group whose limit it is, try again,
 *                a kill in it, try again ----------------------------> done
 *             -> -ENOMEM, or beyond the limit (below)
 *
 * 3. Beyond the limit goes who must not fail (__GFP_NOFAIL), who frees memory
 *    itself (PF_MEMALLOC) and who is being killed: a victim that waited for
 *    its own death would never die.
 *
 * 4. Locking. A stock's lock is only ever tried by its own CPU (an interrupt
 *    may have it underneath) and waited for by memcg_drain(). Nothing is held
 *    while reclaim runs.
 *
 * 5. Rejected. A counter for the root: every frame of every group would end at
 *    one word. Stocks for several groups on a CPU: one is what a CPU runs.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2 (memory).
 */
#include <mmkit/errno.h>
#include <mmkit/port.h>

#include "base/string.h"
#include "memcg/limits.h"
#include "phys/alloc.h"

/* Rounds of reclaim before somebody is killed. */
#define MEMCG_RETRIES 16
/* The wait after the first round that brought nothing; others are longer. */
#define MEMCG_WAIT_NS 1000000ul

/* ---- counters
 * ----------------------------------------------------------------------- */

static void counter_sub(struct memcg_counter *c, s64 n)
{
	s64 left = __atomic_sub_fetch(&c->usage, n, __ATOMIC_ACQ_REL);

	mm_verify(left >= 0);
}

/* A mark that is only ever too low by what others add at this moment. */
static void counter_peak(struct memcg_counter *c, s64 usage)
{
	if (usage > (s64)READ_ONCE(c->peak))
		WRITE_ONCE(c->peak, (u64)usage);
}

static s64 counter_add(struct memcg_counter *c, s64 n)
{
	return __atomic_add_fetch(&c->usage, n, __ATOMIC_ACQ_REL);
}

/* N frames more for MEMCG and above. NULL: done; else whose limit it was. */
static struct memcg *memory_try_add(struct memcg *memcg, s64 n)
{
	struct memcg *m, *over = NULL;

	for (m = memcg; m; m = m->parent) {
		s64 usage = counter_add(&m->memory, n);

		if (usage > (s64)READ_ONCE(m->memory.max)) {
			counter_sub(&m->memory, n);
			over = m;
			break;
		}
		counter_peak(&m->memory, usage);
	}
	if (!over) {
		memcg_hold(memcg, n);
		return NULL;
	}
	for (m = memcg; m != over; m = m->parent)
		counter_sub(&m->memory, n);
	return over;
}

static void memory_force(struct memcg *memcg, s64 n)
{
	memcg_hold(memcg, n);
	for (struct memcg *m = memcg; m; m = m->parent)
		counter_peak(&m->memory, counter_add(&m->memory, n));
}

static void memory_sub(struct memcg *memcg, s64 n)
{
	for (struct memcg *m = memcg; m; m = m->parent)
		counter_sub(&m->memory, n);
	memcg_put(memcg, n);
}

void memcg_move_out(struct memcg *memcg, s64 nr)
{
	counter_sub(&memcg->memory, nr);
	memcg_put(memcg, nr);
}

u64 memcg_margin(const struct memcg *memcg)
{
	u64 margin = MEMCG_NO_LIMIT;

	for (; memcg; memcg = memcg->parent) {
		u64 usage = memcg_usage(&memcg->memory);
		u64 most = READ_ONCE(memcg->memory.max);

		margin = min(margin, most > usage ? most - usage : 0);
	}
	return margin;
}

/* ---- stocks
 * ------------------------------------------------------------------------- */

struct memcg_stock *memcg_stock_take(void)
{
	struct memcg_stock *s;

	preempt_disable();
	s = &memcg_sys.stock[port_cpu()];
	if (spin_trylock(&s->lock))
		return s;
	preempt_enable();
	return NULL;
}

void memcg_stock_give(struct memcg_stock *s)
{
	spin_unlock(&s->lock);
	preempt_enable();
}

/* NR frames out of the stock, if they are the group ID's. Its references keep
 * the group. */
static bool stock_use(u16 id, u64 nr)
{
	struct memcg_stock *s = memcg_stock_take();
	bool ok;

	if (!s)
		return false;
	ok = s->nr >= nr && memcg_id(s->memcg) == id;
	if (ok)
		s->nr -= (u32)nr;
	if (ok && !s->nr)
		s->memcg = NULL;
	memcg_stock_give(s);
	return ok;
}

/* NR frames that MEMCG is charged for come to the stock; what it has no room
 * for, and what was another group's, is uncharged. */
static void stock_fill(struct memcg *memcg, u64 nr)
{
	struct memcg_stock *s = memcg_stock_take();
	struct memcg *other = NULL;
	u64 others = 0, back = 0;

	if (!s) {
		memory_sub(memcg, (s64)nr);
		return;
	}
	if (s->memcg != memcg) {
		other = s->memcg;
		others = s->nr;
		s->memcg = memcg;
		s->nr = 0;
	}
	nr += s->nr;
	if (nr > 2 * MEMCG_BATCH)
		back = nr - MEMCG_BATCH;
	s->nr = (u32)(nr - back);
	memcg_stock_give(s);
	if (others)
		memory_sub(other, (s64)others);
	if (back)
		memory_sub(memcg, (s64)back);
}

static void stock_drain(struct memcg_stock *s, const struct memcg *root)
{
	struct memcg *memcg = NULL;
	u64 nr = 0;

	if (!READ_ONCE(s->nr))
		return;
	spin_lock(&s->lock);
	if (s->nr && memcg_below(s->memcg, root)) {
		memcg = s->memcg;
		nr = s->nr;
		s->memcg = NULL;
		WRITE_ONCE(s->nr, 0);
	}
	spin_unlock(&s->lock);
	if (nr)
		memory_sub(memcg, (s64)nr);
}

void memcg_drain(const struct memcg *root)
{
	/* Bytes first: they become pages. */
	objcg_drain();
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		stock_drain(&memcg_sys.stock[cpu], root);
}

/* ---- over the limit
 * ----------------------------------------------------------------- */

/* Who goes beyond: see 3. */
static bool may_exceed(gfp_t gfp)
{
	const struct mm_task *task = port_current();

	return (gfp & __GFP_NOFAIL) ||
	       (task->flags & (PF_MEMALLOC | PF_OOM_VICTIM | PF_EXITING)) ||
	       READ_ONCE(task->fatal_signal);
}

/* Make room for NR frames in OVER. True: try again. */
static bool make_room(struct memcg *over, u64 nr, gfp_t gfp, int *rounds)
{
	const struct memcg_ops *ops = READ_ONCE(memcg_sys.ops);

	memcg_event(over, MEMCG_MAX);
	if (!(gfp & __GFP_DIRECT_RECLAIM) || !ops)
		return false;
	/* What comes may be taken by others: as long as something does, on. */
	if (ops->reclaim(over, nr, gfp, true) >= nr || memcg_margin(over) >= nr)
		return nr <= 1UL << PAGE_ALLOC_COSTLY_ORDER ||
		       ++*rounds <= 4 * MEMCG_RETRIES;
	memcg_drain(over);
	if (memcg_margin(over) >= nr)
		return true;
	/* Others have its pages in hand, or disks do: they need a moment. */
	if (++*rounds < MEMCG_RETRIES) {
		port_park((u64)*rounds * MEMCG_WAIT_NS);
		return true;
	}
	/* As in the slow path of allocation: nobody dies for a large block, or
	 * for who can do without. */
	if ((gfp & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL)) ||
	    nr > 1UL << PAGE_ALLOC_COSTLY_ORDER || !(gfp & __GFP_FS))
		return false;
	*rounds = 0;
	memcg_event(over, MEMCG_OOM);
	return ops->oom(over, gfp, 0);
}

/* The running task pays for NR pages above memory.high when it goes back to its
 * program, if one of its groups is there. */
static void note_over_high(struct memcg *memcg, u64 nr, gfp_t gfp)
{
	struct mm_task *task = port_current();
	struct memcg *m = memcg;

	while (m && memcg_usage(&m->memory) <= READ_ONCE(m->memory.high) &&
	       memcg_usage(&m->swap) <= READ_ONCE(m->swap.high))
		m = m->parent;
	if (!m)
		return;
	task->over_high += (u32)nr;
	if (task->over_high > 2 * MEMCG_BATCH && (gfp & __GFP_DIRECT_RECLAIM))
		memcg_high_now(memcg);
}

static int charge_slow(struct memcg *memcg, u64 nr, gfp_t gfp)
{
	u64 batch = max(nr, (u64)MEMCG_BATCH);
	struct memcg *over;
	int rounds = 0;

	over = memory_try_add(memcg, (s64)batch);
	if (!over) {
		if (batch > nr)
			stock_fill(memcg, batch - nr);
		note_over_high(memcg, batch, gfp);
		return 0;
	}
	while ((over = memory_try_add(memcg, (s64)nr))) {
		if (may_exceed(gfp)) {
			memcg_event(over, MEMCG_MAX);
			memory_force(memcg, (s64)nr);
			return 0;
		}
		if (!make_room(over, nr, gfp, &rounds) && !may_exceed(gfp))
			return -ENOMEM;
	}
	note_over_high(memcg, nr, gfp);
	return 0;
}

int memcg_charge(struct memcg *memcg, u64 nr, gfp_t gfp)
{
	return stock_use(memcg->page.id, nr) ? 0 : charge_slow(memcg, nr, gfp);
}

/* Reclaim makes room in the group, not in this CPU's stock: what it frees must
 * be seen by the counters that it is to bring down. And nobody will ask a stock
 * for the frames of a group that was removed: they would keep it for nothing.
 */
void memcg_uncharge(struct memcg *memcg, u64 nr)
{
	if (port_in_irq() || (port_current()->flags & PF_MEMALLOC) ||
	    !READ_ONCE(memcg->online))
		memory_sub(memcg, (s64)nr);
	else
		stock_fill(memcg, nr);
}

static void uncharge_page(u16 group, u64 nr)
{
	/* The frames' references keep it. */
	struct memcg *memcg = memcg_of(group_of_id(group));

	mm_verify(memcg != NULL);
	memcg_uncharge(memcg, nr);
}

/* ---- stacks
 * ---------------------------------------------------------------------------
 */

/* Stacks are kept and used again for others: it is not their frames that are
 * charged. */
int memcg_stack_charge(int nid, u32 kib, u16 *group)
{
	struct memcg *memcg = memcg_task_group(port_current());
	u64 nr = PFN_UP((u64)kib << 10);
	int err = memcg ? memcg_charge(memcg, nr, GFP_KERNEL) : 0;

	*group = err ? 0 : memcg_id(memcg);
	if (!err)
		mod_node_page_state(NODE_DATA(nid), NR_KERNEL_STACK_KB, kib);
	if (*group)
		group_node_stat_add(*group, nid, NR_KERNEL_STACK_KB, kib);
	if (memcg)
		memcg_put(memcg, 1);
	return err;
}

void memcg_stack_uncharge(int nid, u32 kib, u16 group)
{
	mod_node_page_state(NODE_DATA(nid), NR_KERNEL_STACK_KB, -(s64)kib);
	if (!group)
		return;
	group_node_stat_add(group, nid, NR_KERNEL_STACK_KB, -(s64)kib);
	uncharge_page(group, PFN_UP((u64)kib << 10));
}

/* ---- the door of phys/
 * -------------------------------------------------------------- */

static int charge_page(struct page *page, unsigned int order, u16 group,
		       gfp_t gfp)
{
	u64 nr = 1UL << order;
	struct memcg *memcg;
	int err = 0;

	if (!stock_use(group, nr)) {
		memcg = memcg_get(group);
		/* Removed since the task was moved out of it. */
		if (!memcg)
			return 0;
		err = charge_slow(memcg, nr, gfp);
		memcg_put(memcg, 1);
	}
	if (!err)
		set_page_group(page, group);
	return err;
}

/* For who waits for a page: memcg_sys stands for the root. */
static void *stall_begin(void)
{
	struct memstall s;

	psi_memstall_enter(&s);
	if (!s.counted)
		return NULL;
	return s.memcg ? (void *)s.memcg : &memcg_sys;
}

static void stall_end(void *of)
{
	struct memstall s = {.memcg = of == &memcg_sys ? NULL : of,
			     .counted = true};

	psi_memstall_leave(&s);
}

static const struct charge_ops charge = {
	.charge = charge_page,
	.uncharge = uncharge_page,
	.node_add = memcg_node_add,
	.node_drop = memcg_node_drop,
	.stall_begin = stall_begin,
	.stall_end = stall_end,
};

/* ---- swap
 * ---------------------------------------------------------------------------
 */

/* N slots more for MEMCG and above. NULL: done; else whose limit it was. */
static struct memcg *swap_try_add(struct memcg *memcg, s64 n)
{
	struct memcg *m, *over = NULL;

	for (m = memcg; m && !over; m = m->parent) {
		s64 usage = counter_add(&m->swap, n);

		if (usage > (s64)READ_ONCE(m->swap.max))
			over = m;
		else
			counter_peak(&m->swap, usage);
	}
	if (!over)
		return NULL;
	for (m = memcg;; m = m->parent) {
		counter_sub(&m->swap, n);
		if (m == over)
			return over;
	}
}

int memcg_swap_charge(u16 id, u64 nr)
{
	struct memcg *memcg = memcg_get(id), *over;

	if (!memcg)
		return id ? -ENOENT : 0;
	over = swap_try_add(memcg, (s64)nr);
	if (over) {
		memcg_event(over, MEMCG_SWAP_MAX);
		memcg_event(memcg, MEMCG_SWAP_FAIL);
		memcg_put(memcg, 1);
		return -ENOMEM;
	}
	for (struct memcg *m = memcg; m; m = m->parent)
		if (memcg_usage(&m->swap) > READ_ONCE(m->swap.high))
			memcg_event(m, MEMCG_SWAP_HIGH);
	memcg_hold(memcg, (s64)nr);
	__atomic_fetch_add(&memcg->own_swap, (s64)nr, __ATOMIC_RELAXED);
	memcg_put(memcg, 1);
	return 0;
}

void memcg_swap_failed(u16 id)
{
	struct memcg *memcg = memcg_get(id);

	if (!memcg)
		return;
	memcg_event(memcg, MEMCG_SWAP_FAIL);
	memcg_put(memcg, 1);
}

void memcg_swap_uncharge(u16 id, u64 nr)
{
	struct memcg *memcg = memcg_of(group_of_id(id));

	if (!id)
		return;
	mm_verify(memcg != NULL);
	for (struct memcg *m = memcg; m; m = m->parent)
		counter_sub(&m->swap, (s64)nr);
	__atomic_fetch_sub(&memcg->own_swap, (s64)nr, __ATOMIC_RELAXED);
	memcg_put(memcg, (s64)nr);
}

bool memcg_swap_full(u16 id)
{
	const struct memcg *m = memcg_of(group_of_id(id));

	for (; m; m = m->parent)
		if (memcg_usage(&m->swap) * 2 >=
		    min(READ_ONCE(m->swap.max), READ_ONCE(m->swap.high)))
			return true;
	return false;
}

u16 memcg_swapin_group(u16 id)
{
	struct memcg *memcg = memcg_get(id);
	bool online = memcg && READ_ONCE(memcg->online);

	if (memcg)
		memcg_put(memcg, 1);
	return !id || online ? id : READ_ONCE(port_current()->group);
}

u64 memcg_swap_left(const struct memcg *memcg, u64 limit)
{
	for (; memcg; memcg = memcg->parent) {
		u64 usage = memcg_usage(&memcg->swap);
		u64 most = READ_ONCE(memcg->swap.max);

		limit = min(limit, most > usage ? most - usage : 0);
	}
	return limit;
}

/* ---- boot
 * ---------------------------------------------------------------------------
 */

void memcg_reset(void)
{
	mm_memset(&memcg_sys, 0, sizeof(memcg_sys));
}

void memcg_init(void)
{
	spin_lock_init(&memcg_sys.lock, LOCK_CLASS_MEMCG);
	INIT_LIST_HEAD(&memcg_sys.top);
	INIT_LIST_HEAD(&memcg_sys.root_objcgs);
	INIT_LIST_HEAD(&memcg_sys.objcg_pages);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		spin_lock_init(&memcg_sys.stock[cpu].lock, LOCK_CLASS_CHARGE);
	mutex_init(&memcg_sys.make_lock, LOCK_CLASS_MEMCG_MAKE);
	for (int nid = 0; nid < MM_MAX_NODES; nid++)
		memcg_sys.pgdat[nid] = NODE_DATA(nid);
	psi_init(&memcg_sys.root_psi);
	mutex_init(&memcg_sys.monitor_lock, LOCK_CLASS_PSI_MONITOR);
	mutex_init(&memcg_sys.trigger_lock, LOCK_CLASS_PSI_TRIGGER);
	INIT_LIST_HEAD(&memcg_sys.triggers);
	page_alloc_set_charge_ops(&charge);
}

void memcg_set_ops(const struct memcg_ops *ops)
{
	WRITE_ONCE(memcg_sys.ops, ops);
}
