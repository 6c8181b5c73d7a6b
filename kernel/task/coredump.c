/* SPDX-License-Identifier: MIT */
/*
 * coredump.c - what is left of a process that a signal ended: core(5).
 *
 * 1. Who. The thread that takes the signal writes the file, as itself: its
 *    directory, its rights. All others end, and at the first step of that
 *    (core_rest()) they wait until it is written: their registers are on their
 *    stacks, and nobody changes the memory.
 *
 * 2. Where. kernel.core_pattern names the file; RLIMIT_CORE cuts it. It must
 *    be a plain file of the user's, with one name. Pipes to programs are not
 *    offered: such a pattern cannot be set.
 *
 * 3. What. ELF: notes with each thread's registers, the writer's first, with
 *    the signal, the auxiliary vector and the names of mapped files; then the
 *    memory that coredump_filter asks for, pages of zeroes as holes. What is
 *    written is gone through twice, the first time only to count.
 *
 * 4. Failure. A file that cannot be made, or memory that is short, leaves no
 *    core: the process ends as without. One that is cut by the limit or a
 *    full disk stays as it is.
 *
 * Reference: core(5), elf(5), proc(5), signal(7), madvise(2).
 */
#include "task/coredump.h"

#include <mmkit/prctl.h>
#include <mmkit/slab.h>
#include <mmkit/uaccess.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "cache/filemap.h"
#include "fs/fs.h"
#include "ktime.h"
#include "space/space.h"
#include "task/elf.h"
#include "task/ptrace.h"
#include "vfs.h"

#define RLIMIT_CORE 4u

#define SIG_CORES                                                              \
	(SIGSET(SIGQUIT) | SIGSET(SIGILL) | SIGSET(SIGTRAP) |                  \
	 SIGSET(SIGABRT) | SIGSET(SIGFPE) | SIGSET(SIGSEGV) | SIGSET(SIGBUS) | \
	 SIGSET(SIGSYS) | SIGSET(SIGXCPU) | SIGSET(SIGXFSZ))

#define FILTER_ANON_PRIVATE 0x01u
#define FILTER_ANON_SHARED  0x02u
#define FILTER_FILE_PRIVATE 0x04u
#define FILTER_FILE_SHARED  0x08u
#define FILTER_ELF_HEADERS  0x10u

#define NT_PRSTATUS   1u
#define NT_PRFPREG    2u
#define NT_PRPSINFO   3u
#define NT_AUXV	      6u
#define NT_X86_XSTATE 0x202u
#define NT_SIGINFO    0x53494749u
#define NT_FILE	      0x46494c45u

#define FX_BYTES    512u
#define CORE_NAME   256u
#define CORE_VMAS   16384u
#define NAMES_BYTES (64u << 10)

struct core_prstatus {
	s32 signo, code, err;
	s16 cursig;
	u64 sigpend, sighold;
	s32 pid, ppid, pgrp, sid;
	struct {
		s64 sec, usec;
	} utime, stime, cutime, cstime;
	u64 regs[TRACE_NR_REGS];
	s32 fpvalid;
};
struct core_prpsinfo {
	char state, sname, zomb, nice;
	u64 flag;
	u32 uid, gid;
	s32 pid, ppid, pgrp, sid;
	char fname[16], psargs[80];
};
MM_STATIC_ASSERT(sizeof(struct core_prstatus) == 336, "as debuggers know it");
MM_STATIC_ASSERT(sizeof(struct core_prpsinfo) == 136, "the same");

/* A mapping, as it was. */
struct core_area {
	uva_t start, end;
	u64 flags, dump; /* VM_*, bytes that are written */
	u64 pgoff;
	struct file *file; /* a reference, or NULL */
};

struct core {
	struct task *t;
	const struct ksiginfo *info;
	struct mm_struct *mm;
	struct file *file;
	u64 at, limit; /* where the next byte goes; where the file ends */
	bool dry;      /* count only */
	bool failed;
	struct core_area *areas;
	u32 nr, nr_files;
	u8 *page;    /* of memory, or an FPU's image */
	char *names; /* NT_FILE's, one after the other */
	u32 names_len;
	char name[CORE_NAME];
};

/* ---- writing ---------------------------------------------------------------
 */

static void put(struct core *c, const void *bytes, u64 n)
{
	struct iov_iter iter = {
		.count = n, .buf = (void *)(uintptr_t)bytes, .write = true};
	u64 pos = c->at;

	c->at += n;
	if (c->dry || c->failed)
		return;
	if (c->at > c->limit || vfs_iter_write(c->file, &iter, &pos) != (s64)n)
		c->failed = true;
}

static void put_align(struct core *c, u64 to)
{
	static const u8 zero[16];

	while (c->at % to)
		put(c, zero, min((u64)sizeof(zero), to - c->at % to));
}

static void note_head(struct core *c, const char *name, u32 type, u64 len)
{
	u32 n = (u32)mm_strlen(name) + 1;
	u32 head[3] = {n, (u32)len, type};

	put(c, head, sizeof(head));
	put(c, name, n);
	put_align(c, 4);
}

static void note(struct core *c, const char *name, u32 type, const void *bytes,
		 u64 len)
{
	note_head(c, name, type, len);
	put(c, bytes, len);
	put_align(c, 4);
}

/* ---- notes -----------------------------------------------------------------
 */

static void note_status(struct core *c, struct task *t)
{
	struct task_stat s;
	struct core_prstatus p;

	mm_memset(&p, 0, sizeof(p));
	task_stat_get(t, &s);
	task_stat_own(t, &s);
	p.signo = p.cursig = (s16)c->info->signo;
	p.code = c->info->code;
	p.sigpend = s.sigpnd;
	p.sighold = s.blocked;
	p.pid = s.tid;
	p.ppid = s.ppid;
	p.pgrp = s.pgid;
	p.sid = s.sid;
	p.utime.sec = (s64)(s.utime / NSEC_PER_SEC);
	p.utime.usec = (s64)(s.utime % NSEC_PER_SEC / NSEC_PER_USEC);
	p.stime.sec = (s64)(s.stime / NSEC_PER_SEC);
	p.stime.usec = (s64)(s.stime % NSEC_PER_SEC / NSEC_PER_USEC);
	trace_regs_get(t, p.regs);
	p.fpvalid = 1;
	note(c, "CORE", NT_PRSTATUS, &p, sizeof(p));
}

static void note_fpu(struct core *c, struct task *t)
{
	u64 xcr0 = machine_fpu_features();

	mm_memset(c->page, 0, PAGE_SIZE);
	if (t == c->t) {
		machine_fpu_save(c->page);
		mm_memcpy(c->page + 464, &xcr0, sizeof(xcr0));
	} else if (trace_fpu_get(t, c->page)) {
		c->failed = true;
	}
	note(c, "CORE", NT_PRFPREG, c->page, FX_BYTES);
	if (xcr0)
		note(c, "LINUX", NT_X86_XSTATE, c->page, machine_fpu_size());
}

static void note_process(struct core *c)
{
	struct prctl_mm_map m;
	struct core_prpsinfo p;
	struct task_stat s;
	u64 n;

	mm_memset(&p, 0, sizeof(p));
	task_stat_get(c->t, &s);
	p.sname = 'R';
	p.nice = (char)s.nice;
	p.uid = s.cred.uid;
	p.gid = s.cred.gid;
	p.pid = s.tgid;
	p.ppid = s.ppid;
	p.pgrp = s.pgid;
	p.sid = s.sid;
	mm_memcpy(p.fname, s.comm, sizeof(p.fname));
	mm_prctl_map_get(c->mm, &m);
	n = min(m.arg_end - m.arg_start, (u64)sizeof(p.psargs) - 1);
	n = access_process_vm(c->mm, m.arg_start, p.psargs, n, false);
	for (u64 i = 0; i < n; i++)
		if (!p.psargs[i])
			p.psargs[i] = ' ';
	note(c, "CORE", NT_PRPSINFO, &p, sizeof(p));
}

static void note_auxv(struct core *c)
{
	u64 words[MM_AUXV_WORDS];
	u32 n = mm_auxv_get(c->mm, words, MM_AUXV_WORDS);

	note(c, "CORE", NT_AUXV, words, n * sizeof(u64));
}

static void note_files(struct core *c)
{
	u64 head[2] = {c->nr_files, PAGE_SIZE};

	if (!c->nr_files)
		return;
	note_head(c, "CORE", NT_FILE,
		  sizeof(head) + c->nr_files * 24UL + c->names_len);
	put(c, head, sizeof(head));
	for (u32 i = 0; i < c->nr; i++) {
		const struct core_area *a = &c->areas[i];
		u64 words[3] = {a->start, a->end, a->pgoff};

		if (a->file)
			put(c, words, sizeof(words));
	}
	put(c, c->names, c->names_len);
	put_align(c, 4);
}

static void notes(struct core *c)
{
	struct process *p = c->t->proc;
	struct task *t;
	s32 after = 0;

	note_status(c, c->t);
	note_process(c);
	note(c, "CORE", NT_SIGINFO, c->info, sizeof(*c->info));
	note_auxv(c);
	note_files(c);
	note_fpu(c, c->t);
	while ((t = task_next(p, after)) != NULL) {
		after = t->tid;
		if (t->core_wait) {
			note_status(c, t);
			note_fpu(c, t);
		}
		task_put(t);
	}
}

/* ---- memory ----------------------------------------------------------------
 */

/* Bytes of VMA that FILTER asks for. */
static u64 area_bytes(const struct vm_area_struct *vma, u32 filter)
{
	u64 all = vma->vm_end - vma->vm_start;
	bool named = vma->vm_file && file_vnode(vma->vm_file);

	if (vma->vm_flags & VM_DONTDUMP)
		return 0;
	if (vma->vm_flags & VM_SHARED)
		return filter & (named ? FILTER_FILE_SHARED
				       : FILTER_ANON_SHARED)
			       ? all
			       : 0;
	if (READ_ONCE(vma->anon_vma) && (filter & FILTER_ANON_PRIVATE))
		return all;
	if (!vma->vm_file)
		return 0;
	if (filter & FILTER_FILE_PRIVATE)
		return all;
	/* The first page of a program tells debuggers which it is. */
	return (filter & FILTER_ELF_HEADERS) && !vma->vm_pgoff &&
			       (vma->vm_flags & VM_READ)
		       ? PAGE_SIZE
		       : 0;
}

/* Up to MAX mappings; how many there are. */
static u32 areas_take(struct core *c, u32 max)
{
	struct vm_area_struct *vma;
	u32 n = 0;

	mmap_read_lock(c->mm);
	for_each_vma (vma, c->mm) {
		if (n++ >= max)
			continue;
		c->areas[n - 1] = (struct core_area){
			.start = vma->vm_start,
			.end = vma->vm_end,
			.flags = vma->vm_flags,
			.dump = area_bytes(vma, c->t->proc->core_filter),
			.pgoff = vma->vm_pgoff,
			.file = vma->vm_file ? get_file(vma->vm_file) : NULL,
		};
	}
	mmap_read_unlock(c->mm);
	return n;
}

/* The names of what is mapped; what has none is no file's. */
static void names_take(struct core *c)
{
	for (u32 i = 0; i < c->nr; i++) {
		struct core_area *a = &c->areas[i];
		u32 room = NAMES_BYTES - c->names_len;
		s64 len;

		if (!a->file)
			continue;
		len = room > PATH_MAX ? file_path(a->file,
						  c->names + c->names_len, room)
				      : -ENAMETOOLONG;
		if (len >= 0) {
			c->names_len +=
				(u32)mm_strlen(c->names + c->names_len) + 1;
			c->nr_files++;
		} else {
			fput(a->file);
			a->file = NULL;
		}
	}
}

static void put_area(struct core *c, const struct core_area *a)
{
	for (u64 off = 0; off < a->dump && !c->failed; off += PAGE_SIZE) {
		u64 n = c->dry ? 0
			       : ptrace_access_vm(c->mm, a->start + off,
						  c->page, PAGE_SIZE, false);

		/* A hole for what is not there, or zero; but for the end. */
		if (n != PAGE_SIZE || !mm_memchr_inv(c->page, 0, PAGE_SIZE))
			c->at += PAGE_SIZE;
		else
			put(c, c->page, PAGE_SIZE);
	}
}

static void put_phdr(struct core *c, const struct core_area *a, u64 offset)
{
	struct elf_phdr p = {
		.type = PT_LOAD,
		.offset = offset,
		.vaddr = a->start,
		.filesz = a->dump,
		.memsz = a->end - a->start,
		.align = PAGE_SIZE,
	};

	p.flags = (a->flags & VM_READ ? PF_R : 0) |
		  (a->flags & VM_WRITE ? PF_W : 0) |
		  (a->flags & VM_EXEC ? PF_X : 0);
	put(c, &p, sizeof(p));
}

/* All of it; NOTES bytes of them. Where the memory begins. */
static u64 core_write(struct core *c, u64 notes_bytes)
{
	struct elf_ehdr e = {
		.ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
		.type = ET_CORE,
		.machine = EM_X86_64,
		.version = 1,
		.phoff = sizeof(e),
		.ehsize = sizeof(e),
		.phentsize = sizeof(struct elf_phdr),
		.phnum = (u16)(c->nr + 1),
	};
	struct elf_phdr p = {
		.type = PT_NOTE, .filesz = notes_bytes, .align = 4};
	u64 data;

	c->at = 0;
	put(c, &e, sizeof(e));
	p.offset = sizeof(e) + (c->nr + 1UL) * sizeof(p);
	put(c, &p, sizeof(p));
	data = ALIGN(p.offset + notes_bytes, PAGE_SIZE);
	for (u32 i = 0; i < c->nr; i++) {
		put_phdr(c, &c->areas[i], data);
		data += c->areas[i].dump;
	}
	notes(c);
	if (c->dry)
		return c->at - p.offset;
	put_align(c, PAGE_SIZE);
	for (u32 i = 0; i < c->nr; i++)
		put_area(c, &c->areas[i]);
	return 0;
}

/* The last byte, so that the file is as long as its headers say. */
static void core_finish(struct core *c)
{
	u8 last = 0;

	if (c->failed || c->at <= i_size_read(c->file->f_inode))
		return;
	c->at--;
	put(c, &last, 1);
}

/* ---- the file --------------------------------------------------------------
 */

/* Names of tasks and files become parts of one name. */
static void name_part(struct seq_buf *out, const char *text)
{
	for (; *text; text++)
		seq_putc(out, *text == '/' ? '!' : *text);
}

static void name_exe(struct seq_buf *out, struct core *c)
{
	struct file *exe = c->t->proc->exe;

	if (exe && file_path(exe, (char *)c->page, PAGE_SIZE) >= 0)
		name_part(out, (char *)c->page);
	else
		name_part(out, c->t->mt->comm);
}

static void name_letter(struct seq_buf *out, struct core *c, char letter)
{
	const struct task *t = c->t;

	switch (letter) {
	case '%':
		seq_putc(out, '%');
		break;
	case 'p':
	case 'P':
		seq_printf(out, "%d", t->proc->tgid);
		break;
	case 'i':
	case 'I':
		seq_printf(out, "%d", t->tid);
		break;
	case 'u':
		seq_printf(out, "%u", t->cred.uid);
		break;
	case 'g':
		seq_printf(out, "%u", t->cred.gid);
		break;
	case 's':
		seq_printf(out, "%d", c->info->signo);
		break;
	case 'd':
		seq_printf(out, "%d", t->proc->dumpable);
		break;
	case 't':
		seq_printf(
			out, "%llu",
			(unsigned long long)(machine_wall_ns() / NSEC_PER_SEC));
		break;
	case 'c':
		seq_printf(out, "%llu", (unsigned long long)c->limit);
		break;
	case 'h':
		name_part(out, uts_hostname());
		break;
	case 'e':
	case 'f':
		name_part(out, t->mt->comm);
		break;
	case 'E':
		name_exe(out, c);
		break;
	default: /* core(5): dropped */
		break;
	}
}

static void core_name(struct core *c)
{
	const char *p = core_settings.pattern;
	struct seq_buf out;
	bool pid = false;

	seq_buf_init(&out, c->name, sizeof(c->name));
	for (; *p; p++) {
		if (*p != '%') {
			seq_putc(&out, *p);
		} else if (p[1]) {
			name_letter(&out, c, *++p);
			pid |= *p == 'p';
		}
	}
	if (!pid && READ_ONCE(core_settings.uses_pid))
		seq_printf(&out, ".%d", c->t->proc->tgid);
	(void)seq_buf_str(&out);
}

/* The file, empty; or NULL. */
static struct file *core_open(struct core *c)
{
	struct file *file;
	const struct vnode *v;

	core_name(c);
	file = vfs_open(AT_FDCWD, c->name,
			O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (IS_ERR(file))
		return NULL;
	v = file_vnode(file);
	if (!v || !S_ISREG(v->mode) || v->uid != c->t->cred.fsuid ||
	    v->nlink > 1 || vfs_truncate(file->f_inode, 0)) {
		fput(file);
		return NULL;
	}
	return file;
}

/* ---- the process -----------------------------------------------------------
 */

/* Do all others rest? */
static bool core_quiet(const struct process *p)
{
	unsigned long flags;
	bool quiet;

	task_lock(flags);
	quiet = p->nr_core_wait + 1 >= p->nr_live;
	task_unlock(flags);
	return quiet;
}

/* T's process ends by SIG: its other threads come to rest. False: it ends
 * already, or another thread writes. */
static bool core_begin(struct task *t, int sig)
{
	struct process *p = t->proc;
	unsigned long flags;
	bool ours;

	task_lock(flags);
	ours = !p->group_exit && !p->exec_task;
	if (ours) {
		p->group_exit = true;
		p->exit_code = sig;
		p->stopping = false;
		p->core_dumper = t;
		zap_other_threads(p, t);
	}
	task_unlock(flags);
	if (ours)
		wait_event(p->exec_wait, core_quiet(p));
	return ours;
}

static void core_end(struct task *t, bool dumped)
{
	struct process *p = t->proc;
	unsigned long flags;

	task_lock(flags);
	if (dumped)
		p->exit_code |= 0x80;
	p->core_dumper = NULL;
	wake_up_all(&p->exec_wait);
	task_unlock(flags);
}

static bool core_resting(const struct task *t)
{
	return READ_ONCE(t->proc->core_dumper) != NULL;
}

void core_rest(struct task *t)
{
	struct process *p = t->proc;
	unsigned long flags;
	bool rests;

	if (likely(!READ_ONCE(p->core_dumper)))
		return;
	task_lock(flags);
	rests = p->core_dumper && p->core_dumper != t;
	if (rests) {
		t->core_wait = true;
		p->nr_core_wait++;
		wake_up_all(&p->exec_wait);
	}
	task_unlock(flags);
	if (!rests)
		return;
	wait_event(p->exec_wait, !core_resting(t));
	task_lock(flags);
	t->core_wait = false;
	p->nr_core_wait--;
	task_unlock(flags);
}

/* ---- all of it -------------------------------------------------------------
 */

static bool core_memory(struct core *c)
{
	u32 n = areas_take(c, 0);

	if (n >= CORE_VMAS)
		return false;
	c->page = kmalloc(PAGE_SIZE, GFP_KERNEL);
	c->names = kvmalloc(NAMES_BYTES, GFP_KERNEL);
	/* Others with this memory may map a little more meanwhile. */
	c->areas = kvmalloc((n + 8) * sizeof(*c->areas), GFP_KERNEL);
	if (!c->page || !c->names || !c->areas)
		return false;
	c->nr = min(areas_take(c, n + 8), n + 8);
	names_take(c);
	return true;
}

static void core_free(struct core *c)
{
	for (u32 i = 0; i < c->nr; i++)
		if (c->areas[i].file)
			fput(c->areas[i].file);
	kvfree(c->areas);
	kvfree(c->names);
	kfree(c->page);
	if (c->file)
		fput(c->file);
	kfree(c);
}

static bool core_make(struct core *c)
{
	u64 bytes;

	if (!core_memory(c))
		return false;
	c->file = core_open(c);
	if (!c->file)
		return false;
	c->dry = true;
	bytes = core_write(c, 0);
	c->dry = false;
	(void)core_write(c, bytes);
	core_finish(c);
	return true;
}

int core_dump(struct task *t, int sig, const struct ksiginfo *info)
{
	struct process *p = t->proc;
	u64 limit = rlimit(RLIMIT_CORE);
	struct core *c;
	bool dumped;

	if (!(SIG_CORES & SIGSET(sig)) || limit < PAGE_SIZE || !p->dumpable ||
	    !core_settings.pattern[0])
		return sig;
	c = kzalloc(sizeof(*c), GFP_KERNEL);
	if (!c)
		return sig;
	*c = (struct core){.t = t, .info = info, .mm = t->mt->mm};
	c->limit = limit;
	if (!core_begin(t, sig)) {
		kfree(c);
		return sig;
	}
	dumped = core_make(c);
	core_free(c);
	core_end(t, dumped);
	return p->exit_code;
}

bool core_signal(int sig)
{
	return (SIG_CORES & SIGSET(sig)) != 0;
}
