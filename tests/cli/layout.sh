#!/bin/sh
# SPDX-License-Identifier: MIT
# Pictures of virtual address spaces against stored ones, and wrong use.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

for f in tests/data/layout/*.txt; do
	name=$(basename "$f" .txt)
	succeeds "layout-$name" layout --arch "${name%-*}" --mem "${name##*-}"
	if cmp -s "$f" "$work/out"; then
		ok "layout-$name-same"
	else
		not_ok "layout-$name-same" "$(diff "$f" "$work/out" | head -n 5)"
	fi
	holds "layout-$name-80" "$(grep -cE '.{81,}' "$work/out")" -eq 0
done

succeeds layout-default layout
holds layout-default-same "$(cmp "$work/out" tests/data/layout/x86-64-1G.txt \
	>/dev/null 2>&1 && echo 1 || echo 0)" -eq 1
succeeds layout-most layout --arch x86-32-pae --mem 16T
succeeds layout-least layout --arch x86-32 --mem 4K

if have_json; then
	for arch in x86-64 x86-64-la57 x86-32 x86-32-pae arm64; do
		succeeds "layout-json-$arch" layout --arch $arch --mem 2G --json
		holds "layout-json-$arch-schema" \
			"$(json '$j->{schema}')" = mmkit.layout/1
		holds "layout-json-$arch-name" "$(json '$j->{arch}')" = $arch
		holds "layout-json-$arch-start" \
			"$(json '$j->{regions}[0]{start}')" = 0x0
	done
	succeeds layout-json-low layout --arch x86-32 --mem 2G --json
	holds layout-json-low-bytes "$(json '$j->{low_bytes}')" -eq 939524096
	holds layout-json-high-bytes "$(json '$j->{high_bytes}')" -eq 1207959552
	holds layout-json-vmalloc "$(json \
		'grep({ $_->{kind} eq "vmalloc" } @{$j->{regions}}) &&
		(grep { $_->{kind} eq "vmalloc" } @{$j->{regions}})[0]{start}')" \
		= 0xf8800000
else
	skip layout-json "there is no perl to read it"
fi

refused 2 layout-arch x86-46 layout --arch x86-46
refused 2 layout-arch-near 'x86-64' layout --arch x86-6
refused 2 layout-mem-word lots layout --mem lots
refused 2 layout-mem-0 --mem layout --mem 0
refused 2 layout-mem-large 17T layout --mem 17T
refused 2 layout-argument picture layout picture
refused 2 layout-option --jsn layout --jsn
finish
