/* SPDX-License-Identifier: MIT */
/*
 * prctl_mm.c - where a program's parts lie: prctl(2), PR_SET_MM.
 *
 * 1. Structures. The heap's bounds are the space's own (do_brk()). All else is
 *    in a struct mm_exec, which a space gets when something is set for the
 *    first time: most never have one. A fork copies it.
 *
 * 2. Two ways. Single values are checked against what is mapped, as prctl(2)
 *    says, and against the value that they belong with, if that was set. MAP
 *    sets all at once, as a checkpoint needs that restores a program before its
 *    memory: order, bounds and the limit are checked, mappings are not.
 *
 * 3. Locks. Values change with the mmap lock held for writing; user memory is
 *    read before, files are put after.
 *
 * 4. Failure. Everything that can fail comes before the first change.
 *
 * References: prctl(2), getrlimit(2), getauxval(3), proc(5).
 */
#include <mmkit/errno.h>
#include <mmkit/fs.h>
#include <mmkit/prctl.h>
#include <mmkit/slab.h>
#include <mmkit/uaccess.h>

#include "base/string.h"
#include "space/space.h"

#define AUXV_BYTES (8u * MM_AUXV_WORDS)
#define NO_FD	   (~0u)

struct mm_exec {
	struct prctl_mm_map map; /* (M) but start_brk and brk; auxv unused */
	u64 auxv[MM_AUXV_WORDS]; /* (M) */
	struct file *exe;	 /* (M) a reference, or NULL */
};

MM_STATIC_ASSERT(sizeof(struct prctl_mm_map) == 104, "as programs know it");

/* What a call wants to set. */
struct exec_want {
	struct prctl_mm_map map;
	u64 *auxv;	  /* MM_AUXV_WORDS, our own; NULL: as it is */
	struct file *exe; /* a reference; NULL: as it is */
};

static void want_end(struct exec_want *want)
{
	kfree(want->auxv);
	if (want->exe)
		fput(want->exe);
}

/* ---- the structure ---------------------------------------------------------
 */

/* MM's, made if need be; NULL: no memory. */
static struct mm_exec *exec_make(struct mm_struct *mm)
{
	struct mm_exec *x = __atomic_load_n(&mm->exec, __ATOMIC_ACQUIRE);
	struct mm_exec *none = NULL;

	if (x)
		return x;
	x = kzalloc(sizeof(*x), GFP_KERNEL);
	if (!x)
		return NULL;
	if (__atomic_compare_exchange_n(&mm->exec, &none, x, false,
					__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return x;
	kfree(x);
	return none;
}

int mm_exec_fork(struct mm_struct *mm, struct mm_struct *old)
{
	struct mm_exec *x = old->exec;

	rwsem_assert_held(&old->mmap_lock);
	if (!x)
		return 0;
	mm->exec = kmalloc(sizeof(*x), GFP_KERNEL);
	if (!mm->exec)
		return -ENOMEM;
	*mm->exec = *x;
	if (x->exe)
		get_file(x->exe);
	return 0;
}

void mm_exec_free(struct mm_struct *mm)
{
	if (mm->exec && mm->exec->exe)
		fput(mm->exec->exe);
	kfree(mm->exec);
	mm->exec = NULL;
}

/* ---- looking ---------------------------------------------------------------
 */

/* Words of X's vector up to its end, that included. */
static u32 auxv_words(const struct mm_exec *x)
{
	u32 n = 0;

	while (n < MM_AUXV_WORDS - 2 && x->auxv[n])
		n += 2;
	return n + 2;
}

static void map_of(const struct mm_struct *mm, struct prctl_mm_map *out)
{
	const struct mm_exec *x = mm->exec;

	*out = (struct prctl_mm_map){.auxv_size = 0};
	if (x) {
		*out = x->map;
		out->auxv_size = 8 * auxv_words(x);
	}
	out->start_brk = mm->start_brk;
	out->brk = mm->brk;
	out->auxv = 0;
	out->exe_fd = NO_FD;
}

void mm_prctl_map_get(struct mm_struct *mm, struct prctl_mm_map *out)
{
	mmap_read_lock(mm);
	map_of(mm, out);
	mmap_read_unlock(mm);
}

u32 mm_auxv_get(struct mm_struct *mm, u64 *words, u32 n)
{
	mmap_read_lock(mm);
	n = mm->exec ? min(n, auxv_words(mm->exec)) : 0;
	if (n)
		mm_memcpy(words, mm->exec->auxv, 8UL * n);
	mmap_read_unlock(mm);
	return n;
}

struct file *mm_exe_file_get(struct mm_struct *mm)
{
	struct file *exe;

	mmap_read_lock(mm);
	exe = mm->exec ? mm->exec->exe : NULL;
	if (exe)
		get_file(exe);
	mmap_read_unlock(mm);
	return exe;
}

u64 mm_text_pages(const struct mm_struct *mm)
{
	const struct mm_exec *x = __atomic_load_n(&mm->exec, __ATOMIC_ACQUIRE);
	u64 from, to;

	if (!x)
		return 0;
	from = PAGE_ALIGN_DOWN(READ_ONCE(x->map.start_code));
	to = PAGE_ALIGN(READ_ONCE(x->map.end_code));
	return from && to > from ? (to - from) >> PAGE_SHIFT : 0;
}

u64 mm_data_bytes(const struct mm_struct *mm)
{
	const struct prctl_mm_map *m = mm->exec ? &mm->exec->map : NULL;

	return m && m->start_data && m->end_data ? m->end_data - m->start_data
						 : 0;
}

/* ---- checks ----------------------------------------------------------------
 */

static bool in_user_space(const struct mm_struct *mm, u64 addr)
{
	return addr >= READ_ONCE(space_sys.mmap_min_addr) &&
	       addr < mm->layout.task_size;
}

/* START and END, of which one may not have been set (0). */
static bool in_order(u64 start, u64 end)
{
	return !start || !end || start <= end;
}

/* Bounds in M, their order, and the limit; 0 stands for what was never set. */
static bool map_fits(const struct mm_struct *mm, const struct prctl_mm_map *m)
{
	u64 limit = READ_ONCE(mm->rlimit_data);
	u64 data =
		m->start_data && m->end_data ? m->end_data - m->start_data : 0;

	if ((m->start_code && m->end_code && m->start_code >= m->end_code) ||
	    !in_order(m->start_data, m->end_data) ||
	    !in_order(m->start_brk, m->brk) ||
	    !in_order(m->arg_start, m->arg_end) ||
	    !in_order(m->env_start, m->env_end))
		return false;
	return m->brk - m->start_brk + data <= limit;
}

static bool map_in_user_space(const struct mm_struct *mm,
			      const struct prctl_mm_map *m)
{
	const u64 addrs[] = {
		m->start_code, m->end_code, m->start_data,  m->end_data,
		m->start_brk,  m->brk,	    m->arg_start,   m->arg_end,
		m->env_start,  m->env_end,  m->start_stack,
	};

	for (u32 i = 0; i < ARRAY_SIZE(addrs); i++)
		if (!in_user_space(mm, addrs[i]))
			return false;
	return true;
}

/* BYTES of the vector at ADDR. 0, -EINVAL, -EFAULT, -ENOMEM. */
static int auxv_read(struct mm_struct *mm, struct exec_want *want, u64 addr,
		     u64 bytes)
{
	if (bytes > AUXV_BYTES)
		return -EINVAL;
	want->auxv = kzalloc(AUXV_BYTES, GFP_KERNEL);
	if (!want->auxv)
		return -ENOMEM;
	if (copy_from_user(mm, want->auxv, addr, bytes))
		return -EFAULT;
	/* Whatever was given, it ends. */
	want->auxv[MM_AUXV_WORDS - 2] = want->auxv[MM_AUXV_WORDS - 1] = 0;
	return 0;
}

/* The program FD, with a reference in WANT. 0, -EBADF, -EACCES. */
static int exe_read(const struct mm_set_mm *req, struct exec_want *want, u32 fd)
{
	struct file *file = req->fget ? req->fget(fd, req->arg) : NULL;
	const struct inode *inode;

	if (!file)
		return -EBADF;
	inode = file->f_inode;
	if (!S_ISREG(inode->i_mode) || !(inode->i_mode & 0111) ||
	    (inode->i_sb->s_iflags & SB_I_NOEXEC)) {
		fput(file);
		return -EACCES;
	}
	want->exe = file;
	return 0;
}

/* Is the program that MM runs still mapped? Mmap lock held. */
static bool exe_mapped(struct mm_struct *mm, const struct file *exe)
{
	struct vm_area_struct *vma;

	for_each_vma (vma, mm)
		if (vma->vm_file && vma->vm_file->f_inode == exe->f_inode)
			return true;
	return false;
}

/* ---- setting ---------------------------------------------------------------
 */

/* Mmap lock held for writing. WANT->exe becomes what is to be put. */
static int exec_set(struct mm_struct *mm, struct mm_exec *x,
		    struct exec_want *want)
{
	struct file *old = x->exe;

	if (want->exe && old && exe_mapped(mm, old))
		return -EBUSY;
	mm->start_brk = want->map.start_brk;
	WRITE_ONCE(mm->brk, want->map.brk);
	x->map = want->map;
	if (want->auxv)
		mm_memcpy(x->auxv, want->auxv, sizeof(x->auxv));
	if (want->exe) {
		x->exe = want->exe;
		want->exe = old;
	}
	return 0;
}

/* What a map names beside addresses. */
static int map_contents(struct mm_struct *mm, const struct mm_set_mm *req,
			struct exec_want *want)
{
	const struct prctl_mm_map *m = &want->map;
	int err;

	if (m->auxv_size) {
		err = auxv_read(mm, want, m->auxv, m->auxv_size);
		if (err)
			return err;
	}
	if (m->exe_fd == NO_FD)
		return 0;
	return mm_capable(MM_CAP_SYS_ADMIN) ? exe_read(req, want, m->exe_fd)
					    : -EPERM;
}

static int set_all(struct mm_struct *mm, const struct mm_set_mm *req)
{
	struct exec_want want = {.auxv = NULL};
	struct prctl_mm_map *m = &want.map;
	struct mm_exec *x = NULL;
	int err;

	if (req->arg4 != sizeof(*m))
		return -EINVAL;
	if (copy_from_user(mm, m, req->arg3, sizeof(*m)))
		return -EFAULT;
	if (!map_in_user_space(mm, m) || !map_fits(mm, m) ||
	    (m->auxv_size && !m->auxv))
		return -EINVAL;
	err = map_contents(mm, req, &want);
	if (!err) {
		x = exec_make(mm);
		err = -ENOMEM;
	}
	if (x) {
		mmap_write_lock(mm);
		err = exec_set(mm, x, &want);
		mmap_write_unlock(mm);
	}
	want_end(&want);
	return err;
}

int mm_prctl_map_set(struct mm_struct *mm, const struct prctl_mm_map *map,
		     const u64 *auxv, u32 words, struct file *exe)
{
	struct mm_exec *x = exec_make(mm);
	struct file *old;

	if (!x)
		return -ENOMEM;
	mm_verify(words <= MM_AUXV_WORDS);
	mmap_write_lock(mm);
	mm->start_brk = map->start_brk;
	mm->brk = map->brk;
	x->map = *map;
	mm_memset(x->auxv, 0, sizeof(x->auxv));
	mm_memcpy(x->auxv, auxv, 8UL * words);
	old = x->exe;
	x->exe = exe ? get_file(exe) : NULL;
	mmap_write_unlock(mm);
	if (old)
		fput(old);
	return 0;
}

/* Where OP's value stands in M; NULL: OP is none of those. */
static u64 *map_word(struct prctl_mm_map *m, int op)
{
	switch (op) {
	case PR_SET_MM_START_CODE:
		return &m->start_code;
	case PR_SET_MM_END_CODE:
		return &m->end_code;
	case PR_SET_MM_START_DATA:
		return &m->start_data;
	case PR_SET_MM_END_DATA:
		return &m->end_data;
	case PR_SET_MM_START_STACK:
		return &m->start_stack;
	case PR_SET_MM_START_BRK:
		return &m->start_brk;
	case PR_SET_MM_BRK:
		return &m->brk;
	case PR_SET_MM_ARG_START:
		return &m->arg_start;
	case PR_SET_MM_ARG_END:
		return &m->arg_end;
	case PR_SET_MM_ENV_START:
		return &m->env_start;
	case PR_SET_MM_ENV_END:
		return &m->env_end;
	default:
		return NULL;
	}
}

/* What a mapping at OP's address has of the first, and nothing of the second.
 */
static bool right_area(struct mm_struct *mm, int op, u64 addr)
{
	bool end = op == PR_SET_MM_END_CODE || op == PR_SET_MM_END_DATA ||
		   op == PR_SET_MM_ARG_END || op == PR_SET_MM_ENV_END;
	u64 want = VM_READ | VM_WRITE, never = 0;
	struct vm_area_struct *vma;

	if (op == PR_SET_MM_START_CODE || op == PR_SET_MM_END_CODE) {
		want = VM_READ | VM_EXEC;
		never = VM_WRITE | VM_SHARED;
	} else if (op == PR_SET_MM_START_DATA || op == PR_SET_MM_END_DATA) {
		never = VM_EXEC | VM_SHARED;
	}
	addr -= end;
	vma = find_vma(mm, addr);
	return vma_contains(vma, addr) && (vma->vm_flags & want) == want &&
	       !(vma->vm_flags & never);
}

/* Mmap lock held for writing. */
static int set_one_locked(struct mm_struct *mm, struct mm_exec *x, int op,
			  u64 addr)
{
	bool heap = op == PR_SET_MM_START_BRK || op == PR_SET_MM_BRK;
	struct exec_want want = {.auxv = NULL};
	u64 *word = map_word(&want.map, op);

	map_of(mm, &want.map);
	*word = addr;
	if (heap ? addr <= want.map.end_data : !right_area(mm, op, addr))
		return -EINVAL;
	if (!map_fits(mm, &want.map))
		return -EINVAL;
	return exec_set(mm, x, &want);
}

static int set_one(struct mm_struct *mm, const struct mm_set_mm *req)
{
	struct prctl_mm_map unused;
	struct mm_exec *x;
	int err;

	if (!map_word(&unused, req->op) || !in_user_space(mm, req->arg3))
		return -EINVAL;
	x = exec_make(mm);
	if (!x)
		return -ENOMEM;
	mmap_write_lock(mm);
	err = set_one_locked(mm, x, req->op, req->arg3);
	mmap_write_unlock(mm);
	return err;
}

/* The vector, or the program, alone. */
static int set_content(struct mm_struct *mm, const struct mm_set_mm *req)
{
	struct exec_want want = {.auxv = NULL};
	struct mm_exec *x = NULL;
	int err;

	err = req->op == PR_SET_MM_AUXV
		      ? auxv_read(mm, &want, req->arg3, req->arg4)
		      : exe_read(req, &want, (u32)req->arg3);
	if (!err) {
		x = exec_make(mm);
		err = -ENOMEM;
	}
	if (x) {
		mmap_write_lock(mm);
		map_of(mm, &want.map);
		err = exec_set(mm, x, &want);
		mmap_write_unlock(mm);
	}
	want_end(&want);
	return err;
}

int mm_prctl_set_mm(struct mm_struct *mm, const struct mm_set_mm *req)
{
	u32 size = sizeof(struct prctl_mm_map);

	if (req->arg5 ||
	    (req->arg4 && req->op != PR_SET_MM_AUXV &&
	     req->op != PR_SET_MM_MAP && req->op != PR_SET_MM_MAP_SIZE))
		return -EINVAL;
	if (req->op == PR_SET_MM_MAP)
		return set_all(mm, req);
	if (req->op == PR_SET_MM_MAP_SIZE)
		return copy_to_user(mm, req->arg3, &size, sizeof(size))
			       ? -EFAULT
			       : 0;
	if (!mm_capable(MM_CAP_SYS_RESOURCE))
		return -EPERM;
	if (req->op == PR_SET_MM_AUXV || req->op == PR_SET_MM_EXE_FILE)
		return set_content(mm, req);
	return set_one(mm, req);
}
