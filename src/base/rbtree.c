/* SPDX-License-Identifier: MIT */
/*
 * rbtree.c - balance of red-black trees, plain and augmented.
 *
 * 1. Purpose: ordered sets with O(log n) change and no memory of their own.
 * 2. Structure. Three words a node; the colour sits in bit 0 of the parent
 *    link (1 is black), so a fresh link to a parent is a red node.
 * 3. Invariants. (a) The root is black. (b) A red node has black children;
 *    absent children count as black. (c) Every way from a node down to an
 *    absent child meets the same number of black nodes. Hence the longest
 *    way is at most twice the shortest. rb_check() verifies them.
 *    Augmented: each node's value equals its computation from itself and its
 *    children, whenever a function here returns.
 * 4. Locking: the caller's, exclusive for changes, shared for reading. Child
 *    links are written by one store each, so that a walk without the lock
 *    follows links that once were right; whether it went astray its user must
 *    find out (a sequence count).
 * 5. Method. A new node is red; only (b) can break, between it and its
 *    parent: recolouring pushes the conflict up two levels, at most two
 *    rotations end it. Removing a black node leaves one side short of one
 *    black: recolouring pushes that up, at most three rotations end it. Left
 *    and right are mirror images, so code is written once over a "side".
 * 6. Augmented values. Insert: the ancestors are recomputed before the first
 *    rotation. Erase: recomputed from the place where a node really left,
 *    before the rotations. A rotation keeps the set below, so the upper node
 *    takes the lower's old value and only one value is computed afresh.
 *    The callbacks are a constant known at the call, and the core is inlined
 *    twice: plain trees do not pay for them.
 * 7. Cost: at most 2 log2(n+1) levels; rotations are O(1) amortised and
 *    at most 3 a change.
 * 8. Rejected: AVL (fewer levels, more rotations on erase, and a second field
 *    per node); treaps (a random number per node and no worst case).
 * 9. References: Guibas and Sedgewick 1978; Cormen et al., Introduction to
 *    Algorithms, chapters on red-black trees and augmenting.
 */
#include "base/rbtree.h"

#define RB_BLACK  ((uintptr_t)1)
#define RB_INLINE static inline __attribute__((always_inline))

/* More levels than any tree in 64 bits of memory can have. */
#define RB_MAX_DEPTH 128

RB_INLINE bool is_red(const struct rb_node *n)
{
	return n && !(n->parent_color & RB_BLACK);
}

RB_INLINE void paint_black(struct rb_node *n)
{
	mm_assert(n);
	n->parent_color |= RB_BLACK;
}

RB_INLINE void paint_red(struct rb_node *n)
{
	n->parent_color &= ~RB_BLACK;
}

RB_INLINE void set_parent(struct rb_node *n, struct rb_node *parent)
{
	n->parent_color = (uintptr_t)parent | (n->parent_color & RB_BLACK);
}

/* The child link of N on one side. */
RB_INLINE struct rb_node **side(struct rb_node *n, bool right)
{
	return right ? &n->right : &n->left;
}

/* PARENT's link (or the root's) that points to OLD now points to NEW. */
RB_INLINE void relink(struct rb_node *parent, struct rb_node *old,
		      struct rb_node *entry, struct rb_root *root)
{
	if (!parent) {
		mm_assert(root->rb_node == old);
		rb_set_child(&root->rb_node, entry);
	} else if (parent->left == old) {
		rb_set_child(&parent->left, entry);
	} else {
		mm_verify(parent->right == old);
		rb_set_child(&parent->right, entry);
	}
}

/* Push TOP down to the side RIGHT; its child on the other side comes up. */
RB_INLINE void rotate(struct rb_node *top, bool right, struct rb_root *root,
		      const struct rb_augment_callbacks *cb)
{
	struct rb_node *up = *side(top, !right);
	struct rb_node *inner = *side(up, right);
	struct rb_node *parent = rb_parent(top);

	mm_assert(rb_parent(up) == top);
	rb_set_child(side(top, !right), inner);
	if (inner)
		set_parent(inner, top);
	relink(parent, top, up, root);
	set_parent(up, parent);
	rb_set_child(side(up, right), top);
	set_parent(top, up);
	if (cb)
		cb->rotate(top, up);
}

/* Restore "no red below red" above the new red node N. */
RB_INLINE void insert_fix(struct rb_node *n, struct rb_root *root,
			  const struct rb_augment_callbacks *cb)
{
	struct rb_node *parent;

	while (is_red(parent = rb_parent(n))) {
		struct rb_node *grand = rb_parent(parent);
		bool right = parent == grand->right;
		struct rb_node *uncle = *side(grand, !right);

		if (is_red(uncle)) {
			paint_black(parent);
			paint_black(uncle);
			paint_red(grand);
			n = grand;
			continue;
		}
		if (n == *side(parent, !right)) {
			rotate(parent, right, root, cb);
			parent = n;
		}
		paint_black(parent);
		paint_red(grand);
		rotate(grand, !right, root, cb);
		break;
	}
	paint_black(root->rb_node);
}

void rb_insert_color(struct rb_node *node, struct rb_root *root)
{
	mm_assert(is_red(node) && !node->left && !node->right);
	insert_fix(node, root, NULL);
}

void rb_insert_augmented(struct rb_node *node, struct rb_root *root,
			 const struct rb_augment_callbacks *cb)
{
	mm_assert(is_red(node) && !node->left && !node->right);
	cb->propagate(rb_parent(node), NULL);
	insert_fix(node, root, cb);
}

/*
 * The side of PARENT where X stands (X may be absent) is one black short.
 * Either a recolouring moves the shortage up, or rotations end it.
 */
RB_INLINE void erase_fix(struct rb_node *x, struct rb_node *parent,
			 struct rb_root *root,
			 const struct rb_augment_callbacks *cb)
{
	while (parent && !is_red(x)) {
		bool right = x != parent->left;
		struct rb_node *sib = *side(parent, !right);

		if (is_red(sib)) {
			paint_black(sib);
			paint_red(parent);
			rotate(parent, right, root, cb);
			sib = *side(parent, !right);
		}
		/* X is black and short of one: its sibling is not nothing. */
		mm_assert(sib);
		if (!is_red(sib->left) && !is_red(sib->right)) {
			paint_red(sib);
			x = parent;
			parent = rb_parent(x);
			continue;
		}
		if (!is_red(*side(sib, !right))) {
			paint_black(*side(sib, right));
			paint_red(sib);
			rotate(sib, !right, root, cb);
			sib = *side(parent, !right);
		}
		if (is_red(parent))
			paint_red(sib);
		else
			paint_black(sib);
		paint_black(parent);
		paint_black(*side(sib, !right));
		rotate(parent, right, root, cb);
		x = root->rb_node;
		break;
	}
	if (x)
		paint_black(x);
}

/* Put SUCC, the next node in order, where NODE with its two children is. */
RB_INLINE struct rb_node *take_place(struct rb_node *node, struct rb_node *succ,
				     struct rb_root *root)
{
	struct rb_node *parent = rb_parent(succ), *child = succ->right;

	if (parent == node) {
		parent = succ;
	} else {
		rb_set_child(&parent->left, child);
		if (child)
			set_parent(child, parent);
		rb_set_child(&succ->right, node->right);
		set_parent(succ->right, succ);
	}
	rb_set_child(&succ->left, node->left);
	set_parent(succ->left, succ);
	relink(rb_parent(node), node, succ, root);
	succ->parent_color = node->parent_color;
	return parent;
}

/* A node with two children is replaced by its successor first. */
RB_INLINE void erase(struct rb_node *node, struct rb_root *root,
		     const struct rb_augment_callbacks *cb)
{
	struct rb_node *child, *parent, *succ = NULL;
	bool lost_black;

	if (node->left && node->right) {
		for (succ = node->right; succ->left;)
			succ = succ->left;
		child = succ->right;
		lost_black = !is_red(succ);
		parent = take_place(node, succ, root);
		if (cb)
			cb->copy(node, succ);
	} else {
		child = node->left ? node->left : node->right;
		lost_black = !is_red(node);
		parent = rb_parent(node);
		relink(parent, node, child, root);
		if (child)
			set_parent(child, parent);
	}
	if (cb && succ && parent != succ)
		cb->propagate(parent, succ);
	if (cb)
		cb->propagate(succ ? succ : parent, NULL);
	if (lost_black)
		erase_fix(child, parent, root, cb);
}

void rb_erase(struct rb_node *node, struct rb_root *root)
{
	mm_verify(!RB_EMPTY_NODE(node));
	erase(node, root, NULL);
}

void rb_erase_augmented(struct rb_node *node, struct rb_root *root,
			const struct rb_augment_callbacks *cb)
{
	mm_verify(!RB_EMPTY_NODE(node));
	erase(node, root, cb);
}

void rb_replace_node(struct rb_node *victim, struct rb_node *new_node,
		     struct rb_root *root)
{
	mm_assert(victim != new_node);
	*new_node = *victim;
	relink(rb_parent(victim), victim, new_node, root);
	if (new_node->left)
		set_parent(new_node->left, new_node);
	if (new_node->right)
		set_parent(new_node->right, new_node);
}

/* The end of the tree below N on one side. */
RB_INLINE struct rb_node *outermost(const struct rb_node *n, bool right)
{
	struct rb_node *at = (struct rb_node *)n;

	while (at && *side(at, right))
		at = *side(at, right);
	return at;
}

/* The neighbour of N in order on one side. */
RB_INLINE struct rb_node *neighbour(const struct rb_node *n, bool right)
{
	struct rb_node *at = (struct rb_node *)n, *up;

	if (*side(at, right))
		return outermost(*side(at, right), !right);
	while ((up = rb_parent(at)) && at == *side(up, right))
		at = up;
	return up;
}

struct rb_node *rb_first(const struct rb_root *root)
{
	return outermost(root->rb_node, false);
}

struct rb_node *rb_last(const struct rb_root *root)
{
	return outermost(root->rb_node, true);
}

struct rb_node *rb_next(const struct rb_node *node)
{
	return RB_EMPTY_NODE(node) ? NULL : neighbour(node, true);
}

struct rb_node *rb_prev(const struct rb_node *node)
{
	return RB_EMPTY_NODE(node) ? NULL : neighbour(node, false);
}

/* The first leaf in post-order below N. */
static struct rb_node *deepest(struct rb_node *n)
{
	while (n && (n->left || n->right))
		n = n->left ? n->left : n->right;
	return n;
}

struct rb_node *rb_first_postorder(const struct rb_root *root)
{
	return deepest(root->rb_node);
}

struct rb_node *rb_next_postorder(const struct rb_node *node)
{
	struct rb_node *parent = rb_parent(node);

	if (parent && node == parent->left && parent->right)
		return deepest(parent->right);
	return parent;
}

/* Black height of the tree below N, -1 if it breaks a rule. Recursion is
 * bounded by DEPTH, whatever the links say. */
static int check_below(const struct rb_node *n, const struct rb_node *parent,
		       int depth)
{
	int l, r;

	if (!n)
		return 0;
	if (depth > RB_MAX_DEPTH || rb_parent(n) != parent)
		return -1;
	if (is_red(n) && (is_red(n->left) || is_red(n->right)))
		return -1;
	l = check_below(n->left, n, depth + 1);
	r = check_below(n->right, n, depth + 1);
	if (l < 0 || l != r)
		return -1;
	return l + !is_red(n);
}

bool rb_check(const struct rb_root *root,
	      int (*cmp)(const struct rb_node *a, const struct rb_node *b))
{
	const struct rb_node *n, *next;

	if (is_red(root->rb_node) || check_below(root->rb_node, NULL, 0) < 0)
		return false;
	for (n = rb_first(root); n && cmp; n = next) {
		next = rb_next(n);
		if (next && cmp(n, next) > 0)
			return false;
	}
	return true;
}
