/* SPDX-License-Identifier: MIT */
/*
 * The layouts of virtual address spaces: rules that hold for all, and the
 * constants that Linux's documentation gives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "arch/kernel_layout.h"

#define MiB (1UL << 20)
#define GiB (1UL << 30)

static const u64 sizes[] = {0,	       PAGE_SIZE, 4 * MiB,	 16 * MiB,
			    895 * MiB, 896 * MiB, 896 * MiB + 1, GiB,
			    4 * GiB,   64 * GiB,  1UL << 44};

static void check_layout(const struct paging_format *f, u64 ram_end)
{
	kva_t last = f->va_bits == 32 ? 0xffffffffUL : ~0UL;
	struct kernel_layout l;

	kernel_layout_make(&l, f, ram_end);
	assert_ptr_equal(l.fmt, f);
	assert_int_equal(l.region[0].start, 0);
	assert_int_equal(l.region[l.nr - 1].last, last);
	for (u32 i = 0; i < l.nr; i++) {
		const struct kl_region *r = &l.region[i];

		assert_true(r->start <= r->last);
		assert_true(IS_ALIGNED(r->start, PAGE_SIZE));
		if (i)
			assert_int_equal(l.region[i - 1].last + 1, r->start);
		/* Regions are canonical or not as a whole. */
		assert_int_equal(paging_canonical(f, r->start),
				 r->kind != KL_NONCANONICAL);
		assert_int_equal(paging_canonical(f, r->last),
				 r->kind != KL_NONCANONICAL);
		assert_int_equal(is_kernel_va(f, r->start),
				 r->kind != KL_USER &&
					 r->kind != KL_NONCANONICAL);
		assert_ptr_equal(kernel_layout_find(&l, r->start), r);
		assert_ptr_equal(kernel_layout_find(&l, r->last), r);
		assert_ptr_equal(
			kernel_layout_find(&l,
					   r->start + (r->last - r->start) / 2),
			r);
	}
}

static void test_cover(void **state)
{
	(void)state;
	for (u32 i = 0; paging_format_nth(i); i++)
		for (u32 k = 0; k < ARRAY_SIZE(sizes); k++)
			check_layout(paging_format_nth(i), sizes[k]);
}

static kva_t start_of(const struct kernel_layout *l, enum kl_kind kind)
{
	const struct kl_region *r = kernel_layout_region(l, kind);

	assert_non_null(r);
	return r->start;
}

static u64 bytes_of(const struct kernel_layout *l, enum kl_kind kind)
{
	const struct kl_region *r = kernel_layout_region(l, kind);

	assert_non_null(r);
	return r->last - r->start + 1;
}

static void test_x86_64(void **state)
{
	struct kernel_layout l;

	(void)state;
	kernel_layout_make(&l, &paging_x86_64_4level, GiB);
	assert_int_equal(l.region[0].last, 0x00007fffffffffffUL);
	assert_int_equal(l.page_offset, 0xffff888000000000UL);
	assert_int_equal(bytes_of(&l, KL_DIRECT), 1UL << 46);
	assert_int_equal(l.vmalloc_start, 0xffffc90000000000UL);
	assert_int_equal(l.vmalloc_end - l.vmalloc_start, 1UL << 45);
	assert_int_equal(l.vmemmap, 0xffffea0000000000UL);
	assert_int_equal(bytes_of(&l, KL_VMEMMAP), 1UL << 40);
	assert_int_equal(start_of(&l, KL_CPU_ENTRY), 0xfffffe0000000000UL);
	assert_int_equal(l.text, 0xffffffff80000000UL);
	assert_int_equal(bytes_of(&l, KL_TEXT), 512 * MiB);
	assert_int_equal(start_of(&l, KL_MODULES), 0xffffffffa0000000UL);
	assert_int_equal(start_of(&l, KL_VSYSCALL), 0xffffffffff600000UL);
	assert_false(l.highmem);
	assert_int_equal(l.nr_pkmap, 0);
}

static void test_la57(void **state)
{
	struct kernel_layout l;

	(void)state;
	kernel_layout_make(&l, &paging_x86_64_5level, GiB);
	assert_int_equal(l.region[0].last, 0x00ffffffffffffffUL);
	assert_int_equal(l.page_offset, 0xff11000000000000UL);
	assert_int_equal(bytes_of(&l, KL_DIRECT), 1UL << 55);
	assert_int_equal(l.vmalloc_start, 0xffa0000000000000UL);
	assert_int_equal(l.vmemmap, 0xffd4000000000000UL);
	assert_int_equal(l.text, 0xffffffff80000000UL);
}

static void test_arm64(void **state)
{
	struct kernel_layout l;

	(void)state;
	kernel_layout_make(&l, &paging_arm64, GiB);
	assert_int_equal(l.region[0].last, 0x0000ffffffffffffUL);
	assert_int_equal(l.page_offset, 0xffff000000000000UL);
	assert_int_equal(start_of(&l, KL_MODULES), 0xffff800000000000UL);
	assert_int_equal(l.vmalloc_start, 0xffff800008000000UL);
	assert_int_equal(l.vmemmap, 0xfffffc0000000000UL);
	assert_int_equal(start_of(&l, KL_FIXMAP), 0xfffffbfff0000000UL);
	assert_true(kernel_root_apart(l.fmt));
}

/* Low memory, the gap and vmalloc on machines of different size. */
static void check_x86_32(const struct paging_format *f, u64 ram, u64 low)
{
	struct kernel_layout l;

	kernel_layout_make(&l, f, ram);
	assert_true(l.highmem);
	assert_int_equal(l.page_offset, 0xc0000000UL);
	assert_int_equal(l.low_end, low);
	assert_int_equal(start_of(&l, KL_GAP), 0xc0000000UL + low);
	assert_int_equal(bytes_of(&l, KL_GAP), 8 * MiB);
	assert_int_equal(l.vmalloc_start, 0xc0000000UL + low + 8 * MiB);
	assert_int_equal(l.vmalloc_end, l.pkmap_base - 2 * PAGE_SIZE);
	assert_true(IS_ALIGNED(l.pkmap_base, pt_span(f, 1)));
	assert_int_equal(l.nr_pkmap, f == &paging_x86_32 ? 1024 : 512);
	assert_int_equal(bytes_of(&l, KL_PKMAP), l.nr_pkmap * PAGE_SIZE);
	assert_int_equal(l.fixaddr_top, 0xfffff000UL);
	/* With all of low memory, 128 MiB less 8 are left for the rest. */
	assert_true(l.vmalloc_end - l.vmalloc_start >= 100 * MiB);
}

static void test_x86_32(void **state)
{
	const struct paging_format *f[] = {&paging_x86_32, &paging_x86_32_pae};

	(void)state;
	for (u32 i = 0; i < 2; i++) {
		check_x86_32(f[i], 16 * MiB, 16 * MiB);
		check_x86_32(f[i], 512 * MiB, 512 * MiB);
		check_x86_32(f[i], 896 * MiB, 896 * MiB);
		check_x86_32(f[i], 2 * GiB, 896 * MiB);
	}
}

/* Slots are pages of the fixmap, from the top down, each with its own. */
static void test_fixmap(void **state)
{
	(void)state;
	for (u32 i = 0; paging_format_nth(i); i++) {
		const struct kl_region *fix;
		struct kernel_layout l;

		kernel_layout_make(&l, paging_format_nth(i), GiB);
		fix = kernel_layout_region(&l, KL_FIXMAP);
		assert_true(l.nr_fix >= FIX_KMAP_BEGIN);
		for (u32 slot = 1; slot < l.nr_fix; slot++) {
			kva_t va = fix_to_virt(&l, slot);

			assert_int_equal(virt_to_fix(&l, va), slot);
			assert_int_equal(virt_to_fix(&l, va + 4095), slot);
			assert_true(va >= fix->start &&
				    va + PAGE_SIZE - 1 <= fix->last);
			assert_int_equal(fix_to_virt(&l, slot - 1),
					 va + PAGE_SIZE);
		}
	}
}

static void test_names(void **state)
{
	(void)state;
	for (u32 i = 0; i < KL_NR_KINDS; i++) {
		assert_true(kl_kind_name((enum kl_kind)i)[0]);
		assert_true(kl_kind_text((enum kl_kind)i)[0]);
		for (u32 k = 0; k < i; k++)
			assert_string_not_equal(kl_kind_name((enum kl_kind)i),
						kl_kind_name((enum kl_kind)k));
	}
	assert_string_equal(fix_slot_name(FIX_APIC_BASE), "FIX_APIC_BASE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cover),  cmocka_unit_test(test_x86_64),
		cmocka_unit_test(test_la57),   cmocka_unit_test(test_arm64),
		cmocka_unit_test(test_x86_32), cmocka_unit_test(test_fixmap),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
