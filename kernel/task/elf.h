/* SPDX-License-Identifier: MIT */
/*
 * elf.h - what lies in ELF files of this machine (elf(5)), for who reads a
 * program and who writes a core.
 */
#ifndef KERNEL_TASK_ELF_H
#define KERNEL_TASK_ELF_H

#include <mmkit/types.h>

#define ET_EXEC	  2
#define ET_DYN	  3
#define ET_CORE	  4
#define EM_X86_64 62

#define PT_LOAD	     1u
#define PT_INTERP    3u
#define PT_NOTE	     4u
#define PT_GNU_STACK 0x6474e551u

#define PF_X 1u
#define PF_W 2u
#define PF_R 4u

struct elf_ehdr {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_phdr {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};
MM_STATIC_ASSERT(sizeof(struct elf_ehdr) == 64, "as in files");
MM_STATIC_ASSERT(sizeof(struct elf_phdr) == 56, "as in files");

#endif
