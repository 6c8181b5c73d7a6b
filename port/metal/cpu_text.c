/* SPDX-License-Identifier: MIT */
/*
 * cpu_text.c - what /proc/cpuinfo says of a CPU: the fields of Linux on
 * x86-64 (proc(5)), the features by the names that programs look for there.
 */
#include "clock.h"
#include "metal.h"

#include "base/seqbuf.h"

struct feature {
	u8 bit;
	const char *name;
};

/* CPUID 1 EDX, 0x80000001 EDX and ECX, 1 ECX, 7 EBX, 7 ECX: Intel SDM vol. 2A,
 * AMD APM vol. 3, appendix E; the words are those of proc_cpuinfo(5). */
static const struct feature leaf1_edx[] = {
	{0, "fpu"},  {1, "vme"},    {2, "de"},	     {3, "pse"},  {4, "tsc"},
	{5, "msr"},  {6, "pae"},    {7, "mce"},	     {8, "cx8"},  {9, "apic"},
	{11, "sep"}, {12, "mtrr"},  {13, "pge"},     {14, "mca"}, {15, "cmov"},
	{16, "pat"}, {17, "pse36"}, {19, "clflush"}, {23, "mmx"}, {24, "fxsr"},
	{25, "sse"}, {26, "sse2"},  {27, "ss"},	     {28, "ht"},
};
static const struct feature ext_edx[] = {
	{11, "syscall"}, {20, "nx"},	 {22, "mmxext"}, {25, "fxsr_opt"},
	{26, "pdpe1gb"}, {27, "rdtscp"}, {29, "lm"},
};
static const struct feature leaf1_ecx[] = {
	{0, "pni"},
	{1, "pclmulqdq"},
	{3, "monitor"},
	{9, "ssse3"},
	{12, "fma"},
	{13, "cx16"},
	{17, "pcid"},
	{19, "sse4_1"},
	{20, "sse4_2"},
	{21, "x2apic"},
	{22, "movbe"},
	{23, "popcnt"},
	{24, "tsc_deadline_timer"},
	{25, "aes"},
	{26, "xsave"},
	{28, "avx"},
	{29, "f16c"},
	{30, "rdrand"},
	{31, "hypervisor"},
};
static const struct feature ext_ecx[] = {
	{0, "lahf_lm"}, {2, "svm"},   {4, "cr8_legacy"},
	{5, "abm"},	{6, "sse4a"}, {8, "3dnowprefetch"},
};
static const struct feature leaf7_ebx[] = {
	{0, "fsgsbase"},    {3, "bmi1"},    {5, "avx2"},     {7, "smep"},
	{8, "bmi2"},	    {9, "erms"},    {10, "invpcid"}, {16, "avx512f"},
	{17, "avx512dq"},   {18, "rdseed"}, {19, "adx"},     {20, "smap"},
	{23, "clflushopt"}, {24, "clwb"},   {29, "sha_ni"},  {30, "avx512bw"},
	{31, "avx512vl"},
};
static const struct feature leaf7_ecx[] = {
	{2, "umip"},
	{3, "pku"},
	{16, "la57"},
	{22, "rdpid"},
};

static void put_features(struct seq_buf *out, u32 word,
			 const struct feature *list, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		if (word >> list[i].bit & 1)
			seq_printf(out, " %s", list[i].name);
}
#define PUT(word) put_features(out, f->word, word, ARRAY_SIZE(word))

static void put_flags(struct seq_buf *out, const struct metal_features *f)
{
	seq_puts(out, "flags\t\t:");
	PUT(leaf1_edx);
	PUT(ext_edx);
	PUT(leaf1_ecx);
	PUT(ext_ecx);
	PUT(leaf7_ebx);
	PUT(leaf7_ecx);
	seq_putc(out, '\n');
}

static u32 clflush_size(void)
{
	u32 r[4];

	x86_cpuid(1, 0, r);
	return (r[1] >> 8 & 255) * 8;
}

static u32 cpuid_level(void)
{
	u32 r[4];

	x86_cpuid(0, 0, r);
	return r[0];
}

void machine_cpu_text(int cpu, struct seq_buf *out)
{
	const struct metal_features *f = &metal_features;
	const char *model = f->model;
	u64 khz = clock_tsc_hz() / 1000;

	while (*model == ' ')
		model++;
	seq_printf(out, "processor\t: %d\nvendor_id\t: %s\n", cpu, f->vendor);
	seq_printf(out, "cpu family\t: %u\nmodel\t\t: %u\n", f->family,
		   f->model_nr);
	seq_printf(out, "model name\t: %s\nstepping\t: %u\n",
		   *model ? model : "unknown", f->stepping);
	seq_printf(out, "cpu MHz\t\t: %llu.%03llu\n",
		   (unsigned long long)khz / 1000,
		   (unsigned long long)khz % 1000);
	seq_printf(out,
		   "physical id\t: %d\nsiblings\t: 1\ncore id\t\t: 0\n"
		   "cpu cores\t: 1\n",
		   cpu);
	seq_printf(out,
		   "fpu\t\t: yes\nfpu_exception\t: yes\n"
		   "cpuid level\t: %u\nwp\t\t: yes\n",
		   cpuid_level());
	put_flags(out, f);
	/* Linux's measure of a loop that a CPU runs twice a tick of the TSC. */
	seq_printf(out, "bogomips\t: %llu.%02llu\n",
		   (unsigned long long)khz / 500,
		   (unsigned long long)khz / 5 % 100);
	seq_printf(out, "clflush size\t: %u\ncache_alignment\t: %u\n",
		   clflush_size(), MM_CACHELINE);
	seq_printf(out,
		   "address sizes\t: %u bits physical, %u bits virtual\n"
		   "power management:\n\n",
		   f->phys_bits, f->virt_bits);
}
