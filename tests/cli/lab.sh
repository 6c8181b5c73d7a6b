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

finish
