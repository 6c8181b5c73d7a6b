/* SPDX-License-Identifier: MIT */
/*
 * gen.c - random sequences of calls and touches.
 *
 * Ranges are drawn near each other and near the last ones, so that calls meet:
 * they split, overlap, adjoin and merge. A share of the arguments are the
 * values at which code goes wrong: 0, 1, a page less one, unaligned, sums that
 * overflow, the end of user space, the kernel's addresses, flags nobody knows.
 */
#include <string.h>

#include "base/prng.h"
#include "difflib.h"

#define NR_RECENT 12u
#define PAGES(n)  ((uint64_t)(n)*DIFF_PAGE)

unsigned gen_features;
enum gen_class gen_only = GEN_ANY;

struct gen {
	struct prng r;
	struct seq *s;
	uint64_t recent[NR_RECENT]; /* ends of ranges */
	uint32_t proc, alive, born;
	uint64_t first_fd; /* open files that are used */
	uint32_t nr_fds;   /* 0: none, nor shared memory */
	bool shared;	   /* anonymous memory that is */
	bool alloc;	   /* fallocate not for holes alone */
};

/* ---- what must not happen
 * ---------------------------------------------------------- */

/* Could a range of LEN bytes from ADDR reach the executor? */
static bool range_safe(uint64_t addr, uint64_t len)
{
	uint64_t from = addr & ~(DIFF_PAGE - 1);
	uint64_t end = addr + len;

	/* A range that wraps is an error, or empty. */
	if (from >= DIFF_LOW_END || end < addr)
		return true;
	/* The first page never holds anything. */
	return end <= DIFF_PAGE;
}

/* Would these be too many bytes to copy? A negative number is an error. */
static bool too_many(uint64_t len)
{
	return len > DIFF_POPULATE && len < 1ull << 63;
}

static bool advice_safe(const uint64_t *a, uint64_t advice)
{
	bool populates = advice == 22 || advice == 23;

	/* A range that wraps is refused as a whole. */
	return range_safe(a[0], a[1]) &&
	       !(populates && a[1] > DIFF_POPULATE && a[0] + a[1] >= a[0]);
}

/* None of the executor's own files. */
static bool file_safe(uint64_t fd)
{
	return fd >= DIFF_FD0 && fd < DIFF_FD0 + DIFF_NR_FDS;
}

/* May LEN bytes from OFF on be there? What is an error may: below 0, or beyond
 * what a file with a disk can have; one in memory has no such end on Linux. */
static bool extent_safe(uint64_t fd, uint64_t off, uint64_t len)
{
	if ((int64_t)off < 0 || (int64_t)len < 0)
		return true;
	if (off >= 1ull << 62 || len >= 1ull << 62)
		return fd < DIFF_FD0 + DIFF_FD_MEMFD;
	return off <= DIFF_SIZE && len <= DIFF_SIZE - off;
}

static bool mmap_safe(const uint64_t *a)
{
	/* POPULATE, LOCKED */
	if ((a[3] & 0xa000) && a[1] > DIFF_POPULATE)
		return false;
	return range_safe(a[0], a[1]) || a[1] > DIFF_TASK_SIZE ||
	       !(a[3] & 0x100010);
}

/* What is done to an open file without a mapping. */
static bool file_call_safe(const struct diff_op *op)
{
	const uint64_t *a = op->arg;

	if (!file_safe(a[0]))
		return false;
	switch (op->call) {
	case OP_FTRUNCATE:
		return extent_safe(a[0], a[1], 0);
	case OP_FALLOCATE:
		return extent_safe(a[0], a[2], a[3]);
	case OP_PREAD:
		return a[2] <= DIFF_IO;
	case OP_PWRITE:
		return a[2] <= DIFF_IO && extent_safe(a[0], a[1], a[2]);
	default:
		return true;
	}
}

/* The calls that name two ranges. */
static bool pair_safe(const struct diff_op *op)
{
	const uint64_t *a = op->arg;

	if (op->call == OP_PMADVISE)
		return advice_safe(a, a[4]) && advice_safe(a + 2, a[4]);
	return range_safe(a[0], a[1]) && range_safe(a[2], a[3]) &&
	       !(too_many(a[1]) && too_many(a[3]));
}

/* Nothing of the executor's own lies in a heap there. */
static bool brk_safe(uint64_t at)
{
	return at >= DIFF_LOW_END || at < DIFF_PAGE;
}

bool op_safe(const struct diff_op *op)
{
	const uint64_t *a = op->arg;

	if (diff_call_args[op->call][0] == 'F')
		return file_call_safe(op);
	switch (op->call) {
	case OP_MMAP:
		return mmap_safe(a);
	case OP_MMAPF:
		return mmap_safe(a) && file_safe(a[4]);
	case OP_MADVISE:
		return advice_safe(a, a[2]);
	case OP_MINCORE:
		return range_safe(a[0], a[1]) &&
		       a[1] <= DIFF_MINCORE * DIFF_PAGE &&
		       range_safe(a[2], a[1] / DIFF_PAGE + 1);
	case OP_PVREAD:
	case OP_PVWRITE:
	case OP_PMADVISE:
		return pair_safe(op);
	case OP_HEAP:
		return brk_safe(a[0]) && brk_safe(a[1]);
	case OP_MREMAP:
		return range_safe(a[0], a[1]) &&
		       (!(a[3] & 2) || range_safe(a[4], a[2]));
	case OP_BRK:
		return brk_safe(a[0]);
	case OP_GETPOL:
		return range_safe(a[0], 8) && (a[1] & 2);
	case OP_READ:
	case OP_WRITE:
	case OP_PLANT:
	case OP_EXEC:
		return range_safe(a[0], 8);
	case OP_FORK:
		return a[0] < DIFF_MAX_PROCS && a[0] != op->proc;
	default:
		return diff_call_args[op->call][0] != 'a' ||
		       range_safe(a[0], a[1]);
	}
}

void seq_mend(struct seq *s)
{
	uint32_t alive = 1, born = 1, n = 0;

	for (uint32_t i = 0; i < s->nr; i++) {
		const struct diff_op *op = &s->op[i];

		if (!(alive >> op->proc & 1) || !op_safe(op))
			continue;
		if (op->call == OP_FORK) {
			if (born >> op->arg[0] & 1)
				continue;
			born |= 1u << op->arg[0];
			alive |= 1u << op->arg[0];
		}
		if (op->call == OP_EXIT)
			alive &= ~(1u << op->proc);
		s->op[n++] = *op;
	}
	s->nr = n;
}

/* ---- arguments
 * ----------------------------------------------------------------------- */

#define PICK(g, list) ((list)[prng_below(&(g)->r, ARRAY_SIZE(list))])

static uint64_t wild_address(struct gen *g)
{
	static const uint64_t list[] = {
		0,
		1,
		DIFF_PAGE - 1,
		DIFF_TASK_SIZE - PAGES(1),
		DIFF_TASK_SIZE - PAGES(3),
		DIFF_TASK_SIZE,
		DIFF_TASK_SIZE + PAGES(1),
		1ull << 47,
		1ull << 56,
		0xffff800000000000ull,
		0xffff888000001000ull,
		0xffffffff81000000ull,
		~0ull - PAGES(2) + 1,
		~0ull - PAGES(1) + 1,
		~0ull,
		DIFF_WINDOW - 1,
		DIFF_WINDOW + 1,
		0x3fffffffffffull,
	};

	return PICK(g, list);
}

static uint64_t some_page(struct gen *g)
{
	uint32_t kind = (uint32_t)prng_below(&g->r, 100);

	if (kind < 45)
		return DIFF_WINDOW + PAGES(prng_below(&g->r, 40));
	if (kind < 78)
		return PICK(g, g->recent) + PAGES(prng_below(&g->r, 7)) -
		       PAGES(3);
	if (kind < 90)
		return DIFF_MMAP_BASE - PAGES(prng_below(&g->r, 64));
	if (kind < 98)
		return DIFF_HEAP + PAGES(prng_below(&g->r, 24));
	/* Around the first page-table boundary beyond the window. */
	return DIFF_WINDOW + (2ull << 20) + PAGES(prng_below(&g->r, 16)) -
	       PAGES(8);
}

static uint64_t some_address(struct gen *g)
{
	uint32_t kind = (uint32_t)prng_below(&g->r, 100);

	if (kind < 4)
		return wild_address(g);
	if (kind < 6)
		return some_page(g) + prng_range(&g->r, 1, DIFF_PAGE - 1);
	return some_page(g);
}

static uint64_t wild_length(struct gen *g)
{
	static const uint64_t list[] = {
		0,
		1,
		DIFF_PAGE - 1,
		DIFF_PAGE + 1,
		512 * DIFF_PAGE,
		(2ull << 20) + DIFF_PAGE,
		1ull << 30,
		1ull << 40,
		1ull << 46,
		DIFF_TASK_SIZE - DIFF_WINDOW,
		DIFF_TASK_SIZE,
		DIFF_TASK_SIZE + DIFF_PAGE,
		1ull << 47,
		1ull << 63,
		~0ull - PAGES(1) + 1,
		~0ull - PAGES(1) + 2,
		~0ull,
	};

	return PICK(g, list);
}

static uint64_t some_length(struct gen *g)
{
	uint32_t kind = (uint32_t)prng_below(&g->r, 100);

	if (kind < 5)
		return wild_length(g);
	if (kind < 9)
		return prng_range(&g->r, 1, PAGES(5));
	if (kind < 20)
		return PAGES(prng_range(&g->r, 6, 48));
	return PAGES(prng_range(&g->r, 1, 5));
}

static uint64_t some_prot(struct gen *g)
{
	static const uint16_t usual[] = {3, 3, 3, 3, 3, 1, 1, 1,
					 0, 0, 7, 5, 2, 4, 6};
	static const uint32_t odd[] = {
		8,	  0x10,		  0x0b,		  1u << 24,
		3u << 24, (1u << 24) | 3, (1u << 25) | 3, 1u << 31,
		0x30};

	return prng_one_in(&g->r, 50) ? PICK(g, odd) : PICK(g, usual);
}

static uint64_t some_map_flags(struct gen *g)
{
	static const uint32_t odd[] = {0x20, 0x23, 0x24, 0x2f, 0x2c, 0x26};
	uint64_t f = 0x22;
	uint32_t kind = (uint32_t)prng_below(&g->r, 100);

	if (prng_one_in(&g->r, 60))
		f = PICK(g, odd);
	if (g->shared && prng_one_in(&g->r, 3))
		f = 0x21;
	if (kind < 55)
		f |= 0x10;
	else if (kind < 65)
		f |= 0x100000;
	else if (kind < 67)
		f |= 0x100010;
	if (prng_one_in(&g->r, 14))
		f |= 0x100; /* growsdown */
	if (prng_one_in(&g->r, 10))
		f |= 0x4000; /* noreserve */
	if ((gen_features & GEN_POPULATE) && prng_one_in(&g->r, 12))
		f |= 0x8000; /* populate */
	if ((gen_features & GEN_POPULATE) && prng_one_in(&g->r, 16))
		f |= 0x2000; /* locked */
	if (prng_one_in(&g->r, 50))
		f |= 0x10000; /* nonblock */
	if (prng_one_in(&g->r, 60))
		f |= 0x20000;
	if (prng_one_in(&g->r, 60))
		f |= 0x40; /* 32bit */
	if (prng_one_in(&g->r, 80))
		f |= 0x200 << 2 * prng_below(&g->r, 2); /* ignored ones */
	if (prng_one_in(&g->r, 80))
		f |= 0x800000;
	return f;
}

/* Those of a mapping of a file: seldom ANONYMOUS, which makes none of it. */
static uint64_t some_file_flags(struct gen *g)
{
	static const uint32_t odd[] = {0,    3,	   4,	 8,	  0xf,
				       0x23, 0x21, 0x22, 0x800003};
	uint64_t f = some_map_flags(g) & ~0x12full;

	if (prng_one_in(&g->r, 40))
		return f | PICK(g, odd);
	if (prng_one_in(&g->r, 60))
		f |= 0x100; /* growsdown */
	if (prng_one_in(&g->r, 30))
		f |= 0x800 << prng_below(&g->r, 2); /* denywrite, executable */
	if (prng_one_in(&g->r, 30))
		return f | 3; /* shared, other flags refused */
	return f | 1 | prng_below(&g->r, 2);
}

static uint64_t some_mremap_flags(struct gen *g)
{
	static const uint8_t usual[] = {0, 0, 1, 1, 1, 1, 3, 3, 3, 5, 5, 7};
	static const uint32_t odd[] = {2, 4, 6, 8, 9, 0xff, ~0u};

	return prng_one_in(&g->r, 40) ? PICK(g, odd) : PICK(g, usual);
}

static uint64_t some_advice(struct gen *g)
{
	static const uint8_t usual[] = {0,  1,	2,  3,	4,  4,	4,  4,	10,
					11, 18, 19, 8,	8,  20, 21, 22, 22,
					23, 23, 24, 24, 16, 17, 15};
	static const uint8_t ksm[] = {12, 13}, thp[] = {14, 15};
	static const uint32_t odd[] = {5, 6, 7, 9, 99, 1000, ~0u};

	if (g->nr_fds && prng_one_in(&g->r, 8))
		return 9; /* a hole */
	if ((gen_features & GEN_KSM) && prng_one_in(&g->r, 12))
		return PICK(g, ksm);
	if ((gen_features & GEN_THP) && prng_one_in(&g->r, 12))
		return PICK(g, thp);
	return prng_one_in(&g->r, 40) ? PICK(g, odd) : PICK(g, usual);
}

/* Small flags: all of the named ones, rarely another. */
static uint64_t some_flags(struct gen *g, uint64_t known)
{
	return prng_one_in(&g->r, 30) ? prng_u64(&g->r) & 0xff
				      : prng_below(&g->r, known + 1);
}

static uint64_t some_limit(struct gen *g, uint64_t which)
{
	if (prng_one_in(&g->r, 2))
		return which == 8 ? DIFF_MEMLOCK : ~0ull;
	switch (which) {
	case 9: /* beyond the low GiB, which is mapped */
		return DIFF_LOW_END + PAGES(prng_below(&g->r, 300));
	case 8:
		return PAGES(prng_below(&g->r, 64));
	default:
		return PAGES(prng_below(&g->r, 128)) +
		       prng_below(&g->r, 2) * 100;
	}
}

/* ---- memory policies, of a machine of one node
 * ---------------------------------------------------------------------------
 */

static uint64_t policy_argument(struct gen *g, char kind)
{
	static const uint16_t modes[] = {0,	 0,	 0,	 1,	2, 2,
					 2,	 3,	 4,	 5,	5, 6,
					 0x8002, 0x4002, 0x8003, 0x2003},
			      odd[] = {7, 8, 0xc002, 0x1000, 0x8004};
	static const uint8_t sets[] = {0, 0, 1, 1, 1, 1, 1, 1, 2, 3};

	switch (kind) {
	case 'P':
		return prng_one_in(&g->r, 20) ? PICK(g, odd) : PICK(g, modes);
	case 'N':
		return PICK(g, sets);
	case 'B':
		return prng_one_in(&g->r, 4) ? prng_below(&g->r, 16) : 0;
	case 'g': /* of the address; the node only where it is known whether
		   * there is a page */
		return 2 + (!g->nr_fds && prng_one_in(&g->r, 2));
	default:
		return prng_one_in(&g->r, 8) ? prng_below(&g->r, 70) : 0;
	}
}

/* ---- files
 * ---------------------------------------------------------------------------
 */

static uint64_t some_file(struct gen *g)
{
	return g->first_fd + prng_below(&g->r, g->nr_fds ? g->nr_fds : 1);
}

/* A place in a file, or its size. */
static uint64_t some_offset(struct gen *g, const struct diff_op *op)
{
	static const uint64_t wild[] = {~0ull, 1ull << 63, 1ull << 62,
					~0ull - PAGES(2) + 1, PAGES(200)};
	uint64_t at = PAGES(prng_below(&g->r, 9));

	/* A file of mmkit's is shorter than Linux's can be. */
	if (prng_one_in(&g->r, 40))
		return PICK(g, wild) << (op->call == OP_MMAPF);
	if (op->call == OP_MMAPF)
		return prng_one_in(&g->r, 50) ? at + 512 : at;
	return prng_one_in(&g->r, 2) ? at : at + prng_below(&g->r, PAGES(1));
}

/* How much to move: words, pages, anything. */
static uint64_t some_count(struct gen *g)
{
	uint32_t kind = (uint32_t)prng_below(&g->r, 10);

	if (kind < 4)
		return 8;
	return kind < 7 ? PAGES(prng_below(&g->r, 4))
			: prng_below(&g->r, PAGES(3));
}

/* What both file systems can do. */
static uint64_t some_falloc(struct gen *g, const struct diff_op *op)
{
	static const uint8_t memory[] = {0, 0, 0, 1, 1, 3, 3, 3, 3, 2},
			     disk[] = {0, 3, 3}, odd[] = {2, 0x12, 0x82, 0x43};

	if (op->arg[0] < DIFF_FD0 + DIFF_FD_MEMFD)
		return PICK(g, disk);
	if (prng_one_in(&g->r, 20))
		return PICK(g, odd);
	return g->alloc ? PICK(g, memory) : 3;
}

static uint64_t some_seals(struct gen *g)
{
	if (prng_one_in(&g->r, 12))
		return prng_below(&g->r, 128);
	/* SEAL, which ends it all, is rare. */
	return 1ull << prng_range(&g->r, prng_one_in(&g->r, 8) ? 0 : 1, 5);
}

static uint64_t some_memfd_flags(struct gen *g)
{
	static const uint8_t usual[] = {2, 2, 2, 3, 0, 1, 8, 0xa, 0x10, 0x12},
			     odd[] = {0x18, 0x20, 0x42, 0x80};

	return prng_one_in(&g->r, 12) ? PICK(g, odd) : PICK(g, usual);
}

static uint64_t file_argument(struct gen *g, char kind,
			      const struct diff_op *op)
{
	switch (kind) {
	case 'F':
		return op->call == OP_MEMFD
			       ? DIFF_FD0 + 6 + prng_below(&g->r, 2)
			       : some_file(g);
	case 'f':
		return some_falloc(g, op);
	case 'y':
		return some_count(g);
	case 'A':
		return prng_below(&g->r, 7);
	case 'S':
		return some_seals(g);
	case 'M':
		return some_memfd_flags(g);
	default:
		return some_offset(g, op);
	}
}

static uint64_t touched(struct gen *g)
{
	uint64_t at = some_address(g);

	/* One word, within its page. */
	return (at & ~7ull) + 8 * prng_below(&g->r, 512) * !(at & 0xff8);
}

static uint64_t argument(struct gen *g, char kind, const struct diff_op *op)
{
	static const uint8_t limits[] = {2, 3, 8, 8, 9};

	switch (kind) {
	case 'a':
		return some_address(g);
	case 't':
		return touched(g);
	case 'b':
		return prng_one_in(&g->r, 10)
			       ? some_address(g)
			       : DIFF_HEAP + prng_below(&g->r, PAGES(20));
	case 'l':
		return some_length(g);
	case 'p':
		return some_prot(g);
	case 'm':
		return op->call == OP_MMAPF ? some_file_flags(g)
					    : some_map_flags(g);
	case 'r':
		return some_mremap_flags(g);
	case 'v':
		return some_advice(g);
	case 'L':
		return PICK(g, limits);
	case 'k':
		return some_flags(g, 1);
	case 'K':
	case 's':
		return some_flags(g, 7);
	case 'z':
		return prng_one_in(&g->r, 30);
	case 'n':
		return some_limit(g, op->arg[0]);
	case 'P':
	case 'N':
	case 'B':
	case 'g':
	case 'h':
		return policy_argument(g, kind);
	case 'F':
	case 'f':
	case 'o':
	case 'y':
	case 'A':
	case 'S':
	case 'M':
		return file_argument(g, kind, op);
	default:
		return prng_u64(&g->r);
	}
}

/* ---- sequences
 * ------------------------------------------------------------------------ */

static const uint16_t weight[DIFF_NR_CALLS] = {
#define CALL(id, name, nr, args, weight) weight,
#include "calls.def"
#undef CALL
};

/* Files stand at the end of the list. */
static uint16_t some_call(struct gen *g)
{
	uint16_t nr = g->nr_fds ? DIFF_NR_CALLS : OP_MMAPF;
	uint32_t sum = 0;
	uint64_t at;

	for (unsigned i = 0; i < nr; i++)
		sum += weight[i];
	at = prng_below(&g->r, sum);
	for (uint16_t i = 0;; i++) {
		if (at < weight[i])
			return i;
		at -= weight[i];
	}
}

/* Another process's turn, now and then. */
static void choose_process(struct gen *g)
{
	if (!(g->alive >> g->proc & 1) || prng_one_in(&g->r, 12)) {
		do
			g->proc = (uint32_t)prng_below(&g->r, DIFF_MAX_PROCS);
		while (!(g->alive >> g->proc & 1));
	}
}

static void remember(struct gen *g, const struct diff_op *op)
{
	uint32_t slot = (uint32_t)prng_below(&g->r, NR_RECENT);

	if (diff_call_args[op->call][0] != 'a' || op->arg[0] < DIFF_LOW_END ||
	    op->arg[0] >= DIFF_TASK_SIZE || op->arg[1] > PAGES(64))
		return;
	g->recent[slot] = (op->arg[0] + prng_below(&g->r, 2) * op->arg[1]) &
			  ~(DIFF_PAGE - 1);
}

static bool special_ok(struct gen *g, struct diff_op *op)
{
	if (op->call == OP_FORK) {
		if (g->born >= DIFF_MAX_PROCS ||
		    __builtin_popcount(g->alive) >= 4)
			return false;
		op->arg[0] = g->born;
		g->alive |= 1u << g->born++;
	}
	if (op->call == OP_EXIT) {
		/* The last one stays. */
		if (!(g->alive & (g->alive - 1)))
			return false;
		g->alive &= ~(1u << op->proc);
	}
	return true;
}

/* A copy onto itself: what comes out of that nobody promises. */
static bool overlaps(const struct diff_op *op)
{
	const uint64_t *a = op->arg;

	return (op->call == OP_PVREAD || op->call == OP_PVWRITE) &&
	       a[0] / DIFF_PAGE <= (a[2] + a[3]) / DIFF_PAGE &&
	       a[2] / DIFF_PAGE <= (a[0] + a[1]) / DIFF_PAGE;
}

/* What mmap gets that arguments alone do not make. */
static void mend_mmap(struct gen *g, struct diff_op *op)
{
	uint64_t *a = op->arg;

	if (op->call == OP_MMAP)
		a[4] = ~0ull;
	if ((a[3] & 0xa000) && a[1] > DIFF_POPULATE)
		a[3] &= ~0xa000ull;
	if (!(a[3] & 0x100010) && prng_one_in(&g->r, 2))
		a[0] = 0;
	/* Page numbers of a file have 32 bits. */
	if ((op->call == OP_MMAPF || (a[3] & 1)) && a[1] > 1ull << 43 &&
	    a[1] <= DIFF_TASK_SIZE)
		a[1] = 1ull << 40;
}

static void add_op(struct gen *g)
{
	struct diff_op *op = &g->s->op[g->s->nr];
	const char *kinds;

	memset(op, 0, sizeof(*op));
	choose_process(g);
	op->proc = (uint16_t)g->proc;
	op->call = some_call(g);
	kinds = diff_call_args[op->call];
	for (unsigned i = 0; kinds[i]; i++)
		op->arg[i] = argument(g, kinds[i], op);
	if (op->call == OP_MMAP || op->call == OP_MMAPF)
		mend_mmap(g, op);
	/* A hole that ends within the first page has Linux unmap all behind. */
	if (op->call == OP_FALLOCATE && (op->arg[1] & 2) &&
	    op->arg[2] + op->arg[3] < DIFF_PAGE)
		op->arg[3] = DIFF_PAGE;
	/* Linux holds pages to the set as it was given. */
	if (op->call == OP_MBIND && (op->arg[2] & 0x4000))
		op->arg[4] = 0;
	/* What FREE leaves is made equal for madvise alone. */
	if (op->call == OP_PMADVISE && op->arg[4] == 8)
		op->arg[4] = 4;
	/* Linux 6.18 asks for memory for what is cut off: not compared. */
	if (op->call == OP_MREMAP && (op->arg[3] & 2) &&
	    op->arg[1] > 1ull << 33 && op->arg[2] < op->arg[1])
		op->arg[1] = op->arg[2];
	/* Often the length stays as it is. */
	if (op->call == OP_MREMAP && prng_one_in(&g->r, 3))
		op->arg[2] = op->arg[1];
	if (overlaps(op) || !special_ok(g, op) || !op_safe(op))
		return;
	remember(g, op);
	g->s->nr++;
}

static void add_checks(struct gen *g)
{
	for (uint32_t p = 0; p < DIFF_MAX_PROCS; p++) {
		if (!(g->alive >> p & 1))
			continue;
		g->s->op[g->s->nr++] =
			(struct diff_op){.call = OP_DEEP, .proc = (uint16_t)p};
	}
}

static void choose_class(struct gen *g)
{
	static const struct {
		uint32_t first, nr;
		bool shared;
	} class[] = {
		[GEN_ANON] = {0, 0, false},
		[GEN_MEMORY] = {DIFF_FD_MEMFD, DIFF_NR_FDS - DIFF_FD_MEMFD,
				true},
		[GEN_DISK] = {0, DIFF_FD_MEMFD, false},
		[GEN_MIXED] = {0, DIFF_NR_FDS, true},
	};
	uint64_t k = prng_below(&g->r, GEN_ANY);

	if (gen_only < GEN_ANY)
		k = gen_only;
	g->first_fd = DIFF_FD0 + class[k].first;
	g->nr_fds = class[k].nr;
	g->shared = class[k].shared;
	g->alloc = prng_one_in(&g->r, 3);
}

enum gen_class seq_class(const struct seq *s)
{
	uint32_t uses = seq_uses(s);
	bool memory = false;

	for (uint32_t i = 0; i < s->nr; i++) {
		const struct diff_op *op = &s->op[i];
		const char *args = diff_call_args[op->call];
		const char *f = strchr(args, 'F');

		memory |= (op->call == OP_MMAP && (op->arg[3] & 0xf) == 1) ||
			  (f && op->arg[f - args] >= DIFF_FD0 + DIFF_FD_MEMFD);
	}
	if (uses & DIFF_USES_DISK)
		return memory ? GEN_MIXED : GEN_DISK;
	return memory ? GEN_MEMORY : GEN_ANON;
}

uint32_t seq_uses(const struct seq *s)
{
	uint32_t uses = 0;

	for (uint32_t i = 0; i < s->nr; i++) {
		const char *args = diff_call_args[s->op[i].call];
		const char *f = strchr(args, 'F');

		if (s->op[i].call == OP_MMAP && (s->op[i].arg[3] & 0xf) == 1)
			uses |= DIFF_USES_SHARED;
		if (!f)
			continue;
		uses |= DIFF_USES_FILES;
		if (s->op[i].arg[f - args] < DIFF_FD0 + DIFF_FD_MEMFD)
			uses |= DIFF_USES_DISK;
		else if (s->op[i].call == OP_FALLOCATE &&
			 !(s->op[i].arg[1] & 2))
			uses |= DIFF_USES_ALLOC;
	}
	return uses;
}

void seq_generate(struct seq *s, uint64_t seed, uint32_t nr)
{
	struct gen g = {.s = s, .alive = 1, .born = 1};

	prng_seed(&g.r, seed);
	choose_class(&g);
	s->nr = 0;
	for (unsigned i = 0; i < NR_RECENT; i++)
		g.recent[i] = DIFF_WINDOW + PAGES(i * 3);
	if (nr > DIFF_MAX_OPS - DIFF_MAX_PROCS)
		nr = DIFF_MAX_OPS - DIFF_MAX_PROCS;
	for (uint32_t tries = 0; s->nr < nr && tries < 4 * nr; tries++)
		add_op(&g);
	add_checks(&g);
}
