/* SPDX-License-Identifier: MIT */
/*
 * limits.h - setting what a group may use. Theory: limits.c. The caller holds
 * MEMCG; amounts are pages, MEMCG_NO_LIMIT is "max".
 */
#ifndef MM_MEMCG_LIMITS_H
#define MM_MEMCG_LIMITS_H

#include "memcg/memcg.h"

/* memcg_set_max / _high: memory.max and .high; reclaims (and, for max, kills)
 * until it fits, or nothing helps. May sleep. */
void memcg_set_max(struct memcg *memcg, u64 pages);
void memcg_set_high(struct memcg *memcg, u64 pages);

/* memcg_set_protection: memory.low (LOW) or memory.min. Any context. */
void memcg_set_protection(struct memcg *memcg, u64 pages, bool low);

/* memcg_reclaim: take PAGES of MEMCG (NULL: of the machine) now. 0; -EAGAIN:
 * there were fewer; -EINTR. May sleep. */
int memcg_reclaim(struct memcg *memcg, u64 pages);

/* memcg_high_now: the running task is far beyond MEMCG's high: part of what it
 * owes, at once and without waiting. May sleep. */
void memcg_high_now(struct memcg *memcg);

#endif
