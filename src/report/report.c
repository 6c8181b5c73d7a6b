/* SPDX-License-Identifier: MIT */
/*
 * report.c - the files, by name.
 *
 * 1. Purpose. What the manager knows, in the words and columns that the
 *    readers of /proc know: free(1), vmstat(8), slabtop(1), numastat(8) and
 *    people. The layout of each file is that of Linux 6.1, byte for byte.
 *
 * 2. Structure. One table of names and functions; a function appends its file
 *    to a seq_buf. zones_show.c has what is told zone by zone,
 *    extfrag_show.c its fragmentation, meminfo.c the summary, tables_show.c
 *    lists of things, slab_show.c the
 *    slab caches (the only files with a part of the name to be chosen: there
 *    is one for each cache and attribute), owner_show.c who has which frame,
 *    audit.c the audit; proc_pid.c and its companions the files of one task and
 *    the arrays of words about frames.
 *
 * 3. Invariants.
 *    RP-1  A report changes nothing (the audit alone empties per-CPU stores).
 *    RP-2  A number is a counter's reading or a sum of such. A line whose
 *          subject does not exist on this machine says 0.
 *    RP-3  Zones that the machine's layout lacks (HighMem of 64-bit machines)
 *          are shown nowhere; Device of 64-bit machines as an empty zone.
 *
 * 4. Locking. None across a line: counters are read as they are, so lines of
 *    one file may differ by what happened in between. Sinks of the seq_buf
 *    are never called under a lock.
 *
 * 5. Failure. None but an unknown name; text that does not fit is the
 *    seq_buf's to tell.
 *
 * References: proc(5); Linux documentation, filesystems/proc and
 * admin-guide/mm; procps-ng, util-linux and numactl as readers.
 */
#include <mmkit/errno.h>
#include <mmkit/shm.h>
#include <mmkit/shrinker.h>

#include "base/string.h"
#include "cache/swap.h"
#include "policy/policy.h"
#include "reclaim/reclaim.h"
#include "report/proc_pid.h"
#include "report/report.h"
#include "space/space.h"

static void show_sysvipc_shm(struct seq_buf *out)
{
	shm_show(NULL, out);
}

static void show_audit(struct seq_buf *out)
{
	(void)mm_audit(out);
}

static const struct report_file {
	const char *path;
	void (*show)(struct seq_buf *out);
} report_files[] = {
	{"/proc/buddyinfo", show_buddyinfo},
	{"/proc/iomem", show_iomem},
	{"/proc/meminfo", show_meminfo},
	{"/proc/pagetypeinfo", show_pagetypeinfo},
	{"/proc/slabinfo", show_slabinfo},
	{"/proc/swaps", show_swaps},
	{"/proc/sysvipc/shm", show_sysvipc_shm},
	{"/proc/vmallocinfo", show_vmallocinfo},
	{"/proc/vmstat", show_vmstat},
	{"/proc/zoneinfo", show_zoneinfo},
	{"/proc/mmkit/audit", show_audit},
	{"/proc/mmkit/frames", show_frames},
	{"/sys/kernel/debug/extfrag/extfrag_index", show_extfrag_index},
	{"/sys/kernel/debug/extfrag/unusable_index", show_unusable_index},
	{"/sys/kernel/debug/lru_gen", lru_gen_debug_show},
	{"/sys/kernel/debug/page_owner", show_page_owner},
	{"/sys/kernel/debug/rmap", show_rmap},
	{"/sys/kernel/debug/tlb", show_tlb},
	{"/sys/kernel/debug/shrinker", show_shrinkers},
};

static const struct word_file {
	const char *path;
	s64 (*read)(u64 off, void *buf, size_t len);
} word_files[] = {
	{"/proc/kpagecgroup", read_kpagecgroup},
	{"/proc/kpagecount", read_kpagecount},
	{"/proc/kpageflags", read_kpageflags},
};

#define PROC_PREFIX   "/proc/"
#define SLAB_PREFIX   "/sys/kernel/slab/"
#define TRACE_PREFIX  "/sys/kernel/debug/slab/"
#define ZPARAM_PREFIX "/sys/module/zswap/parameters/"
#define DPARAM_PREFIX "/sys/module/damon_reclaim/parameters/"
#define ZDEBUG_PREFIX "/sys/kernel/debug/zswap/"
#define LRU_PREFIX    "/sys/kernel/mm/lru_gen/"
#define LRU_DEBUG     "/sys/kernel/debug/lru_gen"
#define THP_PREFIX    "/sys/kernel/mm/transparent_hugepage/"

static const struct report_dir {
	const char *prefix;
	int (*show)(const char *name, struct seq_buf *out);
	int (*store)(const char *name, const char *text, size_t len);
} report_dirs[] = {
	{"/sys/devices/system/memory/", memory_block_show, memory_block_store},
	{"/sys/devices/system/node/", node_file_show, node_file_store},
	{"/sys/devices/virtual/memory_tiering/", memory_tier_show, NULL},
	{"/sys/kernel/debug/sched/numa_balancing/", numa_balancing_show,
	 numa_balancing_store},
	{"/sys/kernel/mm/numa/", numa_file_show, numa_file_store},
	{"/sys/kernel/mm/swap/", swap_file_show, swap_file_store},
};

/* Is NAME the file at PATH? Files of /proc go by what follows that, too. */
static bool names_file(const char *path, const char *name)
{
	size_t prefix = sizeof(PROC_PREFIX) - 1;

	if (mm_strcmp(path, name) == 0)
		return true;
	return mm_strncmp(path, PROC_PREFIX, prefix) == 0 &&
	       mm_strcmp(path + prefix, name) == 0;
}

int mm_show(const char *path, struct seq_buf *out)
{
	mm_assert(path != NULL && out != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(report_files); i++) {
		if (!names_file(report_files[i].path, path))
			continue;
		report_files[i].show(out);
		return 0;
	}
	if (mm_strncmp(path, SLAB_PREFIX, sizeof(SLAB_PREFIX) - 1) == 0)
		return show_slab_attr(path + sizeof(SLAB_PREFIX) - 1, out);
	if (mm_strncmp(path, TRACE_PREFIX, sizeof(TRACE_PREFIX) - 1) == 0)
		return show_slab_traces(path + sizeof(TRACE_PREFIX) - 1, out);
	if (mm_strncmp(path, ZPARAM_PREFIX, sizeof(ZPARAM_PREFIX) - 1) == 0)
		return zswap_param_show(path + sizeof(ZPARAM_PREFIX) - 1, out);
	if (mm_strncmp(path, DPARAM_PREFIX, sizeof(DPARAM_PREFIX) - 1) == 0)
		return damon_reclaim_show(path + sizeof(DPARAM_PREFIX) - 1,
					  out);
	if (mm_strncmp(path, ZDEBUG_PREFIX, sizeof(ZDEBUG_PREFIX) - 1) == 0)
		return zswap_debug_show(path + sizeof(ZDEBUG_PREFIX) - 1, out);
	if (mm_strncmp(path, LRU_PREFIX, sizeof(LRU_PREFIX) - 1) == 0)
		return lru_gen_show(path + sizeof(LRU_PREFIX) - 1, out);
	if (mm_strncmp(path, THP_PREFIX, sizeof(THP_PREFIX) - 1) == 0)
		return thp_file_show(path + sizeof(THP_PREFIX) - 1, out);
	for (size_t i = 0; i < ARRAY_SIZE(report_dirs); i++)
		if (report_dirs[i].show &&
		    mm_strncmp(path, report_dirs[i].prefix,
			       mm_strlen(report_dirs[i].prefix)) == 0)
			return report_dirs[i].show(
				path + mm_strlen(report_dirs[i].prefix), out);
	if (mm_strncmp(path, PROC_PREFIX, sizeof(PROC_PREFIX) - 1) == 0)
		return proc_pid_show(path + sizeof(PROC_PREFIX) - 1, out);
	return -ENOENT;
}

int mm_show_next(const char *path, u64 *at, struct seq_buf *out)
{
	size_t prefix = sizeof(PROC_PREFIX) - 1;

	if (mm_strncmp(path, PROC_PREFIX, prefix) != 0)
		return -ENOENT;
	return proc_pid_show_next(path + prefix, at, out);
}

s64 mm_read(const char *path, u64 off, void *buf, size_t len)
{
	mm_assert(path != NULL && (buf != NULL || len == 0));
	for (size_t i = 0; i < ARRAY_SIZE(word_files); i++)
		if (mm_strcmp(word_files[i].path, path) == 0)
			return word_files[i].read(off, buf, len);
	if (mm_strncmp(path, PROC_PREFIX, sizeof(PROC_PREFIX) - 1) == 0)
		return proc_pid_read(path + sizeof(PROC_PREFIX) - 1, off, buf,
				     len);
	return -ENOENT;
}

s64 mm_write(const char *path, const char *text, size_t len)
{
	int err;

	mm_assert(path != NULL && (text != NULL || len == 0));
	if (mm_strncmp(path, ZPARAM_PREFIX, sizeof(ZPARAM_PREFIX) - 1) == 0) {
		err = zswap_param_store(path + sizeof(ZPARAM_PREFIX) - 1, text,
					len);
		return err ? err : (s64)len;
	}
	if (mm_strncmp(path, DPARAM_PREFIX, sizeof(DPARAM_PREFIX) - 1) == 0) {
		err = damon_reclaim_store(path + sizeof(DPARAM_PREFIX) - 1,
					  text, len);
		return err ? err : (s64)len;
	}
	if (mm_strncmp(path, LRU_PREFIX, sizeof(LRU_PREFIX) - 1) == 0) {
		err = lru_gen_store(path + sizeof(LRU_PREFIX) - 1, text, len);
		return err ? err : (s64)len;
	}
	if (mm_strcmp(path, LRU_DEBUG) == 0)
		return lru_gen_debug_write(text, len);
	if (mm_strncmp(path, THP_PREFIX, sizeof(THP_PREFIX) - 1) == 0) {
		err = thp_file_store(path + sizeof(THP_PREFIX) - 1, text, len);
		return err ? err : (s64)len;
	}
	for (size_t i = 0; i < ARRAY_SIZE(report_dirs); i++) {
		size_t n = mm_strlen(report_dirs[i].prefix);

		if (!report_dirs[i].store ||
		    mm_strncmp(path, report_dirs[i].prefix, n) != 0)
			continue;
		err = report_dirs[i].store(path + n, text, len);
		return err ? err : (s64)len;
	}
	if (mm_strncmp(path, PROC_PREFIX, sizeof(PROC_PREFIX) - 1) == 0)
		return proc_pid_write(path + sizeof(PROC_PREFIX) - 1, text,
				      len);
	return -ENOENT;
}

void mm_show_list(void (*fn)(const char *path, void *arg), void *arg)
{
	mm_assert(fn != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(report_files); i++)
		fn(report_files[i].path, arg);
}
