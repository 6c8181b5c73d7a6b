/* SPDX-License-Identifier: MIT */
/*
 * kernel_weak.c - the kernel of an image without kernel/: it shows what the
 * manager knows of the machine, audits it and ends. Weak: kernel/ replaces it.
 */
#include <mmkit/report.h>

#include "base/printk.h"
#include "base/seqbuf.h"
#include "metal.h"

#define WEAK __attribute__((weak))

static void to_console(void *arg, const char *text, size_t len)
{
	(void)arg;
	port_console(6, text, len);
}

static void show(const char *path)
{
	char buf[256];
	struct seq_buf s;

	seq_buf_init_sink(&s, buf, sizeof(buf), to_console, NULL);
	(void)mm_show(path, &s);
	seq_buf_flush(&s);
}

WEAK void kernel_main(void)
{
	char buf[256];
	struct seq_buf s;
	int findings;

	show("/proc/buddyinfo");
	show("/proc/meminfo");
	seq_buf_init_sink(&s, buf, sizeof(buf), to_console, NULL);
	findings = mm_audit(&s);
	seq_buf_flush(&s);
	machine_power_off(findings ? 1 : 0);
}

WEAK void kernel_syscall(struct pt_regs *regs)
{
	regs->rax = (u64)-38; /* ENOSYS */
}

WEAK void kernel_user_trap(struct pt_regs *regs, u32 vector, u64 error,
			   u64 addr)
{
	(void)vector;
	(void)error;
	(void)addr;
	metal_panic_regs("a trap of a program, and no kernel for it", regs);
}

WEAK void kernel_exit_work(struct pt_regs *regs)
{
	(void)regs;
}
