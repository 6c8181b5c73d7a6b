/* SPDX-License-Identifier: MIT */
/*
 * mt_debug.c - debug mode: each object between red zones, with a record.
 *
 * 1. Purpose. Say of a wrong byte or a wrong free which object it was, who had
 *    asked for it and who had freed it.
 *
 * 2. Structures. A block of the plain allocator is [red zone of LEAD bytes]
 *    [the object, exactly as long as was asked] [red zone to the block's end].
 *    mt_records.c knows the objects. Freed ones are filled and stay in
 *    quarantine, a ring in order of their frees, until there are more bytes
 *    in it than opt.quarantine; then they are looked at and go back. Their
 *    records stay for the last GRAVES of them.
 *
 * 3. Way. Red zones are looked at when an object is freed or moved; fillings
 *    when it leaves quarantine; all of both by mt_debug_check(): malloc_trim(),
 *    mmkit_malloc_check(), exit. From the slab on slab_debug.c watches it.
 *
 * 4. Invariants.
 *    MD-1  A record is MT_OBJ_FREED exactly while its object is in quarantine
 *          and filled; on its way there and back it is MT_OBJ_MOVING.
 *    MD-2  Of what a block has beyond object and the ZONE_MOST bytes at either
 *          end of it nothing is known.
 *
 * 5. Locking. ring.word, then a shard's of the records; stack_word alone.
 *
 * 6. Failure. No memory for a record: the request fails. No memory for the
 *    ring at boot: so does the boot. A stack the depot cannot keep is not
 *    shown.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mmkit/port.h>

#include "mt_records.h"

#define RED	  0xccu
#define FRESH	  0x5au
#define FREED	  0x6bu
#define FREED_END 0xa5u
#define ZONE	  16u	      /* bytes behind an object at least */
#define ZONE_MOST 256u	      /* bytes of a zone that are filled */
#define FILL_MOST (1ul << 20) /* larger objects have no filling */
#define RING	  65536u      /* objects in quarantine at most */
#define GRAVES	  16384u
#define FRAMES	  32u

static struct {
	u32 word;
	u32 first, nr;	   /* in at[] */
	u32 next_grave;	   /* in graves[] */
	u64 bytes;	   /* of the objects in at[] */
	uintptr_t *at;	   /* RING */
	uintptr_t *graves; /* GRAVES */
} ring;

static u32 stack_word;

bool mt_debug_init(void)
{
	uintptr_t *p = mt_map_meta((RING + GRAVES) * sizeof(*p));

	ring.at = p;
	ring.graves = p + RING;
	return p && mt_records_init();
}

/* ---- who
 * ---------------------------------------------------------------------- */

static void feed_depot(void)
{
	void *chunk;

	if (!stack_depot_hungry())
		return;
	chunk = mt_map_meta(STACK_DEPOT_CHUNK);
	if (chunk && !stack_depot_feed(chunk))
		munmap(chunk, STACK_DEPOT_CHUNK);
}

static struct mt_track who(void)
{
	struct mt_track t = {.tid = (s32)syscall(SYS_gettid)};
	u64 at[FRAMES];
	u32 nr, skip;

	if (!mt_sys.opt.debug)
		return t;
	nr = port_stack_trace(at, FRAMES);
	skip = mt_own_frames(at, nr);
	mt_lock(&stack_word);
	feed_depot();
	t.stack = stack_depot_save(at + skip, nr - skip);
	mt_unlock(&stack_word);
	return t;
}

/* ---- known bytes
 * -------------------------------------------------------------- */

static size_t zone_before(const struct mt_record *r)
{
	return min(r->lead, ZONE_MOST);
}

static size_t zone_behind(const struct mt_record *r)
{
	size_t block = mt_block_size((void *)(r->p - r->lead));

	return min(block - r->lead - r->size, (size_t)ZONE_MOST);
}

/* The first of the LEN bytes at P that is not WANT, or NULL. */
static const u8 *first_other(const u8 *p, size_t len, u8 want)
{
	while (len && *p == want) {
		p++;
		len--;
	}
	return len ? p : NULL;
}

static bool check_bytes(struct mt_finding *f, const u8 *p, size_t len, u8 want)
{
	const u8 *bad = first_other(p, len, want);

	if (likely(!bad))
		return true;
	f->bad = bad;
	f->want = want;
	f->nr_bad = len - (size_t)(bad - p);
	while (bad[f->nr_bad - 1] == want)
		f->nr_bad--;
	return false;
}

/* Are the red zones of F's object whole? What is wrong is in F then. */
static bool check_zones(struct mt_finding *f)
{
	const struct mt_record *r = f->of;
	const u8 *p = (const u8 *)r->p;

	f->what = "overflow";
	if (!check_bytes(f, p + r->size, zone_behind(r), RED))
		return false;
	f->what = "underflow";
	return check_bytes(f, p - zone_before(r), zone_before(r), RED);
}

/* Is F's object, which was freed, as it was left? */
static bool check_filling(struct mt_finding *f)
{
	const struct mt_record *r = f->of;
	const u8 *p = (const u8 *)r->p;

	f->what = "use after free: written";
	if (r->size && r->size <= FILL_MOST &&
	    (!check_bytes(f, p, r->size - 1, FREED) ||
	     !check_bytes(f, p + r->size - 1, 1, FREED_END)))
		return false;
	return check_zones(f);
}

static struct mt_finding finding(const struct mt_record *r, const char *func)
{
	return (struct mt_finding){.func = func, .p = (void *)r->p, .of = r};
}

static void fill_freed(const struct mt_record *r)
{
	u8 *p = (u8 *)r->p;

	if (!r->size || r->size > FILL_MOST)
		return;
	memset(p, FREED, r->size - 1);
	p[r->size - 1] = FREED_END;
}

/* ---- allocating
 * --------------------------------------------------------------- */

static void fill_fresh(const struct mt_record *r, bool zero, bool zeroed)
{
	u8 *p = (u8 *)r->p, fresh = FRESH;

	memset(p - zone_before(r), RED, zone_before(r));
	memset(p + r->size, RED, zone_behind(r));
	if (zero && !zeroed)
		memset(p, 0, r->size);
	if (zero || r->size > FILL_MOST)
		return;
	if (mt_sys.tune.perturb)
		fresh = (u8)~mt_sys.tune.perturb;
	memset(p, fresh, r->size);
}

void *mt_debug_alloc(size_t size, size_t align, bool zero)
{
	struct mt_record r = {.size = size, .alloc = who()};
	size_t total;
	bool zeroed;
	char *block;

	align = max(align, (size_t)16);
	r.lead = (u32)align;
	if (align > UINT32_MAX / 2 ||
	    __builtin_add_overflow(size, align + ZONE, &total))
		return NULL;
	block = mt_block_get(total, align, &zeroed);
	if (!block)
		return NULL;
	r.p = (uintptr_t)block + align;
	fill_fresh(&r, zero, zeroed);
	if (mt_record_put(&r))
		return (void *)r.p;
	mt_block_put(block);
	return NULL;
}

/* ---- freeing
 * ------------------------------------------------------------------ */

/* R is MT_OBJ_MOVING and in the caller's hands. */
static void give_back(const struct mt_record *r)
{
	uintptr_t old;

	mt_lock(&ring.word);
	old = ring.graves[ring.next_grave];
	ring.graves[ring.next_grave] = r->p;
	ring.next_grave = (ring.next_grave + 1) % GRAVES;
	mt_unlock(&ring.word);
	if (old && old != r->p)
		mt_record_drop(old, MT_OBJ_GONE);
	/* First, for then the address may come again. */
	mt_record_move(r->p, MT_OBJ_MOVING, MT_OBJ_GONE);
	mt_block_put((void *)(r->p - r->lead));
}

/* Takes the oldest object out of quarantine if there are too many. */
static bool ring_overdue(struct mt_record *r)
{
	bool due;

	mt_lock(&ring.word);
	due = ring.nr &&
	      (ring.bytes > mt_sys.opt.quarantine || ring.nr == RING);
	if (due) {
		mm_verify(mt_record_get(ring.at[ring.first], r));
		ring.first = (ring.first + 1) % RING;
		ring.nr--;
		ring.bytes -= r->size + r->lead;
		mt_record_move(r->p, MT_OBJ_FREED, MT_OBJ_MOVING);
	}
	mt_unlock(&ring.word);
	return due;
}

static bool ring_push(const struct mt_record *r)
{
	bool room;

	mt_lock(&ring.word);
	room = ring.nr < RING;
	if (room) {
		ring.at[(ring.first + ring.nr++) % RING] = r->p;
		ring.bytes += r->size + r->lead;
		mt_record_move(r->p, MT_OBJ_MOVING, MT_OBJ_FREED);
	}
	mt_unlock(&ring.word);
	return room;
}

static void quarantine(const struct mt_record *r)
{
	struct mt_record old;

	while (ring_overdue(&old)) {
		struct mt_finding f = finding(&old, "free");

		/* What is damaged is not used again, should we go on. */
		if (check_filling(&f))
			give_back(&old);
		else
			mt_report(&f);
	}
	if (!ring_push(r))
		give_back(r);
}

void mt_debug_free(void *p, const char *func)
{
	struct mt_track by = who();
	struct mt_finding f;
	struct mt_record r;

	if (!mt_record_free((uintptr_t)p, &by, &r)) {
		mt_report_free(func, p);
		return;
	}
	f = finding(&r, func);
	if (!check_zones(&f)) {
		mt_report(&f);
		return;
	}
	fill_freed(&r);
	if (!mt_sys.opt.debug || r.size > mt_sys.opt.quarantine / 2)
		give_back(&r);
	else
		quarantine(&r);
}

/* ---- looking at everything
 * ------------------------------------------------------------- */

#define LISTED 8u

struct findings {
	u64 nr;
	struct mt_record listed[LISTED];
};

static bool is_well(struct mt_finding *f)
{
	if (f->of->state == MT_OBJ_LIVE)
		return check_zones(f);
	return f->of->state != MT_OBJ_FREED || check_filling(f);
}

/* An object stays what it is while its record's shard is locked. */
static void check_one(const struct mt_record *r, void *arg)
{
	struct mt_finding f = finding(r, "check");
	struct findings *all = arg;

	if (likely(is_well(&f)))
		return;
	if (all->nr < LISTED)
		all->listed[all->nr] = *r;
	all->nr++;
}

u64 mt_debug_check(void)
{
	struct findings all = {0};

	mt_records_each(check_one, &all);
	for (u32 i = 0; i < min(all.nr, (u64)LISTED); i++) {
		struct mt_finding f = finding(&all.listed[i], "check");

		if (!is_well(&f))
			mt_report(&f);
	}
	return all.nr;
}

void mt_debug_lock(void)
{
	mt_lock(&stack_word);
	mt_lock(&ring.word);
	mt_records_lock();
}

void mt_debug_unlock(void)
{
	mt_records_unlock();
	mt_unlock(&ring.word);
	mt_unlock(&stack_word);
}
