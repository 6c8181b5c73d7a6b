/* SPDX-License-Identifier: MIT */
/*
 * Places of open files that have no name, as /proc/PID/fd makes them: pipes
 * are opened anew through them, others are looked at.
 */
#include "sim_machine.h"

#include "base/fail.h"
#include "event_files.h"
#include "fs/fs.h"

static struct dentry *place_of(s64 fd)
{
	struct file *file = fd_get((int)fd);
	struct dentry *d;

	CHECK(file);
	CHECK_EQ(anon_link(file, &d), 0);
	fput(file);
	return d;
}

/* The place, opened anew: a descriptor, or what opening says. */
static s64 open_place(struct dentry *d, u32 flags)
{
	struct file *file = open_dentry(d, flags);

	return IS_ERR(file) ? PTR_ERR(file) : fd_install(file, 0, false);
}

static void make_pipe(s32 fds[2])
{
	CHECK_EQ(CALL(22, area), 0);
	CHECK_EQ(user_read(fds, area, 8), 0);
}

static s64 put(s64 fd, const char *text)
{
	CHECK_EQ(user_write(area + 4096, text, strlen(text)), 0);
	return CALL(1, fd, area + 4096, strlen(text));
}

static bool got(s64 fd, const char *want)
{
	char text[64] = "";
	s64 n = CALL(0, fd, area + 8192, sizeof(text) - 1);

	CHECK(n >= 0);
	CHECK_EQ(user_read(text, area + 8192, (u64)n), 0);
	return !strcmp(text, want);
}

static int pipes_body(void)
{
	struct dentry *rd, *wr;
	struct kstat a, b;
	char text[64];
	s64 again, other;
	s32 fds[2];

	make_pipe(fds);
	rd = place_of(fds[0]);
	wr = place_of(fds[1]);
	CHECK_EQ(vfs_getattr(rd->vnode, &a), 0);
	CHECK_EQ(vfs_getattr(wr->vnode, &b), 0);
	CHECK_EQ(a.mode, S_IFIFO | 0600);
	CHECK(a.ino == b.ino && a.dev == b.dev);
	CHECK(dentry_path(rd, text, sizeof(text)) > 0);
	CHECK(!strncmp(text, "pipe:[", 6) && text[strlen(text) - 1] == ']');
	/* Either place leads to either side. */
	again = open_place(rd, O_WRONLY);
	CHECK(again >= 0);
	CHECK_EQ(put(again, "one "), 4);
	CHECK_EQ(CALL(3, fds[1]), 0);
	CHECK_EQ(put(again, "two"), 3);
	other = open_place(wr, O_RDONLY);
	CHECK(got(other, "one two"));
	/* The end comes with the last writer; places are none. */
	CHECK_EQ(CALL(3, again), 0);
	CHECK(got(other, "") && got(fds[0], ""));
	again = open_place(rd, O_WRONLY);
	CHECK_EQ(CALL(3, other), 0);
	CHECK_EQ(put(again, "x"), 1);
	CHECK_EQ(CALL(3, fds[0]), 0);
	CHECK_EQ(put(again, "x"), -EPIPE);
	CHECK_EQ(es.sent[13], 1);
	es_clear(&es.task[0]);
	CHECK_EQ(CALL(3, again), 0);
	/* Nobody has it open: what is left is read, nobody is waited for. */
	other = open_place(wr, O_RDONLY);
	CHECK(got(other, "x") && got(other, ""));
	again = open_place(wr, O_WRONLY | O_NONBLOCK);
	CHECK(again >= 0);
	dput(rd);
	dput(wr);
	CHECK_EQ(put(again, "last"), 4);
	CHECK(got(other, "last"));
	CHECK_EQ(CALL(3, other), 0);
	CHECK_EQ(CALL(3, again), 0);
	return 0;
}

static int rights_body(void)
{
	struct cred *c = &es.task[0].t.cred;
	struct dentry *d;
	struct kstat st;
	s32 fds[2];

	c->fsuid = 7;
	c->fsgid = 8;
	make_pipe(fds);
	c->fsuid = 9;
	es.may = false;
	d = place_of(fds[0]);
	CHECK_EQ(vfs_getattr(d->vnode, &st), 0);
	CHECK(st.uid == 7 && st.gid == 8);
	CHECK_EQ(dentry_permission(d, MAY_READ), -EACCES);
	c->fsuid = 7;
	CHECK_EQ(dentry_permission(d, MAY_READ), 0);
	dput(d);
	return 0;
}

static int others_body(void)
{
	s64 ev = CALL(290, 0, 0);
	struct dentry *d = place_of(ev);
	struct kstat st;
	s32 fds[2];

	CHECK_EQ(vfs_getattr(d->vnode, &st), 0);
	CHECK_EQ(st.mode & S_IFMT, 0);
	CHECK_EQ(open_place(d, O_RDONLY), -ENXIO);
	dput(d);
	CHECK_EQ(CALL(53, 1, 1, 0, area), 0);
	CHECK_EQ(user_read(fds, area, 8), 0);
	d = place_of(fds[0]);
	CHECK_EQ(vfs_getattr(d->vnode, &st), 0);
	CHECK_EQ(st.mode & S_IFMT, S_IFSOCK);
	CHECK_EQ(open_place(d, O_RDONLY), -ENXIO);
	dput(d);
	return 0;
}

/* Nothing is left of a place that could not be made. */
static int failing_body(void)
{
	struct file *file;
	s32 fds[2];

	make_pipe(fds);
	file = fd_get(fds[0]);
	for (u64 n = 1;; n++) {
		struct fail_result r;
		struct dentry *d;
		int err;

		CHECK(n < 20);
		fail_arm_nth(FAIL_MASK(FAIL_SLAB), n, false);
		err = anon_link(file, &d);
		r = fail_disarm();
		CHECK_EQ(err, r.fired ? -ENOMEM : 0);
		if (!err) {
			CHECK(n > 3);
			dput(d);
			break;
		}
	}
	fput(file);
	CHECK_EQ(CALL(3, fds[0]), 0);
	CHECK_EQ(put(fds[1], "x"), -EPIPE);
	es_clear(&es.task[0]);
	return 0;
}

static void places(void **state)
{
	(void)state;
	EF_RUN(pipes_body);
	EF_RUN(rights_body);
	EF_RUN(others_body);
	EF_RUN(failing_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
