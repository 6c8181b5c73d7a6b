/* SPDX-License-Identifier: MIT */
/*
 * syscall.c - the table of system calls, and the way in and out.
 *
 * 1. One slot for each number: its handler, and how often it was called. All
 *    slots carry Linux's name from the start, so that what a program asked in
 *    vain is told by name. Calls that only this kernel has stand in a table of
 *    their own, from FIRST_OWN_SYSCALL on, where Linux will not come soon.
 *
 * 2. Way out. A call that a signal interrupted returns a restart code
 *    (task.h). Programs never see it: whenever there is one, or a signal
 *    waits, the way back leads through kernel_exit_work(), which turns it into
 *    EINTR or makes the program execute SYSCALL again.
 *
 * 3. Locking: none. Handlers are entered at boot; counts are atomic.
 */
#include "syscall.h"

#include "base/atomic.h"
#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "memcg/memcg.h"
#include "syscall_names.h"
#include "task/ptrace.h"
#include "vfs.h"

struct syscall_slot {
	const char *name;
	syscall_fn fn;
	u64 calls;
};

static struct {
	struct syscall_slot slots[NR_SYSCALLS];
	struct syscall_slot own[NR_OWN_SYSCALLS]; /* from FIRST_OWN_SYSCALL */
	u64 beyond; /* calls of numbers that have no slot */
	bool trace;
} syscall_sys;

void syscall_trace(bool on)
{
	syscall_sys.trace = on;
}

/* The slot of number NR, or NULL. */
static struct syscall_slot *slot_of(u64 nr)
{
	if (likely(nr < NR_SYSCALLS))
		return &syscall_sys.slots[nr];
	if (nr - FIRST_OWN_SYSCALL < NR_OWN_SYSCALLS)
		return &syscall_sys.own[nr - FIRST_OWN_SYSCALL];
	return NULL;
}

/* One line for a call that has ended. */
static void trace(const struct pt_regs *regs, const struct sys_args *s, s64 ret)
{
	const struct syscall_slot *slot = slot_of((u32)regs->orig_rax);

	pr_info("%d %s: %s(0x%llx, 0x%llx, 0x%llx, 0x%llx) = %lld\n",
		port_current()->pid, port_current()->comm,
		slot && slot->name ? slot->name : "?",
		(unsigned long long)s->a[0], (unsigned long long)s->a[1],
		(unsigned long long)s->a[2], (unsigned long long)s->a[3],
		(long long)ret);
}

void syscall_register(const struct syscall_def *defs, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		struct syscall_slot *slot = slot_of(defs[i].nr);

		mm_verify(slot);
		if (slot->fn)
			port_panic("a system call is registered twice");
		/* A name that disagrees means that the number does. */
		if (!slot->name || mm_strcmp(slot->name, defs[i].name) != 0)
			port_panic("a system call has another number");
		slot->fn = defs[i].fn;
	}
}

static void names_init(void)
{
	static const struct {
		u16 nr;
		const char *name;
	} names[] = {
#define SYSCALL_ROW(nr, name) {nr, name},
		SYSCALL_NAMES(SYSCALL_ROW) OWN_SYSCALL_NAMES(SYSCALL_ROW)
#undef SYSCALL_ROW
	};

	mm_memset(&syscall_sys, 0, sizeof(syscall_sys));
	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		slot_of(names[i].nr)->name = names[i].name;
}

void syscall_init(void)
{
	names_init();
	fs_sys_init();
	event_sys_init();
	mm_sys_init();
	proc_sys_init();
	time_sys_init();
}

s64 syscall_dispatch(u64 nr, const struct sys_args *s)
{
	struct syscall_slot *slot = slot_of(nr);

	if (unlikely(!slot)) {
		__atomic_fetch_add(&syscall_sys.beyond, 1, __ATOMIC_RELAXED);
		return -ENOSYS;
	}
	if (__atomic_fetch_add(&slot->calls, 1, __ATOMIC_RELAXED) == 0 &&
	    !slot->fn)
		pr_info("%s: %s (%u) is not there\n", port_current()->comm,
			slot->name ? slot->name : "system call", (u32)nr);
	return slot->fn ? slot->fn(s) : -ENOSYS;
}

void syscall_show(struct seq_buf *out)
{
	for (u32 i = 0; i < FIRST_OWN_SYSCALL + NR_OWN_SYSCALLS; i++) {
		const struct syscall_slot *slot = slot_of(i);
		u64 calls = slot ? READ_ONCE(slot->calls) : 0;

		if (!calls)
			continue;
		seq_printf(out, "%s %llu%s\n", slot->name ? slot->name : "?",
			   (unsigned long long)calls,
			   slot->fn ? "" : " ENOSYS");
	}
	if (READ_ONCE(syscall_sys.beyond))
		seq_printf(out, "beyond %llu ENOSYS\n",
			   (unsigned long long)READ_ONCE(syscall_sys.beyond));
}

static bool is_restart(s64 ret)
{
	return ret <= -ERESTARTSYS && ret >= -ERESTART_RESTARTBLOCK;
}

void kernel_syscall(struct pt_regs *regs)
{
	struct task *t = current;
	bool go = true;
	s64 ret;

	t->syscalls++;
	if (unlikely(READ_ONCE(t->trace.work)))
		go = trace_call_enter(t, regs);
	if (likely(go)) {
		struct sys_args s = {{regs->rdi, regs->rsi, regs->rdx,
				      regs->r10, regs->r8, regs->r9}};

		/* Numbers are 32 bits wide. */
		ret = syscall_dispatch((u32)regs->orig_rax, &s);
		if (unlikely(READ_ONCE(syscall_sys.trace)))
			trace(regs, &s, ret);
		regs->rax = (u64)ret;
	} else {
		/* As the tracer has it; nothing to be begun anew. */
		ret = (s64)regs->rax;
	}
	memcg_return();
	if (is_restart(ret) || signal_pending(t) || t->restore_blocked ||
	    unlikely(READ_ONCE(t->trace.work)))
		exit_work(regs, true);
	regs->orig_rax = (u64)-1;
}

int user_path(char *buf, uva_t from)
{
	s64 len = strncpy_from_user(current->mt->mm, buf, from, PATH_MAX);

	if (len < 0)
		return (int)len;
	return len == PATH_MAX ? -ENAMETOOLONG : 0;
}
