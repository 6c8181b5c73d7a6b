/* SPDX-License-Identifier: MIT */
/*
 * sim_files.h - open files of the processes on mmkit's side: what a kernel's
 * tables of descriptors and the calls above the manager would do.
 */
#ifndef TESTS_DIFF_SIM_FILES_H
#define TESTS_DIFF_SIM_FILES_H

#include <mmkit/mm.h>

#include "diff.h"

struct file;

/* sim_files_start: in a new machine: two disks. */
void sim_files_start(void);
/* sim_files_prepare: what a sequence that uses USES (DIFF_USES_*) begins with,
 * in process 0. */
void sim_files_prepare(uint32_t uses);
void sim_files_fork(uint32_t parent, uint32_t child);
void sim_files_close(uint32_t proc);

/* sim_file: what PROC has open as FD, or NULL. */
struct file *sim_file(uint32_t proc, uint64_t fd);
/* sim_file_state: as on the other side; FILE may be NULL. */
void sim_file_state(struct file *file, uint64_t *size, uint64_t *hash);

/* sim_mmap_file: mmap(2) with a descriptor. */
s64 sim_mmap_file(struct mm_struct *mm, const struct diff_op *op);
/* sim_file_call: false: OP is none of the calls on open files. *PARTED: what
 * comes after is not comparable. */
bool sim_file_call(const struct diff_op *op, struct diff_result *r,
		   bool *parted);

#endif
