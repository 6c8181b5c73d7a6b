/* SPDX-License-Identifier: MIT */
/*
 * replay_fit.h - does a trace fit into the address space of an architecture?
 */
#ifndef LAB_REPLAY_FIT_H
#define LAB_REPLAY_FIT_H

#include <mmkit/types.h>

#include "arch/paging.h"

struct replay_fit {
	u64 peak_bytes; /* the most that one address space had mapped at once */
	u32 task;	/* the task whose record made it so much */
};

/*
 * replay_fit_scan: go through the trace at PATH once, without a machine.
 * Stacks count as far as they have grown. Ends the process with a message
 * (err_die) if the trace cannot be read or is damaged.
 */
void replay_fit_scan(const char *path, struct replay_fit *out);

/*
 * replay_fit_room: bytes that a process can map with format F: user space less
 * what lies below the lowest address that may be mapped, and the gap that a
 * stack keeps free. Tunables are taken as they are at boot.
 */
u64 replay_fit_room(const struct paging_format *f);

/*
 * replay_fit_check: ends the process with a message that names both sizes
 * (err_die) if the trace at PATH cannot be mapped with format F. Only formats
 * of 32 bits are asked: what was recorded fits the others.
 */
void replay_fit_check(const char *path, const struct paging_format *f);

#endif
