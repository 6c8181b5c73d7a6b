/* SPDX-License-Identifier: MIT */
/* host_priv.h - what the files of the host world share. */
#ifndef PORT_HOST_PRIV_H
#define PORT_HOST_PRIV_H

#include "arch/walk.h"
#include "host.h"

#include <pthread.h>

#define HOST_NO_ROOT UINT64_MAX

struct port_thread {
	struct mm_task task;
	char name[32];
	int cpu;
	bool joinable; /* started by us, not attached */
	pthread_t handle;
	void (*fn)(void *arg);
	void *arg;
	bool in_irq;  /* an I/O thread */
	bool no_slot; /* attached before there was a machine */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool permit; /* under lock */
};

/* A slot. SEQ is odd while its thread is inside an access section. All but NODE
 * is made when a thread first takes it. */
struct host_cpu {
	u64 seq;
	u64 root_pfn; /* what the slot's own thread translates through */
	struct port_thread *owner; /* under host.lock */
	struct mm_task idle;
	int node;
} MM_ALIGNED(128);

struct host_machine {
	bool up;
	struct host_config cfg;
	struct paging_cpu paging; /* all CPUs alike; root not used */
	int nr_cpus;
	pthread_mutex_t lock; /* slots */
	pthread_cond_t freed; /* a slot became free */
	u64 ram_bytes;
	u64 ram_limit;	/* the direct map ends here */
	int ram_fd;	/* RAM as a file, for second mappings; 0: none */
	char *kva_view; /* the kernel's window */
	kva_t kva_start;
	u64 kva_bytes;
	u64 kernel_root; /* frame of the kernel's own table */
	bool ram_open;	 /* protecting frames ended */
	char *memmap;
	u64 memmap_bytes;
	u64 flushes; /* also the barrier of port_tlb_flush */
	u64 entropy;
	struct port_bdev *disks; /* under lock */
	void (*switch_hook)(struct mm_task *prev, struct mm_task *next);
	int (*fault_hook)(struct mm_task *task, uva_t va, u32 error);
};

extern struct host_machine host;
/* By themselves: who borrows slots (malloc/) writes none of them. */
extern struct host_cpu host_cpus[MM_NR_CPUS];

/* thread.c */
int host_thread_new(struct port_thread **out, const char *name, int node,
		    u32 flags, bool irq);
int host_thread_go(struct port_thread *t, void (*fn)(void *arg), void *arg);
void host_thread_drop(struct port_thread *t);
int host_slots_used(void);

/* disk.c */
void host_disks_exit(void);

/* ram.c */
int host_ram_init(u64 bytes, bool shared);
void host_ram_exit(void);
/* RAM becomes a file of BYTES without blocks (port/common). 0 or -ENOMEM. */
int host_ram_file(u64 bytes);

/* The first walk of a stack, which prepares the others (port/common). */
void host_stack_init(void);

#endif
