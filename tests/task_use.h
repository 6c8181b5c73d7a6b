/* SPDX-License-Identifier: MIT */
/*
 * task_use.h - the calling thread in one address space after the other.
 */
#ifndef TESTS_TASK_USE_H
#define TESTS_TASK_USE_H

#include <mmkit/mm.h>
#include <mmkit/task.h>

/* The calling thread leaves the space that it is in, whose last user goes with
 * it, and runs in MM from now on (NULL: in none). */
static inline void task_use(struct mm_struct *mm)
{
	struct mm_task *task = port_current();

	if (task->mm)
		mm_task_exit(task);
	task->flags &= ~(u32)PF_EXITING;
	if (mm)
		mm_task_attach(task, mm);
}

#endif
