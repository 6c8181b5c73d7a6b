/* SPDX-License-Identifier: MIT */
/*
 * slab_debug.c - caches that check their objects, and what is said when
 * something is wrong.
 *
 * 1. Purpose. Find who writes where he should not, while it can still be told
 *    which object it was and who had it.
 *
 * 2. Structures. A debug cache fills what users must not touch with known
 *    bytes: red zones beside the object (0xbb while it is free, 0xcc while it
 *    is in use), the object itself while it is free (0x6b, last byte 0xa5),
 *    padding (0x5a). With SLAB_STORE_USER it keeps two tracks, of the last
 *    allocation and the last free (slab_track.c).
 *
 * 3. Way. Each allocation and free takes the node's lock and looks at the
 *    object first. What is found is reported in the form of Linux's SLUB, with
 *    the stack that noticed it, and the slab is set aside: its frames get a
 * mark of no cache, so that nothing of it is given out again and frees into it
 * are ignored.
 *
 * 4. Invariants.
 *    SD-1  A debug cache's slab is on its node's partial or full list, or it
 *          is set aside; it is never frozen.
 *    SD-2  Without SLAB_CONSISTENCY_CHECKS bytes are written but not looked
 *          at (slab_validate() does), as slub_debug= says.
 *
 * 5. Failure. Reports never stop the machine.
 *
 * References: Linux documentation, mm/slub (slub_debug, sample report).
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/printk.h"
#include "kmem/slab_priv.h"
#include "phys/vmstat.h"

#define RED_INACTIVE 0xbb
#define RED_ACTIVE   0xcc
#define POISON_INUSE 0x5a
#define POISON_FREE  0x6b
#define POISON_END   0xa5
#define DUMP_ROW     16u
#define DUMP_MAX     256u
#define FINDER_DEPTH 24u

typedef unsigned long long ull;

/* ---- reports
 * ---------------------------------------------------------------------------
 */

/* Bytes [P, P + LEN) under NAME, sixteen to a line. */
static void print_section(const char *name, const void *p, u32 len)
{
	const u8 *b = p;

	for (u32 at = 0; at < len; at += DUMP_ROW) {
		char hex[3 * DUMP_ROW + 1], text[DUMP_ROW + 1];
		u32 n = min(len - at, DUMP_ROW);

		hex[0] = 0;
		for (u32 i = 0; i < n; i++) {
			u8 c = b[at + i];

			mm_snprintf(hex + 3 * i, 4, " %02x", c);
			text[i] = (char)(c >= 0x20 && c < 0x7f ? c : '.');
		}
		text[n] = 0;
		pr_err("%-8s %llx:%-48s  %s", name, (ull)(uintptr_t)(b + at),
		       hex, text);
	}
}

static void print_slab_info(const struct page *slab)
{
	union slab_word w = slab_word(slab);

	pr_err("Slab 0x%llx objects=%u used=%u fp=0x%llx flags=0x%x",
	       (ull)(uintptr_t)slab_base(slab), w.objects, w.inuse,
	       (ull)(uintptr_t)slab_at(slab, w.head), READ_ONCE(slab->flags));
}

/* All that is known of an object of SLAB. */
static void print_trailer(const struct kmem_cache *s, const struct page *slab,
			  const void *obj)
{
	const struct slab_layout *l = &s->layout;
	const char *p = obj;
	u64 off = (u64)(p - slab_base(slab));

	slab_print_tracks(s, obj);
	print_slab_info(slab);
	pr_err("Object 0x%llx @offset=%llu fp=0x%llx", (ull)(uintptr_t)obj,
	       (ull)off, (ull)(uintptr_t)get_link(s, obj));
	if (l->red_left)
		print_section("Redzone", p - l->red_left, l->red_left);
	print_section("Object", p, min(s->object_size, DUMP_MAX));
	if (s->flags & SLAB_RED_ZONE)
		print_section("Redzone", p + s->object_size,
			      l->inuse - s->object_size);
	if (l->end < l->size - l->red_left)
		print_section("Padding", p + l->end,
			      min(l->size - l->red_left - l->end, DUMP_MAX));
}

static void print_head(const struct kmem_cache *s, const char *text)
{
	pr_err("==========================================================="
	       "==================");
	pr_err("BUG %s (Not tainted): %s", s ? s->name : "unknown", text);
	pr_err("-----------------------------------------------------------"
	       "------------------");
	__atomic_fetch_add(&kmem_sys.nr_bugs, 1, __ATOMIC_RELAXED);
}

/* Where the mistake was noticed: of a second free, who frees again. */
static void print_finder(void)
{
	u64 entry[FINDER_DEPTH];
	u32 nr = port_stack_trace(entry, ARRAY_SIZE(entry));
	char text[128];

	pr_err("CPU: %d PID: %d", port_cpu(),
	       port_in_irq() ? 0 : port_current()->pid);
	pr_err("Call Trace:");
	for (u32 i = 0; i < nr; i++) {
		port_symbol(entry[i], text, sizeof(text));
		pr_err(" %s", text);
	}
}

/* The object of S that P, in its SLAB, points into; NULL: into none. */
static const char *object_around(const struct kmem_cache *s,
				 const struct page *slab, const void *p)
{
	const struct slab_layout *l = &s->layout;
	u64 off = (u64)((const char *)p - slab_base(slab)) - l->red_left;

	if (off >= (u64)slab_word(slab).objects * l->size)
		return NULL;
	return slab_base(slab) + l->red_left +
	       (u64)slab_index(l, (u32)off) * l->size;
}

/* What AT's pointer points into, which need not be an object of AT's cache. */
static void print_spot(const struct slab_spot *at)
{
	struct kmem_cache *s = mark_cache(frame_mark(at->slab));
	bool known = frame_of_cache(at->slab, s);
	const char *obj =
		known && at->obj ? object_around(s, at->slab, at->obj) : NULL;

	if (at->obj && obj != at->obj)
		pr_err("Pointer 0x%llx @offset=%llu", (ull)(uintptr_t)at->obj,
		       (ull)((const char *)at->obj - slab_base(at->slab)));
	if (known && s != at->s)
		pr_err("Its slab is of cache %s", s->name);
	if (obj)
		print_trailer(s, at->slab, obj);
	else if (PageSlab(at->slab))
		print_slab_info(at->slab);
}

void slab_bug(const struct slab_spot *at, const char *text)
{
	mm_assert(at->slab != NULL && text != NULL);
	print_head(at->s, text);
	print_spot(at);
	print_finder();
}

/* ---- setting aside
 * --------------------------------------------------------------------- */

void slab_quarantine(struct kmem_cache *s, struct page *slab)
{
	struct kmem_cache_node *n = slab_node(s, slab);
	union slab_word old = slab_word(slab), new;

	do {
		if (old.flags & SLAB_QUARANTINED)
			return;
		new = old;
		new.head = 0;
		new.flags = SLAB_QUARANTINED;
	} while (!slab_word_cmpxchg(slab, &old, new));
	for (u64 i = 0; i < compound_nr(slab); i++)
		WRITE_ONCE(slab[i].mapcount, QUARANTINE_MARK);
	slab_check_frees();
	__atomic_fetch_sub(&n->nr_slabs, 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&n->nr_objects, old.objects, __ATOMIC_RELAXED);
	__atomic_fetch_add(&kmem_sys.nr_quarantined, 1, __ATOMIC_RELAXED);
	pr_err("FIX %s: slab 0x%llx is not used any more", s->name,
	       (ull)(uintptr_t)slab_base(slab));
}

void slab_broken_link(struct kmem_cache *s, struct page *slab, const void *obj)
{
	struct slab_spot at = {s, slab, obj};

	slab_bug(&at, "Freepointer corrupt");
	slab_quarantine(s, slab);
}

/* ---- known bytes
 * ------------------------------------------------------------------------ */

/* Fill everything of OBJ that is not its user's; VAL is the red zones'. */
static void init_object(const struct kmem_cache *s, void *obj, u8 val)
{
	const struct slab_layout *l = &s->layout;
	u8 *p = obj;

	if (s->flags & SLAB_RED_ZONE) {
		mm_memset(p - l->red_left, val, l->red_left);
		mm_memset(p + s->object_size, val, l->inuse - s->object_size);
	}
	if (l->poison) {
		mm_memset(p, POISON_FREE, s->object_size - 1);
		p[s->object_size - 1] = POISON_END;
	}
}

void debug_setup_slab(struct kmem_cache *s, struct page *slab)
{
	u32 bytes = (u32)(PAGE_SIZE << compound_order(slab));
	u32 objects = slab_order_objects(compound_order(slab), s->layout.size,
					 s->layout.reserved);
	char *obj = slab_base(slab) + s->layout.red_left;

	if (s->flags & (SLAB_POISON | SLAB_RED_ZONE))
		mm_memset(slab_base(slab), POISON_INUSE, bytes);
	for (u32 i = 0; i < objects; i++, obj += s->layout.size) {
		init_object(s, obj, RED_INACTIVE);
		slab_clear_tracks(s, obj);
	}
}

/* Bytes of a slab that should all be VAL. */
struct span {
	const char *what;
	const u8 *p;
	u32 len;
	u8 val;
};

static bool check_span(const struct slab_spot *at, const struct span *r)
{
	const u8 *bad = mm_memchr_inv(r->p, r->val, r->len), *end;
	char text[64];

	if (likely(!bad))
		return true;
	end = r->p + r->len;
	while (end[-1] == r->val)
		end--;
	mm_snprintf(text, sizeof(text), "%s overwritten", r->what);
	print_head(at->s, text);
	pr_err("0x%llx-0x%llx @offset=%llu. First byte 0x%x instead of 0x%x",
	       (ull)(uintptr_t)bad, (ull)(uintptr_t)(end - 1),
	       (ull)((const char *)bad - slab_base(at->slab)), *bad, r->val);
	print_trailer(at->s, at->slab, at->obj);
	print_finder();
	return false;
}

static bool check_red_zones(const struct slab_spot *at, u8 val)
{
	const struct slab_layout *l = &at->s->layout;
	u32 size = at->s->object_size;
	const u8 *p = at->obj;
	const struct span left = {"Left Redzone", p - l->red_left, l->red_left,
				  val},
			  right = {"Right Redzone", p + size, l->inuse - size,
				   val};

	if (!(at->s->flags & SLAB_RED_ZONE))
		return true;
	return check_span(at, &left) && check_span(at, &right);
}

static bool check_poison(const struct slab_spot *at)
{
	const struct slab_layout *l = &at->s->layout;
	u32 size = at->s->object_size;
	const u8 *p = at->obj;
	const struct span body = {"Poison", p, size - 1, POISON_FREE},
			  end = {"End Poison", p + size - 1, 1, POISON_END};

	if (!l->poison)
		return true;
	return check_span(at, &body) && check_span(at, &end);
}

/* Between the last thing of an object and the next object. */
static bool check_padding(const struct slab_spot *at)
{
	const struct slab_layout *l = &at->s->layout;
	const struct span pad = {"Object padding", (const u8 *)at->obj + l->end,
				 l->size - l->red_left - l->end, POISON_INUSE};

	if (!(at->s->flags & (SLAB_POISON | SLAB_RED_ZONE)))
		return true;
	return check_span(at, &pad);
}

/* Is everything about OBJ as it should be? VAL tells free from in use. */
static bool check_object(const struct slab_spot *at, u8 val)
{
	void *next;

	if (!check_red_zones(at, val) || !check_padding(at))
		return false;
	if (val == RED_ACTIVE)
		return true;
	if (!check_poison(at))
		return false;
	if (follow_link(at->s, at->slab, at->obj, &next))
		return true;
	slab_bug(at, "Freepointer corrupt");
	return false;
}

/* ---- allocation and freeing
 * ---------------------------------------------------------------- */

bool debug_alloc_check(struct kmem_cache *s, struct page *slab, void *obj)
{
	struct slab_spot at = {s, slab, obj};

	if (!(s->flags & SLAB_CONSISTENCY_CHECKS))
		return true;
	return check_object(&at, RED_INACTIVE);
}

static void trace_object(const struct kmem_cache *s, const void *obj,
			 const char *what)
{
	const struct page *slab = compound_head(view_to_page(obj));
	union slab_word w = slab_word(slab);

	if (s->flags & SLAB_TRACE)
		pr_info("TRACE %s %s 0x%llx inuse=%u fp=0x%llx", s->name, what,
			(ull)(uintptr_t)obj, w.inuse,
			(ull)(uintptr_t)slab_at(slab, w.head));
}

void debug_alloc_done(struct kmem_cache *s, void *obj, u64 caller)
{
	slab_set_track(s, obj, TRACK_ALLOC, caller);
	init_object(s, obj, RED_ACTIVE);
	trace_object(s, obj, "alloc");
}

/* Is OBJ on SLAB's list of free objects? */
static bool on_list(struct kmem_cache *s, struct page *slab, const void *obj)
{
	union slab_word w = slab_word(slab);
	void *p = slab_at(slab, w.head);

	for (u32 i = 0; p && i < w.objects; i++) {
		if (p == obj)
			return true;
		if (!follow_link(s, slab, p, &p))
			return false;
	}
	return false;
}

enum free_verdict { FREE_FINE, FREE_IGNORE, FREE_QUARANTINE };

/* May OBJ be freed? Reports if not. */
static enum free_verdict judge_free(const struct slab_spot *at)
{
	if (!slab_has_object(at->s, at->slab, at->obj)) {
		slab_bug(at, "Invalid object pointer");
		return FREE_IGNORE;
	}
	if (!slab_word(at->slab).inuse) {
		slab_bug(at, "Object already free");
		return FREE_IGNORE;
	}
	if (!(at->s->flags & SLAB_CONSISTENCY_CHECKS))
		return FREE_FINE;
	if (on_list(at->s, at->slab, at->obj)) {
		slab_bug(at, "Object already free");
		return FREE_IGNORE;
	}
	return check_object(at, RED_ACTIVE) ? FREE_FINE : FREE_QUARANTINE;
}

/* Take SLAB, which is not frozen, off the list that its word says. */
static void unlist_slab(struct kmem_cache_node *n, struct page *slab)
{
	page_list_del(slab_word(slab).head ? &n->partial : &n->full, slab);
}

/* The free itself. Returns the slab if it is to be released. */
static struct page *put_checked(struct kmem_cache *s, struct kmem_cache_node *n,
				struct page *slab, void *obj)
{
	union slab_word w = slab_word(slab);
	bool empty = w.inuse == 1 && n->partial.count > s->min_partial &&
		     !port_in_irq();

	unlist_slab(n, slab);
	set_link(s, obj, slab_at(slab, w.head));
	w.head = slab_head(slab, obj);
	w.inuse--;
	set_page_mapping_word(slab, w.all);
	if (!empty)
		node_list_slab(s, n, slab, w);
	return empty ? slab : NULL;
}

void debug_free(struct kmem_cache *s, struct page *slab, void *obj, u64 caller)
{
	struct kmem_cache_node *n = slab_node(s, slab);
	struct slab_spot at = {s, slab, obj};
	struct page *release = NULL;
	enum free_verdict verdict;
	unsigned long flags;

	spin_lock_irqsave(&n->list_lock, flags);
	if (slab_word(slab).flags & SLAB_QUARANTINED)
		verdict = FREE_IGNORE; /* while we waited */
	else
		verdict = judge_free(&at);
	if (verdict == FREE_FINE) {
		slab_set_track(s, obj, TRACK_FREE, caller);
		trace_object(s, obj, "free");
		init_object(s, obj, RED_INACTIVE);
		release = put_checked(s, n, slab, obj);
	} else if (verdict == FREE_QUARANTINE) {
		unlist_slab(n, slab);
		slab_quarantine(s, slab);
	}
	spin_unlock_irqrestore(&n->list_lock, flags);
	if (release)
		slab_release(s, release);
}

/* ---- looking at everything
 * --------------------------------------------------------------- */

void slab_mark_free(struct kmem_cache *s, const struct page *slab, u64 *bits)
{
	union slab_word w = slab_word(slab);
	void *p = slab_at(slab, w.head);

	for (u32 i = 0; p && i < w.objects; i++) {
		u32 off =
			(u32)((char *)p - slab_base(slab)) - s->layout.red_left;
		u32 index = slab_index(&s->layout, off);

		bits[index / 64] |= BIT(index % 64);
		if (!follow_link(s, slab, p, &p))
			break;
	}
}

static bool validate_slab(struct kmem_cache *s, struct page *slab)
{
	u64 bits[SLAB_OBJECT_BITS] = {0};
	u32 objects = slab_word(slab).objects;
	char *obj = slab_base(slab) + s->layout.red_left;

	slab_mark_free(s, slab, bits);
	for (u32 i = 0; i < objects; i++, obj += s->layout.size) {
		struct slab_spot at = {s, slab, obj};
		bool is_free = bits[i / 64] >> i % 64 & 1;

		if (!check_object(&at, is_free ? RED_INACTIVE : RED_ACTIVE))
			return false;
	}
	return true;
}

static u64 validate_list(struct kmem_cache *s, struct page_list *list)
{
	struct page *slab, *next;
	u64 bad = 0;

	for (slab = page_list_first(list); slab; slab = next) {
		next = page_list_next(slab);
		if (validate_slab(s, slab))
			continue;
		page_list_del(list, slab);
		slab_quarantine(s, slab);
		bad++;
	}
	return bad;
}

u64 slab_validate(struct kmem_cache *s)
{
	u64 bad = 0;

	for (int node = 0; node < MM_MAX_NODES && slab_is_debug(s); node++) {
		struct kmem_cache_node *n = smp_load_acquire(&s->node[node]);
		unsigned long flags;

		if (!n)
			continue;
		spin_lock_irqsave(&n->list_lock, flags);
		bad += validate_list(s, &n->partial);
		bad += validate_list(s, &n->full);
		spin_unlock_irqrestore(&n->list_lock, flags);
	}
	return bad;
}

/* ---- leaks
 * ------------------------------------------------------------------------------
 */

#define LEAKS_LISTED 64u

static void report_leaks_in(struct kmem_cache *s, struct page *slab, void *arg)
{
	u64 bits[SLAB_OBJECT_BITS] = {0};
	union slab_word w = slab_word(slab);
	char *obj = slab_base(slab) + s->layout.red_left;
	u32 *listed = arg;

	if (!w.inuse)
		return;
	print_slab_info(slab);
	slab_mark_free(s, slab, bits);
	for (u32 i = 0; i < w.objects; i++, obj += s->layout.size) {
		if (bits[i / 64] >> i % 64 & 1)
			continue;
		if (++*listed > LEAKS_LISTED)
			return;
		pr_err("Object 0x%llx @offset=%llu", (ull)(uintptr_t)obj,
		       (ull)(obj - slab_base(slab)));
		slab_print_tracks(s, obj);
	}
}

void slab_report_leaks(struct kmem_cache *s)
{
	char text[128];
	u32 listed = 0;

	mm_snprintf(text, sizeof(text),
		    "Objects remaining in %s on __kmem_cache_shutdown()",
		    s->name);
	print_head(s, text);
	slab_for_each_of(s, report_leaks_in, &listed);
}
