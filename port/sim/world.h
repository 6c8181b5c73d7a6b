/* SPDX-License-Identifier: MIT */
/* world.h - this world's names, for port/common. */
#ifndef PORT_SIM_WORLD_H
#define PORT_SIM_WORLD_H

#include "sim_priv.h"

#define world		 sim
#define world_ram_base	 sim_ram_base
#define world_phys_base	 sim_phys_base
#define world_ram_file	 sim_ram_file
#define world_ram_exit	 sim_ram_exit
#define world_stack_init sim_stack_init
#define world_bug	 sim_bug

#endif
