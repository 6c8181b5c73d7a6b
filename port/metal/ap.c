/* SPDX-License-Identifier: MIT */
/*
 * ap.c - a further CPU: what it needs to come, and what it does first.
 */
#include "metal.h"

#include "base/printk.h"
#include "base/string.h"

#define AP_AREA	 PAGE_ALIGN(sizeof(struct metal_cpu))
#define AP_IDLE	 PAGE_ALIGN(sizeof(struct port_thread))
#define AP_IST	 ((u64)IST_STACKS * IST_STACK_SIZE)
#define PML4_LOW 0x63ul

/* The boot tables and, below, the first GiB one to one. */
static u64 ap_pml4[512] MM_ALIGNED(PAGE_SIZE);

/* One CPU's memory; asked for again if that one did not come. */
static struct {
	char *base, *stack;
	int cpu;
} next_ap;

bool metal_ap_prepare(int cpu, void **stack, u64 *cr3)
{
	char *base = next_ap.base;

	if (cpu < 1 || cpu >= MM_NR_CPUS)
		return false;
	if (!base || next_ap.cpu != cpu) {
		base = early_alloc(AP_AREA + AP_IDLE + AP_IST + STACK_SIZE);
		if (!base)
			return false;
		next_ap.stack = early_stack(
			port_ram_phys(base + AP_AREA + AP_IDLE + AP_IST));
	}
	if (!next_ap.stack)
		return false;
	next_ap.base = base;
	next_ap.cpu = cpu;
	cpu_area_init((struct metal_cpu *)base, cpu, base + AP_AREA + AP_IDLE);
	mm_memcpy(ap_pml4, boot_pml4, sizeof(ap_pml4));
	ap_pml4[0] = image_phys(boot_pdpt_low) | PML4_LOW;
	*stack = next_ap.stack + STACK_SIZE;
	*cr3 = image_phys(ap_pml4);
	return true;
}

_Noreturn void metal_ap_main(int cpu)
{
	struct metal_cpu *c = metal_cpus[cpu];
	char *base = (char *)c;

	x86_write_cr3(image_phys(boot_pml4));
	cpu_load(c);
	apic_init_cpu();
	clock_init_cpu();
	tlb_init_cpu();
	sched_init_cpu(c, (struct port_thread *)(base + AP_AREA),
		       next_ap.stack);
	smp_arrived(cpu);
	x86_sti();
	sched_idle();
}
