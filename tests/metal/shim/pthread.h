/* SPDX-License-Identifier: MIT */
/* pthread.h - a lock for models of tests on the bare machine. */
#ifndef SHIM_PTHREAD_H
#define SHIM_PTHREAD_H

#include <mmkit/types.h>

typedef u32 pthread_mutex_t;
#define PTHREAD_MUTEX_INITIALIZER 0

int pthread_mutex_lock(pthread_mutex_t *m);
int pthread_mutex_unlock(pthread_mutex_t *m);

#endif
