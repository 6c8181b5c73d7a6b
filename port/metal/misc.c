/* SPDX-License-Identifier: MIT */
/* misc.c - waiting for another CPU, and I/O ports for those who ask. */
#include "metal.h"

u64 metal_gs_token;

/* With interrupts off, the other one may wait for our answer. */
void metal_relax(void)
{
	x86_pause();
	tlb_poll();
}

void metal_spin_wait(const u32 *word)
{
	while (READ_ONCE(*word))
		metal_relax();
}

u8 machine_inb(u16 port)
{
	return x86_inb(port);
}

void machine_outb(u16 port, u8 value)
{
	x86_outb(port, value);
}

/* AT_HWCAP of getauxval(3). */
u64 machine_hwcap(void)
{
	u32 r[4];

	x86_cpuid(1, 0, r);
	return r[3];
}

u64 machine_hwcap2(void)
{
	return metal_features.fsgsbase ? HWCAP2_FSGSBASE : 0;
}
