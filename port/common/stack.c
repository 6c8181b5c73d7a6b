/* SPDX-License-Identifier: MIT */
/*
 * stack.c - who called, in a world that is a process.
 *
 * Walking. libgcc's unwinder reads the tables that every compiler writes for
 * x86-64 and arm64, so callers need not keep frame pointers; a frame without
 * tables ends the walk. It allocates nothing and, with the C library's
 * lock-free search for tables, takes no lock: it may run inside malloc. The
 * one thing that it does once, it does when the machine is made. Should the
 * walk come back here (a handler, a hook), the inner one sees no frames.
 *
 * Naming. The module's own symbol table, functions that are not exported
 * included, read from its file through a mapping: neither malloc nor the
 * loader's lock, which a thread inside dlopen() may hold while it waits for
 * us. Who finds the cache of mappings busy says module and offset.
 */
#include "world.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unwind.h>

#define MODULES 8 /* whose symbols stay mapped */

/* ---- walking
 * ---------------------------------------------------------------------------
 */

struct walk {
	u64 *out;
	u32 nr, max;
	bool begun; /* past our own frame */
};

static __thread bool walking __attribute__((tls_model("initial-exec")));

static _Unwind_Reason_Code step(struct _Unwind_Context *ctx, void *arg)
{
	struct walk *w = arg;
	u64 at = _Unwind_GetIP(ctx);

	if (!w->begun) {
		w->begun = true;
		return _URC_NO_REASON;
	}
	if (!at || w->nr == w->max)
		return _URC_END_OF_STACK;
	w->out[w->nr++] = at;
	return _URC_NO_REASON;
}

__attribute__((noinline)) u32 port_stack_trace(u64 *out, u32 max)
{
	struct walk w = {.out = out, .max = max};

	if (walking)
		return 0;
	walking = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	_Unwind_Backtrace(step, &w);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	walking = false;
	return w.nr;
}

void world_stack_init(void)
{
	u64 one[1];

	(void)port_stack_trace(one, 1);
}

/* ---- naming
 * ----------------------------------------------------------------------------
 */

/* A module's file, mapped. */
struct module {
	const struct link_map *map;
	const char *image;
	u64 bytes;
	const ElfW(Sym) * sym;
	u64 nr_syms;
	const char *names;
	u64 names_bytes;
};

static struct {
	u32 word; /* taken by exchange; nobody waits */
	u32 nr;
	struct module m[MODULES];
} modules;

/* [OFF, OFF + BYTES) of the file, or NULL if it is not all there. */
static const void *part(const struct module *m, u64 off, u64 bytes)
{
	if (off > m->bytes || bytes > m->bytes - off || off % 8)
		return NULL;
	return m->image + off;
}

/* A table of symbols and its names; the full one rather than the exported. */
static void find_symbols(struct module *m)
{
	const ElfW(Ehdr) *eh = part(m, 0, sizeof(*eh));
	const ElfW(Shdr) * sh;

	if (!eh || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
	    eh->e_shentsize != sizeof(*sh))
		return;
	sh = part(m, eh->e_shoff, (u64)eh->e_shnum * sizeof(*sh));
	for (u32 i = 0; sh && i < eh->e_shnum; i++) {
		const ElfW(Shdr) *names = sh + sh[i].sh_link;
		const void *syms;

		if ((sh[i].sh_type != SHT_SYMTAB &&
		     sh[i].sh_type != SHT_DYNSYM) ||
		    sh[i].sh_link >= eh->e_shnum)
			continue;
		syms = part(m, sh[i].sh_offset, sh[i].sh_size);
		if (!syms || names->sh_offset > m->bytes ||
		    names->sh_size > m->bytes - names->sh_offset)
			continue;
		m->sym = syms;
		m->nr_syms = sh[i].sh_size / sizeof(*m->sym);
		m->names = m->image + names->sh_offset;
		m->names_bytes = names->sh_size;
		if (sh[i].sh_type == SHT_SYMTAB)
			return;
	}
}

static void map_file(struct module *m, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && st.st_size > 0) {
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd,
			 0);
		if (p != MAP_FAILED) {
			m->image = p;
			m->bytes = (u64)st.st_size;
		}
	}
	close(fd);
}

/* MAP's entry of the cache, which is ours; an old one makes room. */
static const struct module *module_of(const struct link_map *map)
{
	struct module *m;
	int saved = errno;

	for (u32 i = 0; i < min(modules.nr, (u32)MODULES); i++)
		if (modules.m[i].map == map)
			return &modules.m[i];
	m = &modules.m[modules.nr++ % MODULES];
	if (m->image)
		munmap((void *)(uintptr_t)m->image, m->bytes);
	*m = (struct module){.map = map};
	map_file(m, map->l_name[0] ? map->l_name : "/proc/self/exe");
	if (m->image)
		find_symbols(m);
	errno = saved;
	return m;
}

/* The function that VALUE, an address of the file, lies in; or NULL. */
static const ElfW(Sym) * symbol_at(const struct module *m, u64 value)
{
	const ElfW(Sym) *best = NULL;

	for (u64 i = 0; i < m->nr_syms; i++) {
		const ElfW(Sym) *s = &m->sym[i];

		if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || !s->st_shndx ||
		    value - s->st_value >= s->st_size ||
		    s->st_name >= m->names_bytes)
			continue;
		if (!best || s->st_value > best->st_value)
			best = s;
	}
	return best;
}

static const struct link_map *map_of(u64 addr)
{
#if defined(__GLIBC_PREREQ) && __GLIBC_PREREQ(2, 35)
	struct dl_find_object found;

	if (!_dl_find_object((void *)(uintptr_t)addr, &found))
		return found.dlfo_link_map;
#else
	struct link_map *map;
	Dl_info info;

	if (dladdr1((void *)(uintptr_t)addr, &info, (void **)&map,
		    RTLD_DL_LINKMAP))
		return map;
#endif
	return NULL;
}

/* SYM of MAP, if there is one; returns the text's length or 0. */
static int put_symbol(const struct link_map *map, u64 addr, char *buf,
		      size_t size)
{
	const char *slash = strrchr(map->l_name, '/');
	const char *file = slash ? slash + 1 : map->l_name;
	u64 value = addr - map->l_addr;
	const struct module *m;
	const ElfW(Sym) *s = NULL;
	int n = 0;

	if (__atomic_exchange_n(&modules.word, 1, __ATOMIC_ACQUIRE))
		return 0;
	m = module_of(map);
	/* A return address may be the first one behind its function. */
	if (m->names)
		s = symbol_at(m, value - 1);
	if (s)
		n = snprintf(buf, size, "%.*s+0x%lx/0x%lx%s%s%s", 64,
			     m->names + s->st_name, value - s->st_value,
			     (u64)s->st_size, *file ? " [" : "", file,
			     *file ? "]" : "");
	__atomic_store_n(&modules.word, 0, __ATOMIC_RELEASE);
	return n;
}

u32 port_symbol(u64 addr, char *buf, u32 size)
{
	const struct link_map *map = map_of(addr - 1);
	const char *file, *slash;
	int n;

	if (!map) {
		n = snprintf(buf, size, "0x%lx", addr);
	} else if (!(n = put_symbol(map, addr, buf, size))) {
		file = map->l_name[0] ? map->l_name
				      : program_invocation_short_name;
		slash = strrchr(file, '/');
		n = snprintf(buf, size, "%s+0x%lx", slash ? slash + 1 : file,
			     addr - map->l_addr);
	}
	return n < 0 ? 0 : min((u32)n, size - 1);
}
