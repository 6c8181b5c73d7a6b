/* SPDX-License-Identifier: MIT */
/* What stands in for the machine under tests of kernel/: threads, timers. */
#include "sim_machine.h"

#include "task_stub.h"

static int seen;

static void count_up(void *arg)
{
	seen += *(int *)arg;
	CHECK(machine_owner(port_self()) == &seen);
	CHECK(machine_mm_task(port_self()) == port_current());
	CHECK(!(port_current()->flags & PF_KTHREAD));
}

static void count_and_exit(void *arg)
{
	seen += *(int *)arg;
	machine_thread_exit();
}

static void user_mode(struct pt_regs *regs)
{
	seen += (int)regs->rax;
}

static int threads_body(void *arg)
{
	struct port_thread *t[4];
	int step = 3;

	(void)arg;
	kt_start(NULL);
	seen = 0;
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(machine_thread_create(
				 &t[i], "t", i == 1 ? count_and_exit : count_up,
				 &step, &seen),
			 0);
		machine_regs(t[i])->rax = 100;
	}
	kt_user_mode(user_mode);
	port_park(1000 * 1000);
	CHECK_EQ(seen, 0); /* none was started */
	for (int i = 0; i < 3; i++)
		machine_thread_start(t[i]);
	for (int i = 0; i < 4; i++)
		machine_thread_free(t[i]);
	/* Two reached user mode, one ended before, one never ran. */
	CHECK_EQ(seen, 3 * 3 + 2 * 100);
	kt_user_mode(NULL);
	kt_stop();
	return 0;
}

static void threads(void **state)
{
	(void)state;
	TM_RUN(threads_body, .cpus = 2);
}

static u64 fired_at;

static void fired(struct machine_timer *t)
{
	(void)t;
	fired_at = port_now_ns();
}

static int timers_body(void *arg)
{
	struct machine_timer a = {.fn = fired}, b = {.fn = fired};
	u64 now = port_now_ns();

	(void)arg;
	kt_start(NULL);
	a.expires = now + 5000000;
	b.expires = now + 2000000;
	machine_timer_arm(&a);
	machine_timer_arm(&b);
	port_park(3000000);
	CHECK(fired_at >= b.expires && fired_at < a.expires);
	CHECK(!machine_timer_cancel(&b));
	CHECK(machine_timer_cancel(&a));
	fired_at = 0;
	port_park(9000000);
	CHECK_EQ(fired_at, 0);
	kt_stop();
	return 0;
}

static void timers(void **state)
{
	(void)state;
	TM_RUN(timers_body, .cpus = 2);
}

static u8 got;

static void rx(u8 byte)
{
	CHECK(got < byte);
	got = byte;
}

static int devices_body(void *arg)
{
	size_t len;

	(void)arg;
	kt_console_clear();
	machine_console_write("ab", 2);
	machine_console_write("c", 1);
	CHECK(!strcmp(kt_console_text(&len), "abc") && len == 3);
	machine_console_on_rx(rx);
	kt_console_type("xyz");
	CHECK_EQ(got, 'z');
	machine_console_on_rx(NULL);
	machine_outb(0x402, 7);
	CHECK_EQ(kt_port(0x402), 7);
	return 0;
}

static void devices(void **state)
{
	(void)state;
	TM_RUN(devices_body, .cpus = 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads),
		cmocka_unit_test(timers),
		cmocka_unit_test(devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
