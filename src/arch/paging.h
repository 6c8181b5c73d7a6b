/* SPDX-License-Identifier: MIT */
/*
 * paging.h - page-table formats as data, and the typed entry.
 *
 * A format says how many levels a table has, which address bits index each,
 * how wide an entry is and which bit means what. One walker (pgtable/) serves
 * all formats; the software MMU of the sim world reads the same data, so what
 * the manager builds is what a CPU would be given, bit for bit.
 *
 * Levels are numbered from the leaf: 0 = PTE, 1 = PMD, 2 = PUD, 3 = P4D or
 * PGD. A format with fewer levels has none of the upper ones; nothing is
 * folded at run time.
 *
 * Source: Intel SDM vol. 3A, chapter 4 ("Paging"), tables 4-14 .. 4-20.
 */
#ifndef MM_ARCH_PAGING_H
#define MM_ARCH_PAGING_H

#include <mmkit/types.h>

#define PT_MAX_LEVELS 5

/* An entry of any level; only accessors look inside. */
typedef struct {
	u64 val;
} pte_t;

/* Access bits of a mapping, without a frame. */
typedef struct {
	u64 val;
} pgprot_t;

/* A swap entry as the manager carries it: type (area) and page offset. */
typedef struct {
	u64 val;
} swp_entry_t;

struct paging_format {
	const char *name;
	u8 levels;	 /* 2 .. PT_MAX_LEVELS */
	u8 entry_bytes;	 /* 4 or 8 */
	u8 va_bits;	 /* canonical width, 32, 48 or 57 */
	u8 pa_bits;	 /* physical width that an entry can hold */
	u8 large_levels; /* bit n set: a leaf may stand at level n */
	u8 shift[PT_MAX_LEVELS];
	u8 bits[PT_MAX_LEVELS];
	u64 present, write, user, accessed, dirty, large, global, no_exec;
	u64 sw_special; /* software bit: frame without reference counting */
	u64 frame_mask;
	uva_t user_end; /* first address beyond user space */
};

extern const struct paging_format paging_x86_64_4level;

/* Page-fault error code bits (SDM vol. 3A, 4.7). */
#define PF_ERR_PRESENT 0x01u /* 0: no translation; 1: protection */
#define PF_ERR_WRITE   0x02u
#define PF_ERR_USER    0x04u
#define PF_ERR_RSVD    0x08u
#define PF_ERR_INSTR   0x10u

/* ---- entries of x86-64 ----------------------------------------------------
 *
 * The one format of this stage; when further formats come, these accessors
 * read the bits from the machine's format instead.
 */
#define X86_PTE_P	(1UL << 0)
#define X86_PTE_RW	(1UL << 1)
#define X86_PTE_US	(1UL << 2)
#define X86_PTE_PWT	(1UL << 3)
#define X86_PTE_PCD	(1UL << 4)
#define X86_PTE_A	(1UL << 5)
#define X86_PTE_D	(1UL << 6)
#define X86_PTE_PS	(1UL << 7)
#define X86_PTE_G	(1UL << 8)
#define X86_PTE_SPECIAL (1UL << 9) /* software: zero page, no rmap */
#define X86_PTE_NX	(1UL << 63)
#define X86_PTE_FRAME	0x000ffffffffff000UL

/*
 * A non-present entry with a swap entry: P = 0, PROTNONE (bit 8) = 0;
 * bits 9..13 the area (type), bits 14..57 the page offset in it. All zero is
 * "none", so offset 0 of area 0 (the swap header) is never an entry.
 */
#define X86_SWP_TYPE_SHIFT   9
#define X86_SWP_TYPE_BITS    5
#define X86_SWP_OFFSET_SHIFT 14
/* PROT_NONE keeps frame and flags with P clear and this bit set. */
#define X86_PTE_PROTNONE (1UL << 8)

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

static inline bool pte_swap(pte_t e)
{
	return e.val != 0 && !pte_present(e);
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

static inline pte_t pte_mkdirty(pte_t e)
{
	return (pte_t){e.val | X86_PTE_D};
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

/* Replace access bits, keep frame, accessed, dirty and software bits. */
static inline pte_t pte_modify(pte_t e, pgprot_t prot)
{
	u64 keep = X86_PTE_FRAME | X86_PTE_A | X86_PTE_D | X86_PTE_SPECIAL;

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

static inline swp_entry_t pte_to_swp_entry(pte_t e)
{
	return swp_entry((e.val >> X86_SWP_TYPE_SHIFT) &
				 ((1u << X86_SWP_TYPE_BITS) - 1),
			 e.val >> X86_SWP_OFFSET_SHIFT);
}

/* Index of VA in a table of LEVEL. */
static inline u32 pt_index(const struct paging_format *f, int level, uva_t va)
{
	return (va >> f->shift[level]) & ((1u << f->bits[level]) - 1);
}

/* Bytes that one entry of LEVEL covers. */
static inline u64 pt_span(const struct paging_format *f, int level)
{
	return 1UL << f->shift[level];
}

/* True if VA is sign-extended as the format demands. */
bool paging_canonical(const struct paging_format *f, uva_t va);

#endif
