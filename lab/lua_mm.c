/* SPDX-License-Identifier: MIT */
/*
 * lua_mm.c - the memory calls of section 2 of the manual, as methods of tasks.
 *
 * Arguments stand in Linux's order; lengths and addresses may be "64K", flags
 * are numbers or words. Calls that take arrays in user memory get them by
 * tables: the lab puts them into a page of the task's that it maps for the
 * time of the call.
 */
#include "lua_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/fs.h>
#include <mmkit/mempolicy.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/prctl.h>
#include <mmkit/resource.h>
#include <mmkit/uaccess.h>

#define LLU(x) ((unsigned long long)(x))

static int push_none(lua_State *L, struct lab_call *c)
{
	(void)L;
	(void)c;
	return 0;
}

/* ---- mapping
 * --------------------------------------------------------------------- */

/* A: address, length, protection, flags, file, page. */
static s64 do_map(struct lab_call *c)
{
	struct mm_mmap req = {.addr = c->a[0],
			      .len = c->a[1],
			      .prot = (int)c->a[2],
			      .flags = (int)c->a[3],
			      .file = (struct file *)c->a[4],
			      .pgoff = c->a[5]};

	return do_mmap_file(c->task->mm, &req);
}

static int l_mmap(lua_State *L)
{
	struct lab_call c = {
		.fn = do_map, .name = "mmap", .task = lab_check_task(L, 1)};
	u64 def, off;

	/* mmap(len) is what one wants most of the time. */
	if (lua_gettop(L) == 2) {
		lua_pushnil(L);
		lua_insert(L, 2);
	}
	c.a[0] = lab_opt_size(L, 2, 0);
	c.a[1] = lab_size(L, 3);
	c.a[2] = lab_flags(L, 4, "PROT_", PROT_READ | PROT_WRITE);
	c.a[4] = (u64)(uintptr_t)lab_file_of(L, 6, true);
	def = MAP_PRIVATE | (c.a[4] ? 0 : MAP_ANONYMOUS);
	c.a[3] = lab_flags(L, 5, "MAP_", def);
	/* "shared" without a file means memory without a file. */
	if (lua_type(L, 5) == LUA_TSTRING && !c.a[4])
		c.a[3] |= MAP_ANONYMOUS;
	off = lab_opt_size(L, 7, 0);
	if (off % PAGE_SIZE)
		return lab_fail(L, EINVAL, "mmap", "offset");
	c.a[5] = off >> PAGE_SHIFT;
	snprintf(c.what, sizeof(c.what), "%llu bytes", LLU(c.a[1]));
	return lab_do(L, &c);
}

static void range(lua_State *L, struct lab_call *c)
{
	c->task = lab_check_task(L, 1);
	c->a[0] = lab_size(L, 2);
	c->a[1] = lab_size(L, 3);
	c->push = push_none;
	snprintf(c->what, sizeof(c->what), "%llu bytes at 0x%llx", LLU(c->a[1]),
		 LLU(c->a[0]));
}

static s64 do_unmap(struct lab_call *c)
{
	return do_munmap(c->task->mm, c->a[0], c->a[1]);
}

static int l_munmap(lua_State *L)
{
	struct lab_call c = {.fn = do_unmap, .name = "munmap"};

	range(L, &c);
	return lab_do(L, &c);
}

static s64 do_protect(struct lab_call *c)
{
	return do_mprotect(c->task->mm, c->a[0], c->a[1], (int)c->a[2]);
}

static int l_mprotect(lua_State *L)
{
	struct lab_call c = {.fn = do_protect, .name = "mprotect"};

	range(L, &c);
	luaL_checkany(L, 4);
	c.a[2] = lab_flags(L, 4, "PROT_", 0);
	return lab_do(L, &c);
}

static s64 do_remap(struct lab_call *c)
{
	return do_mremap(c->task->mm, c->a[0], c->a[1], c->a[2], (int)c->a[3],
			 c->a[4]);
}

static int l_mremap(lua_State *L)
{
	struct lab_call c = {.fn = do_remap, .name = "mremap"};

	range(L, &c);
	c.a[2] = lab_size(L, 4);
	c.a[3] = lab_flags(L, 5, "MREMAP_", MREMAP_MAYMOVE);
	c.a[4] = lab_opt_size(L, 6, 0);
	c.push = NULL;
	return lab_do(L, &c);
}

static s64 do_break(struct lab_call *c)
{
	uva_t got = do_brk(c->task->mm, c->a[0]);

	return c->a[0] && got != c->a[0] ? -ENOMEM : (s64)got;
}

static int l_brk(lua_State *L)
{
	struct lab_call c = {
		.fn = do_break, .name = "brk", .task = lab_check_task(L, 1)};

	c.a[0] = lab_opt_size(L, 2, 0);
	snprintf(c.what, sizeof(c.what), "to 0x%llx", LLU(c.a[0]));
	return lab_do(L, &c);
}

/* A[0]: bytes more, of either sign. */
static s64 do_sbrk(struct lab_call *c)
{
	uva_t old = do_brk(c->task->mm, 0), want = old + c->a[0];

	return do_brk(c->task->mm, want) == want ? (s64)old : -ENOMEM;
}

static int l_sbrk(lua_State *L)
{
	struct lab_call c = {
		.fn = do_sbrk, .name = "sbrk", .task = lab_check_task(L, 1)};

	c.a[0] = lab_size(L, 2);
	return lab_do(L, &c);
}

/* ---- advice, locks
 * --------------------------------------------------------------- */

static s64 do_advise(struct lab_call *c)
{
	return do_madvise(c->task->mm, c->a[0], c->a[1], (int)c->a[2]);
}

static int l_madvise(lua_State *L)
{
	struct lab_call c = {.fn = do_advise, .name = "madvise"};

	range(L, &c);
	luaL_checkany(L, 4);
	c.a[2] = lab_flags(L, 4, "MADV_", 0);
	return lab_do(L, &c);
}

static s64 do_lock(struct lab_call *c)
{
	return do_mlock(c->task->mm, c->a[0], c->a[1], (u32)c->a[2]);
}

static int l_mlock(lua_State *L)
{
	struct lab_call c = {.fn = do_lock, .name = "mlock"};

	range(L, &c);
	c.a[2] = lab_flags(L, 4, "MLOCK_", 0);
	return lab_do(L, &c);
}

static s64 do_unlock(struct lab_call *c)
{
	return do_munlock(c->task->mm, c->a[0], c->a[1]);
}

static int l_munlock(lua_State *L)
{
	struct lab_call c = {.fn = do_unlock, .name = "munlock"};

	range(L, &c);
	return lab_do(L, &c);
}

static s64 do_lock_all(struct lab_call *c)
{
	return do_mlockall(c->task->mm, (u32)c->a[0]);
}

static int l_mlockall(lua_State *L)
{
	struct lab_call c = {.fn = do_lock_all,
			     .name = "mlockall",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	c.a[0] = lab_flags(L, 2, "MCL_", MCL_CURRENT);
	return lab_do(L, &c);
}

static s64 do_unlock_all(struct lab_call *c)
{
	return do_munlockall(c->task->mm);
}

static int l_munlockall(lua_State *L)
{
	struct lab_call c = {.fn = do_unlock_all,
			     .name = "munlockall",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	return lab_do(L, &c);
}

static s64 do_sync(struct lab_call *c)
{
	return do_msync(c->task->mm, c->a[0], c->a[1], (int)c->a[2]);
}

static int l_msync(lua_State *L)
{
	struct lab_call c = {.fn = do_sync, .name = "msync"};

	range(L, &c);
	c.a[2] = lab_flags(L, 4, "MS_", MS_SYNC);
	return lab_do(L, &c);
}

/* ---- calls with arrays in user memory
 * ------------------------------------------------ */

/* LEN bytes of memory of the task's own; or negative errno. */
static s64 borrow(struct lab_call *c, u64 len)
{
	return do_mmap(c->task->mm, 0, PAGE_ALIGN(len ? len : 1),
		       PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
}

static void give_back(struct lab_call *c, s64 at, u64 len)
{
	/* Cannot fail: it is one mapping, or a part that was merged: splitting
	 * may need memory, and then it stays. */
	(void)!do_munmap(c->task->mm, (uva_t)at, PAGE_ALIGN(len ? len : 1));
}

static s64 do_incore(struct lab_call *c)
{
	struct mm_struct *mm = c->task->mm;
	u64 n = PAGE_ALIGN(c->a[1]) >> PAGE_SHIFT;
	s64 at, ret;

	c->buf = malloc(n ? n : 1);
	at = c->buf ? borrow(c, n) : -ENOMEM;
	if (at < 0)
		return at;
	ret = do_mincore(mm, c->a[0], c->a[1], (uva_t)at);
	if (!ret && copy_from_user(mm, c->buf, (uva_t)at, n))
		ret = -EFAULT;
	c->buf_len = n;
	give_back(c, at, n);
	return ret;
}

/* "1101": a letter a page; and how many are there. */
static int push_incore(lua_State *L, struct lab_call *c)
{
	const u8 *v = c->buf;
	lua_Integer n = 0;
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (u64 i = 0; i < c->buf_len; i++) {
		luaL_addchar(&b, v[i] & 1 ? '1' : '0');
		n += v[i] & 1;
	}
	luaL_pushresult(&b);
	lua_pushinteger(L, n);
	lua_insert(L, -2);
	return 2;
}

static int l_mincore(lua_State *L)
{
	struct lab_call c = {.fn = do_incore, .name = "mincore"};

	range(L, &c);
	if (c.a[1] > 1UL << 40)
		return lab_fail(L, ENOMEM, "mincore", c.what);
	c.push = push_incore;
	return lab_do(L, &c);
}

/* BUF: addresses, then nodes, then statuses; A: count, flags, nodes given. */
static s64 do_move(struct lab_call *c)
{
	u64 n = c->a[0], len = n * 16;
	s64 at = borrow(c, len), ret;
	struct mm_move_pages m = {.target = c->task->mm,
				  .local = c->task->mm,
				  .nr = n,
				  .pages = (uva_t)at,
				  .nodes = c->a[2] ? (uva_t)at + n * 8 : 0,
				  .status = (uva_t)at + n * 12,
				  .flags = (u32)c->a[1]};

	if (at < 0)
		return at;
	ret = copy_to_user(c->task->mm, (uva_t)at, c->buf, len)
		      ? -EFAULT
		      : kernel_move_pages(&m);
	if (ret >= 0 && copy_from_user(c->task->mm, c->buf, (uva_t)at, len))
		ret = -EFAULT;
	give_back(c, at, len);
	return ret;
}

static int push_status(lua_State *L, struct lab_call *c)
{
	const s32 *status = (const s32 *)((char *)c->buf + c->a[0] * 12);

	lua_newtable(L);
	for (u64 i = 0; i < c->a[0]; i++) {
		if (status[i] < 0)
			lua_pushstring(L, lab_const_name("E", -status[i]));
		else
			lua_pushinteger(L, status[i]);
		lua_seti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int l_move_pages(lua_State *L)
{
	struct lab_call c = {.fn = do_move,
			     .name = "move_pages",
			     .push = push_status,
			     .task = lab_check_task(L, 1)};
	bool one = lua_isinteger(L, 3);
	lua_Integer n;
	u64 *pages;

	luaL_checktype(L, 2, LUA_TTABLE);
	n = luaL_len(L, 2);
	luaL_argcheck(L, n > 0 && n <= 4096, 2, "1 .. 4096 addresses");
	c.a[2] = !lua_isnoneornil(L, 3);
	c.a[0] = (u64)n;
	c.a[1] = lab_flags(L, 4, "MPOL_MF_", MPOL_MF_MOVE);
	/* In Lua's memory until all arguments are known to be right. */
	pages = lua_newuserdatauv(L, (size_t)n * 16, 0);
	for (lua_Integer i = 0; i < n; i++) {
		lua_geti(L, 2, i + 1);
		pages[i] = lab_size(L, -1);
		if (one)
			lua_pushvalue(L, 3);
		else if (c.a[2])
			lua_geti(L, 3, i + 1);
		else
			lua_pushinteger(L, 0);
		((s32 *)(pages + n))[i] = (s32)luaL_checkinteger(L, -1);
		lua_pop(L, 2);
	}
	memset((char *)pages + n * 12, 0, (size_t)n * 4);
	c.buf = malloc((size_t)n * 16);
	if (!c.buf)
		return luaL_error(L, "no memory for the list");
	memcpy(c.buf, pages, (size_t)n * 16);
	return lab_do(L, &c);
}

/* ---- nodes
 * ---------------------------------------------------------------------- */

static s64 do_bind(struct lab_call *c)
{
	return do_mbind(c->task->mm, c->a[0], c->a[1], (int)c->a[2], c->a[3],
			(u32)c->a[4]);
}

static int l_mbind(lua_State *L)
{
	struct lab_call c = {.fn = do_bind, .name = "mbind"};

	range(L, &c);
	luaL_checkany(L, 4);
	c.a[2] = lab_flags(L, 4, "MPOL_", 0);
	c.a[3] = lab_nodes(L, 5, 0);
	c.a[4] = lab_flags(L, 6, "MPOL_MF_", 0);
	return lab_do(L, &c);
}

static s64 do_policy(struct lab_call *c)
{
	return do_set_mempolicy((int)c->a[0], c->a[1]);
}

static int l_set_mempolicy(lua_State *L)
{
	struct lab_call c = {.fn = do_policy,
			     .name = "set_mempolicy",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	luaL_checkany(L, 2);
	c.a[0] = lab_flags(L, 2, "MPOL_", 0);
	c.a[1] = lab_nodes(L, 3, 0);
	return lab_do(L, &c);
}

/* A: old, new nodes. */
static s64 do_migrate(struct lab_call *c)
{
	struct mm_struct *mm = c->task->mm;
	s64 at = borrow(c, 16), ret;

	if (at < 0)
		return at;
	ret = copy_to_user(mm, (uva_t)at, c->a, 16)
		      ? -EFAULT
		      : kernel_migrate_pages(mm, mm, 65, (uva_t)at,
					     (uva_t)at + 8);
	give_back(c, at, 16);
	return ret;
}

static int l_migrate_pages(lua_State *L)
{
	struct lab_call c = {.fn = do_migrate,
			     .name = "migrate_pages",
			     .task = lab_check_task(L, 1)};

	c.a[0] = lab_nodes(L, 2, 0);
	c.a[1] = lab_nodes(L, 3, 0);
	return lab_do(L, &c);
}

/* A: the other's space, address, length, advice. */
static s64 do_advise_other(struct lab_call *c)
{
	u64 vec[2] = {c->a[1], c->a[2]};
	s64 at = borrow(c, sizeof(vec)), ret;

	if (at < 0)
		return at;
	ret = copy_to_user(c->task->mm, (uva_t)at, vec, sizeof(vec))
		      ? -EFAULT
		      : do_process_madvise((struct mm_struct *)c->a[0],
					   c->task->mm, (uva_t)at, 1,
					   (int)c->a[3], 0);
	give_back(c, at, sizeof(vec));
	mm_put((struct mm_struct *)c->a[0]);
	return ret;
}

static int l_process_madvise(lua_State *L)
{
	struct lab_call c = {.fn = do_advise_other,
			     .name = "process_madvise",
			     .task = lab_check_task(L, 1)};
	struct lab_task *other = lab_any_task(L, 2);

	if (other->gone)
		return lab_fail(L, ESRCH, "process_madvise", other->name);
	c.a[1] = lab_size(L, 3);
	c.a[2] = lab_size(L, 4);
	luaL_checkany(L, 5);
	c.a[3] = lab_flags(L, 5, "MADV_", 0);
	mm_get(other->mm);
	c.a[0] = (u64)(uintptr_t)other->mm;
	return lab_do(L, &c);
}

/* ---- limits, merging
 * -------------------------------------------------------------- */

static s64 do_limit(struct lab_call *c)
{
	struct mm_rlimit new = {c->a[1], c->a[1]};

	return mm_prlimit(c->task->mm, (int)c->a[0], &new, NULL);
}

static int l_setrlimit(lua_State *L)
{
	static const char *const names[] = {"data", "stack", "memlock", "as",
					    NULL};
	static const int numbers[] = {MM_RLIMIT_DATA, MM_RLIMIT_STACK,
				      MM_RLIMIT_MEMLOCK, MM_RLIMIT_AS};
	struct lab_call c = {.fn = do_limit,
			     .name = "setrlimit",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	c.a[0] = (u64)numbers[luaL_checkoption(L, 2, NULL, names)];
	c.a[1] = lab_opt_size(L, 3, MM_RLIM_INFINITY);
	/* A limit that is set is meant to bind. */
	c.task->task->caps &= ~(u32)MM_CAP_IPC_LOCK;
	return lab_do(L, &c);
}

static s64 do_merge(struct lab_call *c)
{
	return mm_prctl_set_memory_merge(c->task->mm, c->a[0] != 0);
}

static int l_memory_merge(lua_State *L)
{
	struct lab_call c = {.fn = do_merge,
			     .name = "memory_merge",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	c.a[0] = lua_isnone(L, 2) || lua_toboolean(L, 2);
	return lab_do(L, &c);
}

#define T4 "t = spawn()\na = t:mmap(\"16K\")\n"

const struct lab_fn lab_mm_fns[] = {
	{"task:mmap",
	 "task:mmap([addr], len, [prot], [flags], [file], [offset]) -> address",
	 "mmap(2). mmap(len) alone is private anonymous memory, \"rw\". "
	 "Protection: \"rw\", \"r-x\" or PROT_...; flags: \"private\", "
	 "\"shared,populate\" or MAP_...",
	 "t = spawn()\na = t:mmap(\"1M\")\n"
	 "b = t:mmap(0x10000000, \"64K\", \"r\", \"private,anonymous,fixed\")\n"
	 "assert(b == 0x10000000)",
	 l_mmap},
	{"task:munmap", "task:munmap(addr, len)", "munmap(2).",
	 T4 "t:munmap(a, \"16K\")", l_munmap},
	{"task:mprotect", "task:mprotect(addr, len, prot)",
	 "mprotect(2): \"r\", \"rw\", \"none\", PROT_READ ...",
	 T4 "t:mprotect(a, \"4K\", \"r\")\n"
	    "ok, e = pcall(t.poke, t, a, 1)\nassert(e.name == \"SIGSEGV\")",
	 l_mprotect},
	{"task:mremap",
	 "task:mremap(addr, old_len, new_len, [flags], [new_addr]) -> address",
	 "mremap(2); it may move unless flags say 0.",
	 T4 "a = t:mremap(a, \"16K\", \"1M\")", l_mremap},
	{"task:brk", "task:brk([addr]) -> address",
	 "brk(2): the heap's end; without argument only told.",
	 "t = spawn()\nend_ = t:brk()\nt:brk(end_ + 8192)", l_brk},
	{"task:sbrk", "task:sbrk(bytes) -> old end",
	 "The heap grows by so many bytes.",
	 "t = spawn()\np = t:sbrk(\"64K\")\nt:poke(p, 42)", l_sbrk},
	{"task:madvise", "task:madvise(addr, len, advice)",
	 "madvise(2): \"dontneed\", \"hugepage\", \"pageout\", MADV_...",
	 T4 "t:touch(a, \"16K\", \"w\")\nt:madvise(a, \"16K\", \"dontneed\")",
	 l_madvise},
	{"task:mlock", "task:mlock(addr, len, [flags])",
	 "mlock(2), mlock2(2) with \"onfault\".", T4 "t:mlock(a, \"16K\")",
	 l_mlock},
	{"task:munlock", "task:munlock(addr, len)", "munlock(2).",
	 T4 "t:mlock(a, \"16K\")\nt:munlock(a, \"16K\")", l_munlock},
	{"task:mlockall", "task:mlockall([flags])",
	 "mlockall(2): \"current\", \"future\", \"onfault\".",
	 T4 "t:mlockall(\"current,future\")", l_mlockall},
	{"task:munlockall", "task:munlockall()", "munlockall(2).",
	 T4 "t:munlockall()", l_munlockall},
	{"task:msync", "task:msync(addr, len, [flags])",
	 "msync(2): \"sync\", \"async\", \"invalidate\".",
	 "t = spawn()\nf = file(\"data\", \"64K\")\n"
	 "a = t:mmap(nil, \"64K\", \"rw\", \"shared\", f)\n"
	 "t:poke(a, 1)\nt:msync(a, \"64K\")",
	 l_msync},
	{"task:mincore", "task:mincore(addr, len) -> pages, \"1101...\"",
	 "mincore(2): how many pages of the range are in RAM, and which.",
	 T4 "t:touch(a, \"8K\")\nassert(t:mincore(a, \"16K\") == 2)",
	 l_mincore},
	{"task:mbind", "task:mbind(addr, len, mode, [nodes], [flags])",
	 "mbind(2): mode \"bind\", \"interleave\", ...; nodes 1 or {0, 1}; "
	 "flags \"move\", \"strict\".",
	 "boot{nodes=2, mem=\"64M\"}\n" T4
	 "t:mbind(a, \"16K\", \"bind\", 1)\nt:touch(a, \"16K\", \"w\")",
	 l_mbind},
	{"task:set_mempolicy", "task:set_mempolicy(mode, [nodes])",
	 "set_mempolicy(2) of the task.",
	 "boot{nodes=2, mem=\"64M\"}\n"
	 "spawn():set_mempolicy(\"interleave\", {0, 1})",
	 l_set_mempolicy},
	{"task:move_pages",
	 "task:move_pages({addr...}, [node or {node...}], [flags]) -> {status}",
	 "move_pages(2): the node of each page, after moving it if nodes are "
	 "given; or an errno's name.",
	 "boot{nodes=2, mem=\"64M\"}\n" T4 "t:touch(a, \"8K\", \"w\")\n"
	 "s = t:move_pages({a, a + 4096, a + 8192}, 1)\n"
	 "assert(s[1] == 1 and s[3] == \"ENOENT\")",
	 l_move_pages},
	{"task:migrate_pages", "task:migrate_pages(from, to) -> not moved",
	 "migrate_pages(2) of its own pages.",
	 "boot{nodes=2, mem=\"64M\"}\n" T4 "t:touch(a, \"16K\", \"w\")\n"
	 "assert(t:migrate_pages(0, 1) == 0)",
	 l_migrate_pages},
	{"task:process_madvise",
	 "task:process_madvise(other, addr, len, advice) -> bytes",
	 "process_madvise(2) on another task's memory: \"cold\", \"pageout\", "
	 "\"willneed\".",
	 T4 "u = spawn()\nt:touch(a, \"16K\", \"w\")\n"
	    "u:process_madvise(t, a, \"16K\", \"cold\")",
	 l_process_madvise},
	{"task:setrlimit", "task:setrlimit(resource, [bytes])",
	 "setrlimit(2): \"as\", \"data\", \"stack\", \"memlock\"; no bytes: no "
	 "limit.",
	 "t = spawn()\nt:setrlimit(\"as\", \"1M\")\n"
	 "ok, e = pcall(t.mmap, t, \"2M\")\nassert(e.name == \"ENOMEM\")",
	 l_setrlimit},
	{"task:memory_merge", "task:memory_merge([on])",
	 "prctl(PR_SET_MEMORY_MERGE): all its memory may be merged by KSM.",
	 "spawn():memory_merge(true)", l_memory_merge},
	{0}};
