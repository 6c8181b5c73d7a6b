/* SPDX-License-Identifier: MIT */
/*
 * swap_show.c - the files of /sys/kernel/mm/swap.
 *
 *	vma_ra_enabled	true or false: read ahead from swap by addresses
 *
 * Reference: Linux documentation, ABI/testing/sysfs-kernel-mm-swap.
 */
#include <mmkit/errno.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "cache/swap.h"
#include "report/report.h"

int swap_file_show(const char *name, struct seq_buf *out)
{
	if (mm_strcmp(name, "vma_ra_enabled") != 0)
		return -ENOENT;
	seq_printf(out, "%s\n",
		   READ_ONCE(cache_sys.vma_ra_enabled) ? "true" : "false");
	return 0;
}

int swap_file_store(const char *name, const char *text, size_t len)
{
	int v = parse_truth(text, len);

	if (mm_strcmp(name, "vma_ra_enabled") != 0)
		return -ENOENT;
	if (v < 0)
		return v;
	WRITE_ONCE(cache_sys.vma_ra_enabled, (u32)v);
	return 0;
}
