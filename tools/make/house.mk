# SPDX-License-Identifier: MIT
# The house: running it, checking it.
VERSION := 0.1
NULL_OBJS := $(filter %.o,$(OBJS_release_null))

.PHONY: run check null-objs help clean
run: ## build, then replay a real trace on a machine with less RAM than it wants
	$(Q)tools/deps build
	$(Q)tools/deps report
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	./$(BUILD)/mmkit replay traces/sqlite.trace --mem 16M --swap 256M --seed 7

check: ## the house rules: layers, headers, sizes, format, words, docs, analysers
	$(Q)tools/deps check
	+$(Q)tools/check

null-objs: $(NULL_OBJS)

help: ## this list
	@echo "make targets:"
	@awk -F ':.*## ' '/^[a-z][a-z_.-]*:.*## / \
		{ printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "variables:"
	@echo "  V=1                    show every command"
	@echo "  WERROR=1               a warning is an error"
	@echo "  prefix=, DESTDIR=      where install puts things ($(prefix)); libdir=, ..."
	@echo "  SEED=, ITERS=          for the random tests"
	@echo "  SOAK_MINUTES=          how long make soak runs"
	@echo "parts: build/<variant>/libmm-<world>.a, build/<variant>/mmkit,"
	@echo "  build/<variant>/tests/<world>/test_X"
	@echo "variants: $(VARIANTS)   worlds: $(WORLDS)"

clean: ## remove build/ and compile_commands.json
	rm -rf $(BUILD) compile_commands.json

# One entry a source file, with the flags of the debug variant.
# $(1) file, $(2) flags
define cc_entry
$(cc_comma){"directory": "$(CURDIR)", "file": "$(1)", "command": "$(CC) $(STD) $(WARN) $(CFLAGS_debug) $(INC) $(2) -c $(1)"}$(eval cc_comma := ,)

endef
.PHONY: compile_commands.json
compile_commands.json: ## for editors and analysers
	$(eval cc_comma :=)
	$(file >$@,[)
	$(file >>$@,$(foreach f,$(SRC_C),$(call cc_entry,$(f),-ffreestanding -Iport/sim)))
	$(file >>$@,$(foreach w,$(WORLDS),$(foreach f,$(wildcard port/$(w)/*.c),$(call cc_entry,$(f),-D_GNU_SOURCE -Iport/$(w)))))
	$(file >>$@,$(foreach f,$(KERNEL_C),$(call cc_entry,$(f),-ffreestanding -Ikernel -Iport/sim)))
	$(file >>$@,$(foreach f,$(LAB_C),$(call cc_entry,$(f),-D_GNU_SOURCE -Iport/sim -Ilab)))
	$(file >>$@,$(foreach w,$(WORLDS),$(foreach f,$(wildcard tests/$(w)/*.c),$(call cc_entry,$(f),-D_GNU_SOURCE -Iport/$(w) -Itests -Ilab))))
	$(file >>$@,$(foreach f,$(wildcard tests/kernel/*.c),$(call cc_entry,$(f),-D_GNU_SOURCE -Ikernel -Iport/sim -Itests)))
	$(file >>$@,])
	@echo "wrote $@"
