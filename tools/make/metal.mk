# SPDX-License-Identifier: MIT
# The kernel: src/, port/metal and kernel/ as one image that a PVH loader
# starts (qemu-system-x86_64 -kernel).
#
#   make kernel          build/mmkit-kernel         (release)
#   make kernel-debug    build/mmkit-kernel-debug   (asserts, lock checker)
#
# The image is linked twice: the first time to learn where functions are, the
# second time with the table of their names (port/metal/symbols.c).
METAL_FLAGS := -ffreestanding -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
	-fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fcf-protection=none -fno-strict-aliasing -mpreferred-stack-boundary=3 \
	-fno-tree-loop-distribute-patterns -DMM_NR_CPUS=32 -Iport/metal -Ikernel
METAL_LINK := -nostdlib -static -Wl,--build-id=none,-z,max-page-size=4096 \
	-Wl,-z,noexecstack,--no-warn-rwx-segments -no-pie -fuse-ld=bfd
METAL_VARIANTS := release debug
KERNEL_C := $(wildcard kernel/*.c kernel/*/*.c)
METAL_SRC := $(SRC_C) $(wildcard port/metal/*.c)
METAL_ASM := $(wildcard port/metal/*.S)
# build/<variant>/metal-self: the same with a kernel that tests the machine's
# half (tests/metal/self/main.c).
SELF_SRC := $(wildcard tests/metal/self/*.c)
SELF_ASM := $(wildcard tests/metal/self/*.S)
METAL_LD := port/metal/link.ld
NM ?= nm

# $(1) variant
define metal_rules
METAL_OBJS_$(1) := $(METAL_SRC:%.c=$(BUILD)/$(1)/metal/%.o) \
	$(METAL_ASM:%.S=$(BUILD)/$(1)/metal/%_S.o)
$(BUILD)/$(1)/metal/%.o: %.c $(FLAGS_MK) tools/make/metal.mk
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/metal] $$<"
	$$(Q)$$(CC) $$(STD) $$(WARN) $$(CFLAGS_$(1)) $$(INC) $$(METAL_FLAGS) -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/metal/%_S.o: %.S $(FLAGS_MK) tools/make/metal.mk
	@mkdir -p $$(@D)
	$$(SAY) "  AS [$(1)/metal] $$<"
	$$(Q)$$(CC) -g $$(METAL_FLAGS) -MMD -MP -c $$< -o $$@
-include $$(METAL_OBJS_$(1):.o=.d)
$(call metal_image,$(1),mmkit-kernel,$(KERNEL_C:%.c=$(BUILD)/$(1)/metal/%.o))
$(call metal_image,$(1),metal-self,$(SELF_SRC:%.c=$(BUILD)/$(1)/metal/%.o) \
	$(SELF_ASM:%.S=$(BUILD)/$(1)/metal/%_S.o))
endef
# $(1) variant, $(2) the image's name, $(3) what it has besides src and port
define metal_image
$(BUILD)/$(1)/metal/$(2).1: $$(METAL_OBJS_$(1)) $(3) $(METAL_LD)
	$$(SAY) "  LD $$@"
	$$(Q)$$(CC) $$(METAL_LINK) -Wl,-T,$(METAL_LD) -o $$@ $$(filter %.o,$$^)
$(BUILD)/$(1)/metal/$(2).symbols.S: $(BUILD)/$(1)/metal/$(2).1 tools/symbols
	$$(Q)$$(NM) -n $$< | tools/symbols >$$@
$(BUILD)/$(1)/metal/$(2).symbols.o: $(BUILD)/$(1)/metal/$(2).symbols.S
	$$(Q)$$(CC) $$(METAL_FLAGS) -c $$< -o $$@
$(BUILD)/$(1)/$(2): $$(METAL_OBJS_$(1)) $(3) $(BUILD)/$(1)/metal/$(2).symbols.o $(METAL_LD)
	$$(SAY) "  LD $$@"
	$$(Q)$$(CC) $$(METAL_LINK) -Wl,-T,$(METAL_LD) -o $$@ $$(filter %.o,$$^)
-include $$(patsubst %.o,%.d,$(3))
endef
$(foreach v,$(METAL_VARIANTS),$(eval $(call metal_rules,$(v))))

# Without its debugging sections it loads faster; those stay in
# build/<variant>/mmkit-kernel.
OBJCOPY ?= objcopy
$(BUILD)/mmkit-kernel: $(BUILD)/release/mmkit-kernel
	$(Q)$(OBJCOPY) --strip-debug $< $@
$(BUILD)/mmkit-kernel-debug: $(BUILD)/debug/mmkit-kernel
	$(Q)$(OBJCOPY) --strip-debug $< $@
.PHONY: kernel kernel-debug kernel-self
kernel-self: $(foreach v,$(METAL_VARIANTS),$(BUILD)/$(v)/metal-self) ## images for tests/metal/machine.sh
kernel: $(BUILD)/mmkit-kernel ## the kernel for QEMU: build/mmkit-kernel
kernel-debug: $(BUILD)/mmkit-kernel-debug ## the same with asserts and the lock checker
