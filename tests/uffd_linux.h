/* SPDX-License-Identifier: MIT */
/*
 * uffd_linux.h - the running kernel as a side of uffd_script.h; each case in a
 * process of its own, as root, with what <linux/userfaultfd.h> may be too old
 * for.
 */
#ifndef TESTS_UFFD_LINUX_H
#define TESTS_UFFD_LINUX_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "uffd_script.h"

#define UL_USERFAULTFD 323 /* x86-64 */

static struct {
	int fd, file;
	pthread_t bg;
	struct us_cmd cmd;
	s64 ret;
	int done;
} ul;

/* Milliseconds after which a thread is said not to end. A machine that is busy
 * may need more: who is not content with an answer asks again. */
#define UL_PATIENCE	 200
#define UL_MORE_PATIENCE 4000
static long ul_patience = UL_PATIENCE;

static _Thread_local sigjmp_buf ul_jump;

static void ul_signal(int sig, siginfo_t *si, void *ctx)
{
	(void)ctx;
	siglongjmp(ul_jump, sig << 16 | (si->si_code & 0xff) << 8);
}

static void ul_begin(void)
{
	struct sigaction sa = {.sa_sigaction = ul_signal,
			       .sa_flags = SA_SIGINFO | SA_NODEFER};
	char *at;

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	ul.fd = -1;
	ul.file = (int)syscall(SYS_memfd_create, "uffd", 0);
	at = mmap((void *)(US_BASE + US_SRC * 4096UL), 9 * 4096,
		  PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (ul.file < 0 || ftruncate(ul.file, 32 * 4096) || at == MAP_FAILED)
		_exit(3);
	for (int i = 0; i < 8; i++)
		memset(at + i * 4096, US_SRC + i, 4096);
	at[8 * 4096] = 1;
}

static s64 ul_err(long ret)
{
	return ret == -1 ? -errno : ret;
}

static s64 ul_touch(u64 at, int store)
{
	volatile unsigned char *p = (void *)at;
	int sig = sigsetjmp(ul_jump, 1);

	if (sig)
		return sig;
	if (store < 0)
		return *p;
	*p = (unsigned char)store;
	return 0;
}

static s64 ul_map(const struct us_cmd *c)
{
	const char *kind = c->word[0], *prot = c->word[1];
	int flags = MAP_FIXED, bits = 0, fd = -1;

	if (strchr(prot, 'r'))
		bits |= PROT_READ;
	if (strchr(prot, 'w'))
		bits |= PROT_WRITE;
	if (!strcmp(kind, "anon"))
		flags |= MAP_PRIVATE | MAP_ANONYMOUS;
	else if (!strcmp(kind, "shared"))
		flags |= MAP_SHARED | MAP_ANONYMOUS;
	else
		flags |= !strcmp(kind, "file") ? MAP_SHARED : MAP_PRIVATE;
	if (!(flags & MAP_ANONYMOUS))
		fd = ul.file;
	return ul_err((long)mmap((void *)c->a[0], c->a[1], bits, flags, fd, 0));
}

/* The kernel's own read of one byte. */
static s64 ul_kernel_read(u64 at)
{
	unsigned char byte = 0;
	u64 to[2] = {(u64)(uintptr_t)&byte, 1}, from[2] = {at, 1};
	long ret = syscall(SYS_process_vm_readv, getpid(), to, 1UL, from, 1UL,
			   0UL);

	return ret == 1 ? byte : ul_err(ret);
}

static s64 ul_call(const struct us_cmd *c)
{
	const u64 *a = c->a;

	if (!strcmp(c->name, "map"))
		return ul_map(c);
	if (!strcmp(c->name, "munmap"))
		return ul_err(munmap((void *)a[0], a[1]));
	if (!strcmp(c->name, "mprotect"))
		return ul_err(mprotect((void *)a[0], a[1], (int)a[2]));
	if (!strcmp(c->name, "madvise"))
		return ul_err(madvise((void *)a[0], a[1], (int)a[2]));
	if (!strcmp(c->name, "mremap"))
		return ul_err((long)mremap((void *)a[0], a[1], a[2], (int)a[3],
					   (void *)a[4]));
	if (!strcmp(c->name, "open")) {
		ul.fd = (int)syscall(UL_USERFAULTFD, (int)a[0]);
		return ul.fd < 0 ? -errno : 0;
	}
	if (!strcmp(c->name, "close"))
		return ul_err(close(ul.fd));
	if (!strcmp(c->name, "ioctl"))
		return ul_err(ioctl(ul.fd, (unsigned long)a[0], a[1]));
	if (!strcmp(c->name, "kr"))
		return ul_kernel_read(a[0]);
	if (!strcmp(c->name, "fw")) {
		char page[4096];

		memset(page, (int)a[1], sizeof(page));
		return ul_err(pwrite(ul.file, page, 4096, (off_t)a[0] * 4096));
	}
	if (!strcmp(c->name, "punch"))
		return ul_err(
			fallocate(ul.file, 3, (off_t)a[0] * 4096, (off_t)a[1]));
	if (!strcmp(c->name, "trunc"))
		return ul_err(ftruncate(ul.file, (off_t)a[0] * 4096));
	if (c->name[0] == 'r' || c->name[0] == 'w')
		return ul_touch(a[0], c->name[0] == 'w' ? (int)a[1] : -1);
	abort();
}

static s64 ul_ioctl(u32 cmd, u64 *words, int n)
{
	u64 *arg = (void *)(US_BASE + US_ARG * 4096UL);
	s64 ret;

	memcpy(arg, words, (size_t)n * 8);
	ret = ul_err(ioctl(ul.fd, (unsigned long)cmd, arg));
	memcpy(words, arg, (size_t)n * 8);
	return ret;
}

static void *ul_thread(void *arg)
{
	(void)arg;
	ul.ret = ul_call(&ul.cmd);
	__atomic_store_n(&ul.done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void ul_background(const struct us_cmd *c)
{
	ul.cmd = *c;
	ul.done = 0;
	if (pthread_create(&ul.bg, NULL, ul_thread, NULL))
		abort();
	usleep(2000); /* or it begins after what comes next */
}

static int ul_join(s64 *ret)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ul_patience / 1000;
	until.tv_nsec += ul_patience % 1000 * 1000 * 1000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	if (pthread_timedjoin_np(ul.bg, NULL, &until))
		return 0;
	*ret = ul.ret;
	return 1;
}

static s64 ul_msg(struct uffd_msg *m, int wait)
{
	struct pollfd p = {ul.fd, POLLIN, 0};

	memset(m, 0, sizeof(*m));
	if (wait)
		poll(&p, 1, 5 * (int)ul_patience);
	return ul_err(read(ul.fd, m, sizeof(*m)));
}

static u64 ul_pagemap(u64 at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	u64 w = 0;

	if (fd < 0 || pread(fd, &w, 8, (off_t)(at / 4096 * 8)) != 8)
		_exit(3);
	close(fd);
	return w;
}

static void ul_vmas(struct us_out *o)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	u64 start, end;
	int in = 0;

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long s, e;

		if (sscanf(line, "%lx-%lx ", &s, &e) == 2) {
			start = s;
			end = e;
			in = start >= US_BASE &&
			     end <= US_BASE + US_SRC * 4096UL;
		}
		if (!in || strncmp(line, "VmFlags:", 8))
			continue;
		us_put_place(o, start);
		US_PUT(o, "-");
		us_put_place(o, end);
		US_PUT(o, "%s%s%s ", strstr(line, " um") ? "+um" : "",
		       strstr(line, " uw") ? "+uw" : "",
		       strstr(line, " ui") ? "+ui" : "");
	}
	if (f)
		fclose(f);
}

static void ul_end(void)
{
}

static const struct us_side uffd_linux = {
	.begin = ul_begin,
	.call = ul_call,
	.ioctl = ul_ioctl,
	.touch = ul_touch,
	.background = ul_background,
	.join = ul_join,
	.msg = ul_msg,
	.pagemap = ul_pagemap,
	.vmas = ul_vmas,
	.end = ul_end,
};

/* Can the running kernel be asked? It must know all that we know. */
static int ul_usable(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(UL_USERFAULTFD, O_NONBLOCK), ok;

	if (fd < 0)
		return 0;
	ok = geteuid() == 0 &&
	     ioctl(fd, (unsigned long)UFFDIO_API, &api) == 0 &&
	     (api.features & UFFD_API_FEATURES) == UFFD_API_FEATURES;
	close(fd);
	return ok;
}

/* One case, in a process of its own: its text in OUT, shared memory. */
static int ul_case(const char **text, struct us_out *out)
{
	const char *here = *text;
	struct us_out none;
	int status;
	pid_t pid;

	/* Where the next one begins. */
	if (!us_case(NULL, text, &none))
		return 0;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(60);
		us_case(&uffd_linux, &here, out);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status)
		US_PUT(out, "the process ended with %x\n", status);
	return 1;
}

#endif
