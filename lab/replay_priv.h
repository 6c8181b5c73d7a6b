/* SPDX-License-Identifier: MIT */
/*
 * replay_priv.h - inside the replayer: the program's address spaces and files
 * as the trace sees them, and the shadow of every page's contents.
 *
 * What is marked (exact) is for traces whose files are replayed as files; the
 * others never see it.
 */
#ifndef LAB_REPLAY_PRIV_H
#define LAB_REPLAY_PRIV_H

#include <mmkit/mm.h>

#include "min.h"
#include "replay.h"

struct file;
struct inode;
struct port_bdev;
struct replay;
struct replay_mm;

/* ---- shadow (replay_shadow.c)
 * --------------------------------------------------
 *
 * What each page of an address space, or of a file, must hold: a stamp from
 * which its 512 words follow (0: all zero), and in the second pass the page's
 * identity for the optimum.
 */

/* shadow_page.alt (exact): what else the page may hold, without an error. */
enum shadow_alt {
	ALT_NONE,
	ALT_ZERO, /* zeroes: MADV_FREE may have taken it */
	ALT_FILE, /* still its file's page: it may have been copied early */
	ALT_ANY	  /* a part of it was cleared: not known until overwritten */
};

struct shadow_page {
	u64 stamp;	/* contents; 0 = zeroes */
	u64 next_stamp; /* sampled contents, used at the next write; 0: none */
	u32 pfn;	/* frame at the last check; 0: never seen */
	u32 id;		/* second pass: identity, 0 = never written */
	u8 touched;
	u8 file; /* belongs to a file mapping that is replayed as anonymous */
	u8 own;	 /* (exact) in a private mapping of a file: was copied */
	u8 alt;	 /* (exact) enum shadow_alt */
	u16 cut; /* (exact) so many bytes at the end are zero, whatever STAMP */
	u8 init; /* (exact) of a file: the first contents are in */
};
MM_STATIC_ASSERT(sizeof(struct shadow_page) == 32, "one of many");

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
/* The same with the last CUT bytes zero. */
void stamp_write_cut(void *view, u64 stamp, u32 cut);
bool stamp_matches_cut(const void *view, const struct shadow_page *p, bool all);
/* N bytes from OFF on of what a page of STAMP and CUT holds, into TO. */
void stamp_bytes(u8 *to, u64 stamp, u32 cut, u32 off, u32 n);

/* ---- the program
 * ------------------------------------------------------------------ */

/* 16 bytes, so that the fast way indexes by a shift. */
struct replay_map {
	uva_t base; /* address of the mapping's page 0; 0: not mapped */
	u32 pages;
	u32 kind;
};

/* ---- files and regions (exact): replay_file.c, replay_region.c
 * --------------------------------------------------
 */

enum obj_kind {
	OBJ_FILE,   /* on the simulated disk */
	OBJ_MEMORY, /* tmpfs, memfd */
	OBJ_ANON,   /* MAP_SHARED | MAP_ANONYMOUS */
	OBJ_SPECIAL /* a device: mapped as anonymous memory, nothing else */
};

struct obj_hole {
	u64 first, stop; /* pages */
};

/* What mappings can share. */
struct replay_obj {
	struct replay *rp;
	u32 refs;	 /* regions, handles, a name */
	u32 id;		 /* of the FILE record; TRACE_NO_ID: OBJ_ANON */
	u8 kind;	 /* enum obj_kind */
	bool made, gone; /* inode exists; no name any more */
	char *name;
	u64 first_size; /* pages below it begin with the disk's contents */
	u64 size;	/* bytes, by the trace's word */
	struct obj_hole *holes; /* of OBJ_FILE: pages cleared unseen */
	u32 nr_holes;
	struct shadow pages; /* by page number << PAGE_SHIFT */
	struct inode *inode; /* OBJ_FILE, first pass; holds a reference */
	struct port_bdev *bdev;
	struct file *file; /* OBJ_MEMORY, first pass; holds a reference */
};

/* An open file of the trace. */
struct replay_open {
	struct replay_obj *obj; /* NULL: closed */
	struct file *file;	/* first pass */
};

/* Addresses [START, END) of an address space show OBJ from page INDEX on. */
struct replay_region {
	uva_t start, end;
	struct replay_obj *obj; /* NULL: private memory that has flags */
	u64 index;
	bool shared;
	bool wipe, dontfork; /* MADV_WIPEONFORK, MADV_DONTFORK */
};

/* An address space, shared by the tasks of CLONE_VM. */
struct replay_mm {
	struct mm_struct *mm; /* first pass */
	struct mm_layout layout;
	u32 users;
	u32 task;		 /* for whom it was made */
	u64 sampled_at;		 /* references at the last look, plus one */
	struct replay_map *maps; /* by id; TRACE_MAX_MAPS of them */
	u32 nr_maps;		 /* ids in use are below this */
	struct shadow shadow;
	struct replay_region *regions; /* (exact) by address, disjoint */
	u32 nr_regions, max_regions;
	bool lock_future; /* (exact) MCL_FUTURE: what is mapped comes in */
	bool locked;	  /* (exact) something was: it may come in by itself */
};

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
	bool exact;	    /* files are files, sharing is sharing */
	u64 faults;	    /* since the start */
	u64 record;	    /* number of the record under way */
	u64 stamp_seq;	    /* for fresh stamps */
	u64 machine_digest; /* of the manager's counters at the end */
	u64 pending_ns;	    /* time of references not yet charged */
	u64 next_sample, sample_step;
	u64 next_shot, shot_step;
	u64 free_least, free_most; /* since the last sample */
	u64 ref_ns;
	u64 shown_ms;
	struct place_log places;
	struct min *min;
	u32 *id_refs; /* second pass: sharers of an identity */
	u32 nr_ids, max_ids;
	struct port_thread *main_thread;
	u32 live_threads;
	/* exact: */
	struct replay_obj **files; /* by id, TRACE_MAX_FILES */
	struct replay_open *opens; /* by id, TRACE_MAX_OPENS */
	struct port_bdev *disk;	   /* on which all files are */
	struct trace_call move;	   /* the mremap whose MAP record comes next */
};

/* replay_die: the record under way cannot be followed: says where, and WHAT
 * (printf), and ends the process. */
_Noreturn void replay_die(struct replay *rp, const char *what, ...)
	MM_PRINTF(2, 3);

/* ---- replay_calls.c: records other than references
 * ----------------------------------- */

/* Each performs the record for task T (not killed). */
void replay_map_record(struct replay *rp, struct replay_task *t,
		       const struct trace_map *m);
void replay_call_record(struct replay *rp, struct replay_task *t,
			const struct trace_call *c);
void replay_content_record(struct replay *rp, struct replay_task *t,
			   const struct trace_content *c);
/* The same for files; of a dead task only what outlives it. */
void replay_file_record(struct replay *rp, const struct trace_file *f);
void replay_fileop_record(struct replay *rp, bool live,
			  const struct trace_fileop *f);

/* An address space of TASK without mappings. rmm_put frees it with the last
 * user. */
struct replay_mm *rmm_new(struct replay *rp, u32 task);
struct replay_mm *rmm_fork(struct replay *rp, struct replay_mm *old, u32 task);
void rmm_put(struct replay *rp, struct replay_mm *rmm);

/* ---- replay_file.c (exact) */

/* replay_files_init: before a pass. _exit: after its tasks; gives all up, and
 * counts what the disk did. */
void replay_files_init(struct replay *rp);
void replay_files_exit(struct replay *rp);
/* replay_files_count: what the files' disks have done so far, into the result.
 */
void replay_files_count(struct replay *rp);
/* obj_of_file: the object of a file id, which exists in the machine. */
struct replay_obj *obj_of_file(struct replay *rp, u32 file);
/* obj_new_anon: shared memory without a file, one reference: the caller's. */
struct replay_obj *obj_new_anon(struct replay *rp);
void obj_put(struct replay_obj *obj);
/* obj_page: what page INDEX of OBJ holds. */
struct shadow_page *obj_page(struct replay_obj *obj, u64 index);
/* obj_store: a fresh stamp through a mapping, within the size. */
void obj_store(struct replay_obj *obj, struct shadow_page *p, u64 index,
	       void *view);
/* obj_hole: bytes [OFF, OFF + LEN) were cleared. */
void obj_hole(struct replay_obj *obj, u64 off, u64 len);
/* replay_file_for_map: the open file that M maps, with a reference. */
struct file *replay_file_for_map(struct replay *rp, const struct trace_map *m);

/* ---- replay_region.c (exact) */

struct replay_region *region_find(struct replay_mm *rmm, uva_t va);
/* region_add: after region_drop() of the range; takes over R's reference. */
void region_add(struct replay_mm *rmm, const struct replay_region *r);
void region_drop(struct replay_mm *rmm, uva_t start, u64 len);
/* region_move: as mremap(2): OLD bytes at FROM become NEW bytes at TO; KEEP:
 * the old ones stay. */
struct region_move {
	uva_t from, to;
	u64 old, new;
	bool keep;
};
void region_move(struct replay_mm *rmm, const struct region_move *m);
/* region_split: no region lies across AT. */
void region_split(struct replay_mm *rmm, uva_t at);
/* region_fork: TO, without regions, gets those of FROM; what MADV_WIPEONFORK
 * and MADV_DONTFORK cover is forgotten in TO. */
void region_fork(struct replay *rp, struct replay_mm *to,
		 const struct replay_mm *from);
/* region_flag: MADV_WIPEONFORK and its kin over a range. */
void region_flag(struct replay_mm *rmm, uva_t start, u64 len, int advice);
/* region_early: private pages of files in the range may have been copied. */
void region_early(struct replay_mm *rmm, uva_t start, u64 len);
/* region_forget: what of the range is not shared starts anew. */
void region_forget(struct replay *rp, struct replay_mm *rmm, uva_t start,
		   u64 len);
/* region_truncated: in all spaces, pages of OBJ from INDEX on are gone. */
void region_truncated(struct replay *rp, struct replay_obj *obj, u64 index);

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
/* No CPU's TLB leads to a frame that is free: what does is a data error. */
void replay_check_tlbs(struct replay *rp);

/* ---- replay_sample.c */

/* Take a sample if it is time (or FORCE), and a picture of the frames. */
void replay_sample(struct replay *rp, bool force);
/* replay_watch_free: after a fault: extremes of free memory, the close-up. */
void replay_watch_free(struct replay *rp);

/* Pages of [START, START + LEN) are gone: shadows, and identities. */
void replay_forget(struct replay *rp, struct replay_mm *rmm, uva_t start,
		   u64 len);
/* Second pass: page P of a file is used; it gets an identity. */
void replay_dry_file_page(struct replay *rp, struct shadow_page *p);
/* Faults (exact) by the kernel's counters; those since MARK count as faults in
 * an object of KIND (enum obj_kind), or of what is at VA. */
struct fault_mark {
	u64 all, major;
};
struct fault_mark replay_faults_now(void);
void replay_faults_are(struct replay *rp, u8 kind,
		       const struct fault_mark *mark);
void replay_faults_at(struct replay *rp, struct replay_mm *rmm, uva_t va,
		      const struct fault_mark *mark);
/* Second pass: P gets one sharer more / less. */
void replay_id_share(struct shadow_page *p, void *arg);
void replay_id_drop(struct shadow_page *p, void *arg);

#endif
