/* SPDX-License-Identifier: MIT */
/*
 * pressure.h - files of time lost for lack of memory: pentry's functions; a
 * node's key says which group. Theory: pressure.c.
 */
#ifndef KERNEL_PROCFS_PRESSURE_H
#define KERNEL_PROCFS_PRESSURE_H

#include "procfs/pseudo.h"

int pressure_show(const struct pnode *n, struct seq_buf *out);
s64 pressure_write(const struct pnode *n, const char *text, size_t len,
		   void **own);
u32 pressure_poll(const struct pnode *n, void *own, struct poll_table *table);
void pressure_end(void *own);

#endif
