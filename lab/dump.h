/* SPDX-License-Identifier: MIT */
/*
 * dump.h - a copy of a machine's /proc and /sys as a directory.
 *
 *   dump_dir.c  the directory     dump.c  what a simulated machine has
 */
#ifndef LAB_DUMP_H
#define LAB_DUMP_H

#include <stdbool.h>
#include <stddef.h>

/*
 * dump_check: DIR, of --dump-proc, is made, or is an empty directory already;
 * else the process ends with a message (err_die). Before the machine runs.
 */
void dump_check(const char *dir);

/*
 * dump_proc: all files below DIR, which dump_check() has seen; a second call
 * of the process does nothing. Takes virtual time and
 * changes nothing else of the machine. A file that
 * cannot be written ends the process with its name (err_die). Inside BODY of
 * machine_run(); may sleep.
 */
void dump_proc(const char *dir);

/*
 * dump_open: files go to DIR, which dump_check() has seen, from now on; false:
 * some did already. OF_GUEST: text may be of a kernel that is not ours; what
 * has no form then is said and left out. dump_write: TEXT[LEN], 0 behind it, is
 * the file PATH, which begins with "/", and of some also JSON. What cannot be
 * written ends the process with its name (err_die).
 */
bool dump_open(const char *dir, bool of_guest);
/* dump_link: a link of the text TO, beside files that were written. */
void dump_link(const char *path, const char *to);
void dump_write(const char *path, const char *text, size_t len);

#endif
