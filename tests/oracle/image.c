/* SPDX-License-Identifier: MIT */
/*
 * image.c - the test image: probes page tables on the CPU that runs it.
 *
 * It starts by multiboot in 32-bit protected mode without paging, where it
 * reads the list (oracle.h), writes results to the serial line, and stays
 * but for one access at a time, which probe.S makes with paging on. All of
 * the image's own addresses are mapped one to one, for the supervisor, in
 * every set of tables, except two pages for ring 3.
 */
#include "oracle.h"

#define SERIAL	    0x3f8
#define SERIAL_LSR  (SERIAL + 5)
#define LSR_EMPTY   0x20
#define NR_VECTORS  33 /* 0..31 and 0x80 */
#define VECTOR_STEP 16

#define CR0_PE (1u << 0)
#define CR0_WP (1u << 16)
#define CR0_PG (1u << 31)

#define CR4_PSE	 (1u << 4)
#define CR4_PAE	 (1u << 5)
#define CR4_LA57 (1u << 12)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)

#define EFER_LME (1u << 8)
#define EFER_NXE (1u << 11)

#define EFLAGS_ONE (1u << 1)
#define EFLAGS_AC  (1u << 18)

#define GATE_USER_INT 0xee00u /* present, DPL 3, interrupt gate */
#define TSS_TYPE      0x89u   /* present, available, 32 or 64 bits */

struct __attribute__((packed)) pointer {
	uint16_t limit;
	uint32_t base;
};

/* What probe.S takes and gives. */
uint64_t probe_va, probe_cr2;
uint32_t probe_cr0, probe_cr3, probe_cr4, probe_efer, probe_eflags;
uint32_t probe_op, probe_user, probe_number, probe_vector, probe_error;
struct pointer idt_pointer;
extern const char vectors32[], vectors64[];
extern char stack_top[], stack_top64[];
void probe(void);
void image_main(void);

#define TSS_INDEX 7

/*
 * Flat; accessed bits set, so that the CPU need not write here. probe.S loads
 * it.
 */
uint64_t gdt[TSS_INDEX + 2] = {
	0,
	0x00cf9b000000ffff, /* 08: ring 0 code */
	0x00cf93000000ffff, /* 10: ring 0 data */
	0x00af9b000000ffff, /* 18: ring 0 code, 64 bits */
	0x00cffb000000ffff, /* 20: ring 3 code */
	0x00cff3000000ffff, /* 28: ring 3 data */
	0x00affb000000ffff, /* 30: ring 3 code, 64 bits */
};

static uint32_t tss[26];
static uint32_t idt32[256][2], idt64[256][4];

static void out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void say(const void *what, uint32_t bytes)
{
	const uint8_t *p = what;

	while (bytes--) {
		while (!(in8(SERIAL_LSR) & LSR_EMPTY))
			;
		out8(SERIAL, *p++);
	}
}

static void make_gates(void)
{
	for (uint32_t i = 0; i < NR_VECTORS; i++) {
		uint32_t v = i == NR_VECTORS - 1 ? ORACLE_DONE : i;
		uint32_t a = (uint32_t)(uintptr_t)vectors32 + i * VECTOR_STEP;
		uint32_t b = (uint32_t)(uintptr_t)vectors64 + i * VECTOR_STEP;

		idt32[v][0] = 0x08u << 16 | (a & 0xffff);
		idt32[v][1] = (a & 0xffff0000u) | GATE_USER_INT;
		idt64[v][0] = 0x18u << 16 | (b & 0xffff);
		idt64[v][1] = (b & 0xffff0000u) | GATE_USER_INT;
	}
}

/* A task state for the mode, not busy: its stacks for ring 0. */
static void make_tss(int is_long)
{
	uint32_t base = (uint32_t)(uintptr_t)tss;

	gdt[TSS_INDEX] = (uint64_t)(base >> 24) << 56 |
			 (uint64_t)TSS_TYPE << 40 |
			 (uint64_t)(base & 0xffffff) << 16 | (sizeof(tss) - 1);
	tss[1] = (uint32_t)(uintptr_t)stack_top64;
	tss[2] = is_long ? 0 : 0x10;
}

static uint32_t cr4_of(uint32_t mode, uint32_t flags)
{
	uint32_t cr4 = 0;

	if (mode == ORACLE_PSE)
		cr4 = CR4_PSE;
	else if (mode != ORACLE_TWO_LEVEL)
		cr4 = CR4_PAE;
	if (mode == ORACLE_5LEVEL)
		cr4 |= CR4_LA57;
	cr4 |= flags & ORACLE_SMEP ? CR4_SMEP : 0;
	cr4 |= flags & ORACLE_SMAP ? CR4_SMAP : 0;
	return cr4;
}

static void try(const struct oracle_set *s, const struct oracle_probe *p)
{
	struct oracle_result r = {0};
	int is_long = s->mode >= ORACLE_4LEVEL;

	probe_va = p->va;
	probe_op = p->op;
	probe_user = p->flags & ORACLE_USER;
	probe_cr0 = CR0_PE | CR0_PG | (p->flags & ORACLE_WP ? CR0_WP : 0);
	probe_cr3 = s->root;
	probe_cr4 = cr4_of(s->mode, p->flags);
	probe_efer = (is_long ? EFER_LME : 0) |
		     (p->flags & ORACLE_NXE ? EFER_NXE : 0);
	probe_eflags = EFLAGS_ONE | (p->flags & ORACLE_AC ? EFLAGS_AC : 0);
	probe_number = 0x5a5a5a5a;
	make_tss(is_long);
	idt_pointer.limit = is_long ? sizeof(idt64) - 1 : sizeof(idt32) - 1;
	idt_pointer.base =
		(uint32_t)(uintptr_t)(is_long ? (void *)idt64 : (void *)idt32);
	probe();
	r.vector = probe_vector;
	r.error = probe_error;
	r.number = probe_number;
	r.cr2 = probe_cr2;
	say(&r, sizeof(r));
}

static void run_set(const struct oracle_set *s)
{
	const struct oracle_probe *p = (const void *)(uintptr_t)s->probes;
	const uint32_t *watched = (const void *)(uintptr_t)s->watched;
	uint32_t word = ORACLE_BEGIN;

	say(&word, sizeof(word));
	for (uint32_t i = 0; i < s->nr_probes; i++)
		try(s, &p[i]);
	for (uint32_t i = 0; i < s->nr_watched; i++) {
		uint64_t raw = *(const uint32_t *)(uintptr_t)watched[i];

		if (s->entry_bytes == 8)
			raw = *(const uint64_t *)(uintptr_t)watched[i];
		say(&raw, sizeof(raw));
	}
}

void image_main(void)
{
	const struct oracle_head *h = (const void *)(uintptr_t)ORACLE_HEAD;
	const struct oracle_set *s = (const void *)(uintptr_t)h->sets;
	uint32_t word = ORACLE_END;

	make_gates();
	if (h->magic == ORACLE_MAGIC) {
		for (uint32_t i = 0; i < h->nr_sets; i++)
			run_set(&s[i]);
		say(&word, sizeof(word));
	}
	out8(ORACLE_EXIT_PORT, 0x10);
}
