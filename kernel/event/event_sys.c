/* SPDX-License-Identifier: MIT */
/*
 * event_sys.c - the calls of kernel/event and its beginning.
 */
#include "event_priv.h"
#include "pipe.h"
#include "tty.h"

void event_sys_init(void)
{
	pipe_sys_init();
	splice_sys_init();
	poll_sys_init();
	epoll_sys_init();
	eventfd_sys_init();
	timerfd_sys_init();
	signalfd_sys_init();
	socket_sys_init();
}

int event_init(void)
{
	int err;

	vfs_set_fifo(&fifo_ops);
	err = tty_devices_init();
	return err ? err : pty_init();
}
