/* SPDX-License-Identifier: MIT */
/*
 * malloc_alone.h - a body of a test of the malloc library in a thread of a
 * process of its own. Behind cmocka.h.
 */
#ifndef TESTS_HOST_MALLOC_ALONE_H
#define TESTS_HOST_MALLOC_ALONE_H

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mt.h"

/* In a process where nobody used the classes before. */
static inline void alone(void *(*body)(void *arg))
{
	pid_t pid;
	int status;

	mt_free(mt_malloc(1));
	if (mt_sys.direct)
		return;
	mt_cache_flush();
	mt_trim();
	pid = fork();
	if (!pid) {
		pthread_t t;

		if (pthread_create(&t, NULL, body, NULL))
			_exit(1);
		pthread_join(t, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#endif
