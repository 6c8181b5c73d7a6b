/* SPDX-License-Identifier: MIT */
/*
 * proc.c - the root of /proc.
 *
 * 1. Purpose. Everything that the kernel tells about itself, by the names of
 *    proc(5). What the memory manager knows comes from its report
 *    (src/report/report.c); system.c adds CPUs, time and disks, proc_task.c
 *    the tasks, sysctl.c the tunables. A file that is not here has nothing
 *    behind it.
 *
 * 2. Large reports that change something (mmkit/audit) run when they are read.
 *
 * References: proc(5).
 */
#include <mmkit/report.h>

#include "base/string.h"
#include "fs/fs.h"
#include "procfs/cgroup.h"
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"
#include "syscall.h"

struct procfs_state proc_sys;

/* ---- self ------------------------------------------------------------------
 */

static s64 readlink_self(const struct pnode *n, char *buf, size_t size)
{
	char text[48];
	int len;

	if (!current)
		return -ENOENT;
	if (n->e->arg)
		len = mm_scnprintf(text, sizeof(text), "%d/task/%d",
				   current->proc->tgid, current->tid);
	else
		len = mm_scnprintf(text, sizeof(text), "%d",
				   current->proc->tgid);
	len = min(len, (int)size);
	mm_memcpy(buf, text, (size_t)len);
	return len;
}

static s64 readlink_text(const struct pnode *n, char *buf, size_t size)
{
	size_t len = min(mm_strlen(n->e->source), size);

	mm_memcpy(buf, n->e->source, len);
	return (s64)len;
}

static int show_devices(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	vfs_show_devices(out);
	return 0;
}

static int show_syscalls(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	syscall_show(out);
	return 0;
}

/* ---- the tables ------------------------------------------------------------
 */

#define REPORT(n)                                                       \
	{                                                               \
		.name = n, .mode = S_IFREG | 0444, .show = show_source, \
		.source = "/proc/" n                                    \
	}
static int kmsg_may_open(const struct pnode *n)
{
	(void)n;
	return proc_kmsg_may_open();
}

#define TEXT(n, f)                                           \
	{                                                    \
		.name = n, .mode = S_IFREG | 0444, .show = f \
	}
#define WORDS(n)                                                        \
	{                                                               \
		.name = n, .mode = S_IFREG | 0400, .read = read_source, \
		.source = "/proc/" n                                    \
	}

static const struct pentry mmkit_entries[] = {
	{.name = "audit",
	 .mode = S_IFREG | 0400,
	 .show = show_source,
	 .source = "/proc/mmkit/audit"},
	{.name = "frames",
	 .mode = S_IFREG | 0444,
	 .show = show_source,
	 .source = "/proc/mmkit/frames"},
	TEXT("syscalls", show_syscalls),
};
static const struct pdir mmkit_dir = PDIR(mmkit_entries);

static const struct pentry ipc_entries[] = {
	{.name = "shm",
	 .mode = S_IFREG | 0444,
	 .show = show_source,
	 .source = "/proc/sysvipc/shm"},
};
static const struct pdir ipc_dir = PDIR(ipc_entries);

static const struct pentry root_entries[] = {
	REPORT("meminfo"),
	REPORT("vmstat"),
	REPORT("buddyinfo"),
	REPORT("pagetypeinfo"),
	REPORT("zoneinfo"),
	REPORT("slabinfo"),
	REPORT("vmallocinfo"),
	REPORT("iomem"),
	REPORT("swaps"),
	WORDS("kpageflags"),
	WORDS("kpagecount"),
	WORDS("kpagecgroup"),
	{.name = "kallsyms", .mode = S_IFREG | 0444, .next = next_kallsym},
	TEXT("stat", show_stat),
	TEXT("uptime", show_uptime),
	{.name = "kmsg",
	 .mode = S_IFREG | 0400,
	 .fops = &proc_kmsg_fops,
	 .may_open = kmsg_may_open},
	TEXT("loadavg", show_loadavg),
	TEXT("cpuinfo", show_cpuinfo),
	TEXT("version", show_version),
	TEXT("cmdline", show_cmdline),
	TEXT("partitions", show_partitions),
	TEXT("diskstats", show_diskstats),
	TEXT("interrupts", show_interrupts),
	TEXT("filesystems", show_filesystems),
	TEXT("devices", show_devices),
	{.name = "mounts",
	 .mode = S_IFLNK | 0777,
	 .readlink = readlink_text,
	 .source = "self/mounts"},
	{.name = "net",
	 .mode = S_IFLNK | 0777,
	 .readlink = readlink_text,
	 .source = "self/net"},
	{.name = "self", .mode = S_IFLNK | 0777, .readlink = readlink_self},
	{.name = "thread-self",
	 .mode = S_IFLNK | 0777,
	 .arg = 1,
	 .readlink = readlink_self},
	{.name = "sys", .mode = S_IFDIR | 0555, .dir = &proc_sys_dir},
	{.name = "sysvipc", .mode = S_IFDIR | 0555, .dir = &ipc_dir},
	{.name = "pressure", .mode = S_IFDIR | 0555, .dir = &pressure_dir},
	{.name = "mmkit", .mode = S_IFDIR | 0555, .dir = &mmkit_dir},
};

static const struct pdir root_dir =
	PDIR(root_entries, .find = pid_find, .next = pid_next);
const struct pentry proc_root_entry = {.mode = S_IFDIR | 0555,
				       .dir = &root_dir};

/* ---- boot ------------------------------------------------------------------
 */

static int proc_mount(const char *dev, u32 flags, const char *data,
		      struct vfs_sb **out)
{
	(void)dev;
	(void)data;
	return pseudo_mount("proc", vfs_anon_dev(), flags, &proc_root_entry,
			    out);
}

static int sysfs_mount(const char *dev, u32 flags, const char *data,
		       struct vfs_sb **out)
{
	(void)dev;
	(void)data;
	return pseudo_mount("sysfs", vfs_anon_dev(), flags, &sysfs_root_entry,
			    out);
}

static int tracefs_mount(const char *dev, u32 flags, const char *data,
			 struct vfs_sb **out)
{
	(void)dev;
	(void)data;
	return pseudo_mount("tracefs", vfs_anon_dev(), flags,
			    &tracefs_root_entry, out);
}

int procfs_init(void)
{
	pseudo_init();
	proc_sys.types[0] =
		(struct vfs_fstype){.name = "proc", .mount = proc_mount};
	proc_sys.types[1] =
		(struct vfs_fstype){.name = "sysfs", .mount = sysfs_mount};
	vfs_register_fs(&proc_sys.types[0]);
	vfs_register_fs(&proc_sys.types[1]);
	proc_sys.types[3] =
		(struct vfs_fstype){.name = "tracefs", .mount = tracefs_mount};
	vfs_register_fs(&proc_sys.types[3]);
	tracefs_init();
	mutex_init(&proc_sys.cpu_lock, LOCK_CLASS_CPU_HOTPLUG);
	cgroup_init();
	loadavg_start();
	return 0;
}

void procfs_exit(void)
{
	tracefs_exit();
	loadavg_stop();
	cgroup_exit();
}
