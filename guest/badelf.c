/* SPDX-License-Identifier: MIT */
/*
 * badelf.c - programs that are wrong, and a kernel that must say so.
 *
 * Each case writes a file made of a good program with one thing spoilt, and
 * executes it in a child. What is allowed: an error of execve(2) where the file
 * cannot be a program, a signal where the old program is gone already. Never: a
 * program that runs although its file is nonsense, or a kernel that dies.
 * "ok CASE" or "not ok CASE: what" for each; afterwards the memory that was
 * there before must be there again.
 */
#include "sys.h"

#include <linux/elf.h>

#define BASE	 0x10000000UL
#define PAGE	 4096UL
#define PATH	 "/tmp/badelf"
#define ERRNO(e) (-(e))

static struct {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[3];
	u8 code[64];
	u8 rest[PAGE];
} good, bad;

/* exit_group(77) */
static const u8 code[] = {0xb8, 0xe7, 0, 0, 0, 0xbf, 77, 0, 0, 0, 0x0f, 0x05};

static void make_good(void)
{
	good.eh = (Elf64_Ehdr){.e_ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
			       .e_type = ET_EXEC,
			       .e_machine = EM_X86_64,
			       .e_version = 1,
			       .e_entry = BASE + offsetof(typeof(good), code),
			       .e_phoff = offsetof(typeof(good), ph),
			       .e_ehsize = sizeof(Elf64_Ehdr),
			       .e_phentsize = sizeof(Elf64_Phdr),
			       .e_phnum = 1,
			       .e_shentsize = 64};
	good.ph[0] = (Elf64_Phdr){.p_type = PT_LOAD,
				  .p_flags = PF_R | PF_X,
				  .p_vaddr = BASE,
				  .p_filesz = sizeof(good),
				  .p_memsz = sizeof(good),
				  .p_align = PAGE};
	good.ph[1] = good.ph[2] = good.ph[0];
	memcpy(good.code, code, sizeof(code));
}

/* ---- cases -----------------------------------------------------------------
 */

/* What may come of it; several may be right. */
enum {
	RUNS = 1,   /* it is a program: 77 */
	NOEXEC = 2, /* ENOEXEC, EINVAL, ENOMEM, EIO, ELIBBAD, EACCES */
	KILLED = 4  /* a signal */
};

struct bad_case {
	const char *name;
	void (*spoil)(void);
	u32 len; /* of the file; 0: whole */
	u32 allowed;
};

static void nothing(void)
{
}

static void machine(void)
{
	bad.eh.e_machine = EM_AARCH64;
}

static void class32(void)
{
	bad.eh.e_ident[EI_CLASS] = ELFCLASS32;
}

static void type_rel(void)
{
	bad.eh.e_type = ET_REL;
}

static void magic(void)
{
	bad.eh.e_ident[1] = 'X';
}

static void no_headers(void)
{
	bad.eh.e_phnum = 0;
}

static void many_headers(void)
{
	bad.eh.e_phnum = 0xffff;
}

static void header_size(void)
{
	bad.eh.e_phentsize = 8;
}

static void headers_far(void)
{
	bad.eh.e_phoff = 1UL << 40;
}

static void headers_wrap(void)
{
	bad.eh.e_phoff = ~0UL - 16;
}

static void huge_memory(void)
{
	bad.ph[0].p_memsz = 1UL << 46;
}

static void wrapping_memory(void)
{
	bad.ph[0].p_memsz = ~0UL - BASE + 8;
}

static void file_over_memory(void)
{
	bad.ph[0].p_memsz = 16;
}

static void kernel_address(void)
{
	bad.ph[0].p_vaddr = 0xffffffff80000000UL;
}

static void border_address(void)
{
	bad.ph[0].p_vaddr = 0x7fffffffe000UL;
}

static void misaligned(void)
{
	bad.ph[0].p_offset = 8;
}

static void file_beyond(void)
{
	bad.ph[0].p_offset = 1UL << 30;
}

static void entry_nowhere(void)
{
	bad.eh.e_entry = 0x12345678000UL;
}

static void entry_kernel(void)
{
	bad.eh.e_entry = 0xffffffff80000000UL;
}

static void entry_odd(void)
{
	bad.eh.e_entry = 0x8000000000000000UL;
}

static void not_executable(void)
{
	bad.ph[0].p_flags = PF_R;
}

static void overlap(void)
{
	bad.eh.e_phnum = 3;
	bad.ph[1].p_vaddr += PAGE / 2;
	bad.ph[1].p_offset = PAGE / 2;
	bad.ph[1].p_filesz = bad.ph[1].p_memsz = 64;
	bad.ph[2].p_flags = PF_R | PF_W;
	bad.ph[2].p_memsz = 16 * PAGE;
}

static void interpreter(const char *path, u64 len)
{
	bad.eh.e_phnum = 2;
	bad.ph[1] = bad.ph[0];
	bad.ph[0] = (Elf64_Phdr){.p_type = PT_INTERP,
				 .p_offset = offsetof(typeof(bad), rest),
				 .p_filesz = len};
	memcpy(bad.rest, path, strlen(path) + 1);
}

static void interp_missing(void)
{
	interpreter("/no/such/interpreter", 21);
}

static void interp_open_ended(void)
{
	interpreter("/tmp/badelf", 4);
}

static void interp_long(void)
{
	interpreter("/tmp/badelf", 1UL << 33);
}

static void interp_itself(void)
{
	interpreter(PATH, sizeof(PATH));
}

static void interp_null(void)
{
	interpreter("/dev/null", 10);
}

static const struct bad_case cases[] = {
	{"a good one", nothing, 0, RUNS},
	{"an empty file", nothing, 1, NOEXEC},
	{"cut in the header", nothing, 40, NOEXEC},
	{"cut in the program headers", nothing, 80, NOEXEC},
	{"cut behind the headers", nothing, 232, KILLED | NOEXEC | RUNS},
	{"another machine", machine, 0, NOEXEC},
	{"32 bits", class32, 0, NOEXEC | KILLED | RUNS},
	{"an object file", type_rel, 0, NOEXEC},
	{"another magic word", magic, 0, NOEXEC},
	{"no program headers", no_headers, 0, NOEXEC | KILLED},
	{"65535 program headers", many_headers, 0, NOEXEC | KILLED},
	{"program headers of 8 bytes", header_size, 0, NOEXEC},
	{"program headers far away", headers_far, 0, NOEXEC},
	{"program headers that wrap", headers_wrap, 0, NOEXEC},
	{"64 TiB of memory", huge_memory, 0, NOEXEC | KILLED | RUNS},
	{"memory that wraps", wrapping_memory, 0, NOEXEC | KILLED},
	{"more file than memory", file_over_memory, 0, NOEXEC | KILLED},
	{"at a kernel's address", kernel_address, 0, NOEXEC | KILLED},
	{"at the border of user space", border_address, 0, NOEXEC | KILLED},
	{"misaligned", misaligned, 0, NOEXEC | KILLED},
	{"contents beyond the file", file_beyond, 0, NOEXEC | KILLED},
	{"begins nowhere", entry_nowhere, 0, NOEXEC | KILLED},
	{"begins in the kernel", entry_kernel, 0, NOEXEC | KILLED},
	{"begins at no address", entry_odd, 0, NOEXEC | KILLED},
	{"not executable", not_executable, 0, KILLED},
	{"segments over each other", overlap, 0, RUNS | NOEXEC | KILLED},
	{"interpreter missing", interp_missing, 0, NOEXEC | KILLED},
	{"interpreter's name without end", interp_open_ended, 0, NOEXEC},
	{"interpreter's name of 8 GiB", interp_long, 0, NOEXEC},
	{"its own interpreter", interp_itself, 0, NOEXEC | KILLED | RUNS},
	{"a device as interpreter", interp_null, 0, NOEXEC | KILLED},
};

/* ---- trying them -----------------------------------------------------------
 */

static void put(size_t len)
{
	long fd = SYS(openat, -100ULL, U64(PATH), O_WR | O_NEW | O_EMPTY, 0755);

	if (fd < 0 || write_all((int)fd, &bad, len) || SYS(close, (u64)fd))
		SYS(exit_group, 3);
}

/* Which of RUNS, NOEXEC and KILLED it was; *DETAIL is status, errno, signal. */
static u32 attempt(s64 *detail)
{
	volatile long *err = (void *)SYS(mmap, 0, PAGE, P_READ | P_WRITE,
					 M_SHARED | M_ANON, (u64)-1, 0);
	const char *const argv[] = {PATH, NULL};
	int status = 0;
	long pid, e;

	*err = 0;
	pid = SYS(fork, 0);
	if (!pid) {
		*err = SYS(execve, U64(PATH), U64(argv), U64(argv + 1));
		SYS(exit_group, 1);
	}
	SYS(wait4, (u64)pid, U64(&status), 0, 0);
	e = *err;
	SYS(munmap, U64(err), PAGE);
	*detail = e ? -e : status & 0x7f ? status & 0x7f : status >> 8;
	if (e)
		return NOEXEC;
	if (status & 0x7f)
		return KILLED;
	return status >> 8 == 77 ? RUNS : 0;
}

static void verdict(const struct bad_case *c, u32 got, s64 detail)
{
	static const char *const what[] = {"ended oddly", "runs", "refused", 0,
					   "killed"};
	char line[200];
	size_t at = put_text(line, sizeof(line), 0,
			     got & c->allowed ? "ok " : "not ok ");

	at = put_text(line, sizeof(line), at, c->name);
	at = put_text(line, sizeof(line), at, ": ");
	at = put_text(line, sizeof(line), at, what[got]);
	at = put_text(line, sizeof(line), at, ", ");
	at = put_number(line, sizeof(line), at, detail);
	at = put_text(line, sizeof(line), at, "\n");
	write_all(1, line, at);
}

int guest_main(int argc, char **argv, char **envp)
{
	int failed = 0;

	(void)argc;
	(void)argv;
	(void)envp;
	make_good();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct bad_case *c = &cases[i];
		s64 detail = 0;
		u32 got;

		bad = good;
		c->spoil();
		put(c->len ? c->len : sizeof(bad));
		got = attempt(&detail);
		verdict(c, got, detail);
		failed += !(got & c->allowed);
	}
	SYS(unlink, U64(PATH));
	return failed != 0;
}
