/* SPDX-License-Identifier: MIT */
/*
 * segment_linux.h - the descriptor tables that Linux builds, the three models
 * of segmentation, and writers for GDT, IDT and TSS that a CPU may load.
 * Theory: segment_linux.c. Pure functions, any context, no locks.
 */
#ifndef MM_ARCH_SEGMENT_LINUX_H
#define MM_ARCH_SEGMENT_LINUX_H

#include "arch/segment.h"

/* ---- GDT of x86-32: 32 entries (arch/x86 of Linux 2.6 to 6.x) ----------- */

enum linux_gdt32 {
	LINUX32_TLS_MIN = 6,
	LINUX32_TLS_MAX = 8,
	LINUX32_KERNEL_CS = 12,
	LINUX32_KERNEL_DS = 13,
	LINUX32_USER_CS = 14,
	LINUX32_USER_DS = 15,
	LINUX32_TSS = 16,
	LINUX32_LDT = 17,
	LINUX32_PNPBIOS_CS32 = 18,
	LINUX32_PNPBIOS_CS16 = 19,
	LINUX32_PNPBIOS_DS = 20,
	LINUX32_PNPBIOS_TS1 = 21,
	LINUX32_PNPBIOS_TS2 = 22,
	LINUX32_APMBIOS_CS32 = 23,
	LINUX32_APMBIOS_CS16 = 24,
	LINUX32_APMBIOS_DS = 25,
	LINUX32_ESPFIX_SS = 26,
	LINUX32_PERCPU = 27,
	LINUX32_CPUNODE = 28,
	LINUX32_DOUBLEFAULT_TSS = 31,
	LINUX32_GDT_ENTRIES = 32
};

/* ---- GDT of x86-64: 16 entries ------------------------------------------ */

enum linux_gdt64 {
	LINUX64_KERNEL32_CS = 1,
	LINUX64_KERNEL_CS = 2,
	LINUX64_KERNEL_DS = 3,
	LINUX64_USER32_CS = 4,
	LINUX64_USER_DS = 5,
	LINUX64_USER_CS = 6,
	LINUX64_TSS = 8,  /* two entries */
	LINUX64_LDT = 10, /* two entries */
	LINUX64_TLS_MIN = 12,
	LINUX64_TLS_MAX = 14,
	LINUX64_CPUNODE = 15,
	LINUX64_GDT_ENTRIES = 16
};

#define LINUX_TLS_ENTRIES 3

/* One CPU's GDT in a page of its own, so that it can be mapped alone. */
struct gdt_page {
	u64 gdt[LINUX32_GDT_ENTRIES];
} MM_ALIGNED(4096);

/* What differs from CPU to CPU; addresses are linear, of the machine. */
struct linux_cpu_desc {
	u64 tss_base;
	u64 ldt_base;	 /* with ldt_entries = 0: no LDT descriptor */
	u32 ldt_entries; /* at most SEG_MAX_ENTRIES */
	u64 percpu_base; /* x86-32: the per-CPU segment */
	u64 df_tss_base; /* x86-32: the double-fault task's TSS */
	u32 cpu;	 /* below 4096 */
	u32 node;	 /* below 256 */
};

/*
 * linux_gdt32, linux_gdt64: write the table of one CPU to GDT (32 or 16
 * entries). Returns 0, or -EINVAL with GDT unchanged: a base beyond 4 GiB
 * where 32 bits must do, a CPU or node number that LSL could not return.
 */
int linux_gdt32(const struct linux_cpu_desc *d, u64 *gdt) MM_MUST_CHECK;
int linux_gdt64(const struct linux_cpu_desc *d, u64 *gdt) MM_MUST_CHECK;

/* What getcpu reads by LSL from the CPU-and-node entry. */
static inline u32 linux_cpunode_cpu(u32 limit)
{
	return limit & 0xfff;
}

static inline u32 linux_cpunode_node(u32 limit)
{
	return limit >> 12;
}

/* ---- TSS (SDM 7.2.1, 7.7) ----------------------------------------------- */

struct x86_tss32 {
	u16 back_link, res0;
	u32 sp0;
	u16 ss0, res1;
	u32 sp1;
	u16 ss1, res2;
	u32 sp2;
	u16 ss2, res3;
	u32 cr3, ip, flags, ax, cx, dx, bx, sp, bp, si, di;
	u16 es, res4, cs, res5, ss, res6, ds, res7, fs, res8, gs, res9;
	u16 ldt, res10;
	u16 trap, io_bitmap_base;
} __attribute__((packed));

struct x86_tss64 {
	u32 res0;
	u64 sp0, sp1, sp2;
	u64 res1;
	u64 ist[7];
	u64 res2;
	u16 res3, io_bitmap_base;
} __attribute__((packed));

MM_STATIC_ASSERT(sizeof(struct x86_tss32) == 104, "the CPU's layout");
MM_STATIC_ASSERT(offsetof(struct x86_tss32, ldt) == 96, "the CPU's layout");
MM_STATIC_ASSERT(sizeof(struct x86_tss64) == 104, "the CPU's layout");
MM_STATIC_ASSERT(offsetof(struct x86_tss64, ist) == 36, "the CPU's layout");

/* A TSS without I/O bitmap, with stacks for ring 0 and (64) the IST. */
void x86_tss32_init(struct x86_tss32 *tss, u16 ss0, u32 sp0);
void x86_tss64_init(struct x86_tss64 *tss, u64 sp0, const u64 ist[7]);

/* ---- writers ------------------------------------------------------------ */

/* Flat code or data of ring DPL: all of 4 GiB (LMODE: 64-bit code). */
struct seg_desc seg_flat(enum seg_kind kind, u8 dpl, bool lmode);

/* A system segment over [BASE, BASE + BYTES), ring 0, present. */
struct seg_desc seg_system(enum seg_kind kind, u64 base, u32 bytes);

/*
 * seg_table_set: encode D into TABLE[INDEX] of NR entries (8 bytes each; IDT
 * of long mode: 16 each). Returns 0, -EINVAL for what cannot be encoded or may
 * not stand in a table of that kind (and GDT entry 0 for anything but null),
 * -ERANGE if it does not fit; the table is unchanged then.
 */
struct seg_slot {
	u64 *table;
	u32 nr; /* entries of 8 bytes */
	enum seg_table kind;
	bool lma;
};
int seg_table_set(const struct seg_slot *to, u32 index,
		  const struct seg_desc *d) MM_MUST_CHECK;

/*
 * linux_idt: the gates that Linux gives the vectors: interrupt gates to the
 * kernel's code segment, DPL 3 for INT3, INTO and 0x80; x86-64: stacks of the
 * IST for #DF, NMI, #DB and #MC; x86-32: a task gate for #DF. HANDLER[v]: entry
 * points. IDT has 256 or 512 entries of 8 bytes. Returns 0 or -EINVAL.
 */
int linux_idt(bool x86_64, const u64 handler[256], u64 *idt) MM_MUST_CHECK;

/* ---- the three models (SDM 3.2) ----------------------------------------- */

enum seg_model {
	SEG_MODEL_BASIC_FLAT,
	SEG_MODEL_PROTECTED_FLAT,
	SEG_MODEL_MULTI
};

#define SEG_MODEL_ENTRIES 8

/*
 * seg_model_gdt: GDT[8] of MODEL on a machine with RAM bytes (> 0, a multiple
 * of 4 KiB up to 4 GiB). Basic flat: code 1, data 2 over everything. Protected
 * flat: code 1, data 2 of ring 0, code 3, data 4 of ring 3, limits at the end
 * of RAM. Multi: code 1, data 2 of ring 0 in the first quarter, code 3, data 4,
 * stack 5 (expand-down) and heap 6 of ring 3, each in an eighth of its own of
 * the second half. Returns 0 or -EINVAL.
 */
int seg_model_gdt(enum seg_model model, u64 ram, u64 *gdt) MM_MUST_CHECK;

/* ---- modify_ldt(2), set_thread_area(2) ---------------------------------- */

struct user_desc {
	u32 entry_number;
	u32 base_addr;
	u32 limit;
	u32 seg_32bit : 1;
	u32 contents : 2;
	u32 read_exec_only : 1;
	u32 limit_in_pages : 1;
	u32 seg_not_present : 1;
	u32 useable : 1;
	u32 lm : 1; /* x86-64 */
};

/* The descriptor of INFO: ring 3, accessed. Contents must be 0 .. 3. */
u64 linux_user_desc_encode(const struct user_desc *info);
void linux_user_desc_decode(u64 raw, struct user_desc *info);

/* A process's LDT; all zero: it has the default one, which all share. */
struct linux_ldt {
	u64 *entries; /* private; NULL: the default */
	u32 nr;	      /* entries up to the highest ever written */
	u32 room;     /* entries that the memory holds */
};

/* The default LDT: entries that are all empty. */
#define LINUX_DEFAULT_LDT_ENTRIES 16
extern const u64 linux_default_ldt[LINUX_DEFAULT_LDT_ENTRIES];

/* linux_ldt_give: memory for a private LDT; entries so far are copied. */
void linux_ldt_give(struct linux_ldt *l, u64 *mem, u32 room);

/*
 * linux_ldt_write: modify_ldt with func 1 (OLD) or 0x11. Returns 0; -EINVAL
 * for an entry number of 8192 or more, contents 3 that are old or present;
 * -ENOMEM if the memory given does not reach: the caller gives more
 * (INFO->entry_number + 1 entries) and comes again.
 */
int linux_ldt_write(struct linux_ldt *l, const struct user_desc *info,
		    bool old) MM_MUST_CHECK;

/* linux_ldt_read: func 0: bytes copied to TO[LEN], 0 for the default LDT. */
u32 linux_ldt_read(const struct linux_ldt *l, void *to, u32 len);

/* linux_ldt_read_default: func 2: bytes of the default LDT. */
u32 linux_ldt_read_default(void *to, u32 len);

/* linux_ldt_table: what LLDT is to load: the entries, and how many. */
const u64 *linux_ldt_table(const struct linux_ldt *l, u32 *nr);

/*
 * linux_set_thread_area: write a TLS entry of TLS[3], whose first index in the
 * GDT is MIN. INFO->entry_number -1: the first empty one, and its number is
 * stored there. Returns 0; -EINVAL for an index outside or a descriptor that a
 * TLS entry may not be (16-bit, conforming or 64-bit code, not present);
 * -ESRCH if none is empty.
 */
int linux_set_thread_area(u64 *tls, u32 first,
			  struct user_desc *info) MM_MUST_CHECK;

/* linux_get_thread_area: 0 or -EINVAL (INFO->entry_number outside). */
int linux_get_thread_area(const u64 *tls, u32 first,
			  struct user_desc *info) MM_MUST_CHECK;

#endif
