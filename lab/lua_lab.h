/* SPDX-License-Identifier: MIT */
/*
 * lua_lab.h - what the parts of the lab share.
 *
 * 1. Two sides. Lua runs on the program's own stack, outside the machine. What
 *    a function does in the machine is a struct lab_call, which sim_run()
 *    plays: by the machine's first thread, or by the thread of a task. When
 *    it is done everything in the machine rests until the next call. So a Lua
 *    error, which is a longjmp, never leaves a thread of the machine.
 *
 * 2. Everything repeats: no host clock and no host address reaches a script,
 *    pairs() goes by the order of keys, math.random() is seeded.
 *
 * 3. Handles. Tasks, files and groups are numbers in C; userdata hold a number
 *    and the boot that it is of. Collecting garbage changes no machine.
 *
 * lua_main.c    scripts and the prompt     lua_edit.c   editing of lines
 * lua_value.c   arguments, errors          lua_const.c  Linux's constants
 * lua_machine.c boot, time, calls          lua_task.c   tasks
 * lua_mm.c      mmap and its kin           lua_mem.c    touching memory
 * lua_file.c    files                      lua_proc.c   /proc, /sys, groups
 * lua_look.c    pages, tables, frames      lua_event.c  tracepoints
 * lua_kmem.c    the kernel's own memory    lua_lists.c  lists of frames
 * lua_uffd.c    faults that a script answers
 * lua_json.c    JSON                       lua_help.c   help()
 * lua_ipc.c     memory between processes
 * prelude.lua   what is written in Lua
 */
#ifndef LAB_LUA_LAB_H
#define LAB_LUA_LAB_H

#include <lua5.4/lua.h>

#include <lua5.4/lauxlib.h>

#include "lab.h"

struct file;
struct inode;
struct mm_struct;
struct mm_task;
struct port_bdev;
struct port_thread;

/* ---- functions and their help
 * -------------------------------------------------- */

/* One function: "name" is global, "task:name" a method. */
struct lab_fn {
	const char *name;
	const char *usage;   /* arguments and result */
	const char *text;    /* what it does, a sentence or two */
	const char *example; /* runs by itself on a fresh lab */
	lua_CFunction fn;    /* NULL: written in Lua */
};

/* Each part's, up to one without a name. */
extern const struct lab_fn lab_machine_fns[], lab_task_fns[], lab_mm_fns[],
	lab_ipc_fns[], lab_mem_fns[], lab_file_fns[], lab_proc_fns[],
	lab_look_fns[], lab_kmem_fns[], lab_list_fns[], lab_uffd_fns[],
	lab_event_fns[], lab_json_fns[], lab_help_fns[];

/* lab_each_fn: the I-th function of all parts, NULL after the last. */
const struct lab_fn *lab_each_fn(u32 i);

/* lab_fns_open: all of C's, as globals and methods. */
void lab_fns_open(lua_State *L);

/* ---- calls into the machine (lua_machine.c)
 * ------------------------------------ */

struct lab_task;

/*
 * Work for the machine. FN runs in the machine and must not touch Lua; its
 * result goes to RET. What it needs stands in A and BUF, since a task may be
 * at it while Lua goes on.
 */
struct lab_call {
	s64 (*fn)(struct lab_call *c);
	const char *name;      /* as the user knows it, for errors */
	struct lab_task *task; /* whose thread it is, or NULL: the first */
	u64 a[8];
	void *buf; /* malloc()ed, freed with the call; or NULL */
	u64 buf_len;
	int (*push)(lua_State *L, struct lab_call *c); /* NULL: RET */
	s64 ret;
	int sig;    /* what the access ended in, or 0 */
	u64 sig_at; /* and its address */
	const char *sig_what;
	char what[96]; /* "4096 bytes at 0x1000", for errors */
	bool done;
};

/*
 * lab_do: run C and push its results; how many. A negative RET, or a signal, is
 * a Lua error. C->task must be alive. Boots a machine if there is none.
 */
int lab_do(lua_State *L, struct lab_call *c);
/* Its parts. lab_play: in the machine, C's work. lab_result: push what it gave.
 * lab_play_call: the same from outside, with an end to patience.
 * lab_take_call: start() takes it instead. lab_task_died: C's task was killed.
 * All but lab_result() are lua_task.c's. */
int lab_play(void *arg);
void lab_play_call(lua_State *L, struct lab_call *c);
int lab_result(lua_State *L, struct lab_call *c);
bool lab_take_call(lua_State *L, struct lab_call *c);
bool lab_task_died(const struct lab_call *c);

/* lab_run: FN(ARG) as the machine's first thread; a machine that broke is an
 * error. */
void lab_run(lua_State *L, int (*fn)(void *arg), void *arg);

/* lab_need_machine: there is one when this returns. lab_boot_nr: which one; 0:
 * none. lab_machine: its options. */
void lab_need_machine(lua_State *L);
u32 lab_boot_nr(void);
const struct machine_opts *lab_machine(void);

/* lab_begin: O's machine is the default. lab_end: the machine goes, if any. */
void lab_begin(const struct machine_opts *o);
void lab_end(void);

/* ---- tasks (lua_task.c)
 * ---------------------------------------------------------- */

struct lab_task {
	struct lab_task *next;
	u32 id;
	char name[16];
	struct port_thread *thread;
	struct mm_task *task;
	struct mm_struct *mm;  /* a reference while it lives */
	struct lab_call *work; /* what it is to do */
	struct lab_call *back; /* what it was started on: start(), wait() */
	struct lab_task *parent;
	s32 pid;
	bool end;  /* it is to end */
	bool gone; /* it has */
	int code;  /* exit status, or minus the signal */
};

/* lab_new_process: as spawn(). */
struct lab_task *lab_new_process(lua_State *L, const char *name);
/* lab_check_task: the task at ARG, alive and idle, or an error; _any: as it
 * is. */
struct lab_task *lab_check_task(lua_State *L, int arg);
struct lab_task *lab_any_task(lua_State *L, int arg);
/* lab_next_task: those that are not gone, by age; from NULL. */
struct lab_task *lab_next_task(const struct lab_task *t);
/* lab_mm_owner: a task that lives in MM, or NULL. */
struct lab_task *lab_mm_owner(const struct mm_struct *mm);
/* lab_tasks_exit: all tasks go. Inside the machine; _free: their records. */
void lab_tasks_exit(void);
void lab_tasks_free(void);

/* ---- arguments and errors (lua_value.c)
 * ------------------------------------------ */

/* lab_fail: an error with the name of errno ERR (positive): "ENOMEM: mmap of
 * 4096 bytes: Cannot allocate memory"; fields name, errno, call. */
int lab_fail(lua_State *L, int err, const char *call, const char *what);
/* lab_fail_signal: the same of signal SIG at AT by WHAT ("write"); NULL: the
 * task was killed. */
int lab_fail_signal(lua_State *L, int sig, const char *call, const char *what,
		    u64 at);
/* lab_throw: any other error: NAME ("EDEADLK") and text; number 0: none. */
int lab_throw(lua_State *L, const char *name, int nr, const char *call,
	      const char *text);

/* lab_size: a number, or "64K"; lab_opt_size: DEF if nil. */
u64 lab_size(lua_State *L, int arg);
u64 lab_opt_size(lua_State *L, int arg, u64 def);
/* lab_time: nanoseconds: a number, or "10ms". */
u64 lab_time(lua_State *L, int arg);

/* A constant's name and value. */
struct lab_const {
	const char *name;
	s64 value;
};
/*
 * lab_flags: a number, or words of the names in a group, with or without its
 * PREFIX ("PROT_", "MAP_"), in any case, separated by | , or space: "private,
 * anonymous". PROT_ also takes letters: "rw", "r-x". DEF if nil.
 */
u64 lab_flags(lua_State *L, int arg, const char *prefix, u64 def);
/* lab_const_name: the name of VALUE with PREFIX; NULL: none. */
const char *lab_const_name(const char *prefix, s64 value);
/* lab_consts_open: all of them as globals. */
void lab_consts_open(lua_State *L);
/* lab_nodes: a set of nodes: a number, or a table of numbers. */
u64 lab_nodes(lua_State *L, int arg, u64 def);

/* lab_set_num, lab_set_str: KEY of the table on top of the stack is V. */
void lab_set_num(lua_State *L, const char *key, u64 v);
void lab_set_str(lua_State *L, const char *key, const char *v);

/* lab_handle: push a new userdata of CLASS ("lab.task") for ID. lab_handle_id:
 * that of ARG; an error if it is of another boot. */
void lab_classes_open(lua_State *L);
void lab_handle(lua_State *L, const char *class, u32 id);
u32 lab_handle_id(lua_State *L, int arg, const char *class);

/* ---- the others
 * ------------------------------------------------------------------ */

/* lab_file_of: the open file at ARG (lua_file.c); nil is NULL with OPT. */
struct file *lab_file_of(lua_State *L, int arg, bool opt);
/* lab_files_exit: all files are closed and gone, inside the machine; _free:
 * their disks' records. */
void lab_files_exit(void);
void lab_files_free(void);
/* lab_kmem_exit: what a script holds of the kernel's memory goes back, inside
 * the machine; _free: the records (lua_kmem.c). */
void lab_kmem_exit(void);
void lab_kmem_free(void);
/* lab_groups_free: names of groups are forgotten (lua_proc.c). */
void lab_groups_free(void);
/* lab_group_at: the group's number at "/sys/fs/cgroup/..." or a name. */
u16 lab_group_at(lua_State *L, const char *path);

/* lab_uffds_exit: all handles are closed, inside the machine; _free: their
 * records (lua_uffd.c). */
void lab_uffds_exit(void);
void lab_uffds_free(void);

/* lab_rings_begin, _end: memory for the tracepoints of CPUS CPUs
 * (lua_event.c). */
void lab_rings_begin(u32 cpus);
void lab_rings_end(void);
/* lab_rings_after: after each call into the machine. */
void lab_rings_after(void);

/* lab_edit_line: a line typed at PROMPT, malloc()ed, NULL at the end.
 * (lua_edit.c, weak.) _begin: names are completed from L. _end: history. */
char *lab_edit_line(const char *prompt) __attribute__((weak));
void lab_edit_begin(lua_State *L) __attribute__((weak));
void lab_edit_end(void) __attribute__((weak));
/* lab_prelude: the text of prelude.lua (lua_prelude.c). */
const char *lab_prelude(size_t *len);
extern const char lab_prelude_start[], lab_prelude_end[];

/* lab_complete: names that begin as TEXT does: the I-th, malloc()ed, or NULL.
 * (lua_help.c) */
char *lab_complete(lua_State *L, const char *text, u32 i);

#endif
