/* SPDX-License-Identifier: MIT */
/*
 * mt_string.h - moving bytes without the C library: see mt_string.c.
 *
 * Before each file of the library that is preloaded. Calls of these four go to
 * functions of the library: the linker gives each the name that is said here
 * (--wrap), also where a file without the C library calls a compiler's own,
 * whose name no declaration changes. That these are ours, and so no look into a
 * table of addresses is needed, is what the declarations add.
 */
#ifndef MALLOC_MT_STRING_H
#define MALLOC_MT_STRING_H

#include <stddef.h>

#define MT_OURS(name) __asm__(name) __attribute__((visibility("hidden")))

void *memset(void *to, int c, size_t n) MT_OURS("__wrap_memset");
void *memcpy(void *to, const void *from, size_t n) MT_OURS("__wrap_memcpy");
void *memmove(void *to, const void *from, size_t n) MT_OURS("__wrap_memmove");
int memcmp(const void *a, const void *b, size_t n) MT_OURS("__wrap_memcmp");

#endif
