/* SPDX-License-Identifier: MIT */
/*
 * event_files.h - a machine with files, events and one task of event_stub.h,
 * whose user memory is AREA:
 *
 *	static int body(void) { CHECK_EQ(CALL(22, area), 0); return 0; }
 *	EF_RUN(body, .cpus = 2);
 */
#ifndef TESTS_KERNEL_EVENT_FILES_H
#define TESTS_KERNEL_EVENT_FILES_H

#include "event_stub.h"

#define EF_PAGES 64

static uva_t area;

static inline int ef_main(void *arg)
{
	int (*body)(void) = (int (*)(void))(uintptr_t)arg;
	struct mm_struct *mm = tm_mm();
	int ret;

	area = tm_map(mm, EF_PAGES);
	tm_use(mm);
	es_start_files(mm);
	ret = body();
	es_stop_files();
	mm_put(mm);
	return ret;
}

#define EF_RUN(fn, ...)             \
	tm_run(&(struct tm_config){ \
		.body = ef_main, .arg = (void *)(uintptr_t)(fn), __VA_ARGS__})

#endif
