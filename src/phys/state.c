/* SPDX-License-Identifier: MIT */
/*
 * state.c - the floor's one mutable object. In a file of its own, so that a
 * program which uses memblock alone links that and not the whole floor.
 */
#include "base/string.h"
#include "base/system.h"
#include "phys/phys.h"

struct phys_state phys_sys;

void phys_reset(void)
{
	mm_memset(&phys_sys, 0, sizeof(phys_sys));
	base_watch(WATCH_DEBUG, false);
}
