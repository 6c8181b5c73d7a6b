/* SPDX-License-Identifier: MIT */
/*
 * explain_tlb.c - what the TLBs of a booted machine hold of an address, and
 * whether an access would hit.
 *
 * 1. A CPU asks its TLB before any table. This says where it would look, each
 *    entry that is there, on whatever CPU and for whatever ASID, and the
 *    verdict. It looks at the simulated TLBs themselves (sim_tlb_covering()),
 *    charges nothing and fills nothing in.
 *
 * 2. An access hits if the running CPU has an entry of the page, of the ASID
 *    that is asked for or global, which grants the access to who makes it.
 *    What is loaded for user code says nothing of SMEP and SMAP: there the
 *    rules of the walk decide, as in a CPU.
 *
 * 3. An entry that does not say what the tables say is stale. A manager that
 *    flushes what it must leaves none, but for rights that were raised since.
 */
#include <stdio.h>

#include "arch/paging.h"
#include "base/assert.h"
#include "explain.h"
#include "sim.h"

#define LLU(x)	    ((unsigned long long)(x))
#define MAX_ENTRIES 16

struct tlb_asked {
	const struct explain_target *t;
	const struct paging_walk *w;
	u64 linear;
	unsigned access; /* SIM_* */
	bool user;
	struct sim_tlb_where at;
	u32 nr;
	struct sim_tlb_place place[MAX_ENTRIES];
	u32 more; /* that found no room */
};

static void note_place(const struct sim_tlb_place *p, void *arg)
{
	struct tlb_asked *a = arg;

	if (a->nr < MAX_ENTRIES)
		a->place[a->nr++] = *p;
	else
		a->more++;
}

/* ---- the verdict
 * --------------------------------------------------------------- */

static bool is_users(const struct sim_tlb_place *p)
{
	return p->user != 0;
}

/* Why P does not serve the access; NULL: it does. */
static const char *useless(const struct tlb_asked *a,
			   const struct sim_tlb_place *p)
{
	unsigned rights = is_users(p) ? p->user : p->kernel;

	if (p->cpu != a->at.cpu)
		return "it is another CPU's";
	if (p->asid != a->t->asid && !p->e->global)
		return "it is of another ASID";
	if (a->user && !is_users(p))
		return "it is the supervisor's alone";
	if (a->access & ~rights)
		return a->access == SIM_WRITE && a->w->reason == PAGING_OK
			       ? "it was loaded without D, which a walk must "
				 "set"
			       : "it does not grant this access";
	if (!a->user && is_users(p) && a->w->reason != PAGING_OK)
		return paging_reason_text(a->w->reason);
	return NULL;
}

/* The entry that is hit, or NULL. */
static const struct sim_tlb_place *hit(const struct tlb_asked *a)
{
	for (u32 i = 0; i < a->nr; i++)
		if (!useless(a, &a->place[i]))
			return &a->place[i];
	return NULL;
}

static void say_miss(struct doc *d, const struct tlb_asked *a)
{
	const char *why = NULL;

	/* What comes nearest to a hit: of this CPU, then anybody's. */
	for (u32 i = 0; i < a->nr; i++)
		if (!why || a->place[i].cpu == a->at.cpu)
			why = useless(a, &a->place[i]);
	if (why)
		doc_str(d, "why",
			"the entry is of no use: %s; tables are walked", why);
	else
		doc_str(d, "why",
			"no CPU remembers this page: tables are walked");
}

/* Global pages are kept under no ASID's key, and the first level is for user
 * addresses. */
static void say_places(struct doc *d, const struct tlb_asked *a)
{
	struct sim_tlb_where global;

	if (a->linear < a->t->fmt->kernel_start) {
		doc_str(d, "looks at",
			"slot %u of %u, then set %u of %u (%u way%s)",
			a->at.slot, a->at.slots, a->at.set, a->at.sets,
			a->at.ways, a->at.ways == 1 ? "" : "s");
		return;
	}
	sim_tlb_where(a->linear, 0, &global);
	doc_str(d, "looks at",
		"set %u of %u (global pages), then set %u (%u way%s)",
		global.set, global.sets, a->at.set, a->at.ways,
		a->at.ways == 1 ? "" : "s");
}

static void say_verdict(struct doc *d, const struct tlb_asked *a)
{
	const struct sim_tlb_place *p = hit(a);

	doc_block(d, "tlb", "TLB of CPU %d: %s", a->at.cpu,
		  !p	     ? "miss"
		  : p->first ? "hit in the first level"
			     : "hit in the second level");
	doc_str(d, "looks for", "page 0x%llx of ASID %u%s",
		LLU(a->linear & PAGE_MASK), a->t->asid,
		a->at.loaded == a->t->asid ? "" : " (which is not loaded now)");
	say_places(d, a);
	doc_quiet_str(d, "verdict", p ? "hit" : "miss");
	doc_dec(d, "entries", a->nr + a->more);
	if (!p)
		say_miss(d, a);
	else
		doc_str(d, "why",
			"%s, and the rights suffice: no table is read",
			p->e->global ? "the page is the same (global: any ASID)"
				     : "page and ASID are the same");
}

/* ---- entries
 * ------------------------------------------------------------------- */

static const char *size_text(const struct paging_format *f, int level,
			     char *buf, size_t size)
{
	u64 span = pt_span(f, level);

	if (span >> 30)
		snprintf(buf, size, "%llu GiB", LLU(span >> 30));
	else if (span >> 20)
		snprintf(buf, size, "%llu MiB", LLU(span >> 20));
	else
		snprintf(buf, size, "%llu KiB", LLU(span >> 10));
	return buf;
}

/* Is there a page by the tables, whatever its rights? */
static bool leads_somewhere(const struct paging_walk *w)
{
	return w->reason != PAGING_NOT_PRESENT &&
	       w->reason != PAGING_RESERVED && w->reason != PAGING_BAD_TABLE;
}

/* Against the tables as they are now. */
static const char *agrees(const struct tlb_asked *a,
			  const struct sim_tlb_place *p)
{
	unsigned rights = is_users(p) ? p->user : p->kernel;
	u64 off = (a->linear - p->start) >> PAGE_SHIFT;

	if (!leads_somewhere(a->w))
		return "no: STALE, they have no page there";
	if (PFN_DOWN(a->w->pa) != p->e->pfn + off)
		return "no: STALE, they lead to another frame";
	if (((rights & SIM_WRITE) && !a->w->write) ||
	    ((rights & SIM_EXEC) && !a->w->exec))
		return "no: STALE, they grant less";
	return "yes";
}

static void say_entry(struct doc *d, const struct tlb_asked *a,
		      const struct sim_tlb_place *p)
{
	unsigned rights = is_users(p) ? p->user : p->kernel;
	const char *why = useless(a, p);
	char size[32];

	if (p->e->global)
		doc_block(d, "tlb-entry",
			  "TLB entry of CPU %d: page 0x%llx, global", p->cpu,
			  LLU(p->start));
	else
		doc_block(d, "tlb-entry",
			  "TLB entry of CPU %d: page 0x%llx, ASID %u", p->cpu,
			  LLU(p->start), p->asid);
	doc_str(d, "place", "set %u, way %u%s%s", p->set, p->way,
		p->large ? " of the large pages' array" : "",
		p->first ? "; the first level points to it" : "");
	doc_str(d, "page", "%s at 0x%llx",
		size_text(a->t->fmt, p->e->level, size, sizeof(size)),
		LLU(PFN_PHYS(p->e->pfn)));
	doc_str(d, "holds", "%s, read%s%s, %s",
		is_users(p) ? "user" : "supervisor",
		rights & SIM_WRITE ? ", write" : "",
		rights & SIM_EXEC ? ", execute" : "",
		p->e->global ? "global" : "not global");
	doc_quiet_hex(d, "cpu", (u64)p->cpu);
	doc_quiet_hex(d, "asid", p->asid);
	doc_quiet_hex(d, "start", p->start);
	doc_quiet_hex(d, "frame", p->e->pfn);
	doc_str(d, "usable", "%s%s", why ? "no: " : "yes", why ? why : "");
	doc_str(d, "as tables", "%s", agrees(a, p));
}

void explain_tlb(struct doc *d, const struct explain_target *t, u64 linear,
		 u32 access, const struct paging_walk *w)
{
	struct tlb_asked a = {.t = t,
			      .w = w,
			      .linear = linear,
			      .access = access & ~(u32)PAGING_USER,
			      .user = access & PAGING_USER};

	/* Refused before anything is looked up. */
	if (w->reason == PAGING_NONCANONICAL)
		return;
	sim_tlb_where(linear, t->asid, &a.at);
	sim_tlb_covering(linear, note_place, &a);
	say_verdict(d, &a);
	for (u32 i = 0; i < a.nr; i++)
		say_entry(d, &a, &a.place[i]);
}
