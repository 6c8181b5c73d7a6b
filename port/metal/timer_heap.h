/* SPDX-License-Identifier: MIT */
/*
 * timer_heap.h - timers by the time when they are due: a pairing heap without
 * memory of its own. Private to port/metal.
 *
 * CHILD is a node's first child, NEXT its younger sibling, PPREV the word that
 * points to it (the parent's child, a sibling's next, or the root). No child
 * expires before its parent, so the root is the earliest. Adding is one
 * comparison; taking any node out melds its children in pairs, amortised
 * O(log n). Locks: the owner's.
 *
 * Reference: Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", 1986.
 */
#ifndef METAL_TIMER_HEAP_H
#define METAL_TIMER_HEAP_H

#include "machine.h"

/* One heap of A and B, neither NULL nor anybody's child. */
static inline struct machine_timer *meld(struct machine_timer *a,
					 struct machine_timer *b)
{
	struct machine_timer *t;

	if (b->expires < a->expires) {
		t = a;
		a = b;
		b = t;
	}
	b->next = a->child;
	if (b->next)
		b->next->pprev = &b->next;
	b->pprev = &a->child;
	a->child = b;
	return a;
}

/* The siblings from LIST on become one heap: in pairs, then from the back. */
static inline struct machine_timer *meld_all(struct machine_timer *list)
{
	struct machine_timer *pairs = NULL, *a, *b, *rest;

	while (list) {
		a = list;
		b = a->next;
		rest = b ? b->next : NULL;
		a->next = NULL;
		if (b) {
			b->next = NULL;
			a = meld(a, b);
		}
		a->next = pairs;
		pairs = a;
		list = rest;
	}
	while (pairs && pairs->next) {
		a = pairs;
		b = a->next;
		rest = b->next;
		a->next = b->next = NULL;
		a = meld(a, b);
		a->next = rest;
		pairs = a;
	}
	return pairs;
}

static inline void set_root(struct machine_timer **root,
			    struct machine_timer *t)
{
	*root = t;
	if (t)
		t->pprev = root;
}

static inline void heap_add(struct machine_timer **root,
			    struct machine_timer *t)
{
	t->child = t->next = NULL;
	set_root(root, *root ? meld(*root, t) : t);
}

static inline void heap_del(struct machine_timer **root,
			    struct machine_timer *t)
{
	struct machine_timer *below = meld_all(t->child);

	*t->pprev = t->next;
	if (t->next)
		t->next->pprev = t->pprev;
	if (below)
		set_root(root, *root ? meld(*root, below) : below);
	t->child = t->next = NULL;
	t->pprev = NULL;
}

#endif
