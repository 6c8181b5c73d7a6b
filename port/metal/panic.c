/* SPDX-License-Identifier: MIT */
/*
 * panic.c - the log's way out, and the machine's last words.
 *
 * 1. Purpose. Finished text goes to QEMU's debug console (port 0xe9); to the
 *    serial line where there is none, with "earlycon", and when the machine
 *    dies. A panic says what, where, with which registers, how the code came
 *    there, and how memory stood.
 *
 * 2. Structures. Names are those of symbols.c. Debug builds keep frame
 * pointers, so their traces are exact. Release builds do not: each word of the
 * stack that points behind a call is listed, and marked, since some are left
 * over from calls that are done.
 *
 * 3. Invariants. Nothing here allocates or sleeps, or waits for a lock that
 *    the one who died may hold.
 *
 * 4. Locking. One word; a CPU that cannot have it for long writes anyway.
 *
 * 5. Failure. A panic inside a panic prints its message and stops.
 *
 * References: QEMU documentation, isa-debugcon and isa-debug-exit.
 */
#include "metal.h"

#include "base/printk.h"
#include "base/string.h"
#include "phys/alloc.h"
#include "phys/phys.h"

#define DEBUGCON     0xe9
#define TRACE_MAX    32u
#define SPIN_ROUNDS  1000000u
#define LEVEL_QUIET  4 /* with "quiet": warnings and worse */
#define STATUS_PANIC 125

static struct {
	u32 word;
	bool known, debugcon;
	u32 panicking; /* CPU + 1 */
} out;

/* ---- the log's way out
 * ---------------------------------------------------------------- */

void console_options(void)
{
	metal_boot.quiet = metal_option("quiet") != NULL;
	metal_boot.earlycon = metal_option("earlycon") != NULL;
	metal_boot.panic_seconds = 0;
	metal_option_u64("panic", &metal_boot.panic_seconds);
}

static void debugcon_write(const char *text, size_t len)
{
	__asm__ volatile("rep outsb"
			 : "+S"(text), "+c"(len)
			 : "d"((u16)DEBUGCON)
			 : "memory");
}

/* Interrupts off. After SPIN_ROUNDS its owner is taken for dead. */
static void console_lock(void)
{
	for (u32 i = 0; i < SPIN_ROUNDS; i++) {
		if (port_spin_trylock(&out.word))
			return;
		x86_pause();
	}
}

void port_console(int level, const char *text, size_t len)
{
	unsigned long flags;

	if (metal_boot.quiet && level > LEVEL_QUIET)
		return;
	flags = port_irq_save();
	console_lock();
	if (!out.known) {
		/* QEMU's device reads as its own number. */
		out.debugcon = x86_inb(DEBUGCON) == DEBUGCON;
		out.known = true;
	}
	if (out.debugcon)
		debugcon_write(text, len);
	if (!out.debugcon || metal_boot.earlycon || out.panicking)
		serial_write(text, len);
	port_spin_unlock(&out.word);
	port_irq_restore(flags);
}

/* ---- walking
 * ----------------------------------------------------------------------------
 */

/* The end of the stack that SP is on; 0: not known. */
static u64 stack_end(u64 sp)
{
	const struct metal_cpu *c = metal_this();
	u64 stack = (u64)port_self()->stack;

	if (sp >= stack && sp < stack + STACK_SIZE)
		return stack + STACK_SIZE;
	for (u32 i = 0; i < IST_STACKS; i++) {
		u64 top = c->tss.ist[i];

		if (sp < top && sp >= top - IST_STACK_SIZE)
			return top;
	}
	return 0;
}

#if MM_DEBUG
#define TRACE_MARK ""

static u32 walk(u64 sp, u64 bp, u64 *to, u32 max)
{
	u64 end = stack_end(sp);
	u32 n = 0;

	while (n < max && bp >= sp && end >= 16 && bp <= end - 16 &&
	       IS_ALIGNED(bp, 8)) {
		const u64 *frame = (const u64 *)bp;

		if (!metal_is_text(frame[1] - 1))
			break;
		to[n++] = frame[1];
		sp = bp + 16;
		bp = frame[0];
	}
	return n;
}

u32 port_stack_trace(u64 *to, u32 max)
{
	u64 bp = (u64)__builtin_frame_address(0);
	u32 n;

	if (!metal_this()->thread)
		return 0;
	n = walk(bp, bp, to, max);
	return n;
}
#else
#define TRACE_MARK "? "

/* Do the bytes before ADDR make a call? */
static bool behind_call(u64 addr)
{
	const u8 *p = (const u8 *)addr;

	if (!metal_is_text(addr - 1) || !metal_is_text(addr - 8))
		return false;
	return p[-5] == 0xe8 || (p[-2] == 0xff && (p[-1] & 0x38) == 0x10) ||
	       (p[-3] == 0xff && (p[-2] & 0x38) == 0x10) ||
	       (p[-6] == 0xff && (p[-5] & 0x38) == 0x10) ||
	       (p[-7] == 0xff && (p[-6] & 0x38) == 0x10);
}

static u32 walk(u64 sp, u64 bp, u64 *to, u32 max)
{
	u64 end = stack_end(sp);
	u32 n = 0;

	(void)bp;
	for (sp = ALIGN(sp, 8); sp < end && n < max; sp += 8) {
		u64 word = *(const u64 *)sp;

		if (behind_call(word))
			to[n++] = word;
	}
	return n;
}

/* Without frame pointers there would be guesses among them. */
u32 port_stack_trace(u64 *to, u32 max)
{
	(void)to;
	(void)max;
	return 0;
}
#endif

/* ---- the last words
 * --------------------------------------------------------------------- */

static void print_frame(u64 addr)
{
	char text[128];

	(void)port_symbol(addr, text, sizeof(text));
	pr_emerg(" " TRACE_MARK "%s", text);
}

static void print_trace(u64 sp, u64 bp, bool no_frame)
{
	u64 trace[TRACE_MAX], stack = (u64)port_self()->stack;
	u32 n;

	/* After an overflow the stack's own words are what there is. */
	if (sp < stack && stack - sp < STACK_SIZE)
		sp = stack;
	n = walk(sp, bp, trace, TRACE_MAX);
	pr_emerg("Call trace:");
	/* Who jumped to what is no function has not made a frame. */
	if (MM_DEBUG && no_frame && stack_end(sp) &&
	    metal_is_text(*(const u64 *)sp - 1))
		print_frame(*(const u64 *)sp);
	for (u32 i = 0; i < n; i++)
		print_frame(trace[i]);
}

static void print_regs(const struct pt_regs *r)
{
	char text[128];

	(void)metal_symbol_text(r->rip, r->rip, text, sizeof(text));
	pr_emerg("RIP: %04x:%016llx %s", (u32)r->cs, (unsigned long long)r->rip,
		 text);
	pr_emerg("RSP: %04x:%016llx EFLAGS: %08x", (u32)r->ss,
		 (unsigned long long)r->rsp, (u32)r->eflags);
#define LINE(a, b, c)                                                        \
	pr_emerg("%4s: %016llx %4s: %016llx %4s: %016llx", #a,               \
		 (unsigned long long)r->a, #b, (unsigned long long)r->b, #c, \
		 (unsigned long long)r->c)
	LINE(rax, rbx, rcx);
	LINE(rdx, rsi, rdi);
	LINE(rbp, r8, r9);
	LINE(r10, r11, r12);
	LINE(r13, r14, r15);
#undef LINE
	pr_emerg("CR0: %08x CR2: %016llx CR3: %016llx CR4: %08x",
		 (u32)x86_read_cr0(), (unsigned long long)x86_read_cr2(),
		 (unsigned long long)x86_read_cr3(), (u32)x86_read_cr4());
}

static void print_who(void)
{
	const struct metal_cpu *c = metal_this();
	const struct mm_task *t = c->current;

	if (t)
		pr_emerg("CPU: %d thread: %s pid: %d preempt: %08x%s", c->id,
			 t->comm, t->pid, c->preempt,
			 port_in_irq() ? " in an interrupt" : "");
}

static _Noreturn void end_machine(void)
{
	const char *wait = metal_option("panic");
	u64 until = port_now_ns() + metal_boot.panic_seconds * 1000000000ul;

	if (!wait)
		machine_power_off(STATUS_PANIC);
	while (!metal_boot.panic_seconds || port_now_ns() < until)
		x86_pause();
	machine_restart();
}

/* One CPU speaks; a second panic of it says only its message. */
static void enter_panic(void)
{
	u32 me = (u32)port_cpu() + 1, none = 0;

	x86_cli();
	if (__atomic_compare_exchange_n(&out.panicking, &none, me, false,
					__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		metal_boot.quiet = false;
		apic_stop_others();
		blk_polling();
		return;
	}
	while (none != me)
		__asm__ volatile("hlt");
}

static _Noreturn void panic(const char *message, const struct pt_regs *regs,
			    u64 sp, u64 bp)
{
	static bool again;

	enter_panic();
	pr_emerg("Kernel panic - not syncing: %s", message);
	if (again)
		machine_power_off(STATUS_PANIC);
	again = true;
	print_who();
	if (regs)
		print_regs(regs);
	if (metal_this()->thread)
		print_trace(sp, bp, regs && !metal_is_text(regs->rip));
	if (phys_sys.booted)
		show_free_areas(NODE_MASK_ALL);
	pr_emerg("---[ end of panic: %s ]---", message);
	end_machine();
}

_Noreturn void port_panic(const char *message)
{
	u64 bp = (u64)__builtin_frame_address(0);

	panic(message, NULL, bp, bp);
}

_Noreturn void metal_panic_regs(const char *message, const struct pt_regs *regs)
{
	panic(message, regs, regs->rsp, regs->rbp);
}
