/* SPDX-License-Identifier: MIT */
/*
 * apic.h - interrupt controllers, for the other devices. Private to
 * port/metal. Theory: apic.c.
 */
#ifndef METAL_APIC_H
#define METAL_APIC_H

#include "dev.h"

/*
 * irq_claim: a vector of its own for FN(ARG), which runs on the first CPU in
 * an interrupt. 0: all are taken. The handlers stay for ever.
 */
u32 irq_claim(const char *name, void (*fn)(void *arg), void *arg);
/*
 * irq_route: global interrupt GSI calls FN(ARG) on the first CPU. A
 * line that several devices share calls the handlers of all. False: there is
 * no such line (logged).
 */
bool irq_route(u32 gsi, bool level, bool low, const char *name,
	       void (*fn)(void *arg), void *arg);
/* irq_route_isa: the same for an ISA interrupt, as the firmware has it. */
bool irq_route_isa(u8 irq, const char *name, void (*fn)(void *arg), void *arg);
/* irq_msi_address: what a device writes to, to interrupt the first CPU. */
u64 irq_msi_address(void);

/* irq_soft: FN(ARG) once, in an interrupt on the running CPU, as soon as those
 * are on. The caller owns S until FN is called. Any context. */
struct irq_soft {
	void (*fn)(void *arg);
	void *arg;
	struct irq_soft *next;
};
void irq_soft(struct irq_soft *s);

/* ---- for smp.c and time.c -------------------------------------------------
 */

/* smp_apic_id: the hardware's number of CPU. */
u32 smp_apic_id(int cpu);
/* The parts of dev_interrupt() that are others'. */
void clock_interrupt(void);
void smp_call_interrupt(void);
_Noreturn void smp_stopped(void);
/* apic_send_init, apic_send_startup: to the CPU with APIC_ID. */
void apic_send_init(u32 apic_id);
void apic_send_startup(u32 apic_id, u8 page);
/* apic_timer_*: the local timer of the running CPU. One shot: COUNT of its
 * ticks, 0 stops it. Deadline: a value of the time stamp counter. */
void apic_timer_oneshot(u32 count);
u32 apic_timer_left(void);
void apic_timer_deadline(u64 tsc);
/* apic_timer_setup: VEC_TIMER; by deadlines or counts. */
void apic_timer_setup(bool deadline);

#endif
