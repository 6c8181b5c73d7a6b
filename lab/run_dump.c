/* SPDX-License-Identifier: MIT */
/*
 * run_dump.c - "mmkit run --dump-proc": files of the guest's /proc and /sys as
 * they are when the program has ended, before what it left behind is killed.
 *
 * The names are ours: init is told which to send, and nothing else becomes a
 * file here, whatever a guest says. What its kernel does not have is not there.
 */
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "run.h"

static const char *const names[] = {
	"/proc/buddyinfo",    "/proc/cpuinfo",	"/proc/diskstats",
	"/proc/interrupts",   "/proc/iomem",	"/proc/loadavg",
	"/proc/meminfo",      "/proc/mounts",	"/proc/pagetypeinfo",
	"/proc/partitions",   "/proc/slabinfo", "/proc/stat",
	"/proc/swaps",	      "/proc/uptime",	"/proc/version",
	"/proc/vmallocinfo",  "/proc/vmstat",	"/proc/zoneinfo",
	"/proc/net/sockstat", "/proc/net/unix", "/proc/pressure/memory",
	"/proc/1/maps",	      "/proc/1/smaps",	"/proc/1/smaps_rollup",
	"/proc/1/status",
};

static const char *const node_names[] = {"meminfo", "numastat", "vmstat"};

void run_dump_lines(const struct run_opts *o, FILE *config)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		fprintf(config, "dump %s\n", names[i]);
	for (u32 nid = 0; nid < o->nodes; nid++)
		for (size_t i = 0; i < ARRAY_SIZE(node_names); i++)
			fprintf(config,
				"dump /sys/devices/system/node/node%u/%s\n",
				nid, node_names[i]);
}

static bool is_node_file(const char *path)
{
	static const char dir[] = "/sys/devices/system/node/node";
	char *slash;

	if (strncmp(path, dir, sizeof(dir) - 1))
		return false;
	path += sizeof(dir) - 1;
	if (*path < '0' || *path > '9')
		return false;
	(void)strtoul(path, &slash, 10);
	for (size_t i = 0; *slash == '/' && i < ARRAY_SIZE(node_names); i++)
		if (!strcmp(slash + 1, node_names[i]))
			return true;
	return false;
}

bool run_dump_knows(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(path, names[i]))
			return true;
	return is_node_file(path);
}

/* A second file of one name would be refused by the directory. */
void run_dump_take(struct run_result *r, const char *path, const char *text,
		   size_t len)
{
	if (!r->dump || r->nr_dumped == RUN_MAX_DUMPED || !run_dump_knows(path))
		return;
	for (u32 i = 0; i < r->nr_dumped; i++)
		if (!strcmp(r->dumped[i], path))
			return;
	snprintf(r->dumped[r->nr_dumped++], sizeof(r->dumped[0]), "%s", path);
	(void)dump_open(r->dump, true);
	dump_write(path, text, len);
}
