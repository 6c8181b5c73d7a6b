/* SPDX-License-Identifier: MIT */
/*
 * start.c - from the loader's description of the machine to the first thread.
 *
 * 1. Purpose. The order of a boot in one function, metal_start(): each step
 *    needs only those before it. dev.h lists the devices' steps.
 * 2. Structures. What the loader tells (struct hvm_start_info, its modules,
 *    its map of memory, the command line) is copied into metal_boot at once:
 *    afterwards the memory that it lay in is ordinary RAM.
 * 3. Invariants. Until mm_boot() is through one thread runs, on CPU 0: on the
 *    boot stack first, whose code becomes the CPU's idle thread, then on a
 *    stack of its own. Below either nothing is mapped (early.c).
 * 4. Locking. None is needed before the second CPU comes.
 * 5. Life. The boot's functions run once.
 * 6. Failure. metal_fatal(): a sentence on the console, exit status 1.
 * 7. Cost. The kernel's own is printed when the machine is up.
 * 8. Rejected. Multiboot: QEMU reads an ELF file of 64 bits by PVH only.
 *
 * References: Xen, docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/
 * start_info.h (the structures' public description).
 */
#include "metal.h"

#include <mmkit/errno.h>
#include <mmkit/memblock.h>
#include <mmkit/page_alloc.h>

#include "base/printk.h"
#include "base/string.h"
#include "pgtable/kernel.h"
#include "phys/phys.h"
#include "phys/vmstat.h"

#define PVH_MAGIC 0x336ec578u

struct hvm_start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist_paddr, cmdline_paddr, rsdp_paddr;
	u64 memmap_paddr; /* from version 1 on */
	u32 memmap_entries, reserved;
};

struct hvm_modlist_entry {
	u64 paddr, size, cmdline_paddr, reserved;
};

struct hvm_memmap_entry {
	u64 addr, size;
	u32 type, reserved;
};

/* The trampoline of other CPUs; never given out. */
#define LOW_PAGE 0x8000ul

struct metal_boot metal_boot;

_Noreturn void metal_fatal(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)mm_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	metal_boot.earlycon = true;
	pr_emerg("boot: %s", text);
	machine_power_off(1);
}

/* ---- what the loader tells
 * ------------------------------------------------------------ */

static void copy_cmdline(phys_addr_t pa)
{
	const char *from = pa ? metal_map_early(pa, PAGE_SIZE) : "";
	size_t max = sizeof(metal_boot.cmdline);

	if (mm_strnlen(from, max) == max)
		metal_fatal("the command line has more than %zu bytes",
			    max - 1);
	(void)mm_strscpy(metal_boot.cmdline, from, max);
}

static void copy_map(const struct hvm_start_info *si)
{
	const struct hvm_memmap_entry *e;
	u32 n = si->memmap_entries;

	if (si->version < 1 || !si->memmap_paddr || !n)
		metal_fatal("the loader gave no map of memory (start info "
			    "version %u, %u entries)",
			    si->version, n);
	if (n > E820_MAX_ENTRIES - 2)
		metal_fatal("the loader's map of memory has %u entries; at "
			    "most %u can be read",
			    n, E820_MAX_ENTRIES - 2);
	e = metal_map_early(si->memmap_paddr, n * sizeof(*e));
	for (u32 i = 0; i < n; i++)
		if (e820_add(&metal_boot.map, e[i].addr, e[i].size,
			     (enum e820_type)e[i].type))
			metal_fatal("the map of memory does not fit");
	if (e820_total_ram(&metal_boot.map) == 0)
		metal_fatal("no RAM in the loader's map of memory");
}

static void copy_modules(const struct hvm_start_info *si)
{
	const struct hvm_modlist_entry *m;

	if (!si->nr_modules)
		return;
	if (si->nr_modules > 1)
		pr_warn("boot: %u modules were loaded; the first is the "
			"initrd, the others are ignored",
			si->nr_modules);
	m = metal_map_early(si->modlist_paddr, sizeof(*m));
	metal_boot.initrd = m->paddr;
	metal_boot.initrd_size = m->size;
}

void metal_loader_info(phys_addr_t pa)
{
	const struct hvm_start_info *si;

	if (!pa || pa >= 1ul << 30)
		metal_fatal("the loader's start info is at 0x%llx, where it "
			    "cannot be",
			    (unsigned long long)pa);
	si = metal_map_early(pa, sizeof(*si));
	if (si->magic != PVH_MAGIC)
		metal_fatal("the loader's start info has magic 0x%08x, not "
			    "0x%08x: not a PVH boot",
			    si->magic, PVH_MAGIC);
	e820_init(&metal_boot.map);
	copy_cmdline(si->cmdline_paddr);
	copy_map(si);
	copy_modules(si);
	metal_boot.rsdp = si->rsdp_paddr;
}

/* ---- the command line
 * ----------------------------------------------------------------- */

const char *machine_cmdline(void)
{
	return metal_boot.cmdline;
}

/* Words after "--" are init's. */
const char *metal_option(const char *name)
{
	size_t len = mm_strlen(name);
	const char *s = metal_boot.cmdline;

	while (*s) {
		while (*s == ' ')
			s++;
		if (!mm_strncmp(s, "--", 2) && (s[2] == ' ' || !s[2]))
			return NULL;
		if (!mm_strncmp(s, name, len)) {
			if (s[len] == '=')
				return s + len + 1;
			if (s[len] == ' ' || !s[len])
				return "";
		}
		while (*s && *s != ' ')
			s++;
	}
	return NULL;
}

static bool word_end(char c)
{
	return !c || c == ' ';
}

static bool parse_size(const char *s, u64 *out)
{
	static const char units[] = "KMGT";
	const char *unit;
	u64 v = 0;

	if (word_end(*s))
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (v > (UINT64_MAX >> 4) / 10)
			return false;
		v = v * 10 + (u64)(*s - '0');
	}
	unit = *s ? mm_strchr(units, *s & ~0x20) : NULL;
	if (unit && *unit && !word_end(*s)) {
		u32 shift = 10 * ((u32)(unit - units) + 1);

		if (v > UINT64_MAX >> shift)
			return false;
		v <<= shift;
		s++;
	}
	*out = v;
	return word_end(*s);
}

bool metal_option_u64(const char *name, u64 *out)
{
	const char *s = metal_option(name);

	if (!s)
		return false;
	if (!parse_size(s, out))
		metal_fatal("command line: %s=%.20s: not a number", name, s);
	return true;
}

/* mem=N: RAM from N on is not used. */
static void limit_memory(void)
{
	u64 limit;

	if (!metal_option_u64("mem", &limit))
		return;
	if (limit < image_phys(__image_end) + (1ul << 20))
		metal_fatal("command line: mem=%lluK: the kernel itself ends "
			    "at %lluK",
			    (unsigned long long)limit >> 10,
			    (unsigned long long)image_phys(__image_end) >> 10);
	if (e820_sanitize(&metal_boot.map) ||
	    e820_remove_ram(&metal_boot.map, limit, UINT64_MAX - limit))
		metal_fatal("mem=: the map of memory is damaged");
	if (metal_boot.initrd_size &&
	    metal_boot.initrd + metal_boot.initrd_size > limit)
		metal_fatal("mem=: the initrd lies above it, at 0x%llx",
			    (unsigned long long)metal_boot.initrd);
}

phys_addr_t metal_low_page(void)
{
	return LOW_PAGE;
}

static void reserve_low_page(void)
{
	if (e820_add(&metal_boot.map, LOW_PAGE, PAGE_SIZE, E820_TYPE_RESERVED))
		metal_fatal("the map of memory does not fit");
}

/* ---- the initrd
 * ------------------------------------------------------------------------ */

const void *machine_initrd(u64 *size)
{
	*size = metal_boot.initrd_size;
	return metal_boot.initrd_size ? port_ram(metal_boot.initrd) : NULL;
}

static void initrd_frames(phys_addr_t *start, u64 *size)
{
	phys_addr_t end = metal_boot.initrd + metal_boot.initrd_size;

	*start = ALIGN_DOWN(metal_boot.initrd, PAGE_SIZE);
	*size = metal_boot.initrd_size ? PAGE_ALIGN(end) - *start : 0;
}

void machine_initrd_free(void)
{
	phys_addr_t start;
	u64 size;

	initrd_frames(&start, &size);
	if (!size)
		return;
	metal_boot.initrd_size = 0;
	memblock_free_late(start, size);
	pr_info("Freeing initrd memory: %lluK", (unsigned long long)size >> 10);
}

/* ---- the boot
 * -------------------------------------------------------------------------- */

static unsigned long long kib(u64 bytes)
{
	return (unsigned long long)bytes >> 10;
}

/* What of RAM is not the programs'. */
static void print_costs(void)
{
	u64 ro = (u64)(__ro_end - __image_start);
	u64 bss = (u64)(__bss_end - __bss_start);
	u64 image = (u64)(__image_end - __image_start);
	u64 ram = 0;

	for (u32 i = 0; i < metal_boot.map.nr_entries; i++)
		if (metal_boot.map.entries[i].type == E820_TYPE_RAM)
			ram += metal_boot.map.entries[i].size;
	pr_info("metal: the kernel takes %lluK of %lluK: image %lluK (code "
		"%lluK, data %lluK, bss %lluK), CPU areas %lluK, descriptors "
		"of frames %lluK, tables %lluK, objects %lluK; free %lluK",
		kib(ram -
		    (global_zone_page_state(NR_FREE_PAGES) << PAGE_SHIFT)),
		kib(ram), kib(image), kib(ro), kib(image - ro - bss), kib(bss),
		kib(early_costs.areas),
		kib((phys_sys.memmap_frames * sizeof(struct page))),
		kib(pgtable_sys.nr_tables << PAGE_SHIFT),
		kib((global_node_page_state(NR_SLAB_RECLAIMABLE_B) +
		     global_node_page_state(NR_SLAB_UNRECLAIMABLE_B))
		    << PAGE_SHIFT),
		kib(global_zone_page_state(NR_FREE_PAGES) << PAGE_SHIFT));
}

static void boot_manager(void)
{
	struct mm_boot_params p = {
		.map = &metal_boot.map,
		.kernel_start = image_phys(__image_start),
		.kernel_text_size = (u64)(__ro_end - __image_start),
	};
	int err;

	/* Whole frames: they are freed as such, so the boot's own memory must
	 * not lie in what the last one has left. */
	initrd_frames(&p.initrd_start, &p.initrd_size);

	acpi_boot_nodes(&p);
	metal_debug_options(&p.debug);
	p.kernel_size = early_seal(&p.debug) - p.kernel_start;
	err = mm_boot(&p);
	if (err == -ENOMEM)
		metal_fatal("too little memory: this machine has %lluK of RAM",
			    kib(e820_total_ram(&metal_boot.map)));
	if (err)
		metal_fatal("the memory manager did not start (error %d)",
			    -err);
	early_release();
}

static bool is_selftest(const char *name)
{
	const char *s = metal_option("selftest");
	size_t len = mm_strlen(name);

	return s && !mm_strncmp(s, name, len) && word_end(s[len]);
}

static void main_thread(void *arg)
{
	(void)arg;
	metal_crash_option();
	blk_init();
	if (is_selftest("devs"))
		machine_power_off(dev_selftest() ? 0 : 1);
	if (is_selftest("echo"))
		dev_echo();
	if (is_selftest("off"))
		machine_power_off(7);
	if (is_selftest("restart"))
		machine_restart();
	kernel_main();
	metal_fatal("kernel_main() returned");
}

/* On a stack of the image's, since there is no vmalloc() yet. */
static void first_thread(void *arg)
{
	struct port_thread *t;

	(void)arg;
	metal_crash_stack("first-stack");
	boot_manager();
	metal_crash_stack("first-stack-late");
	print_costs();
	if (port_thread_start(&t, "kernel", -1, main_thread, NULL))
		metal_fatal("too little memory for the first thread's stack");
}

_Noreturn void metal_start(u64 info);

/* Called by boot.S, on the boot stack, with the boot tables. */
_Noreturn void metal_start(u64 info)
{
	static struct metal_cpu cpu0;
	static struct port_thread idle0;
	static u8 ist[IST_STACKS * IST_STACK_SIZE] MM_ALIGNED(16);
	static u8 first[STACK_SIZE] MM_ALIGNED(PAGE_SIZE);
	u64 cpus = 0;

	cpu_area_init(&cpu0, 0, ist);
	cpu_idt_init();
	cpu_load(&cpu0);
	power_early();
	serial_init();
	cpu_probe();
	metal_loader_info(info);
	console_options();
	pr_info("mmkit for x86-64, command line: %s", metal_boot.cmdline);
	reserve_low_page();
	limit_memory();
	early_init();
	cpu_load(&cpu0); /* with what cpu_probe() found */
	fpu_init();
	acpi_init(metal_boot.rsdp);
	power_init();
	apic_init();
	clock_init();
	tlb_init(PFN_DOWN(image_phys(boot_pml4)));
	metal_crash_stack("boot-stack");
	sched_init_cpu(&cpu0, &idle0, early_boot_stack());
	metal_option_u64("maxcpus", &cpus);
	smp_start((u32)min(cpus, (u64)MM_NR_CPUS));
	serial_start();
	sched_first(first_thread, early_stack(image_phys(first)));
	x86_sti();
	sched_idle();
}
