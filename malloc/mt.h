/* SPDX-License-Identifier: MIT */
/*
 * mt.h - what the files of the malloc library share. Theory: mt_cache.c.
 */
#ifndef MALLOC_MT_H
#define MALLOC_MT_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "host_priv.h"

struct kmem_cache;

/* Said where it is used, too, it saves a look into a table of addresses. */
#define MT_HIDDEN __attribute__((visibility("hidden")))

/* ---- size classes ----------------------------------------------------------
 *
 * What RAM is used for stands in mt_map, a byte for each KiB, a grain:
 *
 *	MT_NONE     given back to the system, or never used
 *	MT_RUN      first frame of a run of frames
 *	MT_BODY     other frames of a run, and what is free but dirty
 *	MT_FIRST..  objects of that class
 *
 * All four of a frame say the same but in packs, whose objects are larger than
 * a grain, so that one at most begins there: its class is said.
 */
#define MT_NONE	       0u
#define MT_RUN	       1u
#define MT_BODY	       2u
#define MT_FIRST       3u
#define MT_GRAIN_SHIFT 10u
#define MT_PACK_OVER   1024u /* larger classes are in packs, ... */
#define MT_PACK_END    8192u /* ... or runs of frames; from here on all are */
#define MT_PACK_UNIT   64u
#define MT_CLASS_MAX   32768u		 /* larger requests have no class */
#define MT_RUN_MAX     (PAGE_SIZE << 10) /* larger requests are mappings */
/* 8; 16 .. 128 by 16; eight for each doubling up to 8 KiB, and from MT_FINE to
 * MT_FINE_END one more in the middle of the first five steps of each; 12 .. 32
 * KiB. */
#define MT_NR_FINE     (3 * 5)
#define MT_NR_CLASSES  (MT_FIRST + 1 + 8 + 6 * 8 + MT_NR_FINE + 1 + 6)
#define MT_FINE	       512u
#define MT_FINE_END    4096u
#define MT_CLASS_TABLE (MT_CLASS_MAX / 8 + 1)

/* ---- magazines -------------------------------------------------------------
 *
 * 64 words at a multiple of their size. Objects fill it upwards from behind
 * a NULL, whose place says how many it holds at most; TOP points behind the
 * last object. So a TOP whose word below is NULL is empty, and a TOP that is
 * a multiple of the magazine's size is full: neither needs a counter.
 */
#define MT_MAG_WORDS 64u
#define MT_MAG_BYTES (MT_MAG_WORDS * sizeof(void *))

/* Turns that a thread waits in its life for a slot that another holds: then it
 * looks for one of its own. */
#define MT_WAITS_MOST 20000u

enum mt_life { MT_NEW, MT_LIVE, MT_DEAD };

/* Full magazines on the shelf: linked through their first word. */
struct mt_shelf {
	void **first;
	u32 nr;
	union {
		u32 word; /* of a depot, which it guards */
		u32 most; /* of a thread's: magazines that may be there */
	};
};

/* A thread's own. WORD is held while its slow ways rearrange magazines, which
 * is how fork finds them whole. */
struct mt_self {
	void **top[MT_NR_CLASSES];
	struct mt_shelf shelf[MT_NR_CLASSES];
	struct mt_shelf spare;	/* empty magazines */
	u32 slot;		/* where to look first */
	u8 life;		/* enum mt_life */
	u8 loans;		/* of large objects that are left */
	u8 cap[MT_NR_CLASSES];	/* places in the magazine; 0: has none yet */
	u8 lent[MT_NR_CLASSES]; /* objects of other classes, up to LEND_MOST */
	u8 booting;
	u8 forking; /* holds all words: how often the hook ran */
	u8 at_gate; /* forks before the library is up */
	u8 in_fork; /* is one of nr_forks */
	u8 counted; /* in nr_threads */
	u32 word;
	u32 waits;		     /* turns, up to MT_WAITS_MOST */
	u32 asked;		     /* the size of the last slow request */
	u32 nr_missed;		     /* fills and spills of small ones */
	u32 nr_shelved;		     /* magazines put on shelves, ever */
	struct mt_self *next, *prev; /* (T) threads that have magazines */
};

/* Words that make a TOP both empty and full: no class has a magazine. */
extern void *mt_nil[MT_MAG_WORDS] MT_HIDDEN;
#define MT_NIL (mt_nil + MT_MAG_WORDS)

extern __thread struct mt_self mt_self
	__attribute__((tls_model("initial-exec"))) MT_HIDDEN;

/* ---- the library's state --------------------------------------------------
 */

struct mt_slot {
	u32 word;
	bool started; /* (word) as a CPU of the machine */
	struct port_thread thread;
} MM_ALIGNED(128);

struct mt_options {
	bool hardened, debug, stats, slabinfo;
	u64 quarantine; /* bytes of freed objects that debug mode keeps */
	u64 fail_nth;	/* 0: no injected failure */
	bool fail_keep;
};

/* What mallopt() changes; read without a lock. */
struct mt_tune {
	u64 mmap_threshold; /* requests from here on are mappings */
	u64 trim_keep;	    /* frames that may be free and dirty */
	s64 mmap_max;	    /* mappings below MT_RUN_MAX at most */
	bool trim_set;	    /* trim_keep was chosen */
	u8 perturb;	    /* 0: memory is left as it is */
	u8 check_action;    /* bits of MT_ACT_* */
};

#define MT_ACT_PRINT  1u
#define MT_ACT_ABORT  2u
#define MT_ACT_SIMPLE 4u

/* (G) grow_word; (M) meta_word; (T) threads_word; (A) atomic; the rest:
 * constant once up. */
struct mt_state {
	/* A page is resident when one word of it was written. What all use
	 * stands together: the last slots, all up to the table, and of that the
	 * beginning (malloc.ld). Slots are found by mt_slot(). */
	struct mt_slot slots[MM_NR_CPUS];
	u32 *run;  /* (A) frames of the run that begins here */
	u64 *live; /* hardened: a bit for each 8 bytes: an object begins */
	u32 state; /* 0, 1 booting, 2 up, 3 failed */
	u32 nr_slots;
	u32 pack_over;	/* sizes over this are in packs or runs */
	u32 nr_threads; /* (A) that ever allocated, or forked before */
	u32 at_gate;	/* (A) threads that fork before the library is up */
	u32 grow_word, meta_word, threads_word;
	struct mt_self *threads; /* (T) */
	u32 nr_live;		 /* (T) in that list; read without: a hint */
	u64 span;		 /* bytes of RAM there may come to be */
	u64 ram_end;		 /* (G) RAM that there is, bytes */
	u64 boot_frames;	 /* frames in use that have no class */
	s64 nr_dirty;		 /* (A) frames that mt_map says are used */
	s64 peak_dirty;		 /* the most so far; a hint */
	s64 depot_bytes;	 /* (A) of objects in the depots */
	u64 nr_trims;		 /* (A) */
	s64 map_bytes, nr_maps;	 /* (A) of mappings */
	u64 peak_map_bytes;	 /* (A) */
	struct mt_options opt;
	struct mt_tune tune;
	int stats_fd;
	bool direct; /* hardened or debug: no magazines, each object is checked
		      */
	bool hooked; /* (A) fork's hooks were registered, or cannot be */
	pthread_key_t key;
	u32 nr_forks;		  /* (A) that began without hooks */
	char *meta_at, *meta_end; /* (M) */
	u64 meta_bytes;		  /* (M) */
	void **meta_free;	  /* (M) magazines */
	u64 joined[2];		  /* (M) bit C: C + 1 serves its sizes */
	u32 class_end;		  /* (M) entries of class_of that are in use */
	struct kmem_cache *cache[MT_NR_CLASSES]; /* made when first used */
	/* Full magazines that no thread owns, under their words. */
	struct mt_shelf depot[MT_NR_CLASSES];
	u16 size_of[MT_NR_CLASSES];
	u8 cap_of[MT_NR_CLASSES]; /* of the largest magazine */
	/* Of what made the highest class of a group grow, 256ths that were for
	 * a size of the lower half. Threads that meet lose one: a hint. */
	u8 low_part[MT_NR_CLASSES];
	/* By (size + 7) / 8. Entries of large sizes are written when such a
	 * size is asked for. */
	u8 class_of[MT_CLASS_TABLE];
};

extern struct mt_state mt_sys MT_HIDDEN;

/* CPU I's slot. */
static inline struct mt_slot *mt_slot(u32 i)
{
	return &mt_sys.slots[MM_NR_CPUS - 1 - i];
}

/* What free() looks at; by themselves, which saves it an instruction. */
extern char *mt_base MT_HIDDEN; /* view of RAM's first byte */
extern u64 mt_span MT_HIDDEN;	/* mt_sys.span; 0: all frees go the slow way */
extern u8 *mt_map MT_HIDDEN;	/* use of each grain of the span */

/* Objects of packs and runs handed out, by class: (A), or packs' word. */
extern u32 mt_nr_out[MT_NR_CLASSES] MT_HIDDEN;

/* ---- mt_boot.c ------------------------------------------------------------
 */

/* mt_up: is the library up? Boots it at the first call. */
bool mt_boot(void);

static inline bool mt_up(void)
{
	return likely(__atomic_load_n(&mt_sys.state, __ATOMIC_ACQUIRE) == 2) ||
	       mt_boot();
}

/*
 * mt_enter / mt_leave: be a CPU of the machine in between; what src/ offers
 * may be called there and nowhere else. Not nested.
 */
void mt_enter(void);
void mt_leave(void);

/* mt_hooks: the calling thread is about to allocate for the first time, or to
 * fork. */
void mt_hooks(void);

/* mt_lock, mt_unlock: a lock word that threads wait for actively. The thread
 * that forks has all of them. */
static inline void mt_lock(u32 *word)
{
	if (likely(!mt_self.forking))
		port_spin_lock(word);
}

static inline void mt_unlock(u32 *word)
{
	if (likely(!mt_self.forking))
		port_spin_unlock(word);
}

/*
 * mt_grow: more RAM, entered. SEEN is mt_sys.ram_end as the caller found it: if
 * others made more meanwhile, that will do. False: there is no more.
 */
bool mt_grow(u64 seen);

/* mt_meta_mag: an empty magazine's memory, or NULL. mt_meta_drop: back. */
void **mt_meta_mag(void);
void mt_meta_drop(void **mag);

/* mt_boot_alloc: for what malloc itself makes the C library ask for. */
void *mt_boot_alloc(size_t size);
bool mt_boot_owns(const void *p);

/* mt_map_meta: BYTES of zeroed memory of our own, or NULL. Sparse. */
void *mt_map_meta(u64 bytes);

/* ---- mt_class.c -----------------------------------------------------------
 */

/* mt_class_init: the tables. */
void mt_class_init(void);

/* mt_class_part: for the modes: eight classes to a doubling, from the beginning
 * and for good. More would be more caches than there may be. */
void mt_class_part(void);

/* mt_joined: does class C + 1 serve the sizes of class C? A hint. */
static inline bool mt_joined(u32 c)
{
	return READ_ONCE(mt_sys.joined[c / 64]) >> c % 64 & 1;
}

/* mt_class_objects: of class C, used or free; a hint. Any context. */
u64 mt_class_objects(u32 c);

/* mt_class_used: has class C a cache? mt_class_small: slabs, but so few that
 * one more would tell? Hints. Any context. */
bool mt_class_used(u32 c);
bool mt_class_small(u32 c);
/* mt_class_much: has class C so many objects that their sizes tell more than
 * the pages of a class do? A hint. Any context. */
bool mt_class_much(u32 c);

/* mt_class_table: make the table of the short way anew, for sizes up to SIZE
 * at least: open as far as the tunables let it. */
void mt_class_table(size_t size);

/* mt_class_for: the class for SIZE, at most MT_CLASS_MAX, also while the
 * table of the short way is shut. */
u32 mt_class_for(size_t size);

/* mt_class_aligned: the smallest class for SIZE whose objects are all aligned
 * to ALIGN, which is at most a page: powers of two are. */
u32 mt_class_aligned(size_t size, size_t align);

/* mt_lends: may objects of class K, which is larger, serve sizes of class C? */
static inline bool mt_lends(u32 k, u32 c)
{
	return mt_sys.size_of[k] * 2u <= mt_sys.size_of[c] * 3u;
}

/*
 * mt_objects_get: up to NR objects of class C into OUT. Returns how many; 0:
 * no memory. SPARE, of a class in slabs: of no new slab, but if it has none, of
 * one that lends; 0: there are none. *DRY, unless DRY is NULL: has the class,
 * which is small, none left? mt_objects_put: NR objects of class C, and of
 * those that lend to it, back to their slabs.
 */
u32 mt_objects_get(u32 c, void **out, u32 nr, bool spare, bool *dry);
void mt_objects_put(u32 c, void **objs, u32 nr);

/*
 * Where are class C's objects? Of what is over pack_over, whole frames are runs
 * of frames; a power of two would have to be aligned to itself in packs, and
 * fits frames anyway. The modes want what slabs tell, and leave less to packs.
 */
static inline bool mt_in_runs(u32 c)
{
	u32 size = mt_sys.size_of[c];

	return size > mt_sys.pack_over && size % PAGE_SIZE == 0;
}

static inline bool mt_in_packs(u32 c)
{
	u32 size = mt_sys.size_of[c];

	return size > mt_sys.pack_over && size < MT_PACK_END &&
	       (size & (size - 1));
}

static inline bool mt_in_slabs(u32 c)
{
	return !mt_in_packs(c) && !mt_in_runs(c);
}

/* Frame of P, which lies in the span. */
static inline u64 mt_frame(const void *p)
{
	return (u64)((const char *)p - mt_base) >> PAGE_SHIFT;
}

static inline bool mt_in_span(const void *p)
{
	return (u64)((const char *)p - mt_base) < mt_sys.span;
}

/* The four grains of a frame, as one number. */
typedef u32 __attribute__((may_alias)) mt_frame_map;

#define MT_ALL_GRAINS(use) ((use)*0x01010101u)
MM_STATIC_ASSERT(PAGE_SIZE >> MT_GRAIN_SHIFT == sizeof(mt_frame_map),
		 "a frame's grains");

static inline mt_frame_map *mt_map_of(u64 f)
{
	return (mt_frame_map *)(void *)mt_map + f;
}

/* mt_use: what mt_map says of P, which lies in the span. */
static inline u32 mt_use(const void *p)
{
	return READ_ONCE(
		mt_map[(u64)((const char *)p - mt_base) >> MT_GRAIN_SHIFT]);
}

/* mt_mark: frame F is used for USE from now on, and dirty. */
static inline void mt_mark(u64 f, u32 use)
{
	if (!__atomic_exchange_n(mt_map_of(f), MT_ALL_GRAINS(use),
				 __ATOMIC_RELAXED))
		__atomic_fetch_add(&mt_sys.nr_dirty, 1, __ATOMIC_RELAXED);
}

/* ---- mt_cache.c -----------------------------------------------------------
 */

/* mt_malloc_slow: what malloc()'s short way cannot do. NULL with errno. */
void *mt_malloc_slow(size_t size);
/* mt_malloc_empty: the calling thread has no magazine of class C, or an empty
 * one. NULL with errno. mt_free_full: P in the span, of whose class it has
 * none, or a full one. */
void *mt_malloc_empty(size_t size, u32 c);
void mt_free_full(void *p);
/* mt_free_slow: P, for which free()'s short way is not enough. */
void mt_free_slow(void *p);
/*
 * mt_block_get: SIZE bytes at a multiple of ALIGN without a magazine, or NULL;
 * *ZEROED: are they zero? mt_block_put: back. mt_block_size: all of it.
 */
void *mt_block_get(size_t size, size_t align, bool *zeroed);
void mt_block_put(void *p);
size_t mt_block_size(const void *p);
/* mt_depot_count: into NR, by class, the objects that depots name. Not entered.
 */
void mt_depot_count(u32 nr[MT_NR_CLASSES]);
/* mt_cache_flush: all that the calling thread keeps goes to the slabs. */
void mt_cache_flush(void);
/* mt_depot_flush: what no thread owns goes to the slabs. */
void mt_depot_flush(void);
/* mt_cache_exit: the thread ends. */
void mt_cache_exit(void *self);
/* mt_cache_adopt: what SELF keeps, a thread that fork left behind, goes to
 * depots and slabs. */
void mt_cache_adopt(struct mt_self *self);
/* mt_cache_check: look for objects that the calling thread freed twice. */
void mt_cache_check(void);

/* ---- mt_fork.c ------------------------------------------------------------
 */

/* mt_fork_init: hooks for fork. False: there are none. */
bool mt_fork_init(void);
/* mt_fork: fork(2), whatever the others do in the library, boot it even. */
pid_t mt_fork(void);
/* mt_gate_wait: who boots, and has said so, waits until nobody else forks.
 * mt_gate_leave: the calling thread forks, but waits for the boot first. */
void mt_gate_wait(void);
void mt_gate_leave(void);
/* mt_thread_add, mt_thread_del: the calling thread has magazines, or not. */
void mt_thread_add(void);
void mt_thread_del(void);

/* ---- mt_guard.c: hardened and debug mode ----------------------------------
 */

/* mt_guard_init: at boot, before there is RAM. False: no memory. */
bool mt_guard_init(void);
/* mt_guard_alloc: SIZE bytes at a multiple of ALIGN, zeroed if ZERO; or NULL.
 */
void *mt_guard_alloc(size_t size, size_t align, bool zero);
void mt_guard_free(void *p);
/* mt_guard_realloc: P is not NULL, SIZE not 0. */
void *mt_guard_realloc(void *p, size_t size);
/* mt_guard_size: what was asked for P. */
size_t mt_guard_size(const void *p);
/* mt_guard_check: look at everything that is known. Reports what it finds;
 * returns how much, unless that aborts. */
u64 mt_guard_check(void);
/* mt_guard_lock: nobody is inside until mt_guard_unlock(); for fork. */
void mt_guard_lock(void);
void mt_guard_unlock(void);

/* ---- mt_options.c ---------------------------------------------------------
 */

/* mt_options_init: what MMKIT_OPTIONS asks for; mt_options_late: what can only
 * be had once the library is up. */
void mt_options_init(void);
void mt_options_late(void);
/* mt_mallopt: mallopt(3). 1, or 0: PARAM is unknown or VALUE out of range. */
int mt_mallopt(int param, int value);
/* mt_tunables_hold: the short ways go the slow one as far as the tunables want
 * it from now on. mt_open_end: entries of class_of that they leave open. */
void mt_tunables_hold(void);
u32 mt_open_end(void);

/* ---- mt_error.c -----------------------------------------------------------
 */

/* mt_say: text to standard error, without allocating. */
void mt_say(const char *text, size_t len);
/* mt_console: the same as sink of a seq_buf and of floor base's log. */
void mt_sink(void *arg, const char *text, size_t len);

/*
 * mt_bad: WHAT is wrong with P. Says so and aborts; returns if mallopt() asked
 * to go on, and then the caller leaves P alone. Not entered.
 */
void mt_bad(const char *what, const void *p);
/* mt_bad_end: abort, if that is the action. */
void mt_bad_end(void);
/* mt_put_finder: the running stack, from the library's caller on, to S; nothing
 * if mallopt() asked for less. Allocates nothing. */
struct seq_buf;
void mt_put_finder(struct seq_buf *s);
/* mt_own_frames: how many of the return addresses AT[NR], from the first on,
 * lie in the library, if it is a library. */
u32 mt_own_frames(const u64 *at, u32 nr);

/* ---- mt_large.c -----------------------------------------------------------
 */

/* mt_run_get: NR frames, the first at a multiple of ALIGN, for USE: MT_RUN or a
 * class; entered. NULL. mt_run_put: back. */
void *mt_run_get(u64 nr, u64 align, u32 use);
void mt_run_put(void *p, u64 nr);

/* mt_large: SIZE bytes with no class, at a multiple of ALIGN. NULL. */
void *mt_large(size_t size, size_t align, bool *zeroed);
/* mt_run_free, mt_map_free: P is the first byte of a run / outside RAM. */
void mt_run_free(void *p);
void mt_map_free(void *p);
/* mt_map_size: usable bytes behind P, outside RAM. */
size_t mt_map_size(const void *p);
/* mt_map_resize: P, a mapping, with SIZE bytes, maybe moved; NULL. */
void *mt_map_resize(void *p, size_t size);

/* ---- mt_pack.c ------------------------------------------------------------
 */

/* mt_pack_init: at boot. False: no memory. */
bool mt_pack_init(void);
/*
 * mt_pack_get: up to NR objects of class C into OUT; how many. mt_pack_put: NR
 * objects back; returns one that is none, which is left alone, or NULL.
 * Entered.
 */
u32 mt_pack_get(u32 c, void **out, u32 nr);
const void *mt_pack_put(u32 c, void **objs, u32 nr);
/* mt_pack_count: bytes of packs, and of objects handed out of them. */
void mt_pack_count(u64 *bytes, u64 *used);
/* mt_pack_trim: give back what is free. Entered. Returns frames. */
u64 mt_pack_trim(void);
/* mt_pack_idle: pages of packs that no object has part of; a hint. */
u64 mt_pack_idle(void);
/* mt_pack_check: MP-1 to MP-6. Nobody allocates. */
void mt_pack_check(void);
/* mt_pack_lock: nobody is inside until mt_pack_unlock(); for fork. */
void mt_pack_lock(void);
void mt_pack_unlock(void);

/* ---- mt_trim.c ------------------------------------------------------------
 */

/* mt_trim_due: are so many frames free and dirty that mt_trim() is due?
 * Entered. */
bool mt_trim_due(void);
/* mt_peak_due: are more frames dirty than ever, and so many of them free that
 * mt_trim_peak() is due? Entered. */
bool mt_peak_due_slow(s64 dirty);
static inline bool mt_peak_due(void)
{
	s64 dirty = __atomic_load_n(&mt_sys.nr_dirty, __ATOMIC_RELAXED);

	return unlikely(dirty > READ_ONCE(mt_sys.peak_dirty)) &&
	       mt_peak_due_slow(dirty);
}
/* mt_trim_peak: give back frames that are free and dirty. Not entered. */
void mt_trim_peak(void);
/* mt_give_back: the dirty frames of [F, END), which nobody uses, go back to the
 * system. Returns how many. */
u64 mt_give_back(u64 f, u64 end);
/* mt_trim: empty the depots and give back all free frames that are dirty.
 * Not entered. Returns the bytes given back. */
u64 mt_trim(void);

/* ---- mt_api.c: the C library's functions by other names -------------------
 */

void *mt_malloc(size_t size);
void mt_free(void *p);
void *mt_calloc(size_t n, size_t size);
void *mt_realloc(void *p, size_t size);
void *mt_memalign(size_t align, size_t size);
int mt_posix_memalign(void **out, size_t align, size_t size);
void *mt_memalign_any(size_t align, size_t size);
void *mt_aligned_alloc(size_t align, size_t size);
void *mt_reallocarray(void *p, size_t n, size_t size);
void *mt_valloc(size_t size);
void *mt_pvalloc(size_t size);
size_t mt_usable_size(const void *p);

/* ---- mt_info.c ------------------------------------------------------------
 */

struct mallinfo;
struct mallinfo2;
struct mallinfo2 mt_mallinfo2(void);
struct mallinfo mt_mallinfo(void);
int mt_malloc_info(int options, FILE *out);
int mt_malloc_trim(size_t pad);
void mt_malloc_stats(void);

/* ---- mt_report.c ----------------------------------------------------------
 */

struct mt_counts {
	u64 ram;    /* bytes of RAM that the process has touched */
	u64 used;   /* bytes of objects and runs handed out */
	u64 cached; /* bytes of objects in magazines of the depot */
	u64 mapped; /* bytes of mappings */
	u64 nr_maps;
	u64 packs, packed; /* bytes of packs, and of objects out of them */
	u64 nr_free; /* objects that are free: in slabs, and in the depot */
	u64 nr_depot;
};
void mt_count(struct mt_counts *out);
void mt_print_stats(int fd);
void mt_at_exit(void);

/* ---- the short ways -------------------------------------------------------
 *
 * A top is read and changed where it stands, which C can only say with the
 * words of the compilers for this machine.
 */

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && \
	!defined(__SANITIZE_ADDRESS__)
MM_STATIC_ASSERT(offsetof(struct mt_self, top) == 0, "tops come first");

/* How far the thread's tops are from where %fs points. */
static inline u64 mt_tops(void)
{
	u64 off;

	__asm__("movq mt_self@gottpoff(%%rip), %0" : "=r"(off));
	return off;
}

#define MT_TOP(tops, c) (((void **__seg_fs *)(tops))[c])
#define MT_MOVE(tops, c, words)                                     \
	__asm__ volatile("addq %2, %%fs:(%0,%1,8)"                  \
			 :                                          \
			 : "r"(tops), "r"((u64)(c)), "i"((words)*8) \
			 : "memory", "cc")
#else
static inline void ***mt_tops(void)
{
	return mt_self.top;
}

#define MT_TOP(tops, c)		((tops)[c])
#define MT_MOVE(tops, c, words) ((tops)[c] += (words))
#endif

static inline void *mt_malloc_inline(size_t size)
{
	__typeof__(mt_tops()) tops;
	void *p;
	u32 c;

	if (unlikely(size > MT_CLASS_MAX))
		return mt_malloc_slow(size);
	/* Another thread may be making more of the table. */
	c = READ_ONCE(mt_sys.class_of[(size + 7) >> 3]);
	tops = mt_tops();
	p = MT_TOP(tops, c)[-1];
	if (unlikely(!p))
		return mt_malloc_empty(size, c);
	MT_MOVE(tops, c, -1);
	return p;
}

static inline void mt_free_inline(void *p)
{
	u64 off = (u64)((char *)p - mt_base);
	__typeof__(mt_tops()) tops;
	void **top;
	u32 c;

	if (unlikely(off >= mt_span)) {
		mt_free_slow(p);
		return;
	}
	c = READ_ONCE(mt_map[off >> MT_GRAIN_SHIFT]);
	tops = mt_tops();
	top = MT_TOP(tops, c);
	if (unlikely((u64)top % MT_MAG_BYTES == 0)) {
		mt_free_full(p);
		return;
	}
	*top = p;
	MT_MOVE(tops, c, 1);
}

#endif
