/* SPDX-License-Identifier: MIT */
/*
 * list.h - circular doubly linked lists whose links live in the objects.
 *
 * Linux's names and behaviour. The lists take no locks and own nothing.
 * Debug builds verify the neighbours' links at every change; list_del()
 * poisons the removed links in all builds, so a second removal or a walk
 * through a removed entry faults at a recognisable address.
 *
 * hlist is the variant with a one-pointer head, for hash tables.
 */
#ifndef MM_BASE_LIST_H
#define MM_BASE_LIST_H

#include "base/assert.h"

struct list_head {
	struct list_head *next, *prev;
};

#define LIST_POISON1 ((void *)0xdead000000000100UL)
#define LIST_POISON2 ((void *)0xdead000000000122UL)

#define LIST_HEAD_INIT(name)     \
	{                        \
		&(name), &(name) \
	}
#define LIST_HEAD(name) struct list_head name = LIST_HEAD_INIT(name)

static inline void INIT_LIST_HEAD(struct list_head *list)
{
	list->next = list;
	list->prev = list;
}

/* Put NEW between two neighbours. */
static inline void list_link(struct list_head *entry, struct list_head *prev,
			     struct list_head *next)
{
	mm_assert(prev->next == next);
	mm_assert(next->prev == prev);
	mm_assert(entry != prev && entry != next);
	next->prev = entry;
	entry->next = next;
	entry->prev = prev;
	WRITE_ONCE(prev->next, entry);
}

/* Close the gap between two entries. */
static inline void list_unlink(struct list_head *prev, struct list_head *next)
{
	next->prev = prev;
	WRITE_ONCE(prev->next, next);
}

/* First in the list, right after HEAD. */
static inline void list_add(struct list_head *entry, struct list_head *head)
{
	list_link(entry, head, head->next);
}

/* Last in the list, right before HEAD. */
static inline void list_add_tail(struct list_head *entry,
				 struct list_head *head)
{
	list_link(entry, head->prev, head);
}

static inline void list_del_check(const struct list_head *entry)
{
	mm_verify(entry->next != LIST_POISON1);
	mm_assert(entry->next->prev == entry);
	mm_assert(entry->prev->next == entry);
}

static inline void list_del(struct list_head *entry)
{
	list_del_check(entry);
	list_unlink(entry->prev, entry->next);
	entry->next = LIST_POISON1;
	entry->prev = LIST_POISON2;
}

/* Remove and leave ENTRY as an empty list (list_empty(entry) is true). */
static inline void list_del_init(struct list_head *entry)
{
	list_del_check(entry);
	list_unlink(entry->prev, entry->next);
	INIT_LIST_HEAD(entry);
}

static inline void list_move(struct list_head *entry, struct list_head *head)
{
	list_del_check(entry);
	list_unlink(entry->prev, entry->next);
	list_add(entry, head);
}

static inline void list_move_tail(struct list_head *entry,
				  struct list_head *head)
{
	list_del_check(entry);
	list_unlink(entry->prev, entry->next);
	list_add_tail(entry, head);
}

/* Put NEW in the place of OLD; OLD's links are left as they are. */
static inline void list_replace(struct list_head *old, struct list_head *entry)
{
	list_del_check(old);
	entry->next = old->next;
	entry->next->prev = entry;
	entry->prev = old->prev;
	entry->prev->next = entry;
}

static inline bool list_empty(const struct list_head *head)
{
	return READ_ONCE(head->next) == head;
}

static inline bool list_is_singular(const struct list_head *head)
{
	return head->next != head && head->next == head->prev;
}

static inline bool list_is_first(const struct list_head *entry,
				 const struct list_head *head)
{
	return entry->prev == head;
}

static inline bool list_is_last(const struct list_head *entry,
				const struct list_head *head)
{
	return entry->next == head;
}

static inline bool list_is_head(const struct list_head *entry,
				const struct list_head *head)
{
	return entry == head;
}

/* Hang the entries of a list that is not empty between two neighbours. */
static inline void list_link_chain(const struct list_head *list,
				   struct list_head *prev,
				   struct list_head *next)
{
	struct list_head *first = list->next, *last = list->prev;

	mm_assert(prev->next == next && next->prev == prev);
	mm_assert(first->prev == list && last->next == list);
	first->prev = prev;
	prev->next = first;
	last->next = next;
	next->prev = last;
}

/* Entries of LIST to the front of HEAD; LIST is left stale. */
static inline void list_splice(const struct list_head *list,
			       struct list_head *head)
{
	if (!list_empty(list))
		list_link_chain(list, head, head->next);
}

/* Entries of LIST to the end of HEAD; LIST is left stale. */
static inline void list_splice_tail(const struct list_head *list,
				    struct list_head *head)
{
	if (!list_empty(list))
		list_link_chain(list, head->prev, head);
}

static inline void list_splice_init(struct list_head *list,
				    struct list_head *head)
{
	list_splice(list, head);
	INIT_LIST_HEAD(list);
}

static inline void list_splice_tail_init(struct list_head *list,
					 struct list_head *head)
{
	list_splice_tail(list, head);
	INIT_LIST_HEAD(list);
}

/* Number of entries; O(n). */
static inline size_t list_count_nodes(const struct list_head *head)
{
	const struct list_head *p;
	size_t n = 0;

	for (p = head->next; p != head; p = p->next) {
		mm_assert(p->next->prev == p);
		n++;
	}
	return n;
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)

#define list_first_entry(ptr, type, member) \
	list_entry((ptr)->next, type, member)
#define list_last_entry(ptr, type, member) list_entry((ptr)->prev, type, member)
#define list_first_entry_or_null(ptr, type, member) \
	(list_empty(ptr) ? NULL : list_first_entry(ptr, type, member))
#define list_last_entry_or_null(ptr, type, member) \
	(list_empty(ptr) ? NULL : list_last_entry(ptr, type, member))
#define list_next_entry(pos, member) \
	list_entry((pos)->member.next, __typeof__(*(pos)), member)
#define list_prev_entry(pos, member) \
	list_entry((pos)->member.prev, __typeof__(*(pos)), member)
#define list_entry_is_head(pos, head, member) (&(pos)->member == (head))

#define list_for_each(pos, head) \
	for (pos = (head)->next; pos != (head); pos = pos->next)
#define list_for_each_safe(pos, n, head)                       \
	for (pos = (head)->next, n = pos->next; pos != (head); \
	     pos = n, n = pos->next)
#define list_for_each_entry(pos, head, member)                       \
	for (pos = list_first_entry(head, __typeof__(*pos), member); \
	     !list_entry_is_head(pos, head, member);                 \
	     pos = list_next_entry(pos, member))
#define list_for_each_entry_reverse(pos, head, member)              \
	for (pos = list_last_entry(head, __typeof__(*pos), member); \
	     !list_entry_is_head(pos, head, member);                \
	     pos = list_prev_entry(pos, member))
#define list_for_each_entry_continue(pos, head, member) \
	for (pos = list_next_entry(pos, member);        \
	     !list_entry_is_head(pos, head, member);    \
	     pos = list_next_entry(pos, member))
#define list_for_each_entry_from(pos, head, member)    \
	for (; !list_entry_is_head(pos, head, member); \
	     pos = list_next_entry(pos, member))
/* POS may be removed (and freed) by the body. */
#define list_for_each_entry_safe(pos, n, head, member)               \
	for (pos = list_first_entry(head, __typeof__(*pos), member), \
	    n = list_next_entry(pos, member);                        \
	     !list_entry_is_head(pos, head, member);                 \
	     pos = n, n = list_next_entry(n, member))
#define list_for_each_entry_safe_reverse(pos, n, head, member)      \
	for (pos = list_last_entry(head, __typeof__(*pos), member), \
	    n = list_prev_entry(pos, member);                       \
	     !list_entry_is_head(pos, head, member);                \
	     pos = n, n = list_prev_entry(n, member))

/* ---- hlist ----------------------------------------------------------------
 */

struct hlist_node {
	struct hlist_node *next, **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

#define HLIST_HEAD_INIT \
	{               \
		NULL    \
	}

static inline void INIT_HLIST_HEAD(struct hlist_head *h)
{
	h->first = NULL;
}

static inline void INIT_HLIST_NODE(struct hlist_node *n)
{
	n->next = NULL;
	n->pprev = NULL;
}

static inline bool hlist_unhashed(const struct hlist_node *n)
{
	return !n->pprev;
}

static inline bool hlist_empty(const struct hlist_head *h)
{
	return !READ_ONCE(h->first);
}

static inline void hlist_add_head(struct hlist_node *n, struct hlist_head *h)
{
	struct hlist_node *first = h->first;

	mm_assert(!first || first->pprev == &h->first);
	n->next = first;
	if (first)
		first->pprev = &n->next;
	n->pprev = &h->first;
	WRITE_ONCE(h->first, n);
}

/* Remove N and leave it unhashed; nothing happens if it is already. */
static inline void hlist_del_init(struct hlist_node *n)
{
	if (hlist_unhashed(n))
		return;
	mm_assert(*n->pprev == n);
	WRITE_ONCE(*n->pprev, n->next);
	if (n->next)
		n->next->pprev = n->pprev;
	INIT_HLIST_NODE(n);
}

#define hlist_entry(ptr, type, member) container_of(ptr, type, member)
#define hlist_entry_safe(ptr, type, member)                  \
	({                                                   \
		__typeof__(ptr) hl_ = (ptr);                 \
		hl_ ? hlist_entry(hl_, type, member) : NULL; \
	})
#define hlist_for_each_entry(pos, head, member)                        \
	for (pos = hlist_entry_safe((head)->first, __typeof__(*(pos)), \
				    member);                           \
	     pos; pos = hlist_entry_safe((pos)->member.next,           \
					 __typeof__(*(pos)), member))
/* N is a struct hlist_node *; POS may be removed by the body. */
#define hlist_for_each_entry_safe(pos, n, head, member)                \
	for (pos = hlist_entry_safe((head)->first, __typeof__(*(pos)), \
				    member);                           \
	     pos && (n = (pos)->member.next, true);                    \
	     pos = hlist_entry_safe(n, __typeof__(*(pos)), member))

#endif
