/* SPDX-License-Identifier: MIT */
/*
 * host.h - the host world's interface on the bare machine, for tests that
 * were written for real threads. The machine is already up when a case
 * begins, on the RAM that it has: what a case asks of it (map, nodes, number
 * of CPUs) is not looked at. Disks are those of the machine, in order, at
 * least as large as asked.
 */
#ifndef SHIM_HOST_H
#define SHIM_HOST_H

#include <mmkit/port.h>

#include "arch/paging.h"

struct host_config {
	int cpus;
	u64 ram_max;
	const struct paging_format *format;
	int console_level;
	bool quiet, no_stacks, shared_ram;
};

struct host_disk_config {
	const char *name, *path;
	u64 size_bytes;
	bool reserve, unlink;
};

int host_init(const struct host_config *cfg) MM_MUST_CHECK;
int host_run(int (*main)(void *arg), void *arg);
int host_shutdown(void) MM_MUST_CHECK;

/* host_thread_start: a thread that counts as a user's. */
int host_thread_start(struct port_thread **out, const char *name,
		      void (*fn)(void *arg), void *arg) MM_MUST_CHECK;

/* The CPU's own accesses to user addresses: 0 or the signal. */
int host_copy_to_user(uva_t to, const void *from, size_t len) MM_MUST_CHECK;
int host_copy_from_user(void *to, uva_t from, size_t len) MM_MUST_CHECK;

int host_disk_open(struct port_bdev **out, const struct host_disk_config *cfg,
		   char *err) MM_MUST_CHECK;
void host_disk_close(struct port_bdev *disk);

#endif
