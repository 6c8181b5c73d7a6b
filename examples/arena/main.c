/* SPDX-License-Identifier: MIT */
/*
 * main.c - an arena on a mapped file: objects live in the file, what is known
 * of them does not, and what is free becomes a hole in the file again.
 *
 * Linked with libmmkit-arena.a and the C library, nothing else.
 *
 *   arena [FILE [MiB]]   use FILE, or a file without a name; default 64 MiB
 *
 * The map is put at a multiple of 2 MiB, so that a file on a file system of
 * huge pages works too; --huge as FILE asks for such a file without a name.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mmkit/arena.h>

#define HUGE_BYTES (2ul << 20)
#define NR_STRINGS 40000

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "arena: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* BYTES of FD at a multiple of 2 MiB. */
static char *map_file(int fd, size_t bytes)
{
	char *room = mmap(NULL, bytes + HUGE_BYTES, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t at = ((uintptr_t)room + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
	void *p;

	if (room == MAP_FAILED)
		die("no addresses");
	p = mmap((void *)at, bytes, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, fd, 0);
	if (p == MAP_FAILED)
		die("cannot map");
	return p;
}

/* The caller's way of giving back: a hole in the file. */
static int punch(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	return madvise(p, bytes, MADV_REMOVE);
}

static void show(const char *when, int fd, struct mmkit_arena *a)
{
	struct mmkit_arena_stats st;
	struct stat file;

	mmkit_arena_stats(a, &st);
	if (fstat(fd, &file))
		die("fstat");
	printf("%s: file %ld KiB, live %zu, in use %zu KiB, free %zu KiB\n",
	       when, (long)file.st_blocks / 2, st.objects + st.runs,
	       (st.run_pages + st.slab_pages) * 4, st.free_pages * 4);
}

/* String number I, as it must be. */
static int expect(char *out, size_t size, int i)
{
	return snprintf(out, size, "string %d%*s", i, i % 300, "");
}

static void run(struct mmkit_arena *a, int fd)
{
	static char *string[NR_STRINGS];
	char want[512];
	size_t bytes;

	show("empty", fd, a);
	for (int i = 0; i < NR_STRINGS; i++) {
		size_t len = (size_t)expect(want, sizeof(want), i) + 1;

		string[i] = mmkit_arena_alloc(a, len);
		if (!string[i])
			die("the file is full");
		memcpy(string[i], want, len);
	}
	show("full", fd, a);
	for (int i = 0; i < NR_STRINGS; i++) {
		if (i >= 1000 && mmkit_arena_free(a, string[i]))
			die("free");
	}
	show("a few left", fd, a);
	bytes = mmkit_arena_trim(a, punch, NULL);
	printf("given back: %zu KiB\n", bytes / 1024);
	show("trimmed", fd, a);
	for (int i = 0; i < 1000; i++) {
		expect(want, sizeof(want), i);
		if (strcmp(want, string[i]))
			die("a string was lost");
	}
}

static int open_file(int argc, char **argv)
{
	int fd;

	if (argc < 2)
		fd = memfd_create("arena", MFD_CLOEXEC);
	else if (!strcmp(argv[1], "--huge"))
		fd = memfd_create("arena", MFD_CLOEXEC | MFD_HUGETLB);
	else
		fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die(argc < 2 ? "memfd_create" : argv[1]);
	return fd;
}

int main(int argc, char **argv)
{
	size_t mib = argc > 2 ? strtoul(argv[2], NULL, 0) : 64;
	struct mmkit_arena_options o = {0};
	int fd = open_file(argc, argv), err = 0;
	struct mmkit_arena *a;

	if (argc > 1 && !strcmp(argv[1], "--huge"))
		o.trim_align = HUGE_BYTES;
	if (!mib || mib > 1ul << 20 || ftruncate(fd, (off_t)(mib << 20)))
		die("the size");
	a = mmkit_arena_create_with(map_file(fd, mib << 20), mib << 20, &o,
				    &err);
	if (!a)
		die("mmkit_arena_create_with");
	run(a, fd);
	if (mmkit_arena_check(a))
		return 1;
	printf("left behind: %zu strings\n", mmkit_arena_destroy(a));
	return 0;
}
