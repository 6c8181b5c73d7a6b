/* SPDX-License-Identifier: MIT */
/*
 * atomic.h - counters and barriers on the compiler's __atomic builtins.
 *
 * Linux's names. As there, operations that return a value are fully ordered,
 * those that do not (and plain read and set) are relaxed.
 */
#ifndef MM_BASE_ATOMIC_H
#define MM_BASE_ATOMIC_H

#include <mmkit/types.h>

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic64_t;

typedef atomic64_t atomic_long_t;

#define ATOMIC_INIT(i) \
	{              \
		(i)    \
	}
#define ATOMIC64_INIT(i) \
	{                \
		(i)      \
	}

/* One set of operations for a counter type. */
#define MM_ATOMIC_OPS(pre, atype, vtype)                                       \
	static inline vtype pre##_read(const atype *v)                         \
	{                                                                      \
		return __atomic_load_n(&v->counter, __ATOMIC_RELAXED);         \
	}                                                                      \
	static inline vtype pre##_read_acquire(const atype *v)                 \
	{                                                                      \
		return __atomic_load_n(&v->counter, __ATOMIC_ACQUIRE);         \
	}                                                                      \
	static inline void pre##_set(atype *v, vtype i)                        \
	{                                                                      \
		__atomic_store_n(&v->counter, i, __ATOMIC_RELAXED);            \
	}                                                                      \
	static inline void pre##_set_release(atype *v, vtype i)                \
	{                                                                      \
		__atomic_store_n(&v->counter, i, __ATOMIC_RELEASE);            \
	}                                                                      \
	static inline void pre##_add(vtype i, atype *v)                        \
	{                                                                      \
		(void)__atomic_fetch_add(&v->counter, i, __ATOMIC_RELAXED);    \
	}                                                                      \
	static inline void pre##_sub(vtype i, atype *v)                        \
	{                                                                      \
		(void)__atomic_fetch_sub(&v->counter, i, __ATOMIC_RELAXED);    \
	}                                                                      \
	static inline void pre##_inc(atype *v)                                 \
	{                                                                      \
		pre##_add(1, v);                                               \
	}                                                                      \
	static inline void pre##_dec(atype *v)                                 \
	{                                                                      \
		pre##_sub(1, v);                                               \
	}                                                                      \
	static inline vtype pre##_add_return(vtype i, atype *v)                \
	{                                                                      \
		return __atomic_add_fetch(&v->counter, i, __ATOMIC_SEQ_CST);   \
	}                                                                      \
	static inline vtype pre##_sub_return(vtype i, atype *v)                \
	{                                                                      \
		return __atomic_sub_fetch(&v->counter, i, __ATOMIC_SEQ_CST);   \
	}                                                                      \
	static inline vtype pre##_inc_return(atype *v)                         \
	{                                                                      \
		return pre##_add_return(1, v);                                 \
	}                                                                      \
	static inline vtype pre##_dec_return(atype *v)                         \
	{                                                                      \
		return pre##_sub_return(1, v);                                 \
	}                                                                      \
	static inline bool pre##_dec_and_test(atype *v)                        \
	{                                                                      \
		return pre##_sub_return(1, v) == 0;                            \
	}                                                                      \
	static inline bool pre##_inc_and_test(atype *v)                        \
	{                                                                      \
		return pre##_add_return(1, v) == 0;                            \
	}                                                                      \
	static inline bool pre##_sub_and_test(vtype i, atype *v)               \
	{                                                                      \
		return pre##_sub_return(i, v) == 0;                            \
	}                                                                      \
	static inline bool pre##_add_negative(vtype i, atype *v)               \
	{                                                                      \
		return pre##_add_return(i, v) < 0;                             \
	}                                                                      \
	static inline vtype pre##_xchg(atype *v, vtype i)                      \
	{                                                                      \
		return __atomic_exchange_n(&v->counter, i, __ATOMIC_SEQ_CST);  \
	}                                                                      \
	/* Returns what was there; equal to OLD means success. */              \
	static inline vtype pre##_cmpxchg(atype *v, vtype old, vtype i)        \
	{                                                                      \
		(void)__atomic_compare_exchange_n(&v->counter, &old, i, false, \
						  __ATOMIC_SEQ_CST,            \
						  __ATOMIC_SEQ_CST);           \
		return old;                                                    \
	}                                                                      \
	/* Updates *OLD on failure. */                                         \
	static inline bool pre##_try_cmpxchg(atype *v, vtype *old, vtype i)    \
	{                                                                      \
		return __atomic_compare_exchange_n(&v->counter, old, i, false, \
						   __ATOMIC_SEQ_CST,           \
						   __ATOMIC_SEQ_CST);          \
	}                                                                      \
	/* Add A unless the value is U; true if added. */                      \
	static inline bool pre##_add_unless(atype *v, vtype a, vtype u)        \
	{                                                                      \
		vtype c = pre##_read(v);                                       \
                                                                               \
		while (c != u) {                                               \
			if (pre##_try_cmpxchg(v, &c, c + a))                   \
				return true;                                   \
		}                                                              \
		return false;                                                  \
	}                                                                      \
	static inline bool pre##_inc_not_zero(atype *v)                        \
	{                                                                      \
		return pre##_add_unless(v, 1, 0);                              \
	}                                                                      \
	MM_STATIC_ASSERT(sizeof(atype) == sizeof(vtype), "bare counter")

MM_ATOMIC_OPS(atomic, atomic_t, int);
MM_ATOMIC_OPS(atomic64, atomic64_t, s64);
MM_ATOMIC_OPS(atomic_long, atomic_long_t, s64);

/* On a plain integer or pointer: returns what was there before. Full order. */
#define mm_xchg(ptr, val) __atomic_exchange_n(ptr, val, __ATOMIC_SEQ_CST)
#define mm_cmpxchg(ptr, old, val)                                            \
	({                                                                   \
		__typeof__(*(ptr)) cx_old_ = (old);                          \
		(void)__atomic_compare_exchange_n(ptr, &cx_old_, val, false, \
						  __ATOMIC_SEQ_CST,          \
						  __ATOMIC_SEQ_CST);         \
		cx_old_;                                                     \
	})
/* *OLDP is updated on failure; true on success. */
#define mm_try_cmpxchg(ptr, oldp, val)                                       \
	__atomic_compare_exchange_n(ptr, oldp, val, false, __ATOMIC_SEQ_CST, \
				    __ATOMIC_SEQ_CST)
#define mm_fetch_add(ptr, val) __atomic_fetch_add(ptr, val, __ATOMIC_SEQ_CST)
#define mm_fetch_or(ptr, val)  __atomic_fetch_or(ptr, val, __ATOMIC_SEQ_CST)
#define mm_fetch_and(ptr, val) __atomic_fetch_and(ptr, val, __ATOMIC_SEQ_CST)

#define smp_load_acquire(ptr)	    __atomic_load_n(ptr, __ATOMIC_ACQUIRE)
#define smp_store_release(ptr, val) __atomic_store_n(ptr, val, __ATOMIC_RELEASE)

/* Keeps the compiler, not the CPU, from moving accesses. */
#define barrier() __asm__ volatile("" ::: "memory")

/*
 * Fences. ThreadSanitizer does not understand bare fences (and gcc refuses
 * to compile them quietly): a full read-modify-write stands in for them.
 */
#if defined(__SANITIZE_THREAD__)
#define MM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MM_TSAN 1
#endif
#endif

static inline void smp_mb(void)
{
#ifdef MM_TSAN
	int fence = 0;

	(void)__atomic_fetch_add(&fence, 1, __ATOMIC_SEQ_CST);
	__asm__ volatile("mfence" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline void smp_rmb(void)
{
#ifdef MM_TSAN
	barrier();
#else
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

static inline void smp_wmb(void)
{
#ifdef MM_TSAN
	barrier();
#else
	__atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

#define smp_mb__before_atomic() smp_mb()
#define smp_mb__after_atomic()	smp_mb()

#endif
