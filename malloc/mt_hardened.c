/* SPDX-License-Identifier: MIT */
/*
 * mt_hardened.c - hardened mode: what can be checked for little.
 *
 * 1. Purpose. Stop a program at its first wrong free, overflow or write to
 *    what is free, at a cost that can be left on.
 *
 * 2. Structures. A bit for each 8 bytes of RAM says where an object begins
 *    that is in use. The last word of an object's slab place is its tail: how
 *    many bytes there are between what was asked and the tail, mixed with a
 *    secret and the address; the first FENCE of these bytes hold a value that
 *    is never 0 or 1, so a lone NUL behind a string is seen. A freed object is
 *    filled and waits in its class's queue until DEPTH later frees of the
 *    class, or as many as QUEUE_BYTES hold. Objects that no slab holds are
 *    those of mt_debug.c, without stacks and quarantine.
 *
 * 3. Invariants.
 *    MH-1  A live bit is set exactly while its object is in use.
 *    MH-2  An object in a queue is filled, up to FILL_MOST bytes.
 *
 * 4. Locking. A queue's word; nothing is taken under it. Live bits: atomic.
 *
 * 5. Not seen. Reads; writes to an object that left the queue (its slab's
 *    hardened links excepted); overflow that jumps over fence and tail; an
 *    underflow, until the object before it is freed or looked at.
 */
#include <string.h>

#include <mmkit/port.h>

#include "mt_records.h"

#define FENCE	    64u
#define FILL	    0x6bu
#define FILL_MOST   1024u
#define DEPTH	    32u
#define QUEUE_BYTES (64u << 10)
#define TAIL_SHIFT  40

/* (Q) word. */
struct queue {
	u32 word;
	u32 at, nr; /* (Q) the oldest, how many */
	void *obj[DEPTH];
};

static struct queue queues[MT_NR_CLASSES];
static u64 secret;

bool mt_hardened_init(void)
{
	mt_sys.live = mt_map_meta(mt_sys.span / 64);
	secret = port_entropy();
	return mt_sys.live && (mt_sys.opt.debug || mt_debug_init());
}

bool mt_hardened_owns(const void *p)
{
	return mt_in_span(p) && mt_use(p) >= MT_FIRST;
}

/* ---- tails
 * ------------------------------------------------------------------------- */

/* WORD with a low byte that is none of those that overruns mostly write: 0, 1,
 * 0xff, a character of ASCII. */
static u64 rare_byte(u64 word)
{
	return (word & ~0xc0ul) | 0x81;
}

static u8 fence_byte(void)
{
	return (u8)rare_byte(secret >> 56);
}

/* Its low byte is the first in memory; the slack does not change it. */
static u64 tail_key(const void *p)
{
	return rare_byte((secret ^ (uintptr_t)p) * 0x9e3779b97f4a7c15UL);
}

static char *tail_at(const void *p, u32 size)
{
	return (char *)(uintptr_t)p + size - sizeof(u64);
}

static void set_tail(void *p, u32 size, size_t asked)
{
	char *tail = tail_at(p, size), *end = (char *)p + asked;
	size_t slack = (size_t)(tail - end);
	u64 word = tail_key(p) ^ slack << TAIL_SHIFT;

	memset(end, fence_byte(), min(slack, (size_t)FENCE));
	memcpy(tail, &word, sizeof(word));
}

/* What was asked for P, an object of class C. False: its end is damaged. F
 * says where, then, as far as that is known. */
static bool read_tail(struct mt_finding *f, struct mt_record *r, u32 c)
{
	u32 size = mt_sys.size_of[c];
	const u8 *tail = (u8 *)tail_at((void *)r->p, size), *end;
	u64 word, slack;

	memcpy(&word, tail, sizeof(word));
	word ^= tail_key((void *)r->p);
	slack = word >> TAIL_SHIFT;
	r->size = size - sizeof(word);
	if (slack << TAIL_SHIFT != word || slack > r->size) {
		f->bad = tail;
		f->nr_bad = sizeof(word);
		f->want = (u8)tail_key((void *)r->p);
		return false;
	}
	r->size -= slack;
	end = (u8 *)r->p + r->size;
	for (u64 i = 0; i < min(slack, (u64)FENCE); i++) {
		if (likely(end[i] == fence_byte()))
			continue;
		f->bad = end + i;
		f->nr_bad = 1;
		f->want = fence_byte();
		return false;
	}
	return true;
}

/* ---- live bits
 * --------------------------------------------------------------------- */

static u64 live_bit(const void *p, u64 **word)
{
	u64 n = (u64)((const char *)p - mt_base) / 8;

	*word = &mt_sys.live[n / 64];
	return 1ul << n % 64;
}

static bool is_live(const void *p)
{
	u64 *word, bit = live_bit(p, &word);

	return (uintptr_t)p % 8 == 0 &&
	       (__atomic_load_n(word, __ATOMIC_RELAXED) & bit);
}

static bool set_live(const void *p)
{
	u64 *word, bit = live_bit(p, &word);

	return !(__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit);
}

static bool clear_live(const void *p)
{
	u64 *word, bit = live_bit(p, &word);

	return (uintptr_t)p % 8 == 0 &&
	       (__atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED) & bit);
}

/* FUNC got P, which lies in a slab and is no object in use. */
static void report_dead(const char *func, const void *p)
{
	struct mt_finding f = {.func = func, .p = p};
	uintptr_t low = PAGE_ALIGN_DOWN((uintptr_t)p), at = (uintptr_t)p & ~7ul;
	u32 c = mt_use(p);

	f.what = "double free or invalid pointer";
	/* One that begins in this page before it and reaches over it? */
	for (; at >= low && (uintptr_t)p - at < mt_sys.size_of[c]; at -= 8) {
		if (at != (uintptr_t)p && is_live((void *)at))
			f.what = "pointer into an object";
	}
	mt_report(&f);
}

/* ---- queues
 * ------------------------------------------------------------------------ */

static u32 depth(u32 c)
{
	return clamp(QUEUE_BYTES / mt_sys.size_of[c], 1u, DEPTH);
}

static u32 filled(u32 c)
{
	return min(mt_sys.size_of[c], FILL_MOST);
}

static bool check_filled(struct mt_finding *f, u32 c)
{
	const u8 *p = f->p;

	for (u32 i = 0; i < filled(c); i++) {
		if (likely(p[i] == FILL))
			continue;
		f->what = "use after free: written";
		f->bad = p + i;
		f->nr_bad = 1;
		f->want = FILL;
		return false;
	}
	return true;
}

static bool check_freed(const char *func, void *p, u32 c)
{
	struct mt_record r = {.p = (uintptr_t)p,
			      .size = mt_sys.size_of[c] - sizeof(u64),
			      .state = MT_OBJ_FREED};
	struct mt_finding f = {.func = func, .p = p, .of = &r};

	if (likely(check_filled(&f, c)))
		return true;
	mt_report(&f);
	return false;
}

/* P waits; what waited longest, or NULL, comes out. */
static void *exchange(u32 c, void *p)
{
	struct queue *q = &queues[c];
	void *old = NULL;
	u32 most = depth(c);

	mt_lock(&q->word);
	if (q->nr == most) {
		old = q->obj[q->at];
		q->obj[q->at] = p;
		q->at = (q->at + 1) % most;
	} else {
		q->obj[q->nr++] = p;
	}
	mt_unlock(&q->word);
	return old;
}

/* ---- the functions
 * ----------------------------------------------------------------- */

void *mt_hardened_alloc(size_t size, size_t align, bool zero)
{
	size_t total = size + sizeof(u64);
	bool zeroed;
	void *p;

	if (size > MT_CLASS_MAX - sizeof(u64) || align > PAGE_SIZE)
		return mt_debug_alloc(size, align, zero);
	if (align <= 16 && total > 8)
		align = 16;
	p = mt_block_get(total, align, &zeroed);
	if (!p)
		return NULL;
	/* The tail first: who finds the bit looks at it. */
	set_tail(p, mt_sys.size_of[mt_use(p)], size);
	if (!set_live(p)) {
		/* Leaving it alone is all that can be done. */
		mt_bad("corrupted free list gave an object in use", p);
		return NULL;
	}
	if (zero)
		memset(p, 0, size);
	else if (unlikely(mt_sys.tune.perturb))
		memset(p, (u8)~mt_sys.tune.perturb, size);
	return p;
}

bool mt_hardened_size(const void *p, const char *func, size_t *out)
{
	struct mt_record r = {.p = (uintptr_t)p};
	struct mt_finding f = {
		.func = func, .what = "overflow", .p = p, .of = &r};

	if (!is_live(p)) {
		report_dead(func, p);
		return false;
	}
	if (!read_tail(&f, &r, mt_use(p))) {
		mt_report(&f);
		return false;
	}
	*out = r.size;
	return true;
}

void mt_hardened_free(void *p, const char *func)
{
	u32 c = mt_use(p);
	size_t size;

	if (!mt_hardened_size(p, func, &size))
		return;
	/* Two threads may have come so far. */
	if (!clear_live(p)) {
		report_dead(func, p);
		return;
	}
	memset(p, FILL, filled(c));
	p = exchange(c, p);
	if (p && check_freed(func, p, c))
		mt_block_put(p);
}

/* ---- looking at everything
 * ------------------------------------------------------------- */

static u64 check_queue(u32 c)
{
	struct queue *q = &queues[c];
	void *bad = NULL;
	u64 nr = 0;

	mt_lock(&q->word);
	for (u32 i = 0; i < q->nr; i++) {
		struct mt_finding f = {.p = q->obj[i]};

		if (!check_filled(&f, c)) {
			bad = q->obj[i];
			nr++;
		}
	}
	mt_unlock(&q->word);
	if (bad)
		check_freed("check", bad, c);
	return nr;
}

/* Is the end of P whole, if P is in use? A free clears the bit before it
 * touches the bytes. */
static u64 check_live(void *p)
{
	struct mt_record r = {.p = (uintptr_t)p};
	struct mt_finding f = {
		.func = "check", .what = "overflow", .p = p, .of = &r};

	if (likely(read_tail(&f, &r, mt_use(p))) || !is_live(p) ||
	    read_tail(&f, &r, mt_use(p)))
		return 0;
	mt_report(&f);
	return 1;
}

u64 mt_hardened_check(void)
{
	u64 words = __atomic_load_n(&mt_sys.ram_end, __ATOMIC_ACQUIRE) / 512;
	u64 bad = 0;

	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++)
		bad += check_queue(c);
	for (u64 i = 0; i < words; i++) {
		u64 bits = __atomic_load_n(&mt_sys.live[i], __ATOMIC_ACQUIRE);

		for (; bits; bits &= bits - 1)
			bad += check_live(mt_base + i * 512 +
					  8 * (u64)__builtin_ctzl(bits));
	}
	return bad;
}

void mt_hardened_lock(void)
{
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++)
		mt_lock(&queues[c].word);
}

void mt_hardened_unlock(void)
{
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++)
		mt_unlock(&queues[c].word);
}
