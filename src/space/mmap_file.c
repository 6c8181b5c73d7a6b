/* SPDX-License-Identifier: MIT */
/*
 * mmap_file.c - what mmap(2) asks before it maps a file, and how the file's
 * provider takes over.
 *
 * A shared mapping of a file that was not opened for writing is, from then on,
 * like a private one that nobody can write: VM_SHARED and VM_MAYWRITE are
 * taken away, VM_MAYSHARE remembers what was asked for (/proc/PID/maps shows
 * it). So VM_SHARED means: may write into the file, now or after mprotect(2),
 * unless seals of the file forbid it: they take VM_MAYWRITE alone away.
 *
 * Reference: mmap(2), ERRORS; memfd_create(2), seals; swapon(2).
 */
#include <mmkit/mman.h>

#include <mmkit/errno.h>
#include <mmkit/shmem.h>

#include "cache/filemap.h"
#include "space/space.h"

/* Is there a file that long? */
static bool file_size_ok(const struct inode *inode, u64 pgoff, u64 len)
{
	u64 most = MAX_LFS_FILESIZE;

	if (S_ISREG(inode->i_mode))
		most = min(most, inode->i_sb->s_maxbytes);
	return len <= most && pgoff <= (most - len) >> PAGE_SHIFT;
}

/* Flags of a shared mapping that every file knows. Old callers may have set
 * others by accident; with SHARED_VALIDATE they are refused. */
#define FILE_MAP_FLAGS                                                       \
	(MAP_TYPE_BITS | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE |         \
	 MAP_EXECUTABLE | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE |       \
	 MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | MAP_32BIT | \
	 MAP_HUGE_BITS)
#define MAP_TYPE_BITS (MAP_SHARED | MAP_PRIVATE)
#define MAP_HUGE_BITS (31 << 26) /* the page size that MAP_HUGETLB asks for */

static int shared_flags(const struct mm_mmap *r, u64 *vm_flags)
{
	const struct file *file = r->file;

	if ((r->flags & MAP_TYPE) == MAP_SHARED_VALIDATE &&
	    (r->flags & ~FILE_MAP_FLAGS))
		return -EOPNOTSUPP;
	if (r->prot & PROT_WRITE) {
		if (!(file->f_mode & FMODE_WRITE))
			return -EACCES;
		if (file->f_inode->i_flags & S_SWAPFILE)
			return -ETXTBSY;
	}
	if ((file->f_inode->i_flags & S_APPEND) && (file->f_mode & FMODE_WRITE))
		return -EACCES;
	*vm_flags |= VM_SHARED | VM_MAYSHARE;
	if (!(file->f_mode & FMODE_WRITE))
		*vm_flags &= ~(VM_SHARED | VM_MAYWRITE);
	return 0;
}

/* Something that could be read into the cache, or that maps by itself. */
static bool can_mmap(const struct file *file)
{
	if (file->f_op && file->f_op->mmap)
		return true;
	return (S_ISREG(file->f_inode->i_mode) ||
		S_ISBLK(file->f_inode->i_mode)) &&
	       file->f_mapping->a_ops->readpage;
}

/* What seals say about a shared mapping; before anything is replaced. */
static int sealed_flags(const struct mm_mmap *r, u64 *vm_flags)
{
	struct inode *inode = r->file->f_inode;
	bool keep = false;
	int err;

	if (!(*vm_flags & VM_SHARED) || !shmem_is_inode(inode))
		return 0;
	err = shmem_mmap_seals(inode, (*vm_flags & VM_WRITE) != 0, &keep);
	if (keep)
		*vm_flags &= ~VM_MAYWRITE;
	return err;
}

int mmap_file_flags(const struct mm_mmap *r, u64 *vm_flags)
{
	const struct file *file = r->file;
	int err = 0;

	if (!file_size_ok(file->f_inode, r->pgoff, PAGE_ALIGN(r->len)))
		return -EOVERFLOW;
	switch (r->flags & MAP_TYPE) {
	case MAP_SHARED:
	case MAP_SHARED_VALIDATE:
		err = shared_flags(r, vm_flags);
		break;
	case MAP_PRIVATE:
		break;
	default:
		err = -EINVAL;
	}
	if (err)
		return err;
	if (!(file->f_mode & FMODE_READ))
		return -EACCES;
	if (file->f_inode->i_sb->s_iflags & SB_I_NOEXEC) {
		if (r->prot & PROT_EXEC)
			return -EPERM;
		*vm_flags &= ~VM_MAYEXEC;
	}
	if (!can_mmap(file))
		return -ENODEV;
	if (*vm_flags & VM_GROWSDOWN)
		return -EINVAL;
	return sealed_flags(r, vm_flags);
}

static int call_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (file->f_op && file->f_op->mmap)
		return file->f_op->mmap(file, vma);
	return generic_file_mmap(file, vma);
}

int mmap_file_attach(struct vm_area_struct *vma, struct file *file)
{
	struct address_space *mapping = file->f_mapping;
	bool shared = vma_writes_file(vma->vm_flags);
	int err;

	/* Held over the provider's call: nobody seals the file meanwhile. */
	if (shared && mapping_map_writable(mapping))
		return -EPERM;
	vma->vm_file = get_file(file);
	err = call_mmap(file, vma);
	if (err) {
		fput(file);
		vma->vm_file = NULL;
		vma->vm_ops = NULL;
		vma->vm_private_data = NULL;
	} else {
		vma->vm_page_prot = vm_get_page_prot(vma->vm_flags);
		vma_file_link(vma);
	}
	if (shared)
		mapping_unmap_writable(mapping);
	return err;
}
