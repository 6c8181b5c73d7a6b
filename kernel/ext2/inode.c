/* SPDX-License-Identifier: MIT */
/*
 * inode.c - inodes between the disk and memory.
 *
 * 1. Purpose. An inode in memory is a vnode (names, owner, times), an inode
 *    (contents in the page cache) and what ext2 keeps, in one piece. There is
 *    at most one of a number: a hash finds it.
 *
 * 2. Life. ext2_iget() enters a place-holder into the hash, reads the disk and
 *    then lets others have it; they wait meanwhile. The last vnode_put() calls
 *    ext2_evict(): contents and inode go to the cache of the disk, or, without
 *    names, are given up; then it leaves the hash. Who looks it up meanwhile
 *    waits until it is gone and reads it anew.
 *
 * 3. Storing. Changes of names and attributes are stored at once into the
 *    block's page, which the flusher writes; those of sizes and pointers after
 *    each write, and access times when it is evicted or synced (store_due).
 *
 * 4. Invariants.
 *    EI-1  Of a number there is one ext2_inode in the hash; its bytes of the
 *          table are changed by it only, under the page lock.
 *    EI-2  An inode that is not in the hash has no dirty page.
 *
 * 5. Failure. An inode that makes no sense is not made: -EIO, and a message.
 *
 * References: D. Poirier, "The Second Extended File System"; Linux
 * documentation, filesystems/ext4 (extra times).
 */
#include <mmkit/slab.h>

#include "base/atomic.h"
#include "base/string.h"
#include "ext2/ext2.h"
#include "ext2/ext2_state.h"
#include "stat.h"
#include "task.h"

int ext2_icache_init(void)
{
	ext2_sys.inode_cache =
		kmem_cache_create("ext2_inode_cache", sizeof(struct ext2_inode),
				  0, SLAB_ACCOUNT | SLAB_RECLAIM_ACCOUNT, NULL);
	return ext2_sys.inode_cache ? 0 : -ENOMEM;
}

void ext2_icache_exit(void)
{
	mm_verify(kmem_cache_destroy(ext2_sys.inode_cache) == 0);
	ext2_sys.inode_cache = NULL;
}

void ext2_free_inode(struct ext2_inode *ei)
{
	kmem_cache_free(ext2_sys.inode_cache, ei);
}

bool ext2_is_fast_link(const struct ext2_inode *ei)
{
	u32 acl = ei->file_acl ? ei->fs->block_size / 512 : 0;

	return S_ISLNK(ei->vnode.mode) && ei->blocks512 == acl;
}

/* ---- the disk's form -------------------------------------------------------
 */

/* Inode INO's block, and where it is in it. */
static int inode_block(struct ext2_fs *fs, u32 ino, struct ext2_buf *b,
		       struct ext2_disk_inode **raw)
{
	u32 group = (ino - 1) / fs->inodes_per_group;
	u32 off = (ino - 1) % fs->inodes_per_group * fs->inode_size;
	int err = ext2_bread(
		fs, fs->groups[group].inode_table + (off >> fs->block_bits), b);

	if (err)
		return err;
	*raw = (void *)((char *)b->data + (off & (fs->block_size - 1)));
	return 0;
}

/* 34 bits of seconds, 30 of nanoseconds; old inodes have 32 signed bits. */
static struct vfs_time get_time(u32 sec, u32 extra, bool wide)
{
	struct vfs_time t = {.sec = (s32)sec};

	if (wide) {
		t.sec += (s64)(extra & 3) << 32;
		t.nsec = extra >> 2;
		if (t.nsec > 999999999)
			t.nsec = 0;
	}
	return t;
}

static u32 put_time(const struct vfs_time *t, u32 *extra)
{
	u64 epoch = (u64)(t->sec - (s32)t->sec) >> 32 & 3;

	*extra = (u32)epoch | t->nsec << 2;
	return (u32)t->sec;
}

static void load_times(struct ext2_inode *ei, const struct ext2_disk_inode *raw)
{
	struct vnode *v = &ei->vnode;
	bool wide = ei->fs->inode_size > EXT2_OLD_INODE_SIZE &&
		    raw->extra_isize >= EXT2_EXTRA_TIMES_END;

	ei->wide_times = wide;
	v->atime = get_time(raw->atime, wide ? raw->atime_extra : 0, wide);
	v->mtime = get_time(raw->mtime, wide ? raw->mtime_extra : 0, wide);
	v->ctime = get_time(raw->ctime, wide ? raw->ctime_extra : 0, wide);
	if (wide && raw->extra_isize >= 24)
		ei->btime = get_time(raw->crtime, raw->crtime_extra, true);
	ei->stored_atime = v->atime;
}

/* Does RAW make sense? What does not, or NULL. */
static const char *inode_fault(const struct ext2_fs *fs,
			       const struct ext2_disk_inode *raw, u64 size)
{
	u32 fmt = raw->mode & S_IFMT;

	if (!raw->links_count)
		return "is in use and has no links";
	if (fmt != S_IFREG && fmt != S_IFDIR && fmt != S_IFLNK &&
	    fmt != S_IFCHR && fmt != S_IFBLK && fmt != S_IFIFO &&
	    fmt != S_IFSOCK)
		return "is of no known kind";
	if (fmt == S_IFDIR && (!size || size & (fs->block_size - 1)))
		return "is a directory of parts of blocks";
	if (fmt == S_IFLNK &&
	    (!size || size >= PATH_MAX || size > fs->block_size))
		return "is a link of impossible length";
	if (size > ext2_max_size(fs))
		return "is larger than any file";
	return NULL;
}

static u32 get_rdev(const u32 *block)
{
	/* Old numbers are 16 bits in the first word, others in the second. */
	return block[0] ? MKDEV(block[0] >> 8 & 0xff, block[0] & 0xff)
			: block[1];
}

static void put_rdev(u32 rdev, u32 *block)
{
	u32 major = rdev >> 8 & 0xfff,
	    minor = (rdev & 0xff) | (rdev >> 12 & 0xfff00);

	if (major < 256 && minor < 256)
		block[0] = major << 8 | minor;
	else
		block[1] = rdev;
}

static u64 raw_size(const struct ext2_fs *fs, const struct ext2_disk_inode *raw)
{
	u64 size = raw->size;

	if (fs->rev1 && (raw->mode & S_IFMT) == S_IFREG)
		size |= (u64)raw->size_high << 32;
	return size;
}

/* EI, zeroed but for its number, becomes what RAW says. */
static void inode_take(struct ext2_inode *ei, const struct ext2_disk_inode *raw)
{
	struct vnode *v = &ei->vnode;
	u32 fmt = raw->mode & S_IFMT;

	v->uid = raw->uid | (u32)raw->uid_high << 16;
	v->gid = raw->gid | (u32)raw->gid_high << 16;
	v->nlink = raw->links_count;
	ei->inode.i_nlink = raw->links_count;
	ei->inode.i_size = raw_size(ei->fs, raw);
	ei->blocks512 = raw->blocks;
	ei->flags = raw->flags;
	ei->file_acl = raw->file_acl;
	ei->generation = raw->generation;
	mm_memcpy(ei->block, raw->block, sizeof(ei->block));
	if (fmt == S_IFCHR || fmt == S_IFBLK)
		v->rdev = get_rdev(raw->block);
	if (ei->flags & EXT2_APPEND_FL)
		ei->inode.i_flags |= S_APPEND;
	load_times(ei, raw);
}

/* The vnode's part of RAW. */
static void put_vnode(const struct ext2_inode *ei, struct ext2_disk_inode *raw)
{
	const struct vnode *v = &ei->vnode;
	u32 at, mt, ct;

	raw->mode = (u16)v->mode;
	raw->uid = (u16)v->uid;
	raw->uid_high = (u16)(v->uid >> 16);
	raw->gid = (u16)v->gid;
	raw->gid_high = (u16)(v->gid >> 16);
	raw->links_count = (u16)v->nlink;
	raw->atime = put_time(&v->atime, &at);
	raw->mtime = put_time(&v->mtime, &mt);
	raw->ctime = put_time(&v->ctime, &ct);
	if (!ei->wide_times)
		return;
	raw->atime_extra = at;
	raw->mtime_extra = mt;
	raw->ctime_extra = ct;
}

static void put_btime(const struct ext2_inode *ei, struct ext2_disk_inode *raw)
{
	u32 extra;

	mm_memset((char *)raw + EXT2_OLD_INODE_SIZE, 0,
		  ei->fs->inode_size - EXT2_OLD_INODE_SIZE);
	raw->extra_isize = EXT2_EXTRA_ISIZE;
	raw->crtime = put_time(&ei->btime, &extra);
	raw->crtime_extra = extra;
}

static void put_raw(struct ext2_inode *ei, struct ext2_disk_inode *raw,
		    bool fresh)
{
	u64 size = i_size_read(&ei->inode);

	if (fresh) {
		mm_memset(raw, 0, EXT2_OLD_INODE_SIZE);
		if (ei->wide_times)
			put_btime(ei, raw);
	}
	put_vnode(ei, raw);
	raw->size = (u32)size;
	if (S_ISREG(ei->vnode.mode))
		raw->size_high = (u32)(size >> 32);
	raw->blocks = ei->blocks512;
	raw->flags = ei->flags;
	raw->file_acl = ei->file_acl;
	raw->generation = ei->generation;
	raw->dtime = ei->dtime;
	mm_memcpy(raw->block, ei->block, sizeof(ei->block));
}

static int store(struct ext2_inode *ei, bool fresh)
{
	struct ext2_disk_inode *raw = NULL;
	struct ext2_buf b;
	int err = inode_block(ei->fs, ei->ino, &b, &raw);

	if (err)
		return err;
	if (ei->inode.i_size > INT32_MAX)
		ext2_need_large_file(ei->fs);
	ext2_block(&b);
	WRITE_ONCE(ei->store_due, false);
	ei->stored_atime = ei->vnode.atime;
	put_raw(ei, raw, fresh);
	ext2_bdirty_unlock(&b);
	ext2_bput(&b);
	return 0;
}

int ext2_istore_locked(struct ext2_inode *ei)
{
	return store(ei, false);
}

int ext2_istore(struct ext2_inode *ei)
{
	int err;

	down_read(&ei->map_sem);
	err = store(ei, false);
	up_read(&ei->map_sem);
	return err;
}

/* ---- the hash --------------------------------------------------------------
 */

static struct hlist_head *bucket(struct ext2_fs *fs, u32 ino)
{
	return &fs->hash[ino % EXT2_HASH];
}

static struct ext2_inode *hash_find(struct ext2_fs *fs, u32 ino)
{
	struct ext2_inode *ei;

	hlist_for_each_entry(ei, bucket(fs, ino),
			     hash_entry) if (ei->ino == ino) return ei;
	return NULL;
}

/* Enter EI unless its number is there; what is there, or NULL. */
static struct ext2_inode *hash_enter(struct ext2_fs *fs, struct ext2_inode *ei)
{
	struct ext2_inode *old;

	spin_lock(&fs->icache);
	old = hash_find(fs, ei->ino);
	if (!old) {
		hlist_add_head(&ei->hash_entry, bucket(fs, ei->ino));
		fs->nr_inodes++;
	}
	spin_unlock(&fs->icache);
	return old;
}

static void hash_leave(struct ext2_inode *ei)
{
	struct ext2_fs *fs = ei->fs;

	spin_lock(&fs->icache);
	hlist_del_init(&ei->hash_entry);
	fs->nr_inodes--;
	spin_unlock(&fs->icache);
	wake_up_all(&fs->icache_wait);
}

/*
 * Inode INO as it is in memory, into *OUT with a reference, or NULL: there is
 * none. False: it is on its way in or out.
 */
static bool hash_get(struct ext2_fs *fs, u32 ino, struct ext2_inode **out)
{
	struct ext2_inode *ei;
	bool settled = true;

	spin_lock(&fs->icache);
	ei = hash_find(fs, ino);
	if (ei)
		settled = !ei->loading && vnode_tryget(&ei->vnode);
	*out = settled ? ei : NULL;
	spin_unlock(&fs->icache);
	return settled;
}

/* ---- in --------------------------------------------------------------------
 */

static struct ext2_inode *ei_new(struct ext2_fs *fs, u32 ino)
{
	struct ext2_inode *ei =
		kmem_cache_alloc(ext2_sys.inode_cache, GFP_NOFS | __GFP_ZERO);

	if (!ei)
		return NULL;
	ei->fs = fs;
	ei->ino = ino;
	ei->group = (ino - 1) / fs->inodes_per_group;
	ei->loading = true;
	INIT_HLIST_NODE(&ei->hash_entry);
	init_rwsem(&ei->map_sem, LOCK_CLASS_EXT2_MAP);
	return ei;
}

static void ei_drop(struct ext2_inode *ei)
{
	hash_leave(ei);
	kmem_cache_free(ext2_sys.inode_cache, ei);
}

/* EI is complete but for the two objects in it: MODE is known. */
static void ei_begin(struct ext2_inode *ei, u32 mode)
{
	bool dir = S_ISDIR(mode);

	inode_init(&ei->inode, &ei->fs->sb, mode, &ext2_aops,
		   dir ? &ext2_dir_fops : &ext2_fops);
	ei->inode.i_op = &ext2_iops;
	ei->inode.i_ino = ei->ino;
	vnode_init(&ei->vnode, &ei->fs->vsb, &ei->inode, &ext2_vnode_ops,
		   ei->ino, mode);
	ei->inode.i_vnode = &ei->vnode;
}

/* EI may be had. */
static void ei_ready(struct ext2_inode *ei)
{
	struct ext2_fs *fs = ei->fs;

	spin_lock(&fs->icache);
	ei->loading = false;
	spin_unlock(&fs->icache);
	wake_up_all(&fs->icache_wait);
}

static int ei_load(struct ext2_inode *ei)
{
	struct ext2_fs *fs = ei->fs;
	struct ext2_disk_inode *raw = NULL;
	const char *fault;
	struct ext2_buf b;
	int err = inode_block(fs, ei->ino, &b, &raw);

	if (err)
		return err;
	fault = inode_fault(fs, raw, raw_size(fs, raw));
	if (fault) {
		err = ext2_error(fs, "inode %u %s", ei->ino, fault);
	} else {
		ei_begin(ei, raw->mode);
		inode_take(ei, raw);
	}
	ext2_bput(&b);
	return err;
}

int ext2_iget(struct ext2_fs *fs, u32 ino, struct ext2_inode **out)
{
	struct ext2_inode *ei, *old;
	int err;

	if (ino < 1 || ino > fs->inodes ||
	    (ino < fs->first_ino && ino != EXT2_ROOT_INO))
		return ext2_error(fs, "a name leads to inode %u", ino);
	for (;;) {
		wait_event(fs->icache_wait, hash_get(fs, ino, out));
		if (*out)
			return 0;
		ei = ei_new(fs, ino);
		if (!ei)
			return -ENOMEM;
		old = hash_enter(fs, ei);
		if (!old)
			break;
		kmem_cache_free(ext2_sys.inode_cache, ei);
	}
	err = ei_load(ei);
	if (err) {
		ei_drop(ei);
		return err;
	}
	ei_ready(ei);
	*out = ei;
	return 0;
}

/* Whose a new object is; a directory may hand down its group. */
static void set_owner(struct ext2_inode *ei, const struct ext2_inode *dir)
{
	const struct task *t = current;
	struct vnode *v = &ei->vnode;

	v->uid = t ? t->cred.fsuid : 0;
	v->gid = t ? t->cred.fsgid : 0;
	if (dir->vnode.mode & 02000) {
		v->gid = dir->vnode.gid;
		if (S_ISDIR(v->mode))
			v->mode |= 02000;
	}
}

static void inode_fill(struct ext2_inode *ei, const struct ext2_inode *dir,
		       u32 rdev)
{
	struct ext2_fs *fs = ei->fs;
	struct vnode *v = &ei->vnode;
	u32 fmt = v->mode & S_IFMT;

	set_owner(ei, dir);
	ei->inode.i_mode = v->mode;
	v->atime = v->mtime = v->ctime = ei->btime = vfs_now();
	ei->wide_times =
		fs->inode_size >= EXT2_OLD_INODE_SIZE + EXT2_EXTRA_ISIZE;
	ei->generation =
		__atomic_add_fetch(&fs->next_generation, 1, __ATOMIC_RELAXED);
	if (fmt == S_IFCHR || fmt == S_IFBLK) {
		v->rdev = rdev;
		put_rdev(rdev, ei->block);
	}
	/* What a directory says to its children: not these two. */
	ei->flags = dir->flags &
		    ~(EXT2_INDEX_FL | EXT2_IMMUTABLE_FL | EXT2_APPEND_FL);
}

int ext2_inew(struct ext2_inode *dir, u32 mode, u32 rdev,
	      struct ext2_inode **out)
{
	struct ext2_fs *fs = dir->fs;
	struct ext2_inode *ei, *old;
	u32 ino;
	int err = ext2_alloc_ino(dir, mode, &ino);

	if (err)
		return err;
	ei = ei_new(fs, ino);
	if (!ei) {
		ext2_free_ino(fs, ino, S_ISDIR(mode));
		return -ENOMEM;
	}
	/* Its last life may just be ending. */
	for (;;) {
		wait_event(fs->icache_wait, hash_get(fs, ino, &old));
		if (old) {
			/* In use and free at once: leave it to e2fsck. */
			vnode_put(&old->vnode);
			kmem_cache_free(ext2_sys.inode_cache, ei);
			return ext2_error(fs, "inode %u is free and in use",
					  ino);
		}
		if (!hash_enter(fs, ei))
			break;
	}
	ei_begin(ei, mode);
	inode_fill(ei, dir, rdev);
	ei->vnode.nlink = ei->inode.i_nlink = 1;
	err = store(ei, true);
	ei_ready(ei);
	if (err) {
		ei->vnode.nlink = ei->inode.i_nlink = 0;
		vnode_put(&ei->vnode);
		return err;
	}
	*out = ei;
	return 0;
}

/* ---- out -------------------------------------------------------------------
 */

/* The block of extended attributes, which several inodes may share. */
static void drop_xattr(struct ext2_inode *ei)
{
	struct ext2_fs *fs = ei->fs;
	struct ext2_xattr_head *head;
	struct ext2_buf b;
	bool last;

	if (!ei->file_acl)
		return;
	if (!ext2_block_ok(fs, ei->file_acl)) {
		(void)ext2_error(fs, "inode %u: attribute block %u", ei->ino,
				 ei->file_acl);
		return;
	}
	if (ext2_bread(fs, ei->file_acl, &b))
		return;
	ext2_block(&b);
	head = b.data;
	last = head->magic != EXT2_XATTR_MAGIC || head->refcount <= 1;
	if (!last)
		head->refcount--;
	ext2_bdirty_unlock(&b);
	ext2_bput(&b);
	if (last)
		ext2_free_blocks(fs, ei->file_acl, 1, true);
	ei->file_acl = 0;
}

/* No name is left: contents and inode are free. */
static void delete (struct ext2_inode *ei)
{
	bool dir = S_ISDIR(ei->vnode.mode);

	filemap_invalidate_lock(&ei->inode.i_data);
	truncate_inode_pages_final(&ei->inode.i_data);
	if (!ext2_is_fast_link(ei) &&
	    (S_ISREG(ei->vnode.mode) || dir || S_ISLNK(ei->vnode.mode)))
		(void)ext2_shrink(ei, 0);
	filemap_invalidate_unlock(&ei->inode.i_data);
	drop_xattr(ei);
	i_size_write(&ei->inode, 0);
	ei->blocks512 = 0;
	ei->dtime = max((u32)vfs_now().sec, 1u);
	/* If this cannot be stored the number stays taken. */
	if (ext2_istore(ei) == 0)
		ext2_free_ino(ei->fs, ei->ino, dir);
}

static bool times_differ(const struct vfs_time *a, const struct vfs_time *b)
{
	return a->sec != b->sec || a->nsec != b->nsec;
}

void ext2_evict(struct vnode *v)
{
	struct ext2_inode *ei = ext2_of(v);
	struct ext2_fs *fs = ei->fs;

	if (!v->nlink && !ext2_readonly(fs)) {
		delete (ei);
	} else {
		(void)filemap_write_and_wait_range(&ei->inode.i_data, 0,
						   INT64_MAX);
		if (!ext2_readonly(fs) &&
		    (READ_ONCE(ei->store_due) ||
		     times_differ(&v->atime, &ei->stored_atime)))
			(void)ext2_istore(ei);
	}
	hash_leave(ei);
	iput(&ei->inode);
}
