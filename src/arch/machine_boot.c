/* SPDX-License-Identifier: MIT */
/*
 * machine_boot.c - from a machine file to a CPU in that state.
 *
 * 1. Purpose. What machine_desc.c has read becomes a struct seg_cpu and the
 *    memory that its tables lie in.
 *
 * 2. Structures. The file's tables are three windows of linear memory, its
 *    mem lines single cells; everything else cannot be read.
 *
 * 3. Invariants.
 *    MCB-1  Registers are loaded by the rules of segment_load.c and
 *          segment_xfer.c, as by a kernel that returns to where the file says;
 *          a state that no CPU can be in is refused.
 *    MCB-2  A refusal names the line of the register, the exception, and the
 *          rule that was broken.
 *
 * 4. Locking and life. None; the structures are the caller's.
 *
 * 5. Failure. The CPU is of no use then.
 *
 * 6. Complexity. A byte of a table: three comparisons; of other memory: a
 *    look at every cell.
 *
 * 7. Rejected. Setting hidden parts from the tables without asking: it makes
 *    states that explain nothing.
 */
#include <mmkit/errno.h>

#include "arch/machine_desc.h"
#include "arch/segment_linux.h"
#include "base/assert.h"
#include "base/seqbuf.h"

#define CR4_LA57 BIT(12)

/* ---- the machine as memory ---------------------------------------------- */

static u8 *table_bytes(struct machine_desc *m, u64 linear)
{
	const struct seg_window w[] = {
		{m->gdt_base, m->gdt_nr * 8, m->gdt},
		{m->ldt_base, m->ldt_nr * 8, m->ldt},
		{m->idt_base, m->idt_nr * 8, m->idt},
	};

	for (u32 i = 0; i < ARRAY_SIZE(w); i++) {
		if (linear - w[i].base < w[i].size)
			return (u8 *)w[i].bytes + (linear - w[i].base);
	}
	/* The last line that names a byte is the one that counts. */
	for (u32 i = m->nr_cells; i-- > 0;) {
		struct machine_cell *cell = &m->cell[i];

		if (linear - cell->addr < cell->size)
			return (u8 *)&cell->value + (linear - cell->addr);
	}
	return NULL;
}

static int machine_read(void *arg, u64 linear, void *to, size_t len)
{
	u8 *out = to;

	for (size_t i = 0; i < len; i++) {
		const u8 *from = table_bytes(arg, linear + i);

		if (!from)
			return -EFAULT;
		out[i] = *from;
	}
	return 0;
}

static int machine_write(void *arg, u64 linear, const void *from, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!table_bytes(arg, linear + i))
			return -EFAULT;
	}
	for (size_t i = 0; i < len; i++)
		*table_bytes(arg, linear + i) = ((const u8 *)from)[i];
	return 0;
}

/* ---- the machine's registers -------------------------------------------- */

static int refused(const struct seg_cpu *c, const struct machine_value *v,
		   const char *name, struct machine_error *err)
{
	const struct seg_fault *f = &c->fault;

	*err = (struct machine_error){.line = v->line};
	mm_snprintf(err->field, sizeof(err->field), "%s=0x%llx", name,
		    (unsigned long long)v->value);
	mm_snprintf(err->message, sizeof(err->message), "%s(0x%x): broken: %s",
		    seg_vector_name(f->vector), f->error,
		    seg_rule_text(f->rule));
	return -EINVAL;
}

/* LDTR: by selector, or straight where there are ldt lines alone. */
static int boot_system(struct machine_desc *m, struct seg_cpu *c,
		       struct machine_error *err)
{
	if (m->ldtr.line && seg_lldt(c, (u16)m->ldtr.value))
		return refused(c, &m->ldtr, "ldtr", err);
	if (!m->ldtr.line && m->ldt_nr) {
		c->ldtr.usable = true;
		c->ldtr.hid =
			seg_system(SEG_KIND_LDT, m->ldt_base, m->ldt_nr * 8);
	}
	if (m->tr.line && seg_ltr(c, (u16)m->tr.value))
		return refused(c, &m->tr, "tr", err);
	return 0;
}

/* CS and SS as a return from ring 0 would load them. */
static int boot_code(struct machine_desc *m, struct seg_cpu *c,
		     struct machine_error *err)
{
	const struct machine_value *cs = &m->sr[SEG_CS], *ss = &m->sr[SEG_SS];
	struct seg_return r = {.cs = (u16)cs->value,
			       .ss = (u16)ss->value,
			       .ip = m->ip.value,
			       .sp = m->sp.value};

	if (!cs->line)
		return 0;
	if (seg_far_return(c, &r)) {
		u16 blamed = c->fault.error & ~SEG_SEL_RPL;
		bool stack = ss->line && seg_sel_rpl(r.cs) > 0 &&
			     (c->fault.rule == SEG_RULE_NULL_STACK ||
			      (blamed == (r.ss & ~SEG_SEL_RPL) &&
			       blamed != (r.cs & ~SEG_SEL_RPL)));

		return stack ? refused(c, ss, "ss", err)
			     : refused(c, cs, "cs", err);
	}
	c->sp = m->sp.value;
	return 0;
}

static int boot_data(struct machine_desc *m, struct seg_cpu *c,
		     struct machine_error *err)
{
	for (u32 i = 0; i < SEG_NR_REGS; i++) {
		const struct machine_value *v = &m->sr[i];

		if (i == SEG_CS && seg_protected(c))
			continue;
		if (v->line && seg_load(c, i, (u16)v->value))
			return refused(c, v, seg_reg_name(i), err);
	}
	return 0;
}

static int boot_base(struct seg_cpu *c, enum seg_id id,
		     const struct machine_value *v, struct machine_error *err)
{
	u8 cpl = c->cpl;
	int bad;

	if (!v->line)
		return 0;
	if (!c->lma) {
		struct machine_line l = {.number = v->line, .err = err};

		return machine_fail(&l, 0,
				    "a base by register needs long "
				    "mode");
	}
	c->cpl = 0;
	bad = seg_set_base(c, id, v->value);
	c->cpl = cpl;
	return bad ? refused(c, v, id == SEG_FS ? "fsbase" : "gsbase", err) : 0;
}

/* Protected mode begins with nothing loaded. */
static void boot_protected(struct seg_cpu *c)
{
	c->pe = true;
	for (u32 i = 0; i < SEG_NR_REGS; i++) {
		if (i != SEG_CS)
			c->sr[i].usable = false;
	}
	mm_assert(c->cpl == 0);
}

int machine_boot(struct machine_desc *m, struct seg_cpu *c, struct seg_mem *mem,
		 struct machine_error *err)
{
	int bad = 0;

	*mem = (struct seg_mem){machine_read, machine_write, m};
	seg_cpu_init(c, mem);
	c->ip = m->ip.value;
	c->sp = m->sp.value;
	c->gdtr = (struct seg_dtr){m->gdt_base,
				   (u16)(m->gdt_nr ? m->gdt_nr * 8 - 1 : 0)};
	if (m->gdt_limit.line)
		c->gdtr.limit = (u16)m->gdt_limit.value;
	if (m->idt_nr || m->mode >= MACHINE_PROTECTED)
		c->idtr = (struct seg_dtr){
			m->idt_base, (u16)(m->idt_nr ? m->idt_nr * 8 - 1 : 0)};
	if (m->idt_limit.line)
		c->idtr.limit = (u16)m->idt_limit.value;
	c->la57 = (m->cr4.value & CR4_LA57) != 0;
	if (m->mode != MACHINE_REAL) {
		boot_protected(c);
		c->lma = m->mode == MACHINE_LONG;
		bad = boot_system(m, c, err);
		bad = bad ?: m->mode == MACHINE_VM86 ? 0 : boot_code(m, c, err);
	}
	if (bad)
		return bad;
	c->flags |= m->flags.value & ~X86_FLAGS_VM;
	if (m->mode == MACHINE_VM86) {
		c->flags |= X86_FLAGS_VM;
		c->cpl = 3;
		for (u32 i = 0; i < SEG_NR_REGS; i++)
			mm_verify(seg_load(c, i, 0) == 0);
	}
	bad = boot_data(m, c, err);
	bad = bad ?: boot_base(c, SEG_FS, &m->fs_base, err);
	return bad ?: boot_base(c, SEG_GS, &m->gs_base, err);
}
