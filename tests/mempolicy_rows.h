/* SPDX-License-Identifier: MIT */
/*
 * mempolicy_rows.h - calls around memory policies with what Linux answers, on
 * a machine of one node. The same rows are run on the running kernel, if it
 * has one node and lets root in, and in sim; answers and the output page must
 * be the same, and WANT.
 *
 * Both sides lay out the same addresses:
 *	R_BASE	page 0: word 0 is 1, the rest zero: the set {0}, of any length
 *		page 1: sets, 512 bytes each: {}, {1}, {0,1}, {0} and node 1024
 *		page 2: where answers go; page 3: arrays of move_pages()
 *		page 4: touched, page 5: not, page 6: read (the zero page)
 *		page 8: no access; pages 9, 10: a hole; pages 11, 12: mapped
 */
#ifndef TESTS_MEMPOLICY_ROWS_H
#define TESTS_MEMPOLICY_ROWS_H

#define R_BASE	0x200000000UL
#define R(page) (R_BASE + (page)*4096UL)
#define R_END	13UL

#define S0     R(0)
#define NONE   R(1)
#define S1     (R(1) + 512)
#define S01    (R(1) + 1024)
#define SHIGH  (R(1) + 1536)
#define MODE   R(2)
#define MASK   (R(2) + 64)
#define STAT   (R(2) + 3072)
#define ADDRS  R(3)
#define NODES0 (R(3) + 1024)
#define NODES1 (R(3) + 1280)
#define WILD   0x10000UL
#define KERN   0xffff800000000000UL

/* Numbers of the calls on x86-64. */
enum {
	SYS_MBIND = 237,
	SYS_SET = 238,
	SYS_GET = 239,
	SYS_MIGRATE = 256,
	SYS_MOVE = 279,
	SYS_HOME = 450
};

struct row {
	int nr;
	u64 a[6];
	s64 want;
};

#define STATIC	 0x8000
#define RELATIVE 0x4000
#define BALANCE	 0x2000
#define STRICT	 1
#define MOVE	 2
#define ALL	 4
#define F_NODE	 1
#define F_ADDR	 2
#define F_MEMS	 4

#define SET(mode, nmask, maxnode, want)                      \
	{                                                    \
		SYS_SET, {(u64)(mode), nmask, maxnode}, want \
	}
#define GET(mode, nmask, maxnode, addr, flags, want)               \
	{                                                          \
		SYS_GET, {mode, nmask, maxnode, addr, flags}, want \
	}
#define BIND(start, len, mode, nmask, maxnode, flags, want)                  \
	{                                                                    \
		SYS_MBIND, {start, len, (u64)(mode), nmask, maxnode, flags}, \
			want                                                 \
	}
#define HOME(start, len, home, flags, want)               \
	{                                                 \
		SYS_HOME, {start, len, home, flags}, want \
	}
#define PAGES(nr, pages, nodes, status, flags, want)                 \
	{                                                            \
		SYS_MOVE, {0, nr, pages, nodes, status, flags}, want \
	}
#define MIGRATE(maxnode, old, new, want)                  \
	{                                                 \
		SYS_MIGRATE, {0, maxnode, old, new}, want \
	}

static const struct row privileged_rows[] = {
	/* How many bits count. */
	SET(2, S0, 1, -EINVAL),
	SET(2, S0, 2, 0),
	SET(2, S0, 64, 0),
	SET(2, S0, 65, 0),
	SET(2, S0, 1024, 0),
	SET(2, S0, 32769, 0),
	SET(2, S0, 32770, -EINVAL),
	SET(2, S0, -1UL, -EINVAL),
	SET(2, S0, 0, -EINVAL),
	SET(0, S0, 0, -EINVAL),
	SET(2, SHIGH, 1025, 0),
	SET(2, SHIGH, 1026, -EINVAL),
	SET(2, 0, 64, -EINVAL),
	SET(0, 0, -1UL, 0),
	/* Wild, and what is looked at first. */
	SET(2, WILD, 64, -EFAULT),
	SET(2, KERN, 64, -EFAULT),
	SET(2, R(9) - 4, 64, -EFAULT),
	SET(2, R(8), 64, -EFAULT),
	SET(2, WILD, 1, -EINVAL),
	SET(0, WILD, 64, -EFAULT),
	SET(99, WILD, 64, -EINVAL),
	SET(2 | STATIC | RELATIVE, WILD, 64, -EINVAL),
	SET(-1, 0, 0, -EINVAL),
	SET(2 | 0x1000, S0, 64, -EINVAL),
	SET(2 | 1UL << 32, S0, 64, 0),
	/* Modes and their sets. */
	SET(0, S0, 64, -EINVAL),
	SET(0, 0, 0, 0),
	SET(0 | STATIC, 0, 0, 0),
	SET(0 | RELATIVE, 0, 0, 0),
	SET(0 | STATIC, S0, 64, -EINVAL),
	SET(1, 0, 0, 0),
	GET(MODE, MASK, 1024, 0, 0, 0), /* it is told as "local" */
	SET(1, NONE, 64, 0),
	SET(1 | STATIC, NONE, 64, -EINVAL),
	SET(1 | RELATIVE, NONE, 64, -EINVAL),
	SET(4, NONE, 64, 0),
	SET(4, S0, 64, -EINVAL),
	SET(4 | STATIC, NONE, 64, -EINVAL),
	SET(2, NONE, 64, -EINVAL),
	SET(3, NONE, 64, -EINVAL),
	SET(5, NONE, 64, -EINVAL),
	SET(6, NONE, 64, -EINVAL),
	SET(5, S0, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0),
	SET(6, S0, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0),
	GET(MODE, 0, 0, 0, F_NODE, 0),
	SET(2, S1, 64, -EINVAL),
	SET(2 | STATIC, S1, 64, -EINVAL),
	SET(2 | RELATIVE, S1, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0), /* the set as it was given */
	SET(2 | STATIC, S01, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0),
	SET(2, S01, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0), /* without the node that is none */
	SET(1 | STATIC, S01, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0),
	SET(1 | STATIC, S1, 64, -EINVAL),
	SET(1 | RELATIVE, S1, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0),
	/* MPOL_F_NUMA_BALANCING */
	SET(2 | BALANCE, S0, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0),
	SET(2 | BALANCE | STATIC, S01, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0),
	SET(2 | BALANCE | RELATIVE, S1, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0),
	SET(2 | BALANCE, S01, 64, 0),
	GET(MODE, MASK, 1024, 0, 0, 0),
	SET(2 | BALANCE, NONE, 64, -EINVAL),
	SET(2 | BALANCE | STATIC | RELATIVE, S0, 64, -EINVAL),
	SET(0 | BALANCE, 0, 0, -EINVAL),
	SET(1 | BALANCE, S0, 64, -EINVAL),
	SET(1 | BALANCE, NONE, 64, -EINVAL),
	SET(3 | BALANCE, S0, 64, -EINVAL),
	SET(4 | BALANCE, NONE, 64, -EINVAL),
	SET(6 | BALANCE, S0, 64, -EINVAL),
	SET(2 | BALANCE, WILD, 64, -EFAULT),
	SET(3 | BALANCE, WILD, 64, -EINVAL),
	/* get_mempolicy */
	SET(3, S0, 64, 0),
	GET(MODE, MASK, 0, 0, 0, -EINVAL),
	GET(MODE, MASK, 1, 0, 0, 0),
	GET(MODE, MASK, 2, 0, 0, 0),
	GET(MODE, MASK, 63, 0, 0, 0),
	GET(MODE, MASK, 65, 0, 0, 0),
	GET(MODE, MASK, 66, 0, 0, 0),
	GET(MODE, MASK, 300, 0, 0, 0),
	GET(MODE, R(5), 32769, 0, 0, 0),
	GET(MODE, R(5), 32770, 0, 0, -EINVAL),
	GET(MODE, MASK, -1UL, 0, 0, 0),
	GET(MODE, 0, 0, 0, 0, 0),
	GET(0, 0, 0, 0, 0, 0),
	GET(0, 0, 0, 0, 8, -EINVAL),
	GET(0, 0, 0, 0, 1UL << 32, -EINVAL),
	GET(0, 0, 0, R(4), 0, -EINVAL),
	GET(MODE, MASK, 64, R(4), F_MEMS, 0),
	GET(MODE, MASK, 64, 0, F_MEMS, 0),
	GET(0, 0, 0, 0, F_MEMS | F_NODE, -EINVAL),
	GET(0, 0, 0, 0, F_MEMS | F_ADDR, -EINVAL),
	GET(0, 0, 0, 0, 7, -EINVAL),
	GET(MODE, 0, 0, 0, F_NODE, 0),
	GET(0, 0, 0, 0, F_NODE, 0),
	GET(0, 0, 0, R(4), F_NODE, -EINVAL),
	GET(MODE, MASK, 64, R(4), F_ADDR, 0), /* not the task's */
	GET(MODE, MASK, 64, R(4) + 7, F_ADDR, 0),
	GET(MODE, 0, 0, 0, F_ADDR, -EFAULT),
	GET(MODE, 0, 0, WILD, F_ADDR, -EFAULT),
	GET(MODE, 0, 0, KERN, F_ADDR, -EFAULT),
	GET(MODE, 0, 0, R(9), F_ADDR, -EFAULT),
	GET(MODE, 0, 0, R(8), F_ADDR, 0),
	GET(MODE, 0, 0, R(8), F_ADDR | F_NODE, -EFAULT),
	GET(MODE, 0, 0, R(9), F_ADDR | F_NODE, -EFAULT),
	GET(MODE, 0, 0, R(4), F_ADDR | F_NODE, 0),
	GET(MODE, 0, 0, R(11), F_ADDR | F_NODE, 0), /* reads it */
	GET(WILD, 0, 0, 0, 0, -EFAULT),
	GET(MODE, WILD, 64, 0, 0, -EFAULT),
	GET(MODE, KERN, 64, 0, 0, -EFAULT),
	GET(MODE, R(8), 64, 0, 0, -EFAULT),
	GET(MODE, WILD, 65536, 0, 0, -EINVAL),
	SET(0, 0, 0, 0),
	GET(MODE, 0, 0, 0, F_NODE, -EINVAL),
	/* mbind: ranges */
	BIND(R(4), 4096, 2, S0, 64, 0, 0),
	GET(MODE, MASK, 64, R(4), F_ADDR, 0),
	GET(MODE, MASK, 64, R(5), F_ADDR, 0),
	GET(MODE, MASK, 64, R(4), F_ADDR | F_NODE, 0),
	BIND(R(4) + 1, 4096, 2, S0, 64, 0, -EINVAL),
	BIND(R(4), 1, 2, S0, 64, 0, 0),
	BIND(R(4), 0, 2, S0, 64, 0, 0),
	BIND(R(4), 0, 2, 0, 0, 0, 0),
	BIND(R(4), 0, 99, S0, 64, 0, -EINVAL),
	BIND(WILD, 0, 2, S0, 64, 0, 0),
	BIND(KERN, 0, 2, S0, 64, 0, 0),
	BIND(WILD, 4096, 2, S0, 64, 0, -EFAULT),
	BIND(WILD, 4096, 0, 0, 0, 0, -EFAULT),
	BIND(KERN, 4096, 2, S0, 64, 0, -EFAULT),
	BIND(R(4), -4096UL, 2, S0, 64, 0, -EINVAL),
	BIND(R(4), -1UL, 2, S0, 64, 0, 0),
	BIND(R(7), 4 * 4096, 2, S0, 64, 0, -EFAULT),
	BIND(R(9), 3 * 4096, 2, S0, 64, 0, -EFAULT),
	BIND(R(9), 2 * 4096, 2, S0, 64, 0, -EFAULT),
	GET(MODE, MASK, 64, R(7), F_ADDR, 0),
	BIND(R(7), 4 * 4096, 0, 0, 0, 0, 0),
	BIND(R(9), 3 * 4096, 0, 0, 0, 0, 0),
	BIND(R(9), 2 * 4096, 0, 0, 0, 0, -EFAULT),
	BIND(R(11), 4 * 4096, 0, 0, 0, 0, 0),
	/* mbind: arguments, and what is looked at first */
	BIND(R(4), 4096, 2, S0, 64, 8, -EINVAL),
	BIND(R(4), 4096, 2, WILD, 64, 8, -EFAULT),
	BIND(R(4) + 1, 4096, 2, WILD, 64, 0, -EFAULT),
	BIND(R(4), 4096, 99, WILD, 64, 0, -EINVAL),
	BIND(R(4), 4096, 2 | 1UL << 32, S0, 64, 1UL << 32, 0),
	BIND(R(4), 4096, 2 | STATIC | RELATIVE, S0, 64, 0, -EINVAL),
	BIND(R(4), 4096, 3 | BALANCE, S0, 64, 0, -EINVAL),
	BIND(R(4), 4096, 1 | BALANCE, S0, 64, 0, -EINVAL),
	BIND(R(4), 4096, 0, S0, 64, 0, -EINVAL),
	BIND(R(4), 4096, 0 | STATIC, 0, 0, 0, 0),
	BIND(R(4), 4096, 2, NONE, 64, 0, -EINVAL),
	BIND(R(4), 4096, 2, S1, 64, 0, -EINVAL),
	BIND(R(4), 4096, 2, S0, 64, ALL, 0),
	/* mbind: pages that are there */
	BIND(R(4), 4096, 0, 0, 0, STRICT | MOVE | ALL, 0),
	BIND(R(4), 4096, 4, 0, 0, STRICT, -EIO),
	GET(MODE, MASK, 64, R(4), F_ADDR, 0),
	BIND(R(4), 4096, 1, 0, 0, STRICT, -EIO),
	BIND(R(4), 4096, 4, 0, 0, STRICT | MOVE, 0),
	GET(MODE, MASK, 64, R(4), F_ADDR, 0),
	BIND(R(4), 4096, 1, 0, 0, MOVE, 0),
	BIND(R(4), 4096, 2, S0, 64, STRICT, 0),
	BIND(R(4), 4096, 3, S0, 64, STRICT | MOVE | ALL, 0),
	BIND(R(6), 4096, 4, 0, 0, STRICT, 0), /* the zero page is none */
	BIND(R(7), 4096, 4, 0, 0, STRICT, 0),
	/* The home node. */
	HOME(R(4), 4096, 0, 0, -EOPNOTSUPP),
	HOME(R(7), 4096, 0, 0, -EOPNOTSUPP),
	HOME(R(5), 4096, 0, 0, -ENOENT),
	BIND(R(4), 4096, 2, S0, 64, 0, 0),
	HOME(R(4), 4096, 0, 0, 0),
	HOME(R(4), 1, 0, 0, 0),
	HOME(R(4), 2 * 4096, 0, 0, 0),
	HOME(R(4), 9 * 4096, 0, 0, -EOPNOTSUPP),
	BIND(R(6), 2 * 4096, 5, S0, 64, 0, 0),
	HOME(R(4), 9 * 4096, 0, 0, 0),
	HOME(R(4), 4096, 0, 1, -EINVAL),
	HOME(R(4), 4096, 1, 0, -EINVAL),
	HOME(R(4), 4096, 64, 0, -EINVAL),
	HOME(R(4), 4096, -1UL, 0, -EINVAL),
	HOME(R(4) + 1, 4096, 0, 0, -EINVAL),
	HOME(R(4), 0, 0, 0, 0),
	HOME(R(4), -4096UL, 0, 0, -EINVAL),
	HOME(R(4), -1UL, 0, 0, 0),
	HOME(WILD, 4096, 0, 0, -ENOENT),
	HOME(KERN, 4096, 0, 0, -ENOENT),
	HOME(R(9), 2 * 4096, 0, 0, -ENOENT),
	/* move_pages */
	PAGES(8, ADDRS, 0, STAT, 0, 0),
	PAGES(8, ADDRS, NODES0, STAT, MOVE, 0),
	PAGES(8, ADDRS, NODES0, STAT, 0, 0),
	PAGES(0, 0, 0, 0, 0, 0),
	PAGES(0, WILD, WILD, WILD, MOVE, 0),
	PAGES(1, 0, 0, STAT, 0, -EFAULT),
	PAGES(1, ADDRS, 0, 0, 0, -EFAULT),
	PAGES(1, ADDRS, 0, R(8), 0, -EFAULT),
	PAGES(1, ADDRS, WILD, STAT, MOVE, -EFAULT),
	PAGES(1, WILD, NODES0, STAT, MOVE, -EFAULT),
	PAGES(1, KERN, 0, STAT, MOVE, -EFAULT),
	PAGES(1, ADDRS, NODES0, STAT, STRICT, -EINVAL),
	PAGES(1, ADDRS, NODES0, STAT, 8, -EINVAL),
	PAGES(1, ADDRS, 0, STAT, MOVE | ALL, 0),
	PAGES(1, ADDRS, NODES1, STAT, MOVE, -ENODEV),
	PAGES(1, ADDRS, NODES1 + 4, STAT, MOVE, -ENODEV),
	PAGES(1, ADDRS, NODES1 + 8, STAT, MOVE, -ENODEV),
	/* migrate_pages */
	MIGRATE(64, S0, S0, 0),
	MIGRATE(0, S0, S0, -EINVAL),
	MIGRATE(64, 0, S0, 0),
	MIGRATE(64, S0, 0, -EINVAL),
	MIGRATE(64, WILD, S0, -EFAULT),
	MIGRATE(64, S0, WILD, -EFAULT),
	MIGRATE(-1UL, S0, S0, -EINVAL),
	MIGRATE(1, S0, S0, -EINVAL),
	MIGRATE(64, S0, S1, -EINVAL),
	MIGRATE(64, S0, S01, 0),
	MIGRATE(64, S0, NONE, -EINVAL),
	MIGRATE(64, NONE, S0, 0),
	MIGRATE(64, S1, S0, 0),
};

/* The same, without the right to move what others map. */
static const struct row plain_rows[] = {
	BIND(R(4), 4096, 2, S0, 64, MOVE, 0),
	BIND(R(4), 4096, 2, S0, 64, ALL, -EPERM),
	BIND(R(4) + 1, 4096, 2, S0, 64, ALL, -EPERM),
	BIND(R(4), 4096, 2, WILD, 64, ALL, -EFAULT),
	BIND(R(4), 4096, 2, S0, 64, ALL | 8, -EINVAL),
	PAGES(1, ADDRS, NODES0, STAT, MOVE, 0),
	PAGES(1, ADDRS, NODES0, STAT, ALL, -EPERM),
	PAGES(1, ADDRS, NODES0, STAT, ALL | 8, -EINVAL),
	MIGRATE(64, S0, S01, -EPERM),
	MIGRATE(64, S0, S1, -EPERM),
	MIGRATE(64, S0, S0, 0),
	MIGRATE(64, S0, NONE, -EINVAL),
};

#define NR_PRIVILEGED ARRAY_SIZE(privileged_rows)
#define NR_ROWS	      (NR_PRIVILEGED + ARRAY_SIZE(plain_rows))

static inline const struct row *row_at(size_t i)
{
	return i < NR_PRIVILEGED ? &privileged_rows[i]
				 : &plain_rows[i - NR_PRIVILEGED];
}

/* What stands in the pages: PAGE is R(0) .. R(3). */
static inline void rows_fill(unsigned int page, u64 *w)
{
	static const u64 addrs[8] = {R(4), R(5),     R(6), WILD,
				     KERN, R(4) + 5, 0,	   R(8)};
	static const s32 none[4] = {1, -1, 5000, 0};

	memset(w, 0, 4096);
	if (page == 0)
		w[0] = 1;
	if (page == 1) {
		w[64] = 2;
		w[128] = 3;
		w[192] = 1;
		w[192 + 16] = 1;
	}
	if (page == 2)
		memset(w, 0xa5, 4096);
	if (page == 3) {
		memcpy(w, addrs, sizeof(addrs));
		memcpy((char *)w + 1280, none, sizeof(none));
	}
}

#endif
