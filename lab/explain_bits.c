/* SPDX-License-Identifier: MIT */
/*
 * explain_bits.c - the fields of selectors, descriptors, linear addresses and
 * table entries, drawn and said in words.
 *
 * Names of entry bits: as the manuals have them; of software bits SD is
 * soft-dirty, UF userfaultfd's write protection, SP special (no struct page
 * counts the mapping), PN PROT_NONE, DT arm64's "dirty, not writable".
 *
 * References: Intel SDM vol. 3A, figures 3-6, 3-8, 5-1, 7-4 and tables 4-3 to
 * 4-20; Arm ARM D8.3.
 */
#include <stdio.h>
#include <string.h>

#include "explain.h"

#define LLU(x) ((unsigned long long)(x))

/* ---- segments
 * ----------------------------------------------------------------- */

void explain_selector(struct doc *d, u16 sel)
{
	static const struct doc_field fields[] = {{15, 3, "index", true},
						  {2, 2, "TI", false},
						  {1, 0, "RPL", true}};

	doc_block(d, "selector", "Selector 0x%04x", sel);
	doc_draw(d, sel, fields, ARRAY_SIZE(fields));
	if (seg_sel_null(sel))
		doc_str(d, "names", "nothing: the null selector");
	else
		doc_str(d, "names", "entry %u of the %s", seg_sel_index(sel),
			seg_sel_ldt(sel) ? "LDT" : "GDT");
	doc_dec(d, "rpl", seg_sel_rpl(sel));
}

static const struct doc_field segment_fields[] = {
	{63, 56, "base", false}, {55, 55, "G", false},
	{54, 54, "D", false},	 {53, 53, "L", false},
	{52, 52, "AVL", false},	 {51, 48, "limit", false},
	{47, 47, "P", false},	 {46, 45, "DPL", true},
	{44, 44, "S", false},	 {43, 40, "type", false},
	{39, 16, "base", false}, {15, 0, "limit", false},
};

static const struct doc_field gate_fields[] = {
	{63, 48, "offset", false}, {47, 47, "P", false},
	{46, 45, "DPL", true},	   {44, 44, "S", false},
	{43, 40, "type", false},   {39, 37, "-", false},
	{36, 32, "par/IST", true}, {31, 16, "selector", false},
	{15, 0, "offset", false},
};

static const struct doc_field upper_fields[] = {
	{63, 45, "-", false},
	{44, 40, "type", false},
	{39, 32, "-", false},
	{31, 0, "63:32", false},
};

static void say_gate(struct doc *d, const struct seg_desc *s)
{
	doc_hex(d, "target", s->target);
	if (s->kind != SEG_KIND_TASK)
		doc_hex(d, "offset", s->offset);
	if (s->ist)
		doc_dec(d, "ist", s->ist);
	if (s->params)
		doc_dec(d, "params", s->params);
}

static const char *operand_size(const struct seg_desc *s)
{
	if (!seg_is_memory(s))
		return "";
	if (s->lmode)
		return ", 64-bit";
	return s->db ? ", 32-bit" : ", 16-bit";
}

static void say_segment(struct doc *d, const struct seg_desc *s)
{
	doc_hex(d, "base", s->base);
	doc_str(d, "limit", "0x%x (%s)", s->limit,
		s->gran ? "G = 1: counted in units of 4 KiB"
			: "G = 0: counted in bytes");
	if (seg_is_memory(s) && seg_expand_down(s))
		doc_str(d, "offsets", "0x%x to 0x%x: expand-down", seg_first(s),
			seg_last(s));
}

void explain_descriptor(struct doc *d, const struct seg_step *step)
{
	static const char *const tables[SEG_NR_TABLES] = {"GDT", "LDT", "IDT"};
	const struct seg_desc *s = &step->desc;
	bool gate = seg_is_gate(s);
	const char *type = seg_type_name(s);

	doc_block(d, "descriptor", "%s entry %u at linear 0x%llx: 0x%016llx",
		  tables[step->table], step->index, LLU(step->addr),
		  LLU(step->raw[0]));
	doc_quiet_hex(d, "at", step->addr);
	doc_quiet_hex(d, "raw", step->raw[0]);
	if (gate)
		doc_draw(d, step->raw[0], gate_fields, ARRAY_SIZE(gate_fields));
	else
		doc_draw(d, step->raw[0], segment_fields,
			 ARRAY_SIZE(segment_fields));
	if (step->slots > 1)
		doc_draw(d, step->raw[1], upper_fields,
			 ARRAY_SIZE(upper_fields));
	doc_str(d, "is", "%s%s%s%s, DPL %u, %s", seg_kind_name(s->kind),
		*type ? ", " : "", type, operand_size(s), s->dpl,
		s->present ? "present" : "not present");
	if (gate)
		say_gate(d, s);
	else if (s->kind != SEG_KIND_NULL && s->kind != SEG_KIND_RESERVED)
		say_segment(d, s);
}

/* ---- linear addresses
 * --------------------------------------------------------- */

void explain_split(struct doc *d, const struct paging_format *f, u64 linear)
{
	struct doc_field fields[PT_MAX_LEVELS + 2];
	u32 n = 0;

	if (f->va_bits < 64 && f->va_bits != 32)
		fields[n++] = (struct doc_field){63, f->va_bits, "sign", false};
	for (int level = f->levels - 1; level >= 0; level--) {
		u32 lo = f->shift[level];

		fields[n++] = (struct doc_field){(u8)(lo + f->bits[level] - 1),
						 (u8)lo,
						 pt_level_name(f, level), true};
	}
	fields[n++] = (struct doc_field){11, 0, "offset", false};
	doc_draw(d, linear, fields, n);
}

/* ---- table entries
 * ------------------------------------------------------------ */

static u32 add_field(struct doc_field *to, u32 n, int hi, int lo,
		     const char *name)
{
	to[n] = (struct doc_field){(u8)hi, (u8)lo, name, false};
	return n + 1;
}

/* Bits 8..0 of x86 entries that carry rights. */
static u32 add_x86_flags(struct doc_field *to, u32 n, bool leaf, int level)
{
	static const struct doc_field low[] = {
		{5, 5, "A", false},  {4, 4, "PCD", false}, {3, 3, "PWT", false},
		{2, 2, "US", false}, {1, 1, "RW", false},  {0, 0, "P", false}};

	if (leaf) {
		n = add_field(to, n, 11, 11, "SD");
		n = add_field(to, n, 10, 10, "UF");
		n = add_field(to, n, 9, 9, "SP");
	} else {
		n = add_field(to, n, 11, 9, "sw");
	}
	n = add_field(to, n, 8, 8, leaf ? "G" : "-");
	n = add_field(to, n, 7, 7, level ? "PS" : "PAT");
	n = add_field(to, n, 6, 6, leaf ? "D" : "-");
	memcpy(to + n, low, sizeof(low));
	return n + (u32)ARRAY_SIZE(low);
}

static u32 x86_32_fields(struct doc_field *to, int level, bool leaf)
{
	u32 n = 0;

	if (leaf && level) {
		n = add_field(to, n, 31, 22, "frame");
		n = add_field(to, n, 21, 21, "-");
		n = add_field(to, n, 20, 13, "39:32");
		n = add_field(to, n, 12, 12, "PAT");
	} else {
		n = add_field(to, n, 31, 12, leaf ? "frame" : "table");
	}
	return add_x86_flags(to, n, leaf, level);
}

static u32 pae_root_fields(struct doc_field *to)
{
	static const struct doc_field root[] = {
		{63, 52, "-", false}, {51, 12, "table", false},
		{11, 9, "sw", false}, {8, 5, "-", false},
		{4, 4, "PCD", false}, {3, 3, "PWT", false},
		{2, 1, "-", false},   {0, 0, "P", false}};

	memcpy(to, root, sizeof(root));
	return ARRAY_SIZE(root);
}

static u32 x86_64_fields(const struct paging_format *f, struct doc_field *to,
			 int level, bool leaf)
{
	int frame = leaf ? f->shift[level] : 12;
	u32 n = add_field(to, 0, 63, 63, "NX");

	if (f->kind == PAGING_X86_PAE) {
		n = add_field(to, n, 62, 52, "-");
	} else {
		n = add_field(to, n, 62, 59, "key");
		n = add_field(to, n, 58, 52, "avl");
	}
	n = add_field(to, n, 51, frame, leaf ? "frame" : "table");
	if (frame > 13)
		n = add_field(to, n, frame - 1, 13, "-");
	if (frame > 12)
		n = add_field(to, n, 12, 12, "PAT");
	return add_x86_flags(to, n, leaf, level);
}

static u32 arm64_fields(const struct paging_format *f, struct doc_field *to,
			int level, bool leaf)
{
	static const struct doc_field high[] = {
		{63, 63, "SD", false},	{62, 59, "-", false},
		{58, 58, "PN", false},	{57, 57, "UF", false},
		{56, 56, "SP", false},	{55, 55, "DT", false},
		{54, 54, "UXN", false}, {53, 53, "PXN", false},
		{52, 52, "C", false},	{51, 51, "DBM", false},
		{50, 48, "-", false}};
	static const struct doc_field low[] = {
		{11, 11, "nG", false}, {10, 10, "AF", false},
		{9, 8, "SH", false},   {7, 7, "RO", false},
		{6, 6, "US", false},   {5, 5, "NS", false},
		{4, 2, "attr", false}, {1, 1, "T", false},
		{0, 0, "V", false}};
	int frame = f->shift[level];
	u32 n = (u32)ARRAY_SIZE(high);

	if (!leaf) {
		n = add_field(to, 0, 63, 48, "-");
		n = add_field(to, n, 47, 12, "table");
		n = add_field(to, n, 11, 2, "-");
		n = add_field(to, n, 1, 1, "T");
		return add_field(to, n, 0, 0, "V");
	}
	memcpy(to, high, sizeof(high));
	n = add_field(to, n, 47, frame, "frame");
	if (frame > 12)
		n = add_field(to, n, frame - 1, 12, "-");
	memcpy(to + n, low, sizeof(low));
	return n + (u32)ARRAY_SIZE(low);
}

/* A swap entry, or one of its special kinds. */
static u32 swap_fields(const struct paging_format *f, struct doc_field *to)
{
	static const struct doc_field x86[] = {
		{63, 58, "-", false},  {57, 14, "offset", false},
		{13, 9, "type", true}, {8, 8, "PN", false},
		{7, 1, "-", false},    {0, 0, "P", false}};
	static const struct doc_field x86_32[] = {{31, 9, "offset", false},
						  {8, 8, "PN", false},
						  {7, 6, "-", false},
						  {5, 1, "type", true},
						  {0, 0, "P", false}};
	static const struct doc_field arm[] = {
		{63, 59, "-", false}, {58, 58, "PN", false},
		{57, 48, "-", false}, {47, 8, "offset", false},
		{7, 7, "-", false},   {6, 2, "type", true},
		{1, 1, "T", false},   {0, 0, "V", false}};

	if (f->kind == PAGING_X86_32) {
		memcpy(to, x86_32, sizeof(x86_32));
		return ARRAY_SIZE(x86_32);
	}
	if (f->kind == PAGING_ARM64) {
		memcpy(to, arm, sizeof(arm));
		return ARRAY_SIZE(arm);
	}
	memcpy(to, x86, sizeof(x86));
	return ARRAY_SIZE(x86);
}

static bool is_leaf(int level, pte_t e)
{
	return level == 0 || pte_huge(e);
}

static u32 entry_fields(const struct paging_format *f, struct doc_field *to,
			int level, pte_t e)
{
	bool leaf = is_leaf(level, e);

	if (level == 0 && pte_swap(e))
		return swap_fields(f, to);
	switch (f->kind) {
	case PAGING_X86_32:
		return x86_32_fields(to, level, leaf);
	case PAGING_ARM64:
		return arm64_fields(f, to, level, leaf);
	case PAGING_X86_PAE:
		if (level == f->levels - 1)
			return pae_root_fields(to);
		return x86_64_fields(f, to, level, leaf);
	default:
		return x86_64_fields(f, to, level, leaf);
	}
}

/* ---- entries in words
 * --------------------------------------------------------- */

static const char *swap_words(pte_t e, char *buf, size_t size)
{
	swp_entry_t s = pte_to_swp_entry(e);
	unsigned long long off = LLU(swp_offset(s));

	if (is_migration_entry(s))
		snprintf(buf, size,
			 "migration entry (%s): the page is on its way, frame "
			 "0x%llx until then",
			 is_writable_migration_entry(s) ? "writable"
							: "read-only",
			 off);
	else if (is_hwpoison_entry(s))
		snprintf(buf, size, "poisoned frame 0x%llx", off);
	else if (is_pte_marker_entry(s))
		snprintf(buf, size, "marker, kind 0x%llx%s", off,
			 off == PTE_MARKER_UFFD_WP
				 ? ": userfaultfd write protection"
				 : "");
	else
		snprintf(buf, size, "swapped out: area %u, page %llu of it",
			 swp_type(s), off);
	return buf;
}

struct words {
	char text[256];
	size_t len;
};

static void word(struct words *w, bool when, const char *text)
{
	if (when && w->len + strlen(text) + 3 < sizeof(w->text))
		w->len += (size_t)snprintf(w->text + w->len,
					   sizeof(w->text) - w->len, "%s%s",
					   w->len ? ", " : "", text);
}

static bool has_pat(int level, pte_t e)
{
	return e.val & (level ? X86_PTE_PAT_LARGE : X86_PTE_PAT);
}

static void leaf_words(struct words *w, int level, pte_t e)
{
	word(w, true, pte_write(e) ? "writable" : "read-only");
	word(w, true, pte_user(e) ? "user" : "supervisor");
	word(w, true, pte_exec(e) ? "executable" : "no execute");
	word(w, true, pte_young(e) ? "accessed" : "not accessed");
	word(w, true, pte_dirty(e) ? "dirty" : "clean");
	word(w, pte_global(e), "global");
	word(w, e.val & X86_PTE_PWT, "write-through");
	word(w, e.val & X86_PTE_PCD, "cache disabled");
	word(w, has_pat(level, e), "PAT");
	word(w, pte_special(e), "special");
	word(w, pte_uffd_wp(e), "userfaultfd write-protected");
	word(w, pte_soft_dirty(e), "soft-dirty");
}

static void table_words(struct words *w, const struct paging_format *f,
			int level, pte_t e)
{
	bool rights = f->kind != PAGING_ARM64 &&
		      !(f->kind == PAGING_X86_PAE && level == f->levels - 1);

	word(w, !rights, "no rights of its own");
	word(w, rights, pte_write(e) ? "writable" : "read-only");
	word(w, rights, pte_user(e) ? "user" : "supervisor");
	word(w, rights && !pte_exec(e), "no execute");
	word(w, rights, pte_young(e) ? "accessed" : "not accessed");
	word(w, e.val & X86_PTE_PWT, "write-through");
	word(w, e.val & X86_PTE_PCD, "cache disabled");
}

static void say_flags(struct doc *d, const struct explain_target *t, int level,
		      u64 raw, pte_t e)
{
	struct words w = {.len = 0};
	char buf[160];

	if (raw == 0) {
		doc_str(d, "flags", "none: an empty entry");
		return;
	}
	if (level == 0 && pte_swap(e)) {
		doc_str(d, "flags", "not present");
		doc_str(d, "holds", "%s", swap_words(e, buf, sizeof(buf)));
		return;
	}
	if (!pte_valid(e) && !pte_present(e)) {
		doc_str(d, "flags",
			"not present: the CPU looks at no other "
			"bit");
		return;
	}
	word(&w, true, pte_valid(e) ? "present" : "not present");
	if (is_leaf(level, e))
		leaf_words(&w, level, e);
	else
		table_words(&w, t->fmt, level, e);
	doc_str(d, "flags", "%s", w.text);
	if (pte_protnone(e))
		doc_str(d, "holds",
			"PROT_NONE: the page at 0x%llx is kept, nobody may touch it",
			LLU(pte_pfn(e) << PAGE_SHIFT));
}

static const char *span_name(u64 span)
{
	switch (span >> 20) {
	case 0:
		return "4 KiB page";
	case 2:
		return "2 MiB page";
	case 4:
		return "4 MiB page";
	default:
		return "1 GiB page";
	}
}

/* Rights of the first NR + 1 entries together. */
static void say_rights(struct doc *d, const struct paging_walk *w, int nr)
{
	bool write = true, user = true, exec = true;

	for (int i = 0; i <= nr; i++) {
		write &= pte_write(w->entry[i]);
		user &= pte_user(w->entry[i]);
		exec &= pte_exec(w->entry[i]);
	}
	doc_str(d, "so far", "read%s%s, %s", write ? ", write" : "",
		exec ? ", execute" : "",
		user ? "by user and supervisor" : "by the supervisor alone");
}

void explain_entry(struct doc *d, const struct explain_target *t,
		   const struct paging_walk *w, int nr, u64 linear)
{
	const struct paging_format *f = t->fmt;
	int level = f->levels - 1 - nr;
	u32 index = pt_index(f, level, linear);
	struct doc_field fields[DOC_MAX_FIELDS];
	pte_t e = w->entry[nr];
	u64 raw = w->raw[nr], pa = pte_pfn(e) << PAGE_SHIFT, bad;

	if (nr >= w->depth) {
		doc_block(d, "entry", "%s entry %u at 0x%llx: no memory there",
			  pt_level_name(f, level), index, LLU(w->at[nr]));
		return;
	}
	doc_block(d, "entry", "%s entry %u at 0x%llx: 0x%0*llx",
		  pt_level_name(f, level), index, LLU(w->at[nr]),
		  f->entry_bytes * 2, LLU(raw));
	doc_quiet_str(d, "level", pt_level_name(f, level));
	doc_quiet_hex(d, "index", index);
	doc_quiet_hex(d, "at", w->at[nr]);
	doc_quiet_hex(d, "raw", raw);
	if (raw)
		doc_draw(d, raw, fields, entry_fields(f, fields, level, e));
	say_flags(d, t, level, raw, e);
	if (!pte_valid(e))
		return;
	if (raw & t->cpu.ignored & (level ? X86_PTE_PS : 0))
		doc_str(d, "ignored", "PS, as CR4.PSE = 0");
	bad = paging_reserved(&t->cpu, level, raw & ~t->cpu.ignored);
	if (bad) {
		doc_str(d, "reserved", "these bits are wrong: 0x%llx",
			LLU(bad));
		return;
	}
	if (!is_leaf(level, e))
		doc_str(d, "leads to", "table at 0x%llx", LLU(pa));
	else
		doc_str(d, "leads to", "%s at 0x%llx",
			span_name(pt_span(f, level)),
			LLU(ALIGN_DOWN(pa, pt_span(f, level))));
	say_rights(d, w, nr);
}
