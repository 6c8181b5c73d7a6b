-- SPDX-License-Identifier: MIT
-- What the lab's functions mean: each case boots what it wants. Arguments: names
-- of cases; all without.
local cases = {}

cases["cow"] = function()
  t = spawn() a = t:mmap("8K") t:write(a, "parent")
  c = t:fork() assert(t:page(a).mapcount == 2 and #t:rmap(a) == 2)
  c:write(a, "child!") assert(t:read(a, 6) == "parent" and c:read(a, 6) == "child!")
  assert(t:page(a).mapcount == 1 and t:walk(a).pfn ~= c:walk(a).pfn)
end

cases["thread"] = function()
  t = spawn() u = t:thread() a = t:mmap("4K") t:poke(a, 5)
  assert(u:peek(a) == 5) t:exit() assert(u:peek(a) == 5)
end

cases["swap"] = function()
  boot{mem="16M", swap="64M"} t = spawn() a = t:mmap("1M")
  for i = 0, 255 do t:poke(a + i * 4096, i) end
  h = hog("24M") assert(t:walk(a).state == "swap")
  for i = 0, 255 do assert(t:peek(a + i * 4096) == i) end
  h:exit() t:exit() assert(audit() == 0)
end

cases["oom"] = function()
  boot{mem="16M"} echo(1, "/proc/sys/vm/overcommit_memory")
  ok, e = pcall(hog, "64M") assert(not ok and e.name == "SIGKILL", e)
  assert(#tasks() == 0 and vmstat().oom_kill == 1)
  assert(dmesg():find("Out of memory: Killed process 1 (hog)", 1, true))
end

cases["wait"] = function()
  t = spawn() a = t:mmap("4K") u = t:userfaultfd() u:register(a, 4096)
  ok, e = pcall(t.peek, t, a) assert(e.name == "ETIMEDOUT" and t:busy())
  ok, e = pcall(t.peek, t, a) assert(e.name == "EBUSY")
  u:copy(a, "A") assert(t:wait() == 65 and not t:busy())
end

cases["uffd-fork"] = function()
  t = spawn() a = t:mmap("4K") u = t:userfaultfd("event_fork")
  u:register(a, 4096) t:start("fork") step() m = u:read()[1]
  assert(m.event == "fork") c = t:wait() c:start("peek", a) step()
  assert(m.uffd:read()[1].address == a) m.uffd:zeropage(a, 4096)
  assert(c:wait() == 0)
end

cases["until"] = function()
  boot{mem="32M", swap="64M"} t = spawn() a = t:mmap("64M") p = a
  e = run_until("kswapd_wake", function() t:touch(p, 1, "w") p = p + 4096 end)
  assert(e.event == "mm_vmscan_kswapd_wake" and e.nid == 0)
  assert(run_until("oom_kill", "1ms") == nil)
  t:start("touch", p, "16M", "w")
  e = run_until("swap_out") assert(e and t:busy()) t:wait()
end

cases["group"] = function()
  t = spawn() mkdir("/sys/fs/cgroup/a") mkdir("/sys/fs/cgroup/a/b")
  echo("1M", "/sys/fs/cgroup/a/memory.max") echo(t:pid(), "/sys/fs/cgroup/a/b/cgroup.procs")
  assert(readfile("/sys/fs/cgroup/a/b/cgroup.procs") == t:pid() .. "\n")
  ok, e = pcall(rmdir, "/sys/fs/cgroup/a") assert(e.name == "EBUSY")
  ok, e = pcall(mkdir, "/sys/fs/cgroup/x/y") assert(e.name == "ENOENT")
  a = t:mmap("4M") ok, e = pcall(t.touch, t, a, "4M", "w")
  assert(e.name == "SIGKILL") rmdir("/sys/fs/cgroup/a/b") rmdir("/sys/fs/cgroup/a")
end

cases["buddy"] = function()
  boot{mem="32M"} drain_pages() local function free() local n = 0
  for _, b in ipairs(free_blocks("DMA")) do n = n + (1 << b.order) end return n end
  local pfn = alloc_pages(8, "GFP_DMA") assert(pfn % 256 == 0)
  local before = free() free_pages(pfn, 8) assert(free() == before + 256)
  assert(frame(pfn).mapcount == 0)
end

cases["diff"] = function()
  d = diff({a = 1, b = {c = 2}}, {a = 3, b = {}, d = "x"})
  assert(table.concat(d, "|") == "a: 1 -> 3 (+2)|b.c: 2 -> nothing|d: nothing -> x")
end

cases["pairs"] = function()
  local k = "" for key in pairs{z = 1, a = 2, 7, m = 3} do k = k .. key end
  assert(k == "1amz")
end

cases["arch"] = function()
  for _, arch in ipairs{"x86-64", "x86-64-la57", "x86-32", "x86-32-pae",
  "arm64"} do boot{arch=arch, mem="64M", swap="16M"} t = spawn()
  t:exec{file=file("prog", "64K"), text="32K", data="16K", bss="16K"}
  a = t:mmap("64K") t:fill(a, "64K", "ab") assert(t:page(a).mapcount == 1)
  assert(t:walk(a).writable and t:read(a + 65534, 2) == "ab") t:explain(a)
  t:exit() assert(audit() == 0) end
end

cases["calls"] = function()
  local t = spawn()
  local a = t:mmap("64K")
  t:fill(a, "64K", 0x5a)
  assert(t:mincore(a, "64K") == 16)
  t:mprotect(a, "4K", "r")
  local ok, e = pcall(t.poke, t, a, 1)
  assert(e.name == "SIGSEGV" and t:alive() and t:peek(a, 1) == 0x5a)
  t:madvise(a + 4096, "4K", "dontneed")
  assert(t:peek(a + 4096) == 0 and t:peek(a + 8192, 1) == 0x5a)
  t:munmap(a, "4K")
  ok, e = pcall(t.peek, t, a)
  assert(e.name == "SIGSEGV" and e.errno == 11)
  local b = t:mremap(a + 8192, "8K", "1M")
  assert(t:peek(b, 1) == 0x5a and t:peek(b + 8192, 1) == 0)
  local heap = t:brk()
  assert(t:sbrk("64K") == heap and t:brk() == heap + 65536)
  t:poke(heap, 3)
  local c = t:mmap(0x20000000, "8K", "rw", "private|anonymous|fixed")
  assert(c == 0x20000000 and t:vmas()[1].start == c)
  ok, e = pcall(t.mmap, t, c, "4K", "rw",
    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE)
  assert(e.name == "EEXIST" and e.errno == EEXIST)
  t:mlock(c, "8K")
  assert(t:readfile("/proc/self/status"):find("VmLck:%s+8 kB"))
  ok, e = pcall(t.madvise, t, c, "8K", "dontneed")
  assert(e.name == "EINVAL")
  t:munlockall()
  t:setrlimit("memlock", "4K")
  ok, e = pcall(t.mlock, t, c, "8K")
  assert(e.name == "ENOMEM")
  t:exit(300)
  assert(t:wait() == 300 & 0xff and audit() == 0)
end

cases["files"] = function()
  local f = file("data", "64K")
  assert(f:write(4090, "across pages") == 12)
  assert(f:read(4090, 12) == "across pages" and f:cached() > 1)
  local t = spawn()
  local a = t:mmap(nil, "64K", "rw", "shared", f)
  local p = t:mmap(nil, "64K", "rw", "private", f)
  t:write(p, "mine")
  t:write(a, "ours")
  assert(f:read(0, 4) == "ours" and t:read(p, 4) == "mine")
  assert(t:page(a).kind == "file" and t:page(p).kind == "anon")
  local b = t:mmap("8K")
  assert(t:pread(f, b, 12, 4090) == 12 and t:read(b, 12) == "across pages")
  t:write(b, "written")
  assert(t:pwrite(f, b, 7, 8192) == 7 and f:read(8192, 7) == "written")
  f:fsync()
  f:truncate("4K")
  local ok, e = pcall(t.peek, t, a + 8192)
  assert(e.name == "SIGBUS" and f:size() == 4096)
  f:remove()
  ok, e = pcall(f.read, f, 0, 1)
  assert(e.name == "ENOENT" and t:read(a, 4) == "ours")
  local m = memfd("m", "16K")
  m:seal("write")
  ok, e = pcall(m.write, m, 0, "x")
  assert(e.name == "EPERM")
  t:exit()
  assert(audit() == 0)
end

cases["other"] = function()
  local t, u = spawn("t"), spawn("u")
  local id = t:shmget(7, "16K")
  local a, b = t:shmat(id), u:shmat(id, nil, "rdonly")
  t:write(a, "shared")
  assert(u:read(b, 6) == "shared")
  local ok, e = pcall(u.poke, u, b, 1)
  assert(e.name == "SIGSEGV")
  assert(u:process_vm_readv(t, a, 6) == "shared")
  assert(u:process_vm_writev(t, a, "S") == 1 and t:read(a, 6) == "Shared")
  t:shmctl(id, "rmid")
  t:shmdt(a)
  assert(u:read(b, 6) == "Shared")
  u:exit()
  ok, e = pcall(t.shmat, t, id)
  assert(e.name == "EINVAL" or e.name == "EIDRM")
  ok, e = pcall(t.process_vm_readv, t, u, b, 1)
  assert(e.name == "ESRCH")
  boot{nodes=2, mem="64M"}
  t = spawn()
  a = t:mmap("16K")
  t:mbind(a, "16K", "bind", 1)
  t:touch(a, "16K", "w")
  assert(t:page(a).node == 1)
  assert(t:move_pages({a, a + 4096}, {0, 1})[1] == 0)
  assert(t:page(a).node == 0 and t:page(a + 4096).node == 1)
end

cases["errors"] = function()
  local t = spawn("x")
  local ok, e = pcall(t.mmap, t, "1P")
  assert(e.name == "ENOMEM" and e.errno == ENOMEM and e.call == "mmap")
  assert(tostring(e):find("ENOMEM: mmap: ", 1, true))
  assert(not pcall(t.mmap, t, "x") and not pcall(t.madvise, t, 0, 0, "nothing"))
  ok, e = pcall(t.mmap, t, nil, "4K", "rw", "privat")
  assert(not ok and e:find("'privat' is no MAP_", 1, true))
  boot{}
  ok, e = pcall(t.pid, t)
  assert(e.name == "ENODEV")
  t = spawn("y")
  t:kill()
  assert(not t:alive() and select(2, t:wait()) == "SIGKILL")
  ok, e = pcall(t.mmap, t, "4K")
  assert(e.name == "ESRCH")
  ok, e = pcall(boot, { sysctl = { ["vm.nothing"] = 1 } })
  assert(tostring(e):find("no such tunable") and spawn())
end

cases["events"] = function()
  local t = spawn()
  local a = t:mmap("8K")
  t:touch(a)
  assert(#events() == 0)
  trace("page_fault_user")
  t:touch(a + 4096, 1, "w")
  local list = events()
  assert(#list == 1 and list[1].address == a + 4096 and #events() == 0)
  trace()
  t:touch(a, 1, "w")
  assert(#events() == 0)
  local before = now()
  assert(step("5ms") >= before + 5000000)
end

cases["lists"] = function()
  local t = spawn()
  local a = t:mmap("16K")
  t:touch(a, "16K", "w")
  local pfn, there = t:walk(a).pfn, false
  for _, list in pairs(lru()) do
    for _, n in ipairs(list) do there = there or n == pfn end
  end
  assert(there and frame(pfn).lru and frame(pfn).use:find("anonymous"))
  t:mlock(a, "4K")
  assert(lru().unevictable[1] == pfn and #lru().unevictable == 1)
  mkdir("/sys/fs/cgroup/g")
  echo(t:pid(), "/sys/fs/cgroup/g/cgroup.procs")
  a = t:mmap("16K")
  t:touch(a, "16K", "w")
  local n = 0
  for _, list in pairs(lru(0, "/sys/fs/cgroup/g")) do n = n + #list end
  assert(n == 4)
end

cases["zones"] = function()
  boot{nodes=2, mem="64M"}
  local z = zones()
  assert(z[0].DMA.managed > 1000 and z[0].DMA.min < z[0].DMA.low)
  assert(z[1].DMA32.managed > 7000 and z[1].nr_inactive_anon == 0)
  local before = state()
  spawn():mmap("4K")
  assert(slabs().vm_area_struct.active > 0 and vmstat().pgfault == 0)
  assert(#diff(before, state()) > 0 and #diff(before, before) == 0)
end

local names = { ... }
if #names == 0 then
  for name in pairs(cases) do names[#names + 1] = name end
end
for _, name in ipairs(names) do
  shutdown()
  local ok, e = pcall(cases[name])
  assert(ok, name .. ": " .. tostring(e))
end
print("all " .. #names)
