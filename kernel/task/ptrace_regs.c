/* SPDX-License-Identifier: MIT */
/*
 * ptrace_regs.c - a stopped thread's registers. Theory: ptrace.c.
 *
 * 1. struct user, as <sys/user.h> has it, is not a thing in memory but a way
 *    to number registers: the general ones first, then (from 848) the debug
 *    registers; all else in it reads as zero.
 *
 * 2. What is set is held to what a program could do itself: the flags that
 *    only the kernel may set stay, segments are the flat ones, bases lie in
 *    user space, an FPU image is one.
 *
 * 3. Debug registers. A breakpoint's address is one of user space, its length
 *    fits its kind. The thread loads them when it goes on.
 *
 * Reference: ptrace(2); Intel SDM vol. 3B, 17.2; elf(5), notes.
 */
#include <mmkit/slab.h>

#include "base/string.h"
#include "syscall.h"
#include "task/ptrace.h"

#define REG_CS	   17u
#define REG_EFLAGS 18u
#define REG_SS	   20u
#define REG_FSBASE 21u
#define REG_GSBASE 22u

/* A program may set NT as well, for what it is worth. */
#define FLAGS_TRACED (EFLAGS_USER | 0x4000UL)

#define USER_DEBUG_AT  848u /* offsetof(struct user, u_debugreg) */
#define USER_DEBUG_END 912u
#define USER_BYTES     928u

#define NT_PRSTATUS   1u
#define NT_PRFPREG    2u
#define NT_X86_XSTATE 0x202u

#define FX_BYTES    512u
#define FX_SW_AT    464u
#define XHEADER_AT  512u
#define FPU_WAIT_NS 50000u

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

/* ---- general registers -----------------------------------------------------
 */

void trace_step_set(struct task *t, bool on)
{
	struct pt_regs *r = machine_regs(t->thread);

	if (on && !(r->eflags & EFLAGS_TF)) {
		r->eflags |= EFLAGS_TF;
		t->trace.forced_tf = true;
	} else if (!on && t->trace.forced_tf) {
		r->eflags &= ~EFLAGS_TF;
		t->trace.forced_tf = false;
	}
}

static u64 reg_get(struct task *t, u32 i)
{
	const struct pt_regs *r = machine_regs(t->thread);

	if (i == REG_EFLAGS && t->trace.forced_tf)
		return r->eflags & ~EFLAGS_TF;
	if (i < sizeof(*r) / sizeof(u64))
		return ((const u64 *)r)[i];
	if (i == REG_FSBASE)
		return machine_fsbase(t->thread);
	return i == REG_GSBASE ? machine_gsbase(t->thread) : 0;
}

static void flags_set(struct task *t, u64 value)
{
	struct pt_regs *r = machine_regs(t->thread);

	/* Its own from now on, or still the tracer's. */
	if (value & EFLAGS_TF)
		t->trace.forced_tf = false;
	else if (t->trace.forced_tf)
		value |= EFLAGS_TF;
	r->eflags = (r->eflags & ~FLAGS_TRACED) | (value & FLAGS_TRACED);
}

static s64 reg_set(struct task *t, u32 i, u64 value)
{
	struct pt_regs *r = machine_regs(t->thread);

	if (i == REG_CS || i == REG_SS)
		return value == ((u64 *)r)[i] ? 0 : -EIO;
	if (i == REG_EFLAGS) {
		flags_set(t, value);
	} else if (i < sizeof(*r) / sizeof(u64)) {
		((u64 *)r)[i] = value;
	} else if (i == REG_FSBASE || i == REG_GSBASE) {
		if (value >= user_space_end())
			return -EIO;
		if (i == REG_FSBASE)
			machine_set_fsbase(t->thread, value);
		else
			machine_set_gsbase(t->thread, value);
	} else if (value && value != USER_DS) {
		return -EIO; /* ds, es, fs, gs: all are flat */
	}
	return 0;
}

void trace_regs_get(struct task *t, u64 out[TRACE_NR_REGS])
{
	for (u32 i = 0; i < TRACE_NR_REGS; i++)
		out[i] = reg_get(t, i);
}

static s64 regs_set(struct task *t, const u64 *from, u32 n)
{
	s64 err = 0;

	for (u32 i = 0; i < n && !err; i++)
		err = reg_set(t, i, from[i]);
	return err;
}

/* ---- debug registers -------------------------------------------------------
 */

/* Is breakpoint I of CONTROL, if it is on, one at ADDR? */
static bool break_ok(u64 control, u32 i, u64 addr)
{
	u32 kind = control >> (16 + 4 * i) & 3,
	    len = control >> (18 + 4 * i) & 3;
	u64 bytes = len == 2 ? 8 : len + 1;

	if (!(control >> (2 * i) & 3))
		return true;
	/* Ports are nobody's; of instructions the first byte counts. */
	if (kind == 2 || (kind == 0 && len))
		return false;
	return addr < user_space_end() && !(addr & (bytes - 1));
}

static s64 debug_set(struct task *t, u32 i, u64 value)
{
	u64 *d = t->trace.debug;

	if (i == 4 || i == 5)
		return -EIO;
	if (i < 4) {
		if (value >= user_space_end() || !break_ok(d[7], i, value))
			return -EINVAL;
	} else if (i == 7) {
		/* The bits that are always set, and no others above. */
		if (value >> 32 || (value & 0x2000))
			return -EINVAL;
		for (u32 k = 0; k < 4; k++)
			if (!break_ok(value, k, d[k]))
				return -EINVAL;
	}
	d[i] = value;
	return 0;
}

/* Word at OFF of struct user. */
static s64 user_peek(struct task *t, u64 off, uva_t data)
{
	u64 word = 0;

	if ((off & 7) || off >= USER_BYTES)
		return -EIO;
	if (off < TRACE_NR_REGS * 8)
		word = reg_get(t, (u32)off / 8);
	else if (off >= USER_DEBUG_AT && off < USER_DEBUG_END)
		word = t->trace.debug[(off - USER_DEBUG_AT) / 8];
	return user_write(data, &word, sizeof(word));
}

static s64 user_poke(struct task *t, u64 off, u64 word)
{
	if ((off & 7) || off >= USER_BYTES)
		return -EIO;
	if (off < TRACE_NR_REGS * 8)
		return reg_set(t, (u32)off / 8, word);
	if (off < USER_DEBUG_AT || off >= USER_DEBUG_END)
		return -EIO;
	return debug_set(t, (u32)(off - USER_DEBUG_AT) / 8, word);
}

/* ---- the FPU ---------------------------------------------------------------
 */

/* Does T rest still? It says so before it is off its CPU. */
static bool fpu_wait(struct task *t)
{
	if (!READ_ONCE(t->trace.stopped) && !READ_ONCE(t->core_wait))
		return false;
	(void)port_park(FPU_WAIT_NS);
	return true;
}

int trace_fpu_get(struct task *t, void *image)
{
	u64 xcr0 = machine_fpu_features();
	int err;

	while ((err = machine_fpu_peek(t->thread, image)) == -EAGAIN)
		if (!fpu_wait(t))
			return -ESRCH;
	/* Where debuggers look for what the image is made of. */
	if (!err)
		mm_memcpy((u8 *)image + FX_SW_AT, &xcr0, sizeof(xcr0));
	return err;
}

static int fpu_put(struct task *t, u8 *image)
{
	int err;

	mm_memset(image + FX_SW_AT, 0, FX_BYTES - FX_SW_AT);
	while ((err = machine_fpu_poke(t->thread, image)) == -EAGAIN)
		if (!fpu_wait(t))
			return -ESRCH;
	return err;
}

/* BYTES of T's image, from its beginning, to or from ADDR. */
static s64 fpu_transfer(struct task *t, bool set, uva_t addr, u64 bytes)
{
	u8 *image = kzalloc(PAGE_SIZE, GFP_KERNEL);
	u64 header;
	s64 err;

	if (!image)
		return -ENOMEM;
	err = trace_fpu_get(t, image);
	if (!err && set)
		err = user_read(image, addr, bytes);
	else if (!err)
		err = user_write(addr, image, bytes);
	if (!err && set) {
		/* The old form says nothing of what is in use: all is. */
		if (bytes == FX_BYTES && machine_fpu_features()) {
			mm_memcpy(&header, image + XHEADER_AT, sizeof(header));
			header |= 3;
			mm_memcpy(image + XHEADER_AT, &header, sizeof(header));
		}
		err = fpu_put(t, image);
	}
	kfree(image);
	return err;
}

/* ---- sets ------------------------------------------------------------------
 */

struct user_iov {
	u64 base, len;
};

static s64 general_transfer(struct task *t, bool set, uva_t addr, u64 bytes)
{
	u64 regs[TRACE_NR_REGS];

	if (!set) {
		trace_regs_get(t, regs);
		return user_write(addr, regs, bytes);
	}
	if (user_read(regs, addr, bytes))
		return -EFAULT;
	return regs_set(t, regs, (u32)(bytes / 8));
}

static s64 regset(struct task *t, bool set, u64 kind, uva_t data)
{
	struct user_iov iov;
	u64 size;
	s64 err;

	if (user_read(&iov, data, sizeof(iov)))
		return -EFAULT;
	if (kind == NT_PRSTATUS)
		size = TRACE_NR_REGS * 8;
	else if (kind == NT_PRFPREG)
		size = FX_BYTES;
	else if (kind == NT_X86_XSTATE && machine_fpu_features())
		size = machine_fpu_size();
	else
		return kind == NT_X86_XSTATE ? -ENODEV : -EINVAL;
	if (iov.len % 8)
		return -EINVAL;
	/* Part of a state is none. */
	if (set && kind != NT_PRSTATUS && iov.len < size)
		return -EINVAL;
	iov.len = min(iov.len, size);
	err = kind == NT_PRSTATUS ? general_transfer(t, set, iov.base, iov.len)
				  : fpu_transfer(t, set, iov.base, iov.len);
	return err ? err : user_write(data, &iov, sizeof(iov));
}

static s64 bases(struct task *t, u64 what, u64 addr)
{
	u64 word;

	switch (what) {
	case ARCH_SET_FS:
		return reg_set(t, REG_FSBASE, addr) ? -EPERM : 0;
	case ARCH_SET_GS:
		return reg_set(t, REG_GSBASE, addr) ? -EPERM : 0;
	case ARCH_GET_FS:
	case ARCH_GET_GS:
		word = reg_get(t,
			       what == ARCH_GET_FS ? REG_FSBASE : REG_GSBASE);
		return user_write(addr, &word, sizeof(word));
	default:
		return -EINVAL;
	}
}

s64 trace_regs_request(struct task *t, u64 request, u64 addr, u64 data)
{
	switch (request) {
	case PTRACE_PEEKUSER:
		return user_peek(t, addr, data);
	case PTRACE_POKEUSER:
		return user_poke(t, addr, data);
	case PTRACE_GETREGS:
	case PTRACE_SETREGS:
		return general_transfer(t, request == PTRACE_SETREGS, data,
					TRACE_NR_REGS * 8);
	case PTRACE_GETFPREGS:
	case PTRACE_SETFPREGS:
		return fpu_transfer(t, request == PTRACE_SETFPREGS, data,
				    FX_BYTES);
	case PTRACE_GETREGSET:
	case PTRACE_SETREGSET:
		return regset(t, request == PTRACE_SETREGSET, addr, data);
	case PTRACE_ARCH_PRCTL:
		return bases(t, data, addr);
	default:
		return -EIO;
	}
}
