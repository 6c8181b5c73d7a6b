/* SPDX-License-Identifier: MIT */
/*
 * sysctl.c - /proc/sys: tunables as files.
 *
 * vm/ is the memory manager's table (mmkit/sysctl.h), name by name; some of
 * kernel/ stand there as well. kernel/ and
 * fs/ are what the kernel around it can tell; files are writable where writing
 * does something.
 *
 * References: proc(5), sysctl(8); Linux documentation, admin-guide/sysctl.
 */
#include <mmkit/sysctl.h>

#include "base/printk.h"
#include "base/string.h"
#include "fs/fs.h"
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"
#include "task/coredump.h"

/* ---- vm --------------------------------------------------------------------
 */

/* Finds by name, or the name behind a number. */
struct vm_search {
	const char *want;
	char *name;
	u64 at, from;
	bool found;
};

static void vm_take(const char *name, void *arg)
{
	struct vm_search *s = arg;
	u64 at = s->at++;

	if (s->found || mm_strncmp(name, "vm.", 3) != 0)
		return;
	if (s->want) {
		s->found = mm_strcmp(name + 3, s->want) == 0;
		return;
	}
	if (at < s->from)
		return;
	(void)mm_strscpy(s->name, name + 3, PNAME_MAX);
	s->from = at + 1;
	s->found = true;
}

/* A file of the manager's table by its whole name; E's source. */
static int show_tunable(const char *name, struct seq_buf *out)
{
	int err = mm_sysctl_get(name, out);

	if (!err)
		seq_putc(out, '\n');
	return err;
}

static s64 write_tunable(const char *name, const char *text, size_t len)
{
	char value[256];
	size_t used = len;
	int err;

	while (used && (text[used - 1] == '\n' || text[used - 1] == ' '))
		used--;
	if (used >= sizeof(value))
		return -EINVAL;
	mm_memcpy(value, text, used);
	value[used] = '\0';
	err = mm_sysctl_set(name, value);
	/* Linux says EINVAL of numbers out of range as well. */
	return err ? (err == -ERANGE ? -EINVAL : err) : (s64)len;
}

static int show_named(const struct pnode *n, struct seq_buf *out)
{
	return show_tunable(n->e->source, out);
}

static s64 write_named(const struct pnode *n, const char *text, size_t len)
{
	return write_tunable(n->e->source, text, len);
}

static void vm_name(const struct pnode *n, char name[PKEY_NAME + 4])
{
	(void)mm_scnprintf(name, PKEY_NAME + 4, "vm.%s", n->key.name);
}

static int show_vm(const struct pnode *n, struct seq_buf *out)
{
	char name[PKEY_NAME + 4];

	vm_name(n, name);
	return show_tunable(name, out);
}

static s64 write_vm(const struct pnode *n, const char *text, size_t len)
{
	char name[PKEY_NAME + 4];

	vm_name(n, name);
	return write_tunable(name, text, len);
}

static const struct pentry vm_entry = {
	.mode = S_IFREG | 0644, .show = show_vm, .write = write_vm};

static const struct pentry *vm_find(const struct pkey *key, const char *name,
				    struct pkey *child)
{
	struct vm_search s = {.want = name};

	(void)key;
	mm_sysctl_list(vm_take, &s);
	if (!s.found || mm_strscpy(child->name, name, PKEY_NAME) < 0)
		return NULL;
	return &vm_entry;
}

static const struct pentry *vm_next(const struct pkey *key, u64 *cursor,
				    char *name)
{
	struct vm_search s = {.name = name, .from = *cursor};

	(void)key;
	mm_sysctl_list(vm_take, &s);
	*cursor = s.from;
	return s.found ? &vm_entry : NULL;
}

static const struct pdir vm_dir = {.find = vm_find, .next = vm_next};

/* ---- kernel, fs ------------------------------------------------------------
 */

static int show_text(const struct pnode *n, struct seq_buf *out)
{
	seq_printf(out, "%s\n", n->e->source);
	return 0;
}

static int show_hostname(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%s\n", uts_hostname());
	return 0;
}

static int show_number(const struct pnode *n, struct seq_buf *out)
{
	seq_printf(out, "%u\n", n->e->arg);
	return 0;
}

static int show_pid_max(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%d\n", task_sys.pid_max);
	return 0;
}

static void put_uuid(struct seq_buf *out)
{
	u64 a = port_entropy(), b = port_entropy();

	/* Version 4, variant 1 (RFC 4122). */
	a = (a & ~0xf000UL) | 0x4000UL;
	b = (b & ~(3UL << 62)) | 2UL << 62;
	seq_printf(out, "%08llx-%04llx-%04llx-%04llx-%012llx\n", LLU(a >> 32),
		   LLU(a >> 16 & 0xffff), LLU(a & 0xffff), LLU(b >> 48),
		   LLU(b & 0xffffffffffffUL));
}

static int show_uuid(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	put_uuid(out);
	return 0;
}

/* ---- the log: syslog(2), proc(5) --------------------------------------------
 */

#define MINIMUM_LEVEL 1u /* that the console can be set to */

static int show_printk(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%u\t%u\t%u\t%u\n", printk_console_level(0),
		   (u32)LOG_DEFAULT_LEVEL, MINIMUM_LEVEL, 8u);
	return 0;
}

/* A number at the beginning of TEXT[LEN], up to MAX; below 0: -EINVAL. */
static s64 first_number(const char *text, size_t len, s64 max)
{
	char word[12];
	size_t n = 0;

	while (n < len && n < sizeof(word) - 1 && text[n] >= '0' &&
	       text[n] <= '9') {
		word[n] = text[n];
		n++;
	}
	word[n] = '\0';
	if (n < len && text[n] != '\n' && text[n] != ' ' && text[n] != '\t')
		return -EINVAL;
	return pseudo_number(word, max);
}

/* The first number is the console's level; the others are as they are. */
static s64 write_printk(const struct pnode *n, const char *text, size_t len)
{
	s64 level = first_number(text, len, 8);

	(void)n;
	if (level < (s64)MINIMUM_LEVEL)
		return -EINVAL;
	(void)printk_console_level((u32)level);
	return (s64)len;
}

static int show_restrict(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%u\n", READ_ONCE(fs_sys.log.restricted));
	return 0;
}

static s64 write_restrict(const struct pnode *n, const char *text, size_t len)
{
	s64 on = first_number(text, len, 1);

	(void)n;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (on < 0)
		return -EINVAL;
	WRITE_ONCE(fs_sys.log.restricted, (u32)on);
	return (s64)len;
}

/* Who may see the kernel's addresses: kallsyms.c. */
static int show_kptr(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%u\n", READ_ONCE(proc_sys.kptr_restrict));
	return 0;
}

static s64 write_kptr(const struct pnode *n, const char *text, size_t len)
{
	s64 v = first_number(text, len, 2);

	(void)n;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (v < 0)
		return -EINVAL;
	WRITE_ONCE(proc_sys.kptr_restrict, (u32)v);
	return (s64)len;
}

/* core(5) */
static int show_core_pattern(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%s\n", core_settings.pattern);
	return 0;
}

static s64 write_core_pattern(const struct pnode *n, const char *text,
			      size_t len)
{
	int err = core_pattern_set(text, len);

	(void)n;
	return err ? err : (s64)len;
}

static int show_core_pid(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%u\n", READ_ONCE(core_settings.uses_pid));
	return 0;
}

static s64 write_core_pid(const struct pnode *n, const char *text, size_t len)
{
	s64 on = first_number(text, len, INT32_MAX);

	(void)n;
	if (on < 0)
		return -EINVAL;
	WRITE_ONCE(core_settings.uses_pid, (u32)on);
	return (s64)len;
}

#define TEXT_OF(n, t)                                                 \
	{                                                             \
		.name = n, .mode = S_IFREG | 0444, .show = show_text, \
		.source = t                                           \
	}
#define NUMBER(n, v)                                                    \
	{                                                               \
		.name = n, .mode = S_IFREG | 0444, .show = show_number, \
		.arg = v                                                \
	}
static const struct pentry random_entries[] = {
	{.name = "uuid", .mode = S_IFREG | 0444, .show = show_uuid},
};
static const struct pdir random_dir = PDIR(random_entries);

#define TUNABLE(n)                                                     \
	{                                                              \
		.name = n, .mode = S_IFREG | 0644, .show = show_named, \
		.write = write_named, .source = "kernel." n            \
	}

static const struct pentry kernel_entries[] = {
	TUNABLE("numa_balancing"),
	TUNABLE("numa_balancing_promote_rate_limit_MBps"),
	TEXT_OF("ostype", KERNEL_SYSNAME),
	TEXT_OF("osrelease", KERNEL_RELEASE),
	TEXT_OF("version", "#1 SMP mmkit"),
	{.name = "hostname", .mode = S_IFREG | 0444, .show = show_hostname},
	{.name = "pid_max", .mode = S_IFREG | 0444, .show = show_pid_max},
	{.name = "threads-max", .mode = S_IFREG | 0444, .show = show_pid_max},
	{.name = "printk",
	 .mode = S_IFREG | 0644,
	 .show = show_printk,
	 .write = write_printk},
	{.name = "dmesg_restrict",
	 .mode = S_IFREG | 0644,
	 .show = show_restrict,
	 .write = write_restrict},
	{.name = "kptr_restrict",
	 .mode = S_IFREG | 0644,
	 .show = show_kptr,
	 .write = write_kptr},
	{.name = "core_pattern",
	 .mode = S_IFREG | 0644,
	 .show = show_core_pattern,
	 .write = write_core_pattern},
	{.name = "core_uses_pid",
	 .mode = S_IFREG | 0644,
	 .show = show_core_pid,
	 .write = write_core_pid},
	NUMBER("tainted", 0),
	NUMBER("ngroups_max", NGROUPS_KEPT),
	NUMBER("cap_last_cap", 40),
	TUNABLE("shm_rmid_forced"),
	TUNABLE("shmall"),
	TUNABLE("shmmax"),
	TUNABLE("shmmni"),
	{.name = "random", .mode = S_IFDIR | 0555, .dir = &random_dir},
};
static const struct pdir kernel_dir = PDIR(kernel_entries);

static const struct pentry fs_entries[] = {
	TEXT_OF("file-max", "9223372036854775807"),
	NUMBER("nr_open", 1048576),
	NUMBER("pipe-max-size", 1048576),
};
static const struct pdir fs_dir = PDIR(fs_entries);

static const struct pentry sys_entries[] = {
	{.name = "vm", .mode = S_IFDIR | 0555, .dir = &vm_dir},
	{.name = "kernel", .mode = S_IFDIR | 0555, .dir = &kernel_dir},
	{.name = "fs", .mode = S_IFDIR | 0555, .dir = &fs_dir},
};
const struct pdir proc_sys_dir = PDIR(sys_entries);
