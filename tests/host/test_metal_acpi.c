/* SPDX-License-Identifier: MIT */
/*
 * The firmware's tables as port/metal reads them: whole ones, each way to be
 * damaged with its message, and random damage, which may be accepted but must
 * not lead a read out of the table (the buffers end where the tables do). One
 * thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../../port/metal/acpi.c"
#include "base_seed.h"

#define MEM_BYTES 8192u

/* ---- making tables ----------------------------------------------------------
 */

struct table {
	u8 b[1024];
	u32 len;
};

static void put(struct table *t, u64 v, u32 bytes)
{
	assert_true(t->len + bytes <= sizeof(t->b));
	for (u32 i = 0; i < bytes; i++, v >>= 8)
		t->b[t->len++] = (u8)v;
}

static void put_at(u8 *p, u64 v, u32 bytes)
{
	for (u32 i = 0; i < bytes; i++, v >>= 8)
		p[i] = (u8)v;
}

static void fix(u8 *p, u32 len, u32 at)
{
	p[at] = 0;
	p[at] = (u8)-sum(p, len);
}

static void begin(struct table *t, const char *sig)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->b, sig, 4);
	t->b[8] = 5;
	t->len = HEADER;
}

static void finish(struct table *t)
{
	put_at(t->b + 4, t->len, 4);
	fix(t->b, t->len, 9);
}

/* A copy that ends where the table does: ASan sees what reads on. */
static u8 *exact(const struct table *t)
{
	u8 *p = malloc(t->len);

	assert_non_null(p);
	memcpy(p, t->b, t->len);
	return p;
}

static void madt_cpu(struct table *t, u32 id, u32 flags)
{
	put(t, 0x0800 | 0, 2);
	put(t, id, 1); /* uid */
	put(t, id, 1);
	put(t, flags, 4);
}

static void make_madt(struct table *t)
{
	begin(t, "APIC");
	put(t, 0xfee00000, 4);
	put(t, 1, 4);
	madt_cpu(t, 0, 1);
	madt_cpu(t, 1, 1);
	madt_cpu(t, 2, 0); /* not there */
	madt_cpu(t, 3, 2); /* may come */
	put(t, 0x1009, 2); /* x2APIC 300 */
	put(t, 0, 2);
	put(t, 300, 4);
	put(t, 1, 4);
	put(t, 4, 4);
	put(t, 0x1009, 2); /* CPU 1 once more */
	put(t, 0, 2);
	put(t, 1, 4);
	put(t, 1, 4);
	put(t, 1, 4);
	put(t, 0x0c01, 2); /* I/O APIC */
	put(t, 7, 2);
	put(t, 0xfec00000, 4);
	put(t, 24, 4);
	put(t, 0x0a02, 2); /* IRQ 0 is line 2 */
	put(t, 0, 1);
	put(t, 0, 1);
	put(t, 2, 4);
	put(t, 0, 2);
	put(t, 0x0a02, 2); /* IRQ 9: level, low */
	put(t, 0, 1);
	put(t, 9, 1);
	put(t, 9, 4);
	put(t, 0xf, 2);
	put(t, 0x0604, 2); /* NMI line: passed over */
	put(t, 0, 4);
	put(t, 0x0480, 2); /* unknown: passed over */
	put(t, 0, 2);
	finish(t);
}

static void srat_mem_entry(struct table *t, u32 domain, u64 start, u64 size,
			   u32 flags)
{
	put(t, 0x2801, 2);
	put(t, domain, 4);
	put(t, 0, 2);
	put(t, start, 8);
	put(t, size, 8);
	put(t, 0, 4);
	put(t, flags, 4);
	put(t, 0, 8);
}

static void srat_cpu_entry(struct table *t, u32 domain, u8 id)
{
	put(t, 0x1000, 2);
	put(t, domain & 0xff, 1);
	put(t, id, 1);
	put(t, 1, 4);
	put(t, 0, 1);
	put(t, domain >> 8, 3);
	put(t, 0, 4);
}

/* Domains 5 and 2 become nodes 0 and 1. */
static void make_srat(struct table *t)
{
	begin(t, "SRAT");
	put(t, 1, 4);
	put(t, 0, 8);
	srat_cpu_entry(t, 5, 0);
	srat_cpu_entry(t, 2, 1);
	put(t, 0x1802, 2); /* x2APIC 300 of domain 5 */
	put(t, 0, 2);
	put(t, 5, 4);
	put(t, 300, 4);
	put(t, 1, 4);
	put(t, 0, 8);
	srat_mem_entry(t, 5, 0, 0x10000000, 1);
	srat_mem_entry(t, 2, 0x10000000, 0x10000000, 1);
	srat_mem_entry(t, 2, 0x100000000, 0x40000000, 3);
	srat_mem_entry(t, 9, 0x50000000, 0x1000, 0); /* not enabled */
	finish(t);
}

static void make_slit(struct table *t)
{
	begin(t, "SLIT");
	put(t, 6, 8);
	for (u32 i = 0; i < 36; i++)
		put(t, i / 6 == i % 6 ? 10 : 20 + i / 6 + 2 * (i % 6), 1);
	finish(t);
}

static void make_fadt(struct table *t, u64 dsdt)
{
	begin(t, "FACP");
	t->len = 268;
	put_at(t->b + 48, 0xb2, 4);
	t->b[52] = 0xf1;
	put_at(t->b + 64, 0x604, 4);
	put_at(t->b + 76, 0x608, 4);
	t->b[108] = 0x32;
	put_at(t->b + 112, 1u << 10 | 1u << 8, 4);
	t->b[116] = 1; /* reset register: port 0xcf9 */
	t->b[117] = 8;
	put_at(t->b + 120, 0xcf9, 8);
	t->b[128] = 0x0f;
	put_at(t->b + 140, dsdt, 8);
	finish(t);
}

static void put_text(struct table *t, const char *s)
{
	memcpy(t->b + t->len, s, strlen(s));
	t->len += (u32)strlen(s);
}

static void dsdt_virtio(struct table *t, u32 addr, u32 gsi)
{
	put(t, 0x0d, 1);
	put_text(t, "LNRO0005");
	put(t, 0, 1);
	put(t, 0x86, 1); /* 32-bit memory */
	put(t, 9, 2);
	put(t, 1, 1);
	put(t, addr, 4);
	put(t, 0x200, 4);
	put(t, 0x89, 1); /* extended interrupt */
	put(t, 6, 2);
	put(t, 0x01, 1);
	put(t, 1, 1);
	put(t, gsi, 4);
	put(t, 0x79, 2);
}

static void make_dsdt(struct table *t)
{
	begin(t, "DSDT");
	dsdt_virtio(t, 0xfeb00000, 16);
	dsdt_virtio(t, 0xfeb00200, 17);
	put(t, 0x08, 1);
	put_text(t, "_S5_");
	put(t, 0x12, 1);
	put(t, 0x06, 1);
	put(t, 4, 1);
	put(t, 0x050a, 2); /* 5 */
	put(t, 0x01, 1);   /* 1 */
	put(t, 0, 2);
	finish(t);
}

/* ---- a memory with all of them ----------------------------------------------
 */

static u8 memory[MEM_BYTES];
static char warned[8][160];
static u32 nr_warned;

static const void *map(phys_addr_t pa, u64 size, void *arg)
{
	assert_ptr_equal(arg, memory);
	if (pa > MEM_BYTES || size > MEM_BYTES - pa)
		return NULL;
	return memory + pa;
}

static void warn(const char *text)
{
	if (nr_warned < 8)
		strcpy(warned[nr_warned], text);
	nr_warned++;
}

static void place(u32 at, const struct table *t)
{
	memcpy(memory + at, t->b, t->len);
}

/* RSDP at 64, XSDT at 128, RSDT at 256, tables from 1024 on. */
static void make_machine(void)
{
	struct table t;

	memset(memory, 0, sizeof(memory));
	nr_warned = 0;
	memcpy(memory + 64, "RSD PTR ", 8);
	memory[64 + 15] = 2;
	put_at(memory + 64 + 16, 256, 4);
	put_at(memory + 64 + 20, 36, 4);
	put_at(memory + 64 + 24, 128, 8);
	fix(memory + 64, 20, 8);
	fix(memory + 64, 36, 32);
	begin(&t, "XSDT");
	for (u32 i = 0; i < 4; i++)
		put(&t, 1024 + 1024 * i, 8);
	finish(&t);
	place(128, &t);
	begin(&t, "RSDT");
	for (u32 i = 0; i < 4; i++)
		put(&t, 1024 + 1024 * i, 4);
	finish(&t);
	place(256, &t);
	make_madt(&t);
	place(1024, &t);
	make_srat(&t);
	place(2048, &t);
	make_slit(&t);
	place(3072, &t);
	make_fadt(&t, 5120);
	place(4096, &t);
	make_dsdt(&t);
	place(5120, &t);
}

static struct acpi_info info;

static bool read_machine(void)
{
	acpi_reset_info(&info);
	return acpi_read(&info, 64, map, memory, warn);
}

static void check_machine(void)
{
	assert_int_equal(info.nr_cpus, 4);
	assert_int_equal(info.cpu[1].apic_id, 1);
	assert_true(info.cpu[1].enabled);
	assert_int_equal(info.cpu[2].apic_id, 3);
	assert_false(info.cpu[2].enabled);
	assert_int_equal(info.cpu[3].apic_id, 300);
	assert_int_equal(info.nr_ioapics, 1);
	assert_int_equal(info.ioapic[0].gsi_base, 24);
	assert_int_equal(acpi_gsi(&info, 0).gsi, 2);
	assert_false(acpi_gsi(&info, 0).level);
	assert_true(acpi_gsi(&info, 9).level && acpi_gsi(&info, 9).low);
	assert_int_equal(acpi_gsi(&info, 4).gsi, 4);
	assert_int_equal(info.nr_nodes, 2);
	assert_int_equal(acpi_cpu_node(&info, 0), 0);
	assert_int_equal(acpi_cpu_node(&info, 1), 1);
	assert_int_equal(acpi_cpu_node(&info, 300), 0);
	assert_int_equal(acpi_cpu_node(&info, 77), 0);
	assert_int_equal(info.nr_mems, 3);
	assert_int_equal(info.mem[2].start, 0x100000000);
	assert_true(info.mem[2].hotplug && !info.mem[1].hotplug);
	assert_true(info.has_slit);
	/* From domain 5 to 2, and back. */
	assert_int_equal(info.distance[1], 20 + 5 + 4);
	assert_int_equal(info.distance[2], 20 + 2 + 10);
	assert_int_equal(info.pm1a_cnt, 0x604);
	assert_int_equal(info.pm_timer, 0x608);
	assert_true(info.reset_ok);
	assert_int_equal(info.reset.addr, 0xcf9);
	assert_int_equal(info.reset_value, 0x0f);
	assert_true(info.has_s5);
	assert_int_equal(info.s5a, 5);
	assert_int_equal(info.s5b, 1);
	assert_int_equal(info.nr_virtio, 2);
	assert_int_equal(info.virtio[1].addr, 0xfeb00200);
	assert_int_equal(info.virtio[1].gsi, 17);
}

static void whole_machine(void **state)
{
	(void)state;
	make_machine();
	assert_true(read_machine());
	assert_int_equal(nr_warned, 0);
	check_machine();
}

/* A damaged XSDT: the RSDT says the same. Both damaged: nothing. */
static void two_roots(void **state)
{
	(void)state;
	make_machine();
	memory[128 + 40]++;
	assert_true(read_machine());
	assert_int_equal(nr_warned, 1);
	assert_string_equal(warned[0], "XSDT: checksum is off by 0x01");
	check_machine();
	memory[256 + 10]++;
	assert_false(read_machine());
	assert_string_equal(info.error, "RSDT: checksum is off by 0x01");
	make_machine();
	memory[64 + 25]++; /* the pointer to the XSDT */
	assert_true(read_machine());
	assert_string_equal(warned[0], "RSDP: the extended part is bad");
	check_machine();
	memory[64 + 3] = 'x';
	assert_false(read_machine());
	assert_string_equal(info.error, "RSDP: no signature");
}

/* One table damaged: said, and the others count. */
static void one_table(void **state)
{
	(void)state;
	make_machine();
	memory[2048 + 60]++;
	assert_true(read_machine());
	assert_int_equal(nr_warned, 1);
	assert_string_equal(warned[0], "SRAT: checksum is off by 0x01");
	assert_false(info.has_srat);
	assert_int_equal(info.nr_nodes, 1);
	assert_int_equal(info.nr_cpus, 4);
	make_machine();
	put_at(memory + 1024 + 4, 0x7fffffff, 4);
	assert_true(read_machine());
	assert_string_equal(warned[0],
			    "APIC: length 2147483647 is out of 36..4194304");
	make_machine();
	put_at(memory + 1024 + 4, 100000, 4);
	assert_true(read_machine());
	assert_string_equal(warned[0],
			    "APIC at 0x400: 100000 bytes cannot be reached");
}

/* ---- messages ---------------------------------------------------------------
 */

typedef bool (*reader)(struct acpi_info *info, const void *t);

static void expect(const struct table *t, reader read, const char *error)
{
	u8 *p = exact(t);

	assert_true(acpi_check(&info, p, t->len, NULL));
	assert_false(read(&info, p));
	assert_string_equal(info.error, error);
	free(p);
}

static void refused_lists(void **state)
{
	struct table t;

	(void)state;
	acpi_reset_info(&info);
	begin(&t, "APIC");
	put(&t, 0, 4);
	finish(&t);
	expect(&t, acpi_read_madt, "APIC: length 40 is less than 44");
	begin(&t, "APIC");
	put(&t, 0, 8);
	put(&t, 0x0700, 2);
	put(&t, 0, 5);
	finish(&t);
	expect(&t, acpi_read_madt,
	       "APIC: entry at 44 of type 0 has length 7, at least 8");
	t.b[45] = 0;
	finish(&t);
	expect(&t, acpi_read_madt,
	       "APIC: entry at 44 of type 0 has length 0, 7 bytes are left");
	t.b[45] = 6;
	t.b[44] = 3;
	finish(&t);
	expect(&t, acpi_read_madt,
	       "APIC: entry at 44 of type 3 has length 6, at least 8");
	t.b[44] = 4;
	finish(&t);
	expect(&t, acpi_read_madt, "APIC: a byte is left over at 50");
}

static void refused_nodes(void **state)
{
	struct table t;

	(void)state;
	acpi_reset_info(&info);
	begin(&t, "SRAT");
	put(&t, 0, 12);
	srat_mem_entry(&t, 0, 0, 0x2000, 1);
	srat_mem_entry(&t, 7, 0x1000, 0x2000, 1);
	finish(&t);
	expect(&t, acpi_read_srat,
	       "SRAT: memory at 0x1000 is of domains 0 and 7");
	assert_int_equal(info.nr_nodes, 1);
	assert_int_equal(info.nr_mems, 0);
	begin(&t, "SRAT");
	put(&t, 0, 12);
	srat_mem_entry(&t, 0, ~0ull - 5, 0x2000, 1);
	finish(&t);
	expect(&t, acpi_read_srat,
	       "SRAT: memory at 0xfffffffffffffffa wraps around");
	make_slit(&t);
	t.b[SLIT_BASE + 1] = 9;
	finish(&t);
	expect(&t, acpi_read_slit, "SLIT: distance 9 from 0 to 1");
	make_slit(&t);
	t.b[SLIT_BASE] = 11;
	finish(&t);
	expect(&t, acpi_read_slit, "SLIT: distance 11 from 0 to 0");
	put_at(t.b + 36, 7, 8);
	finish(&t);
	expect(&t, acpi_read_slit, "SLIT: 7 localities in 80 bytes");
	make_slit(&t);
	info.domain[0] = 6;
	expect(&t, acpi_read_slit, "SLIT: domain 6 of 6");
	begin(&t, "FACP");
	finish(&t);
	expect(&t, acpi_read_fadt, "FACP: length 36 is less than 116");
}

/* More of a kind than there is room for. */
static void too_many(void **state)
{
	struct table t;
	static u8 big[64 + 16 * 400];
	u32 at = LIST_MADT;

	(void)state;
	acpi_reset_info(&info);
	begin(&t, "APIC");
	put(&t, 0, 8);
	for (u32 i = 0; i < ACPI_MAX_IOAPICS + 1; i++) {
		put(&t, 0x0c01, 2);
		put(&t, 0, 10);
	}
	finish(&t);
	expect(&t, acpi_read_madt, "MADT: more than 16 I/O APICs");
	/* CPUs are only left out. */
	memcpy(big, t.b, LIST_MADT);
	for (u32 i = 0; i < 400; i++, at += 16) {
		put_at(big + at, 0x1009, 2);
		put_at(big + at + 4, 1000 + i, 4);
		put_at(big + at + 8, 1, 4);
	}
	put_at(big + 4, at, 4);
	fix(big, at, 9);
	acpi_reset_info(&info);
	assert_true(acpi_check(&info, big, at, "APIC"));
	assert_true(acpi_read_madt(&info, big));
	assert_int_equal(info.nr_cpus, ACPI_MAX_CPUS);
}

/* What DSDTs hold: _S5_ in its other forms, and what only looks like it. */
static void s5_forms(void **state)
{
	static const struct {
		const char *bytes;
		u32 len;
		int a;
	} forms[] = {
		{"\x08_S5_\x12\x06\x04\x0a\x07\x0a\x07\x00\x00", 13, 7},
		{"\x08\\_S5_\x12\x05\x04\x00\x00\x00\x00", 12, 0},
		{"\x08_S5_\x12\x46\x00\x04\x0a\x05\x00", 11, 5},
		{"\x08_S5_\x12\x06\x02\x0c\x05\x00\x00\x00\x01", 13, 5},
		{"\x08_S5_\x12\x06\x04\x0a\x08\x00", 10, -1},
		{"\x08_S5_\x12\x06\x00\x0a\x05\x00", 10, -1},
		{"\x08_S5_\x13\x06\x04\x0a\x05\x00", 10, -1},
		{"x_S5_\x12\x06\x04\x0a\x05\x00", 10, -1},
		{"\x08_S5_\x12\x06\x04\x0a", 9, -1},
		{"\x08_S5_", 5, -1},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(forms); i++) {
		struct table t;
		u8 *p;

		begin(&t, "DSDT");
		for (u32 k = 0; k < forms[i].len; k++)
			put(&t, (u8)forms[i].bytes[k], 1);
		finish(&t);
		p = exact(&t);
		acpi_reset_info(&info);
		assert_true(acpi_read_dsdt(&info, p));
		assert_int_equal(info.has_s5, forms[i].a >= 0);
		if (forms[i].a >= 0)
			assert_int_equal(info.s5a, forms[i].a);
		free(p);
	}
}

/* ---- damage -----------------------------------------------------------------
 */

static void damage_table(struct prng *rng, const struct table *from,
			 reader read)
{
	struct table t = *from;
	u32 n = (u32)prng_range(rng, 1, 6);
	u8 *p;

	for (u32 i = 0; i < n; i++)
		t.b[prng_range(rng, HEADER, t.len - 1)] = (u8)prng_u32(rng);
	if (prng_one_in(rng, 3))
		t.len = (u32)prng_range(rng, HEADER, t.len);
	finish(&t);
	p = exact(&t);
	info.error[0] = 0;
	if (acpi_check(&info, p, t.len, NULL) && !read(&info, p))
		assert_true(info.error[0] != 0);
	assert_true(info.nr_cpus <= ACPI_MAX_CPUS);
	assert_true(info.nr_nodes >= 1 && info.nr_nodes <= MM_MAX_NODES);
	for (u32 i = 0; i < info.nr_mems; i++)
		assert_true(info.mem[i].node >= 0 &&
			    info.mem[i].node < (int)info.nr_nodes);
	for (u32 i = 0; i < info.nr_nodes; i++)
		assert_int_equal(info.distance[i * info.nr_nodes + i], 10);
	free(p);
}

static void damaged_tables(void **state)
{
	struct table madt, srat, slit, fadt, dsdt;
	struct prng rng;
	u64 n = test_iters(20000);

	(void)state;
	test_seed(&rng, "damaged_tables");
	make_madt(&madt);
	make_srat(&srat);
	make_slit(&slit);
	make_fadt(&fadt, 0);
	make_dsdt(&dsdt);
	for (u64 i = 0; i < n; i++) {
		acpi_reset_info(&info);
		damage_table(&rng, &madt, acpi_read_madt);
		damage_table(&rng, &srat, acpi_read_srat);
		damage_table(&rng, &slit, acpi_read_slit);
		damage_table(&rng, &fadt, acpi_read_fadt);
		damage_table(&rng, &dsdt, acpi_read_dsdt);
	}
}

/* Bytes of the whole memory change, sums are made right again or not. */
static void damaged_memory(void **state)
{
	struct prng rng;
	u64 n = test_iters(20000), alive = 0;

	(void)state;
	test_seed(&rng, "damaged_memory");
	for (u64 i = 0; i < n; i++) {
		make_machine();
		for (u32 k = (u32)prng_range(&rng, 1, 4); k; k--)
			memory[prng_below(&rng, 5400)] = (u8)prng_u32(&rng);
		if (prng_one_in(&rng, 2)) {
			fix(memory + 64, 20, 8);
			fix(memory + 64, 36, 32);
			fix(memory + 128, 68, 9);
			fix(memory + 256, 52, 9);
		}
		alive += read_machine();
		assert_true(info.nr_nodes >= 1);
	}
	assert_true(alive > n / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_machine),
		cmocka_unit_test(two_roots),
		cmocka_unit_test(one_table),
		cmocka_unit_test(refused_lists),
		cmocka_unit_test(refused_nodes),
		cmocka_unit_test(too_many),
		cmocka_unit_test(s5_forms),
		cmocka_unit_test(damaged_tables),
		cmocka_unit_test(damaged_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
