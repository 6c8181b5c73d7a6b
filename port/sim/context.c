/* SPDX-License-Identifier: MIT */
/*
 * context.c - stacks and the switch between them.
 *
 * A thread's stack is its own mapping with an inaccessible page below it, so
 * an overflow faults instead of walking into a neighbour. AddressSanitizer
 * is told of each switch; without that it would take a foreign stack for an
 * overflow and lose its bookkeeping of frames.
 */
#include "sim_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#if SIM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

void sim_switch_stack(void **save, void *load);

#define GUARD_BYTES	4096u
#define FRAME_WORDS	8 /* six registers, the entry, a null return address */
#define MAP_STACK_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* Give T a stack of STACK bytes that starts in ENTRY, which never returns. */
int sim_context_new(struct port_thread *t, size_t stack, void (*entry)(void))
{
	size_t bytes = ALIGN(stack, (size_t)GUARD_BYTES) + GUARD_BYTES;
	void **top;
	char *map;

	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_STACK_FLAGS, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	if (mprotect(map, GUARD_BYTES, PROT_NONE)) {
		munmap(map, bytes);
		return -ENOMEM;
	}
	t->map = map;
	t->map_bytes = bytes;
	t->stack_low = map + GUARD_BYTES;
	t->stack_bytes = bytes - GUARD_BYTES;
	/* At entry rsp must be 8 below a multiple of 16, as after a call. */
	top = (void **)(map + bytes) - FRAME_WORDS;
	memset(top, 0, FRAME_WORDS * sizeof(*top));
	top[6] = (void *)(uintptr_t)entry;
	t->sp = top;
	return 0;
}

void sim_context_free(struct port_thread *t)
{
	if (!t->map)
		return;
#if SIM_ASAN
	/* Abandoned frames leave poison that would outlive the mapping. */
	ASAN_UNPOISON_MEMORY_REGION(t->stack_low, t->stack_bytes);
#endif
	munmap(t->map, t->map_bytes);
	t->map = NULL;
}

/* The context of the program that called sim_run; its stack is the host's. */
void sim_context_host(struct port_thread *t)
{
	t->map = NULL;
	t->stack_low = NULL;
	t->stack_bytes = 0;
	t->fake_stack = NULL;
}

/*
 * Leave FROM for TO; returns when somebody switches back to FROM, or never
 * if FROM is ENDING.
 */
void sim_context_switch(struct port_thread *from, struct port_thread *to,
			bool ending)
{
#if SIM_ASAN
	__sanitizer_start_switch_fiber(ending ? NULL : &from->fake_stack,
				       to->stack_low, to->stack_bytes);
#else
	(void)ending;
#endif
	sim_switch_stack(&from->sp, to->sp);
	sim_context_arrived(from);
}

/* First thing on a stack after a switch to it. */
void sim_context_arrived(struct port_thread *self)
{
#if SIM_ASAN
	const void *low;
	size_t bytes;

	__sanitizer_finish_switch_fiber(self->fake_stack, &low, &bytes);
	/* The first stack that is left is the host's: learn where it is. */
	if (!sim.host.stack_low) {
		sim.host.stack_low = low;
		sim.host.stack_bytes = bytes;
	}
#else
	(void)self;
#endif
}
