# SPDX-License-Identifier: MIT
# Flags and variants.
CC ?= gcc
AR ?= ar
BUILD := build
.DEFAULT_GOAL := all

WARN := -Wall -Wextra -Wundef -Wshadow -Wvla -Wmissing-prototypes \
	-Wstrict-prototypes -Wold-style-definition -Wimplicit-fallthrough \
	-Wframe-larger-than=2048 -fno-common
ifdef WERROR
WARN += -Werror
endif
STD := -std=gnu17
INC := -Iinclude -Isrc

# variant -> flags. debug levels: 0 release, 1 asserts and lock checker.
CFLAGS_release := -O2 -g -DMM_DEBUG=0
CFLAGS_debug   := -O1 -g -DMM_DEBUG=1 -fno-omit-frame-pointer
CFLAGS_asan    := -O1 -g -DMM_DEBUG=1 -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined
CFLAGS_tsan    := -O1 -g -DMM_DEBUG=1 -fno-omit-frame-pointer -fsanitize=thread
LDFLAGS_asan   := -fsanitize=address,undefined
LDFLAGS_tsan   := -fsanitize=thread
VARIANTS := release debug asan tsan
WORLDS := sim host
