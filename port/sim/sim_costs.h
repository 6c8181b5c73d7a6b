/* SPDX-License-Identifier: MIT */
/*
 * sim_costs.h - what things cost in virtual time; docs/TIME-MODEL.md tells
 * where each default comes from. All values are nanoseconds.
 */
#ifndef PORT_SIM_COSTS_H
#define PORT_SIM_COSTS_H

#include <mmkit/types.h>

struct sim_costs {
	u32 tlb_hit_ns;	      /* one access through a TLB entry */
	u32 tlb_second_ns;    /* more when only the second level had it */
	u32 walk_level_ns;    /* each table that a walk reads */
	u32 set_bits_ns;      /* a walk that sets A or D */
	u32 fault_ns;	      /* trap entry and return, without the handler */
	u32 clear_page_ns;    /* 4 KiB */
	u32 copy_page_ns;     /* 4 KiB */
	u32 lock_ns;	      /* an uncontended lock operation */
	u32 relax_ns;	      /* one round of a busy wait */
	u32 switch_ns;	      /* a thread switch */
	u32 wake_ns;	      /* making a thread runnable */
	u32 load_root_ns;     /* changing the table root */
	u32 flush_page_ns;    /* forgetting one page's entry, own CPU */
	u32 flush_all_ns;     /* forgetting an address space, own CPU */
	u32 ipi_send_ns;      /* initiator, each target CPU */
	u32 ipi_handle_ns;    /* target, each IPI */
	u32 irq_ns;	      /* entry and exit of a completion interrupt */
	u32 disk_submit_ns;   /* CPU time of handing a bio to the device */
	u32 disk_seek_ns;     /* latency of each request */
	u32 disk_per_kib_ns;  /* transfer */
	u32 copy_user_kib_ns; /* copying to or from user space */
	u32 slice_ns;	      /* time slice of a thread */
};

/* Costs of the running machine; set by sim_init(). */
extern struct sim_costs sim_costs;

#endif
