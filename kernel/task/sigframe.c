/* SPDX-License-Identifier: MIT */
/*
 * sigframe.c - running a handler: the frame on the program's stack, and back.
 *
 * 1. The frame is the one that C libraries and debuggers know from x86-64
 *    Linux (ucontext_t, siginfo_t, the FPU's image in FXSAVE or XSAVE form
 *    with the words that tell its size). Below the red zone, from above:
 *
 *	FPU image, at a multiple of 64, then FP_XSTATE_MAGIC2 if extended
 *	siginfo
 *	ucontext
 *	return address: the restorer, which calls rt_sigreturn
 *
 *    and its address is 8 below a multiple of 16, as after a call.
 *
 * 2. rt_sigreturn believes nothing: segments and the flags that only the
 *    kernel may set are its own, the instruction pointer must be in user
 *    space, an FPU image must be one. A frame that is none ends in SIGSEGV.
 *
 * 3. Restarting. A call that a signal interrupted has a restart code in rax
 *    (task.h): it becomes EINTR, or rip goes back onto SYSCALL.
 *
 * Reference: sigaction(2), sigreturn(2), sigaltstack(2), System V ABI AMD64
 * supplement; Intel SDM vol. 1, 13.
 */
#include <mmkit/slab.h>
#include <mmkit/uaccess.h>

#include "base/string.h"
#include "syscall.h"
#include "task/ptrace.h"

#define SS_ONSTACK    1u
#define SS_DISABLE    2u
#define SS_AUTODISARM (1u << 31)
#define MINSIGSTKSZ   2048u

#define UC_FP_XSTATE	     0x1u
#define UC_SIGCONTEXT_SS     0x2u
#define UC_STRICT_RESTORE_SS 0x4u

#define FP_XSTATE_MAGIC1 0x46505853u
#define FP_XSTATE_MAGIC2 0x46505845u
#define FX_SIZE		 512u /* FXSAVE's image */
#define FX_SW_AT	 464u /* in it: bytes for software */
#define XHEADER_AT	 512u /* XSAVE's header */

#define RED_ZONE	   128u
#define NR_restart_syscall 219u
#define SYSCALL_BYTES	   2u

struct sig_stack {
	u64 sp;
	u32 flags, pad;
	u64 size;
};
struct sig_context {
	u64 r8, r9, r10, r11, r12, r13, r14, r15;
	u64 rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	u16 cs, gs, fs, ss;
	u64 err, trapno, oldmask, cr2;
	u64 fpstate;
	u64 reserved[8];
};
struct sig_ucontext {
	u64 flags, link;
	struct sig_stack stack;
	struct sig_context mc;
	u64 mask;
};
struct sig_frame {
	u64 restorer;
	struct sig_ucontext uc;
	struct ksiginfo info;
};
struct fpx_sw {
	u32 magic1, extended_size;
	u64 xfeatures;
	u32 xstate_size, pad[7];
};

MM_STATIC_ASSERT(sizeof(struct sig_context) == 256, "as programs know it");
MM_STATIC_ASSERT(sizeof(struct ksiginfo) == 128, "as programs know it");
MM_STATIC_ASSERT(offsetof(struct sig_ucontext, mask) == 296, "the same");
MM_STATIC_ASSERT(sizeof(struct fpx_sw) == FX_SIZE - FX_SW_AT, "the same");

/* ---- stacks ----------------------------------------------------------------
 */

static bool on_altstack(const struct task *t, u64 sp)
{
	return !(t->altstack_flags & SS_AUTODISARM) && sp > t->altstack &&
	       sp - t->altstack <= t->altstack_size;
}

static u32 altstack_state(const struct task *t, u64 sp)
{
	if (!t->altstack_size)
		return SS_DISABLE;
	return (on_altstack(t, sp) ? SS_ONSTACK : 0) |
	       (t->altstack_flags & SS_AUTODISARM);
}

/* Bytes that the FPU has in a frame. */
static u32 fpu_bytes(void)
{
	return machine_fpu_size() + (machine_fpu_features() ? 4 : 0);
}

u32 sigframe_min_stack(void)
{
	u32 frame = (u32)sizeof(struct sig_frame) + fpu_bytes() + 64 + 16 +
		    RED_ZONE;

	return max(MINSIGSTKSZ, ALIGN(frame, 16u));
}

/* ---- the FPU ---------------------------------------------------------------
 */

/* The running thread's image, with the words that tell what it is, to TO. */
static int fpu_push(u64 to)
{
	u32 size = machine_fpu_size(), magic2 = FP_XSTATE_MAGIC2;
	/* The image wants 64. */
	u8 *buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
	struct fpx_sw sw = {0, 0, 0, 0, {0}};
	bool xsave = machine_fpu_features() != 0;
	int err;

	if (!buf)
		return -ENOMEM;
	mm_verify(size <= PAGE_SIZE);
	mm_memset(buf, 0, size);
	machine_fpu_save(buf);
	if (xsave)
		sw = (struct fpx_sw){FP_XSTATE_MAGIC1,
				     size + 4,
				     machine_fpu_features(),
				     size,
				     {0}};
	mm_memcpy(buf + FX_SW_AT, &sw, sizeof(sw));
	err = user_write(to, buf, size);
	if (!err && xsave)
		err = user_write(to + size, &magic2, 4);
	kfree(buf);
	return err;
}

/* Does the image at FROM, whose first part is BUF, hold all of XSAVE's? */
static bool fpu_extended(u64 from, const u8 *buf)
{
	struct fpx_sw sw;
	u32 magic2;

	mm_memcpy(&sw, buf + FX_SW_AT, sizeof(sw));
	if (sw.magic1 != FP_XSTATE_MAGIC1 ||
	    sw.xstate_size != machine_fpu_size() ||
	    sw.extended_size < sw.xstate_size + 4 ||
	    (sw.xfeatures & ~machine_fpu_features()))
		return false;
	return !user_read(&magic2, from + sw.xstate_size, 4) &&
	       magic2 == FP_XSTATE_MAGIC2;
}

/* Take the image at FROM; 0: what a program begins with. */
static int fpu_pop(u64 from)
{
	u32 size = machine_fpu_size();
	u64 x87_sse = 3;
	u8 *buf;
	int err;

	if (!from) {
		machine_fpu_reset();
		return 0;
	}
	buf = kzalloc(PAGE_SIZE, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	err = user_read(buf, from, FX_SIZE);
	if (!err && machine_fpu_features()) {
		if (fpu_extended(from, buf))
			err = user_read(buf, from, size);
		else
			mm_memcpy(buf + XHEADER_AT, &x87_sse, 8);
	}
	mm_memset(buf + FX_SW_AT, 0, FX_SIZE - FX_SW_AT);
	if (!err)
		err = machine_fpu_load(buf);
	kfree(buf);
	return err;
}

/* ---- going -----------------------------------------------------------------
 */

static void save_context(struct sig_context *c, const struct pt_regs *r)
{
	const struct task *t = current;

	*c = (struct sig_context){
		.r8 = r->r8,
		.r9 = r->r9,
		.r10 = r->r10,
		.r11 = r->r11,
		.r12 = r->r12,
		.r13 = r->r13,
		.r14 = r->r14,
		.r15 = r->r15,
		.rdi = r->rdi,
		.rsi = r->rsi,
		.rbp = r->rbp,
		.rbx = r->rbx,
		.rdx = r->rdx,
		.rax = r->rax,
		.rcx = r->rcx,
		.rsp = r->rsp,
		.rip = r->rip,
		.eflags = r->eflags,
		.cs = (u16)r->cs,
		.ss = (u16)r->ss,
		.err = t->trap_error,
		.trapno = t->trap_nr,
		.cr2 = t->trap_addr,
	};
}

static void restore_context(struct pt_regs *r, const struct sig_context *c)
{
	r->r8 = c->r8, r->r9 = c->r9, r->r10 = c->r10, r->r11 = c->r11;
	r->r12 = c->r12, r->r13 = c->r13, r->r14 = c->r14, r->r15 = c->r15;
	r->rdi = c->rdi, r->rsi = c->rsi, r->rbp = c->rbp, r->rbx = c->rbx;
	r->rdx = c->rdx, r->rax = c->rax, r->rcx = c->rcx, r->rsp = c->rsp;
	r->rip = c->rip;
	r->cs = USER_CS;
	r->ss = USER_DS;
	r->eflags = (r->eflags & ~EFLAGS_USER) | (c->eflags & EFLAGS_USER);
	r->orig_rax = (u64)-1;
}

/* Where the frame of ACT's handler begins, and its FPU image; 0: nowhere. */
static u64 frame_place(const struct task *t, const struct ksigaction *act,
		       u64 sp, u64 *fp)
{
	bool alt = on_altstack(t, sp);

	if ((act->flags & SA_ONSTACK) && t->altstack_size && !alt) {
		sp = t->altstack + t->altstack_size;
		alt = true;
	} else {
		sp -= RED_ZONE;
	}
	*fp = ALIGN_DOWN(sp - fpu_bytes(), 64);
	sp = ALIGN_DOWN(*fp - sizeof(struct sig_frame), 16) - 8;
	/* Running over the alternative stack's end: not into what is there. */
	if (alt && (sp <= t->altstack || sp - t->altstack > t->altstack_size))
		return 0;
	return sp;
}

int sigframe_push(struct pt_regs *regs, int sig, const struct ksigaction *act,
		  const struct ksiginfo *info, u64 saved_mask)
{
	struct task *t = current;
	struct sig_frame f;
	u64 fp, at = frame_place(t, act, regs->rsp, &fp);

	if (!at || !(act->flags & SA_RESTORER))
		return -EFAULT;
	mm_memset(&f, 0, sizeof(f));
	f.restorer = act->restorer;
	f.uc.flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS |
		     (machine_fpu_features() ? UC_FP_XSTATE : 0);
	f.uc.stack = (struct sig_stack){
		t->altstack, altstack_state(t, regs->rsp), 0, t->altstack_size};
	save_context(&f.uc.mc, regs);
	f.uc.mc.fpstate = fp;
	f.uc.mc.oldmask = f.uc.mask = saved_mask;
	f.info = *info;
	if (fpu_push(fp) || user_write(at, &f, sizeof(f)))
		return -EFAULT;
	if (t->altstack_flags & SS_AUTODISARM)
		t->altstack = t->altstack_size = t->altstack_flags = 0;
	regs->rdi = (u64)sig;
	regs->rsi = at + offsetof(struct sig_frame, info);
	regs->rdx = at + offsetof(struct sig_frame, uc);
	regs->rax = 0;
	regs->rip = act->handler;
	regs->rsp = at;
	regs->cs = USER_CS;
	regs->ss = USER_DS;
	regs->eflags &= ~(EFLAGS_DF | EFLAGS_RF | EFLAGS_TF);
	return 0;
}

/* ---- coming back -----------------------------------------------------------
 */

static s64 altstack_set(struct task *t, const struct sig_stack *s, u64 sp);

s64 sys_rt_sigreturn(const struct sys_args *s)
{
	struct pt_regs *regs = machine_regs(port_self());
	u64 at = regs->rsp - 8;
	struct sig_frame f;

	(void)s;
	/* Nothing is restarted behind this, whatever rax will say. */
	regs->orig_rax = (u64)-1;
	if (user_read(&f, at, offsetof(struct sig_frame, info)) ||
	    f.uc.mc.rip >= user_space_end() || fpu_pop(f.uc.mc.fpstate)) {
		force_sig(SIGSEGV, SI_KERNEL, 0, 0);
		return 0;
	}
	set_blocked(f.uc.mask);
	restore_context(regs, &f.uc.mc);
	/* The stack as it was; an error here is none of the call's. */
	(void)altstack_set(current, &f.uc.stack, regs->rsp);
	return (s64)regs->rax;
}

static s64 altstack_set(struct task *t, const struct sig_stack *s, u64 sp)
{
	u32 mode = s->flags & ~SS_AUTODISARM;

	if (on_altstack(t, sp))
		return -EPERM;
	if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
		return -EINVAL;
	if (mode == SS_DISABLE) {
		t->altstack = t->altstack_size = 0;
	} else {
		if (s->size < MINSIGSTKSZ)
			return -ENOMEM;
		t->altstack = s->sp;
		t->altstack_size = s->size;
	}
	t->altstack_flags = s->flags & SS_AUTODISARM;
	return 0;
}

s64 sys_sigaltstack(const struct sys_args *s)
{
	u64 sp = machine_regs(port_self())->rsp;
	struct task *t = current;
	struct sig_stack new,
		old = {t->altstack, altstack_state(t, sp), 0, t->altstack_size};
	s64 ret = 0;

	if (s->a[0]) {
		if (user_read(&new, s->a[0], sizeof(new)))
			return -EFAULT;
		ret = altstack_set(t, &new, sp);
	}
	if (!ret && s->a[1])
		ret = user_write(s->a[1], &old, sizeof(old));
	return ret;
}

/* ---- the way to user mode --------------------------------------------------
 */

/* What becomes of an interrupted call before handler ACT runs, NULL: none. */
static void restart(struct pt_regs *regs, const struct ksigaction *act)
{
	s64 code = -(s64)regs->rax;
	bool again;

	if (regs->orig_rax == (u64)-1)
		return;
	switch (code) {
	case ERESTARTNOINTR:
		again = true;
		break;
	case ERESTARTSYS:
		again = !act || (act->flags & SA_RESTART);
		break;
	case ERESTARTNOHAND:
	case ERESTART_RESTARTBLOCK:
		again = !act;
		break;
	default:
		return;
	}
	if (again) {
		regs->rax = code == ERESTART_RESTARTBLOCK ? NR_restart_syscall
							  : regs->orig_rax;
		regs->rip -= SYSCALL_BYTES;
	} else {
		regs->rax = (u64)-EINTR;
	}
	regs->orig_rax = (u64)-1;
}

/* SIG's handler is to run. */
static void handle(struct pt_regs *regs, int sig, const struct ksigaction *act,
		   const struct ksiginfo *info)
{
	struct task *t = current;
	u64 saved = t->restore_blocked ? t->saved_blocked : t->blocked;
	bool stepped = trace_handler(t, regs);

	restart(regs, act);
	if (sigframe_push(regs, sig, act, info, saved)) {
		/* Not even the handler of SIGSEGV could run. */
		if (sig == SIGSEGV)
			signal_set_default(SIGSEGV);
		force_sig(SIGSEGV, SI_KERNEL, 0, 0);
		return;
	}
	t->restore_blocked = false;
	set_blocked(t->blocked | act->mask |
		    (act->flags & SA_NODEFER ? 0 : SIGSET(sig)));
	if (stepped)
		trace_stepped(t);
}

/* CALL: a system call has just ended. */
void exit_work(struct pt_regs *regs, bool call)
{
	struct task *t = current;
	struct ksigaction act;
	struct ksiginfo info;
	int sig;

	/* Behind anything else rax is the program's own. */
	if (!call)
		regs->orig_rax = (u64)-1;
	else if (unlikely(READ_ONCE(t->trace.work)))
		trace_call_exit(t, regs);
	while (signal_pending(t)) {
		sig = get_signal(&act, &info);
		if (!sig)
			break;
		handle(regs, sig, &act, &info);
	}
	restart(regs, NULL);
	restore_saved_blocked();
	/* The old mask may let something in. */
	if (signal_pending(t)) {
		sig = get_signal(&act, &info);
		if (sig)
			handle(regs, sig, &act, &info);
	}
}

void kernel_exit_work(struct pt_regs *regs)
{
	if (current)
		exit_work(regs, false);
}
