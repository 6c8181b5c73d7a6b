/* SPDX-License-Identifier: MIT */
/*
 * machine.h - a simulated machine from command-line options: shared by the
 * verbs that boot one.
 */
#ifndef LAB_MACHINE_H
#define LAB_MACHINE_H

#include <mmkit/boot.h>
#include <mmkit/types.h>

#include "arch/paging.h"
#include "args.h"
#include "sim.h"

#define MACHINE_MAX_SYSCTLS 32
#define MACHINE_MAX_SHOWS   16

struct machine_opts {
	u64 mem_bytes;	  /* without a map file */
	const char *map;  /* firmware map file, or NULL */
	const char *numa; /* file that describes the nodes, or NULL */
	const char *arch; /* page tables, spaces, zones; NULL: x86-64 */
	struct mm_boot_amount kernelcore, movablecore;
	bool movable_node;
	u32 nodes, cpus;
	u32 tlb_l1, tlb_sets, tlb_ways;	    /* 0: the machine's own */
	u32 tlb_large_sets, tlb_large_ways; /* 0: no array of their own */
	u64 seed;
	bool explore;
	u64 swap_bytes;	       /* 0: none */
	const char *swap_file; /* NULL: an unnamed temporary file */
	const char *policy;
	u64 cma_bytes, cma_base; /* 0: no area */
	bool cma_fixed;		 /* exactly at cma_base */
	u32 nr_sysctls;
	struct args_pair sysctls[MACHINE_MAX_SYSCTLS];
	u32 nr_shows;
	const char *shows[MACHINE_MAX_SHOWS];
	bool show_stderr;      /* standard output is taken by JSON */
	const char *dump_proc; /* copy /proc and /sys there; NULL: no */
	struct mm_debug_params debug;
	const char *slub_debug; /* NULL: no checks */
	bool log;	  /* the boot log and what follows goes to stdout */
	bool catch_panic; /* port_panic() ends sim_run(), not the process */
	bool shared_ram;  /* frames can be mapped twice: vmalloc works */
	/* Takes the machine's log, in place of stdout and stderr; or NULL. */
	void (*sink)(int level, const char *text, size_t len);
};

/* machine_size_arg: ARG of option --NAME as bytes; nonsense ends the process.
 */
u64 machine_size_arg(const char *name, const char *arg);

/*
 * machine_size_opt: --mem and --swap of a verb that takes one of each, whose
 * table of options has them by these keys. 0, or ARGP_ERR_UNKNOWN for another
 * KEY; nonsense ends the process.
 */
enum { MACHINE_OPT_MEM = 'm', MACHINE_OPT_SWAP = 's' };
error_t machine_size_opt(struct machine_opts *o, int key, const char *arg);

/* machine_defaults: 1 GiB, one node, one CPU, seed 1, no swap. */
void machine_defaults(struct machine_opts *o);

/*
 * machine_parse_common: options that all machine verbs share (argp child
 * parser; the option state's input is a struct machine_opts).
 */
extern const struct argp machine_argp;

/*
 * machine_run: make the machine, boot it, swap on, apply the tunables, run
 * BODY(ARG) as its first thread (NULL: machine_show()), shut down. Returns
 * BODY's result; a failure on the way ends the process with a message
 * (err_die).
 */
int machine_run(const struct machine_opts *o, int (*body)(void *arg),
		void *arg);

/*
 * machine_begin: the same up to BODY: the machine has booted and rests;
 * sim_run() plays it. A failure ends the process with a message (err_die), no
 * machine is there then. machine_end: it shuts down, if it still can. O and
 * what it points to stay until then.
 */
void machine_begin(const struct machine_opts *o);
void machine_end(void);

/* machine_check: wrong sizes or names end the process (err_usage). */
void machine_check(const struct machine_opts *o);

/* machine_format: the page tables of O's architecture, which is a known one. */
const struct paging_format *machine_format(const struct machine_opts *o);

/* machine_ram_read: struct paging_mem's read, of the booted machine's RAM; ARG
 * is nothing. */
bool machine_ram_read(void *arg, const struct paging_format *f, phys_addr_t pa,
		      u64 *raw);

/* machine_show: print the files that --show asked for, and make the directory
 * of --dump-proc. Inside BODY. */
void machine_show(const struct machine_opts *o);

#endif
