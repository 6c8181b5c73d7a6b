/* SPDX-License-Identifier: MIT */
/*
 * vma_file.c - mappings that belong to a file.
 *
 * 1. Purpose. A file must find all its mappings: to take pages out of them
 *    when it is truncated, to clean entries before a page is written, to find
 *    the entries of a page that reclaim wants.
 *
 * 2. Structure. Each address_space has an interval tree (i_mmap) of the VMAs
 *    that map it, by page number of the file. vm_pgoff of such a VMA is the
 *    file's, for private mappings too: a private copy of page N lies where
 *    page N would, and its anon_vma counts with the same numbers.
 *
 * 3. Invariants.
 *    VF-1  A VMA with a file holds one reference to it, and is in the tree of
 *          file->f_mapping from before its first entry until after its last.
 *    VF-2  i_mmap_writable counts the VMAs of the tree that are VM_SHARED and
 *          VM_MAYWRITE: those that write or may be made to. Who forbids writing
 * (seals) finds none, or is refused. VF-3  Two VMAs of one space may cover the
 * same page for a moment (split, merge), so walks may visit an entry twice;
 * none is left out.
 *
 * 4. Locking. i_mmap_rwsem for writing to change the tree, or bounds of a VMA
 *    in it. Taken after the mmap lock and before the anon_vma's.
 *
 * 5. Failure. None: nothing is allocated.
 *
 * References: D. McCracken, "Object-based reverse mapping" (Ottawa Linux
 * Symposium, 2004); memfd_create(2) for seals; Linux documentation,
 * filesystems/locking.
 */
#include "base/interval_tree.h"
#include "cache/filemap.h"
#include "space/space.h"

static inline u64 first_page(struct vm_area_struct *vma)
{
	return vma->vm_pgoff;
}

static inline u64 last_page(struct vm_area_struct *vma)
{
	return vma->vm_pgoff + vma_pages(vma) - 1;
}

INTERVAL_TREE_DEFINE(struct vm_area_struct, shared_rb, u64, shared_subtree_last,
		     first_page, last_page, static inline, file_tree);

struct vm_area_struct *vma_file_first(struct address_space *mapping, u64 first,
				      u64 last)
{
	return file_tree_iter_first(&mapping->i_mmap, first, last);
}

struct vm_area_struct *vma_file_next(struct vm_area_struct *vma, u64 first,
				     u64 last)
{
	return file_tree_iter_next(vma, first, last);
}

void vma_file_link(struct vm_area_struct *vma)
{
	struct address_space *mapping;

	if (!vma->vm_file)
		return;
	mapping = vma->vm_file->f_mapping;
	/* Never refused: the caller, or the VMA that this copies, counts. */
	if (vma_writes_file(vma->vm_flags) && mapping_map_writable(mapping))
		mm_bug("a writable mapping of a sealed file appears");
	down_write(&mapping->i_mmap_rwsem);
	file_tree_insert(vma, &mapping->i_mmap);
	up_write(&mapping->i_mmap_rwsem);
}

void vma_file_unlink(struct vm_area_struct *vma)
{
	struct address_space *mapping;

	if (!vma->vm_file)
		return;
	mapping = vma->vm_file->f_mapping;
	down_write(&mapping->i_mmap_rwsem);
	file_tree_remove(vma, &mapping->i_mmap);
	up_write(&mapping->i_mmap_rwsem);
	if (vma_writes_file(vma->vm_flags))
		mapping_unmap_writable(mapping);
}

void vma_file_resize_begin(struct vm_area_struct *vma)
{
	struct address_space *mapping;

	if (!vma->vm_file)
		return;
	mapping = vma->vm_file->f_mapping;
	down_write(&mapping->i_mmap_rwsem);
	file_tree_remove(vma, &mapping->i_mmap);
}

void vma_file_resize_end(struct vm_area_struct *vma)
{
	struct address_space *mapping;

	if (!vma->vm_file)
		return;
	mapping = vma->vm_file->f_mapping;
	file_tree_insert(vma, &mapping->i_mmap);
	up_write(&mapping->i_mmap_rwsem);
}

void vma_open(struct vm_area_struct *vma)
{
	if (vma->vm_ops && vma->vm_ops->open)
		vma->vm_ops->open(vma);
}

void vma_close(struct vm_area_struct *vma)
{
	if (vma->vm_ops && vma->vm_ops->close)
		vma->vm_ops->close(vma);
}

void vma_file_check(struct vm_area_struct *vma)
{
	struct address_space *mapping;
	struct vm_area_struct *v;

	if (!vma->vm_file) {
		mm_verify(!(vma->vm_flags & (VM_SHARED | VM_MAYSHARE)));
		return;
	}
	mapping = vma->vm_file->f_mapping;
	mm_verify(READ_ONCE(vma->vm_file->f_count) > 0);
	mm_verify(!(vma->vm_flags & VM_SHARED) ||
		  (vma->vm_flags & VM_MAYSHARE));
	mm_verify(!vma_writes_file(vma->vm_flags) ||
		  mapping_writably_mapped(mapping));
	down_read(&mapping->i_mmap_rwsem);
	for (v = vma_file_first(mapping, vma->vm_pgoff, vma->vm_pgoff);
	     v && v != vma; v = vma_file_next(v, vma->vm_pgoff, vma->vm_pgoff))
		continue;
	mm_verify(v == vma);
	mm_verify(vma->shared_subtree_last >= last_page(vma));
	up_read(&mapping->i_mmap_rwsem);
}
