/* SPDX-License-Identifier: MIT */
/*
 * files.c - recorded by tests/cli/record.sh: maps a file shared and private,
 * forks, has a thread, moves a mapping. With a second argument it does all of
 * that without touching the mappings, so the difference of two recordings is
 * what the touches cost.
 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE  4096
#define PAGES 16
/* Places of their own, at the beginning of a window of fault-around. */
#define AT_SHARED  ((void *)0x10000000)
#define AT_PRIVATE ((void *)0x11000000)
#define AT_MEMORY  ((void *)0x12000000)
#define AT_MOVED   ((void *)0x13000000)

static int work;
static volatile char *memory;
static char buf[PAGES * PAGE];

static void store(volatile char *p, int from, int to)
{
	for (int i = from; work && i < to; i++)
		p[i * PAGE] = (char)i;
}

static void load(const volatile char *p, int from, int to)
{
	for (int i = from; work && i < to; i++)
		(void)p[i * PAGE];
}

static void *thread(void *arg)
{
	store(memory, 0, PAGES);
	return arg;
}

static void *map(void *at, int flags, int fd)
{
	return mmap(at, PAGES * PAGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED,
		    fd, 0);
}

/* The child's part. */
static void child(volatile char *shared, volatile char *private)
{
	store(shared, 0, PAGES); /* 16 minor, files */
	store(private, 0, 8);	 /* 8 minor, files: copies */
	load(private, 8, PAGES); /* inherited */
	store(memory, 0, PAGES); /* 16 minor, shared memory */
	_exit(7);
}

int main(int argc, char **argv)
{
	int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600), status = 0;
	volatile char *shared, *private;
	pthread_t t;
	pid_t pid;

	work = argc == 2;
	if (write(fd, buf, sizeof(buf)) != sizeof(buf) ||
	    pread(fd, buf, PAGE + 10, PAGE - 5) != PAGE + 10)
		return 1;
	shared = map(AT_SHARED, MAP_SHARED, fd);
	private = map(AT_PRIVATE, MAP_PRIVATE, fd);
	memory = map(AT_MEMORY, MAP_SHARED | MAP_ANONYMOUS, -1);
	store(shared, 0, PAGES); /* 16 minor, files */
	store(private, 0, 8);	 /* 8 minor, files: copies */
	load(private, 8, PAGES); /* one minor, files: around */
	store(memory, 0, PAGES); /* 16 minor, shared memory */
	pid = fork();
	if (pid == 0)
		child(shared, private);
	if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
		return 2;
	store(private, 0, 8); /* 8 minor, files: its own again */
	if (pthread_create(&t, NULL, thread, NULL) || pthread_join(t, NULL))
		return 3;
	private = mremap((void *)(unsigned long)private, PAGES * PAGE,
			 2 * PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			 AT_MOVED);
	if (private != AT_MOVED)
		return 4;
	store(private, 0, 8);	 /* moved with their entries */
	load(private, 8, PAGES); /* these, too */
	if (msync(AT_SHARED, PAGES * PAGE, MS_SYNC) ||
	    madvise(AT_MEMORY, 8 * PAGE, MADV_DONTNEED) ||
	    mprotect(AT_SHARED, PAGE, PROT_READ) || ftruncate(fd, 8 * PAGE))
		return 5;
	load(memory, 0, PAGES); /* one minor, shared memory: around */
	return unlink(argv[1]) || close(fd);
}
