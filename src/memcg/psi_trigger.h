/* SPDX-License-Identifier: MIT */
/*
 * psi_trigger.h - waiting until too much time was lost. Theory: psi_trigger.c.
 */
#ifndef MM_MEMCG_PSI_TRIGGER_H
#define MM_MEMCG_PSI_TRIGGER_H

#include "base/list.h"
#include "base/wait.h"
#include "memcg/psi.h"

/* A window is 500 ms to 10 s. */
#define PSI_WINDOW_MIN_US 500000u
#define PSI_WINDOW_MAX_US 10000000u
#define PSI_SLICES	  10u

/* (C) constant, (L) trigger_lock, (A) atomic. */
struct psi_trigger {
	struct list_head list; /* (L) */
	struct memcg *memcg;   /* (C) with a reference; NULL: the machine */
	enum psi_kind kind;    /* (C) */
	u64 threshold_ns, window_ns; /* (C) */
	u64 past[PSI_SLICES];	     /* (L) totals, the oldest at [at] */
	u32 at;			     /* (L) */
	u64 next_ns, quiet_until_ns; /* (L) */
	bool event;		     /* (A) not taken yet */
	wait_queue_head_t wait;	     /* woken with the event */
};

/*
 * psi_trigger_parse: TEXT, "some|full THRESHOLD WINDOW" in microseconds, to *T.
 * 0, -EINVAL. psi_trigger_start: T, parsed, watches the group ID (0: the
 * machine). 0; -ENOENT: no such group; -ENOMEM, -EAGAIN: no thread. The caller
 * keeps T until psi_trigger_end(). Both last may sleep.
 */
int psi_trigger_parse(const char *text, struct psi_trigger *t) MM_MUST_CHECK;
int psi_trigger_start(struct psi_trigger *t, u16 id) MM_MUST_CHECK;
void psi_trigger_end(struct psi_trigger *t);

/* psi_trigger_take: was there an event that nobody has taken? Now it is.
 * psi_trigger_dead: its group was removed. Any context. */
bool psi_trigger_take(struct psi_trigger *t);
bool psi_trigger_dead(const struct psi_trigger *t);

/* psi_triggers_look: look at the triggers whose time has come; when the next
 * one's does (UINT64_MAX: there is none). May sleep. */
u64 psi_triggers_look(void);

#endif
