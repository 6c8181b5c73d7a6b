/* SPDX-License-Identifier: MIT */
/*
 * segment_linux.c - Linux's descriptor tables, and others ready made.
 *
 * 1. Purpose. What Linux does with segmentation: as little as the CPU lets
 *    it. Flat code and data for two rings, a TSS for the ring 0 stack, a few
 *    entries for firmware calls, and the two doors for programs that want
 *    segments of their own: TLS entries and the LDT. A kernel on a real
 *    machine fills its GDT, IDT and TSS with these functions.
 *
 * 2. Structures. A GDT is an array of u64 of the caller, one for each CPU
 *    (struct gdt_page). struct linux_ldt is a process's LDT: nothing, until
 *    modify_ldt asks for one.
 *
 * 3. Invariants.
 *    SEGL-1  Nothing here writes descriptor bits: all goes through
 *            seg_encode(), so what it refuses cannot get into a table.
 *    SEGL-2  What a program can ask for (LDT, TLS) has S = 1 and DPL = 3: no
 *            gate and no inner ring can be had from outside.
 *    SEGL-3  A process without private LDT sees the default one.
 *
 * 4. Locking. The caller's: an LDT belongs to an address space.
 *
 * 5. Life. linux_ldt_give() lends memory; the caller frees it when the
 *    process ends or when it has given a larger one.
 *
 * 6. Failure. Before anything is written.
 *
 * 7. Complexity. Constant, but for copying an LDT that grows.
 *
 * 8. Choices. x86-32 descriptors are written without the accessed bit, as
 *    boot code does; those of x86-64 with it, so that a GDT in read-only
 *    memory is never written by a load.
 *
 * 9. Rejected. Allocation of LDT memory here: this floor has no allocator.
 *
 * References: modify_ldt(2), set_thread_area(2); Linux documentation,
 * arch/x86/kernel-stacks (IST), x86/exception-tables; Intel SDM vol. 3A, 3.2,
 * 6.11, 7.2; AMD64 APM vol. 2, 4.8, 12.2.
 */
#include "arch/segment_linux.h"

#include <mmkit/errno.h>

#include "base/assert.h"
#include "base/string.h"

/* ---- writers ------------------------------------------------------------ */

struct seg_desc seg_flat(enum seg_kind kind, u8 dpl, bool lmode)
{
	mm_assert(kind == SEG_KIND_CODE || kind == SEG_KIND_DATA);
	mm_assert(dpl <= 3);
	return (struct seg_desc){.kind = kind,
				 .type = kind == SEG_KIND_CODE
						 ? SEG_T_CODE | SEG_T_READ
						 : SEG_T_WRITE,
				 .dpl = dpl,
				 .present = true,
				 .gran = true,
				 .db = !lmode,
				 .lmode = lmode,
				 .limit = 0xffffffff};
}

struct seg_desc seg_system(enum seg_kind kind, u64 base, u32 bytes)
{
	mm_assert(bytes > 0 && bytes <= 0x100000);
	return (struct seg_desc){.kind = kind,
				 .present = true,
				 .base = base,
				 .limit = bytes - 1};
}

int seg_table_set(const struct seg_slot *to, u32 index,
		  const struct seg_desc *d)
{
	u64 raw[2];
	u32 at = to->kind == SEG_TABLE_IDT && to->lma ? index * 2 : index;
	int slots;

	mm_assert(to->table && to->kind < SEG_NR_TABLES);
	if (index >= SEG_MAX_ENTRIES)
		return -ERANGE;
	if (!seg_may_stand(d->kind, to->kind, to->lma))
		return -EINVAL;
	if (to->kind == SEG_TABLE_GDT && index == 0 && d->kind != SEG_KIND_NULL)
		return -EINVAL;
	slots = seg_encode(d, to->lma, raw);
	if (slots < 0)
		return slots;
	if (at + (u32)slots > to->nr)
		return -ERANGE;
	mm_memcpy(&to->table[at], raw, (size_t)slots * sizeof(u64));
	return 0;
}

/* ---- GDT ---------------------------------------------------------------- */

static int set(const struct seg_slot *to, u32 index, struct seg_desc d,
	       u8 extra_type)
{
	d.type |= extra_type;
	return seg_table_set(to, index, &d);
}

/* Byte-granular: firmware's segments, set up anew before each call. */
static struct seg_desc firmware(enum seg_kind kind, bool db)
{
	struct seg_desc d = seg_flat(kind, 0, false);

	d.gran = false;
	d.db = db;
	d.limit = 0xffff;
	return d;
}

/*
 * Read-only data whose limit says node and CPU; ring 3 asks by LSL. It is
 * expand-down from that limit, so what it could reach is not below.
 */
static struct seg_desc cpunode(const struct linux_cpu_desc *d)
{
	struct seg_desc seg = seg_flat(SEG_KIND_DATA, 3, false);

	seg.type = SEG_T_EXPAND_DOWN | SEG_T_ACCESSED;
	seg.gran = false;
	seg.limit = d->node << 12 | d->cpu;
	mm_assert_eq(linux_cpunode_cpu(seg.limit), d->cpu);
	return seg;
}

static bool cpu_desc_ok(const struct linux_cpu_desc *d)
{
	return d->cpu < 4096 && d->node < 256 &&
	       d->ldt_entries <= SEG_MAX_ENTRIES;
}

static int fill_ldt(const struct seg_slot *to, u32 index,
		    const struct linux_cpu_desc *d)
{
	if (d->ldt_entries == 0)
		return 0;
	return set(to, index,
		   seg_system(SEG_KIND_LDT, d->ldt_base, d->ldt_entries * 8),
		   0);
}

static int fill_flat32(const struct seg_slot *to)
{
	int err = set(to, LINUX32_KERNEL_CS, seg_flat(SEG_KIND_CODE, 0, false),
		      0);

	err = err
		      ?: set(to, LINUX32_KERNEL_DS,
			     seg_flat(SEG_KIND_DATA, 0, false), 0);
	err = err
		      ?: set(to, LINUX32_USER_CS,
			     seg_flat(SEG_KIND_CODE, 3, false), 0);
	err = err
		      ?: set(to, LINUX32_USER_DS,
			     seg_flat(SEG_KIND_DATA, 3, false), 0);
	return err
		       ?: set(to, LINUX32_ESPFIX_SS,
			      seg_flat(SEG_KIND_DATA, 0, false), 0);
}

static int fill_firmware32(const struct seg_slot *to)
{
	static const struct {
		u8 index, kind, db;
	} entries[] = {
		{LINUX32_PNPBIOS_CS32, SEG_KIND_CODE, 1},
		{LINUX32_PNPBIOS_CS16, SEG_KIND_CODE, 0},
		{LINUX32_PNPBIOS_DS, SEG_KIND_DATA, 0},
		{LINUX32_PNPBIOS_TS1, SEG_KIND_DATA, 0},
		{LINUX32_PNPBIOS_TS2, SEG_KIND_DATA, 0},
		{LINUX32_APMBIOS_CS32, SEG_KIND_CODE, 1},
		{LINUX32_APMBIOS_CS16, SEG_KIND_CODE, 0},
		{LINUX32_APMBIOS_DS, SEG_KIND_DATA, 1},
	};
	int err = 0;

	for (u32 i = 0; i < ARRAY_SIZE(entries) && !err; i++)
		err = set(to, entries[i].index,
			  firmware(entries[i].kind, entries[i].db), 0);
	return err;
}

static int fill_cpu32(const struct seg_slot *to, const struct linux_cpu_desc *d)
{
	struct seg_desc percpu = seg_flat(SEG_KIND_DATA, 0, false);
	u32 tss = sizeof(struct x86_tss32);
	int err;

	percpu.base = d->percpu_base;
	err = set(to, LINUX32_TSS, seg_system(SEG_KIND_TSS32, d->tss_base, tss),
		  0);
	err = err
		      ?: set(to, LINUX32_DOUBLEFAULT_TSS,
			     seg_system(SEG_KIND_TSS32, d->df_tss_base, tss),
			     0);
	err = err ?: set(to, LINUX32_PERCPU, percpu, 0);
	err = err ?: set(to, LINUX32_CPUNODE, cpunode(d), 0);
	return err ?: fill_ldt(to, LINUX32_LDT, d);
}

int linux_gdt32(const struct linux_cpu_desc *d, u64 *gdt)
{
	u64 made[LINUX32_GDT_ENTRIES] = {0};
	struct seg_slot to = {made, LINUX32_GDT_ENTRIES, SEG_TABLE_GDT, false};
	int err;

	if (!cpu_desc_ok(d))
		return -EINVAL;
	err = fill_flat32(&to);
	err = err ?: fill_firmware32(&to);
	err = err ?: fill_cpu32(&to, d);
	if (err)
		return err;
	mm_assert_eq(made[LINUX32_KERNEL_CS], 0x00cf9a000000ffff);
	mm_memcpy(gdt, made, sizeof(made));
	return 0;
}

static int fill_flat64(const struct seg_slot *to)
{
	const u8 a = SEG_T_ACCESSED;
	int err = set(to, LINUX64_KERNEL32_CS,
		      seg_flat(SEG_KIND_CODE, 0, false), a);

	err = err
		      ?: set(to, LINUX64_KERNEL_CS,
			     seg_flat(SEG_KIND_CODE, 0, true), a);
	err = err
		      ?: set(to, LINUX64_KERNEL_DS,
			     seg_flat(SEG_KIND_DATA, 0, false), a);
	err = err
		      ?: set(to, LINUX64_USER32_CS,
			     seg_flat(SEG_KIND_CODE, 3, false), a);
	err = err
		      ?: set(to, LINUX64_USER_DS,
			     seg_flat(SEG_KIND_DATA, 3, false), a);
	return err
		       ?: set(to, LINUX64_USER_CS,
			      seg_flat(SEG_KIND_CODE, 3, true), a);
}

int linux_gdt64(const struct linux_cpu_desc *d, u64 *gdt)
{
	u64 made[LINUX64_GDT_ENTRIES] = {0};
	struct seg_slot to = {made, LINUX64_GDT_ENTRIES, SEG_TABLE_GDT, true};
	int err;

	if (!cpu_desc_ok(d))
		return -EINVAL;
	err = fill_flat64(&to);
	err = err
		      ?: set(&to, LINUX64_TSS,
			     seg_system(SEG_KIND_TSS64, d->tss_base,
					sizeof(struct x86_tss64)),
			     0);
	err = err ?: fill_ldt(&to, LINUX64_LDT, d);
	err = err ?: set(&to, LINUX64_CPUNODE, cpunode(d), 0);
	if (err)
		return err;
	mm_assert_eq(made[LINUX64_KERNEL_CS], 0x00af9b000000ffff);
	mm_memcpy(gdt, made, sizeof(made));
	return 0;
}

/* ---- TSS and IDT -------------------------------------------------------- */

void x86_tss32_init(struct x86_tss32 *tss, u16 ss0, u32 sp0)
{
	mm_assert(!seg_sel_null(ss0) && seg_sel_rpl(ss0) == 0);
	*tss = (struct x86_tss32){
		.sp0 = sp0, .ss0 = ss0, .io_bitmap_base = sizeof(*tss)};
}

void x86_tss64_init(struct x86_tss64 *tss, u64 sp0, const u64 ist[7])
{
	*tss = (struct x86_tss64){.sp0 = sp0, .io_bitmap_base = sizeof(*tss)};
	for (int i = 0; i < 7; i++) {
		mm_assert((ist[i] & 0xf) == 0);
		tss->ist[i] = ist[i];
	}
}

/* Which interrupt stack Linux gives to a vector of x86-64. */
static u8 vector_ist(u32 vector)
{
	switch (vector) {
	case 8: /* #DF */
		return 1;
	case 2: /* NMI */
		return 2;
	case 1: /* #DB */
		return 3;
	case 18: /* #MC */
		return 4;
	default:
		return 0;
	}
}

static struct seg_desc vector_gate(bool x86_64, u32 vector, u64 handler)
{
	bool user = vector == 3 || vector == 4 || vector == 0x80;
	struct seg_desc d = {.kind = x86_64 ? SEG_KIND_INTR64 : SEG_KIND_INTR32,
			     .dpl = user ? 3 : 0,
			     .present = true,
			     .ist = x86_64 ? vector_ist(vector) : 0,
			     .target = seg_sel(x86_64 ? (u32)LINUX64_KERNEL_CS
						      : (u32)LINUX32_KERNEL_CS,
					       false, 0),
			     .offset = handler};

	if (x86_64 || vector != 8)
		return d;
	/* The stack may be what is broken: a task brings its own. */
	return (struct seg_desc){
		.kind = SEG_KIND_TASK,
		.present = true,
		.target = seg_sel(LINUX32_DOUBLEFAULT_TSS, false, 0)};
}

int linux_idt(bool x86_64, const u64 handler[256], u64 *idt)
{
	struct seg_slot to = {idt, x86_64 ? 512 : 256, SEG_TABLE_IDT, x86_64};

	mm_assert(handler && idt);
	for (u32 v = 0; v < 256; v++) {
		if (!x86_64 && handler[v] >> 32)
			return -EINVAL;
	}
	for (u32 v = 0; v < 256; v++) {
		struct seg_desc d = vector_gate(x86_64, v, handler[v]);
		int err = seg_table_set(&to, v, &d);

		mm_verify(err == 0);
	}
	return 0;
}

/* ---- models ------------------------------------------------------------- */

static struct seg_desc piece(enum seg_kind kind, u8 dpl, u64 base, u64 bytes)
{
	struct seg_desc d = seg_flat(kind, dpl, false);

	mm_assert(bytes > 0 && (bytes & 0xfff) == 0);
	d.base = base;
	d.limit = (u32)(bytes - 1);
	return d;
}

static int model_multi(const struct seg_slot *to, u64 ram)
{
	u64 q = ALIGN_DOWN(ram / 4, PAGE_SIZE),
	    e = ALIGN_DOWN(ram / 8, PAGE_SIZE);
	struct seg_desc stack;
	int err;

	if (e == 0)
		return -EINVAL;
	/*
	 * An expand-down segment ends where base + 2^32 wraps to: its base is
	 * the top of the stack's piece, its limit leaves one piece below.
	 */
	stack = piece(SEG_KIND_DATA, 3, 2 * q + 3 * e, 0x100000000UL - e);
	stack.type |= SEG_T_EXPAND_DOWN;
	err = set(to, 1, piece(SEG_KIND_CODE, 0, 0, q), 0);
	err = err ?: set(to, 2, piece(SEG_KIND_DATA, 0, 0, q), 0);
	err = err ?: set(to, 3, piece(SEG_KIND_CODE, 3, 2 * q, e), 0);
	err = err ?: set(to, 4, piece(SEG_KIND_DATA, 3, 2 * q + e, e), 0);
	err = err ?: set(to, 5, stack, 0);
	return err ?: set(to, 6, piece(SEG_KIND_DATA, 3, 2 * q + 3 * e, e), 0);
}

static int model_protected(const struct seg_slot *to, u64 ram)
{
	int err = 0;

	for (u8 ring = 0; ring <= 3; ring += 3) {
		u32 at = ring ? 3 : 1;

		err = err ?: set(to, at, piece(SEG_KIND_CODE, ring, 0, ram), 0);
		err = err
			      ?: set(to, at + 1,
				     piece(SEG_KIND_DATA, ring, 0, ram), 0);
	}
	return err;
}

int seg_model_gdt(enum seg_model model, u64 ram, u64 *gdt)
{
	u64 made[SEG_MODEL_ENTRIES] = {0};
	struct seg_slot to = {made, SEG_MODEL_ENTRIES, SEG_TABLE_GDT, false};
	int err;

	if (ram == 0 || ram > 0x100000000UL || (ram & 0xfff))
		return -EINVAL;
	switch (model) {
	case SEG_MODEL_BASIC_FLAT:
		err = set(&to, 1, seg_flat(SEG_KIND_CODE, 0, false), 0);
		err = err ?: set(&to, 2, seg_flat(SEG_KIND_DATA, 0, false), 0);
		break;
	case SEG_MODEL_PROTECTED_FLAT:
		err = model_protected(&to, ram);
		break;
	case SEG_MODEL_MULTI:
		err = model_multi(&to, ram);
		break;
	default:
		err = -EINVAL;
	}
	if (!err)
		mm_memcpy(gdt, made, sizeof(made));
	return err;
}

/* ---- descriptors that programs ask for ---------------------------------- */

MM_STATIC_ASSERT(sizeof(struct user_desc) == 16, "the system call's layout");

const u64 linux_default_ldt[LINUX_DEFAULT_LDT_ENTRIES];

u64 linux_user_desc_encode(const struct user_desc *info)
{
	u8 type = (u8)(info->contents << 2 | SEG_T_ACCESSED |
		       (info->read_exec_only ? 0 : SEG_T_WRITE));
	u32 units = info->limit & 0xfffff;
	struct seg_desc d = {
		.kind = info->contents & 2 ? SEG_KIND_CODE : SEG_KIND_DATA,
		.type = type,
		.dpl = 3,
		.present = !info->seg_not_present,
		.gran = info->limit_in_pages,
		.db = info->seg_32bit,
		.avl = info->useable,
		.limit = info->limit_in_pages ? units << 12 | 0xfff : units,
		.base = info->base_addr};
	u64 raw[2];
	int slots = seg_encode(&d, false, raw);

	mm_verify(slots == 1);
	return raw[0];
}

void linux_user_desc_decode(u64 raw, struct user_desc *info)
{
	struct seg_desc d;
	u32 number = info->entry_number;

	(void)seg_decode(&raw, false, &d);
	mm_assert_eq(d.limit & (d.gran ? 0xfff : 0), d.gran ? 0xfff : 0);
	*info = (struct user_desc){.entry_number = number,
				   .base_addr = (u32)d.base,
				   .limit = d.gran ? d.limit >> 12 : d.limit,
				   .seg_32bit = d.db,
				   .contents = d.type >> 2 & 3,
				   .read_exec_only = !(d.type & SEG_T_WRITE),
				   .limit_in_pages = d.gran,
				   .seg_not_present = !d.present,
				   .useable = d.avl,
				   .lm = d.lmode};
}

/* The form that means "empty this entry", in both calls. */
static bool asks_empty(const struct user_desc *u)
{
	return u->base_addr == 0 && u->limit == 0 && !u->contents &&
	       u->read_exec_only && !u->seg_32bit && !u->limit_in_pages &&
	       u->seg_not_present && !u->useable && !u->lm;
}

static bool all_zero(const struct user_desc *u)
{
	return u->base_addr == 0 && u->limit == 0 && !u->contents &&
	       !u->read_exec_only && !u->seg_32bit && !u->limit_in_pages &&
	       !u->seg_not_present && !u->useable;
}

/* ---- modify_ldt --------------------------------------------------------- */

const u64 *linux_ldt_table(const struct linux_ldt *l, u32 *nr)
{
	mm_assert(l->nr <= l->room && l->room <= SEG_MAX_ENTRIES);
	*nr = l->entries ? l->nr : LINUX_DEFAULT_LDT_ENTRIES;
	return l->entries ? l->entries : linux_default_ldt;
}

void linux_ldt_give(struct linux_ldt *l, u64 *mem, u32 room)
{
	mm_verify(room >= l->nr && room <= SEG_MAX_ENTRIES);
	mm_memset(mem, 0, room * sizeof(u64));
	if (l->nr)
		mm_memcpy(mem, l->entries, l->nr * sizeof(u64));
	l->entries = mem;
	l->room = room;
}

int linux_ldt_write(struct linux_ldt *l, const struct user_desc *info, bool old)
{
	struct user_desc want = *info;
	u64 raw = 0;

	if (want.entry_number >= SEG_MAX_ENTRIES)
		return -EINVAL;
	/* Conforming code may only stand there as not present. */
	if (want.contents == 3 && (old || !want.seg_not_present))
		return -EINVAL;
	want.lm = 0;
	if (old)
		want.useable = 0;
	if (!(old && want.base_addr == 0 && want.limit == 0) &&
	    !asks_empty(info))
		raw = linux_user_desc_encode(&want);
	if (want.entry_number >= l->room)
		return -ENOMEM;
	mm_assert(l->entries);
	l->entries[want.entry_number] = raw;
	l->nr = max(l->nr, want.entry_number + 1);
	return 0;
}

static u32 copy_out(const u64 *from, u32 nr, void *to, u32 len)
{
	u32 bytes = min(len, nr * 8);

	mm_assert(nr <= SEG_MAX_ENTRIES);
	mm_memcpy(to, from, bytes);
	return bytes;
}

u32 linux_ldt_read(const struct linux_ldt *l, void *to, u32 len)
{
	u32 bytes;

	if (!l->nr)
		return 0;
	bytes = copy_out(l->entries, l->nr, to, len);
	/* What is beyond the table reads as empty entries. */
	len = min(len, SEG_MAX_ENTRIES * 8);
	mm_memset((u8 *)to + bytes, 0, len - bytes);
	return len;
}

u32 linux_ldt_read_default(void *to, u32 len)
{
	return copy_out(linux_default_ldt, LINUX_DEFAULT_LDT_ENTRIES, to, len);
}

/* ---- thread-local storage ----------------------------------------------- */

static bool tls_allowed(const struct user_desc *u)
{
	if (asks_empty(u) || (all_zero(u) && !u->lm))
		return true;
	return u->seg_32bit && u->contents <= 1 && !u->seg_not_present;
}

static int tls_free(const u64 *tls)
{
	for (int i = 0; i < LINUX_TLS_ENTRIES; i++) {
		if (tls[i] == 0)
			return i;
	}
	return -ESRCH;
}

int linux_set_thread_area(u64 *tls, u32 first, struct user_desc *info)
{
	int at = (int)(info->entry_number - first);
	bool any = info->entry_number == ~0u;

	mm_assert(first == LINUX32_TLS_MIN || first == LINUX64_TLS_MIN);
	if (!tls_allowed(info))
		return -EINVAL;
	if (any)
		at = tls_free(tls);
	if (at == -ESRCH && any)
		return -ESRCH;
	if (at < 0 || at >= LINUX_TLS_ENTRIES)
		return -EINVAL;
	if (any)
		info->entry_number = first + (u32)at;
	tls[at] = asks_empty(info) || (all_zero(info) && !info->lm)
			  ? 0
			  : linux_user_desc_encode(info);
	return 0;
}

int linux_get_thread_area(const u64 *tls, u32 first, struct user_desc *info)
{
	u32 at = info->entry_number - first;

	mm_assert(first == LINUX32_TLS_MIN || first == LINUX64_TLS_MIN);
	if (at >= LINUX_TLS_ENTRIES)
		return -EINVAL;
	linux_user_desc_decode(tls[at], info);
	return 0;
}
