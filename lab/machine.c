/* SPDX-License-Identifier: MIT */
/*
 * machine.c - options to a booted machine.
 */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mmkit/boot.h>
#include <mmkit/report.h>
#include <mmkit/sysctl.h>

#include "base/seqbuf.h"
#include "cache/swap.h"
#include "dump.h"
#include "err.h"
#include "phys/numa_text.h"
#include "policy.h"

#define MAX_RAM	    (16UL << 40)
#define LOW_RAM_END 0x9fc00UL
#define HIGH_RAM    0x100000UL
/* Below 4 GiB the last GiB belongs to devices, as on a PC. */
#define PCI_HOLE 0xc0000000UL
#define FOUR_GIB 0x100000000UL

/* ---- options
 * ------------------------------------------------------------------ */

enum {
	OPT_MAP = 256,
	OPT_NUMA,
	OPT_ARCH,
	OPT_TLB,
	OPT_KERNELCORE,
	OPT_MOVABLECORE,
	OPT_MOVABLE_NODE,
	OPT_NODES,
	OPT_CPUS,
	OPT_SEED,
	OPT_EXPLORE,
	OPT_SWAPFILE,
	OPT_POLICY,
	OPT_SWAPPINESS,
	OPT_SYSCTL,
	OPT_SHOW,
	OPT_DEBUG,
	OPT_SLUB_DEBUG,
	OPT_LOG,
	OPT_CMA
};

static const struct argp_option options[] = {
	{"map", OPT_MAP, "FILE", 0,
	 "firmware map: a Linux boot log's BIOS-e820 lines, or /proc/iomem", 0},
	{"arch", OPT_ARCH, "NAME", 0,
	 "page tables and layout of memory: x86-64, x86-64-la57, x86-32, "
	 "x86-32-pae or arm64 (x86-64)",
	 0},
	{"tlb", OPT_TLB, "L1[:L2[:LARGE]]", 0,
	 "translation caches of each CPU: slots of the first level, SETSxWAYS "
	 "of the second (1024:128x12), and of an array for large pages, which "
	 "else are in the second level too",
	 0},
	{"nodes", OPT_NODES, "N", 0, "NUMA nodes of equal size (1)", 0},
	{"numa", OPT_NUMA, "FILE", 0,
	 "NUMA nodes: a Linux boot log's SRAT lines, or lines of node, cpu and "
	 "distance",
	 0},
	{"kernelcore", OPT_KERNELCORE, "SIZE|N%", 0,
	 "memory for all uses; the rest is zone Movable", 0},
	{"movablecore", OPT_MOVABLECORE, "SIZE|N%", 0, "size of zone Movable",
	 0},
	{"movable-node", OPT_MOVABLE_NODE, 0, 0,
	 "zone Movable is what --numa calls hotplug", 0},
	{"cpus", OPT_CPUS, "N", 0, "virtual CPUs (1)", 0},
	{"seed", OPT_SEED, "N", 0, "seed of the scheduler (1)", 0},
	{"explore", OPT_EXPLORE, 0, 0,
	 "switch at random at every scheduling point", 0},
	{"swap-file", OPT_SWAPFILE, "PATH", 0,
	 "file to swap to (an unnamed temporary file)", 0},
	{"policy", OPT_POLICY, "NAME", 0,
	 "replacement policy, or a file that has one, with a / in its name "
	 "(classic)",
	 0},
	{"swappiness", OPT_SWAPPINESS, "N", 0, "vm.swappiness, 0..200", 0},
	{"sysctl", OPT_SYSCTL, "K=V", 0,
	 "set a tunable, e.g. vm.page-cluster=0", 0},
	{"show", OPT_SHOW, "FILE", 0,
	 "print a file at the end, e.g. /proc/zoneinfo; may be repeated", 0},
	{"debug", OPT_DEBUG, "LIST", 0,
	 "poison, init_on_alloc, init_on_free, guard[=minorder], page_owner, "
	 "check_pages",
	 0},
	{"slub-debug", OPT_SLUB_DEBUG, "OPTS[,CACHE...]", OPTION_ARG_OPTIONAL,
	 "slab caches check objects: letters F Z P U T O (FZPU), for all caches "
	 "or those named; several with ';'",
	 0},
	{"cma", OPT_CMA, "SIZE[@BASE]", 0,
	 "keep an area for contiguous allocations, lent to movable pages", 0},
	{"log", OPT_LOG, 0, 0, "print the machine's log", 0},
	{0}};

u64 machine_size_arg(const char *name, const char *arg)
{
	struct args_error e;
	u64 v;

	if (!args_size(arg, &v, &e))
		err_usage("--%s: %s", name, e.text);
	return v;
}

error_t machine_size_opt(struct machine_opts *o, int key, const char *arg)
{
	switch (key) {
	case MACHINE_OPT_MEM:
		o->mem_bytes = machine_size_arg("mem", arg);
		return 0;
	case MACHINE_OPT_SWAP:
		o->swap_bytes = machine_size_arg("swap", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void machine_defaults(struct machine_opts *o)
{
	memset(o, 0, sizeof(*o));
	o->mem_bytes = 1UL << 30;
	o->nodes = o->cpus = 1;
	o->seed = 1;
}

static u64 count_arg(const char *name, const char *arg, u64 lo, u64 hi)
{
	struct args_error e;
	u64 v;

	if (!args_count(arg, lo, hi, &v, &e))
		err_usage("--%s: %s", name, e.text);
	return v;
}

/* "25%" or a size. */
static struct mm_boot_amount amount_arg(const char *name, const char *arg)
{
	struct mm_boot_amount a = {0};
	size_t len = strlen(arg);
	struct args_error e;
	char number[32];
	u64 v;

	if (len == 0 || arg[len - 1] != '%' || len >= sizeof(number)) {
		if (!args_size(arg, &a.bytes, &e))
			err_usage("--%s: %s", name, e.text);
		if (!a.bytes)
			err_usage("--%s: %s: nothing", name, arg);
		return a;
	}
	memcpy(number, arg, len - 1);
	number[len - 1] = '\0';
	if (!args_count(number, 1, 100, &v, &e))
		err_usage("--%s: %s", name, e.text);
	a.percent = (u32)v;
	return a;
}

static void add_sysctl(struct machine_opts *o, const char *arg)
{
	struct args_error e;

	if (o->nr_sysctls == MACHINE_MAX_SYSCTLS)
		err_usage("--sysctl: at most %d", MACHINE_MAX_SYSCTLS);
	if (!args_pair(arg, &o->sysctls[o->nr_sysctls], &e))
		err_usage("--sysctl: %s", e.text);
	o->nr_sysctls++;
}

static void add_swappiness(struct machine_opts *o, const char *arg)
{
	char pair[64];

	count_arg("swappiness", arg, 0, 200);
	snprintf(pair, sizeof(pair), "vm.swappiness=%s", arg);
	add_sysctl(o, pair);
}

/* One word of --debug's list. */
static void add_debug(struct mm_debug_params *d, const char *word)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"poison", &d->poison},
		{"init_on_alloc", &d->init_on_alloc},
		{"init_on_free", &d->init_on_free},
		{"page_owner", &d->page_owner},
		{"check_pages", &d->check_pages},
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (!strcmp(word, flags[i].name)) {
			*flags[i].flag = true;
			return;
		}
	}
	if (!strcmp(word, "guard") || !strncmp(word, "guard=", 6)) {
		d->debug_pagealloc = true;
		d->guard_minorder =
			word[5] ? (u8)count_arg("debug guard", word + 6, 0, 5)
				: 1;
		return;
	}
	err_usage("--debug: '%s' is not one of poison, init_on_alloc, "
		  "init_on_free, guard[=0..5], page_owner, check_pages",
		  word);
}

static void add_debug_list(struct mm_debug_params *d, const char *list)
{
	char word[64];
	size_t len;

	for (;; list += len + 1) {
		len = strcspn(list, ",");
		snprintf(word, sizeof(word), "%.*s", (int)len, list);
		add_debug(d, word);
		if (!list[len])
			return;
	}
}

/* The letters; what else may be wrong is the machine's to say. */
static void check_slub_debug(const char *text)
{
	while (*text) {
		size_t ok = strspn(text, "FZPUTOfzputo-");

		if (text[ok] && text[ok] != ',' && text[ok] != ';')
			err_usage("--slub-debug: unknown option '%c': the "
				  "options are F Z P U T O -",
				  text[ok]);
		text += strcspn(text, ";");
		text += *text == ';';
	}
}

struct show_search {
	const char *name;
	bool found;
};

static void compare_name(const char *path, void *arg)
{
	struct show_search *s = arg;

	if (!strcmp(path, s->name) ||
	    (!strncmp(path, "/proc/", 6) && !strcmp(path + 6, s->name)))
		s->found = true;
}

static bool show_known(const char *name)
{
	struct show_search s = {name, false};

	/* One file for each cache and attribute: seen when it is shown. */
	if (!strncmp(name, "/sys/kernel/slab/", 17) ||
	    !strncmp(name, "/sys/kernel/debug/slab/", 23))
		return true;
	mm_show_list(compare_name, &s);
	return s.found;
}

static void add_show(struct machine_opts *o, const char *arg)
{
	if (o->nr_shows == MACHINE_MAX_SHOWS)
		err_usage("--show: at most %d", MACHINE_MAX_SHOWS);
	if (!show_known(arg))
		err_usage("--show: no file '%s' here", arg);
	o->shows[o->nr_shows++] = arg;
}

/* SIZE or SIZE@BASE, as the kernel's cma= has it. */
static void parse_cma(struct machine_opts *o, const char *arg)
{
	const char *at = strchr(arg, '@');
	struct args_error e;
	char size[32];

	if (snprintf(size, sizeof(size), "%.*s",
		     at ? (int)(at - arg) : (int)strlen(arg),
		     arg) >= (int)sizeof(size))
		err_usage("--cma: '%s' is no size", arg);
	if (!args_size(size, &o->cma_bytes, &e))
		err_usage("--cma: %s", e.text);
	if (o->cma_bytes == 0)
		err_usage("--cma: an area of 0 bytes is none");
	o->cma_fixed = at != NULL;
	if (at && !args_size(at + 1, &o->cma_base, &e))
		err_usage("--cma: base: %s", e.text);
}

/* One number of --tlb's; AT goes to what follows it. */
static u32 tlb_number(const char *arg, const char **at, const char *what,
		      u64 most)
{
	size_t len = strspn(*at, "0123456789");
	struct args_error e;
	char number[32];
	u64 v;

	if (len == 0 || len >= sizeof(number))
		err_usage("--tlb: '%s': no number of %s", arg, what);
	snprintf(number, sizeof(number), "%.*s", (int)len, *at);
	if (!args_count(number, 1, most, &v, &e))
		err_usage("--tlb: %s: %s", what, e.text);
	*at += len;
	return (u32)v;
}

/* ":SETSxWAYS", if it comes next. */
static void parse_array(const char *arg, const char **at, u32 *sets, u32 *ways)
{
	if (**at != ':')
		return;
	++*at;
	*sets = tlb_number(arg, at, "sets", SIM_TLB_SETS_MAX);
	if (*(*at)++ != 'x')
		err_usage("--tlb: '%s': SETSxWAYS is wanted", arg);
	*ways = tlb_number(arg, at, "ways", SIM_TLB_WAYS_MAX);
}

/* L1, L1:SETSxWAYS or L1:SETSxWAYS:SETSxWAYS. */
static void parse_tlb(struct machine_opts *o, const char *arg)
{
	const char *at = arg;

	o->tlb_l1 = tlb_number(arg, &at, "slots", SIM_TLB_L1_MAX);
	parse_array(arg, &at, &o->tlb_sets, &o->tlb_ways);
	parse_array(arg, &at, &o->tlb_large_sets, &o->tlb_large_ways);
	if (*at)
		err_usage("--tlb: '%s': '%s' is too much", arg, at);
	if ((o->tlb_l1 & (o->tlb_l1 - 1)) ||
	    (o->tlb_sets & (o->tlb_sets - 1)) ||
	    (o->tlb_large_sets & (o->tlb_large_sets - 1)))
		err_usage("--tlb: '%s': slots and sets are powers of two", arg);
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct machine_opts *o = state->input;

	switch (key) {
	case OPT_MAP:
		o->map = arg;
		return 0;
	case OPT_NUMA:
		o->numa = arg;
		return 0;
	case OPT_ARCH:
		o->arch = arg;
		return 0;
	case OPT_TLB:
		parse_tlb(o, arg);
		return 0;
	case OPT_KERNELCORE:
		o->kernelcore = amount_arg("kernelcore", arg);
		return 0;
	case OPT_MOVABLECORE:
		o->movablecore = amount_arg("movablecore", arg);
		return 0;
	case OPT_MOVABLE_NODE:
		o->movable_node = true;
		return 0;
	case OPT_NODES:
		o->nodes = (u32)count_arg("nodes", arg, 1, MM_MAX_NODES);
		return 0;
	case OPT_CPUS:
		o->cpus = (u32)count_arg("cpus", arg, 1, MM_NR_CPUS);
		return 0;
	case OPT_SEED:
		o->seed = count_arg("seed", arg, 0, UINT64_MAX);
		return 0;
	case OPT_EXPLORE:
		o->explore = true;
		return 0;
	case OPT_SWAPFILE:
		o->swap_file = arg;
		return 0;
	case OPT_POLICY:
		o->policy = arg;
		return 0;
	case OPT_SWAPPINESS:
		add_swappiness(o, arg);
		return 0;
	case OPT_SYSCTL:
		add_sysctl(o, arg);
		return 0;
	case OPT_SHOW:
		add_show(o, arg);
		return 0;
	case OPT_CMA:
		parse_cma(o, arg);
		return 0;
	case OPT_DEBUG:
		add_debug_list(&o->debug, arg);
		return 0;
	case OPT_SLUB_DEBUG:
		o->slub_debug = arg ? arg : "";
		check_slub_debug(o->slub_debug);
		return 0;
	case OPT_LOG:
		o->log = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp machine_argp = {.options = options, .parser = parse_opt};

/* ---- the memory map
 * -------------------------------------------------------------- */

static void must_add(struct e820_table *t, u64 start, u64 end,
		     enum e820_type type)
{
	if (end > start && e820_add(t, start, end - start, type))
		err_die("firmware map: too many entries");
}

/* MEM bytes as PC firmware would lay them out. */
static void pc_map(struct e820_table *t, u64 mem)
{
	u64 below = mem < PCI_HOLE ? mem : PCI_HOLE;

	e820_init(t);
	must_add(t, 0, below < LOW_RAM_END ? below : LOW_RAM_END,
		 E820_TYPE_RAM);
	must_add(t, LOW_RAM_END, 0xa0000, E820_TYPE_RESERVED);
	must_add(t, 0xf0000, HIGH_RAM, E820_TYPE_RESERVED);
	must_add(t, HIGH_RAM, below, E820_TYPE_RAM);
	if (mem > below)
		must_add(t, FOUR_GIB, FOUR_GIB + mem - below, E820_TYPE_RAM);
}

_Noreturn static void text_die(const char *path, const struct e820_error *e)
{
	if (e->line)
		err_die("%s: line %u, column %u: %s", path, e->line, e->column,
			e->message);
	err_die("%s: %s", path, e->message);
}

static void map_from_file(struct e820_table *t, const char *path)
{
	struct e820_error e;
	size_t len;
	char *text = err_read_text(path, "a firmware map", &len);
	int err = e820_parse(t, text, len, &e);

	free(text);
	if (err)
		text_die(path, &e);
}

struct machine {
	const struct machine_opts *o;
	struct e820_table map;
	struct mm_boot_node nodes[NUMA_MAX_RANGES];
	struct mm_boot_node hotplug[NUMA_MAX_RANGES];
	struct numa_desc numa; /* of --numa */
	u32 nr_nodes;	       /* of these; 0: one, which the map says */
	u8 cpu_node[MM_NR_CPUS];
	struct port_bdev *swap;
	int (*body)(void *arg);
	void *arg;
	bool booted;
	char why[256]; /* what was refused once it had booted */
};

static struct machine machine;

static void copy_ranges(struct mm_boot_node *to,
			const struct phys_node_range *from, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		to[i] = (struct mm_boot_node){from[i].start, from[i].end,
					      from[i].nid};
}

/* What --numa describes; CPUs that it does not name are the first node's. */
static void nodes_from_file(struct machine *m, const char *path)
{
	struct numa_desc *d = &m->numa;
	struct e820_error e;
	size_t len;
	char *text = err_read_text(path, "a description of nodes", &len);
	int err = numa_parse(d, text, len, &e);

	free(text);
	if (err)
		text_die(path, &e);
	copy_ranges(m->nodes, d->ranges, d->nr_ranges);
	copy_ranges(m->hotplug, d->hotplug, d->nr_hotplug);
	for (u32 i = 0; i < MM_NR_CPUS; i++)
		m->cpu_node[i] = d->cpus_given >> i & 1 ? d->cpu_node[i]
							: (u8)d->ranges[0].nid;
}

/* Nodes share the address range in equal, section-aligned parts. */
static u32 make_nodes(struct machine *m)
{
	u64 end = 0, part;
	u32 n = m->o->nodes;

	if (m->o->numa)
		return m->numa.nr_ranges;
	if (n == 1)
		return 0;
	for (u32 i = 0; i < m->map.nr_entries; i++)
		if (m->map.entries[i].type == E820_TYPE_RAM)
			end = max(end, m->map.entries[i].addr +
					       m->map.entries[i].size);
	part = ALIGN_DOWN(end / n, 4UL << 20);
	if (part == 0)
		err_die("--nodes: %u nodes need at least %u MiB", n, n * 4);
	for (u32 i = 0; i < n; i++) {
		m->nodes[i].start = i * part;
		m->nodes[i].end = i + 1 == n ? end : (i + 1) * part;
		m->nodes[i].nid = (int)i;
	}
	return n;
}

/* ---- swap
 * -------------------------------------------------------------------------- */

/* Give the file at FD its size and mkswap's header. */
static void write_header(int fd, const char *path, u64 bytes)
{
	static _Alignas(8) char header[PAGE_SIZE];
	u64 pages = bytes >> PAGE_SHIFT;
	int err;

	swap_header_init(header, (u32)pages);
	err = posix_fallocate(fd, 0, (off_t)bytes);
	if (err)
		err_die("--swap: %s: cannot reserve %llu bytes: %s", path,
			(unsigned long long)bytes, strerror(err));
	if (pwrite(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
		err_die("--swap: %s: cannot write the header: %s", path,
			strerror(errno));
}

static void open_swap(struct machine *m)
{
	struct sim_disk_config cfg = {.size_bytes = m->o->swap_bytes};
	const char *dir = getenv("TMPDIR");
	char path[512], again[64], err[SIM_DISK_ERR_MAX];
	int fd;

	if (m->o->swap_file) {
		snprintf(path, sizeof(path), "%s", m->o->swap_file);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	} else {
		snprintf(path, sizeof(path), "%s/mmkit-swap-XXXXXX",
			 dir && *dir ? dir : "/tmp");
		fd = mkostemp(path, O_CLOEXEC);
		cfg.name = "swapfile";
	}
	if (fd < 0)
		err_die("--swap: %s: cannot create: %s", path, strerror(errno));
	/* The file limit is an error to report, not a signal to die of. */
	signal(SIGXFSZ, SIG_IGN);
	/* Without a name at once: nothing stays behind, however this ends. */
	if (!m->o->swap_file)
		unlink(path);
	write_header(fd, path, m->o->swap_bytes);
	snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
	cfg.path = again;
	if (!cfg.name)
		cfg.name = m->o->swap_file;
	if (sim_disk_open(&m->swap, &cfg, err))
		err_die("--swap: %s", err);
	close(fd);
}

/* ---- running
 * ------------------------------------------------------------------------- */

static int apply_sysctls(struct machine *m)
{
	for (u32 i = 0; i < m->o->nr_sysctls; i++) {
		const struct args_pair *p = &m->o->sysctls[i];
		int err = mm_sysctl_set(p->key, p->value);

		if (!err)
			continue;
		snprintf(m->why, sizeof(m->why), "--sysctl: %s=%.100s: %s",
			 p->key, p->value,
			 err == -ENOENT ? "no such tunable" : strerror(-err));
		return err;
	}
	return 0;
}

static int swap_on(struct machine *m)
{
	int err = m->swap ? swapon(m->swap, -2) : 0;

	if (err < 0)
		snprintf(m->why, sizeof(m->why),
			 "--swap: the machine refused it: %s", strerror(-err));
	return err < 0 ? err : 0;
}

static void sink_file(void *arg, const char *text, size_t len)
{
	fwrite(text, 1, len, arg);
}

bool machine_ram_read(void *arg, const struct paging_format *f, phys_addr_t pa,
		      u64 *raw)
{
	(void)arg;
	if (!pfn_valid(pa >> PAGE_SHIFT))
		return false;
	*raw = pt_raw_read(f, port_ram(pa));
	return true;
}

void machine_show(const struct machine_opts *o)
{
	FILE *out = o->show_stderr ? stderr : stdout;

	for (u32 i = 0; i < o->nr_shows; i++) {
		char buf[1024];
		struct seq_buf s;

		if (o->nr_shows > 1)
			fprintf(out, "==> %s <==\n", o->shows[i]);
		seq_buf_init_sink(&s, buf, sizeof(buf), sink_file, out);
		if (mm_show(o->shows[i], &s))
			err_die("--show: no file '%s' here", o->shows[i]);
		seq_buf_flush(&s);
	}
	if (o->dump_proc)
		dump_proc(o->dump_proc);
}

/* From the first thread to a machine with its swap and its tunables. */
static int machine_up(void *arg)
{
	struct machine *m = arg;
	struct mm_boot_params p = {
		.map = &m->map,
		.nodes = m->nodes,
		.policy = m->o->policy ? policy_find(m->o->policy)->name : NULL,
		.arch = m->o->arch,
		.kernelcore = m->o->kernelcore,
		.movablecore = m->o->movablecore,
		.movable_node = m->o->movable_node,
		.hotplug = m->hotplug,
		.nr_hotplug = m->numa.nr_hotplug,
		.nr_distances = m->numa.nr_distances,
		.cma_size = m->o->cma_bytes,
		.cma_base = m->o->cma_base,
		.cma_fixed = m->o->cma_fixed,
		.debug = m->o->debug,
		.slab = {.slub_debug = m->o->slub_debug},
	};
	int err;

	if (p.nr_distances)
		p.distances = m->numa.distances;

	p.nr_nodes_ranges = m->nr_nodes;
	if (!p.nr_nodes_ranges)
		p.nodes = NULL;
	err = mm_boot(&p);
	if (err)
		return err;
	m->booted = true;
	err = swap_on(m);
	return err ? err : apply_sysctls(m);
}

static int machine_down(void *arg)
{
	(void)arg;
	mm_shutdown();
	return 0;
}

static int machine_main(void *arg)
{
	struct machine *m = arg;
	int ret = machine_up(m);

	if (ret)
		return ret;
	if (m->body)
		ret = m->body(m->arg);
	else
		machine_show(m->o);
	mm_shutdown();
	return ret;
}

static void console(void *arg, int level, const char *text, size_t len)
{
	const struct machine_opts *o = arg;

	if (o->sink)
		o->sink(level, text, len);
	else if (o->log)
		fwrite(text, 1, len, stdout);
	else if (level <= 3)
		fwrite(text, 1, len, stderr);
}

static void check_arch(const struct machine_opts *o)
{
	const struct phys_layout *l = phys_layout_find(o->arch);
	u64 top = o->mem_bytes;

	if (!l)
		err_usage(
			"--arch: no layout is called '%s' (there are: x86-64, "
			"x86-64-la57, x86-32, x86-32-pae, arm64)",
			o->arch);
	if (top > PCI_HOLE)
		top += FOUR_GIB - PCI_HOLE;
	if (!o->map && top > l->limit)
		err_usage("--mem: %llu bytes: more than %s can address",
			  (unsigned long long)o->mem_bytes, l->name);
}

const struct paging_format *machine_format(const struct machine_opts *o)
{
	return o->arch ? paging_format_by_name(o->arch) : &paging_x86_64_4level;
}

/* An area has as many pages as a page-table entry can name. */
static void check_swap(const struct machine_opts *o)
{
	const struct paging_format *f = machine_format(o);
	u64 pages = min((u64)SWAP_MAX_PAGES, 1UL << f->swp_offset_bits);

	if (!o->swap_bytes || (o->swap_bytes >= 10 * PAGE_SIZE &&
			       o->swap_bytes >> PAGE_SHIFT <= pages))
		return;
	err_usage("--swap: %llu bytes: from 40K to %lluG on %s",
		  (unsigned long long)o->swap_bytes,
		  (unsigned long long)(pages << PAGE_SHIFT >> 30), f->name);
}

static void check_nodes(const struct machine_opts *o)
{
	if (o->numa && o->nodes > 1)
		err_usage("--numa and --nodes: one of them");
	if (o->movable_node && !o->numa)
		err_usage("--movable-node needs --numa");
	if (o->movable_node && (o->kernelcore.bytes || o->kernelcore.percent ||
				o->movablecore.bytes || o->movablecore.percent))
		err_usage("--movable-node goes without --kernelcore and "
			  "--movablecore");
}

void machine_check(const struct machine_opts *o)
{
	check_nodes(o);
	if (!o->map && o->mem_bytes > MAX_RAM)
		err_usage("--mem: %llu bytes: at most 16 TiB can be managed",
			  (unsigned long long)o->mem_bytes);
	if (!o->map && o->mem_bytes < (1UL << 20))
		err_usage("--mem: %llu bytes: at least 1M is needed to boot",
			  (unsigned long long)o->mem_bytes);
	check_arch(o);
	check_swap(o);
	if (o->policy)
		(void)policy_find(o->policy);
}

static const char *why_no_boot(const struct machine_opts *o, int err)
{
	if (o->cma_bytes)
		return "no room for it, or for --cma: see the log above";
	return err == -EINVAL ? "its memory map is not usable"
			      : "too little memory";
}

/* A machine of O that has not booted yet. */
static void machine_make(const struct machine_opts *o)
{
	struct machine *m = &machine;
	struct sim_config cfg = {
		.format = machine_format(o),
		.cpus = (int)o->cpus,
		.seed = o->seed,
		.explore = o->explore,
		.console = console,
		.console_arg = (void *)(uintptr_t)o,
		.console_level = o->log || o->sink ? 6 : 3,
		.catch_panic = o->catch_panic,
		.shared_ram = o->shared_ram,
		.cpu_node = m->cpu_node,
		.tlb_l1 = o->tlb_l1 ? o->tlb_l1 : SIM_TLB_L1_MAX,
		.tlb_sets = o->tlb_sets,
		.tlb_ways = o->tlb_ways,
		.tlb_large_sets = o->tlb_large_sets,
		.tlb_large_ways = o->tlb_large_ways,
	};

	machine_check(o);
	*m = (struct machine){.o = o};
	for (u32 i = 0; i < MM_NR_CPUS; i++)
		m->cpu_node[i] = (u8)(i % o->nodes);
	if (o->numa)
		nodes_from_file(m, o->numa);
	if (o->map)
		map_from_file(&m->map, o->map);
	else
		pc_map(&m->map, o->mem_bytes & PAGE_MASK);
	m->nr_nodes = make_nodes(m);
	mm_reset();
	if (o->policy)
		policy_join(policy_find(o->policy));
	if (sim_init(&cfg))
		err_die("cannot make the machine: no address space for it");
}

/* Ends the process if RET, of sim_run(), says that it did not come up. */
static void must_be_up(int ret)
{
	const struct machine *m = &machine;
	const char *no = m->booted ? NULL : why_no_boot(m->o, ret);

	if (!no && !m->why[0] && ret != -EDEADLK)
		return;
	sim_shutdown();
	if (no)
		err_die("the machine does not boot: %s", no);
	if (m->why[0])
		err_die("%s", m->why);
	err_die("the machine is stuck: see the list of threads above");
}

int machine_run(const struct machine_opts *o, int (*body)(void *arg), void *arg)
{
	int ret;

	machine_make(o);
	machine.body = body;
	machine.arg = arg;
	if (o->swap_bytes)
		open_swap(&machine);
	ret = sim_run(machine_main, &machine);
	must_be_up(ret);
	sim_shutdown();
	return ret;
}

void machine_begin(const struct machine_opts *o)
{
	machine_make(o);
	if (o->swap_bytes)
		open_swap(&machine);
	must_be_up(sim_run(machine_up, &machine));
}

void machine_end(void)
{
	(void)sim_run(machine_down, NULL);
	sim_shutdown();
}
