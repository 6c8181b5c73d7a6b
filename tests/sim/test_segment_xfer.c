/* SPDX-License-Identifier: MIT */
/*
 * Far jumps, calls, returns, and the IDT: every rule holds once and is broken
 * once, with vector and error code.
 */
#include "segment_machine.h"

#define GP   X86_TRAP_GP
#define NP   X86_TRAP_NP
#define SS   X86_TRAP_SS
#define TS   X86_TRAP_TS
#define CODE SEG_KIND_CODE
#define DATA SEG_KIND_DATA
#define R    SEG_T_READ
#define W    SEG_T_WRITE
#define C    SEG_T_CONFORMING

#define P_TARGET 20
#define P_GATE	 22 /* two entries in long mode */
#define P_STACK	 26

static struct seg_xfer x;

static struct seg_desc gate_desc(enum seg_kind kind, u8 dpl, u16 target)
{
	return (struct seg_desc){.kind = kind,
				 .dpl = dpl,
				 .present = true,
				 .target = target,
				 .offset = 0x4000};
}

static int far(enum seg_transfer how, u16 sel)
{
	return seg_far(&sm.cpu, how, sel, 0x2000, &x);
}

/* ---- without gates ------------------------------------------------------ */

static void test_direct(void **state)
{
	static const struct {
		u8 cpl, rpl, type, dpl;
		bool absent;
		u8 vector; /* 0: works */
		enum seg_rule rule;
	} row[] = {
		{0, 0, R, 0, 0, 0, 0},
		{3, 3, R, 3, 0, 0, 0},
		{3, 0, R, 3, 0, 0, 0},
		{3, 3, R | C, 0, 0, 0, 0},
		{3, 0, C, 3, 0, 0, 0},
		{0, 3, R | C, 0, 0, 0, 0},
		{0, 3, R, 0, 0, GP, SEG_RULE_CODE_RPL},
		{0, 0, R, 3, 0, GP, SEG_RULE_CODE_DPL},
		{3, 3, R, 0, 0, GP, SEG_RULE_CODE_DPL},
		{0, 0, R | C, 3, 0, GP, SEG_RULE_CONFORMING_DPL},
		{0, 0, R, 0, 1, NP, SEG_RULE_PRESENT},
		{3, 3, C, 3, 1, NP, SEG_RULE_PRESENT},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(row) * 2; i++) {
		u32 n = i / 2;
		struct seg_desc d = sm_seg(CODE, row[n].type, row[n].dpl);
		u16 sel = seg_sel(P_TARGET, false, row[n].rpl);
		int ret;

		sm_boot(false);
		sm_ring(row[n].cpl);
		d.present = !row[n].absent;
		sm_put(sm.gdt, P_TARGET, d);
		ret = far(i & 1, sel);
		if (row[n].vector) {
			sm_faulted(ret, row[n].vector, sel & ~3, row[n].rule);
			assert_int_equal(sm.cpu.ip, 0x1000);
			continue;
		}
		sm_worked(ret);
		assert_int_equal(sm.cpu.cpl, row[n].cpl);
		assert_int_equal(sm.cpu.sr[SEG_CS].sel,
				 seg_sel(P_TARGET, false, row[n].cpl));
		assert_int_equal(sm.cpu.ip, 0x2000);
		assert_int_equal(sm.cpu.sp, i & 1 ? 0x8000 - 8 : 0x8000);
		assert_int_equal(x.nr_pushes, i & 1 ? 2 : 0);
		assert_true(sm.gdt[P_TARGET] & BIT(40));
	}
}

static void test_direct_rest(void **state)
{
	struct seg_desc d = sm_seg(CODE, R, 0);

	(void)state;
	sm_boot(false);
	sm_ring(0);
	sm_faulted(far(SEG_JUMP, 0), GP, 0, SEG_RULE_NOT_NULL);
	sm_faulted(far(SEG_JUMP, 64 * 8), GP, 64 * 8, SEG_RULE_TABLE_LIMIT);
	sm_faulted(far(SEG_CALL, P_KDATA * 8), GP, P_KDATA * 8,
		   SEG_RULE_CODE_OR_GATE);
	d.gran = false;
	d.limit = 0x1fff;
	sm_put(sm.gdt, P_TARGET, d);
	sm_faulted(far(SEG_JUMP, P_TARGET * 8), GP, 0, SEG_RULE_IP_LIMIT);
	d.limit = 0x2000;
	sm_put(sm.gdt, P_TARGET, d);
	sm_worked(far(SEG_JUMP, P_TARGET * 8));
	/* No room for what a call pushes. */
	sm_ring(0);
	sm.cpu.sr[SEG_SS].hid.limit = 0x7ffe;
	sm_faulted(far(SEG_CALL, P_TARGET * 8), SS, 0, SEG_RULE_STACK_ROOM);
	sm.cpu.sr[SEG_SS].hid.limit = 0x7fff;
	sm_worked(far(SEG_CALL, P_TARGET * 8));
	assert_int_equal(x.pushes[0], P_KCODE * 8);
	assert_int_equal(x.pushes[1], 0x1000);
	assert_int_equal(x.width, 4);
	/* A 16-bit stack pointer wraps and keeps its upper half. */
	sm_ring(0);
	sm.cpu.sr[SEG_SS].hid.db = false;
	sm.cpu.sp = 0x50004;
	sm_worked(far(SEG_CALL, P_TARGET * 8));
	assert_int_equal(sm.cpu.sp, 0x5fffc);
}

static void test_real_far(void **state)
{
	(void)state;
	sm_boot(false);
	seg_cpu_init(&sm.cpu, &sm.mem);
	sm.cpu.sp = 0x100;
	sm_worked(far(SEG_CALL, 0x1234));
	assert_int_equal(sm.cpu.sr[SEG_CS].hid.base, 0x12340);
	assert_int_equal(sm.cpu.sp, 0xfc);
	assert_int_equal(seg_far(&sm.cpu, SEG_JUMP, 1, 0x10000, &x), -14);
	assert_int_equal(sm.cpu.fault.rule, SEG_RULE_IP_LIMIT);
	assert_false(sm.cpu.fault.has_error);
}

static void test_long_direct(void **state)
{
	struct seg_desc d = seg_flat(CODE, 0, true);

	(void)state;
	sm_boot(true);
	sm_ring(0);
	sm_put(sm.gdt, P_TARGET, d);
	sm_worked(far(SEG_CALL, P_TARGET * 8));
	assert_int_equal(x.width, 8);
	assert_int_equal(sm.cpu.sp, 0x8000 - 16);
	sm.gdt[P_TARGET] |= BIT(54); /* L and D */
	sm_faulted(far(SEG_JUMP, P_TARGET * 8), GP, P_TARGET * 8,
		   SEG_RULE_L_AND_D);
	sm_put(sm.gdt, P_TARGET, d);
	assert_int_equal(
		seg_far(&sm.cpu, SEG_JUMP, P_TARGET * 8, 0x800000000000, &x),
		-14);
	assert_int_equal(sm.cpu.fault.rule, SEG_RULE_IP_CANONICAL);
	sm.gdt[P_TARGET] |= BIT(54);
	sm_faulted(seg_far_return(&sm.cpu,
				  &(struct seg_return){.cs = P_TARGET * 8}),
		   GP, P_TARGET * 8, SEG_RULE_L_AND_D);
	sm_put(sm.gdt, P_TARGET, d);
	/* Neither tasks nor 32-bit system types. */
	sm_faulted(far(SEG_JUMP, P_TSS * 8), GP, P_TSS * 8,
		   SEG_RULE_CODE_OR_GATE);
	sm.cpu.sp = 0x800000000008;
	sm_faulted(far(SEG_CALL, P_TARGET * 8), SS, 0,
		   SEG_RULE_STACK_CANONICAL);
}

/* ---- call gates --------------------------------------------------------- */

/* Ring 3 with a call gate to ring 0 and the stack for it. */
static void gate_machine(bool lma)
{
	struct x86_tss32 *t32 = (struct x86_tss32 *)sm.tss;
	struct x86_tss64 *t64 = (struct x86_tss64 *)sm.tss;
	static const u64 ist[7] = {0x11000, 0x12000, 0x13000, 0x14000,
				   0x15000, 0x16000, 0x17000};
	struct seg_desc g;

	sm_boot(lma);
	sm_put(sm.gdt, P_TARGET, seg_flat(CODE, 0, lma));
	sm_put(sm.gdt, P_STACK, seg_flat(DATA, 0, false));
	g = gate_desc(lma ? SEG_KIND_CALL64 : SEG_KIND_CALL32, 3, P_TARGET * 8);
	g.params = lma ? 0 : 2;
	sm_put(sm.gdt, P_GATE, g);
	if (lma)
		x86_tss64_init(t64, 0x9000, ist);
	else
		x86_tss32_init(t32, P_STACK * 8, 0x9000);
	sm_ring(3);
}

static void test_call_gate(void **state)
{
	(void)state;
	gate_machine(false);
	sm_worked(far(SEG_CALL, P_GATE * 8 | 3));
	assert_int_equal(sm.cpu.cpl, 0);
	assert_int_equal(sm.cpu.sr[SEG_CS].sel, P_TARGET * 8);
	assert_int_equal(sm.cpu.sr[SEG_SS].sel, P_STACK * 8);
	assert_int_equal(sm.cpu.ip, 0x4000);
	assert_true(x.through_gate && x.stack_switch && !x.task_switch);
	assert_int_equal(x.params, 2);
	assert_int_equal(x.nr_pushes, 4);
	assert_int_equal(x.pushes[0], P_UDATA * 8 | 3);
	assert_int_equal(x.pushes[1], 0x8000);
	assert_int_equal(x.pushes[2], P_UCODE * 8 | 3);
	assert_int_equal(x.pushes[3], 0x1000);
	assert_int_equal(sm.cpu.sp, 0x9000 - 6 * 4);
	/* From ring 0 the same gate changes nothing but the code. */
	sm_ring(0);
	sm_worked(far(SEG_CALL, P_GATE * 8));
	assert_false(x.stack_switch);
	assert_int_equal(sm.cpu.sp, 0x8000 - 8);
	/* Conforming code runs in the ring of its caller. */
	gate_machine(false);
	sm_put(sm.gdt, P_TARGET, sm_seg(CODE, R | C, 0));
	sm_worked(far(SEG_CALL, P_GATE * 8));
	assert_int_equal(sm.cpu.cpl, 3);
	assert_false(x.stack_switch);
	/* A jump may not change the ring. */
	gate_machine(false);
	sm_faulted(far(SEG_JUMP, P_GATE * 8), GP, P_TARGET * 8,
		   SEG_RULE_CODE_DPL);
	sm_put(sm.gdt, P_TARGET, sm_seg(CODE, R | C, 0));
	sm_worked(far(SEG_JUMP, P_GATE * 8));
}

static void test_gate_rules(void **state)
{
	struct seg_desc g = gate_desc(SEG_KIND_CALL32, 2, P_TARGET * 8);
	struct seg_desc d = sm_seg(CODE, R, 0);

	(void)state;
	gate_machine(false);
	sm_put(sm.gdt, P_GATE, g);
	sm_faulted(far(SEG_CALL, P_GATE * 8), GP, P_GATE * 8,
		   SEG_RULE_GATE_DPL);
	sm_ring(0);
	sm_worked(far(SEG_CALL, P_GATE * 8 | 2));
	sm_ring(0);
	sm_faulted(far(SEG_CALL, P_GATE * 8 | 3), GP, P_GATE * 8,
		   SEG_RULE_GATE_DPL);
	g.dpl = 3;
	g.present = false;
	sm_put(sm.gdt, P_GATE, g);
	sm_faulted(far(SEG_CALL, P_GATE * 8), NP, P_GATE * 8, SEG_RULE_PRESENT);
	g.present = true;
	g.target = 3;
	sm_put(sm.gdt, P_GATE, g);
	sm_faulted(far(SEG_CALL, P_GATE * 8), GP, 0, SEG_RULE_NOT_NULL);
	g.target = 64 * 8;
	sm_put(sm.gdt, P_GATE, g);
	sm_faulted(far(SEG_CALL, P_GATE * 8), GP, 64 * 8, SEG_RULE_TABLE_LIMIT);
	g.target = P_KDATA * 8;
	sm_put(sm.gdt, P_GATE, g);
	sm_faulted(far(SEG_CALL, P_GATE * 8), GP, P_KDATA * 8, SEG_RULE_CODE);
	g.target = P_UCODE * 8;
	sm_put(sm.gdt, P_GATE, g);
	sm_faulted(far(SEG_CALL, P_GATE * 8), GP, P_UCODE * 8,
		   SEG_RULE_TARGET_DPL);
	gate_machine(false);
	d.present = false;
	sm_put(sm.gdt, P_TARGET, d);
	sm_faulted(far(SEG_CALL, P_GATE * 8), NP, P_TARGET * 8,
		   SEG_RULE_PRESENT);
	d.present = true;
	d.gran = false;
	d.limit = 0x3fff;
	sm_put(sm.gdt, P_TARGET, d);
	sm_faulted(far(SEG_CALL, P_GATE * 8), GP, 0, SEG_RULE_IP_LIMIT);
	assert_int_equal(sm.cpu.cpl, 3);
}

/* What may be wrong with the stack that the TSS names. */
static void test_gate_stack(void **state)
{
	struct x86_tss32 *tss = (struct x86_tss32 *)sm.tss;
	struct seg_desc s = seg_flat(DATA, 0, false);
	u16 gate = P_GATE * 8;

	(void)state;
	gate_machine(false);
	sm.cpu.tr.hid.limit = 8;
	sm_faulted(far(SEG_CALL, gate), TS, P_TSS * 8, SEG_RULE_TSS_LIMIT);
	sm.cpu.tr.hid.limit = 9;
	sm_worked(far(SEG_CALL, gate));
	gate_machine(false);
	sm.cpu.tr.usable = false;
	sm_faulted(far(SEG_CALL, gate), TS, P_TSS * 8, SEG_RULE_TSS_USABLE);
	gate_machine(false);
	tss->ss0 = 0;
	sm_faulted(far(SEG_CALL, gate), TS, 0, SEG_RULE_NOT_NULL);
	tss->ss0 = 64 * 8;
	sm_faulted(far(SEG_CALL, gate), TS, 64 * 8, SEG_RULE_TABLE_LIMIT);
	tss->ss0 = P_STACK * 8 | 1;
	sm_faulted(far(SEG_CALL, gate), TS, P_STACK * 8, SEG_RULE_STACK_RPL);
	tss->ss0 = P_KCODE * 8;
	sm_faulted(far(SEG_CALL, gate), TS, P_KCODE * 8, SEG_RULE_WRITABLE);
	tss->ss0 = P_UDATA * 8;
	sm_faulted(far(SEG_CALL, gate), TS, P_UDATA * 8, SEG_RULE_STACK_DPL);
	tss->ss0 = P_STACK * 8;
	s.present = false;
	sm_put(sm.gdt, P_STACK, s);
	sm_faulted(far(SEG_CALL, gate), SS, P_STACK * 8, SEG_RULE_PRESENT);
	s.present = true;
	s.gran = false;
	s.limit = 0xffff;
	sm_put(sm.gdt, P_STACK, s);
	tss->sp0 = 6 * 4;
	sm_worked(far(SEG_CALL, gate));
	sm_ring(3);
	tss->sp0 = 6 * 4 - 4;
	sm_faulted(far(SEG_CALL, gate), SS, P_STACK * 8, SEG_RULE_STACK_ROOM);
}

/* Rings 1 and 2 have their slots too, and 16-bit TSS others. */
static void test_gate_rings(void **state)
{
	struct x86_tss32 *tss = (struct x86_tss32 *)sm.tss;

	(void)state;
	for (u8 ring = 1; ring <= 2; ring++) {
		gate_machine(false);
		sm_put(sm.gdt, P_TARGET, sm_seg(CODE, R, ring));
		sm_put(sm.gdt, P_STACK, sm_seg(DATA, W, ring));
		tss->ss1 = tss->ss2 = P_STACK * 8 | ring;
		tss->sp1 = 0x1100;
		tss->sp2 = 0x1200;
		sm_worked(far(SEG_CALL, P_GATE * 8));
		assert_int_equal(sm.cpu.cpl, ring);
		assert_int_equal(sm.cpu.sp, 0x1000 + ring * 0x100 - 24);
	}
	gate_machine(false);
	sm.cpu.tr.hid.kind = SEG_KIND_TSS16;
	memcpy(sm.tss + 2, &(u16){0x7000}, 2);
	memcpy(sm.tss + 4, &(u16){P_STACK * 8}, 2);
	sm.cpu.tr.hid.limit = 4;
	sm_faulted(far(SEG_CALL, P_GATE * 8), TS, P_TSS * 8,
		   SEG_RULE_TSS_LIMIT);
	sm.cpu.tr.hid.limit = 5;
	sm_worked(far(SEG_CALL, P_GATE * 8));
	assert_int_equal(sm.cpu.sp, 0x7000 - 24);
}

static void test_long_gate(void **state)
{
	struct x86_tss64 *tss = (struct x86_tss64 *)sm.tss;

	(void)state;
	gate_machine(true);
	sm_worked(far(SEG_CALL, P_GATE * 8));
	assert_int_equal(sm.cpu.cpl, 0);
	assert_int_equal(sm.cpu.sr[SEG_SS].sel, 0);
	assert_false(sm.cpu.sr[SEG_SS].usable);
	assert_int_equal(sm.cpu.sp, 0x9000 - 32);
	assert_int_equal(x.width, 8);
	gate_machine(true);
	sm_put(sm.gdt, P_TARGET, seg_flat(CODE, 0, false));
	sm_faulted(far(SEG_CALL, P_GATE * 8), GP, P_TARGET * 8,
		   SEG_RULE_CODE64);
	gate_machine(true);
	tss->sp0 = 0x800000000100;
	sm_faulted(far(SEG_CALL, P_GATE * 8), SS, 0, SEG_RULE_STACK_CANONICAL);
	gate_machine(true);
	sm.gdt[P_GATE + 1] |= 3UL << 40;
	sm_faulted(far(SEG_CALL, P_GATE * 8), GP, P_GATE * 8,
		   SEG_RULE_CODE_OR_GATE);
}

static void test_task(void **state)
{
	struct seg_desc g = gate_desc(SEG_KIND_TASK, 3, P_TARGET * 8);
	struct seg_desc t = seg_system(SEG_KIND_TSS32, 0x5000, 104);

	(void)state;
	gate_machine(false);
	g.offset = 0;
	sm_put(sm.gdt, P_GATE, g);
	sm_put(sm.gdt, P_TARGET, t);
	sm_worked(far(SEG_JUMP, P_GATE * 8));
	assert_true(x.task_switch && x.through_gate);
	assert_int_equal(x.task_sel, P_TARGET * 8);
	assert_int_equal(sm.cpu.ip, 0x1000);
	sm_faulted(far(SEG_JUMP, P_TARGET * 8), GP, P_TARGET * 8,
		   SEG_RULE_GATE_DPL);
	sm_ring(0);
	sm_worked(far(SEG_JUMP, P_TARGET * 8));
	assert_false(x.through_gate);
	t.type = SEG_T_BUSY;
	sm_put(sm.gdt, P_TARGET, t);
	sm_faulted(far(SEG_JUMP, P_GATE * 8), GP, P_TARGET * 8,
		   SEG_RULE_TSS_AVAILABLE);
	t.type = 0;
	t.present = false;
	sm_put(sm.gdt, P_TARGET, t);
	sm_faulted(far(SEG_JUMP, P_GATE * 8), NP, P_TARGET * 8,
		   SEG_RULE_PRESENT);
	g.target = P_KDATA * 8;
	sm_put(sm.gdt, P_GATE, g);
	sm_faulted(far(SEG_JUMP, P_GATE * 8), GP, P_KDATA * 8,
		   SEG_RULE_TSS_KIND);
	g.target = P_TARGET * 8 | 4;
	sm_put(sm.gdt, P_GATE, g);
	sm_faulted(far(SEG_JUMP, P_GATE * 8), GP, P_TARGET * 8 | 4,
		   SEG_RULE_IN_GDT);
	g.dpl = 0;
	sm_put(sm.gdt, P_GATE, g);
	sm_faulted(far(SEG_JUMP, P_GATE * 8 | 3), GP, P_GATE * 8,
		   SEG_RULE_GATE_DPL);
}

/* ---- returns ------------------------------------------------------------ */

static int ret_to(u16 cs, u16 ss)
{
	struct seg_return r = {.cs = cs, .ss = ss, .ip = 0x3000, .sp = 0x7000};

	return seg_far_return(&sm.cpu, &r);
}

static void test_return(void **state)
{
	struct seg_desc d;
	u16 ucs = P_UCODE * 8 | 3, uds = P_UDATA * 8 | 3;

	(void)state;
	sm_boot(false);
	sm_ring(0);
	sm_worked(ret_to(P_KCODE * 8, 0));
	assert_int_equal(sm.cpu.sp, 0x8000);
	/* An outer return takes inner data away, and only that. */
	sm_worked(seg_load(&sm.cpu, SEG_ES, P_UDATA * 8));
	sm_worked(ret_to(ucs, uds));
	assert_int_equal(sm.cpu.cpl, 3);
	assert_int_equal(sm.cpu.sp, 0x7000);
	assert_false(sm.cpu.sr[SEG_DS].usable);
	assert_int_equal(sm.cpu.sr[SEG_DS].sel, 0);
	assert_true(sm.cpu.sr[SEG_ES].usable);
	sm_faulted(ret_to(P_KCODE * 8, 0), GP, P_KCODE * 8,
		   SEG_RULE_RETURN_RPL);
	sm_ring(0);
	sm_faulted(ret_to(3, uds), GP, 0, SEG_RULE_NOT_NULL);
	sm_faulted(ret_to(64 * 8, uds), GP, 64 * 8, SEG_RULE_TABLE_LIMIT);
	sm_faulted(ret_to(P_KDATA * 8, uds), GP, P_KDATA * 8, SEG_RULE_CODE);
	sm_faulted(ret_to(P_UCODE * 8, uds), GP, P_UCODE * 8,
		   SEG_RULE_RETURN_DPL);
	sm_put(sm.gdt, P_TARGET, sm_seg(CODE, C, 3));
	sm_faulted(ret_to(P_TARGET * 8 | 2, uds), GP, P_TARGET * 8,
		   SEG_RULE_RETURN_CONFORMING);
	sm_worked(ret_to(P_TARGET * 8 | 3, uds));
	sm_ring(0);
	sm_put(sm.gdt, P_TARGET, sm_seg(CODE, C, 0));
	sm_worked(ret_to(P_TARGET * 8 | 3, uds));
	sm_ring(0);
	d = sm_seg(CODE, R, 3);
	d.present = false;
	sm_put(sm.gdt, P_TARGET, d);
	sm_faulted(ret_to(P_TARGET * 8 | 3, uds), NP, P_TARGET * 8,
		   SEG_RULE_PRESENT);
	d.present = true;
	d.gran = false;
	d.limit = 0x2fff;
	sm_put(sm.gdt, P_TARGET, d);
	sm_faulted(ret_to(P_TARGET * 8 | 3, uds), GP, 0, SEG_RULE_IP_LIMIT);
	sm_faulted(ret_to(ucs, 0), GP, 0, SEG_RULE_NULL_STACK);
	sm_faulted(ret_to(ucs, 64 * 8 | 3), GP, 64 * 8, SEG_RULE_TABLE_LIMIT);
	sm_faulted(ret_to(ucs, P_UDATA * 8), GP, P_UDATA * 8,
		   SEG_RULE_STACK_RPL);
	sm_faulted(ret_to(ucs, P_KDATA * 8 | 3), GP, P_KDATA * 8,
		   SEG_RULE_STACK_DPL);
	sm_faulted(ret_to(ucs, P_UCODE * 8 | 3), GP, P_UCODE * 8,
		   SEG_RULE_WRITABLE);
	d = sm_seg(DATA, W, 3);
	d.present = false;
	sm_put(sm.gdt, P_STACK, d);
	sm_faulted(ret_to(ucs, P_STACK * 8 | 3), SS, P_STACK * 8,
		   SEG_RULE_PRESENT);
	assert_int_equal(sm.cpu.cpl, 0);
}

static void test_iret(void **state)
{
	struct seg_return r = {.iret = true,
			       .cs = P_UCODE * 8 | 3,
			       .ss = P_UDATA * 8 | 3,
			       .ip = 5,
			       .sp = 6,
			       .flags = X86_FLAGS_IF | X86_FLAGS_IOPL};

	(void)state;
	sm_boot(false);
	sm_ring(0);
	sm_worked(seg_far_return(&sm.cpu, &r));
	assert_true(sm.cpu.flags & X86_FLAGS_IF);
	assert_int_equal(sm.cpu.flags & X86_FLAGS_IOPL, X86_FLAGS_IOPL);
	/* Ring 3 changes IF only with IOPL 3, and IOPL never. */
	r.flags = 0;
	sm_worked(seg_far_return(&sm.cpu, &r));
	assert_int_equal(sm.cpu.flags, X86_FLAGS_IOPL | 2);
	sm.cpu.flags = X86_FLAGS_IF;
	sm_worked(seg_far_return(&sm.cpu, &r));
	assert_int_equal(sm.cpu.flags, X86_FLAGS_IF | 2);
	sm.cpu.flags = X86_FLAGS_NT;
	assert_int_equal(seg_far_return(&sm.cpu, &r), -95);
	/* Into virtual-8086 mode. */
	sm_ring(0);
	sm.cpu.flags = 2;
	r = (struct seg_return){.iret = true,
				.cs = 0x1000,
				.ss = 0x2000,
				.ip = 0x10000,
				.sp = 0xfffe,
				.flags = X86_FLAGS_VM | X86_FLAGS_IF,
				.vm_seg = {1, 2, 3, 4}};
	sm_faulted(seg_far_return(&sm.cpu, &r), GP, 0, SEG_RULE_IP_LIMIT);
	r.ip = 0xffff;
	sm_worked(seg_far_return(&sm.cpu, &r));
	assert_true(seg_vm86(&sm.cpu));
	assert_int_equal(sm.cpu.cpl, 3);
	assert_int_equal(sm.cpu.sr[SEG_CS].hid.base, 0x10000);
	assert_int_equal(sm.cpu.sr[SEG_GS].hid.base, 0x40);
	/* And out of it only by IOPL 3. */
	sm_faulted(seg_far_return(&sm.cpu, &r), GP, 0, SEG_RULE_VM86_IOPL);
	sm.cpu.flags |= X86_FLAGS_IOPL;
	r.flags = 0;
	sm_worked(seg_far_return(&sm.cpu, &r));
	assert_true(seg_vm86(&sm.cpu));
	/* Long mode: no nested tasks, SS always popped. */
	sm_boot(true);
	sm_ring(0);
	sm.cpu.flags = X86_FLAGS_NT;
	r = (struct seg_return){
		.iret = true, .cs = P_KCODE * 8, .ip = 1, .sp = 0x123450};
	sm_faulted(seg_far_return(&sm.cpu, &r), GP, 0, SEG_RULE_NESTED_LONG);
	sm.cpu.flags = 2;
	sm_worked(seg_far_return(&sm.cpu, &r));
	assert_int_equal(sm.cpu.sp, 0x123450);
	assert_false(sm.cpu.sr[SEG_SS].usable);
	r.cs = P_UCODE * 8 | 3;
	r.ss = 3;
	sm_faulted(seg_far_return(&sm.cpu, &r), GP, 0, SEG_RULE_NULL_STACK);
}

/* ---- events ------------------------------------------------------------- */

static int event(enum seg_event_kind kind, u8 vector)
{
	struct seg_event e = {kind, vector, false, 0};

	return seg_deliver(&sm.cpu, &e, &x);
}

static void event_machine(bool lma, enum seg_kind kind, u8 dpl)
{
	gate_machine(lma);
	for (u32 v = 0; v < 256; v++)
		sm_put(sm.idt, lma ? v * 2 : v,
		       gate_desc(kind, dpl, P_TARGET * 8));
}

static void test_idt(void **state)
{
	struct seg_event pf = {SEG_EVENT_EXCEPTION, 14, true, 6};

	(void)state;
	event_machine(false, SEG_KIND_INTR32, 0);
	sm.cpu.flags = X86_FLAGS_IF | X86_FLAGS_NT | 2;
	sm_worked(seg_deliver(&sm.cpu, &pf, &x));
	assert_int_equal(sm.cpu.cpl, 0);
	assert_int_equal(sm.cpu.flags, 2);
	assert_true(x.clear_if && x.stack_switch);
	assert_int_equal(x.nr_pushes, 6);
	assert_int_equal(x.pushes[0], P_UDATA * 8 | 3);
	assert_int_equal(x.pushes[2], X86_FLAGS_IF | X86_FLAGS_NT | 2);
	assert_int_equal(x.pushes[3], P_UCODE * 8 | 3);
	assert_int_equal(x.pushes[5], 6);
	assert_int_equal(sm.cpu.sp, 0x9000 - 24);
	/* Within ring 0: no stack, three values. */
	sm_worked(event(SEG_EVENT_EXTERNAL, 0x20));
	assert_false(x.stack_switch);
	assert_int_equal(x.nr_pushes, 3);
	/* A trap gate leaves IF. */
	event_machine(false, SEG_KIND_TRAP16, 3);
	sm.cpu.flags = X86_FLAGS_IF | 2;
	sm_worked(event(SEG_EVENT_INT, 0x80));
	assert_true(sm.cpu.flags & X86_FLAGS_IF);
	assert_false(x.clear_if);
	assert_int_equal(x.width, 2);
	assert_int_equal(sm.cpu.sp, 0x9000 - 10);
}

static void test_idt_rules(void **state)
{
	struct seg_desc g;

	(void)state;
	event_machine(false, SEG_KIND_INTR32, 0);
	sm_faulted(event(SEG_EVENT_INT, 0x21), GP, 0x21 << 3 | 2,
		   SEG_RULE_SOFT_DPL);
	sm_faulted(event(SEG_EVENT_INT3, 3), GP, 3 << 3 | 2, SEG_RULE_SOFT_DPL);
	sm_worked(event(SEG_EVENT_EXCEPTION, 0));
	sm_ring(3);
	sm.cpu.idtr.limit = 0x21 * 8 + 6;
	sm_faulted(event(SEG_EVENT_INT, 0x21), GP, 0x21 << 3 | 2,
		   SEG_RULE_IDT_LIMIT);
	sm_faulted(event(SEG_EVENT_EXTERNAL, 0x21), GP, 0x21 << 3 | 3,
		   SEG_RULE_IDT_LIMIT);
	sm.cpu.idtr.limit++;
	sm_worked(event(SEG_EVENT_EXTERNAL, 0x21));
	sm_ring(3);
	sm.idt[5] = sm.gdt[P_GATE]; /* a call gate */
	sm_faulted(event(SEG_EVENT_EXCEPTION, 5), GP, 5 << 3 | 3,
		   SEG_RULE_IDT_KIND);
	sm.idt[5] = 0;
	sm_faulted(event(SEG_EVENT_EXCEPTION, 5), GP, 5 << 3 | 3,
		   SEG_RULE_IDT_KIND);
	g = gate_desc(SEG_KIND_INTR32, 3, P_TARGET * 8);
	g.present = false;
	sm_put(sm.idt, 6, g);
	sm_faulted(event(SEG_EVENT_EXCEPTION, 6), NP, 6 << 3 | 3,
		   SEG_RULE_PRESENT);
	sm_faulted(event(SEG_EVENT_INT, 6), NP, 6 << 3 | 2, SEG_RULE_PRESENT);
	sm_put(sm.idt, 7, gate_desc(SEG_KIND_INTR32, 3, 0));
	sm_faulted(event(SEG_EVENT_EXCEPTION, 7), GP, 1, SEG_RULE_NOT_NULL);
	sm_faulted(event(SEG_EVENT_INT, 7), GP, 0, SEG_RULE_NOT_NULL);
	sm_put(sm.idt, 7, gate_desc(SEG_KIND_INTR32, 3, 64 * 8));
	sm_faulted(event(SEG_EVENT_EXCEPTION, 7), GP, 64 * 8 | 1,
		   SEG_RULE_TABLE_LIMIT);
	sm_put(sm.idt, 7, gate_desc(SEG_KIND_INTR32, 3, P_KDATA * 8));
	sm_faulted(event(SEG_EVENT_EXCEPTION, 7), GP, P_KDATA * 8 | 1,
		   SEG_RULE_CODE);
	sm_ring(0);
	sm_put(sm.idt, 7, gate_desc(SEG_KIND_INTR32, 3, P_UCODE * 8));
	sm_faulted(event(SEG_EVENT_EXCEPTION, 7), GP, P_UCODE * 8 | 1,
		   SEG_RULE_TARGET_DPL);
	sm.gdt[P_TARGET] &= ~BIT(47);
	sm_faulted(event(SEG_EVENT_EXTERNAL, 9), NP, P_TARGET * 8 | 1,
		   SEG_RULE_PRESENT);
}

static void test_idt_stack(void **state)
{
	struct x86_tss32 *tss = (struct x86_tss32 *)sm.tss;
	struct seg_desc d = seg_flat(CODE, 0, false);

	(void)state;
	event_machine(false, SEG_KIND_INTR32, 3);
	sm.cpu.tr.hid.limit = 8;
	sm_faulted(event(SEG_EVENT_EXTERNAL, 9), TS, P_TSS * 8 | 1,
		   SEG_RULE_TSS_LIMIT);
	event_machine(false, SEG_KIND_INTR32, 3);
	tss->ss0 = P_UDATA * 8;
	sm_faulted(event(SEG_EVENT_EXTERNAL, 9), TS, P_UDATA * 8 | 1,
		   SEG_RULE_STACK_DPL);
	sm_faulted(event(SEG_EVENT_INT, 9), TS, P_UDATA * 8,
		   SEG_RULE_STACK_DPL);
	tss->ss0 = P_STACK * 8;
	sm.gdt[P_STACK] &= ~BIT(47);
	sm_faulted(event(SEG_EVENT_EXTERNAL, 9), SS, P_STACK * 8 | 1,
		   SEG_RULE_PRESENT);
	event_machine(false, SEG_KIND_INTR32, 3);
	d.gran = false;
	d.limit = 0x3fff;
	sm_put(sm.gdt, P_TARGET, d);
	sm_faulted(event(SEG_EVENT_EXTERNAL, 9), GP, 1, SEG_RULE_IP_LIMIT);
	/* On the stack as it stands there is no selector to name. */
	event_machine(false, SEG_KIND_INTR32, 3);
	sm_ring(0);
	sm.cpu.sr[SEG_SS].hid.limit = 0x7fff - 4;
	sm_faulted(event(SEG_EVENT_EXTERNAL, 9), SS, 1, SEG_RULE_STACK_ROOM);
	/* Task gate. */
	sm_put(sm.gdt, P_TARGET, seg_system(SEG_KIND_TSS32, 0x5000, 104));
	d = gate_desc(SEG_KIND_TASK, 0, P_TARGET * 8);
	d.offset = 0;
	sm_put(sm.idt, 8, d);
	sm_worked(event(SEG_EVENT_EXCEPTION, 8));
	assert_true(x.task_switch);
	d.target = P_TSS * 8; /* busy */
	sm_put(sm.idt, 8, d);
	sm_faulted(event(SEG_EVENT_EXCEPTION, 8), GP, P_TSS * 8 | 1,
		   SEG_RULE_TSS_AVAILABLE);
}

static void test_vm86_events(void **state)
{
	struct seg_return r = {.iret = true,
			       .cs = 0x1000,
			       .ss = 0x2000,
			       .ip = 7,
			       .sp = 0xfffe,
			       .flags = X86_FLAGS_VM,
			       .vm_seg = {1, 2, 3, 4}};

	(void)state;
	event_machine(false, SEG_KIND_INTR32, 3);
	sm_ring(0);
	sm_worked(seg_far_return(&sm.cpu, &r));
	sm_faulted(event(SEG_EVENT_INT, 0x21), GP, 0, SEG_RULE_VM86_IOPL);
	sm_worked(event(SEG_EVENT_INT3, 3));
	assert_int_equal(x.nr_pushes, 9);
	assert_int_equal(x.pushes[0], 4); /* GS FS DS ES SS SP FLAGS CS IP */
	assert_int_equal(x.pushes[3], 1);
	assert_int_equal(x.pushes[4], 0x2000);
	assert_int_equal(x.pushes[7], 0x1000);
	assert_false(seg_vm86(&sm.cpu));
	assert_false(sm.cpu.sr[SEG_DS].usable);
	assert_int_equal(sm.cpu.cpl, 0);
	/* The handler must be in ring 0 and not conform. */
	sm_worked(seg_far_return(&sm.cpu, &r));
	sm_put(sm.gdt, P_TARGET, sm_seg(CODE, R | C, 0));
	sm_faulted(event(SEG_EVENT_EXTERNAL, 9), GP, P_TARGET * 8 | 1,
		   SEG_RULE_VM86_DPL);
	sm_put(sm.gdt, P_TARGET, sm_seg(CODE, R, 3));
	sm_faulted(event(SEG_EVENT_EXTERNAL, 9), GP, P_TARGET * 8 | 1,
		   SEG_RULE_VM86_DPL);
}

static void test_long_events(void **state)
{
	struct seg_desc g;

	(void)state;
	event_machine(true, SEG_KIND_INTR64, 0);
	sm.cpu.sp = 0x8008;
	sm_worked(event(SEG_EVENT_EXTERNAL, 9));
	assert_int_equal(sm.cpu.sp, 0x9000 - 40);
	assert_int_equal(x.nr_pushes, 5);
	assert_int_equal(sm.cpu.sr[SEG_SS].sel, 0);
	/* The same ring: aligned, SS kept and pushed. */
	sm_ring(0);
	sm.cpu.sp = 0x8008;
	sm_worked(event(SEG_EVENT_EXTERNAL, 9));
	assert_int_equal(sm.cpu.sp, 0x8000 - 40);
	assert_int_equal(x.pushes[1], 0x8008);
	assert_int_equal(sm.cpu.sr[SEG_SS].sel, P_KDATA * 8);
	/* A stack of the IST, from any ring. */
	for (u8 ist = 1; ist <= 7; ist++) {
		sm_ring(ist & 1 ? 3 : 0);
		g = gate_desc(SEG_KIND_TRAP64, 0, P_TARGET * 8);
		g.ist = ist;
		sm_put(sm.idt, 2 * 8, g);
		sm_worked(event(SEG_EVENT_EXCEPTION, 8));
		assert_int_equal(sm.cpu.sp, 0x10000 + ist * 0x1000 - 40);
		assert_true(x.stack_switch);
	}
	sm.cpu.tr.hid.limit = 36 + 6 * 8 + 6;
	sm_faulted(event(SEG_EVENT_EXCEPTION, 8), TS, P_TSS * 8 | 1,
		   SEG_RULE_TSS_LIMIT);
	sm_put(sm.gdt, P_TARGET, seg_flat(CODE, 0, false));
	sm_faulted(event(SEG_EVENT_EXCEPTION, 9), GP, P_TARGET * 8 | 1,
		   SEG_RULE_CODE64);
	sm.idt[20] = 0x0000850000000000;
	sm_faulted(event(SEG_EVENT_EXCEPTION, 10), GP, 10 << 3 | 3,
		   SEG_RULE_IDT_KIND);
	sm.cpu.idtr.limit = 14;
	sm_faulted(event(SEG_EVENT_EXCEPTION, 0), GP, 3, SEG_RULE_IDT_LIMIT);
	sm.cpu.idtr.limit = 15;
	sm_faulted(event(SEG_EVENT_INT, 1), GP, 8 | 2, SEG_RULE_IDT_LIMIT);
}

static void test_real_events(void **state)
{
	(void)state;
	sm_boot(false);
	seg_cpu_init(&sm.cpu, &sm.mem);
	sm.cpu.idtr.base = SM_IDT_BASE;
	((u32 *)sm.idt)[0x21] = 0xf0001234;
	sm.cpu.sp = 0x1000;
	sm.cpu.flags = X86_FLAGS_IF | X86_FLAGS_TF;
	sm_worked(event(SEG_EVENT_INT, 0x21));
	assert_int_equal(sm.cpu.sr[SEG_CS].hid.base, 0xf0000);
	assert_int_equal(sm.cpu.ip, 0x1234);
	assert_int_equal(sm.cpu.sp, 0x1000 - 6);
	assert_int_equal(sm.cpu.flags & (X86_FLAGS_IF | X86_FLAGS_TF), 0);
	sm.cpu.idtr.limit = 0x21 * 4 + 2;
	assert_int_equal(event(SEG_EVENT_INT, 0x21), -14);
	assert_int_equal(sm.cpu.fault.rule, SEG_RULE_IDT_LIMIT);
	assert_false(sm.cpu.fault.has_error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_direct_rest),
		cmocka_unit_test(test_real_far),
		cmocka_unit_test(test_long_direct),
		cmocka_unit_test(test_call_gate),
		cmocka_unit_test(test_gate_rules),
		cmocka_unit_test(test_gate_stack),
		cmocka_unit_test(test_gate_rings),
		cmocka_unit_test(test_long_gate),
		cmocka_unit_test(test_task),
		cmocka_unit_test(test_return),
		cmocka_unit_test(test_iret),
		cmocka_unit_test(test_idt),
		cmocka_unit_test(test_idt_rules),
		cmocka_unit_test(test_idt_stack),
		cmocka_unit_test(test_vm86_events),
		cmocka_unit_test(test_long_events),
		cmocka_unit_test(test_real_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
