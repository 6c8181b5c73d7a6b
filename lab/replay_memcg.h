/* SPDX-License-Identifier: MIT */
/*
 * replay_memcg.h - "mmkit replay --memcg": tasks of a trace in control groups
 * of their own. Theory: replay_memcg.c.
 */
#ifndef LAB_REPLAY_MEMCG_H
#define LAB_REPLAY_MEMCG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include <mmkit/types.h>

#include "shares.h"

struct mm_task;
struct replay_result;

#define MEMCG_RULES 32
#define MEMCG_SHOWN 64

struct memcg_opts {
	bool all;      /* tasks without a rule have a group with ALL_BYTES */
	u64 all_bytes; /* 0: without a limit */
	u32 nr;
	struct {
		u32 task;
		u64 bytes;
	} rule[MEMCG_RULES];
};

/* What a group came to; bytes and counts as its files tell them. */
struct memcg_row {
	u32 task;
	u16 id;
	bool limited;
	u64 max, peak, swap_peak;
	u64 refaults, major, scanned, reclaimed;
	u64 at_max, kills;
	u64 some_us, full_us;
};

struct memcg_result {
	u32 nr; /* groups; of these the first MEMCG_SHOWN are kept */
	bool asked;
	struct memcg_row row[MEMCG_SHOWN];
};

/* memcg_parse: "8M", "0=8M,3=4M", "0=max,1M": exits with a message if it is no
 * such list. */
void memcg_parse(struct memcg_opts *o, const char *arg);

/* memcg_task: TASK, number ID of the trace, goes to a group of its own if O
 * says so; before it uses memory. memcg_collect: the groups' figures to
 * RES->memcg. memcg_end: the groups are removed; no task is in them. */
void memcg_task(const struct memcg_opts *o, struct replay_result *res,
		struct mm_task *task, u32 id);
void memcg_collect(struct replay_result *res);
void memcg_end(struct replay_result *res);

/* memcg_look: what the group of ROW has now: memory.current, .swap.current,
 * .high and .max, in the order of shares.h. */
void memcg_look(const struct memcg_row *row, u64 v[SHARES_KINDS]);

/* memcg_print: a table for each run; memcg_json: a list. */
void memcg_print(const struct replay_result *runs, u32 nr);
json_t *memcg_json(const struct replay_result *r);

#endif
