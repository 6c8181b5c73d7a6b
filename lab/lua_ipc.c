/* SPDX-License-Identifier: MIT */
/*
 * lua_ipc.c - memory between processes: System V segments, reading and writing
 * another process's memory; and what a task's memory policy is.
 *
 * All callers are root in the first namespace. Arrays that a call takes from
 * user memory stand in a mapping that is there for the time of the call.
 */
#include "lua_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/mempolicy.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/shm.h>
#include <mmkit/uaccess.h>

#define MAX_COPY (16UL << 20)

static int push_none(lua_State *L, struct lab_call *c)
{
	(void)L;
	(void)c;
	return 0;
}

/* ---- System V shared memory
 * ------------------------------------------------------------ */

static struct shm_caller caller(const struct lab_call *c)
{
	return (struct shm_caller){.mm = c->task->mm};
}

/* A: key, size, flags. */
static s64 do_get(struct lab_call *c)
{
	struct shm_caller who = caller(c);

	return do_shmget(&who, (s32)c->a[0], c->a[1], (int)c->a[2]);
}

static int l_shmget(lua_State *L)
{
	struct lab_call c = {
		.fn = do_get, .name = "shmget", .task = lab_check_task(L, 1)};

	c.a[0] = (u64)luaL_optinteger(L, 2, IPC_PRIVATE);
	c.a[1] = lab_size(L, 3);
	c.a[2] = lab_flags(L, 4, "IPC_", IPC_CREAT) | 0600;
	snprintf(c.what, sizeof(c.what), "%llu bytes",
		 (unsigned long long)c.a[1]);
	return lab_do(L, &c);
}

/* A: id, address, flags. */
static s64 do_at(struct lab_call *c)
{
	struct shm_caller who = caller(c);

	return do_shmat(&who, (int)c->a[0], c->a[1], (int)c->a[2]);
}

static int l_shmat(lua_State *L)
{
	struct lab_call c = {
		.fn = do_at, .name = "shmat", .task = lab_check_task(L, 1)};

	c.a[0] = (u64)luaL_checkinteger(L, 2);
	c.a[1] = lab_opt_size(L, 3, 0);
	c.a[2] = lab_flags(L, 4, "SHM_", 0);
	snprintf(c.what, sizeof(c.what), "segment %lld", (long long)c.a[0]);
	return lab_do(L, &c);
}

static s64 do_dt(struct lab_call *c)
{
	struct shm_caller who = caller(c);

	return do_shmdt(&who, c->a[0]);
}

static int l_shmdt(lua_State *L)
{
	struct lab_call c = {.fn = do_dt,
			     .name = "shmdt",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	c.a[0] = lab_size(L, 2);
	return lab_do(L, &c);
}

static s64 do_ctl(struct lab_call *c)
{
	struct shm_caller who = caller(c);

	return do_shmctl(&who, (int)c->a[0], (int)c->a[1], 0);
}

static int l_shmctl(lua_State *L)
{
	static const char *const words[] = {"rmid", "lock", "unlock", NULL};
	static const int cmds[] = {IPC_RMID, SHM_LOCK, SHM_UNLOCK};
	struct lab_call c = {.fn = do_ctl,
			     .name = "shmctl",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	c.a[0] = (u64)luaL_checkinteger(L, 2);
	c.a[1] = (u64)cmds[luaL_checkoption(L, 3, NULL, words)];
	return lab_do(L, &c);
}

/* ---- another's memory
 * ------------------------------------------------------------------ */

/* A: the other's space, with a reference, address, bytes, write. BUF: the
 * bytes. Its own memory holds both vectors, and then the bytes. */
static s64 do_other(struct lab_call *c)
{
	struct mm_struct *mm = c->task->mm,
			 *other = (struct mm_struct *)c->a[0];
	u64 len = 2 * sizeof(struct mm_iovec) + c->buf_len;
	s64 at = do_mmap(mm, 0, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS);
	struct mm_iovec vec[2] = {{(u64)at + sizeof(vec), c->buf_len},
				  {c->a[1], c->buf_len}};
	struct mm_process_vm p = {
		mm, other, (uva_t)at, 1, (uva_t)at + sizeof(vec[0]), 1};
	s64 ret = at;

	if (at >= 0 && (copy_to_user(mm, (uva_t)at, vec, sizeof(vec)) ||
			copy_to_user(mm, vec[0].base, c->buf, c->buf_len)))
		ret = -EFAULT;
	else if (at >= 0)
		ret = c->a[3] ? process_vm_writev(&p, 0)
			      : process_vm_readv(&p, 0);
	if (ret > 0 && copy_from_user(mm, c->buf, vec[0].base, (u64)ret))
		ret = -EFAULT;
	if (at >= 0)
		(void)!do_munmap(mm, (uva_t)at, PAGE_ALIGN(len));
	mm_put(other);
	return ret;
}

static int push_got(lua_State *L, struct lab_call *c)
{
	lua_pushlstring(L, c->buf, (size_t)c->ret);
	return 1;
}

/* C on the task at 1 and the other at 2, N bytes. */
static void between(lua_State *L, struct lab_call *c, u64 n)
{
	struct lab_task *other = lab_any_task(L, 2);

	c->fn = do_other;
	c->task = lab_check_task(L, 1);
	if (other->gone)
		lab_fail(L, ESRCH, c->name, other->name);
	c->a[1] = lab_size(L, 3);
	luaL_argcheck(L, n > 0 && n <= MAX_COPY, 4, "1 byte to 16M");
	c->buf = calloc(1, n);
	if (!c->buf)
		luaL_error(L, "no memory for the bytes");
	c->buf_len = n;
	mm_get(other->mm);
	c->a[0] = (u64)(uintptr_t)other->mm;
	snprintf(c->what, sizeof(c->what), "%llu bytes at 0x%llx of %s",
		 (unsigned long long)n, (unsigned long long)c->a[1],
		 other->name);
}

static int l_readv(lua_State *L)
{
	struct lab_call c = {.name = "process_vm_readv", .push = push_got};

	between(L, &c, lab_size(L, 4));
	return lab_do(L, &c);
}

static int l_writev(lua_State *L)
{
	struct lab_call c = {.name = "process_vm_writev"};
	size_t n;
	const char *s = luaL_checklstring(L, 4, &n);

	between(L, &c, n);
	memcpy(c.buf, s, n);
	c.a[3] = 1;
	return lab_do(L, &c);
}

/* ---- policies
 * ------------------------------------------------------------------------ */

/* A[0], A[1]: mode and nodes come back. */
static s64 do_policy(struct lab_call *c)
{
	int mode = 0;
	nodemask_t nodes = 0;
	int err = do_get_mempolicy(&mode, &nodes, 0);

	c->a[0] = (u64)mode;
	c->a[1] = nodes;
	return err;
}

static int push_policy(lua_State *L, struct lab_call *c)
{
	static const char *const modes[MPOL_MAX] = {"default",
						    "preferred",
						    "bind",
						    "interleave",
						    "local",
						    "preferred_many",
						    "weighted_interleave"};
	u64 mode = c->a[0] & ~(u64)MPOL_MODE_FLAGS;
	lua_Integer n = 0;

	lua_pushstring(L, mode < MPOL_MAX ? modes[mode] : "?");
	lua_newtable(L);
	for (int i = 0; i < 64; i++) {
		if (!(c->a[1] >> i & 1))
			continue;
		lua_pushinteger(L, i);
		lua_seti(L, -2, ++n);
	}
	return 2;
}

static int l_get_mempolicy(lua_State *L)
{
	struct lab_call c = {.fn = do_policy,
			     .name = "get_mempolicy",
			     .push = push_policy,
			     .task = lab_check_task(L, 1)};

	return lab_do(L, &c);
}

/* A: address, length, node. */
static s64 do_home(struct lab_call *c)
{
	return do_set_mempolicy_home_node(c->task->mm, c->a[0], c->a[1],
					  c->a[2], 0);
}

static int l_home_node(lua_State *L)
{
	struct lab_call c = {.fn = do_home,
			     .name = "set_mempolicy_home_node",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	c.a[0] = lab_size(L, 2);
	c.a[1] = lab_size(L, 3);
	c.a[2] = (u64)luaL_checkinteger(L, 4);
	return lab_do(L, &c);
}

#define SHM                                          \
	"t = spawn()\nid = t:shmget(nil, \"64K\")\n" \
	"a = t:shmat(id)\nt:poke(a, 7)\n"
#define TWO                                               \
	"t = spawn()\nu = spawn()\na = t:mmap(\"64K\")\n" \
	"t:write(a, \"hello\")\n"

const struct lab_fn lab_ipc_fns[] = {
	{"task:shmget", "task:shmget([key], size, [flags]) -> id",
	 "shmget(2): a new segment without key; \"creat\", \"excl\".",
	 "t = spawn()\nid = t:shmget(99, \"64K\")\n"
	 "assert(spawn():shmget(99, \"64K\", 0) == id)",
	 l_shmget},
	{"task:shmat", "task:shmat(id, [addr], [flags]) -> address",
	 "shmat(2): \"rdonly\", \"rnd\", \"remap\", \"exec\".",
	 SHM "u = spawn()\nassert(u:peek(u:shmat(id, nil, \"rdonly\")) == 7)",
	 l_shmat},
	{"task:shmdt", "task:shmdt(addr)", "shmdt(2).", SHM "t:shmdt(a)",
	 l_shmdt},
	{"task:shmctl", "task:shmctl(id, \"rmid\"|\"lock\"|\"unlock\")",
	 "shmctl(2): removed when nobody is attached any more; kept out of "
	 "swap.",
	 SHM "t:shmctl(id, \"lock\")\nt:shmctl(id, \"rmid\")", l_shmctl},
	{"task:process_vm_readv",
	 "task:process_vm_readv(other, addr, bytes) -> string",
	 "process_vm_readv(2): what another task's memory holds.",
	 TWO "assert(u:process_vm_readv(t, a, 5) == \"hello\")", l_readv},
	{"task:process_vm_writev",
	 "task:process_vm_writev(other, addr, string) -> bytes",
	 "process_vm_writev(2).",
	 TWO "u:process_vm_writev(t, a, \"J\")\n"
	     "assert(t:read(a, 5) == \"Jello\")",
	 l_writev},
	{"task:get_mempolicy", "task:get_mempolicy() -> mode, {node...}",
	 "get_mempolicy(2) of the task.",
	 "boot{nodes=2, mem=\"64M\"}\nt = spawn()\n"
	 "t:set_mempolicy(\"bind\", 1)\nmode, nodes = t:get_mempolicy()\n"
	 "assert(mode == \"bind\" and nodes[1] == 1)",
	 l_get_mempolicy},
	{"task:set_mempolicy_home_node",
	 "task:set_mempolicy_home_node(addr, len, node)",
	 "set_mempolicy_home_node(2): where a bound range begins.",
	 "boot{nodes=2, mem=\"64M\"}\nt = spawn()\na = t:mmap(\"16K\")\n"
	 "t:mbind(a, \"16K\", \"bind\", {0, 1})\n"
	 "t:set_mempolicy_home_node(a, \"16K\", 1)",
	 l_home_node},
	{0}};
