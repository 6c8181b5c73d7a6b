#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Programs of Debian, unmodified, to the result that they have here; some on
# less memory than they want. LONG=1: the sizes that count.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs sqlite3 sort
alive "$@"

export LC_ALL=C

# only NAME... - ONLY="gcc redis" runs these alone
only() {
	for n in "$@"; do
		case " ${ONLY:-$n} " in *" $n "*) return 0 ;; esac
	done
	return 1
}

sqlite() {
	rows=$1
	cat >"$work/q.sql" <<SQL
PRAGMA journal_mode=DELETE;
CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v INTEGER);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < $rows)
INSERT INTO t SELECT i, printf('key%08d', (i * 7919) % $rows), i * i FROM n;
COMMIT;
CREATE INDEX tk ON t(k);
SELECT count(*), sum(v), min(k), max(k) FROM t;
SELECT k, v FROM t WHERE k BETWEEN 'key00000100' AND 'key00000110' ORDER BY k;
DELETE FROM t WHERE id % 3 = 0;
VACUUM;
SELECT count(*), sum(v) FROM t;
PRAGMA integrity_check;
SQL
	stdin=$work/q.sql
	rm -rf "$work/db" && mkdir "$work/db"
	same "sqlite3: a table of $rows rows on a disk" --mem "$2" \
		--swap 64M --disk 128M --add "$work/db" -- \
		sqlite3 "$work/db/test.db"
	stdin=
}

python() {
	py=/usr/lib/python3.11
	if [ ! -x /usr/bin/python3 ] || [ ! -d $py ]; then
		skip python "no /usr/bin/python3 with $py"
		return
	fi
	cat >"$work/big.py" <<'PY'
import random, sys
mib = int(sys.argv[1])
blocks = [bytearray(4096 * 16) for _ in range(mib * 16)]
def value(i):
    return (i * 2654435761 + 12345) & 0xffffffff
for i, b in enumerate(blocks):
    for o in range(0, len(b), 4096):
        b[o:o + 4] = value(i * 16 + o // 4096).to_bytes(4, 'little')
order = list(range(len(blocks)))
random.Random(7).shuffle(order)
bad = 0
for i in order:
    b = blocks[i]
    for o in range(0, len(b), 4096):
        bad += int.from_bytes(b[o:o + 4], 'little') != value(i * 16 + o // 4096)
print(len(blocks), 'blocks,', bad, 'bad')
sys.exit(bad != 0)
PY
	same "python3: $1 MiB verified in $2 of memory" --mem "$2" \
		--swap "$3" --add "$work/big.py" --packages -- \
		/usr/bin/python3 -S -B "$work/big.py" "$1"
	n=$(counter pswpout)
	holds "it swapped: ${n:-0} pages out" "${n:-0}" -gt 100
	n=$(counter pswpin)
	holds "and back: ${n:-0} pages in" "${n:-0}" -gt 100
}

sorting() {
	mib=$1
	awk -v n="$((mib * 16384))" 'BEGIN { s = 1
		for (i = 0; i < n; i++) {
			s = (s * 1103515245 + 12345) % 2147483648
			printf "%010d %052d\n", s, i
		} }' >"$work/unsorted"
	same "sort: a file of $mib MiB in $2 of memory" --mem "$2" \
		--swap "$3" --disk "$((3 * mib))M" --add "$work/unsorted" \
		--env LC_ALL=C -- \
		sort -T /var/tmp -S "$((mib / 2))M" "$work/unsorted"
}

compiler() {
	if ! command -v gcc-12 >/dev/null; then
		skip gcc "no gcc-12 here"
		return
	fi
	cat >"$work/p.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}
int main(int argc, char **argv)
{
	qsort(argv + 1, argc - 1, sizeof(*argv), cmp);
	for (int i = 1; i < argc; i++)
		printf("%s\n", argv[i]);
	return argc;
}
C
	cat >"$work/build" <<'SH'
set -e
cd /var/tmp
gcc-12 -O2 -Wall -o p "$1/p.c"
./p pear apple fig plum
SH
	lib=/usr/lib/gcc/x86_64-linux-gnu/12
	crt=/usr/lib/x86_64-linux-gnu
	same "gcc: compile, link and run" --mem "$1" --swap 128M \
		--add "$work/p.c" --add "$work/build" --add "$(command -v gcc-12)" \
		--add $lib/cc1 --add $lib/collect2 --add $lib/crtbegin.o \
		--add $lib/crtbeginS.o --add $lib/crtendS.o \
		--add $lib/crtend.o --add $lib/liblto_plugin.so --add $lib/libgcc.a --add $lib/libgcc_s.so \
		--add $lib/include --add /usr/bin/as --add /usr/bin/ld \
		--add $crt/crt1.o --add $crt/Scrt1.o --add $crt/crti.o \
		--add $crt/crtn.o --add $crt/libc.so \
		--add $crt/libc_nonshared.a --add $crt/libgcc_s.so.1 \
		--add /usr/include -- \
		sh "$work/build" "$work"
}

redis() {
	if ! command -v redis-server >/dev/null; then
		skip redis "no redis-server here"
		return
	fi
	cat >"$work/redis" <<'SH'
redis-server --unixsocket /tmp/redis.sock --port 0 --daemonize no --save "" \
	--appendonly no --dir /tmp --dbfilename "mmkit-$$.rdb" \
	>/tmp/redis.log 2>&1 &
server=$!
cli() { redis-cli -s /tmp/redis.sock "$@"; }
i=0
until [ "$(cli ping 2>/dev/null)" = PONG ]; do
	i=$((i + 1)); [ $i -lt 200 ] || { cat /tmp/redis.log; exit 1; }
	sleep 0.1
done
cli set greeting hello; cli get greeting; cli incr n; cli incrby n 41
cli rpush list a b c; cli lrange list 0 -1
cli eval 'for i = 1, 20000 do redis.call("set", "k" .. i, ("v" .. i):rep(8)) end
	return redis.call("get", "k777")' 0
cli dbsize; cli config set save ''; cli bgsave
i=0
until [ "$(cli info persistence | tr -d '\r' | grep -c bgsave_in_progress:0)" \
	= 1 ]; do i=$((i + 1)); [ $i -lt 300 ] || exit 1; sleep 0.1; done
cli info persistence | tr -d '\r' | grep rdb_last_bgsave_status
cli shutdown nosave
wait $server; echo "server $?"
SH
	same "redis: server and client over a local socket" --mem "$1" \
		--swap 64M --cpus 2 --add "$work/redis" --add "$(command -v redis-server)" \
		--add "$(command -v redis-cli)" --add "$(command -v grep)" \
		--add "$(command -v tr)" --add "$(command -v sleep)" \
		--add "$(command -v cat)" -- sh "$work/redis"
	rm -f /tmp/mmkit-*.rdb # of the run here
}

if [ -n "${LONG:-}" ]; then
	only sqlite && sqlite 100000 "$(mem 64M 192M)"
	only python && python 192 "$(mem 64M 160M)" 512M
	only sort && sorting 96 "$(mem 48M 160M)" 256M
	only gcc && compiler "$(mem 96M 256M)"
	only redis && redis "$(mem 64M 192M)"
else
	only sqlite && sqlite 5000 "$(mem 64M 192M)"
	only python && python "$(mem 56 160)" "$(mem 32M 160M)" 256M
	only sort && sorting 8 "$(mem 64M 192M)" 64M
fi
finish
