/* SPDX-License-Identifier: MIT */
/*
 * lua_uffd.c - page faults that a script answers: userfaultfd(2).
 *
 * A handle watches memory of one task; the calls on it are made by another, a
 * process named "uffd" that comes with the handle, since the watched task
 * sleeps in its fault: begin its access with start(), look at read(), answer
 * with copy() and its kin. What the calls take stands in memory of that
 * process.
 */
#include "lua_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/fs.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/uaccess.h>
#include <mmkit/userfaultfd.h>

#define MAX_COPY (16UL << 20)
#define MESSAGES 64u

struct lab_uffd {
	struct lab_uffd *next;
	u32 id;
	struct file *file; /* NULL: closed */
	struct lab_task *helper;
};

static struct {
	struct lab_uffd *list;
	u32 nr;
} uffds;

static int push_none(lua_State *L, struct lab_call *c)
{
	(void)L;
	(void)c;
	return 0;
}

void lab_uffds_exit(void)
{
	for (struct lab_uffd *u = uffds.list; u; u = u->next) {
		if (u->file)
			fput(u->file);
		u->file = NULL;
	}
}

void lab_uffds_free(void)
{
	struct lab_uffd *next;

	for (struct lab_uffd *u = uffds.list; u; u = next) {
		next = u->next;
		free(u);
	}
	memset(&uffds, 0, sizeof(uffds));
}

static struct lab_uffd *new_uffd(struct lab_task *helper)
{
	struct lab_uffd *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->id = ++uffds.nr;
	u->helper = helper;
	u->next = uffds.list;
	uffds.list = u;
	return u;
}

static struct lab_uffd *uffd_at(lua_State *L, int arg)
{
	u32 id = lab_handle_id(L, arg, "lab.uffd");
	struct lab_uffd *u = uffds.list;

	while (u->id != id)
		u = u->next;
	if (!u->file)
		lab_fail(L, EBADF, "userfaultfd", "it was closed");
	if (u->helper->gone)
		lab_fail(L, ESRCH, "userfaultfd", "its process has ended");
	return u;
}

/* ---- ioctl
 * ------------------------------------------------------------------------ */

/*
 * A[0]: the handle, A[1]: command, A[2..6]: the words of its structure, which
 * come back. BUF: what UFFDIO_COPY copies: its address goes to A[3].
 */
static s64 do_ioctl(struct lab_call *c)
{
	struct lab_uffd *u = (struct lab_uffd *)c->a[0];
	u64 size = c->a[1] >> 16 & 0x3fff, len = PAGE_SIZE + c->buf_len;
	struct mm_struct *mm = c->task->mm;
	s64 ret = -EFAULT;
	s64 at = do_mmap(mm, 0, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS);

	if (at < 0)
		return at;
	if (c->buf)
		c->a[3] = (u64)at + PAGE_SIZE;
	if (!copy_to_user(mm, (uva_t)at, &c->a[2], size) &&
	    !(c->buf &&
	      copy_to_user(mm, (uva_t)at + PAGE_SIZE, c->buf, c->buf_len)))
		ret = userfaultfd_ioctl(u->file, mm, (u32)c->a[1], (uva_t)at);
	if (copy_from_user(mm, &c->a[2], (uva_t)at, size))
		ret = -EFAULT;
	(void)!do_munmap(mm, (uva_t)at, PAGE_ALIGN(len));
	return ret;
}

/* C on the handle at 1, with a range at 2 and 3. */
static void range(lua_State *L, struct lab_call *c, u32 cmd)
{
	struct lab_uffd *u = uffd_at(L, 1);

	c->fn = do_ioctl;
	c->task = u->helper;
	c->push = push_none;
	c->a[0] = (u64)(uintptr_t)u;
	c->a[1] = cmd;
	c->a[2] = lab_size(L, 2);
	c->a[3] = lab_size(L, 3);
	snprintf(c->what, sizeof(c->what), "%llu bytes at 0x%llx",
		 (unsigned long long)c->a[3], (unsigned long long)c->a[2]);
}

static int l_register(lua_State *L)
{
	struct lab_call c = {.name = "UFFDIO_REGISTER"};

	range(L, &c, UFFDIO_REGISTER);
	c.a[4] = lab_flags(L, 4, "UFFDIO_REGISTER_MODE_",
			   UFFDIO_REGISTER_MODE_MISSING);
	return lab_do(L, &c);
}

static int l_unregister(lua_State *L)
{
	struct lab_call c = {.name = "UFFDIO_UNREGISTER"};

	range(L, &c, UFFDIO_UNREGISTER);
	return lab_do(L, &c);
}

static int l_zeropage(lua_State *L)
{
	struct lab_call c = {.name = "UFFDIO_ZEROPAGE"};

	range(L, &c, UFFDIO_ZEROPAGE);
	return lab_do(L, &c);
}

static int l_continue(lua_State *L)
{
	struct lab_call c = {.name = "UFFDIO_CONTINUE"};

	range(L, &c, UFFDIO_CONTINUE);
	return lab_do(L, &c);
}

static int l_poison(lua_State *L)
{
	struct lab_call c = {.name = "UFFDIO_POISON"};

	range(L, &c, UFFDIO_POISON);
	return lab_do(L, &c);
}

static int l_wake(lua_State *L)
{
	struct lab_call c = {.name = "UFFDIO_WAKE"};

	range(L, &c, UFFDIO_WAKE);
	return lab_do(L, &c);
}

static int l_writeprotect(lua_State *L)
{
	struct lab_call c = {.name = "UFFDIO_WRITEPROTECT"};

	range(L, &c, UFFDIO_WRITEPROTECT);
	c.a[4] = lua_isnone(L, 4) || lua_toboolean(L, 4)
			 ? UFFDIO_WRITEPROTECT_MODE_WP
			 : 0;
	return lab_do(L, &c);
}

static int l_copy(lua_State *L)
{
	struct lab_call c = {
		.name = "UFFDIO_COPY", .fn = do_ioctl, .push = push_none};
	struct lab_uffd *u = uffd_at(L, 1);
	size_t n;
	const char *s;

	c.task = u->helper;
	c.a[0] = (u64)(uintptr_t)u;
	c.a[1] = UFFDIO_COPY;
	c.a[2] = lab_size(L, 2);
	s = luaL_checklstring(L, 3, &n);
	luaL_argcheck(L, n <= MAX_COPY, 3, "more than 16M at once");
	/* Whole pages: the rest is zero. */
	c.buf_len = PAGE_ALIGN(n ? n : 1);
	c.buf = calloc(1, c.buf_len);
	if (!c.buf)
		return luaL_error(L, "no memory for the contents");
	memcpy(c.buf, s, n);
	c.a[4] = c.buf_len;
	snprintf(c.what, sizeof(c.what), "%llu bytes to 0x%llx",
		 (unsigned long long)c.buf_len, (unsigned long long)c.a[2]);
	return lab_do(L, &c);
}

/* ---- making, reading
 * ------------------------------------------------------------------ */

/* A: record. By the watched task. */
static s64 do_create(struct lab_call *c)
{
	struct lab_uffd *u = (struct lab_uffd *)c->a[0];
	struct file *f = userfaultfd_create(c->task->mm, O_NONBLOCK);

	if (IS_ERR(f))
		return PTR_ERR(f);
	u->file = f;
	return 0;
}

static int l_create(lua_State *L)
{
	struct lab_task *t = lab_check_task(L, 1);
	struct lab_call c = {.fn = do_create,
			     .name = "userfaultfd",
			     .push = push_none,
			     .task = t};
	struct lab_call api = {
		.fn = do_ioctl, .name = "UFFDIO_API", .push = push_none};
	u64 features = lab_flags(L, 2, "UFFD_FEATURE_", 0);
	struct lab_uffd *u = new_uffd(lab_new_process(L, "uffd"));

	if (!u)
		return luaL_error(L, "no memory for a record");
	c.a[0] = (u64)(uintptr_t)u;
	lab_do(L, &c);
	api.task = u->helper;
	api.a[0] = (u64)(uintptr_t)u;
	api.a[1] = UFFDIO_API;
	api.a[2] = UFFD_API;
	api.a[3] = features;
	lab_do(L, &api);
	lab_handle(L, "lab.uffd", u->id);
	return 1;
}

/* A forked process's handle: a record of its own; its number is told. */
static int install(struct file *child, void *arg)
{
	const struct lab_uffd *parent = arg;
	struct lab_uffd *u = new_uffd(parent->helper);

	if (!u)
		return -ENOMEM;
	u->file = child;
	return (int)u->id;
}

static s64 do_read(struct lab_call *c)
{
	struct lab_uffd *u = (struct lab_uffd *)c->a[0];
	struct uffd_reader r = {.len = MESSAGES * sizeof(struct uffd_msg),
				.install = install,
				.arg = u};
	s64 n;

	c->buf = r.buf = malloc(r.len);
	if (!r.buf)
		return -ENOMEM;
	n = userfaultfd_read(u->file, &r);
	if (n == -EAGAIN)
		n = 0;
	c->buf_len = n > 0 ? (u64)n / sizeof(struct uffd_msg) : 0;
	return n;
}

static void push_fault(lua_State *L, const struct uffd_msg *m)
{
	u64 f = m->arg.pagefault.flags;

	lab_set_str(L, "event", "pagefault");
	lab_set_num(L, "address", m->arg.pagefault.address);
	lua_pushboolean(L, (f & UFFD_PAGEFAULT_FLAG_WRITE) != 0);
	lua_setfield(L, -2, "write");
	lua_pushboolean(L, (f & UFFD_PAGEFAULT_FLAG_WP) != 0);
	lua_setfield(L, -2, "wp");
	lua_pushboolean(L, (f & UFFD_PAGEFAULT_FLAG_MINOR) != 0);
	lua_setfield(L, -2, "minor");
}

static void push_message(lua_State *L, const struct uffd_msg *m)
{
	lua_newtable(L);
	switch (m->event) {
	case UFFD_EVENT_PAGEFAULT:
		push_fault(L, m);
		break;
	case UFFD_EVENT_FORK:
		lab_set_str(L, "event", "fork");
		lab_handle(L, "lab.uffd", m->arg.fork.ufd);
		lua_setfield(L, -2, "uffd");
		break;
	case UFFD_EVENT_REMAP:
		lab_set_str(L, "event", "remap");
		lab_set_num(L, "from", m->arg.remap.from);
		lab_set_num(L, "to", m->arg.remap.to);
		lab_set_num(L, "len", m->arg.remap.len);
		break;
	default:
		lab_set_str(L, "event",
			    m->event == UFFD_EVENT_REMOVE ? "remove" : "unmap");
		lab_set_num(L, "start", m->arg.remove.start);
		lab_set_num(L, "stop", m->arg.remove.end);
		break;
	}
}

static int push_messages(lua_State *L, struct lab_call *c)
{
	const struct uffd_msg *m = c->buf;

	lua_newtable(L);
	for (u64 i = 0; i < c->buf_len; i++) {
		push_message(L, &m[i]);
		lua_seti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int l_read(lua_State *L)
{
	struct lab_uffd *u = uffd_at(L, 1);
	struct lab_call c = {.fn = do_read,
			     .name = "read",
			     .task = u->helper,
			     .push = push_messages};

	c.a[0] = (u64)(uintptr_t)u;
	return lab_do(L, &c);
}

static s64 do_close(struct lab_call *c)
{
	struct lab_uffd *u = (struct lab_uffd *)c->a[0];

	fput(u->file);
	u->file = NULL;
	return 0;
}

static int l_close(lua_State *L)
{
	struct lab_uffd *u = uffd_at(L, 1);
	struct lab_call c = {
		.fn = do_close, .name = "close", .push = push_none};

	c.a[0] = (u64)(uintptr_t)u;
	return lab_do(L, &c);
}

#define WATCH                                                     \
	"t = spawn()\na = t:mmap(\"64K\")\nu = t:userfaultfd()\n" \
	"u:register(a, \"64K\")\nt:start(\"read\", a, 5)\n"       \
	"step()\n"

const struct lab_fn lab_uffd_fns[] = {
	{"task:userfaultfd", "task:userfaultfd([features]) -> handle",
	 "userfaultfd(2) of the task's memory. The calls on the handle are "
	 "made by a process of its own, \"uffd\".",
	 WATCH "m = u:read()[1]\nassert(m.event == \"pagefault\")\n"
	       "u:copy(m.address, \"hello\")\nassert(t:wait() == \"hello\")",
	 l_create},
	{"uffd:register", "uffd:register(addr, len, [mode])",
	 "UFFDIO_REGISTER: \"missing\", \"wp\", \"minor\".",
	 "t = spawn()\na = t:mmap(\"64K\")\nu = t:userfaultfd()\n"
	 "u:register(a, \"64K\", \"missing,wp\")",
	 l_register},
	{"uffd:unregister", "uffd:unregister(addr, len)", "UFFDIO_UNREGISTER.",
	 WATCH "u:unregister(a, \"64K\")\nt:wait()", l_unregister},
	{"uffd:read", "uffd:read() -> list",
	 "What has happened, without waiting: {event=\"pagefault\", address, "
	 "write, wp, minor}, or \"fork\", \"remap\", \"remove\", \"unmap\".",
	 WATCH "print(u:read()[1].event)\nu:zeropage(a, 4096)\nt:wait()",
	 l_read},
	{"uffd:copy", "uffd:copy(addr, string)",
	 "UFFDIO_COPY: pages with these contents, the last one's rest zero.",
	 WATCH "u:copy(a, \"hello\")\nassert(t:wait() == \"hello\")", l_copy},
	{"uffd:zeropage", "uffd:zeropage(addr, len)", "UFFDIO_ZEROPAGE.",
	 WATCH "u:zeropage(a, \"64K\")\nt:wait()", l_zeropage},
	{"uffd:continue", "uffd:continue(addr, len)",
	 "UFFDIO_CONTINUE: what the file's page cache holds.",
	 "t = spawn()\nf = memfd(\"m\", \"64K\")\n"
	 "f:write(0, \"shared\")\n"
	 "a = t:mmap(nil, \"64K\", \"rw\", \"shared\", f)\n"
	 "u = t:userfaultfd()\nu:register(a, \"64K\", \"minor\")\n"
	 "t:start(\"read\", a, 6)\nstep()\nu:continue(a, 4096)\n"
	 "assert(t:wait() == \"shared\")",
	 l_continue},
	{"uffd:poison", "uffd:poison(addr, len)",
	 "UFFDIO_POISON: an access there is SIGBUS.",
	 WATCH "u:poison(a, 4096)\nok, e = pcall(t.wait, t)\n"
	       "assert(e.name == \"SIGBUS\")",
	 l_poison},
	{"uffd:writeprotect", "uffd:writeprotect(addr, len, [on])",
	 "UFFDIO_WRITEPROTECT: on, or with false off, which lets the writer go "
	 "on.",
	 "t = spawn()\na = t:mmap(\"4K\")\nt:poke(a, 1)\n"
	 "u = t:userfaultfd()\nu:register(a, 4096, \"wp\")\n"
	 "u:writeprotect(a, 4096)\nt:start(\"poke\", a, 2)\nstep()\n"
	 "assert(u:read()[1].wp)\nu:writeprotect(a, 4096, false)\nt:wait()",
	 l_writeprotect},
	{"uffd:wake", "uffd:wake(addr, len)",
	 "UFFDIO_WAKE: who waits there tries again.",
	 WATCH "u:wake(a, 4096)\nu:zeropage(a, 4096)\nt:wait()", l_wake},
	{"uffd:close", "uffd:close()",
	 "The memory is watched no more; who waits goes on.",
	 WATCH "u:close()\nt:wait()", l_close},
	{0}};
