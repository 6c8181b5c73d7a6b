/* SPDX-License-Identifier: MIT */
/*
 * segment.h - x86 selectors and descriptors: every kind, encoded and decoded.
 * Theory: segment.c. What a CPU does with them: segment_cpu.h.
 *
 * All functions here are pure, never sleep, take no lock, and may be called
 * from any context.
 */
#ifndef MM_ARCH_SEGMENT_H
#define MM_ARCH_SEGMENT_H

#include <mmkit/types.h>

/* ---- selectors (SDM 3.4.2) ---------------------------------------------- */

#define SEG_SEL_RPL	0x0003u
#define SEG_SEL_TI	0x0004u
#define SEG_MAX_ENTRIES 8192u

static inline u16 seg_sel(u32 index, bool ldt, u32 rpl)
{
	return (u16)(index << 3 | (ldt ? SEG_SEL_TI : 0) | (rpl & SEG_SEL_RPL));
}

static inline u32 seg_sel_index(u16 sel)
{
	return sel >> 3;
}

static inline bool seg_sel_ldt(u16 sel)
{
	return (sel & SEG_SEL_TI) != 0;
}

static inline u8 seg_sel_rpl(u16 sel)
{
	return sel & SEG_SEL_RPL;
}

/* Entry 0 of the GDT, whatever the RPL; entry 0 of the LDT is an entry. */
static inline bool seg_sel_null(u16 sel)
{
	return (sel & ~SEG_SEL_RPL) == 0;
}

/* ---- descriptors (SDM 3.4.5, 3.5, 5.8.3, 6.11, 7.2) --------------------- */

/* The eight bytes of a segment descriptor as they lie in memory. */
struct desc_struct {
	u16 limit0;
	u16 base0;
	u16 base1 : 8, type : 4, s : 1, dpl : 2, p : 1;
	u16 limit1 : 4, avl : 1, l : 1, d : 1, g : 1, base2 : 8;
} __attribute__((packed));
MM_STATIC_ASSERT(sizeof(struct desc_struct) == 8, "a descriptor is 8 bytes");

enum seg_kind {
	SEG_KIND_NULL, /* eight zero bytes */
	SEG_KIND_DATA,
	SEG_KIND_CODE,
	SEG_KIND_LDT,
	SEG_KIND_TSS16,
	SEG_KIND_TSS32,
	SEG_KIND_TSS64,
	SEG_KIND_CALL16,
	SEG_KIND_CALL32,
	SEG_KIND_CALL64,
	SEG_KIND_TASK,
	SEG_KIND_INTR16,
	SEG_KIND_INTR32,
	SEG_KIND_INTR64,
	SEG_KIND_TRAP16,
	SEG_KIND_TRAP32,
	SEG_KIND_TRAP64,
	SEG_KIND_RESERVED /* a type no CPU gives a meaning in this mode */
};

enum seg_table { SEG_TABLE_GDT, SEG_TABLE_LDT, SEG_TABLE_IDT, SEG_NR_TABLES };

/* Bits of the type field of code and data (SDM table 3-1). */
#define SEG_T_ACCESSED	  0x1u
#define SEG_T_WRITE	  0x2u /* data: may be written */
#define SEG_T_READ	  0x2u /* code: may be read */
#define SEG_T_EXPAND_DOWN 0x4u /* data */
#define SEG_T_CONFORMING  0x4u /* code */
#define SEG_T_CODE	  0x8u
/* Of a TSS: the task runs, or is in the chain of those that called. */
#define SEG_T_BUSY 0x2u

struct seg_desc {
	enum seg_kind kind;
	u8 type; /* the four bits as encoded */
	u8 dpl;
	bool present;
	bool gran;  /* G: the limit counts 4 KiB units */
	bool db;    /* D/B: 32-bit operands, stack pointer, upper bound */
	bool lmode; /* L: 64-bit code */
	bool avl;   /* for software */
	u8 ist;	    /* interrupt and trap gates of long mode: 0 .. 7 */
	u8 params;  /* call gates: words (CALL16) or double words, 0 .. 31 */
	u16 target; /* gates: selector of code segment or TSS */
	u32 limit;  /* segments: last offset in bytes, G applied */
	u64 base;   /* segments */
	u64 offset; /* gates: entry point */
};

static inline bool seg_is_memory(const struct seg_desc *d)
{
	return d->kind == SEG_KIND_DATA || d->kind == SEG_KIND_CODE;
}

static inline bool seg_is_tss(const struct seg_desc *d)
{
	return d->kind >= SEG_KIND_TSS16 && d->kind <= SEG_KIND_TSS64;
}

static inline bool seg_is_call_gate(const struct seg_desc *d)
{
	return d->kind >= SEG_KIND_CALL16 && d->kind <= SEG_KIND_CALL64;
}

static inline bool seg_is_gate(const struct seg_desc *d)
{
	return d->kind >= SEG_KIND_CALL16 && d->kind <= SEG_KIND_TRAP64;
}

static inline bool seg_is_intr_gate(const struct seg_desc *d)
{
	return d->kind >= SEG_KIND_INTR16 && d->kind <= SEG_KIND_INTR64;
}

static inline bool seg_is_trap_gate(const struct seg_desc *d)
{
	return d->kind >= SEG_KIND_TRAP16 && d->kind <= SEG_KIND_TRAP64;
}

static inline bool seg_readable(const struct seg_desc *d)
{
	return d->kind == SEG_KIND_DATA ||
	       (d->kind == SEG_KIND_CODE && (d->type & SEG_T_READ));
}

static inline bool seg_writable(const struct seg_desc *d)
{
	return d->kind == SEG_KIND_DATA && (d->type & SEG_T_WRITE);
}

static inline bool seg_conforming(const struct seg_desc *d)
{
	return d->kind == SEG_KIND_CODE && (d->type & SEG_T_CONFORMING);
}

static inline bool seg_expand_down(const struct seg_desc *d)
{
	return d->kind == SEG_KIND_DATA && (d->type & SEG_T_EXPAND_DOWN);
}

static inline bool seg_busy(const struct seg_desc *d)
{
	return seg_is_tss(d) && (d->type & SEG_T_BUSY);
}

/*
 * seg_slots: 8-byte entries that a descriptor of KIND takes: 2 for those of
 * long mode (CALL64, INTR64, TRAP64, TSS64, and LDT if LMA), else 1.
 */
u32 seg_slots(enum seg_kind kind, bool lma);

/*
 * seg_raw_slots: the same, from the first eight bytes RAW; 1 for a type that
 * is reserved.
 */
u32 seg_raw_slots(u64 raw, bool lma);

/*
 * seg_decode: fill D from RAW (RAW[1] is read only if the kind takes two
 * entries). LMA: EFER.LMA, in which the system types mean other things.
 * Returns 0, or -EINVAL for a reserved type or upper type bits that are not
 * zero (SDM 3.5.2, 5.8.3.1); D is filled then too, with kind RESERVED.
 */
int seg_decode(const u64 *raw, bool lma, struct seg_desc *d);

/*
 * seg_encode: write the entries of D to RAW. `type` counts for code and data
 * (its code bit must agree with the kind) and for the busy bit of a TSS; the
 * rest follows from the kind. Returns the entries written (1 or 2), or -EINVAL
 * with RAW unchanged for what a descriptor cannot say: a kind that LMA does
 * not have, a base or offset too wide, a limit that G cannot express, L with
 * D, or L outside of code, IST or parameters where there are none.
 */
int seg_encode(const struct seg_desc *d, bool lma, u64 *raw) MM_MUST_CHECK;

/*
 * seg_limit_encodable: LIMIT (last offset in bytes) can be written with G as
 * given: below 1 MiB without, the end of a 4 KiB unit with it.
 */
bool seg_limit_encodable(u64 limit, bool gran);

/* seg_may_stand: a descriptor of KIND is of use in TABLE (SDM 3.5, 6.10). */
bool seg_may_stand(enum seg_kind kind, enum seg_table table, bool lma);

/* Memory form and back; the bits are the same. */
struct desc_struct seg_to_desc_struct(u64 raw);
u64 seg_from_desc_struct(struct desc_struct d);

/* seg_kind_name: "data", "code", "tss32", ...: the words of machine files. */
const char *seg_kind_name(enum seg_kind kind);

/*
 * seg_type_name: SDM table 3-1 for code and data ("execute/read accessed"),
 * else "".
 */
const char *seg_type_name(const struct seg_desc *d);

/* seg_first, seg_last: the offsets that D lets through; first > last: none. */
u32 seg_first(const struct seg_desc *d);
u32 seg_last(const struct seg_desc *d);

#endif
