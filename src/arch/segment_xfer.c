/* SPDX-License-Identifier: MIT */
/*
 * segment_xfer.c - control that crosses segments and rings.
 *
 * 1. Purpose. Far jumps, calls and returns, and the delivery of interrupts
 *    and exceptions through the IDT: which code segment may be entered from
 *    where, on which stack, and what is pushed.
 *
 * 2. Structures. struct plan: everything that a transfer will change, filled
 *    while checks run and committed at the end, so that a refused transfer
 *    changes nothing (SEGC-3). struct seg_xfer tells the caller what to push:
 *    memory other than tables is not this file's.
 *
 * 3. Invariants, besides those of segment_load.c.
 *    SEGX-1  After success CS.RPL = CPL, and SS.RPL = CPL if SS was set.
 *    SEGX-2  No transfer but a return goes to an outer ring, and no return to
 *            an inner one.
 *    SEGX-3  A stack for an inner ring comes from the TSS or, in long mode,
 *            from its interrupt stack table; never from the interrupted code.
 *
 * 4. Locking, life, failure: as in segment_load.c.
 *
 * 5. Complexity. At most three descriptors and one TSS slot are read.
 *
 * 6. Task switches. The checks of task gates and of TSS targets are here, the
 *    switch itself (a whole register set is saved and loaded) is in
 *    segment_task.c; struct seg_xfer goes from here to there.
 *
 * 7. Choices. A far call without a gate pushes values of the width that CS
 *    gives (16, 32; in 64-bit code 64, the form with a REX prefix).
 *
 * 8. Rejected. Writing the pushed values: they may fault in paging, which is
 *    another part's answer to give.
 *
 * References: Intel SDM vol. 3A, 5.8, 6.10 - 6.14, 7.2, 20.3; vol. 2, CALL,
 * JMP, RET, IRET, INT n; AMD64 APM vol. 2, 4.11, 8.7 - 8.9.
 */
#include <mmkit/errno.h>

#include "arch/segment_priv.h"
#include "base/assert.h"
#include "base/string.h"

struct plan {
	struct seg_found cs;
	u64 ip;
	u8 ring;
	bool new_ss;  /* ss and sp come from the TSS */
	bool null_ss; /* long mode: SS becomes null */
	struct seg_found ss;
	u64 sp;
	u16 ext;
};

#define SEG_SS_(e) SEG_BLAME(X86_TRAP_SS, e)

/* ---- pushes ------------------------------------------------------------- */

static void push(struct seg_xfer *x, u64 value)
{
	u64 mask = x->width == 8 ? ~0UL : BIT(8 * x->width) - 1;

	mm_verify(x->nr_pushes < ARRAY_SIZE(x->pushes));
	x->pushes[x->nr_pushes++] = value & mask;
}

/*
 * Room for N values of WIDTH below *SP in stack D, one after the other (a
 * 16-bit stack pointer wraps). *SP becomes the pointer after them.
 */
static bool room(const struct seg_desc *d, u32 width, u32 n, u64 *sp)
{
	u64 mask = d->db ? 0xffffffff : 0xffff;
	u64 at = *sp & mask;

	mm_assert(width == 2 || width == 4);
	for (u32 i = 0; i < n; i++) {
		at = (at - width) & mask;
		if (!seg_inside(d, at, width))
			return false;
	}
	/* A 16-bit stack pointer leaves the upper half as it was. */
	*sp = (*sp & ~mask & 0xffffffff) | at;
	return true;
}

/* The same on the stack as it stands, or the one planned. BLAME #SS. */
static int stack_room(struct seg_cpu *c, struct plan *p, struct seg_xfer *x,
		      bool wide)
{
	const struct seg_desc *d = p->new_ss ? &p->ss.d : &c->sr[SEG_SS].hid;
	u32 n = (u32)x->nr_pushes + x->params;
	u16 err = p->ext | (p->new_ss ? SEG_SEL(p->ss.sel) : 0);

	if (wide) {
		u64 top = p->sp - (u64)n * x->width;
		bool ok = seg_canonical(c, p->sp) && seg_canonical(c, top);

		if (seg_fails(c, SEG_RULE_STACK_CANONICAL, ok, SEG_SS_(p->ext)))
			return -EFAULT;
		p->sp = top;
		return 0;
	}
	return seg_fails(c, SEG_RULE_STACK_ROOM, room(d, x->width, n, &p->sp),
			 SEG_SS_(err))
		       ? -EFAULT
		       : 0;
}

static void begin(const struct seg_cpu *c, struct plan *p, struct seg_xfer *x)
{
	mm_assert(c->cpl <= 3);
	*p = (struct plan){.sp = c->sp, .ring = c->cpl};
	*x = (struct seg_xfer){.old_cs = c->sr[SEG_CS].sel,
			       .old_ss = c->sr[SEG_SS].sel,
			       .old_ip = c->ip,
			       .old_sp = c->sp};
}

/* Everything was allowed: make it so. */
static int commit(struct seg_cpu *c, struct plan *p)
{
	u16 sel = SEG_SEL(p->cs.sel) | p->ring;

	if (p->new_ss && seg_mark(c, &p->ss, SEG_T_ACCESSED))
		return -EFAULT;
	if (seg_mark(c, &p->cs, SEG_T_ACCESSED))
		return -EFAULT;
	c->cpl = p->ring;
	seg_take(c, SEG_CS, sel, &p->cs);
	if (p->new_ss)
		seg_take(c, SEG_SS, p->ss.sel, &p->ss);
	if (p->null_ss)
		seg_take_null(c, SEG_SS, p->ring);
	c->sp = p->sp;
	c->ip = p->ip;
	mm_assert(seg_sel_rpl(c->sr[SEG_CS].sel) == c->cpl);
	return 0;
}

/* ---- the inner ring's stack --------------------------------------------- */

/* Where in the TSS the stack of RING is, and the bytes that it takes. */
static u32 tss_slot(const struct seg_desc *tss, u8 ring, u32 *bytes)
{
	mm_assert(ring < 3);
	if (tss->kind == SEG_KIND_TSS16) {
		*bytes = 4;
		return 2 + ring * 4u;
	}
	*bytes = tss->kind == SEG_KIND_TSS32 ? 6 : 8;
	return 4 + ring * 8u;
}

/* Read [AT, AT + LEN) of the TSS to TO (zeroed, 8 bytes). #TS if outside. */
static int tss_read(struct seg_cpu *c, u32 at, u32 len, u16 ext, u64 *to)
{
	u32 bad = SEG_TS(SEG_SEL(c->tr.sel) | ext);
	u64 addr = c->tr.hid.base + at;

	*to = 0;
	if (seg_fails(c, SEG_RULE_TSS_USABLE, c->tr.usable, bad) ||
	    seg_fails(c, SEG_RULE_TSS_LIMIT, at + len - 1 <= c->tr.hid.limit,
		      bad))
		return -EFAULT;
	if (c->trace)
		c->trace->now.addr = addr;
	return seg_mem_read(c, addr, to, len);
}

static void note_stack(struct seg_cpu *c, u16 ss, u64 sp)
{
	if (c->trace) {
		c->trace->now.sel = ss;
		c->trace->now.value = sp;
	}
	seg_tell(c, SEG_STEP_STACK);
}

/* Legacy modes: SS:SP of ring p->ring, with every check of SS. */
static int inner_stack(struct seg_cpu *c, struct plan *p)
{
	u32 bytes, at = tss_slot(&c->tr.hid, p->ring, &bytes), bad;
	u64 slot;
	u16 ss;

	if (tss_read(c, at, bytes, p->ext, &slot))
		return -EFAULT;
	p->sp = bytes == 4 ? slot & 0xffff : slot & 0xffffffff;
	ss = (u16)(bytes == 4 ? slot >> 16 : slot >> 32);
	note_stack(c, ss, p->sp);
	bad = SEG_TS(SEG_SEL(ss) | p->ext);
	if (seg_fails(c, SEG_RULE_NOT_NULL, !seg_sel_null(ss), bad) ||
	    seg_find(c, ss, bad, &p->ss) ||
	    seg_stack_checks(c, &p->ss, p->ring, X86_TRAP_TS, p->ext))
		return -EFAULT;
	p->new_ss = true;
	return 0;
}

/* Long mode: RSP of the ring, or of interrupt stack IST; SS will be null. */
static int long_stack(struct seg_cpu *c, struct plan *p, u8 ist)
{
	u32 at = ist ? 36 + (ist - 1) * 8u : 4 + p->ring * 8u;

	mm_assert(ist <= 7);
	if (tss_read(c, at, 8, p->ext, &p->sp))
		return -EFAULT;
	p->null_ss = p->ring < c->cpl;
	note_stack(c, p->null_ss ? p->ring : c->sr[SEG_SS].sel, p->sp);
	return 0;
}

/* ---- far jump and call: code and gates ---------------------------------- */

/* Which code may be entered without a gate. */
static int direct_checks(struct seg_cpu *c, const struct seg_found *f)
{
	u32 gp = SEG_GP(SEG_SEL(f->sel));
	bool bad;

	if (c->lma &&
	    seg_fails(c, SEG_RULE_L_AND_D, !(f->d.lmode && f->d.db), gp))
		return -EFAULT;
	if (seg_conforming(&f->d))
		bad = seg_fails(c, SEG_RULE_CONFORMING_DPL, f->d.dpl <= c->cpl,
				gp);
	else
		bad = seg_fails(c, SEG_RULE_CODE_RPL,
				seg_sel_rpl(f->sel) <= c->cpl, gp) ||
		      seg_fails(c, SEG_RULE_CODE_DPL, f->d.dpl == c->cpl, gp);
	if (bad || seg_fails(c, SEG_RULE_PRESENT, f->d.present,
			     SEG_NP(SEG_SEL(f->sel))))
		return -EFAULT;
	return 0;
}

static u8 far_width(const struct seg_cpu *c)
{
	if (seg_64bit(c))
		return 8;
	return c->sr[SEG_CS].hid.db ? 4 : 2;
}

static int direct(struct seg_cpu *c, enum seg_transfer how, struct plan *p,
		  struct seg_xfer *x)
{
	bool wide = seg_64bit(c);

	if (direct_checks(c, &p->cs))
		return -EFAULT;
	if (how == SEG_CALL) {
		x->width = far_width(c);
		push(x, x->old_cs);
		push(x, x->old_ip);
		if (stack_room(c, p, x, wide))
			return -EFAULT;
	}
	if (seg_ip_checks(c, &p->cs.d, p->ip, 0))
		return -EFAULT;
	return commit(c, p);
}

/* The gate itself, for calls and jumps: call gates, task gates, TSS. */
static int gate_checks(struct seg_cpu *c, const struct seg_found *g)
{
	bool open = g->d.dpl >= max(c->cpl, seg_sel_rpl(g->sel));

	if (seg_fails(c, SEG_RULE_GATE_DPL, open, SEG_GP(SEG_SEL(g->sel))) ||
	    seg_fails(c, SEG_RULE_PRESENT, g->d.present,
		      SEG_NP(SEG_SEL(g->sel))))
		return -EFAULT;
	return 0;
}

/* The code that a call, interrupt or trap gate leads to; EXT in its blame. */
static int gate_target(struct seg_cpu *c, u16 sel, struct plan *p)
{
	u16 err = SEG_SEL(sel) | p->ext;

	if (seg_fails(c, SEG_RULE_NOT_NULL, !seg_sel_null(sel),
		      SEG_GP(p->ext)) ||
	    seg_find(c, sel, SEG_GP(err), &p->cs) ||
	    seg_fails(c, SEG_RULE_CODE, p->cs.d.kind == SEG_KIND_CODE,
		      SEG_GP(err)) ||
	    seg_fails(c, SEG_RULE_TARGET_DPL, p->cs.d.dpl <= c->cpl,
		      SEG_GP(err)))
		return -EFAULT;
	if (c->lma && seg_fails(c, SEG_RULE_CODE64,
				p->cs.d.lmode && !p->cs.d.db, SEG_GP(err)))
		return -EFAULT;
	return 0;
}

static u8 gate_width(enum seg_kind kind)
{
	switch (kind) {
	case SEG_KIND_CALL16:
	case SEG_KIND_INTR16:
	case SEG_KIND_TRAP16:
		return 2;
	case SEG_KIND_CALL64:
	case SEG_KIND_INTR64:
	case SEG_KIND_TRAP64:
		return 8;
	default:
		return 4;
	}
}

/* A call to an inner ring gets that ring's stack, and the parameters. */
static int gate_stack(struct seg_cpu *c, struct plan *p, struct seg_xfer *x,
		      const struct seg_desc *gate)
{
	p->ring = p->cs.d.dpl;
	if (c->lma ? long_stack(c, p, 0) : inner_stack(c, p))
		return -EFAULT;
	x->stack_switch = true;
	x->params = gate->params;
	push(x, x->old_ss);
	push(x, x->old_sp);
	return 0;
}

static int call_gate(struct seg_cpu *c, enum seg_transfer how, struct plan *p,
		     struct seg_xfer *x)
{
	struct seg_desc gate = p->cs.d;
	u16 sel = gate.target;

	if (gate_checks(c, &p->cs) || gate_target(c, sel, p))
		return -EFAULT;
	/* A jump never changes the ring. */
	if (how == SEG_JUMP && !seg_conforming(&p->cs.d) &&
	    seg_fails(c, SEG_RULE_CODE_DPL, p->cs.d.dpl == c->cpl,
		      SEG_GP(SEG_SEL(sel))))
		return -EFAULT;
	if (seg_fails(c, SEG_RULE_PRESENT, p->cs.d.present,
		      SEG_NP(SEG_SEL(sel))))
		return -EFAULT;
	x->through_gate = true;
	x->width = gate_width(gate.kind);
	p->ip = gate.offset;
	if (how == SEG_CALL) {
		if (!seg_conforming(&p->cs.d) && p->cs.d.dpl < c->cpl &&
		    gate_stack(c, p, x, &gate))
			return -EFAULT;
		push(x, x->old_cs);
		push(x, x->old_ip);
		if (stack_room(c, p, x, c->lma))
			return -EFAULT;
	}
	if (seg_ip_checks(c, &p->cs.d, p->ip, 0))
		return -EFAULT;
	return commit(c, p);
}

/* A TSS that a task gate or a far transfer names. */
static int task_target(struct seg_cpu *c, u16 sel, struct seg_xfer *x)
{
	u16 err = SEG_SEL(sel) | x->ext;
	struct seg_found f;

	mm_assert(!c->lma);
	if (seg_fails(c, SEG_RULE_IN_GDT, !seg_sel_ldt(sel), SEG_GP(err)) ||
	    seg_find(c, sel, SEG_GP(err), &f) ||
	    seg_fails(c, SEG_RULE_TSS_KIND, seg_is_tss(&f.d), SEG_GP(err)) ||
	    seg_fails(c, SEG_RULE_TSS_AVAILABLE, !seg_busy(&f.d),
		      SEG_GP(err)) ||
	    seg_fails(c, SEG_RULE_PRESENT, f.d.present, SEG_NP(err)))
		return -EFAULT;
	x->task_switch = true;
	x->task_sel = sel;
	return 0;
}

static int far_task(struct seg_cpu *c, enum seg_transfer how, struct plan *p,
		    struct seg_xfer *x)
{
	u16 sel = p->cs.sel;

	x->how = how == SEG_CALL ? SEG_TASK_CALL : SEG_TASK_JUMP;
	if (p->cs.d.kind == SEG_KIND_TASK) {
		if (gate_checks(c, &p->cs))
			return -EFAULT;
		x->through_gate = true;
		return task_target(c, p->cs.d.target, x);
	}
	if (seg_fails(c, SEG_RULE_GATE_DPL,
		      p->cs.d.dpl >= max(c->cpl, seg_sel_rpl(sel)),
		      SEG_GP(SEG_SEL(sel))))
		return -EFAULT;
	return task_target(c, sel, x);
}

/* Real and virtual-8086 mode: base from the selector, limit as it is. */
static int far_real(struct seg_cpu *c, enum seg_transfer how, u16 sel,
		    struct plan *p, struct seg_xfer *x)
{
	if (how == SEG_CALL) {
		x->width = 2;
		push(x, x->old_cs);
		push(x, x->old_ip);
		if (stack_room(c, p, x, false))
			return -EFAULT;
	}
	if (seg_ip_checks(c, &c->sr[SEG_CS].hid, p->ip, 0))
		return -EFAULT;
	seg_take_real(c, SEG_CS, sel);
	c->ip = p->ip;
	c->sp = p->sp;
	return 0;
}

int seg_far(struct seg_cpu *c, enum seg_transfer how, u16 sel, u64 ip,
	    struct seg_xfer *x)
{
	const struct seg_desc *d;
	struct plan p;
	bool ok;

	begin(c, &p, x);
	p.ip = ip;
	if (!seg_protected(c))
		return far_real(c, how, sel, &p, x);
	if (seg_fails(c, SEG_RULE_NOT_NULL, !seg_sel_null(sel), SEG_GP(0)) ||
	    seg_find(c, sel, SEG_GP(SEG_SEL(sel)), &p.cs))
		return -EFAULT;
	d = &p.cs.d;
	ok = d->kind == SEG_KIND_CODE || seg_is_call_gate(d) ||
	     (!c->lma && (d->kind == SEG_KIND_TASK || seg_is_tss(d)));
	if (seg_fails(c, SEG_RULE_CODE_OR_GATE, ok, SEG_GP(SEG_SEL(sel))))
		return -EFAULT;
	if (d->kind == SEG_KIND_CODE)
		return direct(c, how, &p, x);
	if (seg_is_call_gate(d))
		return call_gate(c, how, &p, x);
	return far_task(c, how, &p, x);
}

/* ---- far returns -------------------------------------------------------- */

/* The code segment that a return names. */
static int return_code(struct seg_cpu *c, u16 sel, struct seg_found *f)
{
	u32 gp = SEG_GP(SEG_SEL(sel));
	u8 rpl = seg_sel_rpl(sel);
	bool bad;

	if (seg_fails(c, SEG_RULE_NOT_NULL, !seg_sel_null(sel), SEG_GP(0)) ||
	    seg_find(c, sel, gp, f) ||
	    seg_fails(c, SEG_RULE_CODE, f->d.kind == SEG_KIND_CODE, gp) ||
	    seg_fails(c, SEG_RULE_RETURN_RPL, rpl >= c->cpl, gp))
		return -EFAULT;
	if (c->lma &&
	    seg_fails(c, SEG_RULE_L_AND_D, !(f->d.lmode && f->d.db), gp))
		return -EFAULT;
	if (seg_conforming(&f->d))
		bad = seg_fails(c, SEG_RULE_RETURN_CONFORMING, f->d.dpl <= rpl,
				gp);
	else
		bad = seg_fails(c, SEG_RULE_RETURN_DPL, f->d.dpl == rpl, gp);
	if (bad ||
	    seg_fails(c, SEG_RULE_PRESENT, f->d.present, SEG_NP(SEG_SEL(sel))))
		return -EFAULT;
	return 0;
}

/* The stack that a return names, for p->ring. */
static int return_stack(struct seg_cpu *c, u16 sel, struct plan *p)
{
	if (seg_sel_null(sel)) {
		bool ok = c->lma && p->cs.d.lmode && p->ring < 3 &&
			  seg_sel_rpl(sel) == p->ring;

		p->null_ss = true;
		return seg_fails(c, SEG_RULE_NULL_STACK, ok, SEG_GP(0))
			       ? -EFAULT
			       : 0;
	}
	if (seg_find(c, sel, SEG_GP(SEG_SEL(sel)), &p->ss) ||
	    seg_stack_checks(c, &p->ss, p->ring, X86_TRAP_GP, 0))
		return -EFAULT;
	p->new_ss = true;
	return 0;
}

/* What the outer ring may not use is taken away from it. */
static void drop_inner_data(struct seg_cpu *c)
{
	static const u8 regs[] = {SEG_ES, SEG_FS, SEG_GS, SEG_DS};

	for (u32 i = 0; i < ARRAY_SIZE(regs); i++) {
		struct seg_reg *r = &c->sr[regs[i]];

		if (r->usable && !seg_conforming(&r->hid) &&
		    r->hid.dpl < c->cpl)
			seg_take_null(c, regs[i], 0);
	}
}

/* IRET: IOPL is ring 0's to change, IF that of the rings up to IOPL. */
static void return_flags(struct seg_cpu *c, u64 flags, u8 old_cpl)
{
	u8 iopl = c->flags >> 12 & 3;
	u64 keep = X86_FLAGS_VM;

	if (old_cpl > 0)
		keep |= X86_FLAGS_IOPL;
	if (old_cpl > iopl)
		keep |= X86_FLAGS_IF;
	c->flags = (flags & ~keep) | (c->flags & keep) | BIT(1);
}

static int return_vm86(struct seg_cpu *c, const struct seg_return *r)
{
	static const u8 regs[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	mm_assert(c->cpl == 0 && !c->lma);
	if (seg_fails(c, SEG_RULE_IP_LIMIT, r->ip <= 0xffff, SEG_GP(0)))
		return -EFAULT;
	c->flags = r->flags | BIT(1);
	c->cpl = 3;
	seg_take_real(c, SEG_CS, r->cs);
	seg_take_real(c, SEG_SS, r->ss);
	for (u32 i = 0; i < ARRAY_SIZE(regs); i++)
		seg_take_real(c, regs[i], r->vm_seg[i]);
	c->ip = r->ip;
	c->sp = r->sp;
	return 0;
}

static int return_real(struct seg_cpu *c, const struct seg_return *r)
{
	bool allowed =
		!seg_vm86(c) || (c->flags & X86_FLAGS_IOPL) == X86_FLAGS_IOPL;

	if (r->iret && seg_fails(c, SEG_RULE_VM86_IOPL, allowed, SEG_GP(0)))
		return -EFAULT;
	if (seg_ip_checks(c, &c->sr[SEG_CS].hid, r->ip, 0))
		return -EFAULT;
	if (r->iret)
		return_flags(c, r->flags, seg_vm86(c) ? 3 : 0);
	seg_take_real(c, SEG_CS, r->cs);
	c->ip = r->ip;
	return 0;
}

static int return_protected(struct seg_cpu *c, const struct seg_return *r)
{
	u8 old_cpl = c->cpl;
	struct plan p = {.ip = r->ip, .sp = c->sp};
	bool pops_stack;

	if (return_code(c, r->cs, &p.cs))
		return -EFAULT;
	p.ring = seg_sel_rpl(r->cs);
	pops_stack = p.ring > c->cpl || (r->iret && seg_64bit(c));
	if (pops_stack) {
		p.sp = r->sp;
		if (return_stack(c, r->ss, &p))
			return -EFAULT;
	}
	if (seg_ip_checks(c, &p.cs.d, p.ip, 0) || commit(c, &p))
		return -EFAULT;
	if (r->iret)
		return_flags(c, r->flags, old_cpl);
	if (c->cpl > old_cpl)
		drop_inner_data(c);
	return 0;
}

int seg_far_return(struct seg_cpu *c, const struct seg_return *r)
{
	mm_assert(c->cpl <= 3);
	if (!seg_protected(c))
		return return_real(c, r);
	if (r->iret && (c->flags & X86_FLAGS_NT)) {
		if (seg_fails(c, SEG_RULE_NESTED_LONG, !c->lma, SEG_GP(0)))
			return -EFAULT;
		return -EOPNOTSUPP;
	}
	if (r->iret && !c->lma && c->cpl == 0 && (r->flags & X86_FLAGS_VM))
		return return_vm86(c, r);
	return return_protected(c, r);
}

/* ---- events ------------------------------------------------------------- */

static bool event_software(const struct seg_event *e)
{
	return e->kind == SEG_EVENT_INT || e->kind == SEG_EVENT_INT3;
}

static void note_gate(struct seg_cpu *c, const struct seg_found *g, u8 vector)
{
	struct seg_trace *t = c->trace;

	if (!t)
		return;
	t->now.table = SEG_TABLE_IDT;
	t->now.sel = g->d.target;
	t->now.index = vector;
	t->now.slots = c->lma ? 2 : 1;
	t->now.addr = g->addr;
	t->now.raw[0] = g->raw[0];
	t->now.raw[1] = g->raw[1];
	t->now.desc = g->d;
	seg_tell(c, SEG_STEP_DESCRIPTOR);
}

/* Read the gate of E's vector, with the checks of the gate itself. */
static int idt_gate(struct seg_cpu *c, const struct seg_event *e,
		    struct seg_found *g)
{
	u16 ext = event_software(e) ? 0 : SEG_ERR_EXT;
	u16 err = (u16)(e->vector << 3 | SEG_ERR_IDT | ext);
	u32 bytes = c->lma ? 16 : 8, at = e->vector * bytes;
	bool ok;

	*g = (struct seg_found){.addr = c->idtr.base + at};
	if (seg_fails(c, SEG_RULE_IDT_LIMIT, at + bytes - 1 <= c->idtr.limit,
		      SEG_GP(err)) ||
	    seg_mem_read(c, g->addr, g->raw, bytes))
		return -EFAULT;
	(void)seg_decode(g->raw, c->lma, &g->d);
	note_gate(c, g, e->vector);
	ok = seg_may_stand(g->d.kind, SEG_TABLE_IDT, c->lma) &&
	     g->d.kind != SEG_KIND_NULL;
	if (seg_fails(c, SEG_RULE_IDT_KIND, ok, SEG_GP(err)))
		return -EFAULT;
	if (event_software(e) &&
	    seg_fails(c, SEG_RULE_SOFT_DPL, g->d.dpl >= c->cpl, SEG_GP(err)))
		return -EFAULT;
	return seg_fails(c, SEG_RULE_PRESENT, g->d.present, SEG_NP(err))
		       ? -EFAULT
		       : 0;
}

/* What is pushed, in order. */
static void event_frame(const struct seg_cpu *c, const struct seg_event *e,
			struct seg_xfer *x)
{
	static const u8 vm_regs[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};

	for (u32 i = 0; i < ARRAY_SIZE(vm_regs) && seg_vm86(c); i++)
		push(x, c->sr[vm_regs[i]].sel);
	if (x->stack_switch || c->lma) {
		push(x, x->old_ss);
		push(x, x->old_sp);
	}
	push(x, c->flags);
	push(x, x->old_cs);
	push(x, x->old_ip);
	if (e->has_error)
		push(x, e->error);
}

/* The stack for the handler: unchanged, the ring's, or one of the IST. */
static int event_stack(struct seg_cpu *c, struct plan *p, u8 ist,
		       struct seg_xfer *x)
{
	bool inner = !seg_conforming(&p->cs.d) && p->cs.d.dpl < c->cpl;

	mm_assert_implies(ist != 0, c->lma);
	if (inner)
		p->ring = p->cs.d.dpl;
	x->stack_switch = inner || ist;
	if (c->lma) {
		if (x->stack_switch && long_stack(c, p, ist))
			return -EFAULT;
		p->sp &= ~0xfUL;
		return 0;
	}
	return inner ? inner_stack(c, p) : 0;
}

static void event_commit_flags(struct seg_cpu *c, bool clear_if)
{
	static const u8 regs[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
	bool vm = seg_vm86(c);

	c->flags &= ~(X86_FLAGS_TF | X86_FLAGS_NT | X86_FLAGS_RF |
		      X86_FLAGS_VM | (clear_if ? X86_FLAGS_IF : 0));
	for (u32 i = 0; i < ARRAY_SIZE(regs) && vm; i++)
		seg_take_null(c, regs[i], 0);
}

static int event_gate(struct seg_cpu *c, const struct seg_event *e,
		      const struct seg_desc *gate, struct seg_xfer *x)
{
	struct plan p;
	bool vm_ok;
	u16 err;

	begin(c, &p, x);
	p.ext = event_software(e) ? 0 : SEG_ERR_EXT;
	err = SEG_SEL(gate->target) | p.ext;
	if (gate_target(c, gate->target, &p) ||
	    seg_fails(c, SEG_RULE_PRESENT, p.cs.d.present, SEG_NP(err)))
		return -EFAULT;
	vm_ok = !seg_vm86(c) || (!seg_conforming(&p.cs.d) && p.cs.d.dpl == 0);
	if (seg_fails(c, SEG_RULE_VM86_DPL, vm_ok, SEG_GP(err)))
		return -EFAULT;
	x->through_gate = true;
	x->clear_if = seg_is_intr_gate(gate);
	x->width = gate_width(gate->kind);
	p.ip = gate->offset;
	if (event_stack(c, &p, gate->ist, x))
		return -EFAULT;
	event_frame(c, e, x);
	if (stack_room(c, &p, x, c->lma) ||
	    seg_ip_checks(c, &p.cs.d, p.ip, p.ext) || commit(c, &p))
		return -EFAULT;
	event_commit_flags(c, x->clear_if);
	return 0;
}

/* Real mode: four bytes a vector, no gates, no error codes. */
static int event_real(struct seg_cpu *c, const struct seg_event *e,
		      struct seg_xfer *x)
{
	u32 at = e->vector * 4u;
	struct plan p;
	u16 to[2];

	begin(c, &p, x);
	if (seg_fails(c, SEG_RULE_IDT_LIMIT, at + 3 <= c->idtr.limit,
		      SEG_GP(0)) ||
	    seg_mem_read(c, c->idtr.base + at, to, sizeof(to)))
		return -EFAULT;
	x->width = 2;
	x->clear_if = true;
	push(x, c->flags);
	push(x, x->old_cs);
	push(x, x->old_ip);
	if (stack_room(c, &p, x, false) ||
	    seg_ip_checks(c, &c->sr[SEG_CS].hid, to[0], 0))
		return -EFAULT;
	seg_take_real(c, SEG_CS, to[1]);
	c->ip = to[0];
	c->sp = p.sp;
	event_commit_flags(c, true);
	return 0;
}

int seg_deliver(struct seg_cpu *c, const struct seg_event *e,
		struct seg_xfer *x)
{
	bool iopl3 = (c->flags & X86_FLAGS_IOPL) == X86_FLAGS_IOPL;
	struct seg_found g;

	mm_assert_implies(e->has_error, e->kind == SEG_EVENT_EXCEPTION);
	if (!c->pe)
		return event_real(c, e, x);
	if (seg_vm86(c) && e->kind == SEG_EVENT_INT &&
	    seg_fails(c, SEG_RULE_VM86_IOPL, iopl3, SEG_GP(0)))
		return -EFAULT;
	if (idt_gate(c, e, &g))
		return -EFAULT;
	if (g.d.kind != SEG_KIND_TASK)
		return event_gate(c, e, &g.d, x);
	*x = (struct seg_xfer){.through_gate = true,
			       .how = SEG_TASK_EVENT,
			       .ext = event_software(e) ? 0 : SEG_ERR_EXT,
			       .has_error = e->has_error,
			       .error = e->error};
	return task_target(c, g.d.target, x);
}
