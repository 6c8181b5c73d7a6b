/* SPDX-License-Identifier: MIT */
/*
 * explain_map.c - page tables built from mappings, entry by entry, in any
 * format: for machine files and for the kernel's part of a machine.
 *
 * Entries are written by pte_encode(), the same that the manager uses. Links
 * carry all rights, as the manager has it, those of the kernel's part all but
 * U/S, as Linux has it.
 */
#include "base/assert.h"
#include "explain.h"

static phys_addr_t root_of(const struct explain_store *s, u64 va)
{
	bool high = s->fmt->kind == PAGING_ARM64 && va >> s->fmt->va_bits;

	return high ? s->root_high : s->root;
}

/* The entry of LEVEL that VA goes through; tables above it are made. */
static const char *find_slot(const struct explain_store *s, u64 va, int level,
			     phys_addr_t *slot)
{
	u64 link = X86_TABLE_LINK & ~(s->kernel ? X86_PTE_US : 0);
	phys_addr_t table = root_of(s, va);

	for (int l = s->fmt->levels - 1;; l--) {
		phys_addr_t at = table + (u64)pt_index(s->fmt, l, va) *
						 s->fmt->entry_bytes;
		u64 raw;
		pte_t e;

		if (!s->read(s->arg, at, &raw))
			return "a table lies where there is no memory";
		if (l == level) {
			*slot = at;
			return raw ? "the address is mapped already" : NULL;
		}
		e = pte_decode(s->fmt, l, raw);
		if (raw && (!pte_valid(e) || pte_huge(e)))
			return "the address is mapped already";
		if (!raw) {
			if (!s->table(s->arg, &table))
				return "no room for another table";
			e = pte_make(table >> PAGE_SHIFT, __pgprot(link));
			if (!s->write(s->arg, at, pte_encode(s->fmt, l, e)))
				return "a table lies where there is no memory";
		}
		table = pte_pfn(e) << PAGE_SHIFT;
	}
}

static bool level_usable(const struct explain_store *s, int level)
{
	return pt_leaf_allowed(s->fmt, level) &&
	       (level == 0 || s->fmt->kind != PAGING_X86_32 || s->pse);
}

/* The largest page that fits at VA and PA with LEFT bytes to go. */
static int best_level(const struct explain_store *s, u64 va, u64 pa, u64 left)
{
	int level = s->fmt->levels - 1;

	for (; level > 0; level--) {
		u64 span = pt_span(s->fmt, level);

		if (level_usable(s, level) && left >= span &&
		    IS_ALIGNED(va | pa, span))
			break;
	}
	return level;
}

/* Physical addresses that a leaf of LEVEL can hold. */
static u64 leaf_limit(const struct explain_store *s, int level)
{
	if (s->fmt->kind == PAGING_X86_32 && level)
		return 1UL << 40; /* PSE-36 as wide as it goes */
	return 1UL << s->fmt->pa_bits;
}

static const char *bad_map(const struct explain_store *s,
			   const struct explain_map *m)
{
	if (!m->size || !IS_ALIGNED(m->va | m->pa | m->size, PAGE_SIZE))
		return "addresses and size are multiples of 4 KiB, and not 0";
	if (m->va + m->size - 1 < m->va || m->pa + m->size - 1 < m->pa)
		return "the range wraps around";
	if (!paging_canonical(s->fmt, m->va) ||
	    !paging_canonical(s->fmt, m->va + m->size - 1))
		return "the address is not canonical";
	if (m->level >= 0 && !level_usable(s, m->level))
		return "the format has no pages of this size";
	return NULL;
}

static pte_t leaf_entry(const struct explain_store *s,
			const struct explain_map *m, u64 pa, int level)
{
	pte_t e = pte_make(pa >> PAGE_SHIFT, __pgprot(m->prot.val));

	if (!s->fmt->has_nx || (!s->nxe && s->fmt->kind != PAGING_ARM64))
		e = pte_mkexec(e);
	return level ? pte_mkhuge(e) : e;
}

const char *explain_map_range(const struct explain_store *s,
			      const struct explain_map *m)
{
	const char *bad = bad_map(s, m);
	u64 done = 0;

	while (!bad && done < m->size) {
		u64 va = m->va + done, pa = m->pa + done;
		int level = m->level;
		phys_addr_t slot;
		pte_t e;

		if (level < 0)
			level = best_level(s, va, pa, m->size - done);
		if (m->size - done < pt_span(s->fmt, level) ||
		    !IS_ALIGNED(va | pa, pt_span(s->fmt, level)))
			return "the range is not made of pages of this size";
		if (pa + pt_span(s->fmt, level) > leaf_limit(s, level))
			return "the physical address is too wide for the "
			       "format";
		bad = find_slot(s, va, level, &slot);
		if (bad)
			break;
		e = leaf_entry(s, m, pa, level);
		if (!s->write(s->arg, slot, pte_encode(s->fmt, level, e)))
			return "a table lies where there is no memory";
		done += pt_span(s->fmt, level);
	}
	return bad;
}

const char *explain_map_entry(const struct explain_store *s, u64 va, pte_t e)
{
	phys_addr_t slot;
	const char *bad;

	if (!IS_ALIGNED(va, PAGE_SIZE) || !paging_canonical(s->fmt, va))
		return "no address of a page";
	bad = find_slot(s, va, 0, &slot);
	if (bad)
		return bad;
	return s->write(s->arg, slot, pte_encode(s->fmt, 0, e))
		       ? NULL
		       : "a table lies where there is no memory";
}
