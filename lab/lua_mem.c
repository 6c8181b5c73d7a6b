/* SPDX-License-Identifier: MIT */
/*
 * lua_mem.c - what programs do with memory: touching it, and its contents.
 *
 * Every access goes through the software MMU as the task's own, page by page,
 * with a point between two at which daemons may run. One that may not be ends
 * in a Lua error with the signal's name; the task lives on, as if it had a
 * handler.
 */
#include "lua_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/port.h>

#include "sim.h"

#define MAX_COPY  (256UL << 20)
#define ACCESS_NS 100 /* between two pages, for what else the program does */

static int push_none(lua_State *L, struct lab_call *c)
{
	(void)L;
	(void)c;
	return 0;
}

static const char *access_word(u64 how)
{
	if (how & SIM_WRITE)
		return "write";
	return how & SIM_EXEC ? "execute" : "read";
}

/* One access: true, or the signal is noted. */
static void *reach(struct lab_call *c, uva_t va, u64 how)
{
	int sig = 0;
	void *view = sim_user(va, (unsigned)how, &sig);

	if (view)
		return view;
	c->sig = sig;
	c->sig_at = va;
	c->sig_what = access_word(how);
	return NULL;
}

/* A: address, length, access, step. */
static s64 do_touch(struct lab_call *c)
{
	u64 end = c->a[0] + c->a[1];

	for (u64 va = c->a[0]; va < end; va += c->a[3]) {
		if (!reach(c, va, c->a[2]))
			return -EFAULT;
		port_charge_ns(ACCESS_NS);
		port_sched_point();
	}
	return (s64)(c->a[1] / c->a[3]);
}

static u64 access_arg(lua_State *L, int arg)
{
	static const char *const words[] = {"r",     "w",    "x", "read",
					    "write", "exec", NULL};
	static const u64 how[] = {SIM_READ, SIM_WRITE, SIM_EXEC,
				  SIM_READ, SIM_WRITE, SIM_EXEC};

	return how[luaL_checkoption(L, arg, "r", words)];
}

static int l_touch(lua_State *L)
{
	struct lab_call c = {.fn = do_touch,
			     .name = "touch",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	c.a[0] = lab_size(L, 2);
	c.a[1] = lab_opt_size(L, 3, 1);
	c.a[2] = access_arg(L, 4);
	c.a[3] = lab_opt_size(L, 5, PAGE_SIZE);
	luaL_argcheck(L, c.a[3] > 0, 5, "a step is above 0");
	luaL_argcheck(L, c.a[0] + c.a[1] >= c.a[0], 3, "beyond all addresses");
	return lab_do(L, &c);
}

/* A: address, bytes, access; the other side is BUF. */
static s64 do_copy(struct lab_call *c)
{
	char *buf = c->buf;
	u64 left = c->a[1], va = c->a[0];

	while (left) {
		u64 n = min(left, PAGE_SIZE - (va & ~PAGE_MASK));
		char *view = reach(c, va, c->a[2]);

		if (!view)
			return -EFAULT;
		if (c->a[2] & SIM_WRITE)
			memcpy(view, buf, n);
		else
			memcpy(buf, view, n);
		port_charge_ns(ACCESS_NS);
		port_sched_point();
		buf += n;
		va += n;
		left -= n;
	}
	return 0;
}

static int push_bytes(lua_State *L, struct lab_call *c)
{
	lua_pushlstring(L, c->buf, c->buf_len);
	return 1;
}

/* Room for the N bytes of C's copy. */
static void make_room(lua_State *L, struct lab_call *c, int arg, u64 n)
{
	luaL_argcheck(L, n <= MAX_COPY, arg, "more than 256M at once");
	c->buf = malloc(n ? n : 1);
	if (!c->buf)
		luaL_error(L, "no memory for %I bytes", (lua_Integer)n);
	c->buf_len = c->a[1] = n;
}

static int l_read(lua_State *L)
{
	struct lab_call c = {.fn = do_copy,
			     .name = "read",
			     .push = push_bytes,
			     .task = lab_check_task(L, 1)};

	c.a[0] = lab_size(L, 2);
	c.a[2] = SIM_READ;
	make_room(L, &c, 3, lab_size(L, 3));
	return lab_do(L, &c);
}

static int l_write(lua_State *L)
{
	struct lab_call c = {.fn = do_copy,
			     .name = "write",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};
	size_t n;
	const char *s = luaL_checklstring(L, 3, &n);

	c.a[0] = lab_size(L, 2);
	c.a[2] = SIM_WRITE;
	make_room(L, &c, 3, n);
	memcpy(c.buf, s, n);
	return lab_do(L, &c);
}

/* A: address, length, access; BUF is written again and again. */
static s64 do_fill(struct lab_call *c)
{
	u64 left = c->a[1], va = c->a[0], at = 0;
	const char *from = c->buf;

	while (left) {
		u64 n = min(left, PAGE_SIZE - (va & ~PAGE_MASK));
		char *view = reach(c, va, SIM_WRITE);

		if (!view)
			return -EFAULT;
		for (u64 i = 0; i < n; i++) {
			view[i] = from[at++];
			if (at == c->buf_len)
				at = 0;
		}
		port_charge_ns(ACCESS_NS);
		port_sched_point();
		va += n;
		left -= n;
	}
	return 0;
}

static int l_fill(lua_State *L)
{
	struct lab_call c = {.fn = do_fill,
			     .name = "fill",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};
	size_t n = 1;
	char byte = 0;
	const char *s = &byte;

	c.a[0] = lab_size(L, 2);
	if (lua_type(L, 4) == LUA_TNUMBER)
		byte = (char)luaL_checkinteger(L, 4);
	else
		s = luaL_checklstring(L, 4, &n);
	luaL_argcheck(L, n > 0, 4, "nothing to fill with");
	make_room(L, &c, 4, n);
	memcpy(c.buf, s, n);
	c.a[1] = lab_size(L, 3);
	return lab_do(L, &c);
}

static u64 width_arg(lua_State *L, int arg)
{
	lua_Integer w = luaL_optinteger(L, arg, 8);

	luaL_argcheck(L, w == 1 || w == 2 || w == 4 || w == 8, arg,
		      "1, 2, 4 or 8 bytes");
	return (u64)w;
}

static int push_word(lua_State *L, struct lab_call *c)
{
	u64 v = 0;

	memcpy(&v, c->buf, c->buf_len);
	lua_pushinteger(L, (lua_Integer)v);
	return 1;
}

static int l_peek(lua_State *L)
{
	struct lab_call c = {.fn = do_copy,
			     .name = "peek",
			     .push = push_word,
			     .task = lab_check_task(L, 1)};

	c.a[0] = lab_size(L, 2);
	c.a[2] = SIM_READ;
	make_room(L, &c, 3, width_arg(L, 3));
	return lab_do(L, &c);
}

static int l_poke(lua_State *L)
{
	struct lab_call c = {.fn = do_copy,
			     .name = "poke",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};
	lua_Integer v = luaL_checkinteger(L, 3);

	c.a[0] = lab_size(L, 2);
	c.a[2] = SIM_WRITE;
	make_room(L, &c, 4, width_arg(L, 4));
	memcpy(c.buf, &v, c.buf_len);
	return lab_do(L, &c);
}

#define T4 "t = spawn()\na = t:mmap(\"16K\")\n"

const struct lab_fn lab_mem_fns[] = {
	{"task:touch", "task:touch(addr, [len], [\"r\"|\"w\"|\"x\"], [step])",
	 "Access a byte in each page of the range (or every STEP bytes): read "
	 "unless told.",
	 T4 "t:touch(a, \"16K\", \"w\")", l_touch},
	{"task:read", "task:read(addr, len) -> string",
	 "What the memory holds.",
	 T4 "t:write(a, \"hello\")\nassert(t:read(a, 5) == \"hello\")", l_read},
	{"task:write", "task:write(addr, string)",
	 "Bytes into memory, as the program would write them.",
	 T4 "t:write(a + 4090, \"across two pages\")", l_write},
	{"task:fill", "task:fill(addr, len, byte or string)",
	 "The range full of a byte, or of a string again and again.",
	 T4 "t:fill(a, \"16K\", \"abc\")\nassert(t:read(a, 4) == \"abca\")",
	 l_fill},
	{"task:peek", "task:peek(addr, [bytes]) -> number",
	 "A word of 8 bytes (1, 2, 4) as the program reads it.",
	 T4 "t:poke(a, 0x41)\nassert(t:peek(a, 1) == 0x41)", l_peek},
	{"task:poke", "task:poke(addr, number, [bytes])",
	 "Write a word of 8 bytes (1, 2, 4).", T4 "t:poke(a + 8, -1)", l_poke},
	{0}};
