/* SPDX-License-Identifier: MIT */
/*
 * exec.h - a program on its way into memory: exec.c and elf.c.
 */
#ifndef KERNEL_TASK_EXEC_H
#define KERNEL_TASK_EXEC_H

#include <mmkit/prctl.h>

#include "task/task_priv.h"

#define EXEC_HEAD	256u /* bytes of a file that say what it is */
#define MAX_ARG_STRLEN	(32 * PAGE_SIZE)
#define EXEC_MAX_NESTED 5u

/* The new program; everything in it goes back by exec_end(). */
struct exec {
	struct file *file;    /* the program, or its interpreter (#!) */
	struct mm_struct *mm; /* new, not anybody's yet */
	const char *path;     /* what was asked for; the caller's */
	char *buf;	      /* a page */
	char *name;	      /* of file: as it was asked for, or by #! */
	u8 head[EXEC_HEAD];   /* zeroes behind a short file's end */
	uva_t stack_top, stack_low;
	uva_t p;   /* the lowest word of the strings so far */
	u64 limit; /* bytes that strings may take */
	uva_t execfn;
	u32 argc, envc;
	bool secure, denied; /* AT_SECURE; file is not to be written */
	struct cred cred;
	/* What the loader says. */
	uva_t entry; /* where user mode begins */
	uva_t phdr, base, prog_entry;
	u16 phnum;
	bool exec_stack;
	struct prctl_mm_map map;
};

/* exec_read: N bytes at OFF of FILE, all of them: 0, -ENOEXEC (it ends before),
 * -EIO or what reading says. */
int exec_read(struct file *file, void *to, u64 n, u64 off) MM_MUST_CHECK;
/* exec_deny_write: nobody may write FILE from now on: 0, -ETXTBSY. */
int exec_deny_write(struct file *file) MM_MUST_CHECK;
void exec_allow_write(struct file *file);

/*
 * elf_load: E->file into E->mm: -ENOEXEC: not a program for this machine;
 * -ELIBBAD: its interpreter is not; errors of opening that, of mapping. After
 * a failure E->mm may hold parts.
 */
int elf_load(struct exec *e) MM_MUST_CHECK;
/* elf_tables: arguments, environment, auxiliary vector on the stack; the
 * stack pointer to *SP. 0, -EFAULT, -ENOMEM, -E2BIG. */
int elf_tables(struct exec *e, uva_t *sp) MM_MUST_CHECK;

#endif
