/* SPDX-License-Identifier: MIT */
/*
 * explain.h - what the parts of "mmkit explain" share.
 *
 * cmd_explain.c     options; which machine is asked
 * explain_machine.c machines from files        explain_map.c   table builder
 * explain_sim.c     a booted machine           explain_host.c  a real process
 * explain_tlb.c     what its CPUs remember
 * explain.c         selector to frame          explain_bits.c  fields of values
 * explain_doc.c     printing
 */
#ifndef LAB_EXPLAIN_H
#define LAB_EXPLAIN_H

#include "arch/segment_cpu.h"
#include "arch/walk.h"
#include "explain_doc.h"
#include "machine.h"

enum explain_who { EXPLAIN_ANY, EXPLAIN_USER, EXPLAIN_KERNEL };

/* What is asked. */
struct explain_query {
	bool has_sel; /* SEL:OFFSET with a number */
	bool has_reg; /* REG:OFFSET, or --reg */
	u16 sel;
	enum seg_id reg; /* that SEL is loaded into, or that is used as it is */
	u64 addr;	 /* linear, or the offset */
	bool has_access;
	enum seg_access access;
	enum explain_who who;
};

/* Memory that holds tables: entries at physical addresses. */
struct explain_memory {
	paging_read_fn *read;
	void *arg;
};

/* The machine that is asked. */
struct explain_target {
	const struct paging_format *fmt;
	bool paging; /* CR0.PG; without it linear is physical */
	bool tables; /* where the tables are is known */
	struct paging_cpu cpu;
	struct seg_cpu *seg;  /* NULL: no segments */
	enum explain_who who; /* for plain addresses, unless asked for */
	struct explain_memory mem;
	/* What TLBs have of the address, before the tables are shown. May be
	 * NULL. ASID: of the tables. */
	void (*tlb)(struct doc *d, const struct explain_target *t, u64 linear,
		    u32 access, const struct paging_walk *w);
	u32 asid;
	/* Where the address leads; PA is good if FOUND. May be NULL. */
	void (*tell)(struct doc *d, const struct explain_target *t, u64 linear,
		     const struct paging_walk *w, bool found);
	void *arg;
};

/*
 * explain_address: the whole way of Q on T into D, each step a block; the last
 * is the result. D->result: "physical", "linear" (what follows is not known),
 * "fault", or "no-memory" (a table lies where nothing is).
 */
void explain_address(struct doc *d, struct explain_target *t,
		     const struct explain_query *q);

/* ---- explain_bits.c: blocks and drawings
 * ----------------------------------------- */

void explain_selector(struct doc *d, u16 sel);
void explain_descriptor(struct doc *d, const struct seg_step *step);
/* The drawing of LINEAR split into F's indices. */
void explain_split(struct doc *d, const struct paging_format *f, u64 linear);
/* Entry NR of walk W as a block of its own. */
void explain_entry(struct doc *d, const struct explain_target *t,
		   const struct paging_walk *w, int nr, u64 linear);

/* ---- explain_map.c: tables by a list of mappings
 * ---------------------------------- */

/* Where the builder's tables are. */
struct explain_store {
	const struct paging_format *fmt;
	phys_addr_t root, root_high; /* arm64: both; else one */
	bool pse, nxe;
	bool kernel; /* links without U/S */
	/* An entry; false: no memory there. */
	bool (*read)(void *arg, phys_addr_t pa, u64 *raw);
	bool (*write)(void *arg, phys_addr_t pa, u64 raw);
	/* A cleared table; false: no room. */
	bool (*table)(void *arg, phys_addr_t *pa);
	void *arg;
};

struct explain_map {
	u64 va, pa, size; /* multiples of the page size */
	pte_t prot;	  /* access bits, as the manager carries them */
	int level;	  /* of the pages; -1: the largest that fit */
};

/*
 * explain_map_range: enter M into S. NULL, or what is wrong with it (tables
 * made by then stay).
 */
const char *explain_map_range(const struct explain_store *s,
			      const struct explain_map *m);

/* explain_map_entry: write E for the 4 KiB page at VA. As above. */
const char *explain_map_entry(const struct explain_store *s, u64 va, pte_t e);

/* ---- the three kinds of machine
 * ---------------------------------------------------- */

/* A machine file; it stays until explain_file_close(). Ends the process with
 * a message if it cannot be read or makes no sense. ARCH may be NULL. */
struct explain_file;
struct explain_file *explain_file_open(const char *path, const char *arch);
struct explain_target *explain_file_target(struct explain_file *f,
					   const struct explain_query *q);
void explain_file_close(struct explain_file *f);

/* explain_sim: boot a machine as O says, and explain Q in it, or list the
 * sample process (Q NULL). Ends the process on failure to boot. */
void explain_sim(struct doc *d, const struct machine_opts *o,
		 const struct explain_query *q);

/*
 * explain_tlb: what the TLBs of the running machine hold of LINEAR, whether
 * ACCESS (PAGING_*), whose walk is W, hits one, and why. In a thread of the
 * machine.
 */
void explain_tlb(struct doc *d, const struct explain_target *t, u64 linear,
		 u32 access, const struct paging_walk *w);

/*
 * explain_process: Q, an address without selector, in the space MM of the
 * running machine; WHO names a space, or gives NULL. In a thread of the
 * machine; may sleep. explain_frame_use: what the frame of P is used for.
 */
struct mm_struct;
struct page;
typedef const char *explain_who_fn(const struct mm_struct *mm);
void explain_process(struct doc *d, struct mm_struct *mm,
		     const struct explain_query *q, explain_who_fn *who);
const char *explain_frame_use(struct page *p);

/* explain_host: Q's address in the process PID of the host. Ends the process
 * with a message if there is no such process, mapping or permission. */
void explain_host(struct doc *d, int pid, const struct explain_query *q);

#endif
