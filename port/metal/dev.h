/* SPDX-License-Identifier: MIT */
/*
 * dev.h - where the two halves of the metal world meet.
 *
 * One half is the CPU's: boot, traps, tables of the kernel, threads and the
 * scheduler, entry from user mode. The other is the devices': ACPI, interrupt
 * controllers, other CPUs, clocks and timers, TLB shoot-down, disks, the
 * serial line, power. The first part of this file is what the devices offer,
 * the second what they ask for. Private to port/metal.
 *
 * The order of a boot, on the first CPU, interrupts off until said:
 *
 *   descriptor tables, boot page tables, memory map, command line
 *   power_early()    knows isa-debug-exit from a port that is not there
 *   serial_init()    COM1, if there is one
 *   acpi_init()      tables: CPUs, nodes, interrupt controllers
 *   power_init()     which of them end the machine
 *   apic_init()      PIC masked, this CPU's local APIC, I/O APICs
 *   clock_init()     port_now_ns() runs; this CPU's timer
 *   tlb_init()       PCID and INVPCID, if the CPU has them
 *   smp_start()      the other CPUs reach metal_ap_main() and wait there;
 *                    from here on port_nr_cpus() is constant
 *   scheduler, interrupts on, mm_boot(), port_load_kernel_root()
 *   blk_init()       disks: memory and interrupts are needed
 *   kernel_main()
 */
#ifndef METAL_DEV_H
#define METAL_DEV_H

#include <mmkit/boot.h>
#include <mmkit/port.h>
#include <mmkit/types.h>

/* ---- interrupt vectors ------------------------------------------------------
 *
 * 0..31 are exceptions. All others come to dev_interrupt().
 */
#define VEC_PIC_SPURIOUS 0x20u /* .. 0x2f: the masked PIC's, if it speaks */
#define VEC_IRQ_FIRST	 0x30u /* device interrupts */
#define VEC_IRQ_LAST	 0xdfu
#define VEC_TIMER	 0xf0u
#define VEC_RESCHED	 0xf1u
#define VEC_TLB		 0xf2u
#define VEC_CALL	 0xf3u
#define VEC_STOP	 0xf4u
#define VEC_SOFT	 0xf5u
#define VEC_APIC_ERROR	 0xfeu
#define VEC_SPURIOUS	 0xffu

/* ---- what the devices offer -------------------------------------------------
 */

/*
 * dev_interrupt: an interrupt came in by VECTOR, 0x20 .. 0xff. The entry code
 * calls it with interrupts off and port_in_irq() true; it acknowledges the
 * interrupt itself. Afterwards the entry code looks whether to reschedule.
 */
void dev_interrupt(u32 vector);
/* dev_interrupts: how many CPU took so far. */
u64 dev_interrupts(int cpu);

/*
 * acpi_init: read the tables from the RSDP at physical RSDP on; 0: look for it
 * where a BIOS leaves it. Needs metal_map_early(). Without tables, or with
 * damaged ones (logged), there is one CPU, one node and legacy interrupts.
 */
void acpi_init(phys_addr_t rsdp);
/* acpi_boot_nodes: fill in PARAMS' nodes, distances and memory that can be
 * taken out, if the tables say so; the arrays last for ever. */
void acpi_boot_nodes(struct mm_boot_params *params);

/* apic_init: the interrupt controllers, on the first CPU; apic_init_cpu: the
 * local one of each further CPU, by itself. Interrupts off. */
void apic_init(void);
void apic_init_cpu(void);
/* apic_id: of the running CPU, as the hardware has it. */
u32 apic_id(void);
/* apic_ipi: VECTOR to CPU (not the running one; nor one that is not up). Any
 * context. */
void apic_ipi(int cpu, u32 vector);
/* apic_stop_others: no other CPU executes anything any more. Any context; for
 * panics and power off. */
void apic_stop_others(void);

/*
 * smp_start: bring up the other CPUs, up to MAX in all (0: as many as there
 * are). One that does not come up is logged and has no number. Interrupts off.
 */
void smp_start(u32 max);
/* smp_nr_cpus: how many are up; what port_nr_cpus() tells. */
int smp_nr_cpus(void);
/* smp_call: run FN(ARG) on CPU in an interrupt, wait for it. Pinned; interrupts
 * on. The running CPU: called directly. */
void smp_call(int cpu, void (*fn)(void *arg), void *arg);

/* clock_init: calibrate; clock_init_cpu: the timer of each further CPU. */
void clock_init(void);
void clock_init_cpu(void);
/* clock_now_ns: monotonic on all CPUs; 0 before clock_init(). Any context. */
u64 clock_now_ns(void);
/* clock_tick: call metal_tick() on the running CPU PERIOD_NS from now and so
 * on; 0: no more (one thread to run, or idle). Interrupts off. */
void clock_tick(u64 period_ns);
/* clock_delay_ns: busy wait. Any context. */
void clock_delay_ns(u64 ns);

/*
 * tlb_init: use PCID and INVPCID where the CPU has them; tlb_init_cpu: the
 * same on each further CPU. KERNEL_ROOT: the frame of a table for the kernel
 * alone, until port_load_kernel_root(). port_load_root(),
 * port_load_kernel_root() and the flushes are in tlb.c.
 */
void tlb_init(u64 kernel_root);
void tlb_init_cpu(void);
/*
 * tlb_poll: answer what other CPUs wait for. Each busy wait for another CPU
 * that can happen with interrupts off calls it in its loop: port_spin_lock(),
 * port_relax(). Any context.
 */
void tlb_poll(void);

/* tlb_tick: forget entries that lost their accessed bits, and what others took
 * out of the direct map. In an interrupt. */
void tlb_tick(void);
/* tlb_forget_kernel: [START, END) of the kernel's is not mapped any more. This
 * CPU forgets it now, the others at their next tick. Pinned; any context. */
void tlb_forget_kernel(kva_t start, kva_t end);

/* tlb_stats: what all CPUs counted. Of the other CPUs that flushes named, ASKED
 * were interrupted and SKIPPED did not have that table loaded. */
struct tlb_stats {
	u64 flushes, kernel; /* calls of port_tlb_flush(), _flush_kernel() */
	u64 asked, skipped;
	u64 remote;   /* calls that interrupted any */
	u64 all, one; /* what CPUs did: all of an ASID or more; single pages */
};
void tlb_stats(struct tlb_stats *sum);

/* blk_init: find the disks. May sleep. */
void blk_init(void);
/* blk_polling: from now on disks are asked, not waited for: after a panic. */
void blk_polling(void);
/* blk_lost: ends of requests that no interrupt told of. */
u64 blk_lost(void);

/* serial_init: COM1; serial_start: its interrupts, from smp_start() on.
 * serial_write: any context, also before serial_init() (nothing happens). */
void serial_init(void);
void serial_start(void);
void serial_write(const char *text, size_t len);

/* power_early: is there isa-debug-exit; power_init: what ACPI tells, after
 * acpi_init(). */
void power_early(void);
void power_init(void);

/* dev_selftest: exercise all of the above and log each result; the last line
 * is "selftest: devs: ok" or "... FAILED". May sleep. True: all well. */
bool dev_selftest(void);
/* dev_echo: what is typed comes back, a letter as the next one; "." ends the
 * machine. May sleep. */
_Noreturn void dev_echo(void);

/* ---- what the devices ask for -----------------------------------------------
 */

/* metal_map_early: a view of physical memory below 4 GiB, before mm_boot(). */
void *metal_map_early(phys_addr_t pa, u64 size);
/*
 * metal_map_io: a view of a device's registers, uncached, for ever, whatever
 * table is loaded; from early boot on. NULL: no room (logged).
 */
void *metal_map_io(phys_addr_t pa, u64 size);

/* metal_tick: clock_tick()'s period is over. In an interrupt. */
void metal_tick(void);

/*
 * metal_ap_prepare: memory for CPU number CPU: its own area, stack and
 * descriptor tables. *STACK is the stack's top, *CR3 the table to switch to
 * from real mode: below 4 GiB, its low megabyte mapped one to one as well.
 * False: no memory; that CPU stays down. CPU is the next number, and may be
 * asked for again if the CPU did not come.
 */
bool metal_ap_prepare(int cpu, void **stack, u64 *cr3);
/*
 * metal_ap_main: CPU runs, in long mode, on its stack, interrupts off, with
 * the trampoline's descriptor table and none for interrupts. It makes itself
 * at home, calls apic_init_cpu(), clock_init_cpu(), tlb_init_cpu() and
 * smp_arrived(), and waits for its first thread.
 */
_Noreturn void metal_ap_main(int cpu);
void smp_arrived(int cpu);

/* Command line: metal_option("maxcpus") is what follows "maxcpus=", "" for the
 * bare word, NULL: not there. Ends at a blank. */
const char *metal_option(const char *name);

/* metal_low_page: a frame below 1 MiB that is the trampoline's for ever. */
phys_addr_t metal_low_page(void);

#endif
