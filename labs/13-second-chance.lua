-- SPDX-License-Identifier: MIT
-- world: sim
-- 13 - Second chance, and the daemon that gives it: kswapd.
-- Read 13-second-chance.md beside it.
boot{mem="16M", swap="64M"} -- so little that there is one zone

-- Ten blocks of 32 pages in a group, from which we can ask pages back.
local group = "/sys/fs/cgroup/ten"
mkdir(group)
local t = spawn("program")
echo(t:pid(), group .. "/cgroup.procs")
local block = 32 * 4096
local a = t:mmap(10 * block)
t:touch(a, 10 * block, "w")

-- Of each block's first page: i inactive, a active list; A: the CPU has set
-- the accessed bit; R: a scan has found it set before; --: not in memory.
local function show_blocks(title)
  local s = {}
  for at = a, a + 9 * block, block do
    local w, p = t:walk(at), t:page(at)
    s[#s + 1] = not p and "--" or (p.lru or "b"):sub(1, 1) ..
      (w.accessed and "A" or "") .. (p.flags:find("referenced") and "R" or "")
  end
  print(string.format("%-26s" .. string.rep(" %-3s", 10), title,
    table.unpack(s)))
end

print("== ten blocks; the first three are used before each scan")
show_blocks("all written")
t:echo(1, "/proc/self/clear_refs")
show_blocks("accessed bits cleared")
for _ = 1, 4 do
  t:touch(a, 3 * block)
  show_blocks("three are read")
  pcall(echo, "128K", group .. "/memory.reclaim")
  show_blocks("32 pages are asked for")
end

-- Now nobody asks: somebody else fills memory until kswapd wakes up.
local z = zones()[0].DMA
print(string.format("\n== watermarks, in frames: min %d, low %d, high %d",
  z.min, z.low, z.high))
local other = spawn("filler")
local at = other:mmap("48M")
local begin = at
local function fill()
  other:touch(at, 1, "w")
  at = at + 4096
end
run_until("kswapd_wake", fill)
local function hundreds(n) return (n + 50) // 100 * 100 end
print("kswapd wakes up when about " .. hundreds((at - begin) // 4096) ..
  " pages are written")
run_until("kswapd_sleep")
print("and sleeps when about " .. hundreds(zones()[0].DMA.nr_free_pages) ..
  " are free")

local was = vmstat()
for _ = 1, 4096 do fill() end
local is = vmstat()
local function since(name) return is[name] - was[name] end
local kswapd, direct = since("pgsteal_kswapd"), since("pgsteal_direct")
print("\n== 4096 pages later: who did the work")
print(string.format("freed by kswapd %.0f %%, by those who allocate %.0f %%",
  kswapd * 10 // (kswapd + direct) * 10,
  100 - kswapd * 10 // (kswapd + direct) * 10))
print("pages looked at for each that was freed: about " ..
  (since("pgscan_kswapd") + kswapd // 2) // kswapd)

-- To do:
-- 1. Touch all ten before each scan. Who goes, and is it fair?
-- 2. boot{..., policy="mglru"} or "sieve": what is different?
