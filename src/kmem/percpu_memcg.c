/* SPDX-License-Identifier: MIT */
/*
 * percpu_memcg.c - who pays for objects of which every CPU has its own.
 *
 * 1. Purpose. An object of __alloc_percpu_gfp() with __GFP_ACCOUNT costs its
 *    size on every CPU; a program can ask for many. It counts against the group
 *    of the task that asked, until it is freed.
 *
 * 2. Way. Chunks are shared, as slabs are, so it is charged in bytes
 *    (memcg/objcg.h). Few objects are accounted: those have a record each, in a
 *    tree by address, whose bytes are charged with them. Freeing looks there
 *    only if there are any. The charge is made first, outside of all locks: it
 *    may reclaim.
 *
 * 3. Invariant. PCP-5: a record's object is out, and its payer is charged
 *    size * CPUs + the record.
 *
 * 4. Locking. The allocator's lock, for the tree.
 *
 * 5. Rejected. A vector of payers for each chunk: 64 KiB for one object.
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "kmem/percpu.h"
#include "kmem/slab.h"
#include "memcg/objcg.h"

struct pcpu_paid {
	struct rb_node node; /* by ptr */
	const char *ptr;
	struct obj_cgroup *payer;
	u64 bytes;
};

static inline struct pcpu_state *state(void)
{
	return &kmem_sys.pcpu;
}

int pcpu_charge(size_t size, gfp_t gfp, struct pcpu_paid **out)
{
	u64 bytes = size * (u64)port_nr_cpus() + sizeof(struct pcpu_paid);
	struct obj_cgroup *payer;
	struct pcpu_paid *paid;

	*out = NULL;
	if (!(gfp & __GFP_ACCOUNT) || port_in_irq())
		return 0;
	if (objcg_charge(bytes, OBJCG_PERCPU, gfp, &payer))
		return -ENOMEM;
	if (!payer)
		return 0;
	paid = kmalloc(sizeof(*paid), gfp & ~(__GFP_ACCOUNT | __GFP_ZERO));
	if (!paid) {
		objcg_uncharge(payer, bytes, OBJCG_PERCPU);
		return -ENOMEM;
	}
	paid->payer = payer;
	paid->bytes = bytes;
	*out = paid;
	return 0;
}

void pcpu_cancel(struct pcpu_paid *paid)
{
	if (!paid)
		return;
	objcg_uncharge(paid->payer, paid->bytes, OBJCG_PERCPU);
	kfree(paid);
}

void pcpu_assign(struct pcpu_paid *paid, const char *ptr)
{
	struct rb_node **link, *parent = NULL;
	unsigned long flags;

	if (!paid)
		return;
	paid->ptr = ptr;
	spin_lock_irqsave(&state()->lock, flags);
	link = &state()->paid.rb_node;
	while (*link) {
		parent = *link;
		link = ptr < rb_entry(parent, struct pcpu_paid, node)->ptr
			       ? &parent->left
			       : &parent->right;
	}
	rb_link_node(&paid->node, parent, link);
	rb_insert_color(&paid->node, &state()->paid);
	spin_unlock_irqrestore(&state()->lock, flags);
}

struct pcpu_paid *pcpu_paid_take(const char *ptr)
{
	struct rb_node *node = state()->paid.rb_node;

	assert_spin_locked(&state()->lock);
	while (node) {
		struct pcpu_paid *p = rb_entry(node, struct pcpu_paid, node);

		if (p->ptr == ptr) {
			rb_erase(node, &state()->paid);
			return p;
		}
		node = ptr < p->ptr ? node->left : node->right;
	}
	return NULL;
}

void pcpu_count_payers(void)
{
	struct rb_node *node;

	for (node = rb_first(&state()->paid); node; node = rb_next(node)) {
		struct pcpu_paid *p = rb_entry(node, struct pcpu_paid, node);

		p->payer->audit_bytes += (s64)p->bytes;
	}
}
