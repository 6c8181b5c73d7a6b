/* SPDX-License-Identifier: MIT */
/* Programs as files: what is not one is refused, whatever its numbers say. */
#include "proc_world.h"

#include "base/string.h"

#define CODE_REFUSED 77
#define CODE_RAN     55

static struct pw_elf base;
static s64 want;

static void ran(struct pt_regs *regs)
{
	(void)regs;
	pw_exit(CODE_RAN);
}

/* Execute /e; the error must be WANT, unless that is 1: any. */
static void try_exec(struct pt_regs *regs)
{
	uva_t at = pw_map(PAGE_SIZE);
	s64 err;

	(void)regs;
	/* A damaged entry may lead back here. */
	if (current->proc->did_exec)
		pw_exit(111);
	CHECK_EQ(user_write(at, "/e", 3), 0);
	err = pw_sys(59, at, 0, 0);
	CHECK(err < 0);
	if (want != 1)
		CHECK_EQ(err, want);
	pw_exit(CODE_REFUSED);
}

static int run_file(const void *image, u64 len, s64 error)
{
	int status;
	s64 pid;

	want = error;
	pw_file("/e", image, len);
	pid = pw_fork(try_exec);
	CHECK(pid > 0);
	CHECK_EQ(pw_wait(pid, &status, 0), pid);
	CHECK_EQ(status & 0x7f, 0);
	return status >> 8;
}

static void refused(const struct pw_elf *e, s64 error)
{
	CHECK_EQ(run_file(e, sizeof(*e), error), CODE_REFUSED);
}

#define REFUSED(error, ...)             \
	do {                            \
		struct pw_elf e = base; \
		__VA_ARGS__;            \
		refused(&e, error);     \
	} while (0)

#define RUNS(...)                                               \
	do {                                                    \
		struct pw_elf e = base;                         \
		__VA_ARGS__;                                    \
		CHECK_EQ(run_file(&e, sizeof(e), 0), CODE_RAN); \
	} while (0)

static void headers(struct pt_regs *regs)
{
	(void)regs;
	base = pw_elf(ran);
	RUNS((void)0);
	REFUSED(-ENOEXEC, e.ident[0] = 0);
	REFUSED(-ENOEXEC, e.ident[4] = 1);
	REFUSED(-ENOEXEC, e.ident[5] = 2);
	REFUSED(-ENOEXEC, e.type = 1);
	REFUSED(-ENOEXEC, e.type = 4);
	REFUSED(-ENOEXEC, e.machine = 3);
	REFUSED(-ENOEXEC, e.phnum = 0);
	REFUSED(-ENOEXEC, e.phnum = 0xffff);
	REFUSED(-ENOEXEC, e.phentsize = 57);
	REFUSED(-ENOEXEC, e.phoff = ~0UL);
	REFUSED(-ENOEXEC, e.phoff = ~0UL - 55);
	REFUSED(-ENOEXEC, e.phoff = sizeof(e));
	REFUSED(-ENOEXEC, e.phoff = 1UL << 62);
	REFUSED(-ENOEXEC, e.ph[0].type = 0);
	REFUSED(-EINVAL, e.entry = ~0UL);
	REFUSED(-EINVAL, e.entry = 1UL << 47);
	/* A file that ends before its header does. */
	CHECK_EQ(run_file(&base, 3, -ENOEXEC), CODE_REFUSED);
	CHECK_EQ(run_file(&base, 63, -ENOEXEC), CODE_REFUSED);
	CHECK_EQ(run_file(&base, 100, -ENOEXEC), CODE_REFUSED);
	CHECK_EQ(run_file(&base, 0, -ENOEXEC), CODE_REFUSED);
	pw_exit(0);
}

static void segments(struct pt_regs *regs)
{
	(void)regs;
	base = pw_elf(ran);
	REFUSED(-ENOEXEC, e.ph[0].filesz = e.ph[0].memsz + 1);
	REFUSED(-ENOEXEC, e.ph[0].memsz = ~0UL);
	REFUSED(-ENOEXEC, e.ph[0].vaddr = ~0xfffUL);
	REFUSED(-ENOEXEC, e.ph[0].vaddr = 0x7ffffffff000);
	REFUSED(-ENOEXEC, e.ph[0].vaddr += 8);
	REFUSED(-ENOEXEC, e.ph[0].offset = ~0xfffUL);
	REFUSED(-ENOEXEC, e.ph[0].offset = 1UL << 60);
	REFUSED(-ENOEXEC, e.ph[0].memsz = 0, e.ph[0].filesz = 0);
	REFUSED(-EPERM, e.ph[0].vaddr = 0);
	REFUSED(-ENOMEM, e.ph[0].vaddr = 0x7fffffffd000);
	/* As much memory as there is not. */
	REFUSED(-ENOMEM, e.ph[0].memsz = 1UL << 40, e.ph[0].flags = 6);
	/* Beyond the file's end: mapped, and that is for who touches it. */
	RUNS(e.ph[0].filesz = e.ph[0].memsz = 16 * PAGE_SIZE);
	/* Two at one place: the later one is there. */
	RUNS(e.phnum = 2, e.ph[1] = e.ph[0]);
	/* The rest of the last page would be beyond the file's end. */
	REFUSED(-EFAULT, e.phnum = 2, e.ph[1] = e.ph[0], e.ph[1].flags = 6,
		e.ph[1].vaddr += 0x10000, e.ph[1].filesz = 0x2010,
		e.ph[1].memsz = 0x3000);
	pw_exit(0);
}

/* Zeroes behind the file's part; writable, as the program sees them. */
static void bss_prog(struct pt_regs *regs)
{
	char page[PAGE_SIZE];

	(void)regs;
	CHECK_EQ(user_read(page, PW_BASE + 0x10000, sizeof(page)), 0);
	for (u32 i = 0; i < PAGE_SIZE; i++)
		CHECK_EQ(page[i], i < 16 ? ((char *)&base)[i] : 0);
	CHECK_EQ(user_read(page, PW_BASE + 0x12000, sizeof(page)), 0);
	CHECK(!mm_memchr_inv(page, 0, sizeof(page)));
	CHECK_EQ(user_write(PW_BASE + 0x12000, page, 16), 0);
	CHECK_EQ(pw_sys(12, 0), PW_BASE + 0x13000);
	pw_exit(CODE_RAN);
}

static void bss(struct pt_regs *regs)
{
	(void)regs;
	base = pw_elf(bss_prog);
	RUNS(e.phnum = 2, e.ph[1] = e.ph[0], e.ph[1].flags = 6,
	     e.ph[1].vaddr += 0x10000, e.ph[1].filesz = 16,
	     e.ph[1].memsz = 0x2100);
	pw_exit(0);
}

/* ---- interpreters ----------------------------------------------------------
 */

static void set_interp(struct pw_elf *e, char *name, u64 len)
{
	e->phnum = 2;
	e->ph[1] = e->ph[0];
	e->ph[1].type = 3;
	e->ph[1].offset = offsetof(struct pw_elf, ph[3]);
	e->ph[1].filesz = len;
	memcpy(&e->ph[3], name, len > 56 ? 56 : len);
}

static void interp(struct pt_regs *regs)
{
	struct pw_elf in;

	(void)regs;
	base = pw_elf(ran);
	in = pw_elf(ran);
	pw_file("/int", &in, sizeof(in));
	RUNS(set_interp(&e, "/int", 5));
	REFUSED(-ENOENT, set_interp(&e, "/no", 4));
	REFUSED(-ENOEXEC, set_interp(&e, "/int", 4));
	REFUSED(-ENOEXEC, set_interp(&e, "/int", 1));
	REFUSED(-ENOEXEC, set_interp(&e, "/int", 5), e.ph[1].filesz = 5000);
	REFUSED(-ENOEXEC, set_interp(&e, "/int", 5), e.ph[1].offset = ~0UL);
	pw_file("/int",
		"no program at all, but long enough to be read: "
		"sixty-four bytes",
		64);
	REFUSED(-ELIBBAD, set_interp(&e, "/int", 5));
	in.ph[0].vaddr = ~0xfffUL;
	pw_file("/int", &in, sizeof(in));
	REFUSED(-ELIBBAD, set_interp(&e, "/int", 5));
	pw_exit(0);
}

/* ---- random damage ---------------------------------------------------------
 */

static u64 strange(struct prng *r)
{
	static const u64 words[] = {
		0,	    1,	       ~0UL,	       ~0xfffUL,  1UL << 63,
		1UL << 47,  PW_BASE,   0x7ffffffff000, PAGE_SIZE, 0x1000000,
		0xffffffff, 1UL << 32, 0x7fffffffe000};

	if (prng_below(r, 4) == 0)
		return prng_u64(r);
	return words[prng_below(r, ARRAY_SIZE(words))] +
	       (prng_below(r, 4) ? 0 : prng_below(r, 64) - 32);
}

static void damage(struct prng *r, struct pw_elf *e)
{
	u8 *bytes = (u8 *)e;
	u64 w;

	for (u64 n = 1 + prng_below(r, 3); n; n--) {
		u64 at = prng_below(r, sizeof(*e) - 8);

		w = strange(r);
		if (prng_below(r, 2))
			at &= ~7UL;
		if (prng_below(r, 3) == 0)
			bytes[at] = (u8)w;
		else
			memcpy(bytes + at, &w, 8);
	}
}

static void fuzz(struct pt_regs *regs)
{
	u64 iters = test_iters(tm_soak() ? 20000 : 400), did[2] = {0};
	struct prng r;

	(void)regs;
	if (current->proc->tgid != 1)
		pw_exit(111);
	test_seed(&r, "elf");
	base = pw_elf(ran);
	pw_file("/int", &base, sizeof(base));
	for (u64 i = 0; i < iters; i++) {
		struct pw_elf e = base;
		u64 len = sizeof(e);
		int code;

		if (prng_below(&r, 2))
			set_interp(&e, "/int", 5);
		if (prng_below(&r, 3) == 0)
			e.type = 3;
		damage(&r, &e);
		if (prng_below(&r, 8) == 0)
			len = prng_below(&r, len);
		code = run_file(&e, len, 1);
		CHECK(code == CODE_REFUSED || code == CODE_RAN || code == 111);
		did[code == CODE_REFUSED]++;
	}
	/* Neither all nor none. */
	CHECK(did[0] > iters / 20 && did[1] > iters / 20);
	pw_exit(0);
}

#define ELF_TEST(name)                    \
	static void test_##name(void **s) \
	{                                 \
		(void)s;                  \
		PW_RUN(name, .cpus = 1);  \
	}
ELF_TEST(headers)
ELF_TEST(segments)
ELF_TEST(bss)
ELF_TEST(interp)
ELF_TEST(fuzz)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers), cmocka_unit_test(test_segments),
		cmocka_unit_test(test_bss),	cmocka_unit_test(test_interp),
		cmocka_unit_test(test_fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
