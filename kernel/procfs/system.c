/* SPDX-License-Identifier: MIT */
/*
 * system.c - files of /proc that tell of the whole machine and are not the
 * memory manager's: CPUs, time, disks.
 *
 * Numbers are the machine's counters (machine.h) read as they are; times in
 * ticks of 1/100 s, as proc(5) has them (USER_HZ).
 */
#include <mmkit/cpu_hotplug.h>
#include <mmkit/report.h>

#include "base/string.h"
#include "procfs/procfs.h"

#define TICK_NS 10000000UL

/* ---- the report's files ----------------------------------------------------
 */

int show_source(const struct pnode *n, struct seq_buf *out)
{
	return mm_show(n->e->source, out);
}

s64 read_source(const struct pnode *n, u64 off, void *buf, size_t len)
{
	return mm_read(n->e->source, off, buf, len);
}

/* ---- lists of bits ---------------------------------------------------------
 */

static bool bit_of(const u64 *bits, u32 i)
{
	return bits[i / 64] >> i % 64 & 1;
}

void put_list(struct seq_buf *out, const u64 *bits, u32 nr)
{
	const char *sep = "";

	for (u32 i = 0; i < nr; i++) {
		u32 from = i;

		if (!bit_of(bits, i))
			continue;
		while (i + 1 < nr && bit_of(bits, i + 1))
			i++;
		seq_printf(out, i > from ? "%s%u-%u" : "%s%u", sep, from, i);
		sep = ",";
	}
}

void put_mask(struct seq_buf *out, const u64 *bits, u32 nr)
{
	u32 words = DIV_ROUND_UP(nr, 32u);

	for (u32 w = words; w-- > 0;) {
		u32 width = w + 1 == words && nr % 32 ? nr % 32 : 32;
		u32 v = (u32)(bits[w / 2] >> w % 2 * 32);

		if (width < 32)
			v &= (1u << width) - 1;
		seq_printf(out, "%0*x%s", (int)DIV_ROUND_UP(width, 4u), v,
			   w ? "," : "");
	}
}

/* ---- CPUs ------------------------------------------------------------------
 */

static void put_cpu_line(struct seq_buf *out, const struct machine_cpu_times *t)
{
	seq_printf(out, " %llu %llu %llu %llu %llu %llu 0 0 0 0\n",
		   LLU(t->user / TICK_NS), LLU(t->nice / TICK_NS),
		   LLU(t->sys / TICK_NS), LLU(t->idle / TICK_NS),
		   LLU(t->iowait / TICK_NS), LLU(t->irq / TICK_NS));
}

static void cpu_sum(struct machine_cpu_times *sum)
{
	*sum = (struct machine_cpu_times){0};
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct machine_cpu_times t;

		machine_cpu_times(cpu, &t);
		sum->user += t.user;
		sum->nice += t.nice;
		sum->sys += t.sys;
		sum->idle += t.idle;
		sum->iowait += t.iowait;
		sum->irq += t.irq;
		sum->switches += t.switches;
		sum->interrupts += t.interrupts;
	}
}

int show_stat(const struct pnode *n, struct seq_buf *out)
{
	u64 boot = (machine_wall_ns() - port_now_ns()) / 1000000000UL;
	struct machine_cpu_times t;
	struct task_counts c;

	(void)n;
	cpu_sum(&t);
	seq_puts(out, "cpu ");
	put_cpu_line(out, &t);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct machine_cpu_times one;

		if (!cpu_online(cpu))
			continue;
		machine_cpu_times(cpu, &one);
		seq_printf(out, "cpu%d", cpu);
		put_cpu_line(out, &one);
	}
	task_counts_get(&c);
	seq_printf(out, "intr %llu\nctxt %llu\nbtime %llu\nprocesses %llu\n",
		   LLU(t.interrupts), LLU(t.switches), LLU(boot), LLU(c.forks));
	seq_printf(out, "procs_running %u\nprocs_blocked %u\n",
		   machine_nr_running(), c.blocked);
	return 0;
}

static void put_irq(struct seq_buf *out, const struct machine_irq *irq)
{
	seq_printf(out, "%4s: ", irq->name);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		if (cpu_online(cpu))
			seq_printf(out, "%10llu ",
				   LLU(machine_irq_count(irq, cpu)));
	seq_printf(out, "  %s\n", irq->text);
}

int show_interrupts(const struct pnode *n, struct seq_buf *out)
{
	struct machine_irq irq;

	(void)n;
	seq_printf(out, "%6s", "");
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		if (cpu_online(cpu))
			seq_printf(out, "     CPU%-3d", cpu);
	seq_putc(out, '\n');
	for (u32 i = 0; machine_irq_row(i, &irq); i++)
		put_irq(out, &irq);
	return 0;
}

int show_cpuinfo(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		if (cpu_online(cpu))
			machine_cpu_text(cpu, out);
	return 0;
}

/* ---- time ------------------------------------------------------------------
 */

static void put_seconds(struct seq_buf *out, u64 ns, const char *end)
{
	seq_printf(out, "%llu.%02llu%s", LLU(ns / 1000000000UL),
		   LLU(ns / TICK_NS % 100), end);
}

int show_uptime(const struct pnode *n, struct seq_buf *out)
{
	struct machine_cpu_times t;

	(void)n;
	cpu_sum(&t);
	put_seconds(out, port_now_ns(), " ");
	put_seconds(out, t.idle + t.iowait, "\n");
	return 0;
}

int show_loadavg(const struct pnode *n, struct seq_buf *out)
{
	struct task_counts c;
	u64 load[3];

	(void)n;
	loadavg_get(load);
	task_counts_get(&c);
	for (int i = 0; i < 3; i++) {
		/* Rounded to two digits. */
		u64 v = load[i] + 65536 / 200;

		seq_printf(out, "%llu.%02llu ", LLU(v >> 16),
			   LLU((v & 0xffff) * 100 >> 16));
	}
	seq_printf(out, "%u/%u %d\n", machine_nr_running(), c.threads,
		   c.last_pid);
	return 0;
}

/* ---- names -----------------------------------------------------------------
 */

int show_version(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_puts(out, KERNEL_SYSNAME " version " KERNEL_RELEASE
				     " (mmkit) (" __VERSION__ ") #1 SMP\n");
	return 0;
}

int show_cmdline(const struct pnode *n, struct seq_buf *out)
{
	(void)n;
	seq_printf(out, "%s\n", machine_cmdline());
	return 0;
}

/* Disks are vda, vdb ...: major 254, 16 minors each (blkdev names). */
int show_partitions(const struct pnode *n, struct seq_buf *out)
{
	struct port_bdev *bdev;

	(void)n;
	seq_puts(out, "major minor  #blocks  name\n\n");
	for (u32 i = 0; (bdev = machine_bdev(i)); i++)
		seq_printf(out, "%4u  %7u %10llu vd%c\n", 254u, i * 16,
			   LLU(port_bdev_size(bdev) / 1024), (char)('a' + i));
	return 0;
}

/* Requests that ended, sectors, ms: of reading, of writing; then what is under
 * way; then of forgetting and of flushing. Nothing is merged before it is
 * counted. */
static void put_disk(struct seq_buf *out, const struct machine_disk_stats *s)
{
	static const enum port_bio_op ops[] = {PORT_BIO_READ, PORT_BIO_WRITE,
					       PORT_BIO_DISCARD};
	u64 ms[4], sum = 0;

	for (u32 i = 0; i < ARRAY_SIZE(ms); i++) {
		ms[i] = s->op[i].ns / 1000000;
		sum += ms[i];
	}
	for (u32 i = 0; i < ARRAY_SIZE(ops); i++) {
		if (ops[i] == PORT_BIO_DISCARD)
			seq_printf(out, " %u %llu %llu", s->in_flight,
				   LLU(s->busy_ns / 1000000), LLU(sum));
		seq_printf(out, " %llu 0 %llu %llu", LLU(s->op[ops[i]].ios),
			   LLU(s->op[ops[i]].sectors), LLU(ms[ops[i]]));
	}
	seq_printf(out, " %llu %llu\n", LLU(s->op[PORT_BIO_FLUSH].ios),
		   LLU(ms[PORT_BIO_FLUSH]));
}

int show_diskstats(const struct pnode *n, struct seq_buf *out)
{
	struct machine_disk_stats s;
	struct port_bdev *bdev;

	(void)n;
	for (u32 i = 0; (bdev = machine_bdev(i)); i++) {
		machine_bdev_stats(bdev, &s);
		seq_printf(out, "%4u %7u vd%c", 254u, i * 16, (char)('a' + i));
		put_disk(out, &s);
	}
	return 0;
}
