#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Debian's busybox, statically linked: shell, pipes, files, /proc.
# shellcheck disable=SC2016 # the dollars are the guest's
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox
alive "$@"

m=$(mem 64M 160M)
guest_is "a session with files and /proc" 0 --mem "$m" --swap 128M -- \
	/bin/busybox sh -c 'free; cat /proc/buddyinfo /proc/meminfo;
	dd if=/dev/zero of=/tmp/x bs=1M count=16; md5sum /tmp/x;
	sort /proc/vmstat | head'
has "free shows memory" '^Mem: +[1-9][0-9]+'
has "free shows swap" '^Swap: +131068 '
has "buddyinfo has zones" '^Node 0, zone +DMA'
has "meminfo has MemTotal" '^MemTotal: +[1-9][0-9]* kB'
has "16 MiB of zeroes" '^2c7ab85a893283e98c931e9511add182  /tmp/x'
has "vmstat is sorted" '^allocstall_'

guest_is "the kernel's log" 0 --mem "$m" -- busybox sh -c '
	dmesg | grep -c "Memory:"; echo "<3>said by hand" >/dev/kmsg
	dmesg -r | tail -n 1; dmesg -c >/dev/null; dmesg | wc -l
	head -n 1 /dev/kmsg | cut -c1-4; head -n 1 /proc/kmsg | cut -c1-5; cat /proc/sys/kernel/printk'
has "dmesg has the boot" '^1$'
has "and what was written" '^<11>\[ *[0-9]+\.[0-9]+\] said by hand$'
has "dmesg -c clears it" '^0$'
has "/dev/kmsg has records" '^6,0,'
has "/proc/kmsg has lines" '^<6>\[ $'

cat >"$work/script" <<'SCRIPT'
set -u
echo one two three | tr ' ' '\n' | sort -r
x=$(seq 1 100 | awk '{ s += $1 } END { print s }'); echo "sum $x"
cat <<END
here $x
END
(cd /; pwd); (exit 3); echo "status $?"
trap 'echo trapped' USR1; kill -USR1 $$
sleep 0.1 & wait $!; echo "waited $?"
sh -c 'kill -TERM $$'; echo "killed $?"
cd "$(dirname "$0")" || exit 1
mkdir -p d/e; echo text >d/e/f; mv d/e/f d/g
ls d; cat d/g; ln -s g d/h; cat d/h; rm -r d
ls d 2>/dev/null || echo gone
seq 1 20000 | md5sum
i=0; while [ $i -lt 30 ]; do /bin/busybox true & i=$((i + 1)); done; wait
echo "$((1 << 40))"; printf '%05d|%x|%s\n' 42 255 end
echo abc | sed 's/b/X/' | od -c | head -n 1
exec 3>fd; echo three >&3; exec 3>&-; cat fd; rm fd
cp /bin/busybox prog; ./prog sh -c 'echo x >>prog' 2>&1 | grep -c 'file busy'
exec 3>>prog; ./prog true 2>&1 | grep -c 'file busy'; exec 3>&-
./prog echo runs; rm prog
echo in | cat /dev/stdin; (echo out >/dev/stdout) | cat; echo fd | tee /dev/fd/1 | wc -l
: | [ -p /dev/stdin ] && echo pipe; : | ls -lL /proc/self/fd/0 | cut -c1-10
test -c /dev/null && test -d /proc/self && echo devices
SCRIPT
same "a script of pipes, jobs, traps and files" --mem "$m" --cpus 2 \
	--add "$work/script" -- busybox sh "$work/script"

# What a program opens by itself, by a database of packages that is made up:
# its own, one that is recommended, the second of two alternatives, one that
# provides a name, in a circle; not: what is not installed, documentation, what
# dpkg did not unpack, what only what is recommended recommends.
pk=$work/packages
mkdir -p "$pk/db/info" "$pk/usr/share/doc" "$pk/here"
own=$(readlink -f "$(command -v busybox)")
package() {
	printf 'Package: %s\nStatus: %s\nMaintainer: m\n' "$1" "$2"
	printf 'Version: 2\nArchitecture: amd64\nDescription: d\n'
	shift 2
	for field; do echo "$field"; done
	echo
}
{
	package box 'install ok installed' 'Depends: none | second (>= 1:2~), name:any' \
		'Recommends: wanted' 'Suggests: trap'
	package second 'install ok installed' 'Pre-Depends: box'
	package provider 'install ok installed' 'Provides: other, name (= 3)'
	package wanted 'install ok installed' 'Recommends: trap'
	package trap 'install ok installed'
	package gone 'deinstall ok config-files'
} >"$pk/db/status"
printf '%s\n' /. "${own#/usr}" "$pk/here" "$pk/here/box" "$pk/missing" \
	/usr/share/doc/busybox/changelog.gz >"$pk/db/info/box.list"
for name in second provider wanted trap gone; do
	echo "$pk/here/$name" >"$pk/db/info/$name.list"
done
for name in box second provider wanted trap gone; do
	echo "$name's" >"$pk/here/$name"
done
DPKG_ADMINDIR=$pk/db
export DPKG_ADMINDIR
guest_is "files by package" 0 --mem "$m" --packages -- \
	busybox sh -c "cd $pk/here && cat * && ! ls /usr/share/doc"
unset DPKG_ADMINDIR
printf '%s\n' "box's" "provider's" "second's" "wanted's" >"$work/want"
if cmp -s "$work/want" "$work/out"; then
	ok "those of its package, of what that recommends and depends on"
else
	not_ok "those of its package, of what that recommends and depends on" \
		"$(tr '\n' '|' <"$work/out")"
fi

head -c 100000 /dev/urandom >"$work/bytes"
stdin=$work/bytes
same "bytes go through unchanged, with their end" --mem "$m" -- busybox cat
stdin=
guest_is "a signal is status 128 and its number" 137 --mem "$m" -- \
	busybox sh -c 'echo out; echo err >&2; kill -9 $$'
has "what was written before it" '^out$'
has "standard error is apart" '^err$' "$work/err"
guest_is "an exit status" 42 --mem "$m" -- busybox sh -c 'exit 42'
limit=3 guest_is "a time-out is status 124" 124 --mem "$m" -- \
	busybox sleep 1000
guest_is "a working directory and the environment" 0 --mem "$m" --dir /proc \
	--env "COLOUR=dark green" -- busybox sh -c 'pwd; echo "$COLOUR"'
has "the directory" '^/proc$'
has "the variable" '^dark green$'
guest_is "files on a disk" 0 --mem "$m" --disk 16M -- busybox sh -c \
	'dd if=/dev/zero of=/var/x bs=64k count=128 2>/dev/null; sync;
	md5sum /var/x; df -k / | tail -n 1; rm /var/x'
has "8 MiB there and back" '^96995b58d4cbf6aaa9041b4f00c7f6ae  /var/x'
finish
