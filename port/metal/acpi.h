/* SPDX-License-Identifier: MIT */
/*
 * acpi.h - what the firmware's tables say: CPUs, interrupt controllers, nodes,
 * timers, how to power off. Private to port/metal.
 *
 * Reading is pure: bytes go in, struct acpi_info comes out; so it is tested
 * and fed with damaged tables in an ordinary program. Source: the ACPI
 * specification, chapter 5 (tables) and 20 (AML, for two patterns only).
 */
#ifndef METAL_ACPI_H
#define METAL_ACPI_H

#include <mmkit/types.h>

#define ACPI_MAX_CPUS	   256
#define ACPI_MAX_IOAPICS   16
#define ACPI_MAX_OVERRIDES 32
#define ACPI_MAX_MEMS	   128
#define ACPI_MAX_VIRTIO	   32
#define ACPI_MAX_TABLE	   (4u << 20) /* bytes; more is taken for damage */

struct acpi_cpu {
	u32 apic_id;
	u32 uid;
	bool enabled; /* else: may be plugged in later */
	int node;     /* 0 without SRAT */
};

struct acpi_ioapic {
	phys_addr_t addr;
	u32 id;
	u32 gsi_base;
};

/* ISA interrupt SOURCE is global interrupt GSI. */
struct acpi_override {
	u8 source;
	u32 gsi;
	bool low, level; /* polarity and trigger; else high, edge */
};

struct acpi_mem {
	phys_addr_t start;
	u64 size;
	int node;
	bool hotplug;
};

/* An address in one of the spaces that devices have. */
struct acpi_reg {
	u8 space; /* 0 memory, 1 I/O ports */
	u8 bits;
	u64 addr; /* 0: there is none */
};

struct acpi_virtio {
	phys_addr_t addr;
	u32 size;
	u32 gsi;
};

struct acpi_info {
	/* MADT */
	bool has_madt;
	bool has_pic;
	phys_addr_t lapic;
	u32 nr_cpus, nr_ioapics, nr_overrides;
	struct acpi_cpu cpu[ACPI_MAX_CPUS];
	struct acpi_ioapic ioapic[ACPI_MAX_IOAPICS];
	struct acpi_override override[ACPI_MAX_OVERRIDES];
	/* SRAT and SLIT. Nodes are numbered as proximity domains turn up. */
	bool has_srat, has_slit;
	u32 nr_nodes;
	u32 domain[MM_MAX_NODES]; /* of each node */
	u32 nr_mems;
	struct acpi_mem mem[ACPI_MAX_MEMS];
	u8 distance[MM_MAX_NODES * MM_MAX_NODES]; /* nr_nodes rows */
	/* FADT */
	bool has_fadt, hw_reduced, reset_ok, pm_timer_32;
	phys_addr_t dsdt;
	u16 pm1a_cnt, pm1b_cnt, pm_timer; /* I/O ports, 0: none */
	u32 smi_cmd;
	u8 acpi_enable;
	u8 century; /* register of the RTC, 0: none */
	bool no_rtc;
	struct acpi_reg reset, sleep_control;
	u8 reset_value;
	/* DSDT */
	bool has_s5;
	u8 s5a, s5b;
	u32 nr_virtio;
	struct acpi_virtio virtio[ACPI_MAX_VIRTIO];
	/* The last refusal, in words. */
	char error[160];
};

/* A view of [PA, PA + SIZE), or NULL if there is nothing. */
typedef const void *(*acpi_map_fn)(phys_addr_t pa, u64 size, void *arg);

/* acpi_reset_info: nothing known; one node, the usual address of local APICs.
 */
void acpi_reset_info(struct acpi_info *info);

/*
 * acpi_check: is the table T of LEN readable bytes whole: its length within
 * bounds, the sum of its bytes 0? WANT: its signature, NULL: any. False: the
 * reason is in info->error.
 */
bool acpi_check(struct acpi_info *info, const void *t, u64 len,
		const char *want);

/*
 * One table each; T is whole (acpi_check). False: info->error; what was read
 * before the damage stays for MADT and DSDT, nothing of SRAT, SLIT and FADT.
 * SLIT comes after SRAT, whose nodes it speaks of, and SRAT after MADT.
 */
bool acpi_read_madt(struct acpi_info *info, const void *t);
bool acpi_read_srat(struct acpi_info *info, const void *t);
bool acpi_read_slit(struct acpi_info *info, const void *t);
bool acpi_read_fadt(struct acpi_info *info, const void *t);
/* Definition blocks are not interpreted: two patterns are looked for. */
bool acpi_read_dsdt(struct acpi_info *info, const void *t);

/* acpi_is_rsdp: do the LEN bytes at P begin with a whole root pointer? */
bool acpi_is_rsdp(struct acpi_info *info, const void *p, u64 len);

/*
 * acpi_read: everything from the root pointer at physical RSDP on, through
 * MAP(.., ARG). Each table that is refused is reported by WARN(text) and left
 * out. False: there is no usable root (info->error).
 */
bool acpi_read(struct acpi_info *info, phys_addr_t rsdp, acpi_map_fn map,
	       void *arg, void (*warn)(const char *text));

/* acpi_gsi: where ISA interrupt IRQ arrives, and how. */
struct acpi_override acpi_gsi(const struct acpi_info *info, u8 irq);

/* acpi_cpu_node: of the CPU with APIC_ID; 0 if nobody says. */
int acpi_cpu_node(const struct acpi_info *info, u32 apic_id);

/* What was found at boot, by acpi_init() in acpi_boot.c. */
extern struct acpi_info acpi;

#endif
