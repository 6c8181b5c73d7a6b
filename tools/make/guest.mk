# SPDX-License-Identifier: MIT
# Programs for a machine under QEMU: static, without a C library, one file
# each. `mmkit run` looks for build/guest/init beside itself.
GUEST_FLAGS := $(STD) $(WARN) -O2 -ffreestanding -fno-stack-protector \
	-fno-pic -fno-pie -fno-asynchronous-unwind-tables -mgeneral-regs-only \
	-fno-tree-loop-distribute-patterns -fcf-protection=none \
	-nostdlib -static -no-pie -Wl,--build-id=none,-z,noexecstack
GUEST_C := $(wildcard guest/*.c)
GUEST := $(GUEST_C:guest/%.c=$(BUILD)/guest/%)
$(BUILD)/guest/%: guest/%.c $(wildcard guest/*.h) kernel/uapi.h $(FLAGS_MK) tools/make/guest.mk
	@mkdir -p $(@D)
	$(SAY) "  LD $@"
	$(Q)$(CC) $(GUEST_FLAGS) -o $@ $<
$(BUILD)/guest/%: bench/metal/%.c $(wildcard guest/*.h) $(FLAGS_MK) tools/make/guest.mk
	@mkdir -p $(@D)
	$(SAY) "  LD $@"
	$(Q)$(CC) $(GUEST_FLAGS) -Iguest -o $@ $<
GUEST += $(patsubst bench/metal/%.c,$(BUILD)/guest/%,$(wildcard bench/metal/*.c))
all: $(GUEST)

.PHONY: qemu
qemu: ## a shell on our kernel under QEMU (Ctrl-A x ends it)
	$(Q)tools/deps run
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/mmkit $(GUEST) kernel
	$(BUILD)/mmkit run --mem 64M --swap 128M --cpus 2 --shell

.PHONY: bench-linux test-metal
bench-linux: ## our kernel beside Debian's Linux, in instructions (minutes)
	$(Q)tools/deps run bench-linux
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/mmkit $(GUEST) kernel
	$(Q)tools/bench-linux
test-metal: ## the long list of programs on our kernel (KERNEL=: another one)
	$(Q)tools/deps run test-metal
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/release/mmkit $(GUEST) kernel kernel-self $(BUILD)/release/selftest-kernel
	$(Q)tests/metal/all
