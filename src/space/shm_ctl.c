/* SPDX-License-Identifier: MIT */
/*
 * shm_ctl.c - shmctl(2), /proc/sysvipc/shm, and the checker of namespaces.
 *
 * What user memory gets is gathered under the namespace's lock and copied after
 * it; what comes from there is read before.
 *
 * References: shmctl(2), proc_sysvipc(5).
 */
#include <mmkit/errno.h>
#include <mmkit/uaccess.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "cache/shmem.h"
#include "space/shm.h"

MM_STATIC_ASSERT(sizeof(struct mm_shmid_ds) == 112, "struct shmid_ds");
MM_STATIC_ASSERT(sizeof(struct mm_shminfo) == 72, "struct shminfo");
MM_STATIC_ASSERT(sizeof(struct mm_shm_info) == 48, "struct shm_info");

static s64 to_user(const struct shm_caller *c, uva_t to, const void *from,
		   u64 n)
{
	return copy_to_user(c->mm, to, from, n) ? -EFAULT : 0;
}

/* ---- looking ---------------------------------------------------------------
 */

static void stat_segment(const struct shm_segment *seg, struct mm_shmid_ds *out)
{
	mm_memset(out, 0, sizeof(*out));
	out->shm_perm.key = seg->key;
	out->shm_perm.uid = seg->uid;
	out->shm_perm.gid = seg->gid;
	out->shm_perm.cuid = seg->cuid;
	out->shm_perm.cgid = seg->cgid;
	out->shm_perm.mode = seg->mode;
	out->shm_perm.seq = (u16)((u32)seg->id / SHMMNI_MAX);
	out->shm_segsz = seg->size;
	out->shm_atime = seg->atime;
	out->shm_dtime = seg->dtime;
	out->shm_ctime = seg->ctime;
	out->shm_cpid = seg->cpid;
	out->shm_lpid = seg->lpid;
	out->shm_nattch = seg->nattch;
}

/* IPC_STAT by identifier; SHM_STAT and SHM_STAT_ANY by index. */
static s64 ctl_stat(const struct shm_caller *c, int id, int cmd, uva_t buf)
{
	struct shm_ns *ns = shm_ns_enter(c->ns);
	struct shm_segment *seg = NULL;
	struct mm_shmid_ds ds;
	s64 ret = 0;

	if (cmd == IPC_STAT)
		ret = shm_obtain(ns, id, &seg);
	else
		seg = shm_at(ns, (u32)id % SHMMNI_MAX);
	if (!ret && !seg)
		ret = -EINVAL;
	if (!ret && cmd != SHM_STAT_ANY && !shm_permits(seg, c, 0444))
		ret = -EACCES;
	if (!ret) {
		stat_segment(seg, &ds);
		ret = cmd == IPC_STAT ? 0 : seg->id;
	}
	mutex_unlock(&ns->lock);
	if (ret >= 0 && to_user(c, buf, &ds, sizeof(ds)))
		return -EFAULT;
	return ret;
}

static s64 ctl_limits(const struct shm_caller *c, uva_t buf)
{
	struct shm_ns *ns = shm_ns_enter(c->ns);
	struct mm_shminfo info = {.shmmin = SHMMIN};
	s64 highest = max(ns->max_used, 0);

	info.shmmax = READ_ONCE(ns->limit->shmmax);
	info.shmmni = info.shmseg = READ_ONCE(ns->limit->shmmni);
	info.shmall = READ_ONCE(ns->limit->shmall);
	mutex_unlock(&ns->lock);
	return to_user(c, buf, &info, sizeof(info)) ? -EFAULT : highest;
}

static s64 ctl_usage(const struct shm_caller *c, uva_t buf)
{
	struct shm_ns *ns = shm_ns_enter(c->ns);
	struct mm_shm_info info = {.used_ids = (s32)ns->in_use,
				   .shm_tot = ns->tot};
	s64 highest = max(ns->max_used, 0);

	for (u32 idx = 0; (s32)idx <= ns->max_used; idx++) {
		struct shm_segment *seg = shm_at(ns, idx);
		u64 resident, swapped;

		if (!seg)
			continue;
		shmem_usage(seg->inode, &resident, &swapped);
		info.shm_rss += resident;
		info.shm_swp += swapped;
	}
	mutex_unlock(&ns->lock);
	return to_user(c, buf, &info, sizeof(info)) ? -EFAULT : highest;
}

/* ---- changing --------------------------------------------------------------
 */

static bool owns(const struct shm_segment *seg, const struct shm_caller *c)
{
	return c->uid == seg->uid || c->uid == seg->cuid;
}

/* ID's segment, for who owns it. */
static int obtain_owned(struct shm_ns *ns, const struct shm_caller *c, int id,
			struct shm_segment **out)
{
	int err = shm_obtain(ns, id, out);

	if (!err && !owns(*out, c) && !mm_capable(MM_CAP_SYS_ADMIN))
		err = -EPERM;
	return err;
}

static s64 ctl_set(const struct shm_caller *c, int id, uva_t buf)
{
	struct shm_segment *seg;
	struct mm_shmid_ds ds;
	struct shm_ns *ns;
	s64 ret;

	if (copy_from_user(c->mm, &ds, buf, sizeof(ds)))
		return -EFAULT;
	ns = shm_ns_enter(c->ns);
	ret = obtain_owned(ns, c, id, &seg);
	if (!ret && (ds.shm_perm.uid == ~0u || ds.shm_perm.gid == ~0u))
		ret = -EINVAL;
	if (!ret) {
		seg->uid = ds.shm_perm.uid;
		seg->gid = ds.shm_perm.gid;
		seg->mode = (seg->mode & ~SHM_MODE_BITS) |
			    (ds.shm_perm.mode & SHM_MODE_BITS);
		seg->ctime = shm_now();
	}
	mutex_unlock(&ns->lock);
	return ret;
}

static s64 ctl_remove(const struct shm_caller *c, int id)
{
	struct shm_ns *ns = shm_ns_enter(c->ns);
	struct shm_segment *seg;
	s64 ret = obtain_owned(ns, c, id, &seg);
	bool dead = !ret && seg->nattch == 0;

	if (dead) {
		shm_unlist(seg);
	} else if (!ret) {
		seg->mode |= SHM_DEST;
		shm_make_private(seg);
	}
	mutex_unlock(&ns->lock);
	if (dead)
		shm_release(seg);
	return ret;
}

/* Pages that user UID keeps in RAM by SHM_LOCK. */
static u64 locked_by(struct shm_ns *ns, u32 uid)
{
	u64 pages = 0;

	for (u32 idx = 0; (s32)idx <= ns->max_used; idx++) {
		struct shm_segment *seg = shm_at(ns, idx);

		if (seg && (seg->mode & SHM_LOCKED) && seg->mlock_uid == uid)
			pages += shm_pages(seg);
	}
	return pages;
}

static int lock_segment(struct shm_segment *seg, const struct shm_caller *c)
{
	u64 limit = READ_ONCE(c->mm->rlimit_memlock);

	if (seg->mode & SHM_LOCKED)
		return 0;
	if (!mm_capable(MM_CAP_IPC_LOCK) && limit != ~0UL &&
	    locked_by(seg->ns, c->uid) + shm_pages(seg) > limit >> PAGE_SHIFT)
		return -ENOMEM;
	seg->mode |= SHM_LOCKED;
	seg->mlock_uid = c->uid;
	shmem_lock(seg->inode, true);
	return 0;
}

static s64 ctl_lock(const struct shm_caller *c, int id, bool lock)
{
	struct shm_ns *ns = shm_ns_enter(c->ns);
	struct shm_segment *seg;
	s64 ret = shm_obtain(ns, id, &seg);

	if (!ret && !mm_capable(MM_CAP_IPC_LOCK) &&
	    (!owns(seg, c) || (lock && !READ_ONCE(c->mm->rlimit_memlock))))
		ret = -EPERM;
	if (!ret && lock) {
		ret = lock_segment(seg, c);
	} else if (!ret && (seg->mode & SHM_LOCKED)) {
		seg->mode &= ~(u32)SHM_LOCKED;
		shmem_lock(seg->inode, false);
	}
	mutex_unlock(&ns->lock);
	return ret;
}

s64 do_shmctl(const struct shm_caller *c, int id, int cmd, uva_t buf)
{
	if (cmd < 0 || id < 0)
		return -EINVAL;
	switch (cmd) {
	case IPC_INFO:
		return ctl_limits(c, buf);
	case SHM_INFO:
		return ctl_usage(c, buf);
	case IPC_STAT:
	case SHM_STAT:
	case SHM_STAT_ANY:
		return ctl_stat(c, id, cmd, buf);
	case IPC_SET:
		return ctl_set(c, id, buf);
	case IPC_RMID:
		return ctl_remove(c, id);
	case SHM_LOCK:
	case SHM_UNLOCK:
		return ctl_lock(c, id, cmd == SHM_LOCK);
	default:
		return -EINVAL;
	}
}

/* ---- /proc/sysvipc/shm -----------------------------------------------------
 */

static void show_segment(const struct shm_segment *seg, struct seq_buf *out)
{
	u64 resident, swapped;

	shmem_usage(seg->inode, &resident, &swapped);
	seq_printf(out, "%10d %10d  %4o %21llu %5d %5d  %5llu %5u %5u %5u %5u ",
		   seg->key, seg->id, seg->mode, (unsigned long long)seg->size,
		   seg->cpid, seg->lpid, (unsigned long long)seg->nattch,
		   seg->uid, seg->gid, seg->cuid, seg->cgid);
	seq_printf(out, "%10lld %10lld %10lld %21llu %21llu\n",
		   (long long)seg->atime, (long long)seg->dtime,
		   (long long)seg->ctime,
		   (unsigned long long)resident << PAGE_SHIFT,
		   (unsigned long long)swapped << PAGE_SHIFT);
}

void shm_show(struct shm_ns *ns, struct seq_buf *out)
{
	seq_puts(out, "       key      shmid perms                  size  cpid"
		      "  lpid nattch   uid   gid  cuid  cgid      atime"
		      "      dtime      ctime                   rss"
		      "                  swap\n");
	/* Before the first space there is none. */
	if (!ns && !space_sys.shm)
		return;
	ns = shm_ns_enter(ns);
	for (u32 idx = 0; (s32)idx <= ns->max_used; idx++)
		if (shm_at(ns, idx))
			show_segment(shm_at(ns, idx), out);
	mutex_unlock(&ns->lock);
}

/* ---- check -----------------------------------------------------------------
 */

static void check_segment(struct shm_ns *ns, struct shm_segment *seg, u32 idx)
{
	struct shm_segment *s;
	u32 found = 0;

	mm_verify(seg->ns == ns && (u32)seg->id % SHMMNI_MAX == idx);
	mm_verify(READ_ONCE(seg->inode->i_count) > 0);
	mm_verify(i_size_read(seg->inode) == seg->size);
	mm_verify(!(seg->mode & SHM_DEST) ||
		  (seg->nattch && seg->key == IPC_PRIVATE));
	mm_verify(!(seg->mode & SHM_LOCKED) ==
		  !mapping_flag(seg->inode->i_mapping, AS_UNEVICTABLE));
	for (u32 b = 0; b < SHM_HASH; b++)
		list_for_each_entry (s, &ns->hash[b], hash) {
			found += s == seg;
			mm_verify(s == seg || s->key != seg->key);
		}
	mm_verify(found == (seg->key != IPC_PRIVATE));
}

void shm_check(struct shm_ns *ns)
{
	u64 tot = 0;
	u32 n = 0;

	ns = shm_ns_enter(ns);
	for (u32 idx = 0; idx < SHMMNI_MAX; idx++) {
		struct shm_segment *seg = shm_at(ns, idx);

		if (!seg)
			continue;
		mm_verify((s32)idx <= ns->max_used);
		check_segment(ns, seg, idx);
		tot += shm_pages(seg);
		n++;
	}
	mm_verify(n == ns->in_use && tot == ns->tot && ns->refs == n + 1);
	mm_verify(ns->max_used < 0 || shm_at(ns, (u32)ns->max_used));
	mutex_unlock(&ns->lock);
}
