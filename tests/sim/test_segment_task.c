/* SPDX-License-Identifier: MIT */
/*
 * Task switches: each way into a task and back, what is saved and loaded, the
 * busy bits, the link, NT; every rule broken once, with vector and error code,
 * and in whose context.
 */
#include "segment_machine.h"

#include "base_seed.h"

#define GP X86_TRAP_GP
#define NP X86_TRAP_NP
#define SS X86_TRAP_SS
#define TS X86_TRAP_TS
#define PF X86_TRAP_PF

#define P_NEXT	  20 /* the other task's TSS */
#define P_GATE	  22
#define P_CODE	  24 /* the other task's segments */
#define P_DATA	  25
#define P_STACK	  26
#define P_LDT2	  28
#define NEXT_BASE (SM_TSS_BASE + 104)

#define OLD	 ((struct x86_tss32 *)sm.tss)
#define NEXT	 ((struct x86_tss32 *)(sm.tss + 104))
#define NEXT16	 ((u16 *)(sm.tss + 104))
#define BUSY(n)	 ((sm.gdt[n] >> 41 & 1) != 0)
#define OLD_SEL	 (P_TSS * 8)
#define NEXT_SEL (P_NEXT * 8)

static struct seg_xfer x;
static struct seg_task_regs regs;

static struct seg_desc task_gate(u8 dpl)
{
	return (struct seg_desc){.kind = SEG_KIND_TASK,
				 .dpl = dpl,
				 .present = true,
				 .target = NEXT_SEL};
}

/* A task of ring 3 that waits in P_NEXT; the CPU is in ring CPL. */
static void two_tasks(u8 cpl)
{
	sm_boot(false);
	x = (struct seg_xfer){0};
	sm_put(sm.gdt, P_NEXT, seg_system(SEG_KIND_TSS32, NEXT_BASE, 104));
	sm_put(sm.gdt, P_GATE, task_gate(3));
	sm_put(sm.gdt, P_CODE, sm_seg(SEG_KIND_CODE, SEG_T_READ, 3));
	sm_put(sm.gdt, P_DATA, sm_seg(SEG_KIND_DATA, SEG_T_WRITE, 3));
	sm_put(sm.gdt, P_STACK, sm_seg(SEG_KIND_DATA, SEG_T_WRITE, 3));
	sm_put(sm.gdt, P_LDT2, seg_system(SEG_KIND_LDT, SM_LDT_BASE, 64));
	*NEXT = (struct x86_tss32){.cr3 = 0x77000,
				   .ip = 0x4444,
				   .flags = X86_FLAGS_IF | 2,
				   .ax = 1,
				   .cx = 2,
				   .dx = 3,
				   .bx = 4,
				   .sp = 0x5000,
				   .bp = 6,
				   .si = 7,
				   .di = 8,
				   .es = P_DATA * 8 | 3,
				   .cs = P_CODE * 8 | 3,
				   .ss = P_STACK * 8 | 3,
				   .ds = P_DATA * 8 | 3,
				   .fs = 0,
				   .gs = P_DATA * 8 | 3,
				   .ldt = P_LDT2 * 8};
	sm_ring(cpl);
	sm.cpu.flags = 2 | X86_FLAGS_IOPL;
	regs = (struct seg_task_regs){.gpr = {11, 12, 13, 14, 0, 16, 17, 18},
				      .cr3 = 0x66000};
}

static int far(enum seg_transfer how, u16 sel)
{
	return seg_far(&sm.cpu, how, sel, 0x2000, &x)
		       ?: seg_task_switch(&sm.cpu, &x, &regs);
}

static int event(enum seg_event_kind kind, u8 vector, bool has_error)
{
	struct seg_event e = {kind, vector, has_error, 0xbeef};

	return seg_deliver(&sm.cpu, &e, &x)
		       ?: seg_task_switch(&sm.cpu, &x, &regs);
}

static int iret(void)
{
	struct seg_return r = {.iret = true};

	assert_int_equal(seg_far_return(&sm.cpu, &r), -95);
	return seg_task_return(&sm.cpu, &x)
		       ?: seg_task_switch(&sm.cpu, &x, &regs);
}

/* The CPU is the other task's, as two_tasks() wrote it. */
static void is_next(bool nested)
{
	static const u32 want[SEG_NR_GPRS] = {1, 2, 3, 4, 0x5000, 6, 7, 8};
	const struct seg_cpu *c = &sm.cpu;

	assert_true(x.switched);
	assert_memory_equal(regs.gpr, want, sizeof(want));
	assert_int_equal(c->ip, 0x4444);
	assert_int_equal(c->sp, 0x5000);
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->flags,
			 X86_FLAGS_IF | 2 | (nested ? X86_FLAGS_NT : 0));
	assert_int_equal(c->tr.sel, NEXT_SEL);
	assert_int_equal(c->tr.hid.base, NEXT_BASE);
	assert_true(seg_busy(&c->tr.hid) && BUSY(P_NEXT));
	assert_int_equal(c->ldtr.sel, P_LDT2 * 8);
	assert_int_equal(c->ldtr.hid.limit, 63);
	assert_int_equal(c->sr[SEG_CS].sel, P_CODE * 8 | 3);
	assert_int_equal(c->sr[SEG_SS].sel, P_STACK * 8 | 3);
	assert_int_equal(c->sr[SEG_GS].sel, P_DATA * 8 | 3);
	assert_true(c->sr[SEG_ES].usable && !c->sr[SEG_FS].usable);
	assert_true(sm.gdt[P_STACK] & BIT(40));
	assert_true(regs.ts);
	assert_int_equal(regs.cr3, 0x66000); /* paging is off */
	assert_int_equal(NEXT->back_link, nested ? OLD_SEL : 0);
	assert_int_equal(BUSY(P_TSS), nested);
}

/* What was left behind stands in its TSS; what no switch writes is as it was.
 */
static void is_saved(u8 cpl, u32 ip)
{
	u16 data = cpl ? P_UDATA * 8 | 3 : P_KDATA * 8;

	assert_int_equal(OLD->ip, ip);
	assert_int_equal(OLD->flags, 2 | X86_FLAGS_IOPL);
	assert_int_equal(OLD->ax, 11);
	assert_int_equal(OLD->bx, 14);
	assert_int_equal(OLD->sp, 0x8000);
	assert_int_equal(OLD->di, 18);
	assert_int_equal(OLD->cs, cpl ? P_UCODE * 8 | 3 : P_KCODE * 8);
	assert_int_equal(OLD->ss, data);
	assert_int_equal(OLD->ds, data);
	assert_int_equal(OLD->gs, 0);
	assert_int_equal(OLD->cr3, 0);
	assert_int_equal(OLD->ldt, 0);
	assert_int_equal(OLD->back_link, 0);
}

/* ---- each way ----------------------------------------------------------- */

static void test_jump(void **state)
{
	(void)state;
	two_tasks(0);
	sm_worked(far(SEG_JUMP, NEXT_SEL));
	is_next(false);
	is_saved(0, 0x1000);
	two_tasks(3);
	sm_worked(far(SEG_JUMP, P_GATE * 8 | 3));
	is_next(false);
	is_saved(3, 0x1000);
	/* And back by a jump: the TSS is available again. */
	OLD->ldt = P_LDT * 8;
	sm_put(sm.gdt, P_GATE,
	       (struct seg_desc){.kind = SEG_KIND_TASK,
				 .dpl = 3,
				 .present = true,
				 .target = OLD_SEL});
	sm_worked(far(SEG_JUMP, P_GATE * 8 | 3));
	assert_int_equal(sm.cpu.ip, 0x1000);
	assert_int_equal(sm.cpu.sp, 0x8000);
	assert_int_equal(regs.gpr[SEG_GPR_DI], 18);
	assert_true(BUSY(P_TSS) && !BUSY(P_NEXT));
	assert_int_equal(NEXT->ip, 0x4444);
}

static void test_call_and_iret(void **state)
{
	(void)state;
	two_tasks(0);
	sm_worked(far(SEG_CALL, NEXT_SEL));
	is_next(true);
	is_saved(0, 0x1000);
	OLD->ldt = P_LDT * 8;
	regs.gpr[SEG_GPR_AX] = 99;
	sm.cpu.ip = 0x4450;
	sm_worked(iret());
	assert_int_equal(sm.cpu.tr.sel, OLD_SEL);
	assert_int_equal(sm.cpu.cpl, 0);
	assert_int_equal(sm.cpu.flags, 2 | X86_FLAGS_IOPL);
	assert_int_equal(sm.cpu.ldtr.sel, P_LDT * 8);
	assert_true(BUSY(P_TSS) && !BUSY(P_NEXT));
	/* What returned goes on behind its IRET, without NT, when called. */
	assert_int_equal(NEXT->ip, 0x4450);
	assert_int_equal(NEXT->ax, 99);
	assert_int_equal(NEXT->flags & X86_FLAGS_NT, 0);
}

static void test_events(void **state)
{
	(void)state;
	two_tasks(3);
	sm_put(sm.idt, 9, task_gate(0));
	sm_worked(event(SEG_EVENT_EXTERNAL, 9, false));
	is_next(true);
	is_saved(3, 0x1000);
	assert_int_equal(x.nr_pushes, 0);
	/* An error code is pushed on the stack of the new task. */
	two_tasks(3);
	sm_put(sm.idt, 8, task_gate(0));
	NEXT->trap = 1;
	sm_worked(event(SEG_EVENT_EXCEPTION, 8, true));
	assert_int_equal(sm.cpu.sp, 0x5000 - 4);
	assert_int_equal(x.nr_pushes, 1);
	assert_int_equal(x.pushes[0], 0xbeef);
	assert_int_equal(x.width, 4);
	assert_true(x.debug_trap);
	/* INT n asks for the gate's ring. */
	two_tasks(3);
	sm_put(sm.idt, 9, task_gate(0));
	sm_faulted(event(SEG_EVENT_INT, 9, false), GP, 9 << 3 | 2,
		   SEG_RULE_SOFT_DPL);
	assert_false(x.switched);
	sm_put(sm.idt, 9, task_gate(3));
	sm_worked(event(SEG_EVENT_INT, 9, false));
	is_next(true);
}

static void test_16_bits(void **state)
{
	static const u16 image[22] = {0,
				      0,
				      0,
				      0,
				      0,
				      0,
				      0,
				      0x4444,
				      X86_FLAGS_IF,
				      1,
				      2,
				      3,
				      4,
				      0x5000,
				      6,
				      7,
				      8,
				      P_DATA * 8 | 3,
				      P_CODE * 8 | 3,
				      P_STACK * 8 | 3,
				      P_DATA * 8 | 3,
				      P_LDT2 * 8};
	u32 ip, i;

	(void)state;
	two_tasks(0);
	memcpy(NEXT16, image, sizeof(image));
	sm_put(sm.gdt, P_NEXT, seg_system(SEG_KIND_TSS16, NEXT_BASE, 44));
	sm.cpu.sr[SEG_FS] = sm.cpu.sr[SEG_DS];
	sm_worked(far(SEG_CALL, NEXT_SEL));
	assert_int_equal(sm.cpu.ip, 0x4444);
	assert_int_equal(sm.cpu.sp, 0xffff5000);
	assert_int_equal(sm.cpu.flags, X86_FLAGS_IF | X86_FLAGS_NT | 2);
	for (i = 0; i < 4; i++)
		assert_int_equal(regs.gpr[i], 0xffff0000 + i + 1);
	assert_false(sm.cpu.sr[SEG_FS].usable);
	assert_int_equal(sm.cpu.ldtr.sel, P_LDT2 * 8);
	assert_int_equal(NEXT16[0], OLD_SEL);
	assert_int_equal(OLD->fs, P_KDATA * 8);
	/* Back again: 16 bits of each are saved, and nothing else. */
	sm.cpu.ip = 0x4450;
	regs.gpr[SEG_GPR_AX] = 0x12345678;
	ip = NEXT16[7];
	assert_int_equal(ip, 0x4444);
	sm_worked(iret());
	assert_int_equal(NEXT16[7], 0x4450);
	assert_int_equal(NEXT16[9], 0x5678);
	assert_int_equal(NEXT16[13], 0x5000);
	assert_int_equal(NEXT16[18], P_CODE * 8 | 3);
	assert_int_equal(NEXT16[21], P_LDT2 * 8);
	assert_int_equal(sm.cpu.sp, 0x8000);
	assert_int_equal(regs.gpr[SEG_GPR_AX], 11);
}

static void test_vm86_task(void **state)
{
	(void)state;
	two_tasks(0);
	NEXT->flags = X86_FLAGS_VM | 2;
	NEXT->cs = 0x1234;
	NEXT->ss = 0x2345;
	NEXT->ds = 0;
	NEXT->ip = 0x10;
	sm_worked(far(SEG_JUMP, NEXT_SEL));
	assert_int_equal(sm.cpu.cpl, 3);
	assert_int_equal(sm.cpu.sr[SEG_CS].hid.base, 0x12340);
	assert_int_equal(sm.cpu.sr[SEG_SS].hid.base, 0x23450);
	assert_true(sm.cpu.sr[SEG_DS].usable);
	assert_int_equal(sm.cpu.sr[SEG_DS].hid.limit, 0xffff);
	two_tasks(0);
	regs.paging = true;
	sm_worked(far(SEG_JUMP, NEXT_SEL));
	assert_int_equal(regs.cr3, 0x77000);
}

/* ---- refused: the old task's fault -------------------------------------- */

/* Whatever was refused, the old task goes on as it was. */
static void old_goes_on(void)
{
	assert_false(x.switched);
	assert_int_equal(sm.cpu.tr.sel, OLD_SEL);
	assert_int_equal(sm.cpu.ip, 0x1000);
	assert_int_equal(regs.gpr[SEG_GPR_AX], 11);
	assert_false(regs.ts);
	assert_true(BUSY(P_TSS));
}

static void refused(int ret, u8 vector, u16 error, enum seg_rule rule)
{
	sm_faulted(ret, vector, error, rule);
	old_goes_on();
}

static void test_room(void **state)
{
	(void)state;
	two_tasks(0);
	sm_put(sm.gdt, P_NEXT, seg_system(SEG_KIND_TSS32, NEXT_BASE, 103));
	refused(far(SEG_JUMP, NEXT_SEL), TS, NEXT_SEL, SEG_RULE_TASK_ROOM);
	assert_false(BUSY(P_NEXT));
	sm_put(sm.gdt, P_NEXT, seg_system(SEG_KIND_TSS16, NEXT_BASE, 43));
	refused(far(SEG_JUMP, NEXT_SEL), TS, NEXT_SEL, SEG_RULE_TASK_ROOM);
	sm_put(sm.idt, 9, task_gate(0));
	refused(event(SEG_EVENT_EXTERNAL, 9, false), TS, NEXT_SEL | 1,
		SEG_RULE_TASK_ROOM);
	two_tasks(0);
	sm.cpu.tr.hid.limit = 102;
	refused(far(SEG_JUMP, NEXT_SEL), TS, OLD_SEL, SEG_RULE_TASK_ROOM);
	assert_false(BUSY(P_NEXT));
}

/* A TSS that is not in memory: #PF, and nothing is busy that was not. */
static void test_memory(void **state)
{
	(void)state;
	two_tasks(0);
	sm_put(sm.gdt, P_NEXT, seg_system(SEG_KIND_TSS32, 0x5000, 104));
	refused(far(SEG_JUMP, NEXT_SEL), PF, 0, SEG_RULE_MEMORY_READ);
	assert_int_equal(sm.cpu.fault.addr, 0x5000);
	assert_false(BUSY(P_NEXT));
	two_tasks(0);
	sm.cpu.tr.hid.base = 0x6000;
	refused(far(SEG_JUMP, NEXT_SEL), PF, 2, SEG_RULE_MEMORY_WRITE);
	assert_false(BUSY(P_NEXT));
}

static void nested(u16 link)
{
	two_tasks(0);
	OLD->back_link = link;
	sm.cpu.flags |= X86_FLAGS_NT;
	sm.gdt[P_NEXT] |= BIT(41);
}

static void test_return_rules(void **state)
{
	(void)state;
	nested(NEXT_SEL);
	sm_worked(iret());
	assert_true(BUSY(P_NEXT) && !BUSY(P_TSS));
	assert_int_equal(OLD->flags & X86_FLAGS_NT, 0);
	nested(NEXT_SEL | 4);
	refused(iret(), TS, NEXT_SEL | 4, SEG_RULE_IN_GDT);
	nested(SM_ENTRIES * 8);
	refused(iret(), TS, SM_ENTRIES * 8, SEG_RULE_TABLE_LIMIT);
	nested(P_KDATA * 8);
	refused(iret(), TS, P_KDATA * 8, SEG_RULE_TSS_KIND);
	nested(NEXT_SEL);
	sm.gdt[P_NEXT] &= ~BIT(41);
	refused(iret(), TS, NEXT_SEL, SEG_RULE_TSS_BUSY);
	nested(NEXT_SEL);
	sm.gdt[P_NEXT] &= ~BIT(47);
	refused(iret(), NP, NEXT_SEL, SEG_RULE_PRESENT);
	nested(NEXT_SEL);
	sm.cpu.tr.usable = false;
	refused(iret(), TS, OLD_SEL, SEG_RULE_TSS_USABLE);
}

/* ---- too late: the new task's fault ------------------------------------- */

struct late {
	size_t field; /* of the TSS */
	u16 sel;
	u8 vector;
	enum seg_rule rule;
	enum seg_id reg; /* SEG_NR_REGS: LDTR */
};

#define F(name)	 offsetof(struct x86_tss32, name)
#define P_ABSENT 30 /* as P_DATA, P_CODE, P_LDT2 but for P */
#define P_DOWN	 40 /* code that conforms, DPL 3 */

static const struct late late_rows[] = {
	{F(ldt), P_LDT2 * 8 | 4, TS, SEG_RULE_IN_GDT, SEG_NR_REGS},
	{F(ldt), SM_ENTRIES * 8, TS, SEG_RULE_TABLE_LIMIT, SEG_NR_REGS},
	{F(ldt), P_DATA * 8, TS, SEG_RULE_LDT_KIND, SEG_NR_REGS},
	{F(ldt), (P_ABSENT + 2) * 8, TS, SEG_RULE_PRESENT, SEG_NR_REGS},
	{F(cs), 0, TS, SEG_RULE_NOT_NULL, SEG_CS},
	{F(cs), SM_ENTRIES * 8 | 3, TS, SEG_RULE_TABLE_LIMIT, SEG_CS},
	{F(cs), P_DATA * 8 | 3, TS, SEG_RULE_CODE, SEG_CS},
	{F(cs), P_CODE * 8, TS, SEG_RULE_RETURN_DPL, SEG_CS},
	{F(cs), P_DOWN * 8, TS, SEG_RULE_RETURN_CONFORMING, SEG_CS},
	{F(cs), (P_ABSENT + 1) * 8 | 3, NP, SEG_RULE_PRESENT, SEG_CS},
	{F(ss), 0, TS, SEG_RULE_NOT_NULL, SEG_SS},
	{F(ss), SM_ENTRIES * 8 | 3, TS, SEG_RULE_TABLE_LIMIT, SEG_SS},
	{F(ss), P_STACK * 8, TS, SEG_RULE_STACK_RPL, SEG_SS},
	{F(ss), P_CODE * 8 | 3, TS, SEG_RULE_WRITABLE, SEG_SS},
	{F(ss), P_KDATA * 8 | 3, TS, SEG_RULE_STACK_DPL, SEG_SS},
	{F(ss), P_ABSENT * 8 | 3, SS, SEG_RULE_PRESENT, SEG_SS},
	{F(es), SM_ENTRIES * 8, TS, SEG_RULE_TABLE_LIMIT, SEG_ES},
	{F(ds), P_TSS * 8, TS, SEG_RULE_READABLE, SEG_DS},
	{F(fs), P_KDATA * 8, TS, SEG_RULE_DATA_DPL, SEG_FS},
	{F(gs), P_ABSENT * 8 | 3, NP, SEG_RULE_PRESENT, SEG_GS},
};

static void absent_segments(void)
{
	struct seg_desc d = sm_seg(SEG_KIND_DATA, SEG_T_WRITE, 3);

	d.present = false;
	sm_put(sm.gdt, P_ABSENT, d);
	d = sm_seg(SEG_KIND_CODE, SEG_T_READ, 3);
	d.present = false;
	sm_put(sm.gdt, P_ABSENT + 1, d);
	d = seg_system(SEG_KIND_LDT, SM_LDT_BASE, 64);
	d.present = false;
	sm_put(sm.gdt, P_ABSENT + 2, d);
	sm_put(sm.gdt, P_DOWN,
	       sm_seg(SEG_KIND_CODE, SEG_T_READ | SEG_T_CONFORMING, 3));
}

static void test_late(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(late_rows) * 2; i++) {
		const struct late *l = &late_rows[i / 2];
		u16 ext = i & 1;

		two_tasks(3);
		absent_segments();
		sm_put(sm.idt, 9, task_gate(3));
		memcpy((u8 *)NEXT + l->field, &l->sel, 2);
		sm_faulted(ext ? event(SEG_EVENT_EXTERNAL, 9, false)
			       : far(SEG_JUMP, P_GATE * 8 | 3),
			   l->vector, (l->sel & ~3) | ext, l->rule);
		/* The switch stands; what failed cannot be used. */
		assert_true(x.switched && BUSY(P_NEXT));
		assert_int_equal(sm.cpu.tr.sel, NEXT_SEL);
		assert_int_equal(sm.cpu.ip, 0x4444);
		assert_int_equal(regs.gpr[SEG_GPR_DI], 8);
		assert_int_equal(OLD->ip, 0x1000);
		if (l->reg == SEG_NR_REGS) {
			assert_false(sm.cpu.ldtr.usable);
			continue;
		}
		assert_false(sm.cpu.sr[l->reg].usable);
		assert_int_equal(sm.cpu.sr[l->reg].sel, l->sel);
	}
}

static void test_late_rest(void **state)
{
	struct seg_desc d = sm_seg(SEG_KIND_CODE, SEG_T_READ, 3);

	(void)state;
	two_tasks(0);
	d.gran = false;
	d.limit = 0x4443;
	sm_put(sm.gdt, P_CODE, d);
	sm_faulted(far(SEG_JUMP, NEXT_SEL), GP, 0, SEG_RULE_IP_LIMIT);
	assert_true(x.switched);
	/* No room for the error code. */
	two_tasks(0);
	sm_put(sm.idt, 8, task_gate(0));
	d = sm_seg(SEG_KIND_DATA, SEG_T_WRITE, 3);
	d.gran = false;
	d.limit = 0x4ffe;
	sm_put(sm.gdt, P_STACK, d);
	sm_faulted(event(SEG_EVENT_EXCEPTION, 8, true), SS, 1,
		   SEG_RULE_STACK_ROOM);
	assert_true(x.switched);
	assert_int_equal(x.nr_pushes, 0);
}

/* An explanation goes through the switch and leaves everything as it was. */
static void test_explained(void **state)
{
	struct seg_ref ref = {0x2000, 1, SEG_FETCH};
	u64 linear = 0, gdt = 0;

	(void)state;
	two_tasks(0);
	gdt = sm.gdt[P_NEXT];
	sm_worked(seg_explain(&sm.cpu, SEG_CS, NEXT_SEL, &ref, NULL, &linear));
	assert_int_equal(linear, 0x4444);
	assert_int_equal(sm.gdt[P_NEXT], gdt);
	assert_int_equal(OLD->ip, 0);
	assert_int_equal(sm.cpu.tr.sel, OLD_SEL);
	/* A target that jumps elsewhere is that task's fault. */
	NEXT->cs = P_DATA * 8 | 3;
	sm_faulted(seg_explain(&sm.cpu, SEG_CS, NEXT_SEL, &ref, NULL, &linear),
		   TS, P_DATA * 8, SEG_RULE_CODE);
}

/* ---- random chains: the busy TSSs are those of the chain (SEGT-1) ------- */

#define TASKS	  5
#define T_BASE(i) (SM_TSS_BASE + 512 + (i)*104u)

static u8 pool[TASKS * 104];

static void chain_boot(void)
{
	two_tasks(0);
	sm.win.at[4] = (struct seg_window){T_BASE(0), sizeof(pool), pool};
	sm.win.nr = 5;
	for (u32 i = 0; i < TASKS; i++) {
		memcpy(pool + i * 104, NEXT, 104);
		sm_put(sm.gdt, 50 + i,
		       seg_system(SEG_KIND_TSS32, T_BASE(i), 104));
		((struct x86_tss32 *)(pool + i * 104))->cs = P_KCODE * 8;
		((struct x86_tss32 *)(pool + i * 104))->ss = P_KDATA * 8;
		((struct x86_tss32 *)(pool + i * 104))->ip = 0x100 * i;
	}
}

static void test_random_chains(void **state)
{
	u64 iters = test_iters(2000);
	u32 chain[TASKS + 2], depth = 0, busy, i;
	struct prng r;

	(void)state;
	test_seed(&r, "tasks");
	chain_boot();
	chain[0] = P_TSS;
	for (u64 n = 0; n < iters; n++) {
		u32 to = 50 + (u32)prng_below(&r, TASKS);
		u32 what = (u32)prng_below(&r, 3);
		bool in = false;

		for (i = 0; i <= depth; i++)
			in |= chain[i] == to;
		regs.gpr[SEG_GPR_AX] = chain[depth];
		if (what == 2 && depth) {
			sm_worked(iret());
			depth--;
		} else if (what == 2) {
			continue;
		} else if (in) {
			assert_int_equal(far(what, (u16)(to * 8)), -14);
			assert_int_equal(sm.cpu.fault.rule,
					 SEG_RULE_TSS_AVAILABLE);
		} else {
			sm_worked(
				far(what ? SEG_CALL : SEG_JUMP, (u16)(to * 8)));
			depth += what;
			chain[depth] = to;
			/* A jump leaves the chain: the rest is never come back
			 * to by NT, which the new task has not. */
			if (!what && depth) {
				assert_false(sm.cpu.flags & X86_FLAGS_NT);
				chain_boot();
				depth = 0;
				chain[0] = P_TSS;
				continue;
			}
		}
		busy = 0;
		for (i = 50; i < 50 + TASKS; i++)
			busy += BUSY(i);
		busy += BUSY(P_TSS);
		assert_int_equal(busy, depth + 1);
		for (i = 0; i <= depth; i++)
			assert_true(BUSY(chain[i]));
		assert_int_equal(sm.cpu.tr.sel, chain[depth] * 8);
		assert_int_equal(!!(sm.cpu.flags & X86_FLAGS_NT), depth > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jump),
		cmocka_unit_test(test_call_and_iret),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_16_bits),
		cmocka_unit_test(test_vm86_task),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_return_rules),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_late_rest),
		cmocka_unit_test(test_explained),
		cmocka_unit_test(test_random_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
