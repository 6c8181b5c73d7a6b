/* SPDX-License-Identifier: MIT */
/*
 * Machine files: what is read, what is refused and where, what a CPU makes of
 * it, and that no text whatever does harm.
 */
#include "segment_machine.h"

#include <stdlib.h>

#include "arch/machine_desc.h"
#include "base_seed.h"

static struct machine_desc m;
static struct seg_cpu cpu;
static struct seg_mem mem;
static struct machine_error err;
static char shown[256];

static int parse(const char *text)
{
	memset(&err, 0, sizeof(err));
	return machine_parse(&m, text, strlen(text), NULL, &err);
}

static char *read_file(const char *name, size_t *len)
{
	char path[256];
	char *text = malloc(1 << 16);
	FILE *f;

	snprintf(path, sizeof(path), "tests/data/machines/%s.machine", name);
	f = fopen(path, "r");
	assert_non_null(text);
	assert_non_null(f);
	*len = fread(text, 1, 1 << 16, f);
	assert_true(*len > 0 && *len < 1 << 16);
	fclose(f);
	return text;
}

static void boot_file(const char *name)
{
	size_t len;
	char *text = read_file(name, &len);
	int ret = machine_parse(&m, text, len, NULL, &err);

	if (!ret)
		ret = machine_boot(&m, &cpu, &mem, &err);
	if (ret)
		fprintf(stderr, "%s\n",
			machine_error_text(&err, name, shown, sizeof(shown)));
	assert_int_equal(ret, 0);
	free(text);
}

/* ---- good files --------------------------------------------------------- */

static void test_linux32(void **state)
{
	struct seg_event e = {SEG_EVENT_EXCEPTION, 14, true, 4};
	struct seg_xfer x;

	(void)state;
	boot_file("linux-x86-32");
	assert_int_equal(m.gdt[12], 0x00cf9a000000ffff);
	assert_int_equal(cpu.cpl, 3);
	assert_int_equal(cpu.sr[SEG_CS].sel, 0x73);
	assert_int_equal(cpu.ip, 0x8048000);
	assert_int_equal(cpu.flags, 0x202);
	assert_int_equal(cpu.idtr.limit, 0x81 * 8 - 1);
	assert_int_equal(m.cr0.value, 0x80050033);
	assert_int_equal(seg_deliver(&cpu, &e, &x), 0);
	assert_int_equal(cpu.ip, 0xc0100000);
	assert_int_equal(cpu.sp, 0xc1800000 - 24);
	assert_int_equal(cpu.sr[SEG_SS].sel, 0x68);
}

/* Bits by name: on a number, or on what a kernel of the mode sets. */
static void test_control_bits(void **state)
{
	const char text[] = "mode long\ncr0 0x80000011 wp=1 ne\n"
			    "cr4 smep=1 smap la57 pse=0\nefer nxe=0\n";
	const char protected[] = "cr0 wp=0\ncr4 pae\nefer nxe\n";

	(void)state;
	assert_int_equal(machine_parse(&m, text, strlen(text), NULL, &err), 0);
	assert_int_equal(m.cr0.value, 0x80010031);
	assert_int_equal(m.cr4.value, 0x301020);
	assert_int_equal(m.efer.value, 0x501);
	assert_int_equal(m.efer.line, 4);
	assert_int_equal(
		machine_parse(&m, protected, strlen(protected), NULL, &err), 0);
	assert_int_equal(m.cr0.value, 0x80000011);
	assert_int_equal(m.cr4.value, 0x30);
	assert_int_equal(m.efer.value, 0x800);
	assert_int_equal(machine_control_default(MACHINE_REAL, '0'), 0x10010);
	assert_int_equal(machine_control_default(MACHINE_REAL, '4'), 0);
	assert_int_equal(machine_control_default(MACHINE_LONG, 'e'), 0xd01);
	assert_int_equal(machine_control_default(MACHINE_PROTECTED, 'e'), 0);
}

static void test_linux64(void **state)
{
	struct seg_ref ref = {0x28, 8, SEG_READ};
	u64 linear;

	(void)state;
	boot_file("linux-x86-64");
	assert_true(seg_64bit(&cpu));
	assert_int_equal(cpu.cpl, 0);
	assert_int_equal(cpu.tr.hid.base, 0xfffffe0000003000);
	assert_int_equal(cpu.idtr.base, 0xfffffe0000000000);
	assert_int_equal(m.idt[16], 0x81e08e0100100aa0);
	assert_int_equal(seg_linear(&cpu, SEG_GS, &ref, &linear), 0);
	assert_int_equal(linear, 0xffff88803fc00028);
}

static void test_by_hand(void **state)
{
	static const u64 want[] = {
		0,
		0x00cf9a000000ffff,
		0x00cf92000000ffff,
		0x00cffb000000ffff, /* accessed: it was loaded */
		0x00cff3000000ffff,
		0x00008b0400000067, /* busy */
		0x000082020000001f,
		0x0000ec0200081000,
		0x0000e50000280000,
		0x0040f71000001fff,
		0x00109c000000ffff,
		0x000081041000002b,
		0x0000840000081000,
		0x00c012000000000f,
	};

	(void)state;
	boot_file("by-hand");
	for (u32 i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(m.gdt[i], want[i]);
	assert_int_equal(m.gdt_nr, ARRAY_SIZE(want));
	assert_int_equal(m.ldt[0], 0x0040f3200000ffff);
	assert_int_equal(m.ldt[3], 0x0040f8300000ffff);
	assert_int_equal(m.idt[3], 0x0000ef0000082000);
	assert_int_equal(m.idt[6], 0x0000870000082100);
	assert_int_equal(m.idt[7], 0x0000860000082200);
	assert_int_equal(m.idt[14], 0x00008e0000083000);
	assert_int_equal(cpu.sr[SEG_DS].hid.base, 0x200000);
	assert_int_equal(cpu.sr[SEG_FS].hid.limit, 0x1fff);
	assert_int_equal(cpu.gdtr.base, 0x8000);
}

static void test_other_files(void **state)
{
	struct seg_ref ref = {0xfffffffc, 4, SEG_WRITE};
	u64 linear = 0;

	(void)state;
	boot_file("multi-segment");
	assert_int_equal(seg_linear(&cpu, SEG_SS, &ref, &linear), 0);
	assert_int_equal(linear, 14 * 0x100000 - 4);
	boot_file("real");
	ref = (struct seg_ref){0xfff0, 1, SEG_FETCH};
	assert_int_equal(seg_linear(&cpu, SEG_CS, &ref, &linear), 0);
	assert_int_equal(linear, 0xffff0);
	assert_int_equal(cpu.sr[SEG_DS].hid.base, 0x400);
	assert_int_equal(parse("mode vm86\nreg cs=0x1000 ds=0x2000\n"), 0);
	assert_int_equal(machine_boot(&m, &cpu, &mem, &err), 0);
	assert_true(seg_vm86(&cpu));
	assert_int_equal(cpu.sr[SEG_CS].hid.base, 0x10000);
	assert_int_equal(cpu.sr[SEG_ES].hid.limit, 0xffff);
	/* An LDT without descriptor, a table cut short, later lines win. */
	assert_int_equal(parse("ldt 1 data limit=4G write\n"
			       "gdt 2 data limit=4G\ngdt 2 data limit=1G\n"
			       "gdtr limit=0x17\nidtr limit=7\n"
			       "reg ds=0xc es=0x10\n"),
			 0);
	assert_int_equal(machine_boot(&m, &cpu, &mem, &err), 0);
	assert_int_equal(cpu.sr[SEG_ES].hid.limit, 0x3fffffff);
	assert_int_equal(cpu.ldtr.hid.limit, 15);
	assert_int_equal(cpu.idtr.limit, 7);
	assert_int_equal(parse(""), 0);
	assert_int_equal(machine_boot(&m, &cpu, &mem, &err), 0);
	assert_int_equal(seg_load(&cpu, SEG_DS, 8), -14);
	assert_int_equal(cpu.fault.rule, SEG_RULE_TABLE_LIMIT);
}

static void test_memory(void **state)
{
	u64 v = 0;

	(void)state;
	assert_int_equal(parse("mem 0x100 byte 1 2 3\nmem 0x103 word 0x504\n"
			       "mem 0x104 byte 9\n"),
			 0);
	assert_int_equal(machine_boot(&m, &cpu, &mem, &err), 0);
	assert_int_equal(mem.read(mem.arg, 0x100, &v, 5), 0);
	assert_int_equal(v, 0x0904030201);
	assert_int_equal(mem.read(mem.arg, 0x100, &v, 6), -14);
	v = 0xaabb;
	assert_int_equal(mem.write(mem.arg, 0x104, &v, 2), -14);
	assert_int_equal(mem.write(mem.arg, 0x103, &v, 2), 0);
	assert_int_equal(mem.read(mem.arg, 0x103, &v, 2), 0);
	assert_int_equal(v & 0xffff, 0xaabb);
}

/* ---- refused ------------------------------------------------------------ */

static void test_refused(void **state)
{
	static const struct {
		const char *text, *want;
	} row[] = {
		{"nonsense\n", "f:1:1: 'nonsense': no line begins with this "
			       "word"},
		{"\n\n  mode paged\n", "f:3:8: 'paged': real, vm86, protected "
				       "or long expected"},
		{"mode\n", "f:1: mode takes one word"},
		{"gdt 1 code\nmode long\n",
		 "f:2:1: 'mode': mode must stand before the tables"},
		{"gdt\n", "f:1: a number is missing"},
		{"gdt x code\n", "f:1:5: 'x': a number was expected"},
		{"gdt 8192 code\n", "f:1:5: '8192': the number is too large"},
		{"idt 256 gate32 8:0\n",
		 "f:1:5: '256': the number is too large"},
		{"gdt 1\n", "f:1: a kind of descriptor is missing"},
		{"gdt 1 kode\n",
		 "f:1:7: 'kode': no kind of descriptor has this name"},
		{"gdt 1 gate32 8:0\n",
		 "f:1:7: 'gate32': this kind may not stand here"},
		{"ldt 1 tss32\n", "f:1:7: 'tss32': this kind may not stand "
				  "here"},
		{"idt 1 code\n", "f:1:7: 'code': this kind may not stand here"},
		{"gdt 1 tss64\n", "f:1:7: 'tss64': this kind may not stand "
				  "here"},
		{"gdt 0 code\n", "f:1:5: '0': entry 0 of the GDT is null"},
		{"gdt 1 code base=0x\n",
		 "f:1:12: 'base=0x': a number was expected"},
		{"gdt 1 code base=\n",
		 "f:1:12: 'base=': a number was expected"},
		{"gdt 1 code limit=5G\n",
		 "f:1:12: 'limit=5G': a limit has 32 bits"},
		{"gdt 1 code size=0\n",
		 "f:1:12: 'size=0': a size of 0 has no limit"},
		{"gdt 1 code limit=0x100001\n",
		 "f:1: the limit is not the end of a 4 KiB unit"},
		{"gdt 1 data conforming\n",
		 "f:1:12: 'conforming': this kind of descriptor has no such "
		 "field"},
		{"gdt 1 code write\n", "f:1:12: 'write': this kind of "
				       "descriptor has no such field"},
		{"gdt 1 code dpl=4\n",
		 "f:1:12: 'dpl=4': the number is too large"},
		{"gdt 1 code base=4G\n", "f:1: no descriptor can say this"},
		{"idt 1 gate32 8\n", "f:1:14: '8': selector:offset was "
				     "expected"},
		{"idt 1 gate32 65536:1\n",
		 "f:1:14: '65536:1': a selector was expected"},
		{"idt 1 gate32 8:zz\n",
		 "f:1:14: '8:zz': an offset was expected"},
		{"idt 1 gate32 8:0 ist=1\n", "f:1: no descriptor can say this"},
		{"idt 1 gate64 8:0\n", "f:1:7: 'gate64': this kind may not "
				       "stand here"},
		{"gdt 1 = \n", "f:1: one or two numbers after '='"},
		{"gdt 8191 = 1 2\n",
		 "f:1:5: '8191': the entry is beyond the table"},
		{"mode long\ngdt 8191 tss64\n",
		 "f:2:5: '8191': the entry is beyond the table"},
		{"gdt 1 = 0x10000000000000000\n",
		 "f:1:9: '0x10000000000000000': a number was expected"},
		{"reg\n", "f:1: name=number is missing"},
		{"reg xs=1\n", "f:1:5: 'xs=1': nothing here has this name"},
		{"reg cs=0x10000\n",
		 "f:1:5: 'cs=0x10000': the number is too large"},
		{"ldtr limit=3\n",
		 "f:1:6: 'limit=3': nothing here has this name"},
		{"cr0 1 2\n", "f:1:7: '2': one number was expected"},
		{"cr0 1 smep\n", "f:1:7: 'smep': no bit of this register has "
				 "this name"},
		{"cr4 smep=2\n", "f:1:5: 'smep=2': the number is too large"},
		{"cr4 smep 1\n", "f:1:10: '1': one number was expected"},
		{"cr3 1 2\n", "f:1:7: '2': one number was expected"},
		{"cr4\n", "f:1: a number is missing"},
		{"cr4 pae\nmode long\n",
		 "f:2:1: 'mode': mode must stand before the tables"},
		{"cr0 pe=0\n", "f:1: cr0.PE does not fit the mode"},
		{"cr0 0\n", "f:1: cr0.PE does not fit the mode"},
		{"mode real\ncr0 1\n", "f:2: cr0.PE does not fit the mode"},
		{"\nefer 0x400\n", "f:2: efer.LMA does not fit the mode"},
		{"mem\n", "f:1: a number is missing"},
		{"mem 1 long 2\n", "f:1:7: 'long': byte, word, dword or qword "
				   "expected"},
		{"mem 1 byte\n", "f:1: no value is given"},
		{"mem 1 byte 256\n", "f:1:12: '256': the number is too large"},
		{"linux arm\n", "f:1:7: 'arm': x86-32 or x86-64 expected"},
		{"linux x86-64\n",
		 "f:1:7: 'x86-64': these tables are of another mode"},
		{"linux x86-32 cpu=4096\n",
		 "f:1:14: 'cpu=4096': the number is too large"},
		{"linux x86-32 tss=4G\n", "f:1: an address needs 32 bits"},
		{"model multi\n", "f:1: model NAME ram=SIZE expected"},
		{"model flat ram=1M\n", "f:1:7: 'flat': no model has this "
					"name"},
		{"model multi ram=1\n",
		 "f:1:13: 'ram=1': no RAM size for a model"},
		{"mode long\nmodel multi ram=1M\n",
		 "f:2:1: 'model': long mode has no models"},
		{"a b c d e f g h i j k l m n o p q r s t u v w x y\n",
		 "f:1: too many words"},
		{"\x01\xff\n", "f:1:1: '\?\?': no line begins with this word"},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
		assert_int_equal(parse(row[i].text), -22);
		assert_string_equal(
			machine_error_text(&err, "f", shown, sizeof(shown)),
			row[i].want);
	}
}

/* Registers that no CPU would take: line, exception, rule. */
static void test_boot_refused(void **state)
{
#define FLAT                                                    \
	"gdt 1 code limit=4G read\ngdt 2 data limit=4G write\n" \
	"gdt 3 code limit=4G dpl=3\ngdt 4 data limit=4G dpl=3 write\n"
	static const struct {
		const char *text, *want;
	} row[] = {
		{FLAT "reg cs=0x10\n", "f:5: 'cs=0x10': #GP(0x10): broken: "
				       "the descriptor is code"},
		{FLAT "reg cs=0x1b\n",
		 "f:5: 'cs=0x1b': #GP(0x0): broken: a null stack selector: "
		 "64-bit code, CPL < 3, RPL = CPL"},
		{FLAT "reg cs=0x1b\nreg ss=0x13\n",
		 "f:6: 'ss=0x13': #GP(0x10): broken: DPL = CPL"},
		{FLAT "reg cs=8 ss=0x10\nreg ds=0x28\n",
		 "f:6: 'ds=0x28': #GP(0x28): broken: the descriptor ends "
		 "inside the table's limit"},
		{FLAT "reg ldtr=8\n", "f:5: 'ldtr=0x8': #GP(0x8): broken: the "
				      "descriptor is an LDT's"},
		{FLAT "reg tr=4\n", "f:5: 'tr=0x4': #GP(0x4): broken: the "
				    "descriptor stands in the GDT"},
		{FLAT "reg fsbase=1\n", "f:5: a base by register needs long "
					"mode"},
		{"mode long\nreg gsbase=0x800000000000\n",
		 "f:2: 'gsbase=0x800000000000': #GP(0x0): broken: the base is "
		 "canonical"},
		{"gdtr base=0x700000 limit=0xff\nreg ds=8\n",
		 "f:2: 'ds=0x8': #PF(0x0): broken: the table's memory can be "
		 "read"},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
		assert_int_equal(parse(row[i].text), 0);
		assert_int_equal(machine_boot(&m, &cpu, &mem, &err), -22);
		assert_string_equal(
			machine_error_text(&err, "f", shown, sizeof(shown)),
			row[i].want);
	}
#undef FLAT
}

/* ---- extensions --------------------------------------------------------- */

struct pages {
	u32 lines;
	u64 va, pa;
};

static int page_line(void *arg, const struct machine_line *l)
{
	struct pages *p = arg;
	struct machine_word w;

	if (!machine_is(l, 0, "page"))
		return -2;
	p->lines++;
	if (machine_word_number(l, 1, ~0UL, &p->va))
		return -22;
	if (!machine_key(l, 2, "pa", &w))
		return machine_fail(l, 2, "pa= expected");
	return machine_key_number(l, 2, ~0UL, &p->pa);
}

static int parse_pages(const char *text, struct pages *p)
{
	struct machine_extension ext = {page_line, p};

	return machine_parse(&m, text, strlen(text), &ext, &err);
}

static void test_extension(void **state)
{
	struct pages p = {0};

	(void)state;
	assert_int_equal(parse_pages("cr3 0x1000\npage 4K pa=0x7000\n", &p), 0);
	assert_int_equal(p.lines, 1);
	assert_int_equal(p.va, 4096);
	assert_int_equal(p.pa, 0x7000);
	assert_int_equal(parse_pages("page 4K px=1\n", &p), -22);
	assert_int_equal(err.column, 9);
	assert_int_equal(parse_pages("page\n", &p), -22);
	assert_int_equal(parse_pages("paper\n", &p), -22);
	assert_string_equal(err.message, "no line begins with this word");
}

/* ---- any text ----------------------------------------------------------- */

static const char *const parts[] = {
	"mode",	   "protected", "long",	  "real",   "vm86",
	"gdt",	   "ldt",	"idt",	  "code",   "data",
	"tss32",   "tss64",	"call64", "task",   "gate32",
	"intr64",  "null",	"=",	  "base=",  "limit=",
	"4G",	   "0x",	"dpl=",	  "reg",    "cs=",
	"ss=",	   "ds=",	"tr=",	  "ldtr=",  "mem",
	"qword",   "linux",	"x86-32", "x86-64", "model",
	"multi",   "ram=",	"16M",	  "gdtr",   "idtr",
	"cr0",	   "efer",	"ist=",	  "write",  "read",
	"8:",	   ":",		"\n",	  "\n",	    "\n",
	" ",	   " ",		" ",	  "#",	    "1",
	"2",	   "3",		"0x10",	  "8191",   "18446744073709551615",
	"gsbase=",
};

/* The length of a random text, mostly of words that mean something. */
static size_t random_text(struct prng *r, char *to, size_t size)
{
	size_t len = 0, want = prng_below(r, size - 32);

	while (len < want) {
		const char *p = parts[prng_below(r, ARRAY_SIZE(parts))];

		if (prng_one_in(r, 30)) {
			to[len++] = (char)prng_u64(r);
			continue;
		}
		memcpy(to + len, p, strlen(p));
		len += strlen(p);
		if (prng_one_in(r, 2))
			to[len++] = ' ';
	}
	return len;
}

/* A good file with some bytes changed, cut or doubled. */
static size_t broken_text(struct prng *r, char *to, const char *from,
			  size_t len)
{
	memcpy(to, from, len);
	for (u64 n = prng_below(r, 4); n > 0; n--) {
		size_t at = prng_below(r, len), to_at = prng_below(r, len);

		if (prng_one_in(r, 3))
			to[at] = (char)prng_u64(r);
		else
			to[at] = to[to_at];
	}
	return prng_one_in(r, 4) ? prng_below(r, len) : len;
}

static bool digest_text(const char *text, size_t len)
{
	/* A copy of exactly this size, so that reading on is noticed. */
	char *copy = malloc(len ? len : 1);
	int ret;

	memcpy(copy, text, len);
	memset(&err, 0, sizeof(err));
	ret = machine_parse(&m, copy, len, NULL, &err);
	if (!ret)
		ret = machine_boot(&m, &cpu, &mem, &err);
	if (ret) {
		assert_int_equal(ret, -22);
		assert_true(err.message[0]);
		assert_true(err.line > 0);
		machine_error_text(&err, "f", shown, sizeof(shown));
	} else {
		struct seg_ref ref = {0x1000, 4, SEG_READ};
		u64 linear;

		(void)!seg_linear(&cpu, SEG_DS, &ref, &linear);
	}
	free(copy);
	return ret == 0;
}

static void test_fuzz(void **state)
{
	static const char *const files[] = {"linux-x86-32", "linux-x86-64",
					    "by-hand", "multi-segment"};
	static char text[1 << 16];
	struct prng r;
	u64 iters = test_iters(2000), good = 0;

	(void)state;
	test_seed(&r, "fuzz");
	for (u64 i = 0; i < iters; i++) {
		size_t len;
		char *from;

		if (prng_one_in(&r, 2)) {
			len = random_text(&r, text, 200);
		} else {
			from = read_file(files[prng_below(&r, 4)], &len);
			len = broken_text(&r, text, from, len);
			free(from);
		}
		good += digest_text(text, len);
	}
	assert_true(good > iters / 20 && good < iters - iters / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux32),
		cmocka_unit_test(test_control_bits),
		cmocka_unit_test(test_linux64),
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_boot_refused),
		cmocka_unit_test(test_extension),
		cmocka_unit_test(test_fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
