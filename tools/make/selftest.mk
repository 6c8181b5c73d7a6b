# SPDX-License-Identifier: MIT
# Tests of src/ on the bare machine (tests/metal/selftest.c): one image with
# all of them; tests/metal/run_selftest boots it once for each case.
SELFTESTS := $(shell sed -n 's/.*X(\(test_[a-z_]*\)).*/\1/p' tests/metal/selftest.h)
SELFTEST_C := $(foreach t,$(SELFTESTS),$(firstword $(wildcard tests/sim/$(t).c tests/host/$(t).c)))
SELFTEST_FLAGS := -nostdinc -isystem $(shell $(CC) -print-file-name=include) \
	-Itests/metal/shim $(METAL_FLAGS) -Itests -Wno-frame-larger-than \
	-Wno-missing-prototypes
# What a case asks for at its begin and end goes to tests/metal/selftest.c.
SELFTEST_NAMES := -Dmm_boot=selftest_boot -Dmm_reset=selftest_reset -Dbase_reset=selftest_base_reset
# Its disks have a size that can be changed.
SELFTEST_WRAP := -Wl,--wrap=port_bio_submit,--wrap=port_bdev_size,--wrap=port_bdev_resize

# $(1) variant
define selftest_rules
SELFTEST_OBJS_$(1) := $(patsubst %.c,$(BUILD)/$(1)/selftest/%.o,$(SELFTEST_C) tests/metal/selftest.c)
$(BUILD)/$(1)/selftest/%.o: %.c $(FLAGS_MK) tools/make/metal.mk tools/make/selftest.mk
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/selftest] $$<"
	$$(Q)$$(CC) $$(STD) $$(WARN) $$(CFLAGS_$(1)) $$(SELFTEST_FLAGS) $$(INC) $$(SELFTEST_NAMES) $$(if $$(filter test_%,$$(notdir $$*)),-Dmain=$$(notdir $$*)_main) -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/selftest-kernel: $$(SELFTEST_OBJS_$(1)) $$(METAL_BARE_$(1)) $(METAL_LD)
	$$(SAY) "  LD $$@"
	$$(Q)$$(CC) $$(METAL_LINK) $$(SELFTEST_WRAP) -Wl,-T,$(METAL_LD) -o $$@.tmp $$(filter %.o,$$^)
	$$(Q)$$(NM) -n $$@.tmp | tools/symbols >$(BUILD)/$(1)/selftest/symbols.S
	$$(Q)$$(CC) $$(METAL_FLAGS) -c $(BUILD)/$(1)/selftest/symbols.S -o $(BUILD)/$(1)/selftest/symbols.o
	$$(Q)$$(CC) $$(METAL_LINK) $$(SELFTEST_WRAP) -Wl,-T,$(METAL_LD) -o $$@ $$(filter %.o,$$^) $(BUILD)/$(1)/selftest/symbols.o
	@rm -f $$@.tmp
-include $$(SELFTEST_OBJS_$(1):.o=.d)
endef
# The kernel without kernel/.
$(foreach v,$(METAL_VARIANTS),$(eval METAL_BARE_$(v) := $(filter-out $(BUILD)/$(v)/metal/kernel/%,$(METAL_OBJS_$(v))))$(eval $(call selftest_rules,$(v))))
.PHONY: selftest
selftest: $(BUILD)/release/selftest-kernel $(BUILD)/debug/selftest-kernel ## tests of src/ as images for QEMU
