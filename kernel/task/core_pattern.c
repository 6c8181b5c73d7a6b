/* SPDX-License-Identifier: MIT */
/*
 * core_pattern.c - where cores go: what /proc/sys/kernel says of that. By
 * itself, so that /proc needs none of the rest of kernel/task for it.
 *
 * Reference: core(5), "Naming of core dump files".
 */
#include "base/string.h"
#include "task/coredump.h"

struct core_settings core_settings = {.pattern = "core", .uses_pid = 0};

int core_pattern_set(const char *text, size_t len)
{
	while (len && text[len - 1] == '\n')
		len--;
	if (len >= sizeof(core_settings.pattern) || (len && text[0] == '|'))
		return -EINVAL;
	mm_memcpy(core_settings.pattern, text, len);
	core_settings.pattern[len] = '\0';
	return 0;
}
