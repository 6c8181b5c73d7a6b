/* SPDX-License-Identifier: MIT */
/*
 * dev_weak.c - what stands in for a device's driver that is not linked in:
 * one CPU without timer, interrupts and disks. Everything here is weak: a
 * driver's function of the same name takes its place.
 */
#include "metal.h"

#include "base/seqbuf.h"

#define WEAK __attribute__((weak))

WEAK void dev_interrupt(u32 vector)
{
	(void)vector;
}
WEAK u64 dev_interrupts(int cpu)
{
	(void)cpu;
	return 0;
}
WEAK void acpi_init(phys_addr_t rsdp)
{
	(void)rsdp;
}
WEAK void acpi_boot_nodes(struct mm_boot_params *params)
{
	(void)params;
}
/* The PIC's interrupts would look like exceptions. */
WEAK void apic_init(void)
{
	x86_outb(0x21, 0xff);
	x86_outb(0xa1, 0xff);
}
WEAK void apic_init_cpu(void)
{
}
WEAK void apic_ipi(int cpu, u32 vector)
{
	(void)cpu;
	(void)vector;
}
WEAK void apic_stop_others(void)
{
}
WEAK void smp_start(u32 max)
{
	(void)max;
}
WEAK void smp_arrived(int cpu)
{
	(void)cpu;
}
WEAK int port_nr_cpus(void)
{
	return 1;
}
WEAK int port_cpu_node(int cpu)
{
	(void)cpu;
	return 0;
}
WEAK void clock_init(void)
{
}
WEAK void clock_init_cpu(void)
{
}
WEAK void clock_tick(u64 period_ns)
{
	(void)period_ns;
}
/* As if the counter counted nanoseconds. */
WEAK u64 port_now_ns(void)
{
	return x86_rdtsc();
}
WEAK void port_charge_ns(u64 ns)
{
	(void)ns;
}
WEAK u64 port_entropy(void)
{
	static u64 state;
	u64 z = state += x86_rdtsc() | 1;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}
WEAK void machine_timer_arm(struct machine_timer *timer)
{
	timer->armed = true;
}
WEAK bool machine_timer_cancel(struct machine_timer *timer)
{
	bool was = timer->armed;

	timer->armed = false;
	return was;
}
WEAK void tlb_init(u64 kernel_root)
{
	(void)kernel_root;
}
WEAK void tlb_init_cpu(void)
{
}
WEAK void tlb_poll(void)
{
}
WEAK void tlb_idle_enter(void)
{
}
WEAK void tlb_idle_exit(void)
{
}
WEAK void port_load_root(u64 root_pfn, u32 asid)
{
	(void)asid;
	x86_write_cr3(PFN_PHYS(root_pfn));
}
WEAK void port_load_kernel_root(u64 root_pfn)
{
	metal_master_ready(root_pfn);
	x86_write_cr3(PFN_PHYS(root_pfn));
}
WEAK void port_tlb_flush(const struct port_cpumask *cpus, u32 asid, uva_t start,
			 uva_t end)
{
	(void)cpus;
	(void)asid;
	(void)start;
	(void)end;
	x86_write_cr3(x86_read_cr3());
}
WEAK void port_tlb_flush_kernel_self(kva_t start, kva_t end)
{
	u64 cr4 = x86_read_cr4();

	(void)start;
	(void)end;
	x86_write_cr4(cr4 & ~CR4_PGE);
	x86_write_cr4(cr4);
	x86_write_cr3(x86_read_cr3());
}
WEAK void port_tlb_flush_kernel(kva_t start, kva_t end)
{
	port_tlb_flush_kernel_self(start, end);
}
WEAK void blk_init(void)
{
}
WEAK void blk_polling(void)
{
}
WEAK struct port_bdev *machine_bdev(u32 n)
{
	(void)n;
	return NULL;
}
WEAK void port_bio_submit(struct port_bio *bio)
{
	bio->status = -5;
	bio->end_io(bio);
}
WEAK u64 port_bdev_size(const struct port_bdev *bdev)
{
	(void)bdev;
	return 0;
}
WEAK int port_bdev_resize(struct port_bdev *bdev, u64 bytes)
{
	(void)bdev;
	(void)bytes;
	return -95;
}
WEAK const char *port_bdev_name(const struct port_bdev *bdev)
{
	(void)bdev;
	return "none";
}
WEAK void serial_init(void)
{
}
WEAK void serial_start(void)
{
}
WEAK void serial_write(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			x86_outb(0x3f8, '\r');
		x86_outb(0x3f8, (u8)text[i]);
	}
}
WEAK void power_early(void)
{
}
WEAK _Noreturn void machine_power_off(int status)
{
	x86_outb(0xf4, (u8)status);
	for (;;)
		__asm__ volatile("cli\n\thlt");
}
WEAK _Noreturn void machine_restart(void)
{
	x86_outb(0x64, 0xfe);
	for (;;)
		__asm__ volatile("cli\n\thlt");
}
