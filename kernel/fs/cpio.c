/* SPDX-License-Identifier: MIT */
/*
 * cpio.c - the initramfs: archives of cpio's "newc" format become files of the
 * root.
 *
 * 1. The image is a sequence of archives, each plain or a gzip file, with
 *    zeroes between them. An archive is a sequence of entries: a head of 110
 *    characters (numbers in hexadecimal), the name, padding to 4 bytes, the
 *    contents, padding; the last one is named TRAILER!!!.
 *
 * 2. Bytes come as they are unpacked, in pieces of any size. What is needed
 *    next (head, name, a link's text) is collected until it is whole; contents
 *    of files are written as they come.
 *
 * 3. Hard links have equal device and inode numbers; their contents come with
 *    one of them, cpio writes the last. The first name makes the file, the
 *    others are linked to it; a table of the archive remembers the first names.
 *
 * 4. What is there already is replaced (a directory stays and gets the new
 *    owner and mode), parents are made as they are named. A later archive may
 *    so change an earlier one's files.
 *
 * 5. Failure ends the unpacking with a line that says where in the image and
 *    what; what was unpacked stays, for the caller to refuse.
 *
 * References: cpio(5) (new ASCII format); Linux documentation, driver-api/
 * early-userspace/buffer-format.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/printk.h"
#include "base/string.h"
#include "cache/filemap.h"
#include "fs.h"

#define HEAD_SIZE    110u
#define NAME_MOST    PATH_MAX
#define LINK_BUCKETS 64u

enum cpio_field {
	C_INO,
	C_MODE,
	C_UID,
	C_GID,
	C_NLINK,
	C_MTIME,
	C_SIZE,
	C_MAJOR,
	C_MINOR,
	C_RMAJOR,
	C_RMINOR,
	C_NAMESIZE,
	C_CHECK,
	C_FIELDS
};

enum cpio_state { CP_BETWEEN, CP_HEAD, CP_NAME, CP_LINK, CP_DATA, CP_SKIP };

/* The first name of a file with several. */
struct cpio_first {
	struct cpio_first *next;
	u32 ino, major, minor;
	char name[];
};

struct cpio {
	struct inflate_sink sink;
	enum cpio_state state;
	u64 offset; /* bytes of the archives so far, unpacked */
	u32 want;   /* collect so many bytes ... */
	u32 have;   /* ... of which so many are in buf */
	u64 skip;   /* CP_SKIP: bytes to drop; then NEXT */
	enum cpio_state next;
	u64 left; /* CP_DATA */
	struct file *file;
	u32 f[C_FIELDS];
	u64 nr;	   /* entries */
	u64 bytes; /* of contents that were written */
	const char *why;
	struct cpio_first *first[LINK_BUCKETS];
	char name[NAME_MOST + 4];
	char buf[NAME_MOST + 4];
};

static int bad(struct cpio *c, const char *why)
{
	c->why = why;
	return -EINVAL;
}

/* ---- making what an entry says ---------------------------------------------
 */

/* Owner, mode, time of what is at PATH now. */
static int set_attributes(struct cpio *c, bool chmod)
{
	struct vfs_time t = {.sec = c->f[C_MTIME]};
	struct vattr a = {.valid =
				  ATTR_UID | ATTR_GID | ATTR_MTIME | ATTR_CTIME,
			  .uid = c->f[C_UID],
			  .gid = c->f[C_GID],
			  .mode = c->f[C_MODE] & 07777,
			  .mtime = t,
			  .ctime = vfs_now()};
	struct dentry *d;
	int err = vfs_lookup(AT_FDCWD, c->name, 0, &d);

	if (err)
		return err;
	if (chmod)
		a.valid |= ATTR_MODE;
	err = vfs_setattr(d->vnode, &a);
	dput(d);
	return err;
}

/* The directories on the way to c->name are there. */
static int make_parents(struct cpio *c)
{
	int err = 0;

	for (char *at = c->name + 1; *at && !err; at++) {
		if (*at != '/')
			continue;
		*at = 0;
		err = vfs_mkdir(AT_FDCWD, c->name, 0755);
		*at = '/';
		if (err == -EEXIST)
			err = 0;
	}
	return err;
}

/* What has the name goes, unless both are directories: 1 then. */
static int make_room(struct cpio *c)
{
	struct dentry *d;
	bool dir;
	int err = vfs_lookup(AT_FDCWD, c->name, 0, &d);

	if (err)
		return err == -ENOENT ? 0 : err;
	dir = S_ISDIR(d->vnode->mode);
	dput(d);
	if (dir && S_ISDIR(c->f[C_MODE]))
		return 1;
	return vfs_unlink(AT_FDCWD, c->name, dir);
}

static struct cpio_first **first_bucket(struct cpio *c)
{
	return &c->first[(c->f[C_INO] ^ c->f[C_MINOR]) % LINK_BUCKETS];
}

static struct cpio_first *first_find(struct cpio *c)
{
	struct cpio_first *l = *first_bucket(c);

	while (l && (l->ino != c->f[C_INO] || l->major != c->f[C_MAJOR] ||
		     l->minor != c->f[C_MINOR]))
		l = l->next;
	return l;
}

static int first_enter(struct cpio *c)
{
	size_t n = mm_strlen(c->name) + 1;
	struct cpio_first *l = kmalloc(sizeof(*l) + n, GFP_KERNEL);

	if (!l)
		return -ENOMEM;
	l->ino = c->f[C_INO];
	l->major = c->f[C_MAJOR];
	l->minor = c->f[C_MINOR];
	mm_memcpy(l->name, c->name, n);
	l->next = *first_bucket(c);
	*first_bucket(c) = l;
	return 0;
}

static void first_forget(struct cpio *c)
{
	for (u32 i = 0; i < LINK_BUCKETS; i++) {
		struct cpio_first *l;

		while ((l = c->first[i])) {
			c->first[i] = l->next;
			kfree(l);
		}
	}
}

/* A name more of a file that has one: 1; 0: it is the first. */
static int link_or_remember(struct cpio *c)
{
	const struct cpio_first *l;
	struct link_args a = {.olddfd = AT_FDCWD, .newdfd = AT_FDCWD};
	int err;

	if (c->f[C_NLINK] < 2 || S_ISDIR(c->f[C_MODE]))
		return 0;
	l = first_find(c);
	if (!l)
		return first_enter(c);
	a.oldpath = l->name;
	a.newpath = c->name;
	err = do_link(&a);
	return err ? err : 1;
}

static int begin_file(struct cpio *c, bool linked)
{
	u32 flags = O_WRONLY | (linked ? 0 : O_CREAT);
	struct file *file;

	/* The contents come with one of the names. */
	if (linked && !c->f[C_SIZE])
		return 0;
	file = vfs_open(AT_FDCWD, c->name, flags, c->f[C_MODE] & 07777);
	if (IS_ERR(file))
		return (int)PTR_ERR(file);
	c->file = file;
	return 0;
}

static int make_entry(struct cpio *c)
{
	u32 mode = c->f[C_MODE], rdev = MKDEV(c->f[C_RMAJOR], c->f[C_RMINOR]);
	int err = make_parents(c), linked = 0;

	if (!err)
		err = make_room(c);
	if (err > 0)
		return set_attributes(c, true);
	if (!err)
		err = linked = link_or_remember(c);
	if (err < 0)
		return err;
	switch (mode & S_IFMT) {
	case S_IFREG:
		return begin_file(c, linked);
	case S_IFDIR:
		err = vfs_mkdir(AT_FDCWD, c->name, mode & 01777);
		break;
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		err = linked ? 0
			     : vfs_mknod(AT_FDCWD, c->name,
					 mode & (S_IFMT | 07777), rdev);
		break;
	default:
		return bad(c, "an entry of an unknown kind");
	}
	return err ? err : set_attributes(c, true);
}

/* ---- the format ------------------------------------------------------------
 */

static void collect(struct cpio *c, enum cpio_state state, u32 want)
{
	c->state = state;
	c->want = want;
	c->have = 0;
}

/* Up to the next multiple of 4, then STATE. */
static void pad_then(struct cpio *c, enum cpio_state state)
{
	c->skip = -c->offset & 3;
	c->next = state;
	c->state = CP_SKIP;
}

static int hex(const char *p, u32 *out)
{
	u32 v = 0;

	for (int i = 0; i < 8; i++) {
		u32 ch = (u8)p[i], d;

		if (ch - '0' < 10)
			d = ch - '0';
		else if ((ch | 32) - 'a' < 6)
			d = (ch | 32) - 'a' + 10;
		else
			return -EINVAL;
		v = v << 4 | d;
	}
	*out = v;
	return 0;
}

static int got_head(struct cpio *c)
{
	if (mm_memcmp(c->buf, "070701", 6) && mm_memcmp(c->buf, "070702", 6))
		return bad(c, "no head of a newc entry");
	for (u32 i = 0; i < C_FIELDS; i++) {
		if (hex(c->buf + 6 + 8 * i, &c->f[i]))
			return bad(c, "a head's number is none");
	}
	if (!c->f[C_NAMESIZE] || c->f[C_NAMESIZE] > NAME_MOST - 1)
		return bad(c, "a name of an impossible length");
	collect(c, CP_NAME, c->f[C_NAMESIZE]);
	return 0;
}

static int end_of_archive(struct cpio *c)
{
	first_forget(c);
	c->skip = c->f[C_SIZE];
	c->next = CP_BETWEEN;
	c->state = CP_SKIP;
	return 0;
}

/* The name, absolute, in c->name. */
static int got_name(struct cpio *c)
{
	const char *from = c->buf;
	int err;

	if (c->buf[c->want - 1])
		return bad(c, "a name without an end");
	if (!mm_strcmp(from, "TRAILER!!!"))
		return end_of_archive(c);
	while (*from == '/' || (from[0] == '.' && from[1] == '/'))
		from++;
	c->name[0] = '/';
	(void)mm_strscpy(c->name + 1, from, NAME_MOST);
	if (from[0] == '.' && !from[1])
		c->name[1] = 0;
	c->nr++;
	if (S_ISLNK(c->f[C_MODE])) {
		if (!c->f[C_SIZE] || c->f[C_SIZE] > NAME_MOST - 1)
			return bad(c, "a link of an impossible length");
		pad_then(c, CP_LINK);
		return 0;
	}
	err = make_entry(c);
	c->left = c->f[C_SIZE];
	pad_then(c, CP_DATA);
	return err;
}

static int got_link(struct cpio *c)
{
	int err;

	c->buf[c->want] = 0;
	err = make_parents(c);
	if (!err)
		err = make_room(c);
	if (!err)
		err = vfs_symlink(c->buf, AT_FDCWD, c->name);
	if (!err)
		err = set_attributes(c, false);
	pad_then(c, CP_HEAD);
	return err > 0 ? -EISDIR : err;
}

static int end_of_data(struct cpio *c)
{
	int err = 0;

	if (c->file) {
		fput(c->file);
		c->file = NULL;
		err = set_attributes(c, true);
	}
	pad_then(c, CP_HEAD);
	return err;
}

/* ---- bytes as they come ----------------------------------------------------
 */

/* What was collected is whole. */
static int collected(struct cpio *c)
{
	switch (c->state) {
	case CP_HEAD:
		return got_head(c);
	case CP_NAME:
		return got_name(c);
	default:
		return got_link(c);
	}
}

/* States that need no byte are left. */
static int settle(struct cpio *c)
{
	int err = 0;

	for (;;) {
		if (c->state == CP_SKIP && !c->skip) {
			c->state = c->next;
			if (c->state == CP_HEAD)
				collect(c, CP_HEAD, HEAD_SIZE);
			else if (c->state == CP_LINK)
				collect(c, CP_LINK, c->f[C_SIZE]);
		} else if (c->state == CP_DATA && !c->left) {
			err = end_of_data(c);
			if (err)
				return err;
		} else {
			return 0;
		}
	}
}

/* Some of N bytes at DATA: how many were taken, or -errno. */
static s64 take_some(struct cpio *c, const u8 *data, u64 n)
{
	u64 part = n, pos;
	s64 done;

	switch (c->state) {
	case CP_BETWEEN:
		/* A header begins where a byte is not zero, at a multiple of
		 * four. */
		if (!*data)
			return 1;
		if (c->offset & 3)
			return bad(c, "an entry does not begin at a multiple "
				      "of four");
		collect(c, CP_HEAD, HEAD_SIZE);
		return 0;
	case CP_SKIP:
		part = min(n, c->skip);
		c->skip -= part;
		return (s64)part;
	case CP_DATA:
		part = min(n, c->left);
		c->left -= part;
		if (!c->file)
			return (s64)part;
		pos = c->file->f_pos;
		done = kernel_write(c->file, data, part, &pos);
		c->file->f_pos = pos;
		c->bytes += done > 0 ? (u64)done : 0;
		if (done >= 0 && (u64)done != part)
			done = -ENOSPC;
		return done;
	default:
		part = min(n, (u64)(c->want - c->have));
		mm_memcpy(c->buf + c->have, data, part);
		c->have += (u32)part;
		return (s64)part;
	}
}

static int cpio_take(struct inflate_sink *sink, const u8 *data, u64 n)
{
	struct cpio *c = container_of(sink, struct cpio, sink);
	int err = 0;

	while (n && !err) {
		s64 done = take_some(c, data, n);

		if (done < 0)
			return (int)done;
		data += done;
		n -= (u64)done;
		c->offset += (u64)done;
		if (c->state != CP_BETWEEN && c->state != CP_SKIP &&
		    c->state != CP_DATA && c->have == c->want)
			err = collected(c);
		if (!err)
			err = settle(c);
	}
	return err;
}

/* ---- the image -------------------------------------------------------------
 */

/* The archive at IMAGE + AT: bytes of the image that it takes, or -errno. */
static s64 one_archive(struct cpio *c, const u8 *image, u64 size, u64 at)
{
	u64 used = 0, n;
	int err;

	if (size - at >= 2 && image[at] == 0x1f && image[at + 1] == 0x8b) {
		c->offset = 0;
		err = inflate_gzip(image + at, size - at, &c->sink, &used,
				   &c->why);
		if (!err && c->state != CP_BETWEEN)
			err = bad(c, "an archive ends within an entry");
		if (err)
			c->offset = used;
		return err ? err : (s64)used;
	}
	/* Plain: up to where the archive ends. */
	for (n = 0; at + n < size; n++) {
		err = cpio_take(&c->sink, image + at + n, 1);
		if (err)
			return err;
		if (c->state == CP_BETWEEN) {
			n++;
			break;
		}
		/* Contents in one piece. */
		if (c->state == CP_DATA && !err) {
			u64 part = min(c->left, size - at - n - 1);

			err = cpio_take(&c->sink, image + at + n + 1, part);
			if (err)
				return err;
			n += part;
		}
	}
	return c->state == CP_BETWEEN
		       ? (s64)n
		       : bad(c, "the image ends within an entry");
}

static int unpack_all(struct cpio *c, const u8 *image, u64 size, u64 *at)
{
	s64 n;

	while (*at < size) {
		c->state = CP_BETWEEN;
		if (!image[*at]) {
			++*at;
			continue;
		}
		c->offset = *at;
		n = one_archive(c, image, size, *at);
		if (n < 0)
			return (int)n;
		*at += (u64)n;
	}
	return 0;
}

/* What ERR was, for who has to do without the image. */
static void say_why(const struct cpio *c, int err, u64 at, char *why,
		    size_t why_size)
{
	if (err == -ENOSPC || err == -ENOMEM)
		(void)mm_scnprintf(
			why, why_size,
			"it does not fit: %s has no room after %llu KiB of "
			"files; files may take half of the memory, %llu KiB",
			c->name[0] ? c->name : "an entry",
			(unsigned long long)c->bytes >> 10,
			(unsigned long long)totalram_pages() << PAGE_SHIFT >>
				11);
	else
		(void)mm_scnprintf(
			why, why_size,
			"archive at byte %llu, byte %llu of it: %s (error %d)",
			(unsigned long long)at, (unsigned long long)c->offset,
			c->why ? c->why : "cannot be unpacked", err);
}

int initramfs_unpack(const void *image, u64 size, char *why, size_t why_size)
{
	struct cpio *c = kvzalloc(sizeof(*c), GFP_KERNEL);
	u64 at = 0;
	u32 mask;
	int err;

	if (!c) {
		(void)mm_strscpy(why, "no memory to read it", why_size);
		return -ENOMEM;
	}
	c->sink.take = cpio_take;
	mask = __atomic_exchange_n(&fs_current()->umask, 0, __ATOMIC_RELAXED);
	err = unpack_all(c, image, size, &at);
	__atomic_store_n(&fs_current()->umask, mask, __ATOMIC_RELAXED);
	if (c->file)
		fput(c->file);
	if (err) {
		say_why(c, err, at, why, why_size);
		pr_err("initramfs: %s\n", why);
	} else {
		pr_info("initramfs: %llu entries of %llu bytes\n",
			(unsigned long long)c->nr, (unsigned long long)size);
	}
	first_forget(c);
	kvfree(c);
	return err;
}
