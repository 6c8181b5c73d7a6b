/* SPDX-License-Identifier: MIT */
/*
 * Page-table formats: raw entries written out by hand from the manuals'
 * tables, there and back at random, every predicate and modifier, what is
 * not a translation, limits, names and addresses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/paging.h"
#include "base_seed.h"

#define P  X86_PTE_P
#define RW X86_PTE_RW
#define US X86_PTE_US
#define A  X86_PTE_A
#define D  X86_PTE_D
#define PS X86_PTE_PS
#define G  X86_PTE_G
#define NX X86_PTE_NX

#define F32  (&paging_x86_32)
#define FPAE (&paging_x86_32_pae)
#define F64  (&paging_x86_64_4level)
#define F57  (&paging_x86_64_5level)
#define FARM (&paging_arm64)

static const struct paging_format *const all[] = {F32, FPAE, F64, F57, FARM};

#define FOR_FORMATS(f)                                        \
	for (u32 f##_i = 0; f##_i < ARRAY_SIZE(all); f##_i++) \
		for (const struct paging_format *f = all[f##_i]; f; f = NULL)

/* ---- shape -------------------------------------------------------------- */

static const struct shape {
	const struct paging_format *fmt;
	const char *name, *level_names;
	u32 entry_bytes, va_bits, pa_bits, large_levels;
	u64 span[PT_MAX_LEVELS];
	u32 entries[PT_MAX_LEVELS];
} shapes[] = {
	{F32,
	 "x86-32",
	 "PTE PGD",
	 4,
	 32,
	 32,
	 2,
	 {0x1000, 0x400000},
	 {1024, 1024}},
	{FPAE,
	 "x86-32-pae",
	 "PTE PMD PGD",
	 8,
	 32,
	 52,
	 2,
	 {0x1000, 0x200000, 0x40000000},
	 {512, 512, 4}},
	{F64,
	 "x86-64",
	 "PTE PMD PUD PGD",
	 8,
	 48,
	 52,
	 6,
	 {0x1000, 0x200000, 0x40000000, 0x8000000000},
	 {512, 512, 512, 512}},
	{F57,
	 "x86-64-la57",
	 "PTE PMD PUD P4D PGD",
	 8,
	 57,
	 52,
	 6,
	 {0x1000, 0x200000, 0x40000000, 0x8000000000, 0x1000000000000},
	 {512, 512, 512, 512, 512}},
	{FARM,
	 "arm64",
	 "PTE PMD PUD PGD",
	 8,
	 48,
	 48,
	 6,
	 {0x1000, 0x200000, 0x40000000, 0x8000000000},
	 {512, 512, 512, 512}},
};

/* An address whose index is 1 in every table, at offset 0x123. */
static uva_t ones(const struct shape *s)
{
	uva_t va = 0x123;

	for (u32 l = 0; l < s->fmt->levels; l++)
		va += s->span[l];
	return va;
}

static void shape_of_formats(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(shapes); i++) {
		const struct shape *s = &shapes[i];
		char names[64] = "";
		u64 reach = PAGE_SIZE;

		assert_ptr_equal(paging_format_nth(i), s->fmt);
		assert_ptr_equal(paging_format_by_name(s->name), s->fmt);
		assert_int_equal(s->fmt->entry_bytes, s->entry_bytes);
		assert_int_equal(s->fmt->va_bits, s->va_bits);
		assert_int_equal(s->fmt->pa_bits, s->pa_bits);
		assert_int_equal(s->fmt->large_levels, s->large_levels);
		for (int l = 0; l < s->fmt->levels; l++) {
			assert_int_equal(pt_span(s->fmt, l), s->span[l]);
			assert_int_equal(pt_span(s->fmt, l), reach);
			assert_int_equal(pt_entries(s->fmt, l), s->entries[l]);
			assert_int_equal(pt_index(s->fmt, l, ones(s)), 1);
			assert_int_equal(pt_index(s->fmt, l, ~0UL),
					 s->entries[l] - 1);
			assert_int_equal(pt_leaf_allowed(s->fmt, l),
					 l == 0 || (s->large_levels >> l & 1));
			reach = s->span[l] * s->entries[l];
			strcat(strcat(names, l ? " " : ""),
			       pt_level_name(s->fmt, l));
		}
		assert_string_equal(names, s->level_names);
		assert_int_equal(s->span[s->fmt->levels - 1] *
					 s->entries[s->fmt->levels - 1],
				 1UL << s->va_bits);
	}
	assert_null(paging_format_nth(ARRAY_SIZE(shapes)));
	assert_null(paging_format_by_name("x86-16"));
	assert_null(paging_format_by_name(""));
}

static void canonical_addresses(void **state)
{
	static const struct {
		const struct paging_format *fmt;
		uva_t va;
		bool ok;
	} rows[] = {
		{F32, 0, true},
		{F32, 0xffffffff, true},
		{F32, 0x100000000, false},
		{F32, ~0UL, false},
		{FPAE, 0xffffffff, true},
		{FPAE, 0x100000000, false},
		{F64, 0x00007fffffffffff, true},
		{F64, 0x0000800000000000, false},
		{F64, 0xffff7fffffffffff, false},
		{F64, 0xffff800000000000, true},
		{F64, ~0UL, true},
		{F64, 0x0100000000000000, false},
		{F57, 0x0000800000000000, true},
		{F57, 0x00ffffffffffffff, true},
		{F57, 0x0100000000000000, false},
		{F57, 0x0200000000000000, false},
		{F57, 0xfdffffffffffffff, false},
		{F57, 0xfeffffffffffffff, false},
		{F57, 0xff00000000000000, true},
		{FARM, 0x0000ffffffffffff, true},
		{FARM, 0x0001000000000000, false},
		{FARM, 0xfffeffffffffffff, false},
		{FARM, 0xffff000000000000, true},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(paging_canonical(rows[i].fmt, rows[i].va),
				 rows[i].ok);
	FOR_FORMATS(f)
	{
		assert_true(paging_canonical(f, f->user_end - 1));
		assert_true(paging_canonical(f, f->kernel_start));
		assert_true(f->user_end <= f->kernel_start);
	}
}

/* ---- raw entries by hand ------------------------------------------------ */

#define LINK X86_TABLE_LINK
#define SOFT (X86_PTE_SPECIAL | X86_PTE_UFFD_WP | X86_PTE_SOFTDIRTY)

/* Each row both ways: VAL as the manager carries it, RAW as in memory. */
static const struct raw_row {
	const struct paging_format *fmt;
	int level;
	u64 val, raw;
} raw_rows[] = {
	/* SDM table 4-6: 4 KiB page of 32-bit paging. */
	{F32, 0, 0x12345000 | P | RW | US | A | D, 0x12345067},
	{F32, 0, 0xfffff000 | P, 0xfffff001},
	{F32, 0, 0x1000 | P | X86_PTE_PWT, 0x1009},
	{F32, 0, 0x1000 | P | X86_PTE_PCD, 0x1011},
	{F32, 0, 0x1000 | P | X86_PTE_PAT, 0x1081},
	{F32, 0, 0x1000 | P | G, 0x1101},
	{F32, 0, 0x1000 | P | SOFT, 0x1e01},
	/* Table 4-5: a page table. */
	{F32, 1, 0xabcde000 | LINK, 0xabcde027},
	/* Table 4-4: 4 MiB page; bits 20..13 are address bits 39..32. */
	{F32, 1, 0x00400000 | P | RW | US | A | D | PS, 0x004000e7},
	{F32, 1, 0xffc00000 | P | PS | G, 0xffc00181},
	{F32, 1, 0x100000000 | P | PS, 0x00002081},
	{F32, 1, 0x8000400000 | P | PS, 0x00500081},
	{F32, 1, 0xffffc00000 | P | RW | PS, 0xffdfe083},
	{F32, 1, 0x00400000 | P | PS | X86_PTE_PAT_LARGE, 0x00401081},
	{F32, 1, 0x2a00400000 | P | PS | X86_PTE_PAT_LARGE, 0x00455081},
	/* Table 4-8: PAE's page-directory pointers have no rights. */
	{FPAE, 2, 0x00005000 | LINK, 0x00005001},
	{FPAE, 2, 0xabcde000 | LINK | X86_PTE_PWT | X86_PTE_PCD, 0xabcde019},
	/* Tables 4-9 to 4-11. */
	{FPAE, 1, 0xfedcb000 | LINK, 0xfedcb027},
	{FPAE, 1, 0xf00600000 | P | RW | US | A | D | PS, 0x0000000f006000e7},
	{FPAE, 1, 0x600000 | P | PS | NX, 0x8000000000600081},
	{FPAE, 0, 0xfffffffff000 | P | US | NX, 0x8000fffffffff005},
	{FPAE, 0, 0x123456000 | P | RW | D, 0x0000000123456043},
	/* Tables 4-15 to 4-20. */
	{F64, 3, 0xfffff000 | LINK, 0x00000000fffff027},
	{F64, 2, 0x40000000 | P | RW | US | PS, 0x0000000040000087},
	{F64, 2, 0x40000000 | P | PS | X86_PTE_PAT_LARGE | G,
	 0x0000000040001181},
	{F64, 1, 0x200000 | P | RW | A | D | PS | NX, 0x80000000002000e3},
	{F64, 0, 0xffffffffff000 | P | RW | US | A | D, 0x000ffffffffff067},
	{F64, 0, 0x1000 | P | NX | G | SOFT, 0x8000000000001f01},
	{F57, 4, 0x7000 | LINK, 0x7027},
	/* Arm ARM D8.3: table, block and page descriptors. */
	{FARM, 3, 0xabcdef012000 | LINK, 0x0000abcdef012003},
	{FARM, 1, 0x5000 | LINK, 0x5003},
	/* User page, written: AP 01, DBM, AF, nG, inner shareable, PXN. */
	{FARM, 0, 0x12345000 | P | RW | US | A | D, 0x0028000012345f43},
	/* Not written yet: AP[2]. */
	{FARM, 0, 0x12345000 | P | RW | US | A, 0x0028000012345fc3},
	/* Read-only: no DBM. Old: no AF. */
	{FARM, 0, 0x12345000 | P | US | A, 0x0020000012345fc3},
	{FARM, 0, 0x12345000 | P | US, 0x0020000012345bc3},
	/* Not executable: UXN too. */
	{FARM, 0, 0x12345000 | P | US | A | NX, 0x0060000012345fc3},
	/* Kernel: AP[1] clear, UXN; global: nG clear; with NX: PXN too. */
	{FARM, 0, 0x1000 | P | RW | A | D | G, 0x0048000000001703},
	{FARM, 0, 0x1000 | P | RW | A | D | G | NX, 0x0068000000001703},
	{FARM, 0, 0x1000 | P | A | G, 0x0040000000001783},
	/* Dirty but not writable is bit 55; other software bits. */
	{FARM, 0, 0x1000 | P | US | A | D, 0x00a0000000001fc3},
	{FARM, 0, 0x1000 | P | US | A | X86_PTE_SPECIAL, 0x0120000000001fc3},
	{FARM, 0, 0x1000 | P | US | A | X86_PTE_UFFD_WP, 0x0220000000001fc3},
	{FARM, 0, 0x1000 | P | US | A | X86_PTE_SOFTDIRTY, 0x8020000000001fc3},
	/* PROT_NONE is bit 58, with bit 0 clear. */
	{FARM, 0, 0x1000 | G | US | A, 0x0420000000001fc2},
	/* AttrIndx 1 and 2. */
	{FARM, 0, 0x1000 | P | US | A | X86_PTE_PWT, 0x0020000000001fc7},
	{FARM, 0, 0x1000 | P | US | A | X86_PTE_PCD, 0x0020000000001fcb},
	/* Blocks of 2 MiB and 1 GiB: bit 1 clear. */
	{FARM, 1, 0x200000 | P | RW | US | A | D | PS, 0x0028000000200f41},
	{FARM, 2, 0x40000000 | P | US | A | PS, 0x0020000040000fc1},
	/* Swap: type 3, offset 0x1234, in each format's places. */
	{F32, 0, 3 << 9 | 0x1234UL << 14, 0x00246806},
	{F64, 0, 3 << 9 | 0x1234UL << 14, 0x00000000048d0600},
	{FPAE, 0, 3 << 9 | 0x1234UL << 14, 0x00000000048d0600},
	{FARM, 0, 3 << 9 | 0x1234UL << 14, 0x000000000012340c},
};

static void raw_by_hand(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(raw_rows); i++) {
		const struct raw_row *r = &raw_rows[i];
		u64 raw = pte_encode(r->fmt, r->level, __pte(r->val));
		pte_t e = pte_decode(r->fmt, r->level, r->raw);

		if (raw != r->raw || e.val != r->val)
			print_error("row %u, %s level %d: raw %#lx for %#lx, "
				    "value %#lx for %#lx\n",
				    i, r->fmt->name, r->level, (long)raw,
				    (long)r->raw, (long)e.val, (long)r->val);
		assert_true(raw == r->raw && e.val == r->val);
	}
}

static void none_is_zero(void **state)
{
	(void)state;
	FOR_FORMATS(f)
	{
		for (int l = 0; l < f->levels; l++) {
			assert_int_equal(pte_encode(f, l, __pte(0)), 0);
			assert_true(pte_none(pte_decode(f, l, 0)));
		}
	}
}

/* Arm descriptors that the manager does not write but a table may hold. */
static void arm_decoding(void **state)
{
	pte_t e;

	(void)state;
	/* Without DBM, AP[2] clear: writable and as dirty as it gets. */
	e = pte_decode(FARM, 0, 0x1743);
	assert_true(pte_write(e) && pte_dirty(e) && pte_global(e));
	/* A kernel page without PXN: executable, whatever UXN says. */
	assert_true(pte_exec(pte_decode(FARM, 0, 0x0040000000001703)));
	assert_true(pte_exec(pte_decode(FARM, 0, 0x1703)));
	assert_false(pte_exec(pte_decode(FARM, 0, 0x0020000000001703)));
	/* A user page: UXN decides. */
	assert_true(pte_exec(pte_decode(FARM, 0, 0x0020000000001743)));
	assert_false(pte_exec(pte_decode(FARM, 0, 0x0040000000001743)));
	/* Rights in a table descriptor (bits 59..63) are dropped. */
	assert_int_equal(pte_decode(FARM, 1, 0xf800000000005003).val,
			 0x5000 | LINK);
}

/* ---- at random ---------------------------------------------------------- */

static pte_t random_present(const struct paging_format *f, int level,
			    struct prng *r)
{
	bool large = level && pt_leaf_allowed(f, level) && prng_one_in(r, 2);
	u64 frame = prng_u64(r) & X86_PTE_FRAME, val;
	/* PAE's root may have every width that its tables have. */
	u64 limit =
		1UL << (f->kind == PAGING_X86_32 && large ? 40 : f->pa_bits);

	frame &= limit - 1;
	if (level && !large)
		return __pte(frame | LINK);
	frame = ALIGN_DOWN(frame, pt_span(f, level));
	val = frame | (prng_u64(r) & 0xe7fUL) | (large ? PS : 0);
	val &= ~(u64)(X86_PTE_P | G);
	if (f->kind == PAGING_ARM64)
		val &= ~(X86_PTE_PWT | X86_PTE_PCD);
	val |= f->has_nx && prng_one_in(r, 2) ? NX : 0;
	/* PROT_NONE is bit 8 without P. */
	if (prng_one_in(r, 4))
		return __pte(val | X86_PTE_PROTNONE);
	return __pte(val | P | (prng_one_in(r, 4) ? G : 0));
}

static pte_t random_absent(const struct paging_format *f, struct prng *r)
{
	u64 offset = prng_u64(r) & ((1UL << f->swp_offset_bits) - 1);
	u32 type = (u32)prng_below(r, SWP_NR_TYPES);

	return swp_entry_to_pte(swp_entry(type, offset | 1));
}

static void there_and_back(void **state)
{
	u64 n = test_iters(200000);
	struct prng r;

	(void)state;
	test_seed(&r, "there_and_back");
	FOR_FORMATS(f)
	{
		for (u64 i = 0; i < n / 5; i++) {
			int l = (int)prng_below(&r, f->levels);
			pte_t e = l || prng_one_in(&r, 2)
					  ? random_present(f, l, &r)
					  : random_absent(f, &r);
			u64 raw = pte_encode(f, l, e);

			assert_true(pte_same(pte_decode(f, l, raw), e));
			assert_true(raw != 0);
			/* The CPU's bit 0 says what the manager's does. */
			assert_int_equal(raw & 1, pte_valid(e));
			assert_true(f->entry_bytes == 8 || raw >> 32 == 0);
		}
	}
}

/* What the format has no bit for is gone after the first encoding. */
static void dropped_at_once(void **state)
{
	pte_t e = __pte(0x5000 | P | RW | NX);
	u64 raw = pte_encode(F32, 0, e);

	(void)state;
	assert_int_equal(raw, 0x5003);
	e = pte_decode(F32, 0, raw);
	assert_true(pte_exec(e));
	assert_int_equal(pte_encode(F32, 0, e), raw);
}

/* ---- predicates and modifiers ------------------------------------------- */

static const struct {
	const char *name;
	pte_t (*change)(pte_t e);
	bool (*is)(pte_t e);
	u64 bit;
	bool set;   /* the bit, by the change */
	bool holds; /* the predicate, then */
} changes[] = {
	{"mkwrite", pte_mkwrite, pte_write, RW, true, true},
	{"wrprotect", pte_wrprotect, pte_write, RW, false, false},
	{"mkdirty", pte_mkdirty, pte_dirty, D, true, true},
	{"mkclean", pte_mkclean, pte_dirty, D, false, false},
	{"mkyoung", pte_mkyoung, pte_young, A, true, true},
	{"mkold", pte_mkold, pte_young, A, false, false},
	{"mkspecial", pte_mkspecial, pte_special, X86_PTE_SPECIAL, true, true},
	{"mkhuge", pte_mkhuge, pte_huge, PS, true, true},
	{"mkglobal", pte_mkglobal, pte_global, G, true, true},
	{"mkexec", pte_mkexec, pte_exec, NX, false, true},
	{"mkuffd_wp", pte_mkuffd_wp, pte_uffd_wp, X86_PTE_UFFD_WP, true, true},
	{"clear_uffd_wp", pte_clear_uffd_wp, pte_uffd_wp, X86_PTE_UFFD_WP,
	 false, false},
	{"mksoft_dirty", pte_mksoft_dirty, pte_soft_dirty, X86_PTE_SOFTDIRTY,
	 true, true},
	{"clear_soft_dirty", pte_clear_soft_dirty, pte_soft_dirty,
	 X86_PTE_SOFTDIRTY, false, false},
};

static void modifiers(void **state)
{
	struct prng r;

	(void)state;
	test_seed(&r, "modifiers");
	for (u32 i = 0; i < ARRAY_SIZE(changes) * 1000; i++) {
		u32 c = i % ARRAY_SIZE(changes);
		pte_t e = __pte(prng_u64(&r) | P), after;

		/* Dirty is soft-dirty, too: have that bit in any case. */
		if (changes[c].change == pte_mkdirty)
			assert_true(pte_soft_dirty(pte_mkdirty(e)));
		if (changes[c].change == pte_mkdirty)
			e = pte_mksoft_dirty(e);
		after = changes[c].change(e);
		assert_int_equal(after.val, changes[c].set
						    ? e.val | changes[c].bit
						    : e.val & ~changes[c].bit);
		assert_int_equal(changes[c].is(after), changes[c].holds);
		/* The predicate looks at that bit and at no other. */
		after.val ^= changes[c].bit;
		assert_int_equal(changes[c].is(after), !changes[c].holds);
		after.val ^= prng_u64(&r) & ~(changes[c].bit | P);
		assert_int_equal(changes[c].is(after), !changes[c].holds);
	}
}

static void kinds_of_entries(void **state)
{
	static const struct {
		u64 val;
		bool none, present, valid, protnone, swap, global;
	} rows[] = {
		{0, true, false, false, false, false, false},
		{P, false, true, true, false, false, false},
		{P | G, false, true, true, false, false, true},
		{0x1000 | X86_PTE_PROTNONE, false, true, false, true, false,
		 false},
		{1UL << X86_SWP_OFFSET_SHIFT, false, false, false, false, true,
		 false},
		{1UL << X86_SWP_TYPE_SHIFT, false, false, false, false, true,
		 false},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		pte_t e = __pte(rows[i].val);

		assert_int_equal(pte_none(e), rows[i].none);
		assert_int_equal(pte_present(e), rows[i].present);
		assert_int_equal(pte_valid(e), rows[i].valid);
		assert_int_equal(pte_protnone(e), rows[i].protnone);
		assert_int_equal(pte_swap(e), rows[i].swap);
		assert_int_equal(pte_global(e), rows[i].global);
	}
	assert_true(pte_user(__pte(US)) && !pte_user(__pte(~US)));
	assert_true(pte_same(__pte(5), __pte(5)));
	assert_false(pte_same(__pte(5), __pte(4)));
	assert_int_equal(pte_pfn(__pte(~0UL)), 0xffffffffffUL);
	assert_int_equal(pte_pfn(__pte(~X86_PTE_FRAME)), 0);
	assert_int_equal(pte_make(0x123, __pgprot(P | NX)).val,
			 0x123000UL | P | NX);
	assert_int_equal(pgprot_val(__pgprot(7)), 7);
	assert_int_equal(pte_val(__pte(7)), 7);
}

static void modify_keeps(void **state)
{
	u64 kept = 0x123000 | A | D | SOFT;

	(void)state;
	/* All rights go, frame, A, D and software bits stay. */
	assert_int_equal(
		pte_modify(__pte(kept | P | RW | US | NX | G), __pgprot(P | US))
			.val,
		kept | P | US);
	/* To PROT_NONE and back. */
	assert_int_equal(
		pte_modify(__pte(kept | P | RW), __pgprot(X86_PTE_PROTNONE))
			.val,
		kept | X86_PTE_PROTNONE);
}

/* ---- entries above the leaf tables -------------------------------------- */

#define TYPED(t)                                                     \
	static void typed_##t(void **state)                          \
	{                                                            \
		(void)state;                                         \
		assert_true(t##_none(__##t(0)));                     \
		assert_false(t##_none(__##t(P)));                    \
		assert_true(t##_present(__##t(P)));                  \
		assert_true(t##_present(__##t(X86_PTE_PROTNONE)));   \
		assert_false(t##_present(__##t(RW | US)));           \
		assert_true(t##_leaf(__##t(P | PS)));                \
		assert_true(t##_leaf(__##t(X86_PTE_PROTNONE | PS))); \
		assert_false(t##_leaf(__##t(P)));                    \
		assert_false(t##_leaf(__##t(PS)));                   \
		assert_int_equal(t##_pfn(__##t(0x5000 | LINK)), 5);  \
		assert_int_equal(t##_val(__##t(0x77)), 0x77);        \
		assert_int_equal(t##_pte(__##t(0x77)).val, 0x77);    \
		assert_int_equal(pte_##t(__pte(0x77)).val, 0x77);    \
		/* Links of user and kernel tables, large leaves. */ \
		assert_false(t##_bad(__##t(0x5000 | LINK)));         \
		assert_false(t##_bad(__##t(0x5000 | (LINK & ~US)))); \
		assert_false(t##_bad(__##t(0x200000 | P | PS)));     \
		/* Anything else is bad. */                          \
		assert_true(t##_bad(__##t(0x5000 | (LINK & ~RW))));  \
		assert_true(t##_bad(__##t(0x5000 | (LINK & ~A))));   \
		assert_true(t##_bad(__##t(0x5000 | (LINK & ~P))));   \
		assert_true(t##_bad(__##t(0x5000 | LINK | NX)));     \
		assert_true(t##_bad(__##t(0x5000 | LINK | BIT(9)))); \
		assert_true(t##_bad(__##t(0)));                      \
	}
TYPED(pmd)
TYPED(pud)
TYPED(p4d)
TYPED(pgd)

/* ---- not present -------------------------------------------------------- */

/* What a page's entry says beside its frame goes to swap and comes back. */
static void swap_bits(swp_entry_t e)
{
	pte_t plain = swp_entry_to_pte(e), page = __pte(0x5000 | P | US);
	pte_t soft = pte_swp_mksoft_dirty(plain);
	pte_t both = pte_swp_mkuffd_wp(soft);

	assert_false(pte_swp_soft_dirty(plain) || pte_swp_uffd_wp(plain));
	assert_true(pte_swp_soft_dirty(soft) && !pte_swp_uffd_wp(soft));
	assert_true(pte_swp_soft_dirty(both) && pte_swp_uffd_wp(both));
	assert_int_equal(pte_to_swp_entry(both).val, e.val);
	assert_int_equal(pte_swp_clear_uffd_wp(both).val, soft.val);
	assert_int_equal(pte_swp_clear_soft_dirty(soft).val, plain.val);
	assert_true(pte_swap(both));
	assert_int_equal(pte_swp_keep(plain, page).val, plain.val);
	assert_int_equal(pte_swp_keep(plain, pte_mksoft_dirty(page)).val,
			 soft.val);
	assert_int_equal(pte_swp_give(page, plain).val, page.val);
	assert_int_equal(pte_swp_give(page, both).val,
			 pte_mkuffd_wp(pte_mksoft_dirty(page)).val);
	FOR_FORMATS(f)
	{
		pte_t small = pte_swp_mkuffd_wp(swp_entry_to_pte(
			swp_entry(5, (1UL << f->swp_offset_bits) - 2)));
		u64 raw = pte_encode(f, 0, small);

		assert_int_equal(pte_decode(f, 0, raw).val, small.val);
		small = pte_swp_clear_uffd_wp(pte_swp_mksoft_dirty(small));
		raw = pte_encode(f, 0, small);
		assert_int_equal(pte_decode(f, 0, raw).val, small.val);
	}
}

/* A migration entry keeps what the CPU noted where there is room for it. */
static void migration_bits(void)
{
	pte_t plain = swp_entry_to_pte(make_migration_entry(0x1234, true));
	u64 noted[] = {0, X86_PTE_A, X86_PTE_D, X86_PTE_A | X86_PTE_D};

	for (u32 i = 0; i < ARRAY_SIZE(noted); i++)
		FOR_FORMATS(f)
		{
			pte_t page = pte_make(0x1234, __pgprot(X86_PTE_P));
			pte_t back, e = pte_mig_keep(
					    plain, __pte(page.val | noted[i]));

			assert_true(is_migration_entry(pte_to_swp_entry(e)));
			back = pte_decode(f, 0, pte_encode(f, 0, e));
			assert_int_equal(pte_to_swp_entry(back).val,
					 pte_to_swp_entry(plain).val);
			assert_false(pte_present(back));
			back = pte_mig_give(page, pte_swp_wrprotect(back));
			assert_int_equal(back.val & ~page.val,
					 f->kind == PAGING_X86_32 ? 0
								  : noted[i]);
		}
}

static void swap_entries(void **state)
{
	swp_entry_t e = swp_entry(5, 0x123456789a);

	(void)state;
	assert_int_equal(swp_type(e), 5);
	assert_int_equal(swp_offset(e), 0x123456789a);
	assert_int_equal(pte_to_swp_entry(swp_entry_to_pte(e)).val, e.val);
	swap_bits(e);
	assert_true(is_swap_area_entry(e) && !is_migration_entry(e) &&
		    !is_hwpoison_entry(e) && !is_pte_marker_entry(e));
	assert_true(is_swap_area_entry(swp_entry(SWP_NR_AREAS - 1, 1)));
	e = make_migration_entry(77, false);
	assert_true(is_migration_entry(e) && !is_writable_migration_entry(e));
	assert_int_equal(migration_entry_pfn(e), 77);
	assert_false(is_swap_area_entry(e));
	e = make_migration_entry(77, true);
	assert_true(is_migration_entry(e) && is_writable_migration_entry(e));
	assert_int_equal(migration_entry_pfn(e), 77);
	migration_bits();
	e = make_hwpoison_entry(78);
	assert_true(is_hwpoison_entry(e) && !is_migration_entry(e));
	assert_int_equal(swp_offset(e), 78);
	assert_false(is_swap_area_entry(e));
	e = make_pte_marker_entry(PTE_MARKER_UFFD_WP);
	assert_true(is_pte_marker_entry(e) && !is_hwpoison_entry(e));
	assert_int_equal(swp_offset(e), PTE_MARKER_UFFD_WP);
	assert_false(is_swap_area_entry(e));
}

/* Does FN end the process by a failed check? */
static bool dies(const struct paging_format *f, int level, pte_t e)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(0);
		signal(SIGABRT, SIG_DFL);
		pte_encode(f, level, e);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void limits(void **state)
{
	(void)state;
	FOR_FORMATS(f)
	{
		u64 end = 1UL << f->swp_offset_bits;
		pte_t last = swp_entry_to_pte(swp_entry(1, end - 1));

		assert_true(pte_same(pte_decode(f, 0, pte_encode(f, 0, last)),
				     last));
		if (f->kind == PAGING_X86_64 || f->kind == PAGING_X86_PAE)
			continue; /* the manager's own form */
		assert_true(dies(f, 0, swp_entry_to_pte(swp_entry(1, end))));
		assert_false(dies(f, 0, last));
		assert_true(dies(f, 0, __pte(1UL << f->pa_bits | P)));
		assert_false(dies(f, 0, __pte(1UL << (f->pa_bits - 1) | P)));
	}
	assert_true(dies(F32, 1, __pte(1UL << 40 | P | PS)));
	assert_false(dies(F32, 1, __pte(1UL << 39 | P | PS)));
	/* PAE's root has links only. */
	assert_true(dies(FPAE, 2, __pte(0x40000000 | P | PS)));
	assert_true(dies(FPAE, 2, swp_entry_to_pte(swp_entry(1, 1))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shape_of_formats),
		cmocka_unit_test(canonical_addresses),
		cmocka_unit_test(raw_by_hand),
		cmocka_unit_test(none_is_zero),
		cmocka_unit_test(arm_decoding),
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(dropped_at_once),
		cmocka_unit_test(modifiers),
		cmocka_unit_test(kinds_of_entries),
		cmocka_unit_test(modify_keeps),
		cmocka_unit_test(typed_pmd),
		cmocka_unit_test(typed_pud),
		cmocka_unit_test(typed_p4d),
		cmocka_unit_test(typed_pgd),
		cmocka_unit_test(swap_entries),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests_name("paging", tests, NULL, NULL);
}
