/* SPDX-License-Identifier: MIT */
/*
 * host.h - the world of real threads, as a program that drives it sees it.
 *
 * For embedding, benchmarks and ThreadSanitizer: threads are pthreads, time
 * is the host's, RAM is private anonymous memory. User memory is reached by
 * host_touch() and the copy functions, which walk the running task's page
 * tables each time; there is no TLB.
 *
 * A CPU is a slot that a thread holds for life. host_thread_start() and
 * port_thread_start() refuse a thread with -EAGAIN when no slot is free; a
 * thread of the program's own that calls into the manager takes a slot at its
 * first call, and waits until one is free.
 */
#ifndef PORT_HOST_H
#define PORT_HOST_H

#include <mmkit/port.h>

#include "arch/paging.h"

typedef void host_console_fn(void *arg, int level, const char *text,
			     size_t len);

struct host_config {
	bool no_stacks; /* do not prepare for port_stack_trace() */
	int cpus;	/* slots, 1 .. MM_NR_CPUS; 0 means all */
	u64 ram_max;	/* addressable bytes; 0 means 64 GiB */
	const struct paging_format *format; /* NULL: x86-64, four levels */
	const u8 *cpu_node;	  /* node of each slot; NULL: all on node 0 */
	host_console_fn *console; /* NULL: standard error. Several threads
				   * may call it at once. */
	void *console_arg;
	int console_level; /* less severe text is dropped; 0: 4 */
	bool quiet;	   /* no console text at all */
	/*
	 * RAM is a file, so that frames can be mapped a second time. Always so
	 * where the format has high memory.
	 */
	bool shared_ram;
};

/*
 * host_init: make the machine; CFG may be NULL and is copied. Of threads that
 * called into the manager before, only the caller may go on to do so. Returns
 * 0, -EINVAL, -ENOMEM or -EBUSY (there is one already).
 */
int host_init(const struct host_config *cfg) MM_MUST_CHECK;

/* View of physical address 0 with all RAM, high memory too. */
extern char *host_phys_base;

/* host_phys: what stands at PA, past all rules: for the world and for tests. */
static inline void *host_phys(phys_addr_t pa)
{
	return host_phys_base + pa;
}

/* host_run: call MAIN(ARG) in the calling thread, attached; its result. */
int host_run(int (*main)(void *arg), void *arg);

/*
 * host_shutdown: free the machine and its disks. All threads that were
 * started must have been joined, other attached threads must have ended or
 * called host_detach(); the caller itself is detached. Returns 0, or -EBUSY
 * with nothing changed.
 */
int host_shutdown(void) MM_MUST_CHECK;

/* host_detach: give the calling thread's slot back before it ends. */
void host_detach(void);

/* host_thread_start: as port_thread_start(), for a user task. */
int host_thread_start(struct port_thread **out, const char *name,
		      void (*fn)(void *arg), void *arg) MM_MUST_CHECK;

/* host_thread_task: the task that T embeds. */
struct mm_task *host_thread_task(struct port_thread *t);

/* ---- user memory access
 * --------------------------------------------------------- */

#define HOST_READ  1u
#define HOST_WRITE 2u
#define HOST_EXEC  4u

/*
 * host_touch: one access by the running task, which sets A and D. Returns 0
 * or the signal that the task gets. Context: task context; may sleep.
 */
int host_touch(uva_t va, unsigned access) MM_MUST_CHECK;

/*
 * host_copy_to_user, host_copy_from_user: move LEN bytes page by page.
 * Return 0 or the signal; what lies before the page that failed has been
 * copied then. Context: as host_touch().
 */
int host_copy_to_user(uva_t to, const void *from, size_t len) MM_MUST_CHECK;
int host_copy_from_user(void *to, uva_t from, size_t len) MM_MUST_CHECK;

/* ---- disks
 * --------------------------------------------------------------------- */

struct host_disk_config {
	const char *name; /* as /proc/swaps shows it; NULL: the path */
	const char *path; /* host file, created if needed; NULL: memory */
	u64 size_bytes;	  /* a multiple of PAGE_SIZE */
	bool reserve;	  /* allocate the file's blocks now */
	bool unlink;	  /* remove the file's name at once */
};

#define HOST_DISK_ERR_MAX 256

/*
 * host_disk_open: make a disk with its I/O thread, which takes a CPU slot.
 * On failure a negative errno (-EAGAIN: no slot), and the reason in ERR
 * (HOST_DISK_ERR_MAX bytes; may be NULL).
 */
int host_disk_open(struct port_bdev **out, const struct host_disk_config *cfg,
		   char *err) MM_MUST_CHECK;

/* host_disk_close: complete what is under way, then free the disk. */
void host_disk_close(struct port_bdev *disk);

#endif
