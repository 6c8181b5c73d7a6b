/* SPDX-License-Identifier: MIT */
/*
 * sysctl.h - the shape of the table of tunables.
 */
#ifndef MM_API_SYSCTL_H
#define MM_API_SYSCTL_H

#include <mmkit/sysctl.h>

/* Numbers that a list may have. */
#define SYSCTL_MAX_VALUES 8

/* One tunable: numbers of WIDTH bytes, each at an address of its own. */
struct sysctl_entry {
	const char *name;
	void *at[SYSCTL_MAX_VALUES]; /* NULL ends the list */
	u8 width;		     /* 4 or 8 */
	u64 lo, hi;		     /* range of every number */
	u64 zero_or;		     /* 0 is allowed, else at least this */
	void (*changed)(void);	     /* what to compute anew; may be NULL */
	/* Does number I of the list exist on this machine? NULL: all do. */
	bool (*exists)(int i);
	/* Or a word in place of numbers: 0 or a negative errno; the word. */
	int (*set_word)(const char *word);
	const char *(*get_word)(void);
};

#endif
