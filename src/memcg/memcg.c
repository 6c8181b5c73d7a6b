/* SPDX-License-Identifier: MIT */
/*
 * memcg.c - memory control groups: the tree, who is in it, how long they live.
 *
 * 1. Purpose. Programs that share a machine are put into groups, so that one
 *    cannot take the others' memory. A group is charged for what its tasks
 *    are the first to use, and so are all groups above it.
 *
 * 2. Life. A group has one reference for being online, and one for each
 *
 *      task in it, group right below it, frame charged to it (those that
 *      wait in a CPU's stock, and those of its objects, too), slot of swap
 *      it has, trigger for its lost time, walker that is at it
 *
 *    Removed by its owner it is offline: nobody can join, nothing can be set.
 *    What is charged to it stays where it is (its pages keep its id, so they
 *    stay on its lists, and reclaim passes there as before) and counts above
 *    it. When the last reference goes, the id leads to nothing; when no read
 *    section is left that might look, the object is freed, and what it had
 *    counted goes to the group above. Frames are not handed to the parent at
 *    removal: that would have to find them all. Objects are (objcg.c).
 *
 * 3. Invariants.
 *    MG-1  usage of a group = frames charged to it + usage of all right below.
 *    MG-2  refs = (online) + nr_tasks + groups right below + own frames
 *          + own slots + triggers + those who look at it.
 *    MG-3  A group that is freed has usage 0, empty lists, and every counter of
 *          pages at 0: each was counted out by whom it was counted in for.
 *    MG-4  An offline group has no task and no online group below it.
 *
 * 4. Locking. One spinlock for the tree, settings and membership. References
 *    and usage are atomic. A group found by its id may be on its way out:
 *    memcg_get() takes a reference inside a read section, if there is one left.
 *
 * 5. Failure. No memory, no id: nothing was made.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2.
 */
#include "memcg/memcg.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/seqbuf.h"
#include "base/string.h"

struct memcg_state memcg_sys;

#define MEMCG_MAX_DEPTH 255u
#define MEMCG_LAST_ID	65535u

/* ---- references
 * --------------------------------------------------------------------- */

static bool memcg_tryget(struct memcg *memcg)
{
	s64 old = __atomic_load_n(&memcg->refs, __ATOMIC_RELAXED);

	do {
		if (old <= 0)
			return false;
	} while (!__atomic_compare_exchange_n(&memcg->refs, &old, old + 1, true,
					      __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

struct memcg *memcg_get(u16 id)
{
	struct memcg *memcg;

	if (!id)
		return NULL;
	epoch_enter();
	memcg = memcg_of(group_of_id(id));
	if (memcg && !memcg_tryget(memcg))
		memcg = NULL;
	epoch_exit();
	return memcg;
}

void memcg_hold(struct memcg *memcg, s64 n)
{
	s64 old = __atomic_fetch_add(&memcg->refs, n, __ATOMIC_ACQ_REL);

	mm_verify(old > 0);
}

/* MG-3. */
static void check_empty(const struct memcg *memcg)
{
	static const u8 pages[] = {
		NR_SLAB_RECLAIMABLE_B, NR_SLAB_UNRECLAIMABLE_B,
		NR_ANON_MAPPED,	       NR_FILE_MAPPED,
		NR_FILE_PAGES,	       NR_FILE_DIRTY,
		NR_WRITEBACK,	       NR_SHMEM,
		NR_KERNEL_STACK_KB,    NR_PAGETABLE,
		NR_SWAPCACHE,	       GROUP_VMALLOC,
		NR_ANON_THPS,
	};

	mm_verify(READ_ONCE(memcg->memory.usage) == 0);
	mm_verify(READ_ONCE(memcg->swap.usage) == 0);
	for (u32 i = 0; i < ARRAY_SIZE(pages); i++)
		mm_verify(group_stat(&memcg->page, pages[i]) == 0);
	for (int n = 0; n < MM_MAX_NODES; n++)
		for (int l = 0; memcg->page.node[n] && l < NR_LRU_LISTS; l++)
			mm_verify(!lruvec_size(&memcg->page.node[n]->lruvec,
					       (enum lru_list)l));
}

static void memcg_free_object(struct memcg *memcg)
{
	struct page *page = view_to_page(memcg);
	u64 bytes = memcg->bytes;

	memcg_node_exit(memcg);
	for (u64 i = 0; i < PFN_UP(bytes); i++)
		set_page_index(page + i, 0);
	free_pages_exact(page, bytes);
}

/* Nobody can find it any more. */
static void memcg_end(struct epoch_head *head)
{
	struct memcg *memcg = container_of(head, struct memcg, epoch);
	struct memcg *parent = memcg->parent;

	check_empty(memcg);
	mm_verify(list_empty(&memcg->children));
	mm_verify(list_empty(&memcg->objcgs) && !memcg->objcg);
	spin_lock(&memcg_sys.lock);
	/* The root's are the machine's, which forgets nothing. */
	if (parent)
		group_end_stats(&memcg->page, &parent->page);
	list_del(&memcg->sibling);
	memcg_sys.nr_groups--;
	spin_unlock(&memcg_sys.lock);
	memcg_free_object(memcg);
	if (parent)
		memcg_put(parent, 1);
}

void memcg_put(struct memcg *memcg, s64 n)
{
	s64 left = __atomic_sub_fetch(&memcg->refs, n, __ATOMIC_ACQ_REL);

	mm_verify(left >= 0);
	if (left)
		return;
	group_publish(&memcg->page, false);
	epoch_defer(&memcg->epoch, memcg_end);
}

/* ---- making and removing
 * ------------------------------------------------------------ */

/* The object's parts behind each other: itself, nodes, counters. Make lock
 * held. */
static struct memcg *memcg_alloc(void)
{
	u64 events = (port_nr_cpus() + 1UL) * GROUP_EVENT_STRIDE * sizeof(s64);
	u64 self = ALIGN(sizeof(struct memcg), 64UL), bytes = self + events;
	struct memcg *memcg;
	struct page *page;
	char *at;

	for (int n = 0; n < MM_MAX_NODES; n++)
		if (memcg_sys.pgdat[n])
			bytes += memcg_node_bytes();
	page = alloc_pages_exact(bytes, GFP_KERNEL | __GFP_ZERO);
	if (!page)
		return NULL;
	for (u64 i = 0; i < PFN_UP(bytes); i++)
		set_page_index(page + i, PAGE_INDEX_KERNEL);
	at = page_view(page);
	memcg = (struct memcg *)(void *)at;
	memcg->bytes = bytes;
	at += self;
	for (int n = 0; n < MM_MAX_NODES; n++) {
		if (!memcg_sys.pgdat[n])
			continue;
		memcg_node_init(memcg, memcg_sys.pgdat[n], at);
		at += memcg_node_bytes();
	}
	memcg->page.events = (s64 *)(void *)at;
	return memcg;
}

static void memcg_setup(struct memcg *memcg, struct memcg *parent)
{
	memcg->parent = parent;
	memcg->depth = parent ? parent->depth + 1 : 1;
	INIT_LIST_HEAD(&memcg->children);
	memcg->online = true;
	memcg->refs = 1;
	memcg->memory.max = memcg->memory.high = MEMCG_NO_LIMIT;
	memcg->swap.max = memcg->swap.high = MEMCG_NO_LIMIT;
	psi_init(&memcg->psi);
}

/* The next free id after the last one given out; 0: none. Lock held. */
static u16 id_find(void)
{
	u32 id = memcg_sys.last_id;

	for (u32 i = 0; i < MEMCG_LAST_ID; i++) {
		id = id == MEMCG_LAST_ID ? 1 : id + 1;
		if (!group_of_id((u16)id))
			return (u16)id;
	}
	return 0;
}

/* MEMCG gets an id and its place in the tree. 0, -ENOSPC, -ENOENT (its parent
 * has been removed), -EAGAIN: *ID's leaf is to be made first. */
static int memcg_enter(struct memcg *memcg, u16 *id)
{
	struct memcg *parent = memcg->parent;

	*id = id_find();
	if (!*id)
		return -ENOSPC;
	if (parent && !parent->online)
		return -ENOENT;
	if (!group_has_leaf(*id))
		return -EAGAIN;
	memcg->page.id = *id;
	memcg_sys.last_id = *id;
	group_publish(&memcg->page, true);
	list_add_tail(&memcg->sibling,
		      parent ? &parent->children : &memcg_sys.top);
	if (parent)
		parent->nr_children++;
	WRITE_ONCE(memcg_sys.nr_groups, memcg_sys.nr_groups + 1);
	memcg_sys.nr_online++;
	return 0;
}

/* A group below PARENT, whose reference becomes the new group's. Make lock
 * held: no node comes between its lists and its being found. */
static int memcg_make(struct memcg *parent, u16 *id)
{
	struct memcg *memcg = memcg_alloc();
	u16 got;
	int err;

	if (!memcg)
		return -ENOMEM;
	memcg_setup(memcg, parent);
	if (objcg_make(memcg)) {
		memcg_free_object(memcg);
		return -ENOMEM;
	}
	do {
		spin_lock(&memcg_sys.lock);
		err = memcg_enter(memcg, &got);
		spin_unlock(&memcg_sys.lock);
		if (err == -EAGAIN && group_leaf(got, GFP_KERNEL))
			err = -ENOMEM;
	} while (err == -EAGAIN);
	if (!err) {
		*id = got;
		return 0;
	}
	objcg_unmake(memcg);
	memcg_free_object(memcg);
	return err;
}

int memcg_create(u16 parent, u16 *id)
{
	struct memcg *above = memcg_get(parent);
	int err;

	might_sleep();
	(void)epoch_poll();
	if (parent && !above)
		return -ENOENT;
	err = above && above->depth >= MEMCG_MAX_DEPTH ? -ENOSPC
						       : objcg_start();
	mutex_lock(&memcg_sys.make_lock);
	if (!err)
		err = memcg_make(above, id);
	mutex_unlock(&memcg_sys.make_lock);
	if (err && above)
		memcg_put(above, 1);
	return err;
}

int memcg_set_name(u16 id, const char *name)
{
	struct memcg *memcg = memcg_get(id);

	if (!memcg)
		return -ENOENT;
	spin_lock(&memcg_sys.lock);
	(void)mm_snprintf(memcg->name, sizeof(memcg->name), "%s", name);
	spin_unlock(&memcg_sys.lock);
	memcg_put(memcg, 1);
	return 0;
}

const char *memcg_path(const struct memcg *memcg, char *buf, size_t size)
{
	const struct memcg *up[16];
	struct seq_buf s;
	u32 n = 0;

	seq_buf_init(&s, buf, size);
	for (; memcg && n < ARRAY_SIZE(up); memcg = memcg->parent)
		up[n++] = memcg;
	if (!n)
		seq_putc(&s, '/');
	while (n) {
		memcg = up[--n];
		if (memcg->name[0])
			seq_printf(&s, "/%s", memcg->name);
		else
			seq_printf(&s, "/%u", memcg->page.id);
	}
	return seq_buf_str(&s);
}

int memcg_remove(u16 id)
{
	struct memcg *memcg = memcg_get(id);
	int err = 0;

	if (!memcg)
		return -ENOENT;
	spin_lock(&memcg_sys.lock);
	if (!memcg->online)
		err = -ENOENT;
	else if (memcg->nr_tasks || memcg->nr_children)
		err = -EBUSY;
	if (!err) {
		WRITE_ONCE(memcg->online, false);
		memcg_sys.nr_online--;
		if (memcg->parent)
			memcg->parent->nr_children--;
		/* What nobody can set any more must not protect for ever. */
		if (memcg->min || memcg->low)
			WRITE_ONCE(memcg_sys.nr_protected,
				   memcg_sys.nr_protected - 1);
		WRITE_ONCE(memcg->min, 0UL);
		WRITE_ONCE(memcg->low, 0UL);
		objcg_reparent(memcg);
	}
	spin_unlock(&memcg_sys.lock);
	if (!err) {
		memcg_drain(memcg);
		memcg_put(memcg, 1);
	}
	memcg_put(memcg, 1);
	(void)epoch_poll();
	return err;
}

int memcg_parent(u16 id)
{
	struct memcg *memcg = memcg_get(id);
	int above;

	if (!memcg)
		return id ? -ENOENT : 0;
	above = memcg_id(memcg->parent);
	memcg_put(memcg, 1);
	return above;
}

/* ---- the tree
 * ----------------------------------------------------------------------- */

bool memcg_below(const struct memcg *memcg, const struct memcg *root)
{
	if (!root)
		return true;
	while (memcg && memcg != root)
		memcg = memcg->parent;
	return memcg == root;
}

struct memcg *memcg_step(struct memcg *root, struct memcg *prev)
{
	if (!prev)
		return root ? root
			    : list_first_entry_or_null(&memcg_sys.top,
						       struct memcg, sibling);
	if (!list_empty(&prev->children))
		return list_first_entry(&prev->children, struct memcg, sibling);
	while (prev && prev != root) {
		struct list_head *row =
			prev->parent ? &prev->parent->children : &memcg_sys.top;

		if (!list_is_last(&prev->sibling, row))
			return list_next_entry(prev, sibling);
		prev = prev->parent;
	}
	return NULL;
}

struct memcg *memcg_next(struct memcg *root, struct memcg *prev)
{
	struct memcg *next = prev;

	spin_lock(&memcg_sys.lock);
	do {
		next = memcg_step(root, next);
	} while (next && !memcg_tryget(next));
	spin_unlock(&memcg_sys.lock);
	if (prev)
		memcg_put(prev, 1);
	return next;
}

/* ---- tasks
 * -------------------------------------------------------------------------- */

struct memcg *memcg_task_group(const struct mm_task *task)
{
	return memcg_get(READ_ONCE(task->group));
}

/* TASK goes to TO, with a reference for it, or NULL. Lock held. Returns the
 * group that it was in, with the reference that it had there. */
static struct memcg *task_move(struct mm_task *task, struct memcg *to)
{
	struct memcg *from = memcg_of(group_of_id(task->group));

	if (from) {
		from->nr_tasks--;
		psi_tasks(from, -1);
	}
	if (to) {
		to->nr_tasks++;
		psi_tasks(to, 1);
	}
	WRITE_ONCE(task->group, memcg_id(to));
	return from;
}

int memcg_attach(struct mm_task *task, u16 id)
{
	struct memcg *to = memcg_get(id), *from = NULL;
	int err = 0;

	if (id && !to)
		return -ENOENT;
	spin_lock(&memcg_sys.lock);
	if (to && !to->online)
		err = -ENOENT;
	else
		from = task_move(task, to);
	spin_unlock(&memcg_sys.lock);
	if (err)
		memcg_put(to, 1);
	if (from)
		memcg_put(from, 1);
	return err;
}

void memcg_task_count(const struct mm_task *task, int item, s64 n)
{
	u16 id = READ_ONCE(task->group);

	if (!id)
		return;
	/* Somebody may move the task out of it at this moment. */
	epoch_enter();
	group_stat_add(id, item, n);
	epoch_exit();
}

void memcg_fork(struct mm_task *child, const struct mm_task *parent)
{
	struct memcg *memcg;

	mm_verify(!child->group);
	if (!READ_ONCE(parent->group))
		return;
	spin_lock(&memcg_sys.lock);
	memcg = memcg_of(group_of_id(parent->group));
	if (memcg) {
		memcg_hold(memcg, 1);
		(void)task_move(child, memcg);
	}
	spin_unlock(&memcg_sys.lock);
}

void memcg_task_leave(struct mm_task *task)
{
	struct memcg *from;

	if (READ_ONCE(task->group)) {
		spin_lock(&memcg_sys.lock);
		from = task_move(task, NULL);
		spin_unlock(&memcg_sys.lock);
		if (from)
			memcg_put(from, 1);
	}
	(void)epoch_poll();
}

/* ---- counters
 * ----------------------------------------------------------------------- */

s64 memcg_stat(struct memcg *memcg, int item)
{
	s64 sum = 0;

	if (item >= GROUP_EV_BASE)
		return memcg_node_stat(memcg, 0, item);
	for (int n = 0; n < MM_MAX_NODES; n++)
		if (NODE_DATA(n))
			sum += memcg_node_stat(memcg, n, item);
	return sum;
}

s64 memcg_node_stat(struct memcg *memcg, int nid, int item)
{
	struct memcg *m = NULL;
	s64 sum = 0;

	spin_lock(&memcg_sys.lock);
	while ((m = memcg_step(memcg, m)))
		sum += group_node_stat(&m->page, nid, item) +
		       group_ended_stat(&m->page, nid, item);
	spin_unlock(&memcg_sys.lock);
	return sum;
}

/* Pages of LRU of M alone. */
static u64 own_lru(const struct memcg *m, enum lru_list lru, int nid)
{
	u64 sum = 0;

	for (int n = 0; n < MM_MAX_NODES; n++)
		if (m->page.node[n] && (nid < 0 || n == nid))
			sum += lruvec_size(&m->page.node[n]->lruvec, lru);
	return sum;
}

u64 memcg_lru(struct memcg *memcg, enum lru_list lru, int nid)
{
	struct memcg *m = NULL;
	u64 sum = 0;

	spin_lock(&memcg_sys.lock);
	while ((m = memcg_step(memcg, m)))
		sum += own_lru(m, lru, nid);
	spin_unlock(&memcg_sys.lock);
	return sum;
}

u64 memcg_own_pages(const struct memcg *memcg)
{
	u64 own = memcg_usage(&memcg->memory);
	const struct memcg *c;

	spin_lock(&memcg_sys.lock);
	list_for_each_entry (c, &memcg->children, sibling)
		own -= memcg_usage(&c->memory);
	spin_unlock(&memcg_sys.lock);
	return own;
}

void memcg_event(struct memcg *memcg, enum memcg_event event)
{
	if (memcg)
		__atomic_fetch_add(&memcg->events_local[event], 1,
				   __ATOMIC_RELAXED);
	for (; memcg; memcg = memcg->parent)
		__atomic_fetch_add(&memcg->events[event], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&memcg_sys.root_events[event], 1, __ATOMIC_RELAXED);
	memcg_changed();
}

void memcg_on_change(void (*fn)(void))
{
	WRITE_ONCE(memcg_sys.on_change, fn);
}

void memcg_descendants(u16 id, u32 *online, u32 *dying)
{
	struct memcg *root = memcg_get(id), *m = NULL;

	*online = *dying = 0;
	if (id && !root)
		return;
	spin_lock(&memcg_sys.lock);
	while ((m = memcg_step(root, m)))
		if (m != root)
			++*(m->online ? online : dying);
	spin_unlock(&memcg_sys.lock);
	if (root)
		memcg_put(root, 1);
}

/* MG-1, MG-2 and MG-4 of M. Lock held. */
static void check_one(const struct memcg *m)
{
	s64 below = 0, swap_below = 0, groups = 0, own;
	const struct memcg *c;
	u32 online = 0;

	list_for_each_entry (c, &m->children, sibling) {
		mm_verify(c->parent == m && c->depth == m->depth + 1);
		below += READ_ONCE(c->memory.usage);
		swap_below += READ_ONCE(c->swap.usage);
		online += c->online;
		groups++;
	}
	mm_verify(online == m->nr_children);
	mm_verify(m->online || (!m->nr_tasks && !online));
	own = READ_ONCE(m->refs) - m->online - m->nr_tasks - groups -
	      READ_ONCE(m->own_swap) - READ_ONCE(m->watchers);
	mm_verify(READ_ONCE(m->memory.usage) == below + own);
	mm_verify(READ_ONCE(m->swap.usage) ==
		  swap_below + READ_ONCE(m->own_swap));
	mm_verify(!m->online || m->refs > 0);
	mm_verify(own >= objcg_pages(m));
	objcg_check(&m->objcgs, m);
}

void memcg_check(void)
{
	u32 groups = 0, online = 0, protected = 0;
	struct memcg *m = NULL;

	spin_lock(&memcg_sys.lock);
	while ((m = memcg_step(NULL, m))) {
		check_one(m);
		for (int n = 0; n < MM_MAX_NODES; n++)
			if (m->page.node[n])
				lru_check(&m->page.node[n]->lruvec);
		groups++;
		online += m->online;
		protected += m->min || m->low;
	}
	objcg_check(&memcg_sys.root_objcgs, NULL);
	mm_verify(groups == memcg_sys.nr_groups);
	mm_verify(online == memcg_sys.nr_online);
	mm_verify(protected == memcg_sys.nr_protected);
	spin_unlock(&memcg_sys.lock);
}
