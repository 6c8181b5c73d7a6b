/* SPDX-License-Identifier: MIT */
/*
 * xarray.h - a sparse array of entries, indexed by u64.
 *
 * An entry is a pointer aligned to 4 bytes or more, or a value of 62 bits
 * (xa_mk_value). NULL means absent. Each present entry has three marks that
 * can be searched for.
 *
 * No locking of its own: every function, the loads too, needs the caller's
 * lock over the array (shared is enough for those that take a const array).
 *
 * No allocation of its own: a store that must grow the tree takes nodes from
 * a struct xa_preload, filled beforehand where sleeping is allowed; an erase
 * gives the nodes that became empty back to it. The usual pattern:
 *
 *	struct xa_preload pl = XA_PRELOAD_INIT(node_alloc, node_free, arg);
 *	do {
 *		err = xa_preload_fill(&pl, need);      // no lock held
 *		if (err) break;
 *		lock();
 *		err = xa_store(&xa, index, entry, &pl);
 *		need = err ? xa_nodes_needed(&xa, index) : 0;
 *		unlock();
 *	} while (err == -ENOMEM);
 *	xa_preload_drain(&pl);                         // frees what is left
 *
 * XA_PRELOAD_MAX nodes always suffice, so filling that many needs no loop.
 */
#ifndef MM_BASE_XARRAY_H
#define MM_BASE_XARRAY_H

#include "base/assert.h"
#include "base/bitops.h"
#include "base/list.h"

#define XA_SHIFT      6
#define XA_SLOTS      (1u << XA_SHIFT)
#define XA_MAX_HEIGHT 11 /* 64 bits of index, 6 a level */
#define XA_NR_MARKS   3
/* Growing from height 1 to the full one, then a new path below the root. */
#define XA_PRELOAD_MAX (2 * XA_MAX_HEIGHT - 2)

enum xa_mark {
	XA_MARK_0 = 0,
	XA_MARK_1 = 1,
	XA_MARK_2 = 2,
	XA_PRESENT = 3, /* as a search filter: any present entry */
};

/* One level of the tree; the caller only allocates and frees it. */
struct xa_node {
	struct xa_node *parent; /* in a preload: the next node */
	u8 height;		/* 1: slots hold entries */
	u8 offset;		/* slot in parent */
	u8 nr_values;		/* of height 1: slots that hold a value */
	bool listed;		/* the owner's, as is link; false when new */
	struct xarray *array;	/* it is part of this one */
	struct list_head link;
	/* Bit per slot, for a child: any below it; the last row is "in use". */
	u64 marks[XA_NR_MARKS + 1];
	void *slots[XA_SLOTS];
};

struct xarray {
	struct xa_node *top; /* NULL: empty */
	u64 count;	     /* entries present */
	/*
	 * NULL, or: LEAF, a node of height 1, has one entry more or less, or a
	 * page where a value was, or the other way round. With none left it is
	 * about to go. Under the caller's lock; changes nothing of the array.
	 */
	void (*update)(struct xarray *xa, struct xa_node *leaf);
};

#define XARRAY_INIT ((struct xarray){NULL, 0, NULL})

/* A stock of nodes. Owned by one thread at a time. */
struct xa_preload {
	struct xa_node *nodes;
	u32 nr;
	/* Memory for one node, or NULL. May sleep if the caller of fill may. */
	void *(*alloc)(void *arg, size_t size);
	void (*free)(void *arg, void *node);
	void *arg;
};

#define XA_PRELOAD_INIT(alloc_fn, free_fn, cb_arg)                      \
	{                                                               \
		.alloc = (alloc_fn), .free = (free_fn), .arg = (cb_arg) \
	}

/* V must fit in 62 bits. */
static inline void *xa_mk_value(u64 v)
{
	mm_assert(v >> 62 == 0);
	return (void *)(v << 2 | 1);
}

static inline bool xa_is_value(const void *entry)
{
	return ((u64)entry & 3) == 1;
}

static inline u64 xa_to_value(const void *entry)
{
	mm_assert(xa_is_value(entry));
	return (u64)entry >> 2;
}

static inline void xa_init(struct xarray *xa)
{
	*xa = XARRAY_INIT;
}

static inline bool xa_empty(const struct xarray *xa)
{
	return !xa->top;
}

/*
 * xa_preload_fill: bring PL's stock to at least NR nodes.
 * Context: as PL's alloc callback. Returns 0, or -ENOMEM with the stock as
 * far as it went (drain it or try again).
 */
int xa_preload_fill(struct xa_preload *pl, u32 nr) MM_MUST_CHECK;

/* xa_preload_drain: give all of PL's nodes to its free callback. */
void xa_preload_drain(struct xa_preload *pl);

/*
 * xa_nodes_needed: nodes that xa_store() at INDEX would take now; 0 when it
 * would overwrite or has its leaf already. At most XA_PRELOAD_MAX.
 */
u32 xa_nodes_needed(const struct xarray *xa, u64 index);

/* xa_load: the entry at INDEX, or NULL. */
void *xa_load(const struct xarray *xa, u64 index);

/*
 * xa_store: put ENTRY at INDEX, replacing what is there; marks of a replaced
 * entry stay, a new one has none. NULL erases. PL may be NULL if no node is
 * needed and ENTRY is not NULL. Returns 0, or -ENOMEM with the array
 * unchanged when PL holds fewer than xa_nodes_needed() nodes.
 */
int xa_store(struct xarray *xa, u64 index, void *entry,
	     struct xa_preload *pl) MM_MUST_CHECK;

/* xa_insert: as xa_store(), but -EBUSY if an entry is present. */
int xa_insert(struct xarray *xa, u64 index, void *entry,
	      struct xa_preload *pl) MM_MUST_CHECK;

/*
 * xa_erase: remove and return the entry at INDEX (NULL if none). Nodes that
 * become empty go to PL's stock, for the caller to drain when it may.
 */
void *xa_erase(struct xarray *xa, u64 index, struct xa_preload *pl);

/*
 * xa_erase_leaf: remove all entries of LEAF, a node of height 1 of XA. How many
 * there were; nodes go to PL's stock, LEAF first.
 */
u32 xa_erase_leaf(struct xarray *xa, struct xa_node *leaf,
		  struct xa_preload *pl);

/* xa_node_full_of_values: LEAF holds values, and nothing else. */
static inline bool xa_node_full_of_values(const struct xa_node *leaf)
{
	return leaf->nr_values &&
	       leaf->nr_values == hweight64(leaf->marks[XA_PRESENT]);
}

/* xa_destroy: forget all entries; all nodes go to PL's stock. No update() is
 * called, and no node may be listed. O(nodes). */
void xa_destroy(struct xarray *xa, struct xa_preload *pl);

/*
 * xa_find: first entry at or above *INDEX, up to MAX inclusive, that has the
 * mark FILTER (XA_PRESENT: any). Returns it and sets *INDEX, or returns NULL
 * and leaves *INDEX alone.
 */
void *xa_find(const struct xarray *xa, u64 *index, u64 max,
	      enum xa_mark filter);

/* xa_find_after: the same, strictly above *INDEX. */
void *xa_find_after(const struct xarray *xa, u64 *index, u64 max,
		    enum xa_mark filter);

/*
 * xa_extract: up to NR entries with the mark FILTER at or above *INDEX, up to
 * MAX (below UINT64_MAX), lowest first, into ENTRIES. Stops early, but not
 * before the first, where a node ends. Returns how many and moves *INDEX
 * behind the last; 0, and *INDEX as it was: there are none.
 */
u32 xa_extract(const struct xarray *xa, u64 *index, u64 max,
	       enum xa_mark filter, void **entries, u32 nr);

/* Marks of the entry at INDEX; setting has no effect where none is present. */
void xa_set_mark(struct xarray *xa, u64 index, enum xa_mark mark);
void xa_clear_mark(struct xarray *xa, u64 index, enum xa_mark mark);
bool xa_get_mark(const struct xarray *xa, u64 index, enum xa_mark mark);

/* xa_marked: does any entry have MARK? O(1). */
bool xa_marked(const struct xarray *xa, enum xa_mark mark);

/* xa_check: walk the tree; true if counts, marks and links agree. O(n). */
bool xa_check(const struct xarray *xa);

/* INDEX is a u64 lvalue. The body may erase the current entry. */
#define xa_for_each_range(xa, index, entry, start, last)                     \
	for (index = (start), entry = xa_find(xa, &index, last, XA_PRESENT); \
	     entry; entry = xa_find_after(xa, &index, last, XA_PRESENT))
#define xa_for_each(xa, index, entry) \
	xa_for_each_range(xa, index, entry, 0, UINT64_MAX)
#define xa_for_each_marked(xa, index, entry, filter)                     \
	for (index = 0, entry = xa_find(xa, &index, UINT64_MAX, filter); \
	     entry; entry = xa_find_after(xa, &index, UINT64_MAX, filter))

#endif
