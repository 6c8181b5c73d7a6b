/* SPDX-License-Identifier: MIT */
/*
 * proc_pid.h - what the files under /proc/PID share. Theory: proc_pid.c.
 */
#ifndef MM_REPORT_PROC_PID_H
#define MM_REPORT_PROC_PID_H

#include <mmkit/mempolicy.h>

#include "report/report.h"
#include "space/space.h"

/* A task as /proc sees it: copied, so that it may end meanwhile. */
struct proc_task {
	s32 pid;
	u64 min_flt, maj_flt;
	struct mm_struct *mm; /* a user of the caller's; NULL: none left */
	struct mempolicy *mempolicy; /* a reference of the caller's, or NULL */
	char comm[MM_TASK_COMM];
};

/* One mapping, copied under the mmap lock. */
struct proc_vma {
	uva_t start, end;
	u64 flags; /* VM_* */
	bool thp_eligible;
	u64 pgoff; /* 0 where there is no file */
	u32 major, minor;
	u64 ino;
	const char *name;  /* path, or what has no file; NULL */
	struct file *file; /* held, for its path; NULL */
};

/*
 * proc_vma_next: the first mapping that ends above ADDR. False: there is
 * none. Mmap lock held. proc_vma_put() once the text is made.
 */
bool proc_vma_next(struct mm_struct *mm, uva_t addr, struct proc_vma *out,
		   struct vm_area_struct **vma);

void proc_vma_put(struct proc_vma *v);

/* proc_put_range: the line of /proc/PID/maps, newline included. */
void proc_put_range(struct seq_buf *out, const struct proc_vma *v);

/*
 * proc_walk: call FN for each entry of VMA in [START, END) that is not none,
 * its table locked. Mmap lock held.
 */
typedef void (*proc_entry_fn)(struct vm_area_struct *vma,
			      const struct pt_slot *slot, uva_t addr,
			      void *arg);
void proc_walk(struct vm_area_struct *vma, uva_t start, uva_t end,
	       proc_entry_fn fn, void *arg);
/* proc_walk_change: FN changes entries; proc_walk()'s must not. */
void proc_walk_change(struct vm_area_struct *vma, uva_t start, uva_t end,
		      proc_entry_fn fn, void *arg);

/* The files. MM is held by the caller. */
/* _next: of the first mapping that ends above *AT, which is its end then.
 * False: there is none. The task has a space. */
bool show_pid_maps_next(const struct proc_task *t, uva_t *at,
			struct seq_buf *out);
bool show_pid_smaps_next(const struct proc_task *t, uva_t *at,
			 struct seq_buf *out);
void show_pid_smaps_rollup(const struct proc_task *t, struct seq_buf *out);
void show_pid_status(const struct proc_task *t, struct seq_buf *out);
void show_pid_statm(const struct proc_task *t, struct seq_buf *out);
void show_pid_numa_maps(const struct proc_task *t, struct seq_buf *out);

/* proc_put_policy: POL as Linux writes it: "bind=static:0-1", "default". */
void proc_put_policy(struct seq_buf *out, const struct mempolicy *pol);

/* proc_pages.c: 8-byte words from byte OFF on. As mm_read(). */
s64 read_pid_pagemap(const struct proc_task *t, u64 off, void *buf, size_t len);
s64 read_kpageflags(u64 off, void *buf, size_t len);
s64 read_kpagecount(u64 off, void *buf, size_t len);
s64 read_kpagecgroup(u64 off, void *buf, size_t len);

/* clear_refs.c: as mm_write(). */
s64 write_pid_clear_refs(const struct proc_task *t, const char *text,
			 size_t len);

/*
 * proc_pid_show / _read / _write: NAME is what follows "/proc/": "12/maps",
 * "self/maps". -ENOENT: no such file; -ESRCH: no such task.
 */
int proc_pid_show(const char *name, struct seq_buf *out);
/* As mm_show_next(). */
int proc_pid_show_next(const char *name, u64 *at, struct seq_buf *out);
s64 proc_pid_read(const char *name, u64 off, void *buf, size_t len);
s64 proc_pid_write(const char *name, const char *text, size_t len);

#endif
