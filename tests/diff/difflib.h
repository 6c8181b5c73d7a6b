/* SPDX-License-Identifier: MIT */
/*
 * difflib.h - the parts of the differential test: sequences as text, their
 * generator, both executors as seen from here, the comparison.
 */
#ifndef TESTS_DIFF_DIFFLIB_H
#define TESTS_DIFF_DIFFLIB_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "diff.h"

struct seq {
	uint32_t nr;
	struct diff_op op[DIFF_MAX_OPS];
};

/* What one side did with a sequence. */
struct outcome {
	struct diff_result *res; /* one for each operation */
	uint32_t nr; /* operations that can be compared; less than all of them
		      * after a deliberate difference */
	uint64_t *blob;
	uint32_t zeroes; /* from this operation on zero pages may differ */
};

/* ---- text.c: sequences as text ------------------------------------------ */

extern const char *const diff_call_name[DIFF_NR_CALLS];
extern const char *const diff_call_args[DIFF_NR_CALLS];

/* op_print: OP as a line without its end. */
void op_print(const struct diff_op *op, char *line, size_t max);
void seq_print(FILE *out, const struct seq *s);
/* seq_read: false with the reason in WHY (128 bytes), which names the line. */
bool seq_read(FILE *in, struct seq *s, char *why);
/* seq_load: the same from the file PATH. */
bool seq_load(const char *path, struct seq *s, char *why);

/* ---- gen.c: random sequences ------------------------------------------------
 */

/* What sim can do so far: what is not in here is not generated. */
#define GEN_POPULATE 2u
#define GEN_KSM	     4u /* MADV_MERGEABLE, and nothing merges */
#define GEN_THP	     8u /* MADV_HUGEPAGE is known */
extern unsigned gen_features;

/* What the memory of a sequence is: each seed has one kind, or all have that
 * which is named. */
enum gen_class {
	GEN_ANON,   /* anonymous and private */
	GEN_MEMORY, /* and shared, and files in memory */
	GEN_DISK,   /* anonymous and private, and files with a disk */
	GEN_MIXED,  /* all of them */
	GEN_ANY
};
extern enum gen_class gen_only;

/* seq_class: what S uses; seq_uses: the same as DIFF_USES_*. */
enum gen_class seq_class(const struct seq *s);
uint32_t seq_uses(const struct seq *s);

/* seq_generate: at most NR operations, the same for equal SEED. */
void seq_generate(struct seq *s, uint64_t seed, uint32_t nr);

/* op_safe: OP cannot reach the executor, nor fill the host's memory. */
bool op_safe(const struct diff_op *op);

/*
 * seq_mend: take out operations of processes that are not there, forks of
 * those that are, and unsafe operations: of a sequence of which parts were
 * taken out.
 */
void seq_mend(struct seq *s);

/* ---- linux_side.c
 * --------------------------------------------------------------- */

/*
 * linux_start: start the executor. NULL, or why this host cannot take part
 * ("" and a message on standard error: it should, but failed).
 */
const char *linux_start(void);
/* linux_run: perform S. False: a process died of it, or nobody answers. */
bool linux_run(const struct seq *s, struct outcome *out);
const struct diff_host *linux_host(void);
void linux_stop(void);
/* linux_restart: after a failure. */
bool linux_restart(void);

/* ---- sim_side.c
 * ----------------------------------------------------------------- */

/* sim_session: FN(ARG) with a machine up; its result. At the end everything
 * must be free and the audit clean, else the program is aborted. */
int sim_session(uint64_t seed, int (*fn)(void *arg), void *arg);
/* sim_perform: perform S, inside a session. */
void sim_perform(const struct seq *s, struct outcome *out);

/* ---- compare.c
 * ------------------------------------------------------------------ */

/* compare: the index of the first operation whose results differ, described
 * in WHY; -1 if there is none. */
int compare(const struct seq *s, const struct outcome *host,
	    const struct outcome *sim, char *why, size_t max);

/* compare_kind: of the difference in operation I: what differs, without
 * addresses and numbers, so that two failures of one cause are equal. */
void compare_kind(const struct seq *s, uint32_t i, const struct outcome *host,
		  const struct outcome *sim, char *kind, size_t max);

/* ---- drive.c
 * -------------------------------------------------------------------- */

enum verdict { SAME, DIFFERENT, HOST_DIED };

/* seq_try: S on both sides, inside a session. */
/* *COMPARED gets the number of operations that agree. */
enum verdict seq_try(const struct seq *s, uint32_t *compared, char *why,
		     size_t max);
/* seq_shrink: a smallest sequence that still fails in the same way; each try
 * in a process of its own, so that a panic is a failure like others. In a
 * session. */
void seq_shrink(struct seq *s);

#endif
