# SPDX-License-Identifier: MIT
# Tests. tests/<world>/test_X.c is one cmocka program, linked with the
# manager in that world; $(1) variant, $(2) world.
TEST_LIBS := -lcmocka -lzstd -ljansson -lm -lpthread
define test_rules
$(BUILD)/$(1)/tests/$(2)/%: tests/$(2)/%.c $(BUILD)/$(1)/libmm-$(2).a $(wildcard tests/*.h)
	@mkdir -p $$(@D)
	@echo "  TEST [$(1)/$(2)] $$<"
	@$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $$(CFLAGS_$(1)) $$(LDFLAGS_$(1)) $$(INC) -Iport/$(2) -Itests -o $$@ $$< $(BUILD)/$(1)/libmm-$(2).a $$(TEST_LIBS)
endef
$(foreach v,$(VARIANTS),$(foreach w,$(WORLDS),$(eval $(call test_rules,$(v),$(w)))))
