/* SPDX-License-Identifier: MIT */
/*
 * shm.c - System V shared memory: segments, and their mappings.
 *
 * 1. Purpose. Memory with a number that unrelated processes find by a key, that
 *    outlives them, and whose mappings are counted.
 *
 * 2. Structures. A segment is a file in memory (src/cache/shmem.c) with an
 *    owner. A namespace has a table of them, by index, and a hash of keys. An
 *    identifier is an index and, times SHMMNI_MAX, a sequence number. Indexes
 *    are given out in a circle, and the number grows with each round: the
 *    identifier of one that is gone is told from its successor's. Each attach
 * opens the segment's inode: that file's private_data is the segment, its
 * mappings have shm_vm_ops.
 *
 * 3. Life. nattch counts mappings (a split makes two of one) and attaches under
 *    way. IPC_RMID takes the key away; the segment goes when nattch is 0, at
 *    once or with the last mapping. With rmid_forced the last mapping, or the
 *    creator's exit, is enough.
 *
 * 4. Invariants.
 *    SV-1  A segment is in its namespace's table while it lives; in the hash
 *          exactly if its key is not IPC_PRIVATE; a key is there once.
 *    SV-2  nattch = VMAs with its files + attaches under way; a segment with
 *          SHM_DEST (or, forced, any that was mapped) has some.
 *    SV-3  tot = pages of all segments; in_use = their number; max_used = the
 *          highest index of one.
 *
 * 5. Locking. One mutex for each namespace. Mappings open and close under the
 *    mmap lock, so it comes inside of that; user memory is not touched under
 *    it, and contents are freed after it.
 *
 * 6. Failure. A segment's memory is promised when it is made (or page by page,
 *    SHM_NORESERVE); what an attach made is taken back.
 *
 * 7. Rejected. The lowest free index, which makes small tables: programs that
 *    use an identifier too long would meet a stranger's segment sooner.
 *
 * References: shmget(2), shmop(2), shmctl(2), proc(5), proc_sysvipc(5);
 * POSIX.1-2008, XSI interprocess communication.
 */
#include "space/shm.h"

#include <mmkit/errno.h>
#include <mmkit/mman.h>
#include <mmkit/slab.h>

#include "base/printk.h"
#include "cache/shmem.h"
#include "space/fault.h"
#include "space/uffd_event.h"

/* ---- namespaces ------------------------------------------------------------
 */

static void ns_init(struct shm_ns *ns)
{
	mutex_init(&ns->lock, LOCK_CLASS_SHM);
	ns->refs = 1;
	ns->max_used = ns->last_idx = -1;
	ns->limit = &ns->own;
	ns->own = (struct shm_limits){SHM_LIMIT_BYTES, SHM_LIMIT_BYTES,
				      SHMMNI_DEFAULT, 0};
	for (u32 i = 0; i < SHM_HASH; i++)
		INIT_LIST_HEAD(&ns->hash[i]);
}

int shm_init(void)
{
	struct shm_ns *ns = shm_ns_create();

	if (!ns)
		return -ENOMEM;
	/* Its limits are tunables. */
	space_sys.shm_limit = ns->own;
	ns->limit = &space_sys.shm_limit;
	space_sys.shm = ns;
	return 0;
}

struct shm_ns *shm_ns_create(void)
{
	struct shm_ns *ns = kzalloc(sizeof(*ns), GFP_KERNEL);

	if (ns)
		ns_init(ns);
	return ns;
}

struct shm_ns *shm_ns_enter(struct shm_ns *ns)
{
	if (!ns)
		ns = space_sys.shm;
	mutex_lock(&ns->lock);
	return ns;
}

/* A reference less, unlocking: freed with the last one. */
static void ns_leave_put(struct shm_ns *ns)
{
	bool last = --ns->refs == 0;

	mutex_unlock(&ns->lock);
	if (!last)
		return;
	for (u32 i = 0; i < SHM_CHUNKS; i++)
		kfree(ns->chunk[i]);
	kfree(ns);
}

/* ---- the table -------------------------------------------------------------
 */

struct shm_segment *shm_at(struct shm_ns *ns, u32 idx)
{
	struct shm_segment **chunk = ns->chunk[idx / SHM_PER_CHUNK];

	return chunk ? chunk[idx % SHM_PER_CHUNK] : NULL;
}

int shm_obtain(struct shm_ns *ns, int id, struct shm_segment **out)
{
	struct shm_segment *seg;

	if (id < 0)
		return -EINVAL;
	seg = shm_at(ns, (u32)id % SHMMNI_MAX);
	if (!seg)
		return -EINVAL;
	if (seg->id != id)
		return -EIDRM;
	*out = seg;
	return 0;
}

static struct list_head *key_bucket(struct shm_ns *ns, s32 key)
{
	return &ns->hash[((u32)key * 0x9e3779b1u) >> 26];
}

MM_STATIC_ASSERT(SHM_HASH == 1u << (32 - 26), "a bucket for each hash");

static struct shm_segment *find_key(struct shm_ns *ns, s32 key)
{
	struct shm_segment *seg;

	list_for_each_entry (seg, key_bucket(ns, key), hash)
		if (seg->key == key)
			return seg;
	return NULL;
}

void shm_make_private(struct shm_segment *seg)
{
	if (seg->key == IPC_PRIVATE)
		return;
	list_del(&seg->hash);
	seg->key = IPC_PRIVATE;
}

/*
 * A free index: the next after the last one that was given out, in a circle of
 * half more than there are, at least SHM_CIRCLE. -ENOSPC, -ENOMEM.
 */
static int free_index(struct shm_ns *ns)
{
	u32 end = min(max(ns->in_use * 3 / 2, SHM_CIRCLE), SHMMNI_MAX);
	u32 idx = (u32)(ns->last_idx + 1), tries;
	struct shm_segment ***chunk;

	if (ns->in_use >= READ_ONCE(ns->limit->shmmni))
		return -ENOSPC;
	for (tries = 0; tries <= end; tries++, idx++) {
		if (idx >= end)
			idx = 0;
		if (!shm_at(ns, idx))
			break;
	}
	mm_verify(tries <= end);
	chunk = &ns->chunk[idx / SHM_PER_CHUNK];
	if (!*chunk)
		*chunk = kcalloc(SHM_PER_CHUNK, sizeof(void *), GFP_KERNEL);
	return *chunk ? (int)idx : -ENOMEM;
}

static void list_segment(struct shm_segment *seg, u32 idx)
{
	struct shm_ns *ns = seg->ns;

	if ((s32)idx <= ns->last_idx)
		ns->seq++;
	ns->last_idx = (s32)idx;
	seg->id = (s32)(ns->seq * SHMMNI_MAX + idx);
	ns->chunk[idx / SHM_PER_CHUNK][idx % SHM_PER_CHUNK] = seg;
	if (seg->key != IPC_PRIVATE)
		list_add(&seg->hash, key_bucket(ns, seg->key));
	ns->max_used = max(ns->max_used, (s32)idx);
	ns->in_use++;
	ns->refs++;
	ns->tot += shm_pages(seg);
	/* What /proc/PID/maps shows. */
	seg->inode->i_ino = (u64)seg->id;
}

/* Index IDX is free; its part of the table goes with the last one there. */
static void free_slot(struct shm_ns *ns, u32 idx)
{
	struct shm_segment ***chunk = &ns->chunk[idx / SHM_PER_CHUNK];

	(*chunk)[idx % SHM_PER_CHUNK] = NULL;
	for (u32 i = 0; i < SHM_PER_CHUNK; i++)
		if ((*chunk)[i])
			return;
	kfree(*chunk);
	*chunk = NULL;
}

void shm_unlist(struct shm_segment *seg)
{
	struct shm_ns *ns = seg->ns;
	u32 idx = (u32)seg->id % SHMMNI_MAX;

	mm_verify(seg->nattch == 0 && shm_at(ns, idx) == seg);
	shm_make_private(seg);
	free_slot(ns, idx);
	while (ns->max_used >= 0 && !shm_at(ns, (u32)ns->max_used))
		ns->max_used--;
	ns->in_use--;
	ns->tot -= shm_pages(seg);
}

void shm_release(struct shm_segment *seg)
{
	struct shm_ns *ns = seg->ns;

	shmem_lock(seg->inode, false);
	iput(seg->inode);
	kfree(seg);
	mutex_lock(&ns->lock);
	ns_leave_put(ns);
}

/* Nothing keeps SEG any more. */
static bool may_destroy(const struct shm_segment *seg)
{
	return seg->nattch == 0 &&
	       ((seg->mode & SHM_DEST) || shm_forced(seg->ns));
}

/* An attach less; the namespace is locked before and not after. */
static void put_attach(struct shm_segment *seg)
{
	struct shm_ns *ns = seg->ns;
	bool dead;

	mm_verify(seg->nattch > 0);
	seg->nattch--;
	dead = may_destroy(seg);
	if (dead)
		shm_unlist(seg);
	mutex_unlock(&ns->lock);
	if (dead)
		shm_release(seg);
}

/* ---- who may ---------------------------------------------------------------
 */

static bool in_group(const struct shm_caller *c, u32 gid)
{
	for (u32 i = 0; i < c->nr_groups; i++)
		if (c->groups[i] == gid)
			return true;
	return c->gid == gid;
}

bool shm_permits(const struct shm_segment *seg, const struct shm_caller *c,
		 u32 want)
{
	u32 granted = seg->mode;

	want |= want >> 6 | want >> 3;
	if (c->uid == seg->uid || c->uid == seg->cuid)
		granted >>= 6;
	else if (in_group(c, seg->gid) || in_group(c, seg->cgid))
		granted >>= 3;
	return !(want & ~granted & 7) || mm_capable(MM_CAP_IPC_OWNER);
}

/* ---- shmget ----------------------------------------------------------------
 */

/* "/SYSV" and the key as /proc/PID/maps shows them. */
static void segment_path(char *to, size_t size, s32 key)
{
	mm_scnprintf(to, size, "/SYSV%08x (deleted)", (u32)key);
}

static struct inode *segment_inode(s32 key, u64 size, int flags)
{
	bool never = READ_ONCE(space_sys.overcommit_memory) == 2;
	char path[40];

	/* Longer than a file here can be, not than one elsewhere: no room. */
	if (size > MAX_LFS_FILESIZE && size <= INT64_MAX)
		return ERR_PTR(-ENOMEM);
	segment_path(path, sizeof(path), key);
	return shmem_object(path, size,
			    (flags & SHM_NORESERVE) && !never ? SHMEM_NORESERVE
							      : 0);
}

/* May a segment of SIZE bytes be made at all? */
static int new_size_ok(const struct shm_ns *ns, u64 size)
{
	u64 pages = (size + PAGE_SIZE - 1) >> PAGE_SHIFT;

	if (size < SHMMIN || size > READ_ONCE(ns->limit->shmmax))
		return -EINVAL;
	if (pages << PAGE_SHIFT < size || ns->tot + pages < ns->tot ||
	    ns->tot + pages > READ_ONCE(ns->limit->shmall))
		return -ENOSPC;
	return 0;
}

static void fill_segment(struct shm_segment *seg, const struct shm_caller *c,
			 int flags)
{
	seg->uid = seg->cuid = c->uid;
	seg->gid = seg->cgid = c->gid;
	seg->mode = (u32)flags & SHM_MODE_BITS;
	seg->ctime = shm_now();
	seg->cpid = port_current()->pid;
	seg->creator = port_current();
}

/* Huge pages come with hugetlbfs: the pool is empty until then. */
static int huge_refused(int flags)
{
	if (!(flags & SHM_HUGETLB))
		return 0;
	return mm_capable(MM_CAP_IPC_LOCK) ? -ENOMEM : -EPERM;
}

static s64 new_segment(struct shm_ns *ns, const struct shm_caller *c, s32 key,
		       u64 size, int flags)
{
	struct shm_segment *seg;
	int err = new_size_ok(ns, size), idx;

	if (!err)
		err = huge_refused(flags);
	if (err)
		return err;
	seg = kzalloc(sizeof(*seg), GFP_KERNEL);
	if (!seg)
		return -ENOMEM;
	seg->ns = ns;
	seg->key = key;
	seg->size = size;
	seg->inode = segment_inode(key, size, flags);
	if (IS_ERR(seg->inode)) {
		err = (int)PTR_ERR(seg->inode);
		kfree(seg);
		return err;
	}
	idx = free_index(ns);
	if (idx < 0) {
		iput(seg->inode);
		kfree(seg);
		return idx;
	}
	fill_segment(seg, c, flags);
	list_segment(seg, (u32)idx);
	return seg->id;
}

static s64 old_segment(const struct shm_segment *seg,
		       const struct shm_caller *c, u64 size, int flags)
{
	if ((flags & IPC_CREAT) && (flags & IPC_EXCL))
		return -EEXIST;
	if (size > seg->size)
		return -EINVAL;
	if (!shm_permits(seg, c, (u32)flags & SHM_MODE_BITS))
		return -EACCES;
	return seg->id;
}

s64 do_shmget(const struct shm_caller *c, s32 key, u64 size, int flags)
{
	struct shm_ns *ns = shm_ns_enter(c->ns);
	struct shm_segment *seg = NULL;
	s64 ret;

	if (key != IPC_PRIVATE)
		seg = find_key(ns, key);
	if (seg)
		ret = old_segment(seg, c, size, flags);
	else if (key != IPC_PRIVATE && !(flags & IPC_CREAT))
		ret = -ENOENT;
	else
		ret = new_segment(ns, c, key, size, flags);
	mutex_unlock(&ns->lock);
	return ret;
}

/* ---- mappings --------------------------------------------------------------
 */

static void attach_open(struct vm_area_struct *vma)
{
	struct shm_segment *seg = vma->vm_file->private_data;

	mutex_lock(&seg->ns->lock);
	seg->nattch++;
	seg->atime = shm_now();
	seg->lpid = port_current()->pid;
	mutex_unlock(&seg->ns->lock);
}

static void attach_close(struct vm_area_struct *vma)
{
	struct shm_segment *seg = vma->vm_file->private_data;

	mutex_lock(&seg->ns->lock);
	seg->dtime = shm_now();
	seg->lpid = port_current()->pid;
	put_attach(seg);
}

static const struct vm_operations_struct shm_vm_ops = {
	.open = attach_open,
	.close = attach_close,
	.fault = shmem_fault,
	.map_pages = filemap_map_pages,
};

static int attach_mmap(struct file *file, struct vm_area_struct *vma)
{
	(void)file;
	vma->vm_ops = &shm_vm_ops;
	attach_open(vma);
	return 0;
}

static const struct file_operations shm_file_ops = {.mmap = attach_mmap};

/* ---- shmat -----------------------------------------------------------------
 */

/*
 * Where shmat(2)'s ADDR and FLAGS say: 0 or -EINVAL; R gets address and
 * MAP_FIXED*. An address that is rounded down to 0 is one all the same.
 */
static int attach_place(struct mm_mmap *r, uva_t addr, int flags)
{
	if (addr & ~PAGE_MASK && !(flags & SHM_RND))
		return -EINVAL;
	r->addr = ALIGN_DOWN(addr, PAGE_SIZE);
	if (!r->addr && (flags & SHM_REMAP))
		return -EINVAL;
	if (addr)
		r->flags |= flags & SHM_REMAP || !r->addr ? MAP_FIXED
							  : MAP_FIXED_NOREPLACE;
	return 0;
}

/* R, with place, file and length, becomes a mapping. */
static s64 attach_map(struct mm_struct *mm, struct mm_mmap *r, int flags)
{
	s64 at;

	r->prot = PROT_READ;
	if (!(flags & SHM_RDONLY))
		r->prot |= PROT_WRITE;
	if (flags & SHM_EXEC)
		r->prot |= PROT_EXEC;
	if (!(flags & SHM_REMAP) && r->addr + r->len < r->addr)
		return -EINVAL;
	at = do_mmap_file(mm, r);
	return at == -EEXIST ? -EINVAL : at;
}

/* SEG is held by an attach under way. */
static s64 attach(struct mm_struct *mm, struct shm_segment *seg,
		  struct mm_mmap *r, int flags)
{
	u32 mode = FMODE_READ | (flags & SHM_RDONLY ? 0 : FMODE_WRITE);
	struct file *file =
		file_open(seg->inode, mode, 0, shmem_i(seg->inode)->path);
	s64 at;

	if (!file)
		return -ENOMEM;
	file->f_op = &shm_file_ops;
	file->private_data = seg;
	r->file = file;
	r->len = seg->size;
	at = attach_map(mm, r, flags);
	fput(file);
	return at;
}

static u32 attach_wants(int flags)
{
	u32 want = flags & SHM_RDONLY ? 0444 : 0666;

	return flags & SHM_EXEC ? want | 0111 : want;
}

s64 do_shmat(const struct shm_caller *c, int id, uva_t addr, int flags)
{
	struct shm_segment *seg;
	struct shm_ns *ns;
	struct mm_mmap r = {.flags = MAP_SHARED};
	s64 ret = id < 0 ? -EINVAL : attach_place(&r, addr, flags);

	if (ret)
		return ret;
	ns = shm_ns_enter(c->ns);
	ret = shm_obtain(ns, id, &seg);
	if (!ret && !shm_permits(seg, c, attach_wants(flags)))
		ret = -EACCES;
	if (!ret)
		seg->nattch++;
	mutex_unlock(&ns->lock);
	if (ret)
		return ret;
	ret = attach(c->mm, seg, &r, flags);
	mutex_lock(&ns->lock);
	put_attach(seg);
	return ret;
}

/* ---- shmdt -----------------------------------------------------------------
 */

/* Is VMA a piece of an attach that began at ADDR? */
static bool piece_of(const struct vm_area_struct *vma, uva_t addr)
{
	return vma->vm_ops == &shm_vm_ops && vma->vm_start >= addr &&
	       (vma->vm_start - addr) >> PAGE_SHIFT == vma->vm_pgoff;
}

/*
 * The first piece may be anywhere, its beginning may be gone; the others are of
 * the same attach. A piece that cannot go (no memory to note it) ends it.
 */
static s64 detach(struct mm_struct *mm, uva_t addr)
{
	struct vm_area_struct *vma = find_vma(mm, addr), *next;
	struct file *file = NULL;
	u64 size = 0;
	s64 ret = -EINVAL;

	for (; vma && (!file || vma->vm_start < addr + size); vma = next) {
		next = vma_next(vma);
		if (!piece_of(vma, addr) || (file && vma->vm_file != file))
			continue;
		if (!file) {
			file = vma->vm_file;
			size = PAGE_ALIGN(i_size_read(file->f_inode));
		}
		ret = do_munmap_locked(mm, vma->vm_start,
				       vma->vm_end - vma->vm_start);
		if (ret)
			break;
	}
	return ret;
}

s64 do_shmdt(const struct shm_caller *c, uva_t addr)
{
	s64 ret;

	if (addr & ~PAGE_MASK)
		return -EINVAL;
	mmap_write_lock(c->mm);
	ret = detach(c->mm, addr);
	mmap_write_unlock_tell(c->mm);
	return ret;
}

/* ---- the end of namespaces and creators ------------------------------------
 */

/* Segments that SHOULD_GO says go, or, attached, when they are not any more. */
static void sweep(struct shm_ns *ns,
		  bool (*should_go)(struct shm_segment *seg, const void *arg),
		  const void *arg)
{
	u32 idx = 0;

	mutex_lock(&ns->lock);
	ns->refs++;
	for (; (s32)idx <= ns->max_used; idx++) {
		struct shm_segment *seg = shm_at(ns, idx);

		if (!seg || !should_go(seg, arg) || seg->nattch)
			continue;
		shm_unlist(seg);
		mutex_unlock(&ns->lock);
		shm_release(seg);
		mutex_lock(&ns->lock);
	}
	ns_leave_put(ns);
}

static bool go_with_ns(struct shm_segment *seg, const void *arg)
{
	(void)arg;
	shm_make_private(seg);
	seg->mode |= SHM_DEST;
	return true;
}

void shm_ns_put(struct shm_ns *ns)
{
	sweep(ns, go_with_ns, NULL);
	mutex_lock(&ns->lock);
	ns_leave_put(ns);
}

static bool go_with_creator(struct shm_segment *seg, const void *arg)
{
	if (seg->creator != arg)
		return false;
	seg->creator = NULL;
	return shm_forced(seg->ns);
}

void shm_task_exit(struct shm_ns *ns, const struct mm_task *task)
{
	sweep(ns ? ns : space_sys.shm, go_with_creator, task);
}

static bool go_as_orphan(struct shm_segment *seg, const void *arg)
{
	(void)arg;
	return !seg->creator && shm_forced(seg->ns);
}

void shm_forced_changed(void)
{
	if (space_sys.shm && shm_forced(space_sys.shm))
		sweep(space_sys.shm, go_as_orphan, NULL);
}

int shm_set_limits(struct shm_ns *ns, const struct shm_limits *l)
{
	bool forced;

	if (l->shmmni > SHMMNI_MAX || l->rmid_forced > 1)
		return -EINVAL;
	ns = shm_ns_enter(ns);
	forced = l->rmid_forced && !shm_forced(ns);
	*ns->limit = *l;
	mutex_unlock(&ns->lock);
	if (forced)
		sweep(ns, go_as_orphan, NULL);
	return 0;
}

void shm_get_limits(struct shm_ns *ns, struct shm_limits *out)
{
	ns = shm_ns_enter(ns);
	*out = *ns->limit;
	mutex_unlock(&ns->lock);
}
