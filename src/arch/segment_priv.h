/* SPDX-License-Identifier: MIT */
/*
 * segment_priv.h - what segment_load.c and segment_xfer.c share: checks that
 * blame, and reading descriptors.
 */
#ifndef MM_ARCH_SEGMENT_PRIV_H
#define MM_ARCH_SEGMENT_PRIV_H

#include "arch/segment_cpu.h"

/*
 * What a broken rule is blamed with: a vector and an error code in one word.
 * SEG_QUIET: the rule is broken, but there is no exception (LAR and friends).
 */
#define SEG_BLAME_CODED BIT(31)
#define SEG_BLAME(vec, err) \
	((u32)(SEG_BLAME_CODED | (u32)(vec) << 16 | ((err)&0xffffu)))
#define SEG_QUIET  0u
#define SEG_UD	   ((u32)X86_TRAP_UD << 16)
#define SEG_GP(e)  SEG_BLAME(X86_TRAP_GP, e)
#define SEG_NP(e)  SEG_BLAME(X86_TRAP_NP, e)
#define SEG_TS(e)  SEG_BLAME(X86_TRAP_TS, e)
#define SEG_SEL(s) ((s) & ~SEG_SEL_RPL)

/* A descriptor that was read, and from where. */
struct seg_found {
	u16 sel;
	u64 addr;
	u64 raw[2];
	struct seg_desc d;
};

/* True if OK is false: then c->fault is set from BLAME (unless quiet). */
bool seg_fails(struct seg_cpu *c, enum seg_rule rule, bool ok, u32 blame);

/* Tell a step whose fields are in c->trace->now. */
void seg_tell(struct seg_cpu *c, enum seg_step_kind kind);

/* Memory of tables: 0, or -EFAULT with #PF in c->fault. */
int seg_mem_read(struct seg_cpu *c, u64 linear, void *to, size_t len);
int seg_mem_write(struct seg_cpu *c, u64 linear, const void *from, size_t len);

/*
 * seg_find: read the descriptor that SEL names. BLAME if it is not inside its
 * table. 0, or -EFAULT: c->fault, if BLAME is not quiet or memory failed.
 */
int seg_find(struct seg_cpu *c, u16 sel, u32 blame, struct seg_found *f);

/* Set the type bits BITS of F in memory and in F. 0 or -EFAULT. */
int seg_mark(struct seg_cpu *c, struct seg_found *f, u8 bits);
/* Clear them. */
int seg_unmark(struct seg_cpu *c, struct seg_found *f, u8 bits);

/* The ring and F's RPL may use F as data. */
bool seg_data_dpl_ok(const struct seg_cpu *c, const struct seg_found *f);

/* Selector and hidden part of REG become those of F; tells the step. */
void seg_take(struct seg_cpu *c, enum seg_id id, u16 sel,
	      const struct seg_found *f);

/* REG becomes null with the given selector. */
void seg_take_null(struct seg_cpu *c, enum seg_id id, u16 sel);

/* The hidden part of real and virtual-8086 mode. */
void seg_take_real(struct seg_cpu *c, enum seg_id id, u16 sel);

/*
 * seg_stack_checks: F may be the stack of ring RING. VECTOR is #GP, or #TS
 * when the selector came from a TSS; EXT as in error codes. 0 or -EFAULT.
 */
int seg_stack_checks(struct seg_cpu *c, const struct seg_found *f, u8 ring,
		     u8 vector, u16 ext);

/* IP can be executed in CODE: limit, or canonical. BLAME #GP with EXT. */
int seg_ip_checks(struct seg_cpu *c, const struct seg_desc *code, u64 ip,
		  u16 ext);

/* [OFFSET, OFFSET + SIZE) lies inside D. */
bool seg_inside(const struct seg_desc *d, u64 offset, u32 size);

#endif
