# SPDX-License-Identifier: MIT
# kernel/ in the sim and host worlds: build/<variant>/libkernel-<world>.a, and
# its tests. tests/kernel/test_X.c is one cmocka program; it runs in sim, or in
# host if its name ends in _threads. tests/kernel/machine_*.c stand in for the
# machine (kernel/machine.h).
KERNEL_C := $(wildcard kernel/*.c kernel/*/*.c)
KERNEL_TEST_C := $(wildcard tests/kernel/machine_*.c)
KTESTS_host := $(patsubst tests/kernel/%.c,%,$(wildcard tests/kernel/test_*_threads.c))
KTESTS_sim := $(filter-out $(KTESTS_host),$(patsubst tests/kernel/%.c,%,$(wildcard tests/kernel/test_*.c)))
KINC := $(INC) -Ikernel

# $(1) variant, $(2) world
define kernel_rules
$(BUILD)/$(1)/$(2)/kernel/%.o: kernel/%.c $(FLAGS_MK) tools/make/kernel.mk
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/$(2)] $$<"
	$$(Q)$$(CC) $$(STD) -ffreestanding $$(WARN) $$(CFLAGS_$(1)) $$(KINC) $$(PORT_INC_$(2)) -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/$(2)/ktest/%.o: tests/kernel/%.c $(FLAGS_MK) tools/make/kernel.mk
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/$(2)] $$<"
	$$(Q)$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $$(CFLAGS_$(1)) $$(KINC) $$(PORT_INC_$(2)) -Itests -MMD -MP -c $$< -o $$@
KOBJS_$(1)_$(2) := $$(patsubst kernel/%.c,$(BUILD)/$(1)/$(2)/kernel/%.o,$$(KERNEL_C))
KTOBJS_$(1)_$(2) := $$(patsubst tests/kernel/%.c,$(BUILD)/$(1)/$(2)/ktest/%.o,$$(KERNEL_TEST_C))
$(BUILD)/$(1)/libkernel-$(2).a: $$(KOBJS_$(1)_$(2))
	@rm -f $$@
	$$(SAY) "  AR $$@"
	$$(Q)$$(AR) rcs $$@ $$^
-include $$(KOBJS_$(1)_$(2):.o=.d) $$(KTOBJS_$(1)_$(2):.o=.d)
endef
$(foreach v,$(VARIANTS),$(foreach w,$(WORLDS),$(eval $(call kernel_rules,$(v),$(w)))))

# $(1) variant, $(2) world, $(3) program
define ktest_rule
$(BUILD)/$(1)/tests/kernel/$(3): tests/kernel/$(3).c $(FLAGS_MK) tools/make/kernel.mk \
		$$(KTOBJS_$(1)_$(2)) $(BUILD)/$(1)/libkernel-$(2).a $(BUILD)/$(1)/libmm-$(2).a
	@mkdir -p $$(@D)
	$$(SAY) "  TEST [$(1)/kernel] $$<"
	$$(Q)$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $(call TEST_CFLAGS,$(1)) $$(LDFLAGS_$(1)) $$(KINC) -Iport/$(2) -Itests -Itests/kernel -MMD -MP -MT $$@ -MF $$@.d -o $$@ $$< $$(KTOBJS_$(1)_$(2)) $(BUILD)/$(1)/libkernel-$(2).a $(BUILD)/$(1)/libmm-$(2).a $$(TEST_LIBS)
-include $(BUILD)/$(1)/tests/kernel/$(3).d
endef
$(foreach w,$(WORLDS),$(foreach t,$(KTESTS_$(w)),$(foreach v,$(VARIANTS),$(eval $(call ktest_rule,$(v),$(w),$(t))))))

# All that the worlds need of it compiles: part of "all".
all: $(BUILD)/release/libkernel-sim.a $(BUILD)/release/libkernel-host.a
