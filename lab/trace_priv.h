/* SPDX-License-Identifier: MIT */
/*
 * trace_priv.h - what the reader and the writer of traces share: the sizes
 * of the format and the model of tasks and mappings that every record is
 * checked against. For lab/trace*.c only.
 */
#ifndef LAB_TRACE_PRIV_H
#define LAB_TRACE_PRIV_H

#include "trace.h"

#define TRACE_MAGIC	  "\x89MMT\r\n\x1a\n"
#define TRACE_MAGIC_LEN	  8u
#define TRACE_BLOCK_MAGIC 0x0a4b4c42u /* "BLK\n" */
#define TRACE_END_MAGIC	  0x0a444e45u /* "END\n" */
#define TRACE_HEAD_FIXED  16u	      /* magic, version, body length */
#define TRACE_HEAD_BODY	  24u	      /* the numbers of the body */
#define TRACE_HEAD_MAX	  (1u << 20)  /* bytes of the body at most */
#define TRACE_BLOCK_HEAD  24u
#define TRACE_RAW_MAX	  (4u << 20)
#define TRACE_RAW_FILL	  (2u << 20) /* where the writer ends a block */
#define TRACE_COMP_MAX	  (TRACE_RAW_MAX + (TRACE_RAW_MAX >> 7) + 1024)
#define TRACE_NR_TOTALS	  13u
#define TRACE_END_SIZE	  (8u + 8u * TRACE_NR_TOTALS + 16u)
#define TRACE_SHORT_PAGES (1u << 22)
#define TRACE_SHORT_COUNT (1u << 16)
#define TRACE_MAX_RUN	  256u
#define TRACE_MAX_ERRNO	  4095u
#define TRACE_MAX_ADDR	  (1ULL << 57)

#define TRACE_KIND_NONE 0xffu

/* One address space: its mappings by id. */
struct trace_mm {
	u32 users;  /* tasks in it */
	u32 nr;	    /* entries of both arrays, a power of two or 0 */
	u32 *pages; /* 0 where there is no mapping */
	u8 *kind;   /* enum trace_map_kind or TRACE_KIND_NONE */
};

enum trace_file_state { TRACE_FILE_NONE, TRACE_FILE_NAMED, TRACE_FILE_GONE };

enum trace_task_state { TRACE_TASK_FREE, TRACE_TASK_ALIVE, TRACE_TASK_ZOMBIE };

struct trace_task {
	struct trace_mm *mm; /* NULL unless alive */
	u8 state;
	bool thread; /* no zombie: its id is free after EXIT */
};

/* The model. CUR's mm is NULL between an EXIT and the next SWITCH. */
struct trace_state {
	u32 version; /* of the format: what records may exist */
	struct trace_task tasks[TRACE_MAX_TASKS];
	u8 files[TRACE_MAX_FILES];	/* enum trace_file_state */
	u32 open_file[TRACE_MAX_OPENS]; /* file id plus one; 0: closed */
	u32 cur;
	u32 nr_entries;	 /* of all mms */
	u32 expect_move; /* mapping id that the next record must define */
	char why[256];	 /* what the last refused record did wrong */
};

/*
 * trace_state_new: task 0 alive in an empty address space, under the rules of
 * format VERSION; NULL: no memory.
 * trace_state_free: also of NULL.
 */
struct trace_state *trace_state_new(u32 version) MM_MUST_CHECK;
void trace_state_free(struct trace_state *st);

/* trace_state_mm: the current task's address space, or NULL. */
struct trace_mm *trace_state_mm(const struct trace_state *st);

/*
 * trace_state_apply: check REC against the model and carry it out. Returns 0,
 * -EINVAL (the record is not sound here) or -ENOMEM, with st->why filled in;
 * the model is unchanged then.
 */
int trace_state_apply(struct trace_state *st,
		      const struct trace_rec *rec) MM_MUST_CHECK;

/* Totals as an array in the file's order. */
void trace_totals_pack(const struct trace_totals *t, u64 v[TRACE_NR_TOTALS]);
void trace_totals_unpack(struct trace_totals *t, const u64 v[TRACE_NR_TOTALS]);

/* trace_errorf: printf into ERR. */
void trace_errorf(struct trace_error *err, const char *fmt, ...)
	MM_PRINTF(2, 3);

#endif
