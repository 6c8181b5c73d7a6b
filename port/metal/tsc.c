/* SPDX-License-Identifier: MIT */
/*
 * tsc.c - how fast the time stamp counter runs.
 *
 * Asked first is who knows: a hypervisor (kilohertz in leaf 0x40000010, or the
 * scale of KVM's clock page), the CPU (leaf 0x15). Otherwise the counter is
 * held against a timer of known speed: the ACPI PM timer (3.579545 MHz), the
 * PIT (1.193182 MHz), in this order since a read of the first is one access.
 * Leaf 0x16 (whole megahertz) and the battery clock's seconds are the last
 * resorts.
 *
 * A measurement counts the reference's ticks, not instructions, and gives up
 * after a number of reads: a counter that stands still must not hang the boot,
 * and where time is made of instructions (QEMU's -icount) it is still exact.
 *
 * References: Intel SDM vol. 3B, 18.7.3; Linux documentation,
 * virt/kvm/x86/msr and cpuid; ACPI, 4.8.3.3.
 */
#include "acpi.h"
#include "clock.h"
#include "io.h"
#include "metal.h"

#define PM_TIMER_HZ 3579545u
#define PIT_HZ	    1193182u
#define MEASURE_MS  20u
#define MAX_READS   20000000u
#define MAX_IDLE    20000u /* reads without a tick: it stands still */

#define HV_SIGNATURE 0x40000000u
#define HV_TIMING    0x40000010u
#define KVM_FEATURES 0x40000001u
#define KVM_CLOCK2   (1u << 3)
#define MSR_KVM_TIME 0x4b564d01u

/* ---- who knows --------------------------------------------------------------
 */

/* The highest hypervisor leaf; 0: no hypervisor. KVM: it is that one. */
static u32 hv_max_leaf(bool *kvm)
{
	u32 r[4];

	*kvm = false;
	x86_cpuid(1, 0, r);
	if (!(r[2] >> 31))
		return 0;
	x86_cpuid(HV_SIGNATURE, 0, r);
	*kvm = r[1] == 0x4b4d564b && r[2] == 0x564b4d56 && r[3] == 0x4d;
	/* Old KVM says 0 and means 0x40000001. */
	return *kvm && !r[0] ? KVM_FEATURES : r[0];
}

/* KVM's page for the clock: version, flags, and how ticks become ns. */
struct kvm_time {
	u32 version, pad;
	u64 tsc, system;
	u32 mul;
	s8 shift;
	u8 flags, pad2[2];
};

static struct kvm_time kvm_time MM_ALIGNED(64);

static u64 hz_of_scale(u32 mul, s8 shift)
{
	/* ns = (ticks << shift) * mul / 2^32 */
	u64 hz = mul ? (1000000000ull << 32) / mul : 0;

	if (shift < -32 || shift > 32)
		return 0;
	return shift >= 0 ? hz >> shift : hz << -shift;
}

static u64 hz_kvm_clock(void)
{
	u32 r[4];
	u64 hz;

	x86_cpuid(KVM_FEATURES, 0, r);
	if (!(r[0] & KVM_CLOCK2))
		return 0;
	x86_wrmsr(MSR_KVM_TIME, image_phys(&kvm_time) | 1);
	/* Written when a CPU enters the guest: any exit does. */
	for (u32 i = 0; i < 1000 && !mmio_get32(&kvm_time.version); i++)
		x86_cpuid(0, 0, r);
	hz = hz_of_scale(mmio_get32(&kvm_time.mul), kvm_time.shift);
	x86_wrmsr(MSR_KVM_TIME, 0);
	return hz;
}

static u64 hz_hypervisor(const char **how)
{
	bool kvm;
	u32 max_leaf = hv_max_leaf(&kvm), r[4];

	if (max_leaf >= HV_TIMING && max_leaf < HV_SIGNATURE + 0x1000) {
		x86_cpuid(HV_TIMING, 0, r);
		*how = "the hypervisor";
		if (r[0])
			return r[0] * 1000ull;
	}
	*how = "KVM's clock";
	return kvm ? hz_kvm_clock() : 0;
}

static u64 hz_leaf_15(void)
{
	u32 r[4];

	x86_cpuid(0, 0, r);
	if (r[0] < 0x15)
		return 0;
	x86_cpuid(0x15, 0, r);
	return r[0] && r[1] && r[2] ? (u64)r[2] * r[1] / r[0] : 0;
}

static u64 hz_leaf_16(void)
{
	u32 r[4];

	x86_cpuid(0, 0, r);
	if (r[0] < 0x16)
		return 0;
	x86_cpuid(0x16, 0, r);
	return (r[0] & 0xffff) * 1000000ull;
}

/* ---- measured ---------------------------------------------------------------
 */

/* A counter that runs up at HZ and wraps at MASK + 1. */
struct reference {
	u32 (*read)(void);
	u32 mask, hz;
};

static u32 pm_timer_read(void)
{
	return io_in32(acpi.pm_timer);
}

/* Channel 0, counting down from 65536 for ever; its interrupt is masked. */
static void pit_start(void)
{
	x86_outb(0x43, 0x34); /* low and high byte, mode 2 */
	x86_outb(0x40, 0);
	x86_outb(0x40, 0);
}

static u32 pit_read(void)
{
	u32 lo;

	x86_outb(0x43, 0x00);
	lo = x86_inb(0x40);
	return 0x10000 - (lo | (u32)x86_inb(0x40) << 8);
}

/* Wait for the next tick of REF; false: it does not tick. */
static bool next_tick(const struct reference *ref, u32 *value, u64 *tsc)
{
	u32 from = ref->read() & ref->mask;

	for (u32 i = 0; i < MAX_IDLE; i++) {
		*value = ref->read() & ref->mask;
		*tsc = x86_rdtsc();
		if (*value != from)
			return true;
	}
	return false;
}

/* Ticks of the TSC per second by REF, over NEED of its ticks; 0: no way. */
static u64 measure(const struct reference *ref, u32 need)
{
	u32 start, now = 0, last, gone = 0;
	u64 tsc0, tsc1;

	if (!next_tick(ref, &start, &tsc0))
		return 0;
	tsc1 = tsc0;
	last = start;
	for (u32 i = 0; i < MAX_READS && gone < need; i++) {
		now = ref->read() & ref->mask;
		tsc1 = x86_rdtsc();
		gone += (now - last) & ref->mask;
		last = now;
	}
	if (gone < need || tsc1 <= tsc0)
		return 0;
	return mul_div(tsc1 - tsc0, ref->hz, gone);
}

static u64 hz_pm_timer(void)
{
	struct reference ref = {pm_timer_read, 0xffffff, PM_TIMER_HZ};

	if (!acpi.pm_timer)
		return 0;
	return measure(&ref, PM_TIMER_HZ / 1000 * MEASURE_MS);
}

static u64 hz_pit(void)
{
	struct reference ref = {pit_read, 0xffff, PIT_HZ};

	pit_start();
	return measure(&ref, PIT_HZ / 1000 * MEASURE_MS);
}

/* From one second of the battery clock to the next but one. */
static u64 hz_rtc(void)
{
	u64 from = rtc_read(), at, tsc = 0;

	for (u32 i = 0; from && i < MAX_READS / 10; i++) {
		at = rtc_read();
		if (at == from)
			continue;
		if (tsc)
			return x86_rdtsc() - tsc;
		tsc = x86_rdtsc();
		from = at;
	}
	return 0;
}

u64 tsc_calibrate(const char **how)
{
	static const struct {
		u64 (*hz)(void);
		const char *how;
	} ways[] = {{hz_leaf_15, "the CPU"},
		    {hz_pm_timer, "the PM timer"},
		    {hz_pit, "the PIT"},
		    {hz_leaf_16, "the CPU's nominal speed"},
		    {hz_rtc, "the battery clock"}};
	u64 hz = hz_hypervisor(how);

	for (u32 i = 0; !hz && i < ARRAY_SIZE(ways); i++) {
		*how = ways[i].how;
		hz = ways[i].hz();
	}
	if (hz >= 1000000 && hz <= 100000000000ull)
		return hz;
	*how = "a guess: nothing tells";
	return 1000000000;
}
