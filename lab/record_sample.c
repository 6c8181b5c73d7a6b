/* SPDX-License-Identifier: MIT */
/*
 * record_sample.c - what pages hold: hash, zero or not, how well it packs.
 *
 * valgrind keeps a program's memory at the program's own addresses in its own
 * process, so /proc/PID/mem gives true bytes. The process runs ahead of its
 * text by what a pipe holds (some thousand references), so a sample is the
 * page as it was a moment later; that is good enough for statistics, and
 * equal pages are found equal, which is what samples are for.
 */
#include "record.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define SAMPLES_MAX 3 /* of one page in its life */

static bool all_zero(const u8 *p)
{
	return !p[0] && !memcmp(p, p + 1, PAGE_SIZE - 1);
}

#define PACKED_MAX ZSTD_COMPRESSBOUND(PAGE_SIZE)

/* P's size after compression; PACKED_MAX bytes behind it are scratch. */
static u32 packed_size(u8 *p)
{
	size_t n = ZSTD_compress(p + PAGE_SIZE, PACKED_MAX, p, PAGE_SIZE, 1);

	return ZSTD_isError(n) || n > PAGE_SIZE ? (u32)PAGE_SIZE : (u32)n;
}

static int sample_page(struct recorder *r, const struct rec_mm *mm,
		       struct rec_page *p, u8 *bytes)
{
	u64 hash = trace_sum64(bytes, PAGE_SIZE, 0);
	struct trace_rec rec = {.type = TRACE_CONTENT};

	p->dirty = 0;
	if (p->samples && hash == p->hash)
		return 0;
	p->hash = hash;
	p->samples++;
	rec.content.map = p->map;
	rec.content.page = p->page;
	rec.content.zero = all_zero(bytes);
	rec.content.csize = packed_size(bytes);
	rec.content.hash = rec.content.zero ? 0 : hash;
	if (p->gen != mm->gen) {
		const struct rec_vma *v = rec_vma_find(mm, p->vpn);

		if (!v || mm->maps[v->map].serial != p->serial)
			return 0;
	}
	return rec_write(r, &rec);
}

/* Once if only read, up to SAMPLES_MAX times if written in between. */
static bool wants_sample(const struct rec_page *p)
{
	if (!p->samples)
		return p->dirty;
	return (p->dirty & TRACE_W) && p->samples < SAMPLES_MAX;
}

int rec_sample(struct recorder *r, struct rec_mm *mm, pid_t pid)
{
	u8 *bytes = malloc(PAGE_SIZE + PACKED_MAX);
	char name[64];
	int fd, ret = 0;

	snprintf(name, sizeof(name), "/proc/%d/mem", (int)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !bytes) {
		if (fd >= 0)
			close(fd);
		free(bytes);
		return 0;
	}
	for (u32 i = 0; !ret && i < mm->nr_pages; i++) {
		struct rec_page *p = &mm->pages[i];

		if (wants_sample(p) &&
		    pread(fd, bytes, PAGE_SIZE, (off_t)(p->vpn * PAGE_SIZE)) ==
			    (ssize_t)PAGE_SIZE)
			ret = sample_page(r, mm, p, bytes);
	}
	close(fd);
	free(bytes);
	return ret;
}
