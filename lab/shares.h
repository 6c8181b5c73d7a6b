/* SPDX-License-Identifier: MIT */
/*
 * shares.h - who had how much memory, over time: tasks and control groups.
 *
 *   shares.c  the table        shares_out.c  its charts and its JSON
 *
 * The table is of fixed size and holds no pointers, so that a result that has
 * one can go through a pipe. Theory: shares.c.
 */
#ifndef LAB_SHARES_H
#define LAB_SHARES_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>
#include <mmkit/types.h>

#define SHARES_SAMPLES 96
#define SHARES_OWNERS  32
#define SHARES_KINDS   4
#define SHARES_NAME    48
#define SHARES_NONE    UINT64_MAX /* not there, or no limit */

/* Of a task. */
enum { SHARE_ANON, SHARE_FILE, SHARE_SHMEM, SHARE_SWAP };
/* Of a group; the first two are use, the others limits. */
enum { SHARE_CURRENT, SHARE_SWAPPED, SHARE_HIGH, SHARE_MAX };

struct share_owner {
	u64 key;
	char name[SHARES_NAME];
	u64 peak;		/* most use at once, all kinds of it */
	u64 most[SHARES_KINDS]; /* of each kind; of a limit the last one */
	u64 v[SHARES_KINDS][SHARES_SAMPLES]; /* bytes, or SHARES_NONE */
};

struct shares {
	u32 kinds; /* the first so many are use, which can be added up */
	u32 nr_samples, nr_owners;
	bool open;   /* the sample under way is kept */
	double step; /* least distance of two samples */
	double x[SHARES_SAMPLES];
	u64 rest[SHARES_KINDS][SHARES_SAMPLES]; /* of those without a row */
	struct share_owner owner[SHARES_OWNERS];
};

/* shares_init: an empty table whose first KINDS kinds are use. */
void shares_init(struct shares *s, u32 kinds);

/* shares_begin: the moment X, not before the last; shares_put: at it, KEY has
 * so much of each kind. All that are there are put, each once. */
void shares_begin(struct shares *s, double x);
void shares_put(struct shares *s, u64 key, const char *name,
		const u64 v[SHARES_KINDS]);

/* shares_order: indices of all rows to ORDER, the greatest peak first. Returns
 * how many. */
u32 shares_order(const struct shares *s, u32 order[SHARES_OWNERS]);

/* Use of one owner (or, WHO = SHARES_OWNERS, of the rest) at sample I: kinds
 * FROM .. TO - 1 added up. */
u64 shares_use(const struct shares *s, u32 who, u32 i, u32 from, u32 to);

/* ---- shares_out.c */

struct shares_look {
	const char *x_name;
	double x_unit; /* of the axis: what is written at it is x / x_unit */
	u32 points;    /* at most so many in a curve */
	u32 details;   /* so many owners have a picture of their own */
};

/* Charts and a table of what each had at most; of no owner a sentence. */
void shares_put_tasks(FILE *f, const struct shares *s,
		      const struct shares_look *l);
void shares_put_groups(FILE *f, const struct shares *s,
		       const struct shares_look *l);

/* What each had at most, the greatest first. */
json_t *shares_tasks_json(const struct shares *s);
json_t *shares_groups_json(const struct shares *s);

#endif
