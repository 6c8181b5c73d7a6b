/* SPDX-License-Identifier: MIT */
/*
 * trap.c - exceptions and interrupts, once entry.S has saved the registers.
 *
 * 1. Purpose. A fault of a program goes to the manager or to its signals; one
 *    of the kernel ends the machine with all that can be known; interrupts go
 *    to the devices.
 *
 * 2. Structures. struct pt_regs on the stack of the thread that was
 *    interrupted: at its very top, if that was in user mode.
 *
 *      user mode ---- SYSCALL ----> metal_syscall_entry ---> kernel_syscall
 *                \--- exception --> stub -> trap_common ---> metal_user_trap
 *                 \-- #PF --------> stub -> trap_fault ----> metal_user_fault
 *                  \- interrupt --> stub -> irq_common ----> metal_interrupt
 *      kernel ------- exception --> trap_kernel -----------> metal_kernel_trap
 *      anywhere ----- #DF #MC NMI > trap_paranoid ---------> metal_paranoid_
 *
 * 3. Invariants.
 *    TRP-1  In the kernel GS is the kernel's. The exceptions: the first
 *           instruction of metal_syscall_entry, those between SWAPGS and the
 *           return; only #DF, #MC, NMI and #DB come there (IRETQ's own fault
 *           is told apart by its address).
 *    TRP-2  User mode is entered with no work pending: metal_user_work() ran
 *           with interrupts off since somebody last looked.
 *    TRP-3  SYSRET only to a canonical address below 2^47, RCX = RIP, R11 =
 *           flags, neither TF nor RF; all else by IRETQ.
 *
 * 4. Locking. None. Interrupts are off on entry; traps of programs turn them
 *    on, interrupt handlers run with them off, so nesting is one deep.
 *
 * 5. Life, failure. A kernel fault does not return.
 *
 * 6. Cost. A page fault: 50 instructions around the manager's; a call: 54.
 *
 * 7. Rejected. Separate page tables for user mode (Meltdown): the CPUs it is
 *    for are QEMU's here; it would cost two loads of CR3 a trap.
 *
 * References: Intel SDM vol. 3A, 5.8.8, 6.12 to 6.15; AMD APM vol. 2, 6.1.
 */
#include "metal.h"

#include "base/printk.h"
#include "base/string.h"
#include "phys/vmstat.h"

#define VEC_DB	1u
#define VEC_NMI 2u
#define VEC_DF	8u
#define VEC_PF	14u
#define VEC_MC	18u

#define DR6_STEP 0x4000ul
#define USER_END (1ul << 47)

static int no_hook(struct mm_task *task, uva_t va, u32 error)
{
	(void)task;
	(void)va;
	(void)error;
	return 11;
}

int (*metal_fault_hook)(struct mm_task *task, uva_t va, u32 error) = no_hook;

void port_set_fault_hook(int (*hook)(struct mm_task *task, uva_t va, u32 error))
{
	metal_fault_hook = hook ? hook : no_hook;
}

/* What entry.S calls. */
void metal_user_fault(struct pt_regs *regs, u64 error, u64 va);
void metal_user_trap(struct pt_regs *regs, u64 vector, u64 error);
void metal_kernel_trap(struct pt_regs *regs, u64 vector, u64 error, u64 va);
void metal_paranoid_trap(struct pt_regs *regs, u64 vector, u64 error, u64 va);
void metal_interrupt(struct pt_regs *regs, u64 vector);
void metal_user_work(struct pt_regs *regs);
struct pt_regs *metal_bad_iret(const struct pt_regs *regs);

/* ---- from user mode
 * ------------------------------------------------------------------- */

/* The manager's hook (entry.S) gave a signal: the kernel finds out why. */
void metal_user_fault(struct pt_regs *regs, u64 error, u64 va)
{
	kernel_user_trap(regs, VEC_PF, error, va);
}

/* Why #DB came; the next one begins anew. */
static u64 debug_status(void)
{
	u64 dr6;

	__asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
	__asm__ volatile("movq %0, %%dr6" ::"r"(0xffff0ff0ul));
	return dr6;
}

void metal_user_trap(struct pt_regs *regs, u64 vector, u64 error)
{
	u64 why = vector == VEC_DB ? debug_status() : 0;

	x86_sti();
	kernel_user_trap(regs, (u32)vector, error, why);
}

/*
 * What is left to do before user mode; interrupts are off at the end, and
 * nothing is left then.
 */
void metal_user_work(struct pt_regs *regs)
{
	struct port_thread *t = port_self();

	for (;;) {
		x86_cli();
		if (metal_preempt_word() == 0) {
			metal_preempt_irq();
			continue;
		}
		metal_this()->calm = METAL_CALM;
		if (!READ_ONCE(t->work))
			return;
		__atomic_fetch_and(&t->work, ~WORK_EXIT, __ATOMIC_SEQ_CST);
		x86_sti();
		kernel_exit_work(regs);
	}
}

/*
 * IRETQ refused what it was given, at REGS->rsp; REGS are the user's but for
 * what the CPU saved. The result stands where the thread's registers belong.
 */
struct pt_regs *metal_bad_iret(const struct pt_regs *regs)
{
	struct pt_regs *to = thread_regs(port_self()), all = *regs;

	mm_memcpy(&all.rip, (const void *)regs->rsp, 5 * sizeof(u64));
	mm_memcpy(to, &all, sizeof(all));
	x86_sti();
	kernel_user_trap(to, 13, 0, 0);
	return to;
}

/* ---- from the kernel
 * ------------------------------------------------------------------ */

static const char *vector_name(u64 vector)
{
	static const char *const names[] = {
		"divide error",
		"debug exception",
		"non-maskable interrupt",
		"breakpoint",
		"overflow",
		"bound range exceeded",
		"invalid opcode",
		"device not available",
		"double fault",
		"coprocessor segment overrun",
		"invalid TSS",
		"segment not present",
		"stack-segment fault",
		"general protection fault",
		"page fault",
		"reserved exception 15",
		"x87 floating-point error",
		"alignment check",
		"machine check",
		"SIMD floating-point error",
		"virtualization exception",
		"control protection exception",
	};

	return vector < ARRAY_SIZE(names) ? names[vector] : "exception";
}

static const char *fault_why(u64 error, u64 va)
{
	if (va < PAGE_SIZE)
		return ": a null pointer";
	if (va < USER_END)
		return ": the kernel does not touch user addresses";
	if (error & 16)
		return ": jumped to what is no code";
	return error & 1 ? ": protected" : ": nothing is mapped there";
}

static bool fix_up(struct pt_regs *regs)
{
	for (const struct fixup *f = __fixup_start; f < __fixup_end; f++)
		if (f->from == regs->rip) {
			/* Who asked does what a fault of the user's does, and
			 * says where it was. */
			port_current()->fault_ip = regs->rip;
			regs->rip = f->to;
			return true;
		}
	return false;
}

static _Noreturn void page_fault(const struct pt_regs *regs, u64 error, u64 va)
{
	char text[160];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	seq_printf(&s, "page fault in the kernel: %s 0x%llx",
		   error & 2 ? "writing" : "reading", (unsigned long long)va);
	if ((error & 1) || !metal_free_frame(va, &s))
		seq_puts(&s, fault_why(error, va));
	metal_panic_regs(seq_buf_str(&s), regs);
}

void metal_kernel_trap(struct pt_regs *regs, u64 vector, u64 error, u64 va)
{
	char text[160];

	if (vector == VEC_PF) {
		/* Only a user's address may be one that a copy cannot touch. */
		if (va < USER_END && fix_up(regs))
			return;
		page_fault(regs, error, va);
	}
	(void)mm_scnprintf(text, sizeof(text),
			   "%s in the kernel (vector %u, error 0x%x)",
			   vector_name(vector), (u32)vector, (u32)error);
	metal_panic_regs(text, regs);
}

/* Just below a stack there is nothing; before there are threads it is the
 * boot's. */
static bool below_stack(u64 at)
{
	const struct port_thread *t = port_self();
	u64 stack = (u64)(t ? t->stack : early_boot_stack());

	return at < stack && at >= stack - 2 * PAGE_SIZE;
}

static _Noreturn void stack_overflow(const struct pt_regs *regs)
{
	const struct port_thread *t = port_self();
	char text[128];

	(void)mm_scnprintf(text, sizeof(text),
			   "stack overflow: CPU %d ran over the end of the "
			   "stack of %s%s (double fault)",
			   port_cpu(), t ? "thread " : "the boot",
			   t ? t->task.comm : "");
	metal_panic_regs(text, regs);
}

void metal_paranoid_trap(struct pt_regs *regs, u64 vector, u64 error, u64 va)
{
	if (vector == VEC_NMI) {
		pr_warn("metal: CPU %d: non-maskable interrupt at 0x%llx",
			port_cpu(), (unsigned long long)regs->rip);
		return;
	}
	/* The kernel copied where a program watches; debuggers of this kind are
	 * told of the program's own accesses. */
	if (vector == VEC_DB && !(debug_status() & DR6_STEP))
		return;
	if (vector == VEC_DF && (below_stack(va) || below_stack(regs->rsp)))
		stack_overflow(regs);
	metal_kernel_trap(regs, vector, error, va);
}

/* ---- interrupts
 * ---------------------------------------------------------------------------
 */

void metal_interrupt(struct pt_regs *regs, u64 vector)
{
	metal_preempt_add(METAL_IRQ);
	metal_this()->irq_user = (regs->cs & 3) != 0;
	dev_interrupt((u32)vector);
	if (vector == VEC_RESCHED) {
		sched_resched(port_cpu());
		if (READ_ONCE(port_self()->work))
			metal_this()->calm = 0;
	}
	metal_preempt_add(-METAL_IRQ);
}
