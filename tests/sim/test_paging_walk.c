/* SPDX-License-Identifier: MIT */
/*
 * The table walk on tables written by hand, in every format: each reason with
 * its error code, reserved bits one by one, every combination of rights
 * against the rules as the manual words them, accessed and dirty bits, large
 * pages, what is not a translation, and memory that is not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "arch/walk.h"
#include "base_seed.h"
#include "sim.h"

#define P    X86_PTE_P
#define RW   X86_PTE_RW
#define US   X86_PTE_US
#define A    X86_PTE_A
#define D    X86_PTE_D
#define PS   X86_PTE_PS
#define NX   X86_PTE_NX
#define ALL  (P | RW | US)
#define LINK X86_TABLE_LINK

#define F32  (&paging_x86_32)
#define FPAE (&paging_x86_32_pae)
#define F64  (&paging_x86_64_4level)
#define F57  (&paging_x86_64_5level)
#define FARM (&paging_arm64)

static const struct paging_format *const all[] = {F32, FPAE, F64, F57, FARM};
#define NR_FORMATS ARRAY_SIZE(all)

/* ---- memory: a few tables from address 0x1000 --------------------------- */

#define TABLES 8
#define ROOT   0x1000UL

static u64 memory[TABLES][512];
static u32 reads, updates;
static u64 change_once; /* xored into an entry under the first update */

static void *at(phys_addr_t pa)
{
	return (char *)memory + (pa - ROOT);
}

static bool there(phys_addr_t pa)
{
	return pa >= ROOT && pa < ROOT + sizeof(memory);
}

static bool mem_read(void *arg, const struct paging_format *f, phys_addr_t pa,
		     u64 *raw)
{
	assert_ptr_equal(arg, memory);
	reads++;
	if (!there(pa))
		return false;
	*raw = pt_raw_read(f, at(pa));
	return true;
}

static bool mem_update(void *arg, const struct paging_format *f, phys_addr_t pa,
		       u64 old, u64 raw)
{
	assert_ptr_equal(arg, memory);
	updates++;
	if (change_once) {
		*(u32 *)at(pa) ^= (u32)change_once;
		change_once = 0;
	}
	return pt_raw_cmpxchg(f, at(pa), &old, raw);
}

static const struct paging_mem mem = {mem_read, mem_update, memory};
static const struct paging_mem look = {mem_read, NULL, memory};

static void put(const struct paging_format *f, phys_addr_t pa, u64 raw)
{
	if (f->entry_bytes == 8)
		*(u64 *)at(pa) = raw;
	else
		*(u32 *)at(pa) = (u32)raw;
}

static u64 get(const struct paging_format *f, phys_addr_t pa)
{
	return pt_raw_read(f, at(pa));
}

/* ---- one path of tables ------------------------------------------------- */

/* An address whose index is 3 at each level, but 1 in the root: low half. */
static uva_t some_va(const struct paging_format *f)
{
	uva_t va = 0x678;

	for (int l = 0; l < f->levels - 1; l++)
		va |= 3UL << f->shift[l];
	return va | 1UL << f->shift[f->levels - 1];
}

static phys_addr_t table_of(const struct paging_format *f, int level)
{
	return ROOT + PAGE_SIZE * (u64)(f->levels - 1 - level);
}

/* Where the walk to some_va() reads at LEVEL. */
static phys_addr_t place(const struct paging_format *f, int level)
{
	return table_of(f, level) +
	       (u64)pt_index(f, level, some_va(f)) * f->entry_bytes;
}

static void put_value(const struct paging_format *f, int level, u64 val)
{
	put(f, place(f, level), pte_encode(f, level, __pte(val)));
}

/* Links down to LEVEL, and there LEAF (as the manager carries it). */
static void make_path(const struct paging_format *f, int level, u64 leaf)
{
	static const struct paging_format *last;

	/* Of one format all paths go through the same entries. */
	if (f != last)
		memset(memory, 0, sizeof(memory));
	last = f;
	for (int l = f->levels - 1; l > level; l--)
		put_value(f, l, table_of(f, l - 1) | (LINK & ~A));
	put_value(f, level, leaf | (level ? PS : 0));
}

/* Everything off that can be off. */
static struct paging_cpu plain(const struct paging_format *f)
{
	return (struct paging_cpu){.fmt = f,
				   .root = ROOT,
				   .root_high = ROOT + 7 * PAGE_SIZE,
				   .wp = true,
				   .pa_bits = min(f->pa_bits, (u8)48)};
}

static enum paging_reason walk(const struct paging_cpu *cpu, uva_t va,
			       u32 access, struct paging_walk *w)
{
	memset(w, 0x5a, sizeof(*w));
	reads = updates = 0;
	return paging_walk_with(cpu, va, access, w, &mem);
}

/* The walk ends with REASON and CODE and has changed nothing. */
static void expect(const struct paging_cpu *cpu, u32 access,
		   enum paging_reason reason, u32 code)
{
	static u64 before[TABLES][512];
	struct paging_walk w;
	enum paging_reason r;

	memcpy(before, memory, sizeof(memory));
	r = walk(cpu, some_va(cpu->fmt), access, &w);
	if (r != reason || (reason && w.error != code))
		print_error("%s access %#x: %s, error %#x; not %s, %#x\n",
			    cpu->fmt->name, access, paging_reason_text(r),
			    w.error, paging_reason_text(reason), code);
	assert_int_equal(r, reason);
	assert_int_equal(w.reason, reason);
	assert_int_equal(w.error, reason ? code : 0);
	if (!reason)
		return;
	assert_memory_equal(before, memory, sizeof(memory));
	assert_false(w.changed);
	assert_int_equal(updates, 0);
}

/* ---- where a walk ends -------------------------------------------------- */

static void not_present_anywhere(void **state)
{
	static const u32 kinds[][2] = {
		{PAGING_READ, 0},
		{PAGING_WRITE, PF_ERR_WRITE},
		{PAGING_READ | PAGING_USER, PF_ERR_USER},
		{PAGING_WRITE | PAGING_USER, PF_ERR_USER | PF_ERR_WRITE},
	};

	(void)state;
	for (u32 i = 0; i < NR_FORMATS; i++) {
		const struct paging_format *f = all[i];
		struct paging_cpu cpu = plain(f);
		struct paging_walk w;

		for (int l = 0; l < f->levels; l++) {
			make_path(f, 0, 0x7000 | ALL);
			put(f, place(f, l), 0);
			for (u32 k = 0; k < ARRAY_SIZE(kinds); k++)
				expect(&cpu, kinds[k][0], PAGING_NOT_PRESENT,
				       kinds[k][1]);
			walk(&cpu, some_va(f), PAGING_READ, &w);
			assert_int_equal(w.level, l);
			assert_int_equal(w.depth, f->levels - l);
			assert_int_equal(reads, f->levels - l);
			assert_int_equal(w.at[w.depth - 1], place(f, l));
			assert_true(f != FARM ||
				    paging_arm64_status(&w) ==
					    (0x04u | (3u - (u32)l)));
		}
	}
}

/* Anything with P clear, whatever else is in it (PG-3). */
static void no_translation(void **state)
{
	static const u64 values[] = {
		0x7000 | (ALL & ~P) | X86_PTE_PROTNONE | A | D,
		3UL << X86_SWP_OFFSET_SHIFT,
		27UL << X86_SWP_TYPE_SHIFT | 0x7fffffUL << X86_SWP_OFFSET_SHIFT,
	};
	struct prng r;

	(void)state;
	test_seed(&r, "no_translation");
	for (u32 i = 0; i < 2000; i++) {
		const struct paging_format *f = all[i % NR_FORMATS];
		struct paging_cpu cpu = plain(f);
		u64 off = prng_u64(&r) & ((1UL << f->swp_offset_bits) - 1);
		swp_entry_t special[] = {
			make_migration_entry(off, true),
			make_migration_entry(off, false),
			make_hwpoison_entry(off),
			make_pte_marker_entry(PTE_MARKER_UFFD_WP),
			swp_entry((u32)prng_below(&r, SWP_NR_AREAS), off | 1),
		};
		u32 n = (u32)prng_below(&r, ARRAY_SIZE(special) +
						    ARRAY_SIZE(values));

		make_path(f, 0,
			  n < ARRAY_SIZE(special)
				  ? swp_entry_to_pte(special[n]).val
				  : values[n - ARRAY_SIZE(special)]);
		expect(&cpu, PAGING_READ | PAGING_USER, PAGING_NOT_PRESENT,
		       PF_ERR_USER);
		expect(&cpu, PAGING_WRITE, PAGING_NOT_PRESENT, PF_ERR_WRITE);
	}
}

static void noncanonical(void **state)
{
	static const struct {
		const struct paging_format *fmt;
		uva_t va;
	} rows[] = {
		{F32, 0x100000000},	    {FPAE, 0xffffffff00000000},
		{F64, 0x0000800000000000},  {F64, 0xffff7fffffffffff},
		{F57, 0x0100000000000000},  {FARM, 0x0001000000000000},
		{FARM, 0xfffeffffffffffff},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		struct paging_cpu cpu = plain(rows[i].fmt);
		struct paging_walk w;

		assert_int_equal(walk(&cpu, rows[i].va, PAGING_WRITE, &w),
				 PAGING_NONCANONICAL);
		assert_int_equal(w.error, 0);
		assert_int_equal(w.depth, 0);
		assert_int_equal(reads, 0);
		assert_int_equal(paging_arm64_status(&w), 0x04);
	}
}

static void tables_not_in_memory(void **state)
{
	(void)state;
	for (u32 i = 0; i < NR_FORMATS; i++) {
		const struct paging_format *f = all[i];
		struct paging_cpu cpu = plain(f);
		struct paging_walk w;

		for (int l = 1; l < f->levels; l++) {
			make_path(f, 0, 0x7000 | ALL);
			put_value(f, l, 0x80000 | LINK);
			expect(&cpu, PAGING_WRITE | PAGING_USER,
			       PAGING_BAD_TABLE, 0);
			walk(&cpu, some_va(f), PAGING_READ, &w);
			assert_int_equal(w.level, l - 1);
			assert_int_equal(w.depth, f->levels - l);
			assert_true(f != FARM ||
				    paging_arm64_status(&w) ==
					    (0x14u | (4u - (u32)l)));
		}
		cpu.root = 0x80000;
		expect(&cpu, PAGING_READ, PAGING_BAD_TABLE, 0);
	}
}

/* ---- large pages -------------------------------------------------------- */

static void pages_of_each_size(void **state)
{
	static const u64 tried[] = {0, 1, 0xfff, 0x1000, 0x1fffff, 0x200000};
	struct paging_walk w;

	(void)state;
	for (u32 i = 0; i < NR_FORMATS * PT_MAX_LEVELS * ARRAY_SIZE(tried);
	     i++) {
		const struct paging_format *f = all[i % NR_FORMATS];
		int l = i / NR_FORMATS % PT_MAX_LEVELS;
		u64 off = tried[i / (NR_FORMATS * PT_MAX_LEVELS)], span, base;
		struct paging_cpu cpu = plain(f);

		if (l >= f->levels || !pt_leaf_allowed(f, l))
			continue;
		span = pt_span(f, l);
		base = 5 * span;
		off &= span - 1;
		make_path(f, l, base | ALL);
		assert_int_equal(walk(&cpu, ALIGN_DOWN(some_va(f), span) + off,
				      PAGING_WRITE | PAGING_USER, &w),
				 PAGING_OK);
		assert_int_equal(w.pa, base + off);
		assert_int_equal(w.level, l);
		assert_int_equal(w.depth, f->levels - l);
		assert_true(w.write && w.user && w.exec && !w.global);
	}
}

/* PSE-36 reaches beyond 4 GiB; without CR4.PSE bit 7 means nothing. */
static void pse(void **state)
{
	struct paging_cpu cpu = plain(F32);
	struct paging_walk w;

	(void)state;
	cpu.pa_bits = 40;
	make_path(F32, 0, 0x7000 | ALL);
	put(F32, place(F32, 1), 0x00c7e087); /* ab'0x3f 00c00000 */
	assert_int_equal(walk(&cpu, some_va(F32), PAGING_READ, &w), PAGING_OK);
	assert_int_equal(w.pa, 0x3f00c00000 + (some_va(F32) & 0x3fffff));
	cpu.ignored = PS;
	put(F32, place(F32, 1), 0x2000 | PS | ALL);
	assert_int_equal(walk(&cpu, some_va(F32), PAGING_WRITE, &w), PAGING_OK);
	assert_int_equal(w.pa, 0x7678);
	/* Marking leaves it where it was. */
	assert_int_equal(get(F32, place(F32, 1)), 0x2000 | PS | ALL | A);
}

/* ---- reserved bits ------------------------------------------------------ */

/* One bit, set in an entry that is good otherwise. */
static const struct reserved_row {
	const struct paging_format *fmt;
	int level;
	bool large;
	u8 pa_bits;
	bool nxe;
	u8 first, last; /* these bits */
	bool reserved;
} reserved_rows[] = {
	/* 32-bit paging: nothing in a PTE or a link; PSE-36's bits in a leaf */
	{F32, 0, false, 32, false, 1, 31, false},
	{F32, 1, false, 32, false, 8, 31, false},
	{F32, 1, true, 40, false, 8, 20, false},
	{F32, 1, true, 40, false, 21, 21, true},
	{F32, 1, true, 36, false, 12, 16, false},
	{F32, 1, true, 36, false, 17, 21, true},
	{F32, 1, true, 32, false, 13, 21, true},
	{F32, 1, true, 52, false, 13, 20, false},
	{F32, 1, true, 40, true, 22, 31, false},
	/* PAE: beyond MAXPHYADDR up to 62; bit 63 without NXE */
	{FPAE, 0, false, 36, true, 12, 35, false},
	{FPAE, 0, false, 36, true, 36, 62, true},
	{FPAE, 0, false, 36, true, 63, 63, false},
	{FPAE, 0, false, 36, false, 63, 63, true},
	{FPAE, 0, false, 52, true, 12, 51, false},
	{FPAE, 0, false, 52, true, 52, 62, true},
	{FPAE, 1, false, 40, true, 40, 62, true},
	{FPAE, 1, true, 40, true, 13, 20, true},
	{FPAE, 1, true, 40, true, 8, 12, false},
	{FPAE, 1, true, 40, true, 21, 39, false},
	{FPAE, 1, true, 40, true, 40, 62, true},
	{FPAE, 2, false, 40, true, 1, 2, true},
	{FPAE, 2, false, 40, true, 3, 4, false},
	{FPAE, 2, false, 40, true, 5, 8, true},
	{FPAE, 2, false, 40, true, 9, 39, false},
	{FPAE, 2, false, 40, true, 40, 63, true},
	/* x86-64: 52..62 are ignored */
	{F64, 0, false, 46, true, 12, 45, false},
	{F64, 0, false, 46, true, 46, 51, true},
	{F64, 0, false, 46, true, 52, 63, false},
	{F64, 0, false, 46, false, 52, 62, false},
	{F64, 0, false, 46, false, 63, 63, true},
	{F64, 0, false, 52, true, 12, 51, false},
	{F64, 0, false, 39, true, 39, 51, true},
	{F64, 1, false, 46, true, 46, 51, true},
	{F64, 1, true, 46, true, 13, 20, true},
	{F64, 1, true, 46, true, 8, 12, false},
	{F64, 2, true, 46, true, 13, 29, true},
	{F64, 2, true, 46, true, 30, 45, false},
	{F64, 2, false, 46, false, 63, 63, true},
	{F64, 3, false, 46, true, 7, 7, true},
	{F64, 3, false, 46, true, 8, 45, false},
	{F64, 3, false, 46, true, 46, 51, true},
	{F57, 3, false, 52, true, 7, 7, true},
	{F57, 4, false, 52, true, 7, 7, true},
	{F57, 4, false, 48, true, 48, 51, true},
	{F57, 4, false, 48, false, 63, 63, true},
	/* arm64: address bits beyond the CPU's; the rest is ignored */
	{FARM, 0, false, 48, true, 2, 63, false},
	{FARM, 0, false, 40, true, 40, 47, true},
	{FARM, 1, false, 40, true, 40, 47, true},
	{FARM, 1, true, 48, true, 2, 63, false},
	{FARM, 2, true, 44, true, 44, 47, true},
};

static void reserved_bits(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(reserved_rows); i++) {
		const struct reserved_row *r = &reserved_rows[i];
		struct paging_cpu cpu = plain(r->fmt);
		u64 base = 2 * pt_span(r->fmt, r->level) | ALL;
		u64 good = pte_encode(
			r->fmt, r->level,
			__pte(r->large	 ? base | PS
			      : r->level ? table_of(r->fmt, r->level - 1) | LINK
					 : 0x7000 | ALL));

		cpu.pa_bits = r->pa_bits;
		cpu.nxe = r->nxe;
		assert_int_equal(paging_reserved(&cpu, r->level, good), 0);
		for (int bit = r->first; bit <= r->last; bit++) {
			u64 found = paging_reserved(&cpu, r->level,
						    good | BIT(bit));

			if (found != (r->reserved ? BIT(bit) : 0))
				print_error("row %u, bit %d\n", i, bit);
			assert_int_equal(found, r->reserved ? BIT(bit) : 0);
			if (!r->reserved)
				continue;
			make_path(r->fmt, r->large ? r->level : 0,
				  r->large ? base & ~PS : 0x7000 | ALL);
			put(r->fmt, place(r->fmt, r->level), good | BIT(bit));
			expect(&cpu, PAGING_WRITE | PAGING_USER,
			       PAGING_RESERVED,
			       PF_ERR_PRESENT | PF_ERR_RSVD | PF_ERR_WRITE |
				       PF_ERR_USER);
			expect(&cpu, PAGING_READ, PAGING_RESERVED,
			       PF_ERR_PRESENT | PF_ERR_RSVD);
		}
	}
}

/* Reserved bits end the walk before rights do, and only where it comes by. */
static void reserved_before_rights(void **state)
{
	struct paging_cpu cpu = plain(F64);

	(void)state;
	make_path(F64, 0, 0x7000 | P);
	put(F64, place(F64, 2), (0x3000 | LINK | BIT(50)) & ~(RW | US));
	expect(&cpu, PAGING_WRITE | PAGING_USER, PAGING_RESERVED, 0xf);
	/* Not present further up: the bit is not seen. */
	put(F64, place(F64, 3), 0);
	expect(&cpu, PAGING_WRITE | PAGING_USER, PAGING_NOT_PRESENT, 0x6);
	/* With P clear no bit is reserved. */
	make_path(F64, 0, 0x7000 | P);
	put(F64, place(F64, 0), BIT(50) | BIT(7));
	expect(&cpu, PAGING_READ, PAGING_NOT_PRESENT, 0);
}

static void arm_kinds(void **state)
{
	struct paging_cpu cpu = plain(FARM);
	struct paging_walk w;

	(void)state;
	/* At the last level bit 1 must be set. */
	make_path(FARM, 0, 0x7000 | ALL);
	put(FARM, place(FARM, 0), get(FARM, place(FARM, 0)) & ~2UL);
	expect(&cpu, PAGING_READ, PAGING_RESERVED, 0x9);
	walk(&cpu, some_va(FARM), PAGING_READ, &w);
	assert_int_equal(paging_arm64_status(&w), 0x07);
	/* No block at level 0 of Arm's count. */
	make_path(FARM, 0, 0x7000 | ALL);
	put(FARM, place(FARM, 3), get(FARM, place(FARM, 3)) & ~2UL);
	walk(&cpu, some_va(FARM), PAGING_READ, &w);
	assert_int_equal(w.reason, PAGING_RESERVED);
	assert_int_equal(paging_arm64_status(&w), 0x04);
	/* An output address that is too wide. */
	cpu.pa_bits = 40;
	make_path(FARM, 0, 0x7000 | ALL);
	put(FARM, place(FARM, 1), get(FARM, place(FARM, 1)) | BIT(41));
	walk(&cpu, some_va(FARM), PAGING_READ, &w);
	assert_int_equal(w.reason, PAGING_RESERVED);
	assert_int_equal(paging_arm64_status(&w), 0x02);
	/* Rights. */
	make_path(FARM, 0, 0x7000 | P | US | A);
	walk(&cpu, some_va(FARM), PAGING_WRITE | PAGING_USER, &w);
	assert_int_equal(w.reason, PAGING_READ_ONLY);
	assert_int_equal(paging_arm64_status(&w), 0x0f);
	walk(&cpu, some_va(FARM), PAGING_READ, &w);
	assert_int_equal(paging_arm64_status(&w), 0);
	/* The upper half has a root of its own. */
	make_path(FARM, 0, 0x7000 | ALL);
	memcpy(memory[7], memory[0], PAGE_SIZE);
	memset(memory[0], 0, PAGE_SIZE);
	assert_int_equal(walk(&cpu, some_va(FARM), PAGING_READ, &w),
			 PAGING_NOT_PRESENT);
	assert_int_equal(
		walk(&cpu, some_va(FARM) | 0xffff000000000000, PAGING_READ, &w),
		PAGING_OK);
	assert_int_equal(w.pa, 0x7678);
}

/* ---- rights ------------------------------------------------------------- */

/*
 * SDM vol. 3A, 4.6.1, as it is written: mode of the access, then mode of the
 * address, then the paragraph for the kind of access.
 */
static bool manual_allows(const struct paging_cpu *c, u32 access, bool rw,
			  bool us, bool nx)
{
	bool explicit_ac = c->ac && !(access & PAGING_IMPLICIT);

	nx = nx && c->nxe;
	if (access & PAGING_USER) {
		if (!us)
			return false;
		if (access & PAGING_WRITE)
			return rw;
		return !(access & PAGING_EXEC) || !nx;
	}
	if (access & PAGING_EXEC)
		return us ? !c->smep && !nx : !nx;
	if (us && c->smap && !explicit_ac)
		return false;
	return !(access & PAGING_WRITE) || !c->wp || rw;
}

static void check_rights(const struct paging_format *f, u32 n)
{
	u64 bits[2] = {P, P}; /* leaf; and one level above */
	struct paging_cpu cpu = plain(f);
	u32 access = 1u << (n % 3), code = PF_ERR_PRESENT;
	bool rw, us, nx, ok;
	struct paging_walk w;

	n /= 3;
	access |= n & 1 ? PAGING_USER : n & 2 ? PAGING_IMPLICIT : 0;
	cpu.wp = n & 4;
	cpu.nxe = n & 8 && f->has_nx;
	cpu.smep = n & 16;
	cpu.smap = n & 32;
	cpu.ac = n & 64;
	for (int i = 0; i < 2; i++) {
		bits[i] |= n & 128u << 3 * i ? RW : 0;
		bits[i] |= n & 256u << 3 * i ? US : 0;
		bits[i] |= n & 512u << 3 * i && cpu.nxe ? NX : 0;
	}
	make_path(f, 0, 0x7000 | bits[0]);
	/* PAE's and arm64's links have no rights that the walk looks at. */
	if (f->kind == PAGING_X86_PAE || f->kind == PAGING_X86_64 ||
	    f->kind == PAGING_X86_32)
		put(f, place(f, 1), table_of(f, 0) | bits[1]);
	else
		bits[1] = ALL;
	rw = bits[0] & bits[1] & RW;
	us = bits[0] & bits[1] & US;
	nx = (bits[0] | bits[1]) & NX;
	ok = manual_allows(&cpu, access, rw, us, nx);
	assert_int_equal(walk(&cpu, some_va(f), access, &w) == PAGING_OK, ok);
	assert_int_equal(w.write, rw);
	assert_int_equal(w.user, us);
	assert_int_equal(w.exec, !nx);
	if (ok)
		return;
	code |= access & PAGING_WRITE ? PF_ERR_WRITE : 0;
	code |= access & PAGING_USER ? PF_ERR_USER : 0;
	if (access & PAGING_EXEC && (cpu.smep || cpu.nxe))
		code |= PF_ERR_INSTR;
	make_path(f, 0, 0x7000 | bits[0]);
	if (f != FARM)
		put(f, place(f, 1), table_of(f, 0) | bits[1]);
	expect(&cpu, access, w.reason, code);
}

static void every_combination(void **state)
{
	(void)state;
	for (u32 i = 0; i < NR_FORMATS; i++)
		for (u32 n = 0; n < 3u << 13; n++)
			check_rights(all[i], n);
}

/* Reasons one by one, so that each has its own name. */
static void reasons(void **state)
{
	static const struct {
		u64 leaf;
		u32 access;
		bool wp, nxe, smep, smap, ac;
		enum paging_reason reason;
		u32 code;
	} rows[] = {
		{P | RW, PAGING_READ | PAGING_USER, 1, 1, 0, 0, 0,
		 PAGING_SUPERVISOR_PAGE, 0x05},
		{P | RW, PAGING_WRITE | PAGING_USER, 1, 1, 0, 0, 0,
		 PAGING_SUPERVISOR_PAGE, 0x07},
		{P | RW, PAGING_EXEC | PAGING_USER, 1, 1, 0, 0, 0,
		 PAGING_SUPERVISOR_PAGE, 0x15},
		{P | RW, PAGING_EXEC | PAGING_USER, 1, 0, 0, 0, 0,
		 PAGING_SUPERVISOR_PAGE, 0x05},
		{P | US, PAGING_WRITE | PAGING_USER, 0, 1, 0, 0, 0,
		 PAGING_READ_ONLY, 0x07},
		{P, PAGING_WRITE, 1, 1, 0, 0, 0, PAGING_READ_ONLY, 0x03},
		{P, PAGING_WRITE, 0, 1, 0, 0, 0, PAGING_OK, 0},
		{ALL | NX, PAGING_EXEC | PAGING_USER, 1, 1, 0, 0, 0,
		 PAGING_NO_EXEC, 0x15},
		{P | NX, PAGING_EXEC, 1, 1, 0, 0, 0, PAGING_NO_EXEC, 0x11},
		{ALL | NX, PAGING_EXEC | PAGING_USER, 1, 0, 0, 0, 0,
		 PAGING_RESERVED, 0x0d},
		{ALL, PAGING_EXEC, 1, 0, 1, 0, 0, PAGING_SMEP, 0x11},
		{ALL, PAGING_EXEC, 1, 1, 0, 0, 0, PAGING_OK, 0},
		{ALL, PAGING_READ, 1, 1, 0, 1, 0, PAGING_SMAP, 0x01},
		{ALL, PAGING_WRITE, 1, 1, 0, 1, 0, PAGING_SMAP, 0x03},
		{ALL, PAGING_READ, 1, 1, 0, 1, 1, PAGING_OK, 0},
		{ALL, PAGING_READ | PAGING_IMPLICIT, 1, 1, 0, 1, 1, PAGING_SMAP,
		 0x01},
		{P | RW, PAGING_READ | PAGING_IMPLICIT, 1, 1, 0, 1, 0,
		 PAGING_OK, 0},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		struct paging_cpu cpu = plain(F64);

		cpu.wp = rows[i].wp;
		cpu.nxe = rows[i].nxe;
		cpu.smep = rows[i].smep;
		cpu.smap = rows[i].smap;
		cpu.ac = rows[i].ac;
		make_path(F64, 0, 0x7000 | rows[i].leaf);
		expect(&cpu, rows[i].access, rows[i].reason, rows[i].code);
	}
	/* I comes from SMEP alone where entries have no NX. */
	for (u32 smep = 0; smep < 2; smep++) {
		struct paging_cpu cpu = plain(F32);

		cpu.nxe = true;
		cpu.smep = smep;
		make_path(F32, 0, 0);
		expect(&cpu, PAGING_EXEC, PAGING_NOT_PRESENT,
		       smep ? 0x10 : 0x00);
	}
	for (u32 i = 0; i < PAGING_AGAIN; i++)
		for (u32 j = i + 1; j <= PAGING_AGAIN; j++)
			assert_string_not_equal(paging_reason_text(i),
						paging_reason_text(j));
}

static void as_kernels_set_it_up(void **state)
{
	static const u8 width[NR_FORMATS] = {40, 36, 46, 46, 48};

	(void)state;
	for (u32 i = 0; i < NR_FORMATS * 2; i++) {
		const struct paging_format *f = all[i / 2];
		struct paging_cpu cpu;

		paging_cpu_init(&cpu, f, 0x5000, i & 1);
		assert_ptr_equal(cpu.fmt, f);
		assert_int_equal(cpu.root, 0x5000);
		assert_true(cpu.wp && !cpu.ac && !cpu.ignored);
		assert_int_equal(cpu.nxe, f != F32);
		assert_int_equal(cpu.smap, i & 1);
		assert_int_equal(cpu.smep, (i & 1) || f == FARM);
		assert_int_equal(cpu.pa_bits, width[i / 2]);
	}
}

/* ---- accessed and dirty ------------------------------------------------- */

/* Bits without a meaning to the walk, at each level; they stay. */
static u64 noise(const struct paging_format *f, int level)
{
	if (f->kind == PAGING_X86_32)
		return 0xe18; /* software, PCD, PWT */
	if (f->kind == PAGING_X86_PAE)
		return 0xe18;
	if (f->kind == PAGING_X86_64)
		return 0x0550000000000e18;
	/* AttrIndx 5, contiguous, RES0 of 50; a table's bits 2..11. */
	return level ? 0x0004000000000554 : 0x0014000000000014;
}

/* A's and D's change of a raw entry. */
static u64 marked(const struct paging_format *f, int level, u64 raw, bool write)
{
	if (f->kind != PAGING_ARM64) {
		if (f->kind == PAGING_X86_PAE && level == 2)
			return raw;
		return raw | A | (write && level == 0 ? D : 0);
	}
	if (level)
		return raw;
	raw |= BIT(10); /* AF */
	return write ? raw & ~BIT(7) : raw;
}

static void marks_one(const struct paging_format *f, bool write)
{
	u32 access = (write ? PAGING_WRITE : PAGING_READ) | PAGING_USER;
	struct paging_cpu cpu = plain(f);
	u64 want[PT_MAX_LEVELS], changed = 0;
	struct paging_walk w;

	make_path(f, 0, 0x7000 | ALL);
	for (int l = 0; l < f->levels; l++) {
		u64 raw = get(f, place(f, l)) | noise(f, l);

		put(f, place(f, l), raw);
		want[l] = marked(f, l, raw, write);
		changed += want[l] != raw;
	}
	assert_int_equal(walk(&cpu, some_va(f), access, &w), PAGING_OK);
	for (int l = 0; l < f->levels; l++) {
		int i = f->levels - 1 - l;

		assert_int_equal(get(f, place(f, l)), want[l]);
		assert_int_equal(w.raw[i], want[l]);
		assert_int_equal(w.entry[i].val, pte_decode(f, l, want[l]).val);
	}
	assert_true(w.changed);
	assert_int_equal(updates, changed);
	/* Again: nothing is left to be done. */
	assert_int_equal(walk(&cpu, some_va(f), access, &w), PAGING_OK);
	assert_false(w.changed);
	assert_int_equal(updates, 0);
}

static void marks(void **state)
{
	(void)state;
	for (u32 i = 0; i < NR_FORMATS; i++) {
		struct paging_cpu cpu = plain(all[i]);
		struct paging_walk w;
		static u64 before[TABLES][512];

		marks_one(all[i], false);
		marks_one(all[i], true);
		/* Without a way to mark, nothing is marked. */
		make_path(all[i], 0, 0x7000 | ALL);
		memcpy(before, memory, sizeof(memory));
		assert_int_equal(paging_walk_with(&cpu, some_va(all[i]),
						  PAGING_WRITE, &w, &look),
				 PAGING_OK);
		assert_false(w.changed);
		assert_memory_equal(before, memory, sizeof(memory));
	}
}

/* Dirty is the leaf's, at whatever level that is. */
static void large_leaf_is_dirty(void **state)
{
	struct paging_cpu cpu = plain(F64);
	struct paging_walk w;

	(void)state;
	make_path(F64, 2, 0x40000000 | ALL);
	assert_int_equal(walk(&cpu, some_va(F64), PAGING_WRITE, &w), PAGING_OK);
	assert_int_equal(get(F64, place(F64, 2)),
			 0x40000000 | ALL | PS | A | D);
	assert_int_equal(get(F64, place(F64, 3)),
			 table_of(F64, 2) | (LINK & ~D));
}

/* An entry that changes between look and mark is looked at again. */
static void entry_changes(void **state)
{
	(void)state;
	for (u32 i = 0; i < NR_FORMATS; i++) {
		const struct paging_format *f = all[i];
		struct paging_cpu cpu = plain(f);
		struct paging_walk w;

		/* The root's P goes: a fault in the end; others were marked. */
		make_path(f, 0, 0x7000 | ALL);
		change_once = P;
		assert_int_equal(
			walk(&cpu, some_va(f), PAGING_WRITE | PAGING_USER, &w),
			PAGING_NOT_PRESENT);
		assert_int_equal(w.error, PF_ERR_WRITE | PF_ERR_USER);
		/* A software bit comes: it is not lost. */
		make_path(f, 0, 0x7000 | ALL | X86_PTE_SOFTDIRTY);
		change_once = f == FARM ? BIT(2) : BIT(9);
		assert_int_equal(walk(&cpu, some_va(f), PAGING_WRITE, &w),
				 PAGING_OK);
		assert_int_equal(change_once, 0);
	}
}

/* ---- through the port's RAM --------------------------------------------- */

static void port_ram_walk(void **state)
{
	struct sim_config cfg = {.cpus = 1, .quiet = true};

	(void)state;
	assert_int_equal(sim_init(&cfg), 0);
	assert_int_equal(port_ram_online(0, 1UL << 20), 0);
	for (u32 i = 0; i < NR_FORMATS; i++) {
		const struct paging_format *f = all[i];
		struct paging_cpu cpu = plain(f);
		struct paging_walk w;

		make_path(f, 0, 0x7000 | ALL);
		memcpy(port_ram(ROOT), memory, sizeof(memory));
		assert_int_equal(paging_walk(&cpu, some_va(f), PAGING_WRITE,
					     1UL << 20, &w),
				 PAGING_OK);
		assert_int_equal(w.pa, 0x7678);
		assert_int_equal(pt_raw_read(f, port_ram(place(f, 0))),
				 marked(f, 0, get(f, place(f, 0)), true));
		assert_int_equal(paging_walk(&cpu, some_va(f), PAGING_WRITE,
					     table_of(f, 0), &w),
				 PAGING_BAD_TABLE);
		assert_int_equal(w.level, 0);
	}
	sim_shutdown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_present_anywhere),
		cmocka_unit_test(no_translation),
		cmocka_unit_test(noncanonical),
		cmocka_unit_test(tables_not_in_memory),
		cmocka_unit_test(pages_of_each_size),
		cmocka_unit_test(pse),
		cmocka_unit_test(reserved_bits),
		cmocka_unit_test(reserved_before_rights),
		cmocka_unit_test(arm_kinds),
		cmocka_unit_test(every_combination),
		cmocka_unit_test(reasons),
		cmocka_unit_test(as_kernels_set_it_up),
		cmocka_unit_test(marks),
		cmocka_unit_test(large_leaf_is_dirty),
		cmocka_unit_test(entry_changes),
		cmocka_unit_test(port_ram_walk),
	};

	return cmocka_run_group_tests_name("paging walk", tests, NULL, NULL);
}
