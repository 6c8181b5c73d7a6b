/* SPDX-License-Identifier: MIT */
/*
 * segment_machine.h - a CPU with tables in plain arrays, for tests of
 * segmentation: descriptors by one line, expected faults by one line.
 */
#ifndef TESTS_SEGMENT_MACHINE_H
#define TESTS_SEGMENT_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "arch/segment_cpu.h"
#include "arch/segment_linux.h"

#define SM_GDT_BASE 0x100000UL
#define SM_LDT_BASE 0x200000UL
#define SM_IDT_BASE 0x300000UL
#define SM_TSS_BASE 0x400000UL
#define SM_ENTRIES  64

struct seg_machine {
	u64 gdt[SM_ENTRIES], ldt[SM_ENTRIES], idt[512];
	u8 tss[256];
	struct seg_windows win;
	struct seg_mem mem;
	struct seg_cpu cpu;
};

static struct seg_machine sm;

/* Segment of KIND with TYPE bits, flat 32-bit, present. */
static inline struct seg_desc sm_seg(enum seg_kind kind, u8 type, u8 dpl)
{
	struct seg_desc d = seg_flat(kind, dpl, false);

	d.type = type | (kind == SEG_KIND_CODE ? SEG_T_CODE : 0);
	return d;
}

static inline void sm_put(u64 *table, u32 index, struct seg_desc d)
{
	assert_true(seg_encode(&d, sm.cpu.lma, &table[index]) > 0);
}

#define P_KCODE 1
#define P_KDATA 2
#define P_UCODE 3
#define P_UDATA 4
#define P_TSS	6 /* two entries */
#define P_LDT	8 /* two entries */
#define P_FREE	12

/* Flat code and data of rings 0 and 3, a TSS in TR, an LDT in LDTR. */
static inline void sm_boot(bool lma)
{
	struct seg_desc tss, ldt;

	memset(&sm, 0, sizeof(sm));
	sm.win = (struct seg_windows){4,
				      {{SM_GDT_BASE, sizeof(sm.gdt), sm.gdt},
				       {SM_LDT_BASE, sizeof(sm.ldt), sm.ldt},
				       {SM_IDT_BASE, sizeof(sm.idt), sm.idt},
				       {SM_TSS_BASE, sizeof(sm.tss), sm.tss}}};
	sm.mem = (struct seg_mem){seg_windows_read, seg_windows_write, &sm.win};
	seg_cpu_init(&sm.cpu, &sm.mem);
	sm.cpu.pe = true;
	sm.cpu.lma = lma;
	sm.cpu.gdtr = (struct seg_dtr){SM_GDT_BASE, sizeof(sm.gdt) - 1};
	sm.cpu.idtr = (struct seg_dtr){SM_IDT_BASE,
				       lma ? sizeof(sm.idt) - 1 : 256 * 8 - 1};
	sm_put(sm.gdt, P_KCODE, seg_flat(SEG_KIND_CODE, 0, lma));
	sm_put(sm.gdt, P_KDATA, seg_flat(SEG_KIND_DATA, 0, false));
	sm_put(sm.gdt, P_UCODE, seg_flat(SEG_KIND_CODE, 3, lma));
	sm_put(sm.gdt, P_UDATA, seg_flat(SEG_KIND_DATA, 3, false));
	tss = seg_system(lma ? SEG_KIND_TSS64 : SEG_KIND_TSS32, SM_TSS_BASE,
			 104);
	sm_put(sm.gdt, P_TSS, tss);
	ldt = seg_system(SEG_KIND_LDT, SM_LDT_BASE, sizeof(sm.ldt));
	sm_put(sm.gdt, P_LDT, ldt);
	assert_int_equal(seg_ltr(&sm.cpu, P_TSS * 8), 0);
	assert_int_equal(seg_lldt(&sm.cpu, P_LDT * 8), 0);
}

/* As a return to ring CPL would leave it: CS, SS, DS, ES flat. */
static inline void sm_ring(u8 cpl)
{
	struct seg_return r = {.cs = seg_sel(cpl ? P_UCODE : P_KCODE, 0, cpl),
			       .ss = seg_sel(cpl ? P_UDATA : P_KDATA, 0, cpl),
			       .ip = 0x1000,
			       .sp = 0x8000};

	assert_true(cpl == 0 || cpl == 3);
	sm.cpu.cpl = 0;
	assert_int_equal(seg_far_return(&sm.cpu, &r), 0);
	assert_int_equal(seg_load(&sm.cpu, SEG_SS, r.ss), 0);
	assert_int_equal(seg_load(&sm.cpu, SEG_DS, r.ss), 0);
	assert_int_equal(seg_load(&sm.cpu, SEG_ES, r.ss), 0);
	sm.cpu.sp = 0x8000;
	assert_int_equal(sm.cpu.cpl, cpl);
}

/* RET is -EFAULT with this vector and error code, for this rule. */
static inline void sm_faulted(int ret, u8 vector, u16 error, enum seg_rule rule)
{
	const struct seg_fault *f = &sm.cpu.fault;

	if (ret != -14 || f->vector != vector || f->error != error ||
	    f->rule != rule)
		fprintf(stderr, "got %d %s(0x%x) '%s', not %s(0x%x) '%s'\n",
			ret, seg_vector_name(f->vector), f->error,
			seg_rule_text(f->rule), seg_vector_name(vector), error,
			seg_rule_text(rule));
	assert_int_equal(ret, -14);
	assert_int_equal(f->vector, vector);
	assert_int_equal(f->error, error);
	assert_int_equal(f->rule, rule);
	assert_int_equal(f->has_error, vector != X86_TRAP_UD);
}

static inline void sm_worked(int ret)
{
	if (ret)
		fprintf(stderr, "fault: %s(0x%x) '%s'\n",
			seg_vector_name(sm.cpu.fault.vector),
			sm.cpu.fault.error, seg_rule_text(sm.cpu.fault.rule));
	assert_int_equal(ret, 0);
}

#endif
