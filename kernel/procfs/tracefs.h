/* SPDX-License-Identifier: MIT */
/*
 * tracefs.h - /sys/kernel/tracing. Theory: tracefs.c, trace_pipe.c.
 */
#ifndef KERNEL_PROCFS_TRACEFS_H
#define KERNEL_PROCFS_TRACEFS_H

#include "base/mutex.h"
#include "base/trace_ring.h"
#include "base/wait.h"
#include "machine.h"
#include "procfs/pseudo.h"

/* Threads whose names are kept: a place for each number modulo this. */
#define TRACE_NAMES 256u

struct trace_name {
	u32 pid; /* 0: none */
	char comm[16];
};

/* A list of threads: a bit for each number below that. */
#define TRACE_PIDS 32768u
struct trace_pids {
	u64 *bits; /* (lock) NULL until the first write; (A) bits */
	bool on;   /* (lock) it counts; set after its bits */
};

enum trace_option { TRACE_EVENT_FORK, TRACE_MARKERS, NR_TRACE_OPTIONS };

/* All that it keeps. */
struct tracefs_state {
	struct mutex lock;
	bool off;		 /* (lock) tracing_on is 0 */
	u64 wanted[TRACE_WORDS]; /* (lock) events that are enabled */
	u64 kb;			 /* (lock) of each CPU's ring; 0: the default */
	bool made;		 /* (lock) the rings are there */
	struct trace_record *ring[MM_NR_CPUS]; /* (lock) */
	/* (lock) Of each CPU: records that were read or emptied away, that were
	 * read, and that were overwritten before. */
	u64 taken[MM_NR_CPUS], read[MM_NR_CPUS], lost[MM_NR_CPUS];
	struct trace_name names[TRACE_NAMES]; /* (lock) of what was read */
	struct trace_filter *filter[NR_TRACE_EVENTS]; /* (lock) NULL: none */
	struct trace_pids pids[2];     /* told of alone; not told of */
	bool option[NR_TRACE_OPTIONS]; /* (A) */
	wait_queue_head_t wait;	       /* for records; tracing_on */
	struct machine_timer tick;     /* looks for them while somebody waits */
};

extern const struct pdir tracefs_dir;
extern const struct pentry tracefs_root_entry;

/* tracefs_switch: tracing_on. Takes the lock. */
void tracefs_switch(bool on);
void tracefs_init(void);
/* tracefs_exit: no event is on any more, the rings are given back. For tests.
 */
void tracefs_exit(void);

/* ---- between the files
 * ----------------------------------------------------------------------- */

/* tracefs_rings: there are some. 0, -ENOMEM. Lock held. */
int tracefs_rings(void);
/* tracefs_ring_records: how many one holds. Lock held. */
u64 tracefs_ring_records(void);

/* trace_pipe.c: files that are read; pnode.key.num is a CPU and one, or 0: all.
 * saved_cmdlines: names of threads in what was or will be read. */
extern const struct file_operations trace_pipe_fops, trace_raw_fops,
	trace_records_fops;
int trace_open(const struct pnode *n, struct file *file);
int trace_show(const struct pnode *n, struct seq_buf *out);
void trace_empty(const struct pnode *n);
int trace_show_stats(const struct pnode *n, struct seq_buf *out);
int trace_show_names(const struct pnode *n, struct seq_buf *out);
int trace_show_lost(const struct pnode *n, struct seq_buf *out);

/* trace_filter.c: TEXT[LEN] is EVENT's filter, "0" none. MANY: one that means
 * nothing for it changes nothing. 0, -EINVAL, -ENOMEM. Lock held. _show: the
 * lock is taken. */
int trace_filter_set(u32 event, const char *text, size_t len, bool many);
void trace_filter_show(u32 event, struct seq_buf *out);
void trace_filter_exit(void);
/* trace_filter_update: there are other filters or lists. Lock held, or nobody
 * else is there. */
void trace_filter_update(void);

/* trace_pid.c: is R of a thread that is told of? Any context. _any: is there a
 * list? Files: an entry's arg is 0 for set_event_pid, 1 for notrace. */
bool trace_pid_wanted(const struct trace_record *r);
bool trace_pid_any(void);
int trace_pid_show(const struct pnode *n, struct seq_buf *out);
s64 trace_pid_write(const struct pnode *n, const char *text, size_t len);
void trace_pid_empty(const struct pnode *n);
int trace_options_show(const struct pnode *n, struct seq_buf *out);
s64 trace_options_write(const struct pnode *n, const char *text, size_t len);
extern const struct pdir trace_options_dir;
void trace_pid_init(void);
void trace_pid_exit(void);

void trace_pipe_init(void);
void trace_pipe_exit(void);

#endif
