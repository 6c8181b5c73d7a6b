/* SPDX-License-Identifier: MIT */
/*
 * main.h - what the first thread does, in parts.
 */
#ifndef KERNEL_MAIN_H
#define KERNEL_MAIN_H

/* cmdline_parse: TEXT is the machine's command line. */
void cmdline_parse(const char *text);

/* filesystems_init: all kinds that there are, and /proc's files. Each kind's
 * part is weak until it is there. */
void filesystems_init(void);

#endif
