/* SPDX-License-Identifier: MIT */
/*
 * procfs.h - /proc and /sys, for the rest of the kernel and between their
 * files. Theory: pseudo.c (files made when read), proc.c, sysfs.c.
 */
#ifndef KERNEL_PROCFS_PROCFS_H
#define KERNEL_PROCFS_PROCFS_H

#include "procfs/pseudo.h"
#include "task.h"

/* procfs_init: register "proc" and "sysfs", begin to count the load. At boot,
 * once the clock's timers go. 0. */
int procfs_init(void) MM_MUST_CHECK;
/* procfs_exit: timers are off. For tests. */
void procfs_exit(void);

/* loadavg_get: the load averages of 1, 5 and 15 minutes, in 1/65536 as
 * sysinfo(2) has them. Any context. */
void loadavg_get(u64 out[3]);

/* What uname(2) and /proc/version say. */
#define KERNEL_SYSNAME "Linux"
#define KERNEL_RELEASE "6.1.0-mmkit"

/* ---- between the files ------------------------------------------------------
 */

extern const struct pentry proc_root_entry;
extern const struct pentry sysfs_root_entry;

/* Entries of the root by file. */
extern const struct pdir proc_sys_dir; /* sysctl.c */
extern const struct pdir pressure_dir; /* pressure.c: /proc/pressure */
extern const struct pdir sysfs_mm_dir; /* sysfs_mm.c: /sys/kernel/mm */

/*
 * Files of /sys that the manager itself shows and stores, by their paths
 * (mmkit/report.h): an entry's source is FOLDER with the name behind it.
 */
int sysfs_show_source(const struct pnode *n, struct seq_buf *out);
s64 sysfs_write_source(const struct pnode *n, const char *text, size_t len);

#define SYSFS_RW(n, folder, rights)                                        \
	{                                                                  \
		.name = n, .mode = S_IFREG | (rights), .source = folder n, \
		.show = sysfs_show_source, .write = sysfs_write_source     \
	}
#define SYSFS_RO(n, folder, rights)                                        \
	{                                                                  \
		.name = n, .mode = S_IFREG | (rights), .source = folder n, \
		.show = sysfs_show_source                                  \
	}

/* system.c */
int show_stat(const struct pnode *n, struct seq_buf *out);
int show_uptime(const struct pnode *n, struct seq_buf *out);
int show_loadavg(const struct pnode *n, struct seq_buf *out);
int show_cpuinfo(const struct pnode *n, struct seq_buf *out);
int show_version(const struct pnode *n, struct seq_buf *out);
int show_cmdline(const struct pnode *n, struct seq_buf *out);
int show_partitions(const struct pnode *n, struct seq_buf *out);
int show_diskstats(const struct pnode *n, struct seq_buf *out);
int show_interrupts(const struct pnode *n, struct seq_buf *out);

int show_filesystems(const struct pnode *n,
		     struct seq_buf *out); /* proc_fd.c */

/* kallsyms.c: /proc/kallsyms. kernel_symbol_name: the function behind whose
 * call ADDR is, to OUT; false: none is known. kernel_symbol_text: for
 * trace_set_symbol(). Any context. */
int next_kallsym(const struct pnode *n, u64 *at, struct seq_buf *out);
bool kernel_symbol_name(u64 addr, struct seq_buf *out);
u32 kernel_symbol_text(u64 addr, bool offset, char *buf, u32 size);

/* show_source: the report's file that the entry's source names. read_source:
 * the same of words. */
int show_source(const struct pnode *n, struct seq_buf *out);
s64 read_source(const struct pnode *n, u64 off, void *buf, size_t len);

/* pid_find: the entry of process NAME, its number in CHILD. pid_next: the
 * processes by number. */
const struct pentry *pid_find(const struct pkey *key, const char *name,
			      struct pkey *child);
const struct pentry *pid_next(const struct pkey *key, u64 *cursor, char *name);

/* put_list: "0-2,5" for the bits of BITS[NR]. */
void put_list(struct seq_buf *out, const u64 *bits, u32 nr);
/* put_mask: "3,ffffffff": 32 bits a word, the highest first; NR bits. */
void put_mask(struct seq_buf *out, const u64 *bits, u32 nr);

#define LLU(x) ((unsigned long long)(x))

#endif
