/* SPDX-License-Identifier: MIT */
/*
 * dcache.c - names that were looked up are remembered.
 *
 * 1. Purpose. A path is walked component by component; each costs a search in
 *    a directory, perhaps a read from a disk. A dentry remembers that name N
 *    in directory D stands for vnode V, or for nothing (negative).
 *
 * 2. Structures. Each mount has a tree of dentries of its own, so a dentry
 *    alone says by which mount it was reached: it is a path. A dentry holds
 *    its parent and its vnode. All are in one hash by parent and name; those
 *    that nobody uses wait on a list, oldest first, for the shrinker.
 *
 * 3. Truth. Names change under the directory's vnode.lock, held for writing,
 *    and whoever changes them puts the dentries right before it lets go. A
 *    dentry is entered with that lock held, shared or not, so it cannot be
 *    older than a change. A file system that is mounted twice has two trees:
 *    a change in one raises vnode.dirgen, and names of the other that were
 *    found before are looked up anew. /proc's names are asked (revalidate).
 *
 * 4. Invariants.
 *    DC-1  count is the number of users and of children; 0: on the unused list.
 *    DC-2  count leaves 0, and reaches it, under dcache_lock only.
 *    DC-3  A hashed name's parent is hashed or a root; for each parent and
 *          name at most one is hashed.
 *
 * 5. Failure. No memory for a dentry: the walk fails with -ENOMEM.
 *
 * 6. The shrinker takes a name off the lists first and gives its references to
 *    its parent and its vnode up then, which may take long. In between they
 *    look like somebody's who uses the mount. So it does both with prune_lock
 *    held, shared, and umount(2), which decides by such references, holds it
 *    alone. The shrinker only tries: umount itself may want memory.
 *
 * 7. Rejected. One lock for all buckets is a bottleneck for many CPUs; reading
 *    without a lock (epochs and sequence counts) is the known way out, and
 *    changes dentry_find() alone.
 *
 * References: Linux documentation, filesystems/path-lookup, filesystems/vfs;
 * path_resolution(7).
 */
#include <mmkit/errno.h>
#include <mmkit/shrinker.h>
#include <mmkit/slab.h>

#include "base/atomic.h"
#include "base/string.h"
#include "fs.h"

struct fs_state fs_sys;

static u32 name_hash(const struct dentry *parent, const struct qstr *q)
{
	u32 h = (u32)((uintptr_t)parent >> 6) * 0x9e3779b1u;

	for (u32 i = 0; i < q->len; i++)
		h = (h ^ (u8)q->name[i]) * 0x01000193u;
	return h ^ h >> 15;
}

static struct hlist_head *bucket(u32 hash)
{
	return &fs_sys.hash[hash & (DCACHE_BUCKETS - 1)];
}

/* ---- references ------------------------------------------------------------
 */

struct dentry *dget(struct dentry *d)
{
	u32 now = __atomic_add_fetch(&d->count, 1, __ATOMIC_ACQ_REL);

	mm_verify(now > 1);
	return d;
}

/* dcache_lock held. */
static struct dentry *dget_locked(struct dentry *d)
{
	if (__atomic_fetch_add(&d->count, 1, __ATOMIC_ACQ_REL) == 0 &&
	    (d->flags & DENTRY_ON_LRU)) {
		d->flags &= ~DENTRY_ON_LRU;
		list_del_init(&d->lru);
		WRITE_ONCE(fs_sys.nr_unused, fs_sys.nr_unused - 1);
	}
	return d;
}

static void name_free(struct dentry *d)
{
	if (d->name != d->inline_name)
		kfree(d->name);
}

/* D, count 0, leaves all lists. dcache_lock held. */
static void unlink_locked(struct dentry *d)
{
	mm_assert(d->count == 0 && list_empty(&d->children) && !d->mounted);
	hlist_del_init(&d->in_hash);
	list_del_init(&d->sibling);
	if (d->flags & DENTRY_ON_LRU) {
		list_del_init(&d->lru);
		WRITE_ONCE(fs_sys.nr_unused, fs_sys.nr_unused - 1);
	}
	fs_sys.nr_dentries--;
}

/* D is off all lists: free it; its parent, whose reference is the caller's
 * now, or NULL. */
static struct dentry *dentry_free(struct dentry *d)
{
	struct dentry *parent = d->parent == d ? NULL : d->parent;
	struct vfs_mount *mnt = parent ? NULL : d->mnt;

	if (d->vnode) {
		/* Others may be taking its last name just now. */
		if ((d->flags & DENTRY_DELETED) &&
		    (!READ_ONCE(d->vnode->nlink) ||
		     (READ_ONCE(d->vnode->flags) & VNODE_DEAD)))
			notify_gone(d->vnode);
		vnode_put(d->vnode);
	}
	name_free(d);
	kmem_cache_free(fs_sys.dentry_cache, d);
	if (mnt)
		mount_free_detached(mnt);
	return parent;
}

/* D's count became 0 under the lock: keep it for later? */
static bool worth_keeping(const struct dentry *d)
{
	return !hlist_unhashed(&d->in_hash) && !d->mnt->detached &&
	       d->parent != d;
}

/* One reference less if it is not the last. */
static bool put_not_last(struct dentry *d)
{
	u32 old = READ_ONCE(d->count);

	do {
		mm_verify(old > 0);
		if (old == 1)
			return false;
	} while (!__atomic_compare_exchange_n(&d->count, &old, old - 1, false,
					      __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

/* True: D is the caller's to free. */
static bool put_last(struct dentry *d)
{
	bool mine = false;

	spin_lock(&fs_sys.dcache_lock);
	if (__atomic_sub_fetch(&d->count, 1, __ATOMIC_ACQ_REL) == 0) {
		mine = !worth_keeping(d);
		if (mine) {
			unlink_locked(d);
		} else {
			d->flags |= DENTRY_ON_LRU;
			list_add_tail(&d->lru, &fs_sys.lru);
			WRITE_ONCE(fs_sys.nr_unused, fs_sys.nr_unused + 1);
		}
	}
	spin_unlock(&fs_sys.dcache_lock);
	return mine;
}

void dput(struct dentry *d)
{
	while (d && !put_not_last(d)) {
		if (!put_last(d))
			return;
		d = dentry_free(d);
	}
}

struct vnode *dentry_vnode(const struct dentry *d)
{
	/* As whole as dentry_instantiate() had it. */
	return smp_load_acquire(&((struct dentry *)(uintptr_t)d)->vnode);
}

/* ---- making ----------------------------------------------------------------
 */

static struct dentry *dentry_alloc(struct vfs_mount *mnt, const struct qstr *q,
				   struct vnode *vnode)
{
	struct dentry *d = kmem_cache_alloc(fs_sys.dentry_cache,
					    GFP_KERNEL_ACCOUNT | __GFP_ZERO);

	if (d && q->len >= DENTRY_INLINE)
		d->name = kmalloc(q->len + 1, GFP_KERNEL_ACCOUNT);
	else if (d)
		d->name = d->inline_name;
	if (!d || !d->name) {
		if (d)
			kmem_cache_free(fs_sys.dentry_cache, d);
		if (vnode)
			vnode_put(vnode);
		return NULL;
	}
	mm_memcpy(d->name, q->name, q->len);
	d->name[q->len] = 0;
	d->len = q->len;
	d->mnt = mnt;
	d->vnode = vnode;
	d->count = 1;
	INIT_LIST_HEAD(&d->children);
	INIT_LIST_HEAD(&d->sibling);
	INIT_LIST_HEAD(&d->lru);
	return d;
}

/* dcache_lock held; nothing is asked of the file system. */
static struct dentry *find_locked(struct dentry *parent, const struct qstr *q,
				  u32 hash)
{
	struct dentry *d;

	hlist_for_each_entry(d, bucket(hash), in_hash)
	{
		if (d->hash == hash && d->parent == parent &&
		    d->len == q->len && !mm_memcmp(d->name, q->name, q->len))
			return d;
	}
	return NULL;
}

/* Into PARENT's tree. dcache_lock held. */
static void link_locked(struct dentry *d, struct dentry *parent)
{
	d->parent = dget_locked(parent);
	list_add(&d->sibling, &parent->children);
	fs_sys.nr_dentries++;
}

static void hash_locked(struct dentry *d, u32 hash)
{
	d->hash = hash;
	WRITE_ONCE(d->dirgen, READ_ONCE(d->parent->vnode->dirgen));
	hlist_add_head(&d->in_hash, bucket(hash));
}

struct dentry *dentry_make(struct dentry *parent, const struct qstr *q,
			   struct vnode *vnode)
{
	struct dentry *d = dentry_alloc(parent->mnt, q, vnode), *other;
	u32 hash = name_hash(parent, q);

	if (!d)
		return NULL;
	spin_lock(&fs_sys.dcache_lock);
	other = find_locked(parent, q, hash);
	if (other) {
		dget_locked(other);
	} else {
		link_locked(d, parent);
		hash_locked(d, hash);
	}
	spin_unlock(&fs_sys.dcache_lock);
	if (!other)
		return d;
	if (vnode)
		vnode_put(vnode);
	name_free(d);
	kmem_cache_free(fs_sys.dentry_cache, d);
	return other;
}

struct dentry *dentry_make_unhashed(struct dentry *parent, const struct qstr *q,
				    struct vnode *vnode)
{
	struct dentry *d = dentry_alloc(parent->mnt, q, vnode);

	if (!d)
		return NULL;
	spin_lock(&fs_sys.dcache_lock);
	link_locked(d, parent);
	d->flags |= DENTRY_DELETED;
	spin_unlock(&fs_sys.dcache_lock);
	return d;
}

struct dentry *dentry_make_root(struct vfs_mount *mnt, struct vnode *vnode)
{
	static const struct qstr slash = {"/", 1};
	struct dentry *d = dentry_alloc(mnt, &slash, vnode);

	if (!d)
		return NULL;
	spin_lock(&fs_sys.dcache_lock);
	d->parent = d;
	fs_sys.nr_dentries++;
	spin_unlock(&fs_sys.dcache_lock);
	return d;
}

/* ---- finding ---------------------------------------------------------------
 */

/* D, found by a walk: is what it says still so? */
static bool still_true(struct dentry *parent, struct dentry *d)
{
	struct vnode *dir = parent->vnode;

	if (READ_ONCE(d->dirgen) != READ_ONCE(dir->dirgen))
		return false;
	return !dir->ops->revalidate ||
	       dir->ops->revalidate(dir, dentry_vnode(d));
}

struct dentry *dentry_find(struct dentry *parent, const struct qstr *q)
{
	u32 hash = name_hash(parent, q);
	struct dentry *d;

	spin_lock(&fs_sys.dcache_lock);
	d = find_locked(parent, q, hash);
	if (d)
		dget_locked(d);
	spin_unlock(&fs_sys.dcache_lock);
	if (!d || still_true(parent, d))
		return d;
	/* What is mounted there stays. */
	if (READ_ONCE(d->mounted))
		return d;
	dentry_drop(d, false);
	dput(d);
	return NULL;
}

struct dentry *dentry_parent(struct dentry *d)
{
	struct dentry *parent;

	spin_lock(&fs_sys.dcache_lock);
	parent = dget_locked(d->parent);
	spin_unlock(&fs_sys.dcache_lock);
	return parent;
}

struct dentry *dentry_parent_name(struct dentry *d, char *name, u32 *len)
{
	struct dentry *parent;

	spin_lock(&fs_sys.dcache_lock);
	parent = dget_locked(d->parent);
	mm_assert(d->len <= NAME_MAX);
	mm_memcpy(name, d->name, d->len);
	*len = d->len;
	spin_unlock(&fs_sys.dcache_lock);
	name[*len] = 0;
	return parent;
}

bool dentry_deleted(const struct dentry *d)
{
	return (READ_ONCE(d->flags) & DENTRY_DELETED) != 0;
}

struct dentry *dentry_follow_mounts(struct dentry *d)
{
	struct dentry *root;

	while (READ_ONCE(d->mounted)) {
		spin_lock(&fs_sys.dcache_lock);
		root = d->mounted ? dget_locked(d->mounted->root) : NULL;
		spin_unlock(&fs_sys.dcache_lock);
		if (!root)
			break;
		dput(d);
		d = root;
	}
	return d;
}

bool dentry_is_below(struct dentry *d, const struct dentry *top)
{
	bool below;

	spin_lock(&fs_sys.dcache_lock);
	while (d != top && d->parent != d)
		d = d->parent;
	below = d == top;
	spin_unlock(&fs_sys.dcache_lock);
	return below;
}

/* ---- changes ---------------------------------------------------------------
 */

void dentry_drop(struct dentry *d, bool gone)
{
	spin_lock(&fs_sys.dcache_lock);
	hlist_del_init(&d->in_hash);
	if (gone)
		d->flags |= DENTRY_DELETED;
	spin_unlock(&fs_sys.dcache_lock);
}

void dentry_instantiate(struct dentry *d, struct vnode *vnode)
{
	spin_lock(&fs_sys.dcache_lock);
	mm_verify(!d->vnode);
	/* Who finds the name looks at the vnode without a lock. */
	smp_store_release(&d->vnode, vnode);
	WRITE_ONCE(d->dirgen, READ_ONCE(d->parent->vnode->dirgen));
	spin_unlock(&fs_sys.dcache_lock);
}

/* D gets the name Q; what it had is freed by the caller: NULL, or that. */
static char *take_name(struct dentry *d, const struct qstr *q, char *room)
{
	char *old = d->name != d->inline_name ? d->name : NULL;

	d->name = q->len < DENTRY_INLINE ? d->inline_name : room;
	mm_memmove(d->name, q->name, q->len);
	d->name[q->len] = 0;
	d->len = q->len;
	return old;
}

void dentry_move(struct dentry *d, struct dentry *parent, const struct qstr *q,
		 char *room)
{
	struct dentry *left = d->parent;
	char *old;

	spin_lock(&fs_sys.dcache_lock);
	hlist_del_init(&d->in_hash);
	old = take_name(d, q, room);
	list_del_init(&d->sibling);
	WRITE_ONCE(d->parent, dget_locked(parent));
	list_add(&d->sibling, &parent->children);
	hash_locked(d, name_hash(parent, q));
	spin_unlock(&fs_sys.dcache_lock);
	kfree(old);
	dput(left);
}

/* The names of A and B, without their places. dcache_lock held. */
static void swap_names(struct dentry *a, struct dentry *b)
{
	char inl[DENTRY_INLINE];
	char *na = a->name == a->inline_name ? NULL : a->name;
	char *nb = b->name == b->inline_name ? NULL : b->name;
	u32 len = a->len;

	mm_memcpy(inl, a->inline_name, sizeof(inl));
	mm_memcpy(a->inline_name, b->inline_name, sizeof(inl));
	mm_memcpy(b->inline_name, inl, sizeof(inl));
	a->name = nb ? nb : a->inline_name;
	b->name = na ? na : b->inline_name;
	a->len = b->len;
	b->len = len;
}

void dentry_exchange(struct dentry *a, struct dentry *b)
{
	struct dentry *pa = a->parent, *pb = b->parent;
	struct qstr qa, qb;

	spin_lock(&fs_sys.dcache_lock);
	hlist_del_init(&a->in_hash);
	hlist_del_init(&b->in_hash);
	swap_names(a, b);
	list_move(&a->sibling, &pb->children);
	list_move(&b->sibling, &pa->children);
	/* Who goes up asks without the lock whether this is a root. */
	WRITE_ONCE(a->parent, pb);
	WRITE_ONCE(b->parent, pa);
	qa = (struct qstr){a->name, a->len};
	qb = (struct qstr){b->name, b->len};
	hash_locked(a, name_hash(pb, &qa));
	hash_locked(b, name_hash(pa, &qb));
	spin_unlock(&fs_sys.dcache_lock);
}

/* ---- giving up what nobody uses --------------------------------------------
 */

/* Of D, unused: may it go now? Not if that would have to write a file. */
static bool may_go(const struct dentry *d)
{
	const struct vnode *v = d->vnode;

	return !v || !(READ_ONCE(v->inode->i_state) & I_DIRTY_PAGES);
}

/* Free the oldest unused name of MNT (NULL: of any) among SCAN; false: there
 * was none that may go. */
static bool free_one(const struct vfs_mount *mnt, u64 *scan, bool dirty_too)
{
	struct dentry *d, *n, *victim = NULL;

	spin_lock(&fs_sys.dcache_lock);
	list_for_each_entry_safe (d, n, &fs_sys.lru, lru) {
		if (!*scan)
			break;
		--*scan;
		if ((!mnt || d->mnt == mnt) && (dirty_too || may_go(d))) {
			victim = d;
			unlink_locked(d);
			break;
		}
		if (!mnt)
			list_move_tail(&d->lru, &fs_sys.lru);
	}
	spin_unlock(&fs_sys.dcache_lock);
	if (!victim)
		return false;
	dput(dentry_free(victim));
	return true;
}

static u64 dcache_count(struct shrinker *s, struct shrink_control *sc)
{
	(void)s;
	(void)sc;
	return READ_ONCE(fs_sys.nr_unused);
}

static u64 dcache_scan(struct shrinker *s, struct shrink_control *sc)
{
	u64 scan = sc->nr_to_scan, freed = 0;

	(void)s;
	/* The end of a vnode is the file system's. */
	if (!(sc->gfp_mask & __GFP_FS))
		return SHRINK_STOP;
	if (!down_read_trylock(&fs_sys.prune_lock))
		return SHRINK_STOP;
	while (free_one(NULL, &scan, false))
		freed++;
	up_read(&fs_sys.prune_lock);
	sc->nr_scanned = sc->nr_to_scan - scan;
	return freed;
}

void dcache_quiet(void)
{
	down_write(&fs_sys.prune_lock);
}

void dcache_unquiet(void)
{
	up_write(&fs_sys.prune_lock);
}

void dcache_prune_mount(struct vfs_mount *mnt)
{
	u64 scan;

	do
		scan = UINT64_MAX;
	while (free_one(mnt, &scan, true));
}

/* ---- text ------------------------------------------------------------------
 */

/* PART before what stands at *AT, if there is room from BUF on. */
static bool prepend(char *buf, char **at, const char *part, size_t len)
{
	if ((size_t)(*at - buf) < len)
		return false;
	*at -= len;
	mm_memcpy(*at, part, len);
	return true;
}

static bool prepend_names(struct dentry *d, const struct dentry *root,
			  char *buf, char **at, bool *reached)
{
	const char *end = *at;

	/* What has no place but by /proc/PID/fd has a text of its own. */
	if (d->mnt == fs_sys.anon_mnt && d->parent != d)
		return prepend(buf, at, d->name, d->len);
	while (d != root) {
		if (d->parent == d) {
			if (!d->mnt->mountpoint)
				break;
			d = d->mnt->mountpoint;
			continue;
		}
		if (!prepend(buf, at, d->name, d->len) ||
		    !prepend(buf, at, "/", 1))
			return false;
		d = d->parent;
	}
	*reached = d == root;
	return *at != end || prepend(buf, at, "/", 1);
}

s64 dentry_text(struct dentry *d, struct dentry *root, char *buf, size_t size,
		char **text, bool *reached)
{
	static const char deleted[] = " (deleted)";
	char *end = buf + size, *at = end;
	bool ok = size > 0 && prepend(buf, &at, "", 1);

	*reached = false;
	spin_lock(&fs_sys.dcache_lock);
	if (ok && (d->flags & DENTRY_DELETED) && d->mnt != fs_sys.anon_mnt)
		ok = prepend(buf, &at, deleted, sizeof(deleted) - 1);
	ok = ok && prepend_names(d, root, buf, &at, reached);
	spin_unlock(&fs_sys.dcache_lock);
	if (!ok)
		return -ENAMETOOLONG;
	*text = at;
	return end - at - 1;
}

/* ---- boot, check -----------------------------------------------------------
 */

static struct shrinker *dcache_shrinker(void)
{
	return &fs_sys.shrinker;
}

int dcache_init(void)
{
	struct shrinker *s = dcache_shrinker();
	int err;

	spin_lock_init(&fs_sys.dcache_lock, LOCK_CLASS_DCACHE);
	init_rwsem(&fs_sys.prune_lock, LOCK_CLASS_PRUNE);
	INIT_LIST_HEAD(&fs_sys.lru);
	fs_sys.hash =
		kvcalloc(DCACHE_BUCKETS, sizeof(*fs_sys.hash), GFP_KERNEL);
	fs_sys.dentry_cache =
		kmem_cache_create("dentry", sizeof(struct dentry), 0,
				  SLAB_ACCOUNT | SLAB_RECLAIM_ACCOUNT, NULL);
	if (!fs_sys.hash || !fs_sys.dentry_cache)
		return -ENOMEM;
	*s = (struct shrinker){.count_objects = dcache_count,
			       .scan_objects = dcache_scan,
			       .seeks = DEFAULT_SEEKS};
	err = register_shrinker(s, "dentry");
	fs_sys.has_shrinker = !err;
	return err;
}

void dcache_shutdown(void)
{
	if (fs_sys.has_shrinker)
		unregister_shrinker(dcache_shrinker());
	fs_sys.has_shrinker = false;
	if (fs_sys.dentry_cache)
		mm_verify(kmem_cache_destroy(fs_sys.dentry_cache) == 0);
	kvfree(fs_sys.hash);
	fs_sys.hash = NULL;
	fs_sys.dentry_cache = NULL;
}

static void check_one(const struct dentry *d, u64 *unused)
{
	u32 children = 0;
	const struct dentry *c;

	list_for_each_entry (c, &d->children, sibling) {
		mm_verify(c->parent == d && c->mnt == d->mnt);
		children++;
	}
	mm_verify(d->count >= children);
	mm_verify((d->count == 0) == !!(d->flags & DENTRY_ON_LRU));
	mm_verify(d->vnode || list_empty(&d->children));
	mm_verify(!d->vnode || d->vnode->count > 0);
	*unused += d->count == 0;
}

void dcache_check(void)
{
	u64 unused = 0, listed;
	struct dentry *d;

	spin_lock(&fs_sys.dcache_lock);
	for (u32 i = 0; i < DCACHE_BUCKETS; i++) {
		hlist_for_each_entry(d, &fs_sys.hash[i], in_hash)
		{
			struct qstr q = {d->name, d->len};

			mm_verify(d->hash == name_hash(d->parent, &q));
			mm_verify(find_locked(d->parent, &q, d->hash) == d);
			check_one(d, &unused);
		}
	}
	listed = list_count_nodes(&fs_sys.lru);
	mm_verify(unused == listed && listed == fs_sys.nr_unused);
	spin_unlock(&fs_sys.dcache_lock);
}
