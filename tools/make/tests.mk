# SPDX-License-Identifier: MIT
# Test and benchmark programs.
#
# tests/<world>/test_X.c is one cmocka program, linked with the manager in
# that world; one that includes a header of lab/ is linked with the command's
# parts too (sim only). bench/X.c names its world in its first line:
#     // world: sim        or        /* world: host */
# and may say in its second that calls of some functions go through its own:
#     /* wrap: F G */       F() calls __wrap_F(), which may call __real_F()
TEST_LIBS := -lcmocka -lzstd -llz4 -ljansson -lm -lpthread $(filter -llua%,$(LAB_LIBS))
empty :=
space := $(empty) $(empty)
LAB_H := $(subst $(space),|,$(basename $(notdir $(wildcard lab/*.h))))
uses_lab = $(if $(strip $(shell grep -lE \
	'^.include "(lab/)?($(LAB_H))\.h"' $(1) 2>/dev/null)),y)

TESTS_sim  := $(patsubst tests/sim/%.c,%,$(wildcard tests/sim/test_*.c))
TESTS_sim  := $(filter-out $(if $(filter no,$(LUA)),test_lab),$(TESTS_sim))
TESTS_host := $(patsubst tests/host/%.c,%,$(wildcard tests/host/test_*.c))

# $(1) variant, $(2) world, $(3) program, $(4) y: with the command's parts.
# Tests run on stacks of ordinary size: the limit on frames is for the product.
# So is -O2: a test's own code is compiled for the shortest way to its end.
TEST_CFLAGS = $(filter-out -O2 -g,$(CFLAGS_$(1))) $(if $(filter release debug,$(1)),-O1 $(G)) -Wno-frame-larger-than
define test_rule
$(BUILD)/$(1)/tests/$(2)/$(3): tests/$(2)/$(3).c $(FLAGS_MK) \
		$(if $(4),$(BUILD)/$(1)/liblab.a) $(BUILD)/$(1)/libmm-$(2).a
	@mkdir -p $$(@D)
	$$(SAY) "  TEST [$(1)/$(2)] $$<"
	$$(Q)$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $(call TEST_CFLAGS,$(1)) $$(LDFLAGS_$(1)) $$(INC) -Iport/$(2) -Itests -Ilab -MMD -MP -MT $$@ -MF $$@.d -o $$@ $$< $(if $(4),$(BUILD)/$(1)/liblab.a) $$(or $$(TEST_MM),$(BUILD)/$(1)/libmm-$(2).a) $$(TEST_LIBS)
-include $(BUILD)/$(1)/tests/$(2)/$(3).d
endef
define tests_of
$(foreach t,$(TESTS_$(1)),$(eval LAB_OF_$(t) := $(call uses_lab,tests/$(1)/$(t).c))\
$(foreach v,$(VARIANTS),$(eval $(call test_rule,$(v),$(1),$(t),$(LAB_OF_$(t))))))
endef
$(call tests_of,sim)
$(call tests_of,host)

# The image that tests page tables on another CPU: 32 bits, nothing linked in.
ORACLE := $(BUILD)/oracle/image
ORACLE_FLAGS := -m32 -O2 -ffreestanding -fno-pic -fno-pie \
	-fno-stack-protector -mgeneral-regs-only -nostdlib -static -no-pie \
	-Wl,--build-id=none,--no-warn-rwx-segments
$(ORACLE): $(wildcard tests/oracle/*) $(FLAGS_MK)
	@mkdir -p $(@D)
	$(SAY) "  IMAGE $@"
	$(Q)$(CC) $(STD) $(WARN) $(ORACLE_FLAGS) -Wl,-T,tests/oracle/image.ld -o $@ $(filter %.c %.S,$^)
$(foreach v,$(VARIANTS),$(eval $(BUILD)/$(v)/tests/sim/test_paging_oracle: | $(ORACLE)))
# It runs the command of its own variant.
$(foreach v,$(VARIANTS),$(eval $(BUILD)/$(v)/tests/sim/test_schema: | $(BUILD)/$(v)/mmkit))

BENCH_C := $(wildcard bench/*.c)
# $(1) world, $(2) program, $(3) functions that it wraps
define bench_rule
$(BUILD)/release/bench/$(2): bench/$(2).c $(FLAGS_MK) \
		$(if $(filter sim,$(1)),$(BUILD)/release/liblab.a) $(BUILD)/release/libmm-$(1).a
	@mkdir -p $$(@D)
	$$(SAY) "  BENCH [$(1)] $$<"
	$$(Q)$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $$(CFLAGS_release) $$(INC) -Iport/$(1) -Ilab -MMD -MP -MT $$@ -MF $$@.d -o $$@ $$< $(if $(filter sim,$(1)),$(BUILD)/release/liblab.a) $(BUILD)/release/libmm-$(1).a $$(LAB_LIBS) $(addprefix -Wl$(comma)--wrap=,$(3))
-include $(BUILD)/release/bench/$(2).d
endef
comma := ,
bench_wrap = $(shell awk 'NR == 1 { next } NR == 2 && !sub(/.*wrap:/, "") { exit } \
	{ end = index($$0, "*/"); gsub(/[^a-z_0-9 ]/, ""); print } end { exit }' $(1))
bench_world = $(shell sed -n '1s/.*world: *\([a-z]*\).*/\1/p' $(1))
$(foreach b,$(BENCH_C),$(eval $(call bench_rule,$(call bench_world,$(b)),$(basename $(notdir $(b))),$(call bench_wrap,$(b)))))
# It prints the other's table below its own.
$(BUILD)/release/bench/space: | $(BUILD)/release/bench/fault_threads
BENCHES := $(patsubst bench/%.c,$(BUILD)/release/bench/%,$(BENCH_C))

.PHONY: test-sweep
test-sweep: $(BUILD)/mmkit ## mmkit sweep on a Slurm of one node that is started for it (a minute)
	+$(Q)tools/deps test-sweep
	$(Q)LONG=1 tests/cli/sweep.sh
.PHONY: test test-browser soak mutate bench bench-build bench-policies
test: ## all tests, in every variant they belong to
	+$(Q)tools/deps test
	$(Q)tools/deps report
	+$(Q)WERROR=$(WERROR) tools/runtests
test-browser: ## the reports in headless Chromium, all ways; SHOTS=DIR keeps pictures
	$(Q)tools/deps test-browser test
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/mmkit
	$(Q)FULL=1 sh tests/cli/report.sh
soak: ## 10,000 seeds against lost pages (SOAK_SEEDS), then all, for SOAK_MINUTES (60)
	+$(Q)tools/deps test
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/debug/tests/kernel/test_whole_files
	$(Q)tools/soak-seeds
	+$(Q)tools/runtests --soak
mutate: ## break one rule after the other in a copy: a test must notice (hours)
	+$(Q)tools/deps test
	+$(Q)tools/mutate
bench-build: $(BUILD)/libmmkit-malloc.so $(BENCHES) $(BUILD)/mmkit
bench: ## the benchmarks; ratios against what was measured in the same run
	$(Q)tools/deps bench
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) bench-build
	$(Q)tools/runbench $(BENCHES)
bench-policies: $(BUILD)/mmkit ## the distance to the optimum of each policy, into docs/POLICIES.md (minutes)
	$(Q)tools/policy-table -o docs/POLICIES.md
