/* SPDX-License-Identifier: MIT */
/*
 * power.c - the ways to end.
 *
 * Off, with a status: QEMU's isa-debug-exit at 0xf4 (status v ends QEMU with
 * (v << 1) | 1), if it is there: the port reads as other than all ones. Else
 * by ACPI: the sleep type of S5 into the PM1 control registers, or, on a
 * machine of reduced hardware, into its sleep register. Restart: ACPI's reset
 * register, the keyboard controller, the chipset's reset port; at last a
 * triple fault, for which a CPU needs nothing but itself. Each way gets a
 * moment to work before the next one is tried.
 *
 * References: ACPI 4.8.3.7, 4.8.4.6; docs of QEMU's isa-debug-exit.
 */
#include "machine.h"

#include "acpi.h"
#include "base/printk.h"
#include "clock.h"
#include "io.h"
#include "metal.h"

#define DEBUG_EXIT     0xf4u
#define SLEEP_ENABLE_1 (1u << 13) /* in PM1 control */
#define SLEEP_ENABLE_R (1u << 5)  /* in the sleep register */
#define SCI_ENABLE     1u
#define MOMENT_NS      50000000ull
#define KBD_STATUS     0x64u
#define KBD_BUSY       2u
#define RESET_PORT     0xcf9u

static struct {
	bool debug_exit;
	volatile u8 *sleep, *reset; /* registers in memory */
} power;

static void moment(void)
{
	/* Without a clock, a count has to do. */
	for (u32 i = 0; !clock_now_ns() && i < 1000000; i++)
		x86_pause();
	clock_delay_ns(MOMENT_NS);
}

/* isa-debug-exit's port can be read: 0. Nobody's reads as ones. */
void power_early(void)
{
	power.debug_exit = x86_inb(DEBUG_EXIT) != 0xff;
}

/* Once tables are there; registers must be mapped before there is need. */
void power_init(void)
{
	if (acpi.sleep_control.addr && acpi.sleep_control.space == 0)
		power.sleep = metal_map_io(acpi.sleep_control.addr, 1);
	if (acpi.reset_ok && acpi.reset.space == 0)
		power.reset = metal_map_io(acpi.reset.addr, 1);
}

/* ---- off --------------------------------------------------------------------
 */

static void off_reduced(void)
{
	u8 v = (u8)(acpi.s5a << 2 | SLEEP_ENABLE_R);

	if (power.sleep)
		mmio_set8(power.sleep, v);
	else if (acpi.sleep_control.addr)
		x86_outb((u16)acpi.sleep_control.addr, v);
	else
		return;
	moment();
}

static void off_pm1(void)
{
	u16 a = acpi.pm1a_cnt, b = acpi.pm1b_cnt;

	/* The firmware may still own the registers. */
	if (!(io_in16(a) & SCI_ENABLE) && acpi.smi_cmd && acpi.acpi_enable) {
		x86_outb((u16)acpi.smi_cmd, acpi.acpi_enable);
		for (u32 i = 0; i < 300 && !(io_in16(a) & SCI_ENABLE); i++)
			clock_delay_ns(1000000);
	}
	io_out16(a, (u16)(acpi.s5a << 10));
	io_out16(a, (u16)(acpi.s5a << 10 | SLEEP_ENABLE_1));
	if (b)
		io_out16(b, (u16)(acpi.s5b << 10 | SLEEP_ENABLE_1));
	moment();
}

_Noreturn void machine_power_off(int status)
{
	(void)port_irq_save();
	apic_stop_others();
	if (power.debug_exit) {
		x86_outb(DEBUG_EXIT, (u8)status);
		moment();
	}
	if (acpi.has_s5 && acpi.hw_reduced)
		off_reduced();
	else if (acpi.has_s5 && acpi.pm1a_cnt)
		off_pm1();
	pr_emerg("power: this machine cannot be switched off; it stands "
		 "still (status %d)",
		 status);
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

/* ---- restart ----------------------------------------------------------------
 */

static void reset_acpi(void)
{
	if (!acpi.reset_ok)
		return;
	if (power.reset)
		mmio_set8(power.reset, acpi.reset_value);
	else if (acpi.reset.space == 1)
		x86_outb((u16)acpi.reset.addr, acpi.reset_value);
	moment();
}

static void reset_keyboard(void)
{
	for (u32 i = 0; i < 10000 && (x86_inb(KBD_STATUS) & KBD_BUSY); i++)
		x86_pause();
	x86_outb(KBD_STATUS, 0xfe);
	moment();
}

static void reset_chipset(void)
{
	x86_outb(RESET_PORT, 2);
	x86_outb(RESET_PORT, 6);
	moment();
}

static _Noreturn void triple_fault(void)
{
	static const struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) none = {0, 0};

	for (;;)
		__asm__ volatile("lidt %0\n\tint3" ::"m"(none));
}

_Noreturn void machine_restart(void)
{
	(void)port_irq_save();
	apic_stop_others();
	reset_acpi();
	reset_keyboard();
	reset_chipset();
	triple_fault();
}
