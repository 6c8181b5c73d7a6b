/* SPDX-License-Identifier: MIT */
/*
 * procvm.c - one process works on another's memory: process_vm_readv and
 * writev, process_madvise.
 *
 * Both vectors are copied in and checked first; then bytes go through one
 * buffer of a page, whose two sides have nothing in common: the other process
 * may change its mappings meanwhile, which ends the transfer where it stands.
 * What arrived counts to the byte.
 *
 * References: process_vm_readv(2), process_madvise(2), readv(2).
 */
#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/slab.h>
#include <mmkit/uaccess.h>

#include "space/space.h"

/* No call moves more at once (read(2), NOTES). */
#define MAX_RW_COUNT 0x7ffff000UL

/* A vector that was copied in, and how far it was used. */
struct vm_iov {
	struct mm_iovec *iov;
	u64 nr, at, off;
	u64 total;
};

static void iov_free(struct vm_iov *it)
{
	kfree(it->iov);
}

static int iov_sum(struct vm_iov *it)
{
	for (u64 i = 0; i < it->nr; i++) {
		if ((s64)it->iov[i].len < 0 ||
		    (s64)(it->total + it->iov[i].len) < 0)
			return -EINVAL;
		it->total += it->iov[i].len;
	}
	return 0;
}

/*
 * A vector of the caller's own memory: all of it is user space, whether it
 * is mapped or not, and it ends where a call does. A single piece is cut
 * before it is looked at.
 */
static int iov_own(const struct mm_struct *mm, struct vm_iov *it)
{
	u64 task_size = mm->layout.task_size;

	it->total = 0;
	for (u64 i = 0; i < it->nr; i++) {
		struct mm_iovec *v = &it->iov[i];

		if (it->nr == 1)
			v->len = min(v->len, MAX_RW_COUNT);
		if (v->len > task_size || v->base > task_size - v->len)
			return -EFAULT;
		v->len = min(v->len, MAX_RW_COUNT - it->total);
		it->total += v->len;
	}
	return 0;
}

/* IT owns its copy unless an errno is returned. */
static int iov_import(struct mm_struct *mm, uva_t user, u64 nr,
		      struct vm_iov *it)
{
	int err;

	*it = (struct vm_iov){.nr = nr};
	if (nr > MM_IOV_MAX)
		return -EINVAL;
	if (!nr)
		return 0;
	it->iov = kmalloc(nr * sizeof(*it->iov), GFP_KERNEL);
	if (!it->iov)
		return -ENOMEM;
	err = copy_from_user(mm, it->iov, user, nr * sizeof(*it->iov))
		      ? -EFAULT
		      : iov_sum(it);
	if (err)
		iov_free(it);
	return err;
}

/* The next piece: its address, at most MAX bytes and one page. 0: the end. */
static u64 iov_piece(struct vm_iov *it, u64 max, uva_t *addr)
{
	const struct mm_iovec *v;

	while (it->at < it->nr && it->off == it->iov[it->at].len) {
		it->at++;
		it->off = 0;
	}
	if (it->at == it->nr)
		return 0;
	v = &it->iov[it->at];
	*addr = v->base + it->off;
	return min(min(v->len - it->off, max),
		   PAGE_SIZE - (*addr & (PAGE_SIZE - 1)));
}

/*
 * N bytes of LOCAL's memory into one page of the other process: that page is
 * there, and stays, before LOCAL is looked at, so that nothing is read for a
 * transfer which cannot take place. How many bytes arrived.
 */
static u64 procvm_store(const struct mm_process_vm *p, void *buf,
			const uva_t addr[2], u64 n)
{
	struct page *page;
	u64 got;

	if (addr[1] >= p->remote->layout.task_size ||
	    pin_user_pages(p->remote, addr[1], 1, FOLL_WRITE, &page) != 1)
		return 0;
	got = n - copy_from_user(p->local, buf, addr[0], n);
	got = access_process_vm(p->remote, addr[1], buf, got, true);
	unpin_user_page(page);
	return got;
}

/* One step through BUF; how many bytes arrived. */
static u64 procvm_step(const struct mm_process_vm *p, void *buf, bool write,
		       const uva_t addr[2], u64 n)
{
	u64 got;

	if (write)
		return procvm_store(p, buf, addr, n);
	got = access_process_vm(p->remote, addr[1], buf, n, false);
	return got - copy_to_user(p->local, addr[0], buf, got);
}

static s64 procvm_transfer(const struct mm_process_vm *p, struct vm_iov *l,
			   struct vm_iov *r, bool write)
{
	void *buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
	u64 done = 0, n, m, got = 0;
	uva_t addr[2] = {0, 0};

	if (!buf)
		return -ENOMEM;
	while (done < MAX_RW_COUNT) {
		n = iov_piece(l, MAX_RW_COUNT - done, &addr[0]);
		m = n ? iov_piece(r, n, &addr[1]) : 0;
		if (!m)
			break;
		got = procvm_step(p, buf, write, addr, m);
		l->off += got;
		r->off += got;
		done += got;
		if (got < m)
			break;
	}
	kfree(buf);
	/* M is 0 if either vector came to its end. */
	return done || done == MAX_RW_COUNT || !m ? (s64)done : -EFAULT;
}

static s64 process_vm_rw(const struct mm_process_vm *p, u64 flags, bool write)
{
	struct vm_iov l, r;
	s64 ret;

	if (flags)
		return -EINVAL;
	ret = iov_import(p->local, p->local_iov, p->liovcnt, &l);
	if (ret)
		return ret;
	ret = iov_own(p->local, &l);
	if (ret || !l.total) {
		iov_free(&l);
		return ret;
	}
	ret = iov_import(p->local, p->remote_iov, p->riovcnt, &r);
	if (!ret) {
		ret = procvm_transfer(p, &l, &r, write);
		iov_free(&r);
	}
	iov_free(&l);
	return ret;
}

s64 process_vm_readv(const struct mm_process_vm *p, u64 flags)
{
	return process_vm_rw(p, flags, false);
}

s64 process_vm_writev(const struct mm_process_vm *p, u64 flags)
{
	return process_vm_rw(p, flags, true);
}

/* To oneself any advice; to others what changes no contents (6.13). */
static bool advice_allowed(const struct mm_struct *mm,
			   const struct mm_struct *local, int advice)
{
	return mm == local || advice == MADV_WILLNEED || advice == MADV_COLD ||
	       advice == MADV_PAGEOUT;
}

s64 do_process_madvise(struct mm_struct *mm, struct mm_struct *local, uva_t vec,
		       u64 vlen, int advice, u32 flags)
{
	struct vm_iov it;
	u64 done = 0;
	s64 err;

	if (flags)
		return -EINVAL;
	err = iov_import(local, vec, vlen, &it);
	if (err)
		return err;
	err = advice_allowed(mm, local, advice) ? iov_own(local, &it) : -EINVAL;
	for (u64 i = 0; i < it.nr && !err; i++) {
		err = do_madvise(mm, it.iov[i].base, it.iov[i].len, advice);
		if (!err)
			done += it.iov[i].len;
	}
	iov_free(&it);
	return done ? (s64)done : err;
}
