# SPDX-License-Identifier: MIT
# The differential test: its parts as an archive (for tests/sim/test_diff.c and
# the command build/<variant>/mmdiff), and the executor, a program without a C
# library that performs sequences on the kernel that it runs on.
DIFF_EXEC := $(BUILD)/diff/executor
DIFF_EXEC_FLAGS := $(STD) $(WARN) -O2 -ffreestanding -fno-stack-protector \
	-fno-pic -fno-pie -mgeneral-regs-only -nostdlib -static -no-pie \
	-Wl,--build-id=none -Itests/diff
DIFF_C := $(filter-out tests/diff/exec_%.c tests/diff/mmdiff.c,$(wildcard tests/diff/*.c))
DIFF_H := $(wildcard tests/diff/*.h tests/diff/*.def)

$(DIFF_EXEC): $(wildcard tests/diff/exec_*.c) $(DIFF_H) $(FLAGS_MK)
	@mkdir -p $(@D)
	$(SAY) "  LD $@"
	$(Q)$(CC) $(DIFF_EXEC_FLAGS) -o $@ $(filter %.c,$^)

# $(1) variant
define diff_rules
$(BUILD)/$(1)/diff/%.o: tests/diff/%.c $(FLAGS_MK)
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/diff] $$<"
	$$(Q)$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $$(CFLAGS_$(1)) $$(INC) -Iport/sim -Itests -Itests/diff -Wno-frame-larger-than -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/libdiff.a: $$(patsubst tests/diff/%.c,$(BUILD)/$(1)/diff/%.o,$$(DIFF_C))
	@rm -f $$@
	$$(SAY) "  AR $$@"
	$$(Q)$$(AR) rcs $$@ $$^
$(BUILD)/$(1)/mmdiff: $(BUILD)/$(1)/diff/mmdiff.o $(BUILD)/$(1)/libdiff.a $(BUILD)/$(1)/libmm-sim.a | $(DIFF_EXEC)
	$$(SAY) "  LD $$@"
	$$(Q)$$(CC) $$(LDFLAGS_$(1)) -o $$@ $$^ $$(TEST_LIBS)
$(BUILD)/$(1)/tests/sim/test_diff: private TEST_LIBS = $(BUILD)/$(1)/libdiff.a $(BUILD)/$(1)/libmm-sim.a -lcmocka -lzstd -ljansson -lm -lpthread
$(BUILD)/$(1)/tests/sim/test_diff: private INC += -Itests/diff
$(BUILD)/$(1)/tests/sim/test_diff: $(BUILD)/$(1)/libdiff.a | $(DIFF_EXEC)
-include $$(patsubst tests/diff/%.c,$(BUILD)/$(1)/diff/%.d,$$(DIFF_C) tests/diff/mmdiff.c)
endef
$(foreach v,$(VARIANTS),$(eval $(call diff_rules,$(v))))

.PHONY: mmdiff
mmdiff: $(BUILD)/release/mmdiff ## the differential test as a command, in build/release
