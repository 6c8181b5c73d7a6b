#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Programs set the bases of FS and GS by themselves where the CPU lets them
# (guest/fsgs.c), and are told so in AT_HWCAP2; an older CPU refuses it.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox
alive "$@"

guest_is "processes keep the bases that they set" 0 --cpu max --cpus 2 \
	--mem "$(mem 32M 256M)" -- "$top/build/guest/fsgs" 60
has "all rounds of all" '^FSGSBASE 360$'
guest_is "on an older CPU the instructions are no instructions" 3 \
	--cpu Nehalem --mem "$(mem 32M 256M)" -- "$top/build/guest/fsgs"
has "as AT_HWCAP2 says" '^FSGSBASE 0$'
finish
