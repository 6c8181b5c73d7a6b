/* SPDX-License-Identifier: MIT */
/*
 * record_lackey.h - what record_lackey.c (the text) and record_calls.c (the
 * calls in it) share.
 */
#ifndef LAB_RECORD_LACKEY_H
#define LAB_RECORD_LACKEY_H

#include "record.h"

#define LINE_MAX_LEN 8192
#define THREADS_MAX  512
#define ARGS_MAX     6

struct thread {
	u32 task;
	bool live;
	s32 nr; /* of the call it is in, or -1 */
	u64 args[ARGS_MAX];
	char path[512];	 /* the last string among the arguments, */
	char first[512]; /* and the one before it */
};

struct lackey_proc {
	pid_t pid;
	struct rec_mm *mm;
	struct thread *threads[THREADS_MAX];
	u32 running;	    /* valgrind's thread number */
	u32 called;	    /* the thread whose call a result line belongs to */
	u32 first_task;	    /* the one that the parent waits for */
	u32 main_task;	    /* of the thread that runs after fork or exec */
	s32 status;	    /* from exit_group */
	bool ended, reaped; /* its text is over; it was waited for */
	bool started;	    /* later command lines are preambles or execs */
	bool execing;	    /* in execve, which does not return if it works */
	bool want_maps, has_task;
	bool fds_known; /* what it inherited was looked at */
	struct rec_fd fds[REC_FDS_MAX];
	u64 next_sample;
	char line[LINE_MAX_LEN];
	size_t fill;
	bool skip; /* the rest of a line that is too long */
	struct lackey_proc *next;
};

struct lackey {
	struct recorder *r;
	bool live;
	int (*lost)(void *arg, pid_t pid);
	void *arg;
	struct lackey_proc *procs;
	u64 garbage, unseen;
	/* For who looks at files. */
	char via[64], name[4096], full[4096], from[4096];
};

/* lackey_call_done: the call that T is in has succeeded with VALUE, or failed
 * with ERR: its records, other than WAIT. T is the current task. */
int lackey_call_done(struct lackey *l, struct lackey_proc *p,
		     const struct thread *t, u64 value, u32 err) MM_MUST_CHECK;

/* lackey_inherited: open files that the first process was born with. */
int lackey_inherited(struct lackey *l, struct lackey_proc *p) MM_MUST_CHECK;

#endif
