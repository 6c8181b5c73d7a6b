/* SPDX-License-Identifier: MIT */
/*
 * lua_const.c - Linux's constants by their names: as globals of Lua, and as
 * words in strings.
 */
#include "lua_lab.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <mmkit/errno.h>
#include <mmkit/flatfile.h>
#include <mmkit/mempolicy.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/shm.h>
#include <mmkit/shmem.h>
#include <mmkit/userfaultfd.h>

#include "cache/filemap.h"

#define C(name)              \
	{                    \
#name, name, \
	}

static const struct lab_const consts[] = {
	C(PROT_NONE),
	C(PROT_READ),
	C(PROT_WRITE),
	C(PROT_EXEC),
	C(PROT_GROWSDOWN),
	C(MAP_SHARED),
	C(MAP_PRIVATE),
	C(MAP_SHARED_VALIDATE),
	C(MAP_FIXED),
	C(MAP_ANONYMOUS),
	C(MAP_32BIT),
	C(MAP_GROWSDOWN),
	C(MAP_LOCKED),
	C(MAP_NORESERVE),
	C(MAP_POPULATE),
	C(MAP_NONBLOCK),
	C(MAP_STACK),
	C(MAP_FIXED_NOREPLACE),
	C(MREMAP_MAYMOVE),
	C(MREMAP_FIXED),
	C(MREMAP_DONTUNMAP),
	C(MADV_NORMAL),
	C(MADV_RANDOM),
	C(MADV_SEQUENTIAL),
	C(MADV_WILLNEED),
	C(MADV_DONTNEED),
	C(MADV_FREE),
	C(MADV_REMOVE),
	C(MADV_DONTFORK),
	C(MADV_DOFORK),
	C(MADV_MERGEABLE),
	C(MADV_UNMERGEABLE),
	C(MADV_HUGEPAGE),
	C(MADV_NOHUGEPAGE),
	C(MADV_DONTDUMP),
	C(MADV_DODUMP),
	C(MADV_WIPEONFORK),
	C(MADV_KEEPONFORK),
	C(MADV_COLD),
	C(MADV_PAGEOUT),
	C(MADV_POPULATE_READ),
	C(MADV_POPULATE_WRITE),
	C(MADV_DONTNEED_LOCKED),
	C(MADV_COLLAPSE),
	C(MADV_HWPOISON),
	C(MADV_SOFT_OFFLINE),
	C(MLOCK_ONFAULT),
	C(MCL_CURRENT),
	C(MCL_FUTURE),
	C(MCL_ONFAULT),
	C(MS_ASYNC),
	C(MS_INVALIDATE),
	C(MS_SYNC),
	C(MPOL_DEFAULT),
	C(MPOL_PREFERRED),
	C(MPOL_BIND),
	C(MPOL_INTERLEAVE),
	C(MPOL_LOCAL),
	C(MPOL_PREFERRED_MANY),
	C(MPOL_WEIGHTED_INTERLEAVE),
	C(MPOL_F_STATIC_NODES),
	C(MPOL_F_RELATIVE_NODES),
	C(MPOL_MF_STRICT),
	C(MPOL_MF_MOVE),
	C(MPOL_MF_MOVE_ALL),
	C(FALLOC_FL_KEEP_SIZE),
	C(FALLOC_FL_PUNCH_HOLE),
	C(POSIX_FADV_NORMAL),
	C(POSIX_FADV_RANDOM),
	C(POSIX_FADV_SEQUENTIAL),
	C(POSIX_FADV_WILLNEED),
	C(POSIX_FADV_DONTNEED),
	C(POSIX_FADV_NOREUSE),
	C(F_SEAL_SEAL),
	C(F_SEAL_SHRINK),
	C(F_SEAL_GROW),
	C(F_SEAL_WRITE),
	C(F_SEAL_FUTURE_WRITE),
	C(UFFDIO_REGISTER_MODE_MISSING),
	C(UFFDIO_REGISTER_MODE_WP),
	C(UFFDIO_REGISTER_MODE_MINOR),
	C(UFFD_FEATURE_EVENT_FORK),
	C(UFFD_FEATURE_EVENT_REMAP),
	C(UFFD_FEATURE_EVENT_REMOVE),
	C(UFFD_FEATURE_EVENT_UNMAP),
	C(UFFD_FEATURE_SIGBUS),
	C(UFFD_FEATURE_EXACT_ADDRESS),
	C(UFFD_FEATURE_WP_ASYNC),
	C(IPC_PRIVATE),
	C(IPC_CREAT),
	C(IPC_EXCL),
	C(SHM_RDONLY),
	C(SHM_RND),
	C(SHM_REMAP),
	C(SHM_EXEC),
	C(PAGE_SIZE),
	C(EPERM),
	C(ENOENT),
	C(ESRCH),
	C(EINTR),
	C(EIO),
	C(ENXIO),
	C(E2BIG),
	C(EBADF),
	C(ECHILD),
	C(EAGAIN),
	C(ENOMEM),
	C(EACCES),
	C(EFAULT),
	C(EBUSY),
	C(EEXIST),
	C(EXDEV),
	C(ENODEV),
	C(ENOTDIR),
	C(EISDIR),
	C(EINVAL),
	C(ETXTBSY),
	C(EFBIG),
	C(ENOSPC),
	C(EROFS),
	C(ERANGE),
	C(EDEADLK),
	C(ENOSYS),
	C(ENOTEMPTY),
	C(EOVERFLOW),
	C(EOPNOTSUPP),
	C(ETIMEDOUT),
	C(EALREADY),
	C(EHWPOISON),
};

void lab_consts_open(lua_State *L)
{
	for (size_t i = 0; i < ARRAY_SIZE(consts); i++) {
		lua_pushinteger(L, consts[i].value);
		lua_setglobal(L, consts[i].name);
	}
}

const char *lab_const_name(const char *prefix, s64 value)
{
	size_t n = strlen(prefix);

	for (size_t i = 0; i < ARRAY_SIZE(consts); i++)
		if (consts[i].value == value &&
		    !strncmp(consts[i].name, prefix, n))
			return consts[i].name;
	return NULL;
}

/* The constant that WORD, LEN letters, names with or without PREFIX. */
static const struct lab_const *find_word(const char *word, size_t len,
					 const char *prefix)
{
	size_t n = strlen(prefix);

	for (size_t i = 0; i < ARRAY_SIZE(consts); i++) {
		const char *name = consts[i].name;

		if (strncmp(name, prefix, n) != 0)
			continue;
		if ((strlen(name) == len && !strncasecmp(name, word, len)) ||
		    (strlen(name + n) == len &&
		     !strncasecmp(name + n, word, len)))
			return &consts[i];
	}
	return NULL;
}

/* "rw", "r-x": letters of PROT_. */
static bool letters(const char *s, u64 *out)
{
	u64 v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s == 'r')
			v |= PROT_READ;
		else if (*s == 'w')
			v |= PROT_WRITE;
		else if (*s == 'x')
			v |= PROT_EXEC;
		else if (*s != '-')
			return false;
	}
	*out = v;
	return true;
}

u64 lab_flags(lua_State *L, int arg, const char *prefix, u64 def)
{
	static const char between[] = "|, \t";
	const char *s;
	u64 v = 0;

	if (lua_isnoneornil(L, arg))
		return def;
	if (lua_type(L, arg) == LUA_TNUMBER)
		return (u64)luaL_checkinteger(L, arg);
	s = luaL_checkstring(L, arg);
	if (!strcmp(prefix, "PROT_") && letters(s, &v))
		return v;
	for (s += strspn(s, between); *s; s += strspn(s, between)) {
		size_t len = strcspn(s, between);
		const struct lab_const *c = find_word(s, len, prefix);
		if (!c) {
			lua_pushlstring(L, s, len);
			lua_pushfstring(L, "'%s' is no %s...",
					lua_tostring(L, -1), prefix);
			luaL_argerror(L, arg, lua_tostring(L, -1));
		} else {
			v |= (u64)c->value;
		}
		s += len;
	}
	return v;
}
