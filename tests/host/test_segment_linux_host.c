/* SPDX-License-Identifier: MIT */
/*
 * modify_ldt of the kernel that runs this against ours: the same errors, and
 * the same bytes in the LDT. One thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/segment_linux.h"
#include "base_seed.h"

#define ENTRIES 64

static u64 mine[ENTRIES], theirs[ENTRIES];
static struct linux_ldt ldt;

static int kernel_write(const struct user_desc *u, bool old)
{
	long ret = syscall(SYS_modify_ldt, old ? 1 : 0x11, u, sizeof(*u));

	/* The result has 32 bits, so that the C library sees no error. */
	return ret == -1 ? -errno : (int)ret;
}

static bool kernel_has_ldt(void)
{
	struct user_desc u = {.entry_number = 0, .seg_32bit = 1};

	return kernel_write(&u, false) == 0;
}

static struct user_desc random_user(struct prng *r)
{
	struct user_desc u = {.entry_number = (u32)prng_below(r, ENTRIES),
			      .base_addr = prng_u32(r),
			      .limit = prng_u32(r) >> 12,
			      .seg_32bit = prng_one_in(r, 2),
			      .contents = prng_below(r, 4) & 3,
			      .read_exec_only = prng_one_in(r, 2),
			      .limit_in_pages = prng_one_in(r, 2),
			      .seg_not_present = prng_one_in(r, 2),
			      .useable = prng_one_in(r, 2),
			      .lm = prng_one_in(r, 2)};

	if (prng_one_in(r, 16))
		u.entry_number = 8190 + (u32)prng_below(r, 4);
	if (prng_one_in(r, 4))
		u.base_addr = u.limit = 0;
	if (prng_one_in(r, 8))
		u = (struct user_desc){.entry_number = u.entry_number,
				       .read_exec_only = 1,
				       .seg_not_present = 1};
	return u;
}

static void test_same_as_kernel(void **state)
{
	struct prng r;
	u64 iters = test_iters(3000);

	(void)state;
	if (!kernel_has_ldt()) {
		print_message("skip: this kernel has no modify_ldt\n");
		skip();
	}
	test_seed(&r, "modify_ldt");
	linux_ldt_give(&ldt, mine, ENTRIES);
	for (u64 i = 0; i < iters; i++) {
		struct user_desc u = random_user(&r);
		bool old = prng_one_in(&r, 2);
		int k, m;

		/* Entries that ours has no memory for are the kernel's alone.
		 */
		if (u.entry_number >= ENTRIES && u.entry_number < 8192)
			continue;
		k = kernel_write(&u, old);
		m = linux_ldt_write(&ldt, &u, old);
		assert_int_equal(m, k);
	}
	assert_true(syscall(SYS_modify_ldt, 0, theirs, sizeof(theirs)) > 0);
	assert_int_equal(linux_ldt_read(&ldt, mine, sizeof(mine)),
			 sizeof(mine));
	for (u32 i = 0; i < ENTRIES; i++)
		assert_int_equal(mine[i], theirs[i]);
	assert_int_equal(syscall(SYS_modify_ldt, 2, theirs, sizeof(theirs)),
			 linux_ldt_read_default(mine, sizeof(mine)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
