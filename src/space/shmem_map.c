/* SPDX-License-Identifier: MIT */
/*
 * shmem_map.c - mappings of files in memory and swap.
 *
 * A fault asks shmem for the page (src/cache/shmem.c), which finds it, reads
 * it from swap, or makes one of zeroes; the invalidate lock, held shared, keeps
 * holes from being punched meanwhile. Beyond the end of the file, and where the
 * mount or the commitment has no room, the access ends in SIGBUS.
 *
 * Where a userfaultfd is to be asked about missing pages holes are left as they
 * are; about minor faults, pages that were there.
 *
 * Entries are writable only in shared mappings, and need no asking: the pages
 * are dirty always. MAP_SHARED | MAP_ANONYMOUS is a mapping of a file that
 * nobody else can open, accounted for as a whole; so is a shared mapping of
 * /dev/zero, while a private one is anonymous memory with a file's name.
 *
 * References: mmap(2), memfd_create(2), fcntl(2) on seals, tmpfs(5).
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "cache/shmem.h"
#include "space/userfaultfd.h"

vm_fault_t shmem_fault(struct vm_fault *vmf)
{
	struct inode *inode = vmf->vma->vm_file->f_inode;
	bool missing = userfaultfd_missing(vmf->vma);
	struct shmem_get g = {.inode = inode,
			      .index = vmf->pgoff,
			      .sgp = missing ? SGP_READ : SGP_CACHE};
	int err;

	filemap_invalidate_lock_shared(inode->i_mapping);
	err = shmem_getpage(&g);
	filemap_invalidate_unlock_shared(inode->i_mapping);
	if (unlikely(err == -EHWPOISON))
		return VM_FAULT_HWPOISON;
	if (err)
		return err == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
	if (!g.page)
		return VM_FAULT_UFFD_MISSING;
	if (unlikely(userfaultfd_minor(vmf->vma)) && !g.made) {
		unlock_page(g.page);
		put_page(g.page);
		return VM_FAULT_UFFD_MINOR;
	}
	vmf->page = g.page;
	return VM_FAULT_LOCKED | (g.major ? VM_FAULT_MAJOR : 0);
}

static const struct vm_operations_struct shmem_vm_ops = {
	.fault = shmem_fault,
	.map_pages = filemap_map_pages,
};

/* Seals were asked before (mmap_file.c); they may have been added since.
 * Private copies are not the file's, and no seal minds them. */
static int shmem_map(struct file *file, struct vm_area_struct *vma)
{
	bool keep = false;
	int err = 0;

	if (vma->vm_flags & VM_MAYSHARE)
		err = shmem_mmap_seals(file->f_inode,
				       (vma->vm_flags & VM_WRITE) != 0, &keep);
	if (err)
		return err;
	if (keep)
		vma->vm_flags &= ~VM_MAYWRITE;
	vma->vm_ops = &shmem_vm_ops;
	return 0;
}

/* Memory of VMA's own, and as long. */
static struct file *zero_object(const struct vm_area_struct *vma)
{
	u32 flags = vma->vm_flags & VM_NORESERVE ? SHMEM_NORESERVE : 0;

	return shmem_file_setup("/dev/zero (deleted)",
				vma_pages(vma) << PAGE_SHIFT, flags);
}

int zero_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct file *object;

	vma->vm_ops = NULL;
	if (!(vma->vm_flags & VM_SHARED))
		return 0;
	object = zero_object(vma);
	if (IS_ERR(object))
		return (int)PTR_ERR(object);
	mm_assert(vma->vm_file == file);
	fput(file); /* the VMA's; the caller has one */
	vma->vm_file = object;
	vma->vm_ops = &shmem_vm_ops;
	return 0;
}

int shmem_zero_setup(struct vm_area_struct *vma)
{
	struct file *file = zero_object(vma);

	if (IS_ERR(file))
		return (int)PTR_ERR(file);
	vma->vm_file = file;
	vma->vm_pgoff = 0;
	vma->vm_ops = &shmem_vm_ops;
	vma_file_link(vma);
	return 0;
}

static int commit_shared(u64 pages)
{
	return vm_enough_memory(port_current()->mm, pages);
}

const struct shmem_ops space_shmem_ops = {
	.account = commit_shared,
	.unaccount = vm_unaccount,
	.mmap = shmem_map,
};
