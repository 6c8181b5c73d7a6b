/* SPDX-License-Identifier: MIT */
/*
 * exec_snap.c - the executor's view of its own address space: mappings from
 * /proc/self/maps, populated pages from /proc/self/pagemap, contents by
 * looking, flags from smaps.
 */
#include "diff.h"
#include "exec_sys.h"

#define SCAN_IOCTL 0xc0606610u /* PAGEMAP_SCAN */

struct scan_region {
	uint64_t start, end, categories;
};

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, anyof, ret;
};

#define CAT_FILE    (1u << 2)
#define CAT_PRESENT (1u << 3)
#define CAT_SWAPPED (1u << 4)
#define CAT_ZERO    (1u << 5)

/* ---- reading a text file by lines ------------------------------------------
 */

struct lines {
	long fd;
	uint32_t at, len;
	char buf[8192];
};

static struct lines in;

/* The next character, or -1. */
static int next_char(void)
{
	if (in.at == in.len) {
		long n = SYS(NR_read, (uint64_t)in.fd, U64(in.buf),
			     sizeof(in.buf));

		if (n <= 0)
			return -1;
		in.at = 0;
		in.len = (uint32_t)n;
	}
	return in.buf[in.at++];
}

/* A line without its end, cut to fit. Its length, or -1 at the end. */
static int next_line(char *line, uint32_t max)
{
	uint32_t n = 0;
	int c = next_char();

	if (c < 0)
		return -1;
	for (; c >= 0 && c != '\n'; c = next_char())
		if (n + 1 < max)
			line[n++] = (char)c;
	line[n] = 0;
	return (int)n;
}

static long lines_open(const char *path)
{
	in.at = in.len = 0;
	in.fd = SYS(NR_open, U64(path), 0, 0);
	return in.fd < 0 ? in.fd : 0;
}

static void lines_close(void)
{
	SYS(NR_close, (uint64_t)in.fd);
}

static const char *parse_hex(const char *s, uint64_t *v)
{
	*v = 0;
	for (;; s++) {
		if (*s >= '0' && *s <= '9')
			*v = *v * 16 + (uint64_t)(*s - '0');
		else if (*s >= 'a' && *s <= 'f')
			*v = *v * 16 + (uint64_t)(*s - 'a' + 10);
		else
			return s;
	}
}

/* The text after N further words of S. */
static const char *skip_words(const char *s, int n)
{
	for (; n > 0; n--) {
		while (*s && *s != ' ')
			s++;
		while (*s == ' ')
			s++;
	}
	return s;
}

/* "start-end rwxp offset device inode path". Anything else is no mapping. */
static int parse_maps_line(const char *s, struct maps_line *m)
{
	s = parse_hex(s, &m->start);
	if (*s++ != '-')
		return 0;
	s = parse_hex(s, &m->end);
	if (*s++ != ' ')
		return 0;
	m->prot = (s[0] == 'r' ? DIFF_R : 0) | (s[1] == 'w' ? DIFF_W : 0) |
		  (s[2] == 'x' ? DIFF_X : 0) | (s[3] == 's' ? DIFF_SHARED : 0);
	(void)parse_hex(skip_words(s, 1), &m->offset);
	m->file = diff_file_id(skip_words(s, 4));
	return m->end > m->start && m->end <= DIFF_TASK_SIZE;
}

long maps_each(void (*fn)(const struct maps_line *m, void *arg), void *arg)
{
	char line[512];
	struct maps_line m;
	long err = lines_open("/proc/self/maps");

	if (err)
		return err;
	while (next_line(line, sizeof(line)) >= 0)
		if (parse_maps_line(line, &m))
			fn(&m, arg);
	lines_close();
	return 0;
}

/* ---- building the snapshot
 * ------------------------------------------------------- */

struct snap {
	struct diff_shared *sh;
	uint32_t start, at, count;
	int full;
};

static void put(struct snap *s, uint64_t word)
{
	if (s->at >= DIFF_BLOB) {
		s->full = 1;
		return;
	}
	s->sh->blob[s->at++] = word;
}

static void put_map(const struct maps_line *m, void *arg)
{
	struct snap *s = arg;

	if (m->start < DIFF_LOW_END)
		return;
	put(s, m->start);
	put(s, m->end | m->prot);
	put(s, 0);
	put(s, 0);
	put(s, m->file ? m->offset / DIFF_PAGE << 8 | m->file : 0);
	s->count++;
}

static int same(const char *a, const char *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (a[i] != b[i])
			return 0;
	return 1;
}

static uint64_t parse_vmflags(const char *s)
{
	static const char names[][3] = {
#define VF(id, text) text,
#include "vmflags.def"
#undef VF
	};
	uint64_t f = 0;

	for (; s[0] && s[1]; s++)
		for (unsigned i = 0; i < DIFF_NR_VF; i++)
			if (s[-1] == ' ' && same(s, names[i], 2))
				f |= 1ul << i;
	return f;
}

/* Is LINE that of NAME? Then *KB is its number. */
static void parse_size(const char *line, const char *name, uint64_t *kb)
{
	for (; *name; name++, line++)
		if (*line != *name)
			return;
	while (*line == ' ')
		line++;
	for (*kb = 0; *line >= '0' && *line <= '9'; line++)
		*kb = *kb * 10 + (uint64_t)(*line - '0');
}

/* Mappings with their flags: from smaps, which has the same first lines. */
static long put_smaps(struct snap *s)
{
	char line[512];
	struct maps_line m = {0, 0, 0, 0, 0}, next;
	uint64_t kb[NR_SZ] = {0};
	long err = lines_open("/proc/self/smaps");

	if (err)
		return err;
	while (next_line(line, sizeof(line)) >= 0) {
		if (parse_maps_line(line, &next)) {
			m = next;
		} else if (same(line, "VmFlags:", 8) &&
			   m.start >= DIFF_LOW_END) {
			put_map(&m, s);
			s->sh->blob[s->at - 3] = parse_vmflags(line + 8);
			s->sh->blob[s->at - 2] = diff_sizes(kb);
			/* What follows may be none of ours. */
			m.start = 0;
		} else {
			parse_size(line, "Rss:", &kb[SZ_RSS]);
			parse_size(line, "Pss:", &kb[SZ_PSS]);
			parse_size(line, "Anonymous:", &kb[SZ_ANON]);
			parse_size(line, "Locked:", &kb[SZ_LOCKED]);
		}
	}
	lines_close();
	return 0;
}

/* Is ADDR in a mapping of the snapshot that can be read? */
static int readable(const struct snap *s, uint64_t addr)
{
	const uint64_t *m = &s->sh->blob[s->start + 1];

	for (uint64_t i = 0; i < s->sh->blob[s->start];
	     i++, m += DIFF_MAP_WORDS)
		if (addr >= m[0] && addr < (m[1] & ~(DIFF_PAGE - 1)))
			return (m[1] & (DIFF_R | DIFF_W | DIFF_X)) != 0;
	return 0;
}

static void put_region(struct snap *s, const struct scan_region *r)
{
	uint64_t hidden = (r->categories & CAT_ZERO ? DIFF_PG_ZERO : 0) |
			  (r->categories & CAT_SWAPPED ? DIFF_PG_SWAP : 0);
	uint64_t kind = hidden | (r->categories & CAT_FILE ? DIFF_PG_FILE : 0);

	for (uint64_t a = r->start; a < r->end; a += DIFF_PAGE) {
		put(s, a | kind);
		put(s, !hidden && readable(s, a)
			       ? diff_hash((const void *)(uintptr_t)a)
			       : 0);
		s->count++;
	}
}

static long put_pages(struct snap *s)
{
	static struct scan_region vec[64];
	struct scan_arg a;
	long fd = SYS(NR_open, U64("/proc/self/pagemap"), 0, 0), n = 0;
	uint64_t from = DIFF_LOW_END;

	if (fd < 0)
		return fd;
	while (from < DIFF_TASK_SIZE) {
		memset(&a, 0, sizeof(a));
		a.size = sizeof(a);
		a.start = from;
		a.end = DIFF_TASK_SIZE;
		a.vec = U64(vec);
		a.vec_len = 64;
		a.anyof = CAT_PRESENT | CAT_SWAPPED;
		a.ret = CAT_PRESENT | CAT_SWAPPED | CAT_ZERO | CAT_FILE;
		n = SYS(NR_ioctl, (uint64_t)fd, SCAN_IOCTL, U64(&a));
		if (n < 0)
			break;
		for (long i = 0; i < n; i++)
			put_region(s, &vec[i]);
		from = a.walk_end;
	}
	SYS(NR_close, (uint64_t)fd);
	return n < 0 ? n : 0;
}

static void put_files(struct snap *s)
{
	uint64_t size, hash;

	uint32_t first = s->sh->files & DIFF_USES_DISK ? 0 : DIFF_FD_MEMFD;

	for (uint32_t n = first; n < DIFF_NR_FDS; n++) {
		file_state(n, &size, &hash);
		put(s, size);
		put(s, hash);
	}
}

long snapshot(struct diff_shared *sh, struct diff_result *res,
	      enum snap_depth depth)
{
	struct snap s = {sh, sh->blob_used, sh->blob_used, 0, 0};
	uint32_t at;
	long err;

	put(&s, 0);
	err = depth == SNAP_DEEP ? put_smaps(&s) : maps_each(put_map, &s);
	sh->blob[s.start] = s.count;
	if (!err && depth != SNAP_MAPS && sh->host.scan) {
		at = s.at;
		put(&s, 0);
		s.count = 0;
		err = put_pages(&s);
		sh->blob[at] = s.count;
		if (sh->files)
			put_files(&s);
	}
	res->blob = s.start;
	res->words = s.at - s.start;
	sh->blob_used = s.at;
	return s.full ? -28 : err;
}
