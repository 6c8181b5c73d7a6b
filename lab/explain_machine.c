/* SPDX-License-Identifier: MIT */
/*
 * explain_machine.c - machine files with page tables.
 *
 * 1. Purpose. docs/MACHINE-FORMAT.md's format, with the lines that describe
 *    memory and page tables: raw words, or mappings that are encoded here.
 *
 * 2. Order. The file is read through; lines about tables are kept. Then the
 *    control registers say which format it is, raw words are placed, and the
 *    mappings are built, so that the lines may stand in any order.
 *
 * 3. Memory. Frames that some line names or a table needs; all else is not
 *    there, and a table that lies there is said to be in no memory.
 *
 * 4. Failure. The first wrong line ends the process, with file, line, word.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/machine_desc.h"
#include "base/assert.h"
#include "err.h"
#include "explain.h"

#define MAX_LINES   4096
#define MAX_FRAMES  4096
#define NR_BUCKETS  256
#define FIRST_TABLE 0x1000UL
#define EFLAGS_AC   BIT(18)

#define CR0_WP	 BIT(16)
#define CR0_PG	 BIT(31)
#define CR4_PSE	 BIT(4)
#define CR4_PAE	 BIT(5)
#define CR4_LA57 BIT(12)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define EFER_NXE BIT(11)

struct frame {
	struct frame *next;
	u64 pfn;
	bool named; /* by the file: no place for tables that are built */
	u8 bytes[PAGE_SIZE];
};

struct explain_file {
	const char *path;
	char *text;
	struct machine_desc desc;
	struct machine_error err;
	u32 nr_lines;
	struct machine_line line[MAX_LINES]; /* about tables, kept */
	const struct paging_format *fmt;
	struct machine_value arch, width, ttbr[2], tables;
	const char *arch_name;
	u64 next_table;
	u32 nr_frames;
	struct frame *bucket[NR_BUCKETS];
	struct seg_cpu cpu;
	struct seg_mem mem;
	struct explain_target target;
	struct explain_store store;
};

static _Noreturn void file_die(const struct explain_file *f)
{
	char text[512];

	err_die("%s", machine_error_text(&f->err, f->path, text, sizeof(text)));
}

static void line_die(struct explain_file *f, const struct machine_line *l,
		     u32 word, const char *message)
{
	struct machine_line copy = *l;

	copy.err = &f->err;
	(void)machine_fail(&copy, word, message);
	file_die(f);
}

/* ---- memory
 * ------------------------------------------------------------------- */

static struct frame *find_frame(const struct explain_file *f, phys_addr_t pa)
{
	u64 pfn = pa >> PAGE_SHIFT;
	struct frame *fr = f->bucket[pfn % NR_BUCKETS];

	while (fr && fr->pfn != pfn)
		fr = fr->next;
	return fr;
}

static struct frame *make_frame(struct explain_file *f, phys_addr_t pa)
{
	struct frame *fr = find_frame(f, pa);
	struct frame **head = &f->bucket[(pa >> PAGE_SHIFT) % NR_BUCKETS];

	if (fr)
		return fr;
	if (f->nr_frames == MAX_FRAMES)
		return NULL;
	fr = calloc(1, sizeof(*fr));
	if (!fr)
		err_die("out of memory");
	fr->pfn = pa >> PAGE_SHIFT;
	fr->next = *head;
	*head = fr;
	f->nr_frames++;
	return fr;
}

static bool file_read(void *arg, const struct paging_format *fmt,
		      phys_addr_t pa, u64 *raw)
{
	const struct frame *fr = find_frame(arg, pa);

	if (!fr)
		return false;
	*raw = 0;
	memcpy(raw, fr->bytes + (pa & ~PAGE_MASK), fmt->entry_bytes);
	return true;
}

static bool store_read(void *arg, phys_addr_t pa, u64 *raw)
{
	const struct explain_file *f = arg;

	return file_read(arg, f->fmt, pa, raw);
}

static bool store_write(void *arg, phys_addr_t pa, u64 raw)
{
	struct explain_file *f = arg;
	struct frame *fr = find_frame(f, pa);

	if (!fr)
		return false;
	memcpy(fr->bytes + (pa & ~PAGE_MASK), &raw, f->fmt->entry_bytes);
	return true;
}

/* The next frame that nobody has named. */
static bool store_table(void *arg, phys_addr_t *pa)
{
	struct explain_file *f = arg;
	struct frame *fr;

	while (find_frame(f, f->next_table))
		f->next_table += PAGE_SIZE;
	if (f->fmt->kind == PAGING_X86_32 && f->next_table >> 32)
		return false;
	fr = make_frame(f, f->next_table);
	*pa = f->next_table;
	return fr != NULL;
}

/* ---- lines
 * -------------------------------------------------------------------- */

static int value_line(const struct machine_line *l, struct machine_value *v,
		      u64 limit)
{
	if (l->nr > 2)
		return machine_fail(l, 2, "one number was expected");
	if (machine_word_number(l, 1, limit, &v->value))
		return -EINVAL;
	v->line = l->number;
	return 0;
}

static int arch_line(struct explain_file *f, const struct machine_line *l)
{
	for (u32 i = 0; paging_format_nth(i); i++) {
		const char *name = paging_format_nth(i)->name;

		if (l->nr == 2 && machine_is(l, 1, name)) {
			f->arch_name = name;
			f->arch.line = l->number;
			return 0;
		}
	}
	return machine_fail(l, 1,
			    "x86-32, x86-32-pae, x86-64, x86-64-la57 or arm64 "
			    "expected");
}

/* The lines that the base format does not know. */
static int extra_line(void *arg, const struct machine_line *l)
{
	static const char *const kept[] = {"phys", "map", "swap", "migrate"};
	struct explain_file *f = arg;

	if (machine_is(l, 0, "arch"))
		return arch_line(f, l);
	if (machine_is(l, 0, "width"))
		return value_line(l, &f->width, 52);
	if (machine_is(l, 0, "ttbr0"))
		return value_line(l, &f->ttbr[0], ~0UL);
	if (machine_is(l, 0, "ttbr1"))
		return value_line(l, &f->ttbr[1], ~0UL);
	if (machine_is(l, 0, "tables"))
		return value_line(l, &f->tables, (1UL << 46) - 1);
	for (u32 i = 0; i < ARRAY_SIZE(kept); i++) {
		if (!machine_is(l, 0, kept[i]))
			continue;
		if (f->nr_lines == MAX_LINES)
			return machine_fail(l, 0, "too many lines of tables");
		f->line[f->nr_lines++] = *l;
		return 0;
	}
	return -ENOENT;
}

/* phys ADDR RAW...: entries from ADDR on; a colon may end the address. */
static void phys_line(struct explain_file *f, struct machine_line *l)
{
	u32 bytes = f->fmt->entry_bytes;
	u64 at = 0, raw = 0;

	if (l->nr > 1 && l->word[1].len &&
	    l->word[1].text[l->word[1].len - 1] == ':')
		l->word[1].len--;
	if (machine_word_number(l, 1, (1UL << 52) - 1, &at))
		file_die(f);
	if (at % bytes)
		line_die(f, l, 1, "no multiple of the size of an entry");
	if (l->nr < 3)
		line_die(f, l, l->nr, "no value is given");
	for (u32 i = 2; i < l->nr; i++, at += bytes) {
		struct frame *fr = make_frame(f, at);

		if (!fr)
			line_die(f, l, 1, "too much memory is described");
		fr->named = true;
		if (machine_word_number(l, i, ~0UL >> (64 - 8 * bytes), &raw))
			file_die(f);
		(void)store_write(f, at, raw);
	}
}

/* ---- mappings
 * ----------------------------------------------------------------- */

static const struct {
	const char *name;
	u64 set, clear;
} map_flags[] = {
	{"r", X86_PTE_NX, X86_PTE_RW | X86_PTE_D},
	{"rw", X86_PTE_NX | X86_PTE_RW | X86_PTE_D, 0},
	{"rx", 0, X86_PTE_NX | X86_PTE_RW | X86_PTE_D},
	{"rwx", X86_PTE_RW | X86_PTE_D, X86_PTE_NX},
	{"none", X86_PTE_PROTNONE, X86_PTE_P},
	{"user", X86_PTE_US, 0},
	{"global", X86_PTE_G, 0},
	{"old", 0, X86_PTE_A},
	{"clean", 0, X86_PTE_D},
	{"pwt", X86_PTE_PWT, 0},
	{"pcd", X86_PTE_PCD, 0},
	{"special", X86_PTE_SPECIAL, 0},
	{"uffd-wp", X86_PTE_UFFD_WP, 0},
	{"soft-dirty", X86_PTE_SOFTDIRTY, 0},
};

static int page_level(const struct explain_file *f, u64 bytes)
{
	for (int level = 0; level < f->fmt->levels; level++) {
		if (pt_leaf_allowed(f->fmt, level) &&
		    pt_span(f->fmt, level) == bytes)
			return level;
	}
	return -1;
}

static void map_word(struct explain_file *f, const struct machine_line *l,
		     u32 i, struct explain_map *m)
{
	struct machine_word w;
	u64 bytes = 0;

	for (u32 k = 0; k < ARRAY_SIZE(map_flags); k++) {
		if (!machine_is(l, i, map_flags[k].name))
			continue;
		m->prot.val |= map_flags[k].set;
		m->prot.val &= ~map_flags[k].clear;
		return;
	}
	if (!machine_key(l, i, "page", &w))
		line_die(f, l, i, "no mapping has such a property");
	if (machine_key_number(l, i, ~0UL, &bytes))
		file_die(f);
	m->level = page_level(f, bytes);
	if (m->level < 0)
		line_die(f, l, i, "the format has no pages of this size");
}

/* map VA -> PA SIZE PROPERTY... */
static void map_line(struct explain_file *f, const struct machine_line *l)
{
	struct explain_map m = {.level = -1};
	const char *bad;

	if (!machine_is(l, 2, "->"))
		line_die(f, l, 2, "map VIRTUAL -> PHYSICAL SIZE expected");
	m.prot.val = X86_PTE_P | X86_PTE_A | X86_PTE_NX;
	if (machine_word_number(l, 1, ~0UL, &m.va) ||
	    machine_word_number(l, 3, (1UL << 52) - 1, &m.pa) ||
	    machine_word_number(l, 4, ~0UL, &m.size))
		file_die(f);
	for (u32 i = 5; i < l->nr; i++)
		map_word(f, l, i, &m);
	/* Bit 8 means PROT_NONE there. */
	if ((m.prot.val & (X86_PTE_P | X86_PTE_G)) == 0)
		m.prot.val |= X86_PTE_PROTNONE;
	bad = explain_map_range(&f->store, &m);
	if (bad)
		line_die(f, l, 1, bad);
}

/* swap VA AREA OFFSET; migrate VA PFN [write] */
static void entry_line(struct explain_file *f, const struct machine_line *l)
{
	bool swap = machine_is(l, 0, "swap");
	u64 offsets = (1UL << f->fmt->swp_offset_bits) - 1, va = 0, a = 0,
	    b = 0;
	swp_entry_t e;
	const char *bad;

	if (machine_word_number(l, 1, ~0UL, &va) ||
	    machine_word_number(l, 2, swap ? SWP_NR_AREAS - 1 : offsets, &a) ||
	    (swap && machine_word_number(l, 3, offsets, &b)))
		file_die(f);
	if (swap && b == 0)
		line_die(f, l, 3, "page 0 of a swap area is its header");
	if (!swap && l->nr > 3 && !machine_is(l, 3, "write"))
		line_die(f, l, 3, "write expected");
	if (l->nr > 4)
		line_die(f, l, 4, "too many words");
	e = swap ? swp_entry((u32)a, b) : make_migration_entry(a, l->nr > 3);
	bad = explain_map_entry(&f->store, va, swp_entry_to_pte(e));
	if (bad)
		line_die(f, l, 1, bad);
}

/* ---- the machine
 * -------------------------------------------------------------- */

static u64 control(const struct explain_file *f, const struct machine_value *v,
		   char reg)
{
	return v->line ? v->value : machine_control_default(f->desc.mode, reg);
}

/* Which tables the CPU walks, by its registers. */
static void find_format(struct explain_file *f, const char *asked)
{
	u64 cr4 = control(f, &f->desc.cr4, '4');
	const char *name = "x86-32";

	if (f->arch_name && !strcmp(f->arch_name, "arm64"))
		name = "arm64";
	else if (f->desc.mode == MACHINE_LONG)
		name = cr4 & CR4_LA57 ? "x86-64-la57" : "x86-64";
	else if (cr4 & CR4_PAE)
		name = "x86-32-pae";
	f->fmt = paging_format_by_name(name);
	if (f->arch_name && strcmp(f->arch_name, name)) {
		f->err = (struct machine_error){.line = f->arch.line};
		snprintf(f->err.message, sizeof(f->err.message),
			 "mode, cr4 and efer make this a machine of %s", name);
		file_die(f);
	}
	if (asked && strcmp(asked, name))
		err_usage("--arch: %s is a machine of %s, not of %s", f->path,
			  name, asked);
	if (f->desc.mode == MACHINE_LONG && !(cr4 & CR4_PAE)) {
		f->err = (struct machine_error){.line = f->desc.cr4.line};
		snprintf(f->err.message, sizeof(f->err.message),
			 "long mode needs cr4.PAE");
		file_die(f);
	}
}

/* Root tables: where the registers say; they are memory. */
static void place_roots(struct explain_file *f)
{
	bool arm = f->fmt->kind == PAGING_ARM64;
	u64 mask = f->fmt->kind == PAGING_X86_PAE ? ~0x1fUL : PAGE_MASK;
	u64 first = f->tables.line ? f->tables.value & PAGE_MASK : FIRST_TABLE;
	u64 root = first, high = 0;

	if (arm && f->ttbr[0].line)
		root = f->ttbr[0].value;
	if (!arm && f->desc.cr3.line)
		root = f->desc.cr3.value;
	if (arm)
		high = f->ttbr[1].line ? f->ttbr[1].value : root + PAGE_SIZE;
	f->store.root = root & mask & ((1UL << 52) - 1);
	f->store.root_high = high & mask & ((1UL << 48) - 1);
	f->next_table = first;
}

static void build_tables(struct explain_file *f)
{
	bool maps = false;

	for (u32 i = 0; i < f->nr_lines; i++) {
		f->line[i].err = &f->err;
		if (machine_is(&f->line[i], 0, "phys"))
			phys_line(f, &f->line[i]);
		else
			maps = true;
	}
	if (maps &&
	    (!make_frame(f, f->store.root) ||
	     (f->store.root_high && !make_frame(f, f->store.root_high))))
		err_die("%s: too much memory is described", f->path);
	for (u32 i = 0; i < f->nr_lines; i++) {
		const struct machine_line *l = &f->line[i];

		if (machine_is(l, 0, "map"))
			map_line(f, l);
		else if (!machine_is(l, 0, "phys"))
			entry_line(f, l);
	}
}

static void setup_paging(struct explain_file *f)
{
	struct explain_target *t = &f->target;
	u64 cr0 = control(f, &f->desc.cr0, '0');
	u64 cr4 = control(f, &f->desc.cr4, '4');
	u64 efer = control(f, &f->desc.efer, 'e');
	bool arm = f->fmt->kind == PAGING_ARM64;

	paging_cpu_init(&t->cpu, f->fmt, f->store.root, false);
	t->cpu.root_high = f->store.root_high;
	t->fmt = f->fmt;
	t->paging = arm || cr0 & CR0_PG;
	t->tables = f->nr_lines || f->desc.cr3.line || f->ttbr[0].line;
	t->mem = (struct explain_memory){file_read, f};
	if (f->width.line)
		t->cpu.pa_bits = (u8)max(f->width.value, 32UL);
	if (arm)
		return;
	t->cpu.wp = cr0 & CR0_WP;
	t->cpu.nxe = f->fmt->has_nx && (efer & EFER_NXE);
	t->cpu.smep = cr4 & CR4_SMEP;
	t->cpu.smap = cr4 & CR4_SMAP;
	if (f->fmt->kind == PAGING_X86_32 && !(cr4 & CR4_PSE))
		t->cpu.ignored = X86_PTE_PS;
	t->cpu.ac = f->desc.flags.value & EFLAGS_AC;
}

struct explain_file *explain_file_open(const char *path, const char *arch)
{
	struct explain_file *f = calloc(1, sizeof(*f));
	struct machine_extension ext = {extra_line, f};
	size_t len;

	if (!f)
		err_die("out of memory");
	f->path = path;
	f->text = err_read_text(path, "a machine", &len);
	if (machine_parse(&f->desc, f->text, len, &ext, &f->err))
		file_die(f);
	find_format(f, arch);
	place_roots(f);
	f->store.fmt = f->fmt;
	f->store.pse = control(f, &f->desc.cr4, '4') & CR4_PSE;
	f->store.nxe = control(f, &f->desc.efer, 'e') & EFER_NXE;
	f->store.read = store_read;
	f->store.write = store_write;
	f->store.table = store_table;
	f->store.arg = f;
	build_tables(f);
	setup_paging(f);
	return f;
}

struct explain_target *explain_file_target(struct explain_file *f,
					   const struct explain_query *q)
{
	struct explain_target *t = &f->target;

	if (f->fmt->kind == PAGING_ARM64)
		return t;
	if (machine_boot(&f->desc, &f->cpu, &f->mem, &f->err))
		file_die(f);
	t->seg = &f->cpu;
	if (f->desc.sr[SEG_CS].line && seg_protected(&f->cpu))
		t->who = f->cpu.cpl == 3 ? EXPLAIN_USER : EXPLAIN_KERNEL;
	if (q->who && seg_protected(&f->cpu))
		f->cpu.cpl = q->who == EXPLAIN_USER ? 3 : 0;
	return t;
}

void explain_file_close(struct explain_file *f)
{
	for (u32 i = 0; i < NR_BUCKETS; i++) {
		while (f->bucket[i]) {
			struct frame *fr = f->bucket[i];

			f->bucket[i] = fr->next;
			free(fr);
		}
	}
	free(f->text);
	free(f);
}
