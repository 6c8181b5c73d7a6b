/* SPDX-License-Identifier: MIT */
/*
 * super.c - the second extended file system: mounting, the superblock, sync.
 *
 * 1. Purpose. The file system that Debian's mke2fs, debugfs and e2fsck know,
 *    read and written: a root for programs that survives the machine.
 *
 * 2. Structure. buf.c has all blocks that are not contents, balloc.c and
 *    ialloc.c what is free, map.c where a file's blocks are, inode.c inodes in
 *    memory, data.c contents in the page cache, dir.c names in a directory,
 *    namei.c what the kernel's names (kernel/fs) ask.
 *
 * 3. Order on the disk. There is no journal; after a crash e2fsck repairs. So
 *    that it finds all that had been synced:
 *    - fsync writes contents first, then all that is not contents, so an inode
 *      that is on the disk after fsync has its blocks there too; names lead
 *      to it, since directories are part of the second step;
 *    - rename writes the new name before the old one goes (namei.c): a file
 *      that had a name has one at any moment;
 *    - the superblock says "not clean" from the first moment that something
 *      may be written until all is written (unmount).
 *    What was changed and not synced may be lost, in any order. Blocks of
 *    files that nobody changed are not written at all.
 *
 * 4. Damage. Each number that was read is checked before it is used. What is
 *    wrong gives -EIO to who asked, a message with where and what, and the
 *    mark for e2fsck in the superblock; errors=remount-ro stops writing.
 *
 * 5. Versions. Revisions 0 and 1, blocks of 1, 2 and 4 KiB. Compatible
 *    features are left alone; of the incompatible ones only filetype is known;
 *    others are refused by name. An unknown read-only feature makes the mount
 *    read-only.
 *
 * 6. Locking. vnode.lock, i_rwsem, invalidate_lock, page lock of contents,
 *    map_sem, alloc, page lock of what is not contents. docs/LOCKING.md.
 *
 * 7. Failure. Nothing that is half done stays: what was allocated for a name
 *    that could not be entered is given back.
 *
 * References: D. Poirier, "The Second Extended File System"; Linux
 * documentation, filesystems/ext2; mke2fs(8), e2fsck(8), ext2(5), mount(8).
 */
#include <mmkit/flatfile.h>
#include <mmkit/slab.h>

#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "ext2/ext2.h"
#include "ext2/ext2_state.h"
#include "task.h"

struct ext2_state ext2_sys;

#define EXT2_SUPER_TYPE 0xef53

static const struct vfs_sb_ops ext2_sb_ops;

int ext2_error(struct ext2_fs *fs, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	(void)mm_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pr_err("ext2: %s: %s\n", fs->name, text);
	WRITE_ONCE(fs->had_error, true);
	if (fs->errors == EXT2_ERRORS_RO && !ext2_readonly(fs)) {
		__atomic_fetch_or(&fs->vsb.flags, MS_RDONLY, __ATOMIC_RELAXED);
		pr_err("ext2: %s: read-only from now on\n", fs->name);
	}
	return -EIO;
}

/* ---- the superblock --------------------------------------------------------
 */

/* Where the superblock is in the cache. */
static int super_get(struct ext2_fs *fs, struct ext2_buf *b,
		     struct ext2_super **raw)
{
	struct page *page = read_mapping_page(fs->meta->i_mapping, 0, NULL);

	if (IS_ERR(page))
		return (int)PTR_ERR(page);
	b->page = page;
	b->data = page_view(page);
	b->block = 0;
	*raw = (void *)((char *)b->data + EXT2_SB_OFFSET);
	return 0;
}

/* STATE goes to the superblock, with the counters; on the disk when this
 * returns. */
static int super_write(struct ext2_fs *fs, u16 state, bool mounted)
{
	struct ext2_super *raw = NULL;
	struct ext2_buf b;
	int err = super_get(fs, &b, &raw);

	if (err)
		return err;
	mutex_lock(&fs->alloc);
	ext2_block(&b);
	raw->state = state;
	raw->free_blocks_count = (u32)fs->free_blocks;
	raw->free_inodes_count = (u32)fs->free_inodes;
	raw->wtime = (u32)vfs_now().sec;
	if (mounted) {
		raw->mtime = raw->wtime;
		raw->mnt_count++;
	}
	fs->super_dirty = false;
	ext2_bdirty_unlock(&b);
	mutex_unlock(&fs->alloc);
	ext2_bput(&b);
	if (!err)
		err = ext2_bsync(fs, 0);
	return err;
}

void ext2_need_large_file(struct ext2_fs *fs)
{
	struct ext2_super *raw = NULL;
	struct ext2_buf b;

	if (READ_ONCE(fs->large_file) || super_get(fs, &b, &raw))
		return;
	ext2_block(&b);
	raw->feature_ro_compat |= EXT2_RO_LARGE_FILE;
	ext2_bdirty_unlock(&b);
	ext2_bput(&b);
	WRITE_ONCE(fs->large_file, true);
}

/* Counters of the groups that changed, into the cache. */
static int groups_store(struct ext2_fs *fs)
{
	u32 per = fs->block_size / sizeof(struct ext2_group_desc);
	int err = 0;

	mutex_lock(&fs->alloc);
	for (u32 i = 0; i < fs->nr_groups && !err; i++) {
		struct ext2_group *g = &fs->groups[i];
		struct ext2_group_desc *d;
		struct ext2_buf b;

		if (!g->dirty)
			continue;
		err = ext2_bread(fs, fs->first_block + 1 + i / per, &b);
		if (err)
			break;
		ext2_block(&b);
		d = (struct ext2_group_desc *)b.data + i % per;
		d->free_blocks_count = (u16)g->free_blocks;
		d->free_inodes_count = (u16)g->free_inodes;
		d->used_dirs_count = (u16)g->dirs;
		g->dirty = false;
		ext2_bdirty_unlock(&b);
		ext2_bput(&b);
	}
	mutex_unlock(&fs->alloc);
	return err;
}

int ext2_sync_meta(struct ext2_fs *fs, bool counts)
{
	int err = counts ? groups_store(fs) : 0, err2;

	err2 = filemap_write_and_wait_range(fs->meta->i_mapping, 0, INT64_MAX);
	if (!err)
		err = err2;
	if (counts && READ_ONCE(fs->super_dirty)) {
		err2 = super_write(fs, fs->had_error ? EXT2_ERROR_FS : 0,
				   false);
		if (!err)
			err = err2;
	}
	/* Data was waited for by the caller: nothing is kept back now. */
	err2 = bdev_flush(fs->bdev);
	return err ? err : err2;
}

/* ---- checking what is mounted ----------------------------------------------
 */

static int refuse(const struct ext2_fs *fs, const char *what)
{
	pr_err("ext2: %s: not mounted: %s\n", fs->name, what);
	return -EINVAL;
}

static const char *const incompat_names[] = {
	"compression",
	"filetype",
	"needs_recovery",
	"journal_dev",
	"meta_bg",
	"bit 5",
	"extents",
	"64bit",
	"mmp",
	"flex_bg",
	"ea_inode",
	"bit 11",
	"dirdata",
	"metadata_csum_seed",
	"large_dir",
	"inline_data",
	"encrypt",
	"casefold",
};

static int check_features(struct ext2_fs *fs, const struct ext2_super *s)
{
	u32 unknown = s->feature_incompat & ~EXT2_INCOMPAT_KNOWN;

	if (!fs->rev1)
		return 0;
	for (u32 i = 0; i < 32; i++) {
		if (!(unknown >> i & 1))
			continue;
		pr_err("ext2: %s: not mounted: unknown feature %s\n", fs->name,
		       i < ARRAY_SIZE(incompat_names) ? incompat_names[i]
						      : "(no name)");
	}
	if (unknown)
		return -EINVAL;
	unknown = s->feature_ro_compat & ~EXT2_RO_KNOWN;
	if (unknown) {
		pr_warn("ext2: %s: read-only: unknown features 0x%x\n",
			fs->name, unknown);
		fs->ro_forced = true;
	}
	return 0;
}

static int check_geometry(struct ext2_fs *fs, const struct ext2_super *s)
{
	u32 bits = fs->block_size * 8;

	if (s->blocks_count <= fs->first_block ||
	    s->blocks_count > port_bdev_size(fs->bdev) >> fs->block_bits)
		return refuse(fs, "more blocks than the disk has");
	if (fs->first_block != (fs->block_size == 1024))
		return refuse(fs, "bad first block");
	if (!fs->blocks_per_group || fs->blocks_per_group > bits ||
	    fs->blocks_per_group % 8)
		return refuse(fs, "bad number of blocks per group");
	if (fs->inode_size < EXT2_OLD_INODE_SIZE ||
	    fs->inode_size > fs->block_size ||
	    (fs->inode_size & (fs->inode_size - 1)))
		return refuse(fs, "bad size of inodes");
	if (!fs->inodes_per_group || fs->inodes_per_group > bits ||
	    fs->inodes_per_group % 8)
		return refuse(fs, "bad number of inodes per group");
	if (s->log_frag_size != s->log_block_size)
		return refuse(fs, "fragments");
	fs->nr_groups = DIV_ROUND_UP(fs->blocks - fs->first_block,
				     fs->blocks_per_group);
	if ((u64)fs->nr_groups * fs->inodes_per_group != s->inodes_count)
		return refuse(fs, "number of inodes and groups disagree");
	if (fs->first_ino < EXT2_GOOD_OLD_FIRST_INO ||
	    fs->first_ino > fs->inodes_per_group)
		return refuse(fs, "bad first inode");
	if (s->free_blocks_count > s->blocks_count ||
	    s->free_inodes_count > s->inodes_count)
		return refuse(fs, "more is free than there is");
	return 0;
}

static int super_take(struct ext2_fs *fs, const struct ext2_super *s)
{
	int err;

	if (s->magic != EXT2_MAGIC)
		return -EINVAL; /* some other file system */
	if (s->log_block_size > 2)
		return refuse(fs, "blocks larger than 4096 bytes");
	fs->rev1 = s->rev_level >= 1;
	fs->block_bits = 10 + s->log_block_size;
	fs->block_size = 1u << fs->block_bits;
	fs->addr_bits = fs->block_bits - 2;
	fs->blocks = s->blocks_count;
	fs->inodes = s->inodes_count;
	fs->first_block = s->first_data_block;
	fs->blocks_per_group = s->blocks_per_group;
	fs->inodes_per_group = s->inodes_per_group;
	fs->inode_size = fs->rev1 ? s->inode_size : EXT2_OLD_INODE_SIZE;
	fs->first_ino = fs->rev1 ? s->first_ino : EXT2_GOOD_OLD_FIRST_INO;
	fs->reserved_blocks = s->r_blocks_count;
	fs->resuid = s->def_resuid;
	fs->resgid = s->def_resgid;
	fs->errors = s->errors;
	fs->state_at_mount = s->state;
	err = check_features(fs, s);
	if (err)
		return err;
	if (fs->rev1) {
		fs->has_filetype = s->feature_incompat & EXT2_INCOMPAT_FILETYPE;
		fs->sparse = s->feature_ro_compat & EXT2_RO_SPARSE_SUPER;
		fs->large_file = s->feature_ro_compat & EXT2_RO_LARGE_FILE;
		fs->reserved_gdt = s->reserved_gdt_blocks;
	}
	return check_geometry(fs, s);
}

static bool in_group(const struct ext2_fs *fs, u32 block, u32 nr)
{
	return block >= fs->first_block && block < fs->blocks &&
	       nr <= fs->blocks - block;
}

static int group_take(struct ext2_fs *fs, u32 i,
		      const struct ext2_group_desc *d)
{
	u32 table = DIV_ROUND_UP(fs->inodes_per_group * fs->inode_size,
				 fs->block_size);

	if (!in_group(fs, d->block_bitmap, 1) ||
	    !in_group(fs, d->inode_bitmap, 1) ||
	    !in_group(fs, d->inode_table, table) ||
	    d->free_blocks_count > fs->blocks_per_group ||
	    d->free_inodes_count > fs->inodes_per_group ||
	    d->used_dirs_count > fs->inodes_per_group) {
		pr_err("ext2: %s: not mounted: descriptor of group %u is "
		       "damaged\n",
		       fs->name, i);
		return -EIO;
	}
	fs->groups[i] = (struct ext2_group){
		.block_bitmap = d->block_bitmap,
		.inode_bitmap = d->inode_bitmap,
		.inode_table = d->inode_table,
		.free_blocks = d->free_blocks_count,
		.free_inodes = d->free_inodes_count,
		.dirs = d->used_dirs_count,
	};
	/* The sums are ours: the superblock's may be old. */
	fs->free_blocks += d->free_blocks_count;
	fs->free_inodes += d->free_inodes_count;
	fs->dirs += d->used_dirs_count;
	return 0;
}

static int groups_load(struct ext2_fs *fs)
{
	u32 per = fs->block_size / sizeof(struct ext2_group_desc);
	int err = 0;

	fs->desc_blocks = DIV_ROUND_UP(fs->nr_groups, per);
	fs->groups = kvcalloc(fs->nr_groups, sizeof(*fs->groups), GFP_KERNEL);
	if (!fs->groups)
		return -ENOMEM;
	for (u32 i = 0; i < fs->nr_groups && !err; i++) {
		struct ext2_buf b;

		err = ext2_bread(fs, fs->first_block + 1 + i / per, &b);
		if (err)
			break;
		err = group_take(fs, i,
				 (struct ext2_group_desc *)b.data + i % per);
		ext2_bput(&b);
	}
	return err;
}

static int super_load(struct ext2_fs *fs)
{
	struct ext2_super *raw = NULL;
	struct ext2_buf b;
	int err;

	if (port_bdev_size(fs->bdev) < EXT2_SB_OFFSET + sizeof(*raw))
		return -EINVAL;
	err = super_get(fs, &b, &raw);
	if (err)
		return err;
	err = super_take(fs, raw);
	ext2_bput(&b);
	return err ? err : groups_load(fs);
}

/* ---- mounting --------------------------------------------------------------
 */

/* The number that the disk's name has (kernel/main.c): 16 to a disk. */
static u32 disk_number(const struct port_bdev *bdev)
{
	struct port_bdev *at;

	for (u32 i = 0; (at = machine_bdev(i)); i++)
		if (at == bdev)
			return MKDEV(254u, i * 16);
	return vfs_anon_dev();
}

static int meta_open(struct ext2_fs *fs)
{
	int err;

	fs->sb.s_id = fs->name;
	fs->sb.s_dev = disk_number(fs->bdev);
	fs->sb.s_maxbytes = MAX_LFS_FILESIZE;
	err = flatfile_new(&fs->sb, fs->bdev, 0, S_IFBLK | 0600, &fs->meta);
	if (err)
		return err;
	/* Views of these pages are kept while sleeping; and reading one is part
	 * of writing others. */
	fs->meta->i_mapping->gfp_mask = GFP_NOFS;
	init_rwsem(&fs->meta->i_mapping->invalidate_lock, LOCK_CLASS_EXT2_META);
	return 0;
}

static struct ext2_fs *ext2_fs_new(struct port_bdev *bdev, u32 flags)
{
	struct ext2_fs *fs = kzalloc(sizeof(*fs), GFP_KERNEL);

	if (!fs)
		return NULL;
	fs->bdev = bdev;
	(void)mm_strscpy(fs->name, port_bdev_name(bdev), sizeof(fs->name));
	fs->vsb.type = "ext2";
	fs->vsb.sb = &fs->sb;
	fs->vsb.flags = flags;
	fs->vsb.ops = &ext2_sb_ops;
	mutex_init(&fs->alloc, LOCK_CLASS_EXT2_ALLOC);
	spin_lock_init(&fs->icache, LOCK_CLASS_EXT2_ICACHE);
	init_waitqueue_head(&fs->icache_wait);
	for (u32 i = 0; i < EXT2_HASH; i++)
		INIT_HLIST_HEAD(&fs->hash[i]);
	fs->next_generation = (u32)port_entropy();
	return fs;
}

static void ext2_fs_free(struct ext2_fs *fs)
{
	if (fs->meta)
		iput(fs->meta);
	kvfree(fs->groups);
	kfree(fs);
}

static int root_open(struct ext2_fs *fs)
{
	struct ext2_inode *root;
	int err = ext2_iget(fs, EXT2_ROOT_INO, &root);

	if (err)
		return err;
	if (!S_ISDIR(root->vnode.mode)) {
		vnode_put(&root->vnode);
		return ext2_error(fs, "the root is no directory");
	}
	fs->vsb.root = &root->vnode;
	return 0;
}

/* From now on something may be written. */
static int begin_writing(struct ext2_fs *fs)
{
	if (!(fs->state_at_mount & EXT2_VALID_FS))
		pr_warn("ext2: %s: was not unmounted, e2fsck is advised\n",
			fs->name);
	else if (fs->state_at_mount & EXT2_ERROR_FS)
		pr_warn("ext2: %s: has errors, e2fsck is advised\n", fs->name);
	return super_write(fs, fs->state_at_mount & (u16)~EXT2_VALID_FS, true);
}

/* All is written; the disk says so if it was clean before. */
static int end_writing(struct ext2_fs *fs)
{
	int err = ext2_sync_meta(fs, true);
	u16 state = fs->state_at_mount;

	if (fs->had_error)
		state |= EXT2_ERROR_FS;
	if (err || fs->had_error)
		state &= (u16)~EXT2_VALID_FS;
	return err ? err : super_write(fs, state, false);
}

static int ext2_mount(const char *dev, u32 flags, const char *data,
		      struct vfs_sb **out)
{
	struct port_bdev *bdev;
	struct ext2_fs *fs;
	int err = blkdev_by_path(dev, &bdev);

	(void)data;
	if (err)
		return err;
	fs = ext2_fs_new(bdev, flags);
	if (!fs)
		return -ENOMEM;
	err = meta_open(fs);
	if (!err)
		err = super_load(fs);
	if (!err && fs->ro_forced)
		fs->vsb.flags |= MS_RDONLY;
	if (!err)
		err = root_open(fs);
	if (!err && !ext2_readonly(fs)) {
		err = begin_writing(fs);
		if (err)
			vnode_put(fs->vsb.root);
	}
	if (err) {
		ext2_fs_free(fs);
		return err;
	}
	fs->sb.s_maxbytes = ext2_max_size(fs);
	*out = &fs->vsb;
	return 0;
}

static void ext2_unmount(struct vfs_sb *vsb)
{
	struct ext2_fs *fs = ext2_fs_of(vsb);

	if (!ext2_readonly(fs) && end_writing(fs))
		pr_err("ext2: %s: could not be written at unmount\n", fs->name);
	mm_verify(fs->nr_inodes == 0);
	ext2_fs_free(fs);
}

/* ---- sync, statfs, remount -------------------------------------------------
 */

/* Inodes that wait to be stored. One at a time, held. */
static struct ext2_inode *next_due(struct ext2_fs *fs)
{
	struct ext2_inode *ei, *found = NULL;

	spin_lock(&fs->icache);
	for (u32 i = 0; i < EXT2_HASH && !found; i++)
		hlist_for_each_entry(ei, &fs->hash[i],
				     hash_entry) if (!ei->loading &&
						     READ_ONCE(ei->store_due) &&
						     vnode_tryget(&ei->vnode))
		{
			found = ei;
			break;
		}
	spin_unlock(&fs->icache);
	return found;
}

static int ext2_sync(struct vfs_sb *vsb)
{
	struct ext2_fs *fs = ext2_fs_of(vsb);
	struct ext2_inode *ei;
	int err = 0, err2;

	if (ext2_readonly(fs))
		return 0;
	sync_inodes(&fs->sb);
	while (!err && (ei = next_due(fs))) {
		err = ext2_istore(ei);
		vnode_put(&ei->vnode);
	}
	err2 = ext2_sync_meta(fs, true);
	return err ? err : err2;
}

static void ext2_statfs(struct vfs_sb *vsb, struct vfs_statfs *out)
{
	struct ext2_fs *fs = ext2_fs_of(vsb);
	u64 per_group = DIV_ROUND_UP(fs->inodes_per_group * fs->inode_size,
				     fs->block_size) +
			2;
	u64 overhead = fs->first_block + fs->nr_groups * per_group;

	for (u32 i = 0; i < fs->nr_groups; i++)
		if (ext2_group_has_super(fs, i))
			overhead += 1 + fs->desc_blocks + fs->reserved_gdt;
	mutex_lock(&fs->alloc);
	*out = (struct vfs_statfs){
		.type = EXT2_SUPER_TYPE,
		.bsize = fs->block_size,
		.blocks = fs->blocks - overhead,
		.bfree = fs->free_blocks,
		.bavail = fs->free_blocks > fs->reserved_blocks
				  ? fs->free_blocks - fs->reserved_blocks
				  : 0,
		.files = fs->inodes,
		.ffree = fs->free_inodes,
		.namelen = EXT2_NAME_LEN,
	};
	mutex_unlock(&fs->alloc);
}

static int ext2_remount(struct vfs_sb *vsb, u32 flags, const char *data)
{
	struct ext2_fs *fs = ext2_fs_of(vsb);
	bool was_ro = ext2_readonly(fs), ro = flags & MS_RDONLY;
	int err = 0;

	(void)data;
	if (was_ro && !ro) {
		if (fs->ro_forced ||
		    (fs->had_error && fs->errors == EXT2_ERRORS_RO))
			return -EROFS;
		err = begin_writing(fs);
	} else if (!was_ro && ro) {
		err = ext2_sync(vsb);
		if (!err)
			err = end_writing(fs);
	}
	if (!err)
		WRITE_ONCE(vsb->flags,
			   (vsb->flags & ~MS_RDONLY) | (ro ? MS_RDONLY : 0));
	return err;
}

static void ext2_show(struct vfs_sb *vsb, struct seq_buf *out)
{
	if (ext2_fs_of(vsb)->errors == EXT2_ERRORS_RO)
		seq_puts(out, ",errors=remount-ro");
}

static const struct vfs_sb_ops ext2_sb_ops = {
	.statfs = ext2_statfs,
	.sync = ext2_sync,
	.remount = ext2_remount,
	.unmount = ext2_unmount,
	.show = ext2_show,
};

static struct vfs_fstype ext2_type = {
	.name = "ext2",
	.needs_dev = true,
	.mount = ext2_mount,
};

int ext2_init(void)
{
	int err = ext2_icache_init();

	if (!err)
		vfs_register_fs(&ext2_type);
	return err;
}

void ext2_exit(void)
{
	ext2_icache_exit();
}
