/* SPDX-License-Identifier: MIT */
/*
 * mt_finding.c - what hardened and debug mode say of a broken program.
 *
 *	mmkit-malloc: free(): overflow: 0x... (cache malloc-112)
 *	  object 0x... of 80 bytes, in use
 *	  2 bytes from 0x..., 0 bytes behind its end: 0x41 instead of 0xcc
 *	  0x...: 41 42 cc cc ...
 *	  allocated by thread 4711:
 *	    main+0x12/0x40
 *	  freed by thread 4712:
 *	    ...
 *	  found by thread 4711:
 *	    ...
 *
 * Nothing here allocates, nor is a lock held that a caller could want.
 */
#include "base/seqbuf.h"
#include "mt_records.h"

#define DUMP_BYTES 16u
#define LLX(x)	   ((unsigned long long)(uintptr_t)(x))
#define LLU(x)	   ((unsigned long long)(x))

static void put_cache(struct seq_buf *s, const struct mt_finding *f)
{
	const char *block = f->p;
	u32 c;

	if (f->of)
		block = (const char *)f->of->p - f->of->lead;
	if (!mt_in_span(block))
		return;
	c = mt_use(block);
	if (c >= MT_FIRST)
		seq_printf(s, " (cache malloc-%u)", mt_sys.size_of[c]);
}

static void put_object(struct seq_buf *s, const struct mt_finding *f)
{
	static const char *const states[] = {
		[MT_OBJ_LIVE] = "in use",
		[MT_OBJ_FREED] = "freed",
		[MT_OBJ_MOVING] = "freed",
		[MT_OBJ_GONE] = "freed, and its memory is used again"};
	const struct mt_record *r = f->of;
	uintptr_t p = (uintptr_t)f->p;

	seq_printf(s, "  object 0x%llx of %llu bytes, %s\n", LLX(r->p),
		   LLU(r->size), states[r->state]);
	if (p == r->p)
		return;
	if (p >= r->p && p < r->p + r->size)
		seq_printf(s, "  0x%llx is %llu bytes inside it\n", LLX(p),
			   LLU(p - r->p));
	else
		seq_printf(s, "  0x%llx lies beside it\n", LLX(p));
}

/* Where the first wrong byte lies, seen from the object. */
static void put_place(struct seq_buf *s, const struct mt_finding *f)
{
	uintptr_t at = (uintptr_t)f->bad, p = f->of->p, end = p + f->of->size;

	seq_printf(s, "  %llu wrong bytes from 0x%llx, ", LLU(f->nr_bad),
		   LLX(at));
	if (at < p)
		seq_printf(s, "%llu bytes before its begin", LLU(p - at));
	else if (at >= end)
		seq_printf(s, "%llu bytes behind its end", LLU(at - end));
	else
		seq_printf(s, "%llu bytes inside it", LLU(at - p));
	seq_printf(s, ": 0x%02x instead of 0x%02x\n ", *f->bad, f->want);
	for (size_t i = 0; i < min(f->nr_bad, (size_t)DUMP_BYTES); i++)
		seq_printf(s, " %02x", f->bad[i]);
	seq_puts(s, "\n");
}

static void put_track(struct seq_buf *s, const char *what,
		      const struct mt_track *t)
{
	if (!t->tid)
		return;
	seq_printf(s, "  %s by thread %d%s\n", what, t->tid,
		   t->stack ? ":" : "");
	stack_depot_print(s, t->stack, "    ");
}

void mt_report(const struct mt_finding *f)
{
	char text[256];
	struct seq_buf s;

	seq_buf_init_sink(&s, text, sizeof(text), mt_sink, NULL);
	seq_printf(&s, "mmkit-malloc: %s(): %s", f->func, f->what);
	if (!(mt_sys.tune.check_action & MT_ACT_SIMPLE)) {
		seq_printf(&s, ": 0x%llx", LLX(f->p));
		put_cache(&s, f);
	}
	seq_puts(&s, "\n");
	if (f->of && !(mt_sys.tune.check_action & MT_ACT_SIMPLE)) {
		put_object(&s, f);
		if (f->bad)
			put_place(&s, f);
		put_track(&s, "allocated", &f->of->alloc);
		put_track(&s, "freed", &f->of->free);
	}
	mt_put_finder(&s);
	seq_buf_flush(&s);
	mt_bad_end();
}

void mt_report_free(const char *func, const void *p)
{
	struct mt_finding f = {.func = func, .p = p};
	struct mt_record r;

	if (!mt_record_get((uintptr_t)p, &r) &&
	    !mt_record_around((uintptr_t)p, &r)) {
		f.what = "not a pointer of malloc";
	} else {
		f.of = &r;
		if (r.p == (uintptr_t)p)
			f.what = "double free";
		else if (r.state == MT_OBJ_LIVE)
			f.what = "pointer into an object";
		else
			f.what = "pointer into a freed object";
	}
	mt_report(&f);
}
