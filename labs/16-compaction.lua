-- SPDX-License-Identifier: MIT
-- world: sim
-- 16 - Compaction: free frames are moved together.
-- Read 16-compaction.md beside it.
boot{mem="64M"}
local function blocks(title)
  drain_pages()
  local free, n = buddyinfo().DMA32, 0
  for order = 0, 10 do n = n + free[order] * (1 << order) end
  local whole = free[9] + 2 * free[10]
  print(string.format("%-26s free %5d frames, in blocks of 512: %2d (%d %%)",
    title, n, whole, whole * 51200 // n))
end

-- Memory is filled, then every second page is given back: a program that
-- keeps half of what it had.
local t = spawn("program")
local a = t:mmap("44M")
t:fill(a, "44M", "contents")
blocks("44 MiB written")
for at = a, a + (44 << 20) - 8192, 8192 do t:madvise(at, "4K", "dontneed") end
blocks("half of it given back")
frames(48)

print("\n== the operator: echo 1 > /proc/sys/vm/compact_memory")
local pfns = {}
for at = a + 4096, a + (44 << 20) - 4096, 8192 do
  pfns[at] = t:walk(at).pfn
end
local was = vmstat()
local function how_many(k) return vmstat()[k] - was[k] end
echo(1, "/proc/sys/vm/compact_memory")
blocks("compacted")
print("pages moved: " .. how_many("pgmigrate_success") ..
  ", not moved: " .. how_many("pgmigrate_fail"))
print("frames looked at to move: " .. how_many("compact_migrate_scanned") ..
  ", for a place: " .. how_many("compact_free_scanned"))
frames(48)

print("\n== what did the program see of it?")
local moved, example = 0, nil
for at, pfn in pairs(pfns) do
  assert(t:read(at, 8) == "contents")
  local is = t:walk(at).pfn
  if is ~= pfn then
    moved = moved + 1
    example = example or string.format("%#x: frame %#x before, %#x now", at,
      pfn, is)
  end
end
print("pages in another frame: " .. moved .. " of its " .. 22 * 256)
print("one of them, " .. example)
print("all contents are as they were")

-- To do:
-- 1. Without the operator: take blocks of 512 until there is none, with
--    alloc_pages(9, "GFP_HIGHUSER_MOVABLE|__GFP_NORETRY"). How many do you get,
--    and who compacted? (vmstat, names that begin with compact_)
-- 2. t:mlock() some of the pages before. Are they moved? And kernel frames
--    from alloc_pages(0)?
