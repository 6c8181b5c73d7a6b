/* SPDX-License-Identifier: MIT */
/*
 * base_priv.h - for the files of base/ only.
 *
 * The raw lock guards what the lock checker, the log and the like need for
 * themselves: it is not seen by the checker, offers no scheduling point and
 * costs no virtual time, so debug and release runs have the same history.
 */
#ifndef MM_BASE_PRIV_H
#define MM_BASE_PRIV_H

#include <mmkit/port.h>

#include "base/atomic.h"
#include "base/system.h"

/* Take WORD with interrupts off; returns what raw_unlock() wants. */
static inline unsigned long raw_lock(u32 *word)
{
	unsigned long flags = port_irq_save();

	while (__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE))
		port_relax();
	return flags;
}

static inline void raw_unlock(u32 *word, unsigned long flags)
{
	__atomic_store_n(word, 0, __ATOMIC_RELEASE);
	port_irq_restore(flags);
}

#endif
