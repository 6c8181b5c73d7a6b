/* SPDX-License-Identifier: MIT */
/*
 * cmd_layout.c - "mmkit layout": an architecture's virtual address space as a
 * picture, highest address first, or as JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "arch/kernel_layout.h"
#include "args.h"
#include "err.h"
#include "phys/layout.h"

int cmd_layout(int argc, char **argv);

#define BOX_WIDTH 42 /* characters between the sides */
#define PCI_HOLE  0xc0000000UL
#define HOLE_SIZE 0x40000000UL

enum { OPT_ARCH = 'a', OPT_MEM = 'm', OPT_JSON = 'j' };

struct layout_opts {
	const struct paging_format *fmt;
	u64 mem;
	bool json;
};

static const struct argp_option options[] = {
	{"arch", OPT_ARCH, "NAME", 0,
	 "x86-64, x86-64-la57, x86-32, x86-32-pae or arm64 (x86-64)", 0},
	{"mem", OPT_MEM, "SIZE", 0, "RAM of the machine (1G)", 0},
	{"json", OPT_JSON, 0, 0, "print JSON (mmkit.layout/1)", 0},
	{0}};

static const struct paging_format *arch_arg(const char *arg)
{
	const struct paging_format *f = paging_format_by_name(arg);
	const char *names[16], *near;
	size_t nr = 0;

	if (f)
		return f;
	for (u32 i = 0; paging_format_nth(i) && nr < ARRAY_SIZE(names); i++)
		names[nr++] = paging_format_nth(i)->name;
	near = err_suggest(arg, names, nr);
	if (near)
		err_usage("--arch: unknown '%s': did you mean %s?", arg, near);
	err_usage("--arch: unknown '%s' (there are: x86-64, x86-64-la57, "
		  "x86-32, x86-32-pae, arm64)",
		  arg);
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct layout_opts *o = state->input;
	struct args_error e;

	switch (key) {
	case OPT_ARCH:
		o->fmt = arch_arg(arg);
		return 0;
	case OPT_MEM:
		if (!args_size(arg, &o->mem, &e))
			err_usage("--mem: %s", e.text);
		if (o->mem < PAGE_SIZE || o->mem > 16UL << 40)
			err_usage("--mem: %s is not in the range 4K to 16T",
				  arg);
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case ARGP_KEY_ARG:
		err_usage("what is '%s'? layout takes options only", arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- numbers for people
 * ------------------------------------------------------------- */

/* BYTES in the largest unit that keeps the number at 1 or above. */
static const char *size_text(u64 bytes, char *buf, size_t len)
{
	static const char *const unit[] = {"B",	  "KiB", "MiB", "GiB",
					   "TiB", "PiB", "EiB"};
	int u = 0, digits = 2;
	double v;

	while (u < 6 && bytes >> (10 * (u + 1)))
		u++;
	v = (double)bytes / (double)(1UL << (10 * u));
	/* No zeros behind the point; 16 EiB less 256 TiB is 16 EiB. */
	if ((u64)(v * 100 + 0.5) % 10 == 0)
		digits = (u64)(v * 100 + 0.5) % 100 == 0 ? 0 : 1;
	snprintf(buf, len, "%.*f %s", digits, v, unit[u]);
	return buf;
}

static int address_digits(const struct kernel_layout *l)
{
	return l->fmt->va_bits == 32 ? 8 : 16;
}

/* ---- the picture
 * -------------------------------------------------------------------- */

static void put_border(const struct kernel_layout *l, kva_t va)
{
	int digits = address_digits(l);

	printf(" 0x%0*llx +", digits, (unsigned long long)va);
	for (int i = 0; i < BOX_WIDTH; i++)
		putchar('-');
	printf("+\n");
}

static void put_box(const struct kernel_layout *l, const char *text, char fill,
		    const char *size)
{
	int used = text[0] ? (int)strlen(text) + 2 : 0;

	printf("%*s |", address_digits(l) + 3, "");
	if (used)
		printf(" %s ", text);
	for (; used < BOX_WIDTH; used++)
		putchar(fill);
	printf("|");
	if (size[0])
		printf(" %11s", size);
	putchar('\n');
}

/* What a region's line says beyond its kind; "" for most. */
static const char *region_note(const struct kernel_layout *l,
			       const struct kl_region *r, u64 ram_end,
			       char *buf, size_t len)
{
	char size[32];

	buf[0] = '\0';
	if (r->kind == KL_DIRECT && !l->highmem)
		snprintf(buf, len, "RAM ends %s above its start",
			 size_text(ram_end, size, sizeof(size)));
	else if (r->kind == KL_DIRECT && ram_end > l->low_end)
		snprintf(buf, len, "%s above it are high memory",
			 size_text(ram_end - l->low_end, size, sizeof(size)));
	else if (r->kind == KL_PKMAP)
		snprintf(buf, len, "%u slots", l->nr_pkmap);
	else if (r->kind == KL_FIXMAP && l->highmem)
		snprintf(buf, len, "with %u kmap slots for each CPU", KM_SLOTS);
	return buf;
}

static void put_region(const struct kernel_layout *l, const struct kl_region *r,
		       u64 ram_end)
{
	bool empty = r->kind == KL_GUARD || r->kind == KL_UNUSED ||
		     r->kind == KL_GAP;
	char fill = r->kind == KL_NONCANONICAL ? '/' : empty ? '.' : ' ';
	/* The whole space less nothing would be 0: no region is all of it. */
	u64 bytes = r->last - r->start + 1;
	char size[32], note[64];

	put_box(l, kl_kind_text(r->kind), fill,
		size_text(bytes, size, sizeof(size)));
	region_note(l, r, ram_end, note, sizeof(note));
	if (note[0])
		put_box(l, note, fill, "");
	put_border(l, r->start);
}

static void put_slots(const struct kernel_layout *l)
{
	printf("\nFixmap slots, from the top:\n");
	for (u32 i = 0; i < FIX_KMAP_BEGIN; i++)
		printf(" 0x%0*llx  %s\n", address_digits(l),
		       (unsigned long long)fix_to_virt(l, i), fix_slot_name(i));
	if (l->nr_fix > FIX_KMAP_BEGIN)
		printf(" 0x%0*llx  FIX_KMAP_BEGIN, %u slots for each of %d "
		       "CPUs\n",
		       address_digits(l),
		       (unsigned long long)fix_to_virt(l, FIX_KMAP_BEGIN),
		       KM_SLOTS, MM_NR_CPUS);
}

static void draw(const struct kernel_layout *l, u64 mem, u64 ram_end)
{
	char size[32];

	printf("%s, %s of RAM\n\n", l->fmt->title,
	       size_text(mem, size, sizeof(size)));
	put_border(l, l->region[l->nr - 1].last);
	for (u32 i = l->nr; i-- > 0;)
		put_region(l, &l->region[i], ram_end);
	put_slots(l);
}

/* ---- JSON
 * ---------------------------------------------------------------------------
 */

/* JSON's numbers end at 2^53: addresses are text. */
static json_t *hex(u64 v)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "0x%llx", (unsigned long long)v);
	return json_string(buf);
}

static json_t *region_json(const struct kl_region *r)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:s}", "kind",
			 kl_kind_name(r->kind), "start", hex(r->start), "last",
			 hex(r->last), "bytes", hex(r->last - r->start + 1),
			 "text", kl_kind_text(r->kind));
}

static json_t *slots_json(const struct kernel_layout *l)
{
	json_t *slots = json_array();

	for (u32 i = 0; i < FIX_KMAP_BEGIN; i++)
		json_array_append_new(
			slots, json_pack("{s:s, s:o}", "name", fix_slot_name(i),
					 "address", hex(fix_to_virt(l, i))));
	return slots;
}

static void put_json(const struct kernel_layout *l, u64 mem, u64 ram_end)
{
	u64 high = ram_end > l->low_end ? ram_end - l->low_end : 0;
	json_t *regions = json_array(), *root;

	for (u32 i = 0; i < l->nr; i++)
		json_array_append_new(regions, region_json(&l->region[i]));
	root = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "schema",
			 "mmkit.layout/1", "arch", l->fmt->name, "title",
			 l->fmt->title, "ram_bytes", (json_int_t)mem,
			 "low_bytes", (json_int_t)min(ram_end, l->low_end),
			 "high_bytes", (json_int_t)(l->highmem ? high : 0),
			 "regions", regions, "fixmap", slots_json(l));
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

/* ---- the verb
 * ----------------------------------------------------------------------- */

int cmd_layout(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_opt,
		.doc = "Draw the virtual address space of an architecture.",
	};
	struct layout_opts o = {.fmt = &paging_x86_64_4level, .mem = 1UL << 30};
	struct kernel_layout l;
	u64 ram_end;

	args_run(&argp, argc, argv, 0, &o);
	/* As "mmkit boot --mem" lays RAM out: the GiB below 4 GiB is PCI's. */
	ram_end = o.mem <= PCI_HOLE ? o.mem : o.mem + HOLE_SIZE;
	ram_end = min(ram_end, phys_layout_find(o.fmt->name)->limit);
	kernel_layout_make(&l, o.fmt, ram_end);
	if (o.json)
		put_json(&l, o.mem, ram_end);
	else
		draw(&l, o.mem, ram_end);
	return 0;
}
