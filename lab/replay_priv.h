/* SPDX-License-Identifier: MIT */
/*
 * replay_priv.h - inside the replayer: the program's address spaces as the
 * trace sees them, and the shadow of every page's contents.
 */
#ifndef LAB_REPLAY_PRIV_H
#define LAB_REPLAY_PRIV_H

#include <mmkit/mm.h>

#include "min.h"
#include "replay.h"

/* ---- shadow (replay_shadow.c)
 * --------------------------------------------------
 *
 * What each page of an address space must hold: a stamp from which its 512
 * words follow (0: all zero), and in the second pass the page's identity for
 * the optimum.
 */
struct shadow_page {
	u64 stamp;	/* contents; 0 = zeroes */
	u64 next_stamp; /* sampled contents, used at the next write; 0: none */
	u32 pfn;	/* frame at the last check; 0: never seen */
	u32 id;		/* second pass: identity, 0 = never written */
	u8 touched;
	u8 file; /* belongs to a file mapping */
};

#define SHADOW_LEAF_BITS 9

struct shadow_leaf {
	u64 key; /* page number >> SHADOW_LEAF_BITS, plus one */
	struct shadow_leaf *next;
	struct shadow_page page[1 << SHADOW_LEAF_BITS];
};

struct shadow {
	struct shadow_leaf **buckets;
	u32 nr_buckets, nr_leaves;
	struct shadow_leaf *last; /* the leaf of the last look-up */
};

void shadow_init(struct shadow *s);
void shadow_free(struct shadow *s);
/* shadow_get: the page's entry, made if missing (exits without memory). */
struct shadow_page *shadow_get(struct shadow *s, uva_t va);
/* shadow_find: the entry, or NULL. */
struct shadow_page *shadow_find(struct shadow *s, uva_t va);
/* shadow_copy: TO, empty, becomes a copy; FN is called for each used page. */
void shadow_copy(struct shadow *to, const struct shadow *from,
		 void (*fn)(struct shadow_page *p, void *arg), void *arg);
/* shadow_clear: forget [START, START + LEN); FN sees each page before. */
void shadow_clear(struct shadow *s, uva_t start, u64 len,
		  void (*fn)(struct shadow_page *p, void *arg), void *arg);
/* shadow_move: entries of [FROM, FROM + LEN) go to TO. */
void shadow_move(struct shadow *s, uva_t from, uva_t to, u64 len);

/* Contents: write, or compare (all words, or a sample of eight). */
void stamp_write(void *view, u64 stamp);
bool stamp_matches(const void *view, u64 stamp, bool all);

/* ---- the program
 * ------------------------------------------------------------------ */

/* 16 bytes, so that the fast way indexes by a shift. */
struct replay_map {
	uva_t base; /* address of the mapping's page 0; 0: not mapped */
	u32 pages;
	u32 kind;
};

/* An address space, shared by the tasks of CLONE_VM. */
struct replay_mm {
	struct mm_struct *mm; /* first pass */
	struct mm_layout layout;
	u32 users;
	struct replay_map *maps; /* by id; TRACE_MAX_MAPS of them */
	u32 nr_maps;		 /* ids in use are below this */
	struct shadow shadow;
};

struct replay;

struct replay_task {
	struct replay *rp;
	u32 id;
	bool live;	 /* born and not yet gone */
	bool killed;	 /* its records are skipped */
	u64 kill_record; /* number of the record at which it was killed */
	struct replay_mm *rmm;
	struct port_thread *thread; /* first pass */
	struct mm_task *task;
};

/* Addresses that the first pass gave to mappings, for the second. */
struct place_log {
	s64 *v;
	u64 nr, max, next;
};

struct replay {
	const struct replay_opts *o;
	struct replay_result *res;
	struct trace_reader *r;
	struct replay_task tasks[TRACE_MAX_TASKS];
	u32 cur;	    /* the task whose records come now */
	bool done;	    /* end of the trace, or of the run */
	bool dry;	    /* second pass: no machine, only the optimum */
	u64 faults;	    /* since the start */
	u64 record;	    /* number of the record under way */
	u64 stamp_seq;	    /* for fresh stamps */
	u64 machine_digest; /* of the manager's counters at the end */
	u64 pending_ns;	    /* time of references not yet charged */
	u64 next_sample, sample_step;
	u64 ref_ns;
	u64 shown_ms;
	struct place_log places;
	struct min *min;
	u32 *id_refs; /* second pass: sharers of an identity */
	u32 nr_ids, max_ids;
	struct port_thread *main_thread;
	u32 live_threads;
};

/* ---- replay_calls.c: records other than references
 * ----------------------------------- */

/* Each performs the record for task T (not killed). */
void replay_map_record(struct replay *rp, struct replay_task *t,
		       const struct trace_map *m);
void replay_call_record(struct replay *rp, struct replay_task *t,
			const struct trace_call *c);
void replay_content_record(struct replay *rp, struct replay_task *t,
			   const struct trace_content *c);

/* An address space without mappings. rmm_put frees it with the last user. */
struct replay_mm *rmm_new(struct replay *rp);
struct replay_mm *rmm_fork(struct replay *rp, struct replay_mm *old);
void rmm_put(struct replay *rp, struct replay_mm *rmm);

/* ---- replay_refs.c: references
 * ----------------------------------------------------------- */

/* One page-run record, real or (in the second pass) for the optimum. */
void replay_ref(struct replay *rp, struct replay_task *t,
		const struct trace_ref *ref);
/*
 * As many of the next LIMIT records as are references to one page that hit
 * the TLB; stops in front of the first that is anything else. First pass.
 * Returns how many were done.
 */
u32 replay_refs_fast(struct replay *rp, struct replay_task *t, u32 limit);
/* The hook by which the MMU tells of filled translations. */
void replay_set_hook(struct replay *rp);
/* User frames resident now; keeps the peak. */
void replay_note_peak(struct replay *rp);
/* Take a sample if it is time (or FORCE). */
void replay_sample(struct replay *rp, bool force);

/* Pages of [START, START + LEN) are gone: shadows, and identities. */
void replay_forget(struct replay *rp, struct replay_mm *rmm, uva_t start,
		   u64 len);
/* Second pass: P gets one sharer more / less. */
void replay_id_share(struct shadow_page *p, void *arg);
void replay_id_drop(struct shadow_page *p, void *arg);

#endif
