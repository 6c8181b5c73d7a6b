/* SPDX-License-Identifier: MIT */
/*
 * init.c - files at boot: caches, kinds, an empty root, /dev as a devtmpfs;
 * and the end of all of it, for tests.
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/epoch.h"
#include "base/printk.h"
#include "cache/filemap.h"
#include "fs.h"

static int caches_init(void)
{
	fs_sys.names_cache =
		kmem_cache_create("names_cache", PATH_MAX, 0, 0, NULL);
	fs_sys.files_cache =
		kmem_cache_create("files_cache", sizeof(struct files_struct), 0,
				  SLAB_ACCOUNT, NULL);
	fs_sys.fs_cache = kmem_cache_create(
		"fs_cache", sizeof(struct fs_struct), 0, SLAB_ACCOUNT, NULL);
	if (!fs_sys.names_cache || !fs_sys.files_cache || !fs_sys.fs_cache)
		return -ENOMEM;
	return locks_init();
}

static int names_init(void)
{
	int err = vfs_mkdir(AT_FDCWD, "/dev", 0755);

	if (!err)
		err = dev_init();
	if (!err)
		err = vfs_mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	if (!err)
		err = devpts_init();
	return err ? err : mem_dev_init();
}

int vfs_init(void)
{
	int err;

	mm_verify(!fs_sys.up);
	fs_sys.up = true;
	fs_sys.anon_sb = (struct super_block){.s_dev = vfs_anon_dev(),
					      .s_id = "anon",
					      .s_maxbytes = MAX_LFS_FILESIZE};
	notify_init();
	kmsg_init();
	err = caches_init();
	if (!err)
		err = dcache_init();
	if (!err)
		err = tmpfs_init();
	if (!err)
		err = mounts_init();
	file_set_put_hook(file_last_put);
	if (!err)
		err = names_init();
	if (err)
		pr_err("VFS: no files: error %d\n", err);
	return err;
}

static void cache_gone(struct kmem_cache **cache)
{
	if (*cache)
		mm_verify(kmem_cache_destroy(*cache) == 0);
	*cache = NULL;
}

void vfs_shutdown(void)
{
	if (!fs_sys.up)
		return;
	kmsg_exit();
	mounts_shutdown();
	dev_shutdown();
	devpts_shutdown();
	file_set_put_hook(NULL);
	dcache_shutdown();
	tmpfs_shutdown();
	cache_gone(&fs_sys.names_cache);
	cache_gone(&fs_sys.files_cache);
	cache_gone(&fs_sys.fs_cache);
	cache_gone(&fs_sys.lock_cache);
	epoch_drain();
	fs_sys = (struct fs_state){0};
}
