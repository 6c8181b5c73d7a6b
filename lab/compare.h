/* SPDX-License-Identifier: MIT */
/*
 * compare.h - the parts of "mmkit compare": runs from two files of results, in
 * pairs.
 *
 *   compare.c  reading and pairing     compare_out.c  table, JSON, page
 *   cmd_compare.c  the verb
 */
#ifndef LAB_COMPARE_H
#define LAB_COMPARE_H

#include <stdio.h>

#include <jansson.h>
#include <mmkit/types.h>

#define COMPARE_MAX_PAIRS 4096
#define COMPARE_MAX_ROWS  1024
#define COMPARE_LABEL	  192

enum compare_kind {
	COMPARE_COUNT,
	COMPARE_SIZE, /* bytes */
	COMPARE_MS,   /* given in nanoseconds */
	COMPARE_REAL,
};

struct compare_row {
	const char *name; /* for people */
	const char *key;  /* as in the file: a member of the run, or vmstat.X */
	enum compare_kind kind;
	bool has[2];
	double v[2];
};

/* v[1] / v[0]; NAN where there is nothing to divide, or by. */
double compare_ratio(const struct compare_row *r);

struct compare_pair {
	char label[2][COMPARE_LABEL]; /* what the two runs were */
	u32 nr;
	struct compare_row *rows;
};

/* A file of runs: replay's and run's JSON. */
struct compare_file {
	const char *path;
	json_t *root, *runs; /* runs belongs to root */
};

struct compare {
	struct compare_file file[2];
	bool all; /* every counter that is not 0 in both */
	u32 nr;
	struct compare_pair *pairs;
	u32 alone[2]; /* runs without one to compare with */
	char note[256];
};

/* compare_load: both files and their pairs; what is no such file ends the
 * process with the reason (err_die). _free: gives all back. */
void compare_load(struct compare *c, const char *a, const char *b);
void compare_free(struct compare *c);

/* compare_value: a row's value for people, into BUF; "-": there is none. */
const char *compare_value(char buf[32], const struct compare_row *r, int side);
const char *compare_ratio_text(char buf[32], const struct compare_row *r);

void compare_print_table(FILE *f, const struct compare *c);
/* The contract "mmkit.compare/1". */
void compare_print_json(FILE *f, const struct compare *c);
/* 0, or -1 with errno set. */
int compare_write_html(const char *path, const struct compare *c,
		       const char *command);

#endif
