/* SPDX-License-Identifier: MIT */
/* sim_priv.h - what the files of the sim world share. */
#ifndef PORT_SIM_PRIV_H
#define PORT_SIM_PRIV_H

#include "arch/walk.h"
#include "sim.h"

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif
#ifndef SIM_ASAN
#define SIM_ASAN 0
#endif

#define SIM_NO_ROOT UINT64_MAX
/* Key of an empty TLB entry: no canonical address has it. */
#define SIM_NO_KEY 0x8000000000000000UL
/* Tags that a TLB entry can have, as many as x86 has PCIDs. */
#define SIM_ASID_MAX 4095u

enum sim_state {
	SIM_READY,   /* in a run queue, or on its CPU */
	SIM_PARKED,  /* in port_park */
	SIM_JOINING, /* in port_thread_join */
	SIM_DEAD,
};

/* Something that happens at a virtual time; lives in its owner. */
struct sim_event {
	u64 when;
	struct sim_event *next, *prev; /* by time; next == NULL: not queued */
	void (*fire)(struct sim_event *ev);
};

struct port_thread {
	struct mm_task task;
	char name[32];
	enum sim_state state;
	int cpu;      /* where it runs */
	int want_cpu; /* where it shall run */
	bool permit;
	bool idle;
	u64 start_ns, run_ns, since; /* made; ran until SINCE, when it last got
					its CPU */
	void (*fn)(void *arg);
	void *arg;
	struct port_thread *joiner;
	struct port_thread *queue_next; /* run queue */
	struct port_thread *all_next, **all_pprev;
	struct sim_event timer;
	/* Context: stack and, while switched out, its pointer. */
	void *sp;
	void *map; /* guard page and stack */
	size_t map_bytes;
	void *fake_stack; /* asan */
	const void *stack_low;
	size_t stack_bytes;
};

/* Translations, set by set. */
struct sim_tlb_array {
	struct sim_tlb_entry *e;
	u8 *victim; /* next way to replace, each set */
	u32 sets, ways;
};

struct sim_cpu {
	struct sim_mmu mmu; /* first: sim_this points here */
	/* TLB, second level, and table root (mmu.c) */
	struct sim_tlb_array tlb, large; /* large.sets 0: one for all */
	struct sim_tlb_entry *parts;	 /* of large pages, by first level */
	u64 root_pfn;
	struct sim_tlb_stats stats;
	/* Scheduler (sched.c) */
	bool down;		    /* threads go elsewhere */
	struct port_thread *thread; /* on this CPU; never NULL */
	struct port_thread *idle;
	struct mm_task *last_task; /* last one the switch hook was told */
	struct port_thread *queue_head, *queue_tail;
	u32 nr_threads;
	u64 slice_end_ns;
	u64 user_ns, kthread_ns; /* threads of both kinds ran so long */
	bool need_resched;
	u64 stalled_until; /* not drawn before sim.draws is that */
	bool resting;	   /* the idle thread has nothing to do */
	u32 large_levels;  /* bits: the TLB has had leaves of that level */
	u64 aged_at; /* 0, or when what is loaded and `aged` goes (mmu.c) */
	bool any_aged;
	u64 aged[(SIM_ASID_MAX + 1) / 64];
	bool has_private;   /* it has had pages of the kernel's that are not
			       global */
	const u32 *waiting; /* spins until this word is 0 */
	/* Completions to deliver (disk.c) */
	struct port_bio *irq_head, *irq_tail;
	int node;
};

struct sim_machine {
	bool up;      /* between sim_init and sim_shutdown */
	bool running; /* inside sim_run */
	bool broken;  /* deadlock or panic: cannot run again */
	struct sim_config cfg;
	int nr_cpus;
	struct sim_cpu *cpus;
	u64 rng, entropy;
	struct port_thread *exec; /* whose context executes */
	struct port_thread host;  /* the context of sim_run's caller */
	struct sim_hot away;	  /* CPU 0's head while the host plays it */
	struct port_thread *all;
	u32 nr_trace_ids;
	int result;
	int (*main)(void *arg);
	void *main_arg;
	struct sim_event events; /* list head */
	u64 left_ns;		 /* clock of the CPU played before */
	u64 draws;		 /* how often explore mode drew a CPU */
	struct port_thread *main_thread;
	u64 quiet_rounds; /* busy waits since anything happened */
	u64 ram_bytes;
	u64 ram_limit;	/* the direct map ends here */
	int ram_fd;	/* RAM as a file, for second mappings; 0: none */
	bool ram_open;	/* protecting frames ended */
	char *kva_view; /* the kernel's window */
	kva_t kva_start;
	u64 kva_bytes;
	u64 kernel_root; /* frame of the kernel's own table */
	char *memmap;
	u64 memmap_bytes;
	struct port_bdev *disks;
	struct paging_cpu paging; /* all CPUs alike; root not used */
	void (*switch_hook)(struct mm_task *prev, struct mm_task *next);
	int (*fault_hook)(struct mm_task *task, uva_t va, u32 error);
	void (*fill_hook)(struct sim_tlb_entry *e, uva_t va, unsigned access,
			  bool loaded);
};

extern struct sim_machine sim;

static inline struct sim_cpu *sim_this_cpu(void)
{
	return container_of(sim_this, struct sim_cpu, mmu.hot);
}

/* sched.c */
int sim_sched_init(void);
void sim_sched_exit(void);
void sim_kick(struct sim_cpu *cpu);
void sim_cpu_catch_up(struct sim_cpu *cpu, u64 when);
u64 sim_random(u64 *state);
_Noreturn void sim_stop(int result);
void sim_host_enter(void);
int sim_thread_new(struct port_thread **out, const char *name, int cpu,
		   void (*fn)(void *arg), void *arg);
void sim_thread_free(struct port_thread *t);
void sim_wait_word(const u32 *word);

/* context.c */
int sim_context_new(struct port_thread *t, size_t stack, void (*entry)(void));
void sim_context_free(struct port_thread *t);
void sim_context_host(struct port_thread *t);
void sim_context_switch(struct port_thread *from, struct port_thread *to,
			bool ending);
void sim_context_arrived(struct port_thread *self);

/* event.c */
void sim_event_add(struct sim_event *ev, u64 when);
void sim_event_cancel(struct sim_event *ev);
bool sim_event_fire_due(u64 now);
bool sim_event_fire_next(void);
u64 sim_event_next(void);

/* mmu.c */
int sim_mmu_init(void);
void sim_mmu_exit(void);

/* ram.c */
int sim_ram_init(u64 bytes);
void sim_ram_exit(void);
/* RAM becomes a file of BYTES without blocks (port/common). 0 or -ENOMEM. */
int sim_ram_file(u64 bytes);

/* The first walk of a stack, which prepares the others (port/common). */
void sim_stack_init(void);

/* disk.c */
void sim_disks_exit(void);
bool sim_irq_pending(const struct sim_cpu *cpu);
void sim_irq_deliver(struct sim_cpu *cpu);
/* sim_tlb_tick: C forgets entries that lost their accessed bits long ago. */
void sim_tlb_tick(struct sim_cpu *c);

/* machine.c */
MM_PRINTF(2, 3) void sim_print(int level, const char *fmt, ...);

#endif
