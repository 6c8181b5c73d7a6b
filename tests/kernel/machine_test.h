/* SPDX-License-Identifier: MIT */
/*
 * machine_test.h - kernel/machine.h on the sim and host worlds, as a test
 * sees it.
 *
 * Threads are the world's; registers are kept and never run. What a thread of
 * machine_thread_create() does "in user mode" is what kt_user_mode() was
 * told; without that it ends. Timers are fired by a thread of their own. The
 * console is a buffer, disks are what the test gives.
 */
#ifndef TESTS_KERNEL_MACHINE_TEST_H
#define TESTS_KERNEL_MACHINE_TEST_H

#include "machine.h"

/* kt_start: before any other function; the running thread gets a record and
 * OWNER. kt_stop: the timer thread ends; other threads are gone. */
void kt_start(void *owner);
void kt_stop(void);

/* kt_set_owner: machine_owner() of the running thread is OWNER. */
void kt_set_owner(void *owner);

/* kt_user_mode: what threads do once their function has returned. NULL: end. */
void kt_user_mode(void (*fn)(struct pt_regs *regs));

/* kt_kicked: has T been kicked since this was last asked? */
bool kt_kicked(struct port_thread *t);

/* kt_switched: T is counted so many more switches. */
void kt_switched(struct port_thread *t, u64 voluntary, u64 involuntary);

/* kt_charge: T has used so much more CPU time; from its first charge on that is
 * all that it has used. */
void kt_charge(struct port_thread *t, u64 user, u64 sys);

/* kt_set_symbols: machine_symbol()'s, by address, each SIZE bytes. */
void kt_set_symbols(const struct machine_symbol *s, u32 nr, u64 size);

/* The console's bytes so far; kt_console_type: somebody types. */
const char *kt_console_text(size_t *len);
void kt_console_clear(void);
void kt_console_type(const char *text);

void kt_set_bdev(u32 n, struct port_bdev *bdev);
void kt_set_cmdline(const char *cmdline);
void kt_set_initrd(const void *image, u64 size);
/* What stood in the ports: the byte that was written last. */
u8 kt_port(u16 port);
void kt_set_wall_ns(u64 ns);

#endif
