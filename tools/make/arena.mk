# SPDX-License-Identifier: MIT
# libmmkit-arena.a: arenas over memory of the caller. It needs nothing of the
# project but the headers, and of the C library what every program has.
# build/<variant>/libmmkit-arena.a is for the tests.
ARENA_C := $(wildcard malloc/arena*.c)
ARENA_FLAGS := -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections
# $(1) variant
define arena_rules
$(BUILD)/$(1)/arena/%.o: malloc/%.c $(FLAGS_MK) tools/make/arena.mk
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/arena] $$<"
	$$(Q)$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $$(CFLAGS_$(1)) $$(ARENA_FLAGS) $$(INC) -Iport/host -MMD -MP -c $$< -o $$@
ARENA_OBJS_$(1) := $$(patsubst malloc/%.c,$(BUILD)/$(1)/arena/%.o,$(ARENA_C))
$(BUILD)/$(1)/libmmkit-arena.a: $$(ARENA_OBJS_$(1))
	@rm -f $$@
	$$(SAY) "  AR $$@"
	$$(Q)$$(AR) rcs $$@ $$^
-include $$(ARENA_OBJS_$(1):.o=.d)
$(patsubst %,$(BUILD)/$(1)/tests/host/%,$(filter test_arena%,$(TESTS_host))): private TEST_LIBS = $(BUILD)/$(1)/libmmkit-arena.a $(BUILD)/$(1)/libmm-host.a -lcmocka -lpthread
$(patsubst %,$(BUILD)/$(1)/tests/host/%,$(filter test_arena%,$(TESTS_host))): private INC += -Imalloc
$(patsubst %,$(BUILD)/$(1)/tests/host/%,$(filter test_arena%,$(TESTS_host))): $(BUILD)/$(1)/libmmkit-arena.a
endef
$(foreach v,$(VARIANTS),$(eval $(call arena_rules,$(v))))

# For others: one object, of which nothing is seen but mmkit_arena_*.
LD ?= ld
OBJCOPY ?= objcopy
$(BUILD)/libmmkit-arena.a: $(ARENA_OBJS_release)
	@rm -f $@
	$(SAY) "  AR $@"
	$(Q)$(LD) -r -o $(BUILD)/release/arena/all.o $^
	$(Q)$(OBJCOPY) --localize-hidden $(BUILD)/release/arena/all.o
	$(Q)$(AR) rcs $@ $(BUILD)/release/arena/all.o
all: $(BUILD)/libmmkit-arena.a

$(BUILD)/release/bench/arena: private LAB_LIBS = $(BUILD)/libmmkit-arena.a -lpthread
$(BUILD)/release/bench/arena: $(BUILD)/libmmkit-arena.a
