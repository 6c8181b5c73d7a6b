/* SPDX-License-Identifier: MIT */
/*
 * e820.h - the firmware's map of physical memory, as PC firmware gives it.
 * Theory and rules: e820.c.
 */
#ifndef MM_PHYS_E820_H
#define MM_PHYS_E820_H

#include <mmkit/types.h>

enum e820_type {
	E820_TYPE_RAM = 1,
	E820_TYPE_RESERVED = 2,
	E820_TYPE_ACPI = 3,
	E820_TYPE_NVS = 4,
	E820_TYPE_UNUSABLE = 5,
	E820_TYPE_PMEM = 7,
	E820_TYPE_PRAM = 12,
	E820_TYPE_SOFT_RESERVED = 0xefffffffu
};

struct e820_entry {
	u64 addr;
	u64 size; /* addr + size <= 2^64 after sanitising */
	u32 type; /* enum e820_type */
	u32 line; /* of the text it came from; 0: none */
};

/* Those who know their machine may say less. */
#ifndef E820_MAX_ENTRIES
#define E820_MAX_ENTRIES 512
#endif

struct e820_table {
	u32 nr_entries;
	struct e820_entry entries[E820_MAX_ENTRIES];
};

/* What was wrong with a text, and where. */
struct e820_error {
	u32 line;   /* from 1; 0: the text as a whole */
	u32 column; /* from 1; 0: the line as a whole */
	char message[120];
};

/* e820_init: an empty table. */
void e820_init(struct e820_table *t);

/*
 * e820_add: append a range as the firmware gave it. An empty range is
 * dropped. Returns 0, or -ENOSPC if the table is full.
 */
int e820_add(struct e820_table *t, u64 addr, u64 size,
	     enum e820_type type) MM_MUST_CHECK;

/*
 * e820_parse: replace T by the map in TEXT[LEN]: lines of a Linux boot log
 * ("BIOS-e820: [mem 0x...-0x...] usable", log time in front allowed) or of
 * /proc/iomem ("00100000-07feffff : System RAM"). Blank lines and lines that
 * begin with '#' are skipped; so are other lines of a boot log, which carry a
 * time stamp. The table is not sanitised. Returns 0; -EINVAL for garbage, a
 * reversed range, or a map without usable memory; -ENOSPC for too many
 * entries: T is unchanged then and ERR says what and where.
 */
int e820_parse(struct e820_table *t, const char *text, size_t len,
	       struct e820_error *err) MM_MUST_CHECK;

/*
 * e820_sanitize: sort T, cut what wraps, resolve overlaps (the more
 * restrictive type wins), merge neighbours of one type. Returns 0, -EINVAL if
 * no usable memory is left, -ENOSPC if the result does not fit; T is
 * unchanged on failure.
 */
int e820_sanitize(struct e820_table *t) MM_MUST_CHECK;

/*
 * e820_remove_ram: [ADDR, ADDR + SIZE) of a sanitised table is no RAM any
 * more; other types stay. Returns 0, or -ENOSPC if the table might overflow
 * (unchanged then).
 */
int e820_remove_ram(struct e820_table *t, u64 addr, u64 size) MM_MUST_CHECK;

/* e820_total_ram: bytes of type RAM in a sanitised table. */
u64 e820_total_ram(const struct e820_table *t);

/* e820_type_name: "usable", "reserved", "ACPI data", ... */
const char *e820_type_name(u32 type);

/* e820_print: to the log, each line beginning with WHO ("BIOS-e820"). */
void e820_print(const struct e820_table *t, const char *who);

#endif
