/* SPDX-License-Identifier: MIT */
/*
 * trap.c - exceptions of programs: page faults go to the manager, the rest
 * become signals as sigaction(2) describes them.
 *
 * Reference: Intel SDM vol. 3, 6.15; sigaction(2), "siginfo_t".
 */
#include <mmkit/slab.h>

#include "base/string.h"
#include "task/ptrace.h"

#define FPE_INTDIV 1
#define FPE_FLTDIV 3
#define FPE_FLTOVF 4
#define FPE_FLTUND 5
#define FPE_FLTRES 6
#define FPE_FLTINV 7
#define ILL_ILLOPN 2
#define TRAP_BRKPT 1
#define BUS_ADRALN 1

#define VEC_DB	 1u
#define VEC_MF	 16u
#define VEC_XM	 19u
#define FSW_AT	 2u /* in FXSAVE's image */
#define MXCSR_AT 24u

/* si_code from the exceptions that are raised and not masked. */
static int fpe_code(u32 raised)
{
	static const struct {
		u8 bit, code;
	} map[] = {
		{0x01, FPE_FLTINV}, {0x04, FPE_FLTDIV}, {0x08, FPE_FLTOVF},
		{0x12, FPE_FLTUND}, /* and denormal operands */
		{0x20, FPE_FLTRES},
	};

	for (u32 i = 0; i < ARRAY_SIZE(map); i++)
		if (raised & map[i].bit)
			return map[i].code;
	return SI_KERNEL;
}

static void float_trap(struct pt_regs *regs, u32 vector)
{
	u8 *image = kmalloc(PAGE_SIZE, GFP_KERNEL);
	int code = SI_KERNEL;
	u16 fcw, fsw;
	u32 mxcsr;

	if (image) {
		machine_fpu_save(image);
		mm_memcpy(&fcw, image, sizeof(fcw));
		mm_memcpy(&fsw, image + FSW_AT, sizeof(fsw));
		mm_memcpy(&mxcsr, image + MXCSR_AT, sizeof(mxcsr));
		code = fpe_code(vector == VEC_MF
					? fsw & ~(u32)fcw & 0x3f
					: mxcsr & ~(mxcsr >> 7) & 0x3f);
		kfree(image);
	}
	force_sig(SIGFPE, code, regs->rip, 0);
}

static void page_fault(struct task *t, u64 error, u64 addr)
{
	struct mm_siginfo info;
	int sig = mm_user_fault_info(t->mt, addr, (u32)error, &info);

	/* A kill that is on its way needs no signal more. */
	if (sig && sig != SIGKILL)
		force_sig(sig, info.code, info.addr, info.addr_lsb);
	else if (sig)
		machine_kick(t->thread);
}

static void debug_trap(struct task *t, struct pt_regs *regs, u64 dr6)
{
	int code = trace_debug_trap(t, regs, dr6);

	if (code)
		force_sig(SIGTRAP, code, regs->rip, 0);
}

void kernel_user_trap(struct pt_regs *regs, u32 vector, u64 error, u64 addr)
{
	static const struct {
		u8 sig, code;
		bool rip; /* si_addr is where it happened */
	} map[] = {
		[0] = {SIGFPE, FPE_INTDIV, true},
		[3] = {SIGTRAP, SI_KERNEL, false},
		[4] = {SIGSEGV, SI_KERNEL, false},
		[5] = {SIGSEGV, SI_KERNEL, false},
		[6] = {SIGILL, ILL_ILLOPN, true},
		[11] = {SIGBUS, SI_KERNEL, false},
		[12] = {SIGBUS, SI_KERNEL, false},
		[13] = {SIGSEGV, SI_KERNEL, false},
		[17] = {SIGBUS, BUS_ADRALN, false},
	};
	struct task *t = current;

	t->trap_nr = vector;
	t->trap_error = error;
	t->trap_addr = vector == 14 ? addr : t->trap_addr;
	if (vector == 14)
		page_fault(t, error, addr);
	else if (vector == VEC_DB)
		debug_trap(t, regs, addr);
	else if (vector == VEC_MF || vector == VEC_XM)
		float_trap(regs, vector);
	else if (vector < ARRAY_SIZE(map) && map[vector].sig)
		force_sig(map[vector].sig, map[vector].code,
			  map[vector].rip ? regs->rip : 0, 0);
	else
		force_sig(SIGSEGV, SI_KERNEL, 0, 0);
}
