/* SPDX-License-Identifier: MIT */
/*
 * dump.h - a copy of the simulated machine's /proc and /sys as a directory.
 * Theory: dump.c.
 */
#ifndef LAB_DUMP_H
#define LAB_DUMP_H

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

#endif
