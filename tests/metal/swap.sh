#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Swap: areas made by Debian's mkswap, turned on and off under load; a machine
# that dies while it swaps leaves files that it did not write as they were.
# shellcheck disable=SC2016 # the dollars are the guest's
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox mkswap mke2fs awk
alive "$@"

m=$(mem 32M 128M)
load=$(mem 40 110)

# An area that Debian's mkswap made on a second disk, off while in use.
truncate -s 96M "$work/area"
mkswap -L area "$work/area" >/dev/null 2>&1
cat >"$work/load" <<'SH'
dev=$1 pages=$2
awk -v n="$pages" 'BEGIN {
	for (i = 0; i < n; i++) a[i] = sprintf("%064d", i)
	print "full"; fflush()
	for (k = 0; k < 3; k++)
		for (i = 0; i < n; i++)
			if (a[i] != sprintf("%064d", i)) { print "bad", i; exit 1 }
	print "good"
}' &
pid=$!
for i in 1 2 3; do
	swapon $dev && echo "on $i"
	sleep 0.5
	swapoff $dev && echo "off $i"
done
swapon $dev
wait $pid; echo "load $?"
grep -c "${dev#/dev/} " /proc/swaps
swapoff $dev && echo "off at the end"
SH
in_guest --mem "$(mem 64M 192M)" --swap 128M --cpus 2 --add "$work/load" \
	--qemu -drive \
	--qemu "if=none,id=area,format=raw,cache=unsafe,file=$work/area" \
	--qemu -device --qemu "$(
		[ -n "$ours" ] && echo virtio-blk-device,drive=area ||
			echo virtio-blk-pci,drive=area
	)" -- \
	busybox sh -c 'for d in /dev/vda /dev/vdb; do
		busybox grep -q $d /proc/swaps || dev=$d; done
		exec busybox sh '"$work/load"' $dev '$((load * 1200))
has "turned on" '^on 3$'
has "turned off under load" '^off 3$'
has "the load found every value" '^load 0$'
has "in use at the end" '^1$'
has "and off" '^off at the end$'

# A file of the root, which is an ext2 image: with holes it is refused; while
# swap is in it, it cannot be changed. Off under load.
cat >"$work/file" <<'SH'
mib=$1
truncate -s 30M /holes; mkswap /holes >/dev/null 2>&1
swapon /holes 2>/dev/null || echo "holes refused"
dd if=/dev/zero of=/swapfile bs=4096 count=16000 2>/dev/null
mkswap /swapfile >/dev/null 2>&1; sync
swapoff /dev/vd[bc] 2>/dev/null
swapon /swapfile && echo "file on"
awk '$2 == "file" { print "shown", $1 }' /proc/swaps
(echo x >>/swapfile) 2>/dev/null || echo "not written"
rm -f /swapfile 2>/dev/null || echo "not removed"
mv /swapfile /other 2>/dev/null || echo "not moved"
(: >/swapfile) 2>/dev/null || echo "not cut"
/mmbench swap "$mib" >/dev/null; echo "load $?"
awk '$1 == "pswpin" { print ($2 > 200 ? "it swapped" : "it did not swap " $2) }' /proc/vmstat
swapoff /swapfile && echo "file off"
rm /swapfile && echo "removed"
SH
in_guest --disk 96M --mem "$(mem 40M 150M)" --swap 8M --add "$work/file" \
	--add "$top/build/guest/mmbench:/mmbench" -- \
	busybox sh "$work/file" "$(mem 60 160)"
for what in "holes refused" "file on" "shown /swapfile" "not written" \
	"not removed" "not moved" "not cut" "load 0" "it swapped" "file off" \
	"removed"; do
	has "a swap file: $what" "^$what\$"
done

# Twice what fits, in a program that checks every page.
guest_is "twice the memory, every page checked" 0 --mem "$m" --swap 256M -- \
	"$top/build/guest/mmbench" swap "$((load * 2))"
has "no page was wrong" '^BAD pages 0$'
n=$(counter pswpin)
holds "it swapped: ${n:-0} pages in" "${n:-0}" -gt 500
whole=$(counter wall_ns)

# Killed at random moments while it swaps, its root on a disk of its own. A
# death counts if pages were swapped by then.
deaths=${DEATHS:-3}
[ -z "${LONG:-}" ] || deaths=${DEATHS:-15}
mkdir "$work/files"
for i in 1 2 3 4 5 6 7 8; do
	head -c $((i * 30000)) /dev/urandom >"$work/files/f$i"
done
(cd "$work/files" && md5sum f*) >"$work/sums"
mke2fs -q -F -t ext2 -b 4096 -O '^resize_inode,^dir_index,^ext_attr' \
	-d "$work/files" "$work/disk" 16M
device=$([ -n "$ours" ] && echo virtio-blk-device || echo virtio-blk-pci)
# with_disk OPTION... - $work/disk as one more disk
with_disk() {
	in_guest --mem "$m" --swap 256M --qemu -drive --qemu \
		"if=none,id=files,format=raw,cache=writethrough,file=$work/disk" \
		--qemu -device --qemu "$device,drive=files" "$@"
}
find_disk='mkdir -p /mnt; for d in /dev/vda /dev/vdb /dev/vdc; do
	mount -t ext2 $d /mnt 2>/dev/null && [ -e /mnt/f1 ] && break; done;'
if [ -n "$ours" ] || [ -n "${LONG:-}" ]; then
	bad=0 i=0 died=0
	while [ $died -lt "$deaths" ] && [ $bad -eq 0 ] &&
		[ $i -lt $((deaths * 4)) ]; do
		i=$((i + 1))
		s=$(od -An -N3 -tu4 /dev/urandom | awk \
			-v w="${whole:-5000000000}" '{
			printf "%.2f", w / 1e9 * (0.2 + 0.8 * $1 / 2 ^ 24) }')
		limit=$s with_disk --report "$work/page" \
			--add "$top/build/guest/mmbench:/mmbench" -- \
			busybox sh -c "$find_disk"' cat /mnt/f* >/dev/null
			echo x >/mnt/new; exec /mmbench swap '$((load * 2))
		n=$(counter pswpout)
		if [ "$status" -eq 124 ]; then
			[ "${n:-0}" -eq 0 ] || died=$((died + 1))
		elif [ "$status" -ne 0 ]; then
			not_ok "killed after $s s" "$(metal_why)"
			bad=1
		fi
		with_disk -- busybox sh -c \
			"$find_disk"' cd /mnt && md5sum f1 f2 f3 f4 f5 f6 f7 f8'
		if [ "$status" -ne 0 ] || ! cmp -s "$work/out" "$work/sums"; then
			not_ok "files after a death at $s s" "$(metal_why)"
			bad=1
		fi
		[ -z "${LONG:-}" ] ||
			echo "   stopped after $s s, ${n:-0} pages swapped out"
	done
	[ $bad -ne 0 ] || holds \
		"files are as they were after $died sudden deaths while swapping" \
		$died -eq "$deaths"
fi
finish
