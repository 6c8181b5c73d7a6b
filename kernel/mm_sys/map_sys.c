/* SPDX-License-Identifier: MIT */
/*
 * map_sys.c - the system calls of address spaces: arguments from registers,
 * the work by the manager (mmkit/mm.h), which also says what fails how.
 *
 * What is not there: remap_file_pages(2), which Linux only emulates, gives
 * ENOSYS. Protection keys need a CPU's help: pkey_alloc(2) says ENOSPC, as on
 * a CPU without them.
 *
 * Reference: mmap(2), mremap(2), brk(2), madvise(2), mlock(2), mincore(2),
 * msync(2), process_vm_readv(2), process_madvise(2), process_mrelease(2),
 * memfd_create(2), membarrier(2), pkeys(7).
 */
#include <mmkit/fs.h>
#include <mmkit/mman.h>
#include <mmkit/shmem.h>
#include <mmkit/slab.h>

#include "mm_sys/mm_sys.h"
#include "pgtable/kernel.h"
#include "space/space.h"
#include "task/task_priv.h"
#include "vfs.h"

static struct mm_struct *mine(void)
{
	return current->mt->mm;
}

/* ---- mappings --------------------------------------------------------------
 */

static s64 sys_mmap(const struct sys_args *s)
{
	struct mm_mmap req = {
		.addr = s->a[0],
		.len = s->a[1],
		.prot = (int)s->a[2],
		.flags = (int)s->a[3],
		.pgoff = s->a[5] >> PAGE_SHIFT,
	};
	s64 ret;

	if (s->a[5] & ~PAGE_MASK)
		return -EINVAL;
	if (req.flags & MAP_ANONYMOUS)
		return do_mmap(mine(), req.addr, req.len, req.prot, req.flags);
	req.file = fd_get((int)s->a[4]);
	if (!req.file)
		return -EBADF;
	ret = do_mmap_file(mine(), &req);
	fput(req.file);
	return ret;
}

static s64 sys_munmap(const struct sys_args *s)
{
	return do_munmap(mine(), s->a[0], s->a[1]);
}

static s64 sys_mprotect(const struct sys_args *s)
{
	return do_mprotect(mine(), s->a[0], s->a[1], (int)s->a[2]);
}

static s64 sys_mremap(const struct sys_args *s)
{
	return do_mremap(mine(), s->a[0], s->a[1], s->a[2], (int)s->a[3],
			 s->a[4]);
}

static s64 sys_brk(const struct sys_args *s)
{
	return (s64)do_brk(mine(), s->a[0]);
}

static s64 sys_madvise(const struct sys_args *s)
{
	return do_madvise(mine(), s->a[0], s->a[1], (int)s->a[2]);
}

static s64 sys_mincore(const struct sys_args *s)
{
	return do_mincore(mine(), s->a[0], s->a[1], s->a[2]);
}

static s64 sys_msync(const struct sys_args *s)
{
	return do_msync(mine(), s->a[0], s->a[1], (int)s->a[2]);
}

static s64 sys_mlock(const struct sys_args *s)
{
	return do_mlock(mine(), s->a[0], s->a[1], 0);
}

static s64 sys_mlock2(const struct sys_args *s)
{
	return do_mlock(mine(), s->a[0], s->a[1], (u32)s->a[2]);
}

static s64 sys_munlock(const struct sys_args *s)
{
	return do_munlock(mine(), s->a[0], s->a[1]);
}

static s64 sys_mlockall(const struct sys_args *s)
{
	return do_mlockall(mine(), (u32)s->a[0]);
}

static s64 sys_munlockall(const struct sys_args *s)
{
	(void)s;
	return do_munlockall(mine());
}

static s64 sys_pkey_mprotect(const struct sys_args *s)
{
	/* The key that every page has; there are no others. */
	if ((int)s->a[3] != -1)
		return -EINVAL;
	return sys_mprotect(s);
}

static s64 sys_pkey_alloc(const struct sys_args *s)
{
	return s->a[0] || (s->a[1] & ~3UL) ? -EINVAL : -ENOSPC;
}

static s64 sys_pkey_free(const struct sys_args *s)
{
	(void)s;
	return -EINVAL;
}

/* ---- other processes -------------------------------------------------------
 */

int target_mm(s32 pid, struct mm_struct **out)
{
	struct task *t = pid ? task_find(pid) : task_get(current);
	int err;

	if (!t)
		return -ESRCH;
	err = may_ptrace(t);
	if (!err)
		*out = task_mm(t);
	task_put(t);
	return err;
}

static s64 process_vm(const struct sys_args *s, bool write)
{
	struct mm_process_vm p = {
		.local = mine(),
		.local_iov = s->a[1],
		.liovcnt = s->a[2],
		.remote_iov = s->a[3],
		.riovcnt = s->a[4],
	};
	s64 ret;

	if (s->a[5])
		return -EINVAL;
	ret = target_mm((s32)s->a[0], &p.remote);
	if (ret)
		return ret;
	if (!p.remote)
		return -ESRCH;
	ret = write ? process_vm_writev(&p, 0) : process_vm_readv(&p, 0);
	mm_put(p.remote);
	return ret;
}

static s64 sys_process_vm_readv(const struct sys_args *s)
{
	return (s32)s->a[0] > 0 ? process_vm(s, false) : -ESRCH;
}

static s64 sys_process_vm_writev(const struct sys_args *s)
{
	return (s32)s->a[0] > 0 ? process_vm(s, true) : -ESRCH;
}

static s64 sys_process_madvise(const struct sys_args *s)
{
	struct process *p;
	struct mm_struct *mm = NULL;
	s64 ret;

	if (s->a[4])
		return -EINVAL;
	p = pidfd_process((int)s->a[0]);
	if (!p)
		return -EBADF;
	ret = target_mm(p->tgid, &mm);
	process_put(p);
	if (ret)
		return ret;
	if (!mm)
		return -ESRCH;
	ret = do_process_madvise(mm, mine(), s->a[1], s->a[2], (int)s->a[3], 0);
	mm_put(mm);
	return ret;
}

/* Is P at its end, or already there? */
static bool process_dying(struct process *p)
{
	unsigned long flags;
	bool yes;

	task_lock(flags);
	yes = p->group_exit || p->zombie || p->nr_live == 0;
	task_unlock(flags);
	return yes;
}

/* Wait until no task of P has memory any more: it is being given back by its
 * own threads, which need nothing from us. 0, -EINTR. */
static s64 wait_memory_gone(struct process *p)
{
	for (;;) {
		struct task *t = task_next(p, 0);
		bool gone = !t || !READ_ONCE(t->mt->mm);

		if (t)
			task_put(t);
		if (gone)
			return 0;
		if (signal_pending(current))
			return -EINTR;
		(void)port_park(1000000);
	}
}

static s64 sys_process_mrelease(const struct sys_args *s)
{
	struct process *p;
	s64 ret = -EINVAL;

	if (s->a[1])
		return -EINVAL;
	p = pidfd_process((int)s->a[0]);
	if (!p)
		return -EBADF;
	if (p->zombie)
		ret = -ESRCH;
	else if (process_dying(p))
		ret = wait_memory_gone(p);
	process_put(p);
	return ret;
}

/* ---- files without a name --------------------------------------------------
 */

static s64 sys_memfd_create(const struct sys_args *s)
{
	u32 flags = (u32)s->a[1];
	char *name = kmalloc(PAGE_SIZE, GFP_KERNEL);
	struct file *file;
	s64 ret;

	if (!name)
		return -ENOMEM;
	ret = strncpy_from_user(mine(), name, s->a[0], MFD_NAME_MAX_LEN + 1);
	if (ret > (s64)MFD_NAME_MAX_LEN)
		ret = -EINVAL;
	if (ret >= 0) {
		file = memfd_create_file(name, flags);
		ret = IS_ERR(file) ? (s64)PTR_ERR(file)
				   : fd_install(file, 0, flags & MFD_CLOEXEC);
		if (!IS_ERR(file) && ret < 0)
			fput(file);
	}
	kfree(name);
	return ret;
}

/* ---- membarrier ------------------------------------------------------------
 *
 * Another CPU has passed a full barrier when it has answered a flush: that is
 * an interrupt, or a switch to this address space after it.
 */

#define MEMBARRIER_CMD_QUERY			  0
#define MEMBARRIER_CMD_GLOBAL			  1
#define MEMBARRIER_CMD_PRIVATE_EXPEDITED	  8
#define MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED 16
#define MEMBARRIER_ALL                                              \
	(MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_PRIVATE_EXPEDITED | \
	 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)

static s64 sys_membarrier(const struct sys_args *s)
{
	struct process *p = current->proc;

	if (s->a[1])
		return -EINVAL;
	switch ((int)s->a[0]) {
	case MEMBARRIER_CMD_QUERY:
		return MEMBARRIER_ALL;
	case MEMBARRIER_CMD_GLOBAL:
		port_tlb_flush_kernel(pgtable_sys.layout.vmalloc_start,
				      pgtable_sys.layout.vmalloc_start +
					      PAGE_SIZE);
		return 0;
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
		p->membarrier = true;
		return 0;
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
		if (!p->membarrier)
			return -EPERM;
		port_tlb_flush(&mine()->cpus, mine()->asid, PAGE_SIZE,
			       2 * PAGE_SIZE);
		return 0;
	default:
		return -EINVAL;
	}
}

void map_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{9, "mmap", sys_mmap},
		{10, "mprotect", sys_mprotect},
		{11, "munmap", sys_munmap},
		{12, "brk", sys_brk},
		{25, "mremap", sys_mremap},
		{26, "msync", sys_msync},
		{27, "mincore", sys_mincore},
		{28, "madvise", sys_madvise},
		{149, "mlock", sys_mlock},
		{150, "munlock", sys_munlock},
		{151, "mlockall", sys_mlockall},
		{152, "munlockall", sys_munlockall},
		{310, "process_vm_readv", sys_process_vm_readv},
		{311, "process_vm_writev", sys_process_vm_writev},
		{319, "memfd_create", sys_memfd_create},
		{324, "membarrier", sys_membarrier},
		{325, "mlock2", sys_mlock2},
		{329, "pkey_mprotect", sys_pkey_mprotect},
		{330, "pkey_alloc", sys_pkey_alloc},
		{331, "pkey_free", sys_pkey_free},
		{440, "process_madvise", sys_process_madvise},
		{448, "process_mrelease", sys_process_mrelease},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}

void mm_sys_init(void)
{
	map_sys_init();
	numa_sys_init();
	shm_sys_init();
	swap_sys_init();
	uffd_sys_init();
	fault_sys_init();
}
