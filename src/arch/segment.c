/* SPDX-License-Identifier: MIT */
/*
 * segment.c - x86 descriptors as bits and as facts.
 *
 * 1. Purpose. Every address of an x86 program is a selector and an offset; a
 *    descriptor says which linear addresses that is, who may use them and
 *    how. This file translates between the eight or sixteen bytes that a CPU
 *    reads and struct seg_desc. segment_load.c has the rules of loads and
 *    references, segment_xfer.c those of control transfers, segment_linux.c
 *    the tables that Linux makes, machine_desc.c a text form.
 *
 * 2. Bits of the first eight bytes, from bit 0:
 *    segments   0-15 limit 15:0   16-39 base 23:0   40-43 type   44 S
 *               45-46 DPL   47 P   48-51 limit 19:16   52 AVL   53 L
 *               54 D/B   55 G   56-63 base 31:24
 *    gates      0-15 offset 15:0   16-31 selector   32-36 parameters (call)
 *               or 32-34 IST   40-43 type   44 S=0   45-46 DPL   47 P
 *               48-63 offset 31:16
 *    The second eight bytes that long mode adds to system descriptors:
 *    0-31 base or offset 63:32; 40-44 must be zero, so that the second half
 *    taken for a descriptor is one of a type that nothing accepts.
 *
 * 3. Invariants.
 *    SEG-1  decode(encode(d)) is d for every d that encode accepts.
 *    SEG-2  encode(decode(raw)) is raw but for bits without a meaning.
 *    SEG-3  limit is in bytes, low twelve bits set if G.
 *    SEG-4  decode never fails to fill its result, so that a reserved type
 *           can be shown; only its kind says so.
 *
 * 4. Locking and life. Nothing is kept here; values in, values out.
 *
 * 5. Failure. Reserved types, and what bits cannot express: -EINVAL.
 *
 * 6. Complexity. Constant.
 *
 * 7. Rejected. Bit-fields as the only form: their order belongs to the
 *    compiler, gates and segments share bits, and a base in three pieces is
 *    nothing that a rule wants to see. struct desc_struct is there for who
 *    writes descriptors as Linux does.
 *
 * References: Intel SDM vol. 3A, 3.4 and 3.5, tables 3-1 and 3-2, 5.8.3,
 * 6.11, 6.14, 7.2; AMD64 APM vol. 2, chapter 4.
 */
#include "arch/segment.h"

#include <mmkit/errno.h>

#include "base/assert.h"
#include "base/string.h"

#define RAW_S	    BIT(44)
#define RAW_P	    BIT(47)
#define RAW_AVL	    BIT(52)
#define RAW_L	    BIT(53)
#define RAW_DB	    BIT(54)
#define RAW_G	    BIT(55)
#define RAW_HI_TYPE (0x1fUL << 40) /* of the second half: must be zero */

MM_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
		 "descriptors are read as little-endian words");

/* SDM table 3-2: what the four type bits mean with S = 0. */
static const u8 legacy_kinds[16] = {
	SEG_KIND_RESERVED, SEG_KIND_TSS16,    SEG_KIND_LDT,
	SEG_KIND_TSS16,	   SEG_KIND_CALL16,   SEG_KIND_TASK,
	SEG_KIND_INTR16,   SEG_KIND_TRAP16,   SEG_KIND_RESERVED,
	SEG_KIND_TSS32,	   SEG_KIND_RESERVED, SEG_KIND_TSS32,
	SEG_KIND_CALL32,   SEG_KIND_RESERVED, SEG_KIND_INTR32,
	SEG_KIND_TRAP32,
};

static const u8 long_kinds[16] = {
	SEG_KIND_RESERVED, SEG_KIND_RESERVED, SEG_KIND_LDT,
	SEG_KIND_RESERVED, SEG_KIND_RESERVED, SEG_KIND_RESERVED,
	SEG_KIND_RESERVED, SEG_KIND_RESERVED, SEG_KIND_RESERVED,
	SEG_KIND_TSS64,	   SEG_KIND_RESERVED, SEG_KIND_TSS64,
	SEG_KIND_CALL64,   SEG_KIND_RESERVED, SEG_KIND_INTR64,
	SEG_KIND_TRAP64,
};

static const char *const kind_names[] = {
	"null",	  "data",   "code",   "ldt",	"tss16",  "tss32",
	"tss64",  "call16", "call32", "call64", "task",	  "intr16",
	"intr32", "intr64", "trap16", "trap32", "trap64", "reserved",
};
MM_STATIC_ASSERT(ARRAY_SIZE(kind_names) == SEG_KIND_RESERVED + 1,
		 "a name for each kind");

static const char *const type_names[16] = {
	"read-only",
	"read-only accessed",
	"read/write",
	"read/write accessed",
	"read-only expand-down",
	"read-only expand-down accessed",
	"read/write expand-down",
	"read/write expand-down accessed",
	"execute-only",
	"execute-only accessed",
	"execute/read",
	"execute/read accessed",
	"execute-only conforming",
	"execute-only conforming accessed",
	"execute/read conforming",
	"execute/read conforming accessed",
};

/* ---- decoding ----------------------------------------------------------- */

static u8 raw_type(u64 raw)
{
	return (raw >> 40) & 0xf;
}

static enum seg_kind raw_kind(u64 raw, bool lma)
{
	u8 type = raw_type(raw);

	if (raw == 0)
		return SEG_KIND_NULL;
	if (raw & RAW_S)
		return type & SEG_T_CODE ? SEG_KIND_CODE : SEG_KIND_DATA;
	return lma ? long_kinds[type] : legacy_kinds[type];
}

u32 seg_slots(enum seg_kind kind, bool lma)
{
	switch (kind) {
	case SEG_KIND_TSS64:
	case SEG_KIND_CALL64:
	case SEG_KIND_INTR64:
	case SEG_KIND_TRAP64:
		return 2;
	case SEG_KIND_LDT:
		return lma ? 2 : 1;
	default:
		return 1;
	}
}

u32 seg_raw_slots(u64 raw, bool lma)
{
	return seg_slots(raw_kind(raw, lma), lma);
}

static void decode_segment(u64 raw, u64 high, struct seg_desc *d)
{
	u32 units = (u32)((raw & 0xffff) | (raw >> 32 & 0xf0000));

	d->gran = (raw & RAW_G) != 0;
	d->db = (raw & RAW_DB) != 0;
	d->lmode = (raw & RAW_L) != 0;
	d->avl = (raw & RAW_AVL) != 0;
	d->base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000) |
		  (high & 0xffffffff) << 32;
	d->limit = d->gran ? units << 12 | 0xfff : units;
	mm_assert(seg_limit_encodable(d->limit, d->gran));
}

static void decode_gate(u64 raw, u64 high, struct seg_desc *d)
{
	d->target = (u16)(raw >> 16);
	if (d->kind == SEG_KIND_TASK)
		return;
	d->offset = (raw & 0xffff) | (raw >> 32 & 0xffff0000) |
		    (high & 0xffffffff) << 32;
	if (d->kind == SEG_KIND_CALL16 || d->kind == SEG_KIND_CALL32)
		d->params = raw >> 32 & 0x1f;
	if (d->kind == SEG_KIND_INTR64 || d->kind == SEG_KIND_TRAP64)
		d->ist = raw >> 32 & 0x7;
	if (d->kind == SEG_KIND_CALL16 || d->kind == SEG_KIND_INTR16 ||
	    d->kind == SEG_KIND_TRAP16)
		d->offset &= 0xffff;
	mm_assert(d->params <= 31 && d->ist <= 7);
}

/* The upper half of an interrupt gate has no type field that a CPU checks. */
static bool upper_type_checked(enum seg_kind kind)
{
	return kind == SEG_KIND_LDT || kind == SEG_KIND_TSS64 ||
	       kind == SEG_KIND_CALL64;
}

int seg_decode(const u64 *raw, bool lma, struct seg_desc *d)
{
	u64 high;

	mm_assert(raw && d);
	*d = (struct seg_desc){.kind = raw_kind(raw[0], lma),
			       .type = raw_type(raw[0]),
			       .dpl = raw[0] >> 45 & 3,
			       .present = (raw[0] & RAW_P) != 0};
	high = seg_slots(d->kind, lma) == 2 ? raw[1] : 0;
	if (seg_is_gate(d))
		decode_gate(raw[0], high, d);
	else
		decode_segment(raw[0], high, d);
	if (upper_type_checked(d->kind) && (high & RAW_HI_TYPE))
		d->kind = SEG_KIND_RESERVED;
	return d->kind == SEG_KIND_RESERVED ? -EINVAL : 0;
}

/* ---- encoding ----------------------------------------------------------- */

bool seg_limit_encodable(u64 limit, bool gran)
{
	if (gran)
		return limit <= 0xffffffff && (limit & 0xfff) == 0xfff;
	return limit <= 0xfffff;
}

/* The type bits of a system kind, or -EINVAL if the mode lacks the kind. */
static int system_type(const struct seg_desc *d, bool lma)
{
	const u8 *kinds = lma ? long_kinds : legacy_kinds;

	for (int type = 0; type < 16; type++) {
		if (kinds[type] != d->kind || d->kind == SEG_KIND_RESERVED)
			continue;
		if (seg_is_tss(d))
			type |= d->type & SEG_T_BUSY;
		mm_assert(kinds[type] == d->kind);
		return type;
	}
	return -EINVAL;
}

static int encode_segment(const struct seg_desc *d, bool lma, u64 *raw)
{
	bool wide = seg_slots(d->kind, lma) == 2;
	u32 units = d->gran ? d->limit >> 12 : d->limit;

	if (!seg_limit_encodable(d->limit, d->gran))
		return -EINVAL;
	if (d->base >> 32 && !wide)
		return -EINVAL;
	if (d->lmode && (d->kind != SEG_KIND_CODE || d->db))
		return -EINVAL;
	if (d->offset || d->target || d->ist || d->params)
		return -EINVAL;
	raw[0] |= (units & 0xffff) | (u64)(units & 0xf0000) << 32 |
		  (d->base & 0xffffff) << 16 | (d->base & 0xff000000) << 32 |
		  (d->gran ? RAW_G : 0) | (d->db ? RAW_DB : 0) |
		  (d->lmode ? RAW_L : 0) | (d->avl ? RAW_AVL : 0);
	raw[1] = d->base >> 32;
	return 0;
}

static u32 offset_bits(enum seg_kind kind)
{
	switch (kind) {
	case SEG_KIND_TASK:
		return 0;
	case SEG_KIND_CALL16:
	case SEG_KIND_INTR16:
	case SEG_KIND_TRAP16:
		return 16;
	case SEG_KIND_CALL64:
	case SEG_KIND_INTR64:
	case SEG_KIND_TRAP64:
		return 64;
	default:
		return 32;
	}
}

static int encode_gate(const struct seg_desc *d, u64 *raw)
{
	u32 bits = offset_bits(d->kind);
	bool has_ist = bits == 64 && d->kind != SEG_KIND_CALL64;
	bool has_params = bits < 64 && seg_is_call_gate(d);

	if (bits < 64 && d->offset >> bits)
		return -EINVAL;
	if (d->ist > (has_ist ? 7 : 0) || d->params > (has_params ? 31 : 0))
		return -EINVAL;
	if (d->base || d->limit || d->gran || d->db || d->lmode || d->avl)
		return -EINVAL;
	raw[0] |= (d->offset & 0xffff) | (u64)d->target << 16 |
		  (u64)(d->ist | d->params) << 32 |
		  (d->offset & 0xffff0000) << 32;
	raw[1] = d->offset >> 32;
	return 0;
}

int seg_encode(const struct seg_desc *d, bool lma, u64 *raw)
{
	u64 made[2] = {0, 0};
	int type = d->type, err;
	u32 slots = seg_slots(d->kind, lma);

	mm_assert(d && raw);
	if (d->dpl > 3 || d->type > 15)
		return -EINVAL;
	if (d->kind == SEG_KIND_NULL) {
		raw[0] = 0;
		return 1;
	}
	if (!seg_is_memory(d))
		type = system_type(d, lma);
	else if (!(type & SEG_T_CODE) != (d->kind == SEG_KIND_DATA))
		type = -EINVAL;
	if (type < 0)
		return type;
	made[0] = (u64)type << 40 | (seg_is_memory(d) ? RAW_S : 0) |
		  (u64)d->dpl << 45 | (d->present ? RAW_P : 0);
	err = seg_is_gate(d) ? encode_gate(d, made)
			     : encode_segment(d, lma, made);
	if (err)
		return err;
	mm_assert_implies(slots == 1, made[1] == 0);
	mm_memcpy(raw, made, slots * sizeof(*raw));
	return (int)slots;
}

struct desc_struct seg_to_desc_struct(u64 raw)
{
	struct desc_struct d;

	mm_memcpy(&d, &raw, sizeof(d));
	return d;
}

u64 seg_from_desc_struct(struct desc_struct d)
{
	u64 raw;

	mm_memcpy(&raw, &d, sizeof(raw));
	return raw;
}

/* ---- facts -------------------------------------------------------------- */

bool seg_may_stand(enum seg_kind kind, enum seg_table table, bool lma)
{
	struct seg_desc d = {.kind = kind};
	bool event = seg_is_intr_gate(&d) || seg_is_trap_gate(&d);

	mm_assert_lt(table, SEG_NR_TABLES);
	if (kind == SEG_KIND_NULL)
		return true;
	if (kind == SEG_KIND_RESERVED)
		return false;
	/* A kind of the other mode stands nowhere. */
	if (!seg_is_memory(&d) && system_type(&d, lma) < 0)
		return false;
	switch (table) {
	case SEG_TABLE_IDT:
		return event || kind == SEG_KIND_TASK;
	case SEG_TABLE_LDT:
		return !event && kind != SEG_KIND_LDT && !seg_is_tss(&d);
	default:
		return !event;
	}
}

const char *seg_kind_name(enum seg_kind kind)
{
	mm_verify(kind <= SEG_KIND_RESERVED);
	return kind_names[kind];
}

const char *seg_type_name(const struct seg_desc *d)
{
	mm_assert_lt(d->type, 16);
	return seg_is_memory(d) ? type_names[d->type & 0xf] : "";
}

/*
 * Expand-down: everything above the limit, to the top of the offsets that
 * D/B gives; a limit at that top leaves nothing (first > last).
 */
u32 seg_first(const struct seg_desc *d)
{
	if (!seg_expand_down(d))
		return 0;
	return d->limit == 0xffffffff ? d->limit : d->limit + 1;
}

u32 seg_last(const struct seg_desc *d)
{
	if (!seg_expand_down(d))
		return d->limit;
	if (d->limit == 0xffffffff)
		return 0;
	return d->db ? 0xffffffff : 0xffff;
}
