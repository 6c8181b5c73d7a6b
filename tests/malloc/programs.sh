#!/bin/sh
# SPDX-License-Identifier: MIT
# programs.sh - real programs on libmmkit-malloc.so, results as with the C
# library's malloc.
#
# Each program does the same work twice; what it prints must be equal. Ones
# that are not installed are skipped. LIB names the library; LONG=1 adds the
# work that takes minutes: a build of this project, redis under load.
set -u
cd "$(dirname "$0")/../.." || exit 1
LIB=${LIB:-$PWD/build/libmmkit-malloc.so}
WORK=$(mktemp -d)
fails=0
server=
cleanup() {
	[ -z "$server" ] || kill "$server" 2>/dev/null
	rm -rf "$WORK"
}
trap cleanup EXIT

ok() { echo "ok $1"; }
not_ok() {
	echo "not ok $1: $2"
	fails=$((fails + 1))
}
have() {
	command -v "$1" >/dev/null 2>&1 && return 0
	echo "skip $2: no $1"
	return 1
}

# preload COMMAND...: with the library; its messages count as failures
preload() {
	LD_PRELOAD=$LIB "$@"
}

# same NAME COMMAND...: output and status are equal with and without
same() {
	name=$1
	shift
	"$@" >"$WORK/a" 2>"$WORK/a.err"
	ra=$?
	preload "$@" >"$WORK/b" 2>"$WORK/b.err"
	rb=$?
	if [ "$ra" != "$rb" ]; then
		not_ok "$name" "status $rb, not $ra: $(tail -n 1 "$WORK/b.err")"
	elif ! cmp -s "$WORK/a" "$WORK/b"; then
		not_ok "$name" "output differs"
	elif grep -q '^mmkit-malloc:' "$WORK/b.err"; then
		not_ok "$name" "$(grep -m 1 '^mmkit-malloc:' "$WORK/b.err")"
	else
		ok "$name"
	fi
}

test_sqlite() {
	have sqlite3 sqlite || return 0
	cat >"$WORK/work.sql" <<-'END'
		create table t(a integer primary key, b text, c real);
		with recursive n(i) as
		  (select 1 union all select i + 1 from n where i < 60000)
		insert into t select i,
		  printf('%08d-%s', (i * 7919) % 200003, hex(i * i)), i * 0.5
		  from n;
		create index tb on t(b);
		create index tc on t(c);
		select count(*), sum(length(b)), max(b) from t;
		select substr(b, 1, 3) p, count(*), group_concat(a) from t
		  group by p having count(*) > 290 order by p limit 9;
		update t set b = b || 'x' where a % 3 = 0;
		delete from t where a % 7 = 0;
		select count(*), sum(length(b)), total(c) from t;
		vacuum;
		pragma integrity_check;
	END
	same sqlite sh -c "sqlite3 :memory: <'$WORK/work.sql'"
}

test_python() {
	py=/usr/bin/python3
	have $py python || return 0
	cat >"$WORK/work.py" <<-'END'
		import hashlib, json, random, re, threading, zlib
		random.seed(5)
		words = ["w%d" % random.randrange(10**6) for _ in range(60000)]
		count = {}
		for w in words:
		    count.setdefault(w[:3], []).append(w * random.randrange(4))
		text = json.dumps(count, sort_keys=True)
		print(len(text), hashlib.sha256(text.encode()).hexdigest())
		print(zlib.crc32(zlib.compress(text.encode(), 9)))
		print(len(re.findall(r"w(\d)\1", text)))
		out = {}
		def part(k):
		    d = {}
		    for i in range(20000):
		        d[i] = "%d:%d" % (k, i * k)
		        if i % 3 == 0:
		            del d[i // 2 if i // 2 in d else i]
		    out[k] = hashlib.md5("".join(d.values()).encode()).hexdigest()
		ts = [threading.Thread(target=part, args=(k,)) for k in range(8)]
		[t.start() for t in ts]
		[t.join() for t in ts]
		print(sorted(out.items()))
		class Node:
		    def __init__(self, n): self.n, self.kids = n, []
		def tree(n):
		    t = Node(n)
		    t.kids = [tree(n - 1) for _ in range(4 if n else 0)]
		    return t
		for _ in range(3):
		    root = tree(6)
		    root.kids[0].up = root
		print(sum(x * x % 7 for x in range(10**5)), 3 ** 20000 % 10**9)
	END
	same python env PYTHONHASHSEED=0 PYTHONMALLOC=malloc $py "$WORK/work.py"
	same python_own env PYTHONHASHSEED=0 $py "$WORK/work.py"
	$py -c 'import test.test_dict' 2>/dev/null || {
		echo "skip python_suite: no test package"
		return 0
	}
	suite="test_dict test_list test_json test_gc test_thread test_fork1"
	[ -z "${LONG:-}" ] || suite="$suite test_re test_threading test_mmap \
		test_decimal test_zlib test_hashlib test_bytes test_unicode \
		test_ctypes test_subprocess"
	# shellcheck disable=SC2086 # the list is words
	if (cd "$WORK" && PYTHONMALLOC=malloc preload $py -m test -q $suite) \
		>"$WORK/suite" 2>&1; then
		ok python_suite
	else
		not_ok python_suite "$(tail -n 1 "$WORK/suite")"
	fi
}

test_gcc() {
	have "${CC:-gcc}" gcc || return 0
	gcc_run="${CC:-gcc} -O2 -std=gnu17 -ffreestanding -Iinclude -Isrc \
		-Iport/sim"
	for f in src/phys/page_alloc.c src/phys/buddy.c src/space/vma.c; do
		same "gcc_$(basename $f .c)" sh -c "$gcc_run -S -o - $f"
	done
}

test_quick() {
	same ls ls -lR src
	same sort sh -c 'od -An -tx1 src/base/*.c | sort | md5sum'
	same gcc_one sh -c "${CC:-gcc} -O1 -std=gnu17 -ffreestanding \
		-Iinclude -Isrc -Iport/sim -S -o - src/base/rbtree.c"
}

test_tools() {
	same sort sh -c 'od -An -tx1 src/*/*.c | sort | md5sum'
	same tar sh -c 'tar cf - src include | md5sum'
	have git git && same git git log -p -n 20
	have xz xz && same xz sh -c 'cat src/*/*.c | xz -T2 -9 | xz -d | md5sum'
	# shellcheck disable=SC2016 # it is perl
	have perl perl && same perl perl -e '
		my %h; $h{$_ * 7919 % 100003} = "x" x ($_ % 300) for 1 .. 60000;
		my $n = 0; $n += length $h{$_} for sort keys %h; print "$n\n"'
}

redis() {
	redis-cli -p "$port" "$@"
}

test_redis() {
	have redis-server redis || return 0
	port=$((20000 + $$ % 20000))
	# Not by the function: $! would be a shell, and the server stay behind.
	LD_PRELOAD=$LIB redis-server --port "$port" --save "" --io-threads 2 \
		--dir "$WORK" >"$WORK/redis.log" 2>&1 &
	server=$!
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		redis ping >/dev/null 2>&1 && break
		sleep 0.3
	done
	n=10000
	[ -z "${LONG:-}" ] || n=100000
	if ! redis-benchmark -p "$port" -q -n $n -d 100 -r 10000 -t \
		set,get,incr,lpush,rpush,lpop,sadd,hset,spop,zadd,mset,lrange_100 \
		>"$WORK/redis.out" 2>&1; then
		not_ok redis "$(tail -n 1 "$WORK/redis.out")"
	else
		redis eval 'for i = 1, 20000 do redis.call("set", "k" .. i,
			string.rep("v" .. i, i % 50)) end return 1' 0 >/dev/null
		# A fork writes the data, another thread frees it.
		redis bgsave >/dev/null
		sleep 1
		sum=$(redis eval 'local n = 0 for i = 1, 20000 do
			n = n + #redis.call("get", "k" .. i) end return n' 0)
		redis flushall async >/dev/null
		size=$(redis dbsize)
		saved=$(redis info persistence | tr -d '\r' |
			sed -n 's/^rdb_last_bgsave_status://p')
		want=$(awk 'BEGIN { for (i = 1; i <= 20000; i++)
			n += length("v" i) * (i % 50); print n }')
		if [ "$sum $size $saved" = "$want 0 ok" ]; then
			ok redis
		else
			not_ok redis "got $sum $size $saved"
		fi
	fi
	kill "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	server=
	if redis ping >/dev/null 2>&1; then
		not_ok redis_end "the server did not end"
	elif grep -q '^mmkit-malloc:' "$WORK/redis.log"; then
		not_ok redis_end "$(grep -m 1 '^mmkit-malloc:' "$WORK/redis.log")"
	else
		ok redis_end
	fi
}

# This project, built by make and the compiler on the library.
test_make() {
	[ -n "${LONG:-}" ] || return 0
	goal=release/libmm-sim.a
	make -s BUILD="$WORK/ref" "$WORK/ref/$goal" >"$WORK/out" 2>&1
	if ! CCACHE_DISABLE=1 preload make -s -j2 BUILD="$WORK/pre" \
		"$WORK/pre/$goal" >"$WORK/out" 2>&1; then
		not_ok make "$(tail -n 1 "$WORK/out")"
		return
	fi
	for o in "$WORK"/pre/release/sim/src/*/*.o; do
		ref=$WORK/ref/${o#"$WORK"/pre/}
		objcopy -g "$o" "$WORK/x.o" && objcopy -g "$ref" "$WORK/y.o"
		if ! cmp -s "$WORK/x.o" "$WORK/y.o"; then
			not_ok make "$o differs"
			return
		fi
	done
	ok make
}

[ -e "$LIB" ] || {
	echo "not ok library: $LIB is not built"
	exit 1
}
for t in ${TESTS:-quick tools sqlite python gcc redis make}; do
	"test_$t"
done
[ "$fails" = 0 ]
