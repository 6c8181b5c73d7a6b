/* SPDX-License-Identifier: MIT */
/*
 * elf.c - ELF programs: into memory, and what they find on their stack.
 *
 * 1. A file is hostile. Every number in it is checked against what it counts
 *    and against user space before it is used; sums are made where they cannot
 *    wrap. All mappings go into an address space that nobody runs in yet, so
 *    whatever fails leaves the caller's program as it was.
 *
 * 2. Segments are mappings of the file, so pages are shared with the cache and
 *    with other processes. Bytes behind the file's part are zeroed in its last
 *    page; whole pages behind that are anonymous.
 *
 * 3. Places. ET_EXEC says where. ET_DYN with an interpreter goes to
 *    DYN_BASE, as on Linux without randomisation; interpreters, and programs
 *    that relocate themselves, go where mmap(2) finds room. The whole range of
 *    an ET_DYN image is reserved first: its segments keep their distances.
 *
 * 4. The heap begins behind the program's last page; that of a self-relocating
 *    one at DYN_BASE, since behind its image there may be others.
 *
 * Reference: System V ABI and its AMD64 supplement, elf(5), getauxval(3).
 */
#include <mmkit/fs.h>
#include <mmkit/mman.h>
#include <mmkit/slab.h>
#include <mmkit/uaccess.h>

#include "base/string.h"
#include "space/space.h"
#include "task/elf.h"
#include "task/exec.h"
#include "vfs.h"

#define DYN_BASE 0x555555554000UL

#define MAX_PHDRS (65536u / 56u)

/* One file on its way in. */
struct image {
	struct file *file;
	struct mm_struct *mm;
	struct elf_ehdr h;
	struct elf_phdr *ph;
	u64 lo, hi; /* page range of all segments, as linked */
	u64 bias;   /* where it is, less where it was linked */
	struct prctl_mm_map map;
};

/* ---- headers ---------------------------------------------------------------
 */

static bool header_ok(const struct elf_ehdr *h)
{
	static const u8 magic[7] = {
		0x7f, 'E', 'L', 'F', 2 /* 64 bits */, 1 /* little endian */,
		1 /* version */};

	return mm_memcmp(h->ident, magic, sizeof(magic)) == 0 &&
	       (h->type == ET_EXEC || h->type == ET_DYN) &&
	       h->machine == EM_X86_64 &&
	       h->phentsize == sizeof(struct elf_phdr) && h->phnum > 0 &&
	       h->phnum <= MAX_PHDRS;
}

/* A segment's numbers: do they describe a piece of user space? */
static bool segment_ok(const struct image *im, const struct elf_phdr *ph)
{
	u64 end = im->mm->layout.task_size;

	if (ph->filesz > ph->memsz || ph->memsz > end || ph->vaddr >= end ||
	    ph->vaddr + ph->memsz > end)
		return false;
	if (ph->offset + ph->filesz < ph->offset ||
	    ph->offset + ph->filesz > MAX_LFS_FILESIZE)
		return false;
	return ((ph->vaddr ^ ph->offset) & ~PAGE_MASK) == 0;
}

/* The range of all segments. 0; -ENOEXEC: none, or one is not right. */
static int image_range(struct image *im)
{
	im->lo = ~0UL;
	im->hi = 0;
	for (u32 i = 0; i < im->h.phnum; i++) {
		const struct elf_phdr *ph = &im->ph[i];

		if (ph->type != PT_LOAD)
			continue;
		if (!segment_ok(im, ph))
			return -ENOEXEC;
		if (!ph->memsz)
			continue;
		im->lo = min(im->lo, PAGE_ALIGN_DOWN(ph->vaddr));
		im->hi = max(im->hi, PAGE_ALIGN(ph->vaddr + ph->memsz));
	}
	return im->lo < im->hi ? 0 : -ENOEXEC;
}

/* Headers of IM->file; HEAD: its first bytes, if they are known. */
static int image_open(struct image *im, const void *head)
{
	u64 bytes;
	int err = 0;

	if (head)
		mm_memcpy(&im->h, head, sizeof(im->h));
	else
		err = exec_read(im->file, &im->h, sizeof(im->h), 0);
	if (err)
		return err;
	if (!header_ok(&im->h))
		return -ENOEXEC;
	bytes = (u64)im->h.phnum * sizeof(*im->ph);
	if (im->h.phoff > MAX_LFS_FILESIZE - bytes)
		return -ENOEXEC;
	im->ph = kvmalloc(bytes, GFP_KERNEL);
	if (!im->ph)
		return -ENOMEM;
	err = exec_read(im->file, im->ph, bytes, im->h.phoff);
	return err ? err : image_range(im);
}

static void image_end(struct image *im)
{
	kvfree(im->ph);
	im->ph = NULL;
}

/* ---- mapping ---------------------------------------------------------------
 */

static int prot_of(const struct elf_phdr *ph)
{
	return (ph->flags & PF_R ? PROT_READ : 0) |
	       (ph->flags & PF_W ? PROT_WRITE : 0) |
	       (ph->flags & PF_X ? PROT_EXEC : 0);
}

/* Anonymous pages at exactly [START, END). */
static int map_zeroes(struct image *im, u64 start, u64 end, int prot)
{
	s64 at;

	if (start >= end)
		return 0;
	at = do_mmap(im->mm, start, end - start, prot,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
	return at < 0 ? (int)at : 0;
}

/*
 * The bytes of PH's last page behind the file's part are zero for the program,
 * if it may write there; what it only reads may show the file's.
 */
static int zero_rest(struct image *im, const struct elf_phdr *ph)
{
	u64 from = im->bias + ph->vaddr + ph->filesz;
	u64 n = PAGE_ALIGN(from) - from;

	if (ph->filesz == ph->memsz || !n || !(ph->flags & PF_W))
		return 0;
	return clear_user(im->mm, from, n) ? -EFAULT : 0;
}

static int map_segment(struct image *im, const struct elf_phdr *ph)
{
	u64 off = ph->vaddr & ~PAGE_MASK;
	u64 start = im->bias + ph->vaddr - off;
	u64 file_end = start + PAGE_ALIGN(ph->filesz + off);
	u64 end = PAGE_ALIGN(im->bias + ph->vaddr + ph->memsz);
	struct mm_mmap req = {
		.addr = start,
		.len = file_end - start,
		.prot = prot_of(ph),
		.flags = MAP_PRIVATE | MAP_FIXED,
		.file = im->file,
		.pgoff = (ph->offset - off) >> PAGE_SHIFT,
	};
	s64 at;
	int err;

	if (!ph->memsz)
		return 0;
	if (!ph->filesz)
		return map_zeroes(im, start, end, req.prot);
	at = do_mmap_file(im->mm, &req);
	if (at < 0)
		return (int)at;
	err = zero_rest(im, ph);
	return err ? err : map_zeroes(im, file_end, end, req.prot);
}

/* Where an ET_DYN image goes: at WHERE, or (0) where there is room. */
static int place(struct image *im, u64 where)
{
	u64 size = im->hi - im->lo, align = PAGE_SIZE;
	s64 at;
	int err;

	for (u32 i = 0; i < im->h.phnum; i++) {
		const struct elf_phdr *ph = &im->ph[i];

		if (ph->type == PT_LOAD && ph->align > align &&
		    (ph->align & (ph->align - 1)) == 0 &&
		    ph->align <= (1UL << 30))
			align = ph->align;
	}
	if (size + align < size)
		return -ENOMEM;
	if (where) {
		where = ALIGN(where, align);
		im->bias = where - im->lo;
		return where + size > im->mm->layout.mmap_base ? -ENOMEM : 0;
	}
	/* Room for its alignment; what is left over goes back. */
	at = do_mmap(im->mm, 0, size + align - PAGE_SIZE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	if (at < 0)
		return (int)at;
	err = do_munmap(im->mm, (u64)at, size + align - PAGE_SIZE);
	im->bias = ALIGN((u64)at, align) - im->lo;
	return err;
}

/* The bounds that /proc and prctl(2) show. */
static void note_segment(struct image *im, const struct elf_phdr *ph)
{
	u64 start = im->bias + ph->vaddr;
	struct prctl_mm_map *m = &im->map;

	if (ph->flags & PF_X) {
		if (!m->start_code || start < m->start_code)
			m->start_code = start;
		m->end_code = max(m->end_code, start + ph->filesz);
	} else if (ph->flags & PF_W) {
		if (!m->start_data || start < m->start_data)
			m->start_data = start;
		m->end_data = max(m->end_data, start + ph->filesz);
	}
}

static int map_image(struct image *im)
{
	for (u32 i = 0; i < im->h.phnum; i++) {
		int err;

		if (im->ph[i].type != PT_LOAD)
			continue;
		err = map_segment(im, &im->ph[i]);
		if (err)
			return err;
		if (im->ph[i].memsz)
			note_segment(im, &im->ph[i]);
	}
	return 0;
}

/* ---- the interpreter -------------------------------------------------------
 */

static const struct elf_phdr *find_phdr(const struct image *im, u32 type)
{
	for (u32 i = 0; i < im->h.phnum; i++)
		if (im->ph[i].type == type)
			return &im->ph[i];
	return NULL;
}

/* The path in PT_INTERP to BUF, a page. */
static int interp_name(const struct image *im, const struct elf_phdr *ph,
		       char *buf)
{
	int err;

	if (ph->filesz < 2 || ph->filesz > PATH_MAX ||
	    ph->offset > MAX_LFS_FILESIZE)
		return -ENOEXEC;
	err = exec_read(im->file, buf, ph->filesz, ph->offset);
	if (err)
		return err;
	return buf[ph->filesz - 1] ? -ENOEXEC : 0;
}

/* Load the interpreter named in E->buf. */
static int load_interp(struct exec *e)
{
	struct image im = {.mm = e->mm};
	int err;

	im.file = vfs_open_exec(AT_FDCWD, e->buf);
	if (IS_ERR(im.file))
		return (int)PTR_ERR(im.file);
	err = image_open(&im, NULL);
	if (err == -ENOEXEC)
		err = -ELIBBAD;
	if (!err && im.h.type == ET_DYN)
		err = place(&im, 0);
	if (!err)
		err = map_image(&im);
	if (!err && im.h.entry >= e->mm->layout.task_size)
		err = -EINVAL;
	e->base = im.h.type == ET_DYN ? im.bias : 0;
	e->entry = im.bias + im.h.entry;
	image_end(&im);
	fput(im.file);
	return err;
}

/* ---- the program -----------------------------------------------------------
 */

/* Where its program headers are in memory; 0: in no segment. */
static uva_t phdr_address(const struct image *im)
{
	u64 off = im->h.phoff;

	for (u32 i = 0; i < im->h.phnum; i++) {
		const struct elf_phdr *ph = &im->ph[i];

		if (ph->type == PT_LOAD && off >= ph->offset &&
		    off - ph->offset < ph->filesz)
			return im->bias + ph->vaddr + (off - ph->offset);
	}
	return 0;
}

static int place_program(struct exec *e, struct image *im, bool interp)
{
	if (im->h.type == ET_EXEC)
		return im->hi > e->stack_low ? -ENOMEM : 0;
	return place(im, interp ? DYN_BASE : 0);
}

/* What E gets to know of IM, the program. */
static void describe(struct exec *e, const struct image *im, bool interp)
{
	uva_t heap = im->bias + im->hi;

	if (im->h.type == ET_DYN && !interp)
		heap = DYN_BASE;
	e->map = im->map;
	e->map.start_brk = e->map.brk = heap;
	e->phdr = phdr_address(im);
	e->phnum = im->h.phnum;
	e->prog_entry = im->bias + im->h.entry;
	if (!interp)
		e->entry = e->prog_entry;
}

static int load_program(struct exec *e, struct image *im)
{
	const struct elf_phdr *interp, *stack;
	int err = image_open(im, e->head);

	if (err)
		return err;
	interp = find_phdr(im, PT_INTERP);
	stack = find_phdr(im, PT_GNU_STACK);
	e->exec_stack = stack && (stack->flags & PF_X);
	if (interp) {
		err = interp_name(im, interp, e->buf);
		if (err)
			return err;
	}
	err = place_program(e, im, interp != NULL);
	if (!err)
		err = map_image(im);
	if (err)
		return err;
	describe(e, im, interp != NULL);
	if (interp)
		err = load_interp(e);
	return err;
}

int elf_load(struct exec *e)
{
	struct image im = {.file = e->file, .mm = e->mm};
	int err = load_program(e, &im);

	image_end(&im);
	if (!err && (e->entry >= e->mm->layout.task_size ||
		     e->prog_entry >= e->mm->layout.task_size))
		err = -EINVAL;
	return err;
}

/* ---- the stack -------------------------------------------------------------
 */

#define AT_PHDR	       3
#define AT_PHENT       4
#define AT_PHNUM       5
#define AT_PAGESZ      6
#define AT_BASE	       7
#define AT_FLAGS       8
#define AT_ENTRY       9
#define AT_UID	       11
#define AT_EUID	       12
#define AT_GID	       13
#define AT_EGID	       14
#define AT_PLATFORM    15
#define AT_HWCAP       16
#define AT_CLKTCK      17
#define AT_SECURE      23
#define AT_RANDOM      25
#define AT_HWCAP2      26
#define AT_EXECFN      31
#define AT_MINSIGSTKSZ 51

/* A vector being filled. */
struct auxv {
	u64 w[MM_AUXV_WORDS];
	u32 n;
};

static void aux(struct auxv *v, u64 type, u64 value)
{
	mm_verify(v->n + 4 <= MM_AUXV_WORDS);
	v->w[v->n++] = type;
	v->w[v->n++] = value;
}

/* A machine that has nothing to say of its CPU leaves this to us. */
__attribute__((weak)) u64 machine_hwcap(void)
{
	return 0;
}

__attribute__((weak)) u64 machine_hwcap2(void)
{
	return 0;
}

static void auxv_fill(const struct exec *e, struct auxv *v, uva_t random,
		      uva_t platform)
{
	aux(v, AT_HWCAP, machine_hwcap());
	aux(v, AT_PAGESZ, PAGE_SIZE);
	aux(v, AT_CLKTCK, 100);
	aux(v, AT_PHDR, e->phdr);
	aux(v, AT_PHENT, sizeof(struct elf_phdr));
	aux(v, AT_PHNUM, e->phnum);
	aux(v, AT_BASE, e->base);
	aux(v, AT_FLAGS, 0);
	aux(v, AT_ENTRY, e->prog_entry);
	aux(v, AT_UID, e->cred.uid);
	aux(v, AT_EUID, e->cred.euid);
	aux(v, AT_GID, e->cred.gid);
	aux(v, AT_EGID, e->cred.egid);
	aux(v, AT_SECURE, e->secure);
	aux(v, AT_RANDOM, random);
	aux(v, AT_HWCAP2, machine_hwcap2());
	aux(v, AT_EXECFN, e->execfn);
	aux(v, AT_PLATFORM, platform);
	aux(v, AT_MINSIGSTKSZ, sigframe_min_stack());
	v->w[v->n++] = 0;
	v->w[v->n++] = 0;
}

/* Words on their way to the stack, a page at a time. */
struct word_out {
	struct exec *e;
	uva_t at;
	u64 w[64];
	u32 n;
};

static int words_flush(struct word_out *o)
{
	u64 bytes = 8UL * o->n;

	o->n = 0;
	if (bytes && copy_to_user(o->e->mm, o->at, o->w, bytes))
		return -EFAULT;
	o->at += bytes;
	return 0;
}

static int word_put(struct word_out *o, u64 w)
{
	o->w[o->n++] = w;
	return o->n == ARRAY_SIZE(o->w) ? words_flush(o) : 0;
}

/* Addresses of N strings that stand one behind the other from *AT on. */
static int put_strings(struct word_out *o, uva_t *at, u32 n)
{
	struct exec *e = o->e;
	bool begins = true;
	int err = 0;

	while (n && !err) {
		u64 len = min(PAGE_SIZE, e->stack_top - *at);

		if (!len || copy_from_user(e->mm, e->buf, *at, len))
			return -EFAULT;
		for (u64 i = 0; i < len && n && !err; i++) {
			if (begins)
				err = word_put(o, *at);
			begins = !e->buf[i];
			n -= begins;
			++*at;
		}
	}
	return err ? err : word_put(o, 0);
}

/* The vector and random bytes are below the strings, then comes the table. */
int elf_tables(struct exec *e, uva_t *sp)
{
	static const char platform[] = "x86_64";
	u64 random[2] = {port_entropy(), port_entropy()};
	struct word_out o = {.e = e};
	struct auxv v = {.n = 0};
	uva_t at = e->p, random_at, platform_at;
	int err;

	platform_at = at - sizeof(platform);
	random_at = ALIGN_DOWN(platform_at, 16) - sizeof(random);
	if (copy_to_user(e->mm, platform_at, platform, sizeof(platform)) ||
	    copy_to_user(e->mm, random_at, random, sizeof(random)))
		return -EFAULT;
	auxv_fill(e, &v, random_at, platform_at);
	*sp = ALIGN_DOWN(
		random_at - 8UL * (1 + e->argc + 1 + e->envc + 1 + v.n), 16);
	o.at = *sp;
	e->map.start_stack = *sp;
	e->map.arg_start = at;
	err = word_put(&o, e->argc);
	if (!err)
		err = put_strings(&o, &at, e->argc);
	e->map.arg_end = e->map.env_start = at;
	if (!err)
		err = put_strings(&o, &at, e->envc);
	e->map.env_end = at;
	for (u32 i = 0; i < v.n && !err; i++)
		err = word_put(&o, v.w[i]);
	if (!err)
		err = words_flush(&o);
	if (!err)
		err = mm_prctl_map_set(e->mm, &e->map, v.w, v.n, e->file);
	return err;
}
