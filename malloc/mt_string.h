/* SPDX-License-Identifier: MIT */
/*
 * mt_string.h - moving bytes without the C library: see mt_string.c.
 *
 * Before each file of the library that is preloaded: calls of these four, those
 * of the compiler's own among them, go to functions of the library.
 */
#ifndef MALLOC_MT_STRING_H
#define MALLOC_MT_STRING_H

#include <stddef.h>

#define MT_OURS(name) __asm__(name) __attribute__((visibility("hidden")))

void *memset(void *to, int c, size_t n) MT_OURS("mt_memset");
void *memcpy(void *to, const void *from, size_t n) MT_OURS("mt_memcpy");
void *memmove(void *to, const void *from, size_t n) MT_OURS("mt_memmove");
int memcmp(const void *a, const void *b, size_t n) MT_OURS("mt_memcmp");

#endif
