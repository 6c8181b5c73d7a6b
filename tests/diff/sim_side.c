/* SPDX-License-Identifier: MIT */
/*
 * sim_side.c - sequences on mmkit, in the simulated machine: calls by the
 * interface of include/mmkit/mm.h, touches through the software MMU.
 *
 * One thread plays all processes in turn: it leaves one address space and
 * enters the other, as at a switch.
 */
#include "sim_machine.h"

#include <mmkit/mempolicy.h>
#include <mmkit/prctl.h>
#include <mmkit/resource.h>
#include <mmkit/shmem.h>
#include <mmkit/uaccess.h>

#include "difflib.h"
#include "report/proc_pid.h"
#include "sim_files.h"

/* What a kernel's table of system calls would know of the running process. */
struct side {
	struct mm_struct *mm[DIFF_MAX_PROCS];
	uint32_t running;
	struct diff_result *res;
	uint64_t *blob;
	uint32_t blob_used;
	bool zeroes;	/* zero pages of children may differ */
	bool moved;	/* and neither is what came last */
	bool parted;	/* what comes is not comparable */
	uint32_t files; /* DIFF_USES_* */
};

static struct side side;

/* ---- snapshots -------------------------------------------------------------
 */

static void put(uint64_t word)
{
	CHECK(side.blob_used < DIFF_BLOB);
	side.blob[side.blob_used++] = word;
}

/* A mapping's part of our smaps, from the line of its flags and sizes. */
static void parse_smaps_line(const char *line, uint64_t *kb, uint64_t *flags)
{
	static const char *const sizes[NR_SZ] = {
		"Rss:", "Pss:", "Anonymous:", "Locked:"};
	static const char *const names[] = {
#define VF(id, text) text,
#include "vmflags.def"
#undef VF
	};

	for (unsigned i = 0; i < NR_SZ; i++)
		if (strncmp(line, sizes[i], strlen(sizes[i])) == 0)
			kb[i] = strtoull(line + strlen(sizes[i]), NULL, 10);
	if (strncmp(line, "VmFlags:", 8) != 0)
		return;
	for (line += 8; line[0] == ' ' && line[1] > ' '; line += 3)
		for (unsigned i = 0; i < DIFF_NR_VF; i++)
			if (strncmp(line + 1, names[i], 2) == 0)
				*flags |= 1ul << i;
}

/* What our own /proc/PID/smaps says beyond bounds and access, into the words
 * of the snapshot's mappings from AT on. */
static void put_smaps(struct mm_struct *mm, uint32_t at)
{
	static char text[1 << 20];
	struct proc_task task = {.pid = 1, .mm = mm};
	struct seq_buf out;
	uint64_t kb[NR_SZ] = {0}, flags = 0, *w = NULL;
	char *save = NULL;
	uva_t from = 0;

	seq_buf_init(&out, text, sizeof(text));
	while (show_pid_smaps_next(&task, &from, &out))
		continue;
	CHECK(!seq_buf_has_overflowed(&out));
	(void)seq_buf_str(&out); /* ends the text */
	for (char *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (!strchr(line, ':') || strchr(line, '-')) {
			if (strtoull(line, NULL, 16) < DIFF_LOW_END)
				continue;
			w = &side.blob[at];
			at += DIFF_MAP_WORDS;
			CHECK_EQ(strtoull(line, NULL, 16), w[0]);
			flags = 0;
			continue;
		}
		parse_smaps_line(line, kb, &flags);
		if (w) {
			w[2] = flags;
			w[3] = diff_sizes(kb);
		}
	}
}

static void put_maps(struct mm_struct *mm)
{
	uint32_t at = side.blob_used;
	struct vm_area_struct *vma;

	put(0);
	for_each_vma (vma, mm) {
		if (vma->vm_start < DIFF_LOW_END)
			continue;
		put(vma->vm_start);
		/* VM_READ .. VM_EXEC have these numbers. */
		put(vma->vm_end | (vma->vm_flags & 7) |
		    (vma->vm_flags & VM_MAYSHARE ? DIFF_SHARED : 0));
		put(0);
		put(0);
		put(vma->vm_file ? vma->vm_pgoff << 8 |
					   diff_file_id(vma->vm_file->f_path)
				 : 0);
		side.blob[at]++;
	}
}

static void put_page_at(const struct vm_area_struct *vma, uva_t addr, pte_t e)
{
	bool zero = pte_present(e) && pte_special(e);
	bool file =
		pte_present(e) && !zero && !PageAnon(pfn_to_page(pte_pfn(e)));

	put(addr | (zero ? DIFF_PG_ZERO : 0) |
	    (pte_present(e) ? 0 : DIFF_PG_SWAP) | (file ? DIFF_PG_FILE : 0));
	put(zero || !pte_present(e) || !(vma->vm_flags & VM_ACCESS_FLAGS)
		    ? 0
		    : diff_hash(page_view(pfn_to_page(pte_pfn(e)))));
}

static void put_pages_of(struct mm_struct *mm, struct vm_area_struct *vma,
			 uint64_t *count)
{
	uva_t addr = vma->vm_start;
	struct pt_slot slot;

	while (addr < vma->vm_end) {
		if (!pt_lookup(&mm->pt, addr, &slot)) {
			addr = pt_skip(&mm->pt, addr, vma->vm_end);
			continue;
		}
		if (!pte_none(pt_get(&slot))) {
			put_page_at(vma, addr, pt_get(&slot));
			++*count;
		}
		addr += PAGE_SIZE;
	}
}

static void put_pages(struct mm_struct *mm)
{
	uint32_t at = side.blob_used;
	struct vm_area_struct *vma;

	put(0);
	for_each_vma (vma, mm)
		if (vma->vm_start >= DIFF_LOW_END)
			put_pages_of(mm, vma, &side.blob[at]);
}

static void put_open_files(void)
{
	uint32_t first = side.files & DIFF_USES_DISK ? 0 : DIFF_FD_MEMFD;
	uint64_t size, hash;

	for (uint32_t n = first; n < DIFF_NR_FDS; n++) {
		sim_file_state(sim_file(side.running, DIFF_FD0 + n), &size,
			       &hash);
		put(size);
		put(hash);
	}
}

static void sim_snapshot(struct diff_result *r, bool pages, bool deep)
{
	struct mm_struct *mm = side.mm[side.running];

	if (pages)
		mm_check(mm);
	r->blob = side.blob_used;
	mmap_read_lock(mm);
	put_maps(mm);
	if (pages)
		put_pages(mm);
	mmap_read_unlock(mm);
	if (pages && side.files)
		put_open_files();
	if (deep)
		put_smaps(mm, r->blob + 1);
	r->words = side.blob_used - r->blob;
}

/* ---- touches
 * ------------------------------------------------------------------- */

static bool canonical(uva_t va)
{
	return (s64)(va << 16) >> 16 == (s64)va;
}

/* The word at VA, or NULL with the signal in R. */
static void *touch(uva_t va, unsigned access, struct diff_result *r)
{
	u32 error = PF_ERR_USER | (access == SIM_WRITE ? PF_ERR_WRITE : 0) |
		    (access == SIM_EXEC ? PF_ERR_INSTR : 0);
	struct mm_siginfo info;
	int sig = 0;
	void *p = sim_user(va, access, &sig);

	if (p)
		return p;
	/* The world's hook gets the number alone: ask the manager for more. */
	CHECK_EQ(mm_user_fault_info(port_current(), va, error, &info), sig);
	r->sig = sig;
	r->code = info.code;
	r->addr = info.addr;
	/* The CPU itself refuses such an address: general protection. */
	if (!canonical(va)) {
		r->code = 0x80; /* SI_KERNEL */
		r->addr = 0;
	}
	return NULL;
}

static void touch_write(uva_t va, uint64_t v, struct diff_result *r)
{
	uint64_t *p = touch(va, SIM_WRITE, r);

	if (p)
		*p = v;
}

static void touch_exec(uva_t va, struct diff_result *r)
{
	uint8_t *p = touch(va, SIM_READ, r);

	if (p && *p != 0xc3)
		r->ret = 1;
	else if (p)
		touch(va, SIM_EXEC, r);
}

/* ---- calls
 * --------------------------------------------------------------------- */

static struct mm_struct *new_space(void)
{
	const struct diff_host *h = linux_host();
	u64 data = PAGE_SIZE * h->data_pages;
	struct mm_layout l = {
		.task_size = DIFF_TASK_SIZE,
		.mmap_base = DIFF_MMAP_BASE,
		.start_brk = DIFF_HEAP,
		.stack_top = DIFF_TASK_SIZE,
	};
	int flags = TM_ANON | MAP_FIXED | MAP_NORESERVE;
	struct mm_struct *mm = NULL;

	CHECK_EQ(mm_create(&l, &mm), 0);
	/* In place of the executor: as large, as much of it data. */
	CHECK_EQ(do_mmap(mm, h->min_addr, data, PROT_READ | PROT_WRITE, flags),
		 h->min_addr);
	CHECK_EQ(do_mmap(mm, h->min_addr + data,
			 DIFF_LOW_END - data - h->min_addr, PROT_NONE, flags),
		 h->min_addr + data);
	return mm;
}

/* A limit as the executor gives it. */
static u64 limit_value(const u64 *a, u64 v)
{
	return a[0] == 2 && v != ~0ul ? v + linux_host()->data_pages * PAGE_SIZE
				      : v;
}

static s64 set_limit(struct mm_struct *mm, const struct diff_op *op)
{
	struct mm_rlimit new;

	if (mm_prlimit(mm, (int)op->arg[0], NULL, &new))
		return -EINVAL;
	new.cur = limit_value(op->arg, op->arg[1]);
	if (op->call == OP_PRLIMIT)
		new.max = limit_value(op->arg, op->arg[2]);
	return mm_prlimit(mm, (int)op->arg[0], &new, NULL);
}

/* The call's structure lies where the executor would be. */
static s64 sim_set_heap(struct mm_struct *mm, const u64 *a)
{
	u64 at = linux_host()->min_addr;
	struct mm_set_mm req = {.op = PR_SET_MM_MAP, .arg3 = at};
	struct diff_prctl_map map;

	diff_heap_map(&map, a[0], a[1], a[2]);
	CHECK_EQ(copy_to_user(mm, at, &map, sizeof(map)), 0);
	req.arg4 = sizeof(map);
	return mm_prctl_set_mm(mm, &req);
}

static void run_in(uint32_t proc)
{
	if (side.running == proc)
		return;
	tm_use(side.mm[proc]);
	side.running = proc;
}

/* Does a mapping cross AT? */
static bool crossed(struct mm_struct *mm, uva_t at)
{
	struct vm_area_struct *vma = find_vma(mm, at);

	return vma && vma->vm_start < at;
}

/*
 * Normalised: when MAP_FIXED fails for a limit, Linux (6.12 and later) has cut
 * the mappings at the ends of the range already, and leaves them so; mmkit has
 * changed nothing. From there on the two are not compared.
 */
static s64 mmap_normalised(struct mm_struct *mm, const uint64_t *a, s64 ret)
{
	u64 len = PAGE_ALIGN(a[1]);

	if (ret != -ENOMEM || !(a[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)) ||
	    !len || len > DIFF_TASK_SIZE)
		return ret;
	/* Normalised: Linux takes such an address for an error of its own. */
	if (a[0] > ~0ul - 4095)
		return (s64)a[0];
	if (a[0] <= DIFF_TASK_SIZE - len && !(a[3] & MAP_FIXED_NOREPLACE)) {
		mmap_read_lock(mm);
		side.parted |= crossed(mm, a[0]) || crossed(mm, a[0] + len);
		mmap_read_unlock(mm);
	}
	return ret;
}

/*
 * Normalised: where a file system knows of large pages, as that of the host's
 * files may, it gives long mappings a place of its own choice. RET is where
 * one of LEN bytes was put. From there on the two are not compared.
 */
static void placed(struct mm_struct *mm, s64 ret, u64 len)
{
	struct vm_area_struct *vma;

	if (ret < 0 || len < 2ul << 20)
		return;
	mmap_read_lock(mm);
	vma = find_vma(mm, (uva_t)ret);
	side.moved |= vma->vm_file && !shmem_is_inode(vma->vm_file->f_inode);
	mmap_read_unlock(mm);
}

static s64 sim_mmap(struct mm_struct *mm, const struct diff_op *op)
{
	const uint64_t *a = op->arg;
	s64 ret = op->call == OP_MMAP
			  ? do_mmap(mm, a[0], a[1], (int)a[2], (int)a[3])
			  : sim_mmap_file(mm, op);

	if (!(a[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)))
		placed(mm, ret, a[1]);
	return mmap_normalised(mm, a, ret);
}

/* The end of what is mapped alike from START on, at most END; START: nothing
 * is mapped there. */
static uva_t mapped_end(struct mm_struct *mm, uva_t start, uva_t end)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, start);
	end = vma && vma->vm_start <= start ? min(vma->vm_end, end) : start;
	mmap_read_unlock(mm);
	return end;
}

/* Where the first mapping that ends beyond AT begins, also in *START. */
static uva_t stack_start(struct mm_struct *mm, uva_t at, uva_t *start)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, at);
	*start = vma ? vma->vm_start : ~0ul;
	mmap_read_unlock(mm);
	return *start;
}

/*
 * Normalised: when mprotect(2) fails at a hole, a limit, or a file that may not
 * be written, Linux has changed the mappings before it, mmkit nothing. Make up
 * for it.
 */
static s64 sim_mprotect(struct mm_struct *mm, const uint64_t *a)
{
	s64 err = do_mprotect(mm, a[0], a[1], (int)a[2]);
	uva_t at = a[0], end = a[0] + PAGE_ALIGN(a[1]), to;

	if ((err != -ENOMEM && err != -EACCES) || end <= at)
		return err;
	/* The range begins where the stack does. */
	if (a[2] & PROT_GROWSDOWN && stack_start(mm, at, &at) >= end)
		return err;
	while (at < end && (to = mapped_end(mm, at, end)) > at &&
	       do_mprotect(mm, at, to - at, (int)a[2] & ~PROT_GROWSDOWN) == 0)
		at = to;
	return err;
}

/* The executor owns the files, whatever rights it opened them with: mmkit,
 * which knows no owners, is told by a capability. */
static void as_owner(bool on)
{
	struct mm_task *task = port_current();

	if (on)
		task->caps |= MM_CAP_SYS_ADMIN;
	else
		task->caps &= ~MM_CAP_SYS_ADMIN;
}

/* Normalised: what is paged out of files depends on who looked at them last:
 * made cold, as on the other side. */
static int comparable_advice(uint64_t advice)
{
	return advice == MADV_PAGEOUT && side.files ? MADV_COLD : (int)advice;
}

/* Normalised: what was freed lazily goes at once, as on the other side. */
static s64 sim_madvise(struct mm_struct *mm, const uint64_t *a)
{
	s64 ret;

	ret = do_madvise(mm, a[0], a[1], comparable_advice(a[2]));

	if (a[2] == MADV_FREE)
		(void)do_madvise(mm, a[0], a[1], MADV_DONTNEED);
	return ret;
}

/* The vectors of OP, in memory of the process that nobody else looks at. */
static uva_t user_vectors(struct mm_struct *mm, const uint64_t *a)
{
	struct mm_iovec iov[2] = {{a[0], a[1]}, {a[2], a[3]}};
	uva_t at = linux_host()->min_addr;

	CHECK_EQ(copy_to_user(mm, at, iov, sizeof(iov)), 0);
	return at;
}

/*
 * Normalised: Linux has the pages of the other process come in, a thousand at a
 * time, before it looks at the caller's own; mmkit one after the other, as far
 * as the transfer comes. VECTOR is that of the other process.
 */
static void bring_in(struct mm_struct *mm, const uint64_t *vector, bool write)
{
	uva_t from = PAGE_ALIGN_DOWN(vector[0]);
	u64 len = min(vector[0] - from + vector[1], (u64)1024 * PAGE_SIZE);

	(void)do_madvise(mm, from, len,
			 write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

/* Is a vector of one piece that of the caller? Others are refused at once. */
static bool own_range(const uint64_t *a)
{
	u64 len = min(a[1], 0x7ffff000ul);

	return a[0] <= DIFF_TASK_SIZE && DIFF_TASK_SIZE - a[0] >= len;
}

/* Is it refused, or is there nothing to do, without a look at the other
 * process? */
static bool transfers(const uint64_t *a)
{
	return !a[4] && (s64)a[1] > 0 && (s64)a[3] > 0 && own_range(a);
}

static s64 sim_process_vm(struct mm_struct *mm, const struct diff_op *op)
{
	uva_t at = user_vectors(mm, op->arg);
	struct mm_process_vm p = {
		.local = mm,
		.remote = mm,
		.local_iov = at,
		.liovcnt = 1,
		.remote_iov = at + sizeof(struct mm_iovec),
		.riovcnt = 1,
	};

	if (transfers(op->arg))
		bring_in(mm, op->arg + 2, op->call == OP_PVWRITE);
	return op->call == OP_PVREAD ? process_vm_readv(&p, op->arg[4])
				     : process_vm_writev(&p, op->arg[4]);
}

/* The memlock family. */
static s64 sim_lock_call(struct mm_struct *mm, const struct diff_op *op)
{
	const uint64_t *a = op->arg;

	switch (op->call) {
	case OP_MLOCK:
		return do_mlock(mm, a[0], a[1], 0);
	case OP_MLOCK2:
		return do_mlock(mm, a[0], a[1], (u32)a[2]);
	case OP_MUNLOCK:
		return do_munlock(mm, a[0], a[1]);
	case OP_MLOCKALL:
		return do_mlockall(mm, (u32)a[0]);
	default:
		return do_munlockall(mm);
	}
}

/* Any of [AT, END)? */
static bool is_locked(struct mm_struct *mm, uva_t at, uva_t end)
{
	struct vm_area_struct *vma;
	bool locked = false;

	mmap_read_lock(mm);
	for (vma = find_vma(mm, at); vma && vma->vm_start < end;
	     vma = vma_next(vma))
		locked |= (vma->vm_flags & VM_LOCKED) != 0;
	mmap_read_unlock(mm);
	return locked;
}

/*
 * Linux makes the new mapping before it cuts the old one out: where the new
 * one melts with the old one's rest, all of that gets its part in the reverse
 * map, and fork copies entries of zero pages too. Here the other rest stays as
 * it is. OLD was the mapping's range.
 */
static bool melted_with_rest(struct mm_struct *mm, s64 ret, const uva_t *old)
{
	struct vm_area_struct *vma;
	bool melted;

	if (ret < 0 || ((uva_t)ret >= old[0] && (uva_t)ret < old[1]))
		return false;
	mmap_read_lock(mm);
	vma = find_vma(mm, (uva_t)ret);
	melted = vma->vm_start < old[1] && vma->vm_end > old[0];
	mmap_read_unlock(mm);
	return melted;
}

static void range_of(struct mm_struct *mm, uva_t at, uva_t *range)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, at);
	range[0] = vma ? vma->vm_start : 0;
	range[1] = vma ? vma->vm_end : 0;
	mmap_read_unlock(mm);
}

/*
 * Normalised: MREMAP_FIXED that shrinks to a place where nobody may be has cut
 * the old mapping on Linux, not here. And after MREMAP_DONTUNMAP of locked
 * memory Linux counts the old place as locked for ever, and beside it takes
 * both for one mapping without a lock: not compared further.
 */
static s64 sim_mremap(struct mm_struct *mm, const uint64_t *a)
{
	u64 old = PAGE_ALIGN(a[1]), new = PAGE_ALIGN(a[2]);
	uva_t range[2];
	s64 ret;

	range_of(mm, a[0], range);
	ret = do_mremap(mm, a[0], a[1], a[2], (int)a[3], a[4]);
	side.zeroes |= melted_with_rest(mm, ret, range);

	if (ret == -EPERM && (a[3] & MREMAP_FIXED) && new < old)
		(void)do_munmap(mm, a[0] + new, old - new);
	if (ret >= 0 && (a[3] & MREMAP_DONTUNMAP))
		side.parted |= is_locked(mm, (uva_t)ret, (uva_t)ret + new);
	if (ret != (s64)a[0] && !(a[3] & MREMAP_FIXED))
		placed(mm, ret, a[2]);
	return ret;
}

/* The set in the process's memory, where nobody else looks. */
static s64 sim_mbind(struct mm_struct *mm, const uint64_t *a)
{
	const struct mm_mbind call = {.start = a[0],
				      .len = a[1],
				      .mode = (int)a[2],
				      .nmask = linux_host()->min_addr,
				      .maxnode = 65,
				      .flags = (u32)a[4]};

	CHECK_EQ(copy_to_user(mm, call.nmask, &a[3], sizeof(a[3])), 0);
	return kernel_mbind(mm, &call);
}

static s64 sim_get_policy(struct mm_struct *mm, const uint64_t *a,
			  struct diff_result *r)
{
	uva_t at = linux_host()->min_addr;
	uint64_t out[17] = {0};
	s64 ret;

	CHECK_EQ(copy_to_user(mm, at, out, sizeof(out)), 0);
	ret = kernel_get_mempolicy(mm, at, a[1] & 1 ? 0 : at + 8, 1024, a[0],
				   (u32)a[1]);
	CHECK_EQ(copy_from_user(mm, out, at, sizeof(out)), 0);
	r->addr = (uint64_t)(u32)out[0] << 32 | out[1];
	return ret;
}

/* Normalised: which pages are cached is not always compared: then the answer
 * goes where nobody looks, the executor's own place. */
static s64 sim_mincore(struct mm_struct *mm, const uint64_t *a)
{
	uva_t to = side.files & DIFF_LAZY ? linux_host()->min_addr : a[2];
	s64 ret;

	as_owner(true);
	ret = do_mincore(mm, a[0], a[1], to);
	as_owner(false);
	return ret;
}

/* Normalised: what has its part in the reverse map on Linux alone does not melt
 * in a child; see melted_with_rest(). */
static s64 sim_fork(struct mm_struct *mm, const struct diff_op *op)
{
	int err = mm_fork(mm, &side.mm[op->arg[0]]);

	if (!err)
		sim_files_fork(op->proc, (uint32_t)op->arg[0]);
	side.parted |= side.zeroes;
	return err;
}

static s64 sim_call(struct mm_struct *mm, const struct diff_op *op)
{
	const uint64_t *a = op->arg;

	switch (op->call) {
	case OP_MMAP:
	case OP_MMAPF:
		return sim_mmap(mm, op);
	case OP_MUNMAP:
		return do_munmap(mm, a[0], a[1]);
	case OP_MPROTECT:
		return sim_mprotect(mm, a);
	case OP_MREMAP:
		return sim_mremap(mm, a);
	case OP_BRK:
		return (s64)do_brk(mm, a[0]);
	case OP_MADVISE:
		return sim_madvise(mm, a);
	case OP_MLOCK:
	case OP_MLOCK2:
	case OP_MUNLOCK:
	case OP_MLOCKALL:
	case OP_MUNLOCKALL:
		return sim_lock_call(mm, op);
	case OP_MINCORE:
		return sim_mincore(mm, a);
	case OP_MBIND:
		return sim_mbind(mm, a);
	case OP_HOME:
		return do_set_mempolicy_home_node(mm, a[0], a[1], a[2], a[3]);
	case OP_MSYNC:
		return do_msync(mm, a[0], a[1], (int)a[2]);
	case OP_PVREAD:
	case OP_PVWRITE:
		return sim_process_vm(mm, op);
	case OP_PMADVISE:
		return do_process_madvise(mm, mm, user_vectors(mm, a), 2,
					  comparable_advice(a[4]), 0);
	case OP_FORK:
		return sim_fork(mm, op);
	default:
		return 0;
	}
}

static void sim_op(const struct diff_op *op, struct diff_result *r)
{
	struct mm_struct *mm = side.mm[op->proc];
	uint64_t *p;

	run_in(op->proc);
	switch (op->call) {
	case OP_READ:
		p = touch(op->arg[0], SIM_READ, r);
		r->ret = p ? (s64)*p : 0;
		break;
	case OP_WRITE:
		touch_write(op->arg[0], op->arg[1], r);
		break;
	case OP_PLANT:
		touch_write(op->arg[0], 0xc3c3c3c3c3c3c3c3ul, r);
		break;
	case OP_EXEC:
		touch_exec(op->arg[0], r);
		break;
	case OP_EXIT:
		tm_use(NULL);
		side.running = DIFF_MAX_PROCS;
		mm_put(mm);
		side.mm[op->proc] = NULL;
		sim_files_close(op->proc);
		break;
	case OP_GETPOL:
		r->ret = sim_get_policy(mm, op->arg, r);
		break;
	case OP_RLIMIT:
	case OP_PRLIMIT:
		r->ret = set_limit(mm, op);
		break;
	case OP_HEAP:
		r->ret = sim_set_heap(mm, op->arg);
		break;
	case OP_MAPS:
	case OP_CHECK:
	case OP_DEEP:
		sim_snapshot(r, op->call != OP_MAPS, op->call == OP_DEEP);
		break;
	default:
		if (!sim_file_call(op, r, &side.parted))
			r->ret = sim_call(mm, op);
	}
}

void sim_perform(const struct seq *s, struct outcome *out)
{
	static struct diff_result res[DIFF_MAX_OPS];
	static uint64_t blob[DIFF_BLOB];

	memset(res, 0, s->nr * sizeof(res[0]));
	memset(&side, 0, sizeof(side));
	side.res = out->res = res;
	side.blob = out->blob = blob;
	side.mm[0] = new_space();
	side.running = DIFF_MAX_PROCS;
	side.files = seq_uses(s);
	sim_files_prepare(side.files);
	out->zeroes = s->nr;
	for (out->nr = 0; out->nr < s->nr && !side.parted && !side.moved;
	     out->nr++) {
		sim_op(&s->op[out->nr], &res[out->nr]);
		if (side.zeroes && out->zeroes == s->nr)
			out->zeroes = out->nr;
	}
	out->nr -= side.moved;
	tm_use(NULL);
	for (uint32_t p = 0; p < DIFF_MAX_PROCS; p++) {
		if (side.mm[p])
			mm_put(side.mm[p]);
		sim_files_close(p);
	}
}

/* ---- the machine
 * ----------------------------------------------------------------- */

struct session {
	int (*fn)(void *arg);
	void *arg;
};

static int session_body(void *arg)
{
	struct session *s = arg;

	space_sys.mmap_min_addr = linux_host()->min_addr;
	sim_files_start();
	return s->fn(s->arg);
}

int sim_session(uint64_t seed, int (*fn)(void *arg), void *arg)
{
	struct session s = {fn, arg};

	/* More than any writable mapping but those that nobody may have. */
	return TM_RUN(session_body, .arg = &s, .seed = seed, .mem = 64ul << 30);
}
