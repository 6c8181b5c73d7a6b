/* SPDX-License-Identifier: MIT */
/*
 * machine_desc.c - reading machine files.
 *
 * 1. Purpose. Segmentation is best understood with a table that one has
 *    written oneself. A machine file is such a table, with the registers that
 *    use it; docs/MACHINE-FORMAT.md is its definition.
 *
 * 2. Structures. A line is taken apart into words (struct machine_line), its
 *    first word is looked up in keywords[], and the function found there
 *    reads the rest. Words that nobody knows go to the caller's extension:
 *    page tables are the business of another part.
 *
 * 3. Invariants.
 *    MD-1  Every error names line, column and word.
 *    MD-2  Descriptors go through seg_encode() and seg_may_stand(); raw ones
 *          are taken as they are, so that broken tables can be written too.
 *    MD-3  Nothing is read outside of TEXT[LEN]; zero bytes are no end.
 *
 * 4. Locking and life. None; the structures are the caller's.
 *
 * 5. Failure. The first error ends the reading.
 *
 * 6. Complexity. Linear in the text; a table read is a look at three windows
 *    and, for other memory, at the cells.
 *
 * 7. Rejected. JSON: nobody writes a GDT by hand in it. A grammar with
 *    nesting: descriptors are flat things.
 */
#include "arch/machine_desc.h"

#include <mmkit/errno.h>

#include "arch/segment_linux.h"
#include "base/assert.h"
#include "base/seqbuf.h"
#include "base/string.h"

#define GDT_BASE 0x10000UL
#define LDT_BASE 0x20000UL
#define IDT_BASE 0x30000UL

#define CR0_PE	 BIT(0)
#define EFER_LMA BIT(10)

/* ---- words -------------------------------------------------------------- */

static bool word_is(const struct machine_word *w, const char *text)
{
	size_t len = mm_strlen(text);

	return w->len == len && mm_memcmp(w->text, text, len) == 0;
}

static void set_field(struct machine_error *err, const struct machine_word *w)
{
	size_t len = min((size_t)w->len, sizeof(err->field) - 1);

	err->column = w->column;
	mm_memcpy(err->field, w->text, len);
	err->field[len] = 0;
	/* What cannot be printed must not get into a message. */
	for (size_t i = 0; i < len; i++) {
		if (err->field[i] < ' ' || err->field[i] > '~')
			err->field[i] = '?';
	}
}

int machine_fail(const struct machine_line *l, u32 i, const char *message)
{
	*l->err = (struct machine_error){.line = l->number};
	if (i < l->nr)
		set_field(l->err, &l->word[i]);
	mm_strscpy(l->err->message, message, sizeof(l->err->message));
	mm_assert(l->err->message[0]);
	return -EINVAL;
}

bool machine_is(const struct machine_line *l, u32 i, const char *text)
{
	return i < l->nr && word_is(&l->word[i], text);
}

bool machine_key(const struct machine_line *l, u32 i, const char *key,
		 struct machine_word *value)
{
	const struct machine_word *w = &l->word[i];
	u32 len = (u32)mm_strlen(key);

	if (i >= l->nr || w->len <= len || w->text[len] != '=' ||
	    mm_memcmp(w->text, key, len) != 0)
		return false;
	*value = (struct machine_word){w->text + len + 1, w->len - len - 1,
				       w->column + len + 1};
	return true;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

static u32 suffix_shift(char c)
{
	static const char names[] = "KMGT";

	for (u32 i = 0; i < 4; i++) {
		if (c == names[i])
			return 10 * (i + 1);
	}
	return 0;
}

int machine_number(const struct machine_word *w, u64 *out, bool *sized)
{
	bool hex = w->len > 2 && w->text[0] == '0' &&
		   (w->text[1] == 'x' || w->text[1] == 'X');
	u32 i = hex ? 2 : 0, end = w->len, shift = 0;
	u64 v = 0, base = hex ? 16 : 10;

	if (end > i)
		shift = suffix_shift(w->text[end - 1]);
	end -= shift != 0;
	if (i >= end)
		return -EINVAL;
	for (; i < end; i++) {
		u64 digit = (u64)digit_of(w->text[i]);

		if (digit >= base || v > (~0UL - digit) / base)
			return -EINVAL;
		v = v * base + digit;
	}
	if (shift && v >> (64 - shift))
		return -EINVAL;
	*out = v << shift;
	if (sized)
		*sized = shift != 0;
	return 0;
}

static int bounded(const struct machine_line *l, u32 i,
		   const struct machine_word *w, u64 max, u64 *out)
{
	u64 v;

	if (machine_number(w, &v, NULL))
		return machine_fail(l, i, "a number was expected");
	if (v > max)
		return machine_fail(l, i, "the number is too large");
	*out = v;
	return 0;
}

int machine_word_number(const struct machine_line *l, u32 i, u64 max, u64 *out)
{
	if (i >= l->nr)
		return machine_fail(l, i, "a number is missing");
	return bounded(l, i, &l->word[i], max, out);
}

int machine_key_number(const struct machine_line *l, u32 i, u64 max, u64 *out)
{
	const struct machine_word *w = &l->word[i];
	u32 eq = 0;

	mm_assert(i < l->nr);
	while (eq < w->len && w->text[eq] != '=')
		eq++;
	if (eq == w->len)
		return machine_fail(l, i, "key=number was expected");
	return bounded(l, i,
		       &(struct machine_word){w->text + eq + 1, w->len - eq - 1,
					      w->column + eq + 1},
		       max, out);
}

/* ---- descriptors -------------------------------------------------------- */

struct flag {
	const char *name;
	u8 kinds; /* bit 0: data, 1: code, 2: TSS */
	u8 type;  /* type bits that it sets */
};

static const struct flag type_flags[] = {
	{"read", 1, 0},
	{"write", 1, SEG_T_WRITE},
	{"down", 1, SEG_T_EXPAND_DOWN},
	{"exec", 2, 0},
	{"read", 2, SEG_T_READ},
	{"conforming", 2, SEG_T_CONFORMING},
	{"accessed", 3, SEG_T_ACCESSED},
	{"busy", 4, SEG_T_BUSY},
};

/* Names of the file that are not those of seg_kind_name(). */
static const struct {
	const char *name;
	u8 kind;
} aliases[] = {
	{"gate16", SEG_KIND_INTR16},
	{"gate32", SEG_KIND_INTR32},
	{"gate64", SEG_KIND_INTR64},
};

static int find_kind(const struct machine_line *l, u32 i, enum seg_kind *kind)
{
	for (u32 a = 0; a < ARRAY_SIZE(aliases); a++) {
		if (machine_is(l, i, aliases[a].name)) {
			*kind = aliases[a].kind;
			return 0;
		}
	}
	for (u32 k = 0; k < SEG_KIND_RESERVED; k++) {
		if (machine_is(l, i, seg_kind_name(k))) {
			*kind = k;
			return 0;
		}
	}
	if (i >= l->nr)
		return machine_fail(l, i, "a kind of descriptor is missing");
	return machine_fail(l, i, "no kind of descriptor has this name");
}

static u8 kind_bit(const struct seg_desc *d)
{
	if (seg_is_tss(d))
		return 4;
	if (!seg_is_memory(d))
		return 0;
	return d->kind == SEG_KIND_CODE ? 2 : 1;
}

/* True if word I is a flag of D's type, which is then set. */
static bool take_type_flag(const struct machine_line *l, u32 i,
			   struct seg_desc *d)
{
	for (u32 f = 0; f < ARRAY_SIZE(type_flags); f++) {
		if (!(type_flags[f].kinds & kind_bit(d)) ||
		    !machine_is(l, i, type_flags[f].name))
			continue;
		d->type |= type_flags[f].type;
		return true;
	}
	return false;
}

static bool take_flag(const struct machine_line *l, u32 i, struct seg_desc *d)
{
	bool segment = !seg_is_gate(d);
	bool memory = seg_is_memory(d);

	if (take_type_flag(l, i, d))
		return true;
	if (machine_is(l, i, "absent"))
		d->present = false;
	else if (segment && machine_is(l, i, "avl"))
		d->avl = true;
	else if (segment && machine_is(l, i, "page"))
		d->gran = true;
	else if (memory && machine_is(l, i, "16bit"))
		d->db = false;
	else if (memory && machine_is(l, i, "32bit"))
		d->db = true;
	else if (d->kind == SEG_KIND_CODE && machine_is(l, i, "64bit"))
		d->lmode = !(d->db = false);
	else
		return false;
	return true;
}

/* limit=N is the last offset; with a suffix, or as size=N, the length. */
static int take_limit(const struct machine_line *l, u32 i,
		      const struct machine_word *w, bool size,
		      struct seg_desc *d)
{
	bool sized = false;
	u64 v;

	if (machine_number(w, &v, &sized))
		return machine_fail(l, i, "a number was expected");
	if (size || sized) {
		if (v == 0)
			return machine_fail(l, i, "a size of 0 has no limit");
		v--;
	}
	if (v > 0xffffffff)
		return machine_fail(l, i, "a limit has 32 bits");
	if (v > 0xfffff)
		d->gran = true;
	d->limit = (u32)v;
	return 0;
}

/* 0x60:0xc0100000, where a gate leads; a task gate has no offset. */
static int take_target(const struct machine_line *l, u32 i, struct seg_desc *d)
{
	const struct machine_word *w = &l->word[i];
	struct machine_word part = *w;
	u32 colon = 0;
	u64 sel;

	while (colon < w->len && w->text[colon] != ':')
		colon++;
	part.len = colon;
	if (machine_number(&part, &sel, NULL) || sel > 0xffff)
		return machine_fail(l, i, "a selector was expected");
	d->target = (u16)sel;
	if (colon == w->len) {
		if (d->kind == SEG_KIND_TASK)
			return 0;
		return machine_fail(l, i, "selector:offset was expected");
	}
	part = (struct machine_word){w->text + colon + 1, w->len - colon - 1,
				     w->column};
	if (machine_number(&part, &d->offset, NULL))
		return machine_fail(l, i, "an offset was expected");
	return 0;
}

static int take_field(const struct machine_line *l, u32 i, struct seg_desc *d)
{
	struct machine_word w;
	bool gate = seg_is_gate(d);
	u64 v = 0;
	int err;

	if (take_flag(l, i, d))
		return 0;
	if (!gate && machine_key(l, i, "limit", &w))
		return take_limit(l, i, &w, false, d);
	if (!gate && machine_key(l, i, "size", &w))
		return take_limit(l, i, &w, true, d);
	if (!gate && machine_key(l, i, "base", &w))
		return machine_key_number(l, i, ~0UL, &d->base);
	if (machine_key(l, i, "dpl", &w)) {
		err = machine_key_number(l, i, 3, &v);
		d->dpl = (u8)v;
		return err;
	}
	if (gate && machine_key(l, i, "ist", &w)) {
		err = machine_key_number(l, i, 7, &v);
		d->ist = (u8)v;
		return err;
	}
	if (gate && machine_key(l, i, "params", &w)) {
		err = machine_key_number(l, i, 31, &v);
		d->params = (u8)v;
		return err;
	}
	if (gate && l->word[i].len && digit_of(l->word[i].text[0]) < 10)
		return take_target(l, i, d);
	return machine_fail(l, i, "this kind of descriptor has no such field");
}

/* What holds unless the line says otherwise. */
static struct seg_desc default_desc(enum seg_kind kind, bool lma)
{
	struct seg_desc d = {.kind = kind, .present = kind != SEG_KIND_NULL};

	if (kind == SEG_KIND_CODE)
		d.type = SEG_T_CODE;
	if (seg_is_memory(&d)) {
		d.lmode = lma && kind == SEG_KIND_CODE;
		d.db = !d.lmode;
	}
	if (seg_is_tss(&d))
		d.limit = kind == SEG_KIND_TSS16 ? 43 : 103;
	return d;
}

static struct seg_slot slot_of(struct machine_desc *m, enum seg_table t)
{
	bool lma = m->mode == MACHINE_LONG;

	switch (t) {
	case SEG_TABLE_GDT:
		return (struct seg_slot){m->gdt, ARRAY_SIZE(m->gdt), t, lma};
	case SEG_TABLE_LDT:
		return (struct seg_slot){m->ldt, ARRAY_SIZE(m->ldt), t, lma};
	default:
		return (struct seg_slot){m->idt, lma ? 512 : 256, t, lma};
	}
}

/* Entry INDEX with SLOTS halves is in use now. */
static void table_grows(struct machine_desc *m, enum seg_table t, u32 index,
			u32 slots)
{
	u32 *nr = t == SEG_TABLE_GDT   ? &m->gdt_nr
		  : t == SEG_TABLE_LDT ? &m->ldt_nr
				       : &m->idt_nr;
	u32 wide = t == SEG_TABLE_IDT && m->mode == MACHINE_LONG ? 2 : 1;

	mm_assert(slots == 1 || slots == 2);
	*nr = max(*nr, index * wide + max(slots, wide));
}

/* gdt N = 0x... [0x...] */
static int raw_entry(struct machine_desc *m, const struct machine_line *l,
		     enum seg_table t, u32 index)
{
	struct seg_slot to = slot_of(m, t);
	u32 at = t == SEG_TABLE_IDT && to.lma ? index * 2 : index;
	u64 raw[2] = {0, 0};
	u32 n = l->nr - 3;

	if (n < 1 || n > 2)
		return machine_fail(l, l->nr, "one or two numbers after '='");
	if (at + n > to.nr)
		return machine_fail(l, 1, "the entry is beyond the table");
	for (u32 i = 0; i < n; i++) {
		if (machine_word_number(l, 3 + i, ~0UL, &raw[i]))
			return -EINVAL;
	}
	mm_memcpy(&to.table[at], raw, n * sizeof(u64));
	table_grows(m, t, index, n);
	return 0;
}

static int built_entry(struct machine_desc *m, const struct machine_line *l,
		       enum seg_table t, u32 index)
{
	struct seg_slot to = slot_of(m, t);
	struct seg_desc d;
	enum seg_kind kind = SEG_KIND_NULL;
	int err;

	if (find_kind(l, 2, &kind))
		return -EINVAL;
	d = default_desc(kind, to.lma);
	for (u32 i = 3; i < l->nr; i++) {
		if (take_field(l, i, &d))
			return -EINVAL;
	}
	if (!seg_may_stand(kind, t, to.lma))
		return machine_fail(l, 2, "this kind may not stand here");
	if (t == SEG_TABLE_GDT && index == 0 && kind != SEG_KIND_NULL)
		return machine_fail(l, 1, "entry 0 of the GDT is null");
	if (!seg_is_gate(&d) && !seg_limit_encodable(d.limit, d.gran))
		return machine_fail(l, l->nr,
				    "the limit is not the end of a "
				    "4 KiB unit");
	err = seg_table_set(&to, index, &d);
	if (err == -ERANGE)
		return machine_fail(l, 1, "the entry is beyond the table");
	if (err)
		return machine_fail(l, l->nr, "no descriptor can say this");
	table_grows(m, t, index, seg_slots(kind, to.lma));
	return 0;
}

static int table_line(struct machine_desc *m, const struct machine_line *l)
{
	enum seg_table t = machine_is(l, 0, "gdt")   ? SEG_TABLE_GDT
			   : machine_is(l, 0, "ldt") ? SEG_TABLE_LDT
						     : SEG_TABLE_IDT;
	u64 max = t == SEG_TABLE_IDT ? 255 : SEG_MAX_ENTRIES - 1;
	u64 index;

	if (machine_word_number(l, 1, max, &index))
		return -EINVAL;
	m->tables_line = m->tables_line ?: l->number;
	if (machine_is(l, 2, "="))
		return raw_entry(m, l, t, (u32)index);
	return built_entry(m, l, t, (u32)index);
}

/* ---- other lines -------------------------------------------------------- */

static int mode_line(struct machine_desc *m, const struct machine_line *l)
{
	static const char *const names[] = {"real", "vm86", "protected",
					    "long"};

	if (l->nr != 2)
		return machine_fail(l, l->nr, "mode takes one word");
	if (m->tables_line)
		return machine_fail(l, 0, "mode must stand before the tables");
	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		if (machine_is(l, 1, names[i])) {
			m->mode = i;
			return 0;
		}
	}
	return machine_fail(l, 1, "real, vm86, protected or long expected");
}

struct named {
	const char *name;
	struct machine_value *at;
	u64 max;
};

/* Words FIRST... of L are NAME=number with names from the list. */
static int values_line(const struct machine_line *l, const struct named *list,
		       u32 nr)
{
	struct machine_word w;

	if (l->nr < 2)
		return machine_fail(l, l->nr, "name=number is missing");
	for (u32 i = 1; i < l->nr; i++) {
		u32 k = 0;

		while (k < nr && !machine_key(l, i, list[k].name, &w))
			k++;
		if (k == nr)
			return machine_fail(l, i, "nothing here has this name");
		if (machine_key_number(l, i, list[k].max, &list[k].at->value))
			return -EINVAL;
		list[k].at->line = l->number;
	}
	return 0;
}

static int reg_line(struct machine_desc *m, const struct machine_line *l)
{
	const struct named list[] = {
		{"es", &m->sr[SEG_ES], 0xffff},
		{"cs", &m->sr[SEG_CS], 0xffff},
		{"ss", &m->sr[SEG_SS], 0xffff},
		{"ds", &m->sr[SEG_DS], 0xffff},
		{"fs", &m->sr[SEG_FS], 0xffff},
		{"gs", &m->sr[SEG_GS], 0xffff},
		{"ldtr", &m->ldtr, 0xffff},
		{"tr", &m->tr, 0xffff},
		{"fsbase", &m->fs_base, ~0UL},
		{"gsbase", &m->gs_base, ~0UL},
		{"ip", &m->ip, ~0UL},
		{"sp", &m->sp, ~0UL},
		{"flags", &m->flags, 0xffffffff},
	};

	return values_line(l, list, ARRAY_SIZE(list));
}

#define CR0_KERNEL  0x80010011UL /* PE, ET, WP, PG */
#define CR4_PSE	    0x10UL
#define CR4_LONG    0x30UL  /* PSE, PAE */
#define EFER_KERNEL 0xd01UL /* SCE, LME, LMA, NXE */

u64 machine_control_default(enum machine_mode mode, char reg)
{
	bool lma = mode == MACHINE_LONG;

	mm_assert(reg == '0' || reg == '4' || reg == 'e');
	if (mode == MACHINE_REAL)
		return reg == '0' ? CR0_KERNEL & ~(BIT(31) | CR0_PE) : 0;
	if (reg == '0')
		return CR0_KERNEL;
	if (reg == '4')
		return lma ? CR4_LONG : CR4_PSE;
	return lma ? EFER_KERNEL : 0;
}

/* Bits of control registers by name; '0': CR0, '4': CR4, 'e': EFER. */
static const struct {
	char reg;
	u8 bit;
	const char *name;
} control_bits[] = {
	{'0', 0, "pe"},		 {'0', 1, "mp"},       {'0', 2, "em"},
	{'0', 3, "ts"},		 {'0', 4, "et"},       {'0', 5, "ne"},
	{'0', 16, "wp"},	 {'0', 18, "am"},      {'0', 29, "nw"},
	{'0', 30, "cd"},	 {'0', 31, "pg"},      {'4', 0, "vme"},
	{'4', 1, "pvi"},	 {'4', 2, "tsd"},      {'4', 3, "de"},
	{'4', 4, "pse"},	 {'4', 5, "pae"},      {'4', 6, "mce"},
	{'4', 7, "pge"},	 {'4', 8, "pce"},      {'4', 9, "osfxsr"},
	{'4', 10, "osxmmexcpt"}, {'4', 11, "umip"},    {'4', 12, "la57"},
	{'4', 13, "vmxe"},	 {'4', 14, "smxe"},    {'4', 16, "fsgsbase"},
	{'4', 17, "pcide"},	 {'4', 18, "osxsave"}, {'4', 20, "smep"},
	{'4', 21, "smap"},	 {'4', 22, "pke"},     {'4', 23, "cet"},
	{'e', 0, "sce"},	 {'e', 8, "lme"},      {'e', 10, "lma"},
	{'e', 11, "nxe"},
};

/* Word I: NAME, NAME=1 or NAME=0 of register REG. */
static int control_bit(const struct machine_line *l, u32 i, char reg,
		       u64 *value)
{
	struct machine_word w;
	u64 on = 1;

	for (u32 b = 0; b < ARRAY_SIZE(control_bits); b++) {
		const char *name = control_bits[b].name;

		if (control_bits[b].reg != reg)
			continue;
		if (machine_key(l, i, name, &w)) {
			if (machine_key_number(l, i, 1, &on))
				return -EINVAL;
		} else if (!machine_is(l, i, name)) {
			continue;
		}
		*value &= ~BIT(control_bits[b].bit);
		*value |= on << control_bits[b].bit;
		return 0;
	}
	return machine_fail(l, i, "no bit of this register has this name");
}

static bool is_digit(const struct machine_line *l, u32 i)
{
	return i < l->nr && l->word[i].len && digit_of(l->word[i].text[0]) < 10;
}

/* cr4 0x30 smep, or names alone: then on top of what a kernel sets. */
static int control_words(struct machine_desc *m, const struct machine_line *l,
			 char reg, struct machine_value *at)
{
	u64 value = machine_control_default(m->mode, reg);
	u32 i = 1;

	if (l->nr < 2)
		return machine_fail(l, 1, "a number is missing");
	if (is_digit(l, 1)) {
		if (machine_word_number(l, i++, ~0UL, &value))
			return -EINVAL;
	} else {
		m->tables_line = m->tables_line ?: l->number;
	}
	for (; i < l->nr; i++) {
		if (is_digit(l, i))
			return machine_fail(l, i, "one number was expected");
		if (control_bit(l, i, reg, &value))
			return -EINVAL;
	}
	at->line = l->number;
	at->value = value;
	return 0;
}

static int control_line(struct machine_desc *m, const struct machine_line *l)
{
	if (machine_is(l, 0, "cr0"))
		return control_words(m, l, '0', &m->cr0);
	if (machine_is(l, 0, "cr4"))
		return control_words(m, l, '4', &m->cr4);
	if (machine_is(l, 0, "efer"))
		return control_words(m, l, 'e', &m->efer);
	mm_assert(machine_is(l, 0, "cr3"));
	if (l->nr > 2)
		return machine_fail(l, 2, "one number was expected");
	m->cr3.line = l->number;
	return machine_word_number(l, 1, ~0UL, &m->cr3.value);
}

/* gdtr, ldtr, idtr: where the table lies, and how far it reaches. */
static int dtr_line(struct machine_desc *m, const struct machine_line *l)
{
	bool ldt = machine_is(l, 0, "ldtr"), idt = machine_is(l, 0, "idtr");
	struct machine_value base = {0}, limit = {0};
	const struct named list[] = {{"base", &base, ~0UL},
				     {"limit", &limit, 0xffff}};

	/* The limit of an LDT is its descriptor's. */
	if (values_line(l, list, ldt ? 1 : 2))
		return -EINVAL;
	if (base.line)
		*(ldt	? &m->ldt_base
		  : idt ? &m->idt_base
			: &m->gdt_base) = base.value;
	if (limit.line)
		*(idt ? &m->idt_limit : &m->gdt_limit) = limit;
	return 0;
}

/* mem ADDR byte|word|dword|qword VALUE... */
static int mem_line(struct machine_desc *m, const struct machine_line *l)
{
	static const char *const names[] = {"byte", "word", "dword", "qword"};
	u32 size = 0;
	u64 addr, v;

	if (machine_word_number(l, 1, ~0UL, &addr))
		return -EINVAL;
	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		if (machine_is(l, 2, names[i]))
			size = 1u << i;
	}
	if (!size)
		return machine_fail(l, 2,
				    "byte, word, dword or qword "
				    "expected");
	if (l->nr < 4)
		return machine_fail(l, l->nr, "no value is given");
	for (u32 i = 3; i < l->nr; i++) {
		if (machine_word_number(l, i, ~0UL >> (64 - 8 * size), &v))
			return -EINVAL;
		if (m->nr_cells == MACHINE_MAX_CELLS)
			return machine_fail(l, i, "too many mem values");
		m->cell[m->nr_cells++] = (struct machine_cell){addr, v, size};
		addr += size;
	}
	return 0;
}

/* linux x86-32|x86-64 [cpu=N] [node=N] [tss=A] [ldt=A] [percpu=A]... */
static int linux_line(struct machine_desc *m, const struct machine_line *l)
{
	struct machine_value cpu = {0}, node = {0}, tss = {0}, percpu = {0},
			     dftss = {0}, ldt = {0};
	const struct named list[] = {
		{"cpu", &cpu, 4095},	 {"node", &node, 255},
		{"tss", &tss, ~0UL},	 {"percpu", &percpu, ~0UL},
		{"dftss", &dftss, ~0UL}, {"ldt", &ldt, SEG_MAX_ENTRIES},
	};
	struct machine_line rest = *l;
	struct linux_cpu_desc d;
	bool wide = machine_is(l, 1, "x86-64");
	int err;

	if (!wide && !machine_is(l, 1, "x86-32"))
		return machine_fail(l, 1, "x86-32 or x86-64 expected");
	if (wide != (m->mode == MACHINE_LONG))
		return machine_fail(l, 1, "these tables are of another mode");
	rest.nr = l->nr - 1;
	for (u32 i = 1; i < rest.nr; i++)
		rest.word[i] = l->word[i + 1];
	if (rest.nr > 1 && values_line(&rest, list, ARRAY_SIZE(list)))
		return -EINVAL;
	m->tables_line = m->tables_line ?: l->number;
	d = (struct linux_cpu_desc){.tss_base = tss.value,
				    .ldt_base = m->ldt_base,
				    .ldt_entries = (u32)ldt.value,
				    .percpu_base = percpu.value,
				    .df_tss_base = dftss.value,
				    .cpu = (u32)cpu.value,
				    .node = (u32)node.value};
	err = wide ? linux_gdt64(&d, m->gdt) : linux_gdt32(&d, m->gdt);
	if (err)
		return machine_fail(l, l->nr, "an address needs 32 bits");
	m->gdt_nr = max(m->gdt_nr, wide ? (u32)LINUX64_GDT_ENTRIES
					: (u32)LINUX32_GDT_ENTRIES);
	return 0;
}

/* model basic-flat|protected-flat|multi ram=SIZE */
static int model_line(struct machine_desc *m, const struct machine_line *l)
{
	static const char *const names[] = {"basic-flat", "protected-flat",
					    "multi"};
	struct machine_word w;
	u64 ram;

	if (m->mode == MACHINE_LONG)
		return machine_fail(l, 0, "long mode has no models");
	if (l->nr != 3 || !machine_key(l, 2, "ram", &w))
		return machine_fail(l, 2, "model NAME ram=SIZE expected");
	if (machine_key_number(l, 2, ~0UL, &ram))
		return -EINVAL;
	m->tables_line = m->tables_line ?: l->number;
	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		if (!machine_is(l, 1, names[i]))
			continue;
		if (seg_model_gdt(i, ram, m->gdt))
			return machine_fail(l, 2, "no RAM size for a model");
		m->gdt_nr = max(m->gdt_nr, (u32)SEG_MODEL_ENTRIES);
		return 0;
	}
	return machine_fail(l, 1, "no model has this name");
}

static const struct {
	const char *name;
	int (*line)(struct machine_desc *m, const struct machine_line *l);
} keywords[] = {
	{"mode", mode_line},   {"gdt", table_line},   {"ldt", table_line},
	{"idt", table_line},   {"reg", reg_line},     {"cr0", control_line},
	{"cr3", control_line}, {"cr4", control_line}, {"efer", control_line},
	{"gdtr", dtr_line},    {"ldtr", dtr_line},    {"idtr", dtr_line},
	{"mem", mem_line},     {"linux", linux_line}, {"model", model_line},
};

/* ---- the text ----------------------------------------------------------- */

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Take [TEXT, END) apart up to a comment. 0 or -EINVAL: too many words. */
static int split(struct machine_line *l, const char *text, const char *end)
{
	const char *p = text;

	l->nr = 0;
	for (;;) {
		const char *start;

		while (p < end && blank(*p))
			p++;
		if (p == end || *p == '#')
			return 0;
		start = p;
		while (p < end && !blank(*p) && *p != '#')
			p++;
		if (l->nr == MACHINE_MAX_WORDS)
			return machine_fail(l, l->nr, "too many words");
		l->word[l->nr++] = (struct machine_word){
			start, (u32)(p - start), (u32)(start - text) + 1};
	}
}

static int take_line(struct machine_desc *m, const struct machine_line *l,
		     const struct machine_extension *ext)
{
	int err = -ENOENT;

	for (u32 i = 0; i < ARRAY_SIZE(keywords); i++) {
		if (machine_is(l, 0, keywords[i].name))
			return keywords[i].line(m, l);
	}
	if (ext)
		err = ext->line(ext->arg, l);
	if (err == -ENOENT)
		return machine_fail(l, 0, "no line begins with this word");
	return err;
}

/* CR0.PE and EFER.LMA, where given, say the same as the mode. */
static int check_controls(const struct machine_desc *m,
			  struct machine_error *err)
{
	struct machine_line l = {.err = err};
	bool pe = m->mode != MACHINE_REAL, lma = m->mode == MACHINE_LONG;

	l.number = m->cr0.line;
	if (m->cr0.line && !(m->cr0.value & CR0_PE) == pe)
		return machine_fail(&l, 0, "cr0.PE does not fit the mode");
	l.number = m->efer.line;
	if (m->efer.line && !(m->efer.value & EFER_LMA) == lma)
		return machine_fail(&l, 0, "efer.LMA does not fit the mode");
	return 0;
}

int machine_parse(struct machine_desc *m, const char *text, size_t len,
		  const struct machine_extension *ext,
		  struct machine_error *err)
{
	const char *p = text, *end = text + len;
	struct machine_line l = {.err = err};

	mm_assert(m && err && (text || !len));
	mm_memset(m, 0, sizeof(*m));
	m->mode = MACHINE_PROTECTED;
	m->gdt_base = GDT_BASE;
	m->ldt_base = LDT_BASE;
	m->idt_base = IDT_BASE;
	while (p < end) {
		const char *nl = p;
		int bad;

		while (nl < end && *nl != '\n')
			nl++;
		l.number++;
		bad = split(&l, p, nl);
		if (!bad && l.nr)
			bad = take_line(m, &l, ext);
		if (bad)
			return bad;
		p = nl < end ? nl + 1 : end;
	}
	return check_controls(m, err);
}

const char *machine_error_text(const struct machine_error *err,
			       const char *file, char *buf, size_t size)
{
	struct seq_buf s;

	seq_buf_init(&s, buf, size);
	seq_printf(&s, "%s:", file);
	if (err->line)
		seq_printf(&s, "%u:", err->line);
	if (err->column)
		seq_printf(&s, "%u:", err->column);
	if (err->field[0])
		seq_printf(&s, " '%s':", err->field);
	seq_printf(&s, " %s", err->message);
	return seq_buf_str(&s);
}
