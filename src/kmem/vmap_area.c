/* SPDX-License-Identifier: MIT */
/*
 * vmap_area.c - who has which addresses of the kernel's vmalloc space.
 *
 * 1. Purpose. Give out ranges of addresses, page by page, in O(log n), and
 *    take them back such that no CPU can still reach what was there.
 *
 * 2. Structures.
 *
 *      free tree (by address, with the largest size below each node) --+
 *            ^ flush, merge                         | lowest that fits |
 *            |                                      v                  |
 *      purge list  <--- unmapped ---  busy tree (by address) <---------+
 *
 *    Each area is one object, struct vm_struct, in all three states, so
 *    giving back needs no memory. Free and busy areas are also in lists in
 *    order of address, where neighbours are found: the next area that is put
 *    in is mostly behind the last one, and the next that is taken out next to
 *    it, so the place where the list of busy ones changed last is looked at
 *    before the tree is. What comes behind all busy areas is in the list alone
 *    until somebody must search: what goes in the order in which it came, or
 *    in the opposite one, never sees the tree.
 *
 * 3. Invariants.
 *    VA-1  Free, busy and waiting areas are disjoint, not empty, whole pages.
 *          Together with those that are just being unmapped they are all of
 *          [start, end).
 *    VA-2  No two free areas touch.
 *    VA-3  subtree_max_size of a free area is the largest size in its subtree.
 *    VA-4  An address goes from the purge list to the free tree only after a
 *          flush on all CPUs that began when it was on the list.
 *    VA-5  near is in the list of busy areas, or its head.
 *    VA-6  From late on (the list's head: none) busy areas are not in the tree,
 *          at most VMAP_LATE_MAX; all before it are.
 *
 * 4. Locking. The lock, for trees and lists; nothing is allocated, flushed or
 *    freed under it. The purge mutex is held over a flush and the merging of
 *    what it covers, so that who finds the space exhausted waits for a purge
 *    that is under way. Purge mutex before lock.
 *
 * 5. Life. The lowest range that fits is cut from a free area: all of it, its
 *    left end, its right end, or from the middle; only then a node more is
 *    needed, and it is allocated before. Freed areas collect until they are
 *    lazy_max pages (one that touches the last joins it: its object is free at
 *    once; 32 MiB times the bits of the number of CPUs, as Linux
 *    documents), then one flush serves all.
 *
 * 6. Failure. No node: -ENOMEM. No addresses: purge, search again, -ENOSPC.
 *    Giving back cannot fail.
 *
 * 7. Cost. Search: with an alignment above a page first for a free area that
 *    holds the size wherever it begins: one way down the tree. Only when there
 *    is none, areas that may hold it by luck are looked at one by one.
 *
 * 8. Rejected. Two objects for an area and its user's data, as Linux has: two
 *    allocations each time. Two locks for free and busy: one pair more each
 *    time, and the work under either is a few nodes. Best fit: leaves crumbs
 *    everywhere; lowest fit keeps the page tables that are needed few.
 *
 * References: T. Cormen et al., "Introduction to Algorithms", 14 (augmented
 * trees); Linux documentation, admin-guide/kernel-parameters (vmalloc=).
 */
#include "kmem/vmap_area.h"

#include <mmkit/errno.h>
#include <mmkit/port.h>
#include <mmkit/slab.h>

#include "base/bitops.h"
#include "base/fail.h"
#include "base/printk.h"
#include "kmem/slab.h"

#define LAZY_BYTES	(32UL << 20)
#define VM_STRUCT_ALIGN 128
#define PURGE_BATCH	64 /* areas merged under the lock at a time */

static inline struct vmap_areas *areas(void)
{
	return &kmem_sys.vm.areas;
}

static inline u64 area_size(const struct vmap_area *va)
{
	return va->va_end - va->va_start;
}

static inline struct vm_struct *to_vm(struct vmap_area *va)
{
	return container_of(va, struct vm_struct, va);
}

RB_DECLARE_CALLBACKS_MAX(static, free_callbacks, struct vmap_area, rb_node, u64,
			 subtree_max_size, area_size);

static inline struct vmap_area *entry(struct rb_node *node)
{
	return rb_entry(node, struct vmap_area, rb_node);
}

static inline u64 subtree_max(struct rb_node *node)
{
	return node ? entry(node)->subtree_max_size : 0;
}

/* ---- finding
 * ------------------------------------------------------------------------ */

/* Where VA's range begins if it serves WANT; false if it does not fit. */
static bool fits(const struct vmap_area *va, const struct vmap_want *want,
		 kva_t *at)
{
	kva_t low = max(va->va_start, want->start);

	*at = ALIGN(low, want->align);
	/* Against the end of the address space: sizes, not ends. */
	return *at >= low && *at < va->va_end &&
	       want->size <= va->va_end - *at && *at <= want->end &&
	       want->size <= want->end - *at;
}

/*
 * The lowest free area below NODE that serves WANT, among those of at least
 * LENGTH bytes.
 */
static struct vmap_area *lowest_below(struct rb_node *node, u64 length,
				      const struct vmap_want *want, kva_t *at)
{
	struct vmap_area *found;

	while (node && subtree_max(node) >= length) {
		struct vmap_area *va = entry(node);

		if (va->va_start > want->start) {
			found = lowest_below(node->left, length, want, at);
			if (found)
				return found;
		}
		if (area_size(va) >= length && fits(va, want, at))
			return va;
		if (va->va_end >= want->end)
			return NULL;
		node = node->right;
	}
	return NULL;
}

/* The everyday case: anywhere, any page. Every area that is large enough does.
 */
static struct vmap_area *lowest_anywhere(u64 size)
{
	struct rb_node *node = areas()->free.rb_node;

	if (subtree_max(node) < size)
		return NULL;
	for (;;) {
		if (subtree_max(node->left) >= size)
			node = node->left;
		else if (area_size(entry(node)) >= size)
			return entry(node);
		else
			node = node->right;
	}
}

static struct vmap_area *lowest(const struct vmap_want *want, kva_t *at)
{
	struct rb_node *root = areas()->free.rb_node;
	struct vmap_area *va = NULL;

	if (want->align == PAGE_SIZE && want->start == areas()->start &&
	    want->end == areas()->end) {
		va = lowest_anywhere(want->size);
		if (va)
			*at = va->va_start;
		return va;
	}
	if (want->size <= UINT64_MAX - want->align)
		va = lowest_below(root, want->size + want->align - PAGE_SIZE,
				  want, at);
	return va ? va : lowest_below(root, want->size, want, at);
}

static inline struct vmap_area *busy_area(struct list_head *at)
{
	return list_entry(at, struct vmap_area, list);
}

/* The first area that is not in the tree, whose place is at its end, goes in.
 */
static void index_one(struct vmap_areas *a)
{
	struct vmap_area *va = busy_area(a->late);
	struct rb_node *parent = NULL, **link = &a->busy.rb_node;

	if (va->list.prev != &a->busy_list) {
		parent = &busy_area(va->list.prev)->rb_node;
		link = &parent->right;
	}
	mm_assert(!*link);
	rb_link_node(&va->rb_node, parent, link);
	rb_insert_color(&va->rb_node, &a->busy);
	a->late = va->list.next;
	a->nr_late--;
}

/* Somebody searches: all busy areas are in the tree. Lock held. */
static void index_late(void)
{
	struct vmap_areas *a = areas();

	assert_spin_locked(&a->lock);
	while (a->nr_late)
		index_one(a);
}

struct vm_struct *vmap_area_next(kva_t va)
{
	struct vmap_area *best = NULL;
	struct rb_node *node;

	index_late();
	node = areas()->busy.rb_node;
	while (node) {
		struct vmap_area *a = entry(node);

		if (a->va_end > va) {
			best = a;
			if (a->va_start <= va)
				break;
			node = node->left;
		} else {
			node = node->right;
		}
	}
	return best ? to_vm(best) : NULL;
}

struct vm_struct *vmap_area_find(kva_t va)
{
	struct vm_struct *vm = vmap_area_next(va);

	return vm && vm->va.va_start <= va ? vm : NULL;
}

/* ---- putting in and taking out; lock held
 * ----------------------------------------------- */

/* Where a new node goes, and its neighbours in the list. */
struct place {
	struct rb_node *parent, **link;
	struct list_head *prev, *next;
};

static void find_place(struct rb_root *root, struct list_head *list,
		       const struct vmap_area *va, struct place *p)
{
	struct vmap_area *at = NULL;

	p->parent = NULL;
	p->link = &root->rb_node;
	while (*p->link) {
		p->parent = *p->link;
		at = entry(p->parent);
		if (va->va_end <= at->va_start) {
			p->link = &p->parent->left;
		} else {
			mm_verify(va->va_start >= at->va_end);
			p->link = &p->parent->right;
		}
	}
	if (!at) {
		p->prev = p->next = list;
	} else if (p->link == &p->parent->left) {
		p->next = &at->list;
		p->prev = at->list.prev;
	} else {
		p->prev = &at->list;
		p->next = at->list.next;
	}
}

/*
 * find_place() if VA comes where the list of busy areas changed last. Of two
 * neighbours in order one has no child towards the other.
 */
static bool near_place(const struct vmap_area *va, struct place *p)
{
	struct vmap_areas *a = areas();
	struct list_head *list = &a->busy_list, *prev = a->near;
	struct list_head *next = prev->next;
	struct vmap_area *low = busy_area(prev), *high = busy_area(next);

	if ((prev != list && low->va_end > va->va_start) ||
	    (next != list && high->va_start < va->va_end))
		return false;
	p->prev = prev;
	p->next = next;
	if (prev != list && !low->rb_node.right) {
		p->parent = &low->rb_node;
		p->link = &low->rb_node.right;
	} else if (next != list) {
		p->parent = &high->rb_node;
		p->link = &high->rb_node.left;
	} else {
		p->parent = NULL;
		p->link = &a->busy.rb_node;
	}
	mm_assert(!*p->link);
	return true;
}

/* VA comes behind all busy areas. */
static void insert_late(struct vmap_areas *a, struct vmap_area *va)
{
	RB_CLEAR_NODE(&va->rb_node);
	list_link(&va->list, a->busy_list.prev, &a->busy_list);
	a->near = &va->list;
	a->nr_busy++;
	if (!a->nr_late++)
		a->late = &va->list;
	else if (unlikely(a->nr_late > VMAP_LATE_MAX))
		index_one(a);
}

static void insert_busy(struct vmap_area *va)
{
	struct vmap_areas *a = areas();
	struct list_head *last = a->busy_list.prev;
	struct place p;

	if (last == &a->busy_list || busy_area(last)->va_end <= va->va_start) {
		insert_late(a, va);
		return;
	}
	index_late();
	if (!near_place(va, &p))
		find_place(&a->busy, &a->busy_list, va, &p);
	a->near = &va->list;
	rb_link_node(&va->rb_node, p.parent, p.link);
	rb_insert_color(&va->rb_node, &a->busy);
	list_link(&va->list, p.prev, p.next);
	a->nr_busy++;
}

static void erase_busy(struct vmap_area *va)
{
	struct vmap_areas *a = areas();

	a->near = va->list.prev;
	if (!RB_EMPTY_NODE(&va->rb_node)) {
		rb_erase(&va->rb_node, &a->busy);
	} else {
		a->nr_late--;
		if (a->late == &va->list)
			a->late = va->list.next;
	}
	list_del(&va->list);
	a->nr_busy--;
}

static void insert_free_at(struct vmap_area *va, const struct place *p)
{
	struct vmap_areas *a = areas();

	va->subtree_max_size = area_size(va);
	rb_link_node(&va->rb_node, p->parent, p->link);
	rb_insert_augmented(&va->rb_node, &a->free, &free_callbacks);
	list_link(&va->list, p->prev, p->next);
	a->nr_free++;
}

static void insert_free(struct vmap_area *va)
{
	struct place p;

	find_place(&areas()->free, &areas()->free_list, va, &p);
	insert_free_at(va, &p);
}

static void erase_free(struct vmap_area *va)
{
	rb_erase_augmented(&va->rb_node, &areas()->free, &free_callbacks);
	list_del(&va->list);
	areas()->nr_free--;
}

/* VA has changed its size where it stands. */
static void resized(struct vmap_area *va)
{
	mm_assert(va->va_start < va->va_end);
	free_callbacks_propagate(&va->rb_node, NULL);
}

static struct vmap_area *list_area(struct list_head *at)
{
	return at == &areas()->free_list
		       ? NULL
		       : list_entry(at, struct vmap_area, list);
}

/*
 * VA becomes free, joined with free neighbours. Objects that are no longer
 * needed go to UNUSED.
 */
static void merge_free(struct vmap_area *va, struct list_head *unused)
{
	struct vmap_area *prev, *next;
	struct place p;

	find_place(&areas()->free, &areas()->free_list, va, &p);
	mm_assert(p.prev && p.next);
	prev = list_area(p.prev);
	next = list_area(p.next);
	if (next && next->va_start != va->va_end)
		next = NULL;
	if (prev && prev->va_end == va->va_start) {
		kva_t end = va->va_end;

		list_add(&va->list, unused);
		if (next) {
			end = next->va_end;
			erase_free(next);
			list_add(&next->list, unused);
		}
		prev->va_end = end;
		resized(prev);
	} else if (next) {
		next->va_start = va->va_start;
		list_add(&va->list, unused);
		resized(next);
	} else {
		insert_free_at(va, &p);
	}
}

static void free_unused(struct list_head *unused)
{
	struct vmap_area *va, *next;

	list_for_each_entry_safe (va, next, unused, list)
		kmem_cache_free(areas()->cache, to_vm(va));
}

/* ---- giving out
 * -------------------------------------------------------------------------- */

/* [AT, END) leaves the middle of VA: what is right of it needs a node. */
static void split_middle(struct vmap_area *va, kva_t at, kva_t end)
{
	struct vmap_area *right = &areas()->spare->va;

	mm_verify(areas()->spare != NULL);
	areas()->spare = NULL;
	right->va_start = end;
	right->va_end = va->va_end;
	va->va_end = at;
	resized(va);
	insert_free(right);
}

/* [AT, AT + SIZE) leaves VA. Returns an object that is no longer needed. */
static struct vm_struct *cut(struct vmap_area *va, kva_t at, u64 size)
{
	kva_t end = at + size;

	mm_verify(at >= va->va_start && size <= va->va_end - at);
	if (at == va->va_start && end == va->va_end) {
		erase_free(va);
		return to_vm(va);
	}
	if (at == va->va_start) {
		va->va_start = end;
		resized(va);
	} else if (end == va->va_end) {
		va->va_end = at;
		resized(va);
	} else {
		split_middle(va, at, end);
	}
	return NULL;
}

enum try_result { TRY_OK, TRY_FULL, TRY_SPARE };

/* One search. TRY_SPARE: a spare object is missing. */
static enum try_result try_alloc(struct vm_struct *vm,
				 const struct vmap_want *want,
				 struct vm_struct **unused)
{
	struct vmap_areas *a = areas();
	enum try_result result = TRY_FULL;
	struct vmap_area *va;
	kva_t at = 0;

	spin_lock(&a->lock);
	va = lowest(want, &at);
	if (va && !a->spare && at != va->va_start &&
	    at + want->size != va->va_end) {
		result = TRY_SPARE;
	} else if (va) {
		*unused = cut(va, at, want->size);
		vm->va.va_start = at;
		vm->va.va_end = at + want->size;
		insert_busy(&vm->va);
		result = TRY_OK;
	}
	spin_unlock(&a->lock);
	mm_assert_implies(result == TRY_OK, IS_ALIGNED(at, want->align));
	return result;
}

/* A spare object for the next split; 0 or -ENOMEM. */
static int load_spare(gfp_t gfp)
{
	struct vmap_areas *a = areas();
	struct vm_struct *vm =
		kmem_cache_alloc(a->cache, gfp & ~(__GFP_ZERO | __GFP_HIGHMEM));

	if (!vm)
		return -ENOMEM;
	spin_lock(&a->lock);
	if (!a->spare) {
		a->spare = vm;
		vm = NULL;
	}
	spin_unlock(&a->lock);
	if (vm)
		kmem_cache_free(a->cache, vm);
	return 0;
}

static void warn_full(const struct vmap_want *want, gfp_t gfp)
{
	if (gfp & __GFP_NOWARN)
		return;
	pr_warn("vmap allocation for size %llu failed: use vmalloc=<size> to "
		"increase size",
		(unsigned long long)want->size);
}

/* Search, flush once if nothing is found, search again. */
static int alloc_retry(struct vm_struct *vm, const struct vmap_want *want,
		       gfp_t gfp)
{
	struct vm_struct *unused = NULL;
	bool purged = false;

	for (;;) {
		enum try_result r = try_alloc(vm, want, &unused);

		if (unlikely(unused))
			kmem_cache_free(areas()->cache, unused);
		if (r == TRY_OK)
			return 0;
		if (r == TRY_SPARE) {
			if (load_spare(gfp))
				return -ENOMEM;
			continue;
		}
		if (purged)
			return -ENOSPC;
		vm_unmap_aliases();
		purged = true;
	}
}

int vmap_area_alloc(struct vm_struct *vm, const struct vmap_want *want,
		    gfp_t gfp)
{
	int err = -ENOSPC;

	mm_assert(want->size > 0 && IS_ALIGNED(want->size, PAGE_SIZE));
	mm_assert(is_power_of_2(want->align) && want->align >= PAGE_SIZE);
	if (!fail_should(FAIL_VMAP))
		err = alloc_retry(vm, want, gfp);
	if (err == -ENOSPC)
		warn_full(want, gfp);
	return err;
}

/* ---- taking back
 * ------------------------------------------------------------------------- */

/* Does the entry AT of the list of busy areas begin at VA? */
static bool begins_at(struct list_head *at, kva_t va)
{
	return at != &areas()->busy_list && busy_area(at)->va_start == va;
}

/* The busy area that begins at VA; NULL. Lock held. */
static struct vm_struct *find_start(kva_t va)
{
	struct list_head *at = areas()->near;
	struct vm_struct *vm;

	if (!begins_at(at, va))
		at = at->next;
	if (!begins_at(at, va))
		at = areas()->late;
	if (begins_at(at, va))
		return to_vm(busy_area(at));
	vm = vmap_area_find(va);
	return vm && vm->va.va_start == va ? vm : NULL;
}

struct vm_struct *vmap_area_take(kva_t va, u32 any)
{
	struct vm_struct *vm;

	spin_lock(&areas()->lock);
	vm = find_start(va);
	if (vm && (!(vm->flags & any) || (vm->flags & VM_UNINITIALIZED)))
		vm = NULL;
	if (vm)
		erase_busy(&vm->va);
	spin_unlock(&areas()->lock);
	return vm;
}

/* The areas of LIST become free. Lock taken and dropped. */
static void merge_list(struct list_head *list)
{
	struct vmap_areas *a = areas();
	LIST_HEAD(unused);
	u64 pages = 0;
	u32 n;

	while (!list_empty(list)) {
		spin_lock(&a->lock);
		for (n = 0; n < PURGE_BATCH && !list_empty(list); n++) {
			struct vmap_area *va =
				list_first_entry(list, struct vmap_area, list);

			list_del(&va->list);
			pages += area_size(va) >> PAGE_SHIFT;
			merge_free(va, &unused);
		}
		spin_unlock(&a->lock);
	}
	__atomic_sub_fetch(&a->nr_lazy, pages, __ATOMIC_RELAXED);
	free_unused(&unused);
}

/* vmap_purge() with the mutex held. */
static void purge_held(kva_t start, kva_t end)
{
	struct vmap_areas *a = areas();
	struct vmap_area *va;
	LIST_HEAD(list);

	mutex_assert_held(&a->purge);
	spin_lock(&a->lock);
	list_splice_init(&a->purge_list, &list);
	spin_unlock(&a->lock);
	if (start == end) {
		start = UINT64_MAX;
		end = 0;
	}
	list_for_each_entry (va, &list, list) {
		start = min(start, va->va_start);
		end = max(end, va->va_end);
	}
	if (start < end) {
		port_tlb_flush_kernel(start, end);
		a->nr_purges++;
	}
	merge_list(&list);
}

void vmap_purge(kva_t start, kva_t end)
{
	mutex_lock(&areas()->purge);
	purge_held(start, end);
	mutex_unlock(&areas()->purge);
}

/*
 * VA joins what was freed last, if they touch: who allocates and frees in turn
 * leaves one run of addresses, not one object for each. Lock held.
 */
static bool join_last(const struct vmap_area *va)
{
	struct vmap_area *last;

	if (list_empty(&areas()->purge_list))
		return false;
	last = list_last_entry(&areas()->purge_list, struct vmap_area, list);
	if (last->va_end == va->va_start)
		last->va_end = va->va_end;
	else if (last->va_start == va->va_end)
		last->va_start = va->va_start;
	else
		return false;
	return true;
}

void vmap_area_release(struct vm_struct *vm)
{
	struct vmap_areas *a = areas();
	u64 pages = area_size(&vm->va) >> PAGE_SHIFT, lazy;
	bool joined;

	spin_lock(&a->lock);
	joined = join_last(&vm->va);
	if (!joined)
		list_add_tail(&vm->va.list, &a->purge_list);
	lazy = __atomic_add_fetch(&a->nr_lazy, pages, __ATOMIC_RELAXED);
	spin_unlock(&a->lock);
	if (joined)
		kmem_cache_free(a->cache, vm);
	/* Who holds the mutex purges already. */
	if (likely(lazy <= a->lazy_max) || !mutex_trylock(&a->purge))
		return;
	purge_held(0, 0);
	mutex_unlock(&a->purge);
}

void vmap_area_cancel(struct vm_struct *vm)
{
	LIST_HEAD(unused);

	spin_lock(&areas()->lock);
	erase_busy(&vm->va);
	merge_free(&vm->va, &unused);
	spin_unlock(&areas()->lock);
	free_unused(&unused);
}

/* ---- boot, check
 * ------------------------------------------------------------------------ */

int vmap_areas_init(kva_t start, kva_t end)
{
	struct vmap_areas *a = areas();
	struct vm_struct *vm;

	mm_verify(start < end && IS_ALIGNED(start | end, PAGE_SIZE));
	spin_lock_init(&a->lock, LOCK_CLASS_TREE);
	mutex_init(&a->purge, LOCK_CLASS_VMAP_PURGE);
	INIT_LIST_HEAD(&a->free_list);
	INIT_LIST_HEAD(&a->busy_list);
	a->near = a->late = &a->busy_list;
	INIT_LIST_HEAD(&a->purge_list);
	a->start = start;
	a->end = end;
	a->lazy_max = (u64)fls((unsigned int)port_nr_cpus()) *
		      (LAZY_BYTES >> PAGE_SHIFT);
	/* Objects that fill slabs are looked at faster. */
	a->cache = kmem_cache_create("vmap_area", sizeof(struct vm_struct),
				     VM_STRUCT_ALIGN, 0, NULL);
	if (!a->cache)
		return -ENOMEM;
	vm = kmem_cache_alloc(a->cache, GFP_KERNEL);
	if (!vm)
		return -ENOMEM;
	vm->va.va_start = start;
	vm->va.va_end = end;
	insert_free(&vm->va);
	return 0;
}

u64 vmap_largest_free(void)
{
	u64 size;

	spin_lock(&areas()->lock);
	size = subtree_max(areas()->free.rb_node);
	spin_unlock(&areas()->lock);
	return size;
}

/* The areas of LIST are in order, in ROOT, and as many as COUNT; their bytes.
 */
static u64 check_list(const struct list_head *list, const struct rb_root *root,
		      u64 count)
{
	struct rb_node *node = rb_first(root);
	struct vmap_area *va;
	u64 bytes = 0, n = 0;
	kva_t last = 0;

	list_for_each_entry (va, list, list) {
		mm_verify(node == &va->rb_node);
		mm_verify(va->va_start < va->va_end && va->va_start >= last);
		mm_verify(IS_ALIGNED(va->va_start | va->va_end, PAGE_SIZE));
		node = rb_next(node);
		last = va->va_end;
		bytes += area_size(va);
		n++;
	}
	mm_verify(node == NULL && n == count);
	return bytes;
}

static void check_free(void)
{
	struct vmap_area *va;
	kva_t last = 0;

	list_for_each_entry (va, &areas()->free_list, list) {
		u64 most = max(subtree_max(va->rb_node.left),
			       subtree_max(va->rb_node.right));

		mm_verify(va->subtree_max_size == max(most, area_size(va)));
		mm_verify(va->va_start != last);
		last = va->va_end;
	}
}

static void check_near(void)
{
	const struct list_head *list = &areas()->busy_list, *at = list;

	while (at != areas()->near) {
		at = at->next;
		mm_verify(at != list);
	}
}

/* VA-6: they are the end of the list, and not in the tree. */
static void check_late(void)
{
	const struct vmap_areas *a = areas();
	struct list_head *at = a->late;
	u32 n = 0;

	for (; at != &a->busy_list; at = at->next, n++)
		mm_verify(RB_EMPTY_NODE(&busy_area(at)->rb_node));
	mm_verify(n == a->nr_late && n <= VMAP_LATE_MAX);
}

/* No busy area touches a free one's inside: walk both in order. */
static void check_disjoint(void)
{
	struct rb_node *f = rb_first(&areas()->free);
	struct rb_node *b = rb_first(&areas()->busy);

	while (f && b) {
		struct vmap_area *x = entry(f), *y = entry(b);

		mm_verify(x->va_end <= y->va_start || y->va_end <= x->va_start);
		if (x->va_end <= y->va_start)
			f = rb_next(f);
		else
			b = rb_next(b);
	}
}

void vmap_areas_check(void)
{
	struct vmap_areas *a = areas();
	struct vmap_area *va;
	u64 bytes, lazy = 0;

	mutex_lock(&a->purge);
	spin_lock(&a->lock);
	check_late();
	index_late();
	bytes = check_list(&a->free_list, &a->free, a->nr_free);
	bytes += check_list(&a->busy_list, &a->busy, a->nr_busy);
	list_for_each_entry (va, &a->purge_list, list)
		lazy += area_size(va);
	mm_verify(lazy >> PAGE_SHIFT == READ_ONCE(a->nr_lazy));
	mm_verify(bytes + lazy <= a->end - a->start);
	check_free();
	check_near();
	check_disjoint();
	spin_unlock(&a->lock);
	mutex_unlock(&a->purge);
}
