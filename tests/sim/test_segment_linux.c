/* SPDX-License-Identifier: MIT */
/*
 * Linux's tables exact to the bit, the three models, modify_ldt and
 * set_thread_area.
 */
#include "segment_machine.h"

#include "base_seed.h"

static u64 gdt[LINUX32_GDT_ENTRIES];

static const struct linux_cpu_desc cpu3 = {
	.tss_base = 0xc1234560,
	.ldt_base = 0xc2000000,
	.ldt_entries = 512,
	.percpu_base = 0x37000000,
	.df_tss_base = 0xc1240000,
	.cpu = 3,
	.node = 1,
};

static void test_gdt32(void **state)
{
	static const struct {
		u32 index;
		u64 raw;
	} row[] = {
		{0, 0},
		{12, 0x00cf9a000000ffff},
		{13, 0x00cf92000000ffff},
		{14, 0x00cffa000000ffff},
		{15, 0x00cff2000000ffff},
		{16, 0xc100892345600067},
		{17, 0xc200820000000fff},
		{18, 0x00409a000000ffff},
		{19, 0x00009a000000ffff},
		{20, 0x000092000000ffff},
		{21, 0x000092000000ffff},
		{22, 0x000092000000ffff},
		{23, 0x00409a000000ffff},
		{24, 0x00009a000000ffff},
		{25, 0x004092000000ffff},
		{26, 0x00cf92000000ffff},
		{27, 0x37cf92000000ffff},
		{28, 0x0040f50000001003},
		{31, 0xc100892400000067},
	};

	(void)state;
	assert_int_equal(linux_gdt32(&cpu3, gdt), 0);
	for (u32 i = 0, n = 0; i < LINUX32_GDT_ENTRIES; i++) {
		u64 want = n < ARRAY_SIZE(row) && row[n].index == i
				   ? row[n++].raw
				   : 0;

		assert_int_equal(gdt[i], want);
	}
	assert_int_equal(seg_sel(LINUX32_KERNEL_CS, 0, 0), 0x60);
	assert_int_equal(seg_sel(LINUX32_KERNEL_DS, 0, 0), 0x68);
	assert_int_equal(seg_sel(LINUX32_USER_CS, 0, 3), 0x73);
	assert_int_equal(seg_sel(LINUX32_USER_DS, 0, 3), 0x7b);
	assert_int_equal(sizeof(struct gdt_page), 4096);
}

static void test_gdt64(void **state)
{
	struct linux_cpu_desc d = cpu3;

	(void)state;
	d.tss_base = 0xfffffe0000003000;
	d.ldt_entries = 0;
	memset(gdt, 0xff, sizeof(gdt));
	assert_int_equal(linux_gdt64(&d, gdt), 0);
	assert_int_equal(gdt[0], 0);
	assert_int_equal(gdt[1], 0x00cf9b000000ffff);
	assert_int_equal(gdt[2], 0x00af9b000000ffff);
	assert_int_equal(gdt[3], 0x00cf93000000ffff);
	assert_int_equal(gdt[4], 0x00cffb000000ffff);
	assert_int_equal(gdt[5], 0x00cff3000000ffff);
	assert_int_equal(gdt[6], 0x00affb000000ffff);
	assert_int_equal(gdt[7], 0);
	assert_int_equal(gdt[8], 0x0000890030000067);
	assert_int_equal(gdt[9], 0xfffffe00);
	assert_int_equal(gdt[10] | gdt[11] | gdt[12] | gdt[13] | gdt[14], 0);
	assert_int_equal(gdt[15], 0x0040f50000001003);
	assert_int_equal(gdt[16], ~0UL);
	assert_int_equal(seg_sel(LINUX64_USER_CS, 0, 3), 0x33);
	assert_int_equal(seg_sel(LINUX64_USER_DS, 0, 3), 0x2b);
	assert_int_equal(seg_sel(LINUX64_USER32_CS, 0, 3), 0x23);
}

static void test_gdt_refused(void **state)
{
	struct linux_cpu_desc d = cpu3;

	(void)state;
	memset(gdt, 0xaa, sizeof(gdt));
	d.cpu = 4096;
	assert_int_equal(linux_gdt32(&d, gdt), -22);
	assert_int_equal(linux_gdt64(&d, gdt), -22);
	d = cpu3;
	d.node = 256;
	assert_int_equal(linux_gdt32(&d, gdt), -22);
	d = cpu3;
	d.ldt_entries = 8193;
	assert_int_equal(linux_gdt64(&d, gdt), -22);
	d = cpu3;
	d.tss_base = 1UL << 32;
	assert_int_equal(linux_gdt32(&d, gdt), -22);
	assert_int_equal(gdt[12], 0xaaaaaaaaaaaaaaaa);
	assert_int_equal(linux_gdt64(&d, gdt), 0);
}

/* What getcpu does: LSL of the entry, from ring 3. */
static void test_cpunode(void **state)
{
	u32 limit = 0;
	bool ok;

	(void)state;
	sm_boot(false);
	sm_ring(3);
	assert_int_equal(linux_gdt32(&cpu3, sm.gdt), 0);
	assert_int_equal(seg_lsl(&sm.cpu, LINUX32_CPUNODE * 8 | 3, &ok, &limit),
			 0);
	assert_true(ok);
	assert_int_equal(linux_cpunode_cpu(limit), 3);
	assert_int_equal(linux_cpunode_node(limit), 1);
}

static void test_tables_work(void **state)
{
	static u64 handler[256];
	struct seg_event e = {SEG_EVENT_INT, 0x80, false, 0};
	struct seg_xfer x;

	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		struct linux_cpu_desc d = {.tss_base = SM_TSS_BASE,
					   .df_tss_base = SM_TSS_BASE + 104};
		u16 ucs = wide ? 0x33 : 0x73, uds = wide ? 0x2b : 0x7b;
		struct seg_return r = {.cs = ucs, .ss = uds};

		sm_boot(wide);
		for (u32 v = 0; v < 256; v++)
			handler[v] = (wide ? 0xffffffff81000000 : 0xc0100000) +
				     v * 16;
		assert_int_equal(wide ? linux_gdt64(&d, sm.gdt)
				      : linux_gdt32(&d, sm.gdt),
				 0);
		assert_int_equal(linux_idt(wide, handler, sm.idt), 0);
		if (wide)
			x86_tss64_init((void *)sm.tss, 0x9000, (u64[7]){0x100});
		else
			x86_tss32_init((void *)sm.tss, 0x68, 0x9000);
		sm_worked(seg_ltr(&sm.cpu,
				  (wide ? LINUX64_TSS : LINUX32_TSS) * 8));
		sm_worked(seg_far_return(&sm.cpu, &r));
		e.vector = 0x80;
		sm_worked(seg_deliver(&sm.cpu, &e, &x));
		assert_int_equal(sm.cpu.ip, handler[0x80]);
		assert_int_equal(sm.cpu.sr[SEG_CS].sel, wide ? 0x10 : 0x60);
		sm_worked(seg_far_return(&sm.cpu, &r));
		e.vector = 14; /* not for programs */
		sm_faulted(seg_deliver(&sm.cpu, &e, &x), X86_TRAP_GP,
			   14 << 3 | 2, SEG_RULE_SOFT_DPL);
		e = (struct seg_event){SEG_EVENT_EXCEPTION, 8, true, 0};
		sm_worked(seg_deliver(&sm.cpu, &e, &x));
		if (wide)
			assert_int_equal(sm.cpu.sp, 0x100 - 48);
		else
			assert_int_equal(x.task_sel,
					 LINUX32_DOUBLEFAULT_TSS * 8);
		e = (struct seg_event){SEG_EVENT_INT, 0x80, false, 0};
	}
	handler[255] = 1UL << 32;
	assert_int_equal(linux_idt(false, handler, sm.idt), -22);
}

static void test_table_set(void **state)
{
	u64 t[4] = {1, 2, 3, 4};
	struct seg_slot g = {t, 4, SEG_TABLE_GDT, true};
	struct seg_desc d = seg_flat(SEG_KIND_CODE, 0, true);

	(void)state;
	assert_int_equal(seg_table_set(&g, 0, &d), -22);
	assert_int_equal(seg_table_set(&g, 4, &d), -34);
	assert_int_equal(seg_table_set(&g, 8192, &d), -34);
	assert_int_equal(seg_table_set(&g, 3, &d), 0);
	d = seg_system(SEG_KIND_TSS64, 0, 104);
	assert_int_equal(seg_table_set(&g, 3, &d), -34);
	assert_int_equal(seg_table_set(&g, 1, &d), 0);
	g.kind = SEG_TABLE_LDT;
	assert_int_equal(seg_table_set(&g, 1, &d), -22);
	g.kind = SEG_TABLE_IDT;
	d = (struct seg_desc){.kind = SEG_KIND_INTR64};
	assert_int_equal(seg_table_set(&g, 1, &d), 0);
	assert_int_equal(seg_table_set(&g, 2, &d), -34);
	assert_int_equal(t[0], 1);
}

/* ---- models ------------------------------------------------------------- */

static bool reaches(u32 index, u64 offset, bool write, u64 *linear)
{
	struct seg_ref ref = {offset, 1, write ? SEG_WRITE : SEG_READ};

	sm.cpu.cpl = 0;
	return seg_load(&sm.cpu, SEG_DS, (u16)(index * 8)) == 0 &&
	       seg_linear(&sm.cpu, SEG_DS, &ref, linear) == 0;
}

static void test_models(void **state)
{
	u64 ram = 64UL << 20, linear = 0;

	(void)state;
	sm_boot(false);
	assert_int_equal(seg_model_gdt(SEG_MODEL_BASIC_FLAT, ram, sm.gdt), 0);
	assert_true(reaches(2, 0xffffffff, true, &linear));
	assert_false(reaches(1, 0, true, &linear));
	assert_int_equal(sm.gdt[3], 0);
	assert_int_equal(seg_model_gdt(SEG_MODEL_PROTECTED_FLAT, ram, sm.gdt),
			 0);
	for (u32 i = 1; i <= 4; i++) {
		assert_true(reaches(i, ram - 1, false, &linear));
		assert_false(reaches(i, ram, false, &linear));
	}
	/* Multi: every byte of a segment is nobody else's. */
	assert_int_equal(seg_model_gdt(SEG_MODEL_MULTI, ram, sm.gdt), 0);
	assert_true(reaches(3, 0, false, &linear));
	assert_int_equal(linear, ram / 2);
	assert_true(reaches(4, 0, true, &linear));
	assert_int_equal(linear, ram / 2 + ram / 8);
	assert_true(reaches(5, 0xffffffff, true, &linear));
	assert_int_equal(linear, ram / 2 + 3 * (ram / 8) - 1);
	assert_true(reaches(5, (u32) - (s64)(ram / 8), true, &linear));
	assert_int_equal(linear, ram / 2 + 2 * (ram / 8));
	assert_false(reaches(5, (u32) - (s64)(ram / 8) - 1, true, &linear));
	assert_true(reaches(6, ram / 8 - 1, true, &linear));
	assert_int_equal(linear, ram - 1);
	assert_false(reaches(6, ram / 8, true, &linear));
	assert_int_equal(seg_model_gdt(SEG_MODEL_MULTI, 0, sm.gdt), -22);
	assert_int_equal(seg_model_gdt(SEG_MODEL_MULTI, 4096, sm.gdt), -22);
	assert_int_equal(seg_model_gdt(SEG_MODEL_BASIC_FLAT, 4097, sm.gdt),
			 -22);
	assert_int_equal(seg_model_gdt(SEG_MODEL_BASIC_FLAT, 1UL << 33, sm.gdt),
			 -22);
	assert_int_equal(seg_model_gdt(7, ram, sm.gdt), -22);
}

/* ---- modify_ldt and set_thread_area ------------------------------------- */

static void test_user_desc(void **state)
{
	struct prng r;
	struct user_desc u = {.base_addr = 0xb7e4d6c0,
			      .limit = 0xfffff,
			      .seg_32bit = 1,
			      .limit_in_pages = 1,
			      .useable = 1};

	(void)state;
	/* The TLS descriptor that a C library asks for. */
	assert_int_equal(linux_user_desc_encode(&u), 0xb7dff3e4d6c0ffff);
	test_seed(&r, "user_desc");
	for (u64 i = 0; i < test_iters(20000); i++) {
		struct user_desc back = {.entry_number = 7};
		struct seg_desc d;
		u64 raw;

		u = (struct user_desc){.entry_number = 7,
				       .base_addr = prng_u32(&r),
				       .limit = prng_u32(&r) >> 12,
				       .seg_32bit = prng_one_in(&r, 2),
				       .contents = prng_below(&r, 4) & 3,
				       .read_exec_only = prng_one_in(&r, 2),
				       .limit_in_pages = prng_one_in(&r, 2),
				       .seg_not_present = prng_one_in(&r, 2),
				       .useable = prng_one_in(&r, 2)};
		raw = linux_user_desc_encode(&u);
		linux_user_desc_decode(raw, &back);
		assert_memory_equal(&u, &back, sizeof(u));
		/* Nothing but ring 3 memory can be asked for. */
		assert_int_equal(seg_decode(&raw, false, &d), 0);
		assert_true(seg_is_memory(&d) && d.dpl == 3);
	}
}

static void test_modify_ldt(void **state)
{
	static u64 mem[16], more[8192], out[8192];
	struct linux_ldt l = {0};
	struct user_desc u = {.entry_number = 3,
			      .limit = 0xfff,
			      .seg_32bit = 1,
			      .useable = 1};
	struct user_desc empty = {
		.entry_number = 3, .read_exec_only = 1, .seg_not_present = 1};
	u32 nr = 0;

	(void)state;
	/* Nothing of its own: the default one, read as nothing. */
	assert_ptr_equal(linux_ldt_table(&l, &nr), linux_default_ldt);
	assert_int_equal(nr, LINUX_DEFAULT_LDT_ENTRIES);
	assert_int_equal(linux_ldt_read(&l, out, sizeof(out)), 0);
	memset(out, 1, sizeof(out));
	assert_int_equal(linux_ldt_read_default(out, sizeof(out)), 128);
	assert_int_equal(out[0] | out[15], 0);
	assert_int_equal(linux_ldt_write(&l, &u, false), -12);
	linux_ldt_give(&l, mem, 16);
	assert_int_equal(linux_ldt_write(&l, &u, false), 0);
	assert_int_equal(mem[3], 0x0050f30000000fff);
	assert_int_equal(l.nr, 4);
	assert_int_equal(linux_ldt_read(&l, out, 40), 40);
	assert_int_equal(out[3], mem[3]);
	assert_int_equal(out[4], 0);
	assert_int_equal(linux_ldt_read(&l, out, sizeof(out) + 8), 65536);
	/* The old call forgets the bit for software ... */
	assert_int_equal(linux_ldt_write(&l, &u, true), 0);
	assert_int_equal(mem[3], 0x0040f30000000fff);
	/* ... refuses contents 3, and takes base 0 limit 0 for empty. */
	u.contents = 3;
	u.seg_not_present = 1;
	assert_int_equal(linux_ldt_write(&l, &u, true), -22);
	assert_int_equal(linux_ldt_write(&l, &u, false), 0);
	assert_int_equal(mem[3], 0x00507f0000000fff);
	u.seg_not_present = 0;
	assert_int_equal(linux_ldt_write(&l, &u, false), -22);
	assert_int_equal(linux_ldt_write(&l, &empty, false), 0);
	assert_int_equal(mem[3], 0);
	u = (struct user_desc){.entry_number = 5, .seg_32bit = 1};
	assert_int_equal(linux_ldt_write(&l, &u, false), 0);
	assert_true(mem[5] != 0);
	assert_int_equal(linux_ldt_write(&l, &u, true), 0);
	assert_int_equal(mem[5], 0);
	u.entry_number = 8192;
	assert_int_equal(linux_ldt_write(&l, &u, false), -22);
	u.entry_number = 8191;
	assert_int_equal(linux_ldt_write(&l, &u, false), -12);
	mem[2] = 0x1234;
	linux_ldt_give(&l, more, 8192);
	assert_int_equal(linux_ldt_write(&l, &u, false), 0);
	assert_int_equal(more[2], 0x1234);
	assert_int_equal(linux_ldt_table(&l, &nr) == more, 1);
	assert_int_equal(nr, 8192);
}

static void test_thread_area(void **state)
{
	u64 tls[3] = {0};
	struct user_desc u = {.entry_number = ~0u,
			      .base_addr = 0x1000,
			      .limit = 0xfffff,
			      .seg_32bit = 1,
			      .limit_in_pages = 1,
			      .useable = 1};
	struct user_desc bad, got = {.entry_number = 13};

	(void)state;
	for (u32 i = 0; i < 3; i++) {
		u.entry_number = ~0u;
		u.base_addr = 0x1000 * (i + 1);
		assert_int_equal(linux_set_thread_area(tls, 12, &u), 0);
		assert_int_equal(u.entry_number, 12 + i);
	}
	u.entry_number = ~0u;
	assert_int_equal(linux_set_thread_area(tls, 12, &u), -3);
	assert_int_equal(u.entry_number, ~0u);
	assert_int_equal(linux_get_thread_area(tls, 12, &got), 0);
	assert_int_equal(got.base_addr, 0x2000);
	assert_int_equal(got.limit, 0xfffff);
	got.entry_number = 15;
	assert_int_equal(linux_get_thread_area(tls, 12, &got), -22);
	u.entry_number = 11;
	assert_int_equal(linux_set_thread_area(tls, 12, &u), -22);
	u.entry_number = 15;
	assert_int_equal(linux_set_thread_area(tls, 12, &u), -22);
	u.entry_number = 13;
	bad = u;
	bad.seg_32bit = 0;
	assert_int_equal(linux_set_thread_area(tls, 12, &bad), -22);
	bad = u;
	bad.contents = 2;
	assert_int_equal(linux_set_thread_area(tls, 12, &bad), -22);
	bad = u;
	bad.seg_not_present = 1;
	assert_int_equal(linux_set_thread_area(tls, 12, &bad), -22);
	assert_int_equal(linux_set_thread_area(tls, 12, &u), 0);
	u = (struct user_desc){
		.entry_number = 13, .read_exec_only = 1, .seg_not_present = 1};
	assert_int_equal(linux_set_thread_area(tls, 12, &u), 0);
	assert_int_equal(tls[1], 0);
	u = (struct user_desc){.entry_number = 12};
	assert_int_equal(linux_set_thread_area(tls, 12, &u), 0);
	assert_int_equal(tls[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gdt32),
		cmocka_unit_test(test_gdt64),
		cmocka_unit_test(test_gdt_refused),
		cmocka_unit_test(test_cpunode),
		cmocka_unit_test(test_tables_work),
		cmocka_unit_test(test_table_set),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_user_desc),
		cmocka_unit_test(test_modify_ldt),
		cmocka_unit_test(test_thread_area),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
