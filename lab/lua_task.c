/* SPDX-License-Identifier: MIT */
/*
 * lua_task.c - tasks: threads of the machine that do what the script says.
 *
 * 1. A task has a thread of the machine and an address space, which threads of
 *    one process share. Between two calls its thread sleeps.
 *
 * 2. Death. A task ends by exit(), kill(), or because the OOM killer chose
 *    it: its thread notices, gives its memory back and ends. The record stays,
 *    so that a script can ask how it ended, until the machine goes.
 *
 * 3. start() leaves the task at work while the script goes on; the work is
 *    played whenever the machine is. wait() plays until it is done.
 */
#include "lua_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/port.h>
#include <mmkit/prctl.h>
#include <mmkit/task.h>

#include "sim.h"
#include "space/space.h"

/* Who drives a lab is root in it. */
#define ROOT_CAPS                                               \
	(MM_CAP_IPC_LOCK | MM_CAP_SYS_ADMIN | MM_CAP_SYS_NICE | \
	 MM_CAP_SYS_RESOURCE | MM_CAP_IPC_OWNER | MM_CAP_SYS_PTRACE)
/* A call that takes longer, in virtual time, waits for something that the
 * script must do. */
#define PATIENCE_NS 1000000000000u
#define STACK_PAGES 33 /* what Linux gives at first: 132 KiB */

static struct {
	struct lab_task *first, **last;
	u32 nr;
	bool starting;	       /* start() is asking for the call */
	struct lab_call *call; /* what it got */
} tasks;

/* ---- the machine's side
 * ------------------------------------------------------- */

static void leave(struct lab_task *t)
{
	t->code = t->task->fatal_signal ? -t->task->fatal_signal : t->code;
	mm_task_unregister(t->task);
	mm_task_exit(t->task);
	mm_put(t->mm);
	t->mm = NULL;
	t->gone = true;
}

static void work(struct lab_task *t)
{
	struct lab_call *c = t->work;

	t->work = NULL;
	c->ret = c->fn(c);
	c->done = true;
}

/* Who waits is the machine's first thread: it looks again. */
static struct port_thread *waiter;

static void task_main(void *arg)
{
	struct lab_task *t = arg;

	mm_task_attach(port_current(), t->mm);
	while (!t->end && !t->task->fatal_signal) {
		if (t->work) {
			work(t);
			if (waiter)
				port_unpark(waiter);
		} else {
			port_park(UINT64_MAX);
		}
	}
	leave(t);
	if (waiter)
		port_unpark(waiter);
}

static int start_thread(struct lab_task *t, int cpu)
{
	int err = sim_thread_start_on(&t->thread, t->name, cpu, task_main, t);

	if (err)
		return err;
	t->task = sim_thread_task(t->thread);
	t->task->caps = ROOT_CAPS;
	mm_task_register(t->task, t->name);
	t->pid = t->task->pid;
	if (t->parent)
		t->task->group = t->parent->task->group;
	return 0;
}

/* A stack at the top and a heap that begins where Linux's does. */
static int furnish(struct mm_struct *mm, const struct mm_layout *l)
{
	s64 at = do_mmap(mm, l->stack_top - STACK_PAGES * PAGE_SIZE,
			 STACK_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
				 MAP_GROWSDOWN);
	struct prctl_mm_map map = {.start_brk = l->start_brk,
				   .brk = l->start_brk,
				   .start_stack = l->stack_top - PAGE_SIZE,
				   .exe_fd = (u32)-1};

	u64 auxv[2] = {0};

	if (at < 0)
		return (int)at;
	return mm_prctl_map_set(mm, &map, auxv, ARRAY_SIZE(auxv), NULL);
}

static int new_space(struct mm_struct **out)
{
	struct mm_layout l;
	int err;

	mm_default_layout(&l);
	err = mm_create(&l, out);
	if (err)
		return err;
	err = furnish(*out, &l);
	if (err) {
		mm_put(*out);
		*out = NULL;
	}
	return err;
}

/* A[0]: the new task's record, A[1]: CPU. In the first thread: a process. */
static s64 do_spawn(struct lab_call *c)
{
	struct lab_task *t = (struct lab_task *)c->a[0];
	int err = new_space(&t->mm);

	if (err)
		return err;
	err = start_thread(t, (int)c->a[1]);
	if (err) {
		mm_put(t->mm);
		t->mm = NULL;
	}
	return err;
}

/* By the parent itself; A[2]: MM_CLONE_VM for a thread. */
static s64 do_clone(struct lab_call *c)
{
	struct lab_task *t = (struct lab_task *)c->a[0];
	int err = mm_clone(c->task->mm, (u32)c->a[2], &t->mm);

	if (err)
		return err;
	t->parent = c->task;
	err = start_thread(t, (int)c->a[1]);
	if (err) {
		mm_put(t->mm);
		t->mm = NULL;
	}
	return err;
}

/* One part of a program at A, which it has in the file from OFF on; FILE NULL:
 * zeroes. Its end, or negative errno. */
static s64 load_part(struct mm_struct *mm, uva_t at, u64 len, int prot,
		     struct file *file, u64 off)
{
	struct mm_mmap req = {.addr = at,
			      .len = len,
			      .prot = prot,
			      .flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE |
				       (file ? 0 : MAP_ANONYMOUS),
			      .file = file,
			      .pgoff = off >> PAGE_SHIFT};
	s64 got = len ? do_mmap_file(mm, &req) : 0;

	return got < 0 ? got : (s64)(at + len);
}

/* A: file, bytes of text, data, bss: whole pages, as a linker puts them. */
static int load_program(const struct lab_call *c, struct mm_struct *mm)
{
	struct file *file = (struct file *)c->a[0];
	bool wide = space_sys.format->va_bits > 32;
	u64 base = wide ? 0x400000 : 0x08048000, auxv[2] = {0};
	s64 data, bss, end;
	struct prctl_mm_map map;
	struct mm_layout l;

	data = load_part(mm, base, c->a[1], PROT_READ | PROT_EXEC, file, 0);
	bss = data < 0 ? data
		       : load_part(mm, (uva_t)data, c->a[2],
				   PROT_READ | PROT_WRITE, file, c->a[1]);
	end = bss < 0 ? bss
		      : load_part(mm, (uva_t)bss, c->a[3],
				  PROT_READ | PROT_WRITE, NULL, 0);
	if (end < 0)
		return (int)end;
	mm_default_layout(&l);
	map = (struct prctl_mm_map){.start_code = base,
				    .end_code = (u64)data,
				    .start_data = (u64)data,
				    .end_data = (u64)bss,
				    .start_brk = (u64)end,
				    .brk = (u64)end,
				    .start_stack = l.stack_top - PAGE_SIZE,
				    .exe_fd = (u32)-1};
	return mm_prctl_map_set(mm, &map, auxv, ARRAY_SIZE(auxv), file);
}

static s64 do_exec(struct lab_call *c)
{
	struct mm_struct *mm, *old = c->task->mm;
	int err = new_space(&mm);

	if (err)
		return err;
	if (c->a[0])
		err = load_program(c, mm);
	if (err) {
		mm_put(mm);
		return err;
	}
	mm_get(mm);
	mm_task_exec(mm);
	c->task->mm = mm;
	mm_put(old);
	return 0;
}

static s64 do_exit(struct lab_call *c)
{
	c->task->code = (int)c->a[0];
	c->task->end = true;
	return 0;
}

/* Until a task is gone, or (A[1]) its work is done. */
struct wait_for {
	struct lab_task *task;
	bool gone;
	u64 ns; /* no longer than this */
};

static int do_wait(void *arg)
{
	const struct wait_for *w = arg;
	const struct lab_task *t = w->task;
	u64 end = port_now_ns() + w->ns;

	waiter = port_self();
	while (!t->gone && (w->gone || !t->back || !t->back->done) &&
	       port_now_ns() < end)
		port_park(end - port_now_ns());
	waiter = NULL;
	return 0;
}

static int do_kill(void *arg)
{
	struct wait_for *w = arg;

	if (w->task->gone)
		return 0;
	w->task->task->fatal_signal = MM_SIGKILL;
	port_unpark(w->task->thread);
	return do_wait(arg);
}

void lab_tasks_exit(void)
{
	for (struct lab_task *t = tasks.first; t; t = t->next) {
		if (!t->thread)
			continue;
		t->end = true;
		if (!t->gone)
			t->task->fatal_signal =
				t->back && !t->back->done ? MM_SIGKILL : 0;
		port_unpark(t->thread);
		port_thread_join(t->thread);
		t->thread = NULL;
	}
}

/* ---- records
 * --------------------------------------------------------------------- */

static void drop_back(struct lab_task *t)
{
	if (t->back)
		free(t->back->buf);
	free(t->back);
	t->back = NULL;
}

void lab_tasks_free(void)
{
	struct lab_task *next;

	for (struct lab_task *t = tasks.first; t; t = next) {
		next = t->next;
		drop_back(t);
		free(t);
	}
	memset(&tasks, 0, sizeof(tasks));
	waiter = NULL;
}

static struct lab_task *new_task(lua_State *L, const char *name)
{
	struct lab_task *t = calloc(1, sizeof(*t)), **at = &tasks.first;

	if (!t)
		luaL_error(L, "no memory for a task");
	while (*at)
		at = &(*at)->next;
	*at = t;
	t->id = ++tasks.nr;
	if (name)
		snprintf(t->name, sizeof(t->name), "%s", name);
	else
		snprintf(t->name, sizeof(t->name), "task%u", t->id);
	return t;
}

/* A record whose task was never born. */
static void forget_task(struct lab_task *t)
{
	struct lab_task **at = &tasks.first;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	free(t);
}

static struct lab_task *by_id(u32 id)
{
	struct lab_task *t = tasks.first;

	while (t && t->id != id)
		t = t->next;
	return t;
}

struct lab_task *lab_any_task(lua_State *L, int arg)
{
	return by_id(lab_handle_id(L, arg, "lab.task"));
}

struct lab_task *lab_check_task(lua_State *L, int arg)
{
	struct lab_task *t = lab_any_task(L, arg);

	if (t->gone)
		lab_throw(L, "ESRCH", ESRCH, t->name, "it has ended");
	if (t->back && !t->back->done)
		lab_throw(L, "EBUSY", EBUSY, t->name,
			  "it is at work; wait() for it");
	return t;
}

struct lab_task *lab_next_task(const struct lab_task *t)
{
	struct lab_task *n = t ? t->next : tasks.first;

	while (n && (n->gone || !n->thread))
		n = n->next;
	return n;
}

struct lab_task *lab_mm_owner(const struct mm_struct *mm)
{
	struct lab_task *t = lab_next_task(NULL);

	while (t && t->mm != mm)
		t = lab_next_task(t);
	return t;
}

/* ---- calls of tasks
 * --------------------------------------------------------------- */

bool lab_task_died(const struct lab_call *c)
{
	return c->task && c->task->gone && c->task->code < 0;
}

static bool over(const struct lab_call *c)
{
	const struct lab_task *t = c->task;

	/* Who is killed meanwhile leaves before anything else is looked at. */
	if (t->task->fatal_signal || t->end)
		return t->gone;
	return c->done || t->gone;
}

int lab_play(void *arg)
{
	struct lab_call *c = arg;
	u64 end = port_now_ns() + PATIENCE_NS;

	if (!c->task) {
		port_current()->caps = ROOT_CAPS;
		c->ret = c->fn(c);
		c->done = true;
		return 0;
	}
	waiter = port_self();
	c->task->work = c;
	port_unpark(c->task->thread);
	while (!over(c) && port_now_ns() < end)
		port_park(end - port_now_ns());
	waiter = NULL;
	return 0;
}

/*
 * The call stands in memory of its own while it is played: if it takes too
 * long, the task stays at it, as if start() had begun it.
 */
void lab_play_call(lua_State *L, struct lab_call *c)
{
	struct lab_call *copy;

	if (!c->task) {
		lab_run(L, lab_play, c);
		return;
	}
	copy = malloc(sizeof(*copy));
	if (!copy)
		luaL_error(L, "no memory for a call");
	*copy = *c;
	drop_back(c->task);
	c->task->back = copy;
	lab_run(L, lab_play, copy);
	if (!copy->done && !c->task->gone)
		lab_fail(L, ETIMEDOUT, c->name,
			 "it waits for something and goes on; wait() for it");
	*c = *copy;
	free(copy);
	c->task->back = NULL;
}

/* start() wants C: it gets a copy, and nothing is played. */
bool lab_take_call(lua_State *L, struct lab_call *c)
{
	if (!tasks.starting || !c->task)
		return false;
	tasks.call = malloc(sizeof(*c));
	if (!tasks.call)
		luaL_error(L, "no memory for a call");
	*tasks.call = *c;
	c->buf = NULL;
	return true;
}

static int hand_over(void *arg)
{
	struct lab_task *t = arg;

	t->work = t->back;
	port_unpark(t->thread);
	return 0;
}

static int l_start(lua_State *L)
{
	struct lab_task *t = lab_check_task(L, 1);
	const char *name = luaL_checkstring(L, 2);
	int err;

	if (luaL_getmetafield(L, 1, "__index") == LUA_TNIL ||
	    lua_getfield(L, -1, name) == LUA_TNIL)
		return luaL_error(L, "a task has no function '%s'", name);
	drop_back(t);
	lua_replace(L, 2); /* task, class below; function in place of name */
	lua_pop(L, 1);
	lua_pushvalue(L, 1);
	lua_insert(L, 3);
	tasks.starting = true;
	tasks.call = NULL;
	err = lua_pcall(L, lua_gettop(L) - 2, 0, 0);
	tasks.starting = false;
	if (err)
		return lua_error(L);
	if (!tasks.call)
		return luaL_error(L, "that cannot be started: call it");
	t->back = tasks.call;
	lab_run(L, hand_over, t);
	return 0;
}

static int push_end(lua_State *L, const struct lab_task *t)
{
	if (t->code < 0) {
		lua_pushnil(L);
		lua_pushfstring(L, "SIG%s", sigabbrev_np(-t->code));
		return 2;
	}
	lua_pushinteger(L, t->code);
	return 1;
}

static int l_wait(lua_State *L)
{
	struct lab_task *t = lab_any_task(L, 1);
	struct wait_for w = {.task = t, .ns = PATIENCE_NS};
	struct lab_call c;

	if (!lua_isnoneornil(L, 2))
		w.ns = lab_time(L, 2);
	if (!t->back)
		return t->gone ? push_end(L, t) : 0;
	lab_run(L, do_wait, &w);
	if (!t->gone && !t->back->done)
		return lab_fail(L, ETIMEDOUT, "wait", t->name);
	c = *t->back;
	t->back->buf = NULL;
	drop_back(t);
	if (t->gone && !c.done) {
		free(c.buf);
		return push_end(L, t);
	}
	return lab_result(L, &c);
}

/* ---- functions
 * --------------------------------------------------------------------- */

static int cpu_arg(lua_State *L, int arg, int def)
{
	lua_Integer cpu = luaL_optinteger(L, arg, def);

	luaL_argcheck(L, cpu >= 0 && cpu < (lua_Integer)lab_machine()->cpus,
		      arg, "there is no such CPU");
	return (int)cpu;
}

static int push_task(lua_State *L, struct lab_call *c)
{
	lab_handle(L, "lab.task", ((struct lab_task *)c->a[0])->id);
	return 1;
}

/* C makes the task T, or nothing is left of it. */
static int birth(lua_State *L, struct lab_call *c, struct lab_task *t)
{
	c->a[0] = (u64)(uintptr_t)t;
	c->push = push_task;
	if (lab_take_call(L, c))
		return 0;
	lab_play_call(L, c);
	if (!t->thread && !c->ret)
		c->ret = -EINTR;
	if (c->ret)
		forget_task(t);
	return lab_result(L, c);
}

static int l_spawn(lua_State *L)
{
	struct lab_call c = {.fn = do_spawn, .name = "spawn"};
	const char *name = luaL_optstring(L, 1, NULL);

	lab_need_machine(L);
	c.a[1] = (u64)cpu_arg(L, 2, 0);
	return birth(L, &c, new_task(L, name));
}

struct lab_task *lab_new_process(lua_State *L, const char *name)
{
	struct lab_call c = {.fn = do_spawn, .name = "spawn"};
	struct lab_task *t = new_task(L, name);

	birth(L, &c, t);
	lua_pop(L, 1);
	return t;
}

static int clone_task(lua_State *L, const char *call, u64 flags)
{
	struct lab_task *parent = lab_check_task(L, 1);
	struct lab_call c = {.fn = do_clone, .name = call, .task = parent};
	const char *name = luaL_optstring(L, 2, parent->name);

	c.a[1] = (u64)cpu_arg(L, 3, 0);
	c.a[2] = flags;
	return birth(L, &c, new_task(L, name));
}

static int l_fork(lua_State *L)
{
	return clone_task(L, "fork", 0);
}

static int l_thread(lua_State *L)
{
	return clone_task(L, "thread", MM_CLONE_VM);
}

static int push_none(lua_State *L, struct lab_call *c)
{
	(void)L;
	(void)c;
	return 0;
}

/* A size of the table at 2, in whole pages. */
static u64 part_arg(lua_State *L, const char *name)
{
	u64 v;

	lua_getfield(L, 2, name);
	v = lab_opt_size(L, -1, 0);
	lua_pop(L, 1);
	return PAGE_ALIGN(v);
}

static int l_exec(lua_State *L)
{
	struct lab_call c = {.fn = do_exec,
			     .name = "exec",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	if (lua_isnoneornil(L, 2))
		return lab_do(L, &c);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	lua_getfield(L, 2, "file");
	c.a[0] = (u64)(uintptr_t)lab_file_of(L, 3, false);
	c.a[1] = part_arg(L, "text");
	c.a[2] = part_arg(L, "data");
	c.a[3] = part_arg(L, "bss");
	return lab_do(L, &c);
}

static int l_exit(lua_State *L)
{
	struct lab_call c = {.fn = do_exit,
			     .name = "exit",
			     .push = push_none,
			     .task = lab_check_task(L, 1)};

	c.a[0] = (u64)luaL_optinteger(L, 2, 0) & 0xff;
	return lab_do(L, &c);
}

static int l_kill(lua_State *L)
{
	struct wait_for w = {
		.task = lab_any_task(L, 1), .gone = true, .ns = PATIENCE_NS};

	lab_run(L, do_kill, &w);
	return 0;
}

static int l_tasks(lua_State *L)
{
	lua_Integer n = 0;

	lua_newtable(L);
	for (struct lab_task *t = lab_next_task(NULL); t;
	     t = lab_next_task(t)) {
		lab_handle(L, "lab.task", t->id);
		lua_seti(L, -2, ++n);
	}
	return 1;
}

static int l_pid(lua_State *L)
{
	lua_pushinteger(L, lab_any_task(L, 1)->pid);
	return 1;
}

static int l_name(lua_State *L)
{
	lua_pushstring(L, lab_any_task(L, 1)->name);
	return 1;
}

static int l_alive(lua_State *L)
{
	lua_pushboolean(L, !lab_any_task(L, 1)->gone);
	return 1;
}

static int l_busy(lua_State *L)
{
	const struct lab_task *t = lab_any_task(L, 1);

	lua_pushboolean(L, t->back && !t->back->done && !t->gone);
	return 1;
}

/* Own faults, as getrusage(2) tells them. */
static int l_faults(lua_State *L)
{
	const struct lab_task *t = lab_check_task(L, 1);

	lua_pushinteger(L, (lua_Integer)t->task->min_flt);
	lua_pushinteger(L, (lua_Integer)t->task->maj_flt);
	return 2;
}

static int l_cpu(lua_State *L)
{
	struct lab_task *t = lab_check_task(L, 1);

	sim_set_cpu(t->thread, cpu_arg(L, 2, 0));
	return 0;
}

static int l_oom_score_adj(lua_State *L)
{
	struct lab_task *t = lab_check_task(L, 1);
	lua_Integer v = luaL_checkinteger(L, 2);

	if (v < -1000 || v > 1000)
		return lab_fail(L, EINVAL, "oom_score_adj", "");
	t->task->oom_score_adj = (s16)v;
	return 0;
}

const struct lab_fn lab_task_fns[] = {
	{"spawn", "spawn([name], [cpu]) -> task",
	 "A new process with an empty address space: a stack, and a heap that "
	 "brk() can grow.",
	 "t = spawn(\"shell\")\nprint(t:name(), t:pid() > 0)", l_spawn},
	{"tasks", "tasks() -> list", "All tasks that live, by age.",
	 "spawn(\"a\") spawn(\"b\")\nassert(#tasks() == 2)", l_tasks},
	{"task:fork", "task:fork([name], [cpu]) -> task",
	 "fork(2): a process with a copy of the address space, pages shared "
	 "until one of the two writes.",
	 "t = spawn()\nchild = t:fork(\"child\")", l_fork},
	{"task:thread", "task:thread([name], [cpu]) -> task",
	 "A thread: another task in the same address space.",
	 "t = spawn()\nu = t:thread()", l_thread},
	{"task:exec", "task:exec([{file=, text=, data=, bss=}])",
	 "execve(2): the old address space goes, an empty one comes; with a "
	 "file its text and data are mapped and a heap begins behind its bss.",
	 "t = spawn()\nt:exec{file=file(\"/bin/prog\", \"1M\"), "
	 "text=\"512K\", data=\"64K\", bss=\"16K\"}\n"
	 "t:cat(\"/proc/self/maps\")",
	 l_exec},
	{"task:exit", "task:exit([status])",
	 "exit_group(2) of this task: its memory goes with the last task that "
	 "shares it.",
	 "t = spawn()\nt:exit(3)\nassert(t:wait() == 3)", l_exit},
	{"task:kill", "task:kill()", "SIGKILL: the task is gone on return.",
	 "t = spawn()\nt:kill()\nassert(not t:alive())", l_kill},
	{"task:start", "task:start(function, ...)",
	 "Begin a call (\"touch\", \"write\", ...) and return at once; it goes "
	 "on whenever the machine runs, and wait() gives its result.",
	 "t = spawn()\na = t:mmap(\"1M\")\n"
	 "t:start(\"touch\", a, \"1M\", \"w\")\nstep(\"10us\")\nt:wait()",
	 l_start},
	{"task:wait",
	 "task:wait([time]) -> result, or exit status, or nil, signal",
	 "Let the machine run until what was started is done, or fail with "
	 "ETIMEDOUT after TIME of virtual time (1000 s); of a task that has "
	 "ended: how.",
	 "t = spawn()\nt:kill()\nprint(t:wait())", l_wait},
	{"task:pid", "task:pid() -> number", "Its process id in the machine.",
	 "print(spawn():pid())", l_pid},
	{"task:name", "task:name() -> string", "The name it was given.",
	 "print(spawn(\"x\"):name())", l_name},
	{"task:alive", "task:alive() -> boolean",
	 "False once it has ended or was killed.", "assert(spawn():alive())",
	 l_alive},
	{"task:busy", "task:busy() -> boolean",
	 "Is it still at what start() began?", "assert(not spawn():busy())",
	 l_busy},
	{"task:faults", "task:faults() -> minor, major",
	 "Its page faults so far, without and with reading from a disk.",
	 "t = spawn()\na = t:mmap(\"8K\")\nt:touch(a, \"8K\", \"w\")\n"
	 "print(t:faults())",
	 l_faults},
	{"task:cpu", "task:cpu(number)", "It runs on that CPU from now on.",
	 "boot{cpus=2}\nt = spawn()\nt:cpu(1)", l_cpu},
	{"task:oom_score_adj", "task:oom_score_adj(-1000 .. 1000)",
	 "As /proc/PID/oom_score_adj: -1000 keeps the OOM killer away.",
	 "spawn():oom_score_adj(-1000)", l_oom_score_adj},
	{0}};
