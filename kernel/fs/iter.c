/* SPDX-License-Identifier: MIT */
/*
 * iter.c - bytes between a driver's buffer and where a call has its own; and
 * vectors of user memory (readv(2)) as one sequence of bytes.
 *
 * A vector's iterator stands on an element and has the iterator of
 * mmkit/uaccess.h do that element's part: copying without sleeping, bringing
 * memory in with nothing locked.
 *
 * References: readv(2).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>
#include <mmkit/uaccess.h>

#include "base/string.h"
#include "fs.h"

/* ---- for drivers -----------------------------------------------------------
 */

/* N bytes between BUF and ITER; how many. */
static u64 iter_xfer(struct iov_iter *iter, char *buf, u64 n)
{
	u64 done = 0, part;

	n = min(n, iter->count);
	if (!iter->copy) {
		if (iter->write)
			mm_memcpy(buf, iter->buf, n);
		else
			mm_memcpy(iter->buf, buf, n);
		iter->buf = (char *)iter->buf + n;
		iter->count -= n;
		return n;
	}
	while (done < n) {
		part = iter->copy(iter, buf + done, n - done);
		done += part;
		if (!part &&
		    (!iter->fault_in || !iter->fault_in(iter, n - done)))
			break;
	}
	return done;
}

u64 iter_put(struct iov_iter *iter, const void *buf, u64 n)
{
	iter->write = false;
	return iter_xfer(iter, (char *)(uintptr_t)buf, n);
}

u64 iter_get(struct iov_iter *iter, void *buf, u64 n)
{
	iter->write = true;
	return iter_xfer(iter, buf, n);
}

s64 iter_text(struct iov_iter *iter, u64 *pos, const char *text, u64 len)
{
	u64 n, done;

	if (*pos >= len)
		return 0;
	n = min(len - *pos, iter->count);
	done = iter_put(iter, text + *pos, n);
	if (n && !done)
		return -EFAULT;
	*pos += done;
	return (s64)done;
}

/* ---- vectors ---------------------------------------------------------------
 */

/* The iterator of the element that V stands on, at most N bytes of it; false:
 * the end. */
static bool uvec_part(struct iov_iter *iter, u64 n, struct iov_iter *part)
{
	struct uvec *v = iter->private;

	while (v->at < v->nr && v->done == v->iov[v->at].len) {
		v->at++;
		v->done = 0;
	}
	if (v->at == v->nr)
		return false;
	n = min(n, v->iov[v->at].len - v->done);
	iov_iter_user(part, v->mm, v->iov[v->at].base + v->done, n);
	part->write = iter->write;
	return true;
}

static u64 uvec_copy(struct iov_iter *iter, void *view, u64 n)
{
	struct uvec *v = iter->private;
	struct iov_iter part;
	u64 total = 0, want, done;

	while (total < n && uvec_part(iter, n - total, &part)) {
		want = part.count;
		done = part.copy(&part, (char *)view + total, want);
		v->done += done;
		total += done;
		if (done < want)
			break;
	}
	iter->count -= total;
	return total;
}

static u64 uvec_fault_in(struct iov_iter *iter, u64 n)
{
	struct iov_iter part;

	if (!uvec_part(iter, n, &part))
		return 0;
	return part.fault_in(&part, part.count);
}

int uvec_get(struct uvec *v, struct iov_iter *iter, uva_t uiov, u64 nr)
{
	u64 total = 0, bytes = nr * sizeof(*v->iov);

	*v = (struct uvec){.mm = current->mt->mm, .iov = v->few};
	if (nr > UIO_MAXIOV)
		return -EINVAL;
	if (nr > ARRAY_SIZE(v->few))
		v->iov = kmalloc(bytes, GFP_KERNEL_ACCOUNT);
	if (!v->iov)
		return -ENOMEM;
	if (copy_from_user(v->mm, v->iov, uiov, bytes))
		return -EFAULT;
	v->nr = (u32)nr;
	for (u32 i = 0; i < v->nr; i++) {
		if (v->iov[i].len > INT64_MAX)
			return -EINVAL;
		/* The whole fits a ssize_t: what is above is not moved. */
		v->iov[i].len =
			min(v->iov[i].len, (INT32_MAX & PAGE_MASK) - total);
		total += v->iov[i].len;
	}
	*iter = (struct iov_iter){.count = total,
				  .copy = uvec_copy,
				  .fault_in = uvec_fault_in,
				  .private = v};
	return 0;
}

void uvec_put(struct uvec *v)
{
	if (v->iov != v->few)
		kfree(v->iov);
}
