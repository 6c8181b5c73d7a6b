/* SPDX-License-Identifier: MIT */
/*
 * explain.c - one address, from selector to frame or fault, step by step.
 *
 * 1. Purpose. Segmentation and paging say what they do while they do it: this
 *    file asks the CPU's own functions (seg_explain(), paging_walk_with()) and
 *    writes down what they tell. It decides nothing itself, so that it cannot
 *    say anything else than what the machine does.
 *
 * 2. Order. The question; selector, descriptor, reference (if there is a
 *    selector); the linear address; what TLBs have of it, on a machine that
 *    runs; each table entry; the result: a frame, or
 *    the exception with its error code and the reason.
 *
 * 3. Nothing is changed: no accessed or dirty bit is set. What a CPU would set
 *    is said.
 */
#include "explain.h"

#include <stdio.h>

#include "base/assert.h"

#define LLU(x)	  ((unsigned long long)(x))
#define REAL_LAST 0x10ffefUL /* FFFF:FFFF */

static const char *const access_names[] = {"read", "write", "fetch"};
static const char *const Access_names[] = {"Read", "Write", "Fetch"};

struct explaining {
	struct doc *d;
	struct explain_target *t;
	const struct explain_query *q;
	enum seg_access access;
	bool user;
};

/* ---- the question
 * ------------------------------------------------------------- */

static bool is_user(const struct explain_target *t,
		    const struct explain_query *q)
{
	enum explain_who who = q->who ? q->who : t->who;

	if ((q->has_sel || q->has_reg) && t->seg)
		return t->seg->cpl == 3;
	if (who)
		return who == EXPLAIN_USER;
	return q->addr < t->fmt->user_end;
}

static const char *asked(const struct explain_query *q, char *buf, size_t size)
{
	if (q->has_sel)
		snprintf(buf, size, "0x%x:0x%llx", q->sel, LLU(q->addr));
	else if (q->has_reg)
		snprintf(buf, size, "%s:0x%llx", seg_reg_name(q->reg),
			 LLU(q->addr));
	else
		snprintf(buf, size, "linear 0x%llx", LLU(q->addr));
	return buf;
}

static void say_x86_registers(struct doc *d, const struct explain_target *t)
{
	const struct paging_cpu *c = &t->cpu;

	doc_hex(d, "cr3", c->root);
	doc_str(d, "cpu",
		"CR0.WP=%d CR4.SMEP=%d CR4.SMAP=%d EFLAGS.AC=%d EFER.NXE=%d",
		c->wp, c->smep, c->smap, c->ac, c->nxe);
	doc_dec(d, "phys. bits", c->pa_bits);
}

static const char *by_whom(const struct explaining *x)
{
	if (x->t->fmt->kind == PAGING_ARM64)
		return x->user ? "user code (EL0)" : "the kernel (EL1)";
	if (x->t->seg && !x->t->seg->pe)
		return "code of real mode";
	return x->user ? "user code (CPL 3)" : "the supervisor (CPL < 3)";
}

static void say_question(const struct explaining *x)
{
	const struct explain_target *t = x->t;
	char buf[64];

	doc_block(x->d, "question", "%s %s by %s", Access_names[x->access],
		  asked(x->q, buf, sizeof(buf)), by_whom(x));
	if (!t->paging) {
		doc_str(x->d, "paging", "off: linear addresses are physical");
		return;
	}
	doc_str(x->d, "format", "%s: %s", t->fmt->name, t->fmt->title);
	if (!t->tables)
		return;
	if (t->fmt->kind == PAGING_ARM64) {
		doc_hex(x->d, "ttbr0", t->cpu.root);
		doc_hex(x->d, "ttbr1", t->cpu.root_high);
	} else {
		say_x86_registers(x->d, t);
	}
}

/* ---- segmentation
 * -------------------------------------------------------------- */

static void begin_reference(const struct explaining *x,
			    const struct seg_step *s)
{
	doc_block(x->d, "reference", "Reference: %s 1 byte at %s:0x%llx",
		  access_names[x->access], seg_reg_name(s->reg),
		  LLU(x->q->addr));
}

static void tell_step(void *arg, const struct seg_step *s)
{
	const struct explaining *x = arg;

	switch (s->kind) {
	case SEG_STEP_DESCRIPTOR:
		explain_descriptor(x->d, s);
		break;
	case SEG_STEP_CHECK:
		doc_check(x->d, s->ok, seg_rule_text(s->rule));
		break;
	case SEG_STEP_LOADED:
		doc_str(x->d, "loaded", "%s = 0x%04x and its hidden part",
			seg_reg_name(s->reg), s->sel);
		break;
	case SEG_STEP_NULL:
		doc_str(x->d, "loaded", "%s = null: not usable",
			seg_reg_name(s->reg));
		break;
	case SEG_STEP_REAL:
		doc_str(x->d, "loaded", "%s: base 0x%x, the selector * 16",
			seg_reg_name(s->reg), s->sel << 4);
		break;
	case SEG_STEP_REGISTER:
		begin_reference(x, s);
		doc_str(x->d, "segment", "%s = 0x%04x, base 0x%llx",
			seg_reg_name(s->reg), s->sel, LLU(s->desc.base));
		break;
	case SEG_STEP_STACK:
		doc_hex(x->d, "stack", s->value);
		break;
	case SEG_STEP_LINEAR:
		doc_hex(x->d, "linear", s->value);
		break;
	case SEG_STEP_FAULT:
		break;
	}
}

static const char *vector_title(u8 vector)
{
	switch (vector) {
	case X86_TRAP_UD:
		return "invalid opcode";
	case X86_TRAP_TS:
		return "invalid TSS";
	case X86_TRAP_NP:
		return "segment not present";
	case X86_TRAP_SS:
		return "stack-segment fault";
	case X86_TRAP_GP:
		return "general protection";
	case X86_TRAP_PF:
		return "page fault";
	default:
		return "exception";
	}
}

static void segment_error_code(struct doc *d, u16 error)
{
	static const struct doc_field fields[] = {{15, 3, "index", true},
						  {2, 2, "TI", false},
						  {1, 1, "IDT", false},
						  {0, 0, "EXT", false}};

	doc_hex(d, "error code", error);
	doc_draw(d, error, fields, ARRAY_SIZE(fields));
	if (error)
		doc_str(d, "blames", "entry %u of the %s", error >> 3,
			error & SEG_ERR_IDT  ? "IDT"
			: error & SEG_ERR_TI ? "LDT"
					     : "GDT");
}

static void segment_fault(const struct explaining *x)
{
	const struct seg_fault *f = &x->t->seg->fault;
	struct doc *d = x->d;

	d->result = "fault";
	doc_block(d, "fault", "FAULT %s, %s (vector %u)",
		  seg_vector_name(f->vector), vector_title(f->vector),
		  f->vector);
	doc_dec(d, "vector", f->vector);
	if (f->has_error)
		segment_error_code(d, f->error);
	if (f->vector == X86_TRAP_PF)
		doc_hex(d, "cr2", f->addr);
	doc_str(d, "why", "this does not hold: %s", seg_rule_text(f->rule));
}

/* The linear address, or false after a fault. */
static bool explain_segment(struct explaining *x, u64 *linear)
{
	const struct explain_query *q = x->q;
	struct seg_ref ref = {q->addr, 1, x->access};
	struct seg_trace trace = {.fn = tell_step, .arg = x};
	struct seg_cpu *c = x->t->seg;
	int err;

	if (q->has_sel) {
		if (seg_protected(c)) {
			explain_selector(x->d, q->sel);
			doc_dec(x->d, "cpl", c->cpl);
		} else {
			doc_block(x->d, "selector", "Segment 0x%04x", q->sel);
		}
		err = seg_explain(c, q->reg, q->sel, &ref, &trace, linear);
	} else {
		c->trace = &trace;
		err = seg_linear(c, q->reg, &ref, linear);
		c->trace = NULL;
	}
	if (err)
		segment_fault(x);
	return !err;
}

/* ---- paging
 * ---------------------------------------------------------------- */

static u32 paging_access(const struct explaining *x)
{
	static const u32 bits[] = {PAGING_READ, PAGING_WRITE, PAGING_EXEC};

	return bits[x->access] | (x->user ? PAGING_USER : 0);
}

/* Bits that the CPU would set on its way. */
static void say_marks(struct doc *d, const struct explaining *x,
		      const struct paging_walk *w)
{
	const struct paging_format *f = x->t->fmt;
	char text[64];
	size_t len = 0;
	bool dirty;

	for (int i = 0; i < w->depth; i++) {
		if (pte_young(w->entry[i]))
			continue;
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%sA in the %s", len ? ", " : "",
					pt_level_name(f, f->levels - 1 - i));
	}
	dirty = x->access == SEG_WRITE && !pte_dirty(w->entry[w->depth - 1]);
	if (dirty)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%sD in the %s", len ? ", " : "",
					pt_level_name(f, w->level));
	if (len)
		doc_str(d, "cpu sets", "%s (not done here)", text);
}

static void page_error_bits(struct doc *d, u32 error)
{
	static const struct doc_field fields[] = {
		{31, 5, "-", false}, {4, 4, "I", false}, {3, 3, "RSVD", false},
		{2, 2, "U", false},  {1, 1, "W", false}, {0, 0, "P", false}};

	doc_hex(d, "error code", error);
	doc_draw(d, error, fields, ARRAY_SIZE(fields));
	doc_str(d, "P", "%s",
		error & PF_ERR_PRESENT ? "1: the entry is present, the rights "
					 "or its bits are wrong"
				       : "0: an entry is not present");
	doc_str(d, "W", "%s",
		error & PF_ERR_WRITE ? "1: a write" : "0: no write");
	doc_str(d, "U", "%s",
		error & PF_ERR_USER ? "1: by user code" : "0: by supervisor");
	doc_str(d, "RSVD", "%s",
		error & PF_ERR_RSVD ? "1: a reserved bit is set"
				    : "0: no reserved bit");
	doc_str(d, "I", "%s",
		error & PF_ERR_INSTR
			? "1: an instruction fetch"
			: "0: no fetch (or neither NXE nor SMEP is on)");
}

/* Through a segment the reference would have been refused before. */
static void noncanonical_fault(const struct explaining *x, u64 va)
{
	const struct paging_format *f = x->t->fmt;

	doc_block(x->d, "fault", "FAULT #GP(0), %s (vector %u)",
		  vector_title(X86_TRAP_GP), X86_TRAP_GP);
	doc_dec(x->d, "vector", X86_TRAP_GP);
	doc_hex(x->d, "error code", 0);
	if (f->va_bits == 32)
		doc_str(x->d, "why", "0x%llx has more than 32 bits", LLU(va));
	else
		doc_str(x->d, "why",
			"%s: bits 63:%u are not all equal to bit %u",
			paging_reason_text(PAGING_NONCANONICAL), f->va_bits,
			f->va_bits - 1);
}

static const char *level_of(const struct explaining *x,
			    const struct paging_walk *w)
{
	return pt_level_name(x->t->fmt, w->level);
}

/* Does E grant what the access failed for? */
static bool grants(enum paging_reason reason, pte_t e)
{
	switch (reason) {
	case PAGING_READ_ONLY:
		return pte_write(e);
	case PAGING_NO_EXEC:
		return pte_exec(e);
	case PAGING_SUPERVISOR_PAGE:
		return pte_user(e);
	default:
		return true;
	}
}

/* The reason, and the entries to blame. */
static void say_why(const struct explaining *x, const struct paging_walk *w)
{
	const struct paging_format *f = x->t->fmt;
	const char *text = paging_reason_text(w->reason);
	char blamed[64];
	size_t len = 0;

	for (int i = 0; i < w->depth; i++) {
		if (grants(w->reason, w->entry[i]))
			continue;
		len += (size_t)snprintf(blamed + len, sizeof(blamed) - len,
					"%s%s", len ? ", " : "",
					pt_level_name(f, f->levels - 1 - i));
	}
	if (w->reason == PAGING_NOT_PRESENT || w->reason == PAGING_RESERVED)
		doc_str(x->d, "why", "%s: the %s", text, level_of(x, w));
	else if (len)
		doc_str(x->d, "why", "%s, by the %s", text, blamed);
	else
		doc_str(x->d, "why", "%s", text);
}

#define ESR_EC_INSTR 0x20u /* + 1: taken from the same level */
#define ESR_EC_DATA  0x24u
#define ESR_IL	     BIT(25)
#define ESR_WNR	     BIT(6)

static void arm64_fault(const struct explaining *x, const struct paging_walk *w,
			u64 va)
{
	static const struct doc_field fields[] = {{31, 26, "EC", false},
						  {25, 25, "IL", false},
						  {24, 7, "-", false},
						  {6, 6, "WnR", false},
						  {5, 0, "FSC", false}};
	bool fetch = x->access == SEG_FETCH;
	u32 ec = (fetch ? ESR_EC_INSTR : ESR_EC_DATA) + !x->user;
	u32 status = paging_arm64_status(w);
	u64 esr = (u64)ec << 26 | ESR_IL | status |
		  (x->access == SEG_WRITE ? ESR_WNR : 0);

	doc_block(x->d, "fault", "FAULT %s abort from the %s exception level",
		  fetch ? "instruction" : "data", x->user ? "lower" : "same");
	doc_hex(x->d, "esr", esr);
	doc_draw(x->d, esr, fields, ARRAY_SIZE(fields));
	doc_str(x->d, "FSC", "0x%02x: %s fault, level %u", status,
		status >= 0x14	 ? "external abort on a table walk"
		: status >= 0x0c ? "permission"
		: status >= 0x04 ? "translation"
				 : "address size",
		status & 3);
	doc_hex(x->d, "far", va);
	if (w->reason == PAGING_NONCANONICAL)
		doc_str(x->d, "why", "bits 63:48 are neither all 0 nor all 1");
	else
		say_why(x, w);
}

static void page_fault(const struct explaining *x, const struct paging_walk *w,
		       u64 va)
{
	struct doc *d = x->d;

	if (x->t->fmt->kind == PAGING_ARM64) {
		arm64_fault(x, w, va);
		return;
	}
	if (w->reason == PAGING_NONCANONICAL) {
		noncanonical_fault(x, va);
		return;
	}
	doc_block(d, "fault", "FAULT #PF, page fault (vector %u)", X86_TRAP_PF);
	doc_dec(d, "vector", X86_TRAP_PF);
	page_error_bits(d, w->error);
	doc_hex(d, "cr2", va);
	say_why(x, w);
}

static void say_physical(const struct explaining *x,
			 const struct paging_walk *w)
{
	struct doc *d = x->d;
	u64 low = pt_span(x->t->fmt, w->level) - 1;

	d->result = "physical";
	doc_block(d, "physical", "PHYSICAL 0x%llx", LLU(w->pa));
	doc_hex(d, "physical", w->pa);
	doc_str(d, "made of", "page 0x%llx + offset 0x%llx (bits %u:0)",
		LLU(w->pa & ~low), LLU(w->pa & low),
		x->t->fmt->shift[w->level] - 1u);
	doc_hex(d, "pfn", w->pa >> PAGE_SHIFT);
	doc_str(d, "tlb holds", "%s, %s%s%s, %s%s",
		w->user ? "user" : "supervisor", "read",
		w->write ? ", write" : "", w->exec ? ", execute" : "",
		w->global ? "global" : "not global",
		w->level ? ", large page" : "");
	say_marks(d, x, w);
}

static void explain_paging(struct explaining *x, u64 linear)
{
	struct explain_target *t = x->t;
	const struct paging_mem mem = {t->mem.read, NULL, t->mem.arg};
	struct paging_walk w;
	enum paging_reason reason =
		paging_walk_with(&t->cpu, linear, paging_access(x), &w, &mem);
	int shown = w.depth + (reason == PAGING_BAD_TABLE);

	if (t->tlb)
		t->tlb(x->d, t, linear, paging_access(x), &w);
	for (int i = 0; i < shown; i++)
		explain_entry(x->d, t, &w, i, linear);
	if (reason == PAGING_OK) {
		say_physical(x, &w);
	} else if (reason == PAGING_BAD_TABLE && t->fmt->kind != PAGING_ARM64) {
		x->d->result = "no-memory";
		doc_block(x->d, "no-memory",
			  "NO MEMORY where the %s should be: 0x%llx",
			  level_of(x, &w), LLU(w.at[w.depth]));
		doc_str(x->d, "why",
			"%s: no fault of the CPU's; the bus answers with "
			"anything, or with a machine check",
			paging_reason_text(reason));
	} else {
		x->d->result = "fault";
		page_fault(x, &w, linear);
	}
	if (t->tell)
		t->tell(x->d, t, linear, &w, reason == PAGING_OK);
}

static void say_linear(struct explaining *x, u64 linear)
{
	struct explain_target *t = x->t;

	doc_block(x->d, "linear", "Linear address 0x%0*llx",
		  t->fmt->va_bits == 32 ? 8 : 16, LLU(linear));
	if (t->paging && linear >> 32 && t->fmt->va_bits == 32)
		return;
	if (t->paging)
		explain_split(x->d, t->fmt, linear);
}

void explain_address(struct doc *d, struct explain_target *t,
		     const struct explain_query *q)
{
	struct explaining x = {.d = d, .t = t, .q = q, .access = q->access};
	u64 linear = q->addr;

	x.user = is_user(t, q);
	say_question(&x);
	if ((q->has_sel || q->has_reg) && !explain_segment(&x, &linear))
		return;
	say_linear(&x, linear);
	if (!t->paging) {
		d->result = "physical";
		doc_block(d, "physical", "PHYSICAL 0x%llx", LLU(linear));
		doc_hex(d, "physical", linear);
		doc_str(d, "because", "paging is off");
	} else if (!t->tables) {
		d->result = "linear";
		doc_block(d, "unknown", "LINEAR 0x%llx is as far as this goes",
			  LLU(linear));
		doc_str(d, "why", "the machine file describes no page tables");
	} else {
		explain_paging(&x, linear);
	}
}
