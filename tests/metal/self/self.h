/* SPDX-License-Identifier: MIT */
/* self.h - the kernel of the metal world's own tests: see main.c. */
#ifndef METAL_SELF_H
#define METAL_SELF_H

#include "base/printk.h"
#include "metal.h"

/* One check; the first that fails ends the machine with status 1. */
#define CHECK(cond)                                                          \
	do {                                                                 \
		if (!(cond))                                                 \
			metal_fatal("%s:%d: %s", __FILE__, __LINE__, #cond); \
	} while (0)

void self_threads(void);
void self_user(void);
void self_cost(void);
void self_initrd(void);
void self_frames(void);

/* user.S: programs, position independent. */
struct self_program {
	const char *name;
	const u8 *start, *end;
};
extern const u8 prog_regs[], prog_regs_end[], prog_fpu[], prog_fpu_end[];
extern const u8 prog_memory[], prog_memory_end[], prog_traps[],
	prog_traps_end[];
extern const u8 prog_loop[], prog_loop_end[], prog_bad_rip[],
	prog_bad_rip_end[];
extern const u8 prog_cost[], prog_cost_end[];
extern const u8 prog_selectors[], prog_selectors_end[];

/* Calls of the programs. */
#define CALL_EXIT	 0u /* rdi: status */
#define CALL_YIELD	 1u
#define CALL_COUNT	 2u
#define CALL_NONCANON	 3u /* return to an address that is none */
#define CALL_FRAME	 4u /* set other RCX and R11: must go by IRET */
#define CALL_FSBASE	 5u
#define CALL_NOTHING	 6u
#define CALL_COSTS	 7u
#define STATUS_UNTOUCHED 0xffffu

#endif
