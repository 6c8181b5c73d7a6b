// SPDX-License-Identifier: MIT
/*
 * debugged.c - what gdb.sh looks into: recursion, threads that write a word, a
 * wait for who attaches ("wait"), and a death that leaves a core ("crash").
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int watched;
char *kept, *left;

static int fib(int n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void *add(void *arg)
{
	watched += *(int *)arg;
	return NULL;
}

static volatile int there;

static void *rest(void *arg)
{
	there = 1;
	for (;;)
		pause();
	return arg;
}

static void crash(int depth)
{
	if (depth)
		crash(depth - 1);
	else
		*(volatile int *)(uintptr_t)watched = 1;
	watched++;
}

static char *area(const char *text)
{
	char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return strcpy(at, text);
}

int main(int argc, char **argv)
{
	int a = 3, b = 4;
	double x = 1.5;
	pthread_t t;

	if (argc > 1) {
		kept = area("what was kept");
		left = area("what was left");
		madvise(left, 8192, MADV_DONTDUMP);
		watched = 4711;
		pthread_create(&t, NULL, rest, NULL);
		while (!there)
			usleep(1000);
	}
	if (argc > 1 && !strcmp(argv[1], "wait"))
		rest(NULL);
	if (argc > 1) {
		__asm__ volatile("movsd %0, %%xmm7" ::"m"(x));
		crash(3);
	}
	printf("fib %d\n", fib(10));
	pthread_create(&t, NULL, add, &a);
	pthread_join(t, NULL);
	pthread_create(&t, NULL, add, &b);
	pthread_join(t, NULL);
	return watched;
}
