/* SPDX-License-Identifier: MIT */
/*
 * segment_cpu.h - what an x86 CPU does with selectors and descriptors: loads,
 * references, control transfers, interrupts; each with every check, and each
 * able to tell its steps. Theory: segment_load.c.
 *
 * All functions are pure over the struct seg_cpu and the memory given; they
 * never sleep and take no lock, the CPU belongs to the caller. "Returns 0 or
 * -EFAULT" means: on -EFAULT c->fault tells the exception, and nothing else
 * of the CPU has changed (accessed bits set by then stay, as on a real one).
 */
#ifndef MM_ARCH_SEGMENT_CPU_H
#define MM_ARCH_SEGMENT_CPU_H

#include "arch/segment.h"

enum seg_id { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_NR_REGS };

#define X86_TRAP_DB 1
#define X86_TRAP_BP 3
#define X86_TRAP_UD 6
#define X86_TRAP_DF 8
#define X86_TRAP_TS 10
#define X86_TRAP_NP 11
#define X86_TRAP_SS 12
#define X86_TRAP_GP 13
#define X86_TRAP_PF 14
#define X86_TRAP_AC 17

/* Error codes of segment faults: a selector whose low bits tell the origin. */
#define SEG_ERR_EXT 0x1u /* while an event from outside was delivered */
#define SEG_ERR_IDT 0x2u /* the index is one of the IDT */
#define SEG_ERR_TI  0x4u

#define X86_FLAGS_TF   BIT(8)
#define X86_FLAGS_IF   BIT(9)
#define X86_FLAGS_IOPL (3UL << 12)
#define X86_FLAGS_NT   BIT(14)
#define X86_FLAGS_RF   BIT(16)
#define X86_FLAGS_VM   BIT(17)

/* Every rule that can be broken, with the sentence that must hold. */
#define SEG_RULES(X)                                                           \
	X(NONE, "nothing was broken")                                          \
	X(PROTECTED, "protected mode, not virtual-8086")                       \
	X(CPL_ZERO, "CPL = 0")                                                 \
	X(NOT_NULL, "the selector is not null")                                \
	X(NULL_STACK,                                                          \
	  "a null stack selector: 64-bit code, CPL < 3, RPL = CPL")            \
	X(LDT_USABLE, "LDTR names a local table")                              \
	X(TABLE_LIMIT, "the descriptor ends inside the table's limit")         \
	X(IN_GDT, "the descriptor stands in the GDT")                          \
	X(READABLE, "the descriptor is data or readable code")                 \
	X(WRITABLE, "the descriptor is writable data")                         \
	X(CODE, "the descriptor is code")                                      \
	X(CODE_OR_GATE, "the descriptor is code, a call gate, a task gate or " \
			"a TSS")                                               \
	X(LDT_KIND, "the descriptor is an LDT's")                              \
	X(TSS_KIND, "the descriptor is a TSS's")                               \
	X(TSS_AVAILABLE, "the TSS is not busy")                                \
	X(VISIBLE, "the descriptor is of a kind that may be asked about")      \
	X(DATA_DPL, "DPL >= max(CPL, RPL)")                                    \
	X(STACK_RPL, "RPL = CPL")                                              \
	X(STACK_DPL, "DPL = CPL")                                              \
	X(CODE_RPL, "RPL <= CPL")                                              \
	X(CODE_DPL, "code that does not conform: DPL = CPL")                   \
	X(CONFORMING_DPL, "conforming code: DPL <= CPL")                       \
	X(TARGET_DPL, "the gate's target: DPL <= CPL")                         \
	X(GATE_DPL, "gate: DPL >= max(CPL, RPL)")                              \
	X(SOFT_DPL, "gate of a software interrupt: DPL >= CPL")                \
	X(RETURN_RPL,                                                          \
	  "a return goes to the same or an outer ring: RPL >= CPL")            \
	X(RETURN_DPL, "code that does not conform: DPL = RPL")                 \
	X(RETURN_CONFORMING, "conforming code: DPL <= RPL")                    \
	X(VM86_IOPL, "virtual-8086 mode: INT n and IRET need IOPL = 3")        \
	X(VM86_DPL, "a handler of virtual-8086 events has DPL = 0")            \
	X(PRESENT, "the descriptor is present")                                \
	X(L_AND_D, "L and D are not both set")                                 \
	X(CODE64, "a gate of long mode leads to 64-bit code (L = 1, D = 0)")   \
	X(IP_LIMIT, "the instruction pointer is inside the code segment")      \
	X(IP_CANONICAL, "the instruction pointer is canonical")                \
	X(IDT_LIMIT, "the gate ends inside the IDT's limit")                   \
	X(IDT_KIND, "the entry is an interrupt, trap or task gate")            \
	X(TSS_USABLE, "TR names a task state segment")                         \
	X(TSS_LIMIT, "the stack's slot is inside the TSS")                     \
	X(STACK_ROOM, "what is pushed fits in the new stack")                  \
	X(STACK_CANONICAL, "the stack pointer is canonical")                   \
	X(NESTED_LONG, "NT is clear in long mode")                             \
	X(TSS_BUSY, "the TSS that a task returns to is busy")                  \
	X(TASK_ROOM, "a whole task fits inside the TSS's limit")               \
	X(USABLE, "the segment register is not null")                          \
	X(MAY_READ, "the segment may be read")                                 \
	X(MAY_WRITE, "the segment may be written")                             \
	X(MAY_FETCH, "the segment is code")                                    \
	X(LIMIT, "first and last byte are inside the limit")                   \
	X(CANONICAL, "first and last byte are canonical")                      \
	X(BASE_CANONICAL, "the base is canonical")                             \
	X(MEMORY_READ, "the table's memory can be read")                       \
	X(MEMORY_WRITE, "the table's memory can be written")

enum seg_rule {
#define SEG_RULE_NAME(name, text) SEG_RULE_##name,
	SEG_RULES(SEG_RULE_NAME)
#undef SEG_RULE_NAME
		SEG_NR_RULES
};

/* seg_rule_text: the sentence that must hold. */
const char *seg_rule_text(enum seg_rule rule);

/* seg_vector_name: "#GP", "#NP", ...; "#?" for one that has none here. */
const char *seg_vector_name(u8 vector);

struct seg_fault {
	u8 vector;
	bool has_error; /* the exception pushes an error code */
	u16 error;
	enum seg_rule rule; /* the one that was broken */
	u64 addr;	    /* #PF: the linear address of the table's memory */
};

/*
 * Linear memory that holds tables and stacks' pointers. Both functions return
 * 0 or a negative errno, which becomes #PF at LINEAR. Two ways of making one:
 * struct seg_windows below, or functions of the caller (through page tables).
 */
struct seg_mem {
	int (*read)(void *arg, u64 linear, void *to, size_t len);
	int (*write)(void *arg, u64 linear, const void *from, size_t len);
	void *arg;
};

/* Some pieces of linear memory and where the bytes are. */
struct seg_window {
	u64 base;
	u64 size;
	void *bytes;
};

struct seg_windows {
	u32 nr;
	struct seg_window at[8];
};

/* For struct seg_mem with a struct seg_windows as ARG: -EFAULT outside. */
int seg_windows_read(void *arg, u64 linear, void *to, size_t len);
int seg_windows_write(void *arg, u64 linear, const void *from, size_t len);

/* ---- telling the steps -------------------------------------------------- */

enum seg_step_kind {
	SEG_STEP_REGISTER,   /* reg, sel, desc: its hidden part is used */
	SEG_STEP_NULL,	     /* sel: null, the register becomes unusable */
	SEG_STEP_REAL,	     /* reg, sel: base is sel * 16 */
	SEG_STEP_DESCRIPTOR, /* sel, table, addr, raw, slots, desc: was read */
	SEG_STEP_CHECK,	     /* rule, ok; the fields above are the subject's */
	SEG_STEP_LOADED,     /* reg, sel, desc: register and hidden part set */
	SEG_STEP_STACK,	     /* addr: where in the TSS; sel, value: SS and SP */
	SEG_STEP_LINEAR,     /* value: the linear address */
	SEG_STEP_FAULT	     /* fault */
};

struct seg_step {
	enum seg_step_kind kind;
	enum seg_id reg;
	u16 sel;
	u8 cpl;
	enum seg_table table;
	u32 index; /* of the entry; IDT: the vector */
	u32 slots; /* eight-byte entries in raw */
	u64 addr;  /* linear, of the descriptor or the TSS slot */
	u64 raw[2];
	struct seg_desc desc;
	enum seg_rule rule;
	bool ok;
	u64 value;
	struct seg_fault fault;
};

/* FN sees each step in order; `now` is scratch of the walk. */
struct seg_trace {
	void (*fn)(void *arg, const struct seg_step *step);
	void *arg;
	struct seg_step now;
};

/* ---- the CPU ------------------------------------------------------------ */

/* A segment register: what a program sees, and what was read at the load. */
struct seg_reg {
	u16 sel;
	bool usable; /* false: null was loaded */
	struct seg_desc hid;
};

struct seg_dtr {
	u64 base;
	u16 limit;
};

struct seg_cpu {
	bool pe;   /* CR0.PE */
	bool lma;  /* EFER.LMA; never without pe */
	bool la57; /* CR4.LA57: 57-bit linear addresses */
	u8 cpl;
	u64 flags; /* RFLAGS */
	u64 ip, sp;
	struct seg_dtr gdtr, idtr;
	struct seg_reg ldtr, tr, sr[SEG_NR_REGS];
	const struct seg_mem *mem;
	struct seg_trace *trace; /* NULL: nobody listens */
	struct seg_fault fault;	 /* of the last call that failed */
};

/* seg_cpu_init: real mode, all bases 0, limits 64 KiB, IDT of 256 vectors. */
void seg_cpu_init(struct seg_cpu *c, const struct seg_mem *mem);

static inline bool seg_vm86(const struct seg_cpu *c)
{
	return c->pe && !c->lma && (c->flags & X86_FLAGS_VM);
}

/* Selectors name descriptors. */
static inline bool seg_protected(const struct seg_cpu *c)
{
	return c->pe && !seg_vm86(c);
}

static inline bool seg_64bit(const struct seg_cpu *c)
{
	return c->lma && c->sr[SEG_CS].hid.lmode;
}

/* seg_reg_name: "es", "cs", "ss", "ds", "fs", "gs". */
const char *seg_reg_name(enum seg_id reg);

/* seg_canonical: ADDR is sign-extended from 48 bits (57 with LA57). */
bool seg_canonical(const struct seg_cpu *c, u64 addr);

/* ---- loads (SDM 5.6, 5.7; MOV, POP, LDS, LLDT, LTR, LGDT, LIDT) --------- */

/*
 * seg_load: load SEL into REG as MOV does. CS only in real and virtual-8086
 * mode. Sets the accessed bit in memory. Returns 0 or -EFAULT.
 */
int seg_load(struct seg_cpu *c, enum seg_id reg, u16 sel) MM_MUST_CHECK;

/* The same for LDTR and TR (which marks the TSS busy). 0 or -EFAULT. */
int seg_lldt(struct seg_cpu *c, u16 sel) MM_MUST_CHECK;
int seg_ltr(struct seg_cpu *c, u16 sel) MM_MUST_CHECK;

/* LGDT and LIDT: no look at the table itself. 0 or -EFAULT. */
int seg_lgdt(struct seg_cpu *c, struct seg_dtr dtr) MM_MUST_CHECK;
int seg_lidt(struct seg_cpu *c, struct seg_dtr dtr) MM_MUST_CHECK;

/* seg_set_base: FS or GS base by MSR, 64 bits. 0 or -EFAULT. */
int seg_set_base(struct seg_cpu *c, enum seg_id reg, u64 base) MM_MUST_CHECK;

/*
 * LAR, LSL, VERR, VERW. OK tells ZF; RESULT (LAR: the second double word
 * masked with 0x00ffff00; LSL: the limit in bytes) is untouched if !*OK.
 * Returns 0, or -EFAULT: #UD outside of protected mode, #PF.
 */
int seg_lar(struct seg_cpu *c, u16 sel, bool *ok, u32 *result) MM_MUST_CHECK;
int seg_lsl(struct seg_cpu *c, u16 sel, bool *ok, u32 *result) MM_MUST_CHECK;
int seg_verify(struct seg_cpu *c, u16 sel, bool write, bool *ok) MM_MUST_CHECK;

/* ---- references (SDM 5.3, 3.4.4) ---------------------------------------- */

enum seg_access { SEG_READ, SEG_WRITE, SEG_FETCH };

struct seg_ref {
	u64 offset; /* effective address, already cut to the address size */
	u32 size;   /* bytes, > 0 */
	enum seg_access access;
};

/*
 * seg_linear: the linear address of REF through REG's hidden part. An access
 * that wraps around the end of the offsets is refused (the manuals leave it
 * open). Returns 0 or -EFAULT; *LINEAR is untouched then.
 */
int seg_linear(struct seg_cpu *c, enum seg_id reg, const struct seg_ref *ref,
	       u64 *linear) MM_MUST_CHECK;

/*
 * seg_explain: what would happen if SEL were loaded into REG (CS: by a far
 * jump to the offset, or to where a gate or a task goes) and REF done. Works on
 * a copy: neither C nor memory changes, except c->fault. T hears every step.
 * Returns as seg_linear().
 */
int seg_explain(struct seg_cpu *c, enum seg_id reg, u16 sel,
		const struct seg_ref *ref, struct seg_trace *t,
		u64 *linear) MM_MUST_CHECK;

/* ---- control transfers (SDM 5.8; JMP, CALL, RET, IRET) ------------------ */

enum seg_transfer { SEG_JUMP, SEG_CALL };

/* What a switch of tasks is made by. */
enum seg_task_how {
	SEG_TASK_JUMP,
	SEG_TASK_CALL,
	SEG_TASK_EVENT,
	SEG_TASK_RETURN /* IRET with NT set */
};

/* What a far transfer or an event did, and what it pushes. */
struct seg_xfer {
	bool through_gate;
	bool stack_switch;
	bool task_switch; /* task_sel is a good TSS: seg_task_switch() is next
			   */
	bool clear_if;	  /* interrupt gate */
	bool switched;	  /* the CPU is the new task's */
	bool debug_trap;  /* the new task's T bit: #DB before it begins */
	bool has_error;	  /* ERROR goes to the new task's stack */
	enum seg_task_how how;
	u16 task_sel;
	u16 ext; /* of error codes, during an event */
	u32 error;
	u16 old_cs, old_ss;
	u64 old_ip, old_sp;
	u8 params;	/* words copied from the old stack to the new */
	u8 width;	/* bytes of each value pushed: 2, 4 or 8 */
	u8 nr_pushes;	/* values below, first pushed first */
	u64 pushes[11]; /* without the parameters of a call gate */
};

/*
 * seg_far: a far jump or call to SEL:IP. A gate's own offset replaces IP. On
 * success CS, CPL, ip, and with a switch SS and sp, are set (sp: where it is
 * after the pushes), and X says what was pushed. Returns 0 or -EFAULT.
 */
int seg_far(struct seg_cpu *c, enum seg_transfer how, u16 sel, u64 ip,
	    struct seg_xfer *x) MM_MUST_CHECK;

/* The values that a far return takes from the stack. */
struct seg_return {
	bool iret;
	u16 cs, ss;
	u64 ip, sp;    /* sp and ss: only for an outer return (IRETQ: always) */
	u64 flags;     /* IRET */
	u16 vm_seg[4]; /* ES, DS, FS, GS for a return to virtual-8086 mode */
};

/*
 * seg_far_return: RET or IRET in protected mode. An outer return nulls the
 * data registers that the outer ring may not use. IRET with NT set outside of
 * long mode takes nothing from the stack: -EOPNOTSUPP, and seg_task_return()
 * is to be asked. Returns 0 or -EFAULT.
 */
int seg_far_return(struct seg_cpu *c, const struct seg_return *r) MM_MUST_CHECK;

/* ---- events (SDM 6.10 - 6.14) ------------------------------------------- */

enum seg_event_kind {
	SEG_EVENT_EXTERNAL,  /* an interrupt line or message */
	SEG_EVENT_EXCEPTION, /* found by the CPU */
	SEG_EVENT_INT,	     /* INT n */
	SEG_EVENT_INT3	     /* INT3, INTO: no IOPL check in vm86 mode */
};

struct seg_event {
	enum seg_event_kind kind;
	u8 vector;
	bool has_error; /* exceptions: push ERROR last */
	u32 error;
};

/*
 * seg_deliver: take an event through the IDT: gate, target, stack; as
 * seg_far(). IF, TF, NT, RF and VM are changed as the gate says. Returns 0 or
 * -EFAULT (c->fault: the exception met during the delivery).
 */
int seg_deliver(struct seg_cpu *c, const struct seg_event *e,
		struct seg_xfer *x) MM_MUST_CHECK;

/* ---- task switches (SDM 7.3; segment_task.c) ---------------------------- */

enum seg_gpr {
	SEG_GPR_AX,
	SEG_GPR_CX,
	SEG_GPR_DX,
	SEG_GPR_BX,
	SEG_GPR_SP,
	SEG_GPR_BP,
	SEG_GPR_SI,
	SEG_GPR_DI,
	SEG_NR_GPRS
};

/* What a task has beside struct seg_cpu. */
struct seg_task_regs {
	u32 gpr[SEG_NR_GPRS]; /* SP: read from and written to c->sp as well */
	u32 cr3;	      /* loaded if paging is on, never saved */
	bool paging;	      /* CR0.PG */
	bool ts;	      /* CR0.TS: every switch sets it */
};

/*
 * seg_task_return: IRET with NT set, in protected mode without EFER.LMA: find
 * the task that the link of the running one names. X is filled for
 * seg_task_switch(). Returns 0 or -EFAULT; nothing is switched yet.
 */
int seg_task_return(struct seg_cpu *c, struct seg_xfer *x) MM_MUST_CHECK;

/*
 * seg_task_switch: do the switch that X (x->task_switch) asks for: save the
 * running task in its TSS (c->ip: where it goes on), load the new one, busy
 * bits, link, NT; an exception's error code is pushed (x->pushes). Returns 0 or
 * -EFAULT. A fault before x->switched is the old task's, whose registers are
 * unchanged; after it the new task's, whose registers are loaded, but for the
 * segment at fault and those after it, which are not usable.
 */
int seg_task_switch(struct seg_cpu *c, struct seg_xfer *x,
		    struct seg_task_regs *r) MM_MUST_CHECK;

#endif
