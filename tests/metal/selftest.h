/* SPDX-License-Identifier: MIT */
/* selftest.h - the programs in the test image: X(name) each. */
#ifndef METAL_SELFTEST_H
#define METAL_SELFTEST_H

#define SELFTEST_PROGRAMS(X)        \
	X(test_base_containers)     \
	X(test_slab_layout)         \
	X(test_kernel_layout)       \
	X(test_slab_threads)        \
	X(test_vmalloc_threads)     \
	X(test_filemap_threads)     \
	X(test_file_map_threads)    \
	X(test_shmem_threads)       \
	X(test_faults_host)         \
	X(test_userfaultfd_threads) \
	X(test_whole_host)

#endif
