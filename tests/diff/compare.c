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
		const uint64_t *m = w + 1 + 3 * i;

		add(t, "    %012llx-%012llx %c%c%c%c", (unsigned long long)m[0],
		    (unsigned long long)(m[1] & ~0xfffull),
		    m[1] & DIFF_R ? 'r' : '-', m[1] & DIFF_W ? 'w' : '-',
		    m[1] & DIFF_X ? 'x' : '-', m[1] & DIFF_SHARED ? 's' : 'p');
		describe_flags(t, m[2]);
		add(t, "\n");
	}
}

static void describe_pages(struct text *t, const uint64_t *w)
{
	for (uint64_t i = 0; i < w[0]; i++)
		add(t, "    page %012llx%s%s %016llx\n",
		    (unsigned long long)(w[1 + 2 * i] & ~0xfffull),
		    w[1 + 2 * i] & DIFF_PG_ZERO ? " zero" : "",
		    w[1 + 2 * i] & DIFF_PG_SWAP ? " swap" : "",
		    (unsigned long long)w[2 + 2 * i]);
}

static void describe_snapshot(struct text *t, const char *who,
			      const struct diff_result *r, const uint64_t *blob)
{
	const uint64_t *w = blob + r->blob;

	add(t, "  %s:\n", who);
	describe_maps(t, w);
	if (r->words > 1 + 3 * w[0])
		describe_pages(t, w + 1 + 3 * w[0]);
}

static bool same_result(const struct diff_result *a,
			const struct diff_result *b)
{
	return a->ret == b->ret && a->sig == b->sig && a->code == b->code &&
	       a->addr == b->addr && a->words == b->words;
}

int compare(const struct seq *s, const struct outcome *host,
	    const struct outcome *sim, char *why, size_t max)
{
	struct text t = {why, why + max};

	for (uint32_t i = 0; i < sim->nr; i++) {
		const struct diff_result *a = &host->res[i], *b = &sim->res[i];
		char line[256];

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
