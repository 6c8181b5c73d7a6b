/* SPDX-License-Identifier: MIT */
/*
 * smp.c - the other CPUs: bringing them up, calling them, stopping them.
 *
 * A CPU that is not the first sleeps until it gets INIT and then STARTUP with
 * the number of a page, where it begins in real mode. CPUs are started one by
 * one, so one page with one set of values is enough; the next one is started
 * when this one has said that it arrived. One that does not arrive in time is
 * put to sleep again by INIT, so that it cannot come later, with the next
 * one's stack. Numbers are given in the order of arrival: there are no holes.
 *
 * When a CPU arrives, its time stamp counter is held against the first one's:
 * they read in turn, and no one may see a smaller value than the other one
 * before. If one does, the clock has to be more careful (time.c).
 *
 * A call runs a function in another CPU's interrupt. The caller owns the slot
 * of the target, answers calls and flushes itself while it waits for it, and
 * so two CPUs can call each other.
 *
 * References: Intel SDM vol. 3A, 8.4 (multiple-processor initialization).
 */
#include "smp.h"

#include "acpi.h"
#include "apic.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/printk.h"
#include "base/string.h"
#include "clock.h"
#include "io.h"

/* Patience with a CPU that was started; a busy host may be slow. */
#define ARRIVE_SOON_NS 200000000ull
#define ARRIVE_LATE_NS 5000000000ull
#define STOP_NS	       100000000ull

#define CR4_TRAMP (1ul << 4 | 1ul << 5 | CR4_PGE | 1ul << 12)
#define CR0_TRAMP (1ul << 31 | CR0_WP | CR0_NE | 1ul << 4 | 1ul)

/* One call to a CPU at a time. */
struct call_slot {
	u32 taken; /* by a caller */
	u32 full;  /* to be run */
	void (*fn)(void *arg);
	void *arg;
} MM_ALIGNED(MM_CACHELINE);

static struct {
	int nr; /* CPUs that are up; 0 before smp_start(): one */
	u32 apic_id[MM_NR_CPUS];
	int node[MM_NR_CPUS];
	u32 arrived; /* number of the last one that did */
	u32 go;	     /* it may leave smp_arrived() */
	u32 stopping;
	u32 stopped[MM_NR_CPUS];
	struct call_slot call[MM_NR_CPUS];
} smp_sys;

int smp_nr_cpus(void)
{
	return smp_sys.nr ? smp_sys.nr : 1;
}

int port_nr_cpus(void)
{
	return smp_nr_cpus();
}

int port_cpu_node(int cpu)
{
	return smp_sys.node[cpu];
}

u32 smp_apic_id(int cpu)
{
	return smp_sys.apic_id[cpu];
}

/* ---- the trampoline ---------------------------------------------------------
 */

static void put16(u8 *page, u32 at, u64 v)
{
	u16 w = (u16)v;

	mm_memcpy(page + at, &w, sizeof(w));
}

static void put32(u8 *page, u32 at, u64 v)
{
	u32 w = (u32)v;

	mm_memcpy(page + at, &w, sizeof(w));
}

static void put64(u8 *page, u32 at, u64 v)
{
	mm_memcpy(page + at, &v, sizeof(v));
}

/* PA: the page's own address. */
static void tramp_fill(u8 *page, phys_addr_t pa)
{
	u32 to32 = (u32)(smp_tramp_32 - smp_tramp_start);
	u32 to64 = (u32)(smp_tramp_64 - smp_tramp_start);
	size_t size = (size_t)(smp_tramp_end - smp_tramp_start);

	mm_verify(size <= TRAMP_DATA);
	mm_memcpy(page, smp_tramp_start, size);
	put64(page, TRAMP_GDT, 0);
	put64(page, TRAMP_GDT + 8, 0x00cf9b000000ffffull);
	put64(page, TRAMP_GDT + 16, 0x00cf93000000ffffull);
	put64(page, TRAMP_GDT + 24, 0x00af9b000000ffffull);
	put16(page, TRAMP_GDTR, 31);
	put32(page, TRAMP_GDTR + 2, pa + TRAMP_GDT);
	put32(page, TRAMP_JUMP32, pa + to32);
	put16(page, TRAMP_JUMP32 + 4, TRAMP_SEL_CODE32);
	put32(page, TRAMP_JUMP64, pa + to64);
	put16(page, TRAMP_JUMP64 + 4, TRAMP_SEL_CODE64);
	put32(page, TRAMP_CR0, (x86_read_cr0() & CR0_TRAMP) | 1ul << 31 | 1);
	put32(page, TRAMP_CR4, (x86_read_cr4() & CR4_TRAMP) | 1ul << 5);
	put32(page, TRAMP_EFER, (x86_rdmsr(MSR_EFER) & EFER_NXE) | 1ul << 8);
	put64(page, TRAMP_ENTRY, (u64)metal_ap_main);
}

/* ---- time stamp counters in step --------------------------------------------
 *
 * Both CPUs read the counter and hold it against the largest value so far,
 * under a lock of their own.
 */

#define WARP_ROUNDS 2000u

static struct {
	u32 lock;
	u32 ready; /* CPUs that take part */
	u32 rounds;
	u64 last;
	u64 worst; /* steps back, in ticks */
} warp;

static void warp_round(void)
{
	u64 now;

	while (__atomic_exchange_n(&warp.lock, 1, __ATOMIC_ACQUIRE))
		x86_pause();
	now = tsc_ordered();
	if (now < warp.last)
		warp.worst = max(warp.worst, warp.last - now);
	else
		warp.last = now;
	__atomic_store_n(&warp.lock, 0, __ATOMIC_RELEASE);
}

/* On both CPUs; each waits for the other at the start and the end. */
static void warp_check(void)
{
	mm_fetch_add(&warp.ready, 1);
	while (READ_ONCE(warp.ready) < 2)
		x86_pause();
	for (u32 i = 0; i < WARP_ROUNDS; i++) {
		warp_round();
		if (i % 16 == 0)
			x86_pause();
	}
	mm_fetch_add(&warp.ready, 1);
	while (READ_ONCE(warp.ready) < 4)
		x86_pause();
}

static void warp_check_with(int cpu)
{
	warp.ready = 0;
	warp.last = warp.worst = 0;
	smp_store_release(&smp_sys.go, (u32)cpu);
	warp_check();
	if (warp.worst) {
		pr_warn("smp: CPU %d: time stamps step back by %llu ticks", cpu,
			(unsigned long long)warp.worst);
		clock_distrust();
	}
}

/* ---- bringing up ------------------------------------------------------------
 */

void smp_arrived(int cpu)
{
	smp_store_release(&smp_sys.arrived, (u32)cpu);
	while (READ_ONCE(smp_sys.go) != (u32)cpu)
		x86_pause();
	warp_check();
}

static bool arrives(int cpu, u64 patience)
{
	u64 end = clock_now_ns() + patience;

	while (smp_load_acquire(&smp_sys.arrived) != (u32)cpu) {
		if (clock_now_ns() > end)
			return false;
		x86_pause();
	}
	return true;
}

/*
 * The pauses are those of old CPUs; others need none, so the first attempt is
 * made without.
 */
static bool start(int cpu, u32 id, phys_addr_t page)
{
	apic_send_init(id);
	clock_delay_ns(10000);
	apic_send_startup(id, (u8)(page >> PAGE_SHIFT));
	if (arrives(cpu, ARRIVE_SOON_NS))
		return true;
	apic_send_startup(id, (u8)(page >> PAGE_SHIFT));
	if (arrives(cpu, ARRIVE_LATE_NS))
		return true;
	apic_send_init(id);
	clock_delay_ns(10000000);
	/* It may have come in the very last moment. */
	return arrives(cpu, 0);
}

static bool start_as(int cpu, const struct acpi_cpu *c, phys_addr_t page,
		     u8 *view)
{
	void *stack;
	u64 cr3;

	if (!metal_ap_prepare(cpu, &stack, &cr3)) {
		pr_err("smp: no memory for CPU %d", cpu);
		return false;
	}
	mm_verify(cr3 < 1ull << 32);
	put32(view, TRAMP_CR3, cr3);
	put64(view, TRAMP_STACK, (u64)stack);
	put64(view, TRAMP_CPU, (u64)cpu);
	smp_sys.apic_id[cpu] = c->apic_id;
	smp_sys.node[cpu] = c->node;
	smp_mb();
	if (!start(cpu, c->apic_id, page)) {
		pr_err("smp: the CPU with APIC %u does not come up",
		       c->apic_id);
		return false;
	}
	smp_sys.nr = cpu + 1;
	warp_check_with(cpu);
	return true;
}

/* The first CPU may have no entry if there are no tables. */
static void first_cpu(void)
{
	smp_sys.nr = 1;
	smp_sys.apic_id[0] = apic_id();
	smp_sys.node[0] = acpi_cpu_node(&acpi, apic_id());
}

void smp_start(u32 limit)
{
	phys_addr_t page = metal_low_page();
	u8 *view = metal_map_early(page, PAGE_SIZE);
	u32 enabled = 0;

	first_cpu();
	if (view)
		tramp_fill(view, page);
	for (u32 i = 0; i < acpi.nr_cpus; i++) {
		const struct acpi_cpu *c = &acpi.cpu[i];

		if (!c->enabled)
			continue;
		enabled++;
		if (c->apic_id == smp_sys.apic_id[0] || !view)
			continue;
		if (smp_sys.nr < MM_NR_CPUS &&
		    (!limit || smp_sys.nr < (int)limit))
			(void)start_as(smp_sys.nr, c, page, view);
	}
	pr_info("smp: %d of %u CPUs are up", smp_sys.nr, max(enabled, 1u));
}

/* ---- calls ------------------------------------------------------------------
 */

void smp_call_interrupt(void)
{
	struct call_slot *s = &smp_sys.call[port_cpu()];

	if (!smp_load_acquire(&s->full))
		return;
	s->fn(s->arg);
	smp_store_release(&s->full, 0);
}

void smp_call(int cpu, void (*fn)(void *arg), void *arg)
{
	struct call_slot *s = &smp_sys.call[cpu];
	unsigned long flags;

	if (cpu == port_cpu()) {
		flags = port_irq_save();
		fn(arg);
		port_irq_restore(flags);
		return;
	}
	while (__atomic_exchange_n(&s->taken, 1, __ATOMIC_ACQUIRE))
		port_relax();
	s->fn = fn;
	s->arg = arg;
	smp_store_release(&s->full, 1);
	apic_ipi(cpu, VEC_CALL);
	while (smp_load_acquire(&s->full))
		port_relax();
	smp_store_release(&s->taken, 0);
}

/* ---- stopping ---------------------------------------------------------------
 */

void smp_stopped(void)
{
	WRITE_ONCE(smp_sys.stopped[port_cpu()], 1);
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

bool smp_stopping(void)
{
	return READ_ONCE(smp_sys.stopping) != 0;
}

static bool all_stopped(int self)
{
	for (int cpu = 0; cpu < smp_nr_cpus(); cpu++) {
		if (cpu != self && !READ_ONCE(smp_sys.stopped[cpu]))
			return false;
	}
	return true;
}

/* Asked first; one that does not listen is put to sleep. */
void apic_stop_others(void)
{
	int self = port_cpu();
	u64 end;

	if (mm_xchg(&smp_sys.stopping, 1))
		return; /* another CPU does it, or this one did */
	for (int cpu = 0; cpu < smp_nr_cpus(); cpu++) {
		if (cpu != self)
			apic_ipi(cpu, VEC_STOP);
	}
	end = clock_now_ns() + STOP_NS;
	while (!all_stopped(self) && clock_now_ns() < end)
		x86_pause();
	for (int cpu = 0; cpu < smp_nr_cpus(); cpu++) {
		if (cpu != self && !READ_ONCE(smp_sys.stopped[cpu]))
			apic_send_init(smp_sys.apic_id[cpu]);
	}
}
