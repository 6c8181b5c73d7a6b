/* SPDX-License-Identifier: MIT */
/*
 * oom_priv.h - what choosing a victim (oom.c) and telling of it (oom_report.c)
 * share.
 */
#ifndef MM_POLICY_OOM_PRIV_H
#define MM_POLICY_OOM_PRIV_H

#include <mmkit/gfp.h>
#include <mmkit/task.h>

#include "phys/mempolicy.h"

struct memcg;

/* A group's path that is longer is cut. */
#define OOM_PATH 256

struct oom_choice {
	struct memcg *root;	/* whose limit it is; NULL: the machine's */
	struct memcg *together; /* who dies with the victim; a reference */
	struct mm_task *victim; /* only compared once the lock is dropped */
	struct mm_struct *mm;	/* the victim's, with a reference */
	nodemask_t nodes;	/* that the allocation is limited to */
	u64 points;
	s32 pid;
	u32 uid;
	s16 oom_score_adj;
	char comm[MM_TASK_COMM];
	char group[OOM_PATH];		 /* path of the victim's */
	const struct mm_struct *init_mm; /* process 1's: only compared */
	bool victim_pending;		 /* one is on its way out */
	u32 user_tasks;
};

enum oom_constraint { CONSTRAINT_NONE, CONSTRAINT_POLICY, CONSTRAINT_MEMCG };

/* oom_task_below: is TASK in ROOT or below? NULL: all are. Any context that may
 * take locks. */
bool oom_task_below(const struct mm_task *task, const struct memcg *root);

/* ---- oom_report.c: all with oom_lock held ------------------------------- */

/* oom_report_allowed: may the next kill be told at length? A storm is not: ten
 * in five seconds, as on Linux. */
bool oom_report_allowed(void);

/* oom_constrained: does the allocation lack memory of some nodes or of a group
 * only? */
enum oom_constraint oom_constrained(const struct oom_choice *c);

/* oom_dump_header: who asked for what, what there is, and who has it. */
void oom_dump_header(const struct oom_choice *c, gfp_t gfp, unsigned int order);

/* oom_report_constraint: the line that programs read. */
void oom_report_constraint(const struct oom_choice *c);

/* oom_report_kill: the victim, kept for mm_last_oom(); or (TASK) one who dies
 * with it, under the registry's lock. */
void oom_report_kill(const struct oom_choice *c, const struct mm_task *task);

/* oom_report_together: all in GROUP follow. */
void oom_report_together(const struct memcg *group);

/* oom_report_reaped: what is left of WHO's space MM, which was emptied, or
 * could not be. Any context. */
struct mm_struct;
struct oom_name;
void oom_report_reaped(const struct oom_name *who, const struct mm_struct *mm,
		       bool reaped);

#endif
