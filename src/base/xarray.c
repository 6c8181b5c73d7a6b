/* SPDX-License-Identifier: MIT */
/*
 * xarray.c - sparse arrays as radix trees of 64-way nodes.
 *
 * 1. Purpose: page cache, swap cache and the like: from a number to a
 *    pointer or a small value, dense runs cheap, with marks to search for.
 * 2. Structure. A node of height h has 64 slots, each covering 64^(h-1)
 *    indices; height 1 holds entries. The tree is as high as its greatest
 *    index needs (11 levels hold 64 bits) and as low as possible.
 *    Per node four words of bits: three marks and "in use". A bit of an inner
 *    node is set when any bit of that row is set in the child.
 * 3. Invariants. No node is empty. A top above height 1 uses a slot other
 *    than 0. The bit rows agree with the slots, and a mark implies "in use".
 *    child->parent and child->offset point back. xa_check() verifies all.
 * 4. Locking: the caller's (see the header). Nodes are not kept for lockless
 *    readers: an emptied node may be freed at once.
 * 5. Memory. A store says beforehand how many nodes it takes (0..20) and
 *    either has them all or changes nothing. Erasing gives nodes back.
 * 6. Cost: one cache line per level for a load; 584 bytes a node, 9.1
 *    bytes an entry when dense. A search skips absent parts by ctz.
 * 7. Rejected: growing inside a store (an allocation under the lock, or a
 *    hidden pool); hashing (no ranges, no marks); B+ trees (denser for
 *    random keys, but a split is harder to pay for beforehand).
 */
#include "base/xarray.h"

#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/string.h"

/* Digits of INDEX below height H have this many bits. */
static inline u32 shift_of(u32 height)
{
	return XA_SHIFT * height;
}

static inline u32 digit(u64 index, u32 height)
{
	return (index >> shift_of(height - 1)) & (XA_SLOTS - 1);
}

/* Greatest index that a tree of HEIGHT holds. */
static inline u64 max_index(u32 height)
{
	return height >= XA_MAX_HEIGHT ? UINT64_MAX : BIT(shift_of(height)) - 1;
}

static inline u32 height_for(u64 index)
{
	return index ? (u32)DIV_ROUND_UP(fls64(index), XA_SHIFT) : 1;
}

/* INDEX with digit D at HEIGHT and zeros below. */
static inline u64 with_digit(u64 index, u32 height, u32 d)
{
	u64 above = height >= XA_MAX_HEIGHT
			    ? 0
			    : index >> shift_of(height) << shift_of(height);

	return above | (u64)d << shift_of(height - 1);
}

/* ---- nodes in stock ---------------------------------------------------------
 */

static void preload_put(struct xa_preload *pl, struct xa_node *node)
{
	mm_verify(pl);
	node->parent = pl->nodes;
	pl->nodes = node;
	pl->nr++;
}

/* A zeroed node of HEIGHT for XA from the stock, which has one. */
static struct xa_node *preload_take(struct xarray *xa, struct xa_preload *pl,
				    u32 height)
{
	struct xa_node *node = pl->nodes;

	mm_verify(pl->nr > 0 && node);
	pl->nodes = node->parent;
	pl->nr--;
	mm_memset(node, 0, sizeof(*node));
	node->height = (u8)height;
	node->array = xa;
	return node;
}

int xa_preload_fill(struct xa_preload *pl, u32 nr)
{
	while (pl->nr < nr) {
		struct xa_node *node = pl->alloc(pl->arg, sizeof(*node));

		if (!node)
			return -ENOMEM;
		preload_put(pl, node);
	}
	return 0;
}

void xa_preload_drain(struct xa_preload *pl)
{
	while (pl->nodes) {
		struct xa_node *node = pl->nodes;

		pl->nodes = node->parent;
		pl->nr--;
		pl->free(pl->arg, node);
	}
	mm_assert_eq(pl->nr, 0);
}

/* ---- finding the way
 * ---------------------------------------------------------- */

/* The height-1 node of INDEX, or NULL. */
static struct xa_node *find_leaf(const struct xarray *xa, u64 index)
{
	struct xa_node *node = xa->top;

	if (!node || index > max_index(node->height))
		return NULL;
	while (node && node->height > 1)
		node = node->slots[digit(index, node->height)];
	return node;
}

void *xa_load(const struct xarray *xa, u64 index)
{
	struct xa_node *leaf = find_leaf(xa, index);

	return leaf ? leaf->slots[digit(index, 1)] : NULL;
}

u32 xa_nodes_needed(const struct xarray *xa, u64 index)
{
	const struct xa_node *node = xa->top;
	u32 want = height_for(index), height;

	if (!node)
		return want;
	if (node->height < want)
		return want - node->height + want - 1;
	do {
		height = node->height;
		if (height == 1)
			return 0;
		node = node->slots[digit(index, height)];
	} while (node);
	return height - 1;
}

/* ---- bit rows
 * ------------------------------------------------------------------ */

static void row_set(struct xa_node *node, u32 slot, u32 row)
{
	while (node && !(node->marks[row] & BIT(slot))) {
		node->marks[row] |= BIT(slot);
		slot = node->offset;
		node = node->parent;
	}
}

/* Clear the bit, and those above that stood for it alone. */
static void row_clear(struct xa_node *node, u32 slot, u32 row)
{
	while (node) {
		node->marks[row] &= ~BIT(slot);
		if (node->marks[row])
			return;
		slot = node->offset;
		node = node->parent;
	}
}

/* ---- change
 * --------------------------------------------------------------------- */

/* Hang CHILD, with its bit rows, into PARENT. */
static void adopt(struct xa_node *parent, u32 slot, struct xa_node *child)
{
	mm_assert(!parent->slots[slot] && parent->height == child->height + 1);
	child->parent = parent;
	child->offset = (u8)slot;
	parent->slots[slot] = child;
	for (u32 row = 0; row <= XA_NR_MARKS; row++) {
		if (child->marks[row])
			parent->marks[row] |= BIT(slot);
	}
}

/* Make the way to INDEX; PL has xa_nodes_needed() nodes. Returns the leaf. */
static struct xa_node *make_leaf(struct xarray *xa, u64 index,
				 struct xa_preload *pl)
{
	struct xa_node *node;

	if (!xa->top)
		xa->top = preload_take(xa, pl, height_for(index));
	while (index > max_index(xa->top->height)) {
		node = preload_take(xa, pl, xa->top->height + 1u);
		adopt(node, 0, xa->top);
		xa->top = node;
	}
	node = xa->top;
	while (node->height > 1) {
		u32 slot = digit(index, node->height);

		if (!node->slots[slot])
			adopt(node, slot,
			      preload_take(xa, pl, node->height - 1u));
		node = node->slots[slot];
	}
	return node;
}

/* ENTRY (NULL: none) takes the place of what SLOT of LEAF holds. */
static void put_entry(struct xarray *xa, struct xa_node *leaf, u32 slot,
		      void *entry)
{
	leaf->nr_values -= xa_is_value(leaf->slots[slot]);
	leaf->nr_values += xa_is_value(entry);
	leaf->slots[slot] = entry;
	if (xa->update)
		xa->update(xa, leaf);
}

int xa_store(struct xarray *xa, u64 index, void *entry, struct xa_preload *pl)
{
	struct xa_node *leaf;
	u32 need, slot = digit(index, 1);

	mm_verify(!((u64)entry & 2));
	if (!entry) {
		xa_erase(xa, index, pl);
		return 0;
	}
	need = xa_nodes_needed(xa, index);
	mm_assert_le(need, XA_PRELOAD_MAX);
	if (need && (!pl || pl->nr < need))
		return -ENOMEM;
	leaf = make_leaf(xa, index, pl);
	if (!leaf->slots[slot]) {
		xa->count++;
		row_set(leaf, slot, XA_PRESENT);
	}
	put_entry(xa, leaf, slot, entry);
	return 0;
}

int xa_insert(struct xarray *xa, u64 index, void *entry, struct xa_preload *pl)
{
	if (xa_load(xa, index))
		return -EBUSY;
	return xa_store(xa, index, entry, pl);
}

/* Take away empty nodes from LEAF upwards, then needless ones at the top. */
static void prune(struct xarray *xa, struct xa_node *leaf,
		  struct xa_preload *pl)
{
	struct xa_node *node = leaf;

	while (node && !node->marks[XA_PRESENT]) {
		struct xa_node *parent = node->parent;

		if (parent)
			parent->slots[node->offset] = NULL;
		else
			xa->top = NULL;
		mm_assert(!node->listed);
		preload_put(pl, node);
		node = parent;
	}
	while (xa->top && xa->top->height > 1 &&
	       xa->top->marks[XA_PRESENT] == 1) {
		node = xa->top;
		xa->top = node->slots[0];
		xa->top->parent = NULL;
		preload_put(pl, node);
	}
}

/* SLOT of LEAF, which has an entry, counts as empty. */
static void row_clear_all(struct xarray *xa, struct xa_node *leaf, u32 slot)
{
	for (u32 row = 0; row <= XA_NR_MARKS; row++) {
		if (leaf->marks[row] & BIT(slot))
			row_clear(leaf, slot, row);
	}
	mm_verify(xa->count > 0);
	xa->count--;
}

void *xa_erase(struct xarray *xa, u64 index, struct xa_preload *pl)
{
	struct xa_node *leaf = find_leaf(xa, index);
	u32 slot = digit(index, 1);
	void *entry = leaf ? leaf->slots[slot] : NULL;

	if (!entry)
		return NULL;
	row_clear_all(xa, leaf, slot);
	put_entry(xa, leaf, slot, NULL);
	prune(xa, leaf, pl);
	return entry;
}

u32 xa_erase_leaf(struct xarray *xa, struct xa_node *leaf,
		  struct xa_preload *pl)
{
	u32 n = 0;

	mm_assert(leaf->height == 1 && leaf->array == xa);
	for (; leaf->marks[XA_PRESENT]; n++) {
		u32 slot = __ffs(leaf->marks[XA_PRESENT]);

		row_clear_all(xa, leaf, slot);
		leaf->slots[slot] = NULL;
	}
	leaf->nr_values = 0;
	if (xa->update)
		xa->update(xa, leaf);
	prune(xa, leaf, pl);
	return n;
}

void xa_destroy(struct xarray *xa, struct xa_preload *pl)
{
	struct xa_node *node = xa->top;

	while (node) {
		struct xa_node *parent = node->parent;

		if (node->height > 1 && node->marks[XA_PRESENT]) {
			u32 slot = __ffs(node->marks[XA_PRESENT]);

			node->marks[XA_PRESENT] &= ~BIT(slot);
			node = node->slots[slot];
			continue;
		}
		mm_assert(!node->listed);
		preload_put(pl, node);
		node = parent;
	}
	xa->count = 0;
	xa->top = NULL;
}

/* ---- search
 * ----------------------------------------------------------------------- */

/* The leaf and, in *INDEX, the number of what xa_find() finds; NULL: none. */
static const struct xa_node *find_slot(const struct xarray *xa, u64 *index,
				       u64 max, enum xa_mark filter)
{
	const struct xa_node *node = xa->top;
	u64 at = *index;
	u32 from;

	mm_assert(filter <= XA_PRESENT);
	if (!node || at > max_index(node->height))
		return NULL;
	from = digit(at, node->height);
	while (node) {
		u64 row = node->marks[filter];
		u32 slot;

		row = from < XA_SLOTS ? row & (~0UL << from) : 0;
		if (!row) {
			from = node->offset + 1u;
			node = node->parent;
			continue;
		}
		slot = __ffs(row);
		if (slot != digit(at, node->height))
			at = with_digit(at, node->height, slot);
		if (at > max)
			return NULL;
		if (node->height == 1) {
			*index = at;
			return node;
		}
		node = node->slots[slot];
		from = digit(at, node->height);
	}
	return NULL;
}

void *xa_find(const struct xarray *xa, u64 *index, u64 max, enum xa_mark filter)
{
	const struct xa_node *leaf = find_slot(xa, index, max, filter);

	return leaf ? leaf->slots[digit(*index, 1)] : NULL;
}

u32 xa_extract(const struct xarray *xa, u64 *index, u64 max,
	       enum xa_mark filter, void **entries, u32 nr)
{
	u64 at = *index, base, row;
	const struct xa_node *leaf;
	u32 n = 0;

	mm_assert(max < UINT64_MAX);
	leaf = nr ? find_slot(xa, &at, max, filter) : NULL;
	if (!leaf)
		return 0;
	base = at & ~(u64)(XA_SLOTS - 1);
	row = leaf->marks[filter] & (~0UL << (at - base));
	if (max - base < XA_SLOTS - 1)
		row &= ~(~0UL << (max - base + 1));
	for (; row && n < nr; row &= row - 1) {
		u32 slot = __ffs(row);

		entries[n++] = leaf->slots[slot];
		*index = base + slot + 1;
	}
	return n;
}

void *xa_find_after(const struct xarray *xa, u64 *index, u64 max,
		    enum xa_mark filter)
{
	u64 at = *index + 1;
	void *entry;

	if (at == 0)
		return NULL;
	entry = xa_find(xa, &at, max, filter);
	if (entry)
		*index = at;
	return entry;
}

/* ---- marks
 * ------------------------------------------------------------------------ */

void xa_set_mark(struct xarray *xa, u64 index, enum xa_mark mark)
{
	struct xa_node *leaf = find_leaf(xa, index);

	mm_assert(mark < XA_NR_MARKS);
	if (leaf && leaf->slots[digit(index, 1)])
		row_set(leaf, digit(index, 1), mark);
}

void xa_clear_mark(struct xarray *xa, u64 index, enum xa_mark mark)
{
	struct xa_node *leaf = find_leaf(xa, index);

	mm_assert(mark < XA_NR_MARKS);
	if (leaf && leaf->marks[mark] & BIT(digit(index, 1)))
		row_clear(leaf, digit(index, 1), mark);
}

bool xa_get_mark(const struct xarray *xa, u64 index, enum xa_mark mark)
{
	const struct xa_node *leaf = find_leaf(xa, index);

	mm_assert(mark < XA_NR_MARKS);
	return leaf && (leaf->marks[mark] & BIT(digit(index, 1))) != 0;
}

bool xa_marked(const struct xarray *xa, enum xa_mark mark)
{
	return xa->top && xa->top->marks[mark] != 0;
}

/* ---- check
 * ------------------------------------------------------------------------ */

/* Slot SLOT of NODE agrees with the bit rows; entries are counted. */
static bool check_slot(const struct xa_node *node, u32 slot, u64 *entries)
{
	bool used = (node->marks[XA_PRESENT] & BIT(slot)) != 0;
	const struct xa_node *child = node->slots[slot];

	if (used != (child != NULL))
		return false;
	if (node->height == 1) {
		*entries += used;
		return true;
	}
	if (!child)
		return true;
	if (child->parent != node || child->offset != slot ||
	    child->height + 1 != node->height)
		return false;
	for (u32 row = 0; row <= XA_NR_MARKS; row++) {
		bool bit = (node->marks[row] & BIT(slot)) != 0;

		if (bit != (child->marks[row] != 0))
			return false;
	}
	return true;
}

/* NODE and all below it; depth is bounded by the heights. */
static bool check_node(const struct xarray *xa, const struct xa_node *node,
		       u64 *entries)
{
	u32 values = 0;

	if (!node->marks[XA_PRESENT] || node->array != xa)
		return false;
	for (u32 row = 0; row < XA_NR_MARKS; row++) {
		if (node->marks[row] & ~node->marks[XA_PRESENT])
			return false;
	}
	for (u32 slot = 0; slot < XA_SLOTS; slot++) {
		if (!check_slot(node, slot, entries))
			return false;
		if (node->height > 1 && node->slots[slot] &&
		    !check_node(xa, node->slots[slot], entries))
			return false;
		values += node->height == 1 && xa_is_value(node->slots[slot]);
	}
	return values == node->nr_values;
}

bool xa_check(const struct xarray *xa)
{
	u64 entries = 0;

	if (!xa->top)
		return xa->count == 0;
	if (xa->top->parent || xa->top->height > XA_MAX_HEIGHT)
		return false;
	if (xa->top->height > 1 && xa->top->marks[XA_PRESENT] == 1)
		return false;
	return check_node(xa, xa->top, &entries) && entries == xa->count;
}
