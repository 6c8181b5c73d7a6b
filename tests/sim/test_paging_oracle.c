/* SPDX-License-Identifier: MIT */
/*
 * The walk against a CPU: page tables that the manager's code makes from
 * random mappings are loaded by QEMU's CPU in every mode of paging of x86,
 * and each access to them comes out as arch/walk says: the slot that is
 * reached, or vector, error code and address of the fault; and so do the
 * accessed and dirty bits of every entry afterwards.
 *
 * The test image is made from tests/oracle. The CPU is QEMU's own (TCG). Rows
 * are skipped, with the reason, where QEMU or the image cannot be had.
 *
 * Known differences of that CPU, and no more than these are let through:
 *   - It sets A in the entries that a walk has passed even if the access
 *     faults in the end, which the manual allows; ours sets none then (WK-4).
 *     So A alone may differ, in that direction, in an entry that a faulting
 *     access went through.
 *   - Its error code for a reserved bit has RSVD without P (QEMU 7.2). The
 *     manual (SDM vol. 3A, 4.7) has RSVD only together with P, as ours.
 *   - It looks for reserved bits in PAE's root when it walks; a processor
 *     does when CR3 is loaded. So none are set there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <unistd.h>

#include "arch/walk.h"
#include "base_seed.h"
#include "oracle/oracle.h"
#include "pgtable/pgtable.h"
#include "phys_machine.h"

#define IMAGE	      "build/oracle/image"
#define TCG_PA_BITS   40
#define SETS_PER_MODE 4u
#define PROBES	      900u
#define MAPPINGS      40u
#define ANCHORS	      4u
#define DAMAGES	      14u
#define RAM_END	      (ORACLE_SLOTS + (u64)ORACLE_SLOT_BYTES)
#define HIGH_END      (ORACLE_SLOTS_HIGH + ORACLE_SLOT_BYTES)
#define LOW_FRAME     0xfffff000UL
#define IMAGE_SPACE   0x400000UL /* no mapping but the image's below this */
#define MAX_WATCHED   8192u

static const struct {
	const char *name;
	const struct paging_format *fmt;
	u64 ignored;
} modes[ORACLE_NR_MODES] = {
	{"two levels", &paging_x86_32, X86_PTE_PS},
	{"two levels with PSE-36", &paging_x86_32, 0},
	{"PAE", &paging_x86_32_pae, 0},
	{"four levels", &paging_x86_64_4level, 0},
	{"five levels", &paging_x86_64_5level, 0},
};

struct mapping {
	uva_t va;
	int level;
	phys_addr_t pa;
};

/* One tree of tables with what is tried on it. */
struct set {
	enum oracle_mode mode;
	const struct paging_format *fmt;
	struct pgtable pt;
	u32 nr_mappings;
	struct mapping mapping[MAPPINGS];
	uva_t anchor[ANCHORS];
	struct oracle_probe *probe;
	u32 nr_watched, *watched;
};

#define NR_SETS (SETS_PER_MODE * ORACLE_NR_MODES)

static struct set sets[NR_SETS];
static struct prng rnd;
static u64 bump;	    /* next free byte of the list */
static const char *why_not; /* no comparison was made */
static char dir[128];	    /* for the files that QEMU reads and writes */
static u8 *said;	    /* what came over the serial line */
static size_t said_len, said_at;
/* Of each four bytes of tables: a faulting access went through there. */
static bool passed[(ORACLE_SLOTS - ORACLE_TABLES) / 4];
static u64 tried[ORACLE_NR_MODES];
static u64 by_reason[ORACLE_NR_MODES][PAGING_AGAIN + 1];
static u64 lenient, compared, reserved_only;

static bool one_in(u32 n)
{
	return prng_one_in(&rnd, n);
}

/* ---- physical memory ---------------------------------------------------- */

static void *list_alloc(u64 bytes, u32 *at)
{
	phys_addr_t pa = bump;

	bump += ALIGN(bytes, 16);
	assert_true(bump <= ORACLE_TABLES);
	*at = (u32)pa;
	return port_ram(pa);
}

static void fill_slots(phys_addr_t start)
{
	for (phys_addr_t pa = start; pa < start + ORACLE_SLOT_BYTES;
	     pa += ORACLE_SLOT) {
		u32 number = (u32)(pa / ORACLE_SLOT);
		u8 *slot = port_ram(pa);

		memset(slot, 0xcc, ORACLE_SLOT);
		slot[0] = 0xba; /* mov $number, %edx */
		memcpy(slot + 1, &number, sizeof(number));
		slot[5] = 0xc3; /* ret */
		memcpy(slot + ORACLE_NUMBER, &number, sizeof(number));
	}
}

static bool in_slots(phys_addr_t pa)
{
	return (pa >= ORACLE_SLOTS && pa < RAM_END) ||
	       (pa >= ORACLE_SLOTS_HIGH && pa < HIGH_END);
}

/* The manager has what is between the list and the slots; no more. */
static void machine_up(void)
{
	static struct e820_table map;
	struct phys_boot_params p = {.map = &map};

	pm_hardware(1, NULL, 1);
	e820_init(&map);
	assert_int_equal(e820_add(&map, ORACLE_TABLES,
				  ORACLE_SLOTS - ORACLE_TABLES, E820_TYPE_RAM),
			 0);
	assert_int_equal(phys_boot_memory(&p), 0);
	assert_int_equal(port_ram_online(0, ORACLE_TABLES), 0);
	assert_int_equal(port_ram_online(ORACLE_SLOTS, ORACLE_SLOT_BYTES), 0);
	assert_int_equal(port_ram_online(ORACLE_SLOTS_HIGH, ORACLE_SLOT_BYTES),
			 0);
	fill_slots(ORACLE_SLOTS);
	fill_slots(ORACLE_SLOTS_HIGH);
	bump = ORACLE_HEAD + sizeof(struct oracle_head);
}

/* ---- mappings ----------------------------------------------------------- */

static u64 raw_at(const struct set *s, const struct pt_slot *slot)
{
	return pt_raw_read(s->fmt, slot->entry);
}

/* The slot of VA at LEVEL, whose table is there; damage does not matter. */
static struct pt_slot slot_at(const struct set *s, uva_t va, int level)
{
	struct pt_slot slot = {.table = pfn_to_page(s->pt.root_pfn),
			       .fmt = s->fmt,
			       .level = (u8)(s->fmt->levels - 1)};

	for (;; slot.level--) {
		slot.entry = (char *)page_view(slot.table) +
			     (u64)pt_index(s->fmt, slot.level, va) *
				     s->fmt->entry_bytes;
		if (slot.level == level)
			return slot;
		slot.table =
			pfn_to_page(PFN_DOWN(raw_at(s, &slot) & LOW_FRAME));
	}
}

static uva_t sign_extended(const struct set *s, uva_t va)
{
	u32 unused = 64u - s->fmt->va_bits;

	if (s->fmt->va_bits == 32)
		return va & 0xffffffffUL;
	return (uva_t)((s64)(va << unused) >> unused);
}

/* An address near others, so that tables are shared now and then. */
static uva_t some_va(const struct set *s)
{
	int level = (int)prng_below(&rnd, s->fmt->levels);
	uva_t va = s->anchor[prng_below(&rnd, ANCHORS)];

	va ^= prng_below(&rnd, 4) << s->fmt->shift[level];
	va ^= prng_below(&rnd, 8) << PAGE_SHIFT;
	return sign_extended(s, va);
}

static bool overlaps(const struct set *s, uva_t va, u64 span)
{
	uva_t last = va + span - 1;

	if (va < IMAGE_SPACE)
		return true;
	for (u32 i = 0; i < s->nr_mappings; i++) {
		const struct mapping *m = &s->mapping[i];

		if (va <= m->va + pt_span(s->fmt, m->level) - 1 &&
		    m->va <= last)
			return true;
	}
	return false;
}

/* A frame for a leaf of LEVEL: slots, or memory around them. */
static phys_addr_t some_frame(const struct set *s, int level)
{
	bool high = one_in(2) && !(s->fmt->entry_bytes == 4 && level == 0);
	u64 base = high ? ORACLE_SLOTS_HIGH : ORACLE_SLOTS;
	u64 span = pt_span(s->fmt, level);

	if (span > ORACLE_SLOT_BYTES)
		return ALIGN_DOWN(base, span);
	return base + span * prng_below(&rnd, ORACLE_SLOT_BYTES / span);
}

static u64 some_rights(const struct set *s, int level)
{
	u64 bits = X86_PTE_P;

	bits |= one_in(4) ? 0 : X86_PTE_RW;
	bits |= one_in(3) ? 0 : X86_PTE_US;
	bits |= s->fmt->has_nx && one_in(4) ? X86_PTE_NX : 0;
	bits |= one_in(3) ? X86_PTE_A : 0;
	bits |= one_in(3) ? X86_PTE_D : 0;
	bits |= one_in(8) ? X86_PTE_G : 0;
	bits |= one_in(8) ? X86_PTE_PWT | X86_PTE_PCD : 0;
	bits |= one_in(8) ? X86_PTE_SPECIAL | X86_PTE_SOFTDIRTY : 0;
	if (level)
		bits |= X86_PTE_PS | (one_in(8) ? X86_PTE_PAT_LARGE : 0);
	return bits;
}

/* What is no translation. */
static pte_t some_absent(const struct set *s, pte_t present)
{
	u64 limit = 1UL << s->fmt->swp_offset_bits;
	u64 pfn = pte_pfn(present) & (limit - 1);

	switch (prng_below(&rnd, 6)) {
	case 0:
		return __pte((present.val & ~X86_PTE_P) | X86_PTE_PROTNONE);
	case 1:
		return swp_entry_to_pte(make_migration_entry(pfn, one_in(2)));
	case 2:
		return swp_entry_to_pte(make_hwpoison_entry(pfn));
	case 3:
		return swp_entry_to_pte(
			make_pte_marker_entry(PTE_MARKER_UFFD_WP));
	case 4:
		return __pte(0);
	default:
		return swp_entry_to_pte(
			swp_entry((u32)prng_below(&rnd, SWP_NR_AREAS),
				  prng_range(&rnd, 1, limit - 1)));
	}
}

static void map_one(struct set *s)
{
	struct mapping m = {.level = 0};
	struct pt_slot slot;
	pte_t e;

	if (s->mode != ORACLE_TWO_LEVEL && one_in(3))
		m.level = (int)prng_range(&rnd, 1, s->fmt->levels > 3 ? 2 : 1);
	m.va = ALIGN_DOWN(some_va(s), pt_span(s->fmt, m.level));
	if (overlaps(s, m.va, pt_span(s->fmt, m.level)))
		return;
	m.pa = some_frame(s, m.level);
	assert_int_equal(pt_alloc(&s->pt, m.va, &slot), 0);
	slot = slot_at(s, m.va, m.level);
	e = __pte(m.pa | some_rights(s, m.level));
	if (m.level == 0 && one_in(8))
		e = some_absent(s, e);
	pt_set(&slot, e);
	s->mapping[s->nr_mappings++] = m;
}

/* The image itself, one to one, with nothing left to be marked. */
static void map_image(struct set *s)
{
	u64 bits = X86_PTE_P | X86_PTE_RW | X86_PTE_A | X86_PTE_D;
	struct pt_slot slot;

	for (uva_t va = ORACLE_IMAGE; va < ORACLE_IMAGE_END; va += PAGE_SIZE) {
		bool user = va >= ORACLE_USER_CODE;

		assert_int_equal(pt_alloc(&s->pt, va, &slot), 0);
		pt_set(&slot, __pte(va | bits | (user ? X86_PTE_US : 0)));
	}
}

/* ---- damage ------------------------------------------------------------- */

static bool on_image_path(const struct set *s, uva_t va, int level)
{
	return va >> s->fmt->shift[level] == 0;
}

/* One change that the manager would not make, in an entry of a table. */
static u64 damage_table(const struct set *s, int level, u64 raw)
{
	bool wide = s->fmt->entry_bytes == 8;
	bool root = level == s->fmt->levels - 1;

	switch (prng_below(&rnd, 8)) {
	case 0:
		return raw & ~X86_PTE_P;
	case 1:
		return raw & ~X86_PTE_RW;
	case 2:
		return raw & ~X86_PTE_US;
	case 3:
		return wide ? raw | X86_PTE_NX : raw;
	case 4:
		return wide ? raw | BIT(prng_range(&rnd, TCG_PA_BITS, 51))
			    : raw;
	case 5:
		return wide ? raw | BIT(prng_range(&rnd, 52, 58)) : raw;
	case 6:
		return s->mode == ORACLE_TWO_LEVEL ||
				       (root && s->mode >= ORACLE_4LEVEL)
			       ? raw | X86_PTE_PS
			       : raw;
	default:
		return raw & ~X86_PTE_A;
	}
}

static u64 damage_leaf(const struct set *s, int level, u64 raw)
{
	bool wide = s->fmt->entry_bytes == 8;

	if (one_in(4) && wide)
		return raw | BIT(prng_range(&rnd, TCG_PA_BITS, 58));
	if (level == 0)
		return raw ^ X86_PTE_US;
	if (s->mode == ORACLE_PSE)
		return raw | BIT(21);
	return raw | BIT(prng_range(&rnd, 13, s->fmt->shift[level] - 1u));
}

static void set_raw(const struct set *s, const struct pt_slot *slot, u64 raw)
{
	if (s->fmt->entry_bytes == 8)
		*(u64 *)slot->entry = raw;
	else
		*(u32 *)slot->entry = (u32)raw;
}

/* The manager's links have A already: take it from some. */
static void unmark_links(struct set *s)
{
	for (u32 i = 0; i < s->nr_mappings; i++) {
		const struct mapping *m = &s->mapping[i];

		for (int l = m->level + 1; l < s->fmt->levels; l++) {
			struct pt_slot slot = slot_at(s, m->va, l);

			if (!on_image_path(s, m->va, l) && one_in(2))
				set_raw(s, &slot,
					raw_at(s, &slot) & ~X86_PTE_A);
		}
	}
}

/* Change something at random on the way to a mapping. */
static void damage(struct set *s)
{
	const struct mapping *m = &s->mapping[prng_below(&rnd, s->nr_mappings)];
	int level = (int)prng_range(&rnd, (u64)m->level, s->fmt->levels - 1u);
	struct pt_slot slot = slot_at(s, m->va, level);
	u64 raw = raw_at(s, &slot);

	if (on_image_path(s, m->va, level) || !(raw & X86_PTE_P))
		return;
	/* Reserved bits of PAE's root are judged when CR3 is loaded. */
	if (s->mode == ORACLE_PAE && level == 2)
		raw &= one_in(4) ? ~X86_PTE_P : ~0UL;
	else if (level == m->level)
		raw = damage_leaf(s, level, raw);
	else
		raw = damage_table(s, level, raw);
	set_raw(s, &slot, raw);
}

/* ---- probes ------------------------------------------------------------- */

static u64 slot_within(phys_addr_t pa, u64 span)
{
	phys_addr_t base =
		pa >= ORACLE_SLOTS_HIGH ? ORACLE_SLOTS_HIGH : ORACLE_SLOTS;
	phys_addr_t lo = max(pa, base);
	phys_addr_t hi = min(pa + span, base + ORACLE_SLOT_BYTES);

	return lo + ALIGN_DOWN(prng_below(&rnd, hi - lo), ORACLE_SLOT) - pa;
}

static uva_t probe_va(const struct set *s)
{
	const struct mapping *m = &s->mapping[prng_below(&rnd, s->nr_mappings)];

	if (one_in(16) && s->fmt->va_bits > 32)
		return prng_u64(&rnd) & ~15UL;
	if (one_in(16))
		return max(some_va(s), IMAGE_SPACE) | 0x560;
	return m->va + slot_within(m->pa, pt_span(s->fmt, m->level));
}

static const u32 op_access[] = {
	[ORACLE_READ] = PAGING_READ,
	[ORACLE_WRITE] = PAGING_WRITE,
	[ORACLE_EXEC] = PAGING_EXEC,
};
static const u32 op_offset[] = {
	[ORACLE_READ] = ORACLE_NUMBER,
	[ORACLE_WRITE] = ORACLE_WRITTEN,
	[ORACLE_EXEC] = 0,
};

static bool mem_read(void *arg, const struct paging_format *f, phys_addr_t pa,
		     u64 *raw)
{
	(void)arg;
	if (pa < ORACLE_TABLES || pa >= ORACLE_SLOTS)
		return false;
	*raw = pt_raw_read(f, port_ram(pa));
	return true;
}

static bool mem_update(void *arg, const struct paging_format *f, phys_addr_t pa,
		       u64 old, u64 raw)
{
	(void)arg;
	return pt_raw_cmpxchg(f, port_ram(pa), &old, raw);
}

/* Ours. With MARK, A and D are set as well. */
static enum paging_reason walk(const struct set *s,
			       const struct oracle_probe *p, bool mark,
			       struct paging_walk *w)
{
	struct paging_cpu cpu = {
		.fmt = s->fmt,
		.root = PFN_PHYS(s->pt.root_pfn),
		.wp = p->flags & ORACLE_WP,
		.nxe = p->flags & ORACLE_NXE,
		.smep = p->flags & ORACLE_SMEP,
		.smap = p->flags & ORACLE_SMAP,
		.ac = p->flags & ORACLE_AC,
		.pa_bits = TCG_PA_BITS,
		.ignored = modes[s->mode].ignored,
	};
	u32 access =
		op_access[p->op] | (p->flags & ORACLE_USER ? PAGING_USER : 0);
	struct paging_mem mem = {mem_read, mark ? mem_update : NULL, NULL};

	return paging_walk_with(&cpu, p->va + op_offset[p->op], access, w,
				&mem);
}

/* What it reaches, if it reaches anything, must be a slot. */
static void make_probe(const struct set *s, struct oracle_probe *p)
{
	struct paging_walk w;
	enum paging_reason r;

	do {
		p->va = probe_va(s);
		p->op = (u32)prng_below(&rnd, 3);
		p->flags = (u32)prng_below(&rnd, 64);
		/* As a kernel has them, more often than not. */
		if (one_in(2))
			p->flags |= ORACLE_WP | ORACLE_NXE;
		r = walk(s, p, false, &w);
		assert_true(r != PAGING_BAD_TABLE);
	} while (r == PAGING_OK && !in_slots(w.pa));
}

/* ---- sets --------------------------------------------------------------- */

/* Note every entry of TABLE and of the tables below that is not 0. */
static void watch(struct set *s, phys_addr_t table, int level)
{
	u32 bytes = s->fmt->entry_bytes;

	for (u32 i = 0; i < pt_entries(s->fmt, level); i++) {
		phys_addr_t at = table + (u64)i * bytes;
		pte_t e = pte_decode(s->fmt, level,
				     pt_raw_read(s->fmt, port_ram(at)));

		if (pte_none(e))
			continue;
		assert_true(s->nr_watched < MAX_WATCHED);
		s->watched[s->nr_watched++] = (u32)at;
		if (level && pte_valid(e) && !pte_huge(e))
			watch(s, PFN_PHYS(pte_pfn(e)), level - 1);
	}
}

/* Before any damage: what is mapped is where it was put. */
static void check_mappings(const struct set *s)
{
	for (u32 i = 0; i < s->nr_mappings; i++) {
		const struct mapping *m = &s->mapping[i];
		struct pt_slot slot = slot_at(s, m->va, m->level);
		struct oracle_probe p = {m->va, ORACLE_READ, ORACLE_NXE};
		struct paging_walk w;
		bool there = walk(s, &p, false, &w) == PAGING_OK;

		assert_int_equal(there, pte_valid(pt_get(&slot)));
		assert_int_equal(there ? w.pa : 0,
				 there ? m->pa + ORACLE_NUMBER : 0);
	}
}

static void make_set(struct set *s, enum oracle_mode mode,
		     struct oracle_set *out)
{
	static u32 watched[MAX_WATCHED];
	u32 at;

	*s = (struct set){.mode = mode, .fmt = modes[mode].fmt};
	assert_int_equal(pgtable_init(&s->pt, s->fmt), 0);
	map_image(s);
	for (u32 i = 1; i < ANCHORS; i++)
		s->anchor[i] = sign_extended(s, prng_u64(&rnd) & PAGE_MASK);
	while (s->nr_mappings < MAPPINGS)
		map_one(s);
	s->watched = watched;
	watch(s, PFN_PHYS(s->pt.root_pfn), s->fmt->levels - 1);
	s->watched = list_alloc(s->nr_watched * sizeof(u32), &at);
	memcpy(s->watched, watched, s->nr_watched * sizeof(u32));
	*out = (struct oracle_set){.mode = mode,
				   .root = (u32)PFN_PHYS(s->pt.root_pfn),
				   .entry_bytes = s->fmt->entry_bytes,
				   .nr_watched = s->nr_watched,
				   .watched = at};
	check_mappings(s);
	unmark_links(s);
	for (u32 i = 0; i < DAMAGES; i++)
		damage(s);
	out->nr_probes = PROBES;
	s->probe = list_alloc(PROBES * sizeof(*s->probe), &out->probes);
	for (u32 i = 0; i < PROBES; i++)
		make_probe(s, &s->probe[i]);
}

static void make_sets(u64 seed)
{
	struct oracle_head *head = port_ram(ORACLE_HEAD);
	struct oracle_set *out;
	u32 at;

	prng_seed(&rnd, seed);
	memset(passed, 0, sizeof(passed));
	out = list_alloc(NR_SETS * sizeof(*out), &at);
	for (u32 i = 0; i < NR_SETS; i++)
		make_set(&sets[i], i % ORACLE_NR_MODES, &out[i]);
	*head = (struct oracle_head){ORACLE_MAGIC, NR_SETS, at};
}

/* ---- QEMU --------------------------------------------------------------- */

static void write_memory(const char *name, phys_addr_t start, phys_addr_t end)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	assert_true(f != NULL);
	assert_int_equal(fwrite(port_ram(start), 1, end - start, f),
			 end - start);
	assert_int_equal(fclose(f), 0);
}

static void read_serial(void)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/serial", dir);
	f = fopen(path, "rb");
	assert_true(f != NULL);
	fseek(f, 0, SEEK_END);
	said_len = (size_t)ftell(f);
	rewind(f);
	free(said);
	said = malloc(said_len + 1);
	assert_true(said && fread(said, 1, said_len, f) == said_len);
	fclose(f);
	said_at = 0;
}

/* The next N bytes that the image said. */
static void hear(void *out, size_t n)
{
	assert_true(n <= said_len - said_at);
	memcpy(out, said + said_at, n);
	said_at += n;
}

/*
 * Let QEMU run the image with what lies in memory. isa-debug-exit makes its
 * exit status odd.
 */
static void run_qemu(void)
{
	static char cmd[2048];
	int status;

	write_memory("low", ORACLE_HEAD, RAM_END);
	write_memory("high", ORACLE_SLOTS_HIGH, HIGH_END);
	snprintf(cmd, sizeof(cmd),
		 "timeout 120 qemu-system-x86_64 -accel tcg -cpu max -m 3600M "
		 "-nodefaults -no-user-config -display none -no-reboot "
		 "-serial file:%s/serial -kernel " IMAGE " "
		 "-device isa-debug-exit,iobase=0x%x,iosize=4 "
		 "-device loader,file=%s/low,addr=0x%x,force-raw=on "
		 "-device loader,file=%s/high,addr=0x%llx,force-raw=on "
		 "</dev/null",
		 dir, ORACLE_EXIT_PORT, dir, ORACLE_HEAD, dir,
		 ORACLE_SLOTS_HIGH);
	status = system(cmd);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 33)
		fprintf(stderr, "status %#x of: %s\n", status, cmd);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 33);
	read_serial();
}

/* ---- comparing ---------------------------------------------------------- */

static void explain(const struct set *s, const struct oracle_probe *p,
		    const struct oracle_result *r, const struct paging_walk *w)
{
	static const char *const ops[] = {"read", "write", "exec"};

	fprintf(stderr,
		"%s, %s at %#llx as %s, flags %#x:\n"
		"  CPU: vector %u, error %#x, slot %#x, cr2 %#llx\n"
		"  ours: %s, error %#x, pa %#llx\n",
		modes[s->mode].name, ops[p->op], (unsigned long long)p->va,
		p->flags & ORACLE_USER ? "user" : "supervisor", p->flags,
		r->vector, r->error, r->number, (unsigned long long)r->cr2,
		paging_reason_text(w->reason), w->error,
		(unsigned long long)w->pa);
	for (int i = 0; i < w->depth; i++)
		fprintf(stderr, "  entry at %#llx: %#llx\n",
			(unsigned long long)w->at[i],
			(unsigned long long)w->raw[i]);
}

static bool same(const struct oracle_probe *p, const struct oracle_result *r,
		 const struct paging_walk *w)
{
	if (w->reason == PAGING_OK)
		return r->vector == ORACLE_DONE &&
		       r->number == (w->pa - op_offset[p->op]) / ORACLE_SLOT;
	if (w->reason == PAGING_NONCANONICAL)
		return r->vector == 13 && r->error == 0;
	if (r->vector != 14 || r->cr2 != p->va + op_offset[p->op])
		return false;
	if (w->reason == PAGING_RESERVED &&
	    r->error == (w->error & ~PF_ERR_PRESENT)) {
		reserved_only++;
		return true;
	}
	return r->error == w->error;
}

static void compare_probes(const struct set *s)
{
	for (u32 i = 0; i < PROBES; i++) {
		const struct oracle_probe *p = &s->probe[i];
		struct oracle_result r;
		struct paging_walk w = {0};

		hear(&r, sizeof(r));
		walk(s, p, true, &w);
		if (!same(p, &r, &w)) {
			explain(s, p, &r, &w);
			fail();
		}
		tried[s->mode]++;
		by_reason[s->mode][w.reason]++;
		for (int k = 0; w.reason && k < w.depth; k++)
			passed[(w.at[k] - ORACLE_TABLES) / 4] = true;
	}
}

static void compare_entries(const struct set *s)
{
	for (u32 i = 0; i < s->nr_watched; i++) {
		phys_addr_t at = s->watched[i];
		u64 ours = pt_raw_read(s->fmt, port_ram(at)), raw;

		hear(&raw, sizeof(raw));
		compared++;
		if (raw == ours)
			continue;
		if (raw == (ours | X86_PTE_A) &&
		    passed[(at - ORACLE_TABLES) / 4]) {
			lenient++;
			continue;
		}
		fprintf(stderr, "%s: entry at %#llx: CPU %#llx, ours %#llx\n",
			modes[s->mode].name, (unsigned long long)at,
			(unsigned long long)raw, (unsigned long long)ours);
		fail();
	}
}

static void compare_all(void)
{
	u32 word;

	for (u32 i = 0; i < NR_SETS; i++) {
		hear(&word, sizeof(word));
		assert_int_equal(word, ORACLE_BEGIN);
		compare_probes(&sets[i]);
		compare_entries(&sets[i]);
	}
	hear(&word, sizeof(word));
	assert_int_equal(word, ORACLE_END);
	assert_int_equal(said_at, said_len);
}

/* ---- the tests ---------------------------------------------------------- */

static void find_oracle(void)
{
	const char *tmp = getenv("TMPDIR");

	if (system("command -v qemu-system-x86_64 >/dev/null 2>&1"))
		why_not = "qemu-system-x86_64 is not installed";
	else if (access(IMAGE, R_OK))
		why_not = "there is no " IMAGE " (run from the project's root)";
	if (why_not)
		return;
	snprintf(dir, sizeof(dir), "%s/oracle-XXXXXX",
		 tmp && *tmp ? tmp : "/tmp");
	assert_true(mkdtemp(dir) != NULL);
}

static int remove_files(void **state)
{
	static const char *const names[] = {"low", "high", "serial"};
	char path[256];

	(void)state;
	free(said);
	for (u32 i = 0; dir[0] && i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return dir[0] ? rmdir(dir) : 0;
}

static void oracle(void **state)
{
	u64 seed = test_env("SEED", 1);
	u64 runs = test_iters(getenv("SOAK") ? 20 : 1);

	(void)state;
	find_oracle();
	if (why_not) {
		print_message("skipped: %s\n", why_not);
		skip();
	}
	for (u64 i = 0; i < runs; i++) {
		print_message("SEED=%llu\n", (unsigned long long)(seed + i));
		machine_up();
		make_sets(seed + i);
		run_qemu();
		compare_all();
		pm_shutdown();
	}
}

/* The comparison means something only if all kinds of outcome came up. */
static void all_outcomes(void **state)
{
	u64 total = 0;

	(void)state;
	if (why_not)
		skip();
	for (u32 m = 0; m < ORACLE_NR_MODES; m++) {
		print_message("%-22s %6llu probes:", modes[m].name,
			      (unsigned long long)tried[m]);
		for (u32 r = 0; r < PAGING_BAD_TABLE; r++) {
			bool never =
				r == PAGING_NONCANONICAL
					? modes[m].fmt->va_bits == 32
				: r == PAGING_NO_EXEC  ? !modes[m].fmt->has_nx
				: r == PAGING_RESERVED ? m == ORACLE_TWO_LEVEL
						       : false;

			print_message(" %llu",
				      (unsigned long long)by_reason[m][r]);
			assert_int_equal(by_reason[m][r] == 0, never);
		}
		print_message("\n");
		total += tried[m];
	}
	print_message("%llu entries compared, %llu with A from a fault; "
		      "%llu error codes with RSVD alone\n",
		      (unsigned long long)compared, (unsigned long long)lenient,
		      (unsigned long long)reserved_only);
	assert_true(total >= 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oracle),
		cmocka_unit_test(all_outcomes),
	};

	return cmocka_run_group_tests_name("paging oracle", tests, NULL,
					   remove_files);
}
