/* SPDX-License-Identifier: MIT */
/*
 * assert.h - checks. A failure goes to port_panic() with place and expression;
 * the port decides what that does to the world.
 *
 *   mm_verify(cond)       always on: O(1), on data that is hot anyway
 *   mm_assert(cond)       MM_DEBUG >= 1; not evaluated otherwise
 *   mm_assert_eq(a, b)    as mm_assert; prints both operands. Integers or
 *                         pointers; compared as 64 bits, sign-extended.
 *   mm_assert_lt(a, b), mm_assert_le(a, b)
 *                         integers, compared by value whatever the signs
 *   mm_assert_implies(p, q)  p is false or q is true
 *   mm_warn_on_once(cond) a survivable surprise: logs once per place while
 *                         the machine lives; its value is COND
 *   mm_bug(fmt, ...)      unconditional
 *   MM_STATIC_ASSERT      in mmkit/types.h
 *
 * Disabled checks are still compiled, so they cannot rot; their operands are
 * not evaluated.
 */
#ifndef MM_BASE_ASSERT_H
#define MM_BASE_ASSERT_H

#include <mmkit/types.h>

/* Where a check stands; one read-only object per check. */
struct mm_where {
	const char *file;
	const char *func;
	const char *expr;
	int line;
};

/*
 * mm_assert_failed: report that EXPR is false, there, through port_panic(). Any
 * context. Four arguments, not an object, which the compiler would fill in on
 * the way that is not taken; cold, so that nothing of it stands there either.
 */
_Noreturn void mm_assert_failed(const char *expr, const char *func,
				const char *file, int line) MM_COLD;

/* mm_assert_failed2: the same, with the operands' values A and B. */
_Noreturn void mm_assert_failed2(const struct mm_where *w, u64 a, u64 b);

/* mm_bug_at: report "W: formatted text" through port_panic(). Any context. */
_Noreturn void mm_bug_at(const struct mm_where *w, const char *fmt, ...)
	MM_PRINTF(2, 3);

/* mm_warn_at: log W unless this place has been logged. Any context. */
void mm_warn_at(const struct mm_where *w) MM_COLD;

#define MM_WHERE(text)                              \
	(&(const struct mm_where){.file = __FILE__, \
				  .func = __func__, \
				  .expr = (text),   \
				  .line = __LINE__})

#define MM_FAILED(text) mm_assert_failed((text), __func__, __FILE__, __LINE__)

#define mm_verify(cond)                   \
	do {                              \
		if (unlikely(!(cond)))    \
			MM_FAILED(#cond); \
	} while (0)

#define mm_assert(cond)                                 \
	do {                                            \
		if (MM_DEBUG >= 1 && unlikely(!(cond))) \
			MM_FAILED(#cond);               \
	} while (0)

#define MM_ASSERT_REL(type, a, op, b)                                          \
	do {                                                                   \
		if (MM_DEBUG >= 1) {                                           \
			type assert_a_ = (type)(a);                            \
			type assert_b_ = (type)(b);                            \
			if (unlikely(!(assert_a_ op assert_b_)))               \
				mm_assert_failed2(MM_WHERE(#a " " #op " " #b), \
						  (u64)assert_a_,              \
						  (u64)assert_b_);             \
		}                                                              \
	} while (0)

#define mm_assert_eq(a, b)	MM_ASSERT_REL(u64, a, ==, b)
#define mm_assert_lt(a, b)	MM_ASSERT_REL(__int128, a, <, b)
#define mm_assert_le(a, b)	MM_ASSERT_REL(__int128, a, <=, b)
#define mm_assert_implies(p, q) mm_assert(!(p) || (q))

#define mm_warn_on_once(cond)                        \
	({                                           \
		bool warn_ = !!(cond);               \
		if (unlikely(warn_))                 \
			mm_warn_at(MM_WHERE(#cond)); \
		unlikely(warn_);                     \
	})

#define mm_bug(...) mm_bug_at(MM_WHERE(""), __VA_ARGS__)

#endif
