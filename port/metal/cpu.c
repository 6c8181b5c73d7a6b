/* SPDX-License-Identifier: MIT */
/*
 * cpu.c - one CPU: what it can do, its area, its descriptor tables, the
 * registers that make it the kernel's.
 *
 * The area (struct metal_cpu) is what GS points to while the kernel runs. In
 * user mode GS is the program's, and the area's address waits in
 * MSR_KERNEL_GS_BASE: SWAPGS at each door exchanges them.
 *
 * Tables are written by src/arch's encoder: what it refuses cannot get into
 * one. #DF, NMI, #DB and #MC have stacks of their own (IST), since they can
 * come where RSP is no good.
 */
#include "cpu.h"

#include "base/printk.h"
#include "base/string.h"
#include "metal.h"

struct metal_cpu *metal_cpus[MM_NR_CPUS];
struct metal_features metal_features = {.phys_bits = 36, .virt_bits = 48};
bool metal_smap; /* of them, for usercopy.S */

static u64 idt[512] MM_ALIGNED(16);

/* ---- features
 * -------------------------------------------------------------------------- */

static void probe_names(struct metal_features *f)
{
	u32 r[4];

	x86_cpuid(0, 0, r);
	mm_memcpy(f->vendor, &r[1], 4);
	mm_memcpy(f->vendor + 4, &r[3], 4);
	mm_memcpy(f->vendor + 8, &r[2], 4);
	x86_cpuid(0x80000000, 0, r);
	if (r[0] < 0x80000004)
		return;
	for (u32 i = 0; i < 3; i++) {
		x86_cpuid(0x80000002 + i, 0, r);
		mm_memcpy(f->model + 16 * i, r, 16);
	}
}

static void probe_version(struct metal_features *f, u32 eax)
{
	f->family = eax >> 8 & 15;
	f->model_nr = eax >> 4 & 15;
	f->stepping = eax & 15;
	if (f->family == 6 || f->family == 15)
		f->model_nr |= (eax >> 16 & 15) << 4;
	if (f->family == 15)
		f->family += eax >> 20 & 255;
}

void cpu_probe(void)
{
	struct metal_features *f = &metal_features;
	u32 r[4], max, ext;

	probe_names(f);
	x86_cpuid(0, 0, r);
	max = r[0];
	x86_cpuid(1, 0, r);
	probe_version(f, r[0]);
	f->leaf1_ecx = r[2];
	f->leaf1_edx = r[3];
	if (max >= 7) {
		x86_cpuid(7, 0, r);
		f->leaf7_ebx = r[1];
		f->leaf7_ecx = r[2];
	}
	x86_cpuid(0x80000000, 0, r);
	ext = r[0];
	x86_cpuid(0x80000001, 0, r);
	f->ext_ecx = r[2];
	f->ext_edx = r[3];
	if (ext >= 0x80000008) {
		x86_cpuid(0x80000008, 0, r);
		f->phys_bits = r[0] & 255;
		f->virt_bits = r[0] >> 8 & 255;
	}
	f->pge = f->leaf1_edx >> 13 & 1;
	f->xsave = f->leaf1_ecx >> 26 & 1;
	f->fsgsbase = f->leaf7_ebx & 1;
	f->smep = f->leaf7_ebx >> 7 & 1;
	f->smap = f->leaf7_ebx >> 20 & 1;
	metal_smap = f->smap;
	f->umip = f->leaf7_ecx >> 2 & 1;
	f->invpcid = f->leaf7_ebx >> 10 & 1;
	f->pcid = f->leaf1_ecx >> 17 & 1;
	f->gbpages = f->ext_edx >> 26 & 1;
	if (!(f->ext_edx >> 11 & 1))
		metal_fatal("this CPU has no SYSCALL instruction");
	if (!(f->leaf1_edx >> 24 & 1) || !(f->leaf1_edx >> 26 & 1))
		metal_fatal("this CPU has no FXSAVE or no SSE2");
}

/* ---- the area and its tables
 * ----------------------------------------------------------- */

void cpu_area_init(struct metal_cpu *c, int id, void *ist)
{
	struct linux_cpu_desc d = {
		.tss_base = (u64)&c->tss, .cpu = (u32)id, .node = 0};
	u64 stacks[7] = {0};

	mm_memset(c, 0, sizeof(*c));
	c->self = c;
	c->id = id;
	c->gdt_cpu[1] = c;
	c->preempt = METAL_NO_RESCHED | METAL_PIN;
	c->calm = METAL_CALM;
	for (u64 i = 0; i < IST_STACKS; i++)
		stacks[i] = (u64)ist + (i + 1) * IST_STACK_SIZE;
	x86_tss64_init(&c->tss, 0, stacks);
	mm_verify(linux_gdt64(&d, c->gdt) == 0);
	metal_cpus[id] = c;
}

void cpu_idt_init(void)
{
	mm_verify(linux_idt(true, metal_stubs, idt) == 0);
}

struct table_ptr {
	u16 limit;
	u64 base;
} __attribute__((packed));

static void load_tables(const struct metal_cpu *c)
{
	struct table_ptr gdt = {sizeof(c->gdt) - 1, (u64)c->gdt};
	struct table_ptr table = {sizeof(idt) - 1, (u64)idt};

	__asm__ volatile("lgdt %0\n\t"
			 "lidt %1\n\t"
			 "pushq %2\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\tmovl %3, %%eax\n\t"
			 "movl %%eax, %%ds\n\t"
			 "movl %%eax, %%es\n\t"
			 "movl %%eax, %%ss\n\t"
			 "xorl %%eax, %%eax\n\t"
			 "movl %%eax, %%fs\n\t"
			 "movl %%eax, %%gs\n\t"
			 "lldt %%ax" ::"m"(gdt),
			 "m"(table), "i"(SEL_KERNEL_CS), "i"(SEL_KERNEL_DS)
			 : "rax", "memory");
}

static void load_control(void)
{
	const struct metal_features *f = &metal_features;
	u64 cr4 = x86_read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_DE;

	x86_write_cr0((x86_read_cr0() & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE |
		      CR0_WP | CR0_AM);
	if (f->pge)
		cr4 |= CR4_PGE;
	if (f->smep)
		cr4 |= CR4_SMEP;
	if (f->smap)
		cr4 |= CR4_SMAP;
	if (f->fsgsbase)
		cr4 |= CR4_FSGSBASE;
	if (f->umip)
		cr4 |= CR4_UMIP;
	if (f->xsave)
		cr4 |= CR4_OSXSAVE;
	x86_write_cr4(cr4);
	if (f->xsave && f->xcr0)
		__asm__ volatile("xsetbv" ::"c"(0), "a"((u32)f->xcr0),
				 "d"((u32)(f->xcr0 >> 32)));
}

static void load_syscall(void)
{
	x86_wrmsr(MSR_EFER, x86_rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE);
	/* SYSRET adds 16 for CS and 8 for SS to the upper half. */
	x86_wrmsr(MSR_STAR,
		  (u64)(SEL_USER_CS - 16) << 48 | (u64)SEL_KERNEL_CS << 32);
	x86_wrmsr(MSR_LSTAR, (u64)metal_syscall_entry);
	x86_wrmsr(MSR_SFMASK, EFLAGS_TF | EFLAGS_IF | EFLAGS_DF | EFLAGS_IOPL |
				      EFLAGS_NT | EFLAGS_AC | EFLAGS_RF |
				      EFLAGS_CF);
}

void cpu_load(struct metal_cpu *c)
{
	struct linux_cpu_desc d = {.tss_base = (u64)&c->tss,
				   .cpu = (u32)c->id,
				   .node = (u32)port_cpu_node(c->id)};

	/* The TSS is not busy yet, the node may be known by now. */
	mm_verify(linux_gdt64(&d, c->gdt) == 0);
	load_tables(c);
	x86_wrmsr(MSR_GS_BASE, (u64)c);
	x86_wrmsr(MSR_KERNEL_GS_BASE, 0);
	x86_wrmsr(MSR_FS_BASE, 0);
	__asm__ volatile("ltr %w0" ::"r"(SEL_TSS));
	load_control();
	load_syscall();
}
