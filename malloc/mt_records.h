/* SPDX-License-Identifier: MIT */
/*
 * mt_records.h - what the modes know of each object, outside of the objects.
 * Theory: mt_records.c.
 */
#ifndef MALLOC_MT_RECORDS_H
#define MALLOC_MT_RECORDS_H

#include "base/stack_depot.h"
#include "mt.h"

enum mt_object_state {
	MT_OBJ_LIVE,
	MT_OBJ_FREED,  /* in quarantine */
	MT_OBJ_MOVING, /* into quarantine or out of it */
	MT_OBJ_GONE    /* back in its slab; may be handed out again */
};

/* Who did something. */
struct mt_track {
	depot_stack_handle_t stack; /* 0: not known */
	s32 tid;		    /* 0: nobody */
};

struct mt_record {
	uintptr_t p; /* what the program has */
	u64 size;    /* what it asked for */
	u32 lead;    /* bytes between the block's begin and P */
	u32 state;   /* enum mt_object_state */
	struct mt_track alloc, free;
};

/* mt_records_init: at boot. False: no memory. */
bool mt_records_init(void);

/* mt_record_put: R, in place of what is known of the same address. False: no
 * memory, and nothing changed. */
bool mt_record_put(const struct mt_record *r);

/* mt_record_get: *OUT for P. False: there is none. */
bool mt_record_get(uintptr_t p, struct mt_record *out);

/*
 * mt_record_free: P's record becomes MT_OBJ_MOVING, freed by BY, if it is
 * MT_OBJ_LIVE; *OUT is what it is now. False: it is not, and *OUT is untouched.
 */
bool mt_record_free(uintptr_t p, const struct mt_track *by,
		    struct mt_record *out);

/* mt_record_move: P's state becomes TO if it is FROM. */
void mt_record_move(uintptr_t p, u32 from, u32 to);

/* mt_record_drop: forget P if its state is STATE. */
void mt_record_drop(uintptr_t p, u32 state);

/* mt_record_around: the record of the object that P lies in or beside: a live
 * one rather than others. Slow. False: there is none. */
bool mt_record_around(uintptr_t p, struct mt_record *out);

/* mt_records_each: FN for a copy of each record; other threads go on. FN must
 * not call mt_record_put(). */
void mt_records_each(void (*fn)(const struct mt_record *r, void *arg),
		     void *arg);

void mt_records_lock(void);
void mt_records_unlock(void);

/* ---- mt_debug.c ---------------------------------------------------------- */

bool mt_debug_init(void);
void *mt_debug_alloc(size_t size, size_t align, bool zero);
/* FUNC is the name of the function that was called. */
void mt_debug_free(void *p, const char *func);
u64 mt_debug_check(void);
void mt_debug_lock(void);
void mt_debug_unlock(void);

/* ---- mt_hardened.c --------------------------------------------------------
 */

bool mt_hardened_init(void);
/* P is in a slab. */
bool mt_hardened_owns(const void *p);
void *mt_hardened_alloc(size_t size, size_t align, bool zero);
void mt_hardened_free(void *p, const char *func);
/* mt_hardened_size: what was asked for P, which must be in use; FUNC asks.
 * False: it is not, which is reported. */
bool mt_hardened_size(const void *p, const char *func, size_t *out);
u64 mt_hardened_check(void);
void mt_hardened_lock(void);
void mt_hardened_unlock(void);

/* ---- mt_finding.c ---------------------------------------------------------
 */

/* Something wrong. */
struct mt_finding {
	const char *func, *what;
	const void *p;		    /* what the function was called with */
	const struct mt_record *of; /* the object, or NULL */
	const u8 *bad;		    /* first wrong byte, or NULL */
	size_t nr_bad;
	u8 want; /* what it was to be */
};

/* mt_report: say all that is known of F, and mt_bad_end(). */
void mt_report(const struct mt_finding *f);

/* mt_report_free: FUNC got P, which is not an object in use. */
void mt_report_free(const char *func, const void *p);

#endif
