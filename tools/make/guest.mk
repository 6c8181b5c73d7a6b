# SPDX-License-Identifier: MIT
# Programs for a machine under QEMU: static, without a C library, one file
# each. `mmkit run` looks for build/guest/init beside itself.
GUEST_FLAGS := $(STD) $(WARN) -O2 -ffreestanding -fno-stack-protector \
	-fno-pic -fno-pie -fno-asynchronous-unwind-tables -mgeneral-regs-only \
	-fno-tree-loop-distribute-patterns -fcf-protection=none \
	-nostdlib -static -no-pie -Wl,--build-id=none,-z,noexecstack
GUEST_C := $(wildcard guest/*.c)
GUEST := $(GUEST_C:guest/%.c=$(BUILD)/guest/%)
$(BUILD)/guest/%: guest/%.c $(wildcard guest/*.h) $(FLAGS_MK) tools/make/guest.mk
	@mkdir -p $(@D)
	$(SAY) "  LD $@"
	$(Q)$(CC) $(GUEST_FLAGS) -o $@ $<
all: $(GUEST)

.PHONY: qemu
qemu: ## a shell on our kernel under QEMU (Ctrl-A x ends it)
	$(Q)tools/deps run
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/mmkit $(GUEST) kernel
	$(BUILD)/mmkit run --mem 64M --swap 128M --cpus 2 --shell
