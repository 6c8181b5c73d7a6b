/* SPDX-License-Identifier: MIT */
/*
 * machine_desc.h - a machine's tables and registers written as text, so that
 * examples can be made by hand. The format: docs/MACHINE-FORMAT.md; theory:
 * machine_desc.c. Pure over the caller's structures; any context, no locks.
 */
#ifndef MM_ARCH_MACHINE_DESC_H
#define MM_ARCH_MACHINE_DESC_H

#include "arch/segment_cpu.h"

enum machine_mode {
	MACHINE_REAL,
	MACHINE_VM86,
	MACHINE_PROTECTED,
	MACHINE_LONG
};

/* What was wrong, and where. Column 0: the line as a whole. */
struct machine_error {
	u32 line; /* from 1; 0: the text as a whole */
	u32 column;
	char field[32]; /* the word, cut to fit; "" for a whole line */
	char message[120];
};

#define MACHINE_MAX_WORDS 24
#define MACHINE_MAX_CELLS 512

struct machine_word {
	const char *text; /* not terminated */
	u32 len;
	u32 column; /* from 1 */
};

/* A line taken apart; words beyond nr do not exist. */
struct machine_line {
	u32 number; /* from 1 */
	u32 nr;
	struct machine_word word[MACHINE_MAX_WORDS];
	struct machine_error *err;
};

/*
 * Other keywords. LINE sees lines whose first word this file does not know.
 * It returns 0 (taken), -ENOENT (not its either) or another error after
 * machine_fail().
 */
struct machine_extension {
	int (*line)(void *arg, const struct machine_line *l);
	void *arg;
};

/* A value a line gave; line 0: none did. */
struct machine_value {
	u64 value;
	u32 line;
};

struct machine_cell {
	u64 addr;
	u64 value;
	u32 size; /* 1, 2, 4 or 8 bytes */
};

/* About 150 KiB: static, or allocated by the caller. */
struct machine_desc {
	enum machine_mode mode;
	u32 tables_line; /* the first line that needed the mode; 0: none */
	u32 gdt_nr, ldt_nr, idt_nr; /* entries of 8 bytes in use */
	u64 gdt_base, ldt_base, idt_base;
	struct machine_value gdt_limit, idt_limit;
	struct machine_value sr[SEG_NR_REGS], ldtr, tr;
	struct machine_value fs_base, gs_base, ip, sp, flags;
	struct machine_value cr0, cr3, cr4, efer;
	u32 nr_cells;
	struct machine_cell cell[MACHINE_MAX_CELLS];
	u64 gdt[SEG_MAX_ENTRIES];
	u64 ldt[SEG_MAX_ENTRIES];
	u64 idt[512];
};

/*
 * machine_parse: fill M from TEXT[LEN]. EXT may be NULL. Returns 0; -EINVAL
 * with ERR filled for the first line that is wrong, or what EXT returned; M is
 * then half filled and of no use.
 */
int machine_parse(struct machine_desc *m, const char *text, size_t len,
		  const struct machine_extension *ext,
		  struct machine_error *err) MM_MUST_CHECK;

/*
 * machine_boot: put C into the state that M describes: mode, tables, then
 * every register loaded by the CPU's own rules, so that no state comes about
 * that no CPU can be in. MEM is filled for C and reads M's tables and cells;
 * both stay in use by C. Returns 0, or -EINVAL with ERR: a selector that no
 * CPU would take names its line, exception and rule.
 */
int machine_boot(struct machine_desc *m, struct seg_cpu *c, struct seg_mem *mem,
		 struct machine_error *err) MM_MUST_CHECK;

/*
 * machine_error_text: "FILE:LINE:COLUMN: 'FIELD': message" into BUF[SIZE],
 * without what is not known. Returns BUF.
 */
const char *machine_error_text(const struct machine_error *err,
			       const char *file, char *buf, size_t size);

/*
 * machine_control_default: CR0 (REG '0'), CR4 ('4') or EFER ('e') as a kernel
 * of MODE sets it up, where the file has no line for it or names bits only.
 */
u64 machine_control_default(enum machine_mode mode, char reg);

/* ---- for extensions ----------------------------------------------------- */

/*
 * machine_fail: note MESSAGE about word I of L (I >= nr: about the line).
 * Returns -EINVAL.
 */
int machine_fail(const struct machine_line *l, u32 i, const char *message);

/* machine_is: word I exists and is TEXT. */
bool machine_is(const struct machine_line *l, u32 i, const char *text);

/* machine_key: word I is KEY=something; *VALUE is that something. */
bool machine_key(const struct machine_line *l, u32 i, const char *key,
		 struct machine_word *value);

/*
 * machine_number: W as a number: decimal or 0x, at most 64 bits, optional
 * suffix K, M, G or T (powers of 1024), with *SIZED (may be NULL) then true.
 * 0 or -EINVAL; *OUT is untouched on failure.
 */
int machine_number(const struct machine_word *w, u64 *out,
		   bool *sized) MM_MUST_CHECK;

/* The same for word I of L, with the error noted; up to MAX. */
int machine_word_number(const struct machine_line *l, u32 i, u64 max,
			u64 *out) MM_MUST_CHECK;

/* The same for the value of word I, which is KEY=number. */
int machine_key_number(const struct machine_line *l, u32 i, u64 max,
		       u64 *out) MM_MUST_CHECK;

#endif
