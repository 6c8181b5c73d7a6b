/* SPDX-License-Identifier: MIT */
/*
 * numa_show.c - the files by which users see and set what the machine does
 * about near and far memory.
 *
 *	/sys/kernel/mm/numa/demotion_enabled	true or false
 *	/sys/devices/virtual/memory_tiering/memory_tierN/nodelist
 *	/sys/kernel/debug/sched/numa_balancing/	how hints are put: numa_hint.c
 *
 * As in Linux a lower number is a faster tier and 4 is ordinary memory; the
 * slower ones follow one by one. A tier without nodes has no directory.
 *
 * References: Linux documentation, ABI/testing/sysfs-kernel-mm-numa and
 * sysfs-kernel-mm-memory-tiers.
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "phys/memory_tiers.h"
#include "phys/phys.h"
#include "report/report.h"
#include "space/space.h"

#define TIER_PREFIX "memory_tier"
#define TIER_DRAM   4

/* The tier that NAME, "memory_tierN/nodelist", is about; -1: none. */
static int tier_of_name(const char *name)
{
	const size_t prefix = sizeof(TIER_PREFIX) - 1;
	int n = 0;

	if (mm_strncmp(name, TIER_PREFIX, prefix) != 0)
		return -1;
	for (name += prefix; *name >= '0' && *name <= '9'; name++)
		n = min(n * 10 + (*name - '0'), 1000);
	return mm_strcmp(name, "/nodelist") == 0 ? n - TIER_DRAM : -1;
}

int memory_tier_show(const char *name, struct seq_buf *out)
{
	int tier = tier_of_name(name);

	if (tier < 0 || !nodes_of_tier(tier))
		return -ENOENT;
	put_bit_list(out, nodes_of_tier(tier));
	return 0;
}

int numa_file_show(const char *name, struct seq_buf *out)
{
	if (mm_strcmp(name, "demotion_enabled") != 0)
		return -ENOENT;
	seq_printf(out, "%s\n",
		   READ_ONCE(phys_sys.tunables.numa_demotion) ? "true"
							      : "false");
	return 0;
}

int parse_truth(const char *text, size_t len)
{
	static const char *const words[] = {
		"0",  "1",   "n", "y", "N", "Y", "off",	  "on",
		"no", "yes", "f", "t", "F", "T", "false", "true"};

	if (len && text[len - 1] == '\n')
		len--;
	for (u32 i = 0; i < ARRAY_SIZE(words); i++)
		if (mm_strlen(words[i]) == len &&
		    mm_strncmp(words[i], text, len) == 0)
			return (int)(i & 1);
	return -EINVAL;
}

int numa_file_store(const char *name, const char *text, size_t len)
{
	int v = parse_truth(text, len);

	if (mm_strcmp(name, "demotion_enabled") != 0)
		return -ENOENT;
	if (v < 0)
		return v;
	WRITE_ONCE(phys_sys.tunables.numa_demotion, (u32)v);
	return 0;
}

/* ---- balancing -------------------------------------------------------------
 */

static const struct scan_file {
	const char *name;
	u32 *value;
	u32 least;
} scan_files[] = {
	{"hot_threshold_ms", &space_sys.numa.hot_threshold_ms, 0},
	{"scan_delay_ms", &space_sys.numa.scan_delay_ms, 0},
	{"scan_period_max_ms", &space_sys.numa.scan_period_max_ms, 1},
	{"scan_period_min_ms", &space_sys.numa.scan_period_min_ms, 1},
	{"scan_size_mb", &space_sys.numa.scan_size_mb, 1},
};

static const struct scan_file *scan_file(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(scan_files); i++)
		if (mm_strcmp(scan_files[i].name, name) == 0)
			return &scan_files[i];
	return NULL;
}

int numa_balancing_show(const char *name, struct seq_buf *out)
{
	const struct scan_file *f = scan_file(name);

	if (!f)
		return -ENOENT;
	seq_printf(out, "%u\n", READ_ONCE(*f->value));
	return 0;
}

int numa_balancing_store(const char *name, const char *text, size_t len)
{
	const struct scan_file *f = scan_file(name);
	u64 v = 0;

	if (!f)
		return -ENOENT;
	if (len && text[len - 1] == '\n')
		len--;
	if (!len || len > 9)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		v = v * 10 + (u64)(text[i] - '0');
	}
	if (v < f->least)
		return -EINVAL;
	WRITE_ONCE(*f->value, (u32)v);
	/* From the next round on. */
	WRITE_ONCE(space_sys.numa.ask, true);
	wake_up_all(&space_sys.numa.wait);
	return 0;
}
