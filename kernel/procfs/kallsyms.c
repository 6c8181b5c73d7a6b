/* SPDX-License-Identifier: MIT */
/*
 * kallsyms.c - /proc/kallsyms, and addresses of the kernel in other files.
 *
 * 1. Purpose. Programs that read addresses (trace-cmd, perf, ps) want names for
 *    them. The table is the machine's (machine.h), of functions alone.
 *
 * 2. Who sees addresses. By /proc/sys/kernel/kptr_restrict: 0 and 1: who has
 *    CAP_SYSLOG; 2: nobody. Others read the names with zeroes before them.
 *    What counts is who reads, not who opened.
 *
 * 3. Events. A call site is told with its name to who may read tracefs at all,
 *    which is root (kernel_symbol_text() is what trace_set_symbol() is given).
 *
 * References: proc(5); Linux documentation, admin-guide/sysctl/kernel
 * (kptr_restrict), core-api/printk-formats (%pS, %ps).
 */
#include "machine.h"

#include "base/string.h"
#include "fs/fs.h"
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"

static bool shows_addresses(void)
{
	return READ_ONCE(proc_sys.kptr_restrict) < 2 && capable(CAP_SYSLOG);
}

int next_kallsym(const struct pnode *n, u64 *at, struct seq_buf *out)
{
	struct machine_symbol s;

	(void)n;
	if (!machine_symbol((u32)*at, &s))
		return 0;
	seq_printf(out, "%016llx %c %s\n", LLU(shows_addresses() ? s.addr : 0),
		   s.type, s.name);
	++*at;
	return 1;
}

bool kernel_symbol_name(u64 addr, struct seq_buf *out)
{
	struct machine_symbol s;
	u64 size;

	/* Behind the call, maybe behind the function. */
	if (!addr || !machine_symbol_at(addr - 1, &s, &size))
		return false;
	seq_puts(out, s.name);
	return true;
}

u32 kernel_symbol_text(u64 addr, bool offset, char *buf, u32 size)
{
	struct machine_symbol s;
	u64 bytes;

	if (!addr || !machine_symbol_at(addr, &s, &bytes))
		return 0;
	if (!offset)
		return (u32)mm_scnprintf(buf, size, "%s", s.name);
	return (u32)mm_scnprintf(buf, size, "%s+0x%llx/0x%llx", s.name,
				 LLU(addr - s.addr), LLU(bytes));
}
