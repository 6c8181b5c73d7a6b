/* world: host */
/* SPDX-License-Identifier: MIT */
/*
 * boot_1t - how long a machine of 1 TiB takes to boot, and how much of the
 * host's memory. The command is $MMKIT, else build/mmkit.
 */
#include "bench.h"

#include <fcntl.h>

/* Boot with MEM; the best of three in seconds, the largest RSS in MiB. */
static void measure(const char *mem, double *secs, double *mib)
{
	const char *mmkit = getenv("MMKIT");

	*secs = 1e9;
	*mib = 0;
	for (int i = 0; i < 3; i++) {
		double start = bench_now();
		struct rusage ru;
		int status;
		pid_t pid = fork();

		if (pid < 0)
			bench_die("cannot fork");
		if (pid == 0) {
			int null = open("/dev/null", O_WRONLY);

			dup2(null, STDOUT_FILENO);
			execl(mmkit ? mmkit : "build/mmkit", "mmkit", "boot",
			      "--mem", mem, (char *)NULL);
			_exit(127);
		}
		if (wait4(pid, &status, 0, &ru) != pid || status)
			bench_die("the machine does not boot");
		if (bench_now() - start < *secs)
			*secs = bench_now() - start;
		if ((double)ru.ru_maxrss / 1024 > *mib)
			*mib = (double)ru.ru_maxrss / 1024;
	}
}

int main(void)
{
	static const char *const sizes[] = {"1G", "64G", "1T", "16T"};
	double secs, mib;

	printf("boot of a simulated machine\n");
	printf("%-8s %10s %10s %10s %12s %10s %10s\n", "memory", "seconds",
	       "at most", "goal", "host MiB", "at most", "goal");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		bool one_t = !strcmp(sizes[i], "1T");

		measure(sizes[i], &secs, &mib);
		printf("%-8s %10.3f %10s %10s %12.1f %10s %10s\n", sizes[i],
		       secs, one_t ? "5" : "-", one_t ? "2" : "-", mib,
		       one_t ? "512" : "-", one_t ? "256" : "-");
	}
	return 0;
}
