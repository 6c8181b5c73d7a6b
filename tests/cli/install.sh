#!/bin/sh
# SPDX-License-Identifier: MIT
# What is installed works without the source tree: the command with its kernel,
# the libraries, headers and sources for programs of others; and it goes again.
# All examples with LONG=1, those that compile in a moment otherwise.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

# made NAME ARG...: make with these arguments, one at a time
made() {
	name=$1
	shift
	if flock build/examples.lock "${MAKE:-make}" --no-print-directory \
		"$@" >"$work/out" 2>"$work/err"; then
		ok "$name"
	else
		not_ok "$name" "$(tail -n 3 "$work/err" | tr '\n' '|')"
		finish
	fi
}

# Staged: all of it is below DESTDIR, and nothing knows of DESTDIR.
stage=$work/stage
made install-staged install DESTDIR="$stage" prefix=/opt/mm \
	libdir=/opt/mm/lib/arch
holds staged-nowhere-else "$(find "$stage" -type f |
	grep -cv "^$stage/opt/mm/")" -eq 0
holds staged-libdir "$(find "$stage/opt/mm/lib/arch" -name 'libmmkit*' |
	wc -l)" -eq 4
holds staged-unknown "$(grep -rl "$stage" "$stage" | wc -l)" -eq 0
holds staged-pkgconfig "$(sed -n 's/^libdir=//p' \
	"$stage/opt/mm/lib/arch/pkgconfig/mmkit-host.pc")" = /opt/mm/lib/arch
holds staged-pages "$(find "$stage/opt/mm/share/man/man1" -name '*.1' |
	wc -l)" -eq "$(find docs/man -name '*.1' | wc -l)"
# Found from its own place, wherever that is by now.
mv "$stage/opt/mm" "$work/moved"
cp "$work/moved/share/mmkit/traces/loop.trace" "$work/"
cd "$work" || exit 1
MMKIT=$work/moved/bin/mmkit
succeeds moved-replay replay loop.trace --mem 64M --quiet
if ! command -v qemu-system-x86_64 >/dev/null || ! command -v busybox \
	>/dev/null; then
	skip moved-run "no QEMU or no busybox"
elif [ "$(uname -m)" != x86_64 ]; then
	skip moved-run "the kernel is for x86-64"
else
	RUN_LIMIT=60
	run run --mem 32M -- busybox echo from inside
	holds moved-run "$status $(cat out)" = "0 from inside"
fi
MMKIT_LIBDIR=$work run run -- busybox true
holds libdir-of-environment "$status $(grep -c "$work" err)" = "125 1"
cd "$top" || exit 1

# For good, with other programs built against it, then away.
root=$work/usr
made install install prefix="$root"
find "$root" | sort >"$work/first"
cp -r "$root/share/doc/mmkit/examples" "$work/ex"
PKG_CONFIG_PATH=$root/lib/pkgconfig
export PKG_CONFIG_PATH
if ! command -v pkg-config >/dev/null; then
	skip examples "no pkg-config"
else
	holds version "$(pkg-config --modversion mmkit)" = \
		"$("$root/bin/mmkit" --version | sed 's/.* //')"
	[ ! -e debian/changelog ] || holds version-of-package "$(sed -n '1s/.*(\(.*\)).*/\1/p' \
		debian/changelog)" = "$(pkg-config --modversion mmkit)"
	bin=$work/ex-out
	set -- "$bin/arena" "$bin/machine-host" "$bin/machine-sim" \
		"$bin/memblock"
	[ "${LONG:-}" = 1 ] && set -- all
	if "${MAKE:-make}" -C "$work/ex" OUT="$bin" MAKEFLAGS= CFLAGS=-O1 \
		"$@" >"$work/out" 2>"$work/err"; then
		ok examples-build
	else
		not_ok examples-build "$(grep -m 3 error "$work/err" | tr '\n' '|')"
	fi
	for e in "$bin"/*; do
		case $e in *.so) continue ;; esac
		timeout 60 "$e" >"$work/out" 2>"$work/err"
		holds "example-$(basename "$e")" "$? $(wc -c <"$work/err")" = "0 0"
	done
	if [ "${LONG:-}" = 1 ]; then
		MMKIT=$root/bin/mmkit
		succeeds example-policy replay traces/loop.trace --mem 64M \
			--quiet --policy "$bin/fifo.so"
	fi
fi
made uninstall uninstall prefix="$root"
holds uninstalled "$(find "$root" -type f | wc -l)" -eq 0
holds no-folder-of-ours "$(find "$root" -name mmkit | wc -l)" -eq 0
holds folders-of-others "$(find "$root" -name man1 | wc -l)" -eq 1

# Completion: what the command has, in each shell.
complete_bash() {
	bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
		compopt() { :; }
		_mmkit; echo "${COMPREPLY[*]}"' bash \
		"$work/moved/share/bash-completion/completions/mmkit" "$@"
}
if command -v bash >/dev/null; then
	holds completes-verb "$(complete_bash mmkit rep)" = replay
	holds completes-option "$(complete_bash mmkit replay --swa)" = \
		"--swap --swap-file --swappiness"
	holds completes-value "$(complete_bash mmkit boot --arch = x86-32)" = \
		"x86-32 x86-32-pae"
	holds completes-list "$(complete_bash mmkit replay --policy arc,si)" = \
		"arc,sieve"
	holds completes-file "$(complete_bash mmkit replay "$work/lo")" = \
		"$work/loop.trace"
	holds completes-command "$(complete_bash mmkit trace ca)" = cat
fi
MMKIT=$work/moved/bin/mmkit
run --completion table
cut -f 1,2 "$work/out" >"$work/table"
holds completion-table "$(wc -l <"$work/table")" -gt 80
cut -f 1 "$work/table" | sort -u >"$work/verbs"
while read -r v; do
	run "$v" --usage
	grep -oE -- '\[--[a-z][a-z-]*' "$work/out" | sed 's/^...//' |
		grep -vxE 'help|usage' | sort >"$work/usage"
	sed -n "s/^$v	//p" "$work/table" | sort >"$work/of-table"
	holds "completion-$v" "$(diff "$work/usage" "$work/of-table" | wc -l)" \
		-eq 0
done <"$work/verbs"
refused 2 completion-of-no-shell bash --completion csh
for s in zsh fish; do
	command -v $s >/dev/null || continue
	run --completion $s
	$s -n "$work/out" >"$work/err" 2>&1
	holds "completion-$s" "$? $(wc -c <"$work/err")" = "0 0"
done
finish
