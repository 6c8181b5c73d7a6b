/* SPDX-License-Identifier: MIT */
/*
 * stdlib.h - what tests on the bare machine need of it. Memory is a fixed pool
 * beside the manager's, as the C library's is beside the hosted worlds'.
 */
#ifndef SHIM_STDLIB_H
#define SHIM_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void free(void *p);
/* getenv: NAME=VALUE on the kernel's command line. */
char *getenv(const char *name);
unsigned long long strtoull(const char *text, char **end, int base);
_Noreturn void abort(void);
_Noreturn void exit(int status);
void qsort(void *base, size_t n, size_t size,
	   int (*cmp)(const void *, const void *));

#endif
