/* SPDX-License-Identifier: MIT */
/*
 * machine.c - making and unmaking the host machine; RAM, console, panic,
 * entropy and time.
 */
#include "host_priv.h"

#include "base/string.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RAM_MAX_DEFAULT (1UL << 36)
#define CONSOLE_LEVEL	4

struct host_machine host = {.lock = PTHREAD_MUTEX_INITIALIZER,
			    .freed = PTHREAD_COND_INITIALIZER};
struct host_cpu host_cpus[MM_NR_CPUS];

/* ---- console, panic, time, entropy ------------------------------------------
 */

void port_console(int level, const char *text, size_t len)
{
	int limit = host.up ? host.cfg.console_level : CONSOLE_LEVEL;

	if (host.cfg.quiet || level > limit)
		return;
	if (host.cfg.console)
		host.cfg.console(host.cfg.console_arg, level, text, len);
	else
		fwrite(text, 1, len, stderr);
}

_Noreturn void port_panic(const char *message)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "Kernel panic - not syncing: %s\n",
			 message);

	if (n > 0)
		port_console(0, line, min((size_t)n, sizeof(line) - 1));
	abort();
}

/* Misuse of the port: as bad as a broken invariant. */
_Noreturn void host_bug(const char *what)
{
	port_panic(what);
}

u64 port_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

void port_charge_ns(u64 ns)
{
	(void)ns;
}

/* A counter through a strong mixer (splitmix64), started from the clock. */
u64 port_entropy(void)
{
	u64 none = 0, z;

	/* The clock is asked at the first number: most processes need none. */
	if (!__atomic_load_n(&host.entropy, __ATOMIC_RELAXED))
		__atomic_compare_exchange_n(&host.entropy, &none,
					    port_now_ns() | 1, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	z = __atomic_add_fetch(&host.entropy, 0x9e3779b97f4a7c15UL,
			       __ATOMIC_RELAXED);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

int port_nr_cpus(void)
{
	return host.up ? host.nr_cpus : 1;
}

int port_cpu_node(int cpu)
{
	return host.up && cpu >= 0 && cpu < host.nr_cpus ? host_cpus[cpu].node
							 : 0;
}

/* ---- life
 * ---------------------------------------------------------------------- */

/* All free, and as at program start; what is zero is not written. */
static void init_slots(const u8 *cpu_node)
{
	mm_zero(host_cpus, (size_t)host.nr_cpus * sizeof(host_cpus[0]));
	for (int i = 0; cpu_node && i < host.nr_cpus; i++)
		host_cpus[i].node = cpu_node[i];
}

int host_init(const struct host_config *cfg)
{
	struct host_config c = cfg ? *cfg : (struct host_config){0};
	int err;

	if (host.up)
		return -EBUSY;
	c.cpus = c.cpus ? c.cpus : MM_NR_CPUS;
	c.ram_max = c.ram_max ? c.ram_max : RAM_MAX_DEFAULT;
	c.format = c.format ? c.format : &paging_x86_64_4level;
	c.console_level = c.console_level ? c.console_level : CONSOLE_LEVEL;
	if (c.cpus < 1 || c.cpus > MM_NR_CPUS ||
	    !IS_ALIGNED(c.ram_max, PAGE_SIZE))
		return -EINVAL;
	c.shared_ram |= c.format->va_bits == 32;
	err = host_ram_init(c.ram_max, c.shared_ram);
	if (err)
		return err;
	host.cfg = c;
	paging_cpu_init(&host.paging, c.format, 0, true);
	host.nr_cpus = c.cpus;
	host.entropy = 0;
	init_slots(c.cpu_node);
	host.cfg.cpu_node = NULL; /* the caller's; not kept */
	host_detach();		  /* the caller, if it had no slot so far */
	host.up = true;
	if (!c.no_stacks)
		host_stack_init();
	return 0;
}

int host_run(int (*main)(void *arg), void *arg)
{
	if (!host.up)
		return -EINVAL;
	(void)port_current(); /* attaches */
	return main(arg);
}

int host_shutdown(void)
{
	if (!host.up)
		return 0;
	host_detach();
	host_disks_exit();
	if (host_slots_used())
		return -EBUSY;
	host_ram_exit();
	host.up = false;
	host.kernel_root = 0;
	host.switch_hook = NULL;
	host.fault_hook = NULL;
	return 0;
}
