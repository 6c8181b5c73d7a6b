/* SPDX-License-Identifier: MIT */
/*
 * interval_tree.h - which of many intervals overlap a given one?
 *
 * A red-black tree sorted by start, each node augmented with the greatest
 * last of its subtree. As a template, so that start and last may be computed
 * from the object.
 *
 *   INTERVAL_TREE_DEFINE(ITSTRUCT, ITRB, ITTYPE, ITSUBTREE,
 *                        ITSTART, ITLAST, ITSTATIC, ITPREFIX)
 *     ITSTRUCT   the object, as a type ("struct anon_vma_chain")
 *     ITRB       its struct rb_node
 *     ITTYPE     integer type of the ends
 *     ITSUBTREE  its member of ITTYPE for the subtree's greatest last
 *     ITSTART(n), ITLAST(n)  the ends, both inclusive, from an object pointer
 *     ITSTATIC   "static inline", or empty for a definition with linkage
 *     ITPREFIX   prefix of the functions
 *
 * gives
 *     void ITPREFIX_insert(ITSTRUCT *node, struct rb_root *root);
 *     void ITPREFIX_remove(ITSTRUCT *node, struct rb_root *root);
 *     void ITPREFIX_last_changed(ITSTRUCT *node);
 *     ITSTRUCT *ITPREFIX_iter_first(struct rb_root *root, ITTYPE start,
 *                                   ITTYPE last);
 *     ITSTRUCT *ITPREFIX_iter_next(ITSTRUCT *node, ITTYPE start, ITTYPE last);
 * The iterators return, by ascending start, the nodes that overlap
 * [START, LAST], or NULL. Ends must not change while a node is in the tree,
 * but for the last, of which ITPREFIX_last_changed() tells before the next use.
 * Locks: the tree's. insert and remove O(log n); a walk over k hits
 * O(k log n) at worst.
 */
#ifndef MM_BASE_INTERVAL_TREE_H
#define MM_BASE_INTERVAL_TREE_H

#include "base/rbtree.h"

#define INTERVAL_TREE_DEFINE(ITSTRUCT, ITRB, ITTYPE, ITSUBTREE, ITSTART,       \
			     ITLAST, ITSTATIC, ITPREFIX)                       \
	RB_DECLARE_CALLBACKS_MAX(static, ITPREFIX##_augment, ITSTRUCT, ITRB,   \
				 ITTYPE, ITSUBTREE, ITLAST);                   \
                                                                               \
	ITSTATIC void ITPREFIX##_insert(ITSTRUCT *node, struct rb_root *root)  \
	{                                                                      \
		struct rb_node **link = &root->rb_node, *up = NULL;            \
		ITTYPE start = ITSTART(node);                                  \
                                                                               \
		mm_assert(start <= ITLAST(node));                              \
		while (*link) {                                                \
			up = *link;                                            \
			link = start < ITSTART(rb_entry(up, ITSTRUCT, ITRB))   \
				       ? &up->left                             \
				       : &up->right;                           \
		}                                                              \
		node->ITSUBTREE = ITLAST(node);                                \
		rb_link_node(&node->ITRB, up, link);                           \
		rb_insert_augmented(&node->ITRB, root, &ITPREFIX##_augment);   \
	}                                                                      \
                                                                               \
	ITSTATIC void ITPREFIX##_remove(ITSTRUCT *node, struct rb_root *root)  \
	{                                                                      \
		rb_erase_augmented(&node->ITRB, root, &ITPREFIX##_augment);    \
	}                                                                      \
                                                                               \
	static inline MM_UNUSED void ITPREFIX##_last_changed(ITSTRUCT *node)   \
	{                                                                      \
		ITPREFIX##_augment_propagate(&node->ITRB, NULL);               \
	}                                                                      \
                                                                               \
	/* Leftmost overlap in the subtree of NODE, whose ITSUBTREE >= start   \
	 */                                                                    \
	static inline ITSTRUCT *ITPREFIX##_leftmost(ITSTRUCT *node,            \
						    ITTYPE start, ITTYPE last) \
	{                                                                      \
		for (;;) {                                                     \
			ITSTRUCT *l = rb_entry_safe(node->ITRB.left, ITSTRUCT, \
						    ITRB);                     \
			if (l && l->ITSUBTREE >= start) {                      \
				node = l;                                      \
				continue;                                      \
			}                                                      \
			if (ITSTART(node) > last)                              \
				return NULL;                                   \
			if (ITLAST(node) >= start)                             \
				return node;                                   \
			node = rb_entry_safe(node->ITRB.right, ITSTRUCT,       \
					     ITRB);                            \
			if (!node || node->ITSUBTREE < start)                  \
				return NULL;                                   \
		}                                                              \
	}                                                                      \
                                                                               \
	ITSTATIC ITSTRUCT *ITPREFIX##_iter_first(struct rb_root *root,         \
						 ITTYPE start, ITTYPE last)    \
	{                                                                      \
		ITSTRUCT *top = rb_entry_safe(root->rb_node, ITSTRUCT, ITRB);  \
                                                                               \
		mm_assert(start <= last);                                      \
		if (!top || top->ITSUBTREE < start)                            \
			return NULL;                                           \
		return ITPREFIX##_leftmost(top, start, last);                  \
	}                                                                      \
                                                                               \
	ITSTATIC ITSTRUCT *ITPREFIX##_iter_next(ITSTRUCT *node, ITTYPE start,  \
						ITTYPE last)                   \
	{                                                                      \
		struct rb_node *rb = node->ITRB.right, *prev;                  \
                                                                               \
		for (;;) {                                                     \
			/* rb: right child of a node that starts <= last */    \
			if (rb) {                                              \
				ITSTRUCT *r = rb_entry(rb, ITSTRUCT, ITRB);    \
				if (r->ITSUBTREE >= start)                     \
					return ITPREFIX##_leftmost(r, start,   \
								   last);      \
			}                                                      \
			do {                                                   \
				rb = rb_parent(&node->ITRB);                   \
				if (!rb)                                       \
					return NULL;                           \
				prev = &node->ITRB;                            \
				node = rb_entry(rb, ITSTRUCT, ITRB);           \
				rb = node->ITRB.right;                         \
			} while (prev == rb);                                  \
			if (ITSTART(node) > last)                              \
				return NULL;                                   \
			if (ITLAST(node) >= start)                             \
				return node;                                   \
		}                                                              \
	}                                                                      \
	MM_STATIC_ASSERT(sizeof(ITTYPE) <= 8, "ends are integers")

#endif
