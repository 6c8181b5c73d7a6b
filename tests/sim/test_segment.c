/* SPDX-License-Identifier: MIT */
/*
 * Descriptors to bits and back, loads of segment registers, and references
 * through them: every rule holds once and is broken once.
 */
#include "segment_machine.h"

#include "base_seed.h"

#define GP X86_TRAP_GP
#define NP X86_TRAP_NP
#define SS X86_TRAP_SS
#define UD X86_TRAP_UD
#define PF X86_TRAP_PF

/* ---- descriptors -------------------------------------------------------- */

static void test_selectors(void **state)
{
	static const struct {
		u16 sel, index, rpl;
		bool ldt;
	} row[] = {
		{0x60, 12, 0, false}, {0x68, 13, 0, false},
		{0x73, 14, 3, false}, {0x7b, 15, 3, false},
		{0x0f, 1, 3, true},   {0xfffc, 8191, 0, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		assert_int_equal(seg_sel_index(row[i].sel), row[i].index);
		assert_int_equal(seg_sel_rpl(row[i].sel), row[i].rpl);
		assert_int_equal(seg_sel_ldt(row[i].sel), row[i].ldt);
		assert_int_equal(seg_sel(row[i].index, row[i].ldt, row[i].rpl),
				 row[i].sel);
	}
	assert_true(seg_sel_null(3));
	assert_false(seg_sel_null(4));
}

/* SDM table 3-1, written out once more. */
static void test_code_data_types(void **state)
{
	(void)state;
	for (u32 type = 0; type < 16; type++) {
		u64 raw = 0x00cf90000000ffff | (u64)type << 40;
		struct seg_desc d;

		assert_int_equal(seg_decode(&raw, false, &d), 0);
		assert_int_equal(d.kind,
				 type < 8 ? SEG_KIND_DATA : SEG_KIND_CODE);
		assert_int_equal(seg_readable(&d), type < 8 || (type & 2));
		assert_int_equal(seg_writable(&d), type < 8 && (type & 2));
		assert_int_equal(seg_expand_down(&d), type < 8 && (type & 4));
		assert_int_equal(seg_conforming(&d), type >= 8 && (type & 4));
		assert_int_equal(strstr(seg_type_name(&d), "accessed") != NULL,
				 type & 1);
		assert_int_equal(d.limit, 0xffffffff);
	}
}

static enum seg_kind expected_kind(u32 access, bool lma)
{
	static const char *const legacy[16] = {
		"reserved", "tss16",	"ldt",	    "tss16",
		"call16",   "task",	"intr16",   "trap16",
		"reserved", "tss32",	"reserved", "tss32",
		"call32",   "reserved", "intr32",   "trap32"};
	static const char *const wide[16] = {
		"reserved", "reserved", "ldt",	    "reserved",
		"reserved", "reserved", "reserved", "reserved",
		"reserved", "tss64",	"reserved", "tss64",
		"call64",   "reserved", "intr64",   "trap64"};
	const char *name = (lma ? wide : legacy)[access & 15];

	if (access & 0x10)
		return access & 8 ? SEG_KIND_CODE : SEG_KIND_DATA;
	for (u32 k = 0; k <= SEG_KIND_RESERVED; k++) {
		if (strcmp(seg_kind_name(k), name) == 0)
			return k;
	}
	fail();
	return 0;
}

/* Every access byte in both modes: kind, DPL, P, and bits back again. */
static void test_access_bytes(void **state)
{
	(void)state;
	for (u32 n = 0; n < 512; n++) {
		bool lma = n & 256;
		u32 access = n & 255;
		u64 raw[2] = {(u64)access << 40 | 0x1234, 0}, again[2];
		enum seg_kind kind = expected_kind(access, lma);
		struct seg_desc d;
		int err = seg_decode(raw, lma, &d);

		assert_int_equal(err, kind == SEG_KIND_RESERVED ? -22 : 0);
		assert_int_equal(d.kind, kind);
		assert_int_equal(d.dpl, access >> 5 & 3);
		assert_int_equal(d.present, access >> 7);
		if (err) {
			assert_int_equal(seg_encode(&d, lma, again), -22);
			continue;
		}
		again[0] = again[1] = 0;
		assert_true(seg_encode(&d, lma, again) > 0);
		if (kind != SEG_KIND_TASK) /* its low word means nothing */
			assert_int_equal(again[0], raw[0]);
	}
}

static struct seg_desc random_desc(struct prng *r, bool lma)
{
	struct seg_desc d = {
		.kind = (enum seg_kind)prng_below(r, SEG_KIND_RESERVED + 1),
		.dpl = (u8)prng_below(r, 4),
		.present = prng_one_in(r, 2)};
	bool wide;

	if (seg_is_memory(&d))
		d.type = (u8)(prng_below(r, 8) |
			      (d.kind == SEG_KIND_CODE ? 8 : 0));
	if (seg_is_tss(&d) && prng_one_in(r, 2))
		d.type = SEG_T_BUSY;
	wide = seg_slots(d.kind, lma) == 2;
	if (d.kind == SEG_KIND_NULL)
		return (struct seg_desc){0};
	if (seg_is_gate(&d)) {
		d.target = (u16)prng_u64(r);
		d.offset = prng_u64(r) >> (wide ? 0 : 32);
		if (prng_one_in(r, 2) && wide && d.kind != SEG_KIND_CALL64)
			d.ist = (u8)prng_below(r, 8);
		if (prng_one_in(r, 2))
			d.params = (u8)prng_below(r, 32);
		if (prng_one_in(r, 2))
			d.offset &= 0xffff;
		return d;
	}
	d.base = prng_u64(r) >> (wide ? 0 : 32);
	d.gran = prng_one_in(r, 2);
	d.limit = d.gran ? prng_u32(r) | 0xfff : prng_u32(r) >> 12;
	d.db = prng_one_in(r, 2);
	d.avl = prng_one_in(r, 2);
	d.lmode = d.kind == SEG_KIND_CODE && !d.db && prng_one_in(r, 2);
	return d;
}

static void same_desc(const struct seg_desc *a, const struct seg_desc *b)
{
	assert_int_equal(a->kind, b->kind);
	if (seg_is_memory(a))
		assert_int_equal(a->type, b->type);
	assert_int_equal(seg_busy(a), seg_busy(b));
	assert_int_equal(a->dpl, b->dpl);
	assert_int_equal(a->present, b->present);
	assert_int_equal(a->gran, b->gran);
	assert_int_equal(a->db, b->db);
	assert_int_equal(a->lmode, b->lmode);
	assert_int_equal(a->avl, b->avl);
	assert_int_equal(a->ist, b->ist);
	assert_int_equal(a->params, b->params);
	assert_int_equal(a->target, b->target);
	assert_int_equal(a->limit, b->limit);
	assert_int_equal(a->base, b->base);
	assert_int_equal(a->offset, b->offset);
}

static void test_round_trips(void **state)
{
	struct prng r;
	u64 made = 0, iters = test_iters(200000);

	(void)state;
	test_seed(&r, "round trips");
	for (u64 i = 0; i < iters; i++) {
		bool lma = prng_one_in(&r, 2);
		struct seg_desc d = random_desc(&r, lma), back;
		u64 raw[2] = {0, 0};
		int slots = seg_encode(&d, lma, raw);

		if (slots < 0) {
			assert_int_equal(raw[0] | raw[1], 0);
			continue;
		}
		made++;
		assert_int_equal(slots, seg_slots(d.kind, lma));
		assert_int_equal(seg_raw_slots(raw[0], lma), slots);
		assert_int_equal(seg_decode(raw, lma, &back), 0);
		same_desc(&d, &back);
		assert_int_equal(
			seg_from_desc_struct(seg_to_desc_struct(raw[0])),
			raw[0]);
	}
	assert_true(made > iters / 4);
}

static void test_desc_struct(void **state)
{
	struct desc_struct d = {.limit0 = 0x5678,
				.base0 = 0xcdef,
				.base1 = 0xab,
				.type = 3,
				.s = 1,
				.dpl = 2,
				.p = 1,
				.limit1 = 4,
				.avl = 1,
				.d = 1,
				.g = 1,
				.base2 = 0x89};
	u64 raw = seg_from_desc_struct(d);
	struct seg_desc s;

	(void)state;
	assert_int_equal(raw, 0x89d4d3abcdef5678);
	assert_int_equal(seg_decode(&raw, false, &s), 0);
	assert_int_equal(s.base, 0x89abcdef);
	assert_int_equal(s.limit, 0x45678fff);
	assert_true(s.avl && s.db && s.gran && s.present && !s.lmode);
	assert_int_equal(s.dpl, 2);
}

/* What a descriptor cannot say is refused, one field at a time. */
static void test_encode_refuses(void **state)
{
	struct seg_desc code = sm_seg(SEG_KIND_CODE, SEG_T_READ, 0);
	struct seg_desc gate = {.kind = SEG_KIND_INTR32, .present = true};
	struct seg_desc d;
	u64 raw[2];

#define REFUSED(from, lma, change)                                 \
	do {                                                       \
		d = (from);                                        \
		assert_true(seg_encode(&d, (lma), raw) > 0);       \
		change;                                            \
		assert_int_equal(seg_encode(&d, (lma), raw), -22); \
	} while (0)
	(void)state;
	REFUSED(code, false, d.dpl = 4);
	REFUSED(code, false, d.type = SEG_T_READ);
	REFUSED(code, false, d.base = 1UL << 32);
	REFUSED(code, false, d.limit = 0xfffff000);
	REFUSED(code, false, (d.gran = false, d.limit = 0x100000));
	REFUSED(code, false, d.lmode = true);
	REFUSED(code, false, d.ist = 1);
	REFUSED(code, false, d.params = 1);
	REFUSED(code, false, d.target = 8);
	REFUSED(code, false, d.offset = 8);
	REFUSED(code, false, d.kind = SEG_KIND_RESERVED);
	REFUSED(code, false, d.kind = SEG_KIND_TSS64);
	REFUSED(code, true, d.kind = SEG_KIND_TSS32);
	REFUSED(gate, false, d.offset = 1UL << 32);
	REFUSED(gate, false, d.ist = 1);
	REFUSED(gate, false, d.params = 1);
	REFUSED(gate, false, d.base = 1);
	REFUSED(gate, false, d.limit = 1);
	gate.kind = SEG_KIND_INTR64;
	REFUSED(gate, true, d.ist = 8);
	gate.kind = SEG_KIND_CALL64;
	REFUSED(gate, true, d.params = 1);
	REFUSED(gate, true, d.ist = 1);
	gate.kind = SEG_KIND_CALL16;
	REFUSED(gate, false, d.params = 32);
	REFUSED(gate, false, d.offset = 0x10000);
	d = sm_seg(SEG_KIND_DATA, SEG_T_WRITE, 0);
	d.db = false;
	d.lmode = true;
	assert_int_equal(seg_encode(&d, true, raw), -22);
#undef REFUSED
}

static void test_long_halves(void **state)
{
	struct seg_desc d = {.kind = SEG_KIND_INTR64,
			     .present = true,
			     .ist = 5,
			     .target = 0x10,
			     .offset = 0xffffffff81234567};
	u64 raw[2];

	(void)state;
	assert_int_equal(seg_encode(&d, true, raw), 2);
	assert_int_equal(raw[0], 0x81238e0500104567);
	assert_int_equal(raw[1], 0xffffffff);
	/* An interrupt gate's upper half is not looked at ... */
	raw[1] |= 1UL << 40;
	assert_int_equal(seg_decode(raw, true, &d), 0);
	assert_int_equal(d.offset, 0xffffffff81234567);
	/* ... that of a TSS, an LDT, a call gate must have type 0. */
	d = seg_system(SEG_KIND_TSS64, 0xffff888012345678, 104);
	assert_int_equal(seg_encode(&d, true, raw), 2);
	assert_int_equal(raw[0], 0x1200893456780067);
	assert_int_equal(raw[1], 0xffff8880);
	for (u32 bit = 40; bit <= 44; bit++) {
		raw[1] = 1UL << bit;
		assert_int_equal(seg_decode(raw, true, &d), -22);
		assert_int_equal(d.kind, SEG_KIND_RESERVED);
	}
}

/* Kinds (rows) that may stand in GDT, LDT, IDT: legacy, then long mode. */
static void test_may_stand(void **state)
{
	static const struct {
		const char *name, *legacy, *lng;
	} row[] = {
		{"null", "gli", "gli"}, {"data", "gl", "gl"},
		{"code", "gl", "gl"},	{"ldt", "g", "g"},
		{"tss16", "g", ""},	{"tss32", "g", ""},
		{"tss64", "", "g"},	{"call16", "gl", ""},
		{"call32", "gl", ""},	{"call64", "", "gl"},
		{"task", "gli", ""},	{"intr16", "i", ""},
		{"intr32", "i", ""},	{"intr64", "", "i"},
		{"trap16", "i", ""},	{"trap32", "i", ""},
		{"trap64", "", "i"},	{"reserved", "", ""},
	};

	(void)state;
	for (u32 k = 0; k < ARRAY_SIZE(row); k++) {
		assert_string_equal(seg_kind_name(k), row[k].name);
		for (u32 t = 0; t < SEG_NR_TABLES; t++) {
			char c = "gli"[t];

			assert_int_equal(seg_may_stand(k, t, false),
					 strchr(row[k].legacy, c) != NULL);
			assert_int_equal(seg_may_stand(k, t, true),
					 strchr(row[k].lng, c) != NULL);
		}
	}
}

/* ---- loads -------------------------------------------------------------- */

enum want { OK, F_GP, F_NP, F_SS };

struct load_row {
	u8 cpl, rpl;
	enum seg_kind kind;
	u8 type, dpl;
	bool absent;
	enum want want;
	enum seg_rule rule;
};

#define CODE SEG_KIND_CODE
#define DATA SEG_KIND_DATA
#define R    SEG_T_READ
#define W    SEG_T_WRITE
#define C    SEG_T_CONFORMING

static void try_load(const struct load_row *row, enum seg_id reg, bool ldt)
{
	u16 sel = seg_sel(P_FREE, ldt, row->rpl);
	struct seg_desc d = sm_seg(row->kind, row->type, row->dpl);
	u64 *table = ldt ? sm.ldt : sm.gdt;
	struct seg_cpu before;
	int ret;

	sm_boot(false);
	sm_ring(row->cpl ? 3 : 0);
	sm.cpu.cpl = row->cpl; /* rings 1 and 2 are not worth tables */
	d.present = !row->absent;
	sm_put(table, P_FREE, d);
	before = sm.cpu;
	ret = seg_load(&sm.cpu, reg, sel);
	if (row->want == OK) {
		sm_worked(ret);
		assert_int_equal(sm.cpu.sr[reg].sel, sel);
		assert_true(sm.cpu.sr[reg].usable);
		assert_true(sm.cpu.sr[reg].hid.type & SEG_T_ACCESSED);
		assert_true(table[P_FREE] & BIT(40));
		return;
	}
	sm_faulted(ret,
		   row->want == F_GP   ? GP
		   : row->want == F_NP ? NP
				       : SS,
		   sel & ~3, row->rule);
	assert_false(table[P_FREE] & BIT(40));
	before.fault = sm.cpu.fault;
	assert_memory_equal(&before, &sm.cpu, sizeof(before));
}

static void test_load_data(void **state)
{
	static const struct load_row row[] = {
		{0, 0, DATA, W, 0, 0, OK, 0},
		{0, 0, DATA, 0, 0, 0, OK, 0},
		{3, 3, DATA, W, 3, 0, OK, 0},
		{0, 3, DATA, W, 3, 0, OK, 0},
		{3, 0, DATA, W, 3, 0, OK, 0},
		{0, 0, DATA, W, 3, 0, OK, 0},
		{1, 2, DATA, W, 2, 0, OK, 0},
		{0, 0, CODE, R, 0, 0, OK, 0},
		{3, 3, CODE, R | C, 0, 0, OK, 0},
		{3, 3, DATA, W, 2, 0, F_GP, SEG_RULE_DATA_DPL},
		{0, 3, DATA, W, 0, 0, F_GP, SEG_RULE_DATA_DPL},
		{3, 0, DATA, W, 0, 0, F_GP, SEG_RULE_DATA_DPL},
		{1, 2, DATA, W, 1, 0, F_GP, SEG_RULE_DATA_DPL},
		{3, 3, CODE, R, 0, 0, F_GP, SEG_RULE_DATA_DPL},
		{0, 0, CODE, 0, 0, 0, F_GP, SEG_RULE_READABLE},
		{0, 0, CODE, C, 0, 0, F_GP, SEG_RULE_READABLE},
		{0, 0, DATA, W, 0, 1, F_NP, SEG_RULE_PRESENT},
		/* Of several the first of the manual's order counts. */
		{3, 3, DATA, W, 0, 1, F_GP, SEG_RULE_DATA_DPL},
	};
	static const u8 regs[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(row) * 8; i++)
		try_load(&row[i / 8], regs[i % 4], i & 4);
}

static void test_load_stack(void **state)
{
	static const struct load_row row[] = {
		{0, 0, DATA, W, 0, 0, OK, 0},
		{3, 3, DATA, W, 3, 0, OK, 0},
		{2, 2, DATA, W | SEG_T_EXPAND_DOWN, 2, 0, OK, 0},
		{0, 3, DATA, W, 0, 0, F_GP, SEG_RULE_STACK_RPL},
		{3, 0, DATA, W, 3, 0, F_GP, SEG_RULE_STACK_RPL},
		{0, 0, DATA, W, 3, 0, F_GP, SEG_RULE_STACK_DPL},
		{3, 3, DATA, W, 0, 0, F_GP, SEG_RULE_STACK_DPL},
		{0, 0, DATA, 0, 0, 0, F_GP, SEG_RULE_WRITABLE},
		{0, 0, CODE, R, 0, 0, F_GP, SEG_RULE_WRITABLE},
		{0, 0, DATA, W, 0, 1, F_SS, SEG_RULE_PRESENT},
		{0, 0, DATA, 0, 0, 1, F_GP, SEG_RULE_WRITABLE},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(row) * 2; i++)
		try_load(&row[i / 2], SEG_SS, i & 1);
}

static void test_load_null(void **state)
{
	u64 linear = 77;
	struct seg_ref ref = {0, 1, SEG_READ};

	(void)state;
	for (u16 rpl = 0; rpl < 4; rpl++) {
		sm_boot(false);
		sm_ring(0);
		sm_worked(seg_load(&sm.cpu, SEG_DS, rpl));
		assert_int_equal(sm.cpu.sr[SEG_DS].sel, rpl);
		sm_faulted(seg_linear(&sm.cpu, SEG_DS, &ref, &linear), GP, 0,
			   SEG_RULE_USABLE);
		sm_faulted(seg_load(&sm.cpu, SEG_SS, rpl), GP, 0,
			   SEG_RULE_NULL_STACK);
	}
	assert_int_equal(linear, 77);
	sm_boot(true);
	sm_ring(0);
	sm_worked(seg_load(&sm.cpu, SEG_SS, 0));
	sm_faulted(seg_load(&sm.cpu, SEG_SS, 3), GP, 0, SEG_RULE_NULL_STACK);
	sm_worked(seg_load(&sm.cpu, SEG_DS, 0));
	sm_worked(seg_linear(&sm.cpu, SEG_DS, &ref, &linear));
	/* A null stack is of the ring that loaded it. */
	for (u16 ring = 0; ring < 3; ring++) {
		sm.cpu.cpl = (u8)ring;
		sm_worked(seg_load(&sm.cpu, SEG_SS, ring));
		assert_false(sm.cpu.sr[SEG_SS].usable);
		assert_int_equal(sm.cpu.sr[SEG_SS].hid.dpl, ring);
	}
	sm_ring(3);
	sm_faulted(seg_load(&sm.cpu, SEG_SS, 3), GP, 0, SEG_RULE_NULL_STACK);
}

static void test_table_limits(void **state)
{
	(void)state;
	sm_boot(false);
	sm_ring(0);
	sm_put(sm.gdt, 20, sm_seg(DATA, W, 3));
	sm_put(sm.ldt, 20, sm_seg(DATA, W, 3));
	sm.cpu.gdtr.limit = 20 * 8 + 7;
	sm_worked(seg_load(&sm.cpu, SEG_DS, 20 * 8 | 3));
	sm.cpu.gdtr.limit = 20 * 8 + 6;
	sm_faulted(seg_load(&sm.cpu, SEG_DS, 20 * 8 | 3), GP, 20 * 8,
		   SEG_RULE_TABLE_LIMIT);
	sm_worked(seg_load(&sm.cpu, SEG_DS, 20 * 8 | 7));
	sm.cpu.ldtr.hid.limit = 20 * 8 + 6;
	sm_faulted(seg_load(&sm.cpu, SEG_DS, 20 * 8 | 7), GP, 20 * 8 | 4,
		   SEG_RULE_TABLE_LIMIT);
	/* Entry 0 of the LDT is no null selector. */
	sm_put(sm.ldt, 0, sm_seg(DATA, W, 3));
	sm_worked(seg_load(&sm.cpu, SEG_DS, 4));
	sm_worked(seg_lldt(&sm.cpu, 0));
	sm_faulted(seg_load(&sm.cpu, SEG_DS, 4), GP, 4, SEG_RULE_LDT_USABLE);
	/* A table outside of memory is a page fault, not a guess. */
	sm.cpu.gdtr = (struct seg_dtr){0x900000, 0xffff};
	sm_faulted(seg_load(&sm.cpu, SEG_DS, 8), PF, 0, SEG_RULE_MEMORY_READ);
	assert_int_equal(sm.cpu.fault.addr, 0x900008);
}

/* The hidden part is what was loaded, whatever becomes of the table. */
static void test_hidden_part(void **state)
{
	struct seg_ref ref = {0x1fff, 1, SEG_WRITE};
	struct seg_desc d = sm_seg(DATA, W, 0);
	u64 linear = 0;

	(void)state;
	sm_boot(false);
	sm_ring(0);
	d.base = 0x5000000;
	d.limit = 0x1fff;
	sm_put(sm.gdt, P_FREE, d);
	sm_worked(seg_load(&sm.cpu, SEG_ES, P_FREE * 8));
	d.base = 0x6000000;
	d.limit = 0xfff;
	sm_put(sm.gdt, P_FREE, d);
	sm_worked(seg_linear(&sm.cpu, SEG_ES, &ref, &linear));
	assert_int_equal(linear, 0x5001fff);
	sm_worked(seg_load(&sm.cpu, SEG_ES, P_FREE * 8));
	sm_faulted(seg_linear(&sm.cpu, SEG_ES, &ref, &linear), GP, 0,
		   SEG_RULE_LIMIT);
	ref.offset = 0xfff;
	sm_worked(seg_linear(&sm.cpu, SEG_ES, &ref, &linear));
	assert_int_equal(linear, 0x6000fff);
}

static void test_real_and_vm86(void **state)
{
	struct seg_ref ref = {0xffff, 1, SEG_WRITE};
	u64 linear = 0;

	(void)state;
	sm_boot(false);
	seg_cpu_init(&sm.cpu, &sm.mem);
	sm_worked(seg_load(&sm.cpu, SEG_DS, 0xffff));
	sm_worked(seg_linear(&sm.cpu, SEG_DS, &ref, &linear));
	assert_int_equal(linear, 0x10ffef);
	ref.size = 2;
	assert_int_equal(seg_linear(&sm.cpu, SEG_DS, &ref, &linear), -14);
	assert_int_equal(sm.cpu.fault.vector, GP);
	assert_false(sm.cpu.fault.has_error);
	assert_int_equal(seg_linear(&sm.cpu, SEG_SS, &ref, &linear), -14);
	assert_int_equal(sm.cpu.fault.vector, SS);
	/* Limits of protected mode stay in real mode. */
	sm.cpu.sr[SEG_DS].hid.limit = 0xffffffff;
	ref.offset = 0x1000000;
	sm_worked(seg_load(&sm.cpu, SEG_DS, 0x100));
	sm_worked(seg_linear(&sm.cpu, SEG_DS, &ref, &linear));
	assert_int_equal(linear, 0x1001000);
	/* Not so in virtual-8086 mode. */
	sm.cpu.pe = true;
	sm.cpu.flags |= X86_FLAGS_VM;
	sm_worked(seg_load(&sm.cpu, SEG_DS, 0x100));
	sm_faulted(seg_linear(&sm.cpu, SEG_DS, &ref, &linear), GP, 0,
		   SEG_RULE_LIMIT);
	sm_worked(seg_load(&sm.cpu, SEG_CS, 0x1234));
	ref = (struct seg_ref){0x10, 1, SEG_FETCH};
	sm_worked(seg_linear(&sm.cpu, SEG_CS, &ref, &linear));
	assert_int_equal(linear, 0x12350);
	sm_faulted(seg_lldt(&sm.cpu, 0), UD, 0, SEG_RULE_PROTECTED);
	sm_faulted(seg_ltr(&sm.cpu, 0), UD, 0, SEG_RULE_PROTECTED);
}

static void test_lldt(void **state)
{
	struct seg_desc d = seg_system(SEG_KIND_LDT, SM_LDT_BASE, 64);

	(void)state;
	sm_boot(false);
	sm_ring(0);
	sm_put(sm.gdt, P_FREE, d);
	sm_worked(seg_lldt(&sm.cpu, P_FREE * 8 | 3));
	assert_int_equal(sm.cpu.ldtr.hid.limit, 63);
	sm_faulted(seg_lldt(&sm.cpu, P_FREE * 8 | 4), GP, P_FREE * 8 | 4,
		   SEG_RULE_IN_GDT);
	sm_faulted(seg_lldt(&sm.cpu, P_KDATA * 8), GP, P_KDATA * 8,
		   SEG_RULE_LDT_KIND);
	sm_faulted(seg_lldt(&sm.cpu, 63 * 8), GP, 63 * 8, SEG_RULE_LDT_KIND);
	sm_faulted(seg_lldt(&sm.cpu, 64 * 8), GP, 64 * 8, SEG_RULE_TABLE_LIMIT);
	d.present = false;
	sm_put(sm.gdt, P_FREE, d);
	sm_faulted(seg_lldt(&sm.cpu, P_FREE * 8), NP, P_FREE * 8,
		   SEG_RULE_PRESENT);
	sm_worked(seg_lldt(&sm.cpu, 2));
	assert_false(sm.cpu.ldtr.usable);
	sm_ring(3);
	sm_faulted(seg_lldt(&sm.cpu, P_LDT * 8), GP, 0, SEG_RULE_CPL_ZERO);
	sm_faulted(seg_ltr(&sm.cpu, P_TSS * 8), GP, 0, SEG_RULE_CPL_ZERO);
	sm_faulted(seg_lgdt(&sm.cpu, (struct seg_dtr){0, 0}), GP, 0,
		   SEG_RULE_CPL_ZERO);
}

static void test_ltr(void **state)
{
	struct seg_desc d = seg_system(SEG_KIND_TSS32, SM_TSS_BASE, 104);

	(void)state;
	sm_boot(false);
	sm_ring(0);
	sm_put(sm.gdt, P_FREE, d);
	sm_worked(seg_ltr(&sm.cpu, P_FREE * 8));
	assert_int_equal(sm.gdt[P_FREE] >> 40 & 0xff, 0x8b);
	sm_faulted(seg_ltr(&sm.cpu, P_FREE * 8), GP, P_FREE * 8,
		   SEG_RULE_TSS_AVAILABLE);
	sm_faulted(seg_ltr(&sm.cpu, 0), GP, 0, SEG_RULE_NOT_NULL);
	sm_faulted(seg_ltr(&sm.cpu, P_FREE * 8 | 4), GP, P_FREE * 8 | 4,
		   SEG_RULE_IN_GDT);
	sm_faulted(seg_ltr(&sm.cpu, P_LDT * 8), GP, P_LDT * 8,
		   SEG_RULE_TSS_KIND);
	d.present = false;
	sm_put(sm.gdt, P_FREE, d);
	sm_faulted(seg_ltr(&sm.cpu, P_FREE * 8), NP, P_FREE * 8,
		   SEG_RULE_PRESENT);
	assert_int_equal(sm.gdt[P_FREE] >> 40 & 0xff, 0x09);
}

/* Long mode: sixteen bytes, the upper type bits, canonical bases. */
static void test_long_system(void **state)
{
	struct seg_desc d;

	(void)state;
	sm_boot(true);
	sm_ring(0);
	d = seg_system(SEG_KIND_LDT, 0xffff888000000000, 64);
	sm_put(sm.gdt, P_FREE, d);
	sm_worked(seg_lldt(&sm.cpu, P_FREE * 8));
	assert_int_equal(sm.cpu.ldtr.hid.base, 0xffff888000000000);
	sm.cpu.gdtr.limit = P_FREE * 8 + 14;
	sm_faulted(seg_lldt(&sm.cpu, P_FREE * 8), GP, P_FREE * 8,
		   SEG_RULE_TABLE_LIMIT);
	sm.cpu.gdtr.limit++;
	sm_worked(seg_lldt(&sm.cpu, P_FREE * 8));
	sm.gdt[P_FREE + 1] |= BIT(42);
	sm_faulted(seg_lldt(&sm.cpu, P_FREE * 8), GP, P_FREE * 8,
		   SEG_RULE_LDT_KIND);
	d.base = 0x0000888000000000;
	sm_put(sm.gdt, P_FREE, d);
	sm_faulted(seg_lldt(&sm.cpu, P_FREE * 8), GP, P_FREE * 8,
		   SEG_RULE_BASE_CANONICAL);
	sm.cpu.la57 = true;
	sm_worked(seg_lldt(&sm.cpu, P_FREE * 8));
	sm.cpu.la57 = false;
	sm_faulted(seg_lidt(&sm.cpu, (struct seg_dtr){0x888000000000, 15}), GP,
		   0, SEG_RULE_BASE_CANONICAL);
	sm_worked(seg_lidt(&sm.cpu, (struct seg_dtr){0x788000000000, 15}));
	sm_faulted(seg_set_base(&sm.cpu, SEG_GS, 0x888000000000), GP, 0,
		   SEG_RULE_BASE_CANONICAL);
	sm_worked(seg_set_base(&sm.cpu, SEG_GS, 0xffffffff81000000));
	sm.cpu.cpl = 3;
	sm_faulted(seg_set_base(&sm.cpu, SEG_GS, 0), GP, 0, SEG_RULE_CPL_ZERO);
	sm.cpu.cpl = 0;
	/* 32-bit system types mean nothing here. */
	sm.gdt[P_FREE] = 0x0000820000000fff & ~(0xfUL << 40);
	sm.gdt[P_FREE] |= 3UL << 40;
	sm_faulted(seg_ltr(&sm.cpu, P_FREE * 8), GP, P_FREE * 8,
		   SEG_RULE_TSS_KIND);
}

/* ---- LAR, LSL, VERR, VERW ----------------------------------------------- */

static void ask(u16 sel, const char *want, u32 ar, u32 limit)
{
	u32 got = 0;
	bool ok;

	sm_worked(seg_lar(&sm.cpu, sel, &ok, &got));
	assert_int_equal(ok, strchr(want, 'a') != NULL);
	if (ok)
		assert_int_equal(got, ar);
	sm_worked(seg_lsl(&sm.cpu, sel, &ok, &got));
	assert_int_equal(ok, strchr(want, 'l') != NULL);
	if (ok)
		assert_int_equal(got, limit);
	sm_worked(seg_verify(&sm.cpu, sel, false, &ok));
	assert_int_equal(ok, strchr(want, 'r') != NULL);
	sm_worked(seg_verify(&sm.cpu, sel, true, &ok));
	assert_int_equal(ok, strchr(want, 'w') != NULL);
}

static void test_ask(void **state)
{
	struct seg_desc gate = {.kind = SEG_KIND_CALL32,
				.present = true,
				.dpl = 3,
				.target = 8};
	bool ok = true;
	u32 v;

	(void)state;
	sm_boot(false);
	sm_ring(3);
	ask(P_UDATA * 8, "alrw", 0xcff300, 0xffffffff);
	ask(P_UCODE * 8, "alr", 0xcffb00, 0xffffffff);
	ask(P_KDATA * 8, "", 0, 0);
	sm.gdt[0] = sm.gdt[P_UDATA]; /* never looked at */
	ask(0, "", 0, 0);
	ask(0xfff8, "", 0, 0);
	ask(P_TSS * 8, "", 0, 0);
	sm_put(sm.gdt, P_FREE, gate);
	ask(P_FREE * 8, "a", sm.gdt[P_FREE] >> 32 & 0xffff00, 0);
	sm_put(sm.gdt, P_FREE, sm_seg(CODE, C, 0));
	ask(P_FREE * 8 | 3, "al", 0xcf9c00, 0xffffffff);
	sm_put(sm.gdt, P_FREE, sm_seg(DATA, 0, 3));
	ask(P_FREE * 8, "alr", 0xcff000, 0xffffffff);
	gate.kind = SEG_KIND_TASK;
	sm_put(sm.gdt, P_FREE, gate);
	ask(P_FREE * 8, "a", 0xe500, 0);
	sm_ring(0);
	ask(P_TSS * 8, "al", 0x8b00, 103);
	ask(P_LDT * 8, "al", 0x8200, sizeof(sm.ldt) - 1);
	ask(P_TSS * 8 | 3, "", 0, 0);
	sm.gdt[P_FREE] = 0x00008e0000000000; /* interrupt gate */
	ask(P_FREE * 8, "", 0, 0);
	sm.cpu.flags |= X86_FLAGS_VM;
	sm_faulted(seg_lar(&sm.cpu, 8, &ok, &v), UD, 0, SEG_RULE_PROTECTED);
	assert_false(ok);
	sm_boot(true);
	sm_ring(0);
	ask(P_TSS * 8, "al", 0x8b00, 103);
	sm.gdt[P_FREE] = 0x0000850000000000; /* task gate: not in long mode */
	ask(P_FREE * 8, "", 0, 0);
}

/* ---- references --------------------------------------------------------- */

static void try_ref(struct seg_desc d, u64 offset, u32 size, bool ok)
{
	struct seg_ref ref = {offset, size, SEG_READ};
	u64 linear = 0;
	int ret;

	sm_boot(false);
	sm_ring(0);
	sm_put(sm.gdt, P_FREE, d);
	sm_worked(seg_load(&sm.cpu, SEG_DS, P_FREE * 8));
	ret = seg_linear(&sm.cpu, SEG_DS, &ref, &linear);
	if (ok) {
		sm_worked(ret);
		assert_int_equal(linear, (u32)(d.base + offset));
	} else {
		sm_faulted(ret, GP, 0, SEG_RULE_LIMIT);
	}
	if (!seg_writable(&d))
		return;
	sm_worked(seg_load(&sm.cpu, SEG_SS, P_FREE * 8));
	ret = seg_linear(&sm.cpu, SEG_SS, &ref, &linear);
	if (ok)
		sm_worked(ret);
	else
		sm_faulted(ret, SS, 0, SEG_RULE_LIMIT);
}

static void test_limits(void **state)
{
	static const struct {
		u8 type;
		bool gran, db;
		u32 limit;
		u64 offset;
		u32 size;
		bool ok;
	} row[] = {
		{W, 0, 1, 0xfff, 0xfff, 1, true},
		{W, 0, 1, 0xfff, 0x1000, 1, false},
		{W, 0, 1, 0xfff, 0xffc, 4, true},
		{W, 0, 1, 0xfff, 0xffd, 4, false},
		{W, 0, 1, 0, 0, 1, true},
		{W, 0, 1, 0, 0, 2, false},
		{W, 1, 1, 0xfff, 0xfff, 1, true},
		{W, 1, 1, 0xfff, 0x1000, 1, false},
		{W, 1, 1, 0x1fff, 0x1fff, 1, true},
		{W, 1, 1, 0xffffffff, 0xffffffff, 1, true},
		{W, 1, 1, 0xffffffff, 0xffffffff, 2, false},
		{W, 0, 0, 0xfffff, 0x10000, 1, true},
		/* expand-down */
		{W | 4, 0, 1, 0xfff, 0xfff, 1, false},
		{W | 4, 0, 1, 0xfff, 0x1000, 1, true},
		{W | 4, 0, 1, 0xfff, 0xffffffff, 1, true},
		{W | 4, 0, 1, 0xfff, 0xfffffffe, 4, false},
		{W | 4, 0, 0, 0xfff, 0xffff, 1, true},
		{W | 4, 0, 0, 0xfff, 0x10000, 1, false},
		{W | 4, 0, 0, 0xfff, 0xffff, 2, false},
		{W | 4, 0, 0, 0xfffff, 0xffff, 1, false},
		{W | 4, 1, 1, 0xffffffff, 0xffffffff, 1, false},
		{W | 4, 1, 1, 0xffffffff, 0, 1, false},
		{W | 4, 1, 1, 0xffffefff, 0xfffff000, 4096, true},
		{4, 0, 1, 0, 0, 1, false},
		{4, 0, 1, 0, 1, 1, true},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
		struct seg_desc d = sm_seg(DATA, row[i].type, 0);

		d.gran = row[i].gran;
		d.db = row[i].db;
		d.limit = row[i].limit;
		d.base = i % 2 ? 0x12345678 : 0xfffff000;
		try_ref(d, row[i].offset, row[i].size, row[i].ok);
	}
}

/* An access [first, last] against a byte at a time, for random segments. */
static void test_limits_random(void **state)
{
	struct prng r;
	u64 iters = test_iters(20000), good = 0;

	(void)state;
	test_seed(&r, "limits");
	sm_boot(false);
	sm_ring(0);
	for (u64 i = 0; i < iters; i++) {
		struct seg_desc d = sm_seg(DATA, (u8)(prng_below(&r, 8)), 0);
		u64 edge, linear;
		struct seg_ref ref = {0, (u32)prng_range(&r, 1, 16), SEG_READ};
		bool all = true;

		d.gran = prng_one_in(&r, 2);
		d.db = prng_one_in(&r, 2);
		d.limit = d.gran ? prng_u32(&r) | 0xfff : prng_u32(&r) >> 12;
		edge = prng_one_in(&r, 2) ? d.limit
		       : d.db		  ? 0xffffffff
					  : 0xffff;
		ref.offset = (u32)(edge + prng_below(&r, 40) - 20);
		for (u64 b = 0; b < ref.size; b++) {
			u64 at = ref.offset + b;
			u64 top = d.db ? 0xffffffff : 0xffff;

			all &= at <= 0xffffffff &&
			       (d.type & 4 ? at > d.limit && at <= top
					   : at <= d.limit);
		}
		sm_put(sm.gdt, P_FREE, d);
		sm_worked(seg_load(&sm.cpu, SEG_DS, P_FREE * 8));
		assert_int_equal(
			seg_linear(&sm.cpu, SEG_DS, &ref, &linear) == 0, all);
		good += all;
	}
	assert_true(good > iters / 8 && good < iters - iters / 8);
}

static void test_access_types(void **state)
{
	static const enum seg_rule rule[] = {
		SEG_RULE_MAY_READ, SEG_RULE_MAY_WRITE, SEG_RULE_MAY_FETCH};

	(void)state;
	sm_boot(false);
	for (u32 i = 0; i < 16 * 3; i++) {
		u32 type = i / 3;
		struct seg_ref ref = {16, 4, i % 3};
		bool ok[] = {type < 8 || (type & 2), type < 8 && (type & 2),
			     type >= 8};
		struct seg_desc d = sm_seg(type < 8 ? DATA : CODE, type & 7, 0);
		u64 linear;
		int ret;

		d.limit = 0xffff;
		d.gran = false;
		if (type & 4 && type < 8)
			d.limit = 0;
		/* As if loaded: no register would take them all. */
		sm.cpu.sr[SEG_CS] = (struct seg_reg){8, true, d};
		ret = seg_linear(&sm.cpu, SEG_CS, &ref, &linear);
		if (ok[i % 3])
			sm_worked(ret);
		else
			sm_faulted(ret, GP, 0, rule[i % 3]);
	}
}

static void test_64bit(void **state)
{
	static const struct {
		enum seg_id reg;
		bool la57;
		u64 offset;
		u32 size;
		bool ok;
		u64 linear;
	} row[] = {
		{SEG_DS, false, 0x7fffffffffff, 1, true, 0x7fffffffffff},
		{SEG_DS, false, 0x7fffffffffff, 2, false, 0},
		{SEG_DS, false, 0x800000000000, 1, false, 0},
		{SEG_DS, false, 0xffff800000000000, 8, true,
		 0xffff800000000000},
		{SEG_DS, false, 0xffff7fffffffffff, 1, false, 0},
		{SEG_SS, false, 0x800000000000, 1, false, 0},
		{SEG_DS, true, 0x800000000000, 1, true, 0x800000000000},
		{SEG_DS, true, 0xffffffffffffff, 1, true, 0xffffffffffffff},
		{SEG_DS, true, 0x100000000000000, 1, false, 0},
		{SEG_SS, true, 0x100000000000000, 1, false, 0},
		{SEG_FS, false, 0x10, 8, true, 0x20000000010},
		{SEG_GS, false, 0x10, 8, true, 0xffffffff80000010},
		{SEG_GS, false, 0x80000000, 8, true, 0},
		{SEG_ES, false, 0x10, 8, true, 0x10},
		{SEG_CS, false, 0x10, 8, true, 0x10},
	};

	(void)state;
	sm_boot(true);
	sm_ring(0);
	sm.cpu.sr[SEG_ES].hid.base = 0x1000; /* ignored */
	sm_worked(seg_set_base(&sm.cpu, SEG_FS, 0x20000000000));
	sm_worked(seg_set_base(&sm.cpu, SEG_GS, 0xffffffff80000000));
	for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
		struct seg_ref ref = {row[i].offset, row[i].size, SEG_WRITE};
		u64 linear = 1;
		int ret;

		sm.cpu.la57 = row[i].la57;
		ret = seg_linear(&sm.cpu, row[i].reg, &ref, &linear);
		if (row[i].ok) {
			sm_worked(ret);
			assert_int_equal(linear, row[i].linear);
		} else {
			sm_faulted(ret, row[i].reg == SEG_SS ? SS : GP, 0,
				   SEG_RULE_CANONICAL);
		}
	}
}

/* Compatibility mode has bases and limits again. */
static void test_compat(void **state)
{
	struct seg_ref ref = {0x2000, 1, SEG_READ};
	struct seg_desc d = sm_seg(DATA, W, 0);
	struct seg_xfer x;
	u64 linear = 0;

	(void)state;
	sm_boot(true);
	sm_ring(0);
	sm_put(sm.gdt, P_FREE, sm_seg(CODE, R, 0));
	sm_worked(seg_far(&sm.cpu, SEG_JUMP, P_FREE * 8, 0x100, &x));
	assert_false(seg_64bit(&sm.cpu));
	d.base = 0xfffff000;
	d.limit = 0x2fff;
	sm_put(sm.gdt, P_FREE, d);
	sm_worked(seg_load(&sm.cpu, SEG_DS, P_FREE * 8));
	sm_worked(seg_linear(&sm.cpu, SEG_DS, &ref, &linear));
	assert_int_equal(linear, 0x1000);
	ref.offset = 0x3000;
	sm_faulted(seg_linear(&sm.cpu, SEG_DS, &ref, &linear), GP, 0,
		   SEG_RULE_LIMIT);
}

/* ---- explaining --------------------------------------------------------- */

struct told {
	u32 nr, checks, broken, faults, loaded, descriptors;
	struct seg_step last_desc, last_fault, last;
};

static void hear(void *arg, const struct seg_step *s)
{
	struct told *t = arg;

	t->nr++;
	t->checks += s->kind == SEG_STEP_CHECK;
	t->broken += s->kind == SEG_STEP_CHECK && !s->ok;
	t->loaded += s->kind == SEG_STEP_LOADED;
	if (s->kind == SEG_STEP_DESCRIPTOR) {
		t->descriptors++;
		t->last_desc = *s;
	}
	if (s->kind == SEG_STEP_FAULT) {
		t->faults++;
		t->last_fault = *s;
	}
	t->last = *s;
}

static void test_explain(void **state)
{
	static struct told t;
	struct seg_trace trace = {.fn = hear, .arg = &t};
	struct seg_ref ref = {0xc0101234, 4, SEG_READ};
	struct seg_cpu before;
	u64 linear = 0, gdt[SM_ENTRIES];

	(void)state;
	sm_boot(false);
	sm_ring(0);
	sm_put(sm.gdt, P_FREE, seg_flat(SEG_KIND_CODE, 0, false));
	before = sm.cpu;
	memcpy(gdt, sm.gdt, sizeof(gdt));
	sm_worked(seg_explain(&sm.cpu, SEG_DS, P_FREE * 8, &ref, &trace,
			      &linear));
	assert_int_equal(linear, 0xc0101234);
	assert_memory_equal(&before, &sm.cpu, sizeof(before));
	assert_memory_equal(gdt, sm.gdt, sizeof(gdt));
	assert_int_equal(t.descriptors, 1);
	assert_int_equal(t.loaded, 1);
	assert_int_equal(t.broken, 0);
	assert_true(t.checks >= 7);
	assert_int_equal(t.last.kind, SEG_STEP_LINEAR);
	assert_int_equal(t.last.value, 0xc0101234);
	assert_int_equal(t.last_desc.addr, SM_GDT_BASE + P_FREE * 8);
	assert_int_equal(t.last_desc.raw[0], 0x00cf9a000000ffff);
	assert_int_equal(t.last_desc.index, P_FREE);
	/* A write through code: the fault is told, and kept. */
	memset(&t, 0, sizeof(t));
	ref.access = SEG_WRITE;
	sm_faulted(
		seg_explain(&sm.cpu, SEG_DS, P_FREE * 8, &ref, &trace, &linear),
		GP, 0, SEG_RULE_MAY_WRITE);
	assert_int_equal(t.faults, 1);
	assert_int_equal(t.broken, 1);
	assert_int_equal(t.last_fault.fault.rule, SEG_RULE_MAY_WRITE);
	assert_int_equal(t.last_fault.fault.vector, GP);
	/* A fetch goes by a far jump. */
	memset(&t, 0, sizeof(t));
	ref.access = SEG_FETCH;
	sm_worked(seg_explain(&sm.cpu, SEG_CS, P_FREE * 8, &ref, &trace,
			      &linear));
	assert_int_equal(t.last.reg, SEG_CS);
	sm_faulted(seg_explain(&sm.cpu, SEG_CS, P_UCODE * 8, &ref, &trace,
			       &linear),
		   GP, P_UCODE * 8, SEG_RULE_CODE_DPL);
}

/* The explanation and the plain call always agree. */
static void test_explain_agrees(void **state)
{
	struct prng r;
	u64 iters = test_iters(50000), faults = 0;

	(void)state;
	test_seed(&r, "explain agrees");
	sm_boot(false);
	for (u64 i = 0; i < iters; i++) {
		struct told t = {0};
		struct seg_trace trace = {.fn = hear, .arg = &t};
		struct seg_ref ref = {prng_u32(&r) >> prng_below(&r, 32), 4,
				      prng_below(&r, 2)};
		u16 sel = seg_sel(P_FREE, prng_one_in(&r, 4),
				  (u32)prng_below(&r, 4));
		enum seg_id reg = prng_one_in(&r, 3) ? SEG_SS : SEG_ES;
		u64 a = 0, b = 0;
		struct seg_fault f;
		int e, p;

		sm_ring(prng_one_in(&r, 2) ? 3 : 0);
		sm.gdt[P_FREE] = prng_u64(&r) | BIT(44) | BIT(45) | BIT(46);
		sm.gdt[P_FREE] |= prng_one_in(&r, 4) ? 0 : BIT(41) | BIT(47);
		if (!prng_one_in(&r, 4)) /* mostly data that grows up */
			sm.gdt[P_FREE] &= ~(BIT(42) | BIT(43));
		sm.ldt[P_FREE] = prng_u64(&r) | BIT(44);
		if (prng_one_in(&r, 4))
			sm.gdt[P_FREE] &= ~(3UL << 45);
		e = seg_explain(&sm.cpu, reg, sel, &ref, &trace, &a);
		f = sm.cpu.fault;
		p = seg_load(&sm.cpu, reg, sel);
		if (!p)
			p = seg_linear(&sm.cpu, reg, &ref, &b);
		assert_int_equal(e, p);
		assert_int_equal(a, b);
		assert_int_equal(t.faults, e != 0);
		assert_int_equal(t.broken, e != 0);
		if (e)
			assert_memory_equal(&f, &sm.cpu.fault, sizeof(f));
		faults += e != 0;
	}
	assert_true(faults > iters / 10 && faults < iters - iters / 10);
}

static void test_names(void **state)
{
	(void)state;
	for (u32 rule = 0; rule < SEG_NR_RULES; rule++)
		assert_true(strlen(seg_rule_text(rule)) > 5);
	assert_string_equal(seg_vector_name(13), "#GP");
	assert_string_equal(seg_vector_name(10), "#TS");
	assert_string_equal(seg_vector_name(200), "#?");
	assert_string_equal(seg_reg_name(SEG_GS), "gs");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_code_data_types),
		cmocka_unit_test(test_access_bytes),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_desc_struct),
		cmocka_unit_test(test_encode_refuses),
		cmocka_unit_test(test_long_halves),
		cmocka_unit_test(test_may_stand),
		cmocka_unit_test(test_load_data),
		cmocka_unit_test(test_load_stack),
		cmocka_unit_test(test_load_null),
		cmocka_unit_test(test_table_limits),
		cmocka_unit_test(test_hidden_part),
		cmocka_unit_test(test_real_and_vm86),
		cmocka_unit_test(test_lldt),
		cmocka_unit_test(test_ltr),
		cmocka_unit_test(test_long_system),
		cmocka_unit_test(test_ask),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_limits_random),
		cmocka_unit_test(test_access_types),
		cmocka_unit_test(test_64bit),
		cmocka_unit_test(test_compat),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_explain_agrees),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
