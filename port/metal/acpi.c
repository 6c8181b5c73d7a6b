/* SPDX-License-Identifier: MIT */
/*
 * acpi.c - the firmware's tables, read without trust.
 *
 * A root pointer names one table of pointers (XSDT with 64 bits each, or the
 * older RSDT with 32), which names the others. Each begins with the same 36
 * bytes: signature, length, revision, a byte that makes the sum of all bytes
 * 0. MADT and SRAT are lists of entries {type, length, ...}. Every length is
 * checked before anything behind it is read: a table can be damaged, and a
 * virtual machine's may be made by somebody who means harm.
 *
 * The definition blocks (DSDT) are programs. Two facts in them are needed, and
 * both have one form in practice: the package _S5_, whose numbers power off,
 * and the resources of devices with the ID LNRO0005, virtio by memory. They
 * are found by their bytes.
 */
#include "acpi.h"

#include "base/seqbuf.h"
#include "base/string.h"

#define HEADER	    36u
#define RSDP_V1	    20u
#define RSDP_V2	    36u
#define SLIT_BASE   44u
#define LIST_MADT   44u
#define LIST_SRAT   48u
#define LAPIC_USUAL 0xfee00000u

/* ---- bytes ------------------------------------------------------------------
 */

static u16 get16(const u8 *p)
{
	return (u16)(p[0] | p[1] << 8);
}

static u32 get32(const u8 *p)
{
	return get16(p) | (u32)get16(p + 2) << 16;
}

static u64 get64(const u8 *p)
{
	return get32(p) | (u64)get32(p + 4) << 32;
}

static u8 sum(const u8 *p, u64 n)
{
	u8 s = 0;

	while (n--)
		s = (u8)(s + *p++);
	return s;
}

static bool refuse(struct acpi_info *info, const char *fmt, ...)
	MM_PRINTF(2, 3);
static bool refuse(struct acpi_info *info, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	mm_vsnprintf(info->error, sizeof(info->error), fmt, ap);
	va_end(ap);
	return false;
}

/* A signature that can be printed. */
static void name_of(char name[5], const u8 *t)
{
	for (u32 i = 0; i < 4; i++)
		name[i] = (char)(t[i] >= 32 && t[i] < 127 ? t[i] : '?');
	name[4] = 0;
}

void acpi_reset_info(struct acpi_info *info)
{
	mm_memset(info, 0, sizeof(*info));
	info->lapic = LAPIC_USUAL;
	info->nr_nodes = 1;
	info->distance[0] = 10;
}

bool acpi_check(struct acpi_info *info, const void *t, u64 len,
		const char *want)
{
	const u8 *p = t;
	char name[5];
	u32 size;

	if (len < HEADER)
		return refuse(info, "table of %llu bytes has no header",
			      (unsigned long long)len);
	name_of(name, p);
	size = get32(p + 4);
	if (want && mm_memcmp(p, want, 4))
		return refuse(info, "%s: signature is %s", want, name);
	if (size < HEADER || size > ACPI_MAX_TABLE)
		return refuse(info, "%s: length %u is out of 36..%u", name,
			      size, ACPI_MAX_TABLE);
	if (size > len)
		return refuse(info, "%s: length %u, only %llu bytes are there",
			      name, size, (unsigned long long)len);
	if (sum(p, size))
		return refuse(info, "%s: checksum is off by 0x%02x", name,
			      sum(p, size));
	return true;
}

/* ---- lists of entries -------------------------------------------------------
 */

/* Reads the entry E of its type; false: refused. */
typedef bool (*entry_fn)(struct acpi_info *info, const u8 *e);

/* Types below NR have a shortest length and a reader, 0 and NULL: skipped. */
struct entry_kind {
	u8 min_len;
	entry_fn read;
};

static bool read_entries(struct acpi_info *info, const u8 *t, u32 at,
			 const struct entry_kind *kinds, u32 nr)
{
	u32 size = get32(t + 4);
	char name[5];

	name_of(name, t);
	if (size < at)
		return refuse(info, "%s: length %u is less than %u", name, size,
			      at);
	while (at < size) {
		const u8 *e = t + at;
		u8 len;

		if (size - at < 2)
			return refuse(info, "%s: a byte is left over at %u",
				      name, at);
		len = e[1];
		if (len < 2 || len > size - at)
			return refuse(info,
				      "%s: entry at %u of type %u has length "
				      "%u, %u bytes are left",
				      name, at, e[0], len, size - at);
		if (e[0] < nr && len < kinds[e[0]].min_len)
			return refuse(info,
				      "%s: entry at %u of type %u has length "
				      "%u, at least %u",
				      name, at, e[0], len, kinds[e[0]].min_len);
		if (e[0] < nr && kinds[e[0]].read && !kinds[e[0]].read(info, e))
			return false;
		at += len;
	}
	return true;
}

/* ---- MADT: CPUs and interrupt controllers -----------------------------------
 */

static struct acpi_cpu *find_cpu(struct acpi_info *info, u32 apic_id)
{
	for (u32 i = 0; i < info->nr_cpus; i++) {
		if (info->cpu[i].apic_id == apic_id)
			return &info->cpu[i];
	}
	return NULL;
}

/* A CPU may stand there twice, by its short and by its long number. */
static bool add_cpu(struct acpi_info *info, u32 apic_id, u32 uid, u32 flags)
{
	if (!(flags & 3) || find_cpu(info, apic_id))
		return true;
	if (info->nr_cpus == ACPI_MAX_CPUS)
		return true; /* more than the manager can have anyway */
	info->cpu[info->nr_cpus++] = (struct acpi_cpu){
		.apic_id = apic_id, .uid = uid, .enabled = flags & 1};
	return true;
}

static bool madt_lapic(struct acpi_info *info, const u8 *e)
{
	return e[3] == 0xff || add_cpu(info, e[3], e[2], get32(e + 4));
}

static bool madt_x2apic(struct acpi_info *info, const u8 *e)
{
	return get32(e + 4) == ~0u ||
	       add_cpu(info, get32(e + 4), get32(e + 12), get32(e + 8));
}

static bool madt_ioapic(struct acpi_info *info, const u8 *e)
{
	if (info->nr_ioapics == ACPI_MAX_IOAPICS)
		return refuse(info, "MADT: more than %u I/O APICs",
			      ACPI_MAX_IOAPICS);
	info->ioapic[info->nr_ioapics++] = (struct acpi_ioapic){
		.id = e[2], .addr = get32(e + 4), .gsi_base = get32(e + 8)};
	return true;
}

/* Polarity and trigger, 2 bits each: 0 as the bus has it (ISA: high, edge). */
static bool madt_override(struct acpi_info *info, const u8 *e)
{
	u16 flags = get16(e + 8);

	if (e[2] != 0)
		return refuse(info, "MADT: override of bus %u", e[2]);
	if (info->nr_overrides == ACPI_MAX_OVERRIDES)
		return refuse(info, "MADT: more than %u overrides",
			      ACPI_MAX_OVERRIDES);
	info->override[info->nr_overrides++] =
		(struct acpi_override){.source = e[3],
				       .gsi = get32(e + 4),
				       .low = (flags & 3) == 3,
				       .level = (flags >> 2 & 3) == 3};
	return true;
}

static bool madt_lapic_addr(struct acpi_info *info, const u8 *e)
{
	info->lapic = get64(e + 4);
	return true;
}

bool acpi_read_madt(struct acpi_info *info, const void *t)
{
	static const struct entry_kind kinds[] = {
		[0] = {8, madt_lapic},	   [1] = {12, madt_ioapic},
		[2] = {10, madt_override}, [3] = {8, NULL},
		[4] = {6, NULL},	   [5] = {12, madt_lapic_addr},
		[9] = {16, madt_x2apic},   [10] = {12, NULL},
	};
	const u8 *p = t;

	if (get32(p + 4) < LIST_MADT)
		return refuse(info, "APIC: length %u is less than %u",
			      get32(p + 4), LIST_MADT);
	info->has_madt = true;
	info->lapic = get32(p + 36);
	info->has_pic = get32(p + 40) & 1;
	return read_entries(info, p, LIST_MADT, kinds, ARRAY_SIZE(kinds));
}

struct acpi_override acpi_gsi(const struct acpi_info *info, u8 irq)
{
	for (u32 i = 0; i < info->nr_overrides; i++) {
		if (info->override[i].source == irq)
			return info->override[i];
	}
	return (struct acpi_override){.source = irq, .gsi = irq};
}

/* ---- SRAT and SLIT: nodes ---------------------------------------------------
 */

/* The node of proximity domain D, a new one if need be; -1: too many. */
static int node_of(struct acpi_info *info, u32 d)
{
	for (u32 i = 0; i < info->nr_nodes; i++) {
		if (info->domain[i] == d)
			return (int)i;
	}
	if (info->nr_nodes == MM_MAX_NODES) {
		(void)refuse(info, "SRAT: more than %u nodes", MM_MAX_NODES);
		return -1;
	}
	info->domain[info->nr_nodes] = d;
	return (int)info->nr_nodes++;
}

static bool srat_any_cpu(struct acpi_info *info, u32 apic_id, u32 domain)
{
	struct acpi_cpu *cpu = find_cpu(info, apic_id);
	int node = node_of(info, domain);

	if (node < 0)
		return false;
	if (cpu)
		cpu->node = node;
	return true;
}

static bool srat_cpu(struct acpi_info *info, const u8 *e)
{
	u32 domain =
		e[2] | (u32)e[9] << 8 | (u32)e[10] << 16 | (u32)e[11] << 24;

	return !(get32(e + 4) & 1) || srat_any_cpu(info, e[3], domain);
}

static bool srat_x2apic(struct acpi_info *info, const u8 *e)
{
	return !(get32(e + 12) & 1) ||
	       srat_any_cpu(info, get32(e + 8), get32(e + 4));
}

static bool srat_mem(struct acpi_info *info, const u8 *e)
{
	u64 start = get64(e + 8), size = get64(e + 16);
	u32 flags = get32(e + 28);
	int node;

	if (!(flags & 1) || !size)
		return true;
	if (start + size < start)
		return refuse(info, "SRAT: memory at 0x%llx wraps around",
			      (unsigned long long)start);
	if (info->nr_mems == ACPI_MAX_MEMS)
		return refuse(info, "SRAT: more than %u pieces of memory",
			      ACPI_MAX_MEMS);
	node = node_of(info, get32(e + 2));
	if (node < 0)
		return false;
	info->mem[info->nr_mems++] = (struct acpi_mem){.start = start,
						       .size = size,
						       .node = node,
						       .hotplug = flags & 2};
	return true;
}

static bool overlap(const struct acpi_mem *a, const struct acpi_mem *b)
{
	return a->start < b->start + b->size && b->start < a->start + a->size;
}

static bool check_mems(struct acpi_info *info)
{
	for (u32 i = 0; i < info->nr_mems; i++) {
		for (u32 k = 0; k < i; k++) {
			const struct acpi_mem *a = &info->mem[k],
					      *b = &info->mem[i];

			if (a->node != b->node && overlap(a, b))
				return refuse(info,
					      "SRAT: memory at 0x%llx is of "
					      "domains %u and %u",
					      (unsigned long long)b->start,
					      info->domain[a->node],
					      info->domain[b->node]);
		}
	}
	return true;
}

/* As if there were no SRAT. */
static void forget_nodes(struct acpi_info *info)
{
	info->has_srat = false;
	info->nr_mems = 0;
	info->nr_nodes = 1;
	info->domain[0] = 0;
	for (u32 i = 0; i < info->nr_cpus; i++)
		info->cpu[i].node = 0;
}

static void default_distances(struct acpi_info *info)
{
	u32 n = info->nr_nodes;

	for (u32 i = 0; i < n * n; i++)
		info->distance[i] = i / n == i % n ? 10 : 20;
}

bool acpi_read_srat(struct acpi_info *info, const void *t)
{
	static const struct entry_kind kinds[] = {
		[0] = {16, srat_cpu},
		[1] = {40, srat_mem},
		[2] = {24, srat_x2apic},
	};
	bool good;

	info->nr_nodes = 0;
	good = read_entries(info, t, LIST_SRAT, kinds, ARRAY_SIZE(kinds)) &&
	       check_mems(info);
	if (good && info->nr_nodes && info->nr_mems)
		info->has_srat = true;
	else
		forget_nodes(info);
	default_distances(info);
	return good;
}

/* N localities of their own; each of our nodes must be one of them. */
bool acpi_read_slit(struct acpi_info *info, const void *t)
{
	const u8 *p = t, *row = p + SLIT_BASE;
	u32 size = get32(p + 4), nodes = info->nr_nodes;
	u64 n;

	if (size < SLIT_BASE)
		return refuse(info, "SLIT: length %u is less than %u", size,
			      SLIT_BASE);
	n = get64(p + 36);
	if (n == 0 || n > 1024 || size - SLIT_BASE < n * n)
		return refuse(info, "SLIT: %llu localities in %u bytes",
			      (unsigned long long)n, size);
	for (u64 i = 0; i < n * n; i++) {
		if (i / n == i % n ? row[i] != 10 : row[i] < 10)
			return refuse(info,
				      "SLIT: distance %u from %llu to %llu",
				      row[i], (unsigned long long)(i / n),
				      (unsigned long long)(i % n));
	}
	for (u32 i = 0; i < nodes; i++) {
		if (info->domain[i] >= n)
			return refuse(info, "SLIT: domain %u of %llu",
				      info->domain[i], (unsigned long long)n);
	}
	for (u32 i = 0; i < nodes * nodes; i++)
		info->distance[i] = row[info->domain[i / nodes] * n +
					info->domain[i % nodes]];
	info->has_slit = true;
	return true;
}

int acpi_cpu_node(const struct acpi_info *info, u32 apic_id)
{
	for (u32 i = 0; i < info->nr_cpus; i++) {
		if (info->cpu[i].apic_id == apic_id)
			return info->cpu[i].node;
	}
	return 0;
}

/* ---- FADT: fixed registers --------------------------------------------------
 */

/* The register at AT, if the table reaches that far and it can be used. */
static struct acpi_reg get_reg(const u8 *t, u32 size, u32 at)
{
	struct acpi_reg r = {0};

	if (size < at + 12 || t[at] > 1)
		return r;
	r.space = t[at];
	r.bits = t[at + 1];
	r.addr = get64(t + at + 4);
	if (r.space == 1 && r.addr > 0xffff)
		r.addr = 0;
	return r;
}

/* A port by its old 32-bit field, or by the newer register. */
static u16 get_port(const u8 *t, u32 size, u32 at, u32 reg_at)
{
	struct acpi_reg r = get_reg(t, size, reg_at);
	u32 old = get32(t + at);

	if (r.space == 1 && r.addr)
		return (u16)r.addr;
	return old <= 0xffff ? (u16)old : 0;
}

bool acpi_read_fadt(struct acpi_info *info, const void *t)
{
	const u8 *p = t;
	u32 size = get32(p + 4), flags;

	if (size < 116)
		return refuse(info, "FACP: length %u is less than 116", size);
	flags = get32(p + 112);
	info->has_fadt = true;
	info->hw_reduced = flags >> 20 & 1;
	info->dsdt =
		size >= 148 && get64(p + 140) ? get64(p + 140) : get32(p + 40);
	info->century = p[108];
	info->no_rtc = p[8] >= 5 && (get16(p + 109) >> 5 & 1);
	if (size >= 129 && (flags >> 10 & 1)) {
		info->reset = get_reg(p, size, 116);
		info->reset_value = p[128];
		info->reset_ok = info->reset.addr != 0;
	}
	if (info->hw_reduced) {
		info->sleep_control = get_reg(p, size, 244);
		return true;
	}
	info->smi_cmd = get32(p + 48);
	info->acpi_enable = p[52];
	info->pm1a_cnt = get_port(p, size, 64, 172);
	info->pm1b_cnt = get_port(p, size, 68, 184);
	info->pm_timer = get_port(p, size, 76, 208);
	info->pm_timer_32 = flags >> 8 & 1;
	return true;
}

/* ---- DSDT: two patterns -----------------------------------------------------
 */

/* A small number as AML writes it at *P; -1: something else. */
static int aml_number(const u8 **p, const u8 *end)
{
	const u8 *q = *p;

	if (q >= end)
		return -1;
	if (*q == 0 || *q == 1) { /* ZeroOp, OneOp */
		*p = q + 1;
		return *q;
	}
	if (*q == 0x0a && end - q >= 2) { /* BytePrefix */
		*p = q + 2;
		return q[1];
	}
	if (*q == 0x0b && end - q >= 3) { /* WordPrefix */
		*p = q + 3;
		return get16(q + 1);
	}
	if (*q == 0x0c && end - q >= 5 && get32(q + 1) <= 0xffff) {
		*p = q + 5; /* DWordPrefix */
		return (int)get32(q + 1);
	}
	return -1;
}

/* Name(_S5_, Package { a, b, ... }) with Q just behind the name. */
static void try_s5(struct acpi_info *info, const u8 *q, const u8 *end)
{
	int a, b;

	if (info->has_s5 || end - q < 4 || *q != 0x12)
		return;
	q += 2 + (q[1] >> 6); /* PackageOp, its length */
	if (q >= end || *q++ == 0)
		return;
	a = aml_number(&q, end);
	b = aml_number(&q, end);
	if (a < 0 || a > 7)
		return;
	info->has_s5 = true;
	info->s5a = (u8)a;
	info->s5b = (u8)(b >= 0 && b <= 7 ? b : a);
}

/* Memory32Fixed and Extended Interrupt descriptors in [Q, END). */
static void try_virtio(struct acpi_info *info, const u8 *q, const u8 *end)
{
	struct acpi_virtio v = {0};
	bool irq = false;

	for (; q < end && !(v.addr && irq); q++) {
		if (end - q >= 12 && q[0] == 0x86 && get16(q + 1) == 9) {
			v.addr = get32(q + 4);
			v.size = get32(q + 8);
		} else if (v.addr && end - q >= 9 && q[0] == 0x89 &&
			   get16(q + 1) == 6 && q[4] == 1) {
			v.gsi = get32(q + 5);
			irq = true;
		}
	}
	if (irq && v.size && info->nr_virtio < ACPI_MAX_VIRTIO)
		info->virtio[info->nr_virtio++] = v;
}

#define VIRTIO_HID "LNRO0005"

bool acpi_read_dsdt(struct acpi_info *info, const void *t)
{
	const u8 *p = t, *end = p + get32(p + 4), *q, *device = NULL;

	for (q = p + HEADER; end - q >= 8; q++) {
		if (!mm_memcmp(q, "_S5_", 4) && (q[-1] == 8 || q[-1] == '\\'))
			try_s5(info, q + 4, end);
		if (mm_memcmp(q, VIRTIO_HID, 8))
			continue;
		if (device)
			try_virtio(info, device, q);
		device = q + 8;
	}
	if (device)
		try_virtio(info, device, min(end, device + 512));
	return true;
}

/* ---- from the root ----------------------------------------------------------
 */

bool acpi_is_rsdp(struct acpi_info *info, const void *p, u64 len)
{
	const u8 *r = p;

	if (len < RSDP_V1 || mm_memcmp(r, "RSD PTR ", 8))
		return refuse(info, "RSDP: no signature");
	if (sum(r, RSDP_V1))
		return refuse(info, "RSDP: checksum is off by 0x%02x",
			      sum(r, RSDP_V1));
	return true;
}

struct acpi_reader {
	acpi_map_fn map;
	void *arg;
	void (*warn)(const char *text);
};

/* The whole table at PA, checked; NULL: info->error. */
static const u8 *map_table(struct acpi_info *info, const struct acpi_reader *rd,
			   phys_addr_t pa, const char *want)
{
	const u8 *p = pa ? rd->map(pa, HEADER, rd->arg) : NULL;
	u32 size;

	if (!p) {
		(void)refuse(info, "%s at 0x%llx cannot be reached",
			     want ? want : "table", (unsigned long long)pa);
		return NULL;
	}
	size = get32(p + 4);
	if (size >= HEADER && size <= ACPI_MAX_TABLE)
		p = rd->map(pa, size, rd->arg);
	if (!p) {
		(void)refuse(info, "%s at 0x%llx: %u bytes cannot be reached",
			     want ? want : "table", (unsigned long long)pa,
			     size);
		return NULL;
	}
	return acpi_check(info, p, max(size, HEADER), want) ? p : NULL;
}

/* The table of pointers: XSDT if there is a whole one, else RSDT. */
static const u8 *map_root(struct acpi_info *info, const struct acpi_reader *rd,
			  const u8 *rsdp, phys_addr_t pa)
{
	const u8 *t, *v2;

	if (rsdp[15] >= 2) {
		v2 = rd->map(pa, RSDP_V2, rd->arg);
		if (v2 && get32(v2 + 20) >= RSDP_V2 && !sum(v2, RSDP_V2)) {
			t = map_table(info, rd, get64(v2 + 24), "XSDT");
			if (t)
				return t;
		} else {
			(void)refuse(info, "RSDP: the extended part is bad");
		}
		rd->warn(info->error);
	}
	return map_table(info, rd, get32(rsdp + 16), "RSDT");
}

/* The table SIG that ROOT names, or NULL. Bad neighbours are passed over. */
static const u8 *find_table(struct acpi_info *info,
			    const struct acpi_reader *rd, const u8 *root,
			    const char *sig)
{
	u32 width = root[0] == 'X' ? 8 : 4, size = get32(root + 4);

	for (u32 at = HEADER; at + width <= size; at += width) {
		phys_addr_t pa =
			width == 8 ? get64(root + at) : get32(root + at);
		const u8 *p = pa ? rd->map(pa, HEADER, rd->arg) : NULL;

		if (!p || mm_memcmp(p, sig, 4))
			continue;
		p = map_table(info, rd, pa, sig);
		if (p)
			return p;
		rd->warn(info->error);
	}
	return NULL;
}

bool acpi_read(struct acpi_info *info, phys_addr_t rsdp, acpi_map_fn map,
	       void *arg, void (*warn)(const char *text))
{
	static const struct {
		char sig[5];
		bool (*read)(struct acpi_info *info, const void *t);
	} tables[] = {{"APIC", acpi_read_madt},
		      {"SRAT", acpi_read_srat},
		      {"SLIT", acpi_read_slit},
		      {"FACP", acpi_read_fadt}};
	struct acpi_reader rd = {map, arg, warn};
	const u8 *root = map(rsdp, RSDP_V1, arg), *t;

	if (!root)
		return refuse(info, "RSDP at 0x%llx cannot be reached",
			      (unsigned long long)rsdp);
	if (!acpi_is_rsdp(info, root, RSDP_V1))
		return false;
	root = map_root(info, &rd, root, rsdp);
	if (!root)
		return false;
	for (u32 i = 0; i < ARRAY_SIZE(tables); i++) {
		t = find_table(info, &rd, root, tables[i].sig);
		if (t && !tables[i].read(info, t))
			warn(info->error);
	}
	if (!info->dsdt)
		return true;
	t = map_table(info, &rd, info->dsdt, "DSDT");
	if (!t || !acpi_read_dsdt(info, t))
		warn(info->error);
	return true;
}
