/* SPDX-License-Identifier: MIT */
/*
 * shmem_inode.c - mounts and inodes of shmem: limits, sizes, seals.
 *
 * 1. Purpose. What tmpfs is without its directories, and files without names
 *    on an internal mount that nobody can reach.
 *
 * 2. Accounting. A file that is set up with a size (shared anonymous memory, a
 *    System V segment) is accounted for in the commitment as a whole, like a
 *    private mapping; tmpfs and memfd pay page by page. A mount with a limit
 *    refuses pages beyond it with ENOSPC; in a mapping that is SIGBUS.
 *
 * 3. Seals (fcntl(2)) are one-way promises about a file, read under i_rwsem by
 *    who changes it. F_SEAL_WRITE needs that no shared mapping may write:
 *    i_mmap_writable goes below zero then, for good, and pages that somebody
 *    holds for writing (a transfer under way) are waited for a while.
 *
 * 4. Invariants.
 *    SI-1  Seals are never taken away. With F_SEAL_SEAL none is added.
 *    SI-2  F_SEAL_WRITE set: i_mmap_writable < 0.
 *    SI-3  accounted = pages of i_size, rounded up, unless SHMEM_NORESERVE.
 *
 * 5. Failure. Inodes and room in the commitment are taken before anything is
 *    visible, and given back if the rest fails.
 *
 * References: tmpfs(5), memfd_create(2), fcntl(2) (file sealing), statfs(2),
 * truncate(2); Linux documentation, userspace-api/mfd_noexec.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "cache/swap.h"
#include "phys/lru.h"

/* ---- mounts ----------------------------------------------------------------
 */

struct super_block *shmem_mount(const struct shmem_mount_options *o)
{
	struct shmem_sb_info *sbi = kzalloc(sizeof(*sbi), GFP_KERNEL);

	if (!sbi)
		return ERR_PTR(-ENOMEM);
	sbi->sb.s_dev = o->s_dev;
	sbi->sb.s_id = o->s_id;
	sbi->sb.s_maxbytes = MAX_LFS_FILESIZE;
	sbi->max_blocks = o->max_blocks;
	sbi->max_inodes = o->max_inodes;
	sbi->mpol = mpol_get(o->mpol);
	return &sbi->sb;
}

/* May the limit OLD of which USED is in use become NEW? */
static bool limit_ok(u64 old, u64 used, u64 new)
{
	return !old == !new && (!new || used <= new);
}

int shmem_remount(struct super_block *sb, const struct shmem_mount_options *o)
{
	struct shmem_sb_info *sbi = shmem_sbi(sb);

	if (!limit_ok(sbi->max_blocks, READ_ONCE(sbi->used_blocks),
		      o->max_blocks) ||
	    !limit_ok(sbi->max_inodes, READ_ONCE(sbi->used_inodes),
		      o->max_inodes))
		return -EINVAL;
	WRITE_ONCE(sbi->max_blocks, o->max_blocks);
	WRITE_ONCE(sbi->max_inodes, o->max_inodes);
	return 0;
}

int shmem_umount(struct super_block *sb)
{
	struct shmem_sb_info *sbi = shmem_sbi(sb);

	if (__atomic_load_n(&sbi->used_inodes, __ATOMIC_ACQUIRE))
		return -EBUSY;
	mm_verify(READ_ONCE(sbi->used_blocks) == 0);
	mpol_put(sbi->mpol);
	kfree(sbi);
	return 0;
}

void shmem_get_statfs(struct super_block *sb, struct shmem_statfs *out)
{
	struct shmem_sb_info *sbi = shmem_sbi(sb);
	u64 max = READ_ONCE(sbi->max_blocks),
	    inodes = READ_ONCE(sbi->max_inodes);
	u64 used = READ_ONCE(sbi->used_blocks);

	*out = (struct shmem_statfs){.f_type = TMPFS_MAGIC,
				     .f_bsize = PAGE_SIZE};
	if (max) {
		out->f_blocks = max;
		out->f_bfree = max - min(max, used);
	}
	used = READ_ONCE(sbi->used_inodes);
	if (inodes) {
		out->f_files = inodes;
		out->f_ffree = inodes - min(inodes, used);
	}
}

int shmem_init(void)
{
	static const struct shmem_mount_options internal = {.s_dev = 1,
							    .s_id = "tmpfs"};
	struct super_block *sb = shmem_mount(&internal);

	if (IS_ERR(sb))
		return -ENOMEM;
	cache_sys.shmem.kernel = shmem_sbi(sb);
	return 0;
}

/* ---- inodes ----------------------------------------------------------------
 */

static bool take_inode(struct shmem_sb_info *sbi)
{
	u64 used = READ_ONCE(sbi->used_inodes), max;

	do {
		max = READ_ONCE(sbi->max_inodes);
		if (max && used >= max)
			return false;
	} while (!__atomic_compare_exchange_n(&sbi->used_inodes, &used,
					      used + 1, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

static void give_inode(struct shmem_sb_info *sbi)
{
	u64 old = __atomic_fetch_sub(&sbi->used_inodes, 1, __ATOMIC_ACQ_REL);

	mm_verify(old > 0);
}

static u64 size_pages(u64 size)
{
	return (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

int shmem_reaccount(struct shmem_inode *si, u64 size)
{
	const struct shmem_ops *ops = cache_sys.shmem.ops;
	u64 pages = size_pages(size);

	if ((si->flags & SHMEM_NORESERVE) || !ops)
		return 0;
	if (pages > si->accounted && ops->account(pages - si->accounted))
		return -ENOMEM;
	if (pages < si->accounted)
		ops->unaccount(si->accounted - pages);
	si->accounted = pages;
	return 0;
}

/* The last reference is gone: pages and entries go. */
static void shmem_evict(struct inode *inode)
{
	mapping_set_flag(inode->i_mapping, AS_EXITING, true);
	shmem_drop_range(inode, 0, UINT32_MAX, false);
	shmem_policy_drop(inode);
	mm_verify(!shmem_reaccount(shmem_i(inode), 0));
}

static void shmem_release(struct inode *inode)
{
	struct shmem_sb_info *sbi = shmem_sbi(inode->i_sb);

	kfree(shmem_i(inode));
	give_inode(sbi);
}

static int shmem_setsize_op(struct inode *inode, u64 size);

static const struct inode_operations shmem_iops = {
	.evict = shmem_evict,
	.release = shmem_release,
	.setsize = shmem_setsize_op,
};

/* The mount's policy, if it has one, is that of all of SI. 0, -ENOMEM. */
static int first_policy(struct shmem_inode *si, struct mempolicy *pol)
{
	struct shared_change all = {0, ~0UL, pol, -1};
	struct shared_reserve reserve = {NULL};

	shmem_policy_init(&si->policy);
	if (!pol)
		return 0;
	if (shmem_policy_reserve(&reserve, 1))
		return -ENOMEM;
	shmem_policy_set(&si->inode, &all, &reserve);
	shmem_policy_unreserve(&reserve);
	return 0;
}

struct inode *shmem_inode_make(struct super_block *sb, u32 mode, u32 flags,
			       size_t len)
{
	struct shmem_sb_info *sbi = shmem_sbi(sb);
	struct shmem_inode *si;

	if (!take_inode(sbi))
		return ERR_PTR(-ENOSPC);
	si = kzalloc(sizeof(*si) + len, GFP_KERNEL);
	if (!si || first_policy(si, sbi->mpol)) {
		kfree(si);
		give_inode(sbi);
		return ERR_PTR(-ENOMEM);
	}
	si->flags = flags;
	si->seals = F_SEAL_SEAL;
	si->inode.i_ino =
		__atomic_add_fetch(&sbi->last_ino, 1, __ATOMIC_RELAXED);
	si->inode.i_op = &shmem_iops;
	mapping_set_flag(&si->inode.i_data, AS_NO_WRITEBACK, true);
	inode_init(&si->inode, sb, S_IFREG | (mode & 07777), &shmem_aops,
		   &shmem_fops);
	return &si->inode;
}

struct inode *shmem_inode_new(struct super_block *sb, u32 mode)
{
	return shmem_inode_make(sb, mode, SHMEM_NORESERVE, 0);
}

bool shmem_is_inode(const struct inode *inode)
{
	return inode->i_op == &shmem_iops;
}

void shmem_usage(struct inode *inode, u64 *resident, u64 *swapped)
{
	struct address_space *mapping = inode->i_mapping;
	unsigned long flags;

	mapping_lock(mapping, &flags);
	*resident = mapping->nrpages;
	*swapped = mapping->nrshadows;
	mapping_unlock(mapping, flags);
}

u64 shmem_inode_blocks(struct inode *inode)
{
	u64 resident, swapped;

	shmem_usage(inode, &resident, &swapped);
	return resident + swapped;
}

int shmem_setmode(struct inode *inode, u32 mode)
{
	int err = 0;

	down_write(&inode->i_rwsem);
	if ((shmem_i(inode)->seals & F_SEAL_EXEC) &&
	    ((mode ^ inode->i_mode) & 0111))
		err = -EPERM;
	else
		inode->i_mode = (inode->i_mode & S_IFMT) | (mode & 07777);
	up_write(&inode->i_rwsem);
	return err;
}

/* ---- sizes -----------------------------------------------------------------
 */

static void unmap_behind(struct inode *inode, u64 size)
{
	const struct mapping_ops *ops = cache_sys.fm.mapping_ops;

	if (ops)
		ops->unmap_mapping_range(inode->i_mapping, size_pages(size), 0,
					 true);
}

/* The end of the page that holds byte SIZE - 1, or SIZE on a border. */
static u64 page_end(u64 size)
{
	return size_pages(size) << PAGE_SHIFT;
}

/* I_rwsem and invalidate lock held for writing; seals have been asked. */
static int change_size(struct inode *inode, u64 size)
{
	struct shmem_inode *si = shmem_i(inode);
	u64 old = i_size_read(inode), cut = min(old, size);
	int err;

	/* What was stored behind the end must not come to light when the file
	 * grows, and what is cut off must not either. */
	err = size == old ? 0
			  : shmem_zero_range(inode, cut,
					     min(page_end(cut), page_end(old)));
	if (!err)
		err = shmem_reaccount(si, size);
	if (err)
		return err;
	i_size_write(inode, size);
	/* Of the same size: what fallocate() put behind the end goes. */
	if (size > old)
		return 0;
	/* Once before, for the many; once after for private copies that were
	 * made in between. */
	unmap_behind(inode, size);
	shmem_drop_range(inode, size_pages(size), UINT32_MAX, false);
	unmap_behind(inode, size);
	return 0;
}

static int setsize_checked(struct inode *inode, u64 size)
{
	u32 seals = shmem_i(inode)->seals;
	u64 old = i_size_read(inode);

	if (size > inode->i_sb->s_maxbytes)
		return -EFBIG;
	if (((seals & F_SEAL_SHRINK) && size < old) ||
	    ((seals & F_SEAL_GROW) && size > old))
		return -EPERM;
	return change_size(inode, size);
}

static int shmem_setsize_op(struct inode *inode, u64 size)
{
	return setsize_checked(inode, size);
}

int shmem_setsize_locked(struct inode *inode, u64 size)
{
	int err;

	filemap_invalidate_lock(inode->i_mapping);
	err = setsize_checked(inode, size);
	filemap_invalidate_unlock(inode->i_mapping);
	return err;
}

int shmem_truncate(struct inode *inode, u64 size)
{
	int err;

	down_write(&inode->i_rwsem);
	err = shmem_setsize_locked(inode, size);
	up_write(&inode->i_rwsem);
	return err;
}

/* ---- files without a name --------------------------------------------------
 */

/* INODE, whose one reference is ours, becomes a file, or goes. */
static struct file *inode_to_file(struct inode *inode, const char *path)
{
	struct file *file = file_open(inode, FMODE_READ | FMODE_WRITE, 0, path);

	inode->i_nlink = 0;
	iput(inode);
	return file ? file : ERR_PTR(-ENOMEM);
}

struct file *shmem_file_setup(const char *path, u64 size, u32 flags)
{
	struct inode *inode;

	if (size > MAX_LFS_FILESIZE)
		return ERR_PTR(-EINVAL);
	inode = shmem_inode_make(&cache_sys.shmem.kernel->sb, 0777, flags, 0);
	if (IS_ERR(inode))
		return (struct file *)inode;
	if (shmem_reaccount(shmem_i(inode), size)) {
		inode->i_nlink = 0;
		iput(inode);
		return ERR_PTR(-ENOMEM);
	}
	i_size_write(inode, size);
	return inode_to_file(inode, path);
}

struct inode *shmem_object(const char *path, u64 size, u32 flags)
{
	size_t len = mm_strlen(path) + 1;
	struct inode *inode;

	if (size > MAX_LFS_FILESIZE)
		return ERR_PTR(-EINVAL);
	inode = shmem_inode_make(&cache_sys.shmem.kernel->sb, 0777, flags, len);
	if (IS_ERR(inode))
		return inode;
	inode->i_nlink = 0;
	if (shmem_reaccount(shmem_i(inode), size)) {
		iput(inode);
		return ERR_PTR(-ENOMEM);
	}
	mm_memcpy(shmem_i(inode)->path, path, len);
	i_size_write(inode, size);
	return inode;
}

/* ---- memfd -----------------------------------------------------------------
 */

#define MFD_HUGE_SHIFT 26
#define MFD_HUGE_MASK  0x3fu

/* What FLAGS mean after vm.memfd_noexec has had its say: 0 or -errno. */
static int memfd_flags(u32 *flags)
{
	u32 noexec = READ_ONCE(cache_sys.shmem.memfd_noexec);
	u32 known =
		MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;

	if (*flags & MFD_HUGETLB)
		known |= MFD_HUGETLB | MFD_HUGE_MASK << MFD_HUGE_SHIFT;
	if ((*flags & ~known) || (*flags & (MFD_EXEC | MFD_NOEXEC_SEAL)) ==
					 (MFD_EXEC | MFD_NOEXEC_SEAL))
		return -EINVAL;
	if (!(*flags & (MFD_EXEC | MFD_NOEXEC_SEAL)))
		*flags |= noexec ? MFD_NOEXEC_SEAL : MFD_EXEC;
	if (noexec >= 2 && !(*flags & MFD_NOEXEC_SEAL))
		return -EACCES;
	return *flags & MFD_HUGETLB ? -ENOSYS : 0;
}

static size_t text_put(char *to, size_t at, const char *text)
{
	size_t n = mm_strlen(text);

	mm_memcpy(to + at, text, n + 1);
	return at + n;
}

#define MEMFD_BEFORE "/memfd:"
#define MEMFD_AFTER  " (deleted)"

struct file *memfd_create_file(const char *name, u32 flags)
{
	struct shmem_inode *si;
	struct inode *inode;
	int err = memfd_flags(&flags);
	size_t at;

	if (err == -EINVAL || mm_strlen(name) > MFD_NAME_MAX_LEN)
		return ERR_PTR(-EINVAL);
	if (err)
		return ERR_PTR(err);
	inode = shmem_inode_make(
		&cache_sys.shmem.kernel->sb, 0777, SHMEM_NORESERVE,
		mm_strlen(name) + sizeof(MEMFD_BEFORE) + sizeof(MEMFD_AFTER));
	if (IS_ERR(inode))
		return (struct file *)inode;
	si = shmem_i(inode);
	at = text_put(si->path, 0, MEMFD_BEFORE);
	at = text_put(si->path, at, name);
	text_put(si->path, at, MEMFD_AFTER);
	if (flags & MFD_NOEXEC_SEAL) {
		inode->i_mode &= ~0111u;
		si->seals = F_SEAL_EXEC;
	} else if (flags & MFD_ALLOW_SEALING) {
		si->seals = 0;
	}
	return inode_to_file(inode, si->path);
}

/* ---- seals -----------------------------------------------------------------
 */

/* Does anybody but array and page tables hold a page of INODE? */
static bool pages_held(struct address_space *mapping)
{
	unsigned long flags;
	bool held = false;
	void *entry;
	u64 index;

	mapping_lock(mapping, &flags);
	xa_for_each (&mapping->i_pages, index, entry) {
		struct page *page = entry;

		if (!xa_is_value(entry) &&
		    page_count(page) != page_mapcount(page) + 1)
			held = true;
	}
	mapping_unlock(mapping, flags);
	return held;
}

/* Holders come and go: reclaim, batches, reads; those that stay are transfers
 * into the page. 0; -EBUSY after 150 ms. */
static int wait_for_pins(struct address_space *mapping)
{
	u64 wait = 10UL * 1000 * 1000;

	for (int i = 0; i < 4; i++, wait *= 2) {
		lru_add_drain_all();
		if (!pages_held(mapping))
			return 0;
		(void)port_park(wait);
	}
	return pages_held(mapping) ? -EBUSY : 0;
}

/* Nobody may write through mappings from now on. 0, -EBUSY. */
static int seal_write(struct address_space *mapping)
{
	int err = mapping_deny_writable(mapping);

	if (err)
		return err;
	err = wait_for_pins(mapping);
	if (err)
		mapping_allow_writable(mapping);
	return err;
}

/* I_rwsem held for writing. */
static int add_seals_locked(struct shmem_inode *si, u32 seals)
{
	int err;

	if (si->seals & F_SEAL_SEAL)
		return -EPERM;
	/* A program that is not to change its x bits is not to change. */
	if ((seals & F_SEAL_EXEC) && (si->inode.i_mode & 0111))
		seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
			 F_SEAL_FUTURE_WRITE;
	if ((seals & F_SEAL_WRITE) && !(si->seals & F_SEAL_WRITE)) {
		err = seal_write(si->inode.i_mapping);
		if (err)
			return err;
	}
	WRITE_ONCE(si->seals, si->seals | seals);
	return 0;
}

int shmem_add_seals(struct file *file, u32 seals)
{
	struct inode *inode = file->f_inode;
	int err;

	if (!(file->f_mode & FMODE_WRITE))
		return -EPERM;
	if (!shmem_is_inode(inode) || (seals & ~MM_ALL_SEALS))
		return -EINVAL;
	down_write(&inode->i_rwsem);
	err = add_seals_locked(shmem_i(inode), seals);
	up_write(&inode->i_rwsem);
	return err;
}

int shmem_get_seals(struct file *file)
{
	if (!shmem_is_inode(file->f_inode))
		return -EINVAL;
	return (int)READ_ONCE(shmem_i(file->f_inode)->seals);
}

int shmem_mmap_seals(struct inode *inode, bool writable, bool *keep_readonly)
{
	*keep_readonly = false;
	if (!(READ_ONCE(shmem_i(inode)->seals) &
	      (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return 0;
	if (writable)
		return -EPERM;
	*keep_readonly = true;
	return 0;
}

/* ---- SHM_LOCK --------------------------------------------------------------
 */

void shmem_lock(struct inode *inode, bool lock)
{
	mapping_set_flag(inode->i_mapping, AS_UNEVICTABLE, lock);
}

/* ---- check -----------------------------------------------------------------
 */

/* Values of INODE name slots in use: SH-1. */
static u64 check_values(struct inode *inode)
{
	struct address_space *mapping = inode->i_mapping;
	unsigned long flags;
	u64 index, n;
	void *entry;

	mapping_lock(mapping, &flags);
	xa_for_each (&mapping->i_pages, index, entry) {
		if (!xa_is_value(entry)) {
			mm_verify(PageSwapBacked(entry));
			continue;
		}
		mm_verify(!shmem_value_slot(entry) ||
			  swap_count((swp_entry_t){xa_to_value(entry)}) == 1);
	}
	n = mapping->nrpages + mapping->nrshadows;
	mapping_unlock(mapping, flags);
	return n;
}

void shmem_check(void)
{
	struct filemap_state *fm = &cache_sys.fm;
	u64 kernel_blocks = 0, kernel_inodes = 0;
	struct inode *inode;

	spin_lock(&fm->inode_lock);
	list_for_each_entry (inode, &fm->inodes, i_sb_list) {
		struct shmem_sb_info *sbi;
		u64 n;

		if (!shmem_is_inode(inode))
			continue;
		n = check_values(inode);
		shmem_policy_check(inode);
		sbi = shmem_sbi(inode->i_sb);
		mm_verify(n <= READ_ONCE(sbi->used_blocks));
		if (shmem_i(inode)->seals & F_SEAL_WRITE)
			mm_verify(READ_ONCE(inode->i_mapping->i_mmap_writable) <
				  0);
		if (sbi == cache_sys.shmem.kernel) {
			kernel_blocks += n;
			kernel_inodes++;
		}
	}
	spin_unlock(&fm->inode_lock);
	mm_verify(kernel_blocks ==
		  READ_ONCE(cache_sys.shmem.kernel->used_blocks));
	mm_verify(kernel_inodes ==
		  READ_ONCE(cache_sys.shmem.kernel->used_inodes));
}
