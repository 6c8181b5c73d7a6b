/* SPDX-License-Identifier: MIT */
/*
 * main.c - the metal world tests itself: an image of src/, port/metal and a
 * kernel that does nothing but this. Each test says its name when it is
 * through; the machine's exit status is 0 if all were.
 *
 * "only=NAME" on the command line runs one.
 */
#include "self.h"

#include <mmkit/report.h>

#include "base/string.h"

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
	{"initrd", self_initrd},   {"frames", self_frames},
	{"threads", self_threads}, {"user", self_user},
	{"cost", self_cost},
};

static void audit_line(void *arg, const char *text, size_t len)
{
	(void)arg;
	port_console(6, text, len);
}

void kernel_main(void)
{
	const char *only = metal_option("only");
	char buf[256];
	struct seq_buf s;
	int findings;

	for (u32 i = 0; i < ARRAY_SIZE(tests); i++) {
		size_t len = mm_strlen(tests[i].name);

		if (only && mm_strncmp(only, tests[i].name, len))
			continue;
		tests[i].fn();
		pr_info("self: %s: ok", tests[i].name);
	}
	seq_buf_init_sink(&s, buf, sizeof(buf), audit_line, NULL);
	findings = mm_audit(&s);
	seq_buf_flush(&s);
	CHECK(findings == 0);
	pr_info("self: all ok");
	machine_power_off(0);
}
