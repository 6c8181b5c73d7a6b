#!/bin/sh
# SPDX-License-Identifier: MIT
# variants: release asan
# The lab: every function's example runs, errors have names, scripts end with
# a status, and what is printed repeats.
# shellcheck disable=SC2016 # the dollars are Lua's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

if ! "$MMKIT" lab -e '' >/dev/null 2>&1; then
	skip lab "built without Lua"
	finish
fi

# lua NAME CODE - it ends with status 0 and says nothing on stderr
lua() {
	succeeds "lab-$1" lab -e "$2"
}

# prints NAME TEXT - the last run's output is TEXT
prints() {
	printf '%s\n' "$2" >"$work/want"
	if cmp -s "$work/want" "$work/out"; then
		ok "lab-$1"
	else
		not_ok "lab-$1" "$(head -c 200 "$work/out" | tr '\n' '|')"
	fi
}

# fails NAME CULPRIT CODE - status 1, and the message names CULPRIT
fails() {
	refused 1 "lab-$1" "$2" lab -e "$3"
}

# ---- every function ---------------------------------------------------------
cat >"$work/examples.lua" <<'END'
local bad = 0
for _, name in ipairs(functions()) do
  shutdown()
  local code = example(name)
  assert(#code > 0 and code:find(name:match("[%w_]+$"), 1, true), name)
  if name ~= "help" then
    local ok, e = pcall(load(code, "=" .. name))
    if not ok then
      bad = bad + 1
      print("not ok", name, e)
    end
  end
end
assert(bad == 0)
print("all " .. #functions())
END
succeeds lab-examples lab "$work/examples.lua"
cp "$work/out" "$work/first"
run lab "$work/examples.lua"
if cmp -s "$work/out" "$work/first"; then
	ok lab-examples-repeat
else
	not_ok lab-examples-repeat "two runs differ"
fi
lua help-each 'for _, n in ipairs(functions()) do help(n) end'
lua help 'help()'

# ---- the first minutes of docs/LAB.md -----------------------------------------
sed -n '/^```lua/,/^```/p' docs/LAB.md | sed '/^```$/,$d; /^```/d' \
	>"$work/doc.lua"
succeeds lab-doc lab "$work/doc.lua"

# ---- errors, status -------------------------------------------------------------
fails enomem 'ENOMEM: mmap: 1125899906842624 bytes' 'spawn():mmap("1P")'
fails segv 'SIGSEGV: touch: write at 0x1000' 'spawn():touch(0x1000, 1, "w")'
fails null 'SIGSEGV: peek: read at 0x0' 'spawn():peek(0)'
fails assert 'assertion failed' 'assert(false)'
fails syntax "near 'end'" 'end'
fails option "did you mean 'mem'" 'boot{memm="1G"}'
fails size "does not begin with a digit" 'boot{mem="x"}'
fails sysctl 'no such tunable' 'boot{sysctl={["vm.foo"]=1}}'
fails file 'ENOENT: cat' 'cat("/proc/nothing")'
fails event "did you mean 'mm_vmscan_kswapd_wake'" 'trace("mm_vmscan_kswapd_wak")'
fails old-handle 'another machine' 't = spawn() boot{} t:pid()'
fails no-script 'nothing.lua' 'dofile("nothing.lua")'
refused 2 lab-options '--memm' lab --memm 1G
lua fields 'ok, e = pcall(spawn().mmap, spawn(), "1P")
assert(e.name == "ENOMEM" and e.errno == ENOMEM and e.call == "mmap")
print(e)'
prints fields-text 'ENOMEM: mmap: 1125899906842624 bytes: Cannot allocate memory'
printf 'print(1 + 1, arg[0], #arg)' | timeout 20 "$MMKIT" lab >"$work/out"
prints stdin "2	-	0"
printf '1 + 1\nfor i = 1, 2 do\nprint(i)\nend\nfoo()\n"end"\n' |
	timeout 20 "$MMKIT" lab -i -e 'x = 1' >"$work/out" 2>"$work/err"
holds lab-prompt "$(grep -c "global 'foo'" "$work/err")" -eq 1
holds lab-prompt-goes-on "$(grep -c 'mmkit> end' "$work/out")" -eq 1

# ---- what the functions mean -----------------------------------------------------
succeeds lab-meaning lab tests/data/lab/meaning.lua
run lab -e 'boot{mem="16M"} echo(1, "/proc/sys/vm/overcommit_memory")
echo(2, "/proc/sys/vm/panic_on_oom") ok, e = pcall(hog, "64M")
assert(e.name == "PANIC") ok, e = pcall(step) assert(e.name == "ENODEV")
boot{} step() assert(audit() == 0)'
holds lab-panic "$status" -eq 0
holds lab-panic-log "$(grep -c 'panic' "$work/err")" -ge 1
lua json 'io.write(json{a = {1, 2}, b = {c = true}, n = 1.5})'
holds lab-json "$(json 'join ",", @{$j->{a}}, $j->{b}{c} + 0, $j->{n}')" = "1,2,1,1.5"
lua follow 't = spawn() a = t:mmap("4K") t:follow(a) t:poke(a, 1) c = t:fork()
c:poke(a, 2) t:munmap(a, 4096) unfollow()'
for what in 'memory of its own' 'by fork' 'given back by the program'; do
	holds "lab-follow-$(echo "$what" | tr -dc '[:lower:]')" \
		"$(grep -c "$what" "$work/out")" -ge 1
done

# ---- random calls ---------------------------------------------------------------
# (More of them: tests/sim/test_lab.c.)
seed=${SEED:-5}
succeeds "lab-fuzz-$seed" lab tests/data/lab/fuzz.lua "$seed" "${ITERS:-500}"
cp "$work/out" "$work/first"
run lab tests/data/lab/fuzz.lua "$seed" "${ITERS:-500}"
holds lab-fuzz-repeats "$(cat "$work/out")" = "$(cat "$work/first")"

# ---- a terminal --------------------------------------------------------------------
if command -v script >/dev/null && "$MMKIT" lab -e '' 2>/dev/null; then
	printf 'mach\t().mem\nx = spaw\t("q")\nx:name\t()\nerror("no")\n"go" .. "on"\n' |
		MMKIT_LAB_HISTORY=$work/history TERM=dumb timeout 20 \
			script -qec "$MMKIT lab" /dev/null >"$work/out" 2>&1
	for what in 1073741824 '^q' 'stdin:1: no' '^goon'; do
		holds "lab-terminal-$(echo "$what" | tr -dc '[:alnum:]')" \
			"$(tr -d '\r' <"$work/out" | grep -cE "$what")" -ge 1
	done
	holds lab-history "$(grep -c '^machine().mem' "$work/history")" -eq 1
else
	skip lab-terminal "no script(1)"
fi

finish
