/* SPDX-License-Identifier: MIT */
/*
 * psi.h - time lost for lack of memory (pressure stall information), for a
 * group and all below it. Theory: psi.c.
 */
#ifndef MM_MEMCG_PSI_H
#define MM_MEMCG_PSI_H

#include <mmkit/types.h>

#include "base/spinlock.h"

struct memcg;

enum psi_kind { PSI_SOME, PSI_FULL, NR_PSI_KINDS };
enum psi_window { PSI_AVG10, PSI_AVG60, PSI_AVG300, NR_PSI_WINDOWS };

struct memcg_psi {
	spinlock_t lock;
	u32 tasks;   /* (lock) of the group and below */
	u32 stalled; /* (lock) of them waiting for memory */
	u64 turns;   /* (lock) how often the last task went, or a first one came
		      */
	u64 since_ns;		     /* (lock) total is right up to here */
	u64 total[NR_PSI_KINDS];     /* (lock) nanoseconds */
	u64 period_ns;		     /* (lock) averages are right up to here */
	u64 at_period[NR_PSI_KINDS]; /* (lock) total at that time */
	u64 avg[NR_PSI_KINDS][NR_PSI_WINDOWS]; /* (lock) percent << 16 */
};

/* What a reader gets: percent times 100, and microseconds. */
struct psi_text {
	u64 avg[NR_PSI_KINDS][NR_PSI_WINDOWS];
	u64 total_us[NR_PSI_KINDS];
};

/* A stretch of lost time of the running task. */
struct memstall {
	struct memcg *memcg; /* with a reference; NULL: the root */
	bool counted;
};

void psi_init(struct memcg_psi *psi);

/* psi_memstall_enter / _leave: the running task waits for memory between the
 * two, which nest: the outermost pair counts. Any context that may sleep. */
void psi_memstall_enter(struct memstall *s);
void psi_memstall_leave(struct memstall *s);

/* psi_tasks: N tasks more (fewer) in MEMCG (NULL: the root) alone. */
void psi_tasks(struct memcg *memcg, s32 n);

/* psi_total: nanoseconds that MEMCG (NULL: the machine) lost until now.
 * psi_turns: how often it changed whether there are tasks in it or below. */
u64 psi_total(struct memcg *memcg, enum psi_kind kind);
u64 psi_turns(struct memcg *memcg);

/* psi_read: MEMCG's (NULL: the machine's) figures as of now. */
void psi_read(struct memcg *memcg, struct psi_text *out);

#endif
