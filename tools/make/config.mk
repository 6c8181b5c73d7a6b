# SPDX-License-Identifier: MIT
# Flags and variants.
ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
BUILD := build
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

# make V=1 shows the commands, else one short line for each.
ifeq ($(V),1)
Q :=
SAY := @:
else
Q := @
SAY := @echo
endif

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
# The sanitizers need lines, not variables (G= -g for a debugger): a third of
# their compile time.
G ?= -g1
CFLAGS_asan    := -O1 $(G) -DMM_DEBUG=1 -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined
CFLAGS_tsan    := -O1 $(G) -DMM_DEBUG=1 -fno-omit-frame-pointer -fsanitize=thread
LDFLAGS_asan   := -fsanitize=address,undefined
LDFLAGS_tsan   := -fsanitize=thread
VARIANTS := release debug asan tsan

# world -> where its port_inline.h stands. The null world has no port: it is
# src/ alone, for what reads its symbols.
WORLDS := sim host
PORT_INC_sim  := -Iport/sim
PORT_INC_host := -Iport/host
PORT_INC_null := -Itests/null-port
