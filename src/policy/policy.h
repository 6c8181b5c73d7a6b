/* SPDX-License-Identifier: MIT */
/*
 * policy.h - what to do when memory is short: the slow path of allocation,
 * the daemons, the OOM killer.
 */
#ifndef MM_POLICY_POLICY_H
#define MM_POLICY_POLICY_H

#include <mmkit/port.h>

#include <mmkit/memory_hotplug.h>

#include "base/mutex.h"
#include "base/wait.h"
#include "phys/alloc.h"
#include "phys/mmzone.h"
#include "policy/damon.h"

struct memcg;
struct mm_struct;

/* A node's compaction daemon. (A) but for thread. */
struct kcompactd {
	struct port_thread *thread;
	wait_queue_head_t wait;
	int order;
	enum zone_type highest;
	bool asked, stop;
};

/* A victim, for the report. */
struct oom_name {
	s32 pid;
	char comm[MM_TASK_COMM];
};

struct policy_state {
	struct kcompactd kcompactd[MM_MAX_NODES]; /* by node */
	struct mutex oom_lock;
	u64 oom_kills;		       /* (oom_lock) */
	u64 last_kill_ns;	       /* (oom_lock) port_now_ns() of it */
	struct mm_struct *reap_mm;     /* (oom_lock) next for the reaper */
	struct oom_name reap_name;     /* (oom_lock) whose that is */
	bool stop;		       /* daemons must end; read anywhere */
	u32 dirty_writeback_centisecs; /* tunable: the flusher's round */
	/* tunables, as Linux's of these names */
	u32 panic_on_oom, oom_kill_allocating_task, oom_dump_tasks;
	struct port_thread *reaper, *flusher;
	wait_queue_head_t reaper_wait;
	char last_oom[192];  /* (oom_lock) the last kill in one line */
	u64 report_since_ns; /* (oom_lock) long reports: since when, */
	u32 report_nr;	     /* (oom_lock) and how many */
	/* Prints memory.stat of a group; set at boot. */
	void (*group_report)(struct memcg *memcg);
	struct damon_reclaim_state damon; /* damon_reclaim.c */
	struct memory_notifier hotplug;	  /* call is NULL: not registered */
};

extern struct policy_state policy_sys;

void policy_reset(void);

/* policy_init: registers the slow path. At boot, before daemons. */
void policy_init(void);

/*
 * policy_start_daemons: kswapd for each node with memory, the OOM reaper, the
 * flusher. 0, or a negative errno with none left running. May sleep.
 */
int policy_start_daemons(void) MM_MUST_CHECK;

/* policy_stop_daemons: ask all to end and wait until they have. */
void policy_stop_daemons(void);

/* ---- kswapd.c
 * ----------------------------------------------------------------- */

/* wakeup_kswapd: ZONE is low: its node's daemon should look. Any context. */
void wakeup_kswapd(struct zone *zone, gfp_t gfp, unsigned int order,
		   enum zone_type highest_zoneidx);

/* kswapd_run / kswapd_stop: start and end a node's daemon. */
int kswapd_run(pg_data_t *pgdat) MM_MUST_CHECK;
void kswapd_stop(pg_data_t *pgdat);

/* kswapd_watch: nodes that get or lose memory get or lose a daemon; or not. */
void kswapd_watch(bool on);

/* ---- kcompactd.c
 * -------------------------------------------------------------- */

/* wakeup_kcompactd: blocks of ORDER are wanted on PGDAT from zones up to
 * HIGHEST. Any context. kcompactd_run, _stop: the node's daemon. */
void wakeup_kcompactd(pg_data_t *pgdat, unsigned int order,
		      enum zone_type highest);
int kcompactd_run(pg_data_t *pgdat) MM_MUST_CHECK;
void kcompactd_stop(pg_data_t *pgdat);

/* ---- oom.c
 * ------------------------------------------------------------------------ */

/*
 * out_of_memory: nothing can be reclaimed. Kills the task that gains most, or
 * waits for one that is going. AC: where the caller looked, which is looked at
 * once more before. True: memory will come, try again. False: there is nobody
 * to kill. Context: may sleep.
 */
bool out_of_memory(gfp_t gfp, unsigned int order,
		   const struct alloc_context *ac);

/* memcg_out_of_memory: the same for MEMCG at its limit, among its own tasks:
 * memcg_ops' oom (memcg/memcg.h). */
bool memcg_out_of_memory(struct memcg *memcg, gfp_t gfp, unsigned int order);

/* oom_badness: what killing TASK would gain, pages; 0: not to be killed. */
u64 oom_badness(const struct mm_task *task);

int oom_reaper_run(void) MM_MUST_CHECK;

/* ---- node_reclaim.c
 * ------------------------------------------------------------------ */

/* node_reclaim: see struct pressure_ops (phys/alloc.h). */
enum node_reclaim_result node_reclaim(pg_data_t *pgdat, gfp_t gfp,
				      unsigned int order);

/* khugepaged_run: khugepaged.c. 0 or a negative errno. */
int khugepaged_run(void) MM_MUST_CHECK;

/* ---- numa_balance.c
 * ------------------------------------------------------------------ */

/* numa_balancing_changed: space_sys.numa.mode was set. May sleep. _stop: at
 * the end of the machine, policy_sys.stop being set. */
void numa_balancing_changed(void);
void numa_balancing_stop(void);

/* ---- flusher.c
 * ----------------------------------------------------------------------- */

int flusher_run(void) MM_MUST_CHECK;

#endif
