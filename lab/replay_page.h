/* SPDX-License-Identifier: MIT */
/*
 * replay_page.h - inside the report of replay: the page under way, and its
 * parts of one run each.
 */
#ifndef LAB_REPLAY_PAGE_H
#define LAB_REPLAY_PAGE_H

#include <stdio.h>

#include "chart.h"
#include "replay.h"

struct page_out {
	FILE *f;
	const struct replay_result *runs;
	u32 nr;
	const char *trace, *command;
	char **names;			     /* of the runs */
	const struct replay_result **sorted; /* by memory */
	u32 at[REPLAY_MAX_SAMPLES], nr_at;   /* samples that are drawn */
	double x[REPLAY_MAX_SAMPLES];
	double y[CHART_MAX_SERIES][REPLAY_MAX_SAMPLES];
};

/* replay_curves.c: what stands behind a tab, of run RUN. */
void replay_put_memory(struct page_out *o, u32 run);
void replay_put_tasks(struct page_out *o, u32 run);
void replay_put_reclaim(struct page_out *o, u32 run);
void replay_put_swap(struct page_out *o, u32 run);
void replay_put_fragments(struct page_out *o, u32 run);
void replay_put_frames(struct page_out *o, u32 run);
void replay_put_events(struct page_out *o, u32 run);

#endif
