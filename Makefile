# SPDX-License-Identifier: MIT
# mmkit: one non-recursive makefile; everything that is built lands in build/.
#
#   make            build/mmkit, the libraries
#   make run        the main job on real input    make test   all tests
#   make check      the house rules               make bench  the benchmarks
#   make help       the whole list
#
# A variant is a folder build/<variant>/ with its own flags. src/ is compiled
# once for each pair of world and variant, because port_inline.h is inlined.

# All rules are written down: looking for others takes four fifths of the time.
MAKEFLAGS += -r
include tools/make/config.mk
include tools/make/rules.mk
include tools/make/tests.mk
include tools/make/house.mk
-include tools/make/nullport.mk
-include tools/make/examples.mk
-include tools/make/malloc.mk
-include tools/make/arena.mk
-include tools/make/diff.mk
-include tools/make/kernel.mk
-include tools/make/metal.mk
-include tools/make/guest.mk
-include tools/make/selftest.mk
-include tools/make/install.mk
