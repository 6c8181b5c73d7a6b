/* SPDX-License-Identifier: MIT */
/*
 * task.h - what the memory manager keeps for each thread of control.
 *
 * A world's thread embeds one struct mm_task; port_current() returns the one
 * of the running thread. Threads, run queues and sleep/wake belong to the
 * port; this carries only what memory management needs to know of a thread.
 */
#ifndef MMKIT_TASK_H
#define MMKIT_TASK_H

#include <mmkit/types.h>

struct completion;
struct mempolicy;
struct mm_struct;
struct port_thread;
struct vm_area_struct;

/* mm_task.flags: contexts that change how allocations behave. */
#define PF_MEMALLOC	 0x00000001u /* may dip into the reserves, no reclaim */
#define PF_KSWAPD	 0x00000002u /* a page-out daemon */
#define PF_KTHREAD	 0x00000004u /* no user address space of its own */
#define PF_MEMALLOC_NOIO 0x00000008u /* allocations must not start I/O */
#define PF_MEMALLOC_NOFS 0x00000010u /* nor call into file systems */
#define PF_OOM_VICTIM	 0x00000020u /* chosen by the OOM killer */
#define PF_EXITING	 0x00000040u /* past exit_mm */
#define PF_MEMALLOC_PIN	 0x00000080u /* frames must stay where they are */
#define PF_MCE_PROCESS	 0x00000100u /* has a wish: PR_MCE_KILL */
#define PF_MCE_EARLY	 0x00000200u /* tell at once of lost memory */
#define PF_IDLE		 0x00000400u /* what a CPU runs that has no thread */
#define PF_INIT		 0x00000800u /* of process 1: never a victim of OOM */
#define PF_OOM_ORIGIN	 0x00001000u /* takes memory from all: first victim */

/* mm_task.caps: what capabilities(7) allow beyond the limits. */
#define MM_CAP_IPC_LOCK	    0x1u  /* RLIMIT_MEMLOCK does not bind */
#define MM_CAP_SYS_ADMIN    0x2u  /* the admin's reserve; poisoning of frames */
#define MM_CAP_SYS_NICE	    0x4u  /* move pages that others map as well */
#define MM_CAP_SYS_RESOURCE 0x8u  /* raise hard limits, PR_SET_MM */
#define MM_CAP_IPC_OWNER    0x10u /* permissions of System V IPC do not bind */
#define MM_CAP_SYS_PTRACE   0x20u /* watch other tasks: userfaultfd(2) */

#define MM_TASK_COMM 16
/* Locks one thread may hold at once; more fails the lock checker. */
#define MM_TASK_HELD_LOCKS 24

/* One entry of the debug build's record of held locks (base/lockdep). */
struct mm_held_lock {
	const void *lock;
	u16 class_id;
	u16 flags;
};

/* A leaf table that a walk found, and which part of the space it maps. */
struct mm_leaf {
	void *entries;
	struct page *table;
	u64 region; /* MM_LEAF_NONE: there is none */
};
#define MM_LEAF_NONE (~0UL)

/*
 * What a task read and wrote (proc(5), /proc/PID/io). The first four are the
 * world's, which knows of system calls; the manager counts the others: bytes
 * of requests to read that the task itself made, of swap and read ahead as
 * well; bytes of pages of files that it made dirty, to be written later by
 * whomever; and of these what it took back by cutting a file off before that.
 * Written by the task itself.
 */
struct mm_task_io {
	u64 rchar, wchar, syscr, syscw;
	u64 read_bytes, write_bytes, cancelled_write_bytes;
};

/* PAGES more in COUNTER, one of the running task's own. */
static inline void task_io_add(u64 *counter, u64 pages)
{
	WRITE_ONCE(*counter, *counter + pages * PAGE_SIZE);
}

struct mm_task {
	struct mm_struct *mm; /* own address space; NULL: kernel thread */
	struct mm_struct *active_mm; /* the one loaded while this runs */
	/* What it executed at its last fault, if known; the port's. */
	u64 fault_ip;
	u32 flags; /* PF_*; written by the task itself */
	u32 caps;  /* MM_CAP_*; set by the world */
	s32 pid;   /* 0 until mm_task_register() */
	/* The process whose thread it is: set by the world before it is
	 * registered, or its own pid from then on. Whose it is: the world's. */
	s32 tgid;
	u32 uid;
	/* A pending kill (SIGKILL by OOM), or 0; who sets it unparks THREAD. */
	s32 fatal_signal;
	s16 oom_score_adj; /* -1000 .. 1000 */
	u16 group;	   /* memory control group id; 0 is the root */
	u32 over_high;	   /* pages charged above memory.high, not paid for */
	u16 il_prev;	   /* node of the last turn of interleaving */
	u8 il_left;	   /* turns that it has left */
	struct mempolicy *mempolicy; /* NULL: default (mmkit/mempolicy.h) */
	u64 min_flt, maj_flt;	     /* faults without / with I/O, own thread */
	bool in_memstall; /* it loses time for lack of memory, which is counted
			   */
	struct mm_task_io io;
	u32 nr_dirtied; /* pages of files since it last looked at limits */
	struct vm_area_struct *fault_vma; /* of the last fault, and when it */
	u64 fault_seq;			  /* was found (space/vma_lock.c) */
	struct mm_leaf fault_leaf;	  /* its table of the last fault */
	struct completion *vfork_done;	  /* done when this leaves its space */
	u64 reclaimed_slab;	    /* frames of slabs freed in PF_MEMALLOC */
	struct port_thread *thread; /* set by the port at creation */
	u32 trace_id; /* in tracepoints while there is no pid; set by the port
		       */
	struct mm_task *next, **pprev; /* registry of tasks (space/) */
	char comm[MM_TASK_COMM];
	/* Lock checker; used in debug builds only, kept in all layouts. */
	u32 nr_held;
	struct mm_held_lock held[MM_TASK_HELD_LOCKS];
};

#endif
