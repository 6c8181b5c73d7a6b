/* SPDX-License-Identifier: MIT */
/*
 * paging.h - page-table formats as data, and the typed entries.
 *
 * 1. Purpose. One manager, one walker and one mapper for all formats: x86-32
 *    with two levels (4 MiB pages, PSE-36), PAE, x86-64 with four and five
 *    levels, arm64 with 4 KiB granule. What lies in memory is what a CPU of
 *    that kind would be given, bit for bit.
 *
 * 2. Two forms of an entry. In memory it is raw: 4 or 8 bytes, laid out as the
 *    format says. The manager carries it as a value of type pte_t (pmd_t, ...)
 *    in one layout, which is x86-64's. pte_encode() and pte_decode() go
 *    between the two; for x86-64 both are the identity, and so cost nothing.
 *
 * 3. Levels are numbered from the leaf: 0 = PTE, 1 = PMD, 2 = PUD, 3 = P4D,
 *    4 = PGD. A format with fewer levels has none of the upper ones: its root
 *    is simply a lower level, nothing is folded at run time.
 *
 * 4. Invariants.
 *    PG-1  pte_decode(pte_encode(e)) == e for every entry that the format can
 *          hold; what it cannot hold (NX without a bit for it) is dropped by
 *          the first encoding already.
 *    PG-2  A raw value of 0 is "none" in every format and at every level.
 *    PG-3  No CPU of the format takes an encoded non-present entry (swap,
 *          PROT_NONE, migration, marker) for a translation.
 *
 * 5. Rejected. A table of bit positions for every flag, looked up at each
 *    access: the fault path of x86-64 would pay for the others. Compiling src/
 *    once for each format: a process that compares two could not exist.
 *
 * References: Intel SDM vol. 3A, chapter 4 ("Paging"), tables 4-3 .. 4-20; AMD
 * APM vol. 2, chapter 5; Arm ARM (DDI 0487), D8.3 (VMSAv8-64 descriptors).
 */
#ifndef MM_ARCH_PAGING_H
#define MM_ARCH_PAGING_H

#include <mmkit/types.h>

#include "base/assert.h"

#define PT_MAX_LEVELS 5

/* Entries by level; only accessors look inside. */
typedef struct {
	u64 val;
} pte_t;
typedef struct {
	u64 val;
} pmd_t;
typedef struct {
	u64 val;
} pud_t;
typedef struct {
	u64 val;
} p4d_t;
typedef struct {
	u64 val;
} pgd_t;

/* Access bits of a mapping, without a frame. */
typedef struct {
	u64 val;
} pgprot_t;

/* A swap entry as the manager carries it: type (area) and page offset. */
typedef struct {
	u64 val;
} swp_entry_t;

enum paging_kind {
	PAGING_X86_64, /* entries in memory are as the manager carries them */
	PAGING_X86_32,
	PAGING_X86_PAE,
	PAGING_ARM64
};

struct paging_format {
	const char *name;  /* as --arch takes it */
	const char *title; /* for people */
	enum paging_kind kind;
	u8 levels;	 /* 2 .. PT_MAX_LEVELS */
	u8 entry_bytes;	 /* 4 or 8 */
	u8 va_bits;	 /* canonical width: 32, 48 or 57 */
	u8 pa_bits;	 /* physical width that a leaf of 4 KiB can hold */
	u8 large_levels; /* bit n set: a leaf may stand at level n */
	u8 shift[PT_MAX_LEVELS];
	u8 bits[PT_MAX_LEVELS];
	bool has_nx;
	u8 swp_offset_bits; /* pages of a swap area, as a power of two */
	uva_t user_end;	    /* first address beyond user space */
	kva_t kernel_start; /* first address of the kernel's part */
};

extern const struct paging_format paging_x86_32;
extern const struct paging_format paging_x86_32_pae;
extern const struct paging_format paging_x86_64_4level;
extern const struct paging_format paging_x86_64_5level;
extern const struct paging_format paging_arm64;

/*
 * paging_format_by_name: "x86-32", "x86-32-pae", "x86-64", "x86-64-la57",
 * "arm64"; NULL for others. paging_format_nth: the I-th of them, NULL at the
 * end.
 */
const struct paging_format *paging_format_by_name(const char *name);
const struct paging_format *paging_format_nth(unsigned int i);

/* Page-fault error code bits (SDM vol. 3A, 4.7). */
#define PF_ERR_PRESENT 0x01u /* 0: no translation; 1: protection */
#define PF_ERR_WRITE   0x02u
#define PF_ERR_USER    0x04u
#define PF_ERR_RSVD    0x08u
#define PF_ERR_INSTR   0x10u

/* ---- an entry as the manager carries it
 * --------------------------------------
 *
 * The layout is x86-64's (SDM vol. 3A, table 4-20), with the software bits
 * that Linux uses. Bit 7 is PS in a leaf above level 0 and PAT at level 0.
 */
#define X86_PTE_P	  (1UL << 0)
#define X86_PTE_RW	  (1UL << 1)
#define X86_PTE_US	  (1UL << 2)
#define X86_PTE_PWT	  (1UL << 3)
#define X86_PTE_PCD	  (1UL << 4)
#define X86_PTE_A	  (1UL << 5)
#define X86_PTE_D	  (1UL << 6)
#define X86_PTE_PS	  (1UL << 7)
#define X86_PTE_PAT	  (1UL << 7) /* of a 4 KiB page */
#define X86_PTE_G	  (1UL << 8)
#define X86_PTE_SPECIAL	  (1UL << 9)  /* software: zero page, no rmap */
#define X86_PTE_UFFD_WP	  (1UL << 10) /* software: userfaultfd protects */
#define X86_PTE_SOFTDIRTY (1UL << 11) /* software: written since cleared */
#define X86_PTE_PAT_LARGE (1UL << 12)
#define X86_PTE_NX	  (1UL << 63)
#define X86_PTE_FRAME	  0x000ffffffffff000UL

/*
 * Not present: P = 0, and one of
 *   none       all zero
 *   PROT_NONE  bit 8 set; frame and flags as if present
 *   swap       bit 8 clear; bits 9..13 the area (type), bits 14..57 the page
 *              offset in it; bits 1 to 4 what the page's own bits were (3
 *              and 4 of migration entries alone; x86-32 has no room for
 *              them).
 *              The last types are no areas: migration entries
 *              (offset = frame), poisoned frames, markers (offset = kind).
 * Offset 0 of area 0 is the swap header: never an entry, so never "none".
 */
#define X86_SWP_SOFTDIRTY    (1UL << 1) /* as X86_PTE_SOFTDIRTY */
#define X86_SWP_UFFD_WP	     (1UL << 2) /* as X86_PTE_UFFD_WP */
#define X86_SWP_YOUNG	     (1UL << 3) /* as X86_PTE_A */
#define X86_SWP_DIRTY	     (1UL << 4) /* as X86_PTE_D */
#define X86_SWP_TYPE_SHIFT   9
#define X86_SWP_TYPE_BITS    5
#define X86_SWP_OFFSET_SHIFT 14
#define X86_PTE_PROTNONE     (1UL << 8)

enum swp_special {
	SWP_PTE_MARKER = (1 << X86_SWP_TYPE_BITS) - 4,
	SWP_HWPOISON,
	SWP_MIGRATION_READ,
	SWP_MIGRATION_WRITE,
	SWP_NR_TYPES
};

/* Types below are swap areas. */
#define SWP_NR_AREAS SWP_PTE_MARKER

/* Kinds of marker; each a bit. */
#define PTE_MARKER_UFFD_WP  1u /* the page to come is write-protected */
#define PTE_MARKER_POISONED 2u /* using the page is a memory error */

/*
 * pte_encode: E as it stands in memory at LEVEL of format F. A frame beyond
 * the format's width is a bug (verified). pte_decode: the inverse; bits that
 * the format gives no meaning are dropped.
 */
u64 pte_encode_odd(const struct paging_format *f, int level, pte_t e);
pte_t pte_decode_odd(const struct paging_format *f, int level, u64 raw);

static inline u64 pte_encode(const struct paging_format *f, int level, pte_t e)
{
	return likely(f->kind == PAGING_X86_64) ? e.val
						: pte_encode_odd(f, level, e);
}

static inline pte_t pte_decode(const struct paging_format *f, int level,
			       u64 raw)
{
	return likely(f->kind == PAGING_X86_64) ? (pte_t){raw}
						: pte_decode_odd(f, level, raw);
}

/* pt_raw_read: the entry in memory at AT. */
static inline u64 pt_raw_read(const struct paging_format *f, void *at)
{
	if (f->entry_bytes == 8)
		return __atomic_load_n((u64 *)at, __ATOMIC_ACQUIRE);
	return __atomic_load_n((u32 *)at, __ATOMIC_ACQUIRE);
}

/* True if the entry was *OLD and is RAW now; else *OLD is what it is. */
static inline bool pt_raw_cmpxchg(const struct paging_format *f, void *at,
				  u64 *old, u64 raw)
{
	u32 old4 = (u32)*old;
	bool done;

	if (f->entry_bytes == 8)
		return __atomic_compare_exchange_n((u64 *)at, old, raw, false,
						   __ATOMIC_SEQ_CST,
						   __ATOMIC_RELAXED);
	done = __atomic_compare_exchange_n((u32 *)at, &old4, (u32)raw, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	*old = old4;
	return done;
}

static inline u64 pte_val(pte_t e)
{
	return e.val;
}

static inline pte_t __pte(u64 val)
{
	return (pte_t){val};
}

static inline u64 pgprot_val(pgprot_t p)
{
	return p.val;
}

static inline pgprot_t __pgprot(u64 val)
{
	return (pgprot_t){val};
}

static inline pte_t pte_make(u64 pfn, pgprot_t prot)
{
	return (pte_t){((pfn << PAGE_SHIFT) & X86_PTE_FRAME) | prot.val};
}

static inline bool pte_none(pte_t e)
{
	return e.val == 0;
}

/* Mapped as far as the manager goes: a frame is there (PROT_NONE too). */
static inline bool pte_present(pte_t e)
{
	return (e.val & (X86_PTE_P | X86_PTE_PROTNONE)) != 0;
}

/* The CPU would use it. */
static inline bool pte_valid(pte_t e)
{
	return (e.val & X86_PTE_P) != 0;
}

static inline bool pte_write(pte_t e)
{
	return (e.val & X86_PTE_RW) != 0;
}

static inline bool pte_dirty(pte_t e)
{
	return (e.val & X86_PTE_D) != 0;
}

static inline bool pte_young(pte_t e)
{
	return (e.val & X86_PTE_A) != 0;
}

static inline bool pte_exec(pte_t e)
{
	return (e.val & X86_PTE_NX) == 0;
}

static inline bool pte_special(pte_t e)
{
	return (e.val & X86_PTE_SPECIAL) != 0;
}

/* Of any kind: neither none nor present. */
static inline bool pte_swap(pte_t e)
{
	return e.val != 0 && !pte_present(e);
}

static inline bool pte_protnone(pte_t e)
{
	return (e.val & (X86_PTE_P | X86_PTE_PROTNONE)) == X86_PTE_PROTNONE;
}

static inline bool pte_user(pte_t e)
{
	return (e.val & X86_PTE_US) != 0;
}

static inline bool pte_global(pte_t e)
{
	return (e.val & (X86_PTE_P | X86_PTE_G)) == (X86_PTE_P | X86_PTE_G);
}

/* A leaf above level 0. */
static inline bool pte_huge(pte_t e)
{
	return (e.val & X86_PTE_PS) != 0;
}

static inline bool pte_uffd_wp(pte_t e)
{
	return (e.val & X86_PTE_UFFD_WP) != 0;
}

static inline bool pte_soft_dirty(pte_t e)
{
	return (e.val & X86_PTE_SOFTDIRTY) != 0;
}

static inline bool pte_same(pte_t a, pte_t b)
{
	return a.val == b.val;
}

static inline u64 pte_pfn(pte_t e)
{
	return (e.val & X86_PTE_FRAME) >> PAGE_SHIFT;
}

static inline pte_t pte_mkwrite(pte_t e)
{
	return (pte_t){e.val | X86_PTE_RW};
}

static inline pte_t pte_wrprotect(pte_t e)
{
	return (pte_t){e.val & ~X86_PTE_RW};
}

/* What software makes dirty is written since soft-dirty bits were cleared. */
static inline pte_t pte_mkdirty(pte_t e)
{
	return (pte_t){e.val | X86_PTE_D | X86_PTE_SOFTDIRTY};
}

static inline pte_t pte_mkclean(pte_t e)
{
	return (pte_t){e.val & ~X86_PTE_D};
}

static inline pte_t pte_mkyoung(pte_t e)
{
	return (pte_t){e.val | X86_PTE_A};
}

static inline pte_t pte_mkold(pte_t e)
{
	return (pte_t){e.val & ~X86_PTE_A};
}

static inline pte_t pte_mkspecial(pte_t e)
{
	return (pte_t){e.val | X86_PTE_SPECIAL};
}

static inline pte_t pte_mkhuge(pte_t e)
{
	return (pte_t){e.val | X86_PTE_PS};
}

static inline pte_t pte_mkglobal(pte_t e)
{
	return (pte_t){e.val | X86_PTE_G};
}

static inline pte_t pte_mkexec(pte_t e)
{
	return (pte_t){e.val & ~X86_PTE_NX};
}

static inline pte_t pte_mkuffd_wp(pte_t e)
{
	return (pte_t){e.val | X86_PTE_UFFD_WP};
}

static inline pte_t pte_clear_uffd_wp(pte_t e)
{
	return (pte_t){e.val & ~X86_PTE_UFFD_WP};
}

static inline pte_t pte_mksoft_dirty(pte_t e)
{
	return (pte_t){e.val | X86_PTE_SOFTDIRTY};
}

static inline pte_t pte_clear_soft_dirty(pte_t e)
{
	return (pte_t){e.val & ~X86_PTE_SOFTDIRTY};
}

/* Replace access bits, keep frame, accessed, dirty and software bits. */
static inline pte_t pte_modify(pte_t e, pgprot_t prot)
{
	u64 keep = X86_PTE_FRAME | X86_PTE_A | X86_PTE_D | X86_PTE_SPECIAL |
		   X86_PTE_UFFD_WP | X86_PTE_SOFTDIRTY;

	return (pte_t){(e.val & keep) | prot.val};
}

static inline u32 swp_type(swp_entry_t e)
{
	return (u32)(e.val & ((1u << X86_SWP_TYPE_BITS) - 1));
}

static inline u64 swp_offset(swp_entry_t e)
{
	return e.val >> X86_SWP_TYPE_BITS;
}

static inline swp_entry_t swp_entry(u32 type, u64 offset)
{
	return (swp_entry_t){offset << X86_SWP_TYPE_BITS | type};
}

static inline pte_t swp_entry_to_pte(swp_entry_t e)
{
	return (pte_t){(u64)swp_type(e) << X86_SWP_TYPE_SHIFT |
		       swp_offset(e) << X86_SWP_OFFSET_SHIFT};
}

/* Bits that a page keeps while it is away. */
static inline bool pte_swp_soft_dirty(pte_t e)
{
	return (e.val & X86_SWP_SOFTDIRTY) != 0;
}

static inline pte_t pte_swp_mksoft_dirty(pte_t e)
{
	return (pte_t){e.val | X86_SWP_SOFTDIRTY};
}

static inline pte_t pte_swp_clear_soft_dirty(pte_t e)
{
	return (pte_t){e.val & ~X86_SWP_SOFTDIRTY};
}

static inline bool pte_swp_uffd_wp(pte_t e)
{
	return (e.val & X86_SWP_UFFD_WP) != 0;
}

static inline pte_t pte_swp_mkuffd_wp(pte_t e)
{
	return (pte_t){e.val | X86_SWP_UFFD_WP};
}

static inline pte_t pte_swp_clear_uffd_wp(pte_t e)
{
	return (pte_t){e.val & ~X86_SWP_UFFD_WP};
}

/* pte_swp_keep: SWP, which takes PAGE's place, keeps its bits; pte_swp_give:
 * the page's entry E, which takes SWP's place, gets them back. */
static inline pte_t pte_swp_keep(pte_t swp, pte_t page)
{
	if (page.val & X86_PTE_SOFTDIRTY)
		swp.val |= X86_SWP_SOFTDIRTY;
	if (page.val & X86_PTE_UFFD_WP)
		swp.val |= X86_SWP_UFFD_WP;
	return swp;
}

static inline pte_t pte_swp_give(pte_t e, pte_t swp)
{
	if (swp.val & X86_SWP_SOFTDIRTY)
		e.val |= X86_PTE_SOFTDIRTY;
	if (swp.val & X86_SWP_UFFD_WP)
		e.val |= X86_PTE_UFFD_WP;
	return e;
}

/* pte_mig_keep, pte_mig_give: the same for a migration entry, which keeps what
 * the CPU noted, too. */
static inline pte_t pte_mig_keep(pte_t swp, pte_t page)
{
	swp = pte_swp_keep(swp, page);
	if (page.val & X86_PTE_A)
		swp.val |= X86_SWP_YOUNG;
	if (page.val & X86_PTE_D)
		swp.val |= X86_SWP_DIRTY;
	return swp;
}

static inline pte_t pte_mig_give(pte_t e, pte_t swp)
{
	e = pte_swp_give(e, swp);
	if (swp.val & X86_SWP_YOUNG)
		e.val |= X86_PTE_A;
	if (swp.val & X86_SWP_DIRTY)
		e.val |= X86_PTE_D;
	return e;
}

static inline swp_entry_t pte_to_swp_entry(pte_t e)
{
	return swp_entry((e.val >> X86_SWP_TYPE_SHIFT) &
				 ((1u << X86_SWP_TYPE_BITS) - 1),
			 e.val >> X86_SWP_OFFSET_SHIFT);
}

static inline swp_entry_t make_migration_entry(u64 pfn, bool writable)
{
	return swp_entry(writable ? SWP_MIGRATION_WRITE : SWP_MIGRATION_READ,
			 pfn);
}

static inline bool is_migration_entry(swp_entry_t e)
{
	return swp_type(e) == SWP_MIGRATION_READ ||
	       swp_type(e) == SWP_MIGRATION_WRITE;
}

static inline bool is_writable_migration_entry(swp_entry_t e)
{
	return swp_type(e) == SWP_MIGRATION_WRITE;
}

/* pte_swp_wrprotect: the page that E, not present, stands for comes back
 * without the right to write, if it is on the move; else E. */
static inline pte_t pte_swp_wrprotect(pte_t e)
{
	swp_entry_t swp = pte_to_swp_entry(e);
	u64 page_bits = e.val & (X86_SWP_SOFTDIRTY | X86_SWP_UFFD_WP |
				 X86_SWP_YOUNG | X86_SWP_DIRTY);

	if (!is_writable_migration_entry(swp))
		return e;
	swp = make_migration_entry(swp_offset(swp), false);
	return (pte_t){swp_entry_to_pte(swp).val | page_bits};
}

static inline u64 migration_entry_pfn(swp_entry_t e)
{
	mm_assert(is_migration_entry(e));
	return swp_offset(e);
}

static inline swp_entry_t make_hwpoison_entry(u64 pfn)
{
	return swp_entry(SWP_HWPOISON, pfn);
}

static inline bool is_hwpoison_entry(swp_entry_t e)
{
	return swp_type(e) == SWP_HWPOISON;
}

static inline swp_entry_t make_pte_marker_entry(u32 kind)
{
	return swp_entry(SWP_PTE_MARKER, kind);
}

static inline bool is_pte_marker_entry(swp_entry_t e)
{
	return swp_type(e) == SWP_PTE_MARKER;
}

/* E's kinds of marker (PTE_MARKER_*); 0: it is none. */
static inline u32 pte_marker(pte_t e)
{
	if (!pte_swap(e) || !is_pte_marker_entry(pte_to_swp_entry(e)))
		return 0;
	return (u32)swp_offset(pte_to_swp_entry(e));
}

static inline pte_t make_pte_marker(u32 kinds)
{
	return swp_entry_to_pte(make_pte_marker_entry(kinds));
}

/* There is no page, neither here nor in swap. */
static inline bool pte_none_mostly(pte_t e)
{
	return pte_none(e) || pte_marker(e) != 0;
}

/* Does E, present, a swap entry or a marker, say that writes are watched? */
static inline bool pte_any_uffd_wp(pte_t e)
{
	if (pte_present(e))
		return pte_uffd_wp(e);
	return pte_marker(e) ? (pte_marker(e) & PTE_MARKER_UFFD_WP) != 0
			     : pte_swap(e) && pte_swp_uffd_wp(e);
}

/* In a swap area, not one of the special kinds. */
static inline bool is_swap_area_entry(swp_entry_t e)
{
	return swp_type(e) < SWP_NR_AREAS;
}

/* pte_in_swap: E is a page in a swap area, not one of the special kinds. */
static inline bool pte_in_swap(pte_t e)
{
	return pte_swap(e) && is_swap_area_entry(pte_to_swp_entry(e));
}

/* pte_migrating: E's page is on the move. */
static inline bool pte_migrating(pte_t e)
{
	return pte_swap(e) && is_migration_entry(pte_to_swp_entry(e));
}

/* ---- entries above the leaf tables
 * -------------------------------------------
 *
 * The same layout; a type of its own for each level so that a walk cannot mix
 * them up. LEVEL_bad: present, but neither a large leaf nor the link to a
 * table with full rights, which is how the manager writes links.
 */
#define X86_TABLE_LINK (X86_PTE_P | X86_PTE_RW | X86_PTE_US | X86_PTE_A)

#define MM_UPPER_ENTRY(t)                                         \
	static inline u64 t##_val(t##_t e)                        \
	{                                                         \
		return e.val;                                     \
	}                                                         \
	static inline t##_t __##t(u64 val)                        \
	{                                                         \
		return (t##_t){val};                              \
	}                                                         \
	static inline bool t##_none(t##_t e)                      \
	{                                                         \
		return e.val == 0;                                \
	}                                                         \
	static inline bool t##_present(t##_t e)                   \
	{                                                         \
		return pte_present(__pte(e.val));                 \
	}                                                         \
	static inline bool t##_leaf(t##_t e)                      \
	{                                                         \
		return t##_present(e) && (e.val & X86_PTE_PS);    \
	}                                                         \
	static inline bool t##_bad(t##_t e)                       \
	{                                                         \
		u64 flags = e.val & ~X86_PTE_FRAME & ~X86_PTE_US; \
                                                                  \
		return !t##_leaf(e) &&                            \
		       flags != (X86_TABLE_LINK & ~X86_PTE_US);   \
	}                                                         \
	static inline u64 t##_pfn(t##_t e)                        \
	{                                                         \
		return pte_pfn(__pte(e.val));                     \
	}                                                         \
	static inline pte_t t##_pte(t##_t e)                      \
	{                                                         \
		return __pte(e.val);                              \
	}                                                         \
	static inline t##_t pte_##t(pte_t e)                      \
	{                                                         \
		return __##t(pte_val(e));                         \
	}
MM_UPPER_ENTRY(pmd)
MM_UPPER_ENTRY(pud)
MM_UPPER_ENTRY(p4d)
MM_UPPER_ENTRY(pgd)

/* Index of VA in a table of LEVEL. */
static inline u32 pt_index(const struct paging_format *f, int level, uva_t va)
{
	return (va >> f->shift[level]) & ((1u << f->bits[level]) - 1);
}

/* Entries of a table of LEVEL. */
static inline u32 pt_entries(const struct paging_format *f, int level)
{
	return 1u << f->bits[level];
}

/* Bytes that one entry of LEVEL covers. */
static inline u64 pt_span(const struct paging_format *f, int level)
{
	return 1UL << f->shift[level];
}

/* May a leaf stand at LEVEL? */
static inline bool pt_leaf_allowed(const struct paging_format *f, int level)
{
	return level == 0 || (f->large_levels >> level & 1);
}

/* pt_level_name: "PTE", "PMD", ...; the root is "PGD" in every format. */
const char *pt_level_name(const struct paging_format *f, int level);

/*
 * paging_canonical: may VA be used at all: sign-extended from va_bits; below
 * 4 GiB with 32 bits.
 */
bool paging_canonical(const struct paging_format *f, uva_t va);

#endif
