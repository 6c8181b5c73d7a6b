/* SPDX-License-Identifier: MIT */
/*
 * serial.c - COM1, the console: bytes out, bytes in.
 *
 * Sending waits until the transmitter is empty and fills its FIFO of 16 then.
 * A line that is not there (reads of all ones) or does not come empty in time
 * is not waited for again: a machine must boot without it. Receiving is by
 * interrupt; the handler empties the FIFO. The lock serialises writers, so
 * that lines of several CPUs do not mix; it is taken in any context, and a
 * writer that stopped with it (a panic) is not waited for for ever.
 *
 * Reference: PC16550D data sheet.
 */
#include "machine.h"

#include "apic.h"
#include "base/atomic.h"
#include "base/printk.h"
#include "clock.h"
#include "io.h"

#define COM1	 0x3f8u
#define COM1_IRQ 4u
#define FIFO	 16u

#define REG_DATA 0u
#define REG_IER	 1u /* with DLAB: divisor, high byte */
#define REG_IIR	 2u /* written: FIFO control */
#define REG_LCR	 3u
#define REG_MCR	 4u
#define REG_LSR	 5u
#define REG_MSR	 6u
#define REG_TEST 7u

#define LSR_DATA  0x01
#define LSR_EMPTY 0x20
#define IER_RX	  0x01
#define MCR_ALL	  0x0b /* DTR, RTS, and OUT2: interrupts reach the line */

#define MAX_POLLS 1000000u

static struct {
	bool there;
	u32 lock;
	void (*rx)(u8 byte);
} serial;

static u8 get(u32 reg)
{
	return x86_inb((u16)(COM1 + reg));
}

static void set(u32 reg, u8 v)
{
	x86_outb((u16)(COM1 + reg), v);
}

/* ---- out --------------------------------------------------------------------
 */

static bool wait_empty(void)
{
	for (u32 i = 0; i < MAX_POLLS; i++) {
		if (get(REG_LSR) & LSR_EMPTY)
			return true;
		x86_pause();
	}
	serial.there = false;
	return false;
}

/* False: the owner is not coming back. */
static bool take(void)
{
	for (u32 i = 0; i < MAX_POLLS || !smp_stopping(); i++) {
		if (!__atomic_exchange_n(&serial.lock, 1, __ATOMIC_ACQUIRE))
			return true;
		tlb_poll();
		x86_pause();
	}
	return false;
}

void serial_write(const char *text, size_t len)
{
	unsigned long flags;
	bool mine;

	if (!serial.there)
		return;
	flags = port_irq_save();
	mine = take();
	for (size_t i = 0; i < len; i++) {
		if (i % FIFO == 0 && !wait_empty())
			break;
		set(REG_DATA, (u8)text[i]);
	}
	if (mine)
		__atomic_store_n(&serial.lock, 0, __ATOMIC_RELEASE);
	port_irq_restore(flags);
}

void machine_console_write(const char *text, size_t len)
{
	serial_write(text, len);
}

/* ---- in ---------------------------------------------------------------------
 */

static void serial_interrupt(void *arg)
{
	void (*rx)(u8 byte) = smp_load_acquire(&serial.rx);

	(void)arg;
	/* A stuck line must not keep the CPU. */
	for (u32 i = 0; i < 256 && (get(REG_LSR) & LSR_DATA); i++) {
		u8 byte = get(REG_DATA);

		if (rx)
			rx(byte);
	}
	(void)get(REG_IIR);
}

/* What came before has waited in the FIFO. */
void machine_console_on_rx(void (*rx)(u8 byte))
{
	smp_store_release(&serial.rx, rx);
	if (serial.there && rx)
		set(REG_IER, IER_RX);
}

void serial_start(void)
{
	if (!serial.there)
		return;
	if (!irq_route_isa(COM1_IRQ, "ttyS", serial_interrupt, NULL))
		pr_warn("serial: no interrupts: nothing can be typed");
}

void serial_init(void)
{
	set(REG_TEST, 0x5a);
	if (get(REG_TEST) != 0x5a || get(REG_LSR) == 0xff)
		return;
	set(REG_IER, 0);
	set(REG_LCR, 0x80);
	set(REG_DATA, 1); /* 115200 baud */
	set(REG_IER, 0);
	set(REG_LCR, 0x03); /* 8 bits, no parity, 1 stop */
	set(REG_IIR, 0x07); /* FIFOs on and empty, interrupt at 1 byte */
	set(REG_MCR, MCR_ALL);
	serial.there = true;
}
