/* SPDX-License-Identifier: MIT */
/*
 * record_calls.c - system calls of a recorded program, from valgrind's text to
 * records of memory calls and of what was done to files.
 *
 * The program is further than its text: what has to be looked up in /proc is
 * compared with the text, and may be gone.
 */
#include "record_lackey.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- descriptors of a running process
 * ------------------------------------------------------------------------------
 */

/* What descriptor FD of the running process P stands for; its name in L->name.
 */
static bool fd_stat(struct lackey *l, const struct lackey_proc *p, u64 fd,
		    struct stat *st)
{
	ssize_t n;

	snprintf(l->via, sizeof(l->via), "/proc/%d/fd/%llu", (int)p->pid,
		 (unsigned long long)fd);
	n = readlink(l->via, l->name, sizeof(l->name) - 1);
	if (n <= 0 || stat(l->via, st))
		return false;
	l->name[n] = 0;
	return true;
}

int lackey_inherited(struct lackey *l, struct lackey_proc *p)
{
	char line[64];
	int ret = 0;

	if (p != l->procs || p->next || p->fds_known)
		return 0;
	p->fds_known = true;
	for (u64 fd = 0; fd < 64 && !ret; fd++) {
		struct rec_opened how = {.name = l->name, .via = l->via};
		unsigned long long pos = 0;
		unsigned flags = 0;
		struct stat st;
		FILE *f;

		if (!fd_stat(l, p, fd, &st) || !S_ISREG(st.st_mode))
			continue;
		how.st = &st;
		snprintf(line, sizeof(line), "/proc/%d/fdinfo/%llu",
			 (int)p->pid, (unsigned long long)fd);
		f = fopen(line, "re");
		if (f && fscanf(f, "pos: %llu flags: %o", &pos, &flags) < 2)
			pos = flags = 0;
		if (f)
			fclose(f);
		how.pos = pos;
		how.flags = flags & ~(u32)(O_CREAT | O_TRUNC);
		ret = rec_fd_open(l->r, p->fds, fd, &how);
	}
	return ret;
}

/* ---- calls
 * ------------------------------------------------------------------------------
 */

/* PATH as the program in P means it: absolute, as far as can be found out. */
static void full_path(const struct lackey *l, const struct lackey_proc *p,
		      const char *path, char to[4096])
{
	char cwd[64], *at = NULL;

	while (!strncmp(path, "./", 2))
		path += 2;
	snprintf(cwd, sizeof(cwd), "/proc/%d/cwd", (int)p->pid);
	if (path[0] != '/' && l->live)
		at = realpath(cwd, NULL);
	if (path[0] == '/')
		snprintf(to, 4096, "%s", path);
	else
		snprintf(to, 4096, "%.2000s/%.2000s", at ? at : "", path);
	free(at);
}

/* Is NAME, what a descriptor is now, what PATH was? */
static bool ends_like(const char *name, const char *path)
{
	const char *base = strrchr(path, '/'), *last = strrchr(name, '/');
	size_t n;

	base = base ? base + 1 : path;
	last = last ? last + 1 : name;
	n = strlen(base);
	return !strncmp(last, base, n) &&
	       (!last[n] || !strcmp(last + n, " (deleted)"));
}

/* FD was opened as PATH. The program is further by now: FD may be another. */
static int opened(struct lackey *l, struct lackey_proc *p, u64 fd,
		  const char *path, u32 flags)
{
	struct rec_opened how = {
		.name = l->full, .flags = flags, .via = l->full};
	char *gone;
	struct stat st;

	full_path(l, p, path, l->full);
	if (l->live && fd_stat(l, p, fd, &st) && ends_like(l->name, path)) {
		how.st = &st;
		how.via = l->via;
		gone = strstr(l->name, " (deleted)");
		if (gone && !gone[10])
			*gone = 0;
		if (l->name[0] == '/')
			how.name = l->name;
	} else if (!stat(l->full, &st)) {
		how.st = &st;
	}
	return rec_fd_open(l->r, p->fds, fd, &how);
}

static u32 map_flags(u64 flags)
{
	static const struct {
		u32 linux_bit, bit;
	} bits[] = {
		{0x01, TRACE_MF_SHARED},      {0x10, TRACE_MF_FIXED},
		{0x4000, TRACE_MF_NORESERVE}, {0x2000, TRACE_MF_LOCKED},
		{0x8000, TRACE_MF_POPULATE},  {0x40000, TRACE_MF_HUGETLB},
		{0x100, TRACE_MF_GROWSDOWN},  {0x40, TRACE_MF_32BIT},
	};
	u32 out = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
		if (flags & bits[i].linux_bit)
			out |= bits[i].bit;
	return out;
}

static int call_failed(struct lackey *l, struct lackey_proc *p, u32 op,
		       const u64 *a, u32 err)
{
	struct trace_call c = {.op = op, .err = err, .arg = a[2]};

	return rec_call(l->r, p->mm, &c, a[0], a[1]);
}

static int did_mmap(struct lackey *l, struct lackey_proc *p, const u64 *a,
		    u64 result, u32 err)
{
	struct trace_map m = {.kind = TRACE_KIND_ANON,
			      .how = TRACE_HOW_MMAP,
			      .prot = (u32)a[2] & 7,
			      .flags = map_flags(a[3]),
			      .file = TRACE_NO_ID,
			      .open = TRACE_NO_ID,
			      .start = result & PAGE_MASK};
	u64 pages = PFN_UP(a[1]);
	int ret = 0;

	if (err || !pages || pages > TRACE_MAX_MAP_PAGES) {
		struct trace_rec rec = {.type = TRACE_CALL};

		rec.call = (struct trace_call){.op = TRACE_OP_MMAP,
					       .map = TRACE_NO_ID,
					       .new_map = TRACE_NO_ID,
					       .err = err ? err : EINVAL};
		rec.call.nr_pages = (u32)min(pages, (u64)TRACE_MAX_MAP_PAGES);
		return rec_write(l->r, &rec);
	}
	m.pages = (u32)pages;
	if (!(a[3] & 0x20)) {
		ret = rec_fd_map(l->r, p->fds, a[4], &m);
		if (m.kind == TRACE_KIND_FILE)
			m.file_page = a[5] / PAGE_SIZE;
	}
	return ret ? ret : rec_map(l->r, p->mm, &m);
}

static int did_range(struct lackey *l, struct lackey_proc *p, u32 op,
		     const u64 *a, u64 arg, u32 err)
{
	struct trace_call c = {.op = op, .err = err, .arg = arg};

	return rec_call(l->r, p->mm, &c, a[0], a[1]);
}

static int did_lockall(struct lackey *l, u32 op, u64 arg, u32 err)
{
	struct trace_rec rec = {.type = TRACE_CALL};

	rec.call = (struct trace_call){.op = op,
				       .map = TRACE_NO_ID,
				       .new_map = TRACE_NO_ID,
				       .arg = arg,
				       .err = err};
	return rec_write(l->r, &rec);
}

/* Memory calls; 1 if NR is none. A failed call has ERR and no RESULT. */
static int did_memory(struct lackey *l, struct lackey_proc *p,
		      const struct thread *t, u64 result, u32 err)
{
	const u64 *a = t->args;

	switch (t->nr) {
	case SYS_mmap:
		return did_mmap(l, p, a, result, err);
	case SYS_munmap:
		return did_range(l, p, TRACE_OP_MUNMAP, a, 0, err);
	case SYS_mprotect:
		return did_range(l, p, TRACE_OP_MPROTECT, a, a[2] & 7, err);
	case SYS_madvise:
		return did_range(l, p, TRACE_OP_MADVISE, a, a[2], err);
	case SYS_mlock:
	case SYS_mlock2:
		return did_range(l, p, TRACE_OP_MLOCK, a,
				 t->nr == SYS_mlock2 ? a[2] : 0, err);
	case SYS_munlock:
		return did_range(l, p, TRACE_OP_MUNLOCK, a, 0, err);
	case SYS_msync:
		return did_range(l, p, TRACE_OP_MSYNC, a, a[2], err);
	case SYS_mlockall:
		return did_lockall(l, TRACE_OP_MLOCKALL, a[0], err);
	case SYS_munlockall:
		return did_lockall(l, TRACE_OP_MUNLOCKALL, 0, err);
	case SYS_brk:
		return err ? 0 : rec_brk(l->r, p->mm, a[0], result);
	case SYS_mremap:
		return err ? call_failed(l, p, TRACE_OP_MREMAP, a, err)
			   : rec_mremap(l->r, p->mm, a, result);
	}
	return 1;
}

/* The kernel's own accesses to buffers of successful calls. */
static int did_buffer(struct lackey *l, struct lackey_proc *p,
		      const struct thread *t, u64 result)
{
	u32 access = 0;
	u64 addr = t->args[1];
	int ret = 0;

	if (t->nr == SYS_read || t->nr == SYS_pread64 ||
	    t->nr == SYS_getdents64 || t->nr == SYS_recvfrom)
		access = TRACE_W;
	if (t->nr == SYS_write || t->nr == SYS_pwrite64 || t->nr == SYS_sendto)
		access = TRACE_R;
	if (!access || result > 1ULL << 31)
		return 0;
	while (!ret && result) {
		u64 n = min(PAGE_SIZE - (addr & (PAGE_SIZE - 1)), result);

		ret = rec_ref(l->r, p->mm, addr, (u32)n, access);
		addr += n;
		result -= n;
	}
	return ret;
}

/* Calls that make and unmake descriptors; 1 if NR is none. */
static int did_fds(struct lackey *l, struct lackey_proc *p,
		   const struct thread *t, u64 result)
{
	struct rec_fd *fds = p->fds;
	const u64 *a = t->args;
	int ret = 0;

	switch (t->nr) {
	case SYS_open:
		return opened(l, p, result, t->path, (u32)a[1]);
	case SYS_openat:
		return opened(l, p, result, t->path, (u32)a[2]);
	case SYS_openat2: /* its flags are in memory */
		return opened(l, p, result, t->path, O_RDWR);
	case SYS_creat:
		return opened(l, p, result, t->path,
			      O_CREAT | O_WRONLY | O_TRUNC);
	case SYS_memfd_create:
		return rec_fd_memfd(l->r, fds, result, (u32)a[1]);
	case SYS_close:
		return rec_fd_close(l->r, fds, a[0]);
	case SYS_close_range:
		for (u64 fd = a[0]; fd <= a[1] && fd < REC_FDS_MAX && !ret;
		     fd++)
			if (a[2] & 4)
				rec_fd_cloexec(fds, fd, true);
			else
				ret = rec_fd_close(l->r, fds, fd);
		return ret;
	case SYS_dup:
	case SYS_dup2:
		return rec_fd_dup(l->r, fds, a[0], result, false);
	case SYS_dup3:
		return rec_fd_dup(l->r, fds, a[0], result, a[2] & O_CLOEXEC);
	case SYS_fcntl:
		if (a[1] == F_SETFD)
			rec_fd_cloexec(fds, a[0], a[2] & FD_CLOEXEC);
		if (a[1] == F_DUPFD || a[1] == F_DUPFD_CLOEXEC)
			return rec_fd_dup(l->r, fds, a[0], result,
					  a[1] == F_DUPFD_CLOEXEC);
		return 0;
	}
	return 1;
}

/* What is read and written; 1 if NR is none. Calls whose place in the file is
 * in the program's memory are counted. */
static int did_rw(struct lackey *l, struct lackey_proc *p,
		  const struct thread *t, u64 result)
{
	const u64 *a = t->args;
	int ret;

	switch (t->nr) {
	case SYS_read:
	case SYS_readv:
		return rec_fd_rw(l->r, p->fds, a[0], false, REC_POS, result);
	case SYS_write:
	case SYS_writev:
		return rec_fd_rw(l->r, p->fds, a[0], true, REC_POS, result);
	case SYS_pread64:
	case SYS_preadv:
	case SYS_preadv2:
		return rec_fd_rw(l->r, p->fds, a[0], false, a[3], result);
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_pwritev2:
		return rec_fd_rw(l->r, p->fds, a[0], true, a[3], result);
	case SYS_lseek:
		rec_fd_seek(p->fds, a[0], result);
		return 0;
	case SYS_sendfile:
	case SYS_copy_file_range:
	case SYS_splice: {
		bool send = t->nr == SYS_sendfile;
		u64 in = send ? a[1] : a[0], out = send ? a[0] : a[2];

		l->unseen += send ? a[2] != 0 : a[1] || a[3];
		ret = send ? a[2] != 0 : a[1] != 0;
		ret = ret ? 0
			  : rec_fd_rw(l->r, p->fds, in, false, REC_POS, result);
		if (ret || (!send && a[3]))
			return ret;
		return rec_fd_rw(l->r, p->fds, out, true, REC_POS, result);
	}
	}
	return 1;
}

/* The rest that is done to files; 1 if NR is none. */
static int did_file(struct lackey *l, struct lackey_proc *p,
		    const struct thread *t)
{
	const u64 advise[3] = {t->args[1], t->args[2], 3 /* will need */};
	const u64 *a = t->args;

	if (t->path[0])
		full_path(l, p, t->path, l->full);
	switch (t->nr) {
	case SYS_truncate:
		return rec_truncate(l->r, l->full, a[1]);
	case SYS_ftruncate:
		return rec_fd_truncate(l->r, p->fds, a[0], a[1]);
	case SYS_unlink:
		return rec_unlink(l->r, l->full);
	case SYS_unlinkat:
		return a[2] & AT_REMOVEDIR ? 0 : rec_unlink(l->r, l->full);
	case SYS_rename:
	case SYS_renameat:
	case SYS_renameat2:
		full_path(l, p, t->first, l->from);
		return rec_rename(l->r, l->from, l->full);
	case SYS_fsync:
	case SYS_fdatasync:
		return rec_fd_sync(l->r, p->fds, a[0], t->nr == SYS_fdatasync);
	case SYS_sync:
	case SYS_syncfs:
		return rec_sync_all(l->r);
	case SYS_fadvise64:
		return rec_fd_advise(l->r, p->fds, a[0], a + 1);
	case SYS_readahead:
		return rec_fd_advise(l->r, p->fds, a[0], advise);
	case SYS_fallocate:
		return rec_fd_allocate(l->r, p->fds, a[0], a + 1);
	}
	return 1;
}

/* A successful call that is none of memory. */
static int did_other(struct lackey *l, struct lackey_proc *p,
		     const struct thread *t, u64 value)
{
	int ret = did_fds(l, p, t, value);

	if (ret == 1)
		ret = did_rw(l, p, t, value);
	if (ret == 1)
		ret = did_file(l, p, t);
	if (ret == 1)
		ret = 0;
	return ret ? ret : did_buffer(l, p, t, value);
}

int lackey_call_done(struct lackey *l, struct lackey_proc *p,
		     const struct thread *t, u64 value, u32 err)
{
	int ret = did_memory(l, p, t, value, err);

	if (ret != 1)
		return ret;
	return err ? 0 : did_other(l, p, t, value);
}
