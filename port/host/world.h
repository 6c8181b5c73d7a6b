/* SPDX-License-Identifier: MIT */
/* world.h - this world's names, for port/common. */
#ifndef PORT_HOST_WORLD_H
#define PORT_HOST_WORLD_H

#include "host_priv.h"

#define world		 host
#define world_ram_base	 host_ram_base
#define world_phys_base	 host_phys_base
#define world_ram_file	 host_ram_file
#define world_ram_exit	 host_ram_exit
#define world_stack_init host_stack_init
#define world_bug	 host_bug

#endif
