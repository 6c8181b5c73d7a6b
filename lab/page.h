/* SPDX-License-Identifier: MIT */
/*
 * page.h - the frame of the command's HTML pages: head, tabs, runs, events, the
 * map of frames, end; and how a page comes into its file.
 *
 * A page is one file that needs nothing else and asks nobody (its policy
 * forbids it to). Without its script all of it stands below each other. Stream
 * errors are the caller's to look for (ferror).
 *
 *   page.c  the file        page_parts.c  the rest        embed.S  what is no
 * C: report.css  the looks   report.js  the script
 */
#ifndef LAB_PAGE_H
#define LAB_PAGE_H

#include <stddef.h>
#include <stdio.h>

#include <mmkit/types.h>

/* Embedded texts; the library's is empty where none was there to build with. */
extern const char page_style[], page_script[], page_library[];

struct page_about {
	const char *title, *verb; /* plain text */
	const char *about;	  /* a sentence, HTML */
	const char *command;	  /* as typed, or NULL */
	const char *const *runs;  /* names to choose from */
	u32 nr_runs;
};

struct page_tab {
	const char *id, *name;
};

/* page_begin: up to the end of the header. page_tabs: how one gets to the
 * sections, NR may be 0. page_end: FOOT is HTML. */
void page_begin(FILE *f, const struct page_about *a);
void page_tabs(FILE *f, const struct page_tab *tabs, u32 nr);
void page_end(FILE *f, const char *foot);

/* A section behind a tab, and in it what belongs to run NR (from 1 on); the
 * run's NAME is left out where there is but one. */
void page_tab_begin(FILE *f, const struct page_tab *tab);
void page_tab_end(FILE *f);
void page_run_begin(FILE *f, u32 nr, const char *name);
void page_run_end(FILE *f);

struct page_event {
	const char *name;
	u64 count;
};

/* page_events: a table with bars, the most frequent first; sorts E. */
void page_events(FILE *f, struct page_event *e, u32 nr);

/* What RAM was used for at one moment, a letter for each cell. */
struct page_shot {
	u64 x;
	double ms; /* NAN: x says it all */
	const char *cells;
};

struct page_frames {
	const char *x_name;
	u32 order; /* a cell is 2^order frames */
	u32 cells, nr;
	u32 stills; /* 1 or 3: on paper the middle, or also first and last */
	const struct page_shot *shots;
};

/* page_frames_write: the map of frames with a slider over the moments. */
void page_frames_write(FILE *f, const struct page_frames *p);

/*
 * page_write: LEN bytes of TEXT become the file PATH as a whole or not at all;
 * what is no regular file is written to. 0, or -1 with errno set.
 */
int page_write(const char *path, const char *text, size_t len);

/*
 * page_compose: PUT(F, ARG) writes the page into a stream in memory, and then
 * it becomes PATH by page_write(). 0, or -1 with errno set.
 */
int page_compose(const char *path, void (*put)(FILE *f, void *arg), void *arg);

/* page_check: can PATH be written to? 0, or -1 with errno set; nothing is left
 * behind. */
int page_check(const char *path);

#endif
