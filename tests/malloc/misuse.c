/* SPDX-License-Identifier: MIT */
/*
 * misuse.c - a C program with one mistake, which its argument names, for
 * tests/malloc/misuse.sh. It knows nothing of the library: what stops it
 * was preloaded. Exit status 0: nobody noticed; 2: no such mistake.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 100

/* Names that the reports must have: not inlined, no tail calls. */
__attribute__((noinline)) void *who_allocates(size_t size);
__attribute__((noinline)) void *who_allocates(size_t size)
{
	void *volatile p = malloc(size);

	return p;
}

__attribute__((noinline)) void who_frees(void *p);
__attribute__((noinline)) void who_frees(void *p)
{
	free(p);
	__asm__ volatile("" ::: "memory");
}

static void *free_it(void *p)
{
	who_frees(p);
	return NULL;
}

static void free_in_thread(void *p)
{
	pthread_t t;

	if (pthread_create(&t, NULL, free_it, p) || pthread_join(t, NULL))
		exit(3);
}

static void overflow(void)
{
	char *volatile p = who_allocates(SIZE);

	p[SIZE] = 1;
	who_frees(p);
}

/* Without red zones the byte before an object is another's last. */
static void underflow(void)
{
	char *volatile p[64];

	for (int i = 0; i < 64; i++)
		p[i] = who_allocates(SIZE);
	for (int i = 0; i < 64; i++)
		p[i][-1] ^= 0x55;
	for (int i = 0; i < 64; i++)
		who_frees(p[i]);
}

static void use_after_free(void)
{
	char *volatile p = who_allocates(SIZE);

	who_frees(p);
	p[10] = 1;
}

static void twice(void)
{
	char *volatile p = who_allocates(SIZE);

	who_frees(p);
	who_frees(p);
}

static void twice_elsewhere(void)
{
	char *volatile p = who_allocates(SIZE);

	who_frees(p);
	free_in_thread(p);
}

static void interior(void)
{
	char *volatile p = who_allocates(SIZE);

	who_frees(p + 16);
}

static void foreign(void)
{
	char bytes[4 * SIZE] = {0};
	char *volatile p = bytes;

	who_frees(p + 64);
}

/* What is free is linked through its first bytes. */
static void link_overwritten(void)
{
	static char *p[600];

	for (int i = 0; i < 600; i++)
		p[i] = who_allocates(SIZE);
	for (int i = 0; i < 600; i++)
		who_frees(p[i]);
	for (int i = 0; i < 600; i++)
		memset(*(char *volatile *)&p[i], 0x41, 8);
	for (int i = 0; i < 600; i++)
		p[i] = who_allocates(SIZE);
}

/* No mistake: every size can be had, each in a cache of its own. */
static void sizes(void)
{
	for (size_t n = 1; n < 9000; n++) {
		char *p = who_allocates(n);

		if (!p)
			abort();
		who_frees(p);
	}
}

static const struct {
	const char *name;
	void (*fn)(void);
} mistakes[] = {
	{"overflow", overflow},
	{"underflow", underflow},
	{"use_after_free", use_after_free},
	{"twice", twice},
	{"twice_elsewhere", twice_elsewhere},
	{"interior", interior},
	{"foreign", foreign},
	{"link_overwritten", link_overwritten},
	{"sizes", sizes},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
		if (argc == 2 && !strcmp(argv[1], mistakes[i].name)) {
			mistakes[i].fn();
			return 0;
		}
	}
	return 2;
}
