/* SPDX-License-Identifier: MIT */
/* A kernel's access to user memory, what a signal is told, and
 * MREMAP_DONTUNMAP.
 */
#include "calls.h"

#include <mmkit/uaccess.h>

/* ---- copies
 * ------------------------------------------------------------------ */

static int copy_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child = NULL;
	uva_t p = tm_map(mm, 4);
	char buf[3 * 4096], back[sizeof(buf)];

	(void)arg;
	tm_use(mm);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i * 7);
	/* Over page borders, into memory that is not there yet. */
	CHECK_EQ(copy_to_user(mm, p + 100, buf, sizeof(buf)), 0);
	CHECK_EQ(copy_from_user(mm, back, p + 100, sizeof(back)), 0);
	CHECK(memcmp(buf, back, sizeof(buf)) == 0);
	CHECK_EQ(sim_copy_from_user(back, p + 100, sizeof(back)), 0);
	CHECK(memcmp(buf, back, sizeof(buf)) == 0);
	CHECK(pte_dirty(tm_pte(mm, p)) && pte_young(tm_pte(mm, p)));
	/* Reading gives the zero page, writing breaks it. */
	CHECK_EQ(do_madvise(mm, p, P(4), MADV_DONTNEED), 0);
	CHECK_EQ(copy_from_user(mm, back, p, 8), 0);
	CHECK_EQ(back[0], 0);
	CHECK_EQ(mm_counter_get(mm, MM_ANONPAGES), 0);
	/* After a fork: the writer gets a copy. */
	tm_store(p, 5);
	CHECK_EQ(mm_fork(mm, &child), 0);
	CHECK_EQ(copy_to_user(child, p, "abcdefgh", 8), 0);
	CHECK_EQ(tm_load(p), 5);
	/* To the end of the mapping and no further. */
	CHECK_EQ(copy_to_user(mm, p + P(4) - 10, buf, 30), 20);
	CHECK_EQ(copy_from_user(mm, back, p + P(4) - 10, 30), 20);
	CHECK(memcmp(buf, back, 10) == 0);
	CHECK_EQ(clear_user(mm, p + P(4) - 700, 1000), 300);
	CHECK_EQ(tm_load(p + P(4) - 8), 0);
	/* Wild, kernel's, none. */
	CHECK_EQ(copy_to_user(mm, 0, buf, 1), 1);
	CHECK_EQ(copy_to_user(mm, mm->layout.task_size, buf, 9), 9);
	CHECK_EQ(copy_from_user(mm, back, (uva_t)-5L, 9), 9);
	CHECK_EQ(copy_to_user(mm, 0, buf, 0), 0);
	/* Rights. */
	CHECK_EQ(do_mprotect(mm, p, P(1), PROT_READ), 0);
	CHECK_EQ(copy_to_user(mm, p, buf, 8), 8);
	CHECK_EQ(tm_load(p), 5);
	CHECK_EQ(do_mprotect(mm, p, P(1), PROT_NONE), 0);
	CHECK_EQ(copy_from_user(mm, back, p, 8), 8);
	/* x86 reads what it may write; another process asks for VM_READ. */
	CHECK_EQ(do_mprotect(mm, p, P(1), PROT_WRITE), 0);
	CHECK_EQ(copy_from_user(mm, back, p, 8), 0);
	CHECK_EQ(access_process_vm(mm, p, back, 8, false), 0);
	CHECK_EQ(access_process_vm(mm, p, buf, 8, true), 8);
	mm_check(mm);
	mm_check(child);
	mm_put(child);
	mm_put(mm);
	return 0;
}

static void copies(void **state)
{
	(void)state;
	TM_RUN(copy_body);
}

static int string_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 2), low;
	char s[64];

	(void)arg;
	tm_use(mm);
	/* The string ends where the mapping does. */
	CHECK_EQ(copy_to_user(mm, p + P(2) - 6, "hello", 6), 0);
	CHECK_EQ(strncpy_from_user(mm, s, p + P(2) - 6, sizeof(s)), 5);
	CHECK(strcmp(s, "hello") == 0);
	CHECK_EQ(copy_to_user(mm, p + P(2) - 1, "x", 1), 0);
	CHECK_EQ(strncpy_from_user(mm, s, p + P(2) - 6, 6), 6);
	CHECK_EQ(strncpy_from_user(mm, s, p + P(2) - 6, 7), -EFAULT);
	CHECK_EQ(strncpy_from_user(mm, s, 0, 7), -EFAULT);
	/* A stack grows for its own process's calls, not for others. */
	low = 0x7f0000000000UL - P(2);
	CHECK_EQ(do_mmap(mm, low, P(2), TM_RW,
			 TM_ANON | MAP_FIXED | MAP_GROWSDOWN),
		 (s64)low);
	CHECK_EQ(access_process_vm(mm, low - 8, s, 8, true), 0);
	CHECK_EQ(copy_to_user(mm, low - 8, s, 8), 0);
	CHECK_EQ(mm->stack_vm, 3);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void strings(void **state)
{
	(void)state;
	TM_RUN(string_body);
}

/* ---- pins
 * -------------------------------------------------------------------- */

static int pin_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 4);
	struct page *pages[8], *page;

	(void)arg;
	tm_use(mm);
	tm_store(p, 42);
	CHECK_EQ(pin_user_pages(mm, p, 1, 8, pages), -EINVAL);
	CHECK_EQ(pin_user_pages(mm, 0, 1, 0, pages), -EFAULT);
	CHECK_EQ(pin_user_pages(mm, (uva_t)-4096L, 1, 0, pages), -EFAULT);
	/* As many as there are. */
	CHECK_EQ(pin_user_pages(mm, p + P(2) + 5, 8, FOLL_WRITE, pages), 2);
	unpin_user_pages_dirty(pages, 2, false);
	CHECK_EQ(pin_user_pages(mm, p, 1, FOLL_WRITE, pages), 1);
	page = pages[0];
	CHECK(page == page_at(mm, p) && page_maybe_dma_pinned(page));
	/* Reclaim leaves it: else the next write would go elsewhere. */
	for (int i = 0; i < 20; i++)
		CHECK(!tm_reclaim_one(mm, p));
	CHECK(page_at(mm, p) == page);
	tm_store(p, 43);
	CHECK_EQ(*(u64 *)page_view(page), 43);
	/* It outlives the mapping. */
	CHECK_EQ(do_munmap(mm, p, P(1)), 0);
	CHECK_EQ(*(u64 *)page_view(page), 43);
	CHECK_EQ(page_mapcount(page), 0);
	unpin_user_pages_dirty(pages, 1, true);
	CHECK_EQ(global_node_page_state(NR_FOLL_PIN_ACQUIRED), 3);
	CHECK_EQ(global_node_page_state(NR_FOLL_PIN_RELEASED), 3);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void pins(void **state)
{
	(void)state;
	TM_RUN(pin_body, .swap_pages = 64);
}

/* ---- process_vm_readv, writev, process_madvise
 * ------------------------------- */

struct two {
	struct mm_struct *a, *b;
	uva_t pa, pb, iov;
};

static void iov_put(const struct two *t, u32 slot, u64 base, u64 len)
{
	struct mm_iovec v = {base, len};

	CHECK_EQ(copy_to_user(t->a, t->iov + slot * sizeof(v), &v, sizeof(v)),
		 0);
}

/* Local vectors from slot 0 on, remote ones from slot 8 on. */
static s64 rw(const struct two *t, u64 nl, u64 nr, bool write, u64 flags)
{
	struct mm_process_vm p = {
		t->a, t->b, t->iov, nl, t->iov + 8 * sizeof(struct mm_iovec),
		nr};

	return write ? process_vm_writev(&p, flags)
		     : process_vm_readv(&p, flags);
}

static void two_errors(const struct two *t)
{
	struct mm_process_vm bad = {t->a, t->b, 0, 1, t->iov, 1};

	iov_put(t, 0, t->pa, 64);
	iov_put(t, 8, t->pb, 64);
	CHECK_EQ(rw(t, 1, 1, false, 1), -EINVAL);
	CHECK_EQ(rw(t, MM_IOV_MAX + 1, 1, false, 0), -EINVAL);
	CHECK_EQ(rw(t, 1, MM_IOV_MAX + 1, false, 0), -EINVAL);
	CHECK_EQ(rw(t, 0, 1, false, 0), 0);
	CHECK_EQ(rw(t, 1, 0, false, 0), 0);
	CHECK_EQ(process_vm_readv(&bad, 0), -EFAULT);
	bad.local_iov = t->iov;
	bad.remote_iov = (uva_t)-64L;
	CHECK_EQ(process_vm_readv(&bad, 0), -EFAULT);
	iov_put(t, 1, t->pa, 1UL << 63);
	CHECK_EQ(rw(t, 2, 1, false, 0), -EINVAL);
	iov_put(t, 1, t->pa, (1UL << 63) - 1);
	CHECK_EQ(rw(t, 2, 1, false, 0), -EINVAL);
	/* Nothing at all: EFAULT, on either side. */
	iov_put(t, 8, 4096, 64);
	CHECK_EQ(rw(t, 1, 1, false, 0), -EFAULT);
	CHECK_EQ(rw(t, 1, 1, true, 0), -EFAULT);
	iov_put(t, 8, t->pb, 64);
	iov_put(t, 0, 4096, 64);
	CHECK_EQ(rw(t, 1, 1, false, 0), -EFAULT);
	CHECK_EQ(rw(t, 1, 1, true, 0), -EFAULT);
}

static int two_body(void *arg)
{
	struct two t = {.a = tm_mm(), .b = tm_mm()};
	u64 v;

	(void)arg;
	t.pa = tm_map(t.a, 4);
	t.iov = tm_map(t.a, 1);
	t.pb = tm_map(t.b, 4);
	tm_use(t.a);
	for (u64 i = 0; i < 4096; i += 8) {
		v = i;
		CHECK_EQ(copy_to_user(t.b, t.pb + P(1) - 2048 + i, &v, 8), 0);
	}
	two_errors(&t);
	/* Pieces of one side end elsewhere than those of the other. */
	iov_put(&t, 0, t.pa + 8, 1000);
	iov_put(&t, 1, t.pa + P(2), 0);
	iov_put(&t, 2, t.pa + 1008, 3096);
	iov_put(&t, 8, t.pb + P(1) - 2048, 4000);
	iov_put(&t, 9, t.pb + P(1) + 1952, 96);
	CHECK_EQ(rw(&t, 3, 2, false, 0), 4096);
	for (u64 i = 0; i < 4096; i += 8)
		CHECK_EQ(tm_load(t.pa + 8 + i), i);
	/* Back, changed, as far as the remote mapping goes. */
	tm_store(t.pa, 1234);
	iov_put(&t, 0, t.pa, P(2));
	iov_put(&t, 8, t.pb + P(4) - 16, 4096);
	CHECK_EQ(rw(&t, 1, 1, true, 0), 16);
	CHECK_EQ(copy_from_user(t.b, &v, t.pb + P(4) - 16, 8), 0);
	CHECK_EQ(v, 1234);
	/* Advice: whole elements count, up to the first that fails. */
	iov_put(&t, 0, t.pb, P(1));
	iov_put(&t, 1, t.pb + P(3), P(2));
	iov_put(&t, 2, t.pb, P(1));
	CHECK_EQ(do_process_madvise(t.b, t.a, t.iov, 3, MADV_COLD, 0), P(1));
	CHECK_EQ(do_process_madvise(t.b, t.a, t.iov + 16, 1, MADV_COLD, 0),
		 -ENOMEM);
	CHECK_EQ(do_process_madvise(t.b, t.a, t.iov, 1, MADV_DONTNEED, 0),
		 -EINVAL);
	CHECK_EQ(do_process_madvise(t.b, t.a, t.iov, 1, MADV_COLD, 1), -EINVAL);
	CHECK_EQ(do_process_madvise(t.b, t.a, 1, 1, MADV_COLD, 0), -EFAULT);
	mm_check(t.a);
	mm_check(t.b);
	mm_put(t.b);
	mm_put(t.a);
	return 0;
}

static void two_processes(void **state)
{
	(void)state;
	TM_RUN(two_body);
}

/* ---- what a signal is told
 * ---------------------------------------------------- */

static void expect_info(uva_t va, u32 err, int signo, int code)
{
	struct mm_siginfo info = {-1, -1, 1, -1};

	CHECK_EQ(mm_user_fault_info(port_current(), va, err, &info), signo);
	CHECK_EQ(info.signo, signo);
	CHECK_EQ(info.code, code);
	CHECK_EQ(info.addr, va);
}

static int siginfo_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 2), low = 0x7f0000000000UL;

	(void)arg;
	tm_use(mm);
	expect_info(p + 5, PF_ERR_USER | PF_ERR_WRITE, 0, 0);
	expect_info(p, PF_ERR_USER | PF_ERR_INSTR, MM_SIGSEGV, MM_SEGV_ACCERR);
	CHECK_EQ(do_mprotect(mm, p, P(1), PROT_READ), 0);
	expect_info(p + 9, PF_ERR_USER | PF_ERR_WRITE, MM_SIGSEGV,
		    MM_SEGV_ACCERR);
	expect_info(8, PF_ERR_USER, MM_SIGSEGV, MM_SEGV_MAPERR);
	expect_info(mm->layout.task_size, PF_ERR_USER, MM_SIGSEGV,
		    MM_SEGV_MAPERR);
	expect_info((uva_t)-8L, PF_ERR_USER, MM_SIGSEGV, MM_SEGV_MAPERR);
	/* A stack that may not grow is a hole. */
	CHECK_EQ(do_mmap(mm, low, P(1), TM_RW,
			 TM_ANON | MAP_FIXED | MAP_GROWSDOWN),
		 (s64)low);
	mm->rlimit_stack = P(2);
	expect_info(low - P(1), PF_ERR_USER, 0, 0);
	expect_info(low - P(2), PF_ERR_USER, MM_SIGSEGV, MM_SEGV_MAPERR);
	mm_put(mm);
	return 0;
}

static void siginfo(void **state)
{
	(void)state;
	TM_RUN(siginfo_body);
}

/* ---- MREMAP_DONTUNMAP
 * --------------------------------------------------------- */

static int dontunmap_body(void *arg)
{
	const int both = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 4), q;
	struct call_state s;

	(void)arg;
	tm_use(mm);
	REFUSED(mm, do_mremap(mm, p, P(2), P(2), MREMAP_DONTUNMAP, 0), -EINVAL);
	REFUSED(mm, do_mremap(mm, p, P(2), P(3), both, 0), -EINVAL);
	REFUSED(mm, do_mremap(mm, p, P(2), P(2), 8, 0), -EINVAL);
	REFUSED(mm, do_mremap(mm, p, 0, P(2), MREMAP_MAYMOVE, 0), -EINVAL);
	REFUSED(mm, do_mremap(mm, p, P(2), 0, MREMAP_MAYMOVE, 0), -EINVAL);
	REFUSED(mm, do_mremap(mm, p + P(8), P(1), P(1), 0, 0), -EFAULT);
	for (u64 i = 0; i < 4; i++)
		tm_store(p + P(i), 50 + i);
	CHECK_EQ(do_mlock(mm, p + P(1), P(2), 0), 0);
	cs_get(mm, &s);
	q = (uva_t)do_mremap(mm, p + P(1), P(2), P(2), both, 0);
	CHECK((s64)q > 0 && q != p + P(1));
	CHECK_EQ(tm_load(q), 51);
	CHECK_EQ(tm_load(q + P(1)), 52);
	/* The old place is there, empty; the lock went along. */
	CHECK_EQ(mm->total_vm, s.total + 2);
	CHECK_EQ(space_sys.committed, s.committed + 2);
	CHECK_EQ(mm->locked_vm, 2);
	CHECK(vma_flags_at(mm, q) & VM_LOCKED);
	CHECK(!(vma_flags_at(mm, p + P(1)) & VM_LOCKED));
	CHECK_EQ(tm_load(p + P(1)), 0);
	tm_store(p + P(2), 99);
	CHECK_EQ(tm_load(q + P(1)), 52);
	CHECK_EQ(tm_load(p), 50);
	CHECK_EQ(tm_load(p + P(3)), 53);
	mm_check(mm);
	/* The limit counts both places. */
	mm->rlimit_as = P(mm->total_vm + 1);
	REFUSED(mm, do_mremap(mm, p + P(1), P(2), P(2), both, 0), -ENOMEM);
	mm->rlimit_as = ~0UL;
	/* To a fixed place, what was there goes. */
	CHECK_EQ(do_mremap(mm, q, P(1), P(1), both | MREMAP_FIXED, p), (s64)p);
	CHECK_EQ(tm_load(p), 51);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void dontunmap(void **state)
{
	(void)state;
	TM_RUN(dontunmap_body);
}

/* ---- failures
 * ------------------------------------------------------------------ */

static uva_t fail_at;

static struct mm_struct *fail_setup(void)
{
	struct mm_struct *mm = tm_mm();

	fail_at = tm_map(mm, 6);
	return mm;
}

static int op_rw(struct mm_struct *mm)
{
	static const char text[64];
	struct mm_iovec v[2] = {{fail_at + P(3), 100}, {fail_at + P(4), 100}};
	struct mm_process_vm p = {mm, mm, fail_at, 1, fail_at + sizeof(v[0]),
				  1};
	s64 n;

	if (copy_to_user(mm, fail_at, v, sizeof(v)) ||
	    copy_to_user(mm, fail_at + P(2), text, sizeof(text)))
		return -ENOMEM;
	n = process_vm_readv(&p, 0);
	CHECK(n == 100 || n == -ENOMEM || n == -EFAULT);
	return n < 0 ? (int)n : 0;
}

static int op_dontunmap(struct mm_struct *mm)
{
	s64 at = do_mremap(mm, fail_at + P(1), P(2), P(2),
			   MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);

	return at < 0 ? (int)at : 0;
}

static int failures_body(void *arg)
{
	(void)arg;
	fail_each(&(struct fail_case){fail_setup, op_rw, true, 6});
	fail_each(&(struct fail_case){fail_setup, op_dontunmap, false, 4});
	return 0;
}

static void failures(void **state)
{
	(void)state;
	TM_RUN(failures_body);
}

/* ---- copies while entries are taken away
 * ------------------------------------------ */

/* Entries are cleared, CPUs have not forgotten them yet: what was copied for
 * the process is what it finds. */
static int zap_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t p = tm_map(mm, 2);
	struct mmu_gather tlb;
	u64 v = 7;

	(void)arg;
	tm_use(mm);
	tm_store(p, 5);
	tm_store(p + P(1), 6);
	mm_zap_begin(&tlb, mm);
	mmap_read_lock(mm);
	zap_contents(&tlb, find_vma(mm, p), p, p + P(2));
	mmap_read_unlock(mm);
	/* The program alone: it sees what was there, as if it came before. */
	CHECK_EQ(tm_load(p), 5);
	CHECK_EQ(tm_load(p + P(1)), 6);
	CHECK_EQ(copy_to_user(mm, p, &v, sizeof(v)), 0);
	CHECK_EQ(tm_load(p), 7);
	CHECK_EQ(copy_from_user(mm, &v, p + P(1) + 8, sizeof(v)), 0);
	CHECK_EQ(tm_load(p + P(1)), 0);
	mm_zap_end(&tlb, mm);
	CHECK_EQ(mm->zaps, 0);
	CHECK_EQ(tm_load(p), 7);
	tm_use(NULL);
	mm_put(mm);
	return 0;
}

static void zaps(void **state)
{
	(void)state;
	TM_RUN(zap_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies),   cmocka_unit_test(strings),
		cmocka_unit_test(pins),	    cmocka_unit_test(two_processes),
		cmocka_unit_test(siginfo),  cmocka_unit_test(dontunmap),
		cmocka_unit_test(failures), cmocka_unit_test(zaps),
	};

	return cmocka_run_group_tests_name("uaccess", tests, NULL, NULL);
}
