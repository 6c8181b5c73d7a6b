/* SPDX-License-Identifier: MIT */
/*
 * rbtree.h - red-black trees whose nodes live in the objects.
 *
 * Linux's names. The user searches for the place (comparison is in the user's
 * code, so it is inlined), links the node there and lets the tree rebalance:
 *
 *	rb_link_node(&obj->node, parent, link);
 *	rb_insert_color(&obj->node, &root);
 *
 * An augmented tree keeps in each node a value computed from its subtree; the
 * three callbacks keep it right while nodes are moved about.
 *
 * No locks and no memory of its own. Search, insert and erase are O(log n);
 * the height is at most 2 log2(n + 1).
 */
#ifndef MM_BASE_RBTREE_H
#define MM_BASE_RBTREE_H

#include "base/assert.h"

struct rb_node {
	uintptr_t parent_color; /* parent's address | 1 when black */
	struct rb_node *right, *left;
} MM_ALIGNED(sizeof(long));

struct rb_root {
	struct rb_node *rb_node;
};

/* A root that remembers its leftmost node. */
struct rb_root_cached {
	struct rb_root rb_root;
	struct rb_node *rb_leftmost;
};

struct rb_augment_callbacks {
	/* Recompute from NODE upwards, up to but without STOP (NULL: root);
	 * may stop early where a value does not change. */
	void (*propagate)(struct rb_node *node, struct rb_node *stop);
	/* NEW takes OLD's place: copy OLD's subtree value. */
	void (*copy)(struct rb_node *old, struct rb_node *new_node);
	/* NEW has been rotated above OLD: NEW takes OLD's subtree value, OLD
	 * is computed afresh from its children. */
	void (*rotate)(struct rb_node *old, struct rb_node *new_node);
};

#define RB_ROOT	       ((struct rb_root){NULL})
#define RB_ROOT_CACHED ((struct rb_root_cached){{NULL}, NULL})

#define rb_entry(ptr, type, member) container_of(ptr, type, member)
#define rb_entry_safe(ptr, type, member)                  \
	({                                                \
		__typeof__(ptr) rb_ = (ptr);              \
		rb_ ? rb_entry(rb_, type, member) : NULL; \
	})

#define RB_EMPTY_ROOT(root) (READ_ONCE((root)->rb_node) == NULL)
/* A node that is in no tree, if it was cleared so. */
#define RB_EMPTY_NODE(node) ((node)->parent_color == (uintptr_t)(node))
#define RB_CLEAR_NODE(node) ((node)->parent_color = (uintptr_t)(node))

static inline struct rb_node *rb_parent(const struct rb_node *node)
{
	return (struct rb_node *)(node->parent_color & ~(uintptr_t)1);
}

/* rb_set_child: a child link (or the root's) changes, for all to see. */
static inline void rb_set_child(struct rb_node **link, struct rb_node *node)
{
	__atomic_store_n(link, node, __ATOMIC_RELEASE);
}

/*
 * rb_link_node: hang NODE as a red leaf under PARENT at *LINK (a child link
 * of PARENT, or the root's). rb_insert_color() must follow.
 */
static inline void rb_link_node(struct rb_node *node, struct rb_node *parent,
				struct rb_node **link)
{
	mm_assert(!*link);
	mm_assert(!parent || link == &parent->left || link == &parent->right);
	node->parent_color = (uintptr_t)parent;
	node->left = NULL;
	node->right = NULL;
	rb_set_child(link, node);
}

/* rb_insert_color: rebalance after rb_link_node(). Locks: the tree's. */
void rb_insert_color(struct rb_node *node, struct rb_root *root);

/*
 * rb_erase: unlink NODE, which must be in ROOT. NODE's links are left stale;
 * use RB_CLEAR_NODE() where membership is tested. Locks: the tree's.
 */
void rb_erase(struct rb_node *node, struct rb_root *root);

/*
 * rb_insert_augmented: as rb_insert_color() for an augmented tree. NODE's own
 * value must be set; those of its ancestors are brought up to date here (it
 * does no harm if the caller has done so on the way down).
 */
void rb_insert_augmented(struct rb_node *node, struct rb_root *root,
			 const struct rb_augment_callbacks *cb);

/* rb_erase_augmented: as rb_erase(), keeping all values right. */
void rb_erase_augmented(struct rb_node *node, struct rb_root *root,
			const struct rb_augment_callbacks *cb);

/*
 * rb_replace_node: NEW takes VICTIM's place; both must sort alike. VICTIM's
 * links are left stale; augmented values are the caller's to copy.
 */
void rb_replace_node(struct rb_node *victim, struct rb_node *new_node,
		     struct rb_root *root);

/* In-order neighbours; NULL at the ends. */
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);

/* Children before parents, for tearing a tree down without rebalancing. */
struct rb_node *rb_first_postorder(const struct rb_root *root);
struct rb_node *rb_next_postorder(const struct rb_node *node);

/*
 * rb_check: walk the whole tree; true if colours, black heights, parent links
 * and the order are right. CMP(a, b) <= 0 must hold for a before b; NULL
 * leaves the order unchecked. O(n).
 */
bool rb_check(const struct rb_root *root,
	      int (*cmp)(const struct rb_node *a, const struct rb_node *b));

static inline void rb_insert_color_cached(struct rb_node *node,
					  struct rb_root_cached *root,
					  bool leftmost)
{
	if (leftmost)
		root->rb_leftmost = node;
	rb_insert_color(node, &root->rb_root);
}

static inline void rb_erase_cached(struct rb_node *node,
				   struct rb_root_cached *root)
{
	if (root->rb_leftmost == node)
		root->rb_leftmost = rb_next(node);
	rb_erase(node, &root->rb_root);
}

#define rb_first_cached(root) ((root)->rb_leftmost)

/* rb_add: insert NODE, after its equals. LESS(a, b): a sorts before b. */
static inline void rb_add(struct rb_node *node, struct rb_root *tree,
			  bool (*less)(struct rb_node *,
				       const struct rb_node *))
{
	struct rb_node **link = &tree->rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = less(node, parent) ? &parent->left : &parent->right;
	}
	rb_link_node(node, parent, link);
	rb_insert_color(node, tree);
}

/* rb_find: a node with CMP(key, node) == 0, or NULL. */
static inline struct rb_node *
rb_find(const void *key, const struct rb_root *tree,
	int (*cmp)(const void *key, const struct rb_node *))
{
	struct rb_node *node = tree->rb_node;

	while (node) {
		int c = cmp(key, node);

		if (c == 0)
			return node;
		node = c < 0 ? node->left : node->right;
	}
	return NULL;
}

#define rb_for_each_entry(pos, root, member)                                  \
	for (pos = rb_entry_safe(rb_first(root), __typeof__(*(pos)), member); \
	     pos; pos = rb_entry_safe(rb_next(&(pos)->member),                \
				      __typeof__(*(pos)), member))

/* Post-order; POS may be freed by the body (not erased from the tree). */
#define rbtree_postorder_for_each_entry_safe(pos, n, root, member)             \
	for (pos = rb_entry_safe(rb_first_postorder(root), __typeof__(*(pos)), \
				 member);                                      \
	     pos && (n = rb_entry_safe(rb_next_postorder(&(pos)->member),      \
				       __typeof__(*(pos)), member),            \
		    true);                                                     \
	     pos = n)

/*
 * RB_DECLARE_CALLBACKS(RBSTATIC, RBNAME, RBSTRUCT, RBFIELD, RBAUGMENTED,
 *                      RBCOMPUTE)
 * defines struct rb_augment_callbacks RBNAME for objects RBSTRUCT with the
 * node RBFIELD and the value RBAUGMENTED. RBCOMPUTE(obj, exit) computes the
 * value of OBJ from itself and its children, stores it and returns false; with
 * EXIT true it returns true instead when the value was right already.
 */
#define RB_DECLARE_CALLBACKS(RBSTATIC, RBNAME, RBSTRUCT, RBFIELD, RBAUGMENTED, \
			     RBCOMPUTE)                                        \
	static inline void RBNAME##_propagate(struct rb_node *rb,              \
					      struct rb_node *stop)            \
	{                                                                      \
		while (rb != stop) {                                           \
			RBSTRUCT *obj = rb_entry(rb, RBSTRUCT, RBFIELD);       \
			if (RBCOMPUTE(obj, true))                              \
				break;                                         \
			rb = rb_parent(&obj->RBFIELD);                         \
		}                                                              \
	}                                                                      \
	static inline void RBNAME##_copy(struct rb_node *rb_old,               \
					 struct rb_node *rb_new)               \
	{                                                                      \
		RBSTRUCT *o = rb_entry(rb_old, RBSTRUCT, RBFIELD);             \
		RBSTRUCT *n = rb_entry(rb_new, RBSTRUCT, RBFIELD);             \
		n->RBAUGMENTED = o->RBAUGMENTED;                               \
	}                                                                      \
	static void RBNAME##_rotate(struct rb_node *rb_old,                    \
				    struct rb_node *rb_new)                    \
	{                                                                      \
		RBSTRUCT *o = rb_entry(rb_old, RBSTRUCT, RBFIELD);             \
		RBSTRUCT *n = rb_entry(rb_new, RBSTRUCT, RBFIELD);             \
		n->RBAUGMENTED = o->RBAUGMENTED;                               \
		RBCOMPUTE(o, false);                                           \
	}                                                                      \
	RBSTATIC const struct rb_augment_callbacks RBNAME = {                  \
		.propagate = RBNAME##_propagate,                               \
		.copy = RBNAME##_copy,                                         \
		.rotate = RBNAME##_rotate,                                     \
	}

/*
 * RB_DECLARE_CALLBACKS_MAX: the value is the maximum of RBCOMPUTE(obj) over
 * the subtree, of type RBTYPE.
 */
#define RB_DECLARE_CALLBACKS_MAX(RBSTATIC, RBNAME, RBSTRUCT, RBFIELD, RBTYPE,  \
				 RBAUGMENTED, RBCOMPUTE)                       \
	static inline bool RBNAME##_compute_max(RBSTRUCT *obj, bool exit_same) \
	{                                                                      \
		struct rb_node *l = obj->RBFIELD.left;                         \
		struct rb_node *r = obj->RBFIELD.right;                        \
		RBTYPE top = RBCOMPUTE(obj);                                   \
		if (l) {                                                       \
			RBTYPE v =                                             \
				rb_entry(l, RBSTRUCT, RBFIELD)->RBAUGMENTED;   \
			if (v > top)                                           \
				top = v;                                       \
		}                                                              \
		if (r) {                                                       \
			RBTYPE v =                                             \
				rb_entry(r, RBSTRUCT, RBFIELD)->RBAUGMENTED;   \
			if (v > top)                                           \
				top = v;                                       \
		}                                                              \
		if (exit_same && obj->RBAUGMENTED == top)                      \
			return true;                                           \
		obj->RBAUGMENTED = top;                                        \
		return false;                                                  \
	}                                                                      \
	RB_DECLARE_CALLBACKS(RBSTATIC, RBNAME, RBSTRUCT, RBFIELD, RBAUGMENTED, \
			     RBNAME##_compute_max)

#endif
