/* SPDX-License-Identifier: MIT */
/* setjmp.h - nothing jumps here: a case that fails ends the machine. */
