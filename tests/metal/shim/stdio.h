/* SPDX-License-Identifier: MIT */
/* stdio.h - output of tests on the bare machine: all of it to the log. */
#ifndef SHIM_STDIO_H
#define SHIM_STDIO_H

#include <stddef.h>

typedef struct selftest_file FILE;
#define stderr ((FILE *)0)
#define stdout ((FILE *)0)

int fprintf(FILE *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int snprintf(char *buf, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int fflush(FILE *f);

#endif
