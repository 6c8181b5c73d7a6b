/* SPDX-License-Identifier: MIT */
/*
 * paging.c - the paging formats' tables, and entries between memory and the
 * manager. See paging.h.
 */
#include "arch/paging.h"

#include "base/string.h"

/* ---- the formats
 * ------------------------------------------------------------------ */

/* 3 GiB for the process, 1 GiB for the kernel. */
#define X86_32_SPLIT 0xc0000000UL

const struct paging_format paging_x86_32 = {
	.name = "x86-32",
	.title = "x86, 32 bits, two levels, 4 MiB pages (PSE-36)",
	.kind = PAGING_X86_32,
	.levels = 2,
	.entry_bytes = 4,
	.va_bits = 32,
	.pa_bits = 32,
	.large_levels = BIT(1),
	.shift = {12, 22},
	.bits = {10, 10},
	.swp_offset_bits = 23,
	.user_end = X86_32_SPLIT,
	.kernel_start = X86_32_SPLIT,
};

const struct paging_format paging_x86_32_pae = {
	.name = "x86-32-pae",
	.title = "x86, 32 bits, PAE, three levels, 2 MiB pages",
	.kind = PAGING_X86_PAE,
	.levels = 3,
	.entry_bytes = 8,
	.va_bits = 32,
	.pa_bits = 52,
	.large_levels = BIT(1),
	.shift = {12, 21, 30},
	.bits = {9, 9, 2},
	.has_nx = true,
	.swp_offset_bits = 40,
	.user_end = X86_32_SPLIT,
	.kernel_start = X86_32_SPLIT,
};

const struct paging_format paging_x86_64_4level = {
	.name = "x86-64",
	.title = "x86-64, four levels, 2 MiB and 1 GiB pages",
	.kind = PAGING_X86_64,
	.levels = 4,
	.entry_bytes = 8,
	.va_bits = 48,
	.pa_bits = 52,
	.large_levels = BIT(1) | BIT(2),
	.shift = {12, 21, 30, 39},
	.bits = {9, 9, 9, 9},
	.has_nx = true,
	.swp_offset_bits = 40,
	.user_end = 0x0000800000000000UL - PAGE_SIZE,
	.kernel_start = 0xffff800000000000UL,
};

const struct paging_format paging_x86_64_5level = {
	.name = "x86-64-la57",
	.title = "x86-64, five levels, 2 MiB and 1 GiB pages",
	.kind = PAGING_X86_64,
	.levels = 5,
	.entry_bytes = 8,
	.va_bits = 57,
	.pa_bits = 52,
	.large_levels = BIT(1) | BIT(2),
	.shift = {12, 21, 30, 39, 48},
	.bits = {9, 9, 9, 9, 9},
	.has_nx = true,
	.swp_offset_bits = 40,
	.user_end = 0x0100000000000000UL - PAGE_SIZE,
	.kernel_start = 0xff00000000000000UL,
};

const struct paging_format paging_arm64 = {
	.name = "arm64",
	.title = "arm64, 4 KiB granule, 48 bits, 2 MiB and 1 GiB blocks",
	.kind = PAGING_ARM64,
	.levels = 4,
	.entry_bytes = 8,
	.va_bits = 48,
	.pa_bits = 48,
	.large_levels = BIT(1) | BIT(2),
	.shift = {12, 21, 30, 39},
	.bits = {9, 9, 9, 9},
	.has_nx = true,
	.swp_offset_bits = 40,
	.user_end = 0x0001000000000000UL,
	.kernel_start = 0xffff000000000000UL,
};

static const struct paging_format *const formats[] = {
	&paging_x86_32,	       &paging_x86_32_pae, &paging_x86_64_4level,
	&paging_x86_64_5level, &paging_arm64,
};

const struct paging_format *paging_format_nth(unsigned int i)
{
	return i < ARRAY_SIZE(formats) ? formats[i] : NULL;
}

const struct paging_format *paging_format_by_name(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++) {
		if (mm_strcmp(formats[i]->name, name) == 0)
			return formats[i];
	}
	return NULL;
}

const char *pt_level_name(const struct paging_format *f, int level)
{
	static const char *const names[PT_MAX_LEVELS] = {"PTE", "PMD", "PUD",
							 "P4D", "PGD"};

	mm_verify(level >= 0 && level < f->levels);
	return level == f->levels - 1 ? "PGD" : names[level];
}

bool paging_canonical(const struct paging_format *f, uva_t va)
{
	s64 sign = (s64)(va << (64 - f->va_bits)) >> (64 - f->va_bits);

	if (f->va_bits == 32)
		return va >> 32 == 0;
	/* The lower half is one table's on arm64, the upper half another's. */
	if (f->kind == PAGING_ARM64)
		return va >> f->va_bits == 0 ||
		       va >> f->va_bits == ~0UL >> f->va_bits;
	return (u64)sign == va;
}

/* ---- x86-32
 * -----------------------------------------------------------------------
 *
 * Present and PROT_NONE entries are the lower half of the manager's form; a
 * 4 MiB page keeps bits 39..32 of its address in 20..13 (PSE-36), and its PAT
 * bit is bit 12 there as well. A swap entry has its type in bits 1..5 and its
 * offset in 9..31: bits 0 and 8 stay clear, 6 is soft-dirty, 7 userfaultfd's.
 */
#define X86_32_SWP_TYPE_SHIFT	1
#define X86_32_SWP_BITS_SHIFT	5 /* from the manager's bits 1 and 2 */
#define X86_32_SWP_OFFSET_SHIFT 9
#define X86_32_SWP_OFFSET_BITS	23
#define X86_32_FLAGS		0xfffUL
#define X86_32_PSE36_SHIFT	13
#define X86_32_PSE36_MASK	0xffUL
#define X86_32_LARGE_BASE	0xffc00000UL
#define X86_32_FRAME		0xfffff000UL
#define X86_32_LARGE_PA_BITS	40

/* Bits of a page that its swap entry keeps; with those that its migration
 * entry keeps where there is room. */
#define SWP_PAGE_BITS (X86_SWP_SOFTDIRTY | X86_SWP_UFFD_WP)
#define MIG_PAGE_BITS (SWP_PAGE_BITS | X86_SWP_YOUNG | X86_SWP_DIRTY)

/* With PS, above the leaf tables: a 4 MiB page. */
static bool is_large(int level, u64 val)
{
	return level > 0 && (val & X86_PTE_PS);
}

static u64 encode_x86_32_large(u64 val)
{
	u64 frame = val & X86_PTE_FRAME & ~X86_PTE_PAT_LARGE;
	u64 high = frame >> 32;

	mm_verify(frame >> X86_32_LARGE_PA_BITS == 0);
	return (frame & X86_32_LARGE_BASE) | high << X86_32_PSE36_SHIFT |
	       (val & (X86_32_FLAGS | X86_PTE_PAT_LARGE));
}

static u64 encode_x86_32(int level, pte_t e)
{
	swp_entry_t swp;

	if (e.val == 0)
		return 0;
	if (pte_present(e) && is_large(level, e.val))
		return encode_x86_32_large(e.val);
	if (pte_present(e)) {
		mm_verify((e.val & X86_PTE_FRAME & ~X86_32_FRAME) == 0);
		return e.val & (X86_32_FRAME | X86_32_FLAGS);
	}
	swp = pte_to_swp_entry(e);
	mm_verify(swp_offset(swp) >> X86_32_SWP_OFFSET_BITS == 0);
	return (e.val & SWP_PAGE_BITS) << X86_32_SWP_BITS_SHIFT |
	       (u64)swp_type(swp) << X86_32_SWP_TYPE_SHIFT |
	       swp_offset(swp) << X86_32_SWP_OFFSET_SHIFT;
}

static pte_t decode_x86_32_swap(u64 raw)
{
	u32 type = raw >> X86_32_SWP_TYPE_SHIFT & (BIT(X86_SWP_TYPE_BITS) - 1);
	pte_t e = swp_entry_to_pte(
		swp_entry(type, raw >> X86_32_SWP_OFFSET_SHIFT));

	return __pte(e.val | (raw >> X86_32_SWP_BITS_SHIFT & SWP_PAGE_BITS));
}

static pte_t decode_x86_32(int level, u64 raw)
{
	u64 high;

	if (raw == 0)
		return __pte(0);
	if (!(raw & (X86_PTE_P | X86_PTE_PROTNONE)))
		return decode_x86_32_swap(raw);
	if (!is_large(level, raw))
		return __pte(raw);
	high = raw >> X86_32_PSE36_SHIFT & X86_32_PSE36_MASK;
	return __pte(high << 32 | (raw & (X86_32_LARGE_BASE | X86_32_FLAGS |
					  X86_PTE_PAT_LARGE)));
}

/* ---- PAE
 * --------------------------------------------------------------------------
 *
 * As x86-64, but for the root's four entries, which carry no rights (the bits
 * are reserved there): the manager sees them as links with all rights.
 */
#define PAE_ROOT_LEVEL 2
#define PAE_ROOT_FLAGS (X86_PTE_P | X86_PTE_PWT | X86_PTE_PCD)

static u64 encode_pae(int level, pte_t e)
{
	if (level < PAE_ROOT_LEVEL || e.val == 0)
		return e.val;
	mm_verify(pte_valid(e) && !pte_huge(e));
	return e.val & (X86_PTE_FRAME | PAE_ROOT_FLAGS);
}

static pte_t decode_pae(int level, u64 raw)
{
	if (level < PAE_ROOT_LEVEL || !(raw & X86_PTE_P))
		return __pte(raw);
	return __pte((raw & (X86_PTE_FRAME | PAE_ROOT_FLAGS)) | X86_TABLE_LINK);
}

/* ---- arm64
 * -------------------------------------------------------------------------
 *
 * Dirty state is kept as the CPU keeps it with hardware management (FEAT_
 * HAFDBS): DBM says that the page may be written, AP[2] that it is not dirty
 * yet; a page that may not be written any more keeps "dirty" in a software
 * bit. Level 0 descriptors and tables have bit 1 set, blocks have it clear.
 * User pages are never executable by the kernel (PXN), and vice versa (UXN).
 */
#define ARM_VALID	     (1UL << 0)
#define ARM_TABLE	     (1UL << 1) /* table, or page at the last level */
#define ARM_ATTR_DEV	     (1UL << 2) /* AttrIndx 1: device memory */
#define ARM_ATTR_NC	     (2UL << 2) /* AttrIndx 2: not cached */
#define ARM_ATTR_MASK	     (7UL << 2)
#define ARM_AP_USER	     (1UL << 6)
#define ARM_AP_RO	     (1UL << 7)
#define ARM_SH_INNER	     (3UL << 8)
#define ARM_AF		     (1UL << 10)
#define ARM_NG		     (1UL << 11)
#define ARM_FRAME	     0x0000fffffffff000UL
#define ARM_DBM		     (1UL << 51)
#define ARM_PXN		     (1UL << 53)
#define ARM_UXN		     (1UL << 54)
#define ARM_SW_DIRTY	     (1UL << 55)
#define ARM_SW_SPECIAL	     (1UL << 56)
#define ARM_SW_UFFD_WP	     (1UL << 57)
#define ARM_SW_PROTNONE	     (1UL << 58)
#define ARM_SW_SOFTDIRTY     (1UL << 63)
#define ARM_SWP_TYPE_SHIFT   2
#define ARM_SWP_OFFSET_SHIFT 8
#define ARM_SWP_OFFSET_BITS  40
#define ARM_SWP_BITS_SHIFT   58 /* from the manager's bits 1 to 4 */

/* Pairs of bits that mean the same in both forms. */
static const struct {
	u64 manager, arm;
} arm_same[] = {
	{X86_PTE_US, ARM_AP_USER},
	{X86_PTE_A, ARM_AF},
	{X86_PTE_SPECIAL, ARM_SW_SPECIAL},
	{X86_PTE_UFFD_WP, ARM_SW_UFFD_WP},
	{X86_PTE_SOFTDIRTY, ARM_SW_SOFTDIRTY},
	{X86_PTE_RW, ARM_DBM},
	{X86_PTE_PWT, ARM_ATTR_DEV},
	{X86_PTE_PCD, ARM_ATTR_NC},
};

static u64 arm_leaf_flags(pte_t e)
{
	bool user = pte_user(e);
	u64 raw = ARM_SH_INNER;

	for (unsigned int i = 0; i < ARRAY_SIZE(arm_same); i++)
		raw |= e.val & arm_same[i].manager ? arm_same[i].arm : 0;
	raw |= user || !pte_exec(e) ? ARM_PXN : 0;
	raw |= !user || !pte_exec(e) ? ARM_UXN : 0;
	raw |= pte_write(e) && pte_dirty(e) ? 0 : ARM_AP_RO;
	raw |= !pte_write(e) && pte_dirty(e) ? ARM_SW_DIRTY : 0;
	/* Bit 8 is PROT_NONE's in an entry that is not valid. */
	raw |= pte_valid(e) ? ARM_VALID : ARM_SW_PROTNONE;
	raw |= pte_global(e) ? 0 : ARM_NG;
	return raw;
}

static u64 encode_arm64(int level, pte_t e)
{
	swp_entry_t swp;

	if (e.val == 0)
		return 0;
	if (!pte_present(e)) {
		swp = pte_to_swp_entry(e);
		mm_verify(swp_offset(swp) >> ARM_SWP_OFFSET_BITS == 0);
		return (e.val & MIG_PAGE_BITS) << ARM_SWP_BITS_SHIFT |
		       (u64)swp_type(swp) << ARM_SWP_TYPE_SHIFT |
		       swp_offset(swp) << ARM_SWP_OFFSET_SHIFT;
	}
	mm_verify((e.val & X86_PTE_FRAME & ~ARM_FRAME) == 0);
	if (level > 0 && !pte_huge(e))
		return (e.val & ARM_FRAME) | ARM_TABLE | ARM_VALID;
	return (e.val & ARM_FRAME) | arm_leaf_flags(e) |
	       (level ? 0 : ARM_TABLE);
}

static pte_t arm_leaf(int level, u64 raw)
{
	bool user = raw & ARM_AP_USER;
	u64 val = raw & ARM_FRAME;

	for (unsigned int i = 0; i < ARRAY_SIZE(arm_same); i++)
		val |= raw & arm_same[i].arm ? arm_same[i].manager : 0;
	val |= raw & (user ? ARM_UXN : ARM_PXN) ? X86_PTE_NX : 0;
	/* A writable page without AP[2] is dirty, with or without DBM. */
	if (!(raw & ARM_AP_RO))
		val |= X86_PTE_RW | X86_PTE_D;
	val |= raw & ARM_SW_DIRTY ? X86_PTE_D : 0;
	val |= level ? X86_PTE_PS : 0;
	if (!(raw & ARM_VALID))
		return __pte(val | X86_PTE_PROTNONE);
	return __pte(val | X86_PTE_P | (raw & ARM_NG ? 0 : X86_PTE_G));
}

static pte_t decode_arm64_swap(u64 raw)
{
	u32 type = raw >> ARM_SWP_TYPE_SHIFT & (BIT(X86_SWP_TYPE_BITS) - 1);
	u64 offset =
		raw >> ARM_SWP_OFFSET_SHIFT & (BIT(ARM_SWP_OFFSET_BITS) - 1);
	pte_t e = swp_entry_to_pte(swp_entry(type, offset));

	return __pte(e.val | (raw >> ARM_SWP_BITS_SHIFT & MIG_PAGE_BITS));
}

static pte_t decode_arm64(int level, u64 raw)
{
	if (raw == 0)
		return __pte(0);
	if (!(raw & (ARM_VALID | ARM_SW_PROTNONE)))
		return decode_arm64_swap(raw);
	if (level > 0 && (raw & ARM_TABLE))
		return __pte((raw & ARM_FRAME) | X86_TABLE_LINK);
	return arm_leaf(level, raw);
}

/* ---- by format
 * -------------------------------------------------------------------- */

u64 pte_encode_odd(const struct paging_format *f, int level, pte_t e)
{
	mm_assert(level >= 0 && level < f->levels);
	switch (f->kind) {
	case PAGING_X86_32:
		return encode_x86_32(level, e);
	case PAGING_X86_PAE:
		return encode_pae(level, e);
	case PAGING_ARM64:
		return encode_arm64(level, e);
	default:
		return e.val;
	}
}

pte_t pte_decode_odd(const struct paging_format *f, int level, u64 raw)
{
	mm_assert(level >= 0 && level < f->levels);
	switch (f->kind) {
	case PAGING_X86_32:
		return decode_x86_32(level, raw);
	case PAGING_X86_PAE:
		return decode_pae(level, raw);
	case PAGING_ARM64:
		return decode_arm64(level, raw);
	default:
		return __pte(raw);
	}
}
