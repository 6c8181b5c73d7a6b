/* SPDX-License-Identifier: MIT */
/*
 * walk.c - what the walk knows of CPUs. See walk.h.
 */
#include "arch/walk.h"

#include <mmkit/port.h>

#define X86_32_RSVD_PSE BIT(21) /* between PSE-36's address and the base */
#define PAE_ROOT_RSVD	(BIT(1) | BIT(2) | 0x1e0UL)
#define PAE_HIGH_RSVD	0x7ff0000000000000UL /* 62..52 */
#define ARM64_PAGE_BIT	BIT(1)
#define ARM64_FRAME	0x0000fffffffff000UL

const char *paging_reason_text(enum paging_reason reason)
{
	static const char *const text[] = {
		[PAGING_OK] = "translated",
		[PAGING_NONCANONICAL] = "address is not canonical",
		[PAGING_NOT_PRESENT] = "entry is not present",
		[PAGING_RESERVED] = "reserved bit is set",
		[PAGING_SUPERVISOR_PAGE] = "page is the supervisor's",
		[PAGING_READ_ONLY] = "page is read-only",
		[PAGING_NO_EXEC] = "page is not executable",
		[PAGING_SMEP] = "supervisor fetch from a user page (SMEP)",
		[PAGING_SMAP] = "supervisor access to a user page (SMAP)",
		[PAGING_BAD_TABLE] = "table is not in memory",
		[PAGING_AGAIN] = "entry changed",
	};

	mm_verify((unsigned int)reason < ARRAY_SIZE(text));
	return text[reason];
}

void paging_cpu_init(struct paging_cpu *cpu, const struct paging_format *fmt,
		     phys_addr_t root, bool smx)
{
	static const u8 width[] = {
		[PAGING_X86_64] = 46,
		[PAGING_X86_32] = 40,
		[PAGING_X86_PAE] = 36,
		[PAGING_ARM64] = 48,
	};

	*cpu = (struct paging_cpu){
		.fmt = fmt,
		.root = root,
		.wp = true,
		.nxe = fmt->has_nx,
		/* Arm has PXN on every user page, which is the same. */
		.smep = smx || fmt->kind == PAGING_ARM64,
		.smap = smx,
		.pa_bits = width[fmt->kind],
	};
}

/* ---- reserved bits
 * ------------------------------------------------------------------ */

/* Address bits of a table or 4 KiB page beyond the CPU's. */
static u64 beyond_width(const struct paging_cpu *cpu)
{
	return X86_PTE_FRAME & ~((1UL << cpu->pa_bits) - 1);
}

/* Address bits of a large page that lie below its size; PAT's is none. */
static u64 below_size(const struct paging_format *f, int level)
{
	return (pt_span(f, level) - 1) & X86_PTE_FRAME & ~X86_PTE_PAT_LARGE;
}

static u64 reserved_x86_32(const struct paging_cpu *cpu, int level, u64 raw)
{
	u32 high_bits = cpu->pa_bits > 32 ? cpu->pa_bits - 32u : 0;

	if (level == 0 || !(raw & X86_PTE_PS))
		return 0;
	/* Bits 20..13 are address bits 39..32, as far as the CPU has them. */
	return raw & (X86_32_RSVD_PSE |
		      ((0xffUL & ~((1UL << min(high_bits, 8u)) - 1)) << 13));
}

static u64 reserved_x86(const struct paging_cpu *cpu, int level, u64 raw)
{
	const struct paging_format *f = cpu->fmt;
	bool pae = f->kind == PAGING_X86_PAE;
	u64 mask = beyond_width(cpu);

	if (!cpu->nxe)
		mask |= X86_PTE_NX;
	if (pae)
		mask |= PAE_HIGH_RSVD;
	if (pae && level == f->levels - 1)
		return raw & (mask | PAE_ROOT_RSVD | X86_PTE_NX);
	if (level && (raw & X86_PTE_PS))
		mask |= pt_leaf_allowed(f, level) ? below_size(f, level)
						  : X86_PTE_PS;
	return raw & mask;
}

/*
 * A last-level entry needs bit 1; only some levels may have blocks. Address
 * bits beyond the CPU's are an address size fault; others that have no
 * meaning (RES0) are ignored.
 */
static u64 reserved_arm64(const struct paging_cpu *cpu, int level, u64 raw)
{
	if (level == 0 && !(raw & ARM64_PAGE_BIT))
		return ARM64_PAGE_BIT;
	if (!pt_leaf_allowed(cpu->fmt, level) && !(raw & ARM64_PAGE_BIT))
		return ARM64_PAGE_BIT;
	return raw & ARM64_FRAME & beyond_width(cpu);
}

u64 paging_reserved(const struct paging_cpu *cpu, int level, u64 raw)
{
	switch (cpu->fmt->kind) {
	case PAGING_X86_32:
		return reserved_x86_32(cpu, level, raw);
	case PAGING_ARM64:
		return reserved_arm64(cpu, level, raw);
	default:
		return reserved_x86(cpu, level, raw);
	}
}

/* ---- rights
 * -------------------------------------------------------------------------- */

/* A supervisor access to a page that user code can reach. */
static enum paging_reason judge_smx(const struct paging_cpu *cpu, u32 access)
{
	if (access & PAGING_EXEC)
		return cpu->smep ? PAGING_SMEP : PAGING_OK;
	if (cpu->smap && (!cpu->ac || (access & PAGING_IMPLICIT)))
		return PAGING_SMAP;
	return PAGING_OK;
}

enum paging_reason paging_judge(const struct paging_cpu *cpu,
				const struct paging_walk *w, u32 access)
{
	bool user = access & PAGING_USER;
	enum paging_reason smx;

	if (user && !w->user)
		return PAGING_SUPERVISOR_PAGE;
	smx = !user && w->user ? judge_smx(cpu, access) : PAGING_OK;
	if (smx)
		return smx;
	if ((access & PAGING_WRITE) && !w->write && (user || cpu->wp))
		return PAGING_READ_ONLY;
	if ((access & PAGING_EXEC) && !w->exec)
		return PAGING_NO_EXEC;
	return PAGING_OK;
}

u32 paging_error_code(const struct paging_cpu *cpu, u32 access,
		      enum paging_reason reason)
{
	u32 code = 0;

	if (reason == PAGING_NONCANONICAL || reason == PAGING_BAD_TABLE)
		return 0;
	if (reason != PAGING_NOT_PRESENT)
		code |= PF_ERR_PRESENT;
	if (reason == PAGING_RESERVED)
		code |= PF_ERR_RSVD;
	if (access & PAGING_WRITE)
		code |= PF_ERR_WRITE;
	if (access & PAGING_USER)
		code |= PF_ERR_USER;
	if ((access & PAGING_EXEC) &&
	    ((cpu->nxe && cpu->fmt->has_nx) || cpu->smep))
		code |= PF_ERR_INSTR;
	return code;
}

static bool arm64_kind_valid(const struct paging_walk *w)
{
	mm_assert(w->depth > 0);
	return (w->raw[w->depth - 1] & ARM64_PAGE_BIT) ||
	       (w->level && pt_leaf_allowed(&paging_arm64, w->level));
}

/* Fault status codes of ESR_ELx (Arm ARM, ISS encoding of data aborts). */
u32 paging_arm64_status(const struct paging_walk *w)
{
	u32 level = 3u - (u32)w->level; /* Arm counts from the root */

	switch (w->reason) {
	case PAGING_OK:
		return 0;
	case PAGING_NONCANONICAL:
		return 0x04; /* translation fault, level 0 */
	case PAGING_NOT_PRESENT:
		return 0x04 | level;
	case PAGING_RESERVED:
		/* Either no valid kind of entry, or too wide an address. */
		return arm64_kind_valid(w) ? level : 0x04 | level;
	case PAGING_BAD_TABLE:
		return 0x14 | level; /* external abort on a table walk */
	default:
		return 0x0c | level; /* permission fault */
	}
}

/* ---- through the port's RAM
 * ----------------------------------------------------------- */

static bool ram_read(void *arg, const struct paging_format *f, phys_addr_t pa,
		     u64 *raw)
{
	const phys_addr_t *limit = arg;

	if (unlikely(pa >= *limit))
		return false;
	*raw = pt_raw_read(f, port_ram(pa));
	return true;
}

static bool ram_update(void *arg, const struct paging_format *f, phys_addr_t pa,
		       u64 old, u64 raw)
{
	(void)arg;
	return pt_raw_cmpxchg(f, port_ram(pa), &old, raw);
}

enum paging_reason paging_walk(const struct paging_cpu *cpu, uva_t va,
			       u32 access, phys_addr_t limit,
			       struct paging_walk *w)
{
	struct paging_mem mem = {ram_read, ram_update, &limit};

	return paging_walk_with(cpu, va, access, w, &mem);
}
