/* SPDX-License-Identifier: MIT */
/*
 * numa_text.c - reading which memory and which CPU belongs to which node.
 *
 * 1. Purpose. The lines in which a Linux boot log tells the firmware's
 *    affinity table, and the same by hand:
 *
 *      SRAT: Node 0 PXM 0 [mem 0x00000000-0x0009ffff]
 *      SRAT: Node 1 PXM 1 [mem 0x100000000-0x1ffffffff] hotplug
 *      SRAT: PXM 0 -> APIC 0x00 -> Node 0
 *      node 0: [mem 0x0-0x7fffffff]
 *      cpu 0-3 node 0
 *      distance 0: 10 20 20
 *
 *    "ACPI: " may stand before SRAT, "hotplug" and "non-volatile" behind a
 *    range, a log's time stamp before any line. The colon after a node's
 *    number may be missing. APIC lines number the CPUs in their own order.
 *
 * 2. Rules.
 *    NT-1  Blank lines and lines that begin with '#' are skipped, and so are
 *          other lines that carry a time stamp; anything else is an error.
 *    NT-2  Ranges of different nodes do not overlap. Those of one node may.
 *    NT-3  A CPU and a row of distances are told once. All rows are there and
 *          as long as the first; 10 to the node itself, more to others.
 *    NT-4  At least one range; persistent memory is none.
 *
 * 3. Locking, failure. Pure functions; errors name line and column.
 *
 * 4. Cost. O(text + ranges^2), with at most NUMA_MAX_RANGES ranges.
 *
 * References: ACPI specification, "System Resource Affinity Table" and
 * "System Locality Information Table"; the log of a Linux kernel.
 */
#include "phys/numa_text.h"

#include <mmkit/errno.h>

#include "base/printk.h"
#include "base/string.h"
#include "phys/textline.h"

MM_STATIC_ASSERT(MM_NR_CPUS <= 64 && MM_MAX_NODES <= 64,
		 "a word has a bit for each CPU and each node");

/* The same with a number in the message. */
static int line_error_nr(const struct text_line *l, const char *fmt, u64 nr)
{
	char message[80];

	mm_assert(nr <= UINT32_MAX);
	(void)mm_snprintf(message, sizeof(message), fmt, (unsigned)nr);
	return line_error(l, message);
}

static int parse_node(struct text_line *l, int *nid)
{
	u64 v;
	int err;

	line_skip_blanks(l);
	err = line_decimal(l, MM_MAX_NODES - 1, &v);
	if (!err)
		*nid = (int)v;
	return err;
}

/* Nothing but blanks until the end of the line. */
static int expect_end(struct text_line *l)
{
	line_skip_blanks(l);
	return l->pos == l->end ? 0 : line_error(l, "unexpected text");
}

/* ---- ranges
 * ---------------------------------------------------------------------- */

/* "[mem 0x0-0x9ffff]", whole bytes into OUT. */
static int parse_mem(struct text_line *l, struct phys_node_range *out)
{
	u64 first, last;
	int err;

	line_skip_blanks(l);
	if (!line_skip(l, "[mem "))
		return line_error(l, "expected '[mem 0x...-0x...]'");
	line_skip_blanks(l);
	err = line_range(l, "0x", &first, &last);
	if (err)
		return err;
	if (!line_skip(l, "]"))
		return line_error(l, "expected ']' after the range");
	if (last + 1 == 0)
		return line_error(l, "range up to the end of addresses");
	out->start = first;
	out->end = last + 1;
	return 0;
}

/* R against the ranges of other nodes so far. */
static int check_overlap(const struct numa_desc *d, const struct text_line *l,
			 const struct phys_node_range *r)
{
	for (u32 i = 0; i < d->nr_ranges; i++) {
		const struct phys_node_range *o = &d->ranges[i];

		if (o->nid != r->nid && o->start < r->end && r->start < o->end)
			return line_error_nr(
				l, "overlaps another node's range of line %u",
				d->range_line[i]);
	}
	return 0;
}

/* From behind "node": the number, the range and what may follow. */
static int parse_node_line(struct numa_desc *d, struct text_line *l, bool srat)
{
	struct phys_node_range r = {0};
	bool hotplug, pmem;
	u64 pxm;
	int err = parse_node(l, &r.nid);

	if (err)
		return err;
	line_skip_blanks(l);
	if (!srat)
		(void)line_skip(l, ":");
	else if (!line_skip(l, "PXM "))
		return line_error(l, "expected 'PXM' and its number");
	else
		err = line_decimal(l, UINT16_MAX, &pxm);
	if (!err)
		err = parse_mem(l, &r);
	if (err)
		return err;
	line_skip_blanks(l);
	hotplug = line_skip(l, "hotplug");
	line_skip_blanks(l);
	pmem = line_skip(l, "non-volatile");
	err = expect_end(l);
	if (!err)
		err = check_overlap(d, l, &r);
	if (err || pmem)
		return err;
	if (d->nr_ranges == NUMA_MAX_RANGES) {
		(void)line_error(l, "too many ranges");
		return -ENOSPC;
	}
	d->range_line[d->nr_ranges] = l->number;
	d->ranges[d->nr_ranges++] = r;
	if (hotplug)
		d->hotplug[d->nr_hotplug++] = r;
	return 0;
}

/* ---- CPUs
 * ------------------------------------------------------------------------ */

/* CPU is on node NID, for the first time. */
static int set_cpu(struct numa_desc *d, const struct text_line *l, u64 cpu,
		   int nid)
{
	mm_assert(cpu < MM_NR_CPUS && nid >= 0 && nid < MM_MAX_NODES);
	if (d->cpus_given >> cpu & 1)
		return line_error_nr(l, "CPU %u has a node already", cpu);
	d->cpus_given |= 1UL << cpu;
	d->cpu_node[cpu] = (u8)nid;
	return 0;
}

/* From behind "cpu": "3 node 1" or "0-3 node 1". */
static int parse_cpu_line(struct numa_desc *d, struct text_line *l)
{
	u64 first, last;
	int nid, err;

	line_skip_blanks(l);
	err = line_decimal(l, MM_NR_CPUS - 1, &first);
	last = first;
	if (!err && line_skip(l, "-"))
		err = line_decimal(l, MM_NR_CPUS - 1, &last);
	if (err)
		return err;
	if (last < first)
		return line_error(l, "CPUs end before they start");
	line_skip_blanks(l);
	if (!line_skip(l, "node"))
		return line_error(l, "expected 'node' and its number");
	err = parse_node(l, &nid);
	if (!err)
		err = expect_end(l);
	for (u64 cpu = first; !err && cpu <= last; cpu++)
		err = set_cpu(d, l, cpu, nid);
	return err;
}

/* From behind "PXM": "0 -> APIC 0x00 -> Node 0". */
static int parse_apic_line(struct numa_desc *d, struct text_line *l)
{
	u64 pxm, apic;
	int nid, err = line_decimal(l, UINT16_MAX, &pxm);

	if (err)
		return err;
	if (!line_skip(l, " -> APIC 0x"))
		return line_error(l, "expected '-> APIC 0x' and its number");
	err = line_hex(l, &apic);
	if (err)
		return err;
	if (!line_skip(l, " -> Node"))
		return line_error(l, "expected '-> Node' and its number");
	err = parse_node(l, &nid);
	if (!err)
		err = expect_end(l);
	/* A machine of more CPUs than this manager takes: the first ones. */
	if (err || d->nr_apics == MM_NR_CPUS)
		return err;
	return set_cpu(d, l, d->nr_apics++, nid);
}

/* ---- distances
 * ------------------------------------------------------------------- */

/* The numbers of row FROM, to a buffer; *NR of them. */
static int parse_row(struct text_line *l, u64 from, u8 *row, u32 *nr)
{
	u32 n = 0;

	for (;; n++) {
		u64 v;
		int err;

		line_skip_blanks(l);
		if (l->pos == l->end)
			break;
		if (n == MM_MAX_NODES)
			return line_error(l, "too many distances");
		err = line_decimal(l, UINT8_MAX, &v);
		if (err)
			return err;
		if (v < LOCAL_DISTANCE || (v == LOCAL_DISTANCE) != (n == from))
			return line_error(l, "a node has distance 10 to itself "
					     "and more to others");
		row[n] = (u8)v;
	}
	*nr = n;
	return 0;
}

/* From behind "distance": "0: 10 20 20". */
static int parse_distance_line(struct numa_desc *d, struct text_line *l)
{
	u8 row[MM_MAX_NODES];
	int from, err = parse_node(l, &from);
	u32 nr = 0;

	if (err)
		return err;
	if (d->distances_given >> from & 1)
		return line_error(l, "second row of distances of this node");
	if (!line_skip(l, ":"))
		return line_error(l, "expected ':' after the node");
	err = parse_row(l, (u64)from, row, &nr);
	if (err)
		return err;
	if (d->nr_distances && nr != d->nr_distances)
		return line_error_nr(l, "expected %u distances as before",
				     d->nr_distances);
	if ((u32)from >= nr)
		return line_error(l, "no distance of the node to itself");
	d->nr_distances = nr;
	d->distances_given |= 1UL << from;
	mm_memcpy(&d->distances[(u32)from * nr], row, nr);
	return 0;
}

/* ---- lines
 * ------------------------------------------------------------------------ */

/* Step over "[    0.123456] "; false if there is no time stamp. */
static bool skip_stamp(struct text_line *l)
{
	struct text_line probe = *l;
	const char *close;

	if (!line_skip(&probe, "["))
		return false;
	close = line_find(&probe, "] ");
	if (!close)
		return false;
	while (probe.pos < close) {
		char c = *probe.pos++;

		if (c != ' ' && c != '.' && (c < '0' || c > '9'))
			return false;
	}
	l->pos = close + 2;
	return true;
}

/* One line of any kind into D. */
static int parse_line(struct numa_desc *d, struct text_line *l)
{
	bool stamp = skip_stamp(l);

	line_skip_blanks(l);
	if (l->pos == l->end || *l->pos == '#')
		return 0;
	(void)line_skip(l, "ACPI: ");
	if (line_skip(l, "SRAT: Node "))
		return parse_node_line(d, l, true);
	if (line_skip(l, "SRAT: PXM "))
		return parse_apic_line(d, l);
	if (line_skip(l, "node "))
		return parse_node_line(d, l, false);
	if (line_skip(l, "cpu "))
		return parse_cpu_line(d, l);
	if (line_skip(l, "distance "))
		return parse_distance_line(d, l);
	if (stamp)
		return 0;
	return line_error(l, "expected a line of node, cpu, distance or SRAT");
}

int numa_parse(struct numa_desc *d, const char *text, size_t len,
	       struct e820_error *err)
{
	struct text_line l;
	int ret = 0;

	mm_assert(d && err && (text || !len));
	mm_memset(d, 0, sizeof(*d));
	line_start(&l, text, err);
	while (!ret && line_next(&l, text + len))
		ret = parse_line(d, &l);
	if (ret)
		return ret;
	if (!d->nr_ranges) {
		*err = (struct e820_error){.message = "no memory of any node"};
		return -EINVAL;
	}
	for (u32 i = 0; i < d->nr_distances; i++) {
		if (d->distances_given >> i & 1)
			continue;
		*err = (struct e820_error){0};
		(void)mm_snprintf(err->message, sizeof(err->message),
				  "no distances of node %u", i);
		return -EINVAL;
	}
	return 0;
}
