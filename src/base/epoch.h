/* SPDX-License-Identifier: MIT */
/*
 * epoch.h - read sections without locks, and calls deferred until every
 * section that might still see an object is over.
 *
 *	reader:  epoch_enter(); p = smp_load_acquire(&head); ... epoch_exit();
 *	writer:  unlink p under its lock; epoch_defer(&p->epoch, free_fn);
 *
 * A read section pins the CPU: it must not sleep, and should be short. Works
 * in interrupts. Deferred calls are made by whoever calls epoch_poll(),
 * epoch_synchronize() or epoch_drain(); nothing runs by itself, so owners of
 * deferred objects poll at a convenient place (a daemon's round, exit).
 */
#ifndef MM_BASE_EPOCH_H
#define MM_BASE_EPOCH_H

#include <mmkit/types.h>

/* Embedded in an object whose end is deferred. */
struct epoch_head {
	struct epoch_head *next;
	void (*fn)(struct epoch_head *head);
	u64 epoch; /* readers of this epoch and before may see the object */
};

/* Read section; nests. Any context. */
void epoch_enter(void);
void epoch_exit(void);

/* epoch_in_section: is this CPU inside one? Called pinned. */
bool epoch_in_section(void);

/*
 * epoch_defer: call FN(HEAD) once no read section that began before now is
 * left. HEAD must not be reachable for new readers any more. Any context.
 */
void epoch_defer(struct epoch_head *head, void (*fn)(struct epoch_head *head));

/*
 * epoch_poll: make the deferred calls that are due, without waiting. Context:
 * whatever the deferred functions need; not inside a read section. Returns
 * how many were made.
 */
u64 epoch_poll(void);

/* epoch_synchronize: wait for all read sections that are under way, then
 * poll. May sleep; not inside a read section. */
void epoch_synchronize(void);

/* epoch_drain: until no deferred call is pending. May sleep. */
void epoch_drain(void);

/* epoch_pending: deferred calls not yet made. */
u64 epoch_pending(void);

#endif
