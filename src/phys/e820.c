/* SPDX-License-Identifier: MIT */
/*
 * e820.c - the firmware's memory map: reading it and making it consistent.
 *
 * 1. Purpose. Firmware says which physical addresses are RAM. What it says
 *    may be unsorted, overlapping or absurd; everything after this file sees
 *    a sorted, disjoint table.
 *
 * 2. Rules of e820_sanitize().
 *    E820-1  An empty range does not exist.
 *    E820-2  A range that would run past 2^64 ends there (at 2^64 - 1 where
 *            2^64 bytes cannot be written as a size).
 *    E820-3  Where ranges overlap the more restrictive type holds: usable <
 *            soft reserved < persistent < ACPI data < ACPI NVS < reserved <
 *            unusable. A type that is not known counts as reserved.
 *    E820-4  Neighbours of one type become one range; addresses that no range
 *            names stay holes.
 *
 * 3. Text. Two forms are read: the lines of a Linux boot log that contain
 *    "BIOS-e820:", with whatever stamp in front, and the top-level lines of
 *    /proc/iomem. The first pass only checks, the second fills the table, so
 *    that an error leaves the caller's table as it was.
 *
 * 4. Cost. O(n^2) comparisons with n <= 512 entries, once.
 *
 * 5. Rejected. Sorting change points and keeping a list of open ranges: less
 *    work in the worst case, more code; this runs once on a few lines.
 *
 * References: ACPI specification 6.5, chapter 15 ("System Address Map
 * Interfaces"); Linux documentation, admin-guide/kernel-parameters, "memmap=".
 */
#include "phys/e820.h"

#include <mmkit/errno.h>

#include "base/printk.h"
#include "base/string.h"
#include "phys/phys.h"
#include "phys/textline.h"

struct e820_name {
	char text[28];
	u32 type;
	u32 rank; /* the higher wins */
};

/* The boot log's names; the rank is the restrictiveness. */
static const struct e820_name log_names[] = {
	{"usable", E820_TYPE_RAM, 0},
	{"soft reserved", E820_TYPE_SOFT_RESERVED, 1},
	{"persistent (type 7)", E820_TYPE_PMEM, 2},
	{"persistent (type 12)", E820_TYPE_PRAM, 2},
	{"ACPI data", E820_TYPE_ACPI, 3},
	{"ACPI NVS", E820_TYPE_NVS, 4},
	{"reserved", E820_TYPE_RESERVED, 5},
	{"unusable", E820_TYPE_UNUSABLE, 6},
};

/* The names of /proc/iomem; other top-level resources are devices. */
static const struct e820_name iomem_names[] = {
	{"System RAM", E820_TYPE_RAM, 0},
	{"Soft Reserved", E820_TYPE_SOFT_RESERVED, 0},
	{"Persistent Memory", E820_TYPE_PMEM, 0},
	{"Persistent Memory (legacy)", E820_TYPE_PRAM, 0},
	{"ACPI Tables", E820_TYPE_ACPI, 0},
	{"ACPI Non-volatile Storage", E820_TYPE_NVS, 0},
	{"Reserved", E820_TYPE_RESERVED, 0},
	{"reserved", E820_TYPE_RESERVED, 0},
	{"Unusable memory", E820_TYPE_UNUSABLE, 0},
};

const char *e820_type_name(u32 type)
{
	for (u32 i = 0; i < ARRAY_SIZE(log_names); i++) {
		if (log_names[i].type == type)
			return log_names[i].text;
	}
	return "reserved";
}

static u32 type_rank(u32 type)
{
	for (u32 i = 0; i < ARRAY_SIZE(log_names); i++) {
		if (log_names[i].type == type)
			return log_names[i].rank;
	}
	return type_rank(E820_TYPE_RESERVED);
}

void e820_init(struct e820_table *t)
{
	t->nr_entries = 0;
}

int e820_add(struct e820_table *t, u64 addr, u64 size, enum e820_type type)
{
	mm_assert(t->nr_entries <= E820_MAX_ENTRIES);
	if (size == 0)
		return 0;
	if (t->nr_entries == E820_MAX_ENTRIES)
		return -ENOSPC;
	t->entries[t->nr_entries++] =
		(struct e820_entry){addr, size, (u32)type, 0};
	return 0;
}

/* ---- text -------------------------------------------------------------------
 */

/* "A-B" with PREFIX before each number; B is the last byte. */
static int parse_range(struct text_line *l, const char *prefix,
		       struct e820_entry *out)
{
	u64 last = 0;
	int err = line_range(l, prefix, &out->addr, &last);

	if (err)
		return err;
	out->size = last - out->addr + 1;
	if (out->size == 0)
		out->size = ~0UL;
	return 0;
}

static const struct e820_name *find_name(const struct text_line *l,
					 const struct e820_name *names, u32 nr)
{
	size_t len = (size_t)(l->end - l->pos);

	for (u32 i = 0; i < nr; i++) {
		if (mm_strlen(names[i].text) == len &&
		    mm_memcmp(names[i].text, l->pos, len) == 0)
			return &names[i];
	}
	return NULL;
}

/* After "BIOS-e820:". Fills OUT. */
static int parse_log_line(struct text_line *l, struct e820_entry *out)
{
	const struct e820_name *name;
	int err;

	line_skip_blanks(l);
	if (!line_skip(l, "[mem "))
		return line_error(l, "expected '[mem 0x...-0x...]'");
	line_skip_blanks(l);
	err = parse_range(l, "0x", out);
	if (err)
		return err;
	if (!line_skip(l, "]"))
		return line_error(l, "expected ']' after the range");
	line_skip_blanks(l);
	name = find_name(l, log_names, ARRAY_SIZE(log_names));
	if (name) {
		out->type = name->type;
		return 0;
	}
	/* "type 20": a number that this Linux did not know either. */
	if (!line_skip(l, "type "))
		return line_error(l, "unknown memory type");
	out->type = E820_TYPE_RESERVED;
	return 0;
}

/* A top-level line of /proc/iomem; a device leaves OUT's size 0. */
static int parse_iomem_line(struct text_line *l, struct e820_entry *out)
{
	const struct e820_name *name;
	int err = parse_range(l, "", out);

	if (err)
		return err;
	if (!line_skip(l, " : "))
		return line_error(l, "expected ' : ' after the range");
	name = find_name(l, iomem_names, ARRAY_SIZE(iomem_names));
	if (name)
		out->type = name->type;
	else
		out->size = 0;
	return 0;
}

/* True for what a boot log or iomem has beside the ranges. */
static bool line_is_noise(const struct text_line *l)
{
	struct text_line probe = *l;

	if (l->pos == l->end || *l->pos == '#' || *l->pos == '[')
		return true;
	if (line_skip(&probe, "BIOS-provided physical RAM map:"))
		return true;
	/* An indented resource lies within the one above it. */
	return l->pos > l->start && text_hex_digit(*l->pos) >= 0;
}

/* One line; OUT's size is 0 if it names no range. */
static int parse_line(struct text_line *l, struct e820_entry *out)
{
	const char *tag = line_find(l, "BIOS-e820:");

	*out = (struct e820_entry){.line = l->number};
	if (tag) {
		l->pos = tag + mm_strlen("BIOS-e820:");
		return parse_log_line(l, out);
	}
	line_skip_blanks(l);
	if (line_is_noise(l))
		return 0;
	if (text_hex_digit(*l->pos) >= 0)
		return parse_iomem_line(l, out);
	return line_error(l, "neither a BIOS-e820 line nor a /proc/iomem line");
}

/* All lines. With T the ranges are stored; without they are only counted. */
static int parse_text(struct e820_table *t, struct text_line *l,
		      const char *end, u32 *nr_ram)
{
	u32 nr = 0;

	while (line_next(l, end)) {
		struct e820_entry e;
		int err = parse_line(l, &e);

		if (err)
			return err;
		if (!e.size)
			continue;
		if (nr == E820_MAX_ENTRIES) {
			(void)line_error(l, "too many ranges");
			return -ENOSPC;
		}
		if (t)
			t->entries[nr] = e;
		*nr_ram += e.type == E820_TYPE_RAM;
		nr++;
	}
	if (t)
		t->nr_entries = nr;
	return 0;
}

int e820_parse(struct e820_table *t, const char *text, size_t len,
	       struct e820_error *err)
{
	struct text_line l;
	u32 nr_ram = 0;
	int ret;

	mm_assert(t && err && (text || !len));
	line_start(&l, text, err);
	ret = parse_text(NULL, &l, text + len, &nr_ram);
	if (ret)
		return ret;
	if (nr_ram == 0) {
		*err = (struct e820_error){.message = "no usable memory"};
		return -EINVAL;
	}
	line_start(&l, text, err);
	ret = parse_text(t, &l, text + len, &nr_ram);
	mm_verify(ret == 0);
	return 0;
}

/* ---- sanitising
 * ---------------------------------------------------------------- */

static u64 entry_last(const struct e820_entry *e)
{
	u64 last = e->addr + e->size - 1;

	return last < e->addr ? ~0UL : last;
}

/*
 * What holds at POS: the entry of the highest rank, or NULL in a hole; and in
 * *NEXT where that may change (0: never again).
 */
static const struct e820_entry *entry_at(const struct e820_table *t, u64 pos,
					 u64 *next)
{
	const struct e820_entry *best = NULL;
	u64 change = 0;

	for (u32 i = 0; i < t->nr_entries; i++) {
		const struct e820_entry *e = &t->entries[i];
		u64 last = entry_last(e);
		u64 edge;

		if (last < pos)
			continue;
		edge = e->addr > pos ? e->addr : last + 1;
		/* 0 stands for 2^64: subtracting one orders it last. */
		if (change - 1 > edge - 1)
			change = edge;
		if (e->addr > pos)
			continue;
		if (!best || type_rank(e->type) > type_rank(best->type))
			best = e;
	}
	*next = change;
	return best;
}

/* Append [START, LAST] to T, joined with the end if it continues it. */
static int append_merged(struct e820_table *t, u64 start, u64 last,
			 const struct e820_entry *from)
{
	struct e820_entry *prev = NULL;
	u64 size = last - start + 1;

	if (t->nr_entries)
		prev = &t->entries[t->nr_entries - 1];
	if (prev && prev->type == from->type &&
	    prev->addr + prev->size == start) {
		prev->size += size;
		if (prev->addr + prev->size == 0 && prev->addr == 0)
			prev->size = ~0UL;
		return 0;
	}
	if (t->nr_entries == E820_MAX_ENTRIES)
		return -ENOSPC;
	t->entries[t->nr_entries++] = (struct e820_entry){
		start, size ? size : ~0UL, from->type, from->line};
	return 0;
}

int e820_sanitize(struct e820_table *t)
{
	struct e820_table *out = &phys_sys.e820_scratch;
	u64 pos = 0;

	mm_assert(t != out);
	e820_init(out);
	do {
		u64 next;
		const struct e820_entry *e = entry_at(t, pos, &next);

		if (e && append_merged(out, pos, next - 1, e))
			return -ENOSPC;
		mm_assert(next == 0 || next > pos);
		pos = next;
	} while (pos != 0);
	if (e820_total_ram(out) == 0)
		return -EINVAL;
	mm_memcpy(t, out,
		  offsetof(struct e820_table, entries) +
			  out->nr_entries * sizeof(out->entries[0]));
	return 0;
}

int e820_remove_ram(struct e820_table *t, u64 addr, u64 size)
{
	u64 end = addr + size;

	mm_assert(size && end > addr);
	if (t->nr_entries == E820_MAX_ENTRIES)
		return -ENOSPC;
	for (u32 i = 0; i < t->nr_entries; i++) {
		struct e820_entry *e = &t->entries[i], old = *e;
		u32 after = t->nr_entries - i - 1;

		if (old.type != E820_TYPE_RAM || old.addr >= end ||
		    old.addr + old.size <= addr)
			continue;
		if (old.addr >= addr && old.addr + old.size <= end) {
			mm_memmove(e, e + 1, after * sizeof(*e));
			t->nr_entries--;
			i--;
			continue;
		}
		if (old.addr < addr)
			e->size = addr - old.addr;
		if (old.addr + old.size <= end)
			continue;
		/* What is left above it: an entry of its own, or this one. */
		if (old.addr < addr) {
			mm_memmove(e + 2, e + 1, after * sizeof(*e));
			*++e = old;
			t->nr_entries++;
		}
		e->addr = end;
		e->size = old.addr + old.size - end;
	}
	return 0;
}

u64 e820_total_ram(const struct e820_table *t)
{
	u64 sum = 0;

	for (u32 i = 0; i < t->nr_entries; i++) {
		if (t->entries[i].type == E820_TYPE_RAM)
			sum += t->entries[i].size;
	}
	return sum;
}

void e820_print(const struct e820_table *t, const char *who)
{
	for (u32 i = 0; i < t->nr_entries; i++) {
		const struct e820_entry *e = &t->entries[i];

		pr_info("%s: [mem 0x%016llx-0x%016llx] %s", who,
			(unsigned long long)e->addr,
			(unsigned long long)entry_last(e),
			e820_type_name(e->type));
	}
}
