/* SPDX-License-Identifier: MIT */
/*
 * sys.h - Linux's system calls of x86-64 for programs without a C library,
 * and the few functions of one that the compiler or we cannot do without.
 *
 * A program includes this once, in its only file, and defines guest_main().
 * Calls return what the kernel returns: a value, or -errno.
 */
#ifndef GUEST_SYS_H
#define GUEST_SYS_H

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t u64;
typedef int64_t s64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline long sys6(long nr, const u64 *a)
{
	register u64 r10 __asm__("r10") = a[3];
	register u64 r8 __asm__("r8") = a[4];
	register u64 r9 __asm__("r9") = a[5];
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10),
			   "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define SYS(nr, ...) sys6(__NR_##nr, (const u64[6]){__VA_ARGS__})
#define U64(p)	     ((u64)(uintptr_t)(p))

/* ---- constants of Linux's ABI ----------------------------------------------
 */

enum {
	E_NOENT = 2,
	E_INTR = 4,
	E_AGAIN = 11,
	E_EXIST = 17,
	E_NODEV = 19,
	E_NOSYS = 38
};
enum {
	O_RD = 0,
	O_WR = 1,
	O_RW = 2,
	O_NEW = 0100,
	O_EMPTY = 01000,
	O_NO_TTY = 0400,
	O_CLO = 02000000
};
enum {
	P_NONE = 0,
	P_READ = 1,
	P_WRITE = 2,
	P_EXEC = 4,
	M_SHARED = 1,
	M_PRIVATE = 2,
	M_FIXED = 0x10,
	M_ANON = 0x20,
	M_NORESERVE = 0x4000
};
#define SIG_KILL  9
#define SIG_CHLD  17
#define MS_MOVED  0x2000u
#define CLONE_MEM 0x100u
/* What pthread_create(3) asks for, without the parts for thread storage. */
#define CLONE_A_THREAD                                      \
	(CLONE_MEM | 0x200u /* FS */ | 0x400u /* FILES */ | \
	 0x800u /* SIGHAND */ | 0x10000u /* THREAD */ |     \
	 0x40000u /* SYSVSEM */)

struct sys_time {
	s64 sec, nsec;
};

/* ---- what compilers call by themselves -------------------------------------
 */

void *memset(void *p, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

void *memset(void *p, int c, size_t n)
{
	void *ret = p;

	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
	return ret;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *ret = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
	return ret;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

/* ---- text ------------------------------------------------------------------
 */

/* Length of OUT after S was put at AT; SIZE is OUT's. */
static inline size_t put_text(char *out, size_t size, size_t at, const char *s)
{
	while (*s && at + 1 < size)
		out[at++] = *s++;
	out[at] = 0;
	return at;
}

static inline size_t put_number(char *out, size_t size, size_t at, s64 v)
{
	char digits[24];
	u64 u = v < 0 ? 0 - (u64)v : (u64)v;
	int n = sizeof(digits) - 1;

	digits[n] = 0;
	do
		digits[--n] = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		digits[--n] = '-';
	return put_text(out, size, at, digits + n);
}

static inline int same_text(const char *a, const char *b)
{
	size_t n = strlen(a);

	return n == strlen(b) && !memcmp(a, b, n);
}

/* The number at *S; *S is moved behind it and the blanks that follow. */
static inline u64 take_number(const char **s)
{
	u64 v = 0;

	while (**s >= '0' && **s <= '9')
		v = v * 10 + (u64)(*(*s)++ - '0');
	while (**s == ' ')
		++*s;
	return v;
}

/* ---- files and time --------------------------------------------------------
 */

/* All of LEN bytes; 0 or -errno. */
static inline long write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		long n = SYS(write, (u64)fd, U64(p), len);

		if (n == -E_INTR)
			continue;
		if (n <= 0)
			return n ? n : -E_AGAIN;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* What fits of a file; its length, or -errno. */
static inline long read_file(const char *path, void *buf, size_t size)
{
	long fd = SYS(openat, -100ULL, U64(path), O_RD | O_CLO), n = 0;
	size_t at = 0;

	if (fd < 0)
		return fd;
	while (at < size) {
		n = SYS(read, (u64)fd, U64((char *)buf + at), size - at);
		if (n == -E_INTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	SYS(close, (u64)fd);
	return n < 0 ? n : (long)at;
}

static inline u64 now_ns(void)
{
	struct sys_time t = {0, 0};

	SYS(clock_gettime, 1 /* MONOTONIC */, U64(&t));
	return (u64)t.sec * 1000000000u + (u64)t.nsec;
}

static inline void sleep_ms(u64 ms)
{
	struct sys_time t = {(s64)(ms / 1000), (s64)(ms % 1000) * 1000000};

	SYS(nanosleep, U64(&t), 0);
}

static inline u64 ticks(void)
{
	u32 lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (u64)hi << 32 | lo;
}

/* ---- a thread --------------------------------------------------------------
 */

/*
 * sys_thread: FN(ARG) in a new thread of this process on the stack that ends
 * at TOP (16-aligned); *DONE becomes 1 when it has returned. -errno, or the
 * thread's id.
 */
long sys_thread(void *top, void (*fn)(void *), void *arg, volatile u32 *done);
__asm__(".text\n"
	".globl sys_thread\n"
	".type sys_thread, @function\n"
	"sys_thread:\n"
	"	sub $32, %rdi\n"
	"	mov %rsi, (%rdi)\n"
	"	mov %rdx, 8(%rdi)\n"
	"	mov %rcx, 16(%rdi)\n"
	"	mov %rdi, %rsi\n"
	"	mov $0x50f00, %edi\n" /* CLONE_A_THREAD */
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	xor %r8d, %r8d\n"
	"	mov $56, %eax\n" /* clone */
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	ret\n"
	"1:	xor %ebp, %ebp\n"
	"	mov 8(%rsp), %rdi\n"
	"	call *(%rsp)\n"
	"	mov 16(%rsp), %rcx\n"
	"	movl $1, (%rcx)\n"
	"	xor %edi, %edi\n"
	"	mov $60, %eax\n" /* exit */
	"	syscall\n"
	"	hlt\n");
_Static_assert(CLONE_A_THREAD == 0x50f00, "sys_thread has it as a number");

/* ---- the start -------------------------------------------------------------
 */

/* The program: its result is the exit status. */
int guest_main(int argc, char **argv, char **envp);

_Noreturn void guest_start(long *stack);
_Noreturn void guest_start(long *stack)
{
	int argc = (int)stack[0];
	char **argv = (char **)(stack + 1);
	int status = guest_main(argc, argv, argv + argc + 1);

	for (;;)
		SYS(exit_group, (u64)status);
}
__asm__(".text\n"
	".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call guest_start\n");

#endif
