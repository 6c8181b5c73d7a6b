/* SPDX-License-Identifier: MIT */
/*
 * machine.c - making and unmaking the simulated machine; console, panic,
 * entropy and time.
 */
#include "sim_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM_MAX_DEFAULT (1UL << 44)
/* As much as 32-bit processors address, and enough for experiments. */
#define RAM_MAX_SHARED	  (1UL << 40)
#define CONSOLE_LEVEL	  4
#define JITTER_DEFAULT_NS 500
#define STACK_DEFAULT	  (SIM_ASAN ? 1024u * 1024 : 256u * 1024)

/* docs/TIME-MODEL.md has the reasons. */
#define DEFAULT_COSTS                                                          \
	{                                                                      \
		.tlb_hit_ns = 1, .tlb_second_ns = 2, .walk_level_ns = 5,       \
		.set_bits_ns = 10, .fault_ns = 250, .clear_page_ns = 120,      \
		.copy_page_ns = 250, .lock_ns = 8, .relax_ns = 40,             \
		.switch_ns = 1000, .wake_ns = 300, .load_root_ns = 60,         \
		.flush_page_ns = 100, .flush_all_ns = 300, .ipi_send_ns = 200, \
		.ipi_handle_ns = 700, .irq_ns = 1200, .disk_submit_ns = 1500,  \
		.disk_seek_ns = 80000, .disk_per_kib_ns = 500,                 \
		.copy_user_kib_ns = 60, .slice_ns = 1000000,                   \
	}

const struct sim_costs sim_default_costs = DEFAULT_COSTS;
struct sim_costs sim_costs = DEFAULT_COSTS;

/* Before sim_init there is a CPU 0 that never schedules and has no TLB. */
static struct sim_tlb_entry no_entry = {.key = SIM_NO_KEY};
static struct sim_cpu boot_cpu = {
	.mmu.hot.current = &sim.host.task,
	.mmu.hot.deadline_ns = UINT64_MAX,
	.mmu.l1 = {&no_entry},
	.root_pfn = SIM_NO_ROOT,
};

struct sim_machine sim = {
	.host.name = "boot",
	.host.task = {.flags = PF_KTHREAD, .thread = &sim.host, .comm = "boot"},
};

struct sim_hot *sim_this = &boot_cpu.mmu.hot;

/* ---- console and panic
 * -------------------------------------------------------- */

static void to_stderr(void *arg, int level, const char *text, size_t len)
{
	(void)arg;
	(void)level;
	fwrite(text, 1, len, stderr);
}

void port_console(int level, const char *text, size_t len)
{
	sim_console_fn *fn = sim.cfg.console ? sim.cfg.console : to_stderr;
	int limit = sim.up ? sim.cfg.console_level : CONSOLE_LEVEL;

	if (!sim.cfg.quiet && level <= limit)
		fn(sim.cfg.console_arg, level, text, len);
}

/* One line of the port's own. */
void sim_print(int level, const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n > 0)
		port_console(level, line, min((size_t)n, sizeof(line) - 1));
}

_Noreturn void port_panic(const char *message)
{
	sim_print(0, "Kernel panic - not syncing: %s\n", message);
	sim_print(0, "sim: cpu %d, task %s, at %lu ns, seed %lu\n",
		  sim_this->id, sim_this->current->comm, sim_this->clock_ns,
		  sim.cfg.seed);
	if (sim.running && sim.cfg.catch_panic)
		sim_stop(-EIO);
	abort();
}

/* Misuse of the port: as bad as a broken invariant. */
_Noreturn void sim_bug(const char *what)
{
	port_panic(what);
}

/* ---- time and entropy
 * ------------------------------------------------------------ */

u64 port_entropy(void)
{
	return sim_random(&sim.entropy);
}

u64 port_now_ns(void)
{
	return sim_this->clock_ns;
}

u64 sim_now_ns(void)
{
	return sim_this->clock_ns;
}

void port_charge_ns(u64 ns)
{
	sim_this->clock_ns += ns;
}

int port_nr_cpus(void)
{
	return sim.up ? sim.nr_cpus : 1;
}

int port_cpu_node(int cpu)
{
	return sim.up && cpu >= 0 && cpu < sim.nr_cpus ? sim.cpus[cpu].node : 0;
}

/* ---- configuration
 * ------------------------------------------------------------------ */

static bool power_of_two(u32 n)
{
	return n && (n & (n - 1)) == 0;
}

/* Replace what was left 0 by the defaults. */
static void fill_in(struct sim_config *c)
{
	c->cpus = c->cpus ? c->cpus : 1;
	c->format = c->format ? c->format : &paging_x86_64_4level;
	c->shared_ram |= c->format->va_bits == 32;
	c->ram_max = c->ram_max	     ? c->ram_max
		     : c->shared_ram ? RAM_MAX_SHARED
				     : RAM_MAX_DEFAULT;
	c->tlb_l1 = c->tlb_l1 ? c->tlb_l1 : 256;
	c->tlb_sets = c->tlb_sets ? c->tlb_sets : 128;
	c->tlb_ways = c->tlb_ways ? c->tlb_ways : 12;
	c->jitter_ns = c->jitter_ns ? c->jitter_ns : JITTER_DEFAULT_NS;
	c->stack_bytes = c->stack_bytes ? c->stack_bytes : STACK_DEFAULT;
	c->costs = c->costs ? c->costs : &sim_default_costs;
	c->console_level = c->console_level ? c->console_level : CONSOLE_LEVEL;
}

static bool config_valid(const struct sim_config *c)
{
	return c->cpus > 0 && c->cpus <= MM_NR_CPUS &&
	       IS_ALIGNED(c->ram_max, PAGE_SIZE) && power_of_two(c->tlb_l1) &&
	       c->tlb_l1 <= SIM_TLB_L1_MAX && power_of_two(c->tlb_sets) &&
	       c->tlb_sets <= SIM_TLB_SETS_MAX &&
	       c->tlb_ways <= SIM_TLB_WAYS_MAX &&
	       (!c->tlb_large_sets || power_of_two(c->tlb_large_sets)) &&
	       c->tlb_large_sets <= SIM_TLB_SETS_MAX &&
	       c->tlb_large_ways <= SIM_TLB_WAYS_MAX &&
	       !c->tlb_large_sets == !c->tlb_large_ways &&
	       c->stack_bytes >= 16384 && c->costs->slice_ns &&
	       c->costs->relax_ns;
}

static void take_nodes(const u8 *cpu_node)
{
	int i;

	for (i = 0; cpu_node && i < sim.nr_cpus; i++)
		sim.cpus[i].node = cpu_node[i];
	sim.cfg.cpu_node = NULL; /* the caller's; not kept */
}

/* ---- life
 * ----------------------------------------------------------------------------
 */

int sim_init(const struct sim_config *cfg)
{
	struct sim_config c = cfg ? *cfg : (struct sim_config){0};
	int err;

	if (sim.up)
		return -EBUSY;
	fill_in(&c);
	if (!config_valid(&c))
		return -EINVAL;
	sim.cpus = calloc((size_t)c.cpus, sizeof(*sim.cpus));
	if (!sim.cpus)
		return -ENOMEM;
	sim.cfg = c;
	sim.nr_cpus = c.cpus;
	sim.rng = c.seed;
	sim.entropy = c.seed ^ 0x6d6d6b69745f7273UL;
	sim_costs = *c.costs;
	take_nodes(c.cpu_node);
	sim.up = true;
	sim_stack_init();
	err = sim_ram_init(c.ram_max);
	if (!err)
		err = sim_sched_init();
	if (!err)
		err = sim_mmu_init();
	if (err) {
		sim_shutdown();
		return err;
	}
	sim_context_host(&sim.host);
	sim_host_enter();
	return 0;
}

void sim_shutdown(void)
{
	if (!sim.up)
		return;
	if (sim.running)
		sim_bug("sim_shutdown: the machine is running");
	/* Before sim_sched_init the list of events has no head yet. */
	if (sim.events.next) {
		sim_disks_exit();
		sim_sched_exit();
	}
	sim_mmu_exit();
	sim_ram_exit();
	free(sim.cpus);
	sim = (struct sim_machine){.host.name = "boot",
				   .host.task = {.flags = PF_KTHREAD,
						 .thread = &sim.host,
						 .comm = "boot"}};
	sim_costs = sim_default_costs;
	boot_cpu.mmu.hot = (struct sim_hot){.current = &sim.host.task,
					    .deadline_ns = UINT64_MAX};
	sim_this = &boot_cpu.mmu.hot;
}
