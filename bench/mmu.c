/* world: sim */
/* SPDX-License-Identifier: MIT */
/*
 * mmu - instructions of an access through the software MMU: hits in the two
 * levels of the TLB, misses that walk tables of each format, the walk alone.
 *
 *	mmu              print the table
 *	mmu ITEM N       do ITEM N times
 *
 * No peer: a CPU does this in hardware.
 */
#include "bench.h"

#include "sim.h"

#define RAM_BYTES (16UL << 20)
#define ROOT_PFN  1
#define DATA	  0x800000UL
#define VA	  0x40000000UL
#define PAGES	  64u

struct item {
	const char *name, *text;
	const struct paging_format *fmt;
	u32 l1, sets, ways; /* so that what is measured happens each time */
	void (*run)(u64 n);
};

static void need(bool ok)
{
	if (!ok)
		bench_die("an access failed");
}

/* ---- tables -------------------------------------------------------------- */

static void put(const struct paging_format *f, void *at, int level, u64 val)
{
	u64 raw = pte_encode(f, level, __pte(val));

	if (f->entry_bytes == 8)
		*(u64 *)at = raw;
	else
		*(u32 *)at = (u32)raw;
}

/* PAGES pages from VA, accessed and dirty already. */
static void make_tables(const struct paging_format *f)
{
	const u64 bits =
		X86_PTE_P | X86_PTE_RW | X86_PTE_US | X86_PTE_A | X86_PTE_D;
	u64 table = ROOT_PFN;
	char *at;

	for (int l = f->levels - 1; l > 0; l--) {
		at = (char *)port_ram(PFN_PHYS(table)) +
		     (u64)pt_index(f, l, VA) * f->entry_bytes;
		put(f, at, l, PFN_PHYS(table + 1) | X86_TABLE_LINK);
		table++;
	}
	at = (char *)port_ram(PFN_PHYS(table)) +
	     (u64)pt_index(f, 0, VA) * f->entry_bytes;
	for (u32 i = 0; i < PAGES; i++)
		put(f, at + (u64)i * f->entry_bytes, 0,
		    (DATA + (u64)i * PAGE_SIZE) | bits);
}

/* ---- accesses ------------------------------------------------------------ */

/* One access after another, to two pages in turns. */
static void run_access(u64 n)
{
	for (u64 i = 0; i < n; i++)
		need(!sim_touch(VA + (i & 1) * PAGE_SIZE, SIM_READ));
}

static void run_copy(u64 n)
{
	char buf[8];

	for (u64 i = 0; i < n; i++)
		need(!sim_copy_from_user(buf, VA + (i & 1) * PAGE_SIZE,
					 sizeof(buf)));
}

static void run_walk(u64 n)
{
	phys_addr_t pa;

	for (u64 i = 0; i < n; i++)
		need(!sim_walk(ROOT_PFN, VA + (i % PAGES) * PAGE_SIZE, SIM_READ,
			       &pa));
}

/* One entry after another loses its accessed bit and gets it back. */
static void run_mark(u64 n)
{
	u64 *leaf = port_ram(PFN_PHYS(ROOT_PFN + 3));
	phys_addr_t pa;

	leaf += pt_index(&paging_x86_64_4level, 0, VA);
	for (u64 i = 0; i < n; i++) {
		leaf[i % PAGES] &= ~X86_PTE_A;
		need(!sim_walk(ROOT_PFN, VA + (i % PAGES) * PAGE_SIZE, SIM_READ,
			       &pa));
	}
}

#define F32  (&paging_x86_32)
#define FPAE (&paging_x86_32_pae)
#define F64  (&paging_x86_64_4level)
#define F57  (&paging_x86_64_5level)
#define FARM (&paging_arm64)

static const struct item items[] = {
	{"hit", "access, hit in the first level", F64, 16, 8, 2, run_access},
	{"second", "access, hit in the second level", F64, 1, 8, 2, run_access},
	{"copy", "copy of 8 bytes, hit", F64, 16, 8, 2, run_copy},
	{"miss2", "access, miss, two levels", F32, 1, 1, 1, run_access},
	{"miss3", "access, miss, three levels (PAE)", FPAE, 1, 1, 1,
	 run_access},
	{"miss4", "access, miss, four levels", F64, 1, 1, 1, run_access},
	{"miss5", "access, miss, five levels", F57, 1, 1, 1, run_access},
	{"missarm", "access, miss, four levels of arm64", FARM, 1, 1, 1,
	 run_access},
	{"walk4", "walk alone, four levels", F64, 1, 1, 1, run_walk},
	{"mark4", "walk that sets the accessed bit", F64, 1, 1, 1, run_mark},
};

static int run(const char *name, u64 n)
{
	const struct item *item = NULL;
	struct sim_config cfg = {.ram_max = 1UL << 30, .quiet = true};

	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		if (!strcmp(items[i].name, name))
			item = &items[i];
	if (!item)
		bench_die("no such item");
	cfg.format = item->fmt;
	cfg.tlb_l1 = item->l1;
	cfg.tlb_sets = item->sets;
	cfg.tlb_ways = item->ways;
	if (sim_init(&cfg) || port_ram_online(0, RAM_BYTES))
		bench_die("no machine");
	make_tables(item->fmt);
	port_load_root(ROOT_PFN, 1);
	item->run(n);
	sim_shutdown();
	return 0;
}

int main(int argc, char **argv)
{
	u64 few = 10000, many = 50000;

	if (argc == 3)
		return run(argv[1], strtoull(argv[2], NULL, 0));
	bench_head("instructions, software MMU");
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		double a = bench_instructions("@ %s %llu", items[i].name,
					      (unsigned long long)few);
		double b = bench_instructions("@ %s %llu", items[i].name,
					      (unsigned long long)many);

		bench_row(items[i].text,
			  a < 0 ? BENCH_NONE : (b - a) / (double)(many - few),
			  BENCH_NONE, BENCH_NONE);
	}
	return 0;
}
