/* SPDX-License-Identifier: MIT */
/*
 * compare.c - did both sides do the same?
 *
 * Everything is compared as it is; what is normalised stands here, and in
 * docs/DIFFERENTIAL.md with its reason.
 */
#include <stdarg.h>
#include <string.h>

#include "difflib.h"

static void describe_result(char *to, size_t max, const struct diff_result *r)
{
	int n = snprintf(to, max, "%lld (0x%llx)", (long long)r->ret,
			 (unsigned long long)r->ret);

	if (r->sig && n > 0 && (size_t)n < max)
		snprintf(to + n, max - (size_t)n,
			 ", signal %d code %d at 0x%llx", r->sig, r->code,
			 (unsigned long long)r->addr);
	else if (r->addr && n > 0 && (size_t)n < max)
		snprintf(to + n, max - (size_t)n, ", told 0x%llx",
			 (unsigned long long)r->addr);
}

struct text {
	char *at, *end;
};

static void __attribute__((format(printf, 2, 3)))
add(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->at, (size_t)(t->end - t->at), format, ap);
	va_end(ap);
	if (n > 0)
		t->at += n < t->end - t->at ? n : t->end - t->at - 1;
}

static void describe_flags(struct text *t, uint64_t f)
{
	static const char *const names[] = {
#define VF(id, text) text,
#include "vmflags.def"
#undef VF
	};

	for (unsigned i = 0; i < DIFF_NR_VF; i++)
		if (f >> i & 1)
			add(t, " %s", names[i]);
}

static void describe_maps(struct text *t, const uint64_t *w)
{
	for (uint64_t i = 0; i < w[0]; i++) {
		const uint64_t *m = w + 1 + DIFF_MAP_WORDS * i;

		add(t, "    %012llx-%012llx %c%c%c%c", (unsigned long long)m[0],
		    (unsigned long long)(m[1] & ~0xfffull),
		    m[1] & DIFF_R ? 'r' : '-', m[1] & DIFF_W ? 'w' : '-',
		    m[1] & DIFF_X ? 'x' : '-', m[1] & DIFF_SHARED ? 's' : 'p');
		describe_flags(t, m[2]);
		if (m[4])
			add(t, " file %u at %llu", (unsigned)(m[4] & 0xff),
			    (unsigned long long)(m[4] >> 8));
		if (m[3])
			add(t, " rss %u pss %u anon %u locked %u",
			    (unsigned)(m[3] >> 48),
			    (unsigned)(m[3] >> 32 & 0xffff),
			    (unsigned)(m[3] >> 16 & 0xffff),
			    (unsigned)(m[3] & 0xffff));
		add(t, "\n");
	}
}

static void describe_pages(struct text *t, const uint64_t *w)
{
	for (uint64_t i = 0; i < w[0]; i++)
		add(t, "    page %012llx%s%s%s %016llx\n",
		    (unsigned long long)(w[1 + 2 * i] & ~0xfffull),
		    w[1 + 2 * i] & DIFF_PG_ZERO ? " zero" : "",
		    w[1 + 2 * i] & DIFF_PG_SWAP ? " swap" : "",
		    w[1 + 2 * i] & DIFF_PG_FILE ? " file" : "",
		    (unsigned long long)w[2 + 2 * i]);
}

/* NR of them, the last ones. */
static void describe_files(struct text *t, const uint64_t *w, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		if (w[2 * i] != ~0ul)
			add(t, "    f%u 0x%llx bytes %016llx\n",
			    DIFF_NR_FDS - nr + i, (unsigned long long)w[2 * i],
			    (unsigned long long)w[2 * i + 1]);
}

static void describe_snapshot(struct text *t, const char *who,
			      const struct diff_result *r, const uint64_t *blob)
{
	const uint64_t *w = blob + r->blob;
	uint64_t at = 1 + DIFF_MAP_WORDS * w[0];

	add(t, "  %s:\n", who);
	describe_maps(t, w);
	if (r->words <= at)
		return;
	describe_pages(t, w + at);
	at += 1 + 2 * w[at];
	if (r->words > at)
		describe_files(t, w + at, (unsigned)(r->words - at) / 2);
}

static bool same_result(const struct diff_result *a,
			const struct diff_result *b)
{
	return a->ret == b->ret && a->sig == b->sig && a->code == b->code &&
	       a->addr == b->addr && a->words == b->words;
}

/* Which words of which kind differ in two snapshots. */
static void snapshot_kind(struct text *t, const uint64_t *a, uint32_t na,
			  const uint64_t *b, uint32_t nb)
{
	uint64_t maps = 1 + DIFF_MAP_WORDS * a[0], off[DIFF_MAP_WORDS] = {0};

	if (a[0] != b[0]) {
		add(t, " shape");
		return;
	}
	for (uint64_t i = 1; i < maps; i++)
		off[(i - 1) % DIFF_MAP_WORDS] |= a[i] ^ b[i];
	add(t, " maps %d%d flags %llx sizes %llx file %d", off[0] != 0,
	    (int)(off[1] & 0xfff), (unsigned long long)off[2],
	    off[3] ? 1ull : 0ull, off[4] != 0);
	if (na != nb ||
	    (na > maps && memcmp(a + maps, b + maps, 8ul * (na - maps)) != 0))
		add(t, " pages");
}

/* An errno, or 0 for what is none. */
static int errno_of(int64_t ret)
{
	return ret < 0 && ret >= -4095 ? (int)ret : 0;
}

void compare_kind(const struct seq *s, uint32_t i, const struct outcome *host,
		  const struct outcome *sim, char *kind, size_t max)
{
	const struct diff_result *a = &host->res[i], *b = &sim->res[i];
	struct text t = {kind, kind + max};

	add(&t, "%s %d %d %d signal %d %d code %d %d at %d",
	    a->words ? "snapshot" : diff_call_name[s->op[i].call],
	    errno_of(a->ret), errno_of(b->ret), a->ret != b->ret, a->sig,
	    b->sig, a->code, b->code, a->addr != b->addr);
	if (a->words && b->words)
		snapshot_kind(&t, host->blob + a->blob, a->words,
			      sim->blob + b->blob, b->words);
}

/*
 * Linux reads another process's memory through pins, and a page that is pinned
 * gets an owner: who shared it has a copy then. mmkit copies nothing. So what
 * depends on the number of sharers is not compared from there on.
 */
static void forget_shares(const struct diff_result *r, uint64_t *blob)
{
	uint64_t *w = blob + r->blob;

	for (uint64_t i = 0; r->words && i < w[0]; i++)
		w[DIFF_MAP_WORDS * i + 4] &= 0xffff0000ffff0000ul;
}

/* Does a mapping with this last word show a file of which it is not compared
 * what is cached, in a sequence with USES? */
static bool is_lazy(uint64_t word, uint32_t uses)
{
	uint64_t id = word & 0xff;

	if (id == DIFF_ID_A || id == DIFF_ID_B)
		return true;
	return id >= DIFF_ID_MEMFD && (uses & DIFF_USES_ALLOC);
}

static bool at_lazy(const uint64_t *w, uint64_t addr, uint32_t uses)
{
	for (uint64_t i = 0; i < w[0]; i++) {
		const uint64_t *m = w + 1 + DIFF_MAP_WORDS * i;

		if (addr >= m[0] && addr < (m[1] & ~0xffful))
			return is_lazy(m[4], uses);
	}
	return false;
}

/* What is not compared of a snapshot's pages. */
struct forget {
	uint32_t uses; /* DIFF_USES_*: pages of files whose cache is lazy */
	bool zeroes;
};

static bool forgotten(const struct forget *f, const uint64_t *w, uint64_t page)
{
	if (page & DIFF_PG_ZERO)
		return f->zeroes;
	return (page & DIFF_PG_FILE) && at_lazy(w, page & ~0xffful, f->uses);
}

static void forget_pages(const struct forget *f, struct diff_result *r,
			 uint64_t *w)
{
	uint64_t *page, kept = 0, maps = 1 + DIFF_MAP_WORDS * w[0];
	uint64_t nr = w[maps], rest = r->words - maps - 1 - 2 * nr;

	page = w + maps + 1;
	for (uint64_t i = 0; i < nr; i++)
		if (!forgotten(f, w, page[2 * i]))
			memmove(page + 2 * kept++, page + 2 * i, 16);
	memmove(page + 2 * kept, page + 2 * nr, 8 * rest);
	w[maps] = kept;
	r->words -= (uint32_t)(2 * (nr - kept));
}

/*
 * Which pages of a file with a disk are mapped depends on what of it is
 * cached, so on read-ahead; and pages that fallocate made in memory are mapped
 * ahead of their use by mmkit alone: not compared. Private copies are.
 */
static void forget(const struct forget *f, struct diff_result *r,
		   uint64_t *blob)
{
	uint64_t *w = blob + r->blob;

	if (!r->words || !((f->uses & DIFF_LAZY) || f->zeroes))
		return;
	for (uint64_t i = 0; i < w[0]; i++)
		if (is_lazy(w[5 + DIFF_MAP_WORDS * i], f->uses))
			w[4 + DIFF_MAP_WORDS * i] &= 0xffff0000ul;
	if (r->words > 1 + DIFF_MAP_WORDS * w[0])
		forget_pages(f, r, w);
}

int compare(const struct seq *s, const struct outcome *host,
	    const struct outcome *sim, char *why, size_t max)
{
	struct text t = {why, why + max};
	struct forget f = {seq_uses(s), false};
	bool unshared = false;

	for (uint32_t i = 0; i < sim->nr; i++) {
		struct diff_result *a = &host->res[i], *b = &sim->res[i];
		char line[256];

		f.zeroes = i >= sim->zeroes;
		forget(&f, a, host->blob);
		forget(&f, b, sim->blob);
		unshared |= s->op[i].call == OP_PVREAD;
		if (unshared) {
			forget_shares(a, host->blob);
			forget_shares(b, sim->blob);
		}
		if (same_result(a, b) &&
		    memcmp(host->blob + a->blob, sim->blob + b->blob,
			   8ul * a->words) == 0)
			continue;
		op_print(&s->op[i], line, sizeof(line));
		add(&t, "operation %u: %s\n", i, line);
		describe_result(line, sizeof(line), a);
		add(&t, "  Linux: %s\n", line);
		describe_result(line, sizeof(line), b);
		add(&t, "  mmkit: %s\n", line);
		if (a->words && b->words) {
			describe_snapshot(&t, "Linux", a, host->blob);
			describe_snapshot(&t, "mmkit", b, sim->blob);
		}
		return (int)i;
	}
	return -1;
}
