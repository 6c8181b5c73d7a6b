/* SPDX-License-Identifier: MIT */
/*
 * cpu_hotplug.h - CPUs that go out of use and come back while the machine runs.
 *
 *	the world moves its threads off the CPU;
 *	remove_cpu(cpu);	// what it kept for itself goes back to all
 *	...
 *	add_cpu(cpu);
 *	the world lets threads run there again.
 *
 * All CPUs of port_nr_cpus() are online after boot. Names are Linux's
 * (core-api/cpu_hotplug). Theory: src/api/cpu.c.
 */
#ifndef MMKIT_CPU_HOTPLUG_H
#define MMKIT_CPU_HOTPLUG_H

#include <mmkit/types.h>

/*
 * remove_cpu: CPU serves nobody until add_cpu(): its free frames, its batch of
 * pages on their way to the LRU lists, its objects and slabs of every cache,
 * its charges, its slots of swap go back to where all CPUs take from; the
 * others' lists of free frames grow to the share that was its own, and a node
 * without another CPU is one without CPUs. No thread may run in the manager
 * on CPU from before the call until add_cpu() returns; interrupts there may
 * free, and a thread that was moved in the midst of allocating or freeing may
 * still fill the one store that it had chosen: such things wait until the CPU
 * is back or all CPUs are drained.
 * Context: may sleep; takes the hotplug lock; not on CPU.
 * Returns 0; -EINVAL (no such CPU, or it is offline), -EBUSY (the last one):
 * then nothing changed.
 * Source: Linux documentation, core-api/cpu_hotplug.
 */
int remove_cpu(int cpu) MM_MUST_CHECK;

/* add_cpu: the way back. Context: as remove_cpu(). Returns 0; -EINVAL (no such
 * CPU, or it is online). */
int add_cpu(int cpu) MM_MUST_CHECK;

/* cpu_online: was CPU not removed? num_online_cpus: how many. Any context; a
 * snapshot. */
bool cpu_online(int cpu);
int num_online_cpus(void);

#endif
