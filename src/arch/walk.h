/* SPDX-License-Identifier: MIT */
/*
 * walk.h - the one table walk, with a CPU's rules.
 *
 * 1. Purpose. Linear to physical as the CPU does it: canonical form, each
 *    level's entry, reserved bits, rights of all levels together, accessed
 *    and dirty bits, and the exact reason if it does not come off.
 *
 * 2. Memory is reached through two functions of the caller's, so that the
 *    same walk serves simulated CPUs (RAM of the port), a description of a
 *    machine in a file, and a checker. They are parameters of an inline
 *    function: a caller's instance contains them.
 *
 * 3. Rules (Intel SDM vol. 3A, 4.5 - 4.8; Arm ARM D8.4 for arm64).
 *    WK-1  The first entry that is not present ends the walk; so does the
 *          first with a reserved bit set. Rights are judged only when the leaf
 *          has been reached.
 *    WK-2  A right exists if every level grants it. A user access needs U/S
 *          everywhere. CR0.WP = 0 lets the supervisor write anywhere.
 *    WK-3  SMEP: no supervisor fetch from user pages. SMAP: no supervisor data
 *          access to them unless EFLAGS.AC is set (and it is explicit).
 *    WK-4  Accessed is set in every entry used, dirty in the leaf of a write,
 *          by compare and exchange on the value that was judged; none of them
 *          is set if the access faults.
 *    WK-5  The error code's I bit needs NXE with entries that have NX, or SMEP.
 *
 * 4. Not modelled: protection keys, shadow stacks, paging-structure caches,
 *    PCIDs (the TLB model has its tags); PAE's root as four registers that
 *    loading CR3 fills and checks (here it is read and checked in the walk);
 *    arm64's rights in table descriptors.
 */
#ifndef MM_ARCH_WALK_H
#define MM_ARCH_WALK_H

#include "arch/paging.h"

/* What is asked. */
#define PAGING_READ	0x1u
#define PAGING_WRITE	0x2u
#define PAGING_EXEC	0x4u
#define PAGING_USER	0x8u  /* CPL 3 */
#define PAGING_IMPLICIT 0x10u /* supervisor, by the CPU itself (SMAP) */

enum paging_reason {
	PAGING_OK,
	PAGING_NONCANONICAL, /* #GP(0), or #SS(0) through the stack segment */
	PAGING_NOT_PRESENT,
	PAGING_RESERVED,
	PAGING_SUPERVISOR_PAGE, /* user access without U/S */
	PAGING_READ_ONLY,
	PAGING_NO_EXEC,
	PAGING_SMEP,
	PAGING_SMAP,
	PAGING_BAD_TABLE, /* the next table is not in memory: no CPU fault */
	PAGING_AGAIN	  /* an entry changed under the walk (internal) */
};

/* paging_reason_text: one phrase for people. */
const char *paging_reason_text(enum paging_reason reason);

/* The registers that a walk depends on. */
struct paging_cpu {
	const struct paging_format *fmt;
	phys_addr_t root;      /* CR3's base; TTBR0 */
	phys_addr_t root_high; /* TTBR1: upper half on arm64 */
	bool wp, nxe, smep, smap, ac;
	u8 pa_bits; /* MAXPHYADDR */
	/* What it does not look at: PS with two levels and CR4.PSE = 0. */
	u64 ignored;
};

/*
 * paging_cpu_init: as a kernel sets it up: WP, NX and (with SMX) SMEP and
 * SMAP on, 46 physical bits (36 with PAE, 40 with PSE-36, 48 on arm64).
 */
void paging_cpu_init(struct paging_cpu *cpu, const struct paging_format *fmt,
		     phys_addr_t root, bool smx);

struct paging_walk {
	enum paging_reason reason;
	u32 error; /* page-fault error code if reason says so */
	int depth; /* entries read */
	int level; /* of the last entry read */
	phys_addr_t pa;
	bool write, user, exec, global; /* rights of all levels together */
	bool changed;			/* A or D was set */
	u64 all; /* bits that all entries have, once the leaf is reached */
	/* Entries by order of reading: where they stand, and what they are. */
	phys_addr_t at[PT_MAX_LEVELS];
	u64 raw[PT_MAX_LEVELS];
	pte_t entry[PT_MAX_LEVELS];
};

/* paging_reserved: bits of a raw entry at LEVEL that must be clear. */
u64 paging_reserved(const struct paging_cpu *cpu, int level, u64 raw);

/*
 * paging_error_code: what a CPU pushes (x86), in the same bits for arm64, for
 * which paging_arm64_status() has the fault status of its own (DFSC).
 */
u32 paging_error_code(const struct paging_cpu *cpu, u32 access,
		      enum paging_reason reason);
u32 paging_arm64_status(const struct paging_walk *w);

/* paging_judge: the rights found in W against ACCESS. */
enum paging_reason paging_judge(const struct paging_cpu *cpu,
				const struct paging_walk *w, u32 access);

/*
 * The caller's memory: the entry at PA, false if there is no memory; and the
 * same with OLD replaced by RAW, false if it is not OLD any more.
 */
typedef bool paging_read_fn(void *arg, const struct paging_format *f,
			    phys_addr_t pa, u64 *raw);
typedef bool paging_update_fn(void *arg, const struct paging_format *f,
			      phys_addr_t pa, u64 old, u64 raw);

/* The caller's memory as one thing. UPDATE NULL: nothing is marked. */
struct paging_mem {
	paging_read_fn *read;
	paging_update_fn *update;
	void *arg;
};

#define PAGING_INLINE static inline __attribute__((always_inline))

/*
 * Bits of a raw entry without which none of its bits is reserved: most
 * entries need no closer look.
 */
PAGING_INLINE u64 paging_suspect(const struct paging_cpu *cpu)
{
	if (likely(cpu->fmt->kind == PAGING_X86_64))
		return (X86_PTE_FRAME & ~((1UL << cpu->pa_bits) - 1)) |
		       (cpu->nxe ? 0 : X86_PTE_NX) | X86_PTE_PS;
	return ~0UL;
}

/* Read entries down to the leaf. */
PAGING_INLINE enum paging_reason paging_descend(const struct paging_cpu *cpu,
						uva_t va, struct paging_walk *w,
						const struct paging_mem *mem)
{
	const struct paging_format *f = cpu->fmt;
	bool high = f->kind == PAGING_ARM64 && va >> f->va_bits;
	phys_addr_t table = high ? cpu->root_high : cpu->root;
	u64 suspect = paging_suspect(cpu), all = ~0UL, any = 0;

	w->depth = 0;
	for (int level = f->levels - 1;; level--) {
		u64 off = (u64)pt_index(f, level, va) * f->entry_bytes, raw;
		pte_t e;

		w->level = level;
		w->at[w->depth] = table + off;
		if (!mem->read(mem->arg, f, table + off, &raw))
			return PAGING_BAD_TABLE;
		w->raw[w->depth] = raw;
		raw &= ~cpu->ignored;
		e = pte_decode(f, level, raw);
		w->entry[w->depth++] = e;
		if (!pte_valid(e))
			return PAGING_NOT_PRESENT;
		if (unlikely(raw & suspect) && paging_reserved(cpu, level, raw))
			return PAGING_RESERVED;
		all &= e.val;
		any |= e.val;
		table = pte_pfn(e) << PAGE_SHIFT;
		if (level && !pte_huge(e))
			continue;
		w->all = all;
		w->write = pte_write(__pte(all));
		w->user = pte_user(__pte(all));
		w->exec = pte_exec(__pte(any));
		w->global = pte_global(e);
		w->pa = ALIGN_DOWN(table, pt_span(f, level)) |
			(va & (pt_span(f, level) - 1));
		return PAGING_OK;
	}
}

/* Is there anything to be marked after a walk that came off? */
PAGING_INLINE bool paging_unmarked(const struct paging_walk *w, u32 access)
{
	bool clean = !pte_dirty(w->entry[w->depth - 1]);

	return !pte_young(__pte(w->all)) || ((access & PAGING_WRITE) && clean);
}

/*
 * Set A on the way and D on the leaf of a write, where they are not set. Only
 * what stands for them changes: an entry may hold bits that decoding drops.
 */
PAGING_INLINE enum paging_reason paging_mark(const struct paging_cpu *cpu,
					     u32 access, struct paging_walk *w,
					     const struct paging_mem *mem)
{
	const struct paging_format *f = cpu->fmt;

	for (int i = 0; i < w->depth; i++) {
		int level = f->levels - 1 - i;
		u64 bits = X86_PTE_A, raw;
		pte_t e;

		if (i == w->depth - 1 && (access & PAGING_WRITE))
			bits |= X86_PTE_D;
		e = __pte(w->entry[i].val | bits);
		if (likely(pte_same(e, w->entry[i])))
			continue;
		raw = w->raw[i] ^ pte_encode(f, level, w->entry[i]) ^
		      pte_encode(f, level, e);
		if (!mem->update(mem->arg, f, w->at[i], w->raw[i], raw))
			return PAGING_AGAIN;
		w->entry[i] = e;
		w->raw[i] = raw;
		w->changed = true;
	}
	return PAGING_OK;
}

/*
 * paging_walk_with: translate VA for ACCESS (PAGING_*). PAGING_OK with w->pa;
 * else why not, with w->error where the CPU has an error code. Context: any;
 * MEM's functions as they are.
 */
PAGING_INLINE enum paging_reason paging_walk_with(const struct paging_cpu *cpu,
						  uva_t va, u32 access,
						  struct paging_walk *w,
						  const struct paging_mem *mem)
{
	enum paging_reason reason;

	w->changed = false;
	w->error = 0;
	if (unlikely(!paging_canonical(cpu->fmt, va))) {
		w->depth = 0;
		w->level = cpu->fmt->levels - 1;
		return w->reason = PAGING_NONCANONICAL;
	}
	do {
		reason = paging_descend(cpu, va, w, mem);
		if (reason == PAGING_OK)
			reason = paging_judge(cpu, w, access);
		if (reason == PAGING_OK && mem->update &&
		    paging_unmarked(w, access))
			reason = paging_mark(cpu, access, w, mem);
	} while (unlikely(reason == PAGING_AGAIN));
	if (unlikely(reason))
		w->error = paging_error_code(cpu, access, reason);
	return w->reason = reason;
}

/*
 * paging_walk: the walk through the port's RAM. The caller keeps the tables
 * in RAM that is online; an address beyond LIMIT is PAGING_BAD_TABLE.
 */
enum paging_reason paging_walk(const struct paging_cpu *cpu, uva_t va,
			       u32 access, phys_addr_t limit,
			       struct paging_walk *w);

#endif
