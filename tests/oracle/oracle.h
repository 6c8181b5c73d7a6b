/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - what the test image and the program that feeds it agree on.
 *
 * The program lays out physical memory: page tables, frames whose every slot
 * tells its own address, and at ORACLE_HEAD the list of what to try. QEMU
 * loads it, the image tries, and says over the serial line, set by set:
 * ORACLE_BEGIN, one struct oracle_result for each probe, then the raw value
 * of each watched entry (8 bytes); after the last set ORACLE_END.
 *
 * The same structures are compiled for 32 and 64 bits: members are placed so
 * that both compilers see the same offsets.
 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include <stdint.h>

#define ORACLE_MAGIC 0x6f7261636c653031ULL
#define ORACLE_BEGIN 0x4e494745u
#define ORACLE_END   0x444e4545u

/* Physical memory. Tables stand between the list and the slots. */
#define ORACLE_IMAGE	  0x100000u /* loaded and mapped here */
#define ORACLE_USER_CODE  0x180000u /* two pages of the image's: ring 3 */
#define ORACLE_USER_STACK 0x181000u
#define ORACLE_IMAGE_END  0x182000u
#define ORACLE_HEAD	  0x1000000u
#define ORACLE_TABLES	  0x1400000u
#define ORACLE_SLOTS	  0x2000000u /* these frames are slots */
#define ORACLE_SLOTS_HIGH 0x100000000ULL
#define ORACLE_SLOT_BYTES 0x800000u /* of each of the two areas */
#define ORACLE_EXIT_PORT  0xf4

/*
 * A slot of 16 bytes: code that returns the slot's number in EDX, the number
 * again to be read, four bytes to be written. The number is the slot's
 * physical address / 16.
 */
#define ORACLE_SLOT    16u
#define ORACLE_NUMBER  8u
#define ORACLE_WRITTEN 12u

enum oracle_mode {
	ORACLE_TWO_LEVEL,
	ORACLE_PSE,
	ORACLE_PAE,
	ORACLE_4LEVEL,
	ORACLE_5LEVEL,
	ORACLE_NR_MODES
};

enum oracle_op { ORACLE_READ, ORACLE_WRITE, ORACLE_EXEC };

#define ORACLE_USER 0x01u
#define ORACLE_WP   0x02u
#define ORACLE_SMEP 0x04u
#define ORACLE_SMAP 0x08u
#define ORACLE_NXE  0x10u
#define ORACLE_AC   0x20u

struct oracle_probe {
	uint64_t va; /* of the slot */
	uint32_t op;
	uint32_t flags;
};

#define ORACLE_DONE 0x80u /* the vector of an access that came off */

struct oracle_result {
	uint32_t vector;
	uint32_t error;
	uint32_t number; /* of the slot that was found */
	uint32_t zero;
	uint64_t cr2;
};

struct oracle_set {
	uint32_t mode;
	uint32_t root;
	uint32_t entry_bytes;
	uint32_t nr_probes, probes;   /* physical address */
	uint32_t nr_watched, watched; /* of 32-bit physical addresses */
	uint32_t zero;
};

struct oracle_head {
	uint64_t magic;
	uint32_t nr_sets, sets;
};

#endif
