#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Tests of src/ on the bare machine (make selftest). The fast share has fewer
# steps, on 2 CPUs; LONG=1: all of them, on 1, 2 and 4.
set -u
cd "$(dirname "$0")/../.." || exit 1
image=build/release/selftest-kernel
export TIMEOUT="${METAL_LIMIT:-300}"
if [ -n "${LONG:-}" ]; then
	bad=0
	for cpus in 1 2 4; do
		tests/metal/run_selftest $image $cpus || bad=1
	done
	exit $bad
fi
ITERS=200 tests/metal/run_selftest $image 2 test_slab_threads \
	test_vmalloc_threads test_filemap_threads test_file_map_threads \
	test_shmem_threads
ITERS=6 tests/metal/run_selftest $image 4 test_faults_host \
	test_userfaultfd_threads
ITERS=2 tests/metal/run_selftest $image 4 test_whole_host
ITERS=20 tests/metal/run_selftest $image 1 test_base_containers
