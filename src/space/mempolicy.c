/* SPDX-License-Identifier: MIT */
/*
 * mempolicy.c - on which nodes the pages of a mapping lie: mbind and its kin.
 *
 * 1. Purpose. A process says for a range of its memory what floor 2 lets a
 *    task say for all of it (phys/mempolicy.c). The policy hangs on the
 *    mapping; a range that gets another one is cut out, and melts with its
 *    neighbours if they have an equal one.
 *
 * 2. Which policy a page obeys when it is allocated: that of its file, if it
 *    is one in memory (cache/shmem_policy.c), which mbind() of any mapping of
 *    it sets; else its mapping's, else the
 *    policy of the task that touches it, else none. Interleaving counts by
 *    page number (vm_pgoff), so that which thread touches a page first, in
 *    which order, or how often a mapping was cut, makes no difference. This is
 *    so for a task's policy as well.
 *
 * 3. Invariants.
 *    VMP-1  A VMA holds one reference to its policy, from its copy or from
 *           mbind() until it is freed. A policy that a VMA refers to does not
 *           change: to change means to replace.
 *    VMP-2  Mappings become one only if vma_policy_same(): their pages would
 *           go to the same places before and after.
 *    VMP-3  vm_home is a node only where the policy is MPOL_BIND or
 *           MPOL_PREFERRED_MANY.
 *
 * 4. Locking. mmap lock for writing to set vm_policy and vm_home, for reading
 *    (or what keeps a VMA as it is for a fault) to use them: a fault takes no
 *    reference.
 *
 * 5. Failure. Policy and cuts are made before the first mapping changes.
 *
 * 6. Pages that are there already stay where they are, unless the caller asks
 *    for them to be moved: his own alone, or (MPOL_MF_MOVE_ALL) those that
 * others map too. They are isolated and moved in batches (space_move_ops).
 *
 * 7. Rejected. The home node inside the policy: setting it would need a new
 *    policy for each mapping of the range, half of which may be made when
 *    memory ends; as a number of the VMA it cannot fail.
 *
 * References: mbind(2), get_mempolicy(2), set_mempolicy(2), numa(7); Linux
 * documentation, admin-guide/mm/numa_memory_policy. What those leave open (the
 * order of errors, MAXNODE) is as Linux 6.18 answers: tests/sim/
 * test_mempolicy_calls.c asks it.
 */
#include "space/mempolicy.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/uaccess.h>

#include "base/string.h"
#include "cache/shmem.h"
#include "phys/lru.h"
#include "phys/mempolicy.h"
#include "phys/mmzone.h"
#include "space/gup.h"
#include "space/huge_move.h"
#include "space/userfaultfd.h"

/* ---- which policy ---------------------------------------------------------
 */

bool vma_policy_same(const struct vm_area_struct *a,
		     const struct vm_area_struct *b)
{
	if (!b)
		return !a->vm_policy;
	return a->vm_home == b->vm_home &&
	       (a->vm_policy == b->vm_policy ||
		mpol_equal(a->vm_policy, b->vm_policy));
}

static bool mode_has_home(int mode)
{
	return mode == MPOL_BIND || mode == MPOL_PREFERRED_MANY;
}

void vma_policy_check(const struct vm_area_struct *vma)
{
	mm_verify(vma->vm_home == VMA_NO_HOME ||
		  (vma->vm_home >= 0 && vma->vm_home < MM_MAX_NODES &&
		   mode_has_home(mpol_mode(vma->vm_policy))));
}

/* Whose pages obey the file: also the private copies of them. */
static struct inode *shared_inode(const struct vm_area_struct *vma)
{
	struct inode *inode = vma->vm_file ? vma->vm_file->f_inode : NULL;

	return inode && shmem_is_inode(inode) ? inode : NULL;
}

struct mempolicy *vma_policy_at(const struct vm_area_struct *vma, uva_t addr,
				int *home)
{
	struct inode *inode = shared_inode(vma);

	if (inode)
		return shmem_policy_get(inode, linear_page_index(vma, addr),
					home);
	*home = vma->vm_home;
	return mpol_get(vma->vm_policy);
}

struct mempolicy *vma_place(const struct vm_area_struct *vma, uva_t addr,
			    struct mpol_place *place)
{
	struct inode *inode = shared_inode(vma);

	if (inode)
		return shmem_place(inode, linear_page_index(vma, addr), place);
	place->pol = vma->vm_policy;
	place->nid = vma->vm_home;
	place->ilx = linear_page_index(vma, addr);
	if (likely(!place->pol))
		place->pol = port_current()->mempolicy;
	return NULL;
}

struct page *vma_alloc_block(gfp_t gfp, unsigned int order,
			     const struct vm_area_struct *vma, uva_t addr)
{
	struct mpol_place place;
	struct mempolicy *held = vma_place(vma, addr, &place);
	struct page *page = alloc_pages_place(gfp, order, &place);

	mpol_put(held);
	return page;
}

struct page *vma_alloc_policy(gfp_t gfp, const struct vm_area_struct *vma,
			      uva_t addr)
{
	return vma_alloc_block(gfp, 0, vma, addr);
}

/* ---- sets of nodes in user memory -----------------------------------------
 */

#define MASK_BITS_MAX (PAGE_SIZE * 8)

/* Word I of a set of BITS: what counts of it. */
static u64 mask_word(u64 word, u64 i, u64 bits)
{
	u64 left = bits - i * 64;

	return left < 64 ? word & ((1UL << left) - 1) : word;
}

int mpol_read_nodes(struct mm_struct *mm, uva_t nmask, u64 maxnode,
		    nodemask_t *nodes)
{
	u64 bits = maxnode - 1, word;
	nodemask_t set = NODE_MASK_NONE;

	if (nmask && bits > MASK_BITS_MAX)
		return -EINVAL;
	for (u64 i = 0; nmask && i * 64 < bits; i++) {
		if (copy_from_user(mm, &word, nmask + i * sizeof(word),
				   sizeof(word)))
			return -EFAULT;
		word = mask_word(word, i, bits);
		if (i == 0)
			set = word;
		if (i == 0 ? MM_MAX_NODES < 64 && word >> MM_MAX_NODES % 64
			   : word != 0)
			return -EINVAL;
	}
	*nodes = set;
	return 0;
}

/* NODES to NMASK[MAXNODE], whole words; those that no node has are cleared. */
static int write_nodes(struct mm_struct *mm, uva_t nmask, u64 maxnode,
		       nodemask_t nodes)
{
	u64 bytes = ALIGN(maxnode - 1, 64UL) / 8;
	u64 n = min(bytes, (u64)sizeof(nodes));

	if (bytes > PAGE_SIZE)
		return -EINVAL;
	if (copy_to_user(mm, nmask, &nodes, n) ||
	    clear_user(mm, nmask + n, bytes - n))
		return -EFAULT;
	return 0;
}

/* One more than the highest node of the machine. */
static u64 nr_node_ids(void)
{
	u64 nr = 1;

	for (u64 nid = 0; nid < MM_MAX_NODES; nid++)
		if (NODE_DATA(nid))
			nr = nid + 1;
	return nr;
}

/* ---- set_mempolicy, get_mempolicy ------------------------------------------
 */

static int mode_flags_check(int mode)
{
	u32 flags = (u32)mode & MPOL_MODE_FLAGS;
	u32 plain = (u32)mode & ~MPOL_MODE_FLAGS;

	if (plain >= MPOL_MAX || (flags & MPOL_NODE_FLAGS) == MPOL_NODE_FLAGS)
		return -EINVAL;
	return (flags & MPOL_F_NUMA_BALANCING) && plain != MPOL_BIND &&
			       plain != MPOL_PREFERRED_MANY
		       ? -EINVAL
		       : 0;
}

int kernel_set_mempolicy(struct mm_struct *mm, int mode, uva_t nmask,
			 u64 maxnode)
{
	nodemask_t nodes;
	int err = mode_flags_check(mode);

	if (!err)
		err = mpol_read_nodes(mm, nmask, maxnode, &nodes);
	return err ? err : do_set_mempolicy(mode, nodes);
}

/* What is told of a policy: of an address, of the task, or of the machine. */
struct policy_told {
	int mode;
	nodemask_t nodes;
};

/* Is a page at ADDR of VMA that any access could meet? Who asks where it is
 * need not read it then, as with Linux. (M) held. */
static bool page_is_there(struct vm_area_struct *vma, uva_t addr)
{
	struct pt_slot slot;
	pte_t e;

	if (!(vma->vm_flags & VM_ACCESS_FLAGS) ||
	    !pt_lookup(&vma->vm_mm->pt, addr, &slot))
		return false;
	e = pt_get(&slot);
	return pte_present(e) && !pte_special(e);
}

/* The node of the page at ADDR of VMA, which is read for that; or -errno.
 * *WAIT: a monitor is asked for it, see user_page_lock(). */
static int lookup_node(struct vm_area_struct *vma, uva_t addr,
		       struct uffd_fault *uf, bool *wait)
{
	struct pt_slot slot;
	int nid = (vma->vm_flags & VM_READ) || page_is_there(vma, addr)
			  ? user_page_lock(vma, addr, false, &slot, uf)
			  : -EFAULT;

	*wait = nid == USER_PAGE_WAIT;
	if (nid)
		return nid == -EHWPOISON ? -EFAULT : nid;
	nid = zone_to_nid(page_zone(pfn_to_page(pte_pfn(pt_get(&slot)))));
	pt_unlock(&slot);
	return nid;
}

/* As policy_of_addr(), (M) held; *WAIT as above. */
static int policy_of_addr_locked(struct mm_struct *mm, uva_t addr, bool node,
				 struct policy_told *told,
				 struct uffd_fault *uf, bool *wait)
{
	struct vm_area_struct *vma = find_vma(mm, addr);
	struct mempolicy *pol;
	int nid;

	*wait = false;
	if (!vma_contains(vma, addr))
		return -EFAULT;
	pol = vma_policy_at(vma, addr, &nid);
	told->mode = mpol_mode(pol) | (int)mpol_flags(pol);
	told->nodes = mpol_user_nodes(pol);
	mpol_put(pol);
	if (!node)
		return 0;
	nid = lookup_node(vma, addr, uf, wait);
	if (nid < 0)
		return nid;
	told->mode = nid;
	return 0;
}

static int policy_of_addr(struct mm_struct *mm, uva_t addr, bool node,
			  struct policy_told *told)
{
	struct uffd_fault uf;
	bool wait;
	int err;

	do {
		mmap_read_lock(mm);
		err = policy_of_addr_locked(mm, addr, node, told, &uf, &wait);
		mmap_read_unlock(mm);
		if (wait && !userfault_wait(&uf))
			return -EINTR;
	} while (wait);
	return err;
}

static int policy_told(struct mm_struct *mm, uva_t addr, u64 flags,
		       struct policy_told *told)
{
	if (flags & ~(u64)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
		return -EINVAL;
	if (!(flags & MPOL_F_ADDR)) {
		if (addr && !(flags & MPOL_F_MEMS_ALLOWED))
			return -EINVAL;
		return do_get_mempolicy(&told->mode, &told->nodes, (u32)flags);
	}
	if (flags & MPOL_F_MEMS_ALLOWED)
		return -EINVAL;
	return policy_of_addr(mm, addr, (flags & MPOL_F_NODE) != 0, told);
}

int kernel_get_mempolicy(struct mm_struct *mm, uva_t policy, uva_t nmask,
			 u64 maxnode, uva_t addr, u64 flags)
{
	struct policy_told told = {0};
	int err;

	if (nmask && maxnode < nr_node_ids())
		return -EINVAL;
	err = policy_told(mm, addr, flags, &told);
	if (err)
		return err;
	if (policy && copy_to_user(mm, policy, &told.mode, sizeof(told.mode)))
		return -EFAULT;
	return nmask ? write_nodes(mm, nmask, maxnode, told.nodes) : 0;
}

/* ---- where pages are --------------------------------------------------------
 */

void vma_count_nodes(struct vm_area_struct *vma, uva_t start, uva_t end,
		     u64 *on)
{
	struct pgtable *pt = &vma->vm_mm->pt;
	struct pt_slot slot;

	rwsem_assert_held(&vma->vm_mm->mmap_lock);
	for (uva_t at = start; at < end;) {
		uva_t stop = pt_table_end(pt, at, end);

		if (!pt_lookup(pt, at, &slot)) {
			at = pt_skip(pt, at, end);
			continue;
		}
		pt_lock_read(&slot);
		for (; at < stop; at += PAGE_SIZE, pt_next(&slot)) {
			pte_t e = pt_get(&slot);

			if (pte_present(e) && !pte_special(e))
				on[zone_to_nid(
					page_zone(pfn_to_page(pte_pfn(e))))]++;
		}
		pt_unlock(&slot);
	}
}

/* Does any page of [START, END) lie on a node that is not one of NODES? */
static bool elsewhere(struct mm_struct *mm, uva_t start, uva_t end,
		      nodemask_t nodes)
{
	u64 on[MM_MAX_NODES] = {0};
	struct vm_area_struct *vma;

	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma))
		vma_count_nodes(vma, max(start, vma->vm_start),
				min(end, vma->vm_end), on);
	for (int nid = 0; nid < MM_MAX_NODES; nid++)
		if (on[nid] && !(nodes & NODE_MASK(nid)))
			return true;
	return false;
}

/* ---- setting the policy of a range ------------------------------------------
 */

/* What mappings of a range get. */
struct range_policy {
	struct mempolicy *pol;
	int home;
	bool home_only; /* only where there is a policy, and that stays */
	struct shared_reserve reserve; /* for files in memory */
};

static bool range_changes(const struct vm_area_struct *vma,
			  const struct range_policy *r)
{
	if (r->home_only)
		return vma->vm_policy && vma->vm_home != r->home;
	return vma->vm_home != r->home || !mpol_equal(vma->vm_policy, r->pol);
}

/*
 * The file that VMA shows has the policy that VMA has now: with what it melted
 * with, even if another mapping has said something else of that since. As
 * Linux 6.18, a mapping brings its policy as a whole.
 */
static void file_apply(struct vm_area_struct *vma, struct range_policy *r)
{
	struct shared_change c = {
		.first = vma->vm_pgoff,
		.end = vma->vm_pgoff + vma_pages(vma),
		.pol = vma->vm_policy,
		.home = vma->vm_home,
	};

	if (shared_inode(vma))
		shmem_policy_set(shared_inode(vma), &c, &r->reserve);
}

static void range_apply(struct vm_area_struct *vma,
			const struct range_policy *r)
{
	struct mempolicy *old = vma->vm_policy;

	/* A fault uses the policy without a reference. */
	vma_start_write(vma);
	WRITE_ONCE(vma->vm_home, (s16)r->home);
	if (r->home_only)
		return;
	WRITE_ONCE(vma->vm_policy, mpol_get(r->pol));
	mpol_put(old);
}

/* What the files in memory in [START, END) need. 0, -ENOMEM. */
static int range_reserve(struct mm_struct *mm, uva_t start, uva_t end,
			 struct range_policy *r)
{
	struct vm_area_struct *vma;
	u64 changes = 0;

	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma))
		changes += shared_inode(vma) && range_changes(vma, r);
	return shmem_policy_reserve(&r->reserve, changes);
}

/* Narrow [*START, *END) to the mappings that change, from the first to the
 * last: what stays as it is is not cut. False: nothing does. */
static bool changing_range(struct mm_struct *mm, uva_t *start, uva_t *end,
			   const struct range_policy *r)
{
	uva_t from = *end, to = *end;
	struct vm_area_struct *vma;

	for (vma = find_vma(mm, *start); vma && vma->vm_start < *end;
	     vma = vma_next(vma)) {
		if (!range_changes(vma, r))
			continue;
		if (from == *end)
			from = max(vma->vm_start, *start);
		to = min(vma->vm_end, *end);
	}
	if (from == *end)
		return false;
	*start = from;
	*end = to;
	return true;
}

/* (M) for writing. 0, or -ENOMEM with nothing changed. */
static int range_set(struct mm_struct *mm, uva_t start, uva_t end,
		     struct range_policy *r)
{
	struct vm_area_struct *vma;
	int err;

	if (!changing_range(mm, &start, &end, r))
		return 0;
	err = range_reserve(mm, start, end, r);
	if (err)
		return err;
	err = vma_isolate_range(mm, start, end);
	for (vma = find_vma(mm, start); !err && vma && vma->vm_start < end;
	     vma = vma_next(vma)) {
		if (!range_changes(vma, r))
			continue;
		range_apply(vma, r);
		vma = vma_join(mm, vma);
		file_apply(vma, r);
	}
	shmem_policy_unreserve(&r->reserve);
	return err;
}

/* ---- mbind ------------------------------------------------------------------
 */

/* Is [START, END) all mapped, or, with HOLES, something of it? 0, -EFAULT; then
 * the mapping that a hole follows begins at *LAST. */
static int range_mapped(struct mm_struct *mm, uva_t start, uva_t end,
			bool holes, uva_t *last)
{
	struct vm_area_struct *vma = find_vma(mm, start);
	uva_t at = start;

	*last = start;
	if (!vma || vma->vm_start >= end)
		return -EFAULT;
	for (; !holes && at < end; vma = vma_next(vma)) {
		if (!vma || vma->vm_start > at)
			return -EFAULT;
		*last = max(start, vma->vm_start);
		at = vma->vm_end;
	}
	return 0;
}

#define MPOL_MF_VALID (MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL)

/* Entries from AT on, to STOP in the same table, until there is a batch. */
static uva_t collect_table(struct page_collect *c, struct pt_slot slot,
			   uva_t at, uva_t stop)
{
	struct pt_slot lock = slot;

	/* Nothing is changed here: what is huge stays so until it moves. */
	pt_lock_read(&lock);
	for (; at < stop && c->list.count < COLLECT_BATCH;
	     at += PAGE_SIZE, pt_next(&slot)) {
		pte_t e = pt_get(&slot);
		struct page *page;

		if (!pte_present(e) || pte_special(e))
			continue;
		page = pfn_to_page(pte_pfn(e));
		if (!c->wanted(page, c))
			continue;
		if ((c->all || page_mapcount(page) == 1) &&
		    space_sys.move_ops->isolate(page))
			page_list_add_tail(&c->list, page);
		else
			c->stayed++;
	}
	pt_unlock(&lock);
	return at;
}

/* Has the huge page at AT, which ends before END, moved as a whole? */
static bool collect_whole(struct page_collect *c, struct vm_area_struct *vma,
			  uva_t at, uva_t end)
{
	struct page *first;

	if (!IS_ALIGNED(at, HPAGE_PMD_SIZE) || end - at < HPAGE_PMD_SIZE)
		return false;
	first = thp_page_at(vma, at);
	if (!first)
		return false;
	if (c->wanted(first, c) && (c->all || page_mapcount(first) == 1))
		return space_sys.move_ops->whole(
			first, c->block(c, vma, at, first), c->mbind);
	put_page(first);
	return false;
}

int collect_pages(struct page_collect *c, struct vm_area_struct *vma, uva_t at,
		  uva_t end)
{
	struct pgtable *pt = &vma->vm_mm->pt;
	int err = 0;

	page_list_init(&c->list);
	while (at < end && !err) {
		struct pt_slot slot;

		if (!pt_lookup(pt, at, &slot)) {
			at = pt_skip(pt, at, end);
			continue;
		}
		if (collect_whole(c, vma, at, end)) {
			at += HPAGE_PMD_SIZE;
			continue;
		}
		at = collect_table(c, slot, at, pt_table_end(pt, at, end));
		if (c->list.count == COLLECT_BATCH)
			err = c->move(c);
	}
	return err || page_list_empty(&c->list) ? err : c->move(c);
}

/* Pages that POL does not want where they are. */
struct mbind_move {
	struct page_collect c;
	struct mempolicy *pol;
	nodemask_t nodes; /* where they may stay */
};

static bool mbind_wanted(const struct page *page, struct page_collect *c)
{
	const struct mbind_move *m = (const struct mbind_move *)c;

	return !(m->nodes & NODE_MASK(page_to_nid(page)));
}

/* By the mapping's policy, which is the new one by now. */
static struct page *mbind_block(struct page_collect *c,
				struct vm_area_struct *vma, uva_t va,
				const struct page *first)
{
	struct page *block =
		vma_alloc_block(thp_move_gfp(), HPAGE_PMD_ORDER, vma, va);

	(void)first;
	if (!block || !mbind_wanted(block, c))
		return block;
	__free_pages(block, HPAGE_PMD_ORDER);
	return NULL;
}

static int mbind_flush(struct page_collect *c)
{
	struct mbind_move *m = (struct mbind_move *)c;
	s64 ret = space_sys.move_ops->by_policy(&c->list, m->pol);

	return ret < 0 ? (int)ret : 0;
}

/* What lies elsewhere goes where POL says. (M) for writing. 0, -ENOMEM. */
static int mbind_move(struct mm_struct *mm, uva_t start, uva_t end,
		      struct mempolicy *pol, u32 flags)
{
	struct mbind_move m = {
		.c = {.wanted = mbind_wanted,
		      .move = mbind_flush,
		      .block = mbind_block,
		      .mbind = true,
		      .all = (flags & MPOL_MF_MOVE_ALL) != 0},
		.pol = pol,
		.nodes = mpol_nodes(pol),
	};
	struct vm_area_struct *vma;
	int err = 0;

	if (!pol || !space_sys.move_ops)
		return 0;
	if (mpol_mode(pol) == MPOL_LOCAL)
		m.nodes = NODE_MASK(numa_node_id());
	for (vma = find_vma(mm, start); vma && vma->vm_start < end && !err;
	     vma = vma_next(vma))
		err = collect_pages(&m.c, vma, max(start, vma->vm_start),
				    min(end, vma->vm_end));
	return err;
}

static int mbind_locked(struct mm_struct *mm, uva_t start, uva_t end,
			struct mempolicy *pol, u32 flags)
{
	struct range_policy r = {.pol = pol, .home = VMA_NO_HOME};
	bool strict = pol && (flags & MPOL_MF_STRICT);
	bool move = (flags & (MPOL_MF_MOVE | MPOL_MF_MOVE_ALL)) != 0;
	nodemask_t nodes = mpol_nodes(pol);
	uva_t last;
	int err = range_mapped(mm, start, end, !pol, &last);

	/* Linux's order: mapping by mapping, a hole before the pages. */
	if (err && strict && !move && elsewhere(mm, start, last, nodes))
		return -EIO;
	if (err)
		return err;
	/* "Local" names no node: what is there does not follow it. */
	if (strict && !move && elsewhere(mm, start, end, nodes))
		return -EIO;
	err = range_set(mm, start, end, &r);
	if (!err && move)
		err = mbind_move(mm, start, end, pol, flags);
	if (err)
		return err;
	if (mpol_mode(pol) == MPOL_LOCAL)
		nodes = NODE_MASK(numa_node_id());
	return strict && move && elsewhere(mm, start, end, nodes) ? -EIO : 0;
}

/* [START, *END) of LEN bytes. 0, -EINVAL. */
static int policy_range(uva_t start, u64 len, uva_t *end)
{
	*end = start + PAGE_ALIGN(len);
	return IS_ALIGNED(start, PAGE_SIZE) && *end >= start ? 0 : -EINVAL;
}

int do_mbind(struct mm_struct *mm, uva_t start, u64 len, int mode,
	     nodemask_t nodes, u32 flags)
{
	struct mempolicy *pol;
	uva_t end;
	int err;

	if (flags & ~MPOL_MF_VALID)
		return -EINVAL;
	if ((flags & MPOL_MF_MOVE_ALL) && !mm_capable(MM_CAP_SYS_NICE))
		return -EPERM;
	err = policy_range(start, len, &end);
	if (err || start == end)
		return err;
	err = mpol_new((int)((u32)mode & ~MPOL_MODE_FLAGS),
		       (u32)mode & MPOL_MODE_FLAGS, nodes, &pol);
	if (err)
		return err;
	/* Pages in batches could not be moved. */
	if (flags & (MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		lru_cache_disable();
	mmap_write_lock(mm);
	err = mbind_locked(mm, start, end, pol, flags);
	mmap_write_unlock(mm);
	if (flags & (MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		lru_cache_enable();
	mpol_put(pol);
	return err;
}

int kernel_mbind(struct mm_struct *mm, const struct mm_mbind *a)
{
	nodemask_t nodes;
	int err = mode_flags_check(a->mode);

	if (!err)
		err = mpol_read_nodes(mm, a->nmask, a->maxnode, &nodes);
	return err ? err
		   : do_mbind(mm, a->start, a->len, a->mode, nodes, a->flags);
}

/* ---- set_mempolicy_home_node ------------------------------------------------
 */

/* Can all policies of [START, END) have a home? 0, -EOPNOTSUPP; -ENOENT. */
static int home_check(struct mm_struct *mm, uva_t start, uva_t end)
{
	struct vm_area_struct *vma;
	int err = -ENOENT;

	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma)) {
		if (!vma->vm_policy)
			continue;
		if (!mode_has_home(mpol_mode(vma->vm_policy)))
			return -EOPNOTSUPP;
		err = 0;
	}
	return err;
}

int do_set_mempolicy_home_node(struct mm_struct *mm, uva_t start, u64 len,
			       u64 home, u64 flags)
{
	struct range_policy r = {.home = (int)home, .home_only = true};
	uva_t end;
	int err;

	if (flags || home >= MM_MAX_NODES || !NODE_DATA(home))
		return -EINVAL;
	err = policy_range(start, len, &end);
	if (err || start == end)
		return err;
	mmap_write_lock(mm);
	err = home_check(mm, start, end);
	if (!err)
		err = range_set(mm, start, end, &r);
	mmap_write_unlock(mm);
	return err;
}
