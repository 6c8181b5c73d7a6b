#!/bin/sh
# SPDX-License-Identifier: MIT
# mmkit run: what is refused before a machine starts, and what is left behind.
# (Machines: tests/metal.)
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"
TMPDIR=$work
export TMPDIR

refused 2 "no program" "which program" run
refused 2 "an option with a typing error" "--memm" run --memm=1M -- true
refused 2 "no such machine" "'q35': microvm or pc" run --machine q35 -- true
refused 2 "memory that is no size" "--mem: 'much'" run --mem much -- true
refused 2 "too little memory to mean it" "--mem: '1K'" run --mem 1K -- true
refused 2 "swap without room for its head" "--swap: '4K'" run --swap 4K -- true
refused 2 "nodes on a microvm" "--nodes: a microvm" run --nodes 2 \
	--machine microvm -- true
refused 2 "a variable without a name" "--env: '=x'" run --env =x -- true
refused 2 "a time that is none" "--timeout: 'soon'" run --timeout soon -- true

# A kernel that begins like one is enough for what fails before it starts.
{
	head -c 514 /dev/zero
	printf 'HdrS'
	head -c 1024 /dev/zero
} >"$work/kernel"
k="--kernel $work/kernel"
# shellcheck disable=SC2086 # words
{
	refused 125 "a kernel that is none" "neither an ELF kernel nor" \
		run --kernel "$top/README.md" -- true
	refused 125 "a kernel that is not there" "No such file" \
		run --kernel /no/kernel -- true
	refused 125 "no such program" "no such program in PATH" \
		run $k -- no-such-program
	refused 125 "a folder as program" "/usr: is a folder" run $k -- /usr
	refused 125 "not executable" "not executable" run $k -- "$top/LICENSE"
	refused 125 "--add of nothing" "--add: /no/file: No such" \
		run $k --add /no/file -- true
	refused 125 "--add over the machine's own" "has its own /proc/" \
		run $k --add "$top/LICENSE:/proc/x" -- true
	mkdir "$work/bin"
	for tool in head cut tr grep timeout; do
		ln -s "$(command -v $tool)" "$work/bin/$tool"
	done
	path=$PATH
	PATH=$work/bin
	refused 125 "--packages without dpkg" "no dpkg-query here" \
		run $k --packages -- /bin/true
	PATH=$path
	DPKG_ADMINDIR=$work/none
	export DPKG_ADMINDIR
	refused 125 "--packages without packages" "no package is installed" \
		run $k --packages -- /bin/true
	unset DPKG_ADMINDIR
	refused 125 "a place that cannot be written" "--out: /no/where" \
		run $k --out /no/where -- true

	echo text >"$work/text"
	chmod +x "$work/text"
	refused 125 "neither program nor script" "neither an ELF program" \
		run $k -- "$work/text"
	printf '#!/no/interpreter\n' >"$work/script"
	chmod +x "$work/script"
	refused 125 "a script without its interpreter" \
		"its interpreter /no/interpreter" run $k -- "$work/script"
	printf '#!%s\n' "$work/loop" >"$work/loop"
	chmod +x "$work/loop"
	refused 125 "scripts in a circle" "too many" run $k -- "$work/loop"

	# A real program, spoilt: the machine field, and all its tail.
	cp /bin/busybox "$work/arm" 2>/dev/null || cp /bin/sh "$work/arm"
	printf '\267\000' |
		dd of="$work/arm" bs=1 seek=18 conv=notrunc 2>/dev/null
	refused 125 "a program for another machine" "not a program for x86-64" \
		run $k -- "$work/arm"
	head -c 60 /bin/sh >"$work/cut"
	chmod +x "$work/cut"
	refused 125 "a program that is cut off" "ends within its header" \
		run $k -- "$work/cut"
	head -c 100 /bin/sh >"$work/cut"
	refused 125 "program headers that are cut off" \
		"program headers beyond the end" run $k -- "$work/cut"
}
left=$(find "$work" -maxdepth 1 -name 'mmkit-run*' | wc -l)
holds "nothing is left in TMPDIR" "$left" -eq 0
finish
