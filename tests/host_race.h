/* SPDX-License-Identifier: MIT */
/*
 * host_race.h - a machine of the host world for a test with real threads: its
 * boot, its threads, its last look round.
 */
#ifndef TESTS_HOST_RACE_H
#define TESTS_HOST_RACE_H

#include <unistd.h>

#include <mmkit/boot.h>
#include <mmkit/errno.h>
#include <mmkit/report.h>

#include "base/epoch.h"
#include "base/seqbuf.h"
#include "host.h"
#include "host_check.h"
#include "phys/e820.h"
#include "phys/lru.h"

/* A user thread that runs FN(ARG). */
MM_UNUSED static struct port_thread *race_start(const char *name,
						void (*fn)(void *), void *arg)
{
	struct port_thread *t;
	int err = host_thread_start(&t, name, fn, arg);

	/* The CPUs of ended threads may not be free yet. */
	for (int i = 0; i < 1000 && err == -EAGAIN; i++) {
		usleep(1000);
		err = host_thread_start(&t, name, fn, arg);
	}
	CHECK(err == 0);
	return t;
}

/* What is on its way gets there, and ALSO is done (NULL: nothing), 20 times. */
MM_UNUSED static void race_settle(void (*also)(void))
{
	for (int i = 0; i < 20; i++) {
		usleep(2000);
		lru_add_drain_all();
		if (also)
			also();
		epoch_drain();
	}
}

MM_UNUSED static void race_audit(void)
{
	static char text[16384];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	if (mm_audit(&s)) {
		fprintf(stderr, "%s", text);
		fail_at(__FILE__, __LINE__, "audit is clean");
	}
}

/* A machine of 16 CPUs with BYTES of RAM from 1 MiB runs BODY, whose argument
 * is the map to boot with. */
MM_UNUSED static void race_machine(u64 bytes, int (*body)(void *map))
{
	struct host_config cfg = {
		.cpus = 16, .ram_max = 1UL << 30, .quiet = true};
	static struct e820_table map;

	e820_init(&map);
	CHECK(e820_add(&map, 0x100000, bytes, E820_TYPE_RAM) == 0);
	mm_reset();
	CHECK(host_init(&cfg) == 0);
	CHECK(host_run(body, &map) == 0);
	CHECK(host_shutdown() == 0);
}

#endif
