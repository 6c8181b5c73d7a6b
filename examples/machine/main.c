/* SPDX-License-Identifier: MIT */
/*
 * main.c - the whole manager inside a program: a machine boots, a process maps
 * 8 MiB and writes to every page, and the counters tell what that took.
 *
 * The same source runs in both worlds that are programs: with real threads
 * (pkg-config mmkit-host), and on a simulated machine with virtual time
 * (-DWORLD_SIM, pkg-config mmkit-sim). Exit status 0 if every page was faulted
 * in once and came back.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mmkit/boot.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>

#include "phys/e820.h"
#include "phys/phys.h"
#include "phys/vmstat.h"

#ifdef WORLD_SIM
#include "sim.h"
#define WORLD	     "sim"
#define world_init() sim_init(NULL)
#define world_run    sim_run
#define world_touch  sim_touch
#define WORLD_WRITE  SIM_WRITE
#else
#include "host.h"
#define WORLD	     "host"
#define world_init() host_init(&(struct host_config){.console_level = 4})
#define world_run    host_run
#define world_touch  host_touch
#define WORLD_WRITE  HOST_WRITE
#endif

#define MIB (1UL << 20)
#define RAM (32 * MIB)
#define MAP (8 * MIB)

#define check(cond)                                                       \
	do {                                                              \
		if (!(cond)) {                                            \
			fprintf(stderr, "machine: %s:%d: not true: %s\n", \
				__FILE__, __LINE__, #cond);               \
			exit(1);                                          \
		}                                                         \
	} while (0)

static void process(void)
{
	struct mm_task *task = port_current();
	u64 before = sum_vm_event(PGFAULT), faults;
	struct mm_layout layout;
	struct mm_struct *mm;
	s64 at;

	mm_default_layout(&layout);
	check(!mm_create(&layout, &mm));
	mm_task_attach(task, mm);
	at = do_mmap(mm, 0, MAP, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS);
	check(at > 0);
	for (u64 off = 0; off < MAP; off += PAGE_SIZE)
		check(!world_touch((uva_t)at + off, WORLD_WRITE));
	faults = sum_vm_event(PGFAULT) - before;
	printf("%s: %llu pages written, %llu faults\n", WORLD,
	       (unsigned long long)(MAP >> PAGE_SHIFT),
	       (unsigned long long)faults);
	check(faults == MAP >> PAGE_SHIFT);
	mm_task_exit(task);
	mm_put(mm);
	task->flags &= ~(u32)PF_EXITING;
}

static int machine(void *arg)
{
	struct mm_boot_params params = {.map = arg};
	u64 free;

	check(!mm_boot(&params));
	process();
	drain_all_pages();
	free = nr_free_pages();
	process();
	drain_all_pages();
	printf("%s: %llu of %llu frames free\n", WORLD,
	       (unsigned long long)nr_free_pages(),
	       (unsigned long long)totalram_pages());
	check(nr_free_pages() >= free);
	mm_shutdown();
	return 0;
}

int main(void)
{
	static struct e820_table map;

	e820_init(&map);
	check(!e820_add(&map, MIB, RAM - MIB, E820_TYPE_RAM));
	check(!world_init());
	check(!world_run(machine, &map));
#ifdef WORLD_SIM
	sim_shutdown();
#else
	check(!host_shutdown());
#endif
	return 0;
}
