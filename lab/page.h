/* SPDX-License-Identifier: MIT */
/*
 * page.h - how the command's HTML pages look, and how they are written.
 */
#ifndef LAB_PAGE_H
#define LAB_PAGE_H

#include <stddef.h>

/* The sheet of styles, for <style>; chart.h's classes are in it. */
extern const char page_style[];

/*
 * page_write: LEN bytes of TEXT become the file PATH as a whole or not at all;
 * what is no regular file is written to. 0, or -1 with errno set.
 */
int page_write(const char *path, const char *text, size_t len);

#endif
