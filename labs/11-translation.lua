-- SPDX-License-Identifier: MIT
-- world: sim
-- 11 - From the address of one's own variable to the byte of RAM.
-- Read 11-translation.md beside it.
boot{mem="64M"}
local t = spawn("program")
local a = t:mmap("16K")
local x = a + 0x1234 -- "int x"
t:poke(x, 42, 4)

print("== the address of x is " .. string.format("%#x", x))
print("cut into 9 9 9 9 12 bits:", x >> 39 & 511, x >> 30 & 511,
  x >> 21 & 511, x >> 12 & 511, string.format("%#x", x & 4095))

print("\n== the CPU's way, entry by entry")
t:explain(x)

-- The same by hand: an entry is 8 bytes, its frame stands in bits 51:12.
print("\n== by hand, from the words in RAM")
local w = t:walk(x)

for i, e in ipairs(w.entries) do
  local raw = math.tointeger(tonumber(e.raw))
  print(string.format("level %d: the word at %#x is %#x, frame %#x",
    5 - i, e.at, raw, raw >> 12 & 0xffffffffff))
end
local physical = w.pfn << 12 | x & 4095
print(string.format("physical address of x: %#x", physical))

print("\n== what /proc/self/pagemap says: bit 63 present, bits 54:0 the frame")
print(string.format("frame %#x, which belongs to: %s", w.pfn,
  frame(w.pfn).use))

-- Two processes, one address, two frames; two addresses, one frame.
local u = spawn("another")
u:mmap(a, "16K", "rw", "private,anonymous,fixed")
u:poke(x, 43, 4)
print("\n== the same address in another process")
print(string.format("program: frame %#x, x = %d", t:walk(x).pfn, t:peek(x, 4)))
print(string.format("another: frame %#x, x = %d", u:walk(x).pfn, u:peek(x, 4)))

local f = memfd("shared", "4K")
local s1 = t:mmap(nil, "4K", "rw", "shared", f)
local s2 = u:mmap(0x10000000, "4K", "rw", "shared,fixed", f)
t:poke(s1, 44, 4)
local seen = u:peek(s2, 4)
print("\n== one frame at two addresses: shared memory")
print(string.format("program %#x, another %#x: the same frame %s, value %d",
  s1, s2, tostring(t:walk(s1).pfn == u:walk(s2).pfn), seen))

-- To do:
-- 1. boot{mem="64M", arch="x86-32"} and do it again: into which bits is the
--    address cut there?
-- 2. On your own Linux: mmkit explain --pid $$ ADDRESS, with an address from
--    /proc/$$/maps (as root you see the frame).
