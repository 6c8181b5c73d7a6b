/* SPDX-License-Identifier: MIT */
/*
 * sysctl.h - tunables by the names, units and ranges of Linux's sysctl(8)
 * (Linux documentation, admin-guide/sysctl/vm). Table: src/api/sysctl.c.
 */
#ifndef MMKIT_SYSCTL_H
#define MMKIT_SYSCTL_H

#include <mmkit/types.h>

struct seq_buf;

/*
 * mm_sysctl_set: set NAME ("vm.swappiness"; "vm/swappiness" is the same) to
 * VALUE, a decimal number; a list ("vm.lowmem_reserve_ratio") takes up to as
 * many numbers as it has, separated by blanks, commas or tabs, the rest stays;
 * "vm.reclaim_policy" takes a policy's name, and its pages move over at once.
 * What depends on the value (watermarks, per-CPU list sizes) is computed anew;
 * a daemon's interval counts from its next round on.
 * After mm_boot(). Context: takes locks, does not sleep.
 * Returns 0; -ENOENT: no such tunable; -EINVAL: not a number, or too many;
 * -ERANGE: see mm_sysctl_range(). Nothing has changed after a failure.
 */
int mm_sysctl_set(const char *name, const char *value) MM_MUST_CHECK;

/*
 * mm_sysctl_get: append NAME's value to OUT, numbers of a list separated by
 * tabs, no newline. 0 or -ENOENT.
 */
int mm_sysctl_get(const char *name, struct seq_buf *out);

/* mm_sysctl_range: the smallest and largest value of NAME; both 0 if it is a
 * word. 0 or -ENOENT. */
int mm_sysctl_range(const char *name, u64 *lo, u64 *hi);

/* mm_sysctl_list: call FN with each name, in fixed order. */
void mm_sysctl_list(void (*fn)(const char *name, void *arg), void *arg);

#endif
