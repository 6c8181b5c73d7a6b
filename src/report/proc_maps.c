/* SPDX-License-Identifier: MIT */
/*
 * proc_maps.c - /proc/PID/maps: a line for each mapping.
 */
#include "report/proc_pid.h"

/* Names stand behind the column that 64-bit addresses need at most. */
#define MAPS_NAME_COLUMN 73

void proc_put_range(struct seq_buf *out, const struct proc_vma *v)
{
	char line[96];
	int n = mm_scnprintf(
		line, sizeof(line),
		"%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ", LLU(v->start),
		LLU(v->end), v->flags & VM_READ ? 'r' : '-',
		v->flags & VM_WRITE ? 'w' : '-', v->flags & VM_EXEC ? 'x' : '-',
		v->flags & VM_MAYSHARE ? 's' : 'p', LLU(v->pgoff << PAGE_SHIFT),
		v->major, v->minor, LLU(v->ino));

	seq_puts(out, line);
	if (v->name)
		seq_printf(out, "%*s%s", max(MAPS_NAME_COLUMN - n, 0), "",
			   v->name);
	seq_putc(out, '\n');
}

bool show_pid_maps_next(const struct proc_task *t, uva_t *at,
			struct seq_buf *out)
{
	struct vm_area_struct *vma;
	struct proc_vma v;
	bool found;

	mmap_read_lock(t->mm);
	found = proc_vma_next(t->mm, *at, &v, &vma);
	mmap_read_unlock(t->mm);
	if (!found)
		return false;
	proc_put_range(out, &v);
	proc_vma_put(&v);
	*at = v.end;
	return true;
}
