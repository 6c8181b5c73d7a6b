/* SPDX-License-Identifier: MIT */
/*
 * segment_task.c - task switches: a whole register set goes into one task
 * state segment and comes out of another.
 *
 * 1. Purpose. What the CPU of x86-32 does when a far jump, a far call or an
 *    event reaches a TSS or a task gate, and when IRET finds NT set. The
 *    target was found and checked by segment_xfer.c (struct seg_xfer); here
 *    is the rest, for TSSs of 32 and 16 bits.
 *
 * 2. Structures. struct seg_xfer says how and to where. struct seg_task_regs
 *    is what a switch exchanges beside struct seg_cpu. struct image: one task
 *    as it lies in a TSS of either width.
 *
 * 3. The order, and what a failure leaves.
 *      size of both TSSs, memory     the CPU is the old task's, unchanged
 *      old task saved, link written  (its TSS, the link: may have been)
 *      busy bits                     new one set, old one cleared
 *      ---- from here on an exception is the new task's: x->switched
 *      TR, registers, LDTR, CS, SS, ES, DS, FS, GS, IP, error code, #DB
 *
 * 4. Invariants, besides those of segment_load.c.
 *    SEGT-1  The busy TSSs are the one in TR and those that its links lead
 *            to: a jump and a return clear the old one's bit, a call and an
 *            event leave it and set NT and the link.
 *    SEGT-2  A segment register of the new task that was not loaded yet, or
 *            whose load failed, shows its selector and cannot be used.
 *
 * 5. Locking, life: as in segment_load.c.
 *
 * 6. Complexity. At most two TSSs, eight descriptors.
 *
 * 7. Choices where the manuals leave it open. Segments are qualified in the
 *    order above. An old TSS that is too small for the task to be saved in is
 *    #TS with its selector. A TSS of 16 bits leaves ones in the upper halves
 *    of the general registers, as CPUs do; FS and GS become null.
 *
 * 8. Rejected. Saving CR3 and LDTR: CPUs do not, the TSS's own values stay.
 *    The debug registers (a switch clears the local enable bits of DR7): this
 *    CPU has none.
 *
 * References: Intel SDM vol. 3A, 7.2 - 7.6, table 6-6; vol. 2, JMP, CALL,
 * IRET, INT n; AMD64 APM vol. 2, 12.3.
 */
#include <mmkit/errno.h>

#include "arch/segment_linux.h"
#include "arch/segment_priv.h"
#include "base/assert.h"
#include "base/string.h"

/* The TSS of 16 bits (SDM 7.6). */
struct tss16 {
	u16 back_link;
	u16 stacks[6];
	u16 ip, flags, gpr[8], es, cs, ss, ds, ldt;
} __attribute__((packed));

MM_STATIC_ASSERT(sizeof(struct tss16) == 44, "the CPU's layout");
MM_STATIC_ASSERT(offsetof(struct tss16, ip) == 14, "the CPU's layout");

#define SAVED32 offsetof(struct x86_tss32, ip) /* up to the LDT's selector */
#define SAVED16 offsetof(struct tss16, ip)

/* A task as a TSS holds it. */
struct image {
	u32 cr3, ip, flags, gpr[SEG_NR_GPRS];
	u16 sel[SEG_NR_REGS], ldt, trap;
};

static bool is_wide(const struct seg_desc *tss)
{
	return tss->kind == SEG_KIND_TSS32;
}

/* Bytes that a switch reads and writes. */
static u32 tss_bytes(const struct seg_desc *tss)
{
	return is_wide(tss) ? sizeof(struct x86_tss32) : sizeof(struct tss16);
}

/* ---- saving ------------------------------------------------------------- */

static void image_take(const struct seg_cpu *c, const struct seg_task_regs *r,
		       const struct seg_xfer *x, struct image *m)
{
	*m = (struct image){.ip = (u32)c->ip, .flags = (u32)c->flags};
	for (u32 i = 0; i < SEG_NR_GPRS; i++)
		m->gpr[i] = r->gpr[i];
	m->gpr[SEG_GPR_SP] = (u32)c->sp;
	for (u32 i = 0; i < SEG_NR_REGS; i++)
		m->sel[i] = c->sr[i].sel;
	if (x->how == SEG_TASK_RETURN)
		m->flags &= ~(u32)X86_FLAGS_NT;
}

/* The fields from IP to the segments; the others are never written. */
static int save32(struct seg_cpu *c, const struct image *m)
{
	struct x86_tss32 t = {0};

	t.ip = m->ip;
	t.flags = m->flags;
	mm_memcpy((u8 *)&t + offsetof(struct x86_tss32, ax), m->gpr,
		  sizeof(m->gpr));
	t.es = m->sel[SEG_ES];
	t.cs = m->sel[SEG_CS];
	t.ss = m->sel[SEG_SS];
	t.ds = m->sel[SEG_DS];
	t.fs = m->sel[SEG_FS];
	t.gs = m->sel[SEG_GS];
	return seg_mem_write(c, c->tr.hid.base + SAVED32, (u8 *)&t + SAVED32,
			     offsetof(struct x86_tss32, ldt) - SAVED32);
}

static int save16(struct seg_cpu *c, const struct image *m)
{
	struct tss16 t = {.ip = (u16)m->ip,
			  .flags = (u16)m->flags,
			  .es = m->sel[SEG_ES],
			  .cs = m->sel[SEG_CS],
			  .ss = m->sel[SEG_SS],
			  .ds = m->sel[SEG_DS]};

	for (u32 i = 0; i < SEG_NR_GPRS; i++)
		t.gpr[i] = (u16)m->gpr[i];
	return seg_mem_write(c, c->tr.hid.base + SAVED16, (u8 *)&t + SAVED16,
			     offsetof(struct tss16, ldt) - SAVED16);
}

/* ---- loading ------------------------------------------------------------ */

static int read32(struct seg_cpu *c, u64 base, struct image *m)
{
	struct x86_tss32 t;

	if (seg_mem_read(c, base, &t, sizeof(t)))
		return -EFAULT;
	*m = (struct image){
		.cr3 = t.cr3,
		.ip = t.ip,
		.flags = t.flags,
		.sel = {t.es, t.cs, t.ss, t.ds, t.fs, t.gs},
		.ldt = t.ldt,
		.trap = t.trap & 1,
	};
	mm_memcpy(m->gpr, (u8 *)&t + offsetof(struct x86_tss32, ax),
		  sizeof(m->gpr));
	return 0;
}

static int read16(struct seg_cpu *c, u64 base, struct image *m)
{
	struct tss16 t;

	if (seg_mem_read(c, base, &t, sizeof(t)))
		return -EFAULT;
	*m = (struct image){.ip = t.ip,
			    .flags = t.flags,
			    .sel = {t.es, t.cs, t.ss, t.ds, 0, 0},
			    .ldt = t.ldt};
	for (u32 i = 0; i < SEG_NR_GPRS; i++)
		m->gpr[i] = 0xffff0000 | t.gpr[i];
	return 0;
}

static int image_read(struct seg_cpu *c, const struct seg_found *to,
		      struct image *m)
{
	return is_wide(&to->d) ? read32(c, to->d.base, m)
			       : read16(c, to->d.base, m);
}

/* ---- up to the point of no return --------------------------------------- */

/* Both TSSs hold a whole task. The new one's is the later blame of the two. */
static int room_checks(struct seg_cpu *c, const struct seg_xfer *x,
		       const struct seg_found *to)
{
	const struct seg_desc *old = &c->tr.hid;
	bool usable = c->tr.usable && seg_is_tss(old);

	if (seg_fails(c, SEG_RULE_TASK_ROOM,
		      to->d.limit >= tss_bytes(&to->d) - 1,
		      SEG_TS(SEG_SEL(to->sel) | x->ext)))
		return -EFAULT;
	return seg_fails(c, SEG_RULE_TASK_ROOM,
			 usable && old->limit >= tss_bytes(old) - 1,
			 SEG_TS(SEG_SEL(c->tr.sel) | x->ext))
		       ? -EFAULT
		       : 0;
}

static bool nests(const struct seg_xfer *x)
{
	return x->how == SEG_TASK_CALL || x->how == SEG_TASK_EVENT;
}

/* The bits in the GDT; TO is the new task's. */
static int busy_bits(struct seg_cpu *c, const struct seg_xfer *x,
		     struct seg_found *to)
{
	struct seg_found old;

	if (x->how != SEG_TASK_RETURN && seg_mark(c, to, SEG_T_BUSY))
		return -EFAULT;
	if (nests(x))
		return 0;
	if (seg_find(c, c->tr.sel, SEG_TS(SEG_SEL(c->tr.sel) | x->ext), &old))
		return -EFAULT;
	return seg_unmark(c, &old, SEG_T_BUSY);
}

static int leave(struct seg_cpu *c, const struct seg_task_regs *r,
		 const struct seg_xfer *x, struct seg_found *to,
		 struct image *next)
{
	struct image now;
	u16 link = c->tr.sel;

	if (room_checks(c, x, to))
		return -EFAULT;
	image_take(c, r, x, &now);
	if ((is_wide(&c->tr.hid) ? save32(c, &now) : save16(c, &now)) ||
	    image_read(c, to, next))
		return -EFAULT;
	if (nests(x) && seg_mem_write(c, to->d.base, &link, sizeof(link)))
		return -EFAULT;
	return busy_bits(c, x, to);
}

/* ---- the new task ------------------------------------------------------- */

/* Selectors are there at once; what they hide comes one by one (SEGT-2). */
static void take_registers(struct seg_cpu *c, struct seg_task_regs *r,
			   const struct seg_xfer *x, const struct image *m,
			   const struct seg_found *to)
{
	bool wide = is_wide(&to->d);

	c->tr = (struct seg_reg){to->sel, true, to->d};
	mm_assert_implies(x->how != SEG_TASK_RETURN, seg_busy(&to->d));
	for (u32 i = 0; i < SEG_NR_GPRS; i++)
		r->gpr[i] = m->gpr[i];
	if (wide && r->paging)
		r->cr3 = m->cr3;
	r->ts = true;
	c->ip = m->ip;
	c->sp = m->gpr[SEG_GPR_SP];
	c->flags = m->flags | BIT(1) | (nests(x) ? X86_FLAGS_NT : 0);
	c->ldtr = (struct seg_reg){.sel = m->ldt};
	for (u32 i = 0; i < SEG_NR_REGS; i++)
		c->sr[i] = (struct seg_reg){.sel = m->sel[i]};
	c->cpl = seg_vm86(c) ? 3 : seg_sel_rpl(m->sel[SEG_CS]);
}

static int task_ldt(struct seg_cpu *c, u16 ext)
{
	u16 sel = c->ldtr.sel;
	u32 bad = SEG_TS(SEG_SEL(sel) | ext);
	struct seg_found f;

	if (seg_sel_null(sel))
		return 0;
	if (seg_fails(c, SEG_RULE_IN_GDT, !seg_sel_ldt(sel), bad) ||
	    seg_find(c, sel, bad, &f) ||
	    seg_fails(c, SEG_RULE_LDT_KIND, f.d.kind == SEG_KIND_LDT, bad) ||
	    seg_fails(c, SEG_RULE_PRESENT, f.d.present, bad))
		return -EFAULT;
	c->ldtr = (struct seg_reg){sel, true, f.d};
	return 0;
}

static int task_code(struct seg_cpu *c, u16 ext)
{
	u16 sel = c->sr[SEG_CS].sel;
	u32 bad = SEG_TS(SEG_SEL(sel) | ext);
	struct seg_found f;
	bool broken;

	if (seg_fails(c, SEG_RULE_NOT_NULL, !seg_sel_null(sel), bad) ||
	    seg_find(c, sel, bad, &f) ||
	    seg_fails(c, SEG_RULE_CODE, f.d.kind == SEG_KIND_CODE, bad))
		return -EFAULT;
	if (seg_conforming(&f.d))
		broken = seg_fails(c, SEG_RULE_RETURN_CONFORMING,
				   f.d.dpl <= c->cpl, bad);
	else
		broken = seg_fails(c, SEG_RULE_RETURN_DPL, f.d.dpl == c->cpl,
				   bad);
	if (broken ||
	    seg_fails(c, SEG_RULE_PRESENT, f.d.present,
		      SEG_NP(SEG_SEL(sel) | ext)) ||
	    seg_mark(c, &f, SEG_T_ACCESSED))
		return -EFAULT;
	seg_take(c, SEG_CS, sel, &f);
	return 0;
}

static int task_stack(struct seg_cpu *c, u16 ext)
{
	u16 sel = c->sr[SEG_SS].sel;
	u32 bad = SEG_TS(SEG_SEL(sel) | ext);
	struct seg_found f;

	if (seg_fails(c, SEG_RULE_NOT_NULL, !seg_sel_null(sel), bad) ||
	    seg_find(c, sel, bad, &f) ||
	    seg_stack_checks(c, &f, c->cpl, X86_TRAP_TS, ext) ||
	    seg_mark(c, &f, SEG_T_ACCESSED))
		return -EFAULT;
	seg_take(c, SEG_SS, sel, &f);
	return 0;
}

static int task_data(struct seg_cpu *c, enum seg_id id, u16 ext)
{
	u16 sel = c->sr[id].sel;
	u32 bad = SEG_TS(SEG_SEL(sel) | ext);
	struct seg_found f;

	if (seg_sel_null(sel)) {
		seg_take_null(c, id, sel);
		return 0;
	}
	if (seg_find(c, sel, bad, &f) ||
	    seg_fails(c, SEG_RULE_READABLE, seg_readable(&f.d), bad) ||
	    seg_fails(c, SEG_RULE_DATA_DPL, seg_data_dpl_ok(c, &f), bad) ||
	    seg_fails(c, SEG_RULE_PRESENT, f.d.present,
		      SEG_NP(SEG_SEL(sel) | ext)) ||
	    seg_mark(c, &f, SEG_T_ACCESSED))
		return -EFAULT;
	seg_take(c, id, sel, &f);
	return 0;
}

static int task_segments(struct seg_cpu *c, u16 ext)
{
	static const u8 data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	if (task_ldt(c, ext))
		return -EFAULT;
	if (seg_vm86(c)) {
		for (u32 i = 0; i < SEG_NR_REGS; i++)
			seg_take_real(c, (enum seg_id)i, c->sr[i].sel);
		return 0;
	}
	if (task_code(c, ext) || task_stack(c, ext))
		return -EFAULT;
	for (u32 i = 0; i < ARRAY_SIZE(data); i++) {
		if (task_data(c, (enum seg_id)data[i], ext))
			return -EFAULT;
	}
	return 0;
}

/* An exception's error code goes to the new task's stack. */
static int push_error(struct seg_cpu *c, struct seg_xfer *x)
{
	const struct seg_desc *ss = &c->sr[SEG_SS].hid;
	u64 mask = ss->db ? 0xffffffff : 0xffff, at;
	bool ok;

	if (!x->has_error)
		return 0;
	x->width = is_wide(&c->tr.hid) ? 4 : 2;
	at = (c->sp - x->width) & mask;
	ok = seg_inside(ss, at, x->width);
	if (seg_fails(c, SEG_RULE_STACK_ROOM, ok,
		      SEG_BLAME(X86_TRAP_SS, x->ext)))
		return -EFAULT;
	c->sp = (c->sp & ~mask & 0xffffffff) | at;
	x->pushes[x->nr_pushes++] =
		x->width == 4 ? x->error : x->error & 0xffff;
	return 0;
}

int seg_task_switch(struct seg_cpu *c, struct seg_xfer *x,
		    struct seg_task_regs *r)
{
	struct seg_found to;
	struct image next = {.trap = 0};

	mm_verify(x->task_switch && !x->switched && c->pe && !c->lma);
	/* Found and checked by who filled X; nothing has changed since. */
	if (seg_find(c, x->task_sel, SEG_TS(SEG_SEL(x->task_sel) | x->ext),
		     &to) ||
	    leave(c, r, x, &to, &next))
		return -EFAULT;
	x->switched = true;
	x->debug_trap = next.trap;
	take_registers(c, r, x, &next, &to);
	if (task_segments(c, x->ext) || push_error(c, x) ||
	    seg_ip_checks(c, &c->sr[SEG_CS].hid, c->ip, x->ext))
		return -EFAULT;
	mm_assert(seg_vm86(c) || seg_sel_rpl(c->sr[SEG_CS].sel) == c->cpl);
	return 0;
}

/* ---- IRET of a task that was called ------------------------------------- */

int seg_task_return(struct seg_cpu *c, struct seg_xfer *x)
{
	struct seg_found f;
	u16 sel;
	u32 bad;

	mm_verify(seg_protected(c) && !c->lma && (c->flags & X86_FLAGS_NT));
	*x = (struct seg_xfer){.how = SEG_TASK_RETURN};
	if (seg_fails(c, SEG_RULE_TSS_USABLE, c->tr.usable,
		      SEG_TS(SEG_SEL(c->tr.sel))) ||
	    seg_fails(c, SEG_RULE_TSS_LIMIT, c->tr.hid.limit >= sizeof(sel) - 1,
		      SEG_TS(SEG_SEL(c->tr.sel))) ||
	    seg_mem_read(c, c->tr.hid.base, &sel, sizeof(sel)))
		return -EFAULT;
	bad = SEG_TS(SEG_SEL(sel));
	if (seg_fails(c, SEG_RULE_IN_GDT, !seg_sel_ldt(sel), bad) ||
	    seg_find(c, sel, bad, &f) ||
	    seg_fails(c, SEG_RULE_TSS_KIND, seg_is_tss(&f.d), bad) ||
	    seg_fails(c, SEG_RULE_TSS_BUSY, seg_busy(&f.d), bad) ||
	    seg_fails(c, SEG_RULE_PRESENT, f.d.present, SEG_NP(SEG_SEL(sel))))
		return -EFAULT;
	x->task_switch = true;
	x->task_sel = sel;
	return 0;
}
