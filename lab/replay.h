/* SPDX-License-Identifier: MIT */
/*
 * replay.h - a recorded program's memory life on a machine of ours.
 */
#ifndef LAB_REPLAY_H
#define LAB_REPLAY_H

#include <stdio.h>

#include <mmkit/report.h>
#include <mmkit/types.h>

#include "events.h"
#include "machine.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"
#include "replay_memcg.h"
#include "replay_whatif.h"
#include "shares.h"
#include "trace.h"

struct mm_struct;

/* ---- what a run produces ----------------------------------------------------
 */

#define REPLAY_MAX_ZONES   8
#define REPLAY_MAX_SAMPLES 512
#define REPLAY_MAX_SHOTS   48
#define REPLAY_MAX_MOMENTS 512

/* The machine at one moment of a run; pages unless said otherwise. Counts are
 * those since the start. */
struct replay_sample {
	u64 references; /* replayed so far */
	u64 virtual_ns;
	u64 free, min, low, high;   /* of all zones */
	u64 free_least, free_most;  /* since the sample before */
	u64 zone[REPLAY_MAX_ZONES]; /* free, of each */
	u64 active_anon, inactive_anon, active_file, inactive_file;
	u64 unevictable, swapcache;
	u64 lru_anon, lru_file;	  /* on any list, or isolated */
	u64 slab, tables, kernel; /* kernel: what all others leave */
	u64 pgfault, pgmajfault, pswpin, pswpout;
	u64 scan_kswapd, scan_direct, steal_kswapd, steal_direct;
	u64 refault_anon, refault_file;
	u64 anon, huge, saved; /* mapped; of these, in blocks of 512; by KSM */
	u64 in_order[MAX_ORDER]; /* free, in blocks of 2^n frames or larger */
};

/* Free memory of one zone at a moment of the close-up. */
struct replay_moment {
	u64 virtual_ns, free;
	u64 steal_kswapd, steal_direct;
};

/*
 * The first time that free memory of a zone comes down to its low watermark,
 * and what follows, fault by fault.
 */
struct replay_closeup {
	char zone[32];
	u64 min, low, high;
	u32 nr;
	struct replay_moment m[REPLAY_MAX_MOMENTS];
};

/* What RAM was used for at one moment: src/report/frame_map.c. */
struct replay_shot {
	u64 references, virtual_ns;
	char cells[MM_FRAME_MAP_CELLS];
};

/* All that was looked at over time. */
struct replay_series {
	u32 nr_samples, nr_zones, nr_shots;
	u32 cells, cell_order; /* of each shot */
	char zones[REPLAY_MAX_ZONES][32];
	struct replay_sample samples[REPLAY_MAX_SAMPLES];
	struct replay_closeup closeup;
	struct replay_shot shots[REPLAY_MAX_SHOTS];
	struct shares tasks, groups; /* address spaces; of --memcg */
};

struct replay_result {
	/* The machine. */
	u64 mem_bytes, swap_bytes, seed;
	u32 cpus;
	char arch[16]; /* its name, as --arch takes it */
	char policy[16];
	/* What was replayed. */
	u64 references;	     /* raw references, sum of all records' counts */
	u64 records;	     /* page-run records */
	u64 footprint_pages; /* distinct pages touched */
	u64 min_flt, maj_flt;
	u64 peak_user_pages; /* most user frames resident at once */
	/* Swap-ins, and pages of files read again; read-ahead included. */
	u64 pageins;
	u64 min_pageins; /* the optimum's at min_frames frames */
	bool min_known;	 /* it was computed, or need not be */
	u64 min_frames;
	u64 tlb_hits, tlb_misses;
	u64 data_checks, data_errors;
	u64 access_errors;     /* accesses that ended in a signal */
	u64 call_mismatches;   /* calls that ended otherwise than recorded */
	u64 file_as_anon;      /* file pages replayed as anonymous */
	u64 shared_as_private; /* mappings */
	u64 touch_maps;	       /* mappings that nobody had accounted for */
	u64 leaks; /* findings of the audit when all tasks were gone */
	u64 killed_tasks;
	u64 unsupported_calls; /* counted, not replayed */
	u64 virtual_ns, wall_ns;
	u64 stall_ns; /* in faults that read pages in or reclaimed, all tasks */
	u32 mem_percent; /* mem_bytes is that much of the footprint; 0: is not
			  */
	u64 digest;
	u64 events[NR_VM_EVENT_ITEMS];
	u64 refault_anon, refault_file;
	/* With files as files (exact); pages unless said otherwise. */
	bool exact;
	u64 file_min_flt, file_maj_flt; /* faults in mappings of files */
	u64 shm_min_flt, shm_maj_flt;	/* and of shared memory */
	u64 cache_pages, cache_peak;	/* page cache: at the end, most */
	u64 mapped_pages, dirty_pages;	/* of these, at the end */
	u64 dirtied, written;		/* made dirty; written back, no swap */
	u64 file_reads;			/* read from the files' disk */
	u64 file_rereads;		/* of these so many had been there */
	u64 disk_reads, disk_writes;	/* requests */
	u64 special_maps;		/* mappings of devices, as anonymous */
	char oom[128];			/* the last OOM kill, or "" */
	struct whatif_result whatif;
	struct memcg_result memcg;
	struct replay_series series;
};

enum replay_files {
	REPLAY_FILES_AUTO, /* as the trace's version says */
	REPLAY_FILES_ANON, /* version 1: file mappings are anonymous memory */
	REPLAY_FILES_REAL  /* version 2: they are files */
};

struct replay_opts {
	struct machine_opts machine;
	const char *trace;
	bool progress; /* on stderr */
	bool no_min;   /* leave the optimum out */
	enum replay_files files;
	struct events_opts events;
	struct whatif_opts whatif;
	struct memcg_opts memcg;
};

/*
 * replay_run: replay O->trace once. Exits with a message (err_die) when the
 * trace is damaged or the machine cannot be made.
 */
void replay_run(const struct replay_opts *o, struct replay_result *out);

/* ---- output (replay_out.c, replay_html.c)
 * -------------------------------------- */

/* replay_nr_sizes: of NR runs, policy by policy, how many are the first one's.
 * (replay_matrix.c) */
u32 replay_nr_sizes(const struct replay_result *runs, u32 nr);
/* EVENTS per page-in of the optimum; pages looked at per page freed; NAN: there
 * is nothing to divide by. */
double replay_over_min(const struct replay_result *r, u64 events);
double replay_scan_cost(const struct replay_result *r);
/* replay_print_matrix: policies against sizes, to standard output; _put_: as
 * charts. */
void replay_print_matrix(const struct replay_result *runs, u32 nr,
			 const char *trace);
void replay_put_policies(FILE *f, const struct replay_result *runs, u32 nr);

void replay_print_table(const struct replay_result *runs, u32 nr,
			const char *trace);
/* replay_print_json: the contract "mmkit.replay/1", to standard output. */
void replay_print_json(const struct replay_result *runs, u32 nr);
/* replay_write_html (replay_html.c): one self-contained page. 0, or -1 with
 * errno set. */
int replay_write_html(const char *path, const struct replay_result *runs,
		      u32 nr, const char *trace, const char *command);

#endif
