/* SPDX-License-Identifier: MIT */
/*
 * console.c - the machine's console as a terminal: /dev/console, /dev/ttyS0,
 * and /dev/tty, the controlling terminal of whoever opens it.
 *
 * There is one line and it goes to the machine at once, so output never waits
 * but for ^S. Both names lead to the same terminal; only by ttyS0 does opening
 * it make it a controlling one, as the console's name does not on Linux.
 */
#include "tty.h"

#define CONSOLE_ROOM 4096u

static struct {
	struct tty tty;
	bool up; /* (A) bytes may come in */
} console_sys;

static void console_put(struct tty *tty, const char *text, u32 n)
{
	(void)tty;
	machine_console_write(text, n);
}

static u32 console_room(struct tty *tty)
{
	(void)tty;
	return CONSOLE_ROOM;
}

static const struct tty_driver console_driver = {
	.put = console_put,
	.room = console_room,
	.console = true,
};

struct tty *console_tty(void)
{
	return &console_sys.tty;
}

void tty_console_input(u8 byte)
{
	if (READ_ONCE(console_sys.up))
		tty_input(&console_sys.tty, &byte, 1);
}

static int console_open(struct vnode *v, struct file *file)
{
	(void)v;
	tty_attach(file, tty_get(&console_sys.tty), false);
	return 0;
}

static int serial_open(struct vnode *v, struct file *file)
{
	(void)v;
	tty_attach(file, tty_get(&console_sys.tty), true);
	return 0;
}

static int controlling_open(struct vnode *v, struct file *file)
{
	struct tty *tty = tty_of_process(current->proc);

	(void)v;
	if (!tty)
		return -ENXIO;
	tty_attach(file, tty, false);
	return 0;
}

int tty_devices_init(void)
{
	int err;

	tty_init(&console_sys.tty, MKDEV(4, 64), &console_driver);
	err = chrdev_register(MKDEV(5, 1), 1, "console", 0600, &tty_fops,
			      console_open);
	if (!err)
		err = chrdev_register(MKDEV(4, 64), 1, "ttyS0", 0600, &tty_fops,
				      serial_open);
	if (!err)
		err = chrdev_register(MKDEV(5, 0), 1, "tty", 0666, &tty_fops,
				      controlling_open);
	if (err)
		return err;
	WRITE_ONCE(console_sys.up, true);
	machine_console_on_rx(tty_console_input);
	return 0;
}
