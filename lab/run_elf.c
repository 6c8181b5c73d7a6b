/* SPDX-License-Identifier: MIT */
/*
 * run_elf.c - what an ELF file asks for: its interpreter and libraries.
 *
 * Read from the file as elf(5) describes it; nothing is executed. The file may
 * be hostile: every offset is checked against the file's size before use.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"

/* A file that is being read. */
struct image {
	const u8 *base;
	u64 size;
	const Elf64_Ehdr *eh;
	char *why;
};

static int refuse(const struct image *im, const char *text)
{
	snprintf(im->why, 256, "%s", text);
	return -1;
}

/* LEN bytes at OFFSET, or NULL. */
static const void *at(const struct image *im, u64 offset, u64 len)
{
	if (offset > im->size || len > im->size - offset)
		return NULL;
	return im->base + offset;
}

/* A string at OFFSET, copied; NULL: it does not end within the file. */
static char *string_at(const struct image *im, u64 offset)
{
	const char *s = at(im, offset, 1);
	size_t most = s ? im->size - offset : 0;

	if (!s || strnlen(s, most) == most)
		return NULL;
	return strdup(s);
}

/* A copy: in a hostile file it need not be aligned. */
static Elf64_Phdr header(const struct image *im, u32 i)
{
	Elf64_Phdr ph;

	memcpy(&ph, im->base + im->eh->e_phoff + (u64)i * sizeof(ph),
	       sizeof(ph));
	return ph;
}

static int check_header(struct image *im)
{
	const Elf64_Ehdr *eh = im->eh;

	if (im->size < sizeof(*eh))
		return refuse(im, "an ELF file that ends within its header");
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != EM_X86_64)
		return refuse(im, "not a program for x86-64");
	if (eh->e_phnum && eh->e_phentsize != sizeof(Elf64_Phdr))
		return refuse(im, "program headers of unknown size");
	if (!at(im, eh->e_phoff, (u64)eh->e_phnum * sizeof(Elf64_Phdr)))
		return refuse(im, "program headers beyond the end of file");
	return 0;
}

/* Where in the file the bytes of address VADDR stand; ~0: nowhere. */
static u64 file_offset(const struct image *im, u64 vaddr)
{
	for (u32 i = 0; i < im->eh->e_phnum; i++) {
		Elf64_Phdr ph = header(im, i);

		if (ph.p_type == PT_LOAD && vaddr >= ph.p_vaddr &&
		    vaddr - ph.p_vaddr < ph.p_filesz)
			return vaddr - ph.p_vaddr + ph.p_offset;
	}
	return ~0UL;
}

static int take_needed(const struct image *im, struct run_elf *out, char *s)
{
	if (!s)
		return refuse(im, "names a library beyond the end of file");
	if (out->nr_needed == RUN_ELF_NEEDED) {
		free(s);
		return refuse(im, "needs more than 64 libraries");
	}
	out->needed[out->nr_needed++] = s;
	return 0;
}

/* Entry I of the dynamic section at DYN; false behind the last. */
static bool entry(const u8 *dyn, u64 nr, u64 i, Elf64_Dyn *out)
{
	if (i >= nr)
		return false;
	memcpy(out, dyn + i * sizeof(*out), sizeof(*out));
	return out->d_tag != DT_NULL;
}

static int read_dynamic(const struct image *im, const Elf64_Phdr *ph,
			struct run_elf *out)
{
	u64 nr = ph->p_filesz / sizeof(Elf64_Dyn), strings = ~0UL;
	const u8 *dyn = at(im, ph->p_offset, nr * sizeof(Elf64_Dyn));
	Elf64_Dyn d;

	if (!dyn)
		return refuse(im, "a dynamic section beyond the end of file");
	out->dynamic = true;
	for (u64 i = 0; entry(dyn, nr, i, &d); i++)
		if (d.d_tag == DT_STRTAB)
			strings = file_offset(im, d.d_un.d_ptr);
	for (u64 i = 0; entry(dyn, nr, i, &d); i++) {
		u64 where = strings + d.d_un.d_val;

		if (d.d_tag == DT_NEEDED &&
		    (strings == ~0UL ||
		     take_needed(im, out, string_at(im, where))))
			return refuse(im, "its list of libraries cannot be "
					  "read");
		if (d.d_tag == DT_RPATH && !out->rpath)
			out->rpath = string_at(im, where);
		if (d.d_tag == DT_RUNPATH && !out->runpath)
			out->runpath = string_at(im, where);
	}
	return 0;
}

static int read_image(struct image *im, struct run_elf *out)
{
	u16 type = im->size < sizeof(Elf64_Ehdr) ? ET_EXEC : im->eh->e_type;

	/* An object file, a kernel's module, a core dump: only data. */
	if (type != ET_EXEC && type != ET_DYN)
		return 0;
	if (check_header(im))
		return -1;
	for (u32 i = 0; i < im->eh->e_phnum; i++) {
		Elf64_Phdr ph = header(im, i);

		if (ph.p_type == PT_INTERP && !out->interp) {
			out->interp = string_at(im, ph.p_offset);
			if (!out->interp)
				return refuse(im, "an interpreter's name that "
						  "does not end");
		}
		if (ph.p_type == PT_DYNAMIC && !out->dynamic &&
		    read_dynamic(im, &ph, out))
			return -1;
	}
	return 1;
}

int run_elf_read(const char *path, struct run_elf *out, char why[256])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;
	struct image im = {.why = why};
	struct stat st;
	void *map;

	memset(out, 0, sizeof(*out));
	if (fd < 0 || fstat(fd, &st)) {
		snprintf(why, 256, "%s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	im.size = (u64)st.st_size;
	map = im.size < SELFMAG
		      ? MAP_FAILED
		      : mmap(NULL, im.size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return 0;
	im.base = map;
	im.eh = map;
	if (!memcmp(map, ELFMAG, SELFMAG))
		ret = read_image(&im, out);
	munmap(map, im.size);
	if (ret < 0)
		run_elf_free(out);
	return ret;
}

void run_elf_free(struct run_elf *e)
{
	free(e->interp);
	free(e->rpath);
	free(e->runpath);
	for (u32 i = 0; i < e->nr_needed; i++)
		free(e->needed[i]);
	memset(e, 0, sizeof(*e));
}
