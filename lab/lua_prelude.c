/* SPDX-License-Identifier: MIT */
/*
 * lua_prelude.c - the text of prelude.lua, as bytes of the program: the command
 * is one file. The assembler reads it, relative to the source's top folder,
 * from which everything is built.
 */
#include "lua_lab.h"

__asm__(".pushsection .rodata\n"
	".globl lab_prelude_start, lab_prelude_end\n"
	"lab_prelude_start:\n"
	".incbin \"lab/prelude.lua\"\n"
	"lab_prelude_end:\n"
	".byte 0\n"
	".popsection\n");

const char *lab_prelude(size_t *len)
{
	*len = (size_t)(lab_prelude_end - lab_prelude_start);
	return lab_prelude_start;
}
