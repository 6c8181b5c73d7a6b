/* SPDX-License-Identifier: MIT */
/*
 * dev_test_tables.c - the descriptor tables that each CPU really uses: where
 * SGDT, SIDT, STR and SLDT say they are, are the bytes that the encoder of
 * src/arch writes; and what the CPU answers about every selector (LAR, LSL,
 * VERR, VERW, the loads of data segments) is what the model of src/arch says
 * with the same tables. Part of the devices' self test (dev_test.c).
 *
 * UMIP forbids the four instructions to programs alone. A refused load is
 * never tried: the model is asked first, and its "no" is not put to the test.
 */
#include <mmkit/errno.h>

#include "arch/segment_cpu.h"
#include "base/atomic.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "cpu.h"
#include "dev_test.h"
#include "metal.h"

static u32 tables_seen, answers;
static u64 idt_want[512];

struct table_at {
	u16 limit;
	u64 base;
} __attribute__((packed));

/* ---- the bytes ---------------------------------------------------------- */

/* Entries of GDT as they stand in memory, with those made anew. */
static void check_gdt(const struct metal_cpu *c, const struct table_at *at)
{
	struct linux_cpu_desc d = {.tss_base = (u64)&c->tss,
				   .cpu = (u32)c->id,
				   .node = (u32)port_cpu_node(c->id)};
	u64 want[LINUX64_GDT_ENTRIES];
	const u64 *have = (const u64 *)at->base;

	test_check(at->base == (u64)c->gdt && at->limit == sizeof(c->gdt) - 1,
		   "CPU %d: GDT at 0x%llx, limit 0x%x", c->id,
		   (unsigned long long)at->base, at->limit);
	test_check(linux_gdt64(&d, want) == 0, "the GDT cannot be encoded");
	want[LINUX64_TSS] |= (u64)SEG_T_BUSY << 40; /* LTR's */
	for (u32 i = 0; i < LINUX64_GDT_ENTRIES && test_good(); i++)
		test_check(have[i] == want[i],
			   "CPU %d: GDT entry %u is 0x%016llx, not 0x%016llx",
			   c->id, i, (unsigned long long)have[i],
			   (unsigned long long)want[i]);
}

static void check_idt(int cpu, const struct table_at *at)
{
	const u64 *have = (const u64 *)at->base;

	test_check(at->limit == sizeof(idt_want) - 1,
		   "CPU %d: IDT's limit 0x%x", cpu, at->limit);
	for (u32 i = 0; i < ARRAY_SIZE(idt_want) && test_good(); i++)
		test_check(have[i] == idt_want[i],
			   "CPU %d: IDT word %u is 0x%016llx, not 0x%016llx",
			   cpu, i, (unsigned long long)have[i],
			   (unsigned long long)idt_want[i]);
}

/* The TSS that TR names has the stacks of the encoder and no I/O bitmap. */
static void check_tss(const struct metal_cpu *c)
{
	struct x86_tss64 want;
	u64 stacks[7] = {0};
	struct seg_desc d;

	test_check(seg_decode(&c->gdt[LINUX64_TSS], true, &d) == 0 &&
			   d.kind == SEG_KIND_TSS64 && seg_busy(&d) &&
			   d.base == (u64)&c->tss &&
			   d.limit == sizeof(c->tss) - 1,
		   "CPU %d: TR names no running TSS", c->id);
	for (u32 i = 0; i < IST_STACKS; i++)
		stacks[i] = c->tss.ist[0] + i * (u64)IST_STACK_SIZE;
	x86_tss64_init(&want, c->tss.sp0, stacks);
	test_check(mm_memcmp(&c->tss, &want, sizeof(want)) == 0,
		   "CPU %d: the TSS is not as encoded", c->id);
	test_check(c->tss.sp0 == c->kernel_sp, "CPU %d: RSP0 0x%llx", c->id,
		   (unsigned long long)c->tss.sp0);
}

/* ---- what the CPU says, and the model ----------------------------------- */

static int direct_read(void *arg, u64 linear, void *to, size_t len)
{
	(void)arg;
	mm_memcpy(to, (const void *)linear, len);
	return 0;
}

/* Accessed bits are set from the start; there is nothing to write. */
static int no_write(void *arg, u64 linear, const void *from, size_t len)
{
	(void)arg;
	(void)linear;
	(void)from;
	(void)len;
	return -EFAULT;
}

static const struct seg_mem direct_memory = {direct_read, no_write, NULL};

static void model_cpu(struct seg_cpu *m, const struct table_at *gdt)
{
	seg_cpu_init(m, &direct_memory);
	m->pe = m->lma = true;
	m->gdtr = (struct seg_dtr){gdt->base, gdt->limit};
}

static bool cpu_lar(u32 sel, u32 *value)
{
	bool ok;

	__asm__("lar %2, %0" : "+r"(*value), "=@ccz"(ok) : "r"(sel));
	return ok;
}

static bool cpu_lsl(u32 sel, u32 *value)
{
	bool ok;

	__asm__("lsl %2, %0" : "+r"(*value), "=@ccz"(ok) : "r"(sel));
	return ok;
}

static bool cpu_verify(u32 sel, bool write)
{
	bool ok;

	if (write)
		__asm__("verw %w1" : "=@ccz"(ok) : "r"(sel));
	else
		__asm__("verr %w1" : "=@ccz"(ok) : "r"(sel));
	return ok;
}

/* Bits 16 to 19 of what LAR gives are the CPU's to choose (SDM, LAR). */
#define LAR_KNOWN 0x00f0ff00u

static void ask_about(struct seg_cpu *m, int cpu, u16 sel)
{
	u32 have[2] = {0}, want[2] = {0};
	bool says[4];

	test_check(seg_lar(m, sel, &says[0], &want[0]) == 0 &&
			   seg_lsl(m, sel, &says[1], &want[1]) == 0 &&
			   seg_verify(m, sel, false, &says[2]) == 0 &&
			   seg_verify(m, sel, true, &says[3]) == 0,
		   "the model faults on 0x%x", sel);
	test_check(cpu_lar(sel, &have[0]) == says[0] &&
			   ((have[0] ^ want[0]) & LAR_KNOWN) == 0,
		   "CPU %d: LAR of 0x%x is 0x%x, not 0x%x", cpu, sel, have[0],
		   want[0]);
	test_check(cpu_lsl(sel, &have[1]) == says[1] && have[1] == want[1],
		   "CPU %d: LSL of 0x%x is 0x%x, not 0x%x", cpu, sel, have[1],
		   want[1]);
	test_check(cpu_verify(sel, false) == says[2] &&
			   cpu_verify(sel, true) == says[3],
		   "CPU %d: VERR or VERW of 0x%x", cpu, sel);
	mm_fetch_add(&answers, 4);
}

/* A load into ES that the model allows, the CPU allows. */
static void load_es(struct seg_cpu *m, int cpu, u16 sel)
{
	u32 was, now;

	if (seg_load(m, SEG_ES, sel))
		return;
	__asm__ volatile("movl %%es, %0\n\t"
			 "movl %2, %%es\n\t"
			 "movl %%es, %1\n\t"
			 "movl %0, %%es"
			 : "=&r"(was), "=&r"(now)
			 : "r"((u32)sel));
	test_check((u16)now == m->sr[SEG_ES].sel, "CPU %d: ES is 0x%x", cpu,
		   now);
	mm_fetch_add(&answers, 1);
}

static void tables_member(int cpu, void *arg)
{
	struct table_at gdt, idt;
	struct seg_cpu m;
	u16 tr = 0, ldtr = 1;
	u32 node_cpu = 0;

	(void)arg;
	__asm__ volatile("sgdt %0" : "=m"(gdt));
	__asm__ volatile("sidt %0" : "=m"(idt));
	__asm__ volatile("str %0" : "=r"(tr));
	__asm__ volatile("sldt %0" : "=r"(ldtr));
	test_check(tr == SEL_TSS && ldtr == 0, "CPU %d: TR 0x%x, LDTR 0x%x",
		   cpu, tr, ldtr);
	port_pin();
	check_gdt(metal_this(), &gdt);
	check_tss(metal_this());
	port_unpin();
	check_idt(cpu, &idt);
	model_cpu(&m, &gdt);
	for (u32 sel = 0; sel < 2 * LINUX64_GDT_ENTRIES * 8u; sel++)
		ask_about(&m, cpu, (u16)sel);
	for (u32 sel = 0; sel < LINUX64_GDT_ENTRIES * 8u; sel++)
		load_es(&m, cpu, (u16)sel);
	test_check(cpu_lsl(LINUX64_CPUNODE * 8 | 3, &node_cpu) &&
			   linux_cpunode_cpu(node_cpu) == (u32)cpu,
		   "CPU %d: its entry says %u", cpu, node_cpu);
	mm_fetch_add(&tables_seen, 1);
}

void test_tables(char *figures, u32 size)
{
	tables_seen = answers = 0;
	test_check(linux_idt(true, metal_stubs, idt_want) == 0,
		   "the IDT cannot be encoded");
	test_on_cpus(0, tables_member, NULL);
	mm_snprintf(figures, size, "%u CPUs, %u answers", tables_seen, answers);
}
