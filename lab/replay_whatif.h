/* SPDX-License-Identifier: MIT */
/*
 * replay_whatif.h - what if the program had huge pages, or its equal pages were
 * merged: "mmkit replay --thp, --ksm".
 */
#ifndef LAB_REPLAY_WHATIF_H
#define LAB_REPLAY_WHATIF_H

#include <jansson.h>
#include <mmkit/types.h>

struct mm_struct;
struct replay;
struct replay_result;

/* What is asked for; texts belong to the caller. */
struct whatif_opts {
	const char *thp;	  /* "always", ...; NULL: as it comes */
	const char *thp_settings; /* "FILE=VALUE,..." or NULL */
	bool ksm;
	const char *ksm_settings; /* the same of KSM's files */
};

/* What a run with them gave; counts of pages unless said otherwise. */
struct whatif_result {
	bool thp, ksm;
	char mode[8];
	/* Huge pages: now, most, and what part of anonymous memory they were.
	 */
	u64 huge_end, huge_peak;
	double coverage_mean, coverage_end;
	u64 collapsed;	 /* by khugepaged, promotions included */
	u64 large_fills; /* TLB misses that a large page's entry ended */
	/* KSM. saved: frames that are not needed, zero pages included. */
	u64 saved_end, saved_peak;
	u64 shared, sharing, zero, unshared, scanned, full_scans;
	/* The same machine and program without either. */
	bool compared;
	u64 base_tlb_hits, base_tlb_misses;
	u64 base_min_flt, base_maj_flt, base_pageins, base_peak;
	u64 base_virtual_ns;
};

/* whatif_parse_thp: ARG is "MODE[,FILE=VALUE...]"; whatif_parse_ksm:
 * "[FILE=VALUE,...]" or NULL. Wrong ones end the process (err_usage). */
void whatif_parse_thp(struct whatif_opts *o, const char *arg);
void whatif_parse_ksm(struct whatif_opts *o, const char *arg);

/* whatif_compares: is a run without them worth its time? whatif_without: O for
 * that run. */
bool whatif_compares(const struct whatif_opts *o);
struct whatif_opts whatif_without(const struct whatif_opts *o);
void whatif_compare(struct replay_result *with,
		    const struct replay_result *without);

/* whatif_begin: in the machine, before the first task; what the machine refuses
 * ends the process. _space: of each new address space. _collect: at the end,
 * tasks alive. */
void whatif_begin(const struct whatif_opts *o, struct replay_result *res);
void whatif_space(const struct whatif_opts *o, struct mm_struct *mm);
void whatif_collect(struct replay_result *res);
/* whatif_saved: frames that merging saves now. */
u64 whatif_saved(void);

/* whatif_print: rows of the table of NR runs. whatif_json: the object "whatif"
 * of a run, or NULL. */
void whatif_print(const struct replay_result *runs, u32 nr);
json_t *whatif_json(const struct replay_result *r);

#endif
