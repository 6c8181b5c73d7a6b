/* SPDX-License-Identifier: MIT */
/*
 * apic.c - interrupt controllers.
 *
 * Each CPU has a local APIC: it takes interrupts by a vector number, from
 * devices, from itself (timer) and from other CPUs. Its registers lie in one
 * page of memory, or, in x2APIC mode, are MSRs; then CPU numbers have 32 bits
 * and sending is one write. I/O APICs translate lines of devices ("global
 * system interrupts") to a vector and a CPU. A device that can write messages
 * (MSI) needs neither line nor I/O APIC. The old PICs are masked for good.
 *
 * All device interrupts go to the first CPU: there are few, and completions
 * find the submitter's data wherever it runs. A vector has a chain of
 * handlers, since lines can be shared; chains only grow, so they are walked
 * without a lock.
 *
 * Order: what an interrupt handler must see is written before the interrupt is
 * sent. A write to a register in memory is ordered behind earlier stores; one
 * to an x2APIC register is not, hence the fence there.
 *
 * References: Intel SDM vol. 3A, chapter 10; 82093AA I/O APIC.
 */
#include "apic.h"

#include "acpi.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/printk.h"
#include "io.h"

#define MSR_APIC_BASE	 0x1bu
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_X2	 (1u << 10)
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC	 0x800u

/* Registers, as offsets in the page; x2APIC's MSR is MSR_X2APIC + offset/16. */
#define LAPIC_ID	0x20u
#define LAPIC_VERSION	0x30u
#define LAPIC_TPR	0x80u
#define LAPIC_EOI	0xb0u
#define LAPIC_LDR	0xd0u
#define LAPIC_DFR	0xe0u
#define LAPIC_SVR	0xf0u
#define LAPIC_ISR	0x100u
#define LAPIC_ESR	0x280u
#define LAPIC_ICR	0x300u
#define LAPIC_ICR2	0x310u
#define LAPIC_LVT_TIMER 0x320u
#define LAPIC_LVT_THERM 0x330u
#define LAPIC_LVT_PERF	0x340u
#define LAPIC_LVT_LINT0 0x350u
#define LAPIC_LVT_LINT1 0x360u
#define LAPIC_LVT_ERROR 0x370u
#define LAPIC_INITIAL	0x380u
#define LAPIC_CURRENT	0x390u
#define LAPIC_DIVIDE	0x3e0u

#define LVT_MASKED	 (1u << 16)
#define LVT_NMI		 0x400u
#define LVT_TSC_DEADLINE (2u << 17)
#define ICR_INIT	 0x500u
#define ICR_STARTUP	 0x600u
#define ICR_BUSY	 (1u << 12)
#define ICR_ASSERT	 (1u << 14)
#define ICR_LEVEL	 (1u << 15)
#define SVR_ENABLE	 (1u << 8)

#define IOAPIC_MASKED (1u << 16)
#define IOAPIC_LEVEL  (1u << 15)
#define IOAPIC_LOW    (1u << 13)
#define IOAPIC_USUAL  0xfec00000u

#define MAX_HANDLERS 64
/* Counters: one for each vector of a device that was claimed (the last one for
 * all beyond), then one for each of the kernel's own. */
#define DEVICE_SLOTS	    64u
#define SLOT_OF_OWN(vector) (DEVICE_SLOTS + (vector)-VEC_TIMER)
#define NR_SLOTS	    (DEVICE_SLOTS + 16u)

struct handler {
	void (*fn)(void *arg);
	void *arg;
	struct handler *next;
};

/* A claimed vector's source. */
struct source {
	const char *name; /* of the first handler */
	u32 line;	  /* of an I/O APIC */
	bool message, level;
};

struct ioapic {
	volatile u8 *regs;
	u32 gsi_base, lines;
};

static struct {
	bool on; /* there is a local APIC and it runs */
	bool x2;
	volatile u8 *regs; /* xAPIC */
	u32 first_id;	   /* of the CPU that takes devices' interrupts */
	u32 nr_ioapics;
	struct ioapic ioapic[ACPI_MAX_IOAPICS];
	u32 lock; /* registers of I/O APICs, tables below */
	u32 nr_handlers;
	struct handler pool[MAX_HANDLERS];
	struct handler *vector[256];
	struct source source[DEVICE_SLOTS];
	u32 next_vector;
} apic_sys = {.next_vector = VEC_IRQ_FIRST};

/* What each CPU counts and keeps for itself. */
static struct {
	u64 taken, spurious;
	u64 slot[NR_SLOTS]; /* of TAKEN */
	struct irq_soft *soft;
} MM_ALIGNED(MM_CACHELINE) irq_cpu[MM_NR_CPUS];

/* ---- registers --------------------------------------------------------------
 */

static u32 lapic_get(u32 reg)
{
	if (apic_sys.x2)
		return (u32)x86_rdmsr(MSR_X2APIC + (reg >> 4));
	return mmio_get32(apic_sys.regs + reg);
}

static void lapic_set(u32 reg, u32 v)
{
	if (apic_sys.x2)
		x86_wrmsr(MSR_X2APIC + (reg >> 4), v);
	else
		mmio_set32(apic_sys.regs + reg, v);
}

static u32 ioapic_get(const struct ioapic *io, u32 reg)
{
	mmio_set32(io->regs, reg);
	return mmio_get32(io->regs + 16);
}

static void ioapic_set(const struct ioapic *io, u32 reg, u32 v)
{
	mmio_set32(io->regs, reg);
	mmio_set32(io->regs + 16, v);
}

u32 apic_id(void)
{
	u32 leaf[4];

	if (apic_sys.x2)
		return lapic_get(LAPIC_ID);
	if (apic_sys.on)
		return lapic_get(LAPIC_ID) >> 24;
	x86_cpuid(1, 0, leaf);
	return leaf[1] >> 24;
}

/* ---- sending ----------------------------------------------------------------
 */

/* A second send must not overtake the first: xAPIC has one register for it. */
static void icr_wait(void)
{
	while (lapic_get(LAPIC_ICR) & ICR_BUSY)
		x86_pause();
}

static void icr_send(u32 id, u32 low)
{
	unsigned long flags;

	if (apic_sys.x2) {
		smp_mb();
		x86_wrmsr(MSR_X2APIC + (LAPIC_ICR >> 4), (u64)id << 32 | low);
		return;
	}
	flags = port_irq_save();
	icr_wait();
	mmio_set32(apic_sys.regs + LAPIC_ICR2, id << 24);
	mmio_set32(apic_sys.regs + LAPIC_ICR, low);
	port_irq_restore(flags);
}

void apic_ipi(int cpu, u32 vector)
{
	if (apic_sys.on)
		icr_send(smp_apic_id(cpu), ICR_ASSERT | vector);
}

void apic_send_init(u32 id)
{
	icr_send(id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	if (!apic_sys.x2)
		icr_wait();
	icr_send(id, ICR_INIT | ICR_LEVEL);
}

void apic_send_startup(u32 id, u8 page)
{
	icr_send(id, ICR_STARTUP | ICR_ASSERT | page);
}

/* ---- the timer --------------------------------------------------------------
 */

void apic_timer_setup(bool deadline)
{
	if (!apic_sys.on)
		return;
	lapic_set(LAPIC_DIVIDE, 0x3); /* by 16 */
	lapic_set(LAPIC_LVT_TIMER,
		  VEC_TIMER | (deadline ? LVT_TSC_DEADLINE : 0));
	/* The mode must be in force before a deadline is written. */
	__asm__ volatile("mfence" ::: "memory");
}

void apic_timer_oneshot(u32 count)
{
	if (apic_sys.on)
		lapic_set(LAPIC_INITIAL, count);
}

u32 apic_timer_left(void)
{
	return apic_sys.on ? lapic_get(LAPIC_CURRENT) : 0;
}

void apic_timer_deadline(u64 tsc)
{
	x86_wrmsr(MSR_TSC_DEADLINE, tsc);
}

/* ---- interrupts of devices --------------------------------------------------
 */

static bool add_handler(u32 vector, void (*fn)(void *arg), void *arg)
{
	struct handler *h;

	if (apic_sys.nr_handlers == MAX_HANDLERS)
		return false;
	h = &apic_sys.pool[apic_sys.nr_handlers++];
	*h = (struct handler){fn, arg, apic_sys.vector[vector]};
	smp_store_release(&apic_sys.vector[vector], h);
	return true;
}

static u32 claim_locked(void (*fn)(void *arg), void *arg)
{
	u32 v = apic_sys.next_vector;

	if (v > VEC_IRQ_LAST || !add_handler(v, fn, arg))
		return 0;
	apic_sys.next_vector++;
	return v;
}

static u32 device_slot(u32 vector)
{
	return min(vector - VEC_IRQ_FIRST, DEVICE_SLOTS - 1);
}

static void name_locked(u32 vector, const struct source *s)
{
	apic_sys.source[device_slot(vector)] = *s;
}

u32 irq_claim(const char *name, void (*fn)(void *arg), void *arg)
{
	unsigned long flags = port_irq_save();
	u32 v;

	port_spin_lock(&apic_sys.lock);
	v = claim_locked(fn, arg);
	if (v)
		name_locked(v, &(struct source){.name = name, .message = true});
	port_spin_unlock(&apic_sys.lock);
	port_irq_restore(flags);
	return v;
}

static struct ioapic *ioapic_of(u32 gsi)
{
	for (u32 i = 0; i < apic_sys.nr_ioapics; i++) {
		struct ioapic *io = &apic_sys.ioapic[i];

		if (gsi >= io->gsi_base && gsi - io->gsi_base < io->lines)
			return io;
	}
	return NULL;
}

/* The line's vector if it is in use, else 0. */
static u32 line_vector(const struct ioapic *io, u32 line)
{
	u32 low = ioapic_get(io, 0x10 + 2 * line);

	return low & IOAPIC_MASKED ? 0 : low & 0xff;
}

static bool route_locked(struct ioapic *io, u32 line, u32 how, const char *name,
			 void (*fn)(void *), void *arg)
{
	u32 v = line_vector(io, line);

	if (v)
		return add_handler(v, fn, arg);
	v = claim_locked(fn, arg);
	if (!v)
		return false;
	name_locked(v, &(struct source){.name = name,
					.line = io->gsi_base + line,
					.level = how & IOAPIC_LEVEL});
	ioapic_set(io, 0x11 + 2 * line, apic_sys.first_id << 24);
	ioapic_set(io, 0x10 + 2 * line, how | v);
	return true;
}

bool irq_route(u32 gsi, bool level, bool low, const char *name,
	       void (*fn)(void *arg), void *arg)
{
	struct ioapic *io = ioapic_of(gsi);
	unsigned long flags;
	bool good = false;

	if (io) {
		flags = port_irq_save();
		port_spin_lock(&apic_sys.lock);
		good = route_locked(io, gsi - io->gsi_base,
				    (level ? IOAPIC_LEVEL : 0) |
					    (low ? IOAPIC_LOW : 0),
				    name, fn, arg);
		port_spin_unlock(&apic_sys.lock);
		port_irq_restore(flags);
	}
	if (!good)
		pr_warn("apic: interrupt line %u: %s", gsi,
			io ? "no vector is left" : "no I/O APIC has it");
	return good;
}

bool irq_route_isa(u8 irq, const char *name, void (*fn)(void *arg), void *arg)
{
	struct acpi_override o = acpi_gsi(&acpi, irq);

	return irq_route(o.gsi, o.level, o.low, name, fn, arg);
}

u64 irq_msi_address(void)
{
	return 0xfee00000u | apic_sys.first_id << 12;
}

/* ---- taking interrupts ------------------------------------------------------
 */

void irq_soft(struct irq_soft *s)
{
	unsigned long flags = port_irq_save();

	s->next = irq_cpu[port_cpu()].soft;
	irq_cpu[port_cpu()].soft = s;
	if (apic_sys.on)
		icr_send(apic_id(), ICR_ASSERT | VEC_SOFT);
	port_irq_restore(flags);
}

static void run_soft(void)
{
	struct irq_soft *s = irq_cpu[port_cpu()].soft, *next, *first = NULL;

	irq_cpu[port_cpu()].soft = NULL;
	for (; s; s = next) { /* in the order of asking */
		next = s->next;
		s->next = first;
		first = s;
	}
	for (s = first; s; s = next) {
		next = s->next;
		s->fn(s->arg);
	}
}

static void run_handlers(u32 vector)
{
	struct handler *h = smp_load_acquire(&apic_sys.vector[vector]);

	if (!h)
		pr_warn("apic: interrupt %#x is nobody's", vector);
	for (; h; h = h->next)
		h->fn(h->arg);
}

/* Spurious: the controller took it back; it must not be acknowledged. */
static bool is_spurious(u32 vector)
{
	return vector == VEC_SPURIOUS || vector < VEC_IRQ_FIRST;
}

void dev_interrupt(u32 vector)
{
	int cpu = port_cpu();

	if (is_spurious(vector)) {
		irq_cpu[cpu].spurious++;
		return;
	}
	irq_cpu[cpu].taken++;
	irq_cpu[cpu].slot[vector < VEC_TIMER ? device_slot(vector)
					     : SLOT_OF_OWN(vector)]++;
	/* A level line must have been let go before it is acknowledged. */
	if (vector < VEC_TIMER)
		run_handlers(vector);
	lapic_set(LAPIC_EOI, 0);
	switch (vector) {
	case VEC_TIMER:
		clock_interrupt();
		break;
	case VEC_TLB:
		tlb_poll();
		break;
	case VEC_CALL:
		smp_call_interrupt();
		break;
	case VEC_SOFT:
		run_soft();
		break;
	case VEC_STOP:
		smp_stopped();
	case VEC_APIC_ERROR:
		lapic_set(LAPIC_ESR, 0);
		pr_warn("apic: CPU %d: error %#x", cpu, lapic_get(LAPIC_ESR));
		break;
	default: /* VEC_RESCHED: the entry code looks */
		break;
	}
}

u64 dev_interrupts(int cpu)
{
	return READ_ONCE(irq_cpu[cpu].taken);
}

/* ---- telling of them --------------------------------------------------------
 */

static const struct {
	char name[4];
	u8 vector;
	const char *text;
} own_rows[] = {
	{"LOC", VEC_TIMER, "Local timer interrupts"},
	{"SPU", VEC_SPURIOUS, "Spurious interrupts"},
	{"IWI", VEC_SOFT, "IRQ work interrupts"},
	{"RES", VEC_RESCHED, "Rescheduling interrupts"},
	{"CAL", VEC_CALL, "Function call interrupts"},
	{"TLB", VEC_TLB, "TLB shootdowns"},
	{"ERR", VEC_APIC_ERROR, "APIC errors"},
};

static u32 nr_sources(void)
{
	return min(READ_ONCE(apic_sys.next_vector) - VEC_IRQ_FIRST,
		   DEVICE_SLOTS);
}

/* How many sources before number I have I's name: virtio0, virtio1. */
static u32 namesakes(u32 i)
{
	u32 n = 0;

	for (u32 k = 0; k < i; k++)
		n += apic_sys.source[k].name == apic_sys.source[i].name;
	return n;
}

bool machine_irq_row(u32 i, struct machine_irq *out)
{
	const struct source *s = &apic_sys.source[min(i, DEVICE_SLOTS - 1)];
	u32 own = i - nr_sources();

	if (i >= nr_sources()) {
		if (own >= ARRAY_SIZE(own_rows))
			return false;
		out->slot = own_rows[own].vector;
		(void)mm_scnprintf(out->name, sizeof(out->name), "%s",
				   own_rows[own].name);
		(void)mm_scnprintf(out->text, sizeof(out->text), "%s",
				   own_rows[own].text);
		return true;
	}
	out->slot = VEC_IRQ_FIRST + i;
	(void)mm_scnprintf(out->name, sizeof(out->name), "%u",
			   s->message ? 24 + i : s->line);
	(void)mm_scnprintf(
		out->text, sizeof(out->text), "%7s %3u-%-8s  %s%u",
		s->message ? "PCI-MSI" : "IO-APIC", s->message ? i : s->line,
		s->level ? "fasteoi" : "edge", s->name, namesakes(i));
	return true;
}

u64 machine_irq_count(const struct machine_irq *irq, int cpu)
{
	if (irq->slot == VEC_SPURIOUS)
		return READ_ONCE(irq_cpu[cpu].spurious);
	return READ_ONCE(irq_cpu[cpu].slot[irq->slot < VEC_TIMER
						   ? device_slot(irq->slot)
						   : SLOT_OF_OWN(irq->slot)]);
}

/* ---- setting up -------------------------------------------------------------
 */

/* Both PICs: moved away from the exceptions, all lines masked. */
static void pic_mask(void)
{
	static const u8 words[] = {0x11, VEC_PIC_SPURIOUS, 4, 1};

	for (u32 i = 0; i < ARRAY_SIZE(words); i++) {
		u8 second = i == 1   ? VEC_PIC_SPURIOUS + 8
			    : i == 2 ? 2
				     : words[i];

		x86_outb(i ? 0x21 : 0x20, words[i]);
		x86_outb(i ? 0xa1 : 0xa0, second);
	}
	x86_outb(0x21, 0xff);
	x86_outb(0xa1, 0xff);
}

static void ioapic_add(u32 id, phys_addr_t addr, u32 gsi_base)
{
	struct ioapic *io = &apic_sys.ioapic[apic_sys.nr_ioapics];
	u32 version;

	io->regs = metal_map_io(addr, PAGE_SIZE);
	if (!io->regs)
		return;
	version = ioapic_get(io, 1);
	if (version == ~0u || !version) /* nothing is there */
		return;
	io->gsi_base = gsi_base;
	io->lines = (version >> 16 & 0xff) + 1;
	for (u32 line = 0; line < io->lines; line++)
		ioapic_set(io, 0x10 + 2 * line, IOAPIC_MASKED);
	apic_sys.nr_ioapics++;
	pr_info("apic: I/O APIC %u at 0x%llx, lines %u-%u", id,
		(unsigned long long)addr, gsi_base, gsi_base + io->lines - 1);
}

/* Without tables: one where PCs have it, if it answers. */
static void ioapics_init(void)
{
	for (u32 i = 0; i < acpi.nr_ioapics; i++)
		ioapic_add(acpi.ioapic[i].id, acpi.ioapic[i].addr,
			   acpi.ioapic[i].gsi_base);
	if (!acpi.has_madt)
		ioapic_add(0, IOAPIC_USUAL, 0);
}

void apic_init_cpu(void)
{
	u64 base = x86_rdmsr(MSR_APIC_BASE);

	if (!apic_sys.on)
		return;
	base |= APIC_BASE_ENABLE;
	x86_wrmsr(MSR_APIC_BASE, base);
	if (apic_sys.x2)
		x86_wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
	lapic_set(LAPIC_TPR, 0);
	lapic_set(LAPIC_LVT_TIMER, LVT_MASKED);
	lapic_set(LAPIC_LVT_LINT0, LVT_MASKED);
	lapic_set(LAPIC_LVT_LINT1, LVT_NMI);
	lapic_set(LAPIC_LVT_ERROR, VEC_APIC_ERROR);
	lapic_set(LAPIC_SVR, SVR_ENABLE | VEC_SPURIOUS);
	/* What was pending from before: as many as there can be. */
	for (u32 i = 0; i < 8; i++) {
		for (u32 n = 0; n < 32 && lapic_get(LAPIC_ISR + 16 * i); n++)
			lapic_set(LAPIC_EOI, 0);
	}
}

void apic_init(void)
{
	u32 leaf[4];

	pic_mask();
	x86_cpuid(1, 0, leaf);
	if (!(leaf[3] >> 9 & 1)) {
		pr_warn("apic: the CPU has no local APIC");
		return;
	}
	apic_sys.x2 = leaf[2] >> 21 & 1;
	if (!apic_sys.x2) {
		apic_sys.regs = metal_map_io(acpi.lapic, PAGE_SIZE);
		if (!apic_sys.regs)
			return;
	}
	apic_sys.on = true;
	apic_init_cpu();
	apic_sys.first_id = apic_id();
	pr_info("apic: local APIC %u, version %#x%s", apic_sys.first_id,
		lapic_get(LAPIC_VERSION) & 0xff, apic_sys.x2 ? ", x2APIC" : "");
	ioapics_init();
}
