/* SPDX-License-Identifier: MIT */
/*
 * run_symbols.c - what functions of a machine's kernel are called.
 *
 * Events tell call sites as addresses, and the machine is gone when they are
 * shown; but its image is here. Its functions are those of the ELF file's table
 * of symbols that lie in executable sections; how long one is, the next one's
 * beginning says, as the kernel's own table has it (port/metal/symbols.c). A
 * file without such a table, or that is none, leaves addresses numbers.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trace_ring.h"
#include "run.h"

static struct {
	const u8 *file;
	u64 size;
	struct name {
		u64 at;
		const char *text; /* in FILE */
	} * name;
	u64 nr, end; /* behind the last function */
} ks;

/* LEN bytes at OFFSET of the file, copied to TO; false: they are not there. */
static bool take(void *to, u64 offset, u64 len)
{
	if (offset > ks.size || len > ks.size - offset)
		return false;
	memcpy(to, ks.file + offset, len);
	return true;
}

static bool section(const Elf64_Ehdr *eh, u32 i, Elf64_Shdr *out)
{
	return i < eh->e_shnum &&
	       take(out, eh->e_shoff + (u64)i * sizeof(*out), sizeof(*out));
}

/* The string at OFFSET of the file; "": it does not end there. */
static const char *text_at(u64 offset)
{
	const char *s = (const char *)ks.file + offset;

	if (offset >= ks.size ||
	    strnlen(s, ks.size - offset) == ks.size - offset)
		return "";
	return s;
}

/* Marks that the linker's script sets, and entries that are all alike. */
static bool is_mark(const char *name)
{
	return !*name || !strncmp(name, "metal_stub_", 11) ||
	       !strcmp(name, "_stext") || !strcmp(name, "_etext") ||
	       !strncmp(name, "__text_", 7) || !strncmp(name, "__image_", 8);
}

static void add_symbol(const Elf64_Ehdr *eh, const Elf64_Sym *sym, u64 names)
{
	const char *text = text_at(names + sym->st_name);
	u32 type = ELF64_ST_TYPE(sym->st_info);
	Elf64_Shdr in;

	if ((type != STT_FUNC && type != STT_NOTYPE) || is_mark(text) ||
	    !section(eh, sym->st_shndx, &in) || !(in.sh_flags & SHF_EXECINSTR))
		return;
	ks.name[ks.nr++] = (struct name){sym->st_value, text};
	ks.end = max(ks.end, (u64)(in.sh_addr + in.sh_size));
}

static int by_address(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return strcmp(x->text, y->text);
}

static void read_table(const Elf64_Ehdr *eh, const Elf64_Shdr *table)
{
	u64 nr = table->sh_size / sizeof(Elf64_Sym);
	Elf64_Shdr names;
	Elf64_Sym sym;

	if (!section(eh, table->sh_link, &names) || nr > ks.size)
		return;
	ks.name = calloc(nr + 1, sizeof(*ks.name));
	for (u64 i = 0; ks.name && i < nr; i++)
		if (take(&sym, table->sh_offset + i * sizeof(sym), sizeof(sym)))
			add_symbol(eh, &sym, names.sh_offset);
	if (ks.name)
		qsort(ks.name, ks.nr, sizeof(*ks.name), by_address);
}

/* For trace_set_symbol(). Of several names of one place the first counts. */
static u32 name_of(u64 addr, bool offset, char *buf, u32 size)
{
	u64 low = 0, high = ks.nr, next;
	int n;

	while (low < high) {
		u64 mid = low + (high - low) / 2;

		if (ks.name[mid].at <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || addr >= ks.end)
		return 0;
	next = low < ks.nr ? ks.name[low].at : ks.end;
	while (low > 1 && ks.name[low - 2].at == ks.name[low - 1].at)
		low--;
	n = offset ? snprintf(buf, size, "%s+0x%llx/0x%llx",
			      ks.name[low - 1].text,
			      (unsigned long long)(addr - ks.name[low - 1].at),
			      (unsigned long long)(next - ks.name[low - 1].at))
		   : snprintf(buf, size, "%s", ks.name[low - 1].text);
	return n < 0 ? 0 : min((u32)n, size - 1);
}

void run_symbols_use(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf64_Shdr table;
	struct stat st;
	Elf64_Ehdr eh;
	void *map;

	if (fd < 0 || fstat(fd, &st) || st.st_size <= 0) {
		if (fd >= 0)
			close(fd);
		return;
	}
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return;
	ks.file = map;
	ks.size = (u64)st.st_size;
	if (take(&eh, 0, sizeof(eh)) && !memcmp(eh.e_ident, ELFMAG, SELFMAG) &&
	    eh.e_ident[EI_CLASS] == ELFCLASS64)
		for (u32 i = 0; section(&eh, i, &table) && !ks.name; i++)
			if (table.sh_type == SHT_SYMTAB)
				read_table(&eh, &table);
	trace_set_symbol(ks.nr ? name_of : NULL);
}

void run_symbols_end(void)
{
	trace_set_symbol(NULL);
	free(ks.name);
	if (ks.file)
		munmap((void *)(uintptr_t)ks.file, ks.size);
	memset(&ks, 0, sizeof(ks));
}
