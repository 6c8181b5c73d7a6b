#!/bin/sh
# SPDX-License-Identifier: MIT
# The Debian packages: built from a copy of what is committed, looked at by
# lintian, installed on this system where that may be done (root, Debian, none
# of them there), used, and removed again; else unpacked into a folder and used
# from there. Started by `make test-package`.
# shellcheck source=tests/cli/common
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
MMKIT=/bin/true # the one that is built here
. "$top/tests/cli/common"
RUN_LIMIT=60

# A folder of one name, so that a compiler's cache knows the files again.
src=$top/build/package/mmkit
rm -rf "$top/build/package"
mkdir -p "$src"
tools/sources '*' | tar -cf - -T - | tar -xf - -C "$src"
if (cd "$src" && dpkg-buildpackage -us -uc -j"${JOBS:-2}") \
	>build/package/build.log 2>&1 </dev/null; then
	ok builds
else
	not_ok builds "$(tail -n 3 build/package/build.log | tr '\n' '|')"
	finish
fi
cd "$top/build/package" || exit 1
holds source-package "$(find . -maxdepth 1 -name 'mmkit_*.dsc' | wc -l)" -eq 1
holds packages "$(find . -maxdepth 1 -name '*.deb' ! -name '*-dbgsym*' |
	wc -l)" -eq 6
lintian --tag-display-limit 0 --fail-on error,warning ./*.changes \
	>lintian.log 2>&1
holds lintian "$? $(grep -cE '^[EW]:' lintian.log)" = "0 0"
# Everything that is installed is in one package, and in one only.
for d in ./*.deb; do
	dpkg-deb -c "$d" | awk '$1 !~ /^d/ { print $6 }' |
		grep -vE '/doc/[^/]*/(changelog|copyright)|/lintian/|/debug/'
done | sort >"$work/files"
holds in-one-package "$(uniq -d "$work/files" | wc -l)" -eq 0

root=
packages='mmkit mmkit-data libmmkit-dev libmmkit-malloc mmkit-source mmkit-doc'
debs=$(find . -maxdepth 1 -name '*.deb' ! -name '*-dbgsym*')
# shellcheck disable=SC2086 # words
if [ "$(id -u)" -eq 0 ] && ! dpkg -s $packages >/dev/null 2>&1; then
	dpkg -i $debs >install.log 2>&1
	holds installs "$?" -eq 0
	trap 'dpkg -P $packages >/dev/null 2>&1; rm -rf "$work"' EXIT
else
	skip installs "not root, or installed already: unpacked instead"
	root=$work/root
	for d in $debs; do
		dpkg-deb -x "$d" "$root"
	done
	PKG_CONFIG_SYSROOT_DIR=$root
	PKG_CONFIG_PATH=$(find "$root" -name pkgconfig | tr '\n' ':')
	export PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_PATH
fi

cd "$work" || exit 1
MMKIT=$root/usr/bin/mmkit
holds version "$("$MMKIT" --version)" = "mmkit $(sed -n \
	'1s/.*(\(.*\)).*/\1/p' "$top/debian/changelog")"
succeeds replay replay "$root/usr/share/mmkit/traces/sort.trace" --mem 2M \
	--swap 64M --quiet
run run --mem 32M -- busybox echo from inside
holds run "$status $(cat out)" = "0 from inside"
run run --mem 64M --audit -- busybox sh -c 'cat /proc/version; exit 7'
holds run-status "$status $(grep -c mmkit out)" = "7 1"
malloc=libmmkit-malloc.so
[ -z "$root" ] || malloc=$(find "$root" -name libmmkit-malloc.so)
LD_PRELOAD=$malloc sort "$top/README.md" >sorted 2>err
holds malloc "$? $(wc -c <err) $(wc -l <sorted)" = \
	"0 0 $(wc -l <"$top/README.md")"
if [ -z "$root" ]; then
	holds manual "$(man -w mmkit-sweep 2>/dev/null | wc -l)" -eq 1
	# Another program finds it as it finds any library.
	cp -r /usr/share/doc/mmkit-doc/examples ex
	"${MAKE:-make}" -C ex OUT="$work/bin" MAKEFLAGS= CFLAGS=-O1 \
		>out 2>err
	holds examples "$? $(grep -c 'error' err)" = "0 0"
	for e in bin/*; do
		case $e in *.so) continue ;; esac
		timeout 60 "$e" >out 2>err
		holds "example-$(basename "$e")" "$? $(wc -c <err)" = "0 0"
	done
	succeeds example-policy replay /usr/share/mmkit/traces/sort.trace \
		--mem 2M --swap 64M --quiet --policy "$work/bin/fifo.so"
	# shellcheck disable=SC2086
	dpkg -P $packages >out 2>err
	holds removes "$?" -eq 0
	holds nothing-left "$(find /usr/lib/mmkit /usr/share/mmkit \
		/usr/include/mmkit 2>/dev/null | wc -l)" -eq 0
	trap 'rm -rf "$work"' EXIT
fi
finish
