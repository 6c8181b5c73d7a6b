# SPDX-License-Identifier: MIT
# Objects and archives of every variant and world.
SRC_C  := $(wildcard src/*/*.c)
LAB_C  := $(wildcard lab/*.c)
LAB_LIBS := -lzstd -ljansson -lm -lpthread
# "mmkit lab" is there where Lua is (LUA=no: not); its prompt edits lines where
# libedit is.
LUA_H := $(wildcard $(addsuffix /lua5.4/lua.h,/usr/include /usr/local/include))
EDIT_H := $(wildcard $(addsuffix /editline/readline.h,/usr/include /usr/local/include))
LUA ?= $(if $(LUA_H),yes,no)
ifeq ($(LUA),yes)
LAB_LIBS += -llua5.4 $(if $(EDIT_H),-ledit)
LAB_C := $(if $(EDIT_H),$(LAB_C),$(filter-out lab/lua_edit.c,$(LAB_C)))
else
LAB_C := $(filter-out lab/lua_%.c,$(LAB_C))
endif
FLAGS_MK := tools/make/config.mk

# $(1) variant, $(2) world
define world_rules
$(BUILD)/$(1)/$(2)/src/%.o: src/%.c $(FLAGS_MK)
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/$(2)] $$<"
	$$(Q)$$(CC) $$(STD) -ffreestanding $$(WARN) $$(CFLAGS_$(1)) $$(INC) $$(PORT_INC_$(2)) -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/$(2)/port/%.o: port/$(2)/%.c $(FLAGS_MK)
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/$(2)] $$<"
	$$(Q)$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $$(CFLAGS_$(1)) $$(INC) $$(PORT_INC_$(2)) -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/$(2)/common/%.o: port/common/%.c $(FLAGS_MK)
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/$(2)] $$<"
	$$(Q)$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $$(CFLAGS_$(1)) $$(INC) $$(PORT_INC_$(2)) -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/$(2)/port/%.o: port/$(2)/%.S $(FLAGS_MK)
	@mkdir -p $$(@D)
	$$(SAY) "  AS [$(1)/$(2)] $$<"
	$$(Q)$$(CC) $$(CFLAGS_$(1)) -c $$< -o $$@
OBJS_$(1)_$(2) := $$(patsubst src/%.c,$(BUILD)/$(1)/$(2)/src/%.o,$$(SRC_C)) \
	$$(patsubst port/$(2)/%.c,$(BUILD)/$(1)/$(2)/port/%.o,$$(wildcard port/$(2)/*.c)) \
	$$(if $$(filter sim host,$(2)),$$(patsubst port/common/%.c,$(BUILD)/$(1)/$(2)/common/%.o,$$(wildcard port/common/*.c))) \
	$$(patsubst port/$(2)/%.S,$(BUILD)/$(1)/$(2)/port/%.o,$$(wildcard port/$(2)/*.S))
$(BUILD)/$(1)/libmm-$(2).a: $$(OBJS_$(1)_$(2))
	@rm -f $$@
	$$(SAY) "  AR $$@"
	$$(Q)$$(AR) rcs $$@ $$^
-include $$(OBJS_$(1)_$(2):.o=.d)
endef
$(foreach v,$(VARIANTS),$(foreach w,$(WORLDS),$(eval $(call world_rules,$(v),$(w)))))
$(eval $(call world_rules,release,null))

# What the command's pages are made of besides C. The charting library is taken
# from where its package puts it (tools/deps report); CHART_JS= builds without,
# and the pages then have plain SVG.
CHART_JS := $(firstword $(wildcard $(addprefix \
	/usr/share/javascript/chart.js/,chart.umd.min.js chart.min.js Chart.min.js)))
PAGE_PARTS := lab/report.css lab/report.js $(CHART_JS)
CHART_MARK := $(BUILD)/chart-library-$(if $(CHART_JS),in,out)
$(CHART_MARK):
	@mkdir -p $(@D)
	@rm -f $(BUILD)/chart-library-in $(BUILD)/chart-library-out
	@touch $@

# The command, sim world. $(1) variant. Its parts other than main.c are an
# archive too, so that tests and benchmarks can link them.
define lab_rules
$(BUILD)/$(1)/lab/%.o: lab/%.c $(FLAGS_MK)
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/lab] $$<"
	$$(Q)$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $$(CFLAGS_$(1)) $$(INC) -Iport/sim -Ilab -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/lab/lua_prelude.o: lab/prelude.lua
$(BUILD)/$(1)/lab/embed.o: lab/embed.S $(PAGE_PARTS) $(CHART_MARK) $(FLAGS_MK)
	@mkdir -p $$(@D)
	$$(SAY) "  AS [$(1)/lab] $$<"
	$$(Q)$$(CC) $$(if $(CHART_JS),-DCHART_JS='"$(CHART_JS)"') -c $$< -o $$@
LABOBJS_$(1) := $$(patsubst lab/%.c,$(BUILD)/$(1)/lab/%.o,$$(LAB_C)) $(BUILD)/$(1)/lab/embed.o
$(BUILD)/$(1)/liblab.a: $$(filter-out %/main.o,$$(LABOBJS_$(1)))
	@rm -f $$@
	$$(SAY) "  AR $$@"
	$$(Q)$$(AR) rcs $$@ $$^
$(BUILD)/$(1)/mmkit: $$(LABOBJS_$(1)) $(BUILD)/$(1)/libmm-sim.a
	$$(SAY) "  LD $$@"
	$$(Q)$$(CC) $$(LDFLAGS_$(1)) -rdynamic -o $$@ $$(LABOBJS_$(1)) $(BUILD)/$(1)/libmm-sim.a $$(LAB_LIBS)
-include $$(LABOBJS_$(1):.o=.d)
endef
$(foreach v,$(VARIANTS),$(eval $(call lab_rules,$(v))))

$(BUILD)/mmkit: $(BUILD)/release/mmkit
	@cp -f $< $@
$(BUILD)/libmmkit.a: $(BUILD)/release/libmm-host.a
	@cp -f $< $@
.PHONY: all
all: $(BUILD)/mmkit $(BUILD)/libmmkit.a ## build/mmkit and build/libmmkit.a (release)
